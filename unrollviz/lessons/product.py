"""Lesson: ∂s_t/∂s_k is a product of matrices."""

from __future__ import annotations

import numpy as np

from unrollviz.api import Run
from unrollviz.arrays import Array
from unrollviz.draw.text import matrix
from unrollviz.jacobians import frobenius
from unrollviz.lessons.answers import Choice, Number, Product
from unrollviz.lessons.steps import Ask, Step, Tell
from unrollviz.names import derivative
from unrollviz.paths.path import Factor
from unrollviz.samples import article

T, K = 4, 1


def steps() -> tuple[Step, ...]:
    run = article()
    links = [factor for factor in run.paths(f"L{T}", f"s{K}")[0].factors if factor.head[0] == "s"]
    first, second = (factor.matrix()[0] for factor in links[:2])
    return (
        Tell(
            f"The longest term of ∂L₄/∂W contains {derivative(f's{T}', f's{K}')}: how s₁ changes s₄. Between them lie "
            "s₂ and s₃, and each state depends directly only on the one before it."
        ),
        _as_a_product(links),
        _how_many_factors(run),
        _one_factor(links[0].symbol, first, run.network.params["W"], run.graph.nodes["s4"]["value"][0]),
        Tell("\n".join(["Two of these matrices, worked out for this network:", *_side(first, second)])),
        _swapped(first, second),
        _norms(first, second),
        _no_factor(),
    )


def _as_a_product(links: list[Factor]) -> Ask:
    return Ask(
        f"Write {derivative(f's{T}', f's{K}')} as a product of derivatives from one state to the one before, such as "
        "ds3/ds2.",
        Product(tuple((factor.head, factor.tail) for factor in links)),
        (
            "Let each factor go on from the state where the one before it ended.",
            "Three factors, the last state first: ds4/ds3 * … * …",
        ),
        "This is the article's product ∂s_t/∂s_k = ∏ ∂s_j/∂s_(j-1), for j from k + 1 to t.",
    )


def _how_many_factors(run: Run) -> Ask:
    path = run.paths(f"L{run.steps}", "s1")[0]
    return Ask(
        f"How many factors has {derivative(f's{run.steps}', 's1')}?",
        Number(sum(factor.head[0] == "s" for factor in path.factors)),
        ("One for every step from one state to the one before.", "∂s₄/∂s₁ has three; this is one step more."),
        f"t - k = {run.steps} - 1, the lag.",
        ((Number(run.steps), "That is how many states there are; the factors are between them."),),
    )


def _one_factor(symbol: str, jacobian: Array, w: Array, state: Array) -> Ask:
    """What one factor is: the option that equals the run's own Jacobian is the right one."""
    slope = np.diag(1 - state**2)
    options = {"W": w, "diag(tanh′(a₄)) W": slope @ w, "W diag(tanh′(a₄))": w @ slope, "diag(tanh′(a₄))": slope}
    right = [np.allclose(candidate, jacobian) for candidate in options.values()].index(True)
    return Ask(
        f"s₄ = tanh(a₄) with a₄ = U x₄ + W s₃ + b. What is the matrix {symbol}?",
        Choice(
            tuple(options),
            right,
            (
                "That is ∂a₄/∂s₃; tanh comes after it.",
                "",
                "The parts are right. But s₃ first meets W, then tanh; the matrix nearest to s₃ stands on the right.",
                "That is ∂s₄/∂a₄; and from a₄ to s₃?",
            ),
        ),
        (
            "Chain rule: ∂s₄/∂a₄ · ∂a₄/∂s₃.",
            "∂a₄/∂s₃ is W, and ∂s₄/∂a₄ is diagonal: tanh acts entry by entry.",
        ),
        "tanh acts entry by entry, so its Jacobian is diagonal: row i of W is multiplied by tanh′(a₄)_i, which is ≤ 1.",
    )


def _swapped(first: Array, second: Array) -> Ask:
    return Ask(
        "May the two be swapped: is ∂s₄/∂s₃ · ∂s₃/∂s₂ the same as ∂s₃/∂s₂ · ∂s₄/∂s₃?",
        Choice(("yes", "no"), int(not np.allclose(first @ second, second @ first))),
        (
            "Numbers may be swapped, matrices in general not.",
            f"The first entry of the one product is {(first @ second)[0, 0]:.2f}, of the other "
            f"{(second @ first)[0, 0]:.2f}.",
        ),
        f"The norm of their difference is {frobenius(first @ second - second @ first):.2f}, and nothing crashes: all "
        "are d × d. A program that multiplies in the wrong order is wrong silently, and only from a lag of 2 on.",
    )


def _norms(first: Array, second: Array) -> Ask:
    both, apart = frobenius(first @ second), frobenius(first) * frobenius(second)
    return Ask(
        f"The norms (roots of the sum of squares) are ‖∂s₄/∂s₃‖ = {frobenius(first):.4f} and "
        f"‖∂s₃/∂s₂‖ = {frobenius(second):.4f}; multiplied, {apart:.4f}. And the norm of the product ∂s₄/∂s₂?",
        _compared(both, apart),
        (
            "‖A B‖ ≤ ‖A‖ ‖B‖, always.",
            "Equality needs that B sends everything where A stretches most, which random matrices never do.",
        ),
        f"It is {both:.4f}. The norms of the factors only bound that of the product.",
    )


def _compared(both: float, apart: float) -> Choice:
    """Whether the norm of a product is above, at or below the product of the norms."""
    right = 1 if np.isclose(both, apart) else (0 if both > apart else 2)
    return Choice((f"more than {apart:.4f}", f"exactly {apart:.4f}", f"less than {apart:.4f}"), right)


def _no_factor() -> Ask:
    return Ask(
        "The shortest path enters W at s₄ itself, so k = t. What is ∂s₄/∂s₄, the product of no factors?",
        Choice(("the identity matrix, I", "the zero matrix, 0", "W"), 0),
        (
            "If s₄ changes by a little, by how much does s₄ change?",
            "By just as much: which matrix leaves a vector as it is?",
        ),
        "An empty product is the identity, as an empty sum is 0: nothing is lost on a path without steps back.",
    )


def _side(first: Array, second: Array) -> list[str]:
    left, right = matrix(first), matrix(second)
    width = max(map(len, left))
    return [
        f"  {'∂s₄/∂s₃'.ljust(width)}    ∂s₃/∂s₂",
        *(f"  {a.ljust(width)}    {b}" for a, b in zip(left, right, strict=True)),
    ]
