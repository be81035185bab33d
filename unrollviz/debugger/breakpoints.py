"""Where to stop: at nodes, at a step, at a phase, under a condition; and what to watch on the way.

Whether a cursor is hit depends on the run alone and never on where one comes from, so that the same stops are found
in both directions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from unrollviz.arrays import Labels, many_objects
from unrollviz.debugger.events import PHASES
from unrollviz.debugger.expressions import QUANTITIES, BadExpression, Expression, Moment, Value, holds, parse
from unrollviz.debugger.timeline import Timeline
from unrollviz.errors import UnknownName
from unrollviz.graph import Graph
from unrollviz.names import clean


def _is_true(before: Value, now: Value) -> bool:
    return holds(now)


def _flips(before: Value, now: Value) -> bool:
    if before is None or now is None or isinstance(before, str) or isinstance(now, str):
        return False
    return bool(np.any(np.sign(before) * np.sign(now) < 0))


def changed(before: Value, now: Value) -> bool:
    """Do two values of one expression differ, to the last bit? What was not known before has changed too."""
    if before is None or now is None or isinstance(before, str) or isinstance(now, str):
        return before is not now if before is None or now is None else before != now
    return not np.array_equal(before, now, equal_nan=True)


CONDITIONS: dict[str, tuple[str, Callable[[Value, Value], bool]]] = {
    "sign flip of": ("stop where an entry's sign is not what it was an event before", _flips),
    "change of": ("stop where it is not what it was an event before", changed),
    "": ("stop where it holds; for an array: for any entry", _is_true),
}
"""How a condition begins -> what it means, and its test on the values an event before and now."""


@dataclass(frozen=True)
class Condition:
    """An expression, and what is asked of it: a key of CONDITIONS."""

    kind: str
    expression: Expression

    def test(self, timeline: Timeline) -> Callable[[int], bool]:
        """Whether it is met at a cursor ≥ 1, one after another."""
        read, meets = self.expression.reader(), CONDITIONS[self.kind][1]

        def met(cursor: int) -> bool:
            now = Moment.at(timeline.state_at(cursor))
            before = read(Moment(timeline.state_at(cursor - 1), now.node)) if self.kind else None
            return meets(before, read(now))

        return met


@dataclass(frozen=True)
class Breakpoint:
    """Where to stop, made by `breakpoint_at`.

    Attributes:
        text: as it was written.
        nodes: a name or a pattern of names (`s*`), of nodes to which something happens.
        time, phase: a step and a phase;  iteration: a number of updates made before.
        condition: what must hold there; None stops in any case.
        enabled: whether it is looked for.
        hits: how often one has stopped here.
    """

    text: str
    nodes: str | None = None
    time: int | None = None
    phase: str | None = None
    iteration: int | None = None
    condition: Condition | None = None
    enabled: bool = True
    hits: int = 0

    def places(self, timeline: Timeline) -> Labels:
        """The cursors in question, in order, the condition aside.

        With nodes or a condition all of them; a step or a phase alone is hit only where it is entered."""
        columns, learning = timeline.columns, timeline.learning
        right = self.iteration is None or (learning is not None and learning.iteration == self.iteration)
        mask = np.full(timeline.end, right)
        if self.nodes is not None:
            if self.nodes in timeline.graph:
                wanted = np.array([name == self.nodes for name in columns.names], dtype=bool)
            else:
                wanted = np.array([fnmatchcase(name, _pattern(self.nodes)) for name in columns.names], dtype=bool)
            mask &= wanted[columns.nodes]
        if self.time is not None:
            mask &= columns.times == self.time
        if self.phase is not None:
            mask &= columns.phases == list(PHASES).index(self.phase)
        if self.nodes is None and self.condition is None and len(mask):
            entered = np.diff(mask.astype(np.int8), prepend=0) == 1
            if self.time is not None:  # a step is entered anew in every phase
                entered |= mask & (np.diff(columns.phases, prepend=-1) != 0)
            mask = entered
        return np.flatnonzero(mask) + 1


def breakpoint_at(text: str, graph: Graph) -> Breakpoint:
    """The breakpoint in `text`: places, a condition, or `places if condition`; `s3`, `l1.*`, `t=3`, `phase=backward`,
    `iteration=10`.

    Raises BadExpression where it is broken, and UnknownName, with the nearest, for a name that is none of `graph`.
    """
    text = " ".join(text.split())
    before, word, condition = f" {text} ".partition(" if ")
    places = before.split()
    if not text or (word and not condition.strip()):
        raise BadExpression("say where to stop: s3, l1.*, t=3, phase=backward, norm(value) > 10, s* if lag > 5")
    if not word and not all(_is_place(part, graph) for part in places):
        if len(places) == 1 and re.fullmatch(r"[\w.*?]+", text) and text not in QUANTITIES:
            raise UnknownName("node", clean(text), graph)
        return Breakpoint(text, condition=_condition(text, graph))
    said: dict[str, str | int] = {}
    for part in places:
        kind, value = _place(part, graph)
        if kind in said:
            raise BadExpression(f"'{clean(text)}' names two {'nodes' if kind == 'nodes' else f'{kind}s'}; give one")
        said[kind] = value
    return Breakpoint(text, **said, condition=_condition(condition, graph) if word else None)  # type: ignore[arg-type]


def _condition(text: str, graph: Graph) -> Condition:
    kind = next(kind for kind in CONDITIONS if text.strip().startswith(kind))
    return Condition(kind, parse(text.strip().removeprefix(kind), graph))


def _is_place(part: str, graph: Graph) -> bool:
    return bool(re.match(r"(t|phase|iteration)=(?!=)", part)) or _matches(part, graph)


def _place(part: str, graph: Graph) -> tuple[str, str | int]:
    if part.startswith("phase="):
        phase = part.removeprefix("phase=")
        if phase not in PHASES:
            raise UnknownName("phase", clean(phase), PHASES)
        return "phase", phase
    if part.startswith("iteration="):
        number = part.removeprefix("iteration=")
        if not re.fullmatch(r"\d{1,12}", number):
            raise BadExpression(f"'{clean(number)}' is no iteration; give the number of updates made before")
        return "iteration", int(number)
    if part.startswith("t="):
        number = part.removeprefix("t=")
        times = {time for _, time in graph.nodes(data="time") if time is not None}
        if not re.fullmatch(r"\d{1,9}", number) or int(number) not in times:
            raise BadExpression(f"there is no step '{clean(number)}'; steps go from {min(times)} to {max(times)}")
        return "time", int(number)
    if not _matches(part, graph):
        raise UnknownName("node", clean(part), graph)
    return "nodes", part


def _matches(part: str, graph: Graph) -> bool:
    return part in graph or (("*" in part or "?" in part) and any(fnmatchcase(name, _pattern(part)) for name in graph))


def _pattern(nodes: str) -> str:
    """`*` and `?` are all that is special."""
    return nodes.replace("[", "[[]")


@dataclass(frozen=True)
class Watch:
    """An expression that is shown at every stop; with `stops` one also stops where it changes."""

    expression: Expression
    stops: bool = False

    @property
    def text(self) -> str:
        return self.expression.text


@dataclass(frozen=True)
class Hit:
    """A cursor at which to stop, and the places of the breakpoints and watches that ask for it."""

    cursor: int
    breakpoints: tuple[int, ...]
    watches: tuple[int, ...]


@many_objects()
def next_hit(
    timeline: Timeline,
    cursor: int,
    breakpoints: Sequence[Breakpoint],
    watches: Sequence[Watch] = (),
    *,
    forward: bool = True,
    stop: Callable[[], bool] = lambda: False,
) -> Hit | None:
    """The next stop behind the cursor, or the last one before it; None where there is none, or `stop` ended the search.

    Raises BadExpression where a condition cannot be worked out there: its shapes do not fit the node at hand."""
    asked: list[tuple[Labels | range, Callable[[int], bool]]] = []
    for point in breakpoints:
        places: Labels | range = point.places(timeline) if point.enabled else range(0)
        asked.append((places, point.condition.test(timeline) if point.condition else lambda cursor: True))
    for watch in watches:
        everywhere = range(1, timeline.end + 1) if watch.stops else range(0)
        asked.append((everywhere, Condition("change of", watch.expression).test(timeline)))
    for place, askers in _merged([places for places, _ in asked], cursor, timeline.end, forward):
        if stop():
            return None
        met = [index for index in askers if asked[index][1](place)]
        if met:
            first = len(breakpoints)
            return Hit(place, tuple(i for i in met if i < first), tuple(i - first for i in met if i >= first))
    return None


def _merged(places: Sequence[Labels | range], cursor: int, end: int, forward: bool) -> Iterator[tuple[int, list[int]]]:
    """Every cursor in question from `cursor` on, in the direction of travel, and who asks for it."""
    masks = np.zeros((len(places), end + 1), dtype=bool)
    for index, found in enumerate(places):
        if len(found):
            masks[index, np.asarray(found)] = True
    every = np.flatnonzero(masks.any(axis=0)) if len(places) else np.zeros(0, dtype=np.int64)
    ahead = every[every > cursor] if forward else every[every < cursor][::-1]
    for place in ahead.tolist():
        yield place, np.flatnonzero(masks[:, place]).tolist()
