"""Flow: the gradient taken apart by the labels of a fold, with norms, shares and exact path counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from unrollviz.allowance import memory_allowed, raising_memory
from unrollviz.arrays import Array, Labels
from unrollviz.errors import UnrollvizError
from unrollviz.export import LISTED, Table
from unrollviz.flows.grid import Grid
from unrollviz.flows.summed import ROW_LIMIT, Summed
from unrollviz.flows.table import tabulated
from unrollviz.gradient import Total, check_gradient, total_of
from unrollviz.graph import Graph
from unrollviz.sweep import ENTRY, LAG, LOSS, Fold
from unrollviz.way import Way

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class Flow:
    """The rows of a fold.

    Attributes:
        target: the parameter or node.
        by: what the labels are.
        columns: what each column of the labels is.
        norms: (rows,) Frobenius norm of each row's sum of terms; 0 below 5e-324.
        shares: (rows,) <term, G> / <G, G>; NaN where G = 0.
    """

    target: str
    by: str
    columns: tuple[str, ...]
    norms: Array
    shares: Array
    _total: Total = field(repr=False)
    _counts: Callable[[], Labels] = field(repr=False)
    _logs: Callable[[], Array] | None = field(repr=False)
    _labels: Callable[[], Labels] = field(repr=False)
    _terms: Callable[[], Array] = field(repr=False)

    def __repr__(self) -> str:
        return f"<Flow of {self.target} by {self.by}: {len(self.norms):,} rows, norm {self.total_norm:.6g}>"

    def _repr_html_(self) -> str:
        what = f"{self.target} by {self.by}: {len(self.norms):,} rows, norm {self.total_norm:.4g}"
        return self.as_table(LISTED).html(what, len(self.norms))

    def as_table(self, limit: int | None = None) -> Table:
        """A row a label (the first `limit`): its columns, `paths`, `norm`, `log10_norm`, `share`; None for a share that
        is undefined and for the logarithm of 0."""
        rows = slice(limit)
        labels = [[_cell(label) for label in row] for row in self.labels[rows].tolist()]
        figures = (
            self.counts[rows],
            self.norms[rows].tolist(),
            self.log10_norms[rows].tolist(),
            self.shares[rows].tolist(),
        )
        return Table(
            (*self.columns, "paths", "norm", "log10_norm", "share"),
            [
                [*label, count, norm, _finite(log), _finite(share)]
                for label, count, norm, log, share in zip(labels, *figures, strict=True)
            ],
        )

    def to_pandas(self) -> pandas.DataFrame:
        """`as_table` as a DataFrame, NaN for what is undefined. Needs the extra `pandas`."""
        return self.as_table().to_pandas()

    @cached_property
    def labels(self) -> Labels:
        """(rows, columns) whole numbers, in increasing order; what a function of one's own gave, as it is."""
        return self._labels()

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """The exact number of paths in each row, as Python integers."""
        return tuple(self._counts().tolist())

    @cached_property
    def log10_norms(self) -> Array:
        """(rows,) logarithms of the norms: finite however far the gradient has vanished, -inf where a term is 0."""
        if self._logs is not None:
            return self._logs()
        with np.errstate(divide="ignore"):
            return np.asarray(np.log10(self.norms))

    @property
    def gradient(self) -> Array:
        """G, the sum of all rows: shape of the target."""
        return self._total.value

    @property
    def total_norm(self) -> float:
        """‖G‖; 0 below 5e-324."""
        return self._total.norm

    @property
    def log10_total_norm(self) -> float:
        """log₁₀ ‖G‖, finite however far it has vanished; -inf where G = 0."""
        return self._total.log10_norm

    @property
    def cancellation(self) -> float:
        """κ = Σ‖term‖ / ‖G‖ ≥ 1; NaN where G = 0."""
        if self.total_norm == 0 and self.log10_total_norm > -math.inf:
            return float((10 ** (self.log10_norms - self.log10_total_norm)).sum())
        return cancellation(self.norms, self.total_norm)

    @property
    def terms(self) -> Array:
        """(rows, *shape of the target): every row's term, built on request.

        Raises UnrollvizError where they would take more than terms.MEMORY_LIMIT bytes."""
        return self._terms()


def _cell(label: object) -> str | int:
    return label if isinstance(label, int) else str(label)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def cancellation(norms: Array, total_norm: float) -> float:
    """κ = Σ‖term‖ / ‖G‖; NaN where G = 0."""
    return float(norms.sum() / total_norm) if total_norm > 0 else float("nan")


def most_rows(way: Way, losses: Sequence[str], fold: Sequence[Fold]) -> int:
    """How many rows a fold over time can have at most: labels are made of the steps t of losses and k of entries."""
    steps = len({step for _, step in way.entries()})
    timed = [column for column in (LOSS, ENTRY, LAG) if column in fold]
    if len(timed) > 1:
        return len(losses) * steps
    return {(): 1, (LOSS,): len(losses), (ENTRY,): steps, (LAG,): len(losses) + steps}[tuple(timed)]


def check_rows(rows: int, by: str) -> None:
    """Raise UnrollvizError where there are, or could be, more rows than ROW_LIMIT, or than fit into the memory that has
    been allowed."""
    allowed = memory_allowed(0)
    limit = allowed // _ROW if allowed else ROW_LIMIT
    if rows > limit:
        others = [name for name in ("lag", "entry", "loss") if name != by]
        raise UnrollvizError(
            f"{by} gives up to {rows:,} rows, the limit is {limit:,}; take {' or '.join(others)}, or fewer losses, or "
            f"{raising_memory(rows * _ROW)}"
        )


_ROW = 50
"""Bytes that the figures of a row take at their most: where nobody has allowed more, ROW_LIMIT rows fit into 1 GiB."""


def flow(
    graph: Graph | Way,
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
    way = graph if isinstance(graph, Way) else Way.to(graph, [target]).lean()
    grid = Grid.of(way, losses, fold)
    check_rows(len(grid) if grid is not None else most_rows(way, losses, fold), by)
    whole = total_of(way, losses, target)
    names = tuple(columns) or (by,)
    if grid is not None:
        found = tabulated(way, losses, target, fold, grid, whole)
    else:
        found = Summed.of(way, losses, target, fold).figures(whole)
    check_gradient(way.graph, losses, target, found.norms)

    def labels() -> Labels:
        return found.labels() if read is None else read(found.labels())

    def terms() -> Array:
        return Summed.of(way, losses, target, fold).terms()

    return Flow(target, by, names, found.norms, found.shares, whole, found.counts, found.logs, labels, terms)
