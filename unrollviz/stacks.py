"""Stacks of rows with labels: brought together where paths meet, numbered, and scaled so that no row underflows.

A row stands for the partial paths with its label. Its numbers are `rows` · 2^`exponents`; where `exponents` is
None, they are `rows`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from unrollviz.arrays import Array, Labels, room
from unrollviz.labels import as_slice, unique_rows

Exponents = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stack:
    """R rows. labels: (R, columns), sorted unless no two are ever equal; rows: (R, *shape); exponents: (R,) or None.

    counts: (R,) numbers of paths, or None where nobody asks for them; own: nobody else holds the rows, so that they may
    be changed where they lie."""

    labels: Labels
    rows: Labels
    exponents: Exponents | None = None
    counts: Labels | None = None
    own: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def those(self, keep: Any) -> Stack:
        """The rows at a mask, a slice or indices."""
        exponents = None if self.exponents is None else self.exponents[keep]
        return Stack(self.labels[keep], self.rows[keep], exponents, None if self.counts is None else self.counts[keep])


def is_new(rows: Labels, before: Labels) -> bool:
    """Whether rows that came out of an edge have their own memory, and not that of the rows `before` it."""
    return rows is not before and rows.base is not before and (rows.base is None or rows.base is not before.base)


def times_power(values: Labels, exponents: Exponents | None) -> Labels:
    """values · 2^exponents, an exponent a row: (R, …). What is below 1e-308 then rounds to 0."""
    if exponents is None:
        return values
    # Once would not do: beside 1e-340 there may be rows whose factor alone has no float64.
    return np.ldexp(values, exponents.reshape(-1, *[1] * (values.ndim - 1)))


def both(one: Exponents | None, other: Exponents | None) -> Exponents | None:
    """The exponents of a product: (R,), or one for all."""
    if one is None or other is None:
        return other if one is None else one
    return one + other


def weights(mantissas: Array, exponents: Exponents | None) -> tuple[Array, Array]:
    """Norms given as mantissas · 2^exponents, and their decimal logarithms, which are finite where a norm is too small
    for a float64: (R,) each; -inf of 0."""
    with np.errstate(divide="ignore"):
        logs = np.log10(mantissas)
    return times_power(mantissas, exponents), logs if exponents is None else logs + exponents * math.log10(2.0)


def scale_by_strides(figures: Array, exponents: Exponents, power: int, norms: Array, out: Array) -> None:
    """figures · 2^(exponents + power), (…, R), written to `out`; `norms`, (…, R), are no much smaller.

    Takes less time than `times_power` where the power is 0 and the exponents, (R,), are what `rescaled` gives."""
    strides = -exponents >> _SHIFT
    small = strides.min(initial=0) >= 0 and (strides.max(initial=0) < _LOST or norms.max(initial=0.0) < _LARGE)
    if power == 0 and small:
        np.multiply(figures, _FACTORS.take(strides, mode="clip"), out=out)
    else:
        np.ldexp(figures, exponents + power, out=out)


STRIDE = 256
"""Powers of two are multiples of this, so that rows of much the same size have the same one."""

_SHIFT = STRIDE.bit_length() - 1
_LOST = 5
_FACTORS = np.array([*(2.0 ** (-STRIDE * stride) for stride in range(_LOST)), 0.0])
"""2^(-STRIDE · stride), and the 0 that _LOST strides and more make of what is less than _LARGE."""
_LARGE = 2.0 ** (STRIDE - 60)

TINY = 2.0**-STRIDE
"""Norm of a row below which it is scaled up."""


def rescaled(stack: Stack) -> Stack:
    """The same numbers, rows that have become small scaled up by powers of two, which changes no digit.

    Numbers below 1e-308 lose digits and take several times as long to multiply, and those below 5e-324 are 0; so a
    sweep calls this every few steps."""
    small = small_rows(stack.rows)
    if len(small) == 0:
        return stack
    rows = stack.rows if stack.own else copied(stack.rows)
    exponents = _exponents(stack).copy()
    exponents[small] += scale_up(rows, small)
    return Stack(stack.labels, rows, exponents, stack.counts, own=True)


def small_rows(rows: Labels) -> Labels:
    """Which rows have become small."""
    flat = rows.reshape(len(rows), -1)
    squares = np.vecdot(flat, flat)
    if len(squares) == 0 or squares[squares.argmin()] >= TINY**2:  # where there is a NaN, it is the least
        return _NONE
    return np.flatnonzero(squares < TINY**2)


_NONE = np.empty(0, dtype=np.int64)


def scale_up(rows: Labels, small: Labels) -> Exponents:
    """Scale some rows up where they lie, and return the powers of two by which they have to be multiplied for it."""
    them = rows[small]
    _, powers = np.frexp(np.abs(them.reshape(len(small), -1)).max(axis=1, initial=0.0))
    powers = -(-powers.astype(np.int64) >> _SHIFT << _SHIFT)  # the next multiple of STRIDE upwards
    half = np.ldexp(1.0, -powers // 2).reshape(-1, *[1] * (rows.ndim - 1))  # the whole may have no float64
    them *= half
    them *= half
    rows[small] = them
    return np.asarray(powers)


def copied(rows: Labels) -> Labels:
    """The same rows in memory of their own."""
    mine = room(rows.shape, rows.dtype)
    mine[...] = rows
    return mine


def _exponents(stack: Stack) -> Exponents:
    return np.zeros(len(stack), dtype=np.int64) if stack.exponents is None else stack.exponents


def merge(parts: Sequence[Stack], distinct: bool = False) -> Stack:
    """The stacks that meet at a node as one, rows with equal labels added. Labels come out sorted unless `distinct`,
    which says that no two are equal. Labels must be sorted, and different, within each part."""
    if len(parts) == 1:
        return parts[0]
    if distinct:
        return _joined(parts)
    apart: list[Stack] = []
    for part in sorted(parts, key=len, reverse=True):
        inside = ((i, _within(part.labels, other.labels)) for i, other in enumerate(apart))
        index, place = next((found for found in inside if found[1] is not None), (0, None))
        if place is None:
            apart.append(part)
        else:
            apart[index] = _added(apart[index], part, place)
    if len(apart) == 1:
        return apart[0]
    apart.sort(key=lambda part: part.labels[0].tolist())
    ends = [(part.labels[0].tolist(), part.labels[-1].tolist()) for part in apart]
    if all(before[1] < after[0] for before, after in pairwise(ends)):
        return _joined(apart)
    union, place_of = unique_rows(np.concatenate([part.labels for part in apart]))
    return _overlapping(apart, union, np.split(place_of, np.cumsum([len(part) for part in apart])[:-1]))


def _within(some: Labels, others: Labels) -> slice | None:
    """Where the labels `some` are the first or the last of `others`, which are not fewer: paths of older losses join
    those of newer ones. None elsewhere."""
    if some is others:
        return slice(0, len(others))
    first, size = some[0].tolist(), len(some)
    for start in {len(others) - size, 0}:
        if others[start].tolist() == first and np.array_equal(others[start : start + size], some):
            return slice(start, start + size)
    return None


def _added(one: Stack, other: Stack, place: slice) -> Stack:
    """The sum of two stacks, the labels of the second being those of the first at `place`."""
    rows = one.rows if one.own else copied(one.rows)
    exponents = add_in_place(rows, one.exponents, place, other.rows, other.exponents)
    counts = one.counts
    if counts is not None:
        counts = counts.copy()
        counts[place] += other.counts
    return Stack(one.labels, rows, exponents, counts, own=True)


def add_in_place(
    rows: Labels, exponents: Exponents | None, place: slice, others: Labels, powers: Exponents | None
) -> Exponents | None:
    """Add `others` · 2^`powers` to `rows` · 2^`exponents` at `place`, and return the exponents of the sums."""
    if exponents is powers is None:
        np.add(rows[place], others, out=rows[place])
        return None
    mine = np.zeros(len(rows), dtype=np.int64) if exponents is None else exponents
    theirs = np.zeros(len(others), dtype=np.int64) if powers is None else powers
    if not np.array_equal(mine[place], theirs):
        # A row of zeros has no power of its own.
        before = np.where(rows[place].reshape(len(others), -1).any(axis=1), mine[place], _LOWEST)
        added = np.where(others.reshape(len(others), -1).any(axis=1), theirs, _LOWEST)
        common = np.maximum(before, added)
        rows[place] *= _factors(np.where(before == _LOWEST, 0, before - common), rows.ndim)
        others = others * _factors(np.where(added == _LOWEST, 0, added - common), rows.ndim)
        mine = mine.copy()
        mine[place] = np.where(common == _LOWEST, 0, common)
    rows[place] += others
    return mine


def _overlapping(parts: Sequence[Stack], union: Labels, where: Sequence[Labels]) -> Stack:
    """The sum of stacks whose rows have their places among the labels `union`."""
    common, shifts = _common_powers(parts, where, len(union))
    first = max(parts, key=len)
    rows = room((len(union), *first.rows.shape[1:]), first.rows.dtype)
    rows[...] = 0
    counts = None if first.counts is None else np.zeros(len(union), dtype=first.counts.dtype)
    for part, place, shift in zip(parts, where, shifts, strict=True):
        at = as_slice(place)
        rows[at] += part.rows if shift is None else part.rows * _factors(shift, part.rows.ndim)
        if counts is not None:
            counts[at] += part.counts
    return Stack(union, rows, common, counts, own=True)


def _common_powers(
    parts: Sequence[Stack], where: Sequence[Labels], size: int
) -> tuple[Exponents | None, list[Exponents | None]]:
    """For every place the largest exponent of the rows that come there, and how far each row's lies below it."""
    if all(part.exponents is None for part in parts):
        return None, [None] * len(parts)
    common = np.full(size, _LOWEST)
    own = []
    for part, place in zip(parts, where, strict=True):
        zero = ~part.rows.reshape(len(part), -1).any(axis=1)  # a row of zeros has no power of its own
        own.append(np.where(zero, _LOWEST, _exponents(part)))
        common[place] = np.maximum(common[place], own[-1])
    shifts = [np.where(e == _LOWEST, 0, e - common[place]) for e, place in zip(own, where, strict=True)]
    return np.where(common == _LOWEST, 0, common), [shift if shift.any() else None for shift in shifts]


