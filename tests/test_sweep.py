"""The algorithm: paths = reverse sweep = forward mode = differences, counts, folds, and exact whole numbers."""

from unittest.mock import patch

import networkx as nx
import numpy as np
import pytest
from byhand import SLOPES, all_paths, bptt, error_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import WEIGHTED_SUM, Recipe, bounded, integer_dags, recipes, seeds

import unrollviz as uz
from unrollviz.carriers import COUNTS
from unrollviz.cells import CELLS, Parameters
from unrollviz.errors import NonFinite, UnknownName
from unrollviz.flows.flow import flow
from unrollviz.forward import push_forward
from unrollviz.gradient import cotangents, count_paths, gradient
from unrollviz.graph import Tracer, names_of
from unrollviz.labels import Radix, unique_rows
from unrollviz.ops import OPS
from unrollviz.paths.pathset import PathSet
from unrollviz.stacks import Stack, merge
from unrollviz.sweep import FOLDS, LOSS, TOTAL, Fold, sweep
from unrollviz.way import completions, leading_to

DETAILS = ("state", "op")
PARAMS = "UWVbc"


def assert_close(found, expected, S, bound=1e-13):
    """The promise: the largest difference is at most 1e-13 · S, S the sum of the norms of the terms."""
    assert np.shape(found) == np.shape(expected)
    assert np.abs(np.asarray(found) - expected).max() <= bound * S


# ---------------------------------------------------------------- four ways to one gradient


@settings(max_examples=80)
@given(recipe=recipes())
def test_path_sum_reverse_sweep_and_forward_mode_agree_to_1e_13_of_s(recipe):
    run = recipe.unroll()
    losses = names_of(run.graph, "loss")
    for param in PARAMS:
        reverse = run.gradient(param)
        unit = np.eye(reverse.size).reshape(reverse.size, *reverse.shape)
        forward = sum(at for node, at in push_forward(run.graph, param, unit) if node in losses)
        for detail in DETAILS:
            paths = run.paths(to=param, detail=detail)
            S = sum(path.norm for path in paths)
            assert paths.norm_sum == pytest.approx(S, rel=1e-12)
            assert_close(paths.sum(), reverse, S)
            assert_close(sum(path.term for path in paths), reverse, S)
            assert_close(forward.reshape(reverse.shape), reverse, S)
            assert_close(gradient(run.level(detail), losses, param), reverse, S)


@given(recipe=recipes(steps=st.integers(1, 4), activations=st.sampled_from(["tanh", "sigmoid", "identity"])))
def test_every_entry_of_every_gradient_is_a_central_difference(recipe):
    run, h = recipe.unroll(), 1e-5
    for param, value in run.network.params.items():
        found = run.gradient(param)
        for entry in np.ndindex(*value.shape):
            losses = []
            for sign in (1, -1):
                moved = value.copy()
                moved[entry] += sign * h
                net = run.network.replace(**{param: moved})
                losses.append(uz.unroll(net, run.inputs, run.targets, initial=run.initial).loss)
            slope = (losses[0] - losses[1]) / (2 * h)
            assert slope == pytest.approx(found[entry], rel=1e-6, abs=1e-7 * max(1.0, np.abs(found).max()))


@given(recipe=recipes())
@example(recipe=Recipe(2, 4, 4, 2, 2, "tanh", "uniform", 0.1, "ids", 45817))  # two of 0.5 cancel to 8e-6
def test_the_temporal_fold_is_the_article_s_sum_term_by_term(recipe):
    """M[t, k] against the derivation worked out by hand, for every parameter."""
    run = recipe.unroll()
    expected = bptt(run)
    for param in PARAMS:
        S = expected.sizes[param]
        for detail in DETAILS:
            found = run.flow(param, by="temporal", detail=detail)
            wanted = [(t, k) for t in range(1, run.steps + 1) for k in range(1, t + 1) if param in "UWb" or k == t]
            assert [tuple(label) for label in found.labels] == wanted
            assert found.counts == (1,) * len(wanted)
            for (t, k), term, norm in zip(found.labels, found.terms, found.norms, strict=True):
                by_hand = expected.terms[param][t, k]
                assert_close(term, by_hand, max(S, 1e-300))
                assert abs(norm - np.linalg.norm(by_hand)) <= 1e-13 * max(S, 1e-300)


