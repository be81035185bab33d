"""A plan gives, bit for bit, what a fresh unroll gives: values, losses, gradients, and the errors too."""

import itertools
import tracemalloc

import numpy as np
import pytest

import unrollviz as uz
from unrollviz import plan as planning
from unrollviz.api import ask
from unrollviz.batch import part, unreduced
from unrollviz.cells import CELLS
from unrollviz.errors import NonFinite
from unrollviz.losses import LOSSES, Loss
from unrollviz.ops import ACTIVATIONS
from unrollviz.plan import Plan, Plans, shape_of
from unrollviz.unrolled import unroll_batch

T, B, N, D, K = 7, 5, 3, 4, 3
LENGTHS = np.array([7, 3, 5, 7, 3])


def drawn(rng, loss, readout, network, lengths=LENGTHS):
    """A batch of instances of unequal length, everything in it drawn: initial states and weights too."""
    kind = LOSSES[loss].targets
    shape = (T, B)
    targets = {
        "distributions": rng.dirichlet(np.ones(K), shape),
        "probabilities": rng.random((*shape, K)),
        "numbers": rng.standard_normal((*shape, K)),
    }[kind]
    initial = {name: rng.standard_normal((B, D)) for name in network.initial_states if name not in network.params}
    xs, weights = rng.standard_normal((*shape, N)), rng.random(shape)
    whole = unreduced(network, xs, targets, initial, loss, readout, weights, lengths)
    return part(whole, np.arange(B), "mean")


def networks(cell, seed=0):
    for layers, both, learned in ((1, False, False), (2, False, True), (2, True, False), (1, True, True)):
        yield uz.Network.init(cell, N, D, K, seed=seed, layers=layers, bidirectional=both, learn_initial=learned)


def same(passed, network, batch):
    """Values and gradients of a pass against a fresh unroll's, to the last bit."""
    fresh = unroll_batch(network, batch)
    assert (passed.losses == fresh.losses).all()
    for value, (name, node) in zip(passed.values, fresh.graph.nodes(data=True), strict=True):
        assert np.array_equal(value, node["value"]), name
    wanted = ask(fresh).gradients()
    found = passed.gradients()
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert np.array_equal(found[name], gradient), name


@pytest.mark.parametrize(("cell", "loss", "readout"), list(itertools.product(CELLS, LOSSES, ("every", "last"))))
def test_a_plan_is_a_fresh_unroll_bit_for_bit(cell, loss, readout):
    rng = np.random.default_rng(1)
    for network in networks(cell):
        first = drawn(rng, loss, readout, network)
        plan = Plan.of(unroll_batch(network, first))
        other = network.replace(**{name: w + rng.standard_normal(w.shape) for name, w in network.params.items()})
        second = drawn(rng, loss, readout, network)
        assert shape_of(network, first) == shape_of(other, second)
        same(plan.run(other, second), other, second)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation):
    network = uz.Network.init("elman", N, D, K, activation)
    batch = drawn(np.random.default_rng(2), "cross_entropy", "every", network)
    same(Plan.of(unroll_batch(network, batch)).run(network, batch), network, batch)


def test_a_loss_of_ones_own_that_does_not_read_the_chart(monkeypatch):
    """The Brier score: softmax keeps its cotangents at log ŷ, the squared error knows nothing of that."""
    monkeypatch.setitem(LOSSES, "brier", Loss("softmax", "squared_error", "distributions"))
    network = uz.Network.init("lstm", N, D, K)
    batch = drawn(np.random.default_rng(3), "brier", "every", network)
    same(Plan.of(unroll_batch(network, batch)).run(network, batch), network, batch)


def test_another_number_of_instances_needs_no_other_plan():
    network = uz.Network.init("gru", N, D, K, learn_initial=True)
    rng = np.random.default_rng(4)
    whole = drawn(rng, "cross_entropy", "every", network)
    plan = Plan.of(unroll_batch(network, whole))
    few = part(whole, np.array([3]), "sum")
    assert shape_of(network, few) == shape_of(network, whole)
    same(plan.run(network, few), network, few)


def test_plans_are_made_by_shape_and_forgotten(monkeypatch):
    made = []
    of = Plan.of
    monkeypatch.setattr(planning.Plan, "of", classmethod(lambda cls, unrolled: made.append(unrolled) or of(unrolled)))
    monkeypatch.setattr(planning, "PLANS", 2)
    network = uz.Network.init("elman", N, D, K, bidirectional=True)
    rng = np.random.default_rng(5)
    plans = Plans()
    batches = [
        drawn(rng, "cross_entropy", "every", network, np.array(lengths))
        for lengths in ([7, 3, 5, 7, 3], [3, 5, 7, 7, 7], [7, 7, 7, 7, 7], [7, 6, 6, 6, 6], [7, 3, 5, 7, 3])
    ]
    for batch in batches:
        same(plans.run(network, batch), network, batch)
    assert len(made) == 4  # the second is like the first; the first was forgotten when it came back


def test_memory_of_a_step_grows_in_line_with_the_steps():
    def peak(steps):
        network = uz.Network.init("lstm", 4, 32, 4)
        rng = np.random.default_rng(0)
        whole = unreduced(network, rng.standard_normal((steps, 16, 4)), rng.integers(0, 4, (steps, 16)))
        batch = part(whole, np.arange(16), "sum")
        plan = Plan.of(unroll_batch(network, batch))
        tracemalloc.start()
        plan.run(network, batch).gradients()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(80) < 2.5 * peak(40)


def test_an_overflow_names_the_node_as_unroll_does():
    network = uz.Network.init("elman", N, D, K, "identity")
    batch = drawn(np.random.default_rng(6), "cross_entropy", "every", network, None)
    plan = Plan.of(unroll_batch(network, batch))
    huge = network.replace(W=np.full((D, D), 1e200))
    with pytest.raises(NonFinite) as ours:
        plan.run(huge, batch)
    with pytest.raises(NonFinite) as theirs:
        unroll_batch(huge, batch)
    assert str(ours.value) == str(theirs.value)


def test_an_overflow_of_a_cotangent_names_the_node():
    network = uz.Network.init("elman", N, D, K, "identity")
    batch = drawn(np.random.default_rng(7), "squared_error", "last", network, None)
    zero = {name: np.zeros((B, D)) for name in network.initial_states}
    batch = type(batch)(batch.inputs * 0, batch.targets, batch.weights, batch.lengths, zero, batch.loss, batch.readout)
    plan = Plan.of(unroll_batch(network, batch))
    steep = network.replace(W=np.full((D, D), 1e120), b=np.zeros(D))
    with pytest.raises(NonFinite, match="cotangent at node"):
        plan.run(steep, batch).gradients()
