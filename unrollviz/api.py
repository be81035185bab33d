"""The questions one can ask of an unrolled network: what the command line, the terminal and notebooks call.

What answers a question is imported when it is asked, so that a command loads its own answer's modules and no others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, SupportsIndex, TypeAlias, Unpack, overload

import numpy.typing as npt

from unrollviz import unrolled as unrolling
from unrollviz.arrays import Array
from unrollviz.errors import NonFinite, UnknownName, UnrollvizError
from unrollviz.graph import LEVELS, Graph, level_of_detail, names_of, node_named
from unrollviz.network import Network as PlainNetwork

if TYPE_CHECKING:
    import graphviz

    from unrollviz.check import Report
    from unrollviz.diagnosis.diagnose import Diagnosis
    from unrollviz.draw.highlight import Spec
    from unrollviz.draw.matplot import Drawn
    from unrollviz.draw.view import Options as DrawOptions
    from unrollviz.flows.flow import Flow
    from unrollviz.flows.folds import By
    from unrollviz.gradient import Truncation
    from unrollviz.paths.pathset import PathSet
    from unrollviz.paths.prefixes import PrefixTree
    from unrollviz.paths.units import UnitPaths
    from unrollviz.plots import Plot
    from unrollviz.readers.found import Found
    from unrollviz.way import Way

Losses: TypeAlias = str | Sequence[str] | None
"""`L4`, `L3+L4`, or a sequence of names; None for all."""
Entry: TypeAlias = str | SupportsIndex | Iterable[SupportsIndex]
"""Steps at which paths enter a parameter: `1..10`, a step, or several."""
EXPLAINED = {"text": "explain", "latex": "explain_latex"}
"""Format of a derivation -> what writes it: the module's `explain` for one loss, its `explain_total` for their sum."""


@dataclass(frozen=True, eq=False, repr=False)
class Network(PlainNetwork):
    """A recurrent network that can be read from files and written to them. See `unrollviz.network.Network`."""

    @classmethod
    def load(
        cls, path: str | Path, *, readout: str | None = None, rnn: str | None = None, activation: str | None = None
    ) -> Self:
        """The network in a .npz, .safetensors, .pt, .pth or .onnx file; see `unrollviz.readers.weights.load`.

        Raises BadFile, `path: reason`, MissingExtra."""
        from unrollviz.readers.weights import load

        return cls.of(load(path, readout=readout, rnn=rnn, activation=activation))

    @classmethod
    def from_torch(cls, rnn: Any, readout: Any) -> Self:
        """The network of a live nn.RNN, nn.GRU or nn.LSTM and an nn.Linear that reads it out.

        Raises ShapeError where they are none, or do not fit each other."""
        from unrollviz.readers.weights import from_torch

        return cls.of(from_torch(rnn, readout))

    @classmethod
    def of(cls, found: Found) -> Self:
        """The network that a reader found."""
        return cls(found.cell, found.params, found.activation, found.layers, found.bidirectional)

    def save(self, path: str | Path) -> None:
        """Write to .npz or .safetensors; `load` gives it back bit for bit. In PyTorch's layout where it has the cell.

        Raises BadFile where it cannot be written."""
        from unrollviz.readers.weights import save

        save(self, path)