# ---------------------------------------------------------------- every fold


@given(recipe=recipes())
def test_rows_of_every_fold_add_up_to_gradient_count_and_one(recipe):
    run = recipe.unroll()
    for param in PARAMS:
        whole, S = run.gradient(param), run.paths(to=param).norm_sum
        square = (whole**2).sum()
        for detail in DETAILS:
            count = run.paths(to=param, detail=detail).count
            for by in (*FOLDS, "path"):
                found = run.flow(param, by=by, detail=detail)
                assert_close(found.terms.sum(axis=0), whole, S)
                assert sum(found.counts) == count
                assert all(type(number) is int for number in found.counts)
                norms = np.linalg.norm(found.terms.reshape(len(found.norms), -1), axis=1)
                np.testing.assert_allclose(found.norms, norms, rtol=1e-11, atol=1e-14 * S)
                if square > 0:
                    cancelled = S / np.sqrt(square)
                    assert found.shares.sum() == pytest.approx(1.0, abs=1e-12 * (1 + cancelled))
                    shares = (found.terms * whole).reshape(len(norms), -1).sum(axis=1) / square
                    np.testing.assert_allclose(found.shares, shares, rtol=1e-9, atol=1e-13 * (1 + cancelled))
                else:
                    assert np.isnan(found.shares).all()


@given(recipe=recipes(), chosen=st.sets(st.integers(1, 7), min_size=1))
def test_folds_group_the_paths_of_the_chosen_losses(recipe, chosen):
    """Each row against the enumerated paths that carry its label."""
    run = recipe.unroll()
    losses = [f"L{t}" for t in sorted(chosen) if t <= run.steps] or ["L1"]
    label = {
        "total": lambda path: (0,),
        "loss": lambda path: (int(path.loss[1:]),),
        "entry": lambda path: (path.entry,),
        "lag": lambda path: (path.lag,),
        "temporal": lambda path: (int(path.loss[1:]), path.entry),
    }
    assert set(label) == set(FOLDS)
    for param in "WUc":
        paths = list(run.paths(losses, param, detail="op"))
        S = sum(path.norm for path in paths)
        for by, key in label.items():
            found = run.flow(param, by=by, losses=losses, detail="op")
            groups = sorted({key(path) for path in paths})
            assert [tuple(row) for row in found.labels.tolist()] == groups
            for row, group in enumerate(groups):
                members = [path for path in paths if key(path) == group]
                assert found.counts[row] == len(members)
                assert_close(found.terms[row], sum(path.term for path in members), S)


@given(recipe=recipes(steps=st.integers(1, 5)))
def test_a_fold_of_one_s_own_labels_paths_by_what_they_cross(recipe):
    """How often a path goes through W: its lag, for paths to b."""
    times_w = Fold(cross=lambda labels, edge: (labels + edge.head.startswith("W@"), None))
    run = recipe.unroll()
    losses = names_of(run.graph, "loss")
    own, lag = (flow(run.graph, losses, "b", fold, "own") for fold in ((times_w,), FOLDS["lag"]))
    np.testing.assert_array_equal(own.labels, lag.labels)
    assert own.counts == lag.counts
    S = run.paths(to="b").norm_sum
    assert_close(own.terms, lag.terms, S)
    both = flow(run.graph, losses, "b", (times_w, LOSS), "own and loss")
    assert [tuple(row) for row in both.labels] == [
        (lag, t) for lag in range(run.steps) for t in range(lag + 1, run.steps + 1)
    ]


