"""The public files of NAS-Bench-101, `nasbench_only108.tfrecord` and `nasbench_full.tfrecord`, without TensorFlow.

Each record is the JSON list

    [module_hash, epochs, adjacency, operations, metrics]

`adjacency` is the v x v matrix as a text of 0 and 1, row by row; `operations` are v labels joined by commas, the input
and the output among them; `metrics` is a protocol buffer in base64:

    ModelMetrics     1 evaluation_data: at the start, half-way and at the end of a training   2 trainable_parameters
                     3 total_time
    EvaluationData   1 current_epoch   2 training_time (s)   3 train_accuracy   4 validation_accuracy
                     5 test_accuracy (0 to 1)   6 checkpoint_path

There is a record for every training: several of each module at each number of epochs (three in the public files).
"""

from __future__ import annotations

import binascii
import json
import struct
from array import array
from collections.abc import Iterator
from math import isqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidArchitecture, InvalidTable
from nas_core.graph import Graph
from nas_spaces.nasbench101 import OPERATIONS, NASBench101
from nas_spaces.nasbench101_wirings import PAIRS
from nas_spaces.tables.npz import Arrays
from nas_spaces.tables.table import Table
from nas_spaces.tables.tfrecord import records

_RESULTS = {2: "train_seconds", 3: "train_accuracy", 4: "val_accuracy", 5: "test_accuracy"}
"""What is kept of the evaluation at the end, by the number of its field."""
_UNITS = {"train_seconds": "s", "train_accuracy": "%", "val_accuracy": "%", "test_accuracy": "%", "params": "1"}
_EVALUATIONS = 3
_MOST_VERTICES = 7
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


class _Record(NamedTuple):
    """What is kept of a record; results in the order of `_RESULTS`."""

    module: str
    epochs: int
    adjacency: str
    operations: str
    parameters: int
    results: tuple[float, ...]


def nb101_tfrecord(source: Path) -> Table:
    """NAS-Bench-101 as published: every training a row, so that the repeats of a module are its replicates.

    Accuracies in %, seconds of training, each `@` the epochs of the training's own schedule; trainable parameters.
    Vertices stand in the order of the file, in which the parameters are exact. Every module's hash is compared with
    that of its cell.

    Args:
        source: the file.

    Raises:
        InvalidTable: it is damaged, a record has another form, a module is no cell of the space or has another hash,
            or modules differ in how often they were trained.
    """
    space = NASBench101()
    rows: dict[str, int] = {}
    cells: list[Architecture] = []
    parameters = array("q")
    trained, epochs, results = array("q"), array("q"), array("d")
    for number, data in enumerate(records(source)):
        try:
            record = _parsed(data)
            if record.module not in rows:
                rows[record.module] = len(rows)
                cells.append(_cell(record, space))
                parameters.append(record.parameters)
        except InvalidTable as error:
            raise error.at(f"{source}, record {number} (counted from 0)") from None
        trained.append(rows[record.module])
        epochs.append(record.epochs)
        results.extend(record.results)
    if not cells:
        raise InvalidTable("a file without records", place=str(source))
    columns, repeats = _columns(
        np.array(trained), np.array(epochs), np.array(results).reshape(-1, len(_RESULTS)), len(cells), source
    )
    decisions = np.repeat(np.array([_numbers(cell) for cell in cells], dtype=np.int8), repeats, axis=0)
    meta = {
        "name": "NAS-Bench-101",
        "space": NASBench101.name,
        "source": "NAS-Bench-101 (Ying et al., 2019), its public TFRecord file",
        "licence": "Apache-2.0",
        "units": _UNITS,
        "objective": "max:val_accuracy",
    }
    return Table(meta, {"decisions": decisions, **columns, "params": np.repeat(np.array(parameters), repeats)})


