"""What if: edited runs against fresh ones, against sums over the paths that are left, and against forward mode."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import unrollviz as uz
from unrollviz.debugger import stepper as go
from unrollviz.debugger.whatif import BadEdit, Clip, Cut, Edit, Set, applied, compare, edit, gradients
from unrollviz.errors import NonFinite, UnknownName, UnrollvizError
from unrollviz.gradient import gradient
from unrollviz.graph import formula
from unrollviz.unrolled import unroll_batch

CELLS = ("elman", "gru", "lstm")


def close(found: np.ndarray, wanted: np.ndarray) -> bool:
    return bool(np.abs(found - wanted).max() <= 1e-12 * max(1.0, np.abs(wanted).max()))


def same(one: uz.Run, other: uz.Run) -> bool:
    """Equal values of all nodes, and gradients, to the last bit."""
    values = all(np.array_equal(one.graph.nodes[n]["value"], other.graph.nodes[n]["value"]) for n in other.graph)
    return values and all(np.array_equal(one.gradient(p), other.gradient(p)) for p in other.network.params)


@given(
    cell=st.sampled_from(CELLS),
    layers=st.integers(1, 2),
    both=st.booleans(),
    entry=st.integers(0, 2),
    value=st.floats(-2, 2),
    data=st.data(),
)
def test_a_set_number_gives_what_a_fresh_run_gives(
    cell: str, layers: int, both: bool, entry: int, value: float, data: st.DataObject
) -> None:
    run = uz.article(cell=cell, layers=layers, bidirectional=both)
    name = data.draw(st.sampled_from([p for p in run.network.params if run.network.params[p].ndim == 2]))
    step = data.draw(st.integers(1, 5))
    state = data.draw(st.sampled_from(sorted(run.batch.initial)))
    node = next(n for n, role in run.graph.nodes(data="role") if role == "initial" and n.startswith(state[:-1]))
    edits: list[Edit] = [edit(f"set {name}[{entry}, 1] = {value!r}", run), edit(f"set x{step}[3] = {value!r}", run)]
    edits.append(edit(f"set {node}[{entry}] = {value!r}", run))
    found = applied(run, edits, run.loss_names())
    weights = np.array(run.network.params[name])
    weights[entry, 1] = value
    inputs = run.batch.inputs.copy()
    inputs[step - 1, 0, 3] = value
    initial = {key: array.copy() for key, array in run.batch.initial.items()}
    initial[state][0, entry] = value
    network = run.network.replace(**{name: weights})
    fresh = uz.api.ask(unroll_batch(network, replace(run.batch, inputs=inputs, initial=initial)))
    assert same(found, fresh)
    assert same(applied(run, [], run.loss_names()), run)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(("cell", "node"), [("elman", "s3"), ("elman", "a3"), ("gru", "z2"), ("lstm", "c3")])
def test_a_computed_entry_that_is_set_depends_on_nothing(cell: str, node: str, both: bool) -> None:
    """Every gradient against central differences of the edited loss; the entry's own is that of the value set."""
    run = uz.article(cell=cell, layers=2, bidirectional=both)
    name = f"l1.{'bwd.' if both else ''}{node}"
    found = applied(run, [edit(f"set {name}[1] = 0.3", run)], run.loss_names())
    assert found.graph.nodes[name]["value"][0, 1] == 0.3
    assert run.graph.nodes[name]["value"][0, 1] != 0.3

    def loss(params: dict[str, np.ndarray], value: float = 0.3) -> float:
        network = run.network.replace(**params)
        return unroll_batch(network, run.batch, overrides={name: {(0, 1): value}}).loss

    step = 1e-5
    for parameter in (p for p in run.network.params if p.startswith(("l1", "V"))):
        gradient = found.gradient(parameter)
        for index in list(np.ndindex(gradient.shape))[:4]:
            sides = []
            for sign in (1, -1):
                moved = np.array(run.network.params[parameter])
                moved[index] += sign * step
                sides.append(loss({parameter: moved}))
            assert gradient[index] == pytest.approx((sides[0] - sides[1]) / (2 * step), abs=1e-9)
    own = (loss({}, 0.3 + step) - loss({}, 0.3 - step)) / (2 * step)
    assert found.gradient(name)[0, 1] == pytest.approx(own, abs=1e-9)
    target = name.removesuffix(node) + {"elman": "b", "gru": "b_z", "lstm": "b_f"}[cell]
    assert close(found.paths("L4", target).sum(), found.gradient(target, "L4"))


