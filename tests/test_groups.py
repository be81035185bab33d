"""Groups of paths: figures and what passes each edge, against the paths listed one by one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

import unrollviz as uz
from unrollviz.errors import UnrollvizError
from unrollviz.flows import groups
from unrollviz.flows.folds import kinds
from unrollviz.flows.groups import Group, Uses, avoiding, mean_lags, passing, summed
from unrollviz.gradient import edge_shares
from unrollviz.paths.pathset import Path, PathSet
from unrollviz.way import Way

CELLS = {
    "elman": {},
    "gru": {},
    "lstm": {},
    "gru, 2 layers, both ways": {"layers": 2, "bidirectional": True},
}


@pytest.fixture(params=CELLS, scope="module")
def run(request) -> uz.Run:
    cell = request.param.split(",")[0]
    net = uz.Network.init(cell, 2, 2, 2, seed=0, **CELLS[request.param])
    return uz.unroll(net, np.random.default_rng(0).standard_normal((3, 2)), [0, 1, 0])


@pytest.fixture(params=["gru", "lstm"], scope="module")
def gated(request) -> uz.Run:
    net = uz.Network.init(request.param, 2, 2, 2, seed=0)
    return uz.unroll(net, np.random.default_rng(0).standard_normal((3, 2)), [0, 1, 0])


def listed(graph, group: Group, target: str, whole, belongs: Callable[[Path], bool], landmarks=None):
    """Number, sum of terms, and share through each edge, from single paths."""
    count, term, edges = 0, np.zeros_like(whole), {}
    for path in PathSet(graph, group.losses, target):
        if not belongs(path):
            continue
        count += 1
        term += path.term
        crossed = [(edge.tail, edge.head, edge.key) for edge in path._edges]
        if landmarks is not None:
            visited = [name for name in path.nodes if name in landmarks]
            crossed = [(tail, head, 0) for head, tail in pairwise(visited)]
        for edge in crossed:
            edges[edge] = edges.get(edge, 0.0) + float((path.term * whole).sum() / (whole * whole).sum())
    return count, term, edges


def compare(run: uz.Run, group: Group, belongs, level: str = "state", landmarks=None) -> int:
    target = run.recurrent_weight
    graph, whole = run.level(level), run.gradient(target)
    count, term, edges = listed(graph, group, target, whole, belongs, landmarks)
    found = summed(graph, group, target, whole)
    assert found.count == count
    np.testing.assert_allclose(found.term, term, rtol=0, atol=1e-14)
    assert found.norm == pytest.approx(np.linalg.norm(term), abs=1e-14)
    assert found.share == pytest.approx((term * whole).sum() / (whole * whole).sum(), abs=1e-12)
    through = passing(graph, group, target, whole, landmarks)
    assert through.keys() == edges.keys()
    assert all(through[edge] == pytest.approx(edges[edge], abs=1e-12) for edge in edges)
    return count


@pytest.mark.parametrize("lag", [-1, 0, 1, 2])
def test_a_lag(run, lag):
    count = compare(run, Group(tuple(run.loss_names()), lag=lag), lambda path: path.lag == lag)
    assert count > 0 or lag < 0


def test_an_entry_and_a_loss(run):
    assert compare(run, Group(tuple(run.loss_names()), entries=[2]), lambda path: path.entry == 2)
    assert compare(run, Group(("L3",), entries=[1, 2]), lambda path: path.entry in (1, 2))
    assert compare(run, Group(("L2",)), lambda path: True)


def test_paths_that_avoid_steps(run):
    target, losses = run.recurrent_weight, tuple(run.loss_names())
    graph, whole = run.level(), run.gradient(run.recurrent_weight)
    time = graph.nodes(data="time")
    for steps in ([1], [2], [3], [2, 3]):
        away = partial(_avoids, time, frozenset(steps))
        count, term, _ = listed(graph, Group(losses), target, whole, away)
        found = summed(graph, Group(losses, avoiding=steps), target, whole)
        assert found.count == count
        np.testing.assert_allclose(found.term, term, rtol=0, atol=1e-14)


def test_many_sets_of_steps_at_once(run, monkeypatch):
    monkeypatch.setattr(groups, "AT_ONCE", 2)
    target, losses = run.recurrent_weight, tuple(run.loss_names())
    graph, whole = run.level("op"), run.gradient(target)
    highway = frozenset().union(*(edges for kind, edges in kinds(graph).values() if kind in ("highway", "weights")))
    several = [[2], [3, 4], [1]]
    for group in (
        Group(losses),
        Group(losses, lag=1),
        Group(losses, lag=0, uses=(Uses(highway, 1),)),
        Group(losses[1:], uses=(Uses(highway, 1, 2),)),
    ):
        found = avoiding(Way.to(graph, [target]), group, target, whole, several)
        alone = [summed(graph, replace(group, avoiding=steps), target, whole) for steps in several]
        assert [count for count, _ in found] == [one.count for one in alone]
        np.testing.assert_allclose([share for _, share in found], [one.share for one in alone], rtol=0, atol=1e-12)


def _avoids(time, steps: frozenset[int], path: Path) -> bool:
    return steps.isdisjoint(time[name] for name in path.nodes)


@pytest.mark.parametrize(
    ("least", "most", "fits"),
    [(0, 0, lambda n: n == 0), (1, 1, lambda n: n == 1), (2, 2, lambda n: n == 2), (1, None, lambda n: n >= 1)],
)
def test_a_route(gated, least, most, fits):
    """Counted on single edges; shown on those of a coarser level."""
    op, losses = gated.level("op"), tuple(gated.loss_names())
    highway = frozenset().union(*(edges for group, edges in kinds(op).values() if group == "highway"))

    def belongs(path: Path) -> bool:
        return fits(sum((edge.head, edge.tail, edge.key) in highway for edge in path._edges))

    group = Group(losses, uses=(Uses(highway, least, most),))
    count = compare(gated, group, belongs, "op")
    assert count == compare(gated, group, belongs, "op", set(gated.level("state"))) > 0
    compare(gated, group, belongs, "op", set(gated.level("gate")))
    lagged = Group(losses, lag=1, uses=group.uses)
    compare(gated, lagged, lambda path: belongs(path) and path.lag == 1, "op", set(gated.level("state")))


def test_two_kinds_of_edges_together(gated):
    op, losses = gated.level("op"), tuple(gated.loss_names())
    found = kinds(op)
    members = {name: frozenset().union(*(e for g, e in found.values() if g == name)) for name in ("highway", "weights")}

    def uses(path: Path, name: str) -> int:
        return sum((edge.head, edge.tail, edge.key) in members[name] for edge in path._edges)

    group = Group(losses, uses=(Uses(members["highway"], 1), Uses(members["weights"], 1, 1)))
    assert compare(gated, group, lambda p: uses(p, "highway") >= 1 and uses(p, "weights") == 1, "op") > 0


def test_of_all_paths_it_is_what_passes_every_edge(run):
    target, losses = run.recurrent_weight, tuple(run.loss_names())
    through = passing(run.level(), Group(losses), target, run.gradient(target))
    shares = edge_shares(run.level(), losses, target)
    assert len(shares) > 10
    assert all(through.get(edge, 0.0) == pytest.approx(share, abs=1e-12) for edge, share in shares.items())


def test_to_a_state_and_to_an_output():
    run = uz.article()
    for target in ("s2", "yhat3"):
        whole, graph, losses = run.gradient(target), run.level(), tuple(run.loss_names())
        group = Group(losses)
        count, _, edges = listed(graph, group, target, whole, lambda path: True)
        through = passing(graph, group, target, whole)
        assert summed(graph, group, target, whole).count == count > 0
        assert through.keys() == edges.keys()
        assert all(through[edge] == pytest.approx(edges[edge], abs=1e-12) for edge in edges)


def test_a_state_that_is_avoided_is_not_reached():
    run = uz.article()
    whole, losses = run.gradient("s2"), tuple(run.loss_names())
    assert summed(run.level(), Group(losses, avoiding=[2]), "s2", whole).count == 0
    assert summed(run.level(), Group(losses, avoiding=[4]), "s2", whole).count == 2


def test_mean_lags_are_those_of_the_paths(run):
    target, losses = run.recurrent_weight, run.loss_names()
    lags: dict[tuple[str, str, int], list[int]] = {}
    for path in run.paths(to=target):
        for edge in path._edges:
            lags.setdefault((edge.tail, edge.head, edge.key), []).append(path.lag)
    found = mean_lags(run.level(), losses, target)
    assert found.keys() == lags.keys()
    assert all(found[edge] == pytest.approx(np.mean(lags[edge]), abs=1e-12) for edge in lags)


def test_where_the_gradient_is_0_shares_are_undefined():
    run = uz.article()
    zero = np.zeros_like(run.gradient("W"))
    group = Group(tuple(run.loss_names()), lag=1)
    assert math.isnan(summed(run.level(), group, "W", zero).share)
    through = passing(run.level(), group, "W", zero)
    assert through
    assert all(map(math.isnan, through.values()))


def test_a_long_run_takes_no_more_rows_than_its_lag(monkeypatch):
    """Labels that cannot meet are dropped on both sides: T = 300 steps at lag 2 hold at most three rows a node."""
    run = uz.unroll(uz.Network.init("elman", 2, 2, 2, seed=0), np.ones((300, 2)), np.zeros(300, dtype=int))
    whole = run.gradient("W")
    group = Group(tuple(run.loss_names()), lag=2)
    ahead = groups._ahead(run.level(), group, "W", whole, groups._reach(run.level(), group, "W"))
    assert max(len(stack) for stack in ahead.values()) == 3
    assert summed(run.level(), group, "W", whole).count == 298
    monkeypatch.setattr(groups, "BYTES_LIMIT", 1000)
    with pytest.raises(UnrollvizError, match="smaller group"):
        passing(run.level(), group, "W", whole)
