"""Reading .npz files: arrays by name, from a zip of .npy files."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unrollviz.names import clean
from unrollviz.readers.archive import open_zip
from unrollviz.readers.limits import BYTES_LIMIT, bad, check_declared, reading
from unrollviz.readers.tensors import Tensors

METADATA = "metadata."
"""Arrays whose names begin so are single words about the others: numpy's format has no place for them."""

_HEADER_LIMIT = 2**16


def read_names(path: str | Path, limit: int = BYTES_LIMIT) -> list[str]:
    """The names of the arrays, in the order of the file. Raises BadFile where it is not a zip."""
    with reading(path, "an .npz"), open_zip(path, limit) as archive:
        return [_name(entry) for entry in archive.infolist()]


def read_arrays(path: str | Path, limit: int = BYTES_LIMIT) -> dict[str, npt.NDArray[Any]]:
    """The arrays by name.

    Nothing in the file is executed, and nothing is read before its declared size is known to be within `limit` bytes.

    Raises BadFile, `path: reason`, for every kind of missing, broken or hostile file.
    """
    with reading(path, "an .npz"), open_zip(path, limit) as archive:
        entries = archive.infolist()
        check_declared(path, [(_name(entry), _declared_bytes(archive, entry, path)) for entry in entries], limit)
        found = {}
        for entry in entries:
            with archive.open(entry) as stream:
                found[_name(entry)] = np.lib.format.read_array(
                    stream, allow_pickle=False, max_header_size=_HEADER_LIMIT
                )
        return found


def read(path: str | Path, limit: int = BYTES_LIMIT) -> Tensors:
    """The floating-point arrays by name. Raises BadFile, as `read_arrays` does."""
    arrays = read_arrays(path, limit)
    words = {name: value for name, value in arrays.items() if name.startswith(METADATA) and value.dtype.kind == "U"}
    floats = {name: value for name, value in arrays.items() if value.dtype.kind == "f"}
    return Tensors(
        floats,
        {clean(name.removeprefix(METADATA)): clean(str(value)) for name, value in words.items() if value.ndim == 0},
        tuple(name for name in arrays if name not in floats and name not in words),
    )


def _name(entry: zipfile.ZipInfo) -> str:
    return entry.filename.removesuffix(".npy")


def _declared_bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: str | Path) -> int:
    """What the array's header says it holds; BadFile where that is not what the archive stores."""
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(stream, max_header_size=_HEADER_LIMIT)
        stored = entry.file_size - stream.tell()
    name = clean(_name(entry))
    if dtype.hasobject:
        raise bad(path, f"{name} holds Python objects, which are never loaded; give plain numbers")
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or size != stored:
        raise bad(path, f"{name} declares shape {shape} but stores {stored:,} bytes; write it again")
    return size
