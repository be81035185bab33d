"""Where breakpoints that name no node are marked: at steps, at phases, in the list of events, by the graph's name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from unrollviz.arrays import Labels
from unrollviz.debugger.breakpoints import Breakpoint
from unrollviz.debugger.timeline import Timeline


def _nowhere() -> Labels:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Marks:
    """Of the breakpoints that are looked for.

    Attributes:
        times, phases: the steps, and the phases, that are named without a node.
        anywhere: the conditions that are asked at every event.
        cursors: where one stops, or is asked for a condition; those asked at every event left out.
    """

    times: frozenset[int] = frozenset()
    phases: frozenset[str] = frozenset()
    anywhere: tuple[str, ...] = ()
    cursors: Labels = field(default_factory=_nowhere)

    def at(self, cursor: int) -> bool:
        """Whether a breakpoint names this event."""
        index = int(np.searchsorted(self.cursors, cursor))
        return index < len(self.cursors) and int(self.cursors[index]) == cursor


def marks(points: Sequence[Breakpoint], timeline: Timeline) -> Marks:
    """The marks of some breakpoints."""
    enabled = [point for point in points if point.enabled]
    bare = [point for point in enabled if point.nodes is None]
    placed = [point for point in enabled if point.nodes or point.time is not None or point.phase]
    places = [np.asarray(_where(point).places(timeline), dtype=np.int64) for point in placed]
    return Marks(
        frozenset(point.time for point in bare if point.time is not None),
        frozenset(point.phase for point in bare if point.phase is not None and point.time is None),
        tuple(point.text for point in enabled if point not in placed),
        np.unique(np.concatenate(places)) if places else _nowhere(),
    )


def _where(point: Breakpoint) -> Breakpoint:
    """Where it may stop: of nodes wherever something happens to them, of a step or phase where it is entered."""
    return replace(point, condition=None)
