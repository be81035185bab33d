"""How long all T(T + 1)/2 per-path norms and shares take, against the matrix products that they cannot do without.

Every row of cotangents must be multiplied by W at each step back: T²/2 rows, d² multiplications and as many additions
each. These products alone, at the rate that the machine's own matrix product reaches in the same run, are the limit;
times are printed as multiples of it. Everything runs interleaved, on one thread; CPU time of all threads is counted, so
that neither another program nor a second thread changes the result. What a second core gains is measured apart from it.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial

import click
import numpy as np
from threadpoolctl import threadpool_limits

import unrollviz as uz
from benchmarks.rivals import (
    Answer,
    jax_jitted,
    numpy_by_hand,
    torch_batched,
    torch_by_hand,
    torch_by_loss,
    unrollviz_answer,
)
from unrollviz.arrays import arithmetic, cores
from unrollviz.draw.text import table

SIZES = ((200, 128), (1000, 128), (1000, 512), (3000, 64))
GATED = (("lstm", 1000, 64), ("gru", 1000, 64))
REPEATS = 9
PATIENCE = 20.0
"""Seconds: who has taken longer in all is not asked again."""
HEADINGS = ("cell", "T", "d", "limit, s", "unrollviz", "NumPy", "PyTorch", "JAX", "PyTorch batched", "PyTorch by loss")


def main() -> None:
    """Print the tables."""
    cases = [*(("elman", *size) for size in SIZES), *GATED]
    with threadpool_limits(1), click.progressbar(cases, label="timing", file=sys.stderr) as bar:
        rows = [measured(*case) for case in bar]
    print("\n".join(table(HEADINGS, rows, left=(0,))))
    print(
        "flow by temporal of the recurrent weight (LSTM W_f, GRU W_n), float64, one instance, n = k = 16; median CPU "
        f"time of up to {REPEATS} turns as multiples of the limit, T² d² / 2 multiply-adds; NumPy, PyTorch and JAX: "
        "written for this one cell, JAX compiled before; PyTorch batched and by loss: autograd with "
        "is_grads_batched, or one loss at a time\n"
    )
    with threadpool_limits(1):
        lines = growth()
    print("\n".join([*lines, on_all_cores(1000, 512)]))


def network(cell: str, steps: int, units: int) -> uz.Run:
    """A run of random numbers, with its graph at the level at which flows are asked for."""
    rng = np.random.default_rng(0)
    net = uz.Network.init(cell, 16, units, 16, seed=0)
    run = uz.unroll(net, rng.standard_normal((steps, 16)), rng.integers(0, 16, steps))
    run.level("state")
    return run


def measured(cell: str, steps: int, units: int) -> list[str]:
    """A row of the table."""
    run = network(cell, steps, units)
    param = run.recurrent_weight
    rows, weight = np.random.default_rng(1).standard_normal((max(steps // 2, 1), units)), run.network.params[param]
    product = np.empty_like(rows)

    def limit() -> None:
        with arithmetic():
            for _ in range(steps):
                np.matmul(rows, weight, out=product)

    by_hand = [rival(run) if cell == "elman" else None for rival in (numpy_by_hand, torch_by_hand, jax_jitted)]
    batched = torch_batched(run)
    turns: dict[str, Callable[[], object] | None] = {
        "limit": limit,
        "unrollviz": lambda: run.flow(param, by="temporal"),
        **dict(zip(("NumPy", "PyTorch", "JAX"), by_hand, strict=True)),
        "batched": batched,
        "by loss": torch_by_loss(run),
    }
    agree(run, [*by_hand, batched if steps <= 200 else None])
    found = interleaved({name: turn for name, turn in turns.items() if turn is not None})
    base = found["limit"]
    others = [f"{found[name] / base:.2f}" if name in found else "–" for name in list(turns)[1:]]
    return [cell, f"{steps:,}", str(units), f"{base:.3f}", *others]


def agree(run: uz.Run, rivals: Sequence[Callable[[], Answer] | None]) -> None:
    """Raise AssertionError where a rival does not find the same numbers: then it solves another task."""
    norms, shares = unrollviz_answer(run)
    for rival in rivals:
        if rival is not None:
            other_norms, other_shares = rival()
            np.testing.assert_allclose(other_norms, norms, rtol=1e-8, atol=1e-9 * norms.max())
            np.testing.assert_allclose(other_shares, shares, rtol=1e-6, atol=1e-9)


def interleaved(turns: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median CPU seconds of each, one turn of every one after the other."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(REPEATS):
        for name, turn in turns.items():
            if sum(seconds[name]) < PATIENCE:
                start = time.process_time()
                turn()
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}


def growth() -> list[str]:
    """How time and memory grow: exponents of T and of d, and what unrolling a long sequence takes."""
    runs = {(steps, units): network("elman", steps, units) for steps, units in ((500, 64), (2000, 64), (500, 256))}
    found = interleaved({str(size): partial(run.flow, "W", "temporal") for size, run in runs.items()})
    seconds = {size: found[str(size)] for size in runs}
    in_time = math.log(seconds[2000, 64] / seconds[500, 64]) / math.log(4)
    in_units = math.log(seconds[500, 256] / seconds[500, 64]) / math.log(4)
    unrolled, contracted = unrolling(10_000, 64)
    return [
        f"time grows as T^{in_time:.2f} (T = 500 to 2,000 at d = 64; 2 expected) and as d^{in_units:.2f} "
        "(d = 64 to 256 at T = 500; at most 2 expected)",
        *(memory(2000, units) for units in (64, 512)),
        f"unroll, T = 10,000, d = 64: {unrolled:.1f} s; its graph at level state {contracted:.1f} s more",
    ]


def on_all_cores(steps: int, units: int) -> str:
    """How long a flow with large products takes by the clock, on one core and on as many as linear algebra may use."""
    run = network("elman", steps, units)
    seconds: dict[int, list[float]] = {}
    with arithmetic():
        most = cores()
    run.flow("W", by="temporal")  # what a run keeps from its first flow is there
    for many in (1, most) * 3:
        with threadpool_limits(many):
            start = time.perf_counter()
            run.flow("W", by="temporal")
            seconds.setdefault(many, []).append(time.perf_counter() - start)
    found = ", ".join(f"{statistics.median(times):.1f} s on {many}" for many, times in seconds.items())
    return f"flow at T = {steps:,}, d = {units} by the clock, by the number of cores: {found}"


def unrolling(steps: int, units: int) -> tuple[float, float]:
    """Seconds that unrolling takes, and its graph at the level at which flows are asked for."""
    rng = np.random.default_rng(0)
    net = uz.Network.init("elman", 16, units, 16, seed=0)
    start = time.perf_counter()
    run = uz.unroll(net, rng.standard_normal((steps, 16)), rng.integers(0, 16, steps))
    unrolled = time.perf_counter()
    run.level("state")
    return unrolled - start, time.perf_counter() - unrolled


def memory(steps: int, units: int) -> str:
    """What a flow takes at its peak beside its two results, T (T + 1) / 2 numbers each, in matrices of states, T × d:
    at first, when the run also notes what each loss gives to its state, and from then on."""
    run = network("elman", steps, units)
    run.way("W")
    found = []
    for _ in range(2):
        tracemalloc.start()
        flow = run.flow("W", by="temporal")
        found.append(
            (tracemalloc.get_traced_memory()[1] - flow.norms.nbytes - flow.shares.nbytes) / (8 * steps * units)
        )
        tracemalloc.stop()
    first, then = found
    return (
        f"memory of the flow at T = {steps:,}, d = {units}, beside its results: {then:.1f} matrices of T × d numbers "
        f"({first:.1f} the first time, of which the run keeps what the losses give to the states)"
    )
