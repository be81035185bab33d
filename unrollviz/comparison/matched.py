"""Rows of two gradients taken apart, with labels that mean the same in both: what a comparison is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from unrollviz.api import Run
from unrollviz.arrays import Array, Labels
from unrollviz.comparison.instances import Arrivals, pseudo_values
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.flows.flow import Flow, flow
from unrollviz.flows.folds import BY_EDGES, GROUPS, grouping, kinds
from unrollviz.flows.summed import Summed
from unrollviz.paths.pathset import SCAN_LIMIT, PathSet
from unrollviz.sweep import Arrival

HEAVIEST = 12
"""Paths of each side that are compared where there are too many to compare all."""

Label: TypeAlias = tuple[tuple[str, Any], ...]
"""What a row is of: (("lag", 3),); of a route the kinds of edges that it uses and no others, (("W_f", 2), ("f", 1)); of
a path its nodes, (("path", ("L4", "yhat4", …)),)."""

TIMES = ("loss", "entry", "lag")
"""What has an order, and is a number even where it is 0."""


@dataclass(frozen=True, eq=False)
class Asked:
    """Which gradient of a run: of which losses, by what."""

    run: Run
    losses: tuple[str, ...]
    target: str

    def pseudo_values(self, size: int, arrivals: Arrivals, detail: str) -> Array:
        return pseudo_values(self.run.way(self.target, detail), self.losses, self.target, size, arrivals)


@dataclass(frozen=True, eq=False)
class Rows:
    """One side's rows: labels, and (rows,) norms, shares; κ; how pseudo-values (rows, B) are worked out; the
    flow, where that is by lag."""

    labels: list[Label]
    norms: Array
    shares: Array
    cancellation: float
    values: Callable[[], Array]
    by_lag: Flow | None = None


def by_fold(one: Asked, other: Asked, parts: Sequence[str]) -> tuple[Rows, Rows]:
    """Both sides' rows by folds, as in `Run.flow`. Raises UnknownName for a fold or a kind of edge that is none."""
    known = [kinds(asked.run.graph) if any(map(_by_edges, parts)) else {} for asked in (one, other)]
    named = [_widened(part, known) for part in parts]
    first, second = (
        _fold_rows(asked, [_known(part, here) for part in named])
        for asked, here in zip((one, other), known, strict=True)
    )
    return first, second


def _by_edges(part: str) -> bool:
    return part.partition(":")[0] in BY_EDGES


def _widened(part: str, known: Sequence[Mapping[str, Any]]) -> str:
    """`route` as kinds or groups that mean the same on both sides. Raises UnknownName for what neither has."""
    if not _by_edges(part):
        return part
    groups = [group for group in GROUPS if any(group == has for side in known for has, _ in side.values())]
    every = list(dict.fromkeys([*(kind for side in known for kind in side), *groups]))
    if not every:
        raise UnrollvizError("nothing here carries a gradient through time, so that there are no routes")
    name, _, chosen = part.partition(":")
    if not chosen:
        return f"{name}:{','.join(known[0] if set(known[0]) == set(known[1]) else groups)}"
    for kind in map(str.strip, chosen.split(",")):
        if kind not in every:
            raise UnknownName("kind of edge", kind, every)
    return part


def _known(part: str, known: Mapping[str, tuple[str, Any]]) -> str:
    """The part of a fold by route that one side has; its paths use the rest never."""
    if not _by_edges(part):
        return part
    valid = {*known, *(group for group, _ in known.values())}
    fold, _, chosen = part.partition(":")
    here = [name for name in map(str.strip, chosen.split(",")) if name in valid]
    return f"{fold}:{','.join(here)}" if here else "total"


def _fold_rows(asked: Asked, by: Sequence[str]) -> Rows:
    run, losses, target = asked.run, asked.losses, asked.target
    group = grouping(run.graph, by)
    detail = "op" if group.routes else "state"
    way = run.way(target, detail)
    found = flow(way, losses, target, group.fold, group.name, group.columns, group.read)

    def values() -> Array:
        summed = Summed.of(way, losses, target, group.fold)
        places = summed.rows.places
        shown = places.shown(np.arange(places.size))
        return np.asarray(asked.pseudo_values(places.size, summed.arrivals, detail)[shown])

    labels = [_label(found.columns, row) for row in found.labels.tolist()]
    return Rows(labels, found.norms, found.shares, found.cancellation, values, found if by == ["lag"] else None)


def _label(columns: Sequence[str], numbers: Sequence[int]) -> Label:
    named = zip(columns, numbers, strict=True)
    return tuple((name, n) for name, n in named if name in TIMES or (name != "total" and n))


def by_path(one: Asked, other: Asked, top: int) -> tuple[tuple[Rows, Rows], bool]:
    """A row a path; of more than SCAN_LIMIT paths the `top` heaviest of both sides, and whether it is these alone."""
    sets = [PathSet(asked.run.level("state", asked.target), asked.losses, asked.target) for asked in (one, other)]
    if max(paths.count for paths in sets) <= SCAN_LIMIT:
        first, second = (
            _path_rows(asked, paths, range(paths.count)) for asked, paths in zip((one, other), sets, strict=True)
        )
        return (first, second), False
    heaviest = dict.fromkeys(path.nodes for paths in sets for path in paths.top(top, by="share"))
    first, second = (
        _path_rows(asked, paths, sorted(_ranks(paths, heaviest)))
        for asked, paths in zip((one, other), sets, strict=True)
    )
    return (first, second), True


def _ranks(paths: PathSet, wanted: Mapping[tuple[str, ...], None]) -> Iterator[int]:
    """The ranks of those of the `wanted` paths that are in the set."""
    for nodes in wanted:
        try:
            yield paths.find(nodes).rank
        except UnrollvizError:  # the other side's alone
            continue


def _path_rows(asked: Asked, paths: PathSet, ranks: Sequence[int]) -> Rows:
    whole = isinstance(ranks, range)
    found = list(paths) if whole else [paths[rank] for rank in ranks]

    def arrivals() -> Iterator[tuple[Arrival, Labels | slice]]:
        spans = [(0, len(ranks))] if whole else [(rank, rank + 1) for rank in ranks]
        for place, (start, stop) in enumerate(spans):
            for arrival in paths.arrivals(start, stop) if stop > start else ():
                at = arrival.labels[:, 0].astype(np.int64) if whole else np.full(len(arrival.rows), place)
                yield arrival, at

    norms, shares = (np.array([getattr(path, name) for path in found], dtype=float) for name in ("norm", "share"))
    kappa = float(norms.sum() / paths.total_norm) if paths.total_norm > 0 and whole else math.nan
    labels: list[Label] = [(("path", path.nodes),) for path in found]
    return Rows(labels, norms, shares, kappa, lambda: asked.pseudo_values(len(ranks), arrivals, "state"))
