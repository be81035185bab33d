"""unrollviz plot: the figures of a gradient as a plot, in the terminal or in a file."""

from __future__ import annotations

from typing import Any

import click

from unrollviz.cli.model import build, is_spec
from unrollviz.cli.options import Name, json_option, loss_option, model_options, param_option, table
from unrollviz.cli.terminal import progress, say, say_json
from unrollviz.errors import UnrollvizError
from unrollviz.names import clean


@click.command(short_help="Heat map of M[t,k], shares by lag or route, Jacobians: as text or picture.")
@click.argument("name", required=False, metavar="[PLOT]", type=Name(table("plots", "PLOTS")))
@click.option("-o", "--output", metavar="FILE", help="File to write: .svg, .png or .pdf.  [default: text, here]")
@loss_option
@param_option
@click.option("--title", help="A line above the plot.")
@click.option("--theme", type=Name(table("draw.style", "THEMES")), help="light or dark.  [default: light]")
@model_options
@json_option
def plot(
    name: str | None,
    output: str | None,
    loss: str | None,
    param: str | None,
    title: str | None,
    theme: str | None,
    as_json: bool,
    **model: Any,
) -> None:
    """Plot a gradient; without -o as text.  [default: matrix]

    \b
      matrix        heat maps of M[t,k]: norms, signed shares
      lag           how far back the gradient reaches: shares and norms by lag t - k
      loss, entry   the same by the loss step t, by the entry step k
      route         shares by route, and how often paths cross each kind of edge
      jacobians     ‖∂s_t/∂s_{t-1}‖ of every step, and their running product
      cancellation  sums of norms against norms of sums

    \b
      unrollviz plot lag --text "hello world"
      unrollviz plot matrix --cell lstm --steps 100 -o matrix.svg
      unrollviz plot jacobians model.safetensors --data seq.npz -o jacobians.pdf

    Files are drawn by matplotlib: pip install 'unrollviz[plots]'.
    """
    from unrollviz.errors import UnknownName
    from unrollviz.plots import PLOTS

    words = [word for word in (name, model["spec"]) if word is not None]
    model["spec"] = next(filter(is_spec, words), None)
    chosen, *extra = [*(word for word in words if word != model["spec"]), None]
    if chosen is not None and chosen not in PLOTS:
        raise UnknownName("plot", chosen, PLOTS)
    if any(extra):
        raise UnrollvizError(f"plot takes one plot and a SPEC; choose one of {', '.join(PLOTS)}")
    if theme is not None and output is None:
        raise UnrollvizError("--theme is the look of a picture; give -o FILE too")
    if as_json and (output is not None or title is not None):
        raise UnrollvizError("--json prints numbers; leave out -o and --title, which are for pictures and text")
    if output is not None:
        from unrollviz.draw.matplot import check_output

        check_output(output, theme or "light")
    with progress("plot:", 2 if output is None else 3) as step:
        step("unrolling")
        run = build(**model)
        step("sweeping")
        found = run.plotted(chosen or "matrix", param, loss)
        if output is not None:
            from unrollviz.draw.matplot import write

            step("drawing")
            write(found, output, title, theme or "light")
    if output is not None:
        say([f"written: {clean(output)}"])
    elif as_json:
        from unrollviz.report.plot import plot_json

        say_json(plot_json(found))
    else:
        from unrollviz.report.plot import plot_text

        say(plot_text(found, title))
