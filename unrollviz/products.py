"""Matrix products: a large one in parts, shared among the cores that linear algebra may use.

BLAS would halve it and wait at full speed until both halves are done: on a busy machine that takes two to three times
as long as one thread. Here whoever is free takes the next part, so that a core that others keep busy does less.
"""

from __future__ import annotations

import os
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from unrollviz.arrays import Array, cores

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

LARGE = 2**22
"""Multiplications in a part, at least: 0.1 to 0.3 ms. To hand a smaller one over takes as long as it saves."""

_EACH = 2
"""Parts for each core, at most, so that whoever is done first can take another."""


def product(rows: Array, matrix: Array, out: Array) -> Array:
    """rows · matrix, written to `out`: (R, m), (m, n) -> (R, n)."""
    parts = min(len(rows) * matrix.size // LARGE, len(rows))
    if parts < 2 or cores() == 1:
        return np.asarray(np.matmul(rows, matrix, out=out))
    parts = min(parts, _EACH * cores())
    pieces = [slice(*ends) for ends in pairwise(len(rows) * part // parts for part in range(parts + 1))]
    handed = [_helpers().submit(_multiply, rows[piece], matrix, out[piece]) for piece in pieces]
    begun: list[Future[None]] = []
    for piece, future in zip(reversed(pieces), reversed(handed), strict=True):
        if future.cancel():  # nobody has begun it
            np.matmul(rows[piece], matrix, out=out[piece])
        else:
            begun.append(future)
    for future in begun:
        future.result()
    return out


def _multiply(rows: Array, matrix: Array, out: Array) -> None:
    with np.errstate(all="ignore"):  # each thread has its own; see `arithmetic`
        np.matmul(rows, matrix, out=out)


@cache
def _helpers() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(max((os.cpu_count() or 1) - 1, 1), thread_name_prefix="product")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)  # a fork has none of its parent's threads
