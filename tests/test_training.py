"""Training: the numbers of a loop by hand, broken off and taken up at any update; and its checkpoints."""

import fcntl
import json
import signal
import subprocess
import sys
import time
from dataclasses import fields

import numpy as np
import pytest

import unrollviz as uz
from unrollviz.errors import BadFile, NonFinite, TooManyPaths, UnknownName, UnrollvizError
from unrollviz.optim import OPTIMIZERS, SCHEDULES
from unrollviz.training import checkpoints, learning, saving
from unrollviz.training import state as training
from unrollviz.training.checkpoints import CHECKPOINT, MODEL, read
from unrollviz.training.journal import NAMES
from unrollviz.training.records import recorded
from unrollviz.training.rundata import DATA as KEPT
from unrollviz.training.runs import opened
from unrollviz.training.state import GRADIENTS, Settings

RNG = np.random.default_rng(0)
XS, TARGETS, LENGTHS = RNG.standard_normal((6, 10, 3)), RNG.integers(0, 2, (6, 10)), RNG.integers(2, 7, 10)
DATA = (XS, TARGETS)


def net(cell="elman"):
    return uz.Network.init(cell, 3, 4, 2)


def equal(one, other):
    """Whether two states are the same but for the time they took."""
    for name in ("params", "best"):
        mine, theirs = getattr(one, name) or {}, getattr(other, name) or {}
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[key], theirs[key]) for key in mine), name
    for kept, arrays in one.memory.arrays.items():
        assert all(np.array_equal(arrays[key], other.memory.arrays[kept][key]) for key in arrays), kept
    for name in ("updates", "epoch", "position", "running", "losses", "gradient_norms", "validation_losses", "every"):
        assert getattr(one, name) == getattr(other, name), name
    assert (one.history is None) == (other.history is None)
    if one.history is not None:
        for field in fields(one.history):
            if field.name != "seconds":
                np.testing.assert_array_equal(getattr(one.history, field.name), getattr(other.history, field.name))


# ------------------------------------------------------------------------------------------- the numbers


def test_a_full_batch_is_gradient_descent_by_hand():
    network = net()
    trained = uz.train(network, DATA, lengths=LENGTHS, epochs=3, batch=10, optimizer="gradient_descent", lr=0.3)
    losses, norms = [], []
    for _ in range(3):
        run = uz.unroll(network, *DATA, lengths=LENGTHS)
        gradients = run.gradients()
        losses.append(run.loss)
        norms.append(np.sqrt(sum((g**2).sum() for g in gradients.values())))
        network = network.replace(**{name: w - 0.3 * gradients[name] for name, w in network.params.items()})
    np.testing.assert_allclose(trained.losses, losses, rtol=1e-14)
    np.testing.assert_allclose(trained.gradient_norms, norms, rtol=1e-14)
    for name, w in network.params.items():
        np.testing.assert_array_equal(trained.network.params[name], w)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_loss_of_an_epoch_is_the_mean_over_its_instances(reduction):
    """With a learning rate of almost nothing, batches of unequal size add up to what one batch of all gives."""
    found = uz.train(net(), DATA, lengths=LENGTHS, epochs=2, batch=4, lr=1e-300, reduction=reduction)
    whole = uz.unroll(net(), *DATA, lengths=LENGTHS, reduction=reduction)
    np.testing.assert_allclose(found.losses, whole.loss, rtol=1e-14)
    assert found.state.updates == 6


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_the_explicit_path_sum_gives_the_same_numbers(cell):
    data = (XS[:3, :4], TARGETS[:3, :4])
    two = {way: uz.train(net(cell), data, epochs=2, batch=2, gradient=way, every=0) for way in GRADIENTS}
    np.testing.assert_allclose(two["sweep"].losses, two["paths"].losses, rtol=1e-12)
    for name, w in two["sweep"].network.params.items():
        np.testing.assert_allclose(two["paths"].network.params[name], w, rtol=1e-8, atol=1e-10)


def test_padding_counts_for_nothing():
    junk = XS.copy()
    junk[np.arange(6)[:, None] >= LENGTHS] = 1e3
    one, other = (uz.train(net("lstm"), (xs, TARGETS), lengths=LENGTHS, epochs=2, batch=3) for xs in (XS, junk))
    assert one.losses == other.losses


