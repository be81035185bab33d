"""What the command line says: paths, flows, checks and networks as lines of text, and as JSON objects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from unrollviz.api import Run
from unrollviz.check import BOUNDS, ENUMERATED, Report
from unrollviz.draw.text import bar, number, percent, table
from unrollviz.flow import Flow
from unrollviz.graph import LEVELS
from unrollviz.names import clean, derivative, typeset
from unrollviz.paths import PATH_LIMIT, Path, PathSet

Json = dict[str, Any]


def exact(value: float) -> float | None:
    """A number for JSON, which knows no NaN: null where it is undefined."""
    return float(value) if math.isfinite(value) else None


def of_losses(paths: PathSet) -> str:
    """The name of the one loss, or L for the sum of all."""
    return paths.losses[0] if len(paths.losses) == 1 else "L"


# ---------------------------------------------------------------------------------------------- paths


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
        "loss": of_losses(paths),
        "count": paths.count,
        "total_norm": exact(paths.total_norm),
        "cancellation": exact(paths.cancellation) if paths.count <= PATH_LIMIT else None,
        "paths": rows,
    }


def paths_text(run: Run, paths: PathSet, listed: Sequence[Path]) -> list[str]:
    """A table of the listed paths with a bar for the share, and the sum of all against the reverse sweep."""
    symbol = derivative(of_losses(paths), paths.target)
    count = f"{paths.count:,} path{'' if paths.count == 1 else 's'}"
    if paths.count == 0:
        return [f"{symbol}: no path leads from {typeset(of_losses(paths))} back to {typeset(paths.target)}."]
    lines = [f"{symbol} is a sum over {count}", ""]
    rows = [
        [str(p.rank + 1), written(p), str(p.entry), str(p.lag), number(p.norm), percent(p.share), bar(p.share)]
        for p in listed
    ]
    headings = ["#", "path, from the loss back", "enters at", "lag", "norm", "share", ""]
    lines += table(headings, rows, left=(1, 6))
    if len(listed) < paths.count:
        lines.append(f"⋯ {paths.count - len(listed):,} more; --limit N lists more, --top N the heaviest")
    return [*lines, "", *sum_lines(run, paths)]


def written(path: Path, width: int = 44) -> str:
    """The path's nodes, typeset; the middle of a long one left out."""
    names = [typeset(name) for name in path.nodes]
    if len(" ← ".join(names)) > width:
        names = [*names[:4], "⋯", *names[-2:]]
    return clean(" ← ".join(names))


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


# ----------------------------------------------------------------------------------------------- flow


def flow_json(flow: Flow) -> Json:
    """`label` is a number, or [t, k] for `temporal`."""
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
    }


def _flow_rows(flow: Flow) -> Iterable[tuple[list[int], int, float, float]]:
    return zip(flow.labels.tolist(), flow.counts, flow.norms.tolist(), flow.shares.tolist(), strict=True)


_LABELS = {"temporal": "loss, entry", "total": "", "path": "path"}


def flow_text(flow: Flow, loss: str, rows: int) -> list[str]:
    """A table of at most `rows` rows, the sum of the shares, and how far back 90 % of the gradient reaches."""
    symbol = derivative(loss, flow.target)
    if not flow.counts:
        return [f"{symbol}: no path leads from {typeset(loss)} back to {typeset(flow.target)}."]
    listed = [
        [_label(flow.by, label), f"{count:,}", number(norm), percent(share), bar(share)]
        for label, count, norm, share in _flow_rows(flow)
    ]
    lines = [f"{symbol} by {flow.by}: {sum(flow.counts):,} paths in {len(listed):,} rows", ""]
    lines += table([_LABELS.get(flow.by, flow.by), "paths", "norm", "share", ""], listed[:rows], left=(4,))
    if len(listed) > rows:
        lines.append(f"⋯ {len(listed) - rows:,} more; --limit N lists more")
    lines += [
        "",
        f"sum of all rows: norm {number(flow.total_norm)}, shares {percent(float(flow.shares.sum()))}, "
        f"cancellation between rows κ = {number(flow.cancellation)}",
    ]
    return lines


def _label(by: str, label: Sequence[int]) -> str:
    if by == "total":
        return "all"
    if by == "loss":
        return typeset(f"L{label[0]}")
    if by == "temporal":
        return f"{typeset(f'L{label[0]}')}, {label[1]}"
    return str(label[0] + 1 if by == "path" else label[0])


# ---------------------------------------------------------------------------------------------- check


