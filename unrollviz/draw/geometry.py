"""From a layout to paper: boxes in points (y grows upwards, as in Graphviz) and the curves of the edges.

Edges run like lines on a metro map: straight along a row or a column where nothing is in the way, otherwise
in a lane beside the column (inside a step) or a channel between two columns (from step to step), the corners
rounded. So no edge ever crosses a node that it does not end in, and no search is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from unrollviz.draw.layout import EdgeName, Layout, Place, kind_in, layout
from unrollviz.draw.style import LOOKS, text_width
from unrollviz.graph import Graph
from unrollviz.names import clean

Point = tuple[float, float]

NODE_FONT, COPY_FONT = 14.0, 9.0
MANY_RAILS, DENSE_FONT = 12, 10.5
"""How many parameters there may be until they stand closer together, in smaller letters."""

SQUARES = 16
"""How many values a node has room for, where nodes show them."""

_BUS = 12.0  # distance of the line that gathers a column's copies from the middle of the column
_LANE = 9.0

_Channel = tuple[str, bool, bool]
"""Kind of the tail; whether it leads forwards in time; whether it is the second channel of an edge over several steps.
All edges from one tail share it: they branch off."""


@dataclass(frozen=True, slots=True)
class Box:
    """A shape on paper: its middle, size and outline, a Graphviz shape."""

    x: float
    y: float
    width: float
    height: float
    shape: str

    def half_width(self, dy: float = 0.0) -> float:
        """From the middle line to the outline, `dy` above or below the middle."""
        part = min(1.0, abs(dy) / (self.height / 2))
        if self.shape in ("circle", "ellipse"):
            return self.width / 2 * math.sqrt(1 - part * part)
        return self.width / 2 - (part * self.height / 4 if self.shape == "hexagon" else 0.0)

    def half_height(self, dx: float = 0.0) -> float:
        """From the middle to the upper or lower outline, `dx` beside the middle line."""
        if self.shape in ("circle", "ellipse"):
            return self.height / 2 * math.sqrt(1 - min(1.0, abs(dx) / (self.width / 2)) ** 2)
        return self.height / 2


@dataclass(frozen=True)
class Paper:
    """Where everything is drawn.

    Attributes:
        boxes: node -> box.
        copies: place -> (parameter, box) of the small copy there.
        edges: (tail, head, key) -> the corners of the edge's line, from tail to head.
        columns: x of each column's middle;  rows: y of each row's.
        left, right: how far a column reaches to either side of its middle.
        gap: between two columns.
        top, bottom: of all that belongs to the nodes.
    """

    places: Layout
    boxes: dict[str, Box]
    copies: dict[Place, tuple[str, Box]]
    edges: dict[EdgeName, tuple[Point, ...]]
    columns: tuple[float, ...]
    rows: tuple[float, ...]
    left: float
    right: float
    gap: float
    top: float
    bottom: float


def arrange(graph: Graph, values: bool = False) -> Paper:
    """Put `graph` on paper: column 0's right edge at x = 0, the first row's middle at y = 0. With `values` nodes have
    room for a row of squares."""
    return _Arranger(graph, values).paper()


def shown(label: str) -> str:
    """A node's label as its box has room for it."""
    return clean(label, 24)


def shown_on_copy(label: str) -> str:
    """A parameter's label without its layer, which its rail tells."""
    return shown(label.rpartition(".")[2] or label)


def rounded(corners: Sequence[Point], radius: float = 11.0) -> list[Point]:
    """Control points of cubic curves along the polyline through `corners`, every corner rounded: 3 n + 1 points."""
    curve = [corners[0]]
    last = len(corners) - 2
    for index in range(1, len(corners) - 1):
        before, corner, after = corners[index - 1 : index + 2]
        room_before = math.dist(before, corner) * (1.0 if index == 1 else 0.5)
        room_after = math.dist(corner, after) * (1.0 if index == last else 0.5)
        bend = min(radius, room_before, room_after)
        start, end = _toward(corner, before, bend), _toward(corner, after, bend)
        curve += [
            *_straight(curve[-1], start),
            _toward(corner, before, bend * 0.45),
            _toward(corner, after, bend * 0.45),
        ]
        curve.append(end)
    return curve + _straight(curve[-1], corners[-1])


def shortened(corners: Sequence[Point], length: float) -> tuple[Point, ...]:
    """The polyline without the last `length` points of it, which the arrowhead takes."""
    end = corners[-1]
    room = math.dist(corners[-2], end)
    return (*corners[:-1], _toward(end, corners[-2], min(length, 0.8 * room)))


def inset(corners: Sequence[Point], length: float) -> tuple[Point, ...]:
    """The polyline without `length` points at either end, but for a fifth of the first and the last piece."""
    return shortened(shortened(corners, length)[::-1], length)[::-1]


def _toward(point: Point, aim: Point, distance: float) -> Point:
    whole = math.dist(point, aim) or 1.0
    return (
        point[0] + (aim[0] - point[0]) * distance / whole,
        point[1] + (aim[1] - point[1]) * distance / whole,
    )


