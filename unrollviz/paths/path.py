"""One path: the nodes that it visits, its term, its factors; and a list of the heaviest, with what it proves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar, overload

import numpy as np

from unrollviz.arrays import Array
from unrollviz.export import LISTED, Cell, Table
from unrollviz.gradient import Total
from unrollviz.jacobians import Jacobian, frobenius
from unrollviz.names import derivative, typeset
from unrollviz.stacks import Stack, rescaled, times_power
from unrollviz.terms import TermSum, check_memory
from unrollviz.way import Edge

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Factor:
    """One step of a path: ∂`head`/∂`tail`.

    Attributes:
        symbol: typeset; with ∂⁺ where it is the immediate derivative by a parameter.
        jacobian: the edge's Jacobian.
        norm: its Frobenius norm.
    """

    head: str
    tail: str
    symbol: str
    jacobian: Jacobian = field(repr=False)

    @cached_property
    def norm(self) -> float:
        return self.jacobian.norm()

    def matrix(self) -> Array:
        """The explicit Jacobian, one block an instance: (B, units of head, units or entries of tail).

        Raises UnrollvizError where it would take more than the limit of memory."""
        ends = self.jacobian.out_shape, self.jacobian.in_shape
        instances, units = ends[0] or (1, 1)
        entries = ends[1][-1] if self.jacobian.per_instance else math.prod(ends[1])
        check_memory(1, (instances, units, entries), "matrix")
        return self.jacobian.matrix()


@dataclass(frozen=True)
class Path:
    """One path from a loss back to the target, and what it contributes.

    Attributes:
        rank: its place in the set's order, from 0.
        nodes: from the loss to the target.
        loss: the loss it starts from.
        entry: step k at which it enters the target.
        lag: t - k.
        norm: Frobenius norm of its term; 0 below 5e-324.
        log10_norm: its logarithm, finite however small it is; -inf where the term is 0.
        share: <term, G> / <G, G>, G the sum over the set asked for; NaN where G = 0.
    """

    rank: int
    nodes: tuple[str, ...]
    loss: str
    entry: int
    lag: int
    norm: float
    log10_norm: float
    share: float
    _edges: tuple[Edge, ...] = field(repr=False, compare=False)

    def _repr_html_(self) -> str:
        rows: list[list[Cell]] = [
            [f.symbol, f.norm, norm] for f, norm in zip(self.factors, self.running_norms, strict=True)
        ]
        what = " → ".join(map(typeset, self.nodes))
        share = "undefined" if math.isnan(self.share) else f"{100 * self.share:+.1f} %"
        figures = f"enters at step {self.entry} (lag {self.lag}), norm {self.norm:.4g}, share {share}"
        return Table(("factor", "norm", "norm of the product so far"), rows).html(f"{what}: {figures}")

    @cached_property
    def factors(self) -> tuple[Factor, ...]:
        """The local Jacobians along the path, whose product is the term."""
        return tuple(
            Factor(e.head, e.tail, derivative(e.head, e.tail, direct=not e.jacobian.per_instance), e.jacobian)
            for e in self._edges
        )

    @cached_property
    def term(self) -> Array:
        """The product of the factors: shape of the target; 0 below 5e-324."""
        carried = self._before_last()
        return np.asarray(times_power(self._edges[-1].jacobian.vjp(carried.rows), carried.exponents)[0])

    def add_to(self, terms: TermSum) -> None:
        """Add the term to a sum of its own; nothing is lost where it is far below 1e-308."""
        carried = self._before_last()
        terms.add(np.zeros(1, dtype=np.int64), carried.rows, self._edges[-1].jacobian, carried.exponents)

    def _before_last(self) -> Stack:
        """The product of all factors but the last."""
        carried = Stack(np.zeros((1, 1), dtype=np.int64), np.ones(1))
        with np.errstate(all="ignore"):
            for edge in self._edges[:-1]:
                carried = rescaled(Stack(carried.labels, edge.jacobian.vjp(carried.rows), carried.exponents))
        return carried

    @cached_property
    def running_norms(self) -> tuple[float, ...]:
        """Norm of the product of the first 1, 2, … factors: where the path's contribution shrinks or grows."""
        rows, norms = np.ones(1), []
        for edge in self._edges:
            rows = edge.jacobian.vjp(rows)
            norms.append(frobenius(edge.jacobian.textbook(rows)))
        return tuple(norms)


