"""The lessons, in the order in which they are best taken: one table."""

from __future__ import annotations

from unrollviz.errors import UnknownName
from unrollviz.lessons import counting
from unrollviz.lessons.steps import Lesson

LESSONS: tuple[Lesson, ...] = (
    Lesson(
        "count",
        "Count the parameters",
        "You can tell the shape of every parameter, and how many numbers there are to learn.",
        counting.steps,
    ),
)


def lesson_called(name: str) -> Lesson:
    """The lesson of a number, from 1, or of a name.

    Raises UnknownName, with the nearest."""
    for number, lesson in enumerate(LESSONS, 1):
        if name.lower() in (str(number), lesson.name):
            return lesson
    raise UnknownName("lesson", name, [*(f"{i} ({lesson.name})" for i, lesson in enumerate(LESSONS, 1))])