@pytest.mark.parametrize("readout", ["every", "last"])
def test_a_list_of_instances_of_any_length(readout):
    pairs = [(XS[:length, b], TARGETS[:length, b]) for b, length in enumerate(LENGTHS)]
    options = {"epochs": 2, "batch": 4, "readout": readout}
    one = uz.train(net(), pairs, **options)
    assert one.losses == uz.train(net(), DATA, lengths=LENGTHS, **options).losses
    if readout == "last":
        single = [(XS[:length, b], TARGETS[length - 1, b]) for b, length in enumerate(LENGTHS)]
        assert one.losses == uz.train(net(), single, **options).losses
    soft = [(XS[:length, b], np.eye(2)[TARGETS[:length, b]]) for b, length in enumerate(LENGTHS)]
    assert one.losses == uz.train(net(), soft, **options).losses


def test_seeds_decide_everything():
    one, same, other = (uz.train(net(), DATA, epochs=2, batch=3, seed=seed, validation=0.2) for seed in (1, 1, 2))
    assert (one.losses, one.validation_losses) == (same.losses, same.validation_losses)
    assert all(np.array_equal(w, same.network.params[name]) for name, w in one.network.params.items())
    assert one.losses != other.losses


def test_every_instance_is_seen_once_an_epoch_and_validation_never(monkeypatch):
    seen = []
    part = training.part
    monkeypatch.setattr(
        training, "part", lambda whole, which, reduction: seen.append(which) or part(whole, which, reduction)
    )
    trained = uz.train(net(), DATA, epochs=2, batch=3, validation=0.25, every=0)
    _probe, *batches = seen
    epochs = [batches[:3], batches[4:7]]  # 7 of 10 instances in 3 batches; one of the 3 for validation follows
    assert [len(which) for which in epochs[0]] == [3, 3, 1]
    first, second = (set(np.concatenate(epoch).tolist()) for epoch in epochs)
    assert first == second
    assert len(first) == 7
    assert first.isdisjoint(batches[3].tolist())
    assert [which.tolist() for which in epochs[0]] != [which.tolist() for which in epochs[1]]
    assert len(trained.validation_losses) == 2


def test_clipping_and_schedules_reach_the_update():
    first = {"epochs": 1, "batch": 10, "optimizer": "gradient_descent", "lr": 1.0, "every": 0}
    start = net()

    def moved(**more):
        after = uz.train(start, DATA, **{**first, **more}).network.params
        return {name: after[name] - w for name, w in start.params.items()}

    free, clipped, capped = moved(), moved(clip=0.01), moved(clip_value=0.01)
    assert np.sqrt(sum((d**2).sum() for d in clipped.values())) == pytest.approx(0.01, rel=1e-3)
    for name, step in free.items():
        np.testing.assert_allclose(clipped[name] * np.abs(step).max(), step * np.abs(clipped[name]).max(), atol=1e-12)
        np.testing.assert_allclose(capped[name], np.clip(step, -0.01, 0.01), atol=1e-15)
    assert not any(step.any() for step in moved(schedule="warmup").values())  # its first rate is 0


def test_it_stops_early_with_the_best_network():
    noise = np.random.default_rng(3).integers(0, 2, (6, 10))
    found = uz.train(net(), (XS, noise), epochs=200, batch=5, lr=0.05, validation=0.3, patience=4, every=0)
    best = int(np.argmin(found.validation_losses))
    assert len(found.losses) == best + 5 < 200
    kept = np.sort(np.random.default_rng([0, 12]).permutation(10)[:3])
    run = uz.unroll(found.network, XS[:, kept], noise[:, kept])
    assert run.loss == pytest.approx(found.validation_losses[best], rel=1e-12)
    last = uz.train(net(), (XS, noise), epochs=len(found.losses), batch=5, lr=0.05, validation=0.3, every=0)
    assert last.validation_losses == found.validation_losses
    assert uz.unroll(last.network, XS[:, kept], noise[:, kept]).loss == pytest.approx(
        last.validation_losses[-1], rel=1e-12
    )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_learns_a_name(optimizer):
    spelled = uz.spell("ada")
    network = uz.Network.init("elman", 2, 4, 2)
    trained = uz.train(network, (spelled.xs, spelled.targets), epochs=60, optimizer=optimizer, every=0)
    assert trained.losses[-1] < 0.6 * trained.losses[0]


