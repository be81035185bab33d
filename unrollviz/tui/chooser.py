"""A small window in which a name is typed or picked: a loss, a parameter, any node."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static

from unrollviz.errors import nearest_name
from unrollviz.names import clean
from unrollviz.tui.look import palette
from unrollviz.tui.messages import Looked

OFFERED = 100


class Chooser(ModalScreen[str | None]):
    """Returns the chosen name, or None. What is typed narrows the choices; a name that is none is answered with the
    nearest one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", show=False),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
    ]

    def __init__(self, title: str, choices: Sequence[str], chosen: str = "", tells: bool = False) -> None:
        """With `tells`, every name that is highlighted is told at once."""
        super().__init__()
        self.title_text, self.choices, self.chosen, self.tells = title, choices, chosen, tells
        self.offered: list[str] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="window") as window:
            window.border_title = Content(clean(self.title_text))
            window.border_subtitle = "Enter takes it · Esc leaves it"
            yield Input(placeholder="type a name, or pick one with Up and Down", select_on_focus=False)
            yield Static(markup=False)
            yield OptionList(markup=False)

    def on_mount(self) -> None:
        self.set_focus(self.query_one(Input))  # before the window is seen, so that no key is lost
        self.query_one(OptionList).can_focus = False
        self._offer("")

    @on(Input.Changed)
    def narrow(self, event: Input.Changed) -> None:
        self._offer(event.value.strip())

    def _offer(self, typed: str) -> None:
        """List the names that begin with what is typed, then those that have it in them."""
        low = typed.lower()
        begin = (name for name in self.choices if name.lower().startswith(low))
        inside = (name for name in self.choices if low in name.lower()[1:] and not name.lower().startswith(low))
        self.offered = list(islice(begin, OFFERED))
        self.offered += list(islice(inside, OFFERED - len(self.offered)))
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([clean(name) for name in self.offered])
        options.highlighted = self.offered.index(self.chosen) if self.chosen in self.offered and not typed else 0
        self.query_one(Static).update("" if self.offered else self._unknown(typed))

    def _unknown(self, typed: str) -> Text:
        nearest = self._nearest(typed)
        hint = f"; did you mean {nearest}?" if nearest else ""
        return Text(clean(f"there is no '{typed}'{hint}"), palette(self.app.current_theme.dark).wrong)

    def _nearest(self, typed: str) -> str | None:
        """The name most like what is typed, or like its letters alone, among those that begin alike."""
        alike = [name for name in self.choices if name[0].lower() == typed[:1].lower()]
        return nearest_name(typed, alike) or nearest_name(typed.rstrip("0123456789"), alike)

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        if self.offered:
            options.highlighted = ((options.highlighted or 0) + by) % len(self.offered)

    @on(OptionList.OptionHighlighted)
    def tell(self, event: OptionList.OptionHighlighted) -> None:
        if self.tells and event.option_index < len(self.offered):
            self.post_message(Looked(self.offered[event.option_index]))

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        """Take the highlighted name; where there is none, write the nearest one for another Enter to take."""
        if self.offered:
            self.dismiss(self.offered[self.query_one(OptionList).highlighted or 0])
        elif nearest := self._nearest(event.value.strip()):
            event.input.value = nearest

    @on(OptionList.OptionSelected)
    def pick(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self.offered[event.option_index])
