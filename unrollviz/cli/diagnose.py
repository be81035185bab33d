"""unrollviz diagnose: what is wrong with a gradient, and what to do about it."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import click
from click.core import ParameterSource

from unrollviz.cli.model import build
from unrollviz.cli.options import json_option, loss_option, model_options, param_option
from unrollviz.cli.terminal import NARROWEST, say, say_json
from unrollviz.errors import NonFinite, UnrollvizError


@click.command(short_help="Findings to act on: vanishing, exploding, saturated, cut off.")
@loss_option
@param_option
@click.option(
    "--truncate",
    type=click.IntRange(min=0),
    metavar="STEPS",
    help="Judge backpropagation truncated after so many steps.  [default: where 90 % are reached]",
)
@click.option("--rules", is_flag=True, help="List the rules, their thresholds and sources; alone, or with --json.")
@model_options
@json_option
def diagnose(
    loss: str | None, param: str | None, truncate: int | None, rules: bool, as_json: bool, **model: Any
) -> None:
    """Findings on a gradient, the worst first: each with its number, the rule that fired, its source and what to do.

    \b
      unrollviz diagnose model.safetensors --data seq.npz    why does it not learn?
      unrollviz diagnose --cell lstm --steps 100             how far back does it reach, through which gate?
      unrollviz diagnose --steps 100 --truncate 10           what is lost if it is cut after 10 steps?
      unrollviz diagnose --steps 100 --loss L100 --json      one loss; every figure in full precision

    How far back 50, 90 and 99 % of the gradient reach; norms of ∂s_j/∂s_{j-1} and of their products, Lyapunov
    exponents; saturated and dead units by step; cancellation; the share of each gate; truncation; norms of the
    parameters. A network whose forward pass overflows is diagnosed up to where it did. Exit code 0 whatever is found.
    """
    from unrollviz.report.diagnose import WIDTH, diagnose_json, diagnose_text, rules_json, rules_text

    width = WIDTH
    if sys.stdout.isatty():
        width = max(NARROWEST, min(WIDTH, shutil.get_terminal_size().columns))
    if rules:
        _refuse_idle()
        say_json(rules_json()) if as_json else say(rules_text(width))
        return
    broken: NonFinite | None = None
    try:
        run = build(**model)
    except NonFinite as error:
        if error.partial is None:
            raise
        from unrollviz.api import ask

        run, broken = ask(error.partial), error
    found = run.diagnose(param, loss, truncate, broken=broken)
    if as_json:
        say_json(diagnose_json(found))
    else:
        say(diagnose_text(run, found, width))


def _refuse_idle() -> None:
    """Raise UnrollvizError for an option that would do nothing beside --rules."""
    context = click.get_current_context()
    for option in context.command.params:
        given = context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE
        if given and option.name not in ("rules", "as_json"):
            named = option.opts[0] if isinstance(option, click.Option) else option.opts[0].upper()
            raise UnrollvizError(f"--rules lists the rules and looks at no network; leave out {named}")
