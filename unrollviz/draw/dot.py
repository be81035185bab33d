"""The unrolled graph as a picture: what is drawn where, every position given.

A parameter is one node at the left, tied by a dotted rail to a small copy at each step that uses it. A highlighted
path is drawn as with a marker pen, its nodes numbered from the loss back; of a highlighted group every edge is as
thick as the share that passes it; all the rest is muted. Steps that are folded are one box, through which edges go.

Classes in SVG and DOT are `KIND TONE`. KIND is a role of `graph.ROLES` for a node, `copy` for the copy of a parameter,
`fold` for what is seen of a folded span, `edge`, `tie` (a rail), `band`, `marker`, `number`, `span`, `value`, or a
text: `heading`, `symbol`, `caption`, `legend`. TONE is plain, path (highlighted) or muted. Ids are n1, n2, … in the
order of drawing; `Drawing.ids` and `Drawing.lines` say which node and edge they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import graphviz
import numpy as np

from unrollviz.arrays import beat
from unrollviz.draw.colouring import Paint, gathered
from unrollviz.draw.geometry import COPY_FONT, DENSE_FONT, NODE_FONT, Box, Point, arrange, inset, shown, shown_on_copy
from unrollviz.draw.inside import about, lines_inside, scales, squares
from unrollviz.draw.layout import EdgeName, Place
from unrollviz.draw.legend import draw_legend, draw_words, signed
from unrollviz.draw.marked import Marked as Marked
from unrollviz.draw.marked import mark as mark
from unrollviz.draw.scene import Scene
from unrollviz.draw.sheet import BOLD, Sheet
from unrollviz.draw.span import Folded
from unrollviz.draw.style import Theme, share_style, share_width
from unrollviz.draw.text import number
from unrollviz.graph import Graph, edge_norm
from unrollviz.names import derivative
from unrollviz.paths.pathset import Path

_CLEAR = 3.5
"""Points between a node and the marker pen's line to it: lines lie above nodes, and an outline is not to be cut."""


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
    paint = Paint("share", edges=shares, signed=True) if shares else None
    return Drawing(Scene(graph, Folded(graph, {}, {}, {}), highlight, paint=paint, title=title)).sheet.picture


