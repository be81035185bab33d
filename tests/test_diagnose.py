"""Diagnosis: every rule fires on a network built to trigger it and is silent on one that is not; figures by hand."""

import dataclasses
import itertools
import json
import math
import os
import pty
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from command import unrollviz

import unrollviz as uz
from unrollviz.api import ask
from unrollviz.cells import CELLS, Cell, add, gated, mul, one_minus, tanh
from unrollviz.cli import cli
from unrollviz.cli.terminal import is_prose, wrapped
from unrollviz.diagnosis import spectra, symptoms
from unrollviz.diagnosis.advice import SUITS
from unrollviz.diagnosis.diagnose import HEALTHY, judged
from unrollviz.diagnosis.rules import RULES, SEVERITIES
from unrollviz.diagnosis.symptoms import Route
from unrollviz.errors import NonFinite, UnrollvizError
from unrollviz.flows.folds import uses
from unrollviz.report.diagnose import WIDTH, diagnose_json, diagnose_text, rules_json, spark


def network(cell="elman", d=3, activation="tanh", seed=0, scheme="orthogonal", **options) -> uz.Network:
    return uz.Network.init(cell, 3, d, 3, activation, seed, scheme, **options)


def unrolled(net: uz.Network, steps=12, instances=1, seed=1, inputs=1.0, **options) -> uz.Run:
    rng = np.random.default_rng(seed)
    xs = inputs * rng.normal(size=(steps, instances, net.inputs))
    initial = {name: rng.normal(size=net.hidden) / 2 for name in net.initial_states if name not in net.params}
    return uz.unroll(net, xs, rng.integers(0, net.outputs, (steps, instances)), **{"initial": initial, **options})


def scalar(w: float, steps: int, activation="identity", **params) -> uz.Run:
    """s_t = w s_{t-1} from s_0 = 1, read out as it is."""
    one, none = np.ones((1, 1)), np.zeros(1)
    given = {"U": 0 * one, "W": w * one, "b": none, "V": one, "c": none, **params}
    net = uz.Network("elman", given, activation)
    return uz.unroll(net, np.ones((steps, 1)), np.ones((steps, 1)), loss="squared_error", initial=np.ones(1))


def fired(run: uz.Run, *arguments, **options) -> set[str]:
    return {finding.rule.name for finding in run.diagnose(*arguments, **options).findings}


def biased(cell: str, **biases: float) -> uz.Network:
    net = network(cell, scheme="uniform")
    return net.replace(**{name: np.full(3, value) for name, value in biases.items()})


def scaled(factor: float, activation="tanh", **options) -> uz.Network:
    net = network(activation=activation, **options)
    return net.replace(W=factor * net.params["W"])


def dead_relu() -> uz.Network:
    net = network(activation="relu")
    return net.replace(b=np.array([-100.0, 0.5, 0.5]))


def one_extreme_step(size: float) -> uz.Run:
    """tanh is flat at the one step whose input is large."""
    xs = np.full((12, 1, 3), 0.1)
    xs[6] = size
    return uz.unroll(network(scheme="identity"), xs, np.zeros((12, 1), dtype=int))


def cancelling(opposed: bool) -> uz.Run:
    """Two classes whose gradients pull in opposite directions, or in the same, at equal states."""
    net = uz.Network(
        "elman",
        {"U": np.zeros((1, 1)), "W": np.ones((1, 1)), "b": np.zeros(1), "V": np.ones((1, 1)), "c": np.zeros(1)},
        "identity",
    )
    targets = np.array([[3.0], [-1.001 if opposed else 3.0]])
    weights = np.array([1.0, 0.5 if opposed else 1.0])
    return uz.unroll(net, np.zeros((2, 1)), targets, loss="squared_error", initial=np.ones(1), weights=weights)


def overflowing() -> uz.Run:
    """The gradient overflows, the states do not: they are all 0."""
    net = scaled(30.0, "identity")
    return uz.unroll(net.replace(U=np.zeros((3, 3))), np.zeros((300, 3)), np.zeros(300, dtype=int))


def unbalanced(factor: float) -> uz.Run:
    net = network(scheme="uniform")
    return unrolled(net.replace(U=factor * net.params["U"]), inputs=1 / factor)


def sometimes_shut(steps: int) -> uz.Run:
    """Inputs so large, for that many steps of 24, that gates are open or shut, this way and that."""
    xs = np.random.default_rng(1).normal(size=(24, 1, 3))
    xs[:steps] *= 50
    return uz.unroll(network("lstm"), xs, np.zeros((24, 1), dtype=int))


def heavy_tail() -> uz.Run:
    """s is 1 at both steps, W = 0.1: at lag 0 two terms 1 and -1.05 all but cancel, and 0.1 at lag 1 turns the sum."""
    one, none = np.ones((1, 1)), np.zeros(1)
    net = uz.Network("elman", {"U": one, "W": 0.1 * one, "b": none, "V": one, "c": none}, "identity")
    targets = np.array([[2.05], [0.0]])
    return uz.unroll(net, np.full((2, 1), 0.9), targets, loss="squared_error", initial=np.ones(1))


TRIGGERS = {
    "not finite": (overflowing, lambda: unrolled(network())),
    "exploding product": (lambda: scalar(1.2, 50), lambda: scalar(1.1, 50)),
    "exploding gradient": (lambda: scalar(1.2, 50), lambda: scalar(0.9, 50)),
    "vanished gradient": (lambda: scalar(0.1, 30), lambda: scalar(0.4, 30)),
    "vanishing product": (lambda: scalar(0.8, 50), lambda: scalar(0.9, 50)),
    "short reach": (lambda: scalar(0.1, 30), lambda: scalar(0.97, 30)),
    "unheard past": (lambda: scalar(0.7, 30), lambda: scalar(0.97, 30)),
    "expanding": (lambda: scalar(1.1, 20), lambda: scalar(1.0, 20)),
    "contracting": (lambda: scalar(0.9, 20), lambda: scalar(1.0, 20)),
    "extreme step": (lambda: one_extreme_step(30.0), lambda: one_extreme_step(0.1)),
    "must vanish": (lambda: unrolled(scaled(0.9)), lambda: unrolled(network())),
    "may explode": (lambda: unrolled(scaled(1.1)), lambda: unrolled(network())),
    "saturated units": (lambda: unrolled(network(), inputs=50.0), lambda: unrolled(network(), inputs=0.3)),
    "saturated gates": (lambda: sometimes_shut(12), lambda: sometimes_shut(1)),
    "dead units": (lambda: unrolled(dead_relu()), lambda: unrolled(network(activation="relu"))),
    "constant units": (
        lambda: unrolled(network().replace(b=np.array([40.0, 0.0, 0.0]))),
        lambda: unrolled(network()),
    ),
    "highway closed": (lambda: unrolled(biased("lstm", b_f=-5.0)), lambda: unrolled(biased("lstm", b_f=1.0))),
    "highway open": (lambda: unrolled(biased("lstm", b_f=5.0)), lambda: unrolled(biased("lstm", b_f=0.0))),
    "highway unused": (lambda: unrolled(biased("gru", b_z=-9.0)), lambda: unrolled(biased("gru", b_z=2.0))),
    "cancellation": (lambda: cancelling(True), lambda: cancelling(False)),
    "truncation bias": (lambda: unrolled(scaled(1.5, "identity")), lambda: unrolled(scaled(0.1, "identity"))),
    "heavy tail": (heavy_tail, lambda: scalar(0.1, 30)),
    "no gradient": (lambda: unrolled(network(), inputs=0.0), lambda: unrolled(network())),
    "imbalance": (lambda: unbalanced(1e-5), lambda: unbalanced(1.0)),
}
"""Rule -> a run on which it fires, and one as like it as possible on which it is silent."""


