"""How many paths there are, as it is shown: of any size, where Python refuses to write more than 4,300 digits."""

from __future__ import annotations

import math


def integer(count: int, exact: int = 15, digits: int = 4) -> str:
    """A whole number: `500,500`; beyond 10^15, or 10^`exact`, by its first digits, `8.670e+24`."""
    if count < 10**exact:
        return f"{count:,}"
    power = int(math.log10(count))
    power += 10 ** (power + 1) <= count
    power -= 10**power > count
    first = str(count // 10 ** (power + 1 - digits))
    return f"{first[0]}.{first[1:]}e+{power}"
