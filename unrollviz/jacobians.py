"""The few kinds of local Jacobian ∂y/∂x that edges carry: vjp, jvp, norm and, on request, the matrix.

Shapes. A node that exists once per instance has values (B, m), B instances of m units; a parameter has
its own shape; a loss is a scalar, shape (). Cotangents and tangents come in stacks of R rows: (R, B, m).
No kind ever loops over rows, instances or units, and none builds its matrix unless `matrix` is called.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar, dataclass_transform

import numpy as np

from unrollviz.arrays import Array, Shape, arithmetic, room
from unrollviz.products import product

T = TypeVar("T")
Asked: TypeAlias = Callable[[Callable[[Array], float], Array], float]
"""(what one wants to know of an array, the array) -> that, found out once where many edges hold the same array."""


@dataclass_transform(frozen_default=True)
def record(kind: type[T]) -> type[T]:
    """A dataclass whose fields nobody sets again. It is mypy that sees to it: a long run makes 100,000 of them
    and more, and to make one that is frozen takes twice as long."""
    return dataclass(slots=True)(kind)


class Jacobian(ABC):
    """∂y/∂x of one edge x -> y. `out_shape` is y's shape, `in_shape` x's."""

    __slots__ = ()

    out_shape: Shape
    in_shape: Shape
    per_instance: bool = True
    """False where x is a parameter, shared by all instances, so that a vjp sums over them."""

    @abstractmethod
    def vjp(self, cotangents: Array) -> Array:
        """ȳ ∂y/∂x for every row: (R, *out_shape) -> (R, *in_shape)."""

    def vjp_into(self, cotangents: Array, out: Array) -> None:
        """The same, written to `out`."""
        out[...] = self.vjp(cotangents)

    def for_rows(self, rows: int) -> Jacobian:
        """The same with less to do for so many rows."""
        return self

    @abstractmethod
    def jvp(self, tangents: Array) -> Array:
        """∂y/∂x ẋ for every row: (R, *in_shape) -> (R, *out_shape)."""

    def matrix(self) -> Array:
        """The explicit Jacobian, one block an instance: (B, units of y, units or entries of x)."""
        if self.out_shape == ():
            row = self.vjp(np.ones(1))
            return row.reshape(-1, 1, self.in_shape[-1]) if self.per_instance else row.reshape(1, 1, -1)
        entries = self.in_shape[-1] if self.per_instance else math.prod(self.in_shape)
        basis = np.eye(entries)
        if self.per_instance:
            basis = np.broadcast_to(basis[:, None, :], (entries, *self.in_shape))
        return self.jvp(basis.reshape(entries, *self.in_shape)).transpose(1, 2, 0)

    def norm(self) -> float:
        """Frobenius norm over all instances."""
        return frobenius(self.matrix())

    def instance_norms(self) -> Array:
        """Frobenius norm of each instance's block: (B,)"""
        blocks = self.matrix()
        return norms(blocks.reshape(len(blocks), -1))

    def norm_after(self, blocks: Array) -> float:
        """Frobenius norm of M ∂y/∂x for a matrix M given as blocks (B, rows, units of y)."""
        return frobenius(blocks @ self.matrix())

    def scaled_norms(self, scale: Array) -> Array:
        """The norm of each instance's block, its rows multiplied by `scale`, (B, units of y): (B,)"""
        blocks = self.matrix() * scale[:, :, None]
        return norms(blocks.reshape(len(blocks), -1))

    def scaled_norm(self, scale: Array) -> float:
        """The same over all instances."""
        spread = self.spread
        return frobenius(self.scaled_norms(scale) if spread is None else norms(scale) * spread)

    def least(self, asked: Asked) -> float:
        """The smallest factor by which a row that does not become 0 can be expected to shrink; 1 where it does not."""
        return 1.0

    @property
    def inner(self) -> Jacobian:
        """What `vjp` and `jvp` apply; `matrix` and norms may show it in other coordinates."""
        return self

    @property
    def spread(self) -> Array | None:
        """(B,) such that ‖M ∂y/∂x‖ is the norm of ‖M_b‖ · spread_b over the instances b, for any M; None where it
        takes more than the norms of M."""
        return None

    def row_norms(self, cotangents: Array, out: Array | None = None) -> Array:
        """Norm of each row of `vjp(cotangents)`: (R, *out_shape) -> (R,), written to `out`."""
        return norms(self.vjp(cotangents).reshape(len(cotangents), -1), out)

    def textbook(self, cotangents: Array) -> Array:
        """Cotangents at x, (R, *in_shape), in the textbook's coordinates: changed only where x has a chart."""
        return cotangents

    @property
    def ends(self) -> int:
        """How many elementary edges end in x: 1, but for a composite that enters it several times."""
        return 1

    def arrivals(self, cotangents: Array) -> Sequence[tuple[Array, Jacobian]]:
        """The rows just before x, with the elementary Jacobian still to be applied to each stack of them.

        `ends` pairs."""
        return [(cotangents, self)]


