"""Unrolling: a network, a sequence and its targets become a graph with values and losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unrollviz.arrays import Array
from unrollviz.cells import CELLS, Parameters
from unrollviz.errors import NonFinite, ShapeError
from unrollviz.graph import Graph, Tracer
from unrollviz.network import Network


@dataclass(frozen=True)
class Unrolled:
    """A network unrolled over one sequence.

    Attributes:
        network: what was unrolled.
        graph: the traced graph at level `op` (see `unrollviz.graph`).
        losses: (T,) L_t = cross-entropy at step t, mean over the B instances.
        inputs: (T, B, n), as given or one-hot.
        targets: (T, B, k) distributions.
        initial: (B, d) s₀.
    """

    network: Network
    graph: Graph
    losses: Array
    inputs: Array
    targets: Array
    initial: Array

    @property
    def loss(self) -> float:
        """L = Σ_t L_t"""
        return math.fsum(self.losses)

    @property
    def steps(self) -> int:
        """T"""
        return len(self.losses)

    @property
    def instances(self) -> int:
        """B"""
        return int(self.inputs.shape[1])


def unroll(
    network: Network,
    xs: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    initial: npt.ArrayLike | None = None,
    vocabulary: Sequence[str] | None = None,
) -> Unrolled:
    """Run the network forward over a sequence and record every operation.

    Args:
        xs: floats (T, n) or (T, B, n), or token ids (T,) or (T, B), which are made one-hot.
        targets: class ids (T,) or (T, B), or distributions (T, k) or (T, B, k).
        initial: s₀, (d,) for every instance or (B, d); 0 where not given.
        vocabulary: what each id is called; shown on the nodes, never interpreted.

    Raises:
        ShapeError: where a shape, an id or a distribution is not valid.
        NonFinite: where an input is, or a computed value becomes, NaN or infinite; names the first node.
    """
    inputs = as_steps(xs, network.inputs, "xs", "n")
    wanted = as_steps(targets, network.outputs, "targets", "k")
    if inputs.shape[:2] != wanted.shape[:2]:
        raise ShapeError(
            f"xs has {_steps_and_instances(inputs)}, targets {_steps_and_instances(wanted)}; "
            "give one target for every input"
        )
    check_distributions(wanted)
    start = _initial_state(initial, inputs.shape[1], network.hidden)
    with np.errstate(all="ignore"):
        graph = _trace(network, inputs, wanted, start)
    if vocabulary is not None:
        _name_symbols(graph, inputs, wanted, vocabulary)
    losses = np.array([graph.nodes[f"L{t}"]["value"] for t in range(1, len(inputs) + 1)])
    return Unrolled(network, graph, losses, inputs, wanted, start)


def _trace(network: Network, inputs: Array, targets: Array, initial: Array) -> Graph:
    """s₀, then for t = 1 … T: x_t, the cell, z_t = V s_t + c, ŷ_t = softmax(z_t), L_t."""
    cell, tracer = CELLS[network.cell], Tracer(layer=1)
    nodes = {name: tracer.leaf(name, value, "parameter") for name, value in network.params.items()}
    parameters = Parameters(nodes, network.activation)
    tracer.time = 0
    states = tuple(tracer.leaf(f"{state}0", initial, "initial") for state in cell.states)
    for time, (x, target) in enumerate(zip(inputs, targets, strict=True), start=1):
        tracer.time = time
        states = cell.step(parameters, tracer.leaf(f"x{time}", x, "input"), states)
        logits = tracer.apply("add", nodes["V"] @ states[0], nodes["c"], name="logits", role="logits")
        output = tracer.apply("softmax", logits, name="yhat", role="output")
        tracer.apply("cross_entropy", output, name="L", role="loss", target=target)
    return tracer.graph


def _initial_state(initial: npt.ArrayLike | None, instances: int, units: int) -> Array:
    """s₀ as (B, d)."""
    given = np.zeros(units) if initial is None else np.asarray(initial, dtype=np.float64)
    if given.shape not in ((units,), (instances, units)):
        raise ShapeError(f"initial has shape {given.shape}; give (d,) = ({units},) or (B, d) = ({instances}, {units})")
    return np.array(np.broadcast_to(given, (instances, units)))


def as_steps(values: npt.ArrayLike, width: int, what: str, letter: str) -> Array:
    """`values` as (T, B, width): ids become one-hot, one instance gets its axis.

    Raises:
        ShapeError: naming `what`, its shape and the shapes that are valid.
        NonFinite: naming the first step that holds a NaN or an infinity.
    """
    try:
        array: npt.NDArray[Any] = np.asarray(values)
    except ValueError as error:
        raise ShapeError(f"{what} is ragged; give steps of equal length") from error
    valid = f"give floats (T, {letter}) or (T, B, {letter}) with {letter} = {width}, or ids (T,) or (T, B)"
    if array.dtype.kind not in "biuf":
        raise ShapeError(f"{what} holds {array.dtype}, not numbers; {valid}")
    if array.size == 0:
        raise ShapeError(f"{what} is empty, shape {array.shape}; give at least one step and one instance")
    if array.dtype.kind in "iu" and array.ndim <= 2:
        return _one_hot(array, width, what, letter, valid)
    if array.ndim not in (2, 3) or array.shape[-1] != width:
        raise ShapeError(f"{what} has shape {array.shape} and type {array.dtype}; {valid}")
    steps = array.astype(np.float64).reshape(len(array), -1, width)
    finite = np.isfinite(steps).all(axis=(1, 2))
    if not finite.all():
        time = int(np.argmin(finite)) + 1
        node = f"x{time}" if what == "xs" else f"L{time}"
        raise NonFinite(f"the {what} given", node, time, "mend the data")
    return steps


def _one_hot(ids: npt.NDArray[Any], width: int, what: str, letter: str, valid: str) -> Array:
    """Ids (T,) or (T, B) -> (T, B, width)."""
    if ids.ndim == 0:
        raise ShapeError(f"{what} is a single number; {valid}")
    steps = ids.reshape(len(ids), -1)
    outside = np.argwhere((steps < 0) | (steps >= width))
    if len(outside):
        time, instance = outside[0]
        raise ShapeError(
            f"{what} holds id {steps[time, instance]} at step {time + 1}; the network knows {width} ({letter} = "
            f"{width}), so give ids from 0 to {width - 1}"
        )
    return np.asarray(np.eye(width)[steps])


def check_distributions(targets: Array) -> None:
    """Raise ShapeError, naming the step, where a target is not a probability distribution."""
    bad = (targets < 0).any(axis=2) | (np.abs(targets.sum(axis=2) - 1.0) > 1e-6)
    if bad.any():
        time, instance = np.argwhere(bad)[0]
        raise ShapeError(
            f"the target at step {time + 1}, instance {instance + 1} is not a distribution (sum "
            f"{targets[time, instance].sum():.6g}); give class ids, or numbers ≥ 0 that sum to 1"
        )


def _steps_and_instances(values: Array) -> str:
    return f"{values.shape[0]} steps of {values.shape[1]} instances"


def _name_symbols(graph: Graph, inputs: Array, targets: Array, vocabulary: Sequence[str]) -> None:
    """Put the first instance's symbol on every x_t, and the wanted one on every L_t."""
    for time in range(1, len(inputs) + 1):
        for name, row in ((f"x{time}", inputs), (f"L{time}", targets)):
            index = int(row[time - 1, 0].argmax())
            if index < len(vocabulary):
                graph.nodes[name]["symbol"] = vocabulary[index]
