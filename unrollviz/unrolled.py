"""Unrolling: a network, a sequence and its targets become a graph with values and losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from unrollviz.arrays import Array, arithmetic, many_objects
from unrollviz.cells import CELLS, Parameters, States
from unrollviz.errors import NonFinite, ShapeError, UnknownName, UnrollvizError
from unrollviz.graph import Graph, Node, Tracer
from unrollviz.losses import LOSSES
from unrollviz.network import Layer, Network, read_only

READOUTS = ("every", "last")
REDUCTIONS = ("sum", "mean")


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


@dataclass(frozen=True, eq=False)
class Unrolled:
    """A network unrolled over one batch of sequences.

    Attributes:
        network: what was unrolled.
        batch: over what.
        graph: the traced graph at level `op` (see `unrollviz.graph`).
        losses: (T,) L_t, summed over the instances by their weights (usually: their mean); 0 where there is none.
    """

    network: Network
    batch: Batch
    graph: Graph
    losses: Array

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
        return int(self.batch.inputs.shape[1])

    @property
    def inputs(self) -> Array:
        """(T, B, n)"""
        return self.batch.inputs

    @property
    def targets(self) -> Array:
        """(T, B, k)"""
        return self.batch.targets

    @property
    def initial(self) -> Mapping[str, Array]:
        """Full name -> (B, d): the initial states that are not parameters."""
        return self.batch.initial


def unroll(
    network: Network,
    xs: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    initial: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None = None,
    vocabulary: Sequence[str] | None = None,
    loss: str = "cross_entropy",
    readout: str = "every",
    reduction: str = "sum",
    weights: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
) -> Unrolled:
    """Run the network forward over a batch of sequences and record every operation.

    Args:
        xs: floats (T, n) or (T, B, n), or token ids (T,) or (T, B), which are made one-hot.
        targets: class ids (T,) or (T, B), or numbers (T, k) or (T, B, k): distributions for cross-entropy,
            probabilities for binary cross-entropy. With readout "last" also one target an instance: (B,) ids or (B, k).
        initial: the initial state, (d,) for every instance or (B, d), where there is only one; else such arrays by
            name: {"h0": …, "l2.c0": …}. 0 where not given, unless it is a parameter of the network.
        vocabulary: what each id is called; shown on the nodes, never interpreted.
        loss: a name in LOSSES; each is summed over the k outputs.
        readout: "every" step, or only the "last" of each instance (many-to-one); in a bidirectional network the last
            states of both directions.
        reduction: over the steps: "sum", or "mean" by weight, as PyTorch does. Over the instances it is the mean.
        weights: (T,) or (T, B), by which each step's loss counts; 1 where not given.
        lengths: (B,) steps of each instance; later ones are padding, and count for nothing.

    Raises:
        ShapeError: where a shape, an id or a distribution is not valid.
        UnknownName: for an unknown loss, readout, reduction or initial state.
        NonFinite: where an input is, or a computed value becomes, NaN or infinite; names the first node.
    """
    for kind, name, valid in (
        ("loss", loss, LOSSES),
        ("readout", readout, READOUTS),
        ("reduction", reduction, REDUCTIONS),
    ):
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
    counted = _weights(weights, ends, steps, readout, reduction)
    check_size(network, steps, instances)
    batch = Batch(inputs, wanted, counted, ends, _initial(initial, network, instances), loss, readout)
    return unroll_batch(network, batch, vocabulary)


def unroll_batch(network: Network, batch: Batch, vocabulary: Sequence[str] | None = None) -> Unrolled:
    """Run the network over a batch that has been checked: the same one with other weights, for instance.

    Raises NonFinite, naming the first node, where a value overflows; its `partial` is what was computed before."""
    with arithmetic(), many_objects():
        trace = _Trace(network, batch)
        try:
            trace.run()
        except NonFinite as error:
            error.partial = _unrolled(network, batch, trace.graph)
            raise
    if vocabulary is not None:
        _name_symbols(trace.graph, batch, vocabulary)
    return _unrolled(network, batch, trace.graph)


def _unrolled(network: Network, batch: Batch, graph: Graph) -> Unrolled:
    values = (graph.nodes[f"L{t}"]["value"] if f"L{t}" in graph else 0.0 for t in range(1, len(batch.inputs) + 1))
    return Unrolled(network, batch, graph, np.array(list(values)))


class Options(TypedDict, total=False):
    """The keyword arguments of `unroll`."""

    initial: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None
    vocabulary: Sequence[str] | None
    loss: str
    readout: str
    reduction: str
    weights: npt.ArrayLike | None
    lengths: npt.ArrayLike | None


class _Trace:
    """Runs a network over a batch: x_t, the layers, z_t = V h_t + c, ŷ_t, L_t; `graph` is the record."""

    def __init__(self, network: Network, batch: Batch) -> None:
        self.network, self.batch = network, batch
        self.cell = CELLS[network.cell]
        self.tracer = Tracer()
        self.graph = self.tracer.graph
        self.steps = len(batch.inputs)
        self.parameters = {}
        for name, value in network.params.items():
            self._at(None, next((y for y in network.stack if y.prefix and name.startswith(y.prefix)), None))
            self.parameters[name] = self.tracer.leaf(name, value, "parameter")
        self.learned = set(network.initial_states) & set(network.params)
        self.given: dict[str, Node] = {}
        self.states = {y: self._initial_states(y, 1 if y.direction == 1 else self.steps) for y in network.stack}
        self.outputs: dict[tuple[Layer, int], Node] = {}

    def run(self) -> None:
        """Compute every step; NonFinite leaves what was computed before in `graph`."""
        (self._run_by_layer if self.network.bidirectional else self._run_by_time)()

    def _at(self, time: int | None, layer: Layer | None = None) -> None:
        self.tracer.time = time
        self.tracer.layer = layer.number if layer else (1 if self.network.layers == 1 else None)
        self.tracer.prefix = layer.prefix if layer else ""

    def _initial_states(self, layer: Layer, time: int) -> States:
        """The initial states as step `time` takes them over: leaves at the step before, or the learned parameters."""
        states = []
        for state in self.cell.states:
            name = f"{layer.prefix}{state}0"
            if name in self.learned:
                self._at(time, layer)
                instances = self.batch.inputs.shape[1]
                states.append(self.tracer.apply("repeat", self.parameters[name], instances=instances))
                continue
            before = 0 if layer.direction == 1 else self.steps + 1
            if name not in self.given:
                self._at(before, layer)
                value = self.batch.initial[name]
                self.given[name] = self.tracer.leaf(f"{layer.prefix}{state}{before}", value, "initial")
            states.append(self.given[name])
        return tuple(states)

    def _run_by_time(self) -> None:
        for time in range(1, self.steps + 1):
            below = self._input(time)
            for layer in self.network.stack:
                below = self._step(layer, time, below)
            self._read_out(time, below)

    def _run_by_layer(self) -> None:
        below = {time: self._input(time) for time in range(1, self.steps + 1)}
        for forwards, backwards in zip(self.network.stack[::2], self.network.stack[1::2], strict=True):
            ahead = {time: self._step(forwards, time, below[time]) for time in range(1, self.steps + 1)}
            back = {time: self._step(backwards, time, below[time]) for time in range(self.steps, 0, -1)}
            below = {time: self._both(ahead[time], back[time], time) for time in ahead}
        for time in below:
            # Many-to-one: both directions have read the whole sequence, backwards it ends at step 1.
            last = self.batch.readout == "last"
            self._read_out(time, self._both(ahead[time], back[1], time) if last else below[time])

    def _input(self, time: int) -> Node:
        self._at(time)
        return self.tracer.leaf(f"x{time}", self.batch.inputs[time - 1], "input")

    def _step(self, layer: Layer, time: int, below: Node) -> Node:
        """One step of one layer; returns the state that is read out."""
        self._at(time, layer)
        nodes = {name.removeprefix(layer.prefix): node for name, node in self.parameters.items()}
        states = self.states[layer] if layer.direction == 1 else self._begun(layer, time)
        states = self.cell.step(Parameters(nodes, self.network.activation), below, states)
        self.states[layer] = states
        return states[0]

    def _begun(self, layer: Layer, time: int) -> States:
        """Reading backwards, an instance that ends at this step begins here, with its initial state."""
        ends_here = self.batch.lengths == time
        if time == self.steps or not ends_here.any():
            return self.states[layer]
        pairs = zip(self.states[layer], self._initial_states(layer, time), strict=True)
        self._at(time, layer)
        return tuple(self.tracer.apply("begin", state, first, begun=~ends_here[:, None]) for state, first in pairs)

    def _both(self, ahead: Node, back: Node, time: int) -> Node:
        self._at(time)
        return self.tracer.apply("concat", ahead, back)

    def _read_out(self, time: int, state: Node) -> None:
        weight = self.batch.weights[time - 1]
        if self.batch.readout == "last" and not weight.any():
            return
        self._at(time)
        loss = LOSSES[self.batch.loss]
        logits = self.tracer.apply(
            "add", self.parameters["V"] @ state, self.parameters["c"], name="logits", role="logits"
        )
        output = self.tracer.apply(loss.output, logits, name="yhat", role="output")
        target = self.batch.targets[time - 1]
        self.tracer.apply(loss.op, output, name="L", role="loss", target=target, weight=weight[:, None])


MEMORY_LIMIT = 2**33
"""Bytes that an unrolled network may take: 8 GiB."""

_BYTES_PER_GATE = 25_000
"""What the nodes and edges of one gate of one step take, values aside; measured at T = 10,000."""


def check_size(network: Network, steps: int, instances: int) -> None:
    """Raise UnrollvizError where the graph of so many steps would take more than MEMORY_LIMIT bytes."""
    matrices = sum(value.ndim == 2 for value in network.params.values())
    numbers = instances * (network.inputs + 4 * matrices * network.hidden + 5 * network.outputs)
    needed = steps * (_BYTES_PER_GATE * matrices // 2 + 8 * numbers)
    if needed > MEMORY_LIMIT:
        raise UnrollvizError(
            f"unrolling {steps:,} steps takes about {needed / 2**30:,.0f} GiB, the limit is "
            f"{MEMORY_LIMIT / 2**30:.0f} GiB; give a shorter sequence, fewer instances or fewer units"
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
    if kind != "distributions" and given.dtype.kind in "biu":
        given = given.astype(np.float64)
    instances = len(lengths)
    single = (instances,) if given.dtype.kind in "iu" else (instances, width)
    if readout == "last" and given.shape == single:
        return np.array(np.broadcast_to(as_steps(given[None], width, "targets", "k"), (steps, instances, width)))
    return as_steps(given, width, "targets", "k")


def _weights(
    weights: npt.ArrayLike | None, lengths: npt.NDArray[np.int64], steps: int, readout: str, reduction: str
) -> Array:
    """(T, B): the given ones, 0 where a step is padding or not read out, reduced over steps and instances."""
    instances = len(lengths)
    given = np.ones(1) if weights is None else numbers(weights, "weights")
    if weights is not None and given.shape not in ((steps,), (steps, instances)):
        raise ShapeError(f"weights has shape {given.shape}; give (T,) = ({steps},) or (T, B) = ({steps}, {instances})")
    if not np.isfinite(given).all() or (given < 0).any():
        raise ShapeError("weights holds a number that is negative or not finite; give numbers ≥ 0")
    times = np.arange(1, steps + 1)[:, None]
    counted = times == lengths if readout == "last" else times <= lengths
    every = (given if given.ndim == 2 else given[:, None]) * counted
    total = every.sum() if reduction == "mean" else float(instances)
    return np.asarray(every / total if total > 0 else every)


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


def _name_symbols(graph: Graph, batch: Batch, vocabulary: Sequence[str]) -> None:
    """Put the first instance's symbol on every x_t, and the wanted one on every L_t."""
    for time in range(1, len(batch.inputs) + 1):
        for name, row in ((f"x{time}", batch.inputs), (f"L{time}", batch.targets)):
            index = int(row[time - 1, 0].argmax())
            if index < len(vocabulary) and name in graph:
                graph.nodes[name]["symbol"] = vocabulary[index]
