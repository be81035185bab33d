"""The adding problem (Hochreiter & Schmidhuber 1997): of 30 numbers two are marked; say their sum at the end.

Who cannot remember answers 1 and pays 1/6 = 0.167. What to see: the Elman network stays near that, and the reach of its
gradient wanders. The LSTM learns to remember within some ten epochs: the reach of its gradient jumps from 5 steps or so
to more than 20 just before its loss falls, and nine tenths of it then come on paths over the highway c' = f ⊙ c.

Run it:  python examples/adding.py        half a minute; EPOCHS=1 for a glance
"""

import os

import unrollviz as uz
from unrollviz.history import ROUTES

EPOCHS = int(os.environ.get("EPOCHS", "15"))

problem = uz.adding(steps=30, instances=2000, seed=0)
final = {}
for cell in ("elman", "lstm"):
    network = uz.Network.init(cell, inputs=2, hidden=16, outputs=1, scheme="orthogonal")
    trained = uz.train(
        network, (problem.xs, problem.targets), **problem.options, epochs=EPOCHS, clip=1.0, validation=0.1, every=63
    )
    history = trained.history
    assert history is not None
    (param,) = history.watched
    over_it = [place for place, route in enumerate(ROUTES) if "highway" in route]
    highway = history.route_shares[:, 0, over_it].sum(axis=1)
    print(f"{cell}: the gradient of {param}")
    print("  updates  loss of 8 instances  reach  over the highway")
    for row in range(len(history)):
        reach = history.reach()[row, 0]
        print(
            f"  {history.updates[row]:7}  {history.losses[row]:19.4f}  {reach:5}  {highway[row]:16.0%}  {'█' * reach}"
        )
    final[cell] = trained.validation_losses[-1]
    print(f"  validation: {final[cell]:.4f}, where 0.1667 is to know nothing\n")

if EPOCHS >= 15:
    assert final["lstm"] < 0.01 < 0.1 < final["elman"]
