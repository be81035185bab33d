"""The lessons, in the order in which they are best taken: one table."""

from __future__ import annotations

from unrollviz.errors import UnknownName
from unrollviz.lessons import bugs, counting, fourpaths, highway, product, readout, vanishing
from unrollviz.lessons.steps import Lesson

LESSONS: tuple[Lesson, ...] = (
    Lesson(
        "count",
        "Count the parameters",
        "You can tell the shape of every parameter, and how many numbers there are to learn.",
        counting.steps,
        ("unrollviz info --hidden 64", "unrollviz info --cell lstm"),
    ),
    Lesson(
        "readout",
        "The gradient of V: a chain at each step",
        "You can write down ∂L/∂V of a recurrent network as that of a feed-forward one, step by step.",
        readout.steps,
        ("unrollviz explain L3 V", "unrollviz explain L V"),
    ),
    Lesson(
        "paths",
        "The four paths from L₄ to W",
        "You can name every path from a loss to W, and say how many there are.",
        fourpaths.steps,
        ("unrollviz paths --loss L4 --param W", "unrollviz explain L4 W"),
    ),
    Lesson(
        "product",
        "The product ∂s_t/∂s_k",
        "You can write ∂s_t/∂s_k as a product, in its order, and say what a factor is.",
        product.steps,
        ("unrollviz explain L5 W", "unrollviz tree --loss L5"),
    ),
    Lesson(
        "vanishing",
        "Vanishing and exploding gradients",
        "You can work out how much of a gradient is left after many steps, and what clipping does.",
        vanishing.steps,
        ('unrollviz flow --text "hello world" --by lag', 'unrollviz diagnose --text "hello world"'),
    ),
    Lesson(
        "highway",
        "Why the highway of an LSTM helps",
        "You can say through which routes an LSTM's gradient goes, and what the forget bias has to do with it.",
        highway.steps,
        (
            "unrollviz flow --cell lstm --steps 20 --by route:weights,highway --limit 5",
            "unrollviz diagnose --cell lstm --steps 20",
        ),
    ),
    Lesson(
        "bug",
        "Find the planted bug",
        "You can tell three common errors in a backward pass apart by the lags at which its terms are wrong.",
        bugs.steps,
        ("unrollviz check", "unrollviz debug"),
        bugs.bench,
    ),
)


def lesson_called(name: str) -> Lesson:
    """The lesson of a number, from 1, or of a name.

    Raises UnknownName, with the nearest."""
    for number, lesson in enumerate(LESSONS, 1):
        if name.lower() in (str(number), lesson.name):
            return lesson
    raise UnknownName("lesson", name, [*(f"{i} ({lesson.name})" for i, lesson in enumerate(LESSONS, 1))])
