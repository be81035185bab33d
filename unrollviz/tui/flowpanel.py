"""The flow panel: the gradient as a tree of partial paths, by lag, loss, entry step and route, and as a matrix.

What a view shows is worked out when it is first seen; of a tree only the branches that are opened, and only the norms
that are seen.
"""

from __future__ import annotations

import math

from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.strip import Strip

from unrollviz.errors import UnrollvizError
from unrollviz.names import clean, derivative
from unrollviz.paths.prefixes import PrefixTree
from unrollviz.report.figures import of_losses
from unrollviz.tui.actions import bindings
from unrollviz.tui.apart import VIEWS, Apart, Matrix, apart
from unrollviz.tui.branches import Branches, Line
from unrollviz.tui.flowviews import Answer, View, view
from unrollviz.tui.listing import Wanted, tree_of
from unrollviz.tui.look import palette
from unrollviz.tui.messages import Lighted, PathsWanted
from unrollviz.tui.state import DebugState
from unrollviz.tui.work import Pulse
from unrollviz.tui.workpanel import WorkPanel

FEW = 600
"""Nodes up to which a sweep for norms is not felt."""


class FlowPanel(WorkPanel, can_focus=True, inherit_bindings=False):
    """Draws the lines that are seen, of the view that the state names."""

    BINDINGS = bindings("flow")

    def __init__(self, state: DebugState) -> None:
        super().__init__(state, "flow")
        self._answers: dict[str, Answer] = {}
        self._places: dict[str, tuple[int, int]] = {}

    # ---- what is asked ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self._ask()

    def show(self, state: DebugState) -> None:
        before, self.state = self.state, state
        if state.scene.listed is not before.scene.listed:
            self._answers, self._places = {}, {}
            self._ask()
        elif state.view != before.view:
            self._ask()
        self.refresh()

    @property
    def answer(self) -> Answer | None:
        """What the present view shows; None until it has been worked out."""
        return self._answers.get(self.state.view)

    def _ask(self) -> None:
        """Ask for what the present view shows, once it is seen."""
        self.desk.stop()
        scene, name = self.state.scene, self.state.view
        self.trouble = scene.listed.trouble
        paths = scene.listed.paths
        if paths is not None and name not in self._answers and self.scrollable_content_region.height > 0:

            def work(pulse: Pulse) -> Answer:
                return Branches(tree_of(paths, pulse)) if name == "tree" else apart(scene, name, pulse)

            def take(found: Answer | UnrollvizError) -> None:
                if isinstance(found, UnrollvizError):
                    self.trouble = str(found)
                else:
                    self._answers[name] = found
                self._reveal()
                self.fit()

            quick = name == "tree" and paths.graph.number_of_nodes() <= FEW
            self.obtain("view", f"taking it apart {VIEWS[name]}", work, take, quick)
        self._reveal()
        self.fit()

    def _need(self) -> None:
        """Ask for the norms of the branches that are seen."""
        tree = self.answer
        top, room = self.scroll_offset.y, self._room
        if not isinstance(tree, Branches) or room <= 0 or self.desk.has("norms"):
            return
        lines = [line for line in tree.lines[top : top + room] if line.norm is None]
        if not lines:
            return

        def take(norms: list[tuple[float, float]] | UnrollvizError) -> None:
            known = norms if isinstance(norms, list) else [(math.nan, math.nan)] * len(lines)
            for line, norm in zip(lines, known, strict=True):
                line.norm = norm
            self._need()

        quick = tree.tree.graph.number_of_nodes() <= FEW
        self.obtain("norms", "norms of these branches", lambda pulse: _norms(tree.tree, lines, pulse), take, quick)

    # ---- keys -------------------------------------------------------------------------------------------------------

    @property
    def place(self) -> tuple[int, int]:
        """The row, and in the matrix the column, that is selected."""
        return self._places.get(self.state.view, (0, 0))

    def _move(self, down: int, right: int = 0) -> None:
        row, column = self.place
        self._select(row + down, column + right)

    def _select(self, row: int, column: int = 0) -> None:
        """Select a place; a branch is lit in the graph."""
        shown = self._view
        if shown is None or not shown.rows:
            return
        row, column = min(max(row, 0), shown.rows - 1), min(max(column, 0), max(shown.columns - 1, 0))
        self._places[self.state.view] = row, column
        if isinstance(self.answer, Branches):
            nodes = self.answer.lines[row].chain[-1].nodes
            self.post_message(Lighted(self.state.scene.light_nodes(nodes, -1)))
        self._reveal()
        self.fit()
        self.refresh()

    def action_flow_up(self) -> None:
        self._move(-1)

    def action_flow_down(self) -> None:
        self._move(1)

    def action_flow_page_up(self) -> None:
        self._move(-max(self._room - 1, 1))

    def action_flow_page_down(self) -> None:
        self._move(max(self._room - 1, 1))

    def action_flow_left(self) -> None:
        """Close the branch, or go to the one that it is below; in the matrix one step back."""
        tree, row = self.answer, self.place[0]
        if isinstance(tree, Branches) and not tree.close(row):
            self._select(tree.parent(row))
        else:
            self._move(0, -1)

    def action_flow_right(self) -> None:
        """Open the branch, or go to the heaviest below it; in the matrix one step on."""
        tree, row = self.answer, self.place[0]
        if isinstance(tree, Branches):
            self._move(0 if tree.open(row) or not tree.lines[row].opened else 1)
        else:
            self._move(0, 1)

    def action_flow_open(self) -> None:
        """Open or close a branch; of a row or a cell, list the paths."""
        tree, row = self.answer, self.place[0]
        if not isinstance(tree, Branches):
            self.action_flow_list()
            return
        if not tree.close(row):
            tree.open(row)
        self._move(0)

    def action_flow_list(self) -> None:
        """List the paths of a branch, a row or a cell in the path panel."""
        (row, column), found, wanted = self.place, self.answer, None
        if isinstance(found, Branches):
            prefix = found.lines[row].chain[-1]
            above = prefix is not found.tree.root
            wanted = Wanted(span=(prefix.rank, prefix.rank + prefix.count), branch=prefix.nodes) if above else Wanted()
        elif isinstance(found, Apart) and len(found):
            wanted = found.wanted(row)
        elif isinstance(found, Matrix) and len(found.times):
            wanted = found.wanted(row, column)
        if wanted is not None:
            self.post_message(PathsWanted(wanted, focus=True))

    def action_flow_stop(self) -> None:
        """Stop what is being worked out."""
        if self.desk.stop():
            self.trouble = "" if self.answer is not None else "stopped; a goes on to another view, and comes back"
            self.fit()
            self.refresh()

    # ---- what is seen -----------------------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        if self.answer is None and not self.desk.has("view"):
            self._ask()
        self._reveal()
        self.fit()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._need()

    @property
    def _view(self) -> View | None:
        """The present view, ready to be drawn."""
        found = self.answer
        return None if found is None else view(found, self.state.scene, self.scrollable_content_region.width)

    @property
    def _room(self) -> int:
        return self.scrollable_content_region.height - 1

    def fit(self) -> None:
        """The size of what can be scrolled to, and what stands in the border."""
        shown, scene = self._view, self.state.scene
        self.virtual_size = Size(shown.width if shown else 1, 1 + (shown.rows if shown else 0))
        symbol = derivative(of_losses(scene.losses, scene.run.graph), scene.target)
        self.border_title = Content(clean(f"flow · {symbol} {VIEWS[self.state.view]}"))
        said = f"{self.desk.words} · Esc stops" if self.desk.words else ""
        if not said and shown is not None and shown.rows:
            said = shown.readout(*self.place, self.size.width - 4)
        self.border_subtitle = Content(clean(said))
        self._need()

    def _reveal(self) -> None:
        shown = self._view
        if shown is None:
            return
        row, column = self.place
        y = max(min(self.scroll_offset.y, row), row + 1 - self._room)
        left, right = shown.cells(column)
        x = max(min(self.scroll_offset.x, left), right - self.scrollable_content_region.width + shown.gutter)
        self.virtual_size = Size(shown.width, 1 + shown.rows)
        self.scroll_to(x, y, animate=False, immediate=True, force=True)

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        look, shown = palette(self.app.current_theme.dark), self._view
        x, down = self.scroll_offset
        if shown is None or not shown.rows:
            said = self.trouble or (f"{self.desk.words} …" if self.desk.words else "no path leads there")
            line = Strip(View.said(said, y, width, look))
        elif y == 0:
            line = Strip(shown.heading(self.place[1], x, look))
        elif down + y - 1 < shown.rows:
            line = Strip(shown.line(down + y - 1, self.place, self.has_focus, x, look))
        else:
            line = Strip.blank(0)
        return line.adjust_cell_length(width).apply_style(self.rich_style)

    def on_click(self, event: events.Click) -> None:
        offset, shown = event.get_content_offset(self), self._view
        if offset is None or shown is None or not 0 < offset.y <= shown.rows - self.scroll_offset.y:
            return
        place = self.scroll_offset.y + offset.y - 1, shown.column_at(offset.x, self.scroll_offset.x)
        if place == self.place and isinstance(self.answer, Branches):
            self.action_flow_open()
        else:
            self._select(*place)


def _norms(tree: PrefixTree, lines: list[Line], pulse: Pulse) -> list[tuple[float, float]]:
    """The norm of each line and its logarithm: one sweep for all."""
    ends = [line.chain[-1] for line in lines]
    tree.norms(ends, lambda: pulse("norms of these branches"))
    return [(end.norm, end.log10_norm) for end in ends]
