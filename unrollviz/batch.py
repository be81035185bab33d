"""A batch: the inputs, targets, weights and initial states that a network is run on, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from unrollviz.arrays import Array
from unrollviz.errors import NonFinite, ShapeError, UnknownName
from unrollviz.losses import LOSSES
from unrollviz.network import Network, read_only

READOUTS = ("every", "last")

REDUCTIONS = ("sum", "mean")

PROBE = 8
"""Instances that a history looks at: the first ones that are trained on, always the same."""


@dataclass(frozen=True, eq=False)
class Batch:
    """What a network is run on, in full.

    Attributes:
        inputs: (T, B, n), as given or one-hot.
        targets: (T, B, k).
        weights: (T, B), by which each step's loss counts for each instance; the mean over instances is in them.
        lengths: (B,) steps of each instance.
        initial: full name -> (B, d), the initial states that are given.
        loss: a name in LOSSES.
        readout: a name in READOUTS.
    """

    inputs: Array
    targets: Array
    weights: Array
    lengths: npt.NDArray[np.int64]
    initial: Mapping[str, Array]
    loss: str
    readout: str


def checked(
    network: Network,
    xs: npt.ArrayLike,
    targets: npt.ArrayLike,
    initial: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None,
    loss: str,
    readout: str,
    reduction: str,
    weights: npt.ArrayLike | None,
    lengths: npt.ArrayLike | None,
) -> Batch:
    """What `network` is run on, from the arguments of `unroll`, which says what they may be and what is raised."""
    if reduction not in REDUCTIONS:
        raise UnknownName("reduction", reduction, REDUCTIONS)
    whole = unreduced(network, xs, targets, initial, loss, readout, weights, lengths)
    return replace(whole, weights=reduced(whole.weights, reduction))


def unreduced(
    network: Network,
    xs: npt.ArrayLike,
    targets: npt.ArrayLike,
    initial: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None = None,
    loss: str = "cross_entropy",
    readout: str = "every",
    weights: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
) -> Batch:
    """The same with weights that are not yet divided by anything: all instances, of which batches are `part`s."""
    for kind, name, valid in (("loss", loss, LOSSES), ("readout", readout, READOUTS)):
        if name not in valid:
            raise UnknownName(kind, name, valid)
    inputs = as_steps(xs, network.inputs, "xs", "n")
    steps, instances, _ = inputs.shape
    ends = _lengths(lengths, steps, instances)
    wanted = _targets(targets, network.outputs, LOSSES[loss].targets, readout, ends, steps)
    if inputs.shape[:2] != wanted.shape[:2]:
        raise ShapeError(
            f"xs has {_steps_and_instances(inputs)}, targets {_steps_and_instances(wanted)}; "
            "give one target for every input"
        )
    check_targets(wanted, LOSSES[loss].targets)
    every = _weights(weights, ends, steps, readout)
    return Batch(inputs, wanted, every, ends, _initial(initial, network, instances), loss, readout)


def part(whole: Batch, which: npt.NDArray[np.int64], reduction: str) -> Batch:
    """Some instances of an unreduced batch as a batch of their own, as long as the longest of them."""
    lengths = whole.lengths[which]
    steps = slice(0, int(lengths.max()))
    return replace(
        whole,
        inputs=whole.inputs[steps, which],
        targets=whole.targets[steps, which],
        weights=reduced(whole.weights[steps, which], reduction),
        lengths=lengths,
        initial={name: value[which] for name, value in whole.initial.items()},
    )


def beginning(whole: Batch, steps: int) -> Batch:
    """The first steps of a batch as one of their own, every step counting for what it counts in the whole."""
    return replace(
        whole,
        inputs=whole.inputs[:steps],
        targets=whole.targets[:steps],
        weights=whole.weights[:steps],
        lengths=np.minimum(whole.lengths, steps),
    )


def _lengths(lengths: npt.ArrayLike | None, steps: int, instances: int) -> npt.NDArray[np.int64]:
    """(B,) whole numbers from 1 to T; T for every instance where not given."""
    if lengths is None:
        return np.full(instances, steps)
    try:
        given = as_array(lengths, "lengths")
    except ShapeError:
        given = np.zeros(0)
    if given.shape != (instances,) or given.dtype.kind not in "iu" or not ((given >= 1) & (given <= steps)).all():
        raise ShapeError(f"lengths is not {instances} whole numbers from 1 to {steps}; give each instance's steps")
    return given.astype(np.int64)


def _targets(
    targets: npt.ArrayLike, width: int, kind: str, readout: str, lengths: npt.NDArray[np.int64], steps: int
) -> Array:
    """(T, B, k). Whole numbers are class ids only where targets are "distributions"; with readout "last", one target an
    instance is put at every step, of which its last one counts."""
    given = as_array(targets, "targets")
    shaped = given.ndim in (2, 3) and given.shape[-1] == width
    if kind != "distributions" and given.dtype.kind in "biuf" and given.size and not shaped:
        raise ShapeError(
            f"targets has shape {given.shape} and type {given.dtype}; this loss asks for {kind} (T, k) or (T, B, k) "
            f"with k = {width}{', not for class ids' if given.dtype.kind in 'iu' else ''}"
        )
    if kind != "distributions" and given.dtype.kind in "biu":
        given = given.astype(np.float64)
    instances = len(lengths)
    single = (instances,) if given.dtype.kind in "iu" else (instances, width)
    if readout == "last" and given.shape == single:
        return np.array(np.broadcast_to(as_steps(given[None], width, "targets", "k"), (steps, instances, width)))
    return as_steps(given, width, "targets", "k")


def _weights(weights: npt.ArrayLike | None, lengths: npt.NDArray[np.int64], steps: int, readout: str) -> Array:
    """(T, B): the given ones, 0 where a step is padding or not read out."""
    instances = len(lengths)
    given = np.ones(1) if weights is None else numbers(weights, "weights")
    if weights is not None and given.shape not in ((steps,), (steps, instances)):
        raise ShapeError(f"weights has shape {given.shape}; give (T,) = ({steps},) or (T, B) = ({steps}, {instances})")
    if not np.isfinite(given).all() or (given < 0).any():
        raise ShapeError("weights holds a number that is negative or not finite; give numbers ≥ 0")
    times = np.arange(1, steps + 1)[:, None]
    taken = times == lengths if readout == "last" else times <= lengths
    return np.asarray((given if given.ndim == 2 else given[:, None]) * taken)


def reduced(weights: Array, reduction: str) -> Array:
    """(T, B) weights, divided so that weighted sums are means: over the instances, or over instances and steps."""
    total = counted(weights, reduction)
    return np.asarray(weights / total if total > 0 else weights)


def counted(weights: Array, reduction: str) -> float:
    """By what weights are divided: the number of instances, or the sum of all weights."""
    return float(weights.sum() if reduction == "mean" else weights.shape[1])


def _initial(
    initial: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None, network: Network, instances: int
) -> dict[str, Array]:
    """Full name -> (B, d) for every initial state that is not a parameter; 0 where none is given."""
    names = network.initial_states
    if initial is None:
        given: dict[str, npt.ArrayLike] = {}
    elif isinstance(initial, Mapping):
        given = dict(initial)
    elif len(names) == 1:
        given = {names[0]: initial}
    else:
        raise ShapeError(f"initial is one array, but there are several states; give them by name: {', '.join(names)}")
    for name in given:
        if name not in names:
            raise UnknownName("initial state", name, names)
        if name in network.params:
            raise ShapeError(f"initial state {name} is a parameter of the network; do not give it twice")
    shape = (instances, network.hidden)
    states = {}
    for name in names:
        value = numbers(given.get(name, 0.0), f"initial {name}")
        if name in given and value.shape not in (shape, shape[1:]):
            raise ShapeError(f"initial {name} has shape {value.shape}; give (d,) = {shape[1:]} or (B, d) = {shape}")
        states[name] = np.array(np.broadcast_to(value, shape))
    return states


def numbers(values: npt.ArrayLike, what: str) -> Array:
    """`values` as real numbers. Raises ShapeError, naming `what`, where they are none."""
    try:
        return read_only(values)
    except ShapeError as error:
        raise ShapeError(f"{what}: {error}") from error


def as_array(values: npt.ArrayLike, what: str) -> npt.NDArray[Any]:
    """`values` as an array of any kind. Raises ShapeError, naming `what`, for rows of unequal length."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ShapeError(f"{what} is ragged; give steps of equal length") from error


