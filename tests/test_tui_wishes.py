"""What first users asked for: how far the gradient reaches, hints in a network's own names, which c is which."""

from __future__ import annotations

import re

import numpy as np
import pytest
from test_tui import app_for, drive, screen
from textual.pilot import Pilot

import unrollviz as uz
from unrollviz.counts import integer
from unrollviz.debugger import stepper as go
from unrollviz.debugger import telling
from unrollviz.debugger.whatif import edit
from unrollviz.gradient import gradient
from unrollviz.tui import questions
from unrollviz.tui import state as to
from unrollviz.tui.app import DebugApp
from unrollviz.tui.examples import fitted
from unrollviz.tui.geometry import geometry
from unrollviz.tui.help import help_text
from unrollviz.tui.look import palette
from unrollviz.tui.reach import FAINT, reach, sparkline
from unrollviz.tui.report import report
from unrollviz.tui.scene import scene


def lstm(steps: int = 60) -> uz.Run:
    rng = np.random.default_rng(0)
    net = uz.Network.init("lstm", inputs=4, hidden=8, outputs=4)
    return uz.unroll(net, rng.standard_normal((steps, 4)), rng.integers(0, 4, steps))


def test_reach_is_what_one_sweep_a_step_gives() -> None:
    run = lstm(40)
    found = reach(run.level("state"), None, "h7", "L40")
    assert found.kind == "h"
    assert found.times[0] == 40
    for step, norm in list(zip(found.times, found.norms, strict=True))[::7]:
        assert norm == pytest.approx(float(np.linalg.norm(gradient(run.graph, ["L40"], f"h{step}"))), rel=1e-9)
    first = next(step for step, norm in zip(found.times, found.norms, strict=True) if norm < FAINT)
    assert found.fades is not None
    assert found.fades <= first
    assert all(norm < FAINT for step, norm in zip(found.times, found.norms, strict=True) if step <= found.fades)
    assert found.norms[found.times.index(found.fades + 1)] >= FAINT


def test_one_key_tells_where_the_gradient_of_an_lstm_fades() -> None:
    run = lstm()
    wanted = reach(run.level("state"), None, "c1", "L60")
    assert wanted.fades is not None

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await pilot.press("k")
        await pilot.pause()
        assert f"falls under 1e-06 at step {wanted.fades}, lag {60 - wanted.fades}" in screen(app)

    drive(app_for(run, target="W_f"), script, (120, 40))


def test_a_sparkline_falls_with_the_norms() -> None:
    drawn = sparkline((1.0, 1e-2, 1e-4, 1e-6), 10)
    assert drawn == "█▆▄▁" or list(drawn) == sorted(drawn, reverse=True)
    assert len(sparkline(tuple(10.0**-k for k in range(100)), 20)) == 20
    assert sparkline((0.0, 0.0), 10) == ""


@pytest.mark.parametrize(
    ("cell", "text", "wanted"),
    [
        ("elman", "s3: through it · t=4 · W[0, 1]", "s3: through it · t=4 · W[0, 1]"),
        ("lstm", "s3: through it · !s2 · s* · W.grad[0, 1]", "h3: through it · !h2 · h* · W_f.grad[0, 1]"),
        ("gru", "set x3[2] = 1, cut s3 -> s2", "set x3[2] = 1, cut h3 -> h2"),
        ("elman", "names: cotangent, loss, ∂⁺s₃/∂W, states, abs", "names: cotangent, loss, ∂⁺s₃/∂W, states, abs"),
    ],
)
def test_examples_have_the_names_of_the_network(cell: str, text: str, wanted: str) -> None:
    run = uz.article(cell=cell)
    assert fitted(text, run) == wanted.replace("W_f", run.recurrent_weight)


def test_examples_name_no_step_that_is_not_there() -> None:
    letters = uz.spell("hi")
    run = uz.unroll(uz.Network.init(inputs=2, hidden=2, outputs=2), letters.xs, letters.targets)
    assert fitted("s3 · t=4 · x3", run) == "s1 · t=1 · x1"


def test_what_the_prompts_of_an_lstm_say_can_be_typed_there() -> None:
    run = uz.article(cell="lstm")
    stepper = go.opened(run)
    state = to.opening(scene(run, "state", run.loss_names(), run.recurrent_weight), stepper)
    for prompt in (questions.what_if(state), questions.go_to(state), questions.watch(state)):
        assert "s3" not in prompt.hint
    forms = re.split(r", (?=set |clip )|\n", questions.what_if(state).hint)
    assert len(forms) == 6
    for form in forms:
        edit(form, run)
    told = help_text(palette(True), run).plain
    assert "h3.value[0]" in told
    assert "s3" not in told.split("What if (x)")[1].split("Marks")[0]


def test_set_need_not_be_typed(article: uz.Run) -> None:
    assert edit("W[0, 1] = 0.5", article) == edit("set W[0, 1] = 0.5", article)


def test_old_and_new_are_told_with_their_difference(article: uz.Run) -> None:
    compared = go.edited(go.opened(article), "W[0, 1] = 0.5").comparison()
    lines = telling.difference(compared)
    old, new = compared.loss
    assert "new − old" in lines[0]
    told = next(line.split() for line in lines if line.startswith("loss"))
    assert told[1:] == [f"{old:.6f}", f"{new:.6f}", f"{new - old:+.3e}"]
    points = {line.index(".") for line in lines if line.startswith(("loss", "L", "norm"))}
    assert len(points) == 1
    assert next(line for line in lines if line.startswith("paths")).split()[-1] == "0"


def test_the_two_rows_called_c_are_told_apart() -> None:
    run = uz.article(cell="lstm")
    shown = scene(run, "state", run.loss_names(), "W_f")
    labels = geometry(shown, 80, 24).labels
    assert len(set(labels)) == len(labels)
    assert "c" in labels
    assert "c param" in labels
    assert "c" in geometry(scene(uz.article(), "state", ["L1"], "W"), 80, 24).labels


@pytest.mark.parametrize("height", [8, 24])
def test_lines_inside_a_step_are_seen_at_level_op(article: uz.Run, height: int) -> None:
    assert geometry(scene(article, "op", ["L4"], "W"), 80, height).height == 2


def test_the_edge_page_says_which_state_multiplies_the_gradient(article: uz.Run) -> None:
    state = to.opening(scene(article, "state", article.loss_names(), "W"))
    state = to.at(state, state.scene.timeline.end)
    place = state.scene.layout.copies["W", "s3", 0]
    state = to.selected(state, place)
    state = to.looked(state, type(state.lens)(page="edge"))
    assert "W multiplies s₂: ∂L/∂W gets ∂L/∂a₃ · s₂ᵀ" in report(state, 80, 30, palette(True)).plain


def test_a_window_leaves_no_dead_keys_below_it() -> None:
    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        assert "n p event" in screen(app)
        await pilot.press("x")
        await pilot.pause()
        assert "n p event" not in screen(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "n p event" in screen(app)

    drive(app_for(uz.article()), script, (80, 24))


def test_counts_of_any_size_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python refuses to write more than 4,300 digits."""
    run = lstm(3)
    paths, units = run.paths(None, "W_f"), run.paths("L3", "W_f[0,0]", detail="unit")
    huge = 123 * 10**4_998
    for one, name in ((paths, "PathSet"), (units, "UnitPaths")):
        monkeypatch.setattr(type(one), "count", property(lambda _: huge))
        assert f"<{name}" in repr(one)
        assert "1.230e+5000 paths" in repr(one)
    assert integer(huge) == "1.230e+5000"
    with pytest.raises(OverflowError, match=r"1\.230e\+5000"):
        len(paths)
