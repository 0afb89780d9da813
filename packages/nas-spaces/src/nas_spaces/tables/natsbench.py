"""The public archives of NAS-Bench-201 and of NATS-Bench's topology space, which hold the same 15,625 cells.

Dong and Yang 2020, "NAS-Bench-201"; Dong, Liu, Musial, Gabrys 2021, "NATS-Bench". Three forms are read, by
`nas_spaces.tables.unpickle`:

    NATS-tss-v1_0-3ffb9-simple/          a folder: `meta.pickle.pbz2`, and `000000.pickle.pbz2`, … one for each cell
    NATS-tss-v1_0-3ffb9.pickle.pbz2      all of it in one file
    NAS-Bench-201-v1_1-096897.pth        the same, written by torch, as a zip file or as torch wrote before that

A `.pbz2` file is one pickle, packed by bzip2. `meta` is {"meta_archs": [text of each cell], …}; one file for all is
{"meta_archs": …, "arch2infos": {index: cell}, "evaluated_indexes": …}. A cell is {schedule: results}, where a schedule
is "12" or "200", the number of epochs ("less" and "full" in the `.pth` file), and results are

    {"arch_index": …, "arch_str": its text, "dataset_seed": {dataset: [seeds]},
     "all_results": {(dataset, seed): training}}

A training is {"epochs": …, "params": millions, "flop": millions, "train_acc1es": {epoch: %}, "train_times": {epoch: s}
or None, "eval_acc1es": {"set@epoch": %}, …} with epochs from 0. The datasets are "cifar10-valid" (trained on half of
the training images), "cifar10" (on all of them), "cifar100" and "ImageNet16-120"; the sets "x-valid", "x-test" and
"ori-test", which is the test set of CIFAR-10, and validation and test together elsewhere.

The folder is read cell by cell. One file for all is taken into memory whole, curves of every epoch and all.
"""

from __future__ import annotations

import bz2
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from nas_core.errors import InvalidArchitecture, InvalidOption, InvalidTable
from nas_spaces.nasbench201 import NASBench201
from nas_spaces.tables.npz import Arrays
from nas_spaces.tables.table import Table
from nas_spaces.tables.unpickle import unpickle

MOST_PACKED: Final = 500
"""How many bytes at most are taken out of one byte of a `.pbz2` file."""

_EXTENSION = ".pickle.pbz2"
_EPOCHS: Mapping[str, int] = {"12": 12, "200": 200, "less": 12, "full": 200}
_MAGIC = 0x1950A86A20F9469CFC6C
_CHUNK = 1 << 20
_LEAST = 1 << 20
_LONGEST_TEXT = 200

_Row: TypeAlias = dict[str, float]


class _Split(NamedTuple):
    """Where a metric stands: the dataset that was trained on, and the set that was evaluated."""

    dataset: str
    evaluated: str


_SPLITS: Mapping[str, Mapping[str, _Split]] = {
    "cifar10": {
        "train_accuracy": _Split("cifar10-valid", "train"),
        "val_accuracy": _Split("cifar10-valid", "x-valid"),
        "test_accuracy_half": _Split("cifar10-valid", "ori-test"),
        "test_accuracy": _Split("cifar10", "ori-test"),
    },
    **{
        name: {
            "train_accuracy": _Split(name, "train"),
            "val_accuracy": _Split(name, "x-valid"),
            "test_accuracy": _Split(name, "x-test"),
        }
        for name in ("cifar100", "ImageNet16-120")
    },
}
DATASETS: Final = tuple(_SPLITS)
"""The datasets of which there are results."""


