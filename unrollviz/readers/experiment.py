"""Experiments: a model, its data, a loss and a seed, written down in one .toml file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from unrollviz.batch import READOUTS, REDUCTIONS
from unrollviz.cells import CELLS
from unrollviz.errors import UnknownName, UnrollvizError, nearest_name
from unrollviz.losses import LOSSES
from unrollviz.names import clean
from unrollviz.network import SCHEMES
from unrollviz.ops import ACTIVATIONS
from unrollviz.readers.limits import bad, check_file, reading

SIZE_LIMIT = 2**20
DEPTH_LIMIT = 64
KEY_PARTS_LIMIT = 32


@dataclass(frozen=True)
class ModelPart:
    """[model]: a file of weights, or a network to be initialised; None where it is left to the command line.

    Attributes:
        file: the weights, with `readout` and `rnn` where it holds several, `activation` where it does not say.
        iteration: where it is a run's folder, after how many updates; where it stands, if None.
        cell, inputs, hidden, outputs, activation, layers, bidirectional, init, learn_initial: see `Network.init`.
    """

    file: Path | None = None
    readout: str | None = None
    rnn: str | None = None
    activation: str | None = None
    iteration: int | None = None
    cell: str | None = None
    inputs: int | None = None
    hidden: int | None = None
    outputs: int | None = None
    layers: int | None = None
    bidirectional: bool | None = None
    init: str | None = None
    learn_initial: bool | None = None


@dataclass(frozen=True)
class DataPart:
    """[data]: one of them, or none.

    Attributes:
        text, text_file: spelled letter by letter, each predicting the next.
        file: an .npz of xs and targets, with lengths, weights and initial if you like.
        steps: so many steps of random numbers, drawn by the seed.
        sample: a name in `samples.SAMPLES`.
    """

    text: str | None = None
    text_file: Path | None = None
    file: Path | None = None
    steps: int | None = None
    sample: str | None = None


@dataclass(frozen=True)
class LossPart:
    """[loss]: names in LOSSES, READOUTS and REDUCTIONS."""

    kind: str = "cross_entropy"
    readout: str = "every"
    reduction: str = "sum"


@dataclass(frozen=True)
class Experiment:
    """What one .toml file says. Paths in it are relative to the file, and absolute here."""

    model: ModelPart = ModelPart()
    data: DataPart = DataPart()
    loss: LossPart = LossPart()
    seed: int = 0


def read(path: str | Path) -> Experiment:
    """The experiment that a .toml file describes. Nothing that it names is opened.

    Raises BadFile, `path: reason`, for a missing or broken file, an unknown key (naming the nearest), a value of the
    wrong type or range, an unknown choice, and for parts that contradict each other.
    """
    with reading(path, "a .toml"):
        check_file(path, SIZE_LIMIT)
        try:
            text = Path(path).read_bytes().decode("utf-8")
            check_nesting(text)
            said = tomllib.loads(text)
        except UnicodeDecodeError as error:
            raise bad(path, f"is not UTF-8 text (byte {error.start}); convert it first") from error
        except tomllib.TOMLDecodeError as error:
            raise bad(path, f"is not valid TOML: {clean(str(error))}") from error
        experiment = _experiment(said, Path(path).resolve().parent)
        _check_model(experiment.model)
        _check_data(experiment.data)
        return experiment


def check_nesting(text: str) -> None:
    """Raise UnrollvizError where a TOML text nests too deep, or has a key of too many parts.

    tomllib would recurse as deep, and take seconds for a key of thousands of parts."""
    depth, parts = 0, 1
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in ("[", "{"):
            depth += 1
        elif token in ("]", "}"):
            depth -= 1
        parts = parts + 1 if token == "." else parts if token[0] in "\"'" else 1
        if depth > DEPTH_LIMIT or parts > KEY_PARTS_LIMIT:
            limit = f"{DEPTH_LIMIT} levels" if depth > DEPTH_LIMIT else f"keys of {KEY_PARTS_LIMIT} parts"
            raise UnrollvizError(f"is nested too deep; the limit is {limit}")


_TOKEN = re.compile(
    r"""
      \"{3} (?: \\. | [^\\] )*? (?: \"{3} | \Z )
    | '{3} .*? (?: '{3} | \Z )
    | " (?: \\. | [^"\\\n] )* "?
    | ' [^'\n]* '?
    | \# [^\n]*
    | [\[\]{}.=,\n]
    """,
    re.DOTALL | re.VERBOSE,
)
"""Strings, comments, and the marks outside of them. What is left open is an error, but must not be scanned twice."""

_PARTS: dict[str, type] = {"model": ModelPart, "data": DataPart, "loss": LossPart}
_CHOICES: dict[str, Iterable[str]] = {
    "model.cell": CELLS,
    "model.activation": ACTIVATIONS,
    "model.init": SCHEMES,
    "loss.kind": LOSSES,
    "loss.readout": READOUTS,
    "loss.reduction": REDUCTIONS,
}
_OF_FILES = {"file", "readout", "rnn", "activation"}
_SIZE_MOST = 1_000_000
_WORDS = {str: "a text in quotes", int: "a whole number", bool: "true or false", Path: "the name of a file in quotes"}


def _experiment(said: Mapping[str, Any], folder: Path) -> Experiment:
    parts: dict[str, Any] = {}
    for name, value in said.items():
        if name == "seed":
            if type(value) is not int or value < 0:
                raise UnrollvizError("seed: give a whole number of at least 0")
            parts[name] = value
        elif name not in _PARTS:
            raise UnrollvizError(_unknown(name, [*_PARTS, "seed"]))
        elif not isinstance(value, dict):
            raise UnrollvizError(f"{name}: give a table, [{name}], with a line for each of its keys")
        else:
            parts[name] = _part(name, value, folder)
    return Experiment(**parts)


def _part(part: str, said: Mapping[str, Any], folder: Path) -> Any:
    hints = get_type_hints(_PARTS[part])
    values = {}
    for key, value in said.items():
        if key not in hints:
            raise UnrollvizError(f"[{part}] {_unknown(key, hints)}")
        kind = (get_args(hints[key]) or (hints[key],))[0]
        if type(value) is not (str if kind is Path else kind):
            raise UnrollvizError(f"[{part}] {key}: give {_WORDS[kind]}")
        if kind is int and not 1 <= int(value) <= _SIZE_MOST:
            raise UnrollvizError(f"[{part}] {key}: give a whole number from 1 to {_SIZE_MOST:,}")
        choices = _CHOICES.get(f"{part}.{key}")
        if choices is not None and value not in choices:
            raise UnrollvizError(f"[{part}] {key}: {UnknownName(key, clean(value), choices)}")
        values[key] = folder / value if kind is Path else value
    return _PARTS[part](**values)


def _unknown(key: str, valid: Iterable[str]) -> str:
    nearest = nearest_name(key, valid)
    hint = f"did you mean {nearest}?" if nearest else "there is no such key;"
    return f"{clean(key)}: {hint} choose from {', '.join(valid)}"


def _given(part: ModelPart | DataPart) -> list[str]:
    return [entry.name for entry in fields(part) if getattr(part, entry.name) is not None]


def _check_model(model: ModelPart) -> None:
    given = _given(model)
    wrong = [key for key in given if (key not in _OF_FILES if model.file else key in ("readout", "rnn"))]
    if wrong and model.file:
        raise UnrollvizError(f"[model] {wrong[0]}: is said by the file; leave one of them out")
    if wrong:
        raise UnrollvizError(f"[model] {wrong[0]}: chooses among what a file holds; give file too")


def _check_data(data: DataPart) -> None:
    given = _given(data)
    if len(given) > 1:
        raise UnrollvizError(f"[data] {' and '.join(given)}: both say what the sequence is; give one of them")
