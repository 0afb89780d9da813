"""Conversion of published arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.errors import InvalidTable
from nas_spaces.nasbench201 import OPERATIONS, NASBench201
from nas_spaces.tables import Table
from nas_spaces.tables.check import problems
from nas_spaces.tables.convert import KINDS, main
from nas_spaces.tables.recognise import ARRAYS, NAMES

SPACE = NASBench201()


def f32(values: list[float]) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.float32)


def sources(folder: Path, latency: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Arrays of three rows in the form of the published ones; the operations are in an order of their own."""
    ops = np.array([[0, 1, 2, 3, 4, 0], [4, 4, 4, 4, 4, 4], [1, 1, 1, 1, 1, 1]], dtype=np.uint8)
    names = np.array(OPERATIONS[::-1])
    accuracies = ("train_e200", "val_e200", "testhalf_e200", "test_e200", "test_e200_oneseed", "val_e12", "test_e12")
    main_arrays: dict[str, Any] = {"ops": ops, "op_names": names}
    main_arrays |= {f"c10_{name}": f32([i, i + 0.5, 10]) for i, name in enumerate(accuracies)}
    main_arrays |= {"c10_params_M": f32([0.073306, 0.802426, 1.531546])}
    main_arrays |= {"c10_flops_M": f32([7.943872, 15.685312, 222.860992])}
    devices = ("pixel3", "raspi4", "gold_6226", "1080ti_1", "1080ti_32", "1080ti_256")
    latencies: dict[str, Any] = {"ops": ops, "op_names": names}
    latencies |= {f"help_{device}_lat_ms": f32([i, 2 * i, 3 * i]) for i, device in enumerate(devices)}
    np.savez(folder / "nb201_c10.npz", **main_arrays | changes)
    np.savez(folder / "nb201_latency.npz", **latencies | (latency or {}))
    return folder


def test_arrays_become_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nb201", str(sources(tmp_path)), str(tmp_path / "out.npz")]) == 0
    assert "3 rows of nasbench201" in capsys.readouterr().out
    table = Table.load(tmp_path / "out.npz")
    assert isinstance(table.space, NASBench201)
    assert [a.values for a in table.architectures()] == [
        tuple(OPERATIONS[4 - k] for k in row) for row in ([0, 1, 2, 3, 4, 0], [4] * 6, [1] * 6)
    ]
    assert table.columns == (
        "train_accuracy@200", "val_accuracy@200", "val_accuracy@12", "test_accuracy_half@200", "test_accuracy@200",
        "test_accuracy@12", "test_accuracy_oneseed@200", "params", "benchmark_flops", "latency_pixel3",
        "latency_raspi4", "latency_gold_6226", "latency_1080ti_1", "latency_1080ti_32", "latency_1080ti_256",
    )  # fmt: skip
    assert table.column("params").tolist() == [73_306, 802_426, 1_531_546]
    assert table.column("val_accuracy").tolist() == [1.0, 1.5, 10.0]
    assert table.column("val_accuracy@12").tolist() == [5.0, 5.5, 10.0]
    assert table.column("latency_1080ti_32").tolist() == [4.0, 8.0, 12.0]
    assert table.meta["units"]["params"] == "1"
    assert set(table.meta["units"]) == set(table.metrics)
    assert not table.failed(12).any()


