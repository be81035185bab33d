"""PyTorch's names for the parameters of recurrent layers, `rnn.weight_ih_l0` and so on, and ours."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from unrollviz.arrays import Array
from unrollviz.errors import ShapeError, UnknownName
from unrollviz.names import clean
from unrollviz.network import Network, layers_of
from unrollviz.readers.found import Found, activation_of, initial_names
from unrollviz.readers.gates import PYTORCH, split, stack
from unrollviz.readers.tensors import Floats, take

INITIAL = "initial."
"""What learned initial states begin with in files of ours: `initial.l2.h0`. PyTorch's modules have no such thing."""

_NAME = re.compile(
    r"(?P<prefix>(?:.*[^A-Za-z0-9])?)(?P<kind>weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)"
    r"(?:_l(?P<layer>\d{1,4})(?P<reverse>_reverse)?)?"
)
_CELL_OF_GATES = {len(gates): cell for cell, gates in PYTORCH.items()}

Names = dict[str, str]
"""Kind of parameter (`weight_ih`) -> its name in the file."""
Module = dict[tuple[int, int], Names]
"""(layer from 1, direction) -> the names of its parameters."""


@dataclass(frozen=True)
class Recurrent:
    """The recurrent layers of a state dict: as in `Found`, and d."""

    cell: str
    params: dict[str, Array]
    layers: int
    bidirectional: bool
    used: list[str]
    units: int

    @property
    def width(self) -> int:
        """Numbers that are read out: d for each direction."""
        return self.units * (2 if self.bidirectional else 1)


def from_state_dict(
    tensors: Mapping[str, Floats],
    metadata: Mapping[str, str],
    *,
    readout: str | None = None,
    rnn: str | None = None,
    activation: str | None = None,
) -> Found:
    """The network in the tensors of a state dict.

    The cell is told by the number of rows. A state dict does not say whether an Elman cell uses tanh or relu: the
    metadata may (`activation`), else the caller, else it is tanh.

    Args:
        readout: the name of the linear layer that reads out the states, where several would fit.
        rnn: the prefix of the recurrent module, where there are several.

    Raises:
        ShapeError: where there is no such network, or more than one; says which names there are.
        UnknownName: where `readout` or `rnn` is none of them.
    """
    modules = _modules(tensors)
    found = _recurrent(tensors, _chosen_module(modules, rnn))
    taken = {name for module in modules.values() for names in module.values() for name in names.values()}
    choices = _readouts(tensors, taken, found.width)
    chosen = _chosen_readout(tensors, choices, readout, found.width)
    weight, bias = choices[chosen]
    outputs = len(tensors[weight])
    initial = [name for name in tensors if name.startswith(INITIAL) and "initial" in metadata]
    params = {
        **found.params,
        "V": take(tensors, weight, tensors[weight].shape),
        "c": take(tensors, bias, (outputs,)) if bias else np.zeros(outputs),
        **{name.removeprefix(INITIAL): take(tensors, name, (found.units,)) for name in initial},
    }
    used = {*found.used, weight, *([bias] if bias else []), *initial}
    return Found(
        cell=found.cell,
        params=params,
        activation=activation_of(found.cell, metadata, activation),
        layers=found.layers,
        bidirectional=found.bidirectional,
        used=tuple(name for name in tensors if name in used),
        ignored=tuple(name for name in tensors if name not in used),
        readout=chosen,
        choices=tuple(choices),
        stored=sum(tensors[name].size for name in used),
    )


def _modules(names: Iterable[str]) -> dict[str, Module]:
    """Prefix -> recurrent module: what has a recurrent matrix."""
    modules: dict[str, Module] = defaultdict(lambda: defaultdict(dict))
    for name in names:
        if match := _NAME.fullmatch(name):
            key = int(match["layer"] or 0) + 1, -1 if match["reverse"] else 1
            modules[match["prefix"]][key][match["kind"]] = name
    return {
        prefix: dict(module)
        for prefix, module in modules.items()
        if any("weight_hh" in names for names in module.values())
    }


