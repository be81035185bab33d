"""How soon the debugger opens on a long run, and how soon a key is answered: at rest, while it works, and at Esc.

Opening is timed as multiples of unrolling the same network in the same process; keys from when they are pressed until
the screen has been drawn anew, without a terminal. The work is what the flow panel and the list of paths ask for.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np
from textual import events

import unrollviz as uz
from unrollviz.arrays import many_objects
from unrollviz.debugger import stepper as go
from unrollviz.draw.text import table
from unrollviz.tui.app import DebugApp, first_scene
from unrollviz.tui.flowpanel import FlowPanel

OPENED = (("elman", 10_000), ("lstm", 10_000))
BUSY = ("lstm", 1_000)
KEYS = 40
PATIENCE = 60.0
"""Seconds for which anything is waited for."""


def main() -> None:
    """Print the tables."""
    rows = [opening(cell, steps) for cell, steps in OPENED]
    print("\n".join(table(("cell", "T", "unroll, s", "opens"), rows, left=(0,))))
    print("opens: from a run to a screen that can be drawn, as a multiple of unrolling it (d = 8)\n")
    rows = [*asyncio.run(answered("elman", 10_000, at_rest)), *asyncio.run(answered(*BUSY, at_work))]
    print("\n".join(table(("", "median, ms", "99 %", "worst"), rows, left=(0,))))


def network(cell: str, steps: int) -> uz.Run:
    """A run of random numbers."""
    rng = np.random.default_rng(0)
    net = uz.Network.init(cell, 4, 8, 4, seed=0)
    return uz.unroll(net, rng.standard_normal((steps, 4)), rng.integers(0, 4, steps))


def opened(run: uz.Run) -> DebugApp:
    """The app, as `debug` makes it."""
    with many_objects():
        stepper = go.opened(run)
        return DebugApp(first_scene(stepper, listing=False), stepper)


def opening(cell: str, steps: int) -> list[str]:
    """A row of the first table."""
    start = time.perf_counter()
    run = network(cell, steps)
    unrolled = time.perf_counter()
    opened(run)
    ready = time.perf_counter()
    return [cell, f"{steps:,}", f"{unrolled - start:.2f}", f"× {(ready - unrolled) / (unrolled - start):.2f}"]


Script = Callable[[DebugApp], Awaitable[list[list[str]]]]


async def answered(cell: str, steps: int, script: Script) -> list[list[str]]:
    """Rows of the second table."""
    app = opened(network(cell, steps))
    gc.freeze()
    sys.setswitchinterval(0.0005)  # as `debug` does
    async with app.run_test(size=(120, 40)):
        while app.state.scene.listed.pending:
            await asyncio.sleep(0.05)
        await asyncio.sleep(2.0)
        return await script(app)


async def at_rest(app: DebugApp) -> list[list[str]]:
    await pressed(app, "f")
    return [
        row("a step on, T = 10,000", [await pressed(app, "n") for _ in range(KEYS)]),
        row("a step back", [await pressed(app, "p") for _ in range(KEYS)]),
        row("a screen on", [await pressed(app, "pagedown") for _ in range(KEYS)]),
    ]


async def at_work(app: DebugApp) -> list[list[str]]:
    panel, keys, stops = app.query_one(FlowPanel), list[float](), list[float]()
    panel.focus()
    for view in ("route", "lag", "temporal"):
        app.become(replace(app.state, view=view))
        for _ in range(5):
            keys.append(await pressed(app, "n"))
        panel._answers.clear()
        panel._ask()
        await asyncio.sleep(0.3)
        threads = [thread for thread in threading.enumerate() if thread.name == "view"]
        start = time.perf_counter()
        app.post_message(events.Key("escape", None))
        while any(thread.is_alive() for thread in threads) and time.perf_counter() - start < PATIENCE:
            await asyncio.sleep(0.001)
        stops.append(time.perf_counter() - start)
    return [row("a step on, while an LSTM's T = 1,000 is taken apart", keys), row("Esc until that has ended", stops)]


async def pressed(app: DebugApp, key: str) -> float:
    """Seconds from a key to the screen after it."""
    drawn = asyncio.Event()
    before, panel = app.state, app.panels[0]
    scrolled, start = panel.scroll_offset, time.perf_counter()
    app.post_message(events.Key(key, key if len(key) == 1 else None))
    while app.state is before and panel.scroll_offset == scrolled and time.perf_counter() - start < PATIENCE:
        await asyncio.sleep(0.0005)
    app.call_after_refresh(drawn.set)
    await drawn.wait()
    taken = time.perf_counter() - start
    await asyncio.sleep(0.1)  # a person does not press more than ten keys a second
    return taken


def row(what: str, seconds: list[float]) -> list[str]:
    ordered = sorted(seconds)
    figures = statistics.median(ordered), ordered[int(0.99 * (len(ordered) - 1))], ordered[-1]
    return [what, *(f"{1000 * figure:.0f}" for figure in figures)]