def _straight(start: Point, end: Point) -> list[Point]:
    """The three further control points of a straight line."""
    third = math.dist(start, end) / 3
    return [_toward(start, end, third), _toward(start, end, 2 * third), end]


class _Arranger:
    """Works out a Paper. Sizes first, then coordinates, then the edges."""

    def __init__(self, graph: Graph, values: bool) -> None:
        self.graph = graph
        self.places = layout(graph)
        self.dense = sum(row.rail is not None for row in self.places.rows) > MANY_RAILS
        self.sizes = {name: _size(graph.nodes[name], values, self.dense) for name in self.places.nodes}
        self.occupied = {(place.column, place.row) for place in self.places.nodes.values()}
        timed = [name for name, place in self.places.nodes.items() if place.column > 0]
        self.half = max((self.sizes[name][0] / 2 for name in timed), default=20.0)
        self.lanes, self.channels = self._lanes(), self._channels()
        labels = {name: shown_on_copy(graph.nodes[name]["label"]) for name, _, _ in self.places.copies}
        self.copy_widths = {name: text_width(label, COPY_FONT, bold=True) + 12 for name, label in labels.items()}
        widest = max(self.copy_widths.values(), default=0.0)
        self.copy_middle = -(self.half + 12 + widest / 2)
        self.left = self.half + 12 + widest if widest else self.half + 8
        self.right = self.half + 8 + _LANE * max(self.lanes.values(), default=0)
        self.gap = max(26.0, 12.0 + 9.0 * (1 + len(self.channels)))

    def paper(self) -> Paper:
        self.columns, self.rows = self._columns(), self._rows()
        self.boxes = {
            name: Box(
                -self.sizes[name][0] / 2 if place.column == 0 else self.columns[place.column],
                self.rows[place.row],
                *self.sizes[name],
                _shape(self.graph.nodes[name], self.sizes[name]),
            )
            for name, place in self.places.nodes.items()
        }
        self.copies = {place: (name, self._copy_box(name, place)) for (name, _, _), place in self.places.copies.items()}
        edges = {edge: self._route(*edge) for edge in self.graph.edges(keys=True)}
        symbols = {self.graph.nodes[name]["role"] for name in self.boxes if "symbol" in self.graph.nodes[name]}
        return Paper(
            self.places,
            self.boxes,
            self.copies,
            edges,
            self.columns,
            self.rows,
            self.left,
            self.right,
            self.gap,
            top=self.rows[0] + (50 if "loss" in symbols else 28),
            bottom=self.rows[-1] - (46 if "input" in symbols else 28),
        )

    def _copy_box(self, name: str, place: Place) -> Box:
        x, y = self.columns[place.column] + self.copy_middle, self.rows[place.row]
        return Box(x, y, self.copy_widths[name], 15.0, LOOKS["parameter"].shape)

    def _columns(self) -> tuple[float, ...]:
        """x of every column's middle."""
        pitch = self.left + self.right + self.gap
        return (0.0, *(self.gap + self.left + pitch * index for index in range(len(self.places.times) - 1)))

    def _rows(self) -> tuple[float, ...]:
        """y of every row's middle: a row of nodes is as high as its highest node and an arrow, a rail is low."""
        rail = 18.0 if self.dense else 25.0
        heights = [rail if row.rail else 46.0 for row in self.places.rows]
        for name, place in self.places.nodes.items():
            if place.column > 0:
                heights[place.row] = max(heights[place.row], self.sizes[name][1] + 22)
        middles = [0.0]
        for above, below in pairwise(heights):
            middles.append(middles[-1] - (above + below) / 2)
        return tuple(middles)

    def _lanes(self) -> dict[str, int]:
        """Kind of tail -> its lane (1 is next to the column), where edges go past nodes of their own step. All those
        from one tail share a lane: they branch off."""
        spans: dict[str, tuple[int, int]] = {}
        for tail, start, end in self._edges_between_nodes():
            if start.column == end.column and self._blocked(start.column, start.row, end.row):
                low, high = spans.get(kind_in(self.graph, tail), (start.row, start.row))
                spans[kind_in(self.graph, tail)] = (min(low, end.row), max(high, end.row))
        lanes: dict[str, int] = {}
        for kind, (low, high) in sorted(spans.items(), key=lambda item: item[1][1] - item[1][0]):
            taken = {lanes[k] for k, (a, b) in spans.items() if k in lanes and a <= high and low <= b}
            lanes[kind] = next(lane for lane in range(1, len(spans) + 1) if lane not in taken)
        return lanes

    def _channels(self) -> dict[_Channel, int]:
        """The channels that edges to other steps need between two columns, numbered from the left."""
        channels: dict[_Channel, int] = {}
        for tail, start, end in self._edges_between_nodes():
            far = abs(start.column - end.column) > 1
            if far or (start.column != end.column and start.row != end.row):
                for arriving in (False, True)[: 1 + far]:
                    channels.setdefault((kind_in(self.graph, tail), end.column > start.column, arriving), len(channels))
        return channels

    def _edges_between_nodes(self) -> Iterator[tuple[str, Place, Place]]:
        """Tail and both places of every edge that does not start at a parameter."""
        for tail, head in self.graph.edges():
            if self.graph.nodes[tail]["role"] != "parameter":
                yield tail, self.places.nodes[tail], self.places.nodes[head]

    def _blocked(self, column: int, row: int, other: int) -> bool:
        """Whether a node stands between two rows of a column."""
        return any((column, between) in self.occupied for between in range(min(row, other) + 1, max(row, other)))

    def _route(self, tail: str, head: str, key: int) -> tuple[Point, ...]:
        end, box = self.places.nodes[head], self.boxes[head]
        if (tail, head, key) in self.places.copies:
            start = self.places.copies[tail, head, key]
            return self._from_copy(self.copies[start][1], box, self._blocked(end.column, start.row, end.row))
        keys = list(self.graph[tail][head])
        beside = 8.0 * (keys.index(key) - (len(keys) - 1) / 2)  # parallel edges run side by side
        start, tail_box = self.places.nodes[tail], self.boxes[tail]
        if start.column != end.column:
            return self._between_steps(start, end, tail_box, box, kind_in(self.graph, tail), beside)
        up = 1.0 if tail_box.y < box.y else -1.0
        if not self._blocked(start.column, start.row, end.row):
            x = box.x + beside
            return (x, tail_box.y + up * tail_box.half_height(beside)), (x, box.y - up * box.half_height(beside))
        lane = box.x + self.half + 4 + _LANE * (self.lanes[kind_in(self.graph, tail)] - 0.5) + beside / 4
        leave, arrive = tail_box.y + up * tail_box.height / 4, box.y - up * box.height / 4 + beside / 2
        return (
            (tail_box.x + tail_box.half_width(leave - tail_box.y), leave),
            (lane, leave),
            (lane, arrive),
            (box.x + box.half_width(arrive - box.y), arrive),
        )

    def _from_copy(self, copy: Box, head: Box, blocked: bool) -> tuple[Point, ...]:
        """Up the bus into the head from below; past nodes in between, beside the column and in from the left."""
        start = (copy.x + copy.width / 2, copy.y)
        up = 1.0 if copy.y < head.y else -1.0
        if not blocked:
            x = head.x - _BUS
            return start, (x, copy.y), (x, head.y - up * head.half_height(_BUS))
        x, y = head.x - self.half - 6, head.y - up * head.height / 4
        return start, (x, copy.y), (x, y), (head.x - head.half_width(y - head.y), y)

    def _between_steps(
        self, start: Place, end: Place, tail: Box, head: Box, kind: str, beside: float
    ) -> tuple[Point, ...]:
        forward = 1.0 if end.column > start.column else -1.0
        level, near = start.row == end.row, abs(end.column - start.column) == 1
        turn = 0.0 if level else math.copysign(1.0, head.y - tail.y)
        leave = tail.y + (0.0 if level else tail.height / 4) + beside  # above where lines of its own step arrive
        arrive = head.y - turn * head.height / 5 + beside
        first = (tail.x + forward * tail.half_width(leave - tail.y), leave)
        last = (head.x - forward * head.half_width(arrive - head.y), arrive)
        if level and near:
            return first, last
        after = self._channel(start.column, (kind, forward > 0, False))
        if near:
            return first, (after, leave), (after, arrive), last
        before = self._channel(end.column, (kind, forward > 0, True))
        corridor = head.y + (head.height / 2 + 6) * (-1.0 if turn > 0 else 1.0)
        return first, (after, leave), (after, corridor), (before, corridor), (before, arrive), last

    def _channel(self, column: int, channel: _Channel) -> float:
        """x of a channel beside a column, on the side on which an edge in its direction leaves or arrives."""
        part = self.gap * (1 + self.channels[channel]) / (1 + len(self.channels))
        _, forward, arriving = channel
        x = self.columns[column]
        return x + self.right + part if forward != arriving else x - self.left - self.gap + part


def _size(node: dict[str, object], values: bool, dense: bool) -> tuple[float, float]:
    """Width and height of a node in points."""
    role = str(node["role"])
    text = text_width(shown(str(node["label"])), NODE_FONT, bold=True)
    if role == "fold":
        return 24.0, 16.0
    if role == "parameter":
        return (max(30.0, text * DENSE_FONT / NODE_FONT + 16), 16.0) if dense else (max(34.0, text + 18), 22.0)
    if values:
        squares = 0 if role == "loss" else min(SQUARES, np.asarray(node["value"]).size)
        return max(46.0, text + 14, 4.5 * squares + 16), 44.0
    if role in ("state", "initial"):
        return max(38.0, text + 10), 38.0
    if role in ("hidden", "logits"):
        return max(40.0, text + 12), 26.0
    return max(38.0, text + (14 if role == "output" else 10)), 28.0


def _shape(node: dict[str, object], size: tuple[float, float]) -> str:
    """The shape of the node's role; a circle that must be wider than high is an ellipse."""
    if node["role"] == "fold":
        return "box"
    shape = LOOKS[str(node["role"])].shape
    return "ellipse" if shape == "circle" and size[0] > size[1] else shape