def test_what_follows_a_set_state_is_a_run_that_begins_there() -> None:
    run = uz.article()
    edits = [edit(f"set s3[{unit}] = {0.1 * unit}", run) for unit in range(3)]
    found = applied(run, edits, run.loss_names())
    later = uz.unroll(run.network, run.inputs[3:, 0], run.targets[3:, 0].argmax(axis=1), initial=[0.0, 0.1, 0.2])
    assert close(found.losses[3:], later.losses)
    assert close(found.gradient("W", ["L4", "L5"]), later.gradient("W"))
    assert close(found.losses[:2], run.losses[:2])
    assert not found.gradient("W", "L3").any()  # nothing goes back from a state of which every entry is set
    assert found.paths("L3", "W").count == 3
    assert found.gradient("s3").any()


def test_a_set_state_is_told_in_its_formula_and_in_those_above_it() -> None:
    run = uz.article()
    found = applied(run, [edit("set s3[1] = 0.5", run), edit("set s3[1] = -1", run)], run.loss_names())
    assert formula(found.graph, "s3", stop=found.level()) == "s₃ = tanh(U x₃ + W s₂ + b), s₃[1] set to -1"
    inside = applied(run, [edit("set a3[1] = 0.5", run)], run.loss_names())
    assert formula(inside.graph, "s3", stop=inside.level()).endswith("b), a₃[1] set to 0.5")
    assert inside.graph.nodes["s3"]["value"][0, 1] == np.tanh(0.5)


def test_learned_initial_states_are_parameters_to_set() -> None:
    run = uz.article(learn_initial=True)
    found = applied(run, [edit("set s0[1] = 0.5", run)], run.loss_names())
    assert found.network.params["s0"].tolist() == [0.0, 0.5, 0.0]


def test_one_of_several_instances_is_set() -> None:
    rng = np.random.default_rng(0)
    run = uz.unroll(
        uz.Network.init(inputs=2, hidden=2, outputs=2), rng.standard_normal((3, 2, 2)), np.ones((3, 2), int)
    )
    found = applied(run, [edit("set x2[1, 0] = 7", run), edit("set s0[-1, -1] = 3", run)], run.loss_names())
    assert found.inputs[1, 1, 0] == 7
    assert found.initial["s0"].tolist() == [[0, 0], [0, 3]]
    assert (found.inputs != run.inputs).sum() == 1
    with pytest.raises(BadEdit, match="shape \\(2, 2\\)"):
        edit("set x2[1] = 7", run)


def test_symbols_stay_on_the_nodes() -> None:
    run = uz.api.ask(uz.unrolled.unroll(uz.Network.init(inputs=2, outputs=2), [0, 1], [1, 0], vocabulary="ab"))
    found = applied(run, [edit("set W[0,0] = 1", run)], run.loss_names())
    assert found.graph.nodes["x2"]["symbol"] == "b"


