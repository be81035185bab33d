"""Classes of losses: what tells paths apart where a fold does not heed the edges on the way.

The paths that have come to a node are then of some classes that follow one another; a row's place among them is known
before it is computed, so that it is written where it will lie.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unrollviz.arrays import Labels, arithmetic
from unrollviz.buffers import Buffer
from unrollviz.carriers import Carrier
from unrollviz.jacobians import Jacobian
from unrollviz.labels import unique_rows
from unrollviz.stacks import Exponents, add_in_place, is_new, scale_up, small_rows
from unrollviz.way import Stop, Way

Span = tuple[int, int]
"""The first of some classes that follow one another, and the one behind the last."""


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of some losses on a way.

    Attributes:
        labels: (classes, columns) sorted, all different.
        of_loss: loss -> its class, for the losses from which there is a way.
        spans: node -> the classes of all paths that come to it.
        visits: the stops to which paths come, in order, each with the classes that begin there and their first
            cotangents; None for 1.
    """

    labels: Labels
    of_loss: Mapping[str, int]
    spans: Mapping[str, Span]
    visits: Sequence[tuple[Stop, Sequence[tuple[int, Labels | None]]]]

    @classmethod
    def of(cls, way: Way, labels: Mapping[str, tuple[int, ...]], ahead: bool) -> Classes | None:
        """The classes of losses with these labels; None where there is a node to which some classes come, but not all
        of those in between. `ahead`: paths begin where those from a loss first part (`Way.beginning`)."""
        losses = [loss for loss in labels if loss in way.edges]
        if not losses:
            columns = max(map(len, labels.values()), default=1)
            return cls(np.empty((0, columns), dtype=np.int64), {}, {}, ())
        classes, places = unique_rows(np.array([labels[loss] for loss in losses]))
        classes.setflags(write=False)  # every sweep shares them
        of_loss = dict(zip(losses, places.tolist(), strict=True))
        coming: dict[str, int] = defaultdict(int)  # a bit for each class
        beginning: dict[str, list[tuple[int, Labels | None]]] = defaultdict(list)
        with arithmetic():
            for loss, place in of_loss.items():
                node, row = way.beginning(loss) if ahead else (loss, None)
                coming[node] |= 1 << place
                beginning[node].append((place, row))
        spans, visits = {}, []
        for stop in way.stops:
            here = coming.pop(stop.head, 0)
            if here == 0:
                continue
            span = (here & -here).bit_length() - 1, here.bit_length()
            if span[1] - span[0] != here.bit_count():
                return None
            spans[stop.head] = span
            visits.append((stop, tuple(beginning.get(stop.head, ()))))
            for leg in stop.legs:
                if leg.onward:
                    coming[leg.edge.tail] |= here
        return cls(classes, of_loss, spans, visits)