def as_steps(values: npt.ArrayLike, width: int, what: str, letter: str) -> Array:
    """`values` as (T, B, width): ids become one-hot, one instance gets its axis.

    Raises:
        ShapeError: naming `what`, its shape and the shapes that are valid.
        NonFinite: naming the first step that holds a NaN or an infinity.
    """
    array = as_array(values, what)
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


def check_targets(targets: Array, kind: str) -> None:
    """Raise ShapeError, naming the step, where a target is not of its kind: a distribution, or probabilities."""
    if kind == "numbers":
        return
    outside = (targets < 0) | (targets > 1)
    bad = outside.any(axis=2)
    if kind == "distributions":
        bad = bad | (np.abs(targets.sum(axis=2) - 1.0) > 1e-6)
    if bad.any():
        time, instance = np.argwhere(bad)[0]
        where = f"the target at step {time + 1}, instance {instance + 1}"
        if kind == "distributions":
            total = f"{targets[time, instance].sum():.6g}"
            raise ShapeError(
                f"{where} is not a distribution (sum {total}); give class ids, or numbers ≥ 0 that sum to 1"
            )
        raise ShapeError(f"{where} is not a probability; give numbers from 0 to 1")


def _steps_and_instances(values: Array) -> str:
    return f"{values.shape[0]} steps of {values.shape[1]} instances"
