"""Rows told apart by the loss they come from and the step they enter at, written down in order as they arrive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unrollviz.arrays import Array, Labels
from unrollviz.stacks import Exponents, Radix, times_strides, unique_rows
from unrollviz.sweep import ENTRY, Arrival, Fold, Way, entry_step


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
        entries = way.entries()
        before = fold[:-1]
        if fold[-1] is not ENTRY or any(c.cross or c.enter or c.exact or c.distinct for c in before):
            return None
        used = Counter(step for _, step in entries)
        if not entries or not losses or max(used.values()) > 1 or any(edge.jacobian.ends > 1 for edge, _ in entries):
            return None
        steps = np.array(sorted(used))
        times = (way.graph.nodes[name]["time"] for name in losses)
        seeds = np.array([[c.seed(name, t) for c in fold] for name, t in zip(losses, times, strict=True)])
        classes, class_of = unique_rows(seeds)
        reached, entered = [0] * len(classes), _entered(way, {step: index for index, step in enumerate(steps.tolist())})
        for loss, index in zip(losses, class_of.tolist(), strict=True):
            reached[index] |= entered.get(loss, 0)
        kept = [index for index, bits in enumerate(reached) if bits]
        first = [(reached[index] & -reached[index]).bit_length() - 1 for index in kept]
        sizes = [reached[index].bit_count() for index in kept]
        if any(reached[i].bit_length() != low + size for i, low, size in zip(kept, first, sizes, strict=True)):
            return None
        begins = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
        return cls(classes[kept], steps, begins, np.array(first, dtype=np.int64))

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
    def _keys(self) -> tuple[Radix, Labels]:
        radix = Radix.of(self.classes)
        return radix, radix.keys(self.classes)

    @cached_property
    def _class_of(self) -> dict[bytes, int]:
        """Label -> its class, for labels one by one: a look-up takes a tenth of a search."""
        return {label.tobytes(): index for index, label in enumerate(self.classes)}

    @cached_property
    def _rank_of(self) -> dict[int, int]:
        return {step: rank for rank, step in enumerate(self.steps.tolist())}

    def where(self, arrival: Arrival) -> tuple[Labels | slice, int]:
        """The classes of an arrival's rows, and which of the steps they enter at."""
        labels, rank = arrival.before, self._rank_of[arrival.step]
        first, last = self._class_of[labels[0].tobytes()], self._class_of[labels[-1].tobytes()]
        if last - first + 1 == len(labels):
            return slice(first, last + 1), rank
        radix, keys = self._keys
        return np.searchsorted(keys, radix.keys(labels)), rank

    def rows(self, classes: Labels | slice, rank: int) -> Labels:
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
    and numbers that lie side by side are written together, their powers of two multiplied in.

    Attributes:
        powers: a column's numbers are to be multiplied by 2^power, beside what is said of each.
    """

    GATHERED = 16

    def __init__(self, grid: Grid, powers: Sequence[int]) -> None:
        self._grid = grid
        self._powers = powers
        self._columns = [np.empty(len(grid)) for _ in powers]
        self._gathered = [np.zeros((self.GATHERED, len(grid.classes))) for _ in powers]
        self._exponents: Exponents | None = None
        self._places: list[tuple[slice, int]] = []

    def write(self, classes: Labels | slice, rank: int, exponents: Exponents | None, *figures: Array) -> None:
        """Write down a figure of each column, times 2^exponents, for the rows of some classes at one step."""
        if not isinstance(classes, slice):
            for column, power, found in zip(self._columns, self._powers, figures, strict=True):
                column[self._grid.rows(classes, rank)] = times_strides(found, exponents, power)
            return
        index = len(self._places)
        for part, found in zip(self._gathered, figures, strict=True):
            part[index, classes] = found
        if exponents is not None and self._exponents is None:
            self._exponents = np.zeros((self.GATHERED, len(self._grid.classes)), dtype=np.int64)
        if self._exponents is not None:
            self._exponents[index, classes] = 0 if exponents is None else exponents
        self._places.append((classes, rank))
        if len(self._places) == self.GATHERED:
            self._put_down()

    def columns(self) -> Sequence[Array]:
        """The columns; the ledger is not to be used after this."""
        self._put_down()
        return self._columns

    def _put_down(self) -> None:
        """Write what is gathered into the columns: the classes of all arrivals together, those of some one by one."""
        if not self._places:
            return
        starts, stops = np.array([(part.start, part.stop) for part, _ in self._places]).T
        first, last = int(starts.max()), int(stops.min())
        if first < last:
            self._copy(slice(first, last))
        else:
            first = last = int(stops.max())
        for side in (slice(int(starts.min()), first), slice(last, int(stops.max()))):
            if side.start < side.stop:
                among = np.arange(side.start, side.stop)[:, None]
                self._copy(side, (starts <= among) & (among < stops))
        self._places.clear()

    def _copy(self, classes: slice, there: Labels | None = None) -> None:
        """Write the figures of some classes, (classes, arrivals); only what is `there`."""
        size = len(self._places)
        rows = self._grid.rows(classes, 0)[:, None] + np.array([rank for _, rank in self._places])
        exponents = None if self._exponents is None else self._exponents[:size, classes]
        for column, power, gathered in zip(self._columns, self._powers, self._gathered, strict=True):
            found = times_strides(gathered[:size, classes], exponents, power).T
            if there is None:
                column[rows] = found
            else:
                column[rows[there]] = found[there]
