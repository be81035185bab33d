"""The debugger in lines: a command in, lines of text out. One table, from which the help is made."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from unrollviz.counts import integer
from unrollviz.debugger import picture, session, telling, telling_iterations
from unrollviz.debugger import stepper as go
from unrollviz.debugger.breakpoints import CONDITIONS
from unrollviz.debugger.expressions import FUNCTIONS, QUANTITIES
from unrollviz.debugger.stepper import Stepper
from unrollviz.debugger.timeline import UNITS
from unrollviz.debugger.whatif import FORMS
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.graph import node_named
from unrollviz.names import clean
from unrollviz.paths.path import Path


class BadCommand(UnrollvizError):
    """A command with arguments that it does not take; the message says what it takes."""


@dataclass(frozen=True)
class Answer:
    """What comes of a command: the stepper behind it, what is to be said, and whether this was the last one."""

    stepper: Stepper
    lines: list[str]
    leaves: bool = False


Do: TypeAlias = Callable[[Stepper, str], Answer]


@dataclass(frozen=True)
class Command:
    """A command: its name and short forms, its arguments as they are written in the help, what it does."""

    names: tuple[str, ...]
    arguments: str
    help: str
    do: Do


def obey(stepper: Stepper, line: str) -> Answer:
    """Do what a line says; nothing for an empty one or a comment (`#`).

    Raises UnknownName, with the nearest command, and whatever UnrollvizError its work ends with; `stepper` is as good
    as before in any case.
    """
    name, _, arguments = line.strip().partition(" ")
    if not name or name.startswith("#"):
        return Answer(stepper, [])
    if name not in BY_NAME:
        raise UnknownName("command", clean(name), BY_NAME)
    return BY_NAME[name].do(stepper, arguments.strip())


def _number(text: str, what: str, default: int | None = None) -> int:
    if not text and default is not None:
        return default
    if not re.fullmatch(r"\d{1,9}", text):
        raise BadCommand(f"'{clean(text)}' is no {what}; give a whole number")
    return int(text)


def _moved(stepper: Stepper, unit: str, by: int) -> Answer:
    after = go.moved(stepper, unit, by)
    if (after.iteration, after.cursor) == (stepper.iteration, stepper.cursor):
        return Answer(stepper, [f"this is the {'end' if by > 0 else 'start'}", *telling.where(stepper)])
    return _there(after)


def _there(stepper: Stepper) -> Answer:
    return Answer(stepper, telling.where(stepper))


def _where(stepper: Stepper, arguments: str) -> Answer:
    return _there(replace(stepper, before=stepper.cursor, earlier=None))


def _mover(sign: int, unit: str = "") -> Do:
    """Moves N units; where none is fixed, the last argument may name one."""

    def do(stepper: Stepper, arguments: str) -> Answer:
        parts, by = arguments.split(), unit or "event"
        if not unit and parts and not parts[-1].isdigit():
            by = parts.pop()
        if len(parts) > 1:
            raise BadCommand(f"'{clean(arguments)}': give a number and one of {', '.join(UNITS)}")
        return _moved(stepper, by, sign * _number("".join(parts), "number", 1))

    return do


def _go_to(stepper: Stepper, arguments: str) -> Answer:
    if re.fullmatch(r"\d{1,9}", arguments) or arguments in ("start", "end"):
        ends = {"start": 0, "end": stepper.timeline.end}
        return _there(go.at(stepper, ends[arguments] if arguments in ends else int(arguments)))
    after = go.gone_to(stepper, arguments)
    if after.cursor == stepper.cursor:
        after = go.gone_to(stepper, arguments, forward=False)
    if after.cursor == stepper.cursor and not stepper.timeline.visits(arguments):
        return Answer(stepper, [f"{arguments} is given: nothing happens to it"])
    return _there(after)


def _iteration(stepper: Stepper, arguments: str) -> Answer:
    if not arguments:
        return Answer(stepper, telling_iterations.about(stepper))
    after = go.at_iteration(stepper, _number(arguments, "iteration"))
    return Answer(after, telling.where(after))


def _compare(stepper: Stepper, arguments: str) -> Answer:
    other = _number(arguments, "iteration", max(stepper.iteration - 1, 0))
    return Answer(stepper, telling_iterations.compared(stepper, other))


def _continuer(forward: bool) -> Do:
    def do(stepper: Stepper, arguments: str) -> Answer:
        after, hit = go.continued(stepper, forward=forward)
        return Answer(after, [*telling.stop_lines(after, hit, forward), *telling.where(after)])

    return do


def _break(stepper: Stepper, arguments: str) -> Answer:
    after = go.with_breakpoint(stepper, arguments)
    return Answer(after, [f"breakpoint {len(after.breakpoints)}: {clean(after.breakpoints[-1].text)}"])


def _watch(stepper: Stepper, arguments: str) -> Answer:
    stops = arguments.startswith("stop ")
    after = go.with_watch(stepper, arguments.removeprefix("stop ") if stops else arguments, stops=stops)
    return Answer(after, [f"watch {len(after.watches)}", telling.reading_line(after.readings()[-1])])


def _of_list(change: Callable[[Stepper, int], Stepper], kind: str) -> Do:
    """A change to the breakpoint or watch with a number, counted from 1."""

    def do(stepper: Stepper, arguments: str) -> Answer:
        count = len(stepper.breakpoints if kind == "breakpoint" else stepper.watches)
        number = _number(arguments, f"number of a {kind}")
        if not 1 <= number <= count:
            raise BadCommand(f"there is no {kind} {number}; there are {count}")
        after = change(stepper, number - 1)
        return Answer(after, telling.breakpoints(after))

    return do


def _print(stepper: Stepper, arguments: str) -> Answer:
    return Answer(stepper, [telling.value_text(stepper.value_of(arguments))])


def _info(stepper: Stepper, arguments: str) -> Answer:
    return Answer(stepper, telling.about(stepper, arguments or stepper.node))


def _list(stepper: Stepper, arguments: str) -> Answer:
    return Answer(stepper, telling.around(stepper, _number(arguments, "number of events", 9)))


def _losses(stepper: Stepper, arguments: str) -> Answer:
    if not arguments:
        return Answer(stepper, [f"the backward pass starts at {', '.join(stepper.losses)}"])
    names = "all" if arguments in ("all", "L") else re.sub("[,+]", " ", arguments).split()
    return _there(go.chosen(stepper, losses=names))


def _parameter(stepper: Stepper, arguments: str) -> Answer:
    if not arguments:
        return Answer(stepper, [f"paths lead to {stepper.target}"])
    if node_named(stepper.run.graph, arguments, "parameter or node")["role"] == "loss":
        raise BadCommand(f"{arguments} is a loss, where paths begin; give a parameter or another node")
    after = go.chosen(stepper, target=arguments)
    return Answer(after, [f"paths lead to {after.target}"])


def _level(stepper: Stepper, arguments: str) -> Answer:
    return _there(go.chosen(stepper, detail=arguments)) if arguments else Answer(stepper, [f"level {stepper.detail}"])


def _paths(stepper: Stepper, arguments: str) -> Answer:
    return Answer(stepper, telling.paths(stepper, _number(arguments, "number of paths", telling.SHOWN)))


def _path(stepper: Stepper, arguments: str) -> Answer:
    return Answer(stepper, telling.path(_numbered(stepper, arguments)))


def _numbered(stepper: Stepper, text: str) -> Path:
    """The path with a number of the list, counted from 1."""
    found = stepper.run.paths(stepper.losses, stepper.target, detail=stepper.detail)
    number = _number(text, "number of a path")
    if not 1 <= number <= found.count:
        raise BadCommand(f"there is no path {number}; there are {integer(found.count)}")
    return found[number - 1]


def _export(stepper: Stepper, arguments: str) -> Answer:
    name, _, number = arguments.rpartition(" ")
    if not re.fullmatch(r"\d+", number) or not name.strip():
        return Answer(stepper, [clean(picture.export(stepper, (), arguments))])
    return Answer(stepper, [clean(picture.export(stepper, _numbered(stepper, number).nodes, name))])


def _editor(kind: str) -> Do:
    def do(stepper: Stepper, arguments: str) -> Answer:
        return _changed(go.edited(stepper, f"{kind} {arguments}"))

    return do


def _undo(stepper: Stepper, arguments: str) -> Answer:
    after = go.undone(stepper)
    answer = _changed(after)
    return replace(answer, lines=[f"taken back: {after.undone[0].text}", *answer.lines])


def _changed(stepper: Stepper) -> Answer:
    if not stepper.edits:
        return Answer(stepper, ["nothing is changed"])
    edits = [f"edit {number}: {made.text}" for number, made in enumerate(stepper.edits, 1)]
    return Answer(stepper, [*edits, *telling.difference(stepper.comparison())])


def _save(stepper: Stepper, arguments: str) -> Answer:
    if not arguments:
        raise BadCommand("give the name of a file: save run.json")
    session.save(stepper, arguments)
    return Answer(stepper, [f"saved to {clean(arguments)}"])


def _open(stepper: Stepper, arguments: str) -> Answer:
    if not arguments:
        raise BadCommand("give the name of a file: open run.json")
    return _there(session.read(arguments))


def _names(stepper: Stepper, arguments: str) -> Answer:
    lines = ["names:"]
    lines += [f"  {name}: {quantity.says}" for name, quantity in QUANTITIES.items()]
    lines += ['  any node: s3, s3.value[0], W.grad[0, 1]; at("W@s2") where its name has other signs in it']
    lines += ["functions:", *(f"  {name}(…): {says}" for name, (says, _) in FUNCTIONS.items())]
    lines += ["conditions:", *(f"  {kind or 'anything else'}: {says}" for kind, (says, _) in CONDITIONS.items())]
    return Answer(stepper, lines)


def _help(stepper: Stepper, arguments: str) -> Answer:
    if arguments and arguments not in BY_NAME:
        raise UnknownName("command", clean(arguments), BY_NAME)
    asked = (BY_NAME[arguments],) if arguments else COMMANDS
    return Answer(stepper, [f"{', '.join(c.names)} {c.arguments}".rstrip() + f": {c.help}" for c in asked])


COMMANDS: tuple[Command, ...] = (
    Command(("next", "n"), "[N] [UNIT]", "the next event, or N; UNIT is event, node, step or phase", _mover(1)),
    Command(("prev", "p"), "[N] [UNIT]", "back by an event, or N units", _mover(-1)),
    Command(("step", "s"), "[N]", "on to the next time step", _mover(1, "step")),
    Command(("back", "bs"), "[N]", "back by a time step", _mover(-1, "step")),
    Command(("goto", "g"), "NODE or EVENT", "where something next happens to a node; event N; start; end", _go_to),
    Command(("iteration", "it"), "[N]", "where this is among the iterations; the like of this event in N", _iteration),
    Command(("compare",), "[N]", "the parameters of iteration N and these, side by side on this data", _compare),
    Command(("continue", "c"), "", "on to the next breakpoint, or the end", _continuer(True)),
    Command(("rcontinue", "rc"), "", "back to the last breakpoint, or the start", _continuer(False)),
    Command(
        ("break", "b"),
        "WHERE",
        "s3, l1.*, t=3, phase=update, iteration=10, a condition, or s* if complete and norm(cotangent) < 1e-6",
        _break,
    ),
    Command(("breaks", "bl"), "", "all breakpoints and watches", lambda s, a: Answer(s, telling.breakpoints(s))),
    Command(("delete", "d"), "N", "remove breakpoint N", _of_list(go.without_breakpoint, "breakpoint")),
    Command(
        ("disable",), "N", "leave breakpoint N out", _of_list(lambda s, i: go.with_enabled(s, i, False), "breakpoint")
    ),
    Command(
        ("enable",),
        "N",
        "look for breakpoint N again",
        _of_list(lambda s, i: go.with_enabled(s, i, True), "breakpoint"),
    ),
    Command(
        ("watch", "w"), "[stop] EXPRESSION", "show it at every stop; with stop, also stop where it changes", _watch
    ),
    Command(("unwatch", "uw"), "N", "remove watch N", _of_list(go.without_watch, "watch")),
    Command(("print", "e"), "EXPRESSION", "work an expression out here", _print),
    Command(("names",), "", "what may stand in an expression", _names),
    Command(("info", "i"), "[NODE]", "the node at hand: formula with numbers, value, cotangent", _info),
    Command(("list", "ls"), "[N]", "the events around this one", _list),
    Command(
        ("where", "."),
        "",
        "the event that has just happened",
        _where,
    ),
    Command(("loss", "l"), "[L4 or all]", "the losses at which the backward pass starts", _losses),
    Command(("param", "o"), "[W]", "the parameter, or other node, that paths lead to", _parameter),
    Command(("level",), "[state, gate or op]", "the level of detail", _level),
    Command(("paths",), "[N]", "the paths to the parameter, the first N of them", _paths),
    Command(("path",), "N", "path N factor by factor: where it shrinks or grows", _path),
    Command(("export",), "FILE.svg [N]", "write the graph as a picture, path N highlighted", _export),
    *(
        Command((kind,), form.removeprefix(f"{kind} "), says, _editor(kind))
        for kind, form, says in (
            ("set", FORMS["set"], "change an entry of a weight, an input or a state; what is set depends on nothing"),
            ("cut", FORMS["cut"], "let no gradient go from a node back to one before it"),
            ("clip", FORMS["clip"], "scale a cotangent, or the gradient, down to a norm"),
        )
    ),
    Command(("undo", "u"), "", "take the last change back", _undo),
    Command(("redo", "r"), "", "make it again", lambda s, a: _changed(go.redone(s))),
    Command(("diff",), "", "before and after all changes, side by side", lambda s, a: _changed(s)),
    Command(("save",), "FILE", "save the session", _save),
    Command(("open",), "FILE", "open a saved session", _open),
    Command(("help", "h", "?"), "[COMMAND]", "this list", _help),
    Command(("quit", "q"), "", "leave", lambda s, a: Answer(s, [], leaves=True)),
)

BY_NAME: dict[str, Command] = {name: command for command in COMMANDS for name in command.names}
