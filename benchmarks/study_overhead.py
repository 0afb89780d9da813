"""What a study costs beyond its evaluations: milliseconds a trial with an evaluator that returns at once.

    python benchmarks/study_overhead.py [--trials 1000] [--optimizer random] [--repeats 3] [--directory DIR]

Every finished trial is committed and synchronised to the disk, so the disk's own time for one synchronisation is
measured beside it; where there is a file system in memory, the study runs there too, which shows the rest.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import record

from nas_core.evaluator import Evaluation
from nas_core.space import Space
from nas_core.trial import Measurement
from nas_search.config import StudyConfig, component
from nas_search.study import Study

MEMORY = Path("/dev/shm")


class AtOnce:
    """An evaluator that does nothing."""

    requires: frozenset[str] = frozenset()
    metrics = ("val_accuracy", "test_accuracy", "params")

    def prepare(self, space: Space) -> None:
        """Nothing is needed."""

    def evaluate(self, evaluation: Evaluation) -> Measurement:
        """The same numbers for all."""
        return Measurement({"val_accuracy": 90.0, "test_accuracy": 89.0, "params": 1e6})

    def to_config(self) -> dict[str, Any]:
        """No options."""
        return {"name": "study_overhead:AtOnce"}


def timed(spent: dict[str, float], name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The call, with its seconds added up."""

    def wrapped(*arguments: Any) -> Any:
        begun = time.perf_counter()
        try:
            return call(*arguments)
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - begun

    return wrapped


def study(directory: Path, optimizer: dict[str, Any], trials: int) -> dict[str, float]:
    """Milliseconds a trial of one study, whole and in the store."""
    config = StudyConfig.from_mapping(
        {
            "space": "nasbench201",
            "optimizer": optimizer,
            "evaluator": {"name": "study_overhead:AtOnce"},
            "objectives": ["max:val_accuracy"],
            "trials": trials,
        }
    )
    spent: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=directory) as folder, Study.create(Path(folder, "run"), config) as made:
        store: Any = made.store
        for name in ("begin", "finish"):
            setattr(store, name, timed(spent, name, getattr(store, name)))
        begun = time.perf_counter()
        summary = made.run()
        spent["total"] = time.perf_counter() - begun
    if summary.finished != trials:
        raise SystemExit(f"error: {summary.finished} of {trials} trials finished ({summary.reason})")
    return {name: round(1000 * seconds / trials, 4) for name, seconds in spent.items()}


def synchronisation(directory: Path, times: int = 300) -> float:
    """Milliseconds that the disk takes for 12 KiB appended and synchronised, the mean."""
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        begun = time.perf_counter()
        for _ in range(times):
            file.write(b"x" * 12288)
            file.flush()
            os.fdatasync(file.fileno())
        return round(1000 * (time.perf_counter() - begun) / times, 4)


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--optimizer", default="random")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    places = {"disk": options.directory} | ({"memory": MEMORY} if os.access(MEMORY, os.W_OK) else {})
    figures: dict[str, Any] = {"trials": options.trials, "optimizer": options.optimizer}
    raw: dict[str, Any] = {}
    for place, directory in places.items():
        runs = []
        for _ in range(options.repeats):
            run = study(directory, component(options.optimizer), options.trials)
            runs.append({**run, "one_synchronisation": synchronisation(directory)})
        raw[place] = runs
        figures[place] = {f"{name}_ms": round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}
    record.keep("study_overhead", figures, raw)


if __name__ == "__main__":
    main()
