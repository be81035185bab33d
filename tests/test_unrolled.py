"""Unrolling: what sequences, targets and initial states may be, what they mean, and what wrong ones are told."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from byhand import bptt
from hypothesis import given
from hypothesis import strategies as st
from strategies import Recipe, recipes, seeds

import unrollviz as uz
from unrollviz.errors import NonFinite, ShapeError, UnrollvizError
from unrollviz.graph import names_of

PARAMS = "UWVbc"


def same_everywhere(one: uz.Run, other: uz.Run, rtol: float = 0.0) -> None:
    """Losses and all gradients agree."""
    np.testing.assert_allclose(one.losses, other.losses, rtol=rtol, atol=rtol)
    for name, found in one.gradients().items():
        np.testing.assert_allclose(found, other.gradient(name), rtol=rtol, atol=rtol)


@given(recipe=recipes())
def test_losses_and_gradients_are_those_worked_out_by_hand(recipe):
    run = recipe.unroll()
    expected = bptt(run)
    np.testing.assert_allclose(run.losses, expected.losses, rtol=1e-12, atol=1e-14)
    assert run.loss == pytest.approx(expected.losses.sum(), rel=1e-12)
    assert set(run.gradients()) == set(PARAMS)
    for name, found in run.gradients().items():
        by_hand = expected.gradient(name)
        scale = np.abs(expected.terms[name]).sum(axis=(0, 1)).max()
        np.testing.assert_allclose(found, by_hand, rtol=0, atol=1e-13 * max(scale, 1e-30))


def test_an_unrolled_run_knows_its_sizes():
    run = Recipe(steps=6, inputs=2, hidden=3, outputs=5, instances=4).unroll()
    assert (run.steps, run.instances) == (6, 4)
    assert run.inputs.shape == (6, 4, 2)
    assert run.targets.shape == (6, 4, 5)
    assert run.initial["s0"].shape == (4, 3)
    assert run.losses.shape == (6,)
    assert isinstance(run.loss, float)


def test_the_smallest_network_runs():
    net = uz.Network("elman", {"U": [[2.0]], "W": [[0.5]], "b": [0.1], "V": [[3.0]], "c": [0.0]})
    run = uz.unroll(net, [[0.3]], [0])
    assert run.losses.tolist() == [0.0], "one class: nothing to be uncertain about"
    assert all(not value.any() for value in run.gradients().values())
    assert run.graph.nodes["s1"]["value"] == pytest.approx(np.tanh(2 * 0.3 + 0.1))


def test_networks_and_runs_are_compared_by_identity_and_may_be_kept_in_sets():
    """Comparing their arrays entry by entry would raise."""
    one, other = Recipe().unroll(), Recipe().unroll()
    assert one == one
    assert one != other
    assert one.network != other.network
    assert len({one, other, one}) == len({one.network, other.network}) == 2
    assert one.flow("W") != other.flow("W")


# ---------------------------------------------------------------- the same thing said in different ways


@given(recipe=recipes(), seed=seeds)
def test_ids_are_one_hot_vectors(recipe, seed):
    net, rng = recipe.network(), np.random.default_rng(seed)
    shape = (recipe.steps, recipe.instances)
    ids, targets = rng.integers(0, recipe.inputs, shape), rng.integers(0, recipe.outputs, shape)
    same_everywhere(
        uz.unroll(net, ids, targets), uz.unroll(net, np.eye(recipe.inputs)[ids], np.eye(recipe.outputs)[targets])
    )


@given(recipe=recipes(), seed=seeds)
def test_a_sequence_of_one_instance_needs_no_axis_for_it(recipe, seed):
    net, rng = recipe.network(), np.random.default_rng(seed)
    xs, ids = rng.normal(size=(recipe.steps, 1, recipe.inputs)), rng.integers(0, recipe.inputs, (recipe.steps, 1))
    targets = rng.integers(0, recipe.outputs, (recipe.steps, 1))
    p = rng.dirichlet(np.ones(recipe.outputs), (recipe.steps, 1))
    s0 = rng.normal(size=recipe.hidden)
    one = uz.unroll(net, xs, targets, initial=s0)
    same_everywhere(one, uz.unroll(net, xs[:, 0], targets[:, 0], initial=s0[None]))
    same_everywhere(uz.unroll(net, ids, p), uz.unroll(net, ids[:, 0], p[:, 0]))


@given(recipe=recipes())
def test_a_batch_is_the_mean_over_its_instances(recipe):
    run = recipe.unroll()
    alone = [
        uz.unroll(run.network, run.inputs[:, b], run.targets[:, b], initial=run.initial["s0"][b])
        for b in range(run.instances)
    ]
    np.testing.assert_allclose(run.losses, np.mean([one.losses for one in alone], axis=0), rtol=1e-12, atol=1e-14)
    for name, found in run.gradients().items():
        mean = np.mean([one.gradient(name) for one in alone], axis=0)
        scale = max(np.abs(one.gradient(name)).max() for one in alone)
        np.testing.assert_allclose(found, mean, rtol=1e-11, atol=1e-12 * max(scale, 1e-30))


@given(recipe=recipes())
def test_one_initial_state_serves_every_instance(recipe):
    run = recipe.unroll()
    s0 = run.initial["s0"][0]
    same_everywhere(
        uz.unroll(run.network, run.inputs, run.targets, initial=s0),
        uz.unroll(run.network, run.inputs, run.targets, initial=np.tile(s0, (run.instances, 1))),
    )


def test_the_initial_state_is_zero_where_not_given():
    recipe = Recipe()
    run = recipe.unroll()
    zero = uz.unroll(run.network, run.inputs, run.targets)
    assert not zero.initial["s0"].any()
    same_everywhere(zero, uz.unroll(run.network, run.inputs, run.targets, initial=np.zeros(3)))


@pytest.mark.parametrize("kind", ["float32", "float16", "int8", "uint16", "bool"])
def test_every_real_type_of_number_is_taken(kind):
    net = uz.Network.init("elman", 2, 3, 2)
    xs = np.array([[[0, 1]], [[1, 1]]]).astype(kind)
    same_everywhere(uz.unroll(net, xs, [0, 1]), uz.unroll(net, xs.astype(float), [0, 1]))


def test_what_is_given_is_not_written_to_and_not_kept():
    net, rng = uz.Network.init(), np.random.default_rng(0)
    xs, targets, s0 = rng.normal(size=(3, 2, 4)), rng.dirichlet(np.ones(4), (3, 2)), rng.normal(size=(2, 3))
    kept = xs.copy(), targets.copy(), s0.copy()
    run = uz.unroll(net, xs, targets, initial=s0)
    before = run.gradient("W")
    for array, copy in zip((xs, targets, s0), kept, strict=True):
        np.testing.assert_array_equal(array, copy)
        array[:] = 0.5
    np.testing.assert_array_equal(run.gradient("W"), before)
    np.testing.assert_array_equal(run.inputs, kept[0])


# ---------------------------------------------------------------- logits of ±1000


def decimal_softmax(z):
    with localcontext() as context:
        context.prec = 60
        shifted = [(Decimal(v) - Decimal(max(z))).exp() for v in z]
        return [s / sum(shifted) for s in shifted]


@given(
    logits=st.lists(st.sampled_from([-1000.0, -999.5, -30.0, 0.0, 1.5, 30.0, 999.5, 1000.0]), min_size=2, max_size=5),
    wanted=st.integers(0, 4),
    steps=st.integers(1, 3),
)
def test_logits_of_plus_and_minus_1000_have_the_right_loss_and_gradients(logits, wanted, steps):
    """∂L_t/∂z_t = ŷ - p in closed form; every term on the way is finite."""
    k = len(logits)
    wanted %= k
    net = uz.Network.init("elman", 2, 3, k, seed=3)
    net = net.replace(c=np.array(logits), V=0 * net.params["V"])
    xs = np.random.default_rng(0).normal(size=(steps, 2))
    run = uz.unroll(net, xs, [wanted] * steps)
    yhat = decimal_softmax(logits)
    with localcontext() as context:
        context.prec = 60
        loss = float(-yhat[wanted].ln())
        others = sum(y for j, y in enumerate(yhat) if j != wanted)
        error = np.array([float(-others if j == wanted else y) for j, y in enumerate(yhat)])
    np.testing.assert_allclose(run.losses, loss, rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(run.gradient("logits1", "L1"), [error], rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(run.gradient("c"), steps * error, rtol=1e-13, atol=1e-300)
    for param in PARAMS:
        for detail in ("state", "op"):
            for path in run.paths(to=param, detail=detail):
                assert np.isfinite(path.term).all()
                assert np.isfinite(path.norm)
    assert run.check().ok


def test_logits_of_1000_made_by_v_pass_the_right_gradient_back():
    net = uz.Network.init("elman", 2, 2, 2, seed=1)
    net = net.replace(V=np.array([[6000.0, -6000.0], [-6000.0, 6000.0]]))
    xs = np.array([[2.0, -2.0], [1.0, 1.0]])
    run = uz.unroll(net, xs, [0, 1])
    expected = bptt(run)
    assert np.abs(run.graph.nodes["logits1"]["value"]).max() > 1000
    for name in PARAMS:
        np.testing.assert_allclose(run.gradient(name), expected.gradient(name), rtol=1e-12, atol=1e-290)


# ---------------------------------------------------------------- vocabulary


def test_vocabulary_names_symbols_of_inputs_and_targets():
    net = uz.Network.init("elman", 3, 2, 3)
    run = uz.unroll(net, [0, 2, 1], [2, 1, 0], vocabulary="abc")
    assert [run.graph.nodes[f"x{t}"]["symbol"] for t in (1, 2, 3)] == ["a", "c", "b"]
    assert [run.graph.nodes[f"L{t}"]["symbol"] for t in (1, 2, 3)] == ["c", "b", "a"]
    same_everywhere(run, uz.unroll(net, [0, 2, 1], [2, 1, 0]))


def test_without_a_vocabulary_there_are_no_symbols():
    run = uz.unroll(uz.Network.init("elman", 3, 2, 3), [0, 2, 1], [2, 1, 0])
    assert not any("symbol" in node for _, node in run.graph.nodes(data=True))


def test_a_short_vocabulary_names_what_it_can_and_hostile_words_stay_words():
    net = uz.Network.init("elman", 3, 2, 3)
    run = uz.unroll(net, [0, 2], [1, 2], vocabulary=["[@click=x]", "\x1b]52;"])
    assert run.graph.nodes["x1"]["symbol"] == "[@click=x]"
    assert "symbol" not in run.graph.nodes["x2"]
    assert run.graph.nodes["x1"]["label"] == "x₁"


def test_spelling_hello_has_four_steps():
    spelled = uz.spell("hello")
    assert spelled.vocabulary == ("e", "h", "l", "o")
    net = uz.Network.init("elman", 4, 3, 4)
    run = uz.unroll(net, spelled.xs, spelled.targets, vocabulary=spelled.vocabulary)
    assert run.steps == 4
    assert "".join(run.graph.nodes[f"x{t}"]["symbol"] for t in range(1, 5)) == "hell"
    assert "".join(run.graph.nodes[f"L{t}"]["symbol"] for t in range(1, 5)) == "ello"


# ---------------------------------------------------------------- bad input

NET = uz.Network.init("elman", 4, 3, 2)
GOOD_XS, GOOD_TARGETS = np.zeros((3, 4)), [0, 1, 0]


@pytest.mark.parametrize(
    ("xs", "message"),
    [
        ([], "xs is empty"),
        (np.zeros((0, 4)), "xs is empty"),
        (np.zeros((3, 0, 4)), "xs is empty"),
        (np.zeros((3, 5)), r"xs has shape \(3, 5\)"),
        (np.zeros((3, 1, 5)), r"xs has shape \(3, 1, 5\)"),
        (np.zeros(4), r"xs has shape \(4,\)"),
        (np.zeros((1, 3, 1, 4)), r"xs has shape"),
        (1.0, "xs has shape"),
        (1, "xs is a single number"),
        ([0, 1, 4], "xs holds id 4 at step 3"),
        ([0, -1, 1], "xs holds id -1 at step 2"),
        ([[0, 1], [1, 9], [0, 0]], "xs holds id 9 at step 2"),
        ([[1.0, 2.0], [1.0]], "xs is ragged"),
        (["a", "b", "c"], "xs holds"),
        ([None, 1, 2], "xs holds"),
        (np.zeros((3, 4), dtype=complex), "xs holds complex128"),
        ([10**30, 0, 0], "xs holds"),
        (np.zeros((2, 4)), "xs has 2 steps of 1 instances, targets 3 steps of 1 instances"),
        (np.zeros((3, 2, 4)), "xs has 3 steps of 2 instances, targets 3 steps of 1 instances"),
    ],
)
def test_bad_inputs_are_told_what_is_wrong_where_and_what_to_do(xs, message):
    with pytest.raises(ShapeError, match=message):
        uz.unroll(NET, xs, GOOD_TARGETS)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([], "targets is empty"),
        ([0, 1, 2], "targets holds id 2 at step 3.*ids from 0 to 1"),
        ([0, 1, -1], "targets holds id -1 at step 3"),
        ([0, 1], "targets 2 steps of 1 instances"),
        (np.zeros((3, 3)), r"targets has shape \(3, 3\)"),
        ([0.0, 1.0, 0.0], r"targets has shape \(3,\) and type float64"),
        ([[0.5, 0.5], [0.5, 0.6], [1.0, 0.0]], "target at step 2, instance 1 is not a distribution"),
        ([[0.5, 0.5], [1.5, -0.5], [1.0, 0.0]], "target at step 2"),
        ([[0.0, 0.0], [0.5, 0.5], [1.0, 0.0]], "target at step 1"),
        ([[[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [1.0, 1.0]], [[1.0, 0.0], [0.5, 0.5]]], "3 steps of 2 instances"),
        (["a", "b", "c"], "targets holds"),
    ],
)
def test_bad_targets_are_told_what_is_wrong_where_and_what_to_do(targets, message):
    with pytest.raises(ShapeError, match=message):
        uz.unroll(NET, GOOD_XS, targets)


def test_a_bad_distribution_names_step_and_instance():
    targets = np.full((3, 2, 2), 0.5)
    targets[1, 1] = [0.25, 0.5]
    with pytest.raises(ShapeError, match=r"step 2, instance 2 is not a distribution \(sum 0.75\)"):
        uz.unroll(NET, np.zeros((3, 2, 4)), targets)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_input_or_target_that_is_not_finite_is_named(bad):
    xs = np.zeros((3, 2, 4))
    xs[1, 1, 2] = xs[2, 0, 0] = bad
    with pytest.raises(NonFinite, match="x2 at step 2") as caught:
        uz.unroll(NET, xs, np.zeros((3, 2), dtype=int))
    assert (caught.value.node, caught.value.time) == ("x2", 2)
    targets = np.full((3, 2), 0.5)
    targets[2, 0] = bad
    with pytest.raises(NonFinite, match="L3 at step 3"):
        uz.unroll(NET, GOOD_XS, targets)


@pytest.mark.parametrize("s0", [np.zeros(2), np.zeros((2, 3)), np.zeros((1, 1, 3)), 0.0])
def test_an_initial_state_of_the_wrong_shape_is_refused(s0):
    with pytest.raises(ShapeError, match=r"initial s0 has shape .*give \(d,\) = \(3,\) or \(B, d\) = \(1, 3\)"):
        uz.unroll(NET, GOOD_XS, GOOD_TARGETS, initial=s0)


@pytest.mark.parametrize("s0", ["abc", [[1.0], [1.0, 2.0]], [1j, 0, 0], np.array([1j, 0, 0])], ids=repr)
def test_an_initial_state_of_no_numbers_is_refused(s0):
    with pytest.raises(ShapeError, match="initial"):
        uz.unroll(NET, GOOD_XS, GOOD_TARGETS, initial=s0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_initial_state_that_is_not_finite_is_named(bad):
    with pytest.raises(NonFinite, match="node s0 at step 0") as caught:
        uz.unroll(NET, GOOD_XS, GOOD_TARGETS, initial=[0.0, bad, 0.0])
    assert (caught.value.node, caught.value.time) == ("s0", 0)


def test_every_such_error_is_an_unrollviz_error():
    assert issubclass(ShapeError, UnrollvizError)
    assert issubclass(NonFinite, UnrollvizError)


# ---------------------------------------------------------------- overflow on the way


@pytest.mark.parametrize("activation", ["relu", "identity"])
@given(weight=st.floats(1e3, 1e300), seed=seeds)
def test_overflow_names_the_first_node_and_step(activation, weight, seed):
    """s_t = (weight)^t … : the first node, in the order of computation, whose value is not finite."""
    net = uz.Network(
        "elman",
        {"U": np.eye(2), "W": weight * np.eye(2), "b": np.zeros(2), "V": np.eye(2), "c": np.zeros(2)},
        activation,
    )
    T = 130
    rng = np.random.default_rng(seed)
    xs, value, expected = rng.uniform(1, 2, (T, 2)), np.zeros(2), None
    with np.errstate(over="ignore"):
        for t in range(1, T + 1):
            product = weight * value
            if not np.isfinite(product).all():
                expected = f"W@s{t - 1}", t
                break
            value = xs[t - 1] + product
            if not np.isfinite(value).all():
                expected = f"a{t}", t
                break
    assert expected is not None
    with pytest.raises(NonFinite, match="the forward pass overflows") as caught:
        uz.unroll(net, xs, np.zeros(T, dtype=int))
    assert (caught.value.node, caught.value.time) == expected


def test_the_readout_may_be_what_overflows():
    net = uz.Network("elman", {"U": [[1e200]], "W": [[0]], "b": [0], "V": [[1e200], [0]], "c": [0, 0]}, "identity")
    with pytest.raises(NonFinite, match="node V@s2 at step 2") as caught:
        uz.unroll(net, [[0.0], [1.0], [1.0]], [0, 0, 0])
    assert caught.value.time == 2


def test_saturated_and_subnormal_networks_run():
    net = uz.Network.init("elman", 2, 2, 2, seed=0)
    big = net.replace(W=1e6 * net.params["W"], U=1e6 * net.params["U"])
    tiny = net.replace(W=1e-320 * net.params["W"], U=1e-320 * net.params["U"])
    xs = np.random.default_rng(0).normal(size=(4, 2))
    for run in (uz.unroll(big, xs, [0, 1, 0, 1]), uz.unroll(tiny, xs, [0, 1, 0, 1])):
        assert all(np.isfinite(value).all() for value in run.gradients().values())
        assert all(np.isfinite(path.norm) for path in run.paths(to="W"))
        assert len(names_of(run.graph, "loss")) == 4