def listing(paths: Sequence[Weighed]) -> Table:
    """The first paths of a list as a notebook shows them: typeset nodes, step of entry, lag, norm, share."""
    return Table(
        ("path", "enters at", "lag", "norm", "share"),
        [[" → ".join(map(typeset, p.nodes)), p.entry, p.lag, p.norm, p.share] for p in paths[:LISTED]],
    )


_TOLD = ("nodes", "loss", "entry", "lag", "norm", "log10_norm", "share")


def of_paths(paths: Iterable[Weighed], joined: bool = True) -> Table:
    """What is told of every path, a row each; its nodes `joined` by blanks, or as they are."""
    rows = ([getattr(path, name) for name in _TOLD] for path in paths)
    return Table(_TOLD, [[" ".join(nodes) if joined else nodes, *figures] for nodes, *figures in rows])


class Weighed(Protocol):
    """A path of any kind, with what it weighs."""

    @property
    def nodes(self) -> tuple[str, ...]: ...
    @property
    def loss(self) -> str: ...
    @property
    def entry(self) -> int: ...
    @property
    def lag(self) -> int: ...
    @property
    def norm(self) -> float: ...
    @property
    def log10_norm(self) -> float: ...
    @property
    def share(self) -> float: ...


Kind = TypeVar("Kind", bound=Weighed, covariant=True)


@dataclass(frozen=True, eq=False)
class Heaviest(Sequence[Kind]):
    """The heaviest paths of a set, heaviest first: a sequence of `Path`, or of paths from neuron to neuron.

    Attributes:
        by: what they are weighed by: norm, or share for its absolute value.
        exact: True where it is proved that no other path is heavier (by more than 1e-8 of its weight); False where
            these are the best found.
        bound: no path of the set that is not listed weighs more than this; 0 where all are listed, and never less than
            what float64 can say.
        expansions: how many partial paths the search took a step further; 0 where all paths were walked.
        left: G - Σ terms of the listed paths.
    """

    paths: tuple[Kind, ...]
    by: str
    exact: bool
    bound: float
    expansions: int
    left: Total = field(repr=False)
    _log10_bound: float | None = field(default=None, repr=False)

    def emptied(self, whole: Total) -> Heaviest[Kind]:
        """This list with its paths not listed: its bound is then the weight of the heaviest. `whole` is G."""
        weight = max(map(self.weight, self.paths), default=0.0)
        bound = self.bound if self.bound > weight else weight  # NaN where weights are
        return replace(self, paths=(), exact=True, bound=bound, left=whole)

    def weight(self, path: Weighed) -> float:
        """What a path is weighed by."""
        return path.norm if self.by == "norm" else abs(path.share)

    def _repr_html_(self) -> str:
        proved = "no other path is heavier" if self.exact else f"the first {self.certain} are certain"
        return listing(self.paths).html(f"the heaviest paths by {self.by}: {proved}", len(self))

    @overload
    def __getitem__(self, index: int) -> Kind: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Kind, ...]: ...
    def __getitem__(self, index: int | slice) -> Kind | tuple[Kind, ...]:
        return self.paths[index]

    def __len__(self) -> int:
        return len(self.paths)

    def as_table(self) -> Table:
        """A row a path: nodes, loss, entry, lag, norm, log10_norm, share."""
        return of_paths(self.paths)

    def to_pandas(self) -> pandas.DataFrame:
        """The same as a DataFrame, with tuples of nodes. Needs the extra `pandas`."""
        return of_paths(self.paths, joined=False).to_pandas()

    @property
    def log10_bound(self) -> float:
        """The logarithm of the bound, however small it is; -inf where that is 0."""
        if self._log10_bound is not None:
            return self._log10_bound
        return math.log10(self.bound) if self.bound > 0 else -math.inf

    @property
    def certain(self) -> int:
        """How many of them, from the first, no other path can outweigh."""
        if self.exact:
            return len(self)
        return sum(self.weight(path) >= self.bound for path in self.paths)

    @property
    def coverage(self) -> float:
        """The signed sum of their shares of the gradient; NaN where G = 0, or where float64 does not hold the sum."""
        try:
            return math.fsum(path.share for path in self.paths)
        except (OverflowError, ValueError):  # of shares of both signs that are too large, fsum says so
            return math.nan

    @property
    def residual(self) -> float:
        """‖G - Σ terms‖: the norm of what all other paths add up to; 0 below 5e-324."""
        return self.left.norm

    @property
    def rest(self) -> Array:
        """G - Σ terms, shape of the target."""
        return self.left.value