@pytest.mark.parametrize("losses", [None, "L4"])
@pytest.mark.parametrize(
    ("cell", "cut", "target"),
    [
        ("elman", "s3 -> s2", "W"),
        ("elman", "s3 -> s2", "U"),
        ("elman", "s3 -> W", "W"),
        ("elman", "yhat3 -> s3", "W"),
        ("elman", "L4 -> yhat4", "W"),
        ("gru", "h3 -> h2", "W_n"),
        ("lstm", "c3 -> c2", "W_f"),
        ("lstm", "c3 -> h2", "W_f"),
        ("lstm", "h3 -> h2", "U_f"),
    ],
)
def test_a_cut_takes_exactly_the_paths_through_it(cell: str, cut: str, target: str, losses: str | None) -> None:
    run = uz.article(cell=cell)
    names = run.loss_names(losses)
    found = applied(run, [edit(f"cut {cut}", run)], names)
    head, tail = cut.split(" -> ")
    whole = run.paths(losses, target)

    def through(nodes: tuple[str, ...]) -> bool:
        return any(pair == (head, tail) for pair in pairwise(nodes))

    left = [path for path in whole if not through(path.nodes)]
    assert losses is not None or 0 < len(left) < whole.count
    expected = sum((path.term for path in left), start=np.zeros_like(whole.gradient))
    assert close(found.gradient(target, losses), expected)
    rest = found.paths(losses, target)
    assert rest.count == len(left)
    assert close(rest.sum(), expected)
    assert {path.nodes for path in rest} == {path.nodes for path in left}
    compared = compare(run, found, names, target, "state")
    assert compared.count == (whole.count, len(left))
    assert compared.vanished is not None
    assert sorted(compared.vanished) == sorted(path.nodes for path in whole if through(path.nodes))
    for name in run.graph:
        assert np.array_equal(found.graph.nodes[name]["value"], run.graph.nodes[name]["value"])
    assert found.loss == run.loss


def test_cutting_every_recurrence_beyond_a_lag_is_truncation() -> None:
    run = uz.article()
    found = applied(run, [Cut("s4", "s3"), Cut("s2", "s1")], ["L4"])
    truncated = run.gradient("W", "L4", truncate=0)
    assert close(found.gradient("W", "L4"), truncated)
    assert close(applied(run, [Cut("s3", "s2")], ["L4"]).gradient("W", "L4"), run.gradient("W", "L4", truncate=1))


def test_a_cut_shows_in_the_formula_and_at_every_level() -> None:
    run = uz.article()
    found = applied(run, [Cut("s3", "s2")], run.loss_names())
    assert formula(found.graph, "s3", stop=found.level()) == "s₃ = tanh(U x₃ + W cut(s₂) + b)"
    for detail in ("state", "op"):
        assert close(found.paths(to="W", detail=detail).sum(), found.gradient("W"))
    assert not found.level().has_edge("s2", "s3")
    assert "cut(s2)" not in found.level()
    assert run.level().has_edge("s2", "s3")  # the run itself is as it was
    assert list(found.graph).index("cut(s2)") < list(found.graph).index("W@s2")


def test_a_cut_that_would_take_more_is_refused() -> None:
    run = uz.article(layers=2, bidirectional=True)
    with pytest.raises(BadEdit, match="cannot be cut alone"):
        edit("cut l2.fwd.s3 -> l1.fwd.s3", run)
    assert edit("cut l2.fwd.s3 -> l2.fwd.s2", run) == Cut("l2.fwd.s3", "l2.fwd.s2")
    assert edit("cut l2.bwd.s2 -> l2.bwd.s3", run) == Cut("l2.bwd.s2", "l2.bwd.s3")


@pytest.mark.parametrize("node", ["s3", "s1", "yhat2", "logits2", "W", "a3"])
def test_a_clipped_cotangent_has_its_norm_and_its_direction(node: str) -> None:
    run = uz.article()
    losses = run.loss_names()
    before = gradient(run.graph, losses, node)
    limit = float(np.linalg.norm(before)) / 4
    found = applied(run, [Clip(node, limit)], losses)
    after = gradient(found.graph, losses, node)
    assert np.linalg.norm(after) == pytest.approx(limit, rel=1e-12)
    assert close(after * 4, before)
    assert same(applied(run, [Clip(node, limit * 5)], losses), run)
    assert close(found.paths(to="W").sum(), found.gradient("W"))


