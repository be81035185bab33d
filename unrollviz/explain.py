"""The chain rule for one loss and one target, in typeset words and symbols, with the numbers."""

from __future__ import annotations

from unrollviz.paths import PathSet
from unrollviz.unrolled import Unrolled


def explain(unrolled: Unrolled, paths: PathSet) -> str:
    return repr(paths)
