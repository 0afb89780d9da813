"""Pictures of labelled graphs: one rounded box a node, its operation inside and told by its colour, edges that curve.

What cannot reach the output is faded: `none` operations, and what lies only before or behind them. Where the inputs of
a node are numbered and not all alike, the numbers stand inside its box. A chain that is too wide goes on below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nas_core.graph import Graph
from nas_search.report.layout import Layout, layered
from nas_search.report.page import EDGE, WIDEST, Point, draw_arrow, page, side_by_side, text_width, through
from nas_search.report.pictures import FAINT, INK, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NOTHING = frozenset({"none", "zero", "zeroize"})
"""Labels of operations that pass nothing on."""

_PALETTE = (
    "#bcd7f5", "#fbd5a5", "#c4e8c2", "#e3cdf3", "#f8c9cb", "#bfe9e6", "#f3eba6", "#d9cbb9", "#cfd8ff", "#ffd1ec",
)  # fmt: skip
_ENDS = "#e7eaee"
_INPUT_NAMES = ("input", "c_{k", "h_prev")
_OUTPUT_NAMES = ("output",)
_INPUT = "x"

# in inches
_FONT = 9.5
_BOX_HEIGHT = 0.34
_BOX_PADDING = 0.14
_ROW = 0.62
_GAP = 0.62
_MARGIN = 0.22
_TITLE = 0.36
_PORT = 0.1  # room for the number of a port inside a box
_PORT_STEP = 0.125
_TURN = 0.26  # how far an edge swings out that leads to the next line of a chain
_NO_WORDS: Mapping[str, str] = MappingProxyType({})


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
    named = [node for node in free if _is_named(graph.labels[node], names)]
    return frozenset(named or free)


def _is_named(label: str, names: tuple[str, ...]) -> bool:
    return label.lower().startswith(names) or (label == _INPUT and names != _OUTPUT_NAMES)


def colours(labels: Sequence[str]) -> dict[str, str]:
    """A colour for every label, the same for one order of labels; inputs and outputs are grey, `none` is white."""
    chosen: dict[str, str] = {}
    for label in labels:
        if label in NOTHING:
            chosen[label] = "#ffffff"
        elif _is_named(label, _INPUT_NAMES + _OUTPUT_NAMES):
            chosen[label] = _ENDS
        else:
            used = sum(colour in _PALETTE for colour in chosen.values())
            chosen[label] = _PALETTE[used % len(_PALETTE)]
    return chosen


def draw_graphs(panels: Sequence[Panel], labels: Sequence[str] = (), words: Mapping[str, str] = _NO_WORDS) -> Figure:
    """A picture of one or more graphs, side by side as far as the width allows.

    Args:
        panels: the graphs, at least one.
        labels: every label of the space in a fixed order, so that an operation has one colour in all its pictures.
        words: what to show in place of a label.
    """
    palette = colours([*dict.fromkeys([*labels, *(label for panel in panels for label in panel.graph.labels)])])
    with style():
        return page(side_by_side([_Drawing(panel, palette, words) for panel in panels]))


class _Drawing:
    """One panel: its layout in inches, and what draws it."""

    def __init__(self, panel: Panel, palette: Mapping[str, str], words: Mapping[str, str]) -> None:
        graph = panel.graph
        self.panel, self.palette = panel, palette
        self.layout: Layout = layered(graph)
        self.idle = idle_nodes(graph)
        self.texts = [words.get(label, label) for label in graph.labels]
        self.ports = [sorted({port for _, port in arriving}) for arriving in _arriving(graph)]
        self.numbered = [len(ports) > 1 for ports in self.ports]
        self.boxes = [
            text_width(text, _FONT) + 2 * _BOX_PADDING + (_PORT if numbered else 0.0)
            for text, numbered in zip(self.texts, self.numbered, strict=True)
        ]
        self.tall = self._heights_of_boxes()
        self._place_layers()
        ends = [(self.layout.heights[i] * _ROW, self.tall[i] / 2) for i in range(len(graph.labels))]
        ends += [(height * _ROW, 0.0) for bends in self.layout.bends for _, height in bends]
        self.low = min(y - half for y, half in ends)
        self.line = max(y + half for y, half in ends) - self.low
        titles = panel.title.split("\n") if panel.title else []
        title = max((text_width(line, 10.0, bold=True) for line in titles), default=0.0)
        inner = max(sum(self.widths[i] for i in line) + _GAP * (len(line) - 1) for line in self.lines)
        self.width = max(inner, title) + 2 * _MARGIN + (2 * _TURN if len(self.lines) > 1 else 0.0)
        self.shift = (self.width - inner) / 2
        self.height = self.line + (len(self.lines) - 1) * (self.line + _ROW - _BOX_HEIGHT) + 2 * _MARGIN
        self.height += _TITLE + 0.17 * (len(titles) - 1) if titles else 0.0

    def _heights_of_boxes(self) -> list[float]:
        """Room for the numbers of the inputs; a box with none above or below it can take as much as it needs."""
        layers = [*self.layout.layers, *(layer for bends in self.layout.bends for layer, _ in bends)]
        tall = []
        for layer, ports in zip(self.layout.layers, self.ports, strict=True):
            most = float("inf") if layers.count(layer) == 1 else _ROW - 0.08
            wanted = _PORT_STEP * len(ports) + 0.08 if len(ports) > 1 else 0.0
            tall.append(min(max(_BOX_HEIGHT, wanted), most))
        return tall

    def _place_layers(self) -> None:
        """Widths of the layers, and which of them stand in which line: all in one, but for a chain that is too wide."""
        layers = self.layout.layers
        pairs = [*zip(self.boxes, layers, strict=True)]
        self.widths = [max(box for box, own in pairs if own == layer) for layer in range(max(layers) + 1)]
        self.lines: list[list[int]] = [[]]
        chain = len(self.widths) == len(layers) == len(self.panel.graph.edges) + 1
        for layer, width in enumerate(self.widths):
            used = sum(self.widths[i] + _GAP for i in self.lines[-1])
            if chain and self.lines[-1] and used + width > WIDEST - 2 * (_MARGIN + _TURN):
                self.lines.append([])
            self.lines[-1].append(layer)
        self.line_of = {layer: number for number, line in enumerate(self.lines) for layer in line}

    def draw(self, axes: Axes, left: float, top: float) -> None:
        """Draw with the upper left corner at (left, top)."""
        self.left, self.bottom = left, top - self.height
        if self.panel.title:
            axes.text(left + _MARGIN, top - _MARGIN, self.panel.title, weight="bold", size=10, va="top")
        self._draw_edges(axes)
        for node in range(len(self.texts)):
            self._draw_box(axes, node)

    def _draw_box(self, axes: Axes, node: int) -> None:
        from matplotlib.patches import FancyBboxPatch

        layer = self.layout.layers[node]
        x, y = self._centre(layer), self._y(layer, self.layout.heights[node])
        width, height, idle = self.boxes[node], self.tall[node], node in self.idle
        box = FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle=f"round,pad=0,rounding_size={_BOX_HEIGHT / 3}",
            facecolor="#ffffff" if idle else self.palette[self.panel.graph.labels[node]],
            edgecolor=FAINT if idle else INK,
            linestyle=(0, (3, 2)) if idle else "solid",
            linewidth=0.9,
            zorder=3,
        )
        axes.add_patch(box)
        if self.numbered[node]:
            for port in self.ports[node]:
                at = (x - width / 2 + 0.04, y + self._port_shift(node, port) - 0.005)
                axes.text(*at, str(port), size=6.5, va="center", color=EDGE, zorder=4)
            x += _PORT / 2
        text = self.texts[node]
        axes.text(x, y - 0.01, text, size=_FONT, ha="center", va="center", color="#8b95a1" if idle else INK, zorder=4)

    def _draw_edges(self, axes: Axes) -> None:
        for number, (source, target) in enumerate(self.panel.graph.edges):
            faded = source in self.idle or target in self.idle
            look: dict[str, Any] = {"color": FAINT if faded else EDGE, "linewidth": 1.0 if faded else 1.3}
            look |= {"linestyle": (0, (3, 2)) if faded else "solid", "zorder": 1 if faded else 2}
            draw_arrow(axes, self._path(number), **look)

    def _path(self, number: int) -> list[Point]:
        """An edge: from the source's right side, past two points a bend, to the target's left side."""
        source, target = self.panel.graph.edges[number]
        layers, heights = self.layout.layers, self.layout.heights
        first, last = layers[source], layers[target]
        start = (self._centre(first) + self.boxes[source] / 2, self._y(first, heights[source]))
        shift = self._port_shift(target, self.panel.graph.ports[number]) if self.panel.graph.ports is not None else 0.0
        end = (self._centre(last) - self.boxes[target] / 2, self._y(last, heights[target]) + shift)
        if self.line_of[first] != self.line_of[last]:
            return _around(start, end)
        points = [start]
        for layer, height in self.layout.bends[number]:
            half, y = self.widths[layer] / 2, self._y(layer, height)
            points += [(self._centre(layer) - half, y), (self._centre(layer) + half, y)]
        return through([*points, end])

    def _port_shift(self, node: int, port: int) -> float:
        """How far from the middle of a box's side its edges of one port end."""
        ports = self.ports[node]
        if len(ports) < 2:
            return 0.0
        step = min(_PORT_STEP, (self.tall[node] - 0.1) / (len(ports) - 1))
        return ((len(ports) - 1) / 2 - ports.index(port)) * step

    def _centre(self, layer: int) -> float:
        before = [i for i in self.lines[self.line_of[layer]] if i < layer]
        return self.left + self.shift + sum(self.widths[i] + _GAP for i in before) + self.widths[layer] / 2

    def _y(self, layer: int, height: float) -> float:
        below = len(self.lines) - 1 - self.line_of[layer]
        return self.bottom + _MARGIN - self.low + height * _ROW + below * (self.line + _ROW - _BOX_HEIGHT)


def _arriving(graph: Graph) -> list[list[tuple[int, int]]]:
    """For each node the sources and ports of its edges; the port is 0 where none are numbered."""
    arriving: list[list[tuple[int, int]]] = [[] for _ in graph.labels]
    for (source, target), port in zip(graph.edges, graph.ports or (0,) * len(graph.edges), strict=True):
        arriving[target].append((source, port))
    return arriving


def _around(start: Point, end: Point) -> list[Point]:
    """From the right end of one line back to the left end of the next, between the two."""
    (x0, y0), (x1, y1), turn = start, end, 1.3 * _TURN
    middle = (y0 + y1) / 2
    out = [(x0 + turn, y0), (x0 + turn, middle), (x0, middle)]
    return [start, *out, (x0, middle), (x1, middle), (x1, middle), (x1 - turn, middle), (x1 - turn, y1), end]
