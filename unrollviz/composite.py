"""The sum over all paths between two nodes, as one Jacobian."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from unrollviz.arrays import Array, Shape, room
from unrollviz.jacobians import (
    CANCELLED,
    Asked,
    Dense,
    Diagonal,
    Identity,
    Jacobian,
    frobenius,
    least_slope,
    least_stretch,
    record,
)


def scaled(jacobian: Jacobian, factors: Array) -> Jacobian:
    """`jacobian` with every output by a factor of its own: 0 where it is not to depend on its input.

    `factors` has the shape of the output."""
    return Composite("y", "x", (("y", "scaled", Diagonal(factors)), ("scaled", "x", jacobian)))


def _scaled(matrix: Array, slope: Array) -> Array:
    """A matrix, or a diagonal, with its rows or columns multiplied by a slope."""
    if matrix.ndim == 1:
        return matrix * slope
    return np.asarray(np.multiply(matrix, slope, out=room(matrix.shape, most=len(matrix))))


def _sum_of(one: Array, other: Array) -> Array:
    """The sum of two matrices, either of which may be given by its diagonal."""
    if one.ndim == other.ndim:
        return one + other
    matrix, diagonal = (one, other) if one.ndim == 2 else (other, one)
    total = matrix.copy()
    total[np.diag_indices(len(total))] += diagonal
    return total


@record
class Composite(Jacobian):
    """The sum over all paths from `head` back to `tail`: a small sweep over the edges in between.

    `edges` are (head, tail, Jacobian) triples; all edges into a node stand before those that leave it.
    """

    head: str
    tail: str
    edges: tuple[tuple[str, str, Jacobian], ...]

    @property
    def out_shape(self) -> Shape:  # type: ignore[override]
        return self.edges[0][2].out_shape

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        return self.edges[-1][2].in_shape

    @property
    def per_instance(self) -> bool:  # type: ignore[override]
        return self.edges[-1][2].per_instance

    def least(self, asked: Asked) -> float:
        ends = Counter(tail for _, tail, _ in self.edges)
        at = {self.head: 1.0}
        for head, tail, jacobian in self.edges:  # what comes on several paths is as large as the largest, or cancels
            met = CANCELLED if ends[tail] > 1 else 1.0
            at[tail] = max(at.get(tail, 0.0), at[head] * jacobian.least(asked) * met)
        return at[self.tail]

    @property
    def is_chain(self) -> bool:
        """Whether there is one path only."""
        return all(one[1] == following[0] for one, following in pairwise(self.edges))

    def _pull(self, cotangents: Array, edges: Sequence[tuple[str, str, Jacobian]]) -> dict[str, Array]:
        at = {self.head: cotangents}
        for head, tail, jacobian in edges:
            pulled = jacobian.vjp(at[head])
            at[tail] = at[tail] + pulled if tail in at else pulled
        return at

    def vjp(self, cotangents: Array) -> Array:
        leaner = self.for_rows(len(cotangents))
        return self._pull(cotangents, self.edges)[self.tail] if leaner is self else leaner.vjp(cotangents)

    def vjp_into(self, cotangents: Array, out: Array) -> None:
        leaner = self.for_rows(len(cotangents))
        if leaner is not self:
            leaner.vjp_into(cotangents, out)
        elif self.is_chain:
            before = self._pull(cotangents, self.edges[:-1])
            self.edges[-1][2].vjp_into(before[self.edges[-1][0]], out)
        else:
            out[...] = self._pull(cotangents, self.edges)[self.tail]

    def for_rows(self, rows: int) -> Jacobian:
        """The whole as one matrix (units of y, units of x), for one instance, where that takes less than every row.

        With many rows, slopes are cheaper multiplied into a weight once than into every row, and the gates of an LSTM
        cheaper added up first than gone through one by one."""
        if rows <= self.in_shape[-1] or len(self.out_shape) != 2 or self.out_shape[0] != 1:
            return self
        at: dict[str, Array | None] = {self.head: None}  # None: the head itself
        for head, tail, jacobian in self.edges:
            left = at[head]
            if isinstance(jacobian, Diagonal):
                pulled = jacobian.slope[0] if left is None else _scaled(left, jacobian.slope[0])
            elif isinstance(jacobian, Dense) and (left is None or left.ndim == 1):
                pulled = jacobian.weight if left is None else _scaled(jacobian.weight, left[:, None])
            elif isinstance(jacobian, Sloped) and (left is None or left.ndim == 1):
                weight = jacobian.weight if left is None else _scaled(jacobian.weight, left[:, None])
                pulled = _scaled(weight, jacobian.slope[0])
            elif isinstance(jacobian, Identity):
                pulled = np.ones(1) if left is None else left
            else:
                return self
            before = at.get(tail)
            at[tail] = pulled if before is None else _sum_of(before, pulled)
        found = at[self.tail]
        return Dense(found, 1) if found is not None and found.ndim == 2 else self

    def jvp(self, tangents: Array) -> Array:
        at = {self.tail: tangents}
        for head, tail, jacobian in reversed(self.edges):
            pushed = jacobian.jvp(at[tail])
            at[head] = at[head] + pushed if head in at else pushed
        return at[self.head]

    @property
    def ends(self) -> int:
        return sum(tail == self.tail for _, tail, _ in self.edges)

    def norm(self) -> float:
        if self.per_instance or self.out_shape == ():
            return frobenius(self.matrix())
        before, last = self._around_last()
        if before is None or len(last) > 1:
            return last[0][2].norm() if len(last) == 1 else frobenius(self.matrix())
        spread = last[0][2].spread
        if spread is None:
            return last[0][2].norm_after(before.matrix())
        return frobenius(before.instance_norms() * spread)

    def scaled_norm(self, scale: Array) -> float:
        before, last = self._around_last()
        spread = last[0][2].spread
        if self.per_instance or before is None or spread is None or len(last) > 1:
            return self.norm_after(scale[:, :, None] * np.eye(scale.shape[1]))
        return frobenius(before.scaled_norms(scale) * spread)

    def _around_last(self) -> tuple[Jacobian | None, list[tuple[str, str, Jacobian]]]:
        """All before the last edge, None where there is nothing, and that edge; or several that end in the tail."""
        last = [edge for edge in self.edges if edge[1] == self.tail]
        before = tuple(edge for edge in self.edges if edge[1] != self.tail)
        return lean(Composite(self.head, last[0][0], before)).inner if before else None, last

    def norm_after(self, blocks: Array) -> float:
        before, last = self._around_last()
        if self.per_instance or self.out_shape == () or len(last) > 1:
            return frobenius(blocks @ self.matrix())
        # One last edge into a parameter, whose matrix would have an entry for each unit and weight: multiply by its
        # structured form instead.
        return last[0][2].norm_after(blocks @ before.matrix() if before else blocks)

    def row_norms(self, cotangents: Array, out: Array | None = None) -> Array:
        last = self.arrivals(cotangents)
        if len(last) == 1:
            rows, jacobian = last[0]
            return jacobian.row_norms(rows, out)
        return Jacobian.row_norms(self, cotangents, out)

    def arrivals(self, cotangents: Array) -> Sequence[tuple[Array, Jacobian]]:
        at = self._pull(cotangents, [edge for edge in self.edges if edge[1] != self.tail])
        return [(at[head], jacobian) for head, tail, jacobian in self.edges if tail == self.tail]


@record
class Sloped(Jacobian):
    """y = W f(x), f unit by unit, with respect to x: `weight` W (m, n), `slope` f'(x) (B, n), y (B, m).

    What `lean` makes of two edges that a sweep goes through at every step of an Elman network."""

    weight: Array
    slope: Array

    @property
    def out_shape(self) -> Shape:  # type: ignore[override]
        return (len(self.slope), self.weight.shape[0])

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        return self.slope.shape

    def least(self, asked: Asked) -> float:
        return asked(least_stretch, self.weight) * asked(least_slope, self.slope)

    def vjp(self, cotangents: Array) -> Array:
        if len(cotangents) == 1:
            pulled = cotangents[0].dot(self.weight)
            pulled *= self.slope
            return np.asarray(pulled[None])
        out = room((len(cotangents), *self.slope.shape))
        self.for_rows(len(cotangents)).vjp_into(cotangents, out)
        return out

    def vjp_into(self, cotangents: Array, out: Array) -> None:
        Dense(self.weight, len(self.slope)).vjp_into(cotangents, out)
        np.multiply(out, self.slope, out=out)

    def for_rows(self, rows: int) -> Jacobian:
        if rows <= len(self.weight) or len(self.slope) > 1:
            return self
        return Dense(_scaled(self.weight, self.slope[0]), 1)

    def jvp(self, tangents: Array) -> Array:
        return Dense(self.weight, len(self.slope)).jvp(tangents * self.slope)


def lean(jacobian: Jacobian, slope: Diagonal | None = None) -> Jacobian:
    """The same, x first multiplied by `slope`, with less to do: of a chain of edges the identities left out,
    neighbouring slopes multiplied, a weight and the slope behind it put together."""
    if isinstance(jacobian, Composite) and not jacobian.is_chain:
        if slope is None:
            return jacobian
        inside = f"{jacobian.tail}/sloped"
        edges = ((head, inside if tail == jacobian.tail else tail, step) for head, tail, step in jacobian.edges)
        return Composite(jacobian.head, jacobian.tail, (*edges, (inside, jacobian.tail, slope)))
    steps = [step for _, _, step in jacobian.edges] if isinstance(jacobian, Composite) else [jacobian]
    kept: list[Jacobian] = []
    for step in steps if slope is None else [*steps, slope]:
        if isinstance(step, Diagonal) and kept and isinstance(kept[-1], Diagonal):
            kept[-1] = Diagonal(kept[-1].slope * step.slope)
        elif isinstance(step, Diagonal) and kept and isinstance(kept[-1], Dense):
            kept[-1] = Sloped(kept[-1].weight, step.slope)
        elif isinstance(step, Diagonal) and kept and isinstance(kept[-1], Sloped):
            kept[-1] = Sloped(kept[-1].weight, kept[-1].slope * step.slope)
        elif not isinstance(step, Identity):
            kept.append(step)
    names = (jacobian.head, jacobian.tail) if isinstance(jacobian, Composite) else ("y", "x")
    return chained(names[0], kept or [steps[0]], names[1])


def chained(head: str, steps: Sequence[Jacobian], tail: str) -> Jacobian:
    """A chain of edges as one Jacobian."""
    if len(steps) == 1:
        return steps[0]
    names = [head, *(f"{head}/{index}" for index in range(1, len(steps))), tail]
    return Composite(head, tail, tuple(zip(names[:-1], names[1:], steps, strict=True)))


def common_slope(jacobians: Sequence[Jacobian]) -> Diagonal | None:
    """The slope by which all of several chains of edges begin, if they do."""
    firsts = [one.edges[0][2] for one in jacobians if isinstance(one, Composite) and one.is_chain]
    if not firsts or len(firsts) < len(jacobians) or not isinstance(firsts[0], Diagonal):
        return None
    return firsts[0] if all(first is firsts[0] for first in firsts) else None


def behind_first(chain: Jacobian) -> Jacobian:
    """All but the first edge of a chain."""
    assert isinstance(chain, Composite)
    return chained(chain.edges[1][0], [step for _, _, step in chain.edges[1:]], chain.tail)
