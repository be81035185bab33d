"""The lines of the flow tree: branches that are opened and closed, each looked at only when it is seen.

A line stands for a prefix and for its only descendants as far as there is no choice: all have the same completions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from unrollviz.names import clean, typeset
from unrollviz.paths.prefixes import Prefix, PrefixTree

LONGEST = 12
"""Prefixes that one line stands for at most; where there is still no choice, the next line goes on."""

NORMS = 256
"""Norms that are worked out by one sweep."""


@dataclass(eq=False, slots=True)
class Line:
    """One branch.

    Attributes:
        first: the prefix that it begins with.
        depth: how many branches it is below the root.
        last: no other branch of the same parent comes after it.
        above: the branch that it is below; None for the root.
        norm: with its logarithm; None until it has been worked out.
    """

    first: Prefix
    depth: int
    last: bool
    above: Line | None = None
    opened: bool = False
    norm: tuple[float, float] | None = None
    _chain: tuple[Prefix, ...] = field(default=())
    _below: list[Prefix] = field(default_factory=list)

    def _look(self) -> None:
        if self._chain:
            return
        chain = [self.first]
        below = self.first.children(heaviest_first=True)
        while len(below) == 1 and len(chain) < LONGEST:
            chain += below
            below = chain[-1].children(heaviest_first=True)
        self._chain, self._below = tuple(chain), below

    @property
    def chain(self) -> tuple[Prefix, ...]:
        """The prefixes that it stands for."""
        self._look()
        return self._chain

    @property
    def below(self) -> list[Prefix]:
        """The branches at its end, by |share|; none where it is a whole path."""
        self._look()
        return self._below


class Branches:
    """The lines that are to be seen, in order. Opening and closing touches the lines below a branch only."""

    def __init__(self, tree: PrefixTree) -> None:
        self.tree = tree
        self.lines = [Line(tree.root, 0, True)]
        if tree.root.count:
            self.open(0)

    def __len__(self) -> int:
        return len(self.lines)

    def open(self, row: int) -> bool:
        """Show the branches below a line. False where there are none, or are already."""
        line = self.lines[row]
        if line.opened or not line.below:
            return False
        line.opened = True
        below, end = line.below, len(line.below) - 1
        self.lines[row + 1 : row + 1] = [
            Line(prefix, line.depth + 1, place == end, line) for place, prefix in enumerate(below)
        ]
        return True

    def close(self, row: int) -> bool:
        """Put the lines below a line away. False where there are none."""
        line = self.lines[row]
        if not line.opened:
            return False
        line.opened = False
        end = row + 1
        while end < len(self.lines) and self.lines[end].depth > line.depth:
            end += 1
        del self.lines[row + 1 : end]
        return True

    def parent(self, row: int) -> int:
        """The line of the branch that a line is below; itself for the root."""
        above = self.lines[row].above
        if above is None:
            return row
        while self.lines[row] is not above:
            row -= 1
        return row

    def words(self, row: int, width: int) -> str:
        """Where a line stands in the tree, and what it is: `│  ├▸ s₄ → s₃`; in at most about `width` cells."""
        line = self.lines[row]
        return self._stem(line, width) + self._mark(line) + " " + self._names(line, width)

    def _stem(self, line: Line, width: int) -> str:
        parts, here = [], line
        if line.depth:
            parts.append("└" if line.last else "├")
        while here.above is not None and here.above.depth:
            here = here.above
            parts.append("  " if here.last else "│ ")
        stem = "".join(reversed(parts))
        room = max(width // 3, 4)
        return stem if len(stem) <= room else f"{line.depth}…" + stem[-(room - 4) :]

    def _mark(self, line: Line) -> str:
        return "▾" if line.opened else "▸" if line.below else "●"

    def _names(self, line: Line, width: int) -> str:
        names = [clean(typeset(prefix.node or "L"), 24) for prefix in line.chain]
        edge = line.first.edge
        if edge is not None and self.tree.graph.number_of_edges(edge.tail, edge.head) > 1:
            names[0] += f" (argument {edge.key + 1})"
        text = " → ".join(names)
        return text if len(text) <= width or len(names) < 4 else " → ".join([names[0], "⋯", *names[-1:]])
