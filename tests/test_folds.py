"""What a gradient can be taken apart by: routes, products, functions of one's own; against single paths, one by one."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

import unrollviz as uz
from unrollviz.cells import CELLS as CELL_TABLE
from unrollviz.cells import Cell, add, gated, mul, one_minus, tanh
from unrollviz.errors import TooManyPaths, UnknownName, UnrollvizError
from unrollviz.flows.folds import GROUPS, carries, grouping, kinds, uses
from unrollviz.sweep import FOLDS

CELLS = ("elman", "gru", "lstm")
EVERY = (*FOLDS, "route", "path")


def unrolled(cell="lstm", steps=3, seed=0, hidden=2, instances=1, scale=1.0, **network):
    rng = np.random.default_rng(seed)
    net = uz.Network.init(cell, 2, hidden, 3, seed=seed, **network)
    net = net.replace(
        **{name: scale * value + 0.1 * rng.normal(size=value.shape) for name, value in net.params.items()}
    )
    return uz.unroll(net, rng.normal(size=(steps, instances, 2)), rng.integers(0, 3, (steps, instances)))


runs = st.builds(
    unrolled,
    st.sampled_from(CELLS),
    steps=st.integers(1, 3),
    seed=seeds,
    hidden=st.integers(1, 3),
    instances=st.integers(1, 2),
    scale=st.sampled_from([0.3, 1.0, 3.0]),
)


def crossed(path):
    """The kinds of edges of a path at level op, read off its nodes' names: W_f@h3 is W_f, f4*c3 is f."""
    found = []
    for head, tail in zip(path.nodes, path.nodes[1:], strict=False):
        first, at, second = head.partition("@")
        star = head.split("*")
        if at and second == tail and (first.rpartition(".")[2].startswith("W") or (".U" in first and "x" not in tail)):
            found.append(first)
        elif len(star) == 2 and star[1] == tail and tail.rpartition(".")[2][0] in "ch" and star[0][-2] in "fz":
            found.append(star[0].rstrip("0123456789"))
    return found


def grouped(paths, label):
    """label -> [number of paths, sum of terms], path by path."""
    rows = defaultdict(lambda: [0, 0.0])
    for path in paths:
        row = rows[label(path)]
        row[0] += 1
        row[1] = row[1] + path.term
    return rows


def assert_rows(found, expected, S):
    labels = [tuple(label) for label in found.labels.tolist()]
    assert sorted(labels) == sorted(expected)
    assert len(set(labels)) == len(labels)
    size = np.sum(found.gradient**2)
    for label, count, norm, share, term in zip(
        labels, found.counts, found.norms, found.shares, found.terms, strict=True
    ):
        paths, total = expected[label]
        assert count == paths
        assert type(count) is int
        assert np.abs(term - total).max() <= 1e-13 * S
        assert abs(norm - np.linalg.norm(total)) <= 1e-12 * S
        if size > 0:
            assert share == pytest.approx(np.sum(total * found.gradient) / size, abs=1e-12 * max(1, S / size**0.5))


@given(run=runs)
def test_routes_are_what_single_paths_cross(run):
    param = run.recurrent_weight
    paths = run.paths(to=param, detail="op")
    found = run.flow(param, by="route")
    assert list(found.columns) == list(kinds(run.graph))
    expected = grouped(paths, lambda path: tuple(crossed(path).count(kind) for kind in found.columns))
    assert_rows(found, expected, paths.norm_sum + 1e-300)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("more", [{"layers": 2}, {"bidirectional": True}, {"layers": 2, "bidirectional": True}])
def test_routes_through_layers_and_directions(cell, more):
    run = unrolled(cell, steps=2, **more)
    param = run.recurrent_weight
    paths = run.paths("L2", param, detail="op")
    found = run.flow(param, "route", "L2")
    if "layers" in more and "bidirectional" not in more:
        assert any(carries(kind) == "layers" for kind in found.columns)
    if "bidirectional" not in more:
        expected = grouped(paths, lambda path: tuple(crossed(path).count(kind) for kind in found.columns))
        assert_rows(found, expected, paths.norm_sum)
    assert sum(found.counts) == paths.count
    np.testing.assert_allclose(found.terms.sum(axis=0), paths.gradient, atol=1e-13 * paths.norm_sum)


