"""Single paths: a table with bars, and their sum against the reverse sweep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from unrollviz.api import Run
from unrollviz.check import BOUNDS
from unrollviz.draw.text import bar, integer, number, percent, table
from unrollviz.names import clean, derivative, typeset
from unrollviz.paths import PATH_LIMIT, Path, PathSet
from unrollviz.report.figures import Json, exact, of_losses


def paths_json(paths: PathSet, listed: Iterable[Path], terms: bool) -> Json:
    """`count` is exact however few paths are listed; `cancellation` is null past the limit of enumeration."""
    rows = []
    for path in listed:
        row: Json = {
            "nodes": list(path.nodes),
            "loss": path.loss,
            "entry": path.entry,
            "lag": path.lag,
            "norm": exact(path.norm),
            "share": exact(path.share),
        }
        rows.append(row | ({"term": path.term.tolist()} if terms else {}))
    return {
        "param": paths.target,
        "shape": list(paths.gradient.shape),
        "loss": of_losses(paths.losses),
        "count": paths.count,
        "total_norm": exact(paths.total_norm),
        "cancellation": exact(paths.cancellation) if paths.count <= PATH_LIMIT else None,
        "paths": rows,
    }


def paths_text(run: Run, paths: PathSet, listed: Sequence[Path]) -> list[str]:
    """A table of the listed paths with a bar for the share, and the sum of all against the reverse sweep."""
    symbol = derivative(of_losses(paths.losses), paths.target)
    count = f"{integer(paths.count)} path{'' if paths.count == 1 else 's'}"
    if paths.count == 0:
        return [f"{symbol}: no path leads from {typeset(of_losses(paths.losses))} back to {typeset(paths.target)}."]
    lines = [f"{symbol} is a sum over {count}", ""]
    rows = [
        [str(p.rank + 1), written(p), str(p.entry), str(p.lag), number(p.norm), percent(p.share), bar(p.share)]
        for p in listed
    ]
    headings = ["#", "path, from the loss back", "enters at", "lag", "norm", "share", ""]
    lines += table(headings, rows, left=(1, 6))
    if len(listed) < paths.count:
        lines.append(f"⋯ {integer(paths.count - len(listed))} more; --limit N lists more, --top N the heaviest")
    return [*lines, "", *sum_lines(run, paths)]


def written(path: Path, width: int = 44) -> str:
    """The path's nodes, typeset; the middle of a long one left out."""
    names = [typeset(name) for name in path.nodes]
    if len(" → ".join(names)) > width:
        names = [*names[:4], "⋯", *names[-2:]]
    return clean(" → ".join(names))


def sum_lines(run: Run, paths: PathSet) -> list[str]:
    """The sum of all terms against the reverse sweep over the primitives."""
    reverse = run.gradient(paths.target, paths.losses)
    if paths.count > PATH_LIMIT:
        return [
            f"reverse sweep: norm {number(float(np.linalg.norm(reverse)))}; "
            f"past {PATH_LIMIT:,} paths the terms are not summed one by one: take them together with "
            f"unrollviz flow --param {paths.target} --by lag"
        ]
    total, scale = paths.sum(), paths.norm_sum
    difference = float(np.abs(total - reverse).max()) / scale if scale > 0 else 0.0
    verdict = "✓ equal" if difference <= BOUNDS["paths_vs_reverse"] else "✗ NOT EQUAL"
    return [
        f"sum of all terms   norm {number(float(np.linalg.norm(total)))}   (Σ of the norms {number(scale)}, "
        f"cancellation κ = {number(paths.cancellation)})",
        f"reverse sweep      norm {number(float(np.linalg.norm(reverse)))}   {verdict}: largest difference "
        f"{difference:.1e} of Σ‖term‖",
    ]
