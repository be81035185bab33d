"""The flow panel: the tree opened branch by branch, the tables, the matrix, and what they show of very many paths."""

from __future__ import annotations

import math
import re
import threading

import numpy as np
import pytest
from rich.cells import cell_len
from test_tui import acts, app_for, drive, long_run, press, screen
from test_tui_paths import gated, rows_of, settle, silent
from textual.pilot import Pilot

import unrollviz as uz
from unrollviz.draw.text import percent
from unrollviz.tui import flowpanel
from unrollviz.tui.apart import VIEWS, Apart, Matrix, apart
from unrollviz.tui.app import DebugApp
from unrollviz.tui.branches import LONGEST, Branches
from unrollviz.tui.flowpanel import FlowPanel
from unrollviz.tui.numbers import figure
from unrollviz.tui.pathlist import PathList
from unrollviz.tui.scene import scene
from unrollviz.tui.work import Pulse, Stopped

NAMES = list(VIEWS)


async def at_flow(app: DebugApp, pilot: Pilot[None], *keys: str) -> FlowPanel:
    """Go to the flow panel, press keys there, and wait."""
    panel = app.query_one(FlowPanel)
    panel.focus()
    await pilot.pause()
    await settle(app, pilot)
    for key in keys:
        await press(app, pilot, key)
        await settle(app, pilot)
    return panel


def tree_of(panel: FlowPanel) -> Branches:
    assert isinstance(panel.answer, Branches)
    return panel.answer


def shown_lines(app: DebugApp) -> list[str]:
    """The lines of the flow panel, without its border."""
    region = app.query_one(FlowPanel).content_region
    lines = screen(app).splitlines()[region.y : region.bottom]
    return [line[region.x : region.right] for line in lines]


@acts("flow_up", "flow_down", "flow_left", "flow_right", "flow_open", "flow_page_up", "flow_page_down")
async def about_the_tree(app: DebugApp, pilot: Pilot[None]) -> None:
    panel = await at_flow(app, pilot, "down", "enter")
    assert panel.place[0] == 1
    assert tree_of(panel).lines[1].opened
    await at_flow(app, pilot, "left")
    assert not tree_of(panel).lines[1].opened
    await at_flow(app, pilot, "right")
    assert tree_of(panel).lines[1].opened
    await at_flow(app, pilot, "up")
    assert panel.place[0] == 0
    await at_flow(app, pilot, *["pagedown"] * 9)
    assert panel.place[0] == len(tree_of(panel)) - 1
    await at_flow(app, pilot, *["pageup"] * 9)
    assert panel.place[0] == 0


@acts("flow_view", "flow_view_back", "flow_list", "flow_stop")
async def about_the_views(app: DebugApp, pilot: Pilot[None]) -> None:
    panel = await at_flow(app, pilot, "a")
    assert isinstance(panel.answer, Apart)
    assert app.state.view == "lag"
    await at_flow(app, pilot, "escape")
    assert not panel.desk.words
    await at_flow(app, pilot, "down", "space")
    assert app.state.wanted.words == "lag=1"
    assert [row[0] - row[1] for row in rows_of(app.query_one(PathList))] == [1] * 4
    await at_flow(app, pilot, "A")
    assert app.state.view == "tree"


# ---- the tree ------------------------------------------------------------------------------------------------------