def test_kinds_of_edges_and_their_groups():
    assert list(kinds(unrolled("elman").graph)) == ["W"]
    assert list(kinds(unrolled("lstm").graph)) == ["W_i", "W_f", "W_g", "W_o", "f"]
    assert list(kinds(unrolled("gru").graph)) == ["W_r", "W_z", "W_n", "z"]
    stacked = kinds(unrolled("lstm", layers=2).graph)
    assert [kind for kind, (group, _) in stacked.items() if group == "layers"] == [f"l2.U_{gate}" for gate in "ifgo"]
    for kind, (group, edges) in stacked.items():
        assert carries(kind) == group
        assert group in GROUPS
        assert len(edges) == 3, "one a step: the first hangs on the initial state"


def minimal_gated_unit(p, x, state):
    """(1 - f) ⊙ h is the highway; f ⊙ h is what W_n is applied to."""
    (h,) = state
    f = p.gate("f", x, h)
    n = tanh(p.affine("n", x, mul(f, h)), name="n", role="gate")
    return (add(mul(one_minus(f), h), mul(f, n), name="h", role="state"),)


def by_no_gate(p, x, state):
    """Neither i ⊙ f nor h itself is a gate, nor is k, what a gate was a step ago."""
    h, k = state
    i, f = p.gate("i", x, h), p.gate("f", x, h)
    h = tanh(add(mul(mul(i, f), h), mul(h, h), mul(k, h)), name="h", role="state")
    return h, one_minus(f, name="k", role="state")


def decaying(p, x, state):
    """The product is the next state, to which weights are applied; i ⊙ x skips a layer, and no step."""
    _, c = state
    i, f = p.gate("i", x, c), p.gate("f", x, c)
    c = mul(one_minus(mul(f, f)), c, name="c", role="state")
    return add(mul(i, x), tanh(c), name="h", role="state"), c


@pytest.mark.parametrize(
    ("cell", "weights", "highways"),
    [
        (Cell(minimal_gated_unit, ("h",), gated("fn")), {"W_f", "W_n"}, {"f": "one_minus({p}f3)*{p}h2"}),
        (Cell(by_no_gate, ("h", "k"), gated("if")), {"W_i", "W_f"}, {}),
        (Cell(decaying, ("h", "c"), gated("if")), {"W_i", "W_f"}, {"f": "{p}c3"}),
    ],
)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("learned", [False, True])
def test_a_highway_is_a_state_times_one_gate_that_no_weight_is_applied_to(
    monkeypatch, cell, weights, highways, layers, learned
):
    monkeypatch.setitem(CELL_TABLE, "own", cell)
    run = unrolled("own", layers=layers, learn_initial=learned)
    found = kinds(run.graph)
    prefixes = ["l1.", "l2."] if layers == 2 else [""]
    assert {k for k, (group, _) in found.items() if group == "weights"} == {p + w for p in prefixes for w in weights}
    assert {k for k, (group, _) in found.items() if group == "highway"} == {p + w for p in prefixes for w in highways}
    for prefix in prefixes:
        for gate, product in highways.items():
            edges = found[f"{prefix}{gate}"][1]
            assert len(edges) == 3, "one a step"
            assert product.format(p=prefix) in {head for head, _, _ in edges}


@given(run=runs)
def test_groups_of_kinds_are_the_sums_of_their_kinds(run):
    param = run.recurrent_weight
    whole, groups = run.flow(param, by="route"), [g for g in GROUPS if any(carries(k) == g for k in kinds(run.graph))]
    coarse = run.flow(param, by=f"route:{','.join(groups)}")
    rows = defaultdict(lambda: [0, 0.0])
    for label, count, term in zip(whole.labels.tolist(), whole.counts, whole.terms, strict=True):
        key = tuple(sum(n for n, k in zip(label, whole.columns, strict=True) if carries(k) == g) for g in groups)
        rows[key][0] += count
        rows[key][1] = rows[key][1] + term
    assert_rows(coarse, rows, run.paths(to=param, detail="op").norm_sum + 1e-300)


