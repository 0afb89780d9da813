"""Pictures of graphs of graphs and of labelled graphs: what is shown, and that no box covers another."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from html import unescape
from itertools import combinations, pairwise
from typing import Any

import pytest

from nas_core.architecture import Architecture
from nas_core.graph import Graph
from nas_core.nested import NestedGraph
from nas_core.random import derived_seed
from nas_core.space import HasWirings, Space
from nas_core.testing.fakes import ToySpace
from nas_core.trial import Proposal, Status, Trial
from nas_search.report.cell import Panel, colours, draw_graphs
from nas_search.report.nested import draw_nested
from nas_search.report.page import WIDEST
from nas_search.report.pictures import svg_text
from nas_search.report.table import Row
from nas_search.report.write import draw_architectures, draw_trials

if importlib.util.find_spec("matplotlib") is None:
    pytest.skip("pictures need matplotlib, the extra report", allow_module_level=True)


def chain(labels: Sequence[str]) -> Graph:
    return Graph(tuple(labels), tuple(pairwise(range(len(labels)))))


def grown(*sizes: int, label: str = "conv") -> NestedGraph:
    """Chains of chains, of so many nodes on each level."""
    first, *rest = sizes
    parts = tuple(grown(*rest, label=label) for _ in range(first)) if rest else ()
    labels = [f"stage{i % 3}" for i in range(first)] if len(rest) == 2 else [label if not rest else "block"] * first
    return NestedGraph(chain(labels), ("sum",) * first, parts)


def boxes(figure: Any) -> list[tuple[float, float, float, float]]:
    """Left, bottom, right and top of every box."""
    from matplotlib.patches import FancyBboxPatch

    [axes] = figure.axes
    found = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    return [(p.get_x(), p.get_y(), p.get_x() + p.get_width(), p.get_y() + p.get_height()) for p in found]


def dots(figure: Any) -> list[Any]:
    """The lines of one point that are no entries of the legend."""
    [axes] = figure.axes
    return [line for line in axes.lines if line.get_markeredgewidth() == 0]


def shown(figure: Any) -> list[str]:
    """Every text of a picture: matplotlib names it in a comment."""
    return [unescape(text) for text in re.findall(r"<!-- (.*?) -->", svg_text(figure))]


def holds(outer: Sequence[float], inner: Sequence[float]) -> bool:
    return all(a < b for a, b in zip(outer[:2], inner[:2], strict=True)) and all(
        a > b for a, b in zip(outer[2:], inner[2:], strict=True)
    )


def test_levels_that_fit_stand_inside_each_other() -> None:
    figure = draw_nested([("three levels", grown(3, 2, 2))])
    # 3 cells, 6 blocks and 12 dots, every block within its cell
    found = boxes(figure)
    assert len(found) == 3 + 6
    assert sum(holds(a, b) for a in found for b in found) == 6
    assert len(dots(figure)) == 12
    assert {"three levels", "stage0", "stage1", "stage2", "conv"} == set(shown(figure))


def test_what_does_not_fit_is_enlarged_from_its_first_part() -> None:
    # one cell that feeds nine others; nine blocks of nine dots in a row take 36 inches
    star = Graph(("cell",) * 10, tuple((0, i) for i in range(1, 10)))
    figure = draw_nested([("wide", NestedGraph(star, parts=(grown(9, 9),) * 10))])
    cells = [f"{i}.{j}" for i in range(1, 11) for j in range(1, 10)]
    assert set(shown(figure)) == {"wide", *cells, "1.1 enlarged", "conv"}
    assert len(dots(figure)) == 9


def test_every_part_of_a_chain_is_enlarged() -> None:
    figure = draw_nested([("chain", grown(3, 30))])
    assert {"1 enlarged", "2 enlarged", "3 enlarged"} <= set(shown(figure))
    assert len(dots(figure)) == 90


def test_levels_of_one_node_are_left_out() -> None:
    figure = draw_nested([("one block a cell", grown(3, 1, 4))])
    assert len(boxes(figure)) == 3
    assert len(dots(figure)) == 12


def test_ways_of_merging_are_told_where_there_are_several() -> None:
    join = Graph(("conv", "pool", "conv", "conv"), ((0, 2), (1, 2), (0, 3), (2, 3)))
    same = draw_nested([("", NestedGraph(join, ("sum",) * 4))])
    assert set(shown(same)) == {"conv", "pool"}
    assert {dot.get_marker() for dot in dots(same)} == {"o"}
    # node 0 and 1 read nothing: what they would merge with does not show
    other = draw_nested([("", NestedGraph(join, ("gate", "gate", "sum", "concatenation")))])
    assert set(shown(other)) == {"conv", "pool", "sum", "concatenation"}
    assert [dot.get_marker() for dot in dots(other)] == ["o", "o", "D", "s"]


def test_colours_of_dots_tell_their_labels() -> None:
    graph = chain(["conv", "pool", "conv"])
    first, second, third = [dot.get_color() for dot in dots(draw_nested([("", NestedGraph(graph))]))]
    assert first == third != second


class Generators(Space):
    """A space of one decision whose members draw chains of as many nodes as the seed's last digit says."""

    name = "generators"
    decisions = ToySpace().decisions[:1]

    def wirings(self, a: Architecture, seed: int = 0) -> NestedGraph:
        return NestedGraph(chain([str(a.values[0])] * (1 + seed % 10)))

    def to_config(self) -> dict[str, Any]:
        return {"name": self.name}


