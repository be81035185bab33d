"""Reading a sequence: arrays from an .npz file, or text."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from unrollviz.errors import BadFile, nearest_name

BYTES_LIMIT = 2**29
"""512 MiB: the declared sizes of all arrays are added up before any of them is read."""

_HEADER_LIMIT = 2**16
_ARRAYS = ("xs", "targets", "initial")


def read_npz(path: str | Path, limit: int = BYTES_LIMIT) -> dict[str, npt.NDArray[Any]]:
    """The arrays `xs` and `targets`, and `initial` where there is one, from an .npz file.

    Nothing in the file is executed, and nothing is read before its declared size is known to be within `limit` bytes.

    Raises BadFile, `path: reason`, for every kind of missing, broken or hostile file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_arrays(archive, path, limit)
    except BadFile:
        raise
    except zipfile.BadZipFile as error:
        raise BadFile(path, "not an .npz file; write it with numpy.savez(path, xs=…, targets=…)") from error
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror or error}); check the path") from error
    except (
        ValueError,
        EOFError,
        KeyError,
        NotImplementedError,
        RuntimeError,
        SyntaxError,
        MemoryError,
        zlib.error,
    ) as error:
        raise BadFile(path, f"broken .npz file ({type(error).__name__}); write it again with numpy.savez") from error


def _read_arrays(archive: zipfile.ZipFile, path: str | Path, limit: int) -> dict[str, npt.NDArray[Any]]:
    names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
    for name in names:
        if names.count(name) > 1:
            raise BadFile(path, f"two arrays are called {name}; give each a name of its own")
        if name not in _ARRAYS:
            nearest = nearest_name(name, _ARRAYS)
            hint = f"did you mean {nearest}? " if nearest else ""
            raise BadFile(path, f"unknown array {name}; {hint}give xs and targets, and initial if you like")
    for name in _ARRAYS[:2]:
        if name not in names:
            raise BadFile(path, f"has no array {name}; give xs and targets")
    declared = 0
    for info in archive.infolist():
        with archive.open(info) as stream:
            declared += _declared_bytes(stream, info, path)
        if declared > limit:
            raise BadFile(
                path, f"declares {declared:,} bytes, more than the limit of {limit:,}; give a shorter sequence"
            )
    found = {}
    for info in archive.infolist():
        with archive.open(info) as stream:
            found[info.filename.removesuffix(".npy")] = np.lib.format.read_array(
                stream, allow_pickle=False, max_header_size=_HEADER_LIMIT
            )
    return found


def _declared_bytes(stream: IO[bytes], info: zipfile.ZipInfo, path: str | Path) -> int:
    """What the array's header says it holds; BadFile where that is not what the archive stores."""
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream, max_header_size=_HEADER_LIMIT)
    if dtype.hasobject:
        raise BadFile(path, f"{info.filename} holds Python objects, which are never loaded; give plain numbers")
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or size + stream.tell() != info.file_size:
        raise BadFile(
            path, f"{info.filename} declares shape {shape} but stores {info.file_size:,} bytes; write it again"
        )
    return size


def read_text(path: str | Path, limit: int = BYTES_LIMIT) -> str:
    """A UTF-8 text file without its last line break.

    Raises BadFile for a missing, unreadable or too large file and for other encodings."""
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror or error}); check the path") from error
    if len(data) > limit:
        raise BadFile(path, f"has more than {limit:,} bytes; give a shorter text")
    try:
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise BadFile(path, f"is not UTF-8 text (byte {error.start}); convert it first") from error
