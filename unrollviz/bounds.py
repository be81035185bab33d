"""What a partial path can still become: bounds on the weight of every completion that never say too little.

For a partial path at node v with the row of cotangents r there are two, and the smaller one counts:

    elementwise   Σ_j |r_j| reach_v[j]    the largest product of absolute values along any completion, (max, ×)
    quadratic     √(r form_v rᵀ)          form_v - C Cᵀ is positive semidefinite for every completion C

Both are worked out once for every node, from the target forwards. Through an edge J a form becomes J form Jᵀ; where
several edges lead on, the least form above all of theirs is taken. So a path is measured in the directions in which it
lives, not by a product of norms, which after 100 steps of a trained LSTM is 10^10 to 10^68 times too large.

Where paths are weighed by the norm of their terms, C is a completion's Jacobian; where by their pairing with a
direction (the share), C is that Jacobian applied to the direction. Instances are bounded one by one, and added. Every
hop is padded for the rounding of the numbers that it bounds, so that what is computed never exceeds its bound either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from unrollviz.arrays import Array
from unrollviz.charts import InChart
from unrollviz.graph import Graph, backward_edges
from unrollviz.jacobians import Broadcast, Diagonal, Identity, Jacobian, Outer, norms
from unrollviz.sweep import Edge, leading_to, leave_chart
from unrollviz.terms import MEMORY_LIMIT

_EPSILON = float(np.finfo(np.float64).eps)
_LEAST = 1e-280
"""What stands for a product that would vanish beside others of its node, so that only 0 is taken for 0."""


@dataclass(frozen=True, slots=True)
class Bound:
    """For partial paths that have come to one node: `reach` (B, m) and `form` (B, m, m), where there was room for it.

    Both are of completions divided by 2^`exponent`."""

    reach: Array
    form: Array | None
    exponent: int

    def of(self, row: Array, added: bool) -> float:
        """Bound on any completion of a row of cotangents (1, B, m); still to be multiplied by 2^exponent.

        The row's largest number should be such that its square is one too, within 1e±100 say.
        `added`: the instances' parts add up (in a parameter), or stand side by side (in a node)."""
        rows, size = row[0], np.abs(row[0])
        if len(rows) == 1:
            bound = float(size[0] @ self.reach[0])
            if self.form is None:
                return bound
            return min(bound, math.sqrt(max(0.0, float(rows[0] @ self.form[0] @ rows[0]))))
        each = (size * self.reach).sum(axis=1)
        if self.form is not None:
            squares = ((rows[:, None, :] @ self.form)[:, 0] * rows).sum(axis=1)
            each = np.minimum(each, np.sqrt(np.maximum(squares, 0.0)))
        return float(each.sum()) if added else math.sqrt(float(each @ each))


def bounds(
    graph: Graph, target: str, direction: Array | None = None, progress: Callable[[int], None] = lambda expansions: None
) -> dict[str, Bound]:
    """Node -> Bound, for every node that leads to `target` but the losses.

    By the norm of the term; by |<term, direction>| where a direction, in the shape of the target, is given. Forms that
    would take more than MEMORY_LIMIT are left out."""
    leads = leading_to(graph, frozenset([target]))
    inside = [name for name in graph if name in leads and graph.nodes[name]["role"] != "loss"]
    shapes = [graph.nodes[name]["value"].shape for name in inside]
    widest = max((instances * units**2 for instances, units in shapes), default=0)
    formed = 8 * (sum(instances * units**2 for instances, units in shapes) + 8 * widest) <= MEMORY_LIMIT
    found: dict[str, Bound] = {}
    for number, head in enumerate(inside):
        if number % 64 == 0:
            progress(0)
        parts = []
        for tail, key, jacobian in backward_edges(graph, head):
            if tail == target:
                last = leave_chart(graph, Edge(head, tail, key, jacobian)).jacobian
                parts.append(_last(last, direction, formed))
            elif tail in found:
                parts.append(_through(jacobian, found[tail]))
        found[head] = _above(parts)
    return found


def _above(parts: list[Bound]) -> Bound:
    """The bound that holds for whichever edge a path takes; the largest entry of its reach is about 1."""
    tops = [math.frexp(float(part.reach.max()))[1] + part.exponent for part in parts if part.reach.any()]
    exponent = max(tops, default=0)
    reach = np.maximum.reduce([_times_power(part.reach, part.exponent - exponent) for part in parts])
    form: Array | None = None
    for part in parts:
        if part.form is None:
            return Bound(reach, None, exponent)
        moved = np.ldexp(part.form, 2 * (part.exponent - exponent))
        form = moved if form is None else _least_above(form, moved)
    return _tightened(reach, form, exponent)


def _least_above(one: Array, other: Array) -> Array:
    """one + (other - one)₊: of the forms above both, the one of least trace."""
    values, vectors = np.linalg.eigh(other - one)
    part = (vectors * np.maximum(values, 0.0)[:, None, :]) @ vectors.swapaxes(1, 2)
    size = np.trace(one, axis1=1, axis2=2) + np.trace(other, axis1=1, axis2=2)
    return _padded(one + part, 16 * len(values.T) * _EPSILON * size)


def _tightened(reach: Array, form: Array | None, exponent: int) -> Bound:
    """Each by the other: reach_j² ≤ form_jj, and Σ|r|reach ≤ √(r diag(reach Σreach) rᵀ) by Cauchy and Schwarz."""
    if form is None:
        return Bound(reach, None, exponent)
    form = _padded(form, np.full(len(form), _LEAST))  # squares vanish long before what they are of
    reach = np.minimum(reach, np.sqrt(np.diagonal(form, axis1=1, axis2=2)))
    weight = reach * reach.sum(axis=1, keepdims=True) * (1 + 4 * reach.shape[1] * _EPSILON)
    better = weight.sum(axis=1) < np.trace(form, axis1=1, axis2=2)
    if better.any():
        form = np.where(better[:, None, None], weight[:, :, None] * np.eye(reach.shape[1]), form)
    return Bound(reach, form, exponent)


