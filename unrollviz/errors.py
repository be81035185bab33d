"""Every error unrollviz raises on purpose: each says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from unrollviz.counts import integer


class UnrollvizError(Exception):
    """Root of the tree; the command line prints its message on one line and exits with 2."""


class ShapeError(UnrollvizError):
    """An array has the wrong shape, type or range for the place it was given."""


class NonFinite(UnrollvizError):
    """A value or a cotangent is NaN or infinite.

    Attributes:
        node: name of the first node, in the order of computation, that holds such a value.
        time: its time step, or None for a parameter.
        partial: where the forward pass ended here, the `Unrolled` of all that was computed before; else None.
    """

    def __init__(self, what: str, node: str, time: int | None, advice: str) -> None:
        where = f" at step {time}" if time is not None else ""
        super().__init__(f"{what} at node {node}{where} is not finite; {advice}")
        self.node = node
        self.time = time
        self.partial: Any = None


class UnknownName(UnrollvizError):
    """A name that is none of the valid choices; the message offers the nearest one.

    Attributes:
        name: what was asked for.
        nearest: the most similar valid name, or None.
        advice: what is said instead of the nearest name and the choices, where more is known; else empty.
    """

    def __init__(self, kind: str, name: str, choices: Iterable[str], advice: str = "") -> None:
        name, valid = str(name), list(choices)
        nearest = nearest_name(name, valid)
        hint = f"did you mean {nearest}? " if nearest else ""
        super().__init__(f"unknown {kind} '{name}'; {advice or f'{hint}choose one of {listed(valid)}'}")
        self.name = name
        self.advice = advice
        self.nearest = nearest


class TooManyPaths(UnrollvizError):
    """More paths than may be listed one by one; raised before a single path is walked.

    Attributes:
        count: the exact number of paths.
    """

    def __init__(self, count: int, limit: int, advice: str) -> None:
        many = f"{count:,}" if count < 10**1000 else integer(count)
        raising = "or raise it, --max-paths N or uz.limits(paths=N)"
        super().__init__(f"{many} paths are more than the limit of {limit:,}; {advice}; {raising}")
        self.count = count


class BadFile(UnrollvizError):
    """A file that cannot be read, written or understood: `path: reason`."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class DrawingFailed(UnrollvizError):
    """Graphviz did not produce the picture it was asked for."""


class MissingExtra(UnrollvizError):
    """An optional part was asked for that is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional part; install it with: pip install 'unrollviz[{extra}]'")


_NUMBERED = re.compile(r"(.*[^0-9])([0-9]{1,9})", re.DOTALL)


def nearest_name(name: str, choices: Iterable[str]) -> str | None:
    """The valid name most like `name` (letter case ignored), or None when none is close; of a series that ends before
    it, the nearest number: L40 for L41, not L4."""
    by_lower = {choice.lower(): choice for choice in choices}
    numbered = _NUMBERED.fullmatch(name.lower())
    if numbered is not None and name.lower() not in by_lower:
        stem, number = numbered[1], int(numbered[2])
        series = [int(found[2]) for choice in by_lower if (found := _NUMBERED.fullmatch(choice)) and found[1] == stem]
        nearest = min(series, key=lambda one: abs(one - number), default=number)
        if 0 < abs(nearest - number) <= len(series):  # s33 of five is another slip
            return by_lower[f"{stem}{nearest}"]
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[close[0]] if close else None


def listed(names: Iterable[str], most: int = 16) -> str:
    """The first `most` of them, a series without a gap being one: `U, W, s1 … s40, …`."""
    kinds: dict[tuple[str, bool], list[tuple[int, str]]] = {}
    for name in names:
        numbered = _NUMBERED.fullmatch(name)
        stem, number = (name, -1) if numbered is None else (numbered[1], int(numbered[2]))
        kinds.setdefault((stem, numbered is not None), []).append((number, name))
    shown: list[str] = []
    for (_, counted), kind in kinds.items():
        numbers = sorted(kind)
        if (
            counted
            and len(kind) > 3
            and [number for number, _ in numbers] == [*range(numbers[0][0], numbers[-1][0] + 1)]
        ):
            shown.append(f"{numbers[0][1]} … {numbers[-1][1]}")
        else:
            shown += [name for _, name in kind]
        if len(shown) > most:
            break
    return ", ".join(shown[:most]) + (", …" if len(shown) > most else "")
