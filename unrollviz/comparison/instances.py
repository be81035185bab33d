"""What each instance of a batch has to do with the shares of a gradient's rows, from two sweeps for all instances."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from unrollviz.arrays import Array, Labels, arithmetic
from unrollviz.errors import UnrollvizError
from unrollviz.gradient import total_of
from unrollviz.sweep import TOTAL, Arrival, sweep
from unrollviz.terms import TermSum
from unrollviz.way import Way

Arrivals = Callable[[], Iterable[tuple[Arrival, Labels | slice]]]
"""Every arrival of a fold, with the rows that its stack is added to."""

NUMBERS = 2**25
"""Numbers that the terms of all rows, or what instances have to do with them, may take."""

_BLOCK = 2**22


def pseudo_values(way: Way, losses: Sequence[str], target: str, size: int, arrivals: Arrivals) -> Array:
    """(size, B) a share of every row for every instance; over the instances, their mean is the row's share exactly.

    A share is R = <T, G> / <G, G>, T and G being means over instances of T_i and G_i. To first order, instance i moves
    it by d_i = (<T_i, G> + <T, G_i> - 2R <G_i, G>) / <G, G>, the influence function; its pseudo-value is R + d_i, and
    their spread gives R's standard error (the delta method: Efron & Tibshirani 1993, An Introduction to the Bootstrap,
    sections 21.3 and 22.4). An instance's own share <T_i, G_i> / <G_i, G_i> would not do: where G_i all but cancels, it
    is arbitrarily large.

    Raises UnrollvizError where G = 0, where paths enter the target right from a loss, which holds all instances
    together, and where terms would take too much memory."""
    heads = {edge.head for edge, _ in way.entries()}
    if any(way.graph.nodes[head]["role"] == "loss" for head in heads):
        raise UnrollvizError(f"{target} is entered right from the losses, which hold all instances together")
    gradient = total_of(way, losses, target)
    norm = gradient.size
    if norm == 0:
        raise UnrollvizError("the gradient is 0, so that shares are undefined")
    shapes = [way.graph.nodes[head]["value"].shape for head in heads]
    instances = shapes[0][0]
    if size * max(gradient.numbers.size, instances) > NUMBERS:
        raise UnrollvizError(f"{size:,} rows are too many to test; take lag, loss or entry, or one loss at a time")
    own, sums = np.zeros((size, instances)), TermSum(size, gradient.numbers.shape)
    others, whole = np.zeros((size, instances)), np.zeros(instances)
    with arithmetic():
        for arrival, rows in arrivals():
            pushed = arrival.edge.jacobian.jvp(gradient.direction[None])[0]  # ∂head/∂target G: (B, units)
            dots = np.vecdot(arrival.rows, pushed)
            own[rows] += gradient.measured(dots, arrival.exponents)
            sums.add(np.arange(size)[rows], arrival.rows, arrival.edge.jacobian, arrival.exponents)
        terms = gradient.measured(*sums.scaled()) / norm
        at_once = max(1, _BLOCK // max(gradient.numbers.size, *(math.prod(shape) for shape in shapes)))
        for arrival in sweep(way, losses, [target], (TOTAL,)):
            cotangent = gradient.measured(arrival.rows, arrival.exponents).sum(axis=0)
            jacobian = arrival.edge.jacobian
            whole += np.vecdot(jacobian.jvp(gradient.direction[None])[0], cotangent)
            for start in range(0, size, at_once):
                block = slice(start, start + at_once)
                others[block] += np.vecdot(jacobian.jvp(terms[block]), cotangent)
    own, others, whole = own / norm, others / norm, whole / norm
    shares = own.sum(axis=1, keepdims=True)
    return np.asarray(shares + instances * (own + others - 2 * shares * whole))
