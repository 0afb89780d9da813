"""How far the fitted tables are from what they have not seen, and which surrogate is nearest.

    python benchmarks/fitted_tables.py [--tables nb301 nlp] [--surrogates gp blr] [--folds 5] [--seeds 3]

NAS-Bench-301: the surrogate's validation accuracy of 725 DARTS cells. NAS-Bench-NLP: the validation perplexity after 50
epochs, replicates pooled, failed trainings left out. Cross-validation of the evaluator `surrogate_table`, once for each
seed of the folds: root mean squared error, R², Pearson, Spearman, Kendall's tau-b. Keeps every seed's errors.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import record

from nas_spaces.tables.convert import convert
from nas_surrogates.fitted_table import FittedTableEvaluator

METRICS = {"nb301": "val_accuracy", "nlp": "val_perplexity"}


def measured(file: Path, metric: str, surrogate: str, folds: int, seed: int) -> dict[str, Any]:
    """One cross-validation, and the seconds of all its fits and predictions."""
    evaluator = FittedTableEvaluator(str(file), metrics=metric, surrogate=surrogate, folds=folds, seed=seed)
    begun = time.perf_counter()
    stated = evaluator.cross_validation
    return {**stated.plain(), "seed": seed, "seconds": round(time.perf_counter() - begun, 2)}


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="+", default=list(METRICS), choices=list(METRICS))
    parser.add_argument("--surrogates", nargs="+", default=["gp", "blr"])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    raw: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.tables:
            file, metric = Path(folder) / f"{name}.npz", METRICS[name]
            convert(name, record.tables_dir()).save(file)
            for surrogate in options.surrogates:
                runs = [measured(file, metric, surrogate, options.folds, seed) for seed in range(options.seeds)]
                found = [run["cross_validated"][metric] for run in runs]
                raw.setdefault(name, {})[surrogate] = runs
                figures.setdefault(name, {"architectures": runs[0]["architectures"], "folds": options.folds})
                figures[name][surrogate] = {key: round(float(np.mean([f[key] for f in found])), 4) for key in found[0]}
    record.keep("fitted_tables", figures, raw)


if __name__ == "__main__":
    main()
