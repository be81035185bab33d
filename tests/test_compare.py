"""Comparisons: shares against single flows, significance against brute force and reweighted instances, the command."""

import json
import math
from dataclasses import replace
from functools import partial
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from command import unrollviz
from hostile import labels as hostile_labels

import unrollviz as uz
from unrollviz.comparison.compare import Comparison, diff
from unrollviz.comparison.significance import by_permutation
from unrollviz.draw.text import ascii_only, percent, width_of
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.history import record
from unrollviz.report.compare import diff_json, diff_text, label_text


def run(cell="elman", seed=0, steps=5, instances=1, data=1, weights=None, lengths=None, **options) -> uz.Run:
    rng = np.random.default_rng(data)
    xs, targets = rng.standard_normal((steps, instances, 3)), rng.integers(0, 3, (steps, instances))
    network = uz.Network.init(cell, 3, 4, 3, seed=seed, **options)
    return uz.unroll(network, xs, targets, weights=weights, lengths=lengths)


def by_label(found: Comparison, side: int) -> dict:
    return {
        label: share
        for label, share, there in zip(found.labels, found.shares[side], found.there[side], strict=True)
        if there
    }


# ------------------------------------------------------------------------------------------------- shares


@pytest.mark.parametrize("by", ["total", "lag", "loss", "entry", "temporal", "route", "uses:weights", ("lag", "route")])
@pytest.mark.parametrize("cell", ["elman", "lstm"])
def test_shares_are_those_of_each_runs_own_flow(cell, by):
    pair = run(cell), run(cell, seed=1, steps=3)
    found = diff(*pair, by=by)
    for side, one in enumerate(pair):
        flow = one.flow(one.recurrent_weight, by=by)
        times = ("loss", "entry", "lag")
        keys = [
            tuple(
                (name, n) for name, n in zip(flow.columns, row, strict=True) if name in times or (n and name != "total")
            )
            for row in flow.labels.tolist()
        ]
        assert by_label(found, side) == pytest.approx(dict(zip(keys, flow.shares.tolist(), strict=True)), rel=1e-12)
        assert (found.a, found.b)[side].norm == pytest.approx(flow.total_norm, rel=1e-14)
        assert (found.a, found.b)[side].cancellation == pytest.approx(flow.cancellation, rel=1e-14)
        assert (found.a, found.b)[side].paths == one.paths(to=one.recurrent_weight).count
    absent = np.where(found.there, found.shares, 0.0)
    np.testing.assert_array_equal(found.change, absent[1] - absent[0])
    assert abs(found.change.sum()) < 1e-12


def test_rows_that_only_the_longer_sequence_has_are_there_and_dashed():
    found = diff(run(steps=3), run(steps=5))
    assert found.labels == tuple((("lag", lag),) for lag in range(5))
    assert found.there.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert np.isnan(found.shares[0, 3:]).all()
    np.testing.assert_array_equal(found.change[3:], found.shares[1, 3:])
    (line,) = [line for line in diff_text(found, 40) if line.split()[:1] == ["4"]]
    assert line.split()[1] == "–"
    assert diff_json(found)["rows"][4]["a"] is None


def test_paths_are_matched_by_their_nodes_and_routes_by_what_they_use():
    elman, lstm = run(), run("lstm")
    found = diff(elman, lstm, param_b="W_f", by="path", losses="L3")
    assert {label[0][1] for label in by_label(found, 0)} == {path.nodes for path in elman.paths("L3", "W")}
    assert {label[0][1] for label in by_label(found, 1)} == {path.nodes for path in lstm.paths("L3", "W_f")}
    same = diff(lstm, run("lstm", seed=1), by="path")
    assert same.there.all()
    assert len(same) == lstm.paths(to="W_f").count
    groups = diff(elman, lstm, param_b="W_f", by="route")
    assert {name for label in groups.labels for name, _ in label} == {"weights", "highway"}
    assert groups.there[:, groups.labels.index(())].all()
    only = diff(elman, lstm, param_b="W_f", by="uses:highway")
    assert by_label(only, 0) == {(): pytest.approx(1.0)}


