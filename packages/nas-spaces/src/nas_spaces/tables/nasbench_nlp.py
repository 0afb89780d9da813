"""Results of NAS-Bench-NLP on WikiText-2 as a table: `python -m nas_spaces.tables.convert nlp SOURCE OUT.npz`.

The source is `nasbench_nlp_wikitext2.json.gz` or its folder, a JSON list of trainings with the benchmark's own keys:
`recepie` (spelled so), `num_params`, and for each epoch that was run `train_losses`, `val_losses`, `test_losses` (in
nats a word; null where it was no number) and `wall_times` (seconds).
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from nas_core.errors import InvalidArchitecture, InvalidTable
from nas_spaces.nasbench_nlp import NASBenchNLP
from nas_spaces.tables.npz import Arrays
from nas_spaces.tables.table import Table

EPOCHS: Final = (1, 5, 10, 25, 50)
"""The fidelities of the table."""

_FILE = "nasbench_nlp_wikitext2.json.gz"
_SPACE = NASBenchNLP()
_LARGEST = 1 << 26
_SPLITS = ("train", "val", "test")


def nlp(source: Path) -> Table:
    """NAS-Bench-NLP's recurrent cells, three layers of 600 trained on WikiText-2.

    Perplexities after an epoch are e to the power of the published losses; `val_perplexity_best` and
    `test_perplexity_best` are those after the epoch, among the first so many, with the smallest validation loss.
    `train_seconds` are those of all epochs so far. A training whose loss became no number has failed at every epoch
    from there on. Parameters count the embedding, which is also the decoder's. Rows of one recipe are replicates.

    Args:
        source: the file, or its folder.

    Raises:
        InvalidTable: the file is not there or damaged, or a row is no training of a recipe.
    """
    path = source / _FILE if source.is_dir() else source
    rows = _rows(path)
    columns: Arrays = {"architecture": np.array([_text(row, i, path) for i, row in enumerate(rows)])}
    measured = [_measured(row, i, path) for i, row in enumerate(rows)]
    for name in measured[0]:
        columns[name] = np.array([row[name] for row in measured])
    for epochs in EPOCHS:
        columns[f"failed@{epochs}"] = ~np.isfinite(columns[f"val_perplexity@{epochs}"])
    columns["params"] = np.array([_whole(row, i, path) for i, row in enumerate(rows)])
    perplexities = [f"{split}_perplexity" for split in _SPLITS] + ["val_perplexity_best", "test_perplexity_best"]
    meta = {
        "name": "NAS-Bench-NLP WikiText-2",
        "space": _SPACE.name,
        "source": "NAS-Bench-NLP (Klyuchnikov et al., 2020)",
        "licence": "Apache-2.0",
        "units": dict.fromkeys(perplexities, "1") | {"train_seconds": "s", "params": "1"},
        "objective": "min:val_perplexity",
    }
    return Table(meta, columns)


def _rows(path: Path) -> list[Any]:
    try:
        with gzip.open(path) as file:
            text = file.read(_LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidTable(f"the file cannot be read ({error})", place=str(path)) from error
    if len(text) > _LARGEST:
        raise InvalidTable("the file unpacks to more than 64 MiB", place=str(path))
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidTable(f"the file is no JSON ({error})", place=str(path)) from error
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        raise InvalidTable("the file holds no list of trainings", place=str(path))
    return rows


def _text(row: Mapping[str, Any], number: int, path: Path) -> str:
    try:
        return _SPACE.text(_SPACE.parse(json.dumps(row.get("recepie"))))
    except InvalidArchitecture as error:
        raise InvalidTable(f"row {number} holds no recipe: {error}", place=str(path)) from error


def _whole(row: Mapping[str, Any], number: int, path: Path) -> int:
    value = row.get("num_params")
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 53:
        raise InvalidTable(f"'num_params' of row {number} is no number of parameters", value=value, place=str(path))
    return value


def _measured(row: Mapping[str, Any], number: int, path: Path) -> dict[str, float]:
    """Every column's value; NaN from the first epoch without a finite number on."""
    curves = {split: _curve(row, f"{split}_losses", number, path) for split in _SPLITS}
    seconds = _curve(row, "wall_times", number, path)
    if len({len(seconds), *map(len, curves.values())}) > 1:
        raise InvalidTable(f"the curves of row {number} differ in length", place=str(path))
    finite: list[bool] = np.isfinite(np.array([*curves.values(), seconds])).all(axis=0).tolist()
    run = finite.index(False) if False in finite else len(finite)
    found = {}
    for epochs in EPOCHS:
        done = epochs <= run
        for split in _SPLITS:
            found[f"{split}_perplexity@{epochs}"] = _perplexity(curves[split][epochs - 1]) if done else math.nan
        best = int(np.argmin(curves["val"][:epochs])) if done else 0
        for split in _SPLITS[1:]:
            found[f"{split}_perplexity_best@{epochs}"] = _perplexity(curves[split][best]) if done else math.nan
        found[f"train_seconds@{epochs}"] = math.fsum(seconds[:epochs]) if done else math.nan
    return found


def _curve(row: Mapping[str, Any], key: str, number: int, path: Path) -> list[float]:
    values = row.get(key)
    if not isinstance(values, list) or not all(v is None or type(v) in (int, float) for v in values):
        raise InvalidTable(f"{key!r} of row {number} is no list of numbers", value=values, place=str(path))
    return [math.nan if value is None else float(value) for value in values]


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700.0))  # no perplexity is beyond the largest number
