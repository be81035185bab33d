"""Answers found another way, for the tests to compare with.

`bptt` is backpropagation through time written out for the article's network, one instance at a time.
`all_paths` walks every path of a graph by recursion, with explicit local matrices of Python integers.
Neither uses the package's Jacobians, sweeps or counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import networkx as nx
import numpy as np

import unrollviz as uz

SLOPES = {
    "tanh": lambda a: 1.0 / np.cosh(a) ** 2,
    "sigmoid": lambda a: 0.25 / np.cosh(a / 2) ** 2,
    "relu": lambda a: (a > 0) * 1.0,
    "identity": np.ones_like,
}
VALUES = {
    "tanh": np.tanh,
    "sigmoid": lambda a: 0.5 * (1.0 + np.tanh(a / 2)),
    "relu": lambda a: a * (a > 0),
    "identity": lambda a: a,
}


@dataclass(frozen=True)
class ByHand:
    """`terms[param][t, k]` is the temporal component of loss t that enters at step k: (T + 1, T + 1, *shape).

    `sizes[param]` is the sum of the norms of what each instance adds to them: rounding is in proportion to it, also
    where instances cancel."""

    losses: np.ndarray
    terms: dict[str, np.ndarray]
    sizes: dict[str, float]

    def gradient(self, param: str) -> np.ndarray:
        return self.terms[param].sum(axis=(0, 1))


def bptt(run: uz.Run) -> ByHand:
    """The article's derivation: ∂L_t/∂W = Σ_k ∂L_t/∂s_t Π_j (∂s_j/∂s_{j-1}) ∂⁺s_k/∂W, for U and b likewise.

    k steps count from 1; V and c have one term for each t, at k = t."""
    p, T, B = run.network.params, run.steps, run.instances
    value, slope = VALUES[run.network.activation], SLOPES[run.network.activation]
    losses = np.zeros(T)
    terms = {name: np.zeros((T + 1, T + 1, *p[name].shape)) for name in p}
    sizes = dict.fromkeys(p, 0.0)

    def add(name: str, t: int, k: int, term: np.ndarray) -> None:
        terms[name][t, k] += term
        sizes[name] += float(np.linalg.norm(term))

    for instance in range(B):
        states, slopes = [run.initial["s0"][instance]], [np.nan]
        for t in range(1, T + 1):
            a = p["U"] @ run.inputs[t - 1, instance] + p["W"] @ states[-1] + p["b"]
            states.append(value(a))
            slopes.append(slope(a))
        for t in range(1, T + 1):
            z, wanted = p["V"] @ states[t] + p["c"], run.targets[t - 1, instance]
            log_yhat = -np.array([np.logaddexp.reduce(z - z_j) for z_j in z])
            losses[t - 1] -= (wanted @ log_yhat) / B
            at_logits = error_of(np.exp(log_yhat), wanted) / B
            add("V", t, t, np.outer(at_logits, states[t]))
            add("c", t, t, at_logits)
            at_state = at_logits @ p["V"]
            for k in range(t, 0, -1):
                at_a = at_state * slopes[k]
                add("W", t, k, np.outer(at_a, states[k - 1]))
                add("U", t, k, np.outer(at_a, run.inputs[k - 1, instance]))
                add("b", t, k, at_a)
                at_state = at_a @ p["W"]
    return ByHand(losses, terms, sizes)


def error_of(yhat: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """ŷ - p for p of sum 1, summed as ŷ_j Σ_{i≠j} p_i - p_j Σ_{i≠j} ŷ_i, which keeps its digits where ŷ is near p."""
    others = 1.0 - np.eye(len(yhat))
    return yhat * (others @ wanted) - wanted * (others @ yhat)


@dataclass(frozen=True)
class WalkedPath:
    """Nodes from the loss to the target, the edge keys between them, and the term as whole numbers."""

    nodes: tuple[str, ...]
    keys: tuple[int, ...]
    term: np.ndarray


def all_paths(graph: nx.MultiDiGraph, losses: list[str], target: str) -> list[WalkedPath]:
    """Every path from the losses to the target, by recursion, with exact terms of the target's shape."""
    shape = graph.nodes[target]["value"].shape
    reaching = nx.descendants(graph, target)

    @cache
    def matrix(head: str, tail: str, key: int) -> np.ndarray:
        return local_matrix(graph, head, tail, key)

    def walk(nodes: tuple[str, ...], keys: tuple[int, ...], row: np.ndarray) -> Iterator[WalkedPath]:
        head = nodes[-1]
        if head == target:
            yield WalkedPath(nodes, keys, row.reshape(shape))
            return
        for tail, _, key in graph.in_edges(head, keys=True):
            if tail == target or tail in reaching:
                yield from walk((*nodes, tail), (*keys, key), row @ matrix(head, tail, key))

    one = np.array([1], dtype=object)
    return [path for loss in losses for path in walk((loss,), (), one)]


def local_matrix(graph: nx.MultiDiGraph, head: str, tail: str, key: int) -> np.ndarray:
    """∂head/∂(argument number `key`), (entries of head, entries of tail), as Python integers.

    Every op but relu is linear in one argument at a time, so that a difference of 1 is its exact derivative."""
    arguments = sorted((k, t) for t, _, k in graph.in_edges(head, keys=True))
    values = [whole(graph.nodes[name]["value"]) for _, name in arguments]
    op, moved = graph.nodes[head]["op"], values[key]
    if op == "relu":
        return np.diag([int(entry > 0) for entry in moved.ravel()]).astype(object)
    if op == "weighted_sum":
        weights = graph.edges[tail, head, key]["jacobian"].row  # the constant of the op; kept nowhere else
        return whole(weights).reshape(1, -1)
    here = compute(op, values)
    columns = []
    for entry in range(moved.size):
        step = moved.copy()
        step.flat[entry] += 1
        ahead = compute(op, [*values[:key], step, *values[key + 1 :]])
        columns.append((ahead - here).ravel())
    return np.stack(columns, axis=1)


def compute(op: str, values: list[np.ndarray]) -> np.ndarray:
    """The op on arrays of Python integers."""
    if op == "matvec":
        return values[1] @ values[0].T
    if op == "mul":
        return values[0] * values[1]
    if op == "add":
        return sum(values[1:], start=values[0])
    assert op == "identity"
    return values[0]


def whole(values: np.ndarray) -> np.ndarray:
    """Python integers in place of floats that are whole numbers."""
    flat = np.array([int(value) for value in np.ravel(values)], dtype=object)
    assert all(float(number) == value for number, value in zip(flat, np.ravel(values), strict=True))
    return flat.reshape(np.shape(values))
