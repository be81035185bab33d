"""Lesson: why the highway of an LSTM helps, by route shares."""

from __future__ import annotations

import math

import numpy as np

from unrollviz.api import Network, Run, unroll
from unrollviz.draw.text import bar, integer, percent, table
from unrollviz.jacobians import frobenius
from unrollviz.lessons.answers import Choice, Number
from unrollviz.lessons.steps import Ask, Step, Tell
from unrollviz.names import derivative, typeset

STEPS, HIDDEN, OPENED = 20, 8, 2.0
MOST = STEPS // 2
"""Uses of the highway from which on a path is said to run mostly on it."""


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


def steps() -> tuple[Step, ...]:
    elman, shut, open_ = network_run("elman"), network_run("lstm"), network_run("lstm", OPENED)
    loss = f"L{STEPS}"
    at_cell, at_state = derivative(loss, "c1"), derivative(loss, "s1")
    norms = [frobenius(run.gradient(node, loss)) for run, node in ((elman, "s1"), (shut, "c1"), (open_, "c1"))]
    flow = open_.flow("c1", by="route:highway", losses=loss)
    uses = flow.labels[:, 0]
    share = float(flow.shares[uses >= MOST].sum())
    part = sum(count for use, count in zip(uses, flow.counts, strict=True) if use >= MOST) / sum(flow.counts)
    rows = [
        [str(use), integer(count), f"{norm:.2g}", percent(part_), bar(part_, 14)]
        for use, count, norm, part_ in zip(uses, flow.counts, flow.norms, flow.shares, strict=True)
        if use >= STEPS - 6
    ]
    first, back = mean_forget(shut), STEPS - 1
    return (
        Tell(
            "An LSTM carries a second state c, the cell state:\n"
            "  c_t = f_t ⊙ c_(t-1) + i_t ⊙ g_t        h_t = o_t ⊙ tanh(c_t)\n"
            "f, i and o are gates between 0 and 1, computed by sigmoids from x_t and h_(t-1). The way "
            "straight from c_t to c_(t-1), over f_t ⊙ c_(t-1), is called the highway."
        ),
        _highway_factor(shut),
        Ask(
            f"With forget biases of 0 the forget gates of this random LSTM are {first:.2f} on average. If every one "
            f"were 0.5: what is left of a gradient after {back} steps on the highway?",
            Number(0.5**back, 0.05, 3),
            "The factors along a path are multiplied. You may type 2^10 for a power.",
            f"0.5^{back}. A half open gate is no highway.",
            ((Number(0.5 * back, 0.05), "That is a sum; along a path factors are multiplied."),),
        ),
        Ask(
            f"So guess: how does ‖{at_cell}‖ of this LSTM compare with ‖{at_state}‖ of an Elman network of "
            f"the same size, both with {HIDDEN} units and orthogonal weights?",
            Choice(("it is larger", "it is smaller"), int(norms[1] < norms[0])),
            "The LSTM halves a gradient at every step. An orthogonal W keeps norms; only tanh′ takes something away.",
            f"{norms[1]:.2g} against {norms[0]:.2g}. It is not the name LSTM that helps.",
        ),
        Tell(
            f"Now {OPENED:g} is added to the forget biases b_f. The gates then are {mean_forget(open_):.2f} on average."
        ),
        Ask(
            f"By how much does that change ‖{at_cell}‖?",
            _grown(norms[2] / norms[1]),
            f"Every step on the highway now keeps {mean_forget(open_) / first:.2f} times as much as before; there are "
            f"{back} of them.",
            f"From {norms[1]:.2g} to {norms[2]:.2g}. That is why forget biases begin at 1 or 2 (Gers, Schmidhuber & "
            "Cummins 2000; Jozefowicz, Zaremba & Sutskever 2015).",
        ),
        Tell(
            f"From {typeset(loss)} back to c₁ lead {integer(sum(flow.counts))} paths: at every step a path may take "
            f"the highway, or a detour through a gate and its W. {100 * part:.2g} % of them take the highway for "
            f"{MOST} or more of the {back} steps."
        ),
        Ask(
            f"Guess: what share of the gradient do these {100 * part:.2g} % of the paths carry?",
            _carried(share),
            "A detour passes a weight, a sigmoid's slope (at most 0.25) and a tanh. The highway passes only f.",
            f"{percent(share)}. By uses of the highway:\n"
            + "\n".join("  " + line for line in table(["highway", "paths", "norm", "share", ""], rows, left=(4,))),
        ),
        Ask(
            "You train an LSTM and it does not learn what happened long ago. Which of these do you look at first?",
            Choice(
                ("the forget gates and their share of the routes", "the number of paths", "the size of U"),
                0,
                ("", "Their number is vast in any case; nearly all of them carry nothing.", "U acts within a step."),
            ),
            "What decided between a gradient of 0.00003 and one of 0.1 above?",
            "unrollviz flow --by route:weights,highway and unrollviz diagnose show them, and history while it learns.",
        ),
    )


def _highway_factor(run: Run) -> Ask:
    """What the highway's edge carries: the option that equals the run's own Jacobian is the right one."""
    path = next(p for p in run.paths("L2", "c1", detail="op") if not any("W_" in name for name in p.nodes))
    place = next(i for i, factor in enumerate(path.factors) if factor.tail == "c1")
    jacobian = path.factors[place].matrix()[0]
    c, f = (run.graph.nodes[name]["value"][0] for name in ("c2", "f2"))
    options = {
        "diag(f_t)": np.diag(f),
        "W_f": run.network.params["W_f"],
        "diag(tanh′(c_t))": np.diag(1 - np.tanh(c) ** 2),
        "1": np.eye(len(f)),
    }
    right = [np.allclose(candidate, jacobian) for candidate in options.values()].index(True)
    return Ask(
        "What is the derivative of c_t with respect to c_(t-1) along the highway, the gates held fixed?",
        Choice(
            tuple(options),
            right,
            (
                "",
                "W_f is inside the gate f_t; it is met only on a detour through the gate.",
                "tanh is applied to c_t to make h_t, not to make the next c.",
                "So it was in the LSTM of 1997, before it had forget gates.",
            ),
        ),
        "Look at f_t ⊙ c_(t-1): an entry of c_(t-1) is multiplied by the same entry of …",
        "No weight and no squashing function: just a number between 0 and 1 for each unit.",
    )


def _grown(ratio: float) -> Choice:
    """How much larger, to one digit; the wrong options are far from it."""
    options = sorted((ratio ** (1 / 8), math.sqrt(ratio), ratio))
    return Choice(
        tuple(f"it grows about {float(f'{option:.1g}'):,.0f} times" for option in options), options.index(ratio)
    )


def _carried(share: float) -> Choice:
    return Choice(("less than 10 %", "about half", "more than 90 %"), 0 if share < 0.1 else (2 if share > 0.9 else 1))
