"""The forward and the backward pass, one node after another, as the page replays them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from unrollviz.arrays import Array, arithmetic
from unrollviz.draw.layout import EdgeName
from unrollviz.graph import Graph
from unrollviz.jacobians import frobenius
from unrollviz.sweep import FOLDS, sweep


@dataclass(frozen=True)
class Handed:
    """What a node hands back along one edge: `norm` is that of its tail's cotangent, this contribution included."""

    edge: EdgeName
    norm: float


@dataclass(frozen=True)
class Moment:
    """One moment of the replay.

    Attributes:
        phase: forward, loss or backward.
        nodes: whose values are computed, or whose cotangents are complete: one, or all of a folded span.
        handed: what they hand back, in the backward pass.
    """

    phase: str
    nodes: tuple[str, ...]
    handed: tuple[Handed, ...] = ()


@dataclass(frozen=True, eq=False)
class Replay:
    """Both passes. `cotangents` are the complete ones, of every node that a loss depends on."""

    moments: tuple[Moment, ...]
    cotangents: dict[str, Array] = field(repr=False)


def replay(graph: Graph, losses: Sequence[str], seen: Collection[str]) -> Replay:
    """The passes over `graph` from `losses`; moments at nodes that are not `seen` are told together."""
    moments = [
        Moment("loss" if node["role"] == "loss" else "forward", (name,))
        for name, node in graph.nodes(data=True)
        if node["op"] is not None
    ]
    moments.sort(key=lambda moment: moment.phase == "loss")
    found: dict[str, Array] = {name: np.ones(()) for name in losses}
    handed: dict[str, list[Handed]] = {name: [] for name in losses}
    with arithmetic():
        for arrival in sweep(graph, losses, list(graph), FOLDS["total"]):
            edge = arrival.edge
            pulled = edge.jacobian.vjp(arrival.cotangents)[0]
            found[edge.tail] = found[edge.tail] + pulled if edge.tail in found else pulled
            name = (edge.tail, edge.head, edge.key)
            handed.setdefault(edge.head, []).append(Handed(name, frobenius(found[edge.tail])))
    moments += [Moment("backward", (head,), tuple(handed[head])) for head in reversed(list(graph)) if head in handed]
    return Replay(tuple(_told_together(moments, frozenset(seen))), found)


def _told_together(moments: Sequence[Moment], seen: frozenset[str]) -> list[Moment]:
    """Neighbouring moments of one phase at nodes that are not seen become one."""
    told: list[Moment] = []
    for moment in moments:
        last = told[-1] if told else None
        hidden = moment.nodes[0] not in seen
        if last and hidden and last.phase == moment.phase and last.nodes[0] not in seen:
            told[-1] = Moment(moment.phase, last.nodes + moment.nodes, last.handed + moment.handed)
        else:
            told.append(moment)
    return told
