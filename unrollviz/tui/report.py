"""What the inspector says about a node: its formula, its value, its cotangent so far and what that is made of."""

from __future__ import annotations

import numpy as np
from rich.text import Text

from unrollviz.arrays import Array
from unrollviz.debugger.words import cotangent, local_jacobian
from unrollviz.draw.style import MEANINGS
from unrollviz.graph import formula
from unrollviz.jacobians import frobenius
from unrollviz.names import clean
from unrollviz.tui.look import Palette
from unrollviz.tui.numbers import figure, shape, table
from unrollviz.tui.state import DebugState
from unrollviz.tui.symbols import shown

TALLEST = 12
"""How many lines an array takes at most."""
ROOMY = 48
"""Cells from which on the contributions are counted in words."""
NEIGHBOURS = 6
"""How many contributions are listed: around the last one that came in."""


def title(state: DebugState) -> str:
    """`s₃ · state at step 3`"""
    node = state.scene.timeline.graph.nodes[state.node]
    step = state.spot.column and state.scene.layout.times[state.spot.column]
    where = f", used at step {step}" if state.spot in state.scene.copies else ""
    if node["time"] is not None:
        where = f" at step {node['time']}"
    return clean(f"{node['label']} · {MEANINGS[node['role']]}{where}")


def report(state: DebugState, width: int, height: int, look: Palette) -> Text:
    """Everything about the selected node; arrays are cut to `width` cells, and so that both fit into `height` lines."""
    room = width - 1, min(max((height - 6) // 2, 3), TALLEST)
    text = Text(no_wrap=False, overflow="fold", style=look.text)
    node = state.scene.timeline.graph.nodes[state.node]
    written = formula(state.scene.run.graph, state.node, stop=state.scene.timeline.graph)
    if node["op"] is not None:
        text.append(clean(written) + "\n", look.text)
    if "symbol" in node:
        word = "the target is" if node["role"] == "loss" else "stands for"
        text.append(f"{word} {shown(str(node['symbol']), 24)}\n", look.quiet)
    _value(text, state, node["value"], room, look)
    _cotangent(text, state, room, look)
    text.rstrip()
    return text


def _value(text: Text, state: DebugState, value: Array, room: tuple[int, int], look: Palette) -> None:
    if not state.now.computed(state.node):
        text.append(f"value  {shape(value)}, not computed yet\n", look.quiet)
    elif value.ndim == 0:
        text.append("value", look.quiet).append(f"  {figure(float(value))}\n", look.text)
    else:
        with np.errstate(all="ignore"):
            text.append(f"value  {shape(value)}  ‖{figure(frobenius(value))}‖\n", look.quiet)
        _numbers(text, value, room, look)


def _numbers(text: Text, values: Array, room: tuple[int, int], look: Palette) -> None:
    for line in table(values, *room):
        text.append(f" {line}\n", look.text)


def _cotangent(text: Text, state: DebugState, room: tuple[int, int], look: Palette) -> None:
    timeline, now, name = state.scene.timeline, state.now, state.node
    symbol, arrived, expected = clean(cotangent(timeline, name)), now.arrived(name), now.expected(name)
    text.append(symbol, look.cotangent)
    if expected == 0:
        text.append(" = 0: no loss in question depends on it\n", look.quiet)
        return
    value, roomy = now.cotangent(name), room[0] >= ROOMY
    text.append(" so far" if roomy and 0 < arrived < expected else "", look.text)
    if value is not None:
        with np.errstate(all="ignore"):
            text.append(f"  ‖{figure(frobenius(value))}‖", look.quiet)
    what = f" contribution{'s' if expected > 1 else ''}" if roomy else ""
    text.append(f"  {arrived:,} of {expected:,}{what} in\n", look.quiet)
    if value is not None and value.ndim > 0:
        _numbers(text, value, room, look)
    if name not in timeline.losses:
        _contributions(text, state, arrived, expected, look)


def _contributions(text: Text, state: DebugState, arrived: int, expected: int, look: Palette) -> None:
    """The terms of the sum, those next to the last arrival: which are in, and how large."""
    timeline, name = state.scene.timeline, state.node
    first = min(max(arrived - NEIGHBOURS // 2, 0), max(expected - NEIGHBOURS, 0))
    if first:
        text.append(f" … {first:,} before\n", look.quiet)
    for index in range(first, min(first + NEIGHBOURS, expected)):
        found = timeline.contributions[name][index]
        term = f"{cotangent(timeline, found.head)} · {local_jacobian(timeline, found.head, name)}"
        is_in = index < arrived
        text.append(f" {'+' if is_in else '⋅'} {clean(term)}", look.text if is_in else look.coming)
        if is_in:
            text.append(f"  ‖{figure(frobenius(timeline.contribution(name, index)))}‖", look.quiet)
        text.append("\n")
    if first + NEIGHBOURS < expected:
        text.append(f" … {expected - first - NEIGHBOURS:,} to follow\n", look.quiet)