def test_without_a_path_there_is_nothing_to_diagnose():
    with pytest.raises(UnrollvizError, match="no path leads from L2 back to s5; ask for a parameter, or for a loss"):
        uz.article().diagnose("s5", "L2")


def test_every_rule_has_a_trigger_and_a_counterpart():
    assert set(TRIGGERS) == {rule.name for rule in RULES}


@pytest.mark.parametrize("rule", [rule.name for rule in RULES])
def test_a_rule_fires_where_it_should(rule):
    options = {"truncate": 1} if rule == "truncation bias" else {}
    assert rule in fired(TRIGGERS[rule][0](), **options)


@pytest.mark.parametrize("rule", [rule.name for rule in RULES])
def test_a_rule_is_silent_where_it_should_be(rule):
    options = {"truncate": 1} if rule == "truncation bias" else {}
    assert rule not in fired(TRIGGERS[rule][1](), **options)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_says_what_it_measures_its_threshold_source_and_advice(rule):
    assert rule.severity in SEVERITIES
    assert all((rule.measures, rule.source, rule.advice))
    assert rule.condition != dataclasses.replace(rule, threshold=rule.threshold / 3 + 7).condition  # it is in there
    assert "{" not in rule.condition.replace("{j-1}", "")


@pytest.mark.parametrize("rule", [rule.name for rule in RULES])
def test_every_finding_has_a_number_a_place_and_a_sentence(rule):
    options = {"truncate": 1} if rule == "truncation bias" else {}
    for finding in TRIGGERS[rule][0]().diagnose(**options).findings:
        assert finding.numbers
        assert finding.where
        assert set(finding.where) <= {"node", "step", "layer", "gate", "parameter"}
        assert finding.sentence.endswith(".")
        assert "nan" not in finding.sentence


def test_findings_are_sorted_and_a_healthy_network_is_told_so():
    found = uz.article().diagnose()
    assert [finding.rule for finding in found.findings if finding.severity != "note"] == [HEALTHY]
    assert found.verdict.startswith("Healthy. 90 % of ∂L/∂W lie within lag 1, the longest is 4 (norms of single M[t,k]")
    sick = scalar(1.2, 50).diagnose()
    assert sick.verdict.startswith("2 problems, 1 warning, 1 note. ‖∂s₅₀/∂s₀‖ is 9.1e+03")
    assert HEALTHY not in [finding.rule for finding in sick.findings]
    ranks = [SEVERITIES.index(finding.severity) for finding in sick.findings]
    assert ranks == sorted(ranks)
    assert "exploding product" in repr(sick)


# ----------------------------------------------------------------------------------------- reach


def norms_by_lag(run: uz.Run, param: str, losses: list[str]) -> np.ndarray:
    """Σ_t ‖∂L_t/∂param entered at step t - lag‖ from one flow a loss."""
    total = np.zeros(run.steps)
    for loss in losses:
        flow = run.flow(param, "entry", loss)
        total[int(loss[1:]) - flow.labels[:, 0]] += flow.norms
    return total


def test_reach_is_cumulative_over_the_norms_of_temporal_components_by_lag():
    run = unrolled(network(), steps=15)
    reach = run.diagnose().figures.reach
    norms, shares = norms_by_lag(run, "W", run.loss_names()), run.flow("W", by="lag").shares
    np.testing.assert_allclose(reach.norms, norms)
    assert reach.longest == 14
    for part in (0.5, 0.9, 0.99, 1.0):
        steps = reach.within(part)
        assert norms[: steps + 1].sum() >= part * norms.sum() * (1 - 1e-9)
        assert steps == 0 or norms[:steps].sum() < part * norms.sum()
        assert math.isclose(reach.share_within(steps), shares[: steps + 1].sum(), abs_tol=1e-12)
    assert math.isclose(reach.cancellation, norms.sum() / np.linalg.norm(run.gradient("W")))
    assert reach.between_losses == run.flow("W", by="loss").cancellation


def test_reach_of_one_loss_and_another_parameter():
    run = unrolled(network(), steps=6)
    reach = run.diagnose("U", "L5").figures.reach
    np.testing.assert_allclose(reach.norms, norms_by_lag(run, "U", ["L5"])[:5])
    assert run.diagnose("V").figures.reach.longest == 0


def test_a_layer_that_reads_backwards_reaches_ahead():
    run = unrolled(network(bidirectional=True), steps=8)
    reach = run.diagnose("bwd.W").figures.reach
    assert reach.lags.min() < 0
    assert (np.diff(np.abs(reach.lags)) >= 0).all()
    assert math.isclose(reach.share_within(reach.longest), 1.0)


def test_reach_takes_fewer_losses_where_all_would_take_too_long(monkeypatch):
    monkeypatch.setattr(symptoms, "PULLED", 9 * 40 * 10)
    run = unrolled(network(), steps=40)
    reach = run.diagnose().figures.reach
    assert (reach.losses, reach.every) == (10, 40)
    assert "from 10 of 40 losses" in "\n".join(diagnose_text(run, run.diagnose()))


