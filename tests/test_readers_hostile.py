"""Broken and hostile files of weights: one kind of error, one line, nothing executed, little time and memory."""

import contextlib
import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest

import unrollviz as uz
from unrollviz.errors import BadFile
from unrollviz.names import clean
from unrollviz.readers.weights import load, save

NETWORK = uz.Network.init("lstm", 3, 2, 2, layers=2, bidirectional=True, learn_initial=True)


def written(path):
    """A good file of the suffix of `path`."""
    if path.suffix in (".npz", ".safetensors"):
        save(NETWORK, path)
    elif path.suffix == ".pt":
        torch = pytest.importorskip("torch")
        from unrollviz.readers.pytorch_names import to_state_dict

        torch.save({name: torch.tensor(value) for name, value in to_state_dict(NETWORK)[0].items()}, path)
    else:
        path.write_bytes(onnx_model().SerializeToString())
    return path


def onnx_model(nodes=None):
    onnx = pytest.importorskip("onnx")
    rng = np.random.default_rng(0)
    shapes = {"W": (1, 8, 3), "R": (1, 8, 2), "B": (1, 16), "fc.weight": (2, 2), "fc.bias": (2,)}
    tensors = [onnx.numpy_helper.from_array(rng.standard_normal(shape), name) for name, shape in shapes.items()]
    usual = [
        onnx.helper.make_node("LSTM", ["x", "W", "R", "B"], ["", "h"], hidden_size=2),
        onnx.helper.make_node("Flatten", ["h"], ["flat"]),
        onnx.helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["z"], transB=1),
    ]
    names = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, None) for name in "xz"]
    graph = onnx.helper.make_graph(usual if nodes is None else nodes, "g", names[:1], names[1:], tensors)
    return onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)])


def refused(path, match=".", **options):
    """`path: reason`, on one line, without a character that a terminal would obey."""
    with pytest.raises(BadFile, match=match) as caught:
        load(path, **options)
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and len(said) > len(f"{path}: ")
    assert clean(said, limit=10_000) == said
    return said


# Damage


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt", ".onnx"])
def test_a_damaged_file_is_read_or_refused(tmp_path, suffix):
    path = written(tmp_path / f"m{suffix}")
    whole = path.read_bytes()
    load(path)
    rng = random.Random(suffix)
    refusals = 0
    for number in range(400):
        data = bytearray(whole)
        if number % 4 == 0:
            del data[rng.randrange(len(data)) :]
        elif number % 4 == 1:
            start = rng.randrange(len(data))
            del data[start : start + rng.randint(1, 64)]
        else:
            for _ in range(rng.randint(1, 6)):
                data[rng.randrange(len(data))] = rng.choice([0, 255, rng.randrange(256)])
        path.write_bytes(data)
        try:
            load(path)
        except BadFile as error:
            refusals += 1
            assert str(error).startswith(f"{path}: ")
            assert clean(str(error), limit=10_000) == str(error)
    assert refusals > 200


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt", ".onnx"])
def test_files_that_are_none(tmp_path, suffix):
    if suffix in (".pt", ".onnx"):
        pytest.importorskip({".pt": "torch", ".onnx": "onnx"}[suffix])
    path = tmp_path / f"m{suffix}"
    refused(path, r"cannot be read \(No such file or directory\)")
    for data in (
        b"",
        b"\0",
        b"PK\3\4",
        b"PK\5\6" + bytes(18),
        b"\x80\4.",
        b"not a file of weights" * 100,
        os.urandom(999),
    ):
        path.write_bytes(data)
        refused(path)
    path.unlink()
    path.mkdir()
    refused(path, "is not a file")
    path.rmdir()
    os.mkfifo(path)
    refused(path, "is not a file")
    with pytest.raises(BadFile, match=r"nul<00>\.npz: "):
        load("nul\0.npz")


# Code


class Canary:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_pickle_in_an_npz_is_not_executed(tmp_path):
    np.savez(tmp_path / "m.npz", **{"rnn.weight_ih_l0": np.array([Canary(tmp_path / "sang")], dtype=object)})
    refused(tmp_path / "m.npz", "rnn.weight_ih_l0 holds Python objects, which are never loaded")
    assert not (tmp_path / "sang").exists()
    with contextlib.suppress(Exception):
        np.load(tmp_path / "m.npz", allow_pickle=True)["rnn.weight_ih_l0"][0].close()
    assert (tmp_path / "sang").exists(), "the canary was dead from the start"


@pytest.mark.parametrize("name", ["m.pt", "m.pth"])
def test_a_pickle_in_a_pt_is_not_executed(tmp_path, name):
    torch = pytest.importorskip("torch")
    torch.save({"w": Canary(tmp_path / "sang")}, tmp_path / name)
    refused(tmp_path / name, "holds Python objects")
    assert not (tmp_path / "sang").exists()
    torch.load(tmp_path / name, weights_only=False)["w"].close()
    assert (tmp_path / "sang").exists(), "the canary was dead from the start"


