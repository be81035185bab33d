"""One look for every picture and screen: a colour, a shape and a mark for each role, and colours for shares.

Colours are Okabe and Ito's set, which people with any kind of colour blindness can tell apart; shape, width
and dashes say the same without colour.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """How nodes of one role are drawn: fill and outline as `#rrggbb`, a Graphviz shape, a mark for terminals."""

    fill: str
    line: str
    shape: str
    mark: str


LOOKS: dict[str, Look] = {
    "loss": Look("#f6d5c3", "#d55e00", "box", "▣"),
    "output": Look("#f3dce9", "#b0568a", "ellipse", "◐"),
    "logits": Look("#faf1f6", "#b0568a", "ellipse", "◌"),
    "state": Look("#d0e4f2", "#0072b2", "circle", "●"),
    "initial": Look("#ffffff", "#0072b2", "circle", "○"),
    "gate": Look("#dff0fa", "#2a7fb0", "ellipse", "◇"),
    "hidden": Look("#f1f4f7", "#6f8ea6", "ellipse", "·"),
    "input": Look("#d3eee4", "#008563", "box", "■"),
    "parameter": Look("#fbeccb", "#a87100", "hexagon", "◆"),
}

MEANINGS: dict[str, str] = {
    "loss": "loss",
    "output": "output",
    "logits": "logits",
    "state": "state",
    "initial": "initial state",
    "gate": "gate",
    "hidden": "operation",
    "input": "input",
    "parameter": "parameter",
}
"""Role -> its name in legends and beside rows."""

INK = "#1f2328"
QUIET = "#57606a"
FAINT = "#8b949e"
MUTED = "#c4c9d0"
HIGHLIGHT = "#e69f00"
MARKER = "#ffd56a"
BAND = "#fff6df"
POSITIVE = "#0072b2"
NEGATIVE = "#d55e00"
PAPER = "#ffffff"


def share_colour(share: float) -> str:
    """Blue for a positive share, vermilion for a negative one, grey for none: sign by hue, size by `share_width`."""
    if share == 0:
        return MUTED
    return POSITIVE if share > 0 else NEGATIVE


def share_width(share: float, largest: float) -> float:
    """Line width in points, 0.6 to 5, in proportion to |share|; `largest` is the largest |share| in the picture."""
    return 0.6 + 4.4 * abs(share) / largest if largest > 0 else 0.6


def share_style(share: float) -> str:
    """Graphviz's line style: dashed for a negative share, so that a print without colours tells it apart."""
    return "dashed" if share < 0 else "solid"


def faded(colour: str, by: float = 0.7) -> str:
    """`#rrggbb` mixed with the paper: 0 leaves it, 1 is white."""
    channels = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(value + (255 - value) * by):02x}" for value in channels)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Points that `text` takes at most in the common sans-serif fonts, of which DejaVu Sans is the widest."""
    return size * sum(map(_em, text)) * (1.13 if bold else 1.0)


_SLIM = frozenset("iljtfrI.,:;'|!()[] -₀₁₂₃₄₅₆₇₈₉₋")
_BROAD = frozenset("mw→−+=<>~#^%⊙×")


def _em(ch: str) -> float:
    if unicodedata.combining(ch):
        return 0.0
    if ch in _SLIM:
        return 0.43
    if ch in "MW@" or unicodedata.east_asian_width(ch) in "WF":
        return 1.05
    return 0.86 if ch.isupper() or ch in _BROAD or ord(ch) > 0x2FFF else 0.65
