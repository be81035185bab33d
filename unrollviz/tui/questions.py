"""The windows that ask for a name or a line: what each offers, and what it refuses, for a state."""

from __future__ import annotations

import re

from unrollviz.debugger import picture, whatif
from unrollviz.debugger import stepper as go
from unrollviz.debugger.breakpoints import breakpoint_at
from unrollviz.debugger.expressions import BadExpression
from unrollviz.debugger.stepper import Stepper
from unrollviz.graph import names_of, node_named
from unrollviz.names import clean
from unrollviz.tui import errands
from unrollviz.tui.chooser import Chooser
from unrollviz.tui.complete import words_of
from unrollviz.tui.examples import fitted
from unrollviz.tui.prompt import Prompt
from unrollviz.tui.state import DebugState
from unrollviz.tui.stops import NAMES, watched

ALL_LOSSES = "all"


def find(state: DebugState) -> Chooser:
    """A node; the graph goes along with what is highlighted."""
    return Chooser("find a node", list(state.scene.layout.nodes), state.node, tells=True)


def loss(state: DebugState) -> Chooser:
    """One loss, or all."""
    now = state.scene.losses
    names = [ALL_LOSSES, *state.scene.run.loss_names()]
    return Chooser("start the backward pass from", names, now[0] if len(now) == 1 else ALL_LOSSES)


def parameter(state: DebugState) -> Chooser:
    """A parameter."""
    return Chooser("list the paths that lead to", names_of(state.scene.run.graph, "parameter"), state.scene.target)


def go_to(state: DebugState) -> Prompt:
    """A node, an event or a step; see `aim`."""
    end = state.stepper.timeline.end
    hint = f"s3 selects it, and r runs on to it · 0 to {end:,}: an event · t=3: where step 3 begins next"
    return Prompt(
        "go to", "", fitted(hint, state.scene.run), lambda text: aim(state.stepper, text), state.scene.layout.nodes
    )


def iteration(state: DebugState) -> Prompt:
    """The number of an iteration to go to."""
    hint = "the updates made before its forward pass; what is not kept is worked out again\n"
    return Prompt("go to iteration", "", hint + _range(state.stepper), lambda text: numbered(state.stepper, text))


def compared(state: DebugState) -> Prompt:
    """The number of an iteration to compare this one with; the first is proposed."""
    stepper = state.stepper
    first = "0" if stepper.learner is None else str(stepper.learner.first)
    hint = f"its parameters and those of iteration {stepper.iteration:,}, on the data of this one\n{_range(stepper)}"
    return Prompt("compare with iteration", first, hint, lambda text: numbered(stepper, text), proposes=True)


def _range(stepper: Stepper) -> str:
    learner = stepper.learner
    return "" if learner is None else f"{learner.first:,} to {learner.updates:,}; this is {stepper.iteration:,}"


def numbered(stepper: Stepper, text: str) -> int:
    """The number of an iteration that there is. Raises BadExpression."""
    learner, digits = stepper.learner, text.strip().replace(",", "")
    if learner is None or not re.fullmatch(r"\d{1,12}", digits):
        raise BadExpression(f"'{clean(text)}' is no iteration; give the number of updates made before it")
    if not learner.first <= int(digits) <= learner.updates:
        raise BadExpression(f"there is no iteration {int(digits):,}; they go from {_range(stepper)}")
    return int(digits)


def aim(stepper: Stepper, text: str) -> int | str:
    """What is meant by `120`, `t=3` or `s3`: a cursor, or a node. Raises BadExpression, UnknownName."""
    text = text.strip()
    if re.fullmatch(r"\d[\d,]{0,12}", text):
        return go.at(stepper, int(text.replace(",", ""))).cursor
    if text.startswith("t="):
        places = breakpoint_at(text, stepper.run.graph).places(stepper.timeline)
        return int(next((place for place in places if place > stepper.cursor), places[0]))
    node_named(stepper.timeline.graph, text)
    return text


def watch(state: DebugState) -> Prompt:
    """An expression; see `stops.watched`."""
    hint = f"W.grad[0, 1] · stop loss: also stop where it changes · Right completes\n{NAMES}"
    words = words_of(state.stepper.run.graph)
    return Prompt("watch", "", fitted(hint, state.stepper.run), lambda text: watched(text)(state.stepper), words)


def what_if(state: DebugState) -> Prompt:
    """An edit; nothing, where there are edits to look at."""
    edits, run = state.stepper.edits, state.stepper.run
    hint = fitted("\n".join(whatif.FORMS.values()), run).replace("set ", "", 1)
    if edits:
        hint += f"\nEnter alone: old and new side by side, after {', '.join(edit.text for edit in edits)}"

    def read(text: str) -> object:
        return None if edits and not text.strip() else whatif.edit(text, run)

    return Prompt("what if", "", hint, read, [*whatif.FORMS, *run.graph])


def export(state: DebugState) -> Prompt:
    """Where a picture is to go."""
    hint = "the graph at this level of detail, with the selected path, as an SVG file"
    return Prompt("export the graph to", "unrolled.svg", hint, picture.checked, proposes=True)


def save(state: DebugState) -> Prompt:
    """Where a session is to go."""
    hint = "network, data, cursor, breakpoints, watches, edits and view; unrollviz debug --session opens it again"
    return Prompt("save the session to", "session.json", hint, errands.check_session, proposes=True)
