"""Reading .pt and .pth files: what torch.save writes, a zip of a pickle and of the numbers."""

from __future__ import annotations

import math
import pickletools
import warnings
import zipfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from unrollviz.errors import MissingExtra, ShapeError
from unrollviz.names import clean
from unrollviz.readers.archive import open_zip
from unrollviz.readers.limits import BYTES_LIMIT, TENSORS_LIMIT, bad, check_declared, reading
from unrollviz.readers.tensors import Floats, Tensors

_NESTED = ("state_dict", "model_state_dict", "model")
"""Where checkpoints keep the state dict."""

_OLDEST = (2, 10)
"""Before it, weights_only=True could be got round (GHSA-63cw-57p8-fm3p)."""

_PICKLE_LIMIT = 2**22
_STEPS_LIMIT = 40 * TENSORS_LIMIT
"""Instructions in the pickle; a tensor takes about 32."""


def read(path: str | Path, limit: int = BYTES_LIMIT) -> Tensors:
    """The floating-point tensors by name, of a state dict or of a checkpoint that holds one. Executes nothing.

    Raises BadFile, `path: reason`, for every kind of missing, broken or hostile file, MissingExtra without PyTorch.
    """
    with reading(path, "a .pt"):
        _check(path, limit)
        state = _loaded(path)
        for name in _NESTED:
            if isinstance(state, Mapping) and isinstance(state.get(name), Mapping):
                state = state[name]
                break
        if not isinstance(state, Mapping):
            raise bad(path, "holds no state dict; save model.state_dict()")
        check_declared(path, [(str(name), 0) for name in state], limit)
        return tensors_of(state)


def tensors_of(state: Mapping[Any, Any]) -> Tensors:
    """The floating-point tensors of a state dict."""
    tensors = {str(name): value for name, value in state.items() if _is_plain(value)}
    return Tensors(
        {name: _numbers(value) for name, value in tensors.items()},
        others=tuple(clean(str(name)) for name in state if str(name) not in tensors),
    )


def _is_plain(value: Any) -> bool:
    """Whether it is a dense floating-point tensor; told without importing torch."""
    return (
        hasattr(value, "is_floating_point")
        and value.is_floating_point()
        and not value.is_quantized
        and str(value.layout) == "torch.strided"
        and not value.is_meta
    )


def _numbers(tensor: Any) -> Floats:
    known = str(tensor.dtype) in ("torch.float16", "torch.float32", "torch.float64")
    numbers: Floats = (tensor if known else tensor.float()).detach().cpu().numpy()  # numpy has no bfloat16
    return numbers


def _loaded(path: str | Path) -> Any:
    try:
        torch = import_module("torch")
    except ImportError as error:
        raise MissingExtra("reading .pt files", "torch") from error
    version = str(torch.__version__)
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        raise bad(path, f"is not safe to read with PyTorch {version}; install 2.10 or newer")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(str(path), map_location="cpu", weights_only=True)


def _check(path: str | Path, limit: int) -> None:
    """Raise BadFile where the file is not one that torch.save wrote, or holds or promises too much."""
    try:
        with open_zip(path, limit) as archive:
            entries = archive.infolist()
            stored = {entry.filename: entry.file_size for entry in entries}
            root = next((name.removesuffix("data.pkl") for name in stored if name.endswith("/data.pkl")), None)
            if f"{root}constants.pkl" in stored:
                raise bad(path, "is a TorchScript program, which is not run here; save model.state_dict()")
            strange = len(stored) < len(entries) or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            if root is None or strange or not all(name.startswith(root) for name in stored):
                raise bad(path, "is not what torch.save writes; save model.state_dict()")
            if stored[f"{root}data.pkl"] > _PICKLE_LIMIT:
                raise bad(path, f"describes its tensors in more than {_PICKLE_LIMIT:,} bytes, the limit")
            declared = _declared(archive.read(f"{root}data.pkl"))
    except zipfile.BadZipFile as error:
        raise bad(path, "is cut off, or no .pt file of PyTorch 1.6 or newer; save it again with torch.save") from error
    check_declared(path, [(str(number), size) for number, size in enumerate(declared.tensors)], limit)
    if any(size > stored.get(f"{root}data/{key}", 0) for key, size in declared.storages.items()):
        raise bad(path, "declares more numbers than it stores; save it again")


