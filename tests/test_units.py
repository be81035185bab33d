"""Unit paths: counted and ranked without walking them, against every path of small nets walked one by one."""

import itertools
import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from unittest.mock import patch

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import WEIGHTED_SUM, Recipe, integer_dags, recipes

import unrollviz as uz
from unrollviz import charts, composite, jacobians
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.graph import Tracer, contract, level_of_detail, names_of
from unrollviz.ops import OPS
from unrollviz.paths import units as units_module
from unrollviz.paths.neurons import JOINED, Target, derivatives, joined
from unrollviz.paths.units import UnitPaths
from unrollviz.report.units import contribution, units_json, units_text

# ---------------------------------------------------------------- another way: a graph of neurons, walked


def small(cell="elman", steps=2, instances=1, seed=0, **options) -> uz.Run:
    """A net in which no derivative is 0, so that the structure is what is not 0."""
    rng = np.random.default_rng(seed)
    hidden = options.pop("hidden", 2)
    net = uz.Network.init(cell, 2, hidden, 3, seed=seed, **options)
    net = net.replace(**{name: value + rng.normal(size=value.shape) / 3 for name, value in net.params.items()})
    initial = {name: rng.normal(size=(instances, hidden)) / 2 for name in net.initial_states if name not in net.params}
    xs = rng.normal(size=(steps, instances, 2))
    return uz.unroll(net, xs, rng.dirichlet(np.ones(3), (steps, instances)), initial=initial)


def neurons(graph, target) -> nx.MultiDiGraph:
    """Every neuron as a node (name, instance, unit), an edge the other way round for each entry of a local Jacobian
    that is not 0. A parameter and a loss have instance 0."""
    fine = nx.MultiDiGraph()
    for tail, head, jacobian in graph.edges(data="jacobian"):
        blocks = jacobian.matrix()
        for b, i, j in np.argwhere(blocks != 0).tolist():
            of_loss, of_parameter = jacobian.out_shape == (), not jacobian.per_instance
            fine.add_edge(
                (head, 0 if of_loss else b, i), (tail, 0 if of_parameter else b, j), derivative=blocks[b, i, j]
            )
    return fine


def walked(graph, losses, target) -> list[tuple[tuple, float]]:
    """(nodes, contribution) of every path between neurons that is not 0, by recursion."""
    fine = neurons(graph, target)

    def onwards(node):
        if node[0] == target:
            yield (node,), 1.0
        elif node in fine:
            for _, tail, derivative in fine.out_edges(node, data="derivative"):
                for nodes, product in onwards(tail):
                    yield (node, *nodes), derivative * product

    return [path for loss in losses for path in onwards((loss, 0, 0))]


def named(graph, nodes) -> tuple[str, ...]:
    """The names of a walked path's neurons, written out once more."""
    names = []
    for name, instance, unit in nodes:
        value, role = graph.nodes[name]["value"], graph.nodes[name]["role"]
        if value.shape == ():
            names.append(name)
        elif role == "parameter":
            names.append(f"{name}[{','.join(str(int(i)) for i in np.unravel_index(unit, value.shape))}]")
        else:
            names.append(f"{name}[{unit}]" + (f"#{instance + 1}" if len(value) > 1 else ""))
    return tuple(names)


def check_all(run, losses, target):
    """Count, every path's names and contribution, the order and the sum, for one target."""
    paths = run.paths(losses, target, detail="unit")
    graph = run.level("gate", target)
    expected = [(named(graph, nodes), product) for nodes, product in walked(graph, paths.losses, target)]
    assert paths.count == len(expected)
    found = paths.top(10**9)
    assert len(found) == paths.count
    ours = {path.nodes: path.contribution for path in found}
    assert len(ours) == len(expected)
    largest = max((abs(product) for _, product in expected), default=1.0)
    for names, product in expected:
        assert ours[names] == pytest.approx(product, rel=1e-10, abs=1e-13 * largest)
    total = np.zeros(paths.gradient.shape)
    for path in found:
        total[path.index] += path.contribution
    scale = paths.norm_sum
    assert scale == pytest.approx(math.fsum(abs(product) for _, product in expected), rel=1e-10)
    np.testing.assert_allclose(total, run.gradient(target, losses), atol=1e-12 * scale, rtol=0)
    for k in (1, 3, 17):
        check_top(paths, expected, k)


