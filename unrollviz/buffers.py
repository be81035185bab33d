"""Memory for rows that go through one edge after the other and stay where they are, but for a few rows' width."""

from __future__ import annotations

import math

import numpy.typing as npt

from unrollviz.arrays import Labels, Shape, room
from unrollviz.jacobians import Jacobian

AT_ONCE = 1024
"""Rows of a matrix that are multiplied at once, and so the most that there is room for beside them: at T = 3,000,
d = 64 products of 192 rows each take a tenth longer in all, those of all rows as long."""


class Buffer:
    """Memory for some rows and a few more, at most half as many. Products are written beside the rows that they are
    made of, a few at once, over those that have been multiplied before: that takes no second matrix, and no copy.

    Attributes:
        rows: (most, *shape)
    """

    __slots__ = ("_few", "_free", "_high", "rows")

    def __init__(self, most: int, shape: Shape, dtype: npt.DTypeLike = float) -> None:
        instances = math.prod(shape[:-1])  # each is a row of the matrix that is multiplied
        self._few = max(1, min(most // 2, AT_ONCE // max(1, instances))) if shape else 0
        memory = room((most + self._few, *shape), dtype, most + self._few)
        self.rows: Labels = memory[:most]
        self._free = memory[self._few :]
        self._high = False  # whether rows lie at the upper end of the memory

    def pull(self, jacobian: Jacobian, first: int, stop: int) -> None:
        """Take some of the rows through an edge, x having y's shape; the others are lost."""
        few, before, after = self._few, self.rows, self._free
        jacobian = jacobian.for_rows(stop - first)
        starts = range(first, stop, few)
        for start in starts if self._high else reversed(starts):
            some = slice(start, min(start + few, stop))
            jacobian.vjp_into(before[some], after[some])
        self.rows, self._free, self._high = after, before, not self._high
