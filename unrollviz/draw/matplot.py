"""Plots through matplotlib: what `unrollviz.plots` worked out, as a figure or a file. Needs the extra `plots`."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unrollviz.arrays import Array
from unrollviz.draw.style import FAINT, INK, MUTED, NEGATIVE, PAPER, POSITIVE, QUIET, faded
from unrollviz.draw.text import percent
from unrollviz.errors import MissingExtra, UnrollvizError
from unrollviz.files import check_writable, write_atomically
from unrollviz.names import clean
from unrollviz.plots import LOG, SIGNED, Chart, Curve, Grid, Plot

try:
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap, Normalize, SymLogNorm
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
except ImportError as error:
    raise MissingExtra("a plot as a picture", "plots") from error

SUFFIXES = (".svg", ".png", ".pdf")

CELLS = 120
"""Rows and columns of a heat map: past them neighbours share a cell, so that the picture stays small."""

NUMBERS = 7
"""Columns of a heat map up to which every cell shows its number."""

DECADES = 4
"""Powers of ten below the largest share that a heat map of shares tells apart; smaller ones are pale."""

_RC: Any = {
    "text.parse_math": False,  # what is shown is text, whatever it holds
    "svg.fonttype": "none",
    "svg.hashsalt": "unrollviz",
    "pdf.fonttype": 42,
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.unicode_minus": True,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": QUIET,
    "axes.axisbelow": True,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "grid.color": faded(MUTED, 0.5),
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "figure.facecolor": PAPER,
}

_LINES = ((POSITIVE, "-", "o"), (NEGATIVE, "--", "s"), ("#008563", ":", "^"))
"""Colour, dashes and mark of the first, second … line of an axis."""

_Metadata = dict[str, dict[str, Any]]
_METADATA: _Metadata = {
    ".svg": {"Date": None, "Creator": "unrollviz"},
    ".pdf": {"CreationDate": None, "Creator": "unrollviz"},
    ".png": {"Software": "unrollviz"},
}


class Drawn(Figure):
    """A matplotlib figure that a notebook shows as SVG, whether or not pyplot was imported."""

    def _repr_svg_(self) -> str:
        return _bytes(self, ".svg").decode("utf-8")


def check_output(path: str | Path) -> None:
    """Raise UnrollvizError for an ending that is no format, BadFile where the file cannot be written."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise UnrollvizError(f"{clean(str(path))}: the ending names the format; choose one of {', '.join(SUFFIXES)}")
    check_writable(path)


def write(plot: Plot, path: str | Path, title: str | None = None) -> None:
    """Draw the plot into a file whose ending names the format: .svg, .png or .pdf. Whole or not at all.

    Raises as `check_output`."""
    check_output(path)
    write_atomically(path, _bytes(figure(plot, title), Path(path).suffix.lower()))


def figure(plot: Plot, title: str | None = None) -> Drawn:
    """The plot as a matplotlib figure; `title` is a line above it, shown as it is."""
    with matplotlib.rc_context(_RC):
        grids = [part for part in plot.parts if isinstance(part, Grid)]
        charts = [part for part in plot.parts if isinstance(part, Chart)]
        drawn = Drawn(layout="constrained")
        if grids:
            _draw_grids(drawn, grids)
        elif charts:
            _draw_charts(drawn, charts)
        else:
            drawn.set_size_inches(7.2, 1.6)
        heading = "\n".join([*([clean(title)] if title else []), plot.title])
        drawn.suptitle(heading, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
        if plot.notes:
            drawn.supxlabel("; ".join(plot.notes), x=0.01, ha="left", fontsize=8.5, color=QUIET)
    return drawn


def _bytes(drawn: Figure, suffix: str) -> bytes:
    with matplotlib.rc_context(_RC):
        file = io.BytesIO()
        drawn.savefig(file, format=suffix[1:], dpi=192, metadata=_METADATA[suffix])
    return file.getvalue()


# ------------------------------------------------------------------------------------------------- curves


def _draw_charts(drawn: Figure, charts: list[Chart]) -> None:
    """One above the other; curves on different axes above each other too, over the same positions."""
    rows = [(chart, axis) for chart in charts for axis in dict.fromkeys(curve.axis for curve in chart.curves)]
    if charts[0].named:
        _draw_named(drawn, charts)
        return
    drawn.set_size_inches(7.2, 0.9 + 2.1 * len(rows))
    axes = drawn.subplots(len(rows), squeeze=False)[:, 0]
    for place, (row, (chart, axis)) in enumerate(zip(axes, rows, strict=True)):
        first, last = (at == place for at in (min(_rows_of(rows, chart)), max(_rows_of(rows, chart))))
        _draw_curves(row, chart, [curve for curve in chart.curves if curve.axis == axis])
        row.set_ylabel(axis)
        if first and chart.title:
            row.set_title(chart.title)
        if last:
            row.set_xlabel(chart.axis)


def _rows_of(rows: list[tuple[Chart, str]], chart: Chart) -> list[int]:
    return [place for place, (one, _) in enumerate(rows) if one is chart]


def _draw_curves(axes: Axes, chart: Chart, curves: list[Curve]) -> None:
    at = np.array(chart.at, dtype=float)
    axes.grid(axis="y")
    for curve, (colour, dashes, mark) in zip(curves, _LINES * len(curves), strict=False):
        if curve.unit == SIGNED:
            _bars(axes.bar, at, curve.drawn, 0.8 if len(at) < 200 else 1.0)
            axes.axhline(0, color=FAINT, linewidth=0.8)
            axes.yaxis.set_major_formatter(_percents(curve))
        else:
            size = 4 if len(at) <= 60 else 0
            axes.plot(
                at,
                curve.drawn,
                dashes,
                color=colour,
                marker=mark,
                markersize=size,
                linewidth=1.6 if len(at) <= 200 else 0.9,
                label=curve.name,
            )
    if len(curves) > 1 or curves[0].name != curves[0].axis:
        axes.legend(loc="best", fontsize=8.5, labelcolor=INK)
    if curves[0].unit == LOG:
        _powers(axes.yaxis, [curve.drawn for curve in curves])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))
    axes.set_xlim(at.min() - 0.6, at.max() + 0.6)


