"""A lesson being taken: what was typed goes in, what is to be said comes out. Knows no terminal and no file."""

from __future__ import annotations

from dataclasses import dataclass, replace

from unrollviz.debugger.commands import BY_NAME, obey
from unrollviz.debugger.stepper import Stepper
from unrollviz.errors import UnrollvizError
from unrollviz.lessons.answers import Choice
from unrollviz.lessons.steps import Ask, Lesson, Step, Tell

TRIES = 2
"""Wrong answers to a question before its answer is revealed."""

WORDS: dict[str, str] = {
    "hint": "a hint",
    "skip": "show the answer and go on",
    "back": "to the question before",
    "quit": "leave; the lesson goes on from here the next time",
    "help": "these words",
}
"""What can be typed at every question instead of an answer."""

BENCH = ("paths", "path", "cut", "undo", "diff", "info", "print", "loss", "param")
"""The debugger's commands that can be typed where a lesson has a bench."""

RIGHT, REVEALED, SKIPPED = "right", "revealed", "skipped"


@dataclass(frozen=True)
class Line:
    """A line to be said, and its tone: title, text, ask, right, wrong, hint or note."""

    text: str
    tone: str = "text"


@dataclass(frozen=True)
class Session:
    """Where somebody is in a lesson.

    Attributes:
        lesson, steps: the lesson and its steps.
        at: the question, counted from 0; as many as there are where the lesson is finished.
        outcomes: question -> how it ended: right, revealed or skipped.
        wrong: wrong answers to this question.
        left: it was left by `quit`.
        bench: the debugger that can be asked.
    """

    lesson: Lesson
    steps: tuple[Step, ...]
    at: int = 0
    outcomes: tuple[tuple[int, str], ...] = ()
    wrong: int = 0
    left: bool = False
    bench: Stepper | None = None

    @property
    def questions(self) -> list[int]:
        """The places of the questions among the steps."""
        return [place for place, step in enumerate(self.steps) if isinstance(step, Ask)]

    @property
    def finished(self) -> bool:
        return self.at >= len(self.questions)

    @property
    def question(self) -> Ask:
        step = self.steps[self.questions[self.at]]
        assert isinstance(step, Ask)
        return step

    @property
    def right(self) -> int:
        """How many questions were answered right."""
        return sum(outcome == RIGHT for _, outcome in self.outcomes)


@dataclass(frozen=True)
class Turn:
    """What comes of a line that was typed: the session behind it, and what is to be said."""

    session: Session
    lines: tuple[Line, ...]


def opened(lesson: Lesson, at: int = 0, outcomes: tuple[tuple[int, str], ...] = ()) -> Turn:
    """The lesson at a question, the first where there is no such one; what it begins with is told in any case."""
    session = Session(lesson, lesson.steps(), bench=_bench(lesson))
    if 0 < at < len(session.questions):
        session = replace(session, at=at, outcomes=tuple(pair for pair in outcomes if pair[0] < at))
    title = (Line(lesson.title, "title"), Line(""))
    return Turn(session, (*title, *(_told(session, 0) if session.at else ()), *_shown(session)))


def _bench(lesson: Lesson) -> Stepper | None:
    """A debugger on which nothing has been changed, for every question."""
    return lesson.bench() if lesson.bench else None


def taken(session: Session, typed: str) -> Turn:
    """What comes of `typed` at the question at hand: an answer, one of WORDS, or a tool."""
    word = typed.strip().lower()
    if word in _DO:
        return _DO[word](session)
    tool = _tool(session, typed)
    if tool:
        return tool
    if not word:
        return Turn(session, (Line("Type an answer; hint, skip, back or quit.", "note"),))
    return _judged(session, typed)


