"""Graphviz at arm's length: real pictures, engines that fail in every way, and files written whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

import unrollviz as uz
from unrollviz import files
from unrollviz.draw import engine
from unrollviz.draw.engine import render, write
from unrollviz.errors import BadFile, DrawingFailed, UnknownName, UnrollvizError
from unrollviz.files import check_writable, write_atomically

SOURCE = uz.article().draw().source
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><g class="node">one</g><g class="node">two</g></svg>'
TWO_NODES = "digraph {\n\tnode [shape=box]\n\tn1 [label=a]\n\tn2 [label=b]\n\tn1 -> n2 [dir=none]\n}\n"


@pytest.fixture
def fake(monkeypatch):
    """fake(code): an engine `fake` that runs Python `code`, with `out` for its stdout and `format` for the format."""

    def make(code: str) -> None:
        program = f"import os, sys, time, subprocess\nout = sys.stdout.buffer\nformat = sys.argv[1]\n{code}"
        monkeypatch.setitem(engine.ENGINES, "fake", lambda format: [sys.executable, "-S", "-c", program, format])

    return make


# Real pictures


def test_svg_is_svg_with_every_node_once_and_text_as_text():
    root = ElementTree.fromstring(render(SOURCE, "svg"))
    titles = [
        e.text for g in root.iter() if g.get("class", "").startswith("node") for e in g if e.tag.endswith("title")
    ]
    declared = re.findall(r"^\t(n\d+) \[", SOURCE, re.MULTILINE)
    assert sorted(titles) == sorted(declared)
    assert "ŷ₄" in {e.text for e in root.iter() if e.tag.endswith("}text")}


def test_png_is_a_sharp_png():
    data = render(SOURCE, "png")
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert data[-8:-4] == b"IEND"
    root = ElementTree.fromstring(render(SOURCE, "svg"))
    points = float(root.get("width").removesuffix("pt"))
    (pixels,) = struct.unpack(">I", data[16:20])
    assert pixels == pytest.approx(points * 192 / 72, rel=0.01)


def test_pdf_is_a_pdf():
    data = render(SOURCE, "pdf")
    assert data.startswith(b"%PDF-")
    assert b"%%EOF" in data[-32:]


def test_the_same_source_gives_the_same_svg():
    assert render(SOURCE, "svg") == render(SOURCE, "svg")


@pytest.mark.skipif(shutil.which("dot") is None, reason="this machine has no dot program")
def test_the_machines_own_dot_keeps_the_positions():
    theirs, ours = (ElementTree.fromstring(render(SOURCE, "svg", name)) for name in ("dot", "pygraphviz"))
    assert float(theirs.get("width").removesuffix("pt")) == pytest.approx(
        float(ours.get("width").removesuffix("pt")), abs=2
    )


def test_a_module_in_the_working_directory_is_not_run(tmp_path, monkeypatch):
    (tmp_path / "pygraphviz.py").write_text("open('trap', 'w')")
    monkeypatch.chdir(tmp_path)
    render(TWO_NODES, "svg")
    assert not (tmp_path / "trap").exists()


# Choices


@pytest.mark.parametrize("format", ["jpeg", "svgz", "", "dot", "svg:cairo"])
def test_other_formats_are_refused_before_the_work(format, fake):
    fake("open('ran', 'w')")
    with pytest.raises(UnknownName, match="choose one of svg, png, pdf"):
        render(SOURCE, format, "fake")


def test_other_engines_are_refused():
    with pytest.raises(UnknownName, match=r"unknown engine 'neato'; .*pygraphviz, dot"):
        render(SOURCE, "svg", "neato")


@pytest.mark.parametrize("name", ["x.jpeg", "x", ".svg", "x.svg.exe"])
def test_the_ending_names_the_format(tmp_path, name):
    with pytest.raises(UnrollvizError, match=r"\.svg, \.png, \.pdf, \.dot, \.gv"):
        write(SOURCE, tmp_path / name)
    assert not list(tmp_path.iterdir())


# Engines that fail


def fails(match: str, format: str = "svg", timeout: float = 30, source: str = TWO_NODES) -> str:
    with pytest.raises(DrawingFailed, match=match) as caught:
        render(source, format, "fake", timeout)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_good_fake_passes(fake):
    fake(f"out.write({SVG!r})")
    assert render(TWO_NODES, "svg", "fake") == SVG


def test_the_source_arrives_whole_on_stdin(fake):
    fake(f"assert sys.stdin.buffer.read() == {('é' + TWO_NODES).encode()!r}; out.write({SVG!r})")
    assert render("é" + TWO_NODES, "svg", "fake") == SVG


def test_a_hanging_engine_is_stopped_with_its_children(fake, tmp_path):
    pid_file = tmp_path / "pid"
    fake(
        f"child = subprocess.Popen(['sleep', '60'])\nopen({str(pid_file)!r}, 'w').write(str(child.pid))\ntime.sleep(60)"
    )
    message = fails("did not finish in 2 s and was stopped", timeout=2)
    assert "-o x.dot" in message
    pid = int(pid_file.read_text())
    for _ in range(100):
        if gone(pid):
            break
        time.sleep(0.05)
    assert gone(pid)


def gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has collected it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_an_interrupt_stops_the_engine(fake, tmp_path, monkeypatch):
    pid_file = tmp_path / "pid"
    fake(f"open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)")

    def interrupt(process, timeout=None):
        while not pid_file.exists() or not pid_file.read_text():
            time.sleep(0.02)
        monkeypatch.undo()
        raise KeyboardInterrupt

    command = engine.ENGINES["fake"]
    monkeypatch.setattr(subprocess.Popen, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        engine._run(command("svg"), SOURCE, 30)
    assert gone(int(pid_file.read_text()))


def test_an_exit_code_with_a_message(fake):
    fake("sys.stderr.write('first\\nError: syntax error in line 1\\n'); sys.exit(3)")
    assert "Error: syntax error in line 1" in fails("made nothing instead of the svg")


def test_success_is_judged_on_the_output_not_on_the_exit_code(fake):
    fake("sys.exit(0)")
    fails("made nothing")
    fake(f"out.write({SVG!r}); out.flush(); sys.exit(1)")
    assert render(TWO_NODES, "svg", "fake") == SVG


def test_stderr_may_hold_anything(fake):
    fake("sys.stderr.buffer.write(b'\\xff\\xfe bad \\x1b]52;c;UFdORUQ=\\x07'); sys.exit(1)")
    message = fails("bad <1B>")
    assert not re.search("[\x00-\x1f\x7f-\x9f]", message)


def test_warnings_on_stderr_do_no_harm(fake):
    fake(f"sys.stderr.write('Warning: font\\n' * 99999); out.write({SVG!r})")
    assert render(TWO_NODES, "svg", "fake") == SVG


@pytest.mark.parametrize(
    ("output", "wrong"),
    [
        (SVG[:-7], "no XML"),
        (b"Error", "no XML"),
        (SVG.replace(b"node", b"edge", 1), "1 of 2 nodes"),
        (b"<svg/>", "0 of 2 nodes"),
        (b"\x00\xff", "no XML"),
    ],
)
def test_a_partial_svg_is_refused(fake, output, wrong):
    fake(f"out.write({output!r})")
    fails(wrong)


@pytest.mark.parametrize("format", ["png", "pdf"])
def test_a_partial_picture_is_refused(fake, format):
    whole = render(TWO_NODES, format)
    fake(f"out.write({whole!r})")
    assert render(TWO_NODES, format, "fake") == whole
    for bad in (whole[: len(whole) // 2], whole[20:], b"hello"):
        fake(f"out.write({bad!r})")
        fails(f"instead of the {format}", format)


def test_a_missing_program(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        DrawingFailed, match=r"dot cannot be started \(No such file.*use the engine pygraphviz, or .*x\.dot"
    ):
        render(SOURCE, "svg", "dot")


def test_too_much_output(fake, monkeypatch):
    monkeypatch.setattr(engine, "SIZE_LIMIT", 1 << 20)
    fake("out.write(b'x' * (2 << 20))")
    fails("made more than 1 MB")


def test_a_png_that_is_too_large_is_drawn_coarser(fake):
    png = render(TWO_NODES, "png")
    shrunk = "sys.stderr.write('graph is too large for cairo-renderer bitmaps. Scaling by 0.9 to fit') "
    fake(f"out.write({png!r}); {shrunk} if '192' in sys.argv[-1] else out.write(b'')")
    assert render(TWO_NODES, "png", "fake") == png
    fake(f"out.write({png!r}); {shrunk}")
    fails("too large for a png; choose svg or pdf", "png")


def test_graphviz_may_open_no_files(fake, monkeypatch):
    monkeypatch.setenv("GV_FILE_PATH", "/")
    fake(f"assert 'GV_FILE_PATH' not in os.environ and os.environ['SERVER_NAME']; out.write({SVG!r})")
    assert render(TWO_NODES, "svg", "fake") == SVG


def test_bad_dot_is_an_error():
    with pytest.raises(DrawingFailed, match=r"pygraphviz made nothing.*-o x\.dot"):
        render("digraph { this is not ]", "svg")


# Files


@pytest.mark.parametrize("name", ["x.svg", "x.png", "x.pdf", "X.SVG"])
def test_write_chooses_by_ending(tmp_path, name):
    write(SOURCE, tmp_path / name)
    start = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[name[-3:].lower()]
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["x.dot", "x.gv"])
def test_dot_text_needs_no_engine(tmp_path, name, monkeypatch):
    monkeypatch.setenv("PATH", "")
    write(SOURCE, tmp_path / name, engine="dot")
    assert (tmp_path / name).read_text(encoding="utf-8") == SOURCE


def test_a_file_that_cannot_be_written_is_found_before_the_work(tmp_path, fake):
    fake(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "folder.svg").mkdir()
    os.mkfifo(tmp_path / "fifo.svg")
    for name, reason in (("no/x.svg", "no folder"), ("folder.svg", "not a file"), ("fifo.svg", "not a file")):
        with pytest.raises(BadFile, match=reason):
            write(SOURCE, tmp_path / name, engine="fake")
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_closed_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(BadFile, match="may not be written to"):
        check_writable(tmp_path / "x.svg")


def test_a_closed_folder_as_seen_by_the_system(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(BadFile, match="may not be written to"):
        check_writable(tmp_path / "x.svg")


def test_a_failed_drawing_leaves_the_old_file(tmp_path, fake):
    target = tmp_path / "x.svg"
    target.write_bytes(b"old")
    fake("out.write(b'half a picture')")
    with pytest.raises(DrawingFailed):
        write(TWO_NODES, target, engine="fake")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.svg"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, broken):
    target = tmp_path / "x"
    target.write_bytes(b"old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync", full) if broken == "fsync" else (Path, "replace", full)))
    with pytest.raises(BadFile, match="cannot be written: No space left on device"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_interrupted_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "x", b"new")
    assert not list(tmp_path.iterdir())


def test_the_data_are_on_disk_before_the_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("fsync"), fsync(handle)))
    monkeypatch.setattr(Path, "replace", lambda path, target: (order.append("replace"), replace(path, target)))
    write_atomically(tmp_path / "x", b"new")
    assert order == ["fsync", "replace", "fsync"]


def test_modes_are_kept_and_new_files_follow_the_umask(tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    old.write_bytes(b"")
    old.chmod(0o640)
    before = os.umask(0o027)
    try:
        write_atomically(new, b"1")
        write_atomically(old, b"2")
    finally:
        os.umask(before)
    assert stat.S_IMODE(new.stat().st_mode) == 0o640
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    old.chmod(0o600)
    write_atomically(old, b"3")
    assert stat.S_IMODE(old.stat().st_mode) == 0o600


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "x", tmp_path / "x"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["real", "x", "x"]


def test_what_killed_writers_left_is_swept(tmp_path):
    old, young, other = tmp_path / ".x.0badcafe.tmp", tmp_path / ".x.00c0ffee.tmp", tmp_path / ".y.0badcafe.tmp"
    for path in (old, young, other):
        path.write_bytes(b"half")
    for path in (old, other):
        long_ago = time.time() - files.ORPHAN_SECONDS - 10
        os.utime(path, (long_ago, long_ago))
    write_atomically(tmp_path / "x", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, other.name, "x"]


def test_a_killed_writer_leaves_the_old_or_the_new_file(tmp_path):
    target = tmp_path / "x"
    target.write_bytes(b"a" * 4_000_000)
    program = (
        "from unrollviz.files import write_atomically\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for letter in (b'a', b'b'):\n"
        f"        write_atomically({str(target)!r}, letter * 4_000_000)\n"
    )
    for pause in (0.0, 0.003, 0.011, 0.023, 0.04, 0.07):
        writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(pause)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        data = target.read_bytes()
        assert data in (b"a" * 4_000_000, b"b" * 4_000_000)