def test_what_is_not_finite_is_marked_as_failed(tmp_path: Path) -> None:
    nan = float("nan")
    latency = {"help_pixel3_lat_ms": f32([1, 2, nan])}
    folder = sources(tmp_path, latency, c10_val_e12=f32([1, nan, 3]))
    assert main(["nb201", str(folder), str(tmp_path / "out.npz")]) == 0
    table = Table.load(tmp_path / "out.npz")
    assert table.failed().tolist() == [False, False, True]
    assert table.failed(12).tolist() == [False, True, True]
    assert table.failed(200).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"op_names": np.array(["none", "skip", "a", "b", "c"])}, "the operations have other names"),
        ({"ops": np.full((3, 6), 5, dtype=np.uint8)}, "'ops' holds no numbers of operations"),
        ({"ops": np.zeros((3, 6), dtype=np.uint8)}, "the latencies are of other rows"),
        ({"c10_val_e200": f32([1, 2])}, "'val_accuracy@200' has a wrong shape"),
        ({"ops": np.array([None])}, "pickled objects"),
    ],
)
def test_what_does_not_fit_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    folder = sources(tmp_path)
    with np.load(folder / "nb201_c10.npz") as arrays:
        np.savez(folder / "nb201_c10.npz", **{**arrays, **changes})
    assert main(["nb201", str(folder), str(tmp_path / "out.npz")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not (tmp_path / "out.npz").exists()


def test_missing_arrays_and_files_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nb201", str(tmp_path), str(tmp_path / "out.npz")]) == 2
    assert "no such table file" in capsys.readouterr().err
    folder = sources(tmp_path)
    np.savez(folder / "nb201_latency.npz", ops=np.zeros((1, 6), dtype=np.uint8))
    assert main(["nb201", str(folder), str(tmp_path / "out.npz")]) == 2
    assert "there is no array 'op_names'" in capsys.readouterr().err
    assert main(["nb201", str(sources(tmp_path)), str(tmp_path / "absent" / "out.npz")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_published_arrays(published: Path, tmp_path: Path) -> None:
    assert main(["nb201", str(published), str(tmp_path / "nb201.npz")]) == 0
    table = Table.load(tmp_path / "nb201.npz")
    assert len(table) == len(table.architectures()) == 15_625
    validation, test = table.column("val_accuracy"), table.column("test_accuracy")
    assert int(validation.argmax()) == 6111  # published optima: validation 91.61, test 94.37
    assert round(validation.max(), 2) == 91.61
    assert round(test.max(), 2) == 94.37
    best = table.architecture(6111)
    assert SPACE.text(best) == (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
    )
    assert table.lookup([best], "params")[0] == 1_073_466
    assert not table.failed(200).any()


def test_a_raw_source_is_told_from_a_damaged_table(tmp_path: Path) -> None:
    """The message names the command, and the command takes the very file."""
    folder = sources(tmp_path)
    for name in ("nb201_c10.npz", "nb201_latency.npz"):
        with pytest.raises(InvalidTable, match=r"Make a table of it: nas table convert nb201 FILE OUT\.npz$"):
            Table.load(folder / name)
        assert "nas table convert nb201 FILE" in problems(folder / name)[0]
        assert main(["nb201", str(folder / name), str(tmp_path / "out.npz")]) == 0
    np.savez(tmp_path / "own.npz", val_accuracy=np.ones(3))
    with pytest.raises(InvalidTable, match=r"convert KIND FILE OUT\.npz, where KIND is one of nb101, .*, darts214, "):
        Table.load(tmp_path / "own.npz")
    (tmp_path / "nasbench_only108.tfrecord").write_bytes(b"\x00" * 40)
    with pytest.raises(InvalidTable, match=r"nas table convert nb101-tfrecord FILE"):
        Table.load(tmp_path / "nasbench_only108.tfrecord")
    (tmp_path / "x.npz").write_bytes(b"\x00" * 40)
    with pytest.raises(InvalidTable, match=r"Copy or convert it again"):
        Table.load(tmp_path / "x.npz")


def test_what_is_recognised_can_be_read() -> None:
    assert {*ARRAYS.values(), *NAMES} <= set(KINDS)


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("nb101_20k.npz", "nb101"),
        ("nb201_c10.npz", "nb201"),
        ("nb201_latency.npz", "nb201"),
        ("darts214_c10.npz", "darts214"),
        ("zero_cost.npz", "nb301"),
        ("nasbench_nlp_wikitext2.json.gz", "nlp"),
        ("nb101_space.npz", "KIND"),
    ],
)
def test_the_published_arrays_are_recognised(published: Path, file: str, kind: str) -> None:
    with pytest.raises(InvalidTable, match=f"nas table convert {kind} FILE"):
        Table.load(published / file)
