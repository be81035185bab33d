"""unrollviz values: one kind of node, step by step; a parameter."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import click

from unrollviz.cli.model import build
from unrollviz.cli.options import json_option, model_options
from unrollviz.cli.rows import check_rows, rows_option, write_rows
from unrollviz.cli.terminal import say, say_json


@click.command(short_help="The values of one kind of node, step by step, or of a parameter.")
@click.argument("name")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Units of a row.  [default: what fits; all in a pipe]"
)
@rows_option
@model_options
@json_option
def values(name: str, limit: int | None, output: str | None, as_json: bool, **model: Any) -> None:
    """The values of one kind of node at every step, or the numbers in a parameter, rows and columns counted from 0.

    c is the cell state of an LSTM, l2.h the second layer's output, W a parameter.

    \b
      unrollviz values c --cell lstm --text hello
      unrollviz values W
      unrollviz values l1.f model.safetensors --data seq.npz
    """
    from unrollviz.report.values import shown, values_json, values_table, values_text

    to_file = check_rows(output, as_json)
    run = build(**model)
    what = shown(run, name)
    if to_file:
        write_rows(str(output), values_json(run, what), values_table(run, what))
    elif as_json:
        say_json(values_json(run, what))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        say(values_text(run, what, limit, width))
