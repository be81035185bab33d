"""What is on the screen and does not change while one steps: the timeline, the layout and the paths to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from rich.cells import cell_len

from unrollviz.api import Run
from unrollviz.arrays import many_objects
from unrollviz.debugger.timeline import Timeline, timeline
from unrollviz.draw.layout import EdgeName, Layout, Place, layout
from unrollviz.errors import NonFinite
from unrollviz.jacobians import frobenius
from unrollviz.paths import Path, PathSet, PathTable
from unrollviz.tui.symbols import symbol_of
from unrollviz.tui.wires import Joints, Wires, all_wires, sparse

LISTED = 1_000
"""How many paths are listed; the count is exact however many there are."""

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
    """

    paths: PathSet | None
    table: PathTable | None
    proof: Proof | None
    trouble: str = ""

    def __len__(self) -> int:
        return 0 if self.table is None else len(self.table.ranks)

    @cached_property
    def largest_share(self) -> float:
        """The largest |share| that is listed; the longest bar."""
        return 0.0 if self.table is None else float(np.abs(self.table.shares).max(initial=0.0))


@dataclass(frozen=True)
class Lit:
    """The selected path as it is lit in the grid.

    Attributes:
        row: its place in the list.
        path: None where the list is empty.
        places: where its nodes stand, the target at the copy where the path ends.
        joints: its lines.
    """

    row: int
    path: Path | None
    places: frozenset[Place]
    joints: Joints


@dataclass(frozen=True, eq=False)
class Scene:
    """Made by `scene`, which may take a while for a long run.

    Attributes:
        losses: where the backward pass starts.
        target: the parameter whose paths are listed.
        names: place -> node; at each copy of a parameter, the parameter.
        copies: place of a copy -> the edge it is drawn for.
        columns: row -> the columns where something stands, in order.
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
    symbols: int
    listed: Listed

    def light(self, row: int) -> Lit:
        """The path in a row of the list, ready to be lit."""
        if self.listed.paths is None or not len(self.listed):
            return Lit(0, None, frozenset(), {})
        path = self.listed.paths[row]
        edges = [self.edge(factor.tail, factor.head) for factor in path.factors]
        places = [self.layout.nodes.get(name) for name in path.nodes[:-1]]
        places.append(self.layout.copies.get(edges[-1], self.layout.nodes.get(path.nodes[-1])))
        return Lit(row, path, frozenset(filter(None, places)), sparse(self.layout, edges))

    def heaviest(self) -> int:
        """The row of the listed path with the largest norm, of those that go back in time where there are any."""
        table = self.listed.table
        if table is None or not len(table.norms):
            return 0
        goes_back = table.losses > table.entries
        return int(np.argmax(np.where(goes_back, table.norms, -1.0) if goes_back.any() else table.norms))

    def edge(self, tail: str, head: str) -> EdgeName:
        """The first edge between two nodes."""
        return tail, head, next(iter(self.timeline.graph[tail][head]))


@many_objects()
def scene(run: Run, detail: str, losses: Sequence[str], target: str, like: Scene | None = None) -> Scene:
    """Everything the screen needs, parts taken over from the scene before where they stay the same.

    Raises UnknownName, with the nearest name, for an unknown level of detail, loss or target.
    """
    graph = run.level(detail, target)
    if like is not None and like.timeline.graph is graph and like.losses == tuple(losses):
        steps, where, wires = like.timeline, like.layout, like.wires
    else:
        steps, where = timeline(graph, losses), layout(graph)
        wires = all_wires(where, graph.edges(keys=True))
    names = {place: name for name, place in where.nodes.items()}
    copies = {place: edge for edge, place in where.copies.items()}
    names.update({place: edge[0] for place, edge in copies.items()})
    columns: list[list[int]] = [[] for _ in where.rows]
    for place in sorted(names, key=lambda place: place.column):
        columns[place.row].append(place.column)
    return Scene(
        run,
        detail,
        tuple(losses),
        target,
        steps,
        where,
        wires,
        names,
        copies,
        tuple(map(tuple, columns)),
        max((cell_len(symbol_of(node)) for _, node in graph.nodes(data=True)), default=0),
        _list_paths(run, detail, losses, target),
    )


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
