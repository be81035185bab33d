"""A recurrent network: its cell, its parameters by name, how they are initialised and counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from unrollviz.allowance import memory_allowed, raising_memory
from unrollviz.arrays import Array, Shape
from unrollviz.cells import CELLS
from unrollviz.errors import NonFinite, ShapeError, UnknownName, UnrollvizError
from unrollviz.ops import ACTIVATIONS

Generator = np.random.Generator


def uniform(rng: Generator, name: str, shape: Shape, units: int) -> Array:
    """Every entry uniform in ±1/√d, biases too: what PyTorch's recurrent layers start from."""
    bound = 1.0 / math.sqrt(units)
    return rng.uniform(-bound, bound, shape)


def xavier(rng: Generator, name: str, shape: Shape, units: int) -> Array:
    """Matrices uniform in ±√(6 / (fan in + fan out)), biases 0 (Glorot & Bengio 2010, eq. 16)."""
    if len(shape) == 1:
        return np.zeros(shape)
    bound = math.sqrt(6.0 / sum(shape))
    return rng.uniform(-bound, bound, shape)


def orthogonal(rng: Generator, name: str, shape: Shape, units: int) -> Array:
    """Matrices with orthonormal rows or columns, biases 0 (Saxe, McClelland & Ganguli 2014)."""
    if len(shape) == 1:
        return np.zeros(shape)
    tall = rng.standard_normal((max(shape), min(shape)))
    q, r = np.linalg.qr(tall)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return np.ascontiguousarray(q if shape[0] >= shape[1] else q.T)


def identity(rng: Generator, name: str, shape: Shape, units: int) -> Array:
    """Every W = I, the other matrices as in xavier, biases 0 (Le, Jaitly & Hinton 2015)."""
    return np.eye(units) if name.startswith("W") else xavier(rng, name, shape, units)


SCHEMES: dict[str, Callable[[Generator, str, Shape, int], Array]] = {
    "uniform": uniform,
    "xavier": xavier,
    "orthogonal": orthogonal,
    "identity": identity,
}


@dataclass(frozen=True)
class ParameterCount:
    """The number of parameters, term by term: rows of (name, formula, shape, number)."""

    rows: tuple[tuple[str, str, Shape, int], ...]

    @property
    def total(self) -> int:
        return sum(number for *_, number in self.rows)

    def __int__(self) -> int:
        return self.total

    def __str__(self) -> str:
        times = Counter(formula for _, formula, _, _ in self.rows)
        numbers: Counter[str] = Counter()
        for _, formula, _, number in self.rows:
            numbers[formula] += number
        formulas = " + ".join(_times(n, formula) for formula, n in times.items())
        return f"{formulas} = {' + '.join(map(str, numbers.values()))} = {self.total}"


def _times(number: int, formula: str) -> str:
    if number == 1:
        return formula
    return f"{number}·{formula}" if formula[0].isdigit() else f"{number}{formula}"


@dataclass(frozen=True)
class Layer:
    """One recurrent layer in one direction.

    Attributes:
        number: counted from 1.
        direction: 1 forwards in time, -1 backwards.
        prefix: what its names begin with: `l2.bwd.`; nothing where there is only one layer in one direction.
    """

    number: int
    direction: int
    prefix: str


def layers_of(layers: int, bidirectional: bool) -> Iterator[Layer]:
    """The layers of a network from the inputs upwards, forwards before backwards."""
    for number in range(1, layers + 1):
        stack = f"l{number}." if layers > 1 else ""
        if not bidirectional:
            yield Layer(number, 1, stack)
        else:
            yield Layer(number, 1, f"{stack}fwd.")
            yield Layer(number, -1, f"{stack}bwd.")


