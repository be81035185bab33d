"""The array types that every layer shares, and the conditions under which numbers are computed: quiet, one thread, room
that is used again."""

from __future__ import annotations

import gc
import math
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

Array = npt.NDArray[np.float64]
"""float64 numbers: a value, a stack of cotangents, a term."""
Labels = npt.NDArray[Any]
"""(rows, columns) whole numbers: int64, or Python integers (dtype object) where 64 bits do not suffice."""
Shape = tuple[int, ...]


@contextmanager
def arithmetic() -> Iterator[None]:
    """Compute quietly, for results are checked to be finite; and on one thread.

    A sweep is many small matrix products. Sharing each among threads gains little where the machine is idle, and was
    seen to take 5 to 75 times as long where it is busy."""
    outer = getattr(_THREAD, "kept", None)
    _THREAD.kept = [] if outer is None else outer
    try:
        with np.errstate(all="ignore"), _ONE_THREAD:
            yield
    finally:
        if outer is None:
            _THREAD.kept = None


class _OneThread:
    """Linear algebra on one thread: set by the first who comes, undone by the last who leaves, in whatever thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limiter: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._limiter = _controller().limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limiter.restore_original_limits()


_ONE_THREAD = _OneThread()

_THREAD = threading.local()
"""Each thread's own: `kept`, the buffers of `room`; `pulse`, what `beat` calls."""


@contextmanager
def interruptible(pulse: Callable[[], None]) -> Iterator[None]:
    """Have `pulse` called at every node that is traced, contracted or swept by this thread meanwhile, that is every few
    milliseconds; what it raises ends the work, and nothing is lost but the work."""
    outer = getattr(_THREAD, "pulse", None)
    _THREAD.pulse = pulse
    try:
        yield
    finally:
        _THREAD.pulse = outer


def beat() -> None:
    """Called between the steps of long work; see `interruptible`."""
    pulse = getattr(_THREAD, "pulse", None)
    if pulse is not None:
        pulse()


_SMALL = 2**12

_LINE = 8
"""Numbers in a line of the cache."""


@dataclass(slots=True)
class _Buffer:
    """Memory of which `begins` … `ends` is in use, while anybody holds it."""

    numbers: Array
    begins: int
    ends: int

    def given(self, shape: Shape) -> Array:
        """The part in use."""
        part: Array = self.numbers[self.begins : self.ends].reshape(shape)
        return part


def room(shape: Shape, dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
    """An array to be written to: within `arithmetic()` one whose memory nobody holds any more, if there is one. There
    is some memory left beside it, for rows to come.

    Fresh memory of more than some pages comes from the system, which clears it: that takes longer than multiplying
    the numbers that go there (a sweep of T = 3,000, d = 64: 2.2 instead of 1.2 times its matrix products)."""
    kept, size = getattr(_THREAD, "kept", None), math.prod(shape)
    if kept is None or size < _SMALL or np.dtype(dtype) != np.float64:
        return np.empty(shape, dtype)
    held = _held()
    for buffer in kept:
        if size + size // 16 <= buffer.numbers.size <= 4 * size and sys.getrefcount(buffer.numbers) == held:
            return _middle(buffer, size).given(shape)
    kept[:] = [buffer for buffer in kept if sys.getrefcount(buffer.numbers) > held]
    kept.append(_Buffer(np.empty(size + size // 8), 0, 0))
    return _middle(kept[-1], size).given(shape)


def _middle(buffer: _Buffer, size: int) -> _Buffer:
    """`buffer` with `size` numbers in its middle in use, so that rows can be added on either side."""
    buffer.begins = (buffer.numbers.size - size) // 2 // _LINE * _LINE
    buffer.ends = buffer.begins + size
    return buffer


def extended(rows: Labels, before: int, after: int) -> Array | None:
    """`rows` from `room` where they lie, with as many rows more on either side, to be written to.

    None where that memory is not free; then the rows must be copied."""
    width = math.prod(rows.shape[1:])
    for buffer in getattr(_THREAD, "kept", None) or ():
        # Who holds all that is in use may have more of it; then nobody else does, for theirs is no longer all.
        size, all_of_it = buffer.numbers.size, rows.size == buffer.ends - buffer.begins
        if all_of_it and rows.flags.c_contiguous and rows.base is buffer.numbers:
            begins, ends = buffer.begins - before * width, buffer.ends + after * width
            if begins < 0 or ends > size:
                return None
            buffer.begins, buffer.ends = begins, ends
            found: Array = _Buffer.given(buffer, (before + len(rows) + after, *rows.shape[1:]))
            return found
    return None


@cache
def _held() -> int:
    """What `getrefcount` says of memory that only its buffer holds; versions of Python differ."""
    buffer = _Buffer(np.empty(1), 0, 0)
    return sys.getrefcount(buffer.numbers)


@contextmanager
def many_objects() -> Iterator[None]:
    """Pause the garbage collector while a graph is built: many small objects, none of them garbage. Halves the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
