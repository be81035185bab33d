"""The help screen: every key from the table, and what the marks in the grid mean."""

from __future__ import annotations

from itertools import groupby
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from unrollviz.draw.style import LOOKS, MEANINGS
from unrollviz.tui.actions import ACTIONS, Action
from unrollviz.tui.look import Palette, palette
from unrollviz.tui.paint import COMING, COMPLETE, COPY, PARTIAL

MARKS: tuple[tuple[str, str], ...] = (
    (COMING, "its value is still to come"),
    ("[●]", "what has just happened; ═ the edges that it came through"),
    ("(●)", "on the selected path, whose edges are ━;  {●} both at once"),
    ("‹●›", "the node that the inspector shows"),
    (PARTIAL, "its cotangent so far: more contributions are to come"),
    (COMPLETE, "its cotangent is complete"),
    (COPY, "a parameter at the step that uses it; the row is its rail"),
)

SENTENCE = (
    "A run goes forward through time, compares each output with its target, and goes back: every node hands its "
    "cotangent ∂L/∂node to its arguments, edge by edge. ∂L/∂W is the sum over all paths from a loss back to W; "
    "the list shows what each one adds."
)


class Help(ModalScreen[None]):
    """Closed by the key that opened it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, "app.pop_screen", show=False) for key in ("question_mark", "escape", "q", "enter")
    ]

    def compose(self) -> ComposeResult:
        look = palette(self.app.current_theme.dark)
        with VerticalScroll(classes="window") as window:
            window.border_title = "keys and marks"
            window.border_subtitle = "Esc closes"
            yield Static(help_text(look), markup=False)


def help_text(look: Palette) -> Text:
    """The whole help, made from the tables."""
    text = Text(SENTENCE + "\n", look.text)
    for group, actions in groupby(ACTIONS, key=lambda action: action.group):
        text.append(f"\n{group}\n", look.lit)
        for action in actions:
            text.append(f"  {action.key:>16}", look.now).append(f"  {action.help}{_where(action)}\n", look.text)
    text.append("\nMarks in the graph\n", look.lit)
    for mark, meaning in MARKS:
        text.append(f"  {mark:>16}", look.now).append(f"  {meaning}\n", look.text)
    for role, meaning in MEANINGS.items():
        text.append(f"  {LOOKS[role].mark:>16}", look.roles[role]).append(f"  {meaning}\n", look.text)
    return text


def _where(action: Action) -> str:
    return f"  (in the {action.panel})" if action.panel else ""
