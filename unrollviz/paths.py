"""Single paths from the losses back to a target: counted, listed lazily, ranked, taken apart into factors.

Paths have a fixed order, and a path's label is its rank in it: all completions of a partial path have
consecutive ranks, so the sweep can be asked for any slice of a set however large. In that order a path
comes before those that go on further back: L₄'s paths to W enter at s₄, s₃, s₂, s₁.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, overload

import numpy as np

from unrollviz.arrays import Array, Labels, arithmetic
from unrollviz.errors import MissingExtra, TooManyPaths, UnknownName, UnrollvizError
from unrollviz.flow import Flow, TermSum, cancellation, check_gradient, check_memory, dots_with, gradient
from unrollviz.graph import Graph
from unrollviz.jacobians import Jacobian, frobenius
from unrollviz.names import derivative
from unrollviz.sweep import ENTRY, LOSS, Arrival, Edge, Fold, completions, leave_chart, sweep

if TYPE_CHECKING:
    import pandas

PATH_LIMIT = 1_000_000
"""How many paths may be enumerated at once; counting has no limit, and neither has reading a slice."""

_BLOCK_BYTES = 2**26
_BLOCK_ROWS = 2**16


@dataclass(frozen=True)
class Factor:
    """One step of a path: ∂`head`/∂`tail`.

    Attributes:
        symbol: typeset; with ∂⁺ where it is the immediate derivative by a parameter.
        jacobian: the edge's Jacobian.
        norm: its Frobenius norm.
    """

    head: str
    tail: str
    symbol: str
    jacobian: Jacobian = field(repr=False)

    @cached_property
    def norm(self) -> float:
        return self.jacobian.norm()

    def matrix(self) -> Array:
        """The explicit Jacobian, one block an instance: (B, units of head, units or entries of tail).

        Raises UnrollvizError where it would take more than the limit of memory."""
        ends = self.jacobian.out_shape, self.jacobian.in_shape
        instances, units = ends[0] or (1, 1)
        check_memory(1, (instances, units, ends[1][-1] if self.jacobian.per_instance else math.prod(ends[1])), "matrix")
        return self.jacobian.matrix()


@dataclass(frozen=True)
class Path:
    """One path from a loss back to the target, and what it contributes.

    Attributes:
        rank: its place in the set's order, from 0.
        nodes: from the loss to the target.
        loss: the loss it starts from.
        entry: step k at which it enters the target.
        lag: t - k.
        norm: Frobenius norm of its term.
        share: <term, G> / <G, G>, G the sum over the set asked for; NaN where G = 0.
    """

    rank: int
    nodes: tuple[str, ...]
    loss: str
    entry: int
    lag: int
    norm: float
    share: float
    _edges: tuple[Edge, ...] = field(repr=False, compare=False)

    @cached_property
    def factors(self) -> tuple[Factor, ...]:
        """The local Jacobians along the path, whose product is the term."""
        return tuple(
            Factor(e.head, e.tail, derivative(e.head, e.tail, direct=not e.jacobian.per_instance), e.jacobian)
            for e in self._edges
        )

    @cached_property
    def term(self) -> Array:
        """The product of the factors: shape of the target."""
        rows = np.ones(1)
        for edge in self._edges:
            rows = edge.jacobian.vjp(rows)
        return np.asarray(rows[0])

    @cached_property
    def running_norms(self) -> tuple[float, ...]:
        """Norm of the product of the first 1, 2, … factors: where the path's contribution shrinks or grows."""
        rows, norms = np.ones(1), []
        for edge in self._edges:
            rows = edge.jacobian.vjp(rows)
            norms.append(frobenius(edge.jacobian.textbook(rows)))
        return tuple(norms)


@dataclass(frozen=True, eq=False)
class PathTable:
    """Figures of a block of paths, a row each: `ranks`, time of the `losses`, step of `entries`, `norms`, `shares`."""

    ranks: Labels
    losses: Labels
    entries: Labels
    norms: Array
    shares: Array


