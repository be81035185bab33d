"""The primitives: one table, each with its forward rule, its local Jacobians and how it is written.

A new primitive is one entry in `OPS`; the tests loop over the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np

from unrollviz.arrays import Array
from unrollviz.composite import Composite
from unrollviz.jacobians import Broadcast, Columns, Dense, Diagonal, Gradient, Identity, Jacobian, Outer, Softmax


@dataclass(frozen=True)
class Chart:
    """Another coordinate u for an op's output y, in which cotangents at y are kept (see `InChart`).

    coordinate: u from the op's input;  value: y from u, the same bits as forward gives;  scale: dy/du from u and y.
    """

    coordinate: Callable[..., Array]
    value: Callable[[Array], Array]
    scale: Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Op:
    """A primitive y = f(x₀, x₁, …).

    Attributes:
        formula: how it is written; `{0}` is the first argument, `{args}` all of them joined by " + ".
        forward: values of the arguments (and constants, by keyword) -> value of y.
        jacobians: (y, *arguments, **constants) -> ∂y/∂xᵢ for every argument.
        chart: set where cotangents at y are kept in another coordinate.
        reads_chart: the first argument is given, and differentiated, in its chart's coordinate.
        smooth: False where the derivative jumps, so that a finite difference may straddle a kink.
        bounded: y is finite where the arguments are, so that nobody need look.
    """

    name: str
    formula: str
    forward: Callable[..., Array]
    jacobians: Callable[..., tuple[Jacobian, ...]]
    chart: Chart | None = None
    reads_chart: bool = False
    smooth: bool = True
    bounded: bool = False


def matvec(weight: Array, x: Array) -> Array:
    """y = W x.   W: (m, n), x: (B, n) -> y: (B, m)"""
    return x @ weight.T


def add(*terms: Array) -> Array:
    """y = x₀ + x₁ + …   each (B, m), or (m,) for a parameter given to every instance -> (B, m)"""
    return reduce(np.add, terms)


def mul(a: Array, b: Array) -> Array:
    """y = a ⊙ b.   each (B, m), or (m,) for a parameter given to every instance -> (B, m)"""
    return a * b


def relu(a: Array) -> Array:
    """y = max(a, 0).   (B, m) -> (B, m); the slope at 0 is 0, as in PyTorch"""
    return np.maximum(a, 0.0)


def sigmoid(a: Array) -> Array:
    """y = 1 / (1 + e^-a).   (B, m) -> (B, m); two branches, so that e^|a| never overflows"""
    q = np.exp(-np.abs(a))
    return np.asarray(np.where(a >= 0, 1.0, q) / (1.0 + q))


def sigmoid_slope(a: Array) -> Array:
    """σ'(a) = q / (1 + q)² with q = e^-|a|: right to the last digit, where σ(1 - σ) loses all past a = 37"""
    q = np.exp(-np.abs(a))
    return np.asarray(q / (1.0 + q) ** 2)


def tanh_slope(a: Array) -> Array:
    """tanh'(a) = sech² a = 4q / (1 + q)² with q = e^-2|a|: 1 - tanh² loses every digit past |a| = 19"""
    q = np.exp(-2.0 * np.abs(a))
    return np.asarray(4.0 * q / (1.0 + q) ** 2)


def log_softmax(z: Array) -> Array:
    """log ŷ = z - log Σ e^z.   (B, k) -> (B, k)

    Shifted by the largest logit, so that no e^z overflows; its own e^0 is left to log1p, so that a loss near 0 keeps
    its digits."""
    likeliest = np.arange(len(z)), z.argmax(axis=1)
    shifted = z - z[likeliest][:, None]
    others = np.exp(shifted)
    others[likeliest] = 0.0
    return np.asarray(shifted - np.log1p(np.add.reduce(others, axis=1, keepdims=True)))


def softmax(z: Array) -> Array:
    """ŷ = e^z / Σ e^z.   (B, k) -> (B, k)"""
    return np.asarray(np.exp(log_softmax(z)))


def counted(weight: Array | None, target: Array) -> Array:
    """How much each instance counts in a loss, (B, 1): 1/B each, their mean, where no weights are given"""
    return np.full((len(target), 1), 1.0 / len(target)) if weight is None else weight


def cross_entropy(log_yhat: Array, *, target: Array, weight: Array | None = None) -> Array:
    """L = -Σ_b w_b Σ_j p_bj log ŷ_bj.   log ŷ and target p: (B, k), weight: (B, 1) -> scalar"""
    return np.asarray(-np.add.reduce(counted(weight, target) * target * log_yhat, axis=None))


def binary_cross_entropy(z: Array, *, target: Array, weight: Array | None = None) -> Array:
    """L = -Σ_b w_b Σ_j p log ŷ + (1 - p) log(1 - ŷ), ŷ = σ(z).   z and target p: (B, k), weight: (B, 1) -> scalar

    As log(1 + e^-|z|) + max(z, 0) - p z, which neither overflows nor loses digits."""
    return np.asarray(
        (counted(weight, target) * (np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0.0) - target * z)).sum()
    )


