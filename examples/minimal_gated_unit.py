"""A cell of one's own: the minimal gated unit (Zhou, Wu, Zhang & Zhou 2016), one function and one row of a table.

Nothing in the package changes: layers, directions, gradients, paths and the check know the new cell at once.

Run it:  python examples/minimal_gated_unit.py
"""

import numpy as np

import unrollviz as uz
from unrollviz.cells import CELLS, Cell, Parameters, States, add, gated, mul, one_minus, tanh
from unrollviz.graph import Node


def minimal_gated_unit(p: Parameters, x: Node, state: States) -> States:
    """f = σ(U_f x + W_f h + b_f);  n = tanh(U_n x + W_n (f ⊙ h) + b_n);  h' = (1 - f) ⊙ h + f ⊙ n"""
    (h,) = state
    f = p.gate("f", x, h)
    n = tanh(p.affine("n", x, mul(f, h)), name="n", role="gate")
    return (add(mul(one_minus(f), h), mul(f, n), name="h", role="state"),)


# The row: the function, the states that it hands on (the first is read out), and U, W, b for each of two gates.
CELLS["mgu"] = Cell(minimal_gated_unit, ("h",), gated("fn"))

network = uz.Network.init("mgu", inputs=4, hidden=3, outputs=4, layers=2)
print("parameters:", network.count_parameters())

rng = np.random.default_rng(0)
run = uz.unroll(network, rng.standard_normal((5, 4)), rng.integers(0, 4, 5))

# One gate does the work of two, so that there are several ways from a state to the one before it.
for detail in ("state", "gate", "op"):
    print(f"paths from L5 to l2.W_f at level {detail}:", run.paths("L5", "l2.W_f", detail=detail).count)

print("\nThe heaviest at level gate:")
for path in run.paths("L5", "l2.W_f", detail="gate").top(3):
    print(f"  share {path.share:+.3f}   {' ← '.join(path.nodes)}")

report = run.check()  # path sum = reverse sweep = forward mode = finite differences, for every parameter
print("\ncheck:", "ok" if report.ok else "FAILED", {method: f"{error:.0e}" for method, error in report.worst.items()})
assert report.ok
