"""A view: everything that a picture is asked to show, checked and worked out. `Run.draw` and `render` make one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import graphviz
import networkx as nx

from unrollviz.draw.dot import picture
from unrollviz.draw.engine import ENGINES
from unrollviz.draw.layout import EdgeName
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.gradient import edge_shares
from unrollviz.graph import Graph
from unrollviz.paths import Path, PathSet

if TYPE_CHECKING:
    from unrollviz.api import Run

COLOURINGS: dict[str, str] = {"share": "every edge by the share of all paths through it"}
"""What `color_by` may name, and what it does."""


@dataclass(frozen=True, eq=False)
class View:
    """What is shown.

    Attributes:
        run: the unrolled network.
        graph: its graph at the level of detail.
        losses, target: whose paths are spoken of: those from these losses back to this parameter or node.
        path: the path that is highlighted, None for none.
        color_by: one of COLOURINGS, or None.
        title: a line above.
        engine: who draws, one of `engine.ENGINES`.
    """

    run: Run
    graph: Graph
    detail: str
    losses: tuple[str, ...]
    target: str
    path: Path | None = None
    color_by: str | None = None
    title: str | None = None
    engine: str = "pygraphviz"

    @cached_property
    def paths(self) -> PathSet:
        """All paths from the losses to the target, counted, not walked."""
        return self.run.paths(self.losses, self.target, detail=self.detail)

    @cached_property
    def shares(self) -> Mapping[EdgeName, float] | None:
        """(tail, head, key) -> share of all paths through the edge, where the colouring shows it."""
        return edge_shares(self.graph, self.losses, self.target) if self.color_by == "share" else None

    def picture(self) -> graphviz.Digraph:
        """The picture in DOT: a `graphviz.Digraph` with every position given."""
        return picture(self.graph, highlight=self.path, shares=self.shares, title=self.title)


def view(
    run: Run,
    highlight: Path | Sequence[str] | None = None,
    *,
    target: str | None = None,
    losses: str | Sequence[str] | None = None,
    detail: str = "state",
    color_by: str | None = None,
    title: str | None = None,
    engine: str = "pygraphviz",
) -> View:
    """The view that is asked for. Raises UnknownName, UnrollvizError where there is none such."""
    chosen = run.loss_names(losses)
    if color_by is not None and color_by not in COLOURINGS:
        raise UnknownName("colouring", str(color_by), COLOURINGS)
    if engine not in ENGINES:
        raise UnknownName("engine", engine, ENGINES)
    if highlight is None or isinstance(highlight, Path):
        path = highlight
    else:
        path = run.paths(highlight[0], highlight[-1], detail=detail).find(highlight)
    aim = path.nodes[-1] if path else target or run.recurrent_weight
    # a path set checks the name of its target, and the graph is the one that its paths are in
    graph = run.paths(chosen, aim, detail=detail).graph
    if path is not None and not nx.is_path(graph, path.nodes[::-1]):
        raise UnrollvizError(f"the path is not one of level {detail}; draw it at the level at which it was listed")
    return View(run, graph, detail, tuple(chosen), aim, path, color_by, title, engine)
