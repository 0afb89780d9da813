"""Spaces: the contract on the toy spaces, the defaults that a space inherits, and capabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Integer, Real, Value
from nas_core.errors import InvalidArchitecture, MissingCapability
from nas_core.random import rng
from nas_core.space import Space, capabilities, require
from nas_core.testing import ContinuousToySpace, SpaceContract, ToySpace


class Kernels(Space):
    """A width, and a kernel that means something only where the operation is a convolution."""

    name = "kernels"
    decisions = (Categorical("operation", ("conv", "skip")), Integer("kernel", 1, 3), Real("rate", 0.0, 1.0))

    def active(self, values: Sequence[Value | None]) -> tuple[bool, ...]:
        return (True, values[0] == "conv", True)

    def to_config(self) -> dict[str, Any]:
        return {"name": "kernels"}


class Single(Space):
    """One member."""

    name = "single"
    decisions = (Categorical("only", ("this",)),)

    def to_config(self) -> dict[str, Any]:
        return {"name": "single"}


class TestToySpace(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_core.testing.fakes:ToySpace"


class TestSmallToySpace(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_core.testing.fakes:ToySpace"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"operations": 2, "deepest": 1}


class TestContinuousToySpace(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_core.testing.fakes:ContinuousToySpace"


def test_architectures_are_values() -> None:
    a = Kernels().canonical(["conv", 3, 0.5])
    assert a == Architecture("kernels", ("conv", 3, 0.5))
    assert hash(a) == hash(Kernels().project(["conv", 3, 0.5]))
    assert a != Architecture("other", ("conv", 3, 0.5))


def test_project_fills_and_empties() -> None:
    space = Kernels()
    assert space.project(["skip", 3, 2.0]).values == ("skip", None, 1.0)
    assert space.project([None, None, None]).values == ("conv", 1, 0.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("conv", 3), "kernels has 3 decisions"),
        (("pool", 3, 0.5), "decision 'operation' has no such choice: 'pool'; expected one of conv, skip"),
        (("conv", 4, 0.5), "decision 'kernel' cannot be set: 4; expected a whole number from 1 to 3"),
        (("conv", None, 0.5), "decision 'kernel' is missing; expected a value such as 1"),
        (("skip", 3, 0.5), "decision 'kernel' is inactive here: 3; expected None"),
        ((None, 3, 0.5), "decision 'operation' is missing; expected a value such as 'conv'"),
    ],
)
def test_canonical_says_why_there_is_no_such_member(values: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidArchitecture) as caught:
        Kernels().canonical(values)
    assert str(caught.value).startswith(message)


def test_neighbours_are_one_step_away() -> None:
    steps = Kernels().neighbors(Kernels().canonical(["conv", 3, 0.0]))
    assert [step.values for step in steps] == [
        ("skip", None, 0.0),
        ("conv", 1, 0.0),
        ("conv", 2, 0.0),
        ("conv", 3, pytest.approx(0.1)),
    ]


def test_a_step_of_an_inactive_decision_is_none() -> None:
    steps = Kernels().neighbors(Kernels().canonical(["skip", None, 1.0]))
    assert [step.values for step in steps] == [("conv", 1, 1.0), ("skip", None, pytest.approx(0.9))]


def test_a_single_member_has_no_mutation() -> None:
    with pytest.raises(InvalidArchitecture, match="no neighbours in single"):
        Single().mutate(Single().sample(rng(0), 1)[0], rng(0))


def test_text_is_json_of_the_active_decisions() -> None:
    space = Kernels()
    assert space.text(space.canonical(["skip", None, 0.1])) == '{"operation":"skip","rate":0.1}'
    assert space.parse(' {"rate": 0.1, "operation": "skip", "kernel": null} ').values == ("skip", None, 0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conv", "not an architecture's text"),
        ("[]", "expected a JSON object of decisions"),
        ("[" * 100_000, "not an architecture's text"),
        ('{"operation":"conv","kernal":3,"rate":0}', "kernels has no decision 'kernal'"),
        ('{"operation":"conv","rate":0}', "decision 'kernel' is missing"),
        ('{"operation":["conv"],"kernel":3,"rate":0}', "no such choice"),
        ('{"operation":"conv","kernel":3,"rate":NaN}', "decision 'rate' cannot be set"),
        ('{"operation":"conv","kernel":3,"rate":1' + "0" * 400 + "}", "decision 'rate' cannot be set"),
    ],
)
def test_parse_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        Kernels().parse(text)


def test_capabilities_are_what_a_space_has_methods_for() -> None:
    assert capabilities(ToySpace()) == {"decisions", "enumerate", "graphs", "tokens", "twins", "network"}
    assert capabilities(ContinuousToySpace()) == {"decisions", "network"}
    assert capabilities(Kernels()) == {"decisions"}


def test_a_missing_capability_is_named_with_both_sides() -> None:
    require(ToySpace(), frozenset({"graphs", "tokens"}), "the GCN")
    with pytest.raises(MissingCapability) as caught:
        require(ContinuousToySpace(), frozenset({"tokens", "graphs", "network"}), "the GCN")
    assert str(caught.value) == (
        "the GCN needs graphs, tokens, which the space 'continuous_toy' does not have; "
        "expected a space with graphs, network, tokens; it has decisions, network"
    )