class Meeting:
    """The rows of some classes as they come to a node, one part after the other.

    A part that has most of them is written where it will lie: at its classes' places in memory for all classes, so that
    those of a node may stay there when they go on to the next. Small ones wait until all have come: a node may be far
    from its turn when its first row comes, and memory is only taken when most are under way.

    Attributes:
        span: the classes.
        rows: (classes of the span, …), once it is closed.
        powers: one for each of *all* classes, or None: the numbers are rows · 2^powers. Nodes share them.
    """

    __slots__ = ("_buffer", "_high", "_low", "_most", "_waiting", "powers", "rows", "span")

    def __init__(self, span: Span, most: int) -> None:
        """`most`: how many classes there are."""
        self.span, self._most = span, most
        self._low = self._high = 0  # the classes whose rows have come
        self._waiting: list[tuple[int, Labels, Exponents | None]] = []
        self._buffer: Buffer | None = None  # None: rows lie in somebody else's, or in their own and not by classes
        self.rows: Labels = _NOTHING
        self.powers: Exponents | None = None

    def begin(self, index: int, row: Labels) -> None:
        """A path of a class begins here, with its row (1, …)."""
        if self._buffer is not None and self._is_new(index, index + 1):
            self._buffer.rows[index] = row[0]
        else:
            self._waiting.append((index, row, None))

    def move(self, span: Span, jacobian: Jacobian, carrier: Carrier) -> bool:
        """Take all rows through an edge, to a node to which nothing has come yet and where rows of `span` will; whether
        that was possible. Nobody may need them where they are."""
        if self._buffer is None or jacobian.in_shape != jacobian.out_shape:
            return False
        carrier.pull_along(self._buffer, jacobian, *self.span)
        self.span = span
        return True

    def receive(self, here: Meeting, jacobian: Jacobian, carrier: Carrier) -> bool:
        """The rows of another node come through an edge; whether its memory is held here now."""
        low, high = here.span
        if self._high == 0:
            if here.span == self.span:
                self.rows = carrier.pull(jacobian, here.rows)
                self._low, self._high, self.powers = low, high, here.powers
                return not is_new(self.rows, here.rows)
            if 2 * (high - low) < self.span[1] - self.span[0]:
                pulled = carrier.pull(jacobian, here.rows)
                self._waiting.append((low, pulled, here.powers))
                return not is_new(pulled, here.rows)
            self._buffer = carrier.buffer(jacobian, self._most)
        if self._buffer is not None and self._is_new(low, high):
            carrier.pull_into(jacobian, here.rows, self._buffer.rows[low:high])
            self._note(low, high, here.powers)
        else:
            self._add(low, carrier.pull(jacobian, here.rows), here.powers)
        return False

    def close(self) -> None:
        """All rows have come."""
        for low, rows, powers in self._waiting:
            high = low + len(rows)
            if self._high == 0:
                if (low, high) == self.span:
                    self.rows, self._low, self._high, self.powers = rows, low, high, powers
                    continue
                self._buffer = Buffer(self._most, rows.shape[1:], rows.dtype)
            if self._buffer is not None and self._is_new(low, high):
                self._buffer.rows[low:high] = rows
                self._note(low, high, powers)
            else:
                self._add(low, rows, powers)
        self._waiting.clear()
        if self._buffer is not None:
            self.rows = self._buffer.rows[self.span[0] : self.span[1]]

    def rescale(self) -> None:
        """Scale rows up that have become small; see `stacks.rescaled`."""
        small = small_rows(self.rows)
        if len(small):
            self._own()
            self.powers = np.zeros(self._most, dtype=np.int64) if self.powers is None else self.powers.copy()
            self.powers[self.span[0] + small] += scale_up(self.rows, small)

    def _own(self) -> Labels:
        """Memory that may be written to, with the rows in it."""
        if self._buffer is None:
            self._buffer = Buffer(self._most, self.rows.shape[1:], self.rows.dtype)
            self._buffer.rows[self._low : self._high] = self.rows
            self.rows = self._buffer.rows[self._low : self._high]
        return self._buffer.rows

    def _is_new(self, low: int, high: int) -> bool:
        """Whether no row has come to these places yet, which then are next to those that have; they count as taken."""
        if self._high == 0:
            self._low, self._high = low, high
        elif low == self._high:
            self._high = high
        elif high == self._low:
            self._low = low
        else:
            return False
        return True

    def _note(self, low: int, high: int, powers: Exponents | None) -> None:
        """Powers of two of rows that have been written to new places; elsewhere they are 0."""
        if self.powers is None:
            self.powers = powers
        elif powers is not None and powers is not self.powers:
            self.powers = self.powers.copy()
            self.powers[low:high] = powers[low:high]

    def _add(self, low: int, rows: Labels, powers: Exponents | None) -> None:
        """Add rows to those at their places, which are 0 where none have come."""
        first, stop = self.span
        if self._buffer is None and powers is self.powers and len(rows) == stop - first == self._high - self._low:
            self.rows = self.rows + rows
            return
        memory = self._own()
        place = slice(low, low + len(rows))
        if low < self._low or place.stop > self._high:
            memory[first : self._low] = 0
            memory[self._high : stop] = 0
            self._low, self._high = first, stop
        if powers is self.powers:
            np.add(memory[place], rows, out=memory[place])
        else:
            self.powers = add_in_place(memory, self.powers, place, rows, None if powers is None else powers[place])


_NOTHING = np.empty(0)
