"""Two gradients taken apart in the same way, side by side: two networks, two stages of training, or two sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unrollviz.api import Run
from unrollviz.arrays import Array, Labels
from unrollviz.comparison.matched import HEAVIEST, TIMES, Asked, Label, Rows, by_fold, by_path
from unrollviz.comparison.significance import Significance, by_permutation
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.flows.flow import Flow, flow
from unrollviz.gradient import count_paths
from unrollviz.sweep import FOLDS

PART = 0.9
"""The part of a gradient whose reach is told."""


@dataclass(frozen=True)
class Side:
    """One of the two gradients as a whole.

    Attributes:
        name, cell: what it is called, and the cell;  param: of which parameter or node.
        loss: L, the sum of the losses asked for;  steps, instances: T and B.
        paths: how many there are, at level state.
        norm: ‖G‖, and log10_norm its logarithm, however small.
        reach: the smallest |lag| such that lags up to it carry PART of Σ‖row‖ over all lags; None where all are 0.
        longest: the longest |lag|.
        cancellation: κ between the rows compared; NaN where G = 0.
    """

    name: str
    cell: str
    param: str
    loss: float
    steps: int
    instances: int
    paths: int
    norm: float
    log10_norm: float
    reach: int | None
    longest: int
    cancellation: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Rows of two gradients, matched by label.

    Attributes:
        by: what rows are of;  losses: those asked for, None for all.
        a, b: the sides.
        labels: (rows), ordered by time, or by the size of the change where rows are routes or paths.
        there: (2, rows) whether the side has paths with this label.
        norms, shares: (2, rows), NaN where a side has none, or its shares are undefined.
        change: (rows,) share of b less share of a; no paths count as a share of 0.
        significance: whether the changes are more than chance; None where that cannot be said, and
        untested: says why.
        partial: the rows are the heaviest paths of both sides, and there are others.
    """

    by: str
    losses: tuple[str, ...] | None
    a: Side
    b: Side
    labels: tuple[Label, ...]
    there: np.ndarray[Any, np.dtype[np.bool_]]
    norms: Array
    shares: Array
    change: Array
    significance: Significance | None
    untested: str
    partial: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"<Comparison of {self.a.name} and {self.b.name} by {self.by}: {len(self)} rows>"

    def largest(self, most: int) -> Labels:
        """The `most` rows that changed most, in the order of the rows."""
        size = np.where(np.isnan(self.change), 0.0, np.abs(self.change))
        return np.sort(np.argsort(-size, kind="stable")[:most])


def diff(
    a: Run,
    b: Run,
    param: str | None = None,
    *,
    by: str | Sequence[str] = "lag",
    losses: str | Sequence[str] | None = None,
    param_b: str | None = None,
    names: tuple[str, str] = ("A", "B"),
    top: int = HEAVIEST,
) -> Comparison:
    """Which lags, losses, routes or paths of ∂L/∂param gained and lost share from run `a` to run `b`.

    Args:
        param: a parameter or node that both have; the recurrent weight where not given.
        by: as in `Run.flow`: lag, loss, entry, temporal, total, route, uses:weights,highway, path, or several. Where
            the cells differ, `route` and `uses` are of the groups of `folds.GROUPS`.
        param_b: what to compare it with in `b`, where that has another name there.
        names: what the runs are called.
        top: with path, how many of each run's heaviest paths, where one of them has more than 4,096.

    Significance is judged by the spread over the instances (see `significance.by_permutation`), paired where both runs
    are of the same instances, and cannot be with fewer than two.

    Raises UnrollvizError where the runs have no such parameter both, UnknownName for an unknown loss or fold."""
    targets = _targets(a, b, param, param_b, names)
    chosen = [_losses(run, losses, name) for run, name in zip((a, b), names, strict=True)]
    parts = [by] if isinstance(by, str) else list(by)
    one, other = (Asked(run, tuple(lost), target) for run, lost, target in zip((a, b), chosen, targets, strict=True))
    partial = False
    if "path" in parts:
        if len(parts) > 1:
            raise UnrollvizError("path tells loss, entry step and lag apart already; give it alone")
        rows, partial = by_path(one, other, top)
    else:
        rows = by_fold(one, other, parts)
    sides = tuple(_side(asked, row, name) for asked, row, name in zip((one, other), rows, names, strict=True))
    said = None if losses in (None, "L") else tuple(dict.fromkeys(name for lost in chosen for name in lost))
    return _compared(", ".join(parts), said, sides, rows, _untested(a, b), _same_instances(a, b), partial)


# ------------------------------------------------------------------------------------------- what is asked


