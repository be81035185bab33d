"""The grid, line by line: only the columns that are seen are built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from unrollviz.debugger.events import Event
from unrollviz.draw.layout import Place
from unrollviz.draw.style import LOOKS
from unrollviz.tui.geometry import FOLD, Geometry
from unrollviz.tui.geometry import Piece as Span
from unrollviz.tui.look import Palette
from unrollviz.tui.state import DebugState
from unrollviz.tui.symbols import symbol_of
from unrollviz.tui.wires import DOUBLE, DOWN, HEAVY, LEFT, LIGHT, RIGHT

COMING = "░"
COPY, USED = "◇", "◆"
BROKEN = "!"
FOLDED = "⋯"
RAIL = "┄"
PARTIAL, COMPLETE = "∂+", "∂"

BRACKETS: dict[tuple[bool, bool, bool], str] = {
    (True, True, True): "{}",
    (True, True, False): "{}",
    (True, False, True): "[]",
    (True, False, False): "[]",
    (False, True, True): "()",
    (False, True, False): "()",
    (False, False, True): "‹›",
    (False, False, False): "",
}
"""(current, on the selected path, selected) -> what stands around a mark."""

Piece = tuple[str, Style]


@dataclass(frozen=True)
class Glyph:
    """A node in the grid: brackets around its mark, and what follows: its symbol, and ∂ once it has a cotangent.

    `before` is the mark of a breakpoint, empty where there is none."""

    before: str
    brackets: str
    mark: Piece
    symbol: str
    note: str
    around: Style


@dataclass(frozen=True)
class Painter:
    """Draws a state's lines."""

    state: DebugState
    grid: Geometry
    look: Palette

    def header(self, scrolled: int, width: int) -> list[Segment]:
        """The step numbers above the columns; the step of the last event stands out."""
        event = self.state.now.event
        pieces: list[Piece] = [(" step".ljust(self.grid.gutter), self.look.quiet)]
        for piece in self.grid.pieces(scrolled, width):
            pieces += self._fold_words(piece) if piece.folded else self._step(piece.first, event)
        return self._crop(pieces, scrolled, width)

    def _step(self, column: int, event: Event | None) -> Iterator[Piece]:
        time = self.state.scene.layout.times[column]
        text = str(time)
        before = max(self.grid.mark - (len(text) - 1) // 2, 0)
        here = event is not None and event.time == time
        broken = BROKEN if time in self.state.marks.times and before else ""
        yield " " * (before - len(broken)), self.look.quiet
        yield broken, self.look.wrong
        yield text, self.look.now + Style(reverse=True) if here else self.look.quiet
        yield " " * (self.grid.width - before - len(text)), self.look.quiet

    def _fold_words(self, piece: Span) -> Iterator[Piece]:
        words = f"{FOLDED} {piece.last - piece.first + 1:,} steps {FOLDED}"
        yield words.center(FOLD)[:FOLD], self.look.quiet

    def line(self, y: int, scrolled: int, width: int) -> list[Segment]:
        """Line `y` of the rows, counted from the first row's own line, as `width` cells from `scrolled` on."""
        row, below = divmod(y, self.grid.height)
        if row >= self.grid.rows:
            return []
        pieces = [(" " * self.grid.gutter, self.look.text)] if below else list(self._gutter(row))
        for piece in self.grid.pieces(scrolled, width):
            if piece.folded:
                pieces += [(" " * FOLD, self.look.text)] if below else self._fold(row, piece)
            else:
                pieces += self._between(row, piece.first) if below else self._cell(row, piece.first)
        return self._crop(pieces, scrolled, width)

    def _fold(self, row: int, piece: Span) -> Iterator[Piece]:
        """A folded span in one row: the line that comes out of it on the right, broken in the middle."""
        character, style = self._draw(True, row, piece.last + 1, LEFT, LEFT | RIGHT)
        side = character * ((FOLD - 3) // 2)
        yield side, style
        yield (f" {FOLDED} " if character != " " else "   "), style
        yield side, style

    def _crop(self, pieces: list[Piece], scrolled: int, width: int) -> list[Segment]:
        """The gutter, then the columns without the cells that are scrolled away to the left."""
        segments = [Segment(text, style) for text, style in _joined(pieces)]
        gutter, columns = _split(segments, self.grid.gutter)
        _, kept = _split(columns, scrolled - self.grid.piece(scrolled).left)
        return _split(gutter + kept, width)[0]

    def _gutter(self, row: int) -> Iterator[Piece]:
        """The row's label, and the parameter whose rail it is."""
        label = self.grid.labels[row]
        padded = " " + label + " " * (self.grid.gutter - 8 - cell_len(label))
        yield padded, self.look.text if row == self.state.spot.row else self.look.quiet
        place = Place(0, row)
        if place not in self.state.scene.names:
            yield " " * 7, self.look.text
            return
        glyph = self.glyph(place)
        brackets = glyph.brackets or "  "
        yield glyph.before or " ", self.look.wrong
        yield brackets[0], glyph.around
        yield glyph.mark
        yield brackets[1], glyph.around
        yield (glyph.note.ljust(3), self.look.cotangent) if glyph.note else (RAIL * 3, self.look.rail)

    def _cell(self, row: int, column: int) -> Iterator[Piece]:
        """The node line of one column: the gap, a line, the node, a line."""
        grid = self.grid
        yield self._joint(True, row, column)
        into, out = self._run(row, column, LEFT), self._run(row, column, RIGHT)
        place = Place(column, row)
        if place not in self.state.scene.names:
            yield into[0] * (grid.mark - 1), into[1]
            yield self._joint(False, row, column)
            yield out[0] * (grid.width - grid.mark - 1), out[1]
            return
        glyph = self.glyph(place)
        yield into[0] * (grid.mark - 1 - bool(glyph.brackets) - bool(glyph.before)), into[1]
        yield glyph.before, self.look.wrong
        if glyph.brackets:
            yield glyph.brackets[0], glyph.around
            yield glyph.mark
            yield glyph.brackets[1], glyph.around
        else:
            yield glyph.mark
        yield glyph.symbol, self.look.text + Style(bold=True)
        yield glyph.note, self.look.cotangent
        used = grid.mark + 1 + bool(glyph.brackets) + cell_len(glyph.symbol) + cell_len(glyph.note)
        yield out[0] * (grid.width - used), out[1]

    def _between(self, row: int, column: int) -> Iterator[Piece]:
        """A line between two rows: what goes down in the gap, and what goes down from the mark."""
        gap, mark = self._line_down(True, row, column), self._line_down(False, row, column)
        yield gap
        yield " " * (self.grid.mark - 1), self.look.text
        yield mark
        yield " " * (self.grid.width - self.grid.mark - 1), self.look.text

    def _line_down(self, gap: bool, row: int, column: int) -> Piece:
        return self._draw(gap, row, column, DOWN, 1 | DOWN)

    def _joint(self, gap: bool, row: int, column: int) -> Piece:
        return self._draw(gap, row, column, 15, None)

    def _run(self, row: int, column: int, side: int) -> Piece:
        """The horizontal line on one side of a mark."""
        return self._draw(False, row, column, side, LEFT | RIGHT)

    def _draw(self, gap: bool, row: int, column: int, wanted: int, drawn_as: int | None) -> Piece:
        """The character for the sides joined there, of the current event, else of the selected path, else of all."""
        key = (gap, row, column)
        wires = self.state.scene.wires
        for sides, characters, style in (
            (self.state.current_joints.get(key, 0), DOUBLE, self.look.now_wire),
            (self.state.lit.joints.get(key, 0), HEAVY, self.look.lit_wire),
        ):
            if sides & wanted:
                return characters[sides if drawn_as is None else drawn_as], style
        sides = (wires.gaps if gap else wires.marks)(column)[row] & wanted
        if not sides:
            return " ", self.look.wire
        shape = sides if drawn_as is None else drawn_as
        if self.state.scene.layout.rows[row].rail and not shape & (1 | DOWN):
            return RAIL, self.look.rail
        return LIGHT[shape], self.look.wire

    def glyph(self, place: Place) -> Glyph:
        """How the node, or the copy of a parameter, at a place is shown."""
        state, now = self.state, self.state.now
        name = state.scene.names[place]
        current, lit, selected = place == state.current, place in state.lit.places, place == state.spot
        around = self.look.now if current else self.look.lit if lit else self.look.text
        if selected:
            around += Style(reverse=True)
        node = state.scene.timeline.graph.nodes[name]
        style, copy = self.look.roles[node["role"]], state.scene.copies.get(place)
        if copy is not None:
            known, note = now.computed(copy[1]), COMPLETE if now.crossed(*copy) else ""
        else:
            known, arrived = now.computed(name), now.arrived(name)
            note = "" if not arrived else COMPLETE if arrived == now.expected(name) else PARTIAL
        marks = (USED, COPY) if copy is not None else (LOOKS[node["role"]].mark, COMING)
        mark = marks[0] if known else marks[1]
        if not known:
            style = self.look.coming
        if selected:
            style = around
        before = BROKEN if name in state.broken and copy is None else ""
        return Glyph(before, BRACKETS[current, lit, selected], (mark, style), symbol_of(node), note, around)


def _joined(pieces: list[Piece]) -> Iterator[Piece]:
    """Neighbours of one style as one piece."""
    text, style = "", Style.null()
    for more, its_style in pieces:
        if its_style is style or not more:
            text += more
            continue
        if text:
            yield text, style
        text, style = more, its_style
    if text:
        yield text, style


def _split(segments: list[Segment], cells: int) -> tuple[list[Segment], list[Segment]]:
    """The first `cells` cells, and the rest."""
    before: list[Segment] = []
    for index, segment in enumerate(segments):
        size = segment.cell_length
        if size > cells:
            left, right = segment.split_cells(cells)
            return [*before, left], [right, *segments[index + 1 :]]
        before.append(segment)
        cells -= size
    return before, []
