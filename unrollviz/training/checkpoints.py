"""Run folders: a training run's checkpoint, written atomically, read as any file from outside; one writer at a time.

A checkpoint is one .npz file: the arrays of a `State`, and all the rest as JSON in the array `state`.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unrollviz.api import Network
from unrollviz.arrays import Array
from unrollviz.batch import Batch
from unrollviz.errors import BadFile, UnrollvizError
from unrollviz.files import write_atomically
from unrollviz.history import LABELS, from_arrays, to_arrays
from unrollviz.names import clean
from unrollviz.network import Network as PlainNetwork
from unrollviz.optim import Memory, optimizer_named
from unrollviz.readers.limits import BYTES_LIMIT, bad, check_file, reading
from unrollviz.readers.npz import read_arrays, read_names
from unrollviz.training.journal import latest
from unrollviz.training.state import Settings, State, check

CHECKPOINT = "checkpoint.npz"
"""The file in a run's folder that holds everything."""

RECORDS = "records"
"""The folder in a run's folder that keeps a checkpoint for each record of the history, named by its updates."""

MODEL = "model.safetensors"
"""The file in a run's folder with the network alone, for every other command; written when a run ends."""

VERSION = 1
JSON_LIMIT = 2**20
TURNS = 50

_HISTORY, _PARAMS, _BEST, _MEMORY = "history.", "params.", "best.", "memory."
_NUMBERS = ("losses", "gradient_norms", "validation_losses", "running")
_WORDS = ("epoch", "position", "every")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        network: as it is in the state;  settings: how it is trained;  state: where its training stands.
        data: the fingerprint of what it is trained on.
    """

    network: Network
    settings: Settings
    state: State
    data: str


def fingerprint(whole: Batch) -> str:
    """Tells data apart: a hash of all their numbers."""
    found = sha256(f"{whole.loss} {whole.readout}".encode())
    for name, value in {
        "xs": whole.inputs,
        "targets": whole.targets,
        "weights": whole.weights,
        "lengths": whole.lengths,
        **whole.initial,
    }.items():
        found.update(f"{name} {value.shape}".encode())
        found.update(np.ascontiguousarray(value).tobytes())
    return found.hexdigest()


# ----------------------------------------------------------------------------------------------- the file


def written(network: PlainNetwork, settings: Settings, state: State, data: str) -> bytes:
    """The contents of a checkpoint. The same bytes for the same state."""
    arrays: dict[str, npt.NDArray[Any]] = {f"{_PARAMS}{name}": value for name, value in state.params.items()}
    arrays |= {f"{_BEST}{name}": value for name, value in (state.best or {}).items()}
    for kept, values in state.memory.arrays.items():
        arrays |= {f"{_MEMORY}{kept}.{name}": value for name, value in values.items()}
    arrays |= {name: np.array(getattr(state, name), dtype=np.float64) for name in _NUMBERS}
    arrays["last"] = np.array([state.loss, state.norm, state.seconds])
    said: dict[str, Any] = {
        "version": VERSION,
        "network": network.architecture,
        "settings": asdict(settings),
        "data": data,
        "updates": state.memory.updates,
        "remembers": list(state.memory.arrays),
        **{name: getattr(state, name) for name in _WORDS},
    }
    if state.history is not None:
        arrays |= {f"{_HISTORY}{name}": value for name, value in to_arrays(state.history).items()}
        said["history"] = {name: list(getattr(state.history, name)) for name in LABELS}
    arrays["state"] = np.frombuffer(json.dumps(said).encode(), dtype=np.uint8)
    with io.BytesIO() as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
        return file.getvalue()


def read(path: str | Path, limit: int = BYTES_LIMIT) -> Checkpoint:
    """The checkpoint in a file, or in a run's folder, where it stands after the last update in the journal beside it.

    Raises BadFile, `path: reason`, for every kind of missing, broken or hostile file."""
    file = Path(path) / CHECKPOINT if Path(path).is_dir() else Path(path)
    with reading(file, "a checkpoint"):
        content, arrays = _steady(file, limit)
        said = _json(file, arrays)
        params = _behind(arrays, _PARAMS)
        network = Network(params=params, **said["network"])
        given = said["settings"]
        known = {one.name for one in fields(Settings)}
        if set(given) != known:
            raise bad(file, "is of another version of unrollviz; train again")
        settings = Settings(**{**given, "watch": tuple(given["watch"])})
        check(settings)
        state = _state(network, settings, said, arrays)
        if Path(path).is_dir():
            state = latest(file.parent, content, state)
            network = network.replace(**state.params)
        return Checkpoint(network, settings, state, str(said["data"]))


def _steady(path: Path, limit: int) -> tuple[bytes, dict[str, npt.NDArray[Any]]]:
    """What is in the file, as bytes and as arrays: both of the same one, though a run that still learns may put
    another in its place at any time. Raises BadFile."""
    for _ in range(TURNS):
        check_file(path, limit, spare=JSON_LIMIT)
        content = path.read_bytes()
        arrays = read_arrays(path, limit)
        if path.read_bytes() == content:
            return content, arrays
    raise bad(path, "is written faster than it can be read; try again")


def is_checkpoint(path: str | Path, limit: int = BYTES_LIMIT) -> bool:
    """Whether that is a run's folder, or a file with a checkpoint's arrays. Raises BadFile for a broken .npz."""
    if Path(path).is_dir():
        return True
    return Path(path).suffix == ".npz" and {"state", "last"} <= set(read_names(path, limit))


def _json(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    text = arrays["state"]
    if text.dtype != np.uint8 or text.ndim != 1 or text.size > JSON_LIMIT:
        raise bad(path, "is no checkpoint; give a run's folder, or the checkpoint in it")
    said: dict[str, Any] = _cleaned(json.loads(text.tobytes()))
    if said["version"] != VERSION:
        raise bad(path, "is of another version of unrollviz; train again")
    return said


def _cleaned(said: Any) -> Any:
    """What JSON says, every word of it safe to show."""
    if isinstance(said, dict):
        return {clean(name): _cleaned(one) for name, one in said.items()}
    if isinstance(said, list):
        return [_cleaned(one) for one in said]
    return clean(said) if isinstance(said, str) else said


def _state(
    network: PlainNetwork, settings: Settings, said: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
) -> State:
    """The state, every array of the shape that the network asks for."""
    optimizer = optimizer_named(settings.optimizer, settings.numbers)
    memory = {kept: _like(network, _behind(arrays, f"{_MEMORY}{kept}.")) for kept in optimizer.remembers}
    best = _behind(arrays, _BEST)
    numbers: dict[str, Any] = {name: tuple(_floats(arrays, name)) for name in _NUMBERS}
    words = {name: said[name] for name in _WORDS}
    for name, value in {"updates": said["updates"], **words}.items():
        if not (isinstance(value, int) and value >= 0) and not (name == "every" and value is None):
            raise UnrollvizError(f"{name} is no whole number; write it again")
    loss, norm, seconds = _floats(arrays, "last")
    history = None
    if "history" in said:
        history = from_arrays(said["history"], _behind(arrays, _HISTORY))
        if history.params != tuple(network.params) or not set(history.watched) <= set(history.params):
            raise UnrollvizError("the history is of another network; write it again")
    return State(
        _like(network, _behind(arrays, _PARAMS)),
        Memory(said["updates"], memory),
        best=_like(network, best) if best else None,
        history=history,
        loss=loss,
        norm=norm,
        seconds=seconds,
        **numbers,
        **words,
    )


def _behind(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _like(network: PlainNetwork, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Array]:
    """Arrays by the names of the network's parameters, in their order."""
    for name, value in network.params.items():
        if arrays[name].shape != value.shape or arrays[name].dtype != np.float64:
            raise UnrollvizError(f"{name} has shape {arrays[name].shape}, not {value.shape}; write it again")
    return {name: arrays[name] for name in network.params}