def _chosen_module(modules: Mapping[str, Module], rnn: str | None) -> Module:
    by_name = {prefix.rstrip("."): module for prefix, module in modules.items()}
    if not by_name:
        raise ShapeError(
            "has no recurrent layer in PyTorch's naming (rnn.weight_ih_l0, rnn.weight_hh_l0, …); "
            "save the state_dict of an RNN, GRU or LSTM with its readout"
        )
    if rnn is not None and rnn.rstrip(".") not in by_name:
        raise UnknownName("recurrent module", clean(rnn), by_name)
    if rnn is None and len(by_name) > 1:
        raise ShapeError(f"has several recurrent modules; say which with rnn: {listed(by_name)}")
    return by_name[next(iter(by_name)) if rnn is None else rnn.rstrip(".")]


def _recurrent(tensors: Mapping[str, Floats], module: Module) -> Recurrent:
    numbers, directions = {number for number, _ in module}, {direction for _, direction in module}
    layers, bidirectional = len(numbers), len(directions) == 2
    stacked = list(layers_of(layers, bidirectional))
    for names in module.values():
        if "weight_hr" in names:
            raise ShapeError(f"{names['weight_hr']} projects the states (proj_size), which is not supported")
    for layer in stacked:
        names = module.get((layer.number, layer.direction), {})
        for kind in ("weight_ih", "weight_hh"):
            if kind not in names:
                raise ShapeError(f"{kind}_l{layer.number - 1}{'_reverse' * (layer.direction < 0)} is missing")
    first = module[1, 1]
    inputs, (rows, units) = _matrix(tensors, first["weight_ih"])[1], _matrix(tensors, first["weight_hh"])
    gates, rest = divmod(rows, units)
    if rest or gates not in _CELL_OF_GATES:
        raise ShapeError(
            f"{first['weight_hh']} has shape {(rows, units)}; for each column an RNN has 1 row, a GRU 3, an LSTM 4"
        )
    cell = _CELL_OF_GATES[gates]
    params: dict[str, Array] = {}
    for layer in stacked:
        below = inputs if layer.number == 1 else units * len(directions)
        shapes = {"weight_ih": (rows, below), "weight_hh": (rows, units), "bias_ih": (rows,), "bias_hh": (rows,)}
        names = module[layer.number, layer.direction]
        arrays = [
            take(tensors, names[kind], shape) if kind in names else np.zeros(shape) for kind, shape in shapes.items()
        ]
        gate_sets = split(PYTORCH[cell], (arrays[0], arrays[1], arrays[2], arrays[3]))
        params |= {f"{layer.prefix}{name}": value for name, value in gate_sets.items()}
    used = [name for names in module.values() for name in names.values()]
    return Recurrent(cell, params, layers, bidirectional, used, units)


def _matrix(tensors: Mapping[str, Floats], name: str) -> tuple[int, int]:
    """The shape of a matrix."""
    shape = tensors[name].shape
    if len(shape) != 2 or 0 in shape:
        raise ShapeError(f"{name} has shape {shape}; a matrix with rows and columns is expected")
    return shape[0], shape[1]


def _readouts(tensors: Mapping[str, Floats], taken: set[str], width: int) -> dict[str, tuple[str, str | None]]:
    """Name -> (weight, bias) of every linear layer that could read out states of this width."""
    found = {}
    for name, value in tensors.items():
        stem = name.removesuffix("weight")
        if name in taken or stem == name or value.ndim != 2 or value.shape[1] != width or not len(value):
            continue
        bias = tensors.get(f"{stem}bias")
        fits = bias is not None and bias.shape == value.shape[:1]
        found[stem.rstrip(".") or name] = (name, f"{stem}bias" if fits else None)
    return found


def _chosen_readout(
    tensors: Mapping[str, Floats], choices: Mapping[str, tuple[str, str | None]], readout: str | None, width: int
) -> str:
    if not choices:
        matrices = [f"{name} {value.shape}" for name, value in tensors.items() if value.ndim == 2]
        raise ShapeError(
            f"has no readout: a linear layer with a weight of shape (k, {width}); the matrices are {listed(matrices)}"
        )
    if readout is None:
        if len(choices) > 1:
            raise ShapeError(f"has several layers that could be the readout; say which with readout: {listed(choices)}")
        return next(iter(choices))
    for name, (weight, _) in choices.items():
        if readout in (name, weight):
            return name
    raise UnknownName(f"readout of {width} states", clean(readout), choices)


