"""Rows told apart by the loss they come from and the step they enter at, written down in order as they arrive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise

import numpy as np

from unrollviz.arrays import Array, Labels
from unrollviz.classes import Span
from unrollviz.stacks import Exponents, scale_by_strides
from unrollviz.sweep import ENTRY, Arrival, Fold, classes_of
from unrollviz.way import Way, entry_step


@dataclass(frozen=True, eq=False)
class Grid:
    """All labels of a fold, sorted, where a label says which class of losses a path comes from and at which step it
    enters the target, and every class enters at steps that follow one another.

    Attributes:
        classes: (classes, columns) what the labels are before the last column says the step, sorted.
        steps: (entries,) the steps at which paths enter, in increasing order.
        begins: (classes + 1,) the row at which each class begins, and the number of rows.
        first: (classes,) which of the steps a class's first row is for.
    """

    classes: Labels
    steps: Labels
    begins: Labels
    first: Labels

    @classmethod
    def of(cls, way: Way, losses: Sequence[str], fold: Sequence[Fold]) -> Grid | None:
        """The labels of the paths from some losses to the target; None where two arrivals could have the same one, as
        when two edges enter at one step, or where they do not make such a grid."""
        if not fold or fold[-1] is not ENTRY or any(column.enter or column.heeds_edges for column in fold[:-1]):
            return None  # at once: a way keeps answers, and is not to hold on to what a fold of somebody's own holds
        return way.answered((cls, tuple(losses), tuple(fold)), lambda: cls._of(way, losses, fold))

    @classmethod
    def _of(cls, way: Way, losses: Sequence[str], fold: Sequence[Fold]) -> Grid | None:
        entries = way.entries()
        used = Counter(step for _, step in entries)
        if not entries or not losses or max(used.values()) > 1 or any(edge.jacobian.ends > 1 for edge, _ in entries):
            return None
        classes = classes_of(way, losses, fold)
        if classes is None:
            return None
        steps = sorted(used)
        reached, entered = [0] * len(classes.labels), _entered(way, {step: index for index, step in enumerate(steps)})
        for loss, index in classes.of_loss.items():
            reached[index] |= entered[loss]
        first = [(bits & -bits).bit_length() - 1 for bits in reached]
        sizes = [bits.bit_count() for bits in reached]
        if any(bits.bit_length() != low + size for bits, low, size in zip(reached, first, sizes, strict=True)):
            return None
        begins = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
        return cls(classes.labels, np.array(steps), begins, np.array(first, dtype=np.int64))

    def __len__(self) -> int:
        return int(self.begins[-1])

    @cached_property
    def base(self) -> Labels:
        """(classes,) the row at which a class would begin if it entered at all steps."""
        return np.asarray(self.begins[:-1] - self.first)

    @property
    def labels(self) -> Labels:
        """(rows, columns)"""
        sizes = np.diff(self.begins)
        labels = np.repeat(self.classes, sizes, axis=0)
        labels[:, -1] = self.steps[np.arange(len(self)) - np.repeat(self.base, sizes)]
        return labels

    @cached_property
    def _rank_of(self) -> dict[int, int]:
        return {step: rank for rank, step in enumerate(self.steps.tolist())}

    def rank(self, arrival: Arrival) -> int:
        """Which of the steps the rows of an arrival enter at."""
        return self._rank_of[arrival.step]

    def rows(self, classes: slice, rank: int) -> Labels:
        """The rows of some classes at one step."""
        return np.asarray(self.base[classes] + rank)


def _entered(way: Way, place: Mapping[int, int]) -> dict[str, int]:
    """For every head the steps that paths from there enter at, a bit each, at its `place`."""
    entered: dict[str, int] = {}
    for head, edges in reversed(way.heads):
        bits = 0
        for edge in edges:
            if edge.tail in way.targets:
                bits |= 1 << place[entry_step(way.graph, edge)]
            bits |= entered.get(edge.tail, 0)
        entered[head] = bits
    return entered


class Ledger:
    """Columns of figures, a number for each row of a grid.

    What arrives together lies far apart in a column, a page of memory for every number. So some arrivals are gathered,
    and numbers that lie side by side are written together.

    Attributes:
        powers: a column's numbers are to be multiplied by 2^power, beside what is said of each. The first column is
            norms, and no number of another is much larger than its row's norm.
    """

    FEWEST, MOST = 8, 32
    """Arrivals that are gathered."""

    def __init__(self, grid: Grid, powers: Sequence[int], units: int) -> None:
        """`units`: how many numbers a row has whose figures are written down; what is gathered takes less room."""
        self._grid = grid
        self._most = min(max(self.FEWEST, units // 4), self.MOST)
        self._powers = powers
        self._columns = list(np.empty((len(powers), len(grid))))  # together, for the system clears large memory faster
        self._gathered = [np.zeros((self._most, len(grid.classes))) for _ in powers]
        self._arrivals: list[tuple[Span, int, Exponents | None]] = []

    def room(self, span: Span) -> list[Array]:
        """Where the figures of the next arrival are to be written to, (classes,) for each column."""
        index = len(self._arrivals)
        return [part[index, span[0] : span[1]] for part in self._gathered]

    def write(self, span: Span, rank: int, powers: Exponents | None) -> None:
        """What is in `room` are figures of some classes at one step, to be multiplied by 2^powers, (all classes,)."""
        self._arrivals.append((span, rank, powers))
        if len(self._arrivals) == self._most:
            self._put_down()

    def columns(self) -> Sequence[Array]:
        """The columns; the ledger is not to be used after this."""
        self._put_down()
        return self._columns

    def _put_down(self) -> None:
        """Write what is gathered into the columns: the classes of all arrivals row by row, where their steps follow one
        another; the others number by number."""
        if not self._arrivals:
            return
        spans, steps, _ = zip(*self._arrivals, strict=True)
        starts, stops = zip(*spans, strict=True)
        low, first, last, high = min(starts), max(starts), min(stops), max(stops)
        if first < last and self._are_successive(steps):
            self._copy(slice(first, last), steps)
        else:
            last = first
        for side in (slice(low, first), slice(max(last, first), high)):
            if side.start < side.stop:
                self._scatter(side, np.array(spans), np.array(steps))
        self._arrivals.clear()

    @staticmethod
    def _are_successive(steps: Sequence[int]) -> bool:
        along = 1 if steps[-1] > steps[0] else -1
        return all(after - step == along for step, after in pairwise(steps))

    def _scale(self, column: int, classes: slice, out: Array) -> None:
        """What is gathered of some classes for a column, powers of two multiplied into it, written to `out`, (arrivals,
        classes): of all arrivals that have the same powers together."""
        begins = 0
        for _, those in groupby(self._arrivals, key=lambda arrival: id(arrival[2])):
            among = list(those)
            powers, block = among[0][2], slice(begins, begins + len(among))
            begins = block.stop
            if powers is None:
                powers = np.zeros(len(self._grid.classes), dtype=np.int64)
            norms, figures = (self._gathered[index][block, classes] for index in (0, column))
            scale_by_strides(figures, powers[classes], self._powers[column], norms, out[block])

    def _copy(self, classes: slice, steps: Sequence[int]) -> None:
        """Write the figures of classes that are in all arrivals, at steps that follow one another: in a column those of
        a class then lie side by side, apart from those of others."""
        rows, backwards = self._grid.rows(classes, min(steps)), steps[0] > steps[-1]
        side_by_side = np.empty((len(rows), len(steps)))
        window = np.dtype((np.void, 8 * len(steps)))  # as one thing each is copied three times as fast
        for index, column in enumerate(self._columns):
            self._scale(index, classes, side_by_side.T[:: -1 if backwards else 1])
            windows = np.ndarray(len(column) - len(steps) + 1, window, column, strides=column.strides)
            windows[rows] = side_by_side.view(window)[:, 0]

    def _scatter(self, classes: slice, spans: Labels, steps: Labels) -> None:
        """Write the figures of classes of which not all are in all arrivals."""
        among = np.arange(classes.start, classes.stop)
        there = (spans[:, :1] <= among) & (among < spans[:, 1:])
        rows = (self._grid.rows(classes, 0) + steps[:, None])[there]
        figures = np.empty(there.shape)
        for index, column in enumerate(self._columns):
            self._scale(index, classes, figures)
            column[rows] = figures[there]
