"""Panels above each other, of which only the one last gone to is open: of the others only the title is seen."""

from __future__ import annotations

from textual import events
from textual.containers import Vertical
from textual.widget import Widget


class Accordion(Vertical):
    """Children without the class `-folded` share the height; the style sheet leaves the others one line."""

    def on_mount(self) -> None:
        self._open(self.children[0])

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self._open(event.widget)

    def _open(self, widget: Widget) -> None:
        for child in self.children:
            child.set_class(child is not widget, "-folded")
