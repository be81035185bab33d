"""Weights in files: what is written is read again bit for bit, and PyTorch's networks keep their numbers."""

import itertools
import json
import os
import re
import struct
import subprocess
import sys

import numpy as np
import pytest

import unrollviz as uz
from unrollviz.cells import CELLS, Cell, add, gated, mul, one_minus, tanh
from unrollviz.errors import BadFile, MissingExtra, ShapeError, UnknownName
from unrollviz.readers.npz import read as read_npz
from unrollviz.readers.pytorch_names import from_state_dict, ours, to_state_dict
from unrollviz.readers.weights import from_torch, load, save

SHAPES = list(itertools.product(("elman", "gru", "lstm"), (1, 2, 3), (False, True)))


def random_network(cell, layers, bidirectional, seed=0, **options):
    """A network with numbers of every size in it, also -0.0 and the smallest there is."""
    network = uz.Network.init(
        cell, 4, 3, 2, layers=layers, bidirectional=bidirectional, learn_initial=True, seed=seed, **options
    )
    rng = np.random.default_rng(seed)
    params = {
        name: rng.standard_normal(value.shape) * 10.0 ** rng.integers(-300, 300, value.shape)
        for name, value in network.params.items()
    }
    for value in params.values():
        value.flat[:2] = -0.0, 5e-324
    return network.replace(**params)


def same_bits(one, other):
    return list(one) == list(other) and all(one[name].tobytes() == other[name].tobytes() for name in one)


def logits(network, xs):
    """(T, B, k)"""
    run = uz.unroll(network, xs, np.zeros(xs.shape[:2], dtype=int))
    return np.stack([run.graph.nodes[f"logits{t}"]["value"] for t in range(1, len(xs) + 1)])


# Round trips


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize(("cell", "layers", "bidirectional"), SHAPES)
def test_written_and_read_again_every_bit_is_the_same(tmp_path, cell, layers, bidirectional, suffix):
    activation = "relu" if cell == "elman" else "tanh"
    network = random_network(cell, layers, bidirectional, activation=activation)
    path = tmp_path / f"model{suffix}"
    save(network, path)
    first = path.read_bytes()
    found = load(path)
    assert same_bits(found.network.params, network.params)
    assert (found.cell, found.layers, found.bidirectional, found.activation) == (
        cell,
        layers,
        bidirectional,
        activation,
    )
    assert (found.ignored, found.readout, found.choices) == ((), "readout", ("readout",))
    save(found.network, path)
    assert path.read_bytes() == first


def minimal_gated_unit(p, x, state):
    (h,) = state
    f = p.gate("f", x, h)
    n = tanh(add(p["U_n"] @ x, p["W_n"] @ mul(f, h), p["b_n"], name="a_n"), name="n", role="gate")
    return (add(mul(one_minus(f), h), mul(f, n), name="h", role="state"),)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_cells_that_pytorch_has_not_are_kept_under_our_names(tmp_path, monkeypatch, suffix):
    monkeypatch.setitem(CELLS, "mgu", Cell(minimal_gated_unit, ("h",), gated("fn")))
    network = random_network("mgu", 2, True)
    save(network, tmp_path / f"m{suffix}")
    found = load(tmp_path / f"m{suffix}")
    assert same_bits(found.network.params, network.params)
    assert (found.cell, found.ignored, found.readout) == ("mgu", (), "V")
    with pytest.raises(ShapeError, match="PyTorch has no mgu cell"):
        to_state_dict(network)
    monkeypatch.delitem(CELLS, "mgu")
    with pytest.raises(BadFile, match="unknown cell 'mgu'"):
        load(tmp_path / f"m{suffix}")


