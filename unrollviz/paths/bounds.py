"""What a partial path can still become: bounds on the weight of every completion that never say too little.

For a partial path at node v with the row of cotangents r there are two, and the smaller one counts:

    elementwise   Σ_j |r_j| reach_v[j]    the largest product of absolute values along any completion, (max, ×)
    quadratic     √(r form_v rᵀ)          form_v - C Cᵀ is positive semidefinite for every completion C

Both are worked out once for every node, from the target forwards. Through an edge J a form becomes J form Jᵀ; where
several edges lead on, the least form above all of theirs is taken. So a path is measured in the directions in which it
lives, not by a product of norms, which after 100 steps of a trained LSTM is 10^10 to 10^68 times too large.

Where paths are weighed by the norm of their terms, C is a completion's Jacobian; where by their pairing with a
direction (the share), C is that Jacobian applied to the direction. Instances are bounded one by one, and added. Every
hop is padded for the rounding of the numbers that it bounds, also of those that cancel inside it (∂h'/∂z = h - n in a
GRU), so that what is computed never exceeds its bound either.

No bound becomes smaller by underflow: every unit of every instance has a power of two of its own, and all numbers here
are about 1 times that. In a saturated network slopes of 1 and of 1e-300 stand side by side, and a square that vanished
beside a larger one would be missed behind an edge that lets only the smaller one through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from unrollviz.arrays import Array, beat
from unrollviz.charts import InChart
from unrollviz.composite import Composite, Sloped
from unrollviz.graph import Graph, backward_edges
from unrollviz.jacobians import Broadcast, Dense, Diagonal, Identity, Jacobian, Outer, norms
from unrollviz.terms import MEMORY_LIMIT
from unrollviz.way import Edge, leading_to, leave_chart

_EPSILON = float(np.finfo(np.float64).eps)
_NOWHERE = -(2**28)
"""Exponent of 0: less than any other, and so small that three of them still add up in 32 bits."""
_LARGE = 900
"""Power of two with which a Jacobian is worked out, so that what passes through two tiny slopes does not vanish."""

Powers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Bound:
    """For partial paths that have come to one node: `reach` (B, m) and `form` (B, m, m), where there was room for it.

    Both are of completions whose rows, one a unit, are divided by 2^`exponents` (B, m): then reach is about 1, or 0."""

    reach: Array
    form: Array | None
    exponents: Powers

    def of(self, row: Array, added: bool) -> tuple[float, int]:
        """Bound on any completion of a row of cotangents (1, B, m), still to be multiplied by a power of two.

        `added`: the instances' parts add up (in a parameter), or stand side by side (in a node)."""
        values, powers = _apart(row[0])
        powers = powers + self.exponents
        top = powers.max()
        rows = np.ldexp(values, powers - top)
        each = (np.abs(rows) * self.reach).sum(axis=1)
        if self.form is not None:
            squares = ((rows[:, None, :] @ self.form)[:, 0] * rows).sum(axis=1)
            each = np.minimum(each, np.sqrt(np.maximum(squares, 0.0)))
        return float(each.sum()) if added else math.sqrt(float(each @ each)), int(top)


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
        beat()
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
    """The bound that holds for whichever edge a path takes."""
    exponents = np.maximum.reduce([part.exponents for part in parts])
    reach = np.maximum.reduce([np.ldexp(part.reach, part.exponents - exponents) for part in parts])
    form: Array | None = None
    for part in parts:
        if part.form is None:
            return _tightened(reach, None, exponents)
        moved = _times_powers(part.form, part.exponents - exponents)
        form = moved if form is None else _least_above(form, moved)
    return _tightened(reach, form, exponents)


def _least_above(one: Array, other: Array) -> Array:
    """one + (other - one)₊: of the forms above both, the one of least trace."""
    values, vectors = np.linalg.eigh(other - one)
    part = (vectors * np.maximum(values, 0.0)[:, None, :]) @ vectors.swapaxes(1, 2)
    size = np.trace(one, axis1=1, axis2=2) + np.trace(other, axis1=1, axis2=2)
    return _padded(one + part, 16 * len(values.T) * _EPSILON * size)


