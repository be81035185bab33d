"""Lesson: why the highway of an LSTM helps, by route shares."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from unrollviz.api import Network, Run, unroll
from unrollviz.draw.text import bar, integer, percent, table
from unrollviz.flows.flow import Flow
from unrollviz.jacobians import frobenius
from unrollviz.lessons.answers import Choice, Number
from unrollviz.lessons.steps import Ask, Step, Tell
from unrollviz.names import derivative, typeset

STEPS, HIDDEN, OPENED = 20, 8, 2.0
BACK = STEPS - 1
"""Steps from the last state back to that of step 1."""
MOST = STEPS // 2
"""Uses of the highway from which on a path is said to run mostly on it."""
SHOWN = 6
"""Rows of the table, those of the most uses."""
LOSS = f"L{STEPS}"
AT_CELL = derivative(LOSS, "c1")


def network_run(cell: str, forget: float = 0.0) -> Run:
    """A cell with random weights over a random sequence; `forget` is added to an LSTM's forget bias."""
    network = Network.init(cell, 4, HIDDEN, 4, scheme="orthogonal")
    if forget:
        network = network.replace(b_f=network.params["b_f"] + forget)
    rng = np.random.default_rng(0)
    return unroll(network, rng.standard_normal((STEPS, 4)), rng.integers(0, 4, STEPS))


def mean_forget(run: Run) -> float:
    """The mean of the forget gates on the way back to c₁."""
    return float(np.mean([run.graph.nodes[f"f{t}"]["value"] for t in range(2, STEPS + 1)]))


@dataclass(frozen=True)
class Runs:
    """The networks that are compared, over the same sequence.

    Attributes:
        elman: an Elman network.
        shut, opened: an LSTM with forget biases of 0, and the same with OPENED added to them.
    """

    elman: Run
    shut: Run
    opened: Run

    @property
    def gain(self) -> float:
        """How many times as much of c_t as before a step on the highway keeps when the gates are opened."""
        return mean_forget(self.opened) / mean_forget(self.shut)


def reaching(run: Run) -> float:
    """The norm of the last loss's gradient with respect to the state of step 1: c₁, or s₁."""
    return frobenius(run.gradient("c1" if "c1" in run.graph else "s1", LOSS))


def by_uses(run: Run) -> Flow:
    """The gradient of c₁ by how often its paths take the highway."""
    return run.flow("c1", by="route:highway", losses=LOSS)


def steps() -> tuple[Step, ...]:
    runs = Runs(network_run("elman"), network_run("lstm"), network_run("lstm", OPENED))
    flow = by_uses(runs.opened)
    return (
        Tell(
            "An LSTM carries a second state c, the cell state:\n"
            "  c_t = f_t ⊙ c_(t-1) + i_t ⊙ g_t        h_t = o_t ⊙ tanh(c_t)\n"
            "f, i and o are gates between 0 and 1, computed by sigmoids from x_t and h_(t-1). The way "
            "straight from c_t to c_(t-1), over f_t ⊙ c_(t-1), is called the highway."
        ),
        _highway_factor(runs.shut),
        _half_open(runs),
        _against_elman(runs),
        Tell(
            f"Now {OPENED:g} is added to the forget biases b_f. The gates then are {mean_forget(runs.opened):.2f} on "
            "average."
        ),
        _opened(runs),
        Tell(
            f"From {typeset(LOSS)} back to c₁ lead {integer(sum(flow.counts))} paths: at every step a path may take "
            "the highway, or a detour through a gate and its W. Which of them it takes is called its route. "
            f"{_few(flow)} of the paths take the highway for {MOST} or more of the {BACK} steps."
        ),
        _carried(flow),
        _what_to_look_at(),
    )


def _half_open(runs: Runs) -> Ask:
    return Ask(
        f"With forget biases of 0 the forget gates of this random LSTM are {mean_forget(runs.shut):.2f} on average. If "
        f"every one were 0.5: what is left of a gradient after {BACK} steps on the highway?",
        Number(0.5**BACK, 3),
        ("The factors along a path are multiplied.", f"0.5^{BACK}; a power may be typed just so."),
        f"0.5^{BACK}. A half open gate is no highway.",
        ((Number(0.5 * BACK), "That is a sum; along a path factors are multiplied."),),
    )


def _against_elman(runs: Runs) -> Ask:
    elman, shut = reaching(runs.elman), reaching(runs.shut)
    return Ask(
        f"So guess: how does ‖{AT_CELL}‖ of this LSTM compare with ‖{derivative(LOSS, 's1')}‖ of an Elman network of "
        f"the same size, both with {HIDDEN} units and orthogonal weights?",
        Choice(("it is larger", "it is smaller"), int(shut < elman)),
        (
            "The highway halves a gradient at every step. An orthogonal W keeps norms; only tanh′ takes away.",
            f"For the Elman network it is {elman:.2g}.",
        ),
        f"{shut:.2g} against {elman:.2g}. It is not the name LSTM that helps.",
    )