_COLUMNS = tuple(column.name for column in fields(PathTable))


class PathSet:
    """All paths from some losses to a target at one level of detail: counted at once, listed lazily.

    Indexing gives a `Path`, slicing another `PathSet`, whose shares still refer to the whole set.
    """

    def __init__(self, graph: Graph, losses: Sequence[str], target: str) -> None:
        self.graph = graph
        self.losses = tuple(losses)
        self.target = target
        self._order = _Order(graph, self.losses, target)
        self._ranks = range(self._order.starts[-1])
        self.gradient = gradient(graph, self.losses, target)

    @property
    def count(self) -> int:
        """The exact number of paths."""
        ranks = self._ranks
        return max(0, -((ranks.start - ranks.stop) // ranks.step))

    @property
    def total_norm(self) -> float:
        """‖G‖ of the whole set."""
        return frobenius(self.gradient)

    def __len__(self) -> int:
        if self.count > sys.maxsize:
            raise OverflowError(f"{self.count} paths are more than len() can say; use .count")
        return self.count

    def __repr__(self) -> str:
        some = self.losses if len(self.losses) < 4 else (self.losses[0], "…", self.losses[-1])
        return f"<PathSet {', '.join(some)} to {self.target}: {self.count:,} paths>"

    def __iter__(self) -> Iterator[Path]:
        for table in self._blocks():
            yield from self._paths(table)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> PathSet: ...
    def __getitem__(self, index: int | slice) -> Path | PathSet:
        if isinstance(index, slice):
            part = PathSet.__new__(PathSet)
            part.__dict__.update(self.__dict__)
            part.__dict__.pop("norm_sum", None)
            part._ranks = self._ranks[index]
            return part
        rank = self._ranks[index]
        return next(self._paths(self._table(rank, rank + 1)))

    def nodes(self, index: int) -> tuple[str, ...]:
        """The nodes of the path at `index`, from the loss to the target, found without a sweep."""
        return self._order.nodes(self._ranks[index])

    def find(self, nodes: Sequence[str]) -> Path:
        """The path that visits exactly these nodes, from the loss to the target.

        Raises UnknownName, with the nearest valid node, where the set has no such path."""
        rank = self._order.rank(tuple(nodes))
        if rank not in self._ranks:
            raise UnrollvizError(f"path {rank + 1} of the whole set is not in this part of it; look in the whole set")
        return next(self._paths(self._table(rank, rank + 1)))

    def table(self) -> PathTable:
        """Figures of every path of the set. Raises TooManyPaths past PATH_LIMIT."""
        self.check_limit("ask for a slice, or take the sum apart with flow(by='lag') or flow(by='temporal')")
        blocks = list(self._blocks())
        if not blocks:
            return _no_rows()
        return PathTable(*(np.concatenate([getattr(block, name) for block in blocks]) for name in _COLUMNS))

    @cached_property
    def norm_sum(self) -> float:
        """S = Σ‖term‖, by which numeric promises are measured. Raises TooManyPaths past PATH_LIMIT."""
        return math.fsum(self.table().norms)

    @property
    def cancellation(self) -> float:
        """κ = Σ‖term‖ / ‖G‖ over the whole set; NaN where G = 0. Raises TooManyPaths past PATH_LIMIT."""
        return cancellation(self.table().norms, self.total_norm)

    def sum(self) -> Array:
        """The sum of the terms of all paths of the set, each walked on its own: shape of the target.

        Raises:
            TooManyPaths: past PATH_LIMIT.
            NonFinite: naming the first node whose cotangent overflows.
        """
        self.check_limit("the same sum is run.gradient(), one reverse sweep")
        total = TermSum(1, self.gradient.shape)
        first = np.zeros(1, dtype=np.int64)
        with arithmetic():
            for start, stop in self._spans():
                for arrival in self._arrivals(start, stop):
                    total.add(first, arrival.rows.sum(axis=0, keepdims=True), arrival.edge.jacobian)
        return np.asarray(total.result()[0])

    def top(self, k: int, by: str = "norm") -> list[Path]:
        """The k heaviest paths by norm, or by the absolute value of the share, heaviest first.

        Exact: every path is looked at. Raises TooManyPaths past PATH_LIMIT, UnknownName for another `by`."""
        if by not in ("norm", "share"):
            raise UnknownName("order of paths", by, ("norm", "share"))
        table = self.table()
        weight = table.norms if by == "norm" else np.abs(table.shares)
        best = np.argsort(-weight, kind="stable")[:k]
        return list(self._paths(PathTable(*(getattr(table, name)[best] for name in _COLUMNS))))

    def as_flow(self) -> Flow:
        """The set as a `Flow` of one row a path, labelled by rank. Raises TooManyPaths past PATH_LIMIT."""
        table = self.table()
        ones = (1,) * len(table.ranks)

        def build() -> Array:
            check_memory(len(ones), self.gradient.shape)
            return np.array([path.term for path in self]).reshape(-1, *self.gradient.shape)

        return Flow(self.target, "path", table.ranks[:, None], ones, table.norms, table.shares, self.gradient, build)

    def to_pandas(self) -> pandas.DataFrame:
        """One row a path: nodes, loss, entry, lag, norm, share. Needs the extra `pandas`."""
        try:
            import pandas
        except ImportError as error:
            raise MissingExtra("to_pandas", "pandas") from error
        self.check_limit("ask for a slice: paths[:1000].to_pandas()")
        columns = ("nodes", "loss", "entry", "lag", "norm", "share")
        return pandas.DataFrame([{c: getattr(p, c) for c in columns} for p in self], columns=columns)

    def check_limit(self, advice: str) -> None:
        """Raise TooManyPaths, with what to do instead, where the set is past PATH_LIMIT."""
        if self.count > PATH_LIMIT:
            raise TooManyPaths(self.count, PATH_LIMIT, advice)

    def _spans(self) -> Iterator[tuple[int, int]]:
        """The ranks of the set as spans that can be swept at once: in order, and ascending inside."""
        ranks = self._ranks
        if ranks.step != 1:
            yield from ((rank, rank + 1) for rank in ranks)
            return
        sizes = (self.graph.nodes[name]["value"].size for name in self._order.ways if name != self.target)
        widest = max(sizes, default=1)
        size = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // (8 * widest)))
        first = min(size, 256)  # somebody who wants the first few does not wait for a whole block
        start = ranks.start
        while start < ranks.stop:
            stop = min(start + first, ranks.stop)
            yield start, stop
            start, first = stop, size

    def _blocks(self) -> Iterator[PathTable]:
        return (self._table(start, stop) for start, stop in self._spans())

    def _arrivals(self, start: int, stop: int) -> Iterator[Arrival]:
        columns = (self._order.fold(start, stop), LOSS, ENTRY)
        return sweep(self.graph, self.losses, [self.target], columns)

    def _table(self, start: int, stop: int) -> PathTable:
        """The figures of the paths with ranks from `start` up to `stop`."""
        labels, norms, dots = [], [], []
        size = self.total_norm
        direction = self.gradient / size if size > 0 else self.gradient
        with arithmetic():
            for arrival in self._arrivals(start, stop):
                jacobian = arrival.edge.jacobian
                labels.append(arrival.labels)
                norms.append(jacobian.row_norms(arrival.rows))
                dots.append(dots_with(arrival.rows, jacobian, direction))
        if not labels:
            return _no_rows()
        stacked, norm = np.concatenate(labels), np.concatenate(norms)
        check_gradient(self.graph, self.losses, self.target, norm)
        share = np.concatenate(dots) / size if size > 0 else np.full(len(norm), np.nan)
        order = np.argsort(stacked[:, 0])
        ranks, losses, entries = stacked[order].T
        return PathTable(ranks, losses, entries, norm[order], share[order])

    def _paths(self, table: PathTable) -> Iterator[Path]:
        rows = zip(*(getattr(table, name).tolist() for name in _COLUMNS), strict=True)
        for rank, loss, entry, norm, share in rows:
            *inner, last = self._order.edges(rank)
            edges = (*inner, leave_chart(self.graph, last))
            nodes = (edges[0].head, *(edge.tail for edge in edges))
            yield Path(rank, nodes, edges[0].head, entry, loss - entry, norm, share, edges)


def _no_rows() -> PathTable:
    none = np.zeros(0, dtype=np.int64)
    return PathTable(none, none, none, np.zeros(0), np.zeros(0))


class _Order:
    """The order of the paths of a set: by loss, then at each node the target first, then the latest node first."""

    def __init__(self, graph: Graph, losses: Sequence[str], target: str) -> None:
        self.graph, self.losses, self.target = graph, losses, target
        self.ways = completions(graph, target)
        self.starts = [0, *accumulate(self.ways.get(loss, 0) for loss in losses)]
        self._position = {name: index for index, name in enumerate(graph)}
        self._offsets: dict[str, dict[tuple[str, int], int]] = {}

    def offsets(self, head: str) -> dict[tuple[str, int], int]:
        """(tail, key) -> how many paths through `head` come before those that go on through that edge."""
        if head not in self._offsets:
            preds = self.graph.pred[head]
            tails = sorted(
                (tail for tail in preds if tail in self.ways),
                key=lambda tail: (tail != self.target, -self._position[tail]),
            )
            edges = [(tail, key) for tail in tails for key in preds[tail]]
            before = accumulate((self.ways[tail] for tail, _ in edges), initial=0)
            self._offsets[head] = dict(zip(edges, before, strict=False))
        return self._offsets[head]

    def fold(self, start: int, stop: int) -> Fold:
        """Labels partial paths with the rank of their first completion; keeps those with one in [start, stop)."""

        def cross(labels: Labels, edge: Edge) -> tuple[Labels, Labels]:
            offset, ways = self.offsets(edge.head)[edge.tail, edge.key], self.ways[edge.tail]
            behind = labels + offset
            return behind, np.asarray((behind < stop) & (behind + ways > start), dtype=bool)

        starts = dict(zip(self.losses, self.starts, strict=False))
        exact = self.starts[-1] > 2**62
        return Fold(seed=lambda name, t: starts[name], cross=cross, exact=exact, distinct=True)

    def edges(self, rank: int) -> tuple[Edge, ...]:
        """The edges of the path with this rank, from the loss to the target."""
        index = bisect_right(self.starts, rank) - 1
        head, rest = self.losses[index], rank - self.starts[index]
        found: list[Edge] = []
        while head != self.target or not found:
            (tail, key), offset = next(item for item in reversed(self.offsets(head).items()) if item[1] <= rest)
            found.append(Edge(head, tail, key, self.graph.edges[tail, head, key]["jacobian"]))
            head, rest = tail, rest - offset
        return tuple(found)

    def nodes(self, rank: int) -> tuple[str, ...]:
        """The nodes of the path with this rank, from the loss to the target."""
        edges = self.edges(rank)
        return (edges[0].head, *(edge.tail for edge in edges))

    def rank(self, nodes: tuple[str, ...]) -> int:
        """The rank of the path through exactly these nodes (the first one, where edges are parallel)."""
        if not nodes or nodes[0] not in self.losses or not self.ways.get(nodes[0]):
            raise UnknownName("start of a path", nodes[0] if nodes else "", self.losses)
        rank = self.starts[self.losses.index(nodes[0])]
        for head, tail in pairwise(nodes):
            offsets = {name: offset for (name, _), offset in reversed(self.offsets(head).items())}
            if tail not in offsets:
                raise UnknownName(f"step of a path from {head}", tail, offsets)
            rank += offsets[tail]
        if nodes[-1] != self.target:
            raise UnknownName("end of a path", nodes[-1], [self.target])
        return rank
