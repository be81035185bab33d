"""Symptoms: the figures that a diagnosis rests on, each an array or a number, none yet judged."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from unrollviz.arrays import Array, arithmetic
from unrollviz.cells import CELLS
from unrollviz.diagnosis.spectra import Mask, Spectrum, Steps, is_recurrent, spectra
from unrollviz.errors import NonFinite
from unrollviz.flows.flow import flow
from unrollviz.flows.folds import kinds, multiplier
from unrollviz.flows.summed import ROW_LIMIT
from unrollviz.gradient import Truncation, cotangents, edge_shares, truncation
from unrollviz.graph import Graph, names_of
from unrollviz.jacobians import frobenius
from unrollviz.names import derivative
from unrollviz.ops import relu, sigmoid_slope, tanh_slope
from unrollviz.sweep import FOLDS
from unrollviz.unrolled import Unrolled

SLOPES: dict[str, Callable[[Array], Array]] = {
    "tanh": tanh_slope,
    "sigmoid": sigmoid_slope,
    "relu": lambda a: (relu(a) > 0).astype(np.float64),
}
"""Activation -> its slope at a pre-activation."""

STEEPEST: dict[str, float] = {"tanh": 1.0, "sigmoid": 0.25, "relu": 1.0, "identity": 1.0}
"""Activation -> γ, the largest slope it has anywhere."""

FLAT = 0.05
"""A unit whose slope is smaller is saturated: |a| > 2.2 for tanh, |a| > 2.9 for the logistic function."""

PARTS = (0.5, 0.9, 0.99)
"""Parts of a gradient whose reach is told."""

PULLED = 6e9
"""Weights, times rows, that a gradient's rows by lag may be pulled through: a few seconds; past it fewer losses."""

CLOSED, OPEN = 0.1, 0.9
"""A gate is closed below and open above (Karpathy, Johnson & Fei-Fei 2015)."""


@dataclass(frozen=True, eq=False)
class Reach:
    """How far back a gradient reaches, by its temporal components M[t, k]: ∂L_t/∂target entered at step k.

    Attributes:
        losses: how many losses it is of;  every: how many there are. Fewer where all would take too long.
        lags: (m,) whole numbers, by growing distance |lag|.
        norms: (m,) Σ‖M[t, k]‖ over the components of lag t - k;  shares: (m,) their signed shares.
        total_norm: ‖G‖.
        cancellation: κ between all components;  between_losses: between the losses.
    """

    losses: int
    every: int
    lags: Steps
    norms: Array
    shares: Array
    total_norm: float
    cancellation: float
    between_losses: float

    def within(self, part: float) -> int:
        """The smallest distance in steps such that the lags up to it have `part` of Σ‖M[t, k]‖ over all."""
        cumulative = np.cumsum(self.norms)
        place = int(np.searchsorted(cumulative, part * cumulative[-1] * (1 - 1e-12)))
        return int(abs(self.lags[min(place, len(self.lags) - 1)]))

    def share_within(self, steps: int) -> float:
        """The signed share of the lags up to `steps`."""
        return float(self.shares[np.abs(self.lags) <= steps].sum())

    @property
    def longest(self) -> int:
        """The longest distance that any path has."""
        return int(np.abs(self.lags).max())


@dataclass(frozen=True, eq=False)
class Units:
    """What the units of one kind of node do, step by step: `s`, `l2.f`, `tanh(c)`, `one_minus(f)`.

    Attributes:
        op: the activation, or another op where the kind is none: a state h or c.
        keeps: the gate that it is, or is worked out from, if it multiplies a state on its way to the next step.
        steps: (m,);  layer: counted from 1.
        flat: (m,) part of the units (and instances) that are saturated, of relu units that are 0; NaN where op is no
            activation.
        closed, open: (m,) part with a value below CLOSED, above OPEN.
        always_flat: (d,) True where a unit is saturated at every step;  dead: where a relu never is above 0.
        spread: (d,) largest less smallest value of a unit over steps and instances.
    """

    kind: str
    op: str
    role: str
    keeps: str | None
    layer: int | None
    steps: Steps
    flat: Array
    closed: Array
    open: Array
    always_flat: Mask
    dead: Mask
    spread: Array


@dataclass(frozen=True)
class Route:
    """A kind of edge from one step to the next, as in `folds.kinds`: the weight `W_f`, or the gate f of f ⊙ c.

    Attributes:
        crossings: how often a path takes it, on average over all paths weighted by their signed shares.
        highway: whether it is a state kept by a gate, and no weight.
    """

    kind: str
    crossings: float
    highway: bool


@dataclass(frozen=True)
class Weight:
    """A parameter's size and its gradient's, both Frobenius norms."""

    param: str
    norm: float
    gradient: float

    @property
    def relative(self) -> float:
        """‖∂L/∂θ‖ / ‖θ‖; NaN where θ = 0."""
        return self.gradient / self.norm if self.norm > 0 else float("nan")


