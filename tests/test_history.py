"""A history's figures are those of the questions one can ask of a run; and how it is printed."""

import csv
import io
import json

import numpy as np
import pytest

import unrollviz as uz
from unrollviz.api import ask
from unrollviz.batch import part, unreduced
from unrollviz.diagnosis.spectra import spectra
from unrollviz.draw.text import ascii_only
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.history import COLUMNS, ROUTES, from_arrays, record, to_arrays
from unrollviz.report.history import history_csv, history_json, history_text, spark
from unrollviz.report.train import train_json, train_text
from unrollviz.training import state as training
from unrollviz.training.checkpoints import read
from unrollviz.unrolled import unroll_batch

T, B = 8, 4
LENGTHS = np.array([8, 5, 8, 3])


def probe(network, readout="every"):
    rng = np.random.default_rng(1)
    xs, targets = rng.standard_normal((T, B, 3)), rng.integers(0, 2, (T, B))
    return part(unreduced(network, xs, targets, readout=readout, lengths=LENGTHS), np.arange(B), "sum")


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("readout", ["every", "last"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both", [False, True], ids=["forwards", "both directions"])
@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_a_record_is_what_the_questions_say(cell, both, layers, readout):
    network = uz.Network.init(cell, 3, 4, 2, layers=layers, bidirectional=both)
    watched = [network.recurrent_weight, "V"]
    batch = probe(network, readout)
    found = record(network, batch, watched, 7, 2)
    run = ask(unroll_batch(network, batch))
    assert (found.updates.tolist(), found.epochs.tolist(), found.losses.tolist()) == ([7], [2], [run.loss])
    for place, (name, gradient) in enumerate(run.gradients().items()):
        assert found.params[place] == name
        assert found.gradient_norms[0, place] == pytest.approx(np.linalg.norm(gradient), rel=1e-12)
        assert found.weight_norms[0, place] == pytest.approx(np.linalg.norm(network.params[name]), rel=1e-12)
    assert np.isnan(found.update_norms).all()
    for place, name in enumerate(watched):
        by_lag, by_loss = run.flow(name, "lag"), run.flow(name, "loss")
        lag = np.abs(by_lag.labels[:, 0])
        close(found.lag_norms[0, place], np.bincount(lag, by_lag.norms, minlength=T))
        close(found.lag_shares[0, place], np.bincount(lag, by_lag.shares, minlength=T))
        close(found.loss_norms[0, place], np.bincount(by_loss.labels[:, 0] - 1, by_loss.norms, minlength=T))
        close(found.loss_shares[0, place], np.bincount(by_loss.labels[:, 0] - 1, by_loss.shares, minlength=T))
        close(found.cancellations[0, place], found.lag_norms[0, place].sum() / by_lag.total_norm)
        groups = "weights,highway" if cell != "elman" else "weights"
        by_route = run.flow(name, f"route:{groups}")
        kind = (by_route.labels > 0) @ np.array([1, 2])[: by_route.labels.shape[1]]
        close(found.route_shares[0, place], np.bincount(kind, by_route.shares, minlength=len(ROUTES)))
        assert found.route_shares[0, place].sum() == pytest.approx(1)
    measured = {f"{one.prefix}{one.state[0]}": one for one in spectra(run, run.level())}
    for name, norm in zip(found.links, found.jacobian_norms[0], strict=True):
        stem = name.rstrip("0123456789")
        one = measured[stem]
        frobenius = one.frobenius[one.steps.tolist().index(int(name[len(stem) :]))]
        assert norm == pytest.approx(np.sqrt(np.nanmean(frobenius**2) / one.size), rel=1e-9)


def test_the_norm_of_an_update_and_where_records_are_made():
    spelled = uz.spell("hello world")
    network = uz.Network.init("lstm", 8, 4, 8)
    data = (spelled.xs, spelled.targets)
    states = []
    trained = uz.train(network, data, epochs=8, every=3, progress=lambda training, state: states.append(state))
    history = trained.history
    assert history.updates.tolist() == [0, 3, 6, 8]
    assert np.isnan(history.update_norms[0]).all()
    for row, update in enumerate([3, 6, 8], start=1):
        before, after = states[update - 1].params, states[update].params
        close(history.update_norms[row], [np.linalg.norm(after[name] - before[name]) for name in history.params])
        close(history.losses[row], uz.unroll(network.replace(**after), *data).loss)
    close(history.update_ratios[1:], history.update_norms[1:] / history.weight_norms[1:])
    assert (history.seconds > 0).all()
    close(history.total_norms[0], np.sqrt(sum(np.sum(g**2) for g in uz.unroll(network, *data).gradients().values())))


def test_reach_is_the_lag_that_carries_the_part():
    network = uz.Network.init("elman", 3, 4, 2)
    found = record(network, probe(network), ["W"], 0, 0)
    norms = found.lag_norms[0, 0]
    for part_of in (0.1, 0.5, 0.9, 1.0):
        lag = int(found.reach(part_of)[0, 0])
        assert norms[: lag + 1].sum() >= part_of * norms.sum() * (1 - 1e-9)
        assert norms[:lag].sum() < part_of * norms.sum()
    assert int(record(network, probe(network), ["V"], 0, 0).reach()[0, 0]) == 0


def test_a_gradient_of_0_has_no_shares():
    network = uz.Network.init("elman", 3, 4, 2).replace(V=np.zeros((2, 4)))
    found = record(network, probe(network), ["W"], 0, 0)
    assert np.isnan(found.lag_shares).all()
    assert np.isnan(found.cancellations).all()
    assert (found.lag_norms == 0).all()
    assert found.reach().tolist() == [[0]]


def test_no_history_where_none_is_wanted_and_a_tenth_of_the_time_where_nothing_is_said(monkeypatch):
    spelled = uz.spell("hello")
    network, data = uz.Network.init("elman", 4, 3, 4), (spelled.xs, spelled.targets)
    assert uz.train(network, data, epochs=3, every=0).history is None
    monkeypatch.setattr(training, "HISTORY_SECONDS", 0.0)
    few = uz.train(network, data, epochs=100)
    assert few.state.every >= 10  # a record takes several times as long as an update
    assert few.history.updates[0] == 0
    assert few.history.updates[-1] == 100
    monkeypatch.setattr(training, "HISTORY_SECONDS", 1e3)
    assert uz.train(network, data, epochs=20).history.updates.tolist() == [0, *range(4, 21)]


def test_histories_of_different_runs_do_not_follow_each_other():
    network = uz.Network.init("elman", 3, 4, 2)
    one = record(network, probe(network), ["W"], 0, 0)
    assert one.followed_by(one).updates.tolist() == [0, 0]
    with pytest.raises(UnrollvizError, match="watched"):
        one.followed_by(record(network, probe(network), ["U"], 0, 0))
    labels = {"params": one.params, "watched": one.watched, "links": one.links}
    again = from_arrays(labels, to_arrays(one))
    assert all(np.array_equal(getattr(again, name), getattr(one, name), equal_nan=True) for name in COLUMNS)


# --------------------------------------------------------------------------------------------- as printed


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    spelled = uz.spell("hello world")
    return uz.train(
        uz.Network.init("lstm", 8, 4, 8),
        (spelled.xs, spelled.targets),
        epochs=30,
        every=2,
        watch=("W_f", "U_i"),
        folder=tmp_path_factory.mktemp("runs") / "run",
    )


def test_json_and_csv_have_every_figure(trained):
    history = trained.history
    said = json.loads(json.dumps(history_json(history), allow_nan=False))
    assert said["watched"] == ["W_f", "U_i"]
    assert said["losses"] == history.losses.tolist()
    assert said["lag_norms"] == history.lag_norms.tolist()
    assert said["update_norms"][0] == [None] * len(history.params)
    assert said["reach"] == history.reach().tolist()
    rows = list(csv.DictReader(io.StringIO("\n".join(history_csv(history)))))
    assert len(rows) == len(history) == 16
    assert [float(row["loss"]) for row in rows] == history.losses.tolist()
    assert [int(row["reach U_i"]) for row in rows] == history.reach()[:, 1].tolist()
    assert float(rows[3]["norm W_f lag 2"]) == history.lag_norms[3, 0, 2]
    assert float(rows[3]["share W_f loss 10"]) == history.loss_shares[3, 0, 9]
    assert float(rows[5]["share W_f route highway"]) == history.route_shares[5, 0, ROUTES.index("highway")]
    assert rows[0]["update_ratio W_f"] == ""


def test_text_shows_the_parameter_asked_for(trained):
    found = read(trained.folder)
    first, second = history_text(found), history_text(found, "U_i")
    assert "16 records of 30 updates by adam" in first[0]
    assert "W_f" in first[0]
    assert "Uᵢ" in second[0] or "U_i" in second[0]
    assert first != second
    with pytest.raises(UnknownName, match="did you mean W_f"):
        history_text(found, "W_i")
    assert [line for line in (*first, *train_text(trained)) if not ascii_only(line).isascii()] == []


def test_what_came_of_a_run_is_said(trained):
    said = json.loads(json.dumps(train_json(trained), allow_nan=False))
    assert said["losses"] == list(trained.losses)
    assert said["gradient_norms"] == list(trained.gradient_norms)
    assert said["n_updates"] == 30
    assert said["checkpoint"] == str(trained.checkpoint)
    assert said["reach"] == {
        name: int(lag) for name, lag in zip(("W_f", "U_i"), trained.history.reach()[-1], strict=True)
    }
    lines = train_text(trained)
    assert "30 updates by adam, η = 0.01" in lines[0]
    assert sum(line.split()[0].isdigit() for line in lines if line.split()) == 20  # at most so many epochs


def test_a_curve_in_a_line():
    assert spark(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])) == "▁▂▃▄▅▆▇█"
    assert spark(np.array([np.nan, 1.0, -np.inf, 2.0])) == " ▁ █"
    assert spark(np.array([3.0, 3.0])) == "▁▁"
    assert spark(np.array([np.nan])) == ""
