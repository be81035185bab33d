"""A small window in which a line is typed and read at once: what is wrong with it stands below."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from unrollviz.errors import UnrollvizError
from unrollviz.names import clean
from unrollviz.tui.complete import Completer
from unrollviz.tui.look import palette


class Prompt(ModalScreen[str | None]):
    """Returns what was typed, or None; nothing that `read` raises an UnrollvizError for."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", show=False)]

    def __init__(
        self,
        title: str,
        value: str,
        hint: str,
        read: Callable[[str], object],
        words: Iterable[str] = (),
        *,
        proposes: bool = False,
    ) -> None:
        """`proposes`: what is typed first takes the place of `value`."""
        super().__init__()
        self.proposes = proposes
        self.title_text, self.value, self.hint, self.read, self.words = title, value, hint, read, words

    def compose(self) -> ComposeResult:
        with Vertical(classes="window prompt") as window:
            window.border_title = Content(clean(self.title_text))
            window.border_subtitle = "Enter takes it · Esc leaves it"
            yield Input(self.value, select_on_focus=self.proposes, suggester=Completer(self.words))
            yield Static(markup=False)

    def on_mount(self) -> None:
        self.set_focus(self.query_one(Input))  # before the window is seen, so that no key is lost
        self._say("")

    def _wrong(self, words: str) -> str:
        try:
            self.read(words)
        except UnrollvizError as error:
            return str(error)
        return ""

    @on(Input.Changed)
    def check(self, event: Input.Changed) -> None:
        self._say(self._wrong(event.value) if event.value else "")

    def _say(self, wrong: str) -> None:
        look = palette(self.app.current_theme.dark)
        lines = [clean(line, 2000) for line in (wrong or self.hint).splitlines()]
        self.query_one(Static).update(Text("\n".join(lines), look.wrong if wrong else look.quiet))

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        wrong = self._wrong(event.value)
        if wrong:
            self._say(wrong)
        else:
            self.dismiss(event.value)
