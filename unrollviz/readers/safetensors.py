"""Reading and writing .safetensors files: a JSON header, then the numbers."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unrollviz.arrays import Array
from unrollviz.errors import ShapeError
from unrollviz.names import clean
from unrollviz.readers.limits import BYTES_LIMIT, TENSORS_LIMIT, bad, check_declared, check_file, reading
from unrollviz.readers.tensors import Floats, Tensors

_HEADER_LIMIT = 2**23
_MARKS_LIMIT = 16 * TENSORS_LIMIT
"""Brackets and quotation marks in a header; a tensor takes 13. Bounds what parsing it costs."""

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def read(path: str | Path, limit: int = BYTES_LIMIT) -> Tensors:
    """The floating-point tensors by name.

    Raises BadFile, `path: reason`, for every kind of missing, broken or hostile file."""
    with reading(path, "a .safetensors"):
        start, header = _header(path, limit)
        metadata = header.pop("__metadata__", {})
        sizes = [(name, end - begin) for name, entry in header.items() for begin, end in [entry["data_offsets"]]]
        check_declared(path, sizes, limit)
        floats = {name: entry for name, entry in header.items() if entry["dtype"] in _TYPES}
        return Tensors(
            {name: _tensor(path, start, entry) for name, entry in floats.items()},
            {clean(name): clean(value) for name, value in metadata.items()},
            tuple(name for name in header if name not in floats),
        )


def _header(path: str | Path, limit: int) -> tuple[int, dict[str, Any]]:
    """Where the numbers begin, and the header, which is in order: no overlap, no hole, every size right."""
    from safetensors import safe_open

    size = check_file(path, limit, spare=_HEADER_LIMIT)
    with Path(path).open("rb") as file:
        first = file.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
        if not 0 < length <= size - 8:
            raise bad(path, "not a .safetensors file, or cut off; write it again")
        if length > _HEADER_LIMIT:
            raise bad(path, f"has a header of {length:,} bytes, more than the limit of {_HEADER_LIMIT:,}")
        written = file.read(length)
    if sum(map(written.count, (b"{", b"[", b'"'))) > _MARKS_LIMIT:
        raise bad(path, f"has a header of more than {TENSORS_LIMIT:,} arrays, the limit")
    with safe_open(str(path), framework="np"):
        pass  # opening it checks the header
    return 8 + length, json.loads(written, object_pairs_hook=_without_duplicates)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ShapeError(f"two entries are called {clean(name)}; give each a name of its own")
        found[name] = value
    return found


def _tensor(path: str | Path, start: int, entry: Mapping[str, Any]) -> Floats:
    begin, end = entry["data_offsets"]
    dtype = np.dtype(_TYPES[entry["dtype"]])
    stored = np.fromfile(path, dtype, (end - begin) // dtype.itemsize, offset=start + begin)
    if entry["dtype"] == "BF16":  # the upper half of a float32
        stored = (stored.astype("<u4") << 16).view("<f4")
    return stored.reshape(entry["shape"])


def written(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """The file's contents: float64, in the order given, the same bytes every time.

    (The package's own writer puts metadata in an order that changes from run to run.)"""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    position = 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F64", "shape": array.shape, "data_offsets": (position, position + array.nbytes)}
        position += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *(array.astype("<f8").tobytes() for array in arrays.values())])