def _judged(session: Session, typed: str) -> Turn:
    question = session.question
    found = question.judge(typed)
    if found.right is None:
        return Turn(session, (Line(found.remark, "note"),))
    if found.right:
        return _gone_on(session, RIGHT, " ".join(filter(None, ("Right.", found.remark, question.tells))), "right")
    if session.wrong + 1 < TRIES:
        words = " ".join(filter(None, ("Not yet.", found.remark, "" if found.helps else question.hint)))
        return Turn(replace(session, wrong=session.wrong + 1), (Line(words, "wrong"),))
    return _gone_on(session, REVEALED, _answer(question, f"No. {found.remark}".strip()), "wrong")


def _answer(question: Ask, word: str) -> str:
    return f"{word} The answer: {question.expects.shown}. {question.tells}"


def _gone_on(session: Session, outcome: str, said: str, tone: str) -> Turn:
    outcomes = (*(pair for pair in session.outcomes if pair[0] != session.at), (session.at, outcome))
    after = replace(session, at=session.at + 1, outcomes=outcomes, wrong=0, bench=_bench(session.lesson))
    return Turn(after, (*_lines(said, tone), Line(""), *_shown(after)))


def _shown(session: Session) -> tuple[Line, ...]:
    """What is told before the question at hand, and the question; at the end the rest, and how it went."""
    told = _told(session, session.at)
    if session.finished:
        score = f"Done: {session.right} of {len(session.questions)} right. {session.lesson.teaches}"
        tries = [Line(f"  {command}") for command in session.lesson.tries]
        return (*told, Line(score, "title"), Line("To go on:"), *tries)
    question = session.question
    number = f"Question {session.at + 1} of {len(session.questions)}. "
    first, *rest = _lines(question.asks, "ask")
    options = question.expects.listed if isinstance(question.expects, Choice) else []
    rest += [Line(f"  {option}") for option in options]
    return (*told, replace(first, text=number + first.text), *rest)


def _told(session: Session, at: int) -> list[Line]:
    """What is told between a question, or the end, and the question before it."""
    places = [-1, *session.questions, len(session.steps)]
    between = session.steps[places[at] + 1 : places[at + 1]]
    return [line for step in between if isinstance(step, Tell) for line in (*_lines(step.text), Line(""))]


def _lines(text: str, tone: str = "text") -> list[Line]:
    return [Line(line, tone) for line in text.splitlines()]


# ------------------------------------------------------------------------------------ words in place of an answer


def _hint(session: Session) -> Turn:
    return Turn(session, (Line(session.question.hint, "hint"),))


def _skip(session: Session) -> Turn:
    return _gone_on(session, SKIPPED, _answer(session.question, "Skipped."), "note")


def _back(session: Session) -> Turn:
    if session.at == 0:
        return Turn(session, (Line("This is the first question.", "note"),))
    before = replace(session, at=session.at - 1, wrong=0, bench=_bench(session.lesson))
    return Turn(before, _shown(before))


def _quit(session: Session) -> Turn:
    return Turn(replace(session, left=True), ())


def _help(session: Session) -> Turn:
    said = [f"  {word}: {what}" for word, what in WORDS.items()]
    said += [f"  {tool.name}: {tool.what}" for tool in session.question.tools]
    if session.bench:
        usage = (BY_NAME[name] for name in BENCH)
        said += [f"  {' '.join(filter(None, (c.names[0], c.arguments)))}: {c.help}" for c in usage]
    return Turn(session, tuple(Line(line, "note") for line in said))


_DO = {"hint": _hint, "skip": _skip, "back": _back, "quit": _quit, "help": _help, "?": _help}


def _tool(session: Session, typed: str) -> Turn | None:
    """What a tool or the debugger says, where `typed` asks one of them."""
    if session.bench is None:
        return None
    name = typed.strip().partition(" ")[0]
    for tool in session.question.tools:
        if name.lower() == tool.name:
            return Turn(session, tuple(Line(f"  {line}") for line in tool.says(session.bench)))
    if name not in BENCH:
        return None
    try:
        answer = obey(session.bench, typed)
    except UnrollvizError as error:
        return Turn(session, (Line(str(error), "note"),))
    return Turn(replace(session, bench=answer.stepper), tuple(Line(f"  {line}") for line in answer.lines))
