"""unrollviz info: the network and its graph, counted."""

from __future__ import annotations

from typing import Any

import click

from unrollviz.cli.model import asked
from unrollviz.cli.options import json_option, model_options
from unrollviz.cli.terminal import say, say_json, waiting


@click.command(short_help="The network, its parameters and its graph, counted.")
@model_options
@json_option
def info(as_json: bool, **model: Any) -> None:
    """The network, its parameters term by term, the size of its graph, the losses; what a model file holds."""
    from unrollviz import experiments
    from unrollviz.report.network import found_json, found_lines, found_text, info_json, info_text

    experiment, limit = asked(**model)
    found = experiments.found_model(experiment, limit)
    if found is not None and experiment.data == type(experiment.data)():
        say_json(found_json(found)) if as_json else say(found_text(found))
        return
    with waiting():
        run = experiments.run(experiment, found, limit)
    if as_json:
        say_json(info_json(run))
    else:
        say([*(found_lines(found) if found else []), *info_text(run)])