def squared_error(yhat: Array, *, target: Array, weight: Array | None = None) -> Array:
    """L = Σ_b w_b Σ_j (ŷ - p)².   ŷ and target p: (B, k), weight: (B, 1) -> scalar"""
    return np.asarray((counted(weight, target) * (yhat - target) ** 2).sum())


def concat(a: Array, b: Array) -> Array:
    """y = [a; b].   (B, m), (B, n) -> (B, m + n)"""
    return np.concatenate([a, b], axis=1)


def repeat(a: Array, *, instances: int) -> Array:
    """y_b = a for every instance b.   (m,) -> (B, m)"""
    return np.array(np.broadcast_to(a, (instances, *a.shape)))


def begin(state: Array, initial: Array, *, begun: Array) -> Array:
    """y_b = state where the instance's sequence has begun, else its initial state.   all (B, m), begun (B, 1)"""
    return np.where(begun, state, initial)


_identity, _broadcast = lru_cache(Identity), lru_cache(Broadcast)
"""They say no more than a shape, so that all steps share them."""


def _elementwise(slope: Array, argument: Array) -> Jacobian:
    """A diagonal Jacobian, followed by a broadcast where the argument is a parameter of shape (m,)."""
    diagonal = Diagonal(slope)
    if argument.shape == slope.shape:
        return diagonal
    return Composite("y", "x", (("y", "spread", diagonal), ("spread", "x", _broadcast(slope.shape))))


def _add_jacobians(y: Array, *terms: Array) -> tuple[Jacobian, ...]:
    return tuple([_identity(y.shape) if term.shape == y.shape else _broadcast(y.shape) for term in terms])


def _mul_jacobians(y: Array, a: Array, b: Array) -> tuple[Jacobian, ...]:
    return (
        _elementwise(np.broadcast_to(b, y.shape), a),
        _elementwise(np.broadcast_to(a, y.shape), b),
    )


def _matvec_jacobians(y: Array, weight: Array, x: Array) -> tuple[Jacobian, ...]:
    return Outer(x, y.shape[1]), Dense(weight, len(x))


def _concat_jacobians(y: Array, a: Array, b: Array) -> tuple[Jacobian, ...]:
    return Columns(a.shape, 0, y.shape[1]), Columns(b.shape, a.shape[1], y.shape[1])


def _begin_jacobians(y: Array, state: Array, initial: Array, *, begun: Array) -> tuple[Jacobian, ...]:
    passing = np.broadcast_to(begun, y.shape).astype(np.float64)
    return Diagonal(passing), Diagonal(1.0 - passing)


OPS: dict[str, Op] = {
    op.name: op
    for op in (
        Op("matvec", "{0} {1}", matvec, _matvec_jacobians),
        Op("add", "{args}", add, _add_jacobians),
        Op("mul", "{0} ⊙ {1}", mul, _mul_jacobians),
        Op("tanh", "tanh({0})", np.tanh, lambda y, a: (Diagonal(tanh_slope(a)),), bounded=True),
        Op("sigmoid", "σ({0})", sigmoid, lambda y, a: (Diagonal(sigmoid_slope(a)),), bounded=True),
        Op("relu", "relu({0})", relu, lambda y, a: (Diagonal((a > 0).astype(np.float64)),), smooth=False, bounded=True),
        Op("identity", "{0}", lambda a: a, lambda y, a: (_identity(y.shape),), bounded=True),
        Op(
            "softmax",
            "softmax({0})",
            softmax,
            lambda y, z: (Softmax(y),),
            chart=Chart(coordinate=log_softmax, value=np.exp, scale=lambda u, y: y.copy()),
            bounded=True,
        ),
        Op(
            "cross_entropy",
            "−Σ p log {0}",
            cross_entropy,
            lambda y, log_yhat, *, target, weight=None: (Gradient(-counted(weight, target) * target),),
            reads_chart=True,
        ),
        Op(
            "logistic",
            "σ({0})",
            sigmoid,
            lambda y, z: (_identity(y.shape),),
            chart=Chart(coordinate=lambda z: z, value=sigmoid, scale=lambda u, y: sigmoid_slope(u)),
            bounded=True,
        ),
        Op(
            "binary_cross_entropy",
            "−Σ p log {0} + (1 − p) log(1 − {0})",
            binary_cross_entropy,
            lambda y, z, *, target, weight=None: (
                Gradient(counted(weight, target) * ((1.0 - target) * sigmoid(z) - target * sigmoid(-z))),
            ),
            reads_chart=True,
        ),
        Op(
            "squared_error",
            "Σ ({0} − p)²",
            squared_error,
            lambda y, yhat, *, target, weight=None: (Gradient(2.0 * counted(weight, target) * (yhat - target)),),
        ),
        Op("one_minus", "(1 − {0})", lambda a: 1.0 - a, lambda y, a: (Diagonal(np.full(y.shape, -1.0)),), bounded=True),
        Op("concat", "[{0}; {1}]", concat, _concat_jacobians, bounded=True),
        Op("repeat", "{0}", repeat, lambda y, a, *, instances: (_broadcast(y.shape),), bounded=True),
        Op("begin", "({0} or {1})", begin, _begin_jacobians, bounded=True),
    )
}

ACTIVATIONS: tuple[str, ...] = ("tanh", "relu", "sigmoid", "identity")
