"""Sets of paths from the losses back to a target: counted, listed lazily, ranked, the heaviest found.

Paths have a fixed order, and a path's label is its rank in it: all completions of a partial path have
consecutive ranks, so the sweep can be asked for any slice of a set however large. In that order a path
comes before those that go on further back: L₄'s paths to W enter at s₄, s₃, s₂, s₁.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, overload

import numpy as np

from unrollviz.allowance import paths_allowed
from unrollviz.arrays import Array, Labels, arithmetic
from unrollviz.counts import integer
from unrollviz.errors import TooManyPaths, UnknownName, UnrollvizError
from unrollviz.export import LISTED, Table
from unrollviz.flows.flow import Flow, cancellation
from unrollviz.flows.folds import Labelling, by_path
from unrollviz.gradient import Total, check_gradient, total_of
from unrollviz.graph import Graph
from unrollviz.paths.entry import Entered
from unrollviz.paths.order import Order as _Order
from unrollviz.paths.path import Factor as Factor
from unrollviz.paths.path import Heaviest as Heaviest
from unrollviz.paths.path import Path as Path
from unrollviz.paths.path import listing, of_paths
from unrollviz.paths.search import BUDGET, heaviest
from unrollviz.stacks import weights
from unrollviz.sweep import ENTRY, LOSS, Arrival, sweep
from unrollviz.terms import TermSum, check_memory, dots_with
from unrollviz.way import entering, entry_step, leave_chart

if TYPE_CHECKING:
    import pandas

PATH_LIMIT = 1_000_000
"""How many paths may be enumerated at once; counting has no limit, and neither has reading a slice."""

SCAN_LIMIT = 4096
"""How many paths are rather all walked than searched for the heaviest."""

_BLOCK_BYTES = 2**26
_BLOCK_ROWS = 2**16


@dataclass(frozen=True, eq=False)
class PathTable:
    """Figures of a block of paths, a row each: `ranks`, time of the `losses`, step of `entries`, `norms`, their decimal
    logarithms `log10_norms`, `shares`."""

    ranks: Labels
    losses: Labels
    entries: Labels
    norms: Array
    log10_norms: Array
    shares: Array


_COLUMNS = tuple(column.name for column in fields(PathTable))


class PathSet:
    """All paths from some losses to a target at one level of detail: counted at once, listed lazily.

    Indexing gives a `Path`, slicing another `PathSet`, whose shares still refer to the whole set.

    Attributes:
        total: G, the sum that shares refer to: of all terms of the whole set, if no other was given.
        entered: the steps at which these paths enter the target; None: at any.
    """

    def __init__(
        self,
        graph: Graph,
        losses: Sequence[str],
        target: str,
        whole: Total | None = None,
        entered: Entered | None = None,
    ) -> None:
        self.graph = graph
        self.entered = entered
        self.losses = tuple(losses)
        self.target = target
        self._order = _Order(graph, self.losses, target)
        self._ranks = range(self._order.starts[-1])
        self.total = total_of(graph, self.losses, target) if whole is None else whole

    @property
    def gradient(self) -> Array:
        """G, shape of the target; 0 below 5e-324."""
        return self.total.value

    @property
    def count(self) -> int:
        """The exact number of paths."""
        ranks = self._ranks
        return max(0, -((ranks.start - ranks.stop) // ranks.step))

    @property
    def total_norm(self) -> float:
        """‖G‖; 0 below 5e-324."""
        return self.total.norm

    @property
    def log10_total_norm(self) -> float:
        """log₁₀ ‖G‖, finite however far it has vanished; -inf where G = 0."""
        return self.total.log10_norm

    def __len__(self) -> int:
        if self.count > sys.maxsize:
            raise OverflowError(
                f"{integer(self.count)} paths are more than len() can say; use .count, .top(12) or a slice"
            )
        return self.count

    def __repr__(self) -> str:
        some = self.losses if len(self.losses) < 4 else (self.losses[0], "…", self.losses[-1])
        return f"<PathSet {', '.join(some)} to {self.target}: {integer(self.count, exact=60)} paths{self._entering}>"

    @property
    def _entering(self) -> str:
        return "" if self.entered is None else f" that enter at {self.entered}"

    def _repr_html_(self) -> str:
        some = self.losses if len(self.losses) < 4 else (self.losses[0], "…", self.losses[-1])
        count = f"{integer(self.count)} paths{self._entering}"
        what = f"{', '.join(some)} to {self.target}: {count}, norm of their sum {self.total_norm:.4g}"
        return listing(list(self[:LISTED])).html(what, self.count)

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

    def entering(self, steps: tuple[int, ...]) -> PathSet:
        """Those that enter the target at these steps, in increasing order; shares refer to their sum."""
        graph = entering(self.graph, self.target, steps.__contains__)
        return PathSet(graph, self.losses, self.target, entered=Entered(steps, self.total))

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
        self.check_limit(
            "ask for the first ones (paths --limit 40; a slice), for the heaviest (paths --top 12; top(12)), or take "
            "the sum apart (flow --by lag; flow(by='lag'))"
        )
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
        table = self.table()
        if self.total_norm == 0 < self.total.size:
            return float((10 ** (table.log10_norms - self.log10_total_norm)).sum())
        return cancellation(table.norms, self.total_norm)

    def sum(self) -> Array:
        """The sum of the terms of all paths of the set, each walked on its own: shape of the target.

        Raises:
            TooManyPaths: past PATH_LIMIT.
            NonFinite: naming the first node whose cotangent overflows.
        """
        self.check_limit("the same sum is run.gradient(), one reverse sweep")
        terms = TermSum(1, self.gradient.shape)
        first = np.zeros(1, dtype=np.int64)
        with arithmetic():
            for start, stop in self._spans():
                for arrival in self.arrivals(start, stop):
                    terms.add(first, arrival.cotangents.sum(axis=0, keepdims=True), arrival.edge.jacobian)
        return np.asarray(terms.result()[0])

    def top(
        self,
        k: int,
        by: str = "norm",
        budget: int = BUDGET,
        progress: Callable[[int], None] = lambda expansions: None,
    ) -> Heaviest[Path]:
        """The k heaviest paths by norm, or by the absolute value of the share, heaviest first; equal ones by rank.

        Small sets are walked through. In others, of any size, they are searched for (see `search.py`), with a
        proof that none was missed, or after `budget` expansions with a bound on any that was; a few partial paths are
        then still completed, and counted in `expansions` beyond the budget. `progress` is called every few hundred
        expansions with their number; what it raises ends the search and does no harm.

        Raises UnknownName for another `by`, UnrollvizError for a negative number."""
        if by not in ("norm", "share"):
            raise UnknownName("order of paths", by, ("norm", "share"))
        if min(k, budget) < 0:
            raise UnrollvizError(f"top({k}, budget={budget}) asks for less than nothing; give numbers from 0")
        if self.count <= SCAN_LIMIT and self.listable:
            return self._heaviest_listed(k, by)
        if by == "share" and self.total.size == 0:
            # Without a gradient, no share is larger than another.
            return Heaviest(tuple(self[:k]), by, True, math.nan if k < self.count else 0.0, 0, self.total)
        if k == 0:
            return self.top(1, by, budget, progress).emptied(self.total)
        return self._heaviest_found(k, by, budget, progress)

    def _heaviest_listed(self, k: int, by: str) -> Heaviest[Path]:
        table = self.table()
        weight = table.norms if by == "norm" else np.abs(table.shares)
        vanished = weight < np.finfo(np.float64).tiny if by == "norm" else False
        order = np.lexsort((np.where(vanished, -table.log10_norms, 0.0), -weight))
        paths = tuple(self._paths(PathTable(*(getattr(table, name)[order[:k]] for name in _COLUMNS))))
        bound = float(weight[order[k]]) if k < len(order) else 0.0
        return Heaviest(paths, by, True, bound, 0, self._without(paths))

    def _heaviest_found(self, k: int, by: str, budget: int, progress: Callable[[int], None]) -> Heaviest[Path]:
        whole = self.total
        weighed = whole.direction if by == "share" else None
        found = heaviest(self.graph, self._order, self._ranks, k, weighed, budget, progress)
        rows = []
        with arithmetic():
            for hit in found.hits:
                jacobian, exponents = hit.edge.jacobian, np.array([hit.exponent])
                norm = weights(jacobian.row_norms(hit.row), exponents)
                share = whole.shares(dots_with(hit.row, jacobian, whole.direction), exponents)
                loss = self.graph.nodes[self._order.loss(hit.rank)]["time"]
                rows.append((hit.rank, loss, entry_step(self.graph, hit.edge), *(float(x[0]) for x in (*norm, share))))
        bound = found.bound_in(whole.size, whole.power) if by == "share" else found.bound
        paths = tuple(self._path(*row) for row in rows)
        log10_bound = found.log10_bound - (self.log10_total_norm if by == "share" else 0.0)
        return Heaviest(paths, by, found.exact, bound, found.expansions, self._without(paths), log10_bound)

    def _without(self, paths: Sequence[Path]) -> Total:
        """G - Σ terms of some paths."""
        terms = TermSum(1, self.gradient.shape)
        with arithmetic():
            for path in paths:
                path.add_to(terms)
            rest = self.total.numbers - self.total.measured(*terms.scaled())[0]
        return Total(rest, self.total.power)

    def as_flow(self, by: Sequence[str | Labelling] = ("path",)) -> Flow:
        """The set as a `Flow` of one row a path, labelled by rank and what else `by` names: loss, entry, lag, temporal.

        Raises TooManyPaths past PATH_LIMIT, UnrollvizError for another label."""
        table = self.table()
        known = {"path": table.ranks, "loss": table.losses, "entry": table.entries, "lag": table.losses - table.entries}
        columns, labels = by_path(known | {"total": np.zeros_like(table.ranks)}, by)
        ones = np.ones(len(table.ranks), dtype=np.int64)

        def build() -> Array:
            check_memory(len(ones), self.gradient.shape)
            return np.array([path.term for path in self]).reshape(-1, *self.gradient.shape)

        return Flow(
            self.target,
            ", ".join(map(str, by)),
            columns,
            table.norms,
            table.shares,
            self.total,
            lambda: ones,
            lambda: table.log10_norms,
            lambda: labels,
            build,
        )

    def as_table(self) -> Table:
        """A row a path: nodes, loss, entry, lag, norm, log10_norm, share. Raises TooManyPaths past PATH_LIMIT."""
        self.check_limit("ask for a slice: paths[:1000].as_table()")
        return of_paths(self)

    def to_pandas(self) -> pandas.DataFrame:
        """The same as a DataFrame, with tuples of nodes. Needs the extra `pandas`."""
        self.check_limit("ask for a slice: paths[:1000].to_pandas()")
        return of_paths(self, joined=False).to_pandas()

    def check_limit(self, advice: str) -> None:
        """Raise TooManyPaths, with what to do instead, where the set is past PATH_LIMIT."""
        limit = paths_allowed(PATH_LIMIT)
        if self.count > limit:
            raise TooManyPaths(self.count, limit, advice)

    @property
    def listable(self) -> bool:
        """Whether all of them may be listed."""
        return self.count <= paths_allowed(PATH_LIMIT)

    def _spans(self) -> Iterator[tuple[int, int]]:
        """The ranks of the set as spans that can be swept at once: in its order, and ascending inside."""
        ranks = self._ranks
        if not ranks:
            return
        if abs(ranks.step) != 1:
            yield from ((rank, rank + 1) for rank in ranks)
            return
        sizes = (self.graph.nodes[name]["value"].size for name in self._order.ways if name != self.target)
        widest = max(sizes, default=1)
        size = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // (8 * widest)))
        first = min(size, 256)  # somebody who wants the first few does not wait for a whole block
        at = ranks.start
        while at != ranks.stop:
            behind = min(at + first, ranks.stop) if ranks.step > 0 else max(at - first, ranks.stop)
            yield (at, behind) if ranks.step > 0 else (behind + 1, at + 1)
            at, first = behind, size

    def _blocks(self) -> Iterator[PathTable]:
        for start, stop in self._spans():
            table = self._table(start, stop)
            if self._ranks.step < 0:
                table = PathTable(*(getattr(table, name)[::-1] for name in _COLUMNS))
            yield table

    def arrivals(self, start: int, stop: int) -> Iterator[Arrival]:
        """The arrivals (see `sweep`) of the paths with ranks from `start` up to `stop`; labels: rank, loss, entry."""
        columns = (self._order.fold(start, stop), LOSS, ENTRY)
        return sweep(self.graph, self.losses, [self.target], columns)

    def _table(self, start: int, stop: int) -> PathTable:
        """The figures of the paths with ranks from `start` up to `stop`."""
        labels: list[Labels] = []
        figures: list[tuple[Array, Array, Array]] = []
        with arithmetic():
            for arrival in self.arrivals(start, stop):
                rows, jacobian, exponents = arrival.rows, arrival.edge.jacobian, arrival.exponents
                share = self.total.shares(dots_with(rows, jacobian, self.total.direction), exponents)
                labels.append(arrival.labels)
                figures.append((*weights(jacobian.row_norms(rows), exponents), share))
        if not labels:
            return _no_rows()
        stacked, (norms, logs, shares) = np.concatenate(labels), map(np.concatenate, zip(*figures, strict=True))
        check_gradient(self.graph, self.losses, self.target, norms)
        order = np.argsort(stacked[:, 0])
        ranks, losses, entries = stacked[order].T
        return PathTable(ranks, losses, entries, norms[order], logs[order], shares[order])

    def _paths(self, table: PathTable) -> Iterator[Path]:
        return map(self._path, *(getattr(table, name).tolist() for name in _COLUMNS))

    def _path(self, rank: int, loss: int, entry: int, norm: float, log10_norm: float, share: float) -> Path:
        *inner, last = self._order.edges(rank)
        edges = (*inner, leave_chart(self.graph, last))
        nodes = (edges[0].head, *(edge.tail for edge in edges))
        return Path(rank, nodes, edges[0].head, entry, loss - entry, norm, log10_norm, share, edges)


def _no_rows() -> PathTable:
    none = np.zeros(0, dtype=np.int64)
    return PathTable(none, none, none, np.zeros(0), np.zeros(0), np.zeros(0))
