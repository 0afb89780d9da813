"""`nas report` and `nas draw`: pictures of a study and of single architectures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nas_core.errors import InvalidOption
from nas_core.random import rng
from nas_core.registry import from_config
from nas_core.space import HasWirings, Space
from nas_core.trial import Trial
from nas_search.cli.final import read_final
from nas_search.cli.inspect import best_trials
from nas_search.cli.options import at_option
from nas_search.cli.output import print_json
from nas_search.report.pictures import save
from nas_search.report.table import Row
from nas_search.report.write import draw_architectures, draw_trials, write_report
from nas_search.study import Study


def report(directory: Path, json: bool) -> None:
    """Write the report of a study into its run directory.

    Raises:
        NasError: nothing has finished yet, matplotlib is missing, or the files cannot be written.
    """
    with Study.open(directory, read_only=True) as study:
        files = write_report(
            directory / "report",
            config={**study.config.to_config(), **{key: study.store.spec[key] for key in ("versions", "machine")}},
            space=study.space,
            objectives=study.objectives,
            trials=study.trials(),
            history=study.history(),
            final=read_final(directory / "final"),
        )
    if json:
        print_json({"directory": str(directory), "files": [str(path) for path in files]})
    else:
        print("\n".join(map(str, files)))


@dataclass(frozen=True)
class Wanted:
    """What to draw; None where an option was not given.

    Args:
        architecture: the text of a member.
        sample: a random member.
        seed: which member is sampled, and which network a generator draws.
        trial: the number of a trial.
    """

    architecture: str | None = None
    sample: bool = False
    seed: int | None = None
    trial: int | None = None


def draw(source: str, wanted: Wanted, out: Path, json: bool) -> None:
    """Draw an architecture of a space, or of a run directory.

    Raises:
        NasError: there is no such space, run, trial or architecture, it has no graphs, or options do not go together.
    """
    sampled = None
    if wanted.sample or wanted.architecture is not None:
        sampled = _draw_member(source, wanted, out)
    else:
        _draw_trial(Path(source), wanted, out)
    if json:
        print_json({"file": str(out)} | ({} if sampled is None else {"architecture": sampled}))
    else:
        print(out if sampled is None else f"{sampled}\n{out}")


def chosen_trial(study: Study, number: int | None) -> Trial:
    """The trial of this number, or the best one.

    Raises:
        NasError: the study has no such trial, or none that keeps the constraints.
    """
    if number is None:
        return best_trials(study)[0].trial
    trials = study.trials()
    if number >= len(trials):
        expected = f"0 to {len(trials) - 1}" if trials else "no number: there are no trials yet"
        raise InvalidOption("the study has no trial of this number", value=number, place="--trial", expected=expected)
    return trials[number]


def _draw_member(name: str, wanted: Wanted, out: Path) -> str | None:
    """Draw a member of a space; the text of a sampled one."""
    if wanted.trial is not None:
        raise InvalidOption("--trial names a trial of a run, and a member of a space is wanted", value=wanted.trial)
    if wanted.sample and wanted.architecture is not None:
        raise InvalidOption("--sample draws a random member, and one is given", value=wanted.architecture)
    space: Space = from_config("space", at_option("space", name))
    seed = wanted.seed or 0
    if wanted.architecture is not None:
        member = space.parse(wanted.architecture)
    else:
        [member] = space.sample(rng(seed, "nas", "draw"), 1)
    title = f"{space.name}, seed {seed}" if isinstance(space, HasWirings) else space.name
    save(draw_architectures(space, [member], [title], [seed]), out)
    return space.text(member) if wanted.sample else None


def _draw_trial(directory: Path, wanted: Wanted, out: Path) -> None:
    if not directory.is_dir():
        raise InvalidOption(
            "no such run directory",
            value=str(directory),
            expected="a run directory, or a space and the text of an architecture or --sample",
        )
    if wanted.seed is not None:
        raise InvalidOption("--seed is for a member of a space; a run has its own", value=wanted.seed)
    with Study.open(directory, read_only=True) as study:
        trial = chosen_trial(study, wanted.trial)
        row = Row(None, trial, None, study.space.text(trial.architecture))
        save(draw_trials(study.space, study.objectives, [row], study.config.seed), out)
