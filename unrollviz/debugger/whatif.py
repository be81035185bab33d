"""What if: a number set, a path cut, a cotangent clipped. Edits are values; applied to a run they give another run."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import networkx as nx
import numpy as np

from unrollviz.api import Run, ask
from unrollviz.arrays import Array, arithmetic, many_objects
from unrollviz.charts import InChart
from unrollviz.composite import scaled
from unrollviz.debugger.expressions import shown, written
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.gradient import check_gradient
from unrollviz.graph import LEVELS, Graph, names_of, node_named
from unrollviz.jacobians import Jacobian, frobenius
from unrollviz.names import clean
from unrollviz.sweep import FOLDS, sweep
from unrollviz.terms import TermSum
from unrollviz.unrolled import unroll_batch
from unrollviz.way import completions

EdgeName: TypeAlias = tuple[str, str, int]

GRADIENT = "gradient"
"""What `clip` calls all parameters together."""


class BadEdit(UnrollvizError):
    """An edit that cannot be made; the message says what can."""


@dataclass(frozen=True)
class Set:
    """An entry of a node gets another value; all is computed anew from there.

    An entry of a computed node, a state above all, then no longer depends on anything: it has a cotangent as before,
    and hands nothing of it back. Its paths remain and are counted, with 0 for that entry's part in them."""

    name: str
    index: tuple[int, ...]
    value: float

    @property
    def text(self) -> str:
        """As it is typed; `edit` makes the same edit from it, to the last bit."""
        return f"set {self.name}{written(self.index)} = {self.value!r}"


@dataclass(frozen=True)
class Cut:
    """No cotangent goes from `head` back to `tail`, as if `tail` had been detached there; values stay as they are."""

    head: str
    tail: str

    @property
    def text(self) -> str:
        return f"cut {self.head} -> {self.tail}"


@dataclass(frozen=True)
class Clip:
    """A cotangent is scaled down to a norm where it is larger, before it is handed on; `gradient` means all parameters
    together (Pascanu, Mikolov & Bengio 2013, section 3.2)."""

    name: str
    norm: float

    @property
    def text(self) -> str:
        return f"clip {self.name} {self.norm!r}"


Edit: TypeAlias = Set | Cut | Clip

FORMS: dict[str, str] = {
    "set": "set W[0, 1] = 0.5, set x3[2] = 1, set s3[1] = 0.2",
    "cut": "cut s3 -> s2",
    "clip": "clip s3 0.1, clip gradient 1",
}


def edit(text: str, run: Run) -> Edit:
    """The edit of `run` in `text`, one of FORMS.

    Raises BadEdit where it is broken or cannot be made, UnknownName, with the nearest, for an unknown name."""
    kind, _, rest = text.strip().partition(" ")
    if kind not in FORMS and re.match(r"[^\s\[\]=]+\s*\[[^\]]*\]\s*=", text.strip()):
        kind, rest = "set", text.strip()
    made: Edit
    if kind == "set" and (found := re.fullmatch(r"\s*([^\s\[\]=]+)\s*\[([-\d,\s]+)\]\s*=\s*(\S+)\s*", rest)):
        made = Set(found[1], _index(found[2], text), _number(found[3]))
        return replace(made, index=_checked_index(run, made))
    if kind == "cut" and (found := re.fullmatch(r"\s*(\S+)\s*->\s*(\S+)\s*", rest)):
        made = Cut(found[1], found[2])
        severed(run.graph, made)
        return made
    if kind == "clip" and (found := re.fullmatch(r"\s*(\S+)\s+(?:to\s+)?(\S+)\s*", rest)):
        made = Clip(found[1], _number(found[2]))
        if made.norm < 0:
            raise BadEdit(f"a norm is not negative; write {FORMS['clip']}")
        if made.name != GRADIENT and node_named(run.graph, clean(made.name))["role"] == "loss":
            raise BadEdit(f"∂L/∂{made.name} is 1 by definition; clip a node behind it")
        return made
    if kind not in FORMS:
        raise UnknownName("edit", clean(kind), FORMS)
    raise BadEdit(f"'{clean(text)}' is no edit; write {FORMS[kind]}")


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadEdit(f"'{clean(text)}' is no finite number; write it as 0.5 or 1e-3")
    return value


def _index(text: str, whole: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"-?\d{1,9}", part) for part in parts):
        raise BadEdit(f"'{clean(whole)}' names no entry; write {FORMS['set']}")
    return tuple(map(int, parts))


def _checked_index(run: Run, made: Set) -> tuple[int, ...]:
    """The index of one entry, counted from 0 upwards."""
    node = node_named(run.graph, clean(made.name))
    if node["role"] in ("output", "loss"):
        raise BadEdit(f"{made.name} is read off the logits; set these, or a state that they come from")
    shape = shown(node["value"]).shape
    fits = len(made.index) == len(shape) and all(-size <= i < size for i, size in zip(made.index, shape, strict=False))
    if not fits:
        raise BadEdit(f"{made.name} has shape {shape} and no entry {written(made.index)}; entries are counted from 0")
    return tuple(i % size for i, size in zip(made.index, shape, strict=True))