def test_the_root_and_its_branches_are_exact(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_flow(app, pilot)
        flow = article.flow("W", "loss")
        lines = shown_lines(app)
        assert re.search(r"▶\+100\.0 %.* 15  ▾ L", lines[1])
        for label, count, norm, share in zip(flow.labels[:, 0], flow.counts, flow.norms, flow.shares, strict=True):
            sign = "₀₁₂₃₄₅"[label]
            found = next(line for line in lines if f" L{sign} → ŷ{sign} → s{sign}" in line)
            assert re.search(
                rf"{re.escape(percent(float(share)))} .*{re.escape(figure(float(norm)))} +{count}  ", found
            )
        shares = [abs(line.first.share) for line in tree_of(panel).lines[1:]]
        assert shares == sorted(shares, reverse=True)
        assert "15 paths, share +100.0 %" in screen(app)
        assert f"norm {figure(flow.total_norm)}" in screen(app)

    drive(app_for(article), script, (150, 100))


def test_branches_open_and_close_and_are_lit(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_flow(app, pilot, "down", "enter")
        tree = tree_of(panel)
        branch = tree.lines[1]
        assert branch.opened
        assert app.state.lit.nodes == branch.chain[-1].nodes
        assert app.state.lit.places
        below = tree.lines[2 : 2 + len(branch.below)]
        assert {line.depth for line in below} == {2}
        assert sum(line.first.count for line in below) == branch.first.count
        assert math.isclose(sum(line.first.share for line in below), branch.first.share)
        await at_flow(app, pilot, "right")
        assert panel.place[0] == 2
        assert app.state.lit.nodes == below[0].chain[-1].nodes
        await at_flow(app, pilot, "left")
        assert panel.place[0] == 1
        assert branch.opened
        await at_flow(app, pilot, "left")
        assert not branch.opened
        assert len(tree) == 6
        await at_flow(app, pilot, "left", "left")
        assert panel.place[0] == 0
        assert len(tree) == 1
        await at_flow(app, pilot, "right", "right", "pagedown")
        assert panel.place[0] == 5
        await at_flow(app, pilot, "pageup", "up")
        assert panel.place[0] == 0

    drive(app_for(article), script, (150, 100))


@pytest.mark.parametrize("detail", ["state", "gate"])
def test_all_opened_the_leaves_are_all_paths(detail: str) -> None:
    run = gated(3)
    tree = Branches(run.tree(None, "W_f", detail=detail))
    row = 0
    while row < len(tree):
        tree.open(row)
        row += 1
    leaves = [line for line in tree.lines if not line.below]
    paths = run.paths(to="W_f", detail=detail)
    assert len(leaves) == paths.count
    assert {line.chain[-1].nodes for line in leaves} == {path.nodes for path in paths}
    assert [tree.parent(row) for row, line in enumerate(tree.lines) if line.depth == 1] == [0] * 3
    for row, line in enumerate(tree.lines):
        assert line.above is None or tree.lines[tree.parent(row)] is line.above
        assert cell_len(tree.words(row, 30)) < 60
    assert tree.close(0)
    assert len(tree) == 1
    assert not tree.close(0)


def test_a_branch_is_listed_as_its_paths() -> None:
    run = gated(9)

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_flow(app, pilot, "down", "right", "down", "right", "down")
        prefix = tree_of(panel).lines[3].chain[-1]
        assert prefix.count > 1
        await at_flow(app, pilot, "space")
        paths = app.query_one(PathList)
        assert app.focused is paths
        assert paths.found is not None
        assert paths.found.count == prefix.count
        last = len(paths.found) - 1
        paths._light(last)
        await settle(app, pilot)
        figures = paths._figures(last)
        assert figures is not None
        assert figures[4] == pytest.approx(prefix.share, abs=1e-12)
        assert app.state.lit.nodes[: len(prefix.nodes)] == prefix.nodes
        await press(app, pilot, "a")
        await settle(app, pilot)
        assert sum(row[3] for row in rows_of(paths)) == pytest.approx(prefix.share, abs=1e-12)
        await press(app, pilot, "escape")
        await settle(app, pilot)
        assert paths.found is not None
        assert paths.found.count == run.paths(to="W_f", detail="gate").count

    drive(app_for(run, target="W_f", detail="gate"), script, (150, 60))


def test_ten_to_the_sixty_paths_are_counted_and_opened() -> None:
    run = gated(100)
    count = run.paths(to="W_f", detail="gate").count

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_flow(app, pilot)
        assert f"{count:,} paths, share +100.0 %" in screen(app)
        await at_flow(app, pilot, *["right"] * 12)
        tree = tree_of(panel)
        assert tree.lines[panel.place[0]].depth >= 3
        row = panel.place[0]
        while row:
            above = tree.parent(row)
            branch = tree.lines[above]
            assert sum(prefix.count for prefix in branch.below) == branch.first.count
            row = above
        seen = [line for line in tree.lines[: panel._room] if line.norm is not None]
        assert len(seen) >= min(panel._room, len(tree)) - 1
        await at_flow(app, pilot, "space")
        paths = app.query_one(PathList)
        assert paths.found is not None
        assert paths.found.count == tree.lines[panel.place[0]].first.count

    drive(app_for(run, target="W_f", detail="gate"), script, (300, 60))


def test_of_a_thousand_branches_only_those_in_sight_are_looked_at() -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_flow(app, pilot)
        tree = tree_of(panel)
        assert len(tree) == 801
        assert sum(bool(line._chain) for line in tree.lines) <= 2 * panel._room + 2
        await at_flow(app, pilot, *["pagedown"] * 4)
        assert sum(bool(line._chain) for line in tree.lines) <= 8 * panel._room
        assert panel.place[0] == 4 * (panel._room - 1)

    drive(app_for(long_run(800)), script, (120, 60))


def test_a_long_way_without_a_choice_is_cut() -> None:
    run = long_run(40)
    tree = Branches(run.tree("L40", "x1"))
    assert len(tree.lines[0].chain) == LONGEST
    assert [line.first.count for line in tree.lines] == [1, 1]


# ---- the tables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["lag", "loss", "entry", "route"])
def test_tables_show_the_flow(by: str) -> None:
    run = gated(5)

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_flow(app, pilot, *"a" * NAMES.index(by))
        flow = run.flow("W_f", by)
        found = panel.answer
        assert isinstance(found, Apart)
        assert VIEWS[by] in screen(app)
        figures = [found.figures(row) for row in range(len(found))]
        assert sorted(row[0] for row in figures) == pytest.approx(sorted(flow.norms))
        assert figures[-1][2] == pytest.approx(1.0)
        lines = shown_lines(app)[1:]
        for row, line in list(enumerate(lines))[: len(found)]:
            norm, share, running = figures[row]
            for words in (figure(norm), percent(share), percent(running), found.count(row), found.label(row)):
                assert words in line
        assert f"‖{figure(flow.total_norm)}‖, {sum(flow.counts):,} paths" in screen(app)
        if by != "route":
            assert [int(found.flow.labels[at, 0]) for at in found.order] == flow.labels[:, 0].tolist()

    drive(app_for(run, target="W_f"), script, (200, 100))


def test_a_row_is_listed_as_its_paths(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await at_flow(app, pilot, "a", "down", "down", "enter")
        paths = app.query_one(PathList)
        assert app.state.wanted.words == "lag=2"
        assert [row[0] - row[1] for row in rows_of(paths)] == [2, 2, 2]
        await at_flow(app, pilot, "a", "a", "a", "enter")
        assert app.state.view == "route"
        assert app.state.wanted.words == "lag=2"
        await at_flow(app, pilot, "A")
        assert app.state.view == "entry"

    drive(app_for(article), script, (150, 60))


def test_routes_that_would_be_too_many_are_told_apart_more_coarsely() -> None:
    run = gated(30)
    found = apart(scene(run, "state", run.loss_names(), "W_f"), "route", silent)
    assert isinstance(found, Apart)
    assert found.flow.columns == ("weights", "highway")
    shares = np.abs(found.flow.shares[found.order])
    assert (np.diff(shares) <= 0).all()
    short = gated(4)
    found = apart(scene(short, "state", short.loss_names(), "W_f"), "route", silent)
    assert isinstance(found, Apart)
    assert len(found.flow.columns) == 5
    assert found.label(int(np.argmin(found.flow.labels[found.order].sum(axis=1)))) == "none of them"


# ---- the matrix ----------------------------------------------------------------------------------------------------


def test_the_matrix_shows_signs_and_sizes_and_opens_its_cells(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_flow(app, pilot, "A")
        assert app.state.view == "temporal"
        flow, found = article.flow("W", "temporal"), panel.answer
        assert isinstance(found, Matrix)
        assert len(found.times) == len(found.entries) == 5
        lines = shown_lines(app)[1:6]
        for label, norm, share in zip(flow.labels.tolist(), flow.norms, flow.shares, strict=True):
            cell = lines[label[0] - 1][8 + 3 * (label[1] - 1) :][:3]
            assert cell[1] == ("-" if share < 0 else "+")
            assert (cell[2] == "9") == (norm >= flow.norms.max() * (flow.norms.min() / flow.norms.max()) ** 0.1)
        assert lines[0][11:].strip() == ""
        await at_flow(app, pilot, "down", "down", "down", "right")
        at = flow.labels.tolist().index([4, 2])
        assert f"M[4,2]: norm {figure(float(flow.norms[at]))}, share {percent(float(flow.shares[at]))}" in screen(app)
        await at_flow(app, pilot, "enter")
        paths = app.query_one(PathList)
        assert app.focused is paths
        assert [(row[0], row[1]) for row in rows_of(paths)] == [(4, 2)]
        await at_flow(app, pilot, "left", "up", "up", "up", "right", "right")
        assert "M[1,3]: no path" in screen(app)

    drive(app_for(article), script, (150, 60))


def test_a_cell_of_ten_to_the_forty_paths_is_opened() -> None:
    run = gated(80)

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_flow(app, pilot, "A")
        matrix = panel.answer
        assert isinstance(matrix, Matrix)
        panel._select(79, 3)
        row, column = panel.place
        count = matrix.flow.counts[int(matrix.rows[row, column])]
        assert count > 10**30
        await at_flow(app, pilot, "enter")
        paths = app.query_one(PathList)
        assert paths.found is not None
        assert paths.found.heaviest is not None
        assert paths.found.count == count
        assert {(r[0], r[1]) for r in rows_of(paths)} == {(int(matrix.times[row]), int(matrix.entries[column]))}

    drive(app_for(run, target="W_f"), script, (150, 60))


def test_the_matrix_scrolls_with_its_cell() -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_flow(app, pilot, "A", "pagedown")
        panel._select(39, 34)
        await at_flow(app, pilot, "right")
        assert panel.scroll_offset.x > 0
        assert panel.scroll_offset.y > 0
        assert "M[40,36]" in screen(app)
        assert "▼" in shown_lines(app)[0]
        assert any("▸" in line for line in shown_lines(app))

    drive(app_for(long_run(40)), script, (100, 30))


# ---- work in a thread, every size ----------------------------------------------------------------------------------


def test_esc_stops_taking_apart(monkeypatch: pytest.MonkeyPatch, article: uz.Run) -> None:
    stopped = threading.Event()

    def endless(*arguments: object) -> object:
        pulse: Pulse = arguments[2]  # type: ignore[assignment]
        try:
            while True:
                threading.Event().wait(0.005)
                pulse("shelling peas")
        except Stopped:
            stopped.set()
            raise

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_flow(app, pilot)
        monkeypatch.setattr(flowpanel, "apart", endless)
        await pilot.press("a")
        while "shelling peas" not in screen(app):
            await pilot.pause(0.02)
        await pilot.press("n")
        assert app.state.cursor == 1
        await pilot.press("escape")
        assert not panel.desk.words
        assert stopped.wait(5)
        await pilot.press("A")
        await settle(app, pilot)
        assert "▾ L" in screen(app)

    drive(app_for(article), script, (150, 60))


def test_another_question_is_answered_anew(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_flow(app, pilot, "a")
        await press(app, pilot, "o", "V", "enter")
        await at_flow(app, pilot)
        assert "flow · ∂L/∂V by lag" in screen(app)
        assert isinstance(panel.answer, Apart)
        assert panel.answer.flow.target == "V"
        await press(app, pilot, "l", *"l4", "enter")
        await at_flow(app, pilot, "A")
        assert "flow · ∂L₄/∂V as a tree" in screen(app)
        assert tree_of(panel).tree.losses == ("L4",)

    drive(app_for(article), script, (150, 60))


@pytest.mark.parametrize(
    "size", [(80, 24), (40, 15), *(pytest.param(size, marks=pytest.mark.thorough) for size in ((160, 50), (60, 16)))]
)
def test_no_key_breaks_any_size(size: tuple[int, int], article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        for _ in NAMES:
            await at_flow(app, pilot, "right", "pagedown", "space", "m")
            assert all(cell_len(line) == size[0] for line in screen(app).splitlines())
            await at_flow(app, pilot, "a")

    drive(app_for(article), script, size)


@pytest.mark.parametrize("cell", ["elman", "gru"])
def test_one_step_in_every_view(cell: str) -> None:
    run = gated(1, cell)
    target = "W" if cell == "elman" else "W_n"

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        for _ in NAMES:
            panel = await at_flow(app, pilot, "down", "right", "enter")
            assert panel.answer is not None
            assert not panel.trouble
            await at_flow(app, pilot, "a")

    drive(app_for(run, target=target), script, (130, 60))


def test_a_gradient_that_is_not_finite_is_told() -> None:
    net = uz.Network.init(inputs=1, hidden=1, outputs=2, activation="identity")
    net = net.replace(U=np.array([[1.0]]), W=np.array([[1e80]]), b=np.zeros(1), V=np.array([[1.0], [-1.0]]))
    run = uz.unroll(net, [[1e-300]] + [[0.0]] * 5, [1] * 6)

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        for _ in NAMES:
            await at_flow(app, pilot, "down", "right", "enter", "space")
            assert "not finite" in " ".join(shown_lines(app))
            await at_flow(app, pilot, "a")

    drive(app_for(run), script, (150, 60))
