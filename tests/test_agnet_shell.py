"""`nas search` with AG-Net from the shell: training-free scores of DARTS cells, and a limit that nothing keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("nas_train", reason="scores need nas-train")
pytest.importorskip("nas_spaces", reason="the spaces are those of nas-spaces")
pytest.importorskip("nas_surrogates", reason="AG-Net needs nas-surrogates")

from nas_search.cli.app import app

SMALL = 'initial=4,labels=3,candidates=6,epochs=1,fit_steps=5,pretraining={"samples":60,"steps":3,"batch":16,"width":8}'


def searched(tmp_path: Path, *more: str) -> tuple[int, str]:
    """Exit status and output of one search."""
    words = ["search", *more, "--out", str(tmp_path / "run"), "--json"]
    done = CliRunner().invoke(app, words, env={"XDG_CACHE_HOME": str(tmp_path / "cache")})
    return done.exit_code, done.output


def test_training_free_search_on_both_scores(tmp_path: Path) -> None:
    """Random cells, then rounds that take turns with the cells; every trial has both scores, and there is a front."""
    code, output = searched(
        tmp_path, "--space", "darts", "--optimizer", f"agnet:weighting=equal,cells=alternating,{SMALL}",
        "--evaluator", 'proxies:data=digits,images=4,scores=["ntk_condition","linear_regions"],'
        'network={"channels":2,"cells":2}',
        "--objective", "min:ntk_condition", "--objective", "max:linear_regions", "--trials", "8",
    )  # fmt: skip
    assert code == 0, output
    found = json.loads(output[output.index("{") :])
    assert found["state"] == "finished"
    assert found["trials"]["completed"] + found["trials"]["failed"] == 8
    assert {"ntk_condition", "linear_regions"} <= set(found["best"][0]["metrics"])


def test_a_limit_that_nothing_keeps_is_told_with_the_nearest(tmp_path: Path) -> None:
    code, output = searched(
        tmp_path, "--space", "nasbench201", "--optimizer", f"agnet:{SMALL}",
        "--evaluator", 'proxies:data=digits,images=4,scores="nwot",network={"channels":2,"cells":1}',
        "--objective", "max:nwot", "--constraint", "params<=1", "--trials", "8",
    )  # fmt: skip
    assert code == 0, output
    found = json.loads(output[output.index("{") :])
    assert found["best"] == []
    assert found["nearest"]["metrics"]["params"] > 1
    report = CliRunner().invoke(app, ["report", str(tmp_path / "run")])
    assert report.exit_code == 0, report.output
    (page,) = (tmp_path / "run").rglob("index.html")
    text = page.read_text()
    assert "No finished trial keeps the constraints. The nearest is trial" in text
    assert "<h2>Rounds</h2>" in text
