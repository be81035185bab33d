"""The command line: `unrollviz [demo|info|paths|flow|check|explain|render|debug] [options]`.

Heavy modules are imported inside the commands, so that --help and completion answer at once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unrollviz import __version__
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.files import check_writable
from unrollviz.names import clean

if TYPE_CHECKING:
    from unrollviz.api import Run
    from unrollviz.paths import PathSet
    from unrollviz.readers.experiment import Experiment

Options = Callable[[Callable[..., Any]], Callable[..., Any]]

_ROWS = 40


class Commands(click.Group):
    """A group that lists its commands in the order below, and names the nearest where one is mistyped."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            raise UnknownName("command", args[0], self.commands)
        return super().resolve_command(ctx, args)


class Name(click.ParamType[str]):
    """A name from one of the package's tables; checked, with the nearest choice, by whoever looks it up."""

    name = "name"

    def __init__(self, choices: Callable[[], Iterable[str]]) -> None:
        self.choices = choices

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(choice) for choice in self.choices() if choice.startswith(incomplete)]


def _table(module: str, table: str) -> Callable[[], Iterable[str]]:
    def choices() -> Iterable[str]:
        from importlib import import_module

        return list(getattr(import_module(f"unrollviz.{module}"), table))

    return choices


def _all(*options: Options) -> Options:
    """Several options as one decorator, shown in --help in the order given."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


model_options = _all(
    click.argument("spec", required=False, metavar="[SPEC]"),
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
    click.option("--steps", type=click.IntRange(min=1), metavar="T", help="T steps of random numbers."),
    click.option("--cell", type=Name(_table("cells", "CELLS")), help="elman, gru or lstm.  [default: elman]"),
    click.option("--hidden", type=int, metavar="D", help="State units d.  [default: 3; 8 with text or data]"),
    click.option("--layers", type=int, metavar="N", help="Layers on top of each other.  [default: 1]"),
    click.option("--bidirectional", is_flag=True, default=None, help="Every layer reads in both directions."),
    click.option("--learn-initial", is_flag=True, default=None, help="Initial states are parameters."),
    click.option(
        "--activation",
        type=Name(_table("ops", "ACTIVATIONS")),
        help="Of an Elman cell: tanh, relu, sigmoid or identity.  [default: tanh]",
    ),
    click.option(
        "--init",
        type=Name(_table("network", "SCHEMES")),
        help="How weights begin: uniform (±1/√d), xavier, orthogonal or identity.  [default: orthogonal]",
    ),
    click.option("--seed", type=click.IntRange(min=0), help="Of all random numbers.  [default: 0]"),
    click.option(
        "--criterion",
        type=Name(_table("losses", "LOSSES")),
        help="cross_entropy, binary_cross_entropy or squared_error.  [default: cross_entropy]",
    ),
    click.option(
        "--readout", type=Name(_table("unrolled", "READOUTS")), help="every step, or only the last.  [default: every]"
    ),
    click.option(
        "--reduction", type=Name(_table("unrolled", "REDUCTIONS")), help="Over the steps: sum or mean.  [default: sum]"
    ),
    click.option("--rnn", metavar="PREFIX", help="The recurrent module in a file that holds several."),
    click.option("--readout-layer", metavar="NAME", help="The readout layer in a file where several fit."),
    click.option(
        "--max-mib", type=click.IntRange(min=1), default=512, show_default=True, help="What a file may declare to hold."
    ),
)
"""Which network, which sequence and which loss; without any of them, the article's. SPEC is a file."""

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object, numbers in full precision.")
loss_option = click.option("--loss", metavar="L4", help="One loss, L1 … LT.  [default: all of them]")
param_option = click.option(
    "--param", help="U, W, V, b, c; W_f, l2.bwd.W_n; or any other node: s1, x2, a3.  [default: W, of an LSTM W_f]"
)
detail_option = click.option(
    "--detail",
    default="state",
    show_default=True,
    type=Name(_table("graph", "LEVELS")),
    help="Level of detail of paths: state (the article's), gate or op (every primitive).",
)


