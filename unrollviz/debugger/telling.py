"""What a stepper has to say, in lines of plain text: where one is, what is known there, what has changed."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from unrollviz.arrays import Array
from unrollviz.debugger.breakpoints import Hit
from unrollviz.debugger.expressions import Value, shown
from unrollviz.debugger.stepper import Reading, Stepper
from unrollviz.debugger.whatif import Comparison
from unrollviz.debugger.words import cotangent, describe
from unrollviz.draw.style import MEANINGS
from unrollviz.draw.text import integer, magnitude, matrix, number, percent, side_by_side, table
from unrollviz.graph import Graph, formula, node_named
from unrollviz.jacobians import frobenius
from unrollviz.names import clean, derivative, typeset
from unrollviz.paths.path import Path
from unrollviz.report.figures import of_losses
from unrollviz.report.paths import written as written_path

SHOWN = 12
"""Rows and columns up to which an array is written out."""
WIDTH = 100


def where(stepper: Stepper) -> list[str]:
    """The event that has just happened, what an update came to, and what the watches show."""
    event = stepper.state.event
    came_to = updated(stepper, event.node) if event is not None and event.phase == "update" else []
    return [event_line(stepper, stepper.cursor), *came_to, *map(reading_line, stepper.readings())]


def updated(stepper: Stepper, name: str) -> list[str]:
    """What the update has made of a parameter, in norms; nothing before it has happened."""
    learning = stepper.timeline.learning
    if learning is None or stepper.cursor < stepper.timeline.updated_at.get(name, stepper.timeline.end + 1):
        return []
    if learning.known is None:
        return ["  this update leads to no finite number; lower the learning rate, or clip"]
    found, symbol = learning.known, clean(typeset(name))
    old, gradient, given = (frobenius(of[name]) for of in (found.old, found.gradients, found.clipped))
    clipped = f" clipped to {number(given)}" if given != gradient else ""
    return [
        f"  ‖{symbol}‖ {number(old)} → {number(frobenius(found.new[name]))}, ‖gradient‖ {number(gradient)}{clipped}, "
        f"‖Δ{symbol}‖ {number(frobenius(found.step(name)))}, {percent(found.ratio(name)).lstrip('+')} of ‖{symbol}‖, "
        f"η = {found.rate:.6g}"
    ]


def event_line(stepper: Stepper, cursor: int) -> str:
    """`event 5 of 65, forward, step 3: s₃ = tanh(U x₃ + W s₂ + b)`"""
    line, at = stepper.timeline, iteration(stepper)
    if cursor == 0:
        return f"{at}event 0 of {line.end}: nothing has happened yet; there are {', '.join(line.phases)}"
    event = line.events[cursor - 1]
    step = "" if event.time is None else f", step {event.time}"
    what = clean(describe(stepper.run.graph, line, event), 400)
    return f"{at}event {cursor} of {line.end}, {event.phase}{step}: {what}"


def iteration(stepper: Stepper) -> str:
    """`iteration 3 of 200, `; nothing where there is no optimizer."""
    learner = stepper.learner
    return "" if learner is None else f"iteration {stepper.iteration:,} of {learner.updates:,}, "


def around(stepper: Stepper, rows: int) -> list[str]:
    """The events before and after the cursor; `>` stands before the one that has just happened."""
    first = max(0, min(stepper.cursor - rows // 2, stepper.timeline.end - rows + 1))
    last = min(first + rows - 1, stepper.timeline.end)
    return [("> " if at == stepper.cursor else "  ") + event_line(stepper, at) for at in range(first, last + 1)]


def reading_line(reading: Reading) -> str:
    """`watch W.grad[0, 1]: 0.25 -> 0.31`, or without the arrow where it has not changed."""
    now = value_text(reading.value)
    change = f"{value_text(reading.before)} -> {now}" if reading.changed else f"{now}, as before"
    return f"watch {clean(reading.watch.text)}: {change}"


def value_text(value: Value) -> str:
    """A value in one line: ten digits of a number, an array that is small entry by entry."""
    if value is None:
        return "not known yet"
    if isinstance(value, str | bool | np.bool_):
        return clean(str(value))
    array = np.asarray(value)
    if array.size == 1:
        return f"{float(array.ravel()[0]):.10g}"
    shape = " × ".join(map(str, array.shape))
    if array.size > SHOWN:
        return f"{shape} numbers, norm {number(frobenius(array))}"
    return _entries(array)


def _entries(array: Array) -> str:
    """`[[0.5, 1], [2, 3]]`"""
    return f"[{', '.join(map(_entries, array))}]" if array.ndim else f"{float(array):.6g}"


def stop_lines(stepper: Stepper, hit: Hit | None, forward: bool) -> list[str]:
    """Why `continue` has stopped."""
    if hit is None:
        return [f"no breakpoint {'ahead: this is the end' if forward else 'before: this is the start'}"]
    points = (
        f"breakpoint {index + 1} ({clean(stepper.breakpoints[index].text)}), "
        f"stopped here {_times(stepper.breakpoints[index].hits)}"
        for index in hit.breakpoints
    )
    return [*points, *(f"watch {index + 1} has changed" for index in hit.watches)]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def breakpoints(stepper: Stepper) -> list[str]:
    """One line each, with its number."""
    points = [
        f"{index}  {clean(point.text)}{'' if point.enabled else '  (disabled)'}  hits: {point.hits}"
        for index, point in enumerate(stepper.breakpoints, 1)
    ]
    watches = [
        f"watch {index}  {clean(watch.text)}{'  (stops where it changes)' if watch.stops else ''}"
        for index, watch in enumerate(stepper.watches, 1)
    ]
    return [*points, *watches] or ["no breakpoints and no watches"]


def about(stepper: Stepper, name: str) -> list[str]:
    """A node: its formula with the numbers in it, its value, its cotangent so far. Raises UnknownName."""
    line, state = stepper.timeline, stepper.state
    node = node_named(line.graph, name)
    step = "" if node["time"] is None else f" at step {node['time']}"
    lines = [clean(f"{node['label']}: {MEANINGS[node['role']]}{step}")]
    if stepper.run.instances > 1:
        lines.append(f"numbers are of instance 1 of {stepper.run.instances}")
    if not state.computed(name):
        return [*lines, f"{clean(formula(stepper.run.graph, name, stop=line.graph), 400)}, not computed yet"]
    if node["op"] is None:
        lines += _array("value", node["value"])
    for step_name in _steps_of(stepper.run.graph, line.graph, name):
        lines += _with_numbers(stepper.run.graph, step_name)
    return [*lines, *_about_cotangent(stepper, name), *_about_update(stepper, name)]


def _about_update(stepper: Stepper, name: str) -> list[str]:
    """Old value, gradient, step and new value of a parameter that has been updated."""
    found = stepper.state.update(name)
    if found is None:
        return updated(stepper, name)
    symbol, lines = clean(typeset(name)), updated(stepper, name)
    if found.clipped is not found.gradients:
        lines += _array("gradient, clipped", found.clipped[name])
    lines += _array(f"step Δ{symbol}", found.step(name))
    return [*lines, *_array(f"new {symbol}", found.new[name])]


def _steps_of(source: Graph, level: Graph, name: str) -> Iterator[str]:
    """The operations by which a node comes from the nodes before it at its level, the products left inside sums."""
    inside, stack = [name], [name]
    while stack:
        for tail in source.pred[stack.pop()]:
            if tail not in level and tail not in inside and source.nodes[tail]["op"] is not None:
                inside.append(tail)
                stack.append(tail)
    order = {node: index for index, node in enumerate(source)} if len(inside) > 1 else {name: 0}
    for node in sorted(inside, key=order.__getitem__):
        if source.nodes[node]["op"] is not None and (node == name or source.nodes[node]["op"] != "matvec"):
            yield node


def _with_numbers(source: Graph, name: str) -> list[str]:
    """`a₃ = U x₃ + W s₂ + b`, and under it each argument beside the next, and what comes out."""
    edges = sorted(source.in_edges(name, keys=True), key=lambda edge: edge[2])
    values = [(tail, _first(source.nodes[tail]["value"])) for tail, _, _ in edges] + [
        (name, _first(source.nodes[name]["value"]))
    ]
    lines = [clean(formula(source, name), 400)]
    if any(max(value.shape, default=1) > SHOWN for _, value in values):
        shapes = (f"{typeset(n)}: {_shape(v)}, norm {number(frobenius(v))}" for n, v in values)
        return [*lines, *(f"  {clean(text)}" for text in shapes)]
    tallest = max(len(matrix(value)) for _, value in values)
    blocks = [(clean(typeset(n)), _padded(matrix(value), tallest)) for n, value in values]
    joiners = ["  ", *["  "] * (len(blocks) - 2), "  ="] if len(blocks) > 1 else ["  "]
    return [*lines, *side_by_side(blocks, [f"{joiner} " for joiner in joiners], WIDTH)]


def _padded(lines: list[str], height: int) -> list[str]:
    width = max(map(len, lines))
    return [*(line.ljust(width) for line in lines), *[" " * width] * (height - len(lines))]


def _first(value: Array) -> Array:
    """What belongs to the first instance, a parameter as it is; a scalar as one entry."""
    return value.reshape(1) if value.ndim == 0 else shown(value)


def _shape(value: Array) -> str:
    return " × ".join(map(str, value.shape))


def _array(what: str, value: Array) -> list[str]:
    whole = _first(value)
    head = f"{what}: {_shape(whole)}, norm {number(frobenius(value))}"
    if max(whole.shape, default=1) > SHOWN or whole.ndim > 2:
        return [head]
    return [head, *(f"  {line}" for line in matrix(whole))]


def _about_cotangent(stepper: Stepper, name: str) -> list[str]:
    state, line = stepper.state, stepper.timeline
    symbol, arrived, expected = clean(cotangent(line, name)), state.arrived(name), state.expected(name)
    if expected == 0:
        return [f"{symbol} = 0: no loss in question depends on it"]
    value = state.cotangent(name)
    if value is None:
        return [f"{symbol}: nothing has arrived yet, {_contributions(expected)} will"]
    so_far = "" if arrived == expected else " so far"
    lines = _array(f"{symbol}{so_far}, {arrived} of {_contributions(expected)}", value)
    for index in range(max(0, arrived - 5), arrived if name not in line.starts else 0):
        found = line.contributions[name][index]
        norm = number(frobenius(line.contribution(name, index)))
        lines.append(f"  from {clean(typeset(found.head))}, event {found.cursor}: norm {norm}")
    return lines


def _contributions(count: int) -> str:
    return f"{count} contribution{'' if count == 1 else 's'}"


def paths(stepper: Stepper, rows: int) -> list[str]:
    """The exact number of paths, and the first of them. Raises NonFinite where the gradient overflows."""
    found = stepper.run.paths(stepper.losses, stepper.target, detail=stepper.detail)
    symbol = derivative(of_losses(stepper.losses, stepper.run.graph), stepper.target)
    plural = "" if found.count == 1 else "s"
    norm = magnitude(found.total_norm, found.log10_total_norm)
    lines = [f"{symbol} is a sum over {integer(found.count)} path{plural}; its norm is {norm}"]
    listed = [
        [
            integer(path.rank + 1),
            written_path(path),
            str(path.entry),
            str(path.lag),
            magnitude(path.norm, path.log10_norm),
            percent(path.share),
        ]
        for path in found[:rows]
    ]
    if listed:
        lines += table(["path", "nodes, from the loss back", "enters at", "lag", "norm", "share"], listed, left=(1,))
    return lines if len(listed) == found.count else [*lines, f"{integer(found.count - len(listed))} more"]


def path(found: Path) -> list[str]:
    """One path: its share, and its factors with the norm of their product so far."""
    head = (
        f"path {integer(found.rank + 1)}: {written_path(found)}; enters at {found.entry}, lag {found.lag}, "
        f"norm {magnitude(found.norm, found.log10_norm)}, share {percent(found.share)}"
    )
    before = (1.0, *found.running_norms[:-1])
    rows = [
        [clean(factor.symbol), number(factor.norm), number(norm), f"×{number(norm / was) if was else '–'}"]
        for factor, norm, was in zip(found.factors, found.running_norms, before, strict=True)
    ]
    return [head, *table(["factor", "norm", "product so far", "change"], rows, left=(0,))]


def difference(compared: Comparison) -> list[str]:
    """Old and new side by side: loss, gradients, paths."""
    whole = of_losses([name for name, _, _ in compared.losses])
    rows = [["loss", *_change(*compared.loss), ""]]
    rows += [[clean(name), *_change(old, new), ""] for name, old, new in compared.losses if old != new]
    rows += [
        [f"norm of {clean(derivative(whole, row.name))}" if row.name != "gradient" else "norm of the gradient",
         *_change(row.old, row.new), "" if math.isnan(row.cosine) else f"{row.cosine:.6f}"]
        for row in compared.gradients
    ]  # fmt: skip
    old, new = compared.count
    fewer = f"{'-' if new < old else '+'}{integer(abs(new - old))}" if new != old else "0"
    rows.append([f"paths to {clean(compared.target)}", integer(old), integer(new), fewer, ""])
    lines = table(["", "old", "new", "new − old", "cosine"], rows, left=(0,))
    if compared.vanished is None:
        lines.append(f"{integer(old - new)} paths have vanished, too many to list")
    elif gone := len(compared.vanished):
        lines.append(f"{gone} path{' has' if gone == 1 else 's have'} vanished:")
        lines += [f"  {clean(' → '.join(map(typeset, nodes)))}" for nodes in compared.vanished[:SHOWN]]
        if len(compared.vanished) > SHOWN:
            lines.append(f"  {len(compared.vanished) - SHOWN} more")
    return lines


def _change(old: float, new: float) -> tuple[str, str, str]:
    """Before, after, and by how much."""
    return _aligned(old), _aligned(new), _aligned(new - old, "+") if new != old else "0"


def _aligned(value: float, sign: str = "") -> str:
    """With its point below the others', unless it is very small or large."""
    return f"{value:{sign}.6f}" if value == 0 or 1e-3 <= abs(value) < 1e7 else f"{value:{sign}.3e}"
