"""Flows, cotangents at every node, shares of every edge, and the limit on memory."""

import numpy as np
import pytest
from byhand import all_paths
from hypothesis import given
from hypothesis import strategies as st
from strategies import Recipe, bounded, integer_dags, recipes
from test_tables import run_cli

import unrollviz as uz
from unrollviz import terms as terms_module
from unrollviz.draw.text import number, percent
from unrollviz.errors import UnrollvizError
from unrollviz.flows import summed as summed_module
from unrollviz.flows.flow import flow
from unrollviz.gradient import cotangents, edge_shares, gradient
from unrollviz.graph import names_of
from unrollviz.report.flow import flow_text
from unrollviz.report.paths import paths_text
from unrollviz.sweep import FOLDS

DETAILS = ("state", "op")


def test_a_flow_says_what_it_is(article):
    found = article.flow("W", by="lag", losses="L4")
    assert (found.target, found.by) == ("W", "lag")
    assert found.labels.tolist() == [[0], [1], [2], [3]]
    assert found.counts == (1, 1, 1, 1)
    np.testing.assert_array_equal(found.gradient, article.gradient("W", "L4"))
    assert found.total_norm == pytest.approx(np.linalg.norm(found.gradient), rel=1e-14)
    assert found.cancellation == pytest.approx(found.norms.sum() / found.total_norm, rel=1e-14)
    assert found.terms.shape == (4, 3, 3)
    assert "_terms" not in repr(found)


def test_shares_are_projections_on_the_gradient_of_the_losses_asked_for(article):
    for losses in ("L4", ["L1", "L5"], None):
        whole = article.gradient("W", losses)
        found = article.flow("W", by="temporal", losses=losses)
        expected = [(term * whole).sum() / (whole * whole).sum() for term in found.terms]
        np.testing.assert_allclose(found.shares, expected, rtol=1e-11)
        assert found.shares.sum() == pytest.approx(1.0, abs=1e-13)
        np.testing.assert_allclose(
            article.flow("W", by="temporal", losses=losses, detail="op").shares, expected, rtol=1e-11
        )


def test_shares_may_be_negative_and_cancellation_tells_it():
    runs = [uz.article(seed=seed) for seed in range(20)]
    flows = [run.flow("W", by="temporal") for run in runs]
    assert any((found.shares < 0).any() for found in flows)
    for found in flows:
        assert found.cancellation >= 1.0 - 1e-12


@given(recipe=recipes())
def test_cancellation_is_at_least_one_where_there_is_a_gradient(recipe):
    run = recipe.unroll()
    for param in "WV":
        for by in FOLDS:
            found = run.flow(param, by=by)
            if found.total_norm > 0:
                assert found.cancellation >= 1.0 - 1e-12
            else:
                assert np.isnan(found.cancellation)
    assert run.flow("W", by="total").cancellation == pytest.approx(1.0) or not run.gradient("W").any()


def test_flow_by_path_has_a_row_for_every_path(article):
    found, paths = article.flow("W", by="path"), article.paths(to="W")
    assert found.labels.tolist() == [[rank] for rank in range(15)]
    assert found.counts == (1,) * 15
    np.testing.assert_array_equal(found.norms, [path.norm for path in paths])
    np.testing.assert_array_equal(found.terms, [path.term for path in paths])


# ---------------------------------------------------------------- no gradient


def dead(steps: int = 3) -> uz.Run:
    """relu with a bias so negative that no unit ever fires."""
    net = uz.Network.init("elman", 2, 3, 2, "relu", seed=1)
    net = net.replace(b=np.full(3, -100.0))
    return uz.unroll(net, np.random.default_rng(0).normal(size=(steps, 2)), [0, 1, 0][:steps])


