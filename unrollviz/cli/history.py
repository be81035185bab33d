"""unrollviz history: where the gradient came from while a network learnt."""

from __future__ import annotations

from pathlib import Path

import click

from unrollviz.cli.options import json_option
from unrollviz.cli.terminal import say, say_json
from unrollviz.errors import UnrollvizError


@click.command(short_help="A run's history: loss, reach, routes, norms, update by update.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--param", help="One of the parameters that were watched.  [default: the first]")
@click.option("--csv", "as_csv", is_flag=True, help="One line a record, with all figures.")
@click.option("--max-mib", type=click.IntRange(min=1), default=512, show_default=True, help="What the file may hold.")
@json_option
def history(run: Path, param: str | None, as_csv: bool, max_mib: int, as_json: bool) -> None:
    """How the gradient changed while the run in folder RUN learnt; also while it still does.

    \b
      unrollviz train --sample adding --cell lstm --epochs 20 -o adding
      unrollviz history adding
      unrollviz history adding --csv > adding.csv

    Every record is of the same few instances: the loss, the norm of the gradient, its reach (the lags that carry 90 %
    of it), the share of each route, cancellation, the norms of the steps' Jacobians, how large updates are.
    """
    from unrollviz.checkpoints import read
    from unrollviz.report.history import history_csv, history_json, history_text

    if as_csv and as_json:
        raise UnrollvizError("--csv and --json both say what is printed; give one of them")
    found = read(run, max_mib * 2**20)
    if found.state.history is None:
        raise UnrollvizError(f"{run} was trained with --every 0 and has no history; train without it")
    if as_json:
        say_json(history_json(found.state.history))
    elif as_csv:
        say(history_csv(found.state.history))
    else:
        say(history_text(found, param))
