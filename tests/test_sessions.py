"""Sessions: what is opened is what was saved, to the last bit; and no broken file is believed or destroys anything."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import unrollviz as uz
from unrollviz.debugger import fields, session
from unrollviz.debugger import stepper as go
from unrollviz.debugger.stepper import Stepper
from unrollviz.errors import BadFile, UnrollvizError


def busy(run: uz.Run) -> Stepper:
    """A stepper with something of everything."""
    weight = run.recurrent_weight
    stepper = go.opened(run, target=weight)
    for text in (f"set {weight}[0, 1] = 0.1", "set x3[1] = -0.3", "clip gradient 0.5", "set x2[0] = 1e-300"):
        stepper = go.edited(stepper, text)
    stepper = go.undone(go.undone(stepper))
    stepper = go.with_breakpoint(stepper, f"{weight} if norm(cotangent) > 1e-9")
    stepper = go.with_enabled(go.with_breakpoint(stepper, "t=3"), 1, False)
    stepper = go.with_watch(go.with_watch(stepper, f"{weight}.grad[0, 1]", stops=True), "lag")
    stepper = go.continued(go.continued(stepper)[0])[0]
    return Stepper(**{**stepper.__dict__, "view": {"theme": "dark", "pan": [3, 4], "selected": None}})


def known(stepper: Stepper) -> list[object]:
    """All that can be seen of a stepper."""
    graph, state = stepper.timeline.graph, stepper.state
    nodes = [
        (
            name,
            graph.nodes[name]["value"].tobytes(),
            graph.nodes[name].get("symbol"),
            None if (found := state.cotangent(name)) is None else found.tobytes(),
        )
        for name in graph
    ]
    rest = (stepper.losses, stepper.target, stepper.detail, stepper.cursor, stepper.before, stepper.view)
    return [nodes, rest, stepper.breakpoints, stepper.watches, stepper.edits, stepper.undone, str(stepper.readings())]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cell": "lstm", "layers": 2, "bidirectional": True},
        {"cell": "gru", "learn_initial": True, "readout": "last", "reduction": "mean"},
    ],
)
def test_what_is_opened_is_what_was_saved(tmp_path: Path, options: dict[str, Any]) -> None:
    stepper = busy(uz.article(**options))
    session.save(stepper, tmp_path / "s.json")
    opened = session.read(tmp_path / "s.json")
    assert known(opened) == known(stepper)
    assert known(go.redone(opened)) == known(go.redone(stepper))
    assert known(go.chosen(opened, losses="L5", detail="op")) == known(go.chosen(stepper, losses="L5", detail="op"))
    session.save(opened, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "s.json").read_bytes()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["again.json", "s.json"]


def test_symbols_lengths_and_extreme_numbers_survive(tmp_path: Path) -> None:
    net = uz.Network.init(inputs=3, hidden=2, outputs=3)
    net = net.replace(W=np.array([[5e-324, -0.0], [1e-300, 0.1]]))
    ids = np.array([[0, 1], [1, 2], [2, 0]])
    run = uz.unroll(net, ids, ids, vocabulary=["<b>", "\x1b", "ä"], lengths=[3, 2])
    session.save(go.opened(run), tmp_path / "s.json")
    opened = session.read(tmp_path / "s.json")
    assert known(opened) == known(go.opened(run))
    assert opened.run.network.params["W"].tobytes() == net.params["W"].tobytes()
    assert opened.run.graph.nodes["x2"]["symbol"] == "\x1b"
    assert opened.run.batch.lengths.tolist() == [3, 2]


@given(
    seed=st.integers(0, 9),
    detail=st.sampled_from(["state", "op"]),
    losses=st.sampled_from([None, "L1", "L4"]),
    cursor=st.integers(0, 18),
)
def test_any_place_in_any_run_is_found_again(seed: int, detail: str, losses: str | None, cursor: int) -> None:
    stepper = go.at(go.opened(uz.article(seed=seed), losses, "U", detail), cursor)
    assert known(session.resumed(json.loads(json.dumps(session.said(stepper))))) == known(stepper)


def test_saving_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stepper = busy(uz.article())
    path = tmp_path / "s.json"
    session.save(stepper, path)
    before = path.read_bytes()
    with pytest.raises(UnrollvizError, match="cannot be saved"):
        session.save(Stepper(**{**stepper.__dict__, "view": {"bad": object()}}), path)
    with pytest.raises(UnrollvizError, match="cannot be saved"):
        session.save(Stepper(**{**stepper.__dict__, "view": {"bad": float("nan")}}), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(BadFile, match="no folder"):
        session.save(stepper, tmp_path / "none" / "s.json")


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    return session.said(busy(uz.article()))


def array(*shape: int, value: float = 0.0) -> dict[str, Any]:
    return fields.packed(np.full(shape, value))


BROKEN: list[tuple[str, Any, str]] = [
    ("format", "another", "is not a session"),
    ("version", 2, "is of version 2, this program reads 1"),
    ("cursor", -1, "cursor: is out of range"),
    ("cursor", 10**6, "no event 1000000"),
    ("cursor", True, "cursor: is not a whole number"),
    ("cursor", 1.5, "cursor: is not a whole number"),
    ("losses", [], "name at least one"),
    ("losses", ["L9"], "unknown loss 'L9'"),
    ("losses", [1], "not each of its entries is a text"),
    ("target", "Q", "unknown node 'Q'"),
    ("target", ["W"], "target: is not a text"),
    ("detail", "neuron", "unknown level of detail"),
    ("edits", ["set W[9, 9] = 1"], "edits, number 1: W has shape"),
    ("edits", ["__import__('os')"], "edits, number 1: unknown edit"),
    ("undone", ["cut s3 -> s1"], "no path leads"),
    ("breakpoints", [{"text": "().__class__", "enabled": True, "hits": 0}], "breakpoints, number 1: "),
    ("breakpoints", [{"text": "s3", "enabled": 1, "hits": 0}], "enabled: is not true or false"),
    ("breakpoints", [{"text": "s3", "enabled": True}], "hits: is missing"),
    ("breakpoints", "s3", "breakpoints: is not a list"),
    ("watches", [{"text": "open('x')", "stops": False}], "watches, number 1: unknown function 'open'"),
    ("view", [], "view: is not an object"),
    ("network.cell", "rnn", "unknown cell"),
    ("network.layers", 10**9, "layers have more than"),
    ("network.layers", 0, "layers=0"),
    ("network.params", {}, "layers have more than 0"),
    ("network.params.W", array(2, 2), "parameter W has shape"),
    ("network.params.W", [1], "W: is no array"),
    ("network.params.W", {"shape": [3, 3], "data": "AAAA"}, "has 3 bytes"),
    ("network.params.W", {"shape": [2**40, 2**40], "data": ""}, "0 bytes, but shape"),
    ("network.params.W", {"shape": [3, -3], "data": ""}, "has shape"),
    ("network.params.W", {"shape": [3, 3], "data": "?"}, "is not base64"),
    ("network.params.W", {"shape": [3, 3], "data": "ä"}, "is not base64"),
    ("network.params.W", array(3, 3, value=np.nan), "not finite"),
    ("network.params.\x1bW", array(3, 3), "the name <1B>W holds control"),
    ("data.inputs", array(0, 1, 4), "inputs: has shape"),
    ("data.inputs", array(5, 1, 3), "it should be \\(T, B, 4\\)"),
    ("data.targets", array(4, 1, 4), "targets: has shape"),
    ("data.targets", array(5, 1, 4), "not a distribution"),
    ("data.weights", array(5, 1, value=-1), "weights ≥ 0"),
    ("data.lengths", [6], "lengths from 1 to 5"),
    ("data.lengths", [5, 5], "give 1 lengths"),
    ("data.initial", {}, "holds other states than s0"),
    ("data.initial.s0", array(2, 3), "s0: has shape"),
    ("data.loss", "hinge", "unknown loss"),
    ("data.readout", "first", "unknown readout"),
    ("data.symbols", {"q": "a"}, "q is no node"),
    ("data.symbols", {"x1": 1}, "no short text"),
    ("data.symbols", {"x1": "a" * 999}, "no short text"),
]


@pytest.mark.parametrize(("key", "value", "said"), BROKEN, ids=[f"{key}-{said}"[:40] for key, _, said in BROKEN])
def test_a_wrong_value_is_refused_by_its_place(
    tmp_path: Path, content: dict[str, Any], key: str, value: Any, said: str
) -> None:
    broken = copy.deepcopy(content)
    *parents, last = key.split(".")
    inner = broken
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    path = tmp_path / "s.json"
    path.write_text(json.dumps(broken))
    before = path.read_bytes()
    with pytest.raises(BadFile, match=said) as caught:
        session.read(path)
    assert str(caught.value).startswith(str(path))
    assert "\x1b" not in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def _keys(content: dict[str, Any]) -> list[str]:
    return [*content, *(f"network.{key}" for key in content["network"]), *(f"data.{key}" for key in content["data"])]


def test_nothing_may_be_missing(tmp_path: Path, content: dict[str, Any]) -> None:
    for key in _keys(content):
        broken = copy.deepcopy(content)
        *parents, last = key.split(".")
        del (broken[parents[0]] if parents else broken)[last]
        (tmp_path / "s.json").write_text(json.dumps(broken))
        with pytest.raises(BadFile, match=last if last not in ("format", "version") else "session|version"):
            session.read(tmp_path / "s.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "broken one"),
        ("[]", "is not a session"),
        ("{}", "is not a session"),
        ("null", "is not a session"),
        ('{"format": NaN}', "NaN is no number"),
        ('{"format": 1, "format": 2}', "stands twice"),
        ("[" * 100_000, "nests deeper"),
        ('{"a":' * 100_000, "nests deeper"),
        ('"' + "\\" * 99_999, "broken one"),
        ("9" * 9_999, "broken one"),
        ('{"format": "\\ud800"}', "is not a session"),
        ("\x80", "broken one"),
    ],
)
def test_what_is_no_session_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadFile, match=said):
        session.read(path)


def test_what_is_no_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadFile, match="cannot be read"):
        session.read(tmp_path / "none.json")
    with pytest.raises(BadFile, match="not a file"):
        session.read(tmp_path)
    monkeypatch.setattr(session, "BYTES_LIMIT", 10)
    (tmp_path / "s.json").write_text(" " * 11)
    with pytest.raises(BadFile, match="more than the limit"):
        session.read(tmp_path / "s.json")


@given(data=st.data())
def test_a_damaged_file_gives_one_kind_of_error(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any], data: st.DataObject
) -> None:
    text = bytearray(json.dumps(content).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del text[data.draw(st.integers(0, len(text) - 1)) :]
    path = tmp_path_factory.mktemp("damaged") / "s.json"
    path.write_bytes(bytes(text))
    try:
        session.read(path)
    except BadFile as error:
        assert str(error).startswith(str(path))
