"""Paths from neuron to neuron: the heaviest in a table with bars, how much they cover, and that none was missed."""

from __future__ import annotations

import math

from unrollviz.draw.text import bar, magnitude, percent, table
from unrollviz.names import clean, derivative, typeset
from unrollviz.paths.path import Heaviest
from unrollviz.paths.units import UnitPath, UnitPaths
from unrollviz.report.figures import Json, exact, of_losses
from unrollviz.report.paths import counted, entered_json, entered_lines, no_path, told_apart, what_adds_up


def units_json(paths: UnitPaths, k: int, by: str) -> Json:
    """The k heaviest unit paths. `count` is exact however few are listed; the order is proved (`exact`).
    Logarithms say how large a norm is that is too small for a float64, and κ where it is too large; null for 0."""
    found = paths.top(k, by)
    return {
        "param": str(paths.target),
        "shape": list(paths.gradient.shape),
        "loss": of_losses(paths.losses, paths.graph),
        "detail": "unit",
        **entered_json(paths),
        "count": paths.count,
        "total_norm": exact(paths.total_norm),
        "log10_total_norm": exact(paths.log10_total_norm),
        "cancellation": exact(paths.cancellation),
        "log10_cancellation": exact(paths.log10_cancellation),
        "top": {
            "by": found.by,
            "exact": found.exact,
            "bound": exact(found.bound),
            "coverage": exact(found.coverage),
            "residual_norm": exact(found.residual),
            "log10_residual_norm": exact(found.left.log10_norm),
        },
        "paths": [
            {
                "nodes": list(path.nodes),
                "loss": path.loss,
                "weight": path.weight,
                "entry": path.entry,
                "lag": path.lag,
                "norm": exact(path.norm),
                "share": exact(path.share),
                "contribution": exact(path.contribution),
                "log10": exact(path.log10),
                "factors": [exact(factor) for factor in path.factors],
            }
            for path in found
        ],
    }


def units_text(paths: UnitPaths, k: int, by: str) -> list[str]:
    """A table of the k heaviest unit paths; what they cover together, and that no heavier one was missed."""
    symbol = derivative(of_losses(paths.losses, paths.graph), str(paths.target))
    if paths.count == 0:
        return no_path(paths)
    found = paths.top(k, by)
    count = counted(paths)
    shown = told_apart([written(p) for p in found], [list(map(typeset, p.nodes)) for p in found])
    rows = [
        [str(place), nodes, str(p.entry), str(p.lag), contribution(p), percent(p.share), bar(p.share)]
        for place, (p, nodes) in enumerate(zip(found, shown, strict=True), start=1)
    ]
    headings = ["place", "path, from the loss back", "enters at", "lag", "contribution", "share", ""]
    what = f"the heaviest of {count}" if len(found) < paths.count else count
    lines = [f"{symbol}: {what} from neuron to neuron, by {'|share|' if by == 'share' else '|contribution|'}", ""]
    if rows:
        lines += table(headings, rows, left=(1, 6))
    return [*lines, "", *together(found, paths)]


def together(found: Heaviest[UnitPath], paths: UnitPaths) -> list[str]:
    """How much of the gradient the listed paths are, how much all of them cancel, and what is proved of the list."""
    left, total = (magnitude(some.norm, some.log10_norm) for some in (found.left, paths.total))
    kappa = magnitude(paths.cancellation, paths.log10_cancellation)
    them = "it" if len(found) == 1 else "them"
    return [
        f"coverage     {percent(found.coverage)} of {what_adds_up(paths)} (signed sum of the shares); without "
        f"{them} a norm of {left} is left of {total}",
        *entered_lines(paths),
        f"all paths    cancellation κ = Σ|contribution| / ‖G‖ = {kappa}",
        "certificate  exact: no path was missed (dynamic programming over all of them)",
    ]


def contribution(path: UnitPath) -> str:
    """Signed; also where it is smaller than any float: `-1.234e-400`."""
    sign = "-" if path.log10 > -math.inf and math.copysign(1.0, path.contribution) < 0 else ""
    return sign + magnitude(path.norm, path.log10)


def written(path: UnitPath, width: int = 60) -> str:
    """The path's neurons, typeset; the middle of a long one left out."""
    names = [typeset(name) for name in path.nodes]
    if len(" → ".join(names)) > width:
        names = [*names[:4], "⋯", *names[-2:]]
    return clean(" → ".join(names))
