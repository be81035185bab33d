"""How long a training step takes: forward, reverse sweep, Adam; beside PyTorch's cells in a loop and its layers.

All do the same in float64 on one thread, taking turns: the same forward pass, cross-entropy at every step, Adam.
"""

from __future__ import annotations

import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import click
import numpy as np

import unrollviz as uz
from unrollviz.arrays import Array
from unrollviz.batch import Batch, part, unreduced
from unrollviz.draw.text import table
from unrollviz.optim import OPTIMIZERS, Memory, update
from unrollviz.plan import Plans
from unrollviz.training.state import Settings, Training

UNITS, STEPS, INSTANCES, INPUTS, CLASSES = 64, 50, 32, 16, 16
TURNS = 15


def main() -> None:
    """Print the tables."""
    with click.progressbar(("elman", "gru", "lstm"), label="timing", file=sys.stderr) as cells:
        rows = [measured(cell) for cell in cells]
    headings = ("cell", "unrollviz", "forward", "sweep", "Adam", "PyTorch, loop", "ratio", "PyTorch, layer", "ratio")
    print("\n".join(table(headings, rows, left=(0,))))
    print(
        f"one training step in ms, d = {UNITS}, T = {STEPS}, B = {INSTANCES}, n = k = {INPUTS}, float64, one thread; "
        f"medians of {TURNS} turns. PyTorch: nn.RNNCell, nn.GRUCell, nn.LSTMCell in a Python loop; nn.RNN, nn.GRU, "
        "nn.LSTM\n"
    )
    print("\n".join(memory()))
    print("\n".join(history()))


def task(cell: str, steps: int = STEPS) -> tuple[uz.Network, Batch]:
    """A network, and a batch of random numbers."""
    rng = np.random.default_rng(0)
    network = uz.Network.init(cell, INPUTS, UNITS, CLASSES)
    xs, targets = rng.standard_normal((steps, INSTANCES, INPUTS)), rng.integers(0, CLASSES, (steps, INSTANCES))
    return network, part(unreduced(network, xs, targets), np.arange(INSTANCES), "sum")


def measured(cell: str) -> list[str]:
    """A row of the table."""
    network, batch = task(cell)
    plans, adam = Plans(), OPTIMIZERS["adam"]
    memory, params = Memory.fresh(adam, network.params), dict(network.params)
    spent: dict[str, list[float]] = {"unrollviz": [], "forward": [], "sweep": [], "adam": [], "loop": [], "layer": []}
    turns = {name: turn for name, turn in zip(("loop", "layer"), torch_steps(cell, batch), strict=True) if turn}

    plans.run(network, batch).gradients()
    for turn in turns.values():
        turn()
    for _ in range(TURNS):
        clock = [time.perf_counter()]
        forward = plans.run(network.replace(**params), batch)
        clock.append(time.perf_counter())
        gradients = forward.gradients()
        clock.append(time.perf_counter())
        memory, params = update(adam, memory, params, gradients, 0.01)
        clock.append(time.perf_counter())
        for name, start, end in zip(("forward", "sweep", "adam"), clock[:-1], clock[1:], strict=True):
            spent[name].append(end - start)
        spent["unrollviz"].append(clock[-1] - clock[0])
        for name, turn in turns.items():
            start = time.perf_counter()
            turn()
            spent[name].append(time.perf_counter() - start)
    ms = {name: 1e3 * statistics.median(found) for name, found in spent.items() if found}
    shown = [f"{ms[name]:.1f}" for name in ("unrollviz", "forward", "sweep", "adam")]
    for name in ("loop", "layer"):
        shown += [f"{ms[name]:.1f}", f"{ms['unrollviz'] / ms[name]:.1f}"] if name in ms else ["–", "–"]
    return [cell, *shown]


def torch_steps(cell: str, batch: Batch) -> tuple[Callable[[], None] | None, Callable[[], None] | None]:
    """One training step through PyTorch's cell in a loop, and through its layer; None without PyTorch."""
    try:
        import torch
    except ImportError:
        return None, None
    torch.set_num_threads(1)
    kind = {"elman": "RNN", "gru": "GRU", "lstm": "LSTM"}[cell]
    xs = torch.tensor(batch.inputs)
    wanted = torch.tensor(batch.targets.argmax(axis=2)).reshape(-1)

    def step(rnn: Any, states: Callable[[Any], Any]) -> Callable[[], None]:
        rnn = rnn.double()
        linear = torch.nn.Linear(UNITS, CLASSES).double()
        optimizer = torch.optim.Adam([*rnn.parameters(), *linear.parameters()], lr=0.01)

        def once() -> None:
            optimizer.zero_grad()
            logits = linear(states(rnn)).reshape(-1, CLASSES)
            loss: Any = torch.nn.functional.cross_entropy(logits, wanted) * STEPS
            loss.backward()
            optimizer.step()

        return once

    def loop(rnn: Any) -> Any:
        h = c = torch.zeros(INSTANCES, UNITS, dtype=torch.float64)
        found = []
        for x in xs:
            if cell == "lstm":
                h, c = rnn(x, (h, c))
            else:
                h = rnn(x, h)
            found.append(h)
        return torch.stack(found)

    one = step(getattr(torch.nn, f"{kind}Cell")(INPUTS, UNITS), loop)
    return one, step(getattr(torch.nn, kind)(INPUTS, UNITS), lambda rnn: rnn(xs)[0])


def memory() -> list[str]:
    """What one step keeps at most, and how that grows with T."""
    peaks: dict[int, float] = {}
    for steps in (STEPS, 2 * STEPS):
        network, batch = task("lstm", steps)
        plans = Plans()
        plans.run(network, batch)
        tracemalloc.start()
        plans.run(network, batch).gradients()
        peaks[steps] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    unit = STEPS * INSTANCES * UNITS * 8
    return [
        f"memory of an LSTM's step: {peaks[STEPS] / 2**20:.0f} MiB, {peaks[STEPS] / unit:.0f} arrays of T·B·d numbers; "
        f"{peaks[2 * STEPS] / peaks[STEPS]:.2f} times as much for twice the steps"
    ]


def history() -> list[str]:
    """What the history takes of a run with default settings."""
    rng = np.random.default_rng(0)
    lines = []
    for cell in ("elman", "lstm"):
        network, _ = task(cell)
        xs: Array = rng.standard_normal((STEPS, 640, INPUTS))
        whole = unreduced(network, xs, rng.integers(0, CLASSES, (STEPS, 640)))
        training = Training.of(network, whole, Settings(epochs=20))
        state = training.first()
        while not training.finished(state):
            state = training.next(state)
        assert state.history is not None
        part_of = state.history.seconds.sum() / state.seconds
        lines.append(
            f"history of an {cell} network, {state.updates} updates at default settings: {len(state.history)} records, "
            f"every {state.every} updates, {part_of:.1%} of {state.seconds:.1f} s"
        )
    return lines
