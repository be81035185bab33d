"""The way back: the part of a graph that leads to some targets, edge by edge, as a sweep walks it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import networkx as nx
import numpy as np

from unrollviz.adjacency import arguments, put_edge, put_node
from unrollviz.adjacency import nodes as nodes_of
from unrollviz.arrays import Array, arithmetic, beat, many_objects
from unrollviz.charts import LeaveChart
from unrollviz.composite import Composite, behind_first, common_slope, lean
from unrollviz.graph import Graph
from unrollviz.jacobians import CANCELLED, Jacobian, least_entry, least_slope, least_stretch, record

T = TypeVar("T")


@record
class Edge:
    """One step back along a path, from `head` to its argument `tail`."""

    head: str
    tail: str
    key: int
    jacobian: Jacobian


@record
class Leg:
    """An edge as a sweep walks it.

    Attributes:
        edge: to a target, or to another head, or both.
        last: the edge as the last one of a path, where paths end behind it (see `leave_chart`).
        step: the step k at which they enter there.
        onward: whether paths go on behind it.
    """

    edge: Edge
    last: Edge | None
    step: int
    onward: bool


@record
class Stop:
    """A head as a sweep comes to it: the edges from there, and whether rows that have become small are scaled up."""

    head: str
    scaled: bool
    legs: tuple[Leg, ...]


@dataclass(frozen=True)
class Way:
    """The part of a graph that leads to some targets, as a sweep walks it.

    Attributes:
        targets: where paths end.
        heads: in reverse topological order, each with its edges to a target or to another head; those to a target
            first, so that whoever takes arrivals has let go of older rows when new ones are made.
        sloped: the heads whose rows already are multiplied by the slope by which all of their edges begin.
        begun: where the paths from a loss first part, and their one cotangent there; noted as losses are asked for.
        answers: what has been found out about the way for some losses, for the next sweep; see `answered`.
    """

    graph: Graph
    targets: frozenset[str]
    heads: tuple[tuple[str, tuple[Edge, ...]], ...]
    sloped: frozenset[str] = frozenset()
    begun: dict[str, tuple[str, Array]] = field(default_factory=dict)
    answers: dict[Hashable, Any] = field(default_factory=dict)

    @classmethod
    def to(cls, graph: Graph, targets: Collection[str]) -> Way:
        """The way back to `targets`, from wherever there is one."""
        goals = frozenset(targets)
        heads: list[tuple[str, tuple[Edge, ...]]] = []
        inside: set[str] = set()
        with many_objects():
            for head, tails in arguments(graph).items():
                beat()
                kept = [
                    Edge(head, tail, key, edge["jacobian"])
                    for tail, keys in tails.items()
                    if tail in goals or tail in inside
                    for key, edge in keys.items()
                ]
                if kept:
                    inside.add(head)
                    kept.sort(key=lambda edge: edge.tail not in goals)
                    heads.append((head, tuple(kept)))
        return cls(graph, goals, tuple(reversed(heads)))

    def lean(self) -> Way:
        """The same with less to do an edge: where all edges of a head begin by the same slope, as s_t's do by that of
        tanh, the edges into it end by that slope instead. Arrivals from there are behind it."""
        nodes = self.graph.nodes
        slopes = {
            head: slope
            for head, edges in self.heads
            if nodes[head]["role"] != "loss" and head not in self.targets
            if (slope := common_slope([edge.jacobian for edge in edges])) is not None
        }

        def leaner(edge: Edge) -> Edge:
            step = behind_first(edge.jacobian) if edge.head in slopes else edge.jacobian
            return replace(edge, jacobian=lean(step, slopes.get(edge.tail)))

        with many_objects():
            heads = tuple((head, tuple(map(leaner, edges))) for head, edges in self.heads)
        return replace(self, heads=heads, sloped=frozenset(slopes), begun={}, answers={})

    def beginning(self, loss: str) -> tuple[str, Array]:
        """The first node behind `loss` from which there are several ways on, or where rows may be scaled, and what a
        cotangent of 1 is there."""
        if loss not in self.begun:
            node, row = loss, np.ones(1)
            edges = self.edges.get(node, ())
            with arithmetic():
                while len(edges) == 1 and edges[0].tail not in self.targets and node not in self.scaled:
                    node, row = edges[0].tail, edges[0].jacobian.vjp(row)
                    edges = self.edges.get(node, ())
            row.setflags(write=False)  # every sweep shares it
            self.begun[loss] = node, row
        return self.begun[loss]

    def answered(self, question: Hashable, answer: Callable[[], T]) -> T:
        """The answer to a question about this way: only the latest are kept. Threads may ask at the same time."""
        known: Any = self.answers.get(question, _UNASKED)
        if known is _UNASKED:
            known = answer()
            for oldest in list(self.answers)[: max(0, len(self.answers) + 1 - KEPT)]:
                self.answers.pop(oldest, None)
            self.answers[question] = known
        found: T = known
        return found

    @cached_property
    def scaled(self) -> frozenset[str]:
        """The nodes at which rows that have become small are scaled up."""
        if not self.sloped:
            return scaled_nodes(self.graph)
        return frozenset(
            _where_small({head: [(edge.tail, edge.jacobian) for edge in edges] for head, edges in self.heads})
        )

    @cached_property
    def widest(self) -> int:
        """How many numbers a head has at most."""
        nodes = self.graph.nodes
        return max((nodes[head]["value"].size for head, _ in self.heads), default=0)

    @cached_property
    def edges(self) -> Mapping[str, tuple[Edge, ...]]:
        """The edges of each head."""
        return dict(self.heads)

    @cached_property
    def stops(self) -> tuple[Stop, ...]:
        """The heads in their order, with what a sweep would ask about each of their edges."""
        heads = {head for head, _ in self.heads}

        def leg(edge: Edge) -> Leg:
            last = leave_chart(self.graph, edge) if edge.tail in self.targets else None
            return Leg(edge, last, 0 if last is None else entry_step(self.graph, edge), edge.tail in heads)

        with many_objects():
            return tuple(Stop(head, head in self.scaled, tuple(map(leg, edges))) for head, edges in self.heads)

    def entries(self) -> list[tuple[Edge, int]]:
        """The edges into the targets, each with the step at which a path enters there."""
        edges = (edge for _, edges in self.heads for edge in edges if edge.tail in self.targets)
        return [(edge, entry_step(self.graph, edge)) for edge in edges]


def leading_to(graph: Graph, targets: frozenset[str]) -> set[str]:
    """The nodes computed from a target: the only ones that a path to it can visit."""
    reached: set[str] = set()
    for head in graph:
        if any(tail in targets or tail in reached for tail in graph.pred[head]):
            reached.add(head)
    return reached


def leave_chart(graph: Graph, edge: Edge) -> Edge:
    """`edge` as the last one of a path: its vjp gives cotangents at the tail in the textbook's coordinates."""
    scale = graph.nodes[edge.tail].get("scale")
    if scale is None:
        return edge
    steps = ((edge.head, "chart", edge.jacobian), ("chart", edge.tail, LeaveChart(scale)))
    return Edge(edge.head, edge.tail, edge.key, Composite(edge.head, edge.tail, steps))


