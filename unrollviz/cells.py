"""The recurrent cells: one function each, and one table.

A new cell is a function of (parameters, input node, state nodes) -> new state nodes, and one row in `CELLS`.
Shapes: x (B, n), every state (B, d), U (d, n), W (d, d), b (d,).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from unrollviz.arrays import Shape
from unrollviz.graph import Node

States = tuple[Node, ...]


class Traced(Protocol):
    """An op on nodes; `name` without its step (`f` becomes `f3`), `role` one of ROLES."""

    def __call__(self, *arguments: Node, name: str | None = None, role: str = "hidden") -> Node: ...


def _traced(op_name: str) -> Traced:
    def op(*arguments: Node, name: str | None = None, role: str = "hidden") -> Node:
        return arguments[0].tracer.apply(op_name, *arguments, name=name, role=role)

    return op


add, mul, tanh, sigmoid, one_minus = map(_traced, ("add", "mul", "tanh", "sigmoid", "one_minus"))


@dataclass(frozen=True)
class Parameters:
    """What a cell sees of its layer: the parameters as graph nodes, by name, and the activation."""

    nodes: Mapping[str, Node]
    activation: str

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def act(self, a: Node, name: str) -> Node:
        """The network's activation of a pre-activation, as the new state `name`."""
        return a.tracer.apply(self.activation, a, name=name, role="state")

    def affine(self, gate: str, x: Node, h: Node) -> Node:
        """a_f = U_f x + W_f h + b_f"""
        u, w, b = (self[f"{letter}_{gate}"] for letter in "UWb")
        return add(u @ x, w @ h, b, name=f"a_{gate}")

    def gate(self, gate: str, x: Node, h: Node) -> Node:
        """f = σ(a_f)"""
        return sigmoid(self.affine(gate, x, h), name=gate, role="gate")


@dataclass(frozen=True)
class Cell:
    """A row of the table.

    Attributes:
        step: (parameters, x_t, states at t-1) -> states at t, in the order of `states`; the first is read out.
        states: names of the states that step t hands to step t+1.
        shapes: (n inputs, d units) -> the shape of every parameter.
        activations: True where the activation may be chosen.
    """

    step: Callable[[Parameters, Node, States], States]
    states: tuple[str, ...]
    shapes: Callable[[int, int], dict[str, Shape]]
    activations: bool = False


def gated(gates: str) -> Callable[[int, int], dict[str, Shape]]:
    """Shapes of one set U, W, b for each gate."""

    def shapes(n: int, d: int) -> dict[str, Shape]:
        return {
            f"{letter}_{gate}": shape for gate in gates for letter, shape in (("U", (d, n)), ("W", (d, d)), ("b", (d,)))
        }

    return shapes


def elman(p: Parameters, x: Node, state: States) -> States:
    """s' = act(U x + W s + b)   (Elman 1990; the article's network)"""
    (s,) = state
    return (p.act(add(p["U"] @ x, p["W"] @ s, p["b"], name="a"), name="s"),)


def gru(p: Parameters, x: Node, state: States) -> States:
    """r, z = σ(a_r), σ(a_z);  n = tanh(U_n x + b_n + r ⊙ (W_n h + b_hn));  h' = (1 - z) ⊙ n + z ⊙ h

    Cho et al. 2014, in PyTorch's form: the reset gate acts after the recurrent product, which has a bias of its own.
    """
    (h,) = state
    r, z = p.gate("r", x, h), p.gate("z", x, h)
    recurrent = mul(r, add(p["W_n"] @ h, p["b_hn"]))
    n = tanh(add(p["U_n"] @ x, p["b_n"], recurrent, name="a_n"), name="n", role="gate")
    return (add(mul(one_minus(z), n), mul(z, h), name="h", role="state"),)


def lstm(p: Parameters, x: Node, state: States) -> States:
    """i, f, o = σ(a_i), σ(a_f), σ(a_o);  g = tanh(a_g);  c' = f ⊙ c + i ⊙ g;  h' = o ⊙ tanh(c')

    Hochreiter & Schmidhuber 1997 with the forget gate of Gers, Schmidhuber & Cummins 2000; no peepholes.
    """
    h, c = state
    i, f = p.gate("i", x, h), p.gate("f", x, h)
    g = tanh(p.affine("g", x, h), name="g", role="gate")
    o = p.gate("o", x, h)
    c = add(mul(f, c), mul(i, g), name="c", role="state")
    return mul(o, tanh(c), name="h", role="state"), c


CELLS: dict[str, Cell] = {
    "elman": Cell(elman, ("s",), lambda n, d: {"U": (d, n), "W": (d, d), "b": (d,)}, activations=True),
    "gru": Cell(gru, ("h",), lambda n, d: {**gated("rzn")(n, d), "b_hn": (d,)}),
    "lstm": Cell(lstm, ("h", "c"), gated("ifgo")),
}
