"""Single paths: their order, what they contribute, and sets of them that are never listed unless asked for."""

import itertools
import math

import networkx as nx
import numpy as np
import pytest
from byhand import all_paths
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Recipe, bounded, integer_dags, recipes
from test_sweep import doubling

import unrollviz as uz
from unrollviz import terms as terms_module
from unrollviz.errors import TooManyPaths, UnknownName, UnrollvizError
from unrollviz.graph import names_of
from unrollviz.jacobians import Jacobian
from unrollviz.paths import pathset as paths_module
from unrollviz.paths.pathset import PathSet

DETAILS = ("state", "op")


# ---------------------------------------------------------------- the article's four paths


def test_the_article_s_paths_enter_at_s4_s3_s2_s1(article):
    paths = article.paths("L4", "W")
    assert [path.nodes for path in paths] == [
        ("L4", "yhat4", "s4", "W"),
        ("L4", "yhat4", "s4", "s3", "W"),
        ("L4", "yhat4", "s4", "s3", "s2", "W"),
        ("L4", "yhat4", "s4", "s3", "s2", "s1", "W"),
    ]
    assert [path.entry for path in paths] == [4, 3, 2, 1]
    assert [path.lag for path in paths] == [0, 1, 2, 3]
    assert [path.rank for path in paths] == [0, 1, 2, 3]
    assert {path.loss for path in paths} == {"L4"}
    assert paths.count == len(paths) == 4
    np.testing.assert_allclose(paths.sum(), article.gradient("W", "L4"), rtol=1e-13)


def test_the_article_s_path_to_v_is_a_feed_forward_network_s(article):
    (path,) = article.paths("L4", "V")
    assert path.nodes == ("L4", "yhat4", "V")
    assert (path.entry, path.lag) == (4, 0)
    (op_path,) = article.paths("L4", "V", detail="op")
    assert op_path.nodes == ("L4", "yhat4", "logits4", "V@s4", "V")


def test_at_op_level_every_primitive_is_on_the_path(article):
    assert article.paths("L2", "W", detail="op")[1].nodes == (
        "L2",
        "yhat2",
        "logits2",
        "V@s2",
        "s2",
        "a2",
        "W@s1",
        "s1",
        "a1",
        "W@s0",
        "W",
    )


def test_paths_to_states_and_inputs(article):
    assert [p.nodes for p in article.paths("L4", "s1")] == [("L4", "yhat4", "s4", "s3", "s2", "s1")]
    assert [p.nodes for p in article.paths("L4", "x2")] == [("L4", "yhat4", "s4", "s3", "s2", "x2")]
    assert [p.nodes for p in article.paths("L3", "a2")] == [("L3", "yhat3", "s3", "s2", "a2")]
    (path,) = article.paths("L4", "x2")
    assert (path.entry, path.lag) == (2, 2)
    assert len(article.paths(to="s2")) == 4


def test_all_losses_come_in_the_order_of_time(article):
    paths = article.paths(to="W")
    assert [(p.loss, p.entry) for p in paths] == [(f"L{t}", k) for t in range(1, 6) for k in range(t, 0, -1)]
    some = article.paths(["L5", "L2"], "W")
    assert [(p.loss, p.entry) for p in some] == [("L5", k) for k in range(5, 0, -1)] + [("L2", 2), ("L2", 1)]
    np.testing.assert_allclose(some.gradient, article.gradient("W", ["L2", "L5"]), rtol=1e-14)


# ---------------------------------------------------------------- against other enumerations


@given(recipe=recipes(steps=st.integers(1, 5)))
def test_networkx_lists_the_same_paths(recipe):
    run = recipe.unroll()
    for detail in DETAILS:
        graph = run.level(detail)
        for target in ("W", "V", "s0"):
            listed = set()
            for loss in names_of(graph, "loss"):
                for edges in nx.all_simple_edge_paths(graph, target, loss):
                    listed.add((loss, *(tail for tail, _, _ in reversed(edges))))
            found = [path.nodes for path in run.paths(to=target, detail=detail)]
            assert set(found) == listed
            assert len(found) == len(listed)


