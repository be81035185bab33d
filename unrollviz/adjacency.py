"""Nodes and edges of an `nx.MultiDiGraph` put in, and gone through, where there are very many of them.

networkx guards every call against what an unrolled network never does (None as a node, keys to be made up, caches of
back ends to be cleared), and gives every look at a neighbourhood a view of its own: together a third of the time that
unrolling a long sequence takes. What is written here is what `add_node` and `add_edge` write; a test holds one against
the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import networkx as nx

Neighbours = Mapping[str, Mapping[str, Mapping[int, dict[str, Any]]]]
"""node -> neighbour -> key -> the edge's attributes"""


def put_node(graph: nx.MultiDiGraph, name: str, attributes: dict[str, Any]) -> None:
    """`graph.add_node(name, **attributes)` for a node that is not there yet; the dict is kept as it is."""
    graph._succ[name] = {}
    graph._pred[name] = {}
    graph._node[name] = attributes


def put_edge(graph: nx.MultiDiGraph, tail: str, head: str, key: int, attributes: dict[str, Any]) -> None:
    """`graph.add_edge(tail, head, key, **attributes)` for an edge that is not there yet, between nodes that are."""
    tails = graph._pred[head]
    if tail in tails:  # which are few, where the heads of a parameter are many
        tails[tail][key] = attributes
    else:
        graph._succ[tail][head] = tails[tail] = {key: attributes}


def arguments(graph: nx.MultiDiGraph) -> Neighbours:
    """`graph.pred` without its views: node -> its arguments."""
    found: Neighbours = graph._pred
    return found


def nodes(graph: nx.MultiDiGraph) -> Mapping[str, dict[str, Any]]:
    """`graph.nodes` without its views: node -> its attributes."""
    found: Mapping[str, dict[str, Any]] = graph._node
    return found