def check_top(paths, expected, k):
    """The k heaviest, by norm and by share, against sorting them all; equally heavy ones in any order."""
    for by in ("norm", "share"):
        found = paths.top(k, by)
        g = paths.gradient.ravel()
        ranked = sorted((abs(product) for _, product in expected), reverse=True)[:k]
        if by == "share":
            shares = [abs(path.share) for path in paths.top(10**9)]
            ranked = sorted(shares, reverse=True)[:k]
            np.testing.assert_allclose([abs(path.share) for path in found], ranked, rtol=1e-10, atol=1e-300)
        else:
            np.testing.assert_allclose([path.norm for path in found], ranked, rtol=1e-10, atol=1e-300)
        assert len({path.nodes for path in found}) == len(found) == min(k, len(expected))
        assert found.coverage == pytest.approx(sum(path.share for path in found), abs=1e-12, nan_ok=True)
        left = g.copy()
        for path in found:
            left[np.ravel_multi_index(path.index, paths.shape)] -= path.contribution
        assert found.residual == pytest.approx(np.linalg.norm(left), abs=1e-12 * paths.norm_sum)
        assert found.exact
        weights = [path.norm if by == "norm" else abs(path.share) for path in found]
        assert found.bound == (weights[-1] if k < len(expected) else 0)
        np.testing.assert_allclose(found.rest.ravel(), left, atol=1e-12 * paths.norm_sum)


ARCHITECTURES = [
    ("elman", {}, ("W", "U", "V", "b", "c", "s1", "x1", "yhat2", "s0", "a2", "logits1")),
    ("elman", {"learn_initial": True}, ("s0", "W")),
    ("elman", {"layers": 2}, ("l1.W", "l2.U", "l1.s1")),
    ("elman", {"bidirectional": True}, ("fwd.W", "bwd.W", "V", "bwd.s2", "x2")),
    ("gru", {}, ("W_n", "W_z", "U_r", "b_hn", "h1", "z1")),
    ("lstm", {}, ("W_f", "U_g", "b_o", "V", "c1", "h1", "c0")),
]


@pytest.mark.parametrize("instances", [1, 2])
@pytest.mark.parametrize(
    ("cell", "options", "target"), [(cell, options, name) for cell, options, names in ARCHITECTURES for name in names]
)
def test_every_unit_path_is_found_counted_and_ranked(cell, options, target, instances):
    check_all(small(cell, instances=instances, **options), None, target)


def test_one_loss_of_a_longer_net():
    check_all(small("elman", steps=4, hidden=3), "L4", "W")
    check_all(small("gru", steps=3), "L3", "W_n")


@given(recipes(steps=st.integers(1, 3), activations=st.sampled_from(["tanh", "sigmoid"])), st.data())
def test_random_nets(recipe, data):
    sizes = {"hidden": min(recipe.hidden, 3), "outputs": max(recipe.outputs, 2)}
    run = replace(recipe, **sizes, targets="distributions", scheme="uniform", scale=min(recipe.scale, 1.0)).unroll()
    check_all(run, f"L{run.steps}", data.draw(st.sampled_from(["W", "U", "V", "b", "c", "s1", "x1"])))


@given(integer_dags(), st.data())
def test_random_graphs_of_whole_numbers(dag, data):
    """Parallel edges, diamonds and parameters used many times, at any level of detail; relu makes derivatives 0."""
    graph = dag.build()
    losses = names_of(graph, "loss")
    target = data.draw(st.sampled_from([*names_of(graph, "parameter"), "x1", "v0"]))
    fixed = {name for name, role in graph.nodes(data="role") if role != "hidden"}
    landmarks = fixed | set(data.draw(st.lists(st.sampled_from(list(graph))))) | {target}
    for level in (graph, contract(graph, landmarks), level_of_detail(graph, "gate", [target])):
        paths = UnitPaths(level, losses, Target(target))
        if paths.count > 3000:
            continue
        found = paths.top(10**9)
        assert len(found) == paths.count
        expected = [(named(level, nodes), product) for nodes, product in walked(level, losses, target)]
        ours = [(path.nodes, path.contribution) for path in found if path.contribution != 0]
        assert Counter(ours) == Counter(expected)
        total = np.zeros(paths.gradient.shape)
        for path in found:
            total[path.index] += path.contribution
        np.testing.assert_array_equal(total, paths.gradient)
        for k in (1, 2, 5):
            assert [path.norm for path in paths.top(k)] == sorted((path.norm for path in found), reverse=True)[:k]


