"""One update of all parameters, taken apart: gradient, what clipping leaves of it, step, new value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from unrollviz.arrays import Array
from unrollviz.errors import NonFinite
from unrollviz.jacobians import frobenius
from unrollviz.optim import Arrays, Memory, clip_by_norm, clip_by_value, optimizer_named, scheduled, total_norm, update


@dataclass(frozen=True)
class Rule:
    """What becomes of a gradient; see `training.Settings` for what each of these is."""

    optimizer: str = "adam"
    lr: float | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    schedule: str = "constant"
    clip: float | None = None
    clip_value: float | None = None

    @property
    def base(self) -> float:
        """The learning rate before its schedule."""
        return optimizer_named(self.optimizer, self.numbers).lr if self.lr is None else self.lr

    def fresh(self, params: Arrays) -> Memory:
        """What the optimizer remembers before its first update."""
        return Memory.fresh(optimizer_named(self.optimizer, self.numbers), params)


@dataclass(frozen=True, eq=False)
class Update:
    """One update, made by `updated`.

    Attributes:
        rate: its learning rate.
        old, new: the parameters before and after it, by name;  memory: what the optimizer remembers after it.
        gradients: ∂L/∂θ;  clipped: what the optimizer was given.
        norm: ‖∂L/∂θ‖ over all parameters together, before clipping.
    """

    rate: float
    old: Arrays
    new: Arrays
    memory: Memory
    gradients: Arrays
    clipped: Arrays
    norm: float

    def step(self, name: str) -> Array:
        """Δθ = new - old: old + Δθ is new to the last bit (of adamw, which changes θ twice, to the last but one)."""
        return np.asarray(self.new[name] - self.old[name])

    def ratio(self, name: str) -> float:
        """‖Δθ‖ / ‖θ‖; NaN where θ = 0."""
        size = frobenius(self.old[name])
        return frobenius(self.step(name)) / size if size > 0 else math.nan


def updated(rule: Rule, memory: Memory, params: Arrays, gradients: Arrays, updates: int) -> Update:
    """The update after `memory.updates` others, of so many in all, which schedules depend on.

    Raises NonFinite, naming the parameter, where one is no finite number any more."""
    norm, clipped = total_norm(gradients.values()), gradients
    if rule.clip_value is not None:
        clipped = clip_by_value(clipped, rule.clip_value)
    if rule.clip is not None:
        clipped = clip_by_norm(clipped, rule.clip)
    rate = rule.base * scheduled(rule.schedule, memory.updates, updates)
    optimizer = optimizer_named(rule.optimizer, rule.numbers)
    after, new = update(optimizer, memory, params, clipped, rate, **rule.numbers)
    for name, value in new.items():
        if not np.isfinite(value).all():
            raise NonFinite("the value", name, None, "training diverges; lower the learning rate, or clip")
    return Update(rate, params, new, after, gradients, clipped, norm)
