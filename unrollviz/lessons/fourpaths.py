"""Lesson: the four paths that lead from L₄ to W."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from unrollviz.api import Run, unroll
from unrollviz.draw.text import percent, table
from unrollviz.lessons.answers import Choice, Names, Number
from unrollviz.lessons.steps import Ask, Step, Tell
from unrollviz.names import typeset
from unrollviz.samples import article

LOSS, LONGER = "L4", 10


def reached_through(states: Sequence[str], loss: str, among: Iterable[str] = ()) -> Names:
    """The states through which a loss reaches W, and why others are none of them; the debugger's tour asks it too."""
    after = f"s{int(loss[1:]) + 1}"
    return Names(
        tuple(states),
        stem="s",
        remarks=(
            (after, f"Not {typeset(after)}: it comes after {typeset(loss)}, and no value goes back in time."),
            ("s0", "Not s₀: it is given; W multiplies it, but it uses no W."),
        ),
        among=frozenset(among),
    )


def steps() -> tuple[Step, ...]:
    run = article()
    return (
        Tell(
            f"Now ∂{typeset(LOSS)}/∂W, the article's main question. Every state is made of the input and the state "
            "before, with the same W every time:\n"
            "  s_t = tanh(U x_t + W s_(t-1) + b)     ŷ_t = softmax(V s_t + c)\n"
            f"{typeset(LOSS)} is the loss of step 4, in a sequence of {run.steps} steps."
        ),
        _states(run),
        _how_many(run),
        Tell(
            f"A path from {typeset(LOSS)} to W goes back from state to state, and at one of them, s_k, turns off to W: "
            "it enters W at s_k."
        ),
        _one_path(run),
        Tell("The lag of a path is t - k: how many steps back it goes, from the loss L_t to the step k of its entry."),
        _longest_lag(run),
        _heaviest(run),
        _of_the_last_loss(run),
        _of_all_losses(run),
        _of_a_longer_sequence(run),
        _proof(run),
    )


def _states(run: Run) -> Ask:
    paths, loss = run.paths(LOSS, "W"), typeset(LOSS)
    last = paths[0].nodes[-2]
    return Ask(
        f"Through which states does {loss} depend on W? Name all of them.",
        reached_through([path.nodes[-2] for path in paths], LOSS, run.graph),
        (
            f"{typeset(last)} uses W. But it also uses the state before, which uses W too, and so on.",
            "Go back until you meet the state that is given, not computed: s₀. That one does not count.",
        ),
        f"{typeset(last)} contains W itself, and the state before it, which contains W itself, and so on to s₁. "
        "s₀ is given.",
        (
            (
                Names((last,), stem="s"),
                f"{typeset(last)} is one: W is in its formula. But s₃ is in its formula too, and how is that made?",
            ),
        ),
    )


def _how_many(run: Run) -> Ask:
    return Ask(
        f"∂{typeset(LOSS)}/∂W is a sum with one term for each path from {typeset(LOSS)} back to W. How many terms is "
        "that?",
        Number(run.paths(LOSS, "W").count),
        ("A path ends where it turns off to W. At which states can it?", "At each of s₄, s₃, s₂ and s₁, once."),
        f"The article: the derivative is the sum over all the paths that lead from {typeset(LOSS)} to W.",
        ((Number(1), "One would be right for V. W can be reached at each of the states."),),
    )


def _one_path(run: Run) -> Ask:
    path, loss = run.paths(LOSS, "W")[2], typeset(LOSS)
    entry = typeset(path.nodes[-2])
    return Ask(
        f"Name the nodes of the path that enters W at {entry}, from {loss} to W.",
        Names(path.nodes, ordered=True, among=frozenset(run.graph)),
        (
            f"It begins {loss}, ŷ₄ (type yhat4), and ends {entry}, W.",
            f"Between ŷ₄ and {entry} lie the states from s₄ on down, one after the other.",
        ),
        f"It leaves the chain of states at step k = {path.entry}.",
    )


def _longest_lag(run: Run) -> Ask:
    longest = run.paths(LOSS, "W")[-1]
    return Ask(
        f"What is the lag t - k of the longest of the paths from {typeset(LOSS)}?",
        Number(longest.lag),
        ("It starts at t = 4 and enters W at the first state.", "The first state that uses W is s₁, so k = 1."),
        f"4 - {longest.entry}: it has gone through {longest.lag} steps of the network.",
        ((Number(4), "k is counted from 1, not from 0: the first W is in s₁."),),
    )


def _heaviest(run: Run) -> Ask:
    paths = list(run.paths(LOSS, "W"))
    rows = [[typeset(p.nodes[-2]), str(p.entry), str(p.lag), f"{p.norm:.4f}", percent(p.share)] for p in paths]
    return Ask(
        f"The four terms of ∂{typeset(LOSS)}/∂W are not of equal weight. Guess: which path carries the largest share "
        "of it?",
        Choice(
            tuple(f"the one that enters at {typeset(path.nodes[-2])}" for path in paths),
            max(range(len(paths)), key=lambda i: paths[i].share),
        ),
        (
            "On the way back the gradient passes a factor ∂s_t/∂s_(t-1) at every step, and tanh′ is at most 1.",
            "So the term of the shortest way is likely to be the largest.",
        ),
        "Each step back takes something away here (norm: the size of a term; share: its part along the sum):\n"
        + "\n".join("  " + line for line in table(["via", "k", "lag", "norm", "share"], rows, left=(0,))),
    )


def _of_the_last_loss(run: Run) -> Ask:
    return Ask(
        f"How many paths lead from {typeset(f'L{run.steps}')} to W?",
        Number(run.paths(f"L{run.steps}", "W").count),
        ("L₄ has four: through s₄, s₃, s₂ and s₁.", "Now s₅ is one more."),
        "One for each step up to its own.",
    )


def _of_all_losses(run: Run) -> Ask:
    last, each = typeset(f"L{run.steps}"), [run.paths(name, "W").count for name in run.loss_names()]
    total = run.paths(to="W").count
    return Ask(
        f"And from all losses L₁ to {last} together?",
        Number(total),
        (
            f"L₁ has one path, L₂ has two, …, {last} has {each[-1]}. Add them up.",
            f"{' + '.join(map(str, each))}.",
        ),
        f"{' + '.join(map(str, each))} = {total}, or T (T + 1) / 2.",
        ((Number(run.steps * each[-1]), "Not every loss has so many: L₁ has only one."),),
    )


def _of_a_longer_sequence(run: Run) -> Ask:
    longer = unroll(
        run.network,
        np.random.default_rng(0).standard_normal((LONGER, run.network.inputs)),
        np.zeros(LONGER, int),
    )
    return Ask(
        f"In a sequence of {LONGER} steps, with a loss at each, from all losses together?",
        Number(longer.paths(to="W").count),
        (f"1 + 2 + … + {LONGER}.", f"T (T + 1) / 2 with T = {LONGER}."),
        "One sweep back through the network adds them all up on the way: backpropagation through time.",
        ((Number(LONGER), "These are the paths of the last loss alone."),),
    )


def _proof(run: Run) -> Tell:
    paths = run.paths(LOSS, "W")
    apart = float(np.abs(paths.sum() - run.gradient("W", LOSS)).max())
    return Tell(
        f"For {typeset(LOSS)} one can see that it is true: its four terms added up, and ∂{typeset(LOSS)}/∂W from one "
        f"sweep back, differ by {apart:.1g} in the entry where they differ most."
    )
