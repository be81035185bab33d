"""unrollviz explain: the chain rule, with the numbers."""

from __future__ import annotations

from typing import Any

import click

from unrollviz.cli.model import SUFFIXES, build
from unrollviz.cli.options import model_options
from unrollviz.cli.terminal import say
from unrollviz.errors import UnrollvizError


@click.command(short_help="The chain rule, in symbols and numbers.")
@click.argument("loss", required=False)
@click.argument("param", required=False)
@model_options
def explain(loss: str | None, param: str | None, **model: Any) -> None:
    """The chain rule for ∂LOSS/∂PARAM, in symbols and numbers. LOSS is L1 … LT, or L for their sum.  [default: L4]

    \b
      unrollviz explain L4 W
      unrollviz explain L V
      unrollviz explain L3 b --text "hello"
      unrollviz explain L9 l1.W_f model.safetensors --data seq.npz
    """
    words = [word for word in (loss, param, model["spec"]) if word is not None]
    model["spec"] = next((word for word in words if word.endswith((".toml", *SUFFIXES))), None)
    chosen, target, *extra = [*(word for word in words if word != model["spec"]), None, None]
    if any(extra):
        raise UnrollvizError("explain takes a loss, a parameter and a SPEC: explain L4 W model.safetensors")
    run = build(**model)
    losses = run.loss_names()
    say(run.explain(chosen or ("L4" if "L4" in losses else losses[-1]), target or run.recurrent_weight).splitlines())
