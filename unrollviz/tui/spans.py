"""Which columns of the graph are seen one by one, and which long spans are folded into one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from unrollviz.draw.layout import Place

FOLDED_FROM = 500
"""A run of more steps than this opens folded."""

AROUND = 2
"""Columns that stay on either side of what one looks at."""

SHORTEST = 4
"""So many columns at least make a fold."""

MARKED = 40
"""Losses and breakpoints keep their columns open, where there are no more of them than this."""


@dataclass(frozen=True, slots=True)
class Span:
    """The layout's columns from `first` to `last`, both included."""

    first: int
    last: int
    folded: bool

    @property
    def columns(self) -> int:
        return self.last - self.first + 1


def whole(columns: int) -> tuple[Span, ...]:
    """All columns, one by one; the parameters' is none of them."""
    return (Span(1, columns, False),)


def folded(columns: int, kept: Iterable[int]) -> tuple[Span, ...]:
    """All columns, long spans without any of those `kept` folded; the first step and both ends are always kept."""
    spans: list[Span] = []
    start = 1
    inside = sorted({1, min(2, columns), columns} | {column for column in kept if 1 <= column <= columns})
    for before, after in pairwise(inside):
        if after - before - 1 >= SHORTEST:
            spans += [Span(start, before, False), Span(before + 1, after - 1, True)]
            start = after
    return (*spans, Span(start, columns, False))


def around(columns: Iterable[int]) -> set[int]:
    """These columns and their neighbours."""
    return {column + by for column in columns for by in range(-AROUND, AROUND + 1)}


def turns(places: Sequence[Place]) -> frozenset[int]:
    """The columns where a path does something else than in the one before or behind, its two ends among them: what
    only repeats from step to step may be folded."""
    rows: dict[int, set[int]] = {}
    for place in places:
        rows.setdefault(place.column, set()).add(place.row)
    return frozenset(
        column for column, here in rows.items() if rows.get(column - 1) != here or rows.get(column + 1) != here
    )
