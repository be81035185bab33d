"""The heaviest paths: the search against the sorted enumeration, its certificate, its bounds, and what it prints."""

import math
import re
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import WEIGHTED_SUM, IntegerDag, integer_dags, scales, seeds
from test_cli import fails, from_json, output
from test_sweep import doubling

import unrollviz as uz
from unrollviz.composite import Composite
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.graph import Tracer, level_of_detail, names_of
from unrollviz.jacobians import Dense, Diagonal, frobenius
from unrollviz.ops import OPS
from unrollviz.paths import bounds as bounds_module
from unrollviz.paths import pathset as paths_module
from unrollviz.paths import search as search_module
from unrollviz.paths.bounds import Bound, bounds
from unrollviz.paths.order import Order
from unrollviz.paths.pathset import PathSet
from unrollviz.paths.search import ROUNDING, Found, heaviest, unscaled
from unrollviz.report.paths import top_text

BY = ("norm", "share")


@dataclass(frozen=True)
class Model:
    """A network of any cell and a sequence, made from sizes and a seed."""

    cell: str = "lstm"
    steps: int = 3
    hidden: int = 3
    layers: int = 1
    instances: int = 1
    bidirectional: bool = False
    learn_initial: bool = False
    scale: float = 1.0
    seed: int = 0

    def unroll(self) -> uz.Run:
        net = uz.Network.init(
            self.cell,
            2,
            self.hidden,
            3,
            seed=self.seed,
            layers=self.layers,
            bidirectional=self.bidirectional,
            learn_initial=self.learn_initial,
        )
        net = net.replace(**{name: self.scale * value for name, value in net.params.items()})
        rng = np.random.default_rng([self.seed, 3])
        xs = rng.normal(size=(self.steps, self.instances, 2))
        return uz.unroll(net, xs, rng.integers(0, 3, (self.steps, self.instances)))


@st.composite
def models(draw: st.DrawFn) -> Model:
    return Model(
        cell=draw(st.sampled_from(["elman", "gru", "lstm"])),
        steps=draw(st.integers(1, 4)),
        hidden=draw(st.integers(1, 4)),
        layers=draw(st.integers(1, 2)),
        instances=draw(st.integers(1, 3)),
        bidirectional=draw(st.booleans()),
        learn_initial=draw(st.booleans()),
        scale=draw(scales),
        seed=draw(seeds),
    )


def direction(paths: PathSet, by: str):
    """What a search by share weighs paths with; None for one by norm, or where the share is undefined."""
    return paths.gradient / paths.total_norm if by == "share" else None


def search(paths: PathSet, k: int, by: str, ranks: range | None = None, **options) -> Found:
    """The search itself, however small the set."""
    order = Order(paths.graph, paths.losses, paths.target)
    return heaviest(
        paths.graph, order, range(order.count) if ranks is None else ranks, k, direction(paths, by), **options
    )


def weights(paths: PathSet, by: str) -> np.ndarray:
    """Of every path, by enumeration: what the search knows nothing of."""
    table = paths.table()
    return table.norms if by == "norm" else np.abs(table.shares) * paths.total_norm


def mistakes(paths: PathSet, found: Found, k: int, by: str) -> list[str]:
    """What is wrong with an answer, by the sorted enumeration."""
    weight = weights(paths, by)
    # A dot product is exact to the rounding of what cancels in it.
    blur = 1e-13 * paths.table().norms.max(initial=0.0) if by == "share" else 0.0
    ranks = [hit.rank for hit in found.hits]
    own = np.array([unscaled(hit.weight) for hit in found.hits])
    expected = -np.sort(-weight)[: len(own)]
    missed = np.delete(weight, ranks).max(initial=0.0)
    tolerance = 2 * ROUNDING
    wrong = []
    if len(set(ranks)) != len(ranks) or not all(0 <= rank < len(weight) for rank in ranks):
        wrong.append("ranks")
    if not np.allclose(own, weight[ranks], rtol=1e-9, atol=blur + 1e-300):
        wrong.append("weights")
    if list(own) != sorted(own, reverse=True):
        wrong.append("order")
    if missed > found.bound * (1 + tolerance) + blur:
        wrong.append("bound")
    if found.exact and len(own) != min(k, len(weight)):
        wrong.append("length")
    if found.exact and not np.allclose(own, expected, rtol=tolerance, atol=blur + 1e-300):
        wrong.append("not the heaviest")
    return wrong


