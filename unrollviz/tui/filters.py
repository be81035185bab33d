"""The filter of the list of paths, as it is typed: `s3`, `f*`, `!c2`, `lag>2`, `t=4 k<=2`, `share>=1%`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from operator import eq, ge, gt, le, lt, ne

import numpy as np

from unrollviz.arrays import Labels
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.graph import Graph
from unrollviz.paths.order import Order

FIGURES = {
    "t": "step of the loss",
    "k": "entry step",
    "lag": "t - k",
    "norm": "norm of the term",
    "share": "share of the gradient",
}
"""What can be compared with a number."""

HELP = "s3: through it · !s2: not through it · s* · lag>2 · t=4 · k<=2 · norm>0.1 · share>1%"

_SIGNS: dict[str, Callable[..., object]] = {"<=": le, ">=": ge, "!=": ne, "=": eq, "<": lt, ">": gt}
_COMPARED = re.compile(r"(?P<name>[a-z]+)(?P<sign><=|>=|!=|=|<|>)(?P<number>-?[\d.]+(?:e-?\d+)?)(?P<percent>%?)")

Condition = tuple[str, Callable[[Labels], Labels]]
"""A name in FIGURES, and which of these figures to keep."""


@dataclass(frozen=True)
class Filter:
    """Words that must all hold of a path.

    Attributes:
        conditions: on figures.
        nodes: (pattern, wanted): a node like this must be visited, or must not.
    """

    conditions: tuple[Condition, ...] = ()
    nodes: tuple[tuple[str, bool], ...] = ()

    @classmethod
    def read(cls, words: str, graph: Graph) -> Filter:
        """What is typed, understood; words stand apart.

        Raises UnknownName, with the nearest one, for a node or a figure that is none; UnrollvizError for what cannot be
        read."""
        conditions, nodes = list[Condition](), list[tuple[str, bool]]()
        for word in words.replace(",", " ").split():
            if re.search("[<>=]", word):
                conditions.append(_condition(word))
                continue
            pattern = word.removeprefix("!")
            if not any(fnmatchcase(name, pattern) for name in graph):
                raise UnknownName("node", pattern, graph)
            nodes.append((pattern, not word.startswith("!")))
        return cls(tuple(conditions), tuple(nodes))

    @property
    def narrows(self) -> bool:
        """Some of it can be told without walking a path: by leaving out losses, or entries into the target."""
        return self.has("t") or self.has("k")

    @property
    def left(self) -> tuple[Condition, ...]:
        """What can only be told of paths that have been walked: of their nodes too, where there are any."""
        figures = tuple(condition for condition in self.conditions if condition[0] not in ("t", "k"))
        return figures or ((("t", np.isfinite),) if self.nodes else ())

    def has(self, name: str) -> bool:
        """Whether a figure is asked for."""
        return any(of == name for of, _ in self.conditions)

    def keeps(self, name: str, value: int) -> bool:
        """Whether it lets a figure pass."""
        return all(bool(keep(np.asarray(value))) for of, keep in self.conditions if of == name)


def _condition(word: str) -> Condition:
    found = _COMPARED.fullmatch(word)
    if found is None:
        raise UnrollvizError(f"the filter cannot read {word}; write it like lag>2, t=4 or share>1%")
    if found["name"] not in FIGURES:
        raise UnknownName("figure of a path", found["name"], FIGURES)
    try:
        number = float(found["number"]) / (100 if found["percent"] else 1)
    except ValueError as error:
        raise UnrollvizError(f"{found['number']} in {word} is no number; write it like lag>2") from error
    compare = _SIGNS[found["sign"]]
    return found["name"], lambda values: np.asarray(compare(values, number))


def visiting(graph: Graph, losses: Sequence[str], target: str, nodes: Sequence[tuple[str, bool]]) -> Labels:
    """(paths,) in the order of PathSet: True where a path visits all the wanted nodes, and none of the others."""
    order = Order(graph, losses, target)
    found = np.ones(order.count, dtype=bool)
    for pattern, wanted in nodes:
        found &= _through(order, pattern) == wanted
    return found


def _through(order: Order, pattern: str) -> Labels:
    """(paths,) True where a path visits a node like `pattern`.

    Whether a completion does so depends only on where it begins: worked out once for every node, arguments first."""
    behind: dict[str, Labels] = {}
    for name in order.graph:
        if name not in order.ways:
            continue
        if fnmatchcase(name, pattern):
            behind[name] = np.ones(order.ways[name], dtype=bool)
        elif name == order.target:
            behind[name] = np.zeros(1, dtype=bool)
        else:
            behind[name] = np.concatenate([behind[tail] for tail, _ in order.offsets(name)])
    parts = [behind[name] for name in order.losses if name in behind]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=bool)
