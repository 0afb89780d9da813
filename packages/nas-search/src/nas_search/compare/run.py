"""One run: a searcher spends its budget on a table, and every label is written down.

A record is plain JSON:

    table, optimizer, seed    which run
    rows         the table's row of each label; null where the table has none, and where it is fitted
    values       the metrics of objectives and constraints of each label; null where it failed, or was evaluated at
                 another fidelity than the one compared
    test         the test metric of each label; null without
    seconds      what each label cost by the table; null without
    failed       labels that failed
    repeats      labels of an architecture that had been looked up before
    twins        different architectures that are a twin of an earlier one; null where the space has no rules for twins
    search_ms    wall-clock milliseconds that the searcher took for each label: asking and telling, not the look-up
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from nas_core.architecture import Architecture
from nas_core.errors import Exhausted
from nas_core.space import HasTwins
from nas_core.trial import Failure
from nas_search.compare.fitted import SearchProblem
from nas_search.compare.problem import Label
from nas_search.compare.searchers import make_searcher

Record = dict[str, Any]


def run(problem: SearchProblem, optimizer: Mapping[str, Any], seed: int, budget: int) -> Record:
    """Spend `budget` labels, or as many as the searcher finds something to propose for; the record without its names.

    Raises:
        NasError: the searcher cannot be made, or does not accept what it is told.
    """
    searcher = make_searcher(optimizer, problem.space, problem.objectives, seed)
    labels: list[Label] = []
    architectures: list[Architecture] = []
    milliseconds: list[float] = []
    while len(labels) < budget:
        begun = time.perf_counter()
        try:
            proposal = searcher.ask()
        except Exhausted:
            break
        asked = time.perf_counter() - begun
        label = problem.label(proposal)
        begun = time.perf_counter()
        searcher.tell(label.result)
        milliseconds.append(1e3 * (asked + time.perf_counter() - begun))
        labels.append(label)
        architectures.append(proposal.architecture)
    return _record(problem, labels, architectures, milliseconds)


def _record(problem: SearchProblem, labels: list[Label], architectures: list[Architecture], ms: list[float]) -> Record:
    different = dict.fromkeys(architectures)
    twins: int | None = None
    if isinstance(problem.space, HasTwins):
        twins = len(different) - len({problem.twin_key(architecture) for architecture in different})
    return {
        "rows": [label.row for label in labels],
        "values": [_values(problem, label) for label in labels],
        "test": None if problem.test_metric is None else [label.test for label in labels],
        "seconds": [label.result.seconds for label in labels] if problem.timed else None,
        "failed": sum(isinstance(label.result, Failure) for label in labels),
        "repeats": len(architectures) - len(different),
        "twins": twins,
        "search_ms": [round(value, 4) for value in ms],
    }


def _values(problem: SearchProblem, label: Label) -> list[float] | None:
    if isinstance(label.result, Failure) or not label.full:
        return None
    return [label.result.metrics[name] for name in problem.objectives.metrics]
