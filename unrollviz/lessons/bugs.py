"""Lesson: find the bug in a backward pass written by hand, with the debugger's tools."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from unrollviz.api import Run
from unrollviz.arrays import Array
from unrollviz.debugger.stepper import Stepper, at, opened
from unrollviz.draw.text import matrix, side_by_side, table
from unrollviz.jacobians import frobenius
from unrollviz.lessons.answers import Choice, Names, Number
from unrollviz.lessons.steps import Ask, Step, Tell, Tool
from unrollviz.names import typeset
from unrollviz.samples import article

T = 4
LOSS = f"L{T}"
WIDTH = 78

Matrices = list[Array]


@dataclass(frozen=True)
class Bug:
    """A backward pass written by hand.

    Attributes:
        name: what it is called among the answers.
        sign: what one sees of it, said to whom takes another bug for it.
        line: the line of it that is wrong, and how it should read; nothing for one that is among the answers only.
        link: (W, tanh′(a_j)) -> ∂s_j/∂s_(j-1).
        product: ∂s_4/∂s_3, ∂s_3/∂s_2, … -> their product.
        until: the last step k that is added.
        state: the step of the state that the term of step k is multiplied by, less k.
    """

    name: str
    sign: str
    line: tuple[str, ...] = ()
    link: Callable[[Array, Array], Array] = lambda W, slope: slope[:, None] * W
    product: Callable[[Matrices], Array] = lambda links: reduce(np.matmul, links)
    until: int = 1
    state: int = -1

    def terms(self, run: Run) -> dict[int, Array]:
        """Entry step k -> its term of ∂L₄/∂W, bug and all."""
        s = _states(run)
        slopes = [1 - state**2 for state in s]
        delta = run.gradient(f"s{T}", LOSS)[0]
        terms = {}
        for k in range(T, self.until - 1, -1):
            links = [self.link(run.network.params["W"], slopes[j]) for j in range(T, k, -1)]
            back = delta @ self.product(links) if links else delta
            terms[k] = np.outer(back * slopes[k], s[k + self.state])
        return terms


def _states(run: Run) -> list[Array]:
    return [run.graph.nodes[f"s{t}"]["value"][0] for t in range(T + 1)]


FORGOTTEN = Bug(
    "the longest path is forgotten",
    "Then the term of lag 3 would be 0 by hand, and the others right.",
    ("for k in range(4, 1, -1):", "for k in range(4, 0, -1):"),
    until=2,
)
TRANSPOSED = Bug(
    "W is transposed in the Jacobians",
    "Then every term with a step back would be wrong, and the rows of ∂s₄/∂s₃ by hand be columns of W, each times a "
    "number.",
    ("J = diag(1 - s[j]**2) @ W.T", "J = diag(1 - s[j]**2) @ W"),
    link=lambda W, slope: slope[:, None] * W.T,
)
REVERSED = Bug(
    "the product is in the wrong order",
    "Then terms of lag 0 and 1 would be right, and those of lag 2 and 3 wrong but not 0.",
    ("P = J[2] @ J[3] @ J[4]", "P = J[4] @ J[3] @ J[2]"),
    product=lambda links: reduce(np.matmul, links[::-1]),
)
SHORT = Bug(
    "only the last two steps are added",
    "Then the terms of lag 2 and 3 would both be 0 by hand.",
    until=3,
)
LINEAR = Bug(
    "tanh′ is left out of the Jacobians",
    "Then ∂s₄/∂s₃ by hand would be W itself (type jacobian, and print W).",
    link=lambda W, slope: W,
)
LATE = Bug(
    "s_k stands where s_(k-1) belongs",
    "Then the term of lag 0 would be wrong too: it has s₄ in it in place of s₃.",
    state=0,
)
BUGS = (FORGOTTEN, TRANSPOSED, REVERSED, SHORT, LINEAR, LATE)
"""All the answers to choose from."""
PLANTED = (REVERSED, FORGOTTEN, TRANSPOSED)
"""The bugs of programs A, B and C."""


def bench() -> Stepper:
    """The debugger on the article's network, with the paths from L₄ to W, behind the sweep: all is known there."""
    start = opened(article(), LOSS, "W")
    return at(start, start.timeline.end)


def tools(bug: Bug) -> tuple[Tool, ...]:
    """What the debugger's run can be held against the backward pass with the bug by."""
    run = article()
    theirs, W = bug.terms(run), run.network.params["W"]

    def compared(stepper: Stepper) -> list[str]:
        rows = []
        right = {path.entry: path.term for path in stepper.run.paths(LOSS, "W")}
        for k in range(T, 0, -1):  # a path that has been cut has no term
            term, other = (terms.get(k, np.zeros_like(W)) for terms in (right, theirs))
            rows.append([f"term via {typeset(f's{k}')}", str(T - k), *_figures(term, other)])
        rows.append(["sum of all", "", *_figures(stepper.run.gradient("W", LOSS), _sum(theirs))])
        return table(["norm of the", "lag", "debugger", "by hand", "of the difference"], rows, left=(0,))

    def held(stepper: Stepper) -> list[str]:
        link = bug.link(W, 1 - _states(run)[T] ** 2)
        blocks = [("∂s₄/∂s₃, debugger", matrix(_right_link(run))), ("∂s₄/∂s₃, by hand", matrix(link))]
        return side_by_side(blocks, ["", "   "], WIDTH)

    return (
        Tool("compare", "norms of the terms: the debugger's, those by hand, and of their difference", compared),
        Tool("jacobian", "∂s₄/∂s₃: the debugger's, and the one by hand", held),
    )


