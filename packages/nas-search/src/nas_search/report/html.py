"""One page that says what a study did: it needs no other file and no network, and suits light and dark screens."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from nas_core.objective import Objectives
from nas_core.trial import Failure, Status
from nas_search.report.numbers import device_time, duration, shown, shown_metrics, tested_first
from nas_search.report.rounds import rounds_of
from nas_search.report.table import Row, nearest

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2733; --soft: #5b6675; --line: #d9dee5; --card: #f5f7f9; --page: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --soft: #a3adba; --line: #3a424e; --card: #222830; --page: #171b21; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 72rem; color: var(--ink); background: var(--page);
  font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p { margin: .3rem 0; } .soft { color: var(--soft); }
.figures { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; padding: 0; list-style: none; }
.figures li { flex: 1 1 10rem; padding: .7rem .9rem; background: var(--card); border-radius: .5rem; }
.figures b { display: block; font-size: 1.25rem; line-height: 1.3; }
.picture { background: #fff; border: 1px solid var(--line); border-radius: .5rem; padding: .6rem; overflow-x: auto; }
.picture svg { display: block; max-width: 100%; height: auto; margin: 0 auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; } td.n, th.n { text-align: right; white-space: nowrap; }
code { font: .86em ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
pre { margin: 0; padding: .8rem; background: var(--card); border-radius: .5rem; overflow-x: auto; }
"""


@dataclass(frozen=True)
class Page:
    """What the page tells.

    Args:
        config: what the study ran, as plain data.
        objectives: of the study.
        rows: every trial, best first (`table.ranked`).
        best: the rows of the best trial, or of the whole front.
        drawn: those of them that the picture of the best shows.
        curve: the search curve or Pareto front as an `<svg>` element.
        cells: the best architectures as an `<svg>` element; None where the space has no graphs.
        final: what training the best one longer and testing it once gave; None where that has not been done.
    """

    config: Mapping[str, Any]
    objectives: Objectives
    rows: Sequence[Row]
    best: Sequence[Row]
    drawn: Sequence[Row]
    curve: str
    cells: str | None = None
    final: Mapping[str, Any] | None = None


