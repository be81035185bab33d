"""The stepper against an accumulation of its own, and its ways of moving."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import unrollviz as uz
from unrollviz.debugger import backward
from unrollviz.debugger import stepper as go
from unrollviz.debugger.events import PHASES
from unrollviz.debugger.timeline import BLOCK, UNITS, State, Timeline, timeline
from unrollviz.debugger.words import cotangent, describe
from unrollviz.errors import UnknownName
from unrollviz.gradient import cotangents


def random_run(steps: int = 4, units: int = 2, instances: int = 1, seed: int = 0, cell: str = "elman") -> uz.Run:
    rng = np.random.default_rng(seed)
    net = uz.Network.init(cell, inputs=3, hidden=units, outputs=3, seed=seed)
    xs = rng.standard_normal((steps, instances, 3))
    return uz.unroll(net, xs, rng.integers(0, 3, (steps, instances)), initial=rng.standard_normal(units))


def steps_of(run: uz.Run, detail: str = "state", losses: str | None = None) -> Timeline:
    return timeline(run.level(detail), run.loss_names(losses))


def replayed(line: Timeline, cursor: int) -> dict[str, np.ndarray]:
    """Cotangents after the first `cursor` events: one event after another, with explicit Jacobian matrices."""
    found: dict[str, np.ndarray] = {}
    for event in line.events[:cursor]:
        if event.phase == "loss" and event.node in line.losses:
            found[event.node] = np.ones(())
        if event.head is None:
            continue
        jacobian = line.graph.edges[event.node, event.head, event.key]["jacobian"]
        blocks = jacobian.matrix()
        handed = found[event.head].reshape(-1, blocks.shape[1])
        handed = np.broadcast_to(handed, (len(blocks), blocks.shape[1]))
        parts = np.einsum("bi,bij->bj", handed, blocks)
        shape = line.graph.nodes[event.node]["value"].shape
        part = (parts if jacobian.per_instance else parts.sum(axis=0)).reshape(shape)
        found[event.node] = found[event.node] + part if event.node in found else part
    return found


def known(state: State) -> dict[str, object]:
    """All that a state says of every node."""
    return {
        name: (
            state.computed(name),
            state.arrived(name),
            state.expected(name),
            None if (value := state.cotangent(name)) is None else value.tobytes(),
        )
        for name in state.timeline.graph
    }


def close(found: np.ndarray, wanted: np.ndarray) -> bool:
    return bool(np.abs(found - wanted).max() <= 1e-13 * max(1.0, np.abs(wanted).max()))


@pytest.mark.parametrize("detail", ["state", "op"])
@pytest.mark.parametrize("losses", [None, "L3"])
def test_every_node_and_edge_has_its_event(detail: str, losses: str | None) -> None:
    run = random_run()
    line = steps_of(run, detail, losses)
    graph = line.graph
    values = [event.node for event in line.events if event.phase in ("forward", "loss")]
    assert sorted(values) == sorted(name for name, op in graph.nodes(data="op") if op is not None)
    edges = [(event.node, event.head, event.key) for event in line.events if event.phase == "backward"]
    reached = set(line.losses)
    for head in reversed(list(graph)):
        if head in reached:
            reached.update(graph.pred[head])
    assert sorted(edges) == sorted(edge for edge in graph.edges(keys=True) if edge[1] in reached)
    sums = [event.node for event in line.events if event.phase == "sum"]
    assert sorted(sums) == sorted(name for name, role in graph.nodes(data="role") if role == "parameter")
    phases = [event.phase for event in line.events]
    assert phases == sorted(phases, key=list(PHASES).index)


@pytest.mark.parametrize("detail", ["state", "op"])
def test_nothing_is_used_before_it_is_there(detail: str) -> None:
    line = steps_of(random_run(), detail)
    for cursor, event in enumerate(line.events):
        before = line.state_at(cursor)
        if event.phase == "backward":
            assert event.head is not None
            assert before.arrived(event.head) == before.expected(event.head) > 0
        elif event.phase == "sum":
            assert before.arrived(event.node) == before.expected(event.node)
        else:
            assert all(before.computed(tail) for tail in line.graph.pred[event.node])
            assert not before.computed(event.node)


@given(
    steps=st.integers(1, 6),
    units=st.integers(1, 4),
    instances=st.integers(1, 3),
    seed=st.integers(0, 99),
    detail=st.sampled_from(["state", "op"]),
    data=st.data(),
)
def test_any_cursor_is_what_a_replay_finds(
    steps: int, units: int, instances: int, seed: int, detail: str, data: st.DataObject
) -> None:
    run = random_run(steps, units, instances, seed)
    losses = data.draw(st.sampled_from([None, *run.loss_names()]))
    line = steps_of(run, detail, losses)
    cursor = data.draw(st.integers(0, line.end))
    state, wanted = line.state_at(cursor), replayed(line, cursor)
    for name in line.graph:
        found = state.cotangent(name)
        assert (found is None) == (name not in wanted)
        assert (found is None) == (state.arrived(name) == 0)
        if found is not None:
            assert found.shape == line.graph.nodes[name]["value"].shape
            assert close(found, wanted[name])


@pytest.mark.parametrize("detail", ["state", "op"])
@pytest.mark.parametrize("losses", [None, "L2"])
def test_at_the_end_stand_the_gradients(detail: str, losses: str | None) -> None:
    run = random_run(5, 3, 2)
    last = steps_of(run, detail, losses)
    end = last.state_at(last.end)
    for name in run.network.params:
        value = end.cotangent(name)
        assert value is not None
        assert close(value, run.gradient(name, losses))
    every = cotangents(last.graph, run.loss_names(losses))
    assert set(every) | set(last.losses) == {name for name in last.graph if end.cotangent(name) is not None}
    for name, wanted in every.items():
        found = end.cotangent(name)
        assert found is not None
        assert close(found, wanted)
        assert end.arrived(name) == end.expected(name)


@pytest.mark.parametrize("detail", ["state", "op"])
def test_back_is_as_good_as_forth(detail: str) -> None:
    line = steps_of(random_run(), detail)
    forth = [known(line.state_at(cursor)) for cursor in range(line.end + 1)]
    fresh = steps_of(random_run(), detail)
    back = [known(fresh.state_at(cursor)) for cursor in reversed(range(fresh.end + 1))]
    assert forth == back[::-1]
    assert line.state_at(3) == line.state_at(3)
    assert line.state_at(3) != line.state_at(4)


def test_long_sums_are_found_at_any_cursor() -> None:
    run = random_run(2 * BLOCK + 5)
    line = steps_of(run)
    total = np.zeros((2, 2))
    for arrived, found in enumerate(line.contributions["W"], 1):
        total = total + line.contribution("W", arrived - 1)
        if arrived in (1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 5):
            value = line.state_at(found.cursor).cotangent("W")
            assert value is not None
            assert close(value, total)
            assert line.state_at(found.cursor - 1).arrived("W") == arrived - 1
    assert close(total, run.gradient("W"))


def test_memory_grows_with_the_values_and_not_with_steps_times_weights() -> None:
    run = random_run(3 * BLOCK, units=16)
    line = steps_of(run)
    for name in run.network.params:
        line.state_at(line.end).cotangent(name)
    values = sum(node["value"].nbytes for _, node in line.graph.nodes(data=True))
    assert line.backward.kept <= values
    assert len(line._kept["W"]) == 3 + 1


def test_a_loss_that_is_not_asked_for_gets_nothing(article: uz.Run) -> None:
    line = steps_of(article, losses="L4")
    end = line.state_at(line.end)
    assert end.computed("L5")
    assert end.cotangent("L5") is None
    assert end.cotangent("s5") is None
    assert end.expected("s5") == 0
    assert end.expected("s4") == 1
    assert end.cotangent("L4") == 1.0
    assert end.arrived("L4") == end.expected("L4") == 1


def test_a_loss_has_its_cotangent_once_it_is_computed(article: uz.Run) -> None:
    line = steps_of(article)
    at = line.computed_at["L2"]
    assert line.state_at(at - 1).cotangent("L2") is None
    assert line.state_at(at).cotangent("L2") == 1.0


@given(steps=st.integers(1, 5), unit=st.sampled_from(list(UNITS)), data=st.data())
def test_moving_there_and_back(steps: int, unit: str, data: st.DataObject) -> None:
    line = steps_of(random_run(steps))
    stops = list(line.stops(unit))
    assert stops[0] == 0
    assert stops[-1] == line.end
    assert stops == sorted(set(stops))
    cursor = data.draw(st.integers(0, line.end))
    by = data.draw(st.integers(1, 4))
    ahead = line.move(cursor, unit, by)
    later = [stop for stop in stops if stop > cursor]
    assert ahead == (later[:by][-1] if later else line.end)
    behind = line.move(cursor, unit, -by)
    earlier = [stop for stop in stops if stop < cursor]
    assert behind == (earlier[-by:][0] if earlier else 0)


@given(
    detail=st.sampled_from(["state", "op"]),
    moves=st.lists(st.tuples(st.sampled_from(list(UNITS)), st.integers(1, 3)), max_size=6),
    start=st.integers(0, 60),
)
def test_moves_forwards_and_the_same_backwards_end_where_they_began(
    article: uz.Run, detail: str, moves: list[tuple[str, int]], start: int
) -> None:
    def walked(there: bool) -> list[tuple[int, dict[str, object]]]:
        stepper = go.opened(article, detail=detail)
        stepper = go.at(stepper, start)
        steps = [stepper]
        for unit, by in moves:
            steps.append(go.moved(steps[-1], unit, by))
        if not there:  # seen only from behind, on a timeline of its own
            steps = [go.at(stepper, step.cursor) for step in reversed(steps)][::-1]
        return [(step.cursor, known(step.state)) for step in (steps if there else reversed(steps))]

    forth, back = walked(True), walked(False)
    assert forth == back[::-1]
    stepper = go.at(go.opened(article, detail=detail), start)
    for unit, by in moves:
        stops = list(stepper.timeline.stops(unit))
        if stepper.cursor in stops and stops.index(stepper.cursor) + by < len(stops):
            assert go.moved(go.moved(stepper, unit, by), unit, -by).cursor == stepper.cursor
        stepper = go.moved(stepper, unit, by)


def test_only_what_is_looked_at_is_worked_out() -> None:
    line = steps_of(random_run(50))
    assert line.backward.kept == 0
    line.state_at(line.stops("phase")[1]).cotangent("s3")
    assert line.backward.kept == 0
    line.state_at(line.visits("s48")[1]).cotangent("s48")
    some = line.backward.kept
    assert not line.backward.finish(stop=lambda: True)
    assert line.backward.kept == some
    assert line.backward.finish()
    assert line.backward.kept > 10 * some > 0


def test_an_interrupted_sweep_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    line = steps_of(random_run(9))
    wanted = steps_of(random_run(9)).state_at(line.end).cotangent("W")
    calls = list[int]()
    sweeping = backward.sweep

    def broken(*arguments: object) -> object:
        for number, arrival in enumerate(sweeping(*arguments)):
            if number == 7 and not calls:
                calls.append(number)
                raise KeyboardInterrupt
            yield arrival

    monkeypatch.setattr("unrollviz.debugger.backward.sweep", broken)
    with pytest.raises(KeyboardInterrupt):
        line.backward.finish()
    found = line.state_at(line.end).cotangent("W")
    assert found is not None
    assert np.array_equal(found, wanted)  # type: ignore[arg-type]


def test_long_sums_are_the_same_from_either_side() -> None:
    run = random_run(2 * BLOCK + 21)
    forth, back = steps_of(run), steps_of(run)
    places = forth.visits("W")
    ahead = [forth.state_at(cursor).cotangent("W") for cursor in places]
    behind = [back.state_at(cursor).cotangent("W") for cursor in reversed(places)][::-1]
    assert all(np.array_equal(one, other) for one, other in zip(ahead, behind, strict=True))  # type: ignore[arg-type]


def test_units_stop_where_their_kind_changes(article: uz.Run) -> None:
    line = steps_of(article)
    assert list(line.stops("event")) == list(range(line.end + 1))
    phases = [line.state_at(cursor).phase for cursor in line.stops("phase")[1:]]
    assert phases == list(line.phases) == list(PHASES)[:-1]
    step = line.move(line.stops("phase")[2], "step", 1)
    assert {event.time for event in line.events[line.stops("phase")[2] : step]} == {5}
    assert line.events[step].time == 4
    node = line.stops("phase")[2]
    heads = []
    for _ in range(3):
        following = line.move(node, "node", 1)
        heads.append({event.head for event in line.events[node:following]})
        node = following
    assert heads == [{"L5"}, {"yhat5"}, {"s5"}]


def test_seeking_a_node(article: uz.Run) -> None:
    line = steps_of(article)
    visits = line.visits("s3")
    assert [line.events[cursor - 1].phase for cursor in visits] == ["forward", "backward", "backward"]
    assert all(line.events[cursor - 1].node == "s3" for cursor in visits)
    assert line.seek(0, "s3") == visits[0]
    assert line.seek(visits[0], "s3") == visits[1]
    assert line.seek(visits[1], "s3", forward=False) == visits[0]
    assert line.seek(line.end, "s3") == line.end
    assert line.seek(0, "s3", forward=False) == 0
    parameter = [line.events[cursor - 1].phase for cursor in line.visits("W")]
    assert parameter == ["backward"] * 5 + ["sum"]
    assert [line.events[cursor - 1].head for cursor in line.visits("W")[:5]] == ["s5", "s4", "s3", "s2", "s1"]


def test_the_like_of_an_event_elsewhere(article: uz.Run) -> None:
    state, op, one = steps_of(article), steps_of(article, "op"), steps_of(article, losses="L3")
    for line in (state, op, one):
        for event in state.events:
            cursor = line.near(event)
            assert line.state_at(cursor).phase == event.phase
    at_s3 = state.events[state.visits("s3")[0] - 1]
    assert op.events[op.near(at_s3) - 1].node == "s3"
    into_s4 = state.events[state.visits("s4")[1] - 1]
    found = one.events[one.near(into_s4) - 1]
    assert (found.phase, found.time) == ("backward", 3)
    assert state.events[state.near(into_s4) - 1] == into_s4


def test_what_happens_in_words(article: uz.Run) -> None:
    line = steps_of(article)

    def said(node: str, visit: int, line: Timeline = line) -> str:
        return describe(article.graph, line, line.events[line.visits(node)[visit] - 1])

    assert said("s3", 0) == "s₃ = tanh(U x₃ + W s₂ + b)"
    assert said("yhat2", 0) == "ŷ₂ = softmax(V s₂ + c)"
    assert said("s3", 1) == "∂L/∂s₃ += ∂L/∂s₄ · ∂s₄/∂s₃"
    assert said("s5", 1) == "∂L/∂s₅ = ∂L/∂ŷ₅ · ∂ŷ₅/∂s₅"
    assert said("W", 0) == "∂L/∂W += ∂L/∂s₅ · ∂⁺s₅/∂W"
    assert said("W", 5) == "∂L/∂W is complete: 5 contributions added up"
    one = steps_of(article, losses="L4")
    assert said("s3", 1, one) == "∂L₄/∂s₃ = ∂L₄/∂s₄ · ∂s₄/∂s₃"
    op = steps_of(article, "op")
    assert said("s3", 0, op) == "s₃ = tanh(a₃)"
    first = steps_of(random_run(1), losses="L1")
    assert cotangent(first, "W") == "∂L₁/∂W"
    assert said("W", 1, first) == "∂L₁/∂W is complete: 1 contribution added up"


def test_cotangents_are_finite_where_an_output_underflows() -> None:
    net = uz.Network.init(inputs=2, hidden=2, outputs=3).replace(V=np.array([[900.0, 0], [-900.0, 0], [0, 1.0]]))
    run = uz.unroll(net, np.ones((2, 2)), [0, 0], initial=np.ones(2))
    line = steps_of(run)
    end = line.state_at(line.end)
    value, wanted = end.cotangent("W"), run.gradient("W")
    assert value is not None
    assert np.isfinite(value).all()
    assert close(value, wanted)
    assert not np.isnan(end.cotangent("yhat1")).any()  # type: ignore[arg-type]


def test_an_exploding_gradient_can_be_stepped_through() -> None:
    run = exploding()
    line = steps_of(run)
    values = [line.state_at(line.end).cotangent(f"s{t}") for t in (5, 1)]
    assert np.isfinite(values[0]).all()  # type: ignore[call-overload]
    assert not np.isfinite(values[1]).all()  # type: ignore[call-overload]


def exploding() -> uz.Run:
    """Finite values whose gradient overflows."""
    net = uz.Network.init(inputs=1, hidden=1, outputs=2, activation="identity")
    net = net.replace(U=np.array([[1.0]]), W=np.array([[1e80]]), b=np.zeros(1), V=np.array([[1.0], [-1.0]]))
    return uz.unroll(net, [[1e-300]] + [[0.0]] * 5, [1] * 6)


def test_wrong_names_and_places_are_refused(article: uz.Run) -> None:
    line = steps_of(article)
    with pytest.raises(UnknownName, match="did you mean L5"):
        timeline(article.level(), ["L55"])
    with pytest.raises(UnknownName, match="did you mean step"):
        line.move(0, "steps", 1)
    with pytest.raises(UnknownName, match="node 'q3'"):
        line.seek(0, "q3")
    for cursor in (-1, line.end + 1):
        with pytest.raises(IndexError, match=str(line.end)):
            line.state_at(cursor)


def test_both_ends_of_a_run(article: uz.Run) -> None:
    line = steps_of(article)
    start, end = line.state_at(0), line.state_at(line.end)
    assert start.event is None
    assert start.next == line.events[0]
    assert start.phase == "forward"
    assert end.next is None
    assert end.event == line.events[-1]
    assert end.phase == "sum"
    assert start.computed("x1")
    assert not start.computed("s1")
