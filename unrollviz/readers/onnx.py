"""Reading .onnx files: a protocol buffer, measured before it is parsed."""

from __future__ import annotations

import io
import math
import stat
from importlib import import_module
from pathlib import Path
from typing import Any

from unrollviz.errors import MissingExtra, ShapeError
from unrollviz.names import clean
from unrollviz.readers.found import Found
from unrollviz.readers.limits import BYTES_LIMIT, bad, check_declared, check_file, reading

_OLDEST = (1, 21)
"""Before it, files could name others outside of their folder (CVE-2026-34445)."""

_FIELDS_LIMIT = 200_000
_DEPTH_LIMIT = 64


def read(path: str | Path, *, readout: str | None = None, limit: int = BYTES_LIMIT) -> Found:
    """The network in the RNN, GRU or LSTM nodes of a graph and the MatMul or Gemm that reads them out.

    Raises BadFile, `path: reason`, for every kind of missing, broken or hostile file, and for a graph that is not such
    a network; MissingExtra without onnx.
    """
    with reading(path, "an .onnx"):
        check_file(path, limit)
        onnx = _onnx(path)
        data = Path(path).read_bytes()
        check_message(memoryview(data), onnx.ModelProto.DESCRIPTOR)
        model = onnx.load(io.BytesIO(data), load_external_data=False)
        if not model.graph.node:
            raise bad(path, "is empty: it holds no graph; export the model again")
        tensors = list(model.graph.initializer)
        check_declared(path, [(tensor.name, _size(onnx, tensor)) for tensor in tensors], limit)
        for tensor in tensors:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                _fetch(path, tensor, _size(onnx, tensor))
                tensor.data_location = onnx.TensorProto.DEFAULT
        found: Found = import_module("unrollviz.readers.onnx_graph").network_of(model.graph, onnx, readout)
        return found


def _onnx(path: str | Path) -> Any:
    try:
        onnx = import_module("onnx")
        import_module("onnx.numpy_helper")
    except ImportError as error:
        raise MissingExtra("reading .onnx files", "onnx") from error
    if tuple(map(int, str(onnx.__version__).split(".")[:2])) < _OLDEST:
        raise bad(path, f"is not safe to read with onnx {onnx.__version__}; install 1.21 or newer")
    return onnx


def _size(onnx: Any, tensor: Any) -> int:
    """What a tensor declares to hold."""
    if min(tensor.dims, default=0) < 0:
        raise ShapeError(f"{clean(tensor.name)} has a negative size")
    size: int = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize * math.prod(tensor.dims)
    return size


def _fetch(path: str | Path, tensor: Any, size: int) -> None:
    """Put the numbers of a tensor in its place that lie in another file, as the newer exporter of PyTorch leaves them.

    Raises ShapeError unless that is a plain file in the folder of the model, not a link, and holds them."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    name, offset = said.get("location", ""), int(said.get("offset", "0"))
    file = Path(path).parent / Path(name).name
    if name != Path(name).name or clean(name) != name:
        raise ShapeError(f"keeps weights in {clean(name)}, outside of its folder; that is not read")
    if not file.exists():
        raise ShapeError(f"keeps weights in {name}, which is missing; put it into the same folder")
    if not stat.S_ISREG(file.lstat().st_mode) or file.lstat().st_nlink > 1:
        raise ShapeError(f"keeps weights in {name}, which is a link or no file; put a copy into the same folder")
    if int(said.get("length", size)) != size or not 0 <= offset <= file.stat().st_size - size:
        raise ShapeError(f"keeps weights in {name}, which does not hold {clean(tensor.name)} in full; export it again")
    with file.open("rb") as stream:
        stream.seek(offset)
        tensor.raw_data = stream.read(size)


def check_message(data: memoryview, kind: Any) -> None:
    """Walk the fields of a protocol buffer, whose descriptor is `kind`, without building anything.

    Two bytes of such a file can become a message of hundreds in memory, so fields are counted before it is parsed.

    Raises ShapeError where there are too many or they lie too deep, ValueError and IndexError where they are broken.
    """
    fields = 0
    todo = [(data, kind, 0)]
    while todo:
        message, kind, depth = todo.pop()
        position = 0
        while position < len(message):
            key, position = _varint(message, position)
            start, position = _extent(message, position, key & 7)
            field = kind.fields_by_number.get(key >> 3)
            fields += 1
            if key & 7 == _BYTES and field is not None:
                if field.message_type is not None:
                    todo.append((message[start:position], field.message_type, depth + 1))
                elif field.cpp_type in _WHOLE:  # a byte each, or more
                    fields += position - start
            if fields > _FIELDS_LIMIT or depth > _DEPTH_LIMIT:
                raise ShapeError(f"has a graph of more than {_FIELDS_LIMIT:,} parts, the limit")


_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_WHOLE = (1, 2, 3, 4)
"""Protocol buffers' types of fields, and int32, int64, uint32, uint64 among the types of values."""


def _extent(message: memoryview, position: int, wire: int) -> tuple[int, int]:
    """Where a field's value begins and ends."""
    if wire == _VARINT:
        return position, _varint(message, position)[1]
    length = {_EIGHT: 8, _FOUR: 4}.get(wire)
    if wire == _BYTES:
        length, position = _varint(message, position)
    if length is None or position + length > len(message):
        raise ValueError("a broken field")
    return position, position + length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """A whole number, seven bits a byte, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError("a number of more than ten bytes")
