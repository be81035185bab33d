"""The updates since the checkpoint: after every one of them the state is written again, in two files by turns.

Nothing waits for the disk: what a process has written, the kernel keeps when the process is killed. One file always
holds a whole state, whatever the other one is in the middle of; a power cut may take both, and leaves the checkpoint.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from unrollviz.arrays import Array
from unrollviz.errors import UnrollvizError
from unrollviz.history import COLUMNS, to_arrays
from unrollviz.optim import Memory
from unrollviz.readers.limits import BYTES_LIMIT
from unrollviz.training.state import State

NAMES = ("journal.0", "journal.1")

MAGIC = b"unrollv1"
HEADER = struct.Struct("<8s16sQQI")
"""MAGIC, which checkpoint it goes on from, updates, how many numbers follow, their checksum."""

LISTS = ("losses", "gradient_norms", "validation_losses")


class Journal:
    """Where the states since a checkpoint go. To be closed."""

    def __init__(self, folder: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        self._files = [os.open(folder / name, flags, 0o644) for name in NAMES]
        self._folder, self._turn = folder, 0
        self._mark, self._base = b"", State({}, Memory(0, {}))

    def begin(self, checkpoint: bytes, base: State) -> None:
        """From now on states go on from this checkpoint, whose contents are given."""
        self._mark, self._base = mark(checkpoint), base

    def write(self, state: State) -> None:
        """Put a state beside the one before it."""
        numbers = flat(state, self._base).tobytes()
        checksum = _sum(self._mark, state.updates, numbers)
        content = HEADER.pack(MAGIC, self._mark, state.updates, len(numbers) // 8, checksum) + numbers
        if os.pwrite(self._files[self._turn], content, 0) != len(content):
            raise OSError(28, os.strerror(28))  # a write is cut short where the disk is full
        self._turn = 1 - self._turn

    def close(self, remove: bool = False) -> None:
        """Let go of the files; away with them where a checkpoint holds all that they hold."""
        for handle, name in zip(self._files, NAMES, strict=True):
            os.close(handle)
            if remove:
                (self._folder / name).unlink(missing_ok=True)


def mark(checkpoint: bytes) -> bytes:
    """Tells checkpoints apart: a hash of what the file holds."""
    return sha256(checkpoint).digest()[:16]


def _sum(base: bytes, updates: int, numbers: bytes) -> int:
    return crc32(numbers, crc32(base + updates.to_bytes(8, "little")))


def latest(folder: Path, checkpoint: bytes, base: State) -> State:
    """The last state that was written whole and goes on from this checkpoint, which holds `base`; else `base`.

    Raises UnrollvizError where one is whole, but not of the same network and settings."""
    found = [entry for name in NAMES for entry in _entries(folder / name, mark(checkpoint))]
    updates, numbers = max(found, key=lambda entry: entry[0], default=(0, np.zeros(0)))
    return restored(numbers, base) if updates > base.updates else base


def _entries(path: Path, wanted: bytes) -> Iterator[tuple[int, Array]]:
    if not path.is_file():  # nobody waits for what is no file
        return
    try:
        with path.open("rb") as file:
            header = file.read(HEADER.size)
            if len(header) < HEADER.size:
                return
            magic, base, updates, count, checksum = HEADER.unpack(header)
            if (magic, base) != (MAGIC, wanted) or count * 8 > min(os.fstat(file.fileno()).st_size, BYTES_LIMIT):
                return
            content = file.read(count * 8)
    except OSError:
        return
    if len(content) == count * 8 and _sum(base, updates, content) == checksum:
        yield updates, np.frombuffer(content)


def flat(state: State, base: State) -> Array:
    """All that a state has beyond an earlier one of the same run, as numbers in a row."""
    tails: list[Sequence[float]] = [getattr(state, name)[len(getattr(base, name)) :] for name in LISTS]
    best = state.best if state.best is not None and state.best is not base.best else {}
    rows = 0 if state.history is None else len(state.history) - (0 if base.history is None else len(base.history))
    every = -1 if state.every is None else state.every
    first = [state.updates, state.epoch, state.position, every, state.loss, state.norm, state.seconds, *state.running]
    parts: list[Any] = [first, [*map(len, tails), len(best), rows], *tails]
    arrays = [*state.params.values(), *(a for kept in state.memory.arrays.values() for a in kept.values())]
    parts += [value.ravel() for value in (*arrays, *best.values())]
    if rows and state.history is not None:
        parts += [value[-rows:].ravel() for value in to_arrays(state.history).values()]
    return np.concatenate(parts, dtype=np.float64)


def restored(numbers: Array, base: State) -> State:
    """The opposite. Raises UnrollvizError where there are more or fewer numbers than there should be."""
    rest = _Row(numbers)
    updates, epoch, position, every = (int(number) for number in rest.take(4))
    loss, norm, seconds, *running = rest.take(6).tolist()
    *counts, best, rows = (int(number) for number in rest.take(5))
    tails = {name: getattr(base, name) + tuple(rest.take(n).tolist()) for name, n in zip(LISTS, counts, strict=True)}
    params = {name: rest.like(value) for name, value in base.params.items()}
    memory = {kept: {name: rest.like(v) for name, v in of.items()} for kept, of in base.memory.arrays.items()}
    better = {name: rest.like(value) for name, value in base.params.items()} if best else base.best
    history = base.history
    if rows and history is not None:
        columns: dict[str, Any] = {}
        for name in COLUMNS:
            like = getattr(history, name)
            found = rest.take(rows * int(np.prod(like.shape[1:], dtype=np.int64))).reshape(rows, *like.shape[1:])
            columns[name] = np.concatenate([like, found.astype(like.dtype)])
        history = replace(history, **columns)
    rest.end()
    return replace(
        base,
        params=params,
        memory=Memory(updates, memory),
        epoch=epoch,
        position=position,
        running=(running[0], running[1], running[2]),
        best=better,
        history=history,
        every=None if every < 0 else every,
        loss=loss,
        norm=norm,
        seconds=seconds,
        **tails,
    )


class _Row:
    """Numbers that are taken one part after the other."""

    def __init__(self, numbers: Array) -> None:
        self._numbers, self._at = numbers, 0

    def take(self, count: int) -> Array:
        if not 0 <= count <= len(self._numbers) - self._at:
            raise UnrollvizError("the journal beside it is of another network; remove it to go on from the checkpoint")
        self._at += count
        return self._numbers[self._at - count : self._at]

    def like(self, value: Array) -> Array:
        return self.take(value.size).reshape(value.shape).copy()

    def end(self) -> None:
        self.take(0 if self._at == len(self._numbers) else -1)