@settings(max_examples=60)
@given(dag=integer_dags())
def test_recursion_finds_the_same_paths_with_the_same_terms(dag):
    """Parallel edges count: paths are compared as multisets of (nodes, term)."""
    graph = dag.build()
    losses = names_of(graph, "loss")
    for target in ("P", "b", "x1"):
        expected = sorted((path.nodes, path.term.ravel().tolist()) for path in all_paths(graph, losses, target))
        found = PathSet(graph, losses, target)
        assert found.count == len(expected)
        assert sorted((path.nodes, path.term.ravel().astype(int).tolist()) for path in found) == expected
        whole = found.gradient
        for path in found:
            assert path.norm == pytest.approx(np.linalg.norm(path.term), rel=1e-14)
            assert path.loss == path.nodes[0]
            assert path.nodes[-1] == target
            if whole.any():
                assert path.share == pytest.approx((path.term * whole).sum() / (whole * whole).sum(), rel=1e-13)
            else:
                assert math.isnan(path.share)


@given(dag=integer_dags())
def test_ranks_follow_the_rule_of_the_order(dag):
    """By loss; then at each node the target first, then the latest node first; then by the key of the edge."""
    graph = dag.build()
    losses = names_of(graph, "loss")
    position = {name: index for index, name in enumerate(graph)}
    for target in ("P", "x1"):

        def place(path, target=target):
            steps = zip(path.nodes[1:], path.keys, strict=True)
            return [losses.index(path.nodes[0])] + [(name != target, -position[name], key) for name, key in steps]

        expected = sorted(all_paths(graph, losses, target), key=place)
        found = list(PathSet(graph, losses, target))
        assert [path.nodes for path in found] == [path.nodes for path in expected]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one.term, other.term.astype(float))
        assert [path.rank for path in found] == list(range(len(found)))


# ---------------------------------------------------------------- one path


@given(recipe=recipes(steps=st.integers(1, 5), activations=bounded))
def test_the_term_is_the_product_of_the_factors(recipe):
    run = recipe.unroll()
    for detail in DETAILS:
        for target in ("W", "c", "s0"):
            for path in run.paths(f"L{run.steps}", target, detail=detail):
                blocks = np.ones((run.instances, 1, 1))
                norms = []
                for factor in path.factors:
                    blocks = blocks @ factor.matrix() if factor.jacobian.out_shape else factor.matrix()
                    shared = factor.jacobian.per_instance
                    norms.append(np.linalg.norm(blocks if shared else blocks.sum(axis=0)))
                shape = path.term.shape
                product = (blocks if path.factors[-1].jacobian.per_instance else blocks.sum(axis=0)).reshape(shape)
                size = max(1e-300, np.prod([factor.norm for factor in path.factors]))
                np.testing.assert_allclose(path.term, product, rtol=1e-9, atol=1e-13 * size)
                assert path.norm == pytest.approx(np.linalg.norm(product), rel=1e-9, abs=1e-13 * size)
                np.testing.assert_allclose(path.running_norms, norms, rtol=1e-9, atol=1e-13 * size)
                assert path.running_norms[-1] == pytest.approx(path.norm, rel=1e-12, abs=1e-300)
                for factor in path.factors:
                    assert factor.norm == pytest.approx(np.linalg.norm(factor.matrix()), rel=1e-12, abs=1e-300)


def test_factors_are_written_as_in_the_article(article):
    symbols = [factor.symbol for factor in article.paths("L4", "W")[1].factors]
    assert symbols == ["∂L₄/∂ŷ₄", "∂ŷ₄/∂s₄", "∂s₄/∂s₃", "∂⁺s₃/∂W"]
    ends = [(factor.head, factor.tail) for factor in article.paths("L4", "W")[1].factors]
    assert ends == [("L4", "yhat4"), ("yhat4", "s4"), ("s4", "s3"), ("s3", "W")]


