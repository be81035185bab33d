"""The factors of one path as a waterfall: the norm of their product after each, and where it shrinks or grows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment

from unrollviz.names import clean
from unrollviz.paths.path import Path
from unrollviz.tui.look import Palette
from unrollviz.tui.numbers import figure

FACTOR, NUMBER, CHANGE = 14, 9, 9
"""Cells of a factor's symbol, of a norm, of how much it changed."""

LINEAR = 50.0
"""Ratio of the largest norm to the smallest beyond which bars are as long as the logarithms."""


@dataclass(frozen=True, eq=False)
class Waterfall:
    """Made from a path and its running norms; a line a factor, the last one the parameter's."""

    path: Path

    def __len__(self) -> int:
        return len(self.path.factors)

    @cached_property
    def norms(self) -> tuple[float, ...]:
        """The norm after each factor."""
        return self.path.running_norms

    @cached_property
    def changes(self) -> tuple[float, ...]:
        """By how much each factor multiplies the norm; the first begins with 1. NaN behind a norm of 0."""
        before = (1.0, *self.norms[:-1])
        return tuple(after / first if first else math.nan for first, after in zip(before, self.norms, strict=True))

    @cached_property
    def _range(self) -> tuple[float, float]:
        seen = [norm for norm in self.norms if norm > 0 and math.isfinite(norm)]
        return (min(seen), max(seen)) if seen else (1.0, 1.0)

    @property
    def logarithmic(self) -> bool:
        """Whether the bars are."""
        least, most = self._range
        return most > LINEAR * least

    def size(self, index: int) -> float:
        """The length of a bar, from 0 to 1."""
        norm, (least, most) = self.norms[index], self._range
        if not norm > 0 or not math.isfinite(norm):
            return 0.0 if not norm > 0 else 1.0
        if not self.logarithmic:
            return norm / most
        return 0.05 + 0.95 * (math.log(norm) - math.log(least)) / (math.log(most) - math.log(least))

    def sentence(self) -> str:
        """What it comes to, and which factor shrinks it most."""
        term = f"norm {figure(self.norms[-1])} after {len(self)} factors"
        shrunk = [(change, index) for index, change in enumerate(self.changes) if change < 1]
        if not shrunk:
            return f"no factor shrinks it; {term}"
        change, index = min(shrunk)
        return f"{clean(self.path.factors[index].symbol)} shrinks it most, ×{figure(change)}; {term}"

    def heading(self, width: int) -> str:
        """What the columns are."""
        scale = "log scale" if self.logarithmic else ""
        return _columns("factor", "‖factor‖", "product", "change", width) + (f"   {scale}" if width > 50 else "")

    def line(self, index: int, width: int, look: Palette) -> list[Segment]:
        """One factor, in at most `width` cells."""
        factor, change = self.path.factors[index], self.changes[index]
        words = _columns(clean(factor.symbol), figure(factor.norm), figure(self.norms[index]), _by(change), width)
        style = look.negative if change < 1 else look.positive
        found = [Segment(words, look.text), Segment(f" {'↓' if change < 1 else '↑' if change > 1 else ' '} ", style)]
        room = width - cell_len(words) - 3
        return [*found, Segment("█" * max(round(self.size(index) * room), int(self.norms[index] > 0)), style)]


def _by(change: float) -> str:
    return "" if math.isnan(change) else f"×{figure(change)}"


def _columns(symbol: str, norm: str, product: str, change: str, width: int) -> str:
    line = set_cell_size(f" {symbol}", FACTOR) + product.rjust(NUMBER) + change.rjust(CHANGE)
    return line + norm.rjust(NUMBER + 1) if width >= 56 else line