def severed(graph: Graph, cut: Cut) -> list[EdgeName]:
    """The edges of the traced graph that go, so that no path leads from the head to the tail without a state between.

    Raises UnknownName for an unknown node; BadEdit where there is no such path, or where more paths would go with it.
    """
    node_named(graph, clean(cut.head))
    node_named(graph, clean(cut.tail))
    landmarks = {name for name, node in graph.nodes(data=True) if LEVELS["state"](node)} | {cut.head, cut.tail}
    inside, reached = _before(graph, cut.head, landmarks)
    found = [(cut.tail, head, key) for head in graph.succ[cut.tail] if head in inside for key in graph[cut.tail][head]]
    if not found:
        near = ", ".join(sorted(reached)) or "nothing"
        raise BadEdit(f"no path leads from {cut.head} straight back to {cut.tail}; from there it leads to {near}")
    _, others = _before(graph.reverse(copy=False), cut.tail, landmarks, first=inside)
    shared = sorted(others - {cut.head})
    if shared:
        raise BadEdit(
            f"{cut.head} and {shared[0]} get {cut.tail} through the same node, so that one cannot be cut alone; cut an "
            "edge of level op"
        )
    return found


def _before(
    graph: Graph, start: str, landmarks: Collection[str], first: Collection[str] | None = None
) -> tuple[set[str], set[str]]:
    """The nodes between `start` and the landmarks before it, with `start` itself; and these landmarks.

    `first` restricts the nodes that are entered from `start`."""
    inside, reached, stack = {start}, set[str](), [start]
    while stack:
        node = stack.pop()
        for tail in graph.pred[node]:
            if node == start and first is not None and tail not in first:
                continue
            if tail in landmarks:
                reached.add(tail)
            elif tail not in inside:
                inside.add(tail)
                stack.append(tail)
    return inside, reached


def applied(run: Run, edits: Sequence[Edit], losses: Sequence[str]) -> Run:
    """The run with all edits made: numbers first, from which everything is computed anew; then, in order, cuts and
    clips, for which only the graph changes. Norms to clip by are those of the gradient of `losses`.

    Raises NonFinite where a value or a cotangent overflows."""
    changed = _with_numbers(run, [made for made in edits if isinstance(made, Set)])
    for made in edits:
        if isinstance(made, Cut):
            changed = _with_graph(changed, cut=severed(changed.graph, made))
        elif isinstance(made, Clip):
            changed = _with_graph(changed, scale=_clipped(changed, made, losses))
    return changed


def _with_numbers(run: Run, edits: Sequence[Set]) -> Run:
    if not edits:
        return run
    params: dict[str, Array] = {}
    inputs = run.batch.inputs.copy()
    initial = {name: value.copy() for name, value in run.batch.initial.items()}
    overrides: dict[str, dict[tuple[int, ...], float]] = {}
    for made in edits:
        role = run.graph.nodes[made.name]["role"]
        if role == "parameter":
            array = params.setdefault(made.name, np.array(run.network.params[made.name]))
        elif role == "input":
            array = inputs[run.graph.nodes[made.name]["time"] - 1]
        elif role == "initial":
            array = initial[_given_as(made.name, initial)]
        else:
            index = made.index if len(made.index) == run.graph.nodes[made.name]["value"].ndim else (0, *made.index)
            overrides.setdefault(made.name, {})[index] = made.value
            continue
        (array if len(made.index) == array.ndim else array[0])[made.index] = made.value
    batch = replace(run.batch, inputs=inputs, initial=initial)
    changed = ask(unroll_batch(run.network.replace(**params), batch, overrides=overrides))
    for name, symbol in run.graph.nodes(data="symbol"):
        if symbol is not None:
            changed.graph.nodes[name]["symbol"] = symbol
    return changed


def _given_as(node: str, initial: Mapping[str, Array]) -> str:
    """The name under which an initial state is given: that of step 0, also where a layer begins at the other end."""
    stem = node.rstrip("0123456789")
    return next(name for name in initial if name.rstrip("0") == stem)


def _clipped(run: Run, made: Clip, losses: Sequence[str]) -> dict[EdgeName, float]:
    """By how much every edge back into the clipped nodes is scaled."""
    nodes = names_of(run.graph, "parameter") if made.name == GRADIENT else [made.name]
    found = gradients(run, losses) if made.name == GRADIENT else {made.name: run.gradient(made.name, losses)}
    norm = math.hypot(*map(frobenius, found.values()))
    if norm <= made.norm:
        return {}
    edges = (edge for name in nodes for edge in run.graph.out_edges(name, keys=True))
    return dict.fromkeys(edges, made.norm / norm)


