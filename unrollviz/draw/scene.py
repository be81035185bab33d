"""All that one picture shows, worked out, before it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from unrollviz.draw.colouring import Paint
from unrollviz.draw.highlight import Highlight
from unrollviz.draw.span import Folded
from unrollviz.draw.style import LIGHT, Theme
from unrollviz.graph import Graph
from unrollviz.paths.pathset import Path


@dataclass(frozen=True)
class Scene:
    """What is drawn.

    Attributes:
        whole: the graph at its level of detail.
        folded: what of it is drawn.
        path: the highlighted path;  group: the highlighted group, where it is no single path.
        of: whose share is spoken of, `∂L/∂W`.
        paint: what colours say.
        theme: the colours.
        title: a line above;  notes: lines below it.
        values: whether nodes show their values.
        spans: time of a folded span -> what is written on it.
    """

    whole: Graph
    folded: Folded
    path: Path | None = None
    group: Highlight | None = None
    of: str = ""
    paint: Paint | None = None
    theme: Theme = LIGHT
    title: str | None = None
    notes: tuple[str, ...] = ()
    values: bool = False
    spans: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """The graph as it is drawn."""
        return self.folded.graph

    @property
    def highlights(self) -> bool:
        """Whether something is highlighted, so that the rest is muted."""
        return self.path is not None or self.group is not None
