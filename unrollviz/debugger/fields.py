"""What stands in a session, field by field: each is of its kind, or an error names it."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from unrollviz.arrays import Array
from unrollviz.errors import ShapeError, UnrollvizError
from unrollviz.names import clean

LISTED_LIMIT = 10_000
"""Entries of a list; the sequence's instances are one."""


def packed(values: Array) -> dict[str, Any]:
    return {"shape": list(values.shape), "data": base64.b64encode(values.astype("<f8").tobytes()).decode("ascii")}


def unpacked(packed: Any, what: str, wanted: tuple[int, ...] | None = None) -> Array:
    """The array, of finite numbers. Raises ShapeError, naming it."""
    what = clean(what)
    if not isinstance(packed, dict):
        raise ShapeError(f"{what}: is no array; give shape and data")
    shape, data = tuple(listed(packed, "shape", int)), get(packed, "data", str)
    if len(shape) > 3 or any(size < 0 for size in shape) or (wanted is not None and shape != wanted):
        raise ShapeError(f"{what}: has shape {shape[:4]}" + (f"; it should be {wanted}" if wanted else ""))
    try:
        content = base64.b64decode(data, validate=True)
    except ValueError as error:
        raise ShapeError(f"{what}: is not base64 ({error})") from error
    if len(content) != 8 * math.prod(shape):
        raise ShapeError(f"{what}: has {len(content):,} bytes, but shape {shape}")
    values = np.frombuffer(content, dtype="<f8").astype(np.float64).reshape(shape)
    if not np.isfinite(values).all():
        raise ShapeError(f"{what}: holds a number that is not finite")
    return values


def get(content: Mapping[str, Any], key: str, kind: type) -> Any:
    """What stands at a key, which must be of a type. Raises UnrollvizError."""
    if key not in content:
        raise UnrollvizError(f"{key}: is missing")
    if type(content[key]) is not kind:
        raise UnrollvizError(f"{key}: is not {_WORDS[kind]}")
    return content[key]


_WORDS: dict[type, str] = {
    str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "an object"
}  # fmt: skip


def count(content: Mapping[str, Any], key: str) -> int:
    number = get(content, key, int)
    if not 0 <= number < 2**53:
        raise UnrollvizError(f"{key}: is out of range")
    return int(number)


def listed(content: Mapping[str, Any], key: str, kind: type) -> list[Any]:
    found: list[Any] = get(content, key, list)
    if len(found) > LISTED_LIMIT or not all(type(entry) is kind for entry in found):
        raise UnrollvizError(f"{key}: is too long, or not each of its entries is {_WORDS[kind]}")
    return found


@contextmanager
def place(where: str) -> Iterator[None]:
    """Say where in the file something is wrong."""
    try:
        yield
    except UnrollvizError as error:
        raise UnrollvizError(f"{where}: {error}") from error
