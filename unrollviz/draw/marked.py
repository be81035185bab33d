"""What of a picture belongs to what is highlighted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from unrollviz.draw.geometry import Paper
from unrollviz.draw.highlight import edges_of
from unrollviz.draw.layout import EdgeName, Place
from unrollviz.draw.scene import Scene


@dataclass(frozen=True)
class Marked:
    """What of a picture belongs to the highlighted path or group.

    Attributes:
        nodes: a path's nodes that are shown, numbered from 1 at the loss; a group's, all 0.
        edges: as they are drawn; of a path from the loss back.
        copies: the places of the parameter's copies that they end in.
        steps: the steps that are visited.
    """

    nodes: Mapping[str, int] = field(default_factory=dict)
    edges: tuple[EdgeName, ...] = ()
    copies: frozenset[Place] = frozenset()
    steps: frozenset[int] = frozenset()


def mark(scene: Scene, paper: Paper) -> Marked:
    """What the highlight visits in this picture. Raises KeyError where its path is not one of the graph."""
    graph, whole, drawn = scene.graph, scene.whole, scene.folded.drawn
    if not scene.highlights:
        return Marked()
    real = edges_of(whole, scene.path) if scene.path else list(scene.group.edges if scene.group else ())
    seen = dict.fromkeys(drawn.get(edge, edge) for edge in real)
    edges = tuple(edge for edge in seen if graph.has_edge(*edge))
    if scene.path:
        order = {name: place for place, name in enumerate(scene.path.nodes, start=1)}
    else:
        order = {name: 0 for tail, head, _ in edges for name in (head, tail)}
    times = {whole.nodes[name]["time"] for edge in real for name in edge[:2]}
    return Marked(
        nodes={name: place for name, place in order.items() if name in paper.boxes},
        edges=edges,
        copies=frozenset(paper.places.copies[edge] for edge in edges if edge in paper.places.copies),
        steps=frozenset(time for time in times if time is not None),
    )
