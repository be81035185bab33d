"""The line mode, through the real entry point and, where that takes no process, through its table of commands."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from command import unrollviz

import unrollviz as uz
from unrollviz.debugger import stepper as go
from unrollviz.debugger.commands import BY_NAME, COMMANDS, BadCommand, obey
from unrollviz.debugger.stepper import Stepper
from unrollviz.errors import UnknownName, UnrollvizError

UNROLLVIZ = [sys.executable, "-m", "unrollviz", "debug"]


run = partial(unrollviz, "debug")


def answers(*commands: str, stepper: Stepper | None = None) -> tuple[Stepper, list[str]]:
    """The stepper behind some commands, and what the last of them said."""
    stepper, lines = stepper or go.opened(uz.article()), list[str]()
    for command in commands:
        answer = obey(stepper, command)
        stepper, lines = answer.stepper, answer.lines
    return stepper, lines


def test_a_script_is_followed(tmp_path: Path) -> None:
    script = tmp_path / "tour.txt"
    script.write_text(
        "# into the backward pass, to a breakpoint, and back\n\nbreak s3 if phase == 'backward'\ncontinue\ncontinue\n"
        "rcontinue\nloss L4\npaths\ncut s4 -> s3\nsave s.json\nundo\nquit\nno such command\n"
    )
    done = run("--script", str(script), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for line in (
        "event 0 of 65: nothing has happened yet; there are forward, loss, backward, sum",
        "event 31 of 65, backward, step 4: ∂L/∂s₃ += ∂L/∂s₄ · ∂s₄/∂s₃",
        "event 37 of 65, backward, step 3: ∂L/∂s₃ += ∂L/∂ŷ₃ · ∂ŷ₃/∂s₃",
        "breakpoint 1 (s3 if phase == 'backward'), stopped here 3 times",
        "∂L₄/∂W is a sum over 4 paths; its norm is 0.6826",
        "3 paths have vanished:",
        "  L₄ → ŷ₄ → s₄ → s₃ → W",
        "nothing is changed",
    ):
        assert line in done.stdout.splitlines()
    assert "\x1b" not in done.stdout
    again = run("--session", "s.json", given="where\nbreaks\ndiff\n", cwd=tmp_path)
    assert again.returncode == 0
    assert "edit 1: cut s4 -> s3" in again.stdout
    assert "1  s3 if phase == 'backward'  hits: 3" in again.stdout


def test_standard_input_that_is_no_terminal_is_a_script() -> None:
    done = run(given="next")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "event 1 of 65, forward, step 1: s₁ = tanh(U x₁ + W s₀ + b)"
    assert run().returncode == 0
    assert run("--script", "-", given="goto end\n").stdout.splitlines()[-1].startswith("event 65 of 65, sum: ")
    lstm = run("--cell", "lstm", "--loss", "L2", "--detail", "op", given="param\nlevel\nloss\n")
    assert lstm.stdout.splitlines()[-3:] == ["paths lead to W_f", "level op", "the backward pass starts at L2"]


def test_an_error_ends_a_script_and_names_the_line(tmp_path: Path) -> None:
    done = run(given="next\n\nnxt\nprev\n")
    assert done.returncode == 2
    assert done.stderr.startswith("unrollviz: error: -, line 3: unknown command 'nxt'; did you mean next?")
    assert done.stdout.splitlines()[-1].startswith("event 1 of 65")
    assert len(done.stderr.splitlines()) == 1
    script = tmp_path / "s.txt"
    script.write_text("break norm(cotangent) < \x1b]0;x\x07\n")
    done = run("--script", str(script))
    assert done.returncode == 2
    assert f"{script}, line 1: " in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--script", "none.txt"], "none.txt: cannot be read"),
        (["--script", "."], "cannot be read"),
        (["--session", "none.json"], "none.json: cannot be read"),
        (["--session", "none.json", "--loss", "L4"], "leave out loss"),
        (["--session", "none.json", "--hidden", "4"], "leave out hidden"),
        (["--loss", "L9"], "unknown loss"),
        (["--param", "Q"], "unknown"),
    ],
)
def test_wrong_options_are_one_line_and_exit_2(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_text_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_bytes(b"next\n\xff\xfe\n")
    done = run("--script", "s.txt", cwd=tmp_path)
    assert (done.returncode, "not UTF-8" in done.stderr) == (2, True)
    done = run(given="next " + "1" * 20_000)
    assert (done.returncode, "more than 10,000" in done.stderr) == (2, True)


def test_a_terminal_without_unicode_gets_ascii() -> None:
    done = run(given="next\n", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "event 1 of 65, forward, step 1: s1 = tanh(U x1 + W s0 + b)"


def test_an_interrupt_exits_130() -> None:
    process = subprocess.Popen([*UNROLLVIZ], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert b"event 0" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, b"")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    done = subprocess.run(
        f"yes next | head -50000 | {sys.executable} -m unrollviz debug | head -3",
        shell=True,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_at_a_terminal_errors_are_said_and_one_goes_on() -> None:
    main, side = pty.openpty()
    process = subprocess.Popen([*UNROLLVIZ, "--script", "-"], stdin=side, stdout=side, stderr=side, close_fds=True)
    os.close(side)
    os.write(main, b"nxt\nnext\n\x04")
    shown, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            part = os.read(main, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(main)
    assert process.wait(timeout=60) == 0
    assert b"help lists the commands" in shown
    assert b"error: unknown command 'nxt'; did you mean next?" in shown
    assert b"event 1 of 65" in shown


def test_help_is_the_table() -> None:
    _, lines = answers("help")
    assert len(lines) == len(COMMANDS)
    for command, line in zip(COMMANDS, lines, strict=True):
        assert line.startswith(", ".join(command.names))
        assert line.endswith(command.help)
        for name in command.names:
            assert answers(f"help {name}")[1] == [line]
    assert len(BY_NAME) == sum(len(command.names) for command in COMMANDS)
    with pytest.raises(UnknownName, match="did you mean next"):
        answers("help nexxt")


@pytest.mark.parametrize(
    ("commands", "cursor"),
    [
        (["next"], 1),
        (["n 7"], 7),
        (["n 7", "p 2"], 5),
        (["n 7", "prev"], 6),
        (["next 2 phase"], 15),
        (["next phase", "prev phase"], 0),
        (["next step"], 2),
        (["step 2"], 4),
        (["step 2", "back"], 2),
        (["next node"], 1),
        (["goto 31"], 31),
        (["goto end", "n"], 65),
        (["goto end", "goto start", "p"], 0),
        (["goto s3"], 5),
        (["goto s3", "g s3"], 31),
        (["goto end", "goto s3"], 37),
        (["goto x3"], 42),
        (["goto s0"], 58),
    ],
)
def test_moving(commands: list[str], cursor: int) -> None:
    stepper, lines = answers(*commands)
    assert stepper.cursor == cursor
    assert lines[-1].startswith(f"event {stepper.cursor} of 65")


def test_breakpoints_and_watches_by_number() -> None:
    stepper, lines = answers("break s3", "b t=4", "watch stop W.grad[0,1]", "w lag", "disable 1", "breaks")
    assert lines == [
        "1  s3  (disabled)  hits: 0",
        "2  t=4  hits: 0",
        "watch 1  W.grad[0,1]  (stops where it changes)",
        "watch 2  lag",
    ]
    stepper, lines = answers("c", stepper=stepper)
    assert lines[0] == "breakpoint 2 (t=4), stopped here once"
    stepper, lines = answers("delete 1", "unwatch 1", "bl", stepper=stepper)
    assert lines == ["1  t=4  hits: 1", "watch 1  lag"]
    stepper, lines = answers("d 1", "uw 1", stepper=stepper)
    assert lines == ["no breakpoints and no watches"]
    assert answers("c", stepper=stepper)[1][0] == "no breakpoint ahead: this is the end"
    assert answers("rc", stepper=stepper)[1][0] == "no breakpoint before: this is the start"


def test_watches_are_shown_at_every_stop() -> None:
    stepper, lines = answers("watch W.grad[0, 1]", "goto 21")
    assert lines[1].startswith("watch W.grad[0, 1]: not known yet -> ")
    value = lines[1].rpartition(" ")[2]
    assert float(value) == pytest.approx(float(stepper.state.cotangent("W")[0, 1]))  # type: ignore[index]
    assert answers("n", stepper=stepper)[1][1] == f"watch W.grad[0, 1]: {value}, as before"


def test_a_node_is_told_with_its_numbers() -> None:
    _, lines = answers("goto 37", "info")
    text = "\n".join(lines)
    assert lines[0] == "s₃: state at step 3"
    assert "a₃ = U x₃ + W s₂ + b" in lines
    assert "s₃ = tanh(a₃)" in lines
    value = uz.article().graph.nodes["s3"]["value"][0]
    for entry in value:
        assert f"{entry: .4f}" in text
    assert "∂L/∂s₃, 2 of 2 contributions: 3, norm" in text
    assert "  from s₄, event 31: norm" in text
    assert answers("info s3")[1] == ["s₃: state at step 3", "s₃ = tanh(U x₃ + W s₂ + b), not computed yet"]
    assert answers("info x3")[1][-1] == "∂L/∂x₃: nothing has arrived yet, 1 contribution will"
    assert answers("loss L1", "goto end", "info s3")[1][-1] == "∂L₁/∂s₃ = 0: no loss in question depends on it"
    many = answers("goto end", "info W_f", stepper=go.opened(uz.article(20, cell="lstm")))[1]
    assert "value: 20 × 20, norm" in "\n".join(many)
    assert all(len(line) < 120 for line in answers("n", "info", stepper=go.opened(uz.article(cell="lstm")))[1])


def test_the_events_around() -> None:
    _, lines = answers("goto 31", "list 5")
    assert [line[:10] for line in lines] == ["  event 29", "  event 30", "> event 31", "  event 32", "  event 33"]
    assert answers("list 3")[1][0].startswith("> event 0")
    assert len(answers("list 999")[1]) == 66


def test_printing_an_expression() -> None:
    assert answers("print 1 + 1")[1] == ["2"]
    assert answers("goto 5", "print value")[1][0].startswith("[0.79")
    assert answers("e node")[1] == ["s1"]
    assert answers("print W.grad")[1] == ["not known yet"]
    shown = json.loads(answers("goto end", "print U")[1][0])
    assert np.allclose(shown, uz.article().network.params["U"], rtol=1e-5)
    assert answers("goto end", "print norm(W.grad) > 0")[1] == ["True"]
    assert answers("print W.value", stepper=go.opened(uz.article(4)))[1][0].startswith("4 × 4 numbers, norm ")
    assert "names:" in answers("names")[1]


def test_choosing_and_paths() -> None:
    stepper, lines = answers("loss L4", "param U", "paths 2")
    assert lines[0].startswith("∂L₄/∂U is a sum over 4 paths")
    assert lines[-1] == "2 more"
    assert (stepper.losses, stepper.target) == (("L4",), "U")
    assert answers("loss all", stepper=stepper)[0].losses == tuple(f"L{t}" for t in range(1, 6))
    assert answers("loss L2, L3", stepper=stepper)[0].losses == ("L2", "L3")
    assert answers("level op", stepper=stepper)[0].detail == "op"


def test_what_if_is_told_side_by_side() -> None:
    stepper, lines = answers("set W[0, 1] = 0.5")
    assert lines[0] == "edit 1: set W[0, 1] = 0.5"
    assert any(line.startswith("loss") and "6.881335" in line for line in lines)
    assert answers("diff", stepper=stepper)[1] == lines
    assert answers("undo", stepper=stepper)[1] == ["taken back: set W[0, 1] = 0.5", "nothing is changed"]
    assert answers("undo", "redo", stepper=stepper)[1] == lines
    assert "paths have vanished" in "\n".join(answers("cut s3 -> s2", stepper=stepper)[1])
    assert answers("clip gradient 1")[1][0] == "edit 1: clip gradient 1.0"


def test_sessions_by_command(tmp_path: Path) -> None:
    stepper, _ = answers("goto 31", "set W[0, 1] = 0.5", f"save {tmp_path / 'my session.json'}")
    opened, lines = answers("next", f"open {tmp_path / 'my session.json'}")
    assert (opened.cursor, opened.edits) == (31, stepper.edits)
    assert lines[0].startswith("event 31 of 65")
    assert json.loads((tmp_path / "my session.json").read_text())["version"] == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("nxt", "did you mean next"),
        ("next x", "did you mean|unknown unit"),
        ("next 1 2", "give a number"),
        ("next -1", "unknown unit"),
        ("goto 66", "no event 66"),
        ("goto q3", "unknown node"),
        ("delete 1", "there is no breakpoint 1"),
        ("delete", "is no number of a breakpoint"),
        ("unwatch 0", "there is no watch 0"),
        ("break", "say where"),
        ("print", "is empty"),
        ("watch norn(W)", "did you mean norm"),
        ("info q", "unknown node"),
        ("list x", "whole number"),
        ("loss L9", "unknown loss"),
        ("param L3", "is a loss"),
        ("param Q", "unknown parameter"),
        ("level neuron", "unknown level"),
        ("paths x", "whole number"),
        ("set W", "is no edit"),
        ("cut s3 -> s1", "no path"),
        ("clip s3", "is no edit"),
        ("undo", "nothing to undo"),
        ("redo", "nothing to do again"),
        ("save", "give the name"),
        ("open", "give the name"),
        ("open none.json", "cannot be read"),
    ],
)
def test_wrong_arguments_are_refused(command: str, said: str) -> None:
    with pytest.raises(UnrollvizError, match=said):
        answers(command)


def test_a_bad_command_is_an_error_of_ours() -> None:
    assert issubclass(BadCommand, UnrollvizError)
    assert obey(go.opened(uz.article()), "  # a comment").lines == []
    assert obey(go.opened(uz.article()), "q").leaves
