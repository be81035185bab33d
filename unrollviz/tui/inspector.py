"""The inspector: what is known about the selected node."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from unrollviz.tui.actions import bindings
from unrollviz.tui.look import palette
from unrollviz.tui.report import footing, report, title
from unrollviz.tui.state import DebugState


class Inspector(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows the report on a node; scrolled back to the top when another node is selected."""

    BINDINGS = bindings("inspector")

    def __init__(self, state: DebugState) -> None:
        super().__init__(id="inspector")
        self.state = state
        self.lines: list[Strip] = []

    def show(self, state: DebugState) -> None:
        if state.node != self.state.node or state.lens.page != self.state.lens.page:
            self.scroll_to(y=0, animate=False, immediate=True, force=True)
        self.state = state
        self._write()

    def on_resize(self, event: events.Resize) -> None:
        self._write()

    def _write(self) -> None:
        """Wrap the report to the width; a line less, for the scrollbar, whether it is there or not."""
        width = max(self.container_size.width - 1, 1)
        text = report(self.state, width, self.container_size.height, palette(self.app.current_theme.dark))
        console = self.app.console
        self.lines = [Strip(line.render(console)) for line in text.wrap(console, width)]
        self.virtual_size = Size(width, len(self.lines))
        self.border_title = Content(title(self.state))
        self.border_subtitle = Content(footing(self.state, self.size.width + 3))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        row = y + self.scroll_offset.y
        line = self.lines[row] if row < len(self.lines) else Strip.blank(0)
        return line.adjust_cell_length(self.scrollable_content_region.width).apply_style(self.rich_style)
