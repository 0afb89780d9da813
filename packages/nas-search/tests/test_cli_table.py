"""`nas table`: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_search.cli.boundary import run

pytest.importorskip("nas_spaces", reason="tables need nas-spaces, the extra spaces")

TEXTS = ["|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
         "|skip_connect~0|+|none~0|none~1|+|none~0|none~1|none~2|"]  # fmt: skip
META: dict[str, Any] = {
    "name": "two cells", "space": "nasbench201", "source": "here", "licence": "MIT",
    "units": {"val_accuracy": "%"}, "objective": "max:val_accuracy",
}  # fmt: skip


def table(path: Path, **changes: Any) -> Path:
    arrays = {"architecture": TEXTS, "val_accuracy@12": [10.0, 20.0], "val_accuracy@200": [60.0, 0.0]}
    arrays |= {"failed@200": [False, True], **changes}
    columns: dict[str, Any] = {name: np.array(array) for name, array in arrays.items()}
    np.savez(path, meta=np.array(json.dumps(META)), **columns)
    return path


def hardware(path: Path) -> Path:
    given = {"config": [{"arch_str": text} for text in reversed(TEXTS)], "pixel3_latency": [2.0, 1.0]}
    path.write_bytes(pickle.dumps({"nasbench201": {"cifar10": given}}))
    return path


def test_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path / "a.npz")
    assert run(["table", "info", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["rows"], found["architectures"]) == ("two cells", 2, 2)
    assert found["space"] == {"name": "nasbench201"}
    assert found["columns"] == [
        {"name": "val_accuracy@12", "unit": "%", "least": 10.0, "greatest": 20.0, "mean": 15.0, "failed": 0},
        {"name": "val_accuracy@200", "unit": "%", "least": 60.0, "greatest": 60.0, "mean": 60.0, "failed": 1},
    ]
    assert found["best"] == {"row": 0, "architecture": TEXTS[0]}
    assert run(["table", "info", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "two cells: 2 rows of nasbench201" in printed
    assert f"best: row 0\n      {TEXTS[0]}" in printed
    assert run(["table", "info", str(tmp_path / "absent")]) == 2
    assert "no such table file" in capsys.readouterr().err


def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path / "a.npz")
    assert run(["table", "check", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: sound\n"
    path = table(tmp_path / "b.npz", architecture=["?", "!"], params=[1.0, np.nan])
    assert run(["table", "check", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("error: ") == captured.err.count("\n") == 3
    assert run(["table", "check", str(path), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert not found["sound"]
    assert len(found["problems"]) == 3


def test_convert_and_join(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, costs, out = table(tmp_path / "a.npz"), tmp_path / "costs.npz", tmp_path / "both.npz"
    assert run(["table", "convert", "hwnasbench-cifar10", str(hardware(tmp_path / "hw")), str(costs)]) == 0
    assert "2 rows of nasbench201, metrics latency_pixel3" in capsys.readouterr().out
    assert run(["table", "join", str(path), str(costs), str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [column["name"] for column in found["columns"]] == ["val_accuracy@12", "val_accuracy@200", "latency_pixel3"]
    with np.load(out) as arrays:
        assert arrays["latency_pixel3"].tolist() == [1.0, 2.0]
    assert run(["table", "join", str(out), str(costs), str(out)]) == 2
    assert "both tables have this metric: 'latency_pixel3'" in capsys.readouterr().err
    assert run(["table", "join", str(out), str(costs), str(out), "--rename", "latency_pixel3=latency_again"]) == 0
    assert "latency_pixel3, latency_again" in capsys.readouterr().out
    assert run(["table", "join", str(out), str(costs), str(out), "--rename", "latency_pixel3"]) == 2
    assert "not a new name: 'latency_pixel3' (in --rename); expected METRIC=NAME" in capsys.readouterr().err
    assert run(["table", "convert", "nothing", str(path), str(out)]) == 2
    assert "no reader has this name: 'nothing'; expected one of nb101, " in capsys.readouterr().err
