"""How far somebody has come in the lessons: a small JSON file, read with mistrust and written atomically."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrollviz.errors import BadFile
from unrollviz.files import write_atomically
from unrollviz.lessons.engine import REVEALED, RIGHT, SKIPPED, Session

BYTES_LIMIT = 2**20
"""No more of a file is read."""


@dataclass(frozen=True)
class Kept:
    """What is kept of a lesson.

    Attributes:
        at: the question to go on with; 0 where it is to begin anew.
        finished: it has been taken to the end at least once.
        outcomes: question -> right, revealed or skipped, of the last time.
    """

    at: int = 0
    finished: bool = False
    outcomes: tuple[tuple[int, str], ...] = ()

    def after(self, session: Session) -> Kept:
        """What is to be kept now."""
        at = 0 if session.finished else session.at
        return Kept(at, self.finished or session.finished, session.outcomes)

    @property
    def right(self) -> int:
        return sum(outcome == RIGHT for _, outcome in self.outcomes)


def read(path: Path) -> dict[str, Kept]:
    """Lesson -> what was kept of it; nothing where there is no such file.

    Raises BadFile where it cannot be read, or is not what `write` writes."""
    try:
        if not path.exists():
            return {}
        with path.open("rb") as file:
            data = file.read(BYTES_LIMIT)
        lessons: dict[str, Any] = json.loads(data)["lessons"]
        return {str(name): _kept(value) for name, value in lessons.items()}
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadFile(path, "is not the progress of lessons") from error


def _kept(value: Mapping[str, Any]) -> Kept:
    outcomes = tuple((int(question), str(outcome)) for question, outcome in value["outcomes"].items())
    at = value["at"]
    if type(at) is not int or at < 0 or any(outcome not in (RIGHT, REVEALED, SKIPPED) for _, outcome in outcomes):
        raise ValueError(value)
    return Kept(at, value["finished"] is True, outcomes)


def write(path: Path, lessons: Mapping[str, Kept]) -> None:
    """Keep the progress of all lessons. Raises BadFile where that fails; the old file is then as it was."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadFile(path, f"cannot be written: {error.strerror}") from error
    value = {
        name: {"at": kept.at, "finished": kept.finished, "outcomes": {str(q): outcome for q, outcome in kept.outcomes}}
        for name, kept in lessons.items()
    }
    write_atomically(path, (json.dumps({"lessons": value}, indent=1) + "\n").encode())
