"""What widgets, and the thread that works, tell the app."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from unrollviz.draw.layout import Place
from unrollviz.tui.listing import Wanted
from unrollviz.tui.scene import Lit


@dataclass
class Pointed(Message):
    """A place in the grid was clicked."""

    place: Place


@dataclass
class Lighted(Message):
    """A path, or a branch of the flow tree, was selected."""

    lit: Lit


@dataclass
class PathsWanted(Message):
    """Other paths are to be listed, or in another order; with `focus` the list is gone to."""

    wanted: Wanted
    focus: bool = False


@dataclass
class EventChosen(Message):
    """An event is to be gone to: its cursor."""

    cursor: int


@dataclass
class Looked(Message):
    """A name is highlighted, and not chosen yet."""

    name: str
