"""The public NAS-Bench-101 files: the test writes one from the format's description, byte by byte."""

from __future__ import annotations

import base64
import json
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.errors import InvalidTable
from nas_spaces.nasbench101 import NASBench101
from nas_spaces.tables import Table, tfrecord
from nas_spaces.tables.convert import main
from nas_spaces.tables.nasbench101_tfrecord import _parsed, nb101_tfrecord
from nas_spaces.tables.tfrecord import masked_crc

SPACE = NASBench101()


def crc32c(data: bytes) -> int:
    """Bit by bit, as the polynomial has it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x82F63B78 if crc & 1 else crc >> 1
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def framed(data: bytes) -> bytes:
    length = len(data).to_bytes(8, "little")
    return length + masked(length) + data + masked(data)


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def evaluation(epoch: float, seconds: float, train: float, val: float, test: float) -> bytes:
    doubles = (epoch, seconds, train, val, test)
    data = b"".join(bytes([number << 3 | 1]) + struct.pack("<d", x) for number, x in enumerate(doubles, 1))
    path = b"model.ckpt"
    return data + bytes([6 << 3 | 2]) + varint(len(path)) + path


def metrics(parameters: int, *evaluations: bytes) -> bytes:
    data = b"".join(bytes([1 << 3 | 2]) + varint(len(one)) + one for one in evaluations)
    return data + bytes([2 << 3]) + varint(parameters) + bytes([3 << 3 | 1]) + struct.pack("<d", 99.5)


# matrices written out, and what the space's own notation makes of the bits above their diagonals
CELLS = {
    "1|": ("0100", "input,output"),
    "101|conv3x3-bn-relu": ("010001000", "input,conv3x3-bn-relu,output"),
    # two branches and a way past both: this order of its vertices is not the standard one
    "111011|maxpool3x3,conv1x1-bn-relu": ("0111000100010000", "input,maxpool3x3,conv1x1-bn-relu,output"),
}
TEXTS = list(CELLS)


def record(text: str, at: int, repeat: int, **changes: Any) -> bytes:
    """Validation 0.5 + a hundredth a repeat, test the same + 0.2, train 0.9; seconds epochs + repeat."""
    matrix, operations = CELLS[text]
    val = 0.5 + repeat / 100
    final = evaluation(at, at + repeat, 0.9, val, val + 0.2)
    start, half = evaluation(0, 0, 0.1, 0.1, 0.1), evaluation(at / 2, at / 2, 0.6, 0.3, 0.3)
    listed = {
        "hash": SPACE.published_hash(SPACE.parse(text)),
        "epochs": at,
        "adjacency": matrix,
        "operations": operations,
        "metrics": base64.b64encode(metrics(1_000_000 + len(operations), start, half, final)).decode(),
    }
    return json.dumps(list((listed | changes).values())).encode()


def write(path: Path, *data: bytes) -> Path:
    path.write_bytes(b"".join(framed(one) for one in data))
    return path


def test_checksums_are_the_published_ones() -> None:
    """The check value of CRC-32C, and the 32 zeros of RFC 3720, appendix B.4."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    texts = [b"", b"a", b"123456789", bytes(32), bytes(range(256))]
    assert masked_crc(texts).tolist() == [int.from_bytes(masked(text), "little") for text in texts]


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_checksums_of_many_at_once(texts: list[bytes]) -> None:
    assert masked_crc(texts).tolist() == [int.from_bytes(masked(text), "little") for text in texts]


def test_every_training_becomes_a_row(tmp_path: Path) -> None:
    order = [(text, epochs, repeat) for repeat in range(3) for epochs in (108, 4) for text in TEXTS]
    path = write(tmp_path / "full.tfrecord", *(record(*one) for one in order))
    assert main(["nb101-tfrecord", str(path), str(tmp_path / "out.npz")]) == 0
    table = Table.load(tmp_path / "out.npz")
    assert len(table) == 9
    assert [table.space.text(a) for a in table.architectures()] == TEXTS  # vertices in the order of the file
    assert table.fidelities("val_accuracy") == (4.0, 108.0)
    for text in TEXTS:
        for repeat in range(3):
            row = table.row(SPACE.parse(text), repeat)
            assert table.column("val_accuracy@108")[row] == pytest.approx(50 + repeat)
            assert table.column("test_accuracy@4")[row] == pytest.approx(70 + repeat)
            assert table.column("train_accuracy@4")[row] == pytest.approx(90)
            assert table.column("train_seconds@4")[row] == 4 + repeat
            assert table.column("train_seconds@108")[row] == 108 + repeat
            assert table.column("params")[row] == 1_000_000 + len(CELLS[text][1])
    assert table.lookup([SPACE.parse("1|")], "val_accuracy", 108)[0] == pytest.approx(51)


