"""A run's folder through the real entry point: RUN@N wherever a model may stand, and in the debugger."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from command import unrollviz

import unrollviz as uz
from unrollviz.cli import cli
from unrollviz.debugger import session
from unrollviz.debugger import stepper as go
from unrollviz.debugger.opening import of_run
from unrollviz.errors import BadFile, UnrollvizError
from unrollviz.samples import SAMPLES
from unrollviz.training import checkpoints
from unrollviz.training.checkpoints import RECORDS
from unrollviz.training.rundata import DATA, RunData, read, save
from unrollviz.training.runs import opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    sample = SAMPLES["sunspots"](0)
    xs, targets = (np.concatenate([series[:22], series[22:]], axis=1) for series in (sample.xs, sample.targets))
    net = uz.Network.init("lstm", 1, 4, 1)
    uz.train(net, (xs, targets), folder=path, epochs=6, batch=3, every=10, clip=1.0, **sample.options)
    return path


def said(*arguments: object, given: str = "") -> str:
    """What a command prints."""
    done = CliRunner().invoke(cli, [str(one) for one in arguments], input=given)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_run_at_n_is_the_network_after_n_updates(folder: Path) -> None:
    found = opened(folder)
    assert (found.iterations, list(found.recorded)) == (30, [0, 10, 20, 30])
    losses = []
    for iteration in (0, 13, 20, 30):
        point = found.at(iteration)
        batch = found.probe(8)
        assert batch is not None
        run = uz.unroll(found.last.network.replace(**point.params), batch.inputs, batch.targets, loss="squared_error")
        losses.append(run.loss)
        told = json.loads(said("flow", f"{folder}@{iteration}", "--param", "V", "--json"))
        assert told["total_norm"] == pytest.approx(np.linalg.norm(run.gradient("V")), rel=1e-12)
    history = found.last.state.history
    assert history is not None
    assert [losses[0], losses[2], losses[3]] == pytest.approx(history.losses[[0, 2, 3]].tolist(), rel=1e-14)


def test_two_moments_of_one_run_are_compared_on_its_own_data(folder: Path) -> None:
    told = json.loads(said("diff", f"{folder}@0", f"{folder}@25", "--by", "uses:weights,highway", "--json"))
    assert (told["a"]["name"], told["b"]["name"]) == ("run@0", "run@25")
    assert told["significance"]["paired"]
    assert told["a"]["instances"] == 14
    assert told["a"]["loss"] > told["b"]["loss"]


def test_the_debugger_opens_a_run_line_by_line(folder: Path) -> None:
    """Through a process of its own, from the first update to a comparison."""
    script = "iteration\nbreak phase=update\ncontinue\nnext 20\nprint norm(V.step) > 0\niteration 30\ncompare 0\nprev\n"
    done = unrollviz("debug", f"{folder}@10", given=script)
    assert (done.returncode, done.stderr) == (0, "")
    assert "iteration 10 of 30, event 0 of" in done.stdout
    assert "lstm" not in done.stdout.splitlines()[0]
    assert "each is given the run's own mini-batch" in done.stdout
    assert "update: U_i ← U_i + ΔU_i, which adam makes of clipped ∂L/∂U_i, η = 0.01" in done.stdout
    assert "iteration 11 of 30, event 7 of" in done.stdout
    assert "∂L/∂W_f by lag: iteration 0 (A) and iteration 30 (B)" in done.stdout
    assert "iteration 30 of 30, event 6 of" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["debug", "{}@31"], "run has made 30 updates, so that its iterations go from 0 to 30; 31 is none of them"),
        (["flow", "{}/checkpoint.npz@3"], "name the folder of the run: RUN@3"),
        (["flow", "{}/model.safetensors@3"], "is no run's folder"),
        (["debug", "{}", "--optimizer", "adam"], "says how it learns; leave out --optimizer"),
        (["debug", "{}", "--instances", "8..3"], "neither an instance, 3, nor a range"),
        (["debug", "{}", "--instances", "5..15"], "is trained on 14 instances; there is no 15"),
        (["debug", "--instances", "3"], "give that as SPEC"),
        (["debug", "--lr", "1"], "--lr is about updates; give --optimizer too"),
        (["debug", "--optimizer", "adm"], "did you mean adam"),
        (["debug", "--optimizer", "adam", "--clip", "-1"], "clip=-1"),
    ],
)
def test_what_cannot_be_opened_is_one_line(folder: Path, arguments: list[str], words: str) -> None:
    with pytest.raises((UnrollvizError, click.ClickException)) as error:
        CliRunner().invoke(
            cli, [one.format(folder) for one in arguments], standalone_mode=False, catch_exceptions=False
        )
    assert words in (error.value.format_message() if hasattr(error.value, "format_message") else str(error.value))


def test_a_folder_of_an_older_version_opens_where_it_stands(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    shutil.rmtree(old / RECORDS)
    (old / DATA).unlink()
    with pytest.raises(UnrollvizError, match="keeps no records, only where it stands: iteration 30"):
        of_run(opened(old), 10)
    with pytest.raises(UnrollvizError, match="keeps no copy of the data it is trained on"):
        of_run(opened(old))
    lines = said("debug", old, "--sample", "sunspots", given="goto end\nnext\nprev\nprev event\n").splitlines()
    assert lines[0].startswith("iteration 30 of 230, event 0 of")
    assert lines[3].startswith("iteration 31 of 230, event 1 of")


@pytest.mark.parametrize("which", [None, slice(1, 4)])
def test_instances_of_ones_own_choice(folder: Path, which: slice | None) -> None:
    found = opened(folder)
    stepper = of_run(found, 12, which)
    assert stepper.run.instances == 3
    after = go.at_iteration(stepper, 20)  # the run's own, whatever one is given
    assert all(np.array_equal(w, found.at(20).params[name]) for name, w in after.run.network.params.items())
    on = go.moved(go.at(stepper, stepper.timeline.end), "event", 1)
    own = all(np.array_equal(w, found.at(13).params[name]) for name, w in on.run.network.params.items())
    assert own == (which is None)
    assert (on.run.batch is stepper.run.batch) == (which is not None)


def test_a_session_of_a_run_stands_on_its_own(folder: Path, tmp_path: Path) -> None:
    stepper = go.at(of_run(opened(folder), 12), 5)
    session.save(stepper, tmp_path / "s.json")
    again = session.read(tmp_path / "s.json")
    assert (again.iteration, again.cursor) == (12, 5)
    one, other = (go.at(s, s.timeline.end).state.update("V") for s in (stepper, again))
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.new["V"], other.new["V"])
    assert go.at_iteration(again, 14).iteration == 14
    with pytest.raises(UnrollvizError, match="go from 12 to 30"):
        go.at_iteration(again, 11)


@pytest.mark.parametrize("name", SAMPLES)
def test_data_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    from unrollviz.batch import unreduced
    from unrollviz.training.checkpoints import fingerprint

    sample = SAMPLES[name](0)
    options = dict(sample.options)
    words = options.pop("vocabulary", None)
    xs, targets = (
        sample.xs[:, :50],
        sample.targets[:50] if sample.targets.ndim == 2 and name == "adding" else sample.targets[:, :50],
    )
    if "lengths" in options:
        options["lengths"] = options["lengths"][:50]
    width = len(words) if words else sample.xs.shape[2]
    net = uz.Network.init("gru", width, 3, len(words) if words else 1)
    whole = unreduced(net, xs, targets, **options)
    save(tmp_path, RunData(whole, words))
    again = read(tmp_path, net)
    assert again is not None
    assert fingerprint(again.whole) == fingerprint(whole)
    assert again.vocabulary == words


def test_data_that_lie_are_refused(folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(folder, bad)
    good = (bad / DATA).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(40):
        torn = bytearray(good)
        torn[rng.integers(0, len(torn))] ^= 0xFF
        (bad / DATA).write_bytes(torn)
        try:
            opened(bad)
        except BadFile:
            continue
    with np.load(folder / DATA) as arrays:
        np.savez(bad / DATA, **{**arrays, "inputs": arrays["inputs"] + 1})
    with pytest.raises(BadFile, match="is not what it was trained on; remove that file"):
        opened(bad)
    shutil.copy(bad / RECORDS / "000000010.npz", bad / RECORDS / "000000015.npz")
    (bad / RECORDS / "000000020.npz").write_bytes(b"half")
    shutil.copy(folder / DATA, bad / DATA)
    with pytest.raises(BadFile, match="000000020"):
        opened(bad).at(20)


def test_what_is_odd_in_a_folder_is_told_or_passed_over(folder: Path, tmp_path: Path) -> None:
    """A pipe for a journal would keep its reader waiting for ever; a record may lie about its update."""
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    for name in ("journal.0", "journal.1"):
        (copy / name).unlink(missing_ok=True)
        os.mkfifo(copy / name)
    first, second, *_ = sorted((copy / RECORDS).iterdir())
    (copy / RECORDS / "999999999.npz").mkdir()
    (copy / RECORDS / "999999998.npz").symlink_to("nowhere")
    found = opened(copy)
    assert set(found.recorded) == set(opened(folder).recorded)
    shutil.copy(first, second)
    with pytest.raises(BadFile, match="is not of the update in its name; remove it"):
        opened(copy).at(int(second.stem))


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_read_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, turns, others = checkpoints.read_arrays, [], itertools.count()

    def meanwhile(path: Path, limit: int) -> dict[str, np.ndarray]:
        turns.append(path)
        monkeypatch.setattr(Path, "read_bytes", lambda self: whole if len(turns) > 2 else bytes([next(others)]))
        return right(path, limit)

    file = folder / checkpoints.CHECKPOINT
    whole = file.read_bytes()
    monkeypatch.setattr(checkpoints, "read_arrays", meanwhile)
    checkpoints.read(folder)
    assert len(turns) == 4  # the first three met another file before or after
