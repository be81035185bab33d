"""The screen: every key of the table, hostile data, small terminals, signals, and a few pictures."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import select
import signal
import struct
import subprocess
import sys
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from textual import events
from textual.geometry import Offset
from textual.pilot import Pilot

import unrollviz as uz
from unrollviz.draw.layout import Place, layout
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.graph import levels_of
from unrollviz.tui import paint
from unrollviz.tui import state as to
from unrollviz.tui.actions import ACTIONS, BY_NAME, FIRST
from unrollviz.tui.app import DebugApp, check_terminal, debug
from unrollviz.tui.bars import KeyBar
from unrollviz.tui.geometry import geometry
from unrollviz.tui.grid import Grid
from unrollviz.tui.help import Help, help_text
from unrollviz.tui.inspector import Inspector
from unrollviz.tui.look import palette
from unrollviz.tui.numbers import figure, table
from unrollviz.tui.pathlist import PathList
from unrollviz.tui.report import report
from unrollviz.tui.scene import scene
from unrollviz.tui.symbols import shown
from unrollviz.tui.view import PANELS
from unrollviz.tui.window import SMALLEST
from unrollviz.tui.wires import DOWN, LEFT, RIGHT, UP, Wires, route

SNAPSHOTS = Path(__file__).parent / "snapshots"


def app_for(run: uz.Run, losses: str | None = None, target: str = "W", detail: str = "state") -> DebugApp:
    return DebugApp(scene(run, detail, run.loss_names(losses), target))


def drive(
    app: DebugApp, script: Callable[[DebugApp, Pilot[None]], Awaitable[None]], size: tuple[int, int] = (110, 36)
) -> None:
    """Run `app` without a terminal, and the script against it."""

    async def main() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await script(app, pilot)

    asyncio.run(main())


async def press(app: DebugApp, pilot: Pilot[None], *keys: str) -> None:
    """Press keys, and wait until what they ask for is worked out and drawn."""
    await pilot.press(*keys)
    await settled(app, pilot)


async def settled(app: DebugApp, pilot: Pilot[None]) -> None:
    while app.state.busy:
        await pilot.pause()
    await pilot.pause()


def screen(app: DebugApp) -> str:
    """What is to be read on the screen."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def long_run(steps: int, units: int = 3) -> uz.Run:
    rng = np.random.default_rng(0)
    net = uz.Network.init(inputs=4, hidden=units, outputs=4)
    return uz.unroll(net, rng.standard_normal((steps, 4)), rng.integers(0, 4, steps))


def spelled(text: str = "hello, world") -> uz.Run:
    letters = uz.spell(text)
    net = uz.Network.init(inputs=len(letters.vocabulary), hidden=8, outputs=len(letters.vocabulary))
    return uz.unroll(net, letters.xs, letters.targets, vocabulary=letters.vocabulary)


# ---- every action of the table -------------------------------------------------------------------------------------

Script = Callable[[DebugApp, Pilot[None]], Awaitable[None]]
SCRIPTS: dict[str, Script] = {}


def acts(*names: str) -> Callable[[Script], Script]:
    """The test of these actions."""

    def remember(script: Script) -> Script:
        SCRIPTS.update(dict.fromkeys(names, script))
        return script

    return remember


@acts("next", "previous")
async def by_event(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "n", "n", "n")
    assert app.state.cursor == 3
    assert app.state.node == "s2"
    assert "s₂ = tanh(U x₂ + W s₁ + b)" in screen(app)
    await press(app, pilot, "p", "p", "p", "p")
    assert app.state.cursor == 0
    assert "this is the start" in screen(app)


@acts("next_step", "previous_step")
async def by_step(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "N", "N")
    assert app.state.cursor == 4
    assert app.state.now.event is not None
    assert app.state.now.event.time == 2
    await press(app, pilot, "P")
    assert app.state.cursor == 2


@acts("next_phase", "previous_phase")
async def by_phase(app: DebugApp, pilot: Pilot[None]) -> None:
    reached = []
    for _ in range(4):
        await press(app, pilot, "]")
        reached.append((app.state.cursor, app.state.now.phase))
    assert reached == [(10, "forward"), (15, "loss"), (60, "backward"), (65, "sum")]
    await press(app, pilot, "[", "[")
    assert app.state.cursor == 15


