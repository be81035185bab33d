"""The screen under hardship: long work, signals at any time, crashes, hostile words on every screen, huge counts."""

from __future__ import annotations

import os
import re
import select
import signal
from collections.abc import Callable

import numpy as np
import pytest
from test_tui import LEAVE_ALTERNATE_SCREEN, Terminal, long_run

import unrollviz as uz
from unrollviz.arrays import interruptible
from unrollviz.debugger import stepper as go
from unrollviz.draw.text import integer, integers
from unrollviz.graph import contract, names_of
from unrollviz.names import _typeset, typeset
from unrollviz.tui import work
from unrollviz.tui.listing import Wanted, listing
from unrollviz.tui.work import Road, Stopped

HERE = f"__import__({__name__!r})."
MOUSE_OFF, CURSOR_ON = b"\x1b[?1000l", b"\x1b[?25h"

# ---- long work ------------------------------------------------------------------------------------------------------


def stop() -> None:
    raise Stopped


LONG: dict[str, Callable[[uz.Run], object]] = {
    "unrolling": lambda run: uz.unroll(run.network, run.inputs, run.targets),
    "contracting": lambda run: contract(run.graph, set(names_of(run.graph, "state"))),
    "the gradient": lambda run: run.gradient("W"),
    "by lag": lambda run: run.flow("W", "lag"),
    "by route": lambda run: run.flow("W", "route"),
    "counting": lambda run: run.paths(to="W").count,
    "listing": lambda run: run.paths(to="W")[:5].table(),
    "searching": lambda run: run.paths(to="W").top(3),
    "a tree": lambda run: run.tree(),
    "all cotangents": lambda run: go.opened(run).timeline.backward.finish(),
}


@pytest.mark.parametrize("name", LONG)
def test_long_work_of_every_kind_can_be_stopped(name: str) -> None:
    run = long_run(8)
    run.level("state", "W")
    with pytest.raises(Stopped), interruptible(stop):
        LONG[name](run)


def test_it_is_asked_at_every_step_and_only_meanwhile() -> None:
    run, asked = long_run(30), 0

    def count() -> None:
        nonlocal asked
        asked += 1

    with interruptible(count):
        run.flow("W", "temporal")
    assert asked > 30
    before = asked
    run.flow("W", "temporal")
    assert asked == before


def test_a_sweep_that_many_look_at_goes_on_where_it_was() -> None:
    """Who is interrupted leaves no cotangent to be worked out twice."""
    line = go.opened(long_run(30)).timeline

    def soon() -> None:
        if line.backward.kept > 200:
            raise Stopped

    with pytest.raises(Stopped), interruptible(soon):
        line.backward.finish()
    kept, sweep = line.backward.kept, line.backward._sweep
    assert 200 < kept < 2_000
    with interruptible(stop):
        line.backward.row("s2")
    assert line.backward._sweep is sweep
    assert line.backward.kept > kept


def test_work_rests_while_a_key_is_answered_and_goes_on_if_many_are_pressed(monkeypatch: pytest.MonkeyPatch) -> None:
    now, rested = 100.0, list[float]()
    monkeypatch.setattr(work, "monotonic", lambda: now)
    monkeypatch.setattr(work, "sleep", rested.append)
    road = Road()
    road.wait()
    assert not rested
    road.clear()
    road.wait()
    assert rested == [pytest.approx(work.RESTS)]
    now += 1.5 * work.RESTS
    road.clear()  # pressed while work has its turn
    road.wait()
    assert len(rested) == 1
    now += work.RESTS
    road.clear()
    road.wait()
    assert len(rested) == 2


# ---- huge counts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [15, 22, 23, 307, 308, 309, 1000, 5000])
def test_a_number_of_any_size_is_said(power: int) -> None:
    assert integer(10**power) == f"1.000e+{power}"
    assert integer(10**power - 1) == (f"9.999e+{power - 1}" if power > 15 else "999,999,999,999,999")
    assert integer(8670 * 10**power) == f"8.670e+{power + 3}"
    assert integers(10**power)[-1] == f"1.000e+{power}"
    assert integer(86_712_345, exact=7, digits=2) == "8.6e+7"


def test_more_paths_than_float64_holds_are_searched() -> None:
    net = uz.Network.init("lstm", inputs=1, hidden=1, outputs=2)
    run = uz.unroll(net, np.ones((760, 1)), np.zeros(760, dtype=np.int64))
    paths, said = run.paths("L760", "W_f"), list[str]()
    assert paths.count > 10**309

    def pulse(words: str) -> None:
        said.append(words)
        raise Stopped

    with pytest.raises(Stopped):
        listing(paths, Wanted(), pulse)
    assert said == [f"searching {integer(paths.count)} paths for the heaviest: 0 partial paths"]
    assert str(uz.TooManyPaths(10**5000, 7, "take fewer")).startswith("1.000e+5000 paths are more than the limit of 7")


