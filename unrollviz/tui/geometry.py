"""How the layout's columns and rows become character cells, and which place a cell belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len

from unrollviz.draw.layout import Place
from unrollviz.draw.style import MEANINGS
from unrollviz.names import clean
from unrollviz.tui.scene import Scene

MARK = 3
"""Cells from a column's left edge to its mark, at the narrowest: the gap, a line, a bracket."""

NARROWEST = 7
WIDEST = 24
TALLEST = 3


@dataclass(frozen=True)
class Geometry:
    """The grid in cells: a gutter that stays (row labels and parameters), then columns of equal width.

    Attributes:
        labels: row -> what stands at its left end.
        gutter: cells taken by the gutter.
        width, height: of one column and one row.
        mark: cells from a column's left edge to its mark.
        columns: how many, not counting the parameters, which stand in the gutter.
        rows: how many.
    """

    labels: tuple[str, ...]
    gutter: int
    width: int
    height: int
    mark: int
    columns: int
    rows: int

    @property
    def virtual_width(self) -> int:
        return self.gutter + self.columns * self.width

    @property
    def virtual_height(self) -> int:
        """With the line of step numbers."""
        return 1 + self.rows * self.height - (self.height - 1)

    def left(self, column: int) -> int:
        """Where a layout column ≥ 1 begins, in cells from the gutter."""
        return (column - 1) * self.width

    def visible(self, scrolled: int, width: int) -> range:
        """The layout's columns of which something is seen in a widget of this width."""
        first = 1 + scrolled // self.width
        last = 1 + (scrolled + max(width - self.gutter, 1) - 1) // self.width
        return range(first, min(last, self.columns) + 1)

    def place_at(self, x: int, y: int) -> Place:
        """The column and row of a cell: x from the gutter, y from the first row; x < 0 is the gutter."""
        column = 0 if x < 0 else 1 + x // self.width
        return Place(min(column, self.columns), min(max(y, 0) // self.height, self.rows - 1))


def geometry(scene: Scene, width: int, height: int) -> Geometry:
    """The grid fitted into a widget of this size: spread out where there is room, else to be scrolled."""
    where, graph = scene.layout, scene.timeline.graph
    columns, rows = len(where.times) - 1, len(where.rows)
    labels = tuple(clean(row.label, 24) for row in where.rows)
    if width >= 100:
        roles = {place.row: graph.nodes[name]["role"] for name, place in where.nodes.items()}
        names = [MEANINGS[roles[row]] for row in range(rows)]
        longest = max(map(cell_len, labels))
        labels = tuple(
            label if where.rows[row].rail else f"{label}{' ' * (longest + 1 - cell_len(label))}{names[row]}"
            for row, label in enumerate(labels)
        )
    gutter = max(map(cell_len, labels)) + 8
    narrowest = NARROWEST + scene.symbols
    each = min(max((width - gutter) // max(columns, 1), narrowest), WIDEST + scene.symbols)
    tall = min(max((height - 2) // max(rows - 1, 1), 1), TALLEST)
    return Geometry(labels, gutter, each, tall, MARK + (each - narrowest) // 2, columns, rows)
