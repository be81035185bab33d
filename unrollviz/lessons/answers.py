"""The kinds of answers: what is right, and what is said on what is not."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Protocol

from unrollviz.lessons import spelling
from unrollviz.names import derivative, typeset


@dataclass(frozen=True)
class Judgement:
    """Of what was typed: right, wrong, or None where it is no answer at all; and a word on it.

    `helps` where the word makes a hint needless."""

    right: bool | None
    remark: str = ""
    helps: bool = False


RIGHT, WRONG = Judgement(True), Judgement(False)


class Answer(Protocol):
    """A right answer: it is shown, and judges what is typed."""

    @property
    def shown(self) -> str: ...

    def judge(self, text: str) -> Judgement: ...


WORKED_OUT = 0.01
"""By what part a number that was worked out, as 0.163 - 1 is, may be off."""


@dataclass(frozen=True)
class Number:
    """A number; shown with so many significant `digits`.

    One rule for all: a whole number has to be met; any other is right where it is the true one rounded, or cut off, to
    the digits typed, two at least, or where it was typed as a sum, a power or the like that comes within WORKED_OUT.
    """

    value: float
    digits: int = 6

    @property
    def shown(self) -> str:
        return f"{self.value:.{self.digits}g}"

    @property
    def _whole(self) -> bool:
        return abs(self.value - round(self.value)) < 1e-9

    def judge(self, text: str) -> Judgement:
        typed, sizes = spelling.number(text), spelling.shape(text)
        if typed and self._met(typed):
            return self._told(typed)
        if sizes and (self._whole or typed is None):
            return Judgement(None, "That is the shape of a matrix; type one number, such as 12.")
        if typed is None:
            return Judgement(None, "Type a number; 12 + 9, 0.9^50, 5e-3, 2 %, sqrt(2) or log(3)/log(2) will do too.")
        return WRONG

    def _met(self, typed: spelling.Typed) -> bool:
        exact = abs(typed.value - self.value) <= 1e-9 * abs(self.value)
        if exact or self._whole:
            return exact
        if typed.unit is None:
            return abs(typed.value - self.value) <= WORKED_OUT * abs(self.value)
        true, seen = self.value / typed.unit, round(typed.value / typed.unit)
        return seen != 0 and seen in (round(true), math.trunc(true))

    def _told(self, typed: spelling.Typed) -> Judgement:
        rough = not self._whole and typed.digits == 1 and abs(typed.value - self.value) > 1e-9 * abs(self.value)
        return Judgement(None, "Give it with two digits at least.") if rough else RIGHT


@dataclass(frozen=True)
class Shape:
    """The shape of a matrix in numbers or letters: 3 x 4 or d x n."""

    sizes: tuple[int, int]
    letters: tuple[str, str]

    @property
    def shown(self) -> str:
        return f"{' × '.join(self.letters)} = {' × '.join(map(str, self.sizes))}"

    def judge(self, text: str) -> Judgement:
        found = [self._read(part) for part in spelling.plain(text).lower().split("=")]
        if not any(found):
            return Judgement(None, "Type rows x columns, as 2 x 5.")
        return Judgement(any(part in (self.sizes, self.letters) for part in found))

    def _read(self, typed: str) -> tuple[int, ...] | tuple[str, ...] | None:
        """The two sizes, or the two letters, in `typed`; a number alone is no shape."""
        numbers = tuple(int(found) for found in re.findall(r"\d+", typed))
        letters = tuple(re.findall(r"(?<![a-z])[dnkt](?![a-z])", typed))
        return next((found for found in (numbers, letters) if len(found) == 2), None)


@dataclass(frozen=True)
class Names:
    """Nodes by their names, in any order or, where `ordered`, as they lie on a path.

    Attributes:
        names: those to be named.
        optional: what may be left out.
        stem: what a number alone stands for: 3 for s3.
        remarks: (name, why it is wrong).
        among: all the nodes there are, where that is known; what is none of them is no answer.
    """

    names: tuple[str, ...]
    ordered: bool = False
    optional: tuple[str, ...] = ()
    stem: str = ""
    remarks: Sequence[tuple[str, str]] = ()
    among: frozenset[str] = frozenset()

    @property
    def shown(self) -> str:
        return (" → " if self.ordered else ", ").join(map(typeset, self.names))

    def judge(self, text: str) -> Judgement:
        typed = [name for name in spelling.names(text, self.stem) if name not in self.optional]
        if not typed:
            return Judgement(None, "Type names of nodes, as x2 or yhat5.")
        unknown = [typeset(name) for name in typed if self.among and name not in self.among]
        if unknown:
            return Judgement(None, f"There is no {', '.join(unknown)} in this network.")
        if set(typed) == set(self.names):
            return self._order(typed)
        why = [said for name, said in self.remarks if name in typed]
        extra = [typeset(name) for name in typed if name not in self.names]
        known = [typeset(name) for name in typed if name in self.names]
        if why:
            return Judgement(False, why[0])
        if extra:
            return Judgement(False, f"Not {', '.join(extra)}.")
        return Judgement(False, f"{', '.join(known)}: yes, but that is not all.")

    def missing(self, text: str) -> list[str]:
        """Which of them `text` leaves out."""
        typed = spelling.names(text, self.stem)
        return [name for name in self.names if name not in typed]

    def _order(self, typed: list[str]) -> Judgement:
        if not self.ordered or typed == list(self.names):
            return RIGHT
        if typed[::-1] == list(self.names):
            return Judgement(True, "(The gradient walks it the other way, from the loss back.)")
        return Judgement(False, "These are its nodes, but in another order.")


@dataclass(frozen=True)
class Product:
    """A product of derivatives, in the order in which the matrices are multiplied."""

    factors: tuple[tuple[str, str], ...]

    @property
    def shown(self) -> str:
        return " · ".join(derivative(*factor) for factor in self.factors)

    def judge(self, text: str) -> Judgement:
        typed = spelling.derivatives(text)
        if not typed:
            return Judgement(None, "Type derivatives such as ds3/ds2, with * between them.")
        if typed == list(self.factors):
            return RIGHT
        if sorted(typed) == sorted(self.factors):
            return Judgement(
                False, "These are the factors, but they are matrices, and the order of a product of matrices matters."
            )
        return Judgement(False, "These are not its factors." if len(typed) > 1 else "That is one derivative; split it.")


@dataclass(frozen=True)
class Choice:
    """One of several options, by its letter or its own words; `remarks[i]` is said to whom chooses option i."""

    options: tuple[str, ...]
    right: int
    remarks: tuple[str, ...] = ()

    @property
    def listed(self) -> list[str]:
        """The options behind their letters."""
        return [f"{letter}) {option}" for letter, option in zip(ascii_lowercase, self.options, strict=False)]

    @property
    def shown(self) -> str:
        return self.listed[self.right]

    def judge(self, text: str) -> Judgement:
        chosen = self._chosen(text)
        if chosen is None:
            return Judgement(None, f"Type one of the letters {', '.join(ascii_lowercase[: len(self.options)])}.")
        remark = self.remarks[chosen] if self.remarks and chosen != self.right else ""
        return Judgement(chosen == self.right, remark)

    def _chosen(self, text: str) -> int | None:
        """By its letter, all of its words, or both; a number; some of its words. None where two could be meant."""
        typed, words = _bare(text), [*map(_bare, self.options)]
        for names in (ascii_lowercase[: len(words)], words, [*map(_bare, self.listed)]):
            if typed and typed in list(names):
                return list(names).index(typed)
        meant = self._numbered(text) or self._containing(typed)
        return meant.pop() if len(meant) == 1 else None

    def _numbered(self, text: str) -> set[int]:
        """The options in which a number that was typed stands, and the one that has this place, counted from 1."""
        typed = spelling.number(text)
        if typed is None:
            return set()
        found = {i for i, option in enumerate(self.options) if typed.value in _numbers(option)}
        return found | ({int(typed.value) - 1} if typed.value in range(1, len(self.options) + 1) else set())

    def _containing(self, typed: str) -> set[int]:
        """The options one of whose words is `typed`, or that have it somewhere."""
        alone = {i for i, option in enumerate(self.options) if typed in map(_bare, re.split(r"[\s,]+", option))}
        return alone or {i for i, option in enumerate(self.options) if len(typed) > 1 and typed in _bare(option)}


def _numbers(text: str) -> set[float]:
    """The numbers that stand in `text`, alone or in a name as s₄, not those of a formula as k-1."""
    parts = re.findall(r"(?:(?<!\S)|(?<=[A-Za-z]))\d(?:[\d,.]*\d)?", spelling.plain(text))
    found = map(spelling.number, parts)
    return {typed.value for typed in found if typed}


def _bare(text: str) -> str:
    """Letters and digits of `text` alone, in lower case."""
    return "".join(ch for ch in spelling.plain(text).lower() if ch.isalnum())
