"""What every reader holds a file to: regular, small enough, safe names; and one kind of error for all the rest."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from unrollviz.errors import BadFile, MissingExtra, UnrollvizError
from unrollviz.names import clean

BYTES_LIMIT = 2**29
"""512 MiB: the declared sizes of all arrays are added up before any of them is read."""

TENSORS_LIMIT = 10_000
"""Arrays in one file."""


def bad(path: str | Path, reason: str) -> BadFile:
    """BadFile whose path is safe to show; `reason` quotes nothing from the file that is not cleaned."""
    return BadFile(clean(str(path), limit=4000), reason)


@contextmanager
def reading(path: str | Path, kind: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into BadFile, `path: reason`.

    The libraries that parse files raise many types on broken ones (zlib.error, KeyError, SyntaxError, …), and not
    always the same: hence Exception."""
    try:
        with np.errstate(all="ignore"):  # numbers are checked one by one, a broken file warns of nothing
            yield
    except (BadFile, MissingExtra):
        raise
    except UnrollvizError as error:
        raise bad(path, str(error)) from error
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:  # else a seek to nowhere: a broken file
            raise bad(path, f"cannot be read ({error.strerror}); check the path") from error
        raise bad(path, f"not {kind} file, or a broken one ({type(error).__name__}); write it again") from error


def check_file(path: str | Path, limit: int | None = None, *, spare: int = 0) -> int:
    """The size in bytes of a regular file, which may be larger than the limit by what it spends on headers.

    Raises BadFile for anything else (a pipe or a device could keep its reader waiting for ever), and OSError."""
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):
        raise bad(path, "cannot be read: it is not a file; give the name of a file")
    if limit is not None and status.st_size > limit + spare:
        raise bad(path, f"has {status.st_size:,} bytes, more than the limit of {limit:,}; raise the limit or give less")
    return status.st_size


def check_declared(path: str | Path, sizes: Iterable[tuple[str, int]], limit: int) -> None:
    """Check what a file declares to hold, (name, bytes) each: called before any of it is read.

    Raises BadFile for an unsafe name, two of one name, too many arrays, or more than `limit` bytes in all."""
    seen: set[str] = set()
    total = 0
    for name, size in sizes:
        if clean(name) != name:
            raise bad(path, f"the name {clean(name)} is too long or holds control characters; rename it")
        if name in seen:
            raise bad(path, f"two arrays are called {name}; give each a name of its own")
        seen.add(name)
        total += size
    if len(seen) > TENSORS_LIMIT:
        raise bad(path, f"holds {len(seen):,} arrays, more than the limit of {TENSORS_LIMIT:,}")
    if total > limit:
        raise bad(path, f"declares {total:,} bytes, more than the limit of {limit:,}; raise the limit or give less")
