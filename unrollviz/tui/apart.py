"""The gradient taken apart by time or by route, as rows with bars: the flow panel's tables and its matrix M[t,k]."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unrollviz.api import Run
from unrollviz.arrays import Array, Labels
from unrollviz.draw.text import integer
from unrollviz.flows.flow import Flow
from unrollviz.flows.folds import kinds
from unrollviz.names import clean, subscript, typeset
from unrollviz.tui.listing import Wanted
from unrollviz.tui.numbers import figure
from unrollviz.tui.scene import Scene
from unrollviz.tui.work import Pulse

VIEWS: dict[str, str] = {
    "tree": "as a tree",
    "lag": "by lag t-k",
    "loss": "by loss L_t",
    "entry": "by entry step k",
    "route": "by route",
    "temporal": "as the matrix M[t,k]",
}
"""The ways to take the gradient apart, in the order in which one turns through them."""

COARSE, COARSEST = "route:weights,highway", "route:weights"
"""Routes by fewer kinds of edges."""

ROUTES = 300_000
"""Routes up to which they are told apart."""


@dataclass(frozen=True, eq=False)
class Apart:
    """A flow in rows as they are shown: times in order, routes with the largest share first.

    Attributes:
        flow: what was worked out.
        order: (rows,) which row of the flow each one is.
        logs: log₁₀ of the norms, a row of the flow each.
    """

    flow: Flow
    order: Labels
    logs: Array

    def __len__(self) -> int:
        return len(self.order)

    @cached_property
    def largest(self) -> float:
        """The largest |share|, whose bar is the longest."""
        return float(np.nanmax(np.abs(self.flow.shares), initial=0.0))

    @cached_property
    def sums(self) -> Array:
        """(rows,) shares of each row and those above it."""
        return np.asarray(np.cumsum(self.flow.shares[self.order]))

    def label(self, row: int) -> str:
        """What a row is: `L₃`, `2`, `W_f×3 f`."""
        label = self.flow.labels[self.order[row]].tolist()
        name = self.flow.columns[0]
        if name == "loss":
            return f"L{subscript(int(label[0]))}"
        if name in ("lag", "entry"):
            return str(label[0])
        used = [
            f"{typeset(kind)}×{times}" if times > 1 else typeset(kind)
            for kind, times in zip(self.flow.columns, label, strict=True)
            if times
        ]
        return clean(" ".join(used)) or "none of them"

    def count(self, row: int) -> str:
        """How many paths a row sums."""
        return integer(self.flow.counts[self.order[row]])

    def figures(self, row: int) -> tuple[float, float, float]:
        """Norm, share and running sum of a row."""
        at = self.order[row]
        return float(self.flow.norms[at]), float(self.flow.shares[at]), float(self.sums[row])

    def size(self, row: int) -> str:
        """The norm of a row, as it is shown."""
        at = self.order[row]
        return figure(float(self.flow.norms[at]), float(self.logs[at]))

    def wanted(self, row: int) -> Wanted | None:
        """The list of the paths of a row; None for routes, which no list of paths at this level tells apart."""
        letter = {"loss": "t", "entry": "k", "lag": "lag"}.get(self.flow.columns[0])
        label = self.flow.labels[self.order[row]][0]
        return Wanted(words=f"{letter}={label}") if letter else None


@dataclass(frozen=True, eq=False)
class Matrix:
    """M[t,k] by norm: a row a loss, a column an entry step.

    Attributes:
        times, entries: the steps t and k that there are.
        rows: (t, k) -> row of the flow; -1 where no path leads.
        logs: (t, k) log₁₀ of the norms; -inf of 0 and where no path leads.
        counts: of each row of the flow, how many paths it sums.
    """

    flow: Flow
    times: Labels
    entries: Labels
    rows: Labels
    logs: Array
    counts: tuple[int, ...]

    @cached_property
    def ends(self) -> tuple[float, float]:
        """log₁₀ of the smallest and of the largest norm above 0; NaN where there is none."""
        known = self.logs[np.isfinite(self.logs)]
        return (float(known.min()), float(known.max())) if len(known) else (np.nan, np.nan)

    @cached_property
    def sizes(self) -> Array:
        """(t, k) how large each norm is: 1 for the largest, 0 for the smallest by logarithm, NaN for none and for 0."""
        least, most = self.ends
        scaled = (self.logs - least) / (most - least) if most > least else np.ones_like(self.logs)
        return np.asarray(np.where(np.isfinite(self.logs), scaled, np.nan))

    def wanted(self, row: int, column: int) -> Wanted:
        """The list of the paths of a cell."""
        return Wanted(words=f"t={self.times[row]} k={self.entries[column]}")


def apart(scene: Scene, by: str, pulse: Pulse) -> Apart | Matrix:
    """Take the gradient apart; routes by fewer kinds of edges where all of them are too many.

    Raises UnrollvizError where even these are, and for a matrix of too many steps."""
    run, losses = scene.run, list(scene.losses)
    pulse(f"taking the gradient apart {VIEWS[by]}")
    route = by == "route"
    flow = _routes(run, scene.target, losses) if route else run.flow(scene.target, by, losses, detail=scene.detail)
    if by == "temporal":
        return _matrix(flow)
    order = np.arange(len(flow.counts))
    if route:
        order = np.argsort(-np.nan_to_num(np.abs(flow.shares)), kind="stable")
    return Apart(flow, order, flow.log10_norms)


def _routes(run: Run, target: str, losses: list[str]) -> Flow:
    """By as many kinds of edges as there is time for: of n kinds, a path of T steps has up to T^n routes."""
    known = kinds(run.graph)
    groups = {group for group, _ in known.values()}
    ways = [("route", len(known))] + [(COARSE, 2)] * ({"weights", "highway"} <= groups)
    by = next((way for way, columns in ways if run.steps**columns <= ROUTES), COARSEST)
    return run.flow(target, by, losses)


def _matrix(flow: Flow) -> Matrix:
    labels = flow.labels.astype(np.int64)
    times, row = np.unique(labels[:, 0], return_inverse=True)
    entries, column = np.unique(labels[:, 1], return_inverse=True)
    rows = np.full((len(times), len(entries)), -1)
    rows[row, column] = np.arange(len(labels))
    logs = np.where(rows < 0, -np.inf, flow.log10_norms[rows])
    return Matrix(flow, times, entries, rows, logs, flow.counts)
