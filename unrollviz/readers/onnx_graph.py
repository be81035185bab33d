"""The network in an ONNX graph: recurrent nodes on top of each other, and the product that reads out the last."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from unrollviz.arrays import Array
from unrollviz.cells import CELLS
from unrollviz.errors import ShapeError, UnknownName
from unrollviz.names import clean
from unrollviz.network import layers_of
from unrollviz.ops import ACTIVATIONS
from unrollviz.readers.found import Found
from unrollviz.readers.gates import ONNX, split
from unrollviz.readers.pytorch_names import listed
from unrollviz.readers.tensors import take

_CELLS = {"RNN": "elman", "GRU": "gru", "LSTM": "lstm"}
_FUNCTIONS = {"RNN": ("tanh",), "GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}
"""What a node's activations are where it does not say; an RNN may have others."""

_MOVES = frozenset({"Cast", "Dropout", "Expand", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators that hand on the numbers of their first input, in another shape."""

_PLAIN = (
    "has no RNN, GRU or LSTM node; if PyTorch's newer exporter has turned an nn.RNN into MatMul, Add and Tanh, export "
    "it with dynamo=False, or save its state_dict as .safetensors"
)


@dataclass(frozen=True)
class States:
    """What a value in the graph holds of the recurrent states.

    Attributes:
        parts: (number of the recurrent node, direction from 0), in order.
        last: only those of the last step, with the parts along the first axis.
        whole: nothing was left out on the way.
    """

    parts: tuple[tuple[int, int], ...]
    last: bool = False
    whole: bool = True


@dataclass(frozen=True)
class Readout:
    """A product of states and a matrix, z = V h + c.

    Attributes:
        parts: of the states.
        names: of V, and of c where there is one, in the graph.
        weight: V (k, d · directions).
        bias: c (k,).
    """

    parts: tuple[tuple[int, int], ...]
    names: tuple[str, ...]
    weight: Array
    bias: Array | None = None

    @property
    def name(self) -> str:
        """`fc` where V or c is `fc.weight` or `fc.bias`, else the name of V."""
        stems = [name.rpartition(".")[0] for name in self.names if name.endswith((".weight", ".bias"))]
        return stems[0] if stems else self.names[0]


@dataclass(frozen=True)
class Recurrent:
    """One RNN, GRU or LSTM node.

    Attributes:
        cell, activation, units: as in `Network`; units is d.
        directions: the parameters of each direction, by our names without prefix.
        names: of the parameters in the graph.
    """

    cell: str
    activation: str
    units: int
    directions: tuple[dict[str, Array], ...]
    names: tuple[str, ...]

    @property
    def kind(self) -> tuple[str, str, int, int]:
        """What has to be the same in all layers of a network."""
        return self.cell, self.activation, self.units, len(self.directions)


def network_of(graph: Any, onnx: Any, readout: str | None = None) -> Found:
    """The network in a graph (a GraphProto).

    Raises ShapeError where it is none, or not one that the names here can say; UnknownName for an unknown readout."""
    walk = _Walk(graph, onnx)
    for node in graph.node:
        walk.follow(node)
    if not walk.layers:
        raise ShapeError(_PLAIN)
    first = walk.layers[0]
    params: dict[str, Array] = {}
    both = len(first.directions) == 2
    for layer in layers_of(len(walk.layers), both):
        sets = walk.layers[layer.number - 1].directions[layer.direction == -1]
        params |= {f"{layer.prefix}{name}": value for name, value in sets.items()}
    choices = walk.choices()
    chosen = _chosen(choices, readout)
    weight, bias = choices[chosen].weight, choices[chosen].bias
    params |= {"V": weight, "c": np.zeros(len(weight)) if bias is None else bias}
    used = {name for layer in walk.layers for name in layer.names} | set(choices[chosen].names)
    stored = [name for name in walk.stored if walk.arrays[name].dtype.kind == "f"]
    return Found(
        cell=first.cell,
        params=params,
        activation=first.activation,
        layers=len(walk.layers),
        bidirectional=both,
        used=tuple(name for name in stored if name in used),
        ignored=tuple(name for name in stored if name not in used),
        readout=chosen,
        choices=tuple(choices),
    )


def _chosen(choices: dict[str, Readout], readout: str | None) -> str:
    if not choices:
        raise ShapeError("has no readout: a MatMul or Gemm of the last recurrent node's states and a constant matrix")
    if readout is not None and readout not in choices:
        raise UnknownName("readout", clean(readout), choices)
    if readout is None and len(choices) > 1:
        raise ShapeError(f"has several products that could be the readout; say which with readout: {listed(choices)}")
    return next(iter(choices)) if readout is None else readout


class _Walk:
    """One walk along the nodes in the order of computation, remembering what is known of each value, by its name.

    Attributes:
        arrays: constants.
        stored: the names of those that the file holds.
        source: value -> the constant whose numbers it holds in another shape.
        given: values that come from the inputs of the graph.
        states: values that hold recurrent states.
        layers: the recurrent nodes so far.
        readouts: products of states.
    """

    def __init__(self, graph: Any, onnx: Any) -> None:
        self.read = onnx.numpy_helper.to_array
        self.attribute = onnx.helper.get_attribute_value
        self.arrays: dict[str, npt.NDArray[Any]] = {t.name: self.to_array(t) for t in graph.initializer}
        self.stored = tuple(self.arrays)
        self.source: dict[str, str] = {}
        self.given = {value.name for value in graph.input} - set(self.stored)
        self.states: dict[str, States] = {}
        self.layers: list[Recurrent] = []
        self.readouts: dict[str, Readout] = {}

    def to_array(self, tensor: Any) -> npt.NDArray[Any]:
        """A constant. Raises ShapeError where it would be read from another file."""
        if tensor.data_location:
            raise ShapeError(f"keeps {clean(tensor.name)} in another file, which is not read; export it again")
        array: npt.NDArray[Any] = self.read(tensor)
        return array

    def follow(self, node: Any) -> None:
        """Note what a node's outputs are. Raises ShapeError for a recurrent node that is not supported."""
        if node.domain not in ("", "ai.onnx") or not node.output:
            return
        attributes = {attribute.name: self.attribute(attribute) for attribute in node.attribute}
        inputs, output = list(node.input), node.output[0]
        if node.op_type in _CELLS:
            self._recurrent(node, inputs, attributes)
        elif node.op_type in ("Constant", "ConstantOfShape"):
            self._constant(node.op_type, attributes, output)
        elif node.op_type in _MOVES and inputs:
            self._moved(node.op_type, inputs[0], attributes, output)
        elif node.op_type in ("Slice", "Gather") and inputs:
            self._picked(node.op_type, inputs, attributes, output)
        elif node.op_type == "Concat":
            self._joined(inputs, output)
        elif node.op_type in ("MatMul", "Gemm") and len(inputs) > 1:
            self._product(node.op_type, inputs, attributes, output)
        elif node.op_type == "Add" and len(inputs) == 2:
            self._added(inputs, output)

    def choices(self) -> dict[str, Readout]:
        """The products of all states of the last layer, by name."""
        last = len(self.layers) - 1
        parts = _parts(last, self.layers[last])
        width = self.layers[last].units * len(parts)
        found: dict[str, Readout] = {}
        for readout in self.readouts.values():
            if readout.parts == parts and readout.weight.shape[1] == width:
                found[readout.names[0] if readout.name in found else readout.name] = readout
        return found

    def _constant(self, operator: str, attributes: dict[str, Any], output: str) -> None:
        if "value" in attributes:
            self.arrays[output] = self.to_array(attributes["value"])
        elif operator == "ConstantOfShape":
            self.arrays[output] = np.zeros(1)
        else:
            numbers = [value for name, value in attributes.items() if name.startswith(("value_int", "value_float"))]
            if numbers:
                self.arrays[output] = np.asarray(numbers[0])

    def _moved(self, operator: str, source: str, attributes: dict[str, Any], output: str) -> None:
        if source in self.states:
            self.states[output] = self.states[source]
        elif source in self.given:
            self.given.add(output)
        elif source in self.arrays or source in self.source:
            self.source[output] = self.source.get(source, source)
            if source in self.arrays and operator == "Transpose":
                self.arrays[output] = self.arrays[source].transpose(attributes.get("perm"))
            elif source in self.arrays and operator in ("Identity", "Cast"):
                self.arrays[output] = self.arrays[source]

    def _picked(self, operator: str, inputs: list[str], attributes: dict[str, Any], output: str) -> None:
        """Some steps of the states, or one direction of the last ones."""
        source = inputs[0] if inputs[0] in self.arrays else self.source.get(inputs[0], inputs[0])
        if source in self.given:
            self.given.add(output)
        elif source in self.arrays:
            self._cut(operator, source, inputs, output)
        elif source in self.states and (len(self.states[source].parts) == 1 or not self.states[source].last):
            self.states[output] = replace(self.states[source], whole=False)
        elif source in self.states and operator == "Gather" and attributes.get("axis", 0) == 0:
            index = self.arrays.get(inputs[1])
            if index is not None and index.size == 1:
                parts = (self.states[source].parts[int(index.item())],)
                self.states[output] = States(parts, last=True, whole=False)

    def _cut(self, operator: str, source: str, inputs: list[str], output: str) -> None:
        """A constant's rows for one layer, as learned initial states are stored; any part of one that is all 0."""
        start, end, axis = (self.arrays.get(name, np.zeros(0)).tolist() for name in [*inputs[1:4], "", "", ""][:3])
        rows = operator == "Slice" and axis == [0] and len(start) == len(end) == 1
        if rows:
            self.arrays[output] = self.arrays[source][start[0] : end[0]]
        if rows or not self.arrays[source].any():
            self.source[output] = self.source.get(source, source)

    def _joined(self, inputs: list[str], output: str) -> None:
        joined = [self.states[name] for name in inputs if name in self.states]
        parts = tuple(part for states in joined for part in states.parts)
        if joined and len(joined) == len(inputs) and len(parts) <= 2 * len(self.layers):
            self.states[output] = States(parts, all(states.last for states in joined), whole=False)

    def _product(self, operator: str, inputs: list[str], attributes: dict[str, Any], output: str) -> None:
        states, matrix = self.states.get(inputs[0]), self.arrays.get(inputs[1])
        scaled = attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0
        if states is None or matrix is None or matrix.ndim != 2 or scaled or attributes.get("transA"):
            return
        weight = take(self.arrays, inputs[1], matrix.shape)
        names = (self.source.get(inputs[1], inputs[1]),)
        turned = weight if operator == "Gemm" and attributes.get("transB") else weight.T
        self.readouts[output] = Readout(states.parts, names, turned)
        if operator == "Gemm" and len(inputs) > 2 and inputs[2]:
            self._biased(output, inputs[2], output)

    def _added(self, inputs: list[str], output: str) -> None:
        for product, bias in (inputs, inputs[::-1]):
            if product in self.readouts and self.readouts[product].bias is None and bias in self.arrays:
                self._biased(product, bias, output)
                return

    def _biased(self, product: str, bias: str, output: str) -> None:
        readout = self.readouts.pop(product)
        value = take(self.arrays, bias, self._array(bias).shape).reshape(-1)
        names = (*readout.names, self.source.get(bias, bias))
        if len(value) == len(readout.weight):
            self.readouts[output] = replace(readout, names=names, bias=value)

    def _array(self, name: str) -> npt.NDArray[Any]:
        if name not in self.arrays:
            raise ShapeError(f"{clean(name)} is computed in the graph; export it with its constants folded")
        return self.arrays[name]

    def _recurrent(self, node: Any, inputs: list[str], attributes: dict[str, Any]) -> None:
        """Read a recurrent node, which must lie on top of the one before, if there is one."""
        what = f"the {node.op_type} node {clean(node.name)}"
        inputs += [""] * (8 - len(inputs))
        activation = _activation(what, node.op_type, inputs, attributes)
        both = attributes.get("direction", b"forward") == b"bidirectional"
        layer = self._parameters(what, _CELLS[node.op_type], activation, 2 if both else 1, inputs)
        number = len(self.layers)
        if self.layers:
            below = self.layers[-1]
            if self.states.get(inputs[0]) != States(_parts(number - 1, below)):
                raise ShapeError(f"{what} does not lie on top of the one before it; only a stack of them is read")
            if below.kind != layer.kind:
                raise ShapeError(f"{what} differs from the one before it in cell, activation, units or directions")
        self.layers.append(layer)
        for output, last in zip(node.output, (False, True), strict=False):
            if output:
                self.states[output] = States(_parts(number, layer), last)

    def _parameters(self, what: str, cell: str, activation: str, directions: int, inputs: list[str]) -> Recurrent:
        """Inputs of a node: X, W (directions, gates·d, n), R (directions, gates·d, d), B (directions, 2·gates·d)."""
        shapes = [self._array(name).shape for name in inputs[1:3]]
        if {len(shape) for shape in shapes} != {3} or 0 in shapes[0] + shapes[1]:
            raise ShapeError(f"{what} has weights of shapes {shapes[0]} and {shapes[1]}")
        width, units, gates = shapes[0][2], shapes[1][2], len(ONNX[cell])
        rows = gates * units
        given = take(self.arrays, inputs[1], (directions, rows, width))
        recurrent = take(self.arrays, inputs[2], (directions, rows, units))
        biases = np.zeros((directions, 2 * rows))
        if inputs[3]:
            self._array(inputs[3])
            biases = take(self.arrays, inputs[3], biases.shape)
        states = dict(zip(CELLS[cell].states, inputs[5:7], strict=False))
        first = {f"{state}0": self._initial(what, name, directions, units) for state, name in states.items() if name}
        sets = [
            split(ONNX[cell], (given[i], recurrent[i], biases[i, :rows], biases[i, rows:]))
            | {name: value[i] for name, value in first.items() if value is not None}
            for i in range(directions)
        ]
        names = tuple(self.source.get(name, name) for name in inputs[1:7] if name)
        return Recurrent(cell, activation, units, tuple(sets), names)

    def _initial(self, what: str, name: str, directions: int, units: int) -> Array | None:
        """A learned initial state (directions, d); None where it is 0, or comes from the inputs of the graph."""
        source = name if name in self.arrays else self.source.get(name, "")
        value = self.arrays.get(source)
        if name in self.given or (value is not None and not value.any()):
            return None
        if value is None or value.ndim != 3 or value.shape[::2] != (directions, units) or np.ptp(value, axis=1).any():
            raise ShapeError(
                f"{what} begins in a state that is neither 0, nor given, nor one constant for all instances"
            )
        return take(self.arrays, source, value.shape)[:, 0]


def _parts(number: int, layer: Recurrent) -> tuple[tuple[int, int], ...]:
    return tuple((number, direction) for direction in range(len(layer.directions)))


def _activation(what: str, operator: str, inputs: list[str], attributes: dict[str, Any]) -> str:
    """The activation. Raises ShapeError where the node is of a kind that the cells here are not."""
    usual = _FUNCTIONS[operator]
    direction = attributes.get("direction", b"forward")
    named = [name.decode().lower() for name in attributes.get("activations", [])]
    found = {tuple(named[i : i + len(usual)]) for i in range(0, len(named), len(usual))} or {usual}
    refused = {
        f"reads in direction {clean(str(direction))}": direction not in (b"forward", b"bidirectional"),
        "has its batch first (layout=1)": attributes.get("layout", 0) != 0,
        "clips its numbers": "clip" in attributes,
        "ties its input gate to the forget gate": attributes.get("input_forget", 0) != 0,
        "has peepholes": bool(inputs[7]),
        "resets the state before the recurrent product (linear_before_reset=0)": operator == "GRU"
        and attributes.get("linear_before_reset", 0) != 1,
        f"has activations {clean(', '.join(named))}": len(found) > 1
        or (
            found != {usual}
            and (operator != "RNN" or not {name for names in found for name in names} <= set(ACTIVATIONS))
        ),
    }
    for reason, applies in refused.items():
        if applies:
            raise ShapeError(f"{what} {reason}, which is not supported")
    return found.pop()[0] if operator == "RNN" else "tanh"
