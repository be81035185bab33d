"""Zip archives (.npz, .pt), opened with care."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unrollviz.readers.limits import TENSORS_LIMIT, bad, check_file

_DIRECTORY_LIMIT = 2**22
_ENTRIES_LIMIT = TENSORS_LIMIT + 100


class _Frugal(io.FileIO):
    """A file that gives little at a time. Only a zip's directory is ever wanted in one large piece, and one that long,
    cut off here, is a broken zip to its reader."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(_DIRECTORY_LIMIT if size is None or size < 0 else min(size, _DIRECTORY_LIMIT)) or b""


@contextmanager
def open_zip(path: str | Path, limit: int) -> Iterator[zipfile.ZipFile]:
    """The archive, once its entries are known to be few and to unpack to about `limit` bytes at most.

    Only the usual compression is read: Python unpacks the others without a bound on memory.

    Raises BadFile for what is named here, zipfile.BadZipFile and others for what is broken.
    """
    check_file(path)
    with _Frugal(path) as file, zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > _ENTRIES_LIMIT:
            raise bad(path, f"holds {len(entries):,} arrays, more than the limit of {TENSORS_LIMIT:,}")
        if not {entry.compress_type for entry in entries} <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise bad(path, "is packed in a way that is not read here; write it again")
        total = sum(entry.file_size for entry in entries)
        if total > limit + _DIRECTORY_LIMIT:
            raise bad(path, f"declares {total:,} bytes, more than the limit of {limit:,}; raise the limit or give less")
        yield archive
