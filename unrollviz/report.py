"""What the command line says: paths, flows, checks and networks as lines of text, and as JSON objects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from unrollviz.api import Run
from unrollviz.arrays import Array
from unrollviz.cells import CELLS
from unrollviz.check import BOUNDS, ENUMERATED, Report
from unrollviz.draw.layout import kind_of
from unrollviz.draw.text import bar, integer, number, percent, table
from unrollviz.errors import UnknownName
from unrollviz.flow import Flow, Truncation
from unrollviz.graph import levels_of
from unrollviz.names import clean, derivative, typeset
from unrollviz.network import Network
from unrollviz.paths import PATH_LIMIT, Path, PathSet
from unrollviz.readers.found import Found

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
    count = f"{integer(paths.count)} path{'' if paths.count == 1 else 's'}"
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


# ----------------------------------------------------------------------------------------------- flow


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
    graphs = [
        [detail, f"{run.level(detail).number_of_nodes():,}", f"{run.level(detail).number_of_edges():,}"]
        for detail in levels_of(run.graph)
    ]
    return [
        described(run.network),
        "",
        *parameters_text(run.network),
        "",
        f"unrolled over T = {run.steps} steps, B = {run.instances} instance{'' if run.instances == 1 else 's'}",
        "",
        *table(["level of detail", "nodes", "edges"], graphs, left=(0,)),
        "",
        *forward_text(run),
    ]


def described(network: Network) -> str:
    """The network in a line."""
    layers = f"{network.layers} layers, " if network.layers > 1 else ""
    directions = "both directions, " if network.bidirectional else ""
    activation = f"{network.activation}, " if CELLS[network.cell].activations else ""
    sizes = f"n = {network.inputs} inputs, d = {network.hidden} units, k = {network.outputs} outputs"
    return f"{network.cell} network: {activation}{layers}{directions}{sizes}"


def parameters_text(network: Network, most: int = 60) -> list[str]:
    """dn + d² + kd + d + k, term by term and summed."""
    count = network.count_parameters()
    rows = [[name, formula, "×".join(map(str, shape)), f"{size:,}"] for name, formula, shape, size in count.rows]
    if len(rows) > most:
        rows = [*rows[:most], ["⋮", "", "", f"⋯ {len(rows) - most} more"]]
    return [*table(["", "", "shape", "parameters"], rows, left=(0, 1)), f"{count}"]


def found_json(found: Found) -> Json:
    """What was found in a model file; of the graph and the losses nothing is known without data."""
    network = found.network
    return {
        "cell": network.cell,
        "activation": network.activation,
        "layers": network.layers,
        "bidirectional": network.bidirectional,
        "inputs": network.inputs,
        "hidden": network.hidden,
        "outputs": network.outputs,
        "parameters": {name: list(value.shape) for name, value in network.params.items()},
        "n_parameters": int(network.count_parameters()),
        "readout": found.readout,
        "used": list(found.used),
        "ignored": list(found.ignored),
    }


def found_text(found: Found) -> list[str]:
    """What was found in a model file."""
    return [described(found.network), "", *found_lines(found), *parameters_text(found.network)]


def found_lines(found: Found) -> list[str]:
    """How the network was recognised: what was used for what, and what was not."""
    others = [name for name in found.choices if name != found.readout]
    lines = [f"read out by {clean(found.readout)}" + (f" (not by {', '.join(map(clean, others))})" if others else "")]
    if found.ignored:
        shown = ", ".join(map(clean, found.ignored[:12]))
        lines.append(f"ignored: {shown}{', …' if len(found.ignored) > 12 else ''}")
    return [*lines, ""]


# ---------------------------------------------------------------------------------------------- values


def _nodes_of_kind(run: Run, kind: str) -> list[str]:
    kinds = dict.fromkeys(kind_of(name) for name, time in run.graph.nodes(data="time") if time is not None)
    if kind not in kinds:
        raise UnknownName("kind of node", kind, kinds)
    nodes = run.graph.nodes
    found = [name for name in nodes if nodes[name]["time"] is not None and kind_of(name) == kind]
    return sorted(found, key=lambda name: int(nodes[name]["time"]))


def values_json(run: Run, kind: str) -> Json:
    """The nodes of a kind in order of time, with their values in full: (B, units) each, a loss a number."""
    nodes = run.graph.nodes
    rows = [
        {"node": name, "time": nodes[name]["time"], "value": nodes[name]["value"].tolist()}
        for name in _nodes_of_kind(run, kind)
    ]
    return {"kind": kind, "rows": rows}


def values_text(run: Run, kind: str, units: int = 8) -> list[str]:
    """A row a step: the norm, and the first units of the first instance."""
    rows = []
    for name in _nodes_of_kind(run, kind):
        value = np.atleast_2d(run.graph.nodes[name]["value"])
        shown = [f"{entry: .4f}" for entry in value[0, :units]] + (["…"] if value.shape[1] > units else [])
        rows.append([typeset(name), number(float(np.linalg.norm(value))), *shown])
    heads = [str(unit + 1) for unit in range(min(units, len(rows[0]) - 2))] + ["…"] * (len(rows[0]) - 2 > units)
    many = f", instance 1 of {run.instances}" if run.instances > 1 else ""
    return [f"the values of {typeset(kind)} by step{many}", "", *table(["", "norm", *heads], rows, left=(0,))]


# --------------------------------------------------------------------------------------------- forward


def forward_text(run: Run, rows: int = 12) -> list[str]:
    """A row a step: what goes in, the norms of the top layer's states, the target and what was said of it, the loss."""
    prefix = run.network.stack[-1].prefix
    states = CELLS[run.network.cell].states
    listed = []
    for t in range(1, run.steps + 1):
        if rows <= t < run.steps:
            if t == rows:
                listed.append(["⋮", *[""] * (len(states) + 4)])
            continue
        listed.append(_forward_row(run, t, [f"{prefix}{state}{t}" for state in states]))
    head = ["t", "x_t", *(f"‖{prefix}{state}_t‖" for state in states), "target", _SAID[run.batch.loss], "L_t"]
    return [*table(head, listed, left=(1,)), f"L = {number(run.loss)}, the sum of L_t over the steps"]


