"""The ResNet-style space that BONAS searches (Shi et al. 2020, appendix D): where to halve images and double channels.

A member is a string such as `1211-211-1111-12111`: its four groups are the blocks of stages 2 to 5, each stage with
images of half the size; 1 is a block that keeps the number of channels, 2 one that doubles it. The paper fixes base
channels of 64 and bottleneck blocks. It does not say how long a stage can be nor how often channels can double; here a
stage has 1 to 10 blocks and channels double 3 times at most, as often as in the paper's string and in ResNets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, final

import numpy as np

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Decision, Integer, Value
from nas_core.errors import InvalidArchitecture, InvalidSpace
from nas_core.graph import Graph
from nas_core.network import Network, Task
from nas_core.space import Space
from nas_spaces.resnet_network import BLOCKS, DOUBLING, FIRST_STAGE, build

STAGES: Final = 4
"""Groups of a string: stages 2 to 5."""
REGULAR: Final = "1"
SEPARATOR: Final = "-"
END: Final = "end"


class Named(NamedTuple):
    """A published network: its string and kind of block."""

    text: str
    block: str


NAMED: Final[Mapping[str, Named]] = MappingProxyType(
    {
        "bonas-example": Named("1211-211-1111-12111", "bottleneck"),
        "resnet18": Named("11-21-21-21", "basic"),
        "resnet34": Named("111-2111-211111-211", "basic"),
        "resnet50": Named("111-2111-211111-211", "bottleneck"),
        "resnet101": Named(f"111-2111-2{REGULAR * 22}-211", "bottleneck"),
    }
)
"""Members by name: the paper's example (it shows what it found in a figure only), and the ResNets of its table 5."""

_KINDS = (REGULAR, DOUBLING)


