"""What takes long enough to be done in a thread, as plain functions: each says how far it is through its `pulse`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path

from unrollviz.arrays import many_objects
from unrollviz.debugger import picture, session, telling_iterations
from unrollviz.debugger import stepper as go
from unrollviz.debugger.breakpoints import Hit
from unrollviz.debugger.stepper import Stepper
from unrollviz.debugger.whatif import Comparison
from unrollviz.errors import UnrollvizError
from unrollviz.experiments import Begun
from unrollviz.files import check_writable
from unrollviz.tui.scene import Scene, scene
from unrollviz.tui.state import DebugState
from unrollviz.tui.work import Pulse

Change = Callable[[Stepper], Stepper]


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


def unrolled(begun: Begun, start: Stepper, pulse: Pulse) -> tuple[Stepper, Scene]:
    """The stepper at the start of the whole of what has been begun, and the scene that shows it, its paths pending."""
    with many_objects():
        run = begun.whole()
        pulse("laying it out")
        losses = None if len(start.losses) == start.run.steps else start.losses
        stepper = go.opened(run, losses, start.target, start.detail)
        pulse("laying it out")
        shown = scene(run, stepper.detail, stepper.losses, stepper.target, listing=False, steps=stepper.timeline)
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


def iterations_compared(stepper: Stepper, other: int, pulse: Pulse) -> list[str]:
    """Another iteration and this one, in lines."""
    pulse(f"comparing with iteration {other:,}")
    return telling_iterations.compared(stepper, other)


def exported(state: DebugState, path: str, pulse: Pulse) -> str:
    """Write the graph with the selected path to an SVG file; see `picture.export`."""
    return picture.export(state.stepper, state.lit.nodes, path, pulse)


def check_session(path: str) -> Path:
    """Where a session is to go. Raises UnrollvizError, BadFile."""
    if not path.strip():
        raise UnrollvizError("give the name of a file, as session.json")
    return check_writable(path.strip())


def saved(stepper: Stepper, path: str, pulse: Pulse) -> str:
    """Write the session; returns what has been written. Raises BadFile."""
    pulse("writing the session")
    name = path.strip()
    replaced = " in place of what was there" if Path(name).exists() else ""
    session.save(stepper, name)
    return f"saved{replaced}: {name}; unrollviz debug --session {name} opens it again"
