"""The path panel: every order, the filter, running sums, the waterfall, very many paths, and work that is stopped."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

import numpy as np
import pytest
from rich.cells import cell_len
from test_tui import acts, app_for, drive, long_run, press, screen
from textual.pilot import Pilot

import unrollviz as uz
from unrollviz.draw.text import percent
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.gradient import Total
from unrollviz.paths.pathset import PATH_LIMIT, PathSet
from unrollviz.tui import pathlist
from unrollviz.tui.app import DebugApp
from unrollviz.tui.filters import Filter, visiting
from unrollviz.tui.flowpanel import FlowPanel
from unrollviz.tui.listing import BLOCK, ORDERS, Wanted, listing, proved, share_before
from unrollviz.tui.look import palette
from unrollviz.tui.numbers import figure
from unrollviz.tui.pathlines import arrows
from unrollviz.tui.pathlist import PathList
from unrollviz.tui.prompt import Prompt
from unrollviz.tui.waterfall import Waterfall
from unrollviz.tui.work import Desk, Pulse, Stopped, Worked


def gated(steps: int, cell: str = "lstm") -> uz.Run:
    rng = np.random.default_rng(0)
    net = uz.Network.init(cell, inputs=4, hidden=3, outputs=4)
    return uz.unroll(net, rng.standard_normal((steps, 4)), rng.integers(0, 4, steps))


async def settle(app: DebugApp, pilot: Pilot[None]) -> None:
    """Wait until no panel is at work."""
    while app.state.busy or any(app.query_one(kind).desk.words for kind in (PathList, FlowPanel)):
        await pilot.pause(0.01)
    await pilot.pause()


async def at_paths(app: DebugApp, pilot: Pilot[None], *keys: str) -> PathList:
    """Go to the path panel, press keys there, and wait."""
    panel = app.query_one(PathList)
    panel.focus()
    await settle(app, pilot)
    for key in keys:
        await press(app, pilot, key)
        await settle(app, pilot)
    return panel


def silent(words: str) -> None:
    """A pulse that nobody hears."""


def broken(pulse: Pulse) -> object:
    """A mistake in the program."""
    raise IndexError


def rows_of(panel: PathList) -> list[tuple[int, int, float, float, float]]:
    found = [panel._figures(row) for row in range(len(panel.found or ()))]
    return [row for row in found if row is not None]


@acts("path_open", "path_order", "path_filter", "path_stop")
async def about_the_list(app: DebugApp, pilot: Pilot[None]) -> None:
    panel = await at_paths(app, pilot, "enter")
    assert panel.fall is not None
    await at_paths(app, pilot, "escape")
    assert panel.fall is None
    norms = [row[2] for row in rows_of(await at_paths(app, pilot, "a"))]
    assert norms == sorted(norms, reverse=True)
    await at_paths(app, pilot, "f", *"lag>2", "enter")
    assert len(rows_of(panel)) == 3
    await at_paths(app, pilot, "escape")
    assert len(rows_of(panel)) == 15


# ---- the list ------------------------------------------------------------------------------------------------------


def test_rows_and_their_running_sums_are_those_of_the_set(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_paths(app, pilot, "pageup", "pageup")
        table = article.paths(to="W").table()
        rows = rows_of(panel)
        assert [row[2] for row in rows] == table.norms.tolist()
        assert np.allclose([row[4] for row in rows], np.cumsum(table.shares))
        assert abs(rows[-1][4] - 1) < 1e-12
        text = screen(app)
        for share in table.shares[:4]:
            assert percent(float(share)) in text
        assert "15 paths in ∂L/∂W" in text
        assert "= reverse sweep ✓" in text
        assert "shares of ∂L/∂W" in text

    drive(app_for(article), script, (130, 100))


@pytest.mark.parametrize("times", range(1, 5))
def test_every_order(times: int, article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_paths(app, pilot, *"a" * times)
        order = list(ORDERS)[times % 4]
        table = article.paths(to="W").table()
        weight = {
            "place": -table.ranks,
            "norm": table.norms,
            "share": np.abs(table.shares),
            "lag": table.losses - table.entries,
        }[order]
        wanted = np.argsort(-weight, kind="stable")
        rows = rows_of(panel)
        assert [row[2] for row in rows] == table.norms[wanted].tolist()
        assert panel.row == 0
        assert app.state.lit.nodes == article.paths(to="W").nodes(int(wanted[0]))
        assert order == "place" or ORDERS[order] in screen(app)
        await at_paths(app, pilot, "down")
        assert app.state.lit.nodes == article.paths(to="W").nodes(int(wanted[1]))

    drive(app_for(article), script, (130, 100))


def test_rows_far_down_are_worked_out_when_seen_and_sum_up_all_before_them() -> None:
    run = long_run(60)

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_paths(app, pilot)
        assert set(panel._blocks) == {0}
        panel._light(1500)
        await settle(app, pilot)
        table = run.paths(to="W").table()
        figures = panel._figures(1500)
        assert set(panel._blocks) <= {0, 1500 // BLOCK - 1, 1500 // BLOCK, 1500 // BLOCK + 1}
        assert figures is not None
        assert figures[2] == pytest.approx(table.norms[1500], rel=1e-12)
        assert figures[4] == pytest.approx(table.shares[:1501].sum(), abs=1e-12)
        assert app.state.lit.nodes == run.paths(to="W").nodes(1500)

    drive(app_for(run), script)


def test_a_click_selects_what_is_under_it(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_paths(app, pilot, "a")
        await pilot.click(PathList, offset=(5, 1 + panel._above + 3))
        await pilot.pause()
        assert panel.row == app.state.lit.row == 3

    drive(app_for(article), script)


# ---- the filter ----------------------------------------------------------------------------------------------------

FILTERS: dict[str, Callable[[uz.Path], bool]] = {
    "s2": lambda path: "s2" in path.nodes,
    "!s2": lambda path: "s2" not in path.nodes,
    "s3 lag>1": lambda path: "s3" in path.nodes and path.lag > 1,
    "t=4": lambda path: path.loss == "L4",
    "L4": lambda path: path.loss == "L4",
    "k<=2 share<0": lambda path: path.entry <= 2 and path.share < 0,
    "lag=0": lambda path: path.lag == 0,
    "share>=5%": lambda path: path.share >= 0.05,
    "norm>0.1, t!=2": lambda path: path.norm > 0.1 and path.loss != "L2",
    "s* !s4": lambda path: "s4" not in path.nodes,
}


@pytest.mark.parametrize("words", FILTERS)
def test_the_filter_keeps_what_it_says(words: str, article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_paths(app, pilot, "f")
        assert isinstance(app.screen, Prompt)
        await pilot.press(*words.replace(" ", "\0").replace("\0", " "))
        await press(app, pilot, "enter")
        await settle(app, pilot)
        kept = [path for path in article.paths(to="W") if FILTERS[words](path)]
        assert kept
        rows = rows_of(panel)
        assert [(row[1], row[2], row[3]) for row in rows] == [
            (path.entry, pytest.approx(path.norm), pytest.approx(path.share)) for path in kept
        ]
        assert app.state.lit.nodes == kept[0].nodes
        assert f"{len(kept)} like {words}" in screen(app)
        assert f"together {percent(sum(path.share for path in kept))}" in screen(app)
        await at_paths(app, pilot, "escape")
        assert len(rows_of(panel)) == 15

    drive(app_for(article), script, (150, 50))


def test_a_filter_that_cannot_be_is_answered_where_it_is_typed(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await at_paths(app, pilot, "f")
        await pilot.press(*"s77", "enter")
        await pilot.pause()
        assert isinstance(app.screen, Prompt)
        assert "unknown node 's77'" in screen(app)
        await pilot.press("escape")
        await at_paths(app, pilot, "f", *"[b]x", "enter")
        assert "[b]x" in screen(app)
        await pilot.press("escape")
        await at_paths(app, pilot, "f", *"lag>9", "enter")
        assert "no path is like that" in screen(app)
        panel = app.query_one(PathList)
        assert panel.found is not None
        assert len(panel.found) == 0
        await at_paths(app, pilot, "down", "enter", "enter", "a")

    drive(app_for(article), script)


@pytest.mark.parametrize("words", ["lag>x", "lag>1.2.3", "lag>>2", "foo=3", "s9", "="])
def test_what_no_filter_can_mean_is_refused(words: str, article: uz.Run) -> None:
    with pytest.raises(UnrollvizError):
        Filter.read(words, article.level())


@pytest.mark.parametrize("detail", ["state", "gate", "op"])
@pytest.mark.parametrize("pattern", ["c2", "f*", "h1", "L3", "W_f", "x1"])
def test_visiting_is_what_walking_every_path_finds(detail: str, pattern: str) -> None:
    paths = gated(3).paths(to="W_f", detail=detail)
    graph = paths.graph
    found = visiting(graph, paths.losses, paths.target, [(pattern, True)])
    expression = re.compile(pattern.replace("*", ".*"))
    walked = [any(expression.fullmatch(name) for name in paths.nodes(rank)) for rank in range(paths.count)]
    assert found.tolist() == walked


def test_shares_before_a_rank_are_summed_without_walking() -> None:
    run = gated(3)
    for losses in (None, "L3"):
        paths, tree = run.paths(losses, "W_f", detail="gate"), run.tree(losses, "W_f", detail="gate")
        sums = np.concatenate([[0.0], np.cumsum(paths.table().shares)])
        found = [share_before(tree, rank) for rank in range(paths.count + 1)]
        assert np.allclose(found, sums, atol=1e-12)


def test_narrowed_by_loss_and_entry_it_is_the_cell_of_the_matrix() -> None:
    run = gated(4)
    paths, flow = run.paths(to="W_f", detail="gate"), run.flow("W_f", "temporal", detail="gate")
    assert len(flow.counts) == 10
    for label, count, share in zip(flow.labels.tolist(), flow.counts, flow.shares, strict=True):
        found = listing(paths, Wanted(words=f"t={label[0]} k={label[1]}"), silent)
        assert found.count == len(found) == count
        assert found.table is not None
        assert found.table.shares.sum() == pytest.approx(share, abs=1e-12)


def test_a_proof_that_does_not_hold_says_so(monkeypatch: pytest.MonkeyPatch, article: uz.Run) -> None:
    paths = article.paths(to="W")
    assert proved(paths, silent).holds
    paths.total = Total(paths.gradient * (1 + 1e-9), 0)
    assert not proved(paths, silent).holds


# ---- the waterfall -------------------------------------------------------------------------------------------------


def test_the_factors_of_the_selected_path(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_paths(app, pilot, "enter")
        path = article.paths(to="W").find(app.state.lit.nodes)
        assert panel.fall is not None
        assert panel.fall.path == path
        text = screen(app)
        for factor, norm in zip(path.factors, path.running_norms, strict=True):
            assert re.search(rf"{re.escape(factor.symbol)} +{re.escape(figure(norm))}", text)
        before = app.state.lit.nodes
        await at_paths(app, pilot, "up")
        assert app.state.lit.nodes != before
        assert panel.fall.path.nodes == app.state.lit.nodes
        await at_paths(app, pilot, "escape")
        assert "share" in screen(app)
        assert panel.fall is None

    drive(app_for(article), script, (130, 100))


def test_the_factors_are_those_of_the_scene_that_is_shown(article: uz.Run) -> None:
    """Another level of detail, or another loss, while the factors are open: they are worked out anew."""

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_paths(app, pilot, "enter")
        for keys in (("d",), ("l", *"L3", "enter"), ("o", *"U", "enter")):
            await press(app, pilot, *keys)
            await settle(app, pilot)
            assert panel.fall is not None
            assert panel.fall.path.nodes == app.state.lit.nodes
            assert f"{panel.fall.path.factors[1].symbol} " in screen(app)

    drive(app_for(article), script, (130, 60))


@pytest.mark.parametrize("width", [20, 40, 60, 120])
def test_a_waterfall_shows_where_it_shrinks_and_where_it_grows(width: int, article: uz.Run) -> None:
    path = max(article.paths("L5", "W"), key=lambda path: path.lag)
    fall = Waterfall(path)
    norms = path.running_norms
    assert np.prod(fall.changes) == pytest.approx(path.norm)
    for index in range(len(fall)):
        text = "".join(segment.text for segment in fall.line(index, width, palette(True)))
        before = norms[index - 1] if index else 1.0
        assert ("↓" if norms[index] < before else "↑") in text
        assert width < 40 or cell_len(text) <= width
    sizes = [fall.size(index) for index in range(len(fall))]
    assert sorted(range(len(fall)), key=lambda i: sizes[i]) == sorted(range(len(fall)), key=lambda i: norms[i])
    assert "shrinks it most" in fall.sentence()


# ---- very many paths -----------------------------------------------------------------------------------------------


def test_half_a_million_paths_are_proved_and_sorted() -> None:
    run = gated(9)
    count = run.paths(to="W_f", detail="gate").count
    assert count > 400_000

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_paths(app, pilot)
        assert f"{count:,} paths in ∂L/∂W_f" in screen(app)
        assert "= reverse sweep ✓" in screen(app)
        assert len(panel._blocks) <= 2
        panel._light(count - 1)
        await settle(app, pilot)
        figures = panel._figures(count - 1)
        assert figures is not None
        assert figures[4] == pytest.approx(1.0, abs=1e-9)
        assert len(panel._blocks) <= 4
        await at_paths(app, pilot, "a")
        heaviest = run.paths(to="W_f", detail="gate").top(3)
        assert [row[2] for row in rows_of(panel)[:3]] == pytest.approx([path.norm for path in heaviest])
        assert app.state.lit.nodes == heaviest[0].nodes

    drive(app_for(run, target="W_f", detail="gate"), script, (160, 50))


def test_of_more_paths_than_there_are_atoms_the_heaviest_are_listed_with_a_proof() -> None:
    run = gated(100)
    count = run.paths(to="W_f", detail="gate").count
    assert count > 10**60

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_paths(app, pilot)
        text = screen(app)
        assert f"{count:,} paths in ∂L/∂W_f" in text
        assert "the 100 heaviest by norm" in text
        assert "proved: no other is heavier" in text
        heaviest = run.paths(to="W_f", detail="gate").top(100)
        assert [row[2] for row in rows_of(panel)] == pytest.approx([path.norm for path in heaviest])
        assert f"together {percent(heaviest.coverage)}" in text
        assert app.state.lit.nodes == heaviest[0].nodes
        await at_paths(app, pilot, "a")
        assert "by share" in screen(app)
        await at_paths(app, pilot, "a")
        assert "too many to be sorted by lag" in " ".join(screen(app).split())
        await at_paths(app, pilot, "escape", "f", *"lag>3", "enter")
        assert "too many to be filtered" in " ".join(screen(app).split())

    drive(app_for(run, target="W_f", detail="gate"), script, (300, 60))


def test_in_order_so_many_are_listed_as_far_as_one_can_scroll() -> None:
    paths = gated(100).paths(to="W_f")
    found = listing(paths, Wanted(order="place"), silent)
    assert (len(found), found.count) == (PATH_LIMIT, paths.count)
    assert found.table is None


# ---- work in a thread ----------------------------------------------------------------------------------------------


def test_esc_stops_the_work_and_keys_are_answered_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    began, stopped = threading.Event(), threading.Event()

    def endless(whole: PathSet, wanted: Wanted, pulse: Pulse) -> object:
        try:
            while True:
                began.set()
                threading.Event().wait(0.005)
                pulse("counting sheep")
        except Stopped:
            stopped.set()
            raise

    run = gated(30)

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel = await at_paths(app, pilot)
        monkeypatch.setattr(pathlist, "listing", endless)
        await pilot.press("a")
        assert began.wait(5)
        while "counting sheep" not in screen(app):
            await pilot.pause(0.02)
        await pilot.press("n")
        assert app.state.cursor == 1
        await pilot.press("escape")
        assert not panel.desk.words
        assert stopped.wait(5)
        assert "stopped" in screen(app)

    drive(app_for(run, target="W_f"), script, (160, 50))


def test_an_answer_to_an_old_question_is_dropped(article: uz.Run) -> None:
    go_on = threading.Event()

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        panel, got = app.query_one(PathList), list[object]()
        desk = panel.desk

        def slow(pulse: Pulse) -> str:
            go_on.wait(10)
            return "old"

        desk.ask("kind", "one", slow, got.append)
        desk.ask("kind", "two", lambda pulse: "new", got.append)
        while not got:
            await pilot.pause(0.01)
        go_on.set()
        for _ in range(10):
            await pilot.pause(0.01)
        assert got == ["new"]
        desk.ask("kind", "three", broken, got.append)
        assert desk.words == "three"
        desk.stop()
        assert not desk.words
        assert not desk.take(Worked(next(iter([object()])), "stray", ended=True))  # type: ignore[arg-type]

    drive(app_for(article), script)


def test_trouble_in_a_thread_is_told_and_a_mistake_is_not_hidden(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        got = list[object]()
        desk = Desk(app.query_one(PathList))

        def refuse(pulse: Pulse) -> object:
            raise UnknownName("thing", "x", ["y"])

        taken: list[Worked] = []
        desk._post = taken.append  # type: ignore[method-assign]
        for work in (refuse, broken):
            desk.ask("kind", "…", work, got.append)
            while not taken:
                await pilot.pause(0.01)
            if work is refuse:
                assert desk.take(taken.pop())
                assert isinstance(got[0], UnknownName)
            else:
                with pytest.raises(IndexError):
                    desk.take(taken.pop())

    drive(app_for(article), script)


# ---- every size, one step ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (160, 50), (40, 15), (60, 16)])
def test_no_key_breaks_any_size(size: tuple[int, int], article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        keys = ["down", "pagedown", "a", "enter", "down", "pagedown", "escape", "a", "up", "m", "down", "m"]
        await at_paths(app, pilot, *keys)
        assert all(cell_len(line) == size[0] for line in screen(app).splitlines())

    drive(app_for(article), script, size)


@pytest.mark.parametrize("cell", ["elman", "lstm"])
def test_one_step_has_one_path(cell: str) -> None:
    run = gated(1, cell)
    target = "W" if cell == "elman" else "W_f"

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await at_paths(app, pilot, "a", "down", "up", "enter", "escape")
        assert f"1 path in ∂L₁/∂{target}" in screen(app)
        assert "= reverse sweep ✓" in screen(app)

    drive(app_for(run, target=target), script, (130, 100))


@pytest.mark.parametrize("width", [10, 30, 80])
def test_the_middle_of_a_long_path_is_left_out(width: int) -> None:
    nodes = ("L9", "yhat9", *(f"s{k}" for k in range(9, 0, -1)), "W")
    text = arrows(nodes, width)
    assert text.startswith("L₉ → ")
    assert text.endswith(" → W")
    assert cell_len(text) <= width or text.count("→") == 4
    assert arrows((), width) == ""
