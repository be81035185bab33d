"""The stepper: plain functions that lead from one `Stepper` to the next.

Every function returns a new `Stepper` and leaves the old one as it is; where it raises, nothing has happened.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace

from unrollviz.debugger.breakpoints import Hit, Watch, breakpoint_at, next_hit
from unrollviz.debugger.expressions import BadExpression, parse
from unrollviz.debugger.iterations import at_iteration, beyond, come_from, entered, learner_of, with_parameters_of
from unrollviz.debugger.place import Reading, Stepper, at, opened, rerun
from unrollviz.debugger.whatif import edit
from unrollviz.errors import UnrollvizError
from unrollviz.graph import node_named

__all__ = [
    "Reading",
    "Stepper",
    "at",
    "at_iteration",
    "chosen",
    "continued",
    "edited",
    "gone_to",
    "leaves",
    "moved",
    "opened",
    "redone",
    "undone",
    "with_breakpoint",
    "with_enabled",
    "with_parameters_of",
    "with_watch",
    "without_breakpoint",
    "without_watch",
]


def moved(stepper: Stepper, unit: str, by: int) -> Stepper:
    """`by` units of UNITS further on, or back where negative: through the iterations, where there are several.

    The end of one and the start of the next are the same moment. The first start and the last end are not passed.

    Raises UnknownName; NonFinite where an update leads to no finite number."""
    here, rest = stepper, abs(by)
    while True:
        cursor, rest = _within(here, unit, rest, by > 0)
        after = beyond(here, by > 0)
        if after is None or (rest == 0 and (by >= 0 or cursor > 0)):
            return come_from(at(here, cursor), stepper)
        here = entered(here, after)
        here = replace(here, cursor=0 if by > 0 else here.timeline.end)


def leaves(stepper: Stepper, unit: str, by: int) -> bool:
    """Whether that leads to another iteration, which takes a moment. Raises UnknownName."""
    cursor, rest = _within(stepper, unit, abs(by), by > 0)
    return beyond(stepper, by > 0) is not None and (rest > 0 or (by < 0 and cursor == 0))


def _within(stepper: Stepper, unit: str, by: int, forward: bool) -> tuple[int, int]:
    """The cursor so many units on in this iteration, and how many are left at its end."""
    stops, cursor = stepper.timeline.stops(unit), stepper.cursor
    index = bisect_right(stops, cursor) - 1 if forward else bisect_left(stops, cursor)
    room = len(stops) - 1 - index if forward else index
    taken = min(room, by)
    return (stops[index + taken if forward else index - taken] if taken else cursor), by - taken


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
        line, after = here.timeline, beyond(here, forward)
        hit = next_hit(line, here.cursor, here.breakpoints, here.watches, forward=forward, stop=watched)
        if asked_to_stop:
            return stepper, None
        if hit is not None:
            break
        end = line.end if forward else 0
        if after is None or (not anything and stepper.cursor != end):
            return come_from(at(here, end), stepper), None
        here = entered(here, after)
        if not anything:
            return come_from(at(here, here.timeline.end if forward else 0), stepper), None
        here = replace(here, cursor=0 if forward else here.timeline.end + 1)
    counted = tuple(
        replace(point, hits=point.hits + 1) if index in hit.breakpoints else point
        for index, point in enumerate(stepper.breakpoints)
    )
    return replace(come_from(at(here, hit.cursor), stepper), breakpoints=counted), hit


def with_breakpoint(stepper: Stepper, text: str) -> Stepper:
    """With one more breakpoint. Raises BadExpression, UnknownName; also where it names nodes of a finer level only."""
    point = breakpoint_at(text, stepper.run.graph)
    if point.phase == "update" or point.iteration is not None:
        learner_of(stepper)
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
    return replace(rerun(stepper, edits=(*stepper.edits, made)), undone=())


def undone(stepper: Stepper) -> Stepper:
    """Without the last edit. Raises UnrollvizError where there is none."""
    if not stepper.edits:
        raise UnrollvizError("nothing has been changed, so there is nothing to undo")
    *rest, last = stepper.edits
    return replace(rerun(stepper, edits=tuple(rest)), undone=(last, *stepper.undone))


def redone(stepper: Stepper) -> Stepper:
    """With the edit that was undone last. Raises UnrollvizError where there is none."""
    if not stepper.undone:
        raise UnrollvizError("nothing has been undone, so there is nothing to do again")
    first, *rest = stepper.undone
    return replace(rerun(stepper, edits=(*stepper.edits, first)), undone=tuple(rest))


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
    return rerun(asked, losses=names)