def test_units_that_an_edge_does_not_join():
    """y = [P a; a] depends on a_j by all of P a and by one other unit. Some derivatives of relu are 0: their paths are
    not to be taken for paths that do not exist."""
    tracer = Tracer()
    weight = tracer.leaf("P", np.arange(1.0, 10.0).reshape(3, 3), "parameter")
    tracer.time = 1
    x = tracer.leaf("x1", np.array([[1.0, -2.0, 3.0]]), "input")
    a = tracer.apply("relu", x, name="s", role="state")
    y = tracer.apply("concat", weight @ a, a, name="y", role="state")
    with patch.dict(OPS, {WEIGHTED_SUM.name: WEIGHTED_SUM}):
        tracer.apply("weighted_sum", y, name="L", role="loss", weights=np.array([[1.0, 0.0, 2.0, 0.0, 5.0, 7.0]]))
    graph = contract(tracer.graph, {"L1", "y1", "s1", "x1", "P"})
    joined_units = [(i, j) for i in range(6) for j in range(3) if i < 3 or i - 3 == j]
    for k in (5, 12, 99):
        found = UnitPaths(graph, ["L1"], Target("x1")).top(k)
        names = {("L1", f"y1[{i}]", f"s1[{j}]", f"x1[{j}]") for i, j in joined_units}
        assert {path.nodes for path in found} <= names
        assert len({path.nodes for path in found}) == len(found) == min(k, 12)
        assert [path.contribution for path in found] == [18, 14, 7, 3, 1, *[0] * 7][:k]
        assert found.coverage == pytest.approx(1)
    assert UnitPaths(graph, ["L1"], Target("x1")).count == 12
    assert UnitPaths(graph, ["L1"], Target("P")).count == 9


# ---------------------------------------------------------------- counts


def kinds_of(base):
    """Every class of Jacobian that the modules still know (a dataclass with slots leaves its first draft behind)."""
    for kind in base.__subclasses__():
        if any(getattr(module, kind.__name__, None) is kind for module in (jacobians, charts, composite)):
            yield kind
            yield from kinds_of(kind)


def test_every_kind_of_jacobian_says_which_units_it_joins():
    kinds = set(kinds_of(jacobians.Jacobian))
    assert len(kinds) >= 11
    assert kinds <= set(JOINED)


def test_a_kind_without_a_rule_is_named():
    class Unheard(jacobians.Identity):
        pass

    class Strange(jacobians.Jacobian):
        out_shape = in_shape = (1, 1)

        def vjp(self, cotangents):
            return cotangents

        jvp = vjp

    assert joined(Unheard((1, 2))) is joined(jacobians.Identity((1, 2)))
    with pytest.raises(TypeError, match="Strange"):
        joined(Strange())


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_the_structure_is_what_is_not_0_and_derivatives_are_the_matrices(cell):
    run = small(cell, instances=2, bidirectional=True, layers=2)
    seen = set()
    for detail in ("op", "gate"):
        for _, _, jacobian in run.level(detail).edges(data="jacobian"):
            plain = jacobian.jacobian if isinstance(jacobian, charts.InChart) else jacobian
            seen |= {type(plain), type(jacobian)}
            joins, blocks = joined(jacobian).joins, plain.matrix()
            columns = 1 if jacobian.per_instance else math.prod(jacobian.in_shape[1:])
            for block in blocks:
                np.testing.assert_array_equal(block != 0, np.repeat(joins, columns, axis=1))
            for b, i in itertools.product(range(len(blocks)), range(blocks.shape[1])):
                if jacobian.out_shape != () or jacobian.per_instance:
                    np.testing.assert_allclose(derivatives(jacobian, b, i), blocks[b, i], rtol=1e-13)
    assert {composite.Composite, charts.InChart, jacobians.Columns, jacobians.Softmax, jacobians.Outer} <= seen


