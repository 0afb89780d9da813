"""Fixtures of this package's tests: one CPU thread, and image sets that a network learns in a second."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas_core.catalogue import classifier, conv_norm, norm_relu, relu_conv_norm, same_pooling
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.primitives import (
    Activation,
    Add,
    Concatenation,
    Convolution,
    Identity,
    Linear,
    Pooling,
    StateIn,
    StateOut,
    Zero,
)
from nas_core.random import rng
from nas_train.data import ImageSet, Split
from nas_train.language.text import TextSet

OPERATIONS = ("none", "skip", "conv1", "conv3", "pool")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _split(seed: int, n: int, size: int, channels: int) -> Split:
    """Bright squares in one of four corners; the corner is the class."""
    generator = rng(seed, "images")
    labels = np.arange(n) % 4
    images = generator.integers(0, 60, (n, channels, size, size))
    half = size // 2
    for image, label in zip(images, labels, strict=True):
        y, x = half * (label // 2), half * (label % 2)
        image[:, y : y + half, x : x + half] += 120
    return Split(images.astype(np.uint8), labels.astype(np.int64))


@pytest.fixture
def make_images() -> Callable[..., ImageSet]:
    """A set of n training images and half as many for validation and test."""

    def make(n: int = 64, size: int = 8, channels: int = 1, opened: list[str] | None = None) -> ImageSet:
        def open_test() -> Split:
            if opened is not None:
                opened.append("test")
            return _split(2, n // 2, size, channels)

        train, validation = _split(0, n, size, channels), _split(1, n // 2, size, channels)
        return ImageSet("corners", 4, train, validation, n // 2, open_test)

    return make


@pytest.fixture
def images(make_images: Callable[..., ImageSet]) -> ImageSet:
    """64 training images, 1 x 8 x 8, of four classes."""
    return make_images()


def _cell(b: NetworkBuilder, x: int, operations: Sequence[int], channels: int) -> int:
    nodes, edge = [x], 0
    for target in range(1, 4):
        terms = []
        for source in range(target):
            operation, edge = OPERATIONS[operations[edge]], edge + 1
            with b.scope(f"edge{target}_{source}"):
                if operation.startswith("conv"):
                    with b.scope(operation):
                        terms.append(relu_conv_norm(b, nodes[source], channels, int(operation[-1])))
                else:
                    kind = {"none": Zero(), "skip": Identity(), "pool": same_pooling("avg", 3)}[operation]
                    terms.append(b.add(operation, kind, nodes[source]))
        nodes.append(b.add(f"node{target}", Add(), *terms))
    return nodes[-1]


@pytest.fixture
def make_network() -> Callable[..., Network]:
    """A network of two stages with one cell each, in the manner of NAS-Bench-201."""

    def make(
        operations: Sequence[int] = (3, 1, 3, 2, 4, 3),
        channels: int = 4,
        shape: tuple[int, ...] = (1, 8, 8),
        k: int = 4,
    ) -> Network:
        b = NetworkBuilder(Task("classification", shape, k))
        x = b.input()
        with b.scope("stem"):
            x = conv_norm(b, x, channels, 3)
        with b.scope("stage0.cell0"):
            x = _cell(b, x, operations, channels)
        with b.scope("reduction"):
            with b.scope("long"):
                y = relu_conv_norm(b, x, 2 * channels, 3, 2)
            with b.scope("short"):
                x = b.add("conv", Convolution(2 * channels, (1, 1)), b.add("pool", Pooling("avg", (2, 2), (2, 2)), x))
            x = b.add("sum", Add(), x, y)
        with b.scope("stage1.cell0"):
            x = _cell(b, x, operations, 2 * channels)
        with b.scope("head"):
            return b.network(logits=classifier(b, norm_relu(b, x)))

    return make


@pytest.fixture
def network(make_network: Callable[..., Network]) -> Network:
    """One such network for the images of `images`."""
    return make_network()


@pytest.fixture
def make_cell() -> Callable[..., Network]:
    """One step of Elman's network h = tanh(W [x, h] + b), or h = h + tanh(W [x, h] + b) where it carries."""

    def make(width: int = 6, hidden: int | None = None, k: int = 11, carries: bool = False) -> Network:
        hidden = hidden or width
        b = NetworkBuilder(Task("language", (width,), k))
        x = b.input()
        h = b.add("h", StateIn("h", (hidden,)))
        y = b.add("linear", Linear(hidden), b.add("joined", Concatenation(), x, h))
        y = b.add("tanh", Activation("tanh"), y)
        y = b.add("carry", Add(), y, h) if carries else y
        b.add("new", StateOut("h"), y)
        return b.network(hidden=y)

    return make


@pytest.fixture
def make_text() -> Callable[..., TextSet]:
    """A text in which each word is mostly the one before plus one, round and round."""

    def make(n: int = 600, words: int = 11, opened: list[str] | None = None) -> TextSet:
        def part(name: str, size: int) -> np.ndarray[Any, np.dtype[np.int32]]:
            steps = rng(0, "text", name).choice([1, 1, 1, 1, 1, 1, 1, 1, 1, 3], size)
            return (np.cumsum(steps) % words).astype(np.int32)

        def open_test() -> np.ndarray[Any, np.dtype[np.int32]]:
            if opened is not None:
                opened.append("test")
            return part("test", n // 3)

        return TextSet("counting", words, part("train", n), part("validation", n // 3), open_test)

    return make


RUFF_RULES = "E,F,W,I,B,UP,RUF,PT,NPY,SIM,D1"


@pytest.fixture
def assert_formatted() -> Callable[[str], None]:
    """That a source text is as a formatter leaves it and a linter wants it; skips the test without them."""
    ruff = shutil.which("ruff") or shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is None:
        pytest.skip("ruff is not installed")

    def check(text: str) -> None:
        formatted = subprocess.run(
            [ruff, "format", "--isolated", "--line-length=120", "-"], input=text, capture_output=True, text=True
        )
        assert formatted.stdout == text
        options = ["--isolated", "--line-length=120", "--target-version=py311", f"--select={RUFF_RULES}"]
        command = [ruff, "check", *options, "--ignore=D107", "-"]
        checked = subprocess.run(command, input=text, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout

    return check


NO_TOOLKIT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("nas_") or name.partition(".")[0] in ("safetensors", "torchvision"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import json, runpy
for sys.argv in json.loads(sys.argv[1]):
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def run_alone() -> Callable[..., str]:
    """What an exported file prints, command after command, where nothing of the toolkit can be imported."""

    def run(*commands: list[str]) -> str:
        command = [sys.executable, "-W", "ignore", "-c", NO_TOOLKIT, json.dumps(commands)]
        finished = subprocess.run(command, capture_output=True, text=True)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    return run
