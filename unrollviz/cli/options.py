"""The options that commands share, and names that complete themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from unrollviz.errors import UnrollvizError

ROWS = 40
"""Rows of a table where no limit is given."""

Options = Callable[[Callable[..., Any]], Callable[..., Any]]


class Name(click.ParamType[str]):
    """A name from one of the package's tables; checked, with the nearest choice, by whoever looks it up."""

    name = "name"

    def __init__(self, choices: Callable[[], Iterable[str]]) -> None:
        self.choices = choices

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(choice) for choice in self.choices() if choice.startswith(incomplete)]


def table(module: str, table: str) -> Callable[[], Iterable[str]]:
    def choices() -> Iterable[str]:
        from importlib import import_module

        return list(getattr(import_module(f"unrollviz.{module}"), table))

    return choices


def all_of(*options: Options) -> Options:
    """Several options as one decorator, shown in --help in the order given."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


steps_option = click.option("--steps", type=click.IntRange(min=1), metavar="T", help="T steps of random numbers.")
data_options = all_of(
    click.option("--text", metavar="TEXT", help='Predict each next letter of TEXT; "hello" has T = 4 steps.'),
    click.option(
        "--text-file", type=click.Path(path_type=Path), metavar="FILE", help="The same with a UTF-8 text file."
    ),
    click.option(
        "--data",
        type=click.Path(path_type=Path),
        metavar="FILE.npz",
        help="Arrays xs and targets; lengths, weights and initial states (initial; h0, l2.c0) if you like.",
    ),
    click.option(
        "--sample",
        type=Name(table("samples", "SAMPLES")),
        help="Shipped data: names, sunspots or adding (the adding problem).",
    ),
)
sources = all_of(click.argument("spec", required=False, metavar="[SPEC]"), data_options)
network_options = all_of(
    click.option("--cell", type=Name(table("cells", "CELLS")), help="elman, gru or lstm.  [default: elman]"),
    click.option("--hidden", type=int, metavar="D", help="State units d.  [default: 8; 3 of the article's network]"),
    click.option("--layers", type=int, metavar="N", help="Layers on top of each other.  [default: 1]"),
    click.option("--bidirectional", is_flag=True, default=None, help="Every layer reads in both directions."),
    click.option("--learn-initial", is_flag=True, default=None, help="Initial states are parameters."),
    click.option(
        "--activation",
        type=Name(table("ops", "ACTIVATIONS")),
        help="Of an Elman cell: tanh, relu, sigmoid or identity.  [default: tanh]",
    ),
    click.option(
        "--init",
        type=Name(table("network", "SCHEMES")),
        help="How weights begin: uniform (±1/√d, as Network.init and PyTorch), xavier, orthogonal or identity.  "
        "[default: orthogonal]",
    ),
    click.option("--seed", type=click.IntRange(min=0), help="Of all random numbers.  [default: 0]"),
    click.option(
        "--criterion",
        type=Name(table("losses", "LOSSES")),
        help="cross_entropy, binary_cross_entropy or squared_error.  [default: cross_entropy]",
    ),
    click.option(
        "--readout", type=Name(table("batch", "READOUTS")), help="every step, or only the last.  [default: every]"
    ),
    click.option(
        "--reduction", type=Name(table("batch", "REDUCTIONS")), help="Over the steps: sum or mean.  [default: sum]"
    ),
    click.option("--rnn", metavar="PREFIX", help="The recurrent module in a file that holds several."),
    click.option("--readout-layer", metavar="NAME", help="The readout layer in a file where several fit."),
    click.option(
        "--max-mib", type=click.IntRange(min=1), default=512, show_default=True, help="What a file may declare to hold."
    ),
)
model_options = all_of(sources, steps_option, network_options)
"""Which network, which sequence and which loss; without any of them, the article's. SPEC is a file."""

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object, numbers in full precision.")

by_option = click.option(
    "--by",
    default=["lag"],
    show_default="lag",
    multiple=True,
    type=Name(lambda: [*table("sweep", "FOLDS")(), "route", "uses", "path"]),
    help="total, loss, entry (step k), lag (t - k), temporal (M[t,k]), route, uses, path. Give it twice for a product.",
)


def summed(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> str | None:
    """`--loss L3 --loss L4` as `L3+L4`, which is how their sum is written everywhere; None where there is none."""
    return "+".join(given) or None


loss_option = click.option(
    "--loss",
    multiple=True,
    callback=summed,
    metavar="L4",
    help="One of L1 … LT; given twice, their sum.  [default: L, the sum of all]",
)
param_option = click.option(
    "--param", help="U, W, V, b, c; W_f, l2.bwd.W_n; or any other node: s1, x2, a3.  [default: W, of an LSTM W_f]"
)
detail_option = click.option(
    "--detail",
    default="state",
    show_default=True,
    type=Name(table("graph", "LEVELS")),
    help="Level of detail of paths: state (the article's), gate or op (every primitive).",
)
unit_detail_option = click.option(
    "--detail",
    default="state",
    show_default=True,
    type=Name(lambda: [*table("graph", "LEVELS")(), "unit"]),
    help="Level of detail: state (the article's), gate, op (every primitive) or unit (from neuron to neuron).",
)


def numbers(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, float]:
    """`momentum=0.95` … by name."""
    found = {}
    for one in given:
        name, _equals, value = one.partition("=")
        try:
            found[name] = float(value)
        except ValueError as error:
            raise UnrollvizError(f"--number {one}: give a name and a number, momentum=0.95") from error
    return found


def optimizer_options(optimizer: str | None) -> Options:
    """What becomes of a gradient; with the optimizer that it is where none is given."""
    usual = "" if optimizer is None else f"  [default: {optimizer}]"
    return all_of(
        click.option(
            "--optimizer",
            default=optimizer,
            type=Name(table("optim", "OPTIMIZERS")),
            help=f"gradient_descent, momentum, nesterov, rmsprop, adagrad, adam or adamw.{usual}",
        ),
        click.option("--lr", type=float, metavar="η", help="Learning rate.  [default: 0.1; of Adam and RMSProp 0.01]"),
        click.option(
            "--number",
            "numbers",
            multiple=True,
            callback=numbers,
            metavar="NAME=X",
            help="One of the optimizer's own: momentum=0.95, beta2=0.99, decay=0.1.",
        ),
        click.option(
            "--schedule",
            default="constant",
            show_default=True,
            type=Name(table("optim", "SCHEDULES")),
            help="Of the learning rate: constant, linear, cosine, exponential, steps or warmup.",
        ),
        click.option("--clip", type=float, metavar="NORM", help="Clip the gradient of all parameters to this norm."),
        click.option("--clip-value", type=float, metavar="X", help="Clip every entry of the gradient to ±X."),
    )


def _allow(name: str, unit: int) -> Callable[[click.Context, click.Parameter, float | None], None]:
    """Raises a limit until the command has ended."""

    def callback(ctx: click.Context, _: click.Parameter, given: float | None) -> None:
        from unrollviz.allowance import limits

        if given is not None:
            ctx.with_resource(limits(**{name: int(given * unit)}))

    return callback


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What raises the limits of listing and of memory."""
    for option in (
        click.option(
            "--max-gib",
            type=click.FloatRange(min=0, min_open=True),
            metavar="G",
            expose_value=False,
            callback=_allow("memory", 2**30),
            help="Memory that may be taken.  [default: 1]",
        ),
        click.option(
            "--max-paths",
            type=click.IntRange(min=1),
            metavar="N",
            expose_value=False,
            callback=_allow("paths", 1),
            help="Paths that may be listed.  [default: 1000000]",
        ),
    ):
        command = option(command)
    return command
