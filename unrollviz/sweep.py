"""THE algorithm: walk the graph backwards with a stack of cotangents at each node, one row per label.

Backpropagation is path enumeration in which partial paths that meet at a node are added together. Which
ones are added is the fold's choice: it labels every partial path, and rows with equal labels are summed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from unrollviz.arrays import Array, Labels, beat, many_objects
from unrollviz.charts import LeaveChart, divide
from unrollviz.composite import Composite, behind_first, common_slope, lean
from unrollviz.errors import UnknownName
from unrollviz.graph import Graph, backward_edges, names_of, node_named
from unrollviz.jacobians import Jacobian
from unrollviz.stacks import Exponents, Stack, consolidated, merge, rescaled, times_power


@dataclass(frozen=True, slots=True)
class Edge:
    """One step back along a path, from `head` to its argument `tail`."""

    head: str
    tail: str
    key: int
    jacobian: Jacobian


@dataclass(frozen=True)
class Fold:
    """A rule that labels partial paths with a whole number: one column of labels.

    Attributes:
        seed: (name, step t) of a loss -> label of the path that has only begun there.
        enter: (labels, step k) -> labels of the paths that enter the target at step k; None keeps them.
        cross: (labels, edge) -> labels behind the edge, and a mask of the rows to go on with (None: all).
        exact: labels may exceed 64 bits, and are kept as Python integers.
        distinct: no two partial paths ever share a label, so that merging need not look for equal ones.
        joins: `cross` may give different labels the same one.
    """

    seed: Callable[[str, int], int] = lambda name, t: 0
    enter: Callable[[Labels, int], Labels] | None = None
    cross: Callable[[Labels, Edge], tuple[Labels, Labels | None]] | None = None
    exact: bool = False
    distinct: bool = False
    joins: bool = False


TOTAL = Fold()
LOSS = Fold(seed=lambda name, t: t)
ENTRY = Fold(enter=np.full_like)
LAG = Fold(seed=lambda name, t: t, enter=lambda labels, k: labels - k)

FOLDS: dict[str, tuple[Fold, ...]] = {
    "total": (TOTAL,),
    "loss": (LOSS,),
    "entry": (ENTRY,),
    "lag": (LAG,),
    "temporal": (LOSS, ENTRY),
}
"""What `by=` may name, beside `path` (see `pathset.py`): the columns of labels. `temporal` is M[t, k] of Pascanu,
Mikolov & Bengio 2013, eq. 4: the temporal component of loss t that enters at step k."""


def truncated(graph: Graph, target: str, steps: int) -> Fold:
    """Backpropagation through at most `steps` steps (Williams & Peng 1990): paths to the target with a longer lag are
    left out. Labels are the losses' steps; the forward pass is as it was."""

    def cross(labels: Labels, edge: Edge) -> tuple[Labels, Labels | None]:
        if edge.tail != target:
            return labels, None
        return labels, np.abs(labels - entry_step(graph, edge)) <= steps

    return Fold(seed=lambda name, t: t, cross=cross)


@dataclass(frozen=True)
class Carrier:
    """What a sweep carries along paths: how a path begins, how it goes through an edge, whether it may underflow; and
    the 1 of what paths are counted in beside, if they are."""

    seed: Array | Labels
    pull: Callable[[Jacobian, Labels], Labels]
    shrinks: bool = False
    one: Labels | None = None


COTANGENTS = Carrier(np.ones(1), lambda jacobian, rows: jacobian.vjp(rows), shrinks=True)
COUNTS = Carrier(np.array([1], dtype=object), lambda jacobian, rows: rows)
"""Path counts: the same walk with exact Python integers in place of cotangents."""
SMALL_COUNTS = replace(COUNTS, seed=np.ones(1, dtype=np.int64))
"""The same where there are less than 2^62 paths in all, so that 64 bits hold every count."""

EVERY = 4
"""Steps of time after which rows that have become small are scaled up."""