_SAID = {"cross_entropy": "ŷ_t[target]", "binary_cross_entropy": "ŷ_t", "squared_error": "ŷ_t"}


def _forward_row(run: Run, t: int, states: Sequence[str]) -> list[str]:
    nodes = run.graph.nodes
    fed, asked = (clean(nodes[name].get("symbol", ""), 8) if name in nodes else "" for name in (f"x{t}", f"L{t}"))
    target = run.targets[t - 1]
    classes = run.batch.loss == "cross_entropy"
    if f"L{t}" not in nodes:
        wanted, said = "", ""
    elif len(target) > 1:
        wanted, said = f"{len(target)} targets", _of_target(run, t) if classes else ""
    else:
        wanted = asked or (str(int(target[0].argmax())) if classes else _brief(target[0]))
        said = _of_target(run, t) if classes else _brief(nodes[f"yhat{t}"]["value"][0])
    return [
        str(t),
        fed or _brief(run.inputs[t - 1, 0]),
        *(number(float(np.linalg.norm(nodes[name]["value"]))) for name in states),
        wanted,
        said,
        number(float(run.losses[t - 1])),
    ]


def _of_target(run: Run, t: int) -> str:
    """The mean probability that the network gave to the target."""
    target = run.targets[t - 1]
    return number(float((run.graph.nodes[f"yhat{t}"]["value"] * target).sum() / len(target)))


def _brief(values: Array) -> str:
    shown = " ".join(f"{value:+.2f}" for value in values[:4])
    return shown + (" …" if len(values) > 4 else "")
