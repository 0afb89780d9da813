"""The search curve: the best value so far against finished trials and against device time.

Notation
    f           finished trials, in the order in which they finished
    incumbent   for each, the best value of the objective among the trials up to it that keep the constraints
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nas_core.history import History
from nas_core.objective import Objectives
from nas_search.report.pictures import BROKEN, FAINT, GOOD, INK, TRIAL, legend_above, new_figure, plain_ticks, style
from nas_search.report.view import in_view, with_room

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]


def incumbent(history: History, objectives: Objectives) -> FloatArray:
    """The best value of the first objective after each finished trial (f); NaN before one keeps the constraints."""
    values = history.values
    losses = objectives.losses(values)[:, 0]
    best = np.minimum.accumulate(np.where(objectives.feasible(values), losses, np.inf))
    sign = -1.0 if objectives.objectives[0].maximise else 1.0
    return np.where(np.isfinite(best), sign * best, np.nan)


def draw_curve(history: History, objectives: Objectives) -> Figure:
    """The incumbent of one objective over the trials and, where they took any, over the device time."""
    objective = objectives.objectives[0]
    number = np.arange(1, history.seq + 1, dtype=float)
    seconds = np.cumsum([trial.seconds for trial in history.finished], dtype=float)
    unit, scale = time_unit(float(seconds[-1]) if len(seconds) else 0.0)
    with style():
        timed = history.seq > 0 and seconds[-1] > 0
        figure = new_figure(9.6, 3.9)
        panels = figure.subplots(1, 1 + timed, sharey=True, squeeze=False)[0]
        over = [(number, "finished trials"), (seconds / scale, f"device time ({unit})")]
        for axes, (x, label) in zip(panels, over, strict=False):
            _panel(axes, x, history, objectives)
            axes.set_xlabel(label)
        panels[0].yaxis.set_major_formatter(plain_ticks())
        direction = "more is better" if objective.maximise else "less is better"
        panels[0].set_ylabel(f"{objective.metric} ({direction})")
        top = legend_above(figure, panels[0])
        figure.subplots_adjust(left=0.085, right=0.985, bottom=0.13, top=top, wspace=0.06)
    return figure


def time_unit(seconds: float) -> tuple[str, float]:
    """The unit in which a duration reads well, and how many seconds it has."""
    for unit, scale in (("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * scale:
            return unit, scale
    return "seconds", 1.0


def _panel(axes: Axes, x: FloatArray, history: History, objectives: Objectives) -> None:
    y, kept, failed = history.values[:, 0], objectives.feasible(history.values), np.isnan(history.values[:, 0])
    maximise = objectives.objectives[0].maximise
    ranges = [in_view(y, maximise), *([in_view(y[kept], maximise)] if kept.any() else [])]
    low, high = with_room(min(low for low, _ in ranges), max(high for _, high in ranges))
    axes.set_ylim(low, high)
    axes.plot(x, incumbent(history, objectives), drawstyle="steps-post", lw=2.0, color=GOOD, label="best so far")
    inside = (y >= low) & (y <= high)
    for rows, mark, colour, label in (
        (inside & kept, "o", TRIAL, "trial"),
        (inside & ~kept, "x", BROKEN, "breaks a constraint"),
        (y < low, "v", FAINT, f"below the axis ({np.sum(y < low)})"),
        (y > high, "^", FAINT, f"above the axis ({np.sum(y > high)})"),
    ):
        if rows.any():
            at = np.clip(y[rows], low, high)
            axes.plot(
                x[rows], at, mark, ms=4.5, mew=1.2 if mark == "x" else 0, color=colour, label=label, clip_on=False
            )
    if failed.any():
        place = axes.get_xaxis_transform()
        bottom = np.full(failed.sum(), 0.03)
        axes.plot(x[failed], bottom, "|", ms=8, color=INK, transform=place, label=f"failed ({failed.sum()})")