def _floats(arrays: Mapping[str, npt.NDArray[Any]], name: str) -> Sequence[float]:
    if arrays[name].ndim != 1 or arrays[name].dtype != np.float64:
        raise UnrollvizError(f"{name} is no list of numbers; write it again")
    found: list[float] = arrays[name].tolist()
    return found


# --------------------------------------------------------------------------------------------- the folder


@contextmanager
def locked(folder: str | Path) -> Iterator[Path]:
    """The folder, made where it is missing, and nobody else's while this lasts: the lock goes with the process.

    Raises BadFile where another run writes there, or nobody can."""
    import fcntl  # not on every system, and wanted here only

    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        handle = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise BadFile(folder, f"cannot be written to ({error.strerror}); give another folder") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadFile(folder, "is in use by another run; wait for it, or give another folder") from error
        for pattern in (".*.npz.*.tmp", f"{RECORDS}/.*.npz.*.tmp"):
            for left in path.glob(pattern):  # by a run that was killed, for there is no other here
                left.unlink(missing_ok=True)
        yield path
    finally:
        os.close(handle)


def save(folder: Path, network: PlainNetwork, settings: Settings, state: State, data: str) -> bytes:
    """Put the checkpoint into the folder: a reader finds the one before or this one; what is in the file.

    Raises BadFile."""
    content = written(network, settings, state, data)
    write_atomically(folder / CHECKPOINT, content)
    return content