def test_of_paths_without_number_the_heaviest_of_both_sides_are_compared():
    pair = run("lstm", steps=12), run("lstm", seed=1, steps=12)
    found = diff(*pair, by="path", top=3)
    assert found.partial
    assert found.there.all()
    assert 3 <= len(found) <= 6
    for side, one in enumerate(pair):
        paths = one.paths(to="W_f")
        assert paths.count > 4096
        expected = [paths.find(label[0][1]).share for label in found.labels]
        np.testing.assert_allclose(found.shares[side], expected, rtol=1e-12)
        heaviest = {path.nodes for path in paths.top(3, by="share").paths}
        assert heaviest <= {label[0][1] for label in found.labels}
    assert any("all others carry" in line for line in diff_text(found, 40))


def test_uses_are_routes_told_by_whether_and_no_more():
    one = run("lstm", steps=6, instances=2)
    found = one.flow("W_f", by="uses:weights,highway")
    assert found.labels.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    counted = one.flow("W_f", by="route:weights,highway")
    for label, share, count in zip(found.labels.tolist(), found.shares, found.counts, strict=True):
        mine = (np.minimum(counted.labels, 1) == label).all(axis=1)
        assert share == pytest.approx(counted.shares[mine].sum(), abs=1e-13)
        assert count == sum(n for n, yes in zip(counted.counts, mine, strict=True) if yes)
    history = record(one.network, one.batch, ["W_f"], 0, 0)
    np.testing.assert_allclose(found.shares[[0, 2, 1, 3]], history.route_shares[0, 0], atol=1e-13)
    assert diff(one, one, by="lag").a.reach == history.reach()[0, 0]


# ------------------------------------------------------------------------------------------- significance


CASES = {
    "elman": {"steps": 4, "instances": 3},
    "lstm": {"cell": "lstm", "steps": 3, "instances": 3},
    "lengths, both directions": {
        "cell": "gru", "steps": 4, "instances": 3, "bidirectional": True, "lengths": [4, 2, 3]
    },
}  # fmt: skip


@pytest.mark.parametrize("by", ["lag", "uses", "path"])
@pytest.mark.parametrize("case", CASES)
def test_pseudo_values_are_what_an_instances_weight_does_to_the_shares(case, by):
    """An independent way: the weight of one instance is changed a little, and the share is worked out anew."""
    options = CASES[case]
    one = run(**options)
    target = one.recurrent_weight
    size, shape = options["instances"], (options["steps"], options["instances"])

    def shares(instance, more):
        weights = np.ones(shape)
        weights[:, instance] += more
        other = run(weights=weights, **options)
        return other.flow(target, by=by).shares

    plain = one.flow(target, by=by).shares
    step = 1e-5
    influences = [size * (shares(i, step) - shares(i, -step)) / (2 * step) for i in range(size)]
    expected = plain[:, None] + np.transpose(influences)
    twin = run(seed=7, **options)
    found = diff(one, twin, by=by)
    other = np.transpose([size * influence for influence in _influences(twin, target, by, size, shape, options)])
    order = [found.labels.index(label) for label in _labels(one, target, by)]
    differences = twin.flow(target, by=by).shares[:, None] + other - expected
    errors = differences.std(axis=1, ddof=1) / math.sqrt(size)
    np.testing.assert_allclose(found.significance.errors[order], errors, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(found.change[order], differences.mean(axis=1), atol=1e-7)


def _influences(one, target, by, size, shape, options):
    for instance in range(size):
        moved = []
        for more in (1e-5, -1e-5):
            weights = np.ones(shape)
            weights[:, instance] += more
            moved.append(run(weights=weights, seed=7, **options).flow(target, by=by).shares)
        yield (moved[0] - moved[1]) / 2e-5


def _labels(one, target, by):
    if by == "path":
        return [(("path", path.nodes),) for path in one.paths(to=target)]
    flow = one.flow(target, by=by)
    return [
        tuple((name, n) for name, n in zip(flow.columns, row, strict=True) if n or by == "lag")
        for row in flow.labels.tolist()
    ]


def test_paired_p_is_the_part_of_all_flips_of_signs_that_are_as_extreme():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 3, 6))
    b += np.array([[2.0], [0.3], [0.0]])

    def statistics(differences):
        return np.abs(differences.mean(axis=1)) / (differences.std(axis=1, ddof=1) / math.sqrt(6))

    plain = statistics(b - a)
    largest = [statistics((b - a) * np.array(signs)).max() for signs in product((1, -1), repeat=6)]
    found = by_permutation(a, b, True)
    expected = [np.mean([one >= t * (1 - 1e-9) for one in largest]) for t in plain]
    np.testing.assert_allclose(found.p, expected, rtol=1e-12)
    assert found.least == 2 / 64
    np.testing.assert_allclose(found.errors, (b - a).std(axis=1, ddof=1) / math.sqrt(6), rtol=1e-12)


