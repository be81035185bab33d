"""What people type, read: numbers and sums of them, node names, ranges of names, derivatives."""

from __future__ import annotations

import ast
import math
import operator
import re
import unicodedata

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


def number(text: str) -> float | None:
    """The number in `text`: `40`, `four`, `1,000`, `5.15e-3`, `0.9^50`, `12 + 9`; None where there is none."""
    text = plain(text).lower().lstrip("=~≈ ").rstrip(". ")
    if text in _WORDS:
        return float(_WORDS.index(text))
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text) if re.match(r"[1-9]", text) else text
    text = re.sub(r"(?<=\d),(?=\d)", ".", text).replace("^", "**")
    text = re.sub(r"(?<![\w.])(?<!\de[+-])\d+(?![\w.])", r"\g<0>.0", text)  # floats: 9**9**9 overflows at once
    try:
        value = SimpleEval(operators=_OPERATORS, functions={}, names={}).eval(text)
    except Exception:  # whatever is typed, it is then no number
        return None
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


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
