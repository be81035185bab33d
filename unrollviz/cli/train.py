"""unrollviz train: the whole algorithm, with a history of where the gradient came from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unrollviz.cli.model import parts
from unrollviz.cli.options import Name, json_option, model_options, optimizer_options, table
from unrollviz.cli.terminal import say, say_json
from unrollviz.errors import UnrollvizError

if TYPE_CHECKING:
    from unrollviz.training.state import State, Training


@click.command(short_help="Learn: optimizers, clipping, checkpoints, and a history of the gradient.")
@click.option("--epochs", type=int, default=10, show_default=True, help="How often every instance is seen.")
@optimizer_options("adam")
@click.option("--batch", type=int, default=32, show_default=True, help="Instances of a mini-batch.")
@click.option("--validation", type=float, default=0.0, metavar="PART", help="Keep this part for validation: 0.1.")
@click.option("--patience", type=int, metavar="N", help="Stop after N epochs without a better validation loss.")
@click.option(
    "--gradient",
    default="sweep",
    show_default=True,
    type=Name(table("training.state", "GRADIENTS")),
    help="By one reverse sweep, or as the sum over explicit paths: the same numbers.",
)
@click.option(
    "--watch", multiple=True, metavar="PARAM", help="Whose gradient the history shows.  [default: W, W_f, W_n]"
)
@click.option(
    "--every", type=int, metavar="N", help="Updates between records; 0 for none.  [default: ≤ 10 % of the time]"
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where checkpoints, the history and the trained model go.",
)
@click.option(
    "--save-every",
    type=int,
    metavar="N",
    help="Updates between checkpoints that survive a power cut.  [default: so many that they take 5 % of the time]",
)
@click.option(
    "--keep-mib",
    type=click.IntRange(min=0),
    metavar="MIB",
    help="Room for the parameters at the history's records, which debug FOLDER@N opens.  [default: 256]",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in FOLDER; repeat the other options.")
@model_options
@json_option
def train(
    output: Path | None, save_every: int | None, keep_mib: int | None, resume: bool, as_json: bool, **options: Any
) -> None:
    """Train a network: every parameter is updated by its gradient, one mini-batch after the other.

    \b
      unrollviz train --text "hello world" --epochs 50
      unrollviz train --sample adding --cell lstm --hidden 16 --epochs 20 --clip 1 -o adding
      unrollviz history adding                            how its gradient's reach changed
      unrollviz flow adding/model.safetensors --steps 30  the trained network, in any other command
      unrollviz diff adding@0 adding@200                  two moments of it side by side
      unrollviz debug adding@120                          step through one of its iterations

    A run that is broken off, by Ctrl-C, kill -9 or a power cut, goes on with --resume and gives the same numbers as
    one that never was. FOLDER@120 is the run after 120 updates, wherever a model may stand. The history looks at the
    same few instances every N updates: how far back the gradient reaches, through which routes, how much of it
    cancels.
    """
    from unrollviz.report.train import train_json, train_text
    from unrollviz.training.learning import train as learn
    from unrollviz.training.records import LIMIT_MIB

    names = ("epochs", "optimizer", "lr", "numbers", "schedule", "clip", "clip_value", "batch", "validation")
    settings = {name: options.pop(name) for name in (*names, "patience", "gradient", "watch", "every")}
    for option, given in (("--resume", resume), ("--save-every", save_every), ("--keep-mib", keep_mib)):
        if given is not None and given is not False and output is None:
            raise UnrollvizError(f"{option} is about the checkpoints in a folder; name it with -o")
    network, sequence, seed = parts(**options)
    with bar() as progress:
        trained = learn(
            network,
            (sequence.xs, sequence.targets),
            folder=output,
            resume=resume,
            save_every=save_every,
            progress=progress,
            seed=seed,
            keep_mib=LIMIT_MIB if keep_mib is None else keep_mib,
            **settings,
            **sequence.options,
        )
    if as_json:
        say_json(train_json(trained))
    else:
        say(train_text(trained))


@contextmanager
def bar() -> Iterator[Callable[[Training, State], None]]:
    """A progress bar on stderr, where that is a terminal: loss, norm of the gradient, reach."""
    if not sys.stderr.isatty():
        yield lambda training, state: None
        return
    from unrollviz.draw.text import number

    shown: list[Any] = []
    done = 0

    def step(training: Training, state: State) -> None:
        nonlocal done
        if not shown:
            shown.append(click.progressbar(length=training.updates, file=sys.stderr, show_pos=True).__enter__())
        if state.updates:
            reach = "" if state.history is None else f" reach {int(state.history.reach()[-1, 0])}"
            shown[0].label = f"loss {number(state.loss)} ‖g‖ {number(state.norm)}{reach}"
        shown[0].update(state.updates - done)
        done = state.updates

    try:
        yield step
    finally:
        for one in shown:
            one.render_finish()