def natsbench(source: Path, dataset: str = "cifar10") -> Table:
    """The results of one dataset, a row an architecture, the last epoch of each schedule, means over its seeds.

    Accuracies in % and `train_seconds` of the trainings that `val_accuracy` is of, `@12` and `@200`; `params`;
    `benchmark_flops`. On CIFAR-10 the names are those of the table that `nas_spaces.tables.convert.nb201` makes:
    `test_accuracy` is of networks trained on all training images, the rest of those trained on half of them. What no
    architecture has is left out; what some have and some have not is an error. Latencies are not read.

    Args:
        source: the folder or the file.
        dataset: "cifar10", "cifar100" or "ImageNet16-120".

    Raises:
        InvalidOption: another dataset.
        InvalidTable: the source is damaged, holds anything but plain data, or has another form.
    """
    if dataset not in _SPLITS:
        raise InvalidOption("the benchmark has no such dataset", value=dataset, expected=", ".join(DATASETS))
    texts, cells = _folder(source) if source.is_dir() else _file(source)
    space, rows, numbers, seen = NASBench201(), [], [], set()
    for index, cell in cells:
        try:
            text = _text(texts, index)
            numbers.append(space.tokens(space.parse(text)))
            rows.append(_row(cell, text, _SPLITS[dataset]))
            if text in seen:
                raise InvalidTable("an architecture that is there twice", value=text)
            seen.add(text)
        except InvalidArchitecture as error:
            raise InvalidTable(f"architecture {index} is none: {error}", place=str(source)) from None
        except InvalidTable as error:
            raise error.at(f"{source}, architecture {index}") from None
    if not rows:
        raise InvalidTable("no architecture has results", place=str(source))
    columns = _columns(rows, source)
    units = dict.fromkeys(_SPLITS[dataset], "%") | {"train_seconds": "s", "params": "1", "benchmark_flops": "1"}
    present = {name.partition("@")[0] for name in columns}
    meta = {
        "name": f"NAS-Bench-201 {dataset}",
        "space": NASBench201.name,
        "source": "NAS-Bench-201 (Dong and Yang, 2020), from its or NATS-Bench's (Dong et al., 2021) public archive",
        "licence": "MIT",
        "units": {name: unit for name, unit in units.items() if name in present},
        "objective": "max:val_accuracy",
    }
    return Table(meta, {"decisions": np.array(numbers, dtype=np.int8), **columns})


def _columns(rows: list[_Row], source: Path) -> Arrays:
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        lacking = [i for i, row in enumerate(rows) if name not in row]
        if lacking:
            raise InvalidTable(
                f"{name} is there of {len(rows) - len(lacking)} architectures of {len(rows)} only", place=str(source)
            )
    return {name: np.array([row[name] for row in rows]) for name in names}


def _row(cell: Any, text: str, splits: Mapping[str, _Split]) -> _Row:
    """The metrics of an architecture."""
    row: _Row = {}
    costs: _Row = {}
    for schedule, results in _mapping(cell, "an architecture").items():
        if schedule not in _EPOCHS:
            raise InvalidTable("an unknown schedule", value=str(schedule)[:20], expected="12 or 200 epochs")
        if _mapping(results, "results").get("arch_str") != text:
            raise InvalidTable("results of another architecture", expected=text)
        epochs = _EPOCHS[schedule]
        for metric, (dataset, evaluated) in splits.items():
            trainings = _trainings(results, dataset, epochs)
            _add(row, f"{metric}@{epochs}", [_accuracy(training, evaluated, epochs) for training in trainings])
            if metric == "val_accuracy":
                _add(row, f"train_seconds@{epochs}", [_seconds(training, epochs) for training in trainings])
                _add(costs, "params", [1e6 * _number(training.get("params")) for training in trainings])
                _add(costs, "benchmark_flops", [1e6 * _number(training.get("flop")) for training in trainings])
    return row | {name: float(np.rint(value)) for name, value in costs.items()}


def _add(row: _Row, name: str, values: list[float | None]) -> None:
    """The mean of what the seeds gave; nothing where there is none."""
    given = [value for value in values if value is not None]
    if len(given) < len(values) and given:
        raise InvalidTable(f"{name} is there of some seeds only")
    if given:
        row[name] = float(np.mean(given))


def _trainings(results: Mapping[Any, Any], dataset: str, epochs: int) -> list[Mapping[Any, Any]]:
    """One of each seed, in the order of the file; [] where the dataset was not trained on."""
    trained = _mapping(results.get("all_results"), "the trainings")
    seeds = _mapping(results.get("dataset_seed"), "the seeds").get(dataset, [])
    if type(seeds) is not list or any(type(seed) is not int for seed in seeds):
        raise InvalidTable("seeds of another form", value=dataset)
    found = [_mapping(trained.get((dataset, seed)), "a training") for seed in seeds]
    for training in found:
        if training.get("epochs") != epochs:
            raise InvalidTable("a training of another number of epochs", expected=str(epochs))
    return found


def _accuracy(training: Mapping[Any, Any], evaluated: str, epochs: int) -> float | None:
    """After the last epoch, in %; None where it was not evaluated on the set."""
    if evaluated == "train":
        return _number(_mapping(training.get("train_acc1es"), "the accuracies").get(epochs - 1))
    accuracies = _mapping(training.get("eval_acc1es"), "the accuracies")
    at = f"{evaluated}@{epochs - 1}"
    return _number(accuracies[at]) if at in accuracies else None


