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
    "hint": "a hint; asked again, a stronger one",
    "skip": "show the answer and go on",
    "back": "to the question before",
    "quit": "leave; the lesson goes on from here the next time",
    "help": "these words",
}
"""What can be typed at every question instead of an answer."""

BENCH = ("paths", "path", "cut", "undo", "diff", "info", "print")
"""The debugger's commands that can be typed where a lesson has a bench."""

RIGHT, HELPED, REVEALED, SKIPPED = "right", "helped", "revealed", "skipped"

OUTCOMES: dict[str, tuple[str, ...]] = {
    "right at once": (RIGHT,),
    "after a hint or a second try": (HELPED,),
    "shown": (REVEALED, SKIPPED),
}
"""How a question can have gone, in words. HELPED stands from the first hint or wrong answer on; once an answer has
been shown, or was right at once, going back changes nothing."""


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
        outcomes: question -> how it went, one of OUTCOMES.
        wrong, hints: wrong answers to this question since it was put, and hints that were given.
        left: it was left by `quit`.
        bench: the debugger that can be asked.
    """

    lesson: Lesson
    steps: tuple[Step, ...]
    at: int = 0
    outcomes: tuple[tuple[int, str], ...] = ()
    wrong: int = 0
    hints: int = 0
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
    def score(self) -> str:
        """`4 of 6 right at once, 1 after a hint or a second try, 1 shown`"""
        counts = {words: sum(one in kinds for _, one in self.outcomes) for words, kinds in OUTCOMES.items()}
        first, *others = ((words, count) for words, count in counts.items())
        told = [f"{first[1]} of {len(self.questions)} {first[0]}"]
        return ", ".join(told + [f"{count} {words}" for words, count in others if count])

    def settled(self, outcome: str) -> Session:
        """With an outcome of the question at hand, unless it has one that stands."""
        known = dict(self.outcomes)
        now = known.get(self.at)
        if now is None or (now == HELPED and outcome in (REVEALED, SKIPPED)):
            known[self.at] = outcome
        return replace(self, outcomes=tuple(sorted(known.items())))

    def moved(self, at: int) -> Session:
        """At another question, as it is put the first time, with a bench on which nothing has been changed."""
        return replace(self, at=at, wrong=0, hints=0, bench=_bench(self.lesson))


@dataclass(frozen=True)
class Turn:
    """What comes of a line that was typed: the session behind it, and what is to be said."""

    session: Session
    lines: tuple[Line, ...]


def opened(lesson: Lesson, at: int = 0, outcomes: tuple[tuple[int, str], ...] = ()) -> Turn:
    """The lesson at a question, the first where there is no such one; what it begins with is told in any case."""
    session = Session(lesson, lesson.steps(), bench=_bench(lesson))
    if 0 < at < len(session.questions):
        session = replace(session, at=at, outcomes=tuple(pair for pair in outcomes if pair[0] <= at))
    return Turn(session, (*(_told(session, 0) if session.at else ()), *_shown(session)))


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
    if session.wrong + 1 == TRIES:
        return _gone_on(session, REVEALED, _answer(question, f"No. {found.remark}".strip()), "wrong")
    tried = replace(session.settled(HELPED), wrong=session.wrong + 1)
    hint, told = ("", tried) if found.helps else _next_hint(tried)
    words = " ".join(filter(None, ("Not yet.", found.remark, hint)))
    left = Line("(Another wrong answer, and the solution is shown.)", "note")
    return Turn(told, (*_lines(words, "wrong"), *([left] if tried.wrong + 1 == TRIES else [])))


def _next_hint(session: Session) -> tuple[str, Session]:
    """The next hint that has not been given, nothing where there is none, and the session behind it."""
    hints = session.question.hints[session.hints :]
    return (hints[0], replace(session.settled(HELPED), hints=session.hints + 1)) if hints else ("", session)


def _answer(question: Ask, word: str) -> str:
    return f"{word} The answer: {question.expects.shown}. {question.tells}"


def _gone_on(session: Session, outcome: str, said: str, tone: str) -> Turn:
    after = session.settled(outcome).moved(session.at + 1)
    return Turn(after, (*_lines(said, tone), Line(""), *_shown(after)))


def _shown(session: Session) -> tuple[Line, ...]:
    """What is told before the question at hand, and the question; at the end the rest, and how it went."""
    told = _told(session, session.at)
    if session.finished:
        tries = [Line(f"  {command}") for command in session.lesson.tries]
        return (*told, Line(f"Done: {session.score}.", "title"), Line(session.lesson.teaches), Line("Try:"), *tries)
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
    hint, after = _next_hint(session)
    return Turn(after, (Line(hint or "There are no more hints; skip shows the answer.", "hint" if hint else "note"),))


def _skip(session: Session) -> Turn:
    return _gone_on(session, SKIPPED, _answer(session.question, "Skipped."), "note")


def _back(session: Session) -> Turn:
    if session.at == 0:
        return Turn(session, (Line("This is the first question.", "note"),))
    before = session.moved(session.at - 1)
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
        elsewhere = name in BY_NAME and name == BY_NAME[name].names[0]
        note = f"{name} is a command of unrollviz debug; help lists those that are at hand here."
        return Turn(session, (Line(note, "note"),)) if elsewhere else None
    try:
        answer = obey(session.bench, typed)
    except UnrollvizError as error:
        return Turn(session, (Line(str(error), "note"),))
    return Turn(replace(session, bench=answer.stepper), tuple(Line(f"  {line}") for line in answer.lines))
