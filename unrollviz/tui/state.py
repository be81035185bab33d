"""The state of the screen: frozen, owned by the app, and led from one to the next by plain functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from unrollviz.debugger import stepper as go
from unrollviz.debugger.events import Event
from unrollviz.debugger.stepper import Stepper
from unrollviz.debugger.timeline import State
from unrollviz.draw.layout import EdgeName, Place
from unrollviz.errors import UnrollvizError
from unrollviz.names import typeset
from unrollviz.tui.apart import VIEWS
from unrollviz.tui.lens import OVERVIEW, PAGES, Lens
from unrollviz.tui.listing import EVERY, Wanted
from unrollviz.tui.marks import Marks, marks
from unrollviz.tui.scene import Lit, Scene
from unrollviz.tui.spans import FOLDED_FROM, MARKED, Span, around, folded, whole
from unrollviz.tui.wires import Joints, sparse

NO_MARKS = Marks()


@dataclass(frozen=True)
class DebugState:
    """What the screen shows.

    Attributes:
        stepper: the run with its edits, the cursor, breakpoints and watches; the scene shows its run and timeline.
        spot: the place in the grid that is selected.
        lit: the path that is selected.
        note: something to say once.
        busy: what is being worked out at the moment.
        broken: the nodes that have a breakpoint; `marks` says where others stand.
        typed: the digits before a key: how often it is to be done.
        panel: which one has the focus.
        folded: whether long spans of steps are folded.
        lens: what of the selected node the inspector shows.
        wanted: which paths are listed, and in which order.
        view: how the gradient is taken apart in the flow panel; one of apart.VIEWS.
        leaving: a move that leads to another iteration, for the app to make: the unit and by how many.
    """

    stepper: Stepper
    scene: Scene
    spot: Place
    lit: Lit
    note: str = ""
    busy: str = ""
    broken: frozenset[str] = frozenset()
    marks: Marks = NO_MARKS
    typed: str = ""
    panel: str = "graph"
    folded: bool = False
    lens: Lens = OVERVIEW
    wanted: Wanted = EVERY
    view: str = "tree"
    leaving: tuple[str, int] | None = None

    @property
    def cursor(self) -> int:
        """How many events have happened."""
        return self.stepper.cursor

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
        elif event is not None and event.phase not in ("sum", "update"):
            edges = list(self.scene.timeline.graph.in_edges(event.node, keys=True))
        return sparse(self.scene.layout, edges)

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The columns that are seen one by one, and those that are folded: what is at hand, where the path turns, the
        losses chosen and what has a breakpoint stay open."""
        scene, columns = self.scene, len(self.scene.layout.times) - 1
        if not self.folded:
            return whole(columns)
        here = {self.spot.column, *((self.current.column,) if self.current else ())}
        kept = around(here) | self.lit.turns | around(c for c in self.lit.turns if len(self.lit.turns) <= 2)
        for names in (scene.losses, self.broken):
            if len(names) <= MARKED:
                kept |= {place.column for name in names if (place := scene.layout.nodes.get(name))}
        return folded(columns, kept)


def opening(scene: Scene, stepper: Stepper | None = None) -> DebugState:
    """The first state of a scene: the heaviest path is lit, a very long run is folded; where no stepper says more,
    nothing has happened."""
    stepper = stepper or Stepper(scene.run, scene.run, scene.timeline, scene.detail, scene.target)
    first = DebugState(
        stepper,
        scene,
        _place_of_event(scene, stepper.state, ahead=True) or next(iter(scene.names)),
        scene.light(scene.heaviest()),
        broken=_broken(stepper, scene),
        marks=marks(stepper.breakpoints, scene.timeline),
    )
    return replace(first, folded=scene.run.steps > FOLDED_FROM)


def with_stepper(state: DebugState, stepper: Stepper) -> DebugState:
    """The state with another stepper of the same timeline; the selection goes to where something has just happened, or
    will, where the cursor has moved."""
    spot, broken, marked = state.spot, state.broken, state.marks
    if stepper.cursor != state.cursor:
        spot = _place_of_event(state.scene, stepper.state, ahead=True) or spot
    if stepper.breakpoints is not state.stepper.breakpoints:
        broken, marked = _broken(stepper, state.scene), marks(stepper.breakpoints, state.scene.timeline)
    return replace(state, stepper=stepper, spot=spot, broken=broken, marks=marked, note="")


def _broken(stepper: Stepper, scene: Scene) -> frozenset[str]:
    """The nodes named by breakpoints that are looked for."""
    found: set[str] = set()
    for point in stepper.breakpoints:
        if not point.enabled or point.nodes is None:
            continue
        if point.nodes in scene.timeline.graph:
            found.add(point.nodes)
            continue
        columns, places = scene.timeline.columns, replace(point, condition=None).places(scene.timeline)
        found |= {columns.names[node] for node in np.unique(columns.nodes[np.asarray(places) - 1])}
    return frozenset(found)


def at(state: DebugState, cursor: int) -> DebugState:
    """The state with the cursor moved. Raises BadExpression outside the run."""
    after = with_stepper(state, go.at(state.stepper, cursor))
    return replace(after, spot=_place_of_event(state.scene, after.now, ahead=True) or after.spot)


def moved(state: DebugState, unit: str, by: int) -> DebugState:
    """The state `by` units of the stepper's UNITS further on, or back where negative; or the wish to leave the
    iteration, which takes a moment."""
    if go.leaves(state.stepper, unit, by):
        return replace(state, leaving=(unit, by))
    after = go.moved(state.stepper, unit, by)
    if after.cursor == state.cursor:
        return replace(state, note="this is the end" if by > 0 else "this is the start")
    return with_stepper(state, after)


