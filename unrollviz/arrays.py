"""The array types that every layer shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
"""float64 numbers: a value, a stack of cotangents, a term."""
Labels = npt.NDArray[Any]
"""(rows, columns) whole numbers: int64, or Python integers (dtype object) where 64 bits do not suffice."""
Shape = tuple[int, ...]