def _draw_named(drawn: Figure, charts: list[Chart]) -> None:
    """Bars to the right, a row a name: a column of axes for each curve."""
    heights = [len(chart.at) + 2.5 for chart in charts]
    drawn.set_size_inches(7.6, 0.9 + 0.24 * sum(heights))
    grid = drawn.add_gridspec(len(charts), 2, height_ratios=heights)
    for row, chart in enumerate(charts):
        at = np.arange(len(chart.at))[::-1].astype(float)
        for column, curve in enumerate(chart.curves):
            axes = drawn.add_subplot(grid[row, column] if len(chart.curves) > 1 else grid[row, :])
            axes.grid(axis="x")
            if curve.unit == SIGNED:
                _bars(axes.barh, at, curve.drawn, 0.7)
                axes.axvline(0, color=FAINT, linewidth=0.8)
                axes.xaxis.set_major_formatter(_percents(curve))
            else:
                axes.plot(curve.drawn, at, "o", color=POSITIVE, markersize=5)
                _powers(axes.xaxis, [curve.drawn])
            axes.set_yticks(at, [clean(str(name)) for name in chart.at] if column == 0 else [""] * len(at))
            axes.tick_params(axis="y", length=0, labelcolor=INK)
            axes.set_ylim(-0.7, len(at) - 0.3)
            axes.set_xlabel(curve.axis)
            if column == 0 and chart.title:
                axes.set_title(chart.title)


def _bars(draw: Callable[..., Any], at: Array, values: Array, thick: float) -> None:
    """Bars, blue and full above 0, vermilion and hatched below: told apart without colour too."""
    for wanted, colour, hatch in ((values >= 0, POSITIVE, None), (values < 0, faded(NEGATIVE, 0.35), "////")):
        if wanted.any():
            edge = {"edgecolor": NEGATIVE, "linewidth": 0.5} if hatch and len(at) < 200 else {}
            draw(at[wanted], values[wanted], thick, color=colour, hatch=hatch if edge else None, **edge)


def _percents(curve: Curve) -> FuncFormatter:
    if curve.axis != "share":
        return FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−"))
    return FuncFormatter(lambda value, _: f"{100 * value:g} %".replace("-", "−"))


def _powers(axis: Any, values: list[Array]) -> None:
    """Ticks at whole powers of ten of an axis on which logarithms are drawn, however small the numbers are."""
    found = np.concatenate(values)
    found = found[np.isfinite(found)]
    low, high = (math.floor(found.min()), math.ceil(found.max())) if len(found) else (-1, 0)
    high = max(high, low + 1)
    step = next(step for step in _STEPS if (high - low) / step <= 7)
    axis.set_major_locator(FixedLocator([at for at in range(low, high + 1) if at % step == 0]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: power(round(value))))
    span = 0.04 * (high - low)
    axis.axes.set(**{f"{axis.axis_name}lim": (low - span, high + span)})


_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10**6)
"""Powers of ten between two ticks."""


