"""What takes long enough to be done in a thread, as plain functions: each says how far it is through its `pulse`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path

from unrollviz.arrays import many_objects
from unrollviz.debugger import session
from unrollviz.debugger import stepper as go
from unrollviz.debugger.breakpoints import Hit
from unrollviz.debugger.stepper import Stepper
from unrollviz.debugger.whatif import Comparison
from unrollviz.draw.engine import render
from unrollviz.errors import UnrollvizError
from unrollviz.files import check_writable, write_atomically
from unrollviz.tui.scene import Scene, scene
from unrollviz.tui.state import DebugState
from unrollviz.tui.work import Pulse

Change = Callable[[Stepper], Stepper]

DRAWN = 20_000
"""Edges up to which a picture is drawn: Graphviz takes minutes for more, and no program shows it well."""


def prepared(start: Stepper, like: Scene, changes: Sequence[Change], pulse: Pulse) -> tuple[Stepper, Scene]:
    """The stepper with the changes made, one after another, and the scene that shows it."""
    stepper = start
    with many_objects():
        for change in changes:
            stepper = change(stepper)
            pulse("working it out")
        shown = scene(stepper.run, stepper.detail, stepper.losses, stepper.target, like=like, steps=stepper.timeline)
        if stepper.run is start.run:  # all of it stays: looking through it for garbage would hold up a key for 700 ms
            gc.freeze()
    return stepper, shown


def searched(start: Stepper, forward: bool, pulse: Pulse) -> tuple[Stepper, Hit | None]:
    """The stepper at the next stop, or the last one; see `stepper.continued`."""
    looked_at = 0

    def stop() -> bool:
        nonlocal looked_at
        looked_at += 1
        pulse(f"looking for the {'next' if forward else 'last'} stop: {looked_at:,} places")
        return False

    return go.continued(start, forward=forward, stop=stop)


def compared(stepper: Stepper, pulse: Pulse) -> Comparison:
    """Before and after all edits."""
    pulse("comparing old and new")
    return stepper.comparison()


def exported(state: DebugState, path: str, pulse: Pulse) -> str:
    """Write the graph with the selected path to an SVG file; returns what has been written.

    Raises BadFile where that cannot be, UnrollvizError where the graph is too large, DrawingFailed."""
    target, now = check_picture(path), state.scene
    edges = now.timeline.graph.number_of_edges()
    if edges > DRAWN:
        raise UnrollvizError(f"a picture of {edges:,} edges is too large; choose a coarser level, or draw fewer steps")
    pulse("drawing the graph")
    picture = now.run.draw(state.lit.nodes or None, target=now.target, losses=list(now.losses), detail=now.detail)
    data = render(picture.source, "svg")
    pulse("writing the file")
    write_atomically(target, data)
    return f"written{', with the selected path' if state.lit.nodes else ''}: {path.strip()}"


def check_picture(path: str) -> Path:
    """Where a picture is to go. Raises UnrollvizError, BadFile."""
    if not path.strip().lower().endswith(".svg"):
        raise UnrollvizError("give the name of an SVG file, as unrolled.svg")
    return check_writable(path.strip())


def check_session(path: str) -> Path:
    """Where a session is to go. Raises UnrollvizError, BadFile."""
    if not path.strip():
        raise UnrollvizError("give the name of a file, as session.json")
    return check_writable(path.strip())


def saved(stepper: Stepper, path: str, pulse: Pulse) -> str:
    """Write the session; returns what has been written. Raises BadFile."""
    pulse("writing the session")
    session.save(stepper, path.strip())
    return f"saved: {path.strip()}"
