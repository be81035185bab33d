"""unrollviz explain: the chain rule, with the numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from unrollviz.cli.model import build, is_spec
from unrollviz.cli.options import Name, loss_option, model_options, param_option
from unrollviz.cli.terminal import say
from unrollviz.errors import UnrollvizError
from unrollviz.files import check_writable, write_atomically
from unrollviz.names import clean


@click.command(short_help="The chain rule, in symbols and numbers.")
@click.argument("first", required=False, metavar="[LOSS]")
@click.argument("second", required=False, metavar="[PARAM]")
@loss_option
@param_option
@click.option(
    "--format", type=Name(lambda: ("text", "latex")), help="text, or latex.  [default: what the file's ending says]"
)
@click.option("--no-numbers", is_flag=True, help="Symbols only.")
@click.option("-o", "--output", metavar="FILE", help="File to write: .tex or .txt.  [default: stdout]")
@model_options
def explain(
    first: str | None,
    second: str | None,
    loss: str | None,
    param: str | None,
    format: str | None,
    no_numbers: bool,
    output: str | None,
    **model: Any,
) -> None:
    """The chain rule for ∂LOSS/∂PARAM, in symbols and numbers. LOSS is L1 … LT, or L for their sum.  [default: L4]

    Both may be said by --loss and --param instead.

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
    words = [word for word in (first, second, model["spec"]) if word is not None]
    model["spec"] = next(filter(is_spec, words), None)
    asked = _asked([word for word in words if word != model["spec"]], loss, param)
    run = build(**model)
    losses = run.loss_names()
    chosen = asked[0] or ("L4" if "L4" in losses else losses[-1])
    found = run.explain(chosen, asked[1] or run.recurrent_weight, format=chosen_format, numbers=not no_numbers)
    if output is None:
        say(found.splitlines())
        return
    write_atomically(output, f"{found.rstrip()}\n".encode())
    say([f"written: {clean(output)}"])


def _asked(words: list[str], loss: str | None, param: str | None) -> tuple[str | None, str | None]:
    """The loss and the parameter, by their places or by --loss and --param, where a word may say the same again.

    Raises UnrollvizError where they contradict each other."""
    for said, option in ((loss, "--loss"), (param, "--param")):
        other = len(words) == 2 or (option == "--loss" and any(re.fullmatch(r"L\d*", word) for word in words))
        if said is not None and other and said not in words:
            raise UnrollvizError(f"{' '.join(words)} and {option} {said} both say what to explain; leave one out")
    left = [word for word in words if word not in (loss, param)]
    asked = [left.pop(0) if said is None and left else said for said in (loss, param)]
    if left:
        raise UnrollvizError(
            f"{clean(left[0])} is one too many; explain takes a loss, a parameter and a SPEC: explain L4 W model.npz"
        )
    return asked[0], asked[1]


def _format_of(output: str | None) -> str:
    """The format that the ending of a file means; text where there is no file."""
    if output is None:
        return "text"
    ending = Path(output).suffix.lower()
    if ending not in _ENDINGS:
        raise UnrollvizError(f"{clean(output)}: the ending names the format; choose one of {', '.join(_ENDINGS)}")
    return _ENDINGS[ending]


_ENDINGS = {".txt": "text", ".tex": "latex"}
