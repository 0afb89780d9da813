"""NAS-Bench-201 and NATS-Bench archives, and HW-NAS-Bench: written here in the form that their readers describe."""

from __future__ import annotations

import bz2
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.errors import InvalidOption, InvalidTable
from nas_spaces.nasbench201 import NASBench201
from nas_spaces.tables import Table, natsbench
from nas_spaces.tables.convert import KINDS, convert, main
from nas_spaces.tables.hwnasbench import hwnasbench

SPACE = NASBench201()
TEXTS = [
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
]
SETS = {"cifar10-valid": ["x-valid", "ori-test"], "cifar10": ["ori-test"]}
SETS |= {name: ["x-valid", "x-test", "ori-test"] for name in ("cifar100", "ImageNet16-120")}
SEEDS = {"cifar10-valid": [777, 888], "cifar10": [777], "cifar100": [777], "ImageNet16-120": [777]}


def training(index: int, dataset: str, seed: int, epochs: int) -> dict[str, Any]:
    """Accuracy of set s after epoch e: 10 s + index + e / 1000, a hundred more for another seed; a second an epoch."""
    extra = 100.0 * (seed == 888)
    accuracies = {
        f"{name}@{e}": 10.0 * (s + 1) + index + e / 1000 + extra
        for s, name in enumerate(SETS[dataset])
        for e in range(epochs)
    }
    return {
        "name": "infer.tiny", "net_state_dict": None, "train_acc5es": None, "arch_config": {"channel": 16},
        "train_acc1es": OrderedDict((e, 5.0 + index + extra) for e in range(epochs)),
        "train_losses": OrderedDict((e, 1.0) for e in range(epochs)),
        "train_times": OrderedDict((e, 1.0) for e in range(epochs)),
        "params": np.float64(0.5) + index, "flop": 10.25 + index, "seed": seed, "epochs": epochs, "latency": [0.01],
        "eval_names": list(SETS[dataset]), "eval_acc1es": accuracies, "eval_times": {}, "eval_losses": {},
    }  # fmt: skip


def results(index: int, epochs: int) -> dict[str, Any]:
    trained = {(name, seed): training(index, name, seed, epochs) for name, seeds in SEEDS.items() for seed in seeds}
    return {
        "arch_index": index,
        "arch_str": TEXTS[index],
        "all_results": trained,
        "dataset_seed": dict(SEEDS),
        "clear_net_done": True,
    }


def cell(index: int) -> dict[str, Any]:
    return OrderedDict({"12": results(index, 12), "200": results(index, 200)})


def packed(path: Path, value: Any) -> None:
    path.write_bytes(bz2.compress(pickle.dumps(value, 4)))


def folder(path: Path, indices: tuple[int, ...] = (0, 1, 2)) -> Path:
    path.mkdir()
    packed(path / "meta.pickle.pbz2", {"meta_archs": TEXTS, "total_archs": 3, "evaluated_indexes": {0, 1, 2}})
    for index in indices:
        packed(path / f"{index:06d}.pickle.pbz2", cell(index))
    return path


def one_file(path: Path) -> Path:
    packed(path, {"meta_archs": TEXTS, "arch2infos": {i: cell(i) for i in range(3)}, "evaluated_indexes": {0, 1, 2}})
    return path


def torch_file(path: Path, new: bool) -> Path:
    torch = pytest.importorskip("torch")
    infos = {i: {"less": results(i, 12), "full": results(i, 200)} for i in range(3)}
    value = {"meta_archs": TEXTS, "arch2infos": infos, "evaluated_indexes": {0, 1, 2}}
    torch.save(value, path, _use_new_zipfile_serialization=new)
    return path


