"""The command line: what it prints, what it refuses, how it ends. Fakes stand in for spaces and evaluators."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.registry import from_config
from nas_core.testing.fakes import ToySpace
from nas_core.testing.registered import register_fakes
from nas_core.trial import Failure, Measurement, Proposal, Status, Trial
from nas_search.cli import boundary
from nas_search.cli.final import read_final
from nas_search.cli.live import Tally
from nas_search.cli.options import SearchOptions, data_source, seconds, study_config
from nas_search.cli.output import columns
from nas_search.cli.signals import stop_on_signals
from nas_search.config import StudyConfig
from nas_search.events import TrialFinished
from nas_search.study import Study

NAS = [sys.executable, "-c", "from nas_search.cli import main; main()"]
FAKE = ["--space", "toy", "--evaluator", "fake", "--objective", "max:val_accuracy"]


class Run(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


matplotlib = importlib.util.find_spec("matplotlib") is not None
needs_matplotlib = pytest.mark.skipif(not matplotlib, reason="pictures need matplotlib, the extra report")

Nas = Callable[..., Run]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty directory to work in, with the fakes installed."""
    register_fakes(tmp_path / "packages", monkeypatch)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def nas(capsys: pytest.CaptureFixture[str]) -> Nas:
    """Run a command in this process."""

    def run(*arguments: str) -> Run:
        capsys.readouterr()
        code = boundary.run(arguments)
        return Run(code, *capsys.readouterr())

    return run


def search(out: str = "run", *more: str, trials: int = 5, optimizer: str = "random") -> list[str]:
    return ["search", *FAKE, "--optimizer", optimizer, "--trials", str(trials), "--out", out, *more]