_LETTERS = {"weight_ih": "U", "weight_hh": "W", "bias_ih": "b", "bias_hh": "b"}
_LINEAR = re.compile(r"(?:.*\.)?(weight|bias)")
_LAYER_0 = re.compile(r"l0\.(.+)")


def ours(name: str, network: Network) -> str:
    """What to say of a parameter that was asked for by PyTorch's name, `rnn.weight_hh_l0`, or in a layer l0; empty
    where it was not."""
    if match := _LAYER_0.fullmatch(name):
        same = [f"l1.{match[1]}", match[1]] if network.layers == 1 else [f"l1.{match[1]}"]
        found = [one for one in same if one in network.params]
        return f"layers are counted from 1, so that PyTorch's l0 is l1: did you mean {found[0]}?" if found else ""
    if match := _NAME.fullmatch(name):
        place = int(match["layer"] or 0) + 1, -1 if match["reverse"] else 1
        prefixes = [layer.prefix for layer in network.stack if (layer.number, layer.direction) == place]
        if match["kind"] not in _LETTERS or network.cell not in PYTORCH or not prefixes:
            return ""
        names = [f"{prefixes[0]}{_LETTERS[match['kind']]}{gate}" for gate in PYTORCH[network.cell]]
        if match["kind"] == "bias_hh":
            names = [f"{one.removesuffix('_n')}_hn" if one.endswith("b_n") else one for one in names]
        summed = ", the sum of both biases" if match["kind"].startswith("bias") else ""
        if summed and network.cell == "gru":
            summed = ", of r and z the sum of both biases"
        return f"what PyTorch calls so is {', '.join(names)} here{summed}"
    if match := _LINEAR.fullmatch(name):
        return f"what PyTorch calls so is {'V' if match[1] == 'weight' else 'c'} here, if it is the readout's"
    return ""


def listed(names: Iterable[str]) -> str:
    """The first few of them, safe to show."""
    shown = list(map(clean, names))
    return ", ".join(name or "''" for name in shown[:8]) + (", …" if len(shown) > 8 else "")


def to_state_dict(network: Network) -> tuple[dict[str, Array], dict[str, str]]:
    """(tensors, metadata) as PyTorch names them, for a module with `rnn` an RNN, GRU or LSTM and `readout` a Linear.

    `load_state_dict` accepts the tensors. Both biases of a gate are written as the first, and zeros; except for those
    of GRU's n. Learned initial states, which PyTorch's modules have not, are `initial.…`: leave them out there, with
    strict=False. The metadata holds the activation, which is not in a state dict.

    Raises ShapeError where PyTorch has no such cell.
    """
    if network.cell not in PYTORCH:
        raise ShapeError(f"PyTorch has no {network.cell} cell; it has {', '.join(PYTORCH)}")
    tensors: dict[str, Array] = {}
    for layer in network.stack:
        own = {
            name.removeprefix(layer.prefix): value
            for name, value in network.params.items()
            if name.startswith(layer.prefix)
        }
        suffix = f"l{layer.number - 1}{'_reverse' * (layer.direction < 0)}"
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        arrays = stack(PYTORCH[network.cell], own)
        tensors |= {f"rnn.{kind}_{suffix}": array for kind, array in zip(kinds, arrays, strict=True)}
    tensors |= {"readout.weight": network.params["V"], "readout.bias": network.params["c"]}
    metadata = {"format": "pt", "cell": network.cell, "activation": network.activation}
    names = initial_names(network.cell, network.layers, network.bidirectional)
    learned = {f"{INITIAL}{name}": network.params[name] for name in names if name in network.params}
    if learned:
        tensors |= learned
        metadata["initial"] = f"{INITIAL}… are learned initial states; load_state_dict ignores them with strict=False"
    return tensors, metadata
