"""Paths that enter the parameter at some steps only: the same paths, in the same order, and what they are of all."""

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
        assert ours.norm == theirs.norm
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


def test_where_none_enters_it_is_said_where_they_do():
    run = replace(LONG, cell="elman", steps=4).unroll()
    with pytest.raises(UnrollvizError, match=r"no path enters s2 at step 3; choose among the steps 2 to 2"):
        run.paths("L4", "s2", entry="3")
    with pytest.raises(UnrollvizError, match=r"no path enters W at steps 8\.\.9; choose among the steps 1 to 4"):
        run.paths("L4", "W", entry=(8, 9))
    with pytest.raises(UnrollvizError, match="at no step"):
        run.paths("L4", "W", entry=())
    assert run.paths("L1", "W", entry="3").count == 0
    assert run.paths("L4", "W", entry=3).count == 1


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
    assert "that enter at steps 1..2 from neuron to neuron" in output("paths", "--entry", "1..2", "--detail", "unit")
    unit = from_json("paths", "--entry", "1..2", "--detail", "unit", "--json")
    assert unit["entered_at"] == [1, 2]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("1..x", "--entry '1..x' is no range of steps; give one as 1..8"),
        ("4..2", "--entry 4..2: choose from step 1 to step 5, the first one first"),
        ("0..2", "--entry 0..2: choose from step 1 to step 5"),
    ],
)
def test_what_is_no_range_of_steps_is_refused(given, said):
    assert said in fails("paths", "--entry", given)


def test_the_graph_itself_stays_whole():
    run = uz.article()
    before = run.paths("L4", "W").count
    run.paths("L4", "W", entry="1")
    assert run.paths("L4", "W").count == before == 4