@dataclass(frozen=True, eq=False)
class Network:
    """Recurrent layers of one cell with their parameters, and a readout z = V h + c.

    Attributes:
        cell: a name in CELLS.
        params: float64 arrays by name, read-only: for `elman` U (d, n), W (d, d), b (d,), V (k, d), c (k,); behind a
            prefix where there are several layers or directions: `l1.W`, `l2.bwd.W_f`. An initial state that is
            learned is a parameter of shape (d,) too: `s0`, `l2.h0`.
        activation: a name in ACTIVATIONS; for cells that leave the choice.
        layers: how many lie on top of each other.
        bidirectional: every layer reads in both directions; the next one sees both states.
    """

    cell: str
    params: Mapping[str, Array]
    activation: str = "tanh"
    layers: int = 1
    bidirectional: bool = False

    def __repr__(self) -> str:
        more = f", {self.layers} layers" * (self.layers > 1) + ", both directions" * self.bidirectional
        size = int(self.count_parameters())
        sizes = f"n = {self.inputs}, d = {self.hidden}, k = {self.outputs}"
        return f"<{self.cell} network: {sizes}{more}; {size:,} parameters>"

    def __post_init__(self) -> None:
        check_choice(self.cell, self.activation, self.layers)
        params = {name: read_only(value) for name, value in self.params.items()}
        expected = self._expected(params)
        object.__setattr__(self, "params", MappingProxyType({name: params[name] for name in expected}))
        for name, shape in expected.items():
            if params[name].shape != shape:
                raise ShapeError(
                    f"parameter {name} has shape {params[name].shape}, but U and V ask for {shape}{self._asked()}"
                )
            if not np.isfinite(params[name]).all():
                raise NonFinite("the value", name, None, "give a network of finite weights")

    def _expected(self, params: Mapping[str, Array]) -> dict[str, Shape]:
        """The shape every parameter must have, judged by those of the first U and of V."""
        shapes = self._shapes(1, 1, 1)
        learned = [name for name in self.initial_states if name in params]
        unknown = [name for name in params if name not in shapes and name not in learned]
        missing = [name for name in shapes if name not in params]
        if unknown:
            raise UnknownName(f"parameter of the {self.cell} cell", unknown[0], [*shapes, *self.initial_states])
        if missing:
            raise ShapeError(f"parameter {missing[0]} is missing; give {', '.join(shapes)}")
        first, readout = params[next(iter(shapes))], params["V"]
        for name, value in ((next(iter(shapes)), first), ("V", readout)):
            if value.ndim != 2 or value.size == 0:
                raise ShapeError(f"parameter {name} has shape {value.shape}; give a matrix with n, d, k ≥ 1")
        (d, n), k = first.shape, readout.shape[0]
        return self._shapes(n, d, k) | dict.fromkeys(learned, (d,))

    def _asked(self) -> str:
        """The shapes of all parameters in letters, where they are few."""
        n, d, k = Letters("n"), Letters("d"), Letters("k")
        letters = parameter_shapes(self.cell, n, d, k, self.layers, self.bidirectional)  # type: ignore[arg-type]
        if len(letters) > 6:
            return ""
        shapes = (f"{name} ({', '.join(map(str, shape))}{',' * (len(shape) == 1)})" for name, shape in letters.items())
        return f"; give {', '.join(shapes)}"

    def _shapes(self, n: int, d: int, k: int) -> dict[str, Shape]:
        return parameter_shapes(self.cell, n, d, k, self.layers, self.bidirectional)

    @classmethod
    def init(
        cls,
        cell: str = "elman",
        inputs: int = 4,
        hidden: int = 3,
        outputs: int = 4,
        activation: str = "tanh",
        seed: int = 0,
        scheme: str = "uniform",
        *,
        layers: int = 1,
        bidirectional: bool = False,
        learn_initial: bool = False,
    ) -> Self:
        """A network with n `inputs`, d `hidden` units, k `outputs`, its parameters drawn by a scheme of SCHEMES.

        The same seed gives the same numbers. Where no scheme is given it is uniform, as in PyTorch; the command line
        and `unrollviz.article` take orthogonal, with which gradients reach further back. With `learn_initial` the
        initial states are parameters, and begin at 0.

        Raises:
            UnknownName: for an unknown cell, activation or scheme.
            ShapeError: where a size is below 1.
            UnrollvizError: where the parameters would take more than MEMORY_LIMIT bytes.
        """
        check_choice(cell, activation, layers)
        if scheme not in SCHEMES:
            raise UnknownName("initialisation scheme", scheme, SCHEMES)
        for what, size in (("inputs", inputs), ("hidden", hidden), ("outputs", outputs)):
            check_whole(what, size, 1)
        check_whole("seed", seed, 0)
        rng = np.random.default_rng(seed)
        draw = SCHEMES[scheme]
        shapes = parameter_shapes(cell, inputs, hidden, outputs, layers, bidirectional)
        check_count(sum(math.prod(shape) for shape in shapes.values()))
        params = {name: draw(rng, name.rpartition(".")[2], shape, hidden) for name, shape in shapes.items()}
        if learn_initial:
            stack = layers_of(layers, bidirectional)
            params |= {f"{y.prefix}{state}0": np.zeros(hidden) for y in stack for state in CELLS[cell].states}
        return cls(cell, params, activation, layers, bidirectional)

    @property
    def stack(self) -> tuple[Layer, ...]:
        """The layers from the inputs upwards, forwards before backwards."""
        return tuple(layers_of(self.layers, self.bidirectional))

    @property
    def initial_states(self) -> list[str]:
        """The names of the initial states, given or learned: `s0`; `l1.h0`, `l1.c0`, `l2.h0`, …"""
        return [f"{layer.prefix}{state}0" for layer in self.stack for state in CELLS[self.cell].states]

    @property
    def inputs(self) -> int:
        """n"""
        return int(next(iter(self.params.values())).shape[1])

    @property
    def hidden(self) -> int:
        """d"""
        return int(next(iter(self.params.values())).shape[0])

    @property
    def outputs(self) -> int:
        """k"""
        return int(self.params["V"].shape[0])

    @property
    def recurrent_weight(self) -> str:
        """The parameter that questions are about where none is named: W, or that of the forget or candidate gate."""
        last = {name: name.rpartition(".")[2] for name in self.params}
        usual = [name for name, word in last.items() if word in ("W", "W_f", "W_n")]
        return (usual or [name for name, word in last.items() if word[0] == "W"] or list(last))[0]

    def replace(self, **params: Array) -> Self:
        """The same network with some parameters exchanged: `net.replace(W=2 * net.params["W"])`."""
        merged = {**self.params, **params}
        return type(self)(self.cell, merged, self.activation, self.layers, self.bidirectional)

    @property
    def architecture(self) -> dict[str, str | int | bool]:
        """All that makes this network but its parameters, by the names that `Network(...)` takes."""
        return {
            "cell": self.cell,
            "activation": self.activation,
            "layers": self.layers,
            "bidirectional": self.bidirectional,
        }

    def count_parameters(self) -> ParameterCount:
        """dn + d² + kd + d + k, term by term and summed; one layer of one set in the article's order U, W, V, b, c."""
        n, d, k = Letters("n"), Letters("d"), Letters("k")
        letters = parameter_shapes(self.cell, n, d, k, self.layers, self.bidirectional)  # type: ignore[arg-type]
        ordered = sorted(self.params, key=lambda name: (self.params[name].ndim == 1, name in "Vc"))
        return ParameterCount(
            tuple(
                (name, written_product(letters.get(name, ("d",))), self.params[name].shape, self.params[name].size)
                for name in ordered
            )
        )


