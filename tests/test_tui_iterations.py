"""Iterations on the screen: real keys across updates, to an iteration, side by side; a run's folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_tui import SCRIPTS, Script, acts, app_for, drive, press, screen
from test_tui_app import write
from textual.pilot import Pilot

import unrollviz as uz
from unrollviz.debugger import stepper as go
from unrollviz.debugger.learner import constant
from unrollviz.debugger.opening import of_run
from unrollviz.training.runs import opened
from unrollviz.tui.app import DebugApp, first_scene
from unrollviz.tui.prompt import Prompt
from unrollviz.tui.sheet import Sheet
from unrollviz.updates import Rule


def learning(updates: int = 20, cell: str = "elman") -> DebugApp:
    run = uz.article(cell=cell)
    stepper = go.opened(run, learner=constant(run, Rule("adam", clip=1.0), updates))
    return DebugApp(first_scene(stepper), stepper)


@acts("next_iteration", "previous_iteration", "iteration", "compare")
async def without_an_optimizer_it_is_said(app: DebugApp, pilot: Pilot[None]) -> None:
    for key in ("}", "{", "G", "D"):
        await press(app, pilot, {"}": "right_curly_bracket", "{": "left_curly_bracket"}.get(key, key))
        assert "there is one iteration: no optimizer is given" in screen(app)
        await press(app, pilot, "n")
    assert "iteration" not in app.bars[2].render().plain


def test_keys_go_through_updates_into_the_next_iteration_and_back() -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "]", "]", "]", "]", "n", "n")
        text = screen(app)
        assert "update" in text
        assert "iteration 0 of 20" in text
        assert "W ← W + ΔW, which adam makes of clipped ∂L/∂W, η = 0.01" in text
        assert app.state.node == "W"
        assert "‖∂‖ 0.7587 clipped to 0.2023" in text
        assert "step ΔW" in text
        await press(app, pilot, "3", "down", "down")
        lit = app.state.lit.nodes
        assert app.state.lit.row != app.state.scene.heaviest()
        await press(app, pilot, "end", "n")
        assert (app.state.stepper.iteration, app.state.cursor) == (1, 1)
        assert app.state.lit.nodes == lit
        assert app.state.scene.timeline is app.state.stepper.timeline
        assert "iteration 1 of 20" in screen(app)
        await press(app, pilot, "p")
        assert (app.state.stepper.iteration, app.state.cursor) == (0, app.state.scene.timeline.end)
        await press(app, pilot, *"75n")
        assert (app.state.stepper.iteration, app.state.cursor) == (2, 5)

    DebugApp.CHORD = 600.0
    drive(learning(), script)


def test_to_an_iteration_and_to_the_same_event_of_the_next() -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "]", "]", "n", "n", "n")
        event = app.state.now.event
        await press(app, pilot, "right_curly_bracket", "right_curly_bracket")
        assert app.state.stepper.iteration == 2
        assert app.state.now.event == event
        await press(app, pilot, "left_curly_bracket")
        assert app.state.stepper.iteration == 1
        await write(app, pilot, "G", "12")
        assert app.state.stepper.iteration == 12
        assert app.state.now.event == event
        await press(app, pilot, "G", *"21", "enter")
        assert isinstance(app.screen, Prompt)
        assert "they go from 0 to 20" in screen(app)
        await press(app, pilot, "escape")
        await write(app, pilot, "G", "20")
        await press(app, pilot, "right_curly_bracket")
        assert app.state.stepper.iteration == 20
        assert "there is no iteration 21" in screen(app)

    drive(learning(), script)


def test_two_iterations_side_by_side() -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await write(app, pilot, "G", "9")
        await press(app, pilot, "D", "enter")
        assert isinstance(app.screen, Sheet)
        lines = app.screen.lines
        assert any(line.startswith("loss") for line in lines)
        assert "∂L/∂W_f by lag: iteration 0 (A) and iteration 9 (B)" in lines
        assert any("uses:weights,highway" in line for line in lines)
        assert "iteration 0 (old) and 9 (new)" in screen(app)
        loss = next(line.split() for line in lines if line.startswith("loss  "))
        assert float(loss[1]) > float(loss[2])
        assert loss[1] == f"{uz.article(cell='lstm').loss:.6f}"
        await press(app, pilot, "escape")

    drive(learning(cell="lstm"), script)


def test_what_if_and_breakpoints_across_iterations() -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await write(app, pilot, "x", "set W[0, 0] = 0.5")
        await press(app, pilot, "escape", "right_curly_bracket")
        changed = app.state.scene.run.network.params["W"]
        assert app.state.stepper.edits == ()
        await press(app, pilot, "left_curly_bracket")
        assert [made.text for made in app.state.stepper.edits] == ["set W[0, 0] = 0.5"]
        await press(app, pilot, "u", "right_curly_bracket")
        assert not np.array_equal(changed, app.state.scene.run.network.params["W"])
        await press(
            app, pilot, "B", *"W", "space", *"if", "space", *"iteration", "space", *"==", "space", *"4", "enter"
        )
        await press(app, pilot, "escape", "c")
        assert app.state.stepper.iteration == 4
        assert "stopped here once" in screen(app)
        await press(app, pilot, "C")
        assert (app.state.stepper.iteration, app.state.cursor) == (0, 0)

    drive(learning(), script)


def test_a_runs_folder_is_stepped_through_as_it_was(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    xs, targets, lengths = rng.standard_normal((6, 10, 3)), rng.integers(0, 2, (6, 10)), rng.integers(2, 7, 10)
    uz.train(uz.Network.init("lstm", 3, 4, 2), (xs, targets), lengths=lengths, epochs=4, batch=4, every=4,
             clip=0.5, schedule="cosine", folder=tmp_path / "run")  # fmt: skip
    folder = opened(tmp_path / "run")
    stepper = of_run(folder, 4)
    for iteration in range(4, 13):
        assert stepper.iteration == iteration
        assert all(np.array_equal(w, folder.at(iteration).params[n]) for n, w in stepper.run.network.params.items())
        before = stepper
        if iteration < 12:
            stepper = go.moved(go.at(stepper, stepper.timeline.end), "event", 1)
    assert before.learner is not None
    assert before.learner.updates == 12

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await write(app, pilot, "G", "7")
        assert app.state.stepper.iteration == 7
        here = app.state.scene.run.network.params
        assert all(np.array_equal(w, folder.at(7).params[name]) for name, w in here.items())
        await press(app, pilot, "home", "p")
        assert app.state.stepper.iteration == 6
        assert "iteration 6 of 12" in screen(app)

    drive(DebugApp(first_scene(before), before), script)


MINE = [script for script in dict.fromkeys(SCRIPTS.values()) if script.__module__ == __name__]


@pytest.mark.parametrize("script", MINE, ids=lambda script: script.__name__)
def test_action(script: Script, article: uz.Run) -> None:
    drive(app_for(article), script)
