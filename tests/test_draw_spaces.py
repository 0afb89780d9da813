"""A picture of a member of every registered space: all its labels are there, no box covers another or is cut."""

from __future__ import annotations

import re
from html import unescape
from itertools import combinations
from typing import Any

import pytest

from nas_core.random import rng
from nas_core.registry import entries, from_config
from nas_core.space import HasGraphs, HasLabelWords, HasWirings
from nas_search.report.pictures import svg_text
from nas_search.report.write import draw_architectures

WITHOUT = {"declared": "declares decisions, no graphs", "restricted": "draws as the space that it restricts"}
NAMES = [entry.name for entry in entries("space") if entry.package == "nas-spaces" and entry.name not in WITHOUT]


def boxes(figure: Any) -> list[tuple[float, float, float, float]]:
    """Left, bottom, right and top of every box."""
    from matplotlib.patches import FancyBboxPatch

    [axes] = figure.axes
    found = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    return [(p.get_x(), p.get_y(), p.get_x() + p.get_width(), p.get_y() + p.get_height()) for p in found]


def holds(outer: tuple[float, ...], inner: tuple[float, ...]) -> bool:
    return outer[0] < inner[0] and outer[1] < inner[1] and outer[2] > inner[2] and outer[3] > inner[3]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_member_is_a_whole_picture(name: str, seed: int) -> None:
    space = from_config("space", {"name": name})
    [member] = space.sample(rng(seed, "picture"), 1)
    figure = draw_architectures(space, [member], [name], [seed])
    width, height = figure.get_size_inches()
    assert max(width, height) < 30
    found = boxes(figure)
    assert all(holds((0, 0, width, height), box) for box in found)
    for a, b in combinations(found, 2):
        apart = a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
        assert apart or holds(a, b) or holds(b, a)
    shown = {unescape(text) for text in re.findall(r"<!-- (.*?) -->", svg_text(figure))}
    if isinstance(space, HasWirings):
        assert {"stage0", "stage1", "stage2", "conv3x3"} <= shown
    else:
        assert isinstance(space, HasGraphs)
        words = space.label_words if isinstance(space, HasLabelWords) else {}
        labels = {label for graph in space.graphs(member).values() for label in graph.labels}
        assert {words.get(label, label) for label in labels} <= shown