def entry_step(graph: Graph, edge: Edge) -> int:
    """The step k at which a path enters the target: a parameter has no time, so the step that uses it."""
    return _step_between(graph, edge.head, edge.tail)


def _step_between(graph: Graph, head: str, tail: str) -> int:
    time = graph.nodes[tail]["time"]
    return int(graph.nodes[head]["time"] if time is None else time)


def entering(graph: Graph, target: str, keeps: Callable[[int], bool]) -> Graph:
    """The graph in which paths enter the target at the steps only that are kept; nodes and edges are the same objects,
    in the same order."""
    kept = nx.MultiDiGraph()
    with many_objects():
        for name, attributes in nodes_of(graph).items():
            put_node(kept, name, attributes)
        for head, tails in arguments(graph).items():
            for tail, keys in tails.items():
                if tail != target or keeps(_step_between(graph, head, tail)):
                    for key, edge in keys.items():
                        put_edge(kept, tail, head, key, edge)
    return kept


def entry_steps(graph: Graph, target: str) -> set[int]:
    """The steps at which paths can enter the target."""
    return {_step_between(graph, head, target) for head in graph.successors(target)}


def completions(graph: Graph | Way, target: str) -> dict[str, int]:
    """Number of paths from each node back to `target` (exact), for the nodes that have any."""
    way = graph if isinstance(graph, Way) else Way.to(graph, [target])
    count = {target: 1}
    for head, edges in reversed(way.heads):
        beat()
        count[head] = sum(count[edge.tail] for edge in edges)
    return count


