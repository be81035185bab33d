"""Breakpoints, watches and their expressions: the same stops in both directions, and nothing hostile is worked out."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import unrollviz as uz
from unrollviz.debugger import stepper as go
from unrollviz.debugger.breakpoints import CONDITIONS, Breakpoint, breakpoint_at, next_hit
from unrollviz.debugger.events import PHASES
from unrollviz.debugger.expressions import FUNCTIONS, QUANTITIES, BadExpression, Moment, Value, parse
from unrollviz.debugger.stepper import Stepper
from unrollviz.debugger.timeline import Timeline, timeline
from unrollviz.errors import UnknownName, UnrollvizError


@pytest.fixture(scope="module")
def line(article: uz.Run) -> Timeline:
    return timeline(article.level(), article.loss_names())


def hits(line: Timeline, text: str) -> list[int]:
    """All stops, going forwards; found again, going backwards."""
    point = breakpoint_at(text, line.graph)
    forth, back = list[int](), list[int]()
    while (hit := next_hit(line, forth[-1] if forth else 0, [point])) is not None:
        forth.append(hit.cursor)
    while (hit := next_hit(line, back[-1] if back else line.end + 1, [point], forward=False)) is not None:
        back.append(hit.cursor)
    assert forth == back[::-1]
    return forth


def cursors(line: Timeline, wanted: object) -> list[int]:
    assert callable(wanted)
    return [cursor for cursor, event in enumerate(line.events, 1) if wanted(event)]


def test_nodes_and_patterns(line: Timeline) -> None:
    assert hits(line, "s3") == line.visits("s3")
    assert hits(line, "W") == line.visits("W")
    assert hits(line, "s*") == cursors(line, lambda e: e.node.startswith("s"))
    assert hits(line, "yhat?") == cursors(line, lambda e: e.node.startswith("yhat"))
    assert hits(line, "s* t=3 phase=backward") == cursors(
        line, lambda e: e.node[0] == "s" and e.time == 3 and e.phase == "backward"
    )


def test_layers_have_patterns_of_their_own() -> None:
    run = uz.article(layers=2)
    line = timeline(run.level(), run.loss_names())
    assert hits(line, "l1.*") == cursors(line, lambda e: e.node.startswith("l1."))
    assert hits(line, "l2.s3") == line.visits("l2.s3")
    assert parse("norm(l2.s3) + l1.W.grad[0, 0]", line.graph).at(Moment.at(line.state_at(line.end))) is not None


def test_a_step_and_a_phase_are_hit_where_they_are_entered(line: Timeline) -> None:
    entered = [c for c in cursors(line, lambda e: e.time == 3) if c == 1 or line.events[c - 2].time != 3]
    assert hits(line, "t=3") == entered
    assert len(entered) == 3
    for phase in PHASES:
        assert hits(line, f"phase={phase}") == cursors(line, lambda e, p=phase: e.phase == p)[:1]


def test_a_step_is_entered_anew_where_one_phase_ends_and_the_next_begins_with_it() -> None:
    run = uz.article(readout="last")
    line = timeline(run.level(), run.loss_names())
    phases = [line.events[cursor - 1].phase for cursor in hits(line, "t=5")]
    assert phases == ["forward", "loss", "backward"]


def test_conditions_hold_where_a_replay_says_so(line: Timeline) -> None:
    def norms(threshold: float, pattern: str = "") -> list[int]:
        found = []
        for cursor, event in enumerate(line.events, 1):
            value = line.state_at(cursor).cotangent(event.node)
            if event.node.startswith(pattern) and value is not None and np.linalg.norm(value) < threshold:
                found.append(cursor)
        return found

    assert hits(line, "norm(cotangent) < 0.3") == norms(0.3)
    assert norms(0.3, "s") != norms(0.3)
    assert hits(line, "s* if norm(cotangent) < 0.3") == norms(0.3, "s")
    assert hits(line, 'node == "s3" and phase == "backward"') == line.visits("s3")[1:]
    assert hits(line, "isnan(value) or isinf(cotangent)") == []
    assert hits(line, "cursor >= 60") == list(range(60, line.end + 1))
    assert hits(line, "loss > 0")[0] == cursors(line, lambda e: e.phase == "loss")[0]


def test_what_is_not_known_yet_fulfils_no_condition(line: Timeline) -> None:
    first = line.visits("W")[0]
    assert hits(line, "W.grad < 1e9")[0] == first
    assert hits(line, "W.grad != 7")[0] == first
    assert hits(line, "-W.grad[0, 1] + 3 < 1e9")[0] == first
    assert hits(line, "sum(abs(W.grad)) >= 0")[0] == first
    assert hits(line, "isnan(W.grad)") == []
    assert hits(line, "not isnan(W.grad)")[0] == 1


def test_a_comparison_with_an_array_holds_where_it_holds_for_any_entry(line: Timeline) -> None:
    value = line.graph.nodes["s3"]["value"][0]
    assert value.min() < 0 < value.max()
    at = line.visits("s3")[0]
    for text in ("s3 < 0", "s3 > 0", "s3 and True", "s3 - s3 == 0", "not (s3 - s3)"):
        assert hits(line, text)[0] == at if "not" not in text else 1


def test_the_loss_adds_up(article: uz.Run) -> None:
    line = timeline(article.level(), ["L2", "L4"])
    loss = parse("loss", line.graph)
    found = [loss.at(Moment.at(line.state_at(cursor))) for cursor in range(line.end + 1)]
    one, both = line.computed_at["L2"], line.computed_at["L4"]
    assert found[:one] == [None] * one
    assert found[one:both] == [article.losses[1]] * (both - one)
    assert found[both:] == [article.losses[1] + article.losses[3]] * (line.end + 1 - both)


def test_lag_counts_from_the_furthest_loss(line: Timeline) -> None:
    for cursor in hits(line, "lag >= 2"):
        event = line.events[cursor - 1]
        assert event.phase == "backward"
        assert event.time is not None
        reached = [t for t in range(1, 6) if f"L{t}" in _descendants(line, event.head or "")]
        assert max(reached) - event.time >= 2
    assert hits(line, "lag >= 2") == [
        c
        for c in cursors(line, lambda e: e.phase == "backward")
        if (e := line.events[c - 1]).time is not None
        and max(t for t in range(1, 6) if f"L{t}" in _descendants(line, e.head or "")) - e.time >= 2
    ]


def _descendants(line: Timeline, node: str) -> set[str]:
    import networkx as nx

    return {node, *nx.descendants(line.graph, node)}


def test_a_cotangent_is_complete_with_its_last_contribution(line: Timeline) -> None:
    assert hits(line, "s3 if complete") == line.visits("s3")[-1:]
    assert hits(line, "W if complete") == line.visits("W")[-2:]  # the last contribution, and the sum
    assert hits(line, "x2 if not complete") == []
    assert hits(line, "L2 if complete") == line.visits("L2")


def test_sign_flips_and_changes(line: Timeline) -> None:
    before, flips, changes = None, [], []
    for cursor in range(1, line.end + 1):
        value = line.state_at(cursor).cotangent("W")
        now = None if value is None else float(value[0, 1])
        if now != before:
            changes.append(cursor)
        if now is not None and before is not None and now * before < 0:
            flips.append(cursor)
        before = now
    assert flips
    assert hits(line, "sign flip of W.grad[0,1]") == flips
    assert hits(line, "change of W.grad[0,1]") == changes
    assert hits(line, "W if sign flip of W.grad[0,1]") == flips
    assert hits(line, "s* if sign flip of W.grad[0,1]") == []


@pytest.mark.parametrize(
    ("before", "now", "flipped"),
    [
        (1.0, -1.0, True),
        (-1e-300, 1e-300, True),
        (0.0, 1.0, False),
        (1.0, 0.0, False),
        (1.0, 2.0, False),
        (None, -1.0, False),
        (np.array([1.0, 2.0]), np.array([1.0, -2.0]), True),
        (np.array([1.0, 2.0]), np.array([2.0, 1.0]), False),
    ],
)
def test_a_sign_flips_from_one_side_of_zero_to_the_other(before: Value, now: Value, flipped: bool) -> None:
    assert CONDITIONS["sign flip of"][1](before, now) is flipped


@given(
    texts=st.lists(st.sampled_from(["s3", "t=2", "lag > 1", "W if W.grad[0,0] > 0", "phase=sum"]), max_size=3),
    start=st.integers(0, 65),
    forward=st.booleans(),
)
def test_the_nearest_of_several_is_hit(article: uz.Run, texts: list[str], start: int, forward: bool) -> None:
    line = timeline(article.level(), article.loss_names())
    points = [breakpoint_at(text, line.graph) for text in texts]
    places = [set(hits(line, text)) for text in texts]
    found = next_hit(line, start, points, forward=forward)
    ahead = [c for p in places for c in p if (c > start if forward else c < start)]
    if not ahead:
        assert found is None
    else:
        assert found is not None
        assert found.cursor == (min(ahead) if forward else max(ahead))
        assert found.breakpoints == tuple(i for i, p in enumerate(places) if found.cursor in p)


def test_breakpoints_are_counted_and_left_out(article: uz.Run) -> None:
    stepper = go.with_breakpoint(go.with_breakpoint(go.opened(article), "s3"), "L2")
    stops = list[int]()
    for _ in range(3):
        stepper, hit = go.continued(stepper)
        assert hit is not None
        stops.append(stepper.cursor)
    assert [point.hits for point in stepper.breakpoints] == [2, 1]
    back, hit = go.continued(stepper, forward=False)
    assert (back.cursor, back.before) == (stops[1], stops[2])
    off = go.with_enabled(go.at(stepper, 0), 0, False)
    off, hit = go.continued(off)
    assert off.timeline.events[off.cursor - 1].node == "L2"
    on = go.with_enabled(go.at(off, 0), 0, True)
    assert go.continued(on)[0].cursor == stops[0]
    gone, hit = go.continued(go.without_breakpoint(go.at(on, 0), 0))
    assert gone.timeline.events[gone.cursor - 1].node == "L2"
    assert len(stepper.breakpoints) == 2  # the stepper before is as it was


def test_without_a_stop_ahead_one_comes_to_the_end(article: uz.Run) -> None:
    stepper = go.at(go.opened(article), 9)
    assert go.continued(stepper)[0].cursor == stepper.timeline.end
    assert go.continued(stepper, forward=False)[0].cursor == 0
    assert go.continued(stepper)[1] is None


def test_a_search_can_be_called_off(article: uz.Run) -> None:
    stepper = go.with_breakpoint(go.at(go.opened(article), 7), "norm(value) > 1e9")
    asked = list[int]()

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 5

    after, hit = go.continued(stepper, stop=stop)
    assert (after, hit, len(asked)) == (stepper, None, 5)


def test_watches_show_old_and_new_and_stop_where_they_change(article: uz.Run) -> None:
    stepper = go.with_watch(go.opened(article), "W.grad[0, 1]", stops=True)
    stepper = go.with_watch(stepper, "time")
    visits = stepper.timeline.visits("W")
    stepper, hit = go.continued(stepper)
    assert hit is not None
    assert (stepper.cursor, hit.watches, hit.breakpoints) == (visits[0], (0,), ())
    first, when = stepper.readings()
    assert first.before is None
    assert first.changed
    stepper, _ = go.continued(stepper)
    second = stepper.readings()[0]
    assert stepper.cursor == visits[1]
    assert second.before == first.value != second.value
    assert when.value == 5
    same = go.moved(stepper, "event", 1).readings()[0]
    assert not same.changed
    assert same.before == second.value
    stepper, _ = go.continued(stepper, forward=False)
    assert stepper.cursor == visits[0]
    assert go.without_watch(stepper, 0).watches == stepper.watches[1:]


HOSTILE = [
    "__import__('os').system('true')",
    "().__class__.__bases__",
    "W.__class__",
    "W.grad.__class__",
    "value.T",
    "W.tofile('x')",
    "open('x')",
    "eval('1')",
    "exec('1')",
    "getattr(W, 'T')",
    "lambda: 1",
    "[x for x in W]",
    "{1: 2}",
    "(1, 2)",
    "f'{W}'",
    "'a' * 99999999",
    "norm('a')",
    "W[value]",
    "W[0:9:1]",
    "W[None]",
    "W[...]",
    "W['a']",
    "W[True]",
    "norm(*W)",
    "norm(x=W)",
    "norm(W, W)",
    "norm()",
    "norm",
    "entry(W)",
    "x := 3",
    "W = 3",
    "1; 2",
    "import os",
    "1 if W else 2",
    "W @ W",
    "1 << 9999999",
    "W | W",
    "~W",
    "W is W",
    "W in W",
    "await W",
    "at('W').T",
    "at(W)",
    "at('nothing').grad",
    "q9",
    "s3.gard",
    "W.grad[9, 9]",
    "W.grad[0, 0, 0]",
    "U + W",
    "(" * 300,
    "-" * 350 + "1",
    "9" * 399,
    "1e999j",
    "b'x'",
    "...",
    "None",
    "\0",
    "",
    "   ",
    "1 " * 300,
    "+".join("1" * 150),
    "\N{MATHEMATICAL ITALIC SMALL W}" * 3,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_expressions_are_refused_when_they_are_written(line: Timeline, text: str) -> None:
    with pytest.raises((BadExpression, UnknownName)):
        parse(text, line.graph)


@given(text=st.text(max_size=60) | st.text(alphabet="W.grad[0,1]()+-*/<>=! ifnorm'\"\\\n\t", max_size=40))
def test_any_text_is_an_expression_or_one_kind_of_error(article: uz.Run, text: str) -> None:
    graph = article.level()
    line = timeline(graph, article.loss_names())
    for make in (lambda: parse(text, graph).at(Moment.at(line.state_at(line.end))), lambda: breakpoint_at(text, graph)):
        try:
            make()
        except UnrollvizError as error:
            assert str(error)


def test_what_only_the_node_at_hand_shows_to_be_wrong_stops_the_search_and_changes_nothing(article: uz.Run) -> None:
    for text, said in (
        ("node + 1", "words, not numbers"),
        ("value[0, 0, 0] > 1", "no entry"),
        ("U - value > 1", "fit"),
    ):
        stepper = go.with_breakpoint(go.opened(article), text)
        with pytest.raises(BadExpression, match=said):
            go.continued(stepper)


def test_no_power_grows_beyond_infinity(line: Timeline) -> None:
    end = Moment.at(line.state_at(line.end))
    assert parse("9**9**9**9**9", line.graph).at(end) == np.inf
    assert np.isnan(parse("0 / 0", line.graph).at(end))
    assert parse("1 / 0 > 3", line.graph).at(end) is True


def test_no_array_grows_beyond_its_limit(monkeypatch: pytest.MonkeyPatch, line: Timeline) -> None:
    module = sys.modules["unrollviz.debugger.expressions"]
    monkeypatch.setattr(module, "SIZE_LIMIT", 8)
    with pytest.raises(BadExpression, match="too large"):
        parse("W[0:3, 0:1] + W[0:1]", line.graph)


def test_errors_say_what_may_be_said(line: Timeline) -> None:
    with pytest.raises(UnknownName, match="did you mean norm"):
        parse("norn(W)", line.graph)
    with pytest.raises(UnknownName, match="did you mean grad"):
        parse("W.gard", line.graph)
    with pytest.raises(BadExpression, match="no entry \\[9, 9\\] in shape \\(3, 3\\)"):
        parse("W[9, 9]", line.graph)
    with pytest.raises(BadExpression) as caught:
        parse("W @ W", line.graph)
    for name in (*QUANTITIES, *FUNCTIONS):
        assert name in str(caught.value)
    for text, said in (
        ("t=9", "steps go from 0 to 5"),
        ("t=x", "no step 'x'"),
        ("phase=back", "did you mean backward"),
        ("s33", "did you mean s3"),
        ("s3 s4", "two nodes"),
        ("s3 if", "say where"),
        ("", "say where"),
        ("s3 if norn(value) > 1", "did you mean norm"),
        ("s9* if lag > 1", "unknown node"),
    ):
        with pytest.raises(UnrollvizError, match=said):
            breakpoint_at(text, line.graph)


def test_nodes_with_signs_in_their_names_are_named_in_quotes(article: uz.Run) -> None:
    line = timeline(article.level("op"), article.loss_names())
    product = line.graph.nodes["W@s2"]["value"][0]
    assert np.array_equal(parse('at("W@s2")', line.graph).at(Moment.at(line.state_at(line.end))), product)  # type: ignore[arg-type]
    assert parse('at("W@s2").value[1]', line.graph).at(Moment.at(line.state_at(line.end))) == product[1]
    assert hits(line, "W@s2") == line.visits("W@s2")


def test_a_node_of_a_finer_level_is_refused_with_advice(article: uz.Run) -> None:
    with pytest.raises(BadExpression, match="finer level"):
        go.with_breakpoint(go.opened(article), "a3")
    stepper: Stepper = go.with_breakpoint(go.opened(article, detail="op"), "a3")
    assert go.continued(stepper)[1] is not None
    coarse = go.chosen(stepper, detail="state")
    assert go.continued(coarse)[1] is None
    assert coarse.value_of("a3.value") is None


def test_several_instances_keep_their_axis() -> None:
    rng = np.random.default_rng(0)
    run = uz.unroll(
        uz.Network.init(inputs=2, hidden=3, outputs=2), rng.standard_normal((3, 4, 2)), np.ones((3, 4), int)
    )
    line = timeline(run.level(), run.loss_names())
    value = parse("s2.value[1, 2]", line.graph).at(Moment.at(line.state_at(line.end)))
    assert value == line.graph.nodes["s2"]["value"][1, 2]


def test_a_breakpoint_is_a_value() -> None:
    run = uz.article()
    assert breakpoint_at("s3", run.graph) == breakpoint_at(" s3 ", run.graph) == Breakpoint("s3", nodes="s3")
