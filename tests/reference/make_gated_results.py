"""PyTorch's answers for random recurrent networks: which networks, how PyTorch computes them, what is kept.

The networks are drawn from seeds by `numpy.random.RandomState`, whose stream is frozen for good, so that only the
answers are kept: two figures for every state and every gradient.

Needs PyTorch.  Run it:  python tests/reference/make_gated_results.py
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

import unrollviz as uz
from unrollviz.cells import CELLS

KEPT = Path(__file__).with_name("gated_results.npz")
MODELS = {
    "elman-tanh": ("elman", "tanh"),
    "elman-relu": ("elman", "relu"),
    "gru": ("gru", "tanh"),
    "lstm": ("lstm", "tanh"),
}
CASES = 204
"""Networks of each model: 34 for each of 1, 2, 3 layers in one and two directions."""
GATES = {"elman": ("",), "gru": ("_r", "_z", "_n"), "lstm": ("_i", "_f", "_g", "_o")}
"""The order in which PyTorch stacks the gates into one matrix."""


@dataclass(frozen=True)
class Case:
    """A random network of a model of MODELS and a random batch for it, from one number.

    Attributes:
        targets: as given to `unroll`; `every_target` (T, B) ids or (T, B, k).
        options: the keyword arguments of `unroll`.
        torch_initial: full name -> (B, d), the initial states that are not learned.
    """

    model: str
    number: int
    network: uz.Network = field(init=False)
    xs: np.ndarray = field(init=False)
    targets: np.ndarray = field(init=False)
    every_target: np.ndarray = field(init=False)
    options: dict = field(init=False)
    torch_initial: dict = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.RandomState([sorted(MODELS).index(self.model), self.number])
        for name, value in _draw(rng, self.model, self.number).items():
            object.__setattr__(self, name, value)

    @property
    def lengths(self) -> np.ndarray:
        """(B,)"""
        steps, instances = self.xs.shape[:2]
        return np.full(instances, steps) if self.options["lengths"] is None else np.array(self.options["lengths"])

    @cached_property
    def run(self) -> uz.Run:
        return uz.unroll(self.network, self.xs, self.targets, **self.options)

    def states(self) -> dict[str, np.ndarray]:
        """`l2.bwd.c` -> (T, B, d): unrollviz's states, 0 where a step is padding."""
        nodes, steps = self.run.graph.nodes, self.run.steps
        valid = np.arange(1, steps + 1)[:, None] <= self.lengths
        names = [f"{layer.prefix}{state}" for layer in self.network.stack for state in CELLS[self.network.cell].states]
        return {
            name: valid[:, :, None] * np.array([nodes[f"{name}{t}"]["value"] for t in range(1, steps + 1)])
            for name in names
        }


def _draw(rng: np.random.RandomState, model: str, number: int) -> dict:
    """The fields of a case."""
    cell, activation = MODELS[model]
    layers, bidirectional = 1 + number % 3, number // 3 % 2 == 1
    steps, instances = rng.randint(1, 11), rng.randint(1, 5)
    n, d, k = rng.randint(1, 7, 3)
    loss = ("cross_entropy", "binary_cross_entropy", "squared_error")[rng.randint(3)]
    begin = ("zeros", "given", "some", "learned")[rng.randint(4)]
    readout, reduction = ("every", "last")[rng.randint(2)], ("sum", "mean")[rng.randint(2)]
    lengths = None if rng.rand() < 1 / 3 else rng.randint(1, steps + 1, instances)
    weights = None
    if rng.rand() < 1 / 2:
        shape = (steps,) if rng.rand() < 1 / 2 else (steps, instances)
        weights = rng.uniform(0.1, 2, shape) * (rng.rand(*shape) < 0.8)
    net = uz.Network.init(
        cell, n, d, k, activation, layers=layers, bidirectional=bidirectional, learn_initial=begin == "learned"
    )
    net = net.replace(**{name: rng.uniform(-0.9, 0.9, value.shape) for name, value in net.params.items()})
    names = [f"{layer.prefix}{state}0" for layer in net.stack for state in CELLS[cell].states]
    given = {name: rng.normal(size=(instances, d)) for name in names}
    if begin == "some":
        given = {name: value for name, value in given.items() if rng.rand() < 1 / 2}
    elif begin != "given":
        given = {}
    return {
        "network": net,
        "xs": rng.normal(size=(steps, instances, n)),
        **_targets(rng, loss, readout, (steps, instances, k)),
        "options": {
            "loss": loss,
            "readout": readout,
            "reduction": reduction,
            "lengths": lengths,
            "weights": weights,
            "initial": given,
        },
        "torch_initial": {name: given.get(name, np.zeros((instances, d))) for name in names if name not in net.params},
    }


