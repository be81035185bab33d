"""The data's own words (letters, tokens, labels) made safe and short enough for the screen."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from rich.cells import cell_len

from unrollviz.names import clean

WIDEST = 6


def symbol_of(node: Mapping[str, Any]) -> str:
    """The symbol at a node, as the grid shows it: at most WIDEST cells; empty where it has none."""
    symbol = node.get("symbol")
    return "" if symbol is None else shown(str(symbol), WIDEST)


def shown(text: str, widest: int) -> str:
    """`text` cleaned, blanks made visible, cut to `widest` cells, so that it stays where it is put."""
    safe = "".join(_visible(ch) for ch in clean(text))
    if safe and unicodedata.combining(safe[0]):
        safe = "◌" + safe
    if cell_len(safe) <= widest:
        return safe
    kept = ""
    for ch in safe:
        if cell_len(kept + ch) > widest - 1:
            break
        kept += ch
    return kept + "…"


def _visible(ch: str) -> str:
    if unicodedata.category(ch) == "Zs":
        return "␣"
    return "" if ch in _VARIATIONS else ch


_VARIATIONS = frozenset(map(chr, range(0xFE00, 0xFE10)))
"""Selectors of an emoji's or a text's form: terminals do not agree on the width that they give."""
