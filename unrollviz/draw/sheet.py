"""A sheet of paper in DOT: shapes, texts and lines at given places, and the one escape function for text.

Ids are made here, never taken from data; attributes come from a list of harmless ones (none of them names a
file or an address); text is quoted, never HTML-like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import graphviz

from unrollviz.draw import svg
from unrollviz.draw.engine import render
from unrollviz.draw.geometry import Box, Point, rounded, shortened
from unrollviz.draw.style import LIGHT, Theme
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

ARROW = 10.0
"""Length in points of an arrowhead of size 1."""

FONT, BOLD = "Helvetica", "Helvetica-Bold"
"""Names that Graphviz translates into a family, a weight and a fallback."""


class Picture(graphviz.Digraph):  # type: ignore[misc, unused-ignore]
    """A `graphviz.Digraph` that a notebook shows without a `dot` program."""

    sheet: Sheet
    shown: Callable[[], str] | None = None
    """What a notebook shows, where it is not the sheet as it is."""

    def _repr_image_svg_xml(self) -> str:
        return svg.written(self.sheet).decode("utf-8") if self.shown is None else self.shown()

    def _repr_image_png(self) -> bytes:
        return render(self.source, "png")


def escape(text: str, limit: int = 200) -> str:
    """`text` for a DOT label or tooltip: shown letter by letter, whatever it holds; control characters as `<1B>`."""
    return clean(text, limit).replace("&", "&amp;").replace("\\", "\\\\").replace('"', "&quot;")


@dataclass(frozen=True, slots=True)
class Shape:
    """A node: an outline with a label in its middle, or (`align`) lines of text without one."""

    id: str
    box: Box
    kind: str
    lines: tuple[str, ...]
    align: str
    tooltip: tuple[str, ...]
    look: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Line:
    """A line between two nodes; `look` holds Graphviz attributes, as of a shape."""

    tail: str
    head: str
    corners: tuple[Point, ...]
    kind: str
    arrow: float
    tooltip: tuple[str, ...]
    look: Mapping[str, str]

    @property
    def drawn(self) -> tuple[Point, ...]:
        """The corners of the line itself, without what its arrowhead takes."""
        return shortened(self.corners, ARROW * self.arrow) if self.arrow else self.corners


class Sheet:
    """A picture in the making. Shapes are drawn in the order in which they are added, lines above all of them: in the
    order of their tails, of one tail in that of the heads.

    Back ends read `shapes` and `lines`: `picture` is DOT, `svg.written` is SVG.
    """

    def __init__(self, theme: Theme = LIGHT) -> None:
        self.theme = theme
        self.shapes: list[Shape] = []
        self.lines: list[Line] = []

    def shape(
        self, box: Box, kind: str, label: str | Sequence[str] = "", tooltip: Sequence[str] = (), **attributes: str
    ) -> str:
        """Add a shape and return its id. `kind` becomes its SVG class; `label`, one line or several, and the lines of
        `tooltip` are any text."""
        return self._add(box, kind, (label,) if isinstance(label, str) else tuple(label), "", tooltip, attributes)

    def text(
        self,
        box: Box,
        kind: str,
        lines: Sequence[str],
        align: str = "n",
        tooltip: Sequence[str] = (),
        **attributes: str,
    ) -> str:
        """Add text in a box, its lines aligned to the left (`l`), the right (`r`) or the middle (`n`)."""
        return self._add(box, kind, tuple(lines), align, tooltip, attributes)

    def _add(
        self,
        box: Box,
        kind: str,
        lines: tuple[str, ...],
        align: str,
        tooltip: Sequence[str],
        attributes: dict[str, str],
    ) -> str:
        _check(attributes)
        name = f"n{len(self.shapes) + 1}"
        self.shapes.append(Shape(name, box, kind, lines, align, tuple(tooltip), attributes))
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
        _check(attributes)
        self.lines.append(Line(tail, head, tuple(corners), kind, arrow, tuple(tooltip), attributes))

    @property
    def picture(self) -> Picture:
        """The sheet in DOT, for Graphviz."""
        made = Picture("unrolled")
        made.sheet = self
        made.attr(
            "graph",
            **_checked(
                layout="nop2",
                splines="line",
                outputorder="nodesfirst",
                bgcolor=self.theme.paper,
                pad="0.25",
                margin="0",
                tooltip=" ",
            ),
        )
        made.attr(
            "node",
            **_checked(
                fixedsize="true", fontname=FONT, fontsize="14", fontcolor=self.theme.ink, style="filled", margin="0"
            ),
        )
        made.attr("edge", **_checked(fontname=FONT))
        for shape in self.shapes:
            label = _lines(shape.lines, "\\" + (shape.align or "n"), last=shape.align in ("l", "r"))
            plain = {"shape": "plaintext", "style": ""} if shape.align else {"shape": shape.box.shape}
            made.node(
                shape.id,
                **_checked(
                    label=label,
                    pos=_at((shape.box.x, shape.box.y)),
                    width=f"{shape.box.width / 72:.4f}",
                    height=f"{shape.box.height / 72:.4f}",
                    tooltip=_tooltip(shape.tooltip),
                    **{"class": shape.kind},
                    **plain,
                    **shape.look,
                ),
            )
        for line in self.lines:
            curve = " ".join(_at(point) for point in rounded(line.drawn))
            end = f"e,{_at(line.corners[-1])} " if line.arrow else ""
            made.edge(
                line.tail,
                line.head,
                **_checked(
                    pos=end + curve,
                    dir="forward" if line.arrow else "none",
                    arrowsize=f"{line.arrow or 1:.2f}",
                    tooltip=_tooltip(line.tooltip),
                    **{"class": line.kind},
                    **line.look,
                ),
            )
        return made


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


def _check(attributes: Mapping[str, str]) -> None:
    unknown = attributes.keys() - ATTRIBUTES
    if unknown:
        raise ValueError(f"attributes {sorted(unknown)} are not on the list of attributes that a picture may have")


def _checked(**attributes: str) -> dict[str, Any]:
    """The attributes, where all of them are on the list, marked as text that is never HTML-like."""
    _check(attributes)
    return {name: graphviz.nohtml(value) for name, value in attributes.items()}
