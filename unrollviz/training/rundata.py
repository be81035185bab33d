"""What a run is trained on, kept in its folder, so that any of its updates can be looked at and made again."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unrollviz.arrays import Array
from unrollviz.batch import Batch, unreduced
from unrollviz.files import write_atomically
from unrollviz.names import clean
from unrollviz.network import Network
from unrollviz.readers.limits import BYTES_LIMIT, bad, reading
from unrollviz.readers.npz import read_arrays

DATA = "data.npz"

LIMIT = 2**28
"""256 MiB: of more data no copy is kept."""

JSON_LIMIT = 2**20
_INITIAL = "initial."


@dataclass(frozen=True, eq=False)
class RunData:
    """All instances, their weights not yet divided by anything; what ids stand for, where that is known."""

    whole: Batch
    vocabulary: tuple[str, ...] | None = None


def save(folder: Path, data: RunData) -> None:
    """Keep a copy in the folder, unless it is too large. Raises BadFile."""
    whole = data.whole
    arrays: dict[str, npt.NDArray[Any]] = {
        "inputs": _as_ids(whole.inputs),
        "targets": _as_ids(whole.targets),
        "weights": whole.weights,
        "lengths": whole.lengths,
        **{f"{_INITIAL}{name}": value for name, value in whole.initial.items()},
    }
    if sum(value.nbytes for value in arrays.values()) > LIMIT:
        return
    vocabulary = None if data.vocabulary is None else list(data.vocabulary)
    said = {"loss": whole.loss, "readout": whole.readout, "vocabulary": vocabulary}
    arrays["said"] = np.frombuffer(json.dumps(said).encode(), dtype=np.uint8)
    with io.BytesIO() as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
        write_atomically(folder / DATA, file.getvalue())


def read(folder: Path, network: Network, limit: int = BYTES_LIMIT) -> RunData | None:
    """The copy; None where there is none. Raises BadFile for every kind of broken or hostile file."""
    path = folder / DATA
    if not path.exists():
        return None
    with reading(path, "a run's data"):
        arrays = read_arrays(path, limit)
        text = arrays["said"]
        if text.dtype != np.uint8 or text.ndim != 1 or text.size > JSON_LIMIT:
            raise bad(path, "is no data of a run; train again")
        said = json.loads(text.tobytes())
        words = said["vocabulary"]
        whole = unreduced(
            network,
            arrays["inputs"],
            arrays["targets"],
            {k.removeprefix(_INITIAL): v for k, v in arrays.items() if k.startswith(_INITIAL)},
            clean(said["loss"]),
            clean(said["readout"]),
            arrays["weights"],
            arrays["lengths"],
        )
        return RunData(whole, None if words is None else _symbols(words))


def _symbols(words: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(word)[:200] for word in words)


def _as_ids(values: Array) -> npt.NDArray[Any]:
    """(T, B) ids where every entry is one-hot, which takes a part of the room; else as it is."""
    ids = values.argmax(axis=2)
    one_hot = np.count_nonzero(values) == ids.size and (np.take_along_axis(values, ids[..., None], 2) == 1).all()
    return ids if one_hot and values.shape[2] > 1 else values
