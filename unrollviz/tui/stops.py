"""The window of breakpoints and watches: on and off, delete, add; what is wrong with a new one stands below it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static

from unrollviz.debugger import stepper as go
from unrollviz.debugger.breakpoints import CONDITIONS
from unrollviz.debugger.expressions import FUNCTIONS, QUANTITIES
from unrollviz.debugger.stepper import Stepper
from unrollviz.errors import UnrollvizError
from unrollviz.graph import Graph, names_of
from unrollviz.names import clean
from unrollviz.tui.complete import Completer, words_of
from unrollviz.tui.errands import Change
from unrollviz.tui.examples import fitted
from unrollviz.tui.look import palette

WATCH = "watch W.grad[0, 1], or watch stop loss: also stop where it changes"
NAMES = (
    f"names: {', '.join(QUANTITIES)}; any node, s3.value[0]\n"
    f"functions: {', '.join(FUNCTIONS)}\n"
    f"conditions: {', '.join(kind for kind in CONDITIONS if kind)} W.grad[0, 1]; or one that holds"
)


def places(graph: Graph) -> str:
    """What may be typed for a breakpoint, with the names that a graph has."""
    states = list(dict.fromkeys(name.rstrip("0123456789") for name in names_of(graph, "state")))[::-1]
    vanishes = " · or ".join(f"{state}* if complete and norm(cotangent) < 1e-6" for state in states[:2])
    return (
        f"{states[0]}3 · {states[0]}* · t=3 · phase=backward · norm(value) > 10\n"
        f"where one loss's gradient (l chooses it) vanishes: {vanishes}"
    )


@dataclass
class Changed(Message):
    """Breakpoints or watches are to be changed."""

    change: Change


class Stops(ModalScreen[None]):
    """Works on a stepper of its own, and tells every change."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False),
        Binding("a", "add", show=False),
        Binding("space", "turn", show=False),
        Binding("d,delete", "delete", show=False),
        Binding("q,B", "dismiss", show=False),
    ]

    def __init__(self, stepper: Stepper) -> None:
        super().__init__()
        self.stepper = stepper

    def compose(self) -> ComposeResult:
        with Vertical(classes="window") as window:
            window.border_title = "breakpoints and watches"
            yield OptionList(markup=False)
            yield Input(
                placeholder="where to stop, or: watch an expression",
                suggester=Completer(words_of(self.stepper.run.graph)),
                select_on_focus=False,
            )
            yield Static(markup=False)

    def on_mount(self) -> None:
        self._list(0)
        self._say("")
        self.query_one(OptionList if self._count else Input).focus()

    @property
    def _points(self) -> int:
        return len(self.stepper.breakpoints)

    @property
    def _count(self) -> int:
        return self._points + len(self.stepper.watches)

    def _list(self, row: int) -> None:
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([self._line(index) for index in range(self._count)])
        options.highlighted = min(row, self._count - 1) if self._count else None
        options.display = bool(self._count)
        keys = "Space on/off · d delete · a add · Esc closes" if self._count else "Enter adds it · Esc closes"
        self.query_one(".window").border_subtitle = keys

    def _line(self, index: int) -> Text:
        """`[×] s3   stopped here 2 times`, `[ ] watch loss`"""
        if index < self._points:
            point = self.stepper.breakpoints[index]
            hits = f"   stopped here {point.hits} time{'s' * (point.hits != 1)}" if point.hits else ""
            return Text(f"[{'×' if point.enabled else ' '}] {clean(point.text, 400)}{hits}")
        watch = self.stepper.watches[index - self._points]
        return Text(
            f"[{'×' if watch.stops else ' '}] watch {clean(watch.text, 400)}{'   stops' if watch.stops else ''}"
        )

    def _say(self, wrong: str) -> None:
        look = palette(self.app.current_theme.dark)
        said = Text(clean(wrong, 2000) + "\n", look.wrong) if wrong else Text()
        rest = fitted(f"{WATCH}\n{NAMES}", self.stepper.run)
        self.query_one(Static).update(said.append(f"{places(self.stepper.run.graph)}\n{rest}", look.quiet))

    def _change(self, change: Change, row: int) -> bool:
        """Make a change here, and tell it; False where it cannot be made."""
        try:
            self.stepper = change(self.stepper)
        except UnrollvizError as error:
            self._say(str(error))
            return False
        self.post_message(Changed(change))
        self._list(row)
        self._say("")
        return True

    def _row(self) -> int | None:
        return self.query_one(OptionList).highlighted

    def action_turn(self) -> None:
        row = self._row()
        if row is not None:
            self._change(_turned(row), row)

    def action_delete(self) -> None:
        row = self._row()
        if row is not None:
            self._change(_deleted(row), row)
            if not self._count:
                self.query_one(Input).focus()

    def action_add(self) -> None:
        self.query_one(Input).focus()

    def action_leave(self) -> None:
        """From the line that is typed in to the list; from there out."""
        if self.query_one(Input).has_focus and self._count:
            self.query_one(OptionList).focus()
        else:
            self.dismiss()

    @on(OptionList.OptionSelected)
    def turn(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.action_turn()

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        self._say("")

    @on(Input.Submitted)
    def add(self, event: Input.Submitted) -> None:
        if self._change(added(event.value), self._count) and event.value.strip():
            event.input.value = ""
            self.query_one(OptionList).focus()


def added(text: str) -> Change:
    """With a breakpoint, or with the watch in `watch EXPRESSION`, `watch stop EXPRESSION`."""
    kind, _, rest = text.strip().partition(" ")
    return watched(rest) if kind == "watch" else lambda stepper: go.with_breakpoint(stepper, text)


def watched(text: str) -> Change:
    """With a watch; `stop EXPRESSION` is one that also stops where it changes."""
    first, _, rest = text.strip().partition(" ")
    stops = first == "stop" and bool(rest.strip())
    return lambda stepper: go.with_watch(stepper, rest.strip() if stops else text.strip(), stops=stops)


def _turned(row: int) -> Change:
    """A breakpoint on or off; a watch with or without stopping."""

    def change(stepper: Stepper) -> Stepper:
        points = len(stepper.breakpoints)
        if row < points:
            return go.with_enabled(stepper, row, not stepper.breakpoints[row].enabled)
        watches = list(stepper.watches)
        watches[row - points] = replace(watches[row - points], stops=not watches[row - points].stops)
        return replace(stepper, watches=tuple(watches))

    return change


def _deleted(row: int) -> Change:
    def change(stepper: Stepper) -> Stepper:
        points = len(stepper.breakpoints)
        return go.without_breakpoint(stepper, row) if row < points else go.without_watch(stepper, row - points)

    return change
