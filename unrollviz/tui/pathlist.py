"""The paths from the chosen losses to the chosen parameter: a list of which only what is seen is worked out and drawn.

The rows come from a `Listing`, which is asked for whenever the scene or what is wanted changes; their figures, where
they are not part of it, in blocks, as one scrolls to them. Enter shows the selected path's factors as a waterfall.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from textwrap import wrap

import numpy as np
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.strip import Strip

from unrollviz.arrays import Array
from unrollviz.draw.text import bar, percent
from unrollviz.errors import UnrollvizError
from unrollviz.names import clean, subscript
from unrollviz.paths.pathset import PATH_LIMIT, PathTable
from unrollviz.tui import filters
from unrollviz.tui.actions import bindings
from unrollviz.tui.examples import fitted
from unrollviz.tui.listing import BLOCK, EVERY, ORDERS, Block, Listing, block, listing, proved
from unrollviz.tui.look import Palette, palette
from unrollviz.tui.messages import Lighted, PathsWanted
from unrollviz.tui.numbers import figure
from unrollviz.tui.pathlines import HEADINGS, aligned, arrows, cells, sum_line, title
from unrollviz.tui.prompt import Prompt
from unrollviz.tui.scene import ADDED, SMALL, Proof
from unrollviz.tui.state import DebugState
from unrollviz.tui.waterfall import Waterfall
from unrollviz.tui.work import Pulse
from unrollviz.tui.workpanel import WorkPanel

ROOMY = 9
"""Lines from which on the selected path is written out above the list."""


class PathList(WorkPanel, can_focus=True, inherit_bindings=False):
    """One row a path: its loss, the step k where it enters the parameter, lag, norm, share and the running sum."""

    BINDINGS = bindings("paths")

    def __init__(self, state: DebugState) -> None:
        super().__init__(state, "paths")
        self.found: Listing | None = None
        self.row = max(state.lit.row, 0)
        self.proof: Proof | None = None
        self.fall: Waterfall | None = None
        self.falling = False
        self._sums: Array = np.zeros(0)
        self._blocks: dict[int, Block] = {}

    # ---- what is asked ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self._prove()
        self._ask(keep=True)

    def show(self, state: DebugState) -> None:
        before, self.state = self.state, state
        if state.lit is not before.lit and state.lit.row >= 0:
            self.row = state.lit.row
            self._fall()
        if state.scene.listed is not before.scene.listed:
            self._prove()
            self._ask(keep=state.wanted == EVERY)
        elif state.wanted != before.wanted:
            self._ask(keep=False)
        elif state.lit is not before.lit:
            self._reveal()
        self.refresh()

    @property
    def _quick(self) -> bool:
        """So little that nobody notices: worked out on the spot."""
        paths = self.state.scene.listed.paths
        return paths is None or (paths.count <= ADDED and paths.graph.number_of_nodes() <= SMALL)

    def _prove(self) -> None:
        """Ask for the sum of all paths, where it is not known and they can be walked."""
        self.desk.stop("proof")
        self.proof, whole = self.state.scene.listed.proof, self.state.scene.listed.paths
        if self.proof is None and whole is not None and whole.count <= PATH_LIMIT:
            self.desk.ask("proof", "adding up the paths", lambda pulse: proved(whole, pulse), self._take_proof)

    def _ask(self, keep: bool) -> None:
        """Ask for the list; with `keep` the path that is lit stays so, else the first one is lit."""
        for kind in ("list", "rows", "fall"):
            self.desk.stop(kind)
        self.found, self.trouble, self._blocks = None, self.state.scene.listed.trouble, {}
        whole, wanted = self.state.scene.listed.paths, self.state.wanted
        self.fit()
        if whole is None:
            return

        def listed(found: Listing | UnrollvizError) -> None:
            self._take(found, keep)

        self.obtain("list", "listing the paths", lambda pulse: listing(whole, wanted, pulse), listed, self._quick)

    def _take(self, found: Listing | UnrollvizError, keep: bool) -> None:
        if isinstance(found, UnrollvizError):
            self.trouble = str(found)
            self.fit()
            return
        self.found = found
        if found.table is not None:
            self._sums = np.cumsum(found.table.shares)
        if not len(found):
            self.trouble = "no path is like that; f changes the filter"
        elif not keep or found.indices is not None:
            self._light(0)
        self._fall()
        self.fit()
        self._reveal()
        self._need()

    def _take_proof(self, proof: Proof | UnrollvizError) -> None:
        if isinstance(proof, Proof):
            self.proof = proof
            self.fit()

    def _need(self) -> None:
        """Ask for the figures of the rows that are seen, where they are not known."""
        found, whole, room = self.found, self.state.scene.listed.paths, self._room
        if found is None or whole is None or found.table is not None or room <= 0 or self.falling:
            return
        first = self.scroll_offset.y
        seen = range(first // BLOCK, min(first + room - 1, max(len(found) - 1, 0)) // BLOCK + 1)
        missing = [number for number in seen if number not in self._blocks]
        if not missing:
            return
        if self._quick:
            self._blocks.update((n, block(whole, found, n, lambda words: None)) for n in missing)
        elif not self.desk.has("rows"):
            number = missing[0]
            self.desk.ask(
                "rows", "walking these paths", lambda pulse: block(whole, found, number, pulse), self._put(number)
            )

    def _put(self, number: int) -> Callable[[Block | UnrollvizError], None]:
        def put(found: Block | UnrollvizError) -> None:
            if isinstance(found, UnrollvizError):
                self.trouble = str(found)
                return
            self._blocks[number] = found
            self._need()

        return put

    # ---- keys -------------------------------------------------------------------------------------------------------

    def _light(self, row: int) -> None:
        """Select a row; the app lights its path in the graph."""
        found = self.found
        if found is None or not len(found):
            return
        self.row = min(max(row, 0), len(found) - 1)
        nodes, scene = found.paths.nodes(found.index(self.row)), self.state.scene
        lit = scene.light_nodes(nodes, self.row)
        self.post_message(Lighted(replace(lit, paths=found.paths if found.indices is None else None)))

    def action_path_up(self) -> None:
        self._light(self.row - 1)

    def action_path_down(self) -> None:
        self._light(self.row + 1)

    def action_path_page_up(self) -> None:
        self._page(-10)

    def action_path_page_down(self) -> None:
        self._page(10)

    def _page(self, by: int) -> None:
        if self.falling:
            self.scroll_to(y=self.scroll_offset.y + by, animate=False, immediate=True, force=True)
        else:
            self._light(self.row + by)

    def action_path_open(self) -> None:
        self.falling = not self.falling
        self._fall()
        self.fit()
        self.scroll_to(y=0, animate=False, immediate=True, force=True)
        if not self.falling:
            self._reveal()

    def action_path_order(self) -> None:
        names = list(ORDERS)
        now = self.found.wanted.order if self.found is not None else self.state.wanted.order or names[0]
        order = names[(names.index(now) + 1) % len(names)]
        self.post_message(PathsWanted(replace(self.state.wanted, order=order)))

    def action_path_filter(self) -> None:
        def typed(words: str | None) -> None:
            if words is not None:
                self.post_message(PathsWanted(replace(self.state.wanted, words=words.strip())))

        graph = self.state.scene.timeline.graph
        prompt = Prompt(
            "list only paths like",
            self.state.wanted.words,
            fitted(filters.HELP, self.state.scene.run),
            lambda words: filters.Filter.read(words, graph),
        )
        self.app.push_screen(prompt, typed)

    def action_path_stop(self) -> None:
        """Stop what is being worked out; where nothing is, leave the waterfall, then the filter, then the branch."""
        if self.desk.stop():
            self.trouble = "" if self.found else "stopped; a lists them in another order"
            self.fit()
            self.refresh()
        elif self.falling:
            self.action_path_open()
        elif self.state.wanted != EVERY:
            self.post_message(PathsWanted(EVERY))

    def _fall(self) -> None:
        """Ask for the factors of the selected path, where they are shown."""
        self.fall, found = None, self.found
        if not self.falling or found is None or not len(found):
            return
        index = found.index(self.row)

        def work(pulse: Pulse) -> Waterfall:
            pulse("multiplying the factors")
            fall = Waterfall(found.paths[index])
            assert fall.norms
            return fall

        self.obtain("fall", "multiplying the factors", work, self._take_fall, self._quick)

    def _take_fall(self, fall: Waterfall | UnrollvizError) -> None:
        if isinstance(fall, Waterfall):
            self.fall = fall
        self.fit()
        self.refresh()

    # ---- what is seen -----------------------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        self.fit()
        self._reveal()
        self._need()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._need()

    @property
    def _above(self) -> int:
        """How many lines stand above the rows."""
        return 1 + (self.scrollable_content_region.height >= ROOMY)

    @property
    def _room(self) -> int:
        return self.scrollable_content_region.height - self._above

    def fit(self) -> None:
        rows = len(self.fall or ()) if self.falling else len(self.found or ())
        self.virtual_size = Size(1, self._above + rows)
        named = title(self.state.scene, self.found, self.size.width - 4)
        if self.fall is not None:
            named = f"factors of {arrows(self.fall.path.nodes, self.size.width - 16)}"
        self.border_title = Content(clean(named))
        line = sum_line(self.state.scene, self.found, self.proof, self.size.width - 4)
        words = self.desk.words
        self.border_subtitle = Content(clean(f"{words} · Esc stops" if words else line))

    def _reveal(self) -> None:
        if self.falling:
            return
        y = max(min(self.scroll_offset.y, self.row), self.row + 1 - self._room)
        self.scroll_to(y=y, animate=False, immediate=True, force=True)

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        look = palette(self.app.current_theme.dark)
        row = y - self._above + self.scroll_offset.y
        if self.falling:
            segments = self._fall_line(y, row, width, look)
        elif y < self._above - 1:
            segments = [Segment(" " + arrows(self.state.lit.nodes, width - 2), look.lit)]
        elif y == self._above - 1:
            segments = [Segment(aligned(HEADINGS, cells(width, self.state.scene.run.steps)), look.quiet)]
        elif self.found is not None and row < len(self.found):
            segments = self._row(row, width, look)
        else:
            said = self.trouble or (self.desk.words and f"{self.desk.words} …")
            lines = wrap(clean(said, 1000), max(width - 2, 1))
            line = y - self._above
            segments = [Segment(f" {lines[line]}" if 0 <= line < len(lines) else "", look.wrong)]
        return Strip(segments).adjust_cell_length(width).apply_style(self.rich_style)

    def _fall_line(self, y: int, row: int, width: int, look: Palette) -> list[Segment]:
        fall = self.fall
        if fall is None:
            return [Segment(f" {self.desk.words} …" if y == 0 and self.desk.words else "", look.quiet)]
        if y < self._above - 1:
            return [Segment(" " + fall.sentence(), look.lit)]
        if y == self._above - 1:
            return [Segment(fall.heading(width), look.quiet)]
        return fall.line(row, width, look) if row < len(fall) else []

    def _row(self, row: int, width: int, look: Palette) -> list[Segment]:
        chosen = row == self.row
        style = look.text
        if chosen and self.state.lit.row >= 0:
            style = look.lit + Style(reverse=self.has_focus)
        mark = "▶" if chosen else " "
        found, figures = self._tabled(row), self._figures(row)
        if found is None or figures is None:
            return [Segment(f"{mark}…", style)]
        loss, entry, norm, share, running = figures
        weight = figure(norm, float(found[0].log10_norms[found[1]]))
        words = [f"L{subscript(loss)}", str(entry), str(loss - entry), weight, percent(share), percent(running)]
        text = mark + aligned(words, cells(width, self.state.scene.run.steps))[1:]
        room = width - cell_len(text) - 2
        size = share / self._largest if share and self._largest else 0.0
        drawn = bar(size, room) if room > 0 else ""
        return [Segment(text, style), Segment(f" {drawn}", look.negative if share < 0 else look.positive)]

    @property
    def _largest(self) -> float:
        """The largest |share| that is known; the longest bar."""
        tables = (
            [self.found.table] if self.found and self.found.table else [table for table, _ in self._blocks.values()]
        )
        return max((float(np.abs(table.shares).max(initial=0.0)) for table in tables if table), default=0.0)

    def _tabled(self, row: int) -> tuple[PathTable, int, float] | None:
        """A table that holds the row, its place there, and the sum of the shares up to it; None where they are still to
        be worked out."""
        assert self.found is not None
        if self.found.table is not None:
            return self.found.table, row, float(self._sums[row])
        if row // BLOCK not in self._blocks:
            return None
        (table, before), at = self._blocks[row // BLOCK], row % BLOCK
        return table, at, before + float(table.shares[: at + 1].sum())

    def _figures(self, row: int) -> tuple[int, int, float, float, float] | None:
        """Loss, entry, norm, share and running sum; None where they are still to be worked out."""
        found = self._tabled(row)
        if found is None:
            return None
        table, at, running = found
        return int(table.losses[at]), int(table.entries[at]), float(table.norms[at]), float(table.shares[at]), running

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or self.falling or offset.y < self._above or self.found is None:
            return
        row = offset.y - self._above + self.scroll_offset.y
        if row < len(self.found):
            self._light(row)
