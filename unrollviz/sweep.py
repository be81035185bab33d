"""THE algorithm: walk the graph backwards with a stack of cotangents at each node, one row per label.

Backpropagation is path enumeration in which partial paths that meet at a node are added together. Which
ones are added is the fold's choice: it labels every partial path, and rows with equal labels are summed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unrollviz.arrays import Array, Labels
from unrollviz.errors import UnknownName
from unrollviz.graph import Graph, backward_edges, names_of, node_named
from unrollviz.jacobians import Composite, Jacobian, LeaveChart, divide


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
    """

    seed: Callable[[str, int], int] = lambda name, t: 0
    enter: Callable[[Labels, int], Labels] | None = None
    cross: Callable[[Labels, Edge], tuple[Labels, Labels | None]] | None = None
    exact: bool = False
    distinct: bool = False


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
"""What `by=` may name, beside `path` (see `unrollviz.paths`): the columns of labels. `temporal` is M[t, k] of Pascanu,
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
    """What a sweep carries along paths: how a path begins, and how it goes through an edge."""

    seed: Array | Labels
    pull: Callable[[Jacobian, Labels], Labels]


COTANGENTS = Carrier(np.ones(1), lambda jacobian, rows: jacobian.vjp(rows))
COUNTS = Carrier(np.array([1], dtype=object), lambda jacobian, rows: rows)
"""Path counts: the same walk with exact Python integers in place of cotangents."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Rows that have come to an edge into a target; the edge's own vjp is still to be applied.

    labels: (R, columns);  rows: (R, *shape of edge.head), or (R,) counts.
    """

    edge: Edge
    labels: Labels
    rows: Labels


def sweep(
    graph: Graph,
    losses: Sequence[str],
    targets: Sequence[str],
    fold: Sequence[Fold],
    carrier: Carrier = COTANGENTS,
) -> Iterator[Arrival]:
    """Every arrival at the targets of the paths from the losses, in reverse topological order.

    A target's sum over paths is the sum of `edge.jacobian.vjp(rows)` over its arrivals.

    Raises UnknownName, at the call, where a loss or a target is not in the graph.
    """
    for name in losses:
        if node_named(graph, name, "loss")["role"] != "loss":
            raise UnknownName("loss", name, names_of(graph, "loss"))
    for name in targets:
        node_named(graph, name, "parameter or node")
    dtype = object if any(column.exact for column in fold) else np.int64
    seeds = {
        name: (np.array([[column.seed(name, graph.nodes[name]["time"]) for column in fold]], dtype=dtype), carrier.seed)
        for name in losses
    }
    return sweep_from(graph, seeds, targets, fold, carrier)


def sweep_from(
    graph: Graph,
    seeds: Mapping[str, tuple[Labels, Labels]],
    targets: Sequence[str],
    fold: Sequence[Fold] = (TOTAL,),
    carrier: Carrier = COTANGENTS,
) -> Iterator[Arrival]:
    """Every arrival at the targets of partial paths that have come to some nodes: node -> their (labels, rows)."""
    goals = frozenset(targets)
    on_the_way = leading_to(graph, goals)
    distinct = any(column.distinct for column in fold)
    pending = {name: [seed] for name, seed in seeds.items()}
    for head in reversed(list(graph)):
        if head not in pending:
            continue
        labels, rows = merge(pending.pop(head), distinct)
        for tail, key, jacobian in backward_edges(graph, head):
            is_target = tail in goals
            if not is_target and tail not in on_the_way:
                continue
            edge = Edge(head, tail, key, jacobian)
            crossed, passing = _cross(fold, labels, rows, edge)
            if len(crossed) == 0:
                continue
            if is_target:
                yield _arrive(graph, fold, edge, crossed, passing)
            if tail in on_the_way:
                pending.setdefault(tail, []).append((crossed, carrier.pull(jacobian, passing)))


def leading_to(graph: Graph, targets: frozenset[str]) -> set[str]:
    """The nodes computed from a target: the only ones that a path to it can visit."""
    reached: set[str] = set()
    for head in graph:
        if any(tail in targets or tail in reached for tail in graph.pred[head]):
            reached.add(head)
    return reached


def merge(parts: list[tuple[Labels, Labels]], distinct: bool = False) -> tuple[Labels, Labels]:
    """The stacks that meet at a node as one, rows with equal labels added. Labels come out sorted unless `distinct`."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0][0]
    if distinct:
        return np.concatenate([labels for labels, _ in parts]), np.concatenate([rows for _, rows in parts])
    if all(labels is first or np.array_equal(labels, first) for labels, _ in parts[1:]):
        total = parts[0][1]
        for _, rows in parts[1:]:
            total = total + rows
        return first, total
    union, place = unique_rows(np.concatenate([labels for labels, _ in parts]))
    merged = np.zeros((len(union), *parts[0][1].shape[1:]), dtype=parts[0][1].dtype)
    start = 0
    for labels, rows in parts:
        merged[place[start : start + len(labels)]] += rows
        start += len(labels)
    return union, merged