@acts("run_on", "run_back")
async def to_the_selected_node(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "g", *"s3", "enter", "r")
    assert app.state.cursor == app.state.scene.timeline.computed_at["s3"]
    await press(app, pilot, "r")
    assert "∂L/∂s₃ += ∂L/∂s₄ · ∂s₄/∂s₃" in screen(app)
    await press(app, pilot, "r", "r")
    assert "nothing happens to s₃ after this" in screen(app)
    await press(app, pilot, "R", "R", "R")
    assert "nothing happens to s₃ before this" in screen(app)
    assert app.state.cursor == app.state.scene.timeline.computed_at["s3"]


@acts("start", "end")
async def to_an_end(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "end")
    assert app.state.cursor == app.state.scene.timeline.end
    assert "is complete: 5 contributions added up" in screen(app)
    await press(app, pilot, "home")
    assert app.state.cursor == 0


@acts("left", "right", "up", "down")
async def around_the_graph(app: DebugApp, pilot: Pilot[None]) -> None:
    assert app.state.node == "s1"
    await press(app, pilot, "right", "right")
    assert app.state.node == "s3"
    await press(app, pilot, "up", "up", "up", "up")
    assert app.state.node == "L3"
    await press(app, pilot, "up")
    assert app.state.node == "L3"
    await press(app, pilot, "down", "down")
    assert (app.state.node, app.state.spot.column) == ("c", 4)
    await press(app, pilot, "left", "left", "left")
    assert (app.state.node, app.state.spot.column) == ("c", 0)
    await press(app, pilot, "down", "down", "left", "left", "left")
    assert app.state.node == "s0"
    assert app.state.cursor == 0


@acts("scroll_back", "scroll_on")
async def through_time(app: DebugApp, pilot: Pilot[None]) -> None:
    grid = app.query_one(Grid)
    app.become(to.shown(app.state, scene(spelled(), "state", ["L11"], "W")))
    await pilot.resize_terminal(64, 24)
    await press(app, pilot, "pagedown")
    assert grid.scroll_offset.x > 0
    assert app.state.node == "s1"
    await press(app, pilot, "pageup")
    assert grid.scroll_offset.x == 0


@acts("go_to")
async def by_name(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "g", *"yhat9", "enter")
    assert "unknown node 'yhat9'; did you mean yhat" in screen(app)
    await press(app, pilot, "backspace", "2", "enter")
    assert app.state.node == "yhat2"
    before = app.state
    await press(app, pilot, "g", "escape")
    assert app.state is before
    await press(app, pilot, "g", *"23", "enter")
    assert app.state.cursor == 23
    await press(app, pilot, "g", *"t=3", "enter")
    assert app.state.now.event is not None
    assert (app.state.now.phase, app.state.now.event.time) == ("backward", 3)
    await press(app, pilot, "g", *"66", "enter")
    assert "there is no event 66; they go from 0 to 65" in screen(app)


@acts("scroll_up", "scroll_down", "page_up", "page_down")
async def through_the_inspector(app: DebugApp, pilot: Pilot[None]) -> None:
    await pilot.resize_terminal(80, 20)
    await press(app, pilot, "end", "tab")
    inspector = app.query_one(Inspector)
    assert app.focused is inspector
    await press(app, pilot, "down", "down")
    assert inspector.scroll_offset.y == 2
    await press(app, pilot, "up")
    assert inspector.scroll_offset.y == 1
    await press(app, pilot, "pagedown")
    assert inspector.scroll_offset.y == inspector.max_scroll_y > 1
    await press(app, pilot, "pageup", "pageup")
    assert inspector.scroll_offset.y == 0
    assert app.state.cursor == app.state.scene.timeline.end


@acts("path_up", "path_down", "path_page_up", "path_page_down", "focus_next", "focus_previous")
async def through_the_paths(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "tab", "tab")
    assert app.focused is app.query_one(PathList)
    await press(app, pilot, "pageup", "pageup")
    assert app.state.lit.row == 0
    await press(app, pilot, "down", "down")
    assert app.state.lit.path is not None
    assert app.state.lit.path.nodes == ("L2", "yhat2", "s2", "s1", "W")
    await press(app, pilot, "up")
    assert app.state.lit.row == 1
    await press(app, pilot, "pagedown", "pagedown", "pagedown")
    assert app.state.lit.row == 14
    await press(app, pilot, "shift+tab", "shift+tab")
    assert app.focused is app.query_one(Grid)
    await press(app, pilot, "down")
    assert app.state.lit.row == 14


