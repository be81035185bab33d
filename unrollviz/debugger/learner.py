"""How a stepper goes from one iteration to the next: an optimizer, and what the network is given at each iteration.

Iteration k begins after k updates: a forward pass, a loss, a backward pass, and the update that leads to the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from unrollviz.api import Run, ask
from unrollviz.arrays import beat
from unrollviz.batch import Batch
from unrollviz.debugger.whatif import Edit, applied, gradients
from unrollviz.errors import NonFinite, UnrollvizError
from unrollviz.network import Network
from unrollviz.plan import Plans
from unrollviz.training.runs import Point
from unrollviz.unrolled import unroll_batch
from unrollviz.updates import Rule, Update, updated

KEPT = 2**27
"""128 MiB of parameters of iterations that have been passed; of more, those furthest away are worked out again."""


@dataclass(frozen=True, eq=False)
class Learner:
    """What a network learns by, and from.

    Attributes:
        network: as it is built; its numbers are those of a `Point`.
        rule: what becomes of a gradient;  updates: how many there are in all; the last iteration.
        first: the iteration before which there is none.
        batch_at: what it is given at an iteration.
        recorded: the last point kept at or before an iteration; None where there is none.
        vocabulary: what ids stand for;  symbols: node -> what it stands for, where that is known instead.
        moving: whether iterations are given different data: the mini-batches of a run.
        folder: the name of the run's folder; empty where there is none.
    """

    network: Network
    rule: Rule
    updates: int
    first: int
    batch_at: Callable[[int], Batch]
    recorded: Callable[[int], Point | None] = lambda iteration: None
    vocabulary: Sequence[str] | None = None
    symbols: Mapping[str, str] = field(default_factory=dict)
    moving: bool = False
    folder: str = ""
    plans: Plans = field(default_factory=Plans)

    def run(self, point: Point, batch: Batch | None = None) -> Run:
        """The iteration that begins at a point, unrolled; on other data where given. Raises NonFinite."""
        network = self.network.replace(**point.params)
        given = self.batch_at(point.iteration) if batch is None else batch
        run = ask(unroll_batch(network, given, self.vocabulary))
        for name, symbol in self.symbols.items():
            run.graph.nodes[name]["symbol"] = symbol
        return run

    def following(self, point: Point) -> Point:
        """The point after an iteration, its gradient that of all losses. Raises NonFinite."""
        beat()
        network = self.network.replace(**point.params)
        found = self.plans.run(network, self.batch_at(point.iteration)).gradients()
        made = updated(self.rule, point.memory, point.params, found, self.updates)
        return Point(made.new, made.memory)


@dataclass(frozen=True, eq=False)
class Passed:
    """An iteration as one has left it: its point, what has been changed there, and the losses in question.

    `losses` is None for all of them."""

    point: Point
    edits: tuple[Edit, ...] = ()
    undone: tuple[Edit, ...] = ()
    losses: tuple[str, ...] | None = None

    @property
    def own(self) -> bool:
        """Whether what follows is what the learner makes of it, and nobody has changed anything."""
        return not self.edits and self.losses is None


@dataclass(frozen=True, eq=False)
class Learning:
    """What the update of one iteration needs, for its timeline; worked out when it is asked for.

    Attributes:
        run, losses: the iteration, with all edits, and where its backward pass starts.
    """

    learner: Learner
    point: Point
    run: Run
    losses: tuple[str, ...]

    @property
    def iteration(self) -> int:
        return self.point.iteration

    @cached_property
    def update(self) -> Update:
        """The update. Raises NonFinite where the gradient, or a parameter after it, is none."""
        found = gradients(self.run, self.losses)
        return updated(self.learner.rule, self.point.memory, self.run.network.params, found, self.learner.updates)

    @cached_property
    def known(self) -> Update | None:
        """The update; None where there is none."""
        try:
            return self.update
        except NonFinite:
            return None

    @cached_property
    def next(self) -> Point:
        """Where it leads to. Raises NonFinite."""
        return Point(self.update.new, self.update.memory)


def after(learner: Learner, one: Passed) -> Point:
    """The point after an iteration with what was changed there. Raises NonFinite."""
    beat()
    run = learner.run(one.point)
    losses = tuple(one.losses or run.loss_names())
    return Learning(learner, one.point, applied(run, one.edits, losses), losses).next


def point_at(
    learner: Learner, passed: dict[int, Passed], iteration: int, losses: tuple[str, ...] | None = None
) -> Point:
    """The point at an iteration: from where one has been, from what is recorded, or made from the last one before, by
    the losses in question. What is come by on the way is noted in `passed`.

    What follows something that was changed by hand follows from that, not from what is recorded.

    Raises UnrollvizError where there is no such iteration, NonFinite where the way there diverges."""
    if not learner.first <= iteration <= learner.updates:
        raise UnrollvizError(
            f"there is no iteration {iteration:,}; they go from {learner.first:,} to {learner.updates:,}"
        )
    if iteration in passed:
        return passed[iteration].point
    changed = max((k for k, one in passed.items() if not one.own and k < iteration), default=-1)
    before = [one.point for k, one in passed.items() if changed < k < iteration]
    if changed >= 0 and not before:
        before.append(after(learner, passed[changed]))
    elif changed < 0 and (kept := learner.recorded(iteration)) is not None:
        before.append(kept)
    point = max(before, key=lambda one: one.iteration)
    while point.iteration < iteration:
        passed.setdefault(point.iteration, Passed(point, losses=losses))
        point = learner.following(point) if losses is None else after(learner, Passed(point, losses=losses))
    return point


def fitted(passed: Mapping[int, Passed], around: int, first: int) -> dict[int, Passed]:
    """Of the iterations passed as many as there is room for: the nearest ones, the first, and those changed by hand."""
    kept = dict(passed)
    total = sum(one.point.nbytes for one in kept.values())
    for k in sorted(kept, key=lambda k: -abs(k - around)):
        if total <= KEPT:
            break
        if k not in (first, around) and kept[k].own:
            total -= kept[k].point.nbytes
            del kept[k]
    return kept


def constant(run: Run, rule: Rule, updates: int, point: Point | None = None) -> Learner:
    """Learns from the data of a run alone, iteration after iteration; from `point` on, else from its beginning."""
    first = 0 if point is None else point.iteration
    symbols = {name: symbol for name, symbol in run.graph.nodes(data="symbol") if symbol is not None}
    return Learner(run.network, rule, updates, first, lambda iteration: run.batch, symbols=symbols)