def in_process(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | options
    return subprocess.Popen([*NAS, *arguments], text=True, **pipes)


def files_of(directory: Path) -> dict[str, bytes]:
    """All files but those that SQLite leaves beside a database that has been looked at."""
    found = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    return {str(path): path.read_bytes() for path in found if path.suffix not in (".db-wal", ".db-shm")}


# What it prints


def test_help_is_quick_to_load() -> None:
    code = (
        "import sys; sys.argv = ['nas', '--help']\nfrom nas_search.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "search" in run.stdout
    heavy = {"numpy", "networkx", "scipy", "sqlalchemy", "matplotlib", "torch"}
    assert heavy & set(run.stderr.split()) == set()


def test_without_a_command_it_shows_its_help(nas: Nas) -> None:
    alone, asked = nas(), nas("--help")
    assert alone == asked
    assert alone.code == 0
    assert "Commands:" in alone.out


def test_version(nas: Nas) -> None:
    assert re.fullmatch(r"nas \d+\.\d+\.\d+\n", nas("--version").out)


def test_a_search_prints_a_line_a_trial_and_what_it_found(nas: Nas) -> None:
    run = nas(*search(trials=4))
    assert run.code == 0
    lines = run.err.splitlines()
    assert len(lines) == 4
    for number, line in enumerate(lines):
        assert line.startswith(f"[{number + 1}/4] trial {number}: val_accuracy ")
    assert run.out.splitlines()[0] == "run: finished, 4 of 4 trials"
    assert "best: trial" in run.out


def test_a_search_as_json(nas: Nas) -> None:
    found = nas(*search("run", "--json", "--constraint", "params<=3000")).json
    assert found["state"] == "finished"
    assert found["trials"] == {"wanted": 5, "completed": 5, "failed": 0, "running": 0}
    assert found["device_seconds"] == 5.0  # the fake costs a second each
    best = found["best"]
    assert len(best) == 1
    assert best[0]["metrics"]["params"] <= 3000
    assert nas("status", "run", "--json").json == found
    assert nas("best", "run", "--json").json["best"] == best


def test_the_same_seed_gives_the_same_search(nas: Nas) -> None:
    best = [nas(*search(out, "--seed", seed, "--json")).json["best"] for out, seed in (("a", "1"), ("b", "1"))]
    assert best[0] == best[1]
    trials = [nas("best", out, "--number", "99", "--json").json["best"] for out in ("a", "b")]
    assert trials[0] == trials[1]
    nas(*search("c", "--seed", "2"))
    assert nas("best", "c", "--number", "99", "--json").json["best"] != trials[0]


def test_best_shows_as_many_as_asked_for_and_the_front(nas: Nas) -> None:
    nas(*search(trials=12))
    assert [len(nas("best", "run", *n, "--json").json["best"]) for n in ([], ["--number", "3"])] == [1, 3]
    best = nas("best", "run", "--number", "12", "--json").json["best"]
    reached = [one["metrics"]["val_accuracy"] for one in best]
    assert reached == sorted(reached, reverse=True)
    text = nas("best", "run", "--number", "3").out.splitlines()
    assert text[0].split() == ["trial", "val_accuracy", "architecture"]
    assert len(text) == 4

    nas(*search("front", "--objective", "min:params", trials=12))
    front = nas("best", "front", "--json").json["best"]
    pairs = [(one["metrics"]["val_accuracy"], one["metrics"]["params"]) for one in front]
    assert len(pairs) > 1
    assert not any(a[0] >= b[0] and a[1] <= b[1] and a != b for a in pairs for b in pairs)


def test_failures_are_shown_with_their_reasons(nas: Nas) -> None:
    fails = 'fake:fail_on={"depth": [0]}'
    run = nas(
        "search", "--space", "toy", "--evaluator", fails, "--objective", "max:val_accuracy", "--optimizer", "random",
        "--trials", "20", "--out", "run", "--failure-limit", "1.0",
    )  # fmt: skip
    failed = sum(" failed (diverged): " in line for line in run.err.splitlines())
    assert run.code == 0
    assert f"failed (diverged): {failed}" in run.out


def test_resume_gives_a_finished_search_more_trials(nas: Nas) -> None:
    nas(*search("short", trials=3))
    resumed = nas("resume", "short", "--trials", "8")
    assert resumed.code == 0
    assert len(resumed.err.splitlines()) == 5
    nas(*search("whole", trials=8))
    both = [nas("best", out, "--number", "9", "--json").json["best"] for out in ("short", "whole")]
    assert both[0] == both[1]


def test_components_are_listed_with_their_packages(nas: Nas) -> None:
    run = nas("list", "spaces")
    assert re.search(r"^space +toy +nas-core-fakes 0\.1\.0 +nas_core\.testing\.fakes:ToySpace$", run.out, re.MULTILINE)
    found = nas("list", "--json").json["components"]
    assert {"kind": "optimizer", "name": "evolution"}.items() <= next(
        one for one in found if one["name"] == "evolution"
    ).items()
    assert {one["kind"] for one in found} >= {"space", "optimizer", "evaluator", "surrogate"}


def test_options_override_the_file(nas: Nas) -> None:
    Path("study.toml").write_text(TOML, encoding="utf-8")
    assert nas("search", "--config", "study.toml", "--out", "a", "--json").json["trials"]["wanted"] == 6
    run = nas("search", "--config", "study.toml", "--trials", "2", "--optimizer", "random", "--out", "b", "--json")
    assert run.json["trials"]["wanted"] == 2
    config = json.loads((Path("b") / "config.json").read_text(encoding="utf-8"))
    assert '"random"' in json.dumps(config)
    assert '"deepest": 1' in json.dumps(config)


TOML = """
objectives = ["max:val_accuracy"]
trials = 6

[space]
name = "toy"
deepest = 1

[optimizer]
name = "evolution"
population = 4
tournament = 2

[evaluator]
name = "fake"
"""


README = Path(__file__).parents[1] / "README.md"


def test_the_examples_of_the_readme_are_one_search(nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = dict(
        re.findall(r"^```(toml|sh)\n(nas search.*?|objectives.*?)^```", README.read_text("utf-8"), re.M | re.S)
    )
    Path("study.toml").write_text(blocks["toml"], encoding="utf-8")
    begun: list[tuple[Path, StudyConfig]] = []

    def create(directory: Path, config: StudyConfig) -> None:
        begun.append((directory, config))
        raise InterruptedError(0, "that is enough", "")

    monkeypatch.setattr(Study, "create", create)
    command = blocks["sh"].replace("\\\n", " ").splitlines()[0]
    for words in (shlex.split(command)[1:], ["search", "--config", "study.toml", "--out", "runs/digits"]):
        assert nas(*words).err == "error: that is enough: ''\n"
    assert begun[0] == begun[1]
    assert begun[0][1].evaluator["network"] == {"channels": 8, "cells": 1}


def test_columns_are_aligned() -> None:
    assert columns([("a", "bb", "c"), ("1", "2", "long"), ("22", "3", "x")], right=[True]) == (
        " a  bb  c\n 1  2   long\n22  3   x"
    )


# Where the configuration comes from


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("90s", 90), ("1.5h", 5400), ("45m", 2700), ("2d", 172800)])
def test_times(text: str, value: float) -> None:
    assert seconds(text) == value


def test_files_are_found_from_anywhere() -> None:
    assert data_source("digits") == "digits"
    assert data_source("images.npz") == str(Path("images.npz").resolve())
    options = SearchOptions(space="toy", table=Path("t.npz"), objectives=["max:val_accuracy"])
    assert study_config(options).evaluator == {"name": "table", "file": str(Path("t.npz").resolve())}


def test_options_of_training_come_together() -> None:
    options = SearchOptions(
        space="toy", data="digits", epochs=3, recipe="digits", train="keep=true", network="channels=4,cells=2",
        objectives=["max:val_accuracy"],
    )  # fmt: skip
    evaluator = {"name": "train", "data": "digits", "epochs": 3, "recipe": "digits", "keep": True}
    assert study_config(options).evaluator == evaluator | {"network": {"channels": 4, "cells": 2}}
    changed = study_config(replace(options, recipe="digits:batch=32")).evaluator
    assert changed["recipe"] == {"name": "digits", "batch": 32}
    texts = replace(options, data=None, evaluator="language:data=ptb", train=None, network=None)
    assert study_config(texts).evaluator["epochs"] == 3


def test_training_options_of_a_file_are_kept() -> None:
    Path("study.toml").write_text(
        'space = "toy"\nobjectives = "max:val_accuracy"\nevaluator = {name = "train", data = "digits", epochs = 5}\n'
    )
    config = study_config(SearchOptions(data="cifar10"), Path("study.toml"))
    assert config.evaluator == {"name": "train", "data": "cifar10", "epochs": 5}
    config = study_config(SearchOptions(epochs=7, time_limit="1h"), Path("study.toml"))
    assert config.evaluator == {"name": "train", "data": "digits", "epochs": 7}
    assert config.seconds == 3600
    assert config.optimizer == {"name": "evolution"}


def small_table() -> Path:
    tables = pytest.importorskip("nas_spaces.tables", reason="tables need nas-spaces, the extra spaces")
    meta = {
        "name": "small", "space": "toy", "source": "made for this test", "licence": "none", "units": {},
        "objective": "min:params",
    }  # fmt: skip
    np = pytest.importorskip("numpy")
    toy = from_config("space", {"name": "toy"})
    texts = np.array([toy.text(member) for member in toy.enumerate()])
    arrays = {"architecture": texts, "params": np.arange(len(texts), dtype=float)}
    tables.Table(meta, arrays).save("small.npz")
    return Path("small.npz")


def test_a_table_brings_its_space_and_objective(nas: Nas) -> None:
    table = small_table()
    run = nas("search", "--table", str(table), "--optimizer", "random:allow_twins=true", "--out", "run", "--json")
    found = run.json
    assert found["objectives"] == ["min:params"]
    assert found["state"] == "exhausted"
    assert found["trials"]["completed"] == 80
    assert found["best"][0]["metrics"] == {"params": 0.0}
    assert found["device_seconds"] == 0.0


def test_a_table_of_another_space(nas: Nas) -> None:
    table = small_table()
    assert_one_error(nas("search", "--table", str(table), "--space", "continuous_toy"), "another space.*'toy'")
    assert_one_error(nas("search", "--table", "none.npz"), "none.npz")


def test_a_table_without_the_package_that_reads_it(nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nas_spaces.tables", None)
    assert_one_error(nas("search", "--table", "small.npz"), "extra `spaces`")


# The last training


def trained(nas: Nas, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A finished search, and a training that notes how it is called."""
    calls: list[dict[str, Any]] = []

    def train_final(space: object, architecture: object, **options: Any) -> Measurement:
        calls.append({"architecture": architecture, **options})
        if options["data"] == "held":
            raise KeyboardInterrupt
        return Measurement(
            {"val_accuracy": 91.0, "params": 1000.0, "test_accuracy": 90.5}, 12.0, {"card": "final.json"}
        )

    module = types.ModuleType("nas_train.final")
    module.train_final = train_final  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nas_train", types.ModuleType("nas_train"))
    monkeypatch.setitem(sys.modules, "nas_train.final", module)
    nas(*search(), "--seed", "7")
    return calls


def test_the_best_is_trained_longer_and_tested_once(nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = trained(nas, monkeypatch)
    run = nas("train", "run", "--data", "digits", "--epochs", "9", "--network", "channels=4")
    best = nas("best", "run", "--json").json["best"][0]
    assert run.out.splitlines()[0] == f"trial {best['trial']}: test_accuracy 90.5, val_accuracy 91, params 1,000"
    assert run.err == f"training trial {best['trial']} anew: {best['architecture']}\n"
    called = calls[0]
    assert (called["data"], called["epochs"], called["network"]) == ("digits", 9, {"channels": 4})
    assert (called["seed"], called["draw"], called["out"]) == (7, 0, Path("run/final"))
    assert "recipe" not in called

    before = files_of(Path())
    assert_one_error(nas("train", "run", "--data", "digits"), "already .*run/final/result.json.*--out")
    assert files_of(Path()) == before
    assert len(calls) == 1

    again = nas("train", "run", "--data", "digits", "--trial", "3", "--out", "other", "--json").json
    assert (again["trial"], again["metrics"]["test_accuracy"]) == (3, 90.5)
    assert read_final(Path("other")) == {key: value for key, value in again.items() if key != "directory"}


def test_several_are_trained_each_in_a_folder_and_once(nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = trained(nas, monkeypatch)
    ranked = [one["trial"] for one in nas("best", "run", "--number", "2", "--json").json["best"]]
    found = nas("train", "run", "--best", "2", "--data", "digits", "--json").json
    assert [one["trial"] for one in found["trained"]] == ranked
    assert [called["out"] for called in calls] == [Path(f"run/final/trial{number}") for number in ranked]

    again = nas("train", "run", "--best", "3", "--data", "digits", "--json")
    assert [one["trial"] for one in again.json["trained"]][:2] == ranked
    assert len(calls) == 3
    assert_one_error(nas("train", "run", "--best", "2", "--data", "digits", "--epochs", "3"), "tested already")
    assert_one_error(nas("train", "run", "--data", "digits"), f"already .*run/final/trial{ranked[0]}/result.json")
    assert_one_error(nas("train", "run", "--best", "2", "--pareto", "--data", "digits"), "one of --trial, --best")
    assert len(calls) == 3


def test_draws_of_a_generator_give_mean_and_deviation(nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = trained(nas, monkeypatch)
    train_final = sys.modules["nas_train.final"].train_final

    def by_draw(space: object, architecture: object, **options: Any) -> Measurement:
        measured = train_final(space, architecture, **options)
        accuracy = 90.0 + options["draw"]  # over draws 0, 1, 2: mean 91, deviation 1
        return replace(measured, metrics={**measured.metrics, "test_accuracy": accuracy})

    monkeypatch.setattr(sys.modules["nas_train.final"], "train_final", by_draw)
    assert_one_error(nas("train", "run", "--data", "digits", "--draws", "3"), "networks of toy are not drawn")
    monkeypatch.setattr(ToySpace, "wirings", lambda self, a, seed=0: None, raising=False)
    run = nas("train", "run", "--data", "digits", "--draws", "3")
    best = nas("best", "run", "--json").json["best"][0]["trial"]
    places = [Path(f"run/final/trial{best}/draw{draw}") for draw in range(3)]
    assert [(called["draw"], called["out"]) for called in calls] == list(enumerate(places))
    assert f"trial {best}, 3 draws: test_accuracy 91 ± 1, val_accuracy 91 ± 0, params 1,000 ± 0" in run.out
    again = nas("train", "run", "--data", "digits", "--draws", "4", "--json").json
    assert len(calls) == 4  # those that are there already are not trained again
    assert again["over_draws"][0]["metrics"]["test_accuracy"]["mean"] == 91.5
    assert [one["draw"] for one in again["trained"]] == [0, 1, 2, 3]
    assert_one_error(nas("train", "run", "--data", "digits", "--draws", "2", "--epochs", "3"), "tested already")


@needs_matplotlib
def test_the_report_tells_of_the_last_training(nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(nas, monkeypatch)
    nas("train", "run", "--data", "digits")
    nas("report", "run")
    assert "tested once: test_accuracy 90.5, " in Path("run/report/index.html").read_text(encoding="utf-8")


def test_a_training_that_is_stopped_has_not_been_tested(nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = trained(nas, monkeypatch)
    run = nas("train", "run", "--data", "held")
    assert run.code == 130
    assert "goes on from the last epoch" in run.err
    assert nas("train", "run", "--data", "digits").code == 0
    assert len(calls) == 2


def test_training_needs_images_a_package_and_a_sound_result(nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(nas, monkeypatch)
    assert_one_error(nas("train", "run"), "on which images to train.*--data")
    monkeypatch.setitem(sys.modules, "nas_train.final", None)
    assert_one_error(nas("train", "run", "--data", "digits"), "extra `train`")
    Path("run/final").mkdir(exist_ok=True)
    for text in ("{", "[]", '{"trial": 1}'):
        Path("run/final/result.json").write_text(text)
        assert_one_error(nas("train", "run", "--data", "digits"), "damaged.*result.json")


# Pictures


@needs_matplotlib
def test_report_and_drawings(nas: Nas) -> None:
    nas(*search())
    files = nas("report", "run", "--json").json["files"]
    assert {Path(file).name for file in files} == {
        "curve.png", "curve.svg", "best.png", "best.svg", "trials.csv", "index.html",
    }  # fmt: skip
    assert all(Path(file).is_file() for file in files)
    text = nas("best", "run", "--json").json["best"][0]["architecture"]
    assert nas("draw", "run", "--out", "a.svg").out == "a.svg\n"
    assert nas("draw", "run", "--trial", "2", "--out", "b.png").code == 0
    assert nas("draw", "toy", text, "--out", "c.svg", "--json").json == {"file": "c.svg"}
    sampled = nas("draw", "toy", "--sample", "--seed", "3", "--out", "d.svg", "--json").json
    assert sampled["file"] == "d.svg"
    assert nas("draw", "toy", sampled["architecture"], "--out", "e.svg").out == "e.svg\n"
    assert Path("d.svg").read_bytes() == Path("e.svg").read_bytes()
    assert nas("draw", "toy", "--sample", "--seed", "3", "--out", "d.svg").out == f"{sampled['architecture']}\nd.svg\n"
    assert len({nas("draw", "toy", "--sample", "--seed", str(seed)).out for seed in range(5)}) > 1  # same: 80 ** -4
    cell = re.compile("<!-- (conv3|conv1|pool|skip|add|relu|tanh|input|output) -->")
    assert cell.findall(Path("a.svg").read_text()) == cell.findall(Path("c.svg").read_text()) != []
    assert Path("b.png").read_bytes().startswith(b"\x89PNG")


# What it says meanwhile


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def finished(number: int, result: Measurement | Failure) -> Trial:
    toy = from_config("space", {"name": "toy"})
    member = list(toy.enumerate())[number]
    status = Status.COMPLETED if isinstance(result, Measurement) else Status.FAILED
    return Trial(number, Proposal(member), status, result)


def tally_of(objectives: Objectives, *before: Trial, wanted: int = 10) -> tuple[Tally, Clock]:
    history: History = objectives.new_history()
    for trial in before:
        history.begin(trial.proposal)
        assert trial.result is not None
        history.finish(trial.number, trial.result)
    clock = Clock()
    return Tally(objectives, wanted, history, clock), clock


def test_rate_and_time_left_by_hand() -> None:
    first = finished(0, Measurement({"val_accuracy": 80.0}))
    tally, clock = tally_of(Objectives.parse(["max:val_accuracy"]), first)
    assert tally.text() == "best val_accuracy 80"
    clock.now = 6.0
    second = finished(1, Failure("diverged", "NaN"))
    assert not tally.add(TrialFinished(second, (first,)))
    third = finished(2, Measurement({"val_accuracy": 81.5}))
    assert tally.add(TrialFinished(third, (third,)))
    # two new trials in 6 s, so 3 s each, and 7 of 10 are left
    assert tally.text() == "best val_accuracy 81.5 · 3.0 s a trial · 21 s left · 1 failed"
    clock.now = 0.5
    assert "4.0 trials/s" in tally.text()


def test_best_so_far_in_words() -> None:
    one = finished(0, Measurement({"val_accuracy": 80.0, "params": 5.0}))
    assert tally_of(Objectives.parse(["max:val_accuracy"]))[0].best_text() == "none yet"
    constrained = Objectives.parse(["max:val_accuracy"], ["params<=1"])
    assert tally_of(constrained, one)[0].best_text() == "none yet that keeps the constraints"
    several = Objectives.parse(["max:val_accuracy", "min:params"])
    assert tally_of(several, one)[0].best_text() == "1 on the front"


def test_the_first_signal_asks_and_the_second_insists() -> None:
    said: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with stop_on_signals(said.append) as stop:
        assert not stop()
        signal.raise_signal(signal.SIGTERM)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert len(said) == 1
    assert signal.getsignal(signal.SIGINT) is before


# How it ends


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def running(nas: Nas, directory: str) -> int:
    run = nas("status", directory, "--json")
    return int(run.json["trials"]["running"]) if run.code == 0 else 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_running_trial_finish_and_says_how_to_go_on(nas: Nas, number: int) -> None:
    held = ["--space", "toy", "--evaluator", "fake:hold=go", "--objective", "max:val_accuracy", "--optimizer", "random"]
    process = in_process("search", *held, "--trials", "3", "--out", "run", "--json")
    wait_for(lambda: running(nas, "run") == 1)
    process.send_signal(number)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("stopping when the running trials are done")
    Path("go").touch()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "stopped after 1 of 3 trials; go on with: nas resume run"
    assert json.loads(out)["state"] == "stopped"
    assert nas("resume", "run").code == 0
    nas(*search("whole", trials=3))
    both = [nas("best", directory, "--number", "9", "--json").json["best"] for directory in ("run", "whole")]
    assert both[0] == both[1]


@pytest.mark.slow
def test_a_second_signal_stops_at_once(nas: Nas) -> None:
    held = ["--space", "toy", "--evaluator", "fake:hold=go", "--objective", "max:val_accuracy"]
    process = in_process("search", *held, "--trials", "3", "--out", "run")
    wait_for(lambda: running(nas, "run") == 1)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "stopped after 0 of 3 trials" in err
    Path("go").touch()
    assert nas("resume", "run", "--json").json["trials"]["completed"] == 3


@pytest.mark.slow
def test_nobody_reads_the_output(nas: Nas) -> None:
    nas(*search(trials=1))
    for arguments in (["list"], ["status", "run"], ["--help"]):
        reading, writing = os.pipe()
        os.close(reading)
        process = in_process(*arguments, stdout=writing)
        os.close(writing)
        _, err = process.communicate(timeout=60)
        assert err == ""
        assert process.returncode == 1


@pytest.mark.slow
def test_a_search_goes_on_when_nobody_watches() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = in_process(*search(), stderr=writing)
    os.close(writing)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "finished, 5 of 5 trials" in out


@pytest.mark.slow
def test_a_terminal_gets_a_live_line() -> None:
    pty = pytest.importorskip("pty", reason="needs a terminal of Unix")
    reading, writing = pty.openpty()
    process = in_process(*search(trials=3), stderr=writing, env=os.environ | {"TERM": "xterm", "COLUMNS": "120"})
    os.close(writing)
    shown = b""
    while True:
        try:
            part = os.read(reading, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(reading)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"3/3" in shown
    assert b"best val_accuracy" in shown
    assert b"trial 0:" not in shown


def test_a_fault_of_the_toolkit_is_one_line(nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("nas_search.cli.components.list_components", broken)
    run = nas("list")
    assert run.code == 1
    assert run.err == (
        "error: a fault of the toolkit, not of yours (ZeroDivisionError: division by zero). "
        "Run the command again with --debug to see where.\n"
    )
    assert "Traceback" in nas("list", "--debug").err


def test_debug_shows_where_a_mistake_was_found(nas: Nas) -> None:
    plain, debug = nas("list", "nothing"), nas("list", "nothing", "--debug")
    assert "Traceback" not in plain.err
    assert "Traceback" in debug.err
    assert debug.err.endswith(plain.err)
    assert plain.code == debug.code == 2


# What it refuses

BAD_SEARCH: list[tuple[list[str], str]] = [
    (["--space", "tooy"], "'tooy'.*'toy'"),
    (["--space", "toy:depth=3"], "toy has no such option: 'depth'"),
    (["--space", "toy:operations=9"], "operations.*9.*whole number from 1 to 4"),
    (["--space", "toy:operations"], "--space"),
    (["--optimizer", "evolutoin"], "'evolutoin'.*'evolution'"),
    (["--optimizer", "evolution:popualtion=4"], "'popualtion'.*'population'"),
    (["--optimizer", "evolution:population=few"], "population.*'few'"),
    (["--evaluator", "nothing"], "no evaluator has this name: 'nothing'"),
    (["--evaluator", "fake:broken=true"], "the fake evaluator is broken"),
    (["--objective", "maximise:val_accuracy"], "not an objective.*max:METRIC"),
    (["--objective", "max:accuracy"], "say its split.*val_accuracy"),
    (["--objective", "max:val_top7"], "val_top7.*val_accuracy"),
    (["--objective", "min:val_accuracy"], "named twice"),
    (["--constraint", "params<1e6"], "not a constraint: 'params<1e6'"),
    (["--constraint", "latency<=1"], "latency"),
    (["--trials", "0"], "0 .*trials"),
    (["--trials", "many"], "--trials"),
    (["--seed", "x"], "--seed"),
    (["--executor", "threads"], "executor.*'threads'.*serial"),
    (["--executor", "processes:0"], "processes"),
    (["--threads", "0"], "threads"),
    (["--failure-limit", "7"], "failure_limit"),
    (["--time-limit", "soon"], "not a time: 'soon'.*--time-limit"),
    (["--table", "table.npz"], "two ways to measure.*--table and --evaluator"),
    (["--epochs", "3"], "--epochs is an option of training"),
    (["--network", "channels=3"], "--network is an option of training"),
    (["--out", "there"], "not empty: 'there'"),
    (["--nothing"], "--nothing"),
]


def words(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else ""


def assert_one_error(run: Run, pattern: str) -> None:
    assert run.code == 2, run
    assert run.out == ""
    assert len(run.err.splitlines()) == 1, run.err
    assert run.err.startswith("error: ")
    assert re.search(pattern, run.err), run.err


@pytest.mark.parametrize(("arguments", "pattern"), BAD_SEARCH, ids=words)
def test_a_search_refuses(nas: Nas, arguments: list[str], pattern: str) -> None:
    Path("there").mkdir()
    (Path("there") / "notes.txt").write_text("mine")
    before = set(Path().rglob("*"))
    given = ["search", *FAKE, "--optimizer", "random", "--trials", "3", "--out", "run"]
    assert_one_error(nas(*given, *arguments), pattern)
    assert set(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["--evaluator", "fake", "--objective", "max:val_accuracy"], "which space.*--space"),
        (["--space", "toy", "--objective", "max:val_accuracy"], "--data, --table, --evaluator"),
        (["--space", "toy", "--evaluator", "fake"], "--objective"),
    ],
)
def test_a_search_needs(nas: Nas, arguments: list[str], pattern: str) -> None:
    assert_one_error(nas("search", *arguments), pattern)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("trials = ", "study.toml"),
        ("trails = 3", "trails.*trials"),
        ("trials = 'three'", "'three' .*study.toml, key trials"),
        ("space = 3", "3 .*study.toml, key space"),
        ("space = {operations = 2}", "space.*name"),
        ("objectives = 'val_accuracy'", "'val_accuracy' .*study.toml, key objectives"),
        ("constraints = [1]", "1.*study.toml, key constraints"),
        ("seconds = true", "True .*study.toml, key seconds"),
        ("seed = 1.5", "1.5 .*study.toml, key seed"),
    ],
)
def test_a_configuration_file_is_checked(nas: Nas, text: str, pattern: str) -> None:
    Path("study.toml").write_text(text, encoding="utf-8")
    key = text.partition(" ")[0]
    given = {
        "space": ["--space", "toy"],
        "objectives": ["--objective", "max:val_accuracy"],
        "evaluator": ["--evaluator", "fake"],
    }
    options = [word for name, words in given.items() if name != key for word in words]
    assert_one_error(nas("search", "--config", "study.toml", *options, "--out", "run"), pattern)
    assert not Path("run").exists()


def test_a_configuration_file_that_is_not_there(nas: Nas) -> None:
    assert_one_error(nas("search", "--config", "none.toml"), "none.toml")
    Path("bytes.toml").write_bytes(b"\xff\xfe")
    assert_one_error(nas("search", "--config", "bytes.toml"), "bytes.toml")


@pytest.mark.parametrize("command", ["resume", "status", "best", "report", "draw", "train"])
def test_a_run_directory_that_is_none(nas: Nas, command: str) -> None:
    assert_one_error(nas(command, "nowhere"), "nowhere")
    Path("empty").mkdir()
    assert_one_error(nas(command, "empty"), "empty")
    Path("file").write_text("text")
    assert_one_error(nas(command, "file"), "file")


@pytest.mark.parametrize("command", ["resume", "status", "best", "report", "draw", "train"])
def test_a_damaged_store(nas: Nas, command: str) -> None:
    nas(*search())
    for path in Path("run").glob("study.db*"):
        path.write_bytes(b"this is no database, and long enough not to be taken for an empty one" * 20)
    before = files_of(Path("run"))
    assert_one_error(nas(command, "run"), "study.db")
    assert files_of(Path("run")) == before


def test_fewer_trials_than_there_are(nas: Nas) -> None:
    nas(*search())
    before = nas("best", "run", "--number", "9", "--json").json
    assert_one_error(nas("resume", "run", "--trials", "0"), "at least one trial: 0")
    assert nas("best", "run", "--number", "9", "--json").json == before


@pytest.mark.slow
def test_a_second_driver(nas: Nas) -> None:
    held = ["--space", "toy", "--evaluator", "fake:hold=go", "--objective", "max:val_accuracy"]
    process = in_process("search", *held, "--trials", "2", "--out", "run")
    wait_for(lambda: running(nas, "run") == 1)
    assert_one_error(nas("resume", "run"), "run")
    Path("go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert nas("status", "run", "--json").json["trials"]["completed"] == 2


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["draw", "run", "--trial", "99"], "99.*--trial.*0 to 4"),
        (["draw", "run", "--out", "cell.gif"], "cell.gif"),
        (["draw", "tooy", "text"], "'tooy'"),
        (["draw", "toy"], "'toy'.*--sample"),
        (["draw", "run", "--seed", "1"], "--seed.*1"),
        (["draw", "toy", "text", "--sample"], "--sample.*'text'"),
        (["draw", "toy", "--sample", "--trial", "1"], "--trial.*1"),
        (["draw", "toy", '{"left":"conv7"}'], "conv7.*conv3"),
        (["draw", "toy", "text"], "not an architecture's text: 'text'"),
        (["draw", "continuous_toy", '{"left":"conv3","right":"conv3","depth":0,"rate":0.1}'], "continuous_toy.*graph"),
        (["best", "run", "--number", "0"], "--number"),
        (["train", "run", "--trial", "99"], "99"),
        (["list", "nothing"], "'nothing'.*spaces"),
        (["search", "extra"], "extra"),
        (["lisst"], "lisst.*list"),
    ],
    ids=words,
)
def test_other_commands_refuse(nas: Nas, arguments: Sequence[str], pattern: str) -> None:
    if arguments[0] == "draw" and not matplotlib:
        pytest.skip("pictures need matplotlib, the extra report")
    nas(*search())
    before = files_of(Path())
    assert_one_error(nas(*arguments), pattern)
    assert files_of(Path()) == before


def test_nothing_keeps_the_constraints(nas: Nas) -> None:
    run = nas(*search("run", "--constraint", "params<=1"))
    assert run.code == 0
    assert "best: none yet" in run.out
    found = json.loads(nas("status", "run", "--json").out)
    with Study.open(Path("run"), read_only=True) as study:
        least = min(study.trials(), key=lambda trial: trial.metrics["params"])
    assert found["nearest"]["trial"] == least.number
    assert f"nearest: trial {least.number}, " in run.out
    assert_one_error(nas("best", "run"), "no trial keeps the constraints yet")
