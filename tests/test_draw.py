"""Pictures: the layout, the lines, what the DOT text says, and text from outside that stays text."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree

import graphviz
import numpy as np
import pygraphviz
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import unrollviz as uz
from unrollviz.draw.dot import mark, picture
from unrollviz.draw.engine import render
from unrollviz.draw.geometry import Box, arrange, rounded, shortened
from unrollviz.draw.layout import kind_of, layout
from unrollviz.draw.scene import Scene
from unrollviz.draw.sheet import ATTRIBUTES, Sheet, escape
from unrollviz.draw.span import Folded
from unrollviz.draw.style import LOOKS, MUTED, NEGATIVE, POSITIVE, faded, share_width, text_width
from unrollviz.draw.view import view
from unrollviz.gradient import edge_shares
from unrollviz.graph import ROLES, Graph, Tracer, level_of_detail
from unrollviz.names import clean, typeset
from unrollviz.paths.pathset import PathSet

# Graphs to draw


def lstm(steps: int = 3, units: int = 2) -> Graph:
    """An LSTM written out op by op: 14 parameters, a state c beside a parameter c, edges past many rows."""
    rng, tracer = np.random.default_rng(0), Tracer(layer=1)
    shapes = {f"{m}_{gate}": (units, units) for gate in "ifgo" for m in "UW"} | {f"b_{g}": (units,) for g in "ifgo"}
    p = {n: tracer.leaf(n, rng.normal(size=s), "parameter") for n, s in {**shapes, "V": (2, units), "c": (2,)}.items()}
    tracer.time = 0
    h, c = (tracer.leaf(f"{n}0", rng.normal(size=(1, units)), "initial") for n in "hc")
    for time in range(1, steps + 1):
        tracer.time = time
        x = tracer.leaf(f"x{time}", rng.normal(size=(1, units)), "input")
        gates = {}
        for gate in "ifgo":
            a = tracer.apply("add", p[f"U_{gate}"] @ x, p[f"W_{gate}"] @ h, p[f"b_{gate}"], name=f"a_{gate}")
            gates[gate] = tracer.apply("tanh" if gate == "g" else "sigmoid", a, name=gate)
        c = tracer.apply("add", gates["f"] * c, gates["i"] * gates["g"], name="c", role="state")
        h = tracer.apply("mul", gates["o"], tracer.apply("tanh", c, name="squashed"), name="h", role="state")
        logits = tracer.apply("add", p["V"] @ h, p["c"], name="logits", role="logits")
        output = tracer.apply("softmax", logits, name="yhat", role="output")
        tracer.apply("cross_entropy", output, name="L", role="loss", target=np.array([[1.0, 0.0]]))
    return tracer.graph


def odd() -> Graph:
    """What no cell does yet: x ⊙ x, a parameter named like a state and used in two rows, edges back in time, over two
    steps, and downwards."""
    rng, tracer = np.random.default_rng(1), Tracer(layer=1)
    w = tracer.leaf("u", rng.normal(size=(2, 2)), "parameter")
    at: dict[str, object] = {}
    for time in (1, 2, 3, 4):
        tracer.time = time
        x = tracer.leaf(f"x{time}", rng.normal(size=(1, 2)), "input")
        square = tracer.apply("mul", x, x, name="q")
        parts = [w @ square, w @ x] + [at[f"{kind}{time - 2}"] for kind in "su" if f"{kind}{time - 2}" in at]
        at[f"s{time}"] = tracer.apply("add", *parts, name="s", role="state")
        at[f"u{time}"] = tracer.apply("tanh", at[f"s{time}"], name="u", role="state")
    for time in (3, 2, 1):
        tracer.time = time
        tracer.apply("add", at[f"u{time + 1}"], at[f"s{time}"], name="backward", role="state")
    tracer.time = 2
    tracer.apply("tanh", at["u2"], name="s'", role="state")
    tracer.time = 4
    tracer.graph.add_edge("u1", "q4", key=9, jacobian=tracer.graph.edges["x4", "q4", 0]["jacobian"])
    return tracer.graph


def text_run(text: str, hidden: int = 3) -> uz.Run:
    """A network that spells `text`."""
    spelling = uz.spell(text)
    size = len(spelling.vocabulary)
    network = uz.Network.init("elman", size, hidden, size, seed=0)
    return uz.unroll(network, spelling.xs, spelling.targets, vocabulary=spelling.vocabulary)


GRAPHS = {
    "state": lambda: uz.article().level("state"),
    "op": lambda: uz.article().level("op"),
    "one step": lambda: text_run("ab").level("state"),
    "lstm": lstm,
    "lstm, state": lambda: level_of_detail(lstm(), "state"),
    "odd": odd,
}


@pytest.fixture(params=GRAPHS, scope="module")
def graph(request) -> Graph:
    return GRAPHS[request.param]()


# Reading a picture back, with Graphviz's own parser


@dataclass(frozen=True)
class Item:
    """A node or edge of the DOT text: its attributes, and its ends where it is an edge."""

    ends: tuple[str, ...]
    attributes: dict[str, str]

    @property
    def kind(self) -> str:
        return self.attributes["class"].split()[0]

    @property
    def tone(self) -> str:
        return self.attributes["class"].split()[-1]

    @property
    def box(self) -> Box:
        x, y = map(float, self.attributes["pos"].split(","))
        width, height = (72 * float(self.attributes[name]) for name in ("width", "height"))
        return Box(x, y, width, height, self.attributes["shape"])

    @property
    def label(self) -> str:
        return unescape(self.attributes.get("label", ""))  # the parser leaves out what is empty

    @property
    def tooltip(self) -> str:
        return unescape(unescape(self.attributes["tooltip"], lines=False))


def unescape(text: str, lines: bool = True) -> str:
    """What Graphviz shows for an escaped label, `lines` with line breaks as such."""
    breaks = {letter: "\n" if lines else f"\\{letter}" for letter in "nlr"}
    text = re.sub(r"\\(.)", lambda m: breaks.get(m[1], m[1]), text)
    return text.replace("&quot;", '"').replace("&amp;", "&") if lines else text


def read(drawing: graphviz.Digraph) -> tuple[dict[str, Item], list[Item]]:
    """The nodes by id and the edges, in their order."""
    parsed = pygraphviz.AGraph(string=drawing.source)
    nodes = {str(node): Item((), dict(node.attr)) for node in parsed.nodes()}
    edges = [Item(tuple(map(str, edge)), dict(edge.attr)) for edge in parsed.edges()]
    return nodes, edges


def of_kind(items, *kinds: str) -> list[Item]:
    return [item for item in items if item.kind in kinds]


def statements(drawing: graphviz.Digraph) -> int:
    return sum(line.startswith("\t") for line in drawing.source.splitlines())


def along(corners) -> list[tuple[float, float]]:
    """Points on the curves of a line."""
    curve, points = rounded(corners), []
    for start in range(0, len(curve) - 1, 3):
        a, b, c, d = (np.array(point) for point in curve[start : start + 4])
        points += [
            tuple((1 - u) ** 3 * a + 3 * u * (1 - u) ** 2 * b + 3 * u * u * (1 - u) * c + u**3 * d)
            for u in np.linspace(0, 1, 24)
        ]
    return points


def inside(point, box: Box, room: float = 0.0) -> bool:
    return abs(point[0] - box.x) < box.width / 2 + room and abs(point[1] - box.y) < box.height / 2 + room


def overlap(a: Box, b: Box) -> bool:
    return abs(a.x - b.x) < (a.width + b.width) / 2 and abs(a.y - b.y) < (a.height + b.height) / 2


# The layout


def test_every_node_has_a_place_of_its_own(graph):
    places = layout(graph)
    used = {name for name, node in graph.nodes(data=True) if node["role"] != "parameter" or graph.out_degree(name)}
    assert set(places.nodes) == used
    assert max(Counter(places.nodes.values()).values()) == 1
    assert not set(places.nodes.values()) & set(places.copies.values())


def test_columns_are_steps_and_rows_are_kinds(graph):
    places = layout(graph)
    for name, place in places.nodes.items():
        node, row = graph.nodes[name], places.rows[place.row]
        if node["role"] == "parameter":
            assert (place.column, row.rail) == (0, name)
        else:
            assert (places.times[place.column], row.kind, row.rail) == (node["time"], kind_of(name), None)


def test_a_copy_stands_on_its_rail_at_the_step_that_uses_it(graph):
    places = layout(graph)
    from_parameters = {edge for edge in graph.edges(keys=True) if graph.nodes[edge[0]]["role"] == "parameter"}
    assert set(places.copies) == from_parameters
    for (parameter, head, _), place in places.copies.items():
        assert place.row == places.nodes[parameter].row
        assert places.times[place.column] == graph.nodes[head]["time"]


def test_a_state_and_a_parameter_of_one_name_have_rows_of_their_own():
    places = layout(lstm())
    assert places.nodes["c"].row != places.nodes["c1"].row
    assert places.rows[places.nodes["c"].row].rail == "c"


def test_losses_are_at_the_top_and_inputs_at_the_bottom():
    rows = layout(uz.article().level()).rows
    assert [row.kind for row in rows] == ["L", "yhat", "c", "V", "s", "b", "W", "U", "x"]


@pytest.mark.parametrize(
    ("name", "kind"), [("s3", "s"), ("W@s12", "W@s"), ("l2.s3", "l2.s"), ("l2.bwd.h10", "l2.bwd.h"), ("a_f2", "a_f")]
)
def test_kind_of(name, kind):
    assert kind_of(name) == kind


# Boxes and lines


def test_boxes_do_not_touch(graph):
    paper = arrange(graph)
    boxes = [*paper.boxes.values(), *(box for _, box in paper.copies.values())]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if overlap(a, b)]


def test_labels_fit_their_boxes(graph):
    paper = arrange(graph)
    for name, box in paper.boxes.items():
        assert text_width(graph.nodes[name]["label"], 14, bold=True) < box.width


def test_no_line_crosses_a_node_that_it_does_not_end_in(graph):
    paper = arrange(graph)
    boxes = {**paper.boxes, **{place: box for place, (_, box) in paper.copies.items()}}
    for edge, corners in paper.edges.items():
        ends = {edge[1], paper.places.copies.get(edge, edge[0])}
        low, high = min(x for x, _ in corners), max(x for x, _ in corners)
        near = [(n, b) for n, b in boxes.items() if n not in ends and low - b.width <= b.x <= high + b.width]
        hit = {name for point in along(corners) for name, box in near if inside(point, box)}
        assert not hit, f"{edge} crosses {hit}"


def test_lines_begin_and_end_at_the_outlines(graph):
    paper = arrange(graph)
    for edge, corners in paper.edges.items():
        place = paper.places.copies.get(edge)
        tail = paper.copies[place][1] if place is not None else paper.boxes[edge[0]]
        for (x, y), box in ((corners[0], tail), (corners[-1], paper.boxes[edge[1]])):
            on_side = math.isclose(abs(x - box.x), box.half_width(y - box.y), abs_tol=0.01)
            on_top = math.isclose(abs(y - box.y), box.half_height(x - box.x), abs_tol=0.01)
            assert on_side or on_top, (edge, (x, y), box)


def test_lines_of_different_nodes_never_run_over_each_other(graph):
    paper = arrange(graph)
    upright: dict[float, list[tuple[str, float, float]]] = {}
    for (tail, _, _), corners in paper.edges.items():
        if graph.nodes[tail]["role"] != "parameter":
            for (x, y), (also_x, also_y) in pairwise(corners):
                if abs(x - also_x) < 0.01:
                    upright.setdefault(round(x, 1), []).append((tail, min(y, also_y), max(y, also_y)))
    assert len(upright) >= 1
    for lines in upright.values():
        for i, (tail, low, high) in enumerate(lines):
            assert all(tail == other or high <= a or b <= low for other, a, b in lines[:i])


def test_every_arrow_has_room_for_its_head(graph):
    for edge, corners in arrange(graph).edges.items():
        assert math.dist(corners[-2], corners[-1]) > 9, edge


def test_parallel_edges_are_two_lines():
    edges = arrange(odd()).edges
    assert edges["x1", "q1", 0] != edges["x1", "q1", 1]


def test_rounded_keeps_the_ends_and_the_line():
    corners = [(0.0, 0.0), (40.0, 0.0), (40.0, 30.0), (90.0, 30.0)]
    curve = rounded(corners)
    assert (len(curve) - 1) % 3 == 0
    assert (curve[0], curve[-1]) == (corners[0], corners[-1])
    assert all(-0.01 <= x <= 90.01 and -0.01 <= y <= 30.01 for x, y in along(corners))
    assert all(math.dist(a, b) < 12 for a, b in zip(along(corners), along(corners)[1:], strict=False))


def test_shortened_leaves_room_for_the_arrowhead():
    assert shortened([(0.0, 0.0), (0.0, 10.0), (20.0, 10.0)], 6)[-1] == (14.0, 10.0)
    assert shortened([(0.0, 0.0), (0.0, 5.0)], 6)[-1] == pytest.approx((0.0, 1.0))


def test_a_circle_meets_lines_on_its_rim():
    circle = Box(0, 0, 20, 20, "circle")
    assert circle.half_width(6) == circle.half_height(6) == 8


# What the picture holds


def test_every_node_copy_and_edge_is_drawn_once(graph):
    nodes, edges = read(picture(graph))
    paper = arrange(graph)
    assert Counter(item.label for item in of_kind(nodes.values(), *ROLES)) == Counter(
        graph.nodes[name]["label"] for name in paper.boxes
    )
    assert len(of_kind(nodes.values(), "copy")) == len(paper.copies)
    assert len(of_kind(edges, "edge")) == graph.number_of_edges()
    assert len(of_kind(edges, "tie")) == len(paper.copies)


def test_edges_join_the_right_nodes(graph):
    nodes, edges = read(picture(graph))
    found = Counter((nodes[tail].label, nodes[head].label) for tail, head in (e.ends for e in of_kind(edges, "edge")))
    label = graph.nodes(data="label")
    assert found == Counter((label[tail], label[head]) for tail, head in graph.edges())


def test_an_edge_from_a_parameter_starts_at_the_copy_of_its_step():
    run = uz.article()
    nodes, edges = read(run.draw())
    column = {item.label: item.box.x for item in nodes.values() if item.kind == "heading"}
    starts = {
        nodes[e.ends[1]].label: nodes[e.ends[0]].box.x
        for e in of_kind(edges, "edge")
        if nodes[e.ends[0]].kind == "copy" and nodes[e.ends[0]].label == "W"
    }
    assert len(starts) == 5
    for time in range(1, 6):
        assert 0 < column[f"t = {time}"] - starts[typeset(f"s{time}")] < 70


def test_a_parameter_is_one_node_tied_to_its_copies():
    nodes, edges = read(uz.article().draw())
    assert sorted(item.label for item in of_kind(nodes.values(), "parameter")) == ["U", "V", "W", "b", "c"]
    ties = [e for e in of_kind(edges, "tie") if nodes[e.ends[0]].label == "W"]
    assert [nodes[tie.ends[1]].label for tie in ties] == ["W"] * 5
    assert {tie.attributes["style"] for tie in ties} == {"dotted"}


def test_headings_and_rows():
    nodes, _ = read(uz.article().draw())
    words = [item.label.strip() for item in of_kind(nodes.values(), "heading")]
    assert [word for word in words if word.startswith("t =")] == [f"t = {time}" for time in range(6)]
    assert [word for word in words if not word.startswith("t =")] == ["loss", "output", "state", "input"]


def test_roles_have_their_own_looks_and_the_legend_shows_those_present():
    nodes, _ = read(uz.article().draw())
    for item in of_kind(nodes.values(), *ROLES):
        assert item.attributes["fillcolor"] == LOOKS[item.kind].fill
    words = " | ".join(item.label.strip() for item in of_kind(nodes.values(), "legend"))
    assert all(word in words for word in ("loss", "output", "state", "initial state", "input", "parameter"))
    assert "logits" not in words
    assert "path" not in words


def test_two_roles_are_never_told_apart_by_colour_alone():
    looks = Counter((look.shape, look.line) for look in LOOKS.values())
    assert looks["circle", LOOKS["state"].line] == 2, "state and initial: the latter is dashed and empty"
    assert {look.shape for role, look in LOOKS.items() if role in ("loss", "input")} == {"box"}
    nodes, _ = read(uz.article().draw())
    assert {"dashed" in item.attributes["style"] for item in of_kind(nodes.values(), "initial")} == {True}


def test_tooltips_tell_shape_values_and_norms():
    run = uz.article()
    nodes, edges = read(run.draw())
    tips = {item.label: item.tooltip for item in of_kind(nodes.values(), *ROLES)}
    assert tips["s₃"].startswith("s₃: state, step 3\nshape 1 × 3\n[[")
    assert f"{run.graph.nodes['s3']['value'][0, 0]:.2f}"[:4] in tips["s₃"]
    assert tips["L₁"].split("\n")[:2] == ["L₁: loss, step 1", "a number"]
    lines = {e.tooltip for e in of_kind(edges, "edge")}
    assert f"∂s₃/∂s₂\nnorm {run.level().edges['s2', 's3', 0]['jacobian'].norm():.4f}" in lines
    assert any(line.startswith("∂⁺s₃/∂W\nnorm ") for line in lines)


def test_tooltips_of_large_arrays_are_cut():
    net = uz.Network.init("elman", 60, 50, 60, seed=0)
    nodes, _ = read(uz.unroll(net, [1, 2], [3, 4]).draw())
    assert max(len(item.tooltip) for item in nodes.values()) < 800
    assert "..." in next(item.tooltip for item in nodes.values() if item.label == "U")


def test_symbols_stand_beside_what_they_name():
    nodes, _ = read(text_run("a b").draw())
    symbols = {(item.label.strip(), round(item.box.x)): item.box.y for item in of_kind(nodes.values(), "symbol")}
    box = {item.label: item.box for item in nodes.values() if item.kind in ROLES}
    for name, letter in {"x₁": "a", "x₂": "␣"}.items():
        assert symbols[f"“{letter}”", round(box[name].x)] < box[name].y
    for name, letter in {"L₁": "␣", "L₂": "b"}.items():
        assert symbols[f"“{letter}”", round(box[name].x)] > box[name].y


def test_text_lies_on_no_node_and_no_line():
    run = text_run("hello")
    for detail in ("state", "op"):
        drawing = run.draw(highlight=run.paths("L3", "W", detail=detail)[1], detail=detail, title="A title")
        nodes, _ = read(drawing)
        paper = arrange(run.level(detail))
        words = [i.box for i in of_kind(nodes.values(), "heading", "symbol", "caption")]
        solid = [i.box for i in of_kind(nodes.values(), *ROLES, "copy", "number")]
        points = [point for corners in paper.edges.values() for point in along(corners)]
        assert len(words) > 15
        assert not [(a, b) for a in words for b in solid if overlap(a, b)]
        assert not [(a, b) for i, a in enumerate(words) for b in words[:i] if overlap(a, b)]
        assert not [box for box in words if any(inside(point, box) for point in points)]


def test_numbers_hide_no_label():
    run = uz.article()
    for detail in ("state", "op"):
        nodes, _ = read(run.draw(highlight=run.paths("L4", "W", detail=detail)[3], detail=detail))
        numbers = of_kind(nodes.values(), "number")
        for item in of_kind(nodes.values(), *ROLES, "copy"):
            size = 9 if item.kind == "copy" else 14
            label = Box(item.box.x, item.box.y, 0.8 * text_width(item.label, size), 0.6 * size, "box")
            assert not [number for number in numbers if overlap(label, number.box)]


# A highlighted path


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("detail", ["state", "op"])
def test_a_highlight_marks_exactly_the_path(index, detail):
    run = uz.article()
    path = run.paths("L4", "W", detail=detail)[index]
    nodes, edges = read(run.draw(highlight=path, detail=detail))
    label = run.graph.nodes(data="label")
    marked = of_kind(nodes.values(), *ROLES)
    assert {i.label for i in marked if i.tone == "path"} == {label[name] for name in path.nodes}
    assert {i.tone for i in marked} == {"path", "muted"}
    lines = [e for e in of_kind(edges, "edge") if e.tone == "path"]
    assert {(nodes[e.ends[0]].label, nodes[e.ends[1]].label) for e in lines} == {
        (label[tail], label[head]) for head, tail in zip(path.nodes, path.nodes[1:], strict=False)
    }
    assert len(lines) == len(path.nodes) - 1
    assert {e.tone for e in of_kind(edges, "edge")} == {"path", "muted"}
    copies = [i for i in of_kind(nodes.values(), "copy") if i.tone == "path"]
    assert [(copy.label, copy.tooltip.split(":")[0]) for copy in copies] == [("W", f"W at step {path.entry}")]


def test_the_path_ends_visibly_at_its_step():
    run = uz.article()
    for path in run.paths("L4", "W"):
        nodes, _ = read(run.draw(highlight=path))
        bold = {i.label for i in of_kind(nodes.values(), "heading") if "Bold" in i.attributes.get("fontname", "")}
        assert bold == {f"t = {time}" for time in range(path.entry, 5)}
        bands = [i.box for i in of_kind(nodes.values(), "band")]
        assert len(bands) == 5 - path.entry
        (copy,) = (i.box for i in of_kind(nodes.values(), "copy") if i.tone == "path")
        assert sum(overlap(copy, band) for band in bands) == 1


def test_numbers_lead_from_the_loss_back_to_the_parameter():
    run = uz.article()
    nodes, _ = read(run.draw(highlight=run.paths("L4", "W")[1]))
    near = {}
    for number in of_kind(nodes.values(), "number"):
        on_path = [i for i in of_kind(nodes.values(), *ROLES, "copy") if i.tone == "path"]
        near[int(number.label)] = min(
            on_path, key=lambda i: math.dist((i.box.x, i.box.y), (number.box.x, number.box.y))
        )
    assert [near[n].label for n in sorted(near)] == ["L₄", "ŷ₄", "s₄", "s₃", "W"]
    assert near[5].kind == "copy"


def test_the_marker_lies_under_the_path():
    run = uz.article()
    path = run.paths("L4", "W")[2]
    nodes, edges = read(run.draw(highlight=path))
    order = [item.kind for item in nodes.values()]
    assert order.index("band") < order.index("marker") < order.index("state")
    assert len(of_kind(edges, "marker")) == sum(e.tone == "path" for e in edges) == len(path.nodes) - 1


def test_the_marker_cuts_into_no_outline():
    """Lines lie above nodes, so the broad one keeps clear of them, and begins and ends inside the rims around them."""
    run = uz.article(cell="lstm")
    drawing = view(run, "L4,yhat4,h4,c4,f4,h3,o3,h2,c2,f2,W_f", detail="gate").drawing
    shapes = {shape.id: shape for shape in drawing.sheet.shapes}
    lines = {line.corners[0]: line for line in drawing.sheet.lines if line.kind == "edge path"}
    pens = [line for line in drawing.sheet.lines if line.kind == "marker"]
    assert len(pens) == len(lines) == 10
    for pen in pens:
        ink = min(lines.values(), key=lambda line: math.dist(line.corners[-1], pen.corners[-1]))
        assert pen.corners[1:-1] == ink.corners[1:-1]
        for end, own, rim in ((0, ink.tail, pen.tail), (-1, ink.head, pen.head)):
            clear = math.dist(pen.corners[end], ink.corners[end])
            outline = float(shapes[own].look["penwidth"]) / 2
            wide = (shapes[rim].box.width - shapes[own].box.width) / 2
            assert outline < clear < wide


def test_lines_of_the_path_lie_over_those_of_the_rest():
    """Graphviz draws all shapes, then the lines in the order of their tails, and of one tail in that of the heads."""
    run = uz.article()
    drawing = run.draw(highlight=run.paths("L4", "W")[1])
    root = ElementTree.fromstring(render(drawing.source, "svg"))
    drawn = [g.get("class").split() for g in root.iter() if g.get("class", "").split()[:1] in (["node"], ["edge"])]
    kinds = [classes[0] for classes in drawn]
    assert kinds == sorted(kinds, reverse=True)
    nodes, _ = read(drawing)
    for among in (("loss", "output", "state", "input"), ("copy",)):
        tones = [item.tone for item in of_kind(nodes.values(), *among)]
        assert tones == sorted(tones)  # muted, then path


def test_the_rail_leads_to_the_copy_where_the_path_ends():
    run = uz.article()
    nodes, edges = read(run.draw(highlight=run.paths("L4", "W")[1]))
    rail = [e for e in of_kind(edges, "tie") if nodes[e.ends[0]].label == "W"]
    ties = [e.attributes["color"] for e in sorted(rail, key=lambda e: nodes[e.ends[1]].box.x)]
    assert ties == [LOOKS["parameter"].line] * 3 + [MUTED] * 2
    others = {e.attributes["color"] for e in of_kind(edges, "tie") if nodes[e.ends[0]].label != "W"}
    assert others == {MUTED}


def test_the_caption_says_it_in_words():
    run = uz.article()
    path = run.paths("L4", "W")[1]
    nodes, _ = read(run.draw(highlight=path, title="One of four"))
    words = [item.label.strip() for item in of_kind(nodes.values(), "caption")]
    figures = f"enters W at step 3 (lag 1) · norm {path.norm:.4f} · share {100 * path.share:+.1f} % of ∂L₄/∂W".replace(
        "-", "−"
    )
    assert set(words) == {"One of four", "L₄ → ŷ₄ → s₄ → s₃ → W", figures}


def test_a_path_to_a_state_ends_at_that_state():
    run = uz.article()
    nodes, _ = read(run.draw(highlight=run.paths("L5", "s2")[0]))
    assert not [i for i in of_kind(nodes.values(), "copy", "parameter") if i.tone == "path"]
    assert any("reaches s₂ at step 2 (lag 3)" in i.label for i in of_kind(nodes.values(), "caption"))


def test_a_long_path_is_wrapped_to_the_width():
    run = text_run("abcabcabcabcabc")
    drawing = run.draw(highlight=run.paths("L14", "W", detail="op")[13], detail="op")
    nodes, _ = read(drawing)
    lines = [i for i in of_kind(nodes.values(), "caption") if "→" in i.label]
    assert len(lines) > 1
    assert all(text_width(i.label.strip(), 14) <= i.box.width for i in lines)
    in_order = " ".join(i.label.strip() for i in sorted(lines, key=lambda i: -i.box.y))
    assert in_order.startswith("L₁₄ → ŷ₁₄ → z₁₄")
    assert in_order.endswith("→ W")


def test_parallel_edges_one_highlighted():
    graph = odd()
    tracer = Tracer(graph, time=4)
    tracer.graph.add_node("L4", **{**graph.nodes["u4"], "role": "loss", "label": "L₄"})
    tracer.graph.add_edge("u4", "L4", key=0, jacobian=graph.edges["s4", "u4", 0]["jacobian"])

    class OnePath:
        nodes = ("L4", "u4", "s4", "u@q4", "q4", "x4")
        loss, entry, lag, norm, log10_norm, share = "L4", 4, 0, 1.0, 0.0, 1.0

        @property
        def factors(self):
            return [
                type("F", (), {"tail": t, "head": h, "jacobian": graph.edges[t, h, k]["jacobian"]})
                for t, h, k in walked
            ]

    walked = [("u4", "L4", 0), ("s4", "u4", 0), ("u@q4", "s4", 0), ("q4", "u@q4", 1), ("x4", "q4", 1)]
    scene = Scene(graph, Folded(graph, {}, {}, {}), OnePath())
    assert mark(scene, arrange(graph)).edges == tuple(walked)
    _, edges = read(picture(graph, OnePath()))
    assert len([e for e in of_kind(edges, "edge") if e.tone == "path"]) == 5


# Shares


def test_width_and_colour_follow_the_share():
    run = uz.article()
    shares = edge_shares(run.level(), run.loss_names(), "W")
    nodes, edges = read(run.draw(color_by="share"))
    largest = max(map(abs, shares.values()))
    label = run.graph.nodes(data="label")
    named = {(label[tail], label[head]): share for (tail, head, _), share in shares.items()}
    assert min(named.values()) < 0 < max(named.values())
    for e in of_kind(edges, "edge"):
        share = named.get((nodes[e.ends[0]].label, nodes[e.ends[1]].label), 0.0)
        assert float(e.attributes["penwidth"]) == pytest.approx(share_width(share, largest), abs=0.01)
        if share != 0:
            assert e.attributes["color"] == (POSITIVE if share > 0 else NEGATIVE)
        assert e.attributes["style"] == ("dashed" if share < 0 else "solid")
        assert "\nshare " in e.tooltip


def test_share_width_is_relative_to_the_largest():
    assert [share_width(share, 0.2) for share in (0.0, 0.1, -0.2)] == pytest.approx([0.6, 2.8, 5.0])
    assert share_width(0.0, 0.0) == 0.6


def test_the_legend_has_a_scale_of_the_shares_that_occur():
    run = uz.article()
    shares = dict.fromkeys(run.level().edges(keys=True), 0.5)
    shares["s1", "s2", 0] = 0.25
    nodes, _ = read(picture(run.level(), shares=shares))
    scale = [i.label.strip() for i in of_kind(nodes.values(), "legend") if "share" in i.label]
    assert scale == ["share +50.0 %", "share +12.5 %"]
    shares["s1", "s2", 0] = -0.1
    nodes, _ = read(picture(run.level(), shares=shares))
    assert "share −10.0 %" in [i.label.strip() for i in of_kind(nodes.values(), "legend")]


def test_with_a_path_the_other_shares_fade():
    run = uz.article()
    path = run.paths("L4", "W")[0]
    _, edges = read(run.draw(highlight=path, losses="L4", color_by="share"))
    colours = {
        tone: {e.attributes["color"] for e in of_kind(edges, "edge") if e.tone == tone} for tone in ("path", "muted")
    }
    assert colours["path"] == {POSITIVE}
    assert faded(POSITIVE, 0.65) in colours["muted"]
    assert POSITIVE not in colours["muted"]


def test_heavier_lines_lie_over_lighter_ones():
    run = uz.article()
    nodes, edges = read(run.draw(color_by="share"))
    position = {name: index for index, name in enumerate(nodes)}
    copies = [e for e in of_kind(edges, "edge") if nodes[e.ends[0]].kind == "copy"]
    widths = [float(e.attributes["penwidth"]) for e in sorted(copies, key=lambda e: position[e.ends[0]])]
    assert widths == sorted(widths)


def test_where_the_gradient_is_0_no_shares_are_shown():
    run = uz.article()
    assert picture(run.level(), shares={}).source == picture(run.level()).source


# Growth


@pytest.mark.parametrize("detail", ["state", "op"])
def test_the_picture_grows_linearly(detail):
    sizes = [statements(text_run("ab" * (steps // 2) + "a").draw(detail=detail, fold=False)) for steps in (10, 20, 40)]
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0])


def test_the_picture_is_the_same_every_time():
    """In another process too, where strings hash differently."""
    program = (
        "import unrollviz as uz; run = uz.article(); path = run.paths('L4', 'W')[2]; "
        "print(run.draw(highlight=path, color_by='share').source)"
    )
    sources = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "123"
    }
    assert len(sources) == 1


def test_every_number_has_room():
    run = text_run("ab" * 60)
    path = run.paths("L119", "W")[118]
    nodes, _ = read(run.draw(highlight=path, fold=False))
    assert max((i.box.width, i.label) for i in of_kind(nodes.values(), "number"))[1] in {
        str(n) for n in range(100, 123)
    }


# Text from outside

HOSTILE = [
    '"',
    "\\",
    '\\"',
    "\\N",
    "\\n",
    "\\l\\r\\G\\E",
    "a\\",
    "<b>bold</b>",
    "<>",
    "<<i>x</i>>",
    "&amp;",
    "&lt;script&gt;",
    "&#60;",
    "]; n1 [URL=javascript:alert(9)]; //",
    ', URL=<javascript:alert(9)>]; c [label=q]; //"',
    "//",
    "/* */",
    "#",
    "\x1b]52;c;UFdORUQ=\x1b\\",
    "\x00",
    "\n\r\t",
    "\u202eabc",
    "\u2028",
    "\ud800",
    "\ufffe",
    "a:b:c",
    "strict",
    "-> n2",
    "%s%n",
    "{a|b}",
    "日本語",
    "e\u0301",
    "",
    " ",
    "  two  blanks ",
]


@given(st.text(max_size=60) | st.text('"\\<>&;[]{}=lnrNGE#', max_size=12) | st.sampled_from(HOSTILE))
@settings(max_examples=100)
def test_any_text_is_one_label_in_dot(text):
    sheet = Sheet()
    sheet.shape(Box(0, 0, 50, 20, "box"), "one", text, [text, text])
    sheet.text(Box(0, 50, 50, 20, "box"), "two", [text], "l")
    nodes, edges = read(sheet.picture)
    assert (len(nodes), len(edges)) == (2, 0)
    assert nodes["n1"].label == clean(text)
    assert nodes["n1"].tooltip == clean(text) + "\n" + clean(text)
    assert nodes["n2"].label == clean(text) + "\n"


def test_any_text_is_one_label_in_svg():
    rng = np.random.default_rng(0)
    random = ["".join(map(chr, rng.choice([*range(1, 0x500), 0x1F600, 0x2066], size=12))) for _ in range(150)]
    texts = [text for text in (*HOSTILE, *random) if clean(text).strip()]
    sheet = Sheet()
    for row, text in enumerate(texts):
        sheet.shape(Box(0, -30 * row, 50, 20, "box"), "one", text, [text])
    root = ElementTree.fromstring(render(sheet.picture.source, "svg"))
    drawn = [g for g in root.iter() if g.get("class", "").startswith("node")]
    assert len(drawn) == len(texts)
    for group, text in zip(drawn, texts, strict=True):
        (found,) = (e.text for e in group.iter() if e.tag.endswith("}text"))
        (tip,) = (e.get("{http://www.w3.org/1999/xlink}title") for e in group.iter() if e.tag.endswith("}a"))
        expected = clean(text).replace("\xa0", " ")  # Graphviz writes every second of two blanks as U+00A0
        assert (found.replace("\xa0", " "), tip.replace("\xa0", " ")) == (expected, expected)
    assert {e.tag.rpartition("}")[2] for e in root.iter()} <= {"svg", "g", "title", "a", "polygon", "text"}
    assert not [name for e in root.iter() for name in e.attrib if name.startswith("on") or name.endswith("href")]


def test_a_hostile_vocabulary_is_shown_as_text():
    words = ['"]; n1 [label=q', "\x1b[0m", "<b>", "\\N", "日本語日本語日本語", "a" * 500]
    net = uz.Network.init("elman", len(words), 2, len(words), seed=0)
    drawing = uz.unroll(net, list(range(6)), [1, 2, 3, 4, 5, 0], vocabulary=words).draw(title='<&"\\')
    nodes, _ = read(drawing)
    symbols = {item.label.strip() for item in of_kind(nodes.values(), "symbol")}
    assert {"“<b>”", "“\\N”", "“<1B>[0m”"} <= symbols
    assert all(text_width(symbol, 12) <= 90 for symbol in symbols)
    assert any(item.label.strip() == '<&"\\' for item in of_kind(nodes.values(), "caption"))
    root = ElementTree.fromstring(render(drawing.source, "svg"))
    assert "“<1B>[0m”" in {e.text for e in root.iter()}


def test_hostile_names_never_become_ids():
    graph = uz.article().level().copy()
    graph.nodes["W"]["label"] = '"]; evil [URL="x"'
    nodes, edges = read(picture(graph))
    assert all(re.fullmatch(r"n\d+", name) for name in nodes)
    assert all(re.fullmatch(r"n\d+", end) for e in edges for end in e.ends)


def test_attributes_are_on_the_list(graph):
    drawing = picture(graph, title="t")
    nodes, edges = read(drawing)
    parsed = pygraphviz.AGraph(string=drawing.source)
    used = set().union(*(i.attributes for i in (*nodes.values(), *edges)), parsed.graph_attr)
    assert used <= ATTRIBUTES
    assert not ATTRIBUTES & {"URL", "href", "image", "imagepath", "shapefile", "stylesheet", "target", "comment", "src"}


def test_other_attributes_are_refused():
    with pytest.raises(ValueError, match="URL"):
        Sheet().shape(Box(0, 0, 1, 1, "box"), "x", URL="javascript:alert(1)")


def test_escape():
    assert escape('<"&\\>\x1b') == "<&quot;&amp;\\\\><1B>"


# The real thing


@pytest.mark.parametrize("detail", ["state", "op"])
def test_the_svg_holds_each_node_once_as_text(detail):
    run = uz.article()
    root = ElementTree.fromstring(
        render(run.draw(highlight=run.paths("L4", "W")[1].nodes, detail="state").source, "svg")
    )
    graph = run.level("state")
    if detail == "op":
        graph = run.level("op")
        root = ElementTree.fromstring(render(run.draw(detail="op").source, "svg"))
    shown = Counter()
    for group in root.iter():
        classes = group.get("class", "").split()
        if classes[:1] == ["node"] and classes[1] in ROLES:
            shown["".join(e.text for e in group.iter() if e.tag.endswith("}text"))] += 1
    assert shown == Counter(label for _, label in graph.nodes(data="label"))


def test_positions_are_ours():
    """Graphviz moves nothing: boxes stand in the picture as they do on paper."""
    run = uz.article()
    root = ElementTree.fromstring(render(run.draw().source, "svg"))
    middles = {}
    for group in root.iter():
        if group.get("class", "").startswith(("node state", "node loss")):
            label = next(e.text for e in group.iter() if e.tag.endswith("}text"))
            x = next(float(e.get("x")) for e in group.iter() if e.tag.endswith("}text"))
            middles[label] = x
    boxes = arrange(run.level()).boxes
    for time in range(2, 6):
        assert middles[typeset(f"s{time}")] == pytest.approx(middles[typeset(f"L{time}")])
        moved = middles[typeset(f"s{time}")] - middles["s₁"]
        assert moved == pytest.approx(boxes[f"s{time}"].x - boxes["s1"].x, abs=0.05)


def test_a_notebook_needs_no_dot_program(monkeypatch):
    monkeypatch.setenv("PATH", "")
    shown = uz.article().draw()._repr_mimebundle_(include=["image/svg+xml", "image/png"])
    assert "<svg" in shown["image/svg+xml"]
    assert shown["image/png"].startswith(b"\x89PNG")


def test_the_picture_is_a_digraph_of_the_graphviz_package():
    assert isinstance(uz.article().draw(), graphviz.Digraph)


def test_paths_and_shares_of_an_lstm_are_drawn():
    graph = level_of_detail(lstm(), "state")
    path = PathSet(graph, ["L3"], "W_f")[1]
    nodes, edges = read(picture(graph, path, edge_shares(graph, ["L3"], "W_f")))
    assert len([e for e in of_kind(edges, "edge") if e.tone == "path"]) == len(path.nodes) - 1
    assert {i.label for i in of_kind(nodes.values(), "copy") if i.tone == "path"} == {"W_f"}
