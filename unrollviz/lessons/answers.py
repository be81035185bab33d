"""The kinds of answers: what is right, and what is said on what is not."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Number:
    """`value`, up to a relative `tolerance`; shown with so many significant `digits`."""

    value: float
    tolerance: float = 1e-9
    digits: int = 6

    @property
    def shown(self) -> str:
        return f"{self.value:.{self.digits}g}"

    def judge(self, text: str) -> Judgement:
        typed = spelling.number(text)
        if typed is None:
            return Judgement(None, "Type a number; 12 + 9, 0.9^50 or 5e-3 will do too.")
        return Judgement(abs(typed - self.value) <= self.tolerance * abs(self.value))


@dataclass(frozen=True)
class Shape:
    """The shape of a matrix in numbers or letters: 3 x 4 or d x n; a vector is 3 or 3 x 1."""

    sizes: tuple[int, ...]
    letters: tuple[str, ...]

    @property
    def shown(self) -> str:
        return f"{' × '.join(self.letters)} = {' × '.join(map(str, self.sizes))}"

    def judge(self, text: str) -> Judgement:
        typed = spelling.plain(text).lower()
        numbers = tuple(int(found) for found in re.findall(r"\d+", typed))
        letters = tuple(re.findall(r"(?<![a-z])[dnkt](?![a-z])", typed))
        if not numbers and not letters:
            return Judgement(None, "Type rows x columns, as 2 x 5.")
        column = (*self.sizes, 1) if len(self.sizes) == 1 else self.sizes
        return Judgement(numbers in (self.sizes, column) or letters == self.letters)


@dataclass(frozen=True)
class Names:
    """Nodes by their names, in any order or, where `ordered`, as they lie on a path.

    Attributes:
        names: those to be named.
        optional: what may be left out.
        stem: what a number alone stands for: 3 for s3.
        remarks: (name, why it is wrong).
    """

    names: tuple[str, ...]
    ordered: bool = False
    optional: tuple[str, ...] = ()
    stem: str = ""
    remarks: Sequence[tuple[str, str]] = ()

    @property
    def shown(self) -> str:
        return (" → " if self.ordered else ", ").join(map(typeset, self.names))

    def judge(self, text: str) -> Judgement:
        typed = [name for name in spelling.names(text, self.stem) if name not in self.optional]
        if not typed:
            return Judgement(None, "Type names of nodes, as x2 or yhat5.")
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
        chosen = self._chosen(_bare(text))
        if chosen is None:
            return Judgement(None, f"Type one of the letters {', '.join(ascii_lowercase[: len(self.options)])}.")
        remark = self.remarks[chosen] if self.remarks and chosen != self.right else ""
        return Judgement(chosen == self.right, remark)

    def _chosen(self, typed: str) -> int | None:
        """By its letter, its words, both, or some of its words where no other option has them too."""
        letters, words, both = ascii_lowercase, [*map(_bare, self.options)], [*map(_bare, self.listed)]
        for names in (letters[: len(words)], words, both):
            if typed and typed in list(names):
                return list(names).index(typed)
        alike = [i for i, option in enumerate(words) if len(typed) > 1 and typed in option]
        return alike[0] if len(alike) == 1 else None


def _bare(text: str) -> str:
    """Letters and digits of `text` alone, in lower case."""
    return "".join(ch for ch in spelling.plain(text).lower() if ch.isalnum())
