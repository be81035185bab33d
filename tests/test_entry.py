"""Paths that enter the parameter at some steps only: the same paths, in the same order, and what they are of all."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds
from test_cli import fails, from_json, output
from test_search import Model

import unrollviz as uz
from unrollviz.cells import CELLS
from unrollviz.errors import UnrollvizError
from unrollviz.jacobians import frobenius
from unrollviz.report.paths import paths_json

LONG = Model(cell="lstm", steps=100, hidden=8)


@st.composite
def questions(draw):
    """A small run of any cell, losses, a level, and steps at which some path enters."""
    model = Model(
        cell=draw(st.sampled_from(sorted(CELLS))),
        steps=draw(st.integers(1, 4)),
        hidden=2,
        layers=draw(st.integers(1, 2)),
        instances=draw(st.integers(1, 2)),
        bidirectional=draw(st.booleans()),
        seed=draw(seeds),
    )
    first = draw(st.integers(1, model.steps))
    losses = draw(st.sampled_from([None, f"L{model.steps}"]))
    return model.unroll(), losses, draw(st.sampled_from(("state", "gate"))), range(first, model.steps + 1)


@given(questions(), st.sampled_from(("norm", "share")))
def test_they_are_those_of_all_paths_that_enter_there(question, by):
    run, losses, detail, steps = question
    target = run.recurrent_weight
    whole, some = (run.paths(losses, target, detail=detail, entry=entry) for entry in (None, steps))
    wanted = [path for path in whole if path.entry in steps]
    assert [path.nodes for path in some] == [path.nodes for path in wanted]
    assert some.count == len(wanted)
    for ours, theirs in zip(some, wanted, strict=True):
        np.testing.assert_array_equal(ours.term, theirs.term)
        assert ours.norm == pytest.approx(theirs.norm, rel=1e-13)  # another number of rows is added up otherwise
    entered = run.flow(target, by="entry", losses=losses, detail=detail)
    rows = np.isin(entered.labels[:, 0], steps)
    scale = whole.norm_sum
    np.testing.assert_allclose(some.gradient, entered.terms[rows].sum(axis=0), rtol=0, atol=1e-13 * scale)
    np.testing.assert_allclose(some.sum(), some.gradient, rtol=0, atol=1e-13 * scale)
    if frobenius(whole.gradient) > 1e-6 * scale:
        assert some.entered.share(some.total) == pytest.approx(entered.shares[rows].sum(), rel=1e-6, abs=1e-9)
    heaviest = some.top(3, by)
    weights = sorted((heaviest.weight(path) for path in some), reverse=True)
    np.testing.assert_allclose([heaviest.weight(path) for path in heaviest], weights[:3], rtol=1e-8)


def test_among_1e41_paths_the_heaviest_with_long_lags_are_found_for_certain():
    paths = LONG.unroll().paths("L100", "W_f", entry="1..50")
    found = paths.top(8)
    assert paths.count > 10**40
    assert found.exact
    assert all(path.lag >= 50 for path in found)
    weights = [path.norm for path in found]
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] >= found.bound


def test_few_of_them_are_found_as_among_all_by_hand():
    run = replace(LONG, steps=9, hidden=3).unroll()
    whole = run.paths("L9", "W_f").table()
    late = np.isin(whole.entries, (3, 4))
    found = run.paths("L9", "W_f", entry=(3, 4)).top(20)
    np.testing.assert_allclose([path.norm for path in found], np.sort(whole.norms[late])[::-1][:20], rtol=1e-12)


def test_from_neuron_to_neuron_too():
    run = replace(LONG, cell="elman", steps=4, hidden=3).unroll()
    for target in ("W", "W[0,2]"):
        whole, some = (run.paths("L4", target, detail="unit", entry=entry) for entry in (None, "1..2"))
        every = [path for path in whole.top(whole.count) if path.entry <= 2]
        assert some.count == len(every)
        assert [path.nodes for path in some.top(some.count)] == [path.nodes for path in every]
        share = some.entered.share(some.total)
        assert share == pytest.approx(sum(path.share for path in every), rel=1e-10)


def test_what_all_paths_are_is_known_from_neuron_to_neuron_where_it_all_but_vanishes():
    """The sum by reverse sweep has no digit left there; the article's network with tiny weights around one path."""
    net, small = uz.article().network, 3e-162
    weights = {name: value.copy() for name, value in net.params.items()}
    weights["U"][2], weights["b"][2], weights["W"][2, :], weights["W"][:, 0] = small, 0, 0, 0
    weights["V"][:, 0] = small * np.arange(1, 5)
    run = uz.unroll(net.replace(**weights), uz.article().inputs, uz.article().targets)
    paths = run.paths("L4", "W[0,2]", detail="unit", entry="1..5")
    assert paths.entered.share(paths.total) == pytest.approx(1)


