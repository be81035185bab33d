"""The formats that are the picture itself: drawn, or as DOT text."""

from __future__ import annotations

from unrollviz.draw import svg as vector
from unrollviz.draw.animate import animated
from unrollviz.draw.engine import render
from unrollviz.draw.view import View


def svg(view: View) -> bytes:
    """The picture as SVG, written directly where no engine is named; `animate` plays both passes."""
    if view.options.get("animate"):
        return animated(view)
    if view.engine is not None:
        return render(view.picture().source, "svg", view.engine)
    return vector.written(view.drawing.sheet)


def pdf(view: View) -> bytes:
    """The picture as PDF."""
    return render(view.picture().source, "pdf", view.engine or "pygraphviz")


def png(view: View) -> bytes:
    """The picture as PNG."""
    return render(view.picture().source, "png", view.engine or "pygraphviz")


def dot(view: View) -> bytes:
    """The picture as DOT text."""
    source: str = view.picture().source
    return source.encode("utf-8")
