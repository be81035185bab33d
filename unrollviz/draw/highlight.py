"""What a picture highlights: one path, or a group of paths with its exact number, norm and share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import networkx as nx
import numpy as np

from unrollviz.counts import integer
from unrollviz.draw.layout import EdgeName
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.flows.folds import kinds
from unrollviz.flows.groups import Group, Sum, Uses, avoiding, passing, summed
from unrollviz.gradient import count_paths
from unrollviz.graph import Graph
from unrollviz.jacobians import frobenius
from unrollviz.names import clean, derivative, typeset
from unrollviz.paths.pathset import Path, PathSet
from unrollviz.paths.units import UnitPath
from unrollviz.way import Way

if TYPE_CHECKING:
    from unrollviz.api import Run

Spec: TypeAlias = Path | UnitPath | str | int | Sequence[str]
"""What can be highlighted: a path; its index, from 0; its nodes; or text as `--highlight` takes it. At level unit, an
index or `place:2` is a place among the heaviest."""


TOLD = 2 * 10**8
"""Rows of a sweep up to which folded spans say how much of a group visits them: some ten seconds."""


@dataclass(frozen=True)
class Highlight:
    """One path, or a group.

    Attributes:
        words: what it is: `lag 3`, `the 5 heaviest paths`.
        path: the path, where it is one.
        sum: number of paths, norm of the sum of their terms, share.
        of: the number of paths in the whole set.
        edges: (tail, head, key) -> the summed share of the highlighted paths through it.
        needed: steps that show what it is, the most important first.
        through: sets of times, no time in two -> number and share of the highlighted paths that visit each of them;
            none of these figures where they would take long.
        whose: what the shares are of: `∂L/∂W`; empty where that is not known.
        neurons: the neurons that a path of level unit visits, in words.
    """

    words: str
    path: Path | None
    sum: Sum
    of: int
    edges: Mapping[EdgeName, float] = field(repr=False)
    needed: tuple[tuple[int, ...], ...] = field(repr=False)
    through: Callable[[Sequence[Sequence[int]]], list[tuple[int, float]]] = field(repr=False)
    whose: str = ""
    neurons: str = ""


@dataclass(frozen=True)
class _Asked:
    """The set of paths of which something is highlighted."""

    run: Run
    paths: PathSet
    detail: str


def from_neuron_to_neuron(
    run: Run, losses: str | Sequence[str] | None, target: str, spec: Spec | None
) -> tuple[PathSet, Highlight]:
    """A path of level unit, at level gate: the nodes whose neurons it visits, with figures of its own; and the paths
    among which it lies there.

    Raises UnrollvizError where `spec` names none."""
    path = spec if isinstance(spec, UnitPath) else _unit(run, losses, target, spec)
    nodes = [name.partition("[")[0] for name in path.nodes]
    paths = run.paths(path.loss, nodes[-1], detail="gate")
    lit = replace(paths.find(nodes), norm=path.norm, log10_norm=path.log10, share=path.share)
    whole = derivative("L" if losses is None else path.loss if isinstance(losses, str) else "L′", target)
    found = replace(_one(_Asked(run, paths, "gate"), lit), words="from neuron to neuron", whose=whole)
    return paths, replace(found, neurons=" → ".join(map(typeset, path.nodes)))


def _unit(run: Run, losses: str | Sequence[str] | None, target: str, spec: Spec | None) -> UnitPath:
    """The heaviest path of level unit, or whose place among the heaviest `spec` says."""
    text = f"place:{spec + 1}" if isinstance(spec, int) else spec if isinstance(spec, str) else ""
    place = text.strip().removeprefix("place:").strip()
    if not place.isdecimal() or int(place) < 1:
        raise UnrollvizError(
            "at level unit one path from neuron to neuron is drawn; say which by its place among the heaviest, "
            "place:1 (unrollviz paths --detail unit lists them)"
        )
    found = run.paths(losses, target, detail="unit").top(int(place))
    if len(found) < int(place):
        raise UnrollvizError(f"there is no path {place}; there are {len(found)} from neuron to neuron")
    return found[int(place) - 1]


def highlighted(run: Run, paths: PathSet, detail: str, spec: Spec) -> Highlight:
    """What `spec` names among `paths`, which are those of a level of detail.

    Raises UnknownName, UnrollvizError where it names nothing there."""
    asked = _Asked(run, paths, detail)
    if isinstance(spec, Path):
        sets = (paths, run.paths(spec.nodes[0], spec.nodes[-1], detail=detail))
        whole = next((one for one in sets if spec.rank < one.count and one[spec.rank] == spec), None)
        found = _one(asked if whole is None else replace(asked, paths=whole), spec)
        return found if whole is not None else replace(found, whose="")
    if isinstance(spec, UnitPath):
        raise UnrollvizError("a path from neuron to neuron is drawn at level unit; say detail='unit'")
    if isinstance(spec, int):
        return _one(asked, paths[spec])
    if not isinstance(spec, str):
        return _named(asked, list(spec), ",".join(spec))
    text = spec.strip()
    word, colon, rest = text.partition(":")
    if colon and word == "place":
        return _place(asked, rest.strip())
    if colon and word in GROUPS:
        return GROUPS[word].make(asked, rest.strip())
    if colon and word.isalpha():
        raise UnknownName("highlight", clean(word), [*GROUPS, "place"])
    if text.isdecimal():
        if not 1 <= int(text) <= paths.count:
            raise UnrollvizError(f"there is no path {text}; give a number from 1 to {integer(paths.count)}")
        return _one(asked, paths[int(text) - 1])
    if text in run.loss_names():
        return _loss(asked, text)
    return _named(asked, [name.strip() for name in text.split(",")], text)


# ------------------------------------------------------------------------------------------------ one path


def _named(asked: _Asked, nodes: list[str], text: str) -> Highlight:
    """A path by its nodes: among those asked for, or else among those from its own loss to its own target."""
    if nodes[0] not in asked.run.loss_names() or len(nodes) < 2:
        example = ",".join(asked.paths.nodes(0)) if asked.paths.count else "L4,yhat4,s4,s3,W"
        raise UnrollvizError(
            f"--highlight '{clean(text)}' is no path; give its number in unrollviz paths, or all its nodes from the "
            f"loss back: {example}; or a group: {', '.join(group.example for group in GROUPS.values())}"
        )
    paths = asked.paths
    if nodes[0] not in paths.losses or nodes[-1] != paths.target:
        paths = asked.run.paths(nodes[0], nodes[-1], detail=asked.detail)
    return _one(replace(asked, paths=paths), paths.find(nodes))


def _one(asked: _Asked, path: Path) -> Highlight:
    graph = asked.paths.graph
    if not nx.is_path(graph, path.nodes[::-1]):
        raise UnrollvizError(
            f"the path is not one of level {asked.detail}; draw it at the level at which it was listed"
        )
    times = [time for time in (graph.nodes[name]["time"] for name in path.nodes) if time is not None]
    loss = times[0]
    ends = ((loss, path.entry), (loss - 1, path.entry + 1), (loss + 1, path.entry - 1), tuple(times))
    return Highlight(
        f"path {path.rank + 1} of {of_losses(asked.run, asked.paths)}",
        path,
        Sum(1, path.norm, path.share, np.zeros(0)),
        asked.paths.count,
        dict.fromkeys(edges_of(graph, path), path.share),
        ends,
        lambda several: [(1, path.share) if set(times) & set(hidden) else (0, 0.0) for hidden in several],
        of_losses(asked.run, asked.paths),
    )


def _place(asked: _Asked, text: str) -> Highlight:
    if not text.isdecimal() or int(text) < 1:
        raise UnrollvizError(f"place '{clean(text)}' is no place; give one as place:2, the second heaviest path")
    heaviest = asked.paths.top(int(text), by="norm")
    if len(heaviest) < int(text):
        raise UnrollvizError(f"there is no place {text}; there are {len(heaviest)} paths")
    return replace(_one(asked, heaviest[-1]), words=f"place {text} of the heaviest paths")


def of_losses(run: Run, paths: PathSet) -> str:
    """`∂L₄/∂W`; of several losses but not all `∂L′/∂W`."""
    whole = len(paths.losses) == len(run.loss_names())
    return derivative("L" if whole else paths.losses[0] if len(paths.losses) == 1 else "L′", paths.target)


def edges_of(graph: Graph, path: Path) -> list[EdgeName]:
    """The path's edges, from the loss back. Raises KeyError where it is not a path of `graph`."""
    edges = []
    for factor in path.factors:
        parallel = graph[factor.tail][factor.head]
        key = next((key for key, data in parallel.items() if data["jacobian"] is factor.jacobian), min(parallel))
        edges.append((factor.tail, factor.head, key))
    return edges


