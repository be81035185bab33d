"""The app: every key of the table that is about stepping, stops, what if, files and panels; the tour; sessions."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.cells import cell_len
from test_tui import SCRIPTS, Script, acts, drive, long_run, press, screen, settled, spelled
from textual.command import CommandPalette
from textual.pilot import Pilot

import unrollviz as uz
from unrollviz.debugger import session
from unrollviz.debugger import stepper as go
from unrollviz.errors import MissingExtra, UnrollvizError
from unrollviz.tui import state as to
from unrollviz.tui import web
from unrollviz.tui.actions import ACTIONS, of_now
from unrollviz.tui.app import DebugApp, debug, first_scene
from unrollviz.tui.chooser import Chooser
from unrollviz.tui.complete import Completer, words_of
from unrollviz.tui.eventlist import EventList
from unrollviz.tui.help import help_text
from unrollviz.tui.look import palette
from unrollviz.tui.prompt import Prompt
from unrollviz.tui.report import report
from unrollviz.tui.sheet import Sheet
from unrollviz.tui.stops import Stops, places
from unrollviz.tui.tour import QUESTIONS, Tour
from unrollviz.tui.view import PANELS, restored
from unrollviz.updates import Rule

DebugApp.CHORD = 600.0
"""A number waits for its key as long as a slow machine needs."""


def app_of(run: uz.Run, tour: bool = False) -> DebugApp:
    stepper = go.opened(run)
    return DebugApp(first_scene(stepper), stepper, tour=tour)


def typed(text: str) -> list[str]:
    """The keys that write a text."""
    return [{" ": "space"}.get(ch, ch) for ch in text]


async def write(app: DebugApp, pilot: Pilot[None], key: str, text: str) -> None:
    """Open a prompt by its key, write a line over what stands there, and press Enter."""
    await press(app, pilot, key, "ctrl+u", *typed(text), "enter")


@acts("count")
async def numbers_before_a_key(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, *"12n")
    assert app.state.cursor == 12
    assert app.state.panel == "graph"
    await press(app, pilot, *"9", "p")
    assert app.state.cursor == 3
    assert app.state.typed == ""
    await press(app, pilot, *"12N")
    assert app.state.cursor == app.state.scene.timeline.move(3, "step", 12)
    await press(app, pilot, *"7")
    assert "7 ×" in screen(app)
    await press(app, pilot, "tab", "n")
    assert app.state.typed == ""


@acts("panel_1", "panel_2", "panel_3", "panel_4", "panel_5", "focus_next", "focus_previous")
async def from_panel_to_panel(app: DebugApp, pilot: Pilot[None]) -> None:
    for number, panel in enumerate(PANELS, 1):
        await press(app, pilot, str(number))
        assert app.focused is not None
        assert app.focused.id == panel == app.state.panel
    app._forget(app.state.typed)
    for panel in (*PANELS, "graph"):
        await press(app, pilot, "tab")
        assert app.state.panel == panel
    await press(app, pilot, "shift+tab")
    assert app.state.panel == "events"


@acts("event_up", "event_down", "event_page_up", "event_page_down", "event_open")
async def through_the_events(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "5")
    assert "0 the start: nothing has happened yet" in screen(app)
    await press(app, pilot, "down", "down", "down", "up")
    assert app.state.cursor == 0
    await press(app, pilot, "enter")
    assert app.state.cursor == 2
    await press(app, pilot, "pagedown", "enter")
    assert app.state.cursor > 5
    text = screen(app)
    assert f"events · {app.state.cursor} of 65" in text
    assert "▶" in text
    await press(app, pilot, *["pageup"] * 9, "enter")
    assert app.state.cursor == 0
    await press(app, pilot, *["pagedown"] * 40, "enter")
    assert app.state.cursor == 65
    await pilot.click(EventList, offset=(5, 1))
    await pilot.pause()
    assert 55 < app.state.cursor < 65


@acts("break_here", "continue", "continue_back")
async def to_a_breakpoint_and_back(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "c")
    assert app.state.cursor == 65
    assert "no breakpoint ahead: this is the end" in screen(app)
    await press(app, pilot, "home", "right", "right", "b")
    assert app.state.node == "s3"
    assert app.state.broken == {"s3"}
    assert "!" in next(line for line in screen(app).splitlines() if re.search(r"│ s (state)? +◌|│ s ", line))
    places = app.state.scene.timeline.visits("s3")
    seen = []
    for _ in places:
        await press(app, pilot, "c")
        seen.append(app.state.cursor)
    assert seen == places
    assert "breakpoint 1 (s3), stopped here 3 times" in screen(app)
    await press(app, pilot, "C")
    assert app.state.cursor == places[-2]
    await press(app, pilot, "C", "C")
    assert app.state.cursor == 0
    await press(app, pilot, "g", *"s3", "enter", "b")
    assert app.state.stepper.breakpoints == ()
    assert app.state.broken == frozenset()


@acts("stops")
async def all_breakpoints(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "B", *typed("s9 if"), "enter")
    assert isinstance(app.screen, Stops)
    assert app.state.stepper.breakpoints == ()
    assert "say where to stop" in screen(app)
    await press(app, pilot, "ctrl+u", *typed("s9"), "enter")
    assert "unknown node 's9'; did you mean s" in screen(app)
    await press(app, pilot, "ctrl+u", *typed("norm(cotangent) > 0.5"), "enter", "a", *typed("watch loss"), "enter")
    assert [point.text for point in app.state.stepper.breakpoints] == ["norm(cotangent) > 0.5"]
    assert [watch.text for watch in app.state.stepper.watches] == ["loss"]
    await press(app, pilot, "up", "space")
    assert not app.state.stepper.breakpoints[0].enabled
    assert "[ ] norm(cotangent) > 0.5" in screen(app)
    await press(app, pilot, "enter", "down", "space")
    assert app.state.stepper.breakpoints[0].enabled
    assert app.state.stepper.watches[0].stops
    await press(app, pilot, "d", "escape", "c")
    assert not isinstance(app.screen, Stops)
    assert app.state.stepper.watches == ()
    assert app.state.stepper.value_of("norm(cotangent)") > 0.5
    assert app.state.stepper.breakpoints[0].hits == 1


@acts("watch")
async def watching(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "w", *typed("norm(cotange)"), "enter")
    assert isinstance(app.screen, Prompt)
    assert "cotange" in screen(app)
    await press(app, pilot, "ctrl+u", *typed("stop W.grad[0, 1]"), "enter")
    assert "watch W.grad[0, 1]  not known yet" in screen(app)
    await press(app, pilot, "c")
    first = app.state.stepper.value_of("W.grad[0, 1]")
    assert f"not known yet → {first:.10g}" in screen(app)
    await press(app, pilot, "c")
    assert f"{first:.10g} → {app.state.stepper.value_of('W.grad[0, 1]'):.10g}" in screen(app)


@acts("find")
async def finding(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "/", *"yhat4")
    assert isinstance(app.screen, Chooser)
    assert app.state.node == "yhat4"
    await press(app, pilot, "escape")
    assert app.state.node == "s1"
    await press(app, pilot, "/", *"yhat9")
    assert "there is no 'yhat9'; did you mean yhat" in screen(app)
    await press(app, pilot, "ctrl+u", *"s", "down", "enter")
    assert app.state.node == "s1"
    assert app.state.cursor == 0


@acts("what_if", "undo", "redo")
async def what_if(app: DebugApp, pilot: Pilot[None]) -> None:
    before = app.state.stepper.run.gradient("W").copy()
    await press(app, pilot, "u")
    assert "nothing has been changed" in screen(app)
    await press(app, pilot, "x", *typed("cut s3 -> s1"), "enter")
    assert "no path leads from s3 straight back to s1" in screen(app)
    await press(app, pilot, "ctrl+u", *typed("cut s3 -> s2"), "enter")
    assert isinstance(app.screen, Sheet)
    text = screen(app)
    assert "6 paths have vanished" in text
    assert "norm of ∂L/∂W" in text
    await press(app, pilot, "escape")
    assert "changed cut s3 -> s2" in screen(app)
    assert "9 paths in ∂L/∂W" in screen(app)
    await press(app, pilot, "x", "enter")
    assert isinstance(app.screen, Sheet)
    await press(app, pilot, "escape", "n")
    await press(app, pilot, "u")
    assert app.state.stepper.edits == ()
    assert "undone: cut s3 -> s2" in screen(app)
    assert "15 paths in ∂L/∂W" in screen(app)
    assert np.array_equal(app.state.stepper.run.gradient("W"), before)
    await press(app, pilot, "U")
    assert [edit.text for edit in app.state.stepper.edits] == ["cut s3 -> s2"]


@acts("export")
async def exporting(app: DebugApp, pilot: Pilot[None]) -> None:
    await write(app, pilot, "e", "/nowhere/at/all.svg")
    assert "there is no folder /nowhere/at" in screen(app)
    await press(app, pilot, "ctrl+u", *typed("picture.png"), "enter")
    assert "give the name of an SVG file" in screen(app)
    await press(app, pilot, "ctrl+u", *typed("path.svg"), "enter")
    assert "with the selected path" in screen(app)
    root = ElementTree.parse("path.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = "".join(root.itertext())
    assert app.state.lit.nodes
    assert "share" in words or "∂" in words
    assert list(Path().iterdir()) == [Path("path.svg")]


@acts("save")
async def saving(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "s", "ctrl+u", "enter")
    assert "give the name of a file" in screen(app)
    await press(app, pilot, *typed("here.json"), "enter")
    assert "saved: here.json" in screen(app)
    assert json.loads(Path("here.json").read_text())["cursor"] == 0


@acts("stop")
async def stopping(app: DebugApp, pilot: Pilot[None]) -> None:
    from threading import Event

    begun, over = Event(), Event()

    def endless(pulse: Callable[[str], None]) -> None:
        try:
            begun.set()
            while True:
                over.wait(0.005)
                pulse("and on")
        finally:
            over.set()

    app._do("search", "on", endless, lambda found: pytest.fail("it was stopped"))
    begun.wait(10)
    await pilot.press("n")
    assert app.state.cursor == 1
    assert of_now(app.state, "graph")["stop"] == ["Esc"]
    await press(app, pilot, "2", "escape")
    assert "stopped" in screen(app)
    assert over.wait(10)
    assert "stop" not in of_now(app.state, "graph")


@acts("command_palette")
async def every_command(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "ctrl+p")
    assert isinstance(app.screen, CommandPalette)
    await pilot.press(*typed("next event"))
    await app.workers.wait_for_complete()
    await pilot.pause(0.3)
    await pilot.press("enter")
    for _ in range(100):
        await pilot.pause(0.02)
        if app.state.cursor:
            break
    assert app.state.cursor == 1


@acts("reach")
async def how_far_back_it_reaches(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "k")
    assert app.state.lens.page == "reach"
    said = report(app.state, 80, 20, palette(True)).plain
    assert "stays above 1e-06 back to step 1\n" in said
    assert "stays above 1e-06" in screen(app)
    await press(app, pilot, "k")
    assert app.state.lens.page == "overview"


@acts("changed")
async def old_and_new_again(app: DebugApp, pilot: Pilot[None]) -> None:
    await press(app, pilot, "X")
    assert "nothing has been changed" in app.state.note
    await write(app, pilot, "x", "W[0, 1] = 0.5")
    assert isinstance(app.screen, Sheet)
    assert "new − old" in screen(app)
    await press(app, pilot, "escape", "X")
    assert isinstance(app.screen, Sheet)
    await press(app, pilot, "escape", "u")


MINE = [script for script in dict.fromkeys(SCRIPTS.values()) if script.__module__ == __name__]


@pytest.mark.parametrize(
    "size", [pytest.param((110, 36), marks=pytest.mark.thorough, id="roomy"), pytest.param((80, 24), id="80x24")]
)
@pytest.mark.parametrize("script", MINE, ids=lambda script: script.__name__)
def test_action(
    script: Script, size: tuple[int, int], article: uz.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    drive(app_of(article), script, size)


def test_help_tells_every_key_and_what_may_be_typed() -> None:
    text = help_text(palette(True)).plain
    for action in ACTIONS:
        assert action.key in text
        assert action.help in text
    for word in ("norm(…)", "sign flip of", "cut s3 -> s2", "cotangent"):
        assert word in text


# ---- the line of keys, small terminals ------------------------------------------------------------------------------


def test_the_line_of_keys_shows_what_applies(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        assert "continue" not in of_now(app.state, "graph")
        assert "fold" in of_now(app.state, "graph")
        assert "fold" not in of_now(app.state, "events")
        await press(app, pilot, "b")
        assert of_now(app.state, "graph")["continue"] == ["c", "C"]
        assert "undo" not in of_now(app.state, "graph")
        await press(app, pilot, "5")
        assert " Enter go there " in screen(app).splitlines()[-1]

    drive(app_of(article), script)


@pytest.mark.parametrize("size", [(40, 15), (40, 12), (59, 30), (200, 15)])
def test_where_there_is_little_room_one_panel_is_seen(size: tuple[int, int], article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        for number, words in enumerate(("graph · ", "s₁ · state", "15 paths", "flow · ", "events · 0 of 65"), 1):
            await press(app, pilot, str(number))
            text = screen(app)
            assert words in text
            assert ("graph · " in text) == (number == 1)
            assert all(cell_len(line) == size[0] for line in text.splitlines())
            app._forget(app.state.typed)
        await press(app, pilot, "n")
        assert app.state.cursor == 1

    drive(app_of(article), script, size)


@pytest.mark.parametrize("keys", [["?"], ["B"], ["w"], ["x"], ["g"], ["/"], ["l"], ["s"]])
def test_windows_live_through_resizes(keys: list[str], article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, *keys)
        for size in ((20, 5), (1, 1), (300, 90), (40, 12)):
            await pilot.resize_terminal(*size)
        await press(app, pilot, "escape")
        await pilot.resize_terminal(100, 30)
        assert len(app.screen_stack) == 1

    drive(app_of(article), script)


# ---- sessions -------------------------------------------------------------------------------------------------------


def test_a_session_comes_back_as_it_was(article: uz.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first: list[DebugApp] = []

    async def leave(app: DebugApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "right", "b", "w", *typed("norm(value)"), "enter")
        await press(app, pilot, "x", *typed("set W[0, 1] = 0.5"), "enter", "escape", "l", *"L4", "enter", "]", "]", "n")
        await press(app, pilot, "t", "v", "3", "down")
        app._forget(app.state.typed)
        await press(app, pilot, "s", "ctrl+u", *typed("a.json"), "enter")
        first.append(app)

    drive(app_of(article), leave)
    before = first[0].state
    stepper = session.read("a.json")

    async def again(app: DebugApp, pilot: Pilot[None]) -> None:
        now = app.state
        assert (now.cursor, now.node, now.panel) == (before.cursor, before.node, before.panel)
        assert now.stepper.losses == ("L4",)
        assert [edit.text for edit in now.stepper.edits] == ["set W[0, 1] = 0.5"]
        assert now.broken == before.broken == {"s2"}
        assert now.lens.page == "value"
        assert now.lit.nodes == before.lit.nodes
        assert not app.current_theme.dark
        assert "changed set W[0, 1] = 0.5" in screen(app)
        await press(app, pilot, "u")
        assert np.array_equal(app.state.stepper.run.gradient("W"), article.gradient("W"))

    drive(DebugApp(first_scene(stepper), stepper), again)


def test_a_view_that_makes_no_sense_is_left_aside(article: uz.Run) -> None:
    state = app_of(article).state
    hostile = {"folded": 3, "page": "x", "flow": ["tree"], "panel": None, "selected": "zz", "path": ["L4", "W", 3]}
    assert restored(state, hostile) is state
    assert restored(state, {"path": ["L4", "yhat3"], "selected": ["s1"]}) is state


@pytest.mark.parametrize(("cell", "layers", "name"), [("elman", 1, "s"), ("lstm", 1, "h"), ("gru", 2, "l2.h")])
def test_what_is_offered_for_a_breakpoint_can_be_typed(cell: str, layers: int, name: str) -> None:
    run = uz.article(cell=cell, layers=layers)
    said = places(run.graph)
    assert f"{name}* if complete" in said
    first, rest = said.split("\n")
    for text in (*first.split(" · "), *rest.split(": ")[1].split(" · or ")):
        assert go.with_breakpoint(go.opened(run), text).breakpoints


def test_breakpoints_without_a_node_are_marked_too(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        def line(word: str) -> str:
            return next(line for line in screen(app).splitlines() if word in line)

        assert "!" not in screen(app)
        await press(app, pilot, "B", *typed("t=3"), "enter", "a", *typed("phase=sum"), "enter", "escape")
        assert "!3" in line(" step ")
        assert "→ !sum" in line("backward")
        assert "! stop" in screen(app)
        await press(app, pilot, "B", "a", *typed("t=2 if norm(value) > 9"), "enter", "escape")
        assert "!2" in line(" step ")
        found = app.state.stepper.breakpoints[0].places(app.state.scene.timeline).tolist()
        await press(app, pilot, "B", "d", "down", "d", "escape")  # t=3 and t=2 go; the step is entered in each phase
        assert len(found) == 3
        assert "!" not in line(" step ")
        await press(app, pilot, "B", "space", "a", *typed("norm(cotangent) < 0.1"), "enter", "escape")
        assert "!sum" not in screen(app)
        assert "! norm(cotangent) < 0.1" in line("level state")

    drive(app_of(article), script)


def test_the_events_at_which_it_may_stop_are_marked(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "B", *typed("t=3"), "enter", "escape", "5")
        stepper = app.state.stepper
        places = stepper.breakpoints[0].places(stepper.timeline).tolist()
        assert [cursor for cursor in range(66) if app.state.marks.at(cursor)] == places
        await press(app, pilot, "c")
        assert re.search(rf"▶! {places[0]} forward  3", screen(app))

    drive(app_of(article), script)


def test_a_tour_of_another_network_is_refused_before_anything_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrollviz.tui.app.check_terminal", lambda: None)
    monkeypatch.setattr(DebugApp, "run", lambda app: None)
    monkeypatch.setattr("gc.freeze", lambda: None)
    monkeypatch.setattr("sys.setswitchinterval", lambda seconds: None)
    assert debug(uz.article(), tour=True) == 0
    assert debug(go.opened(uz.article()), tour=True) == 0
    for other in (uz.article(cell="lstm"), uz.article(layers=2), spelled("hell")):
        with pytest.raises(UnrollvizError, match="about the article's network"):
            debug(other, tour=True)
        assert debug(other) == 0


def test_debug_with_an_optimizer_steps_through_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[go.Stepper] = []

    def run(app: DebugApp) -> None:
        opened.append(app.state.stepper)

    monkeypatch.setattr("unrollviz.tui.app.check_terminal", lambda: None)
    monkeypatch.setattr(DebugApp, "run", run)
    monkeypatch.setattr("gc.freeze", lambda: None)
    monkeypatch.setattr("sys.setswitchinterval", lambda seconds: None)
    assert debug(uz.article(), optimizer="momentum", lr=0.5, clip=1.0, iterations=7) == 0
    learner = opened[0].learner
    assert learner is not None
    assert (learner.rule, learner.updates) == (Rule("momentum", lr=0.5, clip=1.0), 7)
    for wrong, words in (
        ({"lr": 0.1}, "lr is about updates; give an optimizer too"),
        ({"iterations": 3}, "iterations is about updates"),
        ({"optimizer": "adm"}, "adam"),
        ({"optimizer": "adam", "rate": 0.1}, "unknown setting of an update 'rate'"),
    ):
        with pytest.raises(UnrollvizError, match=words):
            debug(uz.article(), **wrong)
    assert len(opened) == 1


# ---- the tour -------------------------------------------------------------------------------------------------------


async def _tour(app: DebugApp, pilot: Pilot[None]) -> None:
    assert isinstance(app.screen, Tour)
    assert "Through which states does L₄ reach W?" in " ".join(screen(app).replace("│", " ").split())
    assert "paths in" not in screen(app)
    assert app.state.lit.nodes == ()
    await press(app, pilot, *typed("s4 s3 s2"), "enter")
    assert "Not only: s₁ too." in screen(app)
    assert app.state.lit.nodes == ("L4", "yhat4", "s4", "s3", "s2", "s1", "W")
    await press(app, pilot, "enter")
    assert "How many terms will there be?" in " ".join(screen(app).replace("│", " ").split())
    assert "4 paths in" not in screen(app)
    await press(app, pilot, "4", "enter")
    assert "Yes. Four" in screen(app)
    assert "4 paths in ∂L₄/∂W" in screen(app)
    assert "= reverse sweep ✓" in screen(app)
    await press(app, pilot, "enter")
    assert "Now it is yours" in screen(app)
    await press(app, pilot, "enter")
    assert len(app.screen_stack) == 1
    assert app.state.stepper.losses == ("L4",)
    await press(app, pilot, "n")
    assert app.state.cursor == 1


@pytest.mark.parametrize("size", [(80, 24), (140, 45)])
def test_the_tour_asks_and_then_shows(size: tuple[int, int], article: uz.Run) -> None:
    drive(app_of(article, tour=True), _tour, size)


def test_the_tour_can_be_skipped(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "escape")
        assert len(app.screen_stack) == 1
        assert "15 paths in ∂L/∂W" in screen(app)

    drive(app_of(article, tour=True), script, (60, 16))


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("s1, s2, s3, s4", "Yes. "),
        ("4-1", "Yes. "),
        ("s₁", "Not only: s₄, s₃, s₂ too. "),
        ("1 2 3 4 5", "Not s₅"),
        ("s0 s1 s2 s3 s4", "Not s₀"),
        ("s4", "Not only: s₃, s₂, s₁ too. "),
        ("?", "Not quite. "),
    ],
)
def test_answers_are_judged(answer: str, word: str) -> None:
    assert QUESTIONS[0].judged(answer).startswith(word)
    assert QUESTIONS[1].judged("4") == QUESTIONS[1].judged("four") == "Yes. "
    assert QUESTIONS[1].judged("15") == "Not quite. "


# ---- the browser, completion, long runs -----------------------------------------------------------------------------


def test_without_the_extra_the_browser_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "textual_serve", None)
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    with pytest.raises(MissingExtra, match=r"unrollviz\[web\]"):
        web.serve(["--text", "hello"], 8000)


@pytest.mark.parametrize(
    ("origin", "refused"),
    [
        ("http://localhost:8123", False),
        ("http://127.0.0.1:8123", False),
        ("http://localhost:80", True),
        ("https://elsewhere.example", True),
        (None, True),
    ],
)
def test_only_the_served_page_may_connect(origin: str | None, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("textual_serve")
    from aiohttp.test_utils import make_mocked_request
    from aiohttp.web import HTTPForbidden
    from textual_serve.server import Server

    async def connected(self: Server, request: object) -> str:
        return "connected"

    monkeypatch.setattr(Server, "handle_websocket", connected)
    request = make_mocked_request("GET", "/ws", headers={} if origin is None else {"Origin": origin})
    answer = web.server(["--text", "hello"], 8123).handle_websocket(request)
    if refused:
        with pytest.raises(HTTPForbidden):
            asyncio.run(answer)
    else:
        assert asyncio.run(answer) == "connected"


def test_the_browser_is_served_the_same_command(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")  # which textual-serve brings
    import shlex
    import sys
    from types import ModuleType

    from click.testing import CliRunner

    from unrollviz.cli import cli

    served: list[tuple[str, int]] = []

    class Server:
        def __init__(self, command: str, *, host: str, port: int, title: str) -> None:
            assert host == "127.0.0.1"
            served.append((command, port))

        def serve(self) -> None:
            if served[-1][1] == 1:
                raise OSError(98, "Address already in use")

    module = ModuleType("textual_serve.server")
    module.Server = Server  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "textual_serve", ModuleType("textual_serve"))
    monkeypatch.setitem(sys.modules, "textual_serve.server", module)
    words = ["debug", "--text", "it's; rm", "--loss", "L2", "--bidirectional", "--web", "--port", "8123"]
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert "http://localhost:8123" in result.output
    command, port = served[0]
    assert port == 8123
    assert shlex.split(command) == [
        *(sys.executable, "-m", "unrollviz", "debug"),
        *("--loss=L2", "--text=it's; rm", "--bidirectional"),
    ]
    with pytest.raises(UnrollvizError, match="port 1 cannot be used"):
        web.serve([], 1)


def test_the_last_word_is_completed(article: uz.Run) -> None:
    import asyncio

    completer = Completer(words_of(article.graph))

    def complete(text: str) -> str | None:
        return asyncio.run(completer.get_suggestion(text))

    assert complete("norm(cot") == "norm(cotangent"
    assert complete("yhat") == "yhat1"
    assert complete("s3 if pha") == "s3 if phase"
    assert complete("zzz") is None
    assert complete("s3 ") is None


def test_a_long_list_of_events_says_only_what_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from unrollviz.tui import eventlist

    said: list[object] = []
    words = eventlist.describe

    def counting(*args: object) -> str:
        said.append(args[-1])
        return words(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(eventlist, "describe", counting)

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "5", "end")
        said.clear()
        app.query_one(EventList).refresh()
        await pilot.pause()
        assert 0 < len(said) <= 2 * 36

    drive(app_of(long_run(200)), script)


def test_what_is_asked_while_something_is_worked_out_is_not_lost(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        app._edit("set W[0, 0] = 2")
        app._prepare(target="U")
        app._edit("cut s3 -> s2")
        app.become(to.broken_here(to.moved(app.state, "event", 1)))
        await settled(app, pilot)
        assert [point.text for point in app.state.stepper.breakpoints] == ["s1"]
        assert app.state.broken == {"s1"}
        assert [edit.text for edit in app.state.stepper.edits] == ["set W[0, 0] = 2.0", "cut s3 -> s2"]
        assert app.state.stepper.target == app.state.scene.target == "U"
        assert app.state.scene.run is app.state.stepper.run
        assert app.state.scene.timeline is app.state.stepper.timeline
        assert app.state.cursor == 1

    drive(app_of(article), script)


@pytest.mark.parametrize(
    ("words", "tour"), [([], True), (["--no-tour"], False), (["--seed", "3"], False), (["--text", "hello"], False)]
)
def test_the_tour_is_for_those_who_ask_for_nothing(
    words: list[str], tour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from unrollviz.cli import cli

    opened: list[bool] = []

    def debug(stepper: object, *, tour: bool) -> int:
        opened.append(tour)
        return 7

    monkeypatch.setenv("TEXTUAL_DRIVER", "textual.drivers.web_driver:WebDriver")
    monkeypatch.setattr(uz, "debug", debug, raising=False)
    assert CliRunner().invoke(cli, ["debug", *words]).exit_code == 7
    assert opened == [tour]


def test_a_long_complaint_has_a_window_of_its_own(article: uz.Run) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        def refuse(pulse: Callable[[str], None]) -> None:
            raise UnrollvizError("there is [b]no[/b] such thing, " * 9 + "and that is all")

        app._do("file", "trying", refuse, lambda found: None)
        await settled(app, pilot)
        assert isinstance(app.screen, Sheet)
        assert "there is [b]no[/b] such thing" in screen(app)
        assert "and that is all" in screen(app)
        await press(app, pilot, "escape")
        assert app.state.busy == ""

    drive(app_of(article), script)
