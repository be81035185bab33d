"""What widgets, and the thread that works, tell the app."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from unrollviz.draw.layout import Place
from unrollviz.tui.scene import Scene


@dataclass
class Pointed(Message):
    """A place in the grid was clicked."""

    place: Place


@dataclass
class RowChosen(Message):
    """A path was clicked."""

    row: int


@dataclass
class Prepared(Message):
    """The scene asked for as number `number` is ready, or could not be made."""

    number: int
    result: Scene | Exception