def test_the_constant_error_carousel_at_t_100():
    """What goes by the highway alone, of 10^67 paths, against the chain of forget gates by hand."""
    run = unrolled("lstm", steps=100, hidden=3)
    found = run.flow("b_f", by="route:weights,highway")
    assert sum(found.counts) == run.paths(to="b_f", detail="op").count > 10**60
    alone = found.terms[found.labels[:, 0] == 0].sum(axis=0)
    values = {name: node["value"] for name, node in run.graph.nodes(data=True)}
    params = run.network.params
    expected = np.zeros(3)
    for t in range(1, 101):
        error = (values[f"yhat{t}"] - run.targets[t - 1])[0] @ params["V"]
        at_c = error * values[f"o{t}"][0] / np.cosh(values[f"c{t}"][0]) ** 2
        for k in range(t, 0, -1):
            f = values[f"f{k}"][0]
            expected += at_c * values[f"c{k - 1}"][0] * f * (1 - f)
            at_c = at_c * f
    np.testing.assert_allclose(alone, expected, rtol=1e-10)


@given(run=runs, data=st.data())
def test_a_product_has_the_rows_of_both(run, data):
    param = run.recurrent_weight
    first, second = data.draw(st.permutations(["loss", "entry", "lag", "route", "temporal"]).map(lambda p: p[:2]))
    both = run.flow(param, by=(first, second))
    S = run.paths(to=param, detail="op").norm_sum + 1e-300
    one = run.flow(param, by=first, detail="op")
    other = run.flow(param, by=second, detail="op")
    assert both.columns == (*one.columns, *other.columns)
    assert both.by == f"{first}, {second}"
    width = len(one.columns)
    counts = both.counts if "route" in (first, second) else run.flow(param, by=(first, second), detail="op").counts
    for single, part in ((one, slice(0, width)), (other, slice(width, None))):
        rows = defaultdict(lambda: [0, 0.0])
        for label, count, term in zip(both.labels[:, part].tolist(), counts, both.terms, strict=True):
            rows[tuple(label)][0] += count
            rows[tuple(label)][1] = rows[tuple(label)][1] + term
        assert_rows(single, rows, S)


@given(run=runs, detail=st.sampled_from(["state", "gate", "op"]))
def test_a_function_labels_paths_edge_by_edge(run, detail):
    """Which states a path visits, up to three; many paths have equal labels, and labels are tuples."""

    def visited(label, edge):
        before = label or ()
        return (*before, edge.tail[0])[-3:] if edge.tail[0] in "hcs" and edge.tail not in ("c", "b") else before

    param = run.recurrent_weight
    paths = run.paths(to=param, detail=detail)
    found = run.flow(param, by=visited, detail=detail)
    assert found.columns == ("visited",)

    def label(path):
        reached = None
        for factor, tail in zip(path._edges, path.nodes[1:], strict=True):
            assert factor.tail == tail
            reached = visited(reached, factor)
        return (reached,)

    assert_rows(found, grouped(paths, label), paths.norm_sum + 1e-300)


