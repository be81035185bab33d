"""unrollviz flow: the gradient taken apart."""

from __future__ import annotations

from typing import Any

import click

from unrollviz.allowance import memory_allowed
from unrollviz.cli.model import build
from unrollviz.cli.options import (
    ROWS,
    Name,
    by_option,
    json_option,
    limit_options,
    loss_option,
    model_options,
    param_option,
    table,
)
from unrollviz.cli.proposals import completed
from unrollviz.cli.rows import check_rows, rows_option, write_rows
from unrollviz.cli.terminal import say, say_json
from unrollviz.errors import UnrollvizError

ROW_SIZE = 850
"""Bytes that a row takes while it is written out."""

MEMORY_LIMIT = 2**30
"""Bytes that all rows may take then."""


@click.command(short_help="The gradient by lag, loss, entry step or both.")
@loss_option
@param_option
@by_option
@click.option(
    "--detail",
    type=Name(table("graph", "LEVELS")),
    help="Level whose paths are counted: state, gate or op.  [default: state; op for routes]",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Rows of the table.  [default: 40]")
@click.option(
    "--truncate",
    type=click.IntRange(min=0),
    metavar="STEPS",
    help="Also: how far backpropagation truncated after so many steps is from the true gradient.",
)
@rows_option
@limit_options
@model_options
@json_option
def flow(
    loss: str | None,
    param: str | None,
    by: tuple[str, ...],
    detail: str | None,
    limit: int | None,
    truncate: int | None,
    output: str | None,
    as_json: bool,
    **model: Any,
) -> None:
    """The gradient taken apart: how much comes from each loss, each step, each lag, with exact path counts.

    A route is how often a path uses each kind of edge: the recurrent weight of each gate (W_i, W_f, …), the highway of
    a cell (f: c' = f ⊙ c), the input weights between layers. route:weights,highway counts kinds together, for long
    sequences; uses:weights,highway only tells whether a path uses them.

    \b
      unrollviz flow --text "hello world" --by lag
      unrollviz flow --cell lstm --by route
      unrollviz flow --cell lstm --steps 100 --by route:weights,highway
      unrollviz flow --by lag --by loss --json
      unrollviz flow --by temporal -o matrix.csv
    """
    from unrollviz.report.flow import flow_json, flow_text

    to_file = check_rows(output, as_json)
    if limit is not None and (to_file or as_json):
        raise UnrollvizError("--limit is about the table; JSON and files hold every row")
    if truncate is not None and to_file and str(output).lower().endswith(".csv"):
        raise UnrollvizError("--truncate has no place in a table of rows; write .json, or leave -o out")
    run = build(**model)
    found = run.flow(param or run.recurrent_weight, by, loss, detail=detail)
    if to_file or as_json:
        _check_size(len(found.norms))
    cut = None if truncate is None else run.truncation(found.target, truncate, loss)
    if to_file:
        write_rows(str(output), flow_json(found, cut), found.as_table())
    elif as_json:
        say_json(flow_json(found, cut))
    else:
        say(map(completed, flow_text(run, found, loss, ROWS if limit is None else limit, cut)))


def _check_size(rows: int) -> None:
    """Raise UnrollvizError where so many rows, written out, would take more memory than is allowed."""
    size, limit = rows * ROW_SIZE, memory_allowed(MEMORY_LIMIT)
    if size > limit:
        raise UnrollvizError(
            f"{rows:,} rows written out take about {size / 2**30:.1f} GiB, the limit is {limit / 2**30:g} GiB; take "
            "lag, entry or loss, one --loss at a time, or raise it with --max-gib"
        )
