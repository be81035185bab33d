"""unrollviz demo: the main job, end to end."""

from __future__ import annotations

from typing import Any

import click

from unrollviz.cli.model import build
from unrollviz.cli.options import ROWS, model_options
from unrollviz.cli.terminal import say
from unrollviz.names import clean


@click.command(short_help="Everything once: count, forward pass, paths, their sum, a picture.")
@click.option("-o", "--output", default="unrolled.svg", show_default=True, help="Where the picture goes.")
@model_options
def demo(output: str, **model: Any) -> None:
    """The main job, end to end: unroll, count, forward pass, the paths to W, their sum, a picture."""
    from unrollviz.draw.formats import check, write
    from unrollviz.draw.view import view
    from unrollviz.report.network import parameters_text
    from unrollviz.report.paths import paths_text
    from unrollviz.report.values import forward_text

    check(output)
    run = build(**model)
    names, param = run.loss_names(), run.recurrent_weight
    loss = names[-2] if len(names) > 1 else names[-1]
    paths = run.paths(loss, param)
    chosen = paths[min(2, paths.count - 1)]
    say([_title("1. The parameters", "shared by every step"), *parameters_text(run.network), ""])
    say([_title("2. The forward pass", "what goes in, the states, what comes out, the loss")])
    say([*forward_text(run), ""])
    say([_title(f"3. Every path from {loss} back to {param}", "their terms add up to the gradient")])
    say([*paths_text(run, paths, list(paths[:ROWS])), ""])
    write(view(run, chosen), output)
    say(
        [
            _title("4. The picture", f"path {chosen.rank + 1} is highlighted"),
            f"written: {clean(output)}",
            "",
            _title("Next", ""),
            f"  unrollviz explain {loss} {param}             the same as the chain rule, in symbols and numbers",
            "  unrollviz debug                    step through it, forwards and back",
            f"  unrollviz render --loss {loss} --highlight 1 -o first.svg",
            '  unrollviz flow --text "hello world" --by lag',
            "  unrollviz --help",
        ]
    )


def _title(title: str, words: str) -> str:
    return f"── {title}{'  (' + words + ')' if words else ''}"
