"""What a lesson is made of: things told, and questions asked before their answer is revealed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from unrollviz.debugger.stepper import Stepper
from unrollviz.lessons.answers import Answer, Judgement


@dataclass(frozen=True)
class Tell:
    """Paragraphs, a line each; a line that begins with two spaces is kept as it is."""

    text: str


@dataclass(frozen=True)
class Tool:
    """What can be typed at a question instead of an answer, and what it then says of the debugger's run."""

    name: str
    what: str
    says: Callable[[Stepper], list[str]]


@dataclass(frozen=True)
class Ask:
    """A question.

    Attributes:
        asks: its words; written as a `Tell` is.
        expects: the right answer.
        hints: what helps, one after the other, each stronger: after a wrong answer, and for `hint`.
        tells: why the right answer is right.
        mistakes: (a wrong answer that is often given, what is said to it in place of a hint).
        tools: what can be looked into before answering.
    """

    asks: str
    expects: Answer
    hints: tuple[str, ...]
    tells: str
    mistakes: tuple[tuple[Answer, str], ...] = ()
    tools: tuple[Tool, ...] = ()

    def judge(self, typed: str) -> Judgement:
        """What is typed, judged; where it is a known mistake, with what is to be said to it."""
        found = self.expects.judge(typed)
        known = [said for mistake, said in self.mistakes if not found.right and mistake.judge(typed).right]
        return Judgement(False, known[0], helps=True) if known else found


Step: TypeAlias = Tell | Ask


@dataclass(frozen=True)
class Lesson:
    """A lesson.

    Attributes:
        name: what it is called on the command line.
        title, teaches: what it is about, and what one can do after it.
        steps: works its steps out, with every number in them, from a run; takes a moment.
        tries: commands that go on from here.
        bench: a debugger whose commands can be typed at its questions; None where there is none.
    """

    name: str
    title: str
    teaches: str
    steps: Callable[[], tuple[Step, ...]]
    tries: tuple[str, ...]
    bench: Callable[[], Stepper] | None = None
