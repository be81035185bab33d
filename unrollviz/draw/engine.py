"""Graphviz at arm's length: DOT text in, the bytes of a picture out, and nothing believed but those bytes.

Graphviz runs in a process of its own under a time limit, because it can neither be interrupted nor kept from
printing. Whether it worked is read off the picture: it exits with 0 on a full disk, and on no input at all.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

from unrollviz.errors import DrawingFailed, UnknownName, UnrollvizError
from unrollviz.files import check_writable, write_atomically
from unrollviz.names import clean

_IN_WHEEL = """
import sys, pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode("utf-8"))
graph.graph_attr.update(dict(option[2:].split("=") for option in sys.argv[2:]))
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="nop2"))
"""

ENGINES: dict[str, Callable[[str], list[str]]] = {
    "pygraphviz": lambda format: [sys.executable, "-P", "-c", _IN_WHEEL, format],
    "dot": lambda format: ["dot", "-Knop2", f"-T{format}"],
}
"""Engine -> the command that reads DOT on stdin and writes a format to stdout. `pygraphviz` is Graphviz in a wheel,
the same on every machine; `dot` is the machine's own."""

PICTURES = ("svg", "png", "pdf")
SOURCES = ("dot", "gv")

SIZE_LIMIT = 2**26
"""Bytes that a picture may take."""

PIXELS_PER_INCH = (192, 96, 48)
"""Resolutions of a PNG, tried in this order: past MOST_PIXELS a side Graphviz shrinks the picture instead."""

MOST_PIXELS = 32_767

_NODE_LINE = re.compile(r"^\t(?!graph |node |edge )\w+ \[", re.MULTILINE)
_INSTEAD = "write the graph itself with -o x.dot"


def write(source: str, path: str | Path, engine: str = "pygraphviz", timeout: float = 60) -> None:
    """Draw DOT text into a file whose suffix names the format: svg, png, pdf, or dot and gv for the text itself.

    The file appears whole or not at all, and an existing one stays until then.

    Raises:
        UnrollvizError: for another suffix.
        UnknownName: for another engine.
        BadFile: where the file cannot be written; all of these before the work starts.
        DrawingFailed: see `render`.
    """
    format = Path(path).suffix.lower().removeprefix(".")
    if format not in (*PICTURES, *SOURCES):
        endings = ", ".join(f".{name}" for name in (*PICTURES, *SOURCES))
        raise UnrollvizError(f"{clean(str(path))}: the ending names the format; choose one of {endings}")
    _check_engine(engine)
    check_writable(path)
    data = source.encode("utf-8") if format in SOURCES else render(source, format, engine, timeout)
    write_atomically(path, data)


def render(source: str, format: str, engine: str = "pygraphviz", timeout: float = 60, longest: float = 0.0) -> bytes:
    """The picture as svg, png or pdf.

    Args:
        source: DOT with every position given and one statement a line, as `unrollviz.draw.dot` makes it.
        timeout: seconds after which Graphviz and all that it started are killed.
        longest: points of the picture's longer side, where they are known, so that a PNG is not tried in vain.

    Raises:
        UnknownName: for another format or engine, before the work starts.
        DrawingFailed: where Graphviz is missing, too slow, or its output is not that picture.
    """
    if format not in PICTURES:
        raise UnknownName("format", clean(format), PICTURES)
    _check_engine(engine)
    command = ENGINES[engine](format)
    if format != "png":
        return _checked(*_run(command, source, timeout), source, format, command)
    for resolution in (each for each in PIXELS_PER_INCH if longest / 72 * each <= MOST_PIXELS):
        data, complaint = _run([*command, f"-Gdpi={resolution}"], source, timeout)
        if "too large" not in complaint:
            return _checked(data, complaint, source, format, command)
    raise DrawingFailed(f"the picture is too large for a png; choose svg or pdf, or {_INSTEAD}")


def _check_engine(engine: str) -> None:
    if engine not in ENGINES:
        raise UnknownName("engine", clean(engine), ENGINES)


def _run(command: list[str], source: str, timeout: float) -> tuple[bytes, str]:
    """What `command` makes of `source`: its output, and what it said on stderr."""
    program = "pygraphviz" if command[0] == sys.executable else command[0]
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as made, tempfile.TemporaryFile() as said:
        given.write(source.encode("utf-8"))
        given.seek(0)
        try:
            process = subprocess.Popen(
                command, stdin=given, stdout=made, stderr=said, env=_environment(os.environ), start_new_session=True
            )
        except OSError as error:
            reason = f"the program {program} cannot be started ({error.strerror})"
            raise DrawingFailed(f"{reason}; use the engine pygraphviz, or {_INSTEAD}") from error
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            _kill(process)
            raise DrawingFailed(
                f"{program} did not finish in {timeout:g} s and was stopped; draw fewer steps, or {_INSTEAD}"
            ) from error
        except BaseException:
            _kill(process)
            raise
        said.seek(0)
        complaint = said.read(2**16).decode("utf-8", errors="replace")
        if made.seek(0, os.SEEK_END) > SIZE_LIMIT:
            raise DrawingFailed(f"{program} made more than {SIZE_LIMIT >> 20} MB; draw fewer steps, or {_INSTEAD}")
        made.seek(0)
        return made.read(), complaint


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """`variables` such that Graphviz opens no file that a graph names."""
    return {**{name: value for name, value in variables.items() if name != "GV_FILE_PATH"}, "SERVER_NAME": "unrollviz"}


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:  # Windows has no process groups
        process.kill()
    process.wait()


def _checked(data: bytes, complaint: str, source: str, format: str, command: list[str]) -> bytes:
    """`data` where it is the picture asked for; DrawingFailed, with the end of the complaint, where it is not."""
    wrong = _CHECKS[format](data, source) if data else "nothing"
    if wrong is None:
        return data
    program = "pygraphviz" if command[0] == sys.executable else command[0]
    lines = [clean(line) for line in complaint.splitlines() if line.strip()]
    last = f" ({program} said: {lines[-1]})" if lines else ""
    raise DrawingFailed(f"{program} made {wrong} instead of the {format}{last}; {_INSTEAD}")


def _wrong_svg(data: bytes, source: str) -> str | None:
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError:
        return "something that is no XML"
    drawn = sum(element.get("class", "").startswith("node") for element in root.iter())
    expected = len(_NODE_LINE.findall(source))
    return f"{drawn} of {expected} nodes" if drawn < expected else None


def _wrong_png(data: bytes, source: str) -> str | None:
    whole = data.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND" in data[-12:]
    return None if whole else "something else or a part"


def _wrong_pdf(data: bytes, source: str) -> str | None:
    return None if data.startswith(b"%PDF-") and b"%%EOF" in data[-32:] else "something else or a part"


_CHECKS: dict[str, Callable[[bytes, str], str | None]] = {"svg": _wrong_svg, "png": _wrong_png, "pdf": _wrong_pdf}
"""Format -> what is wrong with the output, None where nothing is."""
