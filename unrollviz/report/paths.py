"""Single paths: a table with bars, and their sum against the reverse sweep; the heaviest and their certificate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from math import log10
from typing import TYPE_CHECKING

import numpy as np

from unrollviz.allowance import paths_allowed
from unrollviz.api import Run
from unrollviz.check import BOUNDS
from unrollviz.draw.text import bar, integer, magnitude, number, percent, table
from unrollviz.export import Table
from unrollviz.gradient import gradient
from unrollviz.jacobians import frobenius
from unrollviz.names import clean, derivative, typeset
from unrollviz.paths.pathset import PATH_LIMIT, Heaviest, Path, PathSet
from unrollviz.report.figures import Json, exact, of_losses
from unrollviz.way import entering

if TYPE_CHECKING:
    from unrollviz.paths.units import UnitPaths


def paths_json(paths: PathSet, listed: Iterable[Path], terms: bool) -> Json:
    """`count` is exact however few paths are listed; `cancellation` is null past the limit of enumeration. Logarithms
    say how large a norm is that is too small for a float64; null for a term of 0."""
    rows = []
    for path in listed:
        row: Json = {
            "nodes": list(path.nodes),
            "loss": path.loss,
            "entry": path.entry,
            "lag": path.lag,
            "norm": exact(path.norm),
            "log10_norm": exact(path.log10_norm),
            "share": exact(path.share),
        }
        rows.append(row | ({"term": path.term.tolist()} if terms else {}))
    return {
        "param": paths.target,
        "shape": list(paths.gradient.shape),
        "loss": of_losses(paths.losses, paths.graph),
        **entered_json(paths),
        "count": paths.count,
        "total_norm": exact(paths.total_norm),
        "log10_total_norm": exact(paths.log10_total_norm),
        "cancellation": exact(paths.cancellation) if paths.listable else None,
        "paths": rows,
    }


def entered_json(paths: PathSet | UnitPaths) -> Json:
    """Where only some paths are asked for: at which steps they enter, and their sum's share of that of all paths."""
    if paths.entered is None:
        return {}
    return {"entered_at": list(paths.entered.steps), "share_of_all": exact(paths.entered.share(paths.total))}


def entered_lines(paths: PathSet | UnitPaths) -> list[str]:
    """The same in words."""
    if paths.entered is None:
        return []
    part, whole = (magnitude(some.norm, some.log10_norm) for some in (paths.total, paths.entered.all))
    share = percent(paths.entered.share(paths.total))
    return [f"entry        those that enter at {paths.entered} add up to {share} of all paths (norm {part} of {whole})"]


def what_adds_up(paths: PathSet | UnitPaths) -> str:
    """What the sum of the paths is."""
    return "the gradient" if paths.entered is None else "their sum"


def counted(paths: PathSet | UnitPaths) -> str:
    """`12 paths`, `12 paths that enter at steps 1..3`"""
    count = f"{integer(paths.count)} path{'' if paths.count == 1 else 's'}"
    if paths.entered is None:
        return count
    return f"{count} that enter{'s' if paths.count == 1 else ''} at {paths.entered}"


def paths_table(report: Json) -> Table:
    """The paths of a JSON report as rows; terms, which are matrices, stay in JSON."""
    return Table.of([{key: value for key, value in row.items() if key != "term"} for row in report["paths"]])


def top_json(paths: PathSet, heaviest: Heaviest[Path], terms: bool) -> Json:
    """As `paths_json`, with what is proved of the list under "top"."""
    return paths_json(paths, heaviest, terms) | {
        "top": {
            "by": heaviest.by,
            "exact": heaviest.exact,
            "certain": len(heaviest) if heaviest.exact else heaviest.certain,
            "bound": exact(heaviest.bound),
            "log10_bound": exact(heaviest.log10_bound),
            "expansions": heaviest.expansions,
            "coverage": exact(heaviest.coverage),
            "residual_norm": exact(heaviest.residual),
            "log10_residual_norm": exact(heaviest.left.log10_norm),
        }
    }


