"""What pictures can be asked for: highlights, colourings, folded spans, themes, formats, animations; hostile labels."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hostile import labels

import unrollviz as uz
from unrollviz.draw import svg
from unrollviz.draw.animate import animated, frames, score
from unrollviz.draw.colouring import COLOURINGS, Paint
from unrollviz.draw.formats import FORMATS, format_of, write
from unrollviz.draw.geometry import Box
from unrollviz.draw.highlight import GROUPS
from unrollviz.draw.legend import signed
from unrollviz.draw.sheet import Sheet
from unrollviz.draw.span import ENDS, LONGEST, folded, shown_times, steps_named
from unrollviz.draw.style import DARK, LIGHT, THEMES, luminance
from unrollviz.draw.view import View, view
from unrollviz.errors import BadFile, UnknownName, UnrollvizError
from unrollviz.gradient import cotangents
from unrollviz.graph import ROLES
from unrollviz.names import clean, typeset


def long_run(steps: int = 60, cell: str = "elman", **options) -> uz.Run:
    rng = np.random.default_rng(0)
    net = uz.Network.init(cell, 2, 3, 2, seed=0, **options)
    return uz.unroll(net, rng.standard_normal((steps, 2)), rng.integers(0, 2, steps))


LONG = long_run()
RUNS = {
    "elman": uz.article(),
    "lstm": uz.article(cell="lstm"),
    "gru, both ways": uz.article(cell="gru", layers=2, bidirectional=True),
    "long": LONG,
}


@pytest.fixture(params=RUNS)
def run(request) -> uz.Run:
    return RUNS[request.param]


def kinds_of(made: View, *kinds: str):
    return [shape for shape in made.drawing.sheet.shapes if shape.kind.split()[0] in kinds]


def words(made: View, *kinds: str) -> list[str]:
    return [line for shape in kinds_of(made, *kinds) for line in shape.lines]


def on_path(made: View) -> set[str]:
    """The edges that are highlighted, as they are drawn."""
    lines = made.drawing.sheet.lines
    return {edge for edge, index in made.drawing.lines.items() if lines[index].kind == "edge path"}


# ------------------------------------------------------------------------------------------------ highlights


@pytest.mark.parametrize("name", GROUPS)
def test_every_example_of_a_group_highlights_what_it_says(name):
    run = uz.article(cell="lstm")
    made = view(run, GROUPS[name].example)
    found = made.highlight
    assert found.sum.count > 0
    assert on_path(made) == set(found.edges)
    figures = f"{found.sum.count:,} of {found.of:,} paths · norm of their sum {found.sum.norm:.4f} · share "
    assert any(line.startswith(figures) for line in words(made, "caption"))
    assert found.words in words(made, "caption") and found.words not in " ".join(words(made, "legend"))
    assert any(line.startswith("the highlighted paths: as thick as") for line in words(made, "legend"))
    tones = {shape.kind.split()[1] for shape in kinds_of(made, *ROLES)}
    assert tones == {"path", "muted"}


def test_a_place_among_the_heaviest_is_a_path():
    run = uz.article(cell="lstm")
    for place, path in enumerate(run.paths(to="W_f").top(4), start=1):
        made = view(run, f"place:{place}")
        assert made.path == path
        assert made.highlight.words == f"place {place} of the heaviest paths"
        assert on_path(made) == set(made.highlight.edges)
    for wrong, said in (("place:0", "is no place"), ("place:x", "is no place"), ("place:139", "there are 138 paths")):
        with pytest.raises(UnrollvizError, match=said):
            view(run, wrong)


def test_a_path_from_neuron_to_neuron_is_drawn_through_its_nodes():
    run = uz.article()
    units = run.paths("L4", "W[0,1]", detail="unit").top(9)
    for place, (path, asked) in enumerate(zip(units, [0, "place:2", units[2], 3], strict=False), start=1):
        made = view(run, asked, losses="L4", target="W[0,1]", detail="unit")
        assert made.path.nodes == tuple(name.partition("[")[0] for name in path.nodes), place
        assert (made.path.norm, made.path.share) == (path.norm, path.share)
        neurons = " → ".join(map(typeset, path.nodes))
        assert f"neurons: {neurons}" in words(made, "caption")
        assert any(f"share {signed(path.share)} of ∂L₄/∂W[0,1]" in line for line in words(made, "caption"))
        assert made.options["detail"] == "gate"
    for wrong in (None, "lag:2", "top:2", "place:0", "L4,yhat4,s4,W"):
        with pytest.raises(UnrollvizError, match="place among the heaviest"):
            view(run, wrong, losses="L4", target="W[0,1]", detail="unit")
    with pytest.raises(UnrollvizError, match="there is no path 999; there are 160 from"):
        view(run, "place:999", losses="L4", target="W[0,1]", detail="unit")
    with pytest.raises(UnrollvizError, match="say detail='unit'"):
        view(run, units[0])


def test_a_group_says_what_flow_says():
    run = uz.article()
    for by, name in (("lag", "lag:2"), ("entry", "entry:2"), ("loss", "loss:L2")):
        flow = run.flow("W", by=by)
        row = flow.labels[:, 0].tolist().index(2)
        found = view(run, name).highlight.sum
        assert (found.count, found.norm, found.share) == (
            flow.counts[row],
            pytest.approx(flow.norms[row], rel=1e-12),
            pytest.approx(flow.shares[row], rel=1e-12),
        )
    lstm = uz.article(cell="lstm")
    flow = lstm.flow("W_f", by="route:weights,highway")
    row = flow.labels.tolist().index([0, 2])
    found = view(lstm, "route:weights=0,highway=2").highlight.sum
    assert found.count == flow.counts[row]
    assert found.share == pytest.approx(flow.shares[row], rel=1e-10)


def test_top_is_the_sum_of_the_heaviest():
    run = uz.article()
    heaviest = run.paths(to="W").top(3)
    made = view(run, "top:3")
    assert made.highlight.sum.share == pytest.approx(sum(path.share for path in heaviest))
    assert made.highlight.sum.norm == pytest.approx(np.linalg.norm(sum(path.term for path in heaviest)))
    nodes = {shape.lines[0] for shape in kinds_of(made, *ROLES) if shape.kind.endswith("path")}
    label = run.graph.nodes(data="label")
    assert nodes == {label[name] for path in heaviest for name in path.nodes}


def test_all_ways_to_name_a_path_give_the_same_picture():
    run = uz.article()
    path = run.paths("L4", "W")[1]
    sources = {
        run.draw(path).source,
        run.draw(1, losses="L4").source,
        run.draw("2", losses="L4").source,
        run.draw("L4,yhat4,s4,s3,W", losses="L4").source,
        run.draw(["L4", "yhat4", "s4", "s3", "W"], losses="L4").source,
    }
    assert len(sources) == 1
    of_all = {run.draw(run.paths(to="W").find(path.nodes)).source, run.draw("L4,yhat4,s4,s3,W").source}
    assert len(of_all) == 1
    assert "of ∂L/∂W" in of_all.pop()
    assert "of ∂L₄/∂W" in sources.pop()
    assert run.draw("L4", target="V").source == run.draw("loss:L4", target="V").source


def test_width_is_the_share_that_passes_and_the_rest_is_muted():
    run = uz.article()
    made = view(run, "lag:1")
    edges = made.highlight.edges
    largest = max(map(abs, edges.values()))
    for edge, index in made.drawing.lines.items():
        look = made.drawing.sheet.lines[index].look
        if edge in edges:
            assert float(look["penwidth"]) == pytest.approx(0.6 + 4.4 * abs(edges[edge]) / largest, abs=0.01)
            assert look["style"] == ("dashed" if edges[edge] < 0 else "solid")
        else:
            assert look["color"] == LIGHT.muted


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("lags:3", "did you mean lag?"),
        ("lag:x", "lag:3"),
        ("lag:99", "no path"),
        ("loss:L9", "unknown loss 'L9'"),
        ("entry:-1", "entry:2"),
        ("top:0", "top:5"),
        ("route:", "names no kind of edge"),
        ("route:W_g=many", "W_g=2"),
        ("route:W_q", "did you mean"),
        ("0", "from 1 to"),
        ("s2,W_f", "is no path"),
        ("L9,W_f", "is no path"),
    ],
)
def test_what_cannot_be_highlighted_is_said_with_what_can(asked, said):
    with pytest.raises(UnrollvizError, match=re.escape(said)):
        view(uz.article(cell="lstm"), asked, target="W_f")


def test_where_the_gradient_is_0_a_group_is_drawn_without_shares():
    net = uz.Network.init("elman", 2, 2, 2, seed=0)
    net = replace(net, params={**net.params, "V": np.zeros_like(net.params["V"])})
    made = view(uz.unroll(net, np.ones((3, 2)), [0, 1, 0]), "lag:1")
    assert any("share –" in line for line in words(made, "caption"))
    assert {made.drawing.sheet.lines[made.drawing.lines[e]].look["color"] for e in on_path(made)} == {LIGHT.ink}


# ------------------------------------------------------------------------------------------------ folding


def test_short_runs_are_not_folded_and_long_ones_are():
    assert not view(uz.article()).folded.spans
    (span,) = view(LONG).folded.spans.values()
    assert (span.first, span.last, span.count) == (ENDS + 1, 60 - ENDS, 60 - 2 * ENDS)
    assert "⋯ 54 steps ⋯" in words(view(LONG), "heading")
    assert not view(LONG, fold=False).folded.spans
    assert len(kinds_of(view(LONG, fold=False), "state", "initial")) == 61


def test_the_steps_asked_for_are_drawn():
    def headings(**options) -> list[str]:
        return words(view(LONG, **options), "heading")

    shown = [word for word in headings(steps="5..7") if word[0] in "t⋯"]
    assert sorted(shown) == sorted(["⋯ 4 steps ⋯", "t = 5", "t = 6", "t = 7", "⋯ 53 steps ⋯"])
    times = [word for word in headings(every=20) if word.startswith("t")]
    assert times == ["t = 0", "t = 1", "t = 21", "t = 41"]
    assert [word for word in headings(steps="10..50", every=20) if word.startswith("t")] == [
        "t = 10",
        "t = 30",
        "t = 50",
    ]


@pytest.mark.parametrize("asked", ["0..3", "5..4", "1..61", "x", "1..", "1...3", "-1..2"])
def test_steps_that_are_not_there_are_refused(asked):
    with pytest.raises(UnrollvizError, match="step"):
        steps_named(asked, 60)


@pytest.mark.parametrize("detail", ["state", "gate", "op"])
def test_what_is_drawn_joins_what_the_whole_graph_joins(run, detail):
    """Every edge between shown nodes is there; every other one is merged into one that is, or lies inside a span."""
    graph = run.level(detail)
    shown = shown_times(graph, run.steps, chosen=[2, 4])
    small = folded(graph, shown, run.steps)
    time = dict(graph.nodes(data="time"))
    visible = {name for name in graph if time[name] is None or time[name] in shown}
    assert {name for name in small.graph if small.graph.nodes[name]["role"] != "fold"} == visible
    merged = Counter(edge for edges in small.merged.values() for edge in edges)
    assert set(merged.values()) <= {1}
    for edge in graph.edges(keys=True):
        seen = [end in visible for end in edge[:2]]
        if all(seen):
            assert small.graph.has_edge(*edge)
        elif any(seen) and time[edge[0]] is not None:
            assert edge in merged
    assert set(small.drawn) == set(merged)


def test_paths_through_a_span_are_counted_on_it():
    time = dict(LONG.level().nodes(data="time"))
    made = view(LONG, "lag:4")
    ((start, span),) = made.folded.spans.items()
    flow = LONG.flow("W", by="temporal")
    rows = [i for i, (t, k) in enumerate(flow.labels.tolist()) if t - k == 4 and not (t < span.first or k > span.last)]
    share = sum(flow.shares[i] for i in rows)
    text = made.scene.spans[start]
    assert text[0] == f"t = {span.first} … {span.last}"
    assert text[2] == f"{len(rows)} paths"
    ((count, exact),) = made.highlight.through([span.times])
    assert (count, exact) == (len(rows), pytest.approx(share, rel=1e-9))
    path = LONG.paths("L40", "W")[30]
    assert set(span.times) & {time[name] for name in path.nodes}
    said = {time: view(LONG, path).scene.spans[time][-1] for time in view(LONG, path).folded.spans}
    assert said == {4: "not on the path", 12: "through here", 42: "not on the path"}


def test_many_spans_say_what_they_hold():
    """As many as --every makes: each by what avoids it, worked out apart."""
    for asked in ("lag:4", "loss:L59", "top:3", "17"):
        made = view(LONG, asked, every=1, steps=range(1, 60, 2))
        assert len(made.folded.spans) >= 29
        assert all(len(words) > 1 for words in made.scene.spans.values()), asked


def test_a_highlighted_path_shows_where_it_begins_and_ends():
    path = LONG.paths("L40", "W")[30]
    made = view(LONG, path)
    shown = {time for _, time in made.folded.graph.nodes(data="time")}
    assert {40, 10} <= shown
    assert len(shown) <= LONGEST + 4
    numbers = [int(line) for line in words(made, "number")]
    assert {1, 2, 3, len(path.nodes)} <= set(numbers)
    assert len(numbers) < len(path.nodes)
    assert len(words(made, "caption")) < 5
    assert f"⋯ {len(path.nodes) - 13} nodes ⋯" in " ".join(words(made, "caption"))


def test_shares_of_merged_edges_are_added():
    made = view(long_run(24, "lstm"), color_by="share", detail="gate")
    assert max(map(len, made.folded.merged.values())) == 4
    drawn, shares = made.drawing, made.paint.edges
    for edge, merged in made.folded.merged.items():
        if any(of in shares for of in merged):
            assert drawn.amounts[edge] == pytest.approx(sum(shares.get(of, 0.0) for of in merged))


def test_the_size_of_a_folded_picture_does_not_depend_on_the_length():
    sizes = {len(view(long_run(steps)).drawing.sheet.shapes) for steps in (60, 200)}
    assert len(sizes) == 1


# ------------------------------------------------------------------------------------------------ colours


@pytest.mark.parametrize("name", COLOURINGS)
@pytest.mark.parametrize("theme", THEMES)
def test_every_colouring_has_a_legend_and_colours(run, name, theme):
    made = view(run, color_by=name, theme=theme)
    assert made.paint is not None
    assert any(made.paint.what in line for line in words(made, "legend"))
    painted = made.paint.edges or made.paint.nodes
    assert len({made.paint.colour(value, made.scene.theme) for value in painted.values()}) > 1


def test_nodes_are_painted_by_value_and_gradient():
    run = uz.article()
    values = view(run, color_by="value").paint.nodes
    assert values["s3"] == pytest.approx(np.sqrt(np.mean(run.graph.nodes["s3"]["value"] ** 2)))
    norms = view(run, color_by="gradient").paint.nodes
    assert norms["s3"] == pytest.approx(np.linalg.norm(cotangents(run.level(), run.loss_names())["s3"]))
    assert set(values) >= {"x1", "s0", "L5", "yhat2"}


def test_the_ramp_goes_from_one_end_to_the_other():
    paint = Paint("x", nodes={"a": 1.0, "b": 2.0, "c": 3.0})
    assert [paint.part(value) for value in (1.0, 2.0, 3.0)] == [0.0, 0.5, 1.0]
    factors = Paint("x", nodes={"a": 1e-4, "b": 1e-2, "c": 1.0, "d": 0.0})
    assert factors.logarithmic
    assert [factors.part(v) for v in (0.0, 1e-4, 1e-2, 1.0)] == pytest.approx([0.0, 0.0, 0.5, 1.0])
    assert Paint("x", nodes={"a": 2.0}).part(2.0) == 1.0
    for theme in THEMES.values():
        steps = [luminance(theme.on_ramp(part / 10)) for part in range(11)]
        assert steps == sorted(steps, reverse=theme is LIGHT)  # told apart without hue


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_text_is_legible(theme):
    def contrast(one: str, other: str) -> float:
        light, dark = sorted((luminance(one), luminance(other)), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    assert set(theme.looks) == set(ROLES)
    for look in theme.looks.values():
        assert contrast(theme.ink, look.fill) > 4.5  # WCAG 2, level AA
    assert contrast(theme.quiet, theme.paper) > 4.5
    for part in range(11):
        fill = theme.on_ramp(part / 10)
        assert contrast(theme.legible(fill), fill) > 4.5


def test_dark_is_dark():
    source = uz.article().draw(theme="dark").source
    assert DARK.paper in source
    assert not any(colour in source for colour in ("#ffffff", LIGHT.ink))


# ------------------------------------------------------------------------------------------------ words and values


def test_title_caption_and_parameters_are_told():
    made = view(uz.article(), title="A title", caption="and <more>", parameters=True)
    told = words(made, "caption")
    assert {"A title", "and <more>"} <= set(told)
    assert any("= 40" in line for line in told)


def test_values_are_squares_in_their_nodes():
    run = uz.article()
    made = view(run, values=True)
    boxes = made.drawing.paper.boxes
    squares = kinds_of(made, "value")
    values = run.graph.nodes["s3"]["value"][0]
    inside = [s for s in squares if abs(s.box.x - boxes["s3"].x) < 20 and abs(s.box.y - boxes["s3"].y) < 20]
    assert len(inside) == len(values)
    for square, value in zip(sorted(inside, key=lambda s: s.box.x), values, strict=True):
        red, blue = int(square.look["fillcolor"][1:3], 16), int(square.look["fillcolor"][5:], 16)
        assert (blue > red) == (value > 0)
    (loss,) = (s for s in kinds_of(made, "loss") if s.lines[0] == "L₄")
    assert float(loss.lines[1]) == pytest.approx(run.losses[3], rel=0.01)


def test_exact_numbers_of_paths_are_in_a_tooltip():
    made = view(long_run(60, "lstm"), "lag:50")
    assert made.highlight.sum.count > 10**15
    tips = [tip for shape in kinds_of(made, "caption") for tip in shape.tooltip]
    assert tips == [f"exactly {made.highlight.sum.count} paths"]


# ------------------------------------------------------------------------------------------------ SVG


def parsed(data: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(data)


def tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


@pytest.mark.parametrize("options", [{}, {"highlight": "lag:1"}, {"values": True, "color_by": "value"}], ids=str)
def test_the_svg_holds_every_shape_and_line_once(run, options):
    made = view(run, **options)
    sheet = made.drawing.sheet
    root = parsed(svg.written(sheet))
    groups = {g.get("id"): g for g in root.iter() if tag(g) == "g"}
    assert set(groups) == {s.id for s in sheet.shapes} | {f"e{i}" for i in range(1, len(sheet.lines) + 1)}
    for shape in sheet.shapes:
        group = groups[shape.id]
        assert group.get("class") == f"node {shape.kind}"
        assert [t.text for t in group if tag(t) == "text"] == [clean(line) for line in shape.lines if line]
        title = "".join(t.text or "" for t in group if tag(t) == "title")
        assert title == "\n".join(clean(line) for line in shape.tooltip)
    assert {tag(e) for e in root.iter()} <= {"svg", "g", "rect", "ellipse", "polygon", "path", "text", "title"}


def test_the_svg_is_what_graphviz_makes_of_the_dot():
    """Shapes and texts stand in the same places."""
    made = view(uz.article(), "2", losses="L4")
    ours, theirs = (
        [(t.text, float(t.get("x")), float(t.get("y"))) for t in parsed(data).iter() if tag(t) == "text"]
        for data in (
            FORMATS["svg"].make(made),
            FORMATS["svg"].make(view(uz.article(), "2", losses="L4", engine="pygraphviz")),
        )
    )
    assert [text for text, _, _ in ours] == [text.replace("\xa0", " ") for text, _, _ in theirs]
    dx, dy = (theirs[0][i] - ours[0][i] for i in (1, 2))
    for (_, x, y), (_, their_x, their_y) in zip(ours, theirs, strict=True):
        assert (their_x - x, their_y - y) == (pytest.approx(dx, abs=1.5), pytest.approx(dy, abs=1.5))


def test_hostile_labels_stay_text_in_svg():
    texts = labels(3_000)
    sheet = Sheet()
    ends = [
        sheet.shape(Box(0, -30 * row, 50, 20, "box"), "state plain", text, [text, text])
        for row, text in enumerate(texts)
    ]
    sheet.text(Box(0, 30, 50, 20, "box"), "heading", texts[:50], "l")
    for text in texts[:100]:
        sheet.line(ends[0], ends[1], [(0, 0), (0, -30)], "edge plain", tooltip=[text])
    data = svg.written(sheet, above="")
    root = parsed(data)
    groups = {g.get("id"): g for g in root.iter() if tag(g) == "g"}
    for name, text in zip(ends, texts, strict=True):
        assert [t.text for t in groups[name] if tag(t) == "text"] == [clean(text)], text
        assert [t.text for t in groups[name] if tag(t) == "title"] == [f"{clean(text)}\n{clean(text)}"]
    assert len(groups) == len(texts) + 1 + 100
    assert {tag(e) for e in root.iter()} == {"svg", "g", "rect", "path", "text", "title"}
    names = {name.rpartition("}")[2] for e in root.iter() for name in e.attrib}
    assert not [name for name in names if name.startswith("on") or name in ("href", "style", "src", "filter", "mask")]
    assert data.count(b"<?") == 1
    assert b"<!" not in data


def test_hostile_kinds_cannot_leave_their_attribute():
    sheet = Sheet()
    sheet.shape(Box(0, 0, 9, 9, "box"), '"><script>')
    assert parsed(svg.written(sheet)).find(".//{*}g").get("class") == 'node "><script>'


@pytest.mark.parametrize(
    "options", [{}, {"highlight": "2", "title": '<rect fill="#ffffff"> & {}'}, {"color_by": "gradient"}]
)
def test_a_notebook_shows_every_colour_of_both_themes(options):
    asked = dict(options)
    highlight = asked.pop("highlight", None)
    shown = RUNS["elman"].draw(highlight, **asked)._repr_image_svg_xml()
    root = parsed(shown.encode())
    style = next(e for e in root if tag(e) == "style").text
    rules = dict(re.findall(rf"#{root.get('id')} \.(c\d+)\{{(.*?)\}}", style))
    own = root.get("id")
    said = "".join(f"#{own} .{name}{{{rule}}}" for name, rule in rules.items())
    assert style == f"@media (prefers-color-scheme: dark){{{said}}}"
    for theme in THEMES:
        plain = parsed(FORMATS["svg"].make(view(RUNS["elman"], highlight, theme=theme, **asked)))
        expected = [e for e in plain.iter() if tag(e) in ("rect", "ellipse", "path", "polygon", "text")]
        found = [e for e in root.iter() if tag(e) in ("rect", "ellipse", "path", "polygon", "text")]
        for one, other in zip(found, expected, strict=True):
            changed = dict(part.split(":") for part in rules.get(one.get("class"), "").split(";") if part)
            for paint in ("fill", "stroke"):
                colour = changed.get(paint, one.get(paint)) if theme == "dark" else one.get(paint)
                assert colour == other.get(paint)
            assert one.text == other.text
    fixed = RUNS["elman"].draw(highlight, theme="dark", **asked)._repr_image_svg_xml()
    assert "<style" not in fixed and DARK.paper in fixed


# ------------------------------------------------------------------------------------------------ animation


@pytest.mark.parametrize("highlight", [None, "lag:1"])
def test_what_is_computed_later_appears_later(run, highlight):
    made = view(run, highlight)
    when = score(made.drawing)
    ids, graph = made.drawing.ids, made.folded.graph
    for tail, head, _ in graph.edges(keys=True):
        if graph.nodes[tail]["role"] == "parameter" or "fold" in (graph.nodes[tail]["role"], graph.nodes[head]["role"]):
            continue
        assert when.forward[ids[tail]] < when.forward[ids[head]]
        assert when.backward[ids[tail]] > when.backward[ids[head]] >= when.turn
    assert max(when.forward.values()) < when.turn
    assert max(when.backward.values()) < when.frames


def test_frames_are_pictures_that_fill_up(tmp_path):
    made = view(uz.article())
    pictures = frames(made)
    assert list(pictures) == [f"frame-{n:03}.svg" for n in range(1, len(pictures) + 1)]
    faint = [data.count(b'opacity="0.1"') for data in pictures.values()]
    half = len(faint) // 2
    assert faint[:half] == sorted(faint[:half], reverse=True)
    assert faint[half - 1 :] == [0] * (len(faint) - half + 1)
    glowing = [data.count(LIGHT.marker.encode()) for data in pictures.values()]
    assert glowing[:half] == [0] * half
    assert glowing[half:] == sorted(glowing[half:])
    assert b"forward pass" in pictures["frame-001.svg"]
    last = list(pictures.values())[-1].decode()
    assert last.rindex(LIGHT.marker) < last.index('class="node parameter')  # a glow cuts into no outline
    folded = list(frames(view(LONG)).values())[-1].decode()
    assert folded.rindex('class="node span"') < folded.index(LIGHT.marker)  # nor is it hidden by a folded span
    assert all(parsed(data) is not None for data in pictures.values())


def test_an_animation_has_no_script_and_is_whole_where_nothing_plays():
    made = view(uz.article(), "2", losses="L4", animate=True)
    data = FORMATS["svg"].make(made)
    assert data == animated(made)
    root = parsed(data)
    moving = [e for e in root.iter() if tag(e) == "animate"]
    assert len(moving) > 50
    for one in moving:
        times = [float(t) for t in one.get("keyTimes").split(";")]
        assert (times[0], times) == (0.0, sorted(times))
        assert len(times) == len(one.get("values").split(";"))
        assert times[-1] < 1
    assert not [e for e in root.iter() if tag(e) in ("script", "set", "style", "a", "image")]
    still = svg.written(view(uz.article(), "2", losses="L4").drawing.sheet)
    assert [t.text for t in parsed(still).iter() if tag(t) == "text"] == [
        t.text for t in root.iter() if tag(t) == "text" and t.text not in ("forward pass", "backward pass")
    ]


# ------------------------------------------------------------------------------------------------ formats


@pytest.mark.parametrize("name", ["svg", "pdf", "png", "dot", "svg-frames"])
def test_formats_of_the_picture_are_written(tmp_path, name):
    target = tmp_path / "made"
    write(view(uz.article(), "lag:1"), target, name)
    if FORMATS[name].folder:
        assert len(list(target.iterdir())) > 5
    else:
        start = {"svg": b"<?xml", "pdf": b"%PDF-", "png": b"\x89PNG", "dot": b"digraph"}[name]
        assert target.read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_endings_and_names_mean_formats():
    for format in FORMATS.values():
        for suffix in format.suffixes:
            assert format_of(f"x{suffix}") is format
            assert format_of(f"x{suffix.upper()}") is format
    assert format_of("x.svg", "png") is FORMATS["png"]
    with pytest.raises(UnknownName, match="did you mean svg"):
        format_of("x.svg", "svgg")
    with pytest.raises(UnrollvizError, match=r"\.svg.*\.dot.*--format"):
        format_of("x.jpeg")


def test_a_folder_is_replaced_only_where_it_holds_frames(tmp_path):
    made, target = view(uz.article()), tmp_path / "frames"
    write(made, target, "svg-frames")
    (target / "frame-999.svg").write_text("old")
    write(made, target, "svg-frames")
    assert not (target / "frame-999.svg").exists()
    (target / "thesis.txt").write_text("mine")
    before = sorted(path.name for path in target.iterdir())
    with pytest.raises(BadFile, match=r"thesis\.txt"):
        write(made, target, "svg-frames")
    assert sorted(path.name for path in target.iterdir()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["frames"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadFile, match="is a file"):
        write(made, tmp_path / "file", "svg-frames")
    with pytest.raises(BadFile, match="no folder"):
        write(made, Path(tmp_path / "no" / "frames"), "svg-frames")


def test_choices_are_checked_before_anything_is_drawn():
    run = uz.article()
    for options, said in (
        ({"theme": "night"}, "light, dark"),
        ({"color_by": "shares"}, "did you mean share"),
        ({"engine": "neato"}, "dot"),
        ({"detail": "stat"}, "did you mean state"),
        ({"every": 0}, "1 or more"),
        ({"steps": "4..9"}, "step 5"),
        ({"animate": True, "engine": "dot"}, "animations"),
    ):
        with pytest.raises(UnrollvizError, match=said):
            view(run, **options)
