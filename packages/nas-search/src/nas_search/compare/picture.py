"""The curves of a comparison as a picture: mean and confidence band, against labels and against simulated time.

A row of panels for each table. With one objective a curve is the best value so far, with several the hypervolume in %
of the whole table's. The band is the mean ± 1.96 standard errors over the seeds (95 %). A curve begins where every seed
has a value; against time it ends with the shortest of its runs, so that every point is a mean over all seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas_search.compare.figures import Curves
from nas_search.report.curve import time_unit
from nas_search.report.pictures import INK, legend_above, new_figure, plain_ticks, style
from nas_search.report.view import with_room

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

_COLOURS = ("#1668b8", "#c2410c", "#0f8a5f", "#7c3aed", "#b8860b", "#0e7490", "#be185d", "#5b6472")
_DASHES = ("-", "--", ":")
_Z = 1.96
_POINTS = 200
_HIDDEN = 0.1
"""Share of the axis, its beginning, whose values the vertical range need not show: all begin somewhere low."""


class Panel(NamedTuple):
    """What is drawn of a table.

    Args:
        title: its name.
        curves: by optimizer.
        best: the table's best value of the first objective.
        volume: the table's hypervolume; None with one objective.
        label: what the curves show.
    """

    title: str
    curves: Mapping[str, Curves]
    best: float
    volume: float | None
    label: str

    @property
    def top(self) -> float:
        """The best that a curve can reach."""
        return self.best if self.volume is None else 100.0

    def drawn(self, of_optimizer: Curves) -> FloatArray:
        """What is drawn of the runs of an optimizer (s x N)."""
        if of_optimizer.volume is None or not self.volume:
            return of_optimizer.best
        return 100.0 * of_optimizer.volume / self.volume


class _Line(NamedTuple):
    """x and mean, and the half width of the band (points)."""

    x: FloatArray
    mean: FloatArray
    half: FloatArray


def draw(panels: Sequence[Panel]) -> Figure:
    """The picture of a comparison.

    Raises:
        RegistryError: matplotlib is not installed.
    """
    timed = any(_timed(panel) for panel in panels)
    with style():
        figure = new_figure(9.6 if timed else 6.4, 0.5 + 3.6 * len(panels))
        grid = figure.subplots(len(panels), 1 + timed, squeeze=False)
        for axes, panel in zip(grid, panels, strict=True):
            lines = {name: against_labels(panel.drawn(c)) for name, c in panel.curves.items()}
            _panel(axes[0], lines, panel)
            axes[0].set_xlabel("labels")
            axes[0].set_title(panel.title)
            axes[0].set_ylabel(panel.label)
            if timed and _timed(panel):
                _time_panel(axes[1], panel)
            elif timed:
                axes[1].set_axis_off()
        top = legend_above(figure, grid[0][0])
        height = figure.get_size_inches()[1]
        figure.subplots_adjust(
            left=0.085 if timed else 0.12,
            right=0.985,
            bottom=0.5 / height,
            top=top - 0.3 / height,
            wspace=0.16,
            hspace=0.36,
        )
    return figure


def against_labels(values: FloatArray) -> _Line:
    """Mean and band of curves (s x N) over the labels from the first on that every seed has a value at."""
    whole = np.flatnonzero(np.isfinite(values).all(axis=0))
    return _line(whole.astype(np.float64) + 1.0, values[:, whole])


def against_time(values: FloatArray, seconds: FloatArray) -> _Line:
    """Mean and band of curves (s x N) over time; `seconds` (s x N) says when each label was had."""
    starts = [times[np.isfinite(of_run) & np.isfinite(times)] for of_run, times in zip(values, seconds, strict=True)]
    if any(len(times) == 0 for times in starts):
        return _line(np.empty(0), np.empty((len(values), 0)))
    begin = max(float(times[0]) for times in starts)
    end = min(float(times[-1]) for times in starts)
    x = np.linspace(begin, end, _POINTS) if end > begin else np.empty(0)
    read = [
        of_run[np.searchsorted(times[np.isfinite(times)], x, side="right") - 1]
        for of_run, times in zip(values, seconds, strict=True)
    ]
    return _line(x, np.array(read))


def _line(x: FloatArray, values: FloatArray) -> _Line:
    count = len(values)
    half = np.zeros(values.shape[1])
    if count > 1:
        half += _Z * values.std(axis=0, ddof=1) / np.sqrt(count)
    return _Line(x, values.mean(axis=0), half)


def _time_panel(axes: Axes, panel: Panel) -> None:
    lines = {}
    for name, of_optimizer in panel.curves.items():
        if of_optimizer.seconds is not None:
            lines[name] = against_time(panel.drawn(of_optimizer), of_optimizer.seconds)
    longest = max((float(line.x[-1]) for line in lines.values() if len(line.x)), default=0.0)
    unit, scale = time_unit(longest)
    _panel(axes, {name: line._replace(x=line.x / scale) for name, line in lines.items()}, panel)
    axes.set_xlabel(f"simulated time ({unit})")


def _panel(axes: Axes, lines: Mapping[str, _Line], panel: Panel) -> None:
    for i, (name, line) in enumerate(lines.items()):
        colour, dash = _COLOURS[i % len(_COLOURS)], _DASHES[i // len(_COLOURS) % len(_DASHES)]
        axes.plot(line.x, line.mean, dash, lw=1.8, color=colour, label=name)
        axes.fill_between(line.x, line.mean - line.half, line.mean + line.half, color=colour, alpha=0.16, lw=0)
    axes.axhline(panel.top, color=INK, lw=0.9, ls=(0, (2, 3)), label="best of the table")
    axes.set_ylim(*_range(list(lines.values()), panel.top))
    axes.yaxis.set_major_formatter(plain_ticks())
    axes.set_xlim(left=0.0)


def _range(lines: Sequence[_Line], top: float) -> tuple[float, float]:
    """The vertical range: from the worst mean once the beginning is over to the best of the table; bands are cut."""
    end = max((float(line.x[-1]) for line in lines if len(line.x)), default=0.0)
    late = [float(value) for line in lines for value in line.mean[line.x >= _HIDDEN * end]]
    return with_room(min([top, *late]), max([top, *late]))


def _timed(panel: Panel) -> bool:
    return any(of_optimizer.seconds is not None for of_optimizer in panel.curves.values())
