"""A gradient taken apart: a row for each label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from unrollviz.api import Run
from unrollviz.check import BOUNDS
from unrollviz.draw.text import bar, integer, number, percent, table
from unrollviz.flow import Flow, Truncation
from unrollviz.names import derivative, typeset
from unrollviz.report.figures import Json, exact


def flow_json(flow: Flow, cut: Truncation | None = None) -> Json:
    """`label` is a number, or [t, k] for `temporal`. `truncation` is there where it was asked for."""
    truncated = {"steps": cut.steps, "cosine": exact(cut.cosine), "norm_ratio": exact(cut.norm_ratio)} if cut else None
    return {
        "param": flow.target,
        "by": flow.by,
        "total_norm": exact(flow.total_norm),
        "rows": [
            {
                "label": label[0] if len(label) == 1 else label,
                "count": count,
                "norm": exact(norm),
                "share": exact(share),
            }
            for label, count, norm, share in _flow_rows(flow)
        ],
    } | ({"truncation": truncated} if truncated else {})


def _flow_rows(flow: Flow) -> Iterable[tuple[list[int], int, float, float]]:
    return zip(flow.labels.tolist(), flow.counts, flow.norms.tolist(), flow.shares.tolist(), strict=True)


_LABELS = {"temporal": "loss, entry", "total": "", "path": "path"}


def flow_text(run: Run, flow: Flow, loss: str | None, rows: int, cut: Truncation | None = None) -> list[str]:
    """A table of at most `rows` rows, and their sum against the reverse sweep over the whole sequence."""
    symbol = derivative(loss or "L", flow.target)
    if not flow.counts:
        return [f"{symbol}: no path leads from {typeset(loss or 'L')} back to {typeset(flow.target)}."]
    listed = [
        [_label(flow.by, label), integer(count), number(norm), percent(share), bar(share)]
        for label, count, norm, share in _flow_rows(flow)
    ]
    lines = [f"{symbol} by {flow.by}: {integer(sum(flow.counts))} paths in {len(listed):,} rows", ""]
    lines += table([_LABELS.get(flow.by, flow.by), "paths", "norm", "share", ""], listed[:rows], left=(4,))
    if len(listed) > rows:
        lines.append(f"⋯ {len(listed) - rows:,} more; --limit N lists more")
    lines += [
        "",
        f"sum of all rows: norm {number(flow.total_norm)}, shares {percent(float(flow.shares.sum()))}, "
        f"cancellation between rows κ = {number(flow.cancellation)}",
    ]
    if len(flow.counts) * flow.gradient.size < _SUMMED:
        reverse = run.gradient(flow.target, loss)
        scale = float(flow.norms.sum())
        difference = float(np.abs(flow.terms.sum(axis=0) - reverse).max()) / scale if scale > 0 else 0.0
        verdict = "✓ equal" if difference <= BOUNDS["paths_vs_reverse"] else "✗ NOT EQUAL"
        lines.append(f"reverse sweep:   norm {number(float(np.linalg.norm(reverse)))}, {verdict} ({difference:.0e})")
    if cut is not None:
        lines.append(
            f"truncated after {cut.steps} steps: norm {number(cut.norm_ratio)} of the true gradient's, "
            f"cosine between them {number(cut.cosine)}"
        )
    return lines


_SUMMED = 2**22
"""Numbers in all terms up to which they are built and summed for show."""


def _label(by: str, label: Sequence[int]) -> str:
    if by == "total":
        return "all"
    if by == "loss":
        return typeset(f"L{label[0]}")
    if by == "temporal":
        return f"{typeset(f'L{label[0]}')}, {label[1]}"
    return str(label[0] + 1 if by == "path" else label[0])