# ------------------------------------------------------------------------- broken off, and taken up again


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("stop", [0, 1, 4, 7, 8, 11])
def test_a_run_taken_up_again_is_one_never_broken_off(optimizer, stop, tmp_path):
    options = {"epochs": 3, "batch": 2, "validation": 0.2, "schedule": "cosine", "every": 3, "clip": 1.0}
    whole = uz.train(net(), DATA, lengths=LENGTHS, optimizer=optimizer, **options)

    def interrupt(training, state):
        if state.updates == stop:
            raise KeyboardInterrupt

    def go_on(**more):
        return uz.train(net(), DATA, lengths=LENGTHS, optimizer=optimizer, folder=tmp_path / "run", **options, **more)

    with pytest.raises(KeyboardInterrupt):
        go_on(progress=interrupt)
    assert read(tmp_path / "run").state.updates == stop
    equal(go_on(resume=True).state, whole.state)
    equal(read(tmp_path / "run").state, whole.state)
    equal(go_on(resume=True).state, whole.state)  # nothing is left to do


def test_more_epochs_may_be_asked_for_later(tmp_path):
    options = {"batch": 4, "folder": tmp_path, "every": 0}
    uz.train(net(), DATA, epochs=2, **options)
    longer = uz.train(net(), DATA, epochs=5, resume=True, **options)
    assert longer.losses == uz.train(net(), DATA, epochs=5, batch=4, every=0).losses
    with pytest.raises(BadFile, match="is in epoch 5, past 4; give epochs=5 or more"):
        uz.train(net(), DATA, epochs=4, resume=True, **options)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lr": 0.5}, "is of a run with lr None, not 0.5"),
        ({"network": uz.Network.init("elman", 3, 5, 2)}, "another network"),
        ({"network": uz.Network.init("elman", 3, 4, 2, "relu")}, "another network"),
        ({"data": (XS + 1, TARGETS)}, "other data"),
        ({"loss": "squared_error", "data": (XS, np.ones((6, 10, 2)))}, "other data"),
        ({"resume": False}, "holds a run already"),
    ],
)
def test_another_run_is_not_gone_on_with(change, words, tmp_path):
    options = {"network": net(), "data": DATA, "epochs": 2, "folder": tmp_path, "resume": True}
    uz.train(**{**options, "resume": False})
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(BadFile, match=words):
        uz.train(**{**options, **change})
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_nothing_to_resume_is_one_line(tmp_path):
    with pytest.raises(BadFile, match="cannot be read"):
        uz.train(net(), DATA, folder=tmp_path, resume=True)
    with pytest.raises(UnrollvizError, match="give the one of the run"):
        uz.train(net(), DATA, resume=True)


def test_divergence_keeps_the_checkpoint_before_it(tmp_path):
    with pytest.raises(NonFinite):
        uz.train(
            uz.Network.init("elman", 3, 4, 2, "relu"), DATA, lr=1e200, optimizer="gradient_descent", folder=tmp_path
        )
    assert all(np.isfinite(w).all() for w in read(tmp_path).network.params.values())


def test_the_trained_network_is_a_model_like_any_other(tmp_path):
    trained = uz.train(net("gru"), DATA, epochs=1, folder=tmp_path)
    found = uz.Network.load(tmp_path / MODEL)
    assert all(np.array_equal(w, found.params[name]) for name, w in trained.network.params.items())
    assert trained.checkpoint == tmp_path / CHECKPOINT


LOOP = """
import sys, numpy as np, unrollviz as uz
rng = np.random.default_rng(0)
xs, targets = rng.standard_normal((6, 10, 3)), rng.integers(0, 2, (6, 10))
uz.train(uz.Network.init("lstm", 3, 4, 2), (xs, targets), epochs=100_000, batch=2, every=5,
         folder=sys.argv[1], resume=sys.argv[2] == "resume", progress=lambda t, s: print(s.updates, flush=True))
"""


