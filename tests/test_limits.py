"""Limits of listing and of memory: refused with what to do, raised on request, and only for as long as was said."""

import json
import re
import shlex

import numpy as np
import pytest
from test_tables import run_cli

import unrollviz as uz
from unrollviz.allowance import memory_allowed, paths_allowed
from unrollviz.errors import TooManyPaths, UnrollvizError


def long(steps: int) -> uz.Run:
    rng = np.random.default_rng(0)
    net = uz.Network.init("elman", inputs=2, hidden=3, outputs=2)
    return uz.unroll(net, rng.normal(size=(steps, 2)), rng.integers(0, 2, steps))


def test_limits_hold_for_a_block_and_nest():
    assert (paths_allowed(7), memory_allowed(8)) == (7, 8)
    with uz.limits(paths=1, memory=2):
        with uz.limits(paths=3):
            assert (paths_allowed(7), memory_allowed(8)) == (3, 2)
        assert (paths_allowed(7), memory_allowed(8)) == (1, 2)
        with pytest.raises(ZeroDivisionError), uz.limits(memory=5):
            raise ZeroDivisionError
        assert memory_allowed(8) == 2
    assert (paths_allowed(7), memory_allowed(8)) == (7, 8)


def test_more_paths_may_be_listed_where_that_is_said(article, monkeypatch):
    paths = article.paths(to="W")
    with uz.limits(paths=14), pytest.raises(TooManyPaths, match=r"limit of 14; .*; or raise it, --max-paths N or uz"):
        paths.table()
    with uz.limits(paths=14):
        assert len(paths[:14].table().norms) == 14
    monkeypatch.setattr("unrollviz.paths.pathset.PATH_LIMIT", 3)
    with pytest.raises(TooManyPaths):
        paths.table()
    with uz.limits(paths=15):
        assert len(paths.table().norms) == 15


def test_memory_is_refused_and_raised():
    run = uz.article(hidden=64)
    with uz.limits(memory=10_000), pytest.raises(UnrollvizError, match="ask for norms and shares"):
        _ = run.flow("W", by="temporal").terms
    assert run.flow("W", by="temporal").terms.shape == (15, 64, 64)
    with uz.limits(memory=1000), pytest.raises(UnrollvizError, match="the cotangents of 5 losses"):
        run.flow("W", by="temporal")


def test_routes_that_would_not_fit_are_refused_before_they_are_held():
    run = uz.article(cell="lstm")
    with uz.limits(memory=500), pytest.raises(UnrollvizError, match="uses:weights,highway"):
        run.flow("W_f", by="route:weights,highway")
    assert run.flow("W_f", by="route:weights,highway").shares.sum() == pytest.approx(1)


def test_options_raise_limits():
    refused = run_cli("paths", "--max-paths", "14")
    assert refused.returncode == 2
    assert "15 paths are more than the limit of 14" in run_cli("paths", "--max-paths", "14", "--json").stderr
    assert json.loads(run_cli("paths", "--max-paths", "15", "--json").stdout)["count"] == 15
    small = run_cli("flow", "--max-gib", "1e-6", "--json")
    assert small.returncode == 2
    assert "5 rows written out take about 0.0 GiB, the limit is" in small.stderr and "--max-gib" in small.stderr
    assert run_cli("flow", "--max-gib", "2", "--json").returncode == 0
    assert run_cli("tree", "--max-gib", "0").returncode == 2


def test_rows_are_counted_where_they_are_known():
    """12,502,500 components of T = 5,000 steps are not 25,000,000; one step's are 5,000."""
    run = long(60)
    assert len(run.flow("W", by="temporal").norms) == 1830
    import unrollviz.flows.flow as module

    before = module.ROW_LIMIT
    try:
        module.ROW_LIMIT = 1830
        assert len(run.flow("W", by="temporal").norms) == 1830
        assert len(run.flow("s1", by="temporal").norms) == 60
        module.ROW_LIMIT = 1829
        with pytest.raises(UnrollvizError, match="temporal gives up to 1,830 rows, the limit is 1,829"):
            run.flow("W", by="temporal")
        with uz.limits(memory=2**20):
            assert len(run.flow("W", by="temporal").norms) == 1830
    finally:
        module.ROW_LIMIT = before


def test_reversed_sets_are_swept_in_blocks(article, monkeypatch):
    paths = long(40).paths(to="W")
    forward, back = paths.table(), paths[::-1].table()
    for name in ("ranks", "losses", "entries", "norms", "shares"):
        np.testing.assert_allclose(getattr(back, name), getattr(forward, name)[::-1], rtol=1e-12)
    assert [path.rank for path in paths[::-1][:300]] == list(range(819, 519, -1))
    np.testing.assert_allclose(paths[::-1].sum(), paths.sum(), rtol=1e-13)
    assert paths[5:9:-1].count == 0 and len(paths[5:9:-1].table().norms) == 0
    swept = []
    monkeypatch.setattr(type(paths), "_table", lambda self, start, stop: swept.append((start, stop)) or forward)
    list(paths[::-1]._blocks())
    assert len(swept) < 10