def check_json(report: Report) -> Json:
    """`ok`, and the worst relative error of each method."""
    return {"ok": report.ok, "worst": {method: exact(error) for method, error in report.worst.items()}}


def check_text(report: Report) -> list[str]:
    """A row a parameter, a verdict a method."""
    rows = [
        [typeset(c.param), f"{c.paths:,}{'' if c.enumerated else ' *'}", *(f"{c.errors[m]:.1e}" for m in BOUNDS)]
        for c in report.comparisons
    ]
    headings = ["", "paths", "path sum", "forward mode", "central difference"]
    lines = ["Each parameter's gradient by four methods: largest difference from the reverse sweep", ""]
    lines += table(headings, rows, left=(0,))
    lines += ["", "path sum, forward mode: relative to Σ‖term‖; central difference: to the largest entry"]
    if not all(c.enumerated for c in report.comparisons):
        lines.append(f"* more than {ENUMERATED:,} paths: summed by lag and not one by one")
    kinks = sum(c.kinks for c in report.comparisons)
    if kinks:
        lines.append(f"{kinks} directions cross a kink of the activation, where no derivative exists; left out")
    lines.append("")
    for method, error in report.worst.items():
        mark = "✓" if error <= BOUNDS[method] else "✗"
        lines.append(f"{mark} {method.replace('_', ' ')}: worst {error:.1e}, allowed {BOUNDS[method]:.0e}")
    return lines


# ----------------------------------------------------------------------------------------------- info


def info_json(run: Run) -> Json:
    """The network and its graph at level `op`."""
    return {
        "cell": run.network.cell,
        "parameters": {name: list(value.shape) for name, value in run.network.params.items()},
        "n_parameters": int(run.network.count_parameters()),
        "nodes": run.graph.number_of_nodes(),
        "edges": run.graph.number_of_edges(),
        "steps": run.steps,
        "loss": run.loss,
        "losses": run.losses.tolist(),
    }


def info_text(run: Run) -> list[str]:
    """The network, its parameters term by term, its graph at each level of detail, its losses."""
    network = run.network
    graphs = [
        [detail, f"{run.level(detail).number_of_nodes():,}", f"{run.level(detail).number_of_edges():,}"]
        for detail in LEVELS
    ]
    return [
        f"{network.cell} network, {network.activation}: n = {network.inputs} inputs, d = {network.hidden} units, "
        f"k = {network.outputs} classes",
        "",
        *parameters_text(run),
        "",
        f"unrolled over T = {run.steps} steps, B = {run.instances} instance{'' if run.instances == 1 else 's'}",
        "",
        *table(["level of detail", "nodes", "edges"], graphs, left=(0,)),
        "",
        *forward_text(run),
    ]


def parameters_text(run: Run) -> list[str]:
    """dn + d² + kd + d + k, term by term and summed."""
    count = run.network.count_parameters()
    rows = [[name, formula, "×".join(map(str, shape)), f"{size:,}"] for name, formula, shape, size in count.rows]
    return [*table(["", "", "shape", "parameters"], rows, left=(0, 1)), f"{count}"]


def forward_text(run: Run, rows: int = 12) -> list[str]:
    """A row a step: what goes in, the norm of the state, the probability of the target, the loss."""
    nodes = run.graph.nodes
    listed = []
    for t in range(1, run.steps + 1):
        if rows <= t < run.steps:
            if t == rows:
                listed.append(["⋮", "", "", "", "", ""])
            continue
        state, output = nodes[f"s{t}"]["value"], nodes[f"yhat{t}"]["value"]
        target = run.targets[t - 1]
        symbols = [clean(nodes[name].get("symbol", ""), 8) for name in (f"x{t}", f"L{t}")]
        listed.append(
            [
                str(t),
                symbols[0] or _brief(run.inputs[t - 1, 0]),
                number(float(np.linalg.norm(state))),
                symbols[1] or (str(int(target[0].argmax())) if len(target) == 1 else f"{len(target)} targets"),
                number(float((output * target).sum() / len(target))),
                number(float(run.losses[t - 1])),
            ]
        )
    head = ["t", "x_t", "‖s_t‖", "target", "ŷ_t[target]", "L_t"]
    return [*table(head, listed, left=(1,)), f"L = Σ_t L_t = {number(run.loss)}"]


def _brief(values: Sequence[float]) -> str:
    shown = " ".join(f"{value:+.2f}" for value in values[:4])
    return shown + (" …" if len(values) > 4 else "")
