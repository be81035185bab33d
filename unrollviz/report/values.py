"""Values step by step: of one kind of node, and of the forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from unrollviz.api import Run
from unrollviz.arrays import Array
from unrollviz.cells import CELLS
from unrollviz.draw.layout import kind_of
from unrollviz.draw.text import number, table
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.export import Table
from unrollviz.names import clean, typeset
from unrollviz.report.figures import Json


@dataclass(frozen=True)
class Shown:
    """What a name stands for: a parameter, or the nodes of a kind in order of time; the other is empty."""

    name: str
    nodes: tuple[str, ...] = ()
    parameter: Array | None = None


def shown(run: Run, name: str) -> Shown:
    """What `name` is here: a kind of node (`s`, `l2.h`), one node (`s3`) or a parameter (`W`), in this order.

    Raises UnknownName, UnrollvizError."""
    nodes, kinds = run.graph.nodes, dict[str, list[str]]()
    for node, time in run.graph.nodes(data="time"):
        if time is not None:
            kinds.setdefault(kind_of(node), []).append(node)
    if "[" in name:
        raise UnrollvizError(f"{name}: values shows whole nodes and parameters; give {name.partition('[')[0]}")
    first = name.removeprefix("l1.")
    for one in (name, first) if first not in run.network.params else (name,):
        if one in kinds:
            return Shown(one, tuple(sorted(kinds[one], key=lambda node: int(nodes[node]["time"]))))
    if name in nodes and nodes[name]["time"] is not None:
        return Shown(name, (name,))
    try:
        target = run.target_named(name)
    except UnknownName as error:
        if error.advice:
            raise
        raise UnknownName("kind of node or parameter", name, [*kinds, *run.network.params]) from error
    return Shown(target, parameter=run.network.params[target])


def values_json(run: Run, what: Shown) -> Json:
    """The nodes of a kind in order of time, with their values in full: (B, units) each, a loss a number; or the
    parameter."""
    if what.parameter is not None:
        return {"param": what.name, "shape": list(what.parameter.shape), "value": what.parameter.tolist()}
    nodes = run.graph.nodes
    rows = [{"node": name, "time": nodes[name]["time"], "value": nodes[name]["value"].tolist()} for name in what.nodes]
    return {"kind": what.name, "rows": rows}


def values_table(run: Run, what: Shown) -> Table:
    """The same as rows: one a step and instance, the instances counted from 1, the units from 0; or one a row of the
    parameter."""
    if what.parameter is not None:
        matrix = _matrix(what.parameter)
        return Table(
            ("row", *map(str, range(matrix.shape[1]))), [[row, *line] for row, line in enumerate(matrix.tolist())]
        )
    values = [(name, np.atleast_2d(run.graph.nodes[name]["value"])) for name in what.nodes]
    rows = [
        [name, int(run.graph.nodes[name]["time"]), instance, *line]
        for name, value in values
        for instance, line in enumerate(value.tolist(), start=1)
    ]
    return Table(("node", "time", "instance", *map(str, range(values[0][1].shape[1]))), rows)


def values_text(run: Run, what: Shown, limit: int | None = None, width: int | None = None) -> list[str]:
    """A row a step, its norm and the units of its first instance; or the rows of a parameter. Units, rows and columns
    are counted from 0, as in `W[0,1]`: at most `limit` of them, and what `width` columns hold."""
    if what.parameter is not None:
        matrix = _matrix(what.parameter)
        shape = "×".join(map(str, what.parameter.shape))
        head = f"the parameter {typeset(what.name)}, {shape}, norm {number(float(np.linalg.norm(matrix)))}"
        return [head, "", *_fitting([""], [[str(row)] for row in range(len(matrix))], matrix, limit, width)]
    values = [np.atleast_2d(run.graph.nodes[name]["value"]) for name in what.nodes]
    begun = [
        [typeset(name), number(float(np.linalg.norm(value)))] for name, value in zip(what.nodes, values, strict=True)
    ]
    many = f", instance 1 of {run.instances}" if run.instances > 1 else ""
    first = np.stack([value[0] for value in values])
    return [
        f"the values of {typeset(what.name)} by step{many}; units from 0",
        "",
        *_fitting(["", "norm"], begun, first, limit, width),
    ]


def _matrix(value: Array) -> Array:
    """(rows, columns); a vector is one column."""
    return value.reshape(len(value), -1) if value.ndim else value.reshape(1, 1)


def _fitting(
    heads: Sequence[str], begun: Sequence[Sequence[str]], entries: Array, limit: int | None, width: int | None
) -> list[str]:
    """A table of rows that have begun, and as many columns of `entries` as may be and fit; how many more there are."""
    every = entries.shape[1]
    columns = [
        [str(unit), *(f"{entry: .4f}" for entry in entries[:, unit])]
        for unit in range(every if limit is None else min(limit, every))
    ]
    if width is not None:
        left = width - sum(
            max(map(len, column)) + 2 for column in ([head, *cells] for head, *cells in zip(heads, *begun, strict=True))
        )
        ends = accumulate(max(map(len, column)) + 2 for column in columns)
        columns = columns[: max(1, sum(end <= left for end in ends))]
    rows = [[*cells, *(column[row] for column in columns)] for row, cells in enumerate(begun, start=1)]
    lines = table([*heads, *(column[0] for column in columns)], rows, left=(0,))
    more = every - len(columns)
    return [*lines, f"⋯ {more:,} more, which --json and -o FILE.csv have"] if more else lines


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
