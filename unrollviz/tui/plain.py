"""The screen on a terminal that shows only ASCII: found out from the environment, and drawn cell for cell."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter
from textual.scrollbar import ScrollBarRender

from unrollviz.draw.text import ASCII_CELLS

COERCED = ("C.UTF-8", "C.utf8", "UTF-8")
"""What Python itself writes to LC_CTYPE where LANG names no locale that it likes (PEP 538)."""


def knows_unicode(environment: Mapping[str, str]) -> bool:
    """Whether a terminal shows more than ASCII, by what its environment says; where that says nothing, it does."""
    encoding = getattr(sys.__stderr__, "encoding", None) or "ascii"  # Textual draws on standard error
    try:
        "∂₄█".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    if environment.get("PYTHONIOENCODING"):
        return True
    says = [environment.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG")]
    if says[1] in COERCED and says[2]:
        says[1] = ""
    locale = next(filter(None, says), "")
    return not locale or "utf" in locale.lower()


class Blunt(ScrollBarRender):
    """A scrollbar of whole cells, reversed, where eighths of one cannot be drawn."""

    VERTICAL_BARS = (" ",)  # type: ignore[assignment]


class Ascii(LineFilter):
    """Draws every character as an ASCII one, in as many columns."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments, their styles and controls as they were."""
        return [Segment(ascii_cells(text), style, control) for text, style, control in segments]


def ascii_cells(text: str) -> str:
    """`text` in ASCII, in as many columns: `∂L₄/∂W` as `dL4/dW`; `?` for each column of what has no likeness."""
    if text.isascii():
        return text
    return "".join(ch if ch.isascii() else ASCII_CELLS.get(ch, "?" * cell_len(ch)) for ch in text)
