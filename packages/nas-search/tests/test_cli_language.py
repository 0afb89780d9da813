"""`nas train` on searches of recurrent cells: the language models' last training is called. A fake stands in for it."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas_core.testing.registered import register_fakes
from nas_core.trial import Measurement
from nas_search.cli import boundary
from nas_search.cli import train as training
from nas_search.cli.options import SearchOptions, study_config

Nas = Callable[..., tuple[int, str, str]]
MEASURED = {"test_perplexity": 8.75, "test_loss": 2.17, "val_perplexity": 8.5, "params": 1000.0}


@pytest.fixture
def nas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Nas:
    """Run a command in this process, beside a search in `run` whose evaluator counts as one of language models."""
    register_fakes(tmp_path / "packages", monkeypatch)
    (tmp_path / "work" / "texts").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(training, "OF_TEXTS", ("fake",))

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
    """How the last training is called."""
    found: list[dict[str, Any]] = []

    def train_final_language(space: object, architecture: object, *, on_epoch: Any, **options: Any) -> Measurement:
        found.append(options)
        on_epoch(types.SimpleNamespace(number=1, train_loss=2.5, validation=None))
        on_epoch(types.SimpleNamespace(number=2, train_loss=2.25, validation=0.0))
        return Measurement(MEASURED, 12.0, {"checkpoint": "final.safetensors"})

    module = types.ModuleType("nas_train.language.final")
    module.train_final_language = train_final_language  # type: ignore[attr-defined]
    for name in ("nas_train", "nas_train.language"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "nas_train.language.final", module)
    return found


def test_a_cell_is_trained_as_a_language_model(nas: Nas, calls: list[dict[str, Any]]) -> None:
    recipe = ("--recipe", "small_text_final:embedding=16", "--epochs", "2")
    code, out, error = nas("train", "run", "--data", "texts", *recipe)
    assert code == 0, error
    [called] = calls
    assert called["data"] == str(Path("texts").resolve())  # a text has no name: it is always a place
    assert (called["recipe"], called["epochs"]) == ({"name": "small_text_final", "embedding": 16}, 2)
    assert (called["seed"], called["draw"], called["out"]) == (7, 0, Path("run/final"))
    assert "threads" not in called
    assert error.splitlines()[1:] == [
        "epoch 1: train_loss 2.5",
        "epoch 2: train_loss 2.25, val_perplexity 1, val_loss 0",
    ]
    assert "test_loss 2.17, test_perplexity 8.75, val_perplexity 8.5, params 1,000" in out
    assert json.loads(Path("run/final/result.json").read_text(encoding="utf-8"))["metrics"] == MEASURED
    code, _, error = nas("train", "run", "--data", "texts")
    assert (code, len(calls)) == (2, 1)
    assert "tested already" in error


def test_several_cells_are_trained_once_each(nas: Nas, calls: list[dict[str, Any]]) -> None:
    assert nas("train", "run", "--best", "2", "--data", "texts")[0] == 0
    assert nas("train", "run", "--best", "3", "--data", "texts")[0] == 0
    assert len(calls) == 3
    assert len({called["out"] for called in calls}) == 3
    assert nas("best", "run")[0] == 0


def test_it_needs_nas_train(nas: Nas, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nas_train.language.final", None)
    code, _, error = nas("train", "run", "--data", "texts")
    assert (code, calls) == (2, [])
    assert "extra `train`" in error


@pytest.mark.parametrize(("evaluator", "named"), [("language", False), ("shared_language", False), ("train", True)])
def test_a_text_is_found_from_anywhere(evaluator: str, named: bool, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    options = SearchOptions(space="toy", evaluator=f"{evaluator}:data=words", objectives=["min:val_perplexity"])
    config = study_config(options)
    assert config.evaluator["data"] == ("words" if named else str(tmp_path / "words"))
