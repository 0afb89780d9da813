"""The example of a stranger's package: its own tests pass, `nas` lists its space, searches it and says what is best."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "third_party_space"
PROJECT: dict[str, Any] = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that finds the package as if it were installed, with what its project declares."""
    name, version = PROJECT["name"], PROJECT["version"]
    site = tmp_path / "site"
    metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    lines = []
    for group, points in PROJECT["entry-points"].items():
        lines += [f"[{group}]", *(f"{point} = {target}" for point, target in points.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    paths = [str(EXAMPLE / "src"), str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def run(environment: dict[str, str], place: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def nas(environment: dict[str, str], place: Path, *words: str) -> Any:
    code = "from nas_search.cli import main; main()"
    return json.loads(run(environment, place, "-c", code, *words, "--json"))


def test_its_own_tests_pass(installed: dict[str, str], tmp_path: Path) -> None:
    out = run(installed, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE))
    assert " passed" in out


def test_it_is_listed_searched_and_read(installed: dict[str, str], tmp_path: Path) -> None:
    listed = nas(installed, tmp_path, "list", "spaces")["components"]
    mine = [entry for entry in listed if entry["package"] == PROJECT["name"]]
    assert [(entry["name"], entry["target"]) for entry in mine] == [("pyramid", "pyramid_space.space:Pyramid")]
    search = ["--space", "pyramid:stages=2", "--data", "digits", "--optimizer", "random", "--trials", "3"]
    run_dir = ["--objective", "max:val_accuracy", "--epochs", "1", "--out", "run"]
    nas(installed, tmp_path, "search", *search, *run_dir)
    counts = nas(installed, tmp_path, "status", "run")["trials"]
    assert counts["completed"] == 3
    [best] = nas(installed, tmp_path, "best", "run")["best"]
    assert best["architecture"].count("x") in (1, 2)  # stages
