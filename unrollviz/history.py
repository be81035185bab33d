"""The history of a training run: where the gradient came from, update after update, on the same few instances.

Plain arrays, one row a record, so that they can be printed, written to files and plotted by whoever likes to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from unrollviz.api import Run, ask
from unrollviz.arrays import Array, Labels, arithmetic
from unrollviz.batch import Batch
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.flow import Flow, flow
from unrollviz.folds import GROUPS, kinds
from unrollviz.gradient import cotangents
from unrollviz.jacobians import frobenius
from unrollviz.network import Network
from unrollviz.spectra import chain
from unrollviz.sweep import Edge, Fold
from unrollviz.unrolled import unroll_batch

PART = 0.9
"""The part of a gradient whose reach is told."""

PROBE = 8
"""Instances that a history looks at: the first ones that are trained on, always the same."""

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
    run = ask(unroll_batch(network, probe))
    losses, steps = run.loss_names(), run.steps
    found = cotangents(run.graph, losses)
    norms = [frobenius(found[name]) if name in found else 0.0 for name in network.params]
    changed = [np.nan if before is None else frobenius(w - before[name]) for name, w in network.params.items()]
    by_lag = [run.flow(name, "lag") for name in watched]
    by_loss = [run.flow(name, "loss") for name in watched]
    by_route = [_by_route(run, losses, name) for name in watched]
    links = _links(run)

    def figures(flows: Sequence[Flow], size: int, first: int) -> tuple[Array, Array]:
        """(1, w, size) norms and shares, by |label| - first."""
        both = np.zeros((2, 1, len(flows), size))
        for index, one in enumerate(flows):
            place = np.abs(one.labels[:, 0].astype(np.int64)) - first
            np.add.at(both[0, 0, index], place, one.norms)
            np.add.at(both[1, 0, index], place, one.shares)
        return both[0], both[1]

    lag, loss, route = figures(by_lag, steps, 0), figures(by_loss, steps, 1), figures(by_route, len(ROUTES), 0)
    return History(
        tuple(network.params),
        tuple(watched),
        tuple(links),
        np.array([update]),
        np.array([epoch]),
        np.array([run.loss]),
        np.array([norms]),
        np.array([[frobenius(w) for w in network.params.values()]]),
        np.array([changed]),
        *lag,
        *loss,
        *route,
        np.array([[one.cancellation for one in by_lag]]),
        np.array([list(links.values())]),
        np.zeros(1),
    )


def _by_route(run: Run, losses: Sequence[str], target: str) -> Flow:
    """∂L/∂target by ROUTES: bit 0 where a path uses a recurrent weight, bit 1 where it uses a highway."""
    bits = dict.fromkeys(GROUPS, 0) | {"weights": 1, "highway": 2}
    marks = {edge: bits[group] for group, edges in kinds(run.graph).values() for edge in edges}

    def cross(labels: Labels, edge: Edge) -> tuple[Labels, Labels | None]:
        bit = marks.get((edge.head, edge.tail, edge.key), 0)
        return (labels | bit if bit else labels), None

    return flow(run.graph, losses, target, (Fold(cross=cross, joins=True),), "route")


def _links(run: Run) -> dict[str, float]:
    """State and step -> ‖∂s_j/∂s_{j-1}‖ / √D of every layer."""
    found = {}
    level = run.level()
    with arithmetic():
        for layer in run.network.stack:
            for link in chain(run, level, layer):
                matrices = link.matrices()[link.valid]
                found[link.heads[0]] = float(np.sqrt((matrices**2).sum() / (len(matrices) * matrices.shape[1])))
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