def top_text(paths: PathSet, heaviest: Heaviest[Path]) -> list[str]:
    """A table of the heaviest paths, how much of the gradient they are, and what is proved of them."""
    if paths.count == 0:
        return no_path(paths)
    symbol = derivative(of_losses(paths.losses, paths.graph), paths.target)
    best = "the heaviest of" if heaviest.exact else "the heaviest found of"
    what = f"{best} {counted(paths)}" if len(heaviest) < paths.count else counted(paths)
    listable = paths.listable
    places = ([str(place)] for place in range(1, len(heaviest) + 1))
    rows = [[*place, *row] for place, row in zip(places, _rows(heaviest, numbered=listable), strict=True)]
    headings = ("place", *(_HEADINGS if listable else _HEADINGS[1:]))
    left = (2, 7) if listable else (1, 6)
    weight = "|share|" if heaviest.by == "share" else "norm"
    lines = [f"{symbol}: {what}, by {weight}", "", *table(headings, rows, left=left), ""]
    return [*lines, *_coverage(paths, heaviest), *entered_lines(paths), _certificate(paths, heaviest)]


def _coverage(paths: PathSet, heaviest: Heaviest[Path]) -> list[str]:
    total, left = paths.total, heaviest.left
    line = (
        f"coverage     {percent(heaviest.coverage)} of {what_adds_up(paths)} (signed sum of the shares); without "
        f"{'it' if len(heaviest) == 1 else 'them'} a norm of {magnitude(left.norm, left.log10_norm)} is left of "
        f"{magnitude(total.norm, total.log10_norm)}"
    )
    if not len(heaviest) < paths.count or paths.entered is not None or left.log10_norm <= total.log10_norm - log10(2):
        return [line]
    question = f"unrollviz flow --param {paths.target}" + (f" --loss {paths.losses[0]}" if _one_loss(paths) else "")
    one_lag = _one_loss(paths) and paths.graph.nodes[paths.target]["time"] is not None
    ways = "--by uses" if one_lag else "--by lag, or --by uses"
    return [line, f"             most of it is in the sum of the others: {question} {ways}"]


def _one_loss(paths: PathSet) -> bool:
    return len(paths.losses) == 1


def _certificate(paths: PathSet, heaviest: Heaviest[Path]) -> str:
    if heaviest.exact:
        looked = f"{heaviest.expansions:,} partial paths looked at" if heaviest.expansions else "every path looked at"
        return f"certificate  exact: no path was missed ({looked})"
    certain = f"; the first {heaviest.certain} are certain" if heaviest.certain else ""
    by_norm = heaviest.by == "norm"
    bound = magnitude(heaviest.bound, heaviest.log10_bound) if by_norm else percent(heaviest.bound).lstrip("+")
    return (
        f"certificate  bounded: any path missed has {heaviest.by} at most {bound}{certain} "
        f"({heaviest.expansions:,} partial paths looked at; --budget N looks at more)"
    )


def paths_text(run: Run, paths: PathSet, listed: Sequence[Path]) -> list[str]:
    """A table of the listed paths with a bar for the share, and the sum of all against the reverse sweep."""
    if paths.count == 0:
        return no_path(paths)
    symbol = derivative(of_losses(paths.losses, paths.graph), paths.target)
    part = "" if paths.entered is None else "a part of "
    lines = [f"{part}{symbol} is a sum over {counted(paths)}", ""]
    lines += table(_HEADINGS, _rows(listed), left=(1, 6))
    if len(listed) < paths.count:
        lines.append(f"⋯ {integer(paths.count - len(listed))} more; --limit N lists more, --top N the heaviest")
    return [*lines, "", *entered_lines(paths), *sum_lines(run, paths)]


_HEADINGS = ("#", "path, from the loss back", "enters at", "lag", "norm", "share", "")


def _rows(paths: Sequence[Path], numbered: bool = True) -> list[list[str]]:
    """A row a path, with its number if wanted."""
    shown = told_apart([written(path) for path in paths], [_compressed(path) for path in paths])
    return [
        [
            *([str(path.rank + 1)] if numbered else []),
            nodes,
            str(path.entry),
            str(path.lag),
            magnitude(path.norm, path.log10_norm),
            percent(path.share),
            bar(path.share),
        ]
        for path, nodes in zip(paths, shown, strict=True)
    ]


def no_path(paths: PathSet | UnitPaths) -> list[str]:
    """That there is none."""
    loss, target = of_losses(paths.losses, paths.graph), str(paths.target)
    way = f"from {typeset(loss)} back to {typeset(target)}"
    end = "" if paths.entered is None else f" that enters at {paths.entered}"
    return [f"{derivative(loss, target)}: no path leads {way}{end}."]


