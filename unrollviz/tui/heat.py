"""Arrays as heat maps: a coloured block an entry, on which sign and size also stand as a mark.

Blue is above 0 and vermilion below, which people with any kind of colour blindness tell apart; `+7` and `-3` are tenths
of the largest absolute value, so that nothing is lost without colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rich.style import Style
from rich.text import Text

from unrollviz.arrays import Array
from unrollviz.tui.look import Palette
from unrollviz.tui.numbers import figure

BELOW = "0abcdefghi"
"""Tenths of what is below 0, where there is room for one character only."""


@dataclass(frozen=True)
class Heat:
    """A heat map: its lines, and what one has to know to read it."""

    lines: list[Text]
    scale: str


def heat(values: Array, width: int, height: int, look: Palette) -> Heat:
    """An array of any shape in at most `height` lines of at most `width` cells: the last axis to the right, a row for
    each of the others; entries that there is no room for share a mark, that of the largest of them."""
    rows = np.atleast_2d(values)
    rows = rows.reshape(-1, rows.shape[-1])
    wide = next((cells for cells in (4, 2) if rows.shape[1] * cells <= width), 1)
    drawn, block = _pooled(rows, max(width // wide, 1), max(height, 1))
    finite = np.abs(drawn[np.isfinite(drawn)])
    largest = float(finite.max(initial=0.0))
    lines = []
    for row in drawn.tolist():
        line = Text(no_wrap=True)
        for value in row:
            line.append(mark(value, largest, min(wide, 2)).center(wide), _style(value, largest, look))
        lines.append(line)
    shared = f", each the largest of {block[0]:,} × {block[1]:,}" if block != (1, 1) else ""
    letters = ", a to i below 0" if wide == 1 else ""
    return Heat(lines, f"9 is ±{figure(largest)}{letters}{shared}")


def mark(value: float, largest: float, wide: int) -> str:
    """An entry in tenths of the largest: `+7`, `-3`, ` ·` for 0, `??` for NaN, `-∞`; `7`, `c`, `·`, `?`, `∞` where it
    must not be `wide`."""
    if np.isnan(value):
        return "?" * wide
    if value == 0:
        return "·".rjust(wide)
    tenth = "∞" if np.isinf(value) else str(min(int(10 * (abs(value) / largest)), 9))
    if wide == 2:
        return ("-" if value < 0 else "+") + tenth
    return BELOW[int(tenth)] if value < 0 and tenth != "∞" else tenth


def _style(value: float, largest: float, look: Palette) -> Style:
    if not np.isfinite(value):
        return look.wrong + Style(reverse=True)
    shades = look.below if value < 0 else look.above
    return shades[round(abs(value) / largest * (len(shades) - 1)) if largest > 0 else 0]


def _pooled(rows: Array, columns: int, lines: int) -> tuple[Array, tuple[int, int]]:
    """The rows in at most so many columns and lines, and how many entries share one: the largest, with its sign; what
    is not a number, or infinite, is never hidden by what is."""
    tall, broad = (-(-size // room) for size, room in zip(rows.shape, (lines, columns), strict=True))
    if (tall, broad) == (1, 1):
        return rows, (1, 1)
    height, width = (-(-size // by) for size, by in zip(rows.shape, (tall, broad), strict=True))
    padded = np.zeros((height * tall, width * broad))
    padded[: rows.shape[0], : rows.shape[1]] = rows
    blocks = padded.reshape(height, tall, width, broad).swapaxes(1, 2).reshape(height, width, -1)
    size = np.where(np.isnan(blocks), np.inf, np.abs(blocks))
    return np.take_along_axis(blocks, size.argmax(axis=2)[:, :, None], axis=2)[:, :, 0], (tall, broad)
