"""Figures of a fold whose every label arrives once: one sweep writes them down as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from unrollviz.allowance import memory_allowed
from unrollviz.arrays import Array, Labels, arithmetic
from unrollviz.carriers import COTANGENTS, COUNTS, SMALL_COUNTS, Carrier
from unrollviz.errors import UnrollvizError
from unrollviz.flows.grid import Grid, Ledger
from unrollviz.gradient import Total, count_paths
from unrollviz.stacks import weights
from unrollviz.sweep import Arrival, Fold, sweep
from unrollviz.terms import Measures
from unrollviz.way import Way

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
    classes, limit = len(grid.classes), memory_allowed(STACK_LIMIT)
    size = 8 * classes * way.widest
    if size > limit:
        raise UnrollvizError(
            f"the cotangents of {classes:,} losses, {way.widest:,} numbers each, take {size / 2**30:.1f} GiB at one "
            f"node, the limit is {limit / 2**30:g} GiB; take entry, fewer losses or fewer instances"
        )

    def arrivals(carrier: Carrier = COTANGENTS) -> Iterator[Arrival]:
        return sweep(way, losses, [target], fold, carrier, transient=True)

    ledger = Ledger(grid, (0, -whole.power), way.widest)
    lasts = (leg.last.jacobian for stop in way.stops for leg in stop.legs if leg.last is not None)
    measures = Measures(lasts, whole.direction)
    vanished = False
    with arithmetic():
        for arrival in arrivals():
            assert arrival.span is not None  # there is a grid only where the sweep goes by classes
            measures.write(arrival.rows, arrival.edge.jacobian, *ledger.room(arrival.span))
            ledger.write(arrival.span, grid.rank(arrival), arrival.powers)
            vanished = vanished or arrival.powers is not None
        norms, shares = ledger.columns()
    shares /= whole.size if whole.size > 0 else np.nan

    def rows(arrival: Arrival) -> Labels:
        assert arrival.span is not None
        return grid.rows(slice(*arrival.span), grid.rank(arrival))

    def counts() -> Labels:
        small = count_paths(way, losses, target) < 2**62
        counts = np.empty(len(grid), dtype=np.int64 if small else object)
        for arrival in arrivals(SMALL_COUNTS if small else COUNTS):
            counts[rows(arrival)] = arrival.rows
        return counts

    def logs() -> Array:
        logs = np.empty(len(grid))
        with arithmetic():
            for arrival in arrivals():
                mantissas = arrival.edge.jacobian.row_norms(arrival.rows)
                logs[rows(arrival)] = weights(mantissas, arrival.exponents)[1]
        return logs

    return Figures(norms, shares, lambda: grid.labels, counts, logs if vanished else None)
