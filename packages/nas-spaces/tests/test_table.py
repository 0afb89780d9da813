"""Tables: the format, what is refused, and what is looked up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas_core.architecture import Architecture
from nas_core.errors import InvalidArchitecture, InvalidOption, InvalidTable
from nas_core.testing import register_fakes
from nas_spaces.nasbench201 import NASBench201
from nas_spaces.tables import Table
from nas_spaces.tables.npz import read_arrays, write_arrays

SPACE = {"name": "toy", "decisions": {"width": [16, 32, 64], "act": ["relu", "gelu"]}}
META: dict[str, Any] = {
    "name": "toy table",
    "space": SPACE,
    "source": "made up",
    "licence": "MIT",
    "units": {"val_accuracy": "%", "params": "1"},
    "objective": "max:val_accuracy",
}
NAN = float("nan")


def arrays() -> dict[str, Any]:
    """Five rows: 0 and 3 are replicates, 2 failed at 12, 4 altogether."""
    return {
        "decisions": np.array([[0, 0], [0, 1], [1, 0], [0, 0], [2, 1]]),
        "val_accuracy@4": np.array([50.0, 51.0, 52.0, 54.0, NAN]),
        "val_accuracy@12": np.array([70.0, 71.0, NAN, 74.0, NAN]),
        "params": np.array([100, 101, 102, 103, 104]),
        "failed@12": np.array([False, False, True, False, False]),
        "failed": np.array([False, False, False, False, True]),
    }


def table(meta: Mapping[str, Any] = META, **changes: Any) -> Table:
    """The table with other arrays; None takes one out, "__" stands for "@"."""
    given = arrays() | {name.replace("__", "@"): array for name, array in changes.items()}
    return Table(meta, {name: np.asarray(array) for name, array in given.items() if array is not None})


def member(width: int, act: str) -> Architecture:
    return Architecture("toy", (width, act))


# --- looking up ------------------------------------------------------------------------------------------------------


def test_what_it_holds() -> None:
    toy = table()
    assert len(toy) == 5
    assert toy.space.name == "toy"
    assert toy.metrics == ("val_accuracy", "params")
    assert toy.columns == ("val_accuracy@4", "val_accuracy@12", "params")
    assert toy.fidelities("val_accuracy") == toy.fidelities() == (4.0, 12.0)
    assert toy.fidelities("params") == ()
    assert [a.values for a in toy.architectures()] == [(16, "relu"), (16, "gelu"), (32, "relu"), (64, "gelu")]
    assert toy.architecture(3) == member(16, "relu")


def test_columns_hold_nan_where_it_failed() -> None:
    toy = table()
    np.testing.assert_array_equal(toy.column("val_accuracy"), [70.0, 71.0, NAN, 74.0, NAN])
    np.testing.assert_array_equal(toy.column("val_accuracy", 4), [50.0, 51.0, 52.0, 54.0, NAN])
    np.testing.assert_array_equal(toy.column("val_accuracy@4"), toy.column("val_accuracy", 4))
    np.testing.assert_array_equal(toy.column("params", 12), [100, 101, 102, 103, NAN])
    assert toy.failed().tolist() == [False, False, False, False, True]
    assert toy.failed(12).tolist() == [False, False, True, False, True]


def test_rows_of_one_architecture_are_replicates() -> None:
    toy = table()
    asked = [member(16, "relu"), member(32, "relu"), member(16, "gelu")]
    np.testing.assert_array_equal(toy.lookup(asked, "val_accuracy"), [72.0, NAN, 71.0])
    np.testing.assert_array_equal(toy.lookup(asked, "val_accuracy", 4, replicate=0), [50.0, 52.0, 51.0])
    np.testing.assert_array_equal(toy.lookup(asked[:1], "val_accuracy", replicate=1), [74.0])
    assert toy.rows(member(16, "relu")) == (0, 3)
    assert toy.row(member(16, "relu"), 1) == 3
    with pytest.raises(InvalidOption, match=r"no such replicate of .*: 2; expected 0 to 1"):
        toy.row(member(16, "relu"), 2)
    with pytest.raises(InvalidOption, match=r"no such replicate of .*: 1; expected 0$"):
        toy.lookup(asked, "val_accuracy", replicate=1)
    assert toy.lookup([], "params").shape == (0,)


def test_the_mean_leaves_failed_replicates_out() -> None:
    toy = table(failed=[True, False, False, False, True])
    np.testing.assert_array_equal(toy.lookup([member(16, "relu"), member(64, "gelu")], "val_accuracy"), [74.0, NAN])


def test_what_is_not_there_is_told_with_what_is() -> None:
    toy = table()
    assert toy.rows(member(64, "relu")) == ()
    assert toy.rows(Architecture("nasbench201", ("none",) * 6)) == ()
    with pytest.raises(InvalidArchitecture, match="not in the table 'toy table'"):
        toy.lookup([member(16, "relu"), member(64, "relu")], "params")
    with pytest.raises(InvalidOption, match="'test_accuracy'; expected one of val_accuracy@4, val_accuracy@12, params"):
        toy.column("test_accuracy")
    with pytest.raises(InvalidOption, match="not measured at this fidelity: 200; expected one of 4, 12"):
        toy.column("val_accuracy", 200)
    for metric, fidelity in (("val_accuracy@5", None), ("val_accuracy@4", 12), ("params@4", None)):
        with pytest.raises(InvalidOption, match="has no such column"):
            toy.column(metric, fidelity)


def test_texts_and_numbers_give_the_same_table() -> None:
    toy = table()
    texts = [toy.space.text(toy.architecture(row)) for row in range(5)]
    spelled = table(decisions=None, architecture=texts)
    assert spelled.architectures() == toy.architectures()
    asked = toy.architectures()
    np.testing.assert_array_equal(spelled.lookup(asked, "val_accuracy"), toy.lookup(asked, "val_accuracy"))


def test_integer_decisions_have_numbers() -> None:
    space = {"name": "toy", "decisions": {"depth": {"kind": "integer", "low": -1, "high": 3}, "act": ["relu", "gelu"]}}
    toy = table({**META, "space": space}, decisions=[[0, 0], [4, 1], [1, 0], [2, 0], [3, 1]])
    assert toy.architecture(1).values == (3, "gelu")
    assert toy.row(Architecture("toy", (3, "gelu"))) == 1


def test_it_is_immutable() -> None:
    given = arrays()
    toy = Table(META, given)
    given["params"][0] = -1
    assert toy.column("params")[0] == 100
    toy.column("params")[0] = -1
    assert toy.column("params")[0] == 100
    with pytest.raises(TypeError):
        toy.meta["name"] = "other"  # type: ignore[index]


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_saved_table_is_the_same_and_saves_the_same(tmp_path: Path) -> None:
    toy = table()
    toy.save(tmp_path / "a.npz")
    again = Table.load(tmp_path / "a.npz")
    assert dict(again.meta) == dict(toy.meta)
    assert again.columns == toy.columns
    np.testing.assert_array_equal(again.column("val_accuracy"), toy.column("val_accuracy"))
    again.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_errors_of_a_file_name_it(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", arrays())
    with pytest.raises(InvalidTable, match=r"without meta \(in .*a\.npz\)"):
        Table.load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ('{"name": NaN}', "NaN is not JSON"),
        ('{"name": "a", "name": "b"}', "a key is given twice"),
        ("[]", "meta is no JSON object"),
        (3.5, "meta is no text: 'float64"),
        (["{}", "{}"], "meta is no text: '<U2"),
    ],
)
def test_a_wrong_meta_of_a_file_is_told(tmp_path: Path, meta: Any, message: str) -> None:
    write_arrays(tmp_path / "a.npz", {"meta": np.array(meta), **arrays()})
    with pytest.raises(InvalidTable, match=message):
        Table.load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({key: ...}, f"meta does not say '{key}'") for key in META),
        ({"name": ""}, "'name' of meta must be a text: ''"),
        ({"licence": 3}, "'licence' of meta must be a text: 3"),
        ({"units": "%"}, "'units' of meta"),
        ({"units": {"params": 1}}, "'units' of meta"),
        ({"extra": {1, 2}}, "cannot be written as JSON"),
        ({"space": 3}, "'space' of meta is no space: 3"),
        ({"space": "nothing_of_this_name"}, "cannot be made: no space has this name: 'nothing_of_this_name'"),
        ({"space": {"name": "nasbench201", "size": 3}}, "cannot be made: nasbench201 has no such option: 'size'"),
        ({"space": {"name": "toy", "decisions": {}}}, "cannot be made: the space 'toy' declares no decisions"),
        ({"objective": "val_accuracy"}, "'objective' of meta is none: not an objective"),
        ({"objective": 3}, "'objective' of meta is none: 3"),
        ({"objective": []}, "'objective' of meta is none"),
        ({"objective": ["max:val_accuracy", "min:latency"]}, "names no metric of the table: 'latency'"),
    ],
)
def test_a_wrong_meta_is_told(change: dict[str, Any], message: str) -> None:
    meta = {key: value for key, value in {**META, **change}.items() if value is not ...}
    with pytest.raises(InvalidTable, match=message):
        table(meta)


def test_several_objectives_and_fidelities_may_be_named() -> None:
    table({**META, "objective": ["max:val_accuracy@12", "min:params"]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decisions": None}, "needs to say its architectures"),
        ({"architecture": ["{}"] * 5}, "either of architecture and decisions"),
        ({"decisions": None, "architecture": [1.0] * 5}, "holds no texts"),
        ({"decisions": [[0.0, 0.0]] * 5}, r"'decisions' does not fit its space: 'float64 \(5, 2\)'"),
        ({"decisions": [[0, 0, 0]] * 5}, r"does not fit its space: .* expected whole numbers \(n, 2\)"),
        ({"decisions": [[0, 0]] * 4 + [[0, 2]]}, r"row 4 .* has no choice for 'act': 2; expected 0 to 1"),
        ({"decisions": [[0, 0], [-2, 0]] + [[0, 0]] * 3}, "row 1 .* has no choice for 'width': -2"),
        ({"decisions": [[0, 0], [-1, 0]] + [[0, 0]] * 3}, "row 1 .* is no member: decision 'width' is missing"),
        ({"decisions": np.zeros((0, 2), dtype=int)}, "a table without rows"),
        ({"params": [1.0, NAN, 2.0, 3.0, NAN]}, "'params' is no finite number in row 1 .*Mark the rows that failed"),
        ({"val_accuracy__4": [1.0, 2.0, 3.0, np.inf, 4.0]}, "'val_accuracy@4' is no finite number in row 3 .*: inf"),
        ({"failed__12": None}, "'val_accuracy@12' is no finite number in row 2"),
        ({"failed": None}, "'val_accuracy@4' is no finite number in row 4"),
        ({"params": [1.0] * 4}, r"'params' has a wrong shape: \(4,\); expected \(5,\)"),
        ({"params": ["1"] * 5}, "'params' has a wrong type: '<U1'; expected numbers"),
        ({"failed": [0, 0, 0, 0, 1]}, "'failed' has a wrong type: 'int64'; expected truth values"),
        ({"failed__200": [False] * 5}, "no metric was measured at the fidelity of 'failed@200'"),
        ({"failed__x": [False] * 5}, "not a metric's name: 'failed@x'"),
        ({"accuracy": [1.0] * 5}, "must say its split: 'accuracy'"),
        ({"Params": [1.0] * 5}, "not a metric's name: 'Params'"),
        ({"val_accuracy": [1.0] * 5}, "'val_accuracy' is there with and without a fidelity"),
        ({"val_accuracy__12.0": [1.0] * 5}, "'val_accuracy' is there twice at one fidelity"),
        ({"val_accuracy__4": None, "val_accuracy__12": None, "params": None, "failed__12": None}, "without metrics"),
    ],
)
def test_wrong_arrays_are_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidTable, match=message):
        table(**changes)


def test_an_unknown_operation_is_told_with_its_row() -> None:
    space = NASBench201()
    texts = [space.text(a) for a, _ in zip(space.enumerate(), range(5), strict=False)]
    texts[3] = texts[3].replace("none~0", "conv~0", 1)
    message = r"architecture of row 3 .* unknown operation in entry 1 of group 1 \(edge1_0\): 'conv'"
    with pytest.raises(InvalidTable, match=message):
        table({**META, "space": "nasbench201"}, decisions=None, architecture=texts)


def test_real_decisions_need_text() -> None:
    space = {"name": "toy", "decisions": {"rate": {"kind": "real", "low": 0, "high": 1}, "act": ["relu", "gelu"]}}
    with pytest.raises(InvalidTable, match=r"'rate' has no choice numbers\. Write the architectures as text"):
        table({**META, "space": space})
    texts = [json.dumps({"rate": i / 10, "act": "relu"}) for i in range(5)]
    assert table({**META, "space": space}, decisions=None, architecture=texts).architecture(2).values == (0.2, "relu")


def test_members_of_spaces_with_inactive_decisions_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register_fakes(tmp_path, monkeypatch)
    meta = {**META, "space": "toy"}  # its activation is inactive at depth 0
    numbers = np.array([[0, 0, 0, -1], [0, 0, 1, 0], [1, 0, 2, 1], [0, 1, 1, 1], [2, 2, 2, 0]])
    toy = table(meta, decisions=numbers)
    assert toy.architecture(0).values[2:] == (0, None)
    assert [toy.row(toy.architecture(row)) for row in range(5)] == list(range(5))
    numbers[0, 3] = 0
    with pytest.raises(InvalidTable, match=r"row 0 .* is no member: decision 'activation' is inactive here"):
        table(meta, decisions=numbers)


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("tables") / "a.npz"
    table().save(path)
    return path.read_bytes()


def reads_or_refuses(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        toy = Table.load(path)
    except InvalidTable:
        return
    assert len(toy) == 5


places = st.integers(0, 10**6)


@settings(max_examples=400)
@given(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=8), st.booleans())
def test_changed_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes, changes: Any, near_end: bool) -> None:
    damaged = bytearray(content)
    for at, byte in changes:
        span = min(len(damaged), 700) if near_end else len(damaged)  # the central directory stands at the end
        damaged[len(damaged) - 1 - at % span] = byte
    reads_or_refuses(tmp_path_factory.getbasetemp() / "damaged.npz", bytes(damaged))


@settings(max_examples=150)
@given(places, places, st.binary(max_size=40))
def test_cut_and_inserted_bytes(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, start: int, length: int, inserted: bytes
) -> None:
    start %= len(content)
    damaged = content[:start] + inserted + content[start + length % 50 :]
    reads_or_refuses(tmp_path_factory.getbasetemp() / "damaged.npz", damaged)
    reads_or_refuses(tmp_path_factory.getbasetemp() / "damaged.npz", content[:start])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*META, "decisions", "kind", "low"]), inner)
    ),
    max_leaves=8,
)
some_arrays = st.one_of(
    st.lists(st.floats(width=32), min_size=1, max_size=6).map(np.array),
    st.lists(st.integers(-3, 300), min_size=1, max_size=6).map(np.array),
    st.lists(st.booleans(), min_size=1, max_size=6).map(np.array),
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=9), min_size=1, max_size=6).map(np.array),
)
array_names = st.sampled_from(
    ["params", "failed", "failed@12", "val_accuracy@4", "decisions", "architecture", "x@@", ""]
)


@settings(max_examples=250)
@given(
    st.dictionaries(st.sampled_from([*META, "more"]), json_values, max_size=3),
    st.dictionaries(array_names, some_arrays, max_size=3),
)
def test_any_intact_file(tmp_path_factory: pytest.TempPathFactory, meta: Any, changed: dict[str, Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.npz"
    write_arrays(path, {"meta": np.array(json.dumps({**META, **meta})), **arrays(), **changed})
    read_arrays(path)
    reads_or_refuses(path, path.read_bytes())