@pytest.mark.parametrize(
    ("entry", "steps", "said"),
    [
        (2, (2,), "step 2"),
        (np.int64(2), (2,), "step 2"),
        (np.array([1, 2]), (1, 2), "steps 1..2"),
        ([3, 1, 1], (1, 3), "2 steps from 1 to 3"),
        ((step for step in (2, 1)), (1, 2), "steps 1..2"),
        (" 2..4 ", (2, 3, 4), "steps 2..4"),
    ],
)
def test_steps_are_named_in_many_ways(entry, steps, said):
    paths = uz.article().paths("L4", "W", entry=entry)
    assert paths.entered.steps == steps
    assert str(paths.entered) == said
    assert said in repr(paths) and said in paths._repr_html_()
    assert json.loads(json.dumps(paths_json(paths, paths, False)))["entered_at"] == list(steps)


@pytest.mark.parametrize(
    ("target", "entry", "said"),
    [
        ("s2", 3, "all paths enter s2 at its own step, 2; entry is for those to a parameter"),
        ("V", 3, r"no path enters V there; choose among the steps 4 to 4"),
        ("W", (8, 9), r"entry \(8, 9\): choose among the steps 1 to 4"),
        ("W", [1, 99], r"entry \[1, 99\]: choose among the steps 1 to 4"),
        ("W", 0, "entry 0: choose among the steps 1 to 4"),
        ("W", (), r"entry \(\): choose among the steps 1 to 4"),
        ("W", 2.0, r"entry 2.0 is no step; give one, several, or a range such as '1..10'"),
        ("W", ["1", "2"], "is no step"),
        ("W", "1..9", r"entry 1..9: choose from step 1 to step 4"),
    ],
)
def test_what_are_no_such_steps_is_refused(target, entry, said):
    model = replace(LONG, cell="elman", steps=4, hidden=2)
    net = uz.Network.init("elman", 2, 2, 3)
    run = uz.unroll(net, np.ones((4, 2)), np.array([1]), readout="last") if target == "V" else model.unroll()
    with pytest.raises(UnrollvizError, match=said):
        run.paths("L4", target, entry=entry)


def test_a_loss_before_these_steps_has_no_such_path():
    assert uz.article().paths("L1", "W", entry="3").count == 0


def test_the_command_says_which_paths_and_what_they_are_of_all():
    text = output("paths", "--loss", "L4", "--entry", "1..2")
    assert text.startswith("a part of ∂L₄/∂W is a sum over 2 paths that enter at steps 1..2")
    assert "✓ equal" in text
    every = from_json("paths", "--loss", "L4", "--json")
    some = from_json("paths", "--loss", "L4", "--entry", "1..2", "--json")
    early = [path for path in every["paths"] if path["entry"] <= 2]
    assert [path["nodes"] for path in some["paths"]] == [path["nodes"] for path in early]
    assert some["entered_at"] == [1, 2]
    assert some["share_of_all"] == pytest.approx(sum(path["share"] for path in early))
    assert sum(path["share"] for path in some["paths"]) == pytest.approx(1)
    top = output("paths", "--loss", "L4", "--entry", "2", "--top", "1")
    assert top.startswith("∂L₄/∂W: 1 path that enters at step 2, by norm")
    assert "of their sum" in top
    assert "enters at step 3" in output("paths", "--loss", "L1", "--entry", "3")
    many = output("paths", "--cell", "lstm", "--steps", "60", "--loss", "L60", "--entry", "1..9", "--limit", "2")
    assert "unrollviz flow --loss L60 --steps 60 --cell lstm --param W_f --by entry" in " ".join(many.split())
    assert "that enter at steps 1..2 from neuron to neuron" in output("paths", "--entry", "1..2", "--detail", "unit")
    unit = from_json("paths", "--entry", "1..2", "--detail", "unit", "--json")
    assert unit["entered_at"] == [1, 2]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("1..x", "entry '1..x' is no range of steps; give one as 1..8"),
        ("4..2", "entry 4..2: choose from step 1 to step 5, the first one first"),
        ("0..2", "entry 0..2: choose from step 1 to step 5"),
    ],
)
def test_what_is_no_range_of_steps_is_refused(given, said):
    assert said in fails("paths", "--entry", given)


def test_the_graph_itself_stays_whole():
    run = uz.article()
    before = run.paths("L4", "W").count
    run.paths("L4", "W", entry="1")
    assert run.paths("L4", "W").count == before == 4
