"""Lesson: count the parameters of a recurrent network."""

from __future__ import annotations

from unrollviz.api import Run
from unrollviz.lessons.answers import Number, Shape
from unrollviz.lessons.steps import Ask, Step, Tell
from unrollviz.network import Network
from unrollviz.samples import article

LONGER = 10
"""How many times as long the sequence is in the question on its length."""


def steps() -> tuple[Step, ...]:
    run = article()
    sizes = {name: value.size for name, value in run.network.params.items()}
    return (
        _network(run.network),
        _shape_of_u(run.network),
        _entries_of_w(run.network),
        _shape_of_v(run.network),
        _all_parameters(run.network, sizes),
        Tell(f"So far the sequence had T = {run.steps} steps. Now let it have {LONGER * run.steps}."),
        _longer(run),
        _lstm(run.network, sizes),
    )


def _network(net: Network) -> Tell:
    return Tell(
        "These lessons work with the network of an article on backpropagation through time, as unrollviz demo does.\n"
        f"It reads a sequence step by step. At step t it takes an input x_t of n = {net.inputs} numbers, updates a "
        f"state s_t of d = {net.hidden} numbers, and says how likely each of k = {net.outputs} classes is:\n"
        "  s_t = tanh(U x_t + W s_(t-1) + b)\n"
        "  ŷ_t = softmax(V s_t + c)"
    )


def _shape_of_u(net: Network) -> Ask:
    n, d = net.inputs, net.hidden
    return Ask(
        "U turns the input into a contribution to the state. What is the shape of U, rows x columns?",
        Shape((d, n), ("d", "n")),
        (
            "A matrix has a row for every number that comes out, and a column for every number that goes in.",
            "What comes out is a contribution to the state, of d numbers; what goes in is x_t, of n.",
        ),
        f"{n} numbers go in, {d} come out: {d * n} entries.",
        ((Shape((n, d), ("n", "d")), f"Nearly: a row for every number that comes out, and {d} come out."),),
    )


def _entries_of_w(net: Network) -> Ask:
    d = net.hidden
    return Ask(
        "W turns the state before into a contribution to the state. How many entries has W?",
        Number(d * d),
        ("The state before has as many numbers as the state.", "It has d rows and d columns."),
        f"d × d = {d} × {d}: a state goes in, a state comes out.",
        ((Number(d), "That is one row of it; there is one for every number of the new state."),),
    )


def _shape_of_v(net: Network) -> Ask:
    d, k = net.hidden, net.outputs
    return Ask(
        "V reads the classes off the state. What is the shape of V, rows x columns?",
        Shape((k, d), ("k", "d")),
        (
            "What goes in is a state, what comes out is a number for each class.",
            "A row for each of the k classes, a column for each of the d units.",
        ),
        f"{d} numbers go in, {k} come out: {k * d} entries.",
        ((Shape((d, k), ("d", "k")), "Nearly: rows are what comes out, columns what goes in."),),
    )


def _all_parameters(net: Network, sizes: dict[str, int]) -> Ask:
    count = net.count_parameters()
    matrices = sizes["U"] + sizes["W"] + sizes["V"]
    return Ask(
        "b is added to the state before tanh, c to the output before softmax. How many parameters, that is single "
        "numbers to learn, has the network in all: U, W, V, b and c?",
        Number(int(count)),
        (
            f"U has {sizes['U']} and W {sizes['W']}. b is as long as the state, c as there are classes.",
            f"{sizes['U']} + {sizes['W']} + {sizes['V']} for the matrices; then b and c.",
        ),
        f"{count}.",
        (
            (Number(matrices), "These are the three matrices; b and c count too."),
            (Number(matrices + 2), "b and c are vectors: one number for every unit, one for every class."),
        ),
    )


def _longer(run: Run) -> Ask:
    count = int(run.network.count_parameters())
    return Ask(
        f"How many parameters has the network when it reads {LONGER * run.steps} steps?",
        Number(count),
        (
            "Look at the two formulas again: does any of the five letters U, W, V, b, c carry a t?",
            "None does: every step uses the same ones.",
        ),
        "The same matrices are used at every step. That is why the gradient of W is a sum over the steps, as the "
        "next lessons show.",
        ((Number(LONGER * count), "Each step would need its own copies for that; these are shared."),),
    )


def _lstm(net: Network, sizes: dict[str, int]) -> Ask:
    count = Network.init("lstm", net.inputs, net.hidden, net.outputs).count_parameters()
    one_set = sizes["U"] + sizes["W"] + sizes["b"]
    return Ask(
        "An LSTM has four sets of U, W and b, and still one V and one c. "
        "How many parameters has it with the same n, d and k?",
        Number(int(count)),
        (
            f"One set has {sizes['U']} + {sizes['W']} + {sizes['b']}.",
            f"4 * {one_set} for the four sets, and once {sizes['V']} + {sizes['c']} for V and c.",
        ),
        f"{count}.",
        (
            (Number(4 * int(net.count_parameters())), "V and c are there only once."),
            (Number(4 * one_set), "These are the four sets; V and c count too."),
        ),
    )
