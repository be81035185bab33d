"""The unrolled graph as a picture: what is drawn where, in DOT with every position given.

A parameter is one node at the left, tied by a dotted rail to a small copy at each step that uses it. A
highlighted path is drawn as with a marker pen, its nodes numbered from the loss back, and all the rest muted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import graphviz
import numpy as np

from unrollviz.draw.geometry import COPY_FONT, Box, Paper, arrange, shown, shown_on_copy
from unrollviz.draw.layout import EdgeName, Place
from unrollviz.draw.legend import draw_legend, draw_words, quoted, signed
from unrollviz.draw.sheet import BOLD, Sheet
from unrollviz.draw.style import (
    BAND,
    FAINT,
    INK,
    LOOKS,
    MARKER,
    MEANINGS,
    MUTED,
    PAPER,
    QUIET,
    faded,
    share_colour,
    share_style,
    share_width,
)
from unrollviz.draw.text import number
from unrollviz.graph import Graph
from unrollviz.names import derivative
from unrollviz.paths import Path


@dataclass(frozen=True)
class Marked:
    """What of a picture belongs to the highlighted path.

    Attributes:
        nodes: its nodes, numbered from 1 at the loss.
        edges: its edges, from the loss back.
        copy: the place of the parameter's copy that it ends in, None where it ends in another node.
        steps: the steps that it visits.
    """

    nodes: Mapping[str, int] = field(default_factory=dict)
    edges: tuple[EdgeName, ...] = ()
    copy: Place | None = None
    steps: frozenset[int] = frozenset()


def picture(
    graph: Graph,
    highlight: Path | None = None,
    shares: Mapping[EdgeName, float] | None = None,
    title: str | None = None,
) -> graphviz.Digraph:
    """`graph`, at its level of detail, as a picture.

    Args:
        highlight: a path of this graph; all the rest is muted.
        shares: (tail, head, key) -> share; gives every edge its colour and width. Edges not in it have none.
        title: a line above the picture, shown as it is.

    Returns a `graphviz.Digraph` with pinned positions; notebooks show it, `unrollviz.draw.engine` writes it.
    """
    return _Drawing(graph, highlight, shares, title).drawn()


def mark(graph: Graph, paper: Paper, path: Path | None) -> Marked:
    """What `path` visits in this picture. Raises KeyError where it is not a path of `graph`."""
    if path is None:
        return Marked()
    edges = []
    for factor in path.factors:
        parallel = graph[factor.tail][factor.head]
        key = next((key for key, data in parallel.items() if data["jacobian"] is factor.jacobian), min(parallel))
        edges.append((factor.tail, factor.head, key))
    times = (graph.nodes[name]["time"] for name in path.nodes)
    return Marked(
        nodes={name: position for position, name in enumerate(path.nodes, start=1)},
        edges=tuple(edges),
        copy=paper.places.copies.get(edges[-1]),
        steps=frozenset(time for time in times if time is not None),
    )


class _Drawing:
    """Draws one picture, from the back to the front."""

    def __init__(
        self, graph: Graph, path: Path | None, shares: Mapping[EdgeName, float] | None, title: str | None
    ) -> None:
        self.graph, self.path, self.title = graph, path, title
        self.shares = shares or None  # none at all: the gradient is 0, and every share undefined
        self.paper = arrange(graph)
        self.marked = mark(graph, self.paper, path)
        self.largest = max((abs(share) for share in (self.shares or {}).values()), default=0.0)
        self.sheet = Sheet()
        self.ids: dict[str | Place, str] = {}

    def drawn(self) -> graphviz.Digraph:
        """Graphviz draws shapes in the order in which they are added, and lines in that of their tails, then of
        their heads: so what matters most is added last, to lie on top."""
        parameters = [name for name, place in self.paper.places.nodes.items() if place.column == 0]
        others = [name for name, place in self.paper.places.nodes.items() if place.column > 0]
        weights = self._weights()
        self._bands()
        for name in parameters:
            self._node(name)
        self._marker()
        draw_words(self.sheet, self.graph, self.paper, self.path, self.marked.steps, self.title)
        for name in sorted(others, key=lambda name: weights[name]):
            self._node(name)
        for place in sorted(self.paper.copies, key=lambda place: weights[place]):
            self._copy(place)
        self._numbers()
        self._ties()
        for edge in self.paper.edges:
            self._edge(edge)
        draw_legend(self.sheet, self.graph, self.paper, self.path, self.shares or {})
        return self.sheet.picture

    def _origin(self, edge: EdgeName) -> str | Place:
        """Where the edge's line begins: at a copy of its parameter, or at its tail."""
        return self.paper.places.copies.get(edge, edge[0])

    def _weights(self) -> dict[str | Place, tuple[bool, float]]:
        """How much each node and copy matters: whether the path visits it, then the largest |share| that leaves it."""
        weights: dict[str | Place, tuple[bool, float]] = {name: (name in self.marked.nodes, 0.0) for name in self.graph}
        for edge in self.paper.edges:
            origin, share = self._origin(edge), abs((self.shares or {}).get(edge, 0.0))
            on_path = origin in self.marked.nodes or origin == self.marked.copy
            weights[origin] = max(weights.get(origin, (on_path, 0.0)), (on_path, share))
        return weights

    def _tone(self, on_path: bool) -> str:
        """plain, path or muted"""
        if self.path is None:
            return "plain"
        return "path" if on_path else "muted"

    def _bands(self) -> None:
        """A light band behind every step that the path visits."""
        paper = self.paper
        top, bottom = paper.top + 24, paper.bottom
        for x, time in zip(paper.columns[1:], paper.places.times[1:], strict=True):
            if time in self.marked.steps:
                middle = x + (paper.right - paper.left) / 2
                box = Box(middle, (top + bottom) / 2, paper.left + paper.right + paper.gap - 2, top - bottom, "box")
                self.sheet.shape(box, "band", fillcolor=BAND, color=BAND, penwidth="0")

    def _marker(self) -> None:
        """The path in marker pen: a broad line under its edges, a rim around its nodes."""
        under = {name: self._rim(self._end(name), 10) for name in self.marked.nodes}
        for tail, head, key in self.marked.edges:
            corners = self.paper.edges[tail, head, key]
            self.sheet.line(under[tail], under[head], corners, "marker", color=MARKER, penwidth="11")

    def _end(self, name: str) -> Box:
        """The box at which the path visits a node: for the parameter in which it ends, that of the copy."""
        if self.marked.copy is not None and self.graph.nodes[name]["role"] == "parameter":
            return self.paper.copies[self.marked.copy][1]
        return self.paper.boxes[name]

    def _rim(self, box: Box, by: float) -> str:
        rim = Box(box.x, box.y, box.width + by, box.height + by, box.shape)
        return self.sheet.shape(rim, "marker", fillcolor=MARKER, color=MARKER, penwidth="0")

    def _node(self, name: str) -> None:
        node = self.graph.nodes[name]
        tone = self._tone(name in self.marked.nodes)
        self.ids[name] = self.sheet.shape(
            self.paper.boxes[name],
            f"{node['role']} {tone}",
            shown(node["label"]),
            _about(node),
            **_outline(node["role"], tone),
        )

    def _copy(self, place: Place) -> None:
        name, box = self.paper.copies[place]
        label, step = self.graph.nodes[name]["label"], self.paper.places.times[place.column]
        tone = self._tone(place == self.marked.copy)
        self.ids[place] = self.sheet.shape(
            box,
            f"copy {tone}",
            shown_on_copy(label),
            [f"{label} at step {step}: the same parameter at every step"],
            fontsize=f"{COPY_FONT:g}",
            **_outline("parameter", tone),
        )

    def _numbers(self) -> None:
        """The path's nodes, counted from the loss back, each beside its node."""
        for name, position in self.marked.nodes.items():
            box = self._end(name)
            if box is self.paper.boxes[name]:
                x, y = box.x - 13.5, box.y + box.half_height(13.5) + 3
            else:  # the line from a copy passes above it
                x, y = box.x - box.width / 2 - 1, box.y - box.height / 2 - 1
            width = 13.0 + 4.0 * max(0, len(str(position)) - 2)
            self.sheet.shape(
                Box(x, y, width, 13, "ellipse"),
                "number",
                str(position),
                fillcolor=INK,
                color=PAPER,
                fontcolor=PAPER,
                fontsize="8",
                fontname=BOLD,
            )

    def _ties(self) -> None:
        """Every parameter's rail, dotted from the node through its copies; muted behind the one where the path ends."""
        reached = dict.fromkeys(self.paper.boxes, -np.inf if self.path else np.inf)
        if self.path and self.marked.copy:
            reached[self.path.nodes[-1]] = self.marked.copy.column
        left = {name: box.x + box.width / 2 for name, box in self.paper.boxes.items()}
        for place in sorted(self.paper.copies, key=lambda place: place.column):
            name, box = self.paper.copies[place]
            colour = LOOKS["parameter"].line if place.column <= reached[name] else MUTED
            corners = ((left[name], box.y), (box.x - box.width / 2, box.y))
            self.sheet.line(self.ids[name], self.ids[place], corners, "tie", style="dotted", color=colour)
            left[name] = box.x + box.width / 2

    def _edge(self, edge: EdgeName) -> None:
        tail, head, _ = edge
        origin = self._origin(edge)
        jacobian = self.graph.edges[edge]["jacobian"]
        about = [derivative(head, tail, direct=not jacobian.per_instance), f"norm {number(jacobian.norm())}"]
        tone = self._tone(edge in self.marked.edges)
        if self.shares is None:
            colour, width, style = _line(tone, from_copy=origin != tail)
        else:
            share = self.shares.get(edge, 0.0)
            about.append(f"share {signed(share)}")
            colour = faded(share_colour(share), 0.65 if tone == "muted" and share != 0 else 0.0)
            width, style = share_width(share, self.largest), share_style(share)
        self.sheet.line(
            self.ids[origin],
            self.ids[head],
            self.paper.edges[edge],
            f"edge {tone}",
            arrow=0.5 + 0.07 * width,
            tooltip=about,
            color=colour,
            penwidth=f"{width:.2f}",
            style=style,
        )