_MOST_ON_ONE_THREAD = 8192
"""Numbers that BLAS multiplies on one thread whatever it is told (OpenBLAS: 10,000). A second one would wait for more
work at full speed for 0.1 s, and norms are asked for outside `arithmetic()` too."""


def frobenius(values: Array) -> float:
    """Frobenius norm of an array of any shape."""
    flat = values.ravel()
    rest = len(flat) % _MOST_ON_ONE_THREAD
    parts = flat[rest:].reshape(-1, _MOST_ON_ONE_THREAD)
    with np.errstate(over="ignore", under="ignore"):
        square = float(np.dot(flat[:rest], flat[:rest])) + float(np.vecdot(parts, parts).sum())
    return math.sqrt(square) if 1e-280 < square < 1e280 else float(norms(flat[None])[0])


def least_above_0(values: Array) -> float:
    """The smallest size of an entry but for 0, at most 1."""
    sizes = np.abs(values)
    least = float(sizes.min(initial=1.0))
    return least if least > 0 else float(sizes.min(initial=1.0, where=sizes > 0))


CANCELLED = 2.0**-32
"""What may be left of a row where its entries cancel, or where paths that meet do, step after step; rounding leaves
some 2^-53."""


def least_slope(values: Array) -> float:
    """What is left of a row that is multiplied by slopes unit by unit, but for what is multiplied by 0."""
    return least_above_0(values)


def least_entry(weight: Array) -> float:
    """What can be expected to be left of a row that is multiplied by a weight, whichever of its units are 0."""
    return CANCELLED * least_above_0(weight)


def least_stretch(weight: Array) -> float:
    """What is left of a row that is multiplied by a weight, unless it becomes 0.

    It is no less than σ_min of a square weight, and 1 / ‖W⁻¹‖_F no more than that (Golub & Van Loan, Matrix
    Computations, 2.3.2 and 2.6.2). Where rounding decides on W⁻¹, or to invert would take longer than a sweep, it is
    `least_entry`."""
    if weight.shape[0] == weight.shape[1] <= _INVERTED:
        try:
            with arithmetic():
                inverse = frobenius(np.asarray(np.linalg.inv(weight), dtype=np.float64))
        except np.linalg.LinAlgError:
            return least_entry(weight)
        if inverse * frobenius(weight) < 1.0 / CANCELLED:
            return 1.0 / inverse
    return least_entry(weight)


_INVERTED = 512
"""Units of a weight that is inverted, at most: 20 ms."""


def norms(rows: Array, out: Array | None = None) -> Array:
    """Norm of every row: (R, n) -> (R,), written to `out`. Right also where the squares of the entries underflow or
    overflow."""
    with np.errstate(over="ignore", under="ignore"):
        return quiet_norms(rows, out)


def quiet_norms(rows: Array, out: Array | None = None) -> Array:
    """The same within `arithmetic()`, which sees to warnings once for all."""
    found = np.vecdot(rows, rows, out=out)
    # Looked up by index, for that takes a third of the time of `min` and `max`.
    usual = len(found) == 0 or (found[found.argmin()] >= 1e-280 and found[found.argmax()] <= 1e280)
    np.sqrt(found, out=found)
    if not usual:
        extreme = (found < 1e-140) | (found > 1e140)
        largest = np.abs(rows[extreme]).max(axis=1, initial=0.0)
        scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
        found[extreme] = scale * np.linalg.norm(rows[extreme] / scale[:, None], axis=1)
    return found


