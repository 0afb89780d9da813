"""HNAG, the hierarchical generator of networks that NAGO searches (Ru et al. 2020, section 2.1).

A member is a generator: numbers from which, with a seed, networks are drawn. The paper's eight decisions are

    top_n, top_k, top_p            nodes, neighbours and rewiring of the Watts-Strogatz graph of cells
    mid_n, mid_p                   nodes and edge probability of the Erdős-Rényi graph of each cell's blocks
    bottom_n, bottom_k, bottom_p   nodes, neighbours and rewiring of the Watts-Strogatz graph of each block's nodes

The appendix with their ranges is not in the published text. Those here are the ranges of NAGO's public configuration,
with two ends opened since the paper's table 3 reports values beyond them: mid_n from 1 and mid_p from 0.1.

`top_k` and `bottom_k` keep the published axis, 2 to 5, but a ring has an even number of neighbours: of 2 to 5 there are
two kinds of graphs, and one where a graph has four nodes or fewer. `twin_key` says which generators draw alike:

    hnag-1: k counts as `random_graphs.effective_neighbours` says; the rewiring of a graph that has every edge, and the
    edge probability of two blocks, do not count; weights count by their shares (all zero: equal weights), stages by the
    stage of every cell, channel ratios after division by their common divisor.

Twins draw the same network from the same seed.

The full Θ of the paper adds 16 decisions, with ranges of our own since the text gives none: the relative lengths
(0.1 to 1) and widths (1 to 4) of the three stages, and weights (0 to 1) of the three ways to merge and the seven
operations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import gcd
from types import MappingProxyType
from typing import Any, Final, final

from nas_core.architecture import Architecture
from nas_core.decisions import Decision, Integer, Real, Value
from nas_core.errors import InvalidArchitecture, InvalidSpace
from nas_core.nested import NestedGraph
from nas_core.network import Network, Task
from nas_core.space import Space
from nas_spaces import hnag_network, parameter_text
from nas_spaces.generator_parts import MERGING, OPERATIONS
from nas_spaces.hnag_network import Options
from nas_spaces.hnag_wirings import STAGES, Theta, draw, nested, shares, stage_of
from nas_spaces.random_graphs import ring_parameters

NAMED: Final[Mapping[str, tuple[int | float, ...]]] = MappingProxyType(
    {
        "cifar10-bohb": (8, 5, 0.6, 1, 0.7, 5, 4, 0.2),
        "cifar100-bohb": (8, 5, 0.4, 1, 0.7, 4, 2, 0.4),
        "sport8-bohb": (7, 2, 0.9, 5, 0.8, 6, 3, 0.6),
        "mit67-bohb": (9, 4, 0.6, 1, 0.2, 3, 2, 0.5),
        "flowers102-bohb": (6, 4, 0.4, 1, 0.4, 6, 5, 0.9),
        "imagenet-bohb": (4, 2, 0.5, 5, 0.6, 6, 4, 0.4),
        "cifar10-mobo": (6, 4, 0.8, 1, 0.1, 3, 2, 0.5),
        "cifar100-mobo": (6, 4, 0.3, 1, 0.7, 3, 2, 0.5),
        "sport8-mobo": (3, 2, 0.3, 1, 0.2, 3, 2, 0.8),
        "mit67-mobo": (3, 2, 0.6, 1, 0.8, 4, 2, 0.6),
        "flowers102-mobo": (6, 5, 0.2, 1, 0.8, 3, 2, 0.5),
        "darts-like": (20, 2, 0.1, 1, 0.1, 8, 4, 0.5),
        "randwire-like": (3, 2, 0.1, 1, 0.1, 32, 4, 0.75),
    }
)
"""Generators by name, in the order of the eight decisions.

