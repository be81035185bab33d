"""Iterations in the stepper: updates as events, from one iteration into the next and back, and a run's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import unrollviz as uz
from unrollviz.debugger import session
from unrollviz.debugger import stepper as go
from unrollviz.debugger.commands import obey
from unrollviz.debugger.learner import constant, fitted
from unrollviz.debugger.stepper import Stepper
from unrollviz.debugger.timeline import UNITS
from unrollviz.debugger.whatif import gradients
from unrollviz.errors import BadFile, UnknownName, UnrollvizError
from unrollviz.optim import OPTIMIZERS
from unrollviz.updates import Rule, updated


def learning(optimizer: str = "adam", updates: int = 20, cell: str = "elman", **rule: float) -> Stepper:
    run = uz.article(cell=cell)
    return go.opened(run, learner=constant(run, Rule(optimizer, **rule), updates))  # type: ignore[arg-type]


def by_hand(stepper: Stepper, iterations: int) -> dict[str, np.ndarray]:
    """The parameters after some iterations, by unrolling anew each time."""
    assert stepper.learner is not None
    network, rule = uz.article(cell=stepper.origin.network.cell).network, stepper.learner.rule
    params, memory = dict(network.params), rule.fresh(network.params)
    for _ in range(iterations):
        run = uz.article(cell=network.cell)
        again = uz.unroll(network.replace(**params), run.batch.inputs, run.batch.targets, initial=run.batch.initial)
        made = updated(rule, memory, params, gradients(again, again.loss_names()), stepper.learner.updates)
        params, memory = dict(made.new), made.memory
    return params


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(w, other[name]) for name, w in one.items())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("clip", [None, 0.1])
def test_old_and_step_make_new_to_the_last_bit(optimizer: str, clip: float | None) -> None:
    """Against the optimizer's own table, three iterations in; and the stepper stands where training by hand does."""
    stepper = learning(optimizer, clip=clip)  # type: ignore[arg-type]
    line = stepper.timeline
    last = [event for event in line.events if event.phase == "update"]
    assert [event.node for event in last] == list(stepper.origin.network.params)
    for _ in range(3):
        stepper = go.at(stepper, stepper.timeline.end)
        for name, w in stepper.run.network.params.items():
            found = stepper.state.update(name)
            assert found is not None
            np.testing.assert_array_equal(w + found.step(name), found.new[name])
            assert found.gradients[name] == pytest.approx(stepper.run.gradient(name), rel=1e-13, abs=1e-15)
            assert np.sqrt(sum((g**2).sum() for g in found.clipped.values())) <= (clip or 1e9)
        stepper = go.moved(stepper, "event", 1)
    assert (stepper.iteration, stepper.cursor) == (3, 1)
    assert equal(by_hand(stepper, 3), dict(stepper.run.network.params))


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-12, 1e-3, 1.0, 1e6]), kind=st.sampled_from([*OPTIMIZERS]))
def test_steps_of_any_size_add_up(seed: int, scale: float, kind: str) -> None:
    rng = np.random.default_rng(seed)
    params = {"W": rng.standard_normal((4, 4)) * scale}
    rule = Rule(kind, lr=float(rng.uniform(1e-4, 1)))
    made = updated(rule, rule.fresh(params), params, {"W": rng.standard_normal((4, 4))}, 1)
    off = np.abs(params["W"] + made.step("W") - made.new["W"])
    assert (off <= np.spacing(np.abs(made.new["W"])) * (kind == "adamw")).all()