@pytest.mark.parametrize("detail", DETAILS)
@pytest.mark.parametrize(
    "run",
    [
        dead(),
        uz.unroll(uz.Network.init("elman", 2, 3, 2), np.ones((1, 2)), [0]),
        uz.unroll(uz.Network.init("elman", 1, 1, 1), np.ones((1, 1)), [0]),
    ],
    ids=["dead relu", "T = 1 and s0 = 0", "one of everything"],
)
def test_where_the_gradient_is_zero_shares_are_undefined_and_nothing_breaks(run, detail):
    assert not run.gradient("W").any()
    paths = run.paths(to="W", detail=detail)
    assert paths.count == run.steps * (run.steps + 1) // 2
    for path in paths:
        assert np.isnan(path.share)
        assert path.norm == 0.0
        assert not path.term.any()
    assert np.isnan(paths.cancellation)
    assert paths.norm_sum == 0.0
    assert not paths.sum().any()
    assert len(paths.top(2)) == min(2, paths.count)
    assert len(paths.top(2, by="share")) == min(2, paths.count)
    for by in (*FOLDS, "path"):
        found = run.flow("W", by=by, detail=detail)
        assert np.isnan(found.shares).all()
        assert not found.norms.any()
        assert sum(found.counts) == paths.count
        assert np.isnan(found.cancellation)
    assert edge_shares(run.level(detail), names_of(run.graph, "loss"), "W") == {}
    assert run.check().ok


# ---------------------------------------------------------------- every node, every edge


@given(recipe=recipes(steps=st.integers(1, 5), activations=bounded))
def test_cotangents_are_the_gradients_of_every_node(recipe):
    run = recipe.unroll()
    for graph in (run.graph, run.level("state")):
        for losses in (names_of(graph, "loss"), [f"L{run.steps}"]):
            found = cotangents(graph, losses)
            for name in graph:
                if name in found:
                    whole = gradient(graph, losses, name)
                    S = sum(path.norm for path in run.paths(losses, name))
                    assert np.abs(found[name] - whole).max() <= 1e-13 * S
                elif name not in losses:
                    assert not gradient(graph, losses, name).any()


def test_cotangents_are_finite_but_for_the_pole_of_the_wanted_class_when_outputs_are_sure():
    """∂L/∂ŷ = -p/ŷ: infinite for the wanted class where ŷ is 0, and 0, not NaN, for the others."""
    net = uz.Network.init("elman", 2, 2, 3)
    net = net.replace(c=np.array([1000.0, 0.0, -1000.0]), V=0 * net.params["V"])
    run = uz.unroll(net, np.ones((2, 2)), [2, 0])
    found = cotangents(run.graph, ["L1", "L2"])
    np.testing.assert_array_equal(found["yhat1"], [[0.0, 0.0, -np.inf]])
    np.testing.assert_array_equal(found["yhat2"], [[-1.0, 0.0, 0.0]])
    np.testing.assert_array_equal(found["logits1"], [[1.0, 0.0, -1.0]])
    assert all(np.isfinite(value).all() for name, value in found.items() if name != "yhat1")
    np.testing.assert_array_equal(run.gradient("yhat2"), [[-1.0, 0.0, 0.0]])
    with pytest.raises(uz.UnrollvizError, match="yhat1"):
        run.gradient("yhat1")


@given(recipe=recipes(steps=st.integers(1, 5)))
def test_the_share_of_an_edge_is_the_sum_over_the_paths_through_it(recipe):
    run = recipe.unroll()
    for detail in DETAILS:
        graph = run.level(detail)
        for losses, target in ((None, "W"), (f"L{run.steps}", "U"), (None, "V"), (None, "s0")):
            names = run.loss_names(losses)
            found = edge_shares(graph, names, target)
            paths = list(run.paths(losses, target, detail=detail))
            if not gradient(graph, names, target).any():
                assert found == {}
                continue
            expected: dict[tuple[str, str, int], float] = {}
            for path in paths:
                for tail, head in zip(path.nodes[1:], path.nodes, strict=False):
                    expected[tail, head] = expected.get((tail, head), 0.0) + path.share
            kappa = sum(abs(path.share) for path in paths)
            assert {(tail, head) for tail, head, _ in found} == set(expected)
            for (tail, head), share in expected.items():
                parallel = [value for edge, value in found.items() if edge[:2] == (tail, head)]
                assert sum(parallel) == pytest.approx(share, rel=1e-9, abs=1e-12 * (1 + kappa))


