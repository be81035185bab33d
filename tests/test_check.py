"""The proof itself: it passes what is right, and every fault put into the code on purpose makes it fail."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Recipe, bounded, recipes

import unrollviz as uz
from unrollviz import check as check_module
from unrollviz import classes, composite, jacobians, ops, sweep
from unrollviz.check import BOUNDS, Comparison, Report, relative
from unrollviz.errors import UnknownName
from unrollviz.flows import summed as summed_module
from unrollviz.jacobians import Diagonal, Outer
from unrollviz.paths import pathset as paths


@pytest.fixture
def run() -> uz.Run:
    """Square W and V, two instances, so that no fault hides behind a shape."""
    return Recipe(steps=4, inputs=3, hidden=3, outputs=3, instances=2, seed=7).unroll()


# ---------------------------------------------------------------- what is right passes


@given(recipe=recipes())
def test_random_networks_pass(recipe):
    report = recipe.unroll().check()
    assert report.ok, report.worst
    assert [comparison.param for comparison in report.comparisons] == list("UWbVc")
    assert all(comparison.enumerated for comparison in report.comparisons)


@pytest.mark.parametrize("sure", [3.0, 8.0, 15.0, 30.0, 100.0, 700.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_network_that_is_sure_of_its_answers_passes(sure, seed):
    """As after training: losses near 0, of which rounding must not make noise."""
    recipe = Recipe(steps=5, outputs=3, seed=seed)
    net = recipe.network()
    run = uz.unroll(
        net.replace(c=net.params["c"] + [sure, 0.0, 0.0]), recipe.unroll().inputs, np.zeros((5, 2), dtype=int)
    )
    report = run.check()
    assert report.ok, report.worst


@pytest.mark.parametrize("V", [0.0, 1e-14, 1e-6, 1e-3])
@pytest.mark.parametrize("seed", range(3))
def test_a_network_at_its_optimum_passes(V, seed):
    """ŷ = p but for a little: the gradient is what is left after everything cancels."""
    recipe = Recipe(steps=3, outputs=4, seed=seed)
    p = np.random.default_rng(seed).dirichlet(np.ones(4)) if seed else np.full(4, 0.25)
    net = recipe.network()
    net = net.replace(V=V * net.params["V"], c=np.log(p))
    report = uz.unroll(net, recipe.unroll().inputs, np.broadcast_to(p, (3, 2, 4))).check()
    assert report.ok, report.worst


@pytest.mark.parametrize("size", [1e-12, 1e-6, 1e-3, 30.0, 1000.0])
def test_small_and_large_inputs_pass(size):
    for activation in ("tanh", "sigmoid", "identity", "relu"):
        recipe = Recipe(activation=activation, seed=3, scale=0.5)
        run = uz.unroll(recipe.network(), size * recipe.unroll().inputs, recipe.unroll().targets)
        report = run.check()
        assert report.ok, (activation, report.worst)


def test_logits_of_1000_pass():
    recipe = Recipe(seed=5)
    net = recipe.network()
    run = uz.unroll(net.replace(c=np.array([1000.0, 0.0, -1000.0])), recipe.unroll().inputs, recipe.unroll().targets)
    assert run.check().ok


def test_a_long_sequence_passes_though_its_paths_are_not_enumerated():
    run = Recipe(steps=450, inputs=1, hidden=2, outputs=2, instances=1, seed=1).unroll()
    report = run.check(["W"])
    (comparison,) = report.comparisons
    assert comparison.paths == 450 * 451 // 2
    assert not comparison.enumerated
    assert comparison.directions == 4, "a forward pass apiece"
    assert report.ok, report.worst


def test_sums_by_temporal_components_are_as_good_as_sums_over_paths(monkeypatch, run):
    monkeypatch.setattr(check_module, "ENUMERATED", 3)
    report = run.check()
    assert report.ok, report.worst
    assert [comparison.enumerated for comparison in report.comparisons] == [False] * 5


# ---------------------------------------------------------------- what the report says


def test_the_report_gives_every_figure(run):
    report = run.check()
    assert [(c.param, c.paths) for c in report.comparisons] == [("U", 10), ("W", 10), ("b", 10), ("V", 4), ("c", 4)]
    assert [c.directions for c in report.comparisons] == [9, 9, 3, 9, 3]
    assert all(set(c.errors) == set(BOUNDS) for c in report.comparisons)
    assert report.worst == {method: max(c.errors[method] for c in report.comparisons) for method in BOUNDS}
    assert BOUNDS["paths_vs_reverse"] == BOUNDS["forward_vs_reverse"] == 1e-13
    assert BOUNDS["finite_difference"] <= 1e-6


def test_some_parameters_may_be_asked_for_and_progress_is_told(run):
    told = []
    report = run.check(["V", "b"], progress=told.append)
    assert told == [comparison.param for comparison in report.comparisons] == ["V", "b"]


@pytest.mark.parametrize("name", ["w", "s1", "L1", "x1"])
def test_what_is_no_parameter_is_refused(run, name):
    with pytest.raises(UnknownName, match="parameter"):
        run.check([name])


def test_large_parameters_are_checked_along_random_directions():
    run = Recipe(steps=2, inputs=9, hidden=9, outputs=2).unroll()
    report = run.check(["W", "b"])
    assert [c.directions for c in report.comparisons] == [64, 9]
    assert report.ok


def test_a_direction_across_a_kink_is_left_out_and_counted():
    """a = 0 exactly: relu has no derivative there."""
    net = uz.Network("elman", {"U": [[1.0]], "W": [[0.5]], "b": [0.0], "V": [[1.0], [-1.0]], "c": [0, 0]}, "relu")
    report = uz.unroll(net, [[0.0], [1.0]], [0, 1]).check()
    kinks = {comparison.param: comparison.kinks for comparison in report.comparisons}
    assert kinks["b"] == 1
    assert kinks["V"] == kinks["c"] == 0
    assert report.ok


def test_smooth_activations_leave_nothing_out():
    for activation in ("tanh", "sigmoid", "identity"):
        report = Recipe(activation=activation, scale=3.0).unroll().check()
        assert all(comparison.kinks == 0 for comparison in report.comparisons)


def test_relative():
    assert relative(np.array([0.0, -3.0]), 2.0) == 1.5
    assert relative(np.zeros(2), 0.0) == 0.0
    assert relative(np.array([1e-300]), 0.0) == np.inf
    assert relative(np.array([0.0, np.nan]), 1.0) == np.inf
    assert relative(np.array([np.inf]), 1.0) == np.inf


@pytest.mark.parametrize("method", BOUNDS)
@pytest.mark.parametrize("error", [1.01, np.inf, np.nan])
@pytest.mark.parametrize("place", [0, 1])
def test_one_bad_figure_anywhere_is_not_ok(method, error, place):
    good = dict.fromkeys(BOUNDS, 0.0)
    errors = [dict(good), dict(good)]
    errors[place][method] = error * BOUNDS[method]
    report = Report(tuple(Comparison("W", 1, True, each, 1, 0) for each in errors))
    assert not report.ok
    errors[place][method] = BOUNDS[method]
    assert Report(tuple(Comparison("W", 1, True, each, 1, 0) for each in errors)).ok


# ---------------------------------------------------------------- faults put in on purpose

KINDS = ["Identity", "Broadcast", "Diagonal", "Dense", "Outer", "Softmax", "Gradient"]
SUMMED_BY_VJP = [kind for kind in KINDS if kind != "Outer"]  # sums of outer products are formed by TermSum


def failing(run: uz.Run) -> set[str]:
    report = run.check()
    methods = {method for method, error in report.worst.items() if not error <= BOUNDS[method]}
    assert report.ok == (not methods)
    return methods


def test_without_a_fault_nothing_fails(run):
    assert failing(run) == set()


@pytest.mark.parametrize("factor", [-1.0, 2.0, 1.0 + 1e-9])
@pytest.mark.parametrize("kind", SUMMED_BY_VJP)
def test_a_wrong_vjp_of_any_kind_is_found(monkeypatch, run, kind, factor):
    cls = getattr(jacobians, kind)
    right = cls.vjp
    monkeypatch.setattr(cls, "vjp", lambda self, cotangents: factor * right(self, cotangents))
    assert "forward_vs_reverse" in failing(run)


def test_a_wrong_sum_of_outer_products_is_found(monkeypatch, run):
    right = summed_module.TermSum._multiply

    def wrong(self):
        right(self)
        self._total *= 1.0 + 1e-9

    monkeypatch.setattr(summed_module.TermSum, "_multiply", wrong)
    assert "forward_vs_reverse" in failing(run)


def test_a_wrong_vjp_of_an_outer_product_is_found_by_the_sum_of_single_terms(monkeypatch, run):
    right = Outer.vjp
    monkeypatch.setattr(Outer, "vjp", lambda self, cotangents: (1.0 + 1e-9) * right(self, cotangents))
    found = run.paths(to="W")
    assert relative(sum(path.term for path in found) - found.gradient, found.norm_sum) > 1e-13


@pytest.mark.parametrize("factor", [-1.0, 2.0, 1.0 + 1e-9])
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_jvp_of_any_kind_is_found(monkeypatch, run, kind, factor):
    cls = getattr(jacobians, kind)
    right = cls.jvp
    monkeypatch.setattr(cls, "jvp", lambda self, tangents: factor * right(self, tangents))
    assert "forward_vs_reverse" in failing(run)


@pytest.mark.parametrize("kind", KINDS)
def test_a_jvp_that_is_not_a_number_is_found(monkeypatch, run, kind):
    cls = getattr(jacobians, kind)
    right = cls.jvp
    monkeypatch.setattr(cls, "jvp", lambda self, tangents: np.nan * right(self, tangents))
    assert "forward_vs_reverse" in failing(run)


def test_jacobians_in_the_wrong_order_are_found(monkeypatch, run):
    """Wᵀ for W: the product of the factors from the wrong side. All shapes still fit."""
    monkeypatch.setattr(
        jacobians.Dense,
        "vjp",
        lambda self, cotangents: (cotangents.reshape(-1, self.weight.shape[0]) @ self.weight.T).reshape(
            cotangents.shape
        ),
    )
    assert "forward_vs_reverse" in failing(run)


@pytest.mark.parametrize("factor", [2.0, 1.0 + 1e-4])
@pytest.mark.parametrize("op", ["tanh", "matvec", "cross_entropy"])
def test_a_slope_that_is_wrong_in_every_mode_is_found_by_differences(monkeypatch, op, factor):
    """Both modes use the same wrong slope and agree; only the loss itself knows better."""
    right = ops.OPS[op]

    def scaled(y, *values, **constants):
        found = right.jacobians(y, *values, **constants)
        changed = {
            "tanh": lambda j: Diagonal(factor * j.slope),
            "matvec": lambda j: Outer(factor * j.x, j.units) if isinstance(j, Outer) else j,
            "cross_entropy": lambda j: jacobians.Gradient(factor * j.row),
        }
        return tuple(changed[op](jacobian) for jacobian in found)

    wrong = ops.Op(op, right.formula, right.forward, scaled, right.chart, right.reads_chart, right.smooth)
    monkeypatch.setitem(ops.OPS, op, wrong)
    run = Recipe(steps=4, instances=2, seed=7).unroll()
    assert failing(run) == {"finite_difference"}


@pytest.mark.parametrize("rank", range(10))
def test_any_single_path_that_is_dropped_is_found(monkeypatch, run, rank):
    right = paths._Order.fold

    def without(self, start, stop):
        fold = right(self, start, stop)

        def cross(labels, edge):
            behind, keep = fold.cross(labels, edge)
            return behind, keep & ~((behind == rank) & (self.ways[edge.tail] == 1))

        return sweep.Fold(seed=fold.seed, cross=cross, distinct=True)

    monkeypatch.setattr(paths._Order, "fold", without)
    report = run.check(["W"])
    assert report.worst["paths_vs_reverse"] > BOUNDS["paths_vs_reverse"]
    assert not report.ok
    found = run.paths(to="W")
    assert np.abs(found.sum() - found.gradient).max() > 1e-13 * found.norm_sum, "and by the sum on its own"


def test_a_path_counted_twice_is_found(monkeypatch, run):
    right = paths.PathSet._spans

    def twice(self):
        yield from right(self)
        yield 3, 4

    monkeypatch.setattr(paths.PathSet, "_spans", twice)
    assert "paths_vs_reverse" in failing(run)


@pytest.mark.parametrize("edge", [("W", "s2"), ("s1", "s2"), ("s4", "yhat4"), ("U", "s1"), ("c", "yhat3"), ("b", "s4")])
def test_an_edge_lost_by_the_level_of_detail_is_found(monkeypatch, run, edge):
    right = check_module.level_of_detail

    def without(graph, detail):
        level = right(graph, detail)
        level.remove_edge(*edge)
        return level

    monkeypatch.setattr(check_module, "level_of_detail", without)
    assert "paths_vs_reverse" in failing(run)


@pytest.mark.parametrize("node", ["a2", "W@s1", "V@s3", "logits4"])
def test_an_interior_path_lost_in_a_composite_edge_is_found(monkeypatch, run, node):
    right = composite.Composite._pull

    def without(self, cotangents, edges):
        at = right(self, cotangents, edges)
        return {name: 0 * rows if name == node else rows for name, rows in at.items()}

    monkeypatch.setattr(composite.Composite, "_pull", without)
    assert "paths_vs_reverse" in failing(run)


def test_a_merge_that_forgets_a_stack_is_found(monkeypatch, run):
    """Cotangents that meet at a state: only the first is kept."""
    monkeypatch.setattr(classes.Meeting, "_add", lambda self, low, rows, powers: None)
    assert failing(run) >= {"forward_vs_reverse", "finite_difference"}


def test_backpropagation_cut_short_is_found(run):
    """As `detach` at step 2 would: every mode that walks the graph loses the same paths; the loss does not."""
    run.graph.remove_edge("s2", "W@s2")
    assert failing(run) == {"finite_difference"}


def test_the_state_that_multiplies_w_must_be_the_one_before(run):
    """s_t in place of s_{t-1} in ∂⁺s_t/∂W, a slip seen in the wild."""
    for t in range(1, 5):
        run.graph.edges["W", f"W@s{t - 1}", 0]["jacobian"] = Outer(run.graph.nodes[f"s{t}"]["value"], 3)
    assert failing(run) == {"finite_difference"}


def test_gathered_outer_products_added_to_the_wrong_label_are_found(monkeypatch, run):
    right = summed_module.TermSum._multiply

    def forget(self):
        self._outer = self._outer[:-1]
        right(self)

    monkeypatch.setattr(summed_module.TermSum, "_multiply", forget)
    assert failing(run)


@settings(max_examples=15)
@given(recipe=recipes(steps=st.integers(2, 5), activations=bounded))
def test_a_dropped_path_is_found_in_any_network(recipe):
    """Unless the path carries less than rounding, which S tells."""
    run = recipe.unroll()
    found = run.paths(to="W")
    S, whole = found.norm_sum, found.gradient
    for path in found:
        without = sum((other.term for other in found if other.rank != path.rank), start=np.zeros_like(whole))
        if np.abs(path.term).max() > 1e-12 * S:
            assert relative(without - whole, S) > BOUNDS["paths_vs_reverse"]


def test_central_differences_need_forward_passes_and_no_graph_of_each(monkeypatch, run):
    """So that a model of thousands of parameters is checked in seconds: a graph takes ten times the pass itself."""
    traced, passes = [], []
    once, again = check_module.unroll_batch, check_module.Plan.run
    monkeypatch.setattr(check_module, "unroll_batch", lambda *given: traced.append(given) or once(*given))
    monkeypatch.setattr(check_module.Plan, "run", lambda *given: passes.append(given) or again(*given))
    assert run.check().ok
    assert len(traced) == 1
    assert len(passes) > 100
