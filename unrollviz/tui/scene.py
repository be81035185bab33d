"""What is on the screen and does not change while one steps: the timeline, the layout and the paths to choose from."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from rich.cells import cell_len

from unrollviz.api import Run
from unrollviz.arrays import beat, many_objects
from unrollviz.debugger.timeline import UNITS, Timeline, timeline
from unrollviz.draw.layout import EdgeName, Layout, Place, layout
from unrollviz.errors import NonFinite
from unrollviz.graph import Graph, names_of
from unrollviz.jacobians import frobenius
from unrollviz.paths.pathset import Path, PathSet, PathTable
from unrollviz.tui.spans import turns
from unrollviz.tui.symbols import symbol_of
from unrollviz.tui.wires import Joints, Wires, sparse

LISTED = 1_000
"""How many paths the heaviest is looked for among, to be lit when the screen opens."""

SMALL = 4_000
"""Up to so many nodes everything is worked out before the screen opens: nobody notices."""

AT_ONCE = 512
"""Contributions that are added up in one go: meanwhile nobody else can ask for a cotangent."""

ADDED = 2_000
"""Up to this many paths are walked one by one to hold their sum against the reverse sweep."""


@dataclass(frozen=True)
class Proof:
    """The sum over all paths against one reverse sweep.

    Attributes:
        total: ‖Σ term‖.
        error: the largest difference between two entries.
        holds: whether that is within the promise, 1e-13 · Σ‖term‖.
    """

    total: float
    error: float
    holds: bool


@dataclass(frozen=True)
class Listed:
    """The paths to choose from.

    Attributes:
        paths: the set; None where there is none, `trouble` then says why.
        table: the figures of its first LISTED paths.
        proof: None where there are too many paths to walk.
        pending: they are still being worked out.
    """

    paths: PathSet | None
    table: PathTable | None
    proof: Proof | None
    trouble: str = ""
    pending: bool = False

    def __len__(self) -> int:
        return 0 if self.table is None else len(self.table.ranks)


@dataclass(frozen=True, eq=False)
class Lit:
    """The selected path, or a part of one from its loss on, as it is lit in the grid.

    Attributes:
        row: its place in the list.
        nodes: those that it visits, from the loss back; empty where the list is.
        places: where they stand, a parameter at the copy where the path ends.
        joints: its lines.
        turns: the columns where it does something else than in the next one; see `spans.turns`.
        paths: the set it is one of; None for a part of a path.
    """

    row: int
    nodes: tuple[str, ...] = ()
    places: frozenset[Place] = frozenset()
    joints: Joints = field(default_factory=dict, repr=False)
    turns: frozenset[int] = frozenset()
    paths: PathSet | None = None

    @cached_property
    def path(self) -> Path | None:
        """With its factors and its term, which take a sweep; None where the list is empty."""
        return self.paths[self.row] if self.paths is not None and self.nodes else None


@dataclass(frozen=True, eq=False)
class Scene:
    """Made by `scene`, which may take a while for a long run.

    Attributes:
        losses: where the backward pass starts.
        target: the parameter whose paths are listed.
        names: place -> node; at each copy of a parameter, the parameter.
        copies: place of a copy -> the edge it is drawn for.
        columns: row -> the columns where something stands, in order.
        roles: row -> the role of its nodes.
        symbols: cells that the widest of the data's symbols takes.
    """

    run: Run
    detail: str
    losses: tuple[str, ...]
    target: str
    timeline: Timeline
    layout: Layout
    wires: Wires
    names: dict[Place, str]
    copies: dict[Place, EdgeName]
    columns: tuple[tuple[int, ...], ...]
    roles: tuple[str, ...]
    symbols: int
    listed: Listed

    def light(self, row: int) -> Lit:
        """The path in a row of the list, ready to be lit; found without a sweep."""
        paths = self.listed.paths
        if paths is None or not len(self.listed):
            return Lit(0)
        return replace(self.light_nodes(paths.nodes(row), row), paths=paths)

    def light_nodes(self, nodes: Sequence[str], row: int = 0) -> Lit:
        """A path, or its beginning, given by the nodes that it visits from the loss on, ready to be lit."""
        edges = [self.edge(tail, head) for head, tail in pairwise(nodes)]
        end = self.layout.copies.get(edges[-1]) if edges else None
        stand = [self.layout.nodes.get(name) for name in nodes[: None if end is None else -1]]
        places = [place for place in (*stand, end) if place is not None]
        return Lit(row, tuple(nodes), frozenset(places), sparse(self.layout, edges), turns(places))

    def nearest(self, row: int, column: int) -> Place | None:
        """The place in a row where something stands that is nearest to a column; None where the row is empty."""
        columns = self.columns[row]
        at_or_after = bisect_left(columns, column)
        around = columns[max(at_or_after - 1, 0) : at_or_after + 1]
        return Place(min(around, key=lambda c: abs(c - column)), row) if around else None

    def heaviest(self) -> int:
        """The row of the listed path with the largest norm, of those that go back in time where there are any."""
        table = self.listed.table
        if table is None or not len(table.norms):
            return 0
        goes_back = table.losses > table.entries
        return int(np.argmax(np.where(goes_back, table.norms, -1.0) if goes_back.any() else table.norms))

    def edge(self, tail: str, head: str) -> EdgeName:
        """The first edge between two nodes; parallel ones take the same way in the picture."""
        return tail, head, next(iter(self.timeline.graph[tail][head]))


@many_objects()
def scene(
    run: Run,
    detail: str,
    losses: Sequence[str],
    target: str,
    like: Scene | None = None,
    listing: bool = True,
    steps: Timeline | None = None,
    small: int = SMALL,
) -> Scene:
    """Everything the screen needs, parts taken over from the scene before where they stay the same.

    `steps` is the timeline, where there is one already. Without `listing` the paths of a long run are left pending, for
    a thread to list once the screen is open; long is what has more than `small` nodes.

    Raises UnknownName, with the nearest name, for an unknown level of detail, loss or target.
    """
    graph = run.level(detail, target)
    same = like is not None and like.timeline.graph is graph and like.losses == tuple(losses)
    steps = like.timeline if like is not None and same else steps or timeline(graph, losses)
    if listing or graph.number_of_nodes() <= small:
        _foresee(steps)
        listed = _list_paths(run, detail, losses, target)
    else:
        listed = Listed(None, None, None, pending=True)
    if like is not None and same:
        return replace(like, run=run, detail=detail, target=target, listed=listed)
    symbols = max((cell_len(symbol_of(node)) for _, node in graph.nodes(data=True) if "symbol" in node), default=0)
    if like is not None and _drawn_alike(graph, like.timeline.graph):
        return replace(
            like,
            run=run,
            detail=detail,
            losses=tuple(losses),
            target=target,
            timeline=steps,
            symbols=symbols,
            listed=listed,
        )
    where = layout(graph)
    names, copies = _occupied(where)
    roles = {place.row: graph.nodes[name]["role"] for name, place in where.nodes.items()}
    return Scene(
        run,
        detail,
        tuple(losses),
        target,
        steps,
        where,
        Wires(where, graph),
        names,
        copies,
        _columns(where),
        tuple(roles[row] for row in range(len(where.rows))),
        symbols,
        listed,
    )


def _drawn_alike(one: Graph, other: Graph) -> bool:
    """Whether two graphs have the same nodes and edges: of two iterations, say."""
    return list(one.nodes(data="role")) == list(other.nodes(data="role")) and list(one.edges(keys=True)) == list(
        other.edges(keys=True)
    )


def _occupied(where: Layout) -> tuple[dict[Place, str], dict[Place, EdgeName]]:
    """What stands at every place; the edge for which each copy of a parameter is drawn."""
    names = {place: name for name, place in where.nodes.items()}
    copies = {place: edge for edge, place in where.copies.items()}
    names.update({place: edge[0] for place, edge in copies.items()})
    return names, copies


def _columns(where: Layout) -> tuple[tuple[int, ...], ...]:
    """The columns where something stands, in order, by row."""
    found: list[set[int]] = [set() for _ in where.rows]
    for places in (where.nodes.values(), where.copies.values()):
        for place in places:
            found[place.row].add(place.column)
    return tuple(tuple(sorted(columns)) for columns in found)


def _foresee(steps: Timeline) -> None:
    """Work out what stepping will ask for, so that no key waits for it."""
    steps.backward.finish()
    for name in names_of(steps.graph, "parameter"):
        arrived = len(steps.contributions[name])
        for so_far in (*range(0, arrived, AT_ONCE), arrived):
            beat()
            steps.cotangent(name, so_far)
    for unit in UNITS:
        beat()
        steps.stops(unit)
    beat()
    _ = steps.crossed_at, steps.columns
    _ = steps.learning.known if steps.learning is not None else None


def _list_paths(run: Run, detail: str, losses: Sequence[str], target: str) -> Listed:
    try:
        paths = run.paths(None if len(losses) == run.steps else losses, target, detail=detail)
        table = paths[:LISTED].table()
        proof = _prove(paths) if paths.count <= ADDED else None
    except NonFinite as error:  # an exploding gradient has no shares, but it is what one wants to step through
        return Listed(None, None, None, str(error))
    return Listed(paths, table, proof)


def _prove(paths: PathSet) -> Proof:
    added = paths.sum()
    error = float(np.abs(added - paths.gradient).max(initial=0.0))
    return Proof(frobenius(added), error, error <= 1e-13 * paths.norm_sum)
