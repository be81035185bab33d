"""Figures of a fold whose every label arrives once: one sweep writes them into a table of all labels there can be."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from unrollviz.arrays import Array, Labels, arithmetic
from unrollviz.errors import UnrollvizError
from unrollviz.jacobians import frobenius
from unrollviz.stacks import DENSE, STRIDE, Places, Radix
from unrollviz.sweep import COTANGENTS, ENTRY, LOSS, Fold, Way, completions, sweep
from unrollviz.terms import dots_with

STACK_LIMIT = 2**30
"""Bytes that the rows at one node may take."""

_SHIFT = STRIDE.bit_length() - 1


@dataclass(frozen=True, eq=False)
class Figures:
    """What is known of every row of a flow, in the order of `places.labels`.

    Attributes:
        norms, shares: (rows,); shares are NaN where the gradient is 0.
        counts: exact numbers of paths, and
        logs: decimal logarithms of the norms, where float64 does not hold all of these; both worked out on request.
    """

    places: Places
    norms: Array
    shares: Array
    counts: Callable[[], Labels]
    logs: Callable[[], Array] | None


def told_apart(way: Way, losses: Sequence[str], fold: Sequence[Fold]) -> Radix | None:
    """A numbering of all labels of paths to the target, where no two arrivals can have the same one.

    So it is if labels say at which step a path enters, and there is one edge a step to enter by. None elsewhere."""
    entries = way.entries()
    if ENTRY not in fold or any(column.cross or column.exact for column in fold):
        return None
    used = Counter(step for _, step in entries)
    if not entries or not losses or max(used.values()) > 1 or any(edge.jacobian.ends > 1 for edge, _ in entries):
        return None
    times = [way.graph.nodes[name]["time"] for name in losses]
    begun = np.array([[column.seed(name, t) for column in fold] for name, t in zip(losses, times, strict=True)])
    corners = []
    for step in (min(used), max(used)):
        ended = np.stack([begun.min(axis=0), begun.max(axis=0)])
        for index, column in enumerate(fold):
            if column.enter is not None:
                ended[:, index] = column.enter(ended[:, index], step)
        corners.append(ended)
    radix = Radix.of(np.concatenate(corners))
    return radix if math.prod(radix.span) <= DENSE else None


def tabulated(
    way: Way, losses: Sequence[str], target: str, fold: Sequence[Fold], radix: Radix, whole: Array, power: int
) -> Figures:
    """Figures of the paths from the losses to a target whose gradient is `whole` · 2^`power`.

    Raises UnrollvizError where the rows at one node would take more than STACK_LIMIT."""
    widest = max(way.graph.nodes[head]["value"].size for head, _ in way.heads)
    rows = len(losses) if LOSS in fold else 1
    if 8 * rows * widest > STACK_LIMIT:
        raise UnrollvizError(
            f"the cotangents of {rows:,} losses, {widest:,} numbers each, take {8 * rows * widest / 2**30:.1f} GiB at "
            f"one node, the limit is {STACK_LIMIT / 2**30:.0f} GiB; take entry, fewer losses or fewer instances"
        )
    size = frobenius(whole)
    direction = whole / size if size > 0 else whole
    places, only_first = Places.table(radix), all(column is ENTRY for column in fold[1:])
    norms, dots = np.zeros(places.size), np.zeros(places.size)
    powers: npt.NDArray[np.int16] | None = None  # of 2^STRIDE, where rows were scaled
    one = np.ones(1, dtype=_integers(way, losses, target, fold))
    counts = np.zeros(places.size, dtype=one.dtype)
    with arithmetic():
        for arrival in sweep(way, losses, [target], fold, replace(COTANGENTS, one=one)):
            place, last = places.take(arrival.labels, only_first), arrival.edge.jacobian
            norms[place] = last.row_norms(arrival.rows)
            dots[place] = dots_with(arrival.rows, last, direction)
            counts[place] = arrival.counts
            if arrival.exponents is not None:
                powers = np.zeros(places.size, dtype=np.int16) if powers is None else powers
                powers[place] = arrival.exponents >> _SHIFT
        # One table after the other, so that they are not all held twice.
        mantissas = places.shown(norms)
        del norms
        shares = places.shown(dots)
        del dots
        exponents = None if powers is None else STRIDE * places.shown(powers).astype(np.int32)
        shares = scaled(shares, exponents, -power)
        shares = shares / size if size > 0 else np.full(len(shares), np.nan)
        found = scaled(mantissas, exponents)

    def logs() -> Array:
        assert exponents is not None
        with np.errstate(divide="ignore"):
            return np.asarray(np.log10(mantissas) + exponents * math.log10(2.0))

    return Figures(places, found, shares, lambda: places.shown(counts), logs if exponents is not None else None)


def scaled(values: Array, exponents: npt.NDArray[np.int32] | None, power: int = 0) -> Array:
    """values · 2^(exponents + power)"""
    if exponents is None:
        return values if power == 0 else np.ldexp(values, power)
    result: Array = np.ldexp(values, exponents + power)
    return result


def _integers(way: Way, losses: Sequence[str], target: str, fold: Sequence[Fold]) -> npt.DTypeLike:
    """The smallest integers that hold the number of paths with any one label; Python's own where 64 bits do not."""
    ways = completions(way, target)
    counts = [ways.get(loss, 0) for loss in losses]
    most = max(counts, default=0) if LOSS in fold else sum(counts)
    return np.min_scalar_type(most) if most < 2**62 else object
