"""THE algorithm: walk the graph backwards with a stack of cotangents at each node, one row per label.

Backpropagation is path enumeration in which partial paths that meet at a node are added together. Which
ones are added is the fold's choice: it labels every partial path, and rows with equal labels are summed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from unrollviz.arrays import Array, Labels, beat
from unrollviz.carriers import COTANGENTS, Carrier
from unrollviz.classes import Classes, Meeting, Span
from unrollviz.errors import UnknownName
from unrollviz.graph import Graph, names_of, node_named
from unrollviz.stacks import Exponents, Stack, consolidated, is_new, merge, rescaled, times_power
from unrollviz.way import Edge, Way, entry_step


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

    @property
    def heeds_edges(self) -> bool:
        """Whether more tells paths apart than the losses they come from and the steps they enter at."""
        return self.cross is not None or self.exact or self.distinct


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


class Arrival(NamedTuple):
    """Rows that have come to an edge into a target at `step`; the edge's own vjp is still to be applied.

    Attributes:
        rows: (R, *shape of edge.head), or (R,) counts; the numbers are rows · 2^exponents.
        before: (R, columns), or with a span (all classes, columns), the labels but for the step of entry, which `fold`
            says.
        span: which of the `Classes` of the sweep these rows are, where it told paths apart by nothing else.
        powers: (R,) exponents, or with a span (all classes,), or None.
        counts: (R,) numbers of paths, where they are counted beside.
    """

    edge: Edge
    step: int
    rows: Labels
    before: Labels
    fold: Sequence[Fold]
    powers: Exponents | None
    span: Span | None = None
    counts: Labels | None = None

    @property
    def exponents(self) -> Exponents | None:
        """(R,), or None."""
        return self.powers if self.powers is None or self.span is None else self.powers[slice(*self.span)]

    @property
    def labels(self) -> Labels:
        """(R, columns)"""
        labels = before = self.before if self.span is None else self.before[slice(*self.span)]
        for index, column in enumerate(self.fold):
            if column.enter is not None:
                labels = labels.copy() if labels is before else labels
                labels[:, index] = column.enter(labels[:, index], self.step)
        return labels

    @property
    def cotangents(self) -> Array:
        """rows · 2^exponents: (R, *shape of edge.head)"""
        return times_power(self.rows, self.exponents)


def sweep(
    graph: Graph | Way,
    losses: Sequence[str],
    targets: Sequence[str],
    fold: Sequence[Fold],
    carrier: Carrier = COTANGENTS,
    transient: bool = False,
) -> Iterator[Arrival]:
    """Every arrival at the targets of the paths from the losses, in reverse topological order.

    A target's sum over paths is the sum of `edge.jacobian.vjp(cotangents)` over its arrivals. Several sweeps to the
    same targets may share a `Way`. With `transient` half the memory does: rows may be written over once the next
    arrival is asked for.

    Raises UnknownName, at the call, where a loss or a target is not in the graph.
    """
    whole = graph.graph if isinstance(graph, Way) else graph
    for name in targets:
        node_named(whole, name, "parameter or node")
    way = graph if isinstance(graph, Way) else Way.to(graph, targets)
    # For a single sweep it is not worth while to look for where paths part.
    classes = classes_of(way, losses, fold, ahead=way is graph) if carrier.one is None else None
    if classes is not None:
        return _walk_by_class(classes, fold, carrier, transient)
    check_losses(whole, losses)
    dtype = object if any(column.exact for column in fold) else np.int64
    seeds = {}
    for name in dict.fromkeys(losses):
        label = [column.seed(name, whole.nodes[name]["time"]) for column in fold]
        seeds[name] = Stack(np.array([label], dtype=dtype), carrier.seed, counts=carrier.one)
    return _walk(way, seeds, fold, carrier)


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


def classes_of(way: Way, losses: Sequence[str], fold: Sequence[Fold], ahead: bool = True) -> Classes | None:
    """The classes of losses that a fold tells apart; None where it also heeds the edges on the way.

    `ahead`: paths begin where those from a loss first part. Raises UnknownName where a loss is not in the graph."""
    if any(column.heeds_edges for column in fold):
        return None

    def found() -> Classes | None:
        check_losses(way.graph, losses)
        nodes = way.graph.nodes
        labels = {name: tuple(c.seed(name, nodes[name]["time"]) for c in fold) for name in losses}
        return Classes.of(way, labels, ahead)

    return way.answered((tuple(losses), tuple(fold), ahead), found)


def check_losses(graph: Graph, losses: Sequence[str]) -> None:
    """Raise UnknownName where one of these is no loss of the graph."""
    for name in losses:
        if node_named(graph, name, "loss")["role"] != "loss":
            raise UnknownName("loss", name, names_of(graph, "loss"))


def _walk_by_class(classes: Classes, fold: Sequence[Fold], carrier: Carrier, transient: bool) -> Iterator[Arrival]:
    """The walk where a row keeps its label all the way: its place is known before it is computed."""
    most = len(classes.labels)
    at: dict[str, Meeting] = {}
    for stop, beginning in classes.visits:
        here = at.pop(stop.head, None) or Meeting(classes.spans[stop.head], most)
        for index, row in beginning:
            here.begin(index, row if row is not None and carrier.shrinks else carrier.seed)
        beat()
        here.close()
        if carrier.shrinks and stop.scaled:
            here.rescale()
        held = not transient  # somebody may still need the rows
        for leg in stop.legs:
            if leg.last is not None:
                yield Arrival(leg.last, leg.step, here.rows, classes.labels, fold, here.powers, here.span)
            if not leg.onward:
                continue
            tail, jacobian = leg.edge.tail, leg.edge.jacobian
            if tail not in at:
                spent = not held and leg is stop.legs[-1]
                if spent and here.move(classes.spans[tail], jacobian, carrier):
                    at[tail] = here
                    break
                at[tail] = Meeting(classes.spans[tail], most)
            held = at[tail].receive(here, jacobian, carrier) or held


def _walk(way: Way, seeds: Mapping[str, Stack], fold: Sequence[Fold], carrier: Carrier) -> Iterator[Arrival]:
    """The walk for any fold."""
    distinct = any(column.distinct for column in fold)
    crosses = any(column.cross for column in fold)
    pending = {name: [seed] for name, seed in seeds.items()}
    for stop in way.stops:
        if stop.head not in pending:
            continue
        beat()
        here = merge(pending.pop(stop.head), distinct)
        if carrier.shrinks and stop.scaled:
            here = rescaled(here)
        for leg in stop.legs:
            passing = _cross(fold, here, leg.edge) if crosses else here
            if len(passing) == 0:
                continue
            if leg.last is not None:
                labels, exponents, counts = passing.labels, passing.exponents, passing.counts
                yield Arrival(leg.last, leg.step, passing.rows, labels, fold, exponents, counts=counts)
            if leg.onward:
                pending.setdefault(leg.edge.tail, []).append(_pulled(passing, leg.edge, carrier))


def _pulled(stack: Stack, edge: Edge, carrier: Carrier) -> Stack:
    """The rows behind `edge`."""
    pulled = carrier.pull(edge.jacobian, stack.rows)
    return Stack(stack.labels, pulled, stack.exponents, stack.counts, own=is_new(pulled, stack.rows))


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
