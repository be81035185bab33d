"""unrollviz debug: the debugger in the terminal, and line by line where there is none."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from unrollviz.cli.model import split, unrolled
from unrollviz.cli.options import detail_option, loss_option, model_options, optimizer_options, param_option
from unrollviz.cli.terminal import say, say_notes, waiting
from unrollviz.errors import BadFile, UnrollvizError
from unrollviz.names import clean

if TYPE_CHECKING:
    from unrollviz.debugger.stepper import Stepper
    from unrollviz.experiments import Begun

LINE_LIMIT = 10_000
"""Letters of a command."""


class Instances(click.ParamType[str]):
    """One instance, N, or some of them, A..B, counted from 1."""

    name = "N|A..B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if self.places(str(value)) is None:
            self.fail(f"{clean(str(value))!r} is neither an instance, 3, nor a range such as 1..8.", param, ctx)
        return str(value)

    @staticmethod
    def places(text: str) -> slice | None:
        """Counted from 0; None where there are none."""
        found = re.fullmatch(r"([1-9]\d{0,8})(?:\.\.([1-9]\d{0,8}))?", text.strip())
        if found is None or int(found[2] or found[1]) < int(found[1]):
            return None
        return slice(int(found[1]) - 1, int(found[2] or found[1]))


@click.command(short_help="Step through it in the terminal, forwards and back.")
@loss_option
@param_option
@detail_option
@click.option(
    "--iterations", type=click.IntRange(min=1), metavar="N", help="How many there are with --optimizer.  [default: 200]"
)
@click.option(
    "--instances",
    type=Instances(),
    metavar="A..B",
    help="Of a run's data, in each iteration.  [default: the mini-batch that the run used]",
)
@optimizer_options(None)
@click.option("--no-tour", is_flag=True, help="Without SPEC and options it begins with a tour; leave that out.")
@click.option("--web", is_flag=True, help="Show the same screen in a browser, at http://localhost:PORT.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8000, show_default=True, metavar="PORT", help="Of --web."
)
@click.option("--session", type=click.Path(path_type=Path), metavar="FILE", help="A session that was saved.")
@click.option(
    "--script",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Commands, one a line, in place of keys; - reads them from standard input. The command help lists them.",
)
@model_options
def debug(
    loss: str | None,
    param: str | None,
    detail: str,
    no_tour: bool,
    web: bool,
    port: int,
    session: Path | None,
    script: Path | None,
    **model: Any,
) -> None:
    """Step through the forward and the backward pass in the terminal. Keys: n next, p back, ? help, q quit.

    With --optimizer also through the update, and on into the next iteration. SPEC may be the folder of a run, RUN, or
    RUN@120 for its iteration after 120 updates: then iterations are the run's own, each on its own mini-batch.

    \b
      unrollviz debug --text hello --optimizer adam --lr 0.01 --clip 1
      unrollviz debug run@120
      unrollviz debug run@120 --instances 1

    Where standard input is no terminal, or with --script, commands are read from it, one a line, and answered in plain
    text: echo "continue" | unrollviz debug. A command that fails ends a script with exit code 2.
    """
    from unrollviz.tui.web import in_browser

    if web:
        _serve(_opening(session, loss, param, detail, model), script, port)
        return
    lines = script is not None or not (sys.stdin.isatty() or in_browser())
    if not lines and not (sys.stdout.isatty() or in_browser()):
        raise UnrollvizError("debug needs a terminal; write to one, or give commands with --script FILE")
    if lines:
        with _opened(script) as source:
            stepper = _opening(session, loss, param, detail, model)
            _follow(stepper, source, str(script or "-"))
        return
    from unrollviz import debug as open_debugger

    with waiting():
        begun = _begun(loss, param, model) if session is None else None
        opening = begun.first if begun is not None else _opening(session, loss, param, detail, model)
    say_notes()
    if begun is None:
        sys.exit(open_debugger(opening, tour=not no_tour and not _typed()))
    sys.exit(open_debugger(opening, losses=loss, target=param, detail=detail, begun=begun))


def _begun(loss: str | None, param: str | None, model: dict[str, Any]) -> Begun | None:
    """The beginning of a long run; None where there is none, where what is asked for is not in it, and where there are
    iterations, each of which is a run of its own."""
    from unrollviz.cli.model import begin
    from unrollviz.training import runs

    spec, iterated = model["spec"], (*RULE, "iterations", "instances")
    if any(map(_given, iterated)) or (spec is not None and runs.is_run(split(spec)[0])):
        return None
    begun = begin(**{name: value for name, value in model.items() if name not in iterated})
    asked = [name for name in (loss, param) if name is not None]
    return begun if begun is not None and all(name in begun.first.graph for name in asked) else None


def _serve(checked: Stepper, script: Path | None, port: int) -> None:
    """Serve what has been typed, less --web, once it has proved to open."""
    from unrollviz.tui import web

    if script is not None:
        raise UnrollvizError("--script reads commands line by line and needs no browser; leave out --web")
    del checked
    web.check_installed()
    say([f"http://localhost:{port}  (Ctrl+C ends it)"])
    web.serve(_typed(but=("web", "port")), port)


def _typed(but: Sequence[str] = ()) -> list[str]:
    """The arguments of this command as they were given, without some of them."""
    given = click.get_current_context()
    words: list[str] = []
    for param in given.command.params:
        name = str(param.name)
        if name in but or given.get_parameter_source(name) is click.core.ParameterSource.DEFAULT:
            continue
        value = given.params[name]
        if isinstance(value, dict):
            words += [f"{param.opts[0]}={key}={number!r}" for key, number in value.items()]
        elif isinstance(param, click.Argument):
            words += ["--", str(value)] if str(value).startswith("-") else [str(value)]
        else:
            words.append(param.opts[0] if value is True else f"{param.opts[0]}={value}")
    return words


def _opening(session: Path | None, loss: str | None, param: str | None, detail: str, model: dict[str, Any]) -> Stepper:
    """The session that was saved, or the beginning of what SPEC and the options describe."""
    from unrollviz.arrays import many_objects
    from unrollviz.debugger.session import read

    if session is None:
        with many_objects():
            stepper = _described(model, {"losses": loss, "target": param, "detail": detail})
            gc.freeze()  # the run stays to the end: looking through it for garbage would hold up every key
        return stepper
    given = click.get_current_context()
    asked = [name for name in given.params if name not in ("session", "script", "no_tour", "web", "port")]
    chosen = [name for name in asked if given.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT]
    if chosen:
        raise UnrollvizError(f"--session says all there is to say; leave out {chosen[0].replace('_', '-')}")
    return read(session)


RULE = ("optimizer", "lr", "numbers", "schedule", "clip", "clip_value")
DATA = ("text", "text_file", "data", "sample", "steps")


def _described(model: dict[str, Any], shown: dict[str, Any]) -> Stepper:
    """What SPEC and the options describe: a run's own iterations, iterations by an optimizer, or a single one."""
    from unrollviz.debugger.opening import checked, learning, of_run
    from unrollviz.debugger.stepper import opened
    from unrollviz.training import runs

    rule = {name: model.pop(name) for name in RULE}
    iterations, instances, spec = model.pop("iterations"), model.pop("instances"), model["spec"]
    file, iteration = split(spec) if spec is not None else (None, None)
    if file is not None and runs.is_run(file):
        said = next(
            (name for name, value in (rule | {"iterations": iterations}).items() if _given(name) and value), None
        )
        if said is not None:
            raise UnrollvizError(f"{clean(file.name)} says how it learns; leave out --{said.replace('_', '-')}")
        given = unrolled(**model) if any(model[name] is not None for name in DATA) else None
        if given is not None and instances is not None:
            raise UnrollvizError("--instances chooses among the run's own data; leave it out with other data")
        chosen = None if instances is None else Instances.places(instances)
        return of_run(runs.opened(file, model["max_mib"] * 2**20), iteration, given or chosen, **shown)
    if instances is not None:
        raise UnrollvizError("--instances chooses among the data of a run's folder; give that as SPEC")
    run = unrolled(**model)
    if shown["target"] is not None:
        shown["target"] = run.target_named(shown["target"])
    if rule["optimizer"] is None:
        said = next((name for name in (*RULE, "iterations") if _given(name)), None)
        if said is not None:
            raise UnrollvizError(f"--{said.replace('_', '-')} is about updates; give --optimizer too")
        return opened(run, **shown)
    return learning(run, *checked(iterations, **rule), **shown)


