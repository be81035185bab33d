"""Sums of all terms: the gradient, truncated or not; every node's cotangent; what passes each edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unrollviz.arrays import Array, arithmetic
from unrollviz.charts import divide
from unrollviz.errors import NonFinite
from unrollviz.graph import Graph, node_named
from unrollviz.jacobians import frobenius
from unrollviz.stacks import Stack, consolidated
from unrollviz.sweep import (
    TOTAL,
    Fold,
    Way,
    completions,
    push_forward,
    sweep,
    truncated,
)
from unrollviz.terms import TermSum


def gradient(graph: Graph | Way, losses: Sequence[str], target: str, fold: Fold = TOTAL) -> Array:
    """Σ_t ∂L_t/∂target over the `losses`: one reverse sweep. Shape of the target.

    A `fold` that drops paths on their way leaves their terms out of the sum.

    Raises NonFinite, naming the first node of the backward pass, where a cotangent overflows."""
    mantissas, exponent = scaled_gradient(graph, losses, target, fold)
    result: Array = np.ldexp(mantissas, exponent)
    return result


def scaled_gradient(graph: Graph | Way, losses: Sequence[str], target: str, fold: Fold = TOTAL) -> tuple[Array, int]:
    """The same as numbers and a power of two, so that a gradient below 1e-308 keeps its digits."""
    whole = graph.graph if isinstance(graph, Way) else graph
    total = TermSum(1, node_named(whole, target, "parameter or node")["value"].shape)
    first = np.zeros(1, dtype=np.int64)
    with arithmetic():
        for arrival in sweep(graph, losses, [target], (fold,)):
            rows, exponents = arrival.rows, arrival.exponents
            if len(rows) > 1:
                one = consolidated(Stack(np.zeros((len(rows), 1), dtype=np.int64), rows, exponents))
                rows, exponents = one.rows, one.exponents
            total.add(first, rows, arrival.edge.jacobian, exponents)
        numbers, exponents = total.scaled()
    check_gradient(whole, losses, target, numbers)
    return numbers[0], 0 if exponents is None else int(max(exponents[0], LEAST))


def gradients(graph: Graph, losses: Sequence[str], targets: Sequence[str]) -> dict[str, Array]:
    """The same for several parameters, or other nodes of which none is behind another: one sweep for all of them."""
    sums = {name: TermSum(1, node_named(graph, name, "parameter or node")["value"].shape) for name in targets}
    first = np.zeros(1, dtype=np.int64)
    with arithmetic():
        for arrival in sweep(graph, losses, targets, (TOTAL,)):
            sums[arrival.edge.tail].add(first, arrival.rows, arrival.edge.jacobian, arrival.exponents)
        found = {name: total.result()[0] for name, total in sums.items()}
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
    whole = gradient(graph, losses, target)
    cut = gradient(graph, losses, target, truncated(graph, target, steps))
    norm, size = frobenius(whole), frobenius(cut)
    nan = float("nan")
    cosine = float(((whole / norm) * (cut / size)).sum()) if norm > 0 and size > 0 else nan
    return Truncation(steps, cut, cosine, size / norm if norm > 0 else nan)


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
    whole = gradient(graph, losses, target)
    size = frobenius(whole)
    if size == 0:
        return {}
    with arithmetic():
        tangents = dict(push_forward(graph, target, whole[None] / size))
        scale = graph.nodes[target].get("scale")
        if scale is not None:  # edges carry tangents in the chart
            tangents[target] = divide(tangents[target], scale)
        return {
            (edge.tail, edge.head, edge.key): float(
                (rows * graph.edges[edge.tail, edge.head, edge.key]["jacobian"].jvp(tangents[edge.tail])).sum()
            )
            / size
            for edge, rows in ((a.edge, a.cotangents) for a in sweep(graph, losses, list(graph), (TOTAL,)))
            if edge.tail in tangents
        }


def check_gradient(graph: Graph, losses: Sequence[str], target: str, result: Array) -> None:
    """Raise NonFinite, naming the first node whose cotangent is NaN or infinite, where `result` holds such a value."""
    if np.isfinite(result).all():
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