def _targets(rng: np.random.RandomState, loss: str, readout: str, shape: tuple[int, int, int]) -> dict:
    """Ids, distributions, probabilities or numbers; one an instance for some of those that are read out last."""
    steps, instances, k = shape
    if loss == "cross_entropy":
        wanted = rng.randint(0, k, (steps, instances)) if rng.rand() < 1 / 2 else rng.dirichlet(np.ones(k), shape[:2])
    elif loss == "binary_cross_entropy":
        wanted = rng.uniform(size=shape) if rng.rand() < 1 / 2 else rng.randint(0, 2, shape).astype(float)
    else:
        wanted = rng.normal(size=shape)
    single = readout == "last" and rng.rand() < 1 / 2
    return (
        {"targets": wanted[-1], "every_target": np.array([wanted[-1]] * steps)}
        if single
        else {"targets": wanted, "every_target": wanted}
    )


@dataclass(frozen=True)
class Answer:
    """The loss, every state (as `Case.states`) and the gradient by every parameter."""

    loss: float
    losses: np.ndarray
    states: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]

    def figures(self) -> np.ndarray:
        """Two figures for every array: its norm, and its product with a fixed random direction."""
        arrays = {"losses": self.losses, **self.states, **self.gradients}
        found = [self.loss]
        for name, array in sorted(arrays.items()):
            direction = np.random.RandomState(zlib.crc32(name.encode())).normal(size=array.shape)
            found += [float(np.linalg.norm(array)), float((array * direction).sum())]
        return np.array(found)


def ours(case: Case) -> Answer:
    """What unrollviz finds."""
    return Answer(case.run.loss, case.run.losses, case.states(), case.run.gradients())


def pytorch(case: Case) -> Answer:
    """What PyTorch finds, by its recurrent modules on packed sequences."""
    import torch

    net = case.network
    rnn, readout = modules(net)
    learned = {
        name: torch.tensor(net.params[name], requires_grad=True)
        for name in net.params
        if name[-2:] in ("s0", "h0", "c0")
    }
    instances = case.xs.shape[1]
    first = {name: torch.tensor(value) for name, value in case.torch_initial.items()}
    first |= {name: leaf.expand(instances, -1) for name, leaf in learned.items()}
    begun = [torch.stack([first[f"{layer.prefix}{state}0"] for layer in net.stack]) for state in CELLS[net.cell].states]
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.tensor(case.xs), torch.tensor(case.lengths), enforce_sorted=False
    )
    output, last = rnn(packed, tuple(begun) if len(begun) == 2 else begun[0])
    output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, total_length=len(case.xs))
    h_n = last[0] if isinstance(last, tuple) else last
    read = output
    if case.options["readout"] == "last":
        final = torch.cat(list(h_n[-2:]), dim=1) if net.bidirectional else h_n[-1]
        read = final.expand(len(case.xs), -1, -1)
    weighted = torch_losses(case, readout(read))
    weighted.sum().backward()
    gradients = torch_gradients(net, rnn) | {"V": readout.weight.grad, "c": readout.bias.grad}
    gradients |= {name: leaf.grad for name, leaf in learned.items()}
    states = torch_states(net, rnn, case, {name: value.detach() for name, value in first.items()})
    return Answer(
        float(weighted.sum().detach()),
        weighted.detach().sum(dim=1).numpy(),
        states,
        {name: value.numpy() for name, value in gradients.items()},
    )


def modules(net: uz.Network):
    """torch.nn.RNN, GRU or LSTM and the linear readout, with the network's weights; half of a bias in each of two."""
    import torch

    kind = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[net.cell]
    options = {"nonlinearity": net.activation} if net.cell == "elman" else {}
    rnn = kind(net.inputs, net.hidden, net.layers, bidirectional=net.bidirectional, dtype=torch.float64, **options)
    readout = torch.nn.Linear(net.params["V"].shape[1], net.outputs, dtype=torch.float64)
    with torch.no_grad():
        for layer in net.stack:
            for name, value in torch_weights(net, layer.prefix).items():
                getattr(rnn, name + torch_suffix(layer)).copy_(torch.tensor(value))
        readout.weight.copy_(torch.tensor(net.params["V"]))
        readout.bias.copy_(torch.tensor(net.params["c"]))
    return rnn, readout


def torch_suffix(layer) -> str:
    return f"_l{layer.number - 1}" + ("_reverse" if layer.direction < 0 else "")


