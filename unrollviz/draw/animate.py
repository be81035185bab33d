"""The forward pass, then the backward pass, as frames: one SVG each, or one SVG that plays them. No script.

Nodes appear in the order in which they are computed; then cotangents run the same way back, marked in the colour of
the marker pen. Of a folded span only what is seen of it takes part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unrollviz.draw import svg
from unrollviz.draw.dot import Drawing
from unrollviz.draw.geometry import Box, rounded
from unrollviz.draw.sheet import Line, Sheet
from unrollviz.draw.view import View
from unrollviz.graph import Graph

SECONDS = 0.7
"""How long an animation shows each frame."""

REST = 3
"""Frames for which the finished picture stands still."""


@dataclass(frozen=True)
class Score:
    """When what appears.

    Attributes:
        forward, backward: id of a shape or line -> frame in which it is computed, and in which its cotangent comes.
        turn: the first frame of the backward pass;  frames: how many there are.
    """

    forward: Mapping[str, int]
    backward: Mapping[str, int]
    turn: int
    frames: int


def score(drawing: Drawing) -> Score:
    """When each node and line of a drawing appears, forward and backward."""
    depth = _depths(drawing)
    rank = {level: index for index, level in enumerate(sorted(set(depth.values())))}
    last = len(rank)
    nodes = {name: rank[level] for name, level in depth.items()}
    forward: dict[str, int] = {}
    backward: dict[str, int] = {}
    for name, id in drawing.ids.items():
        if isinstance(name, str) and name in nodes:
            forward[id], backward[id] = nodes[name], 2 * last - 1 - nodes[name]
    for (tail, head, key), index in drawing.lines.items():
        place = drawing.paper.places.copies.get((tail, head, key))
        start = nodes[head] if place is not None else nodes[tail]
        line = f"e{index + 1}"
        forward[line], backward[line] = nodes[head], 2 * last - 1 - start
        if place is not None:
            copy = drawing.ids[place]
            forward[copy] = min(nodes[head], forward.get(copy, nodes[head]))
            backward[copy] = max(backward[line], backward.get(copy, 0))
    return Score(forward, backward, last, 2 * last)


def _depths(drawing: Drawing) -> dict[str, int]:
    """Every drawn node but parameters -> how many nodes must have been computed one after another before it; a leaf is
    looked at just before it is used."""
    whole: Graph = drawing.scene.whole
    found: dict[str, int] = {}
    leaves: dict[str, int] = {}
    for name in whole:
        before = [found[tail] for tail in whole.pred[name] if tail in found]
        if whole.nodes[name]["op"] is not None:
            found[name] = 1 + max(before, default=0)
            for tail in whole.pred[name]:
                if whole.nodes[tail]["op"] is None and whole.nodes[tail]["role"] != "parameter":
                    leaves[tail] = min(leaves.get(tail, found[name] - 1), found[name] - 1)
    depths = {name: level for name, level in (leaves | found).items() if name in drawing.paper.boxes}
    for edge, of in drawing.scene.folded.merged.items():
        for ghost, nodes in ((edge[0], [tail for tail, _, _ in of]), (edge[1], [head for _, head, _ in of])):
            if drawing.graph.nodes[ghost]["role"] == "fold":
                levels = [(leaves | found)[name] for name in nodes if name in found or name in leaves]
                depths[ghost] = max([depths.get(ghost, 0), *levels])
    return depths


def frames(view: View) -> dict[str, bytes]:
    """The frames as files: `frame-001.svg` and so on."""
    sheet, when = view.drawing.sheet, score(view.drawing)
    glow = _glows(sheet, when)
    digits = max(3, len(str(when.frames)))
    made = {}
    for frame in range(when.frames):
        faint = {id for id, start in when.forward.items() if start > frame}
        under = "".join(glow[id].format("") for id, start in when.backward.items() if start <= frame)
        phase = _phase(view, sheet, frame, when, "")
        made[f"frame-{frame + 1:0{digits}}.svg"] = svg.written(sheet, {}, faint, phase, under)
    return made


def animated(view: View) -> bytes:
    """One SVG that plays all frames, again and again; where nothing plays it is the whole picture."""
    sheet, when = view.drawing.sheet, score(view.drawing)
    whole = when.frames + REST
    glow = _glows(sheet, when)

    def play(values: str, *starts: int) -> str:
        times = ";".join(f"{start / whole:.5g}" for start in (0, *starts))
        return (
            f'<animate attributeName="opacity" calcMode="discrete" dur="{whole * SECONDS:g}s" '
            f'repeatCount="indefinite" keyTimes="{times}" values="{values}"/>'
        )

    inside = {id: play(f"{svg.FAINT};1", start) for id, start in when.forward.items() if start}
    under = "".join(glow[id].format(play("0;1", start)) for id, start in when.backward.items())
    phases = _phase(view, sheet, 0, when, play("1;0", when.turn)) + _phase(
        view, sheet, when.turn, when, play("0;1", when.turn)
    )
    return svg.written(sheet, inside, (), phases, under)


def _phase(view: View, sheet: Sheet, frame: int, when: Score, inside: str) -> str:
    """Which pass a frame belongs to, in words at the top."""
    words = "forward pass" if frame < when.turn else "backward pass"
    left, top, _, _ = svg.extent(sheet)
    return (
        f'<text x="{left + 8:.0f}" y="{top + 14:.0f}" font-size="12" font-weight="bold" '
        f'fill="{sheet.theme.quiet}">{words}{inside}</text>\n'
    )


def _glows(sheet: Sheet, when: Score) -> dict[str, str]:
    """What marks that a cotangent has come, of each shape and line, to be drawn under all of them; `{}` is where an
    animation goes."""
    pen = sheet.theme.marker
    made = {}
    for shape in sheet.shapes:
        if shape.id in when.backward:
            box = shape.box
            wide = Box(box.x, box.y, box.width + 9, box.height + 9, box.shape)
            made[shape.id] = _open(svg.outline(wide, {"fillcolor": pen, "penwidth": "0"}))
    for index, line in enumerate(sheet.lines, start=1):
        if f"e{index}" in when.backward:
            made[f"e{index}"] = _open(_under(line, pen))
    return made


def _under(line: Line, pen: str) -> str:
    return f'<path d="{svg.path(rounded(line.drawn))}" stroke="{pen}" stroke-width="8"/>'


def _open(element: str) -> str:
    """`<x …/>` as `<x …>{}</x>`"""
    tag = element[1:].split(" ", 1)[0]
    return f"{element[:-2]}>{{}}</{tag}>"
