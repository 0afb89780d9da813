"""A study that is killed at random moments and taken up each time ends as one that ran through."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FAKES = "nas_core.testing.fakes"
SCRIPT = Path(__file__).with_name("killed_study.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the killed processes are forks")
@pytest.mark.parametrize(
    ("optimizer", "seed"), [("evolution:population=6,tournament=3", 4), (f"{FAKES}:FakeOptimizer:carries=true", 3)]
)
def test_a_killed_study_ends_as_one_that_ran_through(tmp_path: Path, optimizer: str, seed: int) -> None:
    config = {
        "space": f"{FAKES}:ToySpace",
        "optimizer": optimizer,
        "evaluator": {"name": f"{FAKES}:FakeEvaluator", "fail_on": {"left": ["pool"]}},
        "objectives": ["max:val_accuracy"],
        "constraints": ["params<=3000"],
        "trials": 30,
    }
    told = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path), json.dumps(config), "10", str(seed)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    found: dict[str, Any] = json.loads(told.stdout)
    whole = found["whole"]["results"]
    assert len(whole) == 30
    assert any(what == "diverged" for *_, what in whole)
    for after in found["after"]:
        assert not after["driven"]
        assert after["running"] <= 1
        assert after["finished"] == len(after["results"])
        assert after["results"] == whole[: after["finished"]]
    assert len(found["after"]) == 10
    assert found["killed"]["results"] == whole
    assert found["killed"]["running"] == 0
