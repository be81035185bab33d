"""The traced graph: nodes, edges, names, formulas, and levels of detail on which sums over paths do not change."""

import networkx as nx
import numpy as np
import pytest
from byhand import SLOPES, all_paths
from hypothesis import given
from hypothesis import strategies as st
from strategies import integer_dags, recipes, seeds

import unrollviz as uz
from unrollviz.errors import NonFinite, ShapeError, UnknownName
from unrollviz.gradient import gradient
from unrollviz.graph import (
    LEVELS,
    ROLES,
    Tracer,
    contract,
    formula,
    level_of_detail,
    names_of,
    node_named,
)
from unrollviz.ops import OPS
from unrollviz.paths.pathset import PathSet


def test_article_graph_has_the_names_that_a_person_types(article):
    expected = ["U", "W", "b", "V", "c", "s0"]
    for t in range(1, 6):
        expected += [f"x{t}", f"U@x{t}", f"W@s{t - 1}", f"a{t}", f"s{t}", f"V@s{t}", f"logits{t}", f"yhat{t}", f"L{t}"]
    assert set(article.graph) == set(expected)
    assert len(article.graph) == len(expected)


def test_graph_is_a_multidigraph_in_the_direction_of_computation(article):
    graph = article.graph
    assert type(graph) is nx.MultiDiGraph
    position = {name: index for index, name in enumerate(graph)}
    assert all(position[tail] < position[head] for tail, head in graph.edges())
    assert graph.has_edge("W", "W@s2")
    assert graph.has_edge("s2", "W@s2")
    assert not graph.has_edge("W@s2", "s2")
    for name, op in graph.nodes(data="op"):
        keys = sorted(key for _, _, key in graph.in_edges(name, keys=True))
        assert keys == list(range(len(keys))), "the key of an edge is the position of the argument"
        assert (op is None) == (not keys)


def test_nodes_carry_op_role_time_layer_value_label(article):
    roles = {
        "W": "parameter",
        "x3": "input",
        "s0": "initial",
        "a3": "hidden",
        "W@s2": "hidden",
        "s3": "state",
        "logits3": "logits",
        "yhat3": "output",
        "L3": "loss",
    }
    assert set(roles.values()) == set(ROLES) - {"gate"}
    for name, role in roles.items():
        node = article.graph.nodes[name]
        assert node["role"] == role
        assert node["time"] == {"W": None, "s0": 0}.get(name, 3)
        assert node["layer"] == 1
        assert np.isfinite(node["value"]).all()
    labels = {"s3": "s₃", "yhat3": "ŷ₃", "L3": "L₃", "W": "W", "W@s2": "W s₂", "logits3": "z₃", "x3": "x₃"}
    assert {name: article.graph.nodes[name]["label"] for name in labels} == labels


@given(recipe=recipes())
def test_values_have_the_shapes_of_the_article(recipe):
    run = recipe.unroll()
    B, n, d, k = recipe.instances, recipe.inputs, recipe.hidden, recipe.outputs
    shapes = {"input": (B, n), "initial": (B, d), "state": (B, d), "logits": (B, k), "output": (B, k), "loss": ()}
    for _, node in run.graph.nodes(data=True):
        if node["role"] in shapes:
            assert node["value"].shape == shapes[node["role"]]


@given(recipe=recipes(steps=st.integers(1, 3)))
def test_every_edge_fits_the_values_at_its_ends(recipe):
    run = recipe.unroll()
    for level in LEVELS:
        graph = run.level(level)
        for tail, head, data in graph.edges(data=True):
            assert data["jacobian"].out_shape == graph.nodes[head]["value"].shape
            assert data["jacobian"].in_shape == graph.nodes[tail]["value"].shape
            assert data["jacobian"].per_instance == (graph.nodes[tail]["role"] != "parameter")


# ---------------------------------------------------------------- x ⊙ x


