"""Keys that come in one burst are handled one after another, whatever windows the first of them open and close."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_tui import app_for, drive, settled
from textual import events
from textual.pilot import Pilot

import unrollviz as uz
from unrollviz.tui.app import DebugApp

NAMED = {" ": "space", "=": "equals_sign", "[": "left_square_bracket", "]": "right_square_bracket", ".": "full_stop"}


def burst(app: DebugApp, *keys: str) -> None:
    """Keys as a terminal sends them that has them all at once."""
    for key in keys:
        app.post_message(events.Key(NAMED.get(key, key), key if len(key) == 1 else None))


async def until(pilot: Pilot[None], come: object) -> None:
    for _ in range(400):
        if come():  # type: ignore[operator]
            return
        await pilot.pause(0.01)
    raise AssertionError("it has not come to that")


def test_what_is_typed_in_one_burst_goes_where_it_was_meant(article: uz.Run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # s would save, e export

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        burst(app, "g", *"t=3", "enter", "n", "x", *"W[0,0] = 0", "ctrl+u", *"set W[0,0] = 0.5", "enter")
        await until(pilot, lambda: app.state.stepper.edits)
        await settled(app, pilot)
        assert [edit.text for edit in app.state.stepper.edits] == ["set W[0, 0] = 0.5"]
        assert app.state.cursor > 1
        assert len(app.screen_stack) == 2, "old and new are shown"
        burst(app, "escape", "b", "B", "escape", "]", "q")
        await until(pilot, lambda: app.return_code is not None)

    drive(app_for(article), script)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["s3", "yhat2"])
def test_what_is_pasted_right_behind_a_key_arrives(article: uz.Run, text: str) -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        burst(app, "g")
        app.post_message(events.Paste(text))
        burst(app, "enter")
        await until(pilot, lambda: app.state.node == text)

    drive(app_for(article), script)