def _seconds(training: Mapping[Any, Any], epochs: int) -> float | None:
    """Of all epochs; None where they were not taken."""
    if training.get("train_times") is None:
        return None
    times = _mapping(training["train_times"], "the times")
    return sum(_number(times.get(epoch)) for epoch in range(epochs))


def _mapping(value: Any, what: str) -> Mapping[Any, Any]:
    if type(value) is not dict:
        raise InvalidTable(f"{what} of another form", value=type(value).__name__, expected="a dict")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise InvalidTable("something else where a number is expected", value=type(value).__name__)
    try:
        return float(value)
    except OverflowError:
        raise InvalidTable("a number that is too large") from None


def _text(texts: Any, index: int) -> str:
    if type(texts) is not list or not 0 <= index < len(texts) or type(texts[index]) is not str:
        raise InvalidTable("no text of the architecture in meta_archs")
    text: str = texts[index]
    if len(text) > _LONGEST_TEXT:
        raise InvalidTable("the text of the architecture is too long", value=len(text))
    return text


def _folder(path: Path) -> tuple[Any, Iterator[tuple[int, Any]]]:
    """The texts of all architectures, and each that has a file, read when it is wanted."""
    meta = path / f"meta{_EXTENSION}"
    texts = _mapping(_loaded(meta), str(meta)).get("meta_archs")
    stems = [file.name.removesuffix(_EXTENSION) for file in path.glob(f"*{_EXTENSION}")]
    numbers = sorted(int(stem) for stem in stems if len(stem) == 6 and stem.isascii() and stem.isdigit())
    return texts, ((number, _loaded(path / f"{number:06d}{_EXTENSION}")) for number in numbers)


def _file(path: Path) -> tuple[Any, Iterator[tuple[int, Any]]]:
    whole = _mapping(_loaded(path) if path.name.endswith(".pbz2") else _torch(path), str(path))
    cells = _mapping(whole.get("arch2infos"), f"arch2infos in {path}")
    if any(type(index) is not int for index in cells):
        raise InvalidTable("architectures without numbers", place=str(path))
    return whole.get("meta_archs"), iter(sorted(cells.items()))


def _loaded(path: Path) -> Any:
    """What a pickle packed by bzip2 holds."""
    try:
        return unpickle(_unpacked(path)).value
    except OSError as error:
        raise InvalidTable(f"the file cannot be read ({error.strerror or error})", value=str(path)) from None
    except InvalidTable as error:
        raise error.at(str(path)) from None


def _unpacked(path: Path) -> bytes:
    """The bytes of a `.pbz2` file, as long as they are in proportion to it."""
    most = max(path.stat().st_size * MOST_PACKED, _LEAST)
    unpacker, parts, size = bz2.BZ2Decompressor(), [], 0
    with path.open("rb") as file:
        while not unpacker.eof:
            packed = file.read(_CHUNK) if unpacker.needs_input else b""
            if unpacker.needs_input and not packed:
                raise InvalidTable("the file is cut off")
            parts.append(unpacker.decompress(packed, _CHUNK))
            size += len(parts[-1])
            if size > most:
                raise InvalidTable("the file unpacks to more than an honest one", expected=f"at most {most} bytes")
    return b"".join(parts)


def _torch(path: Path) -> Any:
    """What torch's `save` wrote, where it holds no tensors."""
    try:
        if zipfile.is_zipfile(path):
            return _torch_zip(path)
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            magic = unpickle(data)
            if magic.value != _MAGIC:
                raise InvalidTable("no file of torch's")
            version = unpickle(data, magic.end)
            machine = unpickle(data, version.end)
            return unpickle(data, machine.end).value
    except InvalidTable as error:
        raise error.at(str(path)) from None
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise InvalidTable(f"the file cannot be read ({error})", value=str(path)) from None


def _torch_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith("/data.pkl")]
        if len(members) != 1 or members[0].compress_type != zipfile.ZIP_STORED or members[0].flag_bits & 1:
            raise InvalidTable("no file of torch's", expected="one data.pkl, not packed")
        if members[0].file_size > path.stat().st_size:
            raise InvalidTable("data.pkl declares more than the file holds", value=members[0].file_size)
        return unpickle(archive.read(members[0])).value