@pytest.mark.parametrize(("cell", "layers", "bidirectional"), SHAPES)
def test_params_saved_with_numpy_are_recognised_by_their_names(tmp_path, cell, layers, bidirectional):
    network = random_network(cell, layers, bidirectional)
    np.savez(tmp_path / "m.npz", **network.params, extra=np.ones(3), ids=np.arange(3))
    found = load(tmp_path / "m.npz")
    assert same_bits(found.network.params, network.params)
    assert (found.cell, found.ignored) == (cell, ("extra", "ids"))


def test_params_saved_with_numpy_that_are_not_complete(tmp_path):
    params = dict(uz.Network.init("elman").params)
    del params["W"]
    np.savez(tmp_path / "m.npz", **params)
    with pytest.raises(BadFile, match="not the others of any cell"):
        load(tmp_path / "m.npz")


def test_a_safetensors_file_of_ours_is_one(tmp_path):
    from safetensors import safe_open

    network = random_network("gru", 2, True)
    save(network, tmp_path / "m.safetensors")
    assert struct.unpack("<Q", (tmp_path / "m.safetensors").read_bytes()[:8])[0] % 8 == 0, (
        "numbers begin at a multiple of 8"
    )
    with safe_open(tmp_path / "m.safetensors", framework="np") as file:
        assert file.metadata()["format"] == "pt"
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    given = to_state_dict(network)[0]
    assert same_bits(stored, {name: given[name] for name in stored}) and set(stored) == set(given)


def test_files_of_other_widths_are_read(tmp_path):
    """bfloat16 is the upper half of float32; integers are left alone."""
    network = uz.Network.init("elman")
    arrays = {name: value.astype(np.float32) for name, value in network.params.items()}
    entries, body = {}, b""
    for name, value in {**arrays, "V": arrays["V"].astype(np.float16), "step": np.arange(3)}.items():
        kind = {"float32": "BF16", "float16": "F16", "int64": "I64"}[str(value.dtype)]
        data = (value.view(np.uint32) >> 16).astype(np.uint16).tobytes() if kind == "BF16" else value.tobytes()
        entries[name] = {"dtype": kind, "shape": value.shape, "data_offsets": (len(body), len(body) + len(data))}
        body += data
    (tmp_path / "m.safetensors").write_bytes(safetensors(entries, body))
    found = load(tmp_path / "m.safetensors")
    assert found.ignored == ("step",)
    for name, value in arrays.items():
        expected = value.astype(np.float16) if name == "V" else (value.view(np.uint32) & 0xFFFF0000).view(np.float32)
        np.testing.assert_array_equal(found.params[name], expected)


def safetensors(header, body=b""):
    written = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(written)) + written + body


@pytest.mark.parametrize("name", ["m.h5", "m", "m.npz.txt", "m.pkl"])
def test_other_suffixes_are_refused_with_the_valid_ones(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(BadFile, match=r"cannot be read: .* \.npz, \.safetensors, \.pt, \.pth, \.onnx"):
        load(tmp_path / name)
    with pytest.raises(BadFile, match=r"cannot be written: .* \.npz, \.safetensors$"):
        save(uz.Network.init("elman"), tmp_path / name)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    save(uz.Network.init("elman", seed=1), tmp_path / "m.npz")
    before = (tmp_path / "m.npz").read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadFile, match="No space left"):
        save(uz.Network.init("elman", seed=2), tmp_path / "m.npz")
    assert (tmp_path / "m.npz").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.npz"]


