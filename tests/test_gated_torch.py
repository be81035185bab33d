"""Every cell, one to three layers, one and two directions, against PyTorch: kept answers always, live ones where it is
installed. The networks, and how PyTorch is asked, are in `reference/make_gated_results.py`."""

import os

import numpy as np
import pytest
from reference.make_gated_results import CASES, KEPT, MODELS, Answer, Case, modules, ours, pytorch, torch_suffix

import unrollviz as uz
from unrollviz.cells import CELLS

BOUND = 1e-10
NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
LIVE = 200 if NIGHTLY else 1
"""Fresh networks of each kind for the live comparison."""
WALKED = CASES if NIGHTLY else CASES // 6
"""The first so many kept networks have the sum over paths compared too, by every parameter with at most 1e5."""

kinds = pytest.mark.parametrize(
    ("model", "layers", "bidirectional"),
    [
        pytest.param(model, layers, two, marks=[pytest.mark.thorough] * (layers == 2))
        for model in MODELS
        for layers in (1, 2, 3)
        for two in (False, True)
    ],
    ids=lambda value: {False: "one-way", True: "two-way"}.get(value, value) if isinstance(value, bool) else str(value),
)


@pytest.fixture(scope="module")
def kept():
    with np.load(KEPT) as archive:
        return dict(archive)


def numbers(layers, bidirectional, start, stop):
    """The cases with so many layers and directions."""
    return [number for number in range(start, stop) if number % 6 == layers - 1 + 3 * bidirectional]


def figures_of(kept, model, number):
    first, last = kept[f"{model}.starts"][number : number + 2]
    return kept[f"{model}.figures"][first:last]


