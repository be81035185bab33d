"""Flow: the gradient taken apart by the labels of a fold, with norms, shares and exact path counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from unrollviz.arrays import Array, Labels, Shape, arithmetic
from unrollviz.errors import NonFinite, UnrollvizError
from unrollviz.graph import Graph, node_named
from unrollviz.jacobians import Jacobian, Outer, divide, frobenius
from unrollviz.jacobians import norms as row_norms
from unrollviz.sweep import (
    COUNTS,
    TOTAL,
    Arrival,
    Fold,
    Radix,
    completions,
    push_forward,
    sweep,
    truncated,
    unique_rows,
)

MEMORY_LIMIT = 2**30
"""Bytes that terms may take at once: past it, sums are formed in several sweeps and whole stacks refused."""

ROW_LIMIT = 20_000_000
"""Rows of a flow: as many as T = 4,472 steps give by temporal."""


@dataclass(frozen=True, eq=False)
class Flow:
    """The rows of a fold.

    Attributes:
        target: the parameter or node.
        by: what the labels are.
        labels: (rows, columns) whole numbers, in increasing order.
        counts: exact number of paths in each row.
        norms: (rows,) Frobenius norm of each row's sum of terms.
        shares: (rows,) <term, G> / <G, G>; NaN where G = 0.
        gradient: G, the sum of all rows.
    """

    target: str
    by: str
    labels: Labels
    counts: tuple[int, ...]
    norms: Array
    shares: Array
    gradient: Array
    _terms: Callable[[], Array] = field(repr=False, compare=False)

    @property
    def total_norm(self) -> float:
        """‖G‖"""
        return frobenius(self.gradient)

    @property
    def cancellation(self) -> float:
        """κ = Σ‖term‖ / ‖G‖ ≥ 1; NaN where G = 0."""
        return cancellation(self.norms, self.total_norm)

    @property
    def terms(self) -> Array:
        """(rows, *shape of the target): every row's term, built on request.

        Raises UnrollvizError where they would take more than MEMORY_LIMIT bytes."""
        return self._terms()


def cancellation(norms: Array, total_norm: float) -> float:
    """κ = Σ‖term‖ / ‖G‖; NaN where G = 0."""
    return float(norms.sum() / total_norm) if total_norm > 0 else float("nan")


def gradient(graph: Graph, losses: Sequence[str], target: str, fold: Fold = TOTAL) -> Array:
    """Σ_t ∂L_t/∂target over the `losses`: one reverse sweep. Shape of the target.

    A `fold` that drops paths on their way leaves their terms out of the sum.

    Raises NonFinite, naming the first node of the backward pass, where a cotangent overflows."""
    total = TermSum(1, node_named(graph, target, "parameter or node")["value"].shape)
    with arithmetic():
        for arrival in sweep(graph, losses, [target], (fold,)):
            rows = arrival.rows.sum(axis=0, keepdims=True)
            total.add(np.zeros(1, dtype=np.int64), rows, arrival.edge.jacobian)
        result: Array = total.result()[0]
    check_gradient(graph, losses, target, result)
    return result


@dataclass(frozen=True, eq=False)
class Truncation:
    """How far a truncated gradient is from the true one.

    Attributes:
        steps: the lag at which it was cut.
        gradient: the truncated gradient.
        cosine: of the angle between the two; NaN where one of them is 0.
        norm_ratio: truncated by true; NaN where the true one is 0.
    """

    steps: int
    gradient: Array
    cosine: float
    norm_ratio: float


def truncation(graph: Graph, losses: Sequence[str], target: str, steps: int) -> Truncation:
    """∂L/∂target without the paths whose lag exceeds `steps`, and how far that is from the whole."""
    whole = gradient(graph, losses, target)
    cut = gradient(graph, losses, target, truncated(graph, target, steps))
    norm, size = frobenius(whole), frobenius(cut)
    nan = float("nan")
    cosine = float(((whole / norm) * (cut / size)).sum()) if norm > 0 and size > 0 else nan
    return Truncation(steps, cut, cosine, size / norm if norm > 0 else nan)


def cotangents(graph: Graph, losses: Sequence[str]) -> dict[str, Array]:
    """∂(Σ losses)/∂node for every node that a loss depends on: one reverse sweep that stops nowhere.

    In the textbook's coordinates; entries at ŷ are infinite where ŷ underflows to 0."""
    found: dict[str, Array] = {}
    with arithmetic():
        for arrival in sweep(graph, losses, list(graph), (TOTAL,)):
            pulled = arrival.edge.jacobian.vjp(arrival.rows)[0]
            tail = arrival.edge.tail
            found[tail] = found[tail] + pulled if tail in found else pulled
    return found


