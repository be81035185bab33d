"""The graph as a scrolling grid of nodes: columns are time steps, rows kinds of node."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.geometry import Offset, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from unrollviz.draw.layout import Place
from unrollviz.names import clean
from unrollviz.tui.actions import bindings
from unrollviz.tui.geometry import Geometry, geometry
from unrollviz.tui.look import palette
from unrollviz.tui.messages import Pointed
from unrollviz.tui.paint import BROKEN, COMING, COMPLETE, PARTIAL, Painter
from unrollviz.tui.state import DebugState

LEGEND = f"{COMING} to come  ● computed  [●] now  (●) path  {PARTIAL} cotangent so far  {COMPLETE} complete"
STOPS = f"{COMING} to come  [●] now  (●) path  {PARTIAL} cotangent so far  {COMPLETE} complete  {BROKEN} stop"


class Grid(ScrollView, can_focus=True, inherit_bindings=False):
    """Draws only the cells that are seen. The step numbers stay at the top, the parameters at the left."""

    BINDINGS = bindings("graph")

    def __init__(self, state: DebugState) -> None:
        super().__init__(id="graph")
        self.state = state
        self.fitted: Geometry = geometry(state.scene, 0, 0)
        self._dragged: Offset | None = None
        self._moved = False

    def show(self, state: DebugState) -> None:
        """Render from a new state, scrolled so that what has changed is seen."""
        before, self.state = self.state, state
        refitted = state.scene is not before.scene or state.spans != before.spans
        if refitted:
            self._fit()
        if state.lit is not before.lit and state.lit.places and state.scene is before.scene:
            self._reveal_path()
        if state.spot != before.spot or refitted:
            self._reveal(state.spot.row, state.spot.column)
        if state.marks is not before.marks:
            self._entitle()
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        self._fit()
        self._reveal(self.state.spot.row, self.state.spot.column)

    def _fit(self) -> None:
        size = self.scrollable_content_region.size
        self.fitted = geometry(self.state.scene, size.width, size.height, self.state.spans)
        self.virtual_size = Size(self.fitted.virtual_width, self.fitted.virtual_height)
        self._entitle()

    def _entitle(self) -> None:
        """Say what is seen: there is no scrollbar below, which would take a row away from the graph."""
        scene, width = self.state.scene, self.scrollable_content_region.width
        columns = self.fitted.visible(self.scroll_offset.x, width)
        seen = [scene.layout.times[column] for column in columns] or [0]
        steps = f"steps {seen[0]:,} to {seen[-1]:,} of {scene.run.steps:,}"
        marks = self.state.marks
        self.border_subtitle = Content(STOPS if len(marks.cursors) or marks.anywhere else LEGEND)
        folds = sum(span.folded for span in self.state.spans)
        folded = f" · {folds} fold{'s' * (folds > 1)}" if folds else ""
        stops = "".join(f" · {BROKEN} {text}" for text in marks.anywhere)
        named = f"graph · {scene.run.network.cell} · {steps}{folded} · level {scene.detail}{stops}"
        self.border_title = Content(clean(named))

    def watch_scroll_x(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_x(old_value, new_value)
        self._entitle()

    def _reveal_path(self) -> None:
        """Scroll to the selected path: all of it, or where it ends if it is longer than the screen is wide."""
        places = sorted(self.state.lit.places, key=lambda place: place.column)
        room = self.scrollable_content_region.width - self.fitted.gutter
        if self.fitted.left(places[-1].column) - self.fitted.left(places[0].column) + self.fitted.width <= room:
            self._reveal(places[-1].row, places[-1].column)
        self._reveal(places[0].row, places[0].column)

    def _reveal(self, row: int, column: int) -> None:
        """Scroll as little as is needed to see a place with one column of company on either side."""
        size, grid = self.scrollable_content_region.size, self.fitted
        x, y = self.scroll_offset
        if column > 0:
            left, room = grid.left(column), size.width - grid.gutter
            x = min(x, max(left - grid.width, 0))
            x = max(x, left + 2 * grid.width - room)
            x = min(x, left)
        top = row * grid.height
        y = max(min(y, top), top + 2 - size.height)
        self.scroll_to(x, y, animate=False, immediate=True, force=True)

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        painter = Painter(self.state, self.fitted, palette(self.app.current_theme.dark))
        x, down = self.scroll_offset
        segments = painter.header(x, width) if y == 0 else painter.line(y - 1 + down, x, width)
        return Strip(segments).adjust_cell_length(width).apply_style(self.rich_style)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or offset.y < 1 or self._moved:
            return
        place = self._place_at(offset)
        if place is not None:
            self.post_message(Pointed(place))

    def _place_at(self, offset: Offset) -> Place | None:
        """The place under the mouse; in a fold, what stands nearest to its middle, so that a click opens it there."""
        x = offset.x - self.fitted.gutter
        x = x if x < 0 else x + self.scroll_offset.x
        place = self.fitted.place_at(x, offset.y - 1 + self.scroll_offset.y)
        if x >= 0 and self.fitted.piece(x).folded:
            return self.state.scene.nearest(place.row, place.column)
        return place

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._dragged, self._moved = event.screen_offset, False
        self.capture_mouse()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        self._dragged = None
        self.release_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """While a button is held the graph goes along with the mouse."""
        if self._dragged is not None:
            by = event.screen_offset - self._dragged
            self._dragged, self._moved = event.screen_offset, True
            self._pan(-by.x, -by.y)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, -1)

    def _wheel(self, event: events.MouseEvent, direction: int) -> None:
        """Where all rows are seen, the wheel goes through time."""
        if self.max_scroll_y == 0:
            event.prevent_default().stop()
            self._scroll_by(direction * self.fitted.width)

    def action_scroll_back(self) -> None:
        self._scroll_by(-self._screenful)

    def action_scroll_on(self) -> None:
        self._scroll_by(self._screenful)

    @property
    def _screenful(self) -> int:
        room = self.scrollable_content_region.width - self.fitted.gutter
        return max(room // self.fitted.width - 1, 1) * self.fitted.width

    def action_pan_left(self) -> None:
        self._pan(-self.fitted.width, 0)

    def action_pan_right(self) -> None:
        self._pan(self.fitted.width, 0)

    def action_pan_up(self) -> None:
        self._pan(0, -self.fitted.height)

    def action_pan_down(self) -> None:
        self._pan(0, self.fitted.height)

    def _scroll_by(self, cells: int) -> None:
        self._pan(cells, 0)

    def _pan(self, right: int, down: int) -> None:
        x, y = self.scroll_offset
        self.scroll_to(x + right, y + down, animate=False, immediate=True, force=True)
