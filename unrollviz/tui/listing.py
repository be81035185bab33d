"""Which paths are listed, and in which order: all of them, those that a filter leaves, a branch's, or the heaviest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from unrollviz.arrays import Array, Labels
from unrollviz.draw.text import integer
from unrollviz.errors import UnrollvizError
from unrollviz.jacobians import frobenius
from unrollviz.paths.path import Heaviest, Path
from unrollviz.paths.pathset import PATH_LIMIT, PathSet, PathTable
from unrollviz.paths.prefixes import PrefixTree
from unrollviz.tui.filters import Filter, visiting
from unrollviz.tui.scene import Proof
from unrollviz.tui.work import Pulse
from unrollviz.way import entering

ORDERS: dict[str, str] = {
    "place": "in their order",
    "norm": "largest norm first",
    "share": "largest |share| first",
    "lag": "furthest back first",
}
"""How a list can be sorted, and what it then says of itself."""

HEAVIEST = 100
"""How many paths are searched for where there are too many to sort."""

AT_ONCE = 2**17
"""Paths walked between two reports of progress: a slice takes a sweep over the whole graph, however short it is."""


@dataclass(frozen=True)
class Wanted:
    """What the list of paths is asked for.

    Attributes:
        order: one of ORDERS; empty for `place`, or `norm` where there are too many paths to be listed.
        words: the filter, as typed.
        span: the first rank, and the rank behind the last, of a branch whose paths are listed; None for every path.
        branch: the nodes that the branch begins with, from the loss on.
    """

    order: str = ""
    words: str = ""
    span: tuple[int, int] | None = None
    branch: tuple[str, ...] = ()


EVERY = Wanted()
"""Every path, in order."""


@dataclass(frozen=True, eq=False)
class Listing:
    """The answer: a row a path.

    Attributes:
        paths: the set that the rows are from; its shares refer to all paths from the chosen losses.
        indices: (rows,) place of each row in the set; None where they are the first `size` in order.
        table: the figures of all rows; None where they are worked out when seen.
        count: exact number of paths that are meant, of which `size` are listed.
        heaviest: what the search for the heaviest proved, where there was one.
    """

    wanted: Wanted
    paths: PathSet
    indices: Labels | None
    table: PathTable | None
    size: int
    count: int
    heaviest: Heaviest[Path] | None = None

    def __len__(self) -> int:
        return self.size

    def index(self, row: int) -> int:
        """The place in the set of the path in a row."""
        return row if self.indices is None else int(self.indices[row])


def listing(whole: PathSet, wanted: Wanted, pulse: Pulse) -> Listing:
    """The paths of `whole` that are wanted, sorted: the heaviest only where they are too many to be walked.

    Raises:
        UnknownName: for a node in the filter that is none, with the nearest one.
        UnrollvizError: for a filter that cannot be read, or over too many paths.
    """
    chosen = Filter.read(wanted.words, whole.graph)
    paths = _narrowed(whole, chosen) if chosen.narrows else whole
    if wanted.span is not None:
        if chosen.narrows:
            raise UnrollvizError("t= and k= do not go with a branch; filter its paths by nodes or by lag")
        paths = whole[wanted.span[0] : wanted.span[1]]
    wanted = replace(wanted, order=wanted.order or ("place" if paths.count <= PATH_LIMIT else "norm"))
    many = paths.count > PATH_LIMIT
    if not chosen.left and wanted.order == "place" and (many or not chosen.narrows):
        return Listing(wanted, paths, None, None, min(paths.count, PATH_LIMIT), paths.count)
    if many:
        return _heaviest(paths, chosen, wanted, pulse)
    return _walked(whole, paths, chosen, wanted, pulse)


def _narrowed(whole: PathSet, chosen: Filter) -> PathSet:
    """The paths from losses, and through entry steps, that the filter leaves; shares still refer to the whole set."""
    graph, target = whole.graph, whole.target
    losses = [name for name in whole.losses if chosen.keeps("t", graph.nodes[name]["time"])]
    if chosen.has("k"):
        graph = entering(graph, target, partial(chosen.keeps, "k"))
    return PathSet(graph, losses, target, whole.total)


def _heaviest(paths: PathSet, chosen: Filter, wanted: Wanted, pulse: Pulse) -> Listing:
    many = integer(paths.count)
    if chosen.left:
        raise UnrollvizError(
            f"{many} paths are too many to be filtered one by one, the limit is {PATH_LIMIT:,}; narrow them by t= and "
            "k=, or open a branch of the flow tree"
        )
    if wanted.order == "lag":
        raise UnrollvizError(f"{many} paths are too many to be sorted by lag; the flow panel has their sums by lag")
    found = paths.top(
        HEAVIEST,
        by=wanted.order,
        progress=lambda taken: pulse(f"searching {many} paths for the heaviest: {taken:,} partial paths"),
    )
    ranks = np.array([path.rank for path in found], dtype=object)
    start = wanted.span[0] if wanted.span else 0
    table = PathTable(
        ranks,
        np.array([path.entry + path.lag for path in found], dtype=np.int64),
        np.array([path.entry for path in found], dtype=np.int64),
        np.array([path.norm for path in found]),
        np.array([path.log10_norm for path in found]),
        np.array([path.share for path in found]),
    )
    return Listing(wanted, paths, ranks - start, table, len(found), paths.count, found)


def _walked(whole: PathSet, paths: PathSet, chosen: Filter, wanted: Wanted, pulse: Pulse) -> Listing:
    """Every path of the set with its figures, filtered and sorted."""
    kept = np.arange(paths.count)
    if chosen.nodes:
        if whole.count > PATH_LIMIT and paths is not whole and wanted.span is not None:
            raise UnrollvizError("a branch of so many paths is not filtered by nodes; open the branches below it")
        start = wanted.span[0] if wanted.span else 0
        seen = visiting(paths.graph, paths.losses, paths.target, chosen.nodes)
        kept = np.flatnonzero(seen[start : start + paths.count])
    table = figures(paths, pulse)
    figure = {
        "t": table.losses,
        "k": table.entries,
        "lag": table.losses - table.entries,
        "norm": table.norms,
        "share": table.shares,
    }
    kept = kept[np.all([keep(figure[name][kept]) for name, keep in chosen.left], axis=0)] if chosen.left else kept
    if wanted.order != "place":
        weight = np.abs(figure[wanted.order][kept])
        kept = kept[np.argsort(-np.nan_to_num(weight), kind="stable")]
    return Listing(wanted, paths, kept, picked(table, kept), len(kept), len(kept))


def figures(paths: PathSet, pulse: Pulse) -> PathTable:
    """The figures of every path, walked slice by slice the first time."""
    if paths in _TABLES:
        return _TABLES[paths]
    slices = []
    for start in range(0, max(paths.count, 1), AT_ONCE):
        pulse(f"walking {paths.count:,} paths: {start / max(paths.count, 1):.0%}")
        slices.append(paths[start : start + AT_ONCE].table())
    found = PathTable(*(np.concatenate([getattr(s, name) for s in slices]) for name in _COLUMNS))
    _TABLES[paths] = found
    return found


_TABLES: WeakKeyDictionary[PathSet, PathTable] = WeakKeyDictionary()
_COLUMNS = ("ranks", "losses", "entries", "norms", "log10_norms", "shares")


def picked(table: PathTable, rows: Labels | slice) -> PathTable:
    """Some rows of a table, in the order given."""
    return PathTable(*(getattr(table, name)[rows] for name in _COLUMNS))


_TREES: WeakKeyDictionary[PathSet, PrefixTree] = WeakKeyDictionary()


def tree_of(paths: PathSet, pulse: Pulse) -> PrefixTree:
    """The tree of the same paths: two sweeps, for whoever asks first."""
    found = _TREES.get(paths)
    if found is None:
        pulse("pushing the gradient's direction forward")
        found = PrefixTree(paths.graph, paths.losses, paths.target, lambda: pulse("pushing the direction forward"))
        _TREES[paths] = found
    return found


def share_before(tree: PrefixTree, rank: int) -> float:
    """The summed share of all paths that come before this rank, however many: no path is walked."""
    here, before = tree.root, list[float]()
    while here.rank < rank < here.rank + here.count:
        for child in here.children():
            if rank < child.rank + child.count:
                here = child
                break
            before.append(child.share)
    if rank >= here.rank + here.count:
        before.append(here.share)
    return math.fsum(before)


def proved(paths: PathSet, pulse: Pulse) -> Proof:
    """Walk every path of the whole set. Raises TooManyPaths past PATH_LIMIT."""
    paths.check_limit("the same sum is one reverse sweep")
    added: Array | Any = np.zeros_like(paths.gradient)
    norms: list[float] = []
    for start in range(0, paths.count, AT_ONCE):
        pulse(f"adding up {paths.count:,} paths: {start / paths.count:.0%}")
        part = paths[start : start + AT_ONCE]
        added = added + part.sum()
        norms.append(part.norm_sum)
    error = float(np.abs(added - paths.gradient).max(initial=0.0))
    return Proof(frobenius(added), error, error <= 1e-13 * math.fsum(norms))


BLOCK = 256
"""Rows whose figures are worked out together."""

Block = tuple[PathTable, float]
"""The figures of some rows, and the summed share of those before them."""


def block(whole: PathSet, found: Listing, number: int, pulse: Pulse) -> Block:
    """The figures of a block of rows of a list in order. The sum before it is the tree's: no path there is walked."""
    start = number * BLOCK
    pulse("walking these paths")
    table = found.paths[start : start + BLOCK].table()
    if start == 0 or (found.paths is not whole and found.wanted.span is None):
        return table, 0.0 if start == 0 else math.nan
    tree, first = tree_of(whole, pulse), found.wanted.span[0] if found.wanted.span else 0
    return table, share_before(tree, first + start) - (share_before(tree, first) if first else 0.0)
