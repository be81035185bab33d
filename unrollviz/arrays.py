"""The array types that every layer shares, and the conditions under which numbers are computed: quiet, one thread, room
that is used again."""

from __future__ import annotations

import gc
import math
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    """Compute quietly, for results are checked to be finite; and on one thread, but for what `products` shares out.

    A sweep is many small matrix products. Sharing each among threads gains little where the machine is idle, and was
    seen to take 5 to 75 times as long where it is busy."""
    outer = _THREAD.kept
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
        self.cores = 1  # on how many threads linear algebra ran before

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self.cores = min((lib.num_threads or 1 for lib in _blas()), default=1)
                self._limiter = _controller().limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self.cores = 1
                self._limiter.restore_original_limits()


_ONE_THREAD = _OneThread()


def cores() -> int:
    """On how many cores a large job may be done: on as many threads as linear algebra has outside `arithmetic()`, which
    is for the user to say (threadpoolctl, OPENBLAS_NUM_THREADS and the like); 1 elsewhere."""
    return _ONE_THREAD.cores


class _Thread(threading.local):
    """Each thread's own: the buffers of `room`, None outside `arithmetic()`; and what `beat` calls."""

    kept: list[tuple[Array, int]] | None = None
    pulse: Callable[[], None] | None = None


_THREAD = _Thread()


@contextmanager
def interruptible(pulse: Callable[[], None]) -> Iterator[None]:
    """Have `pulse` called at every node that is traced, contracted or swept by this thread meanwhile, that is every few
    milliseconds; what it raises ends the work, and nothing is lost but the work."""
    outer = _THREAD.pulse
    _THREAD.pulse = pulse
    try:
        yield
    finally:
        _THREAD.pulse = outer


def beat() -> None:
    """Called between the steps of long work; see `interruptible`."""
    pulse = _THREAD.pulse
    if pulse is not None:
        pulse()


_SMALL = 2**12
_FLOAT64 = np.dtype(np.float64)


_LINE = 8
"""Numbers in a line of the cache. Where rows begin with one, products take a tenth less time with wide registers."""


def room(shape: Shape, dtype: npt.DTypeLike = np.float64, most: int = 0) -> npt.NDArray[Any]:
    """An array to be written to: within `arithmetic()` one whose memory nobody holds any more, if there is one. Where
    it is known how many rows such an array has at `most`, that much memory is taken, and kept for these arrays.

    Fresh memory of more than some pages comes from the system, which clears it: that takes longer than multiplying
    the numbers that go there (a sweep of T = 3,000, d = 64: 2.2 instead of 1.2 times its matrix products)."""
    kept, size = _THREAD.kept, math.prod(shape)
    if kept is None or size < _SMALL or dtype not in (np.float64, _FLOAT64):
        return np.empty(shape, dtype)
    needed = size // shape[0] * most if most else size + size // 8  # there may be some more rows at the next step
    held = _held()
    for memory, begins in kept:
        capacity = memory.size - _LINE
        if (capacity == needed if most else size <= capacity <= 4 * size) and sys.getrefcount(memory) == held:
            return memory[begins : begins + size].reshape(shape)
    kept[:] = [(memory, begins) for memory, begins in kept if sys.getrefcount(memory) > held]
    kept.append(_memory(needed))
    memory, begins = kept[-1]
    return memory[begins : begins + size].reshape(shape)


def _memory(size: int) -> tuple[Array, int]:
    """Memory for so many numbers, and where in it they begin: with a line of the cache."""
    memory = np.empty(size + _LINE)
    return memory, -(memory.ctypes.data // memory.itemsize) % _LINE


@cache
def _held() -> int:
    """What `getrefcount` says of memory that only its list holds, while going through it; versions of Python differ."""
    return next(sys.getrefcount(memory) for memory, _ in [(np.empty(1), 0)])


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


def _blas() -> Sequence[Any]:
    """The libraries of linear algebra that are loaded."""
    return [lib for lib in _controller().lib_controllers if lib.user_api == "blas"]