def _opened(runs: Runs) -> Ask:
    before, after = reaching(runs.shut), reaching(runs.opened)
    alone = [float(by_uses(run).norms[-1]) for run in (runs.shut, runs.opened)]
    return Ask(
        f"By how much does that change ‖{AT_CELL}‖?",
        _grown(after / before),
        (
            f"Every step on the highway now keeps {runs.gain:.2f} times as much as before, and there are {BACK} steps: "
            "their factors are multiplied.",
            f"{runs.gain:.2f}^{BACK} is about {float(f'{runs.gain**BACK:.1g}'):,.0f}. The whole grows less than that, "
            "since detours, which gain less, carried a part before; but the power shows the order of it.",
        ),
        f"From {before:.2g} to {after:.2g}. The one path that takes the highway all the way grew from {alone[0]:.2g} "
        f"to {alone[1]:.2g}, {float(f'{alone[1] / alone[0]:.2g}'):,.0f} times. The whole grew less: before, detours "
        "carried nearly all of it. That is why forget biases begin at 1 or 2 (Gers, Schmidhuber & Cummins 2000; "
        "Jozefowicz, Zaremba & Sutskever 2015).",
    )


def _few(flow: Flow) -> str:
    """The part of the paths that run mostly on the highway."""
    many = sum(count for uses, count in zip(flow.labels[:, 0], flow.counts, strict=True) if uses >= MOST)
    return f"{100 * many / sum(flow.counts):.2g} %"


def _carried(flow: Flow) -> Ask:
    share = float(flow.shares[flow.labels[:, 0] >= MOST].sum())
    return Ask(
        f"Guess: what share of the gradient do these {_few(flow)} of the paths carry?",
        Choice(("less than 10 %", "about half", "more than 90 %"), 0 if share < 0.1 else (2 if share > 0.9 else 1)),
        (
            "A detour passes a weight, a sigmoid's slope (at most 0.25) and a tanh. The highway passes only f.",
            "A path with many detours has many such small factors; there are very many of these paths, but each "
            "carries next to nothing.",
        ),
        f"{100 * share:.1f} %. By how often a path takes the highway:\n"
        + "\n".join("  " + line for line in table(["highway", "paths", "share", ""], _rows(flow), left=(3,))),
    )


def _rows(flow: Flow) -> list[list[str]]:
    """The last few rows of a flow by uses of the highway, and above them the rest in one."""
    figures = list(zip(flow.counts, flow.shares, strict=True))
    rest, rows = figures[:-SHOWN], list(enumerate(figures))[-SHOWN:]
    summed = (sum(count for count, _ in rest), float(sum(share for _, share in rest)))
    told = [(f"up to {rows[0][0] - 1}", summed), *((str(uses), pair) for uses, pair in rows)]
    return [[uses, integer(count), percent(share), bar(share, 14)] for uses, (count, share) in told]


def _what_to_look_at() -> Ask:
    return Ask(
        "You train an LSTM and it does not learn what happened long ago. Which of these do you look at first?",
        Choice(
            ("the forget gates, and the highway's share", "the number of paths", "the size of U"),
            0,
            ("", "Their number is vast in any case; nearly all of them carry nothing.", "U acts within a step."),
        ),
        (
            "What decided above whether a gradient reached c₁?",
            "Only a bias was changed: that of one kind of gate.",
        ),
        "unrollviz flow --by route:weights,highway and unrollviz diagnose show them, and history while it learns.",
    )


def _highway_factor(run: Run) -> Ask:
    """What the highway's edge carries: the option that equals the run's own Jacobian is the right one."""
    path = next(p for p in run.paths("L2", "c1", detail="op") if not any("W_" in name for name in p.nodes))
    place = next(i for i, factor in enumerate(path.factors) if factor.tail == "c1")
    jacobian = path.factors[place].matrix()[0]
    c, f = (run.graph.nodes[name]["value"][0] for name in ("c2", "f2"))
    options = {
        "the identity, 1 for each unit": np.eye(len(f)),
        "diag(f_t)": np.diag(f),
        "W_f": run.network.params["W_f"],
        "diag(tanh′(c_t))": np.diag(1 - np.tanh(c) ** 2),
    }
    right = [np.allclose(candidate, jacobian) for candidate in options.values()].index(True)
    return Ask(
        "What is the derivative of c_t with respect to c_(t-1) along the highway, the gates held fixed?",
        Choice(
            tuple(options),
            right,
            (
                "So it was in the LSTM of 1997, before it had forget gates.",
                "",
                "W_f is inside the gate f_t; it is met only on a detour through the gate.",
                "tanh is applied to c_t to make h_t, not to make the next c.",
            ),
        ),
        (
            "Look at f_t ⊙ c_(t-1), with f_t held fixed: each entry of c_(t-1) is multiplied by one number.",
            "⊙ multiplies entry by entry. Which matrix does that, when it multiplies c_(t-1)?",
        ),
        "No weight and no squashing function: just a number between 0 and 1 for each unit.",
    )


def _grown(ratio: float) -> Choice:
    """How much larger, to one digit; the wrong options are far from it."""
    options = sorted((ratio ** (1 / 8), math.sqrt(ratio), ratio))
    return Choice(
        tuple(f"it grows about {float(f'{option:.1g}'):,.0f} times" for option in options), options.index(ratio)
    )