def written(path: Path, width: int = 44) -> str:
    """The path's nodes, typeset. In a long one runs are cut, s₉ → ⋯ → s₂, and where that is not enough its middle."""
    names = [typeset(name) for name in path.nodes]
    if len(" → ".join(names)) > width:
        names = _compressed(path)
    if len(" → ".join(names)) > width:
        names = [*names[:4], "⋯", *names[-2:]]
    return clean(" → ".join(names))


_LONGEST = 4000
"""Letters that a path may take where nothing shorter tells it from others."""


def told_apart(short: Sequence[str], names: Sequence[Sequence[str]]) -> list[str]:
    """Each path as it is written for `short`; of those that look alike only the ends and the part of their `names` in
    which they differ."""
    alike: dict[str, list[int]] = {}
    for index, text in enumerate(short):
        alike.setdefault(text, []).append(index)
    told = list(short)
    for same in (places for places in alike.values() if len(places) > 1):
        several = [names[index] for index in same]
        begin = _in_common(several)
        end = min(_in_common([one[::-1] for one in several]), min(map(len, several)) - begin)
        for index, one in zip(same, several, strict=True):
            told[index] = clean(" → ".join(_between(one, max(begin - 1, 1), len(one) - max(end - 1, 1))), _LONGEST)
    still = {text for text, times in Counter(told).items() if times > 1}
    return [clean(" → ".join(names[index]), _LONGEST) if text in still else text for index, text in enumerate(told)]


def _in_common(several: Sequence[Sequence[str]]) -> int:
    """With how many names all of them begin."""
    columns = zip(*several, strict=False)
    return next((at for at, column in enumerate(columns) if len(set(column)) > 1), min(map(len, several)))


def _between(names: Sequence[str], first: int, last: int) -> list[str]:
    """The names from `first` up to `last`, with the beginning and the end of all."""
    left, right = ["⋯"] if first > 1 else [], ["⋯"] if last < len(names) - 1 else []
    return [names[0], *left, *names[first:last], *right, names[-1]]


def _compressed(path: Path) -> list[str]:
    """The path's nodes, typeset; of those of one kind that follow each other the first and the last."""
    return [name for run in _runs(path.nodes) for name in _shortened([typeset(node) for node in run])]


def _runs(nodes: Sequence[str]) -> list[list[str]]:
    """The nodes, those of one kind that follow each other together: h9 c9, c8, c7 W gives [h9] [c9 c8 c7] [W]."""
    return [list(run) for _, run in groupby(nodes, key=lambda name: name.rstrip("0123456789"))]


def _shortened(run: list[str]) -> list[str]:
    return run if len(run) < 4 else [run[0], "⋯", run[-1]]


def sum_lines(run: Run, paths: PathSet) -> list[str]:
    """The sum of all terms against the reverse sweep over the primitives."""
    norm = magnitude(paths.total.norm, paths.total.log10_norm)
    if not paths.listable:
        return [
            f"reverse sweep: norm {norm}; past {paths_allowed(PATH_LIMIT):,} paths the terms are not summed one by "
            f"one: take them together with unrollviz flow --param {paths.target} --by "
            f"{'lag' if paths.entered is None else 'entry'}, or ask for the heaviest with --top 12"
        ]
    if paths.total.norm == 0 < paths.total.size:
        return [
            f"sum of all terms   norm {norm}: too small for float64 to add them up and compare (cancellation κ = "
            f"{number(paths.cancellation)})"
        ]
    graph = run.graph if paths.entered is None else entering(run.graph, paths.target, paths.entered.steps.__contains__)
    reverse = gradient(graph, paths.losses, paths.target)
    total, scale = paths.sum(), paths.norm_sum
    difference = float(np.abs(total - reverse).max()) / scale if scale > 0 else 0.0
    verdict = "✓ equal" if difference <= BOUNDS["paths_vs_reverse"] else "✗ NOT EQUAL"
    return [
        f"sum of all terms   norm {number(frobenius(total))}   (Σ of the norms {number(scale)}, "
        f"cancellation κ = {number(paths.cancellation)})",
        f"reverse sweep      norm {number(frobenius(reverse))}   {verdict}: largest difference "
        f"{difference:.1e} of Σ‖term‖",
    ]
