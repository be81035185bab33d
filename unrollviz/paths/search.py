"""The heaviest paths among any number, by best-first search, with a proof that none was missed.

A heap of partial paths, each with its exact cotangent and a bound on what any completion of it can weigh (`bounds.py`).
The one with the largest bound is taken a step further; a path that is complete has its exact weight. Once the k-th best
complete path weighs as much as the largest bound that is left, no other path can be heavier.
"""

from __future__ import annotations

import heapq
import math
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from unrollviz.allowance import memory_allowed
from unrollviz.arrays import Array, arithmetic, beat
from unrollviz.graph import Graph
from unrollviz.jacobians import Jacobian
from unrollviz.paths.bounds import Bound, bounds
from unrollviz.paths.order import Order
from unrollviz.terms import MEMORY_LIMIT
from unrollviz.way import Edge, leave_chart

BUDGET = 200_000
"""Expansions after which a search stops, where none is given."""

PULSE = 256
"""Expansions between two reports of progress."""

_DIVES = 16

ROUNDING = 1e-8
"""Paths whose weights differ by less than this part of them count as equally heavy: bounds carry the rounding of every
hop, and without this a path would never settle the matter against another that is as heavy."""

_GRID = 2.0**30
"""Bounds are rounded up to so many steps a power of two, so that among partial paths that tie the first in the order
comes first and is completed, and not each of them taken one step further."""

_LARGE = 2.0**200
"""What the largest number of a row of cotangents is brought to, so that small ones beside it do not vanish."""

Scaled = tuple[int, float]
"""A number ≤ 0 as (-exponent, -mantissa), |mantissa| in [0.5, 1): in the order of tuples the heaviest comes first, and
neither a path that vanishes nor one that explodes leaves the range of float64."""

_NOTHING: Scaled = (2**60, 0.0)
_EVERYTHING: Scaled = (-(2**60), 0.0)


def scaled(weight: float, exponent: int) -> Scaled:
    """weight · 2^exponent, for a weight ≥ 0."""
    mantissa, shift = math.frexp(weight)
    return (-exponent - shift, -mantissa) if weight > 0 else _NOTHING


def _ceiled(bound: float, exponent: int) -> Scaled:
    """bound · 2^exponent, rounded up to the grid."""
    mantissa, shift = math.frexp(bound)
    return scaled(math.ceil(mantissa * _GRID) / _GRID, exponent + shift)


def unscaled(weight: Scaled) -> float:
    """As a float; rounded up to the least that there is where it would vanish."""
    if weight == _NOTHING:
        return 0.0
    return max(math.ldexp(-weight[1], -weight[0]), 5e-324) if weight[0] >= -1024 else math.inf


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """A complete path: its rank, its last edge, and its row of cotangents before that edge, still times 2^exponent."""

    weight: Scaled
    rank: int
    edge: Edge = field(repr=False)
    row: Array = field(repr=False)
    exponent: int

    def __lt__(self, other: Hit) -> bool:
        return (self.weight, self.rank) < (other.weight, other.rank)


@dataclass(frozen=True)
class Found:
    """What a search has come to.

    Attributes:
        hits: the heaviest paths found, heaviest first, at most k.
        exact: no other path is heavier than these.
        left: no path that is not among them weighs more.
        expansions: how many partial paths were taken a step further; past the budget by those of the last dive.
    """

    hits: tuple[Hit, ...]
    exact: bool
    left: Scaled
    expansions: int

    @property
    def bound(self) -> float:
        """`left` as a float: rounded up to the least that there is where it would vanish."""
        return unscaled(self.left)

    @property
    def log10_bound(self) -> float:
        """The logarithm of `left`; -inf of nothing."""
        exponent, mantissa = self.left
        return math.log10(-mantissa) - exponent * math.log10(2.0) if mantissa < 0 else -math.inf

    def bound_in(self, unit: float, power: int) -> float:
        """The same in units of unit · 2^power."""
        exponent, mantissa = self.left
        return unscaled((exponent + power, mantissa)) / unit if self.left != _NOTHING else 0.0


