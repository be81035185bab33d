"""What was found in a file or in live modules: a network, and an account of how it was recognised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from unrollviz.arrays import Array
from unrollviz.cells import CELLS
from unrollviz.network import Network, layers_of


@dataclass(frozen=True)
class Found:
    """A recognised network.

    Attributes:
        cell, params, activation, layers, bidirectional: as in `Network`.
        used: the names in the file that the parameters come from.
        ignored: the other names.
        readout: the name of the readout layer in the file.
        choices: the names of all layers that could be the readout.
        stored: how many numbers `used` are in the file: more than parameters where two biases become one; 0 where
            that is not known.
    """

    cell: str
    params: Mapping[str, Array]
    activation: str
    layers: int
    bidirectional: bool
    used: tuple[str, ...]
    ignored: tuple[str, ...]
    readout: str
    choices: tuple[str, ...]
    stored: int = 0

    @cached_property
    def network(self) -> Network:
        """The network. Raises ShapeError, UnknownName or NonFinite where it is none."""
        return Network(self.cell, self.params, self.activation, self.layers, self.bidirectional)

    def checked(self) -> Found:
        """Itself, where it is a network. Raises as `network` does."""
        _ = self.network
        return self


def initial_names(cell: str, layers: int, bidirectional: bool) -> list[str]:
    """The names that learned initial states have: `s0`, `l2.bwd.h0`."""
    return [f"{layer.prefix}{state}0" for layer in layers_of(layers, bidirectional) for state in CELLS[cell].states]


def activation_of(cell: str, metadata: Mapping[str, str], given: str | None) -> str:
    """What the file says, else what the caller says, else tanh; of a cell that leaves no choice, only the latter."""
    said = metadata.get("activation") if CELLS[cell].activations else None
    return said or given or "tanh"