FAINT = 1e-30
"""A slope so small that rows are scaled at its step too: saturated units have slopes of 1e-60 and less."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Rows that have come to an edge into a target at `step`; the edge's own vjp is still to be applied.

    rows: (R, *shape of edge.head), or (R,) counts;  exponents: (R,) or None: the numbers are rows · 2^exponents.
    """

    edge: Edge
    step: int
    rows: Labels
    exponents: Exponents | None
    _stack: Stack
    _fold: Sequence[Fold]

    @property
    def before(self) -> Labels:
        """(R, columns) labels before the step of entry makes a difference."""
        return self._stack.labels

    @property
    def labels(self) -> Labels:
        """(R, columns)"""
        labels = self._stack.labels
        for index, column in enumerate(self._fold):
            if column.enter is not None:
                labels = labels.copy() if labels is self._stack.labels else labels
                labels[:, index] = column.enter(labels[:, index], self.step)
        return labels

    @property
    def counts(self) -> Labels | None:
        """(R,) numbers of paths, where they are counted beside."""
        return self._stack.counts

    @property
    def cotangents(self) -> Array:
        """rows · 2^exponents: (R, *shape of edge.head)"""
        return times_power(self.rows, self.exponents)


@dataclass(frozen=True)
class Way:
    """The part of a graph that leads to some targets, as a sweep walks it.

    Attributes:
        targets: where paths end.
        heads: in reverse topological order, each with its edges to a target or to another head; those to a target
            first, so that whoever takes arrivals has let go of older rows when new ones are made.
        scaled: the heads at which rows that have become small are scaled up.
        sloped: the heads whose rows already are multiplied by the slope by which all of their edges begin.
        begun: where the paths from a loss first part, and their one cotangent there; noted as losses are asked for.
    """

    graph: Graph
    targets: frozenset[str]
    heads: tuple[tuple[str, tuple[Edge, ...]], ...]
    scaled: frozenset[str]
    sloped: frozenset[str] = frozenset()
    begun: dict[str, tuple[str, Array]] = field(default_factory=dict)

    @classmethod
    def to(cls, graph: Graph, targets: Collection[str]) -> Way:
        """The way back to `targets`, from wherever there is one."""
        goals = frozenset(targets)
        edges: dict[str, list[Edge]] = defaultdict(list)
        heads = []
        inside: set[str] = set()
        with many_objects():
            for tail, head, key, jacobian in graph.in_edges(keys=True, data="jacobian"):
                edges[head].append(Edge(head, tail, key, jacobian))
            for head in graph:
                beat()
                kept = [edge for edge in edges.get(head, ()) if edge.tail in goals or edge.tail in inside]
                if kept:
                    inside.add(head)
                    kept.sort(key=lambda edge: edge.tail not in goals)
                    heads.append((head, tuple(kept)))
        nodes = graph.nodes
        scaled = {name for name, edges in heads if _is_scaled(nodes[name], edges)}
        return cls(graph, goals, tuple(reversed(heads)), frozenset(scaled))

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
        return replace(self, heads=heads, sloped=frozenset(slopes))

    def beginning(self, loss: str) -> tuple[str, Array]:
        """The first node behind `loss` from which there are several ways on, or where rows may be scaled, and what a
        cotangent of 1 is there."""
        if loss not in self.begun:
            node, row = loss, COTANGENTS.seed
            edges = self.edges.get(node, ())
            while len(edges) == 1 and edges[0].tail not in self.targets and node not in self.scaled:
                node, row = edges[0].tail, edges[0].jacobian.vjp(row)
                edges = self.edges.get(node, ())
            self.begun[loss] = node, row
        return self.begun[loss]

    @cached_property
    def edges(self) -> Mapping[str, tuple[Edge, ...]]:
        """The edges of each head."""
        return dict(self.heads)

    def entries(self) -> list[tuple[Edge, int]]:
        """The edges into the targets, each with the step at which a path enters there."""
        edges = (edge for _, edges in self.heads for edge in edges if edge.tail in self.targets)
        return [(edge, entry_step(self.graph, edge)) for edge in edges]


