"""The training loop learns, repeats itself bit for bit, goes on exactly, and names what goes wrong."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nas_core.errors import InvalidNetwork, InvalidOption, NasError, StoreError, TrialFailed
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.primitives import Activation, Convolution, Dropout, DropPath, Flatten, Linear, Normalisation
from nas_train.build import BuiltNetwork, build
from nas_train.checkpoint import load_network, save_network
from nas_train.data import ImageSet, Split
from nas_train.devices import cpu_threads, find_device
from nas_train.loop import Epoch, FitResult, evaluate, fit
from nas_train.recipe import Recipe

QUICK = Recipe("quick", epochs=3, batch=16, learning_rate=0.1)
EVERYTHING = replace(
    QUICK,
    padding=1,
    flip=True,
    warmup=1.0,
    label_smoothing=0.1,
    drop_path=0.3,
    gradient_clip=1.0,
    cutout=3,
    ema=0.9,
    auxiliary_weight=0.3,
    images=60,  # three batches of 16 and one of 12
)
"""Every option that draws random numbers or keeps something from step to step."""


def noisy() -> Network:
    """A small network with dropout, dropped paths and an auxiliary head."""
    b = NetworkBuilder(Task("classification", (1, 8, 8), 4))
    x = b.add("norm", Normalisation(), b.add("conv", Convolution(4, (3, 3)), b.input()))
    x = b.add("path", DropPath(0.5), b.add("relu", Activation("relu"), x))
    x = b.add("dropout", Dropout(0.2), b.add("flatten", Flatten(), x))
    return b.network(logits=b.add("linear", Linear(4), x), auxiliary=b.add("aux", Linear(4), x))


def digest(module: nn.Module) -> str:
    state = module.state_dict()
    return hashlib.blake2b(b"".join(state[name].numpy().tobytes() for name in sorted(state))).hexdigest()


def fitted(images: ImageSet, network: Network, recipe: Recipe = QUICK, seed: int = 0, **options: Any) -> BuiltNetwork:
    module = build(network, seed=1)
    fit(module, images, recipe, seed=seed, **options)
    return module


def test_a_network_learns_what_can_be_learnt(images: ImageSet, network: Network) -> None:
    module = build(network)
    before = evaluate(module, images, "validation")
    result = fit(module, images, replace(QUICK, epochs=8), seed=0)
    assert result.validation == evaluate(module, images, "validation")
    assert result.validation is not None
    assert result.validation.accuracy == 100.0 > before.accuracy
    assert evaluate(module, images, "test").accuracy == 100.0
    losses = [epoch.train_loss for epoch in result.epochs]
    assert len(losses) == 8
    assert losses[-1] < 0.5 * losses[0]
    assert result.train_loss == losses[-1]
    assert result.seconds > 0
    assert not module.training


def test_the_first_step_worked_out_by_other_means(images: ImageSet, network: Network) -> None:
    recipe = replace(QUICK, epochs=1, batch=64, label_smoothing=0.2, weight_decay=0.01)
    module, other = build(network), build(network)
    loss = fit(module, images, recipe, seed=0).train_loss
    pixels = torch.tensor(images.train.images) / 255
    unit = (pixels - pixels.mean()) / pixels.std(correction=0)
    logits = other(unit)
    smooth = F.one_hot(torch.tensor(images.train.labels), 4) * 0.8 + 0.2 / 4
    expected = -(smooth * F.log_softmax(logits, 1)).sum(1).mean()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for (name, a), b in zip(module.named_parameters(), other.parameters(), strict=True):
        step = b.grad + 0.01 * b if b.grad is not None else torch.zeros_like(b)
        # Nesterov's first step: the gradient once more, times the momentum
        torch.testing.assert_close(
            a, b - 0.1 * 1.9 * step, rtol=1e-3, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_evaluation_averages_over_all_images(
    images: ImageSet, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = fitted(images, network)
    whole = evaluate(module, images, "train")
    monkeypatch.setattr("nas_train.scoring.EVALUATION_BATCH", 24)  # 24, 24 and 16
    parts = evaluate(module, images, "train")
    assert parts == pytest.approx(whole)
    some = evaluate(module, images, "train", images=8)
    assert some == pytest.approx(evaluate(module, images, images.train.first(8)))
    assert some != pytest.approx(whole)
    assert evaluate(module.train(), images, "train") == pytest.approx(whole)
    assert module.training
    with pytest.raises(InvalidOption, match="no such split"):
        evaluate(module, images, "val")


def test_the_same_seed_repeats_bit_for_bit_and_another_does_not(images: ImageSet) -> None:
    before = torch.get_rng_state()
    one, same, other = (digest(fitted(images, noisy(), EVERYTHING, seed)) for seed in (0, 0, 1))
    assert one == same != other
    assert torch.equal(torch.get_rng_state(), before)


FRESH = """
import json, sys
import numpy as np
import torch
torch.set_num_threads(1)
from nas_core.network import Network
from nas_train.build import build
from nas_train.data import ImageSet, Split
from nas_train.loop import fit
from nas_train.recipe import Recipe
import hashlib
arrays = np.load(sys.argv[1], allow_pickle=False)
train, validation = Split(arrays["x"], arrays["y"]), Split(arrays["x_val"], arrays["y_val"])
data = ImageSet("corners", 4, train, validation, 32, lambda: validation)
module = build(Network.from_config(json.loads(sys.argv[2])), seed=1)
fit(module, data, Recipe(**json.loads(sys.argv[3])), seed=0)
state = module.state_dict()
print(hashlib.blake2b(b"".join(state[name].numpy().tobytes() for name in sorted(state))).hexdigest())
"""


def test_a_fresh_process_repeats_bit_for_bit(images: ImageSet, tmp_path: Path) -> None:
    import json

    file = tmp_path / "images.npz"
    (x, y), (x_val, y_val) = images.train, images.validation
    np.savez(file, x=x, y=y, x_val=x_val, y_val=y_val)
    arguments = [str(file), json.dumps(noisy().to_config()), json.dumps(EVERYTHING.to_config())]
    run = subprocess.run([sys.executable, "-c", FRESH, *arguments], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == digest(fitted(images, noisy(), EVERYTHING))


class Interrupted(Exception):
    """What stops a training in a test."""


def stop_after(number: int) -> Callable[[Epoch], None]:
    def on_epoch(epoch: Epoch) -> None:
        if epoch.number == number:
            raise Interrupted

    return on_epoch


VARIANTS = {
    "sgd": EVERYTHING,
    "without an average": replace(EVERYTHING, ema=0.0),
    "rmsprop": replace(EVERYTHING, weight_optimizer="rmsprop", epsilon=0.1, learning_rate=0.01),
    "adam": replace(
        EVERYTHING, weight_optimizer="adam", learning_rate=0.01, schedule="step", decay=0.5, milestones=(1,)
    ),
    "restarts": replace(EVERYTHING, period=1.0, growth=2.0, floor=0.01),
    "bfloat16": replace(EVERYTHING, dtype="bfloat16", schedule="linear"),
    "float16": replace(EVERYTHING, dtype="float16"),
}
"""Every option of a recipe is on in one of these at least."""


@pytest.mark.parametrize(("name", "when"), [("sgd", 1), ("sgd", 3), *((name, 2) for name in VARIANTS)])
def test_an_interrupted_training_goes_on_to_the_same_end(
    images: ImageSet, tmp_path: Path, name: str, when: int
) -> None:
    recipe = VARIANTS[name]
    through = build(noisy(), seed=1)
    expected = fit(through, images, recipe, seed=0, validate_every=1)
    file = tmp_path / "training.safetensors"
    with pytest.raises(Interrupted):
        fitted(images, noisy(), recipe, validate_every=1, checkpoint=file, on_epoch=stop_after(when))
    resumed = build(noisy(), seed=99)  # its own weights do not matter
    result = fit(resumed, images, recipe, seed=0, validate_every=1, checkpoint=file)
    assert digest(resumed) == digest(through)
    assert result.epochs == expected.epochs
    assert not resumed.training


@pytest.mark.parametrize("name", VARIANTS)
def test_a_training_that_stops_on_its_way_can_be_continued_to_the_same_end(
    images: ImageSet, tmp_path: Path, name: str
) -> None:
    recipe = VARIANTS[name]
    at_once = build(noisy(), seed=1)
    whole = fit(at_once, images, recipe, seed=0, epochs=8)
    low = build(noisy(), seed=1)
    half = fit(low, images, recipe, seed=0, epochs=8, stop=4, keep=tmp_path, about={"mine": 1})
    assert [epoch.number for epoch in half.epochs] == [1, 2, 3, 4]
    assert half.validation == evaluate(low, images, "validation", images=60, dtype=recipe.dtype)
    assert half.kept is not None
    assert list(tmp_path.iterdir()) == [half.kept]
    content = half.kept.read_bytes()
    module, metadata = load_network(half.kept)  # also what was measured
    assert digest(module) == digest(low)
    assert metadata["mine"] == 1
    high = build(noisy(), seed=99)
    result = fit(high, images, recipe, seed=0, epochs=8, resume_from=half.kept)
    assert digest(high) == digest(at_once)
    assert [epoch.train_loss for epoch in result.epochs] == [epoch.train_loss for epoch in whole.epochs]
    assert result.validation == whole.validation
    assert half.kept.read_bytes() == content
    for wrong in ({"epochs": 4}, {"epochs": 8, "stop": 3}):
        with pytest.raises(NasError):
            fit(high, images, recipe, seed=0, resume_from=half.kept, **wrong)  # type: ignore[arg-type]


def test_a_training_that_is_stopped_where_it_once_went_through_is_measured_there(
    images: ImageSet, tmp_path: Path
) -> None:
    file = tmp_path / "training.safetensors"
    with pytest.raises(Interrupted):
        fitted(images, noisy(), EVERYTHING, checkpoint=file, on_epoch=stop_after(2))
    module = build(noisy())
    result = fit(module, images, EVERYTHING, seed=0, stop=2, checkpoint=file)
    assert [epoch.number for epoch in result.epochs] == [1, 2]
    assert result.validation == evaluate(module, images, "validation", images=60)


def test_a_network_without_its_training_cannot_be_continued(images: ImageSet, network: Network, tmp_path: Path) -> None:
    file = save_network(tmp_path, build(network), {})
    with pytest.raises(StoreError, match="no training to go on from"):
        fitted(images, network, resume_from=file)
    with pytest.raises(StoreError, match="cannot be read"):
        fitted(images, network, resume_from=tmp_path / "missing")


def test_a_full_disk_leaves_the_earlier_checkpoint(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "training.safetensors"
    synchronise, calls = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 2:  # a checkpoint synchronises itself and its directory
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        synchronise(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(StoreError, match="No space left"):
            fitted(images, noisy(), EVERYTHING, checkpoint=file)
    assert list(tmp_path.iterdir()) == [file]
    epochs: list[int] = []
    module = fitted(images, noisy(), EVERYTHING, checkpoint=file, on_epoch=lambda epoch: epochs.append(epoch.number))
    assert epochs == [2, 3]
    assert digest(module) == digest(fitted(images, noisy(), EVERYTHING))


def test_a_checkpoint_of_another_training_is_refused(
    images: ImageSet, make_images: Callable[..., ImageSet], make_network: Callable[..., Network], tmp_path: Path
) -> None:
    file = tmp_path / "training.safetensors"
    network = make_network()
    fitted(images, network, replace(QUICK, epochs=1), checkpoint=file)
    content = file.read_bytes()
    changes: list[tuple[str, dict[str, Any]]] = [
        ("recipe differs", {"recipe": replace(QUICK, epochs=1, batch=8)}),
        ("epochs differs", {"epochs": 2}),
        ("seed differs", {"seed": 5}),
        ("data differs", {"images": make_images(n=96)}),
        ("data differs", {"with_validation": True}),
    ]
    for message, change in changes:
        options = {"images": images, "network": network, "recipe": replace(QUICK, epochs=1), **change}
        with pytest.raises(StoreError, match=message):
            fitted(**options, checkpoint=file)
    for other in (
        make_network([1, 1, 1, 1, 1, 1]),
        make_network([4, 1, 3, 2, 1, 3]),
    ):  # the second: the same parameters
        with pytest.raises(InvalidNetwork, match="another network"):
            fitted(images, other, replace(QUICK, epochs=1), checkpoint=file)
    assert file.read_bytes() == content


def test_training_on_validation_images_too(make_images: Callable[..., ImageSet], network: Network) -> None:
    opened: list[str] = []
    images = make_images(opened=opened)
    result = fit(build(network), images, QUICK, seed=0, with_validation=True, validate_every=1)
    assert result.validation is None
    assert all(epoch.validation is None for epoch in result.epochs)
    alone = fit(build(network), images, QUICK, seed=0)
    assert alone.train_loss != result.train_loss
    assert [epoch.validation is None for epoch in alone.epochs] == [True, True, False]
    assert opened == []


@pytest.mark.parametrize(("batch", "sizes"), [(17, [17]), (8, [8, 8, 2]), (64, [18])])
def test_an_image_left_over_alone_waits(make_images: Callable[..., ImageSet], batch: int, sizes: list[int]) -> None:
    seen: list[int] = []
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4))  # fails for a single image
    module.register_forward_pre_hook(lambda part, inputs: seen.append(len(inputs[0])) if part.training else None)
    fit(module, make_images(n=18), replace(QUICK, batch=batch, epochs=2), seed=0)
    assert seen == 2 * sizes


OPTIONS: dict[str, dict[str, Any]] = {
    "batch": {"batch": 32},
    "learning_rate": {"learning_rate": 0.05},
    "momentum": {"momentum": 0.5},
    "nesterov": {"nesterov": False},
    "weight_decay": {"weight_decay": 0.01},
    "schedule": {"schedule": "constant"},
    "warmup": {"warmup": 1.0},
    "label_smoothing": {"label_smoothing": 0.1},
    "padding": {"padding": 1},
    "flip": {"flip": True},
    "drop_path": {"drop_path": 0.5},
    "gradient_clip": {"gradient_clip": 0.1},
    "auxiliary_weight": {"auxiliary_weight": 0.1},
    "images": {"images": 32},
    "dtype": {"dtype": "bfloat16"},
    "floor": {"floor": 0.05},
    "period": {"period": 1.0},
    "growth": {"period": 1.0, "growth": 1.5},
    "milestones": {"schedule": "step", "milestones": (1,), "decay": 0.5},
    "decay": {"schedule": "step", "milestones": (1,), "decay": 0.1},
    "cutout": {"cutout": 4},
    "ema": {"ema": 0.5},
    "weight_optimizer": {"weight_optimizer": "rmsprop"},
    "second_momentum": {"weight_optimizer": "rmsprop", "second_momentum": 0.5},
    "epsilon": {"weight_optimizer": "rmsprop", "epsilon": 1.0},
    "largest_batch": {"largest_batch": 64, "largest_rate": 0.1},
    "largest_rate": {"largest_batch": 64, "largest_rate": 0.2},
}
STREAMED = {"resized_crop", "colour"}
"""These say how images that are streamed are cut out of larger ones."""


def test_every_option_of_a_recipe_has_an_effect(images: ImageSet) -> None:
    assert OPTIONS.keys() | STREAMED | {"name", "epochs", "citation"} == QUICK.to_config().keys()
    plain = digest(fitted(images, noisy()))
    found = {option: digest(fitted(images, noisy(), replace(QUICK, **change))) for option, change in OPTIONS.items()}
    assert plain not in found.values()
    assert len(set(found.values())) == len(found)
    assert digest(fitted(images, noisy(), replace(QUICK, name="other", citation="other"))) == plain


def test_an_auxiliary_head_is_trained(images: ImageSet) -> None:
    one = fitted(images, noisy(), replace(QUICK, auxiliary_weight=0.0, weight_decay=0.0))
    assert torch.equal(one.get_parameter("aux.weight"), build(noisy(), seed=1).get_parameter("aux.weight"))
    other = fitted(images, noisy(), replace(QUICK, auxiliary_weight=0.4, weight_decay=0.0))
    assert not torch.equal(other.get_parameter("aux.weight"), one.get_parameter("aux.weight"))


def test_half_precision_trains_as_well(images: ImageSet, network: Network) -> None:
    recipe = replace(QUICK, epochs=8, dtype="bfloat16")
    module = build(network)
    result = fit(module, images, recipe, seed=0)
    assert result.validation is not None
    assert result.validation.accuracy == 100.0
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}


def test_sixteen_bits_train_as_well(images: ImageSet, network: Network) -> None:
    module = build(network)
    result = fit(module, images, replace(QUICK, epochs=8, dtype="float16"), seed=0)
    assert result.validation is not None
    assert result.validation.accuracy == 100.0
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}


def test_the_average_of_the_weights_is_what_is_measured(images: ImageSet) -> None:
    recipe = replace(QUICK, epochs=1, ema=0.3, batch=32)  # two steps
    steps: list[dict[str, torch.Tensor]] = []
    module = build(noisy(), seed=1)

    def note(part: nn.Module, inputs: Any) -> None:
        if part.training:
            steps.append({name: t.clone() for name, t in part.state_dict().items()})

    module.register_forward_pre_hook(note)
    result = fit(module, images, recipe, seed=0)
    trained = fitted(images, noisy(), replace(recipe, ema=0.0)).state_dict()
    # shares kept at the two steps: min(0.3, 2 / 11) and min(0.3, 3 / 12)
    for name, average in module.state_dict().items():
        first = steps[0][name] * 2 / 11 + steps[1][name] * 9 / 11
        torch.testing.assert_close(average, first * 0.25 + trained[name] * 0.75)
    assert result.validation == evaluate(module, images, "validation")


def test_top5_accuracy_is_measured_where_there_are_more_than_five_classes(images: ImageSet) -> None:
    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.arange(7.0).expand(len(x), 7)  # in order: 6, 5, 4, 3, 2, 1, 0

    split = Split(images.train.images[:8], np.array([6, 6, 5, 2, 1, 0, 0, 0]))
    score = evaluate(Fixed(), images, split)
    assert (score.accuracy, score.top5) == (25.0, 50.0)
    assert evaluate(build(noisy()), images, "train").top5 is None


def test_a_loss_that_is_not_finite_fails_the_trial(images: ImageSet, network: Network) -> None:
    with pytest.raises(TrialFailed, match="epoch 1 of 3") as caught:
        fitted(images, network, replace(QUICK, learning_rate=1e30))
    assert caught.value.reason == "diverged"


class Hungry(nn.Module):
    """Asks for more memory than any machine has."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.empty(2**58) * self.weight