def test_each_of_two_locks_holds_alone(tmp_path, monkeypatch):
    """What is checked first would do; so would numpy's and PyTorch's own refusal to execute anything."""
    from unrollviz.readers import npz

    monkeypatch.setattr(npz, "_declared_bytes", lambda *_: 0)
    np.savez(tmp_path / "m.npz", w=np.array([Canary(tmp_path / "sang")], dtype=object))
    refused(tmp_path / "m.npz", "not an .npz file, or a broken one")
    torch = pytest.importorskip("torch")
    from unrollviz.readers import pt

    monkeypatch.setattr(pt, "_check", lambda *_: None)
    torch.save({"w": Canary(tmp_path / "sang")}, tmp_path / "m.pt")
    refused(tmp_path / "m.pt", "not a .pt file, or a broken one")
    assert not (tmp_path / "sang").exists()


def test_plain_pickles_and_legacy_files_are_not_executed(tmp_path):
    torch = pytest.importorskip("torch")
    (tmp_path / "m.pt").write_bytes(pickle.dumps(Canary(tmp_path / "sang")))
    refused(tmp_path / "m.pt", "no .pt file of PyTorch 1.6 or newer")
    torch.save({"w": Canary(tmp_path / "sang")}, tmp_path / "m.pt", _use_new_zipfile_serialization=False)
    refused(tmp_path / "m.pt", "no .pt file of PyTorch 1.6 or newer")
    assert not (tmp_path / "sang").exists()


def pt_of(path, pickled, storages=()):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", pickled)
        archive.writestr("m/byteorder", "little")
        archive.writestr("m/version", "3\n")
        for key, data in dict(storages).items():
            archive.writestr(f"m/data/{key}", data)
    return path


TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQK\0"
    b"%s%s\x89ccollections\nOrderedDict\n)RtR"
)
WIDE = TENSOR % (b"\x8a\x06\0\0\0\0\0\x01\x85", b"K\0\x85")  # 2⁴⁰ numbers out of one
SMALL = TENSOR % (b"K\x01\x85", b"K\x01\x85")
PICKLES = {
    "a set of all its numbers": b"c__builtin__\nset\n" + WIDE + b"\x85R",
    "a dict of them": b"ccollections\nOrderedDict\n" + WIDE + b"\x85R",
    "attributes of a dict": b"ccollections\nOrderedDict\n)R" + WIDE + b"b",
    "a huge array of bytes": b"c__builtin__\nbytearray\n\x8a\x05\0\0\0\0\x10\x85R",
    "a function": b"cos\nsystem\nX\x04\0\0\0true\x85R",
    "an object": b"cargparse\nNamespace\n)\x81}b",
    "items of a tensor": b"}X\x01\0\0\0w" + SMALL + b"K\0K\0ss",
}


@pytest.mark.parametrize("what", PICKLES)
def test_pickles_that_torch_save_does_not_write(tmp_path, what):
    pytest.importorskip("torch")
    path = pt_of(tmp_path / "m.pt", b"\x80\2" + PICKLES[what] + b".", {"0": bytes(4)})
    refused(path, "holds Python objects")


def test_pickles_that_promise_more_than_is_there(tmp_path):
    pytest.importorskip("torch")
    wide = pt_of(tmp_path / "wide.pt", b"\x80\2}X\1\0\0\0w" + WIDE + b"s.", {"0": bytes(4)})
    refused(wide, "declares 4,398,046,511,104 bytes")
    none = pt_of(tmp_path / "none.pt", b"\x80\2}X\1\0\0\0w" + SMALL + b"s.")
    refused(none, "declares more numbers than it stores")
    good = pt_of(tmp_path / "good.pt", b"\x80\2}X\1\0\0\0w" + SMALL + b"s.", {"0": bytes(4)})
    refused(good, "has no recurrent layer")


def test_four_tebibytes_in_a_file_of_two_kilobytes(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.zeros(1).expand(1 << 40)}, tmp_path / "m.pt")
    refused(tmp_path / "m.pt", "declares 4,398,046,511,104 bytes, more than the limit of 536,870,912")


def test_numbers_that_no_tensor_uses_count_too(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.zeros(2_000_000)[:1]}, tmp_path / "m.pt")
    refused(tmp_path / "m.pt", "declares 8,0.* bytes, more than the limit of 1,000", limit=1000)


def test_torchscript_is_not_run(tmp_path):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "m.pt")
    refused(tmp_path / "m.pt", "is a TorchScript program")


