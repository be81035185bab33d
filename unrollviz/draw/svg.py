"""A sheet as SVG: what Graphviz would make of its DOT, written directly. No link, no script, no file is named in it.

Every shape is `<g id="n7" class="node KIND TONE">`, every line `<g id="e9" class="edge KIND TONE">`; the first child
is a `<title>`, which browsers show as a tooltip, where there is one to show. Text goes through `escaped` alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from unrollviz.arrays import beat
from unrollviz.draw.geometry import Box, Point, rounded
from unrollviz.names import clean

if TYPE_CHECKING:
    from unrollviz.draw.sheet import Line, Shape, Sheet

PAD = 18.0
"""Points between the picture and the edge of the paper."""

FAINT = 0.1
"""Opacity of what is hardly to be seen."""

_BEHIND = ("band", "span")
"""Kinds of shapes behind the network."""

_DASHES = {"dashed": "5,2", "dotted": "1,5"}
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
_ANCHORS = {"l": "start", "r": "end"}
_FAMILY = "Helvetica,Arial,'DejaVu Sans',sans-serif"
_BASELINE = 0.334
_LEADING = 1.2


def escaped(text: str, limit: int = 200) -> str:
    """`text` between tags or in an attribute: shown letter by letter, control characters as `<1B>`."""
    return clean(text, limit).translate(_ENTITIES)


def written(
    sheet: Sheet,
    inside: Mapping[str, str] | None = None,
    faint: Collection[str] = (),
    above: str = "",
    under: str = "",
) -> bytes:
    """The sheet as an SVG file.

    Args:
        inside: id of a shape or line -> markup that is put into its group, before all that is drawn there.
        faint: ids of shapes and lines that are hardly to be seen.
        above: markup that is put on top of all;  under: markup that is put under all but bands and folded spans.
    """
    extra = inside or {}
    left, top, right, bottom = extent(sheet)
    width, height = right - left, bottom - top
    number = {shape.id: index for index, shape in enumerate(sheet.shapes)}
    lines = sorted(enumerate(sheet.lines, start=1), key=lambda item: (number[item[1].tail], number[item[1].head]))
    said = [line for shape in sheet.shapes if shape.kind == "caption" for line in shape.lines][::-1]
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}pt" height="{height:.0f}pt" '
        f'viewBox="{_n(left)} {_n(top)} {_n(width)} {_n(height)}" font-family="{_FAMILY}" fill="none" '
        f'role="img" aria-label="{escaped("; ".join(said) or "the unrolled network", 2000)}">\n',
        f'<rect x="{_n(left)}" y="{_n(top)}" width="{_n(width)}" height="{_n(height)}" fill="{sheet.theme.paper}"/>\n',
    ]
    front = next((index for index, shape in enumerate(sheet.shapes) if shape.kind not in _BEHIND), 0)
    for index, shape in enumerate(sheet.shapes):
        beat()
        if index == front:
            parts.append(under)
        parts += _shape(shape, sheet.theme.ink, extra.get(shape.id, ""), shape.id in faint)
    for index, line in lines:
        beat()
        parts += _line(line, f"e{index}", extra.get(f"e{index}", ""), f"e{index}" in faint)
    parts.append(f"{above}</svg>\n")
    return "".join(parts).encode("utf-8")


def _n(value: float) -> str:
    """A coordinate, to a hundredth of a point."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def extent(sheet: Sheet) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of all that is drawn, y downwards."""
    boxes = [shape.box for shape in sheet.shapes] or [Box(0, 0, 1, 1, "box")]
    xs = [box.x - box.width / 2 for box in boxes] + [x for line in sheet.lines for x, _ in line.corners]
    ends = [box.x + box.width / 2 for box in boxes] + [x for line in sheet.lines for x, _ in line.corners]
    ys = [box.y - box.height / 2 for box in boxes] + [y for line in sheet.lines for _, y in line.corners]
    tops = [box.y + box.height / 2 for box in boxes] + [y for line in sheet.lines for _, y in line.corners]
    return min(xs) - PAD, -max(tops) - PAD, max(ends) + PAD, -min(ys) + PAD


def _group(id: str, kind: str, tooltip: Sequence[str], inside: str, faint: bool) -> str:
    title = "\n".join(escaped(line) for line in tooltip)
    opacity = f' opacity="{FAINT}"' if faint else ""
    return f'<g id="{id}" class="{kind}"{opacity}>' + (f"<title>{title}</title>" if title else "") + inside


