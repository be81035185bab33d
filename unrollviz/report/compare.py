"""Two gradients side by side: what gained and lost share, and whether that could be chance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from unrollviz.comparison.compare import Comparison, Side
from unrollviz.comparison.matched import TIMES, Label
from unrollviz.draw.beside import Beside
from unrollviz.draw.text import UNDEFINED, bar, integer, magnitude, number, percent, table
from unrollviz.names import clean, derivative, loss_sum, typeset
from unrollviz.report.figures import Json, exact

LEVEL = 0.05
"""p below which a change is marked: Fisher's (1925) usual one, here over all rows together."""

WIDTH = 14
"""Columns of a full bar."""

_ROUNDING = 1e-13
"""A change of shares below which there is only rounding."""

_SAID = 3
"""Rows named as those that gained or lost most."""


def diff_json(found: Comparison) -> Json:
    """All rows, not only those that the text shows. `share` and `norm` are null where a side has no such row or they
    are undefined; `significance` is null where nothing can be said of significance, and `untested` says why."""
    test = found.significance
    rows = [
        {
            "label": {name: list(of) if isinstance(of, tuple) else of for name, of in label},
            "a": _json_row(found, 0, place),
            "b": _json_row(found, 1, place),
            "change": exact(found.change[place]),
            "standard_error": None if test is None else exact(test.errors[place]),
            "p": None if test is None else exact(test.p[place]),
        }
        for place, label in enumerate(found.labels)
    ]
    return {
        "by": found.by,
        "losses": None if found.losses is None else list(found.losses),
        "a": _json_side(found.a),
        "b": _json_side(found.b),
        "significance": None if test is None else {"paired": test.paired, "least_p": test.least},
        "untested": found.untested or None,
        "partial": found.partial,
        "rows": rows,
    }


def _json_side(side: Side) -> Json:
    return {
        "name": clean(side.name),
        "cell": side.cell,
        "param": side.param,
        "loss": exact(side.loss),
        "steps": side.steps,
        "instances": side.instances,
        "count": side.paths,
        "total_norm": exact(side.norm),
        "log10_total_norm": exact(side.log10_norm),
        "reach": side.reach,
        "longest_lag": side.longest,
        "cancellation": exact(side.cancellation),
    }


def _json_row(found: Comparison, side: int, place: int) -> Json | None:
    if not found.there[side, place]:
        return None
    return {"norm": exact(found.norms[side, place]), "share": exact(found.shares[side, place])}


def diff_text(found: Comparison, top: int) -> list[str]:
    """Both sides as a whole, the rows that changed most with bars of one scale, and what chance has to do with it."""
    a, b = found.a, found.b
    symbols = list(dict.fromkeys(derivative(_of(found), side.param) for side in (a, b)))
    lines = [f"{' and '.join(symbols)} by {clean(found.by)}: from A to B", "", *_sides(found), ""]
    if not found.labels:
        return [*lines, "no path leads there on either side"]
    shown = found.largest(top).tolist()
    lines += [*_rows(found, shown), *_rest(found, shown), ""]
    lines += _verdict(found)
    return lines


def diff_rows(found: Comparison, top: int) -> list[str]:
    """The rows that changed most alone, under a line that says of what they are."""
    shown = found.largest(top).tolist()
    head = (
        f"{derivative(_of(found), found.b.param)} by {clean(found.by)}: {clean(found.a.name)} and {clean(found.b.name)}"
    )
    return [head, *(_rows(found, shown) if shown else ["no path leads there"]), *_rest(found, shown)]


def _of(found: Comparison) -> str:
    every = max(found.a.steps, found.b.steps)
    return "L" if found.losses is None else loss_sum(found.losses, every)


def _sides(found: Comparison) -> list[str]:
    """The figures of both sides as a whole."""
    a, b = found.a, found.b
    rows = [
        ["network", f"{a.cell}: {clean(a.name, 40)}", f"{b.cell}: {clean(b.name, 40)}"],
        ["steps × instances", *(f"{side.steps:,} × {side.instances:,}" for side in (a, b))],
        ["loss", *(number(side.loss) for side in (a, b))],
        ["norm of the gradient", *(magnitude(side.norm, side.log10_norm) for side in (a, b))],
        ["reach: lags with 90 %", *(_reach(side) for side in (a, b))],
        ["cancellation κ", *(number(side.cancellation) for side in (a, b))],
        ["paths", *(integer(side.paths) for side in (a, b))],
    ]
    return table(["", "A", "B"], rows, left=(0,))


def _reach(side: Side) -> str:
    return UNDEFINED if side.reach is None else f"{side.reach} of {side.longest}"


def label_text(label: Label) -> str:
    """`3`, `L₄`, `L₄, 2`, `W_f×2 f`; a path by its nodes."""
    times = [typeset(f"L{of}") if name == "loss" else str(of) for name, of in label if name in TIMES]
    uses = [
        " → ".join(map(typeset, of)) if name == "path" else typeset(name) + (f"×{of}" if of > 1 else "")
        for name, of in label
        if name not in TIMES
    ]
    return clean(", ".join([*times, *([" ".join(uses)] if uses or not times else [])])) or "none of them"


_EDGES = "kinds of edges used"


