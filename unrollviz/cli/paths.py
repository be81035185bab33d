"""unrollviz paths: single paths and what they contribute."""

from __future__ import annotations

from typing import Any

import click

from unrollviz.cli.model import build
from unrollviz.cli.options import ROWS, Name, detail_option, json_option, loss_option, model_options, param_option
from unrollviz.cli.terminal import say, say_json


@click.command(short_help="Every path from a loss back to a parameter: norm and share.")
@loss_option
@param_option
@detail_option
@click.option(
    "--limit", type=click.IntRange(min=0), metavar="N", help="List the first N paths.  [default: 40; all in JSON]"
)
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="List the N heaviest paths instead.")
@click.option(
    "--by",
    default="norm",
    show_default=True,
    type=Name(lambda: ("norm", "share")),
    help="What --top ranks by: norm or share.",
)
@click.option("--terms", is_flag=True, help="With --json: every term in full.")
@model_options
@json_option
def paths(
    loss: str | None,
    param: str | None,
    detail: str,
    limit: int | None,
    top: int | None,
    by: str,
    terms: bool,
    as_json: bool,
    **model: Any,
) -> None:
    """Every path from a loss back to a parameter: where it enters, its norm, its share.

    The share is ⟨term, G⟩/⟨G, G⟩, G being the sum of all paths asked for: signed, and 100 % in all. A path's lag is the
    number of steps between its loss and the step at which it enters the parameter.
    """
    from unrollviz.report.paths import paths_json, paths_text

    run = build(**model)
    found = run.paths(loss, param or run.recurrent_weight, detail=detail)
    if top is not None:
        listed = found.top(top, by)
    else:
        part = found if limit is None and as_json else found[: ROWS if limit is None else limit]
        part.check_limit("give --limit N for the first ones, or take them together with unrollviz flow")
        listed = list(part)
    if as_json:
        say_json(paths_json(found, listed, terms))
    else:
        say(paths_text(run, found, listed))
