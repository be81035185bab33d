"""Flow: the gradient taken apart by the labels of a fold, with norms, shares and exact path counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from unrollviz.arrays import Array, Labels, Shape, arithmetic
from unrollviz.errors import UnrollvizError
from unrollviz.gradient import check_gradient, count_paths, scaled_gradient
from unrollviz.graph import Graph
from unrollviz.jacobians import frobenius
from unrollviz.stacks import Exponents, Places, times_power
from unrollviz.sweep import (
    COUNTS,
    ENTRY,
    LAG,
    LOSS,
    SMALL_COUNTS,
    Arrival,
    Fold,
    Way,
    sweep,
)
from unrollviz.terms import TermSum, at_once, check_memory, dots_with

ROW_LIMIT = 20_000_000
"""Rows of a flow: as many as T = 4,472 steps give by temporal."""

STACK_LIMIT = 2**30
"""Bytes that the rows at one node may take."""

LABEL_LIMIT = 2**18
"""Labels that edges may give to the paths at one node: more routes than that nobody reads."""


@dataclass(frozen=True, eq=False)
class Flow:
    """The rows of a fold.

    Attributes:
        target: the parameter or node.
        by: what the labels are.
        columns: what each column of the labels is.
        norms: (rows,) Frobenius norm of each row's sum of terms; 0 below 5e-324.
        shares: (rows,) <term, G> / <G, G>; NaN where G = 0.
        gradient: G, the sum of all rows.
    """

    target: str
    by: str
    columns: tuple[str, ...]
    norms: Array
    shares: Array
    gradient: Array
    _counts: Callable[[], Labels] = field(repr=False)
    _logs: Callable[[], Array] | None = field(repr=False)
    _total: tuple[float, int] = field(repr=False)
    _labels: Callable[[], Labels] = field(repr=False)
    _terms: Callable[[], Array] = field(repr=False)

    def __repr__(self) -> str:
        return f"<Flow of {self.target} by {self.by}: {len(self.norms):,} rows, norm {self.total_norm:.6g}>"

    @cached_property
    def labels(self) -> Labels:
        """(rows, columns) whole numbers, in increasing order; what a function of one's own gave, as it is."""
        return self._labels()

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """The exact number of paths in each row, as Python integers."""
        return tuple(self._counts().tolist())

    @cached_property
    def log10_norms(self) -> Array:
        """(rows,) logarithms of the norms: finite however far the gradient has vanished, -inf where a term is 0."""
        if self._logs is not None:
            return self._logs()
        with np.errstate(divide="ignore"):
            return np.asarray(np.log10(self.norms))

    @property
    def total_norm(self) -> float:
        """‖G‖"""
        return frobenius(self.gradient)

    @property
    def log10_total_norm(self) -> float:
        """log₁₀ ‖G‖, finite however far it has vanished; -inf where G = 0."""
        norm, power = self._total
        return math.log10(norm) + power * math.log10(2.0) if norm > 0 else -math.inf

    @property
    def cancellation(self) -> float:
        """κ = Σ‖term‖ / ‖G‖ ≥ 1; NaN where G = 0."""
        if self.total_norm == 0 and self.log10_total_norm > -math.inf:
            return float((10 ** (self.log10_norms - self.log10_total_norm)).sum())
        return cancellation(self.norms, self.total_norm)

    @property
    def terms(self) -> Array:
        """(rows, *shape of the target): every row's term, built on request.

        Raises UnrollvizError where they would take more than terms.MEMORY_LIMIT bytes."""
        return self._terms()


def cancellation(norms: Array, total_norm: float) -> float:
    """κ = Σ‖term‖ / ‖G‖; NaN where G = 0."""
    return float(norms.sum() / total_norm) if total_norm > 0 else float("nan")


@dataclass(frozen=True, eq=False)
class _Rows:
    """The labels a fold gives rise to, and for every place among them the exact number of paths.

    counts: 64 bits or Python integers;  arrivals: whether a label arrives never (0), once (1) or
    more often (2 or more, not counted further);  both (places.size,).
    """

    places: Places
    counts: Labels
    arrivals: Labels