SUFFIXES = (".npz", ".safetensors", ".pt", ".pth", ".onnx")


def described(
    spec: str | None,
    text: str | None,
    text_file: Path | None,
    data: Path | None,
    steps: int | None,
    seed: int | None,
    criterion: str | None,
    readout: str | None,
    reduction: str | None,
    rnn: str | None,
    readout_layer: str | None,
    max_mib: int,
    **network: Any,
) -> tuple[Experiment, int]:
    """The experiment of SPEC, with what the options say in place of what it says; and the limit of bytes."""
    from dataclasses import replace

    from unrollviz.readers.experiment import DataPart, Experiment, read

    experiment = Experiment()
    if spec is not None and spec.endswith(".toml"):
        experiment = read(spec)
    elif spec is not None:
        experiment = replace(experiment, model=replace(experiment.model, file=Path(spec)))
    chosen: dict[str, Any] = {"text": text, "text_file": text_file, "file": data, "steps": steps}
    given = {key: value for key, value in chosen.items() if value is not None}
    if len(given) > 1:
        named = " and ".join("--data" if key == "file" else f"--{key.replace('_', '-')}" for key in given)
        raise UnrollvizError(f"{named} both say what the sequence is; give one of them")
    asked = {"rnn": rnn, "readout": readout_layer, **network}
    if (rnn or readout_layer) and experiment.model.file is None:
        raise UnrollvizError("--rnn and --readout-layer choose among what a model file holds; give one as SPEC")
    model = replace(experiment.model, **{key: value for key, value in asked.items() if value is not None})
    if model.file is not None:
        for key in ("cell", "hidden", "layers", "bidirectional", "learn_initial", "init"):
            if getattr(model, key) is not None:
                raise UnrollvizError(f"--{key.replace('_', '-')} is what {model.file.name} says; leave it out")
    loss = {"kind": criterion, "readout": readout, "reduction": reduction}
    return (
        Experiment(
            model,
            DataPart(**given) if given else experiment.data,
            replace(experiment.loss, **{key: value for key, value in loss.items() if value is not None}),
            experiment.seed if seed is None else seed,
        ),
        max_mib * 2**20,
    )


def build(**options: Any) -> Run:
    """The network and sequence that SPEC and the options describe, unrolled."""
    from unrollviz import experiments

    experiment, limit = described(**options)
    return experiments.run(experiment, limit=limit)


def say(lines: Iterable[str]) -> None:
    """Print lines to stdout, in ASCII where it knows nothing else."""
    try:
        "∂₄█".encode(sys.stdout.encoding)
    except (UnicodeEncodeError, LookupError):
        from unrollviz.draw.text import ascii_only

        lines = map(ascii_only, lines)
    for line in lines:
        sys.stdout.write(f"{line}\n")


def say_json(value: dict[str, Any]) -> None:
    """Print one JSON object to stdout and nothing else."""
    sys.stdout.write(json.dumps(value, allow_nan=False) + "\n")


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Shell completion: eval "$(_UNROLLVIZ_COMPLETE=bash_source unrollviz)" (or zsh_source, fish_source).',
)
@click.version_option(__version__, prog_name="unrollviz")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """See, step through and take apart backpropagation through time.

    A recurrent network is unrolled into a graph, and its gradient is what it is in the textbook: a sum over every
    path that leads from a loss L_t back to a parameter. SPEC is a model (.safetensors, .npz, .pt, .onnx) or an
    experiment (.toml); without it and without options, every command speaks of the article's network of five steps.
    Without a command, on a terminal: the debugger.

    \b
      unrollviz demo                                 everything once, and a picture
      unrollviz paths --loss L4 --param W            the four paths and their shares
      unrollviz explain L4 W                         the chain rule, with the numbers
      unrollviz flow --text "hello world" --by lag   how far back the gradient reaches
      unrollviz info model.safetensors               what PyTorch has trained
      unrollviz render --loss L4 --highlight 3 -o unrolled.svg
    """
    if ctx.invoked_subcommand is None:
        if sys.stdin.isatty() and sys.stdout.isatty():
            with debug.make_context("debug", [], parent=ctx) as inner:
                debug.invoke(inner)
        else:
            say(ctx.get_help().splitlines())


