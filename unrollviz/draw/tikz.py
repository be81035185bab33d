"""A sheet as TikZ: the same picture as the SVG, in a document of its own that LaTeX compiles, names as mathematics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from unrollviz.draw.geometry import Box, Point, rounded
from unrollviz.draw.latex import document, escape, math
from unrollviz.draw.sheet import Line, Shape, Sheet
from unrollviz.draw.style import PAPER
from unrollviz.draw.view import View
from unrollviz.errors import DrawingFailed
from unrollviz.graph import ROLES

WIDEST = 14_000.0
"""Points to either side that TeX has room for."""

_BASELINE = 0.334
_LEADING = 1.2
_DASHES = {"dashed": "on 5bp off 2bp", "dotted": "on 1bp off 5bp"}


def tikz(view: View) -> bytes:
    """The picture as a LaTeX document. Raises DrawingFailed where it is larger than TeX has room for."""
    return written(view.drawing.sheet).encode("utf-8")


def written(sheet: Sheet) -> str:
    """The sheet as a LaTeX document of the class `standalone`."""
    left, bottom, right, top = _extent(sheet)
    if max(right - left, top - bottom) > WIDEST:
        raise DrawingFailed(
            "the picture is larger than TeX has room for; fold more steps (--every, --steps A..B), or write a .svg"
        )
    number = {shape.id: index for index, shape in enumerate(sheet.shapes)}
    lines = sorted(sheet.lines, key=lambda line: (number[line.tail], number[line.head]))
    colours = _Colours()
    body = [r"\begin{tikzpicture}[x=1bp,y=1bp,every node/.style={inner sep=0pt,outer sep=0pt}]"]
    if sheet.theme.paper != PAPER:
        body.append(
            rf"\fill[{colours[sheet.theme.paper]}] ({_n(left)},{_n(bottom)}) rectangle ({_n(right)},{_n(top)});"
        )
    for shape in sheet.shapes:
        body += _shape(shape, sheet.theme.ink, colours)
    for line in lines:
        body += _line(line, colours)
    body.append(r"\end{tikzpicture}")
    return document(
        [*colours.defined(), *body],
        "the unrolled network; compile with pdflatex, or put what is between begin and end of the document in your own",
        f"[tikz,border={6 if sheet.theme.paper == PAPER else 0}bp]{{standalone}}",
        (r"\renewcommand*{\familydefault}{\sfdefault}",),
    )


class _Colours(dict[str, str]):
    """`#rrggbb` -> the name that it is defined by: c1, c2 …"""

    def __missing__(self, colour: str) -> str:
        self[colour] = f"c{len(self) + 1}"
        return self[colour]

    def defined(self) -> list[str]:
        return [rf"\definecolor{{{name}}}{{HTML}}{{{colour[1:].upper()}}}" for colour, name in self.items()]


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _at(point: Point) -> str:
    return f"({_n(point[0])},{_n(point[1])})"


def _extent(sheet: Sheet) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of all that is drawn."""
    corners = [point for line in sheet.lines for point in line.corners]
    boxes = [shape.box for shape in sheet.shapes]
    xs = [box.x + side * box.width / 2 for box in boxes for side in (-1, 1)] + [x for x, _ in corners]
    ys = [box.y + side * box.height / 2 for box in boxes for side in (-1, 1)] + [y for _, y in corners]
    return min(xs, default=0.0) - 12, min(ys, default=0.0) - 12, max(xs, default=1.0) + 12, max(ys, default=1.0) + 12


def _shape(shape: Shape, ink: str, colours: _Colours) -> Iterator[str]:
    if not shape.align:
        yield _outline(shape.box, shape.look, colours)
    size = float(shape.look.get("fontsize", "14"))
    bold = shape.look.get("fontname", "").endswith("Bold")
    side = {"l": -0.5, "r": 0.5}.get(shape.align, 0.0)
    anchor = {"l": "base west", "r": "base east"}.get(shape.align, "base")
    first = shape.box.y - _BASELINE * size + _LEADING * size * (len(shape.lines) - 1) / 2
    colour = colours[shape.look.get("fontcolor", ink)]
    font = rf"\fontsize{{{size:g}bp}}{{{_LEADING * size:g}bp}}\selectfont"
    for index, line in enumerate(shape.lines):
        if line:
            at = _at((shape.box.x + side * shape.box.width, first - _LEADING * size * index))
            yield rf"\node[anchor={anchor},text={colour},font={{{font}}}] at {at} {{{_words(shape.kind, line, bold)}}};"


def _words(kind: str, text: str, bold: bool) -> str:
    """A node's name as mathematics, all else as text."""
    if kind.partition(" ")[0] in (*ROLES, "copy"):
        made = rf"\boldsymbol{{{math(text)}}}" if bold else math(text)
        return rf"\({made}\)"  # not $, for two of them around a blank would mean something else
    return rf"\textbf{{{escape(text)}}}" if bold else escape(text)


def _outline(box: Box, look: Mapping[str, str], colours: _Colours) -> str:
    paint = [f"fill={colours[look['fillcolor']]}"] if look.get("fillcolor", "none") != "none" else []
    width = look.get("penwidth", "1")
    if float(width) > 0:
        paint += [f"draw={colours[look.get('color', '#000000')]}", f"line width={width}bp", *_dashes(look)]
    x, y, half, high = box.x, box.y, box.width / 2, box.height / 2
    if box.shape in ("circle", "ellipse"):
        return rf"\path[{','.join(paint)}] {_at((x, y))} ellipse [x radius={_n(half)},y radius={_n(high)}];"
    if box.shape == "hexagon":
        side = half / 2
        corners = ((half, 0), (side, -high), (-side, -high), (-half, 0), (-side, high), (side, high))
        return rf"\path[{','.join(paint)}] {' -- '.join(_at((x + dx, y + dy)) for dx, dy in corners)} -- cycle;"
    if "rounded" in look.get("style", ""):
        paint.append("rounded corners=6bp")
    return rf"\path[{','.join(paint)}] {_at((x - half, y - high))} rectangle {_at((x + half, y + high))};"


def _dashes(look: Mapping[str, str]) -> list[str]:
    return [f"dash pattern={dashes}" for style, dashes in _DASHES.items() if style in look.get("style", "")]


def _line(line: Line, colours: _Colours) -> Iterator[str]:
    colour = colours[line.look.get("color", "#000000")]
    paint = [f"draw={colour}", f"line width={line.look.get('penwidth', '1')}bp", *_dashes(line.look)]
    yield rf"\path[{','.join(paint)}] {_curve(rounded(line.drawn))};"
    if line.arrow:
        base, tip, half = line.drawn[-1], line.corners[-1], 3.5 * line.arrow
        dx, dy = tip[0] - base[0], tip[1] - base[1]
        length = (dx * dx + dy * dy) ** 0.5 or 1.0
        across = (-dy / length * half, dx / length * half)
        corners = (tip, (base[0] + across[0], base[1] + across[1]), (base[0] - across[0], base[1] - across[1]))
        yield rf"\fill[{colour}] {' -- '.join(map(_at, corners))} -- cycle;"


def _curve(points: Sequence[Point]) -> str:
    """Cubic curves: 3 n + 1 control points."""
    parts = [_at(points[0])]
    for at in range(1, len(points) - 2, 3):
        first, second, end = (_at(point) for point in points[at : at + 3])
        parts.append(f".. controls {first} and {second} .. {end}")
    return " ".join(parts)