def render(page: Page, most: int = 20) -> str:
    """The page as text, with a table of the best `most` trials."""
    space, optimizer = str(page.config["space"]["name"]), str(page.config["optimizer"]["name"])
    title = f"{space}, {optimizer}"
    objectives = ", ".join(map(str, page.objectives.objectives))
    constraints = ", ".join(map(str, page.objectives.constraints))
    several = len(page.objectives.objectives) > 1
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(objectives + (f" with {constraints}" if constraints else ""))}</p>',
        _figures(page),
        f"<h2>{'Pareto front' if several else 'Search curve'}</h2>",
        f'<div class="picture">{page.curve}</div>',
        f"<h2>{'Architectures on the front' if several else 'Best architecture'}</h2>",
        _best(page),
        *([f"<h2>Final training</h2>{_final(page.final)}"] if page.final else []),
        f"<h2>Best trials</h2>{_table(page, most)}",
        _rounds(page),
        *([f"<h2>Failed trials</h2>{_failures(page.rows)}"] if _failed(page.rows) else []),
        f"<h2>Configuration</h2><pre><code>{escape(json.dumps(page.config, indent=2))}</code></pre>",
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return (
        f'<!doctype html>\n<html lang="en">\n<head>{head}<style>{_STYLE}</style></head>\n<body>\n'
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _figures(page: Page) -> str:
    counts = Counter(row.trial.status for row in page.rows)
    seconds = sum(row.trial.seconds for row in page.rows)
    spent, _, kind = device_time(seconds).partition(" ")
    unique = len({row.trial.architecture for row in page.rows})
    finished = counts[Status.COMPLETED] + counts[Status.FAILED]
    running, wanted = counts[Status.RUNNING], max(page.config["trials"], finished)
    figures = [
        (f"{finished} of {wanted}", f"trials finished, {unique} unique architectures"),
        *_best_figures(page),
        (spent, kind),
        (str(counts[Status.FAILED]), f"failed, {running} running" if running else "failed"),
    ]
    items = "".join(
        f'<li><b>{escape(value)}</b><span class="soft">{escape(name)}</span></li>' for value, name in figures
    )
    return f'<ul class="figures">{items}</ul>'


def _best_figures(page: Page) -> list[tuple[str, str]]:
    if len(page.objectives.objectives) > 1:
        return [(str(len(page.best)), f"trial{'s' if len(page.best) != 1 else ''} on the Pareto front")]
    metric = page.objectives.objectives[0].metric
    if not page.best:
        return [("none", f"best {metric}: no trial keeps the constraints")]
    trial = page.best[0].trial
    return [(shown(trial.metrics[metric]), f"best {metric}, trial {trial.number}")]


def _best(page: Page) -> str:
    if not page.best:
        near = nearest(page.rows, page.objectives)
        told = "" if near is None else f" The nearest is {_shown_trial(page, near)}"
        return f"<p>No finished trial keeps the constraints.{told}</p>"
    picture = f'<div class="picture">{page.cells}</div>' if page.cells else ""
    return picture + "".join(f"<p>T{_shown_trial(page, row)[1:]}</p>" for row in page.drawn)


def _shown_trial(page: Page, row: Row) -> str:
    metrics = shown_metrics(row.trial.metrics, page.objectives.metrics)
    return f"trial {row.trial.number}: {escape(metrics)}<br><code>{escape(row.text)}</code>"


def _final(final: Mapping[str, Any]) -> str:
    metrics = final["metrics"]
    text = shown_metrics(metrics, tested_first(metrics))
    return (
        f"<p>Trial {escape(str(final['trial']))} trained anew in {escape(duration(final['seconds']))} and tested once: "
        f"{escape(text)}.</p>"
    )


def _table(page: Page, most: int) -> str:
    rows = [row for row in page.rows if row.rank is not None][:most]
    if not rows:
        return "<p>No trial has been completed.</p>"
    names = page.objectives.metrics
    constrained = bool(page.objectives.constraints)
    head = [("rank", True), ("trial", True), *((name, True) for name in names), ("time", True)]
    head += [("keeps the constraints", False)] if constrained else []
    head += [("architecture", False)]
    body = [
        [
            *(str(row.rank), str(row.trial.number)),
            *(shown(row.trial.metrics[name]) for name in names),
            duration(row.trial.seconds),
            *(["yes" if row.feasible else "no"] if constrained else []),
            row.text,
        ]
        for row in rows
    ]
    return _html_table(head, body)


def _rounds(page: Page) -> str:
    rounds = rounds_of(page.rows, page.objectives)
    if not rounds:
        return ""
    head = [("round from trial", True), ("trials", True), ("keep the constraints", True), ("share", True)]
    body = [
        [
            "before" if one.start is None else str(one.start),
            str(one.finished),
            str(one.feasible),
            f"{100 * one.feasible / one.finished:.0f} %",
            "none" if one.best is None else shown(one.best),
        ]
        for one in rounds
    ]
    best = f"best {page.objectives.objectives[0].metric} among these"
    return f"<h2>Rounds</h2>{_html_table([*head, (best, False)], body)}"


def _failed(rows: Iterable[Row]) -> list[Failure]:
    return [row.trial.result for row in rows if isinstance(row.trial.result, Failure)]


def _failures(rows: Sequence[Row]) -> str:
    failures = _failed(rows)
    counts = Counter(failure.reason for failure in failures)
    first = {failure.reason: failure.message for failure in reversed(failures)}
    body = [[reason, str(count), first[reason]] for reason, count in counts.most_common()]
    return _html_table([("reason", False), ("trials", True), ("first message", False)], body)


def _html_table(head: Sequence[tuple[str, bool]], body: Sequence[Sequence[str]]) -> str:
    """A table; a column of numbers is marked in its head by True, the last column of texts is set as code."""
    kinds = [' class="n"' if number else "" for _, number in head]
    top = "".join(f"<th{kind}>{escape(name)}</th>" for (name, _), kind in zip(head, kinds, strict=True))
    lines = []
    for cells in body:
        texts = [*(escape(cell) for cell in cells[:-1]), f"<code>{escape(cells[-1])}</code>"]
        lines.append("".join(f"<td{kind}>{text}</td>" for text, kind in zip(texts, kinds, strict=True)))
    rows = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>'
