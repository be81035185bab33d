"""Rows told apart by the loss they come from and the step they enter at, written down in order as they arrive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

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

    GATHERED = 16
    AT_ONCE = 512
    """Classes whose figures are turned at once."""

    def __init__(self, grid: Grid, powers: Sequence[int]) -> None:
        self._grid = grid
        self._powers = powers
        self._columns = [np.empty(len(grid)) for _ in powers]
        self._gathered = [np.zeros((self.GATHERED, len(grid.classes))) for _ in powers]
        self._arrivals: list[tuple[Span, int, Exponents | None]] = []

    def room(self, span: Span) -> list[Array]:
        """Where the figures of the next arrival are to be written to, (classes,) for each column."""
        index = len(self._arrivals)
        return [part[index, span[0] : span[1]] for part in self._gathered]

    def write(self, span: Span, rank: int, powers: Exponents | None) -> None:
        """What is in `room` are figures of some classes at one step, to be multiplied by 2^powers, (all classes,)."""
        self._arrivals.append((span, rank, powers))
        if len(self._arrivals) == self.GATHERED:
            self._put_down()

    def columns(self) -> Sequence[Array]:
        """The columns; the ledger is not to be used after this."""
        self._put_down()
        return self._columns

    def _put_down(self) -> None:
        """Write what is gathered into the columns: the classes of all arrivals together, those of some one by one."""
        if not self._arrivals:
            return
        starts, stops = np.array([span for span, _, _ in self._arrivals]).T
        self._scale(slice(int(starts.min()), int(stops.max())))
        first, last = int(starts.max()), int(stops.min())
        for begins in range(first, last, self.AT_ONCE):
            self._copy(slice(begins, min(begins + self.AT_ONCE, last)))
        if first >= last:
            first = last = int(stops.max())
        for side in (slice(int(starts.min()), first), slice(last, int(stops.max()))):
            if side.start < side.stop:
                among = np.arange(side.start, side.stop)[:, None]
                self._copy(side, (starts <= among) & (among < stops))
        self._arrivals.clear()

    def _scale(self, classes: slice) -> None:
        """Multiply powers of two into what is gathered of some classes: of all arrivals that have the same together."""
        begins = 0
        for _, those in groupby(self._arrivals, key=lambda arrival: id(arrival[2])):
            among = list(those)
            powers, block = among[0][2], slice(begins, begins + len(among))
            begins = block.stop
            if powers is None and any(self._powers):
                powers = np.zeros(len(self._grid.classes), dtype=np.int64)
            if powers is not None:
                blocks = [gathered[block, classes] for gathered in self._gathered]
                scale_by_strides(blocks, powers[classes], self._powers)

    def _copy(self, classes: slice, there: Labels | None = None) -> None:
        """Write the figures of some classes, (classes, arrivals); only what is `there`."""
        ranks = np.array([rank for _, rank, _ in self._arrivals])
        inwards = slice(None, None, -1 if ranks[0] > ranks[-1] else 1)  # in the order in which they will lie
        rows = self._grid.rows(classes, 0)[:, None] + ranks[inwards]
        for column, gathered in zip(self._columns, self._gathered, strict=True):
            found = np.ascontiguousarray(gathered[: len(ranks), classes][inwards].T)
            if there is None:
                column[rows] = found
            else:
                kept = there[:, inwards]
                column[rows[kept]] = found[kept]
