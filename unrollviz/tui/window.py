"""The window: the one state, the panels that show it, the focus, sizes, colours, and numbers before keys."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from textual import events
from textual.actions import ActionParseResult
from textual.app import App, ComposeResult, SystemCommand
from textual.containers import Horizontal, Vertical
from textual.dom import DOMNode
from textual.filter import LineFilter, NoColor
from textual.geometry import Size
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from unrollviz.debugger.stepper import Stepper
from unrollviz.tui import state as to
from unrollviz.tui.accordion import Accordion
from unrollviz.tui.actions import ACTIONS, bindings, called
from unrollviz.tui.bars import EventBar, KeyBar
from unrollviz.tui.eventlist import EventList
from unrollviz.tui.flowpanel import FlowPanel
from unrollviz.tui.grid import Grid
from unrollviz.tui.help import Help
from unrollviz.tui.inspector import Inspector
from unrollviz.tui.keyqueue import KeyQueue, Probe
from unrollviz.tui.look import THEMES
from unrollviz.tui.pathlist import PathList
from unrollviz.tui.plain import Ascii, Blunt
from unrollviz.tui.scene import Scene
from unrollviz.tui.tour import LINES as TOUR_LINES
from unrollviz.tui.tour import Tour
from unrollviz.tui.view import restored
from unrollviz.tui.watchbar import WatchBar
from unrollviz.tui.work import ROAD

SMALLEST = (40, 12)
ROOMY = (60, 16)
"""Below ROOMY only the panel with the focus is seen; below SMALLEST nothing."""
WIDTHS = [(0, "-too-narrow"), (SMALLEST[0], "-wide-enough")]
HEIGHTS = [(0, "-too-low"), (SMALLEST[1], "-high-enough"), (44, "-tall")]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Window(App[None]):
    """Owns the state; hands it to the panels whenever it is replaced."""

    CSS_PATH = "debug.tcss"
    TITLE = "unrollviz"
    BINDINGS = bindings()
    ALLOW_SELECT = False
    CHORD = 1.0
    """Seconds that a digit waits for the next, or for the key that it belongs to."""
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS

    def __init__(self, first: Scene, stepper: Stepper | None = None, unicode: bool = True) -> None:
        super().__init__()
        self.unicode = unicode
        for theme in THEMES:
            self.register_theme(theme)
        view = stepper.view if stepper is not None else {}
        self.theme = THEMES[view.get("dark") is False].name
        self.state = restored(to.opening(first, stepper), view)
        self.enlarged = False
        self.keys = KeyQueue(self, super().on_event)
        self._home: Widget | None = None
        graph, inspector = Grid(self.state), Inspector(self.state)
        paths, flow, listed = PathList(self.state), FlowPanel(self.state), EventList(self.state)
        self.panels = (graph, inspector, paths, flow, listed)
        self.frame, self.notice = Vertical(id="debugger"), Static(id="too-small", markup=False)
        self.bars = (EventBar(self.state), WatchBar(self.state), KeyBar(self.state))

    def compose(self) -> ComposeResult:
        graph, inspector, *right = self.panels
        event, watches, keys = self.bars
        with self.frame:
            yield event
            yield watches
            yield graph
            with Horizontal(id="panels"):
                yield inspector
                yield Accordion(*right, id="right")
            yield keys
        yield self.notice

    def on_mount(self) -> None:
        if not self.unicode:
            for panel in self.panels:
                panel.vertical_scrollbar.renderer = Blunt  # type: ignore[misc]
        self.screen_change_signal.subscribe(self, lambda screen: self.bars[2].refresh())
        next((panel for panel in self.panels if panel.id == self.state.panel), self.panels[0]).focus()
        if not self.is_headless:
            for number in SIGNALS:
                asyncio.get_running_loop().add_signal_handler(number, self.exit, None, 128 + number)
            if sys.__stdin__ is not None and sys.__stdin__.isatty():
                self.set_interval(1.0, self._leave_a_terminal_that_is_gone)

    def _leave_a_terminal_that_is_gone(self) -> None:
        """Not every terminal that goes away says so by SIGHUP; Textual would then read from it for ever."""
        if not sys.__stdin__.isatty():  # type: ignore[union-attr]
            self.exit(return_code=128 + signal.SIGHUP)

    def become(self, state: to.DebugState) -> None:
        """Take on a new state and show it."""
        self.state = state
        for panel in (*self.panels, *self.bars):
            panel.show(state)
        self._arrange()

    def say(self, note: str) -> None:
        self.become(replace(self.state, note=note))

    def get_line_filters(self) -> Sequence[LineFilter]:
        """NO_COLOR means none at all, where Textual would still send greys; without Unicode all is drawn in ASCII."""
        colours = [NoColor()] if self.no_color else super().get_line_filters()
        return colours if self.unicode else [*colours, Ascii()]

    # ---- the window --------------------------------------------------------------------------------------------------

    @property
    def too_small(self) -> bool:
        return self.size.width < SMALLEST[0] or self.size.height < SMALLEST[1]

    def on_resize(self, event: events.Resize) -> None:
        smallest, now = (f"{width} × {height}" for width, height in (SMALLEST, event.size))
        self.notice.update(
            f"The debugger needs {smallest} characters; this terminal has {now}. Enlarge it, or leave with q."
        )
        self._arrange(event.size)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        panel = event.widget.id or ""
        if event.widget in self.panels and panel != self.state.panel:
            self.become(replace(self.state, panel=panel))
        self._arrange()

    def _arrange(self, size: Size | None = None) -> None:
        """Where there is little room, or it is wished, only the panel with the focus is seen."""
        size = size or self.size
        taken = len(self.bars[1].lines) + (TOUR_LINES if isinstance(self.screen_stack[-1], Tour) else 0)
        small = size.width < ROOMY[0] or size.height < ROOMY[1] + taken
        self.frame.set_class(self.enlarged or small, "-alone")
        for panel in self.panels:
            self.frame.set_class(panel.id == self.state.panel, f"-at-{panel.id}")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """On a screen too small to see anything, keys other than those for leaving do nothing."""
        return not self.too_small or action in ("quit", "interrupt")

    def action_focus_next(self) -> None:
        self._go_to_panel(1)

    def action_focus_previous(self) -> None:
        self._go_to_panel(-1)

    def _go_to_panel(self, by: int) -> None:
        """At once, and not by a message: the next key may be there already."""
        now = next((index for index, panel in enumerate(self.panels) if panel is self.focused), 0)
        self.screen.set_focus(self.panels[(now + by) % len(self.panels)])

    def action_panel(self, number: int) -> None:
        """Go to a panel; but a digit may also be part of a number, which then belongs to the key after it."""
        if not self.state.typed:
            self._home = self.focused
        self.panels[number - 1].focus()
        self.action_count(str(number))

    def action_count(self, digit: str) -> None:
        typed = (self.state.typed + digit).lstrip("0")[:7]
        self.become(replace(self.state, typed=typed))
        self.set_timer(self.CHORD, lambda: self._forget(typed))

    def _forget(self, typed: str) -> None:
        """The number has been used, or too long ago."""
        if typed and self.state.typed == typed:
            self._home = None
            self.become(replace(self.state, typed=""))

    async def on_event(self, event: events.Event) -> None:
        """Work in threads gives way to what a person does."""
        if isinstance(event, events.InputEvent):
            ROAD.clear()
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded:
            await self.keys.add(event)
        else:
            await super().on_event(event)

    async def on_probe(self, probe: Probe) -> None:
        await self.keys.arrived(probe)

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Whatever is done uses up the number that was typed before it."""
        typed = self.state.typed
        done = await super().run_action(action, default_namespace, namespaces)
        if done:
            self._forget(typed)
        return done

    def action_enlarge(self) -> None:
        """The panel with the focus alone on the screen, and back."""
        self.enlarged = not self.enlarged
        self._arrange()

    def action_light(self) -> None:
        self.theme = next(theme.name for theme in THEMES if theme.name != self.theme)
        self.become(self.state)

    def action_help(self) -> None:
        self.push_screen(Help(self.state.scene.run))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """For the command palette: what the table has, for everywhere and for the panel with the focus."""
        for action in ACTIONS:
            if (
                action.panel in ("", self.state.panel)
                and "{key}" not in action.call
                and action.name != "command_palette"
            ):
                target = self if not action.panel or action.change else self.focused
                run = partial(self.run_action, called(action), target)
                yield SystemCommand(action.help, f"key {action.key.replace('[', 'opening bracket')}", run)

    async def action_quit(self) -> None:
        self.exit(return_code=0)

    def action_interrupt(self) -> None:
        self.exit(return_code=128 + signal.SIGINT)
