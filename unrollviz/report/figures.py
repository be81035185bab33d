"""What every report shares: numbers for JSON, and the name of a sum of losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unrollviz.graph import Graph, names_of
from unrollviz.names import loss_sum

Json = dict[str, Any]


def exact(value: float) -> float | None:
    """A number for JSON, which knows no NaN: null where it is undefined."""
    return float(value) if math.isfinite(value) else None


def of_losses(losses: Sequence[str], graph: Graph | None = None) -> str:
    """The name of one loss, `L3+L4` of some, L of all; without the graph, L1 … Ln are taken for all."""
    known = [f"L{t}" for t in range(1, len(losses) + 1)] if graph is None else names_of(graph, "loss")
    return loss_sum(losses, len(losses) if list(losses) == known else len(losses) + 1)