@cli.command(short_help="Everything once: count, forward pass, paths, their sum, a picture.")
@click.option("-o", "--output", default="unrolled.svg", show_default=True, help="Where the picture goes.")
@model_options
def demo(output: str, **model: Any) -> None:
    """The main job, end to end: unroll, count, forward pass, the paths to W, their sum, a picture."""
    from unrollviz import report

    run = build(**model)
    check_writable(output)
    names, param = run.loss_names(), run.recurrent_weight
    loss = names[-2] if len(names) > 1 else names[-1]
    paths = run.paths(loss, param)
    chosen = paths[min(2, paths.count - 1)]
    say([_title("1. The parameters", "shared by every step"), *report.parameters_text(run.network), ""])
    say([_title("2. The forward pass", "what goes in, the states, what comes out, the loss")])
    say([*report.forward_text(run), ""])
    say([_title(f"3. Every path from {loss} back to {param}", "their terms add up to the gradient")])
    say([*report.paths_text(run, paths, list(paths[:_ROWS])), ""])
    _write_picture(run.draw(chosen), output, "pygraphviz")
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


@cli.command(short_help="The network, its parameters and its graph, counted.")
@model_options
@json_option
def info(as_json: bool, **model: Any) -> None:
    """The network, its parameters term by term, the size of its graph, the losses; what a model file holds."""
    from unrollviz import experiments, report

    experiment, limit = described(**model)
    found = experiments.found_model(experiment, limit)
    if found is not None and experiment.data == type(experiment.data)():
        say_json(report.found_json(found)) if as_json else say(report.found_text(found))
        return
    run = experiments.run(experiment, found, limit)
    if as_json:
        say_json(report.info_json(run))
    else:
        say([*(report.found_lines(found) if found else []), *report.info_text(run)])


@cli.command(short_help="The values of one kind of node, step by step.")
@click.argument("kind")
@model_options
@json_option
def values(kind: str, as_json: bool, **model: Any) -> None:
    """The values of one kind of node at every step: c is the cell state of an LSTM, l2.h the second layer's output.

    \b
      unrollviz values c --cell lstm --text hello
      unrollviz values l1.f model.safetensors --data seq.npz
    """
    from unrollviz import report

    run = build(**model)
    say_json(report.values_json(run, kind)) if as_json else say(report.values_text(run, kind))


@cli.command(short_help="Every path from a loss back to a parameter: norm and share.")
@loss_option
@param_option
@detail_option
@click.option(
    "--limit", type=click.IntRange(min=0), metavar="N", help="List the first N paths.  [default: 40; all in JSON]"
)
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="List the N heaviest paths instead.")
@click.option(
    "--by",
    default="norm",
    show_default=True,
    type=Name(lambda: ("norm", "share")),
    help="What --top ranks by: norm or share.",
)
@click.option("--terms", is_flag=True, help="With --json: every term in full.")
@model_options
@json_option
def paths(
    loss: str | None,
    param: str | None,
    detail: str,
    limit: int | None,
    top: int | None,
    by: str,
    terms: bool,
    as_json: bool,
    **model: Any,
) -> None:
    """Every path from a loss back to a parameter: where it enters, its norm, its share.

    The share is ⟨term, G⟩/⟨G, G⟩, G being the sum of all paths asked for: signed, and 100 % in all. A path's lag is the
    number of steps between its loss and the step at which it enters the parameter.
    """
    from unrollviz import report

    run = build(**model)
    found = run.paths(loss, param or run.recurrent_weight, detail=detail)
    if top is not None:
        listed = found.top(top, by)
    else:
        part = found if limit is None and as_json else found[: _ROWS if limit is None else limit]
        part.check_limit("give --limit N for the first ones, or take them together with unrollviz flow")
        listed = list(part)
    if as_json:
        say_json(report.paths_json(found, listed, terms))
    else:
        say(report.paths_text(run, found, listed))


