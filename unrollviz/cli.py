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
from typing import TYPE_CHECKING, Any

import click

from unrollviz import __version__
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.files import check_writable
from unrollviz.names import clean

if TYPE_CHECKING:
    from unrollviz.api import Run
    from unrollviz.paths import PathSet

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
    click.option("--text", metavar="TEXT", help='Predict each next letter of TEXT; "hello" has T = 4 steps.'),
    click.option("--text-file", metavar="FILE", help="The same with the contents of a UTF-8 text file."),
    click.option("--data", metavar="FILE.npz", help="Arrays xs and targets (and initial, the state s0)."),
    click.option("--cell", default="elman", show_default=True, type=Name(_table("cells", "CELLS")), help="elman."),
    click.option("--hidden", type=int, metavar="D", help="State units d.  [default: 3; 8 with text or data]"),
    click.option(
        "--activation",
        default="tanh",
        show_default=True,
        type=Name(_table("ops", "ACTIVATIONS")),
        help="tanh, relu, sigmoid or identity.",
    ),
    click.option(
        "--init",
        "scheme",
        default="orthogonal",
        show_default=True,
        type=Name(_table("network", "SCHEMES")),
        help="How weights begin: uniform (±1/√d), xavier, orthogonal or identity.",
    ),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all random numbers."),
)
"""Which network and which sequence; without any of them, the article's."""

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object, numbers in full precision.")
loss_option = click.option("--loss", metavar="L4", help="One loss, L1 … LT.  [default: all of them]")
param_option = click.option(
    "--param", default="W", show_default=True, help="U, W, V, b, c, or any other node: s1, x2, a3."
)
detail_option = click.option(
    "--detail",
    default="state",
    show_default=True,
    type=Name(_table("graph", "LEVELS")),
    help="Level of detail of paths: state (the article's) or op (every primitive).",
)


def build(
    text: str | None,
    text_file: str | None,
    data: str | None,
    cell: str,
    hidden: int | None,
    activation: str,
    scheme: str,
    seed: int,
) -> Run:
    """The network and sequence that the options describe, unrolled."""
    import numpy as np

    from unrollviz import Network, article, spell, unroll
    from unrollviz.readers.sequence import read_npz, read_text

    given = [
        name for name, value in (("--text", text), ("--text-file", text_file), ("--data", data)) if value is not None
    ]
    if len(given) > 1:
        raise UnrollvizError(f"{' and '.join(given)} both say what the sequence is; give one of them")
    if not given:
        return article(3 if hidden is None else hidden, activation, seed, cell, scheme)
    units = 8 if hidden is None else hidden
    if data is not None:
        arrays = read_npz(data)
        sizes = [_width(arrays[name]) for name in ("xs", "targets")]
        network = Network.init(cell, sizes[0], units, sizes[1], activation, seed, scheme)
        return unroll(network, arrays["xs"], arrays["targets"], initial=arrays.get("initial"))
    spelling = spell(read_text(text_file) if text_file is not None else str(text))
    letters = len(spelling.vocabulary)
    network = Network.init(cell, letters, units, letters, activation, seed, scheme)
    return unroll(network, np.asarray(spelling.xs), np.asarray(spelling.targets), vocabulary=spelling.vocabulary)


def _width(array: Any) -> int:
    """n or k: the last axis of floats, one more than the largest of ids; 1 where `unroll` will refuse the array."""
    if array.dtype.kind in "iu" and array.ndim <= 2:
        return max(1, int(array.max(initial=0)) + 1)
    return max(1, array.shape[-1]) if array.ndim else 1


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
    path that leads from a loss L_t back to a parameter. Without options, every command speaks of the article's
    network of five steps. Without a command, on a terminal: the debugger.

    \b
      unrollviz demo                                 everything once, and a picture
      unrollviz paths --loss L4 --param W            the four paths and their shares
      unrollviz explain L4 W                         the chain rule, with the numbers
      unrollviz flow --text "hello world" --by lag   how far back the gradient reaches
      unrollviz render --loss L4 --highlight 3 -o unrolled.svg
    """
    if ctx.invoked_subcommand is None:
        if sys.stdin.isatty() and sys.stdout.isatty():
            ctx.invoke(debug, **{param.name: param.get_default(ctx) for param in debug.params if param.name})
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
    loss = f"L{max(1, run.steps - 1)}"
    paths = run.paths(loss, "W")
    chosen = paths[min(2, paths.count - 1)]
    say([_title("1. The parameters", "dn + d² + kd + d + k, shared by every step"), *report.parameters_text(run), ""])
    say([_title("2. The forward pass", "s_t = act(U x_t + W s_t-1 + b), ŷ_t = softmax(V s_t + c)")])
    say([*report.forward_text(run), ""])
    say([_title(f"3. Every path from {loss} back to W", "their terms add up to the gradient")])
    say([*report.paths_text(run, paths, list(paths[:_ROWS])), ""])
    _write_picture(run.draw(chosen), output, "pygraphviz")
    say(
        [
            _title("4. The picture", f"path {chosen.rank + 1} is highlighted"),
            f"written: {clean(output)}",
            "",
            _title("Next", ""),
            f"  unrollviz explain {loss} W             the same as the chain rule, in symbols and numbers",
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
    """The network, its parameters term by term, the size of its graph, the losses."""
    from unrollviz import report

    run = build(**model)
    if as_json:
        say_json(report.info_json(run))
    else:
        say(report.info_text(run))


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
    param: str,
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
    found = run.paths(loss, param, detail=detail)
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
@model_options
@json_option
def flow(loss: str | None, param: str, by: str, detail: str, limit: int, as_json: bool, **model: Any) -> None:
    """The gradient taken apart: how much comes from each loss, each step, each lag, with exact path counts."""
    from unrollviz import report

    run = build(**model)
    found = run.flow(param, by, loss, detail=detail)
    if as_json:
        say_json(report.flow_json(found))
    else:
        say(report.flow_text(found, loss or "L", limit))


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
@click.argument("loss", default="L4")
@click.argument("param", default="W")
@model_options
def explain(loss: str, param: str, **model: Any) -> None:
    """The chain rule for ∂LOSS/∂PARAM, in symbols and numbers. LOSS is L1 … LT, or L for their sum.

    \b
      unrollviz explain L4 W
      unrollviz explain L V
      unrollviz explain L3 b --text "hello"
    """
    say(build(**model).explain(loss, param).splitlines())


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
    param: str,
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
    check_writable(output)
    run = build(**model)
    path = _chosen_path(run.paths(loss, param, detail=detail), highlight, run, detail) if highlight else None
    picture = run.draw(path, target=param, losses=loss, detail=detail, color_by=color_by, title=title)
    _write_picture(picture, output, engine)
    say([f"written: {clean(output)}"])


def _chosen_path(paths: PathSet, highlight: str, run: Run, detail: str) -> Any:
    """The path that `highlight` names: by number, from 1, or by its nodes."""
    if not highlight.isdecimal():
        nodes = [name.strip() for name in highlight.split(",")]
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
def debug(loss: str | None, param: str, detail: str, **model: Any) -> None:
    """Step through the forward and the backward pass in the terminal. Keys: n next, p back, ? help, q quit."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UnrollvizError("debug needs a terminal; run it without a pipe, or use unrollviz explain L4 W")
    from unrollviz import debug as open_debugger

    sys.exit(open_debugger(build(**model), losses=loss, target=param, detail=detail))


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