@given(recipe=recipes(steps=st.integers(2, 5)))
def test_a_fold_may_drop_paths(recipe):
    """Truncated backpropagation: only paths of lag at most 1."""
    short = Fold(cross=lambda n, edge: (n + edge.head.startswith("W@"), n + edge.head.startswith("W@") <= 1))
    run = recipe.unroll()
    found = flow(run.graph, names_of(run.graph, "loss"), "b", (short,), "truncated")
    lags = run.flow("b", by="lag")
    assert found.labels.tolist() == [[0], [1]]
    assert found.counts == lags.counts[:2]
    assert_close(found.terms, lags.terms[:2], lags.norms.sum() + 1e-300)


def test_labels_of_many_columns_do_not_run_out_of_bits(article):
    """Forty columns of up to a hundred values are far more than 64 bits of labels."""
    columns = [Fold(seed=lambda name, t, p=p: (t * p) % 101, enter=lambda n, k, p=p: n + k * p) for p in range(1, 41)]
    found = flow(article.graph, names_of(article.graph, "loss"), "W", tuple(columns), "many")
    temporal = article.flow("W", by="temporal", detail="op")
    assert found.labels.shape == (15, 40)
    assert found.counts == (1,) * 15
    np.testing.assert_allclose(sorted(found.norms), sorted(temporal.norms), rtol=1e-12)


# ---------------------------------------------------------------- exact whole numbers


@settings(max_examples=80)
@given(dag=integer_dags())
def test_on_graphs_of_whole_numbers_everything_is_exact(dag):
    """Reverse sweep, folds, path terms, counts: equal to brute force with Python integers, bit for bit."""
    graph = dag.build()
    losses = names_of(graph, "loss")
    for target in ("P", "Q", "b", "x1", "x2"):
        paths = all_paths(graph, losses, target)
        shape = graph.nodes[target]["value"].shape
        whole = sum((path.term for path in paths), start=np.zeros(shape, dtype=object))
        assert np.abs(whole).max() < 2**53
        np.testing.assert_array_equal(gradient(graph, losses, target), whole.astype(float))
        assert count_paths(graph, losses, target) == len(paths)
        for by, fold in FOLDS.items():
            found = flow(graph, losses, target, fold, by)
            groups: dict[tuple[int, ...], list] = {}
            for path in paths:
                t, time = graph.nodes[path.nodes[0]]["time"], graph.nodes[target]["time"]
                k = graph.nodes[path.nodes[-2]]["time"] if time is None else time
                key = {"total": (0,), "loss": (t,), "entry": (k,), "lag": (t - k,), "temporal": (t, k)}[by]
                groups.setdefault(key, []).append(path.term)
            assert [tuple(label) for label in found.labels.tolist()] == sorted(groups)
            assert found.counts == tuple(len(groups[key]) for key in sorted(groups))
            for term, key in zip(found.terms, sorted(groups), strict=True):
                np.testing.assert_array_equal(term, sum(groups[key]).astype(float))
        unit = np.eye(int(np.prod(shape))).reshape(-1, *shape)
        forward = [at for node, at in push_forward(graph, target, unit) if node in losses]
        pushed = np.sum(forward, axis=0) if forward else np.zeros(whole.size)
        np.testing.assert_array_equal(pushed, whole.ravel().astype(float))


@given(dag=integer_dags())
def test_cotangents_of_whole_numbers_are_exact_at_every_node(dag):
    graph = dag.build()
    losses = names_of(graph, "loss")
    found = cotangents(graph, losses)
    for name in graph:
        paths = [] if name in losses else all_paths(graph, losses, name)
        assert (name in found) == bool(paths)
        if paths:
            np.testing.assert_array_equal(found[name], sum(path.term for path in paths).astype(float))


