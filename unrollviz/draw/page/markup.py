"""The picture as a part of the page: its SVG made anew from a short list of harmless tags and attributes.

It is drawn twice, on light and on dark paper; a class stands for both colours, so that the page can change from one to
the other, and another for whatever else is not a place, so that a long picture is not mostly made of repetitions. Ids
are those of `draw.dot`: n1, n2, … of shapes and e1, e2, … of lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from unrollviz.draw.dot import Drawing
from unrollviz.draw.svg import written

SHAPES: dict[str, tuple[str, ...]] = {
    "path": ("d",),
    "polygon": ("points",),
    "rect": ("x", "y", "width", "height", "rx"),
    "ellipse": ("cx", "cy", "rx", "ry"),
    "text": ("x", "y"),
}
"""SVG tag -> its attributes that are kept; nothing else comes through but STYLES and PAINTS, as classes."""

STYLES = {"stroke-width": "", "stroke-dasharray": "", "text-anchor": "", "font-size": "px", "font-weight": ""}
"""Attribute that becomes a property of the same name -> the unit that it needs there."""

PAINTS = ("fill", "stroke")


@dataclass(frozen=True)
class Markup:
    """A picture for the page: the markup, and the rules of CSS for its colours."""

    svg: str
    css: str


def markup(light: Drawing, dark: Drawing, described: str) -> Markup:
    """The same picture on light and on dark paper, as one; `described` says what it shows."""
    pair = [ElementTree.fromstring(written(drawing.sheet)) for drawing in (light, dark)]
    colours: dict[tuple[str, str, str], str] = {}
    styles: dict[str, str] = {}
    svg = ElementTree.Element("svg", {"id": "svg", "viewBox": pair[0].attrib["viewBox"], "role": "img"})
    ElementTree.SubElement(svg, "title").text = described
    drawing = ElementTree.SubElement(svg, "g", {"id": "drawing"})
    things, links = set(light.ids.values()), {f"e{index + 1}" for index in light.lines.values()}
    for part, other in zip(*pair, strict=True):
        name = part.get("id", "")
        if not name:
            continue  # the paper: the page has its own
        known = {"thing": name in things, "link": name in links}
        kinds = " ".join([part.get("class", ""), *(kind for kind, is_one in known.items() if is_one)])
        ends = {}
        if name in links:
            line = light.sheet.lines[int(name[1:]) - 1]
            ends = {"data-tail": line.tail, "data-head": line.head}
        group = ElementTree.SubElement(drawing, "g", {"id": name, "class": kinds} | ends)
        for shape, again in zip(part, other, strict=True):
            if _tag(shape) in SHAPES:
                group.append(_shape(shape, again, colours, styles))
    return Markup(ElementTree.tostring(svg, encoding="unicode"), "".join(_rules(colours, styles)))


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _shape(
    light: ElementTree.Element,
    dark: ElementTree.Element,
    colours: dict[tuple[str, str, str], str],
    styles: dict[str, str],
) -> ElementTree.Element:
    """The shape with the attributes on the list; its looks as classes, which are added to `colours` and `styles`."""
    tag = _tag(light)
    style = [f"{name}:{value}{STYLES[name]}" for name in STYLES if _is_plain(value := light.get(name, ""))]
    classes = []
    for paint in PAINTS:
        pair = light.get(paint), dark.get(paint)
        if pair[0] == "none" or (pair[0] is None and tag == "path"):
            style.append(f"{paint}:none")
        elif _is_colour(pair[0]) and _is_colour(pair[1]):
            classes.append(colours.setdefault((paint, str(pair[0]), str(pair[1])), f"p{len(colours)}"))
    if style:
        classes.append(styles.setdefault(";".join(style), f"q{len(styles)}"))
    kept = {name: value for name, value in light.attrib.items() if name in SHAPES[tag]}
    copy = ElementTree.Element(tag, kept | ({"class": " ".join(classes)} if classes else {}))
    copy.text = light.text
    return copy


def _is_plain(value: str) -> bool:
    """Whether it is a word or numbers, and nothing that could end a rule."""
    return value != "" and set(value) <= _PLAIN


_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.,")


def _is_colour(text: str | None) -> bool:
    return text is not None and len(text) == 7 and text[0] == "#" and set(text[1:]) <= set("0123456789abcdef")


def _rules(colours: dict[tuple[str, str, str], str], styles: dict[str, str]) -> Iterator[str]:
    """A rule a class; of colours first for browsers that do not know `light-dark`."""
    for (paint, light, dark), name in colours.items():
        yield f".{name}{{{paint}:{light};{paint}:light-dark({light},{dark})}}\n"
    for style, name in styles.items():
        yield f".{name}{{{style}}}\n"
