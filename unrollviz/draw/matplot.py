"""Plots through matplotlib: what `unrollviz.plots` worked out, as a figure or a file. Needs the extra `plots`."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unrollviz.arrays import Array
from unrollviz.draw.style import LIGHT, THEMES, Theme
from unrollviz.errors import MissingExtra, UnknownName, UnrollvizError
from unrollviz.files import check_writable, write_atomically
from unrollviz.names import clean
from unrollviz.plots import LOG, SIGNED, Chart, Curve, Grid, Plot

try:
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
except ImportError as error:
    raise MissingExtra("a plot as a picture", "plots") from error

SUFFIXES = (".svg", ".png", ".pdf")

MANY = 200
"""Positions past which lines are thin, bars touch, and marks are left out."""

_LINES = (("-", "o"), ("--", "s"))
"""Dashes and mark of the first and the second line of an axis."""

_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10**6)
"""Powers of ten between two ticks."""

_METADATA: dict[str, dict[str, Any]] = {
    ".svg": {"Date": None, "Creator": "unrollviz"},
    ".pdf": {"CreationDate": None, "Creator": "unrollviz"},
    ".png": {"Software": "unrollviz"},
}
"""Ending -> what the file says of itself: nothing that changes from day to day."""


def settings(theme: Theme) -> Any:
    """matplotlib's settings for a theme."""
    return {
        "text.parse_math": False,  # what is shown is text, whatever it holds
        "text.color": theme.ink,
        "svg.fonttype": "none",
        "svg.hashsalt": "unrollviz",
        "pdf.fonttype": 42,
        "font.family": "DejaVu Sans",
        "font.size": 9.0,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.titlecolor": theme.quiet,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": theme.faint,
        "axes.facecolor": theme.paper,
        "axes.labelcolor": theme.quiet,
        "axes.axisbelow": True,
        "xtick.color": theme.quiet,
        "ytick.color": theme.quiet,
        "grid.color": theme.faded(theme.muted, 0.5),
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "hatch.linewidth": 0.6,
        "figure.facecolor": theme.paper,
        "savefig.facecolor": theme.paper,
    }


class Drawn(Figure):  # type: ignore[misc, unused-ignore]
    """A matplotlib figure that a notebook shows as SVG, whether or not pyplot was imported."""

    theme = LIGHT

    def _repr_svg_(self) -> str:
        return self.file(".svg").decode("utf-8")

    def file(self, suffix: str) -> bytes:
        """The figure as the bytes of a file with an ending of SUFFIXES."""
        with matplotlib.rc_context(settings(self.theme)), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box is drawn, which says enough
            made = io.BytesIO()
            self.savefig(made, format=suffix[1:], dpi=192, metadata=_METADATA[suffix])
        return made.getvalue()


def check_output(path: str | Path, theme: str = "light") -> None:
    """Raise UnrollvizError for an ending that is no format, UnknownName for a theme that is none, BadFile where
    the file cannot be written."""
    if theme not in THEMES:
        raise UnknownName("theme", theme, THEMES)
    if Path(path).suffix.lower() not in SUFFIXES:
        raise UnrollvizError(f"{clean(str(path))}: the ending names the format; choose one of {', '.join(SUFFIXES)}")
    check_writable(path)


def write(plot: Plot, path: str | Path, title: str | None = None, theme: str = "light") -> None:
    """Draw the plot into a file whose ending names the format: .svg, .png or .pdf. Whole or not at all.

    Raises as `check_output`."""
    check_output(path, theme)
    write_atomically(path, figure(plot, title, theme).file(Path(path).suffix.lower()))


def figure(plot: Plot, title: str | None = None, theme: str = "light") -> Drawn:
    """The plot as a matplotlib figure; `title` is a line above it, shown as it is.

    Raises UnknownName for a theme that is none of `style.THEMES`."""
    from unrollviz.draw.heat import draw_grids

    if theme not in THEMES:
        raise UnknownName("theme", theme, THEMES)
    look = THEMES[theme]
    with matplotlib.rc_context(settings(look)):
        drawn = Drawn(layout="constrained")
        drawn.theme = look
        grids = [part for part in plot.parts if isinstance(part, Grid)]
        charts = [part for part in plot.parts if isinstance(part, Chart)]
        if grids:
            draw_grids(drawn, grids, look)
        elif charts:
            (_draw_named if charts[0].named else _draw_charts)(drawn, charts, look)
        else:
            drawn.set_size_inches(7.2, 1.2)
        heading = "\n".join([*([clean(title)] if title else []), plot.title])
        drawn.suptitle(heading, x=0.01, ha="left", fontsize=11, fontweight="bold")
        if plot.notes:
            drawn.supxlabel("; ".join(plot.notes), x=0.01, ha="left", fontsize=8.5, color=look.quiet)
    return drawn