def square(x: np.ndarray) -> Tracer:
    """L = -log softmax(x ⊙ x)[0], with x a leaf."""
    tracer = Tracer(time=1)
    leaf = tracer.leaf("x", x, "input")
    y = tracer.apply("mul", leaf, leaf, name="y", role="state")
    yhat = tracer.apply("softmax", y, name="yhat", role="output")
    target = np.zeros_like(x)
    target[:, 0] = 1.0
    tracer.apply("cross_entropy", yhat, name="L", role="loss", target=target)
    return tracer


def test_x_times_x_keeps_two_edges_and_the_whole_gradient():
    """A DiGraph merges the two and silently loses half of the gradient."""
    x = np.array([[0.5, -1.5, 2.0], [1.0, 0.0, -0.25]])
    graph = square(x).graph
    assert sorted(graph.edges("x", keys=True)) == [("x", "y1", 0), ("x", "y1", 1)]
    y = np.exp(x * x)
    yhat = y / y.sum(axis=1, keepdims=True)
    expected = (yhat - np.eye(3)[[0, 0]]) / 2 * 2 * x
    np.testing.assert_allclose(gradient(graph, ["L1"], "x"), expected, rtol=1e-13, atol=1e-16)
    paths = PathSet(graph, ["L1"], "x")
    assert paths.count == len(list(paths)) == 2
    assert {path.nodes for path in paths} == {("L1", "yhat1", "y1", "x")}
    for path in paths:
        np.testing.assert_allclose(path.term, expected / 2, rtol=1e-13, atol=1e-16)
        assert path.share == pytest.approx(0.5, rel=1e-12)
    np.testing.assert_allclose(paths.sum(), expected, rtol=1e-13, atol=1e-16)


def test_x_times_x_keeps_its_whole_gradient_when_contracted():
    x = np.array([[0.5, -1.5, 2.0]])
    graph = square(x).graph
    whole = gradient(graph, ["L1"], "x")
    for landmarks in ({"x", "y1", "L1"}, {"x", "L1"}):
        level = contract(graph, landmarks)
        assert PathSet(level, ["L1"], "x").count == 1
        np.testing.assert_allclose(gradient(level, ["L1"], "x"), whole, rtol=1e-14)
        np.testing.assert_allclose(PathSet(level, ["L1"], "x")[0].norm, np.linalg.norm(whole), rtol=1e-13)


# ---------------------------------------------------------------- tracing


def test_an_op_without_a_name_is_named_by_what_it_computes():
    tracer = Tracer(time=2)
    W, x = tracer.leaf("W", np.eye(2), "parameter"), tracer.leaf("x2", np.ones((1, 2)), "input")
    product = W @ x
    assert product.name == "W@x2"
    assert (product + x).name == "W@x2+x2"
    assert (x * x).name == "x2*x2"
    assert tracer.apply("tanh", x).name == "tanh(x2)"
    assert (W @ x).name == "W@x2'", "a second one is another node"
    assert (W @ x).name == "W@x2''"
    np.testing.assert_array_equal((x * x + x).value, [[2.0, 2.0]])


def test_names_get_the_prefix_of_the_layer_and_the_step():
    tracer = Tracer(time=7, prefix="l2.", layer=2)
    x = tracer.leaf("x7", np.ones((1, 2)), "input")
    a = tracer.apply("tanh", x, name="a")
    assert a.name == "l2.a7"
    assert tracer.graph.nodes["l2.a7"]["layer"] == 2
    assert tracer.apply("tanh", x, name="a").name == "l2.a7'"


def test_arguments_that_do_not_fit_are_a_shape_error_that_names_them():
    tracer = Tracer(time=1)
    W, x = tracer.leaf("W", np.ones((2, 3)), "parameter"), tracer.leaf("x1", np.ones((1, 4)), "input")
    with pytest.raises(ShapeError, match=r"matvec cannot combine W \(2, 3\), x1 \(1, 4\)"):
        W @ x


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_leaf_that_is_not_finite_is_named(bad):
    tracer = Tracer(time=3)
    with pytest.raises(NonFinite, match=r"at node x3 at step 3 is not finite") as caught:
        tracer.leaf("x3", np.array([[1.0, bad]]), "input")
    assert (caught.value.node, caught.value.time) == ("x3", 3)


