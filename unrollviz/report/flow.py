"""A gradient taken apart: a row for each label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from unrollviz.api import Run
from unrollviz.arrays import Labels
from unrollviz.check import BOUNDS
from unrollviz.draw.text import bar, integer, magnitude, number, percent, table
from unrollviz.flows.flow import Flow
from unrollviz.flows.folds import carries, kinds, uses
from unrollviz.gradient import Truncation
from unrollviz.jacobians import frobenius
from unrollviz.names import clean, derivative, typeset
from unrollviz.report.figures import Json, exact


def flow_json(flow: Flow, cut: Truncation | None = None) -> Json:
    """`label` is a number, or one a column: [t, k] for `temporal`. `log10_norm` is exact where a norm is too small for
    a float64; null for a term of 0. `truncation` is there where it was asked for."""
    truncated = {"steps": cut.steps, "cosine": exact(cut.cosine), "norm_ratio": exact(cut.norm_ratio)} if cut else None
    return {
        "param": flow.target,
        "by": flow.by,
        "columns": list(flow.columns),
        "total_norm": exact(flow.total_norm),
        "log10_total_norm": exact(flow.log10_total_norm),
        "cancellation": exact(flow.cancellation),
        "rows": [
            {
                "label": row.label[0] if len(row.label) == 1 else row.label,
                "count": row.paths,
                "norm": exact(row.norm),
                "log10_norm": exact(row.log10),
                "share": exact(row.share),
            }
            for row in _flow_rows(flow)
        ],
    } | ({"truncation": truncated} if truncated else {})


class _Row(NamedTuple):
    label: list[int]
    paths: int
    norm: float
    log10: float
    share: float


def _flow_rows(flow: Flow, which: Sequence[int] | slice = slice(None)) -> list[_Row]:
    """All rows, or some of them."""
    counts = flow.counts[which] if isinstance(which, slice) else [flow.counts[row] for row in which]
    figures = (flow.norms[which].tolist(), flow.log10_norms[which].tolist(), flow.shares[which].tolist())
    return [_Row(*row) for row in zip(flow.labels[which].tolist(), counts, *figures, strict=True)]


def _heaviest_first(flow: Flow) -> list[int]:
    """All rows by their |share|, equal ones by their labels."""
    order: list[int] = np.lexsort((*flow.labels.T[::-1], -np.abs(flow.shares))).tolist()
    return order


def flow_text(run: Run, flow: Flow, loss: str | None, rows: int, cut: Truncation | None = None) -> list[str]:
    """A table of at most `rows` rows, and their sum against the reverse sweep over the whole sequence.

    Labels of time are in order; routes begin with the largest share."""
    symbol = derivative(loss or "L", flow.target)
    if not flow.counts:
        return [f"{symbol}: no path leads from {typeset(loss or 'L')} back to {typeset(flow.target)}."]
    every = len(flow.counts)
    routes = [column for column in flow.columns if column not in _LABEL]
    order = _heaviest_first(flow) if routes else None
    listed = [
        [_label(flow, row), integer(row.paths), magnitude(row.norm, row.log10), percent(row.share), bar(row.share)]
        for row in _flow_rows(flow, slice(rows) if order is None else order[:rows])
    ]
    lines = [f"{symbol} by {flow.by}: {_paths(sum(flow.counts))} in {every:,} row{'s' * (every != 1)}", ""]
    head = ", ".join(name for name in flow.columns if name in _LABEL and name != "total")
    if routes:
        head = f"{head}{', ' if head else ''}uses of each kind of edge"
    lines += table([head, "paths", "norm", "share", ""], listed, left=(0, 4) if routes else (4,))
    if every > rows:
        rest = float(flow.shares[slice(rows, None) if order is None else order[rows:]].sum())
        lines.append(f"⋯ {every - rows:,} more, together {percent(rest)}; --limit N lists more")
    lines += ["", *_by_kind(run, flow, routes)]
    norm = magnitude(flow.total_norm, flow.log10_total_norm)
    lines.append(
        f"sum of all rows: norm {norm}, shares {percent(float(flow.shares.sum()))}, "
        f"cancellation between rows κ = {number(flow.cancellation)}"
    )
    if flow.cancellation > _CANCELLED:
        coarser = f"--by {flow.by.replace('route', 'uses')}" if "route" in flow.by else "--by lag"
        coarser += "" if loss else " or --loss Lt"
        lines.append(f"rows cancel: their shares are large and of both signs; {coarser} shows more")
    vanished = flow.total_norm == 0 and flow.log10_total_norm > -np.inf  # for float64, which the reverse sweep gives
    if len(flow.counts) * flow.gradient.size < _SUMMED and not vanished:
        reverse = run.gradient(flow.target, loss)
        scale = float(flow.norms.sum())
        difference = float(np.abs(flow.terms.sum(axis=0) - reverse).max()) / scale if scale > 0 else 0.0
        verdict = "✓ equal" if difference <= BOUNDS["paths_vs_reverse"] else "✗ NOT EQUAL"
        lines.append(f"reverse sweep:   norm {number(frobenius(reverse))}, {verdict} ({difference:.0e})")
    elif not vanished:
        numbers = f"{every:,} terms of {flow.gradient.size:,} numbers"
        lines.append(f"reverse sweep:   not compared here, where it would take {numbers}; unrollviz check compares")
    if "lag" in flow.columns:
        lines.append(_reach(flow))
    if cut is not None:
        lines.append(
            f"truncated after {cut.steps} steps: norm {number(cut.norm_ratio)} of the true gradient's, "
            f"cosine between them {number(cut.cosine)}"
        )
    return lines


def _paths(count: int) -> str:
    return f"{integer(count)} path{'' if count == 1 else 's'}"


def _by_kind(run: Run, flow: Flow, routes: Sequence[str]) -> list[str]:
    """A row a kind of edge: the share of the paths that use it at all, and how often they do."""
    if not routes or "route" not in flow.by:
        return []
    columns = {name: flow.labels[:, flow.columns.index(name)].astype(np.int64) for name in routes}
    rows = [
        [typeset(name), percent(part), number(often), bar(part)]
        for name, (part, often) in ((name, uses(column, flow.shares)) for name, column in columns.items())
    ]
    lines = table(["kind of edge", "used by", "times a path", ""], rows, left=(0, 3))
    lines += [
        "used by: signed share of the paths that use it at all, more than 100 % where others cancel; times a path:"
    ]
    lines += ["how often they do, weighted by share", ""]
    return [*lines, *_carousel(run, flow, columns)]


def _carousel(run: Run, flow: Flow, columns: dict[str, Labels]) -> list[str]:
    """The share of the highway alone, where every recurrent weight is counted."""
    known = {kind: group for kind, (group, _) in kinds(run.graph).items()}
    counted = {kind for name in columns for kind, group in known.items() if name in (kind, group)}
    if not {kind for kind, group in known.items() if group in ("weights", "highway")} <= counted:
        return []
    highway = [column > 0 for name, column in columns.items() if carries(name) == "highway"]
    weights = [column > 0 for name, column in columns.items() if carries(name) == "weights"]
    if not highway or not weights:
        return []
    held = ~np.any(weights, axis=0)
    alone, neither = (held & on for on in (np.any(highway, axis=0), ~np.any(highway, axis=0)))
    return [
        f"by the highway alone, never through a recurrent weight: {percent(float(flow.shares[alone].sum()))}; "
        f"by neither, within one step: {percent(float(flow.shares[neither].sum()))}",
        "",
    ]


def _reach(flow: Flow) -> str:
    """Within how many steps back 50, 90 and 99 % of the norms lie."""
    lags = flow.labels[:, flow.columns.index("lag")].astype(np.int64)
    if flow.log10_norms.max() == -np.inf:
        return "reach: every term is 0"
    norms = 10 ** (flow.log10_norms - flow.log10_norms.max())  # of any size, though float64 may not hold them
    by_lag = np.bincount(np.abs(lags), weights=norms)
    parts = np.cumsum(by_lag) / by_lag.sum()
    within = ", ".join(f"{part} % within lag {int(np.argmax(parts >= part / 100 - 1e-12))}" for part in (50, 90, 99))
    return f"reach, by Σ‖row‖: {within}"


_CANCELLED = 100.0
"""κ above which a reader is warned."""

_SUMMED = 2**22
"""Numbers in all terms up to which they are built and summed for show."""


_LABEL: dict[str, Callable[[int], str]] = {
    "total": lambda label: "all",
    "loss": lambda label: typeset(f"L{label}"),
    "entry": str,
    "lag": str,
    "path": lambda label: str(label + 1),
}
"""Column -> how its labels are written; routes are written together."""


def _label(flow: Flow, row: _Row) -> str:
    times = [_LABEL[name](label) for name, label in zip(flow.columns, row.label, strict=True) if name in _LABEL]
    used = [
        f"{typeset(name)}×{label}" if label > 1 else typeset(name)
        for name, label in zip(flow.columns, row.label, strict=True)
        if name not in _LABEL and label
    ]
    if len(times) < len(flow.columns):
        times.append(clean(" ".join(used)) or "none of them")
    return ", ".join(times)
