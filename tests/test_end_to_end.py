"""The debugger from its start to its end on a real terminal, and the same in lines: what a person would do."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

import unrollviz as uz

DEBUG = [sys.executable, "-m", "unrollviz", "debug"]
SHARE = "+2.0 %"
"""Of the path from L₄ through s₄ and s₃ to s₂ and W, as `unrollviz paths --loss L4` says too."""


class Screen:
    """The debugger on a terminal of 100 × 36; what it draws is read for words."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        self.main, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 100, 0, 0))
        wanted = {"TERM": "xterm-256color", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
        kept = {key: value for key, value in os.environ.items() if key not in ("LINES", "COLUMNS")}
        source = str(Path(__file__).parent.parent)
        self.process = subprocess.Popen(
            [*DEBUG, *arguments],
            stdin=child,
            stdout=child,
            stderr=child,
            env=kept | wanted | {"PYTHONPATH": source},
            start_new_session=True,
            cwd=cwd,
        )
        os.close(child)
        self.output = b""

    @property
    def said(self) -> str:
        """What has been drawn since the last key, in words."""
        return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", self.output.decode("utf-8", "replace"))

    def press(self, keys: str, until: str) -> None:
        """Press keys, and read until the screen has said something since; a regular expression."""
        self.output = b""
        os.write(self.main, keys.encode())
        self.read(until)

    def read(self, until: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not re.search(until, self.said):
            assert time.monotonic() < end, (until, self.said[-3000:])
            if select.select([self.main], [], [], 1)[0]:
                self.output += os.read(self.main, 65536)

    def left(self) -> int:
        """The exit code, once what is left has been read."""
        try:
            while select.select([self.main], [], [], 10)[0] and os.read(self.main, 65536):
                pass
        except OSError:
            pass
        os.close(self.main)
        return self.process.wait(10)


def check_picture(path: Path) -> None:
    """An SVG file that numbers the six nodes of the path."""
    said = [text.strip() for text in ElementTree.parse(path).getroot().itertext()]
    assert "the path, numbered from L₄ back to W" in said
    assert {"1", "2", "3", "4", "5", "6"} <= set(said)
    assert "7" not in said


def test_on_a_terminal(tmp_path: Path) -> None:
    screen = Screen("--no-tour", cwd=tmp_path)
    screen.read("quit")
    screen.press("]]n", "16/65")  # into the backward pass
    screen.press("g", "s3 selects it")
    screen.press("s3\r", "s₃ · state at step 3")
    screen.press("b", "! stop")
    screen.press("c", r"breakpoint 1 \(s3\), stopped here once")
    screen.press("p", "30/65")  # and back
    screen.press("C", "5/65")
    screen.press("l", "start the backward pass from")
    screen.press("L4\r", "4 paths in ∂L₄/∂W")
    screen.press("\t\t", "factors")  # the paths have the focus: their keys are in the line of keys
    screen.press("\x1b[B", rf"▶L₄ +2 +2 +0\.0914 +{re.escape(SHARE)}")
    screen.press("\r", "factors of L₄ → ŷ₄ → s₄ → s₃ → s₂ → W")
    screen.press("e", "export the graph to")
    screen.press("\r", "written, with the selected path: unrolled.svg")
    screen.press("s", "save the session to")
    screen.press("\r", "saved: session.json")
    os.write(screen.main, b"q")
    assert screen.left() == 0
    check_picture(tmp_path / "unrolled.svg")
    again = Screen("--session", "session.json", cwd=tmp_path)
    again.read(r"factors|▶L₄ +2 +2")
    again.press("q", "")
    assert again.left() == 0


LINES = """\
goto 16
break s3
continue
prev
rcontinue
loss L4
paths
path 3
export path.svg 3
quit
"""


@pytest.mark.parametrize("how", ["script", "standard input", "dash"])
def test_in_lines(how: str, tmp_path: Path) -> None:
    (tmp_path / "script.txt").write_text(LINES)
    arguments = {"script": ["--script", "script.txt"], "standard input": [], "dash": ["--script", "-"]}[how]
    done = subprocess.run(
        [*DEBUG, *arguments],
        input="" if how == "script" else LINES,
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(Path(__file__).parent.parent)},
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert "breakpoint 1 (s3), stopped here once" in said
    assert "∂L₄/∂W is a sum over 4 paths; its norm is 0.6826" in said
    (row,) = (line for line in said if " L₄ → ŷ₄ → s₄ → s₃ → s₂ → W  " in line)
    assert SHARE in row
    assert f"enters at 2, lag 2, norm 0.0914, share {SHARE}" in done.stdout
    factor = uz.article().paths("L4", "W")[2].factors[3]
    assert any(line.split()[:2] == ["∂s₃/∂s₂", f"{factor.norm:.4f}"] for line in said)
    check_picture(tmp_path / "path.svg")