@pytest.mark.parametrize("role", ["parameter", "input", "initial"])
def test_the_advice_for_a_bad_leaf_is_a_sentence(role):
    with pytest.raises(NonFinite) as caught:
        Tracer(time=0).leaf("name", np.array([[np.nan]]), role)
    assert "the the" not in str(caught.value)


def test_a_value_that_overflows_is_named_before_anything_is_built_on_it():
    tracer = Tracer(time=4)
    x = tracer.leaf("x4", np.array([[1e200]]), "input")
    with np.errstate(all="ignore"), pytest.raises(NonFinite, match="node y4 at step 4") as caught:
        tracer.apply("mul", x, x, name="y")
    assert caught.value.node == "y4"
    assert "y4" not in tracer.graph


def test_node_named_offers_the_nearest_name(article):
    assert node_named(article.graph, "s3")["role"] == "state"
    with pytest.raises(UnknownName, match="unknown node 'yhat6'; did you mean yhat") as caught:
        node_named(article.graph, "yhat6")
    assert caught.value.name == "yhat6"
    assert caught.value.nearest.startswith("yhat")


def test_names_of_a_role_come_in_the_order_of_computation(article):
    assert names_of(article.graph, "loss") == ["L1", "L2", "L3", "L4", "L5"]
    assert sorted(names_of(article.graph, "parameter")) == ["U", "V", "W", "b", "c"]
    assert names_of(article.graph, "state") == ["s1", "s2", "s3", "s4", "s5"]


# ---------------------------------------------------------------- formulas


@pytest.mark.parametrize(
    ("name", "stop", "expected"),
    [
        ("s3", (), "s₃ = tanh(a₃)"),
        ("a3", (), "a₃ = U x₃ + W s₂ + b"),
        ("s3", ("x3", "s2"), "s₃ = tanh(U x₃ + W s₂ + b)"),
        ("yhat3", (), "ŷ₃ = softmax(z₃)"),
        ("yhat3", ("s3",), "ŷ₃ = softmax(V s₃ + c)"),
        ("logits3", (), "z₃ = V s₃ + c"),
        ("W@s2", (), "W s₂ = W s₂"),
        ("s1", ("s0", "x1"), "s₁ = tanh(U x₁ + W s₀ + b)"),
        ("s2", ("s0", "x1", "x2"), "s₂ = tanh(U x₂ + W tanh(U x₁ + W s₀ + b) + b)"),
        ("x3", (), "x₃"),
        ("W", (), "W"),
    ],
)
def test_formula(article, name, stop, expected):
    assert formula(article.graph, name, stop) == expected


@pytest.mark.parametrize(("activation", "written"), [("relu", "relu(a₃)"), ("sigmoid", "σ(a₃)"), ("identity", "a₃")])
def test_formula_of_every_activation(activation, written):
    assert formula(uz.article(activation=activation).graph, "s3") == f"s₃ = {written}"


def test_formula_of_the_loss_names_target_and_output(article):
    assert "log ŷ₃" in formula(article.graph, "L3")
    assert formula(article.graph, "L3").startswith("L₃ = ")


def test_formula_of_a_product_of_a_node_with_itself():
    assert formula(square(np.ones((1, 2))).graph, "y1") == "y₁ = x ⊙ x"


# ---------------------------------------------------------------- levels of detail


def test_state_level_is_the_article_picture(article):
    level = article.level("state")
    names = {f"{kind}{t}" for kind in ("x", "s", "yhat", "L") for t in range(1, 6)}
    assert set(level) == names | {"s0", "U", "W", "V", "b", "c"}
    edges = {(f"x{t}", f"s{t}") for t in range(1, 6)} | {(f"s{t - 1}", f"s{t}") for t in range(1, 6)}
    edges |= {(name, f"s{t}") for name in "UWb" for t in range(1, 6)}
    edges |= {(name, f"yhat{t}") for name in "Vc" for t in range(1, 6)}
    edges |= {(f"s{t}", f"yhat{t}") for t in range(1, 6)} | {(f"yhat{t}", f"L{t}") for t in range(1, 6)}
    assert set(level.edges()) == edges
    assert level.number_of_edges() == len(edges)


