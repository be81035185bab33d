"""unrollviz render: the unrolled graph as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from unrollviz.cli.model import build
from unrollviz.cli.options import Name, detail_option, loss_option, model_options, param_option, table
from unrollviz.cli.terminal import say
from unrollviz.errors import UnrollvizError
from unrollviz.files import check_writable
from unrollviz.names import clean

if TYPE_CHECKING:
    from unrollviz.api import Run
    from unrollviz.paths import PathSet


@click.command(short_help="Draw the unrolled graph, one path highlighted.")
@click.option("-o", "--output", default="unrolled.svg", show_default=True, help="File to write.")
@click.option(
    "--format",
    type=Name(table("draw.formats", "FORMATS")),
    help="svg, pdf, png or dot.  [default: what the file's ending says]",
)
@loss_option
@param_option
@detail_option
@click.option(
    "--highlight", metavar="PATH", help='A path: its number in "unrollviz paths", or its nodes: L4,yhat4,s4,s3,W.'
)
@click.option(
    "--color-by", type=Name(lambda: ("share",)), help="share: every edge by the share of all paths through it."
)
@click.option(
    "--engine",
    default="pygraphviz",
    show_default=True,
    type=Name(lambda: ("pygraphviz", "dot")),
    help="pygraphviz carries its own Graphviz; dot runs the program installed here.",
)
@click.option("--title", help="A line above the picture.")
@model_options
def render(
    output: str,
    format: str | None,
    loss: str | None,
    param: str | None,
    detail: str,
    highlight: str | None,
    color_by: str | None,
    engine: str,
    title: str | None,
    **model: Any,
) -> None:
    """Draw the unrolled graph: columns are time steps, rows kinds of node; highlight one path.

    \b
      unrollviz render -o unrolled.svg
      unrollviz render --loss L4 --param W --highlight 3 -o path.svg
      unrollviz render --highlight L4,yhat4,s4,s3,W --detail state -o path.pdf
      unrollviz render --color-by share --text hello -o shares.png
    """
    from unrollviz.draw.formats import format_of, write
    from unrollviz.draw.view import view
    from unrollviz.report.paths import written

    format_of(output, format)
    check_writable(output)
    run = build(**model)
    if (loss or param) and not (highlight or color_by):
        raise UnrollvizError("--loss and --param choose among paths; give --highlight or --color-by share too")
    target = param or run.recurrent_weight
    path = _chosen_path(run.paths(loss, target, detail=detail), highlight, run, detail) if highlight else None
    shown = view(run, path, target=target, losses=loss, detail=detail, color_by=color_by, title=title, engine=engine)
    write(shown, output, format)
    drawn = [f"path {path.rank + 1} of ∂{loss or 'L'}/∂{target}: {written(path)}"] if path else []
    say([*drawn, f"written: {clean(output)}"])


def _chosen_path(paths: PathSet, highlight: str, run: Run, detail: str) -> Any:
    """The path that `highlight` names: by number, from 1, or by its nodes."""
    if not highlight.isdecimal():
        nodes = [name.strip() for name in highlight.split(",")]
        if nodes[0] not in run.loss_names():
            raise UnrollvizError(
                f"--highlight '{highlight}' is no path; give its number in unrollviz paths, or all its nodes from the "
                f"loss back: {','.join(paths.nodes(0)) if paths.count else 'L4,yhat4,s4,s3,W'}"
            )
        return run.paths(nodes[0], nodes[-1], detail=detail).find(nodes)
    if not 1 <= int(highlight) <= paths.count:
        raise UnrollvizError(f"there is no path {highlight}; give a number from 1 to {paths.count:,}")
    return paths[int(highlight) - 1]