def sets_of(run: uz.Run, targets=("recurrent",)):
    for detail in ("state", "gate", "op"):
        for target in targets:
            name = run.recurrent_weight if target == "recurrent" else target
            paths = run.paths(to=name, detail=detail)
            if 0 < paths.count <= 4000:
                yield paths


# ---------------------------------------------------------------- against the enumeration


@given(model=models(), k=st.integers(1, 30))
def test_the_search_finds_what_the_sorted_enumeration_finds(model, k):
    for paths in sets_of(model.unroll()):
        for by in BY:
            if by == "share" and paths.total_norm == 0:
                continue
            found = search(paths, k, by)
            assert found.exact
            assert mistakes(paths, found, k, by) == []


@given(model=models(), target=st.sampled_from(["x1", "V", "c", "yhat1", "state", "first"]))
def test_of_any_target(model, target):
    run = model.unroll()
    states = names_of(run.graph, "state")
    name = {"state": states[len(states) // 2], "first": states[0]}.get(target, target)
    for paths in sets_of(run, [name]):
        for by in BY:
            if by == "norm" or paths.total_norm > 0:
                assert mistakes(paths, search(paths, 5, by), 5, by) == []


@given(dag=integer_dags(), k=st.integers(1, 8))
def test_of_any_graph_of_whole_numbers(dag: IntegerDag, k):
    """Parallel edges, diamonds, dead ends, exact zeros and exact ties."""
    graph = dag.build()
    for target in ("P", "b", "x1"):
        paths = PathSet(graph, names_of(graph, "loss"), target)
        for by in BY if paths.total_norm > 0 else ("norm",):
            if paths.count:
                found = search(paths, k, by)
                assert found.exact
                assert mistakes(paths, found, k, by) == []


@given(model=models(), k=st.integers(1, 12), budget=st.integers(0, 40))
def test_the_certificate_is_never_wrong(model, k, budget):
    for paths in sets_of(model.unroll()):
        for by in BY:
            if by == "norm" or paths.total_norm > 0:
                found = search(paths, k, by, budget=budget)
                assert mistakes(paths, found, k, by) == []
                assert found.hits, "however small the budget, the most promising paths are completed"


@given(model=models(), part=st.tuples(st.integers(0, 60), st.integers(0, 60), st.sampled_from([1, 2, 7, -1, -3])))
def test_the_search_of_a_slice_keeps_to_it(model, part):
    with pytest.MonkeyPatch.context() as patched:
        for paths in sets_of(model.unroll()):
            some = paths[slice(*part)]
            listed = some.top(4)
            patched.setattr(paths_module, "SCAN_LIMIT", -1)
            found = some.top(4)
            patched.undo()
            assert found.exact
            assert len(found) == len(listed)
            np.testing.assert_allclose([p.norm for p in found], [p.norm for p in listed], rtol=1e-8)
            assert {p.rank for p in found} <= {p.rank for p in some}


# ---------------------------------------------------------------- the bounds


def inadmissible(paths: PathSet, by: str) -> int:
    """How often a bound is less than what some path does to a row of cotangents at one of its nodes."""
    along = direction(paths, by)
    found, rng, less = bounds(paths.graph, paths.target, along), np.random.default_rng(0), 0
    added = by == "share" or paths.graph.nodes[paths.target]["role"] == "parameter"
    for path in list(paths)[:12]:
        own = np.ones(1)
        for position, edge in enumerate(path._edges[:-1]):
            own = edge.jacobian.vjp(own)
            one = np.zeros_like(own)
            one.flat[rng.integers(own.size)] = 1.0
            for row in (own, one, rng.normal(size=own.shape)):
                end = start = row / (np.abs(row).max() or 1.0)
                for later in path._edges[position + 1 :]:
                    end = later.jacobian.vjp(end)
                weight = frobenius(end) if along is None else abs((end[0] * along).sum())
                bound = found[edge.tail]
                # Below 1e-308 the weight itself has few digits.
                less += weight > math.ldexp(*bound.of(start, added)) * (1 + 1e-12) + 1e-310
    return less


@given(model=models())
def test_no_row_of_cotangents_becomes_more_than_its_bound(model):
    for paths in sets_of(model.unroll(), ["recurrent", "x1"]):
        for by in BY:
            if by == "norm" or paths.total_norm > 0:
                assert inadmissible(paths, by) == 0


def test_a_parameter_that_an_edge_enters_several_times_is_bounded_too():
    """h = P s + P s, seen from h, has one edge to P, with two ends whose terms add up."""
    tracer, rng = Tracer(), np.random.default_rng(0)
    weight = tracer.leaf("P", rng.normal(size=(3, 3)), "parameter")
    tracer.time = 1
    state = tracer.apply("tanh", tracer.leaf("x1", rng.normal(size=(2, 3)), "input"), name="s", role="state")
    h = tracer.apply("add", weight @ state, weight @ state, name="h", role="state")
    with patch.dict(OPS, {WEIGHTED_SUM.name: WEIGHTED_SUM}):
        tracer.apply("weighted_sum", h, name="L", role="loss", weights=rng.normal(size=(2, 3)))
    paths = PathSet(level_of_detail(tracer.graph, "state"), ["L1"], "P")
    assert [path.nodes for path in paths] == [("L1", "h1", "P")]
    assert paths[0].factors[-1].jacobian.ends == 2
    assert inadmissible(paths, "norm") == inadmissible(paths, "share") == 0


@pytest.mark.parametrize("bias", [(0.0, 150.0, 230.0), (150.0, 230.0, 230.0), (0.0, 340.0, -340.0)])
def test_saturated_units_are_bounded_too(bias):
    """Slopes of 1e-130, 1e-200, 1e-295: their squares vanish, and what they let through must not."""
    run = Model("elman", steps=4).unroll()
    run = uz.unroll(run.network.replace(b=np.array(bias)), run.inputs, run.targets)
    for paths in sets_of(run, ["W", "x1", "s1"]):
        for by in BY:
            if by == "norm" or paths.total_norm > 0:
                assert inadmissible(paths, by) == 0
                assert mistakes(paths, search(paths, 4, by), 4, by) == []


SATURATED = [
    # Instances of which one is 1e-100 times as large as another, and units of which one is.
    (Model("gru", 2, 1, instances=3, scale=100.0, seed=227), "U_r", "op"),
    (Model("gru", 3, 2, instances=3, scale=300.0, seed=276), "W_r@h0", "op"),
    (Model("gru", 3, 3, scale=3000.0, seed=135), "a_z2", "op"),
    (Model("elman", 3, 2, instances=3, scale=1000.0, seed=284), "b", "gate"),
    (Model("lstm", 3, 2, instances=3, scale=1000.0, seed=596), "h0", "state"),
    (Model("lstm", 3, 3, layers=2, instances=3, scale=1000.0, seed=50), "l1.W_g@l1.h0", "state"),
    (Model("lstm", 3, 3, layers=2, scale=1000.0, seed=99), "l2.g2", "op"),
    # A row of cotangents that was scaled by what it weighs, and became infinite.
    (Model("lstm", 2, 2, layers=2, instances=3, scale=1000.0, seed=509), "l1.a_g1", "op"),
    # A row of which what mattered was less than 1e-308 of its largest number.
    (Model("gru", 3, 1, instances=3, scale=1000.0, seed=750), "z2", "gate"),
]


@pytest.mark.parametrize(("model", "target", "detail"), SATURATED)
def test_no_bound_becomes_smaller_by_underflow(model, target, detail):
    paths = model.unroll().paths(to=target, detail=detail)
    for by in BY:
        if by == "norm" or paths.total_norm > 0:
            assert inadmissible(paths, by) == 0
            for budget in (0, 2, 9, 10**5):
                assert mistakes(paths, search(paths, 3, by, budget=budget), 3, by) == []


@pytest.mark.parametrize("units", [1, 3])
def test_slopes_whose_product_has_no_float64_are_bounded_too(units):
    tiny = Diagonal(np.full((1, 3), 2.0**-600))
    edge = Composite("y", "x", (("y", "a", tiny), ("a", "b", tiny), ("b", "x", Dense(np.ones((3, units)), 1))))
    bound, exponent = bounds_module._dense(edge, None, True).of(np.array([[[1.0, 0.0, 0.0]]]), False)
    assert math.log2(bound) + exponent == pytest.approx(-1200 + math.log2(units) / 2, abs=1e-6)


def _times(factor):
    """The right bound, times a factor."""

    def broken(right):
        def of(self, row, added):
            bound, exponent = right(self, row, added)
            return factor * bound, exponent

        return of

    return broken


def _shrunk(bound):
    return replace(bound, reach=0.7 * bound.reach, form=None)


BROKEN = {
    "half of the bound": (Bound, "of", _times(0.5)),
    "the first edge for the largest": (bounds_module, "_least_above", lambda right: lambda one, other: one),
    "a norm of the wrong side": (bounds_module, "_entered", lambda right: lambda jacobian, rows: 0.5 * rows),
    "no absolute values": (
        bounds_module,
        "_through",
        lambda right: lambda jacobian, behind: _shrunk(right(jacobian, behind)),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_bound_that_says_too_little_is_caught(monkeypatch, name):
    where, what, broken = BROKEN[name]
    runs = [Model(steps=3, hidden=2, scale=2.0, seed=seed).unroll() for seed in range(3)]
    sets = [paths for run in runs for paths in sets_of(run, ["U_f"])]
    assert sum(inadmissible(paths, by) for paths in sets for by in BY) == 0
    monkeypatch.setattr(where, what, broken(getattr(where, what)))
    assert sum(inadmissible(paths, by) for paths in sets for by in BY) > 0


def test_a_search_with_a_bound_that_says_too_little_is_caught(monkeypatch):
    sets = [paths for seed in range(3) for paths in sets_of(Model(steps=3, hidden=2, scale=2.0, seed=seed).unroll())]
    assert not any(mistakes(paths, search(paths, 5, by), 5, by) for paths in sets for by in BY)
    monkeypatch.setattr(Bound, "of", _times(0.1)(Bound.of))
    assert any(mistakes(paths, search(paths, 5, by), 5, by) for paths in sets for by in BY)


def test_what_does_not_fit_into_memory_is_bounded_without_forms(monkeypatch):
    run = Model(instances=2, scale=2.0).unroll()
    whole = [search(paths, 5, "norm") for paths in sets_of(run)]
    monkeypatch.setattr(bounds_module, "MEMORY_LIMIT", 64 * 2 * 3)
    for paths, before in zip(sets_of(run), whole, strict=True):
        assert all(bound.form is None for bound in bounds(paths.graph, paths.target).values())
        assert inadmissible(paths, "norm") == 0
        found = search(paths, 5, "norm")
        assert mistakes(paths, found, 5, "norm") == []
        assert [hit.rank for hit in found.hits] == [hit.rank for hit in before.hits]


def test_forms_are_what_closes_the_search():
    """Products of single norms would need many times as many expansions; a change for the worse shows here."""
    paths = Model(steps=30, hidden=6, scale=2.5, seed=1).unroll().paths(to="W_f", detail="gate")
    found = paths.top(10)
    assert found.exact
    assert found.expansions < 1000


# ---------------------------------------------------------------- any number of paths


def test_equally_heavy_paths_come_by_rank():
    many = PathSet(doubling(100).graph, ["L100"], "x")
    for by in BY:
        found = many.top(3, by)
        assert found.exact
        assert [path.rank for path in found] == [0, 1, 2]
    assert [path.rank for path in many[2**70 + 1 :].top(2)] == [2**70 + 1, 2**70 + 2]
    assert [path.rank for path in many[5 : 2**99 : 2**80].top(2)] == [5, 5 + 2**80]
    assert found.coverage == pytest.approx(3 * 2.0**-100)


@pytest.mark.parametrize("detail", ["state", "gate", "op"])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_of_more_paths_than_could_ever_be_listed(detail, scale):
    run = Model(steps=40, hidden=4, scale=scale).unroll()
    paths = run.paths(to="W_f", detail=detail)
    assert paths.count > 10**12
    for by in BY:
        found = paths.top(8, by)
        assert found.exact
        weight = [path.norm if by == "norm" else abs(path.share) for path in found]
        assert weight == sorted(weight, reverse=True)
        assert found.bound <= weight[-1] * (1 + ROUNDING)
        ranks = {path.rank for path in found}
        for rank in np.random.default_rng(0).integers(0, 10**12, 20).tolist():
            other = paths[rank]
            assert rank in ranks or (other.norm if by == "norm" else abs(other.share)) <= found.bound * (1 + ROUNDING)
        for path in found:
            again = paths.find(path.nodes)
            assert (again.rank, again.entry, again.lag, again.loss) == (path.rank, path.entry, path.lag, path.loss)
            assert path.norm == pytest.approx(np.linalg.norm(path.term), rel=1e-12)
            assert path.share == pytest.approx((path.term * paths.gradient).sum() / paths.total_norm**2, rel=1e-9)


def test_paths_that_vanish_are_still_told_apart():
    """From L400 to x1: weights around 1e-600, for which float64 has no number."""
    run = Model("elman", steps=400, hidden=2, layers=2, scale=0.05).unroll()
    paths = run.paths("L400", "x1")
    assert paths.count == 400
    found = search(paths, 5, "norm")
    assert found.exact
    exponents = [-hit.weight[0] for hit in found.hits]
    assert exponents == sorted(exponents, reverse=True)
    assert max(exponents) < -1074, "all of them are below what float64 can say"
    assert len({hit.weight for hit in found.hits}) == 5


def test_paths_that_explode_are_weighed_too(monkeypatch):
    run = Model("elman", steps=50, hidden=3).unroll()
    net = uz.Network.init("elman", 2, 3, 3, "identity", 0)
    net = net.replace(W=1e4 * np.eye(3) + 1.0, b=np.zeros(3), U=np.zeros((3, 2)))
    paths = uz.unroll(net, run.inputs, run.targets).paths(to="U", detail="op")
    assert weights(paths, "norm").max() > 1e150
    assert mistakes(paths, search(paths, 5, "norm"), 5, "norm") == []
    monkeypatch.setattr(paths_module, "SCAN_LIMIT", -1)
    found = paths.top(5)
    total = sum(path.term for path in found) + found.rest
    np.testing.assert_allclose(total, paths.gradient, rtol=0, atol=1e-12 * paths.norm_sum)


def hard_set() -> PathSet:
    """Of the longest lags alone, with large weights: for 12 paths the search needs some 500 expansions."""
    return Model("gru", steps=40, hidden=6, scale=2.5).unroll().paths("L40", "x1", detail="op")


# ---------------------------------------------------------------- what `top` says of its list


@pytest.mark.parametrize("limit", [paths_module.SCAN_LIMIT, -1], ids=["walked", "searched"])
@pytest.mark.parametrize("target", ["W_f", "c", "x1", "yhat2", "h1"])
def test_the_listed_terms_and_the_rest_are_the_gradient(monkeypatch, limit, target):
    monkeypatch.setattr(paths_module, "SCAN_LIMIT", limit)
    run = Model(instances=2, scale=2.0).unroll()
    paths = run.paths(to=target)
    for k in (1, 3, 10**6):
        found = paths.top(k)
        assert len(found) == min(k, paths.count)
        total = sum(path.term for path in found) + found.rest
        np.testing.assert_allclose(total, run.gradient(target), rtol=0, atol=1e-14 * paths.norm_sum)
        assert found.residual == pytest.approx(np.linalg.norm(found.rest), rel=1e-13)
        assert found.coverage == pytest.approx(sum(path.share for path in found))
        assert found.certain == len(found)
        assert (found.expansions > 0) == (limit < 0)
    assert found.bound == 0.0
    assert found.residual <= 1e-13 * paths.norm_sum
    assert found.coverage == pytest.approx(1)


@pytest.mark.parametrize("limit", [paths_module.SCAN_LIMIT, -1], ids=["walked", "searched"])
def test_the_bound_is_on_those_not_listed(monkeypatch, limit):
    monkeypatch.setattr(paths_module, "SCAN_LIMIT", limit)
    paths = Model().unroll().paths(to="W_f")
    norms = sorted((path.norm for path in paths), reverse=True)
    found = paths.top(4)
    assert norms[4] * (1 - 1e-9) <= found.bound <= norms[3]
    shares = sorted((abs(path.share) for path in paths), reverse=True)
    found = paths.top(4, by="share")
    assert shares[4] * (1 - 1e-9) <= found.bound <= shares[3]


def test_a_budget_that_is_too_small_gives_a_bound_and_says_which_are_certain():
    paths = hard_set()
    found, more = paths.top(12, budget=3), paths.top(12)
    assert not found.exact
    assert more.exact
    assert len(found) == 12
    assert 0 < found.certain < 12, "a dive along the largest bounds finds the heaviest at once here"
    assert found.certain == sum(path.norm >= found.bound for path in found)
    assert [path.rank for path in found][: found.certain] == [path.rank for path in more][: found.certain]
    assert all(one.norm <= other.norm * (1 + 1e-9) for one, other in zip(found, more, strict=True))


def test_the_list_is_a_sequence_of_paths(article):
    found = article.paths(to="W").top(4)
    assert len(found) == 4
    assert list(found) == [found[0], found[1], found[2], found[-1]]
    assert found[1:3] == (found[1], found[2])
    assert found[2] in found
    with pytest.raises(IndexError):
        found[4]


@pytest.mark.parametrize("limit", [paths_module.SCAN_LIMIT, -1], ids=["walked", "searched"])
def test_edges_of_what_can_be_asked(monkeypatch, article, limit):
    monkeypatch.setattr(paths_module, "SCAN_LIMIT", limit)
    paths = article.paths(to="W")
    assert len(paths.top(0)) == 0
    assert len(paths[:0].top(3)) == 0
    assert len(article.paths("L1", "x2").top(3)) == 0
    with pytest.raises(UnknownName, match="did you mean norm"):
        paths.top(3, by="norms")
    for wrong in ({"k": -1}, {"k": 1, "budget": -1}):
        with pytest.raises(UnrollvizError, match="less than nothing"):
            paths.top(**wrong)
    with pytest.raises(UnrollvizError, match="less than nothing"):
        article.paths(to="W", detail="unit").top(-1)


@pytest.mark.parametrize("limit", [paths_module.SCAN_LIMIT, -1], ids=["walked", "searched"])
def test_where_none_is_listed_the_bound_is_the_weight_of_the_heaviest(monkeypatch, article, limit):
    monkeypatch.setattr(paths_module, "SCAN_LIMIT", limit)
    dead = uz.unroll(article.network.replace(V=np.zeros((4, 3))), article.inputs, article.targets)
    for detail in ("state", "op", "unit"):
        paths, without = (run.paths(to="W", detail=detail) for run in (article, dead))
        for by in BY:
            (first,), none = paths.top(1, by), paths.top(0, by)
            assert none.bound == pytest.approx(first.norm if by == "norm" else abs(first.share), rel=1e-8)
            assert (len(none), none.exact, none.residual) == (0, True, paths.total_norm)
            assert article.paths("L1", "x2", detail=detail).top(0, by).bound == 0
        assert without.top(0).bound == 0
        assert math.isnan(without.top(0, "share").bound)
    hard = hard_set()
    assert hard.top(0, budget=3).bound >= hard.top(1)[0].norm


def test_where_there_is_no_gradient_shares_are_undefined_and_norms_are_0():
    run = uz.article(activation="relu")
    dead = uz.unroll(run.network.replace(b=np.full(3, -100.0)), run.inputs, run.targets)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(paths_module, "SCAN_LIMIT", -1)
        for paths in (dead.paths(to="W"), dead.paths(to="W", detail="op")):
            for by in BY:
                found = paths.top(3, by)
                assert [path.rank for path in found] == [0, 1, 2]
                assert [path.norm for path in found] == [0.0] * 3
                assert np.isnan([path.share for path in found]).all()
                assert found.exact
                assert math.isnan(found.coverage)
                assert found.residual == 0.0


# ---------------------------------------------------------------- long work


class Stopped(Exception):
    pass


def test_progress_is_reported_and_what_it_raises_ends_the_search(monkeypatch):
    monkeypatch.setattr(search_module, "PULSE", 5)
    paths = Model(steps=30, hidden=6, scale=2.5).unroll().paths("L30", "x1", detail="op")
    seen = []
    whole = paths.top(3, progress=seen.append)
    assert seen == sorted(seen)
    assert 0 < seen[-1] <= whole.expansions

    def stop(expansions):
        if expansions >= 10:
            raise Stopped

    with pytest.raises(Stopped):
        paths.top(3, progress=stop)
    assert [path.rank for path in paths.top(3)] == [path.rank for path in whole], "and nothing is harmed"


def test_a_heap_that_would_not_fit_into_memory_ends_the_search(monkeypatch):
    paths = hard_set()
    monkeypatch.setattr(search_module, "MEMORY_LIMIT", 2000)
    found = paths.top(12)
    assert not found.exact
    assert found.expansions < 1000


# ---------------------------------------------------------------- the command line

LONG = ("paths", "--cell", "lstm", "--steps", "100", "--hidden", "5")


def test_top_lists_the_heaviest_of_10_to_the_67_paths():
    lines = output(*LONG, "--detail", "gate", "--top", "12").splitlines()
    assert "the heaviest of 3.867e+67 paths, by norm" in lines[0]
    assert len([line for line in lines if "L" in line and "→ W_f" in line]) == 12
    assert any(line.startswith("coverage") and "% of the gradient (signed sum" in line for line in lines)
    assert lines[-1].startswith("certificate  exact: no path was missed (")


def test_top_as_json():
    found = from_json(*LONG, "--top", "4", "--by", "share", "--terms")
    assert found["count"] > 10**40
    assert found["cancellation"] is None
    logs = {"log10_bound", "log10_residual_norm"}
    assert set(found["top"]) == {"by", "exact", "certain", "bound", "expansions", "coverage", "residual_norm"} | logs
    assert (found["top"]["by"], found["top"]["exact"]) == ("share", True)
    shares = [path["share"] for path in found["paths"]]
    assert found["top"]["coverage"] == pytest.approx(sum(shares))
    assert found["top"]["bound"] <= abs(shares[-1])
    assert [abs(share) for share in shares] == sorted(map(abs, shares), reverse=True)
    left = np.array(found["top"]["residual_norm"])
    assert left == pytest.approx(math.sqrt(max(0.0, _left(found))), rel=1e-6)
    assert "top" not in from_json("paths", "--limit", "3")


def _left(found: dict) -> float:
    """‖G - Σ‖² from the JSON alone: ‖G‖² - 2 <G, Σ> + ‖Σ‖², as <G, Σ> is the coverage times ‖G‖²."""
    listed = np.sum([path["term"] for path in found["paths"]], axis=0)
    total = found["total_norm"] ** 2
    return total - 2 * found["top"]["coverage"] * total + float((listed**2).sum())


def test_top_that_runs_out_of_budget_says_how_much_it_may_have_missed():
    lines = output(*LONG, "--loss", "L100", "--param", "x1", "--top", "3", "--budget", "2").splitlines()
    assert lines[-1].startswith("certificate  bounded: any path missed has norm at most ")
    assert "--budget N looks at more" in lines[-1]
    assert "--param x1 --loss L100 --by uses" in lines[-2]


def test_top_of_few_paths_and_of_one():
    lines = output("paths", "--top", "3").splitlines()
    assert lines[0] == "∂L/∂W: the heaviest of 15 paths, by norm"
    assert lines[-1] == "certificate  exact: no path was missed (every path looked at)"
    assert output("paths", "--loss", "L1", "--top", "3").startswith("∂L₁/∂W: 1 path, by norm")
    assert "no path leads" in output("paths", "--loss", "L1", "--param", "x2", "--top", "3")


def test_past_the_limit_the_first_paths_are_listed_at_once():
    lines = output(*LONG, "--limit", "2").splitlines()
    assert "--top N the heaviest" in lines[-3]
    assert "--by lag, or ask for the heaviest with --top 12" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--top", "3", "--limit", "2"], "--top and --limit both say"),
        (["--by", "share"], "give --top N too"),
        (["--budget", "3"], "give --top N too"),
        (["--terms"], "give --json or -o FILE.json too"),
        (["--top", "3", "--budget", "-1"], "--budget"),
        (
            ["--json", *LONG[1:]],
            "--top 12 for the heaviest, or take them together with unrollviz flow --steps 100 --cell lstm",
        ),
    ],
)
def test_options_that_would_do_nothing_are_refused(arguments, said):
    assert said in fails("paths", *arguments)


def test_what_a_small_budget_finds_a_larger_one_finds_too():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        net = uz.Network.init("lstm", 2, 6, 2, layers=2, seed=seed)
        scaled = {name: 3 * value for name, value in net.params.items()}
        run = uz.unroll(net.replace(**scaled), rng.normal(size=(60, 2)), rng.integers(0, 2, 60))
        paths = run.paths("L60", "l1.h0")
        best = [paths.top(1, by, budget)[0] for by in ("share",) for budget in (0, 1500, 3000)]
        weights = [abs(path.share) for path in best]
        assert weights == sorted(weights), seed


@pytest.mark.parametrize("detail", ["state", "gate", "op"])
@pytest.mark.parametrize(("cell", "layers"), [("lstm", 1), ("lstm", 2), ("gru", 2), ("elman", 2)])
def test_no_two_paths_of_a_list_look_alike(cell, layers, detail):
    rng = np.random.default_rng(0)
    net = uz.Network.init(cell, 3, 4, 3, layers=layers, seed=2)
    run = uz.unroll(net, rng.normal(size=(20, 3)), rng.integers(0, 3, 20))
    paths = run.paths("L20", run.recurrent_weight, detail=detail)
    heaviest = paths.top(40)
    rows = top_text(paths, heaviest)[4 : 4 + len(heaviest)]
    shown = [re.sub(r"^ *\d+( +\d+)?  (.*?)  .*", r"\2", row) for row in rows]
    assert len(set(shown)) == len(shown)


def test_what_cancels_inside_an_edge_is_padded():
    """∂h'/∂z = h - n is formed as r·h - r·n: where both are the same but for the last digits, a path weighs what its
    rounding is, and the bound must not be below that."""
    one = np.ones((1, 1))
    h, n = np.array([[0.9]]), np.array([[0.9 * (1 + 2**-52)]])
    edges = (("y", "m", Diagonal(n)), ("m", "z", Diagonal(-one)), ("y", "z", Diagonal(h)))
    inner = Composite("y", "z", edges)
    for r in np.random.default_rng(0).uniform(0.5, 1.0, 200):
        weight = abs(float(inner.vjp(np.full((1, 1, 1), r))[0, 0, 0]))
        bound, power = bounds_module._through(inner, bounds_module._last(Diagonal(one), None, True)).of(
            np.full((1, 1, 1), r), False
        )
        assert weight <= math.ldexp(bound, power)


def test_a_saturated_gru_keeps_its_certificate(monkeypatch):
    """States and candidates that agree to the last digits, at every step."""
    monkeypatch.setattr(paths_module, "SCAN_LIMIT", 0)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        net = uz.Network.init("gru", 2, 2, 3, seed=seed)
        params = {name: value * 20 for name, value in net.params.items()}
        params |= {name: value + 20 * rng.normal(size=value.shape) for name, value in params.items() if "b" in name}
        run = uz.unroll(net.replace(**params | {"V": net.params["V"]}), rng.normal(size=(6, 2)), rng.integers(0, 3, 6))
        paths = run.paths("L6", "W_z")
        weights = np.sort(paths.table().norms)[::-1]
        for k in range(1, min(6, paths.count)):
            found = paths.top(k)
            assert weights[k] <= found.bound * (1 + ROUNDING) + 5e-324, (seed, k)
