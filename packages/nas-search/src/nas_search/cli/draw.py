"""`nas report` and `nas draw`: pictures of a study and of single architectures."""

from __future__ import annotations

from pathlib import Path

from nas_core.errors import InvalidOption
from nas_core.registry import from_config
from nas_core.space import Space
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


def draw(source: str, architecture: str | None, trial: int | None, out: Path, json: bool) -> None:
    """Draw an architecture of a space, or of a run directory.

    Raises:
        NasError: there is no such space, run, trial or architecture, or it has no graphs.
    """
    if architecture is None:
        _draw_trial(Path(source), trial, out)
    else:
        _draw_member(source, architecture, trial, out)
    if json:
        print_json({"file": str(out)})
    else:
        print(out)


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


def _draw_member(name: str, text: str, trial: int | None, out: Path) -> None:
    if trial is not None:
        raise InvalidOption("--trial names a trial of a run, and an architecture is given", value=trial)
    space: Space = from_config("space", at_option("space", name))
    save(draw_architectures(space, [space.parse(text)], [space.name]), out)


def _draw_trial(directory: Path, number: int | None, out: Path) -> None:
    if not directory.is_dir():
        raise InvalidOption(
            "no such run directory",
            value=str(directory),
            expected="a run directory, or a space and the text of an architecture",
        )
    with Study.open(directory, read_only=True) as study:
        trial = chosen_trial(study, number)
        row = Row(None, trial, None, study.space.text(trial.architecture))
        save(draw_trials(study.space, study.objectives, [row]), out)
