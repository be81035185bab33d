"""Optimizers, learning-rate schedules and clipping: three tables of small pure functions.

A new optimizer is a rule for one parameter and a row in `OPTIMIZERS`; the tests compare every row with PyTorch's.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrollviz.arrays import Array
from unrollviz.errors import UnknownName, UnrollvizError

Arrays = Mapping[str, Array]


def gradient_descent(w: Array, g: Array, lr: float, u: int) -> tuple[Array, ...]:
    """w ← w - η g   (Cauchy 1847; on mini-batches Robbins & Monro 1951)"""
    return (w - lr * g,)


def momentum(w: Array, g: Array, lr: float, u: int, v: Array, *, momentum: float = 0.9) -> tuple[Array, ...]:
    """v ← μ v + g;  w ← w - η v   (Polyak 1964)"""
    v = momentum * v + g
    return w - lr * v, v


def nesterov(w: Array, g: Array, lr: float, u: int, v: Array, *, momentum: float = 0.9) -> tuple[Array, ...]:
    """v ← μ v + g;  w ← w - η (g + μ v)   (Nesterov 1983, in the form of Sutskever et al. 2013)"""
    v = momentum * v + g
    return w - lr * (g + momentum * v), v


def rmsprop(
    w: Array, g: Array, lr: float, u: int, s: Array, *, alpha: float = 0.99, epsilon: float = 1e-8
) -> tuple[Array, ...]:
    """s ← α s + (1 - α) g²;  w ← w - η g / (√s + ε)   (Tieleman & Hinton 2012, lecture 6.5)"""
    s = alpha * s + (1.0 - alpha) * g * g
    return w - lr * g / (np.sqrt(s) + epsilon), s


def adagrad(w: Array, g: Array, lr: float, u: int, s: Array, *, epsilon: float = 1e-10) -> tuple[Array, ...]:
    """s ← s + g²;  w ← w - η g / (√s + ε)   (Duchi, Hazan & Singer 2011)"""
    s = s + g * g
    return w - lr * g / (np.sqrt(s) + epsilon), s


def adam(
    w: Array,
    g: Array,
    lr: float,
    u: int,
    m: Array,
    s: Array,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> tuple[Array, ...]:
    """m ← β₁ m + (1 - β₁) g;  s ← β₂ s + (1 - β₂) g²;  w ← w - η m̂ / (√ŝ + ε), m̂ = m / (1 - β₁ᵘ), ŝ = s / (1 - β₂ᵘ)

    Kingma & Ba 2015, algorithm 1; u counts the updates from 1."""
    m = beta1 * m + (1.0 - beta1) * g
    s = beta2 * s + (1.0 - beta2) * g * g
    root = np.sqrt(s) / math.sqrt(1.0 - beta2**u) + epsilon
    return w - lr / (1.0 - beta1**u) * m / root, m, s


def adamw(
    w: Array,
    g: Array,
    lr: float,
    u: int,
    m: Array,
    s: Array,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    decay: float = 0.01,
) -> tuple[Array, ...]:
    """w ← (1 - η λ) w, then as Adam: the decay is not divided by √ŝ   (Loshchilov & Hutter 2019)"""
    return adam((1.0 - lr * decay) * w, g, lr, u, m, s, beta1=beta1, beta2=beta2, epsilon=epsilon)


AVERAGES = ("alpha", "beta1", "beta2")
"""Numbers of a rule that weigh what was against what is, and are below 1."""


@dataclass(frozen=True)
class Optimizer:
    """A row of the table.

    Attributes:
        rule: (w, g, η, u, *what it remembers, **numbers of its own) -> (w, *what it remembers), for one parameter.
        remembers: names of the arrays that it keeps for every parameter; all begin at 0.
        lr: the learning rate where none is given.
    """

    name: str
    rule: Callable[..., tuple[Array, ...]]
    remembers: tuple[str, ...]
    lr: float

    @property
    def numbers(self) -> dict[str, float]:
        """The rule's numbers beside the learning rate, by name: what they are where not given."""
        parameters = inspect.signature(self.rule).parameters.values()
        return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


OPTIMIZERS: dict[str, Optimizer] = {
    row.name: row
    for row in (
        Optimizer("gradient_descent", gradient_descent, (), 0.1),
        Optimizer("momentum", momentum, ("v",), 0.1),
        Optimizer("nesterov", nesterov, ("v",), 0.1),
        Optimizer("rmsprop", rmsprop, ("s",), 0.01),
        Optimizer("adagrad", adagrad, ("s",), 0.1),
        Optimizer("adam", adam, ("m", "s"), 0.01),
        Optimizer("adamw", adamw, ("m", "s"), 0.01),
    )
}