def test_the_verdict_says_beyond_which_lag_hardly_anything_lies():
    def verdict(w, steps):
        found = scalar(w, steps).diagnose()
        within = found.figures.reach.within(0.99)
        line = f"99 % of ∂L/∂W lie within lag {within} of {steps - 1}: what happened earlier hardly counts."
        rules = {finding.rule.name for finding in found.findings}
        return found.verdict.count(line), within / (steps - 1) < 0.5, "unheard past" in rules

    assert verdict(0.7, 30) == (1, True, True)
    assert verdict(0.97, 30) == (0, False, False), "99 % within 28 of 29 is no short reach"
    assert verdict(0.2, 10) == (0, True, False), "the longest lag is 9"
    assert verdict(0.2, 11) == (1, True, True)
    assert verdict(1.0, 2)[0] == 0, "99 % need the longest lag"
    figures = dataclasses.replace(scalar(0.7, 30).diagnose().figures, spectra=(), gains={}, truncations=())
    first = judged(figures)
    assert [finding.rule.name for finding in first.findings] == ["healthy", "unheard past"]
    assert first.verdict.count("99 %") == 1
    assert "hardly counts" not in scalar(1.2, 50).diagnose().verdict
    assert "grow over 50 steps back, ×1.2 a step" in scalar(1.2, 50).diagnose().verdict
    assert "gradients change ×0.1 a step" in scalar(0.1, 50).diagnose().verdict
    assert "hardly counts" not in uz.article().diagnose().verdict


def test_a_reach_ahead_is_not_called_earlier():
    net = network(bidirectional=True)
    run = unrolled(net.replace(**{name: 0.2 * net.params[name] for name in ("fwd.W", "bwd.W")}), steps=14)
    assert "what happened further away hardly counts" in run.diagnose("bwd.W").verdict
    assert "what happened earlier hardly counts" in run.diagnose("fwd.W").verdict


def test_a_gradient_of_0_reaches_nowhere_and_nothing_is_said_of_its_reach():
    run = unrolled(network(), inputs=0.0, initial=np.zeros(3))
    found = run.diagnose()
    assert not found.figures.reach.norms.any()
    assert not {"short reach", "unheard past"} & {finding.rule.name for finding in found.findings}
    assert "lie within lag" not in found.verdict
    assert "   nothing arrives: all of them are 0" in diagnose_text(run, found)


def test_it_says_why_its_reach_is_not_that_of_the_rows_by_lag():
    clause = "norms of single M[t,k]; flow --by lag sums them by lag first"
    for run in (uz.article(), scalar(0.1, 30)):
        found = run.diagnose()
        assert [clause in finding.sentence for finding in found.findings].count(True) == 1
        assert f"   {clause}" in diagnose_text(run, found)


# --------------------------------------------------------------------------------------- severities


def severities(run: uz.Run, **options) -> dict[str, str]:
    return {finding.rule.name: finding.severity for finding in run.diagnose(**options).findings}


def test_a_gradient_lost_within_ten_steps_is_a_problem_and_one_that_fades_a_warning():
    lost, fades = severities(scalar(0.1, 50)), severities(scalar(0.7, 50))
    assert lost["vanished gradient"] == "problem"
    assert "problem" not in fades.values()
    assert fades["vanishing product"] == "warning"
    assert "vanished gradient" not in severities(scalar(0.1, 20)), "the longest lag is 19"
    (first, *_) = scalar(0.1, 50).diagnose().findings
    assert first.sentence.startswith("Only 1.1e-11 of ∂L/∂W lies at lags above 10, of 49")
    cut = unrolled(network(activation="relu").replace(b=np.full(3, -0.5), W=np.zeros((3, 3))), steps=30)
    assert "Nothing of ∂L/∂W lies at lags above 10" in repr(cut.diagnose())


def test_an_lstm_that_has_learned_has_few_warnings():
    symbols = np.random.default_rng(0).integers(0, 4, 25)
    data = (symbols[:-1, None], symbols[1:, None])
    trained = uz.train(uz.Network.init("lstm", 4, 8, 4, seed=0), data, epochs=250, lr=0.03, every=0).network
    run = uz.unroll(trained, *data)
    assert run.loss < 0.1 * 24 * math.log(4)
    found = [finding.rule.name for finding in run.diagnose().findings if finding.severity in ("problem", "warning")]
    assert len(found) <= 1, found


def test_a_gate_that_moves_is_a_note_and_one_that_never_does_a_warning():
    assert severities(sometimes_shut(12))["saturated gates"] == "note"
    stuck = severities(unrolled(biased("lstm", b_i=9.0)))
    assert stuck["saturated units"] == "warning"
    assert "saturated gates" not in stuck
    assert severities(unrolled(network(), inputs=50.0))["saturated units"] == "warning", "nothing leads past a state"


def test_what_a_truncation_would_cost_is_a_warning_where_it_was_asked_for():
    assert severities(heavy_tail())["heavy tail"] == "note"
    asked = severities(heavy_tail(), truncate=0)
    assert asked["truncation bias"] == "warning"
    assert "heavy tail" not in asked


# ------------------------------------------------------------------------------------------- advice


def advised(run: uz.Run) -> str:
    return " ".join(finding.advice for finding in run.diagnose().findings)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "identity"])
def test_no_gates_are_to_be_opened_where_there_are_none(activation):
    for factor in (0.3, 1.0):
        words = advised(unrolled(scaled(factor, activation), steps=40))
        assert "bias of" not in words
        assert ("tanh in place of the logistic" in words) == (activation == "sigmoid")
        assert ("begin with orthogonal" in words) == (factor < 1 and activation != "sigmoid")
    assert "take gated cells" in advised(unrolled(scaled(0.3, activation), steps=40))


@pytest.mark.parametrize(
    ("cell", "bias", "words"),
    [
        ("lstm", {"b_f": -5.0}, "raise the bias of f to 1 or 2"),
        ("gru", {"b_z": -5.0}, "raise the bias of z to 1 or 2"),
        ("mgu", {"b_f": 5.0}, "lower the bias of f to -1 or -2"),
    ],
)
def test_gated_cells_are_told_which_gate_and_which_way(mgu, cell, bias, words):
    said = advised(unrolled(biased(cell, **bias), steps=40))
    assert words in said
    assert "gated cells" not in said
    assert "logistic" not in said


def test_advice_at_saturated_tanh_and_at_a_state_that_grows():
    assert "tanh is flat where they are large" in advised(unrolled(network(), steps=40, inputs=50.0))
    assert "c may grow" in advised(unrolled(biased("lstm", b_f=5.0)))
    assert "c may grow" not in advised(unrolled(biased("gru", b_z=5.0)))
    assert "or take tanh, which is bounded" in advised(overflowing())


def test_every_kind_of_network_that_advice_is_for_is_used_and_rules_list_all_parts():
    used = {suits for rule in RULES for suits, _ in rule.advice}
    assert used == set(SUITS)
    told = next(rule for rule in rules_json()["rules"] if rule["rule"] == "vanishing product")["advice"]
    assert told.startswith("(gates) open the gate that keeps the state by its bias; (logistic) take tanh")