def test_what_lies_behind_a_clipped_node_is_scaled_with_it() -> None:
    run = uz.article()
    limit = float(np.linalg.norm(gradient(run.graph, ["L4"], "s2"))) / 2
    found = applied(run, [Clip("s2", limit)], ["L4"])
    terms = {path.nodes: path.term for path in run.paths("L4", "W")}
    for path in found.paths("L4", "W"):
        assert close(path.term, terms[path.nodes] * (0.5 if "s2" in path.nodes else 1.0))


@pytest.mark.parametrize(("node", "head"), [("yhat2", "L2"), ("logits2", "yhat2"), ("s2", "s3"), ("W", "W@s1")])
def test_a_clipped_edge_shows_the_textbook_s_jacobian_scaled(node: str, head: str) -> None:
    run = uz.article()
    limit = float(np.linalg.norm(gradient(run.graph, run.loss_names(), node))) / 4
    found = applied(run, [Clip(node, limit)], run.loss_names())
    detail = "state" if head == "s3" else "op"
    graphs = (one.level(detail, node) for one in (found, run))
    clipped, whole = (graph.edges[node, head, 0]["jacobian"] for graph in graphs)
    assert close(4 * clipped.matrix(), whole.matrix())
    assert clipped.norm() == pytest.approx(whole.norm() / 4)


def test_a_clipped_gradient_is_scaled_as_a_whole() -> None:
    run = uz.article()
    old = gradients(run, run.loss_names())
    norm = math.hypot(*(float(np.linalg.norm(g)) for g in old.values()))
    new = gradients(applied(run, [Clip("gradient", norm / 8)], run.loss_names()), run.loss_names())
    assert all(close(8 * new[name], old[name]) for name in old)
    assert all(close(old[name], run.gradient(name)) for name in old)


def test_edits_in_any_order_set_numbers_first() -> None:
    run = uz.article()
    one = applied(run, [Set("W", (0, 1), 0.5), Cut("s3", "s2")], run.loss_names())
    other = applied(run, [Cut("s3", "s2"), Set("W", (0, 1), 0.5)], run.loss_names())
    assert same(one, other)


def test_old_and_new_side_by_side() -> None:
    run = uz.article()
    found = applied(run, [Set("x3", (2,), 1.0)], run.loss_names())
    compared = compare(run, found, run.loss_names(), "W", "state")
    assert compared.loss == (run.loss, found.loss)
    assert {name: (old, new) for name, old, new in compared.losses}["L3"] == (run.losses[2], found.losses[2])
    by_name = {row.name: row for row in compared.gradients}
    before, after = run.gradient("W"), found.gradient("W")
    assert by_name["W"].old == pytest.approx(np.linalg.norm(before))
    assert by_name["W"].new == pytest.approx(np.linalg.norm(after))
    cosine = (before * after).sum() / np.linalg.norm(before) / np.linalg.norm(after)
    assert by_name["W"].cosine == pytest.approx(cosine)
    assert by_name["gradient"].old == pytest.approx(math.hypot(*(row.old for row in compared.gradients[1:])))
    assert compared.count == (15, 15)
    assert compared.vanished == ()


def test_too_many_paths_are_counted_and_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrollviz.debugger.whatif.LISTED", 14)
    run = uz.article()
    compared = compare(run, applied(run, [Cut("s3", "s2")], run.loss_names()), run.loss_names(), "W", "state")
    assert compared.count == (15, 9)
    assert compared.vanished is None


