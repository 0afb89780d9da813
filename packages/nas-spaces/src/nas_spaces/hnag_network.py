"""The network of a drawn HNAG architecture (NAGO, Ru et al. 2020, section 2.1), and its number of parameters.

Stages 0, 1, 2 have sizes 1, 1/2, 1/4 of the stem's output and widths in the given ratios. A cell runs at the size and
width of its stage. It reads the cells before it, or the stem, which counts as stage 0:

* what comes from an earlier stage is reduced, by an adaptive mean ("pool") or by a 3x3 convolution to the cell's own
  width, with the stride that fits ("stride");
* where the tensors differ in width, those that are not as wide as the last one become so by a 1x1 convolution (with
  bias, no normalisation);
* they are merged. All inputs of the cell's graph get the result, and so on downwards; within a cell every tensor has
  the cell's width, but what was merged by concatenation is as wide as its parts together, until the next operation.

A block and a cell give the mean of their outputs. The outputs of the top graph, told by their numbers (NAGO's public
code goes by the order of evaluation and takes others), are reduced to the smallest of them, brought to the width of the
last by 1x1 convolutions and averaged; the tail follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import gcd
from typing import NamedTuple

from nas_core.catalogue import same_convolution
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.primitives import AdaptivePooling, DropPath
from nas_spaces.generator_parts import (
    CONVOLUTIONS,
    auxiliary_head,
    check_choice,
    check_task,
    check_whole,
    count_auxiliary_head,
    count_merge,
    count_operation,
    count_tail,
    halved,
    mean,
    merge,
    operation,
    stem,
    stem_parameters,
    tail,
)
from nas_spaces.hnag_wirings import Block, Cell, Drawn
from nas_spaces.parameter_limit import Count, most_channels

DOWNSCALING = ("pool", "stride")
"""How a tensor of an earlier stage becomes small enough."""
_STEM = -1
_INITIAL = 1.0  # of the learnt numbers of weighted sums
_FIRST = "separable"  # kind of the first convolution in the stem of large images


class Options(NamedTuple):
    """How a network is built; see `HNAG.network`."""

    limit: int | None
    channels: int
    downscale: str
    convolution: str
    auxiliary: bool
    drop_path: bool

    def check(self) -> None:
        """Raise InvalidNetwork for an option that cannot be."""
        if self.limit is not None:
            check_whole("limit", self.limit)
        check_whole("channels", self.channels)
        check_choice("downscale", self.downscale, DOWNSCALING)
        check_choice("convolution", self.convolution, CONVOLUTIONS)
        check_choice("auxiliary", self.auxiliary, (False, True))
        check_choice("drop_path", self.drop_path, (False, True))


class Plan(NamedTuple):
    """A drawn network with the stage and relative width of each of its cells."""

    drawn: Drawn
    stages: tuple[int, ...]
    ratios: tuple[int, ...]

    def stage(self, cell: int) -> int:
        """The stage of a cell, or of the stem."""
        return 0 if cell == _STEM else self.stages[cell]

    def width(self, cell: int) -> int:
        """Output channels of a cell, or of the stem, as a multiple of the base channels."""
        return self.ratios[self.stage(cell)]

    def sources(self, cell: int) -> tuple[int, ...]:
        """What a cell reads."""
        return self.drawn.wiring.sources[cell] or (_STEM,)

    @property
    def auxiliary_cell(self) -> int:
        """The cell that the auxiliary head reads: two thirds of the way, as in DARTS."""
        return 2 * len(self.stages) // 3


def plan(drawn: Drawn, stages: Sequence[int], ratios: Sequence[int]) -> Plan:
    """The plan of a drawn network; the ratios are divided by what they have in common."""
    common = gcd(*ratios)
    return Plan(drawn, tuple(stages), tuple([ratio // common for ratio in ratios]))


def base_channels(plan: Plan, task: Task, options: Options) -> int:
    """The base channels: the most that keep to the limit, or those of the options where there is none.

    Raises:
        InvalidNetwork: the task or an option does not fit, or one base channel exceeds the limit.
    """
    check_task(task, "HNAG")
    options.check()
    if options.limit is None:
        return options.channels
    return most_channels(parameters(plan, task, options), options.limit)


def parameters(plan: Plan, task: Task, options: Options) -> Callable[[int], int]:
    """The parameters of the network as a function of the base channels."""
    count = Count()
    for number, cell in enumerate(plan.drawn.cells):
        width = plan.width(number)
        _count_cell(count, cell, _count_arrivals(count, plan, number, options), width, options.convolution)
    outputs = plan.drawn.wiring.outputs
    last = plan.width(outputs[-1])
    _count_matches(count, [plan.width(cell) for cell in outputs], last)
    count_tail(count, task, last)
    if options.auxiliary:
        count_auxiliary_head(count, task, plan.width(plan.auxiliary_cell))
    return partial(_total, count, task, plan.width(_STEM))


def build(plan: Plan, task: Task, options: Options) -> Network:
    """The network.

    Raises:
        InvalidNetwork: the task or an option does not fit, or the limit cannot be met.
    """
    base = base_channels(plan, task, options)
    b = NetworkBuilder(task)
    features = {_STEM: stem(b, base * plan.width(_STEM), _FIRST)}
    _, *full = b.shape(features[_STEM])
    for number, cell in enumerate(plan.drawn.cells):
        with b.scope(f"cell{number}"):
            size = halved((full[0], full[1]), plan.stage(number))
            x = _arrivals(b, plan, number, features, size, base, options)
            depth = (number + 1) / len(plan.drawn.cells)
            path = DropPath(depth) if options.drop_path else None
            features[number] = _cell(b, cell, x, base * plan.width(number), options.convolution, path)
    outputs = plan.drawn.wiring.outputs
    xs = [features[cell] for cell in outputs]
    with b.scope("join"):
        _, h, w = b.shape(xs[-1])
        xs = [_pooled(b, x, (h, w), f"pool{cell}") for cell, x in zip(outputs, xs, strict=True)]
        x = mean(b, _matched(b, xs, outputs))
    logits = tail(b, x)
    if options.auxiliary:
        return b.network(logits=logits, auxiliary=auxiliary_head(b, features[plan.auxiliary_cell]))
    return b.network(logits=logits)


def _total(count: Count, task: Task, stem_ratio: int, base: int) -> int:
    return count.at(base) + stem_parameters(task, stem_ratio * base, _FIRST)


def _arrivals(
    b: NetworkBuilder,
    plan: Plan,
    number: int,
    features: dict[int, int],
    size: tuple[int, int],
    base: int,
    options: Options,
) -> int:
    """What reaches a cell, as one tensor of its size."""
    xs, sources = [], plan.sources(number)
    for source in sources:
        gap = plan.stage(number) - plan.stage(source)
        if gap and options.downscale == "stride":
            reduction = same_convolution(base * plan.width(number), 3, 2**gap)
            xs.append(b.add(f"reduce{_name(source)}", reduction, features[source]))
        else:
            xs.append(_pooled(b, features[source], size, f"pool{_name(source)}"))
    return merge(b, plan.drawn.merging[number], _matched(b, xs, sources), _INITIAL)


def _count_arrivals(count: Count, plan: Plan, number: int, options: Options) -> int:
    """Count `_arrivals`; returns the width of the tensor."""
    widths = []
    for source in plan.sources(number):
        widths.append(plan.width(source))
        if options.downscale == "stride" and plan.stage(source) < plan.stage(number):
            count.convolution(widths[-1], plan.width(number), 9)
            widths[-1] = plan.width(number)
    _count_matches(count, widths, widths[-1])
    return count_merge(count, plan.drawn.merging[number], len(widths), widths[-1])


def _pooled(b: NetworkBuilder, x: int, size: tuple[int, int], name: str) -> int:
    return x if b.shape(x)[1:] == size else b.add(name, AdaptivePooling(size), x)


def _matched(b: NetworkBuilder, xs: Sequence[int], sources: Sequence[int]) -> list[int]:
    """The tensors in the width of the last one."""
    width = b.shape(xs[-1])[0]
    match = same_convolution(width, 1, bias=True)
    return [
        x if b.shape(x)[0] == width else b.add(f"match{_name(source)}", match, x)
        for x, source in zip(xs, sources, strict=True)
    ]


def _count_matches(count: Count, widths: Sequence[int], last: int) -> None:
    """Count `_matched`."""
    for width in widths:
        if width != last:
            count.convolution(width, last, 1, bias=True)


def _name(source: int) -> str:
    return "_stem" if source == _STEM else str(source)


def _cell(b: NetworkBuilder, cell: Cell, x: int, width: int, convolution: str, path: DropPath | None) -> int:
    blocks: list[int] = []
    for number, block in enumerate(cell.blocks):
        with b.scope(f"block{number}"):
            xs = [blocks[source] for source in cell.wiring.sources[number]] or [x]
            y = merge(b, cell.merging[number], xs, _INITIAL)
            blocks.append(_block(b, block, y, width, convolution, path))
    return mean(b, [blocks[number] for number in cell.wiring.outputs])


def _block(b: NetworkBuilder, block: Block, x: int, width: int, convolution: str, path: DropPath | None) -> int:
    nodes: list[int] = []
    for number, name in enumerate(block.operations):
        with b.scope(f"node{number}"):
            sources = block.wiring.sources[number]
            xs = [nodes[source] for source in sources] or [x]
            if path is not None and len(xs) > 1:
                xs = [b.add(f"path{source}", path, y) for source, y in zip(sources, xs, strict=True)]
            y = merge(b, block.merging[number], xs, _INITIAL)
            nodes.append(operation(b, y, name, width, convolution))
    return mean(b, [nodes[number] for number in block.wiring.outputs])


def _count_cell(count: Count, cell: Cell, arriving: int, width: int, convolution: str) -> None:
    """Count `_cell` on an input of a width."""
    for block, outer, sources in zip(cell.blocks, cell.merging, cell.wiring.sources, strict=True):
        entering = count_merge(count, outer, len(sources), width) if sources else arriving
        for name, how, inner in zip(block.operations, block.merging, block.wiring.sources, strict=True):
            inputs = count_merge(count, how, len(inner), width) if inner else entering
            count_operation(count, name, inputs, width, convolution)