@pytest.mark.parametrize(
    ("d", "k", "n", "t", "B"),
    [(1, 1, 1, 1, 1), (2, 3, 4, 3, 1), (3, 2, 2, 4, 2), (5, 1, 2, 7, 3), (16, 27, 10, 60, 1)],
)
def test_an_elman_net_has_as_many_as_the_closed_formula(d, k, n, t, B):
    """L_t, then one of k outputs, one of d units at each of lag + 1 states, one of the last one's d (or n) weights; in
    each of B instances. To a given entry the last state is given, and so is the weight."""
    rng = np.random.default_rng(0)
    net = uz.Network.init("elman", n, d, k, seed=0)
    run = uz.unroll(net, rng.normal(size=(t, B, n)), rng.integers(0, k, (t, B)))
    lags = range(t)
    to = {
        "W": sum(B * k * d ** (lag + 2) for lag in lags),
        "U": sum(B * k * d ** (lag + 1) * n for lag in lags),
        "b": sum(B * k * d ** (lag + 1) for lag in lags),
        "V": B * k * k * d,
        "c": B * k * k,
        "s1": B * k * d**t,
        "x1": B * k * d**t * n,
        "W[0,0]": sum(B * k * d**lag for lag in lags),
        "V[0,0]": B * k,
        "s1[0]": B * k * d ** (t - 1),
        f"s1[0]#{B}": k * d ** (t - 1),
        f"x1#{B}": k * d**t * n,
        "L": 0,
    }
    del to["L"]
    for name, count in to.items():
        assert run.paths(f"L{t}", name, detail="unit").count == count
    assert run.paths(to="c", detail="unit").count == t * B * k * k


def test_an_lstm_s_count_at_100_steps_is_instant_and_a_python_integer():
    run = small("lstm", steps=100, hidden=8)
    count = run.paths(to="W_f", detail="unit").count
    assert isinstance(count, int)
    assert count > 10**100
    run = small("lstm", steps=20, hidden=8)
    each = [run.paths(f"L{t}", "W_f", detail="unit").count for t in range(1, 21)]
    assert run.paths(to="W_f", detail="unit").count == sum(each)


def test_where_no_path_leads():
    paths = small().paths("L1", "x2", detail="unit")
    assert paths.count == 0
    assert len(paths.top(3)) == 0
    assert paths.top(3).residual == paths.total_norm == 0


# ---------------------------------------------------------------- one entry


@pytest.mark.parametrize("name", ["W[0,1]", "V[2,0]", "b[1]", "s1[0]", "s1[1]#2", "s1#2", "yhat2[2]#1", "x1[0]"])
@pytest.mark.parametrize("by", ["norm", "share"])
def test_an_entry_has_the_paths_that_end_in_it(name, by):
    run = small(steps=3, instances=2)
    target = Target.named(name)
    whole = run.paths(to=target.node, detail="unit")
    entry = run.paths(to=name, detail="unit")
    place = target.place(whole.shape, whole.shared)
    assert str(target) == name
    np.testing.assert_array_equal(entry.gradient, run.gradient(target.node)[place])
    inside = np.zeros(whole.shape, dtype=bool)
    inside[place] = True
    expected = {path.nodes: path.contribution for path in whole.top(10**9) if inside[path.index]}
    found = entry.top(10**9, by)
    assert entry.count == len(expected)
    assert {path.nodes: path.contribution for path in found} == pytest.approx(expected, rel=1e-12)
    assert found.coverage == pytest.approx(1, abs=1e-11)
    assert found.residual == pytest.approx(0, abs=1e-12)
    assert [p.nodes for p in entry.top(3, by)] == [p.nodes for p in found[:3]]
    if entry.gradient.shape == ():
        for path in found:
            assert path.share == pytest.approx(path.contribution / float(entry.gradient), rel=1e-12)
    heaviest = [path.norm if by == "norm" else abs(path.share) for path in found]
    assert heaviest == sorted(heaviest, reverse=True)


def test_what_a_path_says_of_itself(article):
    path = article.paths("L4", "W[0,2]", detail="unit").top(3)[0]
    assert path.nodes[0] == path.loss == "L4"
    assert path.nodes[-1] == path.weight == "W[0,2]"
    assert path.index == (0, 2)
    assert path.nodes[-2] == f"s{path.entry}[0]"
    assert path.lag == 4 - path.entry
    assert len(path.factors) == len(path.nodes) - 1
    assert path.contribution == pytest.approx(math.prod(path.factors), rel=1e-13)
    assert path.log10 == pytest.approx(math.log10(path.norm))
    yhat, target = article.graph.nodes["yhat4"]["value"], article.targets[3]
    unit = int(path.nodes[1][6])
    assert path.factors[0] == pytest.approx(-target[0, unit] / yhat[0, unit])
    assert path.factors[-1] != article.graph.nodes["W"]["value"][0, 2]


