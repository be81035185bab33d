"""The debugger on a terminal: `debug(run)` opens it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from threading import Thread

from textual import events, on
from textual.app import App, ComposeResult
from textual.containers import Horizontal, Vertical
from textual.filter import LineFilter, NoColor
from textual.widgets import Static

from unrollviz.api import Run
from unrollviz.errors import UnrollvizError
from unrollviz.graph import levels_of, names_of
from unrollviz.tui import state as to
from unrollviz.tui.actions import BY_NAME, bindings
from unrollviz.tui.bars import EventBar, KeyBar
from unrollviz.tui.chooser import Chooser
from unrollviz.tui.grid import Grid
from unrollviz.tui.help import Help
from unrollviz.tui.inspector import Inspector
from unrollviz.tui.look import THEMES
from unrollviz.tui.messages import Pointed, Prepared, RowChosen
from unrollviz.tui.pathlist import PathList
from unrollviz.tui.scene import Scene, scene

SMALLEST = (60, 16)
WIDTHS = [(0, "-too-narrow"), (SMALLEST[0], "-wide-enough")]
HEIGHTS = [(0, "-too-low"), (SMALLEST[1], "-high-enough")]
ALL_LOSSES = "all"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def debug(run: Run, *, losses: str | Sequence[str] | None = None, target: str = "W", detail: str = "state") -> int:
    """Open the debugger on this terminal; returns the exit code when it is left: 0, or 128 + the signal's number.

    Args:
        losses: where the backward pass starts; every loss where None.
        target: the parameter whose paths are listed.
        detail: the level of detail that is stepped through.
    Raises:
        UnrollvizError: where there is no terminal.
        UnknownName: with the nearest name, for an unknown loss, parameter or level of detail.
    """
    check_terminal()
    app = DebugApp(scene(run, detail, run.loss_names(losses), target))
    gc.freeze()  # the run stays to the end: looking through it for garbage would hold up a key for 200 ms
    app.run()
    return app.return_code or 0


def check_terminal() -> None:
    """Raise UnrollvizError unless there is a terminal to read keys from and to draw on."""
    streams = {"standard input": sys.__stdin__, "standard output": sys.__stdout__, "standard error": sys.__stderr__}
    for name, stream in streams.items():
        if stream is None or not stream.isatty():
            raise UnrollvizError(f"the debugger needs a terminal, but {name} is none; start it from a terminal window")
    if os.environ.get("TERM", "") in ("", "dumb"):
        raise UnrollvizError("the debugger needs a terminal that can place the cursor; set TERM, for instance to xterm")


class DebugApp(App[None]):
    """Owns the state; hands it to the panels whenever it is replaced."""

    CSS_PATH = "debug.tcss"
    TITLE = "unrollviz"
    BINDINGS = bindings()
    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS

    def __init__(self, first: Scene) -> None:
        super().__init__()
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEMES[0].name
        self.state = to.opening(first)
        self.panels = (EventBar(self.state), Grid(self.state), Inspector(self.state), PathList(self.state))
        self._latest = 0

    def compose(self) -> ComposeResult:
        event, graph, inspector, paths = self.panels
        with Vertical(id="debugger"):
            yield event
            yield graph
            with Horizontal(id="panels"):
                yield inspector
                yield paths
            yield KeyBar(id="keys")
        yield Static(id="too-small", markup=False)

    def on_mount(self) -> None:
        self.panels[1].focus()
        if not self.is_headless:
            for number in SIGNALS:
                asyncio.get_running_loop().add_signal_handler(number, self.exit, None, 128 + number)

    def become(self, state: to.DebugState) -> None:
        """Take on a new state and show it."""
        self.state = state
        for panel in self.panels:
            panel.show(state)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """NO_COLOR means none at all, where Textual would still send greys."""
        return [NoColor()] if self.no_color else super().get_line_filters()

    @property
    def too_small(self) -> bool:
        return self.size.width < SMALLEST[0] or self.size.height < SMALLEST[1]

    def on_resize(self, event: events.Resize) -> None:
        smallest, now = (f"{width} × {height}" for width, height in (SMALLEST, event.size))
        self.query("#too-small").first(Static).update(
            f"The debugger needs {smallest} characters; this terminal has {now}. Enlarge it, or leave with q."
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """On a screen too small to see anything, keys other than those for leaving do nothing."""
        return not self.too_small or action in ("quit", "interrupt")

    @on(Pointed)
    def point(self, message: Pointed) -> None:
        self.become(to.selected(self.state, message.place))

    @on(RowChosen)
    def choose_row(self, message: RowChosen) -> None:
        if message.row < len(self.state.scene.listed):
            self.become(to.listed(self.state, message.row))

    def action_act(self, name: str) -> None:
        """Do what the table says: replace the state."""
        change = BY_NAME[name].change
        if change is not None:
            self.become(change(self.state))

    def action_choose_loss(self) -> None:
        scene = self.state.scene
        every = scene.run.loss_names()
        chosen = scene.losses[0] if len(scene.losses) == 1 else ALL_LOSSES
        self._ask("start the backward pass from", [ALL_LOSSES, *every], chosen, self._choose_loss)

    def _choose_loss(self, name: str) -> None:
        self._prepare(losses=self.state.scene.run.loss_names(None if name == ALL_LOSSES else name))

    def action_choose_parameter(self) -> None:
        scene = self.state.scene
        parameters = names_of(scene.run.graph, "parameter")
        self._ask("list the paths that lead to", parameters, scene.target, lambda name: self._prepare(target=name))

    def action_detail(self) -> None:
        levels = levels_of(self.state.scene.run.graph)
        now = self.state.scene.detail
        after = levels.index(now) + 1 if now in levels else 0
        self._prepare(detail=levels[after % len(levels)])

    def action_go_to(self) -> None:
        names = list(self.state.scene.layout.nodes)
        self._ask("go to node", names, "", self._go_to)

    def _go_to(self, name: str) -> None:
        self.become(to.selected(self.state, self.state.scene.layout.nodes[name]))

    def action_light(self) -> None:
        self.theme = next(theme.name for theme in THEMES if theme.name != self.theme)
        self.become(self.state)

    def action_help(self) -> None:
        self.push_screen(Help())

    async def action_quit(self) -> None:
        self.exit(return_code=0)

    def action_interrupt(self) -> None:
        self.exit(return_code=128 + signal.SIGINT)

    def _ask(self, title: str, choices: Iterable[str], chosen: str, then: Callable[[str], None]) -> None:
        self.push_screen(Chooser(title, list(choices), chosen), lambda name: then(name) if name is not None else None)

    def _prepare(self, **changes: str | Sequence[str]) -> None:
        """Work out another scene in a thread of its own, so that keys are answered meanwhile; the latest wins."""
        now = self.state.scene
        asked = {"detail": now.detail, "losses": now.losses, "target": now.target, **changes}
        self._latest += 1
        work = partial(scene, now.run, like=now, **asked)  # type: ignore[arg-type]
        self.become(replace(self.state, busy="working it out …"))
        Thread(target=self._work, args=(self._latest, work), daemon=True).start()

    def _work(self, number: int, work: Callable[[], Scene]) -> None:
        try:
            result: Scene | Exception = work()
        except Exception as error:  # handed to the app, which shows or raises it
            result = error
        self.post_message(Prepared(number, result))

    @on(Prepared)
    def take(self, message: Prepared) -> None:
        if message.number != self._latest:
            return
        if isinstance(message.result, UnrollvizError):
            self.become(replace(self.state, busy="", note=str(message.result)))
        elif isinstance(message.result, Exception):
            raise message.result
        else:
            self.become(to.shown(self.state, message.result))
