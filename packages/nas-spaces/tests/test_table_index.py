"""Rows are found one at a time and in batches alike, against a dict; large arrays are mapped from the file."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.architecture import Architecture
from nas_core.errors import InvalidArchitecture, InvalidOption, InvalidTable
from nas_core.random import rng
from nas_spaces.declared import DeclaredSpace
from nas_spaces.nasbench101 import NASBench101
from nas_spaces.tables import Table, index, npz
from nas_spaces.tables.format import member
from nas_spaces.tables.index import ABSENT, NumberIndex, TextIndex
from nas_spaces.tables.npz import read_arrays, write_arrays

SMALL: dict[str, list[Any]] = {"width": [16, 32, 64], "op": ["a", "b"], "flag": [True, False], "k": [32, 16]}
# more than a byte can tell apart, and more members than a whole number can
WIDE: dict[str, list[Any]] = {f"d{i}": [f"{i}:{k}" for k in range(40)] for i in range(13)}
SPACES = {"small": DeclaredSpace(SMALL, "x"), "wide": DeclaredSpace(WIDE, "x")}


@pytest.mark.parametrize("name", SPACES)
@given(data=st.data())
def test_both_find_what_a_dict_finds(name: str, data: st.DataObject) -> None:
    space = SPACES[name]
    row = st.tuples(*(st.integers(0, min(int(d.size or 0), 3) - 1) for d in space.decisions))
    rows, wanted = data.draw(st.lists(row, min_size=1, max_size=20)), data.draw(st.lists(row, max_size=20))
    expected = defaultdict(list)
    for i, one in enumerate(rows):
        expected[one].append(i)
    numbers = np.array(rows)
    members = [member(one, space) for one in numbers]
    asked = np.array(wanted + rows)
    for made in (NumberIndex(numbers, space), TextIndex(members)):
        architectures = [member(one, space) for one in asked]
        groups = made.groups(architectures)
        assert groups.tolist() == [made.group(a) for a in architectures]
        if isinstance(made, NumberIndex):
            assert made.groups_of_numbers(asked).tolist() == groups.tolist()
        for one, group in zip(map(tuple, asked.tolist()), groups.tolist(), strict=True):
            found = [] if group == ABSENT else made.order[made.starts[group] : made.starts[group + 1]].tolist()
            assert found == expected.get(one, [])
        assert sorted(made.order.tolist()) == list(range(len(rows)))


def test_what_is_no_member_is_not_found() -> None:
    """Nor is it taken for another: 64 is a choice of another decision, 1 equals True."""
    space = SPACES["small"]
    made = NumberIndex(np.array([[0, 0, 0, 0], [2, 1, 1, 1]]), space)
    for values in (
        (16, "a", True, 64),
        (16, "a", True, "c"),
        (16, "a", True),
        (8, "a", True, 32),
        (16, None, True, 32),
    ):
        a = Architecture("x", values)
        assert made.group(a) == ABSENT
        assert made.groups([a, Architecture("x", (16, "a", True, 32))]).tolist() == [ABSENT, 0]
    outside = np.array([[3, 0, 0, 0], [-2, 0, 0, 0], [0, 0, 0, 2], [-1, 0, 0, 0], [0, 0, 0, 0]])
    assert made.groups_of_numbers(outside).tolist() == [ABSENT] * 4 + [0]


def test_more_members_than_are_looked_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_BLOCK", 7)
    space = NASBench101()
    members = list(dict.fromkeys(space.sample(rng(0, "test"), 40)))
    texts = np.array([space.text(a) for a in members])
    meta = {"name": "t", "space": space.name, "source": "s", "licence": "l", "units": {}, "objective": "max:val_loss"}
    by_text = Table(meta, {"architecture": texts, "val_loss": np.arange(len(members))})
    numbers = [
        [-1 if v is None else d.choices.index(v) for d, v in zip(space.decisions, a.values, strict=True)]  # type: ignore[union-attr]
        for a in members
    ]
    by_number = Table(meta, {"decisions": np.array(numbers, dtype=np.int8), "val_loss": np.arange(len(members))})
    order = rng(1, "test").permutation(len(members))
    wanted = [members[i] for i in order]
    for table in (by_text, by_number):
        assert table.lookup(wanted, "val_loss").tolist() == order.tolist()
        assert table.lookup(np.array(numbers)[order], "val_loss").tolist() == order.tolist()
        assert table.lookup([], "val_loss").tolist() == []
        assert table.architectures() == members


def table_of(numbers: list[list[int]], values: list[float], failed: list[bool]) -> Table:
    meta = {
        "name": "t",
        "space": {"name": "x", "decisions": SMALL},
        "source": "s",
        "licence": "l",
        "units": {},
        "objective": "min:val_loss",
    }
    return Table(meta, {"decisions": np.array(numbers), "val_loss": np.array(values), "failed": np.array(failed)})


def test_lookups_by_numbers_and_of_replicates() -> None:
    one, two, three = [0, 0, 0, 0], [1, 0, 0, 1], [2, 1, 1, 1]
    table = table_of([two, one, two, two, three], [1, 2, 3, 8, 5], [False, False, False, True, True])
    wanted = np.array([one, two, three, two])
    members = [member(row, table.space) for row in wanted]
    for asked in (wanted, members):
        np.testing.assert_array_equal(table.lookup(asked, "val_loss"), [2, 2, np.nan, 2])  # of what did not fail
        np.testing.assert_array_equal(table.lookup(asked, "val_loss", replicate=0), [2, 1, np.nan, 1])
        with pytest.raises(InvalidOption, match=r"no such replicate of .*16.*: 1; expected 0"):
            table.lookup(asked, "val_loss", replicate=1)
        with pytest.raises(InvalidOption, match="no such replicate"):
            table.lookup(asked, "val_loss", replicate=-1)
    np.testing.assert_array_equal(table.lookup(wanted[[1, 3]], "val_loss", replicate=2), [np.nan, np.nan])
    for numbers in ([[0, 0, 0, 1]], [[0, 0, 0, 9]], [[0, 0, 0, -1]]):
        with pytest.raises(InvalidArchitecture, match=r"not in the table 't'"):
            table.lookup(np.array(numbers), "val_loss")
    wrong: Any
    for wrong in (np.zeros((1, 3), dtype=int), np.zeros((1, 4)), np.zeros(4, dtype=int)):
        with pytest.raises(InvalidOption, match="not the choice numbers"):
            table.lookup(wrong, "val_loss")
    with pytest.raises(InvalidArchitecture, match="not in the table"):
        table.lookup([Architecture("other", members[0].values)], "val_loss")


def test_large_arrays_are_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "_MAPPED", 100)
    arrays = {"large": np.arange(50.0).reshape(25, 2), "small": np.arange(3), "text": np.array(["ab" * 40, "c"])}
    np.savez(tmp_path / "stored.npz", **arrays)  # type: ignore[arg-type]
    write_arrays(tmp_path / "packed.npz", arrays)
    for name in ("stored.npz", "packed.npz"):
        found = read_arrays(tmp_path / name)
        for key, array in arrays.items():
            np.testing.assert_array_equal(found[key], array)
            assert not found[key].flags.writeable
    base: Any = read_arrays(tmp_path / "stored.npz")["large"]
    while isinstance(base, np.ndarray):
        base = base.base
    assert type(base.obj).__name__ == "mmap"


def test_damage_of_a_mapped_array_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "_MAPPED", 100)
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(100.0))
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start = archive.infolist()[0].header_offset
    for at in (start, start + 26, start + 28, start + 300):  # signature, length of the name, of the rest, content
        changed = bytearray(whole)
        changed[at] ^= 0x11
        path.write_bytes(changed)
        with pytest.raises(InvalidTable, match=r"damaged|not an intact"):
            read_arrays(path)
