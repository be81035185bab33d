"""Paths from neuron to neuron (`detail="unit"`): counted exactly, and the heaviest found without walking the others.

A unit path visits one neuron of every landmark and ends in one entry of the target: L4, yhat4[2], s4[1], s3[0],
W[0,2]. It contributes the product of the local derivatives on its way, a number; the contributions of all unit paths
to W[i,j] add up to G[i,j]. Neurons are counted from 0, as NumPy counts. Where there are several instances each has
neurons of its own, and its number, counted from 1, follows: s3[0]#2.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import TypeAlias, TypeVar

import numpy as np

from unrollviz.allowance import memory_allowed
from unrollviz.arrays import Array, Shape, arithmetic
from unrollviz.charts import divide
from unrollviz.counts import integer
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.gradient import Total, total_of
from unrollviz.graph import Graph, backward_edges, node_named
from unrollviz.jacobians import frobenius
from unrollviz.paths.best import Best, logarithms, push
from unrollviz.paths.entry import Entered
from unrollviz.paths.neurons import Indices, Local, Target, derivatives, instances_of, joined, neuron, units_of
from unrollviz.paths.path import Heaviest
from unrollviz.paths.search import Scaled, scaled
from unrollviz.paths.sums import Sums
from unrollviz.terms import MEMORY_LIMIT
from unrollviz.way import Edge, entering, entry_step, leading_to, leave_chart

Carried = TypeVar("Carried")

ORDERS = ("norm", "share")
"""What the heaviest may be ranked by."""

_LOST = 1e-280
"""Norm below which what is asked for of a gradient may have lost digits: beside larger entries, and over a few steps
that shrink it so fast that a sweep does not scale its rows in time."""

_WORDS_PER_STEP = 6
"""What a step of a `UnitPath` takes: a name, shared, and a factor."""


# ---------------------------------------------------------------- what is found


@dataclass(frozen=True)
class UnitPath:
    """One path from neuron to neuron.

    Attributes:
        nodes: names with indices, from the loss to the entry: ("L4", "yhat4[2]", "s4[1]", "W[1,0]").
        loss: the loss it starts from.
        weight: the entry of the target that it ends in; `index` is its place in `run.gradient(target)`.
        entry: step k at which it enters the target.
        lag: t - k.
        contribution: the product of the local derivatives; 0 where that is smaller than any float, and infinite where
            it is larger, see `log10`.
        log10: of |contribution|: finite however small or large that is, -inf where it is 0.
        share: contribution · G[index] / <G, G>, G over the entries asked for; of a single entry, its part of G[i,j].
            NaN where G = 0.
        factors: the local derivatives, one between each two nodes. Those at ŷ are the textbook's, infinite where ŷ
            underflows to 0; the contribution is formed in log ŷ and is right there too.
    """

    nodes: tuple[str, ...]
    loss: str
    weight: str
    index: tuple[int, ...]
    entry: int
    lag: int
    contribution: float
    log10: float
    share: float
    factors: tuple[float, ...]

    @property
    def norm(self) -> float:
        """|contribution|"""
        return abs(self.contribution)

    @property
    def log10_norm(self) -> float:
        return self.log10


class UnitPaths:
    """All unit paths from some losses to a target, or to some of its entries; `count` and `top` walk none of them.

    Attributes:
        losses: the losses they start from.
        target: what was asked for.
        whole: the sum of all paths to any entry of the target; right at least in those asked for.
        entered: as of a `PathSet`.

    Raises UnrollvizError where the target has no such entry."""

    def __init__(self, graph: Graph, losses: Sequence[str], target: Target, entered: Entered | None = None) -> None:
        self.graph, self.losses, self.target = graph, tuple(losses), target
        self.entered = entered
        found = node_named(graph, target.node, "parameter or node")
        self.shape: Shape = found["value"].shape
        self.shared: bool = found["role"] == "parameter"
        self._place = target.place(self.shape, self.shared)
        self._on_the_way = leading_to(graph, frozenset([target.node]))
        self.whole = total_of(graph, losses, target.node)
        if frobenius(self.whole.numbers[self._place]) < _LOST and self._sizes.log10_norm < math.log10(_LOST):
            self.whole = self._recovered()

    def __repr__(self) -> str:
        some = self.losses if len(self.losses) < 4 else (self.losses[0], "…", self.losses[-1])
        entered = "" if self.entered is None else f" that enter at {self.entered}"
        return f"<UnitPaths {', '.join(some)} to {self.target}: {integer(self.count, exact=60)} paths{entered}>"

    def entering(self, steps: tuple[int, ...]) -> UnitPaths:
        """Those that enter the target at these steps, in increasing order; shares refer to their sum."""
        graph = entering(self.graph, self.target.node, steps.__contains__)
        return UnitPaths(graph, self.losses, self.target, Entered(steps, self.total))

    @cached_property
    def total(self) -> Total:
        """G, the sum of the paths: shape of the target; () of one entry."""
        return Total(np.asarray(self.whole.numbers[self._place]), self.whole.power)

    @property
    def gradient(self) -> Array:
        """G over the entries asked for; 0 below 5e-324."""
        return self.total.value

    @property
    def total_norm(self) -> float:
        """‖G‖ over the entries asked for; 0 below 5e-324."""
        return self.total.norm

    @property
    def log10_total_norm(self) -> float:
        """log₁₀ ‖G‖, finite however far it has vanished; -inf where G = 0."""
        return self.total.log10_norm

    @cached_property
    def wanted(self) -> Indices:
        """(instances, entries) True for what is asked for; a parameter has one row, for all instances."""
        mask = np.zeros(self.shape, dtype=bool)
        mask[self._place] = True
        return mask.reshape(1, -1) if self.shared else mask

    @cached_property
    def entries(self) -> Indices:
        """The entries asked for, of any instance: units, or places in the flattened parameter."""
        return np.flatnonzero(self.wanted.any(axis=0))

    @cached_property
    def count(self) -> int:
        """The exact number of unit paths: numbers of paths to each unit in place of cotangents."""
        rows = self.entries // (math.prod(self.shape[1:]) if self.shared else 1)
        total = 0
        for edge, ways in self.sweep(
            np.array([1], dtype=object), lambda edge, ways: joined(edge.jacobian).counts(ways), operator.add
        ):
            instances = instances_of(edge.jacobian.out_shape) if self.shared else self.wanted.any(axis=1).sum()
            total += int(ways[rows].sum()) * int(instances)
        return total

    def _summed(self, sizes: bool) -> Sums:
        """Σ contributions of all unit paths to each entry asked for, or with `sizes` Σ|contribution|."""

        def through(edge: Edge, sums: Sums) -> Sums:
            return sums.through(Local.of(edge.jacobian, self.entries_of(edge)), sizes)

        wanted = self.wanted[:, self.entries]
        found = Sums.of(np.zeros(wanted.shape), np.zeros((len(wanted), 1), dtype=np.int64))
        with arithmetic():
            for _, sums in self.sweep(Sums.start(), through, operator.add):
                found += sums.over_instances() if self.shared else sums
            return found.where(wanted)

    @cached_property
    def _sizes(self) -> Total:
        """S = Σ|contribution| over all unit paths."""
        numbers, power = self._summed(sizes=True).in_one_unit()
        return Total(np.asarray(numbers.sum()), power)

    def _recovered(self) -> Total:
        """G from neuron to neuron, 0 where it is not asked for: an instance has a power of two of its own there."""
        numbers, power = self._summed(sizes=False).in_one_unit()
        found = np.zeros(self.wanted.shape)
        found[:, self.entries] = numbers
        return Total(found.reshape(self.shape), power)

    @property
    def norm_sum(self) -> float:
        """S = Σ|contribution| over all unit paths; infinite beyond 1.8e308."""
        return self._sizes.norm

    @property
    def cancellation(self) -> float:
        """κ = Σ|contribution| / ‖G‖; NaN where G = 0, infinite beyond 1.8e308."""
        if self.total.size == 0:
            return math.nan
        with np.errstate(over="ignore"):
            return float(np.ldexp(self._sizes.size / self.total.size, self._sizes.power - self.total.power))

    @property
    def log10_cancellation(self) -> float:
        """log₁₀ κ, finite however large it is; NaN where G = 0."""
        return self._sizes.log10_norm - self.log10_total_norm if self.total.size > 0 else math.nan

    def top(self, k: int, by: str = "norm") -> Heaviest[UnitPath]:
        """The k heaviest by |contribution|, or by |share|: exact; all of them where there are fewer.

        One sweep, with the k best partial paths to each neuron in place of its cotangent and (max, ×) in place of
        (+, ×); in logarithms, so that nothing underflows.

        Without a gradient, no share is larger than another; they are then ordered by |contribution|.

        Raises UnknownName for another `by`, UnrollvizError for a negative number, and where it would take more than
        MEMORY_LIMIT bytes."""
        if by not in ORDERS:
            raise UnknownName("order of paths", by, ORDERS)
        if k < 0:
            raise UnrollvizError(f"top({k}) asks for less than nothing; give a number from 0")
        if self.count == 0:
            return Heaviest((), by, True, 0.0, 0, self.total)
        if k == 0:
            return self.top(1, by).emptied(self.total)
        k = min(k, self.count)
        self._check_memory(k)
        with arithmetic():
            build = _Builder(self)
            # sums of logarithms, which the search compares, round more than products
            found = sorted(map(build.found, _Search(self, k, by).steps()), key=partial(_Found.order, by=by))
            left = self._without(found)
        paths = tuple(one.path for one in found)
        lightest = abs(paths[-1].share) if by == "share" else paths[-1].norm
        return Heaviest(paths, by, True, lightest if k < self.count else 0.0, 0, left)

    def _without(self, found: Sequence[_Found]) -> Total:
        """G - Σ contributions of some paths."""
        whole, terms = self.whole, np.zeros(self.shape)
        power = max((one.contribution[1] for one in found if one.contribution[0]), default=0)
        for one in found:
            number, exponent = one.contribution
            terms[one.path.index] += np.ldexp(number, exponent - power)
        # in the units of the larger: contributions may be far above G, and cancel, or far below
        common = max([some.power for some in (whole, Total(terms, power)) if some.size > 0], default=0)
        left = np.ldexp(whole.numbers, whole.power - common) - np.ldexp(terms, power - common)
        return Total(np.asarray(left[self._place]), common)

    def sweep(
        self, seed: Carried, through: Callable[[Edge, Carried], Carried], add: Callable[[Carried, Carried], Carried]
    ) -> Iterator[tuple[Edge, Carried]]:
        """Every edge into the target, with what is carried through it: `seed` at the losses, added where edges meet."""
        pending = dict.fromkeys(self.losses, seed)
        for head in reversed(list(self.graph)):
            if head not in pending:
                continue
            here = pending.pop(head)
            for edge in self.edges(head):
                behind = through(edge, here)
                if edge.tail == self.target.node:
                    yield edge, behind
                else:
                    pending[edge.tail] = add(pending[edge.tail], behind) if edge.tail in pending else behind

    def entries_of(self, edge: Edge) -> Indices:
        """The units at the tail of an edge; at the target only what is asked for."""
        return self.entries if edge.tail == self.target.node else np.arange(units_of(edge.jacobian.in_shape))

    def edges(self, head: str) -> Iterator[Edge]:
        """The edges back from `head` that lead to the target."""
        for tail, key, jacobian in backward_edges(self.graph, head):
            edge = Edge(head, tail, key, jacobian)
            if tail == self.target.node:
                yield leave_chart(self.graph, edge)
            elif tail in self._on_the_way:
                yield edge

    def _check_memory(self, k: int) -> None:
        """Raise where the pointers of every neuron, the largest array of an edge and the paths found do not fit."""
        heads = [name for name in self.graph if name in self._on_the_way]
        moment, steps = 0, {self.target.node: 0}
        for edge in (edge for head in heads for edge in self.edges(head)):
            steps[edge.head] = max(steps.get(edge.head, 0), steps[edge.tail] + 1)
            jacobian = edge.jacobian
            units = units_of(jacobian.out_shape)
            here = instances_of(jacobian.out_shape) * len(self.entries_of(edge))
            several = joined(jacobian).sources is None
            moment = max(moment, here * (3 * units + 4 * k * min(k, units) if several else 4 * k) * 8)
        pointers = sum(self.graph.nodes[name]["value"].size for name in heads)
        stored = k * 8 * (2 * pointers + _WORDS_PER_STEP * max(steps.get(loss, 0) for loss in self.losses))
        limit = memory_allowed(MEMORY_LIMIT)
        if stored + moment > limit:
            one = Target(self.target.node, (0,) * (len(self.shape) - (not self.shared)))
            raise UnrollvizError(
                f"the {k:,} heaviest of {integer(self.count)} unit paths to {self.target} take about "
                f"{(stored + moment) / 2**30:,.1f} GiB, the limit is {limit / 2**30:g} GiB; "
                f"ask for fewer, for one entry ({one}) or for one loss"
            )


# ---------------------------------------------------------------- the search


Step: TypeAlias = tuple[Edge, int, int, int]
"""One step of a unit path: an edge, the instance, the unit of its head, the unit (or entry) of its tail."""


class _Search:
    """One sweep that keeps the k best partial paths of every neuron, and pointers back along them."""

    def __init__(self, paths: UnitPaths, k: int, by: str) -> None:
        self.paths, self.k = paths, k
        self.crossed: list[Edge] = []
        self.best: dict[str, tuple[Indices, Indices]] = {}
        self.arrived: list[tuple[Array, Indices]] = []
        shares = by == "share" and paths.total.size > 0
        self.offset = logarithms(paths.whole.numbers, None).reshape(paths.wanted.shape) if shares else None
        none = np.zeros((1, 1, 1), dtype=np.int32)
        start = Best(np.zeros((1, 1, 1)), none, none)
        for _, behind in paths.sweep(start, self._through, lambda one, other: one.beside(other).top(k)):
            self._arrive(behind)

    def _through(self, edge: Edge, here: Best) -> Best:
        self.best[edge.head] = here.edges, here.sources
        number = np.int32(len(self.crossed))
        self.crossed.append(edge)
        logs, sources = push(here.logs, Local.of(edge.jacobian, self.paths.entries_of(edge)), self.k)
        behind = Best(logs, np.broadcast_to(number, logs.shape), sources.astype(np.int32))
        return behind if edge.tail == self.paths.target.node else behind.top(self.k)

    def _arrive(self, behind: Best) -> None:
        """Keep the k best arrivals through one edge: their logarithms, and rows (edge, instance, entry, source)."""
        wanted = self.paths.wanted[:, self.paths.entries]
        logs = behind.logs
        if self.offset is not None:
            logs = logs + self.offset[:, self.paths.entries, None]
        flat = np.where(wanted[:, :, None], logs, -np.inf).ravel()
        best = np.argpartition(flat, -self.k)[-self.k :] if len(flat) > self.k else np.arange(len(flat))
        instance, entry, path = np.unravel_index(best, logs.shape)
        place = (instance, entry, path)
        rows = (behind.edges[place], instance, self.paths.entries[entry], behind.sources[place])
        self.arrived.append((flat[best], np.stack(rows, axis=1)))

    def steps(self) -> Iterator[list[Step]]:
        """The k best paths, best first, each as steps from the loss to the target."""
        logs = np.concatenate([logs for logs, _ in self.arrived])
        rows = np.concatenate([rows for _, rows in self.arrived])
        for place in np.argsort(-logs, kind="stable")[: self.k].tolist():
            yield self._walk(*rows[place].tolist())

    def _walk(self, number: int, instance: int, unit: int, source: int) -> list[Step]:
        steps = []
        while True:
            edge = self.crossed[number]
            edges, sources = self.best[edge.head]
            head, path = divmod(source, edges.shape[2])
            steps.append((edge, instance, head, unit))
            if edge.jacobian.out_shape == ():
                return steps[::-1]
            unit = head
            number, source = int(edges[instance, head, path]), int(sources[instance, head, path])


Number: TypeAlias = tuple[float, int]
"""A number and the power of two that it is still times: never too large or too small."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A path, with its contribution and share as they are where float64 does not hold them."""

    path: UnitPath
    contribution: Number
    share: Number

    def order(self, by: str) -> tuple[Scaled, Scaled]:
        """What puts the heaviest first."""
        share, size = (scaled(abs(number), power) for number, power in (self.share, self.contribution))
        return (share if by == "share" else size), size


