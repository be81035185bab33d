"""unrollviz learn: short lessons at the terminal, or answered by a script."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unrollviz.cli.options import Name
from unrollviz.cli.terminal import knows_unicode, say
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
def learn(lesson: str | None, listed: bool, restart: bool) -> None:
    """Learn backpropagation through time in short lessons that ask before they reveal.

    LESSON is a number or a name of --list; without it, the first that is not finished. At every question: hint, skip,
    back, quit. A lesson that was left goes on where it was. In a pipe, answers are read line by line, and a lesson
    begins at its first question; exit code 0 at its end, 1 where it was left early.
    """
    from unrollviz.lessons.progress import Kept, write
    from unrollviz.lessons.table import LESSONS, lesson_called

    if listed and (lesson or restart):
        raise click.UsageError("--list stands alone; leave the rest out")
    chosen = lesson_called(lesson) if lesson else None
    path = _progress_file()
    kept = _progress(path)
    if restart and chosen is None:
        write(path, {})
        say(["All progress is forgotten."])
        return
    if listed or (chosen is None and not sys.stdin.isatty()):
        say(_list(kept))
        return
    chosen = chosen or next((one for one in LESSONS if not kept.get(one.name, Kept()).finished), LESSONS[0])
    sys.exit(_take(chosen, path, kept, anew=restart or not sys.stdin.isatty()))


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
        score = f"{one.right} of {len(one.outcomes)} right" if one.outcomes else ""
        where = f"at question {one.at + 1}" if one.at else score
        rows.append([str(number), lesson.name, lesson.title, "✓ finished" if one.finished else "", where])
    lines = [line.rstrip() for line in table(["#", "name", "lesson", "", ""], rows, left=(1, 2, 3, 4))]
    return [*lines, "", "unrollviz learn 1 begins the first; --restart begins anew."]


def _take(lesson: Lesson, path: Path, kept: dict[str, Kept], anew: bool) -> int:
    """A lesson, question by question; returns the exit code."""
    from unrollviz.lessons.engine import WORDS, opened, taken
    from unrollviz.lessons.progress import Kept

    before = Kept(finished=kept.get(lesson.name, Kept()).finished) if anew else kept.get(lesson.name, Kept())
    turn = opened(lesson, before.at, before.outcomes)
    keeper = Keeper(path, kept, before, lesson)
    _show(turn.lines)
    if sys.stdin.isatty():
        say([f"({', '.join(WORDS)} are understood everywhere)"])
    while not turn.session.finished:
        typed = _typed()
        if typed is None:
            break
        at = turn.session.at
        turn = taken(turn.session, typed)
        _show(turn.lines)
        if turn.session.left:
            break
        if turn.session.at != at:
            keeper.keep(turn.session)
    if turn.session.finished:
        say(_next(lesson))
        return 0
    say([f"Left. It goes on with: unrollviz learn {lesson.name}"] if sys.stdin.isatty() else [_early(turn.session)])
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
    """Writes progress as it is made; says once where that cannot be done."""

    def __init__(self, path: Path, kept: dict[str, Kept], before: Kept, lesson: Lesson) -> None:
        self.path, self.kept, self.before, self.lesson = path, kept, before, lesson
        self.works = True

    def keep(self, session: Session) -> None:
        from unrollviz.lessons.progress import read, write

        if not self.works:
            return
        try:
            with contextlib.suppress(BadFile):
                self.kept = read(self.path)  # another terminal may have come further in another lesson
            write(self.path, self.kept | {self.lesson.name: self.before.after(session)})
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

    width = min(WIDTH, shutil.get_terminal_size().columns - 1)
    plain, coloured = not knows_unicode(), _has_colours()
    for line in lines:
        text = ascii_only(line.text) if plain else line.text
        hanging = "    " if text.startswith("  ") else ""
        wrapped = textwrap.wrap(text, max(width, 20), subsequent_indent=hanging) or [""]
        say(click.style(part, **STYLES.get(line.tone, {})) if coloured else part for part in wrapped)  # type: ignore[arg-type]


def _has_colours() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM", "dumb") != "dumb"
