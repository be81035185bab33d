"""Where everything stands in a picture, in whole columns and rows: column = time, row = kind of node.

Computed once and drawn by every back end (SVG, terminal), so that a node is found in the same place
everywhere. A parameter is one node, at the left end of a rail of its own; along the rail stands a small
copy at each step that uses it, so that a path to W at step k ends visibly at step k. No search: the time
taken grows linearly with the steps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from unrollviz.adjacency import arguments
from unrollviz.arrays import beat
from unrollviz.graph import Graph
from unrollviz.names import typeset

EdgeName = tuple[str, str, int]
"""(tail, head, key), as networkx names an edge."""


class Place(NamedTuple):
    """A column and a row, both counted from 0: column 0 holds the parameters, row 0 is at the top."""

    column: int
    row: int


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its `kind` (a node's name without its step), its typeset `label`; `rail` names the parameter whose
    rail it is, None for a row of nodes."""

    kind: str
    label: str
    rail: str | None


@dataclass(frozen=True)
class Layout:
    """The places of a graph at one level of detail.

    Attributes:
        rows: from the losses at the top to the inputs at the bottom.
        times: the step that each column shows; None for column 0, the parameters.
        nodes: node -> place; a parameter stands at the left end of its rail.
        copies: (parameter, head, key) -> place of the copy from which that edge is drawn.
    """

    rows: tuple[Row, ...]
    times: tuple[int | None, ...]
    nodes: dict[str, Place]
    copies: dict[EdgeName, Place]


_STEP = re.compile(r"(?<=[A-Za-z_])\d+(?!\d*\.)")


def kind_of(name: str) -> str:
    """A node's name without its step: `s3` -> `s`, `W@s2` -> `W@s`, `l2.s3` -> `l2.s`."""
    return _STEP.sub("", name)


def kind_in(graph: Graph, name: str) -> str:
    """The kind of a node of `graph`, which what stands for a folded span (`draw.span`) has as an attribute."""
    kind: str | None = graph.nodes[name].get("kind")
    return kind_of(name) if kind is None else kind


def layout(graph: Graph) -> Layout:
    """Place every node of `graph`, and a copy of its parameter for every edge that leaves a parameter."""
    times: dict[str, int] = dict(graph.nodes(data="time"))
    kinds: dict[str, str] = {}
    rails: dict[str, list[tuple[str, int]]] = {}
    for name, role in graph.nodes(data="role"):
        if role == "parameter":
            rails[name] = []
        else:
            kinds[name] = kind_in(graph, name)
    rail_below: dict[str, str] = {}
    for head, tails in arguments(graph).items():
        for tail, parallel in tails.items():
            if tail in rails:
                rails[tail] += [(head, key) for key in parallel]
                rail_below.setdefault(tail, kinds[head])
    rows: list[Row] = []
    for kind in reversed(_initial_beside_state(kinds, graph)):
        rows.append(Row(kind, typeset(kind), None))
        rows += [Row(p, typeset(p), p) for p, consumer in rail_below.items() if consumer == kind]
    row_of = {row.kind: index for index, row in enumerate(rows) if row.rail is None}
    rail_of = {row.rail: index for index, row in enumerate(rows)}  # apart: an LSTM has a state c and a parameter c
    columns: tuple[int | None, ...] = (None, *sorted({times[name] for name in kinds}))
    column_of = {time: index for index, time in enumerate(columns)}
    nodes, copies = {}, {}
    for name in graph:
        beat()
        if name in kinds:
            nodes[name] = Place(column_of[times[name]], row_of[kinds[name]])
        elif name in rail_of:  # else no edge uses it at this level
            nodes[name] = Place(0, rail_of[name])
            for head, key in rails[name]:
                copies[name, head, key] = Place(column_of[times[head]], rail_of[name])
    return Layout(tuple(rows), columns, nodes, copies)


def _initial_beside_state(kinds: dict[str, str], graph: Graph) -> list[str]:
    """The kinds in the order of computation, an initial state's row moved up to where step 1 computes its kind."""
    order: dict[str, int] = {}
    for name, role in graph.nodes(data="role"):
        if role not in ("parameter", "initial"):
            order.setdefault(kinds[name], len(order))
    return sorted(dict.fromkeys(kinds.values()), key=lambda kind: order.get(kind, -1))
