"""unrollviz train and history through their real entry point: what they print, exit codes, interrupts."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from command import unrollviz as run

import unrollviz as uz
from unrollviz.samples import END, SAMPLES
from unrollviz.training.checkpoints import CHECKPOINT, MODEL, read

COMMAND = [sys.executable, "-m", "unrollviz"]


def test_train_and_history_end_to_end(tmp_path):
    """A padded batch from a file, with all that train can be told; then its history in all three forms."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 7, 20)
    xs, targets = rng.integers(0, 4, (2, 6, 20))
    np.savez(tmp_path / "seq.npz", xs=xs, targets=targets, lengths=lengths)
    options = (
        "--data seq.npz --cell gru --hidden 5 --epochs 4 --batch 6 --optimizer momentum --number momentum=0.8 --lr "
    )
    options += (
        "0.05 --schedule cosine --clip 1 --clip-value 0.5 --validation 0.2 --patience 3 --seed 3 --every 2 -o run"
    )
    done = run("train", *options.split(), "--watch", "W_n", "--watch", "U_z", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert {"losses", "gradient_norms", "n_updates", "checkpoint"} <= said.keys()
    assert len(said["losses"]) == len(said["gradient_norms"]) == len(said["validation_losses"]) == 4
    assert said["n_updates"] == 4 * 3
    assert said["checkpoint"] == f"run/{CHECKPOINT}"

    # the same from Python
    network = uz.Network.init("gru", 4, 5, 4, seed=3, scheme="orthogonal")
    settings = {"epochs": 4, "batch": 6, "optimizer": "momentum", "numbers": {"momentum": 0.8}, "lr": 0.05, "seed": 3}
    settings |= {"schedule": "cosine", "clip": 1.0, "clip_value": 0.5, "validation": 0.2, "patience": 3}
    assert list(uz.train(network, (xs, targets), lengths=lengths, **settings).losses) == said["losses"]

    text = run("history", "run", "--param", "U_z", cwd=tmp_path)
    assert text.returncode == 0, text.stderr
    assert "7 records of 12 updates by momentum" in text.stdout
    assert json.loads(run("history", "run", "--json", cwd=tmp_path).stdout)["updates"] == [0, 2, 4, 6, 8, 10, 12]
    assert len(run("history", "run", "--csv", cwd=tmp_path).stdout.splitlines()) == 8
    model = run("flow", f"run/{MODEL}", "--data", "seq.npz", "--json", cwd=tmp_path)
    assert json.loads(model.stdout)["param"] == "W_n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--optimizer", "adm"], "did you mean adam"),
        (["train", "--schedule", "cosin"], "did you mean cosine"),
        (["train", "--number", "beta1"], "give a name and a number"),
        (["train", "--number", "alpha=1"], "number of adam"),
        (["train", "--resume"], "name it with -o"),
        (["train", "--save-every", "1"], "name it with -o"),
        (["train", "--patience", "2"], "give validation too"),
        (["train", "--epochs", "0"], "epochs=0"),
        (["train", "--sample", "name"], "did you mean names"),
        (["train", "--sample", "names", "--text", "ada"], "both say what the sequence is"),
        (["train", "--sample", "adding", "--criterion", "binary_cross_entropy"], "has squared_error for its loss"),
        (["train", "--gradient", "paths", "--steps", "60", "--cell", "lstm"], "are more than the limit"),
        (["train", "-o", "/dev/null/run"], "give another folder"),
        (["history", "nowhere"], "nowhere: cannot be read"),
        (["history", "."], "cannot be read"),
        (["history", ".", "--csv", "--json"], "give one of them"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(arguments, words, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("unrollviz: error: ")
    assert words in line


def test_a_run_without_a_history_says_so(tmp_path):
    assert run("train", "--epochs", 1, "--every", 0, "-o", "run", cwd=tmp_path).returncode == 0
    done = run("history", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert "--every 0 and has no history" in done.stderr


def shown_until(handle, pattern, seconds=30.0):
    """What a terminal shows until it matches, or ends."""
    shown, end = "", time.monotonic() + seconds
    while time.monotonic() < end and not re.search(pattern, shown):
        if select.select([handle], [], [], 0.1)[0]:
            try:
                shown += os.read(handle, 65536).decode("utf-8", "replace")
            except OSError:
                break
    return shown


def test_ctrl_c_keeps_the_checkpoint_and_exits_130(tmp_path):
    """On a terminal: a progress bar with loss, norm and reach; then Ctrl-C, and the run can be gone on with."""
    options = ["train", "--text", "hello world", "--cell", "lstm", "--every", "5", "-o", str(tmp_path / "run")]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *options, "--epochs", "100000"], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            shown = shown_until(ours, r"loss \d+\.\d+ .{3,5} \d+\.\d+ reach \d+")
            assert "reach" in shown
            process.send_signal(signal.SIGINT)
            rest = shown_until(ours, r"\Z.")
            assert process.wait(20) == 130
        finally:
            process.kill()
    os.close(ours)
    assert "Traceback" not in rest
    updates = read(tmp_path / "run").state.updates
    assert updates > 0
    done = run(*options, "--epochs", updates + 2, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_updates"] == updates + 2


def test_samples_are_what_they_say():
    names, sunspots, adding = (make(0) for make in SAMPLES.values())
    spelled = uz.spell("ada" + END, names.options["vocabulary"])
    place = uz.first_names().index("ada")
    assert names.options["lengths"][place] == 3
    assert names.xs[:3, place].tolist() == spelled.xs.tolist()
    assert names.targets[:3, place].tolist() == spelled.targets.tolist()
    np.testing.assert_array_equal(sunspots.xs[1:], sunspots.targets[:-1])
    assert (adding.xs[:, :, 1].sum(axis=0) == 2).all()
    assert (adding.xs[:15, :, 1].sum(axis=0) == 1).all()
    np.testing.assert_allclose(adding.xs.prod(axis=2).sum(axis=0), adding.targets[:, 0])
    assert np.mean((adding.targets - 1) ** 2) == pytest.approx(1 / 6, rel=0.1)
    with pytest.raises(uz.UnrollvizError, match="at least 2 steps"):
        uz.adding(steps=1)
