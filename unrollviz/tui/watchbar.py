"""What is kept in sight at every stop: the watches, old and new, and what has been changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rich.style import Style
from rich.text import Text
from textual.widget import Widget

from unrollviz.debugger.stepper import Stepper
from unrollviz.debugger.telling import value_text
from unrollviz.errors import UnrollvizError
from unrollviz.names import clean
from unrollviz.tui.look import Palette, palette
from unrollviz.tui.state import DebugState

SHOWN = 4
"""Watches that are in sight; B lists them all."""


class WatchBar(Widget):
    """A line a watch, and one for the edits; no lines where there is neither."""

    def __init__(self, state: DebugState) -> None:
        super().__init__(id="watches")
        self.state = state
        self.lines: list[Text] = []

    def show(self, state: DebugState) -> None:
        if state.stepper is not self.state.stepper:
            self.state = state
            self._write()

    def on_mount(self) -> None:
        self._write()

    def _write(self) -> None:
        self.lines = list(lines_of(self.state.stepper, palette(self.app.current_theme.dark)))
        self.display = bool(self.lines)
        self.styles.height = len(self.lines)
        self.refresh()

    def render(self) -> Text:
        return Text("\n", no_wrap=True, overflow="ellipsis").join(self.lines)


def lines_of(stepper: Stepper, look: Palette) -> Iterator[Text]:
    """`watch W.grad[0, 1]  0.25 → 0.31 *`; star and arrow where it has changed since the last stop."""
    if stepper.edits:
        made = ", ".join(edit.text for edit in stepper.edits)
        yield Text(" changed ", look.cotangent).append(clean(made, 400), look.text).append("   u undoes", look.quiet)
    for watch in stepper.watches[:SHOWN]:
        line = Text(" watch ", look.quiet).append(clean(watch.text), look.lit).append("  ")
        try:
            (reading,) = replace(stepper, watches=(watch,)).readings()
        except UnrollvizError as error:
            yield line.append(clean(str(error), 400), look.wrong)
            continue
        now = value_text(reading.value)
        if reading.changed:
            line.append(f"{value_text(reading.before)} → ", look.quiet).append(now, look.text + Style(bold=True))
            line.append(" *", look.wrong)
        else:
            line.append(now, look.text)
        yield line.append("   stops where it changes" if watch.stops else "", look.quiet)
    if len(stepper.watches) > SHOWN:
        yield Text(f" {len(stepper.watches) - SHOWN} more watches: B lists them", look.quiet)