@given(seed=seeds, steps=st.integers(1, 5), units=st.integers(1, 3), instances=st.integers(1, 2))
def test_an_elman_network_of_whole_numbers_is_exact(seed, steps, units, instances):
    """The cell itself with identity activation and whole weights; L_t a weighted sum of V s_t + c."""
    rng = np.random.default_rng(seed)

    def whole(*shape):
        return rng.integers(-3, 4, shape).astype(float)

    tracer = Tracer()
    shapes = {"U": (units, 2), "W": (units, units), "b": (units,), "V": (2, units), "c": (2,)}
    nodes = {name: tracer.leaf(name, whole(*shape), "parameter") for name, shape in shapes.items()}
    tracer.time = 0
    states = (tracer.leaf("s0", whole(instances, units), "initial"),)
    for time in range(1, steps + 1):
        tracer.time = time
        x = tracer.leaf(f"x{time}", whole(instances, 2), "input")
        states = CELLS["elman"].step(Parameters(nodes, "identity"), x, states)
        z = tracer.apply("add", nodes["V"] @ states[0], nodes["c"], name="logits", role="logits")
        with patch.dict(OPS, {WEIGHTED_SUM.name: WEIGHTED_SUM}):
            tracer.apply("weighted_sum", z, name="L", role="loss", weights=whole(instances, 2))
    losses = names_of(tracer.graph, "loss")
    for target in (*shapes, "s0", "x1"):
        expected = all_paths(tracer.graph, losses, target)
        assert len(expected) == (steps if target in "Vc" or target in ("s0", "x1") else steps * (steps + 1) // 2)
        found = PathSet(tracer.graph, losses, target)
        assert {path.nodes for path in found} == {path.nodes for path in expected}
        terms = {path.nodes: path.term for path in expected}
        for path in found:
            np.testing.assert_array_equal(path.term, terms[path.nodes].astype(float))
        np.testing.assert_array_equal(found.sum(), sum(terms.values()).astype(float))
        np.testing.assert_array_equal(found.gradient, found.sum())


# ---------------------------------------------------------------- counts


@pytest.mark.parametrize(("loss", "param", "count"), [("L4", "W", 4), ("L4", "U", 4), ("L4", "b", 4), ("L4", "V", 1)])
def test_counts_of_one_loss_of_the_article(article, loss, param, count):
    assert article.paths(loss, param).count == count


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 1000])
def test_counts_of_all_losses(steps):
    """T (T + 1) / 2 paths to U, W, b; T to V, c: 15 and 5 in the article, 55 and 10, 500,500 at T = 1000."""
    run = uz.unroll(uz.Network.init("elman", 1, 1, 2), np.zeros((steps, 1)), np.zeros(steps, dtype=int))
    losses = names_of(run.graph, "loss")
    for detail in DETAILS:
        counts = {param: count_paths(run.level(detail), losses, param) for param in PARAMS}
        many = steps * (steps + 1) // 2
        assert counts == {"U": many, "W": many, "b": many, "V": steps, "c": steps}
        assert all(type(count) is int for count in counts.values())


@given(dag=integer_dags())
def test_counts_are_those_of_a_matrix_power_series(dag):
    """(I - A)^-1 = I + A + A² + … counts the walks of a DAG; A counts parallel edges."""
    graph = dag.build()
    names = list(graph)
    adjacency = nx.to_numpy_array(graph, nodelist=names, dtype=object, weight=None, multigraph_weight=len)
    total, power = np.zeros_like(adjacency), adjacency
    while power.any():
        total, power = total + power, power @ adjacency
    for column, head in enumerate(names):
        if graph.nodes[head]["role"] != "loss":
            continue
        for row, tail in enumerate(names):
            assert count_paths(graph, [head], tail) == total[row, column] or tail == head


@given(recipe=recipes(steps=st.integers(1, 4)))
def test_counts_are_those_of_networkx(recipe):
    run = recipe.unroll()
    for detail in DETAILS:
        graph = run.level(detail)
        for param in "WV":
            for loss in names_of(graph, "loss"):
                listed = list(nx.all_simple_edge_paths(graph, param, loss))
                assert count_paths(graph, [loss], param) == len(listed)


def doubling(times: int) -> Tracer:
    """x ⊙ x again and again: 2^times paths from the loss to x. x = 1, so that no value overflows."""
    tracer = Tracer(time=0)
    node = tracer.leaf("x", np.ones((1, 2)), "input")
    for number in range(1, times + 1):
        tracer.time = number
        node = tracer.apply("mul", node, node, name="y")
    yhat = tracer.apply("softmax", node, name="yhat", role="output")
    tracer.apply("cross_entropy", yhat, name="L", role="loss", target=np.array([[1.0, 0.0]]))
    return tracer


