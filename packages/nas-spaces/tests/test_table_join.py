"""Tables are joined by architecture, and all that is wrong with one is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.errors import InvalidOption, InvalidTable
from nas_spaces.tables import Table
from nas_spaces.tables.check import problems
from nas_spaces.tables.join import join
from nas_spaces.tables.npz import write_arrays

SPACE = {"name": "x", "decisions": {"width": [16, 32, 64], "op": ["a", "b"]}}


def meta(**changes: Any) -> dict[str, Any]:
    given = {"name": "t", "space": SPACE, "source": "s", "licence": "MIT", "units": {}, "objective": "max:val_accuracy"}
    return given | changes


def accuracies(rows: Sequence[tuple[int, int]], failed: Sequence[bool] | None = None) -> Table:
    arrays: dict[str, Any] = {"decisions": np.array(rows), "val_accuracy@4": np.arange(float(len(rows)))}
    if failed is not None:
        arrays["failed"] = np.array(failed)
    return Table(meta(units={"val_accuracy": "%"}), arrays)


def latencies(texts: Sequence[str], values: Sequence[float], **more: Any) -> Table:
    changed = meta(source="other", licence="BSD", units={"latency_phone": "ms"}, objective="min:latency_phone")
    return Table(changed, {"architecture": np.array(texts), "latency_phone": np.array(values), **more})


def text(width: int, op: str) -> str:
    return json.dumps({"width": width, "op": op}, separators=(",", ":"))


ONE, TWO, THREE = text(16, "a"), text(32, "b"), text(64, "a")


def test_metrics_are_added_by_architecture() -> None:
    first = accuracies([(1, 1), (0, 0), (1, 1)])  # two, one, two
    table = join(first, latencies([ONE, THREE, TWO], [1.0, 3.0, 2.0]))
    assert table.column("latency_phone").tolist() == [2.0, 1.0, 2.0]
    assert table.column("val_accuracy@4").tolist() == [0.0, 1.0, 2.0]
    assert table.columns == ("val_accuracy@4", "latency_phone")
    assert table.meta["units"] == {"val_accuracy": "%", "latency_phone": "ms"}
    assert table.meta["objective"] == "max:val_accuracy"
    assert table.meta["source"] == "s; latency_phone: other"
    assert table.meta["licence"] == "MIT; latency_phone: BSD"


def test_replicates_are_put_together_in_their_order() -> None:
    first = accuracies([(1, 1), (0, 0), (1, 1)])
    table = join(first, latencies([TWO, TWO, ONE], [5.0, 6.0, 7.0]))
    assert table.column("latency_phone").tolist() == [5.0, 7.0, 6.0]
    with pytest.raises(InvalidTable, match=r"has 2 replicates of an architecture.*16.*expected 1"):
        join(first, latencies([TWO, TWO, ONE, ONE], [5.0, 6.0, 7.0, 8.0]))


def test_names_may_not_clash() -> None:
    first = accuracies([(0, 0)])
    with pytest.raises(InvalidOption, match="both tables have this metric: 'val_accuracy'"):
        join(first, first)
    table = join(first, first, {"val_accuracy": "val_accuracy_again"})
    assert table.columns == ("val_accuracy@4", "val_accuracy_again@4")
    with pytest.raises(InvalidOption, match="no such metric to rename: 'params'; expected one of val_accuracy"):
        join(first, first, {"params": "p"})
    with pytest.raises(InvalidOption, match="two metrics get one name"):
        join(first, latencies([ONE], [1.0], params=np.array([1])), {"params": "latency_phone"})
    with pytest.raises(InvalidTable, match="a name that is none"):
        join(first, first, {"val_accuracy": "Accuracy"})


def test_what_does_not_fit_is_refused() -> None:
    first = accuracies([(0, 0), (1, 1)], failed=[False, True])
    with pytest.raises(InvalidTable, match=r"missing in the second table.*32"):
        join(first, latencies([ONE], [1.0]))
    other = Table(meta(space={"name": "y", "decisions": {"width": [1]}}, objective="min:params"),
                  {"decisions": np.zeros((1, 1), dtype=int), "params": np.ones(1)})  # fmt: skip
    with pytest.raises(InvalidTable, match="of different spaces"):
        join(first, other)
    with pytest.raises(InvalidTable, match=r"'failed' of the second table would hide results.*16"):
        join(first, latencies([ONE, TWO], [1.0, 1.0], failed=np.array([True, False])))
    table = join(first, latencies([ONE, TWO], [1.0, 2.0], failed=np.array([False, True])))
    np.testing.assert_array_equal(table.column("latency_phone"), [1.0, np.nan])


def written(path: Path, described: Any, **arrays: Any) -> Path:
    write_arrays(path, {"meta": np.array(json.dumps(described)), **{k: np.array(v) for k, v in arrays.items()}})
    return path


def test_a_sound_table_has_no_problems(tmp_path: Path) -> None:
    accuracies([(0, 0), (1, 1)]).save(tmp_path / "a.npz")
    assert problems(tmp_path / "a.npz") == []
    assert problems(written(tmp_path / "b.npz", meta(), architecture=[ONE, TWO], val_accuracy=[1.0, 2.0])) == []


def test_all_problems_are_told(tmp_path: Path) -> None:
    texts = [ONE, "no", text(17, "a"), TWO]
    path = written(
        tmp_path / "a.npz",
        meta(objective="max:test_accuracy"),
        architecture=texts,
        val_accuracy=[1.0, np.nan, 2.0, 3.0],
        params=[1.0, 2.0, np.inf, 3.0],
    )
    found = problems(path)
    assert [problem.partition(":")[0] for problem in found] == [
        "the architecture of row 1 (counted from 0) is no member",
        "the architecture of row 2 (counted from 0) is no member",
        "the metric 'val_accuracy' is no finite number in row 1 (counted from 0)",
        "the metric 'params' is no finite number in row 2 (counted from 0)",
        "'objective' of meta names no metric of the table",
    ]
    assert problems(path, most=2) == found[:2]


@pytest.mark.parametrize(
    ("described", "arrays", "message"),
    [
        ({}, {"val_accuracy": [1.0]}, "meta does not say"),
        (meta(), {"val_accuracy": [1.0]}, "wrong shape|needs to say its architectures"),
        (meta(), {"architecture": ONE, "val_accuracy": [1.0]}, "wrong shape"),
        (meta(), {"architecture": [1], "val_accuracy": [1.0]}, "holds no texts"),
        (meta(), {"architecture": [ONE], "decisions": [[0, 0]], "val_accuracy": [1.0]}, "needs to say"),
        (meta(), {"decisions": [[0, 2]], "val_accuracy": [1.0]}, "has no choice for 'op'"),
        (meta(), {"decisions": [[0, 0]], "val_accuracy": [1.0, 2.0]}, "wrong shape"),
        (meta(), {"decisions": [[0, 0]]}, "without metrics"),
    ],
)
def test_every_unreadable_table_has_a_problem(tmp_path: Path, described: Any, arrays: Any, message: str) -> None:
    path = written(tmp_path / "a.npz", described, **arrays)
    found = problems(path)
    assert found
    with pytest.raises(InvalidTable):
        Table.load(path)
    assert any(part in " ".join(found) for part in message.split("|"))


def test_a_file_that_is_none_has_one_problem(tmp_path: Path) -> None:
    assert len(problems(tmp_path / "absent.npz")) == 1
    (tmp_path / "a.npz").write_bytes(b"no zip")
    assert len(problems(tmp_path / "a.npz")) == 1
