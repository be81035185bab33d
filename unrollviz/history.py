"""The history of a training run: where the gradient came from, update after update, on the same few instances.

Plain arrays, one row a record, so that they can be printed, written to files and plotted by whoever likes to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from unrollviz.arrays import Array, Labels, arithmetic
from unrollviz.batch import Batch
from unrollviz.diagnosis.spectra import chain
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.flows.folds import GROUPS, kinds
from unrollviz.gradient import gradients
from unrollviz.graph import Graph, level_of_detail, names_of
from unrollviz.jacobians import frobenius, norms
from unrollviz.network import Network
from unrollviz.sweep import LOSS, Fold, sweep
from unrollviz.terms import TermSum, check_memory
from unrollviz.unrolled import Unrolled, unroll_batch
from unrollviz.way import Edge, Way

PART = 0.9
"""The part of a gradient whose reach is told."""

LINKS = 10
"""Steps of a layer, evenly chosen, whose Jacobians are measured."""

ROUTES: tuple[str, ...] = ("none", "weights", "highway", "weights+highway")
"""Route -> which groups of edges between steps its paths use at all: none is a path that stays within its step, highway
one that never goes through a recurrent weight (the constant error carousel)."""


@dataclass(frozen=True, eq=False)
class History:
    """R records of a network with P parameters, of which w are watched closely, on the same instances of T steps.

    Attributes:
        params: the names of all P parameters;  watched: of those w whose gradient is taken apart.
        links: what the columns of `jacobian_norms` are: `s5`, `l2.h3`: the step that the state is computed at.
        updates: (R,) how many updates had been made;  epochs: (R,) how many epochs.
        losses: (R,) L.
        gradient_norms, weight_norms: (R, P) ‖∂L/∂θ‖ and ‖θ‖.
        update_norms: (R, P) ‖Δθ‖ of the update before; NaN where there was none.
        lag_norms, lag_shares: (R, w, T) by lag |t - k| = 0 … T-1: Σ‖row‖ of `flow --by lag`, and signed shares.
        loss_norms, loss_shares: (R, w, T) by the step t = 1 … T of the loss.
        route_norms, route_shares: (R, w, 4) by ROUTES.
        cancellations: (R, w) κ between the lags.
        jacobian_norms: (R, links) ‖∂s_j/∂s_{j-1}‖ / √D, Frobenius, root mean square over the instances: 1 where a step
            keeps lengths on average.
        seconds: (R,) what each record took.
    """

    params: tuple[str, ...]
    watched: tuple[str, ...]
    links: tuple[str, ...]
    updates: npt.NDArray[np.int64]
    epochs: npt.NDArray[np.int64]
    losses: Array
    gradient_norms: Array
    weight_norms: Array
    update_norms: Array
    lag_norms: Array
    lag_shares: Array
    loss_norms: Array
    loss_shares: Array
    route_norms: Array
    route_shares: Array
    cancellations: Array
    jacobian_norms: Array
    seconds: Array

    def __len__(self) -> int:
        return len(self.updates)

    def __repr__(self) -> str:
        return f"<History of {', '.join(self.watched)}: {len(self)} records>"

    @property
    def update_ratios(self) -> Array:
        """(R, P) ‖Δθ‖ / ‖θ‖; NaN where θ = 0 or there was no update."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(self.weight_norms > 0, self.update_norms / self.weight_norms, np.nan))

    @property
    def total_norms(self) -> Array:
        """(R,) ‖∂L/∂θ‖ over all parameters together."""
        return np.asarray(np.sqrt((self.gradient_norms**2).sum(axis=1)))

    def reach(self, part: float = PART) -> npt.NDArray[np.int64]:
        """(R, w) the smallest lag such that the lags up to it carry `part` of Σ‖row‖ over all lags."""
        cumulative = np.cumsum(self.lag_norms, axis=2)
        wanted = part * cumulative[:, :, -1:] * (1 - 1e-12)
        return np.asarray((cumulative < wanted).sum(axis=2))

    def part(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> History:
        """The records with these indices."""
        return replace(self, **{name: getattr(self, name)[rows] for name in COLUMNS})

    def followed_by(self, other: History) -> History:
        """Both, one after the other. Raises UnrollvizError where they are not of the same network and steps."""
        for name in LABELS:
            if getattr(self, name) != getattr(other, name):
                raise UnrollvizError(f"these are histories of different networks: their {name} differ")
        if self.lag_norms.shape[2] != other.lag_norms.shape[2]:
            raise UnrollvizError("these are histories of sequences of different lengths")
        joined: dict[str, Any] = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in COLUMNS}
        return replace(self, **joined)