def test_running_norms_are_those_of_the_textbook_even_at_an_output(article):
    """‖∂L/∂ŷ‖ = ‖p/ŷ‖, not the norm of the coordinate in which it is kept."""
    path = article.paths("L4", "W")[2]
    yhat, wanted = article.graph.nodes["yhat4"]["value"], article.targets[3]
    assert path.running_norms[0] == pytest.approx(np.linalg.norm(wanted / yhat), rel=1e-13)
    assert path.running_norms[0] == pytest.approx(path.factors[0].norm, rel=1e-13)
    assert len(path.running_norms) == len(path.factors) == len(path.nodes) - 1


@pytest.mark.parametrize("detail", DETAILS)
def test_the_path_to_an_output_ends_in_the_textbook_s_coordinates(article, detail):
    (path,) = article.paths("L3", "yhat3", detail=detail)
    expected = -article.targets[2] / article.graph.nodes["yhat3"]["value"]
    np.testing.assert_allclose(path.term, expected, rtol=1e-13)
    np.testing.assert_allclose(path.factors[-1].matrix()[:, 0], expected, rtol=1e-13)
    assert path.running_norms[-1] == pytest.approx(path.norm, rel=1e-13)


def test_the_norm_of_a_factor_needs_no_matrix_of_a_parameter(monkeypatch, article):
    """∂⁺ŷ/∂V as a matrix has k · k d entries: gigabytes for a vocabulary of thousands."""
    right = Jacobian.matrix
    expected = {}
    for param in "UWVbc":
        for path in article.paths("L3", param):
            expected |= {(f.head, f.tail): np.linalg.norm(f.matrix()) for f in path.factors}

    def matrix(self):
        assert self.per_instance, "no matrix of a parameter"
        return right(self)

    monkeypatch.setattr(Jacobian, "matrix", matrix)
    for param in "UWVbc":
        for path in article.paths("L3", param):
            for factor in path.factors:
                assert factor.norm == pytest.approx(expected[factor.head, factor.tail], rel=1e-12)


def test_a_matrix_too_large_for_memory_is_refused_before_it_is_made(monkeypatch, article):
    monkeypatch.setattr(terms_module, "MEMORY_LIMIT", 3 * 9 * 8 - 1)
    *inner, last = article.paths("L3", "W")[0].factors
    for factor in inner:
        assert factor.matrix().size <= 12
    monkeypatch.setattr(Jacobian, "matrix", None)
    with pytest.raises(UnrollvizError, match=r"shape \(1, 3, 9\)"):
        last.matrix()


# ---------------------------------------------------------------- a set is a sequence

SETS = {
    "L4 to W": lambda: uz.article().paths("L4", "W"),
    "all to W": lambda: uz.article().paths(to="W"),
    "all to W by op": lambda: uz.article().paths(to="W", detail="op"),
    "x ⊙ x": lambda: PathSet(doubling(5).graph, ["L5"], "x"),
    "to c": lambda: uz.article().paths(to="c"),
    "none": lambda: uz.article().paths("L1", "x2"),
}
every_set = pytest.mark.parametrize("make", SETS.values(), ids=SETS)


@every_set
def test_indexing_is_that_of_a_list(make):
    paths = make()
    listed = list(paths)
    assert len(listed) == len(paths) == paths.count
    for index in range(-len(listed), len(listed)):
        assert paths[index].nodes == listed[index].nodes
        assert paths[index].rank == listed[index].rank
    for index in (len(listed), -len(listed) - 1, 10**30):
        with pytest.raises(IndexError):
            paths[index]
    with pytest.raises(TypeError):
        paths["0"]
    assert [path.rank for path in paths] == [path.rank for path in paths], "a set may be walked again"


SLICES = [
    slice(None),
    slice(2, 5),
    slice(-3, None),
    slice(None, -2),
    slice(None, None, 2),
    slice(1, None, 3),
    slice(None, None, -1),
    slice(5, 1, -2),
    slice(-1, -4, -1),
    slice(3, 3),
    slice(5, 2),
    slice(100, 200),
    slice(0, 10**30),
    slice(None, None, 10**30),
]