def test_shares_of_a_whole_are_signed_and_add_up_to_1(article):
    paths = article.paths(to="W", detail="unit")
    found = paths.top(10**9, by="share")
    g = paths.gradient
    for path in found[:50]:
        assert path.share == pytest.approx(path.contribution * g[path.index] / (g * g).sum(), rel=1e-12)
    assert found.coverage == pytest.approx(1, abs=1e-12)
    assert min(path.share for path in found) < 0
    norms = [path.norm for path in paths.top(10**9)]
    assert norms == sorted(norms, reverse=True)
    assert [p.nodes for p in paths.top(9, "share")] != [p.nodes for p in paths.top(9)]
    assert paths.cancellation == pytest.approx(math.fsum(p.norm for p in found) / np.linalg.norm(g))


def test_an_lstm_s_path_shows_its_gates():
    nodes = {path.nodes for path in small("lstm", steps=2).paths("L2", "W_f", detail="unit").top(10**9)}
    assert any(any(name.startswith("o2[") for name in path) for path in nodes)
    assert all(path[-2].startswith("f") for path in nodes)


# ---------------------------------------------------------------- where numbers end


def exactly(path) -> Fraction:
    """The contribution, of factors that are none at ŷ."""
    return math.prod(map(Fraction, path.factors), start=Fraction(1))


def test_vanishing_paths_keep_their_logarithm_and_their_share():
    recipe = Recipe(steps=60, hidden=2, scale=1e-6, activation="tanh", instances=1)
    paths = recipe.unroll().paths("L60", "x1", detail="unit")
    found = paths.top(5)
    assert paths.total_norm == 0
    assert paths.log10_total_norm < -340
    for path in found:
        logs = math.fsum(math.log10(abs(factor)) for factor in path.factors)
        assert path.log10 == pytest.approx(logs, rel=1e-12)
        assert path.log10 < -340
        assert path.contribution == 0
        assert 1e-4 < abs(path.share) < 1e4
    assert [path.log10 for path in found] == sorted((path.log10 for path in found), reverse=True)
    assert "e-3" in contribution(found[0])
    assert len({path.nodes for path in found}) == 5


@pytest.mark.parametrize(("factor", "steps"), [(1e-80, 5), (1e-78, 5), (1e-170, 3), (1.0, 4)])
@pytest.mark.parametrize("target", ["s1", "s1[1]", "b"])
def test_where_the_gradient_vanishes_shares_order_and_rest_are_those_of_exact_numbers(factor, steps, target):
    net = uz.Network.init("elman", 2, 2, 2, "identity", seed=1)
    net = net.replace(W=net.params["W"] * factor, b=np.array([0.1, -0.2]))
    rng = np.random.default_rng(0)
    run = uz.unroll(net, rng.normal(size=(steps, 2)) / 9, rng.normal(size=(steps, 2)), loss="squared_error")
    paths = run.paths(f"L{steps}", target, detail="unit")
    everything = paths.top(10**5)
    gradient: Counter = Counter()
    for path in everything:
        gradient[path.index] += exactly(path)
    square = sum(g * g for g in gradient.values())
    assert paths.log10_total_norm == pytest.approx(logarithm(square) / 2, abs=1e-12)
    assert paths.cancellation**2 == pytest.approx(float(sum(map(abs, map(exactly, everything))) ** 2 / square))
    assert paths.log10_cancellation == pytest.approx(math.log10(paths.cancellation), abs=1e-12)
    share = {path.nodes: exactly(path) * gradient[path.index] / square for path in everything}
    heaviest = sorted(map(abs, share.values()), reverse=True)
    for k in (1, 3, len(everything)):
        found = paths.top(k, "share")
        assert [abs(share[path.nodes]) for path in found] == pytest.approx(heaviest[:k], rel=1e-12)
        assert [path.share for path in found] == pytest.approx([float(share[path.nodes]) for path in found], rel=1e-10)
        assert found.bound == (abs(found[-1].share) if k < paths.count else 0)
        assert found.coverage == pytest.approx(float(sum(share[path.nodes] for path in found)))
        rest = gradient.copy()
        for path in found:
            rest[path.index] -= exactly(path)
        left = 10 ** (found.left.log10_norm - paths.log10_total_norm)
        assert left**2 == pytest.approx(float(sum(g * g for g in rest.values()) / square), abs=1e-12)


