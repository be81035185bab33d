"""What is said of an array in one breath: extremes, mean, norm, zeros, saturated units, what is not finite."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from unrollviz.arrays import Array
from unrollviz.diagnosis.symptoms import FLAT, SLOPES
from unrollviz.jacobians import frobenius
from unrollviz.tui.numbers import figure


@dataclass(frozen=True)
class Statistics:
    """Of the finite entries the smallest, the largest and their mean, NaN where there are none; ‖values‖; how many
    entries are 0, and NaN or infinite; `saturated` None where there is no such thing."""

    entries: int
    least: float
    most: float
    mean: float
    norm: float
    zeros: int
    odd: int
    saturated: int | None

    def words(self) -> Iterator[tuple[str, str]]:
        """(what, how much), in the order of reading."""
        yield from (("min", figure(self.least)), ("max", figure(self.most)), ("mean", figure(self.mean)))
        yield "norm", figure(self.norm)
        yield "zeros", f"{self.zeros:,} of {self.entries:,}"
        if self.saturated is not None:
            yield "saturated", f"{self.saturated:,}"
        yield "NaN/∞", f"{self.odd:,}"


def statistics(values: Array, applied: tuple[str, Array] | None = None) -> Statistics:
    """The statistics of an array; `applied` is the op that gave it and what that was applied to, by which units count
    as saturated: a slope below that which `diagnose` uses."""
    finite = values[np.isfinite(values)]
    with np.errstate(all="ignore"):
        return Statistics(
            values.size,
            float(finite.min()) if finite.size else np.nan,
            float(finite.max()) if finite.size else np.nan,
            float(finite.mean()) if finite.size else np.nan,
            frobenius(values),
            int((values == 0).sum()),
            values.size - finite.size,
            int((SLOPES[applied[0]](applied[1]) < FLAT).sum()) if applied and applied[0] in SLOPES else None,
        )