@every_set
@pytest.mark.parametrize("part", SLICES, ids=str)
def test_slicing_is_that_of_a_list(make, part):
    paths = make()
    listed, found = list(paths), paths[part]
    expected = listed[part]
    assert isinstance(found, PathSet)
    assert found.count == len(found) == len(expected)
    assert [path.rank for path in found] == [path.rank for path in expected]
    assert [path.nodes for path in found] == [path.nodes for path in expected]
    assert [path.share for path in found] == pytest.approx([path.share for path in expected], nan_ok=True)
    np.testing.assert_allclose(
        found.sum(), sum((path.term for path in expected), start=np.zeros_like(paths.gradient)), rtol=1e-12, atol=1e-15
    )
    for index in range(-len(expected), len(expected)):
        assert found[index].rank == expected[index].rank
    for again in SLICES:
        assert [path.rank for path in found[again]] == [path.rank for path in expected[again]]
    table = found.table()
    assert table.ranks.tolist() == [path.rank for path in expected]
    assert table.norms.tolist() == pytest.approx([path.norm for path in expected])
    assert [f"L{t}" for t in table.losses] == [path.loss for path in expected]
    assert table.entries.tolist() == [path.entry for path in expected]


def test_a_slice_refers_its_shares_to_the_whole_set(article):
    paths = article.paths(to="W")
    whole = paths.gradient
    for path in paths[3:9]:
        assert path.share == pytest.approx((path.term * whole).sum() / (whole * whole).sum(), rel=1e-11)
    np.testing.assert_array_equal(paths[3:9].gradient, whole)
    assert paths[3:9].total_norm == paths.total_norm


def test_a_slice_sums_norms_of_its_own_paths(article):
    paths = article.paths(to="W")
    norms = [path.norm for path in paths]
    assert paths.norm_sum == pytest.approx(math.fsum(norms), rel=1e-14)
    assert paths[2:5].norm_sum == pytest.approx(math.fsum(norms[2:5]), rel=1e-14)
    assert paths[:0].norm_sum == 0.0
    assert paths.norm_sum == pytest.approx(math.fsum(norms), rel=1e-14)


def test_cancellation_is_that_of_the_whole_set(article):
    paths = article.paths(to="W")
    assert paths.cancellation == pytest.approx(paths.norm_sum / paths.total_norm, rel=1e-13)
    assert paths.cancellation >= 1.0


# ---------------------------------------------------------------- finding a path


@given(recipe=recipes(steps=st.integers(1, 4)))
def test_find_is_the_inverse_of_nodes(recipe):
    run = recipe.unroll()
    for detail in DETAILS:
        for target in ("W", "V", "x1"):
            paths = run.paths(to=target, detail=detail)
            for path in paths:
                found = paths.find(path.nodes)
                assert (found.rank, found.nodes, found.loss, found.entry) == (
                    path.rank,
                    path.nodes,
                    path.loss,
                    path.entry,
                )
                assert paths.find(list(path.nodes)).rank == path.rank


def test_find_in_a_slice_finds_what_is_in_the_slice(article):
    paths = article.paths(to="W")
    for part in (paths[4:9], paths[::-1], paths[1::3]):
        for path in part:
            assert part.find(path.nodes).rank == path.rank
    with pytest.raises(UnrollvizError):
        paths[4:9].find(paths[0].nodes)


def test_find_among_parallel_edges_gives_the_first(article):
    paths = PathSet(doubling(3).graph, ["L3"], "x")
    assert {path.nodes for path in paths} == {paths[0].nodes}
    assert paths.find(paths[5].nodes).rank == 0


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (("L6", "yhat4", "s4", "W"), "unknown start of a path 'L6'; did you mean L4"),
        (("L5", "yhat5", "s5", "W"), "unknown start of a path 'L5'"),
        (("L4", "yhat3", "s4", "W"), "unknown step of a path from L4 'yhat3'; did you mean yhat4"),
        (("L4", "yhat4", "s3", "W"), "unknown step of a path from yhat4 's3'; did you mean s4"),
        (("L4", "yhat4", "s4", "s2", "W"), "unknown step of a path from s4 's2'; did you mean s3"),
        (("L4", "yhat4", "s4", "U"), "unknown step of a path from s4 'U'"),
        (("L4", "yhat4", "s4", "x4"), "unknown step of a path from s4 'x4'"),
        (("L4", "yhat4", "s4"), "unknown end of a path 's4'"),
        (("L4",), "unknown end of a path 'L4'"),
        ((), "unknown start of a path ''"),
        (("W",), "unknown start of a path 'W'"),
        (("L4", "yhat4", "s4", "W", "s3"), "from W 's3'"),
    ],
)
def test_a_path_that_is_not_there_is_answered_with_the_nearest_step(article, nodes, message):
    with pytest.raises(UnknownName, match=message):
        article.paths("L4", "W").find(nodes)


