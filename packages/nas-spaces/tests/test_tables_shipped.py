"""The tables that the package brings: found by name, small, sound, and what their meta says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas_core.errors import InvalidTable
from nas_core.evaluator import Evaluation
from nas_spaces.nasbench201 import NASBench201
from nas_spaces.restricted import RestrictedSpace
from nas_spaces.tables import SHIPPED, Table, located
from nas_spaces.tables.check import problems
from nas_spaces.tables.evaluator import TableEvaluator

VALIDATION_IMAGES = 397
"""Of digits, with nas-train's split: accuracies are shares of these."""


@pytest.fixture(scope="module")
def digits201() -> Table:
    return Table.load("digits201")


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_sound_named_and_below_a_megabyte(name: str) -> None:
    assert not problems(SHIPPED[name])
    assert Table.load(name).meta["name"] == name
    assert SHIPPED[name].stat().st_size < 1_000_000


def test_a_name_wins_over_a_file_and_other_sources_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits201").write_text("no table")
    assert located("digits201") == located(Path("digits201")) == SHIPPED["digits201"]
    assert located("digits201.npz") == Path("digits201.npz")


def test_an_unknown_table_names_those_there_are() -> None:
    with pytest.raises(InvalidTable, match=r"digits202.*a path or the name digits201"):
        Table.load("digits202")


def test_digits201_has_one_member_of_each_class_of_twins(digits201: Table) -> None:
    space = NASBench201()
    members = digits201.architectures()
    keys = {space.twin_key(member) for member in members}
    assert len(members) == len(keys) == 5316
    assert keys == {space.twin_key(member) for member in space.enumerate()}
    assert len(digits201) == 2 * 5316
    assert digits201.fidelities("val_accuracy") == (2.0, 6.0)
    assert not digits201.failed(6).any()


def test_digits201_holds_what_training_gives(digits201: Table) -> None:
    """Chance is 10 %; the share of correct images is a whole number of images; more epochs are better on average."""
    short, full = (digits201.column("val_accuracy", fidelity) for fidelity in (2, 6))
    images = full * VALIDATION_IMAGES / 100
    assert np.abs(images - np.rint(images)).max() < 1e-3
    assert short.mean() + 10 < full.mean() < full.max() <= 100
    first, second = full.reshape(-1, 2).T  # replicates lie together
    assert 0.5 < np.corrcoef(first, second)[0, 1] < 1


def test_digits201_is_an_evaluator_and_a_closed_domain_by_name(digits201: Table) -> None:
    space = RestrictedSpace(table="digits201")
    assert space.size == 5316
    member = digits201.architecture(0)
    evaluator = TableEvaluator("digits201")
    assert evaluator.to_config()["file"] == "digits201"
    evaluator.prepare(space)
    measured = evaluator.evaluate(Evaluation(space, member, replicate=1))
    assert measured.metrics["val_accuracy"] == digits201.column("val_accuracy", 6)[1]
