"""The loop: propose, record, evaluate, commit, until a stop rule holds.

Every result is committed before the next proposal is made, so a study that is killed anywhere and taken up again goes
on from exactly what it knew. With the serial executor it ends as one that was never killed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from nas_core.errors import Exhausted, NasError, StoreError
from nas_core.executor import Executor, Job, Outcome, Task
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.optimizer import Optimizer
from nas_core.trial import Failure, Measurement, Proposal, Trial
from nas_search.config import StudyConfig
from nas_search.events import Event, StudyStopped, TrialFinished, TrialStarted
from nas_search.executors import cores
from nas_search.executors.simulated import FINISHED_AT, SimulatedExecutor
from nas_search.store import SqlStore
from nas_search.summary import BestSoFar

LEAST_TO_JUDGE = 10
_LOOK_SECONDS = 0.2
_CAUSES = 3


@final
@dataclass(frozen=True)
class Rules:
    """When to stop.

    Args:
        wanted: finished trials of the whole study.
        seconds: device-seconds of the whole study; None for any number.
        asked: whether somebody wants it to stop.
        failure_limit: the greatest share of failures, once `LEAST_TO_JUDGE` trials have finished.
    """

    wanted: int
    seconds: float | None
    asked: Callable[[], bool]
    failure_limit: float


@final
class Loop:
    """One run of a study, by the one process that holds its lease.

    Args:
        config: what runs.
        store: where it is kept.
        objectives: which metrics the optimizer may see.
        optimizer: fresh, with its carried state restored.
        executor: not started.
        artefacts: where evaluations leave files.
        rules: when to stop.
        listener: is told what happens.
    """

    def __init__(
        self,
        config: StudyConfig,
        store: SqlStore,
        objectives: Objectives,
        optimizer: Optimizer,
        executor: Executor,
        artefacts: Path,
        rules: Rules,
        listener: Callable[[Event], None] | None,
    ) -> None:
        self._config = config
        self._store = store
        self._optimizer = optimizer
        self._executor = executor
        self._artefacts = artefacts
        self._rules = rules
        self._listener = listener
        trials = store.trials()
        self._history = history_of(trials, store.finished_order(), objectives)
        self._again = deque(trial.number for trial in self._history.running)
        self._submitted: set[int] = set()
        self._waiting_at: int | None = None
        self._exhausted = False
        self._failed = 0
        self._spent = 0.0
        self._causes: list[str] = []
        self._checkpoints: dict[int, str] = {}
        self._best = BestSoFar(objectives)
        for trial in trials:
            self._take_note(trial)
        self._forgiven = (self._history.seq, self._failed) if self._failing(0, 0) else (0, 0)

    def run(self) -> str:
        """Run until a stop rule holds; the reason, as `Summary.reason` has it."""
        try:
            reason = self._stop_rule() or self._start_and_go()
        except KeyboardInterrupt:
            reason = "interrupted"
        finally:
            self._executor.stop()
        self._tell(StudyStopped(reason, self._history.seq))
        return reason

    def _start_and_go(self) -> str:
        self._executor.start(self._job())
        while True:
            if self._store.lost:
                raise StoreError("another process has taken over this study")
            reason = self._stop_rule()
            if reason is None:
                self._fill()
                reason = "exhausted" if self._exhausted else None
            if not self._submitted:
                return reason or "exhausted"
            self._collect()

    def _job(self) -> Job:
        threads = self._config.threads
        if threads is None and self._executor.slots > 1:
            threads = max(1, cores() // self._executor.slots)
        return Job(
            self._config.space, self._config.evaluator, self._config.seed, str(self._artefacts.absolute()), threads
        )

    def _stop_rule(self) -> str | None:
        if self._history.seq >= self._rules.wanted:
            return "trials"
        if self._rules.asked():
            return "asked"
        if self._rules.seconds is not None and self._spent >= self._rules.seconds:
            return "seconds"
        return None

    def _fill(self) -> None:
        """Hand out work: first what was running when the study last stopped, then what the optimizer proposes."""
        room = self._room()
        while self._again and room > 0:
            self._submit(self._store.retry(self._again.popleft()))
            room -= 1
        if room > 0 and not self._again:
            for trial in self._propose(room):
                self._submit(trial)

    def _room(self) -> int:
        free = self._executor.slots - len(self._submitted)
        return min(free, self._rules.wanted - self._history.seq - len(self._submitted))

    def _propose(self, n: int) -> list[Trial]:
        """At most `n` new trials, recorded; none where the optimizer wants to wait or has nothing left."""
        if self._waiting_at == self._history.seq:
            return []
        try:
            proposals = self._optimizer.propose(self._history, n)
        except Exhausted:
            self._exhausted = not self._submitted
            proposals = []
        self._check(proposals, n)
        self._waiting_at = self._history.seq if len(proposals) < n else None
        seen, state = (len(self._history), self._history.seq), self._optimizer.state()
        trials = self._store.begin(proposals, seen, state) if proposals or state is not None else []
        for trial in trials:
            self._history.begin(trial.proposal)
        return trials

    def _check(self, proposals: Sequence[Proposal], n: int) -> None:
        name = self._config.optimizer["name"]
        if len(proposals) > n:
            raise NasError(f"the optimizer {name!r} proposes more than it is asked for", value=len(proposals))
        if not proposals and not self._submitted and not self._exhausted:
            raise NasError(f"the optimizer {name!r} proposes nothing although nothing is running")

    def _submit(self, trial: Trial) -> None:
        proposal = trial.proposal
        checkpoint = self._checkpoints.get(proposal.resume_from) if proposal.resume_from is not None else None
        self._executor.submit(
            Task(
                trial.number,
                trial.attempt,
                proposal.architecture.values,
                fidelity=proposal.fidelity,
                draw=proposal.draw,
                replicate=proposal.replicate,
                resume_from=str(self._artefacts.absolute() / checkpoint) if checkpoint is not None else None,
            )
        )
        self._submitted.add(trial.number)
        self._tell(TrialStarted(trial))

    def _collect(self) -> None:
        """Commit the results that are there, then tell of them and judge them."""
        finished = [self._commit(outcome) for outcome in self._executor.wait(_LOOK_SECONDS)]
        for trial in finished:
            self._take_note(trial)
            self._tell(TrialFinished(trial, self._best.trials))
        if finished and self._failing(*self._forgiven):
            raise self._too_many_failures()

    def _commit(self, outcome: Outcome) -> Trial:
        result = self._complete(outcome.result)
        if isinstance(self._executor, SimulatedExecutor) and isinstance(result, Measurement):
            result = replace(result, details={**result.details, FINISHED_AT: self._executor.clock})
        trial = self._store.finish(outcome.number, outcome.attempt, result)
        if trial.result is not None:
            self._history.finish(trial.number, trial.result)
        self._submitted.discard(trial.number)
        return trial

    def _complete(self, result: Measurement | Failure) -> Measurement | Failure:
        """The result, or a failure where a metric is missing that the study needs."""
        if isinstance(result, Failure):
            return result
        missing = [name for name in self._history.metrics if name not in result.metrics]
        if not missing:
            return result
        return Failure("invalid", f"the evaluator did not measure {missing[0]!r}", result.seconds)

    def _take_note(self, trial: Trial) -> None:
        self._spent += trial.seconds
        if isinstance(trial.result, Failure):
            self._failed += 1
            first_line = trial.result.message.partition("\n")[0]
            self._causes.append(f"trial {trial.number} ({trial.result.reason}): {first_line}")
        elif isinstance(trial.result, Measurement):
            if self._listener is not None:
                self._best.add(trial)
            if "checkpoint" in trial.result.artefacts:
                self._checkpoints[trial.number] = trial.result.artefacts["checkpoint"]

    def _failing(self, finished: int, failed: int) -> bool:
        """Whether too many of the trials have failed since there were `finished` of them, `failed` of those failed."""
        judged = self._history.seq - finished
        return judged >= LEAST_TO_JUDGE and self._failed - failed > self._rules.failure_limit * judged

    def _too_many_failures(self) -> NasError:
        shown = "; ".join(self._causes[:_CAUSES])
        return NasError(
            f"{self._failed} of {self._history.seq} trials have failed, more than the limit of "
            f"{self._rules.failure_limit:.0%}. The first: {shown}",
            remedy="Mend the cause and resume, or raise failure_limit.",
        )

    def _tell(self, event: Event) -> None:
        if self._listener is not None:
            self._listener(event)


def history_of(trials: Sequence[Trial], order: Sequence[int], objectives: Objectives) -> History:
    """The history that an optimizer may see.

    Args:
        trials: all, in order of proposal.
        order: numbers of the finished ones in the order in which they finished; later ones are left out.
        objectives: whose metrics it holds.
    """
    history = objectives.new_history()
    for trial in trials:
        history.begin(trial.proposal)
    for number in order:
        result = trials[number].result if number < len(trials) else None
        if result is not None:
            history.finish(number, result)
    return history
