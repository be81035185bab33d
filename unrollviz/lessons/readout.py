"""Lesson: the gradient of V, a feed-forward chain at each step."""

from __future__ import annotations

from unrollviz.api import Run
from unrollviz.draw.text import percent, table
from unrollviz.lessons.answers import Choice, Names, Number
from unrollviz.lessons.steps import Ask, Step, Tell
from unrollviz.names import derivative, typeset
from unrollviz.samples import article

STEP = 3
LOSS, STATE, OUTPUT, LOGITS = (f"{kind}{STEP}" for kind in ("L", "s", "yhat", "logits"))


def steps() -> tuple[Step, ...]:
    run = article()
    return (
        Tell(
            "A network with one hidden layer computes h = tanh(w x), then ŷ = softmax(v h), then the loss L. Its chain "
            "rule for v goes from the loss back: ∂L/∂v = ∂L/∂ŷ · ∂ŷ/∂v.\n"
            "The recurrent network does the same at every step: ŷ_t = softmax(V s_t + c), and a loss L_t."
        ),
        _how_many(run),
        _which(run),
        _hidden(run),
        _slope(run),
        _whole_loss(run),
        _any_order(),
    )


def _how_many(run: Run) -> Ask:
    return Ask(
        f"A path leads from a loss back, from each node to one that it is computed from. How many paths lead from "
        f"{typeset(LOSS)}, the loss of step {STEP}, back to V?",
        Number(run.paths(LOSS, "V").count),
        (
            f"{typeset(LOSS)} is made from {typeset(OUTPUT)}, and that from V and {typeset(STATE)}. "
            f"Is V used again to make {typeset(STATE)}?",
            f"{typeset(STATE)} = tanh(U x_{STEP} + W s_{STEP - 1} + b): no V in it, nor in any state before.",
        ),
        f"{typeset(STATE)} depends on the steps before, but only through U, W and b. V is used after the state.",
        ((Number(STEP), "That would be so if V were used to make the states; it only reads them out."),),
    )


def _which(run: Run) -> Ask:
    (path,) = run.paths(LOSS, "V")
    chain = " · ".join(factor.symbol for factor in path.factors)
    return Ask(
        f"Name the nodes of this path, from {typeset(LOSS)} to V.",
        Names(
            path.nodes,
            ordered=True,
            optional=(LOGITS,),
            remarks=((STATE, f"{typeset(STATE)} is what V multiplies; the way to V itself does not pass it."),),
            among=frozenset(run.graph),
        ),
        (
            f"Which quantity is {typeset(LOSS)} computed from? And which parameter makes that one? "
            "Type ŷ as yhat, with its step.",
            f"There are three: {typeset(LOSS)}, what the network says at step {STEP}, and V.",
        ),
        f"{derivative(LOSS, 'V')} = {chain}: the chain of a network with one hidden layer. "
        "(∂⁺ is the derivative along this one edge, all else held fixed.)",
    )


def _hidden(run: Run) -> Ask:
    return Ask(
        f"In the small network v multiplies the hidden layer h. Which node has the part of h for {typeset(LOSS)}?",
        Names((STATE,), stem="s", among=frozenset(run.graph)),
        (
            "It is what V multiplies in ŷ_t = softmax(V s_t + c).",
            f"It is a state, and {typeset(LOSS)} belongs to step {STEP}.",
        ),
        f"Its values are in the gradient: {derivative(LOSS, 'V')} = "
        f"(ŷ - target) {typeset(STATE)}ᵀ for softmax with cross-entropy.",
        ((Names((f"s{STEP - 1}",)), "Not the state before: that is what W multiplies. V multiplies the new one."),),
    )


def _slope(run: Run) -> Ask:
    wanted = int(run.targets[STEP - 1, 0].argmax())
    says = float(run.graph.nodes[OUTPUT]["value"][0, wanted])
    slope = float(run.gradient(LOGITS, LOSS)[0, wanted])
    return Ask(
        f"The right class of step {STEP} gets the probability ŷ = {says:.4f}. What is the entry of "
        f"{derivative(LOSS, LOGITS)} for that class ({typeset(LOGITS)} is what goes into softmax)?",
        Number(slope, 4),
        (
            "For softmax with cross-entropy it is ŷ - target, entry by entry.",
            "The target of the right class is 1, that of every other 0.",
        ),
        f"ŷ - 1 = {says:.4f} - 1. It is negative: raising this entry lowers the loss.",
        (
            (Number(says), "That is ŷ; now take the target away from it."),
            (Number(-slope), "The number is right, the sign is not: it is ŷ - target."),
        ),
    )


def _whole_loss(run: Run) -> Ask:
    flow = run.flow("V", by="loss")
    figures = zip(flow.labels, flow.norms, flow.shares, strict=True)
    rows = [[typeset(f"L{int(t)}"), f"{norm:.4f}", percent(share)] for (t,), norm, share in figures]
    return Ask(
        f"The whole loss is L = L₁ + … + {typeset(f'L{run.steps}')}. How many terms does ∂L/∂V have, one for each "
        "path?",
        Number(run.paths(to="V").count),
        (
            f"There are {run.steps} losses; how many paths has each?",
            "Each loss has one path to V, as L₃ has.",
        ),
        "One for each loss: ∂L/∂V = Σ_t ∂L_t/∂V. They are added up.\n"
        + "\n".join("  " + line for line in table(["", "norm", "share"], rows, left=(0,)))
        + "\nThe norm is the size of a term, the share its part of the sum, measured along the sum's direction. A "
        "large term that points elsewhere has a small share: compare L₁ and L₂.",
    )


def _any_order() -> Ask:
    return Ask(
        "Could one compute these terms in any order, or even all at the same time?",
        Choice(("Yes, no term needs another one", "No, each needs the one of the step after it"), 0),
        (
            "Which other step's gradient is in (ŷ - target) sᵀ?",
            "All in it, ŷ, the target and s, is of one step and known after the forward pass.",
        ),
        "Once the forward pass is done, each chain stands alone. For W this is different: the next lesson.",
    )