@given(dag=integer_dags())
def test_the_shares_of_parallel_edges_are_kept_apart_by_key(dag):
    graph = dag.build()
    losses = names_of(graph, "loss")
    for target in ("P", "x1"):
        whole = gradient(graph, losses, target)
        square = (whole * whole).sum()
        found = edge_shares(graph, losses, target)
        if not square:
            assert found == {}
            continue
        expected: dict[tuple[str, str, int], float] = {}
        for path in all_paths(graph, losses, target):
            share = float((path.term * whole).sum()) / square
            for tail, head, key in zip(path.nodes[1:], path.nodes, path.keys, strict=False):
                expected[tail, head, key] = expected.get((tail, head, key), 0.0) + share
        assert set(found) == set(expected)
        for edge, share in expected.items():
            assert found[edge] == pytest.approx(share, rel=1e-12, abs=1e-12)


@given(recipe=recipes(steps=st.integers(1, 4), activations=bounded))
def test_the_share_of_an_edge_into_an_output_asked_for_is_one(recipe):
    run = recipe.unroll()
    for graph in (run.graph, run.level("state")):
        found = edge_shares(graph, ["L1"], "yhat1")
        assert found == {("yhat1", "L1", 0): pytest.approx(1.0)}


@pytest.mark.parametrize("cut", ["parameter", "loss"])
def test_shares_of_all_edges_at_a_cut_sum_to_one(article, cut):
    found = edge_shares(article.graph, names_of(article.graph, "loss"), "W")
    side = 0 if cut == "parameter" else 1
    total = sum(share for edge, share in found.items() if article.graph.nodes[edge[side]]["role"] == cut)
    assert total == pytest.approx(1.0, abs=1e-12)


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("by", FOLDS)
def test_norms_are_the_same_when_sums_are_formed_a_few_at_a_time(monkeypatch, by):
    run = Recipe(steps=6, instances=3).unroll()
    whole = {param: run.flow(param, by=by, detail="op") for param in "UWVbc"}
    terms = {param: found.terms for param, found in whole.items()}
    for limit in (1, 100, 200):
        monkeypatch.setattr(terms_module, "MEMORY_LIMIT", limit)
        for param, found in whole.items():
            again = run.flow(param, by=by, detail="op")
            np.testing.assert_allclose(again.norms, found.norms, rtol=1e-12)
            np.testing.assert_allclose(again.shares, found.shares, rtol=1e-10)
            assert again.counts == found.counts
            if terms[param].nbytes > limit:
                with pytest.raises(UnrollvizError, match="terms of shape"):
                    again.terms  # noqa: B018
            else:
                np.testing.assert_allclose(again.terms, terms[param], rtol=1e-12)


def test_sums_never_take_more_than_the_limit_at_once(monkeypatch):
    taken = []

    class Watched(summed_module.TermSum):
        def __init__(self, labels, shape):
            taken.append(8 * labels * int(np.prod(shape)))
            super().__init__(labels, shape)

    run = Recipe(steps=6).unroll()
    monkeypatch.setattr(summed_module, "TermSum", Watched)
    monkeypatch.setattr(terms_module, "MEMORY_LIMIT", 300)
    found = run.flow("W", by="lag", detail="op")
    assert len(taken) == 2
    assert max(taken) == 288, "four of the six lags at a time, 72 bytes each"
    assert found.counts == (6, 5, 4, 3, 2, 1)


def test_terms_too_large_for_memory_are_refused_with_their_size(monkeypatch, article):
    found = article.flow("W", by="temporal")
    monkeypatch.setattr(terms_module, "MEMORY_LIMIT", 15 * 9 * 8 - 1)
    with pytest.raises(UnrollvizError, match=r"15 terms of shape \(3, 3\)"):
        found.terms  # noqa: B018
    monkeypatch.setattr(terms_module, "MEMORY_LIMIT", 15 * 9 * 8)
    assert found.terms.shape == (15, 3, 3)


