"""A formula with the numbers in it, for one unit of one instance: `s₃[0] = tanh(0.42 − 0.31 + 0.05) = 0.1586`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from unrollviz.arrays import Array
from unrollviz.graph import Graph
from unrollviz.names import typeset
from unrollviz.ops import OPS
from unrollviz.tui.numbers import figure

TERMS = 6
"""Addends that are written out; the rest are left to an ellipsis."""


def worked(graph: Graph, name: str, stop: Collection[str], instance: int, unit: int) -> str:
    """How unit `unit` of node `name` is computed for an instance; empty where it is given and not computed.

    `graph` is the traced one at level `op`; nodes in `stop` stand for themselves, as in `graph.formula`."""
    node = graph.nodes[name]
    if node["op"] is None:
        return ""

    def number(of: str, at: int = unit) -> str:
        return figure(entry(graph.nodes[of]["value"], instance, at))

    def written(of: str, factor: bool = False) -> str:
        op = graph.nodes[of]["op"]
        if of != name and (op in (None, "matvec") or of in stop):
            text = number(of)
            return f"({text})" if factor and text.startswith("-") else text
        arguments = [tail for tail, _, _ in sorted(graph.in_edges(of, keys=True), key=lambda edge: edge[2])]
        if op in SPECIAL:
            return SPECIAL[op](graph, of, arguments, instance, unit)
        words = [written(tail, op == "mul") for tail in arguments]
        text = OPS[op].formula.format(*words, args=" + ".join(words)).replace("+ -", "− ").replace("⊙", "·")
        return f"({text})" if factor and op == "add" else text

    value = node["value"]
    where = f"[{unit}]" if value.ndim and value.shape[-1] > 1 else ""
    if (instance, unit) in node.get("overridden", {}):
        return f"{typeset(name)}{where} = {number(name)}, set by hand"
    return f"{typeset(name)}{where} = {written(name)} = {number(name)}"


def entry(value: Array, instance: int, unit: int) -> float:
    """One entry of a node's value: of an instance where it has them, of a parameter its unit, of a loss itself."""
    if value.ndim == 0:
        return float(value)
    rows = value.reshape(-1, value.shape[-1])
    return float(rows[min(instance, len(rows) - 1), min(unit, rows.shape[1] - 1)])


def _row(graph: Graph, name: str, instance: int) -> Array:
    """The units of a node for an instance, the last one where there are not so many."""
    value: Array = graph.nodes[name]["value"]
    return np.asarray(value[min(instance, len(value) - 1)])


def _product(graph: Graph, name: str, arguments: list[str], instance: int, unit: int) -> str:
    """`0.3·0.1 + 0.2·0.5 + …`, row `unit` of the weight by the vector."""
    weight, x = graph.nodes[arguments[0]]["value"], _row(graph, arguments[1], instance)
    pairs = [f"{figure(w)}·{figure(v)}" for w, v in zip(weight[unit][:TERMS], x[:TERMS], strict=True)]
    return " + ".join(pairs).replace("+ -", "− ") + (" + …" if weight.shape[1] > TERMS else "")


def _softmax(graph: Graph, name: str, arguments: list[str], instance: int, unit: int) -> str:
    logits = _row(graph, arguments[0], instance)
    powers = [f"e^{figure(z)}" for z in logits[:TERMS]]
    return f"e^{figure(logits[unit])} / ({' + '.join(powers)}{' + …' if len(logits) > TERMS else ''})"


def _vector(graph: Graph, name: str, arguments: list[str], instance: int, unit: int) -> str:
    """What works on the whole of its argument: the formula, with all of its entries."""
    values = _row(graph, arguments[0], instance)
    words = " ".join(map(figure, values[:TERMS])) + (" …" if len(values) > TERMS else "")
    return OPS[graph.nodes[name]["op"]].formula.format(f"[{words}]")


def _begin(graph: Graph, name: str, arguments: list[str], instance: int, unit: int) -> str:
    return " or ".join(figure(entry(graph.nodes[argument]["value"], instance, unit)) for argument in arguments)


SPECIAL: dict[str, Callable[[Graph, str, list[str], int, int], str]] = {
    "matvec": _product,
    "softmax": _softmax,
    "concat": lambda graph, name, arguments, instance, unit: figure(entry(graph.nodes[name]["value"], instance, unit)),
    "begin": _begin,
    "cross_entropy": _vector,
    "binary_cross_entropy": _vector,
    "squared_error": _vector,
}
"""Ops of which a unit depends on more than the same unit of its arguments."""


def activation(graph: Graph, name: str) -> tuple[str, Array] | None:
    """The op of a node and what it is applied to, where that is one array; None for anything else."""
    node: dict[str, Any] = graph.nodes[name]
    arguments = list(graph.pred[name]) if node["op"] is not None else []
    return (node["op"], graph.nodes[arguments[0]]["value"]) if len(arguments) == 1 else None
