"""Lesson: ∂s_t/∂s_k is a product of matrices."""

from __future__ import annotations

import numpy as np

from unrollviz.arrays import Array
from unrollviz.draw.text import matrix
from unrollviz.jacobians import frobenius
from unrollviz.lessons.answers import Choice, Number, Product
from unrollviz.lessons.steps import Ask, Step, Tell
from unrollviz.names import derivative
from unrollviz.samples import article

T, K = 4, 1


def steps() -> tuple[Step, ...]:
    run = article()
    path = run.paths(f"L{T}", f"s{K}")[0]
    links = [factor for factor in path.factors if factor.head[0] == "s"]
    jacobians = {factor.head: factor.matrix()[0] for factor in links}
    whole = derivative(f"s{T}", f"s{K}")
    link = links[0]
    first, second = jacobians["s4"], jacobians["s3"]
    both = frobenius(first @ second)
    apart = frobenius(first) * frobenius(second)
    last = run.paths(f"L{run.steps}", "s1")[0]
    return (
        Tell(
            f"The longest term of ∂L₄/∂W contains {whole}: how s₁ changes s₄. Between them lie s₂ and s₃, and each "
            "state depends directly only on the one before it."
        ),
        Ask(
            f"Write {whole} as a product of derivatives from one state to the one before, such as ds3/ds2.",
            Product(tuple((factor.head, factor.tail) for factor in links)),
            "Begin with ds4/ds3, and let each factor go on from the state where the one before it ended.",
            "This is the article's product ∂s_t/∂s_k = ∏ ∂s_j/∂s_(j-1), for j from k + 1 to t.",
        ),
        Ask(
            f"How many factors has {derivative(f's{run.steps}', 's1')}?",
            Number(sum(factor.head[0] == "s" for factor in last.factors)),
            "One for every step from one state to the one before.",
            f"t - k = {run.steps} - 1, the lag.",
            ((Number(run.steps), "That is how many states there are; the factors are between them."),),
        ),
        _one_factor(link.symbol, jacobians["s4"], run.network.params["W"], run.graph.nodes["s4"]["value"][0]),
        Tell("\n".join(["Two of these matrices, worked out for this network:", *_side(first, second)])),
        Ask(
            "May the two be swapped: is ∂s₄/∂s₃ · ∂s₃/∂s₂ the same as ∂s₃/∂s₂ · ∂s₄/∂s₃?",
            Choice(("yes", "no"), int(not np.allclose(first @ second, second @ first))),
            "Numbers may be swapped, matrices in general not.",
            f"They differ by {frobenius(first @ second - second @ first):.2f}, and nothing crashes: all are d × d. "
            "A program that multiplies in the wrong order is wrong silently, and only from a lag of 2 on.",
        ),
        Ask(
            f"The norms (roots of the sum of squares) are ‖∂s₄/∂s₃‖ = {frobenius(first):.4f} and "
            f"‖∂s₃/∂s₂‖ = {frobenius(second):.4f}; multiplied, {apart:.4f}. And the norm of the product ∂s₄/∂s₂?",
            _compared(both, apart),
            "‖A B‖ ≤ ‖A‖ ‖B‖. Equality needs that B sends everything where A stretches most.",
            f"It is {both:.4f}. The norms of the factors only bound that of the product.",
        ),
        Ask(
            "The shortest path enters W at s₄ itself, so k = t. What is ∂s₄/∂s₄, the product of no factors?",
            Choice(("0", "the identity matrix", "W"), 1),
            "If s₄ changes by a little, by how much does s₄ change?",
            "An empty product is the identity, as an empty sum is 0: nothing is lost on a path without steps back.",
        ),
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
        "Chain rule: ∂s₄/∂a₄ · ∂a₄/∂s₃.",
        "tanh acts entry by entry, so its Jacobian is diagonal: row i of W is multiplied by tanh′(a₄)_i, which is ≤ 1.",
    )


def _compared(both: float, apart: float) -> Choice:
    """Whether the norm of a product is above, at or below the product of the norms."""
    right = 1 if np.isclose(both, apart) else (0 if both > apart else 2)
    return Choice((f"more than {apart:.4f}", f"exactly {apart:.4f}", f"less than {apart:.4f}"), right)


def _side(first: Array, second: Array) -> list[str]:
    left, right = matrix(first), matrix(second)
    width = max(map(len, left))
    return [
        f"  {'∂s₄/∂s₃'.ljust(width)}    ∂s₃/∂s₂",
        *(f"  {a.ljust(width)}    {b}" for a, b in zip(left, right, strict=True)),
    ]
