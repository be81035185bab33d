"""Values step by step: of one kind of node, and of the forward pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unrollviz.api import Run
from unrollviz.arrays import Array
from unrollviz.cells import CELLS
from unrollviz.draw.layout import kind_of
from unrollviz.draw.text import number, table
from unrollviz.errors import UnknownName
from unrollviz.names import clean, typeset
from unrollviz.report.figures import Json


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
