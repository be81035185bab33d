"""The primitives: values, slopes and local Jacobians of every row of OPS, and their accuracy at the extremes."""

import inspect
import itertools
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from unrollviz.graph import Tracer
from unrollviz.ops import ACTIVATIONS, OPS, Op, log_softmax, sigmoid, sigmoid_slope, softmax, tanh_slope

# ---------------------------------------------------------------- what every op is compared with
# Written so that it also takes complex numbers: Im f(x + ih) / h is f' without cancellation.

FORMULAS = {
    "matvec": lambda W, x: np.einsum("mn,bn->bm", W, x),
    "add": lambda *terms: np.sum(np.broadcast_arrays(*terms), axis=0),
    "mul": lambda a, b: np.einsum("bm,bm->bm", *np.broadcast_arrays(a, b)),
    "tanh": lambda a: (np.exp(a) - np.exp(-a)) / (np.exp(a) + np.exp(-a)),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "relu": lambda a: np.where(a.real > 0, a, 0),
    "identity": lambda a: a,
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
    "cross_entropy": lambda log_yhat, *, target, weight: -np.einsum("b,bk,bk->", weight[:, 0], target, log_yhat),
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "binary_cross_entropy": lambda z, *, target, weight: (
        -np.einsum(
            "b,bk->", weight[:, 0], target * np.log(1 / (1 + np.exp(-z))) + (1 - target) * np.log(1 / (1 + np.exp(z)))
        )
    ),
    "squared_error": lambda yhat, *, target, weight: np.einsum("b,bk->", weight[:, 0], (yhat - target) ** 2),
    "one_minus": lambda a: 1 - a,
    "concat": lambda a, b: np.block([[a, b]]),
    "repeat": lambda a, *, instances: np.stack([a] * instances),
    "begin": lambda state, initial, *, begun: begun * state + (1 - begun) * initial,
}
COORDINATES = {"softmax": lambda z: np.log(FORMULAS["softmax"](z)), "logistic": lambda z: z}
VALUES = {"softmax": np.exp, "logistic": FORMULAS["logistic"]}
"""Chart's coordinate -> value of the op."""


def distribution(rng, B, m):
    return rng.dirichlet(np.ones(m), B)


ARGUMENTS = {
    "matvec": lambda rng, B, m: ((rng.normal(size=(rng.integers(1, 5), m)), rng.normal(size=(B, m))), {}),
    "add": lambda rng, B, m: (
        (
            *(rng.normal(size=(B, m) if rng.random() < 0.6 else (m,)) for _ in range(rng.integers(1, 4))),
            rng.normal(size=(B, m)),
        ),
        {},
    ),
    "mul": lambda rng, B, m: (
        [
            (rng.normal(size=(B, m)), rng.normal(size=(B, m))),
            (rng.normal(size=m), rng.normal(size=(B, m))),
            (rng.normal(size=(B, m)), rng.normal(size=m)),
        ][rng.integers(3)],
        {},
    ),
    "cross_entropy": lambda rng, B, m: (
        (np.log(distribution(rng, B, m)),),
        {"target": distribution(rng, B, m), "weight": rng.random((B, 1))},
    ),
    "binary_cross_entropy": lambda rng, B, m: (
        (rng.normal(size=(B, m)),),
        {"target": rng.random((B, m)), "weight": rng.random((B, 1))},
    ),
    "squared_error": lambda rng, B, m: (
        (rng.normal(size=(B, m)),),
        {"target": rng.normal(size=(B, m)), "weight": rng.random((B, 1))},
    ),
    "concat": lambda rng, B, m: ((rng.normal(size=(B, m)), rng.normal(size=(B, rng.integers(1, 5)))), {}),
    "repeat": lambda rng, B, m: ((rng.normal(size=m),), {"instances": B}),
    "begin": lambda rng, B, m: (
        (rng.normal(size=(B, m)), rng.normal(size=(B, m))),
        {"begun": rng.random((B, 1)) < 0.5},
    ),
}


def arguments(op: Op, rng, B, m):
    """Random arguments and constants of an op; one (B, m) array for an op not named in ARGUMENTS."""
    return ARGUMENTS.get(op.name, lambda rng, B, m: ((2 * rng.normal(size=(B, m)),), {}))(rng, B, m)


