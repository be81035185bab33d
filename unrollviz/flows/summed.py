"""Figures of a fold whose labels arrive several times: counted first, then summed label by label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from unrollviz.allowance import memory_allowed
from unrollviz.arrays import Array, Labels, Shape, arithmetic
from unrollviz.carriers import COUNTS, SMALL_COUNTS
from unrollviz.counts import integer
from unrollviz.errors import UnrollvizError
from unrollviz.flows.table import STACK_LIMIT, Figures
from unrollviz.gradient import Total, count_paths
from unrollviz.labels import Places, indices
from unrollviz.stacks import Exponents, weights
from unrollviz.sweep import Arrival, Fold, sweep
from unrollviz.terms import TermSum, at_once, check_memory, dots_with
from unrollviz.way import Way

ROW_LIMIT = 20_000_000
"""Rows of a flow: as many as T = 4,472 steps give by temporal."""

LABEL_LIMIT = 2**18
"""Labels that edges may give to the paths at one node: more routes than that nobody reads."""


_INTEGER = 48
"""Bytes that one of Python's integers takes, with the pointer to it."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """The labels a fold gives rise to, and for every place among them the exact number of paths.

    counts: 64 bits or Python integers;  arrivals: whether a label arrives never (0), once (1) or
    more often (2 or more, not counted further);  both (places.size,).
    """

    places: Places
    counts: Labels
    arrivals: Labels


def fold_rows(way: Way, losses: Sequence[str], target: str, fold: Sequence[Fold]) -> _Rows:
    """Labels, exact path counts and numbers of arrivals, from one sweep that carries integers.

    Raises UnrollvizError where there are more labels at one node than LABEL_LIMIT, or more rows than fit into
    STACK_LIMIT."""
    paths = count_paths(way, losses, target)
    small = paths < 2**62
    by_edges = any(column.cross for column in fold)
    found: list[Arrival] = []
    rows, limit = 0, memory_allowed(STACK_LIMIT)
    row_size = 8 * len(fold) + (8 if small else _INTEGER)
    for arrival in sweep(way, losses, [target], fold, SMALL_COUNTS if small else COUNTS):
        rows += len(arrival.rows)
        wide = 8 * len(arrival.rows) * way.graph.nodes[arrival.edge.head]["value"].size
        if max(wide, rows * row_size) > limit or (by_edges and len(arrival.rows) > LABEL_LIMIT):
            at = f"{len(arrival.rows):,} of the paths through node {arrival.edge.head} alone"
            raise UnrollvizError(
                f"there are too many different labels, {at}, the limit is {LABEL_LIMIT:,} and {limit / 2**30:g} GiB; "
                f"there are {integer(paths)} paths in all; count kinds of edges together, as route:weights,highway "
                "does, or only whether they are used, as uses:weights,highway does (diagnose says how often each is)"
            )
        found.append(arrival)
    places = Places.of([arrival.labels for arrival in found]) if found else Places.none(len(fold))
    counts = np.zeros(places.size, dtype=np.int64 if small else object)
    arrivals = np.zeros(places.size, dtype=np.int8)
    for arrival, place in zip(found, places.where, strict=True):
        counts[place] += arrival.rows
        arrivals[place] = np.minimum(arrivals[place], 2) + min(2, arrival.edge.jacobian.ends)
    return _Rows(places, counts, arrivals)


@dataclass(frozen=True, eq=False)
class Summed:
    """Sweeps for the figures and the terms of a fold, its rows being known."""

    way: Way
    losses: Sequence[str]
    target: str
    fold: Sequence[Fold]
    rows: _Rows

    @classmethod
    def of(cls, way: Way, losses: Sequence[str], target: str, fold: Sequence[Fold]) -> Summed:
        """The rows of a fold counted. Raises UnrollvizError where there are too many."""
        return cls(way, losses, target, fold, fold_rows(way, losses, target, fold))

    @property
    def shape(self) -> Shape:
        shape: Shape = self.way.graph.nodes[self.target]["value"].shape
        return shape

    def arrivals(self) -> Iterator[tuple[Arrival, Labels | slice]]:
        """Every arrival with the places of its rows."""
        return zip(sweep(self.way, self.losses, [self.target], self.fold), self.rows.places.where, strict=True)

    def figures(self, whole: Total) -> Figures:
        """Figures of all rows, the gradient being `whole`."""
        with arithmetic():
            norms, shares = self._norms_and_shares(whole)
        places = self.rows.places

        def logs() -> Array:
            return places.shown(norms.logarithms())

        def counts() -> Labels:
            return places.shown(self.rows.counts)

        return Figures(places.shown(norms.values), shares, lambda: places.labels, counts, logs if norms.tiny else None)

    def _norms_and_shares(self, whole: Total) -> tuple[_Norms, Array]:
        arrivals, places = self.rows.arrivals, self.rows.places
        shares, norms = np.zeros(places.size), _Norms(np.zeros(places.size))
        often, once = np.flatnonzero(arrivals > 1), bool((arrivals == 1).any())
        several = _blocks(often, self.shape)
        sums = [_Sums(block, self.shape) for block in several[:1]]
        for arrival, place in self.arrivals():
            dots = dots_with(arrival.rows, arrival.edge.jacobian, whole.direction)
            shares[place] += whole.shares(dots, arrival.exponents)
            if once:
                norms.add(arrival, place, None if len(often) == 0 else arrivals[place] == 1)
            for first in sums:
                first.add(place, arrival)
        for index, block in enumerate(several):
            norms.put(block, *(sums.pop() if index == 0 else self.summed(block)).norms())
        return norms, places.shown(shares)

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
            place, rows = indices(place)[once], rows[once]
            exponents = None if exponents is None else exponents[once]
        self.put(place, arrival.edge.jacobian.row_norms(rows), exponents)

    def put(self, place: Labels | slice, mantissas: Array, exponents: Exponents | None) -> None:
        """Write down mantissas · 2^exponents."""
        found, logs = weights(mantissas, exponents)
        self.values[place] = found
        small = np.flatnonzero((found < 1e-300) & (mantissas > 0)) if exponents is not None else ()
        if len(small):
            self.tiny.append((indices(place)[small], logs[small]))

    def logarithms(self) -> Array:
        """log₁₀ of every norm, -inf of 0."""
        with np.errstate(divide="ignore"):
            logs = np.log10(self.values)
        for place, found in self.tiny:
            logs[place] = found
        return logs


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
        place = indices(at_place)
        at = np.searchsorted(self._places, place)
        wanted = (at < len(self._places)) & (self._places[np.minimum(at, len(self._places) - 1)] == place)
        if not wanted.any():
            return
        rows, exponents = arrival.rows, arrival.exponents
        if not wanted.all():
            at, rows = at[wanted], rows[wanted]
            exponents = None if exponents is None else exponents[wanted]
        self._sum.add(at, rows, arrival.edge.jacobian, exponents)
