"""Executors keep to their contract; workers end with their parent and never print over the terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nas_core.errors import InvalidData, InvalidOption, NasError
from nas_core.executor import Job, Outcome, Task
from nas_core.testing import ExecutorContract
from nas_core.trial import Failure, Measurement
from nas_search.executors import cores, make_executor
from nas_search.executors.messages import error_message, error_of
from nas_search.executors.processes import ProcessExecutor, visible_gpus
from nas_search.executors.serial import SerialExecutor
from nas_search.store.lease import process_start


class TestSerial(ExecutorContract):
    @pytest.fixture
    def executor(self) -> SerialExecutor:
        return SerialExecutor()


class TestProcesses(ExecutorContract):
    @pytest.fixture
    def executor(self) -> ProcessExecutor:
        return ProcessExecutor(2)

    @pytest.fixture
    def concurrent(self) -> bool:
        return True

    @pytest.fixture
    def isolated(self) -> bool:
        return True


ALONE = """
import signal
import sys
from nas_core.executor import Job, Task
from nas_search.executors import make_executor

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
fakes = "nas_core.testing.fakes:"
executor = make_executor("processes:2")
executor.start(Job({"name": fakes + "ToySpace"}, {"name": fakes + "FakeEvaluator", "hold": sys.argv[1]}, seed=0))
for number in range(2):
    executor.submit(Task(number, 1, ("conv3", "skip", 1, "tanh")))
executor.wait(0.0)
print(*(worker._process.pid for worker in executor._workers.values()), flush=True)
executor.wait()
"""


class TestWorkers:
    @pytest.fixture
    def parent(self, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
        """A process whose two workers are both evaluating, and their numbers."""
        command = [sys.executable, "-c", ALONE, str(tmp_path / "never")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            yield process, [int(pid) for pid in process.stdout.readline().split()]
            process.kill()

    def test_they_end_with_their_parent(self, parent: tuple[subprocess.Popen[str], list[int]]) -> None:
        process, workers = parent
        assert len(workers) == 2
        assert all(process_start(pid) is not None for pid in workers)
        process.kill()
        wait_until(lambda: all(process_start(pid) is None for pid in workers))

    def test_ctrl_c_does_not_reach_them(self, parent: tuple[subprocess.Popen[str], list[int]]) -> None:
        """They are in process groups of their own, and take no notice of the signal itself."""
        process, workers = parent
        for pid in workers:
            assert os.getpgid(pid) == pid
            os.kill(pid, signal.SIGINT)
        assert all(process_start(pid) is not None for pid in workers)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()
        assert said.count("Traceback") == 1, "the parent's own, which does not catch it"
        wait_until(lambda: all(process_start(pid) is None for pid in workers))

    def test_they_take_their_children_with_them(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        executor = ProcessExecutor(1)
        executor.start(odd_job(tmp_path, monkeypatch, kind="child"))
        executor.submit(TASK)
        note = tmp_path / "pid"
        wait_until(lambda: note.exists() and note.read_text().endswith("\n"))
        child = int(note.read_text())
        assert process_start(child) is not None
        executor.stop()
        wait_until(lambda: process_start(child) is None)

    @pytest.mark.parametrize(
        ("kind", "reason", "message"),
        [
            ("segfault", "crashed", "the worker process died: killed by SIGSEGV"),
            (
                "killed",
                "crashed",
                "the worker process died: killed by SIGKILL (the system does so when memory runs out)",
            ),
        ],
    )
    def test_a_death_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, reason: str, message: str
    ) -> None:
        executor = ProcessExecutor(1)
        try:
            executor.start(odd_job(tmp_path, monkeypatch, kind=kind))
            executor.submit(TASK)
            (outcome,) = executor.wait()
        finally:
            executor.stop()
        assert isinstance(outcome.result, Failure)
        assert (outcome.result.reason, outcome.result.message) == (reason, message)
        assert outcome.result.seconds > 0

    def test_what_an_evaluator_prints_is_no_message(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        executor = ProcessExecutor(1)
        try:
            executor.start(odd_job(tmp_path, monkeypatch, kind="prints"))
            executor.submit(TASK)
            (outcome,) = executor.wait()
        finally:
            executor.stop()
        assert outcome.result == Measurement({"params": 1.0}, details={"loss": [None, 1.5]})

    def test_a_fault_in_preparing_is_told_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        executor = ProcessExecutor(2)
        with pytest.raises(NasError, match=r"(?s)could not be prepared.*in prepare.*KeyError: 'lost'"):
            executor.start(odd_job(tmp_path, monkeypatch, kind="unprepared"))

    def test_a_death_in_preparing_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        executor = ProcessExecutor(1)
        with pytest.raises(NasError, match="ended before it was ready: 'exit code 7'"):
            executor.start(odd_job(tmp_path, monkeypatch, kind="dead"))

    def test_gpus_are_dealt_in_turn(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 5")
        executor = ProcessExecutor(3)
        try:
            executor.start(odd_job(tmp_path, monkeypatch, kind="gpu"))
            for number in range(3):
                executor.submit(replace(TASK, number=number))
            outcomes: list[Outcome] = []
            while len(outcomes) < 3:
                outcomes += executor.wait()
        finally:
            executor.stop()
        found = {o.number: o.result.metrics["params"] for o in outcomes if isinstance(o.result, Measurement)}
        assert found == {0: 4.0, 1: 5.0, 2: 4.0}


class TestFailures:
    """What an evaluator can do wrong, in this process."""

    @pytest.mark.parametrize(
        ("kind", "reason", "message"),
        [
            ("memory", "out_of_memory", "out of memory"),
            ("cuda", "out_of_memory", "OutOfMemoryError: CUDA out of memory"),
            ("exits", "error", "SystemExit: 3"),
            ("recursion", "error", "RecursionError: "),
            ("nothing", "invalid", "the evaluator returned no Measurement: None"),
            ("nan", "invalid", "metric 'params' must be a finite number: nan"),
            ("object", "invalid", "artefacts and details must be JSON"),
        ],
    )
    def test_each_has_its_reason(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, reason: str, message: str
    ) -> None:
        executor = SerialExecutor()
        executor.start(odd_job(tmp_path, monkeypatch, kind=kind))
        executor.submit(TASK)
        (outcome,) = executor.wait()
        assert isinstance(outcome.result, Failure)
        assert outcome.result.reason == reason
        assert outcome.result.message.startswith(message)
        assert len(outcome.result.message.splitlines()) <= 13

    def test_a_value_of_no_member_is_a_failure(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        executor = SerialExecutor()
        executor.start(odd_job(tmp_path, monkeypatch, kind="prints"))
        executor.submit(replace(TASK, values=("conv9", "skip", 1, "tanh")))
        (outcome,) = executor.wait()
        assert isinstance(outcome.result, Failure)
        assert "no such choice: 'conv9'" in outcome.result.message

    def test_it_takes_one_task_at_a_time(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        executor = SerialExecutor()
        with pytest.raises(InvalidOption):
            executor.submit(TASK)
        executor.start(odd_job(tmp_path, monkeypatch, kind="prints"))
        executor.submit(TASK)
        with pytest.raises(InvalidOption):
            executor.submit(TASK)


def test_names_of_executors() -> None:
    assert isinstance(make_executor("serial"), SerialExecutor)
    assert make_executor("processes:3").slots == 3
    assert make_executor("processes").slots == cores() >= 1
    for name in ("", "process", "processes:", "processes:0", "processes:-1", "processes:two", "serial:2"):
        with pytest.raises(InvalidOption, match="expected serial, processes, processes:NUMBER, simulated"):
            make_executor(name)


@pytest.mark.parametrize(("named", "found"), [("", []), ("0", ["0"]), ("GPU-1, 2", ["GPU-1", "2"])])
def test_visible_gpus_are_those_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, named: str, found: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == found


def test_errors_keep_their_kind_on_the_way() -> None:
    sent = error_message(InvalidData("no images", place="a.npz"))
    got = error_of(json.loads(json.dumps(sent)))
    assert isinstance(got, InvalidData)
    assert str(got) == "no images (in a.npz)"
    assert type(error_of({"kind": "TrialFailed", "message": "x"})) is NasError
    assert type(error_of({"kind": "SomebodyElses", "message": "x"})) is NasError


TASK = Task(0, 1, ("conv3", "skip", 1, "tanh"))

ODD = """
import ctypes, os, signal, subprocess, sys
from nas_core.trial import Measurement

