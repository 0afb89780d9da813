"""The report of a study: pictures of the search and of the best architecture, the trials as CSV, and one page with all.

curve.png  curve.svg    the search curve of one objective, the Pareto front of several
best.png   best.svg     the best architecture, or some of the front, where the space has graphs or wirings
trials.csv              every trial with every metric, best first
index.html              one self-contained page
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas_core.errors import MissingCapability, NasError, StoreError
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.random import derived_seed
from nas_core.space import HasGraphs, HasLabelWords, HasWirings, Space
from nas_core.trial import Trial
from nas_search.report.cell import Panel, draw_graphs
from nas_search.report.curve import draw_curve
from nas_search.report.front import draw_front
from nas_search.report.html import Page, render
from nas_search.report.nested import draw_nested
from nas_search.report.numbers import shown_metrics
from nas_search.report.pictures import save, svg_text
from nas_search.report.table import Row, best_rows, metric_names, ranked, write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nas_core.architecture import Architecture

_MOST_CELLS = 3


def write_report(
    directory: Path,
    *,
    config: Mapping[str, Any],
    space: Space,
    objectives: Objectives,
    trials: Sequence[Trial],
    history: History,
    final: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write all files of the report into a directory, over those that are there; returns their paths.

    Args:
        directory: made where it is missing.
        config: what the study ran, as plain data, its seed included.
        space: of the study.
        objectives: of the study.
        trials: all trials, with their full results.
        history: the same trials, with the objectives' columns.
        final: {"trial", "metrics", "seconds"} of the final training, where there was one.

    Raises:
        NasError: nothing has finished yet, matplotlib is missing, or a file cannot be written.
    """
    if history.seq == 0:
        raise NasError("there is nothing to report", value=f"{len(history)} trials, none finished")
    rows = ranked(trials, objectives, space)
    best = best_rows(rows, history, objectives)
    drawn = some_of(best, _MOST_CELLS)
    curve = draw_curve(history, objectives) if len(objectives.objectives) == 1 else draw_front(history, objectives)
    figures = {"curve": curve}
    if best and isinstance(space, HasGraphs | HasWirings):
        figures["best"] = draw_trials(space, objectives, drawn, config["seed"])
    page = Page(
        config=config,
        objectives=objectives,
        rows=rows,
        best=best,
        drawn=drawn,
        curve=svg_text(curve),
        cells=svg_text(figures["best"]) if "best" in figures else None,
        final=final,
    )
    return _written(directory, figures, rows, metric_names(trials, objectives), render(page))


def some_of(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many rows, spread evenly from the first to the last."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def draw_trials(space: Space, objectives: Objectives, rows: Sequence[Row], seed: int) -> Figure:
    """The architectures of trials, each under its number and what it reached.

    Of a generator, the network that the trial trained is shown.

    Args:
        space: of the study.
        objectives: of the study.
        rows: the trials.
        seed: of the study; evaluators derive from it, the architecture and the trial's draw which network is drawn.
    """
    titles = [
        f"trial {row.trial.number}: {shown_metrics(row.trial.metrics, objectives.metrics)}".removesuffix(": ")
        for row in rows
    ]
    seeds = [derived_seed(seed, "draw", row.text, row.trial.proposal.draw) for row in rows]
    return draw_architectures(space, [row.trial.architecture for row in rows], titles, seeds)


def draw_architectures(
    space: Space, architectures: Sequence[Architecture], titles: Sequence[str], seeds: Sequence[int] = ()
) -> Figure:
    """Every graph of every architecture; of a generator what it draws.

    Args:
        space: the space.
        architectures: members of it.
        titles: one for each of them.
        seeds: for each of them, which network a generator draws; 0 where none are given.

    Raises:
        MissingCapability: the space has neither graphs nor wirings.
    """
    if isinstance(space, HasWirings):
        drawn = zip(titles, architectures, seeds or [0] * len(architectures), strict=True)
        return draw_nested([(title, space.wirings(member, seed)) for title, member, seed in drawn])
    if not isinstance(space, HasGraphs):
        raise MissingCapability(f"the space {space.name!r} has no graphs to draw")
    panels = []
    for architecture, title in zip(architectures, titles, strict=True):
        graphs = space.graphs(architecture)
        for name, graph in graphs.items():
            lines = [title, *([name] if len(graphs) > 1 else [])]
            panels.append(Panel("\n".join(line for line in lines if line), graph))
    return draw_graphs(panels, space.graph_labels, space.label_words if isinstance(space, HasLabelWords) else {})


def _written(
    directory: Path, figures: Mapping[str, Figure], rows: Sequence[Row], metrics: Sequence[str], page: str
) -> list[Path]:
    files = [directory / f"{name}.{kind}" for name in figures for kind in ("png", "svg")]
    table, index = directory / "trials.csv", directory / "index.html"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path in files:
            save(figures[path.stem], path)
        write_csv(table, rows, metrics)
        index.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"the report cannot be written ({error.strerror})", place=str(directory)) from error
    return [*files, table, index]
