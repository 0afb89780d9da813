"""What is compared: tables, optimizers, objectives, a budget and a number of seeds, as plain data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from nas_core.errors import InvalidOption, InvalidTable, NasError
from nas_core.objective import Objectives
from nas_search.compare.fitted import FittedProblem, SearchProblem
from nas_search.compare.problem import Problem
from nas_search.compare.searchers import make_searcher
from nas_search.compare.wish import resolved
from nas_search.config import component
from nas_search.table_files import read_table, table_file


@final
@dataclass(frozen=True)
class TableFile:
    """A table of a comparison.

    Args:
        name: that its rows go by.
        file: where it is.
        sha256: digest of its contents.
        fitted: how it is fitted, the options of `surrogate_table`; None where it is looked up.
    """

    name: str
    file: str
    sha256: str
    fitted: Mapping[str, Any] | None = None

    def identity(self) -> dict[str, Any]:
        """What makes two tables the same."""
        fitted = {} if self.fitted is None else {"fitted": dict(self.fitted)}
        return {"name": self.name, "sha256": self.sha256, **fitted}


@final
@dataclass(frozen=True)
class Plan:
    """A comparison. `make_plan` checks all of it.

    Args:
        tables: those that are looked up and then those that are fitted, in the orders given.
        optimizers: as they were written, such as "evolution:population=20".
        objectives: with their directions, such as "max:val_accuracy".
        constraints: such as "params<=1e6".
        budget: labels of one run.
        seeds: how many; 0 to seeds - 1 are run.
    """

    tables: tuple[TableFile, ...]
    optimizers: tuple[str, ...]
    objectives: tuple[str, ...]
    constraints: tuple[str, ...]
    budget: int
    seeds: int

    @property
    def wanted(self) -> Objectives:
        """Objectives and constraints as a study has them."""
        return Objectives.parse(self.objectives, self.constraints)

    def identity(self) -> dict[str, Any]:
        """What makes two comparisons the same: everything but where the files lie."""
        plain = asdict(self)
        tables = [table.identity() for table in self.tables]
        return {**plain, "tables": tables, **{key: list(plain[key]) for key in _LISTS}}


_LISTS = ("optimizers", "objectives", "constraints")


def make_plan(
    files: Sequence[Path],
    optimizers: Sequence[str],
    objectives: Sequence[str],
    constraints: Sequence[str],
    budget: int,
    seeds: int,
    fitted: Sequence[Path] = (),
) -> tuple[Plan, list[SearchProblem]]:
    """A checked comparison, and its tables as search problems in their order.

    Args:
        files: the tables that are looked up.
        optimizers: "NAME[:KEY=VALUE,…]".
        objectives: "METRIC", "max:METRIC" or "min:METRIC"; none for those that the tables state.
        constraints: "METRIC<=NUMBER" or "METRIC>=NUMBER".
        budget: labels of one run, from 1.
        seeds: how many runs of each, from 1.
        fitted: tables that a surrogate is fitted on, which answers for the whole space.

    Raises:
        NasError: whatever would keep a run from working: a table that cannot be read, a metric that it lacks, an
            optimizer or option that does not exist or does not fit the space, a peer that is not installed.
    """
    for name, given in (("table", [*files, *fitted]), ("optimizer", optimizers)):
        if not given:
            raise InvalidOption(f"a comparison needs at least one {name}", place=f"--{name}")
    for name, value in (("budget", budget), ("seeds", seeds)):
        if value < 1:
            raise InvalidOption("at least one is needed", value=value, place=f"--{name}")
    labels = tuple(text.strip() for text in optimizers)
    if len(set(labels)) < len(labels):
        twice = next(label for i, label in enumerate(labels) if label in labels[:i])
        raise InvalidOption("an optimizer is named twice", value=twice, place="--optimizer")
    every = [table_file(file) for file in (*files, *fitted)]
    tables = [read_table(file) for file in every]
    wanted = resolved(objectives, constraints, tables)
    problems: list[SearchProblem] = [
        Problem(file, table, wanted) if i < len(files) else FittedProblem(file, table, wanted)
        for i, (file, table) in enumerate(zip(every, tables, strict=True))
    ]
    for label in labels:
        for problem in problems:
            try:
                make_searcher(component(label), problem.space, wanted, seed=0)
            except NasError as error:
                raise error.at(f"--optimizer {label}") from None
    names = _names([problem.name for problem in problems], every)
    described = [
        TableFile(n, str(file), _digest(file), problem.fitted)
        for n, file, problem in zip(names, every, problems, strict=True)
    ]
    texts = wanted.to_config()
    plan = Plan(tuple(described), labels, tuple(texts["objectives"]), tuple(texts["constraints"]), budget, seeds)
    return plan, problems


def _names(names: Sequence[str], files: Sequence[Path]) -> list[str]:
    """The tables' own names; with the file's name behind where two are called the same."""
    full = [n if names.count(n) == 1 else f"{n} ({file.stem})" for n, file in zip(names, files, strict=True)]
    if len(set(full)) < len(full):
        raise InvalidTable("two tables have the same name", value=full, place="--table")
    return full


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
