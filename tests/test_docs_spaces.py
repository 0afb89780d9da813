"""docs/spaces.md names every space of nas-spaces with the views that it has."""

from __future__ import annotations

import re
from pathlib import Path

from nas_core.registry import entries, from_config
from nas_core.space import HasWirings, capabilities

PAGE = Path(__file__).resolve().parents[1] / "docs" / "spaces.md"
CONFIGURED = {"declared", "restricted"}
"""Spaces whose views depend on their options."""


def tables() -> list[dict[str, list[str]]]:
    """The tables whose first column is a name: the other cells of each row by name."""
    found = []
    for block in PAGE.read_text(encoding="utf-8").split("\n\n"):
        rows = [[cell.strip() for cell in line.strip("|").split(" |")] for line in block.strip().splitlines()]
        if rows[0][0] == "name":
            found.append({row[0].strip("`"): row[1:] for row in rows[2:]})
    return found


def test_every_space_stands_in_every_table() -> None:
    names = {entry.name for entry in entries("space") if entry.package == "nas-spaces"}
    assert len(tables()) == 3
    for table in tables():
        assert set(table) == names


def test_the_views_are_those_of_the_code() -> None:
    for name, (_, views, _) in tables()[0].items():
        if name in CONFIGURED:
            continue
        space = from_config("space", {"name": name})
        has = capabilities(space) - {"decisions"} | ({"wirings"} if isinstance(space, HasWirings) else set())
        assert set(views.split(", ")) == has, name


def test_the_numbers_of_members_and_classes_are_those_of_the_code() -> None:
    members, twins, _ = tables()
    for name in members.keys() - CONFIGURED:
        space = from_config("space", {"name": name})
        size, classes = getattr(space, "size", None), getattr(space, "classes", None)
        if size is not None and size < 10**15:
            assert f"{size:,}" in members[name][2]
        if size is not None and size >= 10**15:
            assert f"{size:.2e}".replace("e+", "e") in members[name][2]
        if classes is not None:
            assert f"{classes:,}" in twins[name][2]
        rules = getattr(space, "twin_rules", None)
        assert re.match(rf"`{rules}`" if rules else "none", twins[name][1]), name
