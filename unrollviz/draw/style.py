"""One look for every picture and screen: a colour, a shape and a mark for each role, and colours for shares.

Colours are Okabe and Ito's set, which people with any kind of colour blindness can tell apart; shape, width
and dashes say the same without colour.
"""

from __future__ import annotations

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
    "output": Look("#f3dce9", "#cc79a7", "ellipse", "◐"),
    "logits": Look("#f7ebf2", "#cc79a7", "ellipse", "◌"),
    "state": Look("#d0e4f2", "#0072b2", "circle", "●"),
    "initial": Look("#ffffff", "#0072b2", "circle", "○"),
    "hidden": Look("#eef3f7", "#6f8ea6", "ellipse", "·"),
    "input": Look("#d3eee4", "#009e73", "box", "■"),
    "parameter": Look("#fbeccb", "#b07800", "diamond", "◆"),
}

INK = "#1f2328"
MUTED = "#c4c9d0"
HIGHLIGHT = "#d55e00"
POSITIVE = "#0072b2"
NEGATIVE = "#d55e00"
PAPER = "#ffffff"


def share_colour(share: float) -> str:
    """Blue for a positive share, vermilion for a negative one, grey for none: sign by hue, size by `share_width`."""
    if share == 0:
        return MUTED
    return POSITIVE if share > 0 else NEGATIVE


def share_width(share: float, largest: float) -> float:
    """Line width in points, 0.6 to 6, in proportion to |share|; `largest` is the largest |share| in the picture."""
    return 0.6 + 5.4 * abs(share) / largest if largest > 0 else 0.6