def _tightened(reach: Array, form: Array | None, exponents: Powers) -> Bound:
    """Each by the other: reach_j² ≤ form_jj, and Σ|r|reach ≤ √(r diag(reach Σreach) rᵀ) by Cauchy and Schwarz."""
    if form is not None:
        reach = np.minimum(reach, np.sqrt(np.diagonal(form, axis1=1, axis2=2)))
        weight = reach * reach.sum(axis=1, keepdims=True) * (1 + 4 * reach.shape[1] * _EPSILON)
        better = weight.sum(axis=1) < np.trace(form, axis1=1, axis2=2)
        if better.any():
            form = np.where(better[:, None, None], weight[:, :, None] * np.eye(reach.shape[1]), form)
    reach, shift = _apart(reach)
    live = reach > 0
    if form is not None:
        form = _times_powers(form * (live[:, :, None] & live[:, None, :]), np.where(live, -shift, 0))
    return Bound(reach, form, np.where(live, exponents + shift, _NOWHERE))


def _padded(form: Array, by: Array) -> Array:
    """form + by · 1, in each instance."""
    return form + by[:, None, None] * np.eye(form.shape[1])


def _apart(values: Array) -> tuple[Array, Powers]:
    """Numbers in [0.5, 1), or 0, and the powers of two that go with them."""
    found, powers = np.frexp(values)
    return found, np.where(found == 0, np.int32(_NOWHERE), powers)


def _times_powers(form: Array, by: Powers) -> Array:
    """The form where the units are multiplied by 2^`by` (B, m)."""
    return np.ldexp(form, by[:, :, None] + by[:, None, :]) if by.any() else form


def _in_full(linear: Callable[[Array], Array], values: Array) -> tuple[Array, Powers]:
    """linear(values) as numbers in [0.5, 1) and powers of two, where what comes in between would vanish too."""
    with np.errstate(over="ignore", invalid="ignore"):
        found, powers = _apart(linear(np.ldexp(values, _LARGE)))
    if np.isfinite(found).all():
        return found, powers - np.int32(_LARGE)
    plain, own = _apart(linear(values))
    fits = np.isfinite(found)
    return np.where(fits, found, plain), np.where(fits, powers - np.int32(_LARGE), own)


def _last(jacobian: Jacobian, direction: Array | None, formed: bool) -> Bound:
    """Before the edge into the target."""
    if direction is None:
        return _dense(jacobian, None, formed)
    pushed, exponents = _in_full(lambda tangent: jacobian.jvp(tangent[None])[0], direction)
    sums = np.abs(pushed)
    if _cancels(jacobian):
        own, whole = exponents, _absolute(jacobian)
        sums, exponents = _in_full(lambda tangent: whole.jvp(tangent[None])[0], np.abs(direction))
        pushed = np.ldexp(pushed, own - exponents)
    pad = 16 * (pushed.shape[1] + direction.shape[-1]) * _EPSILON
    reach = np.abs(pushed) + pad * sums
    form = _padded(pushed[:, :, None] * pushed[:, None, :], pad * (sums * sums).sum(axis=1)) if formed else None
    return Bound(reach, form, exponents)


def _cancels(jacobian: Jacobian) -> bool:
    """Whether several ways inside an edge are added up, which may leave few digits."""
    local = jacobian.jacobian if isinstance(jacobian, InChart) else jacobian
    if not isinstance(local, Composite):
        return False
    return not local.is_chain or any(_cancels(step) for _, _, step in local.edges)


def _absolute(jacobian: Jacobian) -> Jacobian:
    """The same with the absolute values of all that is multiplied: what its numbers would be if none cancelled."""
    match jacobian:
        case InChart():
            return _absolute(jacobian.jacobian)
        case Composite():
            edges = tuple((head, tail, _absolute(step)) for head, tail, step in jacobian.edges)
            return Composite(jacobian.head, jacobian.tail, edges)
        case Diagonal():
            return Diagonal(np.abs(jacobian.slope))
        case Dense():
            return Dense(np.abs(jacobian.weight), jacobian.instances)
        case Sloped():
            return Sloped(np.abs(jacobian.weight), np.abs(jacobian.slope))
        case Outer():
            return Outer(np.abs(jacobian.x), jacobian.units)
    return jacobian


