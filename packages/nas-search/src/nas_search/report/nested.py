"""Pictures of graphs of graphs, as generators draw them: frames that hold frames, and dots at the bottom.

As many levels are shown inside each other as fit on the page. Where some do not, the nodes of the lowest level shown
are numbered boxes, and the first of them, or each one of a chain, stands enlarged beside it, its own parts inside; and
so on down to the dots. A level of one node is left out.

A frame is tinted by its label where labels differ on its level, a dot is coloured by its label. Where nodes merge their
inputs in different ways, the shape of a dot, and a sign at the left side of a frame, tells how.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from nas_core.graph import Graph
from nas_core.nested import NestedGraph
from nas_search.report.layout import layered
from nas_search.report.page import Drawing, Point, draw_arrow, page, text_width, through
from nas_search.report.pictures import INK, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TINTS = ("#dcebfb", "#fdebd3", "#def3dd", "#efe4f9", "#fbe3e4", "#d9f2f0", "#faf4cf", "#ece4dc")
_STRONG = ("#2f6fbd", "#e08a1e", "#3f9b46", "#8a4fc0", "#d2434a", "#1f9a94", "#b59a10", "#7c6753")
_SHAPES = "sD^v<>p"  # "o" is a dot that merges nothing

# in inches
_DOT = 0.13
_BOX = 0.34
_PADDING = 0.13
_MARGIN = 0.22
_WIDEST = 18.0
_TALLEST = 9.0
_SIZE = 9.5


class Gaps(NamedTuple):
    """Distances between neighbours: from layer to layer, and from one above the other."""

    across: float
    down: float


_GAPS = {"dot": Gaps(0.24, 0.1), "box": Gaps(0.4, 0.2), "frame": Gaps(0.34, 0.14)}
_EDGES = 6  # for each layer; where there are more, the layers of dots stand farther apart
_ENLARGED = 1.6  # a picture of dots alone


class Look(NamedTuple):
    """What labels and ways of merging look like, in all panels of a picture."""

    tints: Mapping[str, str]
    dots: Mapping[str, str]
    shapes: Mapping[str, str]


def draw_nested(pictures: Sequence[tuple[str, NestedGraph]]) -> Figure:
    """A picture of one or more nested graphs, each under its title."""
    pictures = [(title, _without_single(nested)) for title, nested in pictures]
    look = _look([nested for _, nested in pictures])
    with style():
        lines: list[list[Drawing]] = []
        for title, nested in pictures:
            row: list[Drawing] = list(_panels(nested, title, "", look))
            while row:  # a line takes what fits, at least one
                taken = 1
                while taken < len(row) and sum(panel.width for panel in row[: taken + 1]) <= _WIDEST:
                    taken += 1
                lines.append(row[:taken])
                row = row[taken:]
        legend = _Legend(look)
        return page([*lines, [legend]] if legend.entries else lines)


def _without_single(nested: NestedGraph) -> NestedGraph:
    """With the content of every level of one node in place of that level."""
    if len(nested.parts) == 1:
        return _without_single(nested.parts[0])
    return NestedGraph(nested.graph, nested.merging, tuple([_without_single(part) for part in nested.parts]))


def _look(drawn: Sequence[NestedGraph]) -> Look:
    frames: dict[int, dict[str, None]] = {}
    dots: dict[str, None] = {}
    merging: dict[str, None] = {}
    for nested, level in _all(drawn):
        labels = dict.fromkeys(nested.graph.labels)
        if nested.parts:
            frames.setdefault(level, {}).update(labels)
        else:
            dots.update(labels)
        joins = zip(nested.graph.in_degrees(), nested.merging, strict=False)
        merging.update(dict.fromkeys(how for degree, how in joins if degree > 1))
    told = sorted({label for labels in frames.values() if len(labels) > 1 for label in labels})
    ways = sorted(merging) if len(merging) > 1 else []
    return Look(
        {label: _TINTS[i % len(_TINTS)] for i, label in enumerate(told)},
        {label: _STRONG[i % len(_STRONG)] for i, label in enumerate(sorted(dots))},
        {how: _SHAPES[i % len(_SHAPES)] for i, how in enumerate(ways)},
    )


def _all(drawn: Sequence[NestedGraph], level: int = 0) -> Iterator[tuple[NestedGraph, int]]:
    for nested in drawn:
        yield nested, level
        yield from _all(nested.parts, level + 1)


def _panels(nested: NestedGraph, title: str, number: str, look: Look) -> Iterator[_Panel]:
    """The graph with as many levels as fit, and what does not fit, enlarged."""
    levels = nested.levels
    frame = _Frame(nested, levels, look, number)
    while levels > 1 and (frame.width > _WIDEST - 2 * _MARGIN or frame.height > _TALLEST):
        levels -= 1
        frame = _Frame(nested, levels, look, number)
    yield _Panel(title, frame)
    if levels == nested.levels:
        return
    if levels == 1 and _is_chain(nested.graph):
        closed = list(zip(nested.parts, frame.numbers, strict=True))
    else:
        part, name = nested, number
        for _ in range(levels):
            deepest = max(range(len(part.parts)), key=lambda i: part.parts[i].levels)
            part, name = part.parts[deepest], f"{name}.{deepest + 1}".lstrip(".")
        closed = [(part, name)]
    for part, name in closed:
        yield from _panels(part, f"{name} enlarged", name, look)


def _is_chain(graph: Graph) -> bool:
    return graph.edges == tuple(pairwise(range(len(graph.labels))))


@dataclass
class _Panel:
    """A frame under a title."""

    title: str
    frame: _Frame

    def __post_init__(self) -> None:
        lines = self.title.split("\n")
        self.width = max(self.frame.width, *(text_width(line, 10.0, bold=True) for line in lines)) + 2 * _MARGIN
        self.over = _MARGIN + 0.17 * len(lines) + 0.1
        self.height = self.over + self.frame.height + _MARGIN

    def draw(self, axes: Axes, left: float, top: float) -> None:
        """Draw with the upper left corner at (left, top)."""
        axes.text(left + _MARGIN, top - _MARGIN, self.title, weight="bold", size=10, va="top")
        self.frame.draw(axes, left + _MARGIN, top - self.over)


class _Frame:
    """A graph with so many levels inside: its layout in inches, and what draws it.

    Args:
        nested: the graph.
        levels: how many levels to show, from 1.
        look: colours and shapes.
        number: its own number, such as "1.3"; "" at the top.
        inside: it stands inside another frame.
    """

    width: float
    height: float

    def __init__(self, nested: NestedGraph, levels: int, look: Look, number: str = "", inside: bool = False) -> None:
        self.nested, self.look = nested, look
        self.numbers = [f"{number}.{i}".lstrip(".") for i in range(1, len(nested.graph.labels) + 1)]
        self.parts: list[_Frame] = []
        if levels > 1:
            parts = zip(nested.parts, self.numbers, strict=False)
            self.parts = [_Frame(part, levels - 1, look, own, inside=True) for part, own in parts]
        kind = "frame" if self.parts else "box" if nested.parts else "dot"
        self.sizes = [(part.width + 2 * _PADDING, part.height + 2 * _PADDING) for part in self.parts]
        if kind == "box":
            self.sizes = [(max(_BOX, text_width(number, _SIZE) + 0.16), _BOX) for number in self.numbers]
        elif kind == "dot":
            self.sizes = [(_DOT, _DOT)] * len(self.numbers)
        gaps = _GAPS[kind]
        self._place(gaps.across, gaps.down, crowds=kind == "dot")
        if kind == "dot" and not inside and _ENLARGED * self.width <= _WIDEST:
            self.sizes = [(_ENLARGED * _DOT, _ENLARGED * _DOT)] * len(self.numbers)
            self._place(_ENLARGED * gaps.across, _ENLARGED * gaps.down, crowds=True)

    def _place(self, across: float, down: float, crowds: bool) -> None:
        layout = layered(self.nested.graph)
        self.layers, self.bends = layout.layers, layout.bends
        if crowds:
            across *= max(1.0, len(self.nested.graph.edges) / (max(self.layers) + 1) / _EDGES) ** 0.5
        self.pitch = max(height for _, height in self.sizes) + down
        columns = [
            max(size[0] for size, own in zip(self.sizes, self.layers, strict=True) if own == layer)
            for layer in range(max(self.layers) + 1)
        ]
        self.columns = [(sum(columns[:i]) + i * across, width) for i, width in enumerate(columns)]
        ends = [(y * self.pitch, size[1] / 2) for y, size in zip(layout.heights, self.sizes, strict=True)]
        ends += [(y * self.pitch, 0.0) for bends in layout.bends for _, y in bends]
        low = min(y - half for y, half in ends)
        self.y = [height * self.pitch - low for height in layout.heights]
        self.low = low
        self.width = sum(columns) + across * (len(columns) - 1)
        self.height = max(y + half for y, half in ends) - low

    def draw(self, axes: Axes, left: float, top: float, depth: int = 0) -> None:
        """Draw with the upper left corner at (left, top)."""
        self.left, self.bottom, self.depth = left, top - self.height, 10 * depth
        for number in range(len(self.nested.graph.edges)):
            thin = not self.parts and not self.nested.parts
            look = {"linewidth": 0.8, "mutation_scale": 5} if thin else {"linewidth": 1.3}
            draw_arrow(axes, self._path(number), zorder=self.depth + 2, shrinkA=0, shrinkB=0, **look)
        for node in range(len(self.sizes)):
            if self.nested.parts:
                self._draw_frame(axes, node)
            else:
                self._draw_dot(axes, node)

    def _draw_dot(self, axes: Axes, node: int) -> None:
        x, y = self._centre(node)
        colour = self.look.dots[self.nested.graph.labels[node]]
        size = 72 * self.sizes[node][0]
        axes.plot([x], [y], self._shape(node) or "o", color=colour, markersize=size, mew=0, zorder=self.depth + 3)

    def _draw_frame(self, axes: Axes, node: int) -> None:
        from matplotlib.patches import FancyBboxPatch

        (x, y), (width, height) = self._centre(node), self.sizes[node]
        tint = self.look.tints.get(self.nested.graph.labels[node], "#ffffff")
        corner = (x - width / 2, y - height / 2)
        box = FancyBboxPatch(
            corner, width, height, boxstyle="round,pad=0,rounding_size=0.08", facecolor=tint, edgecolor=INK,
            linewidth=0.9, zorder=self.depth + 3,
        )  # fmt: skip
        axes.add_patch(box)
        if self.parts:
            part = self.parts[node]
            part.draw(axes, corner[0] + _PADDING, y + part.height / 2, self.depth // 10 + 1)
        else:
            axes.text(x, y - 0.01, self.numbers[node], size=_SIZE, ha="center", va="center", zorder=self.depth + 4)
        if shape := self._shape(node):
            axes.plot([corner[0]], [y], shape, color=INK, markersize=5, mew=0, zorder=self.depth + 5)

    def _shape(self, node: int) -> str | None:
        """The sign of how a node merges, where it does and there is more than one way."""
        if not self.nested.merging or self.nested.graph.in_degrees()[node] < 2:
            return None
        return self.look.shapes.get(self.nested.merging[node])

    def _centre(self, node: int) -> Point:
        start, width = self.columns[self.layers[node]]
        return self.left + start + width / 2, self.bottom + self.y[node]

    def _path(self, number: int) -> list[Point]:
        source, target = self.nested.graph.edges[number]
        x, y = self._centre(source)
        points = [(x + self.sizes[source][0] / 2, y)]
        for layer, height in self.bends[number]:
            start, width = self.columns[layer]
            y = self.bottom + height * self.pitch - self.low
            points += [(self.left + start, y), (self.left + start + width, y)]
        x, y = self._centre(target)
        return through([*points, (x - self.sizes[target][0] / 2, y)])


class _Legend:
    """What the colours and shapes mean, in lines as wide as the page."""

    def __init__(self, look: Look) -> None:
        self.entries = [("s", tint, INK, label) for label, tint in look.tints.items()]
        self.entries += [("o", colour, colour, label) for label, colour in look.dots.items()]
        self.entries += [(shape, "#ffffff", INK, how) for how, shape in look.shapes.items()]
        self.places: list[tuple[float, float]] = []
        x, y, self.width = _MARGIN, 0.12, 0.0
        for *_, label in self.entries:
            wide = 0.45 + text_width(label, 9.0)
            if x + wide > _WIDEST - 2 and x > _MARGIN:
                x, y = _MARGIN, y + 0.24
            self.places.append((x, y))
            x += wide
            self.width = max(self.width, x)
        self.height = y + 0.12 + _MARGIN

    def draw(self, axes: Axes, left: float, top: float) -> None:
        """Draw with the upper left corner at (left, top)."""
        for (shape, face, edge, label), (x, y) in zip(self.entries, self.places, strict=True):
            axes.plot([left + x + 0.08], [top - y], shape, markersize=9, markerfacecolor=face, markeredgecolor=edge)
            axes.text(left + x + 0.22, top - y, label, size=9, va="center")
