"""Sweeps in which every row's place is known before it is computed: the same sums as the walk for any fold."""

import gc
import tracemalloc
import weakref
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import integer_dags

import unrollviz as uz
from unrollviz import buffers
from unrollviz.arrays import arithmetic
from unrollviz.buffers import Buffer
from unrollviz.carriers import COTANGENTS, COUNTS, SMALL_COUNTS
from unrollviz.classes import Meeting
from unrollviz.composite import Composite, Sloped, chained
from unrollviz.errors import NonFinite
from unrollviz.flows.flow import flow
from unrollviz.flows.grid import Grid
from unrollviz.gradient import count_paths
from unrollviz.graph import names_of
from unrollviz.jacobians import Broadcast, Dense, Diagonal, Identity, Jacobian, Outer
from unrollviz.stacks import times_power
from unrollviz.sweep import FOLDS, LOSS, Fold, classes_of, sweep
from unrollviz.terms import Measures, dots_with
from unrollviz.way import KEPT, Way

KEEPS_LABELS = Fold(seed=LOSS.seed, cross=lambda labels, edge: (labels, None))
"""The same labels as LOSS, but a fold that may heed edges: the walk for any fold."""


def sums(graph, losses, target, fold, carrier=COTANGENTS, transient=False):
    """Label -> its sum at the target, and how many arrivals there were."""
    found, arrivals = {}, Counter()
    for arrival in sweep(graph, losses, [target], [fold], carrier, transient=transient):
        pulled = arrival.edge.jacobian.vjp(arrival.cotangents) if carrier is COTANGENTS else arrival.rows
        for (label,), row in zip(arrival.labels.tolist(), pulled.copy(), strict=True):
            found[label] = found.get(label, 0) + row
            arrivals[label] += 1
    return found, arrivals


@settings(max_examples=80)
@given(dag=integer_dags(), losses=st.lists(st.integers(0, 7), min_size=1, max_size=6), lean=st.booleans())
def test_rows_with_places_of_their_own_are_those_of_the_walk_for_any_fold(dag, losses, lean):
    """In whole numbers, so exactly; with diamonds, parallel edges, and losses that have nothing in common."""
    graph = replace(dag, losses=tuple(losses)).build()
    names = names_of(graph, "loss")
    for target in ("P", "b", "x1"):
        way = Way.to(graph, [target])
        any_fold = sums(way, names, target, KEEPS_LABELS)[0]
        for transient in (False, True):
            found = sums(way.lean() if lean else way, names, target, LOSS, transient=transient)[0]
            assert set(found) >= {label for label, total in any_fold.items() if np.any(total)}
            for label, total in found.items():
                np.testing.assert_array_equal(total, any_fold[label])
        for counts in (COUNTS, SMALL_COUNTS):
            assert sums(way, names, target, LOSS, counts)[0] == sums(way, names, target, KEEPS_LABELS, counts)[0]
        temporal = flow(graph, names, target, FOLDS["temporal"], "temporal", ("loss", "entry"))
        assert len(temporal.labels) == len(temporal.counts)
        assert sum(temporal.counts) == count_paths(graph, names, target)


@pytest.mark.parametrize("options", [{}, {"layers": 2}, {"bidirectional": True, "layers": 2}], ids=str)
@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
@pytest.mark.parametrize("detail", ["state", "op"])
def test_rows_written_over_have_been_handed_on_before(cell, options, detail, monkeypatch):
    """`transient`, few rows at once, so that a product goes over its own rows in several parts."""
    monkeypatch.setattr(buffers, "AT_ONCE", 2)
    rng = np.random.default_rng(0)
    net = uz.Network.init(cell, 2, 3, 2, seed=1, **options)
    for instances in (1, 2):
        run = uz.unroll(net, rng.normal(size=(9, instances, 2)), rng.integers(0, 2, (9, instances)))
        for param in (run.recurrent_weight, "V"):
            way = Way.to(run.level(detail, param), [param])
            expected, _ = sums(way, run.loss_names(), param, KEEPS_LABELS)
            for one in (way, way.lean()):
                assert classes_of(one, run.loss_names(), [LOSS]) is not None
                found, _ = sums(one, run.loss_names(), param, LOSS, transient=True)
                assert set(found) == set(expected)
                for label, total in found.items():
                    np.testing.assert_allclose(total, expected[label], rtol=1e-11, atol=1e-14)


def test_classes_with_a_gap_are_left_to_the_walk_for_any_fold():
    """L0 and L2 read v2, L1 reads v1: v2 has rows of the first and the last of three classes."""
    from strategies import IntegerDag

    dag = IntegerDag(2, 1, (("P", (0, 0)), ("P", (1, 0)), ("relu", (2, 0))), (2, 1, 2), seed=3)
    graph = dag.build()
    way, names = Way.to(graph, ["P"]), names_of(graph, "loss")
    assert classes_of(way, names, [LOSS]) is None
    assert sums(way, names, "P", LOSS)[1] == sums(way, names, "P", KEEPS_LABELS)[1]


