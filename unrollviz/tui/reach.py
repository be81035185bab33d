"""How far back a loss's gradient reaches: the norm of the cotangent of a state, step by step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from unrollviz.debugger.backward import Backward
from unrollviz.draw.layout import kind_of
from unrollviz.graph import Graph
from unrollviz.jacobians import norms

FAINT = 1e-6
"""A cotangent of a smaller norm teaches nothing any more."""

AT_ONCE = 1_000
"""Steps up to which a sweep of its own takes less than a key may."""


@dataclass(frozen=True)
class Reach:
    """Norms of ∂L_t/∂(a kind of node), from the loss back.

    Attributes:
        kind: the nodes' name without the step.
        loss: from which the sweep went.
        times: the steps, latest first.
        norms: of the cotangent at each; nothing of a step that the loss does not depend on.
    """

    kind: str
    loss: str
    times: tuple[int, ...]
    norms: tuple[float, ...]

    @property
    def fades(self) -> int | None:
        """The first step, going back, from which on the norm stays below FAINT; None where it does not."""
        below = [norm < FAINT for norm in self.norms]
        if not below or not below[-1]:
            return None
        last_above = max((index for index, faint in enumerate(below) if not faint), default=-1)
        return self.times[last_above + 1]


def reach(graph: Graph, backward: Backward | None, node: str, loss: str) -> Reach:
    """For the kind of `node` where it is a state, else for the states that W leads to; `backward` is a sweep from that
    loss alone, where there is one."""
    return _reach(graph, backward, _kind(graph, node), loss)


def _kind(graph: Graph, node: str) -> str:
    states = dict.fromkeys(kind_of(name) for name, role in graph.nodes(data="role") if role == "state")
    if kind_of(node) in states and graph.nodes[node]["time"] is not None:
        return kind_of(node)
    return next((kind for kind in states if kind.rpartition(".")[2] in ("s", "h")), next(iter(states)))


@lru_cache(8)
def _reach(graph: Graph, backward: Backward | None, kind: str, loss: str) -> Reach:
    sweep = backward or Backward(graph, [loss])
    sweep.finish()
    found: list[tuple[int, float]] = []
    for name, node in graph.nodes(data=True):
        if node["role"] != "state" or kind_of(name) != kind:
            continue
        try:
            rows = sweep.row(name)
        except KeyError:
            continue
        found.append((node["time"], float(norms(rows.reshape(1, -1))[0])))
    found.sort(reverse=True)
    return Reach(kind, loss, tuple(time for time, _ in found), tuple(norm for _, norm in found))


def sparkline(values: tuple[float, ...], width: int) -> str:
    """Norms as blocks by their logarithm, from the largest down to FAINT or the smallest; many are thinned out."""
    logs = [math.log10(value) if value > 0 else -math.inf for value in values]
    known = [log for log in logs if math.isfinite(log)]
    if not known:
        return ""
    top, bottom = max(known), max(min(known), min(max(known) - 1.0, math.log10(FAINT) - 2.0))
    step = max(math.ceil(len(logs) / max(width, 1)), 1)
    blocks = "▁▂▃▄▅▆▇█"
    scaled = (max((log - bottom) / max(top - bottom, 1e-9), 0.0) for log in logs[::step])
    return "".join(blocks[min(round(height * 7), 7)] for height in scaled)
