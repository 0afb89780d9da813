"""The figures of a comparison as Markdown tables for a reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from nas_search.compare.plan import Plan
from nas_search.report.numbers import shown

Row: TypeAlias = Mapping[str, Any]


def markdown(plan: Plan, facts: Mapping[str, Mapping[str, Any]], rows: Sequence[Row]) -> str:
    """One table for each table file, a row an optimizer.

    Args:
        plan: what is compared.
        facts: by table, what the table itself says (`Problem.facts`).
        rows: the figures of each table and optimizer.
    """
    constraints = f", subject to {', '.join(plan.constraints)}" if plan.constraints else ""
    parts = [
        "# Comparison",
        f"{', '.join(plan.objectives)}{constraints}; {plan.budget} labels a run, seeds 0 to {plan.seeds - 1}. Every "
        "label counts: repeats, twins and failed ones too. Means over the seeds ± standard errors; a seed that did not "
        "find the optimum counts its whole budget.",
    ]
    for table in plan.tables:
        parts += [f"## {table.name}", _said(plan, facts[table.name])]
        of_table = [row for row in rows if row["table"] == table.name]
        parts.append(_table(of_table, _metric(plan), facts[table.name]["hypervolume"]))
    return "\n\n".join(parts) + "\n"


def _said(plan: Plan, facts: Mapping[str, Any]) -> str:
    at = "" if facts["fidelity"] is None else f" at fidelity {facts['fidelity']:g}"
    best = f"The best {_metric(plan)}"
    text = f"{facts['members']:,} members{at}. {best} is {shown(facts['best'])}."
    if "fitted" in facts:
        text = f"{_fitted(facts['fitted'])} {best} of those{at} is {shown(facts['best'])}."
    if facts["reference"] is not None:
        corner = ", ".join(map(shown, facts["reference"]))
        text += (
            f" Hypervolumes are measured from the table's worst corner ({corner}; the objectives in their order) and "
            f"given in % of the whole table's, {shown(facts['hypervolume'])}."
        )
    return text


def _fitted(fit: Mapping[str, Any]) -> str:
    """What stands in for a measurement, and how far it is from one."""
    errors = "; ".join(
        f"{name} RMSE {shown(of['rmse'])}, R² {of['r2']:.2f}, Kendall {of['kendall']:.2f}, Spearman "
        f"{of['spearman']:.2f}"
        for name, of in fit["cross_validated"].items()
    )
    return (
        f"No value is measured: the surrogate `{fit['surrogate']['name']}`, fitted on {fit['architectures']:,} members "
        f"with results, answers for the whole space, of which no optimum is known. Its error on members held out, in "
        f"{fit['folds']} folds: {errors}."
    )


def _metric(plan: Plan) -> str:
    return plan.objectives[0].partition(":")[2]


def _table(rows: Sequence[Row], metric: str, volume: float | None) -> str:
    """The rows as lines; a column without any cell is left out."""
    kept = [(head, cells) for head, cells in _columns(rows, metric, volume) if any(cells)]
    lines = [[head for head, _ in kept], ["---", *["---:"] * (len(kept) - 1)]]
    lines += [[cells[i] or "–" for _, cells in kept] for i in range(len(rows))]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _columns(rows: Sequence[Row], metric: str, volume: float | None) -> Iterator[tuple[str, list[str]]]:
    """Heads and cells."""
    yield "optimizer", [f"`{row['optimizer']}`" for row in rows]
    for n in rows[0]["best_at"]:
        yield f"{metric} @{n}", [_with_error(row["best_at"][n], row) for row in rows]
    yield "test of the best", [_with_error(row["test_of_best"], row) for row in rows]
    yield "labels to the optimum", [_labels(row["labels_to_optimum"]) for row in rows]
    for share in rows[0]["labels_to_top"]:
        yield f"labels to the top {100 * float(share):g} %", [_labels(row["labels_to_top"][share]) for row in rows]
    per_cent = 100 / volume if volume else 0.0
    for n in rows[0]["hypervolume_at"] or ():
        yield f"hypervolume @{n}", [_with_error(row["hypervolume_at"][n], row, per_cent) for row in rows]
    yield "feasible %", [_with_error(row["feasible_share"], row, 100.0) for row in rows]
    for name in ("failed", "repeats", "twins"):
        yield name, ["" if row[name] is None else f"{row[name]:.1f}" for row in rows]
    overhead = [row["overhead_ms_per_label"] for row in rows]
    yield "ms a label", ["" if ms is None else f"{ms:.3g}" for ms in overhead]


def _with_error(figure: Mapping[str, Any] | None, row: Row, scale: float = 1.0) -> str:
    """Mean ± standard error, and of how many seeds where it is not all."""
    if figure is None or figure["mean"] is None:
        return ""
    error = "" if figure["se"] is None else f" ± {scale * figure['se']:.2g}"
    some = "" if figure["seeds"] == row["seeds"] else f" ({figure['seeds']} of {row['seeds']} seeds)"
    return shown(scale * figure["mean"]) + error + some


def _labels(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return ""
    error = "" if figure["se"] is None else f" ± {figure['se']:.1f}"
    return f"{figure['mean']:.1f}{error} ({100 * figure['found']:.0f} % found)"
