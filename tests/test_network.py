"""Networks: initial values, shapes, the count of parameters, and what a wrong one is told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

import unrollviz as uz
from unrollviz.errors import NonFinite, ShapeError, UnknownName, UnrollvizError
from unrollviz.network import SCHEMES, Network, ParameterCount
from unrollviz.ops import ACTIVATIONS

sizes = {"n": st.integers(1, 9), "d": st.integers(1, 9), "k": st.integers(1, 9)}


@given(**sizes, seed=seeds, scheme=st.sampled_from(sorted(SCHEMES)))
def test_parameters_have_the_article_s_shapes(n, d, k, seed, scheme):
    net = Network.init("elman", n, d, k, seed=seed, scheme=scheme)
    assert {name: value.shape for name, value in net.params.items()} == {
        "U": (d, n),
        "W": (d, d),
        "V": (k, d),
        "b": (d,),
        "c": (k,),
    }
    assert all(value.dtype == np.float64 for value in net.params.values())
    assert (net.inputs, net.hidden, net.outputs) == (n, d, k)


@given(**sizes)
def test_the_number_of_parameters_is_dn_d2_kd_d_k(n, d, k):
    count = Network.init("elman", n, d, k).count_parameters()
    assert int(count) == count.total == d * n + d * d + k * d + d + k
    assert [(name, formula) for name, formula, _, _ in count.rows] == [
        ("U", "dn"),
        ("W", "d²"),
        ("V", "kd"),
        ("b", "d"),
        ("c", "k"),
    ]
    assert [number for *_, number in count.rows] == [d * n, d * d, k * d, d, k]
    assert [shape for _, _, shape, _ in count.rows] == [(d, n), (d, d), (k, d), (d,), (k,)]


def test_the_count_is_written_term_by_term_and_summed():
    count = Network.init("elman", 4, 3, 5).count_parameters()
    assert str(count) == "dn + d² + kd + d + k = 12 + 9 + 15 + 3 + 5 = 44"
    assert isinstance(count, ParameterCount)


# ---------------------------------------------------------------- initialisation


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(scheme):
    one, same, other = (Network.init("elman", 3, 4, 5, seed=seed, scheme=scheme).params for seed in (1, 1, 2))
    for name in one:
        np.testing.assert_array_equal(one[name], same[name])
    for name in ("U", "V"):
        assert not np.array_equal(one[name], other[name])


@given(**sizes, seed=seeds)
def test_uniform_is_within_1_over_sqrt_d_biases_too(n, d, k, seed):
    params = Network.init("elman", n, d, k, seed=seed, scheme="uniform").params
    assert all((np.abs(value) <= 1 / np.sqrt(d)).all() for value in params.values())
    assert all(value.any() for value in params.values())


def test_uniform_and_xavier_fill_their_range():
    params = Network.init("elman", 60, 40, 50, scheme="uniform").params
    for value in params.values():
        assert 0.85 / np.sqrt(40) < np.abs(value).max()
    np.testing.assert_allclose(params["W"].std(), 1 / np.sqrt(3 * 40), rtol=0.05)
    params = Network.init("elman", 60, 40, 50, scheme="xavier").params
    for name, fan in (("U", 100), ("W", 80), ("V", 90)):
        bound = np.sqrt(6 / fan)
        assert 0.98 * bound < np.abs(params[name]).max() <= bound
        np.testing.assert_allclose(params[name].std(), bound / np.sqrt(3), rtol=0.05)


@pytest.mark.parametrize("scheme", ["xavier", "orthogonal", "identity"])
def test_the_other_schemes_start_from_zero_biases(scheme):
    params = Network.init("elman", 3, 4, 5, scheme=scheme).params
    assert not params["b"].any()
    assert not params["c"].any()


@given(**sizes, seed=seeds)
def test_orthogonal_matrices_have_orthonormal_rows_or_columns(n, d, k, seed):
    params = Network.init("elman", n, d, k, seed=seed, scheme="orthogonal").params
    for name in "UWV":
        matrix = params[name]
        small = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
        np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-13)


def test_orthogonal_is_uniform_over_signs():
    """Without the correction of QR's signs the diagonal would have a preferred sign."""
    signs = [Network.init("elman", 1, 1, 1, seed=seed, scheme="orthogonal").params["W"][0, 0] for seed in range(40)]
    assert {-1.0, 1.0} == set(signs)


def test_identity_starts_from_w_equal_to_i():
    params = Network.init("elman", 3, 4, 5, scheme="identity").params
    np.testing.assert_array_equal(params["W"], np.eye(4))
    assert params["U"].any()
    assert np.abs(params["U"]).max() <= np.sqrt(6 / 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "elmann"}, "unknown cell 'elmann'; did you mean elman"),
        ({"activation": "tahn"}, "unknown activation 'tahn'; did you mean tanh"),
        ({"scheme": "ortogonal"}, "unknown initialisation scheme 'ortogonal'; did you mean orthogonal"),
    ],
)
def test_unknown_words_are_answered_with_the_nearest(arguments, message):
    with pytest.raises(UnknownName, match=message):
        Network.init(**arguments)


