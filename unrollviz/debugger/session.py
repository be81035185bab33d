"""A session in one JSON file: the network and its data in full, the place in the run and all that was set up.

Nothing else is needed to open it again, and what is opened is the same to the last bit. A file that is opened is not
believed: its size, its depth, its arrays and every text in it are checked as if they were typed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unrollviz.api import Network, Run, ask
from unrollviz.batch import READOUTS, Batch, check_targets
from unrollviz.debugger import learned
from unrollviz.debugger import stepper as go
from unrollviz.debugger.breakpoints import breakpoint_at
from unrollviz.debugger.fields import count, get, listed, packed, place, unpacked
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
    first = learned.beginning(stepper)
    network, batch = stepper.origin.network.replace(**first.params), stepper.origin.batch
    symbols = {name: symbol for name, symbol in stepper.origin.graph.nodes(data="symbol") if symbol is not None}
    return {
        "format": FORMAT,
        "version": VERSION,
        "network": {
            **network.architecture,
            "params": {name: packed(value) for name, value in network.params.items()},
        },
        "data": {
            "inputs": packed(batch.inputs),
            "targets": packed(batch.targets),
            "weights": packed(batch.weights),
            "lengths": batch.lengths.tolist(),
            "initial": {name: packed(value) for name, value in batch.initial.items()},
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
    } | learned.said(stepper)


def resumed(content: Mapping[str, Any]) -> Stepper:
    """The session that `said` has told. Raises UnrollvizError, naming the key, for what is missing or wrong."""
    run = _run(get(content, "network", dict), get(content, "data", dict))
    target, detail, losses = get(content, "target", str), get(content, "detail", str), listed(content, "losses", str)
    if not losses:
        raise UnrollvizError("losses: is empty; name at least one")
    stepper = learned.resumed(go.opened(run, losses, target, detail), content)
    stepper = _edited(stepper, content)
    for number, point in enumerate(listed(content, "breakpoints", dict), 1):
        with place(f"breakpoints, number {number}"):
            found = breakpoint_at(get(point, "text", str), stepper.run.graph)
            found = replace(found, hits=count(point, "hits"), enabled=get(point, "enabled", bool))
            stepper = replace(stepper, breakpoints=(*stepper.breakpoints, found))
    for number, watch in enumerate(listed(content, "watches", dict), 1):
        with place(f"watches, number {number}"):
            stepper = go.with_watch(stepper, get(watch, "text", str), stops=get(watch, "stops", bool))
    at_last = go.at(go.at(stepper, count(content, "before")), count(content, "cursor"))
    return replace(at_last, view=get(content, "view", dict))


def _edited(stepper: Stepper, content: Mapping[str, Any]) -> Stepper:
    """With all edits, and those that were undone made and undone again."""
    undone = listed(content, "undone", str)
    for number, text in enumerate([*listed(content, "edits", str), *undone], 1):
        with place(f"edits, number {number}"):
            stepper = go.edited(stepper, text)
    for _ in undone:
        stepper = go.undone(stepper)
    return stepper


def _run(network: Mapping[str, Any], data: Mapping[str, Any]) -> Run:
    arrays = {name: unpacked(value, name) for name, value in get(network, "params", dict).items()}
    for name in arrays:
        if clean(name) != name:
            raise UnrollvizError(f"params: the name {clean(name)} holds control characters")
    layers = count(network, "layers")
    if layers > len(arrays):  # before anything goes through them one by one
        raise UnrollvizError(f"layers: {layers:,} layers have more than {len(arrays)} parameters")
    net = Network(
        get(network, "cell", str),
        arrays,
        get(network, "activation", str),
        layers,
        get(network, "bidirectional", bool),
    )
    batch = _batch(data, net)
    check_size(net, *batch.inputs.shape[:2])
    run = ask(unroll_batch(net, batch))
    for name, symbol in get(data, "symbols", dict).items():
        if name not in run.graph or not isinstance(symbol, str) or len(symbol) > SYMBOL_LIMIT:
            raise UnrollvizError(f"symbols: {clean(name)} is no node, or its symbol no short text")
        run.graph.nodes[name]["symbol"] = symbol
    return run


def _batch(data: Mapping[str, Any], network: Network) -> Batch:
    loss, readout = get(data, "loss", str), get(data, "readout", str)
    for kind, name, valid in (("loss", loss, LOSSES), ("readout", readout, READOUTS)):
        if name not in valid:
            raise UnknownName(kind, clean(name), valid)
    inputs = unpacked(get(data, "inputs", dict), "inputs")
    if inputs.ndim != 3 or 0 in inputs.shape or inputs.shape[2] != network.inputs:
        raise ShapeError(f"inputs: has shape {inputs.shape}; it should be (T, B, {network.inputs})")
    steps, instances, _ = inputs.shape
    targets = unpacked(get(data, "targets", dict), "targets", (steps, instances, network.outputs))
    weights = unpacked(get(data, "weights", dict), "weights", (steps, instances))
    lengths = listed(data, "lengths", int)
    if len(lengths) != instances or not all(1 <= length <= steps for length in lengths) or (weights < 0).any():
        raise ShapeError(f"lengths or weights: give {instances} lengths from 1 to {steps}, and weights ≥ 0")
    check_targets(targets, LOSSES[loss].targets)
    initial, names = get(data, "initial", dict), network.initial_states
    if set(initial) != set(names):
        raise ShapeError(f"initial: holds other states than {', '.join(names)}")
    states = {name: unpacked(initial[name], name, (instances, network.hidden)) for name in names}
    return Batch(inputs, targets, weights, np.array(lengths, dtype=np.int64), states, loss, readout)


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
