"""unrollviz history: where the gradient came from while a network learnt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unrollviz.cli.options import Name, json_option, table
from unrollviz.cli.terminal import say, say_json
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.names import clean

if TYPE_CHECKING:
    from unrollviz.training.checkpoints import Checkpoint

ENDINGS = (".html", ".svg", ".png", ".pdf")


@click.command(short_help="A run's history: loss, reach, routes, norms, update by update.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--param", help="One of the parameters that were watched.  [default: the first]")
@click.option("-o", "--output", metavar="FILE", help="File to write: .svg, .png or .pdf; .html with a slider.")
@click.option("--title", help="A line above the picture.")
@click.option("--theme", type=Name(table("draw.style", "THEMES")), help="light or dark.  [default: light]")
@click.option("--csv", "as_csv", is_flag=True, help="One line a record, with all figures.")
@click.option("--max-mib", type=click.IntRange(min=1), default=512, show_default=True, help="What the file may hold.")
@json_option
def history(
    run: Path,
    param: str | None,
    output: str | None,
    title: str | None,
    theme: str | None,
    as_csv: bool,
    max_mib: int,
    as_json: bool,
) -> None:
    """How the gradient changed while the run in folder RUN learnt; also while it still does.

    \b
      unrollviz train --sample adding --cell lstm --epochs 20 -o adding
      unrollviz history adding
      unrollviz history adding --csv > adding.csv
      unrollviz history adding -o adding.svg       all curves over the updates, on one page
      unrollviz history adding -o adding.html      a slider over the updates

    Every record is of the same few instances: the loss, the norm of the gradient, its reach (the lags that carry 90 %
    of it), the share of each route, cancellation, the norms of the steps' Jacobians, how large updates are.
    Pictures are drawn by matplotlib (pip install 'unrollviz[plots]'); text and pages need nothing.
    """
    from unrollviz.report.history import history_csv, history_json, history_text
    from unrollviz.training.checkpoints import read

    if as_csv + as_json + (output is not None) > 1:
        raise UnrollvizError("--csv, --json and -o each say what comes out; give one of them")
    if output is None and (theme is not None or title is not None):
        raise UnrollvizError("--theme and --title are for a picture; give -o FILE too")
    if output is not None:
        _check(output, theme)
    found = read(run, max_mib * 2**20)
    if found.state.history is None:
        raise UnrollvizError(f"{run} was trained with --every 0 and has no history; train without it")
    if output is not None:
        _draw(found, param, output, title, theme)
        say([f"written: {clean(output)}"])
    elif as_json:
        say_json(history_json(found.state.history))
    elif as_csv:
        say(history_csv(found.state.history))
    else:
        say(history_text(found, param))


def _check(output: str, theme: str | None) -> None:
    """Whether a picture can be written there, before anything is read."""
    ending = Path(output).suffix.lower()
    if ending not in ENDINGS:
        raise UnrollvizError(f"{clean(output)}: the ending names the format; choose one of {', '.join(ENDINGS)}")
    if ending == ".html":
        from unrollviz.draw.style import THEMES
        from unrollviz.files import check_writable

        if theme is not None and theme not in THEMES:
            raise UnknownName("theme", theme, THEMES)
        check_writable(output)
    else:
        from unrollviz.draw.matplot import check_output

        check_output(output, theme or "light")


def _draw(found: Checkpoint, param: str | None, output: str, title: str | None, theme: str | None) -> None:
    from unrollviz.training.learning import course

    shown = course(found.network.cell, found.settings, found.state)
    place = shown.place(param)
    if Path(output).suffix.lower() == ".html":
        from unrollviz.draw.page.history import page
        from unrollviz.files import write_atomically

        write_atomically(output, page(shown, place, title, theme))
    else:
        from unrollviz.draw.multiples import write

        write(shown, place, output, title, theme or "light")
