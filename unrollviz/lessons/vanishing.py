"""Lesson: vanishing and exploding, with a network of one unit."""

from __future__ import annotations

import numpy as np

from unrollviz.api import Network, Run, unroll
from unrollviz.draw.text import table
from unrollviz.lessons.answers import Choice, Number
from unrollviz.lessons.steps import Ask, Step, Tell
from unrollviz.names import derivative, typeset

STEPS, SMALL, LARGE, PART = 50, 0.9, 1.1, 0.01


def one_unit(w: float, activation: str = "identity", steps: int = STEPS) -> Run:
    """s_t = act(w s_(t-1)) for so many steps, from s₀ = 0.5, read out into two classes."""
    params = {"U": [[0.0]], "W": [[w]], "b": [0.0], "V": [[1.0], [-1.0]], "c": [0.0, 0.0]}
    network = Network("elman", {name: np.array(value) for name, value in params.items()}, activation)
    return unroll(network, np.zeros((steps, 1)), np.zeros(steps, int), initial=np.array([0.5]))


def left_after(run: Run, lag: int) -> float:
    """∂s_T/∂s_(T-lag): what is left of a gradient after so many steps back."""
    last = f"L{run.steps}"
    return float((run.gradient(f"s{run.steps - lag}", last) / run.gradient(f"s{run.steps}", last)).item())


def steps() -> tuple[Step, ...]:
    small, large, bent = one_unit(SMALL), one_unit(LARGE), one_unit(LARGE, "tanh")
    shrunk, grown, flat = (left_after(run, STEPS) for run in (small, large, bent))
    lags = range(STEPS + 1)
    gone = next(lag for lag in lags if left_after(small, lag) < PART)
    rows = [[str(lag), *(f"{left_after(run, lag):.4g}" for run in (small, large, bent))] for lag in range(0, 51, 10)]
    norms = small.flow("W", by="lag", losses=f"L{STEPS}").norms
    return (
        Tell(
            f"The smallest recurrent network has one unit and no input: s_t = w s_(t-1). Then ∂s_t/∂s_(t-1) = w, and "
            f"∂s_t/∂s_k is a product of plain numbers. Let it run over {STEPS} steps."
        ),
        Ask(
            f"w = {SMALL}. A gradient of 1 arrives at {typeset(f's{STEPS}')}. How much of it is "
            f"left at s₀, {STEPS} steps back?",
            Number(shrunk, 0.03, 3),
            f"Every step multiplies it by {SMALL}: {SMALL} · {SMALL} · {SMALL} …, {STEPS} times. You may type 2^10 for "
            "a power.",
            f"{SMALL}^{STEPS}: of a hundred parts not one is left. The gradient vanishes.",
            (
                (Number(SMALL * STEPS, 0.03), "That is the sum of the factors. Along a path they are multiplied."),
                (Number(1 - (1 - SMALL) * STEPS, 0.03), "It loses a tenth of what is left, not of what it began with."),
            ),
        ),
        Ask(
            f"And with w = {LARGE}?",
            Number(grown, 0.03, 5),
            f"The same product, now of {STEPS} factors {LARGE}.",
            f"{LARGE}^{STEPS}: two weights that differ by {LARGE - SMALL:.1g} differ by {grown / shrunk:,.0f} times "
            "after 50 steps. The gradient explodes.",
            ((Number(LARGE * STEPS, 0.03), "That is the sum of the factors. Along a path they are multiplied."),),
        ),
        Ask(
            f"With w = {SMALL}: after how many steps back is less than 1 % left for the first time?",
            Number(gone),
            f"Find the smallest power of {SMALL} below {PART}; log({PART}) / log({SMALL}) = "
            f"{np.log(PART) / np.log(SMALL):.1f} helps.",
            f"{SMALL}^{gone} = {left_after(small, gone):.5f}, {SMALL}^{gone - 1} = {left_after(small, gone - 1):.5f}.",
            ((Number(gone - 1), f"Nearly: {SMALL}^{gone - 1} is {left_after(small, gone - 1):.5f}, still above."),),
        ),
        Ask(
            f"Now with tanh: s_t = tanh(w s_(t-1)), w = {LARGE}, from s₀ = 0.5. What becomes of the gradient over "
            f"{STEPS} steps?",
            Choice(
                (f"it explodes as before, to {grown:.0f}", "it stays about 1", "it vanishes"),
                0 if flat > 10 else (1 if flat > 0.1 else 2),
            ),
            "A factor is now tanh′(a) w, and tanh′ is below 1 wherever a is not 0. Here the state settles near 0.5.",
            f"{flat:.2g} is left: tanh′ wins over w. A weight above 1 does not mean that gradients explode.\n"
            + "\n".join("  " + line for line in _table(rows)),
        ),
        Ask(
            f"Back to s_t = {SMALL} s_(t-1). The paths from {typeset(f'L{STEPS}')} to w have lags 0 to {STEPS - 1}. "
            "Is the term of lag 0 the largest?",
            Choice(("yes, by far", "no, they are all alike"), int(np.allclose(norms, norms[0]))),
            f"A term is {derivative('L', f's{STEPS}')} · {SMALL}^lag · s_(k-1): what the gradient loses, and "
            "what w multiplied there.",
            f"s_(k-1) = 0.5 · {SMALL}^(k-1) is the larger the earlier, and the two effects cancel here: all terms have "
            f"the norm {norms[0]:.3g}. A gradient that vanishes does not yet make a term vanish: what w multiplied "
            "counts too.",
        ),
        Ask(
            "Clipping scales the whole gradient down to a norm where it is larger. What does it help against?",
            Choice(
                ("vanishing", "exploding", "both"),
                1,
                (
                    "What vanishes is small; clipping only makes things smaller.",
                    "",
                    "It makes large gradients smaller. Does it make the share of distant steps larger?",
                ),
            ),
            "It never makes anything larger, and it scales all terms by the same number.",
            "All terms are scaled alike, so the shares of distant steps stay as they are; against vanishing one needs "
            "another architecture: the next lesson.",
        ),
    )


def _table(rows: list[list[str]]) -> list[str]:
    return table(["steps back", f"w = {SMALL}", f"w = {LARGE}", f"tanh, w = {LARGE}"], rows)
