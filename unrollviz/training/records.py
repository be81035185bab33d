"""The states of a run at the records of its history, a small checkpoint each: what the debugger opens later.

Together they take no more than a limit: where the next one would exceed it, every other one goes, so that what is left
still spans the run evenly.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from pathlib import Path

from unrollviz.errors import BadFile
from unrollviz.files import write_atomically
from unrollviz.names import clean
from unrollviz.network import Network
from unrollviz.training.checkpoints import RECORDS, written
from unrollviz.training.state import Settings, State

LIMIT_MIB = 256

_NAME = re.compile(r"([0-9]{9,12})\.npz")


def recorded(folder: Path) -> dict[int, Path]:
    """Updates -> the file of that record, in order; empty where a run keeps none."""
    found = {}
    with contextlib.suppress(OSError):
        for path in (folder / RECORDS).iterdir():
            if (name := _NAME.fullmatch(path.name)) and path.is_file():
                found[int(name[1])] = path
    return dict(sorted(found.items()))


class Records:
    """Keeps the records of one run in its folder, within a limit of bytes."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder / RECORDS, limit
        self._sizes = {updates: path.stat().st_size for updates, path in recorded(folder).items()}

    def keep(self, network: Network, settings: Settings, state: State, data: str) -> bool:
        """Keep a state that has just been recorded; False where the limit has no room for even one. Raises BadFile."""
        if state.history is None or state.updates in self._sizes:
            return True
        alone = replace(state, history=state.history.part([-1]), best=None)
        content = written(network, settings, alone, data)
        while sum(self._sizes.values()) + len(content) > self._limit:
            gone = list(self._sizes)[1::2] or list(self._sizes)
            if not gone:
                return False
            self._remove(gone)
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise BadFile(clean(str(self._folder)), f"cannot be a folder ({error.strerror}); remove it") from error
        write_atomically(self._path(state.updates), content, durable=False)
        self._sizes[state.updates] = len(content)
        return True

    def forget_after(self, updates: int) -> None:
        """Remove the records of updates that are to be made again."""
        self._remove([later for later in self._sizes if later > updates])

    def _remove(self, which: list[int]) -> None:
        for updates in which:
            self._path(updates).unlink(missing_ok=True)
            del self._sizes[updates]

    def _path(self, updates: int) -> Path:
        return self._folder / f"{updates:09d}.npz"
