"""The state of the screen: frozen, owned by the app, and led from one to the next by plain functions."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import cached_property

from unrollviz.debugger.timeline import State
from unrollviz.draw.layout import EdgeName, Place
from unrollviz.names import typeset
from unrollviz.tui.scene import Lit, Scene
from unrollviz.tui.wires import Joints, sparse


@dataclass(frozen=True)
class DebugState:
    """What the screen shows.

    Attributes:
        cursor: how many events have happened.
        spot: the place in the grid that is selected.
        lit: the path that is selected.
        note: something to say once.
        busy: what is being worked out at the moment.
    """

    scene: Scene
    cursor: int
    spot: Place
    lit: Lit
    note: str = ""
    busy: str = ""

    @cached_property
    def now(self) -> State:
        """What is known at the cursor."""
        return self.scene.timeline.state_at(self.cursor)

    @property
    def node(self) -> str:
        """The node at the selected place."""
        return self.scene.names[self.spot]

    @cached_property
    def current(self) -> Place | None:
        """Where the last event happened."""
        return _place_of_event(self.scene, self.now)

    @cached_property
    def current_joints(self) -> Joints:
        """The lines through which the last event came about: all arguments of a value, or the one edge back."""
        event, edges = self.now.event, list[EdgeName]()
        if event is not None and event.head is not None:
            edges = [(event.node, event.head, event.key)]
        elif event is not None and event.phase != "sum":
            edges = list(self.scene.timeline.graph.in_edges(event.node, keys=True))
        return sparse(self.scene.layout, edges)


def opening(scene: Scene) -> DebugState:
    """The first state of a scene: nothing has happened, the heaviest path is lit."""
    return at(DebugState(scene, 0, next(iter(scene.names)), scene.light(scene.heaviest())), 0)


def at(state: DebugState, cursor: int) -> DebugState:
    """The state with the cursor moved; the selection goes to where something has just happened, or will."""
    now = state.scene.timeline.state_at(cursor)
    return replace(state, cursor=cursor, spot=_place_of_event(state.scene, now, ahead=True) or state.spot, note="")


def moved(state: DebugState, unit: str, by: int) -> DebugState:
    """The state `by` units of the stepper's UNITS further on, or back where negative."""
    cursor = state.scene.timeline.move(state.cursor, unit, by)
    if cursor == state.cursor:
        return replace(state, note="this is the end" if by > 0 else "this is the start")
    return at(state, cursor)


def ran_to(state: DebugState, forward: bool) -> DebugState:
    """The state after the next, or last, event at the selected node."""
    cursor = state.scene.timeline.seek(state.cursor, state.node, forward=forward)
    if cursor == state.cursor:
        when = "after" if forward else "before"
        return replace(state, note=f"nothing happens to {typeset(state.node)} {when} this")
    return at(state, cursor)


def pointed(state: DebugState, right: int, down: int) -> DebugState:
    """The state with the selection moved to the nearest place in a direction."""
    columns = state.scene.columns
    row, column = state.spot.row, state.spot.column
    if right:
        index = columns[row].index(column) + right
        if 0 <= index < len(columns[row]):
            return selected(state, Place(columns[row][index], row))
        return state
    row += down
    while 0 <= row < len(columns) and not columns[row]:
        row += down
    if not 0 <= row < len(columns):
        return state
    at_or_after = bisect_left(columns[row], column)
    around = columns[row][max(at_or_after - 1, 0) : at_or_after + 1]
    return selected(state, Place(min(around, key=lambda c: abs(c - column)), row))


def selected(state: DebugState, spot: Place) -> DebugState:
    """The state with a place selected; unchanged where nothing stands there."""
    return replace(state, spot=spot, note="") if spot in state.scene.names else state


def listed(state: DebugState, row: int) -> DebugState:
    """The state with another path selected: the first or the last where `row` is past an end."""
    row = min(max(row, 0), max(len(state.scene.listed) - 1, 0))
    return state if row == state.lit.row else replace(state, lit=state.scene.light(row), note="")


def shown(state: DebugState, scene: Scene) -> DebugState:
    """The state in another scene, at the same event or its like; the heaviest of its paths is lit."""
    event, same = state.now.event, scene.timeline is state.scene.timeline
    return at(opening(scene), state.cursor if same else scene.timeline.near(event) if event else 0)


def _place_of_event(scene: Scene, now: State, ahead: bool = False) -> Place | None:
    """Where the last event happened; with `ahead`, at the start, where the next one will."""
    event = now.event or (now.next if ahead else None)
    if event is None:
        return None
    edge = (event.node, event.head or "", event.key)
    return scene.layout.copies.get(edge, scene.layout.nodes.get(event.node))