@many_objects()
def _with_graph(run: Run, cut: Collection[EdgeName] = (), scale: Mapping[EdgeName, float] | None = None) -> Run:
    """The run on a copy of its graph: the edges in `cut` lead to a detached copy of their tail, others are scaled."""
    factors, detached = scale or {}, {tail: f"cut({tail})" for tail, _, _ in cut}
    cut = frozenset(cut)
    graph = nx.MultiDiGraph()
    for name, node in run.graph.nodes(data=True):
        graph.add_node(name, **node)
        leaf = detached.get(name)
        if leaf is not None and leaf not in run.graph:
            graph.add_node(leaf, **{**node, "op": None, "role": "hidden", "label": f"cut({node['label']})"})
    for head in run.graph:
        for tail, parallel in run.graph.pred[head].items():
            for key, attributes in parallel.items():
                edge = (tail, head, key)
                jacobian = attributes["jacobian"]
                if edge in factors:
                    jacobian = _times(jacobian, factors[edge])
                graph.add_edge(detached[tail] if edge in cut else tail, head, key=key, jacobian=jacobian)
    return replace(run, graph=graph, _levels={})


def _times(jacobian: Jacobian, factor: float) -> Jacobian:
    if isinstance(jacobian, InChart):  # the chart stays outside, for it is what matrix() and norm() look at
        return replace(jacobian, jacobian=_times(jacobian.jacobian, factor))
    return scaled(jacobian, np.full(jacobian.out_shape, factor))


LISTED = 2_000
"""Up to this many paths are gone through to say which have vanished; their numbers are exact in any case."""


@dataclass(frozen=True)
class GradientChange:
    """∂L/∂`name` before and after: norms, and the cosine of the angle between them (NaN where one is 0)."""

    name: str
    old: float
    new: float
    cosine: float


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        losses: (name, old, new) of every loss asked for.
        gradients: one for all parameters together, called `gradient`, and one each.
        counts: (name of a loss, old, new): how many paths lead from it to the target, exact.
        vanished: the paths to the target that are no more, node by node; None where there are too many to look.
    """

    target: str
    losses: tuple[tuple[str, float, float], ...]
    gradients: tuple[GradientChange, ...]
    counts: tuple[tuple[str, int, int], ...]
    vanished: tuple[tuple[str, ...], ...] | None

    @property
    def loss(self) -> tuple[float, float]:
        """Σ L_t before and after."""
        return math.fsum(old for _, old, _ in self.losses), math.fsum(new for _, _, new in self.losses)

    @property
    def count(self) -> tuple[int, int]:
        """Paths to the target before and after."""
        return sum(old for _, old, _ in self.counts), sum(new for _, _, new in self.counts)


def compare(old: Run, new: Run, losses: Sequence[str], target: str, detail: str) -> Comparison:
    """What has changed between two runs of the same network and steps.

    Raises NonFinite where a cotangent overflows."""
    values = tuple((n, float(old.graph.nodes[n]["value"]), float(new.graph.nodes[n]["value"])) for n in losses)
    before, after = gradients(old, losses), gradients(new, losses)
    whole = (np.concatenate([gradient.ravel() for gradient in side.values()]) for side in (before, after))
    ways = [completions(run.level(detail, target), target) for run in (old, new)]
    counts = tuple((loss, ways[0].get(loss, 0), ways[1].get(loss, 0)) for loss in losses)
    compared = Comparison(
        target,
        values,
        (_change(GRADIENT, *whole), *(_change(name, before[name], after[name]) for name in before)),
        counts,
        (),
    )
    was, rest = compared.count
    if was == rest:  # edits only ever take paths away
        return compared
    if was > LISTED:
        return replace(compared, vanished=None)
    old_paths, new_paths = (run.paths(losses, target, detail=detail) for run in (old, new))
    left = {new_paths.nodes(rank) for rank in range(rest)}
    every = map(old_paths.nodes, range(was))
    return replace(compared, vanished=tuple(nodes for nodes in every if nodes not in left))


def gradients(run: Run, losses: Sequence[str]) -> dict[str, Array]:
    """∂L/∂ every parameter by one sweep, whatever their number. Raises NonFinite where a cotangent overflows."""
    names = names_of(run.graph, "parameter")
    sums = {name: TermSum(1, run.graph.nodes[name]["value"].shape) for name in names}
    first = np.zeros(1, dtype=np.int64)
    with arithmetic():
        for arrival in sweep(run.graph, losses, names, FOLDS["total"]):
            sums[arrival.edge.tail].add(first, arrival.cotangents, arrival.edge.jacobian)
        found = {name: np.asarray(total.result()[0]) for name, total in sums.items()}
    for name, gradient in found.items():
        check_gradient(run.graph, losses, name, gradient)
    return found


def _change(name: str, old: Array, new: Array) -> GradientChange:
    before, after = frobenius(old), frobenius(new)
    cosine = float(((old / before) * (new / after)).sum()) if before > 0 and after > 0 else math.nan
    return GradientChange(name, before, after, cosine)
