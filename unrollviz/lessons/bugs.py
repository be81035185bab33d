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


FORGOTTEN = Bug("a path is forgotten", ("for k in range(4, 1, -1):", "range(4, 0, -1)"), until=2)
TRANSPOSED = Bug(
    "W is transposed",
    ("J = diag(1 - s[j]**2) @ W.T", "diag(1 - s[j]**2) @ W"),
    link=lambda W, slope: slope[:, None] * W.T,
)
REVERSED = Bug(
    "the product is in the wrong order",
    ("P = J[2] @ J[3] @ J[4]", "J[4] @ J[3] @ J[2]"),
    product=lambda links: reduce(np.matmul, links[::-1]),
)
BUGS = (FORGOTTEN, TRANSPOSED, REVERSED)


def bench() -> Stepper:
    """The debugger on the article's network, with the paths from L₄ to W."""
    return opened(article(), LOSS, "W")


def comparing(bug: Bug) -> Tool:
    """The tool `compare`: the debugger's run against the backward pass with the bug, term by term."""
    theirs = bug.terms(article())

    def compared(stepper: Stepper) -> list[str]:
        rows = []
        for path in stepper.run.paths(LOSS, "W"):
            other = theirs.get(path.entry, np.zeros_like(path.term))
            away = frobenius(other - path.term)
            rows.append([f"s{path.entry}", path.lag, frobenius(path.term), frobenius(other), away])
        total, other = stepper.run.gradient("W", LOSS), sum(theirs.values())
        rows.append(["sum", "", frobenius(total), frobenius(np.asarray(other)), frobenius(other - total)])
        cells = [[str(cell) if isinstance(cell, (str, int)) else f"{cell:.4f}" for cell in row] for row in rows]
        return table(["enters at", "lag", "debugger", "by hand", "difference"], cells, left=(0,))

    return Tool("compare", "the norms of the terms: the debugger's, those by hand, their difference", compared)


def differing(run: Run, bug: Bug) -> list[int]:
    """The lags at which a term by hand is not the right one."""
    theirs = bug.terms(run)
    paths = run.paths(LOSS, "W")
    return [p.lag for p in paths if not np.allclose(theirs.get(p.entry, np.zeros_like(p.term)), p.term, atol=1e-9)]


def steps() -> tuple[Step, ...]:
    run = article()
    right = frobenius(run.gradient("W", LOSS))
    wrong = {bug.name: frobenius(sum(bug.terms(run).values(), np.zeros((3, 3)))) for bug in BUGS}
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
            "Prove it. Where must the debugger's graph be cut for the two to agree? Try cut sA -> sB, then compare; undo "
            "takes a cut back. Answer with the two states.",
            Names(lost.nodes[-3:-1], ordered=True),
            f"The forgotten path enters W at {lost.nodes[-2]}. Over which step back does no other path go?",
            f"With cut {lost.nodes[-3]} -> {lost.nodes[-2]} both give {wrong[FORGOTTEN.name]:.4f}: an error in a loop's "
            "end, and a loss that falls all the same.",
            tools=(comparing(FORGOTTEN),),
        ),
        _case(
            "B",
            TRANSPOSED,
            wrong,
            "Which terms are right? A path with no step back meets no W on its way; one step back meets it once.",
        ),
        Tell("W is d × d, so that its transpose fits everywhere. (If you have cut anything, undo brings it back.)"),
        Ask(
            "Program C: before you look. If a product of Jacobians is multiplied in the wrong order, up to which lag are "
            "the terms still right?",
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
        Tell(
            "So one table tells them apart: a term that is 0; wrong from a lag of 1 on; wrong from a lag of 2 on.\n"
            "Try: unrollviz check, which does this for every parameter, and unrollviz debug."
        ),
    )


def _case(letter: str, bug: Bug, wrong: dict[str, float], hint: str) -> Ask:
    return Ask(
        f"Program {letter} gives a gradient of norm {wrong[bug.name]:.4f}. Type compare, look, and say what is wrong "
        "with it.",
        Choice(tuple(one.name for one in BUGS), BUGS.index(bug)),
        hint,
        f"The line is {bug.line[0]} and should read {bug.line[1]}",
        tools=(comparing(bug),),
    )
