"""The formats that are the picture itself: drawn, or as DOT text."""

from __future__ import annotations

from unrollviz.draw.engine import render
from unrollviz.draw.view import View


def svg(view: View) -> bytes:
    """The picture as SVG."""
    return render(view.picture().source, "svg", view.engine)


def pdf(view: View) -> bytes:
    """The picture as PDF."""
    return render(view.picture().source, "pdf", view.engine)


def png(view: View) -> bytes:
    """The picture as PNG."""
    return render(view.picture().source, "png", view.engine)


def dot(view: View) -> bytes:
    """The picture as DOT text."""
    source: str = view.picture().source
    return source.encode("utf-8")