def test_losses_from_which_no_path_leads_there_have_labels_of_as_many_columns(article):
    for by, columns in (("temporal", 2), ("loss", 1), (("loss", "entry"), 2)):
        found = article.flow("x4", by, "L1")
        assert found.labels.shape == (0, columns)
        assert found.counts == ()
    assert article.plotted("matrix", "x4", ["L1"]) is not None


def test_what_sweeps_share_cannot_be_written_to(article):
    way = article.way("W")
    for arrival in sweep(way, article.loss_names(), ["W"], FOLDS["temporal"]):
        with pytest.raises(ValueError, match="read-only"):
            arrival.before[0, 0] = 7
    with pytest.raises(ValueError, match="read-only"):
        way.beginning("L2")[1][...] = 0.0


def test_a_cotangent_that_overflows_at_once_is_an_error_and_no_warning():
    """From L_t to s_t, where all sweeps begin."""
    net = uz.Network.init("elman", 2, 3, 2, seed=0).replace(V=np.full((2, 3), 1e308) * [[1], [-1]])
    run = uz.unroll(net, np.zeros((3, 2)), [0, 1, 0], weights=[3.0, 3.0, 3.0])
    for by in ("temporal", "entry", "lag"):
        with pytest.raises(NonFinite):
            run.flow("W", by=by)


SCALED = st.sampled_from([None, 0, -256, -512])


@given(data=st.data(), classes=st.integers(1, 6))
def test_rows_that_meet_are_added_whatever_their_order_and_their_powers_of_two(data, classes):
    first = data.draw(st.integers(0, classes - 1))
    stop = data.draw(st.integers(first + 1, classes))
    meeting, expected = Meeting((first, stop), classes), np.zeros((stop - first, 1, 2))
    uncovered = set(range(first, stop))
    for _ in range(data.draw(st.integers(1, 4))):
        low = data.draw(st.integers(first, stop - 1))
        high = data.draw(st.integers(low + 1, stop))
        among = (np.arange(classes) >= low) & (np.arange(classes) < high)
        powers = [data.draw(SCALED) for _ in range(classes)]
        exponents = None if None in powers else np.where(among, powers, 0)
        numbers = st.lists(st.integers(-4, 4), min_size=2 * (high - low), max_size=2 * (high - low))
        here = Meeting((low, high), classes)
        here.rows, here.powers = np.array(data.draw(numbers), float).reshape(high - low, 1, 2), exponents
        edge = data.draw(st.sampled_from([Identity((1, 2)), Diagonal(np.ones((1, 2)))]))
        meeting.receive(here, edge, COTANGENTS)
        scaled = times_power(here.rows, None if exponents is None else exponents[low:high])
        expected[low - first : high - first] += scaled
        uncovered -= set(range(low, high))
    for index in sorted(uncovered):
        row = np.full((1, 1, 2), float(index))
        meeting.begin(index, row)
        expected[index - first] += row[0]
    meeting.close()
    powers = None if meeting.powers is None else meeting.powers[first:stop]
    np.testing.assert_allclose(times_power(meeting.rows, powers), expected, rtol=1e-15)


def square(kind: str) -> Jacobian:
    rng = np.random.default_rng(4)
    weight, slope = rng.normal(size=(3, 3)), rng.normal(size=(1, 3))
    dense, slopes = Dense(weight, 1), Diagonal(slope)
    return {
        "identity": Identity((1, 3)),
        "diagonal": slopes,
        "dense": dense,
        "dense, several instances": Dense(weight, 4),
        "sloped": Sloped(weight, slope),
        "chain": chained("y", [slopes, dense, Diagonal(slope**2)], "x"),
        "chain that ends in a weight": chained("y", [slopes, dense], "x"),
        "chain that begins with an identity": chained("y", [Identity((1, 3)), dense], "x"),
        "sum": Composite("y", "x", (("y", "1", dense), ("y", "x", slopes), ("1", "x", slopes))),
    }[kind]


@pytest.mark.parametrize("rows", [1, 3, 7, 40])
@pytest.mark.parametrize(
    "kind",
    ["identity", "diagonal", "dense", "dense, several instances", "sloped", "chain", "chain that ends in a weight",
     "chain that begins with an identity", "sum"],
)  # fmt: skip
def test_products_written_to_memory_that_is_there(kind, rows):
    jacobian = square(kind)
    cotangents = np.random.default_rng(rows).normal(size=(rows, *jacobian.out_shape))
    expected = np.array([jacobian.vjp(row[None])[0] for row in cotangents])
    with arithmetic():
        for same in (jacobian, jacobian.for_rows(rows)):
            out = np.full_like(cotangents, np.nan)
            same.vjp_into(cotangents, out)
            np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-14)