@record
class Identity(Jacobian):
    """y = x + …: both (B, m)."""

    out_shape: Shape

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        return self.out_shape

    def vjp(self, cotangents: Array) -> Array:
        return cotangents

    def jvp(self, tangents: Array) -> Array:
        return tangents

    def norm(self) -> float:
        return math.sqrt(math.prod(self.out_shape))


@record
class Broadcast(Jacobian):
    """y = x given to every instance: x (m,) -> y (B, m)."""

    out_shape: Shape
    per_instance = False

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        return self.out_shape[1:]

    def vjp(self, cotangents: Array) -> Array:
        return np.asarray(cotangents.sum(axis=1))

    def jvp(self, tangents: Array) -> Array:
        return np.broadcast_to(tangents[:, None], (len(tangents), *self.out_shape))

    def norm(self) -> float:
        return math.sqrt(math.prod(self.out_shape))

    def norm_after(self, blocks: Array) -> float:
        return frobenius(blocks)

    @property
    def spread(self) -> Array:
        return np.ones(self.out_shape[0])


@record
class Diagonal(Jacobian):
    """y = f(x) unit by unit: `slope` f'(x), x and y all (B, m)."""

    slope: Array

    @property
    def out_shape(self) -> Shape:  # type: ignore[override]
        return self.slope.shape

    in_shape = out_shape

    def least(self, asked: Asked) -> float:
        return asked(least_slope, self.slope)

    def vjp(self, cotangents: Array) -> Array:
        if len(cotangents) == 1:
            return cotangents * self.slope
        return np.asarray(np.multiply(cotangents, self.slope, out=room(cotangents.shape)))

    def vjp_into(self, cotangents: Array, out: Array) -> None:
        np.multiply(cotangents, self.slope, out=out)

    def jvp(self, tangents: Array) -> Array:
        return tangents * self.slope

    def norm(self) -> float:
        return frobenius(self.slope)

    def instance_norms(self) -> Array:
        return norms(self.slope)

    def scaled_norms(self, scale: Array) -> Array:
        return norms(self.slope * scale)


@record
class Dense(Jacobian):
    """y = W x with respect to x: W (m, n), x (B, n), y (B, m)."""

    weight: Array
    instances: int

    @property
    def out_shape(self) -> Shape:  # type: ignore[override]
        return (self.instances, self.weight.shape[0])

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        return (self.instances, self.weight.shape[1])

    def vjp(self, cotangents: Array) -> Array:
        if len(cotangents) == 1:
            return np.asarray(cotangents[0].dot(self.weight)[None])  # with `@` it takes 1 µs longer, of 4
        flat = cotangents.reshape(-1, self.weight.shape[0])
        pulled = product(flat, self.weight, room((len(flat), self.weight.shape[1])))
        return pulled.reshape(len(cotangents), *self.in_shape)

    def vjp_into(self, cotangents: Array, out: Array) -> None:
        m, n = self.weight.shape
        product(cotangents.reshape(-1, m), self.weight, out.reshape(-1, n))

    def least(self, asked: Asked) -> float:
        return asked(least_stretch, self.weight)

    def jvp(self, tangents: Array) -> Array:
        flat = tangents.reshape(-1, self.weight.shape[1]) @ self.weight.T
        return flat.reshape(len(tangents), *self.out_shape)

    def norm(self) -> float:
        return math.sqrt(self.instances) * frobenius(self.weight)


@record
class Outer(Jacobian):
    """y = W x with respect to W: the vjp is Σ_b ȳ_b x_bᵀ.  x (B, n), y (B, m), W (m, n)."""

    x: Array
    units: int
    per_instance = False

    @property
    def out_shape(self) -> Shape:  # type: ignore[override]
        return (len(self.x), self.units)

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        return (self.units, self.x.shape[1])

    def vjp(self, cotangents: Array) -> Array:
        return cotangents.swapaxes(1, 2) @ self.x

    def jvp(self, tangents: Array) -> Array:
        return self.x @ tangents.swapaxes(1, 2)

    def norm(self) -> float:
        return math.sqrt(self.units) * frobenius(self.x)

    def norm_after(self, blocks: Array) -> float:
        return frobenius(norms(blocks.reshape(len(blocks), -1)) * norms(self.x))

    @property
    def spread(self) -> Array:
        return norms(self.x)

    def row_norms(self, cotangents: Array, out: Array | None = None) -> Array:
        if len(self.x) == 1:
            found = norms(cotangents[:, 0], out)
            found *= frobenius(self.x)
            return found
        # With x = (Q R)ᵀ, ‖ȳᵀ x‖ = ‖ȳᵀ Rᵀ‖: B columns instead of n, and no digit lost (a Gram matrix
        # would lose half of them where instances cancel).
        thin = self.x if len(self.x) >= self.x.shape[1] else np.linalg.qr(self.x.T)[1].T
        products = cotangents.swapaxes(1, 2) @ thin
        return norms(products.reshape(len(cotangents), -1), out)


