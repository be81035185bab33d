"""The kinds of local Jacobian: vjp, jvp, matrix and the norms that are found without building the matrix."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Recipe, integer_dags, seeds

from unrollviz.charts import InChart, divide
from unrollviz.composite import Composite, Sloped, chained, lean
from unrollviz.graph import Tracer, contract, level_of_detail
from unrollviz.jacobians import (
    CANCELLED,
    Broadcast,
    Dense,
    Diagonal,
    Gradient,
    Identity,
    Jacobian,
    Outer,
    frobenius,
    least_above_0,
)
from unrollviz.ops import OPS


def least(jacobian: Jacobian) -> float:
    return jacobian.least(lambda question, values: question(values))


def softmax_jacobian(z: np.ndarray) -> Jacobian:
    (jacobian,) = OPS["softmax"].jacobians(OPS["softmax"].forward(z), z)
    return jacobian


KINDS = {
    "Identity": lambda rng, B, m, n: Identity((B, m)),
    "Broadcast": lambda rng, B, m, n: Broadcast((B, m)),
    "Diagonal": lambda rng, B, m, n: Diagonal(rng.normal(size=(B, m))),
    "Dense": lambda rng, B, m, n: Dense(rng.normal(size=(m, n)), B),
    "Outer": lambda rng, B, m, n: Outer(rng.normal(size=(B, n)), m),
    "Softmax": lambda rng, B, m, n: softmax_jacobian(rng.normal(size=(B, m))),
    "Gradient": lambda rng, B, m, n: Gradient(rng.normal(size=(B, m))),
    "Sloped": lambda rng, B, m, n: Sloped(rng.normal(size=(m, n)), rng.normal(size=(B, n))),
    "chain": lambda rng, B, m, n: Composite(
        "y", "x", (("y", "v", Diagonal(rng.normal(size=(B, m)))), ("v", "x", Dense(rng.normal(size=(m, n)), B)))
    ),
    "chain to a matrix": lambda rng, B, m, n: Composite(
        "y", "x", (("y", "v", Diagonal(rng.normal(size=(B, m)))), ("v", "x", Outer(rng.normal(size=(B, n)), m)))
    ),
    "chain to a vector": lambda rng, B, m, n: Composite(
        "y", "x", (("y", "v", Dense(rng.normal(size=(n, m)), B)), ("v", "x", Broadcast((B, m))))
    ),
    "parallel edges": lambda rng, B, m, n: Composite(
        "y", "x", (("y", "x", Diagonal(rng.normal(size=(B, m)))), ("y", "x", Diagonal(rng.normal(size=(B, m)))))
    ),
    "parallel edges to a matrix": lambda rng, B, m, n: Composite(
        "y", "x", (("y", "x", Outer(rng.normal(size=(B, n)), m)), ("y", "x", Outer(rng.normal(size=(B, n)), m)))
    ),
    "diamond": lambda rng, B, m, n: Composite(
        "y",
        "x",
        (
            ("y", "u", Identity((B, m))),
            ("y", "v", Diagonal(rng.normal(size=(B, m)))),
            ("y", "x", Dense(rng.normal(size=(m, n)), B)),
            ("u", "v", Diagonal(rng.normal(size=(B, m)))),
            ("u", "x", Dense(rng.normal(size=(m, n)), B)),
            ("v", "x", Dense(rng.normal(size=(m, n)), B)),
        ),
    ),
    "diamond to a matrix": lambda rng, B, m, n: Composite(
        "y",
        "W",
        (
            ("y", "u", Identity((B, m))),
            ("y", "v", Diagonal(rng.normal(size=(B, m)))),
            ("u", "W", Outer(rng.normal(size=(B, n)), m)),
            ("v", "W", Outer(rng.normal(size=(B, n)), m)),
        ),
    ),
    "loss to a matrix": lambda rng, B, m, n: Composite(
        "L", "W", (("L", "y", Gradient(rng.normal(size=(B, m)))), ("y", "W", Outer(rng.normal(size=(B, n)), m)))
    ),
    "loss to a state": lambda rng, B, m, n: Composite(
        "L", "s", (("L", "y", Gradient(rng.normal(size=(B, m)))), ("y", "s", Dense(rng.normal(size=(m, n)), B)))
    ),
}

every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
drawn = {
    "B": st.integers(1, 4),
    "m": st.integers(1, 4),
    "n": st.integers(1, 4),
    "rows": st.integers(1, 4),
    "seed": seeds,
}


def by_rows(jacobian: Jacobian) -> np.ndarray:
    """The whole ∂y/∂x, (entries of y, entries of x), one vjp for each entry of y."""
    entries = int(np.prod(jacobian.out_shape))
    basis = np.eye(entries).reshape(entries, *jacobian.out_shape)
    return jacobian.vjp(basis).reshape(entries, -1)


def blocks_of(jacobian: Jacobian) -> np.ndarray:
    """`by_rows` cut into one block an instance, as `matrix` promises it."""
    full, out, inn = by_rows(jacobian), jacobian.out_shape or (1, 1), jacobian.in_shape
    if jacobian.out_shape == ():
        return full.reshape(1, *inn).transpose(1, 0, 2) if jacobian.per_instance else full[None]
    if not jacobian.per_instance:
        return full.reshape(*out, -1)
    cut = full.reshape(*out, *inn)
    others = [cut[b, :, c, :] for b in range(out[0]) for c in range(inn[0]) if b != c]
    assert not np.any(others), "instances do not see each other"
    return np.stack([cut[b, :, b, :] for b in range(out[0])])


@every_kind
@given(**drawn)
def test_vjp_and_jvp_are_adjoint_and_linear(make, B, m, n, rows, seed):
    rng = np.random.default_rng(seed)
    jacobian = make(rng, B, m, n)
    bars = rng.normal(size=(rows, *jacobian.out_shape))
    dots = rng.normal(size=(rows, *jacobian.in_shape))
    pulled, pushed = jacobian.vjp(bars), jacobian.jvp(dots)
    assert pulled.shape == dots.shape
    assert pushed.shape == bars.shape
    np.testing.assert_allclose(
        (bars * pushed).reshape(rows, -1).sum(axis=1), (pulled * dots).reshape(rows, -1).sum(axis=1), atol=1e-12
    )
    np.testing.assert_allclose(jacobian.vjp(bars[:1] - 2 * bars[-1:]), pulled[:1] - 2 * pulled[-1:], atol=1e-12)
    np.testing.assert_allclose(jacobian.jvp(dots[:1] - 2 * dots[-1:]), pushed[:1] - 2 * pushed[-1:], atol=1e-12)


@every_kind
@given(**drawn)
def test_rows_of_a_stack_do_not_see_each_other(make, B, m, n, rows, seed):
    rng = np.random.default_rng(seed)
    jacobian = make(rng, B, m, n)
    bars = rng.normal(size=(rows, *jacobian.out_shape))
    one_by_one = np.concatenate([jacobian.vjp(bars[index : index + 1]) for index in range(rows)])
    np.testing.assert_allclose(jacobian.vjp(bars), one_by_one, rtol=1e-13, atol=1e-13)


@every_kind
@given(**drawn)
def test_matrix_norm_norm_after_row_norms_and_arrivals_are_those_of_the_vjp(make, B, m, n, rows, seed):
    rng = np.random.default_rng(seed)
    jacobian = make(rng, B, m, n)
    blocks = blocks_of(jacobian)
    assert jacobian.matrix().shape == blocks.shape
    np.testing.assert_allclose(jacobian.matrix(), blocks, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(jacobian.norm(), frobenius(blocks), rtol=1e-12)
    before = rng.normal(size=(len(blocks), 3, blocks.shape[1]))
    np.testing.assert_allclose(jacobian.norm_after(before), frobenius(before @ blocks), rtol=1e-12)
    bars = rng.normal(size=(rows, *jacobian.out_shape))
    terms = jacobian.vjp(bars)
    norms = [frobenius(term) for term in terms]
    np.testing.assert_allclose(jacobian.row_norms(bars), norms, rtol=1e-12, atol=1e-13)
    found = list(jacobian.arrivals(bars))
    assert len(found) == jacobian.ends
    np.testing.assert_allclose(sum(last.vjp(stack) for stack, last in found), terms, rtol=1e-12, atol=1e-13)


@every_kind
def test_nothing_that_is_given_is_written_to(make):
    rng = np.random.default_rng(1)
    jacobian = make(rng, 2, 3, 3)
    bars, dots = rng.normal(size=(2, *jacobian.out_shape)), rng.normal(size=(2, *jacobian.in_shape))
    kept = bars.copy(), dots.copy()
    jacobian.vjp(bars), jacobian.jvp(dots), jacobian.row_norms(bars), jacobian.matrix(), jacobian.norm()
    np.testing.assert_array_equal(bars, kept[0])
    np.testing.assert_array_equal(dots, kept[1])


def test_a_composite_multiplies_along_paths_and_adds_over_them():
    rng = np.random.default_rng(0)
    a, b, c, d = (rng.normal(size=(3, 3)) for _ in range(4))
    edges = [("y", "u", Dense(a, 1)), ("y", "v", Dense(b, 1)), ("u", "x", Dense(c, 1)), ("v", "x", Dense(d, 1))]
    np.testing.assert_allclose(Composite("y", "x", tuple(edges)).matrix()[0], a @ c + b @ d, rtol=1e-13)


def test_ends_counts_the_edges_into_the_tail():
    parallel = KINDS["parallel edges"](np.random.default_rng(0), 2, 3, 3)
    assert parallel.ends == 2
    assert KINDS["diamond"](np.random.default_rng(0), 2, 3, 3).ends == 3
    assert InChart(parallel, None, None).ends == 2
    assert Identity((1, 1)).ends == 1


@given(dag=integer_dags(), seed=seeds)
def test_a_composite_edge_of_a_contracted_graph_is_the_sum_over_its_interior_paths(dag, seed):
    """Whole numbers, so the sum is exact. The interior paths are walked by recursion."""
    graph, rng = dag.build(), np.random.default_rng(seed)
    hidden = [name for name, role in graph.nodes(data="role") if role == "hidden"]
    landmarks = {name for name in graph if name not in hidden or rng.random() < 0.4}
    level = contract(graph, landmarks)
    assert [name for name in graph if name in landmarks] == list(level)

    def walked(head, tail, jacobians):
        if head == tail:
            total = np.eye(graph.nodes[jacobians[0][0]]["value"].size)
            bars = total.reshape(len(total), *graph.nodes[jacobians[0][0]]["value"].shape)
            for _, edge in jacobians:
                bars = edge.vjp(bars)
            return bars
        found = 0
        for before, _, data in graph.in_edges(head, data=True):
            if before == tail or before not in landmarks:
                found = found + walked(before, tail, [*jacobians, (head, data["jacobian"])])
        return found

    for tail, head, data in level.edges(data=True):
        size, shape = graph.nodes[head]["value"].size, graph.nodes[head]["value"].shape
        np.testing.assert_array_equal(data["jacobian"].vjp(np.eye(size).reshape(size, *shape)), walked(head, tail, []))


@pytest.mark.parametrize("z", [[30.0, 0.0, -1.0], [0.0, 400.0, 0.0], [700.0, -700.0, 0.0], [1.0, 1.0, 1.0]])
def test_softmax_keeps_its_digits_when_it_is_sure(z):
    """1 - ŷ_j must not be formed by a subtraction: the error of a well trained network is all that is left of it."""
    with localcontext() as context:
        context.prec = 700
        powers = [(Decimal(v) - Decimal(max(z))).exp() for v in z]
        total = sum(powers)
        exact = [
            [float((total - p) / total) if i == j else float(-p / total) for j, p in enumerate(powers)]
            for i in range(3)
        ]
        mixed = [1.0, 1e-14, -1e-25]
        product = [
            float(sum(Decimal(b) * ((total - p if i == j else -p) / total) for i, b in enumerate(mixed)))
            for j, p in enumerate(powers)
        ]
    jacobian = softmax_jacobian(np.array([z]))
    np.testing.assert_allclose(jacobian.vjp(np.array([[mixed]]))[0, 0], product, rtol=1e-14, atol=0)
    np.testing.assert_allclose(jacobian.vjp(np.eye(3)[:, None])[:, 0], exact, rtol=1e-14, atol=0)
    np.testing.assert_allclose(jacobian.jvp(np.eye(3)[:, None])[:, 0].T, exact, rtol=1e-14, atol=0)


# ---------------------------------------------------------------- charts


def textbook_softmax(yhat: np.ndarray) -> np.ndarray:
    """diag(ŷ) - ŷ ŷᵀ, one block an instance."""
    return np.stack([np.diag(row) - np.outer(row, row) for row in yhat])


@given(**drawn)
def test_in_chart_shows_the_textbook_jacobians_of_softmax_and_cross_entropy(B, m, n, rows, seed):
    run = Recipe(steps=1, inputs=n, hidden=n, outputs=m, instances=B, targets="distributions", seed=seed).unroll()
    graph = run.graph
    yhat, wanted = graph.nodes["yhat1"]["value"], run.targets[0]
    softmax = graph.edges["logits1", "yhat1", 0]["jacobian"]
    loss = graph.edges["yhat1", "L1", 0]["jacobian"]
    np.testing.assert_allclose(softmax.matrix(), textbook_softmax(yhat), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(loss.matrix(), (-wanted / yhat / B)[:, None, :], rtol=1e-12)
    np.testing.assert_allclose(softmax.norm(), frobenius(textbook_softmax(yhat)), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(loss.norm(), frobenius(wanted / yhat / B), rtol=1e-12)
    np.testing.assert_allclose((loss.matrix() @ softmax.matrix())[:, 0], (yhat - wanted) / B, rtol=1e-11, atol=1e-13)


@given(**drawn)
def test_in_chart_of_a_contracted_edge_is_the_textbook_product(B, m, n, rows, seed):
    run = Recipe(steps=2, inputs=n, hidden=n, outputs=m, instances=B, seed=seed).unroll()
    level = level_of_detail(run.graph, "state")
    softmax, params = textbook_softmax(run.graph.nodes["yhat2"]["value"]), run.network.params
    state = run.graph.nodes["s2"]["value"]
    expected = {
        "s2": softmax @ params["V"],
        "c": softmax,
        "V": np.einsum("bkj,bi->bkji", softmax, state).reshape(B, m, -1),
    }
    for tail, matrix in expected.items():
        jacobian = level.edges[tail, "yhat2", 0]["jacobian"]
        np.testing.assert_allclose(jacobian.matrix(), matrix, rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(jacobian.norm(), frobenius(matrix), rtol=1e-11, atol=1e-14)


def test_a_node_in_a_chart_may_feed_any_other_op():
    """ŷ ⊙ ŷ → matvec → softmax → loss: cotangents cross from chart to plain coordinates and back."""
    rng = np.random.default_rng(5)
    z0, W, wanted = rng.normal(size=(2, 3)), rng.normal(size=(3, 3)), rng.dirichlet(np.ones(3), 2)

    def forward(z):
        y = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        q = (y * y) @ W.T
        return -(wanted * np.log(np.exp(q) / np.exp(q).sum(axis=1, keepdims=True))).sum() / 2

    tracer = Tracer(time=1)
    weight, z = tracer.leaf("W", W, "parameter"), tracer.leaf("z", z0, "input")
    y = tracer.apply("softmax", z, name="yhat", role="output")
    q = weight @ tracer.apply("mul", y, y, name="square")
    last = tracer.apply("softmax", q, name="again", role="output")
    tracer.apply("cross_entropy", last, name="L", role="loss", target=wanted)
    expected = np.zeros_like(z0)
    for place in np.ndindex(*z0.shape):
        moved = z0.astype(complex)
        moved[place] += 1e-30j
        expected[place] = forward(moved).imag / 1e-30
    for landmarks in (set(tracer.graph), {"L1", "z"}, {"L1", "yhat1", "z"}, {"L1", "square1", "z"}):
        level = contract(tracer.graph, landmarks)
        bars = {"L1": np.ones(1)}
        for head in reversed(list(level)):
            for tail, _, data in level.in_edges(head, data=True):
                bars[tail] = bars.get(tail, 0) + data["jacobian"].vjp(bars[head])
        np.testing.assert_allclose(bars["z"][0], expected, rtol=1e-12, atol=1e-15)
    yhat = tracer.graph.nodes["yhat1"]["value"]
    for key in (0, 1):
        shown = tracer.graph.edges["yhat1", "square1", key]["jacobian"]
        np.testing.assert_allclose(shown.matrix(), [np.diag(row) for row in yhat], rtol=1e-13)


def test_divide_takes_zero_over_zero_as_zero_and_keeps_other_poles():
    np.testing.assert_array_equal(divide(np.array([0.0, 1.0, -2.0]), np.array([0.0, 0.0, 4.0])), [0.0, np.inf, -0.5])


# ---------------------------------------------------------------- norms at the edges of float64


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e-160, 1.0, 1e160, 1e200])
def test_a_norm_neither_underflows_nor_overflows_before_its_value_does(size):
    """Vanishing gradients are what this is about: a term of 1e-200 has norm 1e-200, not 0."""
    np.testing.assert_allclose(frobenius(size * np.array([[3.0, 4.0]])), 5 * size, rtol=1e-14)
    bars = size * np.array([[[3.0, 4.0]]])
    np.testing.assert_allclose(Identity((1, 2)).row_norms(bars), [5 * size], rtol=1e-14)
    np.testing.assert_allclose(Outer(np.array([[1.0, 0.0]]), 2).row_norms(bars), [5 * size], rtol=1e-14)
    two = np.concatenate([bars, 0 * bars], axis=1)
    np.testing.assert_allclose(Outer(np.eye(2), 2).row_norms(two), [5 * size], rtol=1e-14)


def test_outer_row_norms_keep_their_digits_where_instances_cancel():
    """A Gram matrix would lose half of them."""
    x = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0 + 1e-9]])
    bars = np.array([[[1.0, 2.0], [-1.0, -2.0]]])
    term = bars[0].T @ x
    np.testing.assert_allclose(Outer(x, 2).row_norms(bars), [frobenius(term)], rtol=1e-6)


def test_a_weight_and_the_slopes_behind_it_are_put_together():
    rng = np.random.default_rng(0)
    weight, slopes = rng.normal(size=(4, 3)), [rng.normal(size=(2, 3)) for _ in range(3)]
    steps = [Identity((2, 4)), Dense(weight, 2), Diagonal(slopes[0]), Identity((2, 3)), Diagonal(slopes[1])]
    found, chain = lean(chained("y", steps, "x"), Diagonal(slopes[2])), chained("y", [*steps, Diagonal(slopes[2])], "x")
    assert isinstance(found, Sloped)
    np.testing.assert_allclose(by_rows(found), by_rows(chain), rtol=1e-13)
    several = rng.normal(size=(9, 2, 4))
    np.testing.assert_allclose(found.vjp(several), chain.vjp(several), rtol=1e-13)


def test_the_least_factor_of_several_edges_is_that_of_their_products():
    slope, small = Diagonal(np.array([[0.5, -1e-9, 0.0]])), Diagonal(np.full((1, 3), 1e-12))
    weight = Dense(np.diag([1.0, -1e-5, 0.0]), 1)
    assert least(slope) == 1e-9 and least(Identity((1, 3))) == 1
    assert least(weight) == pytest.approx(CANCELLED * 1e-5)
    assert least(chained("y", [slope, weight, small], "x")) == pytest.approx(CANCELLED * 1e-26)
    assert least(Sloped(weight.weight, slope.slope)) == pytest.approx(CANCELLED * 1e-14)
    one_is_smaller = Composite("y", "x", (("y", "v", slope), ("y", "x", small), ("v", "x", slope)))
    assert least(one_is_smaller) == CANCELLED * 1e-12
    assert least(Gradient(np.array([[0.0, 1e-30]]))) == 1e-30
    assert least(softmax_jacobian(np.array([[0.0, 100.0]]))) == pytest.approx(np.exp(-100))
    assert least(InChart(small, None, None)) == 1e-12


@given(st.integers(1, 6), st.integers(0, 2**32 - 1), st.integers(-100, 100))
def test_a_square_weight_shrinks_no_row_by_more_than_its_least_says(units, seed, power):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(units, units)) * 2.0**power
    stretch = np.linalg.svd(weight, compute_uv=False)[-1]
    assert least(Dense(weight, 1)) <= stretch * (1 + 1e-6)
    if stretch > 1e-6 * frobenius(weight):
        assert least(Dense(weight, 1)) >= stretch / np.sqrt(units) * (1 - 1e-6)


@pytest.mark.parametrize(
    "weight",
    [
        np.ones((3, 3)),  # singular
        np.diag([1.0, 1e-12]),  # so nearly that rounding might decide
        np.random.default_rng(0).normal(size=(2, 3)),
        np.random.default_rng(0).normal(size=(700, 700)),
        np.array([[1e200, 1.0], [1e-200, 1.0]]),
    ],
)
def test_of_other_weights_the_smallest_entry_is_a_guess(weight):
    assert least(Dense(weight, 1)) == CANCELLED * least_above_0(weight)