def sweep(
    graph: Graph | Way,
    losses: Sequence[str],
    targets: Sequence[str],
    fold: Sequence[Fold],
    carrier: Carrier = COTANGENTS,
) -> Iterator[Arrival]:
    """Every arrival at the targets of the paths from the losses, in reverse topological order.

    A target's sum over paths is the sum of `edge.jacobian.vjp(cotangents)` over its arrivals. Several sweeps to the
    same targets may share a `Way`.

    Raises UnknownName, at the call, where a loss or a target is not in the graph.
    """
    whole = graph.graph if isinstance(graph, Way) else graph
    for name in losses:
        if node_named(whole, name, "loss")["role"] != "loss":
            raise UnknownName("loss", name, names_of(whole, "loss"))
    for name in targets:
        node_named(whole, name, "parameter or node")
    dtype = object if any(column.exact for column in fold) else np.int64
    at: dict[str, list[Stack]] = defaultdict(list)
    ahead = isinstance(graph, Way) and carrier.shrinks and not any(column.cross for column in fold)
    labelled: dict[tuple[int, ...], Labels] = {}
    for name in dict.fromkeys(losses):
        label = tuple(column.seed(name, whole.nodes[name]["time"]) for column in fold)
        labels = labelled.setdefault(label, np.array([label], dtype=dtype))
        node, row = graph.beginning(name) if ahead and isinstance(graph, Way) else (name, carrier.seed)
        at[node].append(Stack(labels, row, counts=carrier.one))
    return sweep_from(graph, {node: merge(stacks) for node, stacks in at.items()}, targets, fold, carrier)


def sweep_from(
    graph: Graph | Way,
    seeds: Mapping[str, Stack],
    targets: Collection[str],
    fold: Sequence[Fold] = (TOTAL,),
    carrier: Carrier = COTANGENTS,
) -> Iterator[Arrival]:
    """Every arrival at the targets of partial paths that have come to some nodes: node -> their stack.

    Where these nodes are `sloped`, the rows are to be behind the slope."""
    return _walk(graph if isinstance(graph, Way) else Way.to(graph, targets), seeds, fold, carrier)


def _walk(way: Way, seeds: Mapping[str, Stack], fold: Sequence[Fold], carrier: Carrier) -> Iterator[Arrival]:
    distinct = any(column.distinct for column in fold)
    crosses = any(column.cross for column in fold)
    on_the_way = {head for head, _ in way.heads}
    pending = {name: [seed] for name, seed in seeds.items()}
    for head, edges in way.heads:
        if head not in pending:
            continue
        beat()
        here = merge(pending.pop(head), distinct)
        if carrier.shrinks and head in way.scaled:
            here = rescaled(here)
        for edge in edges:
            passing = _cross(fold, here, edge) if crosses else here
            if len(passing) == 0:
                continue
            if edge.tail in way.targets:
                last, step = leave_chart(way.graph, edge), entry_step(way.graph, edge)
                yield Arrival(last, step, passing.rows, passing.exponents, passing, fold)
            if edge.tail in on_the_way:
                pending.setdefault(edge.tail, []).append(_pulled(passing, edge, carrier))


def _pulled(stack: Stack, edge: Edge, carrier: Carrier) -> Stack:
    """The rows behind `edge`."""
    pulled = carrier.pull(edge.jacobian, stack.rows)
    return Stack(stack.labels, pulled, stack.exponents, stack.counts, own=_is_new(pulled, stack.rows))


def _is_new(rows: Labels, before: Labels) -> bool:
    """Whether rows that came out of an edge have their own memory, and not that of the rows `before` it."""
    return rows is not before and rows.base is not before and (rows.base is None or rows.base is not before.base)


def leading_to(graph: Graph, targets: frozenset[str]) -> set[str]:
    """The nodes computed from a target: the only ones that a path to it can visit."""
    reached: set[str] = set()
    for head in graph:
        if any(tail in targets or tail in reached for tail in graph.pred[head]):
            reached.add(head)
    return reached