def test_more_records_than_are_checked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfrecord, "_TOGETHER", 30)
    data = [bytes([k]) * k for k in range(20)]
    assert list(tfrecord.records(write(tmp_path / "a", *data))) == data
    broken = bytearray((tmp_path / "a").read_bytes())
    broken[-5] ^= 1  # the last byte of the last record
    (tmp_path / "a").write_bytes(broken)
    with pytest.raises(InvalidTable, match="checksum of record 19"):
        list(tfrecord.records(tmp_path / "a"))


def test_damage_is_seen_wherever_it_is(tmp_path: Path) -> None:
    whole = framed(b"one") + framed(b"two")
    path = tmp_path / "a"
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(InvalidTable, match=r"record [01] "):
            list(tfrecord.records(path))
    for end in set(range(len(whole))) - {0, len(whole) // 2}:
        path.write_bytes(whole[:end])
        with pytest.raises(InvalidTable, match="cut off"):
            list(tfrecord.records(path))
    path.write_bytes((1 << 40).to_bytes(8, "little") + bytes(100))
    with pytest.raises(InvalidTable, match="cut off or damaged"):
        list(tfrecord.records(path))
    with pytest.raises(InvalidTable, match="No such file"):
        list(tfrecord.records(tmp_path / "absent"))


ONE = evaluation(1, 1, 0.5, 0.5, 0.5)
REFUSED = {
    "another module": ({"hash": "0" * 32}, "the hash of another cell"),
    "no list": ({"epochs": "108"}, "a record of another form"),
    "no epochs": ({"epochs": 0}, "a wrong number of epochs"),
    "a matrix that is no square": ({"adjacency": "010"}, "a matrix that does not fit"),
    "a matrix of other digits": ({"adjacency": "0200"}, "a matrix that does not fit"),
    "a matrix of another size": ({"adjacency": "010001000"}, "a matrix that does not fit"),
    "a loop": ({"adjacency": "0110"}, "on or below the diagonal"),
    "no path": ({"adjacency": "0000"}, "no cell of the space"),
    "an operation": ({"operations": "input,relu"}, "no cell of the space"),
    "no base64": ({"metrics": "a"}, "cannot be read"),
    "no metrics": ({"metrics": ""}, "metrics of another form"),
    "two evaluations": ({"metrics": metrics(5, ONE, ONE)}, "metrics of another form"),
    "no parameters": ({"metrics": metrics(0, ONE, ONE, ONE)}, "a wrong number of parameters"),
    "no accuracy": ({"metrics": metrics(5, ONE, ONE, ONE[:18])}, "without time or accuracy"),
    "cut metrics": ({"metrics": metrics(5, ONE, ONE, ONE)[:-1]}, "metrics that are cut off"),
    "not a number": ({"metrics": metrics(5, ONE, ONE, evaluation(1, 1, 0.5, float("nan"), 0.5))}, "no finite number"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_a_record_of_another_form_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    if isinstance(changes.get("metrics"), bytes):
        changes = {"metrics": base64.b64encode(changes["metrics"]).decode()}
    path = write(tmp_path / "a", record("1|", 108, 0, **changes))
    with pytest.raises(InvalidTable, match=message):
        nb101_tfrecord(path)


def test_what_is_incomplete_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a", record(TEXTS[0], 4, 0), record(TEXTS[0], 4, 1), record(TEXTS[1], 4, 0))
    with pytest.raises(InvalidTable, match=r"differ in how often they were trained: \[1, 2\]"):
        nb101_tfrecord(path)
    with pytest.raises(InvalidTable, match="a file without records"):
        nb101_tfrecord(write(tmp_path / "a"))


@given(st.binary(max_size=60))
def test_noise_in_a_record(data: bytes) -> None:
    with pytest.raises(InvalidTable):
        _parsed(data)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=3))
def test_changed_metrics(changes: list[tuple[int, int]]) -> None:
    changed = bytearray(metrics(5, ONE, ONE, ONE))
    for at, value in changes:
        changed[at % len(changed)] = value
    with suppress(InvalidTable):
        _parsed(record("1|", 108, 0, metrics=base64.b64encode(changed).decode()))
