"""Lesson: vanishing and exploding, with a network of one unit."""

from __future__ import annotations

import math

import numpy as np

from unrollviz.api import Network, Run, unroll
from unrollviz.draw.text import table
from unrollviz.lessons.answers import Choice, Number
from unrollviz.lessons.steps import Ask, Step, Tell
from unrollviz.names import derivative, typeset

STEPS, START, SMALL, LARGE, PART = 50, 0.5, 0.9, 1.1, 0.01


def one_unit(w: float, activation: str = "identity", steps: int = STEPS) -> Run:
    """s_t = act(w s_(t-1)) for so many steps, from s₀ = START, read out into two classes."""
    params = {"U": [[0.0]], "W": [[w]], "b": [0.0], "V": [[1.0], [-1.0]], "c": [0.0, 0.0]}
    network = Network("elman", {name: np.array(value) for name, value in params.items()}, activation)
    return unroll(network, np.zeros((steps, 1)), np.zeros(steps, int), initial=np.array([START]))


def left_after(run: Run, lag: int) -> float:
    """∂s_T/∂s_(T-lag): what is left of a gradient after so many steps back."""
    last = f"L{run.steps}"
    return float((run.gradient(f"s{run.steps - lag}", last) / run.gradient(f"s{run.steps}", last)).item())


def steps() -> tuple[Step, ...]:
    small, large, bent = one_unit(SMALL), one_unit(LARGE), one_unit(LARGE, "tanh")
    return (
        Tell(
            f"The smallest recurrent network has one unit and no input: s_t = w s_(t-1). Then ∂s_t/∂s_(t-1) = w, and "
            f"∂s_t/∂s_k is a product of plain numbers. Let it run over {STEPS} steps."
        ),
        _shrunk(small),
        _grown(small, large),
        _gone(small),
        _bent(small, large, bent),
        _terms(small),
        _clipping(),
    )


def _shrunk(run: Run) -> Ask:
    return Ask(
        f"w = {SMALL}. A gradient of 1 arrives at {typeset(f's{STEPS}')}. How much of it is "
        f"left at s₀, {STEPS} steps back?",
        Number(left_after(run, STEPS), 3),
        (
            f"Every step multiplies it by {SMALL}: {SMALL} · {SMALL} · {SMALL} …, {STEPS} times.",
            f"{SMALL}^{STEPS}; a power may be typed just so.",
        ),
        f"{SMALL}^{STEPS}: of a hundred parts not one is left. The gradient vanishes.",
        (
            (Number(SMALL * STEPS), "That is the sum of the factors. Along a path they are multiplied."),
            (Number(1 - (1 - SMALL) * STEPS), "It loses a tenth of what is left, not of what it began with."),
        ),
    )


def _grown(small: Run, large: Run) -> Ask:
    shrunk, grown = (left_after(run, STEPS) for run in (small, large))
    return Ask(
        f"And with w = {LARGE}?",
        Number(grown, 5),
        (f"The same product, now of {STEPS} factors {LARGE}.", f"{LARGE}^{STEPS}."),
        f"{LARGE}^{STEPS}: two weights that differ by {LARGE - SMALL:.1g} have gradients that differ "
        f"{grown / shrunk:,.0f} times after {STEPS} steps. The gradient explodes.",
        ((Number(LARGE * STEPS), "That is the sum of the factors. Along a path they are multiplied."),),
    )


def _gone(run: Run) -> Ask:
    gone = next(lag for lag in range(STEPS + 1) if left_after(run, lag) < PART)
    at, before = left_after(run, gone), left_after(run, gone - 1)
    exactly = math.log(PART) / math.log(SMALL)
    return Ask(
        f"With w = {SMALL}: after how many steps back is less than {100 * PART:g} % left for the first time?",
        Number(gone),
        (
            f"Find the smallest power of {SMALL} below {PART}.",
            f"log({PART}) / log({SMALL}) = {exactly:.1f}, and steps are whole.",
        ),
        f"{SMALL}^{gone} = {at:.5f}, {SMALL}^{gone - 1} = {before:.5f}.",
        (
            (Number(gone - 1), f"Nearly: {SMALL}^{gone - 1} is {before:.5f}, still above."),
            (Number(exactly), f"There it would be {PART} to the last digit; but steps are whole."),
        ),
    )


