"""The formats that are the picture itself: drawn, or as DOT text."""

from __future__ import annotations

from unrollviz.draw import svg as vector
from unrollviz.draw.animate import animated
from unrollviz.draw.engine import MOST_PIXELS, PIXELS_PER_INCH, render
from unrollviz.draw.view import View
from unrollviz.errors import DrawingFailed


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
    """The picture as PNG. Raises DrawingFailed, before Graphviz is started, where it is larger than a PNG can be."""
    left, top, right, bottom = vector.extent(view.drawing.sheet)
    longest = max(right - left, bottom - top)
    if longest / 72 * PIXELS_PER_INCH[-1] > MOST_PIXELS:
        room = MOST_PIXELS / PIXELS_PER_INCH[-1]
        raise DrawingFailed(
            f"the picture is {longest / 72:,.0f} inches long, and a png has room for {room:,.0f}; fold steps "
            "(leave --no-fold out, or give --every, --steps A..B), or write a .svg or .pdf"
        )
    return render(view.picture().source, "png", view.engine or "pygraphviz", longest=longest)


def dot(view: View) -> bytes:
    """The picture as DOT text."""
    source: str = view.picture().source
    return source.encode("utf-8")
