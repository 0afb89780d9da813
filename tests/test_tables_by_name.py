"""A shipped table from the command line, by its name: no file is at hand, and nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas_search.cli.boundary import run


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_search_of_it_stays_where_there_are_results_and_goes_on_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two of three members of the space are not in the table: 20 uniform ones would all be there 1 time in 10^9."""
    assert run(["search", "--table", "digits201", "--optimizer", "random", "--trials", "10", "--out", "run"]) == 0
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert (kept["evaluator"]["file"], kept["space"]["table"]) == ("digits201", "digits201")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert run(["resume", "../run", "--trials", "20"]) == 0
    capsys.readouterr()
    assert run(["status", "../run", "--json"]) == 0
    trials = json.loads(capsys.readouterr().out)["trials"]
    assert (trials["completed"], trials["failed"]) == (20, 0)


def test_a_comparison_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    optimizers = ["--optimizer", "random", "--optimizer", "evolution"]
    size = ["--budget", "12", "--seeds", "2", "--workers", "1"]
    assert run(["compare", "--table", "digits201", *optimizers, *size, "--out", "comparison"]) == 0
    assert "digits201" in capsys.readouterr().out
    kept = json.loads((tmp_path / "comparison" / "curves.json").read_text())
    assert kept["tables"]["digits201"]["members"] == 5316


def test_what_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["table", "info", "digits201"]) == 0
    assert "10632 rows of 5316 architectures" in capsys.readouterr().out
    assert run(["table", "check", "digits201"]) == 0
    assert run(["table", "info", "digits202"]) == 2
    assert "the name digits201" in capsys.readouterr().err