@dataclass(frozen=True, eq=False)
class Memory:
    """What an optimizer remembers: how many updates it has made, and its arrays, by their name and the parameter's."""

    updates: int
    arrays: Mapping[str, Arrays]

    @classmethod
    def fresh(cls, optimizer: Optimizer, params: Arrays) -> Memory:
        """As it is before the first update."""
        return cls(0, {kept: {name: np.zeros_like(w) for name, w in params.items()} for kept in optimizer.remembers})


def update(
    optimizer: Optimizer, memory: Memory, params: Arrays, gradients: Arrays, lr: float, **numbers: float
) -> tuple[Memory, dict[str, Array]]:
    """One update of every parameter: what the optimizer then remembers, and the new parameters. Nothing is changed in
    place."""
    count = memory.updates + 1
    after: dict[str, Array] = {}
    kept: dict[str, dict[str, Array]] = {name: {} for name in optimizer.remembers}
    with np.errstate(all="ignore"):
        for name, w in params.items():
            remembered = (memory.arrays[one][name] for one in optimizer.remembers)
            after[name], *found = optimizer.rule(w, gradients[name], lr, count, *remembered, **numbers)
            for one, value in zip(optimizer.remembers, found, strict=True):
                kept[one][name] = value
    return Memory(count, kept), after


def optimizer_named(name: str, numbers: Mapping[str, Any]) -> Optimizer:
    """The row of that name. Raises UnknownName for another one, and for a number that its rule does not have."""
    if name not in OPTIMIZERS:
        raise UnknownName("optimizer", name, OPTIMIZERS)
    known = OPTIMIZERS[name].numbers
    for key in numbers:
        if not known:
            raise UnrollvizError(f"{name} has no numbers beside the learning rate; leave {key} out")
        if key not in known:
            raise UnknownName(f"number of {name}", key, known)
        most, beyond = (1.0, " and below 1") if key in AVERAGES else (math.inf, "")
        if not 0.0 <= float(numbers[key]) < most:
            raise UnrollvizError(f"{key}={numbers[key]}; give a number of at least 0{beyond}")
    return OPTIMIZERS[name]


# --------------------------------------------------------------------------------------------- schedules


def _warmup(done: float) -> float:
    return done / 0.1 if done < 0.1 else _cosine((done - 0.1) / 0.9)


def _cosine(done: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * done))


SCHEDULES: dict[str, tuple[Callable[[float], float], str]] = {
    "constant": (lambda done: 1.0, "the same throughout"),
    "linear": (lambda done: 1.0 - done, "falls to 0 in a straight line"),
    "cosine": (_cosine, "falls to 0 along half a cosine (Loshchilov & Hutter 2017)"),
    "exponential": (lambda done: 0.01**done, "falls by the same factor with each update, to a hundredth"),
    "steps": (lambda done: 0.1 ** ((done >= 0.5) + (done >= 0.75)), "a tenth after half, a hundredth after 3/4"),
    "warmup": (_warmup, "rises from 0 for a tenth of the updates, then as cosine (Vaswani et al. 2017 begin so)"),
}
"""Name -> (part of the updates that are done, 0 to 1 -> factor on the learning rate), and what it does."""


def scheduled(schedule: str, update: int, updates: int) -> float:
    """The factor on the learning rate at an update, counted from 0, of so many. Raises UnknownName."""
    if schedule not in SCHEDULES:
        raise UnknownName("schedule", schedule, SCHEDULES)
    return SCHEDULES[schedule][0](update / max(1, updates))


# ---------------------------------------------------------------------------------------------- clipping


def total_norm(gradients: Iterable[Array]) -> float:
    """Norm of all gradients as one vector: √Σ‖g‖². Right also where squares overflow or underflow."""
    sizes = np.array([np.abs(g).max(initial=0.0) for g in gradients] if (gradients := list(gradients)) else [0.0])
    largest = float(sizes.max())
    if largest == 0 or not math.isfinite(largest):
        return largest
    return largest * math.sqrt(math.fsum(float(((g / largest) ** 2).sum()) for g in gradients))


def clip_by_norm(gradients: Arrays, most: float) -> dict[str, Array]:
    """g ← g · min(1, most / (‖g‖ + 1e-6)), ‖g‖ over all parameters together   (Pascanu, Mikolov & Bengio 2013; the
    1e-6 as in PyTorch)"""
    factor = min(1.0, most / (total_norm(gradients.values()) + 1e-6))
    return {name: g * factor for name, g in gradients.items()}


def clip_by_value(gradients: Arrays, most: float) -> dict[str, Array]:
    """Every entry to within ±most   (Mikolov 2012)"""
    return {name: np.clip(g, -most, most) for name, g in gradients.items()}