KEPT = 12
"""Answers that a way keeps."""

_UNASKED = object()

BITS = 512
"""How far a row may shrink, in powers of two, until it is looked at again: one of the norm stacks.TINY, 2^-256, is then
at 2^-768, and what it is multiplied by still leaves its digits above 2^-1022."""


def scaled_nodes(graph: Graph) -> frozenset[str]:
    """The nodes of a graph at which rows that have become small are scaled up; worked out once for a graph."""
    if graph not in _SCALED:
        heads = {
            head: [(tail, edge["jacobian"]) for tail, keys in tails.items() for edge in keys.values()]
            for head, tails in reversed(list(arguments(graph).items()))
            if tails
        }
        _SCALED[graph] = frozenset(_where_small(heads))
    return _SCALED[graph]


_SCALED: WeakKeyDictionary[Graph, frozenset[str]] = WeakKeyDictionary()


def _where_small(heads: Mapping[str, Sequence[tuple[str, Jacobian]]]) -> Iterator[str]:
    """Those of some heads, in reverse topological order, where rows are scaled, so that none shrinks by more than BITS,
    or by more than one edge does, in between; given each head's tails and the edges to them."""
    shrunk: dict[str, float] = {}  # in powers of two, at the worst, since rows have been scaled last
    due: set[str] = set()
    ends: Counter[str] = Counter()  # edges by which rows come to a node
    shared: Counter[str] = Counter()  # those that are not the only way of one loss: what comes by two may cancel
    leasts = _leasts(heads)
    for head, edges in heads.items():
        here = shrunk.pop(head, 0.0)
        alone = ends[head] <= 1 and sum(tail in heads for tail, _ in edges) <= 1
        if shared[head] > 1:
            here -= math.log2(CANCELLED)
        bits = [-math.log2(least) if least > 0 else math.inf for least in leasts[head]]
        if here > 0 and (head in due or here + max(bits) > BITS):
            yield head
            here = 0.0
            # With its neighbours, or it would have to be done again for each row that comes from one of them.
            due.update(name for name, so_far in shrunk.items() if so_far > BITS / 2)
        for (tail, _), more in zip(edges, bits, strict=True):
            if tail in heads:
                shrunk[tail] = max(shrunk.get(tail, 0.0), here + more)
                ends[tail] += 1
                shared[tail] += not alone or shared[head] > 0


def _leasts(heads: Mapping[str, Sequence[tuple[str, Jacobian]]]) -> dict[str, list[float]]:
    """What each edge from a head leaves of a row at least. Where some unit has slope 0, a row may have lain there all
    but a little, and singular values say nothing of the rest of it."""
    known: dict[tuple[object, int], float] = {}  # all steps have the same weights, all edges of a node the same slope
    some_are_0 = False

    def asked(question: Callable[[Array], float], values: Array) -> float:
        nonlocal some_are_0
        if some_are_0 and question is least_stretch:
            question = least_entry
        if (question, id(values)) not in known:
            known[question, id(values)] = question(values)
            some_are_0 = some_are_0 or (question is least_slope and not values.all())
        return known[question, id(values)]

    def all_of_them() -> dict[str, list[float]]:
        return {head: [jacobian.least(asked) for _, jacobian in edges] for head, edges in heads.items()}

    found = all_of_them()
    return all_of_them() if some_are_0 else found
