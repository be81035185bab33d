"""The article's network: L₄ depends on W via s₄, s₃, s₂, s₁, and the four terms add up to the gradient.

Run it:  python examples/article.py
"""

import numpy as np

import unrollviz as uz

# Five steps, n = 4 inputs, d = 3 state units, k = 4 classes; an output and a loss at every step.
run = uz.article()
print("parameters:", run.network.count_parameters())
print("losses L1 … L5:", np.round(run.losses, 4), " L =", round(run.loss, 4))

# Every path from L4 back to W. How many there are is known before any of them is walked.
paths = run.paths("L4", "W")
print(f"\n{paths.count} paths lead from L4 back to W:")
for path in paths:
    factors = " · ".join(f"{factor.symbol}" for factor in path.factors)
    print(f"  enters at step {path.entry}, lag {path.lag}: share {path.share:+.3f}   {factors}")

# Their terms, each a product of Jacobians of W's shape, add up to what backpropagation computes.
total = sum(path.term for path in paths)
difference = np.abs(total - run.gradient("W", "L4")).max()
print(f"\nsum of the four terms against backpropagation: largest difference {difference:.1e}")
assert difference < 1e-13

# All five losses together: 1 + 2 + 3 + 4 + 5 paths to W, but one each to V, for V is not on the recurrent chain.
for param in ("U", "W", "V", "b", "c"):
    print(f"∂L/∂{param}: {run.paths(to=param).count} paths")

# The same gradient by the number of steps that it travels back.
flow = run.flow("W", by="lag")
for (lag,), count, share in zip(flow.labels, flow.counts, flow.shares, strict=True):
    print(f"lag {lag}: {count} paths carry {share:+.1%} of ∂L/∂W")
