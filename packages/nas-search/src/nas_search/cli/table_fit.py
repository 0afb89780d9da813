"""`nas table fit`: how well a surrogate that is fitted on a table predicts members that it has not seen.

Served by the extras `spaces` and `surrogates`: the evaluator `surrogate_table` does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nas_core import registry
from nas_search.cli.options import at_option
from nas_search.cli.output import columns, print_json
from nas_search.table_files import read_table


def fit(file: Path, surrogate: str, metrics: Sequence[str], folds: int, seed: int, json: bool) -> None:
    """Fit, cross-validate and print the errors.

    Raises:
        NasError: the file is no table, or cannot be fitted so.
    """
    space = read_table(file).space
    options = {"metrics": list(metrics) or None, "surrogate": at_option("surrogate", surrogate)}
    evaluator = registry.make("evaluator", "surrogate_table", str(file), folds=folds, seed=seed, **options)
    evaluator.prepare(space)
    found = evaluator.cross_validation.plain()
    if json:
        print_json({"file": str(file), **found})
        return
    left_out = f" ({found['rows_left_out']} rows left out)" if found["rows_left_out"] else ""
    print(f"{found['table']}: {found['surrogate']['name']} fitted on {found['architectures']} architectures{left_out}")
    print(f"error on those held out, {found['folds']} folds of {found['groups']} different ones:")
    names = ("rmse", "r2", "pearson", "spearman", "kendall")
    body = [(name, *(f"{of[key]:.4g}" for key in names)) for name, of in found["cross_validated"].items()]
    print(columns([("metric", *names), *body], right=[False, *[True] * len(names)]))