@acts("choose_loss")
async def one_loss(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "]", "]", "n", "l", *"l4", "enter")
    assert app.state.scene.losses == ("L4",)
    assert "4 paths in ∂L₄/∂W" in screen(app)
    assert app.state.now.phase == "backward"
    await press(app, pilot, "l", "up", "up", "up", "up", "enter")
    assert len(app.state.scene.losses) == 5
    await press(app, pilot, "l", "down", "down", "enter")
    assert app.state.scene.losses == ("L2",)


@acts("choose_parameter")
async def another_parameter(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "n", "n", "o", *"V", "enter")
    assert app.state.scene.target == "V"
    assert app.state.cursor == 2
    assert "5 paths in ∂L/∂V" in screen(app)


@acts("detail")
async def level_of_detail(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "n", "d")
    assert app.state.scene.detail == "op"
    assert app.state.node == "s1"
    assert "s₁ = tanh(a₁)" in screen(app)
    for _ in range(len(levels_of(app.state.scene.run.graph)) - 1):
        await press(app, pilot, "d")
    assert app.state.scene.detail == "state"
    assert app.state.cursor == 1


@acts("light")
async def dark_or_light(app: DebugApp, pilot: Pilot[None]) -> None:
    dark = app.current_theme.dark
    await press(app, pilot, "t")
    assert app.current_theme.dark is not dark
    await press(app, pilot, "t")
    assert app.current_theme.dark is dark


@acts("help")
async def the_help(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "?")
    assert isinstance(app.screen, Help)
    assert "next event" in screen(app)
    await press(app, pilot, "n")
    assert app.state.cursor == 0
    await press(app, pilot, "?")
    assert not isinstance(app.screen, Help)


@acts("quit")
async def leaving(app: DebugApp, pilot: Pilot[None]) -> None:
    await pilot.press("q")
    assert app.return_code == 0


@acts("interrupt")
async def interrupting(app: DebugApp, pilot: Pilot[None]) -> None:
    await pilot.press("ctrl+c")
    assert app.return_code == 130


def test_every_action_has_a_test() -> None:
    """Here, or in the file of the panel that it belongs to."""
    for path in Path(__file__).parent.glob("test_tui_*.py"):
        importlib.import_module(path.stem)
    assert set(SCRIPTS) == set(BY_NAME)


@pytest.mark.parametrize("script", list(dict.fromkeys(SCRIPTS.values())), ids=lambda script: script.__name__)
def test_action(script: Script, article: uz.Run) -> None:
    drive(app_for(article), script)


def test_no_two_actions_share_a_key() -> None:
    for panel in PANELS:
        keys = [action.key for action in ACTIONS if action.panel in ("", panel) and action.name not in FIRST]
        assert len(keys) == len(set(keys))


def test_help_names_every_key() -> None:
    text = help_text(palette(True)).plain
    for action in ACTIONS:
        assert f" {action.key}  {action.help}" in text


