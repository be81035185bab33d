"""Numbers in columns: rounded alike, aligned, cut where there is no room, and never longer than they say."""

from __future__ import annotations

import math

import numpy as np

from unrollviz.arrays import Array
from unrollviz.magnitudes import scientific


def figure(value: float, log10: float = -math.inf) -> str:
    """A norm or a loss in at most 9 characters: `0.7311`, `12.04`, `1.3e-07`, `0`, `nan`, `∞`; by its logarithm, where
    that is given, if it is too small for a float64: `2.1e-340`."""
    if value < 1e-300 and math.isfinite(log10):
        return scientific(log10, decimals=1)
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}" if abs(value) >= 1 else f"{value:.4f}"
    return f"{value:.1e}"


def table(values: Array, width: int, height: int) -> list[str]:
    """An array as at most `height` lines of at most `width` characters, and one that says what is left out.

    Entries are aligned; a single row is wrapped."""
    rows = np.atleast_2d(values)
    rows = rows.reshape(-1, rows.shape[-1])
    text = _formatted(rows[:height, : width * height])
    cell = max((len(word) for line in text for word in line), default=0)
    fits = max((width - 1) // (cell + 1), 1)
    if len(rows) == 1:
        text = [text[0][start : start + fits] for start in range(0, len(text[0]), fits)][:height]
        cut, left_out = "", rows.shape[1] - sum(map(len, text))
    else:
        cut, left_out = " …" * (fits < rows.shape[1]), len(rows) - len(text)
    lines = [" ".join(word.rjust(cell) for word in line[:fits]) + cut for line in text]
    return lines + [f"… {left_out:,} more {'entries' if len(rows) == 1 else 'rows'}"] * (left_out > 0)


def ranked(values: Array, width: int, height: int, largest: bool) -> list[str]:
    """Entries by absolute value with their places, `[0,2] -1.25`, in at most `height` lines; NaN counts as largest."""
    size = np.where(np.isnan(values), np.inf, np.abs(values)).ravel()
    order = np.argsort(-size if largest else size, kind="stable")[: width * height]
    drop = 1 if values.ndim > 1 and values.shape[0] == 1 else 0
    places = np.unravel_index(order, values.shape)[drop:]
    words = [
        f"[{','.join(map(str, place))}] {figure(value)}"
        for *place, value in zip(*(axis.tolist() for axis in places), values.ravel()[order].tolist(), strict=True)
    ]
    cell = max(map(len, words), default=1)
    each = max((width + 2) // (cell + 2), 1)
    lines = ["  ".join(word.ljust(cell) for word in words[at : at + each]) for at in range(0, len(words), each)]
    left_out = values.size - min(each * height, len(words))
    return [line.rstrip() for line in lines[:height]] + [f"… {left_out:,} more entries"] * (left_out > 0)


def _formatted(rows: Array) -> list[list[str]]:
    """Every entry with the same number of decimals; whole numbers as such."""
    finite = np.abs(rows[np.isfinite(rows)])
    largest = float(finite.max(initial=0.0))
    if largest < 1e6 and (finite == np.round(finite)).all():
        form = "{:.0f}"
    else:
        form = "{:.4f}" if 1e-2 <= largest < 1e4 else "{:.2e}"
    return [
        [form.format(value) if value and math.isfinite(value) else figure(value) for value in row]
        for row in rows.tolist()
    ]


def shape(values: Array) -> str:
    """`3 × 4`; `a number` for a scalar."""
    return " × ".join(map(str, values.shape)) or "a number"
