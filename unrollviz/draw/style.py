"""One look for every picture and screen: a colour, a shape and a mark for each role, and colours for shares.

Colours are Okabe and Ito's set, which people with any kind of colour blindness can tell apart; shape, width
and dashes say the same without colour.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace


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


@dataclass(frozen=True)
class Theme:
    """The colours of one kind of paper, as `#rrggbb`.

    Attributes:
        looks: role -> look.
        ink, quiet, faint, muted: text and lines from the strongest to the weakest.
        marker, band: of the marker pen, and behind the steps that a highlighted path visits.
        positive, negative: of shares and values.
        ramp: from small to large, light to dark on light paper: told apart without hue.
        steps, frame: filling and outline of the box in which steps are folded.
    """

    looks: Mapping[str, Look]
    ink: str
    quiet: str
    faint: str
    muted: str
    marker: str
    band: str
    positive: str
    negative: str
    paper: str
    ramp: tuple[str, ...]
    steps: str
    frame: str

    def share_colour(self, share: float) -> str:
        """One hue for a positive share, one for a negative, grey for none: sign by hue, size by `share_width`."""
        if share == 0:
            return self.muted
        return self.positive if share > 0 else self.negative

    def faded(self, colour: str, by: float = 0.7) -> str:
        """`#rrggbb` mixed with the paper: 0 leaves it, 1 is the paper."""
        return mixed(colour, self.paper, by)

    def on_ramp(self, part: float) -> str:
        """The colour of a number between 0, the smallest, and 1, the largest."""
        place = min(max(part, 0.0), 1.0) * (len(self.ramp) - 1)
        low = min(int(place), len(self.ramp) - 2)
        return mixed(self.ramp[low], self.ramp[low + 1], place - low)

    def diverging(self, part: float) -> str:
        """The colour of a number between -1 and 1: nothing is the paper's own."""
        full = self.positive if part > 0 else self.negative
        return mixed(mixed(full, self.paper, 0.08), self.paper, 1 - min(abs(part), 1.0))

    def legible(self, fill: str) -> str:
        """Black or white, whichever is read better on `fill`."""
        return "#000000" if luminance(fill) > 0.179 else "#ffffff"


def mixed(colour: str, other: str, by: float) -> str:
    """`#rrggbb` mixed with another: 0 leaves it, 1 is the other."""
    pairs = ((int(colour[at : at + 2], 16), int(other[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(value + (goal - value) * by):02x}" for value, goal in pairs)


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, 0 to 1 (WCAG 2)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


_DARK_PAPER = "#15191e"
_DARK_LINES = {
    "loss": "#ff8a4c",
    "output": "#e08fc4",
    "logits": "#e08fc4",
    "state": "#56b4e9",
    "initial": "#56b4e9",
    "gate": "#7cc4ee",
    "hidden": "#8fa6b8",
    "input": "#34c79d",
    "parameter": "#e6b450",
}

LIGHT = Theme(
    LOOKS,
    INK,
    QUIET,
    FAINT,
    MUTED,
    MARKER,
    BAND,
    POSITIVE,
    NEGATIVE,
    PAPER,
    ramp=("#cfe1f0", "#9dc3e0", "#5f9ecb", "#2a76ae", "#0b3a68"),
    steps="#f6f7f9",
    frame="#8b949e",
)
DARK = Theme(
    {
        role: replace(look, line=_DARK_LINES[role], fill=mixed(_DARK_LINES[role], _DARK_PAPER, 0.72))
        for role, look in LOOKS.items()
    }
    | {"initial": replace(LOOKS["initial"], line=_DARK_LINES["initial"], fill=_DARK_PAPER)},
    ink="#f0f3f6",
    quiet="#aab4be",
    faint="#78828d",
    muted="#3d4650",
    marker="#8a6a10",
    band="#26241c",
    positive="#56b4e9",
    negative="#ff8a4c",
    paper=_DARK_PAPER,
    ramp=("#25405a", "#2a5f87", "#2f7fb0", "#69b3e0", "#d3ecfb"),
    steps="#1d2228",
    frame="#78828d",
)

THEMES: dict[str, Theme] = {"light": LIGHT, "dark": DARK}


def share_colour(share: float) -> str:
    """`Theme.share_colour` on light paper."""
    return LIGHT.share_colour(share)


def share_width(share: float, largest: float) -> float:
    """Line width in points, 0.6 to 5, in proportion to |share|; `largest` is the largest |share| in the picture."""
    return 0.6 + 4.4 * abs(share) / largest if largest > 0 else 0.6


def share_style(share: float) -> str:
    """Graphviz's line style: dashed for a negative share, so that a print without colours tells it apart."""
    return "dashed" if share < 0 else "solid"


def faded(colour: str, by: float = 0.7) -> str:
    """`Theme.faded` on light paper."""
    return LIGHT.faded(colour, by)


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
