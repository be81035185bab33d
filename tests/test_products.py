"""Matrix products that are shared among cores: the same numbers, whoever takes which part, and never more cores than
linear algebra may use."""

import os
import subprocess
import sys
import threading
import time
import warnings

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

MULTIPLY = products._multiply


@pytest.fixture
def shared(monkeypatch):
    """Every product of two rows or more is shared, as if there were three cores, among helpers of this test's own."""
    monkeypatch.setattr(products, "LARGE", 1)
    monkeypatch.setattr(products, "_ROWS", 1)
    monkeypatch.setattr(products, "cores", lambda: 3)
    monkeypatch.setattr(products, "_HELP", products._Helpers())


def factors(rows, units, more, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, units)), rng.standard_normal((units, more))


def slowly(monkeypatch):
    """Parts take 10 ms, so that all helpers get some; returns who has taken one."""
    taken = []

    def part(operands, piece):
        taken.append(threading.get_ident())
        time.sleep(0.01)
        MULTIPLY(operands, piece)

    monkeypatch.setattr(products, "_multiply", part)
    return taken


@given(
    rows=st.integers(0, 200),
    units=st.integers(1, 9),
    more=st.integers(1, 9),
    many=st.integers(1, 5),
    least=st.sampled_from([1, 48]),
    seed=seeds,
)
def test_the_parts_make_the_whole(rows, units, more, many, least, seed):
    some, matrix = factors(rows, units, more, seed)
    out = np.full((rows, more), np.nan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "LARGE", 1)
        patch.setattr(products, "_ROWS", least)
        patch.setattr(products, "cores", lambda: many)
        assert product(some, matrix, out) is out
    np.testing.assert_allclose(out, some @ matrix, rtol=0, atol=1e-13)


@given(rows=st.integers(1, 5000), parts=st.integers(1, 40))
def test_pieces_are_whole_and_of_much_the_same_size(rows, parts):
    pieces = products._pieces(rows, parts)
    assert [i for piece in pieces for i in range(piece.start, piece.stop)] == list(range(rows))
    assert len(pieces) <= parts
    sizes = {piece.stop - piece.start for piece in pieces[:-1]}
    assert len(sizes) <= 1 and all(size % products._ROWS == 0 or size < products._ROWS for size in sizes)


def test_a_product_is_the_same_to_the_last_bit_on_several_cores(monkeypatch):
    """Where BLAS adds up rows in groups whose number divides that of a part's rows."""
    for rows, units in ((600, 300), (777, 511), (1024, 129)):
        some, matrix = factors(rows, units, units)
        results = []
        for many in (1, 2, 3):
            monkeypatch.setattr(products, "cores", lambda many=many: many)
            with arithmetic():
                results.append(product(some, matrix, np.empty((rows, units))))
        np.testing.assert_allclose(results[1], results[0], rtol=0, atol=1e-11)
        assert np.array_equal(results[1], results[2])


def test_parts_are_taken_by_whoever_is_free(shared, monkeypatch):
    some, matrix = factors(60, 4, 5)
    monkeypatch.setattr(products, "_EACH", 20)
    real = np.matmul

    def slow(*operands, **more):
        if threading.current_thread() is threading.main_thread():
            time.sleep(0.02)
        return real(*operands, **more)

    taken = slowly(monkeypatch)
    monkeypatch.setattr(np, "matmul", slow)
    out = product(some, matrix, np.empty((60, 5)))
    monkeypatch.undo()
    assert 0 < len(taken) < 60 and threading.get_ident() not in taken
    np.testing.assert_allclose(out, some @ matrix, rtol=0, atol=1e-13)


def test_who_asks_does_all_where_nobody_is_free_or_no_thread_can_be_started(shared, monkeypatch):
    some, matrix = factors(30, 4, 5)
    for start in (lambda work, given: None, _refuse):
        monkeypatch.setattr(products, "_HELP", products._Helpers())
        monkeypatch.setattr(products._thread, "start_new_thread", start)
        for _ in range(5):
            out = product(some, matrix, np.full((30, 5), np.nan))
            np.testing.assert_allclose(out, some @ matrix, rtol=0, atol=1e-13)
        assert products._HELP.waiting.qsize() <= 4


def _refuse(work, given):
    raise RuntimeError("can't start new thread")


def test_small_products_are_not_shared_and_large_ones_are(monkeypatch):
    asked = []
    monkeypatch.setattr(products._Helpers, "ask", lambda self, many, work: asked.append((many, len(list(work[1])))))
    monkeypatch.setattr(np, "matmul", lambda *operands, **more: None)
    monkeypatch.setattr(products, "SimpleQueue", _Answers)
    monkeypatch.setattr(products, "cores", lambda: 2)
    rows = 2 * products.LARGE // 128**2
    for some, parts in ((rows - 1, []), (rows, [(1, 2)]), (8000, [(1, 4)])):
        product(*factors(some, 128, 128), np.empty((some, 128)))
        assert asked == parts
        asked.clear()
    monkeypatch.setattr(products, "cores", lambda: 1)
    product(*factors(8000, 128, 128), np.empty((8000, 128)))
    assert not asked


class _Answers:
    """Says of every part that it is done."""

    def __class_getitem__(cls, item):
        return cls

    def get(self):
        return None


