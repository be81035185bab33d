"""What `by=` may name: the folds over time, routes, functions of one's own, and products of all these.

A route says how often a path uses each kind of edge that carries a gradient back through time or down through the
layers: the recurrent weight of each gate, the highway of a cell (c' = f ⊙ c: Hochreiter & Schmidhuber 1997's constant
error carousel; h' = … + z ⊙ h in a GRU), the input weights of the layers above the first. `uses` only says whether.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from unrollviz.arrays import Array, Labels, beat
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.graph import Graph
from unrollviz.sweep import FOLDS, Fold
from unrollviz.way import Edge

Labelling: TypeAlias = Callable[[Any, Edge], Hashable]
"""(label, edge) -> the label behind the edge; None at a loss. The same arguments must always give the same label."""
By: TypeAlias = str | Labelling | Sequence[str | Labelling]

GROUPS: dict[str, str] = {
    "weights": "the recurrent weights of all gates",
    "highway": "the products that carry a state on to the next step: f ⊙ c, z ⊙ h, (1 - f) ⊙ h",
    "layers": "the input weights of the layers above the first",
}
"""Kinds of edges that `route:weights,highway` counts together."""

BY_EDGES: dict[str, int | None] = {"route": None, "uses": 1}
"""What counts the edges of each kind on a path -> up to what number: `uses` says whether, and no more."""

_COLUMNS = {"total": ("total",), "temporal": ("loss", "entry")}


@dataclass(frozen=True)
class Grouping:
    """A fold as asked for.

    Attributes:
        name: what was asked for.
        columns: what each column of the labels is.
        fold: one for each column.
        routes: it counts single edges, so that it must walk the graph of all primitives.
        read: label as whole numbers -> what is shown; None where they are shown as they are.
    """

    name: str
    columns: tuple[str, ...]
    fold: tuple[Fold, ...]
    routes: bool = False
    read: Callable[[Labels], Labels] | None = None


def grouping(graph: Graph, by: By) -> Grouping:
    """The fold that `by` names: one of FOLDS, `route`, `route:W_f,highway`, `uses`, a function, or several of them.

    `graph` is the one at level `op`. Raises UnknownName, with the nearest name."""
    if not (isinstance(by, str) or callable(by) or isinstance(by, Sequence)):
        raise UnrollvizError(
            f"by is {by!r}; give {', '.join([*FOLDS, *BY_EDGES, 'path'])}, a function, or several of them"
        )
    parts = [_part(graph, one) for one in ([by] if isinstance(by, str) or callable(by) else by)]
    if not parts:
        raise UnrollvizError(f"by names nothing to group by; choose among {', '.join([*FOLDS, *BY_EDGES, 'path'])}")
    fold = tuple(column for part in parts for column in part.fold)
    reads = [(part.read, len(part.fold)) for part in parts]

    def read(labels: Labels) -> Labels:
        shown, start = labels.astype(object), 0
        for one, width in reads:
            if one is not None:
                shown[:, start : start + width] = one(labels[:, start : start + width])
            start += width
        return shown

    return Grouping(
        ", ".join(part.name for part in parts),
        tuple(name for part in parts for name in part.columns),
        fold,
        any(part.routes for part in parts),
        read if any(one for one, _ in reads) else None,
    )


def _part(graph: Graph, by: str | Labelling) -> Grouping:
    if not isinstance(by, str):
        labels = _OwnLabels(by)
        name = getattr(by, "__name__", "function")
        return Grouping(name, (name,), (Fold(cross=labels.cross, joins=True),), read=labels.read)
    name, _, chosen = by.partition(":")
    if name in BY_EDGES:
        return _route(graph, by, chosen, BY_EDGES[name])
    if by not in FOLDS:
        raise UnknownName("fold", by, [*FOLDS, *BY_EDGES, "path"])
    return Grouping(by, _COLUMNS.get(by, (by,)), FOLDS[by])


# ------------------------------------------------------------------------------------------------ routes


def kinds(graph: Graph) -> dict[str, tuple[str, frozenset[tuple[str, str, int]]]]:
    """Kind of edge -> (group, its edges (head, tail, key)), on a graph at level `op`.

    Recurrent weights and input weights are kinds by their own names; highways by the gate that multiplies the state."""
    nodes = graph.nodes
    found: dict[str, tuple[str, set[tuple[str, str, int]]]] = {}
    for tail, head, key in graph.edges(keys=True):
        beat()
        kind, group = None, ""
        if nodes[head]["op"] == "matvec" and key == 1 and nodes[tail]["role"] != "input":
            kind = multiplier(graph, head, tail)
            group = _GROUP_OF.get(kind.rpartition(".")[2][:1], "")
        elif nodes[head]["op"] == "mul" and _leaves_a_step(graph, tail, head) and not _is_weighed(graph, head):
            kind, group = _gate_of(graph, multiplier(graph, head, tail)), "highway"
        if kind and group:
            found.setdefault(kind, (group, set()))[1].add((head, tail, key))
    order = list(GROUPS)
    ranked = sorted(found.items(), key=lambda item: order.index(item[1][0]))
    return {kind: (group, frozenset(edges)) for kind, (group, edges) in ranked}


def multiplier(graph: Graph, product: str, argument: str) -> str:
    """What a product multiplies its `argument` by: the weight, or the other factor; the same where it is a square."""
    return next((name for name in graph.pred[product] if name != argument), argument)


def _leaves_a_step(graph: Graph, tail: str, head: str) -> bool:
    """Whether `tail` is the state of another step, or what stands for one where a sequence begins."""
    node = graph.nodes[tail]
    if node["role"] == "state":
        return bool(node["time"] != graph.nodes[head]["time"])
    return node["role"] == "initial" or node["op"] in ("begin", "repeat")


def _is_weighed(graph: Graph, product: str) -> bool:
    """Whether a product is what a weight is applied to, as r ⊙ h is in W (r ⊙ h), and not a state itself."""
    nodes = graph.nodes
    return nodes[product]["role"] != "state" and any(nodes[name]["op"] == "matvec" for name in graph.succ[product])


def _gate_of(graph: Graph, factor: str) -> str | None:
    """The one gate, without its step, that a factor is, or is worked out from by elementwise ops: f of 1 - f₃."""
    gates, stack = set[str](), [factor]
    while stack:
        name = stack.pop()
        node = graph.nodes[name]
        if node["role"] == "gate":
            gates.add(name.rstrip("'").removesuffix(str(node["time"])))
        elif node["op"] in (None, "matvec") or node["role"] == "state":
            return None
        else:
            stack += graph.pred[name]
    return gates.pop() if len(gates) == 1 else None


def _route(graph: Graph, by: str, chosen: str, most: int | None) -> Grouping:
    known = kinds(graph)
    names = [name.strip() for name in chosen.split(",")] if chosen else list(known)
    groups = {group for group, _ in known.values()}
    columns = []
    for name in names:
        members = [edges for kind, (group, edges) in known.items() if name in (kind, group)]
        if not members:
            raise UnknownName("kind of edge", name, [*(group for group in GROUPS if group in groups), *known])
        columns.append(Fold(cross=_count(frozenset().union(*members), most), joins=most is not None))
    if not names:
        raise UnrollvizError("nothing here carries a gradient through time, so that there are no routes")
    return Grouping(by, tuple(names), tuple(columns), routes=True)


def _count(
    edges: frozenset[tuple[str, str, int]], most: int | None
) -> Callable[[Labels, Edge], tuple[Labels, Labels | None]]:
    """Adds 1 to the labels of paths that cross one of `edges`, up to `most` where given."""

    def cross(labels: Labels, edge: Edge) -> tuple[Labels, Labels | None]:
        if (edge.head, edge.tail, edge.key) not in edges:
            return labels, None
        return (labels + 1 if most is None else np.minimum(labels + 1, most)), None

    return cross


# ------------------------------------------------------------------------------------- labels of one's own


@dataclass
class _OwnLabels:
    """Labels that a function gives, as whole numbers in the order in which they first appear."""

    function: Labelling
    values: list[Hashable] = field(default_factory=lambda: [None])
    numbers: dict[Hashable, int] = field(default_factory=lambda: {None: 0})

    def cross(self, labels: Labels, edge: Edge) -> tuple[Labels, Labels | None]:
        different, place = np.unique(labels, return_inverse=True)
        behind = [self._number(self._behind(self.values[int(label)], edge)) for label in different]
        return np.array(behind, dtype=labels.dtype)[place], None

    def _behind(self, label: Hashable, edge: Edge) -> Hashable:
        try:
            return self.function(label, edge)
        except Exception as error:
            error.add_note(f"in by(label, edge) at {edge.head} -> {edge.tail}, label {label!r}; at a loss it is None")
            raise

    def _number(self, label: Hashable) -> int:
        try:
            if label not in self.numbers:
                self.numbers[label] = len(self.values)
                self.values.append(label)
            return self.numbers[label]
        except TypeError as error:
            raise UnrollvizError(
                f"the function given as by returned a {type(label).__name__}, which cannot be a label; "
                "return a number, a string or a tuple"
            ) from error

    def read(self, labels: Labels) -> Labels:
        shown = np.empty(labels.shape, dtype=object)
        for index, label in enumerate(labels[:, 0].tolist()):
            shown[index, 0] = self.values[label]
        return shown


def by_path(columns: dict[str, Labels], by: Sequence[str | Labelling]) -> tuple[tuple[str, ...], Labels]:
    """Names and labels (paths, columns) of a product with `path`, from the `columns` of figures of single paths.

    Raises UnrollvizError for a fold that a path's loss and entry step do not decide."""
    names: list[str] = []
    for one in by:
        if not isinstance(one, str) or one not in (*FOLDS, "path"):
            raise UnrollvizError(
                f"path goes with {', '.join(FOLDS)}, not with {one}; list the paths and label them, or leave path out"
            )
        names += _COLUMNS.get(one, (one,))
    return tuple(names), np.stack([columns[name] for name in names], axis=1)


def carries(kind: str) -> str:
    """The group of a kind of edge, or of a group, by its name."""
    return kind if kind in GROUPS else _GROUP_OF.get(kind.rpartition(".")[2][:1], "highway")


_GROUP_OF = {"W": "weights", "U": "layers"}
"""A parameter's first letter -> the group of the products with it."""


def uses(labels: Labels, shares: Array) -> tuple[float, float]:
    """Of a column of a route: share of the paths that use the kind at all, and uses by a path, weighted by share."""
    return float(shares[labels > 0].sum()), float((labels * shares).sum())
