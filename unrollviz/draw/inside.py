"""What a node says of its values: in its tooltip, and as a row of small squares inside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from unrollviz.arrays import Array
from unrollviz.draw.geometry import SQUARES, Box, shown
from unrollviz.draw.legend import quoted
from unrollviz.draw.style import MEANINGS
from unrollviz.graph import Graph

SIDE = 4.5
"""Points that a square is wide, at most."""


def about(node: Mapping[str, Any]) -> list[str]:
    """A node's tooltip: what it is, its shape, its values, rounded and cut."""
    when = "" if node["time"] is None else f", step {node['time']}"
    value = np.asarray(node["value"])
    written = np.array2string(value, precision=4, threshold=24, edgeitems=3, max_line_width=76).splitlines()
    symbol = [f"symbol {quoted(node['symbol'])}"] if "symbol" in node else []
    shape = f"shape {' × '.join(map(str, value.shape))}" if value.shape else "a number"
    return [f"{node['label']}: {MEANINGS[node['role']]}{when}", *symbol, shape, *written[:8]]


def lines_inside(node: Mapping[str, Any]) -> tuple[str, ...]:
    """A node's label where it shows its values: above room for squares, or above its number."""
    label = shown(node["label"])
    if node["role"] == "parameter":
        return (label,)
    if node["role"] == "loss":
        return label, f"{float(np.mean(node['value'])):.3g}"
    return label, " "


def units(node: Mapping[str, Any]) -> Array:
    """The values of the first units, of the first instance: at most SQUARES."""
    value = np.asarray(node["value"], dtype=float)
    if node["role"] in ("parameter", "loss", "fold") or value.size == 0:
        return np.zeros(0)
    return value.reshape(len(value), -1)[0, :SQUARES]


def scales(graph: Graph) -> dict[str, float]:
    """Role -> the largest |value| that its squares show."""
    found: dict[str, float] = {}
    for _, node in graph.nodes(data=True):
        found[node["role"]] = max(found.get(node["role"], 0.0), float(np.abs(units(node)).max(initial=0.0)))
    return {role: scale for role, scale in found.items() if scale > 0}


def squares(node: Mapping[str, Any], box: Box, scale: float) -> Iterator[tuple[Box, float]]:
    """The squares of a node, each with its value as a part of `scale`: -1 to 1."""
    values = units(node)
    side = min(SIDE, (box.width - 12) / max(len(values), 1))
    for index, value in enumerate(values):
        x = box.x + side * (index - (len(values) - 1) / 2)
        yield Box(x, box.y - box.height / 4 + 1, side, 7.0, "box"), float(value) / scale
