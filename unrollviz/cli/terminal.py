"""What goes to stdout and stderr: lines, JSON, progress bars."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click


def say(lines: Iterable[str]) -> None:
    """Print lines to stdout, in ASCII where it knows nothing else."""
    if not knows_unicode():
        from unrollviz.draw.text import ascii_only

        lines = map(ascii_only, lines)
    _write(f"{line}\n" for line in lines)


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


def _write(texts: Iterable[str]) -> None:
    """Write to stdout; where the reader of a pipe has seen enough, end quietly and with success."""
    try:
        for text in texts:
            sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


@contextmanager
def progress(words: str, steps: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on stderr, where stderr is a terminal; gives what is to be called before each step."""
    if not sys.stderr.isatty():
        yield lambda name: None
        return
    with click.progressbar(length=steps, label=words, file=sys.stderr) as shown:
        done = iter(range(steps))

        def step(name: str) -> None:
            shown.label = f"{words} {name}"
            shown.update(0 if next(done, 0) == 0 else 1)

        yield step
        shown.update(1)
