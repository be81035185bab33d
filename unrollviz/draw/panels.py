"""What the pictures of a training run show: one table, `PANELS`, of curves and heat maps over the updates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unrollviz.arrays import Array
from unrollviz.errors import UnknownName
from unrollviz.history import ROUTES, History
from unrollviz.names import clean, derivative, typeset
from unrollviz.plots import LOG, PLAIN, SIGNED, Chart, Curve, Grid

RECORDS = 200
"""Records that a picture shows: of more, as many are picked evenly."""

LAGS = 60
"""Rows of the heat map, and bars of the page: past them neighbouring lags or losses share one, their shares added."""

PARTS = (0.5, 0.9, 0.99)
"""The parts of a gradient whose reach is drawn."""

USUAL = 1e-3
"""‖Δθ‖/‖θ‖ that is usual: Karpathy, CS231n, "Ratio of weights:updates"."""

ROUTE_WORDS: dict[str, str] = {
    "none": "own step",
    "weights": "weights",
    "highway": "highway",
    "weights+highway": "both",
}
"""How routes are headed."""


@dataclass(frozen=True, eq=False)
class Course:
    """A training run as its pictures show it, one watched parameter at a time.

    Attributes:
        heading: what was trained, and how.
        history: its records.
        per_epoch: updates of an epoch.
        losses: (E,) of every complete epoch: the mean while it lasted;  validation_losses: at its end; may be empty.
    """

    heading: str
    history: History
    per_epoch: int
    losses: tuple[float, ...]
    validation_losses: tuple[float, ...]

    def place(self, param: str | None) -> int:
        """Which of the watched parameters: the first where none is named. Raises UnknownName."""
        if param is not None and param not in self.history.watched:
            raise UnknownName("watched parameter", param, self.history.watched)
        return self.history.watched.index(param) if param else 0

    def symbol(self, place: int) -> str:
        """∂L/∂W of a watched parameter."""
        return clean(derivative("L", self.history.watched[place]))

    def thinned(self) -> History:
        """RECORDS of its records at most, the first and the last among them."""
        count = len(self.history)
        return self.history.part(np.unique(np.linspace(0, count - 1, min(count, RECORDS)).round().astype(np.int64)))


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture among several over the same updates.

    Attributes:
        title: what it shows, with its first and last value;  words: how to read it.
        part: a chart, its positions the updates, or a grid, its columns the updates.
        reference: where a line of reference is drawn, a plain number.
        ordered: whether the curves have an order, so that a ramp of colours tells them apart.
    """

    title: str
    words: str
    part: Chart | Grid
    reference: float | None = None
    ordered: bool = False

    @property
    def reference_drawn(self) -> float | None:
        """The line of reference in the unit of the curves."""
        logarithmic = isinstance(self.part, Chart) and self.part.curves[0].unit == LOG
        return math.log10(self.reference) if self.reference and logarithmic else self.reference


def panels(course: Course, place: int) -> tuple[Panel, ...]:
    """All of PANELS, of the watched parameter with index `place`."""
    history = course.thinned()
    return tuple(make(course, history, place) for make in PANELS.values())