def logarithm(number: Fraction) -> float:
    return math.log10(number.numerator) - math.log10(number.denominator)


def test_what_is_said_of_a_vanished_gradient_is_said_by_logarithms():
    recipe = Recipe(steps=60, hidden=2, scale=1e-6, activation="tanh", instances=1)
    run = recipe.unroll()
    lines, told = (say(run.paths("L60", "x1", detail="unit"), 2, "share") for say in (units_text, units_json))
    assert "–" not in lines[4] and "e-3" in lines[4]
    coverage, kappa = lines[-3:-1]
    assert coverage.count("e-3") == 2 and "–" not in coverage
    assert float(kappa.rpartition("= ")[2]) >= 1
    assert told["total_norm"] == told["top"]["residual_norm"] == 0
    assert told["log10_total_norm"] < -340
    assert told["top"]["log10_residual_norm"] <= told["log10_total_norm"] + 1
    assert told["cancellation"] == pytest.approx(10 ** told["log10_cancellation"])
    assert told["top"]["coverage"] == pytest.approx(sum(path["share"] for path in told["paths"]))


def test_an_instance_vanishes_beside_one_that_does_not():
    """One instance goes through the one unit, the other through the other: each has what it has where it is alone."""
    net = uz.Network.init("elman", 2, 2, 2, "relu", seed=0)
    net = net.replace(W=np.diag([1.0, 1e-3]), U=np.eye(2), b=np.full(2, -0.5))
    xs = np.tile(np.eye(2), (120, 1, 1))
    both = uz.unroll(net, xs, np.ones((120, 2, 2)), loss="squared_error")
    alone = uz.unroll(net, xs[:, 1], np.ones((120, 2)), loss="squared_error")
    paths, theirs = (run.paths("L120", to, detail="unit") for run, to in ((both, "s1#2"), (alone, "s1")))
    assert both.paths("L120", "s1", detail="unit").total_norm > 0.1
    assert paths.log10_total_norm == pytest.approx(theirs.log10_total_norm - math.log10(2))  # a loss is their mean
    assert paths.log10_total_norm < -340
    assert paths.cancellation == pytest.approx(theirs.cancellation)
    assert [p.share for p in paths.top(2, "share")] == pytest.approx([p.share for p in theirs.top(2, "share")])


def nilpotent(factor: float) -> uz.Run:
    """W² = 0: the paths are as heavy as one likes, and cancel but for those that go through W once."""
    net = uz.Network.init("elman", 1, 2, 2, "identity", seed=0)
    weights = {"W": factor * np.array([[1.0, 1.0], [-1.0, -1.0]]), "V": np.array([[1.0, 2.0], [3.0, 5.0]])}
    net = net.replace(**weights, U=np.ones((2, 1)), b=np.zeros(2))
    return uz.unroll(net, np.ones((201, 1)), np.zeros((201, 2)), loss="squared_error")


def test_sums_and_shares_that_no_float64_holds_are_told_by_their_logarithms():
    one, other = (nilpotent(factor).paths("L201", "b", detail="unit") for factor in (1.0, 2.0**10))
    assert math.isfinite(one.cancellation)
    assert other.norm_sum == other.cancellation == math.inf
    at_lag_0 = nilpotent(2.0**10).paths("L201", "s201", detail="unit").norm_sum
    exact = math.log10(at_lag_0) + math.log10(sum(2 ** (11 * lag) for lag in range(201)))
    assert other.log10_cancellation + other.log10_total_norm == pytest.approx(exact)
    found = other.top(4)
    assert [path.norm for path in found] == [math.inf] * 4
    assert found[0].log10 == pytest.approx(found[3].log10)
    assert math.isnan(found.coverage)
    assert found.left.log10_norm == pytest.approx(other.log10_total_norm)
    lines = units_text(nilpotent(2.0**10).paths("L201", "b", detail="unit"), 4, "norm")
    assert "e+6" in lines[4]
    assert "e+6" in lines[-2]


