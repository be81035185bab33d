"""Flow: the gradient taken apart by the labels of a fold, with norms, shares and exact path counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from unrollviz.arrays import Array, Labels, Shape, arithmetic
from unrollviz.errors import NonFinite, UnrollvizError
from unrollviz.graph import Graph, node_named
from unrollviz.jacobians import divide, frobenius
from unrollviz.stacks import Exponents, Places, times_power
from unrollviz.sweep import (
    COUNTS,
    ENTRY,
    LAG,
    LOSS,
    SMALL_COUNTS,
    TOTAL,
    Arrival,
    Fold,
    Way,
    completions,
    push_forward,
    sweep,
    truncated,
)
from unrollviz.terms import TermSum, at_once, check_memory, dots_with

ROW_LIMIT = 20_000_000
"""Rows of a flow: as many as T = 4,472 steps give by temporal."""

STACK_LIMIT = 2**30
"""Bytes that the rows at one node may take."""

LABEL_LIMIT = 2**17
"""Labels that edges may give to the paths at one node: more routes than that nobody reads."""


@dataclass(frozen=True, eq=False)
class Flow:
    """The rows of a fold.

    Attributes:
        target: the parameter or node.
        by: what the labels are.
        columns: what each column of the labels is.
        norms: (rows,) Frobenius norm of each row's sum of terms; 0 below 5e-324.
        shares: (rows,) <term, G> / <G, G>; NaN where G = 0.
        gradient: G, the sum of all rows.
    """

    target: str
    by: str
    columns: tuple[str, ...]
    norms: Array
    shares: Array
    gradient: Array
    _counts: Labels = field(repr=False)
    _scaled: tuple[Array, Exponents] | None = field(repr=False)
    _labels: Callable[[], Labels] = field(repr=False)
    _terms: Callable[[], Array] = field(repr=False)

    @cached_property
    def labels(self) -> Labels:
        """(rows, columns) whole numbers, in increasing order; what a function of one's own gave, as it is."""
        return self._labels()

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """The exact number of paths in each row, as Python integers."""
        return tuple(self._counts.tolist())

    @cached_property
    def log10_norms(self) -> Array:
        """(rows,) logarithms of the norms: finite however far the gradient has vanished, -inf where a term is 0."""
        norms, powers = self._scaled or (self.norms, np.zeros(len(self.norms), dtype=np.int64))
        with np.errstate(divide="ignore"):
            return np.asarray(np.log10(norms) + powers * math.log10(2.0))

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

        Raises UnrollvizError where they would take more than terms.MEMORY_LIMIT bytes."""
        return self._terms()


def cancellation(norms: Array, total_norm: float) -> float:
    """κ = Σ‖term‖ / ‖G‖; NaN where G = 0."""
    return float(norms.sum() / total_norm) if total_norm > 0 else float("nan")


def gradient(graph: Graph | Way, losses: Sequence[str], target: str, fold: Fold = TOTAL) -> Array:
    """Σ_t ∂L_t/∂target over the `losses`: one reverse sweep. Shape of the target.

    A `fold` that drops paths on their way leaves their terms out of the sum.

    Raises NonFinite, naming the first node of the backward pass, where a cotangent overflows."""
    whole = graph.graph if isinstance(graph, Way) else graph
    total = TermSum(1, node_named(whole, target, "parameter or node")["value"].shape)
    with arithmetic():
        for arrival in sweep(graph, losses, [target], (fold,)):
            rows = arrival.cotangents.sum(axis=0, keepdims=True)
            total.add(np.zeros(1, dtype=np.int64), rows, arrival.edge.jacobian)
        result: Array = total.result()[0]
    check_gradient(whole, losses, target, result)
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
            pulled = arrival.edge.jacobian.vjp(arrival.cotangents)[0]
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
            for edge, rows in ((a.edge, a.cotangents) for a in sweep(graph, losses, list(graph), (TOTAL,)))
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
            if not np.isfinite(arrival.edge.jacobian.vjp(arrival.cotangents)).all():
                node, time = arrival.edge.tail, graph.nodes[arrival.edge.tail]["time"]
                break
    raise NonFinite("the cotangent", node, time, "the gradient overflows; scale the weights down or shorten the run")


@dataclass(frozen=True, eq=False)
class _Rows:
    """The labels a fold gives rise to, and for every place among them the exact number of paths and of arrivals.

    counts: 64 bits or Python integers;  arrivals: how often each label arrives;  both (places.size,).
    """

    places: Places
    counts: Labels
    arrivals: Labels


def fold_rows(graph: Graph | Way, losses: Sequence[str], target: str, fold: Sequence[Fold]) -> _Rows | None:
    """Labels, exact path counts and numbers of arrivals, from one sweep that carries integers. None without paths.

    Raises UnrollvizError where there are more rows than ROW_LIMIT, or at one node more labels than LABEL_LIMIT
    or rows than fit into STACK_LIMIT."""
    whole = graph.graph if isinstance(graph, Way) else graph
    small = count_paths(graph, losses, target) < 2**62
    by_edges = any(column.cross for column in fold)
    found: list[Arrival] = []
    rows = 0
    for arrival in sweep(graph, losses, [target], fold, SMALL_COUNTS if small else COUNTS):
        rows += len(arrival.rows)
        wide = 8 * len(arrival.rows) * whole.nodes[arrival.edge.head]["value"].size
        if rows > 4 * ROW_LIMIT or wide > STACK_LIMIT or (by_edges and len(arrival.rows) > LABEL_LIMIT):
            raise UnrollvizError(
                f"there are too many different labels ({len(arrival.rows):,} at {arrival.edge.head} alone); label "
                "paths more coarsely, as route:weights,highway does, or ask for one loss"
            )
        found.append(arrival)
    if not found:
        return None
    places = Places.of([arrival.labels for arrival in found])
    counts = np.zeros(places.size, dtype=np.int64 if small else object)
    arrivals = np.zeros(places.size, dtype=np.int8)
    for arrival, place in zip(found, places.where, strict=True):
        counts[place] += arrival.rows
        arrivals[place] = np.minimum(arrivals[place], 2) + min(2, arrival.edge.jacobian.ends)
    return _Rows(places, counts, arrivals)


def check_rows(losses: Sequence[str], fold: Sequence[Fold], by: str) -> None:
    """Raise UnrollvizError where a fold over time could have more than ROW_LIMIT rows."""
    timed = sum(column in (LOSS, ENTRY, LAG) for column in fold)
    widest = len(losses) ** min(2, timed)  # labels are made of the steps t and k
    if widest > ROW_LIMIT:
        raise UnrollvizError(
            f"{by} may give {widest:,} rows, the limit is {ROW_LIMIT:,}; take lag, entry or loss, or one loss at a time"
        )


def flow(
    graph: Graph,
    losses: Sequence[str],
    target: str,
    fold: Sequence[Fold],
    by: str,
    columns: Sequence[str] = (),
    read: Callable[[Labels], Labels] | None = None,
) -> Flow:
    """Take ∂L/∂target apart by `fold` on a graph at any level of detail. See `Flow`.

    `by` and `columns` name the fold and its columns; `read` makes of labels what is shown.


    A row that arrives once keeps its term factored: its norm comes from the factors. Rows that arrive
    several times are summed first, as many at once as memory allows.

    Raises UnrollvizError where there could be more than ROW_LIMIT rows.
    """
    check_rows(losses, fold, by)
    way = Way.to(graph, [target])
    whole = gradient(way, losses, target)
    rows = fold_rows(way, losses, target, fold)
    if rows is None:
        none = np.zeros(0)
        return Flow(target, by, tuple(columns) or (by,), none, none, whole, none, None, _nothing(fold), _nothing(whole))
    places = rows.places
    size = frobenius(whole)
    direction = whole / size if size > 0 else whole
    shares, norms = np.zeros(places.size), np.zeros(places.size)
    powers: list[tuple[Labels | slice, Exponents]] = []
    often = np.flatnonzero(rows.arrivals > 1)
    once = np.flatnonzero(rows.arrivals == 1)
    several = _blocks(often, whole.shape)
    with arithmetic():
        sums = [_Sums(block, whole.shape) for block in several[:1]]
        for arrival, place in zip(sweep(way, losses, [target], fold), places.where, strict=True):
            jacobian = arrival.edge.jacobian
            shares[place] += times_power(dots_with(arrival.rows, jacobian, direction), arrival.exponents)
            if len(once):
                _note_norms(arrival, place, None if len(often) == 0 else rows.arrivals[place] == 1, norms, powers)
            for first in sums:
                first.add(place, arrival)
        for index, block in enumerate(several):
            found = sums.pop() if index == 0 else _summed(way, losses, target, fold, rows, block)
            norms[block], raised = found.norms()
            if raised is not None:
                powers.append((block, raised))
        norms, shares = places.shown(norms), places.shown(shares)
        shares = shares / size if size > 0 else np.full(len(shares), np.nan)
        scaled = (norms, places.shown(_together(powers, places.size))) if powers else None
        norms = norms if scaled is None else times_power(*scaled)
    check_gradient(graph, losses, target, norms)

    def terms() -> Array:
        check_memory(len(norms), whole.shape)
        shown = places.shown(np.arange(places.size))
        with arithmetic():
            return _summed(way, losses, target, fold, rows, np.sort(shown)).result()[np.argsort(np.argsort(shown))]

    def labels() -> Labels:
        return places.labels if read is None else read(places.labels)

    counts = places.shown(rows.counts)
    return Flow(target, by, tuple(columns) or (by,), norms, shares, whole, counts, scaled, labels, terms)


def _nothing(like: Sequence[Fold] | Array) -> Callable[[], Labels]:
    """No labels for a fold, no terms of the shape of a gradient."""
    shape = like.shape if isinstance(like, np.ndarray) else (len(like),)
    return lambda: np.zeros((0, *shape), dtype=np.float64 if isinstance(like, np.ndarray) else np.int64)


def _together(powers: Sequence[tuple[Labels | slice, Exponents]], size: int) -> Exponents:
    """The powers of two of all places; 0 where none is given."""
    every = np.zeros(size, dtype=np.int64)
    for place, exponents in powers:
        every[place] = exponents
    return every


def _note_norms(
    arrival: Arrival,
    place: Labels | slice,
    once: Labels | None,
    norms: Array,
    powers: list[tuple[Labels | slice, Exponents]],
) -> None:
    """Write down the norms, and their powers of two, of the rows of `arrival`; of those in the mask `once`, if any."""
    rows, exponents = arrival.rows, arrival.exponents
    if once is not None and not once.any():
        return
    if once is not None and not once.all():
        place, rows = _indices(place)[once], rows[once]
        exponents = None if exponents is None else exponents[once]
    norms[place] = arrival.edge.jacobian.row_norms(rows)
    if exponents is not None:
        powers.append((place, exponents))


def _indices(place: Labels | slice) -> Labels:
    return np.arange(place.start, place.stop) if isinstance(place, slice) else place


def _blocks(places: Labels, shape: Shape) -> list[Labels]:
    """`places` in blocks whose terms fit into memory."""
    size = at_once(shape)
    return [places[start : start + size] for start in range(0, len(places), size)]


class _Sums:
    """Sums the terms of some of the places, sorted."""

    def __init__(self, places: Labels, shape: Shape) -> None:
        self._places = places
        self._sum = TermSum(len(places), shape)
        self.result = self._sum.result
        self.norms = self._sum.norms

    def add(self, at_place: Labels | slice, arrival: Arrival) -> None:
        """Add the rows of `arrival`, which are at `at_place`, where they are wanted."""
        place = _indices(at_place)
        at = np.searchsorted(self._places, place)
        wanted = (at < len(self._places)) & (self._places[np.minimum(at, len(self._places) - 1)] == place)
        if not wanted.any():
            return
        rows, exponents = arrival.rows, arrival.exponents
        if not wanted.all():
            at, rows = at[wanted], rows[wanted]
            exponents = None if exponents is None else exponents[wanted]
        self._sum.add(at, rows, arrival.edge.jacobian, exponents)


def _summed(way: Way, losses: Sequence[str], target: str, fold: Sequence[Fold], rows: _Rows, places: Labels) -> _Sums:
    """The terms of some places, summed by a sweep of their own."""
    sums = _Sums(places, way.graph.nodes[target]["value"].shape)
    if len(places):
        for arrival, place in zip(sweep(way, losses, [target], fold), rows.places.where, strict=True):
            sums.add(place, arrival)
    return sums


def count_paths(graph: Graph | Way, losses: Sequence[str], target: str) -> int:
    """The exact number of paths from the losses back to the target, without walking one."""
    ways = completions(graph, target)
    return sum(ways.get(loss, 0) for loss in losses)