def heaviest(
    graph: Graph,
    order: Order,
    ranks: range,
    k: int,
    direction: Array | None = None,
    budget: int = BUDGET,
    progress: Callable[[int], None] = lambda expansions: None,
) -> Found:
    """The k heaviest paths of those with these `ranks` in the order: by norm, or by |<term, direction>| if it is given.

    Equally heavy ones by rank. After `budget` expansions the best found, with a bound on what was missed; some partial
    paths are then still completed, so that there is something to give, and these expansions are counted beyond the
    budget. `progress` is called every PULSE expansions, and while the bounds are worked out with 0; what it raises ends
    the search.
    """
    with arithmetic():
        search = _Search(graph, order, ranks, k, direction)
        search.prepare(progress)
        return search.run(budget, progress)


@dataclass(frozen=True, slots=True)
class _Step:
    """An edge that leads on; `offset`: how many of its head's completions come before its own `ways`."""

    tail: str
    jacobian: Jacobian
    offset: int
    ways: int


@dataclass(frozen=True, slots=True)
class _End:
    """An edge from a node into the target; `along`: the direction, pulled to the node."""

    edge: Edge
    offset: int
    along: Array | None

    def weigh(self, row: Array) -> float:
        if self.along is None:
            return float(self.edge.jacobian.row_norms(row)[0])
        return abs(float(row.ravel() @ self.along))


_Partial = tuple[Scaled, int, str, Array, int]
"""Bound, rank of the first completion, node, row of cotangents, exponent of the row. No two have the same rank."""


