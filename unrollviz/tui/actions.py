"""The one table of keys: bindings, the line of keys, the help screen and the documentation are made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from textual.binding import Binding, BindingType

from unrollviz.tui import lens
from unrollviz.tui import state as to
from unrollviz.tui.state import DebugState

Change = Callable[..., DebugState]


@dataclass(frozen=True)
class Action:
    """One thing a person can do.

    Attributes:
        name: of the widget's or the app's `action_<name>`, where `change` is None.
        key: as it is written for people.
        help: what it does, in a few words.
        group: the heading it stands under on the help screen.
        panel: the panel that must have the focus; empty for everywhere.
        change: the state that it leads to.
        brief: its word in the line of keys; actions that share one stand together; empty to leave it out.
        counted: whether `change` takes `times`, the number typed before the key.
        when: whether it would do anything now, for the line of keys.
        call: what is run, where that is not `action_<name>`; `{key}` in it is the key.
    """

    name: str
    key: str
    help: str
    group: str
    panel: str = ""
    change: Change | None = None
    brief: str = ""
    counted: bool = False
    when: Callable[[DebugState], bool] = lambda state: True
    call: str = ""


def _by(unit: str, by: int) -> Change:
    return lambda state, times=1: to.moved(state, unit, by * times)


def _point(right: int, down: int) -> Change:
    return partial(to.pointed, right=right, down=down)


def _stops(state: DebugState) -> bool:
    points, watches = state.stepper.breakpoints, state.stepper.watches
    return any(point.enabled for point in points) or any(watch.stops for watch in watches)


def _edited(state: DebugState) -> bool:
    return bool(state.stepper.edits)


def _undone(state: DebugState) -> bool:
    return bool(state.stepper.undone)


def _learns(state: DebugState) -> bool:
    return state.stepper.learner is not None


def _busy(state: DebugState) -> bool:
    return bool(state.busy)


def _view(by: int) -> Change:
    return lambda state: to.taken_apart(state, by)


def _start(state: DebugState) -> DebugState:
    return to.at(state, 0)


def _end(state: DebugState) -> DebugState:
    return to.at(state, state.scene.timeline.end)


def _turn(by: int) -> Change:
    return lambda state: to.looked(state, lens.turned(state.lens, by))


def _instance(by: int) -> Change:
    return lambda state: to.looked(state, lens.next_instance(state.lens, by, to.instances(state)))


def _edge(by: int) -> Change:
    return lambda state: to.looked(state, lens.next_edge(state.lens, by, len(to.edges(state))))


def _unit(by: int) -> Change:
    return lambda state: to.looked(state, lens.moved(state.lens, by, to.units(state)))


def _reach(state: DebugState) -> DebugState:
    page = "reach" if state.lens.page != "reach" else lens.PAGES[0]
    return to.looked(state, replace(state.lens, page=page))


def _sort(state: DebugState) -> DebugState:
    return to.looked(state, lens.sorted_anew(state.lens))


LENS = "Inside a node"
STEP, PATHS, LOOK, SCREEN = "Step through time", "Panels and paths", "Look around", "The screen"
STOPS, CHANGE = "Breakpoints and watches", "What if; what is kept"
_RUN_ON, _RUN_BACK = partial(to.ran_to, forward=True), partial(to.ran_to, forward=False)

ACTIONS: tuple[Action, ...] = (
    Action("next", "n", "next event", STEP, change=_by("event", 1), brief="event", counted=True),
    Action("previous", "p", "previous event", STEP, change=_by("event", -1), brief="event", counted=True),
    Action("next_step", "N", "on to the end of the time step", STEP, change=_by("step", 1), brief="step", counted=True),
    Action("previous_step", "P", "back over the time step", STEP, change=_by("step", -1), brief="step", counted=True),
    Action("next_phase", "]", "on to the end of the phase", STEP, change=_by("phase", 1), brief="phase", counted=True),
    Action("previous_phase", "[", "back over the phase", STEP, change=_by("phase", -1), brief="phase", counted=True),
    Action(
        "run_on", "r", "on to the next event at the selected node", STEP, change=_RUN_ON, brief="run to", counted=True
    ),
    Action("run_back", "R", "back to the last event at the selected node", STEP, change=_RUN_BACK, counted=True),
    Action("continue", "c", "on to the next breakpoint, or watch that stops", STEP, brief="continue", when=_stops),
    Action("continue_back", "C", "back to the last one", STEP, brief="continue", when=_stops),
    Action("next_iteration", "}", "the same event of the next iteration", STEP, brief="iteration", when=_learns),
    Action("previous_iteration", "{", "of the iteration before", STEP, brief="iteration", when=_learns),
    Action("iteration", "G", "go to an iteration", STEP, brief="iteration", when=_learns),
    Action(
        "compare",
        "D",
        "another iteration and this one side by side: loss, gradients, lags, routes",
        STEP,
        brief="compare",
        when=_learns,
    ),
    Action("start", "Home", "to the start of the iteration", STEP, change=_start),
    Action("end", "End", "to its end", STEP, change=_end),
    Action("count", "0…9", "before a key that moves: so many times, as in 12n", STEP, call="count('{key}')"),
    Action(
        "break_here",
        "b",
        "a breakpoint at the selected node, marked ! there; or none",
        STOPS,
        change=to.broken_here,
        brief="break",
    ),
    Action("stops", "B", "all breakpoints and watches: on and off, delete, add a condition", STOPS, brief="all"),
    Action("watch", "w", "watch an expression: shown at every stop, old and new", STOPS, brief="watch"),
    Action(
        "what_if",
        "x",
        "what if: set an entry, cut an edge, clip; then old and new side by side",
        CHANGE,
        brief="what if",
    ),
    Action("changed", "X", "old and new side by side again", CHANGE, brief="what if", when=_edited),
    Action("undo", "u", "take the last change back", CHANGE, brief="undo", when=_edited),
    Action("redo", "U", "make it again", CHANGE, brief="redo", when=_undone),
    Action("export", "e", "write the graph, with the selected path, to an SVG file", CHANGE, brief="export"),
    Action("save", "s", "save the session: unrollviz debug --session opens it again", CHANGE, brief="save"),
    Action(
        "focus_next",
        "Tab",
        "next panel: the graph, the inspector, the paths, the flow, the events",
        PATHS,
        brief="panel",
    ),
    Action("focus_previous", "Shift+Tab", "previous panel", PATHS),
    Action("panel_1", "1", "the graph", PATHS, call="panel(1)"),
    Action("panel_2", "2", "the inspector: what is known about the selected node", PATHS, call="panel(2)"),
    Action("panel_3", "3", "the paths", PATHS, call="panel(3)"),
    Action("panel_4", "4", "the flow: the gradient taken apart", PATHS, call="panel(4)"),
    Action("panel_5", "5", "the events: where this is, and what comes next", PATHS, call="panel(5)"),
    Action("choose_loss", "l", "choose the loss that the backward pass starts from", PATHS, brief="loss"),
    Action("choose_parameter", "o", "choose the parameter whose paths are listed", PATHS, brief="param"),
    Action("detail", "d", "change the level of detail", PATHS, brief="detail"),
    Action("path_up", "Up", "light the path above", PATHS, "paths"),
    Action("path_down", "Down", "light the path below", PATHS, "paths"),
    Action("path_page_up", "PgUp", "ten paths, or factors, up", PATHS, "paths"),
    Action("path_page_down", "PgDn", "ten paths, or factors, down", PATHS, "paths"),
    Action(
        "path_open",
        "Enter",
        "the path's factors: where it shrinks or grows; back to the list",
        PATHS,
        "paths",
        brief="factors",
    ),
    Action("path_order", "a", "sort: in order, by norm, by |share|, by lag", PATHS, "paths", brief="sort"),
    Action(
        "path_filter", "f", "list only paths through a node, of a lag, of a share …", PATHS, "paths", brief="filter"
    ),
    Action("path_stop", "Esc", "stop the work; then out of the factors; then every path again", PATHS, "paths"),
    Action(
        "flow_view",
        "a",
        "by partial paths, lag, loss, entry step, route, M[t,k]",
        PATHS,
        "flow",
        _view(1),
        brief="take apart",
    ),
    Action("flow_view_back", "A", "the view before", PATHS, "flow", _view(-1), brief="take apart"),
    Action("flow_up", "Up", "select the branch, row or cell above", PATHS, "flow"),
    Action("flow_down", "Down", "select the one below", PATHS, "flow"),
    Action("flow_left", "Left", "close the branch, or up to its parent; the cell to the left", PATHS, "flow"),
    Action("flow_right", "Right", "open the branch, then into it; the cell to the right", PATHS, "flow"),
    Action("flow_page_up", "PgUp", "one screen up", PATHS, "flow"),
    Action("flow_page_down", "PgDn", "one screen down", PATHS, "flow"),
    Action(
        "flow_open", "Enter", "open or close the branch; list the paths of the row or cell", PATHS, "flow", brief="open"
    ),
    Action("flow_list", "Space", "list the paths of the branch, row or cell", PATHS, "flow", brief="list paths"),
    Action("flow_stop", "Esc", "stop the work", PATHS, "flow"),
    Action("event_up", "Up", "select the event above", PATHS, "events"),
    Action("event_down", "Down", "select the event below", PATHS, "events"),
    Action("event_page_up", "PgUp", "one screen up", PATHS, "events"),
    Action("event_page_down", "PgDn", "one screen down", PATHS, "events"),
    Action("event_open", "Enter", "go to the selected event", PATHS, "events", brief="go there"),
    Action("find", "/", "find a node: the graph goes along as one types", LOOK, brief="find"),
    Action("go_to", "g", "go to a node (s3), an event (120) or a step (t=3)", LOOK, brief="go to"),
    Action("left", "Left", "select the node to the left", LOOK, "graph", _point(-1, 0)),
    Action("right", "Right", "select the node to the right", LOOK, "graph", _point(1, 0)),
    Action("up", "Up", "select the node above", LOOK, "graph", _point(0, -1)),
    Action("down", "Down", "select the node below", LOOK, "graph", _point(0, 1)),
    Action("pan_left", "H", "move the picture: what is to the left comes into sight", LOOK, "graph"),
    Action("pan_right", "L", "what is to the right comes into sight", LOOK, "graph"),
    Action("pan_up", "K", "what is above comes into sight", LOOK, "graph"),
    Action("pan_down", "J", "what is below comes into sight", LOOK, "graph"),
    Action("zoom_in", "+", "a finer level of detail; past the finest, the neurons of the selected node", LOOK),
    Action("zoom_out", "-", "a coarser level of detail", LOOK),
    Action("fold", "f", "fold long spans of steps, or unfold them", LOOK, "graph", to.refolded, brief="fold"),
    Action(
        "open",
        "Enter",
        "open the selected node into its neurons, or close it",
        LOOK,
        "graph",
        to.opened,
        brief="neurons",
    ),
    Action("scroll_back", "PgUp", "scroll one screen back in time", LOOK, "graph"),
    Action("scroll_on", "PgDn", "scroll one screen on in time", LOOK, "graph"),
    Action("scroll_up", "Up", "scroll up", LOOK, "inspector"),
    Action("scroll_down", "Down", "scroll down", LOOK, "inspector"),
    Action("page_up", "PgUp", "scroll one screen up", LOOK, "inspector"),
    Action("page_down", "PgDn", "scroll one screen down", LOOK, "inspector"),
    Action(
        "page",
        "v",
        "the next page: overview, value, cotangent, edge, neurons, reach",
        LENS,
        change=_turn(1),
        brief="page",
    ),
    Action("page_back", "V", "the page before", LENS, change=_turn(-1)),
    Action(
        "reach",
        "k",
        "how far back the gradient reaches: the norm of the cotangent step by step",
        LENS,
        change=_reach,
        brief="reach",
    ),
    Action("instance", "i", "the next instance; after the last one the whole batch", LENS, change=_instance(1)),
    Action("instance_back", "I", "the instance before", LENS, change=_instance(-1)),
    Action("edge", ".", "the local Jacobian of an edge into the node; again: of the next edge", LENS, change=_edge(1)),
    Action("edge_back", ",", "of the edge before", LENS, change=_edge(-1)),
    Action("unit_left", "Left", "numbers from the unit to the left on; its formula", LENS, "inspector", _unit(-1)),
    Action("unit_right", "Right", "from the unit to the right on", LENS, "inspector", _unit(1)),
    Action(
        "sort", "a", "numbers as they stand, the largest first, or the smallest", LENS, "inspector", _sort, brief="sort"
    ),
    Action("enlarge", "m", "the panel with the focus on the whole screen, and back", SCREEN),
    Action("light", "t", "dark or light screen", SCREEN),
    Action("stop", "Esc", "stop what is being worked out", SCREEN, brief="stop", when=_busy),
    Action("command_palette", "Ctrl+P", "every command by its words", SCREEN),
    Action("help", "?", "this help", SCREEN, brief="help"),
    Action("quit", "q", "leave", SCREEN, brief="quit"),
    Action("interrupt", "Ctrl+C", "leave, with exit code 130", SCREEN),
)

BY_NAME: dict[str, Action] = {action.name: action for action in ACTIONS}

_TEXTUAL = {
    "]": "right_square_bracket",
    "[": "left_square_bracket",
    "}": "right_curly_bracket",
    "{": "left_curly_bracket",
    "?": "question_mark",
    "Left": "left",
    "Right": "right",
    "Up": "up",
    "Down": "down",
    "PgUp": "pageup",
    "PgDn": "pagedown",
    "Home": "home",
    "End": "end",
    "Tab": "tab",
    "Shift+Tab": "shift+tab",
    "Ctrl+C": "ctrl+c",
    "Ctrl+P": "ctrl+p",
    "/": "slash",
    "0…9": "0,6,7,8,9",
    "Enter": "enter",
    "Esc": "escape",
    "Space": "space",
    "+": "plus",
    "-": "minus",
    ".": "full_stop",
    ",": "comma",
    "H": "H,shift+left",
    "L": "L,shift+right",
    "K": "K,shift+up",
    "J": "J,shift+down",
}
"""Textual's names of the keys, where they are not the key itself."""