# ---------------------------------------------------------------- the heaviest


@given(recipe=recipes(), k=st.integers(0, 40))
def test_top_is_the_sorted_enumeration(recipe, k):
    run = recipe.unroll()
    paths = run.paths(to="W", detail="op")
    listed = list(paths)
    by_norm = sorted(listed, key=lambda path: (-path.norm, path.rank))[:k]
    assert [path.rank for path in paths.top(k)] == [path.rank for path in by_norm]
    assert [path.norm for path in paths.top(k)] == [path.norm for path in by_norm]
    if run.gradient("W").any():
        by_share = sorted(listed, key=lambda path: (-abs(path.share), path.rank))[:k]
        assert [path.rank for path in paths.top(k, by="share")] == [path.rank for path in by_share]
    for path in paths.top(k, by="norm"):
        assert path.nodes == listed[path.rank].nodes
        assert path.entry == listed[path.rank].entry


def test_top_of_a_slice_is_of_the_slice(article):
    part = article.paths(to="W")[3:8]
    assert sorted(path.rank for path in part.top(99)) == [3, 4, 5, 6, 7]


def test_top_by_something_else_is_refused(article):
    with pytest.raises(UnknownName, match="unknown order of paths 'norms'; did you mean norm"):
        article.paths("L4", "W").top(3, by="norms")


# ---------------------------------------------------------------- too many


def everything_that_lists(paths):
    return {
        "sum": paths.sum,
        "table": paths.table,
        "norm_sum": lambda: paths.norm_sum,
        "cancellation": lambda: paths.cancellation,
        "as_flow": paths.as_flow,
    }


@pytest.mark.parametrize("what", ["sum", "table", "norm_sum", "cancellation", "as_flow"])
def test_too_many_paths_are_refused_at_the_call_with_the_exact_count(monkeypatch, article, what):
    paths = article.paths(to="W")
    monkeypatch.setattr(paths_module, "PATH_LIMIT", 14)
    walked = []
    monkeypatch.setattr(paths_module, "sweep", lambda *args: walked.append(args) or iter(()))
    with pytest.raises(TooManyPaths, match="15 paths are more than the limit of 14; ") as caught:
        everything_that_lists(paths)[what]()
    assert caught.value.count == 15
    assert not walked, "refused before a single path is walked"


def test_every_method_that_lists_has_the_limit(monkeypatch, article):
    paths = article.paths(to="W")
    monkeypatch.setattr(paths_module, "PATH_LIMIT", 14)
    for ask in everything_that_lists(paths).values():
        with pytest.raises(TooManyPaths):
            ask()
    with pytest.raises(TooManyPaths):
        article.flow("W", by="path")
    assert [path.rank for path in paths.top(15)] == [path.rank for path in article.paths(to="W").top(15)]
    part = paths[:14]
    for ask in everything_that_lists(part).values():
        ask()
    assert len(list(paths)) == 15, "walking along has no limit"
    assert issubclass(TooManyPaths, UnrollvizError)


def test_the_limit_itself_is_not_too_many(monkeypatch, article):
    paths = article.paths(to="W")
    monkeypatch.setattr(paths_module, "PATH_LIMIT", 15)
    np.testing.assert_allclose(paths.sum(), paths.gradient, rtol=1e-12)


