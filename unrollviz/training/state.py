"""Training, update by update: a state, what makes the next one of it, and nothing else. No files, no terminal.

Every number of a run follows from its settings, its data and its state, so that a run that is broken off and taken up
again gives the same bits: the order of the instances is drawn anew each epoch from (seed, epoch).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from unrollviz.api import ask
from unrollviz.arrays import Array, arithmetic
from unrollviz.batch import PROBE, Batch, counted, part
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.history import History, record, watchable
from unrollviz.network import Network
from unrollviz.optim import SCHEDULES, Memory, optimizer_named
from unrollviz.plan import Plans
from unrollviz.unrolled import unroll_batch
from unrollviz.updates import Rule, Update, updated

Indices = npt.NDArray[np.int64]
Gradients = dict[str, Array]


def by_sweep(network: Network, batch: Batch, plans: Plans) -> tuple[float, Gradients]:
    """L and ∂L/∂ every parameter by one reverse sweep."""
    forward = plans.run(network, batch)
    return forward.loss, forward.gradients()


def by_paths(network: Network, batch: Batch, plans: Plans) -> tuple[float, Gradients]:
    """The same as the sum over all paths, each walked on its own. Raises TooManyPaths."""
    run = ask(unroll_batch(network, batch))
    return run.loss, {name: run.paths(to=name).sum() for name in network.params}


GRADIENTS: dict[str, Callable[[Network, Batch, Plans], tuple[float, Gradients]]] = {
    "sweep": by_sweep,
    "paths": by_paths,
}
"""How the gradient is worked out: the same numbers either way."""

HISTORY_PART = 0.1
"""The part of the training time that a history may take where it is left to choose how often it looks; in a very
short run"""

HISTORY_SECONDS = 0.1
"""so many."""

_ROUND = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80)
"""Tenths that round numbers begin with."""

MEASURED = 4
"""Updates after which it has chosen; the first is not counted, it also makes the plan."""


@dataclass(frozen=True)
class Settings:
    """How a network is trained.

    Attributes:
        epochs: how often every instance is seen.
        optimizer: a name in OPTIMIZERS;  lr: its learning rate, the table's where None;  numbers: its others, by name.
        schedule: a name in SCHEDULES, over all updates.
        clip: the norm to which the gradient of all parameters is clipped;  clip_value: the same of every entry.
        batch: instances of a mini-batch.
        seed: of the order of the instances, and of those kept for validation.
        validation: the part of the instances that is kept for it.
        patience: epochs without a better validation loss after which training ends, with the best parameters.
        gradient: a name in GRADIENTS.
        reduction: over the steps of an instance, "sum" or "mean"; over instances it is the mean.
        watch: the parameters whose gradient the history takes apart; the recurrent weight where none is named.
        every: updates between two records of the history; 0 for none; None chooses, so that they take a tenth of the
            time at most.
    """

    epochs: int = 10
    optimizer: str = "adam"
    lr: float | None = None
    schedule: str = "constant"
    numbers: Mapping[str, float] = field(default_factory=dict)
    clip: float | None = None
    clip_value: float | None = None
    batch: int = 32
    seed: int = 0
    validation: float = 0.0
    patience: int | None = None
    gradient: str = "sweep"
    reduction: str = "sum"
    watch: tuple[str, ...] = ()
    every: int | None = None

    @property
    def rule(self) -> Rule:
        """What becomes of a gradient."""
        return Rule(self.optimizer, self.lr, self.numbers, self.schedule, self.clip, self.clip_value)


def check(settings: Settings) -> None:
    """Raise UnrollvizError for a setting that is none, naming it and what is valid."""
    optimizer_named(settings.optimizer, settings.numbers)
    for kind, name, valid in (
        ("schedule", settings.schedule, SCHEDULES),
        ("way to work out the gradient", settings.gradient, GRADIENTS),
    ):
        if name not in valid:
            raise UnknownName(kind, name, valid)
    for what, whole, least in (
        ("epochs", settings.epochs, 1),
        ("batch", settings.batch, 1),
        ("seed", settings.seed, 0),
        ("patience", settings.patience, 1),
        ("every", settings.every, 0),
    ):
        if whole is not None and (not isinstance(whole, (int, np.integer)) or isinstance(whole, bool) or whole < least):
            raise UnrollvizError(f"{what}={whole}; give a whole number of at least {least}")
    for what, number in (("lr", settings.lr), ("clip", settings.clip), ("clip_value", settings.clip_value)):
        if number is not None and not 0 < number < math.inf:
            raise UnrollvizError(f"{what}={number}; give a number above 0")
    if not 0 <= settings.validation < 1:
        raise UnrollvizError(f"validation={settings.validation}; give a part of the instances, from 0 to below 1")
    if settings.patience is not None and settings.validation == 0:
        raise UnrollvizError("patience waits for a better validation loss; give validation too, 0.1 for instance")


@dataclass(frozen=True, eq=False)
class Data:
    """All instances, their weights not yet divided by anything, and which of them are for what.

    Attributes:
        trained: indices of the instances that are trained on;  kept: of those for validation.
        probe: the batch that the history looks at.
    """

    whole: Batch
    trained: Indices
    kept: Indices
    probe: Batch


def split(whole: Batch, settings: Settings) -> Data:
    """The instances, some of them kept for validation. Raises UnrollvizError where that leaves none to train on."""
    instances = whole.inputs.shape[1]
    keep = math.ceil(settings.validation * instances)
    if keep >= instances:
        raise UnrollvizError(
            f"validation={settings.validation:g} of {instances} instance{'s' * (instances > 1)} leaves none to train "
            "on; give more instances, or no validation"
        )
    order = np.random.default_rng([settings.seed, 12]).permutation(instances)
    trained = np.sort(order[keep:])
    return Data(whole, trained, np.sort(order[:keep]), part(whole, trained[:PROBE], settings.reduction))


@dataclass(frozen=True, eq=False)
class State:
    """A run between two updates: all that the next one depends on, and what came of those before.

    Attributes:
        params: the parameters;  memory: what the optimizer remembers.
        epoch: epochs that are complete;  position: mini-batches of the next one that are done.
        running: sums over them: of the losses, of what the losses are divided by, of the gradients' norms.
        losses, gradient_norms: of every complete epoch: the mean over its instances, and over its updates.
        validation_losses: of every complete epoch, where there is validation.
        best: the parameters of the lowest validation loss.
        history: the records so far;  every: updates between two of them, None before that is chosen.
        loss, norm: of the last mini-batch: L, and ‖∂L/∂θ‖ before clipping.
        seconds: what training took so far, records and all.
    """

    params: Mapping[str, Array]
    memory: Memory
    epoch: int = 0
    position: int = 0
    running: tuple[float, float, float] = (0.0, 0.0, 0.0)
    losses: tuple[float, ...] = ()
    gradient_norms: tuple[float, ...] = ()
    validation_losses: tuple[float, ...] = ()
    best: Mapping[str, Array] | None = None
    history: History | None = None
    every: int | None = None
    loss: float = math.nan
    norm: float = math.nan
    seconds: float = 0.0

    @property
    def updates(self) -> int:
        """How many updates were made."""
        return self.memory.updates

    @property
    def waited(self) -> int:
        """Epochs since the lowest validation loss."""
        return len(self.validation_losses) - 1 - int(np.argmin(self.validation_losses)) if self.validation_losses else 0


@dataclass(frozen=True, eq=False)
class Training:
    """A network, its data and how it is trained: makes the first state, and the next one of any."""

    network: Network
    data: Data
    settings: Settings
    watched: tuple[str, ...]
    plans: Plans = field(default_factory=Plans)

    @classmethod
    def of(cls, network: Network, whole: Batch, settings: Settings) -> Training:
        """Checks all of it. Raises UnrollvizError."""
        check(settings)
        return cls(network, split(whole, settings), settings, watchable(network, settings.watch))

    @property
    def updates_an_epoch(self) -> int:
        return math.ceil(len(self.data.trained) / self.settings.batch)

    @property
    def updates(self) -> int:
        """Of all epochs."""
        return self.updates_an_epoch * self.settings.epochs

    def first(self) -> State:
        """Before the first update; recorded, if there is to be a history."""
        params = dict(self.network.params)
        state = State(params, self.settings.rule.fresh(params), every=self.settings.every)
        with arithmetic():
            pass  # sets itself up the first time, which is no part of what a record takes
        return state if state.every == 0 else self._recorded(state, None)

    def finished(self, state: State) -> bool:
        """Whether all epochs are done, or the validation loss has not become better for long enough."""
        if state.position > 0 or state.epoch == 0:
            return False
        patience = self.settings.patience
        return state.epoch >= self.settings.epochs or (patience is not None and state.waited >= patience)

    def next(self, state: State) -> State:
        """One update, and what is due after it: a record, the end of an epoch.

        Raises NonFinite, naming the node, where a value, a cotangent or a parameter is none any more."""
        start = time.perf_counter()
        batch = self._batch(state.epoch, state.position)
        loss, made = self.made(state.params, state.memory, batch.part)
        sums = (
            state.running[0] + loss * batch.counted,
            state.running[1] + batch.counted,
            state.running[2] + made.norm,
        )
        after = replace(
            state,
            params=made.new,
            memory=made.memory,
            position=state.position + 1,
            running=sums,
            loss=loss,
            norm=made.norm,
        )
        if after.position == self.updates_an_epoch:
            after = self._epoch_ended(after)
        after = replace(after, seconds=state.seconds + time.perf_counter() - start)
        return self._looked_at(after, state)

    def made(self, params: Mapping[str, Array], memory: Memory, batch: Batch) -> tuple[float, Update]:
        """L of a batch, and the update made from it. Raises NonFinite."""
        network = self.network.replace(**params)
        loss, gradients = GRADIENTS[self.settings.gradient](network, batch, self.plans)
        return loss, updated(self.settings.rule, memory, params, gradients, self.updates)

    def trained(self, state: State) -> Network:
        """The network that came of it: with patience the best by validation, else the last."""
        best = state.best if self.settings.patience is not None else None
        return self.network.replace(**(best or state.params))

    def batch_at(self, update: int) -> Batch:
        """The mini-batch that the update after so many others is made from."""
        return self._batch(*divmod(update, self.updates_an_epoch)).part

    def _batch(self, epoch: int, position: int) -> _Part:
        order = np.random.default_rng([self.settings.seed, 13, epoch]).permutation(self.data.trained)
        size = self.settings.batch
        return self._part(np.sort(order[position * size : (position + 1) * size]))

    def _part(self, which: Indices) -> _Part:
        whole, reduction = self.data.whole, self.settings.reduction
        return _Part(part(whole, which, reduction), counted(whole.weights[:, which], reduction))

    def _epoch_ended(self, state: State) -> State:
        loss, count, norms = state.running
        mean = loss / count if count > 0 else 0.0
        after = replace(
            state,
            epoch=state.epoch + 1,
            position=0,
            running=(0.0, 0.0, 0.0),
            losses=(*state.losses, mean),
            gradient_norms=(*state.gradient_norms, norms / self.updates_an_epoch),
        )
        if len(self.data.kept) == 0:
            return after
        after = replace(after, validation_losses=(*after.validation_losses, self._validated(after.params)))
        return replace(after, best=after.params) if after.waited == 0 else after

    def _validated(self, params: Mapping[str, Array]) -> float:
        """The mean loss over the instances that are kept for it."""
        network, size, kept = self.network.replace(**params), self.settings.batch, self.data.kept
        parts = [self._part(kept[start : start + size]) for start in range(0, len(kept), size)]
        losses = [self.plans.run(network, one.part).loss * one.counted for one in parts]
        return math.fsum(losses) / max(math.fsum(one.counted for one in parts), 1e-300)

    def _looked_at(self, state: State, before: State) -> State:
        """With one more record, where one is due."""
        if state.history is None:
            return state
        if state.every is None and (state.updates >= MEASURED or self.finished(state)):
            state = replace(state, every=self._chosen(state, before))
        due = state.every is not None and state.updates % state.every == 0
        return self._recorded(state, before.params) if due or self.finished(state) else state

    def _chosen(self, state: State, before: State) -> int:
        """The least round number of updates between two records by which they take no more time than they may."""
        assert state.history is not None
        one, an_update = float(state.history.seconds[0]), state.seconds - before.seconds
        allowed = max(0.8 * HISTORY_PART * self.updates * an_update, HISTORY_SECONDS)  # times vary
        spare = allowed - 2 * one  # the first and the last are always made
        steps: Iterator[int] = (tenths * 10**power // 10 for power in range(9) for tenths in _ROUND)
        return next(every for every in steps if every >= self.updates or one * self.updates <= spare * every)

    def _recorded(self, state: State, before: Mapping[str, Array] | None) -> State:
        start = time.perf_counter()
        network = self.network.replace(**state.params)
        found = record(network, self.data.probe, self.watched, state.updates, state.epoch, before)
        seconds = time.perf_counter() - start
        found = replace(found, seconds=np.array([seconds]))
        history = found if state.history is None else state.history.followed_by(found)
        return replace(state, history=history, seconds=state.seconds + seconds)


@dataclass(frozen=True, eq=False)
class _Part:
    """A mini-batch, and by what its loss was divided."""

    part: Batch
    counted: float
