"""How the flow panel's views are drawn, line by line: the tree, the tables, the matrix."""

from __future__ import annotations

from textwrap import wrap

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style

from unrollviz.draw.text import bar, integer, integers, percent
from unrollviz.names import clean, subscript, typeset
from unrollviz.tui.apart import Apart, Matrix
from unrollviz.tui.branches import Branches
from unrollviz.tui.look import Palette
from unrollviz.tui.numbers import figure
from unrollviz.tui.scene import Scene

Answer = Branches | Apart | Matrix

Place = tuple[int, int]

CELL = 3
"""Cells that an entry of the matrix takes."""


class View:
    """Lines of one kind. `rows` and `columns` can be selected; `gutter` cells stand still when it is scrolled."""

    rows = 0
    columns = 1
    gutter = 0
    width = 1

    def heading(self, column: int, x: int, look: Palette) -> list[Segment]:
        """What the columns are."""
        raise NotImplementedError

    def line(self, row: int, place: Place, focused: bool, x: int, look: Palette) -> list[Segment]:
        """A row, `place` being selected, scrolled by `x` cells."""
        raise NotImplementedError

    def readout(self, row: int, column: int, width: int) -> str:
        """What is selected, in full."""
        raise NotImplementedError

    def cells(self, column: int) -> tuple[int, int]:
        """Where a column begins and ends."""
        return 0, 0

    def column_at(self, x: int, scrolled: int) -> int:
        """The column in a cell of the screen."""
        return 0

    @staticmethod
    def said(words: str, y: int, width: int, look: Palette) -> list[Segment]:
        """A line of a sentence that stands where the view will."""
        lines = wrap(clean(words, 1000), max(width - 2, 1))
        return [Segment(f" {lines[y]}" if y < len(lines) else "", look.wrong)]


def view(found: Answer, scene: Scene, width: int) -> View:
    """The view of an answer on so many cells."""
    if isinstance(found, Branches):
        return _Tree(found, width)
    return _Table(found, width) if isinstance(found, Apart) else _Map(found, width)


def _marked(row: int, place: Place, focused: bool, look: Palette) -> tuple[str, Style]:
    """The mark and the style of a row, selected or not."""
    chosen = row == place[0]
    return ("▶", look.lit + Style(reverse=focused)) if chosen else (" ", look.text)


def _short(count: int) -> str:
    return integer(count, exact=7, digits=2)


def _bar(share: float, largest: float, width: int, look: Palette) -> Segment:
    size = share / largest if largest else 0.0
    return Segment(" " + set_cell_size(bar(size, width), width), look.negative if share < 0 else look.positive)


class _Tree(View):
    def __init__(self, found: Branches, width: int) -> None:
        self.found, self._width = found, width
        self.rows = len(found)
        self._norm, self._bar = width >= 50, 12 if width >= 70 else 0

    def heading(self, column: int, x: int, look: Palette) -> list[Segment]:
        words = f"    share{' ' * (self._bar + 1) if self._bar else ''}{'     norm' if self._norm else ''}     paths  "
        return [Segment(words + "branch, from the loss back", look.quiet)]

    def line(self, row: int, place: Place, focused: bool, x: int, look: Palette) -> list[Segment]:
        line = self.found.lines[row]
        mark, style = _marked(row, place, focused, look)
        found = [Segment(f"{mark}{percent(line.first.share):>8}", style)]
        if self._bar:
            found.append(_bar(line.first.share, 1.0, self._bar, look))
        norm = "" if not self._norm else "…".rjust(9) if line.norm is None else figure(*line.norm).rjust(9)
        words = f"{norm}{_short(line.first.count):>10}  "
        room = self._width - sum(cell_len(segment.text) for segment in found) - len(words)
        return [*found, Segment(words, style), Segment(self.found.words(row, room), style)]

    def readout(self, row: int, column: int, width: int) -> str:
        line = self.found.lines[row]
        count, many = line.first.count, "" if line.first.count == 1 else "s"
        norm = "" if line.norm is None else f", norm {figure(*line.norm)}"
        words = f"path{many}, share {percent(line.first.share)}{norm}"
        *longer, short = integers(count)
        ways = [*(f"{said} {words}" for said in longer), *(f"{said} path{many}" for said in longer[-1:])]
        ways.append(f"{short} {words}")
        return next((said for said in ways if len(said) <= width), ways[-1])