@pytest.mark.parametrize("times", [1, 31, 52, 53, 62, 63, 64, 100, 500])
def test_counts_are_exact_however_large(times):
    graph = doubling(times).graph
    assert count_paths(graph, names_of(graph, "loss"), "x") == 2**times
    assert completions(graph, "x")[f"y{times}"] == 2**times
    found = flow(graph, names_of(graph, "loss"), "x", FOLDS["lag"], "lag")
    assert found.counts == (2**times,)
    np.testing.assert_array_equal(found.terms[0], gradient(graph, names_of(graph, "loss"), "x"))
    np.testing.assert_array_equal(found.gradient, 2.0**times * np.array([[-0.5, 0.5]]))


@given(dag=integer_dags())
def test_the_sweep_of_integers_counts_what_the_sweep_of_cotangents_carries(dag):
    graph = dag.build()
    losses = names_of(graph, "loss")
    for target in ("P", "b", "x1"):
        one = [(a.edge.tail, a.edge.head, a.labels.tolist()) for a in sweep(graph, losses, [target], FOLDS["temporal"])]
        counted = list(sweep(graph, losses, [target], FOLDS["temporal"], COUNTS))
        assert one == [(a.edge.tail, a.edge.head, a.labels.tolist()) for a in counted]
        assert sum(a.rows.sum() for a in counted) == len(all_paths(graph, losses, target))


# ---------------------------------------------------------------- targets that are not parameters


@given(recipe=recipes(steps=st.integers(2, 6)))
def test_derivatives_by_states_and_inputs_are_products_of_the_article_s_jacobians(recipe):
    """∂L_T/∂s_1 = ∂L_T/∂s_T Π ∂s_j/∂s_{j-1}, and ∂L_T/∂x_2 likewise, by hand."""
    run, T, p = recipe.unroll(), recipe.steps, recipe.network().params
    value = {name: node["value"] for name, node in run.graph.nodes(data=True)}
    slope = SLOPES[recipe.activation]
    row = np.array([error_of(y, w) for y, w in zip(value[f"yhat{T}"], run.targets[-1], strict=True)])
    row = row / run.instances @ p["V"]
    S = max(np.abs(row).sum(), 1e-300) * max(1.0, *(np.linalg.norm(p["W"]) ** t for t in range(T)))
    for k in range(T, 0, -1):
        assert_close(run.gradient(f"s{k}", f"L{T}"), row, S)
        at_a = row * slope(value[f"a{k}"])
        assert_close(run.gradient(f"a{k}", f"L{T}"), at_a, S)
        assert_close(run.gradient(f"x{k}", f"L{T}"), at_a @ p["U"], S * max(1.0, np.linalg.norm(p["U"])))
        row = at_a @ p["W"]
    assert_close(run.gradient("s0", f"L{T}"), row, S)


@given(recipe=recipes(steps=st.integers(2, 5), activations=st.just("tanh")))
def test_derivatives_by_inputs_and_initial_state_are_central_differences(recipe):
    run, h = recipe.unroll(), 1e-5

    def losses(xs, s0):
        return uz.unroll(run.network, xs, run.targets, initial=s0).losses

    for chosen in ([run.steps], list(range(1, run.steps + 1))):
        rows = [t - 1 for t in chosen]
        for name, place in (("x2", (1,)), ("s0", ())):
            found = run.gradient(name, [f"L{t}" for t in chosen])
            for entry in np.ndindex(*found.shape):
                sides = []
                for sign in (1, -1):
                    xs, s0 = run.inputs.copy(), run.initial["s0"].copy()
                    (xs if name == "x2" else s0)[place + entry] += sign * h
                    sides.append(losses(xs, s0)[rows].sum())
                assert (sides[0] - sides[1]) / (2 * h) == pytest.approx(found[entry], rel=1e-5, abs=1e-7)