def fold_rows(graph: Graph | Way, losses: Sequence[str], target: str, fold: Sequence[Fold]) -> _Rows | None:
    """Labels, exact path counts and numbers of arrivals, from one sweep that carries integers. None without paths.

    Raises UnrollvizError where there are more rows than ROW_LIMIT, or at one node more labels than LABEL_LIMIT
    or rows than fit into STACK_LIMIT."""
    whole = graph.graph if isinstance(graph, Way) else graph
    small = count_paths(graph, losses, target) < 2**62
    by_edges = any(column.cross for column in fold)
    found: list[Arrival] = []
    rows = 0
    for arrival in sweep(graph, losses, [target], fold, SMALL_COUNTS if small else COUNTS):
        rows += len(arrival.rows)
        wide = 8 * len(arrival.rows) * whole.nodes[arrival.edge.head]["value"].size
        if rows > 4 * ROW_LIMIT or wide > STACK_LIMIT or (by_edges and len(arrival.rows) > LABEL_LIMIT):
            raise UnrollvizError(
                f"there are too many different labels, {len(arrival.rows):,} of paths through {arrival.edge.head}; "
                "count kinds of edges together, as route:weights,highway does (diagnose says how often each is used)"
            )
        found.append(arrival)
    if not found:
        return None
    places = Places.of([arrival.labels for arrival in found])
    counts = np.zeros(places.size, dtype=np.int64 if small else object)
    arrivals = np.zeros(places.size, dtype=np.int8)
    for arrival, place in zip(found, places.where, strict=True):
        counts[place] += arrival.rows
        arrivals[place] = np.minimum(arrivals[place], 2) + min(2, arrival.edge.jacobian.ends)
    return _Rows(places, counts, arrivals)


def check_rows(losses: Sequence[str], fold: Sequence[Fold], by: str) -> None:
    """Raise UnrollvizError where a fold over time could have more than ROW_LIMIT rows."""
    timed = sum(column in (LOSS, ENTRY, LAG) for column in fold)
    widest = len(losses) ** min(2, timed)  # labels are made of the steps t and k
    if widest > ROW_LIMIT:
        raise UnrollvizError(
            f"{by} may give {widest:,} rows, the limit is {ROW_LIMIT:,}; take lag, entry or loss, or one loss at a time"
        )


def flow(
    graph: Graph,
    losses: Sequence[str],
    target: str,
    fold: Sequence[Fold],
    by: str,
    columns: Sequence[str] = (),
    read: Callable[[Labels], Labels] | None = None,
) -> Flow:
    """Take ∂L/∂target apart by `fold` on a graph at any level of detail. See `Flow`.

    `by` and `columns` name the fold and its columns; `read` makes of labels what is shown.

    A row that arrives once keeps its term factored: its norm comes from the factors. Rows that arrive
    several times are summed first, as many at once as memory allows.

    Raises UnrollvizError where there could be more than ROW_LIMIT rows.
    """
    check_rows(losses, fold, by)
    way = Way.to(graph, [target])
    numbers, power = scaled_gradient(way, losses, target)
    whole = np.ldexp(numbers, power)
    rows = fold_rows(way, losses, target, fold)
    names = tuple(columns) or (by,)
    if rows is None:
        none = np.zeros(0)
        return Flow(target, by, names, none, none, whole, lambda: none, None, (0.0, 0), _nothing(fold), _nothing(whole))
    swept = _Swept(way, losses, target, fold, rows)
    with arithmetic():
        found, shares = swept.figures(numbers, power)
    norms = rows.places.shown(found.values)
    check_gradient(graph, losses, target, norms)

    def labels() -> Labels:
        return rows.places.labels if read is None else read(rows.places.labels)

    def counts() -> Labels:
        return rows.places.shown(rows.counts)

    def logs() -> Array:
        return rows.places.shown(found.logarithms())

    total = frobenius(numbers), power
    return Flow(
        target, by, names, norms, shares, whole, counts, logs if found.tiny else None, total, labels, swept.terms
    )


def _nothing(like: Sequence[Fold] | Array) -> Callable[[], Labels]:
    """No labels for a fold, no terms of the shape of a gradient."""
    shape = like.shape if isinstance(like, np.ndarray) else (len(like),)
    return lambda: np.zeros((0, *shape), dtype=np.float64 if isinstance(like, np.ndarray) else np.int64)