def bindings(panel: str = "") -> list[BindingType]:
    """The bindings of a panel, or of the app: those with a `change` all lead to the app's `act`."""
    return [
        Binding(key, called(action, key), action.help, show=False, priority=action.name in FIRST)
        for action in ACTIONS
        if action.panel == panel
        for key in _TEXTUAL.get(action.key, action.key).split(",")
    ]


def called(action: Action, key: str = "") -> str:
    """What Textual is told to run."""
    return f"app.act('{action.name}')" if action.change else action.call.format(key=key) or action.name


FIRST = ("stop",)
"""Looked at before the panel's own keys; the app says when."""


def of_now(state: DebugState, panel: str) -> dict[str, list[str]]:
    """What the line of keys shows: its words, each with the keys that do something now, the panel's own first."""
    together: dict[str, list[str]] = {}
    for action in sorted(ACTIONS, key=lambda action: _RANKS.get(action.brief, 9 if not action.panel else 3)):
        if action.brief and action.panel in ("", panel) and action.when(state):
            together.setdefault(action.brief, []).append(action.key)
    return together


_RANKS = {
    "stop": 0,
    "event": 1,
    "step": 1,
    "phase": 1,
    "iteration": 1,
    "undo": 2,
    "continue": 2,
    "panel": 4,
    "fold": 5,
    "neurons": 5,
    "go to": 5,
}
"""Which words come first in the line of keys; the others stand as in the table."""
