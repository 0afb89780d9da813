"""`nas export`: which weights it takes, what it tells of them, what it refuses. A fake stands in for nas-train."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas_core.testing.registered import register_fakes
from nas_search.cli import boundary
from nas_search.cli.final import finals, place_of, write_final

Nas = Callable[..., tuple[int, str, str]]
CARD = {
    "files": {"network.py": {"what": "source", "bytes": 1234}},
    "checks": {"results": {"source": 1.5e-7, "onnx": "not written"}},
}


@pytest.fixture
def nas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Nas:
    """Run a command in this process, beside a search of five trials in `run`."""
    register_fakes(tmp_path / "packages", monkeypatch)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = boundary.run(arguments)
        return code, *capsys.readouterr()

    fakes = ("--space", "toy", "--evaluator", "fake", "--objective", "max:val_accuracy", "--optimizer", "random")
    code, _, error = run("search", *fakes, "--trials", "5", "--seed", "7", "--out", "run")
    assert code == 0, error
    return run


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How the export is called."""
    found: list[dict[str, Any]] = []

    def export_checkpoint(checkpoint: Path, data: str, out: Path, **options: Any) -> dict[str, Any]:
        found.append({"checkpoint": checkpoint, "data": data, "out": out, **options})
        return CARD

    def about(architecture: str, **said: Any) -> dict[str, Any]:
        return {"architecture": architecture, **said}

    module = types.ModuleType("nas_train.export")
    module.About, module.export_checkpoint = about, export_checkpoint  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nas_train", types.ModuleType("nas_train"))
    monkeypatch.setitem(sys.modules, "nas_train.export", module)
    return found


def train(place: Path, trial: int) -> None:
    """What the final training of a trial leaves."""
    result = {"trial": trial, "metrics": {"test_accuracy": 90.5}, "seconds": 1.0, "data": "digits"}
    write_final(place, {**result, "artefacts": {"checkpoint": "final.safetensors"}})
    (place / "final.safetensors").write_bytes(b"")


def best(nas: Nas) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(nas("best", "run", "--json")[1])["best"][0]
    return found


def test_the_network_that_was_trained_to_the_end_is_exported(nas: Nas, calls: list[dict[str, Any]]) -> None:
    trial = (best(nas)["trial"] + 1) % 5
    train(Path("run/final"), trial)
    code, out, error = nas("export", "run", "--out", "out", "--format", "source")
    assert code == 0
    assert error.startswith(f"exporting trial {trial}: ")
    assert out.splitlines() == [
        "out/network.py: source, 1,234 bytes",
        "source: differs by 1.5e-07 of the largest logit",
        "onnx: not written",
    ]
    [call] = calls
    assert (call["checkpoint"], call["data"], call["out"]) == (
        Path("run/final/final.safetensors"),
        "digits",
        Path("out"),
    )
    assert call["formats"] == ["source"]
    about = call["about"]
    assert about["metrics"]["final"] == {"test_accuracy": 90.5}
    assert "val_accuracy" in about["metrics"]["search"]
    told = about["found"]
    assert (told["optimizer"]["name"], told["seed"], told["trial"]) == ("random", 7, trial)
    assert told["trials"] == {"completed": 5, "failed": 0}
    assert told["objectives"] == ["max:val_accuracy"]
    assert "nas-search" in told["versions"]
    assert about["space"]["name"]


def test_one_of_several_is_the_best_or_the_one_that_is_named(nas: Nas, calls: list[dict[str, Any]]) -> None:
    top = best(nas)["trial"]
    others = [number for number in range(5) if number != top]
    for number in others[:2]:
        train(place_of(Path("kept"), number), number)
    code, _, error = nas("export", "run", "--final", "kept", "--out", "out")
    assert (code, calls) == (2, [])
    assert f"--trial, one of {others[0]}, {others[1]}" in error
    train(place_of(Path("kept"), top), top)
    assert nas("export", "run", "--final", "kept", "--out", "out")[0] == 0
    assert nas("export", "run", "--final", "kept", "--out", "out", "--trial", str(others[1]), "--json")[0] == 0
    assert [call["checkpoint"].parent for call in calls] == [place_of(Path("kept"), n) for n in (top, others[1])]
    assert set(finals(Path("kept"))) == {top, *others[:2]}


def test_without_weights_it_says_how_to_get_them(nas: Nas, calls: list[dict[str, Any]]) -> None:
    code, _, error = nas("export", "run", "--out", "out")
    assert (code, calls) == (2, [])
    number = best(nas)["trial"]
    assert f"no weights have been kept of trial {number}" in error
    assert f"`nas train run --trial {number}`" in error
    assert "--train keep=true" in error
    train(Path("run/final"), number)
    Path("run/final/final.safetensors").unlink()
    code, _, error = nas("export", "run", "--out", "out")
    assert (code, calls) == (2, [])
    assert "weights of this network are gone" in error


def test_it_needs_nas_train(nas: Nas, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    train(Path("run/final"), 0)
    monkeypatch.setitem(sys.modules, "nas_train.export", None)
    code, _, error = nas("export", "run", "--out", "out")
    assert (code, calls) == (2, [])
    assert "extra `train`" in error
