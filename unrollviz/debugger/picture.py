"""The graph as a picture, one path highlighted, written to an SVG file: of the screen and of the line mode alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from unrollviz.debugger.stepper import Stepper
from unrollviz.draw.engine import render
from unrollviz.errors import UnrollvizError
from unrollviz.files import check_writable, write_atomically

DRAWN = 20_000
"""Edges up to which a picture is drawn: Graphviz takes minutes for more, and no program shows it well."""


def checked(path: str) -> Path:
    """Where a picture is to go. Raises UnrollvizError, BadFile."""
    if not path.strip().lower().endswith(".svg"):
        raise UnrollvizError("give the name of an SVG file, as unrolled.svg")
    return check_writable(path.strip())


def export(stepper: Stepper, nodes: Sequence[str], path: str, pulse: Callable[[str], None] = lambda words: None) -> str:
    """Write the graph at the stepper's level to an SVG file, with the path through `nodes`; returns what is written.

    Raises BadFile where that cannot be, UnrollvizError where the graph is too large, DrawingFailed."""
    target, edges = checked(path), stepper.timeline.graph.number_of_edges()
    if edges > DRAWN:
        raise UnrollvizError(f"a picture of {edges:,} edges is too large; choose a coarser level, or draw fewer steps")
    pulse("drawing the graph")
    picture = stepper.run.draw(
        tuple(nodes) or None, target=stepper.target, losses=list(stepper.losses), detail=stepper.detail
    )
    data = render(picture.source, "svg")
    pulse("writing the file")
    write_atomically(target, data)
    return f"written{', with the selected path' if nodes else ''}: {path.strip()}"
