"""Closed restriction of a space to listed members."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.architecture import Architecture
from nas_core.errors import InvalidArchitecture, InvalidSpace, InvalidTable
from nas_core.random import rng
from nas_core.registry import from_config
from nas_core.space import capabilities
from nas_core.testing import SpaceContract
from nas_spaces.declared import DeclaredSpace
from nas_spaces.nasbench101 import OPERATIONS, NASBench101
from nas_spaces.nasbench201 import NASBench201
from nas_spaces.restricted import ENOUGH, MOST_MET, RestrictedSpace
from nas_spaces.tables import Table
from nas_spaces.tables.evaluator import TableEvaluator

WHOLE = NASBench101()
LISTED = list(dict.fromkeys(WHOLE.sample(rng(0), 300)))
SPACE = RestrictedSpace(WHOLE, LISTED)
LINE = DeclaredSpace({"a": list(range(40)), "b": [0, 1]}, "line")


class TestSomeOfNASBench101(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_spaces.restricted:RestrictedSpace"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"space": {"name": "nasbench101"}, "members": [WHOLE.text(a) for a in LISTED]}

    @pytest.fixture
    def network_options(self) -> dict[str, object]:
        return {"channels": 5, "cells": 1}


class TestSomeOfNASBench201(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_spaces.restricted:RestrictedSpace"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        whole = NASBench201()
        return {"space": {"name": "nasbench201"}, "members": [whole.text(a) for a in set(whole.sample(rng(0), 200))]}

    @pytest.fixture
    def network_options(self) -> dict[str, object]:
        return {"channels": 4, "cells": 1}


def renumbered(a: Architecture) -> Architecture:
    """An isomorphic member of the whole space in another order of vertices, or the same where there is none."""
    graph = WHOLE.graphs(a)["cell"]
    for i in range(1, len(graph.labels) - 2):
        if (i, i + 1) not in graph.edges:
            order = [*range(i), i + 1, i, *range(i + 2, len(graph.labels))]
            return WHOLE.from_graphs({"cell": graph.relabelled(order)})
    return a


def test_it_has_what_the_whole_space_has() -> None:
    assert capabilities(SPACE) == capabilities(WHOLE)
    assert capabilities(RestrictedSpace(LINE, list(LINE.enumerate())[:3])) == {"decisions", "enumerate"}
    assert (SPACE.name, SPACE.decisions) == (WHOLE.name, WHOLE.decisions)


def test_its_members_are_the_listed_ones_in_order() -> None:
    assert list(SPACE.enumerate()) == LISTED
    assert SPACE.size == len(LISTED)


def test_samples_are_uniform_among_the_members() -> None:
    small = RestrictedSpace(WHOLE, LISTED[:4])
    drawn = small.sample(rng(0), 4000)
    # Six standard errors around 1,000: a false alarm in one of 1e8 seeds.
    assert all(abs(drawn.count(a) - 1000) < 6 * (4000 * 0.25 * 0.75) ** 0.5 for a in LISTED[:4])


def test_what_is_not_listed_is_refused_by_name() -> None:
    other = next(a for a in WHOLE.sample(rng(1), 20) if a not in LISTED)
    with pytest.raises(InvalidArchitecture, match=r"not among the \d+ members listed of nasbench101"):
        SPACE.parse(WHOLE.text(other))
    with pytest.raises(InvalidArchitecture, match="not among"):
        SPACE.canonical(other.values)
    with pytest.raises(InvalidArchitecture, match="not among"):
        SPACE.from_tokens(WHOLE.tokens(other))
    with pytest.raises(InvalidArchitecture, match="not among"):
        SPACE.from_graphs(WHOLE.graphs(other))


def test_an_isomorphic_member_stands_for_a_cell_and_is_named() -> None:
    a = next(a for a in LISTED if renumbered(a) not in LISTED)
    other = renumbered(a)
    assert SPACE.member(other) == a
    assert SPACE.from_graphs(WHOLE.graphs(other)) == a
    assert SPACE.project(other.values) == a
    with pytest.raises(InvalidArchitecture, match="has an isomorphic graph"):
        SPACE.canonical(other.values)


def test_neighbours_by_a_walk_of_its_own() -> None:
    """Among small cells, a fifth of which are listed, by graph keys."""
    listed = {WHOLE.graph_key(a): a for a in list(WHOLE.enumerate())[:2500:5]}
    space = RestrictedSpace(WHOLE, list(listed.values()))
    compared = 0
    for start, a in list(listed.items())[::20]:
        found: dict[str, Architecture] = {}
        met, ring = {start}, [a]
        while len(found) < ENOUGH and len(met) <= MOST_MET:
            reached = [b for here in ring for b in WHOLE.neighbors(here)]
            keys = {WHOLE.graph_key(b): b for b in reached if WHOLE.graph_key(b) not in met}
            met |= set(keys)
            found |= {key: listed[key] for key in keys if key in listed}
            ring = [b for key, b in keys.items() if key not in listed]
        if len(met) <= MOST_MET:
            compared += 1
            assert set(space.neighbors(a)) == set(found.values())
    assert compared > 10


def test_where_the_walk_finds_too_few_the_nearest_by_decisions_make_up_the_number() -> None:
    wide = DeclaredSpace({f"d{i}": list(range(60)) for i in range(5)}, "wide")
    distances = [0, 3, 4, 3, 5, 4, 5]  # of each member from the first, in decisions that differ
    members = [wide.canonical([0] * (5 - far) + [i] * far) for i, far in enumerate(distances)]
    space = RestrictedSpace(wide, members)
    assert space.neighbors(members[0]) == [members[i] for i in (1, 3, 2, 5, 4)]
    assert RestrictedSpace(wide, members[:1]).neighbors(members[0]) == []
    with pytest.raises(InvalidArchitecture, match="no neighbours"):
        RestrictedSpace(wide, members[:1]).mutate(members[0], rng(0))


def test_values_of_no_member_are_projected_onto_the_nearest() -> None:
    members = [LINE.canonical([3, 0]), LINE.canonical([5, 1]), LINE.canonical([5, 0])]
    space = RestrictedSpace(LINE, members)
    assert space.project([5, 0]) == members[2]
    assert space.project([7, 1]) == members[1]
    assert space.project([7, 0]) == members[0]  # as near as the third, and before it


def test_legal_tokens_lead_along_the_members_only() -> None:
    assert SPACE.legal_tokens(()) == tuple(sorted({WHOLE.tokens(a)[0] for a in LISTED}))
    prefix = WHOLE.tokens(LISTED[0])[:12]
    following = {WHOLE.tokens(a)[12] for a in LISTED if WHOLE.tokens(a)[:12] == prefix}
    assert set(SPACE.legal_tokens(prefix)) == following


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either a table, or a space and its members"),
        ({"space": WHOLE}, "either a table"),
        ({"space": WHOLE, "members": LISTED[:1], "table": "x.npz"}, "either a table"),
        ({"space": WHOLE, "members": []}, "without members"),
        ({"space": "nasbench101", "members": [7]}, "as architectures or texts: 7"),
        ({"space": WHOLE, "members": [LISTED[0], LISTED[0]]}, "listed twice"),
    ],
)
def test_a_wrong_list_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpace, match=message):
        RestrictedSpace(**arguments)


def test_a_text_that_is_no_member_is_refused() -> None:
    with pytest.raises(InvalidArchitecture, match="no path leads"):
        RestrictedSpace(WHOLE, ["0|"])


def table_of(folder: Path, texts: list[str]) -> str:
    meta = {
        "name": "a few cells", "space": "nasbench101", "source": "a test", "licence": "none", "units": {},
        "objective": "max:val_accuracy",
    }  # fmt: skip
    file = folder / "few.npz"
    Table(meta, {"architecture": np.array(texts), "val_accuracy": np.arange(float(len(texts)))}).save(file)
    return str(file)


def test_a_table_says_what_the_members_are(tmp_path: Path) -> None:
    texts = ["1|", *[f"101|{name}" for name in OPERATIONS]]
    file = table_of(tmp_path, texts)
    space = from_config("space", {"name": "restricted", "table": file})
    assert [space.text(a) for a in space.enumerate()] == texts
    assert space.to_config() == {"name": "restricted", "table": file}
    assert isinstance(space.inner, NASBench101)


def test_mutation_goes_from_member_to_member() -> None:
    stream, here = rng(0, "walk"), LISTED[0]
    met = set()
    for _ in range(50):
        here = SPACE.mutate(here, stream)
        met.add(here)
    assert met <= set(LISTED)
    assert len(met) > 10


def test_a_part_of_a_space_is_measured_by_a_table_of_the_whole(tmp_path: Path) -> None:
    seven = NASBench101(7)
    members = seven.sample(rng(0), 3)
    file = table_of(tmp_path, [WHOLE.text(a) for a in members])
    for part in (seven, RestrictedSpace(table=file), RestrictedSpace(seven, members)):
        TableEvaluator(file).prepare(part)
    with pytest.raises(InvalidTable, match="another space"):
        TableEvaluator(file).prepare(NASBench201())
