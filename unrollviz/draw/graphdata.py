"""The graph as data for other programs: plain attributes, GraphML and node-link JSON that networkx reads back."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import numpy as np

from unrollviz.arrays import beat
from unrollviz.draw.colouring import Paint
from unrollviz.draw.highlight import Highlight, of_losses
from unrollviz.draw.layout import EdgeName
from unrollviz.draw.view import View
from unrollviz.graph import Graph, edge_norm
from unrollviz.names import derivative, storable

NUMBERS = 10_000
"""Values of more numbers than that are left out; their shape and norm are always there."""


ATTRIBUTES = {"value": "rms"}
"""Colouring -> the attribute that says the same, where it is not called the same: a node's `value` is all of it."""


def plain(graph: Graph, highlight: Highlight | None = None, paint: Mapping[str, Paint] | None = None) -> Graph:
    """`graph` with attributes that any program understands: text, numbers and lists of numbers.

    Nodes: op, role, time, layer, label, symbol, shape, norm, value, and path, their place on a highlighted path from 1
    at the loss. Edges: derivative (typeset), argument (which one of the head), kind and norm of the Jacobian; on edges
    that a highlighted path crosses, highlighted, and highlighted_share of those that do. Every attribute in `paint` is
    that of the edges or nodes that it has. What a node or an edge has not is left out.
    """
    found = nx.MultiDiGraph()
    path, marked = (highlight.path, highlight.edges) if highlight else (None, {})
    places = {name: place for place, name in enumerate(path.nodes, start=1)} if path else {}
    painted = paint or {}
    for name, node in graph.nodes(data=True):
        beat()
        value = np.asarray(node["value"])
        attributes = {
            **{key: node.get(key) for key in ("op", "role", "time", "layer", "label", "symbol")},
            "shape": list(value.shape),
            "norm": float(np.linalg.norm(value)),
            "value": value.tolist() if value.size <= NUMBERS else None,
            "path": places.get(name),
            **{key: paint.nodes.get(name) for key, paint in painted.items() if paint.nodes},
        }
        found.add_node(name, **_there(attributes))
    for tail, head, key, jacobian in graph.edges(keys=True, data="jacobian"):
        beat()
        edge = (tail, head, key)
        share = marked.get(edge)
        attributes = {
            "derivative": derivative(head, tail, direct=not jacobian.per_instance),
            "argument": key,
            "kind": type(jacobian).__name__,
            "norm": edge_norm(graph, edge),
            "highlighted": edge in marked or None,
            "highlighted_share": share if share == share else None,
            **{key: _of_edge(paint, edge) for key, paint in painted.items() if paint.edges},
        }
        found.add_edge(tail, head, key=key, **_there(attributes))
    return found


def _there(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if value is not None}


def _of_edge(paint: Paint, edge: EdgeName) -> float | None:
    return paint.edges.get(edge, 0.0 if paint.signed else None)


def _of(view: View) -> Graph:
    """The graph of a view; what else is asked for are attributes of the whole."""
    options, colour, asked = view.options, view.options.get("color_by"), view.highlight
    painted = {} if colour is None or view.paint is None else {ATTRIBUTES.get(colour, colour): view.paint}
    graph = plain(view.graph, asked, painted)
    about = {
        "cell": view.run.network.cell,
        "detail": options.get("detail", "state"),
        "steps": view.run.steps,
        "loss": float(view.run.loss),
        "title": options.get("title"),
        "caption": options.get("caption"),
        "parameters": view.run.network.count_parameters().total if options.get("parameters") else None,
        "color_by": next(iter(painted), None),
    }
    if asked is not None:
        figures = {"count": str(asked.sum.count), "norm": asked.sum.norm, "share": asked.sum.share}
        finite = {key: value for key, value in figures.items() if value == value}
        about |= {"highlight": asked.words} | {f"highlight_{key}": value for key, value in finite.items()}
    if asked is not None or colour is not None:
        about |= {"gradient": of_losses(view.run, view.paths)}
    graph.graph.update(_there(about))
    return graph


def node_link(view: View) -> bytes:
    """The graph of a view as node-link JSON."""
    return as_node_link(_of(view))


def graphml(view: View) -> bytes:
    """The graph of a view as GraphML."""
    return as_graphml(_of(view))


def as_node_link(graph: Graph) -> bytes:
    """A plain graph as JSON; `networkx.node_link_graph(json.load(file), edges="edges")` reads it back, keys and all."""
    return (json.dumps(nx.node_link_data(graph, edges="edges"), allow_nan=False) + "\n").encode("utf-8")


def as_graphml(graph: Graph) -> bytes:
    """A plain graph as GraphML; `networkx.read_graphml(file, force_multigraph=True)` reads it back: shapes and values
    as JSON text, the keys of edges as their `argument`."""
    flat = nx.MultiDiGraph(**_flat(graph.graph))
    for name, attributes in graph.nodes(data=True):
        beat()
        flat.add_node(storable(name), **_flat(attributes))
    for number, (tail, head, attributes) in enumerate(graph.edges(data=True)):
        beat()
        # An id of its own for every edge: GraphML wants them unique, and keys are not.
        flat.add_edge(storable(tail), storable(head), key=number, **_flat(attributes))
    file = io.BytesIO()
    nx.write_graphml(flat, file, encoding="utf-8")
    ElementTree.fromstring(file.getvalue())  # what cannot be read is not written
    return file.getvalue()


def _flat(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as GraphML has them: text that XML allows, numbers; shapes and values as JSON."""
    return {
        key: json.dumps(value) if key in ("shape", "value") else storable(value) if isinstance(value, str) else value
        for key, value in attributes.items()
    }