def torch_weights(net: uz.Network, prefix: str) -> dict[str, np.ndarray]:
    """A layer's parameters as PyTorch stacks them."""
    U, W, b = ([net.params[f"{prefix}{letter}{gate}"] for gate in GATES[net.cell]] for letter in "UWb")
    b_ih, b_hh = [half / 2 for half in b], [half / 2 for half in b]
    if net.cell == "gru":
        b_ih[2], b_hh[2] = b[2], net.params[f"{prefix}b_hn"]
    return {
        "weight_ih": np.concatenate(U),
        "weight_hh": np.concatenate(W),
        "bias_ih": np.concatenate(b_ih),
        "bias_hh": np.concatenate(b_hh),
    }


def torch_gradients(net: uz.Network, rnn) -> dict:
    """unrollviz's name -> PyTorch's gradient, cut out of the stacked one."""
    found = {}
    for layer in net.stack:
        for letter, name in (("U", "weight_ih"), ("W", "weight_hh"), ("b", "bias_ih")):
            parts = getattr(rnn, name + torch_suffix(layer)).grad.chunk(len(GATES[net.cell]))
            found |= {f"{layer.prefix}{letter}{gate}": part for gate, part in zip(GATES[net.cell], parts, strict=True)}
        if net.cell == "gru":
            found[f"{layer.prefix}b_hn"] = getattr(rnn, "bias_hh" + torch_suffix(layer)).grad.chunk(3)[2]
    return found


def torch_losses(case: Case, logits):
    """(T, B): every step's loss of every instance, weighted and reduced; 0 where it does not count."""
    import torch
    from torch.nn import functional

    steps, instances, k = logits.shape
    wanted = torch.tensor(case.every_target)
    if case.options["loss"] == "cross_entropy":
        flat = wanted.reshape(steps * instances, -1)
        flat = flat[:, 0] if wanted.dtype == torch.int64 else flat
        each = functional.cross_entropy(logits.reshape(-1, k), flat, reduction="none").reshape(steps, instances)
    elif case.options["loss"] == "binary_cross_entropy":
        each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(dim=2)
    else:
        each = functional.mse_loss(logits, wanted, reduction="none").sum(dim=2)
    times, lengths = torch.arange(1, steps + 1)[:, None], torch.tensor(case.lengths)
    counted = (times == lengths) if case.options["readout"] == "last" else (times <= lengths)
    weights = case.options["weights"]
    given = torch.ones(1, 1, dtype=torch.float64) if weights is None else torch.tensor(weights).reshape(steps, -1)
    weight = given * counted
    if case.options["reduction"] == "sum":
        weight = weight / instances
    elif weight.sum() > 0:
        weight = weight / weight.sum()
    return weight * each


def torch_states(net: uz.Network, rnn, case: Case, first: dict) -> dict[str, np.ndarray]:
    """Every state at every step of every sequence alone, by torch.nn's single cells; 0 at padding."""
    import torch

    kind = {"elman": torch.nn.RNNCell, "gru": torch.nn.GRUCell, "lstm": torch.nn.LSTMCell}[net.cell]
    options = {"nonlinearity": net.activation} if net.cell == "elman" else {}
    names = CELLS[net.cell].states
    steps, instances = case.xs.shape[:2]
    found = {}
    below = torch.tensor(case.xs)
    for number in range(1, net.layers + 1):
        directions = [layer for layer in net.stack if layer.number == number]
        for layer in directions:
            cell = kind(below.shape[2], net.hidden, dtype=torch.float64, **options)
            states = torch.zeros(len(names), steps, instances, net.hidden, dtype=torch.float64)
            with torch.no_grad():
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    getattr(cell, name).copy_(getattr(rnn, name + torch_suffix(layer)))
                for instance, length in enumerate(case.lengths):
                    state = [first[f"{layer.prefix}{name}0"][instance] for name in names]
                    for time in range(length)[:: layer.direction]:
                        new = cell(below[time, instance], tuple(state) if len(names) == 2 else state[0])
                        state = list(new) if len(names) == 2 else [new]
                        states[:, time, instance] = torch.stack(state)
            found |= {f"{layer.prefix}{name}": states[index] for index, name in enumerate(names)}
        below = torch.cat([found[f"{layer.prefix}{names[0]}"] for layer in directions], dim=2)
    return {name: value.numpy() for name, value in found.items()}


def main() -> None:
    kept = {}
    for model in MODELS:
        figures = [pytorch(Case(model, number)).figures() for number in range(CASES)]
        kept[f"{model}.figures"] = np.concatenate(figures)
        kept[f"{model}.starts"] = np.cumsum([0, *map(len, figures)])
    np.savez_compressed(KEPT, **kept)
    print(f"{KEPT}: {KEPT.stat().st_size:,} bytes, {CASES} networks of each of {', '.join(MODELS)}")


if __name__ == "__main__":
    main()