@given(recipe=recipes(steps=st.integers(1, 4), activations=bounded))
def test_the_derivative_by_yhat_is_the_textbook_s(recipe):
    run = recipe.unroll()
    for t in range(1, run.steps + 1):
        expected = -run.targets[t - 1] / run.graph.nodes[f"yhat{t}"]["value"] / run.instances
        for graph in (run.graph, run.level("state")):
            np.testing.assert_allclose(gradient(graph, [f"L{t}"], f"yhat{t}"), expected, rtol=1e-12)
        (path,) = run.paths(f"L{t}", f"yhat{t}")
        np.testing.assert_allclose(path.term, expected, rtol=1e-12)
        np.testing.assert_allclose(path.norm, np.linalg.norm(expected), rtol=1e-12)
        assert path.share == pytest.approx(1.0)


def test_a_loss_does_not_depend_on_what_comes_after_it(article):
    for name in ("s4", "x4", "yhat4", "yhat2"):
        found = article.gradient(name, "L3")
        assert not found.any()
        assert found.shape == article.graph.nodes[name]["value"].shape
        assert article.paths("L3", name).count == 0
        assert list(article.paths("L3", name)) == []


# ---------------------------------------------------------------- what is refused, and when


def test_unknown_losses_and_targets_are_refused_at_the_call(article):
    graph = article.graph
    with pytest.raises(UnknownName, match="unknown loss 'L6'; did you mean L"):
        sweep(graph, ["L6"], ["W"], (TOTAL,))
    with pytest.raises(UnknownName, match=r"unknown loss 's3'; .*choose one of L1 … L5$"):
        sweep(graph, ["s3"], ["W"], (TOTAL,))
    with pytest.raises(UnknownName, match="unknown parameter or node 's6'; did you mean s"):
        sweep(graph, ["L4"], ["s6"], (TOTAL,))
    with pytest.raises(UnknownName, match="unknown loss"):
        article.gradient("W", "l4x")
    with pytest.raises(UnknownName, match="did you mean L4"):
        article.paths("l4", "W")
    with pytest.raises(UnknownName, match="did you mean W"):
        article.gradient("w")
    with pytest.raises(UnknownName, match="did you mean lag"):
        article.flow("W", by="lags")
    with pytest.raises(UnknownName, match="unknown level of detail"):
        article.flow("W", detail="opp")


@pytest.mark.parametrize("target", ["L4", "L5", "L1"])
def test_a_loss_is_no_target(article, target):
    """Paths begin there; the empty path from L4 to L4 would be listed by nothing and counted by something."""
    for ask in (
        lambda: article.gradient(target, "L4"),
        lambda: article.paths("L4", target),
        lambda: article.flow(target, losses="L4"),
    ):
        with pytest.raises(uz.UnrollvizError, match="loss"):
            ask()


def test_a_loss_asked_for_twice_is_asked_for_once(article):
    for param in ("W", "c"):
        once, twice = article.paths("L4", param), article.paths(["L4", "L4"], param)
        assert twice.count == len(list(twice)) == once.count
        np.testing.assert_array_equal(article.gradient(param, ["L4", "L4"]), once.gradient)
        assert sum(article.flow(param, losses=["L4", "L4"]).counts) == once.count


def test_no_losses_give_no_paths_and_a_gradient_of_zero(article):
    assert not article.gradient("W", []).any()
    assert article.paths([], "W").count == 0
    assert list(article.paths([], "W")) == []
    for by in (*FOLDS, "path"):
        assert article.flow("W", by=by, losses=[]).counts == ()


# ---------------------------------------------------------------- overflow on the way back


def exploding(steps: int, weight: float) -> uz.Run:
    """s stays 0 forwards (no input, no bias), so that only the cotangents grow: ∂s_t/∂s_{t-1} = weight."""
    net = uz.Network(
        "elman", {"U": [[0.0]], "W": [[weight]], "b": [0.0], "V": [[1.0], [0.0]], "c": [0.0, 0.0]}, "identity"
    )
    return uz.unroll(net, np.zeros((steps, 1)), np.zeros(steps, dtype=int))


