"""A comparison as a picture: the shares of both sides as bars of one scale, and the changes with their errors.

Drawing needs the extra `plots`, and saying what is to be drawn does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unrollviz.arrays import Array
from unrollviz.draw.style import THEMES, Theme
from unrollviz.files import write_atomically
from unrollviz.names import clean

if TYPE_CHECKING:
    from unrollviz.draw.matplot import Drawn


@dataclass(frozen=True, eq=False)
class Beside:
    """What is drawn.

    Attributes:
        title: above it;  axis: what the rows are;  rows: a name for each;  sides: what A and B are.
        shares: (2, rows), NaN where there is nothing to draw;  change: (rows,);  errors: (rows,) or None.
        sure: (rows,) whether a change is more than chance;  notes: below it.
    """

    title: str
    axis: str
    rows: tuple[str, ...]
    sides: tuple[str, ...]
    shares: Array
    change: Array
    errors: Array | None
    sure: np.ndarray[Any, np.dtype[np.bool_]]
    notes: tuple[str, ...]


def write(what: Beside, path: str | Path) -> None:
    """Draw into a file whose ending names the format, whole or not at all. Raises as `matplot.check_output`."""
    from unrollviz.draw.matplot import check_output

    check_output(path)
    write_atomically(path, figure(what).file(Path(path).suffix.lower()))


def figure(what: Beside, theme: str = "light") -> Drawn:
    """Left the shares, A above B in every row; right the changes, filled where they are more than chance."""
    from unrollviz.draw.matplot import Drawn, settings  # isort: skip  # says what to install where there is none

    import matplotlib
    from matplotlib.ticker import FuncFormatter

    look = THEMES[theme]
    with matplotlib.rc_context(settings(look)):
        drawn = Drawn(layout="constrained")
        drawn.theme = look
        drawn.set_size_inches(9.0, 2.2 + 0.34 * max(1, len(what.rows)))
        left, right = drawn.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        at = np.arange(len(what.rows))[::-1].astype(float)
        for axes in (left, right):
            axes.grid(axis="x")
            axes.axvline(0, color=look.quiet, linewidth=0.8)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %".replace("-", "−")))
            axes.tick_params(axis="y", length=0, labelcolor=look.ink)
        _draw_shares(left, what, at, look)
        _draw_changes(right, what, at, look)
        left.set_yticks(at, [clean(name, 90) for name in what.rows])
        left.set_ylim(-0.7, len(at) - 0.3)
        left.set_ylabel(what.axis)
        drawn.suptitle(what.title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        drawn.supxlabel("\n".join(what.notes), x=0.01, ha="left", fontsize=8.5, color=look.quiet)
    return drawn


def _draw_shares(axes: Any, what: Beside, at: Array, theme: Theme) -> None:
    looks: tuple[dict[str, Any], ...] = (
        {"color": theme.faded(theme.negative, 0.45), "hatch": "////", "edgecolor": theme.negative, "linewidth": 0.5},
        {"color": theme.positive},
    )
    for side, (shift, look) in enumerate(zip((0.19, -0.19), looks, strict=True)):
        axes.barh(at + shift, np.nan_to_num(what.shares[side]), 0.36, label=clean(what.sides[side]), **look)
        for row in np.flatnonzero(np.isnan(what.shares[side])).tolist():
            axes.text(0, at[row] + shift, " –", va="center", fontsize=8, color=theme.quiet)
    axes.set_xlabel("share")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=8.5, borderaxespad=0.2)


def _draw_changes(axes: Any, what: Beside, at: Array, theme: Theme) -> None:
    known = np.isfinite(what.change)
    errors = np.zeros(len(at)) if what.errors is None else what.errors
    for mark, chosen in (("chance may do", ~what.sure & known), ("more than chance", what.sure & known)):
        if not chosen.any():
            continue
        filled = mark == "more than chance"
        axes.errorbar(
            what.change[chosen],
            at[chosen],
            xerr=None if what.errors is None else errors[chosen],
            fmt="o",
            color=theme.ink,
            markerfacecolor=theme.ink if filled else theme.paper,
            markersize=6,
            capsize=2.5,
            linewidth=1.1,
            label=None if what.errors is None else mark,
        )
    axes.set_xlabel("change from A to B" + ("" if what.errors is None else ", ± standard error"))
    if what.errors is not None and known.any():
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=8.5, borderaxespad=0.2)
