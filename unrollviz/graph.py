"""The traced computation as an `nx.MultiDiGraph`: nodes, edges, formulas and levels of detail.

Nodes are named strings, inserted in the order of computation, which is therefore a topological order.
Edges run in the direction of computation; the edge key is the argument position, so that the two edges
of x ⊙ x stay two.

Node attributes: `op` (a name in OPS, or None for a leaf), `role` (see ROLES), `time` (step, None for a
parameter), `layer` (counted from 1), `value`, `label` (typeset); where cotangents are kept in another
coordinate also `coordinate` and `scale` (see `InChart`); where entries were set by hand also `overridden`,
index -> value.  Edge attribute: `jacobian`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import networkx as nx
import numpy as np

from unrollviz.adjacency import arguments as arguments_of
from unrollviz.adjacency import nodes as nodes_of
from unrollviz.adjacency import put_edge, put_node
from unrollviz.arrays import Array, beat, many_objects
from unrollviz.charts import InChart
from unrollviz.composite import Composite, scaled
from unrollviz.errors import NonFinite, ShapeError, UnknownName
from unrollviz.jacobians import Diagonal, Jacobian
from unrollviz.names import subscript, typeset
from unrollviz.ops import OPS

Graph: TypeAlias = nx.MultiDiGraph

ROLES: dict[str, str] = {
    "parameter": "U, W, V, b, c: shared by every step",
    "input": "x_t",
    "initial": "the state before the first step",
    "hidden": "an operation inside a step",
    "gate": "i, f, g, o of an LSTM; r, z, n of a GRU",
    "logits": "the readout before the softmax",
    "state": "s_t; in gated cells h_t and c_t",
    "output": "ŷ_t",
    "loss": "L_t",
}

LEVELS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "state": lambda node: node["role"] not in ("hidden", "logits", "gate"),
    "gate": lambda node: node["role"] not in ("hidden", "logits"),
    "op": lambda node: True,
}
"""Level of detail -> which nodes are its landmarks. Paths are listed by the landmarks that they visit."""


@dataclass(slots=True, eq=False)
class Node:
    """A traced value: calling an op on nodes computes its value and adds it to the graph."""

    tracer: Tracer
    name: str
    value: Array
    attributes: dict[str, Any]
    scale: Array | None = None

    def __matmul__(self, other: Node) -> Node:
        return self.tracer.apply("matvec", self, other)

    def __add__(self, other: Node) -> Node:
        return self.tracer.apply("add", self, other)

    def __mul__(self, other: Node) -> Node:
        return self.tracer.apply("mul", self, other)


Overrides: TypeAlias = Mapping[str, Mapping[tuple[int, ...], float]]
"""Node -> index of an entry -> the value that is set there."""


@dataclass
class Tracer:
    """Builds the graph while a network runs. `time`, `layer` and `prefix` describe where it is just now.

    Entries of computed nodes in `overrides` get the values given there. They no longer depend on the node's arguments:
    their rows of its local Jacobians are 0, so nothing of their cotangent goes further back.
    """

    graph: Graph = field(default_factory=nx.MultiDiGraph)
    overrides: Overrides = field(default_factory=dict)
    time: int | None = None
    layer: int | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        self._nodes = nodes_of(self.graph)
        self._shown: dict[str, str] = {}  # a name without its step -> how it is shown

    def leaf(self, name: str, value: Array, role: str) -> Node:
        """Add a parameter, an input or an initial state, under its full name."""
        check_finite(value, name, self.time, f"mend what was given as {role}")
        return Node(self, name, value, self._add_node(name, value, None, role, typeset(name)))

    def apply(
        self, op_name: str, *arguments: Node, name: str | None = None, role: str = "hidden", **constants: Any
    ) -> Node:
        """Compute one op, add its node and an edge with its Jacobian for every argument.

        Args:
            name: `a` becomes `a3` at step 3, behind the layer's prefix; without it the node is named by what it
                computes (`W@s2`).
        Raises:
            ShapeError: where the arguments do not fit each other.
            NonFinite: where the result overflows or is undefined.
        """
        beat()
        op, graph = OPS[op_name], self.graph
        values = [argument.value for argument in arguments]
        if op.reads_chart:
            values[0] = arguments[0].attributes["coordinate"]
        chart = op.chart
        try:
            if chart is None:
                value = np.asarray(op.forward(*values, **constants))
            else:  # the same bits as forward gives
                coordinate = chart.coordinate(*values)
                value = np.asarray(chart.value(coordinate))
        except ValueError as error:
            shapes = ", ".join(f"{a.name} {a.value.shape}" for a in arguments)
            raise ShapeError(f"{op_name} cannot combine {shapes}; check the sizes of the parameters") from error
        full_name, label = self._full_name(op_name, arguments, name)
        if not op.bounded:
            check_finite(value, full_name, self.time, "the forward pass overflows; scale the weights or inputs down")
        entries = self.overrides.get(full_name) if self.overrides else None
        shown_value = value
        if entries:
            shown_value = _overridden(value, entries)
            check_finite(shown_value, full_name, self.time, "give entries that are set by hand a finite number")
        attributes = self._add_node(full_name, shown_value, op_name, role, label)
        if entries:
            attributes["overridden"] = dict(entries)
        out_scale = None
        if chart is not None:
            out_scale = chart.scale(coordinate, value)
            attributes["coordinate"], attributes["scale"] = coordinate, out_scale
        for position, jacobian in enumerate(op.jacobians(value, *values, **constants)):
            argument, local = arguments[position], jacobian
            if out_scale is not None or argument.scale is not None:
                local = _charted(local, full_name, out_scale, argument, op.reads_chart)
            if entries:
                local = _severed(local, entries)
            put_edge(graph, argument.name, full_name, position, {"jacobian": local})
        return Node(self, full_name, shown_value, attributes, out_scale)

    def _full_name(self, op_name: str, arguments: tuple[Node, ...], name: str | None) -> tuple[str, str]:
        """As it is typed, and as it is shown: typeset, put together from what the arguments' names are when typeset."""
        if name is not None:
            stem = f"{self.prefix}{name}"
            if stem not in self._shown:
                self._shown[stem] = typeset(stem)
            full_name, label = f"{stem}{self.time}", self._shown[stem] + subscript(self.time)
        elif op_name in _JOINERS:
            typed, shown = _JOINERS[op_name]
            full_name = typed.join([argument.name for argument in arguments])
            label = shown.join([argument.attributes["label"] for argument in arguments])
        else:
            full_name = f"{op_name}({','.join([argument.name for argument in arguments])})"
            label = f"{op_name}({','.join([argument.attributes['label'] for argument in arguments])})"
        while full_name in self._nodes:
            full_name, label = full_name + "'", label + "'"
        return full_name, label

    def _add_node(self, name: str, value: Array, op: str | None, role: str, label: str) -> dict[str, Any]:
        attributes = {
            "op": op,
            "role": role,
            "time": self.time,
            "layer": self.layer,
            "value": value,
            "label": label,
        }
        put_node(self.graph, name, attributes)
        return attributes


