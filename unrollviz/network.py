"""A recurrent network: its cell, its parameters by name, how they are initialised and counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from unrollviz.arrays import Array, Shape
from unrollviz.cells import CELLS, Cell
from unrollviz.errors import NonFinite, ShapeError, UnknownName
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
    """W = I, the other matrices as in xavier, biases 0 (Le, Jaitly & Hinton 2015)."""
    return np.eye(units) if name == "W" else xavier(rng, name, shape, units)


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
        formulas = " + ".join(formula for _, formula, _, _ in self.rows)
        numbers = " + ".join(str(number) for *_, number in self.rows)
        return f"{formulas} = {numbers} = {self.total}"


@dataclass(frozen=True)
class Network:
    """A cell with its parameters and a softmax readout ŷ = softmax(V s + c).

    Attributes:
        cell: a name in CELLS.
        params: float64 arrays by name, read-only: for `elman` U (d, n), W (d, d), b (d,), V (k, d), c (k,).
        activation: a name in ACTIVATIONS.
    """

    cell: str
    params: Mapping[str, Array]
    activation: str = "tanh"

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise UnknownName("cell", self.cell, CELLS)
        if self.activation not in ACTIVATIONS:
            raise UnknownName("activation", self.activation, ACTIVATIONS)
        params = {name: read_only(value) for name, value in self.params.items()}
        object.__setattr__(self, "params", MappingProxyType(params))
        for name in ("U", "V"):
            if name in params and params[name].ndim != 2:
                raise ShapeError(f"parameter {name} has shape {params[name].shape}; give a matrix")
        expected = self._shapes_around(params)
        for name, shape in expected.items():
            if params[name].shape != shape:
                raise ShapeError(
                    f"parameter {name} has shape {params[name].shape}, but U and V ask for {shape}; "
                    f"give U (d, n), W (d, d), b (d,), V (k, d), c (k,)"
                )
            if not np.isfinite(params[name]).all():
                raise NonFinite("the value", name, None, "give a network of finite weights")

    def _shapes_around(self, params: Mapping[str, Array]) -> dict[str, Shape]:
        """The shape every parameter must have, judged by those of U and V."""
        required = [*CELLS[self.cell].shapes(1, 1), "V", "c"]
        missing = [name for name in required if name not in params]
        unknown = [name for name in params if name not in required]
        if unknown:
            raise UnknownName(f"parameter of the {self.cell} cell", unknown[0], required)
        if missing:
            raise ShapeError(f"parameter {missing[0]} is missing; an {self.cell} network has {', '.join(required)}")
        (d, n), k = params["U"].shape, params["V"].shape[0]
        if min(n, d, k) < 1:
            raise ShapeError(f"a network needs n, d, k ≥ 1, but U, V ask for n={n}, d={d}, k={k}")
        return parameter_shapes(CELLS[self.cell], n, d, k)

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
    ) -> Network:
        """A network with n `inputs`, d `hidden` units, k `outputs`, its parameters drawn by a scheme of SCHEMES.

        The same seed gives the same numbers.

        Raises:
            UnknownName: for an unknown cell, activation or scheme.
            ShapeError: where a size is below 1.
        """
        if cell not in CELLS:
            raise UnknownName("cell", cell, CELLS)
        if scheme not in SCHEMES:
            raise UnknownName("initialisation scheme", scheme, SCHEMES)
        for what, size in (("inputs", inputs), ("hidden", hidden), ("outputs", outputs)):
            if size < 1:
                raise ShapeError(f"{what}={size}; give a whole number of at least 1")
        rng = np.random.default_rng(seed)
        shapes = parameter_shapes(CELLS[cell], inputs, hidden, outputs)
        draw = SCHEMES[scheme]
        return cls(cell, {name: draw(rng, name, shape, hidden) for name, shape in shapes.items()}, activation)

    @property
    def inputs(self) -> int:
        """n"""
        return int(self.params["U"].shape[1])

    @property
    def hidden(self) -> int:
        """d"""
        return int(self.params["U"].shape[0])

    @property
    def outputs(self) -> int:
        """k"""
        return int(self.params["V"].shape[0])

    def replace(self, **params: Array) -> Network:
        """The same network with some parameters exchanged: `net.replace(W=2 * net.params["W"])`."""
        return Network(self.cell, {**self.params, **params}, self.activation)

    def count_parameters(self) -> ParameterCount:
        """dn + d² + kd + d + k, term by term and summed, in the article's order U, W, V, b, c."""
        letters = parameter_shapes(CELLS[self.cell], "n", "d", "k")  # type: ignore[arg-type]
        ordered = sorted(self.params, key=lambda name: (self.params[name].ndim == 1, name in "Vc"))
        return ParameterCount(
            tuple(
                (name, written_product(letters[name]), self.params[name].shape, self.params[name].size)
                for name in ordered
            )
        )


def parameter_shapes(cell: Cell, n: int, d: int, k: int) -> dict[str, Shape]:
    """The shape of every parameter of a network with n inputs, d units and k outputs."""
    return {**cell.shapes(n, d), "V": (k, d), "c": (k,)}


def written_product(letters: tuple[object, ...]) -> str:
    """('d', 'n') as `dn`, ('d', 'd') as `d²`."""
    return "d²" if letters == ("d", "d") else "".join(map(str, letters))


def read_only(value: object) -> Array:
    """A float64 copy that cannot be written to.

    Raises ShapeError where `value` is not an array of real numbers."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"expected an array of real numbers, not {type(value).__name__}") from error
    array.setflags(write=False)
    return array
