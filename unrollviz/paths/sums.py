"""Sums over all partial paths to every neuron, carried through an edge: (+, ×) with derivatives, of any size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unrollviz.arrays import Array
from unrollviz.paths.neurons import Indices, Local
from unrollviz.stacks import Exponents

NOTHING = -(2**40)
"""Power of a sum to which nothing was added: below any other."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over the partial paths to the units of a node: `numbers` · 2^`powers`.

    numbers: (B, units), the largest of an instance from 0.5 to 1;  powers: (B, 1), for over thousands of steps one
    instance's sums may grow, and another's vanish, beyond what float64 holds.
    """

    numbers: Array
    powers: Exponents

    @classmethod
    def of(cls, numbers: Array, powers: Exponents) -> Sums:
        """numbers · 2^powers, each instance in units of its own."""
        largest = np.abs(numbers).max(axis=1, keepdims=True, initial=0.0)
        shifts = np.frexp(largest)[1].astype(np.int64)
        return cls(np.ldexp(numbers, -shifts), np.where(largest > 0, powers + shifts, NOTHING))

    @classmethod
    def start(cls) -> Sums:
        """1, at a loss."""
        return cls.of(np.ones((1, 1)), np.zeros((1, 1), dtype=np.int64))

    def through(self, local: Local, sizes: bool) -> Sums:
        """Those to the entries behind an edge; by the `sizes` of its derivatives, or with their signs."""
        values = np.abs(local.values) if sizes else local.values
        if local.sources is not None:
            return Sums.of(self.numbers[:, local.sources] * values, self.powers)
        return Sums.of((values @ self.numbers[:, :, None])[:, :, 0], self.powers)

    def __add__(self, other: Sums) -> Sums:
        powers = np.maximum(self.powers, other.powers)
        one, two = (np.ldexp(sums.numbers, sums.powers - powers) for sums in (self, other))
        return Sums.of(one + two, powers)

    def in_one_unit(self) -> tuple[Array, int]:
        """All in units of the largest: numbers, and the power of two that they are still times."""
        power = int(self.powers.max()) if self.numbers.any() else 0
        return np.ldexp(self.numbers, self.powers - power), power

    def over_instances(self) -> Sums:
        """(1, units) their sum."""
        numbers, power = self.in_one_unit()
        return Sums.of(numbers.sum(axis=0, keepdims=True), np.array([[power]]))

    def where(self, wanted: Indices) -> Sums:
        """0 where not `wanted`."""
        return Sums.of(np.where(wanted, self.numbers, 0.0), self.powers)
