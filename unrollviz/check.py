"""Proof: path sum, reverse sweep, forward mode and central differences, each against the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from unrollviz.arrays import Array, arithmetic, beat
from unrollviz.errors import UnknownName
from unrollviz.export import Cell, Table
from unrollviz.flows.flow import flow
from unrollviz.forward import push_forward
from unrollviz.gradient import gradient
from unrollviz.graph import Graph, level_of_detail, names_of
from unrollviz.jacobians import norms
from unrollviz.ops import OPS
from unrollviz.paths.pathset import PathSet
from unrollviz.plan import Plan
from unrollviz.sweep import FOLDS
from unrollviz.unrolled import Unrolled, unroll_batch

BOUNDS: dict[str, float] = {
    "paths_vs_reverse": 1e-13,
    "forward_vs_reverse": 1e-13,
    "finite_difference": 1e-6,
}
"""Largest difference allowed. The first two relative to S = Σ‖term‖ (rounding grows with the terms, not with their
sum); the central difference relative to the largest entry of the gradient."""

ENUMERATED = 100_000
"""Past this many paths the path sum is formed by temporal components, which add up some of them exactly."""
_DIRECTIONS = 64
_NODES = 5_000


@dataclass(frozen=True)
class Comparison:
    """One parameter's gradient by every method.

    Attributes:
        paths: exact number of paths; `enumerated` tells whether each was walked on its own.
        errors: method -> relative difference from the reverse sweep, by the measure of BOUNDS.
        directions: along how many directions the derivative was also taken by finite differences; `kinks` of them
            were left out because they cross a kink of the activation.
    """

    param: str
    paths: int
    enumerated: bool
    errors: dict[str, float]
    directions: int
    kinks: int


@dataclass(frozen=True)
class Report:
    """The comparisons for every parameter, the worst error of each method, and whether all keep their bounds."""

    comparisons: tuple[Comparison, ...]

    def _repr_html_(self) -> str:
        rows: list[list[Cell]] = [
            [c.param, c.paths, *(c.errors[method] for method in BOUNDS)] for c in self.comparisons
        ]
        verdict = "all gradients agree" if self.ok else "the gradients do NOT agree"
        what = f"{verdict}: largest difference from the reverse sweep, relative"
        return Table(("parameter", "paths", *(method.replace("_", " ") for method in BOUNDS)), rows).html(what)

    @property
    def worst(self) -> dict[str, float]:
        """Method -> the largest relative error over the parameters."""
        return {method: float(np.max([c.errors[method] for c in self.comparisons])) for method in BOUNDS}

    @property
    def ok(self) -> bool:
        """True where every method keeps its bound."""
        return all(error <= BOUNDS[method] for method, error in self.worst.items())


def check(
    unrolled: Unrolled,
    params: Sequence[str] | None = None,
    progress: Callable[[str], None] = lambda param: None,
) -> Report:
    """Compare the gradient of every parameter (or of `params`) by independent methods. See `Report`.

    Raises UnknownName for what is no parameter."""
    graph = unrolled.graph
    for name in params or ():
        if name not in unrolled.network.params:
            raise UnknownName("parameter", name, unrolled.network.params)
    level = level_of_detail(graph, "state")
    # Central differences ask for hundreds of forward passes and for no graph of them. Of what was unrolled anew: a run
    # that was edited is compared with one that was not.
    plan = Plan.of(unroll_batch(unrolled.network, unrolled.batch))
    comparisons = []
    for param in params or names_of(graph, "parameter"):
        progress(param)
        comparisons.append(_compare(unrolled, level, plan, param))
    return Report(tuple(comparisons))


def _compare(unrolled: Unrolled, level: Graph, plan: Plan, param: str) -> Comparison:
    losses = names_of(unrolled.graph, "loss")
    reverse = gradient(unrolled.graph, losses, param)
    paths = PathSet(level, losses, param)
    enumerated = paths.count <= ENUMERATED
    if enumerated:
        path_sum, scale = paths.sum(), paths.norm_sum
    else:
        temporal = flow(level, losses, param, FOLDS["temporal"], "temporal")
        lags = flow(level, losses, param, FOLDS["lag"], "lag")
        path_sum, scale = lags.terms.sum(axis=0), math.fsum(temporal.norms)
    forward, reverse_along, outputs = _forward(unrolled.graph, param, reverse)
    difference, kinks, directions = _finite_difference(unrolled, plan, param, reverse)
    errors = {
        "paths_vs_reverse": relative(path_sum - reverse, scale),
        "forward_vs_reverse": relative(forward - reverse_along, scale + outputs / unrolled.instances),
        "finite_difference": difference,
    }
    return Comparison(param, paths.count, enumerated, errors, directions, kinks)


def relative(difference: Array, scale: float) -> float:
    """Largest absolute entry of `difference` over `scale`; 0 where both are 0, infinite where one is not finite."""
    largest = float(np.abs(difference).max(initial=0.0))
    if not math.isfinite(largest):
        return math.inf
    return largest / scale if scale > 0 else (0.0 if largest == 0 else math.inf)


def _directions(shape: tuple[int, ...]) -> Array:
    """Every unit direction of a small parameter, else random ones: (directions, *shape), each of norm 1."""
    size = math.prod(shape)
    if size <= _DIRECTIONS:
        return np.eye(size).reshape(size, *shape)
    random = np.random.default_rng(0).standard_normal((_DIRECTIONS, size))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    return random.reshape(_DIRECTIONS, *shape)


def _forward(graph: Graph, param: str, reverse: Array) -> tuple[Array, Array, float]:
    """Derivatives along some directions, by forward mode and by the reverse sweep's gradient; and the size of what
    reaches the outputs, of which a loss near its optimum keeps only the difference of two almost equal parts."""
    directions = _directions(reverse.shape)
    total, outputs = np.zeros(len(directions)), 0.0
    with arithmetic():
        for node, tangents in push_forward(graph, param, directions):
            role = graph.nodes[node]["role"]
            if role == "loss":
                total = total + tangents
            elif role == "logits":
                outputs += float(norms(tangents.reshape(len(tangents), -1)).max())
    return total, np.tensordot(directions, reverse, axes=reverse.ndim), outputs


def _finite_difference(unrolled: Unrolled, plan: Plan, param: str, reverse: Array) -> tuple[float, int, int]:
    """(worst relative error, directions left out, directions tried) of central differences of the loss.

    Where an op has kinks, a direction whose two one-sided differences disagree is left out: there is no derivative to
    compare with.
    """
    network, value = unrolled.network, unrolled.network.params[param]
    size = max(1.0, float(np.abs(value).max()))
    smooth = all(OPS[op].smooth for _, op in unrolled.graph.nodes(data="op") if op is not None)
    # Some forward passes apiece: on a large graph a few random directions suffice.
    directions = _directions(reverse.shape)[: max(4, _NODES // unrolled.graph.number_of_nodes())]
    reach = max(1.0, float(np.abs(unrolled.inputs).max()))
    scale = max(float(np.abs(reverse).max()), _FLOOR * reach * max(1.0, abs(unrolled.loss)))
    worst, kinks = 0.0, 0
    for direction in directions:

        def loss_at(step: float, direction: Array = direction) -> float:
            moved = network.replace(**{param: value + step * size * direction})
            beat()
            return math.fsum(plan.run(moved, unrolled.batch).losses)

        if not smooth:
            ahead, behind = loss_at(_FINE) - unrolled.loss, unrolled.loss - loss_at(-_FINE)
            if abs(ahead - behind) > 1e-3 * _FINE * size * scale:
                kinks += 1
                continue
        slope = float((direction * reverse).sum())
        errors = [abs(found / size - slope) / scale for found in _central_differences(loss_at, reach)]
        worst = max(worst, min(error if math.isfinite(error) else math.inf for error in errors))
    return worst, kinks, len(directions)


_FINE = float(np.finfo(np.float64).eps) ** (1 / 3)
_COARSE = float(np.finfo(np.float64).eps) ** (1 / 5)
_FLOOR = 3e-6
"""Rounding alone moves the coarse difference by about 1e-12 of the loss, and more where large inputs ask for smaller
steps: smaller gradients are measured by this share of the loss instead of by themselves."""


def _central_differences(f: Callable[[float], float], reach: float) -> Iterator[float]:
    """f'(0) by central differences, of which the best one counts: order 2 with a fine step for strongly curved losses,
    order 4 with a coarse one for small gradients, both again with steps smaller by the `reach` of the inputs. A wrong
    gradient agrees with none."""
    for scale in (1.0,) if reach == 1.0 else (1.0, 1.0 / reach):
        fine, coarse = _FINE * scale, _COARSE * scale
        yield (f(fine) - f(-fine)) / (2 * fine)
        yield (8 * (f(coarse) - f(-coarse)) - (f(2 * coarse) - f(-2 * coarse))) / (12 * coarse)