@dataclass(frozen=True, eq=False, repr=False)
class Run(unrolling.Unrolled):
    """An unrolled network and the questions one can ask of it. Made by `unroll`."""

    _levels: dict[tuple[str, str], Graph] = field(default_factory=dict, repr=False, compare=False)
    _ways: dict[tuple[str, str], Way] = field(default_factory=dict, repr=False, compare=False)

    def _repr_svg_(self) -> str:
        from unrollviz.draw.view import view

        return view(self).in_notebook()

    def plain_graph(self, detail: str = "state") -> Graph:
        """The graph at a level of LEVELS with attributes that any program understands; see `draw.graphdata.plain`."""
        from unrollviz.draw.graphdata import plain

        return plain(self.level(detail))

    def level(self, detail: str = "state", target: str | None = None) -> Graph:
        """The graph at a level of LEVELS, on which `target` too is a landmark. Built once."""
        landmark = target is None or detail not in LEVELS or LEVELS[detail](node_named(self.graph, target))
        also = () if landmark else (str(target),)
        key = (detail, "".join(also))
        if key not in self._levels:
            self._levels[key] = level_of_detail(self.graph, detail, also)
        return self._levels[key]

    def way(self, target: str, detail: str = "state") -> Way:
        """How sweeps walk a level back to `target`. Worked out once."""
        from unrollviz.way import Way

        key = (detail, target)
        if key not in self._ways:
            self._ways[key] = Way.to(self.level(detail, target), [target]).lean()
        return self._ways[key]

    @cached_property
    def _losses(self) -> tuple[str, ...]:
        return tuple(names_of(self.graph, "loss"))

    def loss_names(self, losses: Losses = None) -> list[str]:
        """`losses` as a list of valid names, of a text such as `L3+L4` too; all of them where None or `L`, their sum.

        Raises UnknownName, with the nearest loss."""
        known = self._losses
        if losses is None or losses == "L":
            return list(known)
        chosen = losses.replace(" ", "").split("+") if isinstance(losses, str) else list(losses)
        valid = set(known)
        for name in chosen:
            if name not in valid:
                raise UnknownName("loss", name, known)
        return list(dict.fromkeys(chosen))

    def gradient(self, target: str, losses: Losses = None, *, truncate: int | None = None) -> Array:
        """∂L/∂target by one reverse sweep; of some losses only, where given. Shape of the target.

        With `truncate` without the paths of a longer lag: truncated backpropagation."""
        from unrollviz.gradient import gradient, truncation

        chosen, name = self.loss_names(losses), self.target_named(target)
        if truncate is not None:
            return truncation(self.graph, chosen, name, truncate).gradient
        return gradient(self.graph, chosen, name)

    def truncation(self, target: str, steps: int, losses: Losses = None) -> Truncation:
        """How far backpropagation truncated after `steps` steps is from the true gradient: cosine and norm ratio."""
        from unrollviz.gradient import truncation

        return truncation(self.graph, self.loss_names(losses), self.target_named(target), steps)

    @property
    def recurrent_weight(self) -> str:
        """The parameter that questions are about where none is named: W, or that of the forget or candidate gate."""
        return self.network.recurrent_weight

    def gradients(self) -> dict[str, Array]:
        """∂L/∂ every parameter."""
        from unrollviz.gradient import gradients

        return gradients(self.graph, self.loss_names(), names_of(self.graph, "parameter"))

    @overload
    def paths(  # type: ignore[overload-overlap]
        self, losses: Losses = None, to: str | None = None, *, detail: Literal["unit"], entry: Entry | None = None
    ) -> UnitPaths: ...
    @overload
    def paths(
        self, losses: Losses = None, to: str | None = None, *, detail: str = "state", entry: Entry | None = None
    ) -> PathSet: ...
    def paths(
        self, losses: Losses = None, to: str | None = None, *, detail: str = "state", entry: Entry | None = None
    ) -> PathSet | UnitPaths:
        """All paths from the losses (None: every loss) back to a parameter or any other node.

        `run.paths("L4", "W")`, `run.paths(to="W")`, `run.paths("L4", "s1")`. From neuron to neuron, also to one entry:
        `run.paths("L4", "W[0,2]", detail="unit")`. With `entry`, "1..10" or the steps themselves, only those that enter
        the parameter at one of these steps: of L100 to W the ones with lags from 90 on.

        Raises UnknownName for an unknown loss, node or level of detail, UnrollvizError for steps at which no path from
        any loss enters."""
        if to is None:
            raise UnrollvizError("paths() needs the parameter or node they lead to; write paths('L4', 'W')")
        chosen = self.loss_names(losses)
        if detail not in (*LEVELS, "unit"):
            raise UnknownName("level of detail", detail, [*LEVELS, "unit"])
        if detail == "unit":
            from unrollviz.paths.neurons import Target
            from unrollviz.paths.units import UnitPaths

            target = Target.named(to)
            name = target.node
            every: PathSet | UnitPaths = UnitPaths(self.level("gate", self.target_named(name)), chosen, target)
        else:
            from unrollviz.paths.pathset import PathSet

            name = self.target_named(to)
            every = PathSet(self.level(detail, name), chosen, name)
        if entry is None:
            return every
        from unrollviz.draw.span import steps_named
        from unrollviz.paths.entry import steps_of_entry

        steps = steps_named(entry, self.steps, "entry") if isinstance(entry, str) else entry
        return every.entering(steps_of_entry(self.graph, name, steps, self.steps))

    def tree(self, losses: Losses = None, to: str | None = None, *, detail: str = "state") -> PrefixTree:
        """The same paths as a tree of partial paths, opened lazily, each with the exact count and share of all its
        completions. `to` is the recurrent weight where not given.

        Raises UnknownName for an unknown loss, node or level of detail."""
        from unrollviz.paths.prefixes import PrefixTree

        target, chosen = self.target_named(to or self.recurrent_weight), self.loss_names(losses)
        return PrefixTree(self.level(detail, target), chosen, target)

    def flow(self, target: str, by: By = "lag", losses: Losses = None, *, detail: str | None = None) -> Flow:
        """∂L/∂target taken apart by a fold.

        Args:
            by: total, loss, entry, lag, temporal, route or path; `route:W_f,highway` counts some kinds of edges only,
                `uses:W_f,highway` says whether a path has any;
                a function (label, edge) -> label, which is given None at a loss, and edges with the names of their
                nodes, `lambda n, edge: (n or 0) + edge.tail.startswith("c")`; or several of these.
            detail: the level whose paths are counted; state where not given, op for routes, which no other level has.

        Raises UnknownName for an unknown fold, target, loss or level of detail, TooManyPaths for too many by path."""
        chosen, name = self.loss_names(losses), self.target_named(target)
        parts = [by] if isinstance(by, str) or not isinstance(by, Sequence) else by
        if "path" in parts:
            from unrollviz.paths.pathset import PathSet

            return PathSet(self.level(detail or "state", name), chosen, name).as_flow(parts)
        from unrollviz.flows.flow import flow
        from unrollviz.flows.folds import grouping

        group = grouping(self.graph, by)
        if group.routes and detail not in (None, "op"):
            raise UnrollvizError(f"routes are made of single edges, which level {detail} has not; leave the level out")
        way = self.way(name, detail or ("op" if group.routes else "state"))
        return flow(way, chosen, name, group.fold, group.name, group.columns, group.read)

    def check(
        self, params: Sequence[str] | None = None, progress: Callable[[str], None] = lambda param: None
    ) -> Report:
        """Path sum, reverse sweep, forward mode and central differences against each other."""
        from unrollviz.check import check

        known = self.graph
        named = None if params is None else [name if name in known else self.target_named(name) for name in params]
        return check(self, named, progress)

    def diagnose(
        self,
        param: str | None = None,
        losses: Losses = None,
        truncate: int | None = None,
        *,
        broken: NonFinite | None = None,
    ) -> Diagnosis:
        """Findings on ∂L/∂param that one can act on, the worst first, and the figures that they rest on.

        Args:
            param: the recurrent weight where not given.
            truncate: judge backpropagation truncated after so many steps; where not given, at its reach of 90 %.
            broken: the error by which the forward pass ended, this run being `ask(broken.partial)`.
        """
        from unrollviz.diagnosis.diagnose import diagnose

        target, chosen = self.target_named(param or self.recurrent_weight), self.loss_names(None if broken else losses)
        return diagnose(self, self.level(), target, chosen, truncate, broken)

    def explain(self, loss: str, param: str, *, format: str = "text", numbers: bool = True) -> str:
        """The chain rule for ∂loss/∂param in words and symbols, term by term, with the numbers.

        Args:
            loss: one of L1 … LT, or L for their sum.
            format: text, or latex for a document that pdflatex compiles.
            numbers: False leaves out all figures.
        """
        if format not in EXPLAINED:
            raise UnknownName("format", format, EXPLAINED)
        if loss != "L" and len(self.loss_names(loss)) > 1:
            raise UnrollvizError(f"{loss} is a sum; explain one loss, or L, the sum of all")
        writer = import_module(f"unrollviz.{EXPLAINED[format]}")
        if loss == "L":
            return str(writer.explain_total(self, self.flow(param, by="loss"), numbers))
        return str(writer.explain(self, self.paths(loss, param), numbers))

    def draw(self, highlight: Spec | None = None, **options: Unpack[DrawOptions]) -> graphviz.Digraph:
        """The unrolled graph as a picture, positions pinned; notebooks show it.

        Args:
            highlight: a path, its index or its nodes from the loss to the parameter; or a group of paths as text:
                `lag:3`, `loss:L4`, `entry:2`, `top:5`, `route:weights=0,highway`. The rest is muted.
            options: target and losses, whose paths are spoken of; detail: state, gate or op; color_by: share, norm,
                lag, value or gradient; steps, as "1..8"; every, one step in so many; fold=False for every step;
                theme: light or dark; title, caption; parameters, values: whether these are told.

        Raises UnknownName, UnrollvizError for what is not there.
        """
        from unrollviz.draw.formats import honours
        from unrollviz.draw.view import view

        honours("dot", options)
        return view(self, highlight, **options).picture()

    def page(self, highlight: Spec | None = None, **options: Unpack[DrawOptions]) -> str:
        """One HTML page that needs no other file and no network: the picture, the paths from the losses to the target,
        M[t,k], and both passes to replay. Arguments as of `draw`; the page opens with what is to be highlighted.

        `Path("page.html").write_text(run.page(), encoding="utf-8")`"""
        from unrollviz.draw.formats import honours
        from unrollviz.draw.page.page import page
        from unrollviz.draw.view import view

        honours("html", options)
        return page(view(self, highlight, **options)).decode("utf-8")

    def plotted(self, name: str, param: str | None = None, losses: Losses = None) -> Plot:
        """The numbers of a plot in `plots.PLOTS`: what `plot` draws, and `unrollviz plot` prints."""
        from unrollviz.plots import Asked, plot

        target = self.target_named(param or self.recurrent_weight)
        return plot(name, Asked(self, self.level("state", target), tuple(self.loss_names(losses)), target))

    def plot(
        self,
        name: str = "matrix",
        param: str | None = None,
        losses: Losses = None,
        *,
        title: str | None = None,
        theme: str = "light",
    ) -> Drawn:
        """A plot of `plots.PLOTS` as a matplotlib figure: matrix, lag, loss, entry, route, jacobians, cancellation.

        Raises UnknownName for another plot, MissingExtra without matplotlib."""
        from unrollviz.draw.matplot import figure

        return figure(self.plotted(name, param, losses), title, theme)

    def target_named(self, name: str) -> str:
        """The parameter or node of that name, to which paths can lead. Raises UnknownName, UnrollvizError."""
        if name.startswith("l1.") and name not in self.graph and name[3:] in self.graph:
            return name[3:]  # what it would be called if there were more layers
        several = [
            param
            for param in self.network.params
            if param.rpartition(".")[2].startswith(f"{name}_") or param.endswith(f".{name}")
        ]
        if name not in self.graph and several:
            raise UnrollvizError(f"there are several {name} here; choose one of {', '.join(several)}")
        if name.partition("[")[0] in self.graph and re.fullmatch(r"\S+\[\d+(, ?\d+)*\]", name):
            raise UnrollvizError(
                f"{name} is one entry of a node; paths from neuron to neuron lead there: unrollviz paths --param "
                f"'{name}' --detail unit (in Python: detail=\"unit\"); or ask for all of {name.partition('[')[0]}"
            )
        if name not in self.graph:
            from unrollviz.readers.pytorch_names import ours

            raise UnknownName("parameter or node", name, self.graph, ours(name, self.network))
        if self.graph.nodes[name]["role"] == "loss":
            raise UnrollvizError(f"{name} is a loss, where paths begin; ask for a parameter or another node")
        return name


def unroll(
    network: PlainNetwork, xs: npt.ArrayLike, targets: npt.ArrayLike, **options: Unpack[unrolling.Options]
) -> Run:
    """See `unrollviz.unrolled.unroll`; the result also answers questions."""
    return ask(unrolling.unroll(network, xs, targets, **options))


def ask(unrolled: unrolling.Unrolled) -> Run:
    """`unrolled`, made to answer questions."""
    values: dict[str, Any] = {f.name: getattr(unrolled, f.name) for f in fields(unrolling.Unrolled)}
    return Run(**values)
