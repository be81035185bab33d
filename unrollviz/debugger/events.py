"""What happens in a run, one event after another: values, losses, cotangents edge by edge, sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unrollviz.arrays import Array
from unrollviz.graph import Graph, names_of
from unrollviz.sweep import FOLDS, sweep

PHASES: dict[str, str] = {
    "forward": "every state and output is computed from what comes before it",
    "loss": "every output is compared with its target",
    "backward": "cotangents flow from the losses back to the parameters, edge by edge",
    "sum": "each parameter has received all its contributions",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens.

    Attributes:
        phase: a key of PHASES.
        node: the node that is computed, or that receives a contribution to its cotangent.
        time: the step at which it happens; None for a sum.
        head: in the backward pass, the node that hands its cotangent back to its argument `node`.
        key: the position of `node` among the arguments of `head`.
    """

    phase: str
    node: str
    time: int | None
    head: str | None = None
    key: int = 0


def record(graph: Graph, losses: Sequence[str]) -> tuple[tuple[Event, ...], dict[str, Array]]:
    """The events of a run whose backward pass starts at `losses`, and the cotangents that it hands on.

    The second is node -> (1, *its shape), for every node that has arguments; the vjp of an edge with its head's
    row is the contribution that the edge's event brings, so that no contribution needs to be stored.

    Raises UnknownName for an unknown loss.
    """
    values: list[Event] = []
    compared: list[Event] = []
    for name, node in graph.nodes(data=True):
        if node["role"] == "loss":
            compared.append(Event("loss", name, node["time"]))
        elif node["op"] is not None:
            values.append(Event("forward", name, node["time"]))
    backward: list[Event] = []
    rows: dict[str, Array] = {}
    nodes = graph.nodes
    with np.errstate(all="ignore"):
        for arrival in sweep(graph, losses, list(graph), FOLDS["total"]):
            edge = arrival.edge
            backward.append(Event("backward", edge.tail, nodes[edge.head]["time"], edge.head, edge.key))
            rows[edge.head] = arrival.rows
    sums = [Event("sum", name, None) for name in names_of(graph, "parameter")]
    return (*values, *compared, *backward, *sums), rows