def _heading(found: Comparison) -> str:
    named = [name for label in found.labels for name, _ in label]
    if "path" in named:
        return "path"
    times = [name for name in TIMES if name in named]
    return ", ".join([*times, *([_EDGES] if set(named) - set(TIMES) or not times else [])])


def _settled(change: float) -> float:
    return 0.0 if abs(change) <= _ROUNDING else change


def scale(found: Comparison, shown: Sequence[int]) -> float:
    """The |share| at which a bar is full, on both sides."""
    sizes = np.abs(found.shares[:, list(shown)])
    return float(np.nanmax(sizes, initial=0.0))


def _rows(found: Comparison, shown: Sequence[int]) -> list[str]:
    full, test = scale(found, shown), found.significance
    rows = []
    for place in shown:
        cells = [label_text(found.labels[place])]
        for side in (0, 1):
            share = float(found.shares[side, place])
            cells += [percent(share), bar(share / full, WIDTH) if full > 0 else ""]
        cells.append(percent(_settled(float(found.change[place]))))
        if test is not None:
            p = float(test.p[place])
            error = percent(_settled(float(test.errors[place]))).lstrip("+")
            cells += [error, f"{_p(p)}{' *' if p < LEVEL else '  '}"]
        rows.append(cells)
    words = ["A", "", "B", "", "B − A", *(["error", "p  "] if test is not None else [])]
    first = _heading(found)
    left = (0, 2, 4) if not all(name in TIMES for label in found.labels for name, _ in label) else (2, 4)
    lines = table([first, *words], rows, left=left)
    if full > 0:
        lines.append(f"bars: full at {percent(full).lstrip('+')} on both sides, ░ below 0; –: no such paths there")
    return lines


def _p(p: float) -> str:
    return f"{p:.4f}" if p >= 0.0001 else f"{p:.0e}"


def _rest(found: Comparison, shown: Sequence[int]) -> list[str]:
    """What the rows that are not shown add up to."""
    hidden = np.ones(len(found), dtype=bool)
    hidden[list(shown)] = False
    lines = []
    if hidden.any():
        parts = [percent(float(np.nansum(found.shares[side, hidden]))) for side in (0, 1)]
        lines.append(f"⋯ {int(hidden.sum()):,} rows that changed less: together {parts[0]} of A, {parts[1]} of B")
    if found.partial:
        rest = [percent(1 - float(np.nansum(found.shares[side]))) for side in (0, 1)]
        lines.append(f"these are the heaviest paths of A and of B; all others carry {rest[0]} of A, {rest[1]} of B")
    return lines


def _verdict(found: Comparison) -> list[str]:
    lines = [
        f"{name}: G = 0, so that shares are undefined and there is nothing to compare"
        for name, side in (("A", found.a), ("B", found.b))
        if side.log10_norm == -math.inf
    ]
    if lines:
        return lines
    for words, sign in (("gained most", 1.0), ("lost most", -1.0)):
        lines += _most(found, words, sign)
    test = found.significance
    if test is None:
        return [*lines, f"significance: none can be given: {clean(found.untested)}"]
    sure = int((test.p < LEVEL).sum())
    how = "paired, signs of differences flipped" if test.paired else "not the same instances, groups mixed"
    rows = f"{len(found):,} row{'s' * (len(found) != 1)}"
    lines.append(f"significance: {sure:,} of {rows} changed more than by chance, p < {LEVEL}")
    sizes = str(test.instances[0]) if len(set(test.instances)) == 1 else " and ".join(map(str, test.instances))
    lines.append(f"standard errors over {sizes} instances; p by permutation ({how}), for all rows together")
    if test.least >= LEVEL:
        lines.append(f"so few instances cannot tell: p is never below {_p(test.least)} here; give more")
    return lines


def _most(found: Comparison, words: str, sign: float) -> list[str]:
    change = np.where(np.isnan(found.change), 0.0, sign * found.change)
    places = [place for place in np.argsort(-change, kind="stable")[:_SAID].tolist() if change[place] > _ROUNDING]
    if not places:
        return []
    marks = ["" if found.significance is None or found.significance.p[place] >= LEVEL else " *" for place in places]
    named = "; ".join(
        f"{_spoken(found.labels[place])} {percent(float(found.change[place]))}{mark}"
        for place, mark in zip(places, marks, strict=True)
    )
    return [f"{words}: {named}"]


def _spoken(label: Label) -> str:
    """`lag 3`, where a number alone would not say what it is."""
    names = [name for name, _ in label]
    return f"{names[0]} {label_text(label)}" if names in (["lag"], ["entry"]) else label_text(label)


def beside(found: Comparison, top: int) -> Beside:
    """The same rows as a picture shows them."""
    shown, test = found.largest(top), found.significance
    words = [
        line for line in (*_rest(found, shown.tolist()), *_verdict(found)) if not line.startswith(("gained", "lost"))
    ]
    return Beside(
        f"{derivative(_of(found), found.a.param)} by {clean(found.by)}",
        _heading(found),
        tuple(label_text(found.labels[place]) for place in shown.tolist()),
        tuple(
            f"{name}: {side.cell}, {clean(side.name, 40)} (reach {_reach(side)})"
            for name, side in (("A", found.a), ("B", found.b))
        ),
        found.shares[:, shown],
        found.change[shown],
        None if test is None else test.errors[shown],
        np.zeros(len(shown), dtype=bool) if test is None else test.p[shown] < LEVEL,
        tuple(words),
    )
