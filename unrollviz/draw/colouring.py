"""What colours can say: one table, a row a quantity, each worked out by sweeps on the whole graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from unrollviz.draw.layout import EdgeName
from unrollviz.draw.style import Theme
from unrollviz.flows.groups import mean_lags
from unrollviz.gradient import cotangents, edge_shares
from unrollviz.graph import Graph, edge_norm
from unrollviz.jacobians import frobenius


@dataclass(frozen=True)
class Paint:
    """A quantity on nodes or edges.

    Attributes:
        what: its name in the legend.
        edges, nodes: what has a value; the rest is drawn without.
        signed: shares, whose sign is told by hue and dashes and whose size by width; others are on the theme's ramp.
    """

    what: str
    edges: Mapping[EdgeName, float] = field(default_factory=dict, repr=False)
    nodes: Mapping[str, float] = field(default_factory=dict, repr=False)
    signed: bool = False

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        values = [*self.edges.values(), *self.nodes.values()]
        return (min(values), max(values)) if values else (0.0, 0.0)

    @property
    def logarithmic(self) -> bool:
        """Whether the ramp goes by factors, not by differences: over two powers of ten or more."""
        values = [value for value in (*self.edges.values(), *self.nodes.values()) if value > 0]
        return not self.signed and bool(values) and max(values) >= 100 * min(values) and self.range[0] >= 0

    @property
    def largest(self) -> float:
        """The largest |value|."""
        return max(map(abs, self.range))

    def colour(self, value: float, theme: Theme) -> str:
        """`#rrggbb`"""
        if self.signed:
            return theme.share_colour(value)
        return theme.on_ramp(self.part(value))

    def part(self, value: float) -> float:
        """Where a value is between the smallest, 0, and the largest, 1; by factors, 0 is where the ramp begins."""
        low, high = self.range
        if self.logarithmic:
            start = self.start
            return math.log(max(value, start) / start) / math.log(high / start)
        return (value - low) / (high - low) if high > low else 1.0

    @property
    def start(self) -> float:
        """The smallest value that the ramp tells from others: going by factors no more than 12 powers of ten."""
        low, high = self.range
        if not self.logarithmic:
            return low
        return max(min(value for value in (*self.edges.values(), *self.nodes.values()) if value > 0), high * 1e-12)


def _share(graph: Graph, losses: Sequence[str], target: str) -> Paint | None:
    shares = edge_shares(graph, losses, target)
    return Paint("share", edges=shares, signed=True) if shares else None  # the gradient is 0, every share undefined


def _norm(graph: Graph, losses: Sequence[str], target: str) -> Paint:
    return Paint(
        "norm of ∂head/∂tail", edges=_finite({edge: edge_norm(graph, edge) for edge in graph.edges(keys=True)})
    )


def _lag(graph: Graph, losses: Sequence[str], target: str) -> Paint:
    return Paint("mean lag of the paths through", edges=mean_lags(graph, losses, target))


def _value(graph: Graph, losses: Sequence[str], target: str) -> Paint:
    timed = ((name, np.asarray(node["value"])) for name, node in graph.nodes(data=True) if node["time"] is not None)
    return Paint("root mean square of the value", nodes={n: frobenius(v) / math.sqrt(max(v.size, 1)) for n, v in timed})


def _gradient(graph: Graph, losses: Sequence[str], target: str) -> Paint:
    found = cotangents(graph, losses)
    timed = {name: frobenius(at) for name, at in found.items() if graph.nodes[name]["time"] is not None}
    return Paint("norm of ∂L/∂node", nodes=_finite(timed))


def _finite(values: dict[str, float] | dict[EdgeName, float]) -> dict:  # type: ignore[type-arg]
    return {name: value for name, value in values.items() if math.isfinite(value)}


@dataclass(frozen=True)
class Colouring:
    """What colours can say.

    Attributes:
        meaning: in words.
        make: (graph, losses, target) -> paint; None where there is nothing to show.
        of: which of `losses` and `target` it is about.
    """

    meaning: str
    make: Callable[[Graph, Sequence[str], str], Paint | None]
    of: tuple[str, ...] = ()


_PATHS = ("losses", "target")

COLOURINGS: dict[str, Colouring] = {
    "share": Colouring("every edge by the share of all paths through it", _share, _PATHS),
    "norm": Colouring("every edge by the norm of its factor ∂head/∂tail", _norm),
    "lag": Colouring("every edge by the mean lag t - k of all paths through it", _lag, _PATHS),
    "value": Colouring("every node by the root mean square of its value", _value),
    "gradient": Colouring("every node by the norm of ∂L/∂node", _gradient, ("losses",)),
}
"""`color_by` -> colouring."""


def gathered(values: Mapping[EdgeName, float], edges: Iterable[EdgeName], total: bool) -> float | None:
    """The sum, or the mean, over edges that are drawn as one; None where none of them has a value."""
    found = [values[edge] for edge in edges if edge in values]
    if not found:
        return None
    return math.fsum(found) if total else math.fsum(found) / len(found)