def test_a_function_may_give_numbers_strings_and_nothing():
    run = unrolled("gru", steps=4)
    by_number = run.flow("W_n", by=lambda n, edge: (n or 0) + edge.head.startswith("h"))
    assert sorted(by_number.labels[:, 0].tolist()) == [1, 2, 3, 4]
    assert run.flow("W_n", by=lambda label, edge: None).counts == (run.paths(to="W_n").count,)
    with pytest.raises(UnrollvizError, match="returned a list, which cannot be a label; return a number"):
        run.flow("W_n", by=lambda label, edge: [edge.tail])
    with pytest.raises(ZeroDivisionError):
        run.flow("W_n", by=lambda label, edge: 1 // 0)
    with pytest.raises(TypeError) as failed:
        run.flow("W_n", by=lambda label, edge: label + 1)
    assert "at a loss it is None" in failed.value.__notes__[0]


def test_a_function_goes_with_folds():
    run = unrolled("lstm", steps=3)
    by = run.flow("W_f", by=("lag", lambda label, edge: "late" if "3" in edge.head else label))
    lags = run.flow("W_f", by="lag")
    assert by.columns == ("lag", "<lambda>")
    for lag, count in zip(lags.labels[:, 0], lags.counts, strict=True):
        here = by.labels[:, 0] == lag
        assert sum(c for c, is_here in zip(by.counts, here, strict=True) if is_here) == count


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("by", [*EVERY, ("loss", "path"), ("temporal", "path"), ("lag", "loss"), ("route", "entry")])
def test_rows_add_up_on_every_cell_and_every_fold(cell, by):
    run = unrolled(cell, steps=4, instances=2)
    for param in run.network.params:
        found = run.flow(param, by=by)
        detail = "op" if "route" in by else "state"
        paths = run.paths(to=param, detail=detail)
        assert sum(found.counts) == paths.count
        assert np.abs(found.terms.sum(axis=0) - paths.gradient).max() <= 1e-13 * paths.norm_sum
        np.testing.assert_allclose(found.norms, [np.linalg.norm(term) for term in found.terms], rtol=1e-10)
        assert found.shares.sum() == pytest.approx(1.0, abs=1e-10)
        np.testing.assert_allclose(10**found.log10_norms, found.norms, rtol=1e-10)


def test_products_with_path_label_every_path():
    run = unrolled("elman", steps=3)
    found = run.flow("W", by=["loss", "lag", "path"])
    assert found.columns == ("loss", "lag", "path")
    assert found.labels.tolist() == [[int(p.loss[1:]), p.lag, p.rank] for p in run.paths(to="W")]
    with pytest.raises(UnrollvizError, match="path goes with total, loss, entry, lag, temporal, not with route"):
        run.flow("W", by=("route", "path"))


# ---------------------------------------------------------------- what is refused


def test_unknown_names_are_refused_with_the_nearest():
    run = unrolled("lstm")
    with pytest.raises(UnknownName, match="did you mean route"):
        run.flow("W_f", by="rout")
    with pytest.raises(UnknownName, match="unknown kind of edge 'W_x'; did you mean W_"):
        run.flow("W_f", by="route:W_x")
    with pytest.raises(UnknownName, match="unknown kind of edge 'layers'"):
        run.flow("W_f", by="route:layers")
    with pytest.raises(UnrollvizError, match="by names nothing"):
        run.flow("W_f", by=())
    with pytest.raises(UnrollvizError, match="routes are made of single edges, which level state has not"):
        run.flow("W_f", by="route", detail="state")
    with pytest.raises(UnknownName, match="level of detail"):
        run.flow("W_f", by="lag", detail="states")


@pytest.mark.parametrize(("limit", "value"), [("STACK_LIMIT", 8 * 2 * 100), ("LABEL_LIMIT", 100)])
def test_too_many_labels_are_refused_before_the_memory_is_taken(monkeypatch, limit, value):
    import unrollviz.flows.summed as summed_module

    monkeypatch.setattr(summed_module, limit, value)
    run = unrolled("lstm", steps=12)
    with pytest.raises(UnrollvizError, match=r"too many different labels.*route:weights,highway"):
        run.flow("W_f", by="route")
    assert len(run.flow("W_f", by="route:weights").labels) == 12


def test_rows_that_do_not_fit_into_memory_are_refused(monkeypatch):
    monkeypatch.setattr("unrollviz.flows.table.STACK_LIMIT", 200)
    run = unrolled("lstm", steps=12)
    with pytest.raises(UnrollvizError, match=r"cotangents of 12 losses.*take entry"):
        run.flow("W_f", by="temporal")
    assert len(run.flow("W_f", by="entry").norms) == 12


def test_too_many_paths_are_refused_with_their_number():
    run = unrolled("lstm", steps=30)
    with pytest.raises(TooManyPaths) as caught:
        run.flow("W_f", by="path")
    assert str(f"{run.paths(to='W_f').count:,}") in str(caught.value) or "e+" in str(caught.value)


# ---------------------------------------------------------------- parts


def test_uses_are_weighted_by_share():
    assert uses(np.array([0, 1, 3]), np.array([0.5, 0.75, -0.25])) == (0.5, 0.0)


def test_a_network_that_carries_nothing_through_time_has_no_routes():
    run = unrolled("elman", steps=1)
    graph = run.graph.copy()
    graph.remove_node("W@s0")
    with pytest.raises(UnrollvizError, match="no routes"):
        grouping(graph, "route")
