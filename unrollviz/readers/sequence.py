"""Reading a sequence: arrays from an .npz file, or text."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy.typing as npt

from unrollviz.errors import BadFile, nearest_name
from unrollviz.names import clean
from unrollviz.readers.limits import BYTES_LIMIT, bad, reading
from unrollviz.readers.npz import read_arrays, read_names

_ARRAYS = ("xs", "targets", "initial", "lengths", "weights")
_INITIAL_STATE = re.compile(r"(l\d{1,4}\.)?((fwd|bwd)\.)?[a-z]0")


def read_npz(path: str | Path, limit: int = BYTES_LIMIT) -> dict[str, npt.NDArray[Any]]:
    """The arrays `xs` and `targets`, from an .npz file, and `lengths`, `weights` and initial states (`initial`; `h0`,
    `l2.c0`) where they are given.

    Nothing in the file is executed, and nothing is read before its declared size is known to be within `limit` bytes.

    Raises BadFile, `path: reason`, for every kind of missing, broken or hostile file.
    """
    try:
        names = read_names(path, limit)
    except BadFile as error:
        if isinstance(error.__cause__, zipfile.BadZipFile):
            how = 'np.savez("seq.npz", xs=…, targets=…)'
            raise bad(path, f"not an .npz file, or a broken one; NumPy writes one: {how}") from error
        raise
    for name in names:
        if name not in _ARRAYS and not _INITIAL_STATE.fullmatch(name):
            nearest = nearest_name(name, _ARRAYS)
            hint = f"did you mean {nearest}? " if nearest else ""
            raise bad(
                path,
                f"unknown array {clean(name)}; {hint}give xs and targets, and if you like {', '.join(_ARRAYS[2:])}",
            )
    for name in _ARRAYS[:2]:
        if name not in names:
            raise bad(path, f"has no array {name}; give xs and targets")
    return read_arrays(path, limit)


def read_text(path: str | Path, limit: int = BYTES_LIMIT) -> str:
    """A UTF-8 text file without its last line break.

    Raises BadFile for a missing, unreadable or too large file and for other encodings."""
    with reading(path, "a text"), Path(path).open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise bad(path, f"has more than {limit:,} bytes; give a shorter text")
    try:
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise bad(path, f"is not UTF-8 text (byte {error.start}); convert it first") from error
