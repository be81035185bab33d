"""What the inspector says about a node, page by page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from rich.text import Text

from unrollviz.arrays import Array
from unrollviz.debugger.words import cotangent, local_jacobian, uses
from unrollviz.draw.style import MEANINGS
from unrollviz.draw.text import percent
from unrollviz.graph import formula
from unrollviz.jacobians import frobenius
from unrollviz.names import clean, derivative, typeset
from unrollviz.tui import state as to
from unrollviz.tui.heat import heat
from unrollviz.tui.lens import PAGES
from unrollviz.tui.local import SIDE
from unrollviz.tui.local import shown as local
from unrollviz.tui.look import Palette
from unrollviz.tui.numbers import figure, ranked, shape, table
from unrollviz.tui.reach import AT_ONCE, FAINT, reach, sparkline
from unrollviz.tui.state import DebugState
from unrollviz.tui.statistics import statistics
from unrollviz.tui.symbols import shown
from unrollviz.tui.worked import activation, entry, worked

TALLEST = 12
"""How many lines an array takes at most on the overview."""
MAP = 16
"""How many lines a heat map may take even where one has to scroll for it."""
LONGEST = 500
"""How many lines of numbers, or of neurons, there are at most on a page."""
ROOMY = 48
"""Cells from which on the contributions are counted in words."""
NEIGHBOURS = 6
"""How many contributions are listed: around the last one that came in."""


@dataclass(frozen=True)
class Page:
    """A page that is being written: the text so far, and what it is about."""

    text: Text
    state: DebugState
    width: int
    height: int
    look: Palette

    @property
    def ready(self) -> bool:
        """Are the cotangents worked out? Those of a very long run are, once the screen has been open for a while."""
        return not self.state.scene.listed.pending

    def say(self, words: str, quiet: bool = False) -> None:
        self.text.append(clean(words, 2_000) + "\n", self.look.quiet if quiet else self.look.text)

    def of_instance(self, values: Array) -> Array:
        """The rows of the instance that is looked at; all where that is the batch, or there are no instances."""
        instance, role = self.state.lens.instance, self.node["role"]
        if instance is None or role == "parameter" or values.ndim != 2 or len(values) == 1:
            return values
        return values[instance : instance + 1]

    @property
    def node(self) -> dict[str, object]:
        found: dict[str, object] = self.state.scene.timeline.graph.nodes[self.state.node]
        return found

    @property
    def room(self) -> tuple[int, int]:
        """Cells and lines of an array on the overview, so that the value and the cotangent both fit."""
        return self.width - 1, min(max((self.height - 6) // 2, 3), TALLEST)


def title(state: DebugState) -> str:
    """`s₃ · state at step 3`"""
    node = state.scene.timeline.graph.nodes[state.node]
    step = state.spot.column and state.scene.layout.times[state.spot.column]
    where = f" at step {step}" if state.spot in state.scene.copies else ""
    if node["time"] is not None:
        where = f" at step {node['time']}"
    return clean(f"{node['label']} · {MEANINGS[node['role']]}{where}")


def footing(state: DebugState, width: int = 80) -> str:
    """`2/6 value · v turns · i instance 1 of 4`; what is known without being said is left out where there is no room"""
    page, count = state.lens.page, to.instances(state)
    which = "all" if state.lens.instance is None else state.lens.instance + 1
    instance = f" · i instance {which} of {count}" if count > 1 else ""
    number = f"{PAGES.index(page) + 1}/{len(PAGES)}"
    ways = (f"{number} {page} · v turns{instance}", f"{number} {page}{instance}", f"{number}{instance}")
    return next((said for said in ways if len(said) + 6 <= width), ways[-1])


def report(state: DebugState, width: int, height: int, look: Palette) -> Text:
    """The page that is open on the selected node; arrays are cut to `width` cells."""
    page = Page(Text(no_wrap=False, overflow="fold", style=look.text), state, width, height, look)
    with np.errstate(all="ignore"):
        WRITERS[state.lens.page](page)
    page.text.rstrip()
    return page.text


def _updated(page: Page) -> None:
    """What the update has made of a parameter: norms, then step and new value as far as there is room."""
    state = page.state
    found = state.now.update(state.node) if page.ready else None
    if found is None:
        return
    name, text, look = state.node, page.text, page.look
    symbol = typeset(name)
    text.append(f"{clean(symbol)} ← {clean(symbol)} + Δ{clean(symbol)}", look.now)
    text.append(f"  {percent(found.ratio(name)).lstrip('+')}  η {found.rate:.4g}\n", look.quiet)
    sizes = [figure(frobenius(of)) for of in (found.old[name], found.step(name), found.new[name])]
    page.say(f"‖{sizes[0]}‖ + ‖{sizes[1]}‖ → ‖{sizes[2]}‖")
    norms = [figure(frobenius(of[name])) for of in (found.gradients, found.clipped)]
    if norms[0] != norms[1]:
        page.say(f"‖∂‖ {norms[0]} clipped to {norms[1]}", quiet=True)
    for word, values in ((f"step Δ{symbol}", found.step(name)), (f"new {symbol}", found.new[name])):
        page.say(f"{word}  {shape(values)}", quiet=True)
        _numbers(page, values, page.room[1])


def _overview(page: Page) -> None:
    node, state = page.node, page.state
    _updated(page)
    if node["op"] is not None:
        page.say(formula(state.scene.run.graph, state.node, stop=state.scene.timeline.graph))
        if state.now.computed(state.node):
            page.say(_worked(page, state.lens.unit), quiet=True)
    if "symbol" in node:
        word = "the target is" if node["role"] == "loss" else "stands for"
        page.say(f"{word} {shown(str(node['symbol']), 24)}", quiet=True)
    time = state.scene.layout.times[state.spot.column]
    if state.spot in state.scene.copies and time is not None:
        for line in uses(state.scene.run.graph, state.scene.timeline, state.node, time):
            page.say(line)
    value = np.asarray(node["value"])
    if not state.now.computed(state.node):
        page.say(f"value  {shape(value)}, not computed yet", quiet=True)
    elif value.ndim == 0:
        page.text.append("value", page.look.quiet).append(f"  {figure(float(value))}\n", page.look.text)
    else:
        seen = page.of_instance(value)
        page.say(f"value  {shape(seen)}  ‖{figure(frobenius(seen))}‖", quiet=True)
        _numbers(page, seen, page.room[1])
    _cotangent(page)


def _worked(page: Page, unit: int) -> str:
    state = page.state
    graph, instance = state.scene.run.graph, state.lens.instance or 0
    units = to.units(state)
    return worked(graph, state.node, state.scene.timeline.graph, instance, min(unit, units - 1))


def _numbers(page: Page, values: Array, height: int) -> None:
    """Numbers as they stand, from the chosen unit on; or in another order, each with its place."""
    lens, width = page.state.lens, page.width - 1
    if values.ndim and lens.order != "place":
        lines = ranked(values, width, height, lens.order == "largest")
    else:
        unit = min(lens.unit, values.shape[-1] - 1) if values.ndim else 0
        if unit:
            page.say(f" from {unit} on, of {values.shape[-1]:,}:", quiet=True)
        lines = table(values[..., unit:] if values.ndim else values, width, height)
    for line in lines:
        page.text.append(f" {line}\n", page.look.text)


def _value(page: Page) -> None:
    value, state = np.asarray(page.node["value"]), page.state
    if not state.now.computed(state.node):
        page.say(f"value  {shape(value)}, not computed yet", quiet=True)
        return
    seen, applied = page.of_instance(value), activation(state.scene.run.graph, state.node)
    if applied is not None:
        applied = applied[0], page.of_instance(applied[1])
    page.say(f"value  {shape(seen)}", quiet=True)
    _array(page, seen, applied)


def _array(page: Page, values: Array, applied: tuple[str, Array] | None = None) -> None:
    """Statistics, a heat map and the numbers of an array."""
    _figures(page, list(statistics(values, applied).words()))
    if values.ndim:
        _heat(page, values)
        _numbers(page, values, LONGEST)


def _figures(page: Page, words: list[tuple[str, str]]) -> None:
    """Names and figures, as many on a line as there is room for."""
    used = 0
    for name, text in words:
        size = len(name) + len(text) + 1
        if used and used + size + 2 > page.width:
            page.text.append("\n")
            used = 0
        page.text.append("  " * bool(used) + f"{name} ", page.look.quiet).append(text, page.look.text)
        used += size + 2 * bool(used)
    page.text.append("\n")


def _heat(page: Page, values: Array) -> None:
    found = heat(values, page.width - 2, max(page.height - 4, MAP), page.look)
    for line in found.lines:
        page.text.append(" ").append_text(line).append("\n")
    page.say(f" {found.scale}", quiet=True)


def _cotangent(page: Page) -> None:
    timeline, now, name = page.state.scene.timeline, page.state.now, page.state.node
    value = _heading(page)
    if value is not None and value.ndim > 0:
        _numbers(page, page.of_instance(value), page.room[1])
    if page.ready and name not in timeline.losses:
        _contributions(page, now.arrived(name), now.expected(name))


def _heading(page: Page) -> Array | None:
    """`∂L/∂s₃ so far ‖0.5‖ 1 of 2 contributions in`; the cotangent so far, where there is one."""
    text, look, now, name = page.text, page.look, page.state.now, page.state.node
    arrived, expected, roomy = now.arrived(name), now.expected(name), page.width > ROOMY
    text.append(clean(cotangent(page.state.scene.timeline, name)), look.cotangent)
    if expected == 0:
        text.append(" = 0: no loss in question depends on it\n", look.quiet)
        return None
    value = now.cotangent(name) if page.ready else None
    text.append(" so far" if roomy and 0 < arrived < expected else "", look.text)
    if value is not None:
        text.append(f"  ‖{figure(frobenius(page.of_instance(value)))}‖", look.quiet)
    what = f" contribution{'s' if expected > 1 else ''}" if roomy else ""
    text.append(f"  {arrived:,} of {expected:,}{what} in\n", look.quiet)
    if not page.ready:
        page.say("its numbers are being worked out …", quiet=True)
    return value


def _contributions(page: Page, arrived: int, expected: int, ahead: bool = False) -> None:
    """The terms of the sum, those next to the last arrival: which are in, and how large; `ahead` also of the others."""
    timeline, name, text, look = page.state.scene.timeline, page.state.node, page.text, page.look
    first = min(max(arrived - NEIGHBOURS // 2, 0), max(expected - NEIGHBOURS, 0))
    if first:
        text.append(f" … {first:,} before\n", look.quiet)
    for index in range(first, min(first + NEIGHBOURS, expected)):
        found = timeline.contributions[name][index]
        term = f"{cotangent(timeline, found.head)} · {local_jacobian(timeline, found.head, name)}"
        is_in = index < arrived
        text.append(f" {'+' if is_in else '⋅'} {clean(term)}", look.text if is_in else look.coming)
        if is_in or ahead:
            norm = figure(frobenius(page.of_instance(timeline.contribution(name, index))))
            text.append(f"  ‖{norm}‖{'' if is_in else ' to come'}", look.quiet)
        text.append("\n")
    if first + NEIGHBOURS < expected:
        text.append(f" … {expected - first - NEIGHBOURS:,} to follow\n", look.quiet)


def _gradient(page: Page) -> None:
    """The cotangent so far in full, and what is still to come."""
    timeline, now, name = page.state.scene.timeline, page.state.now, page.state.node
    arrived, expected = now.arrived(name), now.expected(name)
    value = _heading(page)
    if page.ready and name not in timeline.losses and expected:
        if arrived < expected:
            whole = timeline.cotangent(name, expected)
            rest = page.of_instance(whole if value is None else whole - value)
            page.say(f"still to come  ‖{figure(frobenius(rest))}‖", quiet=True)
        _contributions(page, arrived, expected, ahead=True)
    if value is not None:
        _array(page, page.of_instance(value))


def _edge(page: Page) -> None:
    """The local Jacobian of the chosen edge."""
    state, graph = page.state, page.state.scene.timeline.graph
    edges = to.edges(state)
    if not edges:
        page.say("no edge leads here, and none away", quiet=True)
        return
    chosen = state.lens.edge % len(edges)
    tail, head, key = edges[chosen]
    jacobian = graph.edges[tail, head, key]["jacobian"]
    page.text.append(clean(local_jacobian(state.scene.timeline, head, tail)), page.look.now)
    hint = ", . for the next" if page.width > ROOMY and len(edges) > 1 else ""
    page.say(f"  edge {chosen + 1:,} of {len(edges):,}{hint}", quiet=True)
    time = graph.nodes[head]["time"]
    if graph.nodes[tail]["role"] == "parameter" and time is not None:
        for line in uses(state.scene.run.graph, state.scene.timeline, tail, time):
            page.say(line)
    if not state.now.computed(head):
        page.say("not known yet: its head is not computed", quiet=True)
        return
    found = local(jacobian, state.lens.instance)
    units, entries = found.shape
    which = "" if found.instances == 1 else f" × {found.instances} instances"
    _figures(page, [("shape", f"{units:,} × {entries:,}{which}"), ("norm", figure(found.norm))])
    if found.matrix is None:
        page.say("too many entries to be shown", quiet=True)
        return
    if found.singular is not None:
        page.say("singular values  " + " ".join(map(figure, found.singular)))
    else:
        page.say(f"singular values: not of more than {SIDE} units, or where not finite", quiet=True)
    if found.instances > 1:
        one = "the mean over all instances" if state.lens.instance is None else f"instance {state.lens.instance + 1}"
        page.say(f"{one}: rows {units:,} units of the head, columns {entries:,} of the tail", quiet=True)
    _heat(page, found.matrix)
    _numbers(page, found.matrix, LONGEST)


def _neurons(page: Page) -> None:
    """A line a neuron: value, cotangent so far, and its formula in numbers. Of a parameter, a line a row of weights."""
    state, value = page.state, np.asarray(page.node["value"])
    if value.ndim == 0:
        page.say("a number has no neurons")
        return
    known, instance = state.now.computed(state.node), state.lens.instance or 0
    back = state.now.cotangent(state.node) if page.ready else None
    rows = page.node["role"] == "parameter" and value.ndim == 2
    count = to.instances(state)
    if not rows and count > 1:
        page.say(f"neurons of instance {instance + 1} of {count}", quiet=True)
    symbol = clean(cotangent(state.scene.timeline, state.node))
    first, second = ("‖row‖", f"‖{symbol}‖") if rows else ("value", symbol)
    page.say(f"   {'row' if rows else 'unit'} {first:>9} {second:>11}", quiet=True)
    size = len(value) if rows else value.shape[-1]
    for unit in range(min(size, LONGEST)):
        one, other = (
            figure(frobenius(array[unit]) if rows else entry(array, instance, unit)) if seen else "–"
            for array, seen in ((value, known), (value if back is None else back, back is not None))
        )
        made = "" if rows or not known else worked_part(_worked(page, unit))
        line = f"{'▸' if unit == state.lens.unit else ' '}{unit:6,} {one:>9} {other:>11}  {made}"
        page.text.append(line[: page.width].rstrip() + "\n", page.look.text)
    if size > LONGEST:
        page.say(f" … {size - LONGEST:,} more", quiet=True)


def worked_part(line: str) -> str:
    """What stands between the first and the last = of a worked formula."""
    return " = ".join(line.split(" = ")[1:-1])


def _reach(page: Page) -> None:
    """The norm of the cotangent step by step, from the loss back, and where it fades."""
    state, look, scene = page.state, page.look, page.state.scene
    graph, alone = scene.timeline.graph, len(scene.losses) == 1
    if alone and not page.ready:
        page.say("its numbers are being worked out …", quiet=True)
        return
    if not scene.losses or (not alone and scene.run.steps > AT_ONCE):
        page.say(f"of more than {AT_ONCE:,} steps it is shown for one loss: l chooses it", quiet=True)
        return
    found = reach(graph, scene.timeline.backward if alone else None, state.node, scene.losses[-1])
    symbol = f"‖{clean(derivative(found.loss, found.kind + 't'))}‖".replace(f"{found.kind}t", f"{found.kind}ₜ")
    far, time = found.fades, int(graph.nodes[found.loss]["time"])
    if far is None:
        words = f"{symbol} stays above {FAINT:.0e} back to step {found.times[-1] if found.times else time}"
    else:
        words = f"{symbol} falls under {FAINT:.0e} at step {far:,}, lag {time - far:,}"
    page.text.append(clean(words) + "\n", look.now)
    page.say("from the last loss alone; l chooses another" if not alone else "from the loss that is chosen", quiet=True)
    page.text.append(f" {sparkline(found.norms, page.width - 2)}\n", look.cotangent)
    page.say(f" step {found.times[0]:,} … {found.times[-1]:,}, by logarithm" if found.times else "", quiet=True)
    for step, norm in islice(zip(found.times, found.norms, strict=True), LONGEST):
        mark = "▸" if step == graph.nodes[state.node]["time"] else " "
        faint = norm < FAINT
        page.text.append(f"{mark}{step:6,}  {figure(norm):>10}\n", look.quiet if faint else look.text)
    if len(found.times) > LONGEST:
        page.say(f" … {len(found.times) - LONGEST:,} more", quiet=True)


WRITERS: dict[str, Callable[[Page], None]] = {
    "overview": _overview,
    "value": _value,
    "cotangent": _gradient,
    "edge": _edge,
    "neurons": _neurons,
    "reach": _reach,
}
"""Page -> what writes it."""
