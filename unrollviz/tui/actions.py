"""The one table of keys: bindings, the line of keys, the help screen and the documentation are made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from textual.binding import Binding, BindingType

from unrollviz.tui import state as to
from unrollviz.tui.state import DebugState

Change = Callable[[DebugState], DebugState]


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
    """

    name: str
    key: str
    help: str
    group: str
    panel: str = ""
    change: Change | None = None
    brief: str = ""


def _by(unit: str, by: int) -> Change:
    return partial(to.moved, unit=unit, by=by)


def _point(right: int, down: int) -> Change:
    return partial(to.pointed, right=right, down=down)


def _row(by: int) -> Change:
    return lambda state: to.listed(state, state.lit.row + by)


def _start(state: DebugState) -> DebugState:
    return to.at(state, 0)


def _end(state: DebugState) -> DebugState:
    return to.at(state, state.scene.timeline.end)


STEP, PATHS, LOOK, SCREEN = "Step through time", "Panels and paths", "Look around", "The screen"

ACTIONS: tuple[Action, ...] = (
    Action("next", "n", "next event", STEP, change=_by("event", 1), brief="event"),
    Action("previous", "p", "previous event", STEP, change=_by("event", -1), brief="event"),
    Action("next_step", "N", "on to the end of the time step", STEP, change=_by("step", 1), brief="step"),
    Action("previous_step", "P", "back over the time step", STEP, change=_by("step", -1), brief="step"),
    Action("next_phase", "]", "on to the end of the phase", STEP, change=_by("phase", 1), brief="phase"),
    Action("previous_phase", "[", "back over the phase", STEP, change=_by("phase", -1), brief="phase"),
    Action("run_on", "r", "on to the next event at the selected node", STEP, change=partial(to.ran_to, forward=True)),
    Action(
        "run_back", "R", "back to the last event at the selected node", STEP, change=partial(to.ran_to, forward=False)
    ),
    Action("start", "Home", "to the start", STEP, change=_start),
    Action("end", "End", "to the end", STEP, change=_end),
    Action("focus_next", "Tab", "next panel: the graph, the inspector, the paths", PATHS, brief="panel"),
    Action("focus_previous", "Shift+Tab", "previous panel", PATHS),
    Action("choose_loss", "l", "choose the loss that the backward pass starts from", PATHS, brief="loss"),
    Action("choose_parameter", "o", "choose the parameter whose paths are listed", PATHS, brief="param"),
    Action("detail", "d", "change the level of detail", PATHS, brief="detail"),
    Action("path_up", "↑", "light the path above", PATHS, "paths", _row(-1)),
    Action("path_down", "↓", "light the path below", PATHS, "paths", _row(1)),
    Action("path_page_up", "PgUp", "ten paths up", PATHS, "paths", _row(-10)),
    Action("path_page_down", "PgDn", "ten paths down", PATHS, "paths", _row(10)),
    Action("go_to", "g", "go to a node by its name", LOOK, brief="go to"),
    Action("left", "←", "select the node to the left", LOOK, "graph", _point(-1, 0)),
    Action("right", "→", "select the node to the right", LOOK, "graph", _point(1, 0)),
    Action("up", "↑", "select the node above", LOOK, "graph", _point(0, -1)),
    Action("down", "↓", "select the node below", LOOK, "graph", _point(0, 1)),
    Action("scroll_back", "PgUp", "scroll one screen back in time", LOOK, "graph"),
    Action("scroll_on", "PgDn", "scroll one screen on in time", LOOK, "graph"),
    Action("scroll_up", "↑", "scroll up", LOOK, "inspector"),
    Action("scroll_down", "↓", "scroll down", LOOK, "inspector"),
    Action("page_up", "PgUp", "scroll one screen up", LOOK, "inspector"),
    Action("page_down", "PgDn", "scroll one screen down", LOOK, "inspector"),
    Action("light", "t", "dark or light screen", SCREEN),
    Action("help", "?", "this help", SCREEN, brief="help"),
    Action("quit", "q", "leave", SCREEN, brief="quit"),
    Action("interrupt", "Ctrl+C", "leave, with exit code 130", SCREEN),
)

BY_NAME: dict[str, Action] = {action.name: action for action in ACTIONS}

_TEXTUAL = {
    "]": "right_square_bracket",
    "[": "left_square_bracket",
    "?": "question_mark",
    "←": "left",
    "→": "right",
    "↑": "up",
    "↓": "down",
    "PgUp": "pageup",
    "PgDn": "pagedown",
    "Home": "home",
    "End": "end",
    "Tab": "tab",
    "Shift+Tab": "shift+tab",
    "Ctrl+C": "ctrl+c",
}
"""Textual's names of the keys, where they are not the key itself."""


def bindings(panel: str = "") -> list[BindingType]:
    """The bindings of a panel, or of the app: those with a `change` all lead to the app's `act`."""
    return [
        Binding(
            _TEXTUAL.get(action.key, action.key),
            f"app.act('{action.name}')" if action.change else action.name,
            action.help,
            show=False,
        )
        for action in ACTIONS
        if action.panel == panel
    ]
