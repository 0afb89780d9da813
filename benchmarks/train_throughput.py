"""Images a second of the training loop on the CPU, side by side with a plain PyTorch loop.

    python benchmarks/train_throughput.py [--data cifar10.npz] [--epochs 3] [--images 5000] [--channels 8]
                                          [--threads 1 2]

The plain loop is what a PyTorch tutorial has: a Dataset of PIL images, a DataLoader, torchvision's v2 transforms,
torch.optim.SGD and a scheduler. Both train the same NAS-Bench-201 networks from the same weights on the same images
with the same recipe (`small`), then measure 2,000 images that they did not train on; all of that is timed. The plain
loop may choose between loading in the same process and in one of its own, which takes a second core, both may choose
between the numbers of threads that are named, and the best of each counts. Runs alternate, so that a busy machine
disturbs both alike; images a CPU second, of this process and its loaders, are counted too, which other programs
disturb less.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import record
import torch
from cifar import cifar_npz
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from nas_core.network import Network, Task
from nas_spaces.nasbench201 import NASBench201
from nas_train.build import build
from nas_train.data import ImageSet, Split, open_data
from nas_train.loop import fit
from nas_train.recipe import Recipe

CELLS = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
    "|skip_connect~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_1x1~2|",
)
HELD_OUT = 2000
KINDS = ("plain", "float32", "bfloat16")


class Run(NamedTuple):
    """One training: images a second, images a CPU second, validation accuracy in per cent, loss of the last epoch."""

    speed: float
    cpu_speed: float
    accuracy: float
    loss: float


def images(file: Path, n: int) -> ImageSet:
    """The first images of CIFAR-10's training and validation splits."""
    data = open_data(cifar_npz(file))
    held_out = Split(*map(np.ascontiguousarray, data.validation.first(HELD_OUT)))
    train = Split(*map(np.ascontiguousarray, data.train.first(n)))
    return ImageSet("cifar10", data.classes, train, held_out, HELD_OUT, lambda: held_out)


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """A split as torchvision's datasets give it: one PIL image at a time, transformed."""

    def __init__(self, split: Split, transform: Callable[[Any], torch.Tensor]) -> None:
        self._images, self._labels = np.ascontiguousarray(np.asarray(split.images).transpose(0, 2, 3, 1)), split.labels
        self._transform = transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self._transform(Image.fromarray(self._images[i])), int(self._labels[i])


