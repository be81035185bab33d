"""Whether two groups of instances differ by more than chance, row by row: permutation tests of many rows at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from unrollviz.arrays import Array

EXACT = 8192
"""Permutations up to which all are tried; of more, so many are drawn (always the same ones)."""

_BLOCK = 512
_NOISE = 1e-10
"""Differences of figures about 1 in size below which there is rounding and nothing else."""


@dataclass(frozen=True, eq=False)
class Significance:
    """What chance would make of a difference of means.

    Attributes:
        paired: the same instances on both sides.
        instances: how many on each.
        errors: (rows,) standard error of the difference.
        p: (rows,) probability that, were there no difference, any row would differ by as many standard errors.
        least: the smallest p that so few instances can give.
    """

    paired: bool
    instances: tuple[int, int]
    errors: Array
    p: Array
    least: float


def by_permutation(a: Array, b: Array, paired: bool) -> Significance:
    """Whether the row means of `b` (rows, B) differ from those of `a` (rows, A).

    Paired, A = B: standard error sd(b - a)/√B; a pair's difference could as well have had the other sign (Fisher 1935,
    The Design of Experiments, section 21). Else: Welch's standard error (1947); an instance could as well have been in
    the other group (Pitman 1937). p is that of the largest |difference / standard error| over all rows (Westfall &
    Young 1993, section 2.6: max T), so that among a hundred rows none is found by chance more often than in one.

    Needs two instances a side."""
    sizes = (a.shape[1], b.shape[1])
    a, b = a - a[:, :1], b - a[:, :1]
    if paired:
        differences = np.where(_is_noise(b - a)[:, None], 0.0, b - a)
        errors = differences.std(axis=1, ddof=1) / math.sqrt(sizes[0])
        weights, total = _signs(sizes[0])
        statistic = _flipped(differences)
    else:
        still = _is_noise(np.concatenate([a, b], axis=1))[:, None]
        a, b = np.where(still, 0.0, a), np.where(still, 0.0, b)
        errors = np.sqrt(a.var(axis=1, ddof=1) / sizes[0] + b.var(axis=1, ddof=1) / sizes[1])
        weights, total = _groups(*sizes)
        statistic = _regrouped(np.concatenate([a, b], axis=1), sizes)
    found = statistic(next(weights))[0]  # the first permutation is things as they are
    exceeded, tried = np.ones(len(a)), 1
    for block in weights:
        largest = statistic(block).max(axis=1, initial=0.0)
        exceeded += (largest[:, None] >= found * (1 - 1e-9)).sum(axis=0)
        tried += len(block)
    twins = 2 if total and (paired or sizes[0] == sizes[1]) else 1  # all the other way round is as extreme
    return Significance(paired, sizes, errors, exceeded / tried, twins / tried)


def _is_noise(values: Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(rows,) where all values are 0 but for rounding."""
    return np.asarray(np.abs(values).max(axis=1) <= _NOISE)


def _signs(size: int) -> tuple[Iterator[Array], bool]:
    """Blocks (P, size) of signs, the first one all + and alone; and whether they are all there are."""

    def all_of_them() -> Iterator[Array]:
        for start in range(1, 2**size, _BLOCK):
            numbers = np.arange(start, min(start + _BLOCK, 2**size))
            yield np.asarray(1.0 - 2.0 * ((numbers[:, None] >> np.arange(size)) & 1), dtype=np.float64)

    def drawn() -> Iterator[Array]:
        rng = np.random.default_rng(0)
        for _ in range(EXACT // _BLOCK):
            yield np.asarray(2.0 * rng.integers(0, 2, (_BLOCK, size)) - 1.0, dtype=np.float64)

    exact = 2**size <= EXACT
    return _led_by(np.ones((1, size)), all_of_them() if exact else drawn()), exact


def _groups(first: int, second: int) -> tuple[Iterator[Array], bool]:
    """The same of group memberships: 1 for the second group, 0 for the first."""
    whole = first + second
    as_is = np.arange(whole) >= first

    def all_of_them() -> Iterator[Array]:
        chosen = np.array(list(combinations(range(whole), second)))
        marks = np.zeros((len(chosen), whole))
        np.put_along_axis(marks, chosen, 1.0, axis=1)
        yield marks[(marks != as_is).any(axis=1)]

    def drawn() -> Iterator[Array]:
        rng = np.random.default_rng(0)
        for _ in range(EXACT // _BLOCK):
            yield rng.permuted(np.tile(as_is.astype(np.float64), (_BLOCK, 1)), axis=1)

    exact = math.comb(whole, second) <= EXACT
    return _led_by(as_is[None].astype(np.float64), all_of_them() if exact else drawn()), exact


def _led_by(first: Array, others: Iterator[Array]) -> Iterator[Array]:
    yield first
    yield from others


def _flipped(differences: Array) -> Callable[[Array], Array]:
    """Signs (P, B) -> |t| (P, rows) of the differences (rows, B)."""
    size = differences.shape[1]
    squares = (differences**2).mean(axis=1)

    def statistic(signs: Array) -> Array:
        means = signs @ differences.T / size
        return _ratio(means, (squares - means**2) / (size - 1), squares)

    return statistic


def _regrouped(values: Array, sizes: tuple[int, int]) -> Callable[[Array], Array]:
    """Memberships (P, A + B) -> |t| (P, rows) of the values (rows, A + B)."""
    centred = values - values.mean(axis=1, keepdims=True)
    squares = centred**2

    def statistic(second: Array) -> Array:
        means, spreads = [], []
        for marks, size in ((1.0 - second, sizes[0]), (second, sizes[1])):
            means.append(marks @ centred.T / size)
            spreads.append((marks @ squares.T / size - means[-1] ** 2) / (size - 1))
        return _ratio(means[1] - means[0], spreads[0] + spreads[1], squares.mean(axis=1))

    return statistic


def _ratio(difference: Array, variance: Array, scale: Array) -> Array:
    """|difference| / √variance, a variance of 0 being taken for rounding."""
    floor = np.where(scale > 0, 1e-24 * scale, 1.0)
    return np.asarray(np.abs(difference) / np.sqrt(np.maximum(variance, floor)))