# ------------------------------------------------------------------------------------------------ groups


def _lag(asked: _Asked, text: str) -> Highlight:
    try:
        lag = int(text.replace("−", "-"))
    except ValueError:
        raise UnrollvizError(f"lag '{clean(text)}' is no number of steps; give one as lag:3") from None
    return _group(asked, f"lag {lag}", Group(asked.paths.losses, lag=lag))


def _entry(asked: _Asked, text: str) -> Highlight:
    if not text.isdecimal():
        raise UnrollvizError(f"entry '{clean(text)}' is no step; give one as entry:2")
    step = int(text)
    found = _group(asked, f"entering at step {step}", Group(asked.paths.losses, entries=(step,)))
    return replace(found, needed=((step,), (step + 1, step - 1)))


def _loss(asked: _Asked, name: str) -> Highlight:
    loss = asked.run.loss_names(name)[0]
    if loss not in asked.paths.losses:
        raise UnrollvizError(f"{loss} is not among the losses asked for; leave --loss out, or highlight one of them")
    step = asked.paths.graph.nodes[loss]["time"]
    found = _group(asked, f"from {typeset(loss)}", Group((loss,)))
    return replace(found, needed=((step,), (step - 1, step + 1), (step - 2,)))


def _route(asked: _Asked, text: str) -> Highlight:
    whole = asked.run.level("op")
    known = kinds(whole)
    names = [*known, *dict.fromkeys(group for group, _ in known.values())]
    uses, words = [], []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        members = [edges for kind, (group, edges) in known.items() if name in (kind, group)]
        if not members:
            raise UnknownName("kind of edge", clean(name), names)
        if equals and not number.isdecimal():
            raise UnrollvizError(f"'{clean(part)}' counts nothing; write {name}=2, or {name} for at least once")
        edges = frozenset[tuple[str, str, int]]().union(*members)
        uses.append(Uses(edges, int(number), int(number)) if equals else Uses(edges, 1))
        words.append(f"through {name}" if not equals else f"{name} {int(number)} ×" if int(number) else f"no {name}")
    if not uses:
        raise UnrollvizError(f"route: names no kind of edge; write route:{names[0] if names else 'W'}=1")
    return _group(asked, "route: " + ", ".join(words), Group(asked.paths.losses, uses=tuple(uses)))


