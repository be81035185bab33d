"""The timeline of a run: where one can stop, how one gets there, and what is known there.

A cursor c, 0 ≤ c ≤ number of events, stands behind the first c events. Nothing is replayed: each node knows the
cursors at which its cotangent changes, so the state at any cursor is a search in a short list and a sum over few
contributions, forwards and backwards alike.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from unrollviz.arrays import Array, Labels, beat, many_objects
from unrollviz.charts import divide
from unrollviz.debugger.backward import Backward
from unrollviz.debugger.events import PHASES, Event, schedule
from unrollviz.errors import UnknownName
from unrollviz.graph import Graph, node_named
from unrollviz.jacobians import Jacobian
from unrollviz.terms import TermSum

if TYPE_CHECKING:
    from unrollviz.debugger.learner import Learning
    from unrollviz.updates import Update

UNITS: dict[str, Callable[[Event], Hashable]] = {
    "event": lambda event: event,
    "node": lambda event: (event.phase, event.head or event.node),
    "step": lambda event: (event.phase, event.time),
    "phase": lambda event: event.phase,
}
"""What the cursor may move by: neighbouring events that are alike in this belong together."""

BLOCK, GROUP = 64, 8
"""Of the running sum at a node every so-many-th is kept, so that a parameter's sum over T steps is found at once; and
behind the last one, sums of smaller groups, so that the next step costs no more than the one before."""


class Contribution(NamedTuple):
    """What one edge adds to a node's cotangent.

    Attributes:
        head: the node whose cotangent is handed back.
        key: the edge's argument position.
        cursor: from this cursor on it is in.
    """

    head: str
    key: int
    cursor: int


@dataclass(frozen=True, eq=False)
class Columns:
    """The events as arrays, an entry each, so that a search among very many of them is one comparison.

    Attributes:
        phases: place in PHASES.
        times: -1 where there is none.
        nodes: place of the node in `names`.
    """

    phases: Labels
    times: Labels
    nodes: Labels
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Timeline:
    """A run's events, made by `timeline`.

    Attributes:
        graph: the graph at the level of detail that is stepped through.
        losses: where the backward pass starts.
        events: everything that happens, in order.
        computed_at: node -> the cursor from which on its value is known: 0 for what is given.
        contributions: node -> what its cotangent is the sum of, in the order of arrival.
        backward: the cotangents handed on; `backward.finish()` works them all out, where there is time for it.
        learning: what its updates are; None where there are none.
    """

    graph: Graph
    losses: tuple[str, ...]
    events: tuple[Event, ...]
    computed_at: dict[str, int]
    contributions: dict[str, list[Contribution]]
    backward: Backward = field(repr=False)
    learning: Learning | None = field(default=None, repr=False)
    _kept: dict[str, list[Array]] = field(default_factory=dict, repr=False)
    _groups: dict[str, tuple[int, list[Array]]] = field(default_factory=dict, repr=False)
    _stops: dict[str, Sequence[int]] = field(default_factory=dict, repr=False)

    @property
    def phases(self) -> tuple[str, ...]:
        """Those of PHASES that there are."""
        return tuple(phase for phase in PHASES if phase != "update" or self.learning is not None)

    @property
    def end(self) -> int:
        """The last cursor: everything has happened."""
        return len(self.events)

    def state_at(self, cursor: int) -> State:
        """What is known at a cursor. Raises IndexError outside 0 … end."""
        if not 0 <= cursor <= self.end:
            raise IndexError(f"cursor {cursor} is outside 0 … {self.end}")
        return State(self, cursor)

    def stops(self, unit: str) -> Sequence[int]:
        """The cursors that lie between two units of UNITS, both ends included.

        Raises UnknownName for an unknown unit."""
        if unit not in UNITS:
            raise UnknownName("unit to move by", unit, UNITS)
        if unit == "event":
            return range(self.end + 1)
        if unit not in self._stops:
            kinds = [UNITS[unit](event) for event in self.events]
            inner = [c for c in range(1, self.end) if kinds[c] != kinds[c - 1]]
            self._stops[unit] = [0, *inner, *([self.end] if self.end else [])]
        return self._stops[unit]

    def move(self, cursor: int, unit: str, by: int) -> int:
        """The cursor `by` units further on, or back where negative; never past an end."""
        stops = self.stops(unit)
        index = bisect_right(stops, cursor) - 1 + by if by > 0 else bisect_left(stops, cursor) + by
        return stops[min(max(index, 0), len(stops) - 1)]

    def visits(self, node: str) -> list[int]:
        """The cursors behind every event that happens to `node`: its value, contributions, sum, update.

        Raises UnknownName, with the nearest name."""
        node_named(self.graph, node)
        computed = [self.computed_at[node]] if self.computed_at[node] else []
        return computed + [c.cursor for c in self.contributions[node]] + self._ends.get(node, [])

    def seek(self, cursor: int, node: str, *, forward: bool = True) -> int:
        """The next cursor, or the one before, at which something has just happened to `node`; else `cursor`."""
        visits = self.visits(node)
        index = bisect_right(visits, cursor) if forward else bisect_left(visits, cursor) - 1
        return visits[index] if 0 <= index < len(visits) else cursor

    def near(self, event: Event) -> int:
        """The cursor behind the like of another timeline's event: in its phase, at its step or the nearest to it, at
        its node where that has one."""
        phase = [c for c, e in enumerate(self.events, 1) if e.phase == event.phase]
        if not phase:
            return 0
        apart = [abs((self.events[c - 1].time or 0) - (event.time or 0)) for c in phase]
        nearest = min(apart)
        step = [c for c, steps in zip(phase, apart, strict=True) if steps == nearest]
        node = [c for c in step if self.events[c - 1].node == event.node]
        return (node or step)[-1]

    def contribution(self, node: str, index: int) -> Array:
        """What the contribution `contributions[node][index]` adds to ∂L/∂node: shape of the node."""
        found = self.contributions[node][index]
        with np.errstate(all="ignore"):
            return self._leave_chart(node, self._edge(node, found).vjp(self.backward.row(found.head))[0])

    def cotangent(self, node: str, arrived: int) -> Array:
        """The sum of the first `arrived` contributions to ∂L/∂node: shape of the node.

        Added in the same groups whatever was asked before, so that it is the same to the last bit from either side."""
        if node in self.starts:
            return np.ones(())
        block, rest = divmod(arrived, BLOCK)
        with self.backward.lock, np.errstate(all="ignore"):
            if len(self.contributions[node]) <= GROUP:
                return self._leave_chart(node, self._few(node, arrived))
            kept = self._kept.setdefault(node, [np.zeros(self.graph.nodes[node]["value"].shape)])
            while len(kept) <= block:
                start = (len(kept) - 1) * BLOCK
                kept.append(kept[-1] + self._sum(node, start, start + BLOCK))
            total = kept[block]
            for group in self._groups_of(node, block, rest // GROUP):
                total = total + group
            return self._leave_chart(node, total + self._sum(node, arrived - rest % GROUP, arrived))

    def _few(self, node: str, arrived: int) -> Array:
        total = np.zeros(self.graph.nodes[node]["value"].shape)
        for found in self.contributions[node][:arrived]:
            total += self._edge(node, found).vjp(self.backward.row(found.head))[0]
        return total

    def _groups_of(self, node: str, block: int, count: int) -> list[Array]:
        """The sums of the first `count` groups behind a block; kept for the block of the node looked at last."""
        found, groups = self._groups.get(node, (block, []))
        if found != block:
            groups = []
        for start in range(block * BLOCK + len(groups) * GROUP, block * BLOCK + count * GROUP, GROUP):
            groups.append(self._sum(node, start, start + GROUP))
        self._groups[node] = (block, groups)
        return groups[:count]

    def _sum(self, node: str, start: int, stop: int) -> Array:
        total = TermSum(1, self.graph.nodes[node]["value"].shape)
        first = np.zeros(1, dtype=np.int64)
        for found in self.contributions[node][start:stop]:
            total.add(first, self.backward.row(found.head), self._edge(node, found))
        return np.asarray(total.result()[0])

    def _edge(self, node: str, found: Contribution) -> Jacobian:
        jacobian: Jacobian = self.graph.edges[node, found.head, found.key]["jacobian"]
        return jacobian

    def _leave_chart(self, node: str, cotangent: Array) -> Array:
        """From the coordinate in which cotangents at `node` are kept to the textbook's."""
        scale = self.graph.nodes[node].get("scale")
        return cotangent if scale is None else divide(cotangent, scale)

    @cached_property
    def starts(self) -> frozenset[str]:
        """The losses: a long run has thousands of them to look among."""
        return frozenset(self.losses)

    @cached_property
    @many_objects()
    def crossed_at(self) -> dict[tuple[str, str, int], int]:
        """(tail, head, key) -> the cursor from which on the backward pass has gone through that edge."""
        return {(e.node, e.head, e.key): cursor for cursor, e in enumerate(self.events, 1) if e.head is not None}

    @cached_property
    def columns(self) -> Columns:
        """The events as arrays."""
        names = tuple(self.graph)
        node, phase = {name: i for i, name in enumerate(names)}, {name: i for i, name in enumerate(PHASES)}
        return Columns(
            np.array([phase[event.phase] for event in self.events], dtype=np.int8),
            np.array([-1 if event.time is None else event.time for event in self.events], dtype=np.int64),
            np.array([node[event.node] for event in self.events], dtype=np.int64),
            names,
        )

    @cached_property
    def furthest(self) -> dict[str, tuple[int, int]]:
        """Node -> the first and the last step whose loss depends on it, of the losses asked for."""
        found: dict[str, tuple[int, int]] = {}
        for name in self.losses:
            found[name] = (self.graph.nodes[name]["time"],) * 2
        for head in reversed(list(self.graph)):
            if head in found:
                first, last = found[head]
                for tail in self.graph.pred[head]:
                    low, high = found.get(tail, (first, last))
                    found[tail] = min(low, first), max(high, last)
        return found

    def loss(self, cursor: int) -> float | None:
        """The sum of the losses asked for that are computed at a cursor; None before the first."""
        cursors, sums = self._added
        known = bisect_right(cursors, cursor)
        return sums[known - 1] if known else None

    @cached_property
    def _added(self) -> tuple[list[int], list[float]]:
        found = sorted((self.computed_at[name], float(self.graph.nodes[name]["value"])) for name in self.starts)
        return [cursor for cursor, _ in found], list(accumulate(value for _, value in found))

    def lag(self, event: Event) -> int | None:
        """t - k of an event of the backward pass at step k: how far it is from the furthest loss whose cotangent it
        hands on (|t - k| where a layer reads backwards). None in the other phases."""
        if event.head is None or event.time is None:
            return None
        first, last = self.furthest[event.head]
        return max(abs(last - event.time), abs(event.time - first))

    @cached_property
    def updated_at(self) -> dict[str, int]:
        """Parameter -> the cursor from which on it has its new value."""
        return {name: cursors[-1] for name, cursors in self._ends.items() if self.learning is not None}

    @cached_property
    def _ends(self) -> dict[str, list[int]]:
        """Parameter -> the cursors behind its sum and its update."""
        found: dict[str, list[int]] = {}
        for cursor in range(self.end, 0, -1):
            event = self.events[cursor - 1]
            if event.phase not in ("sum", "update"):
                break
            found.setdefault(event.node, []).insert(0, cursor)
        return found