@dataclass(frozen=True, eq=False)
class Failure:
    """A value or cotangent that is not finite.

    Attributes:
        where: "value" in the forward pass, "cotangent" in the backward pass.
        node, time: the first such node and its step.
        steps: (m,) the steps that were computed before it, the last one last;  sizes: (m,) the largest norm that a
            state, or its cotangent, has there in any instance.
    """

    where: str
    node: str
    time: int | None
    steps: Steps
    sizes: Array


@dataclass(frozen=True, eq=False)
class Symptoms:
    """Every figure; empty or None where it could not be had because of the `failure`.

    Attributes:
        loss: the name of the losses: L for the sum of several that are all, else L4, L3+L4.
        every_loss: whether they are all.
        gains: prefix -> (σ_max(W), γ) of the layers of an Elman network.
        truncations: by the lag at which backpropagation would be cut.
        truncate: the lag that was given, if any.
    """

    target: str
    loss: str
    every_loss: bool
    cell: str
    steps: int
    failure: Failure | None
    reach: Reach | None
    spectra: tuple[Spectrum, ...]
    gains: dict[str, tuple[float, float]]
    units: tuple[Units, ...]
    routes: tuple[Route, ...]
    weights: tuple[Weight, ...]
    truncations: tuple[Truncation, ...]
    truncate: int | None = None

    def symbol(self, param: str | None = None) -> str:
        """The gradient of a parameter, of the target where none is named: ∂L₄/∂W."""
        return derivative(self.loss, param or self.target)


def symptoms(
    unrolled: Unrolled,
    level: Graph,
    target: str,
    losses: Sequence[str],
    truncate: int | None = None,
    broken: NonFinite | None = None,
) -> Symptoms:
    """All figures of ∂(Σ losses)/∂target.

    Args:
        level: the graph at level `state`.
        truncate: the lag at which to cut; None cuts where 50, 90 and 99 % are reached.
        broken: the error by which the forward pass ended, `unrolled` being what there was before it.
    """
    failure = None if broken is None else _failure(unrolled, "value", broken)
    reach: Reach | None = None
    weights, routes, cuts = tuple[Weight, ...](), tuple[Route, ...](), tuple[Truncation, ...]()
    if failure is None:
        try:
            reach = reached(unrolled, level if target in level else unrolled.graph, losses, target)
            weights = balance(unrolled, losses)
            routes = crossed(unrolled, losses, target)
            lags = [truncate] if truncate is not None else [reach.within(part) for part in PARTS] if reach else []
            cuts = tuple(truncation(unrolled.graph, losses, target, lag) for lag in dict.fromkeys(lags))
        except NonFinite as error:
            failure = _failure(unrolled, "cotangent", error, losses)
    every_loss = broken is not None or set(losses) == set(names_of(unrolled.graph, "loss"))
    return Symptoms(
        target,
        "L" if broken or (every_loss and len(losses) > 1) else _sum_of(losses),
        every_loss,
        unrolled.network.cell,
        unrolled.steps,
        failure,
        reach,
        tuple(spectra(unrolled, level)),
        gains(unrolled),
        units(unrolled),
        routes,
        weights,
        cuts,
        truncate,
    )


