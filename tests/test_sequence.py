"""Reading sequences: good files are read exactly, broken and hostile ones are one kind of error."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollviz.errors import BadFile
from unrollviz.readers.sequence import read_npz, read_text


def stored(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array)
    return stream.getvalue()


def test_arrays_come_back_exactly(tmp_path):
    given = {"xs": np.random.default_rng(0).standard_normal((3, 2, 4)), "targets": np.array([[0, 1]] * 3)}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "d.npz", **given)
        found = read_npz(tmp_path / "d.npz")
        assert set(found) == set(given)
        for name, array in given.items():
            np.testing.assert_array_equal(found[name], array)


def test_declared_sizes_are_added_up_before_anything_is_read(tmp_path):
    np.savez_compressed(tmp_path / "d.npz", xs=np.zeros((1000, 100)), targets=np.zeros(1000, dtype=np.int64))
    with pytest.raises(BadFile, match="more than the limit"):
        read_npz(tmp_path / "d.npz", limit=800_000)
    assert read_npz(tmp_path / "d.npz", limit=808_000)["xs"].shape == (1000, 100)


def test_a_header_that_promises_more_than_is_stored(tmp_path):
    lie = npy(np.zeros(3)).replace(b"(3,)", b"(9,)")
    with pytest.raises(BadFile, match="declares shape"):
        read_npz(stored(tmp_path / "d.npz", xs=lie, targets=npy(np.zeros(3))))


def test_two_arrays_of_one_name(tmp_path):
    path = stored(tmp_path / "d.npz", xs=npy(np.zeros(3)), targets=npy(np.zeros(3)))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("xs.npy", npy(np.zeros(4)))
    with pytest.raises(BadFile, match="two arrays"):
        read_npz(path)


def test_python_objects_are_never_loaded(tmp_path):
    np.savez(tmp_path / "d.npz", xs=np.array([{}, []], dtype=object), targets=np.zeros(2))
    with pytest.raises(BadFile, match="never loaded"):
        read_npz(tmp_path / "d.npz")


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_file_is_one_kind_of_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "d.npz"
    np.savez(path, xs=np.arange(6.0).reshape(3, 2), targets=np.array([0, 1, 0]))
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        whole = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    try:
        read_npz(path)
    except BadFile as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)


def test_text_is_read_without_its_last_line_break(tmp_path):
    for stored_text, expected in (("hé\n", "hé"), ("hé\r\n", "hé"), ("hé", "hé"), ("a\nb\n\n", "a\nb\n")):
        (tmp_path / "t.txt").write_bytes(stored_text.encode())
        assert read_text(tmp_path / "t.txt") == expected


def test_text_that_cannot_be_read(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"abc\xff")
    with pytest.raises(BadFile, match="byte 3"):
        read_text(tmp_path / "t.txt")
    (tmp_path / "t.txt").write_bytes(b"a" * 11)
    with pytest.raises(BadFile, match="more than 10 bytes"):
        read_text(tmp_path / "t.txt", limit=10)
    with pytest.raises(BadFile, match="cannot be read"):
        read_text(tmp_path)
