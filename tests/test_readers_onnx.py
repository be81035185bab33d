"""ONNX graphs: the network in them has the numbers that the graph computes, and what is none is refused."""

import contextlib
import io
import itertools
import logging
import warnings

import numpy as np
import pytest

import unrollviz as uz
from unrollviz.errors import BadFile
from unrollviz.readers.weights import from_torch, load

onnx = pytest.importorskip("onnx")
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto

N, D, K = 4, 3, 2
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
CELL = {"RNN": "elman", "GRU": "gru", "LSTM": "lstm"}


def constants(op="LSTM", directions=1, inputs=N, seed=0, dtype=np.float64, end=""):
    rng = np.random.default_rng(seed)
    rows = GATES[op] * D
    shapes = {"W": (directions, rows, inputs), "R": (directions, rows, D), "B": (directions, 2 * rows)}
    return {f"{name}{end}": rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def readout(width=D, dtype=np.float64):
    rng = np.random.default_rng(9)
    return {"V": rng.standard_normal((width, K)).astype(dtype), "fc.bias": rng.standard_normal(K).astype(dtype)}


def recurrent(op="LSTM", inputs=("x", "W", "R", "B"), outputs=("Y",), **attributes):
    if op == "GRU":
        attributes = {"linear_before_reset": 1, **attributes}
    return helper.make_node(op, list(inputs), list(outputs), name="layer", hidden_size=D, **attributes)


def read_out(states="Y", directions=1):
    """Nodes from Y (T, directions, B, d) to the outputs (T, B, k)."""
    return [
        helper.make_node("Transpose", [states], ["turned"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["turned", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "V"], ["product"]),
        helper.make_node("Add", ["fc.bias", "product"], ["z"]),
    ]


SHAPE = {"shape": np.array([0, 0, -1])}


def model_of(nodes, arrays, inputs=("x",)):
    return helper.make_model(
        helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in inputs],
            [helper.make_tensor_value_info("z", TensorProto.DOUBLE, None)],
            [numpy_helper.from_array(value, name) for name, value in arrays.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def stored(tmp_path, nodes, arrays, **options):
    (tmp_path / "m.onnx").write_bytes(model_of(nodes, arrays, **options).SerializeToString())
    return tmp_path / "m.onnx"


def logits(network, xs):
    run = uz.unroll(network, xs, np.zeros(xs.shape[:2], dtype=int))
    return np.stack([run.graph.nodes[f"logits{t}"]["value"] for t in range(1, len(xs) + 1)])


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("op", GATES)
def test_the_numbers_are_those_of_the_graph(tmp_path, op, biases):
    """Against the reference implementation of ONNX itself."""
    from onnx.reference import ReferenceEvaluator

    inputs = ("x", "W", "R", "B")[: 3 + biases]
    nodes, arrays = [recurrent(op, inputs), *read_out()], {**constants(op), **readout(), **SHAPE}
    xs = np.random.default_rng(1).standard_normal((5, 2, N))
    expected = ReferenceEvaluator(model_of(nodes, arrays)).run(None, {"x": xs})[0]
    found = load(stored(tmp_path, nodes, arrays))
    np.testing.assert_allclose(logits(found.network, xs), expected, rtol=0, atol=1e-12)
    assert (found.cell, found.readout, found.choices) == (CELL[op], "fc", ("fc",))
    assert found.ignored == (() if biases else ("B",))


def test_gates_are_taken_in_onnxs_order(tmp_path):
    for op, gates in (("LSTM", "iofg"), ("GRU", "zrn")):
        arrays = constants(op)
        found = load(stored(tmp_path, [recurrent(op), *read_out()], {**arrays, **readout(), **SHAPE}))
        for row, gate in enumerate(gates):
            np.testing.assert_array_equal(found.params[f"W_{gate}"], arrays["R"][0, D * row : D * row + D])


def test_stacked_and_bidirectional(tmp_path):
    arrays = {**constants("GRU", 2), **constants("GRU", 2, 2 * D, seed=1, end="2"), **readout(2 * D), **SHAPE}
    nodes = [
        recurrent("GRU", direction="bidirectional"),
        helper.make_node("Transpose", ["Y"], ["t"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["t", "shape"], ["x2"]),
        recurrent("GRU", ("x2", "W2", "R2", "B2"), ("Y2",), direction="bidirectional"),
        *read_out("Y2"),
    ]
    found = load(stored(tmp_path, nodes, arrays))
    assert (found.layers, found.bidirectional) == (2, True)
    np.testing.assert_array_equal(found.params["l2.bwd.W_z"], arrays["R2"][1, :D])
    np.testing.assert_array_equal(found.params["l1.fwd.U_r"], arrays["W"][0, D : 2 * D])
    np.testing.assert_array_equal(found.params["V"], arrays["V"].T)


@pytest.mark.parametrize("activation", ["Tanh", "Relu", "Sigmoid"])
def test_the_activation_of_an_rnn_is_in_the_graph(tmp_path, activation):
    arrays = {**constants("RNN"), **readout(), **SHAPE}
    found = load(stored(tmp_path, [recurrent("RNN", activations=[activation]), *read_out()], arrays), activation="relu")
    assert found.network.activation == activation.lower()


def test_a_gemm_reads_out_too(tmp_path):
    arrays = {**constants(outputs := "LSTM"), "fc.weight": np.ones((K, D)), "c": np.arange(2.0), "axes": np.array([0])}
    nodes = [
        recurrent(outputs, outputs=("", "Yh")),
        helper.make_node("Squeeze", ["Yh", "axes"], ["h"]),
        helper.make_node("Gemm", ["h", "fc.weight", "c"], ["z"], transB=1),
    ]
    found = load(stored(tmp_path, nodes, arrays))
    assert found.readout == "fc"
    np.testing.assert_array_equal(found.params["V"], np.ones((K, D)))
    np.testing.assert_array_equal(found.params["c"], [0.0, 1.0])


def test_one_of_several_readouts(tmp_path):
    arrays = {**constants(), **readout(), **SHAPE, "other.weight": np.ones((D, 5))}
    nodes = [recurrent(), *read_out(), helper.make_node("MatMul", ["flat", "other.weight"], ["z2"])]
    path = stored(tmp_path, nodes, arrays)
    with pytest.raises(BadFile, match="could be the readout; say which with readout: fc, other"):
        load(path)
    assert load(path, readout="other").params["V"].shape == (5, D)
    assert load(path, readout="fc").ignored == ("other.weight",)
    with pytest.raises(BadFile, match="did you mean other"):
        load(path, readout="othr")


def initial(value, shape=(1, 1, D)):
    return np.full(shape, value)


def test_initial_states(tmp_path):
    """0 and given ones are none of the network's; a constant is learned; what is computed is refused."""
    usual = ("x", "W", "R", "B", "")
    arrays = {**constants(), **readout(), **SHAPE, "h": initial(0.5), "c": initial(0.0), "b": np.array([1, 2, D])}
    expand = helper.make_node("Expand", ["h", "b"], ["wide"])

    def params(*states, nodes=()):
        found = load(
            stored(tmp_path, [*nodes, recurrent(inputs=usual + states), *read_out()], arrays, inputs=("x", "g"))
        )
        return {name: value.tolist() for name, value in found.network.params.items() if name in ("h0", "c0")}

    assert params("c", "c") == {}
    assert params("g", "g") == {}
    assert params("h", "c") == params("wide", "c", nodes=[expand]) == {"h0": [0.5, 0.5, 0.5]}
    zeros = helper.make_node("ConstantOfShape", ["b"], ["zeros"])
    assert params("zeros", "h", nodes=[zeros]) == {"c0": [0.5, 0.5, 0.5]}
    arrays |= {
        "all": np.arange(6.0).reshape(2, 1, D),
        "from": np.array([1]),
        "to": np.array([2**62]),
        "axis": np.array([0]),
    }
    one = helper.make_node("Slice", ["all", "from", "to", "axis"], ["one"])
    assert params("one", "c", nodes=[one]) == {"h0": [3.0, 4.0, 5.0]}
    with pytest.raises(BadFile, match="begins in a state that is neither"):
        params("all", "c")
    with pytest.raises(BadFile, match="begins in a state that is neither"):
        params("computed", "c", nodes=[helper.make_node("Mul", ["h", "g"], ["computed"])])
    arrays["h"] = np.arange(6.0).reshape(1, 2, D)
    with pytest.raises(BadFile, match="begins in a state that is neither"):
        params("h", "c")


REFUSED = {
    "no node": ([helper.make_node("Tanh", ["x"], ["z"])], "dynamo=False"),
    "no readout": ([recurrent()], "has no readout"),
    "a product of its input": ([recurrent(), helper.make_node("MatMul", ["x", "V"], ["z"])], "has no readout"),
    "a product scaled": ([recurrent(), helper.make_node("Gemm", ["Y", "V"], ["z"], alpha=2.0)], "has no readout"),
    "the cell state": ([recurrent(outputs=("", "", "C")), *read_out("C")], "has no readout"),
    "backwards only": ([recurrent(direction="reverse"), *read_out()], "reads in direction b'reverse'"),
    "batch first": ([recurrent(layout=1), *read_out()], "batch first"),
    "clipped": ([recurrent(clip=1.0), *read_out()], "clips"),
    "tied": ([recurrent(input_forget=1), *read_out()], "ties its input gate"),
    "peepholes": ([recurrent(inputs=("x", "W", "R", "B", "", "", "", "P")), *read_out()], "has peepholes"),
    "hard sigmoid": ([recurrent(activations=["HardSigmoid", "Tanh", "Tanh"]), *read_out()], "has activations hardsigm"),
    "not constant": ([recurrent(inputs=("x", "computed", "R")), *read_out()], "computed is computed in the graph"),
    "beside each other": ([recurrent(outputs=("Z",)), recurrent(), *read_out()], "does not lie on top"),
    "with something between": (
        [
            recurrent(outputs=("Z",)),
            helper.make_node("Relu", ["Z"], ["r"]),
            recurrent(inputs=("r", "W", "R")),
            *read_out(),
        ],
        "does not lie on top",
    ),
    "two directions declared": ([recurrent(direction="bidirectional"), *read_out()], r"W has shape \(1, 12, 4\)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_supported_is_refused_with_the_reason(tmp_path, what):
    nodes, said = REFUSED[what]
    with pytest.raises(BadFile, match=said):
        load(stored(tmp_path, nodes, {**constants(), **readout(), **SHAPE, "P": np.ones((1, 3 * D))}))


def test_a_gru_that_resets_first_is_another_cell(tmp_path):
    arrays = {**constants("GRU"), **readout(), **SHAPE}
    for attributes in ({"linear_before_reset": 0},):
        with pytest.raises(BadFile, match="linear_before_reset=0"):
            load(stored(tmp_path, [recurrent("GRU", **attributes), *read_out()], arrays))


def test_layers_that_differ(tmp_path):
    arrays = {**constants("GRU"), **constants("LSTM", inputs=D, end="2"), **readout(), **SHAPE, "axes": np.array([1])}
    squeeze = helper.make_node("Squeeze", ["Y", "axes"], ["y"])
    nodes = [recurrent("GRU"), squeeze, recurrent("LSTM", ("y", "W2", "R2", "B2"), ("Y2",)), *read_out("Y2")]
    with pytest.raises(BadFile, match="differs from the one before it"):
        load(stored(tmp_path, nodes, arrays))


def outside(tmp_path, **said):
    """A model whose first constant lies in another file: as the newer exporter writes it, or not quite."""
    model = model_of([recurrent(), *read_out()], {**constants(), **readout(), **SHAPE})
    weight = model.graph.initializer[0]
    said = {"location": "m.onnx.data", "offset": "64", "length": str(8 * 12 * N), **said}
    (tmp_path / "folder").mkdir(exist_ok=True)
    if not (tmp_path / "folder" / "m.onnx.data").is_symlink():
        (tmp_path / "folder" / "m.onnx.data").write_bytes(bytes(64) + weight.raw_data)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in said.items():
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    (tmp_path / "folder" / "m.onnx").write_bytes(model.SerializeToString())
    return tmp_path / "folder" / "m.onnx"


def test_weights_in_a_file_beside(tmp_path):
    np.testing.assert_array_equal(load(outside(tmp_path)).params["U_i"], constants()["W"][0, :D])


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"location": "../m.onnx.data"}, "outside of its folder"),
        ({"location": "/etc/passwd"}, "outside of its folder"),
        ({"location": ".."}, "is a link or no file"),
        ({"location": ""}, "is a link or no file"),
        ({"location": "none.data"}, "none.data, which is missing"),
        ({"location": "a\x1bb"}, "a<1B>b, outside"),
        ({"offset": "65"}, "does not hold W in full"),
        ({"offset": "-1"}, "does not hold W in full"),
        ({"length": "8"}, "does not hold W in full"),
        ({"length": "99999999999999"}, "does not hold W in full"),
        ({"offset": "many"}, "not an .onnx file, or a broken one"),
    ],
)
def test_weights_in_files_that_are_not_read(tmp_path, said, reason):
    (tmp_path / "m.onnx.data").write_bytes(bytes(10_000))
    with pytest.raises(BadFile, match=reason):
        load(outside(tmp_path, **said))


def test_links_are_not_followed(tmp_path):
    path = outside(tmp_path)
    data = path.with_name("m.onnx.data")
    data.rename(tmp_path / "secret")
    data.symlink_to(tmp_path / "secret")
    with pytest.raises(BadFile, match="is a link or no file"):
        load(path)
    data.unlink()
    data.hardlink_to(tmp_path / "secret")
    with pytest.raises(BadFile, match="is a link or no file"):
        load(path)


def test_a_constant_in_a_node_is_never_read_from_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(bytes(8 * 12 * N))
    tensor = numpy_helper.from_array(np.zeros((1, 12, N)), "W")
    onnx.external_data_helper.set_external_data(tensor, location="secret")
    tensor.ClearField("raw_data")
    nodes = [helper.make_node("Constant", [], ["W"], value=tensor), recurrent(), *read_out()]
    arrays = {**constants(), **readout(), **SHAPE}
    del arrays["W"]
    with pytest.raises(BadFile, match="keeps W in another file"):
        load(stored(tmp_path, nodes, arrays))


def test_rnn_is_an_option_of_state_dicts(tmp_path):
    with pytest.raises(BadFile, match="leave rnn out"):
        load(stored(tmp_path, [recurrent(), *read_out()], {**constants(), **readout(), **SHAPE}), rnn="encoder")


# Exported by PyTorch


def exported(torch, path, kind, state, layers=1, bidirectional=False, dynamo=False, **options):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = getattr(torch.nn, kind)(N, D, layers, bidirectional=bidirectional, **options)
            self.fc = torch.nn.Linear(D * (1 + bidirectional), K)

        def forward(self, xs):
            every, last = self.rnn(xs)
            last = last[0] if isinstance(last, tuple) else last
            both = torch.cat([last[-2], last[-1]], -1) if bidirectional else last[-1]
            return self.fc({"every": every, "step": every[-1], "last": both}[state])

    torch.manual_seed(0)
    model = Model().eval()
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(model, (torch.zeros(5, 2, N),), path, dynamo=dynamo, verbose=False)
    finally:
        logging.disable(logging.NOTSET)
    return model


OLD = list(itertools.product(("RNN", "GRU", "LSTM"), (1, 2), (False, True), ("every", "step", "last")))
NEW = [("GRU", 1, False, "every"), ("LSTM", 2, True, "last")]


@pytest.mark.parametrize(
    ("kind", "layers", "bidirectional", "state", "dynamo"), [(*e, False) for e in OLD] + [(*e, True) for e in NEW]
)
def test_what_pytorch_exports_is_the_network_it_exports(tmp_path, kind, layers, bidirectional, state, dynamo):
    torch = pytest.importorskip("torch")
    if dynamo:
        pytest.importorskip("onnxscript")
    model = exported(torch, tmp_path / "m.onnx", kind, state, layers, bidirectional, dynamo)
    found = load(tmp_path / "m.onnx")
    expected = from_torch(model.rnn, model.fc).network
    assert (found.readout, found.ignored) == ("fc", ())
    assert list(found.network.params) == list(expected.params)
    for name, value in expected.params.items():
        np.testing.assert_allclose(found.network.params[name], value, rtol=0, atol=1e-7, err_msg=name)
    xs = np.random.default_rng(0).standard_normal((5, 2, N)).astype(np.float32)
    if state == "every":
        with torch.no_grad():
            np.testing.assert_allclose(logits(found.network, xs), model(torch.tensor(xs)).numpy(), rtol=0, atol=1e-5)


def test_an_rnn_that_the_newer_exporter_has_taken_apart(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    exported(torch, tmp_path / "m.onnx", "RNN", "every", dynamo=True)
    with pytest.raises(BadFile, match="export it with dynamo=False, or save its state_dict"):
        load(tmp_path / "m.onnx")
