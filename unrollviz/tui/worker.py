"""The window with a desk: questions asked, work done in threads, another stepper and its scene taken on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from textwrap import wrap
from typing import TypeVar

from textual import on
from textual.screen import ModalScreen

from unrollviz.debugger import stepper as go
from unrollviz.debugger.stepper import Stepper
from unrollviz.errors import UnrollvizError
from unrollviz.tui import errands
from unrollviz.tui import state as to
from unrollviz.tui.errands import Change
from unrollviz.tui.scene import Scene
from unrollviz.tui.sheet import Sheet
from unrollviz.tui.window import Window
from unrollviz.tui.work import Desk, Pulse, Worked

T = TypeVar("T")


class Worker(Window):
    """Whatever takes long enough to be felt goes through here."""

    def __init__(self, first: Scene, stepper: Stepper | None = None, unicode: bool = True) -> None:
        super().__init__(first, stepper, unicode)
        self.desk = Desk(self)
        self._waiting: list[Change] = []

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Esc stops the app's work where there is some; else it is the panel's own."""
        return bool(self.desk.words) if action == "stop" else super().check_action(action, parameters)

    def _ask(self, window: ModalScreen[str | None], then: Callable[[str], None]) -> None:
        """Have a name or a line typed, unless it is left."""
        self.push_screen(window, lambda text: then(text) if text is not None else None)

    def _prepare(self, change: Change | None = None, then: Callable[[], None] = lambda: None, **chosen: str) -> None:
        """Work out another stepper and its scene. What was asked before, and is not answered yet, is asked again."""
        self._waiting.append(change or (lambda stepper: go.chosen(stepper, **chosen)))
        changes, started, like = tuple(self._waiting), self.state.stepper, self.state.scene

        def take(found: tuple[Stepper, Scene]) -> None:
            self._waiting.clear()
            stepper, scene = found
            self.become(to.shown(self.state, scene, to.caught_up(stepper, started, self.state.stepper)))
            then()

        self._do("scene", "working it out", lambda pulse: errands.prepared(started, like, changes, pulse), take)

    def _do(self, kind: str, words: str, work: Callable[[Pulse], T], take: Callable[[T], None]) -> None:
        """Have something done in a thread; what goes wrong is said."""

        def done(found: T | UnrollvizError) -> None:
            self.become(replace(self.state, busy=self.desk.words, note=""))
            if isinstance(found, UnrollvizError):
                self._waiting.clear()
                self._complain(str(found))
            else:
                take(found)

        self.desk.ask(kind, words, work, done)
        self.become(replace(self.state, busy=self.desk.words, note=""))

    def _complain(self, words: str) -> None:
        """In the second line, or in a window of its own where that is too short."""
        if len(words) < self.size.width - 1:
            self.say(words)
        else:
            self.say("")
            self.push_screen(Sheet("this cannot be done", wrap(words, max(min(self.size.width - 8, 80), 10))))

    @on(Worked)
    def work(self, message: Worked) -> None:
        if self.desk.take(message):
            self.become(replace(self.state, busy=self.desk.words))

    def action_stop(self) -> None:
        self.desk.stop()
        self._waiting.clear()
        self.become(replace(self.state, busy="", note="stopped"))
