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

from unrollviz.api import Run
from unrollviz.debugger.breakpoints import CONDITIONS
from unrollviz.debugger.expressions import FUNCTIONS, QUANTITIES
from unrollviz.debugger.whatif import FORMS
from unrollviz.draw.style import LOOKS, MEANINGS
from unrollviz.tui.actions import ACTIONS, Action
from unrollviz.tui.examples import fitted
from unrollviz.tui.look import Palette, palette
from unrollviz.tui.paint import BROKEN, COMING, COMPLETE, COPY, FOLDED, PARTIAL, USED

MARKS: tuple[tuple[str, str], ...] = (
    (COMING, "its value is still to come"),
    ("[●]", "what has just happened; ═ the edges that it came through"),
    ("(●)", "on the selected path, whose edges are ━;  {●} both at once"),
    ("‹●›", "the node that the inspector shows"),
    (PARTIAL, "its cotangent so far: more contributions are to come"),
    (COMPLETE, "its cotangent is complete"),
    (f"{COPY} {USED}", "a parameter at the step that uses it, before and after it has; the row is its rail"),
    (BROKEN, "it has a breakpoint"),
    (f"{FOLDED} 9 steps {FOLDED}", "steps that are folded; f unfolds them, a click goes there"),
    ("+7 -3", "in a heat map: tenths of the largest absolute value, which is 9; · is 0"),
)

TYPED: dict[str, list[tuple[str, str]]] = {
    "Where to stop, what to watch (B, w)": [
        ("s3  l1.*  t=3", "a node, nodes by a pattern, a step; phase=backward"),
        ("… if …", "there, and under a condition: s* if complete and norm(cotangent) < 1e-6"),
        *((kind or "an expression", says) for kind, (says, _) in CONDITIONS.items()),
        ("s3.value[0]", "any node; W.grad[0, 1]"),
        *((name, quantity.says) for name, quantity in QUANTITIES.items()),
        *((f"{name}(…)", says) for name, (says, _) in FUNCTIONS.items()),
    ],
    "What if (x)": [(kind, form) for kind, form in FORMS.items()],
}
"""Heading -> what may be typed there, and what it means."""

SENTENCE = (
    "A run goes forward through time, compares each output with its target, and goes back: every node hands its "
    "cotangent ∂L/∂node to its arguments, edge by edge. ∂L/∂W is the sum over all paths from a loss back to W; "
    "the list shows what each one adds. Its share is ⟨term, G⟩ / ⟨G, G⟩, G being that sum: shares add up to 100 %, and "
    "one is negative where a term points against G, so that others can exceed 100 %. ∂⁺s₃/∂W is the direct derivative, "
    "s₂ held fixed."
)


class Help(ModalScreen[None]):
    """Closed by the key that opened it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, "app.pop_screen", show=False) for key in ("question_mark", "escape", "q", "enter")
    ]

    def __init__(self, run: Run | None = None) -> None:
        super().__init__()
        self.run_shown = run

    def compose(self) -> ComposeResult:
        look = palette(self.app.current_theme.dark)
        with VerticalScroll(classes="window") as window:
            window.border_title = "keys and marks"
            window.border_subtitle = "Esc closes"
            yield Static(help_text(look, self.run_shown), markup=False)


def help_text(look: Palette, run: Run | None = None) -> Text:
    """The whole help, made from the tables; with the names of `run` in its examples."""
    text = Text(SENTENCE + "\n", look.text)
    for group, actions in groupby(ACTIONS, key=lambda action: action.group):
        text.append(f"\n{group}\n", look.lit)
        for action in actions:
            text.append(f"  {action.key:>16}", look.now).append(f"  {action.help}{_where(action)}\n", look.text)
    for heading, rows in TYPED.items():
        text.append(f"\n{heading}\n", look.lit)
        for row in rows:
            word, meaning = row if run is None else (fitted(part, run) for part in row)
            text.append(f"  {word:>16}", look.now).append(f"  {meaning}\n", look.text)
    text.append("\nMarks in the graph\n", look.lit)
    for mark, meaning in MARKS:
        text.append(f"  {mark:>16}", look.now).append(f"  {meaning}\n", look.text)
    for role, meaning in MEANINGS.items():
        text.append(f"  {LOOKS[role].mark:>16}", look.roles[role]).append(f"  {meaning}\n", look.text)
    return text


def _where(action: Action) -> str:
    return f"  (in the {action.panel})" if action.panel else ""
