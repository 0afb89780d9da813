"""Plain convolutional networks: how many stages, how wide and how deep each of them is, and one size of kernel.

A stage is a row of convolutions of one width, each with its normalisation and ReLU; from stage to stage the image is
halved by pooling. Behind the last stage stand the global mean and a linear classifier.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, final

from nas_core.architecture import Architecture
from nas_core.catalogue import classifier, conv_norm_relu, same_pooling
from nas_core.decisions import Categorical, Decision, Integer, Value
from nas_core.errors import InvalidArchitecture, InvalidNetwork, InvalidSpace
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.space import Space

WIDTHS = (8, 16, 32, 64)
KERNELS = (3, 5)
DEEPEST = 3
"""Most convolutions of a stage."""

_STAGE = re.compile(r"([1-9][0-9]*)x([1-9][0-9]*)")


@final
class Pyramid(Space):
    """Members are written as `16x2-32x1 k3`: two convolutions of 16 channels, then one of 32, all 3x3.

    Decisions: `stages`, `kernel`, and for each stage `width<i>` and `depth<i>`, inactive beyond the number of stages.
    Samples are uniform on each decision, so that networks of few stages are as likely as those of many.

    Args:
        stages: most stages, 1 to 4.

    Raises:
        InvalidSpace: another number of stages.
    """

    name = "pyramid"

    def __init__(self, stages: int = 3) -> None:
        if isinstance(stages, bool) or not isinstance(stages, int) or not 1 <= stages <= 4:
            raise InvalidSpace("stages cannot be set", value=stages, expected="a whole number from 1 to 4")
        self.stages = stages
        own: list[Decision] = []
        for i in range(stages):
            own += [Categorical(f"width{i}", WIDTHS), Integer(f"depth{i}", 1, DEEPEST)]
        self.decisions = (Integer("stages", 1, stages), Categorical("kernel", KERNELS), *own)

    def to_config(self) -> dict[str, Any]:
        """The option."""
        return {"name": self.name, "stages": self.stages}

    def active(self, values: Sequence[Value | None]) -> tuple[bool, ...]:
        """Widths and depths of as many stages as there are."""
        shown: Any = values[0]
        return (True, True, *(i < shown for i in range(self.stages) for _ in range(2)))

    @property
    def size(self) -> int:
        """Number of members: for each number of stages, so many choices of width and depth; 3,768 by default."""
        stages: int = sum((len(WIDTHS) * DEEPEST) ** shown for shown in range(1, self.stages + 1))
        return len(KERNELS) * stages

    def enumerate(self) -> Iterator[Architecture]:
        """Every member, those of fewer stages first."""
        stage = list(product(WIDTHS, range(1, DEEPEST + 1)))
        for shown in range(1, self.stages + 1):
            for kernel, chosen in product(KERNELS, product(stage, repeat=shown)):
                yield self._member(chosen, kernel)

    def text(self, a: Architecture) -> str:
        """Such as `16x2-32x1 k3`."""
        return "-".join(f"{width}x{depth}" for width, depth in self._pairs(a)) + f" k{a.values[1]}"

    def parse(self, text: str) -> Architecture:
        """The member of a text.

        Raises:
            InvalidArchitecture: naming the stage or the number that is wrong.
        """
        stages, _, kernel = text.partition(" k")
        matches = [_STAGE.fullmatch(part) for part in stages.split("-")]
        if None in matches or kernel not in map(str, KERNELS):
            raise InvalidArchitecture("not a pyramid", value=text, expected="such as 16x2-32x1 k3")
        if len(matches) > self.stages:
            raise InvalidArchitecture(f"{len(matches)} stages", value=text, expected=f"at most {self.stages}")
        pairs = [(int(match[1]), int(match[2])) for match in matches if match is not None]
        return self.canonical(self._member(pairs, int(kernel)).values)

    def network(self, a: Architecture, task: Task, seed: int = 0, *, multiplier: int = 1) -> Network:
        """A member's network.

        Args:
            a: the member.
            task: images to classify.
            seed: not read.
            multiplier: every width times this.

        Raises:
            InvalidNetwork: the task or the multiplier does not fit.
        """
        if task.kind != "classification":
            raise InvalidNetwork("a pyramid classifies images", value=task.kind, expected="classification")
        if isinstance(multiplier, bool) or not isinstance(multiplier, int) or multiplier < 1:
            raise InvalidNetwork("multiplier cannot be set", value=multiplier, expected="a whole number from 1")
        kernel: Any = a.values[1]
        b = NetworkBuilder(task)
        x = b.input()
        for stage, (width, depth) in enumerate(self._pairs(a)):
            with b.scope(f"stage{stage}"):
                if stage > 0:
                    x = b.add("pool", same_pooling("max", 3, stride=2), x)
                for i in range(depth):
                    with b.scope(f"conv{i}"):
                        x = conv_norm_relu(b, x, multiplier * width, kernel)
        return b.network(logits=classifier(b, x))

    def _pairs(self, a: Architecture) -> list[tuple[int, int]]:
        """Width and depth of every stage."""
        values: Any = a.values
        return [(values[2 + 2 * i], values[3 + 2 * i]) for i in range(values[0])]

    def _member(self, pairs: Sequence[tuple[int, int]], kernel: int) -> Architecture:
        values: list[Value | None] = [len(pairs), kernel, *(number for pair in pairs for number in pair)]
        return Architecture(self.name, (*values, *[None] * (len(self.decisions) - len(values))))
