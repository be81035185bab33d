"""Sunspots: an LSTM learns to predict next year's number. How many years back does its gradient reach?

Run it:  python examples/sunspots.py
"""

import numpy as np

import unrollviz as uz

STEPS, RATE, MOMENTUM = 60, 0.3, 0.9

# 308 years, each with the next one as its target, as 7 sequences of 44 years: (T, B, 1), in hundreds of sunspots.
numbers = uz.sunspots()[:, 1] / 100
xs, targets = (series.reshape(7, 44).T[:, :, None] for series in (numbers[:-1], numbers[1:]))


def unroll(network: uz.Network) -> uz.Run:
    return uz.unroll(network, xs, targets, loss="squared_error", reduction="mean")


def show_reach(run: uz.Run) -> None:
    """The gradient of W_i by lag: what year k contributes to the loss of year t, for each t - k."""
    flow = run.flow("W_i", by="lag")
    relative = flow.norms / flow.norms[0]
    for lag in range(0, 16, 3):
        print(f"  {lag:2} years back  {relative[lag]:8.2%}  {'█' * round(30 * relative[lag])}")
    reach = np.flatnonzero(relative >= 0.01)[-1]
    print(f"  the last lag with at least 1 % of what lag 0 contributes: {reach} years")


network = uz.Network.init("lstm", inputs=1, hidden=6, outputs=1)
network = network.replace(b_f=network.params["b_f"] + 1)  # a forget gate that begins open (Jozefowicz et al. 2015)
run = unroll(network)
print(f"before: mean squared error {run.loss:.4f}; the gradient of W_i, by lag:")
show_reach(run)

# Gradient descent with momentum, by hand.
velocity = {name: np.zeros(value.shape) for name, value in network.params.items()}
for _ in range(STEPS):
    gradients = unroll(network).gradients()
    velocity = {name: MOMENTUM * velocity[name] - RATE * gradients[name] for name in gradients}
    network = network.replace(**{name: value + velocity[name] for name, value in network.params.items()})

run = unroll(network)
print(f"\nafter {STEPS} steps: mean squared error {run.loss:.4f}; the gradient of W_i, by lag:")
show_reach(run)

same_as_this_year = float(((targets - xs) ** 2).mean())
print(f"\nTo say that next year is like this year costs {same_as_this_year:.4f}.")
assert run.loss < same_as_this_year