_JOINERS = {"matvec": ("@", " "), "mul": ("*", " ⊙ "), "add": ("+", " + ")}
"""Op -> what stands between the names of its arguments, typed and shown."""


def _overridden(value: Array, entries: Mapping[tuple[int, ...], float]) -> Array:
    """`value` with some entries set."""
    changed = value.copy()
    for index, entry in entries.items():
        changed[index] = entry
    return changed


def _charted(jacobian: Jacobian, head: str, out_scale: Array | None, argument: Node, reads_chart: bool) -> Jacobian:
    """The edge from `argument` to `head`, one of which has a chart, as a sweep is to take it."""
    scale = argument.scale
    if scale is not None and not reads_chart:
        steps = ((head, "value", jacobian), ("value", argument.name, Diagonal(scale)))
        jacobian = Composite(head, argument.name, steps)
    return in_chart(jacobian, out_scale, scale)


def _severed(jacobian: Jacobian, entries: Mapping[tuple[int, ...], float]) -> Jacobian:
    """`jacobian` where these entries of the output do not depend on its input."""
    kept = np.ones(jacobian.out_shape)
    for index in entries:
        kept[index] = 0.0
    return scaled(jacobian, kept)


def in_chart(jacobian: Jacobian, out_scale: Array | None, in_scale: Array | None) -> Jacobian:
    """`jacobian`, made to show itself in the textbook's coordinates where one of its ends has a chart."""
    if out_scale is None and in_scale is None:
        return jacobian
    return InChart(jacobian, out_scale, in_scale)


