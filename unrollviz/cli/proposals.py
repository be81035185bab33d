"""Commands that the program proposes, completed by what its user has said of the network, the data and the question."""

from __future__ import annotations

import re
import shlex

import click
from click.core import ParameterSource

from unrollviz.cli.options import loss_option, model_options, param_option

_GIVEN = "unrollviz.given"

_PROPOSED = re.compile(r"unrollviz (flow|paths|tree|render|check)\b((?: --[a-z-]+(?: [^\s,;()-][^\s,;()]*)?)*)")


def note_given() -> None:
    """Keep what the command that runs was given of what every command is asked about."""
    context = click.get_current_context()
    kept = {param.name for param in _asked_about.params}
    context.meta[_GIVEN] = {
        "" if isinstance(param, click.Argument) else param.opts[0]: _typed(param, context.params[param.name])
        for param in context.command.params
        if param.name in kept and context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
    }


def completed(text: str, context: click.Context | None = None) -> str:
    """`text` in which every proposed command speaks of the same network, data, loss and parameter but where it names
    others."""
    context = context or click.get_current_context()
    given: dict[str, str] = context.meta.get(_GIVEN, {})
    group = context.find_root().command
    if not given or not isinstance(group, click.Group):
        return text

    def whole(found: re.Match[str]) -> str:
        command = group.get_command(context, found[1])
        known = {"", *(name for param in command.params for name in param.opts)} if command else set()
        said = [words for name, words in given.items() if name in known and name not in found[2].split()]
        return " ".join(["unrollviz", found[1], *said]) + found[2]

    return _PROPOSED.sub(whole, text)


def _typed(param: click.Parameter, value: object) -> str:
    if isinstance(param, click.Argument):
        return shlex.quote(str(value))
    flag = isinstance(param, click.Option) and param.is_flag
    return param.opts[0] if flag else f"{param.opts[0]} {shlex.quote(str(value))}"


@click.command()
@model_options
@loss_option
@param_option
def _asked_about(**_: object) -> None:
    """No command, but the list of the options."""