def _right_link(run: Run) -> Array:
    factors = run.paths(LOSS, f"s{T - 1}")[0].factors
    return np.asarray(next(factor for factor in factors if factor.tail == f"s{T - 1}").matrix()[0])


def _figures(right: Array, other: Array) -> list[str]:
    return [f"{frobenius(term):.4f}" for term in (right, other, other - right)]


def _sum(terms: dict[int, Array]) -> Array:
    return np.asarray(np.sum(list(terms.values()), axis=0))


def differing(run: Run, bug: Bug) -> list[int]:
    """The lags at which a term by hand is not the right one."""
    theirs = bug.terms(run)
    paths = run.paths(LOSS, "W")
    return [p.lag for p in paths if not np.allclose(theirs.get(p.entry, np.zeros_like(p.term)), p.term, atol=1e-9)]


def steps() -> tuple[Step, ...]:
    run = article()
    first, second, third = (_case(run, letter, bug) for letter, bug in zip("ABC", PLANTED, strict=True))
    return (
        Tell(
            "Three people have written backpropagation through time by hand for the article's network. All three "
            "programs run, and none gives the right ∂L₄/∂W, whose norm is "
            f"{frobenius(run.gradient('W', LOSS)):.4f}. You have the debugger, behind its backward sweep. Type compare "
            "to see its terms beside those by hand, jacobian for ∂s₄/∂s₃, print s3, print W, info s3, paths, path 3, "
            "cut s3 -> s2, undo, diff; help lists them all."
        ),
        first,
        _when_unseen(run),
        second,
        _proof(run),
        third,
        Tell("W is d × d, so that its transpose fits everywhere, and so does a product in any order. What tells bugs "
             "apart is at which lags the terms are wrong."),
    )  # fmt: skip


def _case(run: Run, letter: str, bug: Bug) -> Ask:
    order = random.Random(f"program {letter}").sample(BUGS, len(BUGS))
    lags = differing(run, bug)
    return Ask(
        f"Program {letter} gives a gradient of norm {frobenius(_sum(bug.terms(run))):.4f}. Type compare, look, and say "
        "what is wrong with it.",
        Choice(
            tuple(one.name for one in order),
            order.index(bug),
            tuple("" if one is bug else one.sign for one in order),
        ),
        (
            "Which terms are right, and what is in the first wrong one that is not in those? A path of lag 2 meets two "
            "factors ∂s_j/∂s_(j-1), one of lag 1 meets one, one of lag 0 none.",
            f"Wrong here: the terms of lag {', '.join(map(str, lags))}. Is a wrong one 0, or something else? And "
            "is ∂s₄/∂s₃ right: jacobian?",
        ),
        f"The line, and what it should be:\n  {bug.line[0]}\n  {bug.line[1]}",
        tools=tools(bug),
    )


def _when_unseen(run: Run) -> Ask:
    return Ask(
        "With this bug, a sequence of how many steps at most still gets the right gradient, whatever the weights?",
        Number(min(differing(run, REVERSED))),
        (
            "In a product of how many matrices does order begin to matter?",
            "Terms of lag 0 and 1 are right. The longest lag of T steps is T - 1.",
        ),
        "One matrix has no order; two have. So this bug hides in sequences of one or two steps.",
        ((Number(1), "There no W is met at all; with one step back there is one factor, which has no order either."),),
    )


def _proof(run: Run) -> Ask:
    lost = run.paths(LOSS, "W")[differing(run, FORGOTTEN)[0]].nodes
    wrong = frobenius(_sum(FORGOTTEN.terms(run)))
    return Ask(
        "Prove it. Where must the debugger's graph be cut for the two to agree? Cut it, for instance cut s4 -> s3, "
        "and compare; undo takes a cut back. Answer with the two states.",
        Names(lost[-3:-1], ordered=True, among=frozenset(run.graph)),
        (
            f"The forgotten path enters W at {typeset(lost[-2])}. Over which step back does no other path go?",
            f"Over the last one: from the state after {typeset(lost[-2])} to it.",
        ),
        f"With cut {lost[-3]} -> {lost[-2]} both give {wrong:.4f}. "
        "Just the end of a loop is wrong, and the network learns all the same, only worse.",
        tools=tools(FORGOTTEN),
    )
