"""The command line: `unrollviz COMMAND [SPEC] [options]`; one file a command, listed in `COMMANDS`.

Heavy modules are imported inside the commands, so that --help and completion answer at once.
"""

from __future__ import annotations

import errno
import io
import signal
import sys
from importlib import import_module

import click

from unrollviz import __version__
from unrollviz.cli.terminal import leave_stdout, say
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.names import clean

COMMANDS = (
    "demo",
    "learn",
    "info",
    "values",
    "paths",
    "flow",
    "tree",
    "check",
    "diagnose",
    "explain",
    "plot",
    "render",
    "debug",
    "train",
    "history",
    "diff",
)
"""In the order of --help. A command is the function of that name in the file of that name."""


class Commands(click.Group):
    """The commands in that order, imported when they are called; and the nearest where one is mistyped."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except UnrollvizError as error:
            from unrollviz.cli.proposals import completed

            error.args = (completed(str(error), ctx),)
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(f"unrollviz.cli.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            raise UnknownName("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


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
    path that leads from a loss L_t back to a parameter. SPEC is a model (.safetensors, .npz, .pt, .onnx), a run's
    folder (RUN, or RUN@120 after 120 updates) or an experiment (.toml); without it and without options, every command
    speaks of the article's network of five steps. Without a command, on a terminal: the debugger.

    \b
      unrollviz demo                                 everything once, and a picture
      unrollviz paths --loss L4 --param W            the four paths and their shares
      unrollviz explain L4 W                         the chain rule, with the numbers
      unrollviz flow --text "hello world" --by lag   how far back the gradient reaches
      unrollviz info model.safetensors               what PyTorch has trained
      unrollviz diagnose model.safetensors           why it does not learn
      unrollviz render --loss L4 --highlight 3 -o unrolled.svg
    """
    if ctx.invoked_subcommand is None:
        if sys.stdin.isatty() and sys.stdout.isatty():
            from unrollviz.cli.debug import debug

            with debug.make_context("debug", [], parent=ctx) as inner:
                debug.invoke(inner)
        else:
            say(ctx.get_help().splitlines())


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

DIGITS = 100_000
"""Of a number read or written: an LSTM of 11,000 steps has more paths than the 4,300 digits that Python allows."""


def main() -> None:
    """Run the command line: errors are one line on stderr and exit 2, an interrupt exits 130."""
    if sys.stdin is None:  # closed by whoever started us: as good as empty
        sys.stdin = io.StringIO()
    sys.stdout = sys.stdout or io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    sys.stderr = sys.stderr or io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    sys.set_int_max_str_digits(DIGITS)
    try:
        code = cli.main(prog_name="unrollviz", standalone_mode=False)
    except UnrollvizError as error:
        code = _fail(str(error))
    except click.ClickException as error:
        code = _fail(error.format_message())
    except OSError as error:  # of files BadFile tells: this is of a stream, which has no name
        if error.filename is not None or error.errno not in _FULL:
            raise
        leave_stdout()
        code = _fail(f"the output cannot be written: {error.strerror or error}; write elsewhere")
    except MemoryError:
        code = _fail("this takes more memory than there is; give fewer steps, instances or units")
    except (click.Abort, KeyboardInterrupt):
        code = 128 + signal.SIGINT
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> int:
    sys.stderr.write(f"unrollviz: error: {clean(message, limit=2000)}\n")
    return 2