def _through(jacobian: Jacobian, behind: Bound) -> Bound:
    """Before an edge, from what holds behind it."""
    local = jacobian.jacobian if isinstance(jacobian, InChart) else jacobian
    if isinstance(local, Identity):
        return behind
    if not isinstance(local, Diagonal):
        return _dense(local, behind, behind.form is not None)
    slope, powers = _apart(local.slope)
    pad = 1 + 8 * _EPSILON
    reach = np.abs(slope) * behind.reach * pad
    form = None if behind.form is None else behind.form * (slope[:, :, None] * slope[:, None, :] * pad)
    return Bound(reach, form, behind.exponents + powers)


def _dense(jacobian: Jacobian, behind: Bound | None, formed: bool) -> Bound:
    """Before an edge that mixes units; nothing is behind the last one of a path."""
    instances, units = jacobian.out_shape
    reach, form = np.zeros((instances, units)), None
    exponents = np.full((instances, units), _NOWHERE, dtype=np.int32)
    after = np.int32(0) if behind is None else behind.exponents[:, None, :]
    for (chosen, values, own), (_, sums, powers) in _with_sums(jacobian, units if formed else None):
        exponents[:, chosen] = top = (powers + after).max(axis=2)
        matrix, whole = (np.ldexp(x, e + after - top[:, :, None]) for x, e in ((values, own), (sums, powers)))
        pad = 16 * (units + matrix.shape[2]) * _EPSILON
        size = np.abs(matrix) + pad * whole
        total = np.linalg.norm(size, axis=2) if behind is None else (size @ behind.reach[:, :, None])[:, :, 0]
        reach[:, chosen] = total * (1 + pad)
        if formed:
            form = _form(matrix, whole, None if behind is None else behind.form, pad)
    return Bound(reach, form, exponents)


_Rows: TypeAlias = tuple[slice, Array, Powers]


def _with_sums(jacobian: Jacobian, some: int | None) -> Iterator[tuple[_Rows, _Rows]]:
    """The rows of a Jacobian's matrix, and of what they would be if nothing cancelled."""
    if _cancels(jacobian):
        yield from zip(_matrix_rows(jacobian, some), _matrix_rows(_absolute(jacobian), some), strict=True)
    else:
        yield from (
            ((at, rows, powers), (at, np.abs(rows), powers)) for at, rows, powers in _matrix_rows(jacobian, some)
        )


def _form(matrix: Array, whole: Array, behind: Array | None, pad: float) -> Array:
    """J form Jᵀ, padded by the rounding of its terms, which may cancel; `whole` is J without cancellation."""
    turned = matrix.swapaxes(1, 2)
    if behind is None:
        return _padded(matrix @ turned, pad * (whole * whole).sum(axis=(1, 2)))
    terms = (whole @ np.sqrt(np.diagonal(behind, axis1=1, axis2=2))[:, :, None])[:, :, 0]
    form = matrix @ behind @ turned
    return _padded((form + form.swapaxes(1, 2)) / 2, pad * (terms * terms).sum(axis=1))


def _matrix_rows(jacobian: Jacobian, some: int | None) -> Iterator[_Rows]:
    """The Jacobian as a matrix an instance, (B, some of the units, n), and powers of two: as many rows at once as fit
    where not said.

    Of an edge into a parameter: a matrix M_b with ‖its part of the term‖ ≤ ‖r_b M_b‖."""
    instances, units = jacobian.out_shape
    if some is None:
        wide = max(units, jacobian.in_shape[-1])
        some = max(1, min(units, MEMORY_LIMIT // (64 * instances * wide)))
    for start in range(0, units, some):
        chosen = slice(start, min(start + some, units))
        basis = np.eye(units)[chosen]
        rows = np.broadcast_to(basis[:, None, :], (len(basis), instances, units))
        values, powers = _in_full(partial(_pulled, jacobian), rows)
        yield chosen, values.swapaxes(0, 1), powers.swapaxes(0, 1)


def _pulled(jacobian: Jacobian, rows: Array) -> Array:
    if jacobian.per_instance:
        # Of more rows than units a composite would first multiply its slopes, which may vanish.
        some = jacobian.in_shape[-1]
        return np.concatenate([jacobian.vjp(rows[start : start + some]) for start in range(0, len(rows), some)])
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