_LOWEST = -(2**40)
"""Exponent of a row of zeros."""


def _factors(shift: Exponents, ndim: int) -> Array:
    """2^shift for every row, shift ≤ 0: what is 0 then is less than the last digit of what it is added to."""
    return np.asarray(np.ldexp(1.0, np.maximum(shift, -2000))).reshape(-1, *[1] * (ndim - 1))


def _joined(parts: Sequence[Stack]) -> Stack:
    """The stacks one after the other."""
    labels = np.concatenate([part.labels for part in parts])
    exponents = counts = None
    if any(part.exponents is not None for part in parts):
        exponents = np.concatenate([_exponents(part) for part in parts])
    if parts[0].counts is not None:
        counts = np.concatenate([part.counts for part in parts if part.counts is not None])
    rows = [part.rows for part in parts]
    joined = np.concatenate(rows, out=room((len(labels), *rows[0].shape[1:]), rows[0].dtype))
    return Stack(labels, joined, exponents, counts, own=True)


def consolidated(stack: Stack) -> Stack:
    """Labels sorted and all different, rows with equal ones added."""
    union, place = unique_rows(stack.labels)
    if len(union) == len(stack):
        return stack if np.array_equal(place, np.arange(len(place))) else stack.those(np.argsort(place))
    common, rows = None, stack.rows
    if stack.exponents is not None:
        zero = ~rows.reshape(len(rows), -1).any(axis=1)
        common = np.full(len(union), _LOWEST)
        np.maximum.at(common, place, np.where(zero, _LOWEST, stack.exponents))
        rows = rows * _factors(np.where(zero, 0, stack.exponents - common[place]), rows.ndim)
        common = np.where(common == _LOWEST, 0, common)
    merged = np.zeros((len(union), *rows.shape[1:]), dtype=rows.dtype)
    np.add.at(merged, place, rows)
    counts = None
    if stack.counts is not None:
        counts = np.zeros(len(union), dtype=stack.counts.dtype)
        np.add.at(counts, place, stack.counts)
    return Stack(union, merged, common, counts)