def test_reading_and_writing_numpy_files_needs_nothing_else(tmp_path):
    save(uz.Network.init("lstm"), tmp_path / "m.npz")
    code = (
        "import sys; from unrollviz.readers.weights import load, save; save(load('m.npz').network, 'n.safetensors');"
        "print([m for m in ('torch', 'onnx', 'safetensors', 'textual', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# PyTorch's names, without PyTorch


def state_dict(prefix="rnn.", gates=4, layers=1, bidirectional=False, n=4, d=3, k=2, bias=True, readout="fc."):
    rng = np.random.default_rng(0)
    tensors = {}
    for layer, reverse in itertools.product(range(layers), (False, True)[: 1 + bidirectional]):
        end = f"_l{layer}{'_reverse' if reverse else ''}"
        below = n if layer == 0 else d * (1 + bidirectional)
        shapes = {"weight_ih": (gates * d, below), "weight_hh": (gates * d, d)}
        shapes |= {"bias_ih": (gates * d,), "bias_hh": (gates * d,)} if bias else {}
        tensors |= {f"{prefix}{kind}{end}": rng.standard_normal(shape) for kind, shape in shapes.items()}
    if readout is not None:
        tensors[f"{readout}weight"] = rng.standard_normal((k, d * (1 + bidirectional)))
        tensors[f"{readout}bias"] = rng.standard_normal(k)
    return tensors


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (1, True), (2, False), (2, True)])
def test_every_name_of_pytorchs_is_answered_with_ours(cell, layers, bidirectional):
    network = uz.Network.init(cell, 4, 3, 2, layers=layers, bidirectional=bidirectional)
    tensors, _ = to_state_dict(network)
    answered = {name: re.findall(r"[\w.]*\b[UWVbc](?:_[a-z]+)?(?![\w.])", ours(name, network)) for name in tensors}
    for name, found in answered.items():
        same = [one for one in found if one in network.params]
        assert same == found, name
        assert sum(len(network.params[one]) for one in found) == len(tensors[name]), name
    assert {one for found in answered.values() for one in found} == set(network.params)
    assert ours("rnn.weight_hh_l7", network) == ours("W_x", network) == ours("l0.Q", network) == ""


def test_rows_become_gates_in_pytorchs_order():
    tensors = state_dict(gates=4)
    found = from_state_dict(tensors, {})
    for row, gate in enumerate("ifgo"):
        rows = slice(3 * row, 3 * row + 3)
        np.testing.assert_array_equal(found.params[f"U_{gate}"], tensors["rnn.weight_ih_l0"][rows])
        np.testing.assert_array_equal(found.params[f"W_{gate}"], tensors["rnn.weight_hh_l0"][rows])
        both = tensors["rnn.bias_ih_l0"][rows] + tensors["rnn.bias_hh_l0"][rows]
        np.testing.assert_array_equal(found.params[f"b_{gate}"], both)


def test_the_biases_of_a_grus_n_stay_apart():
    tensors = state_dict(gates=3)
    found = from_state_dict(tensors, {})
    np.testing.assert_array_equal(found.params["b_n"], tensors["rnn.bias_ih_l0"][6:])
    np.testing.assert_array_equal(found.params["b_hn"], tensors["rnn.bias_hh_l0"][6:])
    np.testing.assert_array_equal(found.params["b_r"], (tensors["rnn.bias_ih_l0"] + tensors["rnn.bias_hh_l0"])[:3])
    np.testing.assert_array_equal(found.params["U_z"], tensors["rnn.weight_ih_l0"][3:6])


@pytest.mark.parametrize("prefix", ["", "rnn.", "module.encoder.layers.0.lstm.", "lstm_", "a/b/"])
def test_any_prefix_is_understood(prefix):
    found = from_state_dict(state_dict(prefix, layers=2, bidirectional=True), {})
    assert (found.layers, found.bidirectional, found.readout) == (2, True, "fc")
    assert len(found.used) == 18 and not found.ignored


def test_the_cells_of_pytorch_are_one_layer():
    tensors = {name.replace("_l0", ""): value for name, value in state_dict("cell.").items()}
    assert from_state_dict(tensors, {}).network.layers == 1


def test_missing_biases_are_zero():
    tensors = state_dict(bias=False)
    del tensors["fc.bias"]
    found = from_state_dict(tensors, {})
    assert not any(found.params[name].any() for name in ("b_i", "b_f", "b_g", "b_o", "c"))


