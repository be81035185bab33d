"""How long the questions about all T(T + 1)/2 paths take, against the matrix products that they cannot do without.

Every row of cotangents must be multiplied by W at each step back, T² d² / 2 multiply-adds in all. That many, at the
rate that this machine's own matrix product reaches in the same run, is the limit; times are printed as multiples of it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

import unrollviz as uz
from unrollviz.draw.text import table

SIZES = ((200, 128), (1000, 64), (1000, 128), (1000, 512))
REPEATS = 3


def main() -> None:
    """Print the table."""
    headings = ["T", "d", "limit, s", "temporal", "lag", "total", "count", "unroll"]
    rows = [_row(steps, units) for steps, units in SIZES]
    print("\n".join(table(headings, rows)))
    print("flows of W, float64, one instance, n = k = 16; medians of", REPEATS, "turns, as multiples of the limit")


def _row(steps: int, units: int) -> list[str]:
    rng = np.random.default_rng(0)
    network = uz.Network.init("elman", 16, units, 16, seed=0)
    xs, targets = rng.standard_normal((steps, 16)), rng.integers(0, 16, steps)
    run = uz.unroll(network, xs, targets)
    run.level("state")
    rows, weight = rng.standard_normal((max(steps // 2, 1), units)), network.params["W"]
    turns: dict[str, Callable[[], object]] = {
        "limit": lambda: rows @ weight,
        "temporal": lambda: run.flow("W", by="temporal"),
        "lag": lambda: run.flow("W", by="lag"),
        "total": lambda: run.gradient("W"),
        "count": lambda: run.paths(to="W").count,
        "unroll": lambda: uz.unroll(network, xs, targets),
    }
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(REPEATS):
        for name, turn in turns.items():
            start = time.perf_counter()
            turn()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    limit = medians.pop("limit") * steps**2 / 2 / len(rows)
    return [str(steps), str(units), f"{limit:.3f}", *(f"{found / limit:.2f}" for found in medians.values())]
