"""What plots show: numbers over steps, lags and routes, ready for any back end to draw. One table, `PLOTS`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unrollviz.arrays import Array
from unrollviz.diagnosis.spectra import Spectrum, spectra
from unrollviz.diagnosis.symptoms import Route, crossed
from unrollviz.errors import UnknownName
from unrollviz.flows.flow import Flow, flow
from unrollviz.flows.folds import grouping, kinds
from unrollviz.graph import Graph, names_of
from unrollviz.names import derivative, loss_sum, subscript, typeset
from unrollviz.sweep import FOLDS
from unrollviz.unrolled import Unrolled

LOG, SIGNED, PLAIN = "log10", "signed", "plain"
"""What values are: decimal logarithms of norms, -inf for 0; signed shares; numbers from 0."""

ROUTES = 16
"""How many routes are shown, the largest share first."""

ROUTE_LABELS = 50_000
"""Routes up to which all kinds of edges are told apart."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One value for each position of a chart.

    Attributes:
        name: what it is, typeset.
        values: (m,) by `unit`; NaN where it is undefined.
        unit: LOG, SIGNED or PLAIN.
        axis: curves with the same one share a vertical axis, whose label it is.
    """

    name: str
    values: Array
    unit: str
    axis: str

    @property
    def drawn(self) -> Array:
        """The values that can be drawn: NaN for what is undefined or the logarithm of 0."""
        return np.where(np.isfinite(self.values), self.values, np.nan)


@dataclass(frozen=True, eq=False)
class Chart:
    """Curves over the same positions.

    Attributes:
        title: what it shows beyond the plot's own title; may be empty.
        axis: what the positions are.
        at: a step or lag for each position, or a name where they are in no order.
        curves: at least one.
    """

    title: str
    axis: str
    at: tuple[int, ...] | tuple[str, ...]
    curves: tuple[Curve, ...]

    @property
    def named(self) -> bool:
        """Whether the positions are names and no numbers."""
        return any(isinstance(one, str) for one in self.at)

    def pooled(self, most: int) -> Chart:
        """At most so many positions: neighbours share one, which has the sum of shares and the largest of the rest."""
        by = math.ceil(len(self.at) / most)
        if by <= 1 or self.named:
            return self
        starts = list(range(0, len(self.at), by))
        at = tuple(f"{self.at[start]}–{self.at[min(start + by, len(self.at)) - 1]}" for start in starts)
        fold: dict[str, np.ufunc] = {SIGNED: np.add, LOG: np.fmax, PLAIN: np.fmax}
        curves = (replace(curve, values=fold[curve.unit].reduceat(curve.values, starts)) for curve in self.curves)
        return replace(self, at=at, curves=tuple(curves))


@dataclass(frozen=True, eq=False)
class Grid:
    """M[t, k]: a value for every pair of steps that some path connects, NaN for the others.

    Attributes:
        title: what the values are.
        rows, columns: the steps t from the first, and k;  values: (rows, columns) by `unit`.
    """

    title: str
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    values: Array
    unit: str

    def pooled(self, most: int) -> tuple[Array, int]:
        """At most so many rows and columns, and how many steps share one: shares added, of norms the largest."""
        by = max(1, math.ceil(max(self.values.shape) / most))
        if by == 1:
            return self.values, 1
        tall, wide = (-(-size // by) for size in self.values.shape)
        padded = np.full((tall * by, wide * by), np.nan)
        padded[: self.values.shape[0], : self.values.shape[1]] = self.values
        blocks = padded.reshape(tall, by, wide, by).swapaxes(1, 2).reshape(tall, wide, -1)
        fold = np.fmax.reduce(blocks, axis=2) if self.unit == LOG else np.nansum(blocks, axis=2)
        return np.where(np.isnan(blocks).all(axis=2), np.nan, fold), by


@dataclass(frozen=True, eq=False)
class Plot:
    """A plot: its name in PLOTS, a title, what is drawn, and what has to be known to read it."""

    name: str
    title: str
    parts: tuple[Chart | Grid, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Asked:
    """What a plot is of: a run, its graph at level `state` (with the target on it), losses and the target."""

    unrolled: Unrolled
    level: Graph
    losses: tuple[str, ...]
    target: str

    @property
    def symbol(self) -> str:
        """The derivative: ∂L₄/∂W of one loss, ∂(L₃ + L₄)/∂W of some, ∂L/∂W of all."""
        return derivative(loss_sum(self.losses, len(names_of(self.level, "loss"))), self.target)

    @property
    def symbol_of_one(self) -> str:
        return derivative("L_t", self.target)

    def flow(self, by: str) -> Flow:
        """The gradient by a fold of FOLDS."""
        return flow(self.level, self.losses, self.target, FOLDS[by], by)


@dataclass(frozen=True)
class Kind:
    """A kind of plot: what it shows, in a line, and how it is computed."""

    shows: str
    compute: Callable[[Asked], Plot]


def plot(name: str, asked: Asked) -> Plot:
    """The plot of that name in PLOTS. Raises UnknownName, with the nearest, for another."""
    if name not in PLOTS:
        raise UnknownName("plot", name, PLOTS)
    return replace(PLOTS[name].compute(asked), name=name)


# ---------------------------------------------------------------------------------------------- over time


def _matrix(asked: Asked) -> Plot:
    found = asked.flow("temporal")
    t, k = found.labels.T
    rows, columns = np.unique(t), np.unique(k)
    places = np.searchsorted(rows, t), np.searchsorted(columns, k)

    def grid(title: str, values: Array, unit: str) -> Grid:
        full = np.full((len(rows), len(columns)), np.nan)
        full[places] = values
        return Grid(title, tuple(rows.tolist()), tuple(columns.tolist()), full, unit)

    parts = (grid("norm ‖M[t, k]‖", found.log10_norms, LOG), grid("share of the sum", found.shares, SIGNED))
    what = f"M[t, k]: the part of {asked.symbol} that comes from L_t and enters {typeset(asked.target)} at step k"
    return Plot("", what, parts if len(found.norms) else (), _undefined(found))


def _by_time(by: str, axis: str) -> Callable[[Asked], Plot]:
    """Shares and norms by one fold over time."""

    def compute(asked: Asked) -> Plot:
        found = asked.flow(by)
        at = tuple(int(label) for label in found.labels[:, 0])
        share = Curve("share", found.shares, SIGNED, "share")
        norm = Curve("norm", found.log10_norms, LOG, "norm")
        parts = (Chart("", axis, at, (share, norm)),) if at else ()
        return Plot("", f"{asked.symbol} by {axis}", parts, _undefined(found))

    return compute


def _undefined(found: Flow) -> tuple[str, ...]:
    """What to say of a gradient of 0."""
    if len(found.norms) == 0:
        return ("no path leads there",)
    if found.log10_total_norm > -math.inf:
        return ()
    every = "every term is 0" if found.log10_norms.max() == -math.inf else "the terms add up to 0"
    return (f"{every}, so that shares are undefined",)


def _cancellation(asked: Asked) -> Plot:
    """Σ‖M[t,k]‖ against ‖Σ M[t,k]‖, for every loss and for every lag."""
    found = asked.flow("temporal")
    if len(found.norms) == 0:
        return Plot("", f"Cancellation in {asked.symbol}", (), _undefined(found))
    t, k = found.labels.T
    parts = []
    for by, labels, axis in (("loss", t, "loss step t"), ("lag", t - k, "lag t − k")):
        at, place = np.unique(labels, return_inverse=True)
        size = np.full(len(at), -np.inf)
        np.maximum.at(size, place, found.log10_norms)
        scale = np.where(np.isfinite(size), size, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            added = np.log10(np.bincount(place, 10 ** (found.log10_norms - scale[place]))) + scale
            whole = asked.flow(by).log10_norms
            ratio = 10 ** np.maximum(added - whole, 0.0)  # never below 1, but by rounding
        curves = (
            Curve("Σ ‖M[t, k]‖", added, LOG, "norm"),
            Curve("‖Σ M[t, k]‖", whole, LOG, "norm"),
            Curve("κ", np.where(np.isfinite(ratio), ratio, np.nan), PLAIN, "κ"),
        )
        parts.append(Chart(f"by {axis}", axis, tuple(at.tolist()), curves))
    total = f"between all components κ = {found.cancellation:.4g}"
    notes = ("κ = Σ‖M‖ / ‖ΣM‖: 1 where nothing cancels", *(_undefined(found) or (total,)))
    return Plot("", f"Cancellation in {asked.symbol}", tuple(parts), notes)


# ------------------------------------------------------------------------------------------------- routes


def _routes(asked: Asked) -> Plot:
    graph, title = asked.unrolled.graph, f"{asked.symbol} by route"
    if not kinds(graph):
        return Plot("", title, (), ("nothing here carries a gradient through time, so that there are no routes",))
    by = _finest(graph, asked.unrolled.steps)
    group = grouping(graph, by)
    found = flow(graph, asked.losses, asked.target, group.fold, group.name, group.columns, group.read)
    if len(found.norms) == 0:
        return Plot("", title, (), _undefined(found))
    weight = np.abs(found.shares) if found.log10_total_norm > -math.inf else found.log10_norms
    order = np.argsort(-weight, kind="stable")
    shown = order[:ROUTES]
    at = tuple(_route(group.columns, found.labels[row]) for row in shown)
    curves = (
        Curve("share", found.shares[shown], SIGNED, "share"),
        Curve("norm", found.log10_norms[shown], LOG, "norm"),
    )
    notes = list(_undefined(found))
    if len(order) > len(shown) and not notes:
        rest = 100 * float(found.shares[order[ROUTES:]].sum())
        notes.append(f"{len(order) - ROUTES:,} more routes carry {rest:+.3g} % together")
    if by != "route":
        notes.append(f"there are too many routes to tell all kinds of edges apart: {by}")
    uses = crossed(asked.unrolled, asked.losses, asked.target)
    often = Curve("times a path", np.array([use.crossings for use in uses]), SIGNED, "times a path")
    each = Chart("each kind of edge: crossings of a path, weighted by share", "kind", _names(uses), (often,))
    heaviest = Chart("how often the path takes each kind of edge", "route", at, curves)
    return Plot("", title, (heaviest, each) if uses else (heaviest,), tuple(notes))


def _names(uses: Sequence[Route]) -> tuple[str, ...]:
    """`W_f` of a weight, `f ⊙` of a highway."""
    return tuple(typeset(use.kind) + (" ⊙" if use.highway else "") for use in uses)


def _finest(graph: Graph, steps: int) -> str:
    """The finest way to count kinds of edges that gives at most ROUTE_LABELS labels: at most binomial(T + m, m)."""
    groups = {group for group, _ in kinds(graph).values()}
    for by, columns in (("route", len(kinds(graph))), ("route:weights,highway", 2)):
        if by == "route:weights,highway" and not {"weights", "highway"} <= groups:
            continue
        if math.comb(steps * (1 + ("layers" in groups)) + columns, columns) <= ROUTE_LABELS:
            return by
    return "route:weights" if "weights" in groups else f"route:{sorted(groups)[0]}"


def _route(columns: Sequence[str], label: Sequence[int]) -> str:
    """`W_f×2 f×3`: what is used, and how often; `direct` where nothing is."""
    used = [f"{typeset(name)}×{int(n)}" for name, n in zip(columns, label, strict=True) if n or len(columns) == 1]
    return " ".join(used) or "direct"


# ---------------------------------------------------------------------------------------------- Jacobians


def _jacobians(asked: Asked) -> Plot:
    found = spectra(asked.unrolled, asked.level)
    parts = tuple(_stretching(asked, spectrum) for spectrum in found)
    notes = []
    if not found:
        notes.append("no step leads back to a state before it")
    if asked.unrolled.instances > 1:
        notes.append(f"the largest of {asked.unrolled.instances} instances")
    if any(spectrum.stride > 1 for spectrum in found):
        notes.append("not every step was measured: all would take too long")
    if any(spectrum.directions < spectrum.size for spectrum in found):
        notes.append("products are estimated Frobenius norms: exact ones would take too long")
    return Plot("", "How a step stretches what passes through it: spectral norms of Jacobians", parts, tuple(notes))


def _stretching(asked: Asked, spectrum: Spectrum) -> Chart:
    state = spectrum.prefix + (spectrum.state if "," not in spectrum.state else f"({spectrum.state})")
    sign = "-" if spectrum.before[0] < spectrum.steps[0] else "+"
    one, whole = f"‖∂{state}_j/∂{state}_(j{sign}1)‖", f"‖∂{state}{subscript(spectrum.last)}/∂{state}_(j{sign}1)‖"
    layers = asked.unrolled.network.layers > 1 or asked.unrolled.network.bidirectional
    order = np.argsort(spectrum.steps)
    with np.errstate(divide="ignore"):
        single = np.log10(np.nanmax(spectrum.spectral, axis=1))[order]
    product = (np.nanmax(spectrum.log_product, axis=1) / math.log(10))[order]
    curves = (Curve(one, single, LOG, "norm of one step"), Curve(whole, product, LOG, "norm of the product"))
    title = f"layer {spectrum.prefix.rstrip('.')}" if layers else ""
    return Chart(title, "step j", tuple(spectrum.steps[order].tolist()), curves)


PLOTS: dict[str, Kind] = {
    "matrix": Kind("heat maps of M[t, k], norms and signed shares", _matrix),
    "lag": Kind("how far back the gradient reaches: shares and norms by lag t − k", _by_time("lag", "lag t − k")),
    "loss": Kind("shares and norms by the loss step t", _by_time("loss", "loss step t")),
    "entry": Kind("shares and norms by the entry step k", _by_time("entry", "entry step k")),
    "route": Kind("shares by route, and how often paths cross each kind of edge", _routes),
    "jacobians": Kind("‖∂s_t/∂s_{t-1}‖ of every step and their running product", _jacobians),
    "cancellation": Kind("sums of norms against norms of sums, by loss and by lag", _cancellation),
}
"""Name -> what it shows and how it is computed."""
