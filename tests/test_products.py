"""Matrix products that are shared among cores: the same numbers, whoever takes which part, and never more cores than
linear algebra may use."""

import os
import sys
import threading
import warnings
from concurrent.futures import Future

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds
from threadpoolctl import threadpool_limits

import unrollviz as uz
from unrollviz import arrays, products
from unrollviz.arrays import arithmetic, cores
from unrollviz.products import product


@pytest.fixture
def shared(monkeypatch):
    """Every product of two rows or more is shared, as if there were three cores."""
    monkeypatch.setattr(products, "LARGE", 1)
    monkeypatch.setattr(products, "cores", lambda: 3)


def factors(rows, units, more, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, units)), rng.standard_normal((units, more))


@given(rows=st.integers(0, 40), units=st.integers(1, 9), more=st.integers(1, 9), many=st.integers(1, 5), seed=seeds)
def test_the_parts_make_the_whole(rows, units, more, many, seed):
    some, matrix = factors(rows, units, more, seed)
    out = np.full((rows, more), np.nan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "LARGE", 1)
        patch.setattr(products, "cores", lambda: many)
        assert product(some, matrix, out) is out
    np.testing.assert_allclose(out, some @ matrix, rtol=0, atol=1e-13)


@pytest.mark.parametrize("helped", [True, False])
def test_a_part_is_taken_by_whoever_is_free(shared, monkeypatch, helped):
    """Nothing is left to this thread where the helpers have begun all parts, all of it where they are held up."""
    some, matrix = factors(30, 4, 5)
    taken = []
    monkeypatch.setattr(
        products,
        "_multiply",
        lambda *part: taken.append(threading.current_thread().name) or np.matmul(part[0], part[1], out=part[2]),
    )
    if helped:
        monkeypatch.setattr(Future, "cancel", lambda future: False)
        held_up = []
    else:
        free = threading.Event()
        held_up = [products._helpers().submit(free.wait) for _ in range(os.cpu_count() or 1)]
    out = np.empty((30, 5))
    try:
        product(some, matrix, out)
    finally:
        if not helped:
            free.set()
    assert (len(taken) == 6 and all(name.startswith("product") for name in taken)) if helped else not taken
    np.testing.assert_allclose(out, some @ matrix, rtol=0, atol=1e-13)
    for one in held_up:
        one.result()


def test_small_products_are_not_shared_and_large_ones_are(monkeypatch):
    handed = []
    monkeypatch.setattr(
        products, "_multiply", lambda *part: handed.append(len(part[0])) or np.matmul(part[0], part[1], out=part[2])
    )
    monkeypatch.setattr(products, "cores", lambda: 2)
    monkeypatch.setattr(Future, "cancel", lambda future: False)
    for rows, parts in ((2 * products.LARGE // 128**2 - 1, 0), (2 * products.LARGE // 128**2, 2), (5000, 4)):
        some, matrix = factors(rows, 128, 128)
        product(some, matrix, np.empty((rows, 128)))
        assert len(handed) == parts and sum(handed) == (rows if parts else 0)
        handed.clear()
    monkeypatch.setattr(products, "cores", lambda: 1)
    product(*factors(5000, 128, 128), np.empty((5000, 128)))
    assert not handed


def test_as_many_cores_as_linear_algebra_may_use():
    """What the user has set counts, also by threads; outside `arithmetic()` BLAS has threads of its own."""
    assert cores() == 1
    with threadpool_limits(1), arithmetic():
        assert cores() == 1
    allowed = min(lib.num_threads for lib in arrays._blas())
    with arithmetic():
        assert cores() == allowed
        with arithmetic():  # what counts is how many there were before the first
            assert cores() == allowed
        assert all(lib.num_threads == 1 for lib in arrays._blas())
    assert cores() == 1


def test_no_helper_warns_and_an_error_comes_to_the_caller(shared, monkeypatch):
    some, matrix = factors(30, 4, 5)
    monkeypatch.setattr(Future, "cancel", lambda future: False)
    with warnings.catch_warnings(), arithmetic():
        warnings.simplefilter("error")
        out = product(some * 1e300, matrix * 1e300, np.empty((30, 5)))
    assert not np.isfinite(out).all()
    with pytest.raises(ValueError, match=r"output|mismatch"):
        product(some, matrix, np.empty((30, 6)))


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
@pytest.mark.parametrize("instances", [1, 3])
def test_a_flow_is_the_same_on_several_cores(cell, instances, monkeypatch):
    net = uz.Network.init(cell, 3, 5, 3, seed=1)
    rng = np.random.default_rng(2)
    xs, targets = rng.standard_normal((20, instances, 3)), rng.integers(0, 3, (20, instances))
    alone = uz.unroll(net, xs, targets).flow(net.recurrent_weight, by="temporal")
    handed = []
    submit = products._helpers().submit
    monkeypatch.setattr(products._helpers(), "submit", lambda *part: handed.append(1) or submit(*part))
    monkeypatch.setattr(products, "LARGE", 1)
    monkeypatch.setattr(products, "cores", lambda: 3)
    together = uz.unroll(net, xs, targets).flow(net.recurrent_weight, by="temporal")
    assert len(handed) > 20
    scale = alone.norms.sum()
    np.testing.assert_allclose(together.norms, alone.norms, rtol=0, atol=1e-13 * scale)
    np.testing.assert_allclose(together.shares, alone.shares, rtol=1e-9, atol=1e-13)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_has_helpers_of_its_own(shared):
    """Those of its parent are not there, and to wait for them would never end."""
    some, matrix = factors(30, 4, 5)
    product(some, matrix, np.empty((30, 5)))
    child = os.fork()
    if child == 0:
        Future.cancel = lambda future: False  # type: ignore[method-assign]  # so that they are needed
        right = np.allclose(product(some, matrix, np.empty((30, 5))), some @ matrix)
        sys.stdout.flush()
        os._exit(0 if right else 1)
    deadline = threading.Event()
    for _ in range(200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        deadline.wait(0.05)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the fork waits for threads that it does not have")
    assert os.waitstatus_to_exitcode(status) == 0
