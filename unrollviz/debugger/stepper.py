"""The stepper: one frozen value for all of a debugger's state, and plain functions that lead from one to the next.

Every function returns a new `Stepper` and leaves the old one as it is; where it raises, nothing has happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from unrollviz.api import Run
from unrollviz.debugger.breakpoints import Breakpoint, Hit, Watch, breakpoint_at, changed, next_hit
from unrollviz.debugger.expressions import BadExpression, Moment, Value, parse
from unrollviz.debugger.timeline import State, Timeline, timeline
from unrollviz.debugger.whatif import Comparison, Edit, applied, compare, edit
from unrollviz.errors import UnrollvizError
from unrollviz.graph import node_named


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
        now, then = (Moment.at(self.timeline.state_at(cursor)) for cursor in (self.cursor, self.before))
        return tuple(Reading(watch, watch.expression.at(now), watch.expression.at(then)) for watch in self.watches)

    def comparison(self) -> Comparison:
        """The run as it was opened, and as it is with all edits, side by side."""
        return compare(self.origin, self.run, self.losses, self.target, self.detail)


def opened(
    run: Run, losses: str | Sequence[str] | None = None, target: str | None = None, detail: str = "state"
) -> Stepper:
    """The stepper at the start of a run.

    Raises UnknownName, with the nearest, for an unknown loss, target or level of detail."""
    target = run.recurrent_weight if target is None else target
    steps = timeline(run.level(detail, target), run.loss_names(losses))
    return Stepper(run, run, steps, detail, target)


def at(stepper: Stepper, cursor: int) -> Stepper:
    """At a cursor. Raises BadExpression outside the run."""
    if not 0 <= cursor <= stepper.timeline.end:
        raise BadExpression(f"there is no event {cursor}; they go from 0 to {stepper.timeline.end}")
    return replace(stepper, cursor=cursor, before=stepper.cursor)


def moved(stepper: Stepper, unit: str, by: int) -> Stepper:
    """`by` units of UNITS further on, or back where negative; an end is not passed. Raises UnknownName."""
    return at(stepper, stepper.timeline.move(stepper.cursor, unit, by))


def gone_to(stepper: Stepper, node: str, *, forward: bool = True) -> Stepper:
    """At the next event, or the last one, that happens to a node; unchanged where there is none. Raises UnknownName."""
    return at(stepper, stepper.timeline.seek(stepper.cursor, node, forward=forward))


def continued(
    stepper: Stepper, *, forward: bool = True, stop: Callable[[], bool] = lambda: False
) -> tuple[Stepper, Hit | None]:
    """At the next stop, or the last one; without any at the end, or at the start. The breakpoints hit are counted.

    Where `stop`, asked before every place that is looked at, says so, nothing has moved."""
    asked_to_stop = False

    def watched() -> bool:
        nonlocal asked_to_stop
        asked_to_stop = asked_to_stop or stop()
        return asked_to_stop

    line = stepper.timeline
    hit = next_hit(line, stepper.cursor, stepper.breakpoints, stepper.watches, forward=forward, stop=watched)
    if hit is None:
        return stepper if asked_to_stop else at(stepper, line.end if forward else 0), None
    counted = tuple(
        replace(point, hits=point.hits + 1) if index in hit.breakpoints else point
        for index, point in enumerate(stepper.breakpoints)
    )
    return replace(at(stepper, hit.cursor), breakpoints=counted), hit


def with_breakpoint(stepper: Stepper, text: str) -> Stepper:
    """With one more breakpoint. Raises BadExpression, UnknownName; also where it names nodes of a finer level only."""
    point = breakpoint_at(text, stepper.run.graph)
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
        line = timeline(graph, losses)
    cursors = [_like(stepper.timeline, line, cursor) for cursor in (stepper.cursor, stepper.before)]
    return replace(stepper, run=run, timeline=line, cursor=cursors[0], before=cursors[1], edits=edits)


def _like(old: Timeline, new: Timeline, cursor: int) -> int:
    """The cursor in another timeline behind the same event, or its like."""
    if old is new or cursor == 0:
        return cursor
    event = old.events[cursor - 1]
    same = cursor <= new.end and new.events[cursor - 1] == event
    return cursor if same else new.near(event)