def differentiated(op: Op):
    """The function whose Jacobian the edges of `op` carry: into the chart, where the op has one."""
    return COORDINATES[op.name] if op.chart else FORMULAS[op.name]


def by_complex_step(function, values, position, constants):
    """∂f/∂(argument at `position`), (entries of f, entries of the argument)."""
    columns = []
    for entry in range(values[position].size):
        moved = values[position].astype(complex)
        moved.flat[entry] += 1e-30j
        result = function(*values[:position], moved, *values[position + 1 :], **constants)
        columns.append(np.ravel(np.imag(result)) / 1e-30)
    return np.stack(columns, axis=1)


every_op = pytest.mark.parametrize("op", OPS.values(), ids=OPS)
shapes = {"B": st.integers(1, 4), "m": st.integers(1, 5), "rows": st.integers(1, 3), "seed": seeds}


def test_every_op_is_named_by_its_row_and_has_a_formula_here():
    assert {name: op.name for name, op in OPS.items()} == {name: name for name in OPS}
    assert set(OPS) == set(FORMULAS), "a new primitive needs its independent formula in this file"
    assert set(ACTIVATIONS) <= set(OPS)


@every_op
@given(**shapes)
def test_forward_is_the_formula(op, B, m, rows, seed):
    values, constants = arguments(op, np.random.default_rng(seed), B, m)
    np.testing.assert_allclose(
        op.forward(*values, **constants), FORMULAS[op.name](*values, **constants), rtol=1e-13, atol=1e-13
    )
    if op.chart:
        u = op.chart.coordinate(*values)
        np.testing.assert_allclose(op.chart.coordinate(*values), COORDINATES[op.name](*values), rtol=1e-12, atol=1e-13)
        rate = by_complex_step(VALUES[op.name], [u], 0, {})
        np.testing.assert_allclose(np.diag(op.chart.scale(u, op.chart.value(u)).ravel()), rate, rtol=1e-12, atol=1e-13)


@every_op
def test_an_op_is_bounded_where_the_largest_numbers_do_not_overflow(op):
    values, constants = arguments(op, np.random.default_rng(0), 4, 3)
    largest = np.finfo(float).max
    signs = itertools.product((-largest, largest), repeat=sum(value.size for value in values))
    with np.errstate(all="ignore"):
        for filled in itertools.chain(itertools.islice(signs, 500), [[largest] * 100]):
            left = list(filled)
            extreme = [np.array([left.pop() for _ in range(value.size)]).reshape(value.shape) for value in values]
            if not np.isfinite(
                op.chart.value(op.chart.coordinate(*extreme)) if op.chart else op.forward(*extreme, **constants)
            ).all():
                assert not op.bounded
                return
    assert op.bounded