def test_never_more_helpers_than_cores_and_only_those_that_were_asked(shared, monkeypatch):
    monkeypatch.setattr(products, "_EACH", 20)
    some, matrix = factors(60, 4, 5)
    for many in (4, 2):
        monkeypatch.setattr(products, "cores", lambda many=many: many)
        taken = slowly(monkeypatch)
        product(some, matrix, np.empty((60, 5)))
        assert len(set(taken)) <= many - 1
    assert products._HELP.started == 3


def test_as_many_cores_as_linear_algebra_may_use(monkeypatch):
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
    monkeypatch.setattr(arrays, "_blas", lambda: [type("Lib", (), {"num_threads": n})() for n in (5, 3, None)][:2])
    with arithmetic():
        assert cores() == 3


def test_no_helper_warns_and_an_error_comes_to_the_caller(shared, monkeypatch):
    some, matrix = factors(30, 4, 5)

    def waits(*operands, **more):
        if threading.current_thread() is threading.main_thread():
            time.sleep(0.05)
        return real(*operands, **more)

    real = np.matmul
    monkeypatch.setattr(np, "matmul", waits)
    with warnings.catch_warnings(), arithmetic():
        warnings.simplefilter("error")
        for _ in range(2):  # helpers may be late for the first
            out = product(some * 1e300, matrix * 1e300, np.empty((30, 5)))
    assert not np.isfinite(out).all()

    def fails(operands, piece):
        raise MemoryError("none left")

    monkeypatch.setattr(products, "_multiply", fails)
    with pytest.raises(MemoryError, match="none left"):
        product(some, matrix, np.empty((30, 5)))


def test_after_an_interrupt_the_next_product_is_right(shared, monkeypatch):
    """A helper that is still at work writes to nobody's memory but that of the product that was given up."""
    some, matrix = factors(30, 4, 5)
    real = np.matmul

    def interrupted(*operands, **more):
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        return real(*operands, **more)

    slowly(monkeypatch)
    for _ in range(20):
        with monkeypatch.context() as patch:
            patch.setattr(np, "matmul", interrupted)
            with pytest.raises(KeyboardInterrupt):
                product(some, matrix, np.empty((30, 5)))
        out = product(some, matrix, np.full((30, 5), np.nan))
        np.testing.assert_allclose(out, some @ matrix, rtol=0, atol=1e-13)


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
@pytest.mark.parametrize("instances", [1, 3])
def test_a_flow_is_the_same_on_several_cores(cell, instances, monkeypatch):
    net = uz.Network.init(cell, 3, 5, 3, seed=1)
    rng = np.random.default_rng(2)
    xs, targets = rng.standard_normal((20, instances, 3)), rng.integers(0, 3, (20, instances))
    alone = uz.unroll(net, xs, targets).flow(net.recurrent_weight, by="temporal")
    asked = []
    ask = products._Helpers.ask
    monkeypatch.setattr(products._Helpers, "ask", lambda *given: asked.append(1) or ask(*given))
    monkeypatch.setattr(products, "LARGE", 1)
    monkeypatch.setattr(products, "_ROWS", 1)
    monkeypatch.setattr(products, "cores", lambda: 3)
    together = uz.unroll(net, xs, targets).flow(net.recurrent_weight, by="temporal")
    assert len(asked) > 20
    scale = alone.norms.sum()
    np.testing.assert_allclose(together.norms, alone.norms, rtol=0, atol=1e-13 * scale)
    np.testing.assert_allclose(together.shares, alone.shares, rtol=1e-9, atol=1e-13)


WORK = """
import atexit, sys, threading, time
import numpy as np
import unrollviz as uz
from unrollviz import products
products.LARGE, products._ROWS, products.cores = 1, 1, lambda: 3
some, matrix = np.ones((60, 4)), np.ones((4, 5))
def work(before=0.2):
    time.sleep(before)
    out = products.product(some, matrix, np.empty((60, 5)))
    print("right" if (out == 4).all() else "wrong", flush=True)
"""


@pytest.mark.parametrize(
    "ending",
    [
        "threading.Thread(target=work).start()",
        "from concurrent.futures import ThreadPoolExecutor; ThreadPoolExecutor(1).submit(work)",
        "atexit.register(work)",
        "work(); atexit.register(work); threading.Thread(target=work).start()",
    ],
)
def test_at_the_end_of_the_program_products_are_still_made(ending):
    done = subprocess.run([sys.executable, "-c", WORK + ending], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == {"right"}


def test_interrupts_leave_no_lock_held():
    """KeyboardInterrupt at any moment of many products, and then one more, and an orderly end."""
    program = (
        WORK
        + """
import _thread, random, signal
def interrupt():
    random.seed(0)
    while going:
        time.sleep(random.uniform(0.0002, 0.003))
        _thread.interrupt_main()
def handle(number, frame):  # once, and only inside the product
    global inside
    if inside:
        inside = False
        raise KeyboardInterrupt
signal.signal(signal.SIGINT, handle)
going, inside, hits, end = True, False, 0, time.monotonic() + 3
threading.Thread(target=interrupt, daemon=True).start()
while time.monotonic() < end:
    try:
        inside = True
        products.product(some, matrix, np.empty((60, 5)))
        inside = False
    except KeyboardInterrupt:
        hits += 1
going = False
work(0)
print("hits", hits > 100)
"""
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "right" in done.stdout and "hits True" in done.stdout and "wrong" not in done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_has_helpers_of_its_own():
    """Those of its parent are not there, and it does not count on them."""
    program = (
        WORK
        + """
import os
work(0)
child = os.fork()
if child == 0:
    assert products._HELP.started == 0
    work(0)
    assert products._HELP.started == 2
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["right", "right"]
