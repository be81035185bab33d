"""Unrolling: a network, a sequence and its targets become a graph with values and losses."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from unrollviz.allowance import memory_allowed, raising_memory
from unrollviz.arrays import Array, arithmetic, many_objects
from unrollviz.batch import Batch, checked
from unrollviz.cells import CELLS, Parameters, States
from unrollviz.errors import NonFinite, UnrollvizError
from unrollviz.graph import Graph, Node, Overrides, Tracer
from unrollviz.losses import LOSSES
from unrollviz.network import Layer, Network


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

    def __repr__(self) -> str:
        size = f"T = {self.steps}, B = {self.instances}, {self.graph.number_of_nodes():,} nodes"
        return f"<{type(self).__name__} of {self.network!r} over {size}: L = {self.loss:.6g}>"

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
    batch = checked(network, xs, targets, initial, loss, readout, reduction, weights, lengths)
    check_size(network, len(batch.inputs), batch.inputs.shape[1])
    return unroll_batch(network, batch, vocabulary)


def unroll_batch(
    network: Network, batch: Batch, vocabulary: Sequence[str] | None = None, overrides: Overrides | None = None
) -> Unrolled:
    """Run the network over a batch that has been checked: the same one with other weights, for instance; with
    `overrides`, entries of computed nodes are set by hand (see `graph.Tracer`).

    Raises NonFinite, naming the first node, where a value overflows; its `partial` is what was computed before."""
    with arithmetic(), many_objects():
        trace = _Trace(network, batch, overrides or {})
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

    def __init__(self, network: Network, batch: Batch, overrides: Overrides) -> None:
        self.network, self.batch = network, batch
        self.cell = CELLS[network.cell]
        self.tracer = Tracer(overrides=overrides)
        self.graph = self.tracer.graph
        self.steps = len(batch.inputs)
        self.read_out, self.begins = frozenset(read_out(batch)), begins(batch)
        self.parameters = {}
        for name, value in network.params.items():
            self._at(None, next((y for y in network.stack if y.prefix and name.startswith(y.prefix)), None))
            self.parameters[name] = self.tracer.leaf(name, value, "parameter")
        self.of_layer = {
            y: Parameters(
                {name.removeprefix(y.prefix): node for name, node in self.parameters.items()}, network.activation
            )
            for y in network.stack
        }
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
                given = constants("repeat", self.batch, time)
                states.append(self.tracer.apply("repeat", self.parameters[name], **given))
                continue
            before = 0 if layer.direction == 1 else self.steps + 1
            if name not in self.given:
                self._at(before, layer)
                value = self.batch.initial[name]
                self.given[name] = self.tracer.leaf(f"{layer.prefix}{state}{before}", value, "initial")
            states.append(self.given[name])
        return tuple(states)

    def _run_by_time(self) -> None:
        stack = self.network.stack
        for time in range(1, self.steps + 1):
            below = self._input(time)
            for layer in stack:
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
        states = self.states[layer] if layer.direction == 1 else self._begun(layer, time)
        states = self.cell.step(self.of_layer[layer], below, states)
        self.states[layer] = states
        return states[0]

    def _begun(self, layer: Layer, time: int) -> States:
        """Reading backwards, an instance that ends at this step begins here, with its initial state."""
        if time not in self.begins:
            return self.states[layer]
        pairs = zip(self.states[layer], self._initial_states(layer, time), strict=True)
        self._at(time, layer)
        given = constants("begin", self.batch, time)
        return tuple(self.tracer.apply("begin", state, first, **given) for state, first in pairs)

    def _both(self, ahead: Node, back: Node, time: int) -> Node:
        self._at(time)
        return self.tracer.apply("concat", ahead, back)

    def _read_out(self, time: int, state: Node) -> None:
        if time not in self.read_out:
            return
        self._at(time)
        loss = LOSSES[self.batch.loss]
        logits = self.tracer.apply(
            "add", self.parameters["V"] @ state, self.parameters["c"], name="logits", role="logits"
        )
        output = self.tracer.apply(loss.output, logits, name="yhat", role="output")
        self.tracer.apply(loss.op, output, name="L", role="loss", **constants(loss.op, self.batch, time))


_LOSS_OPS = frozenset(loss.op for loss in LOSSES.values())


def constants(op: str, batch: Batch, time: int) -> dict[str, Any]:
    """What an op of an unrolled network is given at step `time` beside its arguments: that much is the batch's."""
    if op == "repeat":
        return {"instances": batch.inputs.shape[1]}
    if op == "begin":
        return {"begun": batch.lengths[:, None] != time}
    if op in _LOSS_OPS:
        return {"target": batch.targets[time - 1], "weight": batch.weights[time - 1][:, None]}
    return {}


def read_out(batch: Batch) -> Collection[int]:
    """The steps that have an output and a loss."""
    steps = range(1, len(batch.inputs) + 1)
    return steps if batch.readout == "every" else (np.flatnonzero(batch.weights.any(axis=1)) + 1).tolist()


def begins(batch: Batch) -> Collection[int]:
    """The steps before the last one at which an instance begins when it is read backwards."""
    return {int(length) for length in batch.lengths} - {len(batch.inputs)}


MEMORY_LIMIT = 2**33
"""Bytes that an unrolled network may take: 8 GiB."""

_BYTES_PER_GATE = 25_000
"""What the nodes and edges of one gate of one step take, values aside; measured at T = 10,000."""


def check_size(network: Network, steps: int, instances: int) -> None:
    """Raise UnrollvizError where the graph of so many steps would take more than MEMORY_LIMIT bytes, or than have been
    allowed where that is more."""
    matrices = sum(value.ndim == 2 for value in network.params.values())
    numbers = instances * (network.inputs + 4 * matrices * network.hidden + 5 * network.outputs)
    needed = steps * (_BYTES_PER_GATE * matrices // 2 + 8 * numbers)
    limit = max(MEMORY_LIMIT, memory_allowed(MEMORY_LIMIT))
    if needed > limit:
        raise UnrollvizError(
            f"unrolling {steps:,} steps takes about {needed / 2**30:,.0f} GiB, the limit is {limit / 2**30:g} GiB; "
            f"give a shorter sequence, fewer instances or fewer units, or {raising_memory(needed)}"
        )


def _name_symbols(graph: Graph, batch: Batch, vocabulary: Sequence[str]) -> None:
    """Put the first instance's symbol on every x_t, and the wanted one on every L_t."""
    for time in range(1, len(batch.inputs) + 1):
        for name, row in ((f"x{time}", batch.inputs), (f"L{time}", batch.targets)):
            index = int(row[time - 1, 0].argmax())
            if index < len(vocabulary) and name in graph:
                graph.nodes[name]["symbol"] = vocabulary[index]