@dataclass(frozen=True, eq=False)
class _Swept:
    """Sweeps for the figures and the terms of a fold whose rows are known."""

    way: Way
    losses: Sequence[str]
    target: str
    fold: Sequence[Fold]
    rows: _Rows

    @property
    def shape(self) -> Shape:
        shape: Shape = self.way.graph.nodes[self.target]["value"].shape
        return shape

    def arrivals(self) -> Iterator[tuple[Arrival, Labels | slice]]:
        """Every arrival with the places of its rows."""
        return zip(sweep(self.way, self.losses, [self.target], self.fold), self.rows.places.where, strict=True)

    def figures(self, whole: Array, power: int) -> tuple[_Norms, Array]:
        """Norms by place; shares of `whole` · 2^`power` in the order of the labels."""
        size = frobenius(whole)
        direction = whole / size if size > 0 else whole
        arrivals, places = self.rows.arrivals, self.rows.places
        shares, norms = np.zeros(places.size), _Norms(np.zeros(places.size))
        often, once = np.flatnonzero(arrivals > 1), bool((arrivals == 1).any())
        several = _blocks(often, whole.shape)
        sums = [_Sums(block, whole.shape) for block in several[:1]]
        for arrival, place in self.arrivals():
            dots = dots_with(arrival.rows, arrival.edge.jacobian, direction)
            shares[place] += times_power(dots, _apart(arrival.exponents, power, len(dots)))
            if once:
                norms.add(arrival, place, None if len(often) == 0 else arrivals[place] == 1)
            for first in sums:
                first.add(place, arrival)
        for index, block in enumerate(several):
            norms.put(block, *(sums.pop() if index == 0 else self.summed(block)).norms())
        shown = places.shown(shares) / size if size > 0 else np.full(len(places.shown(shares)), np.nan)
        return norms, shown

    def summed(self, places: Labels) -> _Sums:
        """The terms of some places, sorted, summed by a sweep of their own."""
        sums = _Sums(places, self.shape)
        for arrival, place in self.arrivals():
            sums.add(place, arrival)
        return sums

    def terms(self) -> Array:
        """Every row's term, in the order of the labels."""
        shown = self.rows.places.shown(np.arange(self.rows.places.size))
        check_memory(len(shown), self.shape)
        with arithmetic():
            return self.summed(np.sort(shown)).result()[np.argsort(np.argsort(shown))]


def _apart(exponents: Exponents | None, power: int, rows: int) -> Exponents | None:
    """How far the powers of two of some rows lie above or below `power`."""
    if power == 0:
        return exponents
    return (np.zeros(rows, dtype=np.int64) if exponents is None else exponents) - power


@dataclass(frozen=True, eq=False)
class _Norms:
    """Norms by place, and the logarithms of those that float64 holds badly or not at all."""

    values: Array
    tiny: list[tuple[Labels, Array]] = field(default_factory=list)

    def add(self, arrival: Arrival, place: Labels | slice, once: Labels | None) -> None:
        """Write down the norms of the rows of `arrival`; of those in the mask `once`, if any."""
        rows, exponents = arrival.rows, arrival.exponents
        if once is not None and not once.any():
            return
        if once is not None and not once.all():
            place, rows = _indices(place)[once], rows[once]
            exponents = None if exponents is None else exponents[once]
        self.put(place, arrival.edge.jacobian.row_norms(rows), exponents)

    def put(self, place: Labels | slice, mantissas: Array, exponents: Exponents | None) -> None:
        """Write down mantissas · 2^exponents."""
        self.values[place] = found = times_power(mantissas, exponents)
        if exponents is not None:
            small = np.flatnonzero((found < 1e-300) & (mantissas > 0))
            if len(small):
                logs = np.log10(mantissas[small]) + exponents[small] * math.log10(2.0)
                self.tiny.append((_indices(place)[small], logs))

    def logarithms(self) -> Array:
        """log₁₀ of every norm, -inf of 0."""
        with np.errstate(divide="ignore"):
            logs = np.log10(self.values)
        for place, found in self.tiny:
            logs[place] = found
        return logs


def _indices(place: Labels | slice) -> Labels:
    return np.arange(place.start, place.stop) if isinstance(place, slice) else place


def _blocks(places: Labels, shape: Shape) -> list[Labels]:
    """`places` in blocks whose terms fit into memory."""
    size = at_once(shape)
    return [places[start : start + size] for start in range(0, len(places), size)]


class _Sums:
    """Sums the terms of some of the places, sorted."""

    def __init__(self, places: Labels, shape: Shape) -> None:
        self._places = places
        self._sum = TermSum(len(places), shape)
        self.result = self._sum.result
        self.norms = self._sum.norms

    def add(self, at_place: Labels | slice, arrival: Arrival) -> None:
        """Add the rows of `arrival`, which are at `at_place`, where they are wanted."""
        place = _indices(at_place)
        at = np.searchsorted(self._places, place)
        wanted = (at < len(self._places)) & (self._places[np.minimum(at, len(self._places) - 1)] == place)
        if not wanted.any():
            return
        rows, exponents = arrival.rows, arrival.exponents
        if not wanted.all():
            at, rows = at[wanted], rows[wanted]
            exponents = None if exponents is None else exponents[wanted]
        self._sum.add(at, rows, arrival.edge.jacobian, exponents)
