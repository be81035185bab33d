"""Rows by class of losses and step of entry: the same figures as counting first, wherever they are written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import unrollviz as uz
from unrollviz.arrays import arithmetic
from unrollviz.flows.grid import Grid, Ledger
from unrollviz.flows.summed import Summed
from unrollviz.flows.table import tabulated
from unrollviz.gradient import total_of
from unrollviz.sweep import ENTRY, FOLDS, LAG, LOSS, TOTAL
from unrollviz.way import Way

NETWORKS = {
    "elman": {"cell": "elman"},
    "lstm": {"cell": "lstm"},
    "gru": {"cell": "gru"},
    "stacked": {"cell": "gru", "layers": 2},
    "both ways": {"cell": "elman", "bidirectional": True},
}
FOLDS_ON_A_GRID = {"temporal": (LOSS, ENTRY), "entry": (ENTRY,), "total and entry": (TOTAL, ENTRY)}


def unrolled(network: dict, steps: int, instances: int = 1) -> uz.Run:
    rng = np.random.default_rng(steps)
    net = uz.Network.init(network["cell"], 2, 3, 2, seed=1, **{k: v for k, v in network.items() if k != "cell"})
    return uz.unroll(net, rng.normal(size=(steps, instances, 2)), rng.integers(0, 2, (steps, instances)))


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize(
    "steps", [1, 2, Ledger.FEWEST, 2 * Ledger.FEWEST + 5, pytest.param(2 * Ledger.MOST + 5, marks=pytest.mark.thorough)]
)
def test_a_grid_gives_the_figures_that_counting_first_gives(network, steps):
    run, found = unrolled(network, steps, instances=2), 0
    for param in run.network.params:
        way, losses = Way.to(run.level("state", param), [param]).lean(), run.loss_names()
        for fold in FOLDS_ON_A_GRID.values():
            grid = Grid.of(way, losses, fold)
            if grid is None:
                continue
            found += 1
            whole = total_of(way, losses, param)
            ours, other = (
                tabulated(way, losses, param, fold, grid, whole),
                Summed.of(way, losses, param, fold).figures(whole),
            )
            np.testing.assert_array_equal(ours.labels(), other.labels())
            np.testing.assert_array_equal(ours.counts(), other.counts())
            np.testing.assert_allclose(ours.norms, other.norms, rtol=1e-12, atol=1e-300)
            np.testing.assert_allclose(ours.shares, other.shares, rtol=1e-9, atol=1e-13)
    assert found


def test_what_makes_no_grid_is_left_to_counting_first(article):
    way, losses = Way.to(article.level("state", "W"), ["W"]), article.loss_names()
    for fold in ((LAG,), (ENTRY, LOSS), (LAG, ENTRY), FOLDS["total"]):
        assert Grid.of(way, losses, fold) is None


def test_losses_that_no_path_leaves_have_no_rows(article):
    way = Way.to(article.level("state", "x3"), ["x3"])
    grid = Grid.of(way, article.loss_names(), FOLDS["temporal"])
    assert grid is not None
    np.testing.assert_array_equal(grid.labels, [[3, 3], [4, 3], [5, 3]])


@given(data=st.data(), classes=st.integers(1, 9), steps=st.integers(1, 80))
def test_a_ledger_holds_every_figure_at_its_row(data, classes, steps):
    """Whatever part of the classes arrives, and in whatever order of the steps."""
    first = np.array(data.draw(st.lists(st.integers(0, steps - 1), min_size=classes, max_size=classes)))
    sizes = np.array([data.draw(st.integers(1, steps - low)) for low in first.tolist()])
    begins = np.concatenate([[0], np.cumsum(sizes)])
    grid = Grid(np.arange(classes)[:, None], np.arange(steps), begins, first)
    ledger, powers = Ledger(grid, (0, -3), data.draw(st.integers(1, 200))), st.sampled_from([0, 0, -256, -512, 256])
    expected = np.full(len(grid), np.nan)
    in_order = st.sampled_from([range(steps), range(steps)[::-1]])
    for rank in data.draw(in_order | st.permutations(range(steps))):
        there = np.flatnonzero((first <= rank) & (rank < first + sizes))
        for run in np.split(there, np.flatnonzero(np.diff(there) > 1) + 1):
            if len(run) == 0:
                continue
            exponents = np.array([data.draw(powers) for _ in range(classes)]) if data.draw(st.booleans()) else None
            figures = 1000.0 * rank + run
            span = int(run[0]), int(run[-1]) + 1
            for room, sign in zip(ledger.room(span), (1, -1), strict=True):
                room[:] = sign * figures
            ledger.write(span, rank, exponents)
            expected[begins[run] + rank - first[run]] = (
                figures if exponents is None else np.ldexp(figures, exponents[run])
            )
    with arithmetic():
        columns = ledger.columns()
    for column, factor in zip(columns, (1.0, -0.125), strict=True):
        np.testing.assert_array_equal(column, factor * expected)