class _Table(View):
    def __init__(self, found: Apart, width: int) -> None:
        self.found, self._width = found, width
        self.rows = len(found)
        self._wide = found.flow.columns[0] not in ("lag", "loss", "entry")
        self._sum = width >= (80 if self._wide else 50)

    def _columns(self, label: str, norm: str, share: str, running: str, count: str) -> str:
        first = " " if self._wide else f"{label:>7}"
        return f"{first}{count:>10}{norm:>9}{share:>9}" + (f"{running:>9}" if self._sum else "")

    def heading(self, column: int, x: int, look: Palette) -> list[Segment]:
        name = {"lag": "lag", "loss": "loss", "entry": "k"}.get(self.found.flow.columns[0], "")
        words = self._columns(name, "norm", "share", "Σ share", "paths")
        kinds = " · ".join(typeset(kind) for kind in self.found.flow.columns)
        return [Segment(words + (f"  uses of {clean(kinds)}" if self._wide else ""), look.quiet)]

    def line(self, row: int, place: Place, focused: bool, x: int, look: Palette) -> list[Segment]:
        found = self.found
        _, share, running = found.figures(row)
        mark, style = _marked(row, place, focused, look)
        label = "" if self._wide else found.label(row)
        words = self._columns(label, found.size(row), percent(share), percent(running), found.count(row))
        segments = [Segment(mark + words[1:], style)]
        room = self._width - len(words) - 1
        if not self._wide:
            return [*segments, _bar(share, found.largest, max(room - 1, 0), look)]
        size = 12 if room >= 40 else 0
        segments += [_bar(share, found.largest, size, look)] if size else []
        return [*segments, Segment(f"  {found.label(row)}", style)]

    def readout(self, row: int, column: int, width: int) -> str:
        flow = self.found.flow
        norm = figure(flow.total_norm, flow.log10_total_norm)
        total = f"all {len(self.found):,} rows: ‖{norm}‖, {integer(sum(flow.counts))} paths"
        more = f"{total}, κ = {figure(flow.cancellation)}"
        return more if len(more) <= width else total


class _Map(View):
    gutter = 8

    def __init__(self, found: Matrix, width: int) -> None:
        self.found = found
        self.rows, self.columns = found.rows.shape
        self.width = self.gutter + CELL * self.columns

    def heading(self, column: int, x: int, look: Palette) -> list[Segment]:
        """Every fifth entry step, and which one is selected."""
        line = [" "] * (CELL * self.columns + 8)
        for place, entry in enumerate(self.found.entries.tolist()):
            if entry % 5 == 0 or place == 0:
                end = CELL * (place + 1)
                line[max(end - len(str(entry)), 0) : end] = str(entry)
        line[CELL * column : CELL * (column + 1)] = " ▼ "
        return [Segment(set_cell_size(" t \\ k", self.gutter), look.quiet), Segment("".join(line[x:]), look.quiet)]

    def line(self, row: int, place: Place, focused: bool, x: int, look: Palette) -> list[Segment]:
        mark, style = _marked(row, place, False, look)
        label = set_cell_size(f"{mark}L{subscript(int(self.found.times[row]))}", self.gutter)
        cells = [self._cell(row, column, look) for column in range(x // CELL, min(x // CELL + 400, self.columns))]
        at = place[1] - x // CELL
        if row == place[0] and 0 <= at < len(cells):
            text, plain = cells[at]
            cells[at] = f"▸{text[1:]}", plain + Style(reverse=focused, bold=True)
        return [Segment(label, style), *(Segment(text, cell) for text, cell in cells)]

    def _cell(self, row: int, column: int, look: Palette) -> tuple[str, Style]:
        at, size = self.found.rows[row, column], self.found.sizes[row, column]
        if at < 0:
            return " " * CELL, look.text
        if np.isnan(size):
            return " · ", look.quiet
        negative = self.found.flow.shares[at] < 0
        shades = look.below if negative else look.above
        return " " + ("-" if negative else "+") + str(min(int(10 * size), 9)), shades[round(size * (len(shades) - 1))]

    def readout(self, row: int, column: int, width: int) -> str:
        found, flow = self.found, self.found.flow
        at = int(found.rows[row, column])
        step = f"M[{found.times[row]},{found.entries[column]}]"
        if at < 0:
            return f"{step}: no path"
        least, most = (figure(10.0**log, log) for log in found.ends)
        norm = figure(float(flow.norms[at]), float(found.logs[row, column]))
        words = f"{step}: norm {norm}, share {percent(float(flow.shares[at]))}"
        more = f"{words}, {integer(found.counts[at])} path{'' if found.counts[at] == 1 else 's'}"
        scale = f"{more} · 0 is {least}, 9 is {most}"
        return next((said for said in (scale, more) if len(said) <= width), words)

    def cells(self, column: int) -> tuple[int, int]:
        return CELL * column, CELL * (column + 1)

    def column_at(self, x: int, scrolled: int) -> int:
        return (x - self.gutter + scrolled) // CELL