def check_finite(value: Array, node: str, time: int | None, advice: str) -> None:
    """Raise NonFinite, naming the node, where `value` holds a NaN or an infinity."""
    squares = np.vdot(value, value)  # finite: so are all entries, told in a third of the time
    if not math.isfinite(squares) and not np.isfinite(value).all():
        raise NonFinite("the value", node, time, advice)


def node_named(graph: Graph, name: str, kind: str = "node") -> dict[str, Any]:
    """The attributes of node `name`; UnknownName, with the nearest name, where there is none."""
    if name not in graph:
        raise UnknownName(kind, name, graph)
    attributes: dict[str, Any] = graph.nodes[name]
    return attributes


def names_of(graph: Graph, role: str) -> list[str]:
    """The nodes of one role in the order of computation: all losses, all parameters."""
    return [name for name, found in graph.nodes(data="role") if found == role]


def formula(graph: Graph, name: str, stop: Collection[str] = ()) -> str:
    """How node `name` is computed, in typeset words: `s₃ = tanh(U x₃ + W s₂ + b)`.

    Arguments that are not in `stop` are written out in turn; with no `stop`, only the last op is shown. Entries that
    were set by hand are told: `s₃ = tanh(U x₃ + W s₂ + b), s₃[0] set to 1`.
    """
    op = graph.nodes[name]["op"]
    if op is None:
        return str(graph.nodes[name]["label"])

    told: list[str] = []

    def written(node: str, factor: bool = False) -> str:
        op = graph.nodes[node]["op"]
        if op is None or (node != name and (not stop or node in stop)):
            return typeset(node)
        entries = graph.nodes[node].get("overridden", {})
        for index, value in entries.items():
            shown = index[1:] if len(graph.nodes[node]["value"]) == 1 else index
            told.append(f", {typeset(node)}[{', '.join(map(str, shown))}] set to {value:.6g}")
        edges = sorted(graph.in_edges(node, keys=True), key=lambda edge: edge[2])
        arguments = [written(tail, op in ("matvec", "mul")) for tail, _, _ in edges]
        words = OPS[op].formula.format(*arguments, args=" + ".join(arguments))
        return f"({words})" if factor and op == "add" else words

    return f"{typeset(name)} = {written(name)}{''.join(told)}"


def backward_edges(graph: Graph, head: str) -> Iterator[tuple[str, int, Jacobian]]:
    """(tail, key, Jacobian) of every edge into `head`: one step back along each path through it."""
    for tail, parallel in graph.pred[head].items():
        for key, attributes in parallel.items():
            yield tail, key, attributes["jacobian"]


def edge_norm(graph: Graph, edge: tuple[str, str, int]) -> float:
    """‖∂head/∂tail‖ of (tail, head, key). Worked out once an edge, which then has it as its attribute `norm`."""
    attributes = graph.edges[edge]
    if "norm" not in attributes:
        attributes["norm"] = attributes["jacobian"].norm()
    return float(attributes["norm"])


