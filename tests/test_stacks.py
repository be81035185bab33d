"""Rows that all but vanish: scaled by powers of two, merged, summed; a gradient of 1e-340 is not 0."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import unrollviz as uz
from unrollviz.arrays import arithmetic, room
from unrollviz.errors import UnrollvizError
from unrollviz.forward import forward_sweep
from unrollviz.gradient import edge_shares, truncation
from unrollviz.jacobians import Diagonal, Outer
from unrollviz.labels import Places
from unrollviz.report.paths import paths_text, top_json, top_text
from unrollviz.stacks import STRIDE, TINY, Stack, consolidated, merge, rescaled, scale_up, times_power
from unrollviz.terms import TermSum


def value(row, exponent):
    """rows · 2^exponents, exactly."""
    return [Fraction(float(x)) * Fraction(2) ** int(exponent) for x in np.ravel(row)]


def values(stack):
    powers = np.zeros(len(stack), dtype=int) if stack.exponents is None else stack.exponents
    labels = [tuple(label) for label in stack.labels.tolist()]
    return {label: value(row, power) for label, row, power in zip(labels, stack.rows, powers, strict=True)}


numbers = st.integers(-8, 8).map(float)
powers = st.sampled_from([0, 0, -256, -1280, -2304])


@st.composite
def stacks(draw):
    labels = sorted(draw(st.sets(st.integers(0, 4), min_size=1, max_size=4)))
    rows = np.array([[draw(numbers), draw(numbers)] for _ in labels])[:, None]
    exponents = np.array([draw(powers) for _ in labels]) if draw(st.booleans()) else None
    return Stack(np.array(labels)[:, None], rows, exponents)


@given(parts=st.lists(stacks(), min_size=1, max_size=4))
def test_merged_rows_are_the_sums_whatever_their_powers_of_two(parts):
    expected = {}
    for part in parts:
        for label, row in values(part).items():
            expected[label] = [a + b for a, b in zip(expected.get(label, [0, 0]), row, strict=True)]
    for found in (merge(parts), merge([consolidated(part) for part in parts])):
        assert list(values(found)) == sorted(expected)
        for label, row in values(found).items():
            largest = max(abs(x) for part in parts for x in values(part).get(label, [Fraction(0)]))
            assert all(abs(a - b) <= largest * Fraction(1, 2**50) for a, b in zip(row, expected[label], strict=True))


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    exponents=st.lists(powers, min_size=8, max_size=8),
    rows=st.lists(numbers, min_size=8, max_size=8),
)
def test_consolidated_labels_are_sorted_and_different(labels, exponents, rows):
    stack = Stack(np.array(labels)[:, None], np.array(rows[: len(labels)])[:, None], np.array(exponents[: len(labels)]))
    found = consolidated(stack)
    assert found.labels[:, 0].tolist() == sorted(set(labels))
    for label, (total,) in zip(sorted(set(labels)), values(found).values(), strict=True):
        members = [value(r, e)[0] for r, e, x in zip(stack.rows, stack.exponents, labels, strict=True) if x == label]
        assert abs(total - sum(members)) <= max(map(abs, members)) * Fraction(1, 2**50)


def test_small_rows_beside_one_that_is_no_number_are_scaled_too():
    stack = Stack(np.arange(3)[:, None], np.array([[math.nan, 1.0], [1e-200, 0.0], [1.0, 1.0]]))
    assert rescaled(stack).exponents.tolist()[1:] == [-2 * STRIDE, 0]


def test_small_rows_are_scaled_without_changing_a_digit():
    rows = np.array([[1.0, -3.0], [1e-60, 3.1e-70], [0.0, 0.0], [-1e-300, 1e-290], [5e-324, 0.0], [0.3 * TINY, 0.0]])
    stack = Stack(np.arange(6)[:, None], rows)
    found = rescaled(stack)
    assert values(found) == values(stack)
    assert found.exponents.tolist()[:3] == [0, 0, 0], "neither large, nor small enough, nor 0"
    assert (found.exponents % STRIDE == 0).all()
    assert np.abs(found.rows).max(axis=1).tolist()[2] == 0
    assert (np.abs(found.rows[[3, 4, 5]]).max(axis=1) >= TINY).all()
    again = rescaled(found)
    assert values(again) == values(stack)
    large = Stack(np.zeros((1, 1), dtype=int), np.ones((1, 3)))
    assert rescaled(large) is large


@given(st.lists(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2**40)), min_size=1), min_size=1, max_size=4))
def test_places_are_those_among_all_different_labels(parts):
    for shrink in (1, 2**41):
        arrays = [np.array([(a, b // shrink) for a, b in part]) for part in parts]
        found = Places.of(arrays)
        different = sorted({tuple(row) for array in arrays for row in array.tolist()})
        assert [tuple(row) for row in found.labels.tolist()] == different
        shown = dict(zip(found.shown(np.arange(found.size)).tolist(), different, strict=True))
        assert len(shown) == len(different) <= found.size
        for array, where in zip(arrays, found.where, strict=True):
            assert [shown[place] for place in np.arange(found.size)[where]] == [tuple(row) for row in array.tolist()]


# ---------------------------------------------------------------- sums


@given(data=st.data(), gathered=st.sampled_from([1, 2, 64]))
def test_sums_of_terms_with_powers_of_two(data, gathered):
    total = TermSum(3, (2, 2))
    total.GATHERED = gathered
    expected = [[Fraction(0)] * 4 for _ in range(3)]
    largest = [Fraction(0)] * 3
    for _ in range(data.draw(st.integers(1, 6))):
        place = np.array(sorted(data.draw(st.sets(st.integers(0, 2), min_size=1))))
        rows = np.array([[[data.draw(numbers), data.draw(numbers)]] for _ in place])
        x = np.array([[data.draw(numbers), 1.0]])
        exponents = np.array([data.draw(powers) for _ in place]) if data.draw(st.booleans()) else None
        total.add(place, rows, Outer(x, 2), exponents)
        for index, at in enumerate(place):
            term = value(rows[index, 0][:, None] * x[0][None], 0 if exponents is None else exponents[index])
            expected[at] = [a + b for a, b in zip(expected[at], term, strict=True)]
            largest[at] = max([largest[at], *map(abs, term)])
    norms, raised = total.norms()
    for at in range(3):
        square = sum(x * x for x in expected[at])
        found = Fraction(float(norms[at])) * Fraction(2) ** int(0 if raised is None else max(raised[at], -9999))
        assert abs(found**2 - square) <= largest[at] ** 2 * Fraction(1, 2**45)


def test_a_sum_that_begins_small_grows():
    total = TermSum(1, (1, 2))
    jacobian = Diagonal(np.ones((1, 2)))
    first = np.zeros(1, dtype=int)
    for exponent in (-1300, -1290, -1500):
        total.add(first, np.ones((1, 1, 2)), jacobian, np.array([exponent]))
    norms, raised = total.norms()
    assert math.log2(norms[0]) + raised[0] == pytest.approx(-1290 + 0.5, abs=0.01)
    total.add(first, np.full((1, 1, 2), 3.0), jacobian)
    np.testing.assert_array_equal(total.result(), [[[3.0, 3.0]]])


# ---------------------------------------------------------------- networks that vanish


def vanishing(weight, steps, cell_like=1):
    """s stays near 1 forwards (its input does it), ∂s_t/∂s_{t-1} = weight: terms of lag n have norm ∝ weight^n."""
    net = uz.Network(
        "elman",
        {
            "U": np.eye(cell_like),
            "W": weight * np.eye(cell_like),
            "b": np.zeros(cell_like),
            "V": np.vstack([np.ones(cell_like), np.zeros(cell_like)]),
            "c": [0.0, 0.0],
        },
        "identity",
    )
    return uz.unroll(net, np.ones((steps, cell_like)), np.zeros(steps, dtype=int))


@pytest.mark.parametrize("detail", ["state", "op"])
@pytest.mark.parametrize("weight", [1e-3, 1e-20, 1e-45])
def test_log_norms_stay_finite_however_far_the_gradient_has_vanished(weight, detail):
    steps = 1 + int(340 / -math.log10(weight)) + 4
    run = vanishing(weight, steps)
    error = abs(run.gradient(f"s{steps}", f"L{steps}")[0, 0])
    for by in ("lag", "entry", "temporal", "route"):
        found = run.flow("U", by, f"L{steps}", detail=None if by == "route" else detail)
        order = np.argsort(-found.log10_norms)
        expected = math.log10(error) + math.log10(weight) * np.arange(steps)
        np.testing.assert_allclose(found.log10_norms[order], expected, atol=1e-9)
        assert found.log10_norms.min() < -340
        shown = found.norms[order]
        np.testing.assert_allclose(shown[expected > -300], 10 ** expected[expected > -300], rtol=1e-9)
        assert (shown[expected < -325] == 0).all()
    both = run.flow("U", "lag")  # sums over losses, each of many vanished terms
    np.testing.assert_allclose(np.diff(both.log10_norms)[-3:], math.log10(weight), atol=1.0)
    np.testing.assert_allclose(both.terms.sum(axis=0), run.gradient("U"), rtol=1e-12)


def test_a_gradient_that_vanished_altogether_is_not_0():
    run = vanishing(1e-20, 20)
    error = abs(run.gradient("s20", "L20")[0, 0])
    assert not run.gradient("s1", "L20").any()
    for by in ("lag", "total", "entry"):
        found = run.flow("s1", by, "L20")
        assert found.log10_total_norm == pytest.approx(math.log10(error) - 380)
        assert found.log10_norms.tolist() == pytest.approx([found.log10_total_norm])
        assert found.shares.tolist() == pytest.approx([1.0])
        assert found.cancellation == pytest.approx(1.0)
    whole = run.flow("U", "lag")
    assert whole.log10_total_norm == pytest.approx(math.log10(whole.total_norm))


@pytest.mark.parametrize("detail", ["state", "op"])
@pytest.mark.parametrize("weight", [1e-20, -1e-45])
def test_single_paths_and_branches_that_have_vanished_are_not_0(weight, detail):
    steps = 1 + int(340 / -math.log10(abs(weight))) + 4
    run = vanishing(weight, steps)
    error = abs(run.gradient(f"s{steps}", f"L{steps}")[0, 0])
    expected = [math.log10(error) + math.log10(abs(weight)) * lag for lag in range(steps)]
    paths = run.paths(f"L{steps}", "U", detail=detail)
    found = sorted(paths, key=lambda path: path.lag)
    np.testing.assert_allclose([path.log10_norm for path in found], expected, atol=1e-9)
    assert found[-1].norm == 0 and found[0].norm == pytest.approx(error)
    assert found[-1].term == 0 and found[1].term[0, 0] == pytest.approx(found[0].term[0, 0] * weight)
    assert [path.lag for path in paths.top(steps)] == list(range(steps)), "also those that are 0 in float64 are sorted"
    tree = run.tree(f"L{steps}", "U", detail=detail)
    branch = tree.find(found[-1].nodes)
    assert branch.log10_norm == pytest.approx(expected[-1])
    partial = tree.find(found[-1].nodes[:-1])
    assert partial.norm == 0 and partial.log10_norm == pytest.approx(expected[-1])


def test_shares_of_a_gradient_that_vanished_altogether():
    run = vanishing(1e-20, 20, 2)
    error = run.gradient("s20", "L20")[0, 0]
    paths = run.paths("L20", "s1")
    assert paths.total_norm == 0
    assert paths.log10_total_norm == pytest.approx(math.log10(math.sqrt(2) * abs(error)) - 380)
    assert [path.share for path in paths] == pytest.approx([1.0])
    tree = run.tree("L20", "s1")
    assert tree.root.share == 1.0
    branch = tree.root
    while branch.children():
        branch = branch.children()[0]
        assert branch.share == pytest.approx(1.0)
        assert branch.log10_norm == pytest.approx(paths.log10_total_norm)
    assert paths.cancellation == pytest.approx(1.0)
    cut = truncation(run.level("state", "s1"), ["L20"], "s1", 19)
    assert (cut.cosine, cut.norm_ratio) == (pytest.approx(1.0), pytest.approx(1.0))
    assert truncation(run.level("state", "s1"), ["L20"], "s1", 3).norm_ratio == 0
    with pytest.raises(UnrollvizError, match="give 0 or more"):
        truncation(run.level("state", "s1"), ["L20"], "s1", -1)
    said = "\n".join(paths_text(run, paths, list(paths)))
    assert "too small for float64 to add them up" in said and "equal" not in said
    heaviest = paths.top(1, by="share")
    assert heaviest.coverage == pytest.approx(1.0)
    assert heaviest.left.log10_norm < paths.log10_total_norm - 13
    shares = edge_shares(run.level("state", "s1"), ["L20"], "s1")
    assert list(shares.values()) == pytest.approx([1.0] * len(shares))


def test_a_search_among_paths_that_have_vanished(monkeypatch):
    """Best first finds what walking all finds, though all norms are 0 in float64."""
    rng = np.random.default_rng(0)
    net = uz.Network.init("lstm", 2, 3, 2, seed=3)
    scaled = {name: 1e-3 * value for name, value in net.params.items() if name.startswith("W")}
    run = uz.unroll(net.replace(**scaled), rng.normal(size=(160, 2)), rng.integers(0, 2, 160))
    whole = run.paths("L160", "h0", detail="state")[:3000]
    walked = whole.top(5)
    assert walked[0].norm == 0 and walked[0].log10_norm > -700
    monkeypatch.setattr("unrollviz.paths.pathset.SCAN_LIMIT", 0)
    searched = whole.top(5)
    assert searched.exact and searched.expansions > 0
    assert [path.nodes for path in searched] == [path.nodes for path in walked]
    report = top_json(whole, searched, terms=False)["top"]
    assert report["log10_bound"] == pytest.approx(whole.top(6)[5].log10_norm, abs=1e-6)
    assert report["log10_residual_norm"] is not None
    said = top_text(whole, replace(searched, exact=False))[-1]
    assert f"norm at most {10 ** (report['log10_bound'] % 1):.3f}e{math.floor(report['log10_bound'])}" in said
    assert [path.log10_norm for path in searched] == pytest.approx([path.log10_norm for path in walked], abs=1e-9)


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
def test_saturated_units_keep_logarithms_too(cell):
    """Slopes of 1e-90: no float64 would hold the product of four."""
    rng = np.random.default_rng(1)
    net = uz.Network.init(cell, 2, 3, 2, seed=1)
    bias = {"elman": ("b", 105.0), "lstm": ("b_f", -210.0), "gru": ("b_z", -210.0)}[cell]
    params = {bias[0]: net.params[bias[0]] + bias[1]}
    run = uz.unroll(net.replace(**params), rng.normal(size=(9, 2)), rng.integers(0, 2, 9))
    weight = run.recurrent_weight
    for detail in ("state", "op"):
        paths = run.paths("L9", weight, detail=detail)[:200]
        tree = run.tree("L9", weight, detail=detail)
        for path in list(paths):
            expected = tree.find(path.nodes).log10_norm  # scaled at every edge
            assert path.log10_norm == pytest.approx(expected, abs=1e-9), path.nodes
    logs = run.flow(weight, "entry", "L9").log10_norms
    assert np.isfinite(logs[1:]).all(), "s0 is 0, so that the term of step 1 is"
    if cell == "elman":
        assert logs[1] < -600
    tangents = dict(forward_sweep(run.graph, weight, np.ones((1, *run.network.params[weight].shape))))
    assert all(np.isfinite(stack.rows).all() for stack in tangents.values())


def test_terms_of_zero_have_no_logarithm(article):
    net = article.network.replace(V=np.zeros((4, 3)))
    run = uz.unroll(net, article.inputs, article.targets)
    found = run.flow("W", by="lag")
    assert (found.norms == 0).all()
    assert (found.log10_norms == -np.inf).all()


def test_a_path_along_a_slight_unit_beside_a_strong_one_keeps_its_logarithm():
    """What a row shrinks by is not the largest entry of a weight."""
    for weight, steps in ((1e-30, 40), (1e-35, 40), (1e-50, 12), (1e-120, 9)):
        net = uz.Network.init("elman", 2, 2, 2, seed=1, activation="identity")
        net = net.replace(W=np.diag([1.0, weight]), V=np.array([[0.0, 1.0], [0.0, -1.0]]))
        run = uz.unroll(net, np.random.default_rng(0).normal(size=(steps, 2)), np.zeros(steps, dtype=int))
        found = run.flow("W", by="temporal")
        errors = [abs(run.gradient(f"s{t}", f"L{t}")[0, 1]) for t in range(1, steps + 1)]
        states = [np.linalg.norm(run.graph.nodes[f"s{k}"]["value"]) for k in range(steps)]
        for (t, k), log in zip(found.labels.tolist(), found.log10_norms, strict=True):
            if k > 1:  # s0 is 0
                expected = math.log10(errors[t - 1]) + (t - k) * math.log10(weight) + math.log10(states[k - 1])
                assert log == pytest.approx(expected, abs=1e-9)
        tangents = dict(forward_sweep(run.graph, "s1", np.array([[[0.0, 1.0]]])))
        last = tangents[f"s{steps}"]
        assert math.log10(last.rows[0, 0, 1]) + last.exponents[0] * math.log10(2) == pytest.approx(
            (steps - 1) * math.log10(weight)
        )


def moderate_slopes_then_a_steep_one():
    net = uz.Network.init("elman", 1, 2, 2, seed=1)
    net = net.replace(U=np.ones((2, 1)), W=1e-3 * np.array([[1.0, 1.0], [1.0, -1.0]]), b=np.full(2, 17.9))
    inputs = np.where(np.arange(40) % 7 == 3, 170.0, 0.0)[:, None]
    return uz.unroll(net, inputs, np.zeros(40, dtype=int), readout="last"), "W"


def many_layers_of_moderate_slopes():
    net = uz.Network.init("elman", 2, 2, 2, layers=20, seed=1)
    net = net.replace(**{name: value + 16.0 for name, value in net.params.items() if name.endswith(".b")})
    inputs = np.random.default_rng(0).normal(size=(24, 2))
    return uz.unroll(net, inputs, np.zeros(24, dtype=int), readout="last"), "l1.W"


def units_that_die_in_turn():
    """A row lies in the unit that dies, all but 1e-20, step after step; both singular values of W are 1."""
    net = uz.Network(
        "elman", {"U": np.eye(2), "W": [[1, 1e-20], [-1e-20, 1]], "b": [0, 0], "V": [[1, 1]], "c": [0]}, "relu"
    )
    inputs = np.array([[1.0, -10.0], [-10.0, 1.0]] * 100)
    return uz.unroll(net, inputs, np.zeros((200, 1)), loss="squared_error", readout="last"), "W"


def a_unit_that_dies_far_back():
    net = uz.Network(
        "elman", {"U": np.eye(2), "W": np.diag([1, 2.0**-10]), "b": [0, 0], "V": [[1, 1]], "c": [0]}, "relu"
    )
    inputs = np.ones((200, 2))
    inputs[104] = [-1e6, 1.0]
    return uz.unroll(net, inputs, np.zeros((200, 1)), loss="squared_error", readout="last"), "W"


def two_paths_through_a_gru_that_cancel():
    """That by way of n and that by way of r, all but a thousandth, at every step."""
    n, (weight, bias) = 0.3, (1.0, 0.2)
    reset = -weight / (0.5 * (weight * n + bias)) * (1 + 1e-3)
    sizes = {
        **{"W_r": reset, "W_z": 0.1, "W_n": weight, "U_r": 1.0, "U_z": 1.0, "U_n": 1.0, "V": 1.0},
        **{"b_r": -reset * n, "b_z": -8.0, "b_n": np.arctanh(n) - 0.5 * (weight * n + bias), "b_hn": bias, "c": 0.0},
    }
    params = {name: np.full((1, 1) if name[0] in "UWV" else (1,), size) for name, size in sizes.items()}
    zeros, options = np.zeros((300, 1)), {"loss": "squared_error", "readout": "last"}
    return uz.unroll(uz.Network("gru", params), zeros, zeros, initial={"h0": np.full((1, 1), n)}, **options), "W_n"


def the_way_past_a_gru_and_through_it_that_cancel():
    """z h and (1 - z) n, all but a thousandth, at every step."""
    n, reset = 0.3, 1 / (1 + math.exp(-1.0))
    weight = -(1 + 1e-3) / (1 - n * n) / reset
    sizes = {
        **{"W_r": 0.0, "W_z": 0.0, "W_n": weight, "U_r": 1.0, "U_z": 1.0, "U_n": 1.0, "V": 1.0},
        **{"b_r": 1.0, "b_z": 0.0, "b_n": np.arctanh(n) - reset * weight * n, "b_hn": 0.0, "c": 0.0},
    }
    params = {name: np.full((1, 1) if name[0] in "UWV" else (1,), size) for name, size in sizes.items()}
    zeros, options = np.zeros((300, 1)), {"loss": "squared_error", "readout": "last"}
    return uz.unroll(uz.Network("gru", params), zeros, zeros, initial={"h0": np.full((1, 1), n)}, **options), "W_n"


SLIGHT = [
    moderate_slopes_then_a_steep_one,
    many_layers_of_moderate_slopes,
    units_that_die_in_turn,
    a_unit_that_dies_far_back,
    two_paths_through_a_gru_that_cancel,
    the_way_past_a_gru_and_through_it_that_cancel,
]


@pytest.mark.parametrize("make", SLIGHT)
def test_no_row_is_lost_between_two_scalings(make, monkeypatch):
    """Against rows that are scaled at every node."""
    run, weight = make()
    found = run.flow(weight, by="entry")
    monkeypatch.setattr("unrollviz.way.BITS", 0)
    run, _ = make()
    expected = run.flow(weight, by="entry").log10_norms
    assert np.isfinite(expected[1:]).all() and expected[1:].min() < -340
    np.testing.assert_allclose(found.log10_norms, expected, atol=1e-9)


def test_a_confident_loss_begins_with_a_small_row():
    """p - y of 1e-290 at a weight of 1e-10: nothing lies in between that would be small."""
    net = uz.Network(
        "elman", {"U": [[1.0]], "W": [[1e-10]], "b": [0.0], "V": [[667.0], [0.0]], "c": [0.0, 0.0]}, "identity"
    )
    run = uz.unroll(net, np.ones((9, 1)), np.zeros(9, dtype=int))
    logs = run.flow("U", "entry", "L9").log10_norms
    np.testing.assert_allclose(np.diff(logs), 10.0, atol=1e-9)
    assert logs[-1] == pytest.approx((-667 + math.log(667)) / math.log(10), abs=1e-6)


def test_terms_of_zero_do_not_hide_a_gradient_that_vanished():
    """x is 0 but at the first step, so that the only term of U is the one that has come from furthest."""
    run = vanishing(1e-20, 40)
    inputs = np.zeros((40, 1))
    inputs[0] = 1.0
    run = uz.unroll(run.network, inputs, np.zeros(40, dtype=int), readout="last")
    found = run.flow("U", "entry")
    assert found.log10_total_norm == pytest.approx(found.log10_norms.max()) and found.log10_total_norm < -700
    np.testing.assert_allclose(found.shares, [1.0] + [0.0] * 39)


def test_scaling_changes_no_number_where_nothing_is_small(article, monkeypatch):
    before = article.flow("W", by="temporal")
    monkeypatch.setattr("unrollviz.way.BITS", 0)
    monkeypatch.setattr("unrollviz.stacks.TINY", 1e150)  # everything is scaled now, at every step
    scaled = []
    monkeypatch.setattr(
        "unrollviz.classes.scale_up", lambda rows, small: scaled.append(scale_up(rows, small)) or scaled[-1]
    )
    after = uz.article().flow("W", by="temporal")
    np.testing.assert_array_equal(after.terms, before.terms)
    np.testing.assert_allclose(after.norms, before.norms, rtol=1e-15)
    np.testing.assert_allclose(after.log10_norms, before.log10_norms, atol=1e-13)
    np.testing.assert_array_equal(after.gradient, before.gradient)
    np.testing.assert_allclose(after.gradient, article.gradient("W"), rtol=0, atol=1e-16 * before.norms.sum())
    assert scaled


# ---------------------------------------------------------------- room


def test_room_is_used_again_only_when_nobody_holds_it():
    with arithmetic():
        first = room((100, 100))
        part = first[3:5]
        second = room((100, 100))
        assert not np.shares_memory(first, second)
        kept = first.copy()
        del first
        third = room((100, 100))
        assert not np.shares_memory(part, third), "a view of it is still held"
        del part
        fourth = room((100, 90))
        assert not any(np.shares_memory(fourth, held) for held in (second, third, kept))
        base = fourth.base
        del fourth, base
    outside = room((100, 100))
    assert outside.base is None


def test_times_power_of_any_shape():
    rows = np.ones((2, 1, 3))
    np.testing.assert_array_equal(times_power(rows, np.array([1, -1]))[:, 0, 0], [2.0, 0.5])
    assert times_power(rows, None) is rows
