"""Entry: the steps at which the paths of a set enter a parameter, where not all paths are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import index
from typing import SupportsIndex

import numpy as np

from unrollviz.errors import UnrollvizError
from unrollviz.gradient import Total
from unrollviz.graph import Graph, node_named
from unrollviz.way import entry_steps


@dataclass(frozen=True, eq=False)
class Entered:
    """At which `steps` the paths of a set enter, in increasing order, and the sum of `all` paths that there are."""

    steps: tuple[int, ...]
    all: Total

    def share(self, total: Total) -> float:
        """<total, G> / <G, G> of the set's own sum, G being the sum of all; NaN where G = 0."""
        dot = np.array([(total.numbers * self.all.direction).sum()])
        return float(self.all.shares(dot, np.array([total.power]))[0])

    def __str__(self) -> str:
        first, last = self.steps[0], self.steps[-1]
        if first == last:
            return f"step {first}"
        together = last - first + 1 == len(self.steps)
        return f"steps {first}..{last}" if together else f"{len(self.steps)} steps from {first} to {last}"


def steps_of_entry(
    graph: Graph, target: str, entry: SupportsIndex | Iterable[SupportsIndex], most: int
) -> tuple[int, ...]:
    """A step, or several, of a run of `most` steps, in increasing order.

    Raises UnrollvizError where they are not such steps, where no path can enter the target there, or where it is no
    parameter."""
    try:
        steps = sorted({index(step) for step in (entry if isinstance(entry, Iterable) else [entry])})
    except TypeError as error:
        raise UnrollvizError(f"entry {entry!r} is no step; give one, several, or a range such as '1..10'") from error
    if not steps or steps[0] < 1 or steps[-1] > most:
        raise UnrollvizError(f"entry {entry}: choose among the steps 1 to {most}")
    time, known = node_named(graph, target)["time"], entry_steps(graph, target)
    if time is not None:
        raise UnrollvizError(f"all paths enter {target} at its own step, {time}; entry is for those to a parameter")
    if known and known.isdisjoint(steps):
        raise UnrollvizError(f"no path enters {target} there; choose among the steps {min(known)} to {max(known)}")
    return tuple(steps)