def test_an_elman_cells_activation_is_what_the_file_says_or_the_caller_or_tanh():
    tensors = state_dict(gates=1)
    assert from_state_dict(tensors, {}).activation == "tanh"
    assert from_state_dict(tensors, {}, activation="relu").activation == "relu"
    assert from_state_dict(tensors, {"activation": "sigmoid"}, activation="relu").activation == "sigmoid"
    assert from_state_dict(state_dict(), {"activation": "relu"}).network.activation == "tanh"


def test_one_of_several_recurrent_modules():
    tensors = state_dict("encoder.") | state_dict("decoder.", gates=3) | {"embedding.weight": np.ones((9, 4))}
    with pytest.raises(ShapeError, match="several recurrent modules; say which with rnn: encoder, decoder"):
        from_state_dict(tensors, {})
    for name in ("decoder", "decoder."):
        found = from_state_dict(tensors, {}, rnn=name)
        assert found.cell == "gru"
        assert "embedding.weight" in found.ignored and "encoder.weight_ih_l0" in found.ignored
    with pytest.raises(UnknownName, match="did you mean decoder"):
        from_state_dict(tensors, {}, rnn="decodr")


def test_one_of_several_readouts():
    tensors = state_dict() | {"head.weight": np.ones((7, 3)), "wide.weight": np.ones((7, 5)), "norm.weight": np.ones(3)}
    with pytest.raises(ShapeError, match="could be the readout; say which with readout: fc, head"):
        from_state_dict(tensors, {})
    for name in ("head", "head.weight"):
        found = from_state_dict(tensors, {}, readout=name)
        assert found.params["V"].shape == (7, 3)
        assert (found.readout, found.choices) == ("head", ("fc", "head"))
        assert found.ignored == ("fc.weight", "fc.bias", "wide.weight", "norm.weight")
    with pytest.raises(UnknownName, match="did you mean head"):
        from_state_dict(tensors, {}, readout="haed")