def _shape(shape: Shape, ink: str, inside: str, faint: bool) -> Iterator[str]:
    yield _group(shape.id, f"node {escaped(shape.kind)}", shape.tooltip, inside, faint)
    if not shape.align:
        yield outline(shape.box, shape.look)
    yield from _text(shape, ink)
    yield "</g>\n"


def outline(box: Box, look: Mapping[str, str]) -> str:
    """The outline of a shape, one element."""
    paint = f'fill="{look.get("fillcolor", "none")}"'
    width = look.get("penwidth", "1")
    if float(width) > 0:
        paint += f' stroke="{look.get("color", "#000000")}" stroke-width="{width}"' + _dashes(look)
    x, y, half, high = box.x, -box.y, box.width / 2, box.height / 2
    if box.shape in ("circle", "ellipse"):
        return f'<ellipse cx="{_n(x)}" cy="{_n(y)}" rx="{_n(half)}" ry="{_n(high)}" {paint}/>'
    if box.shape == "hexagon":
        side = half / 2
        corners = ((half, 0), (side, -high), (-side, -high), (-half, 0), (-side, high), (side, high))
        points = " ".join(f"{_n(x + dx)},{_n(y + dy)}" for dx, dy in corners)
        return f'<polygon points="{points}" {paint}/>'
    bend = ' rx="6"' if "rounded" in look.get("style", "") else ""
    return f'<rect x="{_n(x - half)}" y="{_n(y - high)}" width="{_n(2 * half)}" height="{_n(2 * high)}"{bend} {paint}/>'


def _dashes(look: Mapping[str, str]) -> str:
    found = (dashes for style, dashes in _DASHES.items() if style in look.get("style", ""))
    return "".join(f' stroke-dasharray="{dashes}"' for dashes in found)


def _text(shape: Shape, ink: str) -> Iterator[str]:
    size = float(shape.look.get("fontsize", "14"))
    bold = ' font-weight="bold"' if shape.look.get("fontname", "").endswith("Bold") else ""
    anchor = _ANCHORS.get(shape.align, "middle")
    side = {"start": -0.5, "end": 0.5}.get(anchor, 0.0)
    x = shape.box.x + side * shape.box.width
    first = -shape.box.y + _BASELINE * size - _LEADING * size * (len(shape.lines) - 1) / 2
    for index, line in enumerate(shape.lines):
        if line:
            y = first + _LEADING * size * index
            yield (
                f'<text xml:space="preserve" text-anchor="{anchor}" x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}"'
                f'{bold} fill="{shape.look.get("fontcolor", ink)}">{escaped(line)}</text>'
            )


def _line(line: Line, id: str, inside: str, faint: bool) -> Iterator[str]:
    look = line.look
    paint = f'stroke="{look.get("color", "#000000")}" stroke-width="{look.get("penwidth", "1")}"'
    yield _group(id, f"edge {escaped(line.kind)}", line.tooltip, inside, faint)
    yield f'<path d="{path(rounded(line.drawn))}" {paint}{_dashes(look)}/>'
    if line.arrow:
        yield _arrow(line.drawn[-1], line.corners[-1], 3.5 * line.arrow, look.get("color", "#000000"))
    yield "</g>\n"


def path(curve: Sequence[Point]) -> str:
    """Control points of cubic curves as `rounded` gives them, straight lines and corners by turns, as the `d` of a
    path. A straight line takes few letters: lines are most of a long picture."""
    points = [(_n(x), _n(-y)) for x, y in curve]
    made = "M{},{}".format(*points[0])
    for at in range(3, len(points), 3):
        (from_x, from_y), (x, y) = points[at - 3], points[at]
        if at % 2 == 0:
            made += "C" + " ".join(f"{x},{y}" for x, y in points[at - 2 : at + 1])
        elif (from_x, from_y) != (x, y):
            made += f"H{x}" if from_y == y else f"V{y}" if from_x == x else f"L{x},{y}"
    return made


def _arrow(base: Point, tip: Point, half: float, colour: str) -> str:
    """An arrowhead from `base` to `tip`, `half` as wide to either side."""
    dx, dy = tip[0] - base[0], tip[1] - base[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1.0
    across = (-dy / length * half, dx / length * half)
    corners = (tip, (base[0] + across[0], base[1] + across[1]), (base[0] - across[0], base[1] - across[1]))
    return f'<polygon points="{" ".join(f"{_n(x)},{_n(-y)}" for x, y in corners)}" fill="{colour}"/>'
