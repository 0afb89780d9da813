"""Reading and writing `.npz` files without trusting them.

Only plain arrays of numbers, truth values and texts are read, never pickles. Before anything is read its size is
checked against what the header declares and against what its compressed bytes can hold, so that a damaged or hostile
file costs no more memory than an honest one of its size. Large arrays that are not compressed are mapped from the file
and take no memory of their own.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidTable
from nas_spaces.tables.recognise import remedy_by_name
from nas_spaces.tables.shipped import SHIPPED

Arrays: TypeAlias = dict[str, NDArray[Any]]

MOST_BYTES: Final = 1 << 32
"""Largest size of a file's arrays together."""

_MOST_ARRAYS = 1000
_MAPPED = 1 << 20  # bytes of an uncompressed array from which it is mapped
_LOCAL = struct.Struct("<4s22xHH")  # what stands before a member: signature, lengths of its name and of what follows
_MOST_AXES = 4  # tables have two; published arrays that are converted have more
_LONGEST_HEADER = 1 << 14
_MOST_DEFLATED = 1032  # deflate makes at most this many bytes of one
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADER = re.compile(
    rb"\{'descr': '(?P<type>[<>|=][biufUO][0-9]{0,9})', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>[0-9, ]{0,60})\),? *\} *\n?"
)
_TYPE = re.compile(r"\|b1|[<>=|](?:i[1248]|u[1248]|f[248]|U[1-9][0-9]{0,6})")
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError, OverflowError)


def read_arrays(path: Path) -> Arrays:
    """The arrays of an `.npz` file by name, read-only.

    Raises:
        InvalidTable: there is no such file, it is no intact `.npz`, or an array holds other things than numbers, truth
            values or text.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            return _read_all(archive, file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        raise InvalidTable("there is no such table file", value=str(path), expected=_shipped()) from None
    except (IsADirectoryError, PermissionError) as error:
        raise InvalidTable(f"the table file cannot be read ({error.strerror})", value=str(path)) from None
    except InvalidTable as error:
        raise error.at(str(path)) from None
    except _DAMAGE as error:
        remedy = remedy_by_name(path) or "Copy or convert it again."
        raise InvalidTable(f"not an intact .npz file ({error})", place=str(path), remedy=remedy) from None


def _shipped() -> str:
    return " or ".join(["a path", *(f"the name {name}" for name in SHIPPED)])


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as a compressed `.npz` file: to a temporary file beside it, synced, then renamed.

    Raises:
        InvalidTable: the file cannot be written; what was there before is untouched.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with draft.open("xb") as file:
                _write_all(file, arrays)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidTable(f"the table file cannot be written ({error.strerror})", value=str(path)) from None


def _write_all(file: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: equal tables are equal files
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asarray(array), allow_pickle=False)


def _read_all(archive: zipfile.ZipFile, file: BinaryIO, file_size: int) -> Arrays:
    members = archive.infolist()
    if len(members) > _MOST_ARRAYS or sum(member.compress_size for member in members) > file_size:
        raise InvalidTable("a damaged list of arrays", value=len(members))
    total = sum(member.file_size for member in members)
    if total > MOST_BYTES:
        raise InvalidTable("the arrays are too large", value=total, expected=f"at most {MOST_BYTES} bytes together")
    arrays: Arrays = {}
    for member in members:
        name = member.filename.removesuffix(".npy")
        if name == member.filename:
            raise InvalidTable("a file that is no array", value=member.filename, expected="names that end in .npy")
        if name in arrays:
            raise InvalidTable(f"the array {name!r} is there twice")
        arrays[name] = _read_one(archive, file, member, name)
    return arrays


def _read_one(archive: zipfile.ZipFile, file: BinaryIO, member: zipfile.ZipInfo, name: str) -> NDArray[Any]:
    possible = member.compress_size * (1 if member.compress_type == zipfile.ZIP_STORED else _MOST_DEFLATED)
    if member.compress_type not in _COMPRESSIONS or member.flag_bits & 1 or member.file_size > possible:
        raise InvalidTable(f"the array {name!r} is packed in a way that cannot be read")
    with archive.open(member) as stream:
        dtype, shape, fortran, header_size = _header(stream, name)
        size = dtype.itemsize * prod(shape)
        if size == 0 or header_size + size != member.file_size:
            raise InvalidTable(
                f"the array {name!r} has a wrong size", value=member.file_size, expected=f"{header_size + size} bytes"
            )
        mapped = member.compress_type == zipfile.ZIP_STORED and size >= _MAPPED
        # both to the end: a checksum is compared there
        data = _mapped(file, member, name)[header_size:] if mapped else stream.read()
    if len(data) != size:
        raise InvalidTable(f"the array {name!r} is cut off")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    if dtype.kind == "U":
        _check_text(data, dtype, name)
    return array if dtype.isnative else _native(array)


def _mapped(file: BinaryIO, member: zipfile.ZipInfo, name: str) -> memoryview:
    """The bytes of an uncompressed member, mapped; they are read once here, for the checksum."""
    data = memoryview(mmap(file.fileno(), 0, access=ACCESS_READ))
    signature, name_length, extra_length = _LOCAL.unpack_from(data, member.header_offset)
    start = member.header_offset + _LOCAL.size + name_length + extra_length
    found = data[start : start + member.file_size]
    if signature != b"PK\x03\x04" or len(found) != member.file_size or zlib.crc32(found) != member.CRC:
        raise InvalidTable(f"the array {name!r} is damaged")
    return found


def _header(stream: Any, name: str) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """Type, shape, whether the first axis varies fastest, and the size of the header in bytes."""
    start = stream.read(8)
    wide = start[6:7] in (b"\x02", b"\x03")
    size_bytes = stream.read(4 if wide else 2)
    length = int.from_bytes(size_bytes, "little")
    if start[:6] != b"\x93NUMPY" or start[6:7] not in (b"\x01", b"\x02", b"\x03") or length > _LONGEST_HEADER:
        raise InvalidTable(f"the array {name!r} has no header of numpy's format")
    match = _HEADER.fullmatch(stream.read(length))
    if match is None:
        raise InvalidTable(f"the array {name!r} has a header that cannot be read", expected="a plain array")
    kind = match["type"].decode("ascii")
    if not _TYPE.fullmatch(kind):
        problem = "holds pickled objects, which are never read" if "O" in kind else "has a type that is not read"
        raise InvalidTable(f"the array {name!r} {problem}", value=kind, expected="numbers, truth values or text")
    shape = tuple(int(part) for part in match["shape"].decode("ascii").replace(" ", "").split(",") if part)
    if len(shape) > _MOST_AXES:
        raise InvalidTable(f"the array {name!r} has too many axes", value=shape, expected=f"at most {_MOST_AXES}")
    return np.dtype(kind), shape, match["fortran"] == b"True", len(start) + len(size_bytes) + length


def _check_text(data: bytes | memoryview, dtype: np.dtype[Any], name: str) -> None:
    """Raise for code points that are no characters: numpy would fail on them later."""
    points = np.frombuffer(data, dtype.str[0].replace("|", "=") + "u4")
    surrogate = (points >= _SURROGATES[0]) & (points <= _SURROGATES[1])
    if (points > _LAST_CHARACTER).any() or surrogate.any():
        raise InvalidTable(f"the array {name!r} holds what is no text")


def _native(array: NDArray[Any]) -> NDArray[Any]:
    turned = array.astype(array.dtype.newbyteorder("="))
    turned.flags.writeable = False
    return turned
