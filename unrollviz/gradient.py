"""Sums of all terms: the gradient, truncated or not; every node's cotangent; what passes each edge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from unrollviz.arrays import Array, arithmetic
from unrollviz.charts import divide
from unrollviz.errors import NonFinite, UnrollvizError
from unrollviz.forward import forward_sweep
from unrollviz.graph import Graph, node_named
from unrollviz.jacobians import frobenius
from unrollviz.stacks import Exponents, Stack, both, consolidated, times_power
from unrollviz.sweep import TOTAL, Fold, sweep, truncated
from unrollviz.terms import TermSum
from unrollviz.way import Way, completions


def gradient(graph: Graph | Way, losses: Sequence[str], target: str, fold: Fold = TOTAL) -> Array:
    """Σ_t ∂L_t/∂target over the `losses`: one reverse sweep. Shape of the target.

    A `fold` that drops paths on their way leaves their terms out of the sum.

    Raises NonFinite, naming the first node of the backward pass, where a cotangent overflows."""
    return total_of(graph, losses, target, fold).value


@dataclass(frozen=True, eq=False)
class Total:
    """G, the sum of all terms: `numbers` · 2^`power`, so that below 1e-308 it keeps its digits too.

    A sum of some terms may also be larger than float64 holds: where they cancel, G need not be."""

    numbers: Array
    power: int

    @cached_property
    def value(self) -> Array:
        """G; 0 below 5e-324, infinite beyond 1.8e308."""
        with np.errstate(over="ignore"):
            return np.asarray(np.ldexp(self.numbers, self.power))

    @cached_property
    def size(self) -> float:
        """‖numbers‖"""
        return frobenius(self.numbers)

    @cached_property
    def direction(self) -> Array:
        """G / ‖G‖; 0 where G = 0."""
        return self.numbers / self.size if self.size > 0 else self.numbers

    @property
    def norm(self) -> float:
        """‖G‖; 0 below 5e-324."""
        return frobenius(self.value)

    @property
    def log10_norm(self) -> float:
        """log₁₀ ‖G‖, finite however far it has vanished; -inf where G = 0."""
        return math.log10(self.size) + self.power * math.log10(2.0) if self.size > 0 else -math.inf

    def measured(self, values: Array, exponents: Exponents | None = None) -> Array:
        """values · 2^exponents, an exponent a row, in units of 2^power: (R, …)."""
        if self.power:
            exponents = (np.zeros(len(values), dtype=np.int64) if exponents is None else exponents) - self.power
        return times_power(values, exponents)

    def shares(self, dots: Array, exponents: Exponents | None = None) -> Array:
        """<term, G> / <G, G> of terms for which <term, G / ‖G‖> is dots · 2^exponents: (R,); NaN where G = 0."""
        return self.measured(dots, exponents) / self.size if self.size > 0 else np.full(len(dots), np.nan)


def total_of(graph: Graph | Way, losses: Sequence[str], target: str, fold: Fold = TOTAL) -> Total:
    """What `gradient` gives, with all its digits where it has vanished."""
    whole = graph.graph if isinstance(graph, Way) else graph
    terms = TermSum(1, node_named(whole, target, "parameter or node")["value"].shape)
    first = np.zeros(1, dtype=np.int64)
    with arithmetic():
        for arrival in sweep(graph, losses, [target], (fold,)):
            rows, exponents = arrival.rows, arrival.exponents
            if len(rows) > 1:
                one = consolidated(Stack(np.zeros((len(rows), 1), dtype=np.int64), rows, exponents))
                rows, exponents = one.rows, one.exponents
            terms.add(first, rows, arrival.edge.jacobian, exponents)
        numbers, exponents = terms.scaled()
    check_gradient(whole, losses, target, numbers)
    return Total(numbers[0], 0 if exponents is None else int(max(exponents[0], LEAST)))


def gradients(graph: Graph, losses: Sequence[str], targets: Sequence[str]) -> dict[str, Array]:
    """The same for several parameters, or other nodes of which none is behind another: one sweep for all of them."""
    sums = {name: TermSum(1, node_named(graph, name, "parameter or node")["value"].shape) for name in targets}
    first = np.zeros(1, dtype=np.int64)
    with arithmetic():
        for arrival in sweep(graph, losses, targets, (TOTAL,)):
            sums[arrival.edge.tail].add(first, arrival.rows, arrival.edge.jacobian, arrival.exponents)
        found = {name: terms.result()[0] for name, terms in sums.items()}
    for name, value in found.items():
        check_gradient(graph, losses, name, value)
    return found


LEAST = -100_000
"""A power of two below any that a gradient of interest has; float64 ends at -1074."""


@dataclass(frozen=True, eq=False)
class Truncation:
    """How far a truncated gradient is from the true one.

    Attributes:
        steps: the lag at which it was cut.
        gradient: the truncated gradient.
        cosine: of the angle between the two; NaN where one of them is 0.
        norm_ratio: truncated by true; NaN where the true one is 0.
    """

    steps: int
    gradient: Array
    cosine: float
    norm_ratio: float


def truncation(graph: Graph, losses: Sequence[str], target: str, steps: int) -> Truncation:
    """∂L/∂target without the paths whose lag exceeds `steps`, and how far that is from the whole."""
    if steps < 0:
        raise UnrollvizError(f"truncated after {steps} steps there would be no path at all; give 0 or more")
    whole = total_of(graph, losses, target)
    cut = total_of(graph, losses, target, truncated(graph, target, steps))
    if whole.size == 0:
        return Truncation(steps, cut.value, math.nan, math.nan)
    cosine = float((whole.direction * cut.direction).sum()) if cut.size > 0 else math.nan
    return Truncation(steps, cut.value, cosine, math.ldexp(cut.size / whole.size, cut.power - whole.power))


def cotangents(graph: Graph, losses: Sequence[str]) -> dict[str, Array]:
    """∂(Σ losses)/∂node for every node that a loss depends on: one reverse sweep that stops nowhere.

    In the textbook's coordinates; entries at ŷ are infinite where ŷ underflows to 0."""
    found: dict[str, Array] = {}
    with arithmetic():
        for arrival in sweep(graph, losses, list(graph), (TOTAL,)):
            pulled = arrival.edge.jacobian.vjp(arrival.cotangents)[0]
            tail = arrival.edge.tail
            found[tail] = found[tail] + pulled if tail in found else pulled
    return found


