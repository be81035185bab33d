"""What every report shares: numbers for JSON, and the name of a sum of losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]


def exact(value: float) -> float | None:
    """A number for JSON, which knows no NaN: null where it is undefined."""
    return float(value) if math.isfinite(value) else None


def of_losses(losses: Sequence[str]) -> str:
    """The name of the one loss, or L for the sum of all."""
    return losses[0] if len(losses) == 1 else "L"