@record
class Columns(Jacobian):
    """y = [x₀; x₁; …] with respect to one of them: x (B, m), which is y's columns from `start`; y (B, `width`)."""

    in_shape: Shape
    start: int
    width: int

    @property
    def out_shape(self) -> Shape:  # type: ignore[override]
        return (self.in_shape[0], self.width)

    def vjp(self, cotangents: Array) -> Array:
        return cotangents[:, :, self.start : self.start + self.in_shape[1]]

    def jvp(self, tangents: Array) -> Array:
        pushed = np.zeros((len(tangents), *self.out_shape))
        pushed[:, :, self.start : self.start + self.in_shape[1]] = tangents
        return pushed

    def norm(self) -> float:
        return math.sqrt(math.prod(self.in_shape))


@record
class Softmax(Jacobian):
    """log ŷ = log softmax(z) with respect to z: I - 1 ŷᵀ.  `probabilities` ŷ (B, k).

    Written for log ŷ and not for ŷ, see `InChart`."""

    probabilities: Array

    @property
    def complement(self) -> Array:
        """1 - ŷ, (B, k). Where ŷ is largest it is the sum of the others: plain 1 - ŷ would lose every digit where one
        ŷ_m is all but 1. Worked out for each sweep, so that unrolling need not."""
        complement = 1.0 - self.probabilities
        likeliest = np.arange(len(complement)), self.probabilities.argmax(axis=1)
        others = self.probabilities.copy()
        others[likeliest] = 0.0
        complement[likeliest] = others.sum(axis=1)
        return complement

    @property
    def out_shape(self) -> Shape:  # type: ignore[override]
        return self.probabilities.shape

    in_shape = out_shape

    def least(self, asked: Asked) -> float:
        return least_above_0(self.complement)

    def vjp(self, cotangents: Array) -> Array:
        others = np.zeros_like(cotangents)  # what lies left and right of each entry: subtracting it would lose digits
        others[..., 1:] = cotangents.cumsum(axis=2)[..., :-1]
        others[..., :-1] += cotangents[..., ::-1].cumsum(axis=2)[..., -2::-1]
        return np.asarray(cotangents * self.complement - self.probabilities * others)

    def jvp(self, tangents: Array) -> Array:
        likeliest = self.probabilities.argmax(axis=1)[None, :, None]
        moved = tangents - np.take_along_axis(tangents, likeliest, axis=2)
        return np.asarray(moved - (self.probabilities * moved).sum(axis=2, keepdims=True))

    def scaled_norms(self, scale: Array) -> Array:
        # The square is Σ_m scale_m² ((1 - ŷ_m)² + Σ_{n≠m} ŷ_n²): k numbers for k² entries. What is left without the
        # likeliest is added up, for subtracting it would lose digits.
        squares = self.probabilities**2
        likeliest = np.arange(len(squares)), squares.argmax(axis=1)
        others = squares.sum(axis=1, keepdims=True) - squares
        rest = squares.copy()
        rest[likeliest] = 0.0
        others[likeliest] = rest.sum(axis=1)
        return norms(scale * np.sqrt(self.complement**2 + others))


@record
class Gradient(Jacobian):
    """A scalar loss with respect to x (B, k): `row` is ∂L/∂x, (B, k)."""

    row: Array
    out_shape = ()

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        return self.row.shape

    def least(self, asked: Asked) -> float:
        return asked(least_above_0, self.row)

    def vjp(self, cotangents: Array) -> Array:
        return cotangents[:, None, None] * self.row

    def jvp(self, tangents: Array) -> Array:
        return np.asarray((tangents * self.row).sum(axis=(1, 2)))

    def norm(self) -> float:
        return frobenius(self.row)