def killed(folder, mode, after, how=signal.SIGKILL):
    """Run until `after` more seconds have passed since the first update; the last update that was told of."""
    with subprocess.Popen([sys.executable, "-c", LOOP, str(folder), mode], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        run.stdout.readline()
        time.sleep(after)
        run.send_signal(how)
        told = run.stdout.read().split()
    return int(told[-1]) if told else 0


def test_kill_9_at_any_moment_leaves_a_checkpoint_to_go_on_from(tmp_path):
    rng, done = np.random.default_rng(1), 0
    for attempt in range(4):
        told = killed(tmp_path, "resume" if attempt else "begin", rng.uniform(0, 0.2))
        found = read(tmp_path)
        assert max(told, done) <= found.state.updates <= max(told, done) + 1  # nothing is lost but the unfinished step
        done = found.state.updates
    assert done > 0
    states = {}
    whole = training.Training.of(net("lstm"), learning.unreduced(net("lstm"), XS, TARGETS), found.settings)
    state = whole.first()
    while state.updates < done:
        state = whole.next(state)
        states[state.updates] = state
    equal(state, found.state)


def test_the_states_at_records_survive_and_are_those_of_a_run_never_broken_off(tmp_path):
    """Killed, taken up, killed: every record is there, readable, and the same to the last bit."""
    killed(tmp_path / "run", "begin", 0.15)
    killed(tmp_path / "run", "resume", 0.15)
    found = opened(tmp_path / "run")
    assert list(found.recorded) == [u for u in found.last.state.history.updates.tolist() if u in found.recorded]
    assert set(found.last.state.history.updates.tolist()) <= set(found.recorded)
    whole = training.Training.of(net("lstm"), found.data.whole, found.last.settings)
    state = whole.first()
    for _ in range(found.iterations):
        state = whole.next(state)
        if state.updates in found.recorded or state.updates % 7 == 0:
            point = found.at(state.updates)
            assert all(np.array_equal(w, point.params[name]) for name, w in state.params.items()), state.updates
            assert all(
                np.array_equal(a, point.memory.arrays[kept][name])
                for kept, of in state.memory.arrays.items()
                for name, a in of.items()
            )
    equal(state, found.last.state)


def broken_off(folder, updates=9):
    """A run that was killed: one checkpoint at its start, and the journal."""
    killer = subprocess.run(
        [sys.executable, "-c", LOOP.replace("lambda t, s: print(s.updates, flush=True)", f"lambda t, s: s.updates == "
         f"{updates} and __import__('os').kill(__import__('os').getpid(), 9)").replace("every=5,", "every=5, save_every"
         "=1000,"), str(folder), "begin"]
    )  # fmt: skip
    assert killer.returncode == -9


def test_a_torn_journal_costs_one_update_and_a_lost_one_goes_back_to_the_checkpoint(tmp_path):
    broken_off(tmp_path)
    whole = training.Training.of(net("lstm"), learning.unreduced(net("lstm"), XS, TARGETS), read(tmp_path).settings)
    states = [whole.first()]
    for _ in range(9):
        states.append(whole.next(states[-1]))
    equal(states[9], read(tmp_path).state)
    files = [tmp_path / name for name in NAMES]
    contents = [path.read_bytes() for path in files]
    for path, content in zip(files, contents, strict=True):
        for place in (0, 10, 30, 50, 200, len(content) - 1):
            torn = bytearray(content)
            torn[place] ^= 1
            path.write_bytes(torn)
            found = read(tmp_path).state
            assert found.updates in (8, 9)
            equal(states[found.updates], found)
        for size in (0, 10, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:size])
            assert read(tmp_path).state.updates in (8, 9)
        path.write_bytes(content)
    for path in files:
        path.write_bytes(b"")
    assert read(tmp_path).state.updates == 0
    for path, content in zip(files, contents, strict=True):
        path.write_bytes(content)
    equal(states[9], read(tmp_path).state)
    uz.train(net("lstm"), DATA, folder=tmp_path / "other", epochs=1, batch=10, every=5)
    (tmp_path / CHECKPOINT).write_bytes((tmp_path / "other" / CHECKPOINT).read_bytes())
    assert read(tmp_path).state.updates == 1  # the journal goes on from another checkpoint


def test_a_record_of_an_update_that_is_made_again_is_made_again(tmp_path):
    """A kill may come between a record and its update's entry in the journal."""
    options = {"epochs": 2, "batch": 5, "every": 2, "folder": tmp_path}
    uz.train(net(), DATA, **options)
    last = recorded(tmp_path)[4]
    later = last.with_name("000000006.npz")
    later.write_bytes(last.read_bytes())
    uz.train(net(), DATA, **{**options, "epochs": 4}, resume=True)
    assert list(recorded(tmp_path)) == [0, 2, 4, 6, 8]
    assert read(later).state.updates == 6