@given(data=st.data(), most=st.integers(1, 12), few=st.integers(1, 5))
def test_rows_of_a_buffer_go_through_edges_and_none_is_written_over_before_its_turn(data, most, few):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffers, "AT_ONCE", few)
        buffer = Buffer(most, (1, 3))
    rows = np.random.default_rng(0).normal(size=(most, 1, 3))
    buffer.rows[...] = rows
    first, stop = 0, most
    for _ in range(data.draw(st.integers(1, 5))):
        first = data.draw(st.integers(first, stop - 1))
        stop = data.draw(st.integers(first + 1, stop))
        jacobian = square(data.draw(st.sampled_from(["identity", "diagonal", "dense", "sloped", "chain", "sum"])))
        with arithmetic():
            buffer.pull(jacobian, first, stop)
            rows = jacobian.vjp(rows)
        np.testing.assert_allclose(buffer.rows[first:stop], rows[first:stop], rtol=1e-9, atol=1e-12)


@given(data=st.data())
def test_measures_are_those_of_each_term_alone(data):
    """Outer products of one instance, of several, and others; some of them never asked for."""
    rng = np.random.default_rng(0)
    kinds = {
        "one": lambda: Outer(rng.normal(size=(1, 2)), 3),
        "tiny": lambda: Outer(1e-200 * rng.normal(size=(1, 2)), 3),
        "two": lambda: Outer(rng.normal(size=(2, 2)), 3),
        "chain": lambda: chained("y", [Diagonal(rng.normal(size=(1, 3))), Outer(rng.normal(size=(1, 2)), 3)], "x"),
    }
    lasts = [kinds[kind]() for kind in data.draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=40))]
    direction = rng.normal(size=(3, 2))
    measures = Measures(iter(lasts), direction)
    for last in lasts:
        if data.draw(st.booleans()):
            rows = rng.normal(size=(data.draw(st.integers(1, 4)), *last.out_shape))
            norms, dots = np.empty(len(rows)), np.empty(len(rows))
            with arithmetic():
                measures.write(rows, last, norms, dots)
            np.testing.assert_allclose(norms, last.row_norms(rows), rtol=1e-14)
            np.testing.assert_allclose(dots, dots_with(rows, last, direction), rtol=1e-12, atol=1e-215)


def test_measures_of_a_bias():
    last, direction, rows = Broadcast((1, 3)), np.arange(3.0), np.ones((2, 1, 3))
    norms, dots = np.empty(2), np.empty(2)
    with arithmetic():
        Measures([last], direction).write(rows, last, norms, dots)
    np.testing.assert_allclose(norms, np.sqrt(3))
    np.testing.assert_allclose(dots, 3.0)


@pytest.mark.parametrize(
    ("steps", "units", "instances", "most"), [(1000, 128, 1, 3.0), (2000, 64, 1, 3.0), (200, 32, 50, 3.5)]
)
def test_a_flow_takes_no_more_memory_than_three_matrices_of_states_beside_its_results(steps, units, instances, most):
    """A second flow: the first one also notes what each loss gives to its state, which the run keeps."""
    rng = np.random.default_rng(0)
    net = uz.Network.init("elman", 4, units, 4, seed=0)
    run = uz.unroll(net, rng.normal(size=(steps, instances, 4)), rng.integers(0, 4, (steps, instances)))
    run.flow(run.recurrent_weight, by="temporal")
    tracemalloc.start()
    found = run.flow(run.recurrent_weight, by="temporal")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    results = found.norms.nbytes + found.shares.nbytes
    assert (peak - results) / (8 * steps * units * instances) < most


def test_a_way_holds_on_to_nobodys_function(article):
    def own(labels, edge):
        return (edge.head,) if labels is None else (labels[0], edge.tail)

    def grids():
        return {question for question in article.way("W").answers if question[0] is Grid}

    left = weakref.ref(own)
    article.flow("W", "temporal")
    before = grids()
    for by in (own, (own, "entry"), "route"):
        article.flow("W", by)
    assert grids() <= before != set()
    del own, by
    gc.collect()
    assert left() is None


def test_a_way_keeps_only_the_latest_answers(article):
    way, asked = Way.to(article.level("state", "W"), ["W"]), []
    for number in [*range(KEPT + 2), KEPT + 1, 0]:
        assert way.answered(number, lambda number=number: asked.append(number) or number) in (number, None)
    assert asked == [*range(KEPT + 2), 0]
    assert len(way.answers) == KEPT
    one, other = (classes_of(way, article.loss_names(), FOLDS["temporal"]) for _ in range(2))
    assert one is other