def _draw_charts(drawn: Figure, charts: list[Chart], theme: Theme) -> None:
    """Charts below each other, and curves on different axes, over the same positions."""
    rows = [(chart, axis) for chart in charts for axis in dict.fromkeys(curve.axis for curve in chart.curves)]
    drawn.set_size_inches(7.2, 0.9 + 2.1 * len(rows))
    before: Chart | None = None
    for axes, (chart, axis) in zip(drawn.subplots(len(rows), squeeze=False)[:, 0], rows, strict=True):
        _draw_curves(axes, chart, [curve for curve in chart.curves if curve.axis == axis], theme)
        axes.set_ylabel(axis)
        if chart is not before and chart.title:
            axes.set_title(chart.title)
        if axis == chart.curves[-1].axis:
            axes.set_xlabel(chart.axis)
        before = chart


def _draw_curves(axes: Axes, chart: Chart, curves: list[Curve], theme: Theme) -> None:
    at, many = np.array(chart.at, dtype=float), len(chart.at) > MANY
    axes.grid(axis="y")
    for curve, (dashes, mark), colour in zip(curves, _LINES, (theme.positive, theme.negative), strict=False):
        if curve.unit == SIGNED:
            _bars(axes.bar, at, curve.drawn, 1.0 if many else 0.8, theme)
            axes.axhline(0, color=theme.faint, linewidth=0.8)
            axes.yaxis.set_major_formatter(_signed(curve))
        else:
            look = {"linewidth": 0.9} if many else {"linewidth": 1.6, "marker": mark, "markersize": 4}
            axes.plot(at, curve.drawn, dashes, color=colour, label=curve.name, **look)  # type: ignore[arg-type, unused-ignore]
    if len(curves) > 1 or curves[0].name != curves[0].axis:
        axes.legend(loc="best", fontsize=8.5)
    if curves[0].unit == LOG:
        powers(axes.yaxis, [curve.drawn for curve in curves])
    axes.xaxis.set_major_locator(FixedLocator(at.tolist()) if len(at) <= 12 else MaxNLocator(integer=True, nbins=12))
    if not any(np.isfinite(curve.values).any() for curve in curves):
        nothing(axes, "undefined" if curves[0].unit == SIGNED else "0", theme)
    axes.set_xlim(at.min() - 0.6, at.max() + 0.6)


def nothing(axes: Axes, words: str, theme: Theme) -> None:
    """Say why axes are empty."""
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color=theme.quiet)


def _draw_named(drawn: Figure, charts: list[Chart], theme: Theme) -> None:
    """Bars to the right, a row a name; norms as dots, beside them."""
    heights = [len(chart.at) + 2.5 for chart in charts]
    drawn.set_size_inches(7.6, 0.9 + 0.24 * sum(heights))
    grid = drawn.add_gridspec(len(charts), 2, height_ratios=heights)
    for row, chart in enumerate(charts):
        at = np.arange(len(chart.at))[::-1].astype(float)
        for column, curve in enumerate(chart.curves):
            axes = drawn.add_subplot(grid[row, column] if len(chart.curves) > 1 else grid[row, :])
            axes.grid(axis="x")
            if curve.unit == SIGNED:
                _bars(axes.barh, at, curve.drawn, 0.7, theme)
                axes.axvline(0, color=theme.faint, linewidth=0.8)
                axes.xaxis.set_major_formatter(_signed(curve))
            else:
                axes.plot(curve.drawn, at, "o", color=theme.positive, markersize=5)
                powers(axes.xaxis, [curve.drawn])
            axes.set_yticks(at, [clean(str(name)) for name in chart.at] if column == 0 else [""] * len(at))
            axes.tick_params(axis="y", length=0, labelcolor=theme.ink)
            axes.set_ylim(-0.7, len(at) - 0.3)
            axes.set_xlabel(curve.axis)
            if column == 0 and chart.title:
                axes.set_title(chart.title)


def _bars(draw: Callable[..., Any], at: Array, values: Array, thick: float, theme: Theme) -> None:
    """Bars full above 0, hatched below: told apart without colour too."""
    above, below = values >= 0, values < 0
    if above.any():
        draw(at[above], values[above], thick, color=theme.positive)
    if below.any():
        hatched = {} if len(at) > MANY else {"hatch": "////", "edgecolor": theme.negative, "linewidth": 0.5}
        draw(at[below], values[below], thick, color=theme.faded(theme.negative, 0.35), **hatched)


def _signed(curve: Curve) -> FuncFormatter:
    if curve.axis != "share":
        return FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−"))
    return FuncFormatter(lambda value, _: f"{100 * value:g} %".replace("-", "−"))


def powers(axis: Any, values: list[Array]) -> None:
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


def power(exponent: int) -> str:
    """`10⁻³`"""
    return "10" + str(exponent).translate(str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")) if exponent else "1"
