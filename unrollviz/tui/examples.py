"""Examples of what may be typed, with the names that a network has: `s3` is h3 in an LSTM, `W` is W_f."""

from __future__ import annotations

import re

from unrollviz.api import Run
from unrollviz.graph import names_of

_NAME = re.compile(
    r"(?<![\w.∂⁺/])(?:(?P<state>s)(?P<step>\d|\*)|(?P<other>x|t=|yhat)(?P<at>\d)|(?P<weight>W)(?![\w=]))"
)


def fitted(text: str, run: Run) -> str:
    """`text` about the article's network with the names of another; steps that it has not are its last."""
    kinds = [name.rstrip("0123456789") for name in names_of(run.graph, "state")]
    state = next((kind for kind in kinds if kind.rpartition(".")[2] in ("s", "h")), "s")

    def named(match: re.Match[str]) -> str:
        if match["weight"]:
            return run.recurrent_weight
        step = match["step"] or match["at"]
        return (state if match["state"] else match["other"]) + (step if step == "*" else str(min(int(step), run.steps)))

    return _NAME.sub(named, text)