@dataclass(frozen=True)
class Radix:
    """Numbers rows of labels in their lexicographic order; `low` and `span` are the range of each column.

    Where 64 bits do not suffice, the numbers are Python integers."""

    low: tuple[int, ...]
    span: tuple[int, ...]

    @classmethod
    def of(cls, labels: Labels) -> Radix:
        """A numbering for `labels` and for every row whose columns lie within theirs."""
        low, high = labels.min(axis=0).tolist(), labels.max(axis=0).tolist()
        return cls(tuple(low), tuple(top - bottom + 1 for top, bottom in zip(high, low, strict=True)))

    def keys(self, labels: Labels) -> Labels:
        """(R, columns) -> (R,)"""
        if math.prod(self.span) > 2**62:
            labels = labels.astype(object)
        key = labels[:, 0] - self.low[0]
        for column in range(1, labels.shape[1]):
            key = key * self.span[column] + (labels[:, column] - self.low[column])
        return np.asarray(key)


def unique_rows(labels: Labels) -> tuple[Labels, Labels]:
    """The different rows of `labels`, sorted, and for every row the index of its like among them."""
    _, first, place = np.unique(Radix.of(labels).keys(labels), return_index=True, return_inverse=True)
    return labels[first], place


def _cross(fold: Sequence[Fold], labels: Labels, rows: Labels, edge: Edge) -> tuple[Labels, Labels]:
    """Labels and rows that go on through `edge`."""
    for index, column in enumerate(fold):
        if column.cross is not None:
            behind, keep = column.cross(labels[:, index], edge)
            labels = labels.copy()
            labels[:, index] = behind
            if keep is not None and not keep.all():
                labels, rows = labels[keep], rows[keep]
    return labels, rows


def _arrive(graph: Graph, fold: Sequence[Fold], edge: Edge, labels: Labels, rows: Labels) -> Arrival:
    step = entry_step(graph, edge)
    if any(column.enter for column in fold):
        labels = labels.copy()
        for index, column in enumerate(fold):
            if column.enter is not None:
                labels[:, index] = column.enter(labels[:, index], step)
    return Arrival(leave_chart(graph, edge), labels, rows)


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


def completions(graph: Graph, target: str) -> dict[str, int]:
    """Number of paths from each node back to `target` (exact), for the nodes that have any."""
    count = {target: 1}
    leads = leading_to(graph, frozenset([target]))
    for head in graph:
        if head in leads:
            count[head] = sum(len(parallel) * count.get(tail, 0) for tail, parallel in graph.pred[head].items())
    return count


def push_forward(graph: Graph, source: str, tangents: Array) -> Iterator[tuple[str, Array]]:
    """Forward mode: (node, tangents there) for `source` and every node computed from it, in order.

    `tangents` (R, *shape of `source`) are R directions, in the textbook's coordinates. The mirror of the sweep, with
    jvp in place of vjp; the independent check of its results. A node's tangents are dropped after their last use.
    """
    leads = leading_to(graph, frozenset([source]))
    last_use = {tail: head for head in graph if head in leads for tail in graph.pred[head]}
    scale = graph.nodes[source].get("scale")
    at = {source: tangents if scale is None else divide(tangents, scale)}
    yield source, tangents
    for head in graph:
        if head not in leads:
            continue
        pushed = [jacobian.jvp(at[tail]) for tail, _, jacobian in backward_edges(graph, head) if tail in at]
        at[head] = np.asarray(sum(pushed[1:], start=pushed[0]))
        yield head, at[head]
        for tail in graph.pred[head]:
            if tail != source and last_use[tail] == head:
                at.pop(tail, None)
