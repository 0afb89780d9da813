"""A regression fitted on a table as a search problem: every member of the table's space has a value, none is measured.

The evaluator `surrogate_table` fits it, of the extra `surrogates`. Its optimum is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, final

from nas_core import registry
from nas_core.errors import TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.objective import Objectives
from nas_core.trial import Failure, Measurement, Proposal
from nas_search.compare.problem import SECONDS, Label, Problem, TwinKeys, own_fidelity
from nas_search.table_files import FloatArray, TableLike

_EVALUATOR = "surrogate_table"
_NOT_OPTIONS = ("name", "file")


@final
class FittedProblem:
    """A fitted table under some objectives, searched in the whole space of the table.

    Objectives, constraints, the first objective's test split and the training seconds are served as the fit has them.

    Args:
        file: where the table was read from.
        table: the table.
        objectives: of metrics that it has.
        options: of the evaluator; metrics are chosen here where they do not say any.

    Raises:
        InvalidObjective: no member of the table keeps the constraints.
        NasError: it cannot be fitted, or what fits it is not installed.
    """

    def __init__(
        self, file: Path, table: TableLike, objectives: Objectives, options: Mapping[str, Any] | None = None
    ) -> None:
        self._labelled = Problem(file, table, objectives)
        self.name = f"{self._labelled.name}, fitted"
        self.objectives = objectives
        self.space = table.space
        self.fidelity = self._labelled.fidelity
        self.test_metric = self._labelled.test_metric
        self.twin_key = TwinKeys(self.space)
        chosen = {"metrics": self._metrics(table)} | dict(options or {})
        self._evaluator = registry.make("evaluator", _EVALUATOR, file=str(file), **chosen)
        self._evaluator.prepare(self.space)

    @property
    def fitted(self) -> dict[str, Any]:
        """The evaluator's options but for the file, as plain data."""
        return {key: value for key, value in self._evaluator.to_config().items() if key not in _NOT_OPTIONS}

    def label(self, proposal: Proposal) -> Label:
        """The fitted value of a proposal; at another fidelity it fails, and counts too."""
        full = proposal.fidelity in (None, self.fidelity)
        evaluation = Evaluation(self.space, proposal.architecture, proposal.fidelity, proposal.draw, proposal.replicate)
        try:
            served: Measurement = self._evaluator.evaluate(evaluation)
        except TrialFailed as error:
            return Label(None, Failure(error.reason, str(error)), full)
        test = None if self.test_metric is None else served.metrics[self.test_metric]
        measured = {name: served.metrics[name] for name in self.objectives.metrics}
        return Label(None, Measurement(measured, served.seconds), full, test)

    @property
    def timed(self) -> bool:
        """Whether the fit says how long an evaluation takes."""
        return SECONDS in self._evaluator.metrics

    @property
    def optimum(self) -> None:
        """Not known."""
        return None

    def thresholds(self, shares: Iterable[float]) -> dict[float, float]:
        """None: the shares of a space that cannot be listed are not known."""
        return {}

    @property
    def reference(self) -> FloatArray:
        """The worst value of each objective among the members with results, as losses (m)."""
        return self._labelled.reference

    def facts(self) -> dict[str, Any]:
        """What the table says of the members with results, and the error of the fit, as plain data."""
        return {**self._labelled.facts(), "fitted": self._evaluator.cross_validation.plain()}

    def _metrics(self, table: TableLike) -> list[str]:
        wanted = [*self.objectives.metrics, *([self.test_metric] if self.test_metric is not None else [])]
        times = SECONDS in table.metrics and own_fidelity(table, SECONDS) == self.fidelity
        return [*wanted, *([SECONDS] if times else [])]


SearchProblem: TypeAlias = Problem | FittedProblem
"""What a comparison searches."""
