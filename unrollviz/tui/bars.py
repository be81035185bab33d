"""The lines at the top and the bottom: where the run stands and what happens, and which keys apply."""

from __future__ import annotations

from rich.style import Style
from rich.text import Text
from textual.widget import Widget

from unrollviz.debugger.words import describe
from unrollviz.names import clean
from unrollviz.tui.actions import of_now
from unrollviz.tui.look import palette
from unrollviz.tui.paint import BROKEN
from unrollviz.tui.state import DebugState


class EventBar(Widget):
    """Two lines: the phases with the present one marked, and what has just happened."""

    def __init__(self, state: DebugState) -> None:
        super().__init__(id="event")
        self.state = state

    def show(self, state: DebugState) -> None:
        self.state = state
        self.refresh()

    def render(self) -> Text:
        look, state = palette(self.app.current_theme.dark), self.state
        line = Text(" ", no_wrap=True, overflow="ellipsis")
        for index, phase in enumerate(state.stepper.timeline.phases):
            here = phase == state.now.phase and state.now.event is not None
            line.append(" → " if index else "", look.quiet)
            line.append(BROKEN if phase in state.marks.phases else "", look.wrong)
            line.append(f" {phase} " if here else phase, look.now + Style(reverse=True) if here else look.quiet)
        line.append(f"   {state.cursor:,}/{state.scene.timeline.end:,}", look.text)
        if state.stepper.learner is not None:
            count = f"{state.stepper.iteration:,} of {state.stepper.learner.updates:,}"
            word = "iteration" if line.cell_len + len(count) + 12 <= self.size.width else "it"
            line.append(f"  {word} ", look.quiet).append(count, look.now)
        if state.typed:
            line.append(f"   {state.typed} ×", look.lit)
        said = Text(clean(state.busy or state.note, 400), look.cotangent)
        room = self.size.width - line.cell_len - 3
        fits = said.cell_len == 0 or said.cell_len <= room
        if fits:
            line.append("   ").append(said)
        line.truncate(self.size.width, overflow="ellipsis")
        return line.append("\n").append(self._sentence() if fits else Text(" ").append(said))

    def _sentence(self) -> Text:
        look, state = palette(self.app.current_theme.dark), self.state
        source, timeline = state.scene.run.graph, state.scene.timeline
        event, following = state.now.event, state.now.next
        line = Text(" ", no_wrap=True, overflow="ellipsis")
        if event is None:
            line.append("nothing has happened yet", look.quiet)
        else:
            line.append(clean(describe(source, timeline, event)), look.now)
        if following is not None:
            line.append("    next: " + clean(describe(source, timeline, following)), look.quiet)
        return line


class KeyBar(Widget):
    """One line of the keys that do something now: as many as there is room for, help and leaving always."""

    def __init__(self, state: DebugState) -> None:
        super().__init__(id="keys")
        self.state = state

    def show(self, state: DebugState) -> None:
        self.state = state
        self.refresh()

    def render(self) -> Text:
        if self.app.screen is not self.screen:  # a window has the keys, and says which
            return Text()
        words = {brief: self._word(brief, keys) for brief, keys in of_now(self.state, self.state.panel).items()}
        always = Text().append_text(words.pop("help")).append_text(words.pop("quit"))
        line = Text(no_wrap=True, overflow="crop")
        for word in words.values():
            if line.cell_len + word.cell_len + always.cell_len <= self.size.width:
                line.append_text(word)
        return line.append(" " * (self.size.width - line.cell_len - always.cell_len)).append_text(always)

    def _word(self, brief: str, keys: list[str]) -> Text:
        look = palette(self.app.current_theme.dark)
        return Text(" ").append(" ".join(keys), look.now).append(f" {brief} ", look.quiet)
