"""What goes to stdout and stderr: lines, JSON, progress."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

NARROWEST = 20
"""Columns that are written even where the terminal says that it has fewer."""

_SIGNS = re.escape("=·+×⊙*/≤≥<>→-")
_BESIDE_A_SIGN = re.compile(rf" (?=[{_SIGNS}] )|(?<= [{_SIGNS}]) |(?<=\d) (?=%)")
_BRACKETS = re.compile(r"\((?:[^()]|\([^()]*\)){1,40}\)")
_WORD = re.compile(r"(?<!\S)[A-Za-z]{2,}[.,:;]?(?!\S)")
_DRAWN = re.compile(r"\S {2,}\S|\x1b|[─│┌├└⎡⎢⎣]")


def say(lines: Iterable[str]) -> None:
    """Print lines to stdout, in ASCII where it knows nothing else; on a terminal, prose wraps at its words."""
    if not knows_unicode():
        from unrollviz.draw.text import ascii_only

        lines = map(ascii_only, lines)
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        lines = (part for line in lines for part in (wrapped(line, width) if is_prose(line) else [line]))
    _write(f"{line}\n" for line in lines)


def is_prose(line: str) -> bool:
    """Whether a line is a sentence or so: it has words and no colours, and is no row of a table, matrix or drawing."""
    return not _DRAWN.search(line) and len(_WORD.findall(line)) >= 4


def wrapped(line: str, width: int, hanging: str = "") -> list[str]:
    """A line in parts of at most `width` columns, broken between words, and within a formula only where it must be."""
    if len(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    kept = _BRACKETS.sub(lambda found: _joined(found[0]) if _BESIDE_A_SIGN.search(found[0]) else found[0], line)
    kept = _BESIDE_A_SIGN.sub("\xa0", kept)
    kept = _loosened(_loosened(kept, width // 2, "\xa0="), width, "\xa0")
    parts = textwrap.wrap(
        kept,
        max(width, NARROWEST),
        subsequent_indent=indent + hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [part.replace("\xa0", " ") for part in parts] or [""]


def _loosened(text: str, longest: int, at: str) -> str:
    """`text` that may break at `at` too in what is longer."""
    chunks = text.split(" ")
    return " ".join(chunk if len(chunk) <= longest else chunk.replace(at, at.replace("\xa0", " ")) for chunk in chunks)


def _joined(text: str) -> str:
    return text.replace(" ", "\xa0")


def knows_unicode() -> bool:
    """Whether stdout can say ∂₄."""
    try:
        "∂₄█".encode(sys.stdout.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def say_json(value: dict[str, Any]) -> None:
    """Print one JSON object to stdout and nothing else."""
    _write([json.dumps(value, allow_nan=False) + "\n"])


def note(line: str) -> None:
    """A line for stderr, said once, when the command has something to show: an error is one line and needs no other."""
    click.get_current_context().meta.setdefault(_NOTES, {})[line] = True


def say_notes() -> None:
    """Say what was noted: before anything is printed, or a screen opens."""
    context = click.get_current_context(silent=True)
    for line in {} if context is None else context.meta.pop(_NOTES, {}):
        sys.stderr.write(f"note: {line}\n")
        sys.stderr.flush()


_NOTES = "unrollviz.notes"


def _write(texts: Iterable[str]) -> None:
    """Write to stdout; where the reader of a pipe has seen enough, end quietly and with success."""
    _WAITING.clear()
    say_notes()
    try:
        for text in texts:
            sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        leave_stdout()
        sys.exit(0)


def leave_stdout() -> None:
    """What is left in its buffer goes nowhere, so that Python does not try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def progress(words: str, steps: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on stderr, where stderr is a terminal, for what takes longer than a second; gives what is to be
    called before each step."""
    if not sys.stderr.isatty():
        yield lambda name: None
        return
    from unrollviz.arrays import interruptible

    with _WAITING.hushed(), click.progressbar(length=steps, label=words, file=sys.stderr, hidden=True) as shown:
        done = iter(range(steps))
        opened = begun = told = time.monotonic()

        def step(name: str) -> None:
            nonlocal begun, told
            begun = told = time.monotonic()
            shown.hidden = begun - opened < PATIENCE
            shown.label = f"{words} {name}"
            shown.update(0 if next(done, 0) == 0 else 1)

        def pulse() -> None:
            nonlocal told
            now = time.monotonic()
            if now - begun > PATIENCE and now - told > PATIENCE / 4:
                shown.hidden = False
                told = now
                name = str(shown.label).partition(", ")[0]
                shown.label = f"{name}, {now - begun:.0f} s"
                shown.render_progress()

        with interruptible(pulse):
            yield step
        shown.label = words
        shown.update(steps - shown.pos)


PATIENCE = 1.0
"""Seconds after which a terminal is told that work goes on."""


class _Waiting:
    """A line on stderr that says for how long a command has been working: from its first second on, until it is
    cleared."""

    def __init__(self) -> None:
        self._begun = self._said = 0.0
        self._width = 0
        self._hushed = False

    @contextmanager
    def hushed(self) -> Iterator[None]:
        """Say nothing meanwhile."""
        self.clear()
        before, self._hushed = self._hushed, True
        try:
            yield
        finally:
            self._hushed = before

    def begin(self) -> None:
        self._begun = self._said = time.monotonic()

    def beat(self) -> None:
        now = time.monotonic()
        if not self._hushed and now - self._begun >= PATIENCE and now - self._said >= 0.2:
            line = f"working, {now - self._begun:.0f} s (Ctrl-C stops)"
            sys.stderr.write(f"\r{line:{self._width}}")
            sys.stderr.flush()
            self._said, self._width = now, len(line)

    def clear(self) -> None:
        if self._width:
            sys.stderr.write(f"\r{'':{self._width}}\r")
            sys.stderr.flush()
            self._width = 0


_WAITING = _Waiting()


@contextmanager
def waiting() -> Iterator[None]:
    """Say on stderr, where it is a terminal, that long work goes on, for as long as nothing else is said."""
    if not sys.stderr.isatty():
        yield
        return
    from unrollviz.arrays import interruptible

    _WAITING.begin()
    try:
        with interruptible(_WAITING.beat):
            yield
    finally:
        _WAITING.clear()