def test_vanishing_paths_are_ranked_as_their_scaled_likes_are():
    """W times 2^-n makes a path of the identity net 2^-n·lag times as heavy, and changes no order within a lag."""
    rng = np.random.default_rng(3)
    net = uz.Network.init("elman", 2, 3, 2, "identity", seed=1)
    xs, targets = rng.normal(size=(40, 2)) / 9, rng.dirichlet(np.ones(2), 40)
    scaled = net.replace(W=net.params["W"] * 2.0**-40, V=net.params["V"], b=0 * net.params["b"])
    plain = net.replace(b=0 * net.params["b"])
    ours = uz.unroll(scaled, xs, targets).paths("L40", "s1", detail="unit").top(12)
    theirs = uz.unroll(plain, xs, targets).paths("L40", "s1", detail="unit").top(12)
    tail = [path.nodes[2:] for path in theirs]
    assert [path.nodes[2:] for path in ours] == tail
    assert ours[0].log10 < -400


def test_paths_that_differ_in_the_last_digit_are_in_order():
    """Their logarithms are equal, the products are not."""
    rng = np.random.default_rng(0)
    steps = rng.permutation(64).reshape(8, 8)
    net = uz.Network.init("elman", 1, 8, 2, "identity", seed=0)
    net = net.replace(W=1e-5 * (1 + steps * 2.0**-52), V=np.ones((2, 8)), c=np.array([0.5, -0.5]))
    run = uz.unroll(net, np.zeros((3, 1)), np.zeros((3, 2)), loss="squared_error")
    paths = run.paths("L3", "s1", detail="unit")
    norms = [path.norm for path in paths.top(10**6)]
    shares = [abs(path.share) for path in paths.top(10**6, "share")]
    assert len(norms) == 2 * 8**3
    assert len(set(norms)) > 20
    assert norms == sorted(norms, reverse=True)
    assert shares == sorted(shares, reverse=True)


def test_outputs_that_are_sure_and_wrong():
    """ŷ underflows to 0 where the target is: ∂L/∂ŷ = -1/0, yet the paths through it are finite and add up."""
    rng = np.random.default_rng(0)
    net = uz.Network.init("elman", 2, 3, 3, seed=0)
    net = net.replace(V=net.params["V"] * 3000, c=net.params["c"])
    run = uz.unroll(net, rng.normal(size=(3, 2)), rng.integers(0, 3, 3))
    assert any((run.graph.nodes[f"yhat{t}"]["value"] == 0).any() for t in (1, 2, 3))
    paths = run.paths(to="W", detail="unit")
    found = paths.top(10**9)
    total = np.zeros((3, 3))
    for path in found:
        assert math.isfinite(path.contribution)
        total[path.index] += path.contribution
    assert any(math.isinf(path.factors[0]) for path in found)
    np.testing.assert_allclose(total, run.gradient("W"), atol=1e-12 * paths.norm_sum)
    assert np.abs(run.gradient("W")).max() > 1


@pytest.mark.parametrize("target", ["bwd.s0", "bwd.W", "fwd.W", "V", "fwd.s1"])
@pytest.mark.parametrize("readout", ["every", "last"])
def test_sequences_of_unequal_length(target, readout):
    """Where an instance has ended, derivatives are 0: there are such paths, and they add nothing."""
    rng = np.random.default_rng(0)
    net = uz.Network.init("elman", 2, 2, 3, seed=0, bidirectional=True, learn_initial=True)
    options = {"lengths": [3, 1], "readout": readout}
    run = uz.unroll(net, rng.normal(size=(3, 2, 2)), rng.integers(0, 3, (3, 2)), **options)
    paths = run.paths(to=target, detail="unit")
    found = paths.top(10**9)
    total = np.zeros(paths.gradient.shape)
    for path in found:
        total[path.index] += path.contribution
    assert len({path.nodes for path in found}) == len(found) == paths.count
    assert 0 < sum(path.contribution != 0 for path in found) < len(found)
    np.testing.assert_allclose(total, run.gradient(target), atol=1e-12 * paths.norm_sum)


def test_paths_that_add_nothing_are_still_paths():
    net = uz.Network.init("elman", 2, 3, 3, "relu", seed=0)
    net = net.replace(b=np.array([-100.0, 0.1, 0.1]))
    run = uz.unroll(net, np.ones((3, 2)), [0, 1, 2])
    paths = run.paths("L3", "W", detail="unit")
    found = paths.top(10**9)
    assert paths.count == len(found) == 3 * (9 + 27 + 81)
    silent = [path for path in found if path.contribution == 0]
    assert 0 < len(silent) < len(found)
    assert {path.log10 for path in silent} == {-math.inf}
    assert list(found[-len(silent) :]) == silent


