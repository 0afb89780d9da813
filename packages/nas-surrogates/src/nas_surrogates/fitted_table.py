"""A regression fitted on a table as a benchmark: the evaluator `surrogate_table`.

NAS-Bench-301 (Zela, Siems, Zimmer, Lukasik, Keuper, Hutter, ICLR 2022) made this a kind of benchmark: where a space is
too large to be measured whole, a regression on measured members answers for all of them, and its error on held-out
members says how far to trust it.

Notation
    n  architectures with results        m  metrics that are served
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from nas_core import registry
from nas_core.errors import InvalidOption, InvalidTable, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.objective import Objectives, is_functional
from nas_core.random import rng
from nas_core.space import Space
from nas_core.surrogate import Posterior
from nas_core.training_set import TrainingSet
from nas_core.trial import Measurement
from nas_surrogates.cross_validation import Errors, errors, groups, held_out

FloatArray = NDArray[np.float64]

ALL: Final = "all"
SECONDS: Final = "train_seconds"
"""The metric that says what an evaluation cost."""
FEWEST: Final = 10
MOST: Final = 5000
"""Architectures with results that a fit needs, and those at which exact fits stop being quick and small."""
_SPLITS = ("train_", "val_", "test_")


@final
@dataclass(frozen=True)
class CrossValidation:
    """How well the values that are served predict what was held out.

    Args:
        table: its name.
        surrogate: what was fitted, as plain data.
        architectures: n; rows of one architecture are pooled.
        rows_left_out: rows of the table that failed and were not fitted.
        folds: how many.
        groups: how many of the architectures are different to the space; a fold holds whole groups.
        errors: of each metric, in its own unit.
    """

    table: str
    surrogate: Mapping[str, Any]
    architectures: int
    rows_left_out: int
    folds: int
    groups: int
    errors: Mapping[str, Errors]

    def plain(self) -> dict[str, Any]:
        """As plain data; errors to five digits."""
        rounded = {name: {k: float(f"{v:.5g}") for k, v in e._asdict().items()} for name, e in self.errors.items()}
        return {
            "table": self.table,
            "surrogate": dict(self.surrogate),
            "architectures": self.architectures,
            "rows_left_out": self.rows_left_out,
            "folds": self.folds,
            "groups": self.groups,
            "cross_validated": rounded,
        }


class _Fitted(NamedTuple):
    posterior: Posterior
    cross_validation: CrossValidation
    details: dict[str, Any]


@final
class FittedTableEvaluator:
    """Serves what a surrogate, fitted on a table, predicts of any member of the table's space.

    A member that is in the table gets the fitted value too, not its label: the benchmark is one function. Rows of one
    architecture are pooled, and rows without all metrics are left out. Everything is fitted once, when it is prepared,
    and cross-validated then; the details of each measurement state the errors. A trial costs the fitted
    `train_seconds`, where that is served, otherwise nothing. It fails as "not_in_table" at another fidelity than the
    one that was fitted. Draws and replicates get the same value, unless there is noise.

    Args:
        file: the table.
        metrics: what to serve, under the names given: one name or several; `val_accuracy@12` names its fidelity,
            otherwise it is the metric's highest; "all" for all; None for the table's objectives and, where it has them
            at their fidelity, the training seconds.
        surrogate: the name of a surrogate, or `{"name": …, **options}`.
        folds: of the cross-validation.
        seed: of the folds and of the fits.
        noise: add to each value a normal draw of the surrogate's noise deviation, which differs by the trial's draw,
            replicate and the study's seed.

    Raises:
        InvalidOption: an option of a wrong type.
        RegistryError: nothing reads tables: nas-spaces is not installed.
    """

    requires: frozenset[str] = frozenset()

    def __init__(
        self,
        file: str,
        metrics: str | Sequence[str] | None = None,
        surrogate: str | Mapping[str, Any] = "gp",
        folds: int = 5,
        seed: int = 0,
        noise: bool = False,
    ) -> None:
        self.file = str(file)
        self.folds = _whole("folds", folds)
        self.seed = _whole("seed", seed)
        if not isinstance(noise, bool):
            raise InvalidOption("noise cannot be set", value=noise, expected="true or false")
        self.noise = noise
        self.surrogate = {"name": surrogate} if isinstance(surrogate, str) else dict(surrogate)
        self._wanted = _names(metrics)
        self._source = registry.make("evaluator", "table", file=self.file)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what is served."""
        return self._served

    @property
    def fidelity(self) -> float | None:
        """The highest fidelity of what is served; None where none depends on one."""
        return self._highest(self._served)

    @property
    def cross_validation(self) -> CrossValidation:
        """How well it predicts members that it was not fitted on.

        Raises:
            NasError: see `prepare`.
        """
        return self._fitted.cross_validation

    def prepare(self, space: Space) -> None:
        """Read the table, check that it is of the space, fit, and cross-validate.

        Raises:
            InvalidTable: it cannot be read, is of another space, has too few or too many rows to be fitted, or a metric
                has one value only.
            InvalidOption: it has no such metric; there are not so many folds; the surrogate knows no noise.
            RegistryError: there is no such surrogate, or what it needs is not installed.
        """
        self._source.prepare(space)
        posterior, first = self._fitted.posterior, self._training[0].architectures[:1]
        if self.noise and posterior.predict(first).noise_std is None:
            raise InvalidOption("the surrogate knows no noise", value=self.surrogate["name"], expected="noise=false")

    def evaluate(self, evaluation: Evaluation) -> Measurement:
        """The fitted values of one architecture.

        Raises:
            TrialFailed: see the class.
        """
        if evaluation.fidelity not in (None, self.fidelity):
            raise TrialFailed(
                "not_in_table",
                "the table was fitted at another fidelity",
                value=evaluation.fidelity,
                expected="none" if self.fidelity is None else f"{self.fidelity:g}",
            )
        prediction = self._fitted.posterior.predict([evaluation.architecture])
        values = prediction.mean[0]
        if self.noise and prediction.noise_std is not None:
            values = values + prediction.noise_std[0] * self._stream(evaluation).standard_normal(len(values))
        found = dict(zip(self._served, (self._signs * values).tolist(), strict=True))
        if SECONDS in found:
            found[SECONDS] = max(found[SECONDS], 0.0)
        return Measurement(found, seconds=found.get(SECONDS, 0.0), details={"fitted": self._fitted.details})

    def to_config(self) -> dict[str, Any]:
        """The options."""
        return {
            "name": "surrogate_table",
            "file": self.file,
            "metrics": self._wanted if self._wanted in (None, ALL) else list(self._wanted),
            "surrogate": dict(self.surrogate),
            "folds": self.folds,
            "seed": self.seed,
            "noise": self.noise,
        }

    @property
    def _table(self) -> Any:
        return self._source.table

    @cached_property
    def _served(self) -> tuple[str, ...]:
        if self._wanted is None:
            stated = _stated(self._table).metrics
            timed = SECONDS in self._table.metrics and self._highest((SECONDS,)) == self._highest(stated)
            return tuple(dict.fromkeys((*stated, *((SECONDS,) if timed else ()))))
        return tuple(self._table.metrics) if self._wanted == ALL else tuple(self._wanted)

    def _highest(self, metrics: Sequence[str]) -> float | None:
        """The highest fidelity of metrics; None where none depends on one."""
        parts = [name.partition("@") for name in metrics]
        known = [float(at) if at else max(self._table.fidelities(name), default=None) for name, _, at in parts]
        return max((at for at in known if at is not None), default=None)

    @cached_property
    def _signs(self) -> FloatArray:
        """-1 for what the table maximises, the same quantity on other splits included (m): fits minimise."""
        stated = {_quantity(objective.metric) for objective in _stated(self._table).objectives if objective.maximise}
        return np.array([-1.0 if _quantity(name) in stated else 1.0 for name in self._served])

    @cached_property
    def _training(self) -> tuple[TrainingSet, int]:
        """What is fitted, and how many rows failed."""
        columns = []
        for name in self._served:
            try:
                columns.append(self._table.column(name))
            except InvalidOption as error:
                raise error.at(self.file) from None
        values = np.stack(columns, axis=1)
        measured = np.isfinite(values).all(axis=1)
        rows = {a: [row for row in self._table.rows(a) if measured[row]] for a in self._table.architectures()}
        kept = {a: own for a, own in rows.items() if own}
        self._check(len(kept), values[measured])
        pooled = np.array([values[own].mean(axis=0) for own in kept.values()])
        counts = np.array([len(own) for own in kept.values()], dtype=np.int64)
        functional = tuple(map(is_functional, self._served))
        data = TrainingSet(tuple(kept), self._signs * pooled, counts, np.zeros(len(kept)), functional=functional)
        return data, int((~measured).sum())

    def _check(self, n: int, values: FloatArray) -> None:
        """Whether there is something to fit in the values of all rows that did not fail (rows x m)."""
        if not FEWEST <= n <= MOST:
            raise InvalidTable(
                "too few architectures with results to fit" if n < FEWEST else "too many architectures to fit",
                value=n,
                place=self.file,
                expected=f"{FEWEST} to {MOST}",
                remedy=None if n < FEWEST else "Look the results up with the evaluator `table`.",
            )
        constant = np.ptp(values, axis=0) == 0
        if constant.any():
            name = self._served[int(constant.argmax())]
            raise InvalidTable("all rows have one value of this metric", value=name, place=self.file)

    @cached_property
    def _fitted(self) -> _Fitted:
        data, failed = self._training
        model = registry.from_config("surrogate", self.surrogate, self._table.space)
        group = groups(self._table.space, data.architectures)

        def fit(part: TrainingSet) -> Posterior:
            posterior: Posterior = model.fit(part, rng(self.seed, "fitted_table", "fit"))
            return posterior

        try:
            predicted = held_out(fit, data, group, self.folds, rng(self.seed, "fitted_table", "folds"))
        except InvalidOption as error:
            raise error.at("the option folds of surrogate_table") from None
        of_metric = zip(self._served, predicted.T, data.targets.T, strict=True)
        stated = CrossValidation(
            str(self._table.meta["name"]),
            model.to_config(),
            len(data),
            failed,
            self.folds,
            int(group.max()) + 1,
            {name: errors(mine, own) for name, mine, own in of_metric},
        )
        return _Fitted(fit(data), stated, stated.plain())

    def _stream(self, evaluation: Evaluation) -> np.random.Generator:
        text = evaluation.space.text(evaluation.architecture)
        return rng(evaluation.seed, "evaluate", "noise", text, evaluation.draw, evaluation.replicate)


def _stated(table: Any) -> Objectives:
    given = table.meta["objective"]
    return Objectives.parse([given] if isinstance(given, str) else given)


def _quantity(metric: str) -> str:
    """A metric's name without its split and fidelity."""
    name = metric.partition("@")[0]
    return next((name.removeprefix(split) for split in _SPLITS if name.startswith(split)), name)


def _names(metrics: Any) -> str | list[str] | None:
    if metrics is None or metrics == ALL:
        return metrics  # type: ignore[no-any-return]
    names = [metrics] if isinstance(metrics, str) else metrics
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise InvalidOption("metrics cannot be set", value=metrics, expected='names, such as ["val_accuracy"], or all')
    return list(dict.fromkeys(names))


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidOption(f"{name} must be a whole number", value=value)
    return value