def _loss(course: Course, history: History, place: int) -> Panel:
    """On one axis of updates: the records, the means of the epochs (in their middle), the validation (at their end)."""
    ends = course.per_epoch * np.arange(1, len(course.losses) + 1)
    lines = {
        "instances watched": (history.updates, history.losses),
        "training": (ends - (course.per_epoch + 1) // 2, np.array(course.losses)),
        "validation": (ends[: len(course.validation_losses)], np.array(course.validation_losses)),
    }
    at = np.unique(np.concatenate([updates for updates, _ in lines.values()]))
    spread = {}
    for name, (updates, values) in lines.items():
        if len(values):
            spread[name] = np.full(len(at), np.nan)
            spread[name][np.searchsorted(at, updates)] = values
    words = "does it fall, and does validation follow?" if course.validation_losses else "does it fall?"
    words += " Training: means of epochs" if course.losses else ""
    return Panel(f"Loss {_ends(history.losses)}", words, _chart(at, "L", spread))


def _gradient(course: Course, history: History, place: int) -> Panel:
    name = history.watched[place]
    lines = {
        "all parameters": history.total_norms,
        _shown(name): history.gradient_norms[:, history.params.index(name)],
    }
    words = "before clipping: spikes explode, towards 0 it vanishes"
    return Panel(f"Gradient norm {_ends(history.total_norms)}", words, _chart(history.updates, "‖∂L/∂θ‖", lines))


def _reach(course: Course, history: History, place: int) -> Panel:
    lines = {f"{100 * part:g} %": history.reach(part)[:, place].astype(np.float64) for part in PARTS}
    words = f"steps back within which 50, 90, 99 % of {course.symbol(place)} lie"
    first, last = (int(lines["90 %"][row]) for row in (0, -1))
    return Panel(f"Reach of 90 %: {first} → {last} steps", words, _chart(history.updates, "lag t − k", lines, PLAIN))


def _lags(course: Course, history: History, place: int) -> Panel:
    shares, by = pooled(history.lag_shares[:, place])
    at = tuple(int(update) for update in history.updates)
    rows = tuple(range(0, history.lag_shares.shape[2], by))
    words = "colour high up: it reaches far back; orange: against the sum" + (f"; {by} lags a row" if by > 1 else "")
    return Panel("Share of every lag", words, Grid("lag t − k", rows, at, shares.T, SIGNED))


def _routes(course: Course, history: History, place: int) -> Panel:
    used = [index for index in range(len(ROUTES)) if history.route_norms[:, place, index].any()]
    lines = {ROUTE_WORDS[ROUTES[index]]: history.route_shares[:, place, index] for index in used}
    gated = any("highway" in ROUTES[index] for index in used)
    words = "own step, recurrent weights" + (", the highway (c′ = f ⊙ c, (1 − z) ⊙ h), or both" if gated else "")
    chart = _chart(history.updates, "share", lines or {ROUTE_WORDS["none"]: np.full(len(history), np.nan)}, SIGNED)
    return Panel("Share of every route", words, chart, 0.0)


def _cancellation(course: Course, history: History, place: int) -> Panel:
    values = history.cancellations[:, place]
    words = "between lags: 1 where they agree, large where they work against each other"
    return Panel(f"Cancellation κ {_ends(values)}", words, _chart(history.updates, "κ", {"κ": values}), 1.0)


def _jacobians(course: Course, history: History, place: int) -> Panel:
    """Every link of one layer; of several layers their means."""
    layers: dict[str, list[int]] = {}
    for index, name in enumerate(history.links):
        layers.setdefault(name.rstrip("0123456789"), []).append(index)
    if len(layers) == 1:
        lines = {_shown(name): history.jacobian_norms[:, index] for index, name in enumerate(history.links)}
    else:
        lines = {
            f"{_shown(name)}, mean": history.jacobian_norms[:, which].mean(axis=1) for name, which in layers.items()
        }
    words = "per unit: 1 keeps lengths on average, less forgets, more explodes"
    if not lines:
        lines, words = {"no steps between states": np.full(len(history), np.nan)}, "there is only one step"
    chart = _chart(history.updates, "‖∂s_t/∂s_t₋₁‖/√D", lines)
    return Panel("Jacobians of the steps", words, chart, 1.0, ordered=len(layers) == 1)


def _updates(course: Course, history: History, place: int) -> Panel:
    ratios, name = history.update_ratios, history.watched[place]
    sizes = [np.sqrt((norms**2).sum(axis=1)) for norms in (history.update_norms, history.weight_norms)]
    together = sizes[0] / np.where(sizes[1] > 0, sizes[1], np.nan)
    known = np.isfinite(ratios)
    extremes = [np.where(known, ratios, blank) for blank in (-np.inf, np.inf)]
    largest, least = (
        np.where(known.any(axis=1), found, np.nan) for found in (extremes[0].max(axis=1), extremes[1].min(axis=1))
    )
    lines = {"all parameters": together, _shown(name): ratios[:, history.params.index(name)]}
    lines |= {"largest of one": largest, "least": least}
    words = "‖Δθ‖/‖θ‖: some 10⁻³ is usual, 1 wipes out what was learnt"
    chart = _chart(history.updates, "‖Δθ‖/‖θ‖", lines)
    return Panel(f"Update to weight {_ends(together)}", words, chart, USUAL)


PANELS: dict[str, Callable[[Course, History, int], Panel]] = {
    "loss": _loss,
    "gradient": _gradient,
    "reach": _reach,
    "lags": _lags,
    "routes": _routes,
    "cancellation": _cancellation,
    "jacobians": _jacobians,
    "updates": _updates,
}
"""Name -> its panel, in reading order: two columns, what is learnt above how."""


def pooled(shares: Array) -> tuple[Array, int]:
    """(R, n) as (R, at most LAGS), and how many neighbours were added up for one."""
    by = -(-shares.shape[1] // LAGS)
    return np.add.reduceat(shares, range(0, shares.shape[1], by), axis=1), by


def _chart(updates: npt.NDArray[np.int64], axis: str, lines: dict[str, Array], unit: str | None = None) -> Chart:
    """Curves over the updates; where no unit is given, logarithms if the values span more than a power of ten."""
    if unit is None:
        every = np.concatenate(list(lines.values()))
        known = every[np.isfinite(every) & (every > 0)]
        unit = LOG if len(known) and known.max() > 10 * known.min() else PLAIN
    with np.errstate(divide="ignore", invalid="ignore"):
        curves = tuple(
            Curve(name, np.log10(values) if unit == LOG else values, unit, axis) for name, values in lines.items()
        )
    return Chart("", "updates", tuple(int(update) for update in updates), curves)


def _ends(values: Array) -> str:
    """The first and the last known value: `1.1 → 0.0027`."""
    known = values[np.isfinite(values)]
    ends = known[[0, -1]].tolist() if len(known) else []
    return " → ".join(f"{value:,.0f}" if value >= 100 else f"{value:.2g}" for value in ends)


def _shown(name: str) -> str:
    return clean(typeset(name))
