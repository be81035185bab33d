"""How many paths may be listed, and how much memory a question may take, before it is refused; raised on request.

Every limit is a constant where it is used, with a reason. What is said here takes the place of all of its kind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

_SAID: dict[str, int] = {}


@contextmanager
def limits(*, paths: int | None = None, memory: int | None = None) -> Iterator[None]:
    """Let so many `paths` be listed, and so many bytes of `memory` be taken by one question, within this block."""
    before = dict(_SAID)
    _SAID.update({name: value for name, value in (("paths", paths), ("memory", memory)) if value is not None})
    try:
        yield
    finally:
        _SAID.clear()
        _SAID.update(before)


def paths_allowed(constant: int) -> int:
    """How many paths may be listed: the `constant`, if nothing else has been said."""
    return _SAID.get("paths", constant)


def memory_allowed(constant: int) -> int:
    """How many bytes may be taken: the `constant`, if nothing else has been said."""
    return _SAID.get("memory", constant)


def raising_memory(needed: int) -> str:
    """How whoever has been refused so many bytes gets them."""
    gib = math.ceil(100 * needed / 2**30) / 100
    return f"raise it, --max-gib {gib:g} or uz.limits(memory={needed})"
