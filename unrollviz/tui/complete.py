"""Completes the last word of what is typed: names of nodes, quantities, functions, or what else is given."""

from __future__ import annotations

import re
from collections.abc import Iterable

from textual.suggester import Suggester

from unrollviz.debugger.events import PHASES
from unrollviz.debugger.expressions import FUNCTIONS, QUANTITIES
from unrollviz.graph import Graph


class Completer(Suggester):
    """Offers the first of some words that begins as the last one typed; → takes it."""

    def __init__(self, words: Iterable[str]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.words = tuple(words)

    async def get_suggestion(self, value: str) -> str | None:
        last = re.search(r"[\w.=]+$", value)
        if last is None:
            return None
        found = next((word for word in self.words if word.startswith(last[0]) and word != last[0]), None)
        return None if found is None else value[: last.start()] + found


def words_of(graph: Graph) -> list[str]:
    """What expressions are made of: quantities and functions first, for there are few of them."""
    phases = (f"phase={phase}" for phase in PHASES)
    return [*QUANTITIES, *(f"{name}(" for name in FUNCTIONS), *phases, *graph]
