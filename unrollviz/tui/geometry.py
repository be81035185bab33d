"""How the layout's columns and rows become character cells, and which place a cell belongs to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from rich.cells import cell_len

from unrollviz.draw.layout import Place
from unrollviz.draw.style import MEANINGS
from unrollviz.names import clean
from unrollviz.tui.scene import Scene
from unrollviz.tui.spans import Span, whole

MARK = 3
"""Cells from a column's left edge to its mark, at the narrowest: the gap, a line, a bracket."""

NARROWEST = 7
WIDEST = 24
TALLEST = 3


FOLD = 17
"""Cells of a folded span: its words and a blank on either side."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A column that is seen, or a folded span: from layout column `first` to `last`; `left` is where it begins, in
    cells from the gutter."""

    first: int
    last: int
    left: int
    folded: bool


@dataclass(frozen=True)
class Geometry:
    """The grid in cells: a gutter that stays (row labels and parameters), then columns of equal width and folds.

    Attributes:
        labels: row -> what stands at its left end.
        gutter: cells taken by the gutter.
        width, height: of one column and one row.
        mark: cells from a column's left edge to its mark.
        rows: how many.
        spans: the columns, not counting the parameters, which stand in the gutter.
        lefts: where each span begins, in cells from the gutter; at the end, where they all end.
    """

    labels: tuple[str, ...]
    gutter: int
    width: int
    height: int
    mark: int
    rows: int
    spans: tuple[Span, ...]
    lefts: tuple[int, ...]

    @property
    def virtual_width(self) -> int:
        return self.gutter + self.lefts[-1]

    @property
    def virtual_height(self) -> int:
        """With the line of step numbers."""
        return 1 + self.rows * self.height - (self.height - 1)

    def piece(self, x: int) -> Piece:
        """The column or fold at `x` cells from the gutter, the nearest where there is none."""
        index = min(max(bisect_right(self.lefts, x) - 1, 0), len(self.spans) - 1)
        span, left = self.spans[index], self.lefts[index]
        if span.folded:
            return Piece(span.first, span.last, left, True)
        by = min(max((x - left) // self.width, 0), span.columns - 1)
        return Piece(span.first + by, span.first + by, left + by * self.width, False)

    def size(self, piece: Piece) -> int:
        """The cells that a piece takes."""
        return FOLD if piece.folded else self.width

    def left(self, column: int) -> int:
        """Where a layout column ≥ 1, or the fold that it is in, begins, in cells from the gutter."""
        index = bisect_right(self.spans, column, key=lambda span: span.first) - 1
        span = self.spans[index]
        return self.lefts[index] + (0 if span.folded else (column - span.first) * self.width)

    def pieces(self, scrolled: int, width: int) -> Iterator[Piece]:
        """The columns and folds of which something is seen in a widget of this width."""
        x, end = scrolled, min(scrolled + max(width - self.gutter, 1), self.lefts[-1])
        while x < end:
            piece = self.piece(x)
            yield piece
            x = piece.left + self.size(piece)

    def visible(self, scrolled: int, width: int) -> list[int]:
        """The layout's columns of which something is seen in a widget of this width."""
        return [piece.first for piece in self.pieces(scrolled, width) if not piece.folded]

    def place_at(self, x: int, y: int) -> Place:
        """The column and row of a cell: x from the gutter, y from the first row; x < 0 is the gutter. In a fold, the
        column in its middle."""
        piece = self.piece(x)
        column = 0 if x < 0 else (piece.first + piece.last) // 2
        return Place(column, min(max(y, 0) // self.height, self.rows - 1))


def geometry(scene: Scene, width: int, height: int, spans: tuple[Span, ...] | None = None) -> Geometry:
    """The grid fitted into a widget of this size: spread out where there is room, else to be scrolled."""
    where = scene.layout
    spans = whole(len(where.times) - 1) if spans is None else spans
    rows = len(where.rows)
    named = [row.label for row in where.rows if row.rail is None]
    labels = tuple(  # an LSTM has a state c and a parameter c
        clean(row.label, 24) + (" param" if row.rail and row.label in named else "") for row in where.rows
    )
    if width >= 100:
        longest = max(map(cell_len, labels))
        labels = tuple(
            label if row.rail else f"{label}{' ' * (longest + 1 - cell_len(label))}{MEANINGS[role]}"
            for label, row, role in zip(labels, where.rows, scene.roles, strict=True)
        )
    gutter = max(map(cell_len, labels)) + 8
    narrowest = NARROWEST + scene.symbols
    columns = sum(span.columns for span in spans if not span.folded)
    room = width - gutter - FOLD * sum(span.folded for span in spans)
    each = min(max(room // max(columns, 1), narrowest), WIDEST + scene.symbols)
    lowest = 2 if scene.detail == "op" else 1  # what goes from node to node inside a step is drawn between the rows
    tall = min(max((height - 2) // max(rows - 1, 1), lowest), TALLEST)
    sizes = (FOLD if span.folded else span.columns * each for span in spans)
    lefts = tuple(accumulate(sizes, initial=0))
    return Geometry(labels, gutter, each, tall, MARK + (each - narrowest) // 2, rows, spans, lefts)
