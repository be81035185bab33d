"""The local Jacobian of an edge as the inspector shows it: one matrix, its norm and its singular values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from unrollviz.arrays import Array
from unrollviz.jacobians import Jacobian, frobenius

ENTRIES = 250_000
"""A matrix of no more entries, over all instances, is formed in an instant."""

SIDE = 128
"""Of a matrix with a side no longer than this, singular values are found in an instant."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What is shown of ∂y/∂x.

    Attributes:
        norm: ‖∂y/∂x‖ over all instances.
        shape: units of y, units or entries of x.
        instances: how many blocks there are.
        matrix: of one instance, or the mean over all; None where it would have too many entries.
        singular: its singular values, largest first; None where they would take too long.
    """

    norm: float
    shape: tuple[int, int]
    instances: int
    matrix: Array | None
    singular: Array | None


def shown(jacobian: Jacobian, instance: int | None) -> Shown:
    """∂y/∂x for an instance, or its mean over the instances where None."""
    with np.errstate(all="ignore"):
        instances, units = jacobian.out_shape or (1, 1)
        entries = jacobian.in_shape[-1] if jacobian.per_instance else math.prod(jacobian.in_shape)
        blocks = jacobian.in_shape[0] if jacobian.out_shape == () and jacobian.per_instance else instances
        if blocks * units * entries > ENTRIES:
            return Shown(jacobian.norm(), (units, entries), blocks, None, None)
        matrices = jacobian.matrix()
        one = matrices.mean(axis=0) if instance is None else matrices[min(instance, len(matrices) - 1)]
        return Shown(frobenius(matrices), (units, entries), len(matrices), one, _singular(one))


def _singular(matrix: Array) -> Array | None:
    if min(matrix.shape) > SIDE or max(matrix.shape) > 16 * SIDE or not np.isfinite(matrix).all():
        return None
    return np.asarray(np.linalg.svd(matrix, compute_uv=False))