class _Search:
    def __init__(self, graph: Graph, order: Order, ranks: range, k: int, direction: Array | None) -> None:
        self.graph, self.order, self.k, self.direction = graph, order, k, direction
        self.ranks = ranks if ranks.step > 0 else ranks[::-1]
        self.whole = self.ranks == range(order.count)
        self.added = direction is not None or graph.nodes[order.target]["role"] == "parameter"
        self.heap: list[_Partial] = []
        self.hits: list[Hit] = []
        self.met: set[int] = set()
        self.least: tuple[Scaled, int] | None = None
        self.missed = _NOTHING
        self.expansions = 0
        self.forks: dict[str, tuple[list[_End], list[_Step]]] = {}
        self.bounds: dict[str, Bound] = {}

    def prepare(self, progress: Callable[[int], None]) -> None:
        """Bounds of all nodes, and the partial paths that begin at the losses."""
        self.bounds = bounds(self.graph, self.order.target, self.direction, progress)
        for loss, start in zip(self.order.losses, self.order.starts, strict=False):
            beat()
            if self.order.ways.get(loss):
                self.push(self.expand((_EVERYTHING, start, loss, np.ones(1), 0)))

    def run(self, budget: int, progress: Callable[[int], None]) -> Found:
        """Take the most promising partial path further until no other can be heavier."""
        size = 400 + max((bound.reach.nbytes for bound in self.bounds.values()), default=0)
        dive_at = 4 * PULSE
        begun = list(self.heap)
        while self.heap and not self.is_lighter(*self.heap[0][:2]):
            spent = self.expansions >= budget or size * len(self.heap) > memory_allowed(MEMORY_LIMIT)
            if spent or self.expansions >= dive_at:
                self.dive(begun)  # what a smaller budget would have found is found here too
                begun.clear()
                self.dive(self.heap)
                if spent:
                    break
                dive_at = 4 * self.expansions
                continue
            beat()
            if self.expansions % PULSE == 0:
                progress(self.expansions)
            self.push(self.expand(heapq.heappop(self.heap)))
        left = min(self.heap[0][0] if self.heap else _NOTHING, self.missed)
        exact = not self.heap or self.is_lighter(*self.heap[0][:2])
        return Found(tuple(self.hits), exact, left, self.expansions)

    def dive(self, heap: list[_Partial]) -> None:
        """Complete some of the most promising partial paths of a heap, at each step by the most promising edge.

        Best-first alone would take them all one step further, and have nothing to show where it cannot finish."""
        for _ in range(_DIVES):
            rest = [heapq.heappop(heap)] if heap else []
            while rest:
                best, *others = sorted(rest, key=lambda item: item[:2])
                for partial in others:
                    heapq.heappush(heap, partial)
                rest = self.expand(best)

    def is_lighter(self, bound: Scaled, rank: int) -> bool:
        """True where a path of at most this weight, and at least this rank, cannot displace one of k hits."""
        return self.least is not None and (bound, rank) > self.least

    def push(self, partials: list[_Partial]) -> None:
        for partial in partials:
            heapq.heappush(self.heap, partial)

    def expand(self, partial: _Partial) -> list[_Partial]:
        """Take a partial path along every edge of its node: those that are complete are hits, the others returned."""
        above, first, head, row, exponent = partial
        self.expansions += 1
        ends, steps = self.fork(head)
        for end in ends:
            rank = first + end.offset
            if self.whole or rank in self.ranks:
                self.hit(Hit(scaled(end.weigh(row), exponent), rank, end.edge, row, exponent))
        found = []
        for step in steps:
            rank = first + step.offset
            if self.whole or _any_in(self.ranks, rank, rank + step.ways):
                child = self.along(step, above, rank, row, exponent)
                if self.is_lighter(*child[:2]):
                    self.missed = min(self.missed, child[0])
                else:
                    found.append(child)
        return found

    def along(self, step: _Step, above: Scaled, rank: int, row: Array, exponent: int) -> _Partial:
        """The partial path behind an edge, and behind those that follow without a choice."""
        row = step.jacobian.vjp(row)
        ends, steps = self.fork(step.tail)
        while len(steps) == 1 and not ends:
            (step,) = steps
            row = step.jacobian.vjp(row)
            ends, steps = self.fork(step.tail)
        bound = self.bounds[step.tail]
        weight, power = bound.of(row, self.added)
        bounded = max(above, _ceiled(weight, exponent + power))
        if not 1 <= np.abs(row).max() < _LARGE**2:
            shift = math.frexp(float(np.abs(row).max()) / _LARGE)[1]
            row, exponent = np.ldexp(row, -shift), exponent + shift
        return bounded, rank, step.tail, row, exponent

    def fork(self, head: str) -> tuple[list[_End], list[_Step]]:
        """The edges from a node into the target, and those that lead on."""
        if head not in self.forks:
            ends, steps = [], []
            for (tail, key), offset in self.order.offsets(head).items():
                jacobian: Jacobian = self.graph.edges[tail, head, key]["jacobian"]
                if tail == self.order.target:
                    edge = leave_chart(self.graph, Edge(head, tail, key, jacobian))
                    along = None if self.direction is None else edge.jacobian.jvp(self.direction[None])[0].ravel()
                    ends.append(_End(edge, offset, along))
                else:
                    steps.append(_Step(tail, jacobian, offset, self.order.ways[tail]))
            self.forks[head] = ends, steps
        return self.forks[head]

    def hit(self, hit: Hit) -> None:
        if hit.rank in self.met:
            return
        self.met.add(hit.rank)
        insort(self.hits, hit)
        if len(self.hits) > self.k:
            self.missed = min(self.missed, self.hits.pop().weight)
        if len(self.hits) == self.k:
            last = self.hits[-1]
            exponent, mantissa = last.weight
            self.least = scaled(-mantissa * (1 + ROUNDING), -exponent), last.rank


def _any_in(ranks: range, start: int, stop: int) -> bool:
    """True where one of the ascending `ranks` lies in [start, stop)."""
    nearest = max(ranks.start, start + (ranks.start - start) % ranks.step)
    return nearest < min(stop, ranks.stop)
