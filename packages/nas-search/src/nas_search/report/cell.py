"""Pictures of labelled graphs: one rounded box a node, its operation inside and told by its colour, edges that curve.

What cannot reach the output is faded: `none` operations, and what lies only before or behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from nas_core.graph import Graph
from nas_search.report.layout import Layout, layered
from nas_search.report.pictures import FAINT, INK, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NOTHING = frozenset({"none", "zero", "zeroize"})
"""Labels of operations that pass nothing on."""

_PALETTE = (
    "#bcd7f5", "#fbd5a5", "#c4e8c2", "#e3cdf3", "#f8c9cb", "#bfe9e6", "#f3eba6", "#d9cbb9", "#cfd8ff", "#ffd1ec",
)  # fmt: skip
_ENDS = "#e7eaee"
_INPUT_NAMES = ("input", "c_{k")
_OUTPUT_NAMES = ("output",)

# All in inches: a picture's coordinates are inches, so that text keeps its size in every graph.
_FONT = 9.5
_BOX_HEIGHT = 0.34
_BOX_PADDING = 0.14
_ROW = 0.62
_GAP = 0.62
_MARGIN = 0.22
_TITLE = 0.36
_PORT = 0.1  # room for the number of a port inside a box
_PORT_STEP = 0.125
_WIDEST = 13.0


@dataclass(frozen=True)
class Panel:
    """One graph of a picture, with a title above it."""

    title: str
    graph: Graph


def idle_nodes(graph: Graph) -> frozenset[int]:
    """The nodes that nothing flows through from a first node to a last one of the graph.

    Those labelled as passing nothing on, and those whose every path from the graph's inputs, or to its outputs, leads
    through one of these. Inputs are the nodes that nothing leads to; only those of them named as inputs, where any is.
    Outputs likewise.
    """
    v = len(graph.labels)
    alive = [label not in NOTHING for label in graph.labels]
    inputs = _ends(graph, graph.in_degrees(), _INPUT_NAMES)
    outputs = _ends(graph, graph.out_degrees(), _OUTPUT_NAMES)
    fed = [alive[i] and i in inputs for i in range(v)]
    read = [alive[i] and i in outputs for i in range(v)]
    for source, target in graph.edges:  # sorted by target
        fed[target] |= alive[target] and fed[source]
    for source, target in reversed(graph.edges):
        read[source] |= alive[source] and read[target]
    return frozenset(i for i in range(v) if not (fed[i] and read[i]))


def _ends(graph: Graph, degrees: Sequence[int], names: tuple[str, ...]) -> frozenset[int]:
    free = [node for node, degree in enumerate(degrees) if degree == 0]
    named = [node for node in free if graph.labels[node].lower().startswith(names)]
    return frozenset(named or free)


def colours(labels: Sequence[str]) -> dict[str, str]:
    """A colour for every label, the same for one order of labels; inputs and outputs are grey, `none` is white."""
    chosen: dict[str, str] = {}
    for label in labels:
        if label in NOTHING:
            chosen[label] = "#ffffff"
        elif label.lower().startswith(_INPUT_NAMES + _OUTPUT_NAMES):
            chosen[label] = _ENDS
        else:
            used = sum(colour in _PALETTE for colour in chosen.values())
            chosen[label] = _PALETTE[used % len(_PALETTE)]
    return chosen


def draw_graphs(panels: Sequence[Panel], labels: Sequence[str] = ()) -> Figure:
    """A picture of one or more graphs, side by side as far as the width allows.

    Args:
        panels: the graphs, at least one.
        labels: every label of the space in a fixed order, so that an operation has one colour in all its pictures.
    """
    palette = colours([*dict.fromkeys([*labels, *(label for panel in panels for label in panel.graph.labels)])])
    with style():
        drawings = [_Drawing(panel) for panel in panels]
        rows = _rows(drawings)
        width = max(sum(drawing.width for drawing in row) for row in rows)
        height = sum(max(drawing.height for drawing in row) for row in rows)
        figure = new_figure(width, height)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_xlim(0.0, width)
        axes.set_ylim(0.0, height)
        axes.set_axis_off()
        top = height
        for row in rows:
            left, tallest = 0.0, max(drawing.height for drawing in row)
            for drawing in row:
                drawing.draw(axes, left, top, palette)
                left += drawing.width
            top -= tallest
    return figure


def _rows(drawings: Sequence[_Drawing]) -> list[list[_Drawing]]:
    rows: list[list[_Drawing]] = [[]]
    for drawing in drawings:
        if rows[-1] and sum(other.width for other in rows[-1]) + drawing.width > _WIDEST:
            rows.append([])
        rows[-1].append(drawing)
    return rows


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width of a line of text in inches; call it inside `style()`."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text.strip():
        return 0.0
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text, size=size, prop=font).get_extents().width) / 72.0


class _Drawing:
    """One panel: its layout in inches, and what draws it."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.layout: Layout = layered(panel.graph)
        self.idle = idle_nodes(panel.graph)
        inputs = panel.graph.in_degrees()
        self.numbered = [panel.graph.ports is not None and degree > 1 for degree in inputs]
        self.boxes = [
            text_width(label, _FONT) + 2 * _BOX_PADDING + (_PORT if numbered else 0.0)
            for label, numbered in zip(panel.graph.labels, self.numbered, strict=True)
        ]
        self.tall = [
            min(max(_BOX_HEIGHT, _PORT_STEP * degree + 0.08), _ROW - 0.08) if numbered else _BOX_HEIGHT
            for degree, numbered in zip(inputs, self.numbered, strict=True)
        ]
        layers = max(self.layout.layers) + 1
        self.widths = [
            max((box for box, layer in zip(self.boxes, self.layout.layers, strict=True) if layer == i), default=0.0)
            for i in range(layers)
        ]
        inner = sum(self.widths) + _GAP * (layers - 1)
        title = max((text_width(line, 10.0, bold=True) for line in panel.title.split("\n")), default=0.0)
        self.width = max(inner, title) + 2 * _MARGIN
        self.shift = (self.width - inner) / 2
        heights = [*self.layout.heights, *(height for bends in self.layout.bends for _, height in bends)]
        self.lines = len(panel.title.split("\n")) if panel.title else 0
        self.height = max(heights) * _ROW + _BOX_HEIGHT + 2 * _MARGIN + (_TITLE if self.lines else 0.0)
        self.height += 0.17 * max(self.lines - 1, 0)

    def draw(self, axes: Axes, left: float, top: float, palette: dict[str, str]) -> None:
        """Draw with the upper left corner at (left, top)."""
        self.left, self.bottom = left, top - self.height
        if self.lines:
            axes.text(left + _MARGIN, top - _MARGIN, self.panel.title, weight="bold", size=10, va="top")
        self._draw_edges(axes)
        for node, label in enumerate(self.panel.graph.labels):
            self._draw_box(axes, node, palette[label])

    def _draw_box(self, axes: Axes, node: int, colour: str) -> None:
        from matplotlib.patches import FancyBboxPatch

        x, y = self._centre(self.layout.layers[node]), self._y(self.layout.heights[node])
        width, height, idle = self.boxes[node], self.tall[node], node in self.idle
        box = FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle=f"round,pad=0,rounding_size={_BOX_HEIGHT / 3}",
            facecolor="#ffffff" if idle else colour,
            edgecolor=FAINT if idle else INK,
            linestyle=(0, (3, 2)) if idle else "solid",
            linewidth=0.9,
            zorder=3,
        )
        axes.add_patch(box)
        label = self.panel.graph.labels[node]
        x += _PORT / 2 if self.numbered[node] else 0.0
        axes.text(x, y - 0.01, label, size=_FONT, ha="center", va="center", color="#8b95a1" if idle else INK, zorder=4)

    def _draw_edges(self, axes: Axes) -> None:
        from matplotlib.patches import FancyArrowPatch
        from matplotlib.path import Path

        graph = self.panel.graph
        for number, (source, target) in enumerate(graph.edges):
            faded = source in self.idle or target in self.idle
            points = self._route(number)
            vertices = _curve(points)
            path = Path(vertices, [Path.MOVETO, *[Path.CURVE4] * (len(vertices) - 1)])
            look: dict[str, Any] = {"color": FAINT if faded else "#56616f", "linewidth": 1.0 if faded else 1.3}
            look |= {"linestyle": (0, (3, 2)) if faded else "solid", "zorder": 1 if faded else 2}
            arrow = FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=9, capstyle="butt", **look)
            axes.add_patch(arrow)
            if self.numbered[target] and graph.ports is not None:
                x, y = points[-1]
                axes.text(
                    x + 0.04, y - 0.005, str(graph.ports[number]), size=6.5, va="center", color="#56616f", zorder=4
                )

    def _route(self, number: int) -> list[tuple[float, float]]:
        """The points that an edge passes, horizontally: the source's right side, two a bend, the target's left side."""
        source, target = self.panel.graph.edges[number]
        layers, heights = self.layout.layers, self.layout.heights
        start = self._centre(layers[source]) + self.boxes[source] / 2
        end = self._centre(layers[target]) - self.boxes[target] / 2
        points = [(start, self._y(heights[source]))]
        for layer, height in self.layout.bends[number]:
            half = self.widths[layer] / 2
            points += [(self._centre(layer) - half, self._y(height)), (self._centre(layer) + half, self._y(height))]
        return [*points, (end, self._y(heights[target]) + self._port_shift(number))]

    def _port_shift(self, number: int) -> float:
        """How far from the middle of its target's side an edge ends, where inputs are numbered."""
        graph = self.panel.graph
        target = graph.edges[number][1]
        if not self.numbered[target]:
            return 0.0
        siblings = [i for i, edge in enumerate(graph.edges) if edge[1] == target]
        step = min(_PORT_STEP, (self.tall[target] - 0.1) / max(len(siblings) - 1, 1))
        return ((len(siblings) - 1) / 2 - siblings.index(number)) * step

    def _centre(self, layer: int) -> float:
        return self.left + self.shift + sum(self.widths[:layer]) + layer * _GAP + self.widths[layer] / 2

    def _y(self, height: float) -> float:
        return self.bottom + _MARGIN + _BOX_HEIGHT / 2 + height * _ROW


def _curve(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A path through points that leaves and enters each horizontally: cubic pieces, three vertices a piece."""
    vertices = [points[0]]
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (x0 + x1) / 2
        vertices += [(middle, y0), (middle, y1), (x1, y1)]
    return vertices
