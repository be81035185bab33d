"""Sunspots: an LSTM learns to predict next year's number. How many years back does its gradient reach?

What to see: the error falls to a quarter of what it costs to say that next year is like this year, and the gradient
reaches back twice as far as before: the numbers rise and fall in some eleven years.

Run it:  python examples/sunspots.py        seconds; EPOCHS=1 for a glance
"""

import os

import numpy as np

import unrollviz as uz

EPOCHS = int(os.environ.get("EPOCHS", "150"))

# 308 years, each with the next one as its target, as 7 sequences of 44 years: (T, B, 1), in hundreds of sunspots.
numbers = uz.sunspots()[:, 1] / 100
xs, targets = (series.reshape(7, 44).T[:, :, None] for series in (numbers[:-1], numbers[1:]))


def show_reach(network: uz.Network) -> None:
    """The gradient of W_i by lag: what year k contributes to the loss of year t, for each t - k."""
    run = uz.unroll(network, xs, targets, loss="squared_error", reduction="mean")
    flow = run.flow("W_i", by="lag")
    relative = flow.norms / flow.norms[0]
    print(f"mean squared error {run.loss:.4f}; the gradient of W_i, by lag:")
    for lag in range(0, 16, 3):
        print(f"  {lag:2} years back  {relative[lag]:8.2%}  {'█' * round(30 * relative[lag])}")
    reach = np.flatnonzero(relative >= 0.01)[-1]
    print(f"  the last lag with at least 1 % of what lag 0 contributes: {reach} years\n")


network = uz.Network.init("lstm", inputs=1, hidden=6, outputs=1)
network = network.replace(b_f=network.params["b_f"] + 1)  # a forget gate that begins open (Jozefowicz et al. 2015)
show_reach(network)
trained = uz.train(
    network, (xs, targets), loss="squared_error", reduction="mean", epochs=EPOCHS, lr=0.02, clip=1.0, watch=("W_i",)
)
print(f"after {trained.state.updates} updates by Adam:")
show_reach(uz.Network(network.cell, trained.network.params))

same_as_this_year = float(((targets - xs) ** 2).mean())
print(f"To say that next year is like this year costs {same_as_this_year:.4f}; it now costs {trained.losses[-1]:.4f}.")
if EPOCHS >= 150:
    assert trained.losses[-1] < same_as_this_year
