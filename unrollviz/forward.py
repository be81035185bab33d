"""Forward mode: tangents pushed from a node to all that is computed from it, the mirror of the sweep."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unrollviz.arrays import Array
from unrollviz.charts import divide
from unrollviz.graph import Graph, backward_edges
from unrollviz.stacks import Stack, merge, rescaled, times_power
from unrollviz.way import Edge, leading_to, scaled_nodes


def push_forward(graph: Graph, source: str, tangents: Array) -> Iterator[tuple[str, Array]]:
    """Forward mode: (node, tangents there) for `source` and every node computed from it, in order.

    `tangents` (R, *shape of `source`) are R directions, in the textbook's coordinates. The mirror of the sweep, with
    jvp in place of vjp; the independent check of its results."""
    return ((name, times_power(at.rows, at.exponents)) for name, at in forward_sweep(graph, source, tangents))


def forward_sweep(graph: Graph, source: str, tangents: Array) -> Iterator[tuple[str, Stack]]:
    """The same as stacks whose rows are scaled up where they have become small. A node's stack is dropped after its
    last use."""
    leads = leading_to(graph, frozenset([source]))
    last_use = {tail: head for head in graph if head in leads for tail in graph.pred[head]}
    labels, scaled = np.arange(len(tangents))[:, None], scaled_nodes(graph)
    scale = graph.nodes[source].get("scale")
    at = {source: Stack(labels, tangents if scale is None else divide(tangents, scale))}
    yield source, Stack(labels, tangents)
    for head in graph:
        if head not in leads:
            continue
        edges = [Edge(head, tail, key, jacobian) for tail, key, jacobian in backward_edges(graph, head) if tail in at]
        stacks = ((edge.jacobian, at[edge.tail]) for edge in edges)
        at[head] = merge([Stack(labels, jacobian.jvp(stack.rows), stack.exponents) for jacobian, stack in stacks])
        if head in scaled:
            at[head] = rescaled(at[head])
        yield head, at[head]
        for tail in graph.pred[head]:
            if tail != source and last_use[tail] == head:
                at.pop(tail, None)