def test_op_level_is_the_graph_itself(article):
    assert article.level("op") is article.graph
    assert level_of_detail(article.graph, "op") is article.graph


def test_a_level_keeps_order_and_attributes(article):
    level = article.level("state")
    assert list(level) == [name for name in article.graph if name in level]
    for name, node in level.nodes(data=True):
        assert node == article.graph.nodes[name] or all(
            node[key] is article.graph.nodes[name][key] for key in article.graph.nodes[name]
        )


def test_a_level_may_have_landmarks_of_its_own(article):
    level = level_of_detail(article.graph, "state", also=["a3"])
    assert "a3" in level
    assert set(level) - set(article.level("state")) == {"a3"}
    assert not level.has_edge("W", "s3")
    assert level.has_edge("W", "a3")


def test_an_unknown_level_is_named_with_the_valid_ones(article):
    with pytest.raises(UnknownName, match="unknown level of detail 'stat'; did you mean state"):
        level_of_detail(article.graph, "stat")
    with pytest.raises(UnknownName, match="level of detail"):
        article.level("sate", "W")


@given(recipe=recipes())
def test_the_jacobian_between_two_states_is_the_article_s(recipe):
    """∂s_t/∂s_{t-1} = diag(f'(a_t)) W; ∂⁺s_t/∂W has row j filled by f'(a_t)_j s_{t-1}."""
    run = recipe.unroll()
    level, T, d = run.level("state"), run.steps, recipe.hidden
    slope = SLOPES[recipe.activation](run.graph.nodes[f"a{T}"]["value"])
    before = run.graph.nodes[f"s{T - 1}"]["value"]
    chain = slope[:, :, None] * run.network.params["W"]
    direct = np.einsum("bi,ij,bl->bijl", slope, np.eye(d), before).reshape(recipe.instances, d, d * d)
    for tail, expected in ((f"s{T - 1}", chain), ("W", direct)):
        jacobian = level.edges[tail, f"s{T}", 0]["jacobian"]
        np.testing.assert_allclose(jacobian.matrix(), expected, rtol=1e-11, atol=1e-15)
        np.testing.assert_allclose(jacobian.norm(), np.linalg.norm(expected), rtol=1e-11, atol=1e-15)


@given(recipe=recipes(), seed=seeds)
def test_gradients_are_the_same_on_any_set_of_landmarks(recipe, seed):
    run, rng = recipe.unroll(), np.random.default_rng(seed)
    losses = names_of(run.graph, "loss")
    keep = {name for name, node in run.graph.nodes(data=True) if node["role"] in ("loss", "parameter")}
    some = keep | {name for name in run.graph if rng.random() < 0.3}
    for level in (contract(run.graph, keep), contract(run.graph, some), run.level("state")):
        for param in run.network.params:
            whole = gradient(run.graph, losses, param)
            np.testing.assert_allclose(
                gradient(level, losses, param), whole, rtol=1e-11, atol=1e-13 * max(1.0, np.abs(whole).max())
            )


@given(dag=integer_dags(), seed=seeds)
def test_paths_of_a_level_are_the_paths_grouped_by_the_landmarks_they_visit(dag, seed):
    graph, rng = dag.build(), np.random.default_rng(seed)
    losses = names_of(graph, "loss")
    landmarks = {n for n, role in graph.nodes(data="role") if role != "hidden" or rng.random() < 0.5}
    level = contract(graph, landmarks)
    for target in ("P", "Q", "b", "x1", "x2"):
        groups: dict[tuple[str, ...], np.ndarray] = {}
        for path in all_paths(graph, losses, target):
            visited = tuple(name for name in path.nodes if name in landmarks)
            groups[visited] = groups.get(visited, 0) + path.term
        found = {path.nodes: path.term for path in PathSet(level, losses, target)}
        assert set(found) == set(groups)
        for nodes, term in groups.items():
            np.testing.assert_array_equal(found[nodes], term.astype(float))


def test_every_op_in_a_traced_graph_is_in_the_table(article):
    assert {op for _, op in article.graph.nodes(data="op") if op is not None} <= set(OPS)