def _declared(pickled: bytes) -> _Pickle:
    """What the pickle of a .pt file declares; ShapeError where it is not that of tensors in dicts and lists."""
    found = _Pickle()
    for step, (opcode, argument, _) in enumerate(pickletools.genops(pickled)):
        if step > _STEPS_LIMIT:
            raise ShapeError(f"holds more than {TENSORS_LIMIT:,} tensors, the limit")
        found.read(opcode.name, argument)
    return found


class _Pickle:
    """A pickle read as a text: its instructions are followed, but nothing is built or called.

    PyTorch's safe loader does build what it reads: a tensor of 2⁴⁰ numbers out of a single one, say, which the next
    instruction makes a dict of. So whatever torch.save does not write for tensors in dicts and lists is refused first.

    Attributes:
        tensors: bytes of each tensor.
        storages: key -> bytes of each file of numbers that they are views of.
    """

    def __init__(self) -> None:
        self.tensors: list[int] = []
        self.storages: dict[str, int] = {}
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def read(self, name: str, argument: Any) -> None:
        """Follow one instruction. Raises ShapeError for those that torch.save does not write."""
        stack = self._stack
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            stack.append(argument)
        elif name == "MARK":
            self._below.append(stack)
            self._stack = []
        elif name in ("TUPLE", "SETITEMS", "APPENDS"):
            self._stack = self._below.pop()
            self._put(tuple(stack), name)
        elif name in _TAKES:
            taken = tuple(stack[-_TAKES[name] :])
            del stack[-_TAKES[name] :]
            self._put(taken, name)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name not in ("PROTO", "STOP"):
            raise ShapeError(_OBJECTS)

    def _put(self, taken: tuple[Any, ...], name: str) -> None:
        """What an instruction does with what it took from the stack."""
        if name.startswith("TUPLE"):
            self._stack.append(taken)
        elif name == "BINPERSID":
            self._stack.append(self._storage(*taken[0]))
        elif name == "REDUCE":
            self._stack.append(self._called(*taken))
        elif self._stack[-1] is not (_LIST if name.startswith("APPEND") else _DICT) or (
            name == "BUILD" and taken[0] is not _DICT
        ):
            raise ShapeError(_OBJECTS)

    def _storage(self, _: str, kind: str, key: str, device: str, count: int) -> int:
        """Bytes of one number."""
        width = _WIDTHS.get(kind.removeprefix("torch "), 8)
        self.storages[key] = count * width
        return width

    def _called(self, function: str, arguments: tuple[Any, ...]) -> Any:
        if function == "collections OrderedDict" and arguments == ():
            return _DICT
        if function == "torch._utils _rebuild_tensor_v2":
            width, _, shape, *_ = arguments
            self.tensors.append(width * math.prod(shape))
            return _TENSOR
        if function == "torch._utils _rebuild_parameter":
            return arguments[0]
        raise ShapeError(f"holds Python objects ({clean(function)}), which are never loaded; save model.state_dict()")


_OBJECTS = "holds Python objects, which are never loaded; save model.state_dict()"
_DICT, _LIST, _TENSOR = object(), object(), object()
_CONSTANTS = {
    "EMPTY_DICT": _DICT,
    "EMPTY_LIST": _LIST,
    "EMPTY_TUPLE": (),
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
}
_LITERALS = frozenset({"BINUNICODE", "SHORT_BINSTRING", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "GLOBAL"})
_TAKES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "APPEND": 1, "SETITEM": 2, "BINPERSID": 1, "REDUCE": 2, "BUILD": 1}
_WIDTHS = {
    "FloatStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "IntStorage": 4,
    "ByteStorage": 1,
    "BoolStorage": 1,
}
"""Bytes of a number, where they are not 8."""