def contract(graph: Graph, landmarks: Collection[str]) -> Graph:
    """The graph on the landmarks alone: one edge u -> v for all paths from u to v with no landmark between.

    The edge's Jacobian is the sum over those paths (`Composite`), so sums over paths are the same at
    every level of detail.
    """
    level = nx.MultiDiGraph()
    position = {name: index for index, name in enumerate(graph)}
    attributes, arguments = nodes_of(graph), arguments_of(graph)
    into: dict[str, list[Step]] = {
        head: [(head, tail, edge["jacobian"]) for tail, parallel in tails.items() for edge in parallel.values()]
        for head, tails in arguments.items()
    }
    known: dict[Pattern, Ends] = {}
    for head, node in attributes.items():
        if head not in landmarks:
            continue
        beat()
        put_node(level, head, dict(node))
        steps = _interior(head, into, landmarks, position)
        if not steps:
            continue
        places = {head: 0}
        pattern = tuple([(places[h], places.setdefault(t, len(places)), t in landmarks) for h, t, _ in steps])
        ends = known.get(pattern)
        if ends is None:
            ends = known[pattern] = _between(pattern)
        scale = node.get("scale")
        for chosen in ends:
            tail = steps[chosen[-1]][1]
            if len(chosen) == 1:
                jacobian = steps[chosen[0]][2]
            else:
                whole = Composite(head, tail, tuple([steps[index] for index in chosen]))
                jacobian = in_chart(whole, scale, attributes[tail].get("scale"))
            put_edge(level, tail, head, 0, {"jacobian": jacobian})
    return level


Step: TypeAlias = tuple[str, str, Jacobian]
"""One edge, from the head back to the tail."""
Pattern: TypeAlias = tuple[tuple[int, int, bool], ...]
"""Steps with numbers for names, (head, tail, is the tail a landmark?): the same at every step of a long sequence."""
Ends: TypeAlias = tuple[tuple[int, ...], ...]
"""For each landmark behind a node the steps, by their index, that lie on paths to it."""


def _interior(
    head: str, into: Mapping[str, list[Step]], landmarks: Collection[str], position: Mapping[str, int]
) -> list[Step]:
    """Every edge on a path from `head` back to the next landmarks, in the order of the sweep."""
    inside, stack = {head}, [head]
    while stack:
        for _, tail, _ in into[stack.pop()]:
            if tail not in landmarks and tail not in inside:
                inside.add(tail)
                stack.append(tail)
    if len(inside) == 1:
        return into[head]
    nodes = sorted(inside, key=position.__getitem__, reverse=True)
    return [step for node in nodes for step in into[node]]


def _between(steps: Pattern) -> Ends:
    """For each landmark the steps on paths to it, in order: each is looked at once for each end."""
    leads_to: dict[int, tuple[int, ...]] = {}
    found: dict[int, list[int]] = {tail: [] for _, tail, landmark in steps if landmark}
    for index in reversed(range(len(steps))):
        head, tail, _ = steps[index]
        ends = (tail,) if tail in found else leads_to.get(tail, ())
        known = leads_to.get(head)
        leads_to[head] = ends if known is None else (*known, *(end for end in ends if end not in known))
        for end in ends:
            found[end].append(index)
    return tuple(tuple(reversed(chosen)) for chosen in found.values())


def levels_of(graph: Graph) -> list[str]:
    """The levels of LEVELS that differ for this graph, coarsest first: without gates there is no level of gates."""
    gates = bool(names_of(graph, "gate"))
    return [level for level in LEVELS if gates or level != "gate"]


def level_of_detail(graph: Graph, detail: str, also: Collection[str] = ()) -> Graph:
    """`graph` at a level of LEVELS; nodes in `also` are landmarks too.

    Raises UnknownName for an unknown level.
    """
    if detail not in LEVELS:
        raise UnknownName("level of detail", detail, LEVELS)
    if detail == "op":
        return graph
    landmark = LEVELS[detail]
    with many_objects():
        return contract(graph, {name for name, node in graph.nodes(data=True) if landmark(node)} | set(also))
