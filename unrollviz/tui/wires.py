"""The lines between nodes in the grid, as which of its four sides each character cell is joined to.

Every column has two places a line can turn: the mark itself, and the gap to the left of its column, where
edges from another step go up or down. The same routes draw the network in light lines, the selected path in
heavy ones and the current event in double ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from unrollviz.adjacency import arguments
from unrollviz.draw.layout import EdgeName, Layout
from unrollviz.graph import Graph

KEPT = 4_096
"""Columns whose lines are kept once they have been worked out."""

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8

LIGHT = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"
HEAVY = " ╹╻┃╸┛┓┫╺┗┏┣━┻┳╋"
DOUBLE = " ║║║═╝╗╣═╚╔╠═╩╦╬"
"""The box character for each sum of sides."""

Joint = tuple[bool, int, int, int]
"""(is it in the gap?, row, column, sides)"""
Joints = dict[tuple[bool, int, int], int]
"""(is it in the gap?, row, column) -> sides"""


def route(layout: Layout, edge: EdgeName) -> Iterator[Joint]:
    """The joints of the line from an edge's tail to its head; from the copy where the tail is a parameter."""
    tail, head, _ = edge
    start, end = layout.copies.get(edge, layout.nodes.get(tail)), layout.nodes.get(head)
    if start is None or end is None:
        return
    if start.column == end.column:
        yield from _vertical(False, start.column, start.row, end.row)
        return
    left, right = sorted((start, end), key=lambda place: place.column)
    yield False, left.row, left.column, RIGHT
    for column in range(left.column + 1, right.column):
        yield True, left.row, column, LEFT | RIGHT
        yield False, left.row, column, LEFT | RIGHT
    yield True, left.row, right.column, LEFT
    yield from _vertical(True, right.column, left.row, right.row)
    yield True, right.row, right.column, RIGHT
    yield False, right.row, right.column, LEFT


def _vertical(gap: bool, column: int, start: int, end: int) -> Iterator[Joint]:
    top, bottom = min(start, end), max(start, end)
    for row in range(top, bottom + 1):
        sides = (UP if row > top else 0) | (DOWN if row < bottom else 0)
        if sides:
            yield gap, row, column, sides


class Wires:
    """Every edge of a graph and every parameter's rail as far as its last copy, worked out column by column as they
    are looked at: `marks(column)` and `gaps(column)` hold the sides joined in each row."""

    def __init__(self, layout: Layout, graph: Graph) -> None:
        self._layout, self._graph = layout, graph
        self._rails = _rails(layout)
        self._columns: list[list[str]] = [[] for _ in layout.times]
        for name, place in layout.nodes.items():
            self._columns[place.column].append(name)
        column = {name: place.column for name, place in layout.nodes.items() if place.column}
        self._long: list[tuple[int, int, EdgeName]] = []
        for head, tails in arguments(graph).items():
            end = column.get(head, 0)
            for tail in tails:  # a parameter's copy, at its consumer's step, stands below its head
                start = column.get(tail, end)
                if not -1 <= start - end <= 1:
                    self._long += [(min(start, end), max(start, end), (tail, head, key)) for key in tails[tail]]
        self._known: dict[int, tuple[bytearray, bytearray]] = {}

    def marks(self, column: int) -> bytearray:
        """The sides joined at the marks of a column, by row."""
        return self._at(column)[0]

    def gaps(self, column: int) -> bytearray:
        """The sides joined in the gap to the left of a column, by row."""
        return self._at(column)[1]

    def _at(self, column: int) -> tuple[bytearray, bytearray]:
        found = self._known.get(column)
        if found is None:
            if len(self._known) >= KEPT:
                self._known.clear()
            found = self._known[column] = self._worked_out(column)
        return found

    def _worked_out(self, column: int) -> tuple[bytearray, bytearray]:
        marks, gaps = bytearray(len(self._layout.rows)), bytearray(len(self._layout.rows))
        for edge in self._edges(column):
            for gap, row, at, sides in route(self._layout, edge):
                if at == column:
                    (gaps if gap else marks)[row] |= sides
        for row, last in self._rails.items():
            if 1 <= column <= last:
                gaps[row] |= LEFT | RIGHT
                marks[row] |= LEFT | (RIGHT if column < last else 0)
        return marks, gaps

    def _edges(self, column: int) -> Iterator[EdgeName]:
        """The edges that have an end in a column, or pass it."""
        yield from (edge for first, last, edge in self._long if first <= column <= last)
        if column:  # a parameter's edges begin at its copies
            for node in self._columns[column]:
                yield from self._graph.in_edges(node, keys=True)
                yield from self._graph.out_edges(node, keys=True)


def _rails(layout: Layout) -> dict[int, int]:
    """Row of each rail -> the column of its last copy."""
    last: dict[int, int] = {}
    for place in layout.copies.values():
        last[place.row] = max(last.get(place.row, 0), place.column)
    return last


def sparse(layout: Layout, edges: Iterable[EdgeName]) -> Joints:
    """The joints of a few edges."""
    found: Joints = {}
    for edge in edges:
        for gap, row, column, sides in route(layout, edge):
            found[gap, row, column] = found.get((gap, row, column), 0) | sides
    return found
