"""A long run opens with its beginning: what is shown and answered meanwhile, and how the whole takes its place."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from test_tui import drive, screen, settled
from textual.pilot import Pilot

import unrollviz as uz
from unrollviz.adjacency import arguments, nodes, put_edge, put_node
from unrollviz.debugger import stepper as go
from unrollviz.errors import NonFinite
from unrollviz.experiments import BEGINNING, LONG, Begun, begun, run
from unrollviz.names import typeset
from unrollviz.readers.experiment import DataPart, Experiment, LossPart, ModelPart
from unrollviz.tui.app import DebugApp, first_scene

STEPS = 600


def long_one(
    steps: int = STEPS, cell: str = "elman", bidirectional: bool = False, readout: str = "every"
) -> Experiment:
    model = ModelPart(cell=cell, hidden=3, bidirectional=bidirectional)
    return Experiment(model, DataPart(steps=steps), LossPart(readout=readout))


def app_for(beginning: Begun, whole: threading.Event | None = None) -> DebugApp:
    """The app that shows a beginning; the rest is unrolled once `whole` is set."""

    def waited() -> uz.Run:
        if whole is not None:
            assert whole.wait(60)
        return beginning.whole()

    stepper = go.opened(beginning.first)
    held_back = replace(beginning, whole=waited)
    return DebugApp(first_scene(stepper, listing=False, begun=held_back), stepper, begun=held_back)


@pytest.mark.parametrize("cell", ["elman", "lstm"])
def test_the_beginning_has_the_values_of_the_whole(cell: str) -> None:
    found = begun(long_one(cell=cell))
    assert found is not None
    assert found.first.steps == BEGINNING
    assert found.steps == STEPS
    whole, plain = found.whole(), run(long_one(cell=cell))
    assert list(whole.losses) == list(plain.losses)
    assert list(found.first.losses) == list(plain.losses[:BEGINNING])
    for name, node in found.first.graph.nodes(data=True):
        assert np.array_equal(node["value"], plain.graph.nodes[name]["value"]), name


@pytest.mark.parametrize(
    "experiment",
    [long_one(LONG), long_one(bidirectional=True), long_one(readout="last")],
    ids=["short", "both", "last"],
)
def test_a_run_whose_first_steps_cannot_be_had_alone_is_unrolled_at_once(experiment: Experiment) -> None:
    assert begun(experiment) is None


def test_the_whole_takes_the_place_of_its_beginning_with_what_has_been_done_meanwhile() -> None:
    found, go_on = begun(long_one()), threading.Event()
    assert found is not None

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await pilot.pause()
        assert app.state.scene.run.steps == BEGINNING
        assert "unrolling 600 steps; these are the first 100" in screen(app)
        assert "∂L/∂W" not in app.state.note
        await pilot.press("n", "n", "n", "left")
        assert app.state.cursor == 3
        assert app.state.node == "s1"
        go_on.set()
        await settled(app, pilot)
        assert app.state.scene.run.steps == STEPS
        assert (app.state.cursor, app.state.node) == (3, "s1")
        assert app.begun is None
        assert app.state.folded
        assert not app.state.scene.listed.pending
        assert "of 600" in screen(app)

    drive(app_for(found, go_on), script)


def test_keys_that_the_beginning_cannot_answer_wait_for_the_whole() -> None:
    found, go_on = begun(long_one()), threading.Event()
    assert found is not None

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await pilot.press("g", *"s600", "enter", "n")
        assert len(app.screen_stack) == 1
        assert app.state.cursor == 0
        go_on.set()
        await settled(app, pilot)
        while app.state.cursor == 0:
            await pilot.pause()
        await settled(app, pilot)
        assert app.state.cursor == 1

    drive(app_for(found, go_on), script)


def test_ctrl_c_leaves_while_the_rest_is_unrolled() -> None:
    found, go_on = begun(long_one()), threading.Event()
    assert found is not None
    app = app_for(found, go_on)

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        await pilot.press("g", "ctrl+c")

    drive(app, script)
    go_on.set()
    assert app.return_code == 130


def test_an_overflow_in_the_rest_ends_the_debugger_with_the_error() -> None:
    found = begun(long_one())
    assert found is not None

    def broken() -> uz.Run:
        raise NonFinite("the value", "a400", 400, "scale the weights down")

    app = app_for(replace(found, whole=broken))

    async def script(app: DebugApp, pilot: Pilot[None]) -> None:
        while app.failure is None:
            await pilot.pause()

    drive(app, script)
    assert app.return_code == 2
    assert "a400" in str(app.failure)


def test_put_node_and_put_edge_write_what_networkx_writes() -> None:
    ours, theirs = nx.MultiDiGraph(), nx.MultiDiGraph()
    for name, value in (("a", 1), ("b", 2), ("c", 3)):
        put_node(ours, name, {"value": value})
        theirs.add_node(name, value=value)
    for tail, head, key in (("a", "b", 0), ("a", "b", 1), ("a", "c", 0), ("b", "c", 1)):
        put_edge(ours, tail, head, key, {"jacobian": key})
        theirs.add_edge(tail, head, key=key, jacobian=key)
    for one in (
        lambda g: list(g.nodes(data=True)),
        lambda g: list(g.edges(keys=True, data=True)),
        lambda g: dict(g.adj),
    ):
        assert one(ours) == one(theirs)
    assert list(ours.in_edges("c", keys=True)) == list(theirs.in_edges("c", keys=True))
    assert {head: {tail: dict(k) for tail, k in tails.items()} for head, tails in arguments(ours).items()} == {
        head: {tail: dict(k) for tail, k in tails.items()} for head, tails in theirs.pred.items()
    }
    assert dict(nodes(ours)) == dict(theirs.nodes)


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_labels_put_together_are_the_names_typeset(cell: str) -> None:
    for layers in (1, 2):
        traced = uz.article(cell=cell, layers=layers) if layers == 1 else stacked(cell)
        for name, label in traced.graph.nodes(data="label"):
            assert label == typeset(name), name


def stacked(cell: str) -> uz.Run:
    net = uz.Network.init(cell, inputs=2, hidden=2, outputs=2, layers=2, bidirectional=True)
    return uz.unroll(net, np.eye(2)[[0, 1, 1]], [0, 1, 0])


def test_a_beginning_is_read_from_a_file_of_data(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", xs=np.arange(700) % 4, targets=np.arange(700) % 3, weights=np.arange(700.0))
    experiment = Experiment(data=DataPart(file=tmp_path / "d.npz"), loss=LossPart(reduction="mean"))
    found = begun(experiment)
    assert found is not None
    assert list(found.first.losses) == list(run(experiment).losses[:BEGINNING])