@final
class ResNet(Space):
    """Strings of blocks.

    Each of stages 2 to 5 has a decision on its number of blocks, and one a block on its kind, inactive beyond that
    number. `project` keeps the first doublings and makes regular blocks of those beyond the most allowed.

    The graph is a chain with one node a block: "1" and "2", with a "-" before it where the block begins a stage after
    the first. Tokens are the string's characters and an end.

    Args:
        most_blocks: of a stage.
        most_doublings: of the channels.
        block: "bottleneck" or "basic".

    Raises:
        InvalidSpace: an option that cannot be.
    """

    name = "resnet"
    vocabulary = (SEPARATOR, REGULAR, DOUBLING, END)
    graph_labels = ("input", *_KINDS, *(SEPARATOR + kind for kind in _KINDS), "output")
    label_words: Final = MappingProxyType(
        {
            REGULAR: "block",
            DOUBLING: "channels × 2",
            SEPARATOR + REGULAR: "size / 2",
            SEPARATOR + DOUBLING: "size / 2, channels × 2",
        }
    )

    def __init__(self, *, most_blocks: int = 10, most_doublings: int = 3, block: str = "bottleneck") -> None:
        for option, value, least in (("most_blocks", most_blocks, 1), ("most_doublings", most_doublings, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 100:
                raise InvalidSpace(
                    f"{option} cannot be set", value=value, expected=f"a whole number from {least} to 100"
                )
        if block not in BLOCKS:
            raise InvalidSpace("no such block", value=block, expected="one of " + ", ".join(BLOCKS))
        self.most_blocks, self.most_doublings, self.block = most_blocks, most_doublings, block
        decisions: list[Decision] = []
        for stage in range(FIRST_STAGE, FIRST_STAGE + STAGES):
            decisions.append(Integer(f"stage{stage}_blocks", 1, most_blocks))
            decisions += [Categorical(f"stage{stage}_block{i}", _KINDS) for i in range(most_blocks)]
        self.decisions = tuple(decisions)

    def to_config(self) -> dict[str, Any]:
        """The three options."""
        return {
            "name": self.name,
            "most_blocks": self.most_blocks,
            "most_doublings": self.most_doublings,
            "block": self.block,
        }

    def active(self, values: Sequence[Value | None]) -> tuple[bool, ...]:
        """Numbers of blocks, and the kinds of as many blocks."""
        on: list[bool] = []
        for at in range(0, len(self.decisions), self.most_blocks + 1):
            blocks: Any = values[at]
            on += [True, *(i < blocks for i in range(self.most_blocks))]
        return tuple(on)

    def project(self, values: Sequence[object]) -> Architecture:
        """As `Space.project`; doublings beyond the most allowed become regular blocks."""
        kept = list(super().project(values).values)
        doublings = [i for i, value in enumerate(kept) if value == DOUBLING]
        for i in doublings[self.most_doublings :]:
            kept[i] = REGULAR
        return Architecture(self.name, tuple(kept))

    def sample(self, rng: np.random.Generator, n: int) -> list[Architecture]:
        """`n` members: the length of each stage uniform, then how many blocks double, then which of all blocks do.

        Independent kinds would be of no use: almost all strings would have more doublings than allowed.
        """
        return [self._member(self._drawn(rng)) for _ in range(n)]

    def text(self, a: Architecture) -> str:
        """The published notation."""
        return SEPARATOR.join(self.stages(a))

    def stages(self, a: Architecture) -> tuple[str, ...]:
        """The kinds of the blocks of stages 2 to 5."""
        values: Any = a.values
        step = self.most_blocks + 1
        return tuple(["".join(values[at + 1 : at + 1 + values[at]]) for at in range(0, len(values), step)])

    def parse(self, text: str) -> Architecture:
        """The member of a string.

        Raises:
            InvalidArchitecture: naming the character or stage that is wrong.
        """
        if not isinstance(text, str):
            raise InvalidArchitecture("not a ResNet-style string", value=text, expected="such as 1211-211-1111-12111")
        for at, character in enumerate(text, start=1):
            if character not in (REGULAR, DOUBLING, SEPARATOR):
                raise InvalidArchitecture(f"character {at} ({character!r}) is none of 1, 2 and -", value=text)
        stages = text.split(SEPARATOR)
        if len(stages) != STAGES:
            raise InvalidArchitecture(f"a ResNet-style string has {STAGES} stages, not {len(stages)}", value=text)
        for stage, kinds in enumerate(stages, start=FIRST_STAGE):
            if not 1 <= len(kinds) <= self.most_blocks:
                raise InvalidArchitecture(
                    f"stage {stage} has {len(kinds)} blocks", value=text, expected=f"1 to {self.most_blocks}"
                )
        if text.count(DOUBLING) > self.most_doublings:
            raise InvalidArchitecture(
                f"channels double {text.count(DOUBLING)} times", value=text, expected=f"at most {self.most_doublings}"
            )
        return self._member(stages)

    def named(self, name: str) -> Architecture:
        """One of `NAMED`.

        Raises:
            InvalidArchitecture: no such name, another kind of block, or a stage that is too long for this space.
        """
        if name not in NAMED:
            raise InvalidArchitecture("no such ResNet", value=name, expected="one of " + ", ".join(NAMED))
        text, block = NAMED[name]
        if block != self.block:
            raise InvalidArchitecture(
                f"{name} has {block} blocks", value=self.block, remedy=f"Make the space as ResNet(block={block!r})."
            )
        return self.parse(text)

    def graphs(self, a: Architecture) -> Mapping[str, Graph]:
        """{"blocks": a chain from input to output}."""
        first, *later = self.stages(a)
        kinds = [*first]
        for stage in later:
            kinds += [SEPARATOR + stage[0], *stage[1:]]
        return {"blocks": _chain(("input", *kinds, "output"))}

    def from_graphs(self, graphs: Mapping[str, Graph]) -> Architecture:
        """The member with this chain.

        Raises:
            InvalidArchitecture: there is none.
        """
        if set(graphs) != {"blocks"}:
            raise InvalidArchitecture(f"{self.name} has one graph", value=sorted(graphs), expected='"blocks"')
        graph = graphs["blocks"]
        if graph != _chain(graph.labels) or (graph.labels[0], graph.labels[-1]) != ("input", "output"):
            raise InvalidArchitecture("not a chain from input to output", value=graph.edges)
        if not set(graph.labels[1:-1]) <= set(self.graph_labels[1:-1]):
            raise InvalidArchitecture("an unknown block", value=graph.labels, expected=", ".join(self.graph_labels))
        return self.parse("".join(graph.labels[1:-1]))

    @property
    def most_nodes(self) -> int:
        """Input, output and the most blocks."""
        return STAGES * self.most_blocks + 2

    def graph_key(self, a: Architecture) -> str:
        """Different for all members: no two have isomorphic chains."""
        return self.graphs(a)["blocks"].key()

    def tokens(self, a: Architecture) -> tuple[int, ...]:
        """The characters of the string and an end, as numbers."""
        return tuple([self.vocabulary.index(word) for word in (*self.text(a), END)])

    def from_tokens(self, tokens: Sequence[int]) -> Architecture:
        """The member of these tokens.

        Raises:
            InvalidArchitecture: there is none, or the end is missing or not at the end.
        """
        if any(token not in range(len(self.vocabulary)) for token in tokens):
            raise InvalidArchitecture(f"no tokens of {self.name}", value=tuple(tokens), expected="numbers from 0 to 3")
        words = [self.vocabulary[int(token)] for token in tokens]
        if words[-1:] != [END] or END in words[:-1]:
            raise InvalidArchitecture("a sequence of tokens has one end", value=tuple(tokens))
        return self.parse("".join(words[:-1]))

    def legal_tokens(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """What may follow in a member's sequence; () after the end."""
        words = [self.vocabulary[token] for token in prefix]
        if END in words:
            return ()
        *before, last = "".join(words).split(SEPARATOR)
        legal = {
            SEPARATOR: bool(last) and len(before) < STAGES - 1,
            REGULAR: len(last) < self.most_blocks,
            DOUBLING: len(last) < self.most_blocks and words.count(DOUBLING) < self.most_doublings,
            END: bool(last) and len(before) == STAGES - 1,
        }
        return tuple([token for token, word in enumerate(self.vocabulary) if legal[word]])

    def network(
        self, a: Architecture, task: Task, seed: int = 0, *, channels: int = 64, stem: str = "strided"
    ) -> Network:
        """A member's network; see `nas_spaces.resnet_network`.

        Args:
            a: the member.
            task: images to classify.
            seed: not read.
            channels: base channels.
            stem: "strided" is the paper's, "pooled" ResNet's own, "small" keeps the size of small images.

        Raises:
            InvalidNetwork: the task or an option does not fit.
        """
        return build(self.stages(a), task, self.block, channels, stem)

    def _drawn(self, rng: np.random.Generator) -> list[str]:
        lengths = rng.integers(1, self.most_blocks + 1, STAGES).tolist()
        blocks = sum(lengths)
        doublings = int(rng.integers(min(self.most_doublings, blocks) + 1))
        places = set(rng.choice(blocks, doublings, replace=False).tolist())
        kinds = "".join([_KINDS[place in places] for place in range(blocks)])
        ends = [sum(lengths[: stage + 1]) for stage in range(STAGES)]
        return [kinds[end - length : end] for end, length in zip(ends, lengths, strict=True)]

    def _member(self, stages: Sequence[str]) -> Architecture:
        values: list[Value | None] = []
        for kinds in stages:
            values += [len(kinds), *kinds, *[None] * (self.most_blocks - len(kinds))]
        return Architecture(self.name, tuple(values))


def _chain(labels: Sequence[str]) -> Graph:
    return Graph(tuple(labels), tuple((node, node + 1) for node in range(len(labels) - 1)))
