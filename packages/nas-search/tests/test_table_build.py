"""`nas table build`: a table of what was measured, whole or not at all, and one that goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nas_core.testing.registered import register_fakes
from nas_search.cli.boundary import run

pytest.importorskip("nas_spaces", reason="tables need nas-spaces, the extra spaces")

from nas_spaces.tables import Table

_FAKE = "nas_core.testing.fakes:FakeEvaluator"


@pytest.fixture(autouse=True)
def _fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register_fakes(tmp_path / "packages", monkeypatch)
    monkeypatch.chdir(tmp_path)


def build(*more: str, out: str = "t.npz", evaluator: str = _FAKE) -> int:
    return run(["table", "build", "--space", "toy", "--evaluator", evaluator, "--out", out, *more])


def test_all_members_at_two_fidelities(capsys: pytest.CaptureFixture[str]) -> None:
    assert build("--all", "--fidelity", "9", "--fidelity", "1", "--replicates", "2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["trials"] == 40 * 2 * 2  # classes of twins
    table = Table.load("t.npz")
    assert (len(table), len(table.architectures())) == (80, 40)
    assert table.fidelities("val_accuracy") == (1.0, 9.0)
    assert set(table.columns) == {"val_accuracy@1", "val_accuracy@9", "test_accuracy@1", "test_accuracy@9", "params"}
    a = table.architecture(0)
    # 10 / (1 + f) lies between the fake's fidelities and none: 5 at 1, 1 at 9; test is one below validation
    low, high, test = (table.lookup([a], name)[0] for name in ("val_accuracy@1", "val_accuracy@9", "test_accuracy@9"))
    assert high - low == pytest.approx(4, abs=1e-4)
    assert high - test == pytest.approx(1, abs=1e-4)
    assert table.meta["units"] == {"val_accuracy": "%", "test_accuracy": "%", "params": "1"}
    assert table.meta["made"]["optimizer"]["replicates"] == 2


def test_a_sample_and_the_metrics_that_are_wanted() -> None:
    assert build("--n", "5", "--metric", "val_accuracy", "--name", "five", "--licence", "MIT") == 0
    table = Table.load("t.npz")
    assert (len(table), table.columns, table.meta["name"]) == (5, ("val_accuracy",), "five")
    assert table.meta["licence"] == "MIT"


def test_failures_have_their_place() -> None:
    assert build("--all", "--twins", evaluator=_FAKE + ':fail_on={"left":["pool"]}') == 0
    table = Table.load("t.npz")
    assert (len(table), int(table.failed().sum())) == (80, 20)  # a quarter of the members


def test_what_was_trained_is_not_trained_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert build("--n", "6", "--fidelity", "2") == 0
    first = Path("t.npz").read_bytes()
    Path("t.npz").unlink()
    capsys.readouterr()
    assert build("--n", "6", "--fidelity", "2", "--executor", "processes:2") == 0
    assert "trial" not in capsys.readouterr().err
    assert Path("t.npz").read_bytes() == first
    shutil.rmtree("t.npz.run")


def test_another_sweep_and_another_file_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert build("--n", "3") == 0
    assert build("--n", "3") == 2
    assert "there is such a file already" in capsys.readouterr().err
    Path("t.npz").unlink()
    assert build("--n", "4") == 2
    error = capsys.readouterr().err
    assert "another sweep was begun here: optimizer differs" in error
    assert not Path("t.npz").exists()


def test_what_is_not_said_or_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    for more, told in [
        ((), "either --n N or --all"),
        (("--n", "3", "--all"), "either --n N or --all"),
        (("--n", "99"), "fewer members to sample"),
        (("--n", "3", "--metric", "speed"), "no trial has measured this"),
        (("--n", "3", "--objective", "max:speed"), "does not measure this"),
        (("--n", "3", "--fidelity", "-1"), "numbers above 0"),
    ]:
        shutil.rmtree("t.npz.run", ignore_errors=True)
        assert build(*more) == 2, more
        assert told in capsys.readouterr().err
        assert not Path("t.npz").exists()