def reached(unrolled: Unrolled, graph: Graph, losses: Sequence[str], target: str) -> Reach | None:
    """By lag; of evenly chosen losses where all would take too long. None where no path leads to the target."""
    recurrent = sum(value.size for name, value in unrolled.network.params.items() if is_recurrent(name))
    pulled = unrolled.steps * unrolled.instances * max(recurrent, graph.nodes[target]["value"].size)
    most = min(len(losses), max(8, min(int(PULLED / pulled), ROW_LIMIT // unrolled.steps)))
    chosen = [losses[int(place)] for place in np.linspace(0, len(losses) - 1, most)]
    temporal = flow(graph, chosen, target, FOLDS["temporal"], "temporal")
    if not temporal.counts:
        return None
    between = flow(graph, chosen, target, FOLDS["loss"], "loss")
    by_row = temporal.labels[:, 0] - temporal.labels[:, 1]
    lags, place = np.unique(by_row, return_inverse=True)
    order = np.argsort(np.abs(lags), kind="stable")
    return Reach(
        len(chosen),
        len(losses),
        lags[order],
        np.bincount(place, temporal.norms)[order].astype(np.float64),
        np.bincount(place, temporal.shares)[order].astype(np.float64),
        temporal.total_norm,
        temporal.cancellation,
        between.cancellation,
    )


def balance(unrolled: Unrolled, losses: Sequence[str]) -> tuple[Weight, ...]:
    """Norms of every parameter and of its gradient, all from one sweep."""
    found = cotangents(unrolled.graph, losses)
    return tuple(
        Weight(name, frobenius(value), frobenius(found[name]) if name in found else 0.0)
        for name, value in unrolled.network.params.items()
    )


def crossed(unrolled: Unrolled, losses: Sequence[str], target: str) -> tuple[Route, ...]:
    """How often paths use each kind of edge that leads from a step to the one before, from `flow.edge_shares`.

    The kinds and the figures are those of `flow --by route`, without the input weights between layers."""
    shares = edge_shares(unrolled.graph, losses, target)
    found = []
    for kind, (group, edges) in kinds(unrolled.graph).items():
        used = [shares[tail, head, key] for head, tail, key in sorted(edges) if (tail, head, key) in shares]
        if used and group != "layers":
            found.append(Route(kind, sum(used), group == "highway"))
    return tuple(found)


def _sum_of(losses: Sequence[str]) -> str:
    """`L3+L4`, `L3+…+L9`."""
    return "+".join(losses if len(losses) < 4 else (losses[0], "…", losses[-1]))


def stem(name: str, time: int | None) -> str:
    """A node's name without its step: `l2.f3` -> `l2.f`, `tanh(c3)` -> `tanh(c)`."""
    return name if time is None else re.sub(rf"(?<![\d.]){time}(?=[^\w.]|$)", "", name)


def units(unrolled: Unrolled) -> tuple[Units, ...]:
    """Every kind of node that is an activation, a gate, a state or what a state is kept by, of what repeats."""
    graph, found = unrolled.graph, dict[str, list[str]]()
    keeps = {
        multiplier(graph, head, tail): gate
        for gate, (group, edges) in kinds(graph).items()
        if group == "highway"
        for head, tail, _ in edges
    }
    for name, node in graph.nodes(data=True):
        if node["role"] in ("gate", "state") or (node["op"] in SLOPES and node["role"] == "hidden") or name in keeps:
            found.setdefault(stem(name, node["time"]), []).append(name)
    kept = {kind: next((keeps[name] for name in names if name in keeps), None) for kind, names in found.items()}
    return tuple(_units(unrolled, kind, names, kept[kind]) for kind, names in found.items())


def _units(unrolled: Unrolled, kind: str, names: list[str], keeps: str | None) -> Units:
    graph = unrolled.graph
    names = sorted(names, key=lambda name: int(graph.nodes[name]["time"]))
    first = graph.nodes[names[0]]
    steps = np.array([graph.nodes[name]["time"] for name in names])
    running = (steps[:, None] <= unrolled.batch.lengths)[:, :, None]
    values = np.stack([graph.nodes[name]["value"] for name in names])
    slopes = np.full(values.shape, np.nan)
    if first["op"] in SLOPES:
        arguments = (next(iter(graph.pred[name])) for name in names)
        with arithmetic():
            slopes = SLOPES[first["op"]](np.stack([graph.nodes[name]["value"] for name in arguments]))
    flat = slopes < FLAT
    smooth = first["op"] in ("tanh", "sigmoid")

    def part(wanted: Mask) -> Array:
        counted = np.maximum(running.sum(axis=(1, 2)) * values.shape[2], 1)
        return np.asarray((wanted & running).sum(axis=(1, 2)) / counted)

    never = np.all(flat | ~running, axis=(0, 1))
    high = np.where(running, values, -np.inf).max(axis=(0, 1))
    low = np.where(running, values, np.inf).min(axis=(0, 1))
    return Units(
        kind,
        str(first["op"]),
        str(first["role"]),
        keeps,
        first["layer"],
        steps,
        part(flat) if first["op"] in SLOPES else np.full(len(steps), np.nan),
        part(values < CLOSED),
        part(values > OPEN),
        never & smooth,
        never & (first["op"] == "relu"),
        high - low,
    )


def gains(unrolled: Unrolled) -> dict[str, tuple[float, float]]:
    """Prefix -> (σ_max(W), γ); only where the whole recurrence is act(W s + …), so that σ_max(W) γ bounds a step."""
    network = unrolled.network
    if network.cell != "elman" or network.activation not in STEEPEST:
        return {}
    return {
        layer.prefix: (float(np.linalg.norm(network.params[f"{layer.prefix}W"], ord=2)), STEEPEST[network.activation])
        for layer in network.stack
    }


def _failure(unrolled: Unrolled, where: str, error: NonFinite, losses: Sequence[str] = ()) -> Failure:
    """What is known of the states before the node, of its own layer where it has one: their values, or cotangents."""
    graph, network = unrolled.graph, unrolled.network
    prefixes = [layer.prefix for layer in network.stack if layer.prefix in error.node]
    prefix = max(prefixes, key=len, default=network.stack[-1].prefix)
    forwards = next(layer.direction for layer in network.stack if layer.prefix == prefix)
    way = forwards if where == "value" else -forwards
    names = {f"{prefix}{state}" for state in CELLS[network.cell].states}
    values = dict(graph.nodes(data="value")) if where == "value" else cotangents(graph, losses)
    sizes: dict[int, float] = {}
    for name in names_of(graph, "state"):
        time = graph.nodes[name]["time"]
        before = error.time is None or (time - error.time) * way < 0
        if before and name in values and stem(name, time) in names and np.isfinite(values[name]).all():
            sizes[time] = max([sizes.get(time, 0.0), *(frobenius(row) for row in values[name])])
    steps = sorted(sizes, key=lambda time: time * way)
    return Failure(where, error.node, error.time, np.array(steps, dtype=int), np.array([sizes[time] for time in steps]))
