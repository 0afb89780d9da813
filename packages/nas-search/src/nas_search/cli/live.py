"""What a search says while it runs: a live line in a terminal, a plain line a trial anywhere else.

Both go to standard error. Nobody has to read them: a search does not end because its output is gone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.trial import Failure, Trial
from nas_search.events import Event, TrialFinished
from nas_search.report.numbers import duration, shown_metrics

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class Tally:
    """How far a search is.

    Args:
        objectives: of the study.
        wanted: number of trials it is to have.
        history: what it has when it starts.
        clock: seconds since some moment.
    """

    def __init__(
        self,
        objectives: Objectives,
        wanted: int,
        history: History,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.objectives = objectives
        self.wanted = wanted
        self.done = history.seq
        self.failed = history.seq - len(history.completed)
        self.best: Sequence[Trial] = objectives.best(history)
        self._before = self.done
        self._clock = clock
        self._start = clock()

    def add(self, event: TrialFinished) -> bool:
        """Count a finished trial; says whether it is among the best now."""
        self.done += 1
        self.failed += isinstance(event.trial.result, Failure)
        self.best = event.best
        return event.trial in event.best

    def best_text(self) -> str:
        """What is best so far."""
        if not self.best:
            return "none yet that keeps the constraints" if self.objectives.constraints else "none yet"
        if len(self.objectives.objectives) > 1:
            return f"{len(self.best)} on the front"
        return shown_metrics(self.best[0].metrics, self.objectives.metrics[:1])

    def text(self) -> str:
        """Best so far, rate, time left, failures."""
        new, elapsed = self.done - self._before, self._clock() - self._start
        parts = [f"best {self.best_text()}"]
        if new and elapsed > 0:
            each = elapsed / new
            parts.append(f"{1 / each:.1f} trials/s" if each <= 1 else f"{duration(each)} a trial")
            parts.append(f"{duration(max(self.wanted - self.done, 0) * each)} left")
        if self.failed:
            parts.append(f"{self.failed} failed")
        return " · ".join(parts)


def trial_line(trial: Trial, objectives: Objectives) -> str:
    """A finished trial in one line."""
    if isinstance(trial.result, Failure):
        message = trial.result.message.partition("\n")[0]
        return f"trial {trial.number}: failed ({trial.result.reason}): {message}"
    return f"trial {trial.number}: {shown_metrics(trial.metrics, objectives.metrics)} ({duration(trial.seconds)})"


@contextmanager
def progress(tally: Tally) -> Iterator[Callable[[Event], None]]:
    """What to tell the events of a study while inside."""
    if sys.stderr.isatty():
        with _live_line(tally) as report:
            yield report
    else:
        yield _plain_lines(tally)


def _plain_lines(tally: Tally) -> Callable[[Event], None]:
    silent = False

    def report(event: Event) -> None:
        nonlocal silent
        if not isinstance(event, TrialFinished):
            return
        better = " *" if tally.add(event) else ""
        line = f"[{tally.done}/{tally.wanted}] {trial_line(event.trial, tally.objectives)} · best {tally.best_text()}"
        if silent:
            return
        try:
            print(line + better, file=sys.stderr, flush=True)
        except OSError:
            silent = True

    return report


@contextmanager
def _live_line(tally: Tally) -> Iterator[Callable[[Event], None]]:
    from rich.console import Console

    with _bar(Console(stderr=True, highlight=False)) as bar:
        task = bar.add_task("", total=tally.wanted, completed=tally.done, text=tally.text())

        def report(event: Event) -> None:
            if not isinstance(event, TrialFinished):
                return
            tally.add(event)
            if isinstance(event.trial.result, Failure):
                bar.console.print(trial_line(event.trial, tally.objectives), markup=False, soft_wrap=True)
            bar.update(task, completed=tally.done, text=tally.text())

        yield report


def _bar(console: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.table import Column

    text = TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    return Progress(MofNCompleteColumn(), BarColumn(bar_width=20), text, console=console)
