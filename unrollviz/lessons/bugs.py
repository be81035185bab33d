"""Lesson: find the bug in a backward pass written by hand, with the debugger's tools."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from unrollviz.api import Run
from unrollviz.arrays import Array
from unrollviz.debugger.stepper import Stepper, opened
from unrollviz.draw.text import table
from unrollviz.jacobians import frobenius
from unrollviz.lessons.answers import Choice, Names, Number
from unrollviz.lessons.steps import Ask, Step, Tell, Tool
from unrollviz.names import typeset
from unrollviz.samples import article

T = 4
LOSS = f"L{T}"

Matrices = list[Array]


@dataclass(frozen=True)
class Bug:
    """A backward pass written by hand.

    Attributes:
        name: what it is called among the answers.
        line: the line of it that is wrong, and how it should read.
        link: (W, tanh′(a_j)) -> ∂s_j/∂s_(j-1).
        product: ∂s_4/∂s_3, ∂s_3/∂s_2, … -> their product.
        until: the last step k that is added.
    """

    name: str
    line: tuple[str, str]
    link: Callable[[Array, Array], Array] = lambda W, slope: slope[:, None] * W
    product: Callable[[Matrices], Array] = lambda links: reduce(np.matmul, links)
    until: int = 1

    def terms(self, run: Run) -> dict[int, Array]:
        """Entry step k -> its term of ∂L₄/∂W, bug and all."""
        W, s = run.network.params["W"], [run.graph.nodes[f"s{t}"]["value"][0] for t in range(T + 1)]
        slopes = [1 - state**2 for state in s]
        delta = run.gradient(f"s{T}", LOSS)[0]
        terms = {}
        for k in range(T, self.until - 1, -1):
            links = [self.link(W, slopes[j]) for j in range(T, k, -1)]
            back = delta @ self.product(links) if links else delta
            terms[k] = np.outer(back * slopes[k], s[k - 1])
        return terms


FORGOTTEN = Bug("a path is forgotten", ("for k in range(4, 1, -1):", "for k in range(4, 0, -1):"), until=2)
TRANSPOSED = Bug(
    "W is transposed",
    ("J = diag(1 - s[j]**2) @ W.T", "J = diag(1 - s[j]**2) @ W"),
    link=lambda W, slope: slope[:, None] * W.T,
)
REVERSED = Bug(
    "the product is in the wrong order",
    ("P = J[2] @ J[3] @ J[4]", "P = J[4] @ J[3] @ J[2]"),
    product=lambda links: reduce(np.matmul, links[::-1]),
)
BUGS = (FORGOTTEN, TRANSPOSED, REVERSED)


def bench() -> Stepper:
    """The debugger on the article's network, with the paths from L₄ to W."""
    return opened(article(), LOSS, "W")


def comparing(bug: Bug) -> Tool:
    """The tool `compare`: the debugger's run against the backward pass with the bug, term by term."""
    run = article()
    theirs, W = bug.terms(run), run.network.params["W"]

    def compared(stepper: Stepper) -> list[str]:
        rows = []
        right = {path.entry: path.term for path in stepper.run.paths(LOSS, "W")}
        for k in range(T, 0, -1):  # a path that has been cut has no term
            term, other = (terms.get(k, np.zeros_like(W)) for terms in (right, theirs))
            rows.append([typeset(f"s{k}"), str(T - k), *_figures(term, other)])
        rows.append(["sum", "", *_figures(stepper.run.gradient("W", LOSS), _sum(theirs))])
        return table(["enters at", "lag", "debugger", "by hand", "difference"], rows, left=(0,))

    return Tool("compare", "norms of the terms: the debugger's, those by hand, their difference", compared)


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
    right = frobenius(run.gradient("W", LOSS))
    wrong = {bug.name: frobenius(_sum(bug.terms(run))) for bug in BUGS}
    lost = run.paths(LOSS, "W")[differing(run, FORGOTTEN)[0]]
    return (
        Tell(
            "Three people have written backpropagation through time by hand for the article's network. All three "
            f"programs run, and none gives the right ∂L₄/∂W, whose norm is {right:.4f}. You have the debugger: type "
            "compare to see the terms side by side, paths, path 3, cut s3 -> s2, undo; help lists them all."
        ),
        _case(
            "A",
            FORGOTTEN,
            wrong,
            "A term that is 0 by hand is not there at all. The others are right.",
        ),
        Ask(
            "Prove it. Where must the debugger's graph be cut for the two to agree? Cut it, for instance cut s4 -> s3, "
            "and compare; undo takes a cut back. Answer with the two states.",
            Names(lost.nodes[-3:-1], ordered=True),
            f"The forgotten path enters W at {lost.nodes[-2]}. Over which step back does no other path go?",
            f"With cut {lost.nodes[-3]} -> {lost.nodes[-2]} both give {wrong[FORGOTTEN.name]:.4f}. "
            "Just the end of a loop is wrong, and the network learns all the same, only worse.",
            tools=(comparing(FORGOTTEN),),
        ),
        _case(
            "B",
            TRANSPOSED,
            wrong,
            "Which terms are right? A path with no step back meets no W on its way; one step back meets it once.",
        ),
        Tell("W is d × d, so that its transpose fits everywhere."),
        Ask(
            "Program C. Before you look: if a product of Jacobians is multiplied in the wrong order, up to which lag "
            "are the terms still right?",
            Number(min(differing(run, REVERSED)) - 1),
            "A lag of 0 has no factor ∂s_j/∂s_(j-1), a lag of 1 has one. When does order begin to matter?",
            "One matrix has no order; two have. So this bug hides in sequences of one or two steps.",
            ((Number(0), "With one factor there is no order yet either."),),
            tools=(comparing(REVERSED),),
        ),
        _case(
            "C",
            REVERSED,
            wrong,
            "Up to which lag are the terms right? A transposed W is seen at a lag of 1, an order only at 2.",
        ),
        Tell("So one table tells them apart: a term that is 0; wrong from a lag of 1 on; wrong from a lag of 2 on."),
    )


def _case(letter: str, bug: Bug, wrong: dict[str, float], hint: str) -> Ask:
    return Ask(
        f"Program {letter} gives a gradient of norm {wrong[bug.name]:.4f}. Type compare, look, and say what is wrong "
        "with it.",
        Choice(tuple(one.name for one in BUGS), BUGS.index(bug)),
        hint,
        f"The line, and what it should be:\n  {bug.line[0]}\n  {bug.line[1]}",
        tools=(comparing(bug),),
    )
