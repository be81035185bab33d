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

import numpy as np

from unrollviz.arrays import Array
from unrollviz.debugger.events import Event, record
from unrollviz.errors import UnknownName
from unrollviz.flow import TermSum
from unrollviz.graph import Graph, node_named
from unrollviz.jacobians import Jacobian, divide

UNITS: dict[str, Callable[[Event], Hashable]] = {
    "event": lambda event: event,
    "node": lambda event: (event.phase, event.head or event.node),
    "step": lambda event: (event.phase, event.time),
    "phase": lambda event: event.phase,
}
"""What the cursor may move by: neighbouring events that are alike in this belong together."""

BLOCK = 64
"""Of the running sum at a node every so-many-th is kept, so that a parameter's sum over T steps is found at once."""


@dataclass(frozen=True)
class Contribution:
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
class Timeline:
    """A run's events, made by `timeline`.

    Attributes:
        graph: the graph at the level of detail that is stepped through.
        losses: where the backward pass starts.
        events: everything that happens, in order.
        computed_at: node -> the cursor from which on its value is known: 0 for what is given.
        contributions: node -> what its cotangent is the sum of, in the order of arrival.
        crossed_at: (tail, head, key) -> the cursor from which on the backward pass has gone through that edge.
    """

    graph: Graph
    losses: tuple[str, ...]
    events: tuple[Event, ...]
    computed_at: dict[str, int]
    contributions: dict[str, list[Contribution]]
    crossed_at: dict[tuple[str, str, int], int]
    _rows: dict[str, Array] = field(repr=False)
    _kept: dict[str, list[Array]] = field(default_factory=dict, repr=False)
    _stops: dict[str, Sequence[int]] = field(default_factory=dict, repr=False)

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
        """The cursors behind every event that happens to `node`: its value, its contributions, its sum.

        Raises UnknownName, with the nearest name."""
        node_named(self.graph, node)
        computed = [self.computed_at[node]] if self.computed_at[node] else []
        return computed + [c.cursor for c in self.contributions[node]] + self._sums.get(node, [])

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
            return self._leave_chart(node, self._edge(node, found).vjp(self._rows[found.head])[0])

    def cotangent(self, node: str, arrived: int) -> Array:
        """The sum of the first `arrived` contributions to ∂L/∂node: shape of the node."""
        if node in self.losses:
            return np.ones(())
        kept = self._kept.setdefault(node, [np.zeros(self.graph.nodes[node]["value"].shape)])
        with np.errstate(all="ignore"):
            while len(kept) <= arrived // BLOCK:
                start = (len(kept) - 1) * BLOCK
                kept.append(kept[-1] + self._sum(node, start, start + BLOCK))
            rest = arrived % BLOCK
            return self._leave_chart(node, kept[arrived // BLOCK] + self._sum(node, arrived - rest, arrived))

    def _sum(self, node: str, start: int, stop: int) -> Array:
        total = TermSum(1, self.graph.nodes[node]["value"].shape)
        first = np.zeros(1, dtype=np.int64)
        for found in self.contributions[node][start:stop]:
            total.add(first, self._rows[found.head], self._edge(node, found))
        return np.asarray(total.result()[0])

    def _edge(self, node: str, found: Contribution) -> Jacobian:
        jacobian: Jacobian = self.graph.edges[node, found.head, found.key]["jacobian"]
        return jacobian

    def _leave_chart(self, node: str, cotangent: Array) -> Array:
        """From the coordinate in which cotangents at `node` are kept to the textbook's."""
        scale = self.graph.nodes[node].get("scale")
        return cotangent if scale is None else divide(cotangent, scale)

    @cached_property
    def _sums(self) -> dict[str, list[int]]:
        first = self.stops("phase")[-2] if self.end else 0
        return {event.node: [c] for c, event in enumerate(self.events[first:], first + 1) if event.phase == "sum"}


def timeline(graph: Graph, losses: Sequence[str]) -> Timeline:
    """The timeline of the run on `graph`, at any level of detail, whose backward pass starts at `losses`.

    Raises UnknownName for an unknown loss.
    """
    events, rows = record(graph, losses)
    computed_at = dict.fromkeys(graph, 0)
    contributions: dict[str, list[Contribution]] = {name: [] for name in graph}
    crossed_at: dict[tuple[str, str, int], int] = {}
    for cursor, event in enumerate(events, 1):
        if event.head is not None:
            contributions[event.node].append(Contribution(event.head, event.key, cursor))
            crossed_at[event.node, event.head, event.key] = cursor
        elif event.phase != "sum":
            computed_at[event.node] = cursor
    return Timeline(graph, tuple(losses), events, computed_at, contributions, crossed_at, rows)


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

    def crossed(self, tail: str, head: str, key: int) -> bool:
        """Has the backward pass gone through this edge?"""
        return self.cursor >= self.timeline.crossed_at.get((tail, head, key), self.timeline.end + 1)

    def arrived(self, node: str) -> int:
        """How many contributions to ∂L/∂node are in. A loss that is asked for has one: ∂L/∂L_t = 1."""
        if node in self.timeline.losses:
            return int(self.computed(node))
        return bisect_right(self.timeline.contributions[node], self.cursor, key=lambda found: found.cursor)

    def expected(self, node: str) -> int:
        """How many contributions there will be in the end; 0 where no loss depends on `node`."""
        return 1 if node in self.timeline.losses else len(self.timeline.contributions[node])

    def cotangent(self, node: str) -> Array | None:
        """∂L/∂node so far, shape of the node, in the textbook's coordinates; None before it gets any."""
        arrived = self.arrived(node)
        return self.timeline.cotangent(node, arrived) if arrived else None
