"""Where one is in a run: one frozen value for all of a debugger's state, and how it is begun and worked out anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from unrollviz.api import Run
from unrollviz.debugger.breakpoints import Breakpoint, Watch, changed
from unrollviz.debugger.expressions import BadExpression, Moment, Value, parse
from unrollviz.debugger.learner import Learner, Learning, Passed
from unrollviz.debugger.timeline import State, Timeline, timeline
from unrollviz.debugger.whatif import Comparison, Edit, applied, compare
from unrollviz.training.runs import Point


@dataclass(frozen=True)
class Reading:
    """What a watch shows: its value at this stop and at the one before."""

    watch: Watch
    value: Value
    before: Value

    @property
    def changed(self) -> bool:
        return changed(self.before, self.value)


@dataclass(frozen=True, eq=False)
class Stepper:
    """Where one is in a run, and all that one has set up. Made by `opened`.

    Attributes:
        origin: the run that was opened; `run` is the same with all edits made.
        timeline: of `run`, at the level of detail, from the losses.
        target: the node that paths and gradients are about.
        cursor: how many events have happened; `before` is the cursor at the stop before this one.
        edits, undone: what has been changed, in order; and what may be changed again, the last one first.
        view: settings of a screen, kept with the session and not looked at.
        learner: leads from iteration to iteration; None where there is no optimizer, and only this one.
        point: where this iteration begins;  passed: where others do, by number, and what was changed there.
        earlier: the timeline of the stop before this one, where that was in another iteration.
    """

    origin: Run
    run: Run
    timeline: Timeline
    detail: str
    target: str
    cursor: int = 0
    before: int = 0
    breakpoints: tuple[Breakpoint, ...] = ()
    watches: tuple[Watch, ...] = ()
    edits: tuple[Edit, ...] = ()
    undone: tuple[Edit, ...] = ()
    view: Mapping[str, Any] = field(default_factory=dict)
    learner: Learner | None = None
    point: Point | None = None
    passed: Mapping[int, Passed] = field(default_factory=dict)
    earlier: Timeline | None = None

    @property
    def iteration(self) -> int:
        """How many updates were made before this forward pass; 0 where there is no optimizer."""
        return 0 if self.point is None else self.point.iteration

    @property
    def losses(self) -> tuple[str, ...]:
        """Where the backward pass starts."""
        return self.timeline.losses

    @property
    def state(self) -> State:
        """What is known at the cursor."""
        return self.timeline.state_at(self.cursor)

    @property
    def node(self) -> str:
        """The node of the last event; at the start, of the next."""
        return Moment.at(self.state).node

    def value_of(self, text: str, node: str | None = None) -> Value:
        """An expression's value here, about `node` or the node at hand. Raises BadExpression, UnknownName."""
        return parse(text, self.run.graph).at(Moment.at(self.state, node))

    def readings(self) -> tuple[Reading, ...]:
        """What the watches show, one each. Raises BadExpression where one does not fit the node at hand."""
        now = Moment.at(self.state)
        then = Moment.at((self.earlier or self.timeline).state_at(self.before))
        return tuple(Reading(watch, watch.expression.at(now), watch.expression.at(then)) for watch in self.watches)

    def comparison(self) -> Comparison:
        """The run as it was opened, and as it is with all edits, side by side."""
        return compare(self.origin, self.run, self.losses, self.target, self.detail)


def opened(
    run: Run,
    losses: str | Sequence[str] | None = None,
    target: str | None = None,
    detail: str = "state",
    learner: Learner | None = None,
    point: Point | None = None,
) -> Stepper:
    """The stepper at the start of a run; with a learner, of the iteration that begins at `point`.

    Raises UnknownName, with the nearest, for an unknown loss, target or level of detail."""
    target = run.recurrent_weight if target is None else target
    if learner is not None and point is None:
        point = Point(run.network.params, learner.rule.fresh(run.network.params))
    steps = _timeline(run, detail, target, tuple(run.loss_names(losses)), learner, point)
    return Stepper(run, run, steps, detail, target, learner=learner, point=point)


def _timeline(
    run: Run, detail: str, target: str, losses: tuple[str, ...], learner: Learner | None, point: Point | None
) -> Timeline:
    learning = None if learner is None or point is None else Learning(learner, point, run, losses)
    return timeline(run.level(detail, target), losses, learning)


def at(stepper: Stepper, cursor: int) -> Stepper:
    """At a cursor. Raises BadExpression outside the run."""
    if not 0 <= cursor <= stepper.timeline.end:
        raise BadExpression(f"there is no event {cursor}; they go from 0 to {stepper.timeline.end}")
    return replace(stepper, cursor=cursor, before=stepper.cursor, earlier=None)


def rerun(stepper: Stepper, edits: tuple[Edit, ...] | None = None, losses: tuple[str, ...] | None = None) -> Stepper:
    """With other edits or losses, or at another level; what stays the same is not computed again."""
    edits, losses = stepper.edits if edits is None else edits, losses or stepper.losses
    run = stepper.run
    if edits != stepper.edits or (edits and losses != stepper.losses):
        run = applied(stepper.origin, edits, losses)
    graph = run.level(stepper.detail, stepper.target)
    line = stepper.timeline
    if graph is not line.graph or losses != line.losses:
        line = _timeline(run, stepper.detail, stepper.target, losses, stepper.learner, stepper.point)
    cursor = _like(stepper.timeline, line, stepper.cursor)
    before = stepper.before if stepper.earlier else _like(stepper.timeline, line, stepper.before)
    return replace(stepper, run=run, timeline=line, cursor=cursor, before=before, edits=edits)


def _like(old: Timeline, new: Timeline, cursor: int) -> int:
    """The cursor in another timeline behind the same event, or its like."""
    if old is new or cursor == 0 or cursor > old.end:
        return cursor
    event = old.events[cursor - 1]
    same = cursor <= new.end and new.events[cursor - 1] == event
    return cursor if same else new.near(event)