def test_undo_and_redo() -> None:
    first = go.at(go.opened(uz.article()), 40)
    cut = go.edited(first, "cut s3 -> s2")
    both = go.edited(cut, "set W[0, 1] = 0.5")
    back = go.undone(both)
    assert same(back.run, cut.run)
    assert back.edits == cut.edits
    assert back.undone == both.edits[1:]
    again = go.redone(back)
    assert same(again.run, both.run)
    assert (again.edits, again.undone) == (both.edits, ())
    start = go.undone(back)
    assert same(start.run, first.run)
    assert start.undone == both.edits
    assert same(go.redone(go.redone(start)).run, both.run)
    assert go.redone(go.redone(start)).edits == both.edits
    assert go.edited(back, "clip s3 0.1").undone == ()
    for function, stepper in ((go.undone, first), (go.redone, first)):
        with pytest.raises(UnrollvizError, match="nothing has been"):
            function(stepper)


def test_the_cursor_stays_at_its_event() -> None:
    stepper = go.opened(uz.article())
    for cursor in (0, 5, 31, 65):
        here = go.at(stepper, cursor)
        assert go.edited(here, "set W[0, 1] = 0.5").cursor == cursor
        after = go.edited(here, "cut s3 -> s2")
        if cursor:
            assert after.timeline.events[after.cursor - 1].phase == here.timeline.events[cursor - 1].phase


def test_clips_follow_the_losses() -> None:
    stepper = go.edited(go.opened(uz.article()), "clip gradient 0.1")
    one = go.chosen(stepper, losses="L2")
    assert one.comparison().gradients[0].new == pytest.approx(0.1)
    assert go.chosen(one, losses="all").comparison().gradients[0].new == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("set yhat3[0] = 1", "yhat3 is read off the logits"),
        ("set L3[0] = 1", "L3 is read off the logits"),
        ("set s3[3] = 1", "no entry \\[3\\]"),
        ("set W = 1", "is no edit; write set W"),
        ("set W[0] = 1", "no entry \\[0\\]"),
        ("set W[0, 3] = 1", "no entry \\[0, 3\\]"),
        ("set W[0, -4] = 1", "no entry"),
        ("set W[a] = 1", "is no edit"),
        ("set W[,] = 1", "names no entry"),
        ("set W[0, 1] = nan", "no finite number"),
        ("set W[0, 1] = 1e999", "no finite number"),
        ("set W[0, 1] = __import__", "no finite number"),
        ("set Q[0, 1] = 1", "unknown node 'Q'"),
        ("cut s3 -> s1", "no path leads from s3 straight back to s1"),
        ("cut s2 -> s3", "no path leads"),
        ("cut s3 -> q2", "did you mean"),
        ("cut s3", "is no edit; write cut"),
        ("clip L3 1", "is 1 by definition"),
        ("clip s3 -1", "not negative"),
        ("clip s3 x", "no finite number"),
        ("clip q 1", "unknown node"),
        ("drop s3", "unknown edit 'drop'"),
        ("", "unknown edit"),
    ],
)
def test_wrong_edits_are_refused(article: uz.Run, text: str, said: str) -> None:
    with pytest.raises((BadEdit, UnknownName), match=said):
        edit(text, article)


def test_an_edit_that_overflows_changes_nothing() -> None:
    run = uz.article(activation="identity")
    stepper = go.opened(run)
    with pytest.raises(NonFinite):
        go.edited(stepper, "set W[0, 1] = 1e308")
    assert stepper.edits == ()


@given(value=st.floats(allow_nan=False, allow_infinity=False), kind=st.sampled_from(["set W[1, 2] = ", "clip s3 "]))
def test_an_edit_is_what_its_text_says(article: uz.Run, value: float, kind: str) -> None:
    value = abs(value) if "clip" in kind else value
    made = edit(f"{kind}{value!r}", article)
    assert edit(made.text, article) == made
    assert (made.value if isinstance(made, Set) else made.norm) == value  # type: ignore[union-attr]


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_an_entry_that_is_set_to_no_number_is_named(value):
    run = uz.article(activation="relu")
    with pytest.raises(NonFinite, match="a2"):
        unroll_batch(run.network, run.batch, overrides={"a2": {(0, 1): value}})