class Broken(nn.Module):
    """Fails for a reason of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("a fault of the module")


class Limited(nn.Module):
    """Has memory for so many images at a time, from one epoch on."""

    def __init__(self, network: Network, most: int, calm: int = 0) -> None:
        super().__init__()
        self.inner, self.most, self.calm, self.seen = build(network, seed=1), most, calm, 0

    def forward(self, x: torch.Tensor) -> Any:
        self.seen += self.training
        if self.training and self.seen > self.calm and len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.inner(x)


def test_running_out_of_memory_halves_the_batch_and_the_rate(images: ImageSet) -> None:
    module = Limited(noisy(), most=15)
    result = fit(module, images, replace(EVERYTHING, batch=56), seed=0)  # 56, 28, 14
    assert result.batch == 14
    quarter = replace(EVERYTHING, batch=14, learning_rate=EVERYTHING.learning_rate / 4)
    assert digest(module.inner) == digest(fitted(images, noisy(), quarter))


def test_running_out_of_memory_later_fails_the_trial(images: ImageSet, tmp_path: Path) -> None:
    file = tmp_path / "training.safetensors"
    with pytest.raises(TrialFailed) as caught:
        fit(Limited(noisy(), most=15, calm=5), images, EVERYTHING, seed=0, checkpoint=file)  # four steps an epoch
    assert caught.value.reason == "out_of_memory"
    assert file.exists()


def test_a_batch_that_was_halved_is_kept_by_a_resumption(images: ImageSet, tmp_path: Path) -> None:
    file = tmp_path / "training.safetensors"
    with pytest.raises(Interrupted):
        fit(Limited(noisy(), 15), images, EVERYTHING, seed=0, checkpoint=file, on_epoch=stop_after(1))
    resumed, through = Limited(noisy(), 15), Limited(noisy(), 15)
    assert fit(resumed, images, EVERYTHING, seed=0, checkpoint=file).batch == 8
    fit(through, images, EVERYTHING, seed=0)
    assert digest(resumed) == digest(through)


def test_an_evaluation_that_runs_out_of_memory_takes_fewer_images_at_a_time(images: ImageSet, network: Network) -> None:
    module, seen = build(network), []

    def limit(part: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(len(inputs[0]))
        if len(inputs[0]) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")

    expected = evaluate(module, images, "train")
    with module.register_forward_pre_hook(limit):
        found = evaluate(module, images, "train")
    assert seen == [64, 64, 64, 62, 31, 15, 15, 15, 15, 4]  # 500, 250, 125, 62, 31 and 15 at a time
    assert found.accuracy == expected.accuracy
    assert found.loss == pytest.approx(expected.loss)


def test_running_out_of_memory_fails_the_trial_by_name(images: ImageSet) -> None:
    with pytest.raises(TrialFailed) as caught:
        fit(Hungry(), images, QUICK, seed=0)
    assert caught.value.reason == "out_of_memory"
    with pytest.raises(RuntimeError, match="a fault of the module"):
        fit(Broken(), images, QUICK, seed=0)


def test_a_device_that_disappears_fails_the_trial_and_leaves_the_checkpoint(
    images: ImageSet, network: Network, tmp_path: Path
) -> None:
    file = tmp_path / "training.safetensors"
    module = build(network, seed=1)

    def vanish(epoch: Epoch) -> None:
        module.register_forward_pre_hook(lost)

    def lost(part: nn.Module, inputs: Any) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be reported later")

    with pytest.raises(TrialFailed, match=r"checkpoints that were written are whole.*launch failure") as caught:
        fit(module, images, QUICK, seed=0, checkpoint=file, on_epoch=vanish)
    assert caught.value.reason == "device_lost"
    assert digest(fitted(images, network, checkpoint=file)) == digest(fitted(images, network))


def test_limits_of_time_and_steps(images: ImageSet, network: Network, tmp_path: Path) -> None:
    file = tmp_path / "training.safetensors"
    with pytest.raises(TrialFailed, match="more steps than it may: 12; expected 11") as caught:
        fitted(images, network, step_limit=11, checkpoint=file)  # three epochs of four steps
    assert caught.value.reason == "step_limit"
    assert not file.exists()
    fitted(images, network, step_limit=12)
    fitted(images, network, step_limit=8, stop=2)
    with pytest.raises(TrialFailed) as caught:
        fitted(images, network, time_limit=1e-9)
    assert caught.value.reason == "time_limit"


def test_on_a_cpu_steps_are_eager(images: ImageSet, network: Network) -> None:
    found = [fit(build(network), images, replace(QUICK, epochs=1), seed=0, step=s) for s in ("auto", "eager", "graph")]
    assert [result.step for result in found] == ["eager"] * 3
    with pytest.raises(InvalidOption, match="no such step"):
        fitted(images, network, step="fast")


def test_modules_of_others_can_be_trained(images: ImageSet) -> None:
    module = nn.Sequential(nn.Flatten(), nn.LazyLinear(4))
    module(torch.zeros(1, 1, 8, 8))
    result = fit(module, images, replace(QUICK, epochs=20), seed=0)
    assert isinstance(result, FitResult)
    assert result.validation is not None
    assert result.validation.accuracy > 90


def test_images_of_a_split_are_normalised_by_the_training_split(images: ImageSet) -> None:
    brighter = replace(images, validation=Split(images.validation.images + np.uint8(20), images.validation.labels))
    seen: list[float] = []

    class Probe(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.mean().item())
            return x.flatten(1)[:, :4]

    evaluate(Probe(), images, "train")
    evaluate(Probe(), brighter, "validation")
    evaluate(Probe(), images, "validation")
    assert seen[0] == pytest.approx(0.0, abs=1e-5)
    assert seen[1] - seen[2] == pytest.approx(20 / 255 / images.statistics[1][0], rel=1e-4)


def test_threads_are_set_inside_only() -> None:
    before = torch.get_num_threads()
    with cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with cpu_threads(None):
        assert torch.get_num_threads() == before


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:99", "cpu:0", ""])
def test_devices_that_are_not_here_are_refused(name: str) -> None:
    with pytest.raises(InvalidOption, match="no such"):
        find_device(name)


def test_devices_by_name() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("step", ["eager", "graph"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_gpu_learns_the_same_thing(images: ImageSet, network: Network, tmp_path: Path, dtype: str, step: str) -> None:
    recipe = replace(EVERYTHING, epochs=10, images=None, flip=False, drop_path=0.0, cutout=0, dtype=dtype)
    module, file = build(network), tmp_path / "training.safetensors"
    with pytest.raises(Interrupted):
        fit(module, images, recipe, seed=0, device="cuda", checkpoint=file, step=step, on_epoch=stop_after(4))
    result = fit(module, images, recipe, seed=0, device="cuda", checkpoint=file, step=step)
    assert result.step == step
    assert result.validation is not None
    assert result.validation.accuracy == 100.0
    assert len(result.epochs) == 10


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["sgd", "rmsprop", "adam"])
def test_captured_steps_are_the_eager_ones(images: ImageSet, network: Network, kind: str) -> None:
    recipe = replace(QUICK, epochs=4, weight_optimizer=kind, gradient_clip=1.0, learning_rate=0.01, batch=24, ema=0.5)
    eager, graph = build(network), build(network)
    fit(eager, images, recipe, seed=0, device="cuda", step="eager")
    assert fit(graph, images, recipe, seed=0, device="cuda").step == "graph"  # and the last batch of 16 is eager
    for a, b in zip(eager.parameters(), graph.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3)


@pytest.mark.gpu
def test_what_draws_numbers_is_not_captured(images: ImageSet) -> None:
    assert fit(build(noisy()), images, QUICK, seed=0, device="cuda", step="graph").step == "eager"