@every_op
@given(**shapes)
def test_vjp_and_jvp_are_the_complex_step_jacobian(op, B, m, rows, seed):
    rng = np.random.default_rng(seed)
    values, constants = arguments(op, rng, B, m)
    y = op.forward(*values, **constants)
    jacobians = op.jacobians(y, *values, **constants)
    assert len(jacobians) == len(values)
    for position, (value, jacobian) in enumerate(zip(values, jacobians, strict=True)):
        assert jacobian.out_shape == y.shape
        assert jacobian.in_shape == value.shape
        expected = by_complex_step(differentiated(op), values, position, constants)
        bars, dots = rng.normal(size=(rows, *y.shape)), rng.normal(size=(rows, *value.shape))
        pulled, pushed = jacobian.vjp(bars), jacobian.jvp(dots)
        assert pulled.shape == (rows, *value.shape)
        assert pushed.shape == (rows, *y.shape)
        np.testing.assert_allclose(pulled.reshape(rows, -1), bars.reshape(rows, -1) @ expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(
            pushed.reshape(rows, -1), dots.reshape(rows, -1) @ expected.T, rtol=1e-12, atol=1e-12
        )
        one_way = (bars.reshape(rows, -1) * pushed.reshape(rows, -1)).sum(axis=1)
        other_way = (pulled.reshape(rows, -1) * dots.reshape(rows, -1)).sum(axis=1)
        np.testing.assert_allclose(one_way, other_way, rtol=1e-12, atol=1e-12)


@every_op
@given(**shapes)
def test_matrix_and_norms_are_those_of_the_complex_step_jacobian(op, B, m, rows, seed):
    rng = np.random.default_rng(seed)
    values, constants = arguments(op, rng, B, m)
    y = op.forward(*values, **constants)
    for position, jacobian in enumerate(op.jacobians(y, *values, **constants)):
        full = by_complex_step(differentiated(op), values, position, constants)
        full = full.reshape(*(y.shape or (1, 1)), *values[position].shape)
        if y.shape == ():
            blocks = full[0, 0][:, None, :]
        elif jacobian.per_instance:
            blocks = np.stack([full[b, :, b, :] for b in range(B)])
        else:
            blocks = full.reshape(B, y.shape[1], -1)
        np.testing.assert_allclose(jacobian.matrix(), blocks, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(jacobian.norm(), np.sqrt((full**2).sum()), rtol=1e-12)
        before = rng.normal(size=(B, 2, blocks.shape[1]))
        np.testing.assert_allclose(
            jacobian.norm_after(before), np.sqrt(((before @ blocks) ** 2).sum()), rtol=1e-12, atol=1e-12
        )
        bars = rng.normal(size=(rows, *y.shape))
        terms = bars.reshape(rows, -1) @ full.reshape(max(1, y.size), -1)
        np.testing.assert_allclose(jacobian.row_norms(bars), np.sqrt((terms**2).sum(axis=1)), rtol=1e-12, atol=1e-12)
        arrived = sum(last.vjp(before) for before, last in jacobian.arrivals(bars))
        np.testing.assert_allclose(arrived.reshape(rows, -1), terms, rtol=1e-12, atol=1e-12)


def test_per_instance_is_false_exactly_where_instances_share_the_argument():
    x, W, b = np.ones((2, 3)), np.ones((3, 3)), np.ones(3)
    assert [j.per_instance for j in OPS["matvec"].jacobians(x, W, x)] == [False, True]
    assert [j.per_instance for j in OPS["add"].jacobians(x, x, b)] == [True, False]
    assert [j.per_instance for j in OPS["mul"].jacobians(x, b, x)] == [False, True]
    for name in (*ACTIVATIONS, "softmax"):
        assert all(j.per_instance for j in OPS[name].jacobians(OPS[name].forward(x), x))


@every_op
def test_op_formula_takes_the_arguments_that_the_op_takes(op):
    values, _ = arguments(op, np.random.default_rng(0), 2, 3)
    written = op.formula.format(*"xyzuvw"[: len(values)], args=" + ".join("xyzuvw"[: len(values)]))
    for argument in "xyzuvw"[: len(values)]:
        assert argument in written


@every_op
def test_op_differentiates_on_the_graph_it_traces(op):
    """An op put into a graph has one edge an argument, its key the argument's position."""
    rng, tracer = np.random.default_rng(3), Tracer(time=1)
    values, constants = arguments(op, rng, 2, 3)
    nodes = [tracer.leaf(f"arg{index}", value, "input") for index, value in enumerate(values)]
    if op.reads_chart:
        tracer.graph.nodes["arg0"]["coordinate"] = values[0]
    result = tracer.apply(op.name, *nodes, name="y", **constants)
    assert sorted((key, tail) for tail, _, key in tracer.graph.in_edges("y1", keys=True)) == [
        (index, f"arg{index}") for index in range(len(values))
    ]
    np.testing.assert_array_equal(result.value, op.forward(*values, **constants))


def test_only_ops_with_a_kink_are_not_smooth():
    assert [name for name, op in OPS.items() if not op.smooth] == ["relu"]


def test_relu_has_slope_zero_at_zero_as_in_pytorch():
    (jacobian,) = OPS["relu"].jacobians(np.zeros((1, 3)), np.array([[-1.0, 0.0, 2.0]]))
    np.testing.assert_array_equal(jacobian.vjp(np.ones((1, 1, 3))), [[[0.0, 0.0, 1.0]]])


def test_every_op_takes_keyword_constants_only():
    for op in OPS.values():
        if isinstance(op.forward, np.ufunc):
            continue
        kinds = {parameter.kind for parameter in inspect.signature(op.forward).parameters.values()}
        assert inspect.Parameter.VAR_KEYWORD not in kinds


# ---------------------------------------------------------------- accuracy, judged with 60 digits


def decimal_slope(a: float, scale: int) -> Decimal:
    """q / (1 + q)² with q = e^(-scale |a|): σ' for scale 1, a quarter of tanh' for scale 2."""
    with localcontext() as context:
        context.prec = 60
        q = (-scale * abs(Decimal(a))).exp()
        return q / (1 + q) ** 2


def worst_relative_error(found, exact) -> float:
    with localcontext() as context:
        context.prec = 60
        return max(float(abs(Decimal(float(f)) - e) / e) for f, e in zip(found, exact, strict=True))


GRID = [
    *(sign * magnitude for magnitude in np.linspace(0, 350, 1201).tolist() for sign in (1, -1)),
    *np.random.default_rng(0).uniform(-350, 350, 800).tolist(),
    *np.random.default_rng(1).normal(size=800).tolist(),
    *(10.0**-exponent for exponent in range(0, 320, 5)),
    18.99,
    19.0,
    19.1,
    36.7,
    37.5,
]


def test_tanh_slope_is_right_to_the_last_digits_where_1_minus_tanh_squared_is_not():
    a = np.array(GRID)
    assert worst_relative_error(tanh_slope(a), [4 * decimal_slope(v, 2) for v in GRID]) <= 1e-15
    assert 1 - np.tanh(20.0) ** 2 == 0.0 < tanh_slope(np.array(20.0)), "the reason why this is not 1 - tanh²"


def test_sigmoid_slope_is_right_to_the_last_digits():
    a = np.array(GRID)
    assert worst_relative_error(sigmoid_slope(a), [decimal_slope(v, 1) for v in GRID]) <= 1e-15


def test_sigmoid_is_right_to_the_last_digits_on_both_branches():
    with localcontext() as context:
        context.prec = 60
        exact = [1 / (1 + (-Decimal(v)).exp()) for v in GRID]
    assert worst_relative_error(sigmoid(np.array(GRID)), exact) <= 1e-15


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_the_jacobian_in_the_table_uses_the_accurate_slope(name):
    a = np.array([GRID])
    (jacobian,) = OPS[name].jacobians(OPS[name].forward(a), a)
    found = jacobian.vjp(np.ones((1, *a.shape)))[0, 0]
    factor, scale = {"tanh": (4, 2), "sigmoid": (1, 1)}[name]
    assert worst_relative_error(found, [factor * decimal_slope(v, scale) for v in GRID]) <= 1e-15


@pytest.mark.parametrize("slope", [tanh_slope, sigmoid_slope])
def test_slopes_are_even_finite_and_never_negative(slope):
    with np.errstate(all="ignore"):
        a = np.array([0.0, 1e-320, 1.0, 400.0, 1e10, 1e308])
        values = slope(np.concatenate([a, -a]))
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    np.testing.assert_array_equal(values[:6], values[6:])


def test_sigmoid_and_softmax_do_not_overflow():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        np.testing.assert_array_equal(sigmoid(np.array([[-1e4, 1e4, 0.0]])), [[0.0, 1.0, 0.5]])
        np.testing.assert_array_equal(softmax(np.array([[1000.0, 0.0, -1000.0]])), [[1.0, 0.0, 0.0]])
        np.testing.assert_array_equal(log_softmax(np.array([[1000.0, 0.0, -1000.0]])), [[0.0, -1000.0, -2000.0]])


@given(z=st.lists(st.floats(-1000, 1000), min_size=1, max_size=6))
def test_log_softmax_agrees_with_60_digits(z):
    with localcontext() as context:
        context.prec = 60
        shifted = [Decimal(v) - Decimal(max(z)) for v in z]
        total = sum((s.exp() for s in shifted), start=Decimal(0)).ln()
        exact = [float(s - total) for s in shifted]
    np.testing.assert_allclose(log_softmax(np.array([z]))[0], exact, rtol=1e-15, atol=4e-16)


def test_softmax_sums_to_one_and_keeps_the_order_of_logits():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(50, 7)) * 20
    y = softmax(z)
    np.testing.assert_allclose(y.sum(axis=1), 1.0, rtol=1e-14)
    for row, logits in zip(y, z, strict=True):
        for i, j in itertools.pairwise(np.argsort(logits)):
            assert row[i] <= row[j]
