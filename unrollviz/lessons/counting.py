"""Lesson: count the parameters of a recurrent network."""

from __future__ import annotations

from unrollviz.api import Network
from unrollviz.lessons.answers import Number, Shape
from unrollviz.lessons.steps import Ask, Step, Tell
from unrollviz.samples import article


def steps() -> tuple[Step, ...]:
    run = article()
    net = run.network
    n, d, k, steps_ = net.inputs, net.hidden, net.outputs, run.steps
    count = net.count_parameters()
    size = {name: value.size for name, value in net.params.items()}
    lstm = Network.init("lstm", n, d, k)
    return (
        Tell(
            f"A recurrent network reads a sequence step by step. At step t it takes an input x_t of n = {n} numbers, "
            f"updates a state s_t of d = {d} numbers, and says how likely each of k = {k} classes is:\n"
            "  s_t = tanh(U x_t + W s_(t-1) + b)\n"
            "  ŷ_t = softmax(V s_t + c)"
        ),
        Ask(
            "U turns the input into a contribution to the state. What is the shape of U, rows x columns?",
            Shape(net.params["U"].shape, ("d", "n")),
            "A matrix has a row for every number that comes out, and a column for every number that goes in.",
            f"{n} numbers go in, {d} come out: {size['U']} entries.",
            ((Shape((n, d), ("n", "d")), f"Nearly: a row for every number that comes out, and {d} come out."),),
        ),
        Ask(
            "W turns the state before into a contribution to the state. How many entries has W?",
            Number(size["W"]),
            "The state before has as many numbers as the state.",
            f"d × d = {d} × {d}: a state goes in, a state comes out.",
            ((Number(d), "That is one row of it; there is one for every number of the new state."),),
        ),
        Ask(
            "V reads the classes off the state. What is the shape of V?",
            Shape(net.params["V"].shape, ("k", "d")),
            "What goes in is a state, what comes out is a number for each class.",
            f"{d} numbers go in, {k} come out: {size['V']} entries.",
            ((Shape((d, k), ("d", "k")), "Nearly: rows are what comes out, columns what goes in."),),
        ),
        Ask(
            "b is added to the state before tanh, c to the output before softmax. "
            "How many parameters has the network in all: U, W, V, b and c?",
            Number(int(count)),
            f"U has {size['U']} and W {size['W']}. b is as long as the state, c as there are classes.",
            f"{count}.",
            (
                (Number(size["U"] + size["W"] + size["V"]), "These are the three matrices; b and c count too."),
                (
                    Number(int(count) - size["b"] - size["c"] + 2),
                    "b and c are vectors: one number for every unit, one for every class.",
                ),
            ),
        ),
        Tell(f"So far the sequence had T = {steps_} steps. Now let it have {10 * steps_}."),
        Ask(
            f"How many parameters has the network when it reads {10 * steps_} steps?",
            Number(int(count)),
            "Look at the two formulas again: does any of the five letters carry a t?",
            "The same matrices are used at every step. That is why the gradient of W is a sum over the steps, as the "
            "next lessons show.",
            ((Number(10 * int(count)), "Each step would need its own copies for that; these are shared."),),
        ),
        Ask(
            "An LSTM has four sets of U, W and b, one for each gate, and still one V and one c. "
            "How many parameters has it with the same n, d and k?",
            Number(int(lstm.count_parameters())),
            f"Four times {size['U']} + {size['W']} + {size['b']}, and once {size['V']} + {size['c']}.",
            f"{lstm.count_parameters()}.",
            ((Number(4 * int(count)), "V and c are there only once."),),
        ),
    )
