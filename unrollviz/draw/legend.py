"""What a picture says in words: title, caption and headings, and the legend below."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from unrollviz.draw.colouring import Paint
from unrollviz.draw.geometry import SQUARES, Box, Paper, Point, shown
from unrollviz.draw.layout import kind_in
from unrollviz.draw.scene import Scene
from unrollviz.draw.sheet import BOLD, Sheet
from unrollviz.draw.style import MEANINGS, Theme, share_style, share_width, text_width
from unrollviz.draw.text import integer, magnitude, number, percent
from unrollviz.graph import ROLES, Graph
from unrollviz.names import clean
from unrollviz.paths.pathset import Path

_FONT = 11.0
_SYMBOL_FONT = 12.0
_SWATCH = 30.0
_NARROWEST = 460.0
_RAMP = 63.0
_WRITTEN_OUT = 14
"""Nodes up to which a path is written out where steps are folded."""

_Entry = tuple[str, Callable[[Sheet, Point], None], float]
"""Words, what draws the sample before them, and its width."""


def figures(graph: Graph, path: Path, of: str) -> str:
    """`enters W at step 3 (lag 1) · norm 0.2385 · share +2.2 % of ∂L/∂W`"""
    target = graph.nodes[path.nodes[-1]]
    enters = "enters" if target["role"] == "parameter" else "reaches"
    where = f"{enters} {shown(target['label'])} at step {path.entry} (lag {path.lag})"
    norm = magnitude(path.norm, path.log10_norm)
    return f"{where} · norm {norm} · share {signed(path.share)}{f' of {of}' if of else ''}"


def signed(share: float) -> str:
    """A share as it is set in print: `+17.8 %`, `−2.0 %`."""
    return percent(share).replace("-", "−")


def quoted(symbol: str) -> str:
    """A symbol as it is shown on its own, cut so that it fits its column: a blank as `␣`."""
    visible = clean(symbol, 12).replace(" ", "␣")
    fits = next(n for n in range(len(visible), -1, -1) if text_width(visible[:n], _SYMBOL_FONT) <= 64)
    return f"“{visible if fits == len(visible) else visible[:fits] + '…'}”"


def group_figures(scene: Scene) -> str:
    """`3 of 15 paths · norm of their sum 0.1050 · share +7.4 % of ∂L/∂W`"""
    if scene.group is None:
        return ""
    found, of = scene.group.sum, scene.group.of
    paths = f"{integer(found.count)} of {integer(of)} path{'s' if of != 1 else ''}"
    return f"{paths} · norm of their sum {number(found.norm)} · share {signed(found.share)} of {scene.of}"


def draw_words(sheet: Sheet, scene: Scene, paper: Paper, steps: Collection[int]) -> None:
    """Add title and caption, the headings of columns and rows, and the symbols read and wanted."""
    graph = scene.graph
    _column_headings(sheet, scene, paper, steps)
    _symbols(sheet, scene, paper, steps)
    first = {
        kind_in(graph, name): graph.nodes[name]
        for name, place in reversed(paper.places.nodes.items())
        if place.column > 0 and graph.nodes[name]["role"] != "fold"
    }
    for row, y in zip(paper.places.rows, paper.rows, strict=True):
        if row.rail is None and row.kind in first:
            node = first[row.kind]
            meaning = node["op"] if node["role"] == "hidden" else MEANINGS[node["role"]].removeprefix("initial ")
            _beside(sheet, paper, y, meaning)
    y = paper.top + 42
    left, width = _extent(paper)
    for line, size in reversed(_caption(scene, width)):
        look = {"fontname": BOLD} if size > _SYMBOL_FONT else {"fontcolor": scene.theme.quiet}
        room = max(width, text_width(line, size, bold=True))
        box = Box(left + room / 2, y, room, size + 6, "box")
        exact = scene.group is not None and line == group_figures(scene) and scene.group.sum.count >= 10**15
        tip = [f"exactly {scene.group.sum.count} paths"] if exact and scene.group else []
        sheet.text(box, "caption", [line], "l", tip, fontsize=f"{size:g}", **look)
        y += size + 9


def _caption(scene: Scene, width: float) -> list[tuple[str, float]]:
    """The lines above a picture from the top, each with its font size: the title, then the highlight in words."""
    graph, path = scene.whole, scene.path
    lines: list[tuple[str, float]] = []
    if scene.title:
        lines += [(line, 17.0) for line in _wrapped(clean(scene.title).split(" "), " ", width, 17.0)]
    if path is not None:
        names = list(path.nodes)
        labels = [shown(graph.nodes[name]["label"]) for name in names]
        if scene.folded.spans and len(labels) > _WRITTEN_OUT:
            left_out = len(labels) - _WRITTEN_OUT + 1
            labels = [*labels[: _WRITTEN_OUT - 6], f"⋯ {left_out:,} nodes ⋯", *labels[-5:]]
        lines += [(line, 14.0) for line in _wrapped(labels, " → ", width, 14.0)]
        lines.append((figures(graph, path, scene.of), 12.0))
    if scene.group is not None:
        lines.append((scene.group.words, 14.0))
        lines.append((group_figures(scene), 12.0))
    for note in scene.notes:
        lines += [(line, 12.0) for line in _wrapped(clean(note, 2000).split(" "), " ", width, 12.0)]
    return lines


def _column_headings(sheet: Sheet, scene: Scene, paper: Paper, steps: Collection[int]) -> None:
    for x, time in zip(paper.columns[1:], paper.places.times[1:], strict=True):
        visited = time in steps
        look = {"fontname": BOLD, "fontcolor": scene.theme.ink} if visited else {"fontcolor": scene.theme.quiet}
        heading, room = f"t = {time}", 60.0
        span = None if time is None else scene.folded.spans.get(time)
        if span is not None:
            heading = f"⋯ {span.count:,} step{'s' if span.count != 1 else ''} ⋯"
            look = {"fontname": BOLD, "fontcolor": scene.theme.quiet}
            room = max(room, text_width(heading, 12, bold=True))
        middle = x if span is None else x + (paper.right - paper.left) / 2
        sheet.text(Box(middle, paper.top + 10, room, 18, "box"), "heading", [heading], fontsize="12", **look)


def _symbols(sheet: Sheet, scene: Scene, paper: Paper, steps: Collection[int]) -> None:
    """What an input stands for below it, what a loss wants above it."""
    heights: dict[str, float] = {}
    for name, box in paper.boxes.items():
        node = scene.graph.nodes[name]
        if "symbol" in node:
            meaning = "target" if node["role"] == "loss" else "symbol"
            y = heights[meaning] = box.y + (box.height / 2 + 18 if meaning == "target" else -box.height / 2 - 12)
            colour = scene.theme.ink if not scene.highlights or node["time"] in steps else scene.theme.faint
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
    quiet = sheet.theme.quiet
    sheet.text(Box(-width / 2, y, width, 16, "box"), "heading", [text], "r", fontsize=f"{_FONT:g}", fontcolor=quiet)


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


def draw_legend(sheet: Sheet, scene: Scene, paper: Paper, paint: Paint | None, largest: float) -> None:
    """Add the legend below the picture, in rows no wider than the picture."""
    left, width = _extent(paper)
    x, y = left, paper.bottom - 24
    quiet = scene.theme.quiet
    for group in (_roles(scene), [*_highlight_entry(scene), *_scale(paint, largest, scene.theme)]):
        for text, swatch, wide in group:
            words = text_width(text, _FONT) + 4
            if x > left and x + wide + 8 + words > left + width:
                x, y = left, y - 23
            swatch(sheet, (x, y))
            box = Box(x + wide + 8 + words / 2, y, words, 16, "box")
            sheet.text(box, "legend", [text], "l", fontsize=f"{_FONT:g}", fontcolor=quiet)
            x += wide + 8 + words + 14
        if x > left:
            x, y = left, y - 23


def _roles(scene: Scene) -> list[_Entry]:
    """One entry for each role in the picture, and for what else nodes show."""
    graph, theme = scene.graph, scene.theme
    present = set(dict(graph.nodes(data="role")).values())
    entries: list[_Entry] = [
        (MEANINGS[role], partial(_node_swatch, role=role), _SWATCH)
        for role in ROLES
        if role in present and role != "parameter"
    ]
    if "parameter" in present:
        entries.append(("parameter: one node, a small copy at each step that uses it", _tie_swatch, _SWATCH))
    if scene.folded.spans:
        entries.append(("steps that are folded: every figure counts them", _span_swatch, _SWATCH))
    if scene.values:
        several = any(node["role"] == "state" and len(node["value"]) > 1 for _, node in graph.nodes(data=True))
        words = f"squares: values of the first {SQUARES} units{' of the first sequence' if several else ''}, "
        swatch = partial(_ramp_swatch, colours=[theme.diverging(part) for part in (-1.0, -0.5, 0.0, 0.5, 1.0)])
        entries.append((words + "from − to +, relative to the largest of their kind", swatch, _RAMP))
    return entries


def _highlight_entry(scene: Scene) -> list[_Entry]:
    if scene.path is not None:
        ends = (scene.path.nodes[0], scene.path.nodes[-1])
        start, end = (shown(scene.whole.nodes[name]["label"]) for name in ends)
        return [(f"the path, numbered from {start} back to {end}", _marker_swatch, _SWATCH)]
    if scene.group is None:
        return []
    coloured = scene.group.sum.share == scene.group.sum.share and scene.paint is None
    entry = "the highlighted paths" + (": as thick as the share that passes, dashed where negative" if coloured else "")
    return [(entry, partial(_group_swatch, signed=coloured), _SWATCH)]


def _scale(paint: Paint | None, largest: float, theme: Theme) -> list[_Entry]:
    """What colours say: of shares samples of lines, the largest of each sign and, of the larger sign, a quarter of it;
    of other quantities the ramp with its ends."""
    if paint is None or not (paint.edges or paint.nodes):
        return []
    low, high = paint.range
    if not paint.signed:
        how = ", by factors" if paint.logarithmic else ""
        start = f"≤ {number(paint.start)}" if paint.start > low else number(low)
        swatch = partial(_ramp_swatch, colours=[theme.on_ramp(part / 8) for part in range(9)])
        return [(f"{paint.what}, from {start} to {number(high)}{how}", swatch, _RAMP)]
    ends = [share for share in (max(high, 0.0), min(low, 0.0)) if share != 0]
    samples = [size for end in ends for size in ((end, end / 4) if abs(end) == paint.largest else (end,))]
    return [
        (f"share {signed(size)}", partial(_share_swatch, share=size, largest=max(largest, paint.largest)), _SWATCH)
        for size in dict.fromkeys(samples)
    ]


def _node_swatch(sheet: Sheet, at: Point, role: str) -> None:
    look = sheet.theme.looks[role]
    box = Box(at[0] + _SWATCH / 2, at[1], 15 if look.shape == "circle" else 24, 15, look.shape)
    style = "filled,dashed" if role == "initial" else "filled"
    sheet.shape(box, "legend", fillcolor=look.fill, color=look.line, penwidth="1.2", style=style)


def _tie_swatch(sheet: Sheet, at: Point) -> None:
    look, (x, y) = sheet.theme.looks["parameter"], at
    big = sheet.shape(Box(x + 7.5, y, 15, 13, look.shape), "legend", fillcolor=look.fill, color=look.line)
    small = sheet.shape(Box(x + 25.5, y, 9, 8, look.shape), "legend", fillcolor=look.fill, color=look.line)
    sheet.line(big, small, [(x + 15, y), (x + 21, y)], "legend", style="dotted", color=look.line)


def _span_swatch(sheet: Sheet, at: Point) -> None:
    look = {"fillcolor": sheet.theme.steps, "color": sheet.theme.frame, "penwidth": "0.9"}
    box = Box(at[0] + _SWATCH / 2, at[1], 26, 16, "box")
    sheet.shape(box, "legend", "⋯", style="filled,rounded,dashed", fontcolor=sheet.theme.quiet, fontsize="10", **look)


def _ramp_swatch(sheet: Sheet, at: Point, colours: list[str]) -> None:
    side = _RAMP / len(colours)
    for index, colour in enumerate(colours):
        box = Box(at[0] + side * (index + 0.5), at[1], side, 11, "box")
        sheet.shape(box, "legend", fillcolor=colour, color=sheet.theme.faint, penwidth="0.3")


def _marker_swatch(sheet: Sheet, at: Point) -> None:
    _line_swatch(sheet, at, color=sheet.theme.marker, penwidth="11")
    _line_swatch(sheet, at, color=sheet.theme.ink, penwidth="2.2", arrow=0.65)


def _group_swatch(sheet: Sheet, at: Point, signed: bool) -> None:
    """A line of the highlight; where lines are shares, one of each sign."""
    if not signed:
        _line_swatch(sheet, at, color=sheet.theme.ink, penwidth="3", arrow=0.65)
    for share, aside in ((1.0, 3), (-1.0, -3)) if signed else ():
        colour, style = sheet.theme.share_colour(share), share_style(share)
        _line_swatch(sheet, (at[0], at[1] + aside), color=colour, penwidth="2.5", style=style)


def _share_swatch(sheet: Sheet, at: Point, share: float, largest: float) -> None:
    width = f"{share_width(share, largest):.2f}"
    _line_swatch(sheet, at, color=sheet.theme.share_colour(share), penwidth=width, style=share_style(share))


def _line_swatch(sheet: Sheet, at: Point, arrow: float = 0.0, **attributes: str) -> None:
    """A level line; DOT wants a node at either end."""
    (x, y), paper = at, sheet.theme.paper
    ends = [
        sheet.shape(Box(end, y, 1, 1, "box"), "legend", fillcolor=paper, color=paper, penwidth="0")
        for end in (x, x + _SWATCH)
    ]
    sheet.line(ends[0], ends[1], [(x, y), (x + _SWATCH, y)], "legend", arrow=arrow, **attributes)