def test_unpaired_p_is_the_part_of_all_groupings_that_are_as_extreme():
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((2, 4)), rng.standard_normal((2, 3)) + np.array([[3.0], [0.0]])
    whole = np.concatenate([a, b], axis=1)

    def statistics(second):
        first = [i for i in range(7) if i not in second]
        x, y = whole[:, first], whole[:, list(second)]
        return np.abs(y.mean(axis=1) - x.mean(axis=1)) / np.sqrt(x.var(axis=1, ddof=1) / 4 + y.var(axis=1, ddof=1) / 3)

    largest = [statistics(second).max() for second in combinations(range(7), 3)]
    found = by_permutation(a, b, False)
    expected = [np.mean([one >= t * (1 - 1e-9) for one in largest]) for t in statistics((4, 5, 6))]
    np.testing.assert_allclose(found.p, expected, rtol=1e-12)
    assert found.least == 1 / 35


@pytest.mark.parametrize("paired", [True, False])
def test_where_there_is_no_difference_p_is_below_a_level_no_more_often_than_that(paired):
    rng = np.random.default_rng(5)
    p = np.array([by_permutation(*rng.standard_normal((2, 5, 20)), paired).p.min() for _ in range(60)])
    assert (p < 0.2).mean() < 0.4
    assert (p < 0.5).mean() > 0.2
    shifted = by_permutation(*(rng.standard_normal((2, 5, 20)) + np.array([[[0.0]], [[3.0]]])), paired)
    assert shifted.p.max() < 0.001


@pytest.mark.parametrize("paired", [True, False])
def test_rounding_is_no_difference(paired):
    same = np.full((2, 8), 1.0)
    noise = same + 1e-15 * np.arange(8)
    found = by_permutation(same, noise, paired)
    assert (found.p == 1.0).all()


def test_a_run_does_not_differ_from_itself_and_a_trained_one_does():
    one, other = run(instances=12), run(seed=5, instances=12)
    same = diff(one, one)
    assert same.significance.paired
    assert (same.change == 0).all()
    assert (same.significance.p == 1.0).all()
    assert "0 of 5 rows changed more than by chance" in "\n".join(diff_text(same, 40))
    found = diff(one, other)
    assert found.significance.paired
    apart = diff(one, run(seed=5, instances=9, data=2))
    assert not apart.significance.paired
    assert apart.significance.instances == (12, 9)
    assert not diff(one, run(instances=12, data=2)).significance.paired


def test_one_instance_has_no_significance_and_that_is_said():
    found = diff(run(), run(seed=1))
    assert found.significance is None
    assert "one instance" in found.untested
    assert "significance: none can be given: each side has one instance" in "\n".join(diff_text(found, 40))
    row = diff_json(found)["rows"][0]
    assert (row["p"], row["standard_error"]) == (None, None)


def test_few_instances_are_told_that_they_cannot_tell():
    text = "\n".join(diff_text(diff(run(instances=3), run(seed=1, instances=3)), 40))
    assert "p is never below 0.2500 here" in text


