"""Networks from files of weights and from live PyTorch modules; and back into files."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from unrollviz.arrays import Array
from unrollviz.cells import CELLS
from unrollviz.errors import ShapeError, UnknownName
from unrollviz.files import write_atomically
from unrollviz.network import Network, parameter_shapes
from unrollviz.readers.found import Found, activation_of, initial_names
from unrollviz.readers.gates import PYTORCH
from unrollviz.readers.limits import BYTES_LIMIT, bad, reading
from unrollviz.readers.npz import METADATA
from unrollviz.readers.pytorch_names import from_state_dict, to_state_dict
from unrollviz.readers.safetensors import written
from unrollviz.readers.tensors import Floats, Tensors, take

Value = TypeVar("Value")

_LAYER = re.compile(r"l\d{1,4}\.")

READERS = {".npz": "npz", ".safetensors": "safetensors", ".pt": "pt", ".pth": "pt", ".onnx": "onnx"}
"""Suffix -> module in this folder; imported when needed."""


def load(
    path: str | Path,
    *,
    readout: str | None = None,
    rnn: str | None = None,
    activation: str | None = None,
    limit: int = BYTES_LIMIT,
) -> Found:
    """The network in a .npz, .safetensors, .pt, .pth or .onnx file.

    Args:
        readout: the name of the readout layer, where several would fit.
        rnn: the prefix of the recurrent module, where there are several.
        activation: of an Elman cell, where the file does not say; else tanh.
        limit: bytes that the file may declare; they are added up before any are read.

    Raises:
        BadFile: `path: reason`, for every kind of missing, broken or hostile file, and where no network, or more than
            one, is recognised in it.
        MissingExtra: for .pt without PyTorch and .onnx without onnx.
    """
    reader = _by_suffix(path, READERS, "read")
    with reading(path, f"a {Path(path).suffix}"):
        if reader == "onnx":
            if rnn is not None:
                raise ShapeError("is a graph, whose recurrent nodes are read as one stack; leave rnn out")
            found: Found = import_module("unrollviz.readers.onnx").read(path, readout=readout, limit=limit)
        else:
            tensors: Tensors = import_module(f"unrollviz.readers.{reader}").read(path, limit)
            found = recognised(tensors, readout=readout, rnn=rnn, activation=activation)
        return found.checked()


def recognised(
    tensors: Tensors, *, readout: str | None = None, rnn: str | None = None, activation: str | None = None
) -> Found:
    """The network in named tensors: in our own names where there are V and c, else in PyTorch's.

    Raises ShapeError and UnknownName, as `from_state_dict`."""
    if {"xs", "targets"} <= {*tensors.arrays, *tensors.others}:
        raise ShapeError("holds a sequence, xs and targets, and no weights; give it as --data")
    if {"V", "c"} <= set(tensors.arrays):
        found = from_own_names(tensors.arrays, tensors.metadata, activation=activation)
    else:
        found = from_state_dict(tensors.arrays, tensors.metadata, readout=readout, rnn=rnn, activation=activation)
    return replace(found, ignored=found.ignored + tensors.others)


def from_own_names(
    tensors: Mapping[str, Floats], metadata: Mapping[str, str], *, activation: str | None = None
) -> Found:
    """The network in tensors that are called as in `Network.params`: `U`, `l2.bwd.W_f`, `V`.

    The cell is the one of the metadata, else the one that has these parameters.

    Raises ShapeError where there is none, UnknownName where it is unknown."""
    cell = metadata.get("cell")
    if cell is not None and cell not in CELLS:
        raise UnknownName("cell", cell, CELLS)
    layers = max(1, len({match[0] for name in tensors if (match := _LAYER.match(name))}))
    bidirectional = any("bwd." in name for name in tensors)
    shapes = {
        choice: parameter_shapes(choice, 1, 1, 1, layers, bidirectional) for choice in ([cell] if cell else CELLS)
    }
    fitting = [choice for choice in shapes if set(shapes[choice]) <= set(tensors)]
    if not fitting:
        raise ShapeError(f"has arrays V and c, but not the others of {cell or 'any cell'}; save all of network.params")
    chosen = max(fitting, key=lambda choice: len(shapes[choice]))
    valid = {*shapes[chosen], *initial_names(chosen, layers, bidirectional)}
    return Found(
        cell=chosen,
        params={name: take(tensors, name, value.shape) for name, value in tensors.items() if name in valid},
        activation=activation_of(chosen, metadata, activation),
        layers=layers,
        bidirectional=bidirectional,
        used=tuple(name for name in tensors if name in valid),
        ignored=tuple(name for name in tensors if name not in valid),
        readout="V",
        choices=("V",),
    )


def from_torch(rnn: Any, readout: Any) -> Found:
    """The network of live PyTorch modules: an nn.RNN, GRU, LSTM, or one of their cells, and an nn.Linear.

    Raises ShapeError where they are none, or do not fit each other."""
    states: dict[str, Any] = {}
    for name, module in (("rnn", rnn), ("readout", readout)):
        if not hasattr(module, "state_dict"):
            raise ShapeError(f"{name} is a {type(module).__name__}; give a PyTorch module")
        states |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    tensors = import_module("unrollviz.readers.pt").tensors_of(states)
    return recognised(tensors, activation=getattr(rnn, "nonlinearity", None)).checked()


def save(network: Network, path: str | Path) -> None:
    """Write a network to a .npz or .safetensors file, atomically; `load` gives it back, bit for bit.

    In PyTorch's layout (see `to_state_dict`) where PyTorch has the cell, else under the names of `network.params`.

    Raises BadFile where it cannot be written."""
    write = _by_suffix(path, WRITERS, "written")
    if network.cell in PYTORCH:
        tensors, metadata = to_state_dict(network)
    else:
        tensors, metadata = dict(network.params), {"cell": network.cell, "activation": network.activation}
    write_atomically(path, write(tensors, metadata))


def _npz(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    contents: dict[str, Any] = {**arrays, **{f"{METADATA}{name}": np.array(word) for name, word in metadata.items()}}
    np.savez(stream, **contents)
    return stream.getvalue()


WRITERS: dict[str, Callable[[Mapping[str, Array], Mapping[str, str]], bytes]] = {".npz": _npz, ".safetensors": written}


def _by_suffix(path: str | Path, table: Mapping[str, Value], done: str) -> Value:
    suffix = Path(path).suffix.lower()
    if suffix not in table:
        raise bad(path, f"cannot be {done}: the name must end in {', '.join(table)}")
    return table[suffix]