@pytest.mark.parametrize("detail", DETAILS)
def test_a_cotangent_that_overflows_is_named_first_of_the_backward_pass(detail):
    run = exploding(5, 1e100)  # from L5: ∂/∂s_5 = -0.5, s_4 1e100, s_3 1e200, s_2 1e300, s_1 overflows
    for ask in (
        lambda: run.gradient("b", "L5"),
        lambda: run.paths("L5", "b", detail=detail),
        lambda: run.flow("b", losses="L5", detail=detail),
    ):
        with pytest.raises(NonFinite, match="the cotangent at node s1 at step 1 is not finite") as caught:
            ask()
        assert (caught.value.node, caught.value.time) == ("s1", 1)
    assert np.isfinite(run.gradient("b", "L4")).all()


def test_a_gradient_that_does_not_overflow_is_given_though_its_square_does():
    run = exploding(4, 1e100)  # terms of lag 3: 5e299
    np.testing.assert_allclose(run.gradient("b", "L4"), [-0.5 * (1 + 1e100 + 1e200 + 1e300)], rtol=1e-13)
    found = run.flow("b", by="lag", losses="L4")
    np.testing.assert_allclose(found.norms, [0.5, 0.5e100, 0.5e200, 0.5e300], rtol=1e-13)
    np.testing.assert_allclose(found.shares, [1e-300, 1e-200, 1e-100, 1.0], rtol=1e-13)
    paths = run.paths("L4", "b")
    np.testing.assert_allclose([path.norm for path in paths], found.norms, rtol=1e-13)
    assert paths.total_norm == pytest.approx(0.5e300)
    assert paths.cancellation == pytest.approx(1.0)


def test_gradients_that_all_but_vanish_keep_their_norms_and_shares():
    net = uz.Network(
        "elman", {"U": [[1.0]], "W": [[1e-100]], "b": [0.0], "V": [[1.0], [0.0]], "c": [0.0, 0.0]}, "identity"
    )
    run = uz.unroll(net, np.ones((4, 1)), np.zeros(4, dtype=int))
    error = abs(run.gradient("s4", "L4")[0, 0])
    found = run.flow("U", by="lag", losses="L4")
    np.testing.assert_allclose(found.norms, error * np.array([1, 1e-100, 1e-200, 1e-300]), rtol=1e-12)
    np.testing.assert_allclose([path.norm for path in run.paths("L4", "U")], found.norms, rtol=1e-12)
    for t, factor in ((2, 1e-200), (1, 1e-300)):
        only = run.paths("L4", f"x{t}")
        np.testing.assert_allclose(only[0].norm, error * factor, rtol=1e-12)
        assert only[0].share == pytest.approx(1.0)
        assert run.flow(f"x{t}", losses="L4").shares.tolist() == pytest.approx([1.0])


def test_overflow_in_another_place_than_an_output_that_is_sure_names_that_place():
    """ŷ underflows to 0 here, so that ∂L/∂ŷ is infinite in the textbook's coordinates; that is no overflow."""
    run = exploding(5, 1e100)
    net = run.network.replace(c=np.array([-1000.0, 1000.0]))
    run = uz.unroll(net, run.inputs, run.targets)
    with pytest.raises(NonFinite, match="node s1 at step 1"):
        run.gradient("b", "L5")


# ---------------------------------------------------------------- parts of the algorithm


@given(
    rows=st.one_of(
        st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 3), st.integers(-2, 100)), min_size=1, max_size=20),
        st.lists(st.tuples(*[st.integers(-(2**40), 2**40)] * 3), min_size=1, max_size=20),
    )
)
def test_radix_orders_labels_lexicographically(rows):
    labels = np.array(rows, dtype=np.int64)
    keys = Radix.of(labels).keys(labels)
    assert [rows[index] for index in np.argsort(keys, kind="stable")] == sorted(rows)
    different, place = unique_rows(labels)
    assert [tuple(row) for row in different.tolist()] == sorted(set(rows))
    np.testing.assert_array_equal(different[place], labels)


