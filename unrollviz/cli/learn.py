"""unrollviz learn: short lessons at the terminal, or answered by a script."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unrollviz.cli.options import Name
from unrollviz.cli.terminal import NARROWEST, knows_unicode, say, wrapped
from unrollviz.errors import BadFile, UnrollvizError
from unrollviz.names import clean

if TYPE_CHECKING:
    from unrollviz.lessons.engine import Line, Session
    from unrollviz.lessons.progress import Kept
    from unrollviz.lessons.steps import Lesson

WIDTH = 78
"""Columns of a paragraph, where the terminal has as many."""

LINE_LIMIT = 10_000

LEFT = 1
"""Exit code of a lesson that was left before its end."""

RULES = (
    "hint (a second one is stronger), skip, back, quit and help are understood at every question. A first wrong "
    "answer gets a hint, a second one shows the solution."
)

STYLES: dict[str, dict[str, object]] = {
    "title": {"bold": True},
    "ask": {"bold": True},
    "right": {"fg": "green"},
    "wrong": {"fg": "yellow"},
    "hint": {"fg": "cyan"},
    "note": {"dim": True},
}
"""The tone of a line -> how a terminal with colours shows it."""


def _lesson_names() -> list[str]:
    from unrollviz.lessons.table import LESSONS

    return [lesson.name for lesson in LESSONS]


@click.command(short_help="Short lessons that ask before they reveal.")
@click.argument("lesson", required=False, type=Name(_lesson_names))
@click.option("--list", "listed", is_flag=True, help="The lessons, and how far you have come.")
@click.option("--restart", is_flag=True, help="Begin the lesson anew; without LESSON, forget all progress.")
@click.option("--yes", is_flag=True, help="With --restart alone: do not ask.")
def learn(lesson: str | None, listed: bool, restart: bool, yes: bool) -> None:
    """Learn backpropagation through time in short lessons that ask before they reveal.

    LESSON is a number or a name of --list; without it, the first that is not finished. At every question: hint, skip,
    back, quit. A lesson that was left goes on where it was. In a pipe, answers are read line by line, a lesson begins
    at its first question, and no progress is kept; exit code 0 at its end, 1 where it was left early.
    """
    from unrollviz.lessons.table import lesson_called

    if listed and (lesson or restart):
        raise click.UsageError("--list stands alone; leave the rest out")
    if yes and (lesson or not restart):
        raise click.UsageError("--yes goes with --restart and no lesson; leave it out")
    chosen = lesson_called(lesson) if lesson else None
    if restart and chosen is None:
        _forget(_progress_file(), yes)
    elif listed or (chosen is None and not sys.stdin.isatty()):
        say(_list(_progress(_progress_file())))
    elif chosen and not sys.stdin.isatty():
        sys.exit(_take(chosen, None))
    else:
        keeper = Keeper(_progress_file())
        sys.exit(_take(chosen or _to_go_on(keeper.kept), keeper, anew=restart))


def _forget(path: Path, yes: bool) -> None:
    """Forget all progress, where somebody says so."""
    from unrollviz.lessons.progress import write

    if not yes and not sys.stdin.isatty():
        raise click.UsageError("--restart without a lesson forgets all progress; add --yes, or name the lesson")
    if yes or click.confirm("Forget the progress of all lessons?"):
        write(path, {})
        say(["All progress is forgotten."])
    else:
        say(["Nothing is forgotten."])


def _to_go_on(kept: dict[str, Kept]) -> Lesson:
    """The first lesson that is not finished; where all are, the first."""
    from unrollviz.lessons.progress import Kept
    from unrollviz.lessons.table import LESSONS

    return next((one for one in LESSONS if not kept.get(one.name, Kept()).finished), LESSONS[0])


def _progress_file() -> Path:
    """Where progress is kept: in the folder that the system has for such things, on Linux XDG_STATE_HOME."""
    import platformdirs

    return platformdirs.user_state_path("unrollviz", appauthor=False) / "lessons.json"


def _progress(path: Path) -> dict[str, Kept]:
    from unrollviz.lessons.progress import read

    try:
        return read(path)
    except BadFile as error:
        _warn(f"{error}; progress begins anew")
        return {}


def _warn(message: str) -> None:
    click.echo(f"unrollviz: {clean(message, limit=2000)}", err=True)


def _list(kept: dict[str, Kept]) -> list[str]:
    """The table of lessons, and what to type."""
    from unrollviz.draw.text import table
    from unrollviz.lessons.progress import Kept
    from unrollviz.lessons.table import LESSONS

    rows = []
    for number, lesson in enumerate(LESSONS, 1):
        one = kept.get(lesson.name, Kept())
        right, of = one.best
        finished = f"✓ {right} of {of}" if of else "✓"
        at = f"question {one.at + 1}" if one.at else ""
        rows.append([str(number), lesson.name, lesson.title, finished if one.finished else "", at])
    lines = [line.rstrip() for line in table(["#", "name", "lesson", "finished", "now at"], rows, left=(1, 2, 3, 4))]
    known = any(one.best[1] for one in kept.values())
    scores = ["finished: how many questions were right at once, at best"] if known else []
    return [*lines, "", *scores, _footer(kept)]


def _footer(kept: dict[str, Kept]) -> str:
    from unrollviz.lessons.progress import Kept
    from unrollviz.lessons.table import LESSONS

    if all(kept.get(lesson.name, Kept()).finished for lesson in LESSONS):
        return "All are finished; unrollviz learn 1 takes the first again."
    lesson = _to_go_on(kept)
    goes_on = "begins" if lesson.name not in kept else "goes on with"
    return f"unrollviz learn {goes_on} {LESSONS.index(lesson) + 1} ({lesson.name})."


def _take(lesson: Lesson, keeper: Keeper | None, anew: bool = False) -> int:
    """A lesson, question by question, with progress where somebody keeps it; returns the exit code."""
    from unrollviz.lessons.engine import Line, opened, taken
    from unrollviz.lessons.progress import Kept
    from unrollviz.lessons.table import LESSONS

    before = keeper.before(lesson, anew) if keeper else Kept()
    turn = opened(lesson, before.at, before.outcomes)
    _show([Line(f"Lesson {LESSONS.index(lesson) + 1} of {len(LESSONS)}: {lesson.title}", "title")])
    if sys.stdin.isatty():
        _show([Line(RULES, "note")])
    _show([Line(""), *turn.lines])
    while not turn.session.finished:
        typed = _typed()
        if typed is None:
            break
        was = turn.session
        turn = taken(was, typed)
        _show(turn.lines)
        if turn.session.left:
            break
        if keeper and (was.at, was.outcomes) != (turn.session.at, turn.session.outcomes):
            keeper.keep(lesson, before, turn.session)
    if turn.session.finished:
        say(_next(lesson))
        return 0
    say([f"Left. It goes on with: unrollviz learn {lesson.name}"] if keeper else [_early(turn.session)])
    return LEFT


def _early(session: Session) -> str:
    return f"Left at question {session.at + 1} of {len(session.questions)}."


def _next(lesson: Lesson) -> list[str]:
    from unrollviz.lessons.table import LESSONS

    number = LESSONS.index(lesson) + 1
    if number == len(LESSONS):
        return ["That was the last lesson. unrollviz debug has the same network to step through."]
    return [f"Next: unrollviz learn {number + 1} ({LESSONS[number].title})"]


class Keeper:
    """Reads progress, and writes it as it is made; says once where that cannot be done."""

    def __init__(self, path: Path) -> None:
        self.path, self.works = path, True
        self.kept = _progress(path)

    def before(self, lesson: Lesson, anew: bool) -> Kept:
        """What is kept of a lesson; where it is begun anew, only how well it went at best."""
        from unrollviz.lessons.progress import Kept

        kept = self.kept.get(lesson.name, Kept())
        return Kept(finished=kept.finished, best=kept.best) if anew else kept

    def keep(self, lesson: Lesson, before: Kept, session: Session) -> None:
        from unrollviz.lessons.progress import read, write

        if not self.works:
            return
        try:
            with contextlib.suppress(BadFile):
                self.kept = read(self.path)  # another terminal may have come further in another lesson
            write(self.path, self.kept | {lesson.name: before.after(session)})
        except UnrollvizError as error:
            self.works = False
            _warn(f"{error}; progress is not kept")


def _typed() -> str | None:
    """The next line that is typed, without its end; None where there is none. In a pipe it is echoed."""
    if sys.stdin.isatty():
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  input() then edits the line
        try:
            return input("> ")
        except (EOFError, KeyboardInterrupt):
            say([""])
            return None
    try:
        line = sys.stdin.readline(LINE_LIMIT)
    except UnicodeDecodeError as error:
        raise BadFile("-", f"is not UTF-8 text (byte {error.start}); convert the answers first") from error
    if not line:
        return None
    say([f"> {clean(line.rstrip())}"])
    return line


def _show(lines: Iterable[Line]) -> None:
    """Say lines in their tones, wrapped to the terminal."""
    from unrollviz.draw.text import ascii_only

    width = max(NARROWEST, min(WIDTH, shutil.get_terminal_size().columns - 1))
    plain, coloured = not knows_unicode(), _has_colours()
    for line in lines:
        text = ascii_only(line.text) if plain else line.text
        parts = wrapped(text, width, "    " if text.startswith("  ") else "")
        say(click.style(part, **STYLES.get(line.tone, {})) if coloured else part for part in parts)  # type: ignore[arg-type]


def _has_colours() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM", "dumb") != "dumb"
