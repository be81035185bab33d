"""Figures of a fold whose every label arrives once: one sweep writes them down as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from unrollviz.allowance import memory_allowed
from unrollviz.arrays import Array, Labels, arithmetic
from unrollviz.errors import UnrollvizError
from unrollviz.flows.grid import Grid, Ledger
from unrollviz.gradient import Total, count_paths
from unrollviz.stacks import weights
from unrollviz.sweep import COTANGENTS, COUNTS, SMALL_COUNTS, Arrival, Carrier, Fold, Way, sweep
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


def tabulated(way: Way, losses: Sequence[str], target: str, fold: Sequence[Fold], grid: Grid, whole: Total) -> Figures:
    """Figures of the paths from the losses to a target whose gradient is `whole`.

    Raises UnrollvizError where the rows at one node would take more than STACK_LIMIT."""
    widest = max(way.graph.nodes[head]["value"].size for head, _ in way.heads)
    rows, limit = len(grid.classes), memory_allowed(STACK_LIMIT)
    if 8 * rows * widest > limit:
        raise UnrollvizError(
            f"the cotangents of {rows:,} losses, {widest:,} numbers each, take {8 * rows * widest / 2**30:.1f} GiB at "
            f"one node, the limit is {limit / 2**30:g} GiB; take entry, fewer losses or fewer instances"
        )

    def arrivals(carrier: Carrier = COTANGENTS) -> Iterator[tuple[Arrival, Labels | slice, int]]:
        return ((arrival, *grid.where(arrival)) for arrival in sweep(way, losses, [target], fold, carrier))

    ledger = Ledger(grid, powers=(0, -whole.power))
    vanished = False
    with arithmetic():
        for arrival, classes, rank in arrivals():
            last, cotangents = arrival.edge.jacobian, arrival.rows
            figures = last.row_norms(cotangents), dots_with(cotangents, last, whole.direction)
            ledger.write(classes, rank, arrival.exponents, *figures)
            vanished = vanished or arrival.exponents is not None
    norms, shares = ledger.columns()
    shares /= whole.size if whole.size > 0 else np.nan

    def counts() -> Labels:
        small = count_paths(way, losses, target) < 2**62
        counts = np.empty(len(grid), dtype=np.int64 if small else object)
        for arrival, classes, rank in arrivals(SMALL_COUNTS if small else COUNTS):
            counts[grid.rows(classes, rank)] = arrival.rows
        return counts

    def logs() -> Array:
        logs = np.empty(len(grid))
        with arithmetic():
            for arrival, classes, rank in arrivals():
                mantissas = arrival.edge.jacobian.row_norms(arrival.rows)
                logs[grid.rows(classes, rank)] = weights(mantissas, arrival.exponents)[1]
        return logs

    return Figures(norms, shares, lambda: grid.labels, counts, logs if vanished else None)
