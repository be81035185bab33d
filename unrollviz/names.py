"""Names: what a person types (`s3`, `l2.W_f`), what is shown (`s₃`), and what is safe to show."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

_DIGITS = str.maketrans("0123456789-", "₀₁₂₃₄₅₆₇₈₉₋")
_SYMBOLS = {"yhat": "ŷ", "logits": "z"}
_ATOM = re.compile(r"(?P<stem>[A-Za-z]+)(?P<sub>_[a-z]+)?(?P<time>\d*)(?![\d.])")


@lru_cache(4096)
def subscript(number: int | None) -> str:
    """`3` as `₃`."""
    return str(number).translate(_DIGITS)


def typeset(name: str) -> str:
    """A node's typed name as it is shown to people: `yhat4` -> `ŷ₄`, `W@s2` -> `W s₂`, `l2.s3` -> `l2.s₃`.

    Source of the symbols: the article (ŷ, s, L) and DESIGN section 3.
    """
    stem = name.rstrip("0123456789")
    if len(stem) < len(name) and stem[-1:].isalpha():  # a long run has every stem thousands of times
        return _typeset(stem) + name[len(stem) :].translate(_DIGITS)
    return _typeset(name)


@lru_cache(4096)
def _typeset(name: str) -> str:
    def atom(match: re.Match[str]) -> str:
        stem = _SYMBOLS.get(match["stem"], match["stem"])
        return stem + (match["sub"] or "") + match["time"].translate(_DIGITS)

    return _ATOM.sub(atom, name).replace("@", " ").replace("*", " ⊙ ").replace("+", " + ")


def derivative(of: str, by: str, *, direct: bool = False) -> str:
    """`∂L₄/∂W`; with `direct` the immediate partial derivative `∂⁺s₃/∂W`, every state held fixed."""
    above, below = (f"({name})" if " " in name else name for name in map(typeset, (of, by)))
    return f"∂{'⁺' if direct else ''}{above}/∂{below}"


def loss_sum(losses: Sequence[str], every: int) -> str:
    """The name of a sum of some of `every` loss: `L4`, `L3+L4`, `L3+…+L9`; `L` of all of them."""
    if len(losses) == every != 1:
        return "L"
    return "+".join(losses if len(losses) < 4 else (losses[0], "…", losses[-1]))


def clean(text: str, limit: int = 200) -> str:
    """`text` made safe for any screen or file: every control, format or surrogate character (escape
    sequences, bidirectional marks, line breaks) as `<1B>`, and cut to `limit` characters."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    if cut.isprintable():  # none of these, nor anything else out of the ordinary
        return cut
    return "".join(f"<{ord(ch):02X}>" if unicodedata.category(ch) in _UNSAFE else ch for ch in cut)


def storable(text: str) -> str:
    """`text` for a file that other programs read (XML, CSV): what XML forbids or changes, control characters,
    surrogates and carriage returns, as `<1B>`; nothing else is changed, and nothing is cut."""
    return _UNSTORABLE.sub(lambda match: f"<{ord(match[0]):02X}>", text)


_UNSTORABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Not in XML 1.0 (section 2.2), or discouraged there; a carriage return is read back as a line feed."""


_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