def _cross(fold: Sequence[Fold], stack: Stack, edge: Edge) -> Stack:
    """The rows that go on through `edge`, with their new labels."""
    for index, column in enumerate(fold):
        if column.cross is None:
            continue
        before = stack.labels[:, index]
        behind, keep = column.cross(before, edge)
        if behind is not before:
            labels = stack.labels.copy()
            labels[:, index] = behind
            stack = Stack(labels, stack.rows, stack.exponents, stack.counts)
        if keep is not None and not keep.all():
            stack = stack.those(keep)
        if column.joins and behind is not before and len(stack) > 1:
            stack = consolidated(stack)
    return stack


def leave_chart(graph: Graph, edge: Edge) -> Edge:
    """`edge` as the last one of a path: its vjp gives cotangents at the tail in the textbook's coordinates."""
    scale = graph.nodes[edge.tail].get("scale")
    if scale is None:
        return edge
    steps = ((edge.head, "chart", edge.jacobian), ("chart", edge.tail, LeaveChart(scale)))
    return Edge(edge.head, edge.tail, edge.key, Composite(edge.head, edge.tail, steps))


def entry_step(graph: Graph, edge: Edge) -> int:
    """The step k at which a path enters the target: a parameter has no time, so the step that uses it."""
    time = graph.nodes[edge.tail]["time"]
    return int(graph.nodes[edge.head]["time"] if time is None else time)


def completions(graph: Graph | Way, target: str) -> dict[str, int]:
    """Number of paths from each node back to `target` (exact), for the nodes that have any."""
    way = graph if isinstance(graph, Way) else Way.to(graph, [target])
    count = {target: 1}
    for head, edges in reversed(way.heads):
        beat()
        count[head] = sum(count[edge.tail] for edge in edges)
    return count


def push_forward(graph: Graph, source: str, tangents: Array) -> Iterator[tuple[str, Array]]:
    """Forward mode: (node, tangents there) for `source` and every node computed from it, in order.

    `tangents` (R, *shape of `source`) are R directions, in the textbook's coordinates. The mirror of the sweep, with
    jvp in place of vjp; the independent check of its results."""
    return ((name, times_power(at.rows, at.exponents)) for name, at in forward_sweep(graph, source, tangents))


def forward_sweep(graph: Graph, source: str, tangents: Array) -> Iterator[tuple[str, Stack]]:
    """The same as stacks whose rows are scaled up where they have become small. A node's stack is dropped after its
    last use."""
    leads = leading_to(graph, frozenset([source]))
    last_use = {tail: head for head in graph if head in leads for tail in graph.pred[head]}
    nodes, labels = graph.nodes, np.arange(len(tangents))[:, None]
    scale = nodes[source].get("scale")
    at = {source: Stack(labels, tangents if scale is None else divide(tangents, scale))}
    yield source, Stack(labels, tangents)
    for head in graph:
        if head not in leads:
            continue
        edges = [Edge(head, tail, key, jacobian) for tail, key, jacobian in backward_edges(graph, head) if tail in at]
        stacks = ((edge.jacobian, at[edge.tail]) for edge in edges)
        at[head] = merge([Stack(labels, jacobian.jvp(stack.rows), stack.exponents) for jacobian, stack in stacks])
        if _is_scaled(nodes[head], edges):
            at[head] = rescaled(at[head])
        yield head, at[head]
        for tail in graph.pred[head]:
            if tail != source and last_use[tail] == head:
                at.pop(tail, None)


def _is_scaled(node: Mapping[str, Any], edges: Sequence[Edge]) -> bool:
    """Whether rows that have become small are scaled up at a node that has these edges."""
    if node["role"] == "state" and node["time"] % EVERY == 0:
        return True
    return node["role"] != "loss" and any(edge.jacobian.least < FAINT for edge in edges)
