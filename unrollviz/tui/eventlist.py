"""The list of events: where this is, and what comes next. Only the lines that are seen are put into words."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from unrollviz.debugger.words import describe
from unrollviz.names import clean
from unrollviz.tui.actions import bindings
from unrollviz.tui.look import palette
from unrollviz.tui.messages import EventChosen
from unrollviz.tui.paint import BROKEN
from unrollviz.tui.state import DebugState


class EventList(ScrollView, can_focus=True, inherit_bindings=False):
    """One line an event, from 0, before anything has happened; ▶ stands at the last that has."""

    BINDINGS = bindings("events")

    def __init__(self, state: DebugState) -> None:
        super().__init__(id="events")
        self.state = state
        self.row = state.cursor

    def show(self, state: DebugState) -> None:
        before, self.state = self.state, state
        if state.cursor != before.cursor or state.stepper.timeline is not before.stepper.timeline:
            self.row = state.cursor
            self._fit()
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        self._fit()

    def _fit(self) -> None:
        end = self.state.stepper.timeline.end
        self.virtual_size = Size(1, end + 1)
        self.border_title = Content(f"events · {self.state.cursor:,} of {end:,}")
        away = self.row - self.state.cursor
        self.border_subtitle = Content(f"Enter goes there, {away:+,}" if away else "")
        room = self.scrollable_content_region.height
        company = min(2, max(room - 1, 0) // 2)
        y = max(min(self.scroll_offset.y, self.row - company), self.row + 1 + company - room)
        self.scroll_to(y=y, animate=False, immediate=True, force=True)

    def _select(self, row: int) -> None:
        self.row = min(max(row, 0), self.state.stepper.timeline.end)
        self._fit()
        self.refresh()

    def action_event_up(self) -> None:
        self._select(self.row - 1)

    def action_event_down(self) -> None:
        self._select(self.row + 1)

    def action_event_page_up(self) -> None:
        self._select(self.row - max(self.scrollable_content_region.height - 1, 1))

    def action_event_page_down(self) -> None:
        self._select(self.row + max(self.scrollable_content_region.height - 1, 1))

    def action_event_open(self) -> None:
        self.post_message(EventChosen(self.row))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and offset.y + self.scroll_offset.y <= self.state.stepper.timeline.end:
            self.post_message(EventChosen(offset.y + self.scroll_offset.y))

    def render_line(self, y: int) -> Strip:
        width, row = self.scrollable_content_region.width, y + self.scroll_offset.y
        line = Strip(self._line(row)) if row <= self.state.stepper.timeline.end else Strip.blank(0)
        return line.adjust_cell_length(width).apply_style(self.rich_style)

    def _line(self, row: int) -> list[Segment]:
        """`▶ 23 backward 4 ∂L/∂s₃ += …`: number, phase, step, what happens."""
        look, state = palette(self.app.current_theme.dark), self.state
        line = state.stepper.timeline
        here, digits = row == state.cursor, len(str(line.end))
        style = look.now if here else look.text if row < state.cursor else look.quiet
        if row == self.row and self.has_focus:
            style += Style(reverse=True)
        if row == 0:
            return [Segment(f"{'▶' if here else ' '} {0:>{digits}} the start: nothing has happened yet", style)]
        event = line.events[row - 1]
        broken = BROKEN if state.marks.at(row) else " "
        step = "" if event.time is None else str(event.time)
        columns = f"{row:>{digits}} {event.phase:<8} {step:>{len(str(state.scene.run.steps))}}"
        words = clean(describe(state.scene.run.graph, line, event), 400)
        return [
            Segment("▶" if here else " ", style),
            Segment(broken, look.wrong),
            Segment(f"{columns}  {words}", style),
        ]
