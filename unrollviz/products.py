"""Matrix products: a large one in parts, shared among the cores that linear algebra may use.

BLAS would halve it and wait at full speed until both halves are done: on a busy machine that takes two to three times
as long as one thread. Here whoever is free takes the next part, so that a core that others keep busy does less.

What threads do with each other here is done in C (an iterator, `SimpleQueue`), so that Ctrl-C finds no lock half taken;
and whoever asks does all that nobody has taken, so that it needs no helper: at the end of the program there is none.
"""

from __future__ import annotations

import _thread
import os
from collections.abc import Iterator
from itertools import pairwise
from queue import SimpleQueue
from typing import TypeAlias

import numpy as np

from unrollviz.arrays import Array, cores

LARGE = 2**22
"""Multiplications in a part, at least: 0.1 to 0.3 ms. To hand a smaller one over takes as long as it saves."""

_EACH = 2
"""Parts for each core, at most, so that whoever is done first can take another."""

_ROWS = 48
"""Parts have a multiple of so many rows but for the last: BLAS computes some rows at a time, and what is left over in
another order of additions, so that the last digit would depend on where a product is cut."""

Operands: TypeAlias = list[Array]
"""Rows, matrix and result; empty when the product is done, so that nobody holds memory that is to be used again."""
Done: TypeAlias = "SimpleQueue[BaseException | None]"
"""What a helper says of every part that it has taken."""


def product(rows: Array, matrix: Array, out: Array) -> Array:
    """rows · matrix, written to `out`: (R, m), (m, n) -> (R, n)."""
    parts = min(len(rows) * matrix.size // LARGE, len(rows))
    if parts < 2 or cores() == 1:
        return np.asarray(np.matmul(rows, matrix, out=out))
    pieces = _pieces(len(rows), min(parts, _EACH * cores()))
    operands, left, done, mine = [rows, matrix, out], iter(pieces), SimpleQueue[BaseException | None](), 0
    try:
        _HELP.ask(cores() - 1, (operands, left, done))
        for piece in left:
            mine += 1
            np.matmul(rows[piece], matrix, out=out[piece])
        said = [done.get() for _ in range(len(pieces) - mine)]
    finally:
        for _ in left:  # interrupted: nobody is to begin another
            pass
        operands.clear()
    for error in said:
        if error is not None:
            raise error
    return out


def _pieces(rows: int, parts: int) -> list[slice]:
    """About so many slices of much the same size."""
    size = -(-rows // parts)
    size += -size % min(_ROWS, size)
    return [slice(*ends) for ends in pairwise([*range(0, rows, size), rows])]


class _Helpers:
    """Threads that wait for products. They end with the program, whatever they are at."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """There are none yet."""
        self.waiting: SimpleQueue[tuple[Operands, Iterator[slice], Done]] = SimpleQueue()
        self.started = 0

    def ask(self, many: int, work: tuple[Operands, Iterator[slice], Done]) -> None:
        """Have so many helpers take parts of a product, or fewer: those that do not come, or that the system does not
        grant, are done without."""
        try:
            while self.started < many:
                _thread.start_new_thread(_help, (self.waiting,))
                self.started += 1
        except RuntimeError:
            many = min(many, self.started)
        if self.waiting.qsize() <= many:  # what nobody comes for is not to pile up
            for _ in range(many):
                self.waiting.put(work)


def _help(waiting: SimpleQueue[tuple[Operands, Iterator[slice], Done]]) -> None:
    with np.errstate(all="ignore"):  # each thread has its own; see `arithmetic`
        while True:
            _take(*waiting.get())


def _take(operands: Operands, left: Iterator[slice], done: Done) -> None:
    """All parts of a product that nobody has taken yet."""
    for piece in left:
        try:
            _multiply(operands, piece)
        except BaseException as error:
            done.put(error)
        else:
            done.put(None)


def _multiply(operands: Operands, piece: slice) -> None:
    rows, matrix, out = operands
    np.matmul(rows[piece], matrix, out=out[piece])


_HELP = _Helpers()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_HELP.begin)  # a fork has none of its parent's threads