def test_records_keep_within_their_room(tmp_path):
    options = {"epochs": 10, "batch": 2, "every": 1}
    uz.train(net(), DATA, folder=tmp_path / "all", **options)
    every = recorded(tmp_path / "all")
    assert list(every) == list(range(51))
    size = sum(path.stat().st_size for path in every.values())
    some = uz.train(net("lstm"), DATA, folder=tmp_path / "some", keep_mib=1, **{**options, "epochs": 20})
    kept = recorded(tmp_path / "some")
    assert size < 2**20
    assert sum(path.stat().st_size for path in kept.values()) <= 2**20
    assert 0 in kept
    assert some.kept == len(kept)
    none = uz.train(net(), DATA, folder=tmp_path / "none", keep_mib=0, **options)
    assert none.kept == 0
    with pytest.raises(UnrollvizError, match="keeps no records, only where it stands: iteration 50"):
        opened(tmp_path / "none").at(3)
    (tmp_path / "all" / KEPT).unlink()
    old = opened(tmp_path / "all")
    every[4].unlink()
    assert old.at(3).iteration == 3
    with pytest.raises(UnrollvizError, match="no copy of its data, so that iteration 4 cannot be made again; the near"):
        opened(tmp_path / "all").at(4)
    with pytest.raises(UnrollvizError, match="iterations go from 0 to 50; 51 is none"):
        old.at(51)


def test_two_runs_into_one_folder(tmp_path):
    with subprocess.Popen([sys.executable, "-c", LOOP, str(tmp_path), "begin"], stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        run.stdout.readline()
        with pytest.raises(BadFile, match="in use by another run"):
            uz.train(net(), DATA, folder=tmp_path)
        run.kill()
    with checkpoints.locked(tmp_path), pytest.raises(BadFile, match="in use"), checkpoints.locked(tmp_path):
        pass
    with (tmp_path / ".lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it went with its process


def test_what_a_killed_run_left_is_swept(tmp_path):
    (tmp_path / f".{CHECKPOINT}.1234.tmp").write_bytes(b"half")
    uz.train(net(), DATA, epochs=1, folder=tmp_path, every=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", CHECKPOINT, KEPT, MODEL]


def test_a_folder_that_cannot_be_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFile, match="give another folder"):
        uz.train(net(), DATA, folder=tmp_path / "file")
    with pytest.raises(BadFile, match="give another folder"):
        uz.train(net(), DATA, folder=tmp_path / "file" / "below")


# ------------------------------------------------------------------------- checkpoints are files from outside


def bytes_of(tmp_path):
    uz.train(net(), DATA, epochs=1, batch=5, validation=0.2, every=1, folder=tmp_path / "run")
    return (tmp_path / "run" / CHECKPOINT).read_bytes()


def test_a_broken_checkpoint_is_one_error(tmp_path):
    good = bytes_of(tmp_path)
    rng = np.random.default_rng(0)
    path = tmp_path / "broken.npz"
    refused = 0
    for attempt in range(300):
        data = bytearray(good)
        if attempt % 3 == 0:
            del data[rng.integers(0, len(data)) :]
        else:
            for place in rng.integers(0, len(data), 1 + attempt % 5):
                data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            read(path)
        except BadFile as error:
            assert str(error).startswith(f"{path}: ")
            refused += 1
    assert refused > 200


def without(name):
    return lambda arrays, said: arrays.pop(name)


def changed(name, value):
    return lambda arrays, said: arrays.update({name: value})


def says(name, value):
    def mutate(arrays, said):
        *parents, last = name.split(".")
        for parent in parents:
            said = said[parent]
        said[last] = value

    return mutate


@pytest.mark.parametrize(
    "mutate",
    [
        without("params.W"),
        without("memory.m.W"),
        without("losses"),
        without("history.losses"),
        changed("params.W", np.full((4, 4), np.nan)),
        changed("memory.m.W", np.zeros((1, 1))),
        changed("memory.m.W", np.zeros((4, 4), dtype=np.float32)),
        changed("history.lag_norms", np.zeros((2, 2))),
        changed("losses", np.zeros((2, 2))),
        changed("best.W", np.zeros(3)),
        says("version", 2),
        says("epoch", -1),
        says("updates", "many"),
        says("network.cell", "\x1b]52;c;UFdORUQ=\x07"),
        says("settings.optimizer", "none"),
        says("settings.epochs", "x"),
        says("settings.numbers", {"momentum": 1}),
        says("settings.more", 1),
        says("history.params", ["a\x1b[2J"]),
    ],
)
def test_a_checkpoint_that_lies_is_refused(mutate, tmp_path):
    path = tmp_path / "lies.npz"
    path.write_bytes(bytes_of(tmp_path))
    with np.load(path) as found:
        arrays = dict(found)
    said = json.loads(arrays["state"].tobytes())
    mutate(arrays, said)
    arrays["state"] = np.frombuffer(json.dumps(said).encode(), dtype=np.uint8)
    np.savez(path, **arrays)
    with pytest.raises(BadFile) as error:
        read(path)
    assert "\x1b" not in str(error.value)


def test_a_checkpoint_of_words_without_end_is_refused(tmp_path):
    path = tmp_path / "deep.npz"
    for text in (b"[" * 200_000, b" " * 2**21, b"{}", b"[]"):
        np.savez(path, state=np.frombuffer(text, dtype=np.uint8))
        with pytest.raises(BadFile):
            read(path)
    np.savez(path, W=np.zeros(3))
    with pytest.raises(BadFile):
        read(path)


# ------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "adamm"}, "did you mean adam"),
        ({"schedule": "cosin"}, "did you mean cosine"),
        ({"gradient": "path"}, "did you mean paths"),
        ({"watch": ("w",)}, "did you mean W"),
        ({"epochs": 0}, "epochs=0"),
        ({"batch": 2.5}, "batch=2.5"),
        ({"lr": -1.0}, "lr=-1.0"),
        ({"clip": float("nan")}, "clip=nan"),
        ({"validation": 1.0}, "from 0 to below 1"),
        ({"validation": 0.95}, "leaves none to train on"),
        ({"patience": 3}, "give validation too"),
        ({"every": -1}, "every=-1"),
        ({"save_every": 0}, "save_every=0"),
        ({"momentum": 0.9}, "no setting momentum"),
        ({"numbers": {"momentum": 0.9}}, "number of adam"),
    ],
)
def test_settings_are_checked_before_any_work(settings, words, tmp_path):
    with pytest.raises(UnrollvizError, match=words):
        uz.train(net(), DATA, folder=tmp_path / "run", **settings)
    assert not (tmp_path / "run" / CHECKPOINT).exists()