def test_a_generator_is_drawn_with_its_seed() -> None:
    space = Generators()
    assert isinstance(space, HasWirings)
    member = space.canonical(["pool"])
    assert len(dots(draw_architectures(space, [member], ["title"]))) == 1
    assert len(dots(draw_architectures(space, [member, member], ["one", "two"], [3, 14]))) == 4 + 5


def test_a_trial_is_drawn_as_it_was_trained() -> None:
    from nas_core.objective import Objectives

    space = Generators()
    member = space.canonical(["pool"])
    trial = Trial(0, Proposal(member, draw=2), Status.RUNNING, None)
    row = Row(None, trial, None, space.text(member))
    figure = draw_trials(space, Objectives.parse(["max:val_accuracy"]), [row], 7)
    assert len(dots(figure)) == 1 + derived_seed(7, "draw", space.text(member), 2) % 10


def test_numbers_of_inputs_are_shown_once_and_only_where_they_differ() -> None:
    alike = Graph(("a", "b", "sum"), ((0, 2), (1, 2)), (0, 0))
    assert "0" not in shown(draw_graphs([Panel("", alike)]))
    several = Graph(("a", "b", "c", "output"), ((0, 3), (1, 3), (2, 3)), (0, 0, 1))
    assert sorted(text for text in shown(draw_graphs([Panel("", several)])) if text.isdecimal()) == ["0", "1"]


def test_a_box_with_many_inputs_has_room_for_their_numbers() -> None:
    ports = 9
    graph = Graph((*["a"] * ports, "output"), tuple((i, ports) for i in range(ports)), tuple(range(ports)))
    figure = draw_graphs([Panel("", graph)])
    [axes] = figure.axes
    heights = sorted(text.get_position()[1] for text in axes.texts if text.get_text().isdecimal())
    assert len(heights) == ports
    assert min(b - a for a, b in pairwise(heights)) > 0.1  # inches; a number is 0.07 high


def test_long_chains_go_on_below() -> None:
    graph = chain(["input", *["operation"] * 20, "output"])
    figure = draw_graphs([Panel("long", graph)])
    width, height = figure.get_size_inches()
    assert width <= WIDEST + 0.5
    assert len({round(box[1], 3) for box in boxes(figure)}) == 3
    assert height > 1.5


def test_words_stand_for_labels() -> None:
    graph = chain(["input", "1", "2"])
    words = shown(draw_graphs([Panel("", graph)], words={"1": "block"}))
    assert words == ["input", "block", "2"]


def test_inputs_of_recurrent_cells_are_grey() -> None:
    chosen = colours(["x", "h_prev_0", "tanh", "output"])
    assert chosen["x"] == chosen["h_prev_0"] == chosen["output"] != chosen["tanh"]


@pytest.mark.parametrize("sizes", [(3, 2, 2), (4, 3), (7, 6, 5), (40,)])
def test_no_box_covers_another_and_none_is_cut(sizes: tuple[int, ...]) -> None:
    figure = draw_nested([("title", grown(*sizes))])
    width, height = figure.get_size_inches()
    found = boxes(figure)
    assert all(holds((0, 0, width, height), box) for box in found)
    for a, b in combinations(found, 2):
        apart = a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
        assert apart or holds(a, b) or holds(b, a)