def edge_shares(graph: Graph, losses: Sequence[str], target: str) -> dict[tuple[str, str, int], float]:
    """(tail, head, key) -> the summed share of all paths through that edge, however many they are.

    Exact: <cotangent at head, ∂head/∂tail · tangent at tail> / <G, G>, the tangent being pushed forward from the
    target in direction G, so that one reverse and one forward sweep serve all edges. Empty where G = 0."""
    whole = gradient(graph, losses, target)
    size = frobenius(whole)
    if size == 0:
        return {}
    with arithmetic():
        tangents = dict(push_forward(graph, target, whole[None] / size))
        scale = graph.nodes[target].get("scale")
        if scale is not None:  # edges carry tangents in the chart
            tangents[target] = divide(tangents[target], scale)
        return {
            (edge.tail, edge.head, edge.key): float(
                (rows * graph.edges[edge.tail, edge.head, edge.key]["jacobian"].jvp(tangents[edge.tail])).sum()
            )
            / size
            for edge, rows in ((a.edge, a.rows) for a in sweep(graph, losses, list(graph), (TOTAL,)))
            if edge.tail in tangents
        }


def check_gradient(graph: Graph, losses: Sequence[str], target: str, result: Array) -> None:
    """Raise NonFinite, naming the first node whose cotangent is NaN or infinite, where `result` holds such a value."""
    if np.isfinite(result).all():
        return
    node, time = target, graph.nodes[target]["time"]
    inside = [name for name, role in graph.nodes(data="role") if role not in ("parameter", "loss", "output")]
    with arithmetic():
        for arrival in sweep(graph, losses, inside, (TOTAL,)):
            if not np.isfinite(arrival.edge.jacobian.vjp(arrival.rows)).all():
                node, time = arrival.edge.tail, graph.nodes[arrival.edge.tail]["time"]
                break
    raise NonFinite("the cotangent", node, time, "the gradient overflows; scale the weights down or shorten the run")


class TermSum:
    """Sums of terms, label by label: (labels, *shape). Outer products are gathered and multiplied together."""

    GATHERED = 64

    def __init__(self, labels: int, shape: Shape) -> None:
        self._total = np.zeros((labels, *shape))
        self._outer: list[tuple[Labels, Array, Array]] = []

    def add(self, place: Labels, rows: Array, jacobian: Jacobian) -> None:
        """Add `jacobian.vjp(rows)` to the labels at `place` (R,), all different."""
        for before, last in jacobian.arrivals(rows):
            if isinstance(last, Outer):
                self._outer.append((place, before, last.x))
                if len(self._outer) == self.GATHERED:
                    self._multiply()
            else:
                self._total[place] += last.vjp(before)

    def _multiply(self) -> None:
        """Σ_i rows_i ⊗ x_i as one matrix product over all gathered (i, instance)."""
        if not self._outer:
            return
        first = min(int(place.min()) for place, _, _ in self._outer)
        last = max(int(place.max()) for place, _, _ in self._outer) + 1
        stacked = np.zeros((len(self._outer), last - first, *self._outer[0][1].shape[1:]))
        for index, (place, rows, _) in enumerate(self._outer):
            stacked[index, place - first] = rows
        xs = np.stack([x for _, _, x in self._outer])
        self._total[first:last] += np.tensordot(stacked, xs, axes=([0, 2], [0, 1]))
        self._outer.clear()

    def result(self) -> Array:
        """The sums; the collector is not to be used after this."""
        self._multiply()
        return self._total


@dataclass(frozen=True)
class _Rows:
    """The labels a fold gives rise to: sorted, with exact counts and how often each arrives."""

    labels: Labels
    counts: tuple[int, ...]
    arrivals: Labels
    radix: Radix
    keys: Labels

    def places(self, labels: Labels) -> Labels:
        """Index of each of `labels` (R, columns) among the sorted ones."""
        return np.searchsorted(self.keys, self.radix.keys(labels))


def fold_rows(graph: Graph, losses: Sequence[str], target: str, fold: Sequence[Fold]) -> _Rows:
    """Labels, exact path counts and numbers of arrivals, from one sweep that carries integers."""
    found = [(a.labels, a.rows, a.edge.jacobian.ends) for a in sweep(graph, losses, [target], fold, COUNTS)]
    stacked = np.concatenate([labels for labels, _, _ in found] or [np.zeros((1, len(fold)), dtype=np.int64)])
    labels, place = unique_rows(stacked)
    if not found:
        labels = labels[:0]
    counts = np.zeros(len(labels), dtype=object)
    arrivals = np.zeros(len(labels), dtype=np.int64)
    start = 0
    for rows_labels, rows, ends in found:
        here = place[start : start + len(rows_labels)]
        counts[here] += rows
        arrivals[here] += ends
        start += len(rows_labels)
    radix = Radix.of(stacked)
    return _Rows(labels, tuple(counts.tolist()), arrivals, radix, radix.keys(labels))


