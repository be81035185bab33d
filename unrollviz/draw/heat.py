"""Heat maps of M[t, k] through matplotlib: a cell a pair of steps, step 1 at the top left, as a matrix is written."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from unrollviz.arrays import Array
from unrollviz.draw.matplot import nothing, powers
from unrollviz.draw.style import Theme, mixed
from unrollviz.draw.text import percent
from unrollviz.plots import LOG, Grid

CELLS = 90
"""Rows and columns: past them neighbours share a cell, so that the picture stays small."""

NUMBERS = 7
"""Columns up to which every cell shows its number."""

DECADES = 4
"""Powers of ten below the largest share that colours tell apart; smaller ones are pale."""


def draw_grids(drawn: Figure, grids: list[Grid], theme: Theme) -> None:
    """Heat maps side by side."""
    rows, columns = grids[0].values.shape
    high = min(4.1, max(1.4, 4.1 * rows / max(columns, 1)))
    drawn.set_size_inches(5.2 * len(grids), high + 1.1)
    for axes, grid in zip(drawn.subplots(1, len(grids), squeeze=False)[0], grids, strict=True):
        _draw(drawn, axes, grid, theme)


def _draw(drawn: Figure, axes: Axes, grid: Grid, theme: Theme) -> None:
    values, by = grid.pooled(CELLS)
    edges = [np.array([*steps[::by], steps[-1] + 1]) - 0.5 for steps in (grid.rows, grid.columns)]
    finite, zero = np.isfinite(values), np.isneginf(values)
    norm, shades = scale(grid.unit, values[finite], theme)
    if zero.any():
        grey = LinearSegmentedColormap.from_list("zero", [theme.faded(theme.muted, 0.5)] * 2)
        axes.pcolormesh(edges[1], edges[0], np.ma.array(zero, mask=~zero), cmap=grey)
    if finite.any():
        shown = np.ma.array(np.where(finite, values, 0.0), mask=~finite)
        mesh = axes.pcolormesh(edges[1], edges[0], shown, cmap=shades, norm=norm, edgecolors="face", linewidth=0.5)
        bar: Any = drawn.colorbar(mesh, ax=axes, shrink=0.85, pad=0.02)
        bar.solids.set(rasterized=False, edgecolor="face")  # no image in the file
        bar.outline.set_visible(False)
        ticks(bar, grid.unit, norm)
    if np.isnan(values).all():
        nothing(axes, "undefined", theme)
    shared = f", {by} × {by} steps a cell" if by > 1 else ""
    axes.set_title(grid.title + shared + (", grey: 0" if zero.any() else ""))
    axes.set(xlabel="entry step k", ylabel="loss step t", xlim=edges[1][[0, -1]], ylim=edges[0][[-1, 0]])
    if len(grid.rows) == len(grid.columns):
        axes.set_aspect("equal")
    for axis, steps in ((axes.xaxis, grid.columns), (axes.yaxis, grid.rows)):
        axis.set_major_locator(FixedLocator(steps) if len(steps) <= 12 else MaxNLocator(integer=True, nbins=9))
    if len(grid.columns) <= NUMBERS and by == 1:
        _numbers(axes, grid, norm, shades, theme)


def scale(unit: str, finite: Array, theme: Theme, decades: int = DECADES) -> tuple[Normalize, LinearSegmentedColormap]:
    """Colours of values: a ramp for norms; two hues for shares, by powers of ten to either side."""
    if unit == LOG:
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (-1.0, 0.0)
        return Normalize(low - 1e-9, high), LinearSegmentedColormap.from_list("sizes", list(theme.ramp))
    largest = float(np.abs(finite).max(initial=0.0)) or 1.0
    pale = theme.faded(theme.muted, 0.75)
    below, above = (
        [mixed(hue, theme.ink, 0.45), hue, mixed(hue, pale, 0.75)] for hue in (theme.negative, theme.positive)
    )
    signs = LinearSegmentedColormap.from_list("signs", [*below, pale, *above[::-1]])
    return SymLogNorm(largest * 10.0**-decades, linscale=0.5, vmin=-largest, vmax=largest), signs


def ticks(bar: Any, unit: str, norm: Normalize, decades: int = DECADES) -> None:
    """The numbers beside a scale."""
    if unit == LOG:
        powers(bar.ax.yaxis, [np.array([norm.vmin, norm.vmax], dtype=float)])
        bar.ax.set_ylim(norm.vmin, norm.vmax)
        return
    sizes = float(norm.vmax or 1.0) * 10.0 ** -np.arange(decades)
    bar.set_ticks([*-sizes, 0.0, *sizes], labels=[_share(value) for value in (*-sizes, 0.0, *sizes)])
    bar.minorticks_off()


def _share(value: float) -> str:
    return f"{100 * value:+.2g} %".replace("-", "−") if value else "0"


def _numbers(axes: Axes, grid: Grid, norm: Normalize, shades: LinearSegmentedColormap, theme: Theme) -> None:
    """Every cell's number on it, black or white."""
    for row, t in enumerate(grid.rows):
        for column, k in enumerate(grid.columns):
            value = float(grid.values[row, column])
            if np.isfinite(value):
                fill = "#" + "".join(f"{round(255 * channel):02x}" for channel in shades(norm(value))[:3])
                text = _rounded(10**value) if grid.unit == LOG else percent(value).replace("-", "−")
                axes.text(k, t, text, ha="center", va="center", fontsize=7.5, color=theme.legible(fill))


def _rounded(norm: float) -> str:
    return f"{norm:.3f}" if norm >= 1e-3 else f"{norm:.0e}"