def test_to_pandas_needs_no_more_than_it_says(monkeypatch, article):
    paths = article.paths("L4", "W")
    monkeypatch.setattr(paths_module, "PATH_LIMIT", 3)
    pandas = pytest.importorskip("pandas")
    with pytest.raises(TooManyPaths):
        paths.to_pandas()
    frame = paths[:3].to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["nodes", "loss", "entry", "lag", "norm", "log10_norm", "share"]
    assert frame["lag"].tolist() == [0, 1, 2]
    assert frame["nodes"].tolist() == [path.nodes for path in paths[:3]]
    heaviest = article.paths("L4", "W")[:3].top(2)
    assert heaviest.to_pandas()["norm"].tolist() == [path.norm for path in heaviest]


def test_tables_of_paths(article):
    paths = article.paths("L4", "W")
    table = paths.as_table()
    assert table.columns == ("nodes", "loss", "entry", "lag", "norm", "log10_norm", "share")
    assert table.rows[1] == ["L4 yhat4 s4 s3 W", "L4", 3, 1, paths[1].norm, paths[1].log10_norm, paths[1].share]
    assert paths.top(2, by="share").as_table().rows == table.rows[:2]
    units = article.paths("L4", "W[0,1]", detail="unit").top(1)
    assert units.as_table().rows[0][:5] == ["L4 yhat4[2] s4[0] W[0,1]", "L4", 4, 0, units[0].norm]
    assert table.csv().decode().splitlines()[1].startswith("L4 yhat4 s4 W,L4,4,0,")


# ---------------------------------------------------------------- astronomically many


@pytest.fixture(scope="module")
def many() -> PathSet:
    return PathSet(doubling(100).graph, ["L100"], "x")


def test_2_to_the_100_paths_are_counted_and_any_of_them_is_read(many):
    assert many.count == 2**100
    assert type(many.count) is int
    with pytest.raises(OverflowError, match=r"use \.count"):
        len(many)
    one = many[0]
    np.testing.assert_allclose(one.term, [[-0.5, 0.5]], rtol=1e-15)
    for rank in (0, 1, 2**31, 2**62, 2**63 - 1, 2**63, 2**64, 2**99, 2**100 - 1):
        path = many[rank]
        assert path.rank == rank
        np.testing.assert_allclose(path.term, one.term, rtol=1e-15)
        assert path.norm == pytest.approx(math.sqrt(0.5), rel=1e-14)
        assert path.share == pytest.approx(2.0**-100, rel=1e-12)
        assert len(path.nodes) == 103
        keys = [edge.key for edge in path._edges[2:]]
        assert int("".join(map(str, keys)), 2) == rank, "the path takes the edges that its rank spells in binary"
    assert many[-1].rank == 2**100 - 1


def test_slices_of_2_to_the_100_paths(many):
    middle = many[2**99 - 2 : 2**99 + 2]
    assert middle.count == 4
    assert [path.rank for path in middle] == [2**99 - 2, 2**99 - 1, 2**99, 2**99 + 1]
    np.testing.assert_allclose(middle.sum(), 4 * many[0].term, rtol=1e-14)
    assert many[::-1].count == 2**100
    assert many[:: 2**98].count == 4
    assert [path.rank for path in many[:: 2**98]] == [0, 2**98, 2**99, 3 * 2**98]
    assert [path.rank for path in itertools.islice(many, 300)] == list(range(300))
    assert [path.rank for path in itertools.islice(many[::-1], 2)] == [2**100 - 1, 2**100 - 2]
    with pytest.raises(TooManyPaths, match="1,267,650,600,228,229,401,496,703,205,376 paths") as caught:
        many.sum()
    with pytest.raises(TooManyPaths, match=r"--top 12; top\(12\)\), or take the sum apart \(flow --by lag; flow\(by="):
        many.table()
    assert caught.value.count == 2**100
    assert many[5 : 2**70].count == 2**70 - 5
    assert repr(many) == "<PathSet L100 to x: 1,267,650,600,228,229,401,496,703,205,376 paths>"