def test_against_pytorch() -> None:
    torch = pytest.importorskip("torch")
    stepper = learning("adam", clip=0.5)
    params = {name: torch.tensor(w.copy(), requires_grad=True) for name, w in stepper.run.network.params.items()}
    theirs = torch.optim.Adam(params.values(), lr=0.01)
    for _ in range(4):
        for name, w in params.items():
            w.grad = torch.tensor(stepper.run.gradient(name).copy())
        torch.nn.utils.clip_grad_norm_(params.values(), 0.5)
        theirs.step()
        stepper = go.at_iteration(stepper, stepper.iteration + 1)
        for name, w in params.items():
            np.testing.assert_allclose(stepper.run.network.params[name], w.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("unit", UNITS)
def test_back_is_the_way_one_came(unit: str) -> None:
    stepper = learning(updates=2)
    forth = [stepper]
    while True:
        after = go.moved(forth[-1], unit, 1)
        if (after.iteration, after.cursor) == (forth[-1].iteration, forth[-1].cursor):
            break
        forth.append(after)
    assert (forth[-1].iteration, forth[-1].cursor) == (2, forth[-1].timeline.end)
    back = [forth[-1]]
    while (back[-1].iteration, back[-1].cursor) != (0, 0):
        back.append(go.moved(back[-1], unit, -1))
    assert [(s.iteration, s.cursor) for s in reversed(back)] == [(s.iteration, s.cursor) for s in forth]
    for one, other in zip(forth, reversed(back), strict=True):
        assert equal(dict(one.run.network.params), dict(other.run.network.params))
    many = go.moved(stepper, unit, len(forth) - 1)
    assert (many.iteration, many.cursor) == (2, many.timeline.end)
    assert go.moved(many, unit, 1 - len(forth)).cursor == 0
    assert go.leaves(forth[0], unit, 10_000)
    assert not go.leaves(forth[0], unit, 1)
    assert go.moved(stepper, "event", stepper.timeline.end + 1).iteration == 1


def test_jumps_steps_and_forgetting_lead_to_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    stepper = learning()
    far = go.at_iteration(stepper, 12)
    assert equal(by_hand(stepper, 12), dict(far.run.network.params))
    near = go.at_iteration(far, 5)
    monkeypatch.setattr("unrollviz.debugger.learner.KEPT", 1)
    forgetful = go.at_iteration(go.at_iteration(go.at_iteration(stepper, 12), 7), 5)
    assert set(forgetful.passed) == {0, 5}
    assert equal(dict(near.run.network.params), dict(forgetful.run.network.params))
    assert fitted(forgetful.passed, 5, 0) == forgetful.passed
    for wrong in (-1, 21):
        with pytest.raises(UnrollvizError, match="they go from 0 to 20"):
            go.at_iteration(stepper, wrong)
    with pytest.raises(UnrollvizError, match="open it with debug --optimizer adam"):
        go.at_iteration(go.opened(uz.article()), 1)


def test_breakpoints_find_their_way_through_iterations_both_ways() -> None:
    stepper = go.with_breakpoint(learning(), "W if phase == 'update' and iteration > 2")
    seen = []
    for _ in range(3):
        stepper, hit = go.continued(stepper)
        assert hit is not None
        event = stepper.state.event
        assert event is not None
        seen.append((stepper.iteration, event.phase, event.node))
    assert seen == [(3, "update", "W"), (4, "update", "W"), (5, "update", "W")]
    stepper, hit = go.continued(stepper, forward=False)
    assert stepper.iteration == 4
    assert stepper.breakpoints[0].hits == 4
    last, _ = go.continued(go.at_iteration(go.with_breakpoint(learning(), "c if phase == 'update'"), 3), forward=False)
    assert (last.iteration, last.cursor) == (2, last.timeline.end)
    stepper, _ = go.continued(go.continued(stepper, forward=False)[0], forward=False)
    assert (stepper.iteration, stepper.cursor) == (0, 0)
    for text in ("iteration=7", "phase=update if iteration == 7", "ratio > 0 and iteration == 7"):
        found, _ = go.continued(go.with_breakpoint(learning(), text))
        assert found.iteration == 7, text
    assert go.continued(go.with_breakpoint(learning(), "norm(W.step) > 100"))[0].iteration == 20
    plain = learning()
    assert [go.continued(plain)[0].cursor, go.continued(go.continued(plain)[0])[0].iteration] == [plain.timeline.end, 1]
    asked = go.with_breakpoint(learning(), "W if iteration > 15")
    assert go.continued(asked, stop=iter([False] * 30 + [True]).__next__) == (asked, None)
    for text in ("phase=update", "iteration=1"):
        with pytest.raises(UnrollvizError, match="no optimizer"):
            go.with_breakpoint(go.opened(uz.article()), text)


def test_watches_compare_with_the_stop_before_in_another_iteration() -> None:
    stepper = go.with_watch(learning(), "W[0, 0]")
    stepper = go.at(stepper, 10)
    after = go.at_iteration(stepper, 1)
    (reading,) = after.readings()
    assert reading.changed
    assert reading.before == stepper.run.network.params["W"][0, 0]
    assert reading.value == after.run.network.params["W"][0, 0] != reading.before
    assert after.cursor == 10
    assert not go.at(after, 11).readings()[0].changed
    finer = go.chosen(go.at_iteration(go.with_watch(go.at(stepper, 20), "cursor"), 1), detail="op")
    assert finer.readings()[1].before == 20
    names = {"old": "W.value", "new": "W.new", "step": "W.step"}
    end = go.at(stepper, stepper.timeline.end)
    values = {key: np.asarray(end.value_of(text)) for key, text in names.items()}
    np.testing.assert_array_equal(values["old"] + values["step"], values["new"])
    assert stepper.value_of("W.step") is None
    assert end.value_of("iteration") == 0
    assert np.asarray(end.value_of("W.clipped")).shape == (3, 3)
    with pytest.raises(UnknownName):
        end.value_of("W.stepp")


def test_what_is_changed_by_hand_goes_on_into_the_next_iterations() -> None:
    """As if that number had been learnt: the update is made from the changed run, and what was known is forgotten."""
    stepper = go.at_iteration(go.at_iteration(learning(), 6), 3)
    edited = go.edited(stepper, "set W[0, 0] = 0.5")
    after = go.at_iteration(edited, 4)
    assert not equal(dict(after.run.network.params), dict(go.at_iteration(stepper, 4).run.network.params))
    update = go.at(edited, edited.timeline.end).state.update("W")
    assert update is not None
    assert update.old["W"][0, 0] == 0.5
    np.testing.assert_array_equal(update.new["W"], after.run.network.params["W"])
    assert after.edits == ()
    back = go.at_iteration(go.at_iteration(after, 9), 3)
    assert [made.text for made in back.edits] == ["set W[0, 0] = 0.5"]
    far = go.at_iteration(edited, 9)
    assert equal(dict(far.run.network.params), dict(go.at_iteration(after, 9).run.network.params))
    assert equal(dict(go.at_iteration(edited, 2).run.network.params), by_hand(stepper, 2))
    undone = go.at_iteration(go.undone(back), 4)
    assert equal(dict(undone.run.network.params), dict(go.at_iteration(stepper, 4).run.network.params))
    clipped = go.at_iteration(go.edited(learning("gradient_descent"), "clip gradient 0.01"), 1)
    moved = [clipped.run.network.params[n] - w for n, w in learning().run.network.params.items()]
    assert np.sqrt(sum((d**2).sum() for d in moved)) == pytest.approx(0.001)


def test_the_losses_in_question_are_what_is_learnt_from() -> None:
    stepper = go.chosen(learning("gradient_descent"), losses="L2")
    after = go.at_iteration(stepper, 2)
    assert after.losses == ("L2",)
    one = go.at_iteration(stepper, 1)
    step = one.run.network.params["V"] - stepper.run.network.params["V"]
    np.testing.assert_allclose(step, -0.1 * stepper.run.gradient("V", "L2"), atol=1e-15)
    assert equal(dict(go.at_iteration(one, 2).run.network.params), dict(after.run.network.params))
    every = go.at_iteration(go.at_iteration(go.chosen(after, losses="all"), 0), 2)
    assert equal(dict(every.run.network.params), by_hand(stepper, 2))


def known(stepper: Stepper) -> list[object]:
    update = stepper.state.update("W")
    return [
        (stepper.iteration, stepper.cursor, stepper.edits, stepper.losses, str(stepper.readings())),
        [w.tobytes() for w in stepper.run.network.params.values()],
        None if update is None else update.new["W"].tobytes(),
    ]


@pytest.mark.parametrize("cell", ["elman", "lstm"])
def test_a_session_keeps_the_iteration(tmp_path: Path, cell: str) -> None:
    stepper = go.with_watch(learning(cell=cell, clip=0.3), "V[0, 0]")
    stepper = go.edited(go.at_iteration(stepper, 2), "set V[0, 0] = 0.25")
    stepper = go.at_iteration(stepper, 5)
    stepper = go.edited(go.at(stepper, stepper.timeline.end), "set V[1, 1] = 0.1")
    session.save(stepper, tmp_path / "s.json")
    opened = session.read(tmp_path / "s.json")
    assert known(opened)[1:] == known(stepper)[1:]
    assert known(go.at_iteration(opened, 7)) == known(go.at_iteration(stepper, 7))
    assert known(go.at_iteration(opened, 1))[1:] == known(go.at_iteration(stepper, 1))[1:]
    assert [made.text for made in go.at_iteration(opened, 2).edits] == ["set V[0, 0] = 0.25"]
    session.save(opened, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "s.json").read_bytes()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer", "none"),
        ("optimizer", 3),
        ("schedule", "\x1b"),
        ("numbers", {"beta1": "x"}),
        ("numbers", {"beta9": 0.5}),
        ("lr", float(-1)),
        ("clip", "1"),
        ("iteration", 10**9),
        ("iteration", -1),
        ("first", 3),
        ("updates", 1),
        ("memory", {}),
        ("memory", {"m": {}, "s": {}}),
        ("changed", [{"iteration": 1}]),
        ("changed", [{"iteration": 99, "losses": [], "edits": []}]),
        ("changed", [{"iteration": 1, "losses": [], "edits": ["set Q = 1"]}]),
    ],
)
def test_a_session_that_lies_about_its_iterations_is_refused(tmp_path: Path, key: str, value: object) -> None:
    content = session.said(go.at_iteration(learning(), 2))
    content["learning"][key] = value
    (tmp_path / "s.json").write_text(json.dumps(content))
    with pytest.raises(BadFile, match="learning: ") as error:
        session.read(tmp_path / "s.json")
    assert "\x1b" not in str(error.value)