def test_where_the_gradient_is_0_nothing_is_compared():
    one = run(instances=3)
    dead = uz.unroll(one.network.replace(V=0 * one.network.params["V"]), one.inputs, np.zeros((5, 3), dtype=int))
    found = diff(one, dead)
    assert np.isnan(found.change).all()
    assert found.significance is None
    assert found.b.reach is None
    assert any("B: G = 0" in line for line in diff_text(found, 40))
    assert diff_json(found)["b"]["cancellation"] is None
    json.dumps(diff_json(found), allow_nan=False)


# ----------------------------------------------------------------------------------------- what is refused


def test_different_parameters_are_refused_with_those_that_both_have():
    with pytest.raises(
        UnrollvizError, match=r"B \(lstm\) has no W, which A \(elman\) has; both have V, c; .*--param-b W_f"
    ):
        diff(run(), run("lstm"))
    assert diff(run(), run("lstm"), "V", by="loss").a.param == "V"
    with pytest.raises(UnknownName, match="unknown kind of edge 'nonsense'"):
        diff(run(), run("lstm"), param_b="W_f", by="route:nonsense")
    with pytest.raises(UnrollvizError, match="B: unknown loss 'L5'"):
        diff(run(), run(steps=3), losses="L5")
    with pytest.raises(UnrollvizError, match="give it alone"):
        diff(run(), run(seed=1), by=("lag", "path"))


# -------------------------------------------------------------------------------------------- what is said


def test_text_is_aligned_in_ascii_too_and_bars_have_one_scale():
    found = diff(run(instances=4), run(seed=3, instances=4), by="lag")
    for lines in (diff_text(found, 40), [ascii_only(line) for line in diff_text(found, 40)]):
        rule = next(
            index for index, line in enumerate(lines) if line[:3] in ("───", "---") and "  " in line and index > 12
        )
        columns = [len(part) for part in lines[rule].split("  ")]
        assert len({width_of(line[: columns[0]]) for line in lines[rule + 1 : rule + 6]}) == 1
        ends = {line.index("%", columns[0]) for line in lines[rule + 1 : rule + 6]}
        assert len(ends) == 1


def test_bars_of_both_sides_have_one_scale():
    found = diff(run(steps=8, seed=6), run(steps=8, seed=3))
    found = replace(found, shares=0.3 * found.shares / np.abs(found.shares).max())
    full = 0.3
    lines = {line.split()[0]: line for line in diff_text(found, 40) if line.strip()}
    for place in range(8):
        for share in found.shares[:, place]:
            drawn = lines[str(place)].partition(percent(share))[2].lstrip()
            if abs(share) > full / 14:
                mark = "█" if share > 0 else "░"
                length = len(drawn) - len(drawn.lstrip(mark))
                assert abs(length - 14 * abs(share) / full) <= 1


def test_at_most_so_many_rows_are_shown_those_that_changed_most():
    found = diff(run(steps=9), run(seed=1, steps=9), by="temporal")
    assert len(found) == 45
    lines = diff_text(found, 4)
    assert any(line.startswith("⋯ 41 rows that changed less") for line in lines)
    assert len(diff_json(found)["rows"]) == 45
    kept = found.largest(4)
    assert np.abs(found.change[kept]).min() >= np.delete(np.abs(found.change), kept).max()


def test_labels_are_typeset():
    assert label_text((("lag", 3),)) == "3"
    assert label_text((("loss", 4), ("entry", 2))) == "L₄, 2"
    assert label_text((("W_f", 2), ("f", 1))) == "W_f×2 f"
    assert label_text(()) == "none of them"
    assert label_text((("path", ("L4", "yhat4", "s4", "W")),)) == "L₄ → ŷ₄ → s₄ → W"


@pytest.mark.parametrize("name", hostile_labels(100)[::9])
def test_names_are_cleaned(name):
    found = diff(run(), run(seed=1), names=(name, "B"))
    for line in (*diff_text(found, 40), diff_json(found)["a"]["name"]):
        assert line.isprintable(), line


