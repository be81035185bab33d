"""Groups of paths that have something in common: counted, summed, and how much of them passes each edge.

No path is listed. Partial paths are labelled from both ends, by the sweep from the losses and by forward mode from the
target; where they meet at an edge, those whose labels belong together are multiplied and added.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from unrollviz.allowance import memory_allowed
from unrollviz.arrays import Array, Labels, arithmetic
from unrollviz.carriers import COTANGENTS, COUNTS, SMALL_COUNTS
from unrollviz.charts import divide
from unrollviz.errors import UnrollvizError
from unrollviz.gradient import count_paths
from unrollviz.graph import Graph, backward_edges
from unrollviz.jacobians import frobenius
from unrollviz.stacks import Stack, consolidated, merge
from unrollviz.sweep import LOSS, TOTAL, Arrival, Fold, sweep, sweep_from
from unrollviz.way import Edge, Way, entry_step, leading_to

EdgeName = tuple[str, str, int]
"""(tail, head, key), as networkx names an edge."""

BYTES_LIMIT = 2**30
"""What the labelled directions at all nodes may take together."""


@dataclass(frozen=True)
class Uses:
    """How often a path crosses one of `edges`, (head, tail, key): at least `least`, at most `most` times, None: any."""

    edges: frozenset[tuple[str, str, int]]
    least: int = 0
    most: int | None = None

    def count(self, labels: Labels, edge: Edge | EdgeName) -> Labels:
        """Labels behind an edge; numbers above `least` are not told apart where there is no `most`."""
        crossed = (edge.head, edge.tail, edge.key) if isinstance(edge, Edge) else (edge[1], edge[0], edge[2])
        if crossed not in self.edges:
            return labels
        return labels + 1 if self.most is not None else np.minimum(labels + 1, self.least)


@dataclass(frozen=True)
class Group:
    """Paths from some losses to the target, all those that fit.

    Attributes:
        losses: from which they start.
        lag: t - k, None for any.
        entries: steps k at which they may enter the target, None for any.
        uses: how often they use kinds of edges.
        avoiding: steps of which they visit none.
    """

    losses: tuple[str, ...]
    lag: int | None = None
    entries: Collection[int] | None = None
    uses: tuple[Uses, ...] = ()
    avoiding: Collection[int] = field(default=())


@dataclass(frozen=True)
class Sum:
    """What a group adds up to: the exact number of paths, the norm of the sum of their terms, its share of the whole
    gradient (NaN where that is 0)."""

    count: int
    norm: float
    share: float
    term: Array = field(repr=False)


def summed(graph: Graph | Way, group: Group, target: str, whole: Array) -> Sum:
    """The exact sum over a group; `whole` is the gradient that its share is of. Several sums may share a `Way`."""
    way = graph if isinstance(graph, Way) else Way.to(graph, [target])
    few = count_paths(way, group.losses, target) < 2**62
    carrier = replace(COTANGENTS, one=(SMALL_COUNTS if few else COUNTS).seed)
    count, term = 0, np.zeros_like(whole)
    with arithmetic():
        for arrival in sweep(way, group.losses, [target], _fold(way.graph, group, target), carrier):
            if arrival.counts is not None:
                count += int(arrival.counts.sum())
            term = term + arrival.edge.jacobian.vjp(arrival.cotangents.sum(axis=0, keepdims=True))[0]
    return Sum(count, frobenius(term), share_of(term, whole), term)


AT_ONCE = 64
"""Sets of steps that one sweep keeps apart."""


def avoiding(
    way: Way, group: Group, target: str, whole: Array, several: Sequence[Collection[int]]
) -> list[tuple[int, float]]:
    """Number and share of the group's paths that visit none of some steps, for several such sets of which no two share
    a step: by a label that says which of them a partial path must still avoid."""
    found: list[tuple[int, float]] = []
    few = count_paths(way, group.losses, target) < 2**62
    one = (SMALL_COUNTS if few else COUNTS).seed
    reach, size = _reach(way.graph, group, target), frobenius(whole)
    times = dict(way.graph.nodes(data="time"))
    for start in range(0, len(several), AT_ONCE):
        some = several[start : start + AT_ONCE]
        number = {time: index for index, steps in enumerate(some) for time in steps}

        def cross(labels: Labels, edge: Edge, number: Mapping[int, int] = number) -> tuple[Labels, Labels | None]:
            hidden = number.get(times[edge.tail], -1)
            return labels, None if hidden < 0 else labels != hidden

        fold = (*_fold(way.graph, group, target, reach), Fold(cross=cross))
        seeds = {}
        for loss in group.losses:
            labels = np.zeros((len(some), len(fold)), dtype=np.int64)
            labels[:, 0], labels[:, -1] = fold[0].seed(loss, times[loss]), np.arange(len(some))
            seeds[loss] = Stack(labels, np.ones(len(some)), counts=np.repeat(one, len(some)))
        counts, shares = np.zeros(len(some), dtype=object), np.zeros(len(some))
        with arithmetic():
            for arrival in sweep_from(way, seeds, [target], fold, replace(COTANGENTS, one=one)):
                kept = arrival.labels[:, -1]
                along = arrival.edge.jacobian.jvp(whole[None] / size if size > 0 else whole[None])[0]
                np.add.at(shares, kept, (arrival.cotangents * along).reshape(len(kept), -1).sum(axis=1))
                np.add.at(counts, kept, np.asarray(arrival.counts, dtype=object))
        found += [
            (int(count), share / size if size > 0 else math.nan)
            for count, share in zip(counts, shares.tolist(), strict=True)
        ]
    return found


def share_of(term: Array, whole: Array) -> float:
    """<term, G> / <G, G>; NaN where G = 0."""
    size = frobenius(whole)
    return float(((term / size) * (whole / size)).sum()) if size > 0 else math.nan


def passing(
    graph: Graph, group: Group, target: str, whole: Array, landmarks: Collection[str] | None = None
) -> dict[EdgeName, float]:
    """(tail, head, key) -> the summed share of the group's paths through that edge, for every edge that one crosses.

    With `landmarks`, `graph` being that of all primitives, edges are those of the level that has them: (tail, head, 0)
    for all that runs from one landmark to the next. Shares are NaN where the gradient `whole` is 0.

    Raises UnrollvizError where the labels would take more memory than BYTES_LIMIT.
    """
    size = frobenius(whole)
    reach = _reach(graph, group, target)
    names = list(graph)
    number = {name: index for index, name in enumerate(names)}
    fold = list(_fold(graph, group, target, reach))
    if landmarks is not None:
        fold.append(Fold(cross=_last_landmark(landmarks, number), joins=True))
    with arithmetic():
        ahead = _ahead(graph, group, target, whole / size if size > 0 else whole, reach)
        found: dict[EdgeName, float] = {}
        for arrival in sweep(graph, group.losses, list(ahead), fold):
            edge = arrival.edge
            if landmarks is not None and edge.tail not in landmarks:
                continue
            here = ahead[edge.tail]
            if edge.tail == target:
                label = entry_step(graph, edge)
                if group.entries is not None and label not in group.entries:
                    continue
                here = Stack(np.array([[label if group.lag is not None else 0] + [0] * len(group.uses)]), here.rows)
            jacobian = graph.edges[edge.tail, edge.head, edge.key]["jacobian"]
            for head, rows in _by_landmark(arrival, names, landmarks):
                some, value = _met(group, rows, here, jacobian.jvp)
                if some:
                    name = (edge.tail, head, edge.key if landmarks is None else 0)
                    found[name] = found.get(name, 0.0) + (value / size if size > 0 else math.nan)
    return found


def mean_lags(graph: Graph, losses: Sequence[str], target: str) -> dict[EdgeName, float]:
    """(tail, head, key) -> the mean lag t - k of all paths through that edge; edges that no path crosses are left out.

    Exact: with integers for cotangents, numbers of paths and sums of their steps come from both ends."""
    one = {"count": 1}
    back = {name: {**one, "sum": graph.nodes[name]["time"]} for name in losses}
    leads = leading_to(graph, frozenset([target]))
    for head in reversed(list(graph)):
        if head in back and head in leads:
            for tail, _, _ in backward_edges(graph, head):
                if tail in leads:
                    at = back.setdefault(tail, {"count": 0, "sum": 0})
                    at["count"] += back[head]["count"]
                    at["sum"] += back[head]["sum"]
    ahead: dict[str, dict[str, int]] = {}
    lags = {}
    for tail, head, key in _edges_in_order(graph, leads | {target}):
        time = graph.nodes[tail]["time"]
        start = {**one, "sum": graph.nodes[head]["time"] if time is None else time}
        before = start if tail == target else ahead[tail]
        at = ahead.setdefault(head, {"count": 0, "sum": 0})
        at["count"] += before["count"]
        at["sum"] += before["sum"]
        if head in back:
            t, k = back[head], before
            lags[tail, head, key] = t["sum"] / t["count"] - k["sum"] / k["count"]
    return lags


def _edges_in_order(graph: Graph, inside: Collection[str]) -> list[EdgeName]:
    """The edges between nodes `inside`, in the order of computation of their heads."""
    return [(tail, head, key) for head in graph if head in inside for tail, key, _ in backward_edges(graph, head)
            if tail in inside]  # fmt: skip


# ------------------------------------------------------------------------------------------- from the losses


@dataclass(frozen=True)
class _Reach:
    """For every node the first and last step k of the entries behind it, and t of the losses ahead of it."""

    entries: Mapping[str, tuple[int, int]]
    losses: Mapping[str, tuple[int, int]]


def _reach(graph: Graph, group: Group, target: str) -> _Reach:
    leads = leading_to(graph, frozenset([target]))
    entries: dict[str, tuple[int, int]] = {}
    losses: dict[str, tuple[int, int]] = {name: (graph.nodes[name]["time"],) * 2 for name in group.losses}
    for tail, head, _ in _edges_in_order(graph, leads | {target}):
        time = graph.nodes[tail]["time"]
        step = graph.nodes[head]["time"] if time is None else time
        entries[head] = _wider(entries.get(head), (step, step) if tail == target else entries[tail])
    for head in reversed(list(graph)):
        if head in losses:
            for tail in graph.pred[head]:
                losses[tail] = _wider(losses.get(tail), losses[head])
    return _Reach(entries, losses)


def _wider(one: tuple[int, int] | None, other: tuple[int, int]) -> tuple[int, int]:
    return other if one is None else (min(one[0], other[0]), max(one[1], other[1]))


def _fold(graph: Graph, group: Group, target: str, reach: _Reach | None = None) -> tuple[Fold, ...]:
    """Labels of partial paths from the losses: t where there is a lag, then a column for each of `uses`."""
    lag, nodes = group.lag, graph.nodes

    def cross(labels: Labels, edge: Edge) -> tuple[Labels, Labels | None]:
        if nodes[edge.tail]["time"] in group.avoiding:
            return labels, np.zeros(len(labels), dtype=bool)
        if edge.tail == target:
            step = entry_step(graph, edge)
            wanted = group.entries is None or step in group.entries
            return labels, (labels - step == lag) & wanted if lag is not None else np.full(len(labels), wanted)
        if lag is not None and reach is not None and edge.tail in reach.entries:
            first, last = reach.entries[edge.tail]
            return labels, (labels - lag >= first) & (labels - lag <= last)
        return labels, None

    timed = Fold(seed=LOSS.seed if lag is not None else TOTAL.seed, cross=cross)
    return (timed, *(Fold(cross=_counting(use, target), joins=use.most is None) for use in group.uses))


def _counting(use: Uses, target: str) -> Callable[[Labels, Edge], tuple[Labels, Labels | None]]:
    def cross(labels: Labels, edge: Edge) -> tuple[Labels, Labels | None]:
        behind = use.count(labels, edge)
        keep = np.full(len(behind), True) if use.most is None else behind <= use.most
        return behind, keep & (behind >= use.least) if edge.tail == target else keep

    return cross


def _last_landmark(
    landmarks: Collection[str], number: Mapping[str, int]
) -> Callable[[Labels, Edge], tuple[Labels, Labels | None]]:
    """Labels partial paths by the last landmark that they have visited."""

    def cross(labels: Labels, edge: Edge) -> tuple[Labels, Labels | None]:
        return (np.full_like(labels, number[edge.head]) if edge.head in landmarks else labels), None

    return cross


def _by_landmark(arrival: Arrival, names: Sequence[str], landmarks: Collection[str] | None) -> list[tuple[str, Stack]]:
    """The rows of an arrival by the landmark that they come from; without landmarks, by the head of the edge."""
    labels, rows = arrival.labels, arrival.cotangents
    if landmarks is None:
        return [(arrival.edge.head, Stack(labels, rows))]
    last = labels[:, -1]
    return [(names[int(one)], Stack(labels[last == one, :-1], rows[last == one])) for one in np.unique(last)]


# ------------------------------------------------------------------------------------------- from the target


def _ahead(graph: Graph, group: Group, target: str, direction: Array, reach: _Reach) -> dict[str, Stack]:
    """Every node's tangents in `direction`, one row a label: step k where there is a lag, then a column a use. At the
    target itself one row, labelled edge by edge."""
    scale = graph.nodes[target].get("scale")
    begun = direction[None] if scale is None else divide(direction[None], scale)
    found = {target: Stack(np.zeros((1, 1 + len(group.uses)), dtype=np.int64), begun)}
    bytes_held = 0
    inside = leading_to(graph, frozenset([target]))
    for head in graph:
        if head not in inside or head not in reach.losses:
            continue
        parts = []
        for tail, key, jacobian in backward_edges(graph, head):
            if tail in found:
                here = _across(graph, group, target, (tail, head, key), found[tail], reach)
                if len(here):
                    parts.append(Stack(here.labels, jacobian.jvp(here.rows), here.exponents))
        if parts:
            found[head] = merge([consolidated(part) if len(part) > 1 else part for part in parts])
            bytes_held += found[head].rows.nbytes
            if bytes_held > memory_allowed(BYTES_LIMIT):
                raise UnrollvizError(
                    "what passes each edge would take more than 1 GiB; highlight a smaller group, or draw fewer steps"
                )
    return found


def _across(graph: Graph, group: Group, target: str, edge: EdgeName, stack: Stack, reach: _Reach) -> Stack:
    """The rows that go on through `edge`, with their labels behind it."""
    tail, head, _ = edge
    labels = stack.labels
    if tail == target:
        time = graph.nodes[tail]["time"]
        step = graph.nodes[head]["time"] if time is None else time
        if group.entries is not None and step not in group.entries:
            return stack.those(slice(0, 0))
        if group.lag is not None:
            labels = labels.copy()
            labels[:, 0] = step
    keep = np.full(len(labels), True)
    if group.lag is not None:
        first, last = reach.losses[head]
        keep = (labels[:, 0] + group.lag >= first) & (labels[:, 0] + group.lag <= last)
    for column, use in enumerate(group.uses, start=1):
        behind = use.count(labels[:, column], edge)
        if behind is not labels[:, column]:
            labels = labels.copy()
            labels[:, column] = behind
        if use.most is not None:
            keep &= labels[:, column] <= use.most
    return Stack(labels, stack.rows, stack.exponents).those(keep)


def _met(group: Group, back: Stack, here: Stack, push: Callable[[Array], Array]) -> tuple[bool, float]:
    """Whether rows from both ends belong together, and the sum of their products."""
    if group.uses:
        fits = _fitting(group, back.labels, here.labels)
        if not fits.any():
            return False, 0.0
        products = back.rows.reshape(len(back), -1) @ push(here.rows).reshape(len(here), -1).T
        return True, float(products[fits].sum())
    if group.lag is None:
        return True, float((back.rows * push(here.rows)).sum())
    wanted = back.labels[:, 0] - group.lag
    place = np.minimum(np.searchsorted(here.labels[:, 0], wanted), len(here) - 1)
    fits = here.labels[place, 0] == wanted
    if not fits.any():
        return False, 0.0
    return True, float((back.rows[fits] * push(here.rows[place[fits]])).sum())


def _fitting(group: Group, back: Labels, here: Labels) -> Labels:
    """(rows from the losses, rows from the target): whether what they have in common is the group's."""
    fits = np.full((len(back), len(here)), True)
    if group.lag is not None:
        fits &= back[:, 0, None] - here[None, :, 0] == group.lag
    for column, use in enumerate(group.uses, start=1):
        count = back[:, column, None] + here[None, :, column]
        fits &= count >= use.least
        if use.most is not None:
            fits &= count <= use.most
    return fits