@given(
    stacks=st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=5, unique=True),
        min_size=1,
        max_size=4,
    )
)
def test_merge_adds_rows_with_equal_labels(stacks):
    parts = [
        Stack(np.array(sorted(labels), dtype=np.int64), np.arange(1.0, 1.0 + len(labels))[:, None]) for labels in stacks
    ]
    expected: dict[tuple[int, ...], float] = {}
    for part in parts:
        for label, row in zip(part.labels.tolist(), part.rows[:, 0], strict=True):
            expected[tuple(label)] = expected.get(tuple(label), 0.0) + row
    copies = [part.rows.copy() for part in parts]
    merged = merge(parts)
    labels = [tuple(label) for label in merged.labels.tolist()]
    assert dict(zip(labels, merged.rows[:, 0], strict=True)) == expected
    assert len(labels) == len(expected)
    assert labels == sorted(labels)
    assert len(merge(parts, distinct=True)) == sum(map(len, parts))
    for part, copy in zip(parts, copies, strict=True):
        np.testing.assert_array_equal(part.rows, copy)


@given(dag=integer_dags())
def test_leading_to_is_what_is_computed_from_the_targets(dag):
    graph = dag.build()
    for targets in (["P"], ["x1", "b"], list(graph)):
        expected = set().union(*(nx.descendants(graph, target) for target in targets))
        assert leading_to(graph, frozenset(targets)) == expected


@given(recipe=recipes(steps=st.integers(1, 4)))
def test_forward_mode_pushes_tangents_to_every_node(recipe):
    """ṡ against a difference of two runs, at every node that depends on the parameter."""
    run = recipe.unroll()
    if recipe.activation == "relu":
        return
    rng = np.random.default_rng(recipe.seed)
    for param in PARAMS:
        value = run.network.params[param]
        direction, h = rng.normal(size=value.shape), 1e-6
        ahead, behind = (
            uz.unroll(
                run.network.replace(**{param: value + sign * h * direction}),
                run.inputs,
                run.targets,
                initial=run.initial,
            ).graph
            for sign in (1, -1)
        )
        nodes = []
        for node, tangents in push_forward(run.graph, param, direction[None]):
            nodes.append(node)
            if node == param:
                continue
            moved = (ahead.nodes[node]["value"] - behind.nodes[node]["value"]) / (2 * h)
            scale = run.graph.nodes[node].get("scale")
            shown = tangents[0] if scale is None else tangents[0] * scale
            np.testing.assert_allclose(shown, moved, rtol=1e-4, atol=1e-6 * max(1.0, np.abs(moved).max()))
        assert set(nodes) == {param} | nx.descendants(run.graph, param)
        assert nodes == [name for name in run.graph if name in set(nodes)]


def test_forward_mode_from_an_output_takes_textbook_tangents(article):
    """A tangent of ŷ is ẏ, not that of log ŷ."""
    tangent = np.array([[[0.1, -0.2, 0.3, 0.4]]])
    found = dict(push_forward(article.graph, "yhat3", tangent))["L3"]
    expected = (article.gradient("yhat3", "L3") * tangent).sum()
    np.testing.assert_allclose(found, [expected], rtol=1e-13)


def test_a_sweep_does_not_disturb_the_graph(article):
    before = {name: np.copy(node["value"]) for name, node in article.graph.nodes(data=True)}
    article.flow("W", by="temporal")
    list(article.paths(to="W", detail="op"))
    article.check()
    for name, node in article.graph.nodes(data=True):
        np.testing.assert_array_equal(node["value"], before[name])


def test_long_sequences_need_no_recursion():
    run = Recipe(steps=1500, inputs=1, hidden=1, outputs=2, instances=1, scale=0.5).unroll()
    assert np.isfinite(run.gradient("W")).all()
    assert run.paths("L1500", "W")[1499].entry == 1
