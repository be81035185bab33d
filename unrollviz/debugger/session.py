"""A session in one JSON file: the network and its data in full, the place in the run and all that was set up.

Nothing else is needed to open it again, and what is opened is the same to the last bit. A file that is opened is not
believed: its size, its depth, its arrays and every text in it are checked as if they were typed.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unrollviz.api import Network, Run, ask
from unrollviz.arrays import Array
from unrollviz.batch import READOUTS, Batch, check_targets
from unrollviz.debugger import stepper as go
from unrollviz.debugger.breakpoints import breakpoint_at
from unrollviz.debugger.stepper import Stepper
from unrollviz.errors import ShapeError, UnknownName, UnrollvizError
from unrollviz.files import write_atomically
from unrollviz.losses import LOSSES
from unrollviz.names import clean
from unrollviz.readers.limits import BYTES_LIMIT, bad, check_file, reading
from unrollviz.unrolled import check_size, unroll_batch

VERSION = 1
FORMAT = "unrollviz session"
DEPTH_LIMIT = 16
LISTED_LIMIT = 10_000
"""Entries of a list; the sequence's instances are one."""
SYMBOL_LIMIT = 200


def save(stepper: Stepper, path: str | Path) -> None:
    """Write the session to `path`; what was there is either replaced whole or left as it was.

    Raises BadFile where it cannot be written, UnrollvizError where its view holds what JSON cannot say."""
    try:
        text = json.dumps(said(stepper), allow_nan=False, indent=1)
    except (TypeError, ValueError) as error:
        raise UnrollvizError(f"the view of this session cannot be saved: {error}") from error
    write_atomically(path, text.encode())


def read(path: str | Path) -> Stepper:
    """The session in a file, as it was when it was saved.

    Raises BadFile, `path: reason`, for whatever is wrong with it."""
    with reading(path, "a session"):
        check_file(path, BYTES_LIMIT)
        text = Path(path).read_bytes().decode("utf-8")
        _check_depth(text)
        content = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise bad(path, f'is not a session; it lacks "format": "{FORMAT}"')
        if content.get("version") != VERSION:
            raise bad(path, f"is of version {clean(str(content.get('version')))}, this program reads {VERSION}")
        return resumed(content)


def said(stepper: Stepper) -> dict[str, Any]:
    """The session as a JSON object. Arrays are little-endian float64 in base64, so that no bit changes."""
    network, batch = stepper.origin.network, stepper.origin.batch
    symbols = {name: symbol for name, symbol in stepper.origin.graph.nodes(data="symbol") if symbol is not None}
    return {
        "format": FORMAT,
        "version": VERSION,
        "network": {
            **network.architecture,
            "params": {name: _packed(value) for name, value in network.params.items()},
        },
        "data": {
            "inputs": _packed(batch.inputs),
            "targets": _packed(batch.targets),
            "weights": _packed(batch.weights),
            "lengths": batch.lengths.tolist(),
            "initial": {name: _packed(value) for name, value in batch.initial.items()},
            "loss": batch.loss,
            "readout": batch.readout,
            "symbols": symbols,
        },
        "losses": list(stepper.losses),
        "target": stepper.target,
        "detail": stepper.detail,
        "cursor": stepper.cursor,
        "before": stepper.before,
        "breakpoints": [{"text": p.text, "enabled": p.enabled, "hits": p.hits} for p in stepper.breakpoints],
        "watches": [{"text": watch.text, "stops": watch.stops} for watch in stepper.watches],
        "edits": [made.text for made in stepper.edits],
        "undone": [made.text for made in stepper.undone],
        "view": dict(stepper.view),
    }


def resumed(content: Mapping[str, Any]) -> Stepper:
    """The session that `said` has told. Raises UnrollvizError, naming the key, for what is missing or wrong."""
    run = _run(_get(content, "network", dict), _get(content, "data", dict))
    target, detail, losses = _get(content, "target", str), _get(content, "detail", str), _listed(content, "losses", str)
    if not losses:
        raise UnrollvizError("losses: is empty; name at least one")
    stepper = _edited(go.opened(run, losses, target, detail), content)
    for number, point in enumerate(_listed(content, "breakpoints", dict), 1):
        with _place(f"breakpoints, number {number}"):
            found = breakpoint_at(_get(point, "text", str), stepper.run.graph)
            found = replace(found, hits=_count(point, "hits"), enabled=_get(point, "enabled", bool))
            stepper = replace(stepper, breakpoints=(*stepper.breakpoints, found))
    for number, watch in enumerate(_listed(content, "watches", dict), 1):
        with _place(f"watches, number {number}"):
            stepper = go.with_watch(stepper, _get(watch, "text", str), stops=_get(watch, "stops", bool))
    at_last = go.at(go.at(stepper, _count(content, "before")), _count(content, "cursor"))
    return replace(at_last, view=_get(content, "view", dict))


def _edited(stepper: Stepper, content: Mapping[str, Any]) -> Stepper:
    """With all edits, and those that were undone made and undone again."""
    undone = _listed(content, "undone", str)
    for number, text in enumerate([*_listed(content, "edits", str), *undone], 1):
        with _place(f"edits, number {number}"):
            stepper = go.edited(stepper, text)
    for _ in undone:
        stepper = go.undone(stepper)
    return stepper