@many_objects()
def timeline(graph: Graph, losses: Sequence[str], learning: Learning | None = None) -> Timeline:
    """The timeline of the run on `graph`, at any level of detail, whose backward pass starts at `losses`; with an
    update at its end where it is an iteration of `learning`.

    No cotangent is worked out before it is asked for.

    Raises UnknownName for an unknown loss.
    """
    events = schedule(graph, losses, learning is not None)
    computed_at = dict.fromkeys(graph, 0)
    contributions: dict[str, list[Contribution]] = {name: [] for name in graph}
    for cursor, event in enumerate(events, 1):
        if cursor % 64 == 0:
            beat()
        if event.head is not None:
            contributions[event.node].append(Contribution(event.head, event.key, cursor))
        elif event.phase not in ("sum", "update"):
            computed_at[event.node] = cursor
    return Timeline(graph, tuple(losses), events, computed_at, contributions, Backward(graph, losses), learning)


@dataclass(frozen=True)
class State:
    """What is known at a cursor."""

    timeline: Timeline
    cursor: int

    @property
    def event(self) -> Event | None:
        """What has just happened; None at the start."""
        return self.timeline.events[self.cursor - 1] if self.cursor else None

    @property
    def next(self) -> Event | None:
        """What happens next; None at the end."""
        return self.timeline.events[self.cursor] if self.cursor < self.timeline.end else None

    @property
    def phase(self) -> str:
        """The phase of what has just happened; at the start, of what comes next."""
        event = self.event or self.next
        return event.phase if event else "sum"

    def computed(self, node: str) -> bool:
        """Is the value of `node` known?"""
        return self.cursor >= self.timeline.computed_at[node]

    def update(self, name: str) -> Update | None:
        """The update that has just given a parameter its new value, or did before; None before, and where it is none
        of the parameters, or their update does not come to a finite number."""
        learning = self.timeline.learning
        if learning is None or self.cursor < self.timeline.updated_at.get(name, self.timeline.end + 1):
            return None
        return learning.known

    def crossed(self, tail: str, head: str, key: int) -> bool:
        """Has the backward pass gone through this edge?"""
        return self.cursor >= self.timeline.crossed_at.get((tail, head, key), self.timeline.end + 1)

    def arrived(self, node: str) -> int:
        """How many contributions to ∂L/∂node are in. A loss that is asked for has one: ∂L/∂L_t = 1."""
        if node in self.timeline.starts:
            return int(self.computed(node))
        return bisect_right(self.timeline.contributions[node], self.cursor, key=lambda found: found.cursor)

    def expected(self, node: str) -> int:
        """How many contributions there will be in the end; 0 where no loss depends on `node`."""
        return 1 if node in self.timeline.starts else len(self.timeline.contributions[node])

    def cotangent(self, node: str) -> Array | None:
        """∂L/∂node so far, shape of the node, in the textbook's coordinates; None before it gets any."""
        arrived = self.arrived(node)
        return self.timeline.cotangent(node, arrived) if arrived else None