def test_outer_products_are_gathered_across_more_steps_than_fit_in_one_batch(monkeypatch):
    run = Recipe(steps=9, instances=2).unroll()
    before = {by: run.flow("W", by=by).terms for by in FOLDS}
    for gathered in (1, 2, 3):
        monkeypatch.setattr(summed_module.TermSum, "GATHERED", gathered)
        for by, terms in before.items():
            np.testing.assert_allclose(run.flow("W", by=by).terms, terms, rtol=1e-12, atol=1e-15)


def test_flow_functions_take_any_graph_and_fold(article):
    found = flow(article.graph, ["L2", "L3"], "U", (*FOLDS["entry"], *FOLDS["loss"]), "entry and loss")
    assert found.labels.tolist() == [[1, 2], [1, 3], [2, 2], [2, 3], [3, 3]]
    assert found.by == "entry and loss"


def test_reach_counts_steps_in_either_direction():
    """Read backwards, lags are negative: how far is a matter of their size."""
    run = uz.article(bidirectional=True)
    for weight in ("fwd.W", "bwd.W"):
        flow = run.flow(weight, by="lag")
        sizes, lags = flow.norms / flow.norms.sum(), np.abs(flow.labels[:, 0].astype(int))
        within = [min(n for n in range(6) if sizes[lags <= n].sum() >= part) for part in (0.5, 0.9, 0.99)]
        said = ", ".join(f"{part} % within lag {n}" for part, n in zip((50, 90, 99), within, strict=True))
        assert f"reach, by Σ‖row‖: {said}" in flow_text(run, flow, None, 40)


def test_a_flow_says_when_its_sum_is_not_compared(article, monkeypatch):
    monkeypatch.setattr("unrollviz.report.flow._SUMMED", 5 * 9)
    lines = flow_text(article, article.flow("W", by="lag"), None, 40)
    said = "reverse sweep:   not compared here, where it would take 5 terms of 9 numbers; unrollviz check compares"
    assert said in lines


@pytest.mark.parametrize("size", [1e-100, 1e100])
def test_norms_beside_the_verdict_are_those_of_the_flow(size):
    net = uz.Network.init("elman", 2, 2, 2, activation="identity", seed=0)
    net = net.replace(V=size * net.params["V"], c=np.zeros(2))
    run = uz.unroll(net, np.ones((3, 2)), np.zeros((3, 2)), loss="squared_error")
    flow = run.flow("W", by="lag")
    lines = flow_text(run, flow, None, 40)
    assert any(f"reverse sweep:   norm {number(flow.total_norm)}, ✓ equal" in line for line in lines)
    paths = run.paths(to="W")
    assert any(
        line.startswith(f"reverse sweep      norm {number(flow.total_norm)}   ✓") for line in paths_text(run, paths, [])
    )


def test_flow_options_that_would_do_nothing_are_refused(tmp_path):
    for arguments, words in (
        (["--limit", "2", "--json"], "--limit is about the table"),
        (["--limit", "2", "-o", "f.csv"], "--limit is about the table"),
        (["--truncate", "1", "-o", "f.csv"], "--truncate has no place in a table of rows"),
    ):
        done = run_cli("flow", *arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "") and words in done.stderr
    assert run_cli("flow", "--truncate", "1", "-o", "f.json", cwd=tmp_path).returncode == 0
    assert [file.name for file in tmp_path.iterdir()] == ["f.json"]


def test_the_highway_alone_and_neither():
    run = uz.article(cell="lstm")
    flow = run.flow("W_f", by="route:weights,highway")
    weights, highway = (flow.labels[:, column].astype(int) for column in range(2))
    alone = flow.shares[(weights == 0) & (highway > 0)].sum()
    neither = flow.shares[(weights == 0) & (highway == 0)].sum()
    said = f"by the highway alone, never through a recurrent weight: {percent(alone)}; by neither, within one step: "
    assert said + percent(neither) in flow_text(run, flow, None, 40)
    assert neither == pytest.approx(run.flow("W_f", by="lag").shares[0])