SOURCES: dict[str, Callable[[Path], Path]] = {
    "folder": lambda path: folder(path / "simple"),
    "file": lambda path: one_file(path / "all.pickle.pbz2"),
    "torch": lambda path: torch_file(path / "a.pth", True),
    "old torch": lambda path: torch_file(path / "a.pth", False),
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_every_form_gives_the_same_table(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    assert main(["natsbench-cifar10", str(make(tmp_path)), str(tmp_path / "out.npz")]) == 0
    table = Table.load(tmp_path / "out.npz")
    assert [SPACE.text(a) for a in table.architectures()] == TEXTS
    found = {name: table.column(name).tolist() for name in table.columns}
    assert found == {
        # the two seeds of cifar10-valid differ by 100; the other has one
        "train_accuracy@12": [55.0, 56.0, 57.0],
        "val_accuracy@12": pytest.approx([60.011, 61.011, 62.011]),
        "train_seconds@12": [12.0] * 3,
        "test_accuracy_half@12": pytest.approx([70.011, 71.011, 72.011]),
        "test_accuracy@12": pytest.approx([10.011, 11.011, 12.011]),
        "train_accuracy@200": [55.0, 56.0, 57.0],
        "val_accuracy@200": pytest.approx([60.199, 61.199, 62.199]),
        "train_seconds@200": [200.0] * 3,
        "test_accuracy_half@200": pytest.approx([70.199, 71.199, 72.199]),
        "test_accuracy@200": pytest.approx([10.199, 11.199, 12.199]),
        "params": [500_000.0, 1_500_000.0, 2_500_000.0],
        "benchmark_flops": [10_250_000.0, 11_250_000.0, 12_250_000.0],
    }
    assert set(table.meta["units"]) == set(table.metrics)


@pytest.mark.parametrize("dataset", ["cifar100", "ImageNet16-120"])
def test_other_datasets(tmp_path: Path, dataset: str) -> None:
    table = convert(f"natsbench-{dataset.lower()}", folder(tmp_path / "simple"))
    assert table.metrics == ("train_accuracy", "val_accuracy", "train_seconds", "test_accuracy", "params",
                             "benchmark_flops")  # fmt: skip
    assert table.column("val_accuracy").tolist() == pytest.approx([10.199, 11.199, 12.199])
    assert table.column("test_accuracy").tolist() == pytest.approx([20.199, 21.199, 22.199])  # x-test, not ori-test


def test_a_folder_may_hold_some_of_the_architectures(tmp_path: Path) -> None:
    path = folder(tmp_path / "simple", (0, 2))
    (path / "notes.pickle.pbz2").write_bytes(b"no number in the name: not read")
    assert [SPACE.text(a) for a in natsbench.natsbench(path).architectures()] == [TEXTS[0], TEXTS[2]]


def changed(index: int, change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    value = cell(index)
    change(value)
    return value


TRAINED = ("cifar10-valid", 777)
CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a schedule": (lambda c: c.update({"90": c.pop("200")}), "an unknown schedule: '90'"),
    "another cell": (lambda c: c["12"].update(arch_str=TEXTS[0]), "results of another architecture"),
    "a training less": (lambda c: c["12"]["all_results"].pop(TRAINED), "a training of another form"),
    "no seeds": (lambda c: c["12"]["dataset_seed"].update({"cifar10-valid": ["a"]}), "seeds of another form"),
    "other epochs": (lambda c: c["12"]["all_results"][TRAINED].update(epochs=11), "another number of epochs"),
    "no last epoch": (lambda c: c["12"]["all_results"][TRAINED]["train_acc1es"].pop(11), "where a number is expected"),
    "some seeds": (lambda c: c["12"]["all_results"][TRAINED]["eval_acc1es"].pop("x-valid@11"), "of some seeds only"),
    "some cells": (lambda c: c.pop("12"), "of 2 architectures of 3 only"),
    "no number": (lambda c: c["12"]["all_results"][TRAINED].update(params="1"), "where a number is expected"),
    "a huge number": (lambda c: c["12"]["all_results"][TRAINED].update(params=10**400), "a number that is too large"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_what_has_another_form_is_refused(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    path = folder(tmp_path / "simple", (0, 2))
    packed(path / "000001.pickle.pbz2", changed(1, change))
    with pytest.raises(InvalidTable, match=message):
        natsbench.natsbench(path)


def test_damaged_and_hostile_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder(tmp_path / "simple")
    whole = (path / "000001.pickle.pbz2").read_bytes()
    for content, message in (
        (whole[:-9], "cut off"),
        (b"no bzip2", "cannot be read"),
        (bz2.compress(b"\x80\x04" + b"N" * (1 << 26) + b"."), "unpacks to more than an honest one"),
        (bz2.compress(b"cos\nsystem\n(S'touch x'\ntR."), r"os\.system.*000001"),
        (bz2.compress(pickle.dumps([1])), "an architecture of another form"),
    ):
        (path / "000001.pickle.pbz2").write_bytes(content)
        with pytest.raises(InvalidTable, match=message):
            natsbench.natsbench(path)
    for name in ("absent", "absent.pickle.pbz2"):
        assert main(["natsbench-cifar10", str(tmp_path / name), str(tmp_path / "out.npz")]) == 2
        assert capsys.readouterr().err.startswith("error: the file cannot be read")
    (tmp_path / "a.pth").write_bytes(b"")
    with pytest.raises(InvalidTable, match="cannot be read"):
        natsbench.natsbench(tmp_path / "a.pth")
    (tmp_path / "a.pth").write_bytes(pickle.dumps(5))
    with pytest.raises(InvalidTable, match="no file of torch's"):
        natsbench.natsbench(tmp_path / "a.pth")
    with pytest.raises(InvalidOption, match="no such dataset"):
        natsbench.natsbench(path, "mnist")


def test_tensors_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for new in (True, False):
        torch.save({"meta_archs": TEXTS, "arch2infos": {0: torch.zeros(3)}}, tmp_path / "a.pth",
                   _use_new_zipfile_serialization=new)  # fmt: skip
        with pytest.raises(InvalidTable, match=r"torch\._utils|torch's tensors"):
            natsbench.natsbench(tmp_path / "a.pth")


# HW-NAS-Bench


def hardware(path: Path, as_arrays: bool = False, **changes: Any) -> Path:
    configurations = [{"name": "infer.tiny", "C": 16, "N": 5, "arch_str": text, "num_classes": 10} for text in TEXTS]
    given: dict[str, Any] = {"config": configurations, "edgegpu_latency": [5.8, 1.0, 2.0]}
    given |= {"edgegpu_energy": [24.2, 1, 2], "pixel3_latency": [np.float64(3.6), 0.05, 4.0]}
    given |= {"eyeriss_arithmetic_intensity": [16.5, 2.0, 3.0]}
    if as_arrays:
        given = {name: np.array(values) for name, values in given.items()}
    given |= changes
    path.write_bytes(pickle.dumps({"nasbench201": {"cifar10": given}, "fbnet": {"cifar100": {}}}, 2 + 2 * as_arrays))
    return path


@pytest.mark.parametrize("as_arrays", [False, True])
def test_latencies_become_a_table(tmp_path: Path, as_arrays: bool) -> None:
    assert main(["hwnasbench-cifar10", str(hardware(tmp_path / "hw", as_arrays)), str(tmp_path / "out.npz")]) == 0
    table = Table.load(tmp_path / "out.npz")
    assert {name: table.column(name).tolist() for name in table.columns} == {
        "latency_edgegpu": [5.8, 1.0, 2.0],
        "energy_edgegpu": [24.2, 1.0, 2.0],
        "latency_pixel3": [3.6, 0.05, 4.0],
        "arithmetic_intensity_eyeriss": [16.5, 2.0, 3.0],
    }
    assert table.meta["units"]["energy_edgegpu"] == "mJ"
    assert table.meta["objective"] == "min:latency_edgegpu"
    assert [SPACE.text(a) for a in table.architectures()] == TEXTS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": []}, "no architectures"),
        ({"config": [{"arch_str": TEXTS[0]}] * 3}, "one that is there twice"),
        ({"config": [{"arch_str": "|a~0|"}] * 3}, "configuration 0 .* is no architecture"),
        ({"config": ["a"] * 3}, "has no text of an architecture"),
        ({"edgegpu_latency": [1.0, 2.0]}, "no list of a number for each architecture: 2"),
        ({"edgegpu_latency": ["a", "b", "c"]}, "no list of a number"),
        ({"edgegpu_latency": [10**400, 1, 1]}, "too large"),
        ({"edgegpu_latency": [float("nan"), 1, 1]}, "no finite number in row 0"),
        ({"edgegpu_latency": 5.0}, "is no list: 'float'"),
        ({"size": [1, 2, 3]}, "a list of what is not known: 'size'"),
        ({7: [1, 2, 3]}, "a list of what is not known: '7'"),
        ({"call_latency": os.system}, r"'posix.system'"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, changes: dict[Any, Any], message: str) -> None:
    path = hardware(tmp_path / "hw", **{str(name): value for name, value in changes.items()})
    with pytest.raises(InvalidTable, match=message):
        hwnasbench(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "hw"
    with pytest.raises(InvalidTable, match="cannot be read"):
        hwnasbench(path)
    path.write_bytes(pickle.dumps({"nasbench201": {}}))
    with pytest.raises(InvalidTable, match="no dict 'cifar10'"):
        hwnasbench(path)
    with pytest.raises(InvalidOption, match="no such dataset"):
        hwnasbench(path, "mnist")
    with pytest.raises(InvalidOption, match="no reader has this name"):
        convert("nothing", path)
    assert set(KINDS) > {"nb101", "nb201"}
