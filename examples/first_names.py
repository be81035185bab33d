"""First names, letter by letter, each predicting the next: how far back do an Elman network, a GRU and an LSTM look?

What to see: nine tenths of the gradient come from the last four letters, before training as after it. But the gated
networks begin with half of it at the newest letter (lag 0), and come to spread it over those before, as the Elman
network does from the start; both end with a lower loss than that. Then each of them makes up names.

Run it:  python examples/first_names.py        half a minute; EPOCHS=1 for a glance
"""

import os

import numpy as np

import unrollviz as uz
from unrollviz.samples import END, names_sample

EPOCHS = int(os.environ.get("EPOCHS", "25"))
HIDDEN, BATCH = 32, 32

names = names_sample()
letters = names.options["vocabulary"]


def draw(network: uz.Network, rng: np.random.Generator) -> str:
    """A name: each letter is drawn by ŷ of those before it."""
    name = str(letters[rng.integers(len(letters) - 1)])
    while len(name) < 12:
        ids = [letters.index(letter) for letter in name]
        run = uz.unroll(network, ids, ids)
        letter = letters[rng.choice(len(letters), p=run.graph.nodes[f"yhat{len(name)}"]["value"][0])]
        if letter == END:
            break
        name += letter
    return name


for cell in ("elman", "gru", "lstm"):
    start = uz.Network.init(cell, inputs=len(letters) - 1, hidden=HIDDEN, outputs=len(letters), scheme="orthogonal")
    trained = uz.train(
        start,
        (names.xs, names.targets),
        lengths=names.options["lengths"],
        epochs=EPOCHS,
        batch=BATCH,
        validation=0.1,
        clip=5.0,
        every=50,
    )
    history = trained.history
    assert history is not None
    norms = history.lag_norms[:, 0]
    shares = norms / norms.sum(axis=1, keepdims=True)
    print(f"{cell}: validation loss {trained.validation_losses[0]:.2f} to {trained.validation_losses[-1]:.2f} per name")
    print(f"  the gradient of {history.watched[0]}, its norms by lag 0, 1, 2, …:")
    for row in (0, len(history) // 2, len(history) - 1):
        figures = "".join(f"{share:6.0%}" for share in shares[row, :7])
        print(f"    {history.updates[row]:4} updates  {figures}   reach {history.reach()[row, 0]}")
    rng = np.random.default_rng(0)
    print(f"  it says: {', '.join(draw(start.replace(**trained.network.params), rng) for _ in range(8))}\n")
    assert trained.losses[-1] <= trained.losses[0]