class OutOfMemoryError(RuntimeError):
    pass

class Odd:
    requires = frozenset()
    metrics = ("params",)

    def __init__(self, kind, note):
        self.kind, self.note = kind, note

    def prepare(self, space):
        if self.kind == "unprepared":
            {}["lost"]
        if self.kind == "dead":
            os._exit(7)

    def evaluate(self, evaluation):
        return getattr(self, self.kind)()

    def to_config(self):
        return {"kind": self.kind, "note": self.note}

    def segfault(self):
        ctypes.string_at(0)

    def killed(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def child(self):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open(self.note, "w") as file:
            file.write(f"{child.pid}\\n")
        child.wait()

    def prints(self):
        print("{}")
        return Measurement({"params": 1}, details={"loss": (float("nan"), 1.5)})

    def gpu(self):
        return Measurement({"params": int(os.environ["CUDA_VISIBLE_DEVICES"])})

    def memory(self):
        raise MemoryError

    def cuda(self):
        raise OutOfMemoryError("CUDA out of memory")

    def exits(self):
        sys.exit(3)

    def recursion(self):
        return self.recursion()

    def nothing(self):
        return None

    def nan(self):
        return Measurement({"params": float("nan")})

    def object(self):
        return Measurement({"params": 1}, details={"model": object()})
"""


def odd_job(directory: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> Job:
    """A job for an evaluator that misbehaves."""
    (directory / "odd_evaluator.py").write_text(ODD)
    monkeypatch.syspath_prepend(str(directory))
    evaluator = {"name": "odd_evaluator:Odd", "kind": kind, "note": str(directory / "pid")}
    return Job({"name": "nas_core.testing.fakes:ToySpace"}, evaluator, seed=0)


def wait_until(holds: Callable[[], bool]) -> None:
    """For what another process brings about; a minute is never reached unless it does not."""
    deadline = time.monotonic() + 60.0
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)
