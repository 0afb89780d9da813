"""What a worker does: from a job and a task to a measurement or a failure, the same in this process and in others.

This is the boundary between the toolkit and evaluators, which anybody may write: whatever one raises becomes a failed
trial, and nothing that it returns gets past here unchecked.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from nas_core import registry
from nas_core.errors import InvalidMeasurement, TrialFailed
from nas_core.evaluator import Evaluation, Evaluator, GroupEvaluator
from nas_core.executor import Group, GroupOutcome, Job, Outcome, Task
from nas_core.optimizer import State
from nas_core.space import Space, require
from nas_core.trial import Failure, Measurement

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_TRACEBACK_LINES = 12
T = TypeVar("T")


class Worker:
    """An evaluator that is ready to work.

    Args:
        job: what all tasks have in common.

    Raises:
        NasError: the space or the evaluator cannot be made, or data is missing.
    """

    def __init__(self, job: Job) -> None:
        limit_threads(job.threads)
        self._job = job
        self._artefacts = Path(job.artefacts) if job.artefacts is not None else None
        self._space: Space = registry.from_config("space", job.space)
        self._evaluator: Evaluator = registry.from_config("evaluator", job.evaluator)
        require(self._space, self._evaluator.requires, f"the evaluator {job.evaluator['name']}")
        self._evaluator.prepare(self._space)

    def run(self, task: Task) -> Measurement | Failure:
        """Evaluate; whatever goes wrong is a Failure.

        Its reason is that of a TrialFailed, "out_of_memory", "invalid" for a measurement that cannot be recorded, or
        "error" for anything else that the evaluator raises.
        """
        return self._attempted(lambda: _checked(self._evaluator.evaluate(self._evaluation(task))))

    def run_group(self, group: Group) -> GroupOutcome:
        """Evaluate a group; where the evaluator raises, all of it has failed, and the bank is as it was."""
        results: list[Measurement | Failure]
        attempted = self._attempted(lambda: self._evaluated(group))
        if isinstance(attempted, Failure):
            share = replace(attempted, seconds=attempted.seconds / len(group.tasks))
            results, state = [share] * len(group.tasks), None
        else:
            results, state = attempted
        outcomes = [Outcome(task.number, task.attempt, one) for task, one in zip(group.tasks, results, strict=True)]
        return GroupOutcome(tuple(outcomes), state)

    def _evaluated(self, group: Group) -> tuple[list[Measurement | Failure], State | None]:
        if not isinstance(self._evaluator, GroupEvaluator):
            name = self._job.evaluator["name"]
            raise TrialFailed("invalid", f"the evaluator {name!r} shares no weights, so it cannot evaluate a group")
        results, state = self._evaluator.evaluate_group([self._evaluation(task) for task in group.tasks], group.state)
        if len(results) != len(group.tasks):
            raise InvalidMeasurement(
                "the evaluator has not measured every member of a group",
                value=len(results),
                expected=str(len(group.tasks)),
            )
        return [one if isinstance(one, Failure) else _checked(one) for one in results], state

    def _attempted(self, what: Callable[[], T]) -> T | Failure:
        limit_threads(self._job.threads)
        begun = time.perf_counter()
        try:
            return what()
        except TrialFailed as error:
            reason, message = error.reason, str(error)
        except InvalidMeasurement as error:
            reason, message = "invalid", str(error)
        except MemoryError as error:
            reason, message = "out_of_memory", f"out of memory {error}".strip()
        except (Exception, SystemExit) as error:
            reason = "out_of_memory" if type(error).__name__ == "OutOfMemoryError" else "error"
            message = _told(error)
        return Failure(reason, message, time.perf_counter() - begun)

    def _evaluation(self, task: Task) -> Evaluation:
        return Evaluation(
            self._space,
            self._space.canonical(task.values),
            fidelity=task.fidelity,
            draw=task.draw,
            replicate=task.replicate,
            seed=self._job.seed,
            artefacts=self._artefacts,
            resume_from=Path(task.resume_from) if task.resume_from is not None else None,
        )


def outcome_of(worker: Worker, task: Task | Group) -> Outcome | GroupOutcome:
    """What comes of a task, or of a group."""
    if isinstance(task, Group):
        return worker.run_group(task)
    return Outcome(task.number, task.attempt, worker.run(task))


def limit_threads(threads: int | None) -> None:
    """Limit the threads of numerical libraries: those yet to be loaded by the environment, torch by its own call."""
    if threads is None:
        return
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    torch: Any = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads") and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def _checked(result: object) -> Measurement:
    """A measurement that can be stored: JSON and nothing else, numbers in details that are not finite as null."""
    if not isinstance(result, Measurement):
        raise InvalidMeasurement("the evaluator returned no Measurement", value=result)
    if not result.artefacts and not result.details:
        return result
    try:
        extras = json.loads(json.dumps([dict(result.artefacts), dict(result.details)]), parse_constant=lambda _: None)
    except (TypeError, ValueError) as error:
        raise InvalidMeasurement(f"artefacts and details must be JSON ({error})") from error
    return replace(result, artefacts=extras[0], details=extras[1])


def _told(error: BaseException) -> str:
    """Type and message, then the last lines of the traceback."""
    lines = "".join(traceback.format_tb(error.__traceback__)).rstrip().split("\n")
    return "\n".join([f"{type(error).__name__}: {error}", *lines[-_TRACEBACK_LINES:]])