def _columns(
    trained: NDArray[np.int64], epochs: NDArray[np.int64], results: NDArray[np.float64], n: int, source: Path
) -> tuple[Arrays, int]:
    """The metrics by name, rows sorted by module (n) and repeat, and the number of repeats."""
    columns: Arrays = {}
    found = set()
    for at in np.unique(epochs).tolist():
        here = np.flatnonzero(epochs == at)
        counts = np.bincount(trained[here], minlength=n)
        found |= {int(counts.min()), int(counts.max())}
        order = here[np.argsort(trained[here], kind="stable")]
        for k, name in enumerate(_RESULTS.values()):
            columns[f"{name}@{at}"] = results[order, k] * (100.0 if _UNITS[name] == "%" else 1.0)
    if len(found) > 1:
        raise InvalidTable(
            "modules differ in how often they were trained", value=sorted(found), place=str(source), expected="the same"
        )
    return columns, found.pop()


def _parsed(data: bytes) -> _Record:
    """A record.

    Raises:
        InvalidTable: it has another form.
    """
    try:
        listed = json.loads(data)
        if not isinstance(listed, list) or [type(part) for part in listed] != [str, int, str, str, str]:
            raise InvalidTable("a record of another form", expected="[hash, epochs, adjacency, operations, metrics]")
        metrics = binascii.a2b_base64(listed[4])
    except (ValueError, RecursionError) as error:
        raise InvalidTable(f"a record that cannot be read ({error})") from None
    module, epochs, adjacency, operations, _ = listed
    if epochs < 1 or epochs >= 1 << 31:
        raise InvalidTable("a record of a wrong number of epochs", value=epochs)
    fields = list(_fields(metrics))
    evaluations = [value for number, value in fields if number == 1]
    parameters = [value for number, value in fields if number == 2]
    if len(evaluations) != _EVALUATIONS or len(parameters) != 1 or type(parameters[0]) is not int:
        raise InvalidTable("metrics of another form", expected="three evaluations and the number of parameters")
    if not 0 < parameters[0] < 1 << 31:
        raise InvalidTable("a wrong number of parameters", value=parameters[0])
    return _Record(module, epochs, adjacency, operations, parameters[0], _results(evaluations[-1]))


def _results(evaluation: Any) -> tuple[float, ...]:
    found = dict(_fields(evaluation)) if type(evaluation) is bytes else {}
    if any(type(found.get(number)) is not float for number in _RESULTS):
        raise InvalidTable("an evaluation without time or accuracy")
    return tuple([found[number] for number in _RESULTS])  # type: ignore[misc]


def _fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Number and value of each field of a protocol buffer: an int, a double as float, or bytes.

    Raises:
        InvalidTable: it is cut off or holds a field of another kind.
    """
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise InvalidTable("metrics with a field that cannot be read", value=tag)
        if length > len(data) - at:
            raise InvalidTable("metrics that are cut off")
        content = data[at : at + length]
        at += length
        yield number, struct.unpack("<d", content)[0] if kind == _EIGHT_BYTES else content


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A whole number of seven bits a byte, the lowest first, and where it ends."""
    value = 0
    for k, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * k
        if byte < 0x80:
            return value, at + k + 1
    raise InvalidTable("metrics that are cut off")


def _cell(record: _Record, space: NASBench101) -> Architecture:
    """The cell of a record; raises InvalidTable where it is none or its hash is another."""
    labels = tuple(record.operations.split(","))
    v = isqrt(len(record.adjacency))
    if (
        set(record.adjacency) - {"0", "1"}
        or v * v != len(record.adjacency)
        or not 2 <= v == len(labels) <= _MOST_VERTICES
    ):
        raise InvalidTable("a matrix that does not fit its operations", value=record.adjacency)
    ones = [divmod(k, v) for k, bit in enumerate(record.adjacency) if bit == "1"]
    if any(i >= j for i, j in ones):
        raise InvalidTable("a matrix with ones on or below the diagonal", value=record.adjacency)
    try:
        cell = space.from_graphs({"cell": Graph(labels, tuple(ones))})
    except InvalidArchitecture as error:
        raise InvalidTable(f"a module that is no cell of the space: {error}") from None
    if space.published_hash(cell) != record.module:
        raise InvalidTable("a module with the hash of another cell", value=record.module)
    return cell


def _numbers(cell: Architecture) -> list[int]:
    bits, operations = cell.values[: len(PAIRS)], cell.values[len(PAIRS) :]
    return [*map(int, bits), *(-1 if o is None else OPERATIONS.index(str(o)) for o in operations)]  # type: ignore[arg-type]