def proposed(text: str) -> list[str]:
    """The first command that a text proposes, as words."""
    found = re.search(r"unrollviz ((?:flow|paths) .*?)(?:; or raise|, or |$)", text, re.MULTILINE)
    assert found is not None, text
    return shlex.split(found[1])


@pytest.mark.parametrize(
    "given",
    [
        (
            "paths",
            "--cell",
            "lstm",
            "--text",
            "a 'long' text; of (some) letters, of which there are too many",
            "--json",
        ),
        (
            "paths",
            "--cell",
            "gru",
            "--steps",
            "15",
            "--max-paths",
            "5",
            "--loss",
            "L4",
            "--loss",
            "L5",
            "--param",
            "W_z",
        ),
        ("paths", "--cell", "lstm", "--bidirectional", "--steps", "40", "--seed", "3"),
        ("paths", "--cell", "lstm", "--steps", "60", "--top", "3"),
    ],
)
def test_a_command_that_is_proposed_answers_the_same_question(given):
    """Word for word as it is written, on the network and the data that were asked about."""
    refused = run_cli(*given)
    words = proposed(refused.stderr + refused.stdout)
    answer = run_cli(*words, "--json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    count = sum(row["count"] for row in found["rows"])
    said = re.search(r"([\d,]{6,}) paths are more|there are ([\d,]+) in all|a sum over ([\d,]+)", refused.stderr)
    if said is not None:
        assert count == int(next(number for number in said.groups() if number).replace(",", ""))
    heaviest = run_cli(*given[: given.index("--top")] if "--top" in given else given, "--top", "1", "--json")
    if heaviest.returncode == 0:
        asked = json.loads(heaviest.stdout)
        assert (asked["param"], asked["count"]) == (found["param"], count)
        assert asked["total_norm"] == pytest.approx(found["total_norm"], rel=1e-12)


def test_a_proposed_command_keeps_the_file_and_what_it_names_itself(tmp_path):
    uz.Network.init("lstm", seed=2).save(tmp_path / "a model.npz")
    refused = run_cli("paths", str(tmp_path / "a model.npz"), "--steps", "30", "--param", "W_i", "--top", "2")
    assert f"unrollviz flow '{tmp_path / 'a model.npz'}' --steps 30 --param W_i --by lag" in refused.stdout
    one_lag = run_cli("paths", "--cell", "lstm", "--steps", "30", "--param", "h3", "--loss", "L30", "--top", "2")
    assert "unrollviz flow --steps 30 --cell lstm --param h3 --loss L30 --by uses" in one_lag.stdout
    other = run_cli(
        "paths", "--cell", "lstm", "--steps", "60", "--param", "h1", "--loss", "L60", "--top", "2", "--budget", "1"
    )
    assert "the heaviest found of" in other.stdout and "bounded" in other.stdout
    large = run_cli("flow", "--hidden", "64", "--steps", "80", "--by", "temporal", "--param", "W", "--limit", "2")
    assert "; unrollviz check --param W --steps 80 --hidden 64 compares" in large.stdout
    report = json.loads(run_cli("paths", "--steps", "30", "--top", "2", "--json").stdout)
    assert report["top"]["exact"] and report["top"]["certain"] == 2


def test_a_network_of_more_parameters_than_fit_is_refused_before_it_is_drawn(monkeypatch):
    refused = run_cli("flow", "--cell", "lstm", "--hidden", "100000")
    assert refused.returncode == 2
    assert refused.stderr.startswith("unrollviz: error: 40,002,400,004 parameters take 298.0 GiB, the limit is 1 GiB; ")
    monkeypatch.setattr("unrollviz.network.MEMORY_LIMIT", 8 * 32)
    assert uz.Network.init("elman", 2, 3, 2).count_parameters().total == 26
    with pytest.raises(UnrollvizError, match=r"52 parameters .*uz.limits\(memory=416\)"):
        uz.Network.init("elman", 2, 5, 2)
    with uz.limits(memory=416):
        uz.Network.init("elman", 2, 5, 2)
    with uz.limits(memory=1):  # raises the limit, and does not lower it
        uz.Network.init("elman", 2, 3, 2)


def test_a_longer_sequence_is_unrolled_where_that_is_said(monkeypatch):
    monkeypatch.setattr("unrollviz.unrolled.MEMORY_LIMIT", 100_000)
    with pytest.raises(UnrollvizError, match="unrolling 60 steps takes about 0 GiB") as caught:
        long(60)
    needed = int(re.search(r"memory=(\d+)", str(caught.value))[1])
    with uz.limits(memory=needed):
        assert long(60).steps == 60
    with uz.limits(memory=needed - 1), pytest.raises(UnrollvizError):
        long(60)


def test_what_is_refused_says_how_much_there_is_and_names_no_way_that_was_taken():
    with uz.limits(memory=500), pytest.raises(UnrollvizError, match=r"lag gives up to 80 rows.*take entry or loss, or"):
        long(40).flow("W", by="lag")
    run = uz.article(cell="lstm")
    with uz.limits(memory=500), pytest.raises(UnrollvizError, match=r"there are 46,?\d* paths in all|\d+ paths in all"):
        run.flow("W_f", by="route:weights,highway")
