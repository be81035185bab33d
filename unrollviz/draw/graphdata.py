"""The graph as data for other programs: plain attributes, GraphML and node-link JSON that networkx reads back."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import numpy as np

from unrollviz.draw.layout import EdgeName
from unrollviz.draw.view import View
from unrollviz.gradient import edge_shares
from unrollviz.graph import Graph
from unrollviz.names import derivative, storable
from unrollviz.paths import Path

NUMBERS = 10_000
"""Values of more numbers than that are left out; their shape and norm are always there."""


def plain(graph: Graph, path: Path | None = None, shares: Mapping[EdgeName, float] | None = None) -> Graph:
    """`graph` with attributes that any program understands: text, numbers and lists of numbers.

    Nodes: op, role, time, layer, label, symbol, shape, norm, value, and path, their place on `path` from 1 at the loss.
    Edges: derivative (typeset), argument (which one of the head), kind and norm of the Jacobian, share where `shares`
    are given. What a node or an edge has not is left out.
    """
    found = nx.MultiDiGraph()
    places = {name: place for place, name in enumerate(path.nodes, start=1)} if path else {}
    for name, node in graph.nodes(data=True):
        value = np.asarray(node["value"])
        attributes = {
            **{key: node.get(key) for key in ("op", "role", "time", "layer", "label", "symbol")},
            "shape": list(value.shape),
            "norm": float(np.linalg.norm(value)),
            "value": value.tolist() if value.size <= NUMBERS else None,
            "path": places.get(name),
        }
        found.add_node(name, **_there(attributes))
    for tail, head, key, jacobian in graph.edges(keys=True, data="jacobian"):
        share = shares.get((tail, head, key), 0.0) if shares else None  # no shares at all: the gradient is 0
        attributes = {
            "derivative": derivative(head, tail, direct=not jacobian.per_instance),
            "argument": key,
            "kind": type(jacobian).__name__,
            "norm": float(jacobian.norm()),
            "share": share,
        }
        found.add_edge(tail, head, key=key, **_there(attributes))
    return found


def _there(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if value is not None}


def _of(view: View) -> Graph:
    options, paths = view.options, view.paths
    shares = edge_shares(view.graph, paths.losses, paths.target) if options.get("color_by") == "share" else None
    graph = plain(view.graph, view.path, shares)
    about = {"cell": view.run.network.cell, "detail": options.get("detail", "state"), "title": options.get("title")}
    graph.graph.update(_there(about | {"steps": view.run.steps, "loss": float(view.run.loss)}))
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
        flat.add_node(storable(name), **_flat(attributes))
    for number, (tail, head, attributes) in enumerate(graph.edges(data=True)):
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
