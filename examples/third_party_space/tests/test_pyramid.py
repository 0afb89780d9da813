"""The space keeps the contract of all spaces; sizes and parameters by hand."""

from __future__ import annotations

import pytest
from pyramid_space.space import Pyramid

from nas_core.cost import cost
from nas_core.errors import InvalidArchitecture, InvalidNetwork, InvalidSpace
from nas_core.network import Task
from nas_core.space import capabilities
from nas_core.testing import SpaceContract

SPACE = Pyramid()
DIGITS = Task("classification", (1, 8, 8), 10)


class TestPyramid(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "pyramid_space.space:Pyramid"

    @pytest.fixture
    def task(self) -> Task:
        return DIGITS


def test_what_it_can_do() -> None:
    assert capabilities(SPACE) == {"decisions", "enumerate", "network"}


def test_sizes() -> None:
    # 4 widths x 3 depths a stage, 2 kernels: 2 * (12 + 144 + 1728), 2 * 12
    assert SPACE.size == 3768
    assert Pyramid(1).size == 24
    assert len(set(SPACE.enumerate())) == 3768


def test_parameters_by_hand() -> None:
    a = SPACE.parse("8x2-16x1 k3")
    assert SPACE.text(a) == "8x2-16x1 k3"
    assert a.values == (2, 3, 8, 2, 16, 1, None, None)
    # convolutions 1 -> 8 -> 8 -> 16 with a scale and a shift a channel each, then 16 x 10 and 10
    expected = 9 * 8 + 16 + 9 * 8 * 8 + 16 + 9 * 8 * 16 + 32 + 160 + 10
    assert cost(SPACE.network(a, DIGITS)).parameters == expected


@pytest.mark.parametrize("text", ["", "8x2", "8x2 k4", "7x2 k3", "8x4 k3", "8x2- k3", "8x1-8x1-8x1-8x1 k3", "08x1 k3"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArchitecture):
        SPACE.parse(text)


def test_options_are_checked() -> None:
    with pytest.raises(InvalidSpace, match="1 to 4"):
        Pyramid(5)
    with pytest.raises(InvalidNetwork, match="multiplier"):
        SPACE.network(SPACE.parse("8x1 k3"), DIGITS, multiplier=0)
    with pytest.raises(InvalidNetwork, match="classif"):
        SPACE.network(SPACE.parse("8x1 k3"), Task("language", (8,), 10))
