"""A picture of several drawings: where each stands on the page, and the strokes that all of them share.

All lengths are inches, and a picture's coordinates are inches, so that text keeps its size in every picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from nas_search.report.pictures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float]

EDGE = "#56616f"
WIDEST = 13.0
"""Drawings stand side by side up to this width."""


class Drawing(Protocol):
    """Something with a size that can be drawn."""

    width: float
    height: float

    def draw(self, axes: Axes, left: float, top: float) -> None:
        """Draw with the upper left corner at (left, top)."""
        ...


def side_by_side(drawings: Sequence[Drawing]) -> list[list[Drawing]]:
    """Drawings in lines, as many in each as the width allows."""
    lines: list[list[Drawing]] = [[]]
    for drawing in drawings:
        if lines[-1] and sum(other.width for other in lines[-1]) + drawing.width > WIDEST:
            lines.append([])
        lines[-1].append(drawing)
    return lines


def page(lines: Sequence[Sequence[Drawing]]) -> Figure:
    """A figure of lines of drawings; call it inside `style()`."""
    width = max(sum(drawing.width for drawing in line) for line in lines)
    height = sum(max(drawing.height for drawing in line) for line in lines)
    figure = new_figure(width, height)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0.0, width)
    axes.set_ylim(0.0, height)
    axes.set_axis_off()
    top = height
    for line in lines:
        left = 0.0
        for drawing in line:
            drawing.draw(axes, left, top)
            left += drawing.width
        top -= max(drawing.height for drawing in line)
    return figure


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width of a line of text; call it inside `style()`."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text.strip():
        return 0.0
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text, size=size, prop=font).get_extents().width) / 72.0


def through(points: Sequence[Point]) -> list[Point]:
    """A path through points that leaves and enters each horizontally: cubic pieces, three vertices a piece."""
    vertices = [points[0]]
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (x0 + x1) / 2
        vertices += [(middle, y0), (middle, y1), (x1, y1)]
    return vertices


def draw_arrow(axes: Axes, vertices: Sequence[Point], **look: Any) -> None:
    """An arrow along cubic pieces."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    path = Path(vertices, [Path.MOVETO, *[Path.CURVE4] * (len(vertices) - 1)])
    defaults: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 9, "capstyle": "butt", "color": EDGE}
    axes.add_patch(FancyArrowPatch(path=path, **(defaults | look)))
