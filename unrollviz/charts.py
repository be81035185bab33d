"""Jacobians between nodes of which one keeps its cotangents in another coordinate, its chart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unrollviz.arrays import Array, Shape
from unrollviz.jacobians import Asked, Jacobian, frobenius, record


@record
class InChart(Jacobian):
    """A Jacobian between nodes of which one keeps its cotangents in another coordinate (its chart).

    At ŷ = softmax(z) the coordinate is u = log ŷ: cotangents are kept as ∂L/∂u = ŷ ⊙ ∂L/∂ŷ, which is finite
    where ŷ underflows and the textbook's ∂L/∂ŷ = -p/ŷ is not. `vjp` and `jvp` work in the chart; `matrix` and
    `norm` show the textbook's Jacobian. `out_scale` and `in_scale` are dŷ/du at either end, None for no chart.
    """

    jacobian: Jacobian
    out_scale: Array | None
    in_scale: Array | None

    @property
    def out_shape(self) -> Shape:  # type: ignore[override]
        return self.jacobian.out_shape

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        return self.jacobian.in_shape

    @property
    def per_instance(self) -> bool:  # type: ignore[override]
        return self.jacobian.per_instance

    @property
    def inner(self) -> Jacobian:
        return self.jacobian.inner

    def vjp(self, cotangents: Array) -> Array:
        return self.jacobian.vjp(cotangents)

    def jvp(self, tangents: Array) -> Array:
        return self.jacobian.jvp(tangents)

    def least(self, asked: Asked) -> float:
        return self.jacobian.least(asked)

    def matrix(self) -> Array:
        blocks = self.jacobian.matrix()
        if self.out_scale is not None:
            blocks = blocks * self.out_scale[:, :, None]
        return blocks if self.in_scale is None else divide(blocks, self.in_scale[:, None, :])

    def norm(self) -> float:
        if self.per_instance or self.out_scale is None:
            return frobenius(self.instance_norms())
        return self.jacobian.scaled_norm(self.out_scale)

    def instance_norms(self) -> Array:
        if self.out_scale is not None and self.in_scale is None:
            return self.jacobian.scaled_norms(self.out_scale)
        return Jacobian.instance_norms(self)

    def textbook(self, cotangents: Array) -> Array:
        return cotangents if self.in_scale is None else divide(cotangents, self.in_scale)

    def arrivals(self, cotangents: Array) -> Sequence[tuple[Array, Jacobian]]:
        return self.jacobian.arrivals(cotangents)

    @property
    def ends(self) -> int:
        return self.jacobian.ends


@record
class LeaveChart(Jacobian):
    """The change from a chart's coordinate u back to y: `scale` is dy/du, (B, m)."""

    scale: Array

    @property
    def out_shape(self) -> Shape:  # type: ignore[override]
        return self.scale.shape

    in_shape = out_shape

    def vjp(self, cotangents: Array) -> Array:
        return divide(cotangents, self.scale)

    def jvp(self, tangents: Array) -> Array:
        return divide(tangents, self.scale)


def divide(values: Array, scale: Array) -> Array:
    """values / scale with 0 / 0 = 0: a class of probability 0 that is not the target has no slope."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(np.where(values == 0, 0.0, values / scale))
