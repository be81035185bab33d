"""A traced network as a plan: its ops in order, a slot for every value. Runs again on other numbers, with no graph.

Training asks for the same graph thousands of times with new parameters and new instances. What it does not ask for is
the graph: names, edges, one Jacobian object an edge. A plan keeps the ops and what they are applied to, and computes
the same values, and by the same sweep the same gradients, bit for bit.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from unrollviz.arrays import Array, arithmetic
from unrollviz.batch import Batch
from unrollviz.gradient import check_gradient
from unrollviz.graph import names_of
from unrollviz.jacobians import Diagonal
from unrollviz.network import Network
from unrollviz.ops import OPS, Op
from unrollviz.terms import TermSum
from unrollviz.unrolled import Unrolled, begins, constants, read_out, unroll_batch

Slot = int


@dataclass(frozen=True, slots=True)
class Step:
    """One op of a plan.

    Attributes:
        op: what is computed;  time: at which step of the sequence.
        arguments: the slots of its arguments;  out: the slot of its value.
        wanted: for every argument what becomes of its cotangent: the name of a parameter, True where the sweep goes
            on from there, False where no parameter lies behind it.
        given: it is given a part of the batch beside its arguments.
        checked: an overflow could begin here.
    """

    op: Op
    time: int
    arguments: tuple[Slot, ...]
    out: Slot
    wanted: tuple[str | bool, ...]
    given: bool
    checked: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """The ops of an unrolled network in order. Made by `Plan.of`, for all batches of the same `shape_of`.

    Attributes:
        size: how many values there are.
        parameters: name -> slot;  inputs: slot of x_1, x_2, …;  initial: name of an initial state -> slot.
        losses: step t -> slot of L_t.
    """

    size: int
    parameters: Mapping[str, Slot]
    inputs: Sequence[Slot]
    initial: Mapping[str, Slot]
    losses: Mapping[int, Slot]
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, unrolled: Unrolled) -> Plan:
        """The plan by which `unrolled` was computed."""
        graph, steps = unrolled.graph, unrolled.steps
        slot = {name: index for index, name in enumerate(graph)}
        nodes = graph.nodes
        leads = set(names_of(graph, "parameter"))
        planned = []
        for name, node in nodes(data=True):
            if node["op"] is None:
                continue
            edges = sorted(graph.in_edges(name, keys=True), key=lambda edge: edge[2])
            arguments = [tail for tail, _, _ in edges]
            wanted = tuple(tail if nodes[tail]["role"] == "parameter" else tail in leads for tail in arguments)
            if any(wanted):
                leads.add(name)
            checked = not OPS[node["op"]].bounded
            planned.append(
                Step(
                    OPS[node["op"]],
                    node["time"],
                    tuple(slot[tail] for tail in arguments),
                    slot[name],
                    wanted,
                    bool(constants(node["op"], unrolled.batch, node["time"])),
                    checked and not all(nodes[head]["op"] == "add" for head in graph.succ[name]),
                )
            )
        begun = {0: "0", steps + 1: str(steps + 1)}
        return cls(
            len(slot),
            {name: slot[name] for name in names_of(graph, "parameter")},
            [slot[f"x{time}"] for time in range(1, steps + 1)],
            {f"{name.removesuffix(begun[nodes[name]['time']])}0": slot[name] for name in names_of(graph, "initial")},
            {nodes[name]["time"]: slot[name] for name in names_of(graph, "loss")},
            tuple(planned),
        )

    def run(self, network: Network, batch: Batch) -> Pass:
        """The values of another network, or of other instances.

        Raises NonFinite, naming the first node, where one overflows."""
        values: list[Array | None] = [None] * self.size
        charts: dict[Slot, Array] = {}
        for name, slot in self.parameters.items():
            values[slot] = network.params[name]
        for x, slot in zip(batch.inputs, self.inputs, strict=True):
            values[slot] = x
        for name, slot in self.initial.items():
            values[slot] = batch.initial[name]
        fine = True
        with arithmetic():
            for step in self.steps:
                op = step.op
                arguments = [values[slot] for slot in step.arguments]
                if op.reads_chart:
                    arguments[0] = charts[step.arguments[0]]
                if op.chart is not None:
                    charts[step.out] = u = op.chart.coordinate(*arguments)
                    value = op.chart.value(u)
                else:
                    given = constants(op.name, batch, step.time) if step.given else {}
                    value = np.asarray(op.forward(*arguments, **given))
                values[step.out] = value
                if step.checked and not np.isfinite(value).all():
                    fine = False
                    break
        if not fine:
            unroll_batch(network, batch)  # says at which node
        return Pass(self, network, batch, values, charts)


@dataclass(frozen=True, eq=False)
class Pass:
    """One forward pass of a plan: every value, by slot, and the coordinates of those that have a chart."""

    plan: Plan
    network: Network
    batch: Batch
    values: Sequence[Array | None]
    charts: Mapping[Slot, Array] = field(repr=False)

    @property
    def losses(self) -> Array:
        """(T,) L_t; 0 where there is none."""
        found = np.zeros(len(self.batch.inputs))
        for time, slot in self.plan.losses.items():
            found[time - 1] = self.values[slot]
        return found

    @property
    def loss(self) -> float:
        """L = Σ_t L_t"""
        return float(np.add.reduce(self.losses))

    def gradients(self) -> dict[str, Array]:
        """∂L/∂ every parameter, by one reverse sweep: the fold `total`, so that each node has a single row.

        Raises NonFinite, naming the first node of the backward pass, where a cotangent overflows."""
        plan, values = self.plan, self.values
        first = np.zeros(1, dtype=np.int64)
        sums = {name: TermSum(1, self.network.params[name].shape) for name in plan.parameters}
        at: list[Array | None] = [None] * plan.size
        for slot in plan.losses.values():
            at[slot] = np.ones(1)
        with arithmetic():
            for step in reversed(plan.steps):
                rows = at[step.out]
                if rows is None:
                    continue
                at[step.out] = None
                op = step.op
                arguments = [values[slot] for slot in step.arguments]
                if op.reads_chart:
                    arguments[0] = self.charts[step.arguments[0]]
                given = constants(op.name, self.batch, step.time) if step.given else {}
                jacobians = op.jacobians(values[step.out], *arguments, **given)
                for slot, wanted, jacobian in zip(step.arguments, step.wanted, jacobians, strict=True):
                    if wanted is False:
                        continue
                    if wanted is not True:
                        sums[wanted].add(first, rows, jacobian)
                        continue
                    pulled = jacobian.vjp(rows)
                    if slot in self.charts and not op.reads_chart:
                        pulled = Diagonal(self._scale(slot)).vjp(pulled)
                    before = at[slot]
                    at[slot] = pulled if before is None else before + pulled
            found = {name: total.result()[0] for name, total in sums.items()}
        for name, value in found.items():
            if not np.isfinite(value).all():
                unrolled = unroll_batch(self.network, self.batch)
                check_gradient(unrolled.graph, names_of(unrolled.graph, "loss"), name, value)
        return found

    def _scale(self, slot: Slot) -> Array:
        """dy/du of a value y that is kept in a coordinate u."""
        op = next(step.op for step in self.plan.steps if step.out == slot)
        value = self.values[slot]
        assert op.chart is not None and value is not None
        return op.chart.scale(self.charts[slot], value)


def shape_of(network: Network, batch: Batch) -> Hashable:
    """What a plan depends on: the network but for its numbers, the steps, and which of them are read out or begun."""
    reads = tuple(read_out(batch)) if batch.readout == "last" else batch.readout
    ends = tuple(sorted(begins(batch))) if network.bidirectional else ()
    shapes = tuple((name, value.shape) for name, value in network.params.items())
    architecture = (network.cell, network.activation, network.layers, network.bidirectional, shapes)
    return architecture, len(batch.inputs), reads, ends, batch.loss, tuple(batch.initial)


PLANS = 64
"""How many plans are kept: the oldest is forgotten first."""


@dataclass(frozen=True)
class Plans:
    """Forward passes by plan, each made by the first batch of its shape."""

    _known: dict[Hashable, Plan] = field(default_factory=dict)

    def run(self, network: Network, batch: Batch) -> Pass:
        """As `Plan.run`, whatever the shape of the batch."""
        shape = shape_of(network, batch)
        if shape not in self._known:
            if len(self._known) >= PLANS:
                self._known.pop(next(iter(self._known)))
            self._known[shape] = Plan.of(unroll_batch(network, batch))
        return self._known[shape].run(network, batch)
