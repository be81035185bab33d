"""The graph as a picture, one path highlighted, written to an SVG file: of the screen and of the line mode alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from unrollviz.debugger.stepper import Stepper
from unrollviz.draw.formats import write
from unrollviz.draw.view import view
from unrollviz.errors import UnrollvizError
from unrollviz.files import check_writable


def checked(path: str) -> Path:
    """Where a picture is to go. Raises UnrollvizError, BadFile."""
    if not path.strip().lower().endswith(".svg"):
        raise UnrollvizError("give the name of an SVG file, as unrolled.svg")
    return check_writable(path.strip())


def export(stepper: Stepper, nodes: Sequence[str], path: str, pulse: Callable[[str], None] = lambda words: None) -> str:
    """Write the graph at the stepper's level to an SVG file, with the path through `nodes`; returns what is written.

    Raises BadFile where that cannot be."""
    checked(path)
    pulse("drawing the graph")
    shown = view(
        stepper.run, tuple(nodes) or None, target=stepper.target, losses=list(stepper.losses), detail=stepper.detail
    )
    replaced = " in place of what was there" if Path(path.strip()).exists() else ""
    write(shown, path.strip(), "svg")
    return f"written{', with the selected path' if nodes else ''}{replaced}: {path.strip()}"
