"""The inspector: its pages, numbers worked out by hand, heat maps without colour, one instance or the batch."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len
from test_tui import SCRIPTS, acts, app_for, drive, long_run, press, screen
from test_tui_graph import gated
from textual.pilot import Pilot

import unrollviz as uz
from unrollviz.graph import names_of
from unrollviz.jacobians import Dense, Outer, frobenius
from unrollviz.tui import lens as lenses
from unrollviz.tui import state as to
from unrollviz.tui.app import DebugApp
from unrollviz.tui.heat import heat, mark
from unrollviz.tui.lens import OVERVIEW, PAGES, Lens
from unrollviz.tui.local import ENTRIES, SIDE, shown
from unrollviz.tui.look import palette
from unrollviz.tui.numbers import figure, ranked
from unrollviz.tui.report import footing, report
from unrollviz.tui.scene import scene
from unrollviz.tui.statistics import statistics
from unrollviz.tui.worked import worked


def batch(instances: int = 3, cell: str = "elman") -> uz.Run:
    rng = np.random.default_rng(0)
    net = uz.Network.init(cell, inputs=4, hidden=3, outputs=4)
    return uz.unroll(net, rng.standard_normal((5, instances, 4)), rng.integers(0, 4, (5, instances)))


def opened(run: uz.Run, node: str, cursor: int | None = None, detail: str = "state", **look: object) -> to.DebugState:
    state = to.opening(scene(run, detail, run.loss_names(), run.recurrent_weight))
    state = to.at(state, state.scene.timeline.end if cursor is None else cursor)
    return replace(to.selected(state, state.scene.layout.nodes[node]), lens=Lens(**look))  # type: ignore[arg-type]


def text(state: to.DebugState, size: tuple[int, int] = (76, 20)) -> str:
    return report(state, *size, palette(True)).plain


# ---- every action of the panel -------------------------------------------------------------------------------------


@acts("page", "page_back")
async def pages(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "n")
    seen = []
    for number, page in enumerate(PAGES, 1):
        assert f"{number}/{len(PAGES)} {page} · v turns" in screen(app)
        seen.append(screen(app))
        await press(app, pilot, "v")
    assert len(set(seen)) == len(PAGES)
    assert app.state.lens == OVERVIEW
    await press(app, pilot, "V")
    assert app.state.lens.page == PAGES[-1]


@acts("instance", "instance_back")
async def instances(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "i")
    assert app.state.lens.instance is None
    app.become(to.shown(app.state, scene(batch(), "state", ["L5"], "W")))
    await press(app, pilot, "n")
    assert "instance all of 3" in screen(app)
    values = app.state.scene.run.graph.nodes["s1"]["value"]
    for number in (1, 2, 3):
        await press(app, pilot, "i")
        assert f"instance {number} of 3" in screen(app)
        assert f"{values[number - 1, 0]:.4f}" in screen(app)
        assert f"{values[number % 3, 0]:.4f}" not in screen(app)
    await press(app, pilot, "i")
    assert app.state.lens.instance is None
    await press(app, pilot, "I", "I")
    assert app.state.lens.instance == 1


@acts("edge", "edge_back")
async def edges(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "n", "n", "n")
    tails = [tail for tail, _, _ in app.state.scene.timeline.graph.in_edges("s2", keys=True)]
    seen = []
    for number in range(1, len(tails) + 1):
        await press(app, pilot, ".")
        assert f"edge {number} of {len(tails)}" in screen(app)
        seen += re.findall(r"∂⁺?s₂/∂(\S+)  edge", screen(app))
    assert seen == [tail if tail.isupper() or tail == "b" else f"{tail[0]}{'₀₁₂'[int(tail[1])]}" for tail in tails]
    await press(app, pilot, ".")
    assert "edge 1 of" in screen(app)
    await press(app, pilot, ",")
    assert f"edge {len(tails)} of" in screen(app)


@acts("unit_left", "unit_right", "sort")
async def slices(app: DebugApp, pilot: Pilot[None]) -> None:
    await pilot.resize_terminal(130, 40)
    await press(app, pilot, "n", "tab", "right")
    assert "s₁[1] = tanh(" in screen(app)
    assert "from 1 on, of 3:" in screen(app)
    await press(app, pilot, "right", "right", "right")
    assert "s₁[2] = tanh(" in screen(app)
    await press(app, pilot, "left", "left", "left")
    assert "s₁[0] = tanh(" in screen(app)
    values = np.abs(app.state.scene.run.graph.nodes["s1"]["value"][0])
    await press(app, pilot, "a")
    assert re.search(rf"\[{values.argmax()}\] .*\[{values.argmin()}\] ", screen(app))
    await press(app, pilot, "a")
    assert re.search(rf"\[{values.argmin()}\] .*\[{values.argmax()}\] ", screen(app))
    await press(app, pilot, "a")
    assert app.state.lens == OVERVIEW


MINE = [script for script in dict.fromkeys(SCRIPTS.values()) if script.__module__ == __name__]


@pytest.mark.parametrize("size", [(110, 36), (80, 24)], ids=["roomy", "80x24"])
@pytest.mark.parametrize("script", MINE, ids=lambda script: script.__name__)
def test_action(
    script: Callable[[DebugApp, Pilot[None]], Awaitable[None]], size: tuple[int, int], article: uz.Run
) -> None:
    drive(app_for(article), script, size)


# ---- the lens ------------------------------------------------------------------------------------------------------


def test_a_lens_goes_round_and_never_past_an_end() -> None:
    lens = OVERVIEW
    for instance in (0, 1, None, 0):
        lens = lenses.next_instance(lens, 1, 2)
        assert lens.instance == instance
    assert lenses.next_instance(lens, -1, 2).instance is None
    assert lenses.next_instance(lens, 1, 1).instance is None
    assert lenses.next_edge(OVERVIEW, 1, 4) == Lens(page="edge")
    assert lenses.next_edge(Lens(page="edge", edge=3), 1, 4).edge == 0
    assert lenses.next_edge(Lens(page="edge", edge=9), -1, 0).edge == 0
    assert lenses.moved(Lens(unit=7), 1, 3).unit == 2
    assert lenses.moved(OVERVIEW, -1, 3).unit == 0


# ---- formulas with numbers -----------------------------------------------------------------------------------------


def test_a_formula_with_its_numbers_worked_out_by_hand(article: uz.Run) -> None:
    values = {name: node["value"] for name, node in article.graph.nodes(data=True)}
    level = article.level()
    parts = [float((values["U"] @ values["x2"][0])[1]), float((values["W"] @ values["s1"][0])[1]), values["b"][1]]
    found = worked(article.graph, "s2", level, 0, 1)
    assert re.fullmatch(r"s₂\[1\] = tanh\(.*\) = -?0\.\d{4}", found)
    numbers = [float(word) for word in re.findall(r"-?\d[\d.]*", found.split("=", 1)[1].replace("− ", "-"))]
    assert numbers == pytest.approx([*parts, float(values["s2"][0, 1])], rel=1e-3)


def test_every_formula_of_every_level_has_its_numbers() -> None:
    for run in (gated(2), batch(2, "gru"), uz.article()):
        for detail in ("state", "gate", "op"):
            level = run.level(detail)
            for name, node in level.nodes(data=True):
                found = worked(run.graph, name, level, 0, 0)
                assert (found == "") == (node["op"] is None)
                if found:
                    assert found.endswith(f" = {figure(float(node['value'].reshape(-1)[0]))}")
                    assert "{" not in found
                    assert "+ -" not in found


def test_products_and_softmax_are_written_out() -> None:
    run = gated(2)
    cell = worked(run.graph, "c2", run.level("gate"), 0, 0)
    f, c, i, g = (run.graph.nodes[name]["value"][0, 0] for name in ("f2", "c1", "i2", "g2"))
    terms = [f"({figure(v)})" if v < 0 else figure(v) for v in (f, c, i, g)]
    assert cell.startswith(f"c₂[0] = {terms[0]} · {terms[1]} + {terms[2]} · {terms[3]} = ")
    assert re.fullmatch(
        r"ŷ₁\[2\] = e\^\S+ / \((e\^\S+ \+ ){3}e\^\S+\) = 0\.\d+", worked(run.graph, "yhat1", run.level(), 0, 2)
    )
    assert "·" in worked(run.graph, "W_f@h1", run.graph, 0, 0)


# ---- heat maps -----------------------------------------------------------------------------------------------------


def plain(values: object, width: int = 40, height: int = 10) -> list[str]:
    return [line.plain for line in heat(np.array(values, dtype=float), width, height, palette(True)).lines]


def test_a_heat_map_says_sign_and_size_without_colour() -> None:
    assert plain([[1.0, -1.0, 0.0], [0.55, -0.21, 0.01]], width=7) == ["+9-9 ·", "+5-2+0"]
    assert plain([[1.0, -1.0, 0.0], [0.55, -0.21, 0.01]], width=3) == ["9i·", "5b0"]
    assert plain([[1.0, -0.5]], width=12) == [" +9  -5 "]
    assert plain([[np.nan, np.inf, -np.inf]], width=6) == ["??+∞-∞"]
    assert plain([[0.0, 0.0]], width=4) == [" · ·"]
    assert plain(np.full((2, 2), 1e-300), width=4) == ["+9+9", "+9+9"]
    assert mark(-0.31, 1.0, 1) == "c"


def test_a_heat_map_of_many_entries_keeps_the_largest_of_each_block() -> None:
    values = np.full((100, 300), 0.1)
    values[57, 123] = -2.0
    values[3, 299] = np.nan
    found = heat(values, 30, 10, palette(True))
    assert len(found.lines) == 10
    assert all(line.cell_len <= 30 for line in found.lines)
    joined = "".join(line.plain for line in found.lines)
    assert joined.count("i") == 1
    assert joined.count("?") == 1
    assert "each the largest of 10 × 10" in found.scale
    assert "9 is ±2" in found.scale


@pytest.mark.parametrize("dark", [True, False])
def test_blocks_of_either_sign_differ_and_their_marks_can_be_read(dark: bool) -> None:
    look = palette(dark)
    for above, below in zip(look.above[1:], look.below[1:], strict=True):
        assert above.bgcolor is not None
        assert below.bgcolor is not None
        red = [style.bgcolor.triplet.red - style.bgcolor.triplet.blue for style in (above, below)]  # type: ignore[union-attr]
        assert red[0] < red[1]
    for style in (*look.above, *look.below):
        assert style.color is not None
        assert style.bgcolor is not None
        ink, block = style.color.triplet, style.bgcolor.triplet
        assert ink is not None
        assert block is not None
        assert abs(sum(ink) - sum(block)) > 180


# ---- figures -------------------------------------------------------------------------------------------------------


def test_statistics_by_hand() -> None:
    values = np.array([[3.0, -4.0, 0.0], [0.0, np.nan, np.inf]])
    found = statistics(values)
    assert (found.least, found.most, found.mean, found.zeros, found.odd, found.saturated) == (-4, 3, -0.25, 2, 2, None)
    assert statistics(np.array([3.0, -4.0])).norm == 5
    assert np.isnan(statistics(np.array([np.nan])).mean)
    assert statistics(np.tanh([[3.0, 0.1, -3.0]]), ("tanh", np.array([[3.0, 0.1, -3.0]]))).saturated == 2
    assert statistics(np.zeros(2), ("relu", np.array([-1.0, 1.0]))).saturated == 1
    assert statistics(np.zeros(2), ("add", np.zeros(2))).saturated is None


def test_numbers_by_size_with_their_places() -> None:
    values = np.array([[0.5, -2.0], [np.nan, 0.0]])
    assert ranked(values, 11, 9, True) == ["[1,0] nan", "[0,1] -2", "[0,0] 0.5000", "[1,1] 0"]
    assert ranked(values, 40, 1, False)[0].startswith("[1,1] 0")
    assert ranked(np.array([[0.5, -2.0, 1.0]]), 9, 2, True) == ["[1] -2", "[2] 1", "… 1 more entries"]
    assert ranked(np.arange(100.0), 9, 3, True)[-1] == "… 97 more entries"


def test_a_local_jacobian_with_its_norm_and_singular_values() -> None:
    weight = np.diag([3.0, 2.0, 0.5])
    found = shown(Dense(weight, 1), None)
    assert found.shape == (3, 3)
    assert found.singular == pytest.approx([3, 2, 0.5])
    assert found.norm == pytest.approx(np.sqrt(13.25))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 5))
    several = shown(Outer(x, 3), 2)
    assert (several.instances, several.shape) == (4, (3, 15))
    assert several.matrix == pytest.approx(np.kron(np.eye(3), x[2]))
    assert several.norm == pytest.approx(np.sqrt(3) * frobenius(x))
    assert shown(Outer(x, 3), None).matrix == pytest.approx(np.kron(np.eye(3), x.mean(axis=0)))


def test_large_jacobians_are_not_formed_and_not_decomposed() -> None:
    side = SIDE + 1
    assert shown(Dense(np.ones((side, side)), 1), None).singular is None
    assert shown(Dense(np.ones((SIDE, SIDE)), 1), None).singular is not None
    huge = shown(Outer(np.ones((1, 700)), 700), None)
    assert ENTRIES < 700**3
    assert huge.matrix is None
    assert huge.norm == pytest.approx(700)


# ---- pages ---------------------------------------------------------------------------------------------------------


def test_the_overview_has_the_formula_in_symbols_and_in_numbers(article: uz.Run) -> None:
    seen = text(opened(article, "s3")).splitlines()
    assert seen[0] == "s₃ = tanh(U x₃ + W s₂ + b)"
    assert seen[1] == worked(article.graph, "s3", article.level(), 0, 0)
    before = text(opened(article, "s3", cursor=0))
    assert "not computed yet" in before
    assert "s₃[0]" not in before


def test_what_is_still_to_come_adds_up(article: uz.Run) -> None:
    state = opened(article, "s3", page="cotangent")
    timeline = state.scene.timeline
    first = timeline.contributions["s3"][0].cursor
    seen = text(opened(article, "s3", cursor=first, page="cotangent"))
    whole = timeline.cotangent("s3", 2)
    assert f"∂L/∂s₃ so far  ‖{figure(frobenius(timeline.cotangent('s3', 1)))}‖  1 of 2" in seen
    assert f"still to come  ‖{figure(frobenius(whole - timeline.cotangent('s3', 1)))}‖" in seen
    assert seen.count("to come") == 2
    assert "still to come" not in text(state)
    assert "+" in text(state)
    assert "still to come  ‖" in text(opened(article, "s3", cursor=0, page="cotangent"))


def test_the_value_page_has_statistics_a_heat_map_and_the_numbers() -> None:
    run = batch()
    seen = text(opened(run, "s3", page="value"))
    value = run.graph.nodes["s3"]["value"]
    assert "value  3 × 3" in seen
    assert f"min {figure(value.min())}  max {figure(value.max())}" in seen
    assert "saturated " in seen
    assert "NaN/∞ 0" in seen
    assert len(re.findall(r"[+-]\d", seen)) >= 9
    one = text(opened(run, "s3", page="value", instance=1))
    assert "value  1 × 3" in one
    assert f"norm {figure(frobenius(value[1]))}" in one


def test_the_edge_page_shows_the_jacobian_of_one_instance_or_their_mean() -> None:
    run = batch()
    edge = [tail for tail, _, _ in run.level().in_edges("s3", keys=True)].index("s2")
    blocks = run.level().edges["s2", "s3", 0]["jacobian"].matrix()
    seen = text(opened(run, "s3", page="edge", edge=edge))
    assert "shape 3 × 3 × 3 instances" in seen
    assert f"norm {figure(frobenius(blocks))}" in seen
    assert "the mean over all instances" in seen
    one = text(opened(run, "s3", page="edge", edge=edge, instance=2))
    assert "instance 3" in one
    assert figure(float(np.linalg.svd(blocks[2], compute_uv=False)[0])) in one
    assert f"{blocks[2][0, 0]:.4f}" in one


def test_a_copy_shows_the_edge_it_stands_for(article: uz.Run) -> None:
    state = opened(article, "s3", page="edge")
    copy = state.scene.layout.copies["W", "s3", 0]
    assert "∂⁺s₃/∂W  edge 1 of 1" in text(to.selected(state, copy))
    rail = to.selected(state, state.scene.layout.nodes["W"])
    assert "∂⁺s₁/∂W  edge 1 of 5" in text(rail)
    assert "not known yet" in text(opened(article, "s3", cursor=0, page="edge"))


def test_the_neurons_of_a_node_and_the_rows_of_a_parameter(article: uz.Run) -> None:
    values, back = article.graph.nodes["s3"]["value"][0], article.gradient("s3")[0]
    seen = text(opened(article, "s3", page="neurons")).splitlines()
    for unit in range(3):
        assert f"{unit} {figure(values[unit]):>9} {figure(back[unit]):>11}  tanh(" in seen[unit + 1]
    rows = text(opened(article, "W", page="neurons"))
    assert f"{figure(frobenius(article.gradient('W')[2])):>11}" in rows
    assert "no neurons" in text(opened(article, "L3", page="neurons"))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("size", [(36, 7), (72, 17), (156, 44), (10, 3), (1, 1)])
def test_every_page_of_every_node_fits_any_size(page: str, size: tuple[int, int]) -> None:
    for run in (gated(2), batch(2)):
        state = opened(run, names_of(run.graph, "loss")[0], detail="op", page=page, instance=1, unit=99, edge=99)
        for cursor in (0, state.scene.timeline.end // 2, state.scene.timeline.end):
            for place in state.scene.names:
                now = to.selected(to.at(state, cursor), place)
                assert text(now, size)
                assert str(PAGES.index(page) + 1) in footing(now)


def test_wide_arrays_are_cut_to_the_width() -> None:
    run = long_run(3, units=60)
    for page in ("value", "edge", "cotangent"):
        for node in ("s2", "W"):
            for line in text(opened(run, node, page=page), (40, 12)).splitlines():
                assert cell_len(line) <= 40 or " is ±" in line or not re.match(r" [ +-]?[\d·]", line)


@pytest.mark.parametrize("size", [(80, 24), (40, 15), pytest.param((160, 50), marks=pytest.mark.thorough)])
def test_all_pages_on_the_screen(size: tuple[int, int]) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "end", "g", *"c2", "enter", "tab", "m")
        for page in PAGES:
            if size >= (80, 24):
                assert f"{page} · v turns" in screen(app)
                assert "c₂" in screen(app)
            await press(app, pilot, "v", "down", "right", "a", ".", "V", "v" if page == "neurons" else "i")
            app.become(to.looked(app.state, replace(app.state.lens, page=PAGES[(PAGES.index(page) + 1) % len(PAGES)])))
            await pilot.pause()
        assert all(cell_len(line) == size[0] for line in screen(app).splitlines())

    drive(app_for(gated(), target="W_f", detail="gate"), script, size)


@pytest.mark.parametrize(
    ("cell", "parameter", "time", "wanted"),
    [
        ("elman", "W", 3, "W multiplies s₂: ∂L/∂W gets ∂L/∂a₃ · s₂ᵀ"),
        ("elman", "V", 4, "V multiplies s₄: ∂L/∂V gets ∂L/∂z₄ · s₄ᵀ"),
        ("lstm", "W_f", 1, "W_f multiplies h₀: ∂L/∂W_f gets ∂L/∂a_f₁ · h₀ᵀ"),
        ("gru", "W_n", 2, "W_n multiplies h₁: ∂L/∂W_n gets "),
        ("elman", "b", 2, ""),
    ],
)
@pytest.mark.parametrize("detail", ["state", "op"])
def test_a_weight_tells_which_state_multiplies_its_gradient(
    cell: str, parameter: str, time: int, wanted: str, detail: str
) -> None:
    run = uz.article(cell=cell)
    state = opened(run, parameter, detail=detail)
    assert "multiplies" not in text(state)
    times = state.scene.layout.times
    copies = [place for place, edge in state.scene.copies.items() if edge[0] == parameter]
    copy = next(place for place in copies if times[place.column] == time)
    said = text(to.selected(state, copy), (120, 30))
    assert wanted in said if wanted else "multiplies" not in said
    if parameter == "W":  # and it is true
        term = next(path.term for path in run.paths(None, "W", detail="op") if path.entry == 5)
        delta = run.gradient("a5")
        assert np.allclose(term, np.outer(delta, run.graph.nodes["s4"]["value"]))