def _group(asked: _Asked, words: str, group: Group) -> Highlight:
    """A group that a rule describes: its figures by sweeps, however many paths it has."""
    paths, graph = asked.paths, asked.paths.graph
    landmarks = None
    if group.uses and asked.detail != "op":  # routes are made of single edges
        landmarks, graph = set(graph), asked.run.level("op")
    whole, way = paths.gradient, Way.to(graph, [paths.target])
    total = summed(way, group, paths.target, whole)
    if total.count == 0:
        raise UnrollvizError(
            f"no path from {', '.join(paths.losses[:3])}{' …' if len(paths.losses) > 3 else ''} to {paths.target} "
            f"is one of {words}; unrollviz flow lists what there is"
        )

    def through(several: Sequence[Sequence[int]]) -> list[tuple[int, float]]:
        labels = 1 if group.lag is None else len(paths.losses)
        if asked.run.network.bidirectional is False and group.lag is not None:
            labels = min(labels, abs(group.lag) + 1)
        if len(several) * labels * len(graph) > TOLD:
            return []
        rests = avoiding(way, group, paths.target, whole, several)
        return [(total.count - count, total.share - share) for count, share in rests]

    edges = passing(graph, group, paths.target, whole, landmarks)
    of = count_paths(way, paths.losses, paths.target)
    return Highlight(words, None, total, of, edges, (), through)


def _top(asked: _Asked, text: str) -> Highlight:
    if not text.isdecimal() or int(text) < 1:
        raise UnrollvizError(f"top '{clean(text)}' is no number of paths; give one as top:5")
    paths, graph = asked.paths, asked.paths.graph
    heaviest = paths.top(int(text), by="norm")
    if not len(heaviest):
        raise UnrollvizError(f"no path leads to {paths.target}; there is nothing to highlight")
    term = paths.gradient - heaviest.rest
    edges: dict[EdgeName, float] = {}
    visited = []
    for path in heaviest:
        for edge in edges_of(graph, path):
            edges[edge] = edges.get(edge, 0.0) + path.share
        times = (graph.nodes[name]["time"] for name in path.nodes)
        visited.append({time for time in times if time is not None})

    def through(several: Sequence[Sequence[int]]) -> list[tuple[int, float]]:
        hits = [
            [path.share for path, steps in zip(heaviest, visited, strict=True) if not steps.isdisjoint(hidden)]
            for hidden in several
        ]
        return [(len(shares), float(np.sum(shares))) for shares in hits]

    words = f"the {len(heaviest)} heaviest paths" if len(heaviest) > 1 else "the heaviest path"
    total = Sum(len(heaviest), frobenius(term), heaviest.coverage, term)
    ends = tuple((max(steps), min(steps)) for steps in visited)
    return Highlight(words, None, total, paths.count, edges, (*ends, *map(tuple, visited)), through)


@dataclass(frozen=True)
class Kind:
    """A kind of group: what it is, an example, and what finds it."""

    meaning: str
    example: str
    make: Callable[[_Asked, str], Highlight]


GROUPS: dict[str, Kind] = {
    "lag": Kind("paths that reach back so many steps", "lag:3", _lag),
    "entry": Kind("paths that enter the parameter at a step", "entry:2", _entry),
    "loss": Kind("paths from one loss", "loss:L4", _loss),
    "route": Kind("paths by how often they use kinds of edges", "route:weights=0,highway", _route),
    "top": Kind("the heaviest paths", "top:5", _top),
}
"""Word before the colon -> kind of group."""
