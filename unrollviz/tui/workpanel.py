"""What panels have in common whose contents are worked out: on the spot where that is not felt, else in a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from textual import on
from textual.scroll_view import ScrollView

from unrollviz.errors import UnrollvizError
from unrollviz.tui.state import DebugState
from unrollviz.tui.work import Desk, Pulse, Worked

T = TypeVar("T")


class WorkPanel(ScrollView, can_focus=True, inherit_bindings=False):
    """Has a desk for its work, which ends with the panel, and draws itself anew as the work goes on.

    Attributes:
        trouble: why there is nothing to be seen; empty where there is.
    """

    def __init__(self, state: DebugState, name: str) -> None:
        super().__init__(id=name)
        self.state = state
        self.desk = Desk(self)
        self.trouble = ""

    def on_mount(self) -> None:
        self.begin()

    def on_unmount(self) -> None:
        self.desk.stop()

    def begin(self) -> None:
        """Ask for what is shown first."""
        raise NotImplementedError

    def fit(self) -> None:
        """Adapt the size of what can be scrolled to, and what stands in the border, to what is known by now."""
        raise NotImplementedError

    def obtain(
        self, kind: str, words: str, work: Callable[[Pulse], T], take: Callable[[T | UnrollvizError], None], quick: bool
    ) -> None:
        """Have something worked out, at once where it is `quick`; `take` gets it, or the error."""
        if not quick:
            self.desk.ask(kind, words, work, take)
            return
        try:
            found: T | UnrollvizError = work(lambda words: None)
        except UnrollvizError as error:
            found = error
        take(found)

    @on(Worked)
    def work(self, message: Worked) -> None:
        message.stop()
        if self.desk.take(message):
            self.fit()
            self.refresh()
