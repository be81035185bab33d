"""The tour of the article's network: it asks, and only then shows. Enter goes on, Esc leaves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from unrollviz.api import Run
from unrollviz.lessons.answers import Number
from unrollviz.lessons.fourpaths import reached_through
from unrollviz.names import typeset
from unrollviz.tui.look import palette

STEPS, LOSS = 5, "L4"
"""What the tour is about, in the article's network of five steps."""

STATES = reached_through(("s4", "s3", "s2", "s1"), LOSS)
TERMS = Number(len(STATES.names))

LINES = 8
"""Of the tour's window, at the bottom of the screen."""


def fits(run: Run) -> bool:
    """Whether its answers are those of a run: the article's network, or one like it."""
    net = run.network
    alike = net.cell == "elman" and net.layers == 1 and not net.bidirectional
    return alike and run.steps == STEPS and LOSS in run.loss_names()


@dataclass(frozen=True)
class Question:
    """A question, and what is said once it has been thought about.

    Attributes:
        reveals: what the app is to show then; see `Revealed`.
        judged: a word on what was typed.
    """

    asks: str
    reveals: str
    judged: Callable[[str], str]
    tells: str


@dataclass
class Revealed(Message):
    """The answer is to be shown: `states` lights the longest path, `terms` lists them all, `end` leaves the tour."""

    what: str


def _states(answer: str) -> str:
    found = STATES.judge(answer)
    missing = STATES.missing(answer)
    if found.right is False and found.remark in dict(STATES.remarks).values():
        return f"{found.remark} "
    if found.right is False and 0 < len(missing) < len(STATES.names):
        return f"Not only: {', '.join(map(typeset, missing))} too. "
    return "Yes. " if found.right else "Not quite. "


def _terms(answer: str) -> str:
    return "Yes. " if TERMS.judge(answer).right else "Not quite. "


QUESTIONS: tuple[Question, ...] = (
    Question(
        "This is a network of five steps: each state s is made of the input x and the state before it, through the "
        "same W every time. Look at L₄ = the loss of step 4. Through which states does L₄ reach W?",
        "states",
        _states,
        "Through s₄, s₃, s₂ and s₁, and the lit path (━) visits all four. Each of them is tanh(U x + W s + b) with the "
        "state before it, so at each of them one can turn off to W.",
    ),
    Question(
        "∂L₄/∂W is a sum: one term for each way from L₄ back to W. How many terms will there be?",
        "terms",
        _terms,
        "Four: a way ends where it turns off to W, at s₄, s₃, s₂ or s₁. The list shows them: k is where the path "
        "enters W, share is its part of the gradient. Added up they are "
        "what one reverse sweep gives, to the last digits (✓).",
    ),
)

LAST = (
    "Now it is yours: n and p step through it, forwards and back; Tab or 1 … 5 go to the panels, Down in the paths "
    "lights another one, l chooses another loss or all; ? says what else there is."
)


class Tour(ModalScreen[None]):
    """Question by question: what is typed, or Enter alone, reveals the answer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False),
        Binding("enter", "go_on", show=False),
        Binding("question_mark", "help", show=False),
        Binding("ctrl+c", "app.interrupt", show=False, priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.number, self.told = 0, False

    def compose(self) -> ComposeResult:
        with Vertical(classes="window") as window:
            window.border_subtitle = "Enter shows the answer · Esc skips the tour"
            yield Static(markup=False)
            yield Input(placeholder="type what you think, or press Enter to be shown", select_on_focus=False)

    def on_mount(self) -> None:
        self._ask()

    def _ask(self) -> None:
        self.told = False
        self._say(f"question {self.number + 1} of {len(QUESTIONS)}", "", QUESTIONS[self.number].asks)

    def _say(self, title: str, word: str, words: str) -> None:
        look = palette(self.app.current_theme.dark)
        window = self.query_one(".window")
        window.border_title = f"a tour · {title}"
        window.border_subtitle = f"Enter {'goes on' if self.told else 'shows the answer'} · Esc skips the tour"
        self.query_one(Static).update(Text(word, look.now).append(words, look.text))
        self.query_one(Input).display = not self.told
        if not self.told:
            self.query_one(Input).focus()

    @on(Input.Submitted)
    def answer(self, event: Input.Submitted) -> None:
        question, typed = QUESTIONS[self.number], event.value.strip()
        event.input.value, self.told = "", True
        self._say(
            f"question {self.number + 1} of {len(QUESTIONS)}", question.judged(typed) if typed else "", question.tells
        )
        self.post_message(Revealed(question.reveals))
        self.set_focus(None)

    def action_go_on(self) -> None:
        """On from an answer; where a question stands, Enter belongs to the line that is typed in."""
        if not self.told:
            self.query_one(Input).focus()
            return
        self.number += 1
        if self.number < len(QUESTIONS):
            self._ask()
        elif self.number == len(QUESTIONS):
            self._say("the end", "", LAST)
        else:
            self.action_leave()

    async def action_help(self) -> None:
        """Leave for the help: it was just named."""
        self.action_leave()
        await self.app.run_action("help")

    def action_leave(self) -> None:
        self.post_message(Revealed("end"))
        self.dismiss()
