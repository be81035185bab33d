"""Which steps a picture shows, and the graph in which the others are folded: "⋯ 990 steps ⋯".

What of a folded span is seen from outside is one node a kind, through which edges enter and leave it: a ghost. All
figures are worked out on the whole graph; folding is a matter of drawing alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np

from unrollviz.draw.layout import EdgeName, kind_of
from unrollviz.errors import UnrollvizError
from unrollviz.graph import Graph
from unrollviz.names import clean

LONGEST = 20
"""Steps up to which a picture shows all of them where nothing else is asked for."""

ENDS = 3
"""Steps shown at either end of a longer sequence."""

_RANGE = re.compile(r"(\d+)(?:\.\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive times that are folded; `first` to `last` of them are steps of the sequence; none if first > last."""

    times: tuple[int, ...]
    first: int
    last: int

    @property
    def count(self) -> int:
        """How many steps."""
        return max(0, self.last - self.first + 1)


@dataclass(frozen=True)
class Folded:
    """A graph as it is drawn.

    Attributes:
        graph: shown nodes and ghosts; edges as in the whole graph, or between shown nodes and ghosts.
        spans: time of the ghosts -> the span that they stand for.
        merged: an edge that touches a ghost -> the edges of the whole graph that it stands for.
        drawn: an edge of the whole graph -> the one that stands for it; edges inside a span are left out.
    """

    graph: Graph
    spans: Mapping[int, Span]
    merged: Mapping[EdgeName, tuple[EdgeName, ...]]
    drawn: Mapping[EdgeName, EdgeName]


def steps_named(text: str, steps: int, option: str = "--steps") -> range:
    """`1..8` as the steps 1 to 8; `3` as that step. `option`: what the text was given for.

    Raises UnrollvizError where it is no range, or not one of the `steps` steps that there are."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise UnrollvizError(f"{option} '{clean(text)}' is no range of steps; give one as 1..8")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last <= steps:
        raise UnrollvizError(f"{option} {first}..{last}: choose from step 1 to step {steps}, the first one first")
    return range(first, last + 1)


def shown_times(
    graph: Graph,
    steps: int,
    chosen: Collection[int] | None = None,
    every: int | None = None,
    fold: bool = True,
    needed: Iterable[Iterable[int]] = (),
) -> set[int]:
    """The times that are shown.

    Args:
        steps: T.
        chosen: steps asked for; None for all.
        every: of those one in so many, from the first.
        fold: leave out the middle of a long sequence where nothing is asked for.
        needed: what a highlight visits, the most important first; shown as far as there is room.
    """
    times = {node["time"] for _, node in graph.nodes(data=True) if node["time"] is not None}
    wanted = set(range(1, steps + 1)) if chosen is None else set(chosen)
    if every is not None:
        first = min(wanted)
        shown = {step for step in wanted if (step - first) % every == 0}
        shown |= _with_room(shown, wanted, needed)
    elif chosen is None and fold and steps > LONGEST:
        shown = {*range(1, ENDS + 1), *range(steps - ENDS + 1, steps + 1)}
        shown |= _with_room(shown, wanted, needed)
        shown |= {step for step in wanted if {step - 1, step + 1} <= shown}  # a box would take as much room
    else:
        shown = wanted
    return {time for time in times if time in shown or (time < 1 and 1 in shown) or (time > steps and steps in shown)}


def _with_room(shown: set[int], wanted: set[int], needed: Iterable[Iterable[int]]) -> set[int]:
    """Those of the `needed` groups of steps that leave no more than LONGEST steps shown, as long as they do."""
    found = set(shown)
    for group in needed:
        more = found | (wanted & set(group))
        if len(more) <= LONGEST:
            found = more
    return found


def spans(times: Collection[int], shown: Collection[int], steps: int) -> list[Span]:
    """The runs of times that are not shown."""
    runs: list[list[int]] = []
    was_hidden = False
    for time in sorted(times):
        hidden = time not in shown
        if hidden and was_hidden:
            runs[-1].append(time)
        elif hidden:
            runs.append([time])
        was_hidden = hidden
    return [Span(tuple(run), max(run[0], 1), min(run[-1], steps)) for run in runs]


def folded(graph: Graph, shown: Collection[int], steps: int) -> Folded:
    """`graph` with every time that is not shown folded; the graph itself where all are."""
    times = {time for _, time in graph.nodes(data="time") if time is not None}
    runs = spans(times, shown, steps)
    if not runs:
        return Folded(graph, {}, {}, {})
    span_of = {time: span for span in runs for time in span.times}
    small: Graph = nx.MultiDiGraph()
    for name, node in graph.nodes(data=True):
        if node["time"] not in span_of:
            small.add_node(name, **node)
    merged: dict[EdgeName, list[EdgeName]] = {}
    drawn: dict[EdgeName, EdgeName] = {}

    def ghost(like: str, span: Span) -> str:
        """What is seen of the kind of node `like` in `span`."""
        kind = kind_of(like)
        name = f"{kind}⋯{span.times[0]}"
        if name not in small:
            layer = graph.nodes[like]["layer"]
            about = {"role": "fold", "kind": kind, "time": span.times[0], "layer": layer, "label": "⋯"}
            small.add_node(name, op=None, value=np.zeros(0), **about)
        return name

    for tail, head, key, data in _edges(graph):
        behind, ahead = span_of.get(graph.nodes[tail]["time"]), span_of.get(graph.nodes[head]["time"])
        if behind is None and ahead is None:
            small.add_edge(tail, head, key=key, **data)
        elif behind is not ahead and graph.nodes[tail]["role"] != "parameter":
            # what goes into a span is seen as what it is, not as what is made of it there
            start, end = ghost(tail, behind) if behind else tail, ghost(tail, ahead) if ahead else head
            edge = (start, end, 0 if ahead else key)
            if edge not in merged:
                small.add_edge(start, end, key=edge[2], jacobian=data["jacobian"])
            merged.setdefault(edge, []).append((tail, head, key))
            drawn[tail, head, key] = edge
    return Folded(small, {span.times[0]: span for span in runs}, {e: tuple(of) for e, of in merged.items()}, drawn)


def _edges(graph: Graph) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
    """All edges, head by head, so that every head's arguments keep their order."""
    for head in graph:
        for tail, parallel in graph.pred[head].items():
            for key, data in parallel.items():
                yield tail, head, key, data
