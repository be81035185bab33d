"""unrollviz render: the unrolled graph as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from unrollviz.cli.model import build
from unrollviz.cli.options import Name, loss_option, network_options, param_option, sources, table, unit_detail_option
from unrollviz.cli.terminal import progress, say
from unrollviz.errors import UnrollvizError
from unrollviz.names import clean

if TYPE_CHECKING:
    from unrollviz.draw.view import View


class Steps(click.ParamType[int | str]):
    """A number of steps, T, or a range of steps to draw, A..B."""

    name = "T|A..B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        text = str(value).strip()
        if ".." in text:
            return text
        if not text.isdecimal() or int(text) < 1:
            self.fail(f"{clean(text)!r} is neither a number of steps nor a range such as 1..8.", param, ctx)
        return int(text)


@click.command(short_help="Draw the unrolled graph, a path or a group of paths highlighted.")
@click.option("-o", "--output", default="unrolled.svg", show_default=True, help="File to write.")
@click.option(
    "--format",
    type=Name(table("draw.formats", "FORMATS")),
    help="svg, pdf, png, dot, html, svg-frames, tikz, graphml or json.  [default: what the file's ending says]",
)
@loss_option
@param_option
@unit_detail_option
@click.option(
    "--highlight",
    metavar="WHICH",
    help='A path: its number in "unrollviz paths", its place among the heaviest, place:2, or its nodes: '
    "L4,yhat4,s4,s3,W. Or a group: lag:3, loss:L4, entry:2, top:5, route:weights=0,highway.",
)
@click.option(
    "--color-by",
    type=Name(table("draw.colouring", "COLOURINGS")),
    help="Edges by share (of all paths through), norm (of the factor) or lag; nodes by value or gradient.",
)
@click.option(
    "--steps",
    type=Steps(),
    multiple=True,
    metavar="A..B",
    help="Draw these steps, and fold the others. A number T means T steps of random numbers; both may be given.",
)
@click.option("--every", type=click.IntRange(min=1), metavar="N", help="Draw every N-th step, and fold the others.")
@click.option("--no-fold", is_flag=True, help="Draw every step, however many there are.")
@click.option(
    "--theme",
    type=Name(table("draw.style", "THEMES")),
    help="light or dark.  [default: light; of a page: the reader's]",
)
@click.option("--title", help="A line above the picture.")
@click.option("--caption", help="A line below the title.")
@click.option("--parameters", is_flag=True, help="Say how many parameters there are.")
@click.option("--values", is_flag=True, help="Show in every node the values of its units.")
@click.option("--animate", is_flag=True, help="An SVG that plays the forward pass, then the backward pass.")
@click.option(
    "--engine",
    type=Name(table("draw.engine", "ENGINES")),
    help="Who draws: pygraphviz (carries its own Graphviz) or dot (the program installed here).  "
    "[default: pygraphviz for pdf and png, none for svg]",
)
@sources
@network_options
def render(
    output: str,
    format: str | None,
    loss: str | None,
    param: str | None,
    detail: str,
    highlight: str | None,
    color_by: str | None,
    steps: tuple[int | str, ...],
    every: int | None,
    no_fold: bool,
    theme: str | None,
    title: str | None,
    caption: str | None,
    parameters: bool,
    values: bool,
    animate: bool,
    engine: str | None,
    **model: Any,
) -> None:
    """Draw the unrolled graph: columns are time steps, rows kinds of node; highlight paths.

    Past 20 steps the middle is folded into a box, which every figure still counts.

    \b
      unrollviz render -o unrolled.svg
      unrollviz render --loss L4 --param W --highlight 3 -o path.svg
      unrollviz render --highlight lag:2 --theme dark -o lag.pdf
      unrollviz render --cell lstm --steps 1000 --highlight loss:L1000 -o long.svg
      unrollviz render --color-by share --text hello -o shares.png
      unrollviz render --animate -o slides.svg
      unrollviz render -o page.html
    """
    from unrollviz.draw.colouring import COLOURINGS
    from unrollviz.draw.formats import check, write
    from unrollviz.draw.view import Options, view

    lengths = [step for step in steps if isinstance(step, int)]
    drawn = [step for step in steps if isinstance(step, str)]
    if max(len(lengths), len(drawn)) > 1:
        raise UnrollvizError("--steps is given more than once; give one number T, one range A..B, or one of each")
    asked = Options(
        target=param,
        losses=loss,
        detail=detail,
        color_by=color_by,
        steps=drawn[0] if drawn else None,
        every=every,
        fold=not no_fold,
        theme=theme,
        title=title,
        caption=caption,
        parameters=parameters,
        values=values,
        animate=animate,
        engine=engine,
    )
    form = check(output, format, asked)
    coloured = COLOURINGS[color_by].of if color_by in COLOURINGS else ()
    for flag, given, option in (("--loss", loss, "losses"), ("--param", param, "target")):
        if given and not (highlight or form.lists_paths or option in coloured):
            raise UnrollvizError(f"{flag} chooses among paths; give --highlight or --color-by share too")
    with progress("render:", 3) as step:
        step("unrolling")
        run = build(steps=lengths[0] if lengths else None, **model)
        step("looking for paths")
        shown = view(run, highlight, **asked)
        step("drawing")
        write(shown, output, format)
    say([*_about(shown), f"written: {clean(output)}"])


def _about(view: View) -> list[str]:
    """What is highlighted, in a line."""
    from unrollviz.draw.legend import group_figures
    from unrollviz.report.paths import written

    if view.highlight is None:
        return []
    one = view.highlight.neurons or (written(view.path) if view.path is not None else "")
    said = one or group_figures(view.scene)
    return [f"{view.highlight.words}: {said}"]
