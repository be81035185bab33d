"""What the page knows, as one JSON object: nodes, edges, paths, the matrix M[t,k], flows, and the replay.

Numbers are exact, and rounded where the page shows them; text is cleaned, and shown as nothing but text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from unrollviz.arrays import Array
from unrollviz.draw.dot import Drawing
from unrollviz.draw.highlight import edges_of
from unrollviz.draw.layout import EdgeName
from unrollviz.draw.page.replay import Moment, Replay
from unrollviz.draw.span import Folded
from unrollviz.draw.style import MEANINGS
from unrollviz.draw.text import integer
from unrollviz.flows.flow import Flow
from unrollviz.graph import Graph, edge_norm, formula, names_of
from unrollviz.jacobians import frobenius
from unrollviz.names import clean, derivative, loss_sum, typeset
from unrollviz.paths.pathset import Heaviest, Path, PathSet

Json: TypeAlias = dict[str, Any]

LISTED = 1500
"""Paths that a page lists one by one; of more it has the heaviest."""

TOP = 100
"""How many of the heaviest."""

SIDE = 64
"""Squares of the matrix a side, and bars of a flow; where there are more steps, a square stands for several."""

ENTRIES = 24
"""Entries of a value that are in the page; its norm is that of all."""

TERM_ENTRIES = 60_000
"""Entries of all terms together that a page may have."""


@dataclass(frozen=True)
class Drawn:
    """What is in the picture.

    Attributes:
        nodes: node -> id of its shape.
        edges: edge of the graph -> id of the line that stands for it.
        spans: folded times, first and last -> id of the box that stands for them.
    """

    nodes: Mapping[str, str]
    edges: Mapping[EdgeName, str]
    spans: Mapping[tuple[int, int], str]

    @classmethod
    def of(cls, drawing: Drawing, folded: Folded) -> Drawn:
        """What a drawing shows of a graph of which some steps are folded."""
        lines = {edge: f"e{index + 1}" for edge, index in drawing.lines.items()}
        edges = {edge: line for edge, line in lines.items() if edge not in folded.merged}
        edges |= {edge: lines[seen] for edge, seen in folded.drawn.items()}
        nodes = {name: drawing.ids[name] for name in folded.graph if folded.graph.nodes[name]["role"] != "fold"}
        boxes = [shape.id for shape in drawing.sheet.shapes if shape.kind == "span" and not shape.align]
        times = ((span.times[0], span.times[-1]) for span in folded.spans.values())
        return cls(nodes, edges, dict(zip(sorted(times), boxes, strict=True)))


@dataclass(frozen=True)
class Chosen:
    """What the page opens with: a path, or the `edges` of a group; `words` say which."""

    path: Path | None
    edges: tuple[EdgeName, ...]
    words: str


class Content:
    """Collects what the page knows. Nodes and edges get numbers, in the order in which they are first needed."""

    def __init__(self, graph: Graph, whole: Graph, drawn: Drawn, replay: Replay) -> None:
        self.graph, self.whole, self.drawn, self.replay = graph, whole, drawn, replay
        self._nodes: dict[str, int] = {}
        self._edges: dict[EdgeName, int] = {}

    def json(self, paths: PathSet, flows: Mapping[str, Flow], chosen: Chosen | None) -> Json:
        """Everything; `flows` are by temporal, lag and loss."""
        for name in self.drawn.nodes:
            self._node(name)
        for edge in self.drawn.edges:
            self._edge(edge)
        listed = _listed(paths)
        table, selected = _with_chosen(listed, chosen)
        size = paths.gradient.size
        terms = size <= 2 * ENTRIES and size * len(table) <= TERM_ENTRIES
        ranked = paths.listable
        rows = [
            self._path(path, path.rank + 1 if ranked else place, terms) for place, path in enumerate(table, start=1)
        ]
        moments = [self._moment(moment) for moment in self.replay.moments]
        return {
            "symbol": derivative(losses_of(paths), paths.target),
            "source": typeset(losses_of(paths)),
            "target": self._node(paths.target),
            "count": str(paths.count),
            "total": {"norm": exact(paths.total_norm), "term": entries(paths.gradient) if terms else None},
            "cancellation": exact(paths.cancellation) if paths.listable else None,
            "heaviest": _certificate(paths, listed) if isinstance(listed, Heaviest) else None,
            "selected": selected,
            "group": None if chosen is None or chosen.path else self._group(chosen),
            "spans": [{"first": first, "last": last, "id": name} for (first, last), name in self.drawn.spans.items()],
            "paths": rows,
            "matrix": matrix(flows["temporal"]),
            "flows": {name: bars(flow) for name, flow in flows.items() if name != "temporal"},
            "moments": moments,
            "nodes": [self._about(name) for name in self._nodes],
            "edges": [self._line(edge) for edge in self._edges],
        }

    def _node(self, name: str) -> int:
        return self._nodes.setdefault(name, len(self._nodes))

    def _edge(self, edge: EdgeName) -> int:
        self._node(edge[0])
        self._node(edge[1])
        return self._edges.setdefault(edge, len(self._edges))

    def _path(self, path: Path, place: int, terms: bool) -> Json:
        """`place` is its number among all paths, or where those have too many digits in this list; `edges` run from the
        loss back; `running` are the norms of the products of the first 1, 2, … factors."""
        return {
            "place": place,
            "edges": [self._edge(edge) for edge in edges_of(self.graph, path)],
            "loss": self.graph.nodes[path.loss]["time"],
            "entry": path.entry,
            "lag": path.lag,
            "norm": exact(path.norm),
            "share": exact(path.share),
            "running": [exact(norm) for norm in path.running_norms],
            "term": entries(path.term) if terms else None,
        }

    def _group(self, chosen: Chosen) -> Json:
        return {"words": clean(chosen.words), "edges": [self._edge(edge) for edge in chosen.edges]}

    def _moment(self, moment: Moment) -> Json:
        """Of a folded span only what is seen outside of it."""
        seen = [name for name in moment.nodes if name in self.drawn.nodes]
        drawn = self.drawn
        handed = [hand for hand in moment.handed if hand.edge[0] in drawn.nodes or hand.edge in drawn.edges]
        last = {hand.edge[0]: hand for hand in handed} if len(moment.nodes) > 1 else None
        told = handed if last is None else last.values()
        return {
            "phase": moment.phase,
            "nodes": [self._node(name) for name in seen],
            "hidden": len(moment.nodes) - len(seen),
            "handed": [[self._edge(hand.edge), exact(hand.norm)] for hand in told],
        }

    def _about(self, name: str) -> Json:
        """A node: `value` and `cotangent` by their first entries, `norm` and `cotangent_norm` of all of them."""
        node = self.graph.nodes[name]
        value, cotangent = np.asarray(node["value"]), self.replay.cotangents.get(name)
        about: Json = {
            "id": self.drawn.nodes.get(name),
            "name": clean(name),
            "label": clean(node["label"]),
            "kind": MEANINGS[node["role"]],
            "time": node["time"],
            "shape": list(value.shape),
            "value": entries(value),
            "norm": exact(frobenius(value)),
            "cotangent": None if cotangent is None else entries(cotangent),
            "cotangent_norm": None if cotangent is None else exact(frobenius(cotangent)),
        }
        if "symbol" in node:
            about["symbol"] = clean(node["symbol"])
        if node["op"] is not None and name in self.drawn.nodes:
            about["formula"] = clean(formula(self.whole, name, stop=self.graph), 400)
        return about

    def _line(self, edge: EdgeName) -> Json:
        tail, head, _ = edge
        jacobian = self.graph.edges[edge]["jacobian"]
        return {
            "id": self.drawn.edges.get(edge),
            "tail": self._nodes[tail],
            "head": self._nodes[head],
            "symbol": clean(derivative(head, tail, direct=not jacobian.per_instance)),
            "norm": exact(edge_norm(self.graph, edge)),
        }


def matrix(flow: Flow) -> Json:
    """M[t,k] as `cells` [t, k, norm, log₁₀ norm, share, paths]; of more than SIDE steps squares of `bin` × `bin` steps,
    named by their first, with the largest norm in them, the sum of the shares and the number of all paths."""
    if not len(flow.norms):
        return {"bin": 1, "cells": []}
    low, high = int(flow.labels.min()), int(flow.labels.max())
    size = -(-(high - low + 1) // SIDE)
    return {"bin": size, "cells": _binned(flow, low, size)}


def bars(flow: Flow) -> Json:
    """A flow of one column as `cells` [label, norm, log₁₀ norm, share, paths], several labels a bar past 2 · SIDE."""
    if not len(flow.norms):
        return {"bin": 1, "cells": []}
    low, high = int(flow.labels.min()), int(flow.labels.max())
    size = -(-(high - low + 1) // (2 * SIDE))
    return {"bin": size, "cells": _binned(flow, low, size)}


def _binned(flow: Flow, low: int, size: int) -> list[list[Any]]:
    places, where = np.unique((flow.labels - low) // size, axis=0, return_inverse=True)
    where = where.reshape(-1)
    norms, logs, shares = (np.full(len(places), start) for start in (0.0, -np.inf, 0.0))
    counts = np.zeros(len(places), dtype=object)
    np.maximum.at(norms, where, flow.norms)
    np.maximum.at(logs, where, flow.log10_norms)
    np.add.at(shares, where, flow.shares)
    np.add.at(counts, where, np.array(flow.counts, dtype=object))
    columns = ((low + size * places).tolist(), norms.tolist(), logs.tolist(), shares.tolist(), counts)
    return [
        [*place, exact(norm), exact(round(log, 4)), exact(share), integer(count)]
        for place, norm, log, share, count in zip(*columns, strict=True)
    ]


def entries(value: Array) -> Any:
    """The entries as nested lists, every number exact; of many the first ENTRIES, in a row."""
    if value.size > 2 * ENTRIES:
        value = value.reshape(-1)[:ENTRIES]
    return _exact_lists(value.tolist())


def exact(value: float) -> float | None:
    """The number, null where it is undefined or infinite: JSON has no word for those."""
    return float(value) if math.isfinite(value) else None


def _exact_lists(values: Any) -> Any:
    return [_exact_lists(value) for value in values] if isinstance(values, list) else exact(values)


def _listed(paths: PathSet) -> Sequence[Path]:
    return list(paths) if paths.count <= LISTED else paths.top(TOP)


def _with_chosen(listed: Sequence[Path], chosen: Chosen | None) -> tuple[Sequence[Path], int | None]:
    """The paths of the table, the chosen one added where it is not among them, and its index."""
    if chosen is None or chosen.path is None:
        return listed, None
    nodes = chosen.path.nodes
    index = next((index for index, path in enumerate(listed) if path.nodes == nodes), None)
    return (listed, index) if index is not None else ([*listed, chosen.path], len(listed))


def _certificate(paths: PathSet, found: Heaviest[Path]) -> Json:
    return {
        "exact": found.exact,
        "bound": exact(found.bound),
        "certain": found.certain,
        "expansions": found.expansions,
        "coverage": exact(found.coverage),
        "residual": exact(found.residual),
        "counted": integer(paths.count),
    }


def losses_of(paths: PathSet) -> str:
    """`L4`, `L3+L4` of some, `L` of all."""
    return loss_sum(paths.losses, len(names_of(paths.graph, "loss")))