@pytest.mark.parametrize("size", ["inputs", "hidden", "outputs"])
@pytest.mark.parametrize("value", [0, -1, 2.5])
def test_sizes_that_are_no_whole_number_of_at_least_1_are_refused(size, value):
    with pytest.raises(ShapeError, match=size):
        Network.init(**{size: value})


def test_a_negative_seed_is_refused():
    with pytest.raises(UnrollvizError, match="seed"):
        Network.init(seed=-1)


# ---------------------------------------------------------------- parameters of one's own


def params(n=2, d=3, k=4):
    rng = np.random.default_rng(0)
    shapes = {"U": (d, n), "W": (d, d), "b": (d,), "V": (k, d), "c": (k,)}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def test_parameters_are_read_only_copies():
    given = params()
    net = Network("elman", given)
    before = given["W"].copy()
    given["W"][:] = 7.0
    np.testing.assert_array_equal(net.params["W"], before)
    with pytest.raises(ValueError, match="read-only"):
        net.params["W"][0, 0] = 1.0
    with pytest.raises(TypeError):
        net.params["W"] = before
    with pytest.raises(AttributeError):
        net.activation = "relu"


def test_lists_and_integers_become_float64():
    net = Network("elman", {"U": [[1]], "W": [[2]], "b": [0], "V": [[1], [1]], "c": [0, 0]})
    assert all(value.dtype == np.float64 for value in net.params.values())


def test_replace_changes_only_what_is_named():
    net = Network("elman", params(), "relu")
    new = net.replace(W=2 * net.params["W"])
    np.testing.assert_array_equal(new.params["W"], 2 * net.params["W"])
    assert new.activation == "relu"
    for name in "UVbc":
        np.testing.assert_array_equal(new.params[name], net.params[name])


@pytest.mark.parametrize(
    ("name", "shape"),
    [("W", (3, 2)), ("W", (2, 2)), ("b", (4,)), ("b", (1, 3)), ("c", (3,)), ("V", (4, 2)), ("U", (2, 3)), ("W", ())],
)
def test_a_wrong_shape_is_named(name, shape):
    with pytest.raises(ShapeError, match=r"has shape .*, but U and V ask for") as caught:
        Network("elman", {**params(), name: np.ones(shape)})
    assert "(d, n)" in str(caught.value)


@pytest.mark.parametrize("name", "UV")
@pytest.mark.parametrize("shape", [(3,), (), (1, 3, 2)])
def test_u_and_v_must_be_matrices(name, shape):
    with pytest.raises(ShapeError, match=f"parameter {name} has shape .*give a matrix"):
        Network("elman", {**params(), name: np.ones(shape)})


@pytest.mark.parametrize("name", "UV")
def test_empty_matrices_are_refused(name):
    with pytest.raises(ShapeError, match="n, d, k ≥ 1"):
        Network("elman", {**params(), name: np.ones((0, 3)) if name == "V" else np.ones((3, 0))})


def test_a_missing_parameter_is_named():
    for name in "UWVbc":
        given = params()
        del given[name]
        with pytest.raises(ShapeError, match=f"parameter {name} is missing"):
            Network("elman", given)


def test_an_unknown_parameter_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="unknown parameter of the elman cell 'w'; did you mean W"):
        Network("elman", {**params(), "w": np.ones((3, 3))})
    with pytest.raises(UnknownName, match="unknown parameter of the elman cell 'U_f'"):
        Network("elman", {**params(), "U_f": np.ones((3, 3))})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", "UWVbc")
def test_weights_that_are_not_finite_are_named(name, bad):
    given = params()
    given[name].flat[0] = bad
    with pytest.raises(NonFinite, match=f"node {name} is not finite") as caught:
        Network("elman", given)
    assert (caught.value.node, caught.value.time) == (name, None)


@pytest.mark.parametrize(
    "value",
    [
        "abc",
        [[1, 2], [3]],
        None,
        object(),
        {"a": 1},
        np.full((3, 3), 1j),
        np.full((3, 3), "1.0"),
        [[1j] * 3] * 3,
        np.full((3, 3), np.datetime64("2020-01-01")),
    ],
    ids=lambda value: type(value).__name__ + str(getattr(value, "dtype", "")),
)
def test_what_is_no_array_of_real_numbers_is_refused(value):
    with pytest.raises(ShapeError):
        Network("elman", {**params(), "W": value})


def test_unknown_cell_and_activation_of_a_network():
    with pytest.raises(UnknownName, match="cell"):
        Network("lstmm", params())
    with pytest.raises(UnknownName, match="activation"):
        Network("elman", params(), "gelu")


def test_the_public_name_is_the_same_class_that_also_reads_files():
    assert issubclass(uz.Network, Network)
    assert [Network.init(activation=name).activation for name in ACTIVATIONS] == list(ACTIVATIONS)
