"""How far somebody has come in the lessons: a small JSON file, read with mistrust and written atomically."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unrollviz.errors import BadFile
from unrollviz.files import write_atomically
from unrollviz.lessons.engine import OUTCOMES, RIGHT, Session

BYTES_LIMIT = 2**20
"""No more of a file is read."""


@dataclass(frozen=True)
class Kept:
    """What is kept of a lesson.

    Attributes:
        at: the question to go on with; 0 where it is to begin anew.
        finished: it has been taken to the end at least once.
        outcomes: question -> how it went, of the last time; see `engine.OUTCOMES`.
        best: (questions right at once, questions) of the best time it was taken to the end; (0, 0) where unknown.
    """

    at: int = 0
    finished: bool = False
    outcomes: tuple[tuple[int, str], ...] = ()
    best: tuple[int, int] = (0, 0)

    def after(self, session: Session) -> Kept:
        """What is to be kept now."""
        if not session.finished:
            return Kept(session.at, self.finished, session.outcomes, self.best)
        right = sum(outcome == RIGHT for _, outcome in session.outcomes)
        return Kept(0, True, session.outcomes, max(self.best, (right, len(session.questions))))


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


_KNOWN = [outcome for kinds in OUTCOMES.values() for outcome in kinds]


def _kept(value: Mapping[str, Any]) -> Kept:
    outcomes = tuple((int(question), str(outcome)) for question, outcome in value["outcomes"].items())
    at, (right, of) = value["at"], value.get("best", (0, 0))
    numbers = all(type(one) is int and one >= 0 for one in (at, right, of))
    if not numbers or right > of or any(outcome not in _KNOWN for _, outcome in outcomes):
        raise ValueError(value)
    return Kept(at, value["finished"] is True, outcomes, (right, of))


def write(path: Path, lessons: Mapping[str, Kept]) -> None:
    """Keep the progress of all lessons. Raises BadFile where that fails; the old file is then as it was."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadFile(path, f"cannot be written: {error.strerror}") from error
    value = {
        name: asdict(kept) | {"outcomes": {str(question): outcome for question, outcome in kept.outcomes}}
        for name, kept in lessons.items()
    }
    write_atomically(path, (json.dumps({"lessons": value}, indent=1) + "\n").encode())
