"""The Pareto front: all trials in the plane of two objectives, those that keep the constraints and the front marked.

Two objectives give one plane, three or more give the planes of the first three pairs.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas_core.history import History
from nas_core.objective import Constraint, Objective, Objectives
from nas_search.report.pictures import BROKEN, FAINT, FRONT, TRIAL, legend_above, new_figure, plain_ticks, style
from nas_search.report.view import in_view, is_logarithmic, with_room

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

_MOST_PANELS = 3


def on_front(history: History, objectives: Objectives) -> NDArray[np.bool_]:
    """Which finished trials are on the front of those that keep the constraints (f)."""
    best = {trial.number for trial in objectives.best(history)}
    return np.array([trial.number in best for trial in history.finished], dtype=bool)


def staircase(x: FloatArray, y: FloatArray, maximise_x: bool, maximise_y: bool) -> tuple[FloatArray, FloatArray]:
    """The corners of the border of what points dominate, from the best in x to the best in y.

    Args:
        x: of points that do not dominate each other in the plane.
        y: of the same points.
        maximise_x: whether more is better.
        maximise_y: likewise.
    """
    order = np.lexsort((-y if maximise_y else y, -x if maximise_x else x))
    xs, ys = np.repeat(x[order], 2)[1:], np.repeat(y[order], 2)[:-1]
    return xs, ys


def draw_front(history: History, objectives: Objectives) -> Figure:
    """One plane for two objectives, up to three for more; draw one objective with `curve.draw_curve`."""
    pairs = list(combinations(range(len(objectives.objectives)), 2))[:_MOST_PANELS]
    with style():
        figure = new_figure(6.4 if len(pairs) == 1 else 4.6 * len(pairs), 4.6)
        panels = np.atleast_1d(figure.subplots(1, len(pairs)))
        for axes, (i, j) in zip(panels, pairs, strict=True):
            _plane(axes, history, objectives, i, j)
        figure.tight_layout(rect=(0.0, 0.0, 1.0, legend_above(figure, panels[0])))
    return figure


def _plane(axes: Axes, history: History, objectives: Objectives, i: int, j: int) -> None:
    values, kept, front = history.values, objectives.feasible(history.values), on_front(history, objectives)
    first, second = objectives.objectives[i], objectives.objectives[j]
    x, inside_x = _shown(axes, "x", first, values[:, i], front)
    y, inside_y = _shown(axes, "y", second, values[:, j], front)
    inside, known = inside_x & inside_y, np.isfinite(x) & np.isfinite(y)
    look: dict[str, Any] = {"ms": 4.0, "mew": 0, "alpha": 0.75}
    for rows, mark, colour, label in (
        (inside & kept & ~front, "o", TRIAL, "other trial"),
        (inside & ~kept & known, "x", BROKEN, "breaks a constraint"),
        (known & ~inside, "s", FAINT, "beyond the axes"),
    ):
        if rows.any():
            look["mew"] = 1.2 if mark == "x" else 0
            axes.plot(x[rows], y[rows], mark, color=colour, label=f"{label} ({rows.sum()})", clip_on=False, **look)
    if front.any():
        if len(objectives.objectives) == 2:
            axes.plot(*staircase(x[front], y[front], first.maximise, second.maximise), lw=1.2, color=FRONT, alpha=0.7)
        label = f"Pareto front ({front.sum()})"
        axes.plot(x[front], y[front], "o", ms=6.5, mew=0.8, mec="white", color=FRONT, label=label)
    for constraint in objectives.constraints:
        _bound(axes, constraint, first.metric, second.metric)


def _shown(
    axes: Axes, which: str, objective: Objective, values: FloatArray, front: NDArray[np.bool_]
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Set an axis up for the values of an objective; the values clipped to it, and which of them it shows."""
    logarithmic = is_logarithmic(values)
    scaled = np.log10(values) if logarithmic else values
    ranges = [in_view(scaled, objective.maximise)]
    if front.any():
        ranges.append((float(scaled[front].min()), float(scaled[front].max())))
    low, high = with_room(min(low for low, _ in ranges), max(high for _, high in ranges))
    inside = (scaled >= low) & (scaled <= high)
    ends = (10.0**low, 10.0**high) if logarithmic else (low, high)
    better = "more is better" if objective.maximise else "less is better"
    label = f"{objective.metric} ({better}{', logarithmic' if logarithmic else ''})"
    scale = "log" if logarithmic else "linear"
    if which == "x":
        axes.set(xscale=scale, xlim=ends, xlabel=label)
    else:
        axes.set(yscale=scale, ylim=ends, ylabel=label)
    if not logarithmic:
        (axes.xaxis if which == "x" else axes.yaxis).set_major_formatter(plain_ticks())
    return np.clip(values, *ends), inside


def _bound(axes: Axes, constraint: Constraint, x_metric: str, y_metric: str) -> None:
    """A constraint on one of the plane's metrics: a line at its bound, where the axis shows it."""
    low, high = axes.get_xlim() if constraint.metric == x_metric else axes.get_ylim()
    if not low < constraint.bound < high:
        return
    if constraint.metric == x_metric:
        axes.axvline(constraint.bound, color=BROKEN, lw=1.1, ls=(0, (4, 3)), label=str(constraint))
    elif constraint.metric == y_metric:
        axes.axhline(constraint.bound, color=BROKEN, lw=1.1, ls=(0, (1, 2)), label=str(constraint))