The optima of the paper's table 3, whose value of mid_p means nothing where mid_n is 1; and two that emulate other
spaces (section 2.1): of "darts-like" the paper gives 20 cells of one block, of "randwire-like" 3 cells of one block of
32 nodes; the other numbers are ours, k and p of "randwire-like" those of `rnag.NAMED`.
"""

_GROUPS = {"top": 3, "mid": 2, "bottom": 3}
_FULL_GROUPS = {**_GROUPS, "stages": STAGES, "channels": STAGES, "merging": len(MERGING), "operations": len(OPERATIONS)}
_LEAST_P = 0.1


@final
class HNAG(Space):
    """Generators of hierarchical networks.

    Samples are uniform on each decision; mid_p is then dropped where mid_n is 1.

    Args:
        top: least and most cells.
        mid: least and most blocks of a cell.
        bottom: least and most nodes of a block.
        full: with the decisions on stages, channels, merging and operations as well. Without them the stages are
            equally long, widths go as 1 : 2 : 4, tensors merge by weighted sums and every operation is a 3x3
            convolution.

    Raises:
        InvalidSpace: a range of nodes that does not lie within 1 to 100.
    """

    name = "hnag"
    twin_rules = "hnag-1"

    def __init__(
        self,
        *,
        top: Sequence[int] = (3, 10),
        mid: Sequence[int] = (1, 10),
        bottom: Sequence[int] = (3, 10),
        full: bool = False,
    ) -> None:
        if not isinstance(full, bool):
            raise InvalidSpace("full cannot be set", value=full, expected="true or false")
        self._ranges = {"top": _range("top", top), "mid": _range("mid", mid), "bottom": _range("bottom", bottom)}
        self.full = full
        self._groups = _FULL_GROUPS if full else _GROUPS
        self.decisions: tuple[Decision, ...] = (
            *_graph_decisions("top", *self._ranges["top"]),
            Integer("mid_n", *self._ranges["mid"]),
            Real("mid_p", _LEAST_P, 1.0),
            *_graph_decisions("bottom", *self._ranges["bottom"]),
            *(_full_decisions() if full else ()),
        )

    def to_config(self) -> dict[str, Any]:
        """The ranges of nodes and whether Θ is full."""
        return {"name": self.name, **{level: list(ends) for level, ends in self._ranges.items()}, "full": self.full}

    def active(self, values: Sequence[Value | None]) -> tuple[bool, ...]:
        """All but mid_p of a single block, and k and p of a single cell or node."""
        top, mid, bottom = values[0] != 1, values[3] != 1, values[5] != 1
        return (True, top, top, True, mid, True, bottom, bottom, *(True,) * (len(self.decisions) - 8))

    def text(self, a: Architecture) -> str:
        """Such as `top(8,5,0.6) mid(1) bottom(5,4,0.2)`; a full Θ has four more groups."""
        return parameter_text.write(self._groups, a.values)

    def parse(self, text: str) -> Architecture:
        """The generator that a text describes.

        Raises:
            InvalidArchitecture: naming the group and the number that is wrong.
        """
        return self.canonical(parameter_text.read(self._groups, self.decisions, text, self.name))

    def named(self, name: str) -> Architecture:
        """One of `NAMED`; in a full space with the stages, widths, merging and operations of the paper's experiments.

        Raises:
            InvalidArchitecture: no such name, or a number outside the ranges of this space.
        """
        if name not in NAMED:
            raise InvalidArchitecture("no such generator", value=name, expected="one of " + ", ".join(NAMED))
        rest = (*_DEFAULT.stages, *_DEFAULT.channels, *_DEFAULT.merging, *_DEFAULT.operations)
        values: list[Value | None] = [*NAMED[name], *(rest if self.full else ())]
        active = self.active(values)
        try:
            return self.canonical([value if on else None for value, on in zip(values, active, strict=True)])
        except InvalidArchitecture as error:
            error.remedy = "Make the space with wider ranges of nodes, such as HNAG(top=(3, 20), bottom=(3, 32))."
            raise error.at(f"the generator {name!r}") from None

    def theta(self, a: Architecture) -> Theta:
        """The parameters of a generator by the paper's names."""
        v: Any = [0 if value is None else value for value in a.values]
        graphs = ((v[0], v[1], v[2]), (v[3], v[4]), (v[5], v[6], v[7]))
        if not self.full:
            return Theta(*graphs)
        at, rest = 8, []
        for length in (STAGES, STAGES, len(MERGING), len(OPERATIONS)):
            rest.append(tuple(v[at : at + length]))
            at += length
        return Theta(*graphs, *rest)

    def twin_key(self, a: Architecture) -> str:
        """Equal for generators that draw the same network from the same seed; see the module for the rule."""
        theta = self.theta(a)
        blocks, probability = theta.middle
        common = gcd(*theta.channels)
        return json.dumps(
            [
                ring_parameters(*theta.top),
                [blocks, probability if blocks > 2 else 0],
                ring_parameters(*theta.bottom),
                stage_of(theta.top[0], theta.stages),
                [ratio // common for ratio in theta.channels],
                shares(theta.merging),
                shares(theta.operations),
            ]
        )

    def wirings(self, a: Architecture, seed: int = 0) -> NestedGraph:
        """What a generator draws from a seed, as graphs of graphs."""
        theta = self.theta(a)
        return nested(draw(theta, seed), stage_of(theta.top[0], theta.stages))

    def network(
        self,
        a: Architecture,
        task: Task,
        seed: int = 0,
        *,
        limit: int | None = 4_000_000,
        channels: int = 16,
        downscale: str = "pool",
        convolution: str = "plain",
        auxiliary: bool = False,
        drop_path: bool = False,
    ) -> Network:
        """A network of a generator; see `nas_spaces.hnag_network`.

        Args:
            a: the generator.
            task: images to classify. Below 40 pixels the stem keeps their size, otherwise it reduces them to a quarter.
            seed: which network; another one for every seed.
            limit: the most parameters of the whole network, an auxiliary head included. It has as many base channels
                as keep to the limit: one more would exceed it. None for `channels` of them. The paper's limits are
                4,000,000 for small and 6,000,000 for large images.
            channels: base channels where there is no limit; the first stage has its ratio times as many.
            downscale: "pool" or "stride": how tensors of earlier stages are made smaller.
            convolution: "plain" or "separable".
            auxiliary: with DARTS's auxiliary head on the cell that lies two thirds of the way.
            drop_path: with marks on the edges of blocks where several tensors meet, as deep as their cell.

        Raises:
            InvalidNetwork: the task or an option does not fit, or no network meets the limit.
        """
        options = Options(limit, channels, downscale, convolution, auxiliary, drop_path)
        return hnag_network.build(self._plan(a, seed), task, options)

    def base_channels(
        self,
        a: Architecture,
        task: Task,
        seed: int = 0,
        *,
        limit: int = 4_000_000,
        downscale: str = "pool",
        convolution: str = "plain",
        auxiliary: bool = False,
    ) -> int:
        """The base channels that `network` chooses with these options, found without building it.

        Raises:
            InvalidNetwork: as `network`.
        """
        options = Options(limit, 1, downscale, convolution, auxiliary, False)
        return hnag_network.base_channels(self._plan(a, seed), task, options)

    def _plan(self, a: Architecture, seed: int) -> hnag_network.Plan:
        theta = self.theta(a)
        return hnag_network.plan(draw(theta, seed), stage_of(theta.top[0], theta.stages), theta.channels)


_DEFAULT = Theta((3, 2, _LEAST_P), (1, 0.0), (3, 2, _LEAST_P))


def _range(level: str, ends: Sequence[int]) -> tuple[int, int]:
    whole = isinstance(ends, list | tuple) and all(isinstance(n, int) and not isinstance(n, bool) for n in ends)
    if not whole or len(ends) != 2 or not 1 <= ends[0] <= ends[1] <= 100:
        raise InvalidSpace(f"{level} cannot be set", value=ends, expected="the least and the most nodes, from 1 to 100")
    return ends[0], ends[1]


def _graph_decisions(level: str, least: int, most: int) -> tuple[Decision, ...]:
    return Integer(f"{level}_n", least, most), Integer(f"{level}_k", 2, 5), Real(f"{level}_p", _LEAST_P, 1.0)


def _full_decisions() -> tuple[Decision, ...]:
    return (
        *(Real(f"stage{stage}_length", 0.1, 1.0) for stage in range(STAGES)),
        *(Integer(f"stage{stage}_width", 1, 4) for stage in range(STAGES)),
        *(Real(f"weight_{name}", 0.0, 1.0) for name in (*MERGING, *OPERATIONS)),
    )