LABELS: tuple[str, ...] = ("params", "watched", "links")
COLUMNS: tuple[str, ...] = tuple(one.name for one in fields(History) if one.name not in LABELS)


def watchable(network: Network, names: Sequence[str]) -> tuple[str, ...]:
    """The parameters to watch: those named, else the recurrent weight that `flow` shows. Raises UnknownName."""
    for name in names:
        if name not in network.params:
            raise UnknownName("parameter", name, network.params)
    return tuple(dict.fromkeys(names)) or (network.recurrent_weight,)


def record(
    network: Network,
    probe: Batch,
    watched: Sequence[str],
    update: int,
    epoch: int,
    before: Mapping[str, Array] | None = None,
) -> History:
    """One record. `before` are the parameters before the last update. `seconds` is 0.

    Raises NonFinite where a value or a cotangent overflows."""
    unrolled = unroll_batch(network, probe)
    found = gradients(unrolled.graph, names_of(unrolled.graph, "loss"), list(network.params))
    changed = [np.nan if before is None else frobenius(w - before[name]) for name, w in network.params.items()]
    links = _links(unrolled)
    apart = [_apart(unrolled, name, found[name]) for name in watched]
    figures = {kind: np.array([[one[kind] for one in apart]]) for kind in _KINDS}
    whole = np.array([[frobenius(found[name]) for name in watched]])
    with np.errstate(divide="ignore", invalid="ignore"):
        cancelled = np.where(whole > 0, figures["lag_norms"].sum(axis=2) / whole, np.nan)
    return History(
        tuple(network.params),
        tuple(watched),
        tuple(links),
        np.array([update]),
        np.array([epoch]),
        np.array([unrolled.loss]),
        np.array([[frobenius(found[name]) for name in network.params]]),
        np.array([[frobenius(w) for w in network.params.values()]]),
        np.array([changed]),
        cancellations=cancelled,
        jacobian_norms=np.array([list(links.values())]),
        seconds=np.zeros(1),
        **figures,
    )


_KINDS = ("lag_norms", "lag_shares", "loss_norms", "loss_shares", "route_norms", "route_shares")


def _apart(unrolled: Unrolled, target: str, whole: Array) -> dict[str, Array]:
    """Norms and signed shares of ∂L/∂target, which is `whole`, by |lag| (T,), by loss (T,) and by ROUTES (4,).

    What `flow` gives for each, by two sweeps in all, for paths are not counted: one with a row for each loss, whose
    labels t say the lag t - k at every arrival, and one with a row for each route."""
    steps, losses = unrolled.steps, names_of(unrolled.graph, "loss")
    way = Way.to(unrolled.graph, [target])
    by_lag, by_loss = _sums(
        way, losses, target, LOSS, ((2 * steps - 1, lambda t, k: t - k + steps - 1), (steps, lambda t, k: t - 1))
    )
    (by_route,) = _sums(way, losses, target, _routes(unrolled.graph), ((len(ROUTES), lambda route, k: route),))
    size = frobenius(whole)
    direction = (whole / size).ravel() / size if size > 0 else np.full(whole.size, np.nan)
    found: dict[str, Array] = {}
    for name, terms in (("lag", by_lag), ("loss", by_loss), ("route", by_route)):
        flat = terms.reshape(len(terms), -1)
        with arithmetic():
            figures = [norms(flat), flat @ direction]
        if name == "lag":  # forwards and backwards in time together
            figures = [one[steps - 1 :] + np.append(0.0, one[: steps - 1][::-1]) for one in figures]
        found[f"{name}_norms"], found[f"{name}_shares"] = figures
    return found


