"""Shared weights: one tensor a position, state that goes on exactly, batch statistics of each member's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical
from nas_core.errors import InvalidNetwork, InvalidOption, TrialFailed
from nas_core.evaluator import Evaluation, GroupEvaluator
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.optimizer import State
from nas_core.primitives import Activation, Concatenation, Linear, StateIn, StateOut
from nas_core.random import rng
from nas_core.space import Space
from nas_core.testing.evaluators import EvaluatorContract
from nas_core.testing.fakes import ToySpace
from nas_core.trial import Failure, Measurement
from nas_train.build import BuiltNetwork, build, initialise
from nas_train.data import ImageSet
from nas_train.language.text import TextSet
from nas_train.modules import BatchNorm
from nas_train.shared_weights.bank import Bank, recompute_statistics
from nas_train.shared_weights.evaluator import SharedWeightsEvaluator
from nas_train.shared_weights.language import SharedLanguageEvaluator

RECIPE = {"name": "quick", "epochs": 8, "batch": 16, "learning_rate": 0.1, "padding": 1, "drop_path": 0.1}
TEXT_RECIPE = {
    "name": "quick",
    "epochs": 8,
    "batch": 4,
    "learning_rate": 0.02,
    "truncation": 7,
    "optimizer": "adam",
    "embedding": 6,
    "drop_hidden": 0.1,
    "drop_output": 0.1,
}


class Cells(Space):
    """Recurrent cells h = f(W [x, h]) whose matrix is shared or not, and with one state or two."""

    name = "cells"
    decisions = (
        Categorical("f", ("tanh", "sigmoid")),
        Categorical("matrix", ("a", "b")),
        Categorical("states", (1, 2)),
    )

    def to_config(self) -> dict[str, Any]:
        return {"name": self.name}

    def network(self, a: Architecture, task: Task, seed: int = 0, *, hidden: int | None = None) -> Network:
        f, matrix, states = a.values
        width = hidden or task.input_shape[0]
        b = NetworkBuilder(task)
        read = [b.input(), *[b.add(f"h{i}", StateIn(f"h_{i}", (width,))) for i in range(int(str(states)))]]
        with b.scope(f"{matrix}{states}"):
            y = b.add("linear", Linear(width), b.add("joined", Concatenation(), *read))
        y = b.add(str(f), Activation(str(f)), y)
        for i in range(int(str(states))):
            b.add(f"new{i}", StateOut(f"h_{i}"), y)
        return b.network(hidden=y)


@pytest.fixture
def images_file(images: ImageSet, tmp_path: Path) -> str:
    arrays: dict[str, Any] = dict(zip(("x", "y", "x_val", "y_val"), (*images.train, *images.validation), strict=True))
    test = images.split("test")
    np.savez(tmp_path / "corners.npz", **arrays, x_test=test.images, y_test=test.labels)
    return str(tmp_path / "corners.npz")


@pytest.fixture
def text_file(make_text: Callable[..., TextSet], tmp_path: Path) -> str:
    text = make_text(300)
    np.savez(tmp_path / "text.npz", train=text.train, valid=text.validation, test=text.split("test"))
    return str(tmp_path / "text.npz")


@pytest.fixture(params=["images", "text"])
def shared(request: pytest.FixtureRequest) -> tuple[Any, Space]:
    """An evaluator of each kind and a space for it."""
    if request.param == "images":
        path = request.getfixturevalue("images_file")
        return SharedWeightsEvaluator(path, RECIPE, network={"channels": 3}), ToySpace()
    return SharedLanguageEvaluator(request.getfixturevalue("text_file"), TEXT_RECIPE), Cells()


def asked(space: Space, members: Sequence[Architecture], **options: Any) -> list[Evaluation]:
    return [Evaluation(space, a, seed=3, **options) for a in members]


def lasting(results: Sequence[Measurement | Failure]) -> list[Any]:
    return [
        {name: value for name, value in one.metrics.items() if name != "train_seconds"}
        if isinstance(one, Measurement)
        else one.reason
        for one in results
    ]


def adopted(bank: Bank, network: Network, seed: int = 1) -> BuiltNetwork:
    module = BuiltNetwork(network)
    bank.adopt(module, lambda: initialise(module, seed))
    return module


class TestBank:
    def test_the_same_position_is_the_same_tensor(self, make_network: Callable[..., Network]) -> None:
        bank = Bank()
        one, other = adopted(bank, make_network((3, 1, 3, 2, 4, 3))), adopted(bank, make_network((3, 1, 2, 2, 4, 3)))
        first, second = dict(one.named_parameters()), dict(other.named_parameters())
        common = first.keys() & second.keys()
        assert common < first.keys()
        assert common < second.keys()
        assert all(first[name] is second[name] for name in common)
        assert dict(bank.named_parameters()).keys() == first.keys() | second.keys()
        assert {id(p) for p in bank.parameters()} == {id(p) for p in (*first.values(), *second.values())}

    def test_training_one_changes_the_other_where_they_share(self, make_network: Callable[..., Network]) -> None:
        bank = Bank()
        one, other = adopted(bank, make_network((3, 1, 3, 2, 4, 3))), adopted(bank, make_network((3, 1, 2, 2, 4, 3)))
        before = {name: p.detach().clone() for name, p in other.named_parameters()}
        one(torch.ones(2, 1, 8, 8)).sum().backward()
        with torch.no_grad():
            for p in one.parameters():
                if p.grad is not None:
                    p.sub_(p.grad)
        changed = {name for name, p in other.named_parameters() if not torch.equal(p, before[name])}
        assert changed
        assert changed <= dict(one.named_parameters()).keys()

    def test_a_position_begins_the_same_whoever_brings_it(self, make_network: Callable[..., Network]) -> None:
        networks = [make_network((3, 1, 3, 2, 4, 3)), make_network((2, 1, 2, 2, 3, 3))]
        there, back = Bank(), Bank()
        for network in networks:
            adopted(there, network)
        for network in networks[::-1]:
            adopted(back, network)
        expected = dict(back.named_parameters())
        assert all(torch.equal(p, expected[name]) for name, p in there.named_parameters())
        alone = build(networks[0], seed=1)
        assert all(torch.equal(p, expected[name]) for name, p in alone.named_parameters())

    def test_other_shapes_at_one_position_are_an_error(self, make_network: Callable[..., Network]) -> None:
        bank = Bank()
        adopted(bank, make_network(channels=4))
        before = {name: p for name, p in bank.named_parameters()}
        with pytest.raises(InvalidNetwork, match=r"differ in a parameter's shape.*stem"):
            adopted(bank, make_network((2, 2, 2, 2, 2, 2), channels=5))
        assert dict(bank.named_parameters()) == before

    def test_state_there_and_back(self, make_network: Callable[..., Network]) -> None:
        bank, again = Bank(), Bank()
        adopted(bank, make_network())
        state = bank.state({"stem.conv.weight": torch.ones(2)}, {"epochs": 3})
        remembered = again.restore(state)
        assert remembered["stem.conv.weight"].tolist() == [1.0, 1.0]
        assert again.state(remembered, {"epochs": 3}) == state
        module = adopted(again, make_network(), seed=99)  # nothing is new, so nothing is initialised
        assert again.state(remembered, {"epochs": 3}) == state
        with torch.no_grad():
            next(module.parameters()).zero_()
        assert again.state(remembered, {"epochs": 3}) != state

    def test_statistics_are_means_over_the_batches(self) -> None:
        norm = BatchNorm(2, False, 0.1, 1e-5)
        batches = [torch.randn(5, 2, generator=torch.Generator().manual_seed(i)) * (i + 1) for i in range(3)]
        recompute_statistics(norm, batches)
        torch.testing.assert_close(norm.running_mean, torch.stack([b.mean(0) for b in batches]).mean(0))
        torch.testing.assert_close(norm.running_var, torch.stack([b.var(0) for b in batches]).mean(0))
        assert norm.momentum == 0.1
        assert not norm.training


class TestGroups:
    def test_a_bank_that_was_stored_goes_on_as_one_that_was_not(self, shared: tuple[Any, Space]) -> None:
        """The state after two groups is the same whether it goes through bytes in between or not, and both results."""
        evaluator, space = shared
        evaluator.prepare(space)
        members = space.sample(rng(0, "members"), 5)
        first, bank = evaluator.evaluate_group(asked(space, members[:3]), None)
        assert bank is not None
        copied = State({name: array.copy() for name, array in bank.arrays.items()}, dict(bank.values))
        second, after = evaluator.evaluate_group(asked(space, members[2:]), bank)
        assert bank == copied  # what was handed in is left alone
        fresh = type(evaluator)(**{key: value for key, value in evaluator.to_config().items() if key != "name"})
        again, stored = fresh.evaluate_group(asked(space, members[2:]), copied)
        assert lasting(again) == lasting(second)
        assert stored == after
        assert after is not None
        assert (bank.values["epochs"], after.values["epochs"]) == (1, 2)
        assert all(isinstance(one, Measurement) for one in (*first, *second))
        assert isinstance(evaluator, GroupEvaluator)

    def test_two_epochs_at_once_are_two_groups_of_one_epoch(self, shared: tuple[Any, Space]) -> None:
        evaluator, space = shared
        evaluator.prepare(space)
        members = space.sample(rng(1, "members"), 2)
        whole, expected = evaluator.evaluate_group(asked(space, members, fidelity=2.0), None)
        _, bank = evaluator.evaluate_group(asked(space, members), None)
        results, state = evaluator.evaluate_group(asked(space, members), bank)
        assert lasting(results) == lasting(whole)
        assert state == expected

    def test_what_nobody_uses_stays_as_it_was(self, shared: tuple[Any, Space]) -> None:
        evaluator, space = shared
        evaluator.prepare(space)
        rest = '"depth":0,"activation":null}'
        texts = {
            "toy": ('{"left":"conv3","right":"conv1",' + rest, '{"left":"skip","right":"pool",' + rest),
            "cells": ('{"f":"tanh","matrix":"a","states":1}', '{"f":"tanh","matrix":"b","states":1}'),
        }[space.name]
        one, other = map(space.parse, texts)
        _, bank = evaluator.evaluate_group(asked(space, [one]), None)
        _, after = evaluator.evaluate_group(asked(space, [other]), bank)
        own = [name for name in bank.arrays if "left.conv3" in name or ".a1." in name]
        assert own
        assert all(np.array_equal(bank.arrays[name], after.arrays[name]) for name in own)
        changed = [n for n in bank.arrays if n not in own and not np.array_equal(bank.arrays[n], after.arrays[n])]
        assert changed

    def test_a_bank_learns(self, shared: tuple[Any, Space]) -> None:
        evaluator, space = shared
        evaluator.prepare(space)
        members = space.sample(rng(2, "members"), 3)
        _, bank = evaluator.evaluate_group(asked(space, members), None)
        early, _ = evaluator.evaluate_group(asked(space, members), None)
        late, _ = evaluator.evaluate_group(asked(space, members, fidelity=7.0), bank)
        assert all(
            b.metrics["train_loss"] < a.metrics["train_loss"]
            for a, b in zip(early, late, strict=True)
            if isinstance(a, Measurement) and isinstance(b, Measurement)
        )

    def test_a_group_on_a_fresh_bank_does_not_depend_on_the_one_before(self, shared: tuple[Any, Space]) -> None:
        kept, space = shared
        kept.prepare(space)
        options = {key: value for key, value in kept.to_config().items() if key != "name"}
        fresh = type(kept)(**{**options, "fresh": True})
        members = space.sample(rng(3, "members"), 4)
        first, expected = kept.evaluate_group(asked(space, members[2:]), None)
        _, bank = kept.evaluate_group(asked(space, members[:2]), None)
        again, state = fresh.evaluate_group(asked(space, members[2:]), bank)
        assert lasting(again) == lasting(first)
        assert state == expected
        onward, _ = kept.evaluate_group(asked(space, members[2:]), bank)
        assert lasting(onward) != lasting(first)

    def test_fidelities_must_agree(self, shared: tuple[Any, Space]) -> None:
        evaluator, space = shared
        evaluator.prepare(space)
        members = space.sample(rng(2, "members"), 2)
        with pytest.raises(InvalidOption, match="trained as one"):
            evaluator.evaluate_group([*asked(space, members[:1]), *asked(space, members[1:], fidelity=2.0)], None)
        with pytest.raises(InvalidOption, match="number of epochs"):
            evaluator.evaluate_group(asked(space, members, fidelity=0.5), None)
        with pytest.raises(InvalidOption, match="not from a checkpoint"):
            evaluator.evaluate_group(asked(space, members, resume_from=Path("a")), None)

    def test_a_member_without_a_network_fails_alone(self, images_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
        evaluator, space = SharedWeightsEvaluator(images_file, RECIPE, network={"channels": 3}), ToySpace()
        evaluator.prepare(space)
        members = space.sample(rng(0, "members"), 3)
        network, refused = ToySpace.network, members[1]

        def maybe(self: ToySpace, a: Architecture, task: Task, seed: int = 0, *, channels: int = 4) -> Network:
            if a == refused:
                raise InvalidNetwork("it has none")
            return network(self, a, task, seed, channels=channels)

        monkeypatch.setattr(ToySpace, "network", maybe)
        results, state = evaluator.evaluate_group(asked(space, members), None)
        assert [isinstance(one, Failure) for one in results] == [a == refused for a in members]
        only, same = evaluator.evaluate_group(asked(space, [refused]), state)
        assert lasting(only) == ["no_network"]
        assert same == state
        with pytest.raises(TrialFailed):
            evaluator.evaluate(Evaluation(space, refused))

    def test_a_bank_that_diverges_fails_the_group(self, images_file: str) -> None:
        wild = {**RECIPE, "learning_rate": 1e30}
        evaluator, space = SharedWeightsEvaluator(images_file, wild, network={"channels": 3}, epochs=3), ToySpace()
        evaluator.prepare(space)
        with pytest.raises(TrialFailed) as caught:
            evaluator.evaluate_group(asked(space, space.sample(rng(0, "members"), 2)), None)
        assert caught.value.reason == "diverged"

    def test_members_whose_perplexity_is_not_finite_fail(self, text_file: str) -> None:
        """One step at a huge rate: the mean loss of the epoch's chunks is finite, the models are no use."""
        wild = {**TEXT_RECIPE, "learning_rate": 1e9, "optimizer": "sgd", "gradient_clip": None}
        evaluator, space = SharedLanguageEvaluator(text_file, wild), Cells()
        evaluator.prepare(space)
        results, state = evaluator.evaluate_group(asked(space, space.sample(rng(0, "members"), 2)), None)
        assert lasting(results) == ["diverged", "diverged"]
        assert state is not None


