"""A window of lines, to be read and closed: old and new side by side, a long complaint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from unrollviz.names import clean
from unrollviz.tui.look import palette


class Sheet(ModalScreen[None]):
    """Closed by Esc, Enter or q; too many lines are scrolled."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,space", "dismiss", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[str], hint: str = "") -> None:
        super().__init__()
        self.title_text, self.lines, self.hint = title, lines, hint

    def compose(self) -> ComposeResult:
        look = palette(self.app.current_theme.dark)
        with VerticalScroll(classes="window") as window:
            window.border_title = Content(clean(self.title_text, 400))
            window.border_subtitle = " · ".join(filter(None, ("Esc closes", self.hint)))
            yield Static(
                Text("\n".join(clean(line, 400) for line in self.lines), look.text, no_wrap=True), markup=False
            )