@cli.command(short_help="The gradient by lag, loss, entry step or both.")
@loss_option
@param_option
@click.option(
    "--by",
    default="lag",
    show_default=True,
    type=Name(_table("sweep", "FOLDS")),
    help="total, loss, entry (step k), lag (t - k), temporal (both: M[t,k]) or path.",
)
@detail_option
@click.option("--limit", type=click.IntRange(min=1), default=_ROWS, show_default=True, help="Rows of the table.")
@click.option(
    "--truncate",
    type=click.IntRange(min=0),
    metavar="STEPS",
    help="Also: how far backpropagation truncated after so many steps is from the true gradient.",
)
@model_options
@json_option
def flow(
    loss: str | None,
    param: str | None,
    by: str,
    detail: str,
    limit: int,
    truncate: int | None,
    as_json: bool,
    **model: Any,
) -> None:
    """The gradient taken apart: how much comes from each loss, each step, each lag, with exact path counts."""
    from unrollviz import report

    run = build(**model)
    found = run.flow(param or run.recurrent_weight, by, loss, detail=detail)
    cut = None if truncate is None else run.truncation(found.target, truncate, loss)
    if as_json:
        say_json(report.flow_json(found, cut))
    else:
        say(report.flow_text(run, found, loss, limit, cut))


@cli.command(short_help="Prove the gradients by four independent methods.")
@click.option("--param", help="One parameter.  [default: all of them]")
@model_options
@json_option
def check(param: str | None, as_json: bool, **model: Any) -> None:
    """Prove the gradients: path sum = reverse sweep = forward mode = central differences. Exit 1 where they differ."""
    from unrollviz import report

    run = build(**model)
    names = [param] if param else list(run.network.params)
    with progress("checking", len(names)) as step:
        found = run.check(names, step)
    if as_json:
        say_json(report.check_json(found))
    else:
        say(report.check_text(found))
    if not found.ok:
        sys.exit(1)


@cli.command(short_help="The chain rule, in symbols and numbers.")
@click.argument("loss", required=False)
@click.argument("param", required=False)
@model_options
def explain(loss: str | None, param: str | None, **model: Any) -> None:
    """The chain rule for ∂LOSS/∂PARAM, in symbols and numbers. LOSS is L1 … LT, or L for their sum.  [default: L4]

    \b
      unrollviz explain L4 W
      unrollviz explain L V
      unrollviz explain L3 b --text "hello"
      unrollviz explain L9 l1.W_f model.safetensors --data seq.npz
    """
    words = [word for word in (loss, param, model["spec"]) if word is not None]
    model["spec"] = next((word for word in words if word.endswith((".toml", *SUFFIXES))), None)
    chosen, target, *extra = [*(word for word in words if word != model["spec"]), None, None]
    if any(extra):
        raise UnrollvizError("explain takes a loss, a parameter and a SPEC: explain L4 W model.safetensors")
    run = build(**model)
    losses = run.loss_names()
    say(run.explain(chosen or ("L4" if "L4" in losses else losses[-1]), target or run.recurrent_weight).splitlines())


