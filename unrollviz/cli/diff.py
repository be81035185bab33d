"""unrollviz diff: two gradients taken apart, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from unrollviz.cli.model import described, tell_invented
from unrollviz.cli.options import (
    Name,
    all_of,
    by_option,
    data_options,
    json_option,
    loss_option,
    network_options,
    param_option,
    steps_option,
    table,
)
from unrollviz.cli.terminal import progress, say, say_json
from unrollviz.errors import UnrollvizError
from unrollviz.names import clean

INSTANCES = 64
"""How many instances are compared where nothing is said."""

ROWS = 30

DATA = ("text", "text_file", "data", "sample", "steps")
"""Options of which one says what the sequence is."""

MAKE = ("cell", "hidden", "layers", "bidirectional", "learn_initial", "init")
"""Options that say what network is made, of which a model file has no need."""

of_b = all_of(
    click.option("--text-b", metavar="TEXT", help="B's own text;"),
    click.option("--data-b", type=click.Path(path_type=Path), metavar="FILE.npz", help="its own data;"),
    click.option("--steps-b", type=click.IntRange(min=1), metavar="T", help="its own number of random steps;"),
    click.option("--cell-b", type=Name(table("cells", "CELLS")), help="its own cell;"),
    click.option("--hidden-b", type=int, metavar="D", help="size;"),
    click.option("--activation-b", type=Name(table("ops", "ACTIVATIONS")), help="activation;"),
    click.option("--init-b", type=Name(table("network", "SCHEMES")), help="initial weights;"),
    click.option("--seed-b", type=click.IntRange(min=0), help="seed;"),
    click.option("--param-b", metavar="NAME", help="and what the parameter is called there."),
)


@click.command(short_help="Two gradients side by side: what gained and lost share, and whether by chance.")
@click.argument("a", required=False, metavar="[A]")
@click.argument("b", required=False, metavar="[B]")
@by_option
@click.option(
    "--top", type=click.IntRange(min=1), default=ROWS, show_default=True, help="Rows shown: those that changed most."
)
@click.option(
    "--instances",
    type=click.IntRange(min=1),
    default=INSTANCES,
    show_default=True,
    metavar="B",
    help="The first B instances of the data.",
)
@click.option("-o", "--output", metavar="FILE", help="A picture too: .svg, .png or .pdf.")
@loss_option
@param_option
@of_b
@data_options
@steps_option
@network_options
@json_option
def diff(
    a: str | None,
    b: str | None,
    by: tuple[str, ...],
    top: int,
    instances: int,
    output: str | None,
    loss: str | None,
    param: str | None,
    param_b: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare two gradients: which lags, losses, routes and paths gained share from A to B, and which lost.

    A and B are models, runs' folders (RUN, or RUN@120 after 120 updates), checkpoints or experiments (.toml), on the
    same data; - stands for the network that --cell, --hidden … describe. With one of them, or none, B differs by the
    options that end in -b.

    \b
      unrollviz diff before.safetensors after.safetensors --data seq.npz
      unrollviz diff adding@0 adding@200
      unrollviz diff - adding --sample adding --cell lstm --hidden 16 --by uses:weights,highway
      unrollviz diff elman.toml lstm.toml --param U --param-b U_f --by loss
      unrollviz diff model.npz --data a.npz --data-b b.npz --by route -o diff.svg
      unrollviz diff --text "hello world" --init-b identity

    Where there are several instances, every change has its standard error, and the probability that chance alone would
    make the largest change of any row as large: a permutation test, paired where both sides have the same instances.
    """
    from unrollviz import experiments
    from unrollviz.comparison.compare import diff as compared
    from unrollviz.report.compare import diff_json, diff_text

    other = {key.removesuffix("_b"): options.pop(key) for key in [*options] if key.endswith("_b")}
    other = {key: value for key, value in other.items() if value is not None}
    if b is None and not other and param_b is None:
        raise UnrollvizError(
            "diff compares two; give A and B, or A and what is different in B, as --data-b or --cell-b"
        )
    if output is not None:
        from unrollviz.draw.matplot import check_output

        check_output(output)
    specs = [None if spec == "-" else spec for spec in (a, a if b is None else b)]
    one, two = (_of_side(spec, options, any(map(_made, specs))) for spec in specs)
    if set(other) & set(DATA):
        two |= dict.fromkeys(DATA)
    asked = (described(**one), described(**two | other))
    names = _names(a, b, other)
    with progress("diff", 3) as step:
        runs = []
        for name, (experiment, limit) in zip(names, asked, strict=True):
            step(name)
            tell_invented(experiment)
            runs.append(experiments.run(experiment, limit=limit, instances=instances))
        step("comparing")
        first, second = runs
        found = compared(first, second, param, by=by, losses=loss, param_b=param_b, names=names, top=top)
    if output is not None:
        from unrollviz.draw.beside import write
        from unrollviz.report.compare import beside

        write(beside(found, top), output)
    if as_json:
        say_json(diff_json(found))
        return
    say(diff_text(found, top))
    if output is not None:
        say([f"written: {clean(output)}"])


def _made(spec: str | None) -> bool:
    """Whether the network is made, and not read from a file."""
    return spec is None or spec.endswith(".toml")


def _of_side(spec: str | None, options: dict[str, Any], some_made: bool) -> dict[str, Any]:
    """The options as they go for one side: what network to make is not meant for a model beside one that is made."""
    mine = options | dict.fromkeys(MAKE) if some_made and not _made(spec) else options
    return {"spec": spec, **mine}


def _names(a: str | None, b: str | None, other: dict[str, Any]) -> tuple[str, str]:
    """What the sides are called: by their files, else by what is different in B."""

    def short(spec: str | None) -> str:
        return "as described" if spec in (None, "-") else clean(Path(str(spec)).name, 40)

    if b is not None and short(a) != short(b):
        return short(a), short(b)
    if b is not None:
        return clean(str(a), 60), clean(str(b), 60)
    changed = ", ".join(f"{key.replace('_', '-')} {value}" for key, value in other.items()) or "another parameter"
    return short(a), clean(changed, 40)
