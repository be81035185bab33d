"""unrollviz tree: the gradient branch by branch."""

from __future__ import annotations

import math
from typing import Any

import click

from unrollviz.cli.model import build
from unrollviz.cli.options import detail_option, json_option, loss_option, model_options, param_option
from unrollviz.cli.terminal import say, say_json
from unrollviz.names import clean


class Share(click.ParamType[float]):
    """A part of the whole from 0 to 1: 0.2, or 20%."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip()
        try:
            part = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            part = math.nan
        if not 0 <= part <= 1:
            per_cent = 1 < part <= 100
            hint = f": {part:g} % is {part / 100:g}, or {part:g}%" if per_cent else ", or from 0% to 100%"
            self.fail(f"{clean(text)} is no share; give a number from 0 to 1{hint}.", param, ctx)
        return part


@click.command(short_help="The gradient branch by branch, each with its exact share, norm and number of paths.")
@loss_option
@param_option
@detail_option
@click.option("--depth", type=click.IntRange(0, 200), default=6, show_default=True, help="Levels of branches to open.")
@click.option(
    "--min-share",
    type=Share(),
    default=0.01,
    show_default=True,
    metavar="SHARE",
    help="Close branches whose |share| is less: 0.2, or 20%.",
)
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="Branches of one parent at most.")
@click.option("--at", metavar="L4,yhat4,s4", help="Begin at this partial path instead of at the losses.")
@model_options
@json_option
def tree(
    loss: str | None,
    param: str | None,
    detail: str,
    depth: int,
    min_share: float,
    limit: int,
    at: str | None,
    as_json: bool,
    **model: Any,
) -> None:
    """The gradient branch by branch, from the losses back to a parameter, like a profiler's tree of calls.

    A branch stands for all paths that begin like it, however many: their exact number, the norm of their sum and their
    share ⟨sum, G⟩/⟨G, G⟩ of the whole gradient G. Shares are signed, so that a light branch may hold heavy ones that
    cancel. The branches of a parent add up to it: those below --min-share and beyond --limit are summed in one line
    where they are several; a single one is shown, closed.
    Nodes between which there is no choice stand in one line: s₉ → s₈ → s₇. A parameter at the end of a line ends its
    path; ⋯ there says that it goes on.

    \b
      unrollviz tree --loss L4                        the article's four paths as a tree
      unrollviz tree --cell lstm --detail gate        which gates the gradient goes through
      unrollviz tree --cell lstm --steps 100 --loss L100 --min-share 0.05
      unrollviz tree --loss L4 --at L4,yhat4,s4,s3    only what lies behind s₃
    """
    from unrollviz.report.tree import tree_json, tree_text

    found = build(**model).tree(loss, param, detail=detail)
    start = found.find(_names(at)) if at is not None else found.root
    if as_json:
        say_json(tree_json(found, start, depth, min_share, limit))
    else:
        say(tree_text(found, start, depth, min_share, limit))


def _names(listed: str) -> list[str]:
    """The names in a list with commas; those inside brackets belong to a name: `concat(h1,h2)`."""
    names, inside = [""], 0
    for letter in listed:
        inside += (letter == "(") - (letter == ")")
        if letter == "," and not inside:
            names.append("")
        else:
            names[-1] += letter
    return [name.strip() for name in names]
