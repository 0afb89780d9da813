"""The network of RNAG (NAGO, Ru et al. 2020, section 4), RandWire's of the small regime (Xie et al. 2019, table 1).

A stem, three random graphs one after the other with widths c, 2c, 4c, and a tail. In a graph, a node merges what it
reads by a weighted sum and does ReLU, 3x3 convolution, norm. The inputs of a graph read the mean of the outputs of the
graph before it, and reduce it with stride 2. Images under 40 pixels, of which the papers do not tell, keep their size
in the stem and the first graph; larger ones are a quarter after the stem and a thirty-second in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from nas_core.network import Network, NetworkBuilder, Task
from nas_core.random import rng
from nas_spaces.generator_parts import (
    CONVOLUTIONS,
    check_choice,
    check_task,
    check_whole,
    count_merge,
    count_operation,
    count_tail,
    is_small,
    mean,
    merge,
    operation,
    stem,
    stem_parameters,
    tail,
)
from nas_spaces.parameter_limit import Count, most_channels
from nas_spaces.random_graphs import Wiring, watts_strogatz

WIDTHS = (1, 2, 4)
_OPERATION = "conv3x3"
_MERGING = "weighted_sum"
_INITIAL = 0.0  # of the learnt numbers of weighted sums
_FIRST = "plain"  # kind of the first convolution in the stem of large images


class Options(NamedTuple):
    """How a network is built; see `RNAG.network`."""

    limit: int | None
    channels: int
    convolution: str


def draw(graphs: Sequence[tuple[int, int, float]], seed: int) -> tuple[Wiring, ...]:
    """A wiring for each of the three graphs, given as nodes, neighbours and rewiring."""
    return tuple([watts_strogatz(*graph, rng(seed, "rnag", stage)) for stage, graph in enumerate(graphs)])


def base_channels(wirings: Sequence[Wiring], task: Task, options: Options) -> int:
    """The base channels: the most that keep to the limit, or those of the options where there is none.

    Raises:
        InvalidNetwork: the task or an option does not fit, or one base channel exceeds the limit.
    """
    check_task(task, "RNAG")
    check_whole("channels", options.channels)
    check_choice("convolution", options.convolution, CONVOLUTIONS)
    if options.limit is None:
        return options.channels
    check_whole("limit", options.limit)
    return most_channels(parameters(wirings, task, options.convolution), options.limit)


def parameters(wirings: Sequence[Wiring], task: Task, convolution: str) -> Callable[[int], int]:
    """The parameters of the network as a function of the base channels."""
    count, before = Count(), WIDTHS[0]
    for wiring, width in zip(wirings, WIDTHS, strict=True):
        for sources in wiring.sources:
            inputs = count_merge(count, _MERGING, len(sources), width) if sources else before
            count_operation(count, _OPERATION, inputs, width, convolution)
        before = width
    count_tail(count, task, before)
    return partial(_total, count, task)


def build(wirings: Sequence[Wiring], task: Task, options: Options) -> Network:
    """The network.

    Raises:
        InvalidNetwork: the task or an option does not fit, or the limit cannot be met.
    """
    base = base_channels(wirings, task, options)
    b = NetworkBuilder(task)
    x = stem(b, WIDTHS[0] * base, _FIRST)
    for stage, (wiring, width) in enumerate(zip(wirings, WIDTHS, strict=True)):
        with b.scope(f"stage{stage}"):
            stride = 1 if stage == 0 and is_small(task) else 2
            x = _graph(b, wiring, x, width * base, options.convolution, stride)
    return b.network(logits=tail(b, x))


def _total(count: Count, task: Task, base: int) -> int:
    return count.at(base) + stem_parameters(task, WIDTHS[0] * base, _FIRST)


def _graph(b: NetworkBuilder, wiring: Wiring, x: int, width: int, convolution: str, stride: int) -> int:
    nodes: list[int] = []
    for number, sources in enumerate(wiring.sources):
        with b.scope(f"node{number}"):
            y = merge(b, _MERGING, [nodes[source] for source in sources] or [x], _INITIAL)
            nodes.append(operation(b, y, _OPERATION, width, convolution, 1 if sources else stride))
    return mean(b, [nodes[node] for node in wiring.outputs])
