"""A training run on one page of small multiples, through matplotlib: panels over the same updates, in two columns."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from unrollviz.draw.heat import scale, ticks
from unrollviz.draw.matplot import Drawn, nothing, powers, settings
from unrollviz.draw.panels import Course, Panel, panels
from unrollviz.draw.style import THEMES, Theme
from unrollviz.errors import UnknownName
from unrollviz.files import write_atomically
from unrollviz.names import clean
from unrollviz.plots import LOG, SIGNED, Chart, Grid

COLUMNS = 2

MARKED = 40
"""Positions up to which every one is marked; on a ramp of colours only one that is alone."""

ROOM = 0.12
"""The part of the height above the curves that a row of the legend has for itself."""

BROAD = 36
"""Letters past which a legend has two columns."""

SHADES = 2
"""Powers of ten below the largest share that the heat map tells apart."""

DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
MARKS = ("o", "s", "^", "D")


def write(course: Course, place: int, path: str | Path, title: str | None = None, theme: str = "light") -> None:
    """Draw the run into a file whose ending names the format: .svg, .png or .pdf. Whole or not at all.

    Raises UnknownName for a theme that is none, BadFile where the file cannot be written."""
    write_atomically(path, figure(course, place, title, theme).file(Path(path).suffix.lower()))


def figure(course: Course, place: int, title: str | None = None, theme: str = "light") -> Drawn:
    """The panels of the watched parameter with index `place` as a matplotlib figure; `title` is a line above them.

    Raises UnknownName for a theme that is none of `style.THEMES`."""
    if theme not in THEMES:
        raise UnknownName("theme", theme, THEMES)
    look, shown = THEMES[theme], panels(course, place)
    rows = -(-len(shown) // COLUMNS)
    with matplotlib.rc_context(settings(look)):
        drawn = Drawn(layout=ConstrainedLayoutEngine(h_pad=0.09, w_pad=0.09), figsize=(10.6, 1.0 + 2.55 * rows))
        drawn.theme = look
        every = drawn.subplots(rows, COLUMNS, sharex=True, squeeze=False).ravel()
        for number, (axes, panel) in enumerate(zip(every, shown, strict=False)):
            _draw(drawn, axes, panel, look)
            axes.set_title(panel.title + "\n", fontweight="bold", color=look.ink)
            words = axes.text(0, 1.03, panel.words, transform=axes.transAxes, fontsize=8, color=look.quiet)
            words.set_in_layout(False)  # it may be wider than its axes
            if number >= len(shown) - COLUMNS:
                axes.set_xlabel("updates")
        for axes in every[len(shown) :]:
            axes.set_visible(False)
        _over_updates(every[0], course)
        about = f"{course.symbol(place)} while it learns: {course.heading}"
        heading = "\n".join([*([clean(title)] if title else []), clean(about)])
        drawn.suptitle(heading, x=0.01, ha="left", fontsize=11.5, fontweight="bold")
    return drawn


def _over_updates(axes: Axes, course: Course) -> None:
    """The axis that all panels share."""
    first, last = int(course.history.updates[0]), int(course.history.updates[-1])
    margin = 0.01 * (last - first) or 0.6
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda update, _: f"{round(update):,}"))


def _draw(drawn: Figure, axes: Axes, panel: Panel, theme: Theme) -> None:
    if isinstance(panel.part, Grid):
        _draw_grid(drawn, axes, panel.part, theme)
    else:
        _draw_chart(axes, panel.part, panel, theme)


def _draw_chart(axes: Axes, chart: Chart, panel: Panel, theme: Theme) -> None:
    axes.grid(axis="both")
    axes.set_ylabel(chart.curves[0].axis)
    at, unit, many = np.array(chart.at), chart.curves[0].unit, len(chart.curves)
    colours = (
        [theme.on_ramp(0.15 + 0.85 * index / max(many - 1, 1)) for index in range(many)]
        if panel.ordered
        else [theme.positive, theme.negative, theme.looks["input"].line, theme.looks["output"].line]
    )
    looks = zip(
        cycle(colours),
        cycle(DASHES[:1] if panel.ordered else DASHES),
        cycle(MARKS),
        strict=False,
    )
    for index, (curve, (colour, dash, mark)) in enumerate(zip(chart.curves, looks, strict=False)):
        known = np.isfinite(curve.values)
        marked: dict[str, Any] = (
            {"marker": mark, "markersize": 3} if known.sum() <= (1 if panel.ordered else MARKED) else {}
        )
        named = not panel.ordered or index in (0, many - 1)  # a ramp is read by its ends
        axes.plot(
            at[known],
            curve.values[known],
            linestyle=dash,
            color=colour,
            linewidth=1.4,
            label=curve.name if named else f"_{index}",
            **marked,
        )
    drawn = [curve.drawn for curve in chart.curves]
    if not any(np.isfinite(values).any() for values in drawn):
        nothing(axes, "undefined", theme)
    if unit == LOG:
        powers(axes.yaxis, drawn)
    elif unit == SIGNED:
        axes.set_ylim(min(axes.get_ylim()[0], 0.0))
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
    else:
        whole = all((values[np.isfinite(values)] % 1 == 0).all() for values in drawn)
        least = 1.08 * (panel.reference or float(whole))
        axes.set_ylim(0, max(axes.get_ylim()[1], least))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=whole))
    if panel.reference_drawn is not None:
        _refer(axes, panel.reference_drawn, theme)
    if many > 1:
        _name(axes)


def _name(axes: Axes) -> None:
    """The legend, in room of its own above the curves."""
    lines, names = axes.get_legend_handles_labels()
    beside = 4 if sum(map(len, names)) <= BROAD else 2
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + ROOM * -(-len(names) // beside) * (high - low))
    look: dict[str, Any] = {"handlelength": 2.3, "columnspacing": 1.2, "borderpad": 0.1, "frameon": False}
    axes.legend(lines, names, loc="upper right", fontsize=8, ncols=beside, **look).set_in_layout(False)


def _refer(axes: Axes, at: float, theme: Theme) -> None:
    """A line across, where it is in view."""
    low, high = axes.get_ylim()
    if low <= at <= high:
        axes.axhline(at, color=theme.faint, linewidth=0.9, linestyle=(0, (2, 2)), zorder=0.5)


def _draw_grid(drawn: Figure, axes: Axes, grid: Grid, theme: Theme) -> None:
    """Lags upwards, updates to the right; a column reaches half way to the records beside it."""
    at, lags = np.array(grid.columns, dtype=float), np.array(grid.rows, dtype=float)
    by = lags[1] - lags[0] if len(lags) > 1 else 1.0
    across = np.array([at[0] - 0.5, *(at[1:] + at[:-1]) / 2, at[-1] + 0.5])
    upwards = np.append(lags, lags[-1] + by) - 0.5
    known = np.isfinite(grid.values)
    axes.set_ylabel(grid.title)
    axes.yaxis.set_major_locator(FixedLocator(lags.tolist()) if len(lags) < 8 else MaxNLocator(integer=True, nbins=7))
    axes.set_ylim(upwards[0], upwards[-1])
    if not known.any():
        nothing(axes, "undefined", theme)
        return
    norm, shades = scale(grid.unit, grid.values[known], theme, SHADES)
    shown = np.ma.array(np.where(known, grid.values, 0.0), mask=~known)
    mesh = axes.pcolormesh(across, upwards, shown, cmap=shades, norm=norm, edgecolors="face", linewidth=0.3)
    bar: Any = drawn.colorbar(mesh, ax=axes, pad=0.015, aspect=14)
    bar.solids.set(rasterized=False, edgecolor="face")  # no image in the file
    bar.outline.set_visible(False)
    ticks(bar, grid.unit, norm, SHADES)
    bar.ax.tick_params(labelsize=7.5)


def _percent(value: float, _: Any) -> str:
    return f"{100 * value:g} %".replace("-", "−")
