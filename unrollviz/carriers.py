"""What a sweep carries back along paths: cotangents, or exact numbers of paths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unrollviz.arrays import Array, Labels
from unrollviz.buffers import Buffer
from unrollviz.jacobians import Jacobian


@dataclass(frozen=True)
class Carrier:
    """How a path begins, and how what is carried goes through an edge.

    Attributes:
        seed: what every path begins with, (1,).
        pull: (Jacobian of an edge, rows before it) -> rows behind it, which may be the same memory.
        pull_into: the same, written to the memory given last.
        pull_along: (buffer, Jacobian, first, stop) the same for some of the rows of a buffer, which stay there.
        buffer: (Jacobian, rows) -> a buffer for so many rows behind an edge.
        shrinks: it may underflow.
        one: the 1 of what paths are counted in beside, if they are.
    """

    seed: Array | Labels
    pull: Callable[[Jacobian, Labels], Labels]
    pull_into: Callable[[Jacobian, Labels, Labels], None]
    pull_along: Callable[[Buffer, Jacobian, int, int], None]
    buffer: Callable[[Jacobian, int], Buffer]
    shrinks: bool = False
    one: Labels | None = None


def _counting(dtype: type) -> Carrier:
    def copy(jacobian: Jacobian, rows: Labels, out: Labels) -> None:
        out[...] = rows

    return Carrier(
        np.ones(1, dtype=dtype),
        lambda jacobian, rows: rows,
        copy,
        lambda buffer, jacobian, first, stop: None,
        lambda jacobian, rows: Buffer(rows, (), dtype),
    )


COTANGENTS = Carrier(
    np.ones(1),
    lambda jacobian, rows: jacobian.vjp(rows),
    lambda jacobian, rows, out: jacobian.vjp_into(rows, out),
    Buffer.pull,
    lambda jacobian, rows: Buffer(rows, jacobian.in_shape),
    shrinks=True,
)
COUNTS = _counting(object)
"""Path counts: the same walk with exact Python integers in place of cotangents."""
SMALL_COUNTS = _counting(np.int64)
"""The same where there are less than 2^62 paths in all, so that 64 bits hold every count."""