def assert_figures(answer: Answer, expected, what):
    """Loss to 1e-10 of itself, every array's two figures to 1e-10 of its norm."""
    found = answer.figures()
    assert len(found) == len(expected), what
    norms = np.repeat(expected[1::2], 2)
    assert abs(found[0] - expected[0]) <= BOUND * abs(expected[0]), what
    wrong = np.abs(found[1:] - expected[1:]) > BOUND * norms
    names = sorted(["losses", *answer.states, *answer.gradients])
    assert not wrong.any(), (what, sorted({names[index // 2] for index in np.flatnonzero(wrong)}))


def assert_same(found, expected, what):
    """Every array, entry by entry, to 1e-10 of its largest."""
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].shape == array.shape, (what, name)
        assert np.abs(found[name] - array).max() <= BOUND * np.abs(array).max(), (what, name)


# ---------------------------------------------------------------- kept answers


def test_the_kept_networks_are_of_every_kind(kept):
    assert {len(numbers(layers, two, 0, CASES)) for layers in (1, 2, 3) for two in (False, True)} == {CASES // 6}
    assert CASES >= 200
    assert KEPT.stat().st_size < 1_500_000
    for model in MODELS:
        assert len(kept[f"{model}.starts"]) == CASES + 1
        cases = [Case(model, number) for number in range(CASES)]
        drawn = {(case.network.layers, case.network.bidirectional) for case in cases}
        assert len(drawn) == 6
        for key in ("loss", "readout", "reduction"):
            assert min(np.unique([case.options[key] for case in cases], return_counts=True)[1]) > CASES / 6
        assert {case.xs.shape[0] for case in cases} == set(range(1, 11))
        assert {case.xs.shape[1] for case in cases} == set(range(1, 5))
        assert sum(bool((case.lengths < len(case.xs)).any()) for case in cases) > CASES / 3
        assert sum(any(name.endswith("0") for name in case.network.params) for case in cases) > CASES / 6


@kinds
def test_loss_states_gradients_and_path_sums_are_pytorchs(kept, model, layers, bidirectional):
    walked = 0
    for number in numbers(layers, bidirectional, 0, CASES):
        case, expected = Case(model, number), figures_of(kept, model, number)
        found = ours(case)
        assert_figures(found, expected, (model, number))
        if number >= WALKED:
            continue
        sums = dict(found.gradients)
        for name in sums:
            paths = case.run.paths(to=name)
            if paths.count <= 100_000:
                sums[name] = paths.sum()
                walked += 1
        assert_figures(Answer(found.loss, found.losses, found.states, sums), expected, (model, number, "path sums"))
    assert walked > (80 if NIGHTLY else 25)


# ---------------------------------------------------------------- live answers


@kinds
def test_live(model, layers, bidirectional):
    pytest.importorskip("torch")
    for number in numbers(layers, bidirectional, 10_000, 10_000 + 6 * LIVE):
        case = Case(model, number)
        found, expected = ours(case), pytorch(case)
        assert abs(found.loss - expected.loss) <= BOUND * abs(expected.loss)
        assert_same({"losses": found.losses}, {"losses": expected.losses}, number)
        assert_same(found.states, expected.states, number)
        assert_same(found.gradients, expected.gradients, number)


@pytest.mark.parametrize("model", MODELS)
def test_the_kept_answers_are_still_pytorchs(kept, model):
    pytest.importorskip("torch")
    for number in (0, 5, CASES - 1):
        assert_figures(pytorch(Case(model, number)), figures_of(kept, model, number), (model, number))


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "squared_error"])
def test_the_mean_is_pytorchs_mean_over_the_valid_steps(loss):
    """As users write it: reduction="mean" on what is not padding (cross-entropy: by `ignore_index`)."""
    torch = pytest.importorskip("torch")
    rng, lengths = np.random.default_rng(3), np.array([6, 1, 4])
    net = uz.Network.init("lstm", 3, 4, 5, layers=2, bidirectional=True, seed=3)
    xs, ids = rng.normal(size=(6, 3, 3)), rng.integers(0, 5, (6, 3))
    wanted = {"cross_entropy": ids, "binary_cross_entropy": rng.uniform(size=(6, 3, 5))}.get(
        loss, rng.normal(size=(6, 3, 5))
    )
    run = uz.unroll(net, xs, wanted, loss=loss, reduction="mean", lengths=lengths)
    rnn, readout = modules(net)
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.tensor(xs), torch.tensor(lengths), enforce_sorted=False)
    output, _ = torch.nn.utils.rnn.pad_packed_sequence(rnn(packed)[0])
    logits, valid = readout(output), torch.arange(1, 7)[:, None] <= torch.tensor(lengths)
    if loss == "cross_entropy":
        target = torch.where(valid, torch.tensor(ids), -100)
        mean = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
    else:
        kind = {"binary_cross_entropy": "binary_cross_entropy_with_logits", "squared_error": "mse_loss"}[loss]
        mean = 5 * getattr(torch.nn.functional, kind)(logits[valid], torch.tensor(wanted)[valid])  # ours sums over k
    assert run.loss == pytest.approx(mean.item(), rel=BOUND)


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
@pytest.mark.parametrize("model", MODELS)
def test_every_loss_and_entry_step_is_pytorchs_with_a_copy_of_the_weights_for_each_step(model, bidirectional):
    """M[t, k] = ∂L_t / ∂(the copy that step k uses): what PyTorch adds up (pytorch#1407)."""
    torch = pytest.importorskip("torch")
    cell, activation = MODELS[model]
    rng, T = np.random.default_rng(8), 5
    net = uz.Network.init(cell, 2, 3, 4, activation, seed=8, bidirectional=bidirectional)
    xs, ids = rng.normal(size=(T, 2, 2)), rng.integers(0, 4, (T, 2))
    run = uz.unroll(net, xs, ids)
    rnn, readout = modules(net)
    kind = {"elman": torch.nn.RNNCell, "gru": torch.nn.GRUCell, "lstm": torch.nn.LSTMCell}[cell]
    options = {"nonlinearity": activation} if cell == "elman" else {}
    weights, outputs = {}, []
    for layer in net.stack:
        state, found = None, {}
        for time in range(1, T + 1)[:: layer.direction]:
            step = kind(2, 3, dtype=torch.float64, **options)
            with torch.no_grad():
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    getattr(step, name).copy_(getattr(rnn, name + torch_suffix(layer)))
            weights[layer, time] = step
            state = step(torch.tensor(xs[time - 1]), state)
            found[time] = state[0] if cell == "lstm" else state
        outputs.append(torch.stack([found[time] for time in range(1, T + 1)]))
    logits = readout(torch.cat(outputs, dim=2))
    gates = {"elman": [""], "gru": ["_r", "_z", "_n"], "lstm": ["_i", "_f", "_g", "_o"]}[cell]
    losses = [torch.nn.functional.cross_entropy(logits[t], torch.tensor(ids[t])) for t in range(T)]
    for layer in net.stack:
        for letter, name in (("U", "weight_ih"), ("W", "weight_hh"), ("b", "bias_ih")):
            copies = [getattr(weights[layer, k], name) for k in range(1, T + 1)]
            by_step = [torch.autograd.grad(loss, copies, retain_graph=True, materialize_grads=True) for loss in losses]
            for index, gate in enumerate(gates):
                flow = run.flow(f"{layer.prefix}{letter}{gate}", by="temporal")
                reached = [(t, k) for t in range(1, T + 1) for k in range(1, T + 1) if (t - k) * layer.direction >= 0]
                assert flow.labels.tolist() == [list(pair) for pair in reached]
                for (t, k), term in zip(reached, flow.terms, strict=True):
                    expected = by_step[t - 1][k - 1].chunk(len(gates))[index].numpy()
                    assert np.abs(term - expected).max() <= 1e-12, (layer, letter, gate, t, k)


@pytest.mark.parametrize("activation", ["sigmoid", "identity"])
def test_activations_that_pytorchs_rnn_lacks(activation):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    net = uz.Network.init("elman", 3, 4, 2, activation, layers=2, seed=4, learn_initial=True)
    net = net.replace(**{name: rng.normal(size=value.shape) / 2 for name, value in net.params.items()})
    xs, wanted = rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2, 2))
    run = uz.unroll(net, xs, wanted, loss="squared_error")
    p = {name: torch.tensor(value, requires_grad=True) for name, value in net.params.items()}
    act = {"sigmoid": torch.sigmoid, "identity": lambda a: a}[activation]
    below, states, loss = torch.tensor(xs), {1: p["l1.s0"], 2: p["l2.s0"]}, 0
    for t in range(5):
        x = below[t]
        for layer in (1, 2):
            U, W, b = (p[f"l{layer}.{letter}"] for letter in "UWb")
            x = states[layer] = act(x @ U.T + states[layer] @ W.T + b)
        loss = loss + ((x @ p["V"].T + p["c"] - torch.tensor(wanted[t])) ** 2).sum() / 2
    loss.backward()
    assert run.loss == pytest.approx(loss.item(), rel=BOUND)
    assert_same(run.gradients(), {name: leaf.grad.numpy() for name, leaf in p.items()}, activation)


def test_every_cell_of_the_table_is_compared():
    assert {cell for cell, _ in MODELS.values()} == set(CELLS)
