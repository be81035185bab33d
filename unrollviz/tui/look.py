"""The colours of the screen, dark and light, from the one table of looks that every picture shares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from rich.style import Style
from textual.color import Color
from textual.theme import Theme

from unrollviz.draw.style import HIGHLIGHT, INK, LOOKS, MUTED, NEGATIVE, PAPER, POSITIVE, QUIET

NIGHT = "#15181d"
MOON = "#d9dee4"
SKY = "#56b4e9"
"""Okabe and Ito's sky blue: what is current, on a dark screen."""

SHADES = 10
"""Blocks of a heat map, from 0 to the largest value."""

THEMES: tuple[Theme, ...] = (
    Theme(
        name="unrollviz-dark",
        primary=SKY,
        accent=HIGHLIGHT,
        foreground=MOON,
        background=NIGHT,
        surface="#1b1f25",
        panel="#252a32",
        error="#ff7a50",
        dark=True,
        variables={"border": "#3a424d", "border-blurred": "#3a424d", "quiet": "#8b949e"},
    ),
    Theme(
        name="unrollviz-light",
        primary=POSITIVE,
        accent="#a06a00",
        foreground=INK,
        background=PAPER,
        surface="#f6f7f9",
        panel="#eaedf1",
        error="#b33a00",
        dark=False,
        variables={"border": MUTED, "border-blurred": MUTED, "quiet": QUIET},
    ),
)


@dataclass(frozen=True)
class Palette:
    """Rich styles for everything that is drawn character by character.

    Attributes:
        roles: role -> style of a computed node.
        coming: a node that is not computed yet.
        wire, lit_wire, now_wire: the network's lines, the selected path's, the current event's.
        rail: a parameter's rail.
        lit, now: brackets around nodes of the selected path, and around the current node.
        cotangent: the mark of a node that has one.
        text, quiet: words, and words of less weight.
        positive, negative: bars of shares.
        above, below: blocks of a heat map, from 0 to the largest value.
        wrong: what is not as it should be.
    """

    roles: dict[str, Style]
    coming: Style
    wire: Style
    rail: Style
    lit_wire: Style
    now_wire: Style
    lit: Style
    now: Style
    cotangent: Style
    text: Style
    quiet: Style
    positive: Style
    negative: Style
    above: tuple[Style, ...]
    below: tuple[Style, ...]
    wrong: Style


@cache
def palette(dark: bool) -> Palette:
    """The styles for a dark or a light screen."""
    ground, text = (NIGHT, MOON) if dark else (PAPER, INK)
    lit = HIGHLIGHT if dark else "#a06a00"
    now = SKY if dark else POSITIVE
    warm = _legible(NEGATIVE, dark)
    return Palette(
        roles={role: Style(color=_legible(look.line, dark), bold=True) for role, look in LOOKS.items()},
        coming=Style(color=_mix(text, ground, 0.55)),
        wire=Style(color=_mix(text, ground, 0.65)),
        rail=Style(color=_mix(text, ground, 0.78)),
        lit_wire=Style(color=lit),
        now_wire=Style(color=now),
        lit=Style(color=lit, bold=True),
        now=Style(color=now, bold=True),
        cotangent=Style(color=warm, bold=True),
        text=Style(color=text),
        quiet=Style(color=_mix(text, ground, 0.4)),
        positive=Style(color=_legible(POSITIVE, dark)),
        negative=Style(color=warm),
        above=_shades(POSITIVE, ground, text),
        below=_shades(NEGATIVE, ground, text),
        wrong=Style(color=warm, bold=True),
    )


def _shades(colour: str, ground: str, text: str) -> tuple[Style, ...]:
    """Blocks from hardly any colour to all of it, each with a mark on it that can be read."""
    blocks = [_mix(ground, colour, 0.08 + 0.92 * step / (SHADES - 1)) for step in range(SHADES)]
    return tuple(Style(color=_readable(block, text), bgcolor=block) for block in blocks)


def _readable(block: str, text: str) -> str:
    """The ink that stands out most."""
    return max((text, INK, PAPER), key=lambda ink: abs(Color.parse(ink).brightness - Color.parse(block).brightness))


def _legible(colour: str, dark: bool) -> str:
    """A colour made for paper, lighter where the screen is dark."""
    return _mix(colour, "#ffffff", 0.38) if dark else colour


def _mix(colour: str, other: str, share: float) -> str:
    return Color.parse(colour).blend(Color.parse(other), share).hex6