def power(exponent: int) -> str:
    """`10⁻³`"""
    return "10" + str(exponent).translate(str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")) if exponent else "1"


# ---------------------------------------------------------------------------------------------- heat maps

_SIZES = LinearSegmentedColormap.from_list("sizes", ["#e8f1f8", "#9cc6e2", POSITIVE, "#003a5d"])
_SIGNS = LinearSegmentedColormap.from_list(
    "signs", ["#7a3000", NEGATIVE, "#f9ddcb", "#f7f7f7", "#cfe3f1", POSITIVE, "#003a5d"]
)


def _draw_grids(drawn: Figure, grids: list[Grid]) -> None:
    rows, columns = grids[0].values.shape
    high = min(4.1, max(1.4, 4.1 * rows / max(columns, 1)))
    drawn.set_size_inches(5.2 * len(grids), high + 1.1)
    for axes, grid in zip(drawn.subplots(1, len(grids), squeeze=False)[0], grids, strict=True):
        _draw_grid(drawn, axes, grid)


def _draw_grid(drawn: Figure, axes: Axes, grid: Grid) -> None:
    """Step 1 at the top left, as a matrix is written: a cell a pair of steps, white where no path connects them."""
    values, by = grid.pooled(CELLS)
    edges = [np.array([*steps[::by], steps[-1] + 1]) - 0.5 for steps in (grid.rows, grid.columns)]
    finite = values[np.isfinite(values)]
    norm, shades = _scale_of(grid.unit, finite)
    for wanted, colour in ((np.isneginf(values), faded(MUTED, 0.4)), (np.isfinite(values), None)):
        if wanted.any():
            shown = np.ma.array(np.where(wanted, values, 0.0), mask=~wanted)
            look = (
                {"cmap": shades, "norm": norm}
                if colour is None
                else {"cmap": LinearSegmentedColormap.from_list("0", [colour] * 2)}
            )
            mesh = axes.pcolormesh(edges[1], edges[0], shown, linewidth=0, **look)  # type: ignore[arg-type, unused-ignore]
    axes.set_title(
        grid.title
        + (f", {by} × {by} steps a cell" if by > 1 else "")
        + (", grey: 0" if np.isneginf(values).any() else "")
    )
    axes.set(xlabel="entry step k", ylabel="loss step t", xlim=edges[1][[0, -1]], ylim=edges[0][[-1, 0]])
    if len(grid.rows) == len(grid.columns):
        axes.set_aspect("equal")
    for axis, steps in ((axes.xaxis, grid.columns), (axes.yaxis, grid.rows)):
        axis.set_major_locator(FixedLocator(steps) if len(steps) <= 12 else MaxNLocator(integer=True, nbins=9))
    if len(finite):
        bar = drawn.colorbar(mesh, ax=axes, shrink=0.85, pad=0.02)
        bar.outline.set_visible(False)  # type: ignore[operator, unused-ignore]
        _colour_ticks(bar, grid.unit, norm)
    if len(grid.columns) <= NUMBERS and by == 1:
        _numbers(axes, grid, norm)


def _scale_of(unit: str, finite: Array) -> tuple[Normalize, LinearSegmentedColormap]:
    if unit == LOG:
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (-1.0, 0.0)
        return Normalize(low - 1e-9 - 0.02 * (high - low), high), _SIZES
    largest = float(np.abs(finite).max(initial=0.0)) or 1.0
    return SymLogNorm(largest * 10.0**-DECADES, linscale=0.5, vmin=-largest, vmax=largest), _SIGNS


def _colour_ticks(bar: Any, unit: str, norm: Normalize) -> None:
    if unit == LOG:
        _powers(bar.ax.yaxis, [np.array([norm.vmin, norm.vmax], dtype=float)])
        bar.ax.set_ylim(norm.vmin, norm.vmax)
        return
    sizes = float(norm.vmax or 1.0) * 10.0 ** -np.arange(DECADES)
    bar.set_ticks([*-sizes, 0.0, *sizes], labels=[_share(value) for value in (*-sizes, 0.0, *sizes)])
    bar.minorticks_off()


def _share(value: float) -> str:
    return f"{100 * value:+.2g} %".replace("-", "−") if value else "0"


def _numbers(axes: Axes, grid: Grid, norm: Normalize) -> None:
    """Every cell's number on it, light on dark."""
    for row, t in enumerate(grid.rows):
        for column, k in enumerate(grid.columns):
            value = grid.values[row, column]
            if np.isfinite(value):
                level = float(norm(value))
                dark = level > 0.55 if grid.unit == LOG else abs(level - 0.5) > 0.32
                text = _rounded(10**value) if grid.unit == LOG else percent(value).replace("-", "−")
                colour = PAPER if dark else INK
                axes.text(k, t, text, ha="center", va="center", fontsize=7.5, color=colour)


def _rounded(norm: float) -> str:
    return f"{norm:.3f}" if norm >= 1e-3 else f"{norm:.0e}"
