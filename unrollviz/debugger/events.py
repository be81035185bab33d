"""What happens in a run, one event after another: values, losses, cotangents edge by edge, sums."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from unrollviz.adjacency import arguments
from unrollviz.adjacency import nodes as nodes_of
from unrollviz.errors import UnknownName
from unrollviz.graph import Graph, names_of, node_named

PHASES: dict[str, str] = {
    "forward": "every state and output is computed from what comes before it",
    "loss": "every output is compared with its target",
    "backward": "cotangents flow from the losses back to the parameters, edge by edge",
    "sum": "each parameter has received all its contributions",
    "update": "the optimizer makes a step of each gradient, and a new value of each parameter",
}


class Event(NamedTuple):
    """One thing that happens.

    Attributes:
        phase: a key of PHASES.
        node: the node that is computed, or that receives a contribution to its cotangent.
        time: the step at which it happens; None for a sum and an update.
        head: in the backward pass, the node that hands its cotangent back to its argument `node`: one vjp, and the
            addition of what it gives.
        key: the position of `node` among the arguments of `head`.
    """

    phase: str
    node: str
    time: int | None
    head: str | None = None
    key: int = 0


def schedule(graph: Graph, losses: Sequence[str], learns: bool = False) -> tuple[Event, ...]:
    """The events of a run whose backward pass starts at `losses`, in order; where it `learns`, with an update of every
    parameter. Nothing is computed for it.

    Raises UnknownName for an unknown loss.
    """
    for name in losses:
        if node_named(graph, name, "loss")["role"] != "loss":
            raise UnknownName("loss", name, names_of(graph, "loss"))
    values: list[Event] = []
    compared: list[Event] = []
    for name, node in nodes_of(graph).items():
        if node["role"] == "loss":
            compared.append(Event("loss", name, node["time"]))
        elif node["op"] is not None:
            values.append(Event("forward", name, node["time"]))
    params = names_of(graph, "parameter")
    sums = (Event("sum", name, None) for name in params)
    updates = (Event("update", name, None) for name in params if learns)
    return (*values, *compared, *_backward(graph, losses), *sums, *updates)


def _backward(graph: Graph, losses: Collection[str]) -> Iterator[Event]:
    """An event an edge, in the order in which the sweep goes through them."""
    reached = set(losses)
    into, nodes = arguments(graph), nodes_of(graph)
    for head in reversed(list(nodes)):
        if head in reached and into[head]:
            time = nodes[head]["time"]
            for tail, parallel in into[head].items():
                reached.add(tail)
                for key in parallel:
                    yield Event("backward", tail, time, head, key)
