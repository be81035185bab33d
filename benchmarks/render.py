"""From weights and a sequence to an SVG of the unrolled network, against torchviz, torchview and Graphviz's own layout.

The same network everywhere, forward pass and loss included. `unrollviz` draws every node, in columns and rows that are
known beforehand; the others lay out their graph with `dot`, which is run under a time limit. Everything is interleaved.
"""

from __future__ import annotations

import functools
import math
import os
import re
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import click
import numpy as np

import unrollviz as uz
from unrollviz.draw.formats import FORMATS
from unrollviz.draw.text import table
from unrollviz.draw.view import view

SIZES = (20, 50, 200, 1000)
UNITS = 8
REPEATS = 3
PATIENCE = 30.0
"""Seconds of the processor after which `dot` is stopped; who was stopped once is not asked for a longer sequence."""


def main() -> None:
    """Print the table."""
    rivals: dict[str, Callable[[uz.Run], bytes]] = {
        "unrollviz": unrollviz_svg,
        "… by Graphviz": functools.partial(unrollviz_svg, engine="pygraphviz"),
        "plain dot": plain_dot,
        "torchviz": torchviz_svg,
        "torchview": torchview_svg,
    }
    seconds: dict[tuple[str, int], float] = {}
    sizes: dict[tuple[str, int], int] = {}
    given_up: set[str] = set()
    for draw in rivals.values():
        draw(network(2))  # imports are nobody's work
    with click.progressbar(SIZES, label="drawing", file=sys.stderr) as lengths:
        for steps in lengths:
            run = network(steps)
            found: dict[str, list[float]] = {}
            for turn in range(REPEATS):
                for name, draw in rivals.items():
                    if name in given_up or (turn and sum(found.get(name, [0.0])) > PATIENCE / 2):
                        continue
                    start = processor_seconds()
                    try:
                        made = draw(run)
                    except Stopped:
                        given_up.add(name)
                        continue
                    found.setdefault(name, []).append(processor_seconds() - start)
                    sizes[name, steps] = len(made)
                    count(name, made, run)
            seconds |= {(name, steps): statistics.median(times) for name, times in found.items()}
    rows = [[name, *(cell(name, steps, seconds, sizes) for steps in SIZES)] for name in rivals]
    print("\n".join(table(("seconds (size of the SVG)", *(f"T = {steps:,}" for steps in SIZES)), rows, left=(0,))))
    print(f"Elman network, d = {UNITS}, every node drawn; medians of at most {REPEATS}; – stopped after {PATIENCE:g} s")
    first, last = (seconds["unrollviz", steps] for steps in (SIZES[1], SIZES[-1]))
    growth = math.log(last / first) / math.log(SIZES[-1] / SIZES[1])
    print(f"unrollviz grows as T^{growth:.2f} (T = {SIZES[1]} to {SIZES[-1]:,})")


class Stopped(Exception):
    """`dot` took too long."""


def processor_seconds() -> float:
    """What this process and those that it started and waited for have used: other people's work does not count."""
    return sum(os.times()[:4])


def cell(name: str, steps: int, seconds: dict[tuple[str, int], float], sizes: dict[tuple[str, int], int]) -> str:
    """`0.13 (0.2 MB)`"""
    if (name, steps) not in seconds:
        return "–"
    return f"{seconds[name, steps]:.2f} ({sizes[name, steps] / 1e6:.1f} MB)"


def network(steps: int) -> uz.Run:
    """The network that everybody draws."""
    rng = np.random.default_rng(0)
    net = uz.Network.init("elman", UNITS, UNITS, UNITS, seed=0)
    return uz.unroll(net, rng.standard_normal((steps, UNITS)), rng.integers(0, UNITS, steps))


def count(name: str, made: bytes, run: uz.Run) -> None:
    """Raise AssertionError where a picture of ours, or plain dot's, lacks a node."""
    if name in ("torchviz", "torchview"):
        return
    drawn = len(re.findall(rb'<g id="[^"]*" class="node (?:loss|output|state|initial|input|plain)', made))
    assert drawn >= sum(role != "parameter" for _, role in run.level().nodes(data="role")), (name, drawn)


def unrollviz_svg(run: uz.Run, engine: str | None = None) -> bytes:
    """From weights and sequence to SVG, by unrollviz."""
    made = FORMATS["svg"].make(view(again(run), fold=False, engine=engine))
    assert isinstance(made, bytes)
    return made


def again(run: uz.Run) -> uz.Run:
    """The forward pass once more."""
    return uz.unroll(run.network, run.inputs[:, 0], run.targets[:, 0])


def plain_dot(run: uz.Run) -> bytes:
    """The same nodes and edges, laid out by Graphviz."""
    import graphviz

    graph, picture = again(run).level(), graphviz.Digraph(graph_attr={"rankdir": "BT"}, node_attr={"class": "plain"})
    for name, node in graph.nodes(data=True):
        picture.node(name, node["label"])
    picture.edges(graph.edges())
    return laid_out(picture.source)


def laid_out(source: str) -> bytes:
    """The SVG that `dot` makes of a graph. Raises Stopped after PATIENCE seconds of the processor."""
    limit = (int(PATIENCE), int(PATIENCE) + 1)
    done = subprocess.run(
        ["dot", "-Tsvg"],
        input=source.encode(),
        capture_output=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, limit),
    )
    if not done.stdout.rstrip().endswith(b"</svg>"):
        raise Stopped
    return done.stdout


def _torch(run: uz.Run) -> tuple[Any, Any]:
    """The network as a PyTorch module that reads the sequence step by step, and the sequence."""
    import torch

    class Elman(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            params = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in run.network.params.items()}
            self.params = torch.nn.ParameterDict(params)

        def forward(self, xs: Any) -> Any:
            p, state, loss = self.params, torch.zeros(UNITS, dtype=torch.float64), 0.0
            for x, wanted in zip(xs, torch.tensor(run.targets[:, 0]), strict=True):
                state = torch.tanh(p["U"] @ x + p["W"] @ state + p["b"])
                loss = loss - (wanted * torch.log_softmax(p["V"] @ state + p["c"], 0)).sum()
            return loss

    return Elman(), torch.tensor(run.inputs[:, 0])


def torchviz_svg(run: uz.Run) -> bytes:
    """The graph of autograd, by torchviz."""
    from torchviz import make_dot

    module, xs = _torch(run)
    return laid_out(make_dot(module(xs), params=dict(module.named_parameters())).source)


def torchview_svg(run: uz.Run) -> bytes:
    """The graph of operations, by torchview."""
    from torchview import draw_graph

    module, xs = _torch(run)
    return laid_out(draw_graph(module, input_data=xs, depth=5, expand_nested=True).visual_graph.source)
