"""The paths from the chosen losses to the chosen parameter, as a list of which only the seen rows are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from unrollviz.draw.text import percent
from unrollviz.names import clean, derivative, subscript, typeset
from unrollviz.tui.actions import bindings
from unrollviz.tui.look import Palette, palette
from unrollviz.tui.messages import RowChosen
from unrollviz.tui.numbers import figure
from unrollviz.tui.scene import Listed
from unrollviz.tui.state import DebugState

COLUMNS = (("from", 6, 0), ("k", 5, 0), ("lag", 5, 36), ("‖term‖", 8, 0), ("share", 9, 0))
"""What it says, its cells, and the width from which on there is room for it."""

ROOMY = 9
"""Lines from which on the selected path is written out above the list."""


class PathList(ScrollView, can_focus=True, inherit_bindings=False):
    """One row a path: its loss, the step k where it enters the parameter, lag, norm and share."""

    BINDINGS = bindings("paths")

    def __init__(self, state: DebugState) -> None:
        super().__init__(id="paths")
        self.state = state

    def show(self, state: DebugState) -> None:
        before, self.state = self.state, state
        if state.scene is not before.scene:
            self._fit()
        if state.lit is not before.lit:
            self._reveal()
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        self._fit()
        self._reveal()

    def _fit(self) -> None:
        scene = self.state.scene
        self.virtual_size = Size(1, self._above + len(scene.listed))
        loss = scene.losses[0] if len(scene.losses) == 1 else "L"
        self.border_title = Content(clean(f"{_count(scene.listed)} in {derivative(loss, scene.target)}"))
        self.border_subtitle = Content(clean(_proof(scene.listed, self.size.width - 4)))

    @property
    def _above(self) -> int:
        """How many lines stand above the list."""
        return 1 + (self.scrollable_content_region.height >= ROOMY)

    def _reveal(self) -> None:
        room, row = self.scrollable_content_region.height - self._above, self.state.lit.row
        y = max(min(self.scroll_offset.y, row), row + 1 - room)
        self.scroll_to(y=y, animate=False, immediate=True, force=True)

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        look = palette(self.app.current_theme.dark)
        listed, row = self.state.scene.listed, y - self._above + self.scroll_offset.y
        if y < self._above - 1:
            segments = [Segment(" " + _written(self.state, width - 2), look.lit)]
        elif y == self._above - 1:
            segments = [Segment(_aligned([name for name, _, _ in COLUMNS], width), look.quiet)]
        elif row < len(listed):
            segments = self._row(row, width, look)
        else:
            trouble = wrap(clean(listed.trouble, 1000), max(width - 2, 1))
            segments = [Segment(f" {trouble[row]}" if row < len(trouble) else "", look.wrong)]
        return Strip(segments).adjust_cell_length(width).apply_style(self.rich_style)

    def _row(self, row: int, width: int, look: Palette) -> list[Segment]:
        listed = self.state.scene.listed
        table = listed.table
        assert table is not None
        loss, entry = int(table.losses[row]), int(table.entries[row])
        norm, share = float(table.norms[row]), float(table.shares[row])
        chosen = row == self.state.lit.row
        style = look.lit + Style(reverse=self.has_focus) if chosen else look.text
        figures = [f"L{subscript(loss)}", str(entry), str(loss - entry), figure(norm), percent(share)]
        words = ("▶" if chosen else " ") + _aligned(figures, width)[1:]
        size = abs(share) / listed.largest_share if share else 0.0
        bar = _bar(size, width - cell_len(words) - 2)
        return [Segment(words, style), Segment(f" {bar}", look.negative if share < 0 else look.positive)]

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and offset.y >= self._above:
            self.post_message(RowChosen(offset.y - self._above + self.scroll_offset.y))


def _count(listed: Listed) -> str:
    if listed.paths is None:
        return "no paths"
    count = listed.paths.count
    some = f"first {len(listed):,} of " if count > len(listed) else ""
    return f"{some}{count:,} path{'' if count == 1 else 's'}"


def _proof(listed: Listed, width: int) -> str:
    """The sum line: all terms, walked one by one, against one reverse sweep; as fully as `width` allows."""
    if listed.paths is None:
        return "the gradient is not finite"
    total = f"‖{figure(listed.paths.total_norm)}‖"
    if listed.proof is None:
        ways = [f"too many to walk · reverse sweep {total}", f"reverse sweep {total}"]
    else:
        proof = listed.proof
        total, (sign, mark) = f"‖{figure(proof.total)}‖", "=✓" if proof.holds else "≠✗"
        short = f"sum {total} {sign} reverse sweep {mark}"
        ways = [f"{short} (differs by {figure(proof.error)})", short, f"sum {total} {sign} sweep {mark}"]
    return next((way for way in ways if len(way) <= width), ways[-1])


def _aligned(words: Sequence[str], width: int) -> str:
    """One line of the list: a word a column, the first one to the left, those left out for which there is no room."""
    line = ""
    for word, (_, cells, needed) in zip(words, COLUMNS, strict=True):
        if width >= needed:
            line += set_cell_size(" " + word, cells) if not line else " " * (cells - cell_len(word)) + word
    return line


def _written(state: DebugState, width: int) -> str:
    """`L₄ → ŷ₄ → s₄ → s₃ → W`, the middle left out where it does not fit."""
    path = state.lit.path
    if path is None:
        return ""
    names = [clean(typeset(name), 24) for name in path.nodes]
    text = " → ".join(names)
    keep = len(names)
    while cell_len(text) > width and keep > 4:
        keep = min(keep - 1, 40)
        left_out = len(names) - keep
        text = " → ".join([*names[: keep // 2], f"… {left_out:,} more …", *names[keep // 2 - keep :]])
    return text


def _bar(size: float, width: int) -> str:
    """`size`, from 0 to 1, of `width` cells, in eighths of a cell."""
    if math.isnan(size) or width <= 0:
        return ""
    eighths = round(min(size, 1.0) * width * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
