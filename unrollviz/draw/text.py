"""Plain text for terminals: numbers rounded for reading, bars, aligned tables, matrices. Exact numbers are in JSON."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

import numpy as np

from unrollviz.arrays import Array
from unrollviz.counts import integer as integer
from unrollviz.magnitudes import scientific

UNDEFINED = "–"

_ALIKE: tuple[tuple[str, str], ...] = (
    ("₀₁₂₃₄₅₆₇₈₉₊₋⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵀᵢ", "0123456789+-0123456789+-Ti"),
    ("∂ŷȳẋΣ∏σγλτθκη∞√", "dyyxSPsgltokhI/"),
    ("·⋅⊙⊗×±≤≥≠′’‖–−…⋯⋮§ₜ", "***xx+<>#''|--~~:St"),
    ("←→↑↓▶▸▼▾‹›⟨⟩✓✗␣⏎◌", "<>^v>>vv<><>vX_$."),
    ("⎡⎢⎣⎤⎥⎦“”", '[[[]]]""'),
    ("▣◐●○◇■▲◆", "&%@0o#A*"),
    ("░█▏▎▍▌▋▊▉▁▂▃▄▅▆▇▓▒", ":#......._:-=+*%%o"),
    ("Δ", "d"),
    ("─│╴╵╶╷┄", "-|-|-|."),
    ("━┃╸╹╺╻┏┓┗┛┣┫┳┻╋", "=H=H=H#########"),
    ("═║╔╗╚╝╠╣╦╩╬", '~"~~~~""~~"'),
    ("┌┐└┘├┤┬┴┼╭╮╰╯", "+" * 13),
)
ASCII_CELLS: dict[str, str] = {ch: like for row in _ALIKE for ch, like in zip(*row, strict=True)}
"""What stands for a character where there is only ASCII: one for one, so that a screen stays aligned."""

_ASCII: dict[int, str] = str.maketrans(
    ASCII_CELLS
    | {"ŷ": "^y", "Σ": "sum", "∏": "prod", "²": "^2", "⊙": "(*)", "σ": "sigma", "√": "sqrt", "∞": "inf"}
    | {"§": "section ", "γ": "gamma", "λ": "lambda", "τ": "tau", "θ": "theta", "η": "eta"}
    | {"■": "!!", "▲": "!", "●": "ok", "░": "=", "├": "|", "└": "`"}
    | {"✓": "ok:", "✗": "NO:", "±": "+-", "…": "...", "⋯": "...", "≥": ">=", "≤": "<=", "≠": "!="}
)
"""The same for text that may become longer, in words that say more."""


def ascii_only(text: str) -> str:
    """`text` for a terminal that knows no more than ASCII."""
    return text.translate(_ASCII)


def number(value: float) -> str:
    """Four decimals, so that columns align at the point; scientific where that would hide digits: `1.234e-05`."""
    if math.isnan(value):
        return UNDEFINED
    value += 0.0  # -0 becomes 0
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3e}"


def magnitude(norm: float, log10: float) -> str:
    """A norm by its logarithm where it is too small, or too large, for a float64: `3.162e-341`."""
    if 1e-300 < norm < math.inf or not math.isfinite(log10):
        return number(norm)
    return scientific(log10)


def integers(count: int) -> list[str]:
    """The ways to write a whole number, the longest first; every digit of it where a line could hold them."""
    return [f"{count:,}", str(count), integer(count)] if count < 10**1000 else [integer(count)]


def percent(share: float) -> str:
    """A signed share: `+83.1 %`; `–` where it is undefined; digits enough that only 0 is shown as 0, and no more than
    say something: `-2.03e+14 %`."""
    if math.isnan(share):
        return UNDEFINED
    value = 100 * share + 0.0  # -0 becomes 0
    if abs(value) >= 1e5:
        return f"{value:+.2e} %"
    if value == 0 or abs(value) >= 0.05:
        return f"{value:+.1f} %"
    return f"{value:+.1g} %"


def bar(share: float, width: int = 20) -> str:
    """|share| as a bar: solid where positive, hatched where negative; full at 100 %, with an arrow beyond."""
    if math.isnan(share):
        return ""
    eighths = round(min(abs(share), 1.0) * width * 8)
    if abs(share) >= 1.0005 and width > 1:
        return ("░" if share < 0 else "█") * (width - 1) + "▶"
    if share < 0:
        return "░" * max(min(eighths, 1), round(eighths / 8))
    full, rest = divmod(eighths, 8)
    return "█" * full + ("" if rest == 0 else "▏▎▍▌▋▊▉"[rest - 1])


def width_of(text: str) -> int:
    """Terminal columns that `text` takes: wide characters two, combining ones none."""
    wide = sum(unicodedata.east_asian_width(ch) in "WF" for ch in text)
    return len(text) + wide - sum(unicodedata.combining(ch) > 0 for ch in text)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> list[str]:
    """Lines of a table, columns aligned right, those in `left` aligned left; headings underlined."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(width_of(line[column]) for line in lines) for column in range(len(headings))]

    def row(cells: Sequence[str]) -> str:
        padded = []
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            space = " " * (width - width_of(cell))
            padded.append(cell + space if column in left else space + cell)
        return "  ".join(padded).rstrip()

    return [row(headings), "  ".join("─" * width for width in widths), *(row(line) for line in rows)]


def matrix(values: Array) -> list[str]:
    """A vector (as a column) or matrix as aligned lines between brackets."""
    cells = [[f"{entry: .4f}" if abs(entry) < 1e3 else f"{entry: .2e}" for entry in row] for row in _rows(values)]
    width = max(len(cell) for row in cells for cell in row)
    inner = [" ".join(cell.rjust(width) for cell in row) for row in cells]
    if len(inner) == 1:
        return [f"[{inner[0]} ]"]
    corners = [("⎡", "⎤"), *[("⎢", "⎥")] * (len(inner) - 2), ("⎣", "⎦")]
    return [f"{left}{line} {right}" for line, (left, right) in zip(inner, corners, strict=True)]


def _rows(values: Array) -> Array:
    return values[:, None] if values.ndim == 1 else np.atleast_2d(values)


def side_by_side(blocks: Sequence[tuple[str, Sequence[str]]], joiners: Sequence[str], width: int) -> list[str]:
    """Titled blocks of equal height beside each other, `joiners[i]` before block i, wrapped at `width` columns."""
    lines: list[str] = []
    current: list[str] = []
    for (title, block), joiner in zip(blocks, joiners, strict=True):
        middle = len(block) // 2
        size = max(map(width_of, (title, *block)))
        joined = [joiner if index == middle else " " * width_of(joiner) for index in range(len(block))]
        column = [" " * width_of(joiner) + title.ljust(size)] + [
            before + line.ljust(size) for before, line in zip(joined, block, strict=True)
        ]
        if current and width_of(current[0]) + width_of(column[0]) > width:
            lines += [line.rstrip() for line in current] + [""]
            current = []
        current = [a + b for a, b in zip(current, column, strict=True)] if current else column
    return lines + [line.rstrip() for line in current]