def _given(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is not click.core.ParameterSource.DEFAULT


@contextmanager
def _opened(script: Path | None) -> Iterator[TextIO]:
    """The script, or standard input. Raises BadFile."""
    if script is None or str(script) == "-":
        yield sys.stdin
        return
    try:
        file = script.open(encoding="utf-8")
    except OSError as error:
        raise BadFile(clean(str(script)), f"cannot be read ({error.strerror}); check the path") from error
    with file:
        yield file


def _follow(stepper: Stepper, source: TextIO, name: str) -> None:
    """Obey every line; at a person's terminal errors are said and one goes on, elsewhere they end it.

    Raises UnrollvizError, with the number of the line."""
    from unrollviz.debugger.commands import obey
    from unrollviz.debugger.telling import where

    asking = source.isatty()
    _say([*where(stepper), *(["help lists the commands, quit leaves"] if asking else [])])
    for number, line in enumerate(_lines(source, name, asking), 1):
        try:
            answer = obey(stepper, line)
        except UnrollvizError as error:
            if not asking:
                raise UnrollvizError(f"{clean(name)}, line {number}: {error}") from error
            _say([f"error: {clean(str(error), 2000)}"])
            continue
        stepper = answer.stepper
        _say(answer.lines)
        if answer.leaves:
            return


def _lines(source: TextIO, name: str, asking: bool) -> Iterator[str]:
    while True:
        if asking:
            sys.stdout.write("> ")
            sys.stdout.flush()
        try:
            line = source.readline(LINE_LIMIT + 1)
        except UnicodeDecodeError as error:
            raise BadFile(clean(name), f"is not UTF-8 text (byte {error.start}); convert it first") from error
        if not line:
            return
        if len(line) > LINE_LIMIT:
            raise BadFile(clean(name), f"has a line of more than {LINE_LIMIT:,} letters; write one command a line")
        yield line


def _say(lines: list[str]) -> None:
    say(lines)
    sys.stdout.flush()