def ran_to(state: DebugState, forward: bool, times: int = 1) -> DebugState:
    """The state after the next, or last, event at the selected node; or after so many of them."""
    cursor, line = state.cursor, state.scene.timeline
    visits = line.visits(state.node)
    for _ in range(min(times, len(visits))):
        cursor = line.seek(cursor, state.node, forward=forward)
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
    return selected(state, state.scene.nearest(row, column) or state.spot)


def selected(state: DebugState, spot: Place) -> DebugState:
    """The state with a place selected; unchanged where nothing stands there."""
    return replace(state, spot=spot, note="") if spot in state.scene.names else state


def listed(state: DebugState, row: int) -> DebugState:
    """The state with another path selected: the first or the last where `row` is past an end."""
    row = min(max(row, 0), max(len(state.scene.listed) - 1, 0))
    return state if row == state.lit.row else replace(state, lit=state.scene.light(row), note="")


def shown(state: DebugState, scene: Scene, stepper: Stepper | None = None) -> DebugState:
    """The state in another scene, at its stepper's event, else at the like of this one; its heaviest path is lit."""
    event, same = state.now.event, scene.timeline is state.scene.timeline
    if stepper is None:
        cursor = state.cursor if same else scene.timeline.near(event) if event else 0
        stepper = Stepper(scene.run, scene.run, scene.timeline, scene.detail, scene.target, cursor, cursor)
    lit = scene.light(scene.heaviest())
    wanted = replace(state.wanted, span=None, branch=())  # a branch is one of the scene before
    after = replace(state, stepper=stepper, scene=scene, lit=lit, wanted=wanted, busy="", note="")
    if same:
        return after
    if (
        stepper.iteration != state.stepper.iteration and scene.layout is state.scene.layout
    ):  # another iteration: the same picture with other numbers
        lit = scene.light_nodes(state.lit.nodes, state.lit.row)
        lit = replace(lit, paths=scene.listed.paths if state.lit.paths is not None else None)
        after = replace(after, lit=lit, wanted=state.wanted)
    first = next(iter(scene.names))
    spot = _place_of_event(scene, stepper.state, ahead=True) or first
    marked = marks(stepper.breakpoints, scene.timeline)
    return replace(after, spot=spot, broken=_broken(stepper, scene), marks=marked)


def continued(state: DebugState, scene: Scene, stepper: Stepper) -> DebugState:
    """The state in the scene of a whole run, of which the beginning was shown: as it opens, with what has been looked
    at meanwhile."""
    first = opening(scene, stepper)
    spot = state.spot if scene.names.get(state.spot) == state.node else first.spot
    return replace(first, spot=spot, panel=state.panel, lens=state.lens)


def caught_up(result: Stepper, started: Stepper, now: Stepper) -> Stepper:
    """A stepper that was worked out from `started`, with what has been done meanwhile."""
    if now is started:
        return result
    event: Event | None = now.state.event
    cursor = now.cursor if result.timeline is now.timeline else result.timeline.near(event) if event else 0
    caught = replace(result, cursor=cursor, before=cursor, earlier=None)
    return replace(caught, breakpoints=now.breakpoints, watches=now.watches)


def broken_here(state: DebugState) -> DebugState:
    """The state with a breakpoint at the selected node, or without it where there was one."""
    points = state.stepper.breakpoints
    same = next((index for index, point in enumerate(points) if point.text == state.node), None)
    if same is not None:
        return with_stepper(state, go.without_breakpoint(state.stepper, same))
    try:
        after = go.with_breakpoint(state.stepper, state.node)
    except UnrollvizError as error:
        return replace(state, note=str(error))
    return with_stepper(state, after)


def taken_apart(state: DebugState, by: int) -> DebugState:
    """The state with the flow panel's next view, or one before."""
    names = list(VIEWS)
    return replace(state, view=names[(names.index(state.view) + by) % len(names)], note="")


def refolded(state: DebugState) -> DebugState:
    """The state with long spans folded, or unfolded where they were."""
    return replace(state, folded=not state.folded, note="")


def looked(state: DebugState, lens: Lens) -> DebugState:
    """The state with the inspector looking otherwise."""
    return replace(state, lens=lens, note="")


def opened(state: DebugState) -> DebugState:
    """The state with the selected node opened into its neurons, or closed."""
    return looked(state, replace(state.lens, page=PAGES[0] if state.lens.page == "neurons" else "neurons"))


def instances(state: DebugState) -> int:
    """How many instances the run has."""
    return int(state.scene.run.batch.inputs.shape[1])


def units(state: DebugState) -> int:
    """The units of the selected node, or the columns of a parameter."""
    value = state.scene.timeline.graph.nodes[state.node]["value"]
    return int(value.shape[-1]) if value.ndim else 1


def edges(state: DebugState) -> list[EdgeName]:
    """The edges that can be asked about: a copy's own; those into a node; of what nothing leads to, those out of it."""
    graph = state.scene.timeline.graph
    if state.spot in state.scene.copies:
        return [state.scene.copies[state.spot]]
    return list(graph.in_edges(state.node, keys=True)) or list(graph.out_edges(state.node, keys=True))


def _place_of_event(scene: Scene, now: State, ahead: bool = False) -> Place | None:
    """Where the last event happened; with `ahead`, at the start, where the next one will."""
    event = now.event or (now.next if ahead else None)
    if event is None:
        return None
    edge = (event.node, event.head or "", event.key)
    return scene.layout.copies.get(edge, scene.layout.nodes.get(event.node))