@pytest.mark.parametrize("width", [SMALLEST[0], 80, 200])
def test_the_line_of_keys_always_tells_how_to_leave(width: int, article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        line = app.query_one(KeyBar).render()
        assert cell_len(line.plain) == width
        assert line.plain.endswith("? help  q quit ")
        assert " n p event " in line.plain

    drive(app_for(article), script, (width, 24))


# ---- mouse, sizes, opening -----------------------------------------------------------------------------------------


def test_a_click_selects_a_node_or_a_path(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        for line, text in enumerate(screen(app).splitlines()):
            if " s state" in text:
                x = [match.start() for match in re.finditer("[░○]", text)][3]
                await pilot.click(offset=Offset(x, line))
                break
        await pilot.pause()
        assert app.state.node == "s3"
        await pilot.click(Grid, offset=Offset(2, 1))
        assert app.state.node == "s3"
        paths = app.query_one(PathList)
        row = 5 - 1 - paths._above + paths.scroll_offset.y
        await pilot.click(PathList, offset=Offset(5, 5))
        await pilot.pause()
        assert app.state.lit.row == row

    drive(app_for(article), script)


def test_the_wheel_goes_through_time_where_all_rows_are_seen() -> None:
    def turn(grid: Grid, kind: type[events.MouseEvent]) -> None:
        grid.post_message(kind(grid, 5, 5, 0, 1, 0, False, False, False, 5, 5))

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        grid = app.query_one(Grid)
        turn(grid, events.MouseScrollDown)
        turn(grid, events.MouseScrollDown)
        await pilot.pause()
        assert grid.scroll_offset.x == 2 * grid.fitted.width
        turn(grid, events.MouseScrollUp)
        await pilot.pause()
        assert grid.scroll_offset.x == grid.fitted.width
        assert grid.scroll_offset.y == 0

    drive(app_for(long_run(40)), script)


def test_opening_shows_the_graph_what_comes_and_the_paths(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        text = screen(app)
        assert "next: s₁ = tanh(U x₁ + W s₀ + b)" in text
        assert "15 paths in ∂L/∂W" in text
        assert "= reverse sweep ✓" in text
        assert "0 of 2 in" in text
        assert text.split("╰")[0].count("░") == 15
        assert app.focused is app.query_one(Grid)
        assert app.state.lit.path is not None
        assert app.state.lit.path.lag > 0

    drive(app_for(article), script)


def test_the_inspector_tells_the_gradient_so_far(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "g", *"s4", "enter", "r", "r")
        text = screen(app)
        value = app.state.now.cotangent("s4")
        assert value is not None
        assert "so far" in text
        assert "1 of 2 contributions in" in text
        assert f"{value[0, 0]:.4f}" in text
        await press(app, pilot, "r")
        assert "2 of 2 contributions in" in screen(app)
        assert "so far" not in screen(app).split("╭")[2]

    drive(app_for(article), script, (130, 36))


@pytest.mark.parametrize("size", [(80, 24), (60, 16), (200, 60)])
def test_everything_is_seen_at_every_size(size: tuple[int, int], article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "]", "]", "n")
        text = screen(app)
        assert "∂L/∂ŷ₅ = ∂L/∂L₅ · ∂L₅/∂ŷ₅" in text
        assert "15 paths" in text
        assert "ŷ₅ = softmax(V s₅ + c)" in text
        assert "[◐]∂" in text
        assert all(cell_len(line) == size[0] for line in text.splitlines())

    drive(app_for(article), script, size)


def test_too_small_a_terminal_says_so_and_only_lets_one_leave(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        assert "The debugger needs 40 × 12" in " ".join(screen(app).split())
        await press(app, pilot, "n", "?", "l")
        assert app.state.cursor == 0
        assert len(app.screen_stack) == 1
        await pilot.resize_terminal(80, 24)
        await press(app, pilot, "n")
        assert app.state.cursor == 1
        assert "s₁ = tanh" in screen(app)
        await pilot.resize_terminal(80, 10)
        await pilot.press("q")
        assert app.return_code == 0

    drive(app_for(article), script, (39, 24))


def test_a_storm_of_resizes_is_weathered() -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        rng = np.random.default_rng(0)
        await press(app, pilot, "n")
        for _ in range(12):
            await pilot.resize_terminal(int(rng.integers(1, 300)), int(rng.integers(1, 90)))
            await pilot.press(str(rng.choice(["n", "N", "]", "tab", "down", "right", "pagedown"])))
        await pilot.resize_terminal(1, 1)
        await pilot.resize_terminal(100, 30)
        await press(app, pilot, "home")
        assert "nothing has happened yet" in screen(app)

    drive(app_for(spelled()), script)


# ---- long runs -----------------------------------------------------------------------------------------------------


def test_only_what_is_seen_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    run = long_run(300)
    drawn: list[tuple[int, int]] = []
    cell = paint.Painter._cell

    def counting(self: paint.Painter, row: int, column: int) -> object:
        drawn.append((row, column))
        return cell(self, row, column)

    monkeypatch.setattr(paint.Painter, "_cell", counting)

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        grid = app.query_one(Grid)
        await press(app, pilot, "]")
        drawn.clear()
        grid.refresh()
        await pilot.pause()
        columns = {column for _, column in drawn}
        assert 300 in {app.state.scene.layout.times[column] for column in columns}
        assert len(columns) <= 110 // grid.fitted.width + 2
        assert grid.virtual_size.width > 2000

    drive(app_for(run), script)


def test_the_current_node_is_always_in_sight() -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        for keys in (["]"], ["]", "n"], ["["], ["end"], ["P"], ["home"], ["N", "N", "N"], ["g", *"s77", "enter"]):
            await press(app, pilot, *keys)
            place = app.state.spot
            grid = app.query_one(Grid)
            seen = grid.fitted.visible(grid.scroll_offset.x, grid.scrollable_content_region.width)
            assert place.column == 0 or place.column in seen
            label = screen(app).splitlines()[2]
            step = app.state.scene.layout.times[place.column]
            if step is not None:
                first, last = map(int, re.findall(r"steps ([\d,]+) to ([\d,]+)", label)[0])
                assert first <= step <= last

    drive(app_for(long_run(120)), script, (80, 24))


def test_the_selected_path_is_brought_into_sight() -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        app.become(to.listed(app.state, 30 * 29 // 2 + 24))
        await press(app, pilot, "]", "tab", "tab", "down")
        grid = app.query_one(Grid)
        seen = grid.fitted.visible(grid.scroll_offset.x, grid.scrollable_content_region.width)
        assert app.state.lit.path is not None
        assert (app.state.lit.path.loss, app.state.lit.path.lag) == ("L30", 25)
        assert min(place.column for place in app.state.lit.places) in seen
        paths = app.query_one(PathList)
        assert 0 <= app.state.lit.row - paths.scroll_offset.y < paths.scrollable_content_region.height

    drive(app_for(long_run(60)), script, (80, 24))


def test_a_large_set_is_counted_exactly() -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        text = screen(app)
        assert "11,325 paths in ∂L/∂W" in text

    drive(app_for(long_run(150)), script)


def test_the_latest_question_is_answered(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        app._prepare(target="U")
        app._prepare(target="V")
        app._prepare(target="c")
        await settled(app, pilot)
        assert app.state.scene.target == "c"

    drive(app_for(article), script)


def test_keys_are_answered_while_something_is_worked_out(article: uz.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Event

    go_on = Event()

    def slow(*args: object, **options: object) -> object:
        go_on.wait(10)
        return scene(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("unrollviz.tui.errands.scene", slow)

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await pilot.press("d", "n")
        assert app.state.cursor == 1
        assert "working it out" in screen(app)
        go_on.set()
        await settled(app, pilot)
        assert app.state.scene.detail == "op"
        assert "working it out" not in screen(app)

    drive(app_for(article), script)


def test_trouble_while_working_something_out_is_told(article: uz.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> object:
        raise UnrollvizError("there is [b]no[/b] such thing")

    monkeypatch.setattr("unrollviz.tui.errands.scene", refuse)

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "d")
        assert "there is [b]no[/b] such thing" in screen(app)
        assert app.state.scene.detail == "state"

    drive(app_for(article), script)


# ---- the data's own words ------------------------------------------------------------------------------------------

HOSTILE = (
    "[@click=app.quit]x[/]",
    "[/nope",
    "[b]",
    "\x1b]52;c;UFdORUQ=\x07",
    "\x9b31m",
    "\u202eabc",
    "漢字",
    "a\u0301b",
    "\n",
    "\\",
)


def hostile_run() -> uz.Run:
    ids = np.arange(len(HOSTILE))
    net = uz.Network.init(inputs=len(HOSTILE), hidden=3, outputs=len(HOSTILE))
    return uz.unroll(net, ids, ids[::-1].copy(), vocabulary=HOSTILE)


def test_hostile_symbols_stay_words() -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        seen = ""
        for index in range(len(HOSTILE)):
            app.become(to.selected(app.state, app.state.scene.layout.nodes[f"x{index + 1}"]))
            await pilot.pause()
            seen += screen(app)
            assert all(cell_len(line) == 110 for line in screen(app).splitlines())
        bad = {ch for ch in seen if unicodedata.category(ch) in ("Cc", "Cf", "Cs") and ch != "\n"}
        assert not bad
        assert "stands for [@click=app.quit]x[/]" in seen
        assert "stands for [/nope" in seen
        assert "stands for [b]" in seen
        assert "stands for 漢字" in seen
        assert "<1B>]52" in seen

    drive(app_for(hostile_run()), script)


@pytest.mark.parametrize(
    ("text", "widest", "wanted"),
    [
        ("a", 6, "a"),
        (" ", 6, "␣"),
        ("漢字漢字", 6, "漢字…"),
        ("漢字", 4, "漢字"),
        ("\x1b[31m", 6, "<1B>[…"),
        ("\u0301", 6, "◌\u0301"),
        ("abcdefgh", 6, "abcde…"),
        ("", 6, ""),
    ],
)
def test_symbols_are_cut_to_their_cells(text: str, widest: int, wanted: str) -> None:
    assert shown(text, widest) == wanted
    assert cell_len(shown(text, widest)) <= widest


def test_symbols_stand_by_their_nodes() -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        rows = [line for line in screen(app).splitlines() if " x input" in line]
        assert "".join(re.findall("■(.)", rows[0])) == "hello,␣worl"

    drive(app_for(spelled()), script, (160, 40))


# ---- the grid's marks and lines ------------------------------------------------------------------------------------


def grid_text(state: to.DebugState, size: tuple[int, int] = (110, 30)) -> str:
    painter = paint.Painter(state, geometry(state.scene, *size), palette(True))
    lines = range(painter.grid.virtual_height - 1)
    return "\n".join("".join(s.text for s in painter.line(y, 0, size[0])) for y in lines)


def test_states_of_a_node_can_be_told_apart_without_colour(article: uz.Run) -> None:
    first = to.opening(scene(article, "state", article.loss_names(), "W"))
    line = first.scene.timeline
    place = first.scene.layout.nodes["s3"]

    def marks(cursor: int) -> str:
        glyph = paint.Painter(to.at(first, cursor), geometry(first.scene, 110, 30), palette(True)).glyph(place)
        return f"{glyph.brackets}{glyph.mark[0]}{glyph.note}"

    first = to.listed(first, 0)
    assert "s3" not in first.lit.path.nodes  # type: ignore[union-attr]
    computed, some, whole = line.visits("s3")
    seen = [marks(c) for c in (0, computed, computed + 1, some, some + 1, whole, whole + 1)]
    assert seen == ["░", "[]●", "●", "[]●∂+", "●∂+", "[]●∂", "●∂"]
    first = to.listed(first, 7)
    assert "s3" in first.lit.path.nodes  # type: ignore[union-attr]
    assert [marks(c) for c in (0, computed, computed + 1)] == ["()░", "{}●", "()●"]


def test_the_selected_path_is_drawn_from_its_loss_to_its_copy(article: uz.Run) -> None:
    state = to.opening(scene(article, "state", ["L4"], "W"))
    row = [path.nodes for path in article.paths("L4", "W")].index(("L4", "yhat4", "s4", "s3", "s2", "W"))
    state = to.listed(state, row)
    where = state.scene.layout
    assert state.lit.places == {
        *(where.nodes[name] for name in ("L4", "yhat4", "s4", "s3", "s2")),
        where.copies["W", "s2", 0],
    }
    text = grid_text(state).splitlines()
    states = next(line for line in text if line.startswith(" s state"))
    assert re.search(r"\(░\)━+\(░\)━+\(░\)", states)
    assert grid_text(state).count("┃") == 2 * (
        4 + 2
    )  # two lines between rows: down through c and V to s₄, and through b to the copy of W


def test_a_current_edge_is_drawn_double(article: uz.Run) -> None:
    state = to.opening(scene(article, "state", article.loss_names(), "W"))
    line = state.scene.timeline
    back = to.at(state, line.visits("s3")[1])
    assert "═" in grid_text(back)
    forth = to.at(state, line.visits("s3")[0])
    assert "║" in grid_text(forth)
    assert not set("═║") & set(grid_text(state))


@pytest.mark.parametrize("detail", ["state", "op"])
def test_every_edge_is_drawn_from_end_to_end(detail: str, article: uz.Run) -> None:
    """Following the joined sides from an edge's tail leads to its head."""
    graph = article.level(detail)
    where = layout(graph)
    for edge in graph.edges(keys=True):
        joints = {(gap, row, column): sides for gap, row, column, sides in route(where, edge)}
        start, end = where.copies.get(edge, where.nodes[edge[0]]), where.nodes[edge[1]]
        reached, todo = set(), [(False, start.row, start.column)]
        while todo:
            at = todo.pop()
            if at in reached or at not in joints:
                continue
            reached.add(at)
            gap, row, column = at
            sides = joints[at]
            todo += [(gap, row - 1, column)] * bool(sides & UP) + [(gap, row + 1, column)] * bool(sides & DOWN)
            todo += [(not gap, row, column - gap)] * bool(sides & LEFT)
            todo += [(not gap, row, column + (not gap))] * bool(sides & RIGHT)
        assert (False, end.row, end.column) in reached
        assert reached == set(joints)


def test_rails_reach_their_last_copy(article: uz.Run) -> None:
    graph = article.level()
    where = layout(graph)
    wires = Wires(where, graph)
    row = where.nodes["W"].row
    last = len(where.times) - 1
    assert all(wires.marks(column)[row] & RIGHT for column in range(1, last))
    assert not wires.marks(last)[row] & RIGHT


def test_arrows_find_the_nearest_place(article: uz.Run) -> None:
    state = to.opening(scene(article, "state", article.loss_names(), "W"))
    where = state.scene.layout
    s0 = to.selected(state, where.nodes["s0"])
    assert to.pointed(s0, 0, -1).spot.row == where.nodes["V"].row
    assert to.pointed(s0, -1, 0) == s0
    assert to.selected(state, Place(1, 0)) is state


# ---- numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (0.73114, "0.7311"),
        (12.04, "12.04"),
        (1.34e-7, "1.3e-07"),
        (float("nan"), "nan"),
        (float("-inf"), "-∞"),
        (123456.0, "1.2e+05"),
    ],
)
def test_a_figure(value: float, wanted: str) -> None:
    assert figure(value) == wanted


def test_arrays_as_aligned_lines() -> None:
    assert table(np.eye(2), 20, 5) == ["1 0", "0 1"]
    assert table(np.array([[0.5, -1.25], [10.0, 0.0]]), 30, 5) == [" 0.5000 -1.2500", "10.0000       0"]
    assert table(np.arange(7.0), 8, 5) == ["0 1 2", "3 4 5", "6"]
    assert table(np.arange(30.0), 8, 2) == [" 0  1", " 2  3", "… 26 more entries"]
    assert table(np.ones((9, 9)), 8, 2) == ["1 1 1 …", "1 1 1 …", "… 7 more rows"]
    assert table(np.array([np.nan, np.inf, 1e-9]), 40, 2) == ["     nan        ∞ 1.00e-09"]
    assert table(np.zeros((2, 2, 2)), 20, 9) == ["0 0"] * 4


@pytest.mark.parametrize("width", [20, 33, 80])
def test_the_report_keeps_its_numbers_within_the_width(width: int) -> None:
    run = long_run(4, units=40)
    state = to.at(to.opening(scene(run, "state", run.loss_names(), "W")), 40)
    for place in state.scene.names:
        lines = report(to.selected(state, place), width, 12, palette(False)).plain.splitlines()
        assert all(cell_len(line) <= width for line in lines if re.match(r" [ -]\d", line))


# ---- trouble -------------------------------------------------------------------------------------------------------


def test_an_exploding_gradient_opens_and_is_stepped_through() -> None:
    net = uz.Network.init(inputs=1, hidden=1, outputs=2, activation="identity")
    net = net.replace(U=np.array([[1.0]]), W=np.array([[1e80]]), b=np.zeros(1), V=np.array([[1.0], [-1.0]]))
    run = uz.unroll(net, [[1e-300]] + [[0.0]] * 5, [1] * 6)

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        assert "not finite" in screen(app)
        assert "no paths in ∂L/∂W" in screen(app)
        await press(app, pilot, "tab", "tab", "down", "end", "g", *"s1", "enter")
        assert "∞" in screen(app)

    drive(app_for(run), script)


def test_wrong_names_are_refused_before_anything_opens(article: uz.Run) -> None:
    with pytest.raises(UnknownName, match="did you mean W"):
        scene(article, "state", article.loss_names(), "w")
    with pytest.raises(UnknownName, match="did you mean state"):
        scene(article, "states", article.loss_names(), "W")


def test_without_a_terminal_it_refuses(article: uz.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnrollvizError, match="needs a terminal"):
        debug(article)

    class Terminal:
        def isatty(self) -> bool:
            return True

    for name in ("__stdin__", "__stdout__", "__stderr__"):
        monkeypatch.setattr(sys, name, Terminal())
    monkeypatch.setenv("TERM", "xterm")
    check_terminal()
    monkeypatch.setenv("TERM", "dumb")
    with pytest.raises(UnrollvizError, match="TERM"):
        check_terminal()
    monkeypatch.setattr(sys, "__stderr__", None)
    with pytest.raises(UnrollvizError, match="standard error"):
        check_terminal()


# ---- a real terminal -----------------------------------------------------------------------------------------------

pty = pytest.importorskip("pty")
LEAVE_ALTERNATE_SCREEN = b"\x1b[?1049l"
PROGRAM = "import sys, unrollviz as uz; from test_tui import hostile_run, spelled; sys.exit(uz.debug({run}))"


class Terminal:
    """A child on a pseudo-terminal of 80 × 24."""

    def __init__(self, run: str, **environment: str) -> None:
        import fcntl
        import termios

        self.main, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        wanted = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONPATH": str(Path(__file__).parent)}
        kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "LINES", "COLUMNS")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(run=run)],
            stdin=child,
            stdout=child,
            stderr=child,
            env=kept | wanted | environment,
            start_new_session=True,
            cwd=Path(__file__).parent.parent,
        )
        os.close(child)
        self.output = b""
        self.read_until(b"quit")

    def read_until(self, wanted: bytes, seconds: float = 20) -> None:
        """Read until `wanted` has appeared since the last call."""
        start = len(self.output)
        while wanted not in self.output[start:]:
            ready, _, _ = select.select([self.main], [], [], seconds)
            assert ready, self.output[-2000:]
            try:
                self.output += os.read(self.main, 65536)
            except OSError:  # the child has gone
                return

    def end(self) -> int:
        """Read what is left; the exit code."""
        try:
            while select.select([self.main], [], [], 10)[0] and (more := os.read(self.main, 65536)):
                self.output += more
        except OSError:
            pass
        os.close(self.main)
        return self.process.wait(10)


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_signals_restore_the_terminal(number: str, code: int) -> None:
    terminal = Terminal("uz.article()")
    terminal.process.send_signal(getattr(signal, number))
    assert terminal.end() == code
    assert LEAVE_ALTERNATE_SCREEN in terminal.output
    assert b"Traceback" not in terminal.output


@pytest.mark.parametrize("told", [True, False])
def test_a_terminal_that_goes_away_ends_it(told: bool) -> None:
    terminal = Terminal("uz.article()")
    os.close(terminal.main)
    if told:
        terminal.process.send_signal(signal.SIGHUP)
    assert terminal.process.wait(10) == 129


def test_q_leaves_with_0_and_no_colour_means_none() -> None:
    terminal = Terminal("uz.article()", NO_COLOR="1")
    os.write(terminal.main, b"n")
    terminal.read_until(b"tanh")
    os.write(terminal.main, b"q")
    assert terminal.end() == 0
    assert LEAVE_ALTERNATE_SCREEN in terminal.output
    codes = re.findall(rb"\x1b\[([\d;]*)m", terminal.output)
    assert codes
    colours = {
        code for found in codes for code in found.split(b";") if re.fullmatch(rb"[349][0-7]|10[0-7]|[34]8", code)
    }
    assert not colours


def test_no_byte_of_the_data_commands_the_terminal() -> None:
    terminal = Terminal("hostile_run()")
    os.write(terminal.main, b"]")
    terminal.read_until(b"forward")
    os.write(terminal.main, b"q")
    assert terminal.end() == 0
    for payload in (b"\x1b]52", "\x9b".encode(), "\u202e".encode()):
        assert payload not in terminal.output


def two_layers() -> uz.Run:
    return uz.article(cell="lstm", layers=2)


# ---- pictures ------------------------------------------------------------------------------------------------------


def normalised(svg: str) -> str:
    """An SVG without what differs between two equal screens: rich's ids and the addresses of its fonts."""
    svg = re.sub(r"terminal-\d+", "terminal", svg)
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    return re.sub(r"[ \t]+\n", "\n", svg)


PICTURES: dict[str, tuple[Callable[[], uz.Run], tuple[int, int], tuple[str, ...]]] = {
    "article_backward": (uz.article, (80, 24), ("]", "]", *"nnnnnnn")),
    "text_light": (spelled, (80, 24), ("t", "end")),
    "article_op": (uz.article, (80, 24), ("d", "]", "]", *"nnnnnnnnnn")),
    "help": (uz.article, (80, 24), ("?",)),
    "article_light": (uz.article, (120, 40), ("t", "]", "]", *"nnnn", "tab")),
    "lstm_light": (two_layers, (120, 40), ("t", "]", "]", *"nnnn", "tab", "tab", "tab", "down", "right")),
    "debugger": (uz.article, (112, 40), ("l", *"L4", "enter", "g", *"s2", "enter", "r", "r", "tab", "tab", "down")),
}
KEPT = {"debugger": SNAPSHOTS.parent.parent / "docs"}
"""Pictures that are more than snapshots: the README shows the debugger in the middle of the backward pass."""


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(name: str) -> None:
    """Compare with what is kept; UPDATE_SNAPSHOTS=1 writes them anew, to be looked at before they are kept."""
    make, size, keys = PICTURES[name]
    kept = KEPT.get(name, SNAPSHOTS) / f"{name}.svg"

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, *keys)
        svg = normalised(app.export_screenshot(simplify=True))
        if os.environ.get("UPDATE_SNAPSHOTS"):
            kept.write_text(svg, encoding="utf-8")
        assert svg == kept.read_text(encoding="utf-8")

    run = make()
    drive(app_for(run, target=run.recurrent_weight), script, size)


def test_state_is_frozen(article: uz.Run) -> None:
    state = to.opening(scene(article, "state", article.loss_names(), "W"))
    with pytest.raises(AttributeError):
        state.cursor = 3  # type: ignore[misc]
    assert replace(state, note="other") != state
