"""Lesson: the four paths that lead from L₄ to W."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unrollviz.api import unroll
from unrollviz.draw.text import percent, table
from unrollviz.lessons.answers import Choice, Names, Number
from unrollviz.lessons.steps import Ask, Step, Tell
from unrollviz.names import typeset
from unrollviz.samples import article

LOSS, LONGER = "L4", 10


def reached_through(states: Sequence[str], loss: str) -> Names:
    """The states through which a loss reaches W, and why others are none of them; the debugger's tour asks it too."""
    after = f"s{int(loss[1:]) + 1}"
    return Names(
        tuple(states),
        stem="s",
        remarks=(
            (after, f"Not {typeset(after)}: it comes after {typeset(loss)}, and no value goes back in time."),
            ("s0", "Not s₀: it is given; W multiplies it, but it uses no W."),
        ),
    )


def steps() -> tuple[Step, ...]:
    run = article()
    paths = run.paths(LOSS, "W")
    last, loss = paths[0].nodes[-2], typeset(LOSS)
    one, longest = paths[2], paths[-1]
    heaviest = max(range(paths.count), key=lambda i: paths[i].share)
    of_five = run.paths(f"L{run.steps}", "W").count
    of_all = run.paths(to="W").count
    rng = np.random.default_rng(0)
    longer = unroll(run.network, rng.standard_normal((LONGER, run.network.inputs)), np.zeros(LONGER, int))
    of_longer = longer.paths(to="W").count
    rows = [[typeset(p.nodes[-2]), str(p.entry), str(p.lag), f"{p.norm:.4f}", percent(p.share)] for p in paths]
    total = run.gradient("W", LOSS)
    return (
        Tell(
            f"Now ∂{loss}/∂W, the article's main question. Every state is made of the input and the state before, with "
            "the same W every time:\n"
            "  s_t = tanh(U x_t + W s_(t-1) + b)     ŷ_t = softmax(V s_t + c)\n"
            f"{loss} is the loss of step 4, in a sequence of {run.steps} steps."
        ),
        Ask(
            f"Through which states does {loss} depend on W? Name all of them.",
            reached_through([path.nodes[-2] for path in paths], LOSS),
            f"{typeset(last)} uses W. But it also uses the state before, which uses W too, and so on.",
            f"{typeset(last)} contains W itself, and the state before it, which contains W itself, and so on to s₁. "
            "s₀ is given.",
            (
                (
                    Names((last,), stem="s"),
                    f"{typeset(last)} is one: W is in its formula. But s₃ is in its formula too, and how is that made?",
                ),
            ),
        ),
        Ask(
            f"∂{loss}/∂W is a sum with one term for each path from {loss} back to W. How many terms is that?",
            Number(paths.count),
            "A path ends where it turns off to W. At which states can it?",
            f"The article: the derivative is the sum over all the paths that lead from {loss} to W.",
            ((Number(1), "One would be right for V. W can be reached at each of the states."),),
        ),
        Ask(
            f"Name the nodes of the path that enters W at {typeset(one.nodes[-2])}, from {loss} to W.",
            Names(one.nodes, ordered=True),
            f"{loss}, then ŷ₄ (type yhat4), then one state after the other, back to {typeset(one.nodes[-2])}, then W.",
            f"It leaves the chain of states at step k = {one.entry}. Its lag is t - k = 4 - {one.entry} = {one.lag}.",
        ),
        Ask(
            "What is the lag t - k of the longest of them?",
            Number(longest.lag),
            "It starts at t = 4 and enters W at the first state, k = 1.",
            f"4 - {longest.entry}: it has gone through {longest.lag} steps of the network.",
            ((Number(4), "k is counted from 1, not from 0: the first W is in s₁."),),
        ),
        Ask(
            "These four terms are not of equal weight. Guess: which path carries the largest share of the gradient?",
            Choice(
                tuple(f"the one that enters at {typeset(path.nodes[-2])}" for path in paths),
                heaviest,
            ),
            "On the way back the gradient passes a factor ∂s_t/∂s_(t-1) at every step, and tanh′ is below 1.",
            "Each step back takes something away here:\n"
            + "\n".join("  " + line for line in table(["via", "k", "lag", "norm", "share"], rows, left=(0,))),
        ),
        Ask(
            f"How many paths lead from {typeset(f'L{run.steps}')} to W?",
            Number(of_five),
            "L₄ has four: through s₄, s₃, s₂ and s₁.",
            "One for each step up to its own.",
        ),
        Ask(
            f"And from all losses L₁ to {typeset(f'L{run.steps}')} together?",
            Number(of_all),
            f"L₁ has one path, L₂ has two, …, {typeset(f'L{run.steps}')} has {of_five}. Add them up.",
            f"{' + '.join(str(run.paths(name, 'W').count) for name in run.loss_names())} = {of_all}, or T (T + 1) / 2.",
            ((Number(run.steps * of_five), "Not every loss has so many: L₁ has only one."),),
        ),
        Ask(
            f"In a sequence of {LONGER} steps, with a loss at each?",
            Number(of_longer),
            f"T (T + 1) / 2 with T = {LONGER}.",
            "One sweep back through the network adds them all up on the way: backpropagation through time.",
        ),
        Tell(
            f"And the sum is right: the four terms and one reverse sweep differ by "
            f"{float(np.abs(paths.sum() - total).max()):.1g}."
        ),
    )
