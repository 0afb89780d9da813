"""A declared cell is searched, drawn and compared like a packaged one: kernels, TOML files, tables, pictures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.random import rng
from nas_search.cli.boundary import run
from nas_search.config import StudyConfig
from nas_search.study import Study
from nas_spaces.declared import DeclaredSpace
from nas_spaces.nasbench201 import EDGES, OPERATIONS, NASBench201
from nas_spaces.tables import Table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "spaces.md"
[EXAMPLE] = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
NODES = ("input", "a", "b", "output")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the page's example, and a table of its space in which two convolutions with a residual edge are best."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search.toml").write_text(EXAMPLE)
    space = StudyConfig.from_toml(tmp_path / "search.toml").space
    meta = {
        "name": "pairs",
        "space": space,
        "source": "made up",
        "licence": "none",
        "units": {"val_accuracy": "%"},
        "objective": "max:val_accuracy",
    }
    rows = np.array([[i, j, k] for i in range(3) for j in range(3) for k in range(2)])
    Table(meta, {"decisions": rows, "val_accuracy": 10.0 * rows[:, 0] * rows[:, 1] + rows[:, 2]}).save("pair.npz")
    return tmp_path


def own_nasbench201() -> DeclaredSpace:
    edges = [{"from": NODES[s], "to": NODES[t], "decision": f"edge{t}_{s}"} for t, s in EDGES]
    return DeclaredSpace(
        {edge["decision"]: list(OPERATIONS) for edge in edges},
        graphs={"cell": {"inputs": ["input"], "outputs": ["output"], "nodes": ["a", "b"], "edges": edges}},
        identities=["skip_connect"],
        zeros=["none"],
    )


def test_the_kernels_see_a_declared_cell_as_the_packaged_one() -> None:
    features = pytest.importorskip("nas_surrogates.features")
    packaged, own = NASBench201(), own_nasbench201()
    members = packaged.sample(rng(0, "features"), 40)
    theirs, ours = features.SpaceFeatures(packaged), features.SpaceFeatures(own)
    assert [block.name for block in ours.blocks] == [block.name for block in theirs.blocks]
    seen = theirs(members), ours([own.canonical(a.values) for a in members])
    for kind in ("paths:cell", "surroundings:cell", "decisions"):
        assert np.array_equal(seen[0][kind], seen[1][kind])
    assert any(block.kind == "paths" for block in ours.blocks)
    plain = DeclaredSpace({"a": ["x", "y"]})
    assert [block.name for block in features.SpaceFeatures(plain).blocks] == ["decisions"]


def test_the_example_of_the_page_is_searched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nas_surrogates")
    assert run(["search", "--config", "search.toml", "--trials", "8", "--out", "run"]) == 0
    assert run(["resume", "run", "--trials", "10", "--json"]) == 0
    assert '"first":"conv3x3","second":"conv3x3"' in capsys.readouterr().out.replace("\\", "")
    with Study.open("run", read_only=True) as study:
        assert study.space.name == "pair"
        assert len({trial.architecture for trial in study.trials()}) == 10
    pytest.importorskip("matplotlib")
    assert run(["draw", "run", "--out", "best.svg"]) == 0
    picture = (folder / "best.svg").read_text()
    assert {"input", "conv3x3", "output"} <= set(re.findall(r"<!-- (.*?) -->", picture))


def test_a_table_of_a_declared_cell(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["table", "check", "pair.npz"]) == 0
    assert run(["table", "info", "pair.npz"]) == 0
    assert "pairs: 18 rows of pair\n" in capsys.readouterr().out
    assert run(["search", "--table", "pair.npz", "--optimizer", "random", "--trials", "18", "--out", "t"]) == 0
    capsys.readouterr()
    pytest.importorskip("matplotlib")
    assert run(["draw", "restricted:table=pair.npz", "--sample", "--out", "member.svg"]) == 0
    arguments = ["compare", "--table", "pair.npz", "--optimizer", "random", "--budget", "18", "--seeds", "2"]
    assert run([*arguments, "--workers", "1", "--out", "c"]) == 0
    assert "| `random` | 41 ± 0 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('decision = "first"', 'decision = "third"', "names an unknown decision: 'third' (in the graph 'cell')"),
        ('to = "middle"', 'to = "centre"', "unknown node: 'centre'"),
        ('["none"]', '["nothing"]', "'zeros' names a label that no graph has: 'nothing'"),
    ],
)
def test_a_wrong_graph_is_one_message(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str
) -> None:
    text = (folder / "search.toml").read_text()
    assert old in text
    (folder / "search.toml").write_text(text.replace(old, new, 1))
    assert run(["search", "--config", "search.toml", "--out", "run"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    meta: dict[str, Any] = json.loads(str(np.load("pair.npz")["meta"]))
    meta["space"]["graphs"]["cell"]["nodes"] = []
    arrays = {name: array for name, array in np.load("pair.npz").items() if name != "meta"}
    np.savez("broken.npz", meta=np.array(json.dumps(meta)), **arrays)
    assert run(["table", "info", "broken.npz"]) == 2
    assert "the table's space cannot be made: an edge 'to' an unknown node: 'middle'" in capsys.readouterr().err