def test_names_are_typeset_alike_with_their_steps_apart() -> None:
    net = uz.Network.init("lstm", inputs=2, hidden=2, outputs=2, layers=2, bidirectional=True)
    run = uz.unroll(net, np.ones((11, 2)), np.zeros(11, dtype=np.int64))
    for name in [*run.graph, "a_3", "l2", "l2.3", "x_f12", "7", "a_F3", "s-1", ""]:
        assert typeset(name) == _typeset(name)


# ---- signals and crashes --------------------------------------------------------------------------------------------


def restored(terminal: Terminal) -> bool:
    """Whether what was sent last leaves a terminal as it was: its screen, its mouse, its cursor."""
    return all(wanted in terminal.output for wanted in (LEAVE_ALTERNATE_SCREEN, MOUSE_OFF, CURSOR_ON))


@pytest.mark.parametrize(
    ("keys", "shows", "number", "code"),
    [
        (b"?", b"next event", "SIGTERM", 143),
        (b"x", b"what if", "SIGINT", 130),
        (b"/", b"find", "SIGHUP", 129),
        (b"c", b"looking for", "SIGTERM", 143),
        pytest.param(b"c", b"looking for", "SIGHUP", 129, marks=pytest.mark.thorough),
        pytest.param(b"c", b"looking for", "SIGINT", 130, marks=pytest.mark.thorough),
    ],
)
def test_signals_restore_the_terminal_whatever_is_going_on(keys: bytes, shows: bytes, number: str, code: int) -> None:
    """In a window, and while a search through a long run keeps a thread at work."""
    terminal = Terminal(f"{HERE}searching()" if keys == b"c" else "uz.article()")
    os.write(terminal.main, keys)
    terminal.read_until(shows)
    terminal.process.send_signal(getattr(signal, number))
    assert terminal.end() == code
    assert restored(terminal)
    assert b"Traceback" not in terminal.output


def searching() -> go.Stepper:
    """A run with a breakpoint that takes long to be looked for, and is never met."""
    return go.with_breakpoint(go.opened(long_run(1200, 2)), "norm(cotangent) > 1e300")


def breaking() -> uz.Run:
    """A run on a screen with a mistake in it."""
    from unrollviz.tui.app import DebugApp

    def fail(app: DebugApp) -> None:
        raise RuntimeError("a mistake")

    DebugApp.action_light = fail  # type: ignore[method-assign]
    return uz.article()


def test_a_crash_restores_the_terminal_and_is_no_success() -> None:
    terminal = Terminal(f"{HERE}breaking()")
    os.write(terminal.main, b"t")
    assert terminal.end() == 1
    assert restored(terminal)
    assert b"a mistake" in terminal.output.split(LEAVE_ALTERNATE_SCREEN)[-1]


# ---- the data's own words, on every screen --------------------------------------------------------------------------

PAYLOADS = (
    "[@click=app.quit]x[/]",
    "[/nope",
    "[b]",
    "\x1b]52;c;UFdORUQ=\x07",
    "\x1bPq\x1b\\",
    "\x9d52;c;UFdORUQ=\x9c",
    "\x9b31m",
    "\u202eabc",
    "\u2066\u200b",
    "\x00\x7f\x08\r",
    "A" * 10_000,
)


def hostile() -> uz.Run:
    """A run whose symbols are all payloads."""
    ids = np.arange(len(PAYLOADS))
    net = uz.Network.init(inputs=len(PAYLOADS), hidden=3, outputs=len(PAYLOADS))
    return uz.unroll(net, ids, ids[::-1].copy(), vocabulary=PAYLOADS)


def settle(terminal: Terminal) -> None:
    """Read until nothing more comes: a key after Esc would make one of the two."""
    while select.select([terminal.main], [], [], 0.15)[0]:
        terminal.output += os.read(terminal.main, 65536)


SCREENS = ("1", "2", "vvvvv", "3", "a", "\r", "4", "aaaaaa", "5", "/ x", "l", "o", "g x4", "B", "w", "x", "?", "\x10 x")
"""The keys that lead to each, and what is typed there; Esc leaves."""


def test_no_screen_lets_a_payload_through_to_the_terminal() -> None:
    terminal = Terminal(f"{HERE}hostile()")

    def type_in(*keys: str) -> None:
        for few in keys:
            os.write(terminal.main, few.encode())
            settle(terminal)

    for index in range(1, len(PAYLOADS) + 1):
        type_in("g", "\x15", f"x{index}", "\r")
    for keys in SCREENS:
        type_in(*keys.split(" "), "\x1b")
    os.write(terminal.main, b"\x03")
    assert terminal.end() == 130
    output = re.sub(rb"\x1b\]22;\w+\x07", b"", terminal.output)  # the shape of the mouse's pointer
    for payload in (b"\x1b]52", b"\x1bP", b"\x07", b"\x00", b"\x7f", b"\x08", b"A" * 300):
        assert payload not in output, payload
    for sign in "\x9d\x9b\x9c\u202e\u2066\u200b":
        assert sign.encode() not in output, hex(ord(sign))
    for words in (b"[@click=app.quit]x[/]", b"[/nope", b"[b]", b"<1B>]52;c", b"<9D>52", b"<202E>abc"):
        assert words in re.sub(rb"\x1b\[[\d;?]*[A-Za-z]", b"", output), words
