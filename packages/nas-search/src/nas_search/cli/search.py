"""`nas search` and `nas resume`: run a study, say how it goes, stop when asked to."""

from __future__ import annotations

from pathlib import Path

import typer

from nas_search.cli.inspect import print_state, state
from nas_search.cli.live import Tally, progress
from nas_search.cli.options import SearchOptions, study_config
from nas_search.cli.output import say
from nas_search.cli.signals import stop_on_signals
from nas_search.config import StudyConfig
from nas_search.study import Study

_STATES = {"trials": "finished", "exhausted": "exhausted", "seconds": "out of time"}
_STOPPED = "stopped"
_STOPPED_CODE = 130


def search(options: SearchOptions, file: Path | None, out: Path | None, json: bool) -> None:
    """Create a run directory and run the study in it.

    Raises:
        NasError: the configuration is wrong, or the directory is there already.
    """
    config = study_config(options, file)
    directory = default_directory(config) if out is None else out
    with Study.create(directory, config) as study:
        run(study, None, json)


def resume(directory: Path, trials: int | None, json: bool) -> None:
    """Go on with the study of a run directory, to `trials` in all where that is given.

    Raises:
        NasError: there is no study, or somebody else drives it.
    """
    with Study.open(directory) as study:
        for name, (then, now) in study.changed_versions().items():
            say(f"note: the search was begun with {name} {then or '(absent)'} and goes on with {now or '(absent)'}")
        run(study, trials, json)


def default_directory(config: StudyConfig) -> Path:
    """runs/SPACE-OPTIMIZER-SEED."""
    return Path("runs") / f"{config.space['name']}-{config.optimizer['name']}-{config.seed}"


def run(study: Study, trials: int | None, json: bool) -> None:
    """Run a study until a stop rule holds, or until Ctrl-C or SIGTERM; then say what it has found.

    Raises:
        typer.Exit: with 130 where it was stopped.
    """
    wanted = study.config.trials if trials is None else trials
    tally = Tally(study.objectives, wanted, study.history())
    with stop_on_signals(say) as stop, progress(tally) as report:
        reason = study.run(trials, on_event=report, stop=stop).reason
    name = _STATES.get(reason, _STOPPED)
    if name == _STOPPED:
        more = "" if trials is None else f" --trials {trials}"
        say(f"stopped after {tally.done} of {wanted} trials; go on with: nas resume {study.directory}{more}")
    print_state(state(study, name, wanted), json)
    if name == _STOPPED:
        raise typer.Exit(_STOPPED_CODE)
