"""Reading TFRecord files: records one after the other, each between checksums.

    8 bytes  length of the data, lowest byte first        4 bytes  masked CRC-32C of these 8
    data                                                  4 bytes  masked CRC-32C of the data

A checksum c is masked as (c rotated right by 15 bits) + 0xa282ead8. CRC-32C has the reversed polynomial 0x82f63b78.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidTable

LONGEST: Final = 1 << 20
"""Largest size of a record in bytes."""

_POLYNOMIAL = 0x82F63B78
_MASK = 0xA282EAD8
_TOGETHER = 1 << 22  # bytes whose checksums are computed at a time


def records(path: Path) -> Iterator[bytes]:
    """The data of every record of a file, all checksums compared.

    Raises:
        InvalidTable: there is no such file, it is cut off, or a checksum does not fit; the message names the record.
    """
    try:
        with path.open("rb") as file:
            yield from _records(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise InvalidTable(f"the file cannot be read ({error.strerror})", value=str(path)) from None
    except InvalidTable as error:
        raise error.at(str(path)) from None


def masked_crc(texts: Sequence[bytes]) -> NDArray[np.uint32]:
    """The masked CRC-32C of n texts (n), computed together, byte by byte."""
    lengths = np.array([len(text) for text in texts])
    padded = np.zeros((len(texts), max(lengths.max(initial=0), 1)), dtype=np.uint8)
    for row, text in zip(padded, texts, strict=True):
        row[: len(text)] = np.frombuffer(text, np.uint8)
    crc = np.full(len(texts), 0xFFFFFFFF, dtype=np.uint32)
    for i, column in enumerate(np.ascontiguousarray(padded.T)):
        crc = np.where(i < lengths, _STEP[(crc ^ column) & 0xFF] ^ (crc >> 8), crc)
    crc = ~crc
    masked: NDArray[np.uint32] = (((crc >> 15) | (crc << 17)) + np.uint32(_MASK)).astype(np.uint32)
    return masked


def _records(file: BinaryIO, size: int) -> Iterator[bytes]:
    number, at, longest = 0, 0, 0
    heads: list[bytes] = []
    bodies: list[bytes] = []
    while at < size:
        head = file.read(12)
        length = int.from_bytes(head[:8], "little")
        if len(head) < 12 or length > LONGEST or length + 16 > size - at:
            raise InvalidTable(f"record {number + len(bodies)} (counted from 0) is cut off or damaged")
        heads.append(head)
        bodies.append(file.read(length + 4))
        at += length + 16
        longest = max(longest, length)
        if longest * len(bodies) >= _TOGETHER:
            yield from _checked(heads, bodies, number)
            number, longest, heads, bodies = number + len(bodies), 0, [], []
    yield from _checked(heads, bodies, number)


def _checked(heads: list[bytes], bodies: list[bytes], first: int) -> list[bytes]:
    found = [body[:-4] for body in bodies]
    told = [head[8:] for head in heads], [body[-4:] for body in bodies]
    for texts, sums in zip(([head[:8] for head in heads], found), told, strict=True):
        wrong = masked_crc(texts) != np.frombuffer(b"".join(sums), "<u4")
        if wrong.any():
            raise InvalidTable(f"the checksum of record {first + int(wrong.argmax())} (counted from 0) does not fit")
    return found


def _steps() -> NDArray[np.uint32]:
    """What each byte does to the checksum (256)."""
    steps = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        steps = np.where(steps & 1, (steps >> 1) ^ np.uint32(_POLYNOMIAL), steps >> 1)
    return steps


_STEP = _steps()
