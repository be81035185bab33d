"""Lesson: the gradient of V, a feed-forward chain at each step."""

from __future__ import annotations

from unrollviz.draw.text import percent, table
from unrollviz.lessons.answers import Choice, Names, Number
from unrollviz.lessons.steps import Ask, Step, Tell
from unrollviz.names import derivative, typeset
from unrollviz.samples import article

STEP = 3


def steps() -> tuple[Step, ...]:
    run = article()
    loss, state, output, logits = (f"{kind}{STEP}" for kind in ("L", "s", "yhat", "logits"))
    paths = run.paths(loss, "V")
    total = run.paths(to="V")
    flow = run.flow("V", by="loss")
    figures = zip(flow.labels, flow.norms, flow.shares, strict=True)
    wanted = int(run.targets[STEP - 1, 0].argmax())
    says = float(run.graph.nodes[output]["value"][0, wanted])
    slope = float(run.gradient(logits, loss)[0, wanted])
    chain = " · ".join(factor.symbol for factor in paths[0].factors)
    rows = [[typeset(f"L{int(t)}"), f"{norm:.4f}", percent(share)] for (t,), norm, share in figures]
    return (
        Tell(
            "A network with one hidden layer computes h = tanh(w x), then ŷ = softmax(v h), then the loss L. Its chain "
            "rule for v goes from the loss back: ∂L/∂v = ∂L/∂ŷ · ∂ŷ/∂v.\n"
            "The recurrent network does the same at every step: ŷ_t = softmax(V s_t + c), and a loss L_t."
        ),
        Ask(
            f"Look at the loss of step {STEP}. How many paths lead from {typeset(loss)} back to V?",
            Number(paths.count),
            f"{typeset(loss)} is made from {typeset(output)}, and that from V and {typeset(state)}. "
            f"Is V used again to make {typeset(state)}?",
            f"{typeset(state)} depends on the steps before, but only through U, W and b. V is used after the state.",
            ((Number(STEP), "That would be so if V were used to make the states; it only reads them out."),),
        ),
        Ask(
            f"Name the nodes of this path, from {typeset(loss)} to V.",
            Names(
                paths[0].nodes,
                ordered=True,
                optional=(logits,),
                remarks=((state, f"{typeset(state)} is what V multiplies; the way to V itself does not pass it."),),
            ),
            f"Which quantity is {typeset(loss)} computed from? And which parameter makes that one? "
            "Type ŷ as yhat, with its step.",
            f"{derivative(loss, 'V')} = {chain}: the chain of a network with one hidden layer.",
        ),
        Ask(
            f"In the small network v multiplies the hidden layer h. Which node has the part of h for {typeset(loss)}?",
            Names((state,), stem="s"),
            "It is what V multiplies in ŷ_t = softmax(V s_t + c).",
            f"Its values are in the gradient: {derivative(loss, 'V')} = "
            f"(ŷ - target) {typeset(state)}ᵀ for softmax with cross-entropy.",
            ((Names((f"s{STEP - 1}",)), "Not the state before: that is what W multiplies. V multiplies the new one."),),
        ),
        Ask(
            f"The right class of step {STEP} gets the probability ŷ = {says:.4f}. "
            f"What is the entry of {derivative(loss, logits)} for that class (z is what goes into softmax)?",
            Number(slope, 2e-3, 4),
            "For softmax with cross-entropy it is ŷ - target, and the target of the right class is 1.",
            f"ŷ - 1 = {says:.4f} - 1. It is negative: raising this logit lowers the loss.",
            (
                (Number(says, 2e-3), "That is ŷ; now take the target away from it."),
                (Number(-slope, 2e-3), "The number is right, the sign is not: it is ŷ - target."),
            ),
        ),
        Ask(
            f"The whole loss is L = L₁ + … + {typeset(f'L{run.steps}')}. How many terms does ∂L/∂V have, one for each "
            "path?",
            Number(total.count),
            f"There are {run.steps} losses; how many paths has each?",
            "One for each loss: ∂L/∂V = Σ_t ∂L_t/∂V. They are added up. (norm: the size of a "
            "term; share: its part of the sum.)\n"
            + "\n".join("  " + line for line in table(["", "norm", "share"], rows, left=(0,))),
        ),
        Ask(
            "Could one compute these terms in any order, or even all at the same time?",
            Choice(
                ("Yes, no term needs another one", "No, each needs the one of the step after it"),
                0,
            ),
            "Which other step's gradient is in (ŷ - target) sᵀ?",
            "Once the forward pass is done, each chain stands alone. For W this is different: the next lesson.",
        ),
    )
