"""The lines between nodes in the grid, as which of its four sides each character cell is joined to.

Every column has two places a line can turn: the mark itself, and the gap to the left of its column, where
edges from another step go up or down. The same routes draw the network in light lines, the selected path in
heavy ones and the current event in double ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from unrollviz.draw.layout import EdgeName, Layout

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8

LIGHT = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"
HEAVY = " ╹╻┃╸┛┓┫╺┗┏┣━┻┳╋"
DOUBLE = " ║║║═╝╗╣═╚╔╠═╩╦╬"
"""The box character for each sum of sides."""

Joint = tuple[bool, int, int, int]
"""(is it in the gap?, row, column, sides)"""
Joints = dict[tuple[bool, int, int], int]
"""(is it in the gap?, row, column) -> sides"""


@dataclass(frozen=True)
class Wires:
    """Sides joined at the mark and in the gap of every (row, column); the columns are the layout's."""

    marks: tuple[bytearray, ...]
    gaps: tuple[bytearray, ...]


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


def all_wires(layout: Layout, edges: Iterable[EdgeName]) -> Wires:
    """Every edge of the graph, and every parameter's rail as far as its last copy."""
    width, height = len(layout.times), len(layout.rows)
    wires = Wires(
        tuple(bytearray(width) for _ in range(height)),
        tuple(bytearray(width) for _ in range(height)),
    )
    for edge in edges:
        for gap, row, column, sides in route(layout, edge):
            (wires.gaps if gap else wires.marks)[row][column] |= sides
    for row, last in _rails(layout).items():
        for column in range(1, last + 1):
            wires.gaps[row][column] |= LEFT | RIGHT
            wires.marks[row][column] |= LEFT | (RIGHT if column < last else 0)
    return wires


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