class Drawing:
    """One picture, drawn from the back to the front.

    Attributes:
        sheet: what is drawn.
        ids: node, or place of a copy -> id of its shape.
        lines: edge as it is drawn -> index of its line in `sheet.lines`.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene, self.graph, self.path = scene, scene.graph, scene.path
        self.theme: Theme = scene.theme
        self.paper = arrange(self.graph, scene.values)
        self.marked = mark(scene, self.paper)
        self.paint = scene.paint
        if self.paint is None and scene.group is not None:
            defined = {edge: share for edge, share in scene.group.edges.items() if share == share}
            self.paint = Paint("share", edges=defined, signed=True) if any(defined.values()) else None
        self.amounts = self._amounts()
        self.largest = max((abs(amount) for amount in self.amounts.values()), default=0.0)
        self.sheet = Sheet(self.theme)
        self.ids: dict[str | Place, str] = {}
        self.lines: dict[EdgeName, int] = {}
        self._draw()

    def _draw(self) -> None:
        """Shapes are drawn in the order in which they are added, and lines in that of their tails, then of their
        heads: so what matters most is added last, to lie on top."""
        parameters = [name for name, place in self.paper.places.nodes.items() if place.column == 0]
        others = [name for name, place in self.paper.places.nodes.items() if place.column > 0]
        weights = self._weights()
        self._bands()
        self._spans()
        for name in parameters:
            self._node(name)
        self._marker()
        draw_words(self.sheet, self.scene, self.paper, self.marked.steps)
        for name in sorted(others, key=lambda name: weights[name]):
            self._node(name)
        for place in sorted(self.paper.copies, key=lambda place: weights[place]):
            self._copy(place)
        if self.scene.values:
            self._values()
        self._numbers()
        self._ties()
        for edge in self.paper.edges:
            beat()
            self._edge(edge)
        draw_legend(self.sheet, self.scene, self.paper, self.paint, self.largest)

    def _amounts(self) -> dict[EdgeName, float]:
        """What the paint says of every edge as it is drawn."""
        if self.paint is None:
            return {}
        merged = self.scene.folded.merged
        found = {
            edge: gathered(self.paint.edges, merged.get(edge, (edge,)), self.paint.signed)
            for edge in self.graph.edges(keys=True)
        }
        return {edge: amount for edge, amount in found.items() if amount is not None}

    def _origin(self, edge: EdgeName) -> str | Place:
        """Where the edge's line begins: at a copy of its parameter, or at its tail."""
        return self.paper.places.copies.get(edge, edge[0])

    def _weights(self) -> dict[str | Place, tuple[bool, float]]:
        """How much each node and copy matters: whether it is highlighted, then the largest amount that leaves it."""
        weights: dict[str | Place, tuple[bool, float]] = {name: (name in self.marked.nodes, 0.0) for name in self.graph}
        for edge in self.paper.edges:
            origin, amount = self._origin(edge), abs(self.amounts.get(edge, 0.0))
            on_path = origin in self.marked.nodes or origin in self.marked.copies
            weights[origin] = max(weights.get(origin, (on_path, 0.0)), (on_path, amount))
        return weights

    def _tone(self, on_path: bool) -> str:
        """plain, path or muted"""
        if not self.scene.highlights:
            return "plain"
        return "path" if on_path else "muted"

    def _column(self, x: float, room: float) -> Box:
        """A box behind a whole column, its heading included."""
        paper = self.paper
        top, bottom = paper.top + 24, paper.bottom
        middle = x + (paper.right - paper.left) / 2
        return Box(middle, (top + bottom) / 2, paper.left + paper.right + paper.gap - room, top - bottom, "box")

    def _bands(self) -> None:
        """A light band behind every step that the path visits."""
        for x, time in zip(self.paper.columns[1:], self.paper.places.times[1:], strict=True):
            if self.path and time in self.marked.steps and time not in self.scene.folded.spans:
                band = self.theme.band
                self.sheet.shape(self._column(x, 2), "band", fillcolor=band, color=band, penwidth="0")

    def _spans(self) -> None:
        """A box for every folded span, and what it holds in words."""
        theme = self.theme
        for x, time in zip(self.paper.columns[1:], self.paper.places.times[1:], strict=True):
            span = None if time is None else self.scene.folded.spans.get(time)
            if span is None or time is None:
                continue
            visited = self.path is not None and not self.marked.steps.isdisjoint(span.times)
            fill = theme.band if visited else theme.steps
            box = self._column(x, 10)
            tip = [f"steps {span.first} to {span.last} are folded; every figure counts them"]
            look = {"fillcolor": fill, "color": theme.frame, "penwidth": "0.9", "style": "filled,rounded,dashed"}
            self.sheet.shape(box, "span", "", tip, **look)
            words = self.scene.spans.get(time, ())
            if words:
                high = 13.0 * len(words)
                place = Box(box.x, self.paper.rows[0] + 14 - high / 2, box.width - 8, high, "box")
                look = {"fontsize": "10", "fontcolor": theme.ink if visited else theme.quiet}
                self.sheet.text(place, "span", words, "n", **look)

    def _marker(self) -> None:
        """The path in marker pen: a broad line under its edges, a rim around its nodes."""
        if self.path is None:
            return
        ends = dict.fromkeys(name for tail, head, _ in self.marked.edges for name in (head, tail))
        under = {name: self._rim(self._end(name), 10) for name in [*self.marked.nodes, *ends]}
        for tail, head, key in self.marked.edges:
            corners = inset(self.paper.edges[tail, head, key], _CLEAR)
            self.sheet.line(under[tail], under[head], corners, "marker", color=self.theme.marker, penwidth="11")

    def _end(self, name: str) -> Box:
        """The box at which the path visits a node: for the parameter in which it ends, that of the copy."""
        if self.marked.copies and self.graph.nodes[name]["role"] == "parameter":
            return self.paper.copies[next(iter(self.marked.copies))][1]
        return self.paper.boxes[name]

    def _rim(self, box: Box, by: float) -> str:
        rim = Box(box.x, box.y, box.width + by, box.height + by, box.shape)
        pen = self.theme.marker
        return self.sheet.shape(rim, "marker", fillcolor=pen, color=pen, penwidth="0")

    def _node(self, name: str) -> None:
        node = self.graph.nodes[name]
        tone = self._tone(name in self.marked.nodes)
        if node["role"] == "fold":
            look = {"fontcolor": self.theme.quiet, "fillcolor": "none", "color": "none", "penwidth": "0"}
            self.ids[name] = self.sheet.shape(self.paper.boxes[name], f"fold {tone}", node["label"], **look)
            return
        look = outline(self.theme, node["role"], tone)
        tip = about(node)
        if self.paint is not None and name in self.paint.nodes:
            amount = self.paint.nodes[name]
            fill = self.paint.colour(amount, self.theme)
            fill = self.theme.faded(fill, 0.5) if tone == "muted" else fill
            look |= {"fillcolor": fill, "fontcolor": self.theme.legible(fill)}
            tip.append(f"{self.paint.what} {number(amount)}")
        if node["role"] == "parameter" and self.paper.boxes[name].height < NODE_FONT + 4:
            look["fontsize"] = f"{DENSE_FONT:g}"
        label = lines_inside(node) if self.scene.values else (shown(node["label"]),)
        self.ids[name] = self.sheet.shape(self.paper.boxes[name], f"{node['role']} {tone}", label, tip, **look)

    def _copy(self, place: Place) -> None:
        name, box = self.paper.copies[place]
        label, step = self.graph.nodes[name]["label"], self.paper.places.times[place.column]
        tone = self._tone(place in self.marked.copies)
        self.ids[place] = self.sheet.shape(
            box,
            f"copy {tone}",
            shown_on_copy(label),
            [f"{label} at step {step}: the same parameter at every step"],
            fontsize=f"{COPY_FONT:g}",
            **outline(self.theme, "parameter", tone),
        )

    def _values(self) -> None:
        """A row of squares in every node: the values of its first units, by hue and depth."""
        largest = scales(self.graph)
        for name, box in self.paper.boxes.items():
            node = self.graph.nodes[name]
            muted = self._tone(name in self.marked.nodes) == "muted"
            for square, part in squares(node, box, largest.get(node["role"], 1.0)):
                colour = self.theme.diverging(part)
                frame = self.theme.faint if not muted else self.theme.muted
                colour = self.theme.faded(colour, 0.5) if muted else colour
                self.sheet.shape(square, "value", "", fillcolor=colour, color=frame, penwidth="0.3")

    def _numbers(self) -> None:
        """The path's nodes, counted from the loss back, each beside its node."""
        for name, position in self.marked.nodes.items() if self.path else ():
            box = self._end(name)
            if box is self.paper.boxes[name]:
                aside = min(13.5, box.width / 2)
                x, y = box.x - aside, box.y + box.half_height(aside) + 3
            else:  # the line from a copy passes above it
                x, y = box.x - box.width / 2 - 1, box.y - box.height / 2 - 1
            further = 5.5 * (len(str(position)) - 1)  # to the left, where no label is
            self.sheet.shape(
                Box(x - further / 2, y, 13 + further, 13, "ellipse"),
                "number",
                str(position),
                fillcolor=self.theme.ink,
                color=self.theme.paper,
                fontcolor=self.theme.paper,
                fontsize="8",
                fontname=BOLD,
            )

    def _ties(self) -> None:
        """Every parameter's rail, dotted from the node through its copies, but not through folded steps; muted behind
        the last copy that is highlighted."""
        reached = dict.fromkeys(self.paper.boxes, -np.inf if self.scene.highlights else np.inf)
        for place in self.marked.copies:
            name = self.paper.copies[place][0]
            reached[name] = max(reached[name], place.column)
        boxes = [
            self._column(x, 10)
            for x, time in zip(self.paper.columns[1:], self.paper.places.times[1:], strict=True)
            if time in self.scene.folded.spans
        ]
        left = {name: box.x + box.width / 2 for name, box in self.paper.boxes.items()}
        for place in sorted(self.paper.copies, key=lambda place: place.column):
            name, box = self.paper.copies[place]
            colour = self.theme.looks["parameter"].line if place.column <= reached[name] else self.theme.muted
            x, end = left[name], box.x - box.width / 2
            for span in boxes:
                if x < span.x < end:
                    side = span.width / 2
                    self._tie(name, place, (x, box.y), (span.x - side, box.y), colour)
                    x = span.x + side
            self._tie(name, place, (x, box.y), (end, box.y), colour)
            left[name] = box.x + box.width / 2

    def _tie(self, name: str, end: Place, start: Point, stop: Point, colour: str) -> None:
        """A piece of a rail. Its tail is the parameter, whose lines lie below all others."""
        self.sheet.line(self.ids[name], self.ids[end], (start, stop), "tie", style="dotted", color=colour)

    def _edge(self, edge: EdgeName) -> None:
        tail, head, _ = edge
        origin = self._origin(edge)
        merged = self.scene.folded.merged.get(edge)
        if merged is None:
            jacobian = self.graph.edges[edge]["jacobian"]
            said = [
                derivative(head, tail, direct=not jacobian.per_instance),
                f"norm {number(edge_norm(self.scene.whole, edge))}",
            ]
        else:
            said = [derivative(merged[0][1], merged[0][0]), *([f"and {len(merged) - 1} more"] if merged[1:] else [])]
        tone = self._tone(edge in self.marked.edges)
        colour, width, style = _line(self.theme, tone, from_copy=origin != tail)
        amount = self.amounts.get(edge)
        if self.paint is not None and self.paint.signed:
            share = amount or 0.0
            said.append(f"share {signed(share)}")
            if self.scene.group is None or tone == "path" or self.scene.paint is not None:
                colour = self.theme.faded(self.theme.share_colour(share), 0.65 if tone == "muted" and share else 0.0)
                width, style = share_width(share, self.largest), share_style(share)
        elif self.paint is not None and amount is not None:
            said.append(f"{self.paint.what} {number(amount)}")
            colour = self.paint.colour(amount, self.theme)
            colour, width = (self.theme.faded(colour, 0.6), 1.0) if tone == "muted" else (colour, 2.4)
        elif self.paint is not None and self.paint.edges and tone == "plain":
            colour, width = self.theme.muted, 0.6
        self.lines[edge] = len(self.sheet.lines)
        self.sheet.line(
            self.ids[origin],
            self.ids[head],
            self.paper.edges[edge],
            f"edge {tone}",
            arrow=0.5 + 0.07 * width,
            tooltip=said,
            color=colour,
            penwidth=f"{width:.2f}",
            style=style,
        )


def _line(theme: Theme, tone: str, from_copy: bool) -> tuple[str, float, str]:
    """Colour, width and style of an edge where colours say nothing else."""
    if tone == "path":
        return theme.ink, 2.2, "solid"
    if tone == "muted":
        return theme.muted, 0.8, "solid"
    return (theme.looks["parameter"].line, 0.8, "solid") if from_copy else (theme.quiet, 1.2, "solid")


def outline(theme: Theme, role: str, tone: str) -> dict[str, str]:
    """Attributes of a node's outline, filling and label."""
    look = theme.looks[role]
    style = "filled,dashed" if role == "initial" else "filled"
    if tone == "muted":
        fill = theme.faded(look.fill)
        return {"fillcolor": fill, "color": theme.muted, "fontcolor": theme.faint, "penwidth": "0.8", "style": style}
    if tone == "path":
        return {"fillcolor": look.fill, "color": theme.ink, "penwidth": "2", "style": style, "fontname": BOLD}
    return {"fillcolor": look.fill, "color": look.line, "penwidth": "1.2", "style": style}
