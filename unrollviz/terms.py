"""Sums of terms, label by label, formed from their factors; and how much memory terms may take."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np

from unrollviz.allowance import memory_allowed
from unrollviz.arrays import Array, Labels, Shape
from unrollviz.errors import UnrollvizError
from unrollviz.jacobians import Jacobian, Outer, norms, quiet_norms
from unrollviz.stacks import Exponents, times_power

MEMORY_LIMIT = 2**30
"""Bytes that terms may take at once: past it, sums are formed in several sweeps and whole stacks refused."""

_LOWEST = -(2**40)
"""Exponent of a sum to which nothing has been added."""


def check_memory(terms: int, shape: Shape, what: str = "terms") -> None:
    """Raise UnrollvizError where so many `terms` of `shape` would take more than MEMORY_LIMIT bytes."""
    needed, limit = terms * int(np.prod(shape)) * 8, memory_allowed(MEMORY_LIMIT)
    if needed > limit:
        raise UnrollvizError(
            f"{terms:,} {what} of shape {shape} take {needed / 2**30:,.1f} GiB, the limit is "
            f"{limit / 2**30:g} GiB; ask for norms and shares, or for fewer rows"
        )


def dots_with(rows: Array, jacobian: Jacobian, direction: Array, out: Array | None = None) -> Array:
    """<term, direction> of every row, (R,): as <rows, ∂y/∂x direction>, so that no term is built; written to `out`."""
    pushed = jacobian.jvp(direction[None])[0]
    return np.matmul(rows.reshape(len(rows), -1), pushed.ravel(), out=out)


class Measures:
    """Norms of terms, and their products with a direction, for the arrivals at a target in order.

    An outer product of one instance has the norm ‖ȳ‖ ‖x‖, and <ȳ ⊗ x, D> = ȳ · D x: x's part is worked out for some
    arrivals to come together, by one product of matrices."""

    AHEAD = 64

    def __init__(self, lasts: Iterable[Jacobian], direction: Array) -> None:
        """`lasts`: the last Jacobians of paths, in the order in which they will be asked for; some may be left out."""
        self._direction = direction
        self._lasts = iter(lasts)
        self._prepared: list[tuple[Jacobian, float, Array | None]] = []  # the next one last

    def write(self, rows: Array, last: Jacobian, norms_out: Array, dots_out: Array) -> None:
        """‖term‖ and <term, direction> of every row, (R,) each, `last.vjp(rows)` being the terms.

        To be called within `arithmetic()`."""
        jacobian, length, pushed = self._prepared.pop() if self._prepared else self._prepare()
        while jacobian is not last:
            jacobian, length, pushed = self._prepared.pop() if self._prepared else self._prepare()
        if pushed is None:
            last.row_norms(rows, norms_out)
            dots_with(rows, last, self._direction, dots_out)
        else:
            flat = rows.reshape(len(rows), -1)
            quiet_norms(flat, norms_out)
            np.multiply(norms_out, length, out=norms_out)
            np.matmul(flat, pushed, out=dots_out)

    def _prepare(self) -> tuple[Jacobian, float, Array | None]:
        """The next of them; where it is such an outer product with ‖x‖ and D x."""
        some = list(islice(self._lasts, self.AHEAD))
        outer = [last.x for last in some if isinstance(last, Outer) and len(last.x) == 1]
        if len(outer) == len(some):
            xs = np.concatenate(outer)
            self._prepared = list(zip(some, norms(xs).tolist(), xs @ self._direction.T, strict=True))
        else:
            self._prepared = [(last, 0.0, None) for last in some]
        self._prepared.reverse()
        return self._prepared.pop()


def at_once(shape: Shape) -> int:
    """How many terms of `shape` fit into MEMORY_LIMIT; at least one."""
    return max(1, MEMORY_LIMIT // (8 * max(1, int(np.prod(shape)))))


class TermSum:
    """Sums of terms, label by label: (labels, *shape). Outer products are gathered and multiplied together.

    A sum is kept as numbers times a power of two of its own, so that terms below 1e-308 add up to what they are."""

    GATHERED = 64
    GATHERED_BYTES = 2**26

    def __init__(self, labels: int, shape: Shape) -> None:
        self._total = np.zeros((labels, *shape))
        self._exponents: Exponents | None = None
        self._outer: list[tuple[Labels, Array, Array, Exponents | None]] = []
        self._bytes = 0

    def add(self, place: Labels, rows: Array, jacobian: Jacobian, exponents: Exponents | None = None) -> None:
        """Add `jacobian.vjp(rows · 2^exponents)` to the labels at `place` (R,), all different."""
        scaled = exponents is not None or self._exponents is not None
        for before, last in jacobian.arrivals(rows):
            if scaled and isinstance(last, Outer) and not last.x.any():
                continue  # terms of 0 have no power of their own
            these, powers = self._at_common_power(place, before, exponents) if scaled else (before, exponents)
            if isinstance(last, Outer):
                self._outer.append((place, these, last.x, powers))
                self._bytes += these.nbytes
                if len(self._outer) == self.GATHERED or self._bytes > self.GATHERED_BYTES:
                    self._multiply()
            else:
                self._total[place] += last.vjp(these)

    def _at_common_power(self, place: Labels, rows: Array, exponents: Exponents | None) -> tuple[Array, Exponents]:
        """`rows` in the units of their sums, whose power of two grows where a row's is larger; and these powers."""
        if self._exponents is None:
            self._multiply()
            begun = self._total.reshape(len(self._total), -1).any(axis=1)
            self._exponents = np.where(begun, 0, _LOWEST)
        exponents = np.zeros(len(place), dtype=np.int64) if exponents is None else exponents
        before = self._exponents[place]
        exponents = np.where(rows.reshape(len(rows), -1).any(axis=1), exponents, _LOWEST)
        common = np.maximum(before, exponents)
        grown = common > before
        self._total[place[grown]] = times_power(self._total[place[grown]], _apart(before, common)[grown])
        self._exponents[place] = common
        return times_power(rows, _apart(exponents, common)), common

    def _multiply(self) -> None:
        """Σ_i rows_i ⊗ x_i as one matrix product over all gathered (i, instance)."""
        if not self._outer:
            return
        first, last = self._reached()
        if last - first == 1:  # one sum, so that nothing need be rearranged
            scaled = (times_power(rows, self._below(place, exponents)) for place, rows, _, exponents in self._outer)
            left = np.concatenate([rows[0] for rows in scaled])
            self._total[first] += left.T @ np.concatenate([x for _, _, x, _ in self._outer])
            self._outer.clear()
            self._bytes = 0
            return
        stacked = np.zeros((len(self._outer), last - first, *self._outer[0][1].shape[1:]))
        for index, (place, rows, _, exponents) in enumerate(self._outer):
            stacked[index, place - first] = times_power(rows, self._below(place, exponents))
        xs = np.stack([x for _, _, x, _ in self._outer])
        self._total[first:last] += np.tensordot(stacked, xs, axes=([0, 2], [0, 1]))
        self._outer.clear()
        self._bytes = 0

    def _reached(self) -> tuple[int, int]:
        """The first of the labels that something gathered is for, and the one behind the last."""
        if len(self._total) == 1:
            return 0, 1
        places = [place for place, _, _, _ in self._outer]
        return min(int(place.min()) for place in places), max(int(place.max()) for place in places) + 1

    def _below(self, place: Labels, exponents: Exponents | None) -> Exponents | None:
        """How far powers of two lie below those of the sums at `place`."""
        return None if exponents is None or self._exponents is None else exponents - self._exponents[place]

    def result(self) -> Array:
        """The sums; the collector is not to be used after this."""
        return times_power(*self.scaled())

    def scaled(self) -> tuple[Array, Exponents | None]:
        """The sums, each times a power of two: (labels, *shape) and its exponents."""
        self._multiply()
        return self._total, self._exponents

    def norms(self) -> tuple[Array, Exponents | None]:
        """Norms of the sums, each times a power of two: (labels,) and its exponents."""
        total, exponents = self.scaled()
        return norms(total.reshape(len(total), -1)), exponents


def _apart(exponents: Exponents, common: Exponents) -> Exponents:
    """How far powers of two lie below their common one, as far as float64 can tell."""
    return np.asarray(np.maximum(exponents - common, -5000))
