"""Writing files so that a reader only ever finds the old file or the whole new one."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from unrollviz.errors import BadFile

ORPHAN_SECONDS = 3600
"""A temporary file older than this belongs to a process that was killed, and is swept away."""


def check_writable(path: str | Path) -> Path:
    """The file that writing to `path` would make or replace, symbolic links followed.

    Raises BadFile where `path` is not a file or its folder is missing or closed to us: before any work is done."""
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        raise BadFile(path, "is not a file; give the name of a file")
    if not target.parent.is_dir():
        raise BadFile(path, f"there is no folder {target.parent}; make it first, or write elsewhere")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise BadFile(path, f"the folder {target.parent} may not be written to; write elsewhere")
    return target


def write_atomically(path: str | Path, data: bytes, durable: bool = True) -> None:
    """Put `data` at `path`: temporary file in the same folder, fsync, rename. An existing file keeps its mode.

    Where it is not `durable` nothing waits for the disk: a killed process loses nothing, a power cut may; and whoever
    writes so often sweeps up what he left behind when he was killed.

    Raises BadFile where that fails; the file that was there before is then untouched and nothing is left behind."""
    target = check_writable(path)
    if durable:
        _sweep(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(target)
        if durable:
            _sync_folder(target.parent)
    except OSError as error:
        raise BadFile(path, f"cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_writable_folder(path: str | Path) -> Path:
    """The folder that `write_folder_atomically` would make or replace, symbolic links followed.

    Raises BadFile where `path` is a file or its parent is missing or closed to us."""
    target = Path(path).resolve()
    if target.exists() and not target.is_dir():
        raise BadFile(path, "is a file; give the name of a folder")
    if not target.parent.is_dir():
        raise BadFile(path, f"there is no folder {target.parent}; make it first, or write elsewhere")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise BadFile(path, f"the folder {target.parent} may not be written to; write elsewhere")
    return target


def write_folder_atomically(path: str | Path, files: Mapping[str, bytes]) -> None:
    """Make a folder of `files`, name -> bytes: written beside it, then renamed. An existing folder is replaced where
    all that it holds has the endings of what is written.

    Raises BadFile where that fails, or where the folder holds anything else; it is then as it was."""
    target = check_writable_folder(path)
    endings = {Path(name).suffix for name in files}
    if target.exists():
        strange = next((old for old in target.iterdir() if old.suffix not in endings or not old.is_file()), None)
        if strange is not None:
            raise BadFile(path, f"holds {strange.name}, which is not ours to replace; name a new folder")
    mark = secrets.token_hex(4)
    fresh, aside = (target.with_name(f".{target.name}.{mark}.{kind}") for kind in ("tmp", "old"))
    try:
        fresh.mkdir()
        for name, data in files.items():
            with (fresh / name).open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        if target.exists():
            target.replace(aside)
        try:
            fresh.replace(target)
        except OSError:
            aside.replace(target)
            raise
        _sync_folder(target.parent)
    except OSError as error:
        raise BadFile(path, f"cannot be written: {error.strerror or error}") from error
    finally:
        for left in (fresh, aside):
            shutil.rmtree(left, ignore_errors=True)


def _sweep(target: Path) -> None:
    """Remove what writers of `target` left behind when they were killed."""
    old = time.time() - ORPHAN_SECONDS
    prefix = f".{target.name}."
    with contextlib.suppress(OSError):
        for path in target.parent.iterdir():
            if path.name.startswith(prefix) and path.name.endswith(".tmp") and path.stat().st_mtime < old:
                path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last through a power cut, where the system can open a folder."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