@cli.command(short_help="Draw the unrolled graph, one path highlighted.")
@click.option(
    "-o", "--output", default="unrolled.svg", show_default=True, help="File to write: .svg, .png, .pdf or .dot."
)
@loss_option
@param_option
@detail_option
@click.option(
    "--highlight", metavar="PATH", help='A path: its number in "unrollviz paths", or its nodes: L4,yhat4,s4,s3,W.'
)
@click.option(
    "--color-by", type=Name(lambda: ("share",)), help="share: every edge by the share of all paths through it."
)
@click.option(
    "--engine",
    default="pygraphviz",
    show_default=True,
    type=Name(lambda: ("pygraphviz", "dot")),
    help="pygraphviz carries its own Graphviz; dot runs the program installed here.",
)
@click.option("--title", help="A line above the picture.")
@model_options
def render(
    output: str,
    loss: str | None,
    param: str | None,
    detail: str,
    highlight: str | None,
    color_by: str | None,
    engine: str,
    title: str | None,
    **model: Any,
) -> None:
    """Draw the unrolled graph: columns are time steps, rows kinds of node; highlight one path.

    \b
      unrollviz render -o unrolled.svg
      unrollviz render --loss L4 --param W --highlight 3 -o path.svg
      unrollviz render --highlight L4,yhat4,s4,s3,W --detail state -o path.pdf
      unrollviz render --color-by share --text hello -o shares.png
    """
    from unrollviz import report

    check_writable(output)
    run = build(**model)
    if (loss or param) and not (highlight or color_by):
        raise UnrollvizError("--loss and --param choose among paths; give --highlight or --color-by share too")
    target = param or run.recurrent_weight
    path = _chosen_path(run.paths(loss, target, detail=detail), highlight, run, detail) if highlight else None
    picture = run.draw(path, target=target, losses=loss, detail=detail, color_by=color_by, title=title)
    _write_picture(picture, output, engine)
    drawn = [f"path {path.rank + 1} of ∂{loss or 'L'}/∂{target}: {report.written(path)}"] if path else []
    say([*drawn, f"written: {clean(output)}"])


def _chosen_path(paths: PathSet, highlight: str, run: Run, detail: str) -> Any:
    """The path that `highlight` names: by number, from 1, or by its nodes."""
    if not highlight.isdecimal():
        nodes = [name.strip() for name in highlight.split(",")]
        if nodes[0] not in run.loss_names():
            raise UnrollvizError(
                f"--highlight '{highlight}' is no path; give its number in unrollviz paths, or all its nodes from the "
                f"loss back: {','.join(paths.nodes(0)) if paths.count else 'L4,yhat4,s4,s3,W'}"
            )
        return run.paths(nodes[0], nodes[-1], detail=detail).find(nodes)
    if not 1 <= int(highlight) <= paths.count:
        raise UnrollvizError(f"there is no path {highlight}; give a number from 1 to {paths.count:,}")
    return paths[int(highlight) - 1]


def _write_picture(picture: Any, output: str, engine: str) -> None:
    from unrollviz.draw.engine import write

    write(picture.source, output, engine=engine)


@cli.command(short_help="Step through it in the terminal, forwards and back.")
@loss_option
@param_option
@detail_option
@model_options
def debug(loss: str | None, param: str | None, detail: str, **model: Any) -> None:
    """Step through the forward and the backward pass in the terminal. Keys: n next, p back, ? help, q quit."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UnrollvizError("debug needs a terminal; run it without a pipe, or use unrollviz explain L4 W")
    from unrollviz import debug as open_debugger

    run = build(**model)
    sys.exit(open_debugger(run, losses=loss, target=param or run.recurrent_weight, detail=detail))


@contextmanager
def progress(words: str, steps: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on stderr, where stderr is a terminal; gives what is to be called before each step."""
    if not sys.stderr.isatty():
        yield lambda name: None
        return
    with click.progressbar(length=steps, label=words, file=sys.stderr) as shown:
        done = iter(range(steps))

        def step(name: str) -> None:
            shown.label = f"{words} {name}"
            shown.update(0 if next(done, 0) == 0 else 1)

        yield step
        shown.update(1)


def main() -> None:
    """Run the command line: errors are one line on stderr and exit 2, an interrupt exits 130."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        code = cli.main(prog_name="unrollviz", standalone_mode=False)
    except UnrollvizError as error:
        code = _fail(str(error))
    except click.ClickException as error:
        code = _fail(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        code = 128 + signal.SIGINT
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> int:
    sys.stderr.write(f"unrollviz: error: {clean(message, limit=2000)}\n")
    return 2


if __name__ == "__main__":
    main()
