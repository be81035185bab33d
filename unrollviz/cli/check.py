"""unrollviz check: four methods against each other."""

from __future__ import annotations

import sys
from typing import Any

import click

from unrollviz.cli.model import build
from unrollviz.cli.options import json_option, model_options
from unrollviz.cli.terminal import progress, say, say_json


@click.command(short_help="Prove the gradients by four independent methods.")
@click.option("--param", help="Check this parameter only, which takes less time.  [default: all of them]")
@model_options
@json_option
def check(param: str | None, as_json: bool, **model: Any) -> None:
    """Prove the gradients: path sum = reverse sweep = forward mode = central differences. Exit 1 where they differ.

    \b
      unrollviz check
      unrollviz check model.safetensors --data seq.npz --param l1.W_f    one parameter of a large model
    """
    from unrollviz.report.check import check_json, check_text

    run = build(**model)
    names = [param] if param else list(run.network.params)
    with progress("checking", len(names)) as step:
        found = run.check(names, step)
    if as_json:
        say_json(check_json(found))
    else:
        say(check_text(found))
    if not found.ok:
        sys.exit(1)
