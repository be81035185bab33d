"""The recurrent cells: one function each, and one table.

A new cell is a function of (parameters, input node, state nodes) -> new state nodes, and one row in `CELLS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from unrollviz.arrays import Shape
from unrollviz.graph import Node


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


States = tuple[Node, ...]


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
    activations: bool


def elman(p: Parameters, x: Node, state: States) -> States:
    """s_t = act(a_t),  a_t = U x_t + W s_{t-1} + b   (Elman 1990; the article's network)

    x: (B, n), s: (B, d), U: (d, n), W: (d, d), b: (d,)
    """
    (s,) = state
    a = x.tracer.apply("add", p["U"] @ x, p["W"] @ s, p["b"], name="a")
    return (p.act(a, name="s"),)


CELLS: dict[str, Cell] = {
    "elman": Cell(
        step=elman,
        states=("s",),
        shapes=lambda n, d: {"U": (d, n), "W": (d, d), "b": (d,)},
        activations=True,
    ),
}
