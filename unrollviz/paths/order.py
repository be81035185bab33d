"""The order of the paths of a set: every path has a rank, and all completions of a partial path have consecutive ones.

In that order a path comes before those that go on further back: L₄'s paths to W enter at s₄, s₃, s₂, s₁.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from unrollviz.arrays import Labels
from unrollviz.errors import UnknownName
from unrollviz.graph import Graph
from unrollviz.sweep import Fold
from unrollviz.way import Edge, completions


class Order:
    """The paths from some losses to a target: by loss, then at each node the target first, then the latest node first.

    Attributes:
        ways: node -> how many paths lead from it to the target.
        starts: rank of the first path of each loss, and at the end how many there are.
    """

    def __init__(self, graph: Graph, losses: Sequence[str], target: str) -> None:
        self.graph, self.losses, self.target = graph, losses, target
        self.ways = completions(graph, target)
        self.starts = [0, *accumulate(self.ways.get(loss, 0) for loss in losses)]
        self._position = {name: index for index, name in enumerate(graph)}
        self._offsets: dict[str, dict[tuple[str, int], int]] = {}

    @property
    def count(self) -> int:
        """The exact number of paths."""
        return self.starts[-1]

    def offsets(self, head: str) -> dict[tuple[str, int], int]:
        """(tail, key) -> how many paths through `head` come before those that go on through that edge."""
        if head not in self._offsets:
            preds = self.graph.pred[head]
            tails = sorted(
                (tail for tail in preds if tail in self.ways),
                key=lambda tail: (tail != self.target, -self._position[tail]),
            )
            edges = [(tail, key) for tail in tails for key in preds[tail]]
            before = accumulate((self.ways[tail] for tail, _ in edges), initial=0)
            self._offsets[head] = dict(zip(edges, before, strict=False))
        return self._offsets[head]

    def fold(self, start: int, stop: int) -> Fold:
        """Labels partial paths with the rank of their first completion; keeps those with one in [start, stop)."""

        def cross(labels: Labels, edge: Edge) -> tuple[Labels, Labels]:
            offset, ways = self.offsets(edge.head)[edge.tail, edge.key], self.ways[edge.tail]
            behind = labels + offset
            return behind, np.asarray((behind < stop) & (behind + ways > start), dtype=bool)

        starts = dict(zip(self.losses, self.starts, strict=False))
        exact = self.starts[-1] > 2**62
        return Fold(seed=lambda name, t: starts[name], cross=cross, exact=exact, distinct=True)

    def loss(self, rank: int) -> str:
        """The loss that the path with this rank starts from."""
        return self.losses[bisect_right(self.starts, rank) - 1]

    def edges(self, rank: int) -> tuple[Edge, ...]:
        """The edges of the path with this rank, from the loss to the target."""
        head = self.loss(rank)
        rest = rank - self.starts[self.losses.index(head)]
        found: list[Edge] = []
        while head != self.target or not found:
            (tail, key), offset = next(item for item in reversed(self.offsets(head).items()) if item[1] <= rest)
            found.append(Edge(head, tail, key, self.graph.edges[tail, head, key]["jacobian"]))
            head, rest = tail, rest - offset
        return tuple(found)

    def nodes(self, rank: int) -> tuple[str, ...]:
        """The nodes of the path with this rank, from the loss to the target."""
        edges = self.edges(rank)
        return (edges[0].head, *(edge.tail for edge in edges))

    def rank(self, nodes: tuple[str, ...]) -> int:
        """The rank of the path through exactly these nodes (the first one, where edges are parallel)."""
        if not nodes or nodes[0] not in self.losses or not self.ways.get(nodes[0]):
            raise UnknownName("start of a path", nodes[0] if nodes else "", self.losses)
        rank = self.starts[self.losses.index(nodes[0])]
        for head, tail in pairwise(nodes):
            offsets = {name: offset for (name, _), offset in reversed(self.offsets(head).items())}
            if tail not in offsets:
                raise UnknownName(f"step of a path from {head}", tail, offsets)
            rank += offsets[tail]
        if nodes[-1] != self.target:
            raise UnknownName("end of a path", nodes[-1], [self.target])
        return rank
