"""A first name, letter by letter: which earlier letters does the loss at the last letter send its gradient to?

The network reads a name and predicts each next letter, and after the last one an end mark.

Run it:  python examples/name.py [name] [picture.svg]
"""

import math
import sys

import unrollviz as uz
from unrollviz.samples import END

name = sys.argv[1] if len(sys.argv) > 1 else "matilda"
picture = sys.argv[2] if len(sys.argv) > 2 else None

# The vocabulary is that of all the names, so that every name has the same ids.
vocabulary = [*sorted(set("".join(uz.first_names()))), END]
spelling = uz.spell(name + END, vocabulary)
network = uz.Network.init("elman", inputs=len(vocabulary), hidden=16, outputs=len(vocabulary), scheme="orthogonal")
run = uz.unroll(network, spelling.xs, spelling.targets, vocabulary=vocabulary)
guess = run.steps * math.log(len(vocabulary))
print(
    f"{name!r}: T = {run.steps} steps, loss {run.loss:.2f}; guessing among {len(vocabulary)} letters costs {guess:.2f}"
)

# The loss at the last step sees every letter through the chain of states. A path to U at step k carries what that
# loss teaches U about letter k.
last = f"L{run.steps}"
print(f"\n{last} asks: after {name!r}, is the name over? Its gradient reaches U at each letter:")
for path in run.paths(last, "U"):
    letter = run.graph.nodes[f"x{path.entry}"]["symbol"]
    bar = "█" * round(40 * abs(path.share))
    print(f"  {letter}  step {path.entry}, {path.lag} back   norm {path.norm:.2e}   share {path.share:+.3f}  {bar}")

assert run.check().ok  # path sum = reverse sweep = forward mode = finite differences

if picture:
    from unrollviz.draw.engine import write

    write(run.draw(run.paths(last, "U")[2]).source, picture)
    print(f"\nwritten: {picture}")