def test_a_pt_without_a_state_dict(tmp_path):
    torch = pytest.importorskip("torch")
    for value in (torch.zeros(3), [torch.zeros(3)], 3):
        torch.save(value, tmp_path / "m.pt")
        refused(tmp_path / "m.pt", "holds no state dict")


# Names


HOSTILE = {"escape": "a\x1b]52;c;AAAA\x07", "line": "a\nb", "bidi": "a\u202eb", "long": "a" * 201}


@pytest.mark.parametrize("what", HOSTILE)
def test_names_that_are_not_safe_to_show(tmp_path, what):
    name = HOSTILE[what]
    (tmp_path / "m.safetensors").write_bytes(safetensors({name: entry(0)}, bytes(8)))
    refused(tmp_path / "m.safetensors", "is too long or holds control characters")
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.writestr(f"{name}.npy", npy(np.zeros(3)))
    refused(tmp_path / "m.npz", "is too long or holds control characters")
    if pytest.importorskip("onnx"):
        model = onnx_model()
        model.graph.initializer[0].name = name
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        refused(tmp_path / "m.onnx", "is too long or holds control characters")


def test_tensors_of_a_pt_have_names_that_are_safe_to_show(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({HOSTILE["escape"]: torch.zeros(2)}, tmp_path / "m.pt")
    refused(tmp_path / "m.pt", "is too long or holds control characters")


@pytest.mark.parametrize("name", ["cell", "activation"])
def test_hostile_words_about_the_arrays(tmp_path, name):
    words = {"__metadata__": {name: "\x1b[31m" * 99}}
    params = uz.Network.init("elman", 1, 1, 1).params
    header, body = dict(words), b""
    for key, value in params.items():
        header[key] = {"dtype": "F64", "shape": value.shape, "data_offsets": (len(body), len(body) + value.nbytes)}
        body += value.tobytes()
    (tmp_path / "m.safetensors").write_bytes(safetensors(header, body))
    refused(tmp_path / "m.safetensors", f"unknown {name}")


def test_two_of_one_name(tmp_path):
    path = tmp_path / "m.npz"
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as archive:
        for _ in range(2):
            archive.writestr("w.npy", npy(np.zeros(3)))
    refused(path, "two arrays are called w")
    same = json.dumps(entry(0))
    (tmp_path / "m.safetensors").write_bytes(safetensors(f'{{"w":{same},"w":{same}}}'.encode(), bytes(8)))
    refused(tmp_path / "m.safetensors", "two entries are called w")
    if pytest.importorskip("onnx"):
        model = onnx_model()
        model.graph.initializer.append(model.graph.initializer[0])
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        refused(tmp_path / "m.onnx", "two arrays are called W")


# Sizes


def npy(array):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array)
    return stream.getvalue()


def safetensors(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def entry(start, count=1):
    return {"dtype": "F64", "shape": [count], "data_offsets": [start, start + 8 * count]}


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt", ".onnx"])
def test_the_limit_is_of_bytes_and_an_option_raises_it(tmp_path, suffix):
    path = written(tmp_path / f"m{suffix}")
    refused(path, "more than the limit of 100", limit=100)
    load(path, limit=100_000)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt"])
def test_too_many_arrays(tmp_path, suffix):
    path, names = tmp_path / f"m{suffix}", [f"w{i}" for i in range(10_001)]
    if suffix == ".npz":
        one = npy(np.zeros(1))
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(f"{name}.npy", one)
    elif suffix == ".safetensors":
        path.write_bytes(safetensors({name: entry(8 * i) for i, name in enumerate(names)}, bytes(8 * len(names))))
    else:
        torch = pytest.importorskip("torch")
        one = torch.zeros(1)
        torch.save(dict.fromkeys(names, one), path)
        torch.save({name: one.view(1) for name in names}, path)
    refused(path, "limit")


def bomb(path, compression=zipfile.ZIP_DEFLATED, mebibytes=600):
    with zipfile.ZipFile(path, "w", compression, compresslevel=1) as archive, archive.open("w.npy", "w") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (mebibytes << 17,)}
        )
        for _ in range(mebibytes):
            file.write(bytes(1 << 20))


def lie(path, count):
    header = npy(np.zeros(3)).replace(b"(3,), }" + b" " * 12, f"({count},), }}".encode().ljust(19))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w.npy", header)


def many_entries(path):
    central = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[0] * 16) + b"a"
    central = central[:28] + b"\1\0" + central[30:]
    directory = central * 1_000_000
    path.write_bytes(directory + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, len(directory), 0, 0))


def deep_npy(path):
    text = b"{'descr': " + b"(" * 60_000
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text)


def sparse(path):
    """4 GiB that take no room on the disk."""
    path.write_bytes(safetensors({"w": entry(0, 1 << 29)}))
    os.truncate(path, path.stat().st_size + (1 << 32))


