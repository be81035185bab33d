"""The screen without Unicode: every character has its likeness, nothing moves, and no other byte leaves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from test_tui import DebugApp, Pilot, Terminal, drive, hostile_run, press, screen
from textual.scrollbar import ScrollBar

import unrollviz as uz
from unrollviz.draw.text import ASCII_CELLS, ascii_only
from unrollviz.tui import plain
from unrollviz.tui.plain import ascii_cells, knows_unicode
from unrollviz.tui.scene import scene
from unrollviz.tui.wires import DOUBLE, HEAVY, LIGHT

SAID = ("tui", "debugger", "draw", "report", "names.py", "ops.py", "graph.py", "explain.py")
"""Where what is shown is written down."""


def test_every_character_of_ours_has_a_likeness_of_one_column() -> None:
    root = Path(uz.__file__).parent
    files = [file for name in SAID for file in ([root / name] if name.endswith(".py") else (root / name).glob("*.py"))]
    ours = {ch for file in files for ch in file.read_text(encoding="utf-8") if not ch.isascii()}
    assert ours <= set(ASCII_CELLS)
    assert all(like.isascii() and len(like) == 1 == cell_len(ch) for ch, like in ASCII_CELLS.items())
    assert all(ascii_only(ch).isascii() for ch in ASCII_CELLS)


def test_what_is_told_apart_by_its_form_still_is() -> None:
    for kind in ("─━═", "│┃║", "●░[", "◆◇", "▶ ", "█░"):
        assert len({ascii_cells(ch) for ch in kind}) == len(kind), kind
    for lines in (LIGHT, HEAVY, DOUBLE):
        assert all(ascii_cells(ch) != " " for ch in lines.strip())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("∂L₄/∂W += ∂L/∂s₄ · ∂⁺s₄/∂W", "dL4/dW += dL/ds4 * d+s4/dW"),
        ("‖0.7587‖ ≥ 3", "|0.7587| > 3"),
        ("漢字", "????"),
        ("a\u0301b", "ab"),
        ("é", "?"),
    ],
)
def test_text_in_ascii(text: str, wanted: str) -> None:
    assert ascii_cells(text) == wanted
    assert cell_len(wanted) == cell_len(text)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, True),
        ({"LANG": "en_US.UTF-8"}, True),
        ({"LANG": "C.utf8"}, True),
        ({"LANG": "C"}, False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),  # Python's own doing
        ({"LC_CTYPE": "C.UTF-8"}, True),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "POSIX"}, False),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({"LANG": "C", "LC_ALL": "de_DE.UTF-8"}, True),
        ({"LANG": "C", "PYTHONIOENCODING": "utf-8"}, True),
    ],
)
def test_what_the_environment_says(environment: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Utf8:
        encoding = "utf-8"

    monkeypatch.setattr(sys, "__stderr__", Utf8())
    assert knows_unicode(environment) is wanted
    Utf8.encoding = "latin-1"
    assert not knows_unicode(environment)


def test_everything_is_ascii_and_stays_in_its_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """Panel by panel, page by page and window by window, against the same screen with Unicode."""
    monkeypatch.setattr(ScrollBar, "renderer", plain.Blunt)
    run = hostile_run()
    keys = ("]", "]", "n", "tab", *"vvvv", "tab", "enter", "tab", "down", *"aaaaa", "tab", "t", "?")
    seen: dict[bool, list[str]] = {}

    for unicode in (True, False):

        async def script(app: DebugApp, pilot: Pilot[None], unicode: bool = unicode) -> None:
            shown = seen.setdefault(unicode, [])
            for key in keys:
                await press(app, pilot, key)
                while any(panel.desk.words for panel in app.panels[2:4]):
                    await pilot.pause(0.01)
                await pilot.pause()
                shown.append(screen(app))

        drive(DebugApp(scene(run, "state", run.loss_names(), "W"), unicode=unicode), script)
    for full, plain_text in zip(seen[True], seen[False], strict=True):
        assert plain_text.isascii()
        assert not full.isascii()
        for wide, narrow in zip(full.splitlines(), plain_text.splitlines(), strict=True):
            assert ascii_cells(wide) == narrow
            assert len(narrow) == 110


@pytest.mark.parametrize("environment", [{"LC_ALL": "C"}, {"LANG": "C", "LC_ALL": "", "LC_CTYPE": ""}])
def test_no_byte_but_ascii_leaves_for_a_terminal_without_unicode(environment: dict[str, str]) -> None:
    terminal = Terminal("hostile_run()", **environment)
    os.write(terminal.main, b"]4?")
    terminal.read_until(b"keys and marks")
    os.write(terminal.main, b"qq")
    assert terminal.end() == 0
    assert terminal.output.isascii()
