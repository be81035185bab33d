"""The array types that every layer shares, and the conditions under which numbers are computed."""

from __future__ import annotations

import gc
from collections.abc import Iterator
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
    """Compute quietly, for results are checked to be finite; and on one thread.

    A sweep is many small matrix products. Sharing each among threads gains little where the machine is idle, and was
    seen to take 5 to 75 times as long where it is busy."""
    with np.errstate(all="ignore"), _threads().limit(limits=1, user_api="blas"):
        yield


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
def _threads() -> ThreadpoolController:
    return ThreadpoolController()
