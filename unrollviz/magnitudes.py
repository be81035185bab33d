"""How large a number is, as it is shown by its logarithm: of any size, also where no float64 holds it."""

from __future__ import annotations

import math


def scientific(log10: float, decimals: int = 3) -> str:
    """10^`log10`, which is finite, as Python writes a float: `3.162e-341`."""
    power = math.floor(log10)
    # Rounding may carry to the next power of ten: 9.9999 is written 1.000e+01.
    digits, _, carried = f"{10 ** (log10 - power):.{decimals}e}".partition("e")
    return f"{digits}e{power + int(carried):+03d}"