class Uneven(Space):
    """Cells that concatenate one, two or three copies of a step's vector in front of their matrix."""

    name = "uneven"
    decisions = (Categorical("copies", (1, 2, 3)),)

    def to_config(self) -> dict[str, Any]:
        return {"name": self.name}

    def network(
        self, a: Architecture, task: Task, seed: int = 0, *, hidden: int | None = None, shared: bool = False
    ) -> Network:
        b = NetworkBuilder(task)
        x = b.input()
        with b.scope(f"copies{a.values[0]}" if shared else "any"):
            x = b.add("joined", Concatenation(), *[x] * int(str(a.values[0])))
            x = b.add("linear", Linear(hidden or task.input_shape[0]), x)
        return b.network(hidden=x)


def test_members_that_cannot_share_are_told_before_anything_is_trained(text_file: str) -> None:
    with pytest.raises(InvalidOption, match=r"uneven cannot share weights.*any\.linear\.weight.*option \"shared\""):
        SharedLanguageEvaluator(text_file, TEXT_RECIPE).prepare(Uneven())
    SharedLanguageEvaluator(text_file, TEXT_RECIPE, network={"shared": True}).prepare(Uneven())


def test_images_are_asked_too(images_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = ToySpace.network

    def uneven(self: ToySpace, a: Architecture, task: Task, seed: int = 0, *, channels: int = 4) -> Network:
        return network(self, a, task, seed, channels=channels + (a.values[0] == "skip"))

    monkeypatch.setattr(ToySpace, "network", uneven)
    with pytest.raises(InvalidOption, match=r"members of toy cannot share weights.*Search another space"):
        SharedWeightsEvaluator(images_file, RECIPE).prepare(ToySpace())


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"calibration": 0},
        {"validation": True},
        {"threads": 0},
        {"network": 3},
        {"fresh": "yes"},
        {"recipe": {**RECIPE, "ema": 0.9}},
        {"recipe": {**RECIPE, "dtype": "float16"}},
    ],
)
def test_wrong_options_of_images_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        SharedWeightsEvaluator(**{"data": "digits", **options})


@pytest.mark.parametrize(
    "options", [{"epochs": 0}, {"validation": 1}, {"threads": 0}, {"fresh": 1}, {"recipe": "nao_ptb"}]
)
def test_wrong_options_of_text_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        SharedLanguageEvaluator(**{"data": "text.npz", **options})


class _Contract(EvaluatorContract):
    @pytest.fixture
    def timed(self) -> frozenset[str]:
        return frozenset({"train_seconds"})


class TestImagesContract(_Contract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_train.shared_weights.evaluator:SharedWeightsEvaluator"

    @pytest.fixture
    def options(self, images_file: str) -> dict[str, Any]:
        return {"data": images_file, "recipe": RECIPE, "network": {"channels": 3}}


class TestTextContract(_Contract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_train.shared_weights.language:SharedLanguageEvaluator"

    @pytest.fixture
    def space(self) -> Space:
        return Cells()

    @pytest.fixture
    def options(self, text_file: str) -> dict[str, Any]:
        return {"data": text_file, "recipe": TEXT_RECIPE}
