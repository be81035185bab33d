"""Is it a name, or a name spelled backwards? An LSTM and a GRU read it letter by letter, and answer at the end.

Many-to-one on padded batches: names have different lengths, and padding counts for nothing.

Run it:  python examples/names_backwards.py
"""

from collections.abc import Sequence

import numpy as np

import unrollviz as uz

STEPS, RATE, MOMENTUM = 60, 0.5, 0.9

names = [name for name in uz.first_names() if name != name[::-1]]  # anna is no help
letters = sorted(set("".join(names)))
shuffled = [names[index] for index in np.random.default_rng(0).permutation(len(names))]


def unroll(network: uz.Network, part: Sequence[str]) -> uz.Run:
    """The network on each name (target 1) and on its reverse (target 0): ids (T, B), padded with 0."""
    words = [*part, *(name[::-1] for name in part)]
    lengths = np.array([len(word) for word in words])
    xs = np.zeros((lengths.max(), len(words)), dtype=np.int64)
    for instance, word in enumerate(words):
        xs[: len(word), instance] = [letters.index(letter) for letter in word]
    targets = np.repeat([[1.0], [0.0]], len(part), axis=0)
    return uz.unroll(network, xs, targets, loss="binary_cross_entropy", readout="last", lengths=lengths)


def accuracy(run: uz.Run) -> float:
    """How many answers are right; ŷ_t holds those of the words with t letters."""
    right = 0
    for time in set(run.batch.lengths.tolist()):
        ended = run.batch.lengths == time
        said, wanted = run.graph.nodes[f"yhat{time}"]["value"][ended], run.targets[time - 1, ended]
        right += int(((said > 0.5) == (wanted > 0.5)).sum())
    return right / run.instances


def trained(network: uz.Network, part: Sequence[str]) -> uz.Network:
    """Gradient descent with momentum, by hand."""
    velocity = {name: np.zeros(value.shape) for name, value in network.params.items()}
    for _ in range(STEPS):
        gradients = unroll(network, part).gradients()
        velocity = {name: MOMENTUM * velocity[name] - RATE * gradients[name] for name in gradients}
        network = network.replace(**{name: value + velocity[name] for name, value in network.params.items()})
    return network


train, test = shuffled[:400], shuffled[400:600]
for cell, candidate in (("lstm", "U_g"), ("gru", "U_n")):
    network = uz.Network.init(cell, inputs=len(letters), hidden=12, outputs=1, seed=1, scheme="xavier")
    before, network = unroll(network, test), trained(network, train)
    after = unroll(network, test)
    print(
        f"{cell}: {accuracy(before):.0%} of {after.instances} right before, {accuracy(after):.0%} after {STEPS} steps"
    )
    assert accuracy(after) > 0.6

    # The letters come in through U_g or U_n: by lag, what those that stand so far before the end contribute.
    print(f"  the gradient of {candidate}, by the number of letters before the end:")
    for when, run in (("before", before), ("after", after)):
        flow = run.flow(candidate, by="lag")
        figures = "".join(f"{norm / flow.norms[0]:8.1%}" for norm in flow.norms)
        print(f"    {when:6}  {figures}")
