"""What people type, read: numbers and sums of them, shapes, node names, ranges of names, derivatives."""

from __future__ import annotations

import ast
import math
import operator
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from simpleeval import SimpleEval

LONGEST = 200
"""Letters of an answer that are read."""

_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_FUNCTIONS = {
    "log": math.log,
    "ln": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "abs": abs,
    "tanh": math.tanh,
}
_RAISED = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_NORMAL: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"per\s?cent\b", "%"),
    (r"(?<=[\d)%])\s+[a-z][a-z ]*$", ""),  # 44 steps
    (r"(?<=[\d)])\s*x\s*(?=[\d(])", "*"),
    (r"√\s*(\d+(?:\.\d+)?)", r"sqrt(\1)"),
    ("√", "sqrt"),
    (r"(?<![\d,.])([1-9]\d{0,2}(?:,\d{3})+)(?![\d,])", lambda found: found[1].replace(",", "")),  # 1,000
    (r"(?<=\d),(?=\d)", "."),
    (r"(?<=[\d.])\s*\*\s*10\s*(?:\^|\*\*)\s*\(?([+-]?\d+)\)?$", r"e\1"),
    (r"\^", "**"),
    (r"\s*%", "%"),
)
"""What people write, and how Python writes it, one after the other."""

_LITERAL = re.compile(r"([+-]?)\s*(\d+)?(?:\.(\d*))?(?:e([+-]?\d{1,3}))?(%?)")
_SHAPE = re.compile(r"[(\[]?\s*([1-9]\d*)\s*(?:[x;,]|by)\s*([1-9]\d*)\s*[)\]]?")
_YHAT = re.compile(r"\\hat\{?y\}?|y_?hat|y\^|ŷ|\by(?=_?\d)", re.IGNORECASE)
_NODE = re.compile(r"(?<![A-Za-z])(?:(yhat|logits|[xasLlzhc])[_\s]?[\[({]?(\d+)|([UWVuwvbc])(?![A-Za-z0-9]))")
_RANGE = re.compile(r"[\])}]?\s*(?:to|down to|through|until|-|–|\.\.+)\s*")
_BARE = re.compile(r"(?<![\w.])(\d+)(?![\w.])")
_DERIVATIVE = re.compile(r"[d∂]\s*\(?([A-Za-z]+\d+)\)?\s*/\s*[d∂]\s*\(?([A-Za-z]+\d+|[UWVbc])\)?")


def plain(text: str) -> str:
    """`text` as it is typed on any keyboard: s₃ and s_3 as s3, ŷ and y_hat as yhat, × as *."""
    text = unicodedata.normalize("NFKC", text[:LONGEST]).strip()
    text = _YHAT.sub("yhat", text)
    return text.translate(str.maketrans("×·⋅−÷", "***-/"))


@dataclass(frozen=True)
class Typed:
    """A number as it was typed.

    Attributes:
        value: the number.
        unit: that of its last digit: 0.01 of `0.84`, 10 of `120`; None where it was worked out, as of `0.9^50`.
        digits: how many it has behind leading zeros; None where it was worked out.
    """

    value: float
    unit: float | None = None
    digits: int | None = None


def number(text: str) -> Typed | None:
    """The number in `text`, None where there is none.

    Read are `40`, `four`, `1,000`, `0,5`, `5.15e-3`, `5.15 x 10^-3`, `0.5 %`, `0.9⁵⁰`, `12 + 9`, `log(0.01)/log(0.9)`,
    `sqrt(2)`, `44 steps`; of `3 * 4 = 12` what stands behind the last equals sign.
    """
    text = _written(text)
    if ";" in text or "\n" in text:
        return None
    if text in _WORDS:
        return Typed(float(_WORDS.index(text)))
    if found := _LITERAL.fullmatch(text):
        return _literal(*found.groups(default=""))
    text = re.sub(r"(?<![\w.])(?<!\de[+-])\d+(?![\w.])", r"\g<0>.0", text)  # floats: 9**9**9 overflows at once
    try:
        value = SimpleEval(operators=_OPERATORS, functions=_FUNCTIONS, names={}).eval(text.replace("%", "/100"))
    except Exception:  # whatever is typed, it is then no number
        return None
    return Typed(float(value)) if type(value) in (int, float) and math.isfinite(value) else None


def _written(text: str) -> str:
    """`text` as Python writes numbers and their operators."""
    text = _RAISED.sub(lambda found: f"^({unicodedata.normalize('NFKC', found[0])})", text[:LONGEST])
    text = plain(text).lower().rpartition("=")[2].lstrip("~≈ ").rstrip(". ")
    for pattern, python in _NORMAL:
        text = re.sub(pattern, python, text)
    return text.strip()


def _literal(sign: str, whole: str, decimals: str, power: str, per: str) -> Typed | None:
    """A number of digits alone; zeros at the end of a whole one, as in 120, are not taken for exact."""
    if not whole and not decimals:
        return None
    value = float(f"{sign}{whole or 0}.{decimals or 0}e{power or 0}") / (100 if per else 1)
    if not math.isfinite(value):
        return None
    zeros = 0 if decimals else len(whole) - len(whole.rstrip("0")) if value else 0
    place = int(power or 0) - len(decimals) + zeros - (2 if per else 0)
    if not -300 <= place <= 300:  # it has no digit that counts, or is far from any answer
        return Typed(value)
    return Typed(value, 10.0**place, len((whole + decimals).lstrip("0")) - zeros)


def shape(text: str) -> tuple[int, int] | None:
    """The two sizes in `3 x 4`, `(3, 4)`, `3,4`, `3 by 4`; None where `text` is nothing of the kind."""
    found = _SHAPE.fullmatch(plain(text.replace("×", "x")).lower())
    return (int(found[1]), int(found[2])) if found and not re.fullmatch(r"\d{1,3},\d{3}", found[0]) else None


def names(text: str, stem: str = "") -> list[str]:
    """The nodes named in `text`, ranges such as `s4 to s1` written out; bare numbers are those of `stem`."""
    text = plain(text)
    if stem and not _NODE.search(text):
        text = _BARE.sub(rf"{stem}\1", text)
    found: list[str] = []
    end = 0
    for match in _NODE.finditer(text):
        name = _name(match)
        if found and _RANGE.fullmatch(text[end : match.start()]):
            found += _between(found[-1], name)
        found.append(name)
        end = match.end()
    return list(dict.fromkeys(found))


def _name(match: re.Match[str]) -> str:
    if match[3]:
        return match[3] if match[3] in "bc" else match[3].upper()
    kind = {"l": "L", "z": "logits"}.get(match[1], match[1])
    return f"{kind}{int(match[2])}"


def _between(first: str, last: str) -> list[str]:
    """The names between two of one kind: s3 and s2 between s4 and s1."""
    (kind, one), (other, two) = (re.fullmatch(r"(\D+)(\d*)", name).groups() for name in (first, last))  # type: ignore[union-attr]
    if kind != other or not one or not two or abs(int(one) - int(two)) > LONGEST:
        return []
    step = 1 if int(two) > int(one) else -1
    return [f"{kind}{time}" for time in range(int(one) + step, int(two), step)]


def derivatives(text: str) -> list[tuple[str, str]]:
    """The factors ∂a/∂b named in `text`, as pairs (a, b), in order."""
    text = re.sub(r"[_{}\[\]]", "", plain(text))
    return [(above, below) for above, below in _DERIVATIVE.findall(text)]