def edge_shares(graph: Graph, losses: Sequence[str], target: str) -> dict[tuple[str, str, int], float]:
    """(tail, head, key) -> the summed share of all paths through that edge, however many they are.

    Exact: <cotangent at head, ∂head/∂tail · tangent at tail> / <G, G>, the tangent being pushed forward from the
    target in direction G, so that one reverse and one forward sweep serve all edges. Empty where G = 0."""
    whole = total_of(graph, losses, target)
    if whole.size == 0:
        return {}
    found: dict[tuple[str, str, int], float] = {}
    with arithmetic():
        tangents = dict(forward_sweep(graph, target, whole.direction[None]))
        scale = graph.nodes[target].get("scale")
        if scale is not None:  # edges carry tangents in the chart
            tangents[target] = replace(tangents[target], rows=divide(tangents[target].rows, scale))
        for arrival in sweep(graph, losses, list(graph), (TOTAL,)):
            edge, tangent = arrival.edge, tangents.get(arrival.edge.tail)
            if tangent is not None:
                pushed = graph.edges[edge.tail, edge.head, edge.key]["jacobian"].jvp(tangent.rows)
                dot = np.array([(arrival.rows * pushed).sum()])
                share = whole.shares(dot, both(arrival.exponents, tangent.exponents))
                found[edge.tail, edge.head, edge.key] = float(share[0])
    return found


def check_gradient(graph: Graph, losses: Sequence[str], target: str, result: Array) -> None:
    """Raise NonFinite, naming the first node whose cotangent is NaN or infinite, where `result` holds such a value."""
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(result.sum()) or np.isfinite(result).all():  # the sum first: it takes no memory
            return
    node, time = target, graph.nodes[target]["time"]
    inside = [name for name, role in graph.nodes(data="role") if role not in ("parameter", "loss", "output")]
    with arithmetic():
        for arrival in sweep(graph, losses, inside, (TOTAL,)):
            if not np.isfinite(arrival.edge.jacobian.vjp(arrival.cotangents)).all():
                node, time = arrival.edge.tail, graph.nodes[arrival.edge.tail]["time"]
                break
    raise NonFinite("the cotangent", node, time, "the gradient overflows; scale the weights down or shorten the run")


def count_paths(graph: Graph | Way, losses: Sequence[str], target: str) -> int:
    """The exact number of paths from the losses back to the target, without walking one."""
    ways = completions(graph, target)
    return sum(ways.get(loss, 0) for loss in losses)
