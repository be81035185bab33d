"""Figures of a fold whose every label arrives once: one sweep writes them down as they come."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from unrollviz.arrays import Array, Labels, arithmetic
from unrollviz.errors import UnrollvizError
from unrollviz.flows.grid import Grid, Ledger
from unrollviz.jacobians import frobenius
from unrollviz.stacks import times_strides
from unrollviz.sweep import COTANGENTS, LOSS, Fold, Way, completions, sweep
from unrollviz.terms import dots_with

STACK_LIMIT = 2**30
"""Bytes that the rows at one node may take."""


@dataclass(frozen=True, eq=False)
class Figures:
    """What is known of every row of a flow, in increasing order of the labels.

    Attributes:
        norms, shares: (rows,); shares are NaN where the gradient is 0.
        labels: (rows, columns),
        counts: exact numbers of paths, and
        logs: decimal logarithms of the norms, where float64 does not hold all of these; all worked out on request.
    """

    norms: Array
    shares: Array
    labels: Callable[[], Labels]
    counts: Callable[[], Labels]
    logs: Callable[[], Array] | None


def tabulated(
    way: Way, losses: Sequence[str], target: str, fold: Sequence[Fold], grid: Grid, whole: Array, power: int
) -> Figures:
    """Figures of the paths from the losses to a target whose gradient is `whole` · 2^`power`.

    Raises UnrollvizError where the rows at one node would take more than STACK_LIMIT."""
    widest = max(way.graph.nodes[head]["value"].size for head, _ in way.heads)
    rows = len(grid.classes)
    if 8 * rows * widest > STACK_LIMIT:
        raise UnrollvizError(
            f"the cotangents of {rows:,} losses, {widest:,} numbers each, take {8 * rows * widest / 2**30:.1f} GiB at "
            f"one node, the limit is {STACK_LIMIT / 2**30:.0f} GiB; take entry, fewer losses or fewer instances"
        )
    size = frobenius(whole)
    direction = whole / size if size > 0 else whole
    one = np.ones(1, dtype=_integers(way, losses, target, fold))
    ledger = Ledger(grid, (np.float64, np.float64))
    counted: list[tuple[Labels | slice, int, Labels]] = []
    tiny: list[tuple[Labels, Array]] = []
    with arithmetic():
        for arrival in sweep(way, losses, [target], fold, replace(COTANGENTS, one=one)):
            last, exponents = arrival.edge.jacobian, arrival.exponents
            classes, rank = grid.where(arrival)
            mantissas = last.row_norms(arrival.rows)
            found = times_strides(mantissas, exponents)
            dots = times_strides(dots_with(arrival.rows, last, direction), exponents, -power)
            ledger.write(classes, rank, found, dots)
            assert arrival.counts is not None
            counted.append((classes, rank, arrival.counts))
            if exponents is not None and found.min(initial=1.0) < _BADLY:
                small = np.flatnonzero(found < _BADLY)
                far = np.log10(mantissas[small]) + exponents[small] * math.log10(2.0)
                tiny.append((grid.rows(classes, rank)[small], far))
        norms, shares = ledger.columns()
        shares /= size if size > 0 else np.nan

    def counts() -> Labels:
        counts = Ledger(grid, (one.dtype,))
        for entry in counted:
            counts.write(*entry)
        return counts.columns()[0]

    def logs() -> Array:
        with np.errstate(divide="ignore"):
            told = np.asarray(np.log10(norms))
        for rows, far in tiny:
            told[rows] = far
        return told

    return Figures(norms, shares, lambda: grid.labels, counts, logs if tiny else None)


_BADLY = 1e-300
"""Norms below this have few digits or none in float64, so that their logarithms are noted."""


def _integers(way: Way, losses: Sequence[str], target: str, fold: Sequence[Fold]) -> npt.DTypeLike:
    """The smallest integers that hold the number of paths with any one label; Python's own where 64 bits do not."""
    ways = completions(way, target)
    counts = [ways.get(loss, 0) for loss in losses]
    most = max(counts, default=0) if LOSS in fold else sum(counts)
    return np.min_scalar_type(most) if most < 2**62 else object
