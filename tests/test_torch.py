"""PyTorch in float64 gives the same losses, states and gradients: as recorded, and anew where it is installed."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from byhand import bptt

import unrollviz as uz

REFERENCE = Path(__file__).parent / "reference"

spec = importlib.util.spec_from_file_location("make_torch_results", REFERENCE / "make_torch_results.py")
assert spec is not None
assert spec.loader is not None
reference = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = reference
spec.loader.exec_module(reference)

RECORDED = list(reference.read())
BOUND = 1e-10


def unrolled(model) -> uz.Run:
    params = {name: model.given[name] for name in ("U", "W", "b", "V", "c")}
    net = uz.Network("elman", params, model.activation)
    return uz.unroll(net, model.given["xs"], model.targets, initial=model.given["s0"])


def relative(found, expected) -> float:
    """Largest difference over the largest entry: the measure of the promise."""
    scale = np.abs(expected).max()
    return np.abs(found - expected).max() / scale if scale > 0 else np.abs(found).max()


def ours(run: uz.Run) -> dict[str, np.ndarray]:
    states = np.array([run.graph.nodes[f"s{t}"]["value"] for t in range(1, run.steps + 1)])
    gradients = {f"d{name}": found for name, found in run.gradients().items()}
    return {"losses": run.losses, "states": states, **gradients, "ds0": run.gradient("s0")}


def test_the_record_is_small_and_covers_what_it_says():
    assert reference.FILE.stat().st_size < 1_000_000
    assert len(RECORDED) == reference.MODELS >= 200
    sizes = np.array(
        [(*model.given["xs"].shape, len(model.given["b"]), len(model.given["c"])) for model, _ in RECORDED]
    )
    np.testing.assert_array_equal(sizes.min(axis=0), 1)
    np.testing.assert_array_equal(sizes.max(axis=0), [12, 4, 6, 8, 6])
    assert {model.activation for model, _ in RECORDED} == {"tanh", "relu"}
    assert max(np.abs(model.given[name]).max() for model, _ in RECORDED for name in "UWVbc") <= 1.0


def test_losses_states_and_gradients_are_those_that_pytorch_gave():
    for model, expected in RECORDED:
        found = ours(unrolled(model))
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert found[name].shape == value.shape
            assert relative(found[name], value) <= BOUND, (model.number, name)


@pytest.mark.parametrize("detail", ["state", "op"])
def test_sums_over_paths_are_the_gradients_that_pytorch_gave(detail):
    for model, expected in RECORDED:
        run = unrolled(model)
        for name in run.network.params:
            found = run.paths(to=name, detail=detail).sum()
            assert relative(found, expected[f"d{name}"]) <= BOUND, (model.number, name)


def test_sums_of_single_terms_are_the_gradients_that_pytorch_gave():
    for model, expected in RECORDED[::4]:
        run = unrolled(model)
        for name in "UWb":
            found = sum(path.term for path in run.paths(to=name))
            assert relative(found, expected[f"d{name}"]) <= BOUND, (model.number, name)


def test_the_derivation_by_hand_agrees_with_pytorch_too():
    """So that what the other tests compare with is itself compared with something."""
    for model, expected in RECORDED:
        by_hand = bptt(unrolled(model))
        assert relative(by_hand.losses, expected["losses"]) <= BOUND
        for name in ("U", "W", "b", "V", "c"):
            assert relative(by_hand.gradient(name), expected[f"d{name}"]) <= BOUND


def test_a_gradient_off_by_1e_9_would_be_found():
    model, expected = RECORDED[0]
    assert relative(unrolled(model).gradient("W") * (1 + 1e-9), expected["dW"]) > BOUND


def test_pytorch_gives_today_what_it_gave_when_it_was_recorded():
    pytest.importorskip("torch")
    sizes, models = reference.draw()
    assert len(sizes) == len(models) == len(RECORDED)
    for model, (recorded, expected) in list(zip(models, RECORDED, strict=True))[::2]:
        for name in reference.GIVEN:
            np.testing.assert_array_equal(model.given[name], recorded.given[name])
        np.testing.assert_array_equal(model.targets, recorded.targets)
        found = reference.compute(model)
        for name, value in expected.items():
            assert relative(found[name], value) <= 1e-11


def test_pytorch_agrees_on_models_that_were_not_recorded():
    """Larger states and longer sequences, drawn here; per-step gradients by one backward pass for each loss."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    for number in range(12):
        T, B, n, d, k = (int(rng.integers(low, high)) for low, high in ((15, 30), (1, 4), (1, 6), (8, 20), (2, 6)))
        given = {name: rng.normal(size=reference.shapes(T, B, n, d, k)[name]) for name in reference.GIVEN}
        given = {name: value if name in ("xs", "s0") else value / np.sqrt(d) for name, value in given.items()}
        model = reference.Model(number, reference.activation(number), given, rng.integers(0, k, (T, B)))
        run, expected = unrolled(model), reference.compute(model)
        for name, value in expected.items():
            assert relative(ours(run)[name], value) <= BOUND
        W = torch.tensor(given["W"], requires_grad=True)
        p = {name: torch.tensor(given[name]) for name in ("U", "b", "V", "c", "s0", "xs")}
        act, state, losses = getattr(torch, model.activation), p["s0"], []
        for x, target in zip(p["xs"], model.targets, strict=True):
            state = act(x @ p["U"].T + state @ W.T + p["b"])
            losses.append(torch.nn.functional.cross_entropy(state @ p["V"].T + p["c"], torch.tensor(target)))
        by_loss = run.flow("W", by="loss").terms
        for loss, term in zip(losses, by_loss, strict=True):
            (gradient,) = torch.autograd.grad(loss, W, retain_graph=True)
            assert relative(term, gradient.numpy()) <= BOUND
