"""The cotangents that nodes hand back, worked out as far as somebody has looked, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import RLock

import numpy as np

from unrollviz.arrays import Array, beat, interruptible
from unrollviz.graph import Graph
from unrollviz.sweep import FOLDS, Arrival, sweep


class Backward:
    """One reverse sweep from some losses, done piece by piece: opening a long run does not wait for its whole gradient.

    May be asked by several threads at once.
    """

    def __init__(self, graph: Graph, losses: Sequence[str]) -> None:
        self._graph, self._losses = graph, tuple(losses)
        self._rows: dict[str, Array] = {}
        self._sweep: Iterator[Arrival] | None = None
        self.lock = RLock()

    def row(self, head: str) -> Array:
        """(1, *shape of `head`): its whole cotangent, in its chart. Raises KeyError where no loss depends on it."""
        found = self._rows.get(head)
        if found is not None:
            return found
        with self.lock, np.errstate(all="ignore"):
            while head not in self._rows:
                if not self._advance():
                    raise KeyError(head)
            return self._rows[head]

    def finish(self, stop: Callable[[], bool] = lambda: False) -> bool:
        """Work out the rest; False where `stop` put an end to it first. What has been done stays."""
        more = True
        while more and not stop():
            beat()
            with self.lock, np.errstate(all="ignore"):
                more = self._advance()
        return not more

    @property
    def kept(self) -> int:
        """Bytes of the cotangents kept so far."""
        return sum(row.nbytes for row in self._rows.values())

    def _advance(self) -> bool:
        """Go through one more edge; False where there is none left."""
        if self._sweep is None:
            self._sweep = sweep(self._graph, self._losses, list(self._graph), FOLDS["total"])
        try:
            with interruptible(lambda: None):  # the sweep is everybody's: between its steps one may be interrupted
                arrival = next(self._sweep, None)
        except BaseException:  # an interrupt ends a generator for good: begin again when asked again
            self._sweep = None
            raise
        if arrival is None:
            return False
        self._rows[arrival.edge.head] = arrival.cotangents
        return True