def _sums(
    way: Way,
    losses: Sequence[str],
    target: str,
    fold: Fold,
    places: Sequence[tuple[int, Callable[[Labels, int], Labels]]],
) -> list[Array]:
    """Sums of terms (size, *shape) for every (size, place), where place tells from labels and step where terms go."""
    shape = way.graph.nodes[target]["value"].shape
    check_memory(sum(size for size, _ in places), shape, "rows of the history")
    sums = [TermSum(size, shape) for size, _ in places]
    with arithmetic():
        for arrival in sweep(way, losses, [target], (fold,)):
            labels = arrival.labels[:, 0]
            for total, (_, place) in zip(sums, places, strict=True):
                at = place(labels, arrival.step)
                total.add(at, arrival.rows, arrival.edge.jacobian, arrival.exponents)
        return [total.result() for total in sums]


def _routes(graph: Graph) -> Fold:
    """Labels that are places in ROUTES: bit 0 where a path uses a recurrent weight, bit 1 where it uses a highway."""
    bits = dict.fromkeys(GROUPS, 0) | {"weights": 1, "highway": 2}
    marks = {edge: bits[group] for group, edges in kinds(graph).values() for edge in edges}

    def cross(labels: Labels, edge: Edge) -> tuple[Labels, Labels | None]:
        bit = marks.get((edge.head, edge.tail, edge.key), 0)
        return (labels | bit if bit else labels), None

    return Fold(cross=cross, joins=True)


def _links(unrolled: Unrolled) -> dict[str, float]:
    """State and step -> ‖∂s_j/∂s_{j-1}‖ / √D, at no more than LINKS steps of every layer."""
    found = {}
    level = level_of_detail(unrolled.graph, "state")
    with arithmetic():
        for layer in unrolled.network.stack:
            links = chain(unrolled, level, layer)
            for place in np.unique(np.linspace(0, len(links) - 1, min(LINKS, len(links))).round().astype(int)):
                matrices = links[place].matrices()[links[place].valid]
                size = float(np.sqrt((matrices**2).sum() / (len(matrices) * matrices.shape[1])))
                found[links[place].heads[0]] = size
    return found


def to_arrays(history: History) -> dict[str, npt.NDArray[Any]]:
    """The columns, by name."""
    return {name: getattr(history, name) for name in COLUMNS}


def from_arrays(labels: Mapping[str, Sequence[str]], arrays: Mapping[str, npt.NDArray[Any]]) -> History:
    """The opposite. Raises UnrollvizError where columns are missing or do not fit the labels or each other."""
    missing = [name for name in COLUMNS if name not in arrays]
    if missing:
        raise UnrollvizError(f"the history has no {missing[0]}; write it again")
    rows, steps = len(arrays["updates"]), arrays["lag_norms"].shape[-1]
    p, w, links = (len(labels[name]) for name in LABELS)
    shapes = {
        **dict.fromkeys(("updates", "epochs", "losses", "seconds"), (rows,)),
        **dict.fromkeys(("gradient_norms", "weight_norms", "update_norms"), (rows, p)),
        **dict.fromkeys(("lag_norms", "lag_shares", "loss_norms", "loss_shares"), (rows, w, steps)),
        **dict.fromkeys(("route_norms", "route_shares"), (rows, w, len(ROUTES))),
        "cancellations": (rows, w),
        "jacobian_norms": (rows, links),
    }
    for name, shape in shapes.items():
        kind = "i" if name in ("updates", "epochs") else "f"
        if arrays[name].shape != shape or arrays[name].dtype.kind != kind:
            raise UnrollvizError(f"the history's {name} has shape {arrays[name].shape}, not {shape}; write it again")
    columns: dict[str, Any] = {name: arrays[name] for name in COLUMNS}
    words: dict[str, Any] = {name: tuple(labels[name]) for name in LABELS}
    return History(**words, **columns)