def _targets(a: Run, b: Run, param: str | None, param_b: str | None, names: tuple[str, str]) -> tuple[str, str]:
    first = a.target_named(param or a.recurrent_weight)
    if param_b is not None:
        return first, b.target_named(param_b)
    if first not in b.graph:
        both = [name for name in a.network.params if name in b.network.params]
        raise UnrollvizError(
            f"{names[1]} ({b.network.cell}) has no {first}, which {names[0]} ({a.network.cell}) has; both have "
            f"{', '.join(both) or 'no parameter of the same name'}; choose one of them, or name the other's with "
            f"param_b (--param-b {b.recurrent_weight})"
        )
    return first, b.target_named(first)


def _losses(run: Run, losses: str | Sequence[str] | None, name: str) -> list[str]:
    try:
        return run.loss_names(losses)
    except UnknownName as error:
        raise UnrollvizError(f"{name}: {error}") from error


def _untested(a: Run, b: Run) -> str:
    """Why nothing can be said of significance; empty where it can."""
    if min(a.instances, b.instances) > 1:
        return ""
    which = "each side has" if a.instances == b.instances else "a side has"
    return f"{which} one instance, which has no spread; give a batch of several"


def _same_instances(a: Run, b: Run) -> bool:
    one, other = a.batch, b.batch
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("inputs", "targets", "weights", "lengths")
    )


# ------------------------------------------------------------------------------------------- the two sides


def _side(asked: Asked, rows: Rows, name: str) -> Side:
    run, losses, target = asked.run, asked.losses, asked.target
    way = run.way(target)
    by_lag = rows.by_lag or flow(way, losses, target, FOLDS["lag"], "lag")
    reach, longest = _reach(by_lag)
    return Side(
        name,
        run.network.cell,
        target,
        math.fsum(float(run.graph.nodes[loss]["value"]) for loss in losses),
        run.steps,
        run.instances,
        count_paths(way, losses, target),
        by_lag.total_norm,
        by_lag.log10_total_norm,
        reach,
        longest,
        rows.cancellation,
    )


def _reach(by_lag: Flow) -> tuple[int | None, int]:
    if len(by_lag.norms) == 0:
        return None, 0
    lags, logs = np.abs(by_lag.labels[:, 0].astype(np.int64)), by_lag.log10_norms
    if logs.max() == -math.inf:
        return None, int(lags.max())
    carried = np.cumsum(np.bincount(lags, weights=10 ** (logs - logs.max())))
    return int(np.argmax(carried >= PART * carried[-1] * (1 - 1e-12))), int(lags.max())


def _compared(
    by: str,
    losses: tuple[str, ...] | None,
    sides: tuple[Side, ...],
    rows: tuple[Rows, Rows],
    untested: str,
    paired: bool,
    partial: bool,
) -> Comparison:
    labels = list(dict.fromkeys([*rows[0].labels, *rows[1].labels]))
    at = {label: place for place, label in enumerate(labels)}
    where = [np.array([at[label] for label in side.labels], dtype=np.int64) for side in rows]
    there = np.zeros((2, len(labels)), dtype=bool)
    norms, shares = np.full((2, 2, len(labels)), np.nan)
    for side, (row, place) in enumerate(zip(rows, where, strict=True)):
        there[side, place] = True
        norms[side, place], shares[side, place] = row.norms, row.shares
    change = np.where(there[1], shares[1], 0.0) - np.where(there[0], shares[0], 0.0)
    undefined = any(np.isnan(row.shares).any() or len(row.shares) == 0 for row in rows)
    change[:] = np.nan if undefined else change
    significance = None
    if not untested:
        try:
            before, after = (_spread(row, place, len(labels)) for row, place in zip(rows, where, strict=True))
            significance = by_permutation(before, after, paired)
        except UnrollvizError as error:
            untested = str(error)
    if labels and all(name in TIMES for label in labels for name, _ in label):
        order = sorted(range(len(labels)), key=lambda place: [n for _, n in labels[place]])
    else:
        order = np.argsort(-np.abs(np.nan_to_num(change)), kind="stable").tolist()
    a, b = sides
    if significance is not None:
        significance = replace(significance, errors=significance.errors[order], p=significance.p[order])
    return Comparison(
        by,
        losses,
        a,
        b,
        tuple(labels[place] for place in order),
        there[:, order],
        norms[:, order],
        shares[:, order],
        change[order],
        significance,
        untested,
        partial,
    )


def _spread(rows: Rows, place: Labels, size: int) -> Array:
    """(size, B) pseudo-values, 0 where the side has no such row."""
    values = rows.values()
    spread = np.zeros((size, values.shape[1]))
    spread[place] = values
    return spread
