"""unrollviz values: one kind of node, step by step."""

from __future__ import annotations

from typing import Any

import click

from unrollviz.cli.model import build
from unrollviz.cli.options import json_option, model_options
from unrollviz.cli.terminal import say, say_json


@click.command(short_help="The values of one kind of node, step by step.")
@click.argument("kind")
@model_options
@json_option
def values(kind: str, as_json: bool, **model: Any) -> None:
    """The values of one kind of node at every step: c is the cell state of an LSTM, l2.h the second layer's output.

    \b
      unrollviz values c --cell lstm --text hello
      unrollviz values l1.f model.safetensors --data seq.npz
    """
    from unrollviz.report.values import values_json, values_text

    run = build(**model)
    say_json(values_json(run, kind)) if as_json else say(values_text(run, kind))