def test_an_update_that_diverges_is_said_and_not_gone_beyond() -> None:
    stepper = learning("gradient_descent", lr=1e308)
    end = go.at(stepper, stepper.timeline.end)
    assert end.state.update("W") is None
    lines = obey(end, "info W").lines
    assert any("no finite number" in line for line in lines)
    with pytest.raises(UnrollvizError, match="lower the learning rate"):
        go.moved(end, "event", 1)


def test_the_same_event_of_another_iteration_is_another_place() -> None:
    stepper = obey(learning(), "next 10").stepper
    after = obey(stepper, f"next {stepper.timeline.end}").stepper
    assert (after.iteration, after.cursor) == (1, 10)
    assert obey(after, f"prev {stepper.timeline.end}").stepper.iteration == 0


def test_where_after_another_timeline_tells_of_its_own() -> None:
    stepper = learning()
    for line in ("watch norm(value)", "iteration 3", "cut s3 -> s2", "goto end", "iteration 4", "where"):
        stepper = obey(stepper, line).stepper
    assert stepper.iteration == 4


@pytest.mark.parametrize(("cell", "kinds"), [("elman", "uses:weights:"), ("lstm", "uses:weights,highway:")])
def test_iterations_are_compared_by_the_kinds_of_edges_that_there_are(cell: str, kinds: str) -> None:
    said = "\n".join(obey(obey(learning(cell=cell), "iteration 2").stepper, "compare 0").lines)
    assert kinds in said
