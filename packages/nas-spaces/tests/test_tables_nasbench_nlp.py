"""Results of NAS-Bench-NLP as a table."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.errors import InvalidTable
from nas_spaces.nasbench_nlp import NAMED, NASBenchNLP
from nas_spaces.tables import Table
from nas_spaces.tables.convert import main
from nas_spaces.tables.nasbench_nlp import nlp

SPACE = NASBenchNLP()
FILE = "nasbench_nlp_wikitext2.json.gz"


def training(recipe: str, epochs: int, **changes: Any) -> dict[str, Any]:
    """A row in the published form: losses fall by 0.1 an epoch from 6, 7 and 8; an epoch takes 2 seconds."""
    falling = [round(-0.1 * i, 1) for i in range(epochs)]
    row = {
        "recepie": json.loads(NAMED[recipe]),
        "num_params": 1000 + epochs,
        "train_losses": [6 + f for f in falling],
        "val_losses": [7 + f for f in falling],
        "test_losses": [8 + f for f in falling],
        "wall_times": [2.0] * epochs,
    }
    return row | changes


def source(folder: Path, rows: Any) -> Path:
    (folder / FILE).write_bytes(gzip.compress(json.dumps(rows).encode()))
    return folder


def test_trainings_become_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, broken = training("rnn", 50), training("gru", 7)
    whole["val_losses"][49] = 3.0  # the epoch before was better, 2.2
    broken["test_losses"][6] = None
    folder = source(tmp_path, [whole, broken, training("rnn", 1, train_losses=[None])])
    assert main(["nlp", str(folder), str(tmp_path / "out.npz")]) == 0
    assert "3 rows of nasbench_nlp" in capsys.readouterr().out
    table = Table.load(tmp_path / "out.npz")
    assert isinstance(table.space, NASBenchNLP)
    assert table.architectures() == [SPACE.named("rnn"), SPACE.named("gru")]
    assert table.rows(SPACE.named("rnn")) == (0, 2)
    assert table.fidelities() == (1.0, 5.0, 10.0, 25.0, 50.0)
    assert [table.failed(epochs).tolist() for epochs in (1, 5, 10, 50)] == [
        [False, False, True], [False, False, True], [False, True, True], [False, True, True],
    ]  # fmt: skip
    assert table.column("val_perplexity@5")[:2].tolist() == pytest.approx([math.exp(6.6)] * 2)
    assert table.column("val_perplexity")[0] == pytest.approx(math.exp(3.0))
    assert table.column("val_perplexity_best")[0] == pytest.approx(math.exp(2.2))
    assert table.column("test_perplexity_best")[0] == pytest.approx(math.exp(3.2))
    assert table.column("train_perplexity@1")[0] == pytest.approx(math.exp(6))
    assert table.column("train_seconds@10")[0] == 20.0
    assert table.column("params").tolist() == [1050, 1007, 1001]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "holds no list of trainings"),
        ([], "holds no list of trainings"),
        ([3], "holds no list of trainings"),
        ([training("rnn", 3, recepie={"a": 1})], "row 0 holds no recipe: a node must have"),
        ([training("rnn", 3), training("rnn", 3, recepie=None)], "row 1 holds no recipe"),
        ([training("rnn", 3, num_params=2.5)], "'num_params' of row 0"),
        ([training("rnn", 3, wall_times=[1.0])], "the curves of row 0 differ in length"),
        ([training("rnn", 3, val_losses="none")], "'val_losses' of row 0 is no list of numbers"),
        ([training("rnn", 3, val_losses=[1.0, True, 2.0])], "'val_losses' of row 0 is no list of numbers"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, rows: Any, message: str) -> None:
    with pytest.raises(InvalidTable, match=message):
        nlp(source(tmp_path, rows))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTable, match="cannot be read"):
        nlp(tmp_path)
    whole = gzip.compress(json.dumps([training("rnn", 50)]).encode())
    for damaged in (b"", b"junk", whole[:-20], whole[:30] + b"\0\0\0\0" + whole[34:]):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(InvalidTable):
            nlp(tmp_path)
    (tmp_path / FILE).write_bytes(gzip.compress(b"[" * 100_000))
    with pytest.raises(InvalidTable, match="no JSON"):
        nlp(tmp_path)


def test_the_published_file(published: Path) -> None:
    if not (published / FILE).is_file():
        pytest.skip(f"no {FILE} in {published}")
    table = nlp(published)
    assert len(table) == 345
    assert table.failed(50).sum() == 4
    # runs that broke in epochs 1, 1, 19 and 23
    assert [int(table.failed(epochs).sum()) for epochs in (1, 5, 10, 25)] == [2, 2, 2, 4]
    assert round(float(np.nanmin(table.column("val_perplexity_best"))), 1) == 96.3
    assert round(float(np.nanmin(table.column("val_perplexity"))), 1) == 96.5
