"""`python -m benchmarks NAME`: run one benchmark; everything in it is timed in turns, and compared as ratios."""

import sys

from benchmarks import debugger, render, sweep, train

BENCHMARKS = {"sweep": sweep.main, "debugger": debugger.main, "render": render.main, "train": train.main}

if len(sys.argv) != 2 or sys.argv[1] not in BENCHMARKS:
    sys.exit(f"usage: python -m benchmarks [{'|'.join(BENCHMARKS)}]")
BENCHMARKS[sys.argv[1]]()
