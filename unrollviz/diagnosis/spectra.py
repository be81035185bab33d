"""Spectra: how much a recurrent layer stretches what passes through a step, and through all of them.

The whole state counts: for a gated cell h and c together, a vector of D = 2 d. Rows are (R, B, D).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unrollviz.arrays import Array, arithmetic
from unrollviz.cells import CELLS
from unrollviz.graph import Graph, backward_edges
from unrollviz.jacobians import Jacobian
from unrollviz.network import Layer
from unrollviz.unrolled import Unrolled

BUDGET = 4e10
"""Multiply-adds that one layer's figures may take, a few seconds: past it fewer steps, or fewer directions."""

_SVD = 15
"""Singular values of a D × D matrix take about so many times D³."""

EXPONENTS = 4
"""How many Lyapunov exponents are worked out, the largest first."""

Mask = npt.NDArray[np.bool_]
Steps = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Link:
    """∂s_j/∂s_{j-1} of one layer at one step: the edges of level `state` between its states.

    Attributes:
        step: j.
        before: the step that it leads back to: j - 1, or j + 1 where a layer reads backwards.
        heads, tails: the states at `step` and at `before`, in the order of the cell.
        edges: (head, tail, Jacobian), in the order of the sweep.
        valid: (B,) instances whose sequence is still running.
    """

    step: int
    before: int
    heads: tuple[str, ...]
    tails: tuple[str, ...]
    edges: tuple[tuple[str, str, Jacobian], ...]
    valid: Mask

    def pull(self, rows: Array) -> Array:
        """Cotangents at s_j -> cotangents at s_{j-1}: (R, B, D) -> (R, B, D)."""
        at = dict(zip(self.heads, np.split(rows, len(self.heads), axis=2), strict=True))
        for head, tail, jacobian in self.edges:
            if head in at:
                pulled = jacobian.vjp(at[head])
                at[tail] = at[tail] + pulled if tail in at else pulled
        return self._joined(at, self.tails, rows)

    def push(self, tangents: Array) -> Array:
        """Tangents at s_{j-1} -> tangents at s_j: (R, B, D) -> (R, B, D)."""
        at = dict(zip(self.tails, np.split(tangents, len(self.tails), axis=2), strict=True))
        found: dict[str, Array] = {}
        for head, tail, jacobian in reversed(self.edges):
            source = at if tail in at else found
            if tail in source:
                pushed = jacobian.jvp(source[tail])
                found[head] = found[head] + pushed if head in found else pushed
        return self._joined(found, self.heads, tangents)

    def matrices(self) -> Array:
        """∂s_j/∂s_{j-1} of every instance: (B, D, D)."""
        size = self.edges[0][2].out_shape[1] * len(self.heads)
        return self.pull(identity_rows(len(self.valid), size)).transpose(1, 0, 2)

    def _joined(self, found: dict[str, Array], names: tuple[str, ...], like: Array) -> Array:
        zero = np.zeros((*like.shape[:2], like.shape[2] // len(names)))
        return np.concatenate([found.get(name, zero) for name in names], axis=2)


def identity_rows(instances: int, size: int) -> Array:
    """One row for every direction of the state, for every instance: (D, B, D)."""
    return np.repeat(np.eye(size)[:, None], instances, axis=1)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """How one layer, read in one direction, stretches its state. Norms are NaN where an instance has no such step.

    Attributes:
        layer: its number, counted from 1;  prefix: what its names begin with.
        state: the names of its states: `s`, or `h, c` together.
        last: the step at which its chain ends.
        size: D.
        steps: (m,) the steps j that were measured;  before: (m,) the step each leads back to.
        spectral, frobenius: (m, B) norms of ∂s_j/∂s_{j-1}.
        lengths: (m, B) number of steps that ∂s_last/∂s_before spans, 0 where there are none.
        log_product: (m, B) natural logarithm of ‖∂s_last/∂s_before‖₂; of the estimated Frobenius norm where
            `directions` is not D.
        log_product_frobenius: the same of the Frobenius norm.
        exponents: (e, B) Lyapunov exponents, the largest first; -inf where a direction dies.
        links: how many steps the chain has;  stride: every which of them was measured.
        directions: how many rows of the products were carried: D, or random ones.
    """

    layer: int
    prefix: str
    state: str
    last: int
    size: int
    steps: Steps
    before: Steps
    spectral: Array
    frobenius: Array
    lengths: Steps
    log_product: Array
    log_product_frobenius: Array
    exponents: Array
    links: int
    stride: int
    directions: int

    @property
    def exact(self) -> bool:
        """True where all steps and all directions were measured."""
        return self.stride == 1 and self.directions == self.size

    @property
    def growth(self) -> Array:
        """(B,) ‖∂s_last/∂s_first‖^(1/n): the geometric mean growth over its n steps; NaN where there are none."""
        found = np.full(self.spectral.shape[1], np.nan)
        for instance, spans in enumerate(self.lengths.T):
            if spans.max(initial=0) > 0:
                longest = int(spans.argmax())
                found[instance] = math.exp(self.log_product[longest, instance] / spans[longest])
        return found


def spectra(unrolled: Unrolled, level: Graph) -> list[Spectrum]:
    """The figures of every layer in each direction that has at least one step; `level` is the graph at level state."""
    found = []
    for layer in unrolled.network.stack:
        links = chain(unrolled, level, layer)
        if links:
            recurrent = (
                value.size
                for name, value in unrolled.network.params.items()
                if name.startswith(layer.prefix) and is_recurrent(name)
            )
            with arithmetic():
                found.append(_measured(unrolled, layer, links, sum(recurrent)))
    return found


def is_recurrent(name: str) -> bool:
    """Whether a parameter multiplies the state of the step before: W, or one gate's."""
    return name.rpartition(".")[2].startswith("W")


def chain(unrolled: Unrolled, level: Graph, layer: Layer) -> list[Link]:
    """The links of a layer in the order in which it computes. An initial state that is a parameter is not one."""
    states, lengths = CELLS[unrolled.network.cell].states, unrolled.batch.lengths
    steps = range(1, len(unrolled.batch.inputs) + 1)
    links = []
    for step in steps if layer.direction == 1 else reversed(steps):
        before = step - layer.direction
        heads, tails = (tuple(f"{layer.prefix}{state}{at}" for state in states) for at in (step, before))
        if not all(name in level for name in heads + tails):
            continue
        if any(level.nodes[tail]["role"] == "parameter" for tail in tails):
            continue
        valid = step <= lengths
        if layer.direction == -1:  # an instance that ends at this step begins here
            valid = valid & ((before <= lengths) | (step == steps[-1]))
        edges = tuple(
            (head, tail, jacobian)
            for head in reversed(_ordered(level, heads))
            for tail, _, jacobian in backward_edges(level, head)
            if tail in heads or tail in tails
        )
        if edges and valid.any():
            links.append(Link(step, before, heads, tails, edges, valid))
    return links


def _ordered(level: Graph, names: tuple[str, ...]) -> list[str]:
    """`names` so that each stands behind those that it is computed from."""
    return sorted(names, key=lambda name: sum(other in level.pred[name] for other in names))


def _measured(unrolled: Unrolled, layer: Layer, links: list[Link], weights: int) -> Spectrum:
    states = CELLS[unrolled.network.cell].states
    instances, size = unrolled.instances, unrolled.network.hidden * len(states)
    stride = max(1, math.ceil(len(links) * 2 * instances * (_SVD * size**3 + size * weights) / BUDGET))
    directions = min(size, max(8, int(BUDGET / (len(links) * 2 * instances * max(weights, 1)))))
    measured = set(range(len(links) - 1, -1, -stride)) | {0}
    norms = {place: _norms(links[place]) for place in measured}
    products = dict(_products(links, measured, instances, size, directions))
    places = sorted(measured)
    return Spectrum(
        layer.number,
        layer.prefix,
        ", ".join(states),
        links[-1].step,
        size,
        np.array([links[place].step for place in places]),
        np.array([links[place].before for place in places]),
        np.stack([norms[place][0] for place in places]),
        np.stack([norms[place][1] for place in places]),
        np.stack([products[place][0] for place in places]),
        np.stack([products[place][1] for place in places]),
        np.stack([products[place][2] for place in places]),
        lyapunov(links, instances, size),
        len(links),
        stride,
        directions,
    )


def _norms(link: Link) -> tuple[Array, Array]:
    """Spectral and Frobenius norm of ∂s_j/∂s_{j-1} of every instance, (B,) each."""
    matrices = link.matrices()
    spectral = np.linalg.norm(matrices, ord=2, axis=(1, 2))
    frobenius = np.linalg.norm(matrices, axis=(1, 2))
    return np.where(link.valid, spectral, np.nan), np.where(link.valid, frobenius, np.nan)


def _products(
    links: list[Link], measured: set[int], instances: int, size: int, directions: int
) -> Iterator[tuple[int, tuple[Steps, Array, Array]]]:
    """(place, (spans, log spectral, log Frobenius norm of ∂s_last/∂s_before)), each (B,).

    Rows are pulled back step by step and rescaled, so that no norm over- or underflows. With fewer `directions` than
    D they are random orthonormal ones, whose squared norms estimate the Frobenius norm without bias."""
    if directions == size:
        start = identity_rows(instances, size)
    else:
        frame = np.linalg.qr(np.random.default_rng(0).standard_normal((size, directions)))[0].T
        start = np.repeat(frame[:, None] * math.sqrt(size / directions), instances, axis=1)
    rows, logs, spans = np.zeros_like(start), np.zeros(instances), np.zeros(instances, dtype=np.int64)
    for place in range(len(links) - 1, -1, -1):
        link = links[place]
        begins = link.valid & (spans == 0)
        rows[:, begins] = start[:, begins]
        rows = link.pull(rows)
        spans = spans + link.valid
        largest = np.abs(rows).max(axis=(0, 2))
        scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
        rows = rows / scale[:, None]
        logs = np.where(link.valid, logs + np.log(scale), 0.0)
        if place in measured:
            found = rows.transpose(1, 0, 2)
            frobenius = np.log(np.linalg.norm(found, axis=(1, 2))) + logs
            exact = directions == size
            spectral = np.log(np.linalg.norm(found, ord=2, axis=(1, 2))) + logs if exact else frobenius
            yield (
                place,
                (
                    np.where(link.valid, spans, 0),
                    np.where(link.valid, spectral, np.nan),
                    np.where(link.valid, frobenius, np.nan),
                ),
            )


def lyapunov(links: list[Link], instances: int, size: int) -> Array:
    """The largest Lyapunov exponents of every instance by repeated QR (Benettin et al. 1980): (e, B).

    The first quarter of the steps turns a random frame into the directions that grow most, and is not counted."""
    count = min(EXPONENTS, size)
    frame = np.linalg.qr(np.random.default_rng(1).standard_normal((instances, size, count)))[0]
    total, counted = np.zeros((instances, count)), np.zeros(instances)
    warming = len(links) // 4
    for place, link in enumerate(links):
        pushed = link.push(frame.transpose(2, 0, 1)).transpose(1, 2, 0)
        turned, stretched = np.linalg.qr(pushed)
        frame = np.where(link.valid[:, None, None], turned, frame)
        if place >= warming:
            logs = np.log(np.abs(np.diagonal(stretched, axis1=1, axis2=2)))
            total[link.valid] += logs[link.valid]
            counted += link.valid
    return -np.sort(-(total / counted[:, None]), axis=1).T
