"""What of the screen is kept with a session, and how it comes back; a file may say anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from unrollviz.tui.apart import VIEWS
from unrollviz.tui.lens import PAGES
from unrollviz.tui.state import DebugState


def kept(state: DebugState, dark: bool) -> dict[str, Any]:
    """As JSON has it."""
    return {
        "folded": state.folded,
        "page": state.lens.page,
        "flow": state.view,
        "selected": state.node,
        "path": list(state.lit.nodes),
        "panel": state.panel,
        "dark": dark,
    }


def restored(state: DebugState, view: Mapping[str, Any]) -> DebugState:
    """The state as it was kept; what is missing, or makes no sense, stays as it is."""
    if type(view.get("folded")) is bool:
        state = replace(state, folded=view["folded"])
    if view.get("page") in PAGES:
        state = replace(state, lens=replace(state.lens, page=view["page"]))
    if isinstance(view.get("flow"), str) and view["flow"] in VIEWS:
        state = replace(state, view=view["flow"])
    if view.get("panel") in PANELS:
        state = replace(state, panel=view["panel"])
    selected, path = view.get("selected"), view.get("path")
    if isinstance(selected, str) and selected != state.node and selected in state.scene.layout.nodes:
        state = replace(state, spot=state.scene.layout.nodes[selected])
    if isinstance(path, list) and tuple(path) != state.lit.nodes and _is_path(state, path):
        state = replace(state, lit=state.scene.light_nodes(path, -1))
    return state


PANELS = ("graph", "inspector", "paths", "flow", "events")
"""The panels, as the keys 1 to 5 go to them."""


def _is_path(state: DebugState, path: list[Any]) -> bool:
    graph = state.scene.timeline.graph
    known = len(path) > 1 and all(isinstance(name, str) and name in graph for name in path)
    return known and all(graph.has_edge(tail, head) for head, tail in pairwise(path))