class _Builder:
    """Makes a `UnitPath` of the steps of a path."""

    def __init__(self, paths: UnitPaths) -> None:
        self.paths, self.graph = paths, paths.graph
        self.rows: dict[tuple[str, str, int, int, int], Array] = {}
        self.name = cache(partial(neuron, self.graph))

    def found(self, steps: Sequence[Step]) -> _Found:
        mantissa, exponent, factors = 1.0, 0, []
        for edge, instance, head, tail in steps:
            derivative = self._derivative(edge, instance, head, tail)
            mantissa, shift = math.frexp(mantissa * derivative)
            exponent += shift
            mantissa = mantissa or 0.0  # where it is 0 it has no sign
            factors.append(self._textbook(edge, derivative, instance, head, tail))
        first, last, instance, unit = steps[0][0], steps[-1][0], steps[-1][1], steps[-1][3]
        nodes = [self.name(edge.head, instance, head) for edge, instance, head, _ in steps]
        weight = self.name(last.tail, instance, unit)
        shape = self.paths.shape
        index = tuple(map(int, np.unravel_index(unit, shape))) if self.paths.shared else (instance, unit)
        entry = entry_step(self.graph, last)
        share = self._share(mantissa, exponent, index)
        path = UnitPath(
            nodes=(*nodes, weight),
            loss=first.head,
            weight=weight,
            index=index,
            entry=entry,
            lag=self.graph.nodes[first.head]["time"] - entry,
            contribution=float(np.ldexp(mantissa, exponent)),
            log10=math.log10(abs(mantissa)) + exponent * math.log10(2.0) if mantissa else -math.inf,
            share=float(np.ldexp(*share)),
            factors=tuple(factors),
        )
        return _Found(path, (mantissa, exponent), share)

    def _derivative(self, edge: Edge, instance: int, head: int, tail: int) -> float:
        key = (edge.head, edge.tail, edge.key, instance, head)
        if key not in self.rows:
            self.rows[key] = derivatives(edge.jacobian, instance, head)
        return float(self.rows[key][tail])

    def _share(self, mantissa: float, exponent: int, index: tuple[int, ...]) -> Number:
        """contribution · G[index] / <G, G>; NaN where G = 0."""
        if self.paths.total.size == 0:
            return math.nan, 0
        size, shift = math.frexp(self.paths.total.size)
        part = float(self.paths.whole.numbers[index]) / self.paths.total.size
        return mantissa / size * part, exponent - shift - self.paths.whole.power

    def _textbook(self, edge: Edge, derivative: float, instance: int, head: int, tail: int) -> float:
        """A derivative in the chart as the textbook's, where an end of the edge has a chart."""
        value = np.array(derivative)
        out_scale, in_scale = (self.graph.nodes[name].get("scale") for name in (edge.head, edge.tail))
        if out_scale is not None:
            value = value * out_scale[instance, head]
        if in_scale is not None and edge.tail != self.paths.target.node:
            value = divide(value, in_scale[instance, tail])
        return float(value)