def flow(graph: Graph, losses: Sequence[str], target: str, fold: Sequence[Fold], by: str) -> Flow:
    """Take ∂L/∂target apart by `fold` on a graph at any level of detail. See `Flow`.

    A row that arrives once keeps its term factored: its norm comes from the factors. Rows that arrive
    several times are summed first, as many at once as MEMORY_LIMIT allows.

    Raises UnrollvizError where there could be more than ROW_LIMIT rows.
    """
    widest = len(losses) ** min(2, len(fold))  # labels are made of the steps t and k
    if widest > ROW_LIMIT:
        raise UnrollvizError(
            f"{by} may give {widest:,} rows, the limit is {ROW_LIMIT:,}; take lag, entry or loss, or one loss at a time"
        )
    whole = gradient(graph, losses, target)
    rows = fold_rows(graph, losses, target, fold)
    size = frobenius(whole)
    direction = whole / size if size > 0 else whole
    shares, norms = np.zeros(len(rows.labels)), np.zeros(len(rows.labels))
    several = _blocks(np.flatnonzero(rows.arrivals > 1), whole.shape)
    with arithmetic():
        sums = [_Sums(block, whole.shape) for block in several[:1]]
        for arrival in sweep(graph, losses, [target], fold):
            place = rows.places(arrival.labels)
            jacobian = arrival.edge.jacobian
            shares[place] += dots_with(arrival.rows, jacobian, direction)
            once = rows.arrivals[place] == 1
            if once.any():
                norms[place[once]] = jacobian.row_norms(arrival.rows[once])
            for first in sums:
                first.add(place, arrival)
        for index, block in enumerate(several):
            terms = sums.pop().result() if index == 0 else _terms(graph, losses, target, fold, rows, block)
            norms[block] = row_norms(terms.reshape(len(block), -1))
        shares = shares / size if size > 0 else np.full(len(shares), np.nan)
    check_gradient(graph, losses, target, norms)

    def build() -> Array:
        every = np.arange(len(rows.labels))
        check_memory(len(every), whole.shape)
        return _terms(graph, losses, target, fold, rows, every)

    return Flow(target, by, rows.labels, rows.counts, norms, shares, whole, build)


def dots_with(rows: Array, jacobian: Jacobian, direction: Array) -> Array:
    """<term, direction> of every row, (R,): as <rows, ∂y/∂x direction>, so that no term is built."""
    pushed = jacobian.jvp(direction[None])[0]
    return np.asarray(rows.reshape(len(rows), -1) @ pushed.ravel())


def _blocks(places: Labels, shape: Shape) -> list[Labels]:
    """`places` in blocks whose terms fit into MEMORY_LIMIT."""
    size = max(1, MEMORY_LIMIT // (8 * max(1, int(np.prod(shape)))))
    return [places[start : start + size] for start in range(0, len(places), size)]


class _Sums:
    """Sums the terms of some of the places, sorted."""

    def __init__(self, places: Labels, shape: Shape) -> None:
        self._places = places
        self._sum = TermSum(len(places), shape)
        self.result = self._sum.result

    def add(self, place: Labels, arrival: Arrival) -> None:
        """Add the rows of `arrival`, which are at `place`, where they are wanted."""
        at = np.searchsorted(self._places, place)
        wanted = (at < len(self._places)) & (self._places[np.minimum(at, len(self._places) - 1)] == place)
        if wanted.any():
            self._sum.add(at[wanted], arrival.rows[wanted], arrival.edge.jacobian)


def _terms(
    graph: Graph, losses: Sequence[str], target: str, fold: Sequence[Fold], rows: _Rows, places: Labels
) -> Array:
    """The summed terms of some places, by a sweep of their own: (places, *shape of the target)."""
    sums = _Sums(places, graph.nodes[target]["value"].shape)
    if len(places):
        for arrival in sweep(graph, losses, [target], fold):
            sums.add(rows.places(arrival.labels), arrival)
    return sums.result()


def check_memory(terms: int, shape: Shape, what: str = "terms") -> None:
    """Raise UnrollvizError where so many `terms` of `shape` would take more than MEMORY_LIMIT bytes."""
    needed = terms * int(np.prod(shape)) * 8
    if needed > MEMORY_LIMIT:
        raise UnrollvizError(
            f"{terms:,} {what} of shape {shape} take {needed / 2**30:,.1f} GiB, the limit is "
            f"{MEMORY_LIMIT / 2**30:.0f} GiB; ask for norms and shares, or for fewer rows"
        )


def count_paths(graph: Graph, losses: Sequence[str], target: str) -> int:
    """The exact number of paths from the losses back to the target, without walking one."""
    ways = completions(graph, target)
    return sum(ways.get(loss, 0) for loss in losses)