class Letters(str):
    """A size by its letter: 2 directions of `d` units are `2d`."""

    def __mul__(self, times: Any) -> Letters:
        return self if times == 1 else Letters(f"{times}{self}")


def check_choice(cell: str, activation: str, layers: int) -> None:
    """Raise UnknownName or ShapeError where there is no such cell or activation, or no layer."""
    if cell not in CELLS:
        raise UnknownName("cell", cell, CELLS)
    valid = ACTIVATIONS if CELLS[cell].activations else ("tanh",)
    if activation not in valid:
        kind = "activation" if CELLS[cell].activations else f"activation of the {cell} cell"
        raise UnknownName(kind, activation, valid)
    check_whole("layers", layers, 1)


MEMORY_LIMIT = 2**30
"""Bytes that parameters may take: with more of them a single product takes seconds."""


def check_count(parameters: int) -> None:
    """Raise UnrollvizError where so many parameters would take more than MEMORY_LIMIT bytes, or than have been allowed
    where that is more."""
    size, limit = 8 * parameters, max(MEMORY_LIMIT, memory_allowed(MEMORY_LIMIT))
    if size > limit:
        raise UnrollvizError(
            f"{parameters:,} parameters take {size / 2**30:,.1f} GiB, the limit is {limit / 2**30:g} GiB; give fewer "
            f"units or layers, or {raising_memory(size)}"
        )


def check_whole(what: str, number: object, least: int) -> None:
    """Raise ShapeError where `number` is not a whole one of at least `least`."""
    if not isinstance(number, (int, np.integer)) or isinstance(number, bool) or number < least:
        raise ShapeError(f"{what}={number}; give a whole number of at least {least}")


def parameter_shapes(cell: str, n: int, d: int, k: int, layers: int, bidirectional: bool) -> dict[str, Shape]:
    """The shape of every parameter of a network with n inputs, d units and k outputs, from the inputs upwards."""
    directions = 2 if bidirectional else 1
    shapes = {
        f"{layer.prefix}{name}": shape
        for layer in layers_of(layers, bidirectional)
        for name, shape in CELLS[cell].shapes(n if layer.number == 1 else d * directions, d).items()
    }
    return {**shapes, "V": (k, d * directions), "c": (k,)}


def written_product(letters: tuple[object, ...]) -> str:
    """('d', 'n') as `dn`, ('d', 'd') as `d²`, ('d', '2d') as `2d²`."""
    joined = "".join(sorted(map(str, letters), key=lambda size: not size[0].isdigit()))
    return joined.replace("dd", "d²")


def read_only(value: object) -> Array:
    """A float64 copy that cannot be written to.

    Raises ShapeError where `value` is not an array of real numbers."""
    try:
        given = np.asarray(value)
    except ValueError as error:
        raise ShapeError("expected an array of real numbers, not rows of unequal length") from error
    if given.dtype.kind not in "biuf":
        raise ShapeError(f"expected an array of real numbers, not of {given.dtype}")
    array = np.array(given, dtype=np.float64)
    array.setflags(write=False)
    return array
