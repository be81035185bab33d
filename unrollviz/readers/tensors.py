"""What the readers of weights hand on: floating-point arrays by name, as stored, and a few words about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from unrollviz.arrays import Array, Shape
from unrollviz.errors import ShapeError
from unrollviz.names import clean

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Tensors:
    """The contents of one file.

    Attributes:
        arrays: by name, floating-point numbers of any width.
        metadata: what the file says about them, cleaned.
        others: names of what holds no floating-point numbers, and is not read.
    """

    arrays: Mapping[str, Floats]
    metadata: Mapping[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()


def take(arrays: Mapping[str, Floats], name: str, shape: Shape) -> Array:
    """The array as float64.

    Raises ShapeError where it has another shape, or holds a NaN or an infinity."""
    value = arrays[name]
    if value.shape != shape:
        raise ShapeError(f"{clean(name)} has shape {value.shape}, but {shape} is what the others ask for")
    numbers = np.asarray(value, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ShapeError(f"{clean(name)} holds a NaN or an infinity; give finite weights")
    return numbers
