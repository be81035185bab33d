"""The gradient as a tree of partial paths: at every branch the exact count, share and norm of all its completions.

A prefix is a partial path from the losses back. However many paths it can still become, their summed share is one dot
product: of the cotangent that it carries with the tangent that direction G, pushed forward from the target, has at its
node. So the tree is opened branch by branch at the price of one vector-Jacobian product each, among 10^60 paths as
among ten. Only norms need a sweep, which starts where the prefix ends; one sweep serves as many prefixes as one likes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from unrollviz.allowance import memory_allowed
from unrollviz.arrays import Array, arithmetic, many_objects
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.forward import forward_sweep
from unrollviz.gradient import total_of
from unrollviz.graph import Graph
from unrollviz.paths.order import Order
from unrollviz.stacks import Stack, both, merge, rescaled, times_power, weights
from unrollviz.sweep import sweep_from
from unrollviz.terms import MEMORY_LIMIT, TermSum
from unrollviz.way import Edge, Way, leave_chart

Pulse = Callable[[], None]
"""Called between the steps of long work; what it raises stops the work, and nothing is lost but the work."""


def _quiet() -> None:
    pass


_BEGUN = Stack(np.zeros((1, 1), dtype=np.int64), np.ones(1))
"""What a path that has only begun carries."""


@dataclass(slots=True, eq=False)
class Prefix:
    """A partial path from the losses back; stands for all its completions, the paths that begin like this.

    The root of several losses is the empty prefix, its node "" and its children the losses.

    Attributes:
        parent: the prefix without its last step; None for the root.
        node: where it has come to.
        edge: its last step; None for the root and for a loss.
        rank: place of the first of its completions in the PathSet of the same question; the others follow it.
        count: exact number of its completions.
        share: <sum of their terms, G> / <G, G>, signed; NaN where G = 0.
    """

    tree: PrefixTree = field(repr=False)
    parent: Prefix | None = field(repr=False)
    node: str
    edge: Edge | None = field(repr=False)
    rank: int
    count: int
    share: float
    _carried: Stack | None = field(default=None, repr=False)
    _norm: tuple[float, float] | None = field(default=None, repr=False)

    @property
    def nodes(self) -> tuple[str, ...]:
        """From the loss to the node it has come to."""
        found: list[str] = []
        step: Prefix | None = self
        while step is not None and step.node:
            found.append(step.node)
            step = step.parent
        return tuple(reversed(found))

    @property
    def complete(self) -> bool:
        """It is a whole path, from a loss to the target."""
        return self.node == self.tree.target

    @property
    def cotangent(self) -> Array:
        """What it carries: the product of its factors, (1, *shape of the node), in the node's chart if it has one.

        Of a whole path this is its term. The root of several losses has none."""
        return times_power(self.carried.rows, self.carried.exponents)

    @property
    def carried(self) -> Stack:
        """The same with a power of two, so that it is not 0 below 1e-308."""
        if self._carried is not None:
            return self._carried
        if self.edge is None or self.parent is None:
            return _BEGUN
        with np.errstate(all="ignore"):
            before = self.parent.carried
            carried = rescaled(replace(before, rows=self.edge.jacobian.vjp(before.rows), own=False))
        if not self.complete:  # the children need it, and a parameter may be large
            self._carried = carried
        return carried

    def children(self, heaviest_first: bool = False) -> list[Prefix]:
        """The prefixes one step longer that have completions: in the order of PathSet, or by |share|.

        Their counts and shares add up to this one's. Edges that are parallel give children of equal name, told apart
        by `edge.key`. Worked out anew at each call."""
        found = self.tree.open(self)
        return sorted(found, key=lambda child: -abs(child.share)) if heaviest_first else found

    @property
    def norm(self) -> float:
        """Frobenius norm of the sum of its completions' terms; 0 below 5e-324. Costs a sweep; `PrefixTree.norms` serves
        many by one."""
        return self.tree.norms([self])[0]

    @property
    def log10_norm(self) -> float:
        """Its logarithm, finite however small it is; -inf where the sum is 0."""
        self.tree.norms([self])
        return math.nan if self._norm is None else self._norm[1]

    @property
    def term(self) -> Array:
        """The sum of its completions' terms: shape of the target. Costs a sweep unless it is a whole path."""
        return self.tree.term(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Fan:
    """The steps on from a node towards the target.

    Attributes:
        edges: in the order of PathSet.
        counts: completions behind each edge.
        offsets: how many come before them.
        tangents: (edges, entries of the node): what of direction G comes to the node through each edge; a row an edge,
            labelled by its place.
    """

    edges: tuple[Edge, ...]
    counts: tuple[int, ...]
    offsets: tuple[int, ...]
    tangents: Stack


class PrefixTree:
    """All paths from some losses to a target at one level of detail as a tree that is opened lazily.

    Attributes:
        root: the empty prefix; where there is one loss, that loss.
        total: G, the sum over all paths.
    """

    def __init__(self, graph: Graph, losses: Sequence[str], target: str, pulse: Pulse = _quiet) -> None:
        """One reverse and one forward sweep.

        Raises UnrollvizError where the tangents would take more than MEMORY_LIMIT bytes."""
        self.graph, self.losses, self.target = graph, tuple(losses), target
        with many_objects():
            self._order = Order(graph, self.losses, target)
            self._way = Way.to(graph, [target])
            self._check_memory()
            self.total = total_of(self._way, self.losses, target)
            self._tangents = self._pushed(pulse)
        self._fans: dict[str, _Fan] = {}
        whole = 1.0 if self.total.size > 0 else math.nan
        alone = self.losses[0] if len(self.losses) == 1 else ""
        self.root = Prefix(self, None, alone, None, 0, self._order.count, whole)
        self.root._norm = self.total.norm, self.total.log10_norm

    def __repr__(self) -> str:
        return f"<PrefixTree to {self.target}: {self.root.count} paths>"

    @property
    def gradient(self) -> Array:
        """G, shape of the target; 0 below 5e-324."""
        return self.total.value

    @property
    def total_norm(self) -> float:
        """‖G‖; 0 below 5e-324."""
        return self.total.norm

    def find(self, nodes: Sequence[str]) -> Prefix:
        """The prefix through exactly these nodes, from a loss on; the first one where edges are parallel.

        Raises UnknownName, with the nearest valid node, where no path begins like this."""
        here = self.root
        if here.node and nodes and nodes[0] != here.node:
            raise UnknownName("start of a path", nodes[0], self.losses)
        for name in nodes[1:] if here.node else nodes:
            children = here.children()
            step = next((child for child in children if child.node == name), None)
            if step is None:
                kind = f"step of a path from {here.node}" if here.node else "start of a path"
                raise UnknownName(kind, name, dict.fromkeys(child.node for child in children))
            here = step
        return here

    def open(self, prefix: Prefix) -> list[Prefix]:
        """The children of `prefix` in the order of PathSet."""
        if prefix.complete or prefix.count == 0:
            return []
        if not prefix.node:
            return self._losses_of(prefix)
        fan = self._fans.get(prefix.node) or self._fan(prefix.node)
        carried = prefix.carried
        with np.errstate(all="ignore"):
            dots = fan.tangents.rows @ carried.rows.ravel()
            shares = self.total.shares(dots, both(fan.tangents.exponents, carried.exponents)).tolist()
        steps = zip(fan.edges, fan.offsets, fan.counts, shares, strict=True)
        return [
            Prefix(self, prefix, edge.tail, edge, prefix.rank + before, count, share)
            for edge, before, count, share in steps
        ]

    def _losses_of(self, root: Prefix) -> list[Prefix]:
        return [
            Prefix(self, root, name, None, before, count, self._share_of(name))
            for name, before in zip(self.losses, self._order.starts, strict=False)
            if (count := self._order.ways.get(name, 0))
        ]

    def _share_of(self, loss: str) -> float:
        tangent = self._tangents[loss]
        return float(self.total.shares(tangent.rows, tangent.exponents)[0])

    def _fan(self, head: str) -> _Fan:
        offsets = self._order.offsets(head)
        edges = [Edge(head, *step, self.graph.edges[step[0], head, step[1]]["jacobian"]) for step in offsets]
        edges = [leave_chart(self.graph, edge) if edge.tail == self.target else edge for edge in edges]
        with np.errstate(all="ignore"):
            tangents = [
                replace(ahead, labels=np.array([[place]]), rows=edge.jacobian.jvp(ahead.rows).reshape(1, -1), own=False)
                for place, (edge, ahead) in enumerate((edge, self._tangents[edge.tail]) for edge in edges)
            ]
        counts = tuple(self._order.ways[edge.tail] for edge in edges)
        self._fans[head] = _Fan(tuple(edges), counts, tuple(offsets.values()), merge(tangents, distinct=True))
        return self._fans[head]

    def _pushed(self, pulse: Pulse) -> dict[str, Stack]:
        """The tangent at every node that the losses can depend on, (1, *shape), in direction G / ‖G‖; at the target
        itself in the textbook's coordinates."""
        ahead = {name for name in self.losses if name in self._order.ways}
        found: dict[str, Stack] = {}
        with arithmetic():
            for name, tangents in forward_sweep(self.graph, self.target, self.total.direction[None]):
                found[name] = tangents
                ahead.discard(name)
                pulse()
                if not ahead:
                    break
        return found

    def _check_memory(self) -> None:
        nodes = self.graph.nodes
        needed = 8 * sum(nodes[head]["value"].size * (1 + len(edges)) for head, edges in self._way.heads)
        limit = memory_allowed(MEMORY_LIMIT)
        if needed > limit:
            raise UnrollvizError(
                f"the tangents of a tree of paths to {self.target} may take {needed / 2**30:,.1f} GiB, the limit is "
                f"{limit / 2**30:g} GiB; take fewer steps or instances, or a coarser level of detail"
            )

    def norms(self, prefixes: Sequence[Prefix], pulse: Pulse = _quiet) -> list[float]:
        """The norm of each prefix: one sweep for all whose norm is not known yet, more where memory asks for it."""
        unknown = [prefix for prefix in dict.fromkeys(prefixes) if prefix._norm is None]
        with arithmetic():
            for prefix in unknown:
                if prefix.complete and prefix.edge is not None and prefix.parent is not None:
                    before = prefix.parent.carried
                    (norm,), (log,) = weights(prefix.edge.jacobian.row_norms(before.rows), before.exponents)
                    prefix._norm = float(norm), float(log)
            partial = [prefix for prefix in unknown if prefix._norm is None]
            for start in range(0, len(partial), self._at_once):
                block = partial[start : start + self._at_once]
                found = weights(*self._sums(block, pulse).norms())
                for prefix, norm, log in zip(block, *(figures.tolist() for figures in found), strict=True):
                    prefix._norm = norm, log
        return [math.nan if prefix._norm is None else prefix._norm[0] for prefix in prefixes]

    def term(self, prefix: Prefix, pulse: Pulse = _quiet) -> Array:
        """The sum of the terms of the completions of `prefix`: shape of the target."""
        if prefix is self.root:
            return self.gradient
        if prefix.complete:
            return np.asarray(prefix.cotangent[0])
        with arithmetic():
            return np.asarray(self._sums([prefix], pulse).result()[0])

    @property
    def _at_once(self) -> int:
        """How many prefixes a sweep may carry: a cotangent at a few nodes and a sum of terms each."""
        widest = max(value.size for _, value in self.graph.nodes(data="value"))
        return int(max(1, MEMORY_LIMIT // (8 * 8 * widest)))

    def _sums(self, prefixes: Sequence[Prefix], pulse: Pulse) -> TermSum:
        """What arrives at the target, a sum for each prefix."""
        rows: dict[str, list[int]] = {}
        for row, prefix in enumerate(prefixes):
            rows.setdefault(prefix.node, []).append(row)
        seeds = {
            node: merge([replace(prefixes[row].carried, labels=np.array([[row]])) for row in here], distinct=True)
            for node, here in rows.items()
        }
        sums = TermSum(len(prefixes), self.gradient.shape)
        for arrival in sweep_from(self._way, seeds, [self.target]):
            sums.add(arrival.labels[:, 0], arrival.rows, arrival.edge.jacobian, arrival.exponents)
            pulse()
        return sums


@dataclass(frozen=True, slots=True)
class Branch:
    """A line of a tree that shows only its heaviest branches: one of them, or several light ones together.

    Attributes:
        depth: levels below where the tree begins.
        last: no other branch of the same parent comes after it.
        chain: a prefix and its only descendants, as far as there is no choice: all stand for the same paths.
            Empty where several branches are summed.
        branches: how many branches are summed in this line; 1 where it is one.
        count: exact number of paths.
        share: signed; NaN where G = 0.
        opened: the branches below it come next.
    """

    depth: int
    last: bool
    chain: tuple[Prefix, ...]
    branches: int
    count: int
    share: float
    opened: bool = False


def heaviest_branches(
    start: Prefix, depth: int = 6, min_share: float = 0.01, limit: int | None = None
) -> Iterator[Branch]:
    """The tree below `start` in the order in which it is read, each branch before those below it, heavy ones first.

    Branches whose |share| is below `min_share` are not opened, and summed in one line where they are several, together
    with those beyond the `limit` heaviest of the same parent: so the branches of a parent always add up to it. A branch
    that has none but light ones below it stays closed, unless it is `start`. Where G = 0 no share reaches a
    `min_share` but 0."""
    waiting = [Branch(0, True, (start,), 1, start.count, start.share)]
    while waiting:
        branch = waiting.pop()
        if not branch.chain:
            yield branch
            continue
        chain, below = _without_choice(branch.chain[0])
        worth = _is_heavy(branch.share, min_share) and any(_is_heavy(child.share, min_share) for child in below)
        opened = bool(below) and branch.depth < depth and (worth or branch.depth == 0)
        yield replace(branch, chain=chain, opened=opened)
        if opened:
            waiting += reversed(_level(below, branch.depth + 1, min_share, limit))


def _without_choice(prefix: Prefix) -> tuple[tuple[Prefix, ...], list[Prefix]]:
    """The chain that begins with `prefix`, and the children at its end: none or several."""
    chain = [prefix]
    below = prefix.children(heaviest_first=True)
    while len(below) == 1:
        chain += below
        below = chain[-1].children(heaviest_first=True)
    return tuple(chain), below


def _is_heavy(share: float, min_share: float) -> bool:
    return min_share <= 0 or abs(share) >= min_share


def _level(children: Sequence[Prefix], depth: int, min_share: float, limit: int | None) -> list[Branch]:
    """The branches of one parent, given heaviest first: those to be shown, and the sum of the others. A single other is
    shown itself."""
    heavy = sum(_is_heavy(child.share, min_share) for child in children)
    shown = heavy if limit is None else min(heavy, limit)
    others = children[shown:]
    if len(others) == 1:
        shown, others = len(children), []
    found = [Branch(depth, False, (child,), 1, child.count, child.share) for child in children[:shown]]
    if others:
        count, share = sum(child.count for child in others), math.fsum(child.share for child in others)
        found.append(Branch(depth, False, (), len(others), count, share))
    return [*found[:-1], replace(found[-1], last=True)]