# --------------------------------------------------------------------------------------- exact zeros


def relu_relay() -> uz.Run:
    """Two relu units with W = 1: the first is 0 at step 4 alone, the second at step 8 alone."""
    eye, none = np.eye(2), np.zeros(2)
    net = uz.Network("elman", {"U": eye, "W": eye, "b": none, "V": eye, "c": none}, "relu")
    xs = np.full((12, 2), 0.1)
    xs[3, 0], xs[7, 1] = -9.0, -9.0
    return uz.unroll(net, xs, np.zeros((12, 2)), loss="squared_error")


def sentence(run: uz.Run, rule: str) -> str:
    return next(finding.sentence for finding in run.diagnose().findings if finding.rule.name == rule)


def test_a_product_that_is_exactly_0_says_why():
    said = sentence(relu_relay(), "vanishing product")
    assert said.startswith(
        "‖∂s₁₂/∂s₃‖ is exactly 0, after 9 of 12 steps back: every way back meets a relu or a weight that is 0"
    )
    assert said.endswith("a single step has norm 1 (median).")
    xs = np.full((12, 2), 0.1)
    xs[6] = -9.0
    once = uz.unroll(relu_relay().network, xs, np.zeros((12, 2)), loss="squared_error")
    assert "nothing passes step 7, where every relu is 0" in sentence(once, "vanishing product")
    assert "every slope is 0" in sentence(unrolled(network(), inputs=1e4), "vanishing product")
    unconnected = network(activation="relu").replace(W=np.zeros((3, 3)), b=np.ones(3))
    assert sentence(unrolled(unconnected), "vanishing product").endswith("back: nothing passes step 12.")
    for run in (relu_relay(), once):
        text = "\n".join(diagnose_text(run, run.diagnose()))
        assert "×0 a step" not in text
        assert "the whole product is exactly 0" in text
        assert "-inf: a direction that dies" in text


def test_a_dead_network_does_not_shrink_by_0():
    dead = unrolled(network(activation="relu").replace(b=np.full(3, -100.0)))
    assert "every small change of the state dies out" in sentence(dead, "contracting")


def test_a_large_sum_is_told_from_growth():
    run = unrolled(network(activation="identity"), steps=60, inputs=30.0)
    said = sentence(run, "exploding gradient")
    assert said.endswith("no step stretches it, so it is large as a sum of many terms, over 60 losses.")
    assert "--reduction mean" in advised(run)
    assert sentence(scalar(1.2, 50), "exploding gradient").endswith("gradients change ×1.2 a step.")
    assert "--reduction mean" not in advised(scalar(1.2, 50))


def test_relu_units_have_their_row():
    run = relu_relay()
    (kind,) = run.diagnose().figures.units
    assert kind.flat.tolist() == [0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0]
    lines = diagnose_text(run, run.diagnose())
    (row,) = [line for line in lines if line.startswith("s  relu")]
    assert row.split() == ["s", "relu", "8.3%", "50%", "at", "4", "0", "of", "2", "...▅...▅...."]
    assert any("flat: a relu that is 0" in line for line in lines)
    assert not {"saturated units", "saturated gates"} & fired(unrolled(network(activation="relu")))


def test_a_single_step_says_why_W_learns_nothing():
    run = unrolled(network(), steps=1, initial=np.zeros(3))
    said = sentence(run, "no gradient")
    assert said == "‖∂L₁/∂W‖ is 0: W learns nothing; in a single step it meets nothing but the initial state."
    assert "give it more steps, or an initial state" in advised(run)


# --------------------------------------------------------------------------------------- spectra


@pytest.mark.parametrize(("w", "product"), [(0.9, 0.00515378), (1.1, 117.390853)])
def test_products_of_a_scalar_recurrence_over_50_steps(w, product):
    spectrum = scalar(w, 50).diagnose().figures.spectra[0]
    assert math.isclose(math.exp(spectrum.log_product[0, 0]), product, rel_tol=1e-6)
    assert spectrum.lengths[0, 0] == 50
    assert math.isclose(spectrum.growth[0], w, rel_tol=1e-12)
    assert math.isclose(spectrum.exponents[0, 0], math.log(w), rel_tol=1e-12)


def step_matrices(run: uz.Run, prefix="", backwards=False) -> list[np.ndarray]:
    """∂(states at j)/∂(states at j-1) by central differences of the cell's own forward pass, (B, D, D) a step."""
    net, states = run.network, CELLS[run.network.cell].states
    p = {name.removeprefix(prefix): value for name, value in net.params.items()}
    value = run.graph.nodes
    found = []
    steps = range(1, run.steps + 1)
    for step in reversed(steps) if backwards else steps:
        before = step + 1 if backwards else step - 1
        x = value[f"x{step}"]["value"]
        whole = np.concatenate([value[f"{prefix}{state}{before}"]["value"] for state in states], axis=1)
        columns = []
        for unit in range(whole.shape[1]):
            nudge = np.zeros_like(whole)
            nudge[:, unit] = 1e-6
            columns.append((cell_step(net, p, x, whole + nudge) - cell_step(net, p, x, whole - nudge)) / 2e-6)
        found.append(np.stack(columns, axis=2))
    return found