def test_a_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    from unrollviz.draw.beside import figure, write
    from unrollviz.report.compare import beside

    found = diff(run(steps=3, instances=6), run(seed=1, instances=6), names=("a\x1b[2J$x$", "b"))
    what = beside(found, 40)
    axes = figure(what).axes
    assert len(axes) == 2
    widths = [bar.get_width() for bar in axes[0].patches]
    np.testing.assert_allclose(widths, np.nan_to_num(found.shares).ravel())
    for name in ("d.svg", "d.png"):
        write(what, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    assert "\x1b" not in (tmp_path / "d.svg").read_text(encoding="utf-8")


# -------------------------------------------------------------------------------------------- the command


command = partial(unrollviz, "diff")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two models, a run's folder, data, and an experiment."""
    path = tmp_path_factory.mktemp("diff")
    rng = np.random.default_rng(0)
    xs, targets = rng.standard_normal((5, 10, 3)), rng.integers(0, 3, (5, 10))
    for seed in (0, 1):
        uz.Network.init("lstm", 3, 4, 3, seed=seed).save(path / f"m{seed}.npz")
    for name, part in (("d", slice(None)), ("e", slice(0, 3))):
        np.savez(path / f"{name}.npz", xs=xs[part], targets=targets[part])
    uz.train(uz.Network.init("lstm", 3, 4, 3, seed=0), (xs, targets), epochs=2, folder=path / "run")
    (path / "gru.toml").write_text('[model]\ncell = "gru"\nhidden = 4\n', encoding="utf-8")
    return path


def test_two_models_two_experiments_two_sequences_and_a_run(folder):
    told = {}
    for name, arguments in {
        "models": ["m0.npz", "m1.npz", "--data", "d.npz"],
        "data": ["m0.npz", "--data", "d.npz", "--data-b", "e.npz"],
        "folder": ["m0.npz", "run", "--data", "d.npz"],
        "checkpoint": ["m0.npz", "run/checkpoint.npz", "--data", "d.npz", "--instances", "4"],
        "made": ["-", "run", "--data", "d.npz", "--cell", "lstm", "--hidden", "4"],
        "experiments": ["gru.toml", "m1.npz", "--data", "d.npz", "--param-b", "W_f"],
    }.items():
        done = command(*arguments, "--json", cwd=folder)
        assert (done.returncode, done.stderr) == (0, ""), (name, done.stderr)
        told[name] = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    network = [uz.Network.load(folder / f"m{seed}.npz") for seed in (0, 1)]
    arrays = np.load(folder / "d.npz")
    found = uz.diff(*(uz.unroll(one, arrays["xs"], arrays["targets"]) for one in network))
    assert [row["change"] for row in told["models"]["rows"]] == pytest.approx(found.change.tolist(), abs=1e-15)
    assert [row["p"] for row in told["models"]["rows"]] == found.significance.p.tolist()
    assert told["models"]["significance"]["paired"]
    assert not told["data"]["significance"]["paired"]
    assert (told["data"]["a"]["steps"], told["data"]["b"]["steps"]) == (5, 3)
    assert told["folder"]["b"]["loss"] == told["made"]["b"]["loss"]
    assert told["checkpoint"]["b"]["instances"] == 4
    assert told["experiments"]["a"]["cell"] == "gru"
    assert told["experiments"]["b"]["param"] == "W_f"


def test_text_where_there_is_only_ascii(folder):
    done = command("m0.npz", "m1.npz", "--data", "d.npz", cwd=folder, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "significance:" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "diff compares two"),
        (["m0.npz"], "diff compares two"),
        (["m0.npz", "none.npz"], "none.npz"),
        (["m0.npz", "m1.npz", "--cell", "gru"], "--cell is what m0.npz says"),
        (["m0.npz", "--cell-b", "gru"], "--cell is what m0.npz says"),
        (["m0.npz", "gru.toml", "--data", "d.npz"], "has no W_f"),
        (["m0.npz", "m1.npz", "--by", "lags"], "did you mean lag"),
        (["m0.npz", "m1.npz", "--data", "d.npz", "-o", "x.doc"], "x.doc: the ending names the format"),
        (["run", "m1.npz", "--rnn", "x"], "is a run's checkpoint"),
        (["m0.npz", "nowhere/"], "nowhere"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(folder, arguments, words):
    done = command(*arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("unrollviz: error: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
