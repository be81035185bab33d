"""The stepper: one frozen value for all of a debugger's state, and plain functions that lead from one to the next.

Every function returns a new `Stepper` and leaves the old one as it is; where it raises, nothing has happened.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from unrollviz.api import Run
from unrollviz.debugger.breakpoints import Breakpoint, Hit, Watch, breakpoint_at, changed, next_hit
from unrollviz.debugger.expressions import BadExpression, Moment, Value, parse
from unrollviz.debugger.learner import Learner, Learning, Passed, fitted, point_at
from unrollviz.debugger.timeline import State, Timeline, timeline
from unrollviz.debugger.whatif import Comparison, Edit, applied, compare, edit
from unrollviz.errors import UnrollvizError
from unrollviz.graph import node_named
from unrollviz.runs import Point


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

    def like(self, iteration: int) -> Run:
        """What this iteration is given, with the parameters of another one. Raises UnrollvizError, NonFinite."""
        point = point_at(_learner(self), _with_this(self), iteration, _chosen_losses(self))
        return _learner(self).run(point, self.run.batch)


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


def moved(stepper: Stepper, unit: str, by: int) -> Stepper:
    """`by` units of UNITS further on, or back where negative: through the iterations, where there are several.

    The end of one and the start of the next are the same moment. The first start and the last end are not passed.

    Raises UnknownName; NonFinite where an update leads to no finite number."""
    here, rest = stepper, abs(by)
    while True:
        cursor, rest = _within(here, unit, rest, by > 0)
        beyond = _beyond(here, by > 0)
        if beyond is None or (rest == 0 and (by >= 0 or cursor > 0)):
            return _come_from(at(here, cursor), stepper)
        here = _entered(here, beyond)
        here = replace(here, cursor=0 if by > 0 else here.timeline.end)


def leaves(stepper: Stepper, unit: str, by: int) -> bool:
    """Whether that leads to another iteration, which takes a moment. Raises UnknownName."""
    cursor, rest = _within(stepper, unit, abs(by), by > 0)
    return _beyond(stepper, by > 0) is not None and (rest > 0 or (by < 0 and cursor == 0))


def _within(stepper: Stepper, unit: str, by: int, forward: bool) -> tuple[int, int]:
    """The cursor so many units on in this iteration, and how many are left at its end."""
    stops, cursor = stepper.timeline.stops(unit), stepper.cursor
    index = bisect_right(stops, cursor) - 1 if forward else bisect_left(stops, cursor)
    room = len(stops) - 1 - index if forward else index
    taken = min(room, by)
    return (stops[index + taken if forward else index - taken] if taken else cursor), by - taken


def _beyond(stepper: Stepper, forward: bool) -> int | None:
    """The iteration after this one, or before it."""
    if stepper.learner is None:
        return None
    if forward:
        return stepper.iteration + 1 if stepper.iteration < stepper.learner.updates else None
    return stepper.iteration - 1 if stepper.iteration > stepper.learner.first else None


def at_iteration(stepper: Stepper, iteration: int) -> Stepper:
    """At the like of this event in another iteration. Raises UnrollvizError, NonFinite."""
    return _come_from(_entered(stepper, iteration), stepper)


def _come_from(after: Stepper, stepper: Stepper) -> Stepper:
    """With the stop before this one known, whatever lies between."""
    earlier = None if after.timeline is stepper.timeline else stepper.timeline
    return replace(after, before=stepper.cursor, earlier=earlier)


def _entered(stepper: Stepper, iteration: int) -> Stepper:
    """At the like of this event in another iteration, with what was changed there before."""
    learner, losses = _learner(stepper), _chosen_losses(stepper)
    if iteration == stepper.iteration:
        return stepper
    passed = _with_this(stepper)
    learning = stepper.timeline.learning
    if iteration == stepper.iteration + 1 and iteration not in passed and learning is not None:
        passed[iteration] = Passed(learning.next, losses=losses)
    point = point_at(learner, passed, iteration, losses)
    one = passed.get(iteration, Passed(point, losses=losses))
    if one.losses != losses:
        passed = {k: other for k, other in passed.items() if k <= iteration}
    passed[iteration] = one
    run = learner.run(point)
    names = losses if losses and set(losses) <= set(run.loss_names()) else tuple(run.loss_names())
    target = stepper.target if stepper.target in run.graph else run.recurrent_weight
    fresh = replace(
        stepper,
        origin=run,
        run=run,
        target=target,
        point=point,
        passed=fitted(passed, iteration, learner.first),
        edits=(),
        undone=(),
    )
    return replace(_rerun(fresh, edits=one.edits, losses=names), undone=one.undone)


def _learner(stepper: Stepper) -> Learner:
    if stepper.learner is None:
        raise UnrollvizError(
            "there is one iteration only, for there is no optimizer; open it with debug --optimizer adam, or open a "
            "run's folder"
        )
    return stepper.learner


def _chosen_losses(stepper: Stepper) -> tuple[str, ...] | None:
    """The losses in question; None where they are all there are."""
    return None if stepper.losses == tuple(stepper.run.loss_names()) else stepper.losses


def _with_this(stepper: Stepper) -> dict[int, Passed]:
    """All iterations that have been passed, and this one as it stands; what follows other numbers is forgotten."""
    assert stepper.point is not None
    this = Passed(stepper.point, stepper.edits, stepper.undone, _chosen_losses(stepper))
    before = stepper.passed.get(stepper.iteration, this)
    same = (before.edits, before.losses) == (this.edits, this.losses)
    kept = {k: one for k, one in stepper.passed.items() if same or k < stepper.iteration}
    return kept | {stepper.iteration: this}


def gone_to(stepper: Stepper, node: str, *, forward: bool = True) -> Stepper:
    """At the next event, or the last one, that happens to a node; unchanged where there is none. Raises UnknownName."""
    return at(stepper, stepper.timeline.seek(stepper.cursor, node, forward=forward))


def continued(
    stepper: Stepper, *, forward: bool = True, stop: Callable[[], bool] = lambda: False
) -> tuple[Stepper, Hit | None]:
    """At the next stop, or the last one, in whichever iteration; without any at the end, or at the start. The
    breakpoints hit are counted.

    Where `stop`, asked before every place that is looked at, says so, nothing has moved."""
    asked_to_stop = False

    def watched() -> bool:
        nonlocal asked_to_stop
        asked_to_stop = asked_to_stop or stop()
        return asked_to_stop

    here = stepper
    anything = any(point.enabled for point in stepper.breakpoints) or any(watch.stops for watch in stepper.watches)
    while True:
        line, beyond = here.timeline, _beyond(here, forward)
        hit = next_hit(line, here.cursor, here.breakpoints, here.watches, forward=forward, stop=watched)
        if asked_to_stop:
            return stepper, None
        if hit is not None:
            break
        end = line.end if forward else 0
        if beyond is None or (not anything and stepper.cursor != end):
            return _come_from(at(here, end), stepper), None
        here = _entered(here, beyond)
        if not anything:
            return _come_from(at(here, here.timeline.end if forward else 0), stepper), None
        here = replace(here, cursor=0 if forward else here.timeline.end + 1)
    counted = tuple(
        replace(point, hits=point.hits + 1) if index in hit.breakpoints else point
        for index, point in enumerate(stepper.breakpoints)
    )
    return replace(_come_from(at(here, hit.cursor), stepper), breakpoints=counted), hit


def with_breakpoint(stepper: Stepper, text: str) -> Stepper:
    """With one more breakpoint. Raises BadExpression, UnknownName; also where it names nodes of a finer level only."""
    point = breakpoint_at(text, stepper.run.graph)
    if point.phase == "update" or point.iteration is not None:
        _learner(stepper)
    if point.nodes is not None and not len(replace(point, condition=None).places(stepper.timeline)):
        raise BadExpression(f"nothing happens to {point.nodes} at level {stepper.detail}; choose a finer level first")
    return replace(stepper, breakpoints=(*stepper.breakpoints, point))


def with_enabled(stepper: Stepper, index: int, enabled: bool) -> Stepper:
    """With the breakpoint at `index` looked for, or not. Raises IndexError."""
    points = list(stepper.breakpoints)
    points[index] = replace(points[index], enabled=enabled)
    return replace(stepper, breakpoints=tuple(points))


def without_breakpoint(stepper: Stepper, index: int) -> Stepper:
    """Without the breakpoint at `index`. Raises IndexError."""
    points = list(stepper.breakpoints)
    del points[index]
    return replace(stepper, breakpoints=tuple(points))


def with_watch(stepper: Stepper, text: str, *, stops: bool = False) -> Stepper:
    """With one more watch; with `stops` it also stops where it changes. Raises BadExpression, UnknownName."""
    return replace(stepper, watches=(*stepper.watches, Watch(parse(text, stepper.run.graph), stops)))


def without_watch(stepper: Stepper, index: int) -> Stepper:
    """Without the watch at `index`. Raises IndexError."""
    watches = list(stepper.watches)
    del watches[index]
    return replace(stepper, watches=tuple(watches))


def edited(stepper: Stepper, text: str) -> Stepper:
    """With one more edit, at the same event. Raises BadEdit, UnknownName, NonFinite."""
    made = edit(text, stepper.run)
    return replace(_rerun(stepper, edits=(*stepper.edits, made)), undone=())


def undone(stepper: Stepper) -> Stepper:
    """Without the last edit. Raises UnrollvizError where there is none."""
    if not stepper.edits:
        raise UnrollvizError("nothing has been changed, so there is nothing to undo")
    *rest, last = stepper.edits
    return replace(_rerun(stepper, edits=tuple(rest)), undone=(last, *stepper.undone))


def redone(stepper: Stepper) -> Stepper:
    """With the edit that was undone last. Raises UnrollvizError where there is none."""
    if not stepper.undone:
        raise UnrollvizError("nothing has been undone, so there is nothing to do again")
    first, *rest = stepper.undone
    return replace(_rerun(stepper, edits=(*stepper.edits, first)), undone=tuple(rest))


def chosen(
    stepper: Stepper,
    *,
    losses: str | Sequence[str] | None = None,
    target: str | None = None,
    detail: str | None = None,
) -> Stepper:
    """With other losses (all of them: "all"), another target or level of detail, at the like of the event.

    Raises UnknownName."""
    names = stepper.losses if losses is None else tuple(stepper.run.loss_names(None if losses == "all" else losses))
    node_named(stepper.run.graph, target or stepper.target, "parameter or node")
    asked = replace(stepper, target=target or stepper.target, detail=detail or stepper.detail)
    return _rerun(asked, losses=names)


def _rerun(stepper: Stepper, edits: tuple[Edit, ...] | None = None, losses: tuple[str, ...] | None = None) -> Stepper:
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
