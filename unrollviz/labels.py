"""Labels as numbers: the different ones among many rows of them, and a place for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from unrollviz.arrays import Labels


@dataclass(frozen=True)
class Radix:
    """Numbers labels; `low` and `span` are the range of each column.

    Where 64 bits do not suffice, the numbers are Python integers."""

    low: tuple[int, ...]
    span: tuple[int, ...]

    @classmethod
    def of(cls, *parts: Labels) -> Radix:
        """A numbering for the labels in `parts` and for every row whose columns lie within theirs."""
        columns = range(parts[0].shape[1])  # column by column: reductions over rows of two numbers are slow
        low = [int(min(labels[:, column].min() for labels in parts)) for column in columns]
        high = [int(max(labels[:, column].max() for labels in parts)) for column in columns]
        return cls(tuple(low), tuple(top - bottom + 1 for top, bottom in zip(high, low, strict=True)))

    def keys(self, labels: Labels) -> Labels:
        """(R, columns) -> (R,) in the lexicographic order of the labels."""
        return self._horner(labels, range(labels.shape[1]))

    def cells(self, labels: Labels) -> Labels:
        """(R, columns) -> (R,): places in a table of all possible labels, in which the first column varies fastest.

        In a sweep that is the loss: rows that arrive together then lie side by side."""
        return self._horner(labels, range(labels.shape[1] - 1, -1, -1))

    def _horner(self, labels: Labels, columns: Sequence[int]) -> Labels:
        if math.prod(self.span) > 2**62:
            labels = labels.astype(object)
        key = labels[:, columns[0]] - self.low[columns[0]]
        for column in columns[1:]:
            key = key * self.span[column] + (labels[:, column] - self.low[column])
        return np.asarray(key)


def unique_rows(labels: Labels) -> tuple[Labels, Labels]:
    """The different rows of `labels`, sorted, and for every row the index of its like among them."""
    _, first, place = np.unique(Radix.of(labels).keys(labels), return_index=True, return_inverse=True)
    return labels[first], place


DENSE = 2**25
"""Cells that a table of all possible labels may have."""


_SLAB = 64
"""Rows of a table that are turned at once: one by one they would take a page of memory for every number. What nobody
has written to is not read, for then the system would have to find memory for it."""


@dataclass(frozen=True, eq=False)
class Places:
    """Where the rows of several stacks go in arrays with a place for every label.

    There may be places for labels that no row has, and they may be in another order than labels are shown in: a table
    of all [t, k] is written faster than millions of labels are sorted.

    Attributes:
        size: number of places.
        where: a place for every row, one array or slice for each stack.
    """

    size: int
    where: list[Labels | slice]
    _union: Labels | None = field(repr=False)
    _radix: Radix = field(repr=False)

    @classmethod
    def of(cls, parts: Sequence[Labels]) -> Places:
        """Places for the labels of some stacks."""
        radix = Radix.of(*parts)
        possible = math.prod(radix.span)
        if possible <= DENSE:
            return cls(possible, [as_slice(radix.cells(labels)) for labels in parts], None, radix)
        union, place = unique_rows(np.concatenate(parts))
        where = np.split(place, np.cumsum([len(labels) for labels in parts])[:-1])
        return cls(len(union), [as_slice(part) for part in where], union, radix)

    @classmethod
    def none(cls, columns: int) -> Places:
        """No places, for labels of so many columns."""
        return cls(1, [], None, Radix((0,) * columns, (1,) * columns))

    @cached_property
    def _taken(self) -> npt.NDArray[np.bool_]:
        """Whether there are rows at a place, by label: (*span)."""
        taken = np.zeros(self.size, dtype=bool)
        for place in self.where:
            taken[place] = True
        return taken.reshape(self._radix.span, order="F")

    def shown(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(size,) values at all places -> (labels,) in the order of the labels."""
        if self._union is not None:
            return values
        table, result, begins = values.reshape(self._radix.span, order="F"), np.empty(len(self), values.dtype), 0
        for first in range(0, len(table), _SLAB):
            taken = np.ascontiguousarray(self._taken[first : first + _SLAB])
            used = np.flatnonzero(taken.any(axis=(0, *range(2, taken.ndim))))
            part = (slice(None), slice(used[0], used[-1] + 1)) if taken.ndim > 1 and len(used) else ()
            found = np.ascontiguousarray(table[first : first + _SLAB][part])[taken[part]]
            result[begins : begins + len(found)] = found
            begins += len(found)
        return result

    def __len__(self) -> int:
        """How many labels there are."""
        return len(self._union) if self._union is not None else int(np.count_nonzero(self._taken))

    @cached_property
    def labels(self) -> Labels:
        """The different labels, sorted."""
        return self._union if self._union is not None else np.argwhere(self._taken) + np.array(self._radix.low)


def indices(place: Labels | slice) -> Labels:
    """Places one by one."""
    return np.arange(place.start, place.stop) if isinstance(place, slice) else place


def as_slice(place: Labels) -> Labels | slice:
    """Neighbouring places, in order, as a slice, which is faster to write to."""
    if place[-1] - place[0] + 1 == len(place) and (place[1:] > place[:-1]).all():
        return slice(int(place[0]), int(place[-1]) + 1)
    return place