def varint(number):
    data = bytearray()
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    return bytes([*data, number])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def nodes(count):
    return field(7, field(1, b"") * count)


def deep_graph():
    """node -> attribute -> graph -> node …"""
    data = b""
    for _ in range(1000):
        data = field(1, field(5, field(6, data)))
    return field(7, data)


def useless_entries(path):
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(10_200):
            archive.writestr(f"w{number}", b"")


BOMBS = {
    "too many entries to look at": (".npz", "holds 10,200 arrays", useless_entries),
    "a gigabyte of zeros, packed": (".npz", "declares 629,145,", bomb),
    "packed so that Python unpacks without bound": (
        ".npz",
        "packed in a way",
        lambda path: bomb(path, zipfile.ZIP_LZMA, 1),
    ),
    "a shape": (".npz", "declares shape", lambda path: lie(path, 1 << 40)),
    "a negative shape": (".npz", "declares shape", lambda path: lie(path, -1)),
    "a zip of a million entries": (".npz", "not an .npz file", many_entries),
    "a deep header in an .npy": (".npz", "not an .npz file", deep_npy),
    "a header of 2⁶³ bytes": (
        ".safetensors",
        "cut off",
        lambda path: path.write_bytes(b"\xff" * 7 + b"\x7f" + bytes(99)),
    ),
    "a header of 9 MB": (
        ".safetensors",
        "has a header of 9,000,",
        lambda path: path.write_bytes(safetensors(b" " * 9_000_000)),
    ),
    "a header of lists": (
        ".safetensors",
        "a header of more than",
        lambda path: path.write_bytes(safetensors(b'{"a":[' + b"[]," * 2_000_000 + b"[]]}")),
    ),
    "a deep header": (".safetensors", "not a", lambda path: path.write_bytes(safetensors(b'{"a":' + b"[" * 100_000))),
    "a sparse file": (".safetensors", "has 4,294,967,... bytes, more than the limit of 536,870,912", sparse),
    "numbers for ever": (".onnx", "not a file", lambda path: path.symlink_to("/dev/zero")),
    "an empty graph": (".onnx", "is empty", lambda path: path.write_bytes(b"")),
    "nodes of two bytes": (".onnx", "more than 200,000 parts", lambda path: path.write_bytes(nodes(500_000))),
    "numbers of one byte": (
        ".onnx",
        "more than 200,000 parts",
        lambda path: path.write_bytes(field(7, field(5, field(7, bytes(8_000_000))))),
    ),
    "graphs in graphs": (".onnx", "limit", lambda path: path.write_bytes(deep_graph())),
    "a size": (
        ".onnx",
        "declares 9,223,372,036,854,775,808 bytes",
        lambda path: path.write_bytes(
            field(7, field(1, b"") + field(5, b"\x08" + b"\x80" * 8 + b"\x20" + b"\x10\x01"))
        ),
    ),
}


@pytest.mark.parametrize("what", BOMBS)
def test_bombs_are_refused_before_they_are_read(tmp_path, what):
    suffix, said, make = BOMBS[what]
    if suffix == ".onnx":
        pytest.importorskip("onnx")
    make(tmp_path / f"m{suffix}")
    refused(tmp_path / f"m{suffix}", said)


UNDER_LIMITS = """
import resource, sys
from unrollviz.errors import BadFile
from unrollviz.readers.weights import load
from unrollviz.readers.experiment import read
import unrollviz.readers.npz, unrollviz.readers.pt, safetensors
for module in ("onnx", "onnx.numpy_helper", "torch"):
    try:
        __import__(module)
    except ImportError:
        pass
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + 100 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for path in sys.argv[1:]:
    try:
        (read if path.endswith(".toml") else load)(path)
        print("read", path)
    except BadFile as error:
        print("refused", "MemoryError" in str(error))
"""


def test_refusals_take_little_memory(tmp_path):
    """Everything above again, in a process that may not grow by more than 100 MiB."""
    paths = []
    for number, (suffix, _, make) in enumerate(BOMBS.values()):
        path = tmp_path / f"{number}{suffix}"
        if suffix != ".onnx" or "onnx" in sys.modules:
            make(path)
            paths.append(path)
    for number, pickled in enumerate(PICKLES.values()):
        paths.append(pt_of(tmp_path / f"{number}.pt", b"\x80\2" + pickled + b".", {"0": bytes(4)}))
    for number, text in enumerate((".".join("a" * 20_000) + "=1", "a=" + "[" * 500_000, '"\\' * 500_000)):
        paths.append(tmp_path / f"{number}.toml")
        paths[-1].write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", UNDER_LIMITS, *map(str, paths)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["refused False"] * len(paths)