def _bent(small: Run, large: Run, bent: Run) -> Ask:
    runs = (small, large, bent)
    rows = [[str(lag), *(f"{left_after(run, lag):.4g}" for run in runs)] for lag in range(0, STEPS + 1, 10)]
    grown, flat = left_after(large, STEPS), left_after(bent, STEPS)
    state = float(bent.graph.nodes[f"s{STEPS}"]["value"].item())
    return Ask(
        f"Now with tanh: s_t = tanh(w s_(t-1)), w = {LARGE}, from s₀ = {START}. What becomes of the gradient over "
        f"{STEPS} steps?",
        Choice(
            (f"it explodes as before, to {grown:.0f}", "it stays about 1", "it vanishes"),
            0 if flat > 10 else (1 if flat > 0.1 else 2),
        ),
        (
            "A factor is now tanh′(a) w, and tanh′ is below 1 wherever a is not 0.",
            f"The state settles at {state:.3f}. There tanh′ = 1 - s² is {1 - state**2:.3f}, and a factor "
            f"{LARGE} · {1 - state**2:.3f} = {LARGE * (1 - state**2):.3f}.",
        ),
        f"{flat:.2g} is left: tanh′ wins over w. A weight above 1 does not mean that gradients explode.\n"
        + "\n".join("  " + line for line in _table(rows)),
    )


def _terms(run: Run) -> Ask:
    last, loss = f"s{STEPS}", f"L{STEPS}"
    norms = run.flow("W", by="lag", losses=loss).norms
    early = START * SMALL ** (STEPS - 1)
    arrives = float(run.gradient(last, loss).item())
    return Ask(
        f"Back to s_t = {SMALL} s_(t-1), from s₀ = {START}, with a loss {typeset(loss)} computed from {typeset(last)}. "
        f"The paths from it to w have lags 0 to {STEPS - 1}. Is the term of lag 0 the largest?",
        Choice(("yes, by far", "no, they are all alike"), int(np.allclose(norms, norms[0]))),
        (
            f"A term is {derivative(loss, last)} · {SMALL}^lag · s_(k-1): what the gradient loses, and what w "
            "multiplied there.",
            f"The larger the lag, the earlier k, and s_(k-1) = {START} · {SMALL}^(k-1) is larger there.",
        ),
        f"With k = {STEPS} - lag the powers of {SMALL} add up to {STEPS - 1} in every term: all are "
        f"{derivative(loss, last)} · {START} · {SMALL}^{STEPS - 1} = {arrives:.3f} · {early:.5f}, "
        f"of norm {norms[0]:.5f}. A gradient that vanishes does not yet make a term vanish: what w multiplied counts "
        "too.",
    )


def _clipping() -> Ask:
    return Ask(
        "Clipping: where the norm of the whole gradient is above a limit, the gradient is scaled down to that limit. "
        "What does it help against?",
        Choice(
            ("vanishing", "exploding", "both"),
            1,
            (
                "What vanishes is small; clipping only makes things smaller.",
                "",
                "It makes large gradients smaller. Does it make the share of distant steps larger?",
            ),
        ),
        (
            "It never makes anything larger, and it scales all terms by the same number.",
            "A gradient too small for learning is below the limit, and stays as it is.",
        ),
        "All terms are scaled alike, so the shares of distant steps stay as they are; against vanishing one needs "
        "another architecture: the next lesson.",
    )


def _table(rows: list[list[str]]) -> list[str]:
    return table(["steps back", f"w = {SMALL}", f"w = {LARGE}", f"tanh, w = {LARGE}"], rows)