def _line(tone: str, from_copy: bool) -> tuple[str, float, str]:
    """Colour, width and style of an edge where shares are not shown."""
    if tone == "path":
        return INK, 2.2, "solid"
    if tone == "muted":
        return MUTED, 0.8, "solid"
    return (LOOKS["parameter"].line, 0.8, "solid") if from_copy else (QUIET, 1.2, "solid")


def _outline(role: str, tone: str) -> dict[str, str]:
    """Attributes of a node's outline, filling and label."""
    look = LOOKS[role]
    style = "filled,dashed" if role == "initial" else "filled"
    if tone == "muted":
        return {"fillcolor": faded(look.fill), "color": MUTED, "fontcolor": FAINT, "penwidth": "0.8", "style": style}
    if tone == "path":
        return {"fillcolor": look.fill, "color": INK, "penwidth": "2", "style": style, "fontname": BOLD}
    return {"fillcolor": look.fill, "color": look.line, "penwidth": "1.2", "style": style}


def _about(node: Mapping[str, Any]) -> list[str]:
    """A node's tooltip: what it is, its shape, its values, rounded and cut."""
    when = "" if node["time"] is None else f", step {node['time']}"
    value = np.asarray(node["value"])
    shown = np.array2string(value, precision=4, threshold=24, edgeitems=3, max_line_width=76).splitlines()
    symbol = [f"symbol {quoted(node['symbol'])}"] if "symbol" in node else []
    shape = f"shape {' × '.join(map(str, value.shape))}" if value.shape else "a number"
    return [f"{node['label']}: {MEANINGS[node['role']]}{when}", *symbol, shape, *shown[:8]]