def cell_step(net: uz.Network, p: dict, x: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """One step of a cell, written down once more: (B, D) -> (B, D)."""

    def logistic(a):
        return 1 / (1 + np.exp(-a))

    def affine(gate, h):
        return x @ p[f"U_{gate}"].T + h @ p[f"W_{gate}"].T + p[f"b_{gate}"]

    d = net.hidden
    if net.cell == "elman":
        return np.tanh(x @ p["U"].T + whole @ p["W"].T + p["b"])
    if net.cell == "gru":
        r, z = logistic(affine("r", whole)), logistic(affine("z", whole))
        n = np.tanh(x @ p["U_n"].T + p["b_n"] + r * (whole @ p["W_n"].T + p["b_hn"]))
        return (1 - z) * n + z * whole
    h, c = whole[:, :d], whole[:, d:]
    i, f, o, g = (logistic(affine("i", h)), logistic(affine("f", h)), logistic(affine("o", h)), np.tanh(affine("g", h)))
    c = f * c + i * g
    return np.concatenate([o * np.tanh(c), c], axis=1)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("instances", [1, 3])
def test_norms_of_steps_and_products_against_finite_differences(cell, instances):
    run = unrolled(network(cell, scheme="uniform"), steps=7, instances=instances)
    spectrum = run.diagnose().figures.spectra[0]
    matrices = step_matrices(run)
    np.testing.assert_allclose(spectrum.spectral, [np.linalg.norm(m, 2, (1, 2)) for m in matrices], rtol=1e-6)
    np.testing.assert_allclose(spectrum.frobenius, [np.linalg.norm(m, axis=(1, 2)) for m in matrices], rtol=1e-6)
    for place in range(7):
        product = np.eye(spectrum.size)
        for matrix in matrices[place:]:
            product = matrix @ product
        np.testing.assert_allclose(np.exp(spectrum.log_product[place]), np.linalg.norm(product, 2, (1, 2)), rtol=1e-5)
        np.testing.assert_allclose(
            np.exp(spectrum.log_product_frobenius[place]), np.linalg.norm(product, axis=(1, 2)), rtol=1e-5
        )
        assert (spectrum.lengths[place] == 7 - place).all()


def test_both_directions_have_their_own_figures():
    run = unrolled(network("lstm", bidirectional=True), steps=5)
    forwards, backwards = run.diagnose().figures.spectra
    expected = [np.linalg.norm(m, 2, (1, 2)) for m in step_matrices(run, "bwd.", backwards=True)]
    np.testing.assert_allclose(backwards.spectral, expected, rtol=1e-6)
    assert (forwards.last, backwards.last) == (5, 1)
    assert backwards.steps.tolist() == [5, 4, 3, 2, 1]
    assert backwards.before.tolist() == [6, 5, 4, 3, 2]


def test_stacked_layers_have_their_own_figures():
    run = unrolled(network("gru", layers=2), steps=4)
    assert [spectrum.prefix for spectrum in run.diagnose().figures.spectra] == ["l1.", "l2."]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_instance_that_ends_early_has_the_figures_it_has_alone(bidirectional):
    net = network(bidirectional=bidirectional)
    xs = np.random.default_rng(3).normal(size=(6, 2, 3))
    targets = np.zeros((6, 2), dtype=int)
    both = uz.unroll(net, xs, targets, lengths=[6, 4]).diagnose().figures.spectra
    alone = uz.unroll(net, xs[:4, 1:], targets[:4, 1:]).diagnose().figures.spectra
    for together, single in zip(both, alone, strict=True):
        kept = ~np.isnan(together.spectral[:, 1])
        begun = len(single.steps) - kept.sum()  # backwards, the step from its initial state is of the padded run
        np.testing.assert_allclose(together.spectral[kept, 1], single.spectral[begun:, 0])
        np.testing.assert_allclose(together.log_product[kept, 1], single.log_product[begun:, 0])


def test_a_product_that_no_float_holds_keeps_its_logarithm():
    for w in (1e-9, 1e9):
        net = scaled(w, "identity").replace(U=np.zeros((3, 3)))
        run = uz.unroll(net, np.zeros((60, 3)), np.zeros(60, dtype=int))
        spectrum = spectra.spectra(run, run.level())[0]
        assert math.isclose(spectrum.log_product[0, 0] / math.log(10), 60 * math.log10(w), rel_tol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_lyapunov_exponents_of_a_linear_network_are_its_eigenvalues_logarithms(seed):
    net = network(d=4, activation="identity", scheme="uniform", seed=seed)
    symmetric = net.params["W"] + net.params["W"].T
    run = unrolled(net.replace(W=symmetric / np.linalg.norm(symmetric, 2)), steps=600)
    exponents = spectra.spectra(run, run.level())[0].exponents[:, 0]
    expected = np.log(np.sort(np.abs(np.linalg.eigvalsh(run.network.params["W"])))[::-1])
    np.testing.assert_allclose(exponents, expected, atol=0.01)


def test_a_layer_that_dies_has_an_infinitely_negative_exponent():
    net = network(activation="relu").replace(b=np.full(3, -100.0))
    spectrum = unrolled(net).diagnose().figures.spectra[0]
    assert (spectrum.exponents == -np.inf).all()
    assert (spectrum.spectral == 0).all()
    assert spectrum.growth[0] == 0


def test_past_the_budget_fewer_steps_and_directions_and_it_says_so(monkeypatch):
    run = unrolled(network(d=16, scheme="orthogonal", activation="identity"), steps=40)
    exact = run.diagnose().figures.spectra[0]
    monkeypatch.setattr(spectra, "BUDGET", 2e5)
    found = run.diagnose()
    rough = found.figures.spectra[0]
    assert exact.exact
    assert not rough.exact
    assert rough.steps[0] == 1
    assert rough.steps[-1] == 40
    assert rough.directions == 9
    at = [exact.steps.tolist().index(step) for step in rough.steps]
    np.testing.assert_allclose(rough.spectral, exact.spectral[at])
    np.testing.assert_allclose(rough.log_product_frobenius, exact.log_product_frobenius[at])  # W is orthogonal
    assert "random directions" in " ".join(" ".join(diagnose_text(run, found)).split())


def test_a_learned_initial_state_is_no_step():
    run = unrolled(network(learn_initial=True), steps=4)
    assert run.diagnose().figures.spectra[0].steps.tolist() == [2, 3, 4]


def test_a_single_step_without_a_state_before_it():
    run = unrolled(network(learn_initial=True), steps=1)
    found = run.diagnose()
    assert found.figures.spectra == ()
    assert diagnose_text(run, found)


# -------------------------------------------------------------------- sufficient conditions, units


@pytest.mark.parametrize(("activation", "slope"), [("tanh", 1), ("sigmoid", 0.25), ("relu", 1), ("identity", 1)])
def test_the_sufficient_condition_uses_singular_values_and_the_activations_own_slope(activation, slope):
    shear = np.array([[0.5, 10.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.5]])  # every eigenvalue is 0.5
    run = unrolled(network(activation=activation).replace(W=shear), steps=4)
    (sigma, gamma) = run.diagnose().figures.gains[""]
    assert gamma == slope
    assert math.isclose(sigma, np.linalg.svd(shear)[1][0])
    assert "must vanish" not in fired(run)
    assert "must vanish" in fired(unrolled(scaled(0.99 / slope, activation), steps=4))
    assert "must vanish" not in fired(unrolled(scaled(1.01 / slope, activation), steps=4))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gated_cells_have_no_sufficient_condition(cell):
    assert unrolled(network(cell)).diagnose().figures.gains == {}


def test_saturation_names_the_worst_step_and_the_gate():
    xs = np.full((6, 1, 3), 0.01)
    xs[3] = 100.0
    run = uz.unroll(biased("lstm", b_i=9.0), xs, np.zeros((6, 1), dtype=int))
    found = [finding for finding in run.diagnose().findings if finding.rule.name == "saturated units"]
    assert [finding.where["gate"] for finding in found] == ["i"]
    assert found[0].numbers == {"part": 1.0, "worst": 1.0, "always": 3.0}
    kinds = {kind.kind: kind for kind in run.diagnose().figures.units}
    assert kinds["g"].flat.argmax() == 3
    assert kinds["i"].open[[0, 1, 2]].tolist() == [1.0] * 3
    assert kinds["i"].closed.tolist()[:3] == [0.0] * 3
    assert set(kinds) == {"i", "f", "g", "o", "tanh(c)", "c", "h"}


def test_an_open_highway_is_no_saturation():
    assert "saturated units" not in fired(unrolled(biased("lstm", b_f=9.0)))
    assert "highway open" in fired(unrolled(biased("gru", b_z=9.0)))


def test_padding_is_not_counted():
    xs = np.zeros((5, 2, 3))
    xs[3:, 1] = 100.0
    units = uz.unroll(network(), xs, np.zeros((5, 2), dtype=int), lengths=[5, 3]).diagnose().figures.units[0]
    assert units.flat.tolist() == [0.0] * 5
    assert (units.spread == 0).all()


def test_kinds_of_stacked_layers_do_not_mix_with_their_steps():
    kinds = {kind.kind for kind in unrolled(network("lstm", layers=2), steps=3).diagnose().figures.units}
    assert kinds == {f"l{layer}.{kind}" for layer in (1, 2) for kind in "ifgoch"} | {"tanh(l1.c)", "tanh(l2.c)"}


# ------------------------------------------------------------------------------------------ routes


@pytest.mark.parametrize(("cell", "kinds"), [("elman", {"W"}), ("lstm", {"W_i", "W_f", "W_g", "W_o", "f"})])
def test_crossings_of_all_kinds_add_up_to_the_mean_lag(cell, kinds):
    run = unrolled(network(cell), steps=6)
    figures = run.diagnose().figures
    flow = run.flow(run.recurrent_weight, by="lag")
    assert {route.kind for route in figures.routes} == kinds
    mean_lag = float(flow.shares @ flow.labels[:, 0])
    assert math.isclose(sum(route.crossings for route in figures.routes), mean_lag, abs_tol=1e-12)


def test_with_a_shut_gate_nothing_goes_through_it():
    shut = network("lstm").replace(b_f=np.full(3, -700.0))
    routes = {route.kind: route for route in unrolled(shut, steps=5).diagnose("W_g").figures.routes}
    assert routes["f"].highway
    assert abs(routes["f"].crossings) < 1e-300
    assert routes["W_g"].crossings != 0


def test_crossings_where_instances_begin_at_different_steps():
    xs = np.random.default_rng(3).normal(size=(5, 2, 3))
    run = uz.unroll(network("gru", bidirectional=True), xs, np.zeros((5, 2), dtype=int), lengths=[5, 3])
    routes = run.diagnose("bwd.W_n").figures.routes
    flow = run.flow("bwd.W_n", by="lag")
    assert math.isclose(
        sum(route.crossings for route in routes), -float(flow.shares @ flow.labels[:, 0]), abs_tol=1e-12
    )


def minimal_gated_unit(p, x, state):
    """(1 - f) ⊙ h is the highway; f ⊙ h is what W_n is applied to."""
    (h,) = state
    f = p.gate("f", x, h)
    n = tanh(p.affine("n", x, mul(f, h)), name="n", role="gate")
    return (add(mul(one_minus(f), h), mul(f, n), name="h", role="state"),)


@pytest.fixture
def mgu(monkeypatch):
    monkeypatch.setitem(CELLS, "mgu", Cell(minimal_gated_unit, ("h",), gated("fn")))


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm", "mgu"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("losses", [None, "L3"])
def test_routes_are_those_of_flow_by_route(mgu, cell, layers, losses):
    run = unrolled(network(cell, layers=layers), steps=3)
    param = run.recurrent_weight
    flow = run.flow(param, "route", losses)
    expected = {}
    for place, kind in enumerate(flow.columns):
        column = flow.labels[:, place].astype(int)
        if column.any() and ".U_" not in kind and ".U" not in kind:
            expected[kind] = uses(column, flow.shares)[1]
    routes = {route.kind: route.crossings for route in run.diagnose(param, losses).figures.routes}
    assert routes.keys() >= expected.keys()
    assert routes == pytest.approx(dict.fromkeys(routes, 0.0) | expected, abs=1e-12)
    assert any(route.highway for route in run.diagnose(param, losses).figures.routes) == (cell != "elman")


@pytest.mark.parametrize(("bias", "rule", "other"), [(5.0, "closed", "open"), (-5.0, "open", "closed")])
def test_the_highway_of_a_cell_of_ones_own_is_what_multiplies_its_state(mgu, bias, rule, other):
    run = unrolled(biased("mgu", b_f=bias))
    found = {finding.rule.name: finding for finding in run.diagnose().findings}
    assert f"highway {other}" not in found
    assert "saturated units" not in found
    assert found[f"highway {rule}"].where["gate"] == "f"
    kinds = {kind.kind: kind.keeps for kind in run.diagnose().figures.units}
    assert kinds == {"f": None, "one_minus(f)": "f", "n": None, "h": None}


def test_an_unused_highway_is_judged_by_the_size_of_the_shares():
    figures = unrolled(network("gru"), steps=3).diagnose().figures

    def unused(*routes):
        found = judged(dataclasses.replace(figures, routes=tuple(Route(*route) for route in routes))).findings
        return [finding for finding in found if finding.rule.name == "highway unused"]

    assert not unused(("z", -0.675, True), ("W_n", 0.188, False), ("W_r", -0.121, False))
    (finding,) = unused(("W_n", -0.98, False), ("z", -0.02, True))
    assert finding.numbers == {"part": pytest.approx(0.02)}
    assert finding.where["gate"] == "z"
    assert "2 % go along the kept state; most go by W_n: 98 %" in finding.sentence
    assert not unused(("W", 1.0, False)), "there is no highway"


# ------------------------------------------------------------------------ one loss of many


@pytest.mark.parametrize("make", [pair[0] for pair in TRIGGERS.values()])
def test_what_is_said_of_one_loss_names_it(make):
    run = make()
    found = run.diagnose(losses="L2")
    text = diagnose_text(run, found)
    said = [found.verdict, repr(found), *(finding.sentence for finding in found.findings)]
    said += [line for line in text if line.startswith(("Diagnosis", "──", "θ"))]
    assert not [words for words in said if "∂L/∂" in words]
    assert "∂L₂/∂" in text[0]
    assert not [words for words in said if "learns nothing" in words]


def test_the_losses_have_a_name():
    run = unrolled(network(), steps=6)

    def named(losses):
        return run.diagnose(losses=losses).figures.symbol()

    assert named(None) == named(run.loss_names()) == "∂L/∂W"
    assert named(["L2", "L4"]) == "∂(L₂ + L₄)/∂W"
    assert named(["L1", "L2", "L3", "L4"]) == "∂(L₁ + … + L₄)/∂W"
    assert run.diagnose(losses="L4").figures.symbol("U") == "∂L₄/∂U"


def test_that_a_parameter_learns_nothing_takes_all_losses():
    run = unrolled(network(), initial=np.zeros(3))  # and so is the gradient of the first loss with respect to W
    (finding,) = [finding for finding in run.diagnose(losses="L1").findings if finding.rule.name == "no gradient"]
    assert finding.sentence.startswith("‖∂L₁/∂W‖ is 0: W has nothing from L₁ alone")
    assert "no gradient" not in fired(run)
    assert "W has nothing from L₁ + L₂ alone" not in repr(run.diagnose(losses=["L1", "L2"]))
    still = unrolled(network(), inputs=0.0).diagnose()
    assert "‖∂L/∂U‖ is 0: U learns nothing" in repr(still)


def test_no_losses_and_a_negative_truncation_are_refused():
    with pytest.raises(UnrollvizError, match="there is no loss to diagnose; name one, such as L1"):
        uz.article().diagnose("W", [])
    with pytest.raises(UnrollvizError, match="truncate is -1; give a number of steps, 0 or more"):
        uz.article().diagnose("W", truncate=-1)


# ------------------------------------------------------------------------ truncation, balance, failure


def test_truncation_is_that_of_the_flow_and_is_judged_where_asked():
    run = unrolled(scaled(1.3, "identity"), steps=10)
    (cut,) = run.diagnose(truncate=2).figures.truncations
    true = run.truncation("W", 2)
    assert (cut.steps, cut.cosine, cut.norm_ratio) == (2, true.cosine, true.norm_ratio)
    assert len(run.diagnose().figures.truncations) == len(
        {run.diagnose().figures.reach.within(p) for p in (0.5, 0.9, 0.99)}
    )
    assert "truncation bias" not in fired(run, truncate=9)


def test_norms_of_parameters_and_gradients():
    run = unrolled(network("gru"), steps=4)
    for weight in run.diagnose().figures.weights:
        assert math.isclose(weight.norm, np.linalg.norm(run.network.params[weight.param]))
        assert math.isclose(weight.gradient, np.linalg.norm(run.gradient(weight.param)))


def broken(steps=400, activation="relu") -> NonFinite:
    net = network(activation=activation)
    net = net.replace(W=30 * np.abs(net.params["W"]))
    with pytest.raises(NonFinite) as caught:
        unrolled(net, steps)
    return caught.value


def test_a_forward_pass_that_overflows_is_diagnosed_up_to_there():
    error = broken()
    run = ask(error.partial)
    found = run.diagnose(broken=error)
    first = found.findings[0]
    assert first.rule.name == "not finite"
    assert first.where == {"node": error.node, "step": error.time}
    norms = {
        step: np.linalg.norm(run.graph.nodes[f"s{step}"]["value"] / 1e300) for step in range(error.time - 6, error.time)
    }
    growth = (norms[error.time - 1] / norms[error.time - 6]) ** 0.2
    assert math.isclose(first.numbers["growth"], growth, rel_tol=1e-9)
    assert math.isclose(first.numbers["last_norm"] / 1e300, norms[error.time - 1], rel_tol=1e-9)
    assert found.figures.spectra[0].last == error.time - 1
    assert "exploding product" in {finding.rule.name for finding in found.findings}
    assert found.figures.reach is None
    assert diagnose_text(run, found)


def test_a_gradient_that_overflows_names_the_last_finite_cotangent():
    run = overflowing()
    with pytest.raises(NonFinite) as caught:
        run.gradient("W")
    first = run.diagnose().findings[0]
    assert first.where == {"node": caught.value.node, "step": caught.value.time}
    assert math.isclose(first.numbers["growth"], 30.0, rel_tol=1e-6)
    assert 1e300 < first.numbers["last_norm"] < math.inf


def test_a_broken_layer_reading_backwards_counts_its_steps_backwards():
    net = network(activation="relu", bidirectional=True)
    net = net.replace(**{"bwd.W": 30 * np.abs(net.params["bwd.W"])})
    with pytest.raises(NonFinite) as caught:
        unrolled(net, 400)
    found = ask(caught.value.partial).diagnose(broken=caught.value)
    assert found.figures.failure.steps[0] == 400
    assert found.figures.failure.steps[-1] == caught.value.time + 1
    assert found.findings[0].numbers["growth"] > 5


# ------------------------------------------------------------------------------------ what is said


@pytest.mark.parametrize(
    ("options", "layers"),
    [({"layers": 2}, ["l1", "l2"]), ({"bidirectional": True}, ["fwd", "bwd"]), ({}, [""])],
)
def test_findings_name_their_layer_where_there_are_several_and_a_rule_is_told_once(options, layers):
    run = unrolled(network("gru", **options), steps=40)
    found = run.diagnose()
    said = [finding.sentence for finding in found.findings if finding.rule.name == "contracting"]
    assert [words.partition(" is λ₁")[0] for words in said] == [
        f"The largest Lyapunov exponent{f' of {layer}' if layer else ''}" for layer in layers
    ]
    for width in (WIDTH, 60):
        text = " ".join(" ".join(diagnose_text(run, found, width)).split())
        assert text.count("rule: λ₁ < -0.05 a step") == 1
        assert text.count("nothing where a memory of some 1/|λ₁| steps is enough") == 1
        assert all(words in text for words in said)


def test_growth_is_told_layer_by_layer():
    run = unrolled(network(layers=2, scheme="orthogonal"), steps=4, inputs=0.1)
    first, second = (float(spectrum.growth[0]) for spectrum in run.diagnose().figures.spectra)
    assert f"gradients change ×{first:.3g} a step (l1), ×{second:.3g} (l2)." in run.diagnose().verdict


@pytest.mark.parametrize("make", [pair[0] for pair in TRIGGERS.values()])
def test_lines_are_laid_out_for_their_width(make):
    run = make()
    found = run.diagnose()
    for width in (50, 60, 80, 96):
        lines = diagnose_text(run, found, width)
        for line in lines:
            assert line.count("\xa0") == 0
            assert not line.lstrip().startswith("%")
            assert len(line) <= width or not is_prose(line)
            assert len(line) <= max(width, 62)
        assert " ".join(found.verdict.split()) in " ".join(" ".join(lines).split())


def on_a_terminal(width: int, *arguments: str) -> list[str]:
    """What the command prints on a terminal of that width."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "unrollviz", "diagnose", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": str(width)},
    )
    os.close(theirs)
    said = b""
    try:
        while chunk := os.read(ours, 65536):
            said += chunk
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert done.wait(120) == 0
    return said.decode().replace("\r", "").splitlines()


@pytest.mark.parametrize("width", [60, 120])
def test_a_terminal_is_filled_once(width):
    lines = on_a_terminal(width, "--steps", "50")
    assert all(len(line) <= min(width, WIDTH) for line in lines)
    verdict = lines[1 : lines.index("")]
    for line, after in itertools.pairwise(verdict):  # a line ends only where the next word would not fit
        assert len(line) + 1 + len(after.split()[0]) > min(width, WIDTH) - len(" %")


def test_a_number_stays_with_its_percent_sign():
    for width in range(24, 60):
        parts = wrapped("Of all that arrives 99 % lie within lag 3, and 1 % beyond it, at lags up to 49.", width)
        assert not any(part.startswith("%") for part in parts)


@pytest.mark.parametrize("make", [pair[0] for pair in TRIGGERS.values()])
def test_text_fits_the_line_and_json_is_json(make):
    run = make()
    found = run.diagnose()
    assert all(len(line) <= WIDTH + 4 for line in diagnose_text(run, found))
    answer = json.loads(json.dumps(diagnose_json(found), allow_nan=False))
    assert set(answer) == {"verdict", "findings", "figures"}
    assert len(answer["findings"]) == len(found.findings)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", [{}, {"layers": 2}, {"bidirectional": True, "learn_initial": True}])
def test_text_of_every_kind_of_network(cell, options):
    run = unrolled(network(cell, **options), steps=11, instances=2)
    lines = diagnose_text(run, run.diagnose())
    assert all(len(line) <= WIDTH + 4 for line in lines)
    assert any("mean over the instances" in line or line.startswith("largest") for line in lines)


def test_json_has_every_figure_in_full():
    run = unrolled(network("lstm"), steps=5)
    found = run.diagnose()
    figures = diagnose_json(found)["figures"]
    assert figures["spectra"][0]["spectral"] == found.figures.spectra[0].spectral.tolist()
    assert figures["reach"]["norms"] == found.figures.reach.norms.tolist()
    assert figures["reach_within"] == {str(part): found.figures.reach.within(part) for part in (0.5, 0.9, 0.99)}
    assert figures["failure"] is None
    assert np.isnan(found.figures.units[-1].flat).any() or figures["units"]


def test_a_spark_line_shows_zero_as_a_dot_and_the_largest_of_neighbours():
    assert spark(np.array([0.0, 0.5, 1.0]), 10) == ".▅█"
    assert spark(np.array([0.0, 1.0, 0.5, 0.5]), 2, 1.0) == "█▅"


def command(*arguments: str) -> str:
    done = unrollviz("diagnose", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_command_prints_verdict_findings_and_figures():
    text = command("--cell", "lstm", "--steps", "30")
    assert text.startswith("Diagnosis of ∂L/∂W_f: lstm, T = 30, d = 8\n")
    for title in ("Findings", "How far back", "What a step does", "Units", "Routes", "Truncation", "Parameters"):
        assert f"── {title}" in text
    assert "■" in text or "▲" in text or "●" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_command_answers_in_json_what_the_python_call_says():
    answer = json.loads(command("--loss", "L4", "--param", "U", "--truncate", "1", "--json"))
    found = uz.article().diagnose("U", "L4", 1)
    assert answer["verdict"] == found.verdict
    assert answer["figures"]["reach"]["norms"] == found.figures.reach.norms.tolist()
    assert [cut["steps"] for cut in answer["figures"]["truncations"]] == [1]


def test_the_command_diagnoses_a_network_whose_forward_pass_overflows(tmp_path):
    net = network(activation="relu")
    net.replace(W=30 * np.abs(net.params["W"])).save(tmp_path / "huge.npz")
    arguments = (str(tmp_path / "huge.npz"), "--activation", "relu", "--steps", "400")
    text = command(*arguments)
    assert "is not finite" in text.splitlines()[1] + text.splitlines()[2]
    answer = json.loads(command(*arguments, "--loss", "L390", "--json"))
    assert answer["findings"][0]["rule"] == "not finite"
    assert answer["figures"]["reach"] is None
    assert answer["figures"]["failure"]["where"] == "value"


def test_the_command_lists_every_rule_and_teaches_with_examples():
    listed = command("--rules")
    shown = command("--help")
    for rule in RULES:
        assert rule.name in listed
    assert "unrollviz diagnose --cell lstm --steps 100" in shown


def test_the_command_gives_the_rules_as_json():
    answer = json.loads(command("--rules", "--json"))
    assert answer == rules_json()
    assert [rule["rule"] for rule in answer["rules"]] == [rule.name for rule in RULES]
    assert answer["rules"][1] | {"threshold": 1e3, "severity": "problem"} == answer["rules"][1]
    assert set(answer["rules"][0]) == {"rule", "severity", "measures", "fires", "threshold", "source", "advice"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--loss", "L1"), "--loss"),
        (("--param", "W"), "--param"),
        (("--truncate", "3"), "--truncate"),
        (("--cell", "lstm"), "--cell"),
        (("--bidirectional",), "--bidirectional"),
        (("--max-mib", "512"), "--max-mib"),
        (("model.npz",), "SPEC"),
    ],
)
@pytest.mark.parametrize("also", [(), ("--json",)])
def test_rules_with_an_option_that_would_do_nothing_are_refused(arguments, named, also):
    done = CliRunner().invoke(cli, ["diagnose", "--rules", *arguments, *also])
    assert isinstance(done.exception, UnrollvizError)
    assert str(done.exception) == f"--rules lists the rules and looks at no network; leave out {named}"
    assert done.stdout == ""


def test_the_command_never_calls_the_most_used_highway_unused():
    answer = json.loads(command("--cell", "gru", "--steps", "3", "--hidden", "1", "--json"))
    routes = {route["kind"]: route["crossings"] for route in answer["figures"]["routes"]}
    assert max(routes, key=lambda kind: abs(routes[kind])) == "z"
    assert routes["z"] < 0
    assert "highway unused" not in {finding["rule"] for finding in answer["findings"]}


def test_the_command_in_ascii():
    done = unrollviz("diagnose", "--cell", "gru", "--steps", 20, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "?" not in done.stdout