def _run(network: Mapping[str, Any], data: Mapping[str, Any]) -> Run:
    arrays = {name: _unpacked(value, name) for name, value in _get(network, "params", dict).items()}
    for name in arrays:
        if clean(name) != name:
            raise UnrollvizError(f"params: the name {clean(name)} holds control characters")
    layers = _count(network, "layers")
    if layers > len(arrays):  # before anything goes through them one by one
        raise UnrollvizError(f"layers: {layers:,} layers have more than {len(arrays)} parameters")
    net = Network(
        _get(network, "cell", str),
        arrays,
        _get(network, "activation", str),
        layers,
        _get(network, "bidirectional", bool),
    )
    batch = _batch(data, net)
    check_size(net, *batch.inputs.shape[:2])
    run = ask(unroll_batch(net, batch))
    for name, symbol in _get(data, "symbols", dict).items():
        if name not in run.graph or not isinstance(symbol, str) or len(symbol) > SYMBOL_LIMIT:
            raise UnrollvizError(f"symbols: {clean(name)} is no node, or its symbol no short text")
        run.graph.nodes[name]["symbol"] = symbol
    return run


def _batch(data: Mapping[str, Any], network: Network) -> Batch:
    loss, readout = _get(data, "loss", str), _get(data, "readout", str)
    for kind, name, valid in (("loss", loss, LOSSES), ("readout", readout, READOUTS)):
        if name not in valid:
            raise UnknownName(kind, clean(name), valid)
    inputs = _unpacked(_get(data, "inputs", dict), "inputs")
    if inputs.ndim != 3 or 0 in inputs.shape or inputs.shape[2] != network.inputs:
        raise ShapeError(f"inputs: has shape {inputs.shape}; it should be (T, B, {network.inputs})")
    steps, instances, _ = inputs.shape
    targets = _unpacked(_get(data, "targets", dict), "targets", (steps, instances, network.outputs))
    weights = _unpacked(_get(data, "weights", dict), "weights", (steps, instances))
    lengths = _listed(data, "lengths", int)
    if len(lengths) != instances or not all(1 <= length <= steps for length in lengths) or (weights < 0).any():
        raise ShapeError(f"lengths or weights: give {instances} lengths from 1 to {steps}, and weights ≥ 0")
    check_targets(targets, LOSSES[loss].targets)
    initial, names = _get(data, "initial", dict), network.initial_states
    if set(initial) != set(names):
        raise ShapeError(f"initial: holds other states than {', '.join(names)}")
    states = {name: _unpacked(initial[name], name, (instances, network.hidden)) for name in names}
    return Batch(inputs, targets, weights, np.array(lengths, dtype=np.int64), states, loss, readout)


def _packed(values: Array) -> dict[str, Any]:
    return {"shape": list(values.shape), "data": base64.b64encode(values.astype("<f8").tobytes()).decode("ascii")}


def _unpacked(packed: Any, what: str, wanted: tuple[int, ...] | None = None) -> Array:
    """The array, of finite numbers. Raises ShapeError, naming it."""
    what = clean(what)
    if not isinstance(packed, dict):
        raise ShapeError(f"{what}: is no array; give shape and data")
    shape, data = tuple(_listed(packed, "shape", int)), _get(packed, "data", str)
    if len(shape) > 3 or any(size < 0 for size in shape) or (wanted is not None and shape != wanted):
        raise ShapeError(f"{what}: has shape {shape[:4]}" + (f"; it should be {wanted}" if wanted else ""))
    try:
        content = base64.b64decode(data, validate=True)
    except ValueError as error:
        raise ShapeError(f"{what}: is not base64 ({error})") from error
    if len(content) != 8 * math.prod(shape):
        raise ShapeError(f"{what}: has {len(content):,} bytes, but shape {shape}")
    values = np.frombuffer(content, dtype="<f8").astype(np.float64).reshape(shape)
    if not np.isfinite(values).all():
        raise ShapeError(f"{what}: holds a number that is not finite")
    return values


def _get(content: Mapping[str, Any], key: str, kind: type) -> Any:
    """What stands at a key, which must be of a type. Raises UnrollvizError."""
    if key not in content:
        raise UnrollvizError(f"{key}: is missing")
    if type(content[key]) is not kind:
        raise UnrollvizError(f"{key}: is not {_WORDS[kind]}")
    return content[key]


_WORDS: dict[type, str] = {
    str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "an object"
}  # fmt: skip


def _count(content: Mapping[str, Any], key: str) -> int:
    number = _get(content, key, int)
    if not 0 <= number < 2**53:
        raise UnrollvizError(f"{key}: is out of range")
    return int(number)


def _listed(content: Mapping[str, Any], key: str, kind: type) -> list[Any]:
    found: list[Any] = _get(content, key, list)
    if len(found) > LISTED_LIMIT or not all(type(entry) is kind for entry in found):
        raise UnrollvizError(f"{key}: is too long, or not each of its entries is {_WORDS[kind]}")
    return found


@contextmanager
def _place(where: str) -> Iterator[None]:
    """Say where in the file something is wrong."""
    try:
        yield
    except UnrollvizError as error:
        raise UnrollvizError(f"{where}: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different; the parser would keep the last of two."""
    content = dict(pairs)
    if len(content) != len(pairs):
        raise UnrollvizError("a key stands twice in the same object")
    return content


def _no_number(word: str) -> float:
    raise UnrollvizError(f"{word} is no number")


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


def _check_depth(text: str) -> None:
    """Raise UnrollvizError where lists and objects nest too deep: the parser would recurse as deep."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > DEPTH_LIMIT:
            raise UnrollvizError(f"nests deeper than {DEPTH_LIMIT} levels")
