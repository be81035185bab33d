"""unrollviz explain: the chain rule, with the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from unrollviz.cli.model import SUFFIXES, build
from unrollviz.cli.options import Name, model_options
from unrollviz.cli.terminal import say
from unrollviz.errors import UnrollvizError
from unrollviz.files import check_writable, write_atomically
from unrollviz.names import clean


@click.command(short_help="The chain rule, in symbols and numbers.")
@click.argument("loss", required=False)
@click.argument("param", required=False)
@click.option(
    "--format", type=Name(lambda: ("text", "latex")), help="text, or latex.  [default: what the file's ending says]"
)
@click.option("--no-numbers", is_flag=True, help="Symbols only.")
@click.option("-o", "--output", metavar="FILE", help="File to write: .tex or .txt.  [default: stdout]")
@model_options
def explain(
    loss: str | None, param: str | None, format: str | None, no_numbers: bool, output: str | None, **model: Any
) -> None:
    """The chain rule for ∂LOSS/∂PARAM, in symbols and numbers. LOSS is L1 … LT, or L for their sum.  [default: L4]

    \b
      unrollviz explain L4 W
      unrollviz explain L V
      unrollviz explain L3 b --text "hello"
      unrollviz explain L9 l1.W_f model.safetensors --data seq.npz
      unrollviz explain L4 W --no-numbers -o derivation.tex
    """
    chosen_format = format or _format_of(output)
    if output is not None:
        check_writable(output)
    words = [word for word in (loss, param, model["spec"]) if word is not None]
    model["spec"] = next((word for word in words if word.endswith((".toml", *SUFFIXES))), None)
    chosen, target, *extra = [*(word for word in words if word != model["spec"]), None, None]
    if any(extra):
        raise UnrollvizError("explain takes a loss, a parameter and a SPEC: explain L4 W model.safetensors")
    run = build(**model)
    losses = run.loss_names()
    first = chosen or ("L4" if "L4" in losses else losses[-1])
    found = run.explain(first, target or run.recurrent_weight, format=chosen_format, numbers=not no_numbers)
    if output is None:
        say(found.splitlines())
        return
    write_atomically(output, f"{found.rstrip()}\n".encode())
    say([f"written: {clean(output)}"])


def _format_of(output: str | None) -> str:
    """The format that the ending of a file means; text where there is no file."""
    if output is None:
        return "text"
    ending = Path(output).suffix.lower()
    if ending not in _ENDINGS:
        raise UnrollvizError(f"{clean(output)}: the ending names the format; choose one of {', '.join(_ENDINGS)}")
    return _ENDINGS[ending]


_ENDINGS = {".txt": "text", ".tex": "latex"}