def plain(network: Network, data: ImageSet, recipe: Recipe, workers: int, threads: int) -> Run:
    """Train as a tutorial does."""
    torch.set_num_threads(threads)
    means, deviations = data.statistics
    to_float = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(means, deviations)]
    shown = v2.Compose([v2.RandomCrop(32, padding=recipe.padding), v2.RandomHorizontalFlip(), *to_float])
    torch.manual_seed(0)
    begun, cpu = time.perf_counter(), cpu_seconds()
    train = DataLoader(
        Pictures(data.train, shown),
        batch_size=recipe.batch,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    held_out = DataLoader(Pictures(data.validation, v2.Compose(to_float)), batch_size=500, num_workers=workers)
    model, criterion = build(network, seed=0), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay, nesterov=True
    )
    total, ramp = recipe.epochs * len(train), round(recipe.warmup / recipe.epochs * recipe.epochs * len(train))

    def factor(step: int) -> float:
        return (step + 1) / (ramp + 1) if step < ramp else 0.5 * (1 + np.cos(np.pi * (step - ramp) / (total - ramp)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    loss_of_epoch = 0.0
    for _ in range(recipe.epochs):
        model.train()
        loss_of_epoch = 0.0
        for x, y in train:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            scheduler.step()
            loss_of_epoch += loss.item() * len(y)
    model.eval()
    right = 0
    with torch.no_grad():
        for x, y in held_out:
            right += int((model(x).argmax(1) == y).sum())
    del train, held_out  # and with them their processes, whose time is known when they have ended
    n = len(data.train.labels)
    speeds = speed(recipe.epochs * n, begun, cpu)
    return Run(*speeds, 100 * right / len(data.validation.labels), loss_of_epoch / n)


def ours(network: Network, data: ImageSet, recipe: Recipe, dtype: str, threads: int) -> Run:
    """Train with this toolkit."""
    begun, cpu = time.perf_counter(), cpu_seconds()
    module = build(network, seed=0)
    result = fit(module, data, replace(recipe, dtype=dtype), seed=0, threads=threads)
    speeds = speed(recipe.epochs * len(data.train.labels), begun, cpu)
    if result.validation is None:
        raise SystemExit("error: nothing was validated")
    return Run(*speeds, result.validation.accuracy, result.train_loss)


def cpu_seconds() -> float:
    """Of this process and of those it has started that have ended."""
    return sum(os.times()[:4])


def speed(shown: int, begun: float, cpu: float) -> tuple[float, float]:
    """Images a second and a CPU second since then."""
    return shown / (time.perf_counter() - begun), shown / (cpu_seconds() - cpu)


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("cifar10.npz"), help="written where it is not there yet")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="numbers of CPU threads to try")
    arguments = parser.parse_args()
    data = images(arguments.data, arguments.images)
    recipe = Recipe.from_config({"name": "small", "epochs": arguments.epochs, "images": arguments.images})
    space, task = NASBench201(), Task("classification", data.input_shape, data.classes)
    threads: list[int] = arguments.threads
    ways: dict[str, list[tuple[str, Callable[[Network], Run]]]] = {
        "plain": [
            (f"workers={w}, threads={t}", lambda net, w=w, t=t: plain(net, data, recipe, w, t))  # type: ignore[misc]
            for w in (0, 1)
            for t in threads
        ],
        "float32": [(f"threads={t}", lambda net, t=t: ours(net, data, recipe, "float32", t)) for t in threads],  # type: ignore[misc]
        "bfloat16": [(f"threads={t}", lambda net, t=t: ours(net, data, recipe, "bfloat16", t)) for t in threads],  # type: ignore[misc]
    }
    raw: list[dict[str, Any]] = []
    ours(
        space.network(space.parse(CELLS[-1]), task, 0, channels=4, cells=1),
        data,
        replace(recipe, epochs=2),
        "float32",
        1,
    )
    for text in CELLS:
        network = space.network(space.parse(text), task, 0, channels=arguments.channels, cells=1)
        for kind, choices in ways.items():
            for choice, way in choices:
                run = way(network)
                raw.append({"cell": text, "kind": kind, "choice": choice, **run._asdict()})
                print(kind, choice, {name: round(value, 3) for name, value in run._asdict().items()}, flush=True)
    record.keep("train_throughput", _figures(raw, data.name, arguments), raw)


def _best(raw: list[dict[str, Any]], cell: str, kind: str, measure: str) -> dict[str, Any]:
    """The fastest run of a kind on a cell."""
    return max((run for run in raw if (run["cell"], run["kind"]) == (cell, kind)), key=lambda run: float(run[measure]))


def _figures(raw: list[dict[str, Any]], name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {**vars(arguments), "data": name}
    for measure in ("speed", "cpu_speed"):
        best = {(cell, kind): _best(raw, cell, kind, measure) for cell in CELLS for kind in KINDS}
        found: dict[str, Any] = {}
        for kind in KINDS[1:]:
            ratios = [best[cell, kind][measure] / best[cell, "plain"][measure] for cell in CELLS]
            found[f"{kind}_times_plain"] = [round(ratio, 2) for ratio in ratios]
            found[f"{kind}_times_plain_median"] = round(statistics.median(ratios), 2)
        for kind in KINDS:
            found[f"{kind}_images"] = [round(best[cell, kind][measure]) for cell in CELLS]
            found[f"{kind}_accuracy"] = [round(best[cell, kind]["accuracy"], 2) for cell in CELLS]
            found[f"{kind}_chosen"] = [best[cell, kind]["choice"] for cell in CELLS]
        figures[{"speed": "a_second", "cpu_speed": "a_cpu_second"}[measure]] = found
    return figures


if __name__ == "__main__":
    main()
