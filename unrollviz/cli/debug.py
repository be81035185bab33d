"""unrollviz debug: the debugger in the terminal."""

from __future__ import annotations

import sys
from typing import Any

import click

from unrollviz.cli.model import build
from unrollviz.cli.options import detail_option, loss_option, model_options, param_option
from unrollviz.errors import UnrollvizError


@click.command(short_help="Step through it in the terminal, forwards and back.")
@loss_option
@param_option
@detail_option
@model_options
def debug(loss: str | None, param: str | None, detail: str, **model: Any) -> None:
    """Step through the forward and the backward pass in the terminal. Keys: n next, p back, ? help, q quit."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UnrollvizError("debug needs a terminal; run it without a pipe, or use unrollviz explain L4 W")
    from unrollviz import debug as open_debugger

    run = build(**model)
    sys.exit(open_debugger(run, losses=loss, target=param or run.recurrent_weight, detail=detail))
