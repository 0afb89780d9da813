"""RNAG, the flat generator that NAGO compares itself with (Ru et al. 2020, section 4): three random graphs in sequence.

A member is a generator: nodes n, neighbours k and rewiring p of three Watts-Strogatz graphs, nine decisions. The text
gives no ranges for them. Ours hold the generators that Xie et al. (2019) studied: n from 3 to 40, k from 2 to 8, p from
0.1 to 1 (p = 0 gives one network only).

A ring has an even number of neighbours, so the axis of k has four kinds of graphs at most. `twin_key` says which
generators draw alike, the same network from the same seed:

    rnag-1: k counts as `random_graphs.effective_neighbours` says; the rewiring of a graph that has every edge does not
    count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, final

from nas_core.architecture import Architecture
from nas_core.decisions import Integer, Real
from nas_core.errors import InvalidArchitecture
from nas_core.graph import Graph
from nas_core.nested import NestedGraph
from nas_core.network import Network, Task
from nas_core.space import Space
from nas_spaces import parameter_text, rnag_network
from nas_spaces.random_graphs import ring_parameters
from nas_spaces.rnag_network import Options

STAGES = 3
NAMED: Final[Mapping[str, tuple[int | float, ...]]] = MappingProxyType({"rnag-d": (32, 4, 0.75) * STAGES})
"""Generators by name: "rnag-d" is the best one of Xie et al. (2019), WS(4, 0.75) with 32 nodes a graph."""

_GROUPS = {f"stage{stage}": 3 for stage in range(STAGES)}


@final
class RNAG(Space):
    """Generators of three random graphs in sequence; samples are uniform on each decision."""

    name = "rnag"
    twin_rules = "rnag-1"
    decisions = tuple(
        decision
        for stage in range(STAGES)
        for decision in (
            Integer(f"stage{stage}_n", 3, 40),
            Integer(f"stage{stage}_k", 2, 8),
            Real(f"stage{stage}_p", 0.1, 1.0),
        )
    )

    def to_config(self) -> dict[str, Any]:
        """The space has no options."""
        return {"name": self.name}

    def text(self, a: Architecture) -> str:
        """Such as `stage0(32,4,0.75) stage1(32,4,0.75) stage2(32,4,0.75)`."""
        return parameter_text.write(_GROUPS, a.values)

    def parse(self, text: str) -> Architecture:
        """The generator that a text describes.

        Raises:
            InvalidArchitecture: naming the group and the number that is wrong.
        """
        return self.canonical(parameter_text.read(_GROUPS, self.decisions, text, self.name))

    def named(self, name: str) -> Architecture:
        """One of `NAMED`.

        Raises:
            InvalidArchitecture: no such name.
        """
        if name not in NAMED:
            raise InvalidArchitecture("no such generator", value=name, expected="one of " + ", ".join(NAMED))
        return self.canonical(NAMED[name])

    def twin_key(self, a: Architecture) -> str:
        """Equal for generators that draw the same network from the same seed; see the module for the rule."""
        return json.dumps([ring_parameters(*graph) for graph in _graphs(a)])

    def wirings(self, a: Architecture, seed: int = 0) -> NestedGraph:
        """What a generator draws from a seed: a chain of the three stages, each a graph of nodes labelled "conv3x3"."""
        wirings = rnag_network.draw(_graphs(a), seed)
        parts = [NestedGraph(wiring.graph(["conv3x3"] * len(wiring.sources))) for wiring in wirings]
        return NestedGraph(Graph(tuple(_GROUPS), ((0, 1), (1, 2))), parts=tuple(parts))

    def network(
        self,
        a: Architecture,
        task: Task,
        seed: int = 0,
        *,
        limit: int | None = 4_000_000,
        channels: int = 78,
        convolution: str = "separable",
    ) -> Network:
        """A network of a generator; see `nas_spaces.rnag_network`.

        Args:
            a: the generator.
            task: images to classify.
            seed: which network; another one for every seed.
            limit: the most parameters of the whole network. It has as many base channels as keep to the limit: one
                more would exceed it. None for `channels` of them.
            channels: base channels where there is no limit; 78 are those of Xie et al.'s small networks.
            convolution: "separable", as Xie et al. have it, or "plain".

        Raises:
            InvalidNetwork: the task or an option does not fit, or no network meets the limit.
        """
        return rnag_network.build(rnag_network.draw(_graphs(a), seed), task, Options(limit, channels, convolution))

    def base_channels(
        self, a: Architecture, task: Task, seed: int = 0, *, limit: int = 4_000_000, convolution: str = "separable"
    ) -> int:
        """The base channels that `network` chooses with these options, found without building it.

        Raises:
            InvalidNetwork: as `network`.
        """
        return rnag_network.base_channels(rnag_network.draw(_graphs(a), seed), task, Options(limit, 1, convolution))


def _graphs(a: Architecture) -> Sequence[tuple[int, int, float]]:
    """Nodes, neighbours and rewiring of each graph; the annotation of `values` is wider than what this space makes."""
    values: Any = a.values
    return [(values[i], values[i + 1], values[i + 2]) for i in range(0, 3 * STAGES, 3)]
