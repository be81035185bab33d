"""The questions one can ask of an unrolled network: what the command line, the terminal and notebooks call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy.typing as npt

from unrollviz import check as checking
from unrollviz import unrolled as unrolling
from unrollviz.arrays import Array
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.explain import explain, explain_total
from unrollviz.flow import Flow, edge_shares, flow, gradient
from unrollviz.graph import LEVELS, Graph, level_of_detail, names_of, node_named
from unrollviz.network import Network
from unrollviz.paths import Path, PathSet
from unrollviz.sweep import FOLDS

if TYPE_CHECKING:
    import graphviz


@dataclass(frozen=True)
class Run(unrolling.Unrolled):
    """An unrolled network and the questions one can ask of it. Made by `unroll`."""

    _levels: dict[tuple[str, str], Graph] = field(default_factory=dict, repr=False, compare=False)

    def level(self, detail: str = "state", target: str | None = None) -> Graph:
        """The graph at a level of LEVELS, on which `target` too is a landmark. Built once."""
        landmark = target is None or detail not in LEVELS or LEVELS[detail](node_named(self.graph, target))
        also = () if landmark else (str(target),)
        key = (detail, "".join(also))
        if key not in self._levels:
            self._levels[key] = level_of_detail(self.graph, detail, also)
        return self._levels[key]

    def loss_names(self, losses: str | Sequence[str] | None = None) -> list[str]:
        """`losses` as a list of valid names; all of them where None.

        Raises UnknownName, with the nearest loss."""
        known = names_of(self.graph, "loss")
        if losses is None:
            return known
        chosen = [losses] if isinstance(losses, str) else list(losses)
        for name in chosen:
            if name not in known:
                raise UnknownName("loss", name, known)
        return chosen

    def gradient(self, target: str, losses: str | Sequence[str] | None = None) -> Array:
        """∂L/∂target by one reverse sweep; of some losses only, where given. Shape of the target."""
        return gradient(self.graph, self.loss_names(losses), self._target(target))

    def gradients(self) -> dict[str, Array]:
        """∂L/∂ every parameter."""
        return {name: self.gradient(name) for name in names_of(self.graph, "parameter")}

    def paths(
        self, losses: str | Sequence[str] | None = None, to: str | None = None, *, detail: str = "state"
    ) -> PathSet:
        """All paths from the losses (None: every loss) back to a parameter or any other node.

        `run.paths("L4", "W")`, `run.paths(to="W")`, `run.paths("L4", "s1")`.

        Raises UnknownName for an unknown loss, node or level of detail."""
        if to is None:
            raise UnrollvizError("paths() needs the parameter or node they lead to; write paths('L4', 'W')")
        chosen = self.loss_names(losses)
        return PathSet(self.level(detail, self._target(to)), chosen, to)

    def flow(
        self, target: str, by: str = "lag", losses: str | Sequence[str] | None = None, *, detail: str = "state"
    ) -> Flow:
        """∂L/∂target taken apart by a fold: total, loss, entry, lag, temporal or path.

        Raises UnknownName for an unknown fold, target, loss or level of detail, TooManyPaths for too many by path."""
        chosen = self.loss_names(losses)
        graph = self.level(detail, self._target(target))
        if by == "path":
            return PathSet(graph, chosen, target).as_flow()
        if by not in FOLDS:
            raise UnknownName("fold", by, [*FOLDS, "path"])
        return flow(graph, chosen, target, FOLDS[by], by)

    def check(
        self, params: Sequence[str] | None = None, progress: Callable[[str], None] = lambda param: None
    ) -> checking.Report:
        """Path sum, reverse sweep, forward mode and central differences against each other."""
        return checking.check(self, params, progress)

    def explain(self, loss: str, param: str) -> str:
        """The chain rule for ∂loss/∂param in words and symbols, term by term, with the numbers.

        `loss` is one of L1 … LT, or L for their sum."""
        if loss == "L":
            return explain_total(self, self.flow(param, by="loss"))
        return explain(self, self.paths(loss, param))

    def draw(
        self,
        highlight: Path | Sequence[str] | None = None,
        *,
        target: str = "W",
        losses: str | Sequence[str] | None = None,
        detail: str = "state",
        color_by: str | None = None,
        title: str | None = None,
    ) -> graphviz.Digraph:
        """The unrolled graph, positions pinned, one path highlighted and the rest muted.

        Args:
            highlight: a path, or its nodes from the loss to the parameter.
            target, losses: with `color_by="share"`, whose paths the shares are of.
            color_by: `share` draws every edge by the summed share of all paths through it.
        """
        from unrollviz.draw.dot import picture

        chosen = self.loss_names(losses)
        if highlight is None or isinstance(highlight, Path):
            path = highlight
        else:
            path = self.paths(highlight[0], highlight[-1], detail=detail).find(highlight)
        target = target if path is None else path.nodes[-1]
        graph = self.level(detail, self._target(target))
        if path is not None and not nx.is_path(graph, path.nodes[::-1]):
            raise UnrollvizError(f"the path is not one of level {detail}; draw it at the level at which it was listed")
        if color_by not in (None, "share"):
            raise UnknownName("colouring", str(color_by), ["share"])
        shares = edge_shares(graph, chosen, target) if color_by == "share" else None
        return picture(graph, highlight=path, shares=shares, title=title)

    def _target(self, name: str) -> str:
        if name not in self.graph:
            raise UnknownName("parameter or node", name, self.graph)
        return name


def unroll(
    network: Network,
    xs: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    initial: npt.ArrayLike | None = None,
    vocabulary: Sequence[str] | None = None,
) -> Run:
    """See `unrollviz.unrolled.unroll`; the result also answers questions."""
    plain = unrolling.unroll(network, xs, targets, initial=initial, vocabulary=vocabulary)
    values: dict[str, Any] = {f.name: getattr(plain, f.name) for f in fields(unrolling.Unrolled)}
    return Run(**values)