def test_too_many_paths_are_refused():
    with pytest.raises(TooManyPaths):
        uz.train(net("lstm"), (np.zeros((40, 1, 3)), np.zeros((40, 1), dtype=int)), gradient="paths", every=0)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([], "no instance"),
        ([(np.zeros((0, 3)), np.zeros(0))], "instance 1 has no steps"),
        ([(np.zeros((2, 3)), [0, 1]), (np.zeros((2, 2)), [0, 1])], "instance 2 have shape"),
        ([(np.zeros((2, 3)), [0])], "give it as many targets"),
    ],
)
def test_instances_that_do_not_fit_are_named(pairs, words):
    with pytest.raises(UnrollvizError, match=words):
        uz.train(net(), pairs)


def test_the_tables_say_what_they_hold():
    assert set(GRADIENTS) == {"sweep", "paths"}
    for name, (_factor, words) in SCHEDULES.items():
        assert words, name
    with pytest.raises(UnknownName):
        training.check(Settings(schedule="none"))


def test_checkpoints_are_written_as_often_as_asked(tmp_path, monkeypatch):
    written = []
    save = saving.save

    def counted(folder, network, settings, state, data):
        written.append(state.updates)
        return save(folder, network, settings, state, data)

    monkeypatch.setattr(saving, "save", counted)
    uz.train(net(), DATA, epochs=2, batch=2, folder=tmp_path / "a", every=0, save_every=3)
    assert written == [0, 3, 6, 9, 10]
    written.clear()
    monkeypatch.setattr(saving, "SAVING_PART", 1e-9)
    uz.train(net(), DATA, epochs=2, batch=2, folder=tmp_path / "b", every=0)
    assert written == [0, 10]


def test_a_checkpoint_that_is_broken_off_leaves_the_one_before(tmp_path, monkeypatch):
    uz.train(net(), DATA, epochs=1, folder=tmp_path, every=0)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def power_cut(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", power_cut)
    with pytest.raises(KeyboardInterrupt):
        uz.train(net(), DATA, epochs=2, folder=tmp_path, every=0, resume=True)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert not list(tmp_path.glob(".*.tmp"))