@pytest.mark.parametrize("times", [61, 62, 63, 64])
def test_ranks_around_the_end_of_64_bits(times):
    paths = PathSet(doubling(times).graph, [f"L{times}"], "x")
    assert [path.rank for path in paths[-3:]] == [2**times - 3, 2**times - 2, 2**times - 1]
    assert paths[2 ** (times - 1)].rank == 2 ** (times - 1)


# ---------------------------------------------------------------- blocks


@settings(max_examples=20)
@given(recipe=recipes(steps=st.integers(3, 7)), rows=st.integers(1, 9))
def test_blocks_of_any_size_give_the_same_table(recipe, rows):
    run = recipe.unroll()
    with pytest.MonkeyPatch.context() as patched:
        for detail in DETAILS:
            paths = run.paths(to="W", detail=detail)
            table, total = paths.table(), paths.sum()
            patched.setattr(paths_module, "_BLOCK_ROWS", rows)
            again = run.paths(to="W", detail=detail)
            for name in ("ranks", "losses", "entries"):
                np.testing.assert_array_equal(getattr(again.table(), name), getattr(table, name))
            np.testing.assert_allclose(again.table().norms, table.norms, rtol=1e-13, atol=1e-300)
            np.testing.assert_allclose(again.table().shares, table.shares, rtol=1e-11, atol=1e-12)
            assert np.abs(again.sum() - total).max() <= 1e-13 * paths.norm_sum
            assert [path.nodes for path in again] == [path.nodes for path in paths]
            patched.undo()


def test_blocks_are_small_where_a_block_of_bytes_is_small(monkeypatch):
    run = Recipe(steps=6).unroll()
    expected = run.paths(to="U").table()
    monkeypatch.setattr(paths_module, "_BLOCK_BYTES", 1)
    np.testing.assert_allclose(run.paths(to="U").table().norms, expected.norms, rtol=1e-13)


def test_more_paths_than_the_first_block():
    """The first block has 256 rows, so that somebody who wants a few does not wait."""
    run = Recipe(steps=40, inputs=2, hidden=2, outputs=2, instances=1).unroll()
    paths = run.paths(to="W")
    assert paths.count == 820
    assert [path.rank for path in paths] == list(range(820))
    np.testing.assert_allclose([path.norm for path in paths[250:262]], paths.table().norms[250:262], rtol=1e-12)
    np.testing.assert_allclose(paths.sum(), paths.gradient, rtol=1e-10, atol=1e-13 * paths.norm_sum)


def test_half_a_million_paths_are_counted_at_once_and_read_anywhere():
    run = Recipe(steps=1000, inputs=1, hidden=2, outputs=2, instances=1, scale=0.5).unroll()
    paths = run.paths(to="W")
    assert paths.count == 500_500
    assert repr(paths) == "<PathSet L1, …, L1000 to W: 500,500 paths>"
    last = paths[-1]
    assert (last.rank, last.loss, last.entry, last.lag) == (500_499, "L1000", 1, 999)
    assert len(last.nodes) == 1003
    assert paths[499_500].nodes == ("L1000", "yhat1000", "s1000", "W")
    assert paths.find(paths[123_456].nodes).rank == 123_456


# ---------------------------------------------------------------- the front door


def test_paths_needs_a_target(article):
    with pytest.raises(UnrollvizError, match=r"write paths\('L4', 'W'\)"):
        article.paths("L4")


def test_a_set_made_by_hand_of_names_that_are_not_there_is_refused(article):
    with pytest.raises(UnknownName, match="unknown parameter or node 's9'; did you mean s"):
        PathSet(article.graph, ["L4"], "s9")
    with pytest.raises(UnknownName, match="unknown loss 'L9'"):
        PathSet(article.graph, ["L9"], "W")


def test_a_set_shows_what_it_is(article):
    assert repr(article.paths("L4", "W")) == "<PathSet L4 to W: 4 paths>"
    assert repr(article.paths(to="W")) == "<PathSet L1, …, L5 to W: 15 paths>"
    assert repr(article.paths(["L1", "L2"], "V")) == "<PathSet L1, L2 to V: 2 paths>"
    assert "jacobian" not in repr(article.paths("L4", "W")[0])
