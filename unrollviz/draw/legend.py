"""What a picture says in words: title, caption and headings, and the legend below."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial

from unrollviz.draw.geometry import Box, Paper, Point, shown
from unrollviz.draw.layout import EdgeName, kind_of
from unrollviz.draw.sheet import BOLD, Sheet
from unrollviz.draw.style import (
    FAINT,
    INK,
    LOOKS,
    MARKER,
    MEANINGS,
    PAPER,
    QUIET,
    share_colour,
    share_style,
    share_width,
    text_width,
)
from unrollviz.draw.text import number, percent
from unrollviz.graph import ROLES, Graph
from unrollviz.names import clean
from unrollviz.paths import Path

_FONT = 11.0
_SYMBOL_FONT = 12.0
_SWATCH = 30.0
_NARROWEST = 460.0
_Swatch = Callable[[Sheet, Point], None]


def figures(graph: Graph, path: Path) -> str:
    """`enters W at step 3 (lag 1) · norm 0.2385 · share +2.2 %`"""
    target = graph.nodes[path.nodes[-1]]
    enters = "enters" if target["role"] == "parameter" else "reaches"
    where = f"{enters} {shown(target['label'])} at step {path.entry} (lag {path.lag})"
    return f"{where} · norm {number(path.norm)} · share {signed(path.share)}"


def signed(share: float) -> str:
    """A share as it is set in print: `+17.8 %`, `−2.0 %`."""
    return percent(share).replace("-", "−")


def quoted(symbol: str) -> str:
    """A symbol as it is shown on its own, cut so that it fits its column: a blank as `␣`."""
    visible = clean(symbol, 12).replace(" ", "␣")
    fits = next(n for n in range(len(visible), -1, -1) if text_width(visible[:n], _SYMBOL_FONT) <= 64)
    return f"“{visible if fits == len(visible) else visible[:fits] + '…'}”"


def draw_words(
    sheet: Sheet, graph: Graph, paper: Paper, path: Path | None, steps: Collection[int], title: str | None
) -> None:
    """Add title and caption, the headings of columns and rows, and the symbols read and wanted."""
    _column_headings(sheet, paper, path, steps)
    _symbols(sheet, graph, paper, path, steps)
    first = {
        kind_of(name): graph.nodes[name] for name, place in reversed(paper.places.nodes.items()) if place.column > 0
    }
    for row, y in zip(paper.places.rows, paper.rows, strict=True):
        if row.rail is None:
            node = first[row.kind]
            meaning = node["op"] if node["role"] == "hidden" else MEANINGS[node["role"]].removeprefix("initial ")
            _beside(sheet, paper, y, meaning)
    y = paper.top + 42
    left, width = _extent(paper)
    for line, size in reversed(_caption(graph, path, title, width)):
        look = {"fontname": BOLD} if size > _SYMBOL_FONT else {"fontcolor": QUIET}
        room = max(width, text_width(line, size, bold=True))
        box = Box(left + room / 2, y, room, size + 6, "box")
        sheet.text(box, "caption", [line], "l", fontsize=f"{size:g}", **look)
        y += size + 9


def _caption(graph: Graph, path: Path | None, title: str | None, width: float) -> list[tuple[str, float]]:
    """The lines above a picture from the top, each with its font size: the title, then the path in words."""
    lines: list[tuple[str, float]] = []
    if title:
        lines += [(line, 17.0) for line in _wrapped(clean(title).split(" "), " ", width, 17.0)]
    if path is not None:
        labels = [shown(graph.nodes[name]["label"]) for name in path.nodes]
        lines += [(line, 14.0) for line in _wrapped(labels, " → ", width, 14.0)]
        lines.append((figures(graph, path), 12.0))
    return lines


def _column_headings(sheet: Sheet, paper: Paper, path: Path | None, steps: Collection[int]) -> None:
    for x, time in zip(paper.columns[1:], paper.places.times[1:], strict=True):
        look = {"fontname": BOLD, "fontcolor": INK} if time in steps else {"fontcolor": QUIET}
        sheet.text(Box(x, paper.top + 10, 60, 18, "box"), "heading", [f"t = {time}"], fontsize="12", **look)


def _symbols(sheet: Sheet, graph: Graph, paper: Paper, path: Path | None, steps: Collection[int]) -> None:
    """What an input stands for below it, what a loss wants above it."""
    heights: dict[str, float] = {}
    for name, box in paper.boxes.items():
        node = graph.nodes[name]
        if "symbol" in node:
            meaning = "target" if node["role"] == "loss" else "symbol"
            y = heights[meaning] = box.y + (box.height / 2 + 18 if meaning == "target" else -box.height / 2 - 12)
            colour = INK if path is None or node["time"] in steps else FAINT
            sheet.text(
                Box(box.x, y, 80, 16, "box"),
                "symbol",
                [quoted(node["symbol"])],
                fontsize=f"{_SYMBOL_FONT:g}",
                fontcolor=colour,
            )
    for meaning, y in heights.items():
        _beside(sheet, paper, y, meaning)


def _beside(sheet: Sheet, paper: Paper, y: float, text: str) -> None:
    """A heading in the column of the parameters, in line with their right ends."""
    width = text_width(text, _FONT)
    sheet.text(Box(-width / 2, y, width, 16, "box"), "heading", [text], "r", fontsize=f"{_FONT:g}", fontcolor=QUIET)


def _extent(paper: Paper) -> tuple[float, float]:
    """The left end and the width of what may be written on, above and below the picture."""
    left = min((-box.width for name, box in paper.boxes.items() if paper.places.nodes[name].column == 0), default=0.0)
    left = min(left, -text_width("output", _FONT))
    return left, max(paper.columns[-1] + paper.right - left, _NARROWEST)


def _wrapped(words: list[str], joiner: str, width: float, size: float) -> list[str]:
    """The words joined, in as many lines as the width asks for."""
    lines = [words[0]]
    for word in words[1:]:
        if text_width(lines[-1] + joiner + word + joiner, size, bold=True) > width:
            lines[-1] += joiner.rstrip()
            lines.append(word)
        else:
            lines[-1] += joiner + word
    return lines


def draw_legend(sheet: Sheet, graph: Graph, paper: Paper, path: Path | None, shares: Mapping[EdgeName, float]) -> None:
    """Add the legend below the picture, in rows no wider than the picture."""
    left, width = _extent(paper)
    x, y = left, paper.bottom - 24
    for group in (_roles(graph), [*_path_entry(graph, path), *_scale(shares)]):
        for text, swatch in group:
            words = text_width(text, _FONT) + 4
            if x > left and x + _SWATCH + 8 + words > left + width:
                x, y = left, y - 23
            swatch(sheet, (x, y))
            box = Box(x + _SWATCH + 8 + words / 2, y, words, 16, "box")
            sheet.text(box, "legend", [text], "l", fontsize=f"{_FONT:g}", fontcolor=QUIET)
            x += _SWATCH + 8 + words + 14
        if x > left:
            x, y = left, y - 23


def _roles(graph: Graph) -> list[tuple[str, _Swatch]]:
    """One entry for each role in the picture."""
    present = set(dict(graph.nodes(data="role")).values())
    entries: list[tuple[str, _Swatch]] = [
        (MEANINGS[role], partial(_node_swatch, role=role)) for role in ROLES if role in present and role != "parameter"
    ]
    if "parameter" in present:
        entries.append(("parameter: one node, a small copy at each step that uses it", _tie_swatch))
    return entries


def _path_entry(graph: Graph, path: Path | None) -> list[tuple[str, _Swatch]]:
    if path is None:
        return []
    start, end = (shown(graph.nodes[name]["label"]) for name in (path.nodes[0], path.nodes[-1]))
    return [(f"the path, numbered from {start} back to {end}", _marker_swatch)]


def _scale(shares: Mapping[EdgeName, float]) -> list[tuple[str, _Swatch]]:
    """Samples of lines with their shares: the largest of each sign and, of the larger sign, a quarter of it."""
    if not shares:
        return []
    largest = max(abs(share) for share in shares.values())
    most, least = max(shares.values()), min(shares.values())
    ends = [share for share in (max(most, 0.0), min(least, 0.0)) if share != 0]
    samples = [size for end in ends for size in ((end, end / 4) if abs(end) == largest else (end,))]
    return [
        (f"share {signed(size)}", partial(_share_swatch, share=size, largest=largest))
        for size in dict.fromkeys(samples)
    ]


def _node_swatch(sheet: Sheet, at: Point, role: str) -> None:
    look = LOOKS[role]
    box = Box(at[0] + _SWATCH / 2, at[1], 15 if look.shape == "circle" else 24, 15, look.shape)
    style = "filled,dashed" if role == "initial" else "filled"
    sheet.shape(box, "legend", fillcolor=look.fill, color=look.line, penwidth="1.2", style=style)


def _tie_swatch(sheet: Sheet, at: Point) -> None:
    look, (x, y) = LOOKS["parameter"], at
    big = sheet.shape(Box(x + 7.5, y, 15, 13, look.shape), "legend", fillcolor=look.fill, color=look.line)
    small = sheet.shape(Box(x + 25.5, y, 9, 8, look.shape), "legend", fillcolor=look.fill, color=look.line)
    sheet.line(big, small, [(x + 15, y), (x + 21, y)], "legend", style="dotted", color=look.line)


def _marker_swatch(sheet: Sheet, at: Point) -> None:
    _line_swatch(sheet, at, color=MARKER, penwidth="11")
    _line_swatch(sheet, at, color=INK, penwidth="2.2", arrow=0.65)


def _share_swatch(sheet: Sheet, at: Point, share: float, largest: float) -> None:
    width = f"{share_width(share, largest):.2f}"
    _line_swatch(sheet, at, color=share_colour(share), penwidth=width, style=share_style(share))


def _line_swatch(sheet: Sheet, at: Point, arrow: float = 0.0, **attributes: str) -> None:
    """A level line; DOT wants a node at either end."""
    x, y = at
    ends = [
        sheet.shape(Box(end, y, 1, 1, "box"), "legend", fillcolor=PAPER, color=PAPER, penwidth="0")
        for end in (x, x + _SWATCH)
    ]
    sheet.line(ends[0], ends[1], [(x, y), (x + _SWATCH, y)], "legend", arrow=arrow, **attributes)
