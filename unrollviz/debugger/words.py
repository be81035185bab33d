"""An event in one line of typeset words and symbols."""

from __future__ import annotations

from unrollviz.debugger.events import Event
from unrollviz.debugger.timeline import Timeline
from unrollviz.graph import Graph, formula
from unrollviz.names import derivative, typeset
from unrollviz.report.figures import of_losses


def describe(source: Graph, timeline: Timeline, event: Event) -> str:
    """`s₃ = tanh(U x₃ + W s₂ + b)` in the forward pass, `∂L/∂s₃ += ∂L/∂s₄ · ∂s₄/∂s₃` in the backward pass.

    `source` is the traced graph at level `op`, in which every formula is found.
    """
    if event.phase == "sum":
        return _sum(timeline, event.node)
    if event.phase == "update":
        return _update(timeline, event.node)
    if event.head is None:
        return formula(source, event.node, stop=timeline.graph)
    sign = "+=" if len(timeline.contributions[event.node]) > 1 else "="
    received, handed_back = cotangent(timeline, event.node), cotangent(timeline, event.head)
    return f"{received} {sign} {handed_back} · {local_jacobian(timeline, event.head, event.node)}"


def cotangent(timeline: Timeline, node: str) -> str:
    """`∂L/∂s₃`; `∂L₄/∂s₃` where the backward pass starts at L₄ alone."""
    return derivative(of_losses(timeline.losses, timeline.graph), node)


def local_jacobian(timeline: Timeline, head: str, tail: str) -> str:
    """`∂s₄/∂s₃`; `∂⁺s₄/∂W` where the argument is a parameter, which s₄ uses in other ways too."""
    return derivative(head, tail, direct=timeline.graph.nodes[tail]["role"] == "parameter")


def uses(source: Graph, timeline: Timeline, parameter: str, time: int) -> list[str]:
    """What a matrix multiplies at a step, and its gradient there: `W multiplies s₂: ∂L/∂W gets ∂L/∂a₃ · s₂ᵀ`."""
    found = []
    for product in source.succ[parameter]:
        node = source.nodes[product]
        if node["time"] != time or node["op"] != "matvec":
            continue
        vector = next(tail for tail, _, key in source.in_edges(product, keys=True) if key == 1)
        after = list(source.succ[product])
        summed = after[0] if len(after) == 1 and source.nodes[after[0]]["op"] == "add" else product
        gradient = f"{cotangent(timeline, summed)} · {typeset(vector)}ᵀ"
        found.append(
            f"{typeset(parameter)} multiplies {typeset(vector)}: {cotangent(timeline, parameter)} gets {gradient}"
        )
    return found


def _sum(timeline: Timeline, node: str) -> str:
    count = len(timeline.contributions[node])
    if count == 0:
        return f"{cotangent(timeline, node)} = 0: no path leads there"
    return f"{cotangent(timeline, node)} is complete: {count:,} contribution{'s' if count > 1 else ''} added up"


def _update(timeline: Timeline, name: str) -> str:
    """`W ← W + ΔW by adam, η = 0.01; gradient clipped`"""
    learning = timeline.learning
    assert learning is not None
    rule, symbol = learning.learner.rule, typeset(name)
    clips = rule.clip is not None or rule.clip_value is not None
    given = f"clipped {cotangent(timeline, name)}" if clips else cotangent(timeline, name)
    return f"{symbol} ← {symbol} + Δ{symbol}, which {rule.optimizer} makes of {given}, η = {rule.base:g}"
