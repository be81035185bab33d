"""A sheet of paper in DOT: shapes, texts and lines at given places, and the one escape function for text.

Ids are made here, never taken from data; attributes come from a list of harmless ones (none of them names a
file or an address); text is quoted, never HTML-like.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import graphviz

from unrollviz.draw.engine import render
from unrollviz.draw.geometry import Box, Point, rounded, shortened
from unrollviz.draw.style import INK, PAPER
from unrollviz.names import clean

ATTRIBUTES = frozenset(
    {
        "arrowsize",
        "bgcolor",
        "class",
        "color",
        "dir",
        "fillcolor",
        "fixedsize",
        "fontcolor",
        "fontname",
        "fontsize",
        "height",
        "label",
        "layout",
        "margin",
        "outputorder",
        "pad",
        "penwidth",
        "pos",
        "shape",
        "splines",
        "style",
        "tooltip",
        "width",
    }
)
"""Every attribute that a picture may have. Not among them, and never to be: image, shapefile, URL, href, stylesheet."""

FONT, BOLD = "Helvetica", "Helvetica-Bold"
"""Names that Graphviz translates into a family, a weight and a fallback."""


class Picture(graphviz.Digraph):  # type: ignore[misc, unused-ignore]
    """A `graphviz.Digraph` that a notebook shows through `engine.render`, so that it needs no `dot` program."""

    def _repr_image_svg_xml(self) -> str:
        return render(self.source, "svg").decode("utf-8")

    def _repr_image_png(self) -> bytes:
        return render(self.source, "png")


def escape(text: str, limit: int = 200) -> str:
    """`text` for a DOT label or tooltip: shown letter by letter, whatever it holds; control characters as `<1B>`."""
    return clean(text, limit).replace("&", "&amp;").replace("\\", "\\\\").replace('"', "&quot;")


class Sheet:
    """A picture in the making. Shapes are drawn in the order in which they are added, lines above all of them."""

    def __init__(self) -> None:
        self.picture = Picture("unrolled")
        self._count = 0
        self.picture.attr(
            "graph",
            **_checked(
                layout="nop2",
                splines="line",
                outputorder="nodesfirst",
                bgcolor=PAPER,
                pad="0.25",
                margin="0",
                tooltip=" ",
            ),
        )
        self.picture.attr(
            "node",
            **_checked(fixedsize="true", fontname=FONT, fontsize="14", fontcolor=INK, style="filled", margin="0"),
        )
        self.picture.attr("edge", **_checked(fontname=FONT))

    def shape(self, box: Box, kind: str, label: str = "", tooltip: Sequence[str] = (), **attributes: str) -> str:
        """Add a shape and return its id. `kind` becomes its SVG class; `label` and `tooltip` lines are any text."""
        self._count += 1
        name = f"n{self._count}"
        self.picture.node(
            name,
            **_checked(
                label=escape(label),
                pos=_at((box.x, box.y)),
                width=f"{box.width / 72:.4f}",
                height=f"{box.height / 72:.4f}",
                shape=box.shape,
                tooltip=_tooltip(tooltip),
                **{"class": kind},
                **attributes,
            ),
        )
        return name

    def text(self, box: Box, kind: str, lines: Sequence[str], align: str = "n", **attributes: str) -> str:
        """Add text in a box, its lines aligned to the left (`l`), the right (`r`) or the middle (`n`)."""
        self._count += 1
        name = f"n{self._count}"
        self.picture.node(
            name,
            **_checked(
                label=_lines(lines, "\\" + align, last=align != "n"),
                pos=_at((box.x, box.y)),
                width=f"{box.width / 72:.4f}",
                height=f"{box.height / 72:.4f}",
                shape="plaintext",
                style="",
                tooltip=" ",
                **{"class": kind},
                **attributes,
            ),
        )
        return name

    def line(
        self,
        tail: str,
        head: str,
        corners: Sequence[Point],
        kind: str,
        *,
        arrow: float = 0.0,
        tooltip: Sequence[str] = (),
        **attributes: str,
    ) -> None:
        """Add a line along `corners`; `arrow` is the size of its head, 0 for none."""
        drawn = shortened(corners, 10.0 * arrow) if arrow else corners
        curve = " ".join(_at(point) for point in rounded(drawn))
        end = f"e,{_at(corners[-1])} " if arrow else ""
        self.picture.edge(
            tail,
            head,
            **_checked(
                pos=end + curve,
                dir="forward" if arrow else "none",
                arrowsize=f"{arrow or 1:.2f}",
                tooltip=_tooltip(tooltip),
                **{"class": kind},
                **attributes,
            ),
        )


def _at(point: Point) -> str:
    return f"{point[0]:.2f},{point[1]:.2f}"


def _lines(lines: Sequence[str], end: str, last: bool = False) -> str:
    """Escaped lines with an escape such as `\\n` between them (`last`: behind the last one too)."""
    if not lines:
        return " "
    return end.join(escape(line) for line in lines) + (end if last else "")


def _tooltip(lines: Sequence[str]) -> str:
    """Escaped lines for a tooltip, in which Graphviz replaces backslashes twice; a blank where there are none, lest
    the id be shown."""
    return _lines([line.replace("\\", "\\\\") for line in lines], "\\n")


def _checked(**attributes: str) -> dict[str, Any]:
    """The attributes, where all of them are on the list, marked as text that is never HTML-like."""
    unknown = attributes.keys() - ATTRIBUTES
    if unknown:
        raise ValueError(f"attributes {sorted(unknown)} are not on the list of attributes that a picture may have")
    return {name: graphviz.nohtml(value) for name, value in attributes.items()}