# ---------------------------------------------------------------- refusals


def test_refusals_say_what_to_do(article):
    for name, words in (
        ("W[3,0]", r"W\[0,0\] to W\[2,2\]"),
        ("W[0]", "no entry of W"),
        ("b[0,0]", "no entry of b"),
        ("s1[3]", r"s1\[0\] to s1\[2\]"),
        ("s1[0]#2", "#1 to #1"),
        ("s1[0]#0", "#1 to #1"),
        ("W[0,0]#1", "shared by all"),
        ("w[0,0]", "did you mean W"),
        ("W[0,0", "unknown parameter or node"),
        ("W[-1,0]", "unknown parameter or node"),
        ("L4[0]", "is a loss"),
    ):
        with pytest.raises(UnrollvizError, match=words):
            article.paths(to=name, detail="unit")
    with pytest.raises(UnknownName, match="norm"):
        article.paths(to="W", detail="unit").top(3, by="weight")
    with pytest.raises(UnrollvizError, match=r"W\[0,0\] is one entry of a node; .*detail unit"):
        article.paths(to="W[0,0]")


def test_too_much_memory_is_refused_before_work_starts(article, monkeypatch):
    paths = article.paths(to="W", detail="unit")
    monkeypatch.setattr(units_module, "_Search", None)
    monkeypatch.setattr(units_module, "MEMORY_LIMIT", 2**17)
    with pytest.raises(UnrollvizError, match=r"2,000 heaviest of 6,444 unit paths to W .*W\[0,0\]"):
        paths.top(2000)
    big = small("lstm", steps=100, hidden=8).paths(to="W_f", detail="unit")
    monkeypatch.undo()
    with pytest.raises(UnrollvizError, match="GiB, the limit is 1 GiB"):
        big.top(10**7)


# ---------------------------------------------------------------- what is printed


@pytest.mark.parametrize(
    ("value", "log10", "wanted"),
    [
        (-0.25, math.log10(0.25), "-0.2500"),
        (-0.0, -math.inf, "0.0000"),
        (-0.0, -340.00001, "-1.000e-340"),
        (0.0, -340.5, "3.162e-341"),
        (-5e-324, -323.4, "-3.981e-324"),
    ],
)
def test_a_contribution_is_written_with_its_sign_however_small(article, value, log10, wanted):
    path = article.paths("L4", "W", detail="unit").top(1)[0]
    assert contribution(replace(path, contribution=value, log10=log10)) == wanted


def test_the_table_and_the_object(article):
    lines = units_text(article.paths("L4", "W", detail="unit"), 5, "norm")
    assert lines[0] == "∂L₄/∂W: the heaviest of 1,440 paths from neuron to neuron, by |contribution|"
    assert "L₄ → ŷ₄[2] → s₄[2]" in lines[4]
    assert lines[8].startswith("    5  ")
    assert any(line.startswith("coverage     +") for line in lines)
    assert lines[-1].startswith("certificate  exact: no path was missed")
    assert units_text(article.paths("L4", "W", detail="unit"), 5, "share")[0].endswith("by |share|")
    found = units_json(article.paths("L4", "W[0,2]", detail="unit"), 4, "share")
    assert (found["param"], found["shape"], found["count"]) == ("W[0,2]", [], 160)
    assert (found["top"]["by"], found["top"]["exact"]) == ("share", True)
    assert found["top"]["bound"] == abs(found["paths"][-1]["share"])
    assert len(found["paths"]) == 4
    first = found["paths"][0]
    assert first["weight"] == first["nodes"][-1] == "W[0,2]"
    assert abs(first["contribution"]) == first["norm"]
    assert first["contribution"] == pytest.approx(math.prod(first["factors"]))
    assert found["top"]["coverage"] == pytest.approx(sum(path["share"] for path in found["paths"]))
    assert "no path leads" in units_text(article.paths("L1", "x2", detail="unit"), 3, "norm")[0]
    assert units_text(article.paths("L1", "c[0]", detail="unit"), 99, "norm")[0].startswith("∂L₁/∂c[0]: 4 paths")
    assert units_text(article.paths("L4", "W", detail="unit"), 0, "norm")[0] == lines[0]
