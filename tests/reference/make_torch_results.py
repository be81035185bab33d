"""Write torch_results.npz: what PyTorch, in float64, computes for 240 random Elman networks.

    python tests/reference/make_torch_results.py

Needs torch. The models are `torch.nn.RNN` (tanh and relu in turn) with a linear readout and the cross-entropy of every
step, summed over steps and averaged over instances; gradients are autograd's. T is 1 to 12, d 1 to 8, n and k 1 to 6,
B 1 to 4, the largest weight at most 1.

Deterministic: sizes and numbers are drawn from seed 0. Every number given to a model is a whole multiple of 1/1024 and
stored as such in 16 bits, so that the file holds the exact inputs, needs no random generator to be read, and is small.

The file (`allow_pickle` is not needed):
    sizes        (240, 5)  T, B, n, d, k of each model
    given        all models' xs (T, B, n), s0 (B, d), U, W, b, V, c, one after another, times 1024
    targets      all models' class ids (T, B)
    results      all models' losses (T,), states s_1 … s_T (T, B, d), and the gradients of U, W, b, V, c, s0
    versions     that it was made with
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MODELS = 240
FILE = Path(__file__).with_name("torch_results.npz")
UNIT = 1024.0
GIVEN = ("xs", "s0", "U", "W", "b", "V", "c")
RESULTS = ("losses", "states", "dU", "dW", "db", "dV", "dc", "ds0")


@dataclass(frozen=True)
class Model:
    """One network with its sequence; `given` by the names in GIVEN."""

    number: int
    activation: str
    given: dict[str, np.ndarray]
    targets: np.ndarray


def shapes(T: int, B: int, n: int, d: int, k: int) -> dict[str, tuple[int, ...]]:
    """The shape of everything in GIVEN and RESULTS."""
    params: dict[str, tuple[int, ...]] = {"U": (d, n), "W": (d, d), "b": (d,), "V": (k, d), "c": (k,)}
    gradients = {f"d{name}": shape for name, shape in params.items()}
    return {"xs": (T, B, n), "s0": (B, d), **params, "losses": (T,), "states": (T, B, d), **gradients, "ds0": (B, d)}


def take(flat: np.ndarray, start: int, names: tuple[str, ...], sizes: np.ndarray) -> tuple[dict[str, np.ndarray], int]:
    """The named arrays that follow each other in `flat` from `start` on, and where they end."""
    found = {}
    for name in names:
        shape = shapes(*(int(size) for size in sizes))[name]
        stop = start + int(np.prod(shape))
        found[name] = flat[start:stop].reshape(shape)
        start = stop
    return found, start


def read() -> Iterator[tuple[Model, dict[str, np.ndarray]]]:
    """Every model of the file with PyTorch's results by the names in RESULTS."""
    with np.load(FILE, allow_pickle=False) as data:
        sizes, given, targets, results = (data[name] for name in ("sizes", "given", "targets", "results"))
    at_given = at_targets = at_results = 0
    for number, (T, B, *_) in enumerate(sizes.astype(int)):
        numbers, at_given = take(given / UNIT, at_given, GIVEN, sizes[number])
        ids = targets[at_targets : at_targets + T * B].reshape(T, B).astype(int)
        at_targets += T * B
        found, at_results = take(results, at_results, RESULTS, sizes[number])
        yield Model(number, activation(number), numbers, ids), found


def activation(number: int) -> str:
    return ("tanh", "relu")[number % 2]


def draw() -> tuple[np.ndarray, list[Model]]:
    """Sizes and models, from seed 0."""
    rng, models, sizes = np.random.default_rng(0), [], []
    for number in range(MODELS):
        T, B, n, d, k = (int(rng.integers(1, top + 1)) for top in (12, 4, 6, 8, 6))
        sizes.append((T, B, n, d, k))
        scale = rng.choice([0.1, 0.5, 1.0])
        given = {}
        for name in GIVEN:
            shape = shapes(T, B, n, d, k)[name]
            numbers = rng.standard_normal(shape) if name in ("xs", "s0") else rng.uniform(-scale, scale, shape)
            given[name] = np.clip(np.round(numbers * UNIT), -(2**15), 2**15 - 1) / UNIT
        models.append(Model(number, activation(number), given, rng.integers(0, k, (T, B))))
    return np.array(sizes), models


def compute(model: Model) -> dict[str, np.ndarray]:
    """PyTorch's results, by the names in RESULTS."""
    import torch

    given = {name: torch.tensor(value, dtype=torch.float64) for name, value in model.given.items()}
    (d, n), k = given["U"].shape, len(given["c"])
    rnn = torch.nn.RNN(n, d, nonlinearity=model.activation, dtype=torch.float64)
    readout = torch.nn.Linear(d, k, dtype=torch.float64)
    values = {"weight_ih_l0": "U", "weight_hh_l0": "W", "bias_ih_l0": "b"}
    with torch.no_grad():
        for theirs, ours in values.items():
            getattr(rnn, theirs).copy_(given[ours])
        rnn.bias_hh_l0.zero_()
        readout.weight.copy_(given["V"])
        readout.bias.copy_(given["c"])
    s0 = given["s0"].requires_grad_()
    states, _ = rnn(given["xs"], s0[None])
    logits = readout(states)
    losses = torch.stack(
        [torch.nn.functional.cross_entropy(z, torch.tensor(y)) for z, y in zip(logits, model.targets, strict=True)]
    )
    losses.sum().backward()
    gradients = {f"d{ours}": getattr(rnn, theirs).grad for theirs, ours in values.items()}
    found = {"losses": losses, "states": states, **gradients, "dV": readout.weight.grad, "dc": readout.bias.grad}
    return {name: value.detach().numpy() for name, value in {**found, "ds0": s0.grad}.items()}


def main() -> None:
    import torch

    sizes, models = draw()
    results = [compute(model) for model in models]
    np.savez_compressed(
        FILE,
        sizes=sizes.astype(np.uint8),
        given=np.concatenate([model.given[name].ravel() * UNIT for model in models for name in GIVEN]).astype(np.int16),
        targets=np.concatenate([model.targets.ravel() for model in models]).astype(np.uint8),
        results=np.concatenate([found[name].ravel() for found in results for name in RESULTS]),
        versions=np.array([f"torch {torch.__version__}", f"numpy {np.__version__}"]),
    )


if __name__ == "__main__":
    main()
