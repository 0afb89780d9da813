"""The loop: propose, record, evaluate, commit, until a stop rule holds.

Every result is committed before the next proposal is made, so a study that is killed anywhere and taken up again goes
on from exactly what it knew. With the serial executor it ends as one that was never killed. What a simulated study
looks up within a tenth of a second is committed together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from nas_core.errors import Exhausted, NasError, StoreError
from nas_core.executor import Executor, Group, GroupOutcome, Job, Outcome, Task
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.optimizer import Optimizer
from nas_core.trial import Failure, Measurement, Proposal, Trial, units_of
from nas_search.config import StudyConfig
from nas_search.events import Event, StudyStopped, TrialFinished, TrialStarted
from nas_search.executors import cores
from nas_search.executors.simulated import FINISHED_AT, SimulatedExecutor
from nas_search.store import SqlStore
from nas_search.summary import BestSoFar

LEAST_TO_JUDGE = 10
_LOOK_SECONDS = 0.2
_GATHERED_SECONDS = 0.1  # of look-ups that are committed together; they cost nothing to repeat
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
        running = [trials[trial.number] for trial in self._history.running]
        self._queue = deque(units_of(running))
        self._again = {trial.number for trial in running}
        self._submitted: set[int] = set()
        self._groups: set[int] = set()
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
        if isinstance(self._executor, SimulatedExecutor):
            self._store.gather(_GATHERED_SECONDS)
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
        self._hand_out()
        room = self._room()
        if room > 0 and not self._queue:
            self._queue.extend(units_of(self._propose(room)))
            self._hand_out()

    def _hand_out(self) -> None:
        """Begin what is in the queue; a group waits for the one before it, whose bank of weights it goes on with."""
        while self._queue and self._room() > 0 and not (self._groups and _is_group(self._queue[0])):
            self._submit(self._queue.popleft())

    def _room(self) -> int:
        """How many trials, or groups, may be begun; a group is begun whole, even beyond the number of trials wanted."""
        busy = len(self._submitted) - len(self._groups) + bool(self._groups)
        return min(self._executor.slots - busy, self._rules.wanted - self._history.seq - len(self._submitted))

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
        self._waiting_at = self._history.seq if len(units_of(proposals)) < n else None
        seen, state = (len(self._history), self._history.seq), self._optimizer.state()
        trials = self._store.begin(proposals, seen, state) if proposals or state is not None else []
        for trial in trials:
            self._history.begin(trial.proposal)
        return trials

    def _check(self, proposals: Sequence[Proposal], n: int) -> None:
        name = self._config.optimizer["name"]
        units = units_of(proposals)
        if len(units) > n:
            raise NasError(f"the optimizer {name!r} proposes more than it is asked for", value=len(units))
        running = {trial.proposal.group for trial in self._history.running} - {None}
        for unit in units:
            if unit[0].group in running:
                raise NasError(f"the optimizer {name!r} adds to a group that is running", value=unit[0].group)
        if not proposals and not self._submitted and not self._exhausted:
            raise NasError(f"the optimizer {name!r} proposes nothing although nothing is running")

    def _submit(self, unit: Sequence[Trial]) -> None:
        """Begin a trial, or the trials of a group; anew where an earlier run of the study had begun them."""
        trials = [self._store.retry(trial.number) if trial.number in self._again else trial for trial in unit]
        tasks = tuple(self._task(trial) for trial in trials)
        if _is_group(unit):
            self._executor.submit(Group(tasks, self._store.evaluator_state()))
            self._groups.update(trial.number for trial in trials)
        else:
            self._executor.submit(tasks[0])
        for trial in trials:
            self._again.discard(trial.number)
            self._submitted.add(trial.number)
            self._tell(TrialStarted(trial))

    def _task(self, trial: Trial) -> Task:
        proposal = trial.proposal
        checkpoint = self._checkpoints.get(proposal.resume_from) if proposal.resume_from is not None else None
        return Task(
            trial.number,
            trial.attempt,
            proposal.architecture.values,
            fidelity=proposal.fidelity,
            draw=proposal.draw,
            replicate=proposal.replicate,
            resume_from=str(self._artefacts.absolute() / checkpoint) if checkpoint is not None else None,
        )

    def _collect(self) -> None:
        """Commit the results that are there, then tell of them and judge them."""
        finished = [trial for outcome in self._executor.wait(_LOOK_SECONDS) for trial in self._commit(outcome)]
        for trial in finished:
            self._take_note(trial)
            self._tell(TrialFinished(trial, self._best.trials))
        if finished and self._failing(*self._forgiven):
            raise self._too_many_failures()

    def _commit(self, outcome: Outcome | GroupOutcome) -> list[Trial]:
        """Record what a task has come to, or all of a group and the bank that it leaves, in one transaction."""
        outcomes, state = outcome if isinstance(outcome, GroupOutcome) else ((outcome,), None)
        results = [(one.number, one.attempt, self._complete(one.result)) for one in outcomes]
        trials = self._store.finish_group(results, state)
        for trial in trials:
            if trial.result is not None:
                self._history.finish(trial.number, trial.result)
            self._submitted.discard(trial.number)
            self._groups.discard(trial.number)
        return trials

    def _complete(self, result: Measurement | Failure) -> Measurement | Failure:
        """The result as it is recorded; a failure where a metric is missing that the study needs."""
        if isinstance(result, Failure):
            return result
        missing = [name for name in self._history.metrics if name not in result.metrics]
        if missing:
            return Failure("invalid", f"the evaluator did not measure {missing[0]!r}", result.seconds)
        if isinstance(self._executor, SimulatedExecutor):
            return replace(result, details={**result.details, FINISHED_AT: self._executor.clock})
        return result

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


def _is_group(unit: Sequence[Trial]) -> bool:
    return unit[0].proposal.group is not None


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
