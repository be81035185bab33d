"""The graph panel: folds, panning, zooming, marks without colour, and only as much work as is seen."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from rich.cells import cell_len
from rich.style import Style
from test_tui import SCRIPTS, acts, app_for, drive, long_run, press, screen, settled, spelled
from textual import events
from textual.geometry import Offset
from textual.pilot import Pilot

import unrollviz as uz
from unrollviz.debugger.backward import Backward
from unrollviz.draw.layout import Place, layout
from unrollviz.paths.pathset import PathSet
from unrollviz.tui import state as to
from unrollviz.tui import wires as wiring
from unrollviz.tui.app import DebugApp
from unrollviz.tui.geometry import FOLD, geometry
from unrollviz.tui.grid import Grid
from unrollviz.tui.inspector import Inspector
from unrollviz.tui.look import palette
from unrollviz.tui.paint import Painter
from unrollviz.tui.scene import SMALL, scene
from unrollviz.tui.spans import FOLDED_FROM, SHORTEST, Span, folded, turns, whole
from unrollviz.tui.wires import Wires, route


def gated(steps: int = 4, **options: int) -> uz.Run:
    rng = np.random.default_rng(0)
    net = uz.Network.init("lstm", inputs=4, hidden=3, outputs=4, **options)
    return uz.unroll(net, rng.standard_normal((steps, 4)), rng.integers(0, 4, steps))


def lines(state: to.DebugState, size: tuple[int, int] = (110, 30), scrolled: int = 0) -> list[str]:
    """The header and the rows, as text: all that is left without colour."""
    painter = Painter(state, geometry(state.scene, *size, state.spans), palette(True))
    rows = range(painter.grid.virtual_height - 1)
    drawn = [painter.header(scrolled, size[0]), *(painter.line(y, scrolled, size[0]) for y in rows)]
    return ["".join(segment.text for segment in line) for line in drawn]


def row_of(state: to.DebugState, label: str, **options: int) -> str:
    return next(line for line in lines(state, **options) if re.match(rf" {label} ", line))


# ---- every action of the panel -------------------------------------------------------------------------------------


@acts("fold")
async def folding(app: DebugApp, pilot: Pilot[None]) -> None:
    app.become(to.shown(app.state, scene(long_run(60), "state", ["L60"], "W")))
    assert "steps ⋯" not in screen(app)
    await press(app, pilot, "f")
    text = screen(app)
    assert re.search(r"⋯ \d\d steps ⋯", text)
    assert "1 fold ·" in text or "2 folds ·" in text
    assert app.query_one(Grid).virtual_size.width <= 110
    await press(app, pilot, "f")
    assert "steps ⋯" not in screen(app)
    assert app.query_one(Grid).virtual_size.width > 400


@acts("pan_left", "pan_right", "pan_up", "pan_down")
async def panning(app: DebugApp, pilot: Pilot[None]) -> None:
    app.become(to.shown(app.state, scene(gated(30), "gate", ["L30"], "W_f")))
    grid, node = app.query_one(Grid), app.state.node
    await press(app, pilot, *["pageup"] * 9)
    assert grid.scroll_offset == (0, 0)
    await press(app, pilot, "L", "shift+right")
    assert grid.scroll_offset.x == 2 * grid.fitted.width
    await press(app, pilot, "H")
    assert grid.scroll_offset.x == grid.fitted.width
    await press(app, pilot, "J", "J")
    assert grid.scroll_offset.y == 2 * grid.fitted.height
    await press(app, pilot, "K")
    assert grid.scroll_offset.y == grid.fitted.height
    assert app.state.node == node


@acts("zoom_in", "zoom_out")
async def zooming(app: DebugApp, pilot: Pilot[None]) -> None:
    app.become(to.shown(app.state, scene(gated(), "state", ["L4"], "W_f")))
    await press(app, pilot, "-")
    assert app.state.scene.detail == "state"
    for wanted in ("gate", "op"):
        await press(app, pilot, "+")
        assert (app.state.scene.detail, app.state.lens.page) == (wanted, "overview")
    await press(app, pilot, "g", *"c2", "enter", "+")
    assert (app.state.scene.detail, app.state.lens.page, app.state.node) == ("op", "neurons", "c2")
    await press(app, pilot, "-")
    assert (app.state.scene.detail, app.state.lens.page) == ("op", "overview")
    await press(app, pilot, "-", "-")
    assert app.state.scene.detail == "state"


@acts("open")
async def opening_a_node(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "n", "enter")
    assert app.state.node == "s1"
    neurons = screen(app)
    assert "∂L/∂s₁" in neurons
    formula = r" +tanh\(" if app.size.width > 100 else ""  # which stands where there is room for it
    assert len(re.findall(rf"\d +-?0\.\d{{4}} +– {formula}", neurons)) == 3
    await press(app, pilot, "enter")
    assert app.state.lens.page == "overview"


@acts("enlarge")
async def one_panel_alone(app: DebugApp, pilot: Pilot[None]) -> None:
    inspector = app.query_one(Inspector)
    small = inspector.size
    await press(app, pilot, "tab", "m")
    assert inspector.size.width > small.width
    assert inspector.size.height > small.height
    assert not app.query_one(Grid).display or not app.query_one(Grid).region
    await press(app, pilot, "m")
    assert inspector.size == small


MINE = [script for script in dict.fromkeys(SCRIPTS.values()) if script.__module__ == __name__]


@pytest.mark.parametrize("size", [(110, 36), (80, 24)], ids=["roomy", "80x24"])
@pytest.mark.parametrize("script", MINE, ids=lambda script: script.__name__)
def test_action(
    script: Callable[[DebugApp, Pilot[None]], Awaitable[None]], size: tuple[int, int], article: uz.Run
) -> None:
    drive(app_for(article), script, size)


# ---- folds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [(), (1,), (3, 4, 50), (98, 99), tuple(range(1, 101)), (0, 400)])
def test_spans_cover_every_column_once(kept: tuple[int, ...]) -> None:
    found = folded(100, kept)
    assert [column for span in found for column in range(span.first, span.last + 1)] == list(range(1, 101))
    open_columns = {c for span in found if not span.folded for c in range(span.first, span.last + 1)}
    assert {1, 2, 100} | {column for column in kept if 1 <= column <= 100} <= open_columns
    assert all(span.columns >= SHORTEST for span in found if span.folded)


def test_a_short_span_is_not_folded() -> None:
    assert folded(6, ()) == (Span(1, 6, False),)
    assert folded(7, ()) == (Span(1, 2, False), Span(3, 6, True), Span(7, 7, False))
    assert folded(1, ()) == whole(1) == (Span(1, 1, False),)


def test_a_path_turns_where_it_stops_repeating_itself() -> None:
    straight = [Place(column, 2) for column in range(9, 3, -1)]
    assert turns([Place(9, 0), *straight, Place(4, 5)]) == {9, 8, 5, 4}
    assert turns([]) == frozenset()


def test_what_one_looks_at_stays_open() -> None:
    run = long_run(400)
    state = to.opening(scene(run, "state", ["L300"], "W"))
    state = replace(to.selected(state, state.scene.layout.nodes["s120"]), folded=True, broken=frozenset({"s200"}))
    state = to.listed(state, 80)
    assert state.lit.nodes[0] == "L300"
    assert state.lit.nodes[-2] == "s220"
    open_columns = {c for span in state.spans if not span.folded for c in range(span.first, span.last + 1)}
    times = {state.scene.layout.times[column] for column in open_columns}
    assert times >= {118, 119, 120, 121, 122, 200, 220, 300, 0, 1, 400}
    assert len(times) < 25
    moved = to.selected(state, state.scene.layout.nodes["s50"])
    assert any(span.folded and span.first <= 121 <= span.last for span in moved.spans)


def test_a_fold_says_how_many_steps_it_hides_and_lets_the_path_through() -> None:
    state = replace(to.opening(scene(long_run(400), "state", ["L400"], "W")), folded=True)
    state = to.listed(state, 399)
    header = lines(state)[0]
    assert state.lit.nodes[-2] == "s1"
    hidden = [int(word) for word in re.findall(r"⋯ (\d+) steps ⋯", header)]
    shown = len(re.findall(r"\d+", header)) - len(hidden)
    assert sum(hidden) + shown == 401
    assert "━ ⋯ ━" in row_of(state, "s state")
    assert "┄ ⋯ ┄" in row_of(state, "V")
    assert "⋯" not in row_of(state, "x input")
    assert all(cell_len(line) <= 110 for line in lines(state))


def test_cells_and_columns_agree_with_folds_between() -> None:
    state = replace(to.opening(scene(long_run(200), "state", ["L200"], "W")), folded=True)
    grid = geometry(state.scene, 80, 20, state.spans)
    fold = next(span for span in state.spans if span.folded)
    assert grid.lefts[-1] == sum(FOLD if span.folded else span.columns * grid.width for span in state.spans)
    for span in state.spans:
        for column in (span.first, span.last):
            piece = grid.piece(grid.left(column))
            assert (piece.first, piece.last) == ((span.first, span.last) if span.folded else (column, column))
            assert piece.left == grid.left(column)
    middle = (fold.first + fold.last) // 2
    assert grid.place_at(grid.left(fold.first) + FOLD - 1, 0).column == middle
    seen = list(grid.pieces(0, 10_000))
    assert (seen[0].first, seen[-1].last) == (1, len(state.scene.layout.times) - 1)
    assert all(one.last + 1 == other.first for one, other in pairwise(seen))


def test_a_scrolled_line_is_the_whole_line_without_its_beginning() -> None:
    state = replace(to.opening(scene(long_run(200), "state", ["L200"], "W")), folded=True)
    state = to.at(to.selected(state, state.scene.layout.nodes["s100"]), state.scene.timeline.end)
    grid = geometry(state.scene, 80, 20, state.spans)
    painter = Painter(state, grid, palette(True))
    for y in (0, 4, 5):
        whole_line = "".join(segment.text for segment in painter.line(y, 0, 10_000))
        for scrolled in (1, 7, grid.width, grid.left(50) + 3, grid.left(100) + 5, grid.lefts[-1] - 30):
            part = "".join(segment.text for segment in painter.line(y, scrolled, 80))
            assert part == (whole_line[: grid.gutter] + whole_line[grid.gutter + scrolled :])[:80]


def test_a_click_on_a_fold_opens_it_there() -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "f")
        text = screen(app).splitlines()
        line = next(y for y, words in enumerate(text) if " s state" in words)
        header = next(words for words in text if "steps ⋯" in words)
        await pilot.click(offset=Offset(header.index("steps ⋯"), line))
        await pilot.pause()
        time = app.state.scene.layout.times[app.state.spot.column]
        assert app.state.node == f"s{time}"
        assert time is not None
        assert 20 < time < 40
        assert not any(span.folded and span.first <= app.state.spot.column <= span.last for span in app.state.spans)

    drive(app_for(long_run(60)), script)


def test_very_long_runs_open_folded_and_others_do_not() -> None:
    assert not to.opening(scene(long_run(FOLDED_FROM), "state", ["L1"], "W")).folded
    assert to.opening(scene(long_run(FOLDED_FROM + 1), "state", ["L1"], "W")).folded


# ---- marks without colour ------------------------------------------------------------------------------------------


def test_every_state_of_a_node_is_seen_without_colour(article: uz.Run) -> None:
    first = to.opening(scene(article, "state", article.loss_names(), "W"))
    first = to.selected(first, first.scene.layout.nodes["x1"])
    first = replace(first, lit=first.scene.light_nodes(("L5", "yhat5", "s5", "s4")))
    back = first.scene.timeline.visits("s5")[-1]

    def row(cursor: int, broken: frozenset[str] = frozenset()) -> str:
        spot = first.spot
        return row_of(replace(to.at(first, cursor), spot=spot, broken=broken), "s state")

    assert row(0).count("░") == 5
    assert row(0).count("(░)") == 2
    assert "{●}∂" in row(back)
    assert row(back, frozenset({"s2"})).count("!") == 1
    assert "!●" in row(back, frozenset({"s2"}))
    assert "!(●)" in row(back, frozenset({"s4"}))
    partly = first.scene.timeline.visits("s4")[1]
    assert "∂+" in row(partly)


def test_a_breakpoint_on_a_parameter_is_marked_once(article: uz.Run) -> None:
    state = replace(to.opening(scene(article, "state", ["L5"], "W")), broken=frozenset({"W"}))
    assert "!" in row_of(state, "W")[:12]
    assert "".join(lines(state)).count("!") == 1
    assert [cell_len(line) for line in lines(state)] == [
        cell_len(line) for line in lines(replace(state, broken=frozenset()))
    ]


def test_a_copy_shows_whether_the_parameter_was_used(article: uz.Run) -> None:
    state = to.opening(scene(article, "state", ["L5"], "V"))
    assert row_of(state, "W").count("◇") == 5
    used = row_of(to.at(state, state.scene.timeline.computed_at["s3"]), "W")
    assert used.count("◆") == 1 + 3  # the parameter itself, and three copies
    assert used.count("◇") == 2


@pytest.mark.parametrize("detail", ["state", "gate", "op"])
def test_colour_says_nothing_that_marks_do_not(detail: str) -> None:
    """Two states of a screen that differ in colour also differ in text."""
    state = to.opening(scene(gated(), detail, ["L4"], "W_f"))
    texts, colours = set(), set()
    for cursor in range(0, state.scene.timeline.end, 7):
        now = to.at(state, cursor)
        painter = Painter(now, geometry(now.scene, 200, 60), palette(True))
        segments = [s for y in range(painter.grid.virtual_height - 1) for s in painter.line(y, 0, 200)]
        texts.add("".join(s.text for s in segments))
        colours.add(tuple((s.text, s.style or Style.null()) for s in segments))
    assert len(texts) == len(colours)


# ---- only what is seen ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def very_long() -> uz.Run:
    run = long_run(10_000)
    run.level("state", "W")
    return run


def test_a_long_run_opens_without_its_paths_and_its_backward_pass(
    very_long: uz.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = very_long

    def never(*args: object, **options: object) -> object:
        raise AssertionError("opening a long run must not wait for this")

    routed: list[object] = []

    def counting(*args: object) -> object:
        routed.append(args)
        return route(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(PathSet, "__init__", never)
    monkeypatch.setattr(Backward, "_advance", never)
    monkeypatch.setattr(wiring, "route", counting)
    state = to.opening(scene(run, "state", run.loss_names(), "W", listing=False))
    assert state.scene.listed.pending
    assert not routed
    text = lines(to.at(state, 10_000), (120, 30))
    assert " 5000 " in text[0]
    assert 0 < len(routed) < 1_000
    for cursor in (0, 10_000, 30_000, 60_000, state.scene.timeline.end):
        lines(to.at(state, cursor), (120, 30))


def test_a_run_of_10_000_steps_is_stepped_through(very_long: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        assert "steps ⋯" in screen(app)
        assert "being worked out" in screen(app)
        await pilot.press("n", "n")
        assert (app.state.cursor, app.state.node) == (2, "yhat1")
        await settled(app, pilot)
        assert not app.state.scene.listed.pending
        assert (app.state.cursor, app.state.node) == (2, "yhat1")
        assert "being worked out" not in screen(app)
        await press(app, pilot, "]", "]", "n")
        assert " 10000 " in screen(app)
        await press(app, pilot, "g", *"s5000", "enter")
        assert "s₅₀₀₀" in screen(app)
        assert screen(app).count("steps ⋯") == 2

    run = very_long
    drive(DebugApp(scene(run, "state", ["L10000"], "W", listing=False)), script)


def test_a_short_run_is_worked_out_before_it_opens(article: uz.Run) -> None:
    assert article.level().number_of_nodes() <= SMALL
    assert not scene(article, "state", ["L5"], "W", listing=False).listed.pending


def test_lighting_a_path_takes_no_sweep(article: uz.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scene(article, "state", article.loss_names(), "W")
    wanted = [path.nodes for path in article.paths(to="W")]

    def never(*args: object, **options: object) -> object:
        raise AssertionError("a sweep")

    monkeypatch.setattr("unrollviz.paths.pathset.sweep", never)
    assert [made.light(row).nodes for row in range(len(made.listed))] == wanted


def test_a_part_of_a_path_is_lit_as_far_as_it_goes(article: uz.Run) -> None:
    made = scene(article, "state", article.loss_names(), "W")
    lit = made.light_nodes(("L4", "yhat4", "s4"))
    assert lit.places == {made.layout.nodes[name] for name in ("L4", "yhat4", "s4")}
    assert lit.path is None
    whole_path = made.light_nodes(("L4", "yhat4", "s4", "W"))
    assert whole_path.places == lit.places | {made.layout.copies["W", "s4", 0]}
    assert made.light_nodes(("L4",)).places == {made.layout.nodes["L4"]}


@pytest.mark.parametrize("make", [gated, lambda: gated(bidirectional=True, layers=2)], ids=["lstm", "both directions"])
@pytest.mark.parametrize("detail", ["state", "op"])
def test_lines_are_the_same_worked_out_column_by_column(make: Callable[[], uz.Run], detail: str) -> None:
    graph = make().level(detail)
    where = layout(graph)
    wires = Wires(where, graph)
    wanted: dict[tuple[bool, int, int], int] = {}
    for edge in graph.edges(keys=True):
        for gap, row, column, sides in route(where, edge):
            wanted[gap, row, column] = wanted.get((gap, row, column), 0) | sides
    rails = {place.row for place in where.copies.values()}
    for column in range(len(where.times)):
        for row in range(len(where.rows)):
            if row not in rails:
                assert wires.gaps(column)[row] == wanted.get((True, row, column), 0)
                assert wires.marks(column)[row] == wanted.get((False, row, column), 0)


# ---- sizes and the mouse -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [(40, 15), (80, 24), (1, 1), (300, 100), pytest.param((160, 50), marks=pytest.mark.thorough)]
)
@pytest.mark.parametrize("steps", [1, 30])
def test_any_size_and_any_length(size: tuple[int, int], steps: int) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        for key in ("n", "f", "L", "J", "+", "]", "]", "n", "enter", "f", "pagedown", "H", "K", "end", "m", "m"):
            await press(app, pilot, key)
        assert all(cell_len(line) == size[0] for line in screen(app).splitlines())
        if size >= (80, 24):
            assert f"of {steps}" in screen(app)
            assert "─" in screen(app)

    drive(app_for(gated(steps), target="W_f"), script, size)


def test_the_gates_of_an_lstm_have_rows_of_their_own() -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        text = screen(app)
        for gate in "ofgi":
            assert re.search(rf" {gate} +gate ", text)
        await press(app, pilot, "end")
        assert "∂" in next(line for line in screen(app).splitlines() if re.search(r" c +state ", line))

    drive(app_for(gated(), target="W_f", detail="gate"), script, (160, 50))


def test_dragging_moves_the_picture_and_selects_nothing() -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        grid, node = app.query_one(Grid), app.state.node
        await pilot.mouse_down(Grid, offset=Offset(60, 6))
        await pilot.hover(Grid, offset=Offset(40, 6))
        assert grid.scroll_offset.x == 20
        await pilot.hover(Grid, offset=Offset(50, 6))
        await pilot.mouse_up(Grid, offset=Offset(50, 6))
        await pilot.hover(Grid, offset=Offset(90, 6))
        grid.post_message(events.Click(grid, 50, 6, 0, 0, 1, False, False, False, 50, 6))  # as terminals' drivers do
        await pilot.pause()
        assert grid.scroll_offset.x == 10
        assert app.state.node == node

    drive(app_for(long_run(40)), script)


def test_symbols_leave_room_for_marks() -> None:
    state = to.opening(scene(spelled(), "state", ["L11"], "W"))
    state = replace(to.at(state, state.scene.timeline.end), broken=frozenset(state.scene.layout.nodes))
    assert all(cell_len(line) <= 80 for line in lines(state, (80, 24)))
    assert row_of(state, "x", size=(80, 24)).count("!") > 3
