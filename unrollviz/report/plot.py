"""Plots in a terminal, without colour: tables with bars, heat maps in shades; and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from unrollviz.arrays import Array
from unrollviz.draw.text import UNDEFINED, bar, magnitude, number, percent, table
from unrollviz.names import clean
from unrollviz.plots import LOG, SIGNED, Chart, Curve, Grid, Plot
from unrollviz.report.figures import Json, exact

ROWS = 40
"""Rows of a chart, and rows and columns of a heat map; neighbours share one where there are more."""

NUMBERS = 7
"""Columns of a heat map up to which every cell is a number too."""

SHADES = "█▓▒░·"
"""From the largest norm down, a shade a power of ten; the last for all that is smaller."""


def plot_json(plot: Plot) -> Json:
    """Every number of a plot. Norms as logarithms, null for a norm of 0 and for what is undefined."""
    charts = [
        {
            "title": part.title,
            "axis": part.axis,
            "at": list(part.at),
            "curves": [
                {"name": c.name, "unit": c.unit, "values": [*map(exact, c.values.tolist())]} for c in part.curves
            ],
        }
        for part in plot.parts
        if isinstance(part, Chart)
    ]
    grids = [
        {
            "title": part.title,
            "unit": part.unit,
            "t": list(part.rows),
            "k": list(part.columns),
            "values": [[*map(exact, row)] for row in part.values.tolist()],
        }
        for part in plot.parts
        if isinstance(part, Grid)
    ]
    return {"plot": plot.name, "title": plot.title, "charts": charts, "grids": grids, "notes": list(plot.notes)}


def plot_text(plot: Plot, title: str | None = None) -> list[str]:
    """The plot in lines of at most 100 columns or so."""
    lines = [clean(title)] if title else []
    lines.append(plot.title)
    for part in plot.parts:
        lines += ["", *(_chart(part) if isinstance(part, Chart) else _grid(part))]
    return [*lines, *(["", *plot.notes] if plot.notes else [])]


def _chart(chart: Chart) -> list[str]:
    """A row a position: each curve as numbers with a bar."""
    drawn = chart.pooled(ROWS)
    width = 24 if len(drawn.curves) == 1 else 18 if len(drawn.curves) == 2 else 14
    columns: list[list[str]] = [[clean(str(at)) for at in drawn.at]]
    headings, scales, left = [drawn.axis], list[str](), [0] if drawn.named else []
    bounds = _bounds(drawn.curves)
    for curve in drawn.curves:
        low, high = bounds[curve.axis]
        columns += [_numbers(curve), _bars(curve, low, high, width)]
        left.append(len(headings) + 1)
        headings += [curve.name, ""]
    for axis, (low, high) in bounds.items():
        unit = next(curve.unit for curve in drawn.curves if curve.axis == axis)
        if high > low:
            scales.append(_scale(axis, unit, low, high))
    lines = [drawn.title] if drawn.title else []
    lines += table(headings, [*zip(*columns, strict=True)], left=left)
    if len(drawn.at) < len(chart.at):
        lines.append("neighbours share a row: shares are added, of all else it is the largest")
    return lines + ([f"bars: {'; '.join(scales)}"] if scales else [])


def _bounds(curves: Iterable[Curve]) -> dict[str, tuple[float, float]]:
    """Axis -> the values at which a bar is empty and full: whole powers of ten for norms."""
    found: dict[str, tuple[float, float]] = {}
    for axis in dict.fromkeys(curve.axis for curve in curves):
        mine = [curve for curve in curves if curve.axis == axis]
        values = np.concatenate([curve.drawn for curve in mine])
        values = values[np.isfinite(values)]
        if len(values) == 0:
            found[axis] = (0.0, 0.0)
        elif mine[0].unit == LOG:
            low, high = math.floor(values.min()), math.ceil(values.max())
            found[axis] = (float(low - (values.min() - low < 0.1)), float(high))
        else:
            found[axis] = (0.0, float(np.abs(values).max()))
    return found


def _numbers(curve: Curve) -> list[str]:
    if curve.unit == LOG:
        return [_norm(value) for value in curve.values.tolist()]
    return [percent(v) if curve.unit == SIGNED and curve.axis == "share" else number(v) for v in curve.values.tolist()]


def _norm(log10: float) -> str:
    if math.isnan(log10):
        return UNDEFINED
    return magnitude(10**log10 if log10 > -300 else 0.0, log10)


def _bars(curve: Curve, low: float, high: float, width: int) -> list[str]:
    if high <= low:
        return [""] * len(curve.values)
    return [bar((value - low) / (high - low), width) for value in curve.drawn.tolist()]


def _scale(axis: str, unit: str, low: float, high: float) -> str:
    if unit == LOG:
        return f"{axis} by powers of ten, from {_power(low)} (empty) to {_power(high)} (full)"
    full = percent(high).lstrip("+") if axis == "share" else number(high)
    return f"{axis} full at {'±' if unit == SIGNED else ''}{full}" + (", ░ below 0" if unit == SIGNED else "")


def _power(log10: float) -> str:
    return "1" if log10 == 0 else f"1e{int(log10)}"


def _grid(grid: Grid) -> list[str]:
    """A row a step t, from the first at the top, a cell a step k: its shade, and its number where there is room."""
    values, by = grid.pooled(ROWS)
    size = values if grid.unit == LOG else _log_size(values)
    largest = float(size[np.isfinite(size)].max(initial=-math.inf))
    rows, columns = (
        [_span(steps, at, by) for at in range(n)]
        for steps, n in zip((grid.rows, grid.columns), values.shape, strict=True)
    )
    lines = [grid.title]
    if len(columns) <= NUMBERS:
        cells = [
            [_cell(v, s, largest, grid.unit) for v, s in zip(*pair, strict=True)]
            for pair in zip(values, size, strict=True)
        ]
        lines += table(["t \\ k", *columns], [[row, *line] for row, line in zip(rows, cells, strict=True)])
    else:
        wide = max(map(len, rows))
        marks = [
            [_mark(v, s, largest, grid.unit) for v, s in zip(*pair, strict=True)]
            for pair in zip(values, size, strict=True)
        ]
        lines += [" " * wide + " k  " + _ticks(columns), "t".rjust(wide)]
        lines += [f"{row.rjust(wide)} │ {''.join(line)}".rstrip() for row, line in zip(rows, marks, strict=True)]
    if not math.isfinite(largest):
        return lines
    top = _norm(largest) if grid.unit == LOG else percent(10**largest).lstrip("+")
    shared = f"; a cell is {by} × {by} steps" if by > 1 else ""
    what = "the sign before it" if grid.unit == SIGNED and len(columns) > NUMBERS else "a power of ten a shade"
    return [*lines, f"{SHADES[0]} down to a tenth of the largest, {top}; then {' '.join(SHADES[1:])}, {what}{shared}"]


def _log_size(values: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.log10(np.abs(values))


def _span(steps: tuple[int, ...], at: int, by: int) -> str:
    """The steps in row or column `at`: one, or the first and the last."""
    last = steps[min((at + 1) * by, len(steps)) - 1]
    return str(steps[at]) if by == 1 else f"{steps[at * by]}–{last}"


def _shade(size: float, largest: float) -> str:
    if not math.isfinite(size):
        return SHADES[-1]
    return SHADES[min(int(largest - size), len(SHADES) - 1)]


def _mark(value: float, size: float, largest: float, unit: str) -> str:
    """Two characters: a shade, behind its sign where it has one; blank where there is no path, or nothing defined."""
    if math.isnan(value):
        return "  "
    shade = _shade(size, largest)
    return shade * 2 if unit == LOG else ("-" if value < 0 else "+" if value > 0 else " ") + shade


def _cell(value: float, size: float, largest: float, unit: str) -> str:
    if math.isnan(value):
        return ""
    return f"{_norm(value) if unit == LOG else percent(value)} {_shade(size, largest)}"


def _ticks(columns: list[str]) -> str:
    """The first step of every fifth column, above it."""
    line = ""
    for at in range(0, len(columns), 5):
        line = line.ljust(2 * at) + columns[at].partition("–")[0]
    return line
