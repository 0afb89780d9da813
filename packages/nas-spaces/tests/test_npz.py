"""Reading `.npz` files that may be damaged or hostile."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.errors import InvalidTable
from nas_spaces.tables import npz
from nas_spaces.tables.npz import read_arrays, write_arrays


def npy(array: Any, version: tuple[int, int] | None = None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), version=version, allow_pickle=True)
    return stream.getvalue()


def header(kind: str, shape: str) -> bytes:
    text = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def archive(path: Path, *members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members:
            file.writestr(name, data)
    return path


ARRAYS = {
    "number": np.array([1.5, -0.0, np.inf]),
    "single": np.array([0.1, 0.2], dtype=np.float32),
    "whole": np.array([[1, 2], [3, 4]], dtype=np.int16),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3)),
    "truth": np.array([True, False]),
    "text": np.array(["a", "\N{SNOWMAN}"]),
    "one": np.array("alone"),
    "file": np.array([1]),  # a name that numpy's own writer stumbles over
}


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", ARRAYS)
    found = read_arrays(tmp_path / "a.npz")
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert not found[name].flags.writeable
    with np.load(tmp_path / "a.npz", allow_pickle=False) as loaded:
        np.testing.assert_array_equal(loaded["whole"], ARRAYS["whole"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npz"]


def test_files_of_numpy_are_read(tmp_path: Path) -> None:
    some: dict[str, Any] = {name: array for name, array in ARRAYS.items() if name != "file"}
    np.savez(tmp_path / "plain.npz", **some)
    np.savez_compressed(tmp_path / "packed.npz", **some)
    for name in ("plain.npz", "packed.npz"):
        found = read_arrays(tmp_path / name)
        assert {key: array.tolist() for key, array in found.items()} == {k: a.tolist() for k, a in some.items()}


def test_equal_arrays_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_arrays(tmp_path / name, ARRAYS)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_all_versions_of_the_header_are_read(tmp_path: Path, version: tuple[int, int]) -> None:
    path = archive(tmp_path / "a.npz", ("x.npy", npy([1, 2], version)))
    assert read_arrays(path)["x"].tolist() == [1, 2]


def test_other_byte_orders_are_turned(tmp_path: Path) -> None:
    given = {"x": np.array([1.5, 2.5], dtype=">f8"), "t": np.array(["ab", "c"], dtype=">U2")}
    path = archive(tmp_path / "a.npz", *((f"{name}.npy", npy(array)) for name, array in given.items()))
    found = read_arrays(path)
    assert found["x"].tolist() == [1.5, 2.5]
    assert found["t"].tolist() == ["ab", "c"]
    assert found["x"].dtype.isnative
    assert not found["x"].flags.writeable


def bad_members() -> dict[str, tuple[list[tuple[str, bytes]], str]]:
    plain, eight = npy(np.arange(8.0)), header("'<f8'", "(8,)")
    surrogate = header("'<U1'", "(1,)") + (0xD800).to_bytes(4, "little")
    beyond = header("'<U1'", "(1,)") + (0x110000).to_bytes(4, "little")
    return {
        "pickles": ([("x.npy", npy(np.array([{}, None], dtype=object)))], "pickled objects, which are never read"),
        "structured": ([("x.npy", npy(np.zeros(2, dtype=[("a", "f8")])))], "a header that cannot be read"),
        "complex": ([("x.npy", npy(np.zeros(2, dtype=complex)))], "a header that cannot be read"),
        "dates": ([("x.npy", npy(np.zeros(2, dtype="M8[s]")))], "a header that cannot be read"),
        "half a number": ([("x.npy", header("'<f3'", "(8,)") + bytes(24))], "a type that is not read"),
        "five axes": ([("x.npy", npy(np.zeros((1, 1, 1, 1, 1))))], "too many axes"),
        "empty": ([("x.npy", npy(np.zeros(0)))], "a wrong size"),
        "too long": ([("x.npy", plain + b"x")], "a wrong size"),
        "too short": ([("x.npy", plain[:-1])], "a wrong size"),
        "a huge shape": ([("x.npy", header("'<f8'", f"({10**12},)") + bytes(64))], "a wrong size"),
        "a huge text": ([("x.npy", header("'<U9999999'", "(1,)") + bytes(64))], "a wrong size"),
        "a text of a size that numpy has not": (
            [("x.npy", header("'<U999999999'", "(1,)"))],
            "a type that is not read",
        ),
        "an empty huge shape": ([("x.npy", header("'<f8'", f"({10**12}, 0)"))], "a wrong size"),
        "no size of text": ([("x.npy", header("'<U0'", f"({10**12},)"))], "a type that is not read"),
        "code in the header": ([("x.npy", header("__import__('os')", "(8,)") + bytes(64))], "a header that cannot be"),
        "no header": ([("x.npy", b"\x93NUMP")], "no header of numpy's format"),
        "cut in the header": ([("x.npy", eight[:40])], "a header that cannot be read"),
        "another name": ([("x.txt", plain)], "a file that is no array: 'x.txt'"),
        "no characters": ([("x.npy", beyond)], "holds what is no text"),
        "half characters": ([("x.npy", surrogate)], "holds what is no text"),
    }


@pytest.mark.parametrize(("members", "message"), bad_members().values(), ids=bad_members())
def test_a_bad_array_is_refused(tmp_path: Path, members: list[tuple[str, bytes]], message: str) -> None:
    path = archive(tmp_path / "a.npz", *members)
    tracemalloc.start()
    with pytest.raises(InvalidTable, match=message):
        read_arrays(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 23


def test_an_array_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = archive(tmp_path / "a.npz", ("x.npy", npy([1])), ("x.npy", npy([1])))
    with pytest.raises(InvalidTable, match="'x' is there twice"):
        read_arrays(path)


def test_a_directory_that_promises_more_than_its_bytes_can_hold_is_refused(tmp_path: Path) -> None:
    declared = 1 << 30
    data = header("'<u1'", f"({declared - 128},)") + bytes(872)
    path = archive(tmp_path / "a.npz", ("x.npy", data))
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")  # the entry of the central directory
    assert int.from_bytes(content[at + 24 : at + 28], "little") == len(data) == 1000
    content[at + 24 : at + 28] = declared.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(InvalidTable, match="packed in a way"):
        read_arrays(path)


def test_arrays_that_are_too_large_together_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.npz", ("x.npy", npy(np.zeros(1000))), ("y.npy", npy(np.zeros(1000))))
    read_arrays(path)
    monkeypatch.setattr(npz, "MOST_BYTES", 16_000)
    with pytest.raises(InvalidTable, match=r"too large: 16256 .* expected at most 16000 bytes"):
        read_arrays(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(tmp_path: Path, method: int) -> None:
    path = archive(tmp_path / "a.npz", ("x.npy", npy(np.zeros(100))), method=method)
    with pytest.raises(InvalidTable, match="packed in a way"):
        read_arrays(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidTable, match="there is no such table file"):
        read_arrays(tmp_path / "absent.npz")
    with pytest.raises(InvalidTable, match="cannot be read"):
        read_arrays(tmp_path)
    for content in (b"", b"no zip", b"PK\x05\x06", npy([1.0])):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(InvalidTable, match="not an intact"):
            read_arrays(tmp_path / "a.npz")


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, {"x": np.array([1])})
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InvalidTable, match=r"cannot be written \(No space left"):
        write_arrays(path, {"x": np.array([2])})
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npz"]
    with pytest.raises(InvalidTable, match=r"cannot be written \(No such file"):
        write_arrays(tmp_path / "absent" / "a.npz", {"x": np.array([2])})