BROKEN = {
    "no recurrent layer": (lambda t: t.clear(), "has no recurrent layer"),
    "no readout": (lambda t: t.pop("fc.weight"), r"has no readout: .* \(k, 3\)"),
    "projection": (lambda t: t.update({"rnn.weight_hr_l0": np.ones((2, 3))}), "proj_size"),
    "a layer between": (lambda t: t.update({"rnn.weight_hh_l2": np.ones((12, 3))}), "weight_ih_l1 is missing"),
    "half a layer": (lambda t: t.pop("rnn.weight_ih_l0"), "weight_ih_l0 is missing"),
    "half a direction": (lambda t: t.update({"rnn.weight_hh_l0_reverse": np.ones((12, 3))}), "weight_ih_l0_reverse is"),
    "rows": (lambda t: t.update({"rnn.weight_hh_l0": np.ones((6, 3))}), "1 row, a GRU 3, an LSTM 4"),
    "a vector": (lambda t: t.update({"rnn.weight_hh_l0": np.ones(12)}), "a matrix with rows and columns"),
    "nothing": (lambda t: t.update({"rnn.weight_ih_l0": np.ones((12, 0))}), "a matrix with rows and columns"),
    "a bias": (lambda t: t.update({"rnn.bias_hh_l0": np.ones(11)}), r"rnn.bias_hh_l0 has shape \(11,\)"),
    "NaN": (lambda t: t["rnn.bias_hh_l0"].put(5, np.nan), "rnn.bias_hh_l0 holds a NaN"),
    "infinity": (lambda t: t["fc.weight"].put(5, -np.inf), "fc.weight holds a NaN or an infinity"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_network_is_refused_with_the_reason(tmp_path, what):
    change, said = BROKEN[what]
    tensors = state_dict()
    change(tensors)
    with pytest.raises(ShapeError, match=said):
        from_state_dict(tensors, {})
    np.savez(tmp_path / "m.npz", **tensors)
    with pytest.raises(BadFile, match=said) as caught:
        load(tmp_path / "m.npz")
    assert str(caught.value).startswith(f"{tmp_path / 'm.npz'}: ")


def test_a_nan_in_what_is_not_used_does_no_harm():
    from_state_dict(state_dict() | {"mask": np.full((2, 2), -np.inf)}, {})


def test_a_sum_of_biases_that_overflows_is_refused(tmp_path):
    tensors = state_dict()
    tensors["rnn.bias_ih_l0"][:] = tensors["rnn.bias_hh_l0"][:] = 1e308
    np.savez(tmp_path / "m.npz", **tensors)
    with pytest.raises(BadFile, match="b_i is not finite"):
        load(tmp_path / "m.npz")


def test_words_about_the_arrays_come_back_cleaned(tmp_path):
    words = {"metadata.activation": np.array("re\x1blu"), "metadata.list": np.array(["a", "b"])}
    np.savez(tmp_path / "m.npz", x=np.ones(2), n=np.arange(2), **words)
    found = read_npz(tmp_path / "m.npz")
    assert found.metadata == {"activation": "re<1B>lu"}
    assert found.others == ("n",)


# With PyTorch


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def model_of(torch, kind, layers=2, bidirectional=True, bias=True, **options):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = getattr(torch.nn, kind)(4, 3, layers, bidirectional=bidirectional, bias=bias, **options)
            self.readout = torch.nn.Linear(3 * (1 + bidirectional), 2, bias=bias)

        def forward(self, xs):
            return self.readout(self.rnn(xs)[0])

    torch.manual_seed(layers)
    return Model().double()


def outputs(torch, model, xs):
    with torch.no_grad():
        return model(torch.tensor(xs)).numpy()


KINDS = list(itertools.product(("RNN", "GRU", "LSTM"), (1, 2, 3), (False, True)))


@pytest.mark.parametrize(("kind", "layers", "bidirectional"), KINDS)
def test_pytorchs_networks_give_the_same_numbers(torch, tmp_path, kind, layers, bidirectional):
    xs = np.random.default_rng(layers).standard_normal((5, 2, 4))
    variants = [{}, {"bias": False}] + ([{"nonlinearity": "relu"}] if kind == "RNN" else [])
    for options in variants:
        model = model_of(torch, kind, layers, bidirectional, **options)
        expected = outputs(torch, model, xs)
        torch.save(model.state_dict(), tmp_path / "m.pt")
        np.savez(tmp_path / "m.npz", **{name: value.numpy() for name, value in model.state_dict().items()})
        activation = options.get("nonlinearity")
        for found in (
            from_torch(model.rnn, model.readout),
            load(tmp_path / "m.pt", activation=activation),
            load(tmp_path / "m.npz", activation=activation),
        ):
            np.testing.assert_allclose(logits(found.network, xs), expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize(("cell", "layers", "bidirectional"), SHAPES)
def test_pytorch_loads_what_is_written(torch, tmp_path, cell, layers, bidirectional):
    from safetensors.torch import load_file

    network = uz.Network.init(cell, 4, 3, 2, layers=layers, bidirectional=bidirectional, seed=7)
    kind = {"elman": "RNN", "gru": "GRU", "lstm": "LSTM"}[cell]
    xs = np.random.default_rng(0).standard_normal((5, 2, 4))
    save(network, tmp_path / "m.safetensors")
    save(network, tmp_path / "m.npz")
    arrays = {name: torch.tensor(value) for name, value in read_npz(tmp_path / "m.npz").arrays.items()}
    for state in (load_file(tmp_path / "m.safetensors"), arrays):
        model = model_of(torch, kind, layers, bidirectional)
        model.load_state_dict(state)
        np.testing.assert_allclose(outputs(torch, model, xs), logits(network, xs), rtol=0, atol=1e-12)
        torch.save(model.state_dict(), tmp_path / "m.pt")
        assert same_bits(load(tmp_path / "m.pt").network.params, network.params)


def test_learned_initial_states_are_left_out_by_pytorch(torch):
    network = uz.Network.init("lstm", 4, 3, 2, layers=2, bidirectional=True, learn_initial=True)
    tensors, metadata = to_state_dict(network)
    assert "strict=False" in metadata["initial"]
    state = {name: torch.tensor(value) for name, value in tensors.items()}
    missing, unexpected = model_of(torch, "LSTM").load_state_dict(state, strict=False)
    assert not missing
    assert set(unexpected) == {f"initial.{name}" for name in network.params if name.endswith("0")}
    stray = {name: tensors[name] for name in tensors}
    assert set(from_state_dict(stray, {}).ignored) == set(unexpected)


def test_single_cells_and_other_widths(torch):
    for kind, cell in (("RNNCell", "elman"), ("GRUCell", "gru"), ("LSTMCell", "lstm")):
        options = {"nonlinearity": "relu"} if kind == "RNNCell" else {}
        rnn = getattr(torch.nn, kind)(4, 3, **options)
        found = from_torch(rnn, torch.nn.Linear(3, 2).to(torch.bfloat16))
        assert (found.cell, found.activation) == (cell, options.get("nonlinearity", "tanh"))
        first = rnn.weight_ih.detach().double().numpy()[:3]
        np.testing.assert_array_equal(next(iter(found.network.params.values())), first)


def test_live_modules_that_do_not_fit(torch):
    with pytest.raises(ShapeError, match="proj_size"):
        from_torch(torch.nn.LSTM(4, 3, proj_size=2), torch.nn.Linear(2, 2))
    with pytest.raises(ShapeError, match=r"no readout: .* \(k, 3\)"):
        from_torch(torch.nn.LSTM(4, 3), torch.nn.Linear(4, 2))
    with pytest.raises(ShapeError, match="no recurrent layer"):
        from_torch(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
    with pytest.raises(ShapeError, match="readout is a int; give a PyTorch module"):
        from_torch(torch.nn.LSTM(4, 3), 5)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_checkpoints(torch, tmp_path, key):
    model = model_of(torch, "LSTM")
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.zeros(2, 1, 4, dtype=torch.float64)).sum().backward()
    optimizer.step()
    checkpoint = {"epoch": 3, key: model.state_dict(), "optimizer": optimizer.state_dict(), "loss": 0.5, "name": "é"}
    torch.save(checkpoint, tmp_path / "m.pth")
    found = load(tmp_path / "m.pth")
    assert same_bits(found.network.params, from_torch(model.rnn, model.readout).network.params)
    torch.save(dict(model.named_parameters()), tmp_path / "m.pt")
    assert same_bits(load(tmp_path / "m.pt").network.params, found.network.params)


@pytest.mark.parametrize(("suffix", "module", "extra"), [(".pt", "torch", "torch"), (".onnx", "onnx", "onnx")])
def test_without_the_library_the_error_names_the_extra(tmp_path, monkeypatch, suffix, module, extra):
    pytest.importorskip(module)
    path = tmp_path / f"m{suffix}"
    if suffix == ".pt":
        torch = pytest.importorskip("torch")
        torch.save({}, path)
    else:
        path.write_bytes(b"x")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"unrollviz\[{extra}\]"):
        load(path)


@pytest.mark.parametrize(("suffix", "module", "version"), [(".pt", "torch", "2.9.1"), (".onnx", "onnx", "1.20.1")])
def test_libraries_with_known_holes_are_not_used(tmp_path, monkeypatch, suffix, module, version):
    library = pytest.importorskip(module)
    path = tmp_path / f"m{suffix}"
    path.write_bytes(b"x")
    if suffix == ".pt":
        library.save({}, path)
    monkeypatch.setattr(library, "__version__", version)
    with pytest.raises(BadFile, match="not safe to read"):
        load(path)
