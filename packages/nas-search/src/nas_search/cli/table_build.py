"""`nas table build`: train members of a space and keep what was measured as a table. Served by the extra `spaces`.

The trainings are a study of their own, in a directory beside the table, so that one that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from nas_core.errors import InvalidOption, RegistryError
from nas_search.cli.live import Tally, progress
from nas_search.cli.options import SearchOptions, study_config
from nas_search.cli.output import print_json, say
from nas_search.cli.signals import stop_on_signals
from nas_search.components import completed, make_objectives, make_space
from nas_search.config import StudyConfig
from nas_search.optimizers.sweep import Sweep
from nas_search.study import Study
from nas_search.swept import columns_of, members_of

try:
    from nas_spaces.tables import Table
except ImportError as error:
    raise RegistryError(
        f"tables need nas-spaces, which does not import ({error})", remedy="Install the extra `spaces` of nas-search."
    ) from error

_STOPPED_CODE = 130
_UNITS = {"accuracy": "%", "loss": "nats", "seconds": "s", "bytes": "B", "ms": "ms", "mb": "MB", "perplexity": "1"}


@dataclass(frozen=True)
class Wanted:
    """What is to be trained and kept.

    Args:
        members: how many; None for all.
        fidelities: at which; () for the recipe's own epochs.
        replicates: trainings of each member at each fidelity.
        allow_twins: whether members that compute the same are trained separately.
        metrics: which are kept; () for all.
        name: what the table is called; None for the name of the file.
        licence: under which others may use it.
    """

    members: int | None
    fidelities: tuple[float, ...] = ()
    replicates: int = 1
    allow_twins: bool = False
    metrics: tuple[str, ...] = ()
    name: str | None = None
    licence: str = "not stated"


def build(options: SearchOptions, wanted: Wanted, out: Path, json: bool) -> None:
    """Train what is still to be trained, then write the table.

    Raises:
        NasError: an option is wrong, the table is there already, or its directory holds another sweep.
        typer.Exit: with 130 where it was stopped.
    """
    if out.exists():
        raise InvalidOption("there is such a file already", value=str(out), remedy="Give another --out.")
    config = _config(options, wanted)
    directory = out.with_name(out.name + ".run")
    with _study(directory, config) as study:
        if not _run(study):
            say(f"stopped; the same command goes on in {directory}")
            raise typer.Exit(_STOPPED_CODE)
        trials = study.trials()
        arrays = {**members_of(trials, study.space), **columns_of(trials, wanted.metrics or None)}
        table = Table(_meta(study, wanted, out, arrays), arrays)
    table.save(out)
    found = {"file": str(out), "rows": len(table), "metrics": list(table.columns), "trials": len(trials)}
    if json:
        print_json({**found, "failed": sum(not trial.metrics for trial in trials)})
    else:
        print(f"{out}: {len(table)} rows of {table.space.name} from {len(trials)} trials, kept in {directory}")


def _config(options: SearchOptions, wanted: Wanted) -> StudyConfig:
    sweep = {
        "name": "sweep",
        "members": wanted.members,
        "fidelities": list(wanted.fidelities),
        "replicates": wanted.replicates,
        "allow_twins": wanted.allow_twins,
    }
    given = study_config(replace(options, trials=1, failure_limit=1.0))
    config = completed(replace(given, optimizer=sweep))
    options_of_sweep = {key: value for key, value in config.optimizer.items() if key != "name"}
    planned = Sweep(make_space(config), make_objectives(config), config.seed, **options_of_sweep)
    return replace(config, trials=planned.trials)


def _study(directory: Path, config: StudyConfig) -> Study:
    """The study of the directory, which must be the same sweep; a new one where there is none."""
    if not directory.exists():
        return Study.create(directory, config)
    study = Study.open(directory)
    then, now = study.config.to_config(), config.to_config()
    for key in ("executor", "threads"):  # how it runs, not what
        then.pop(key), now.pop(key)
    changed = [key for key in now if now[key] != then.get(key)]
    if changed:
        study.close()
        raise InvalidOption(
            f"another sweep was begun here: {changed[0]} differs",
            value=str(now[changed[0]]),
            place=str(directory),
            expected=str(then.get(changed[0])),
            remedy="Give the same options to go on, or another --out.",
        )
    return study


def _run(study: Study) -> bool:
    """Run to the end; False where somebody stopped it."""
    tally = Tally(study.objectives, study.config.trials, study.history())
    with stop_on_signals(say) as stop, progress(tally) as report:
        return study.run(None, on_event=report, stop=stop).reason in ("trials", "exhausted")


def _meta(study: Study, wanted: Wanted, out: Path, arrays: Mapping[str, Any]) -> dict[str, Any]:
    config = study.config.to_config()
    conditions = next((dict(t.result.details) for t in study.trials() if t.metrics and t.result is not None), {})  # type: ignore[union-attr]
    conditions.pop("curve", None)
    return {
        "name": wanted.name or out.stem,
        "space": config["space"],
        "source": "trained by `nas table build`; `made` says how",
        "licence": wanted.licence,
        "units": _units(arrays),
        "objective": config["objectives"],
        "made": {**{key: config[key] for key in ("evaluator", "optimizer", "seed")},
                 "versions": study.store.spec["versions"], "conditions": conditions},
    }  # fmt: skip


def _units(arrays: Sequence[str] | Mapping[str, Any]) -> dict[str, str]:
    names = {name.partition("@")[0] for name in arrays} - {"decisions", "architecture", "failed"}
    return {name: _UNITS.get(name.rpartition("_")[2], "1") for name in sorted(names)}