def _padded(form: Array, by: Array) -> Array:
    """form + by · 1, in each instance."""
    return form + by[:, None, None] * np.eye(form.shape[1])


def _normal(values: Array) -> tuple[Array, int]:
    """The same values as numbers of about 1, times a power of two: so their squares do not vanish."""
    by = math.frexp(float(np.abs(values).max(initial=0.0)))[1]
    return np.ldexp(values, -by), by


def _times_power(values: Array, by: int) -> Array:
    return np.where(values > 0, np.maximum(np.ldexp(values, by), _LEAST), 0.0)


def _last(jacobian: Jacobian, direction: Array | None, formed: bool) -> Bound:
    """Before the edge into the target."""
    if direction is None:
        return _dense(jacobian, None, formed)
    pushed, by = _normal(jacobian.jvp(direction[None])[0])
    pad = 16 * (pushed.shape[1] + direction.shape[-1]) * _EPSILON
    reach = np.abs(pushed) * (1 + pad)
    form = _padded(pushed[:, :, None] * pushed[:, None, :], pad * (pushed * pushed).sum(axis=1)) if formed else None
    return Bound(reach, form, by)


def _through(jacobian: Jacobian, behind: Bound) -> Bound:
    """Before an edge, from what holds behind it."""
    local = jacobian.jacobian if isinstance(jacobian, InChart) else jacobian
    if isinstance(local, Identity):
        return behind
    if not isinstance(local, Diagonal):
        return _dense(local, behind, behind.form is not None)
    slope, by = _normal(local.slope)
    pad = 1 + 8 * _EPSILON
    live = (slope != 0) & (behind.reach > 0)
    reach = np.where(live, np.maximum(np.abs(slope) * behind.reach * pad, _LEAST), 0.0)
    form = None if behind.form is None else behind.form * (slope[:, :, None] * slope[:, None, :] * pad)
    return Bound(reach, form, behind.exponent + by)


def _dense(jacobian: Jacobian, behind: Bound | None, formed: bool) -> Bound:
    """Before an edge that mixes units; nothing is behind the last one of a path."""
    instances, units = jacobian.out_shape
    reach, form, by = np.zeros((instances, units)), None, 0
    for chosen, found in _matrix_rows(jacobian, units if formed else None):
        matrix, by = _normal(found) if formed else (found, 0)
        size = np.abs(matrix)
        pad = 16 * (units + matrix.shape[2]) * _EPSILON
        if behind is None:
            total, live = np.linalg.norm(matrix, axis=2), size.any(axis=2)
            behind_form = None
        else:
            total = (size @ behind.reach[:, :, None])[:, :, 0]
            live = ((size > 0) @ (behind.reach > 0)[:, :, None])[:, :, 0]
            behind_form = behind.form
        reach[:, chosen] = np.where(live, np.maximum(total * (1 + pad), _LEAST), 0.0)
        if formed:
            form = _form(matrix, size, behind_form, pad)
    return Bound(reach, form, by if behind is None else behind.exponent + by)


def _form(matrix: Array, size: Array, behind: Array | None, pad: float) -> Array:
    """J form Jᵀ, padded by the rounding of its terms, which may cancel."""
    turned = matrix.swapaxes(1, 2)
    if behind is None:
        return _padded(matrix @ turned, pad * (matrix * matrix).sum(axis=(1, 2)))
    terms = (size @ np.sqrt(np.diagonal(behind, axis1=1, axis2=2))[:, :, None])[:, :, 0]
    form = matrix @ behind @ turned
    return _padded((form + form.swapaxes(1, 2)) / 2, pad * (terms * terms).sum(axis=1))


def _matrix_rows(jacobian: Jacobian, some: int | None) -> Iterator[tuple[slice, Array]]:
    """The Jacobian as a matrix an instance, (B, some of the units, n): as many rows at once as fit where not said.

    Of an edge into a parameter: a matrix M_b with ‖its part of the term‖ ≤ ‖r_b M_b‖."""
    instances, units = jacobian.out_shape
    if some is None:
        wide = max(units, jacobian.in_shape[-1])
        some = max(1, min(units, MEMORY_LIMIT // (64 * instances * wide)))
    for start in range(0, units, some):
        chosen = slice(start, min(start + some, units))
        basis = np.eye(units)[chosen]
        rows = np.broadcast_to(basis[:, None, :], (len(basis), instances, units))
        yield chosen, _pulled(jacobian, rows).swapaxes(0, 1)


def _pulled(jacobian: Jacobian, rows: Array) -> Array:
    if jacobian.per_instance:
        return jacobian.vjp(rows)
    ends = jacobian.arrivals(rows)
    # ‖Σ_i v_i‖ ≤ √p ‖[v_1 … v_p]‖; exact where there is one end, as usual.
    return math.sqrt(len(ends)) * np.concatenate([_entered(last, before) for before, last in ends], axis=2)


def _entered(jacobian: Jacobian, rows: Array) -> Array:
    """(R, B, m) -> (R, B, n), each of the norm that its instance's part of the term has."""
    if isinstance(jacobian, Outer):
        return rows * norms(jacobian.x)[:, None]
    if isinstance(jacobian, Broadcast):
        return rows
    alone = np.eye(rows.shape[1])[:, None, :, None] * rows  # (B, R, B, m): one instance at a time
    return np.stack([jacobian.vjp(part).reshape(len(part), -1) for part in alone], axis=1)
