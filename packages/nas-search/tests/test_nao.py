"""NAO: the contract with the toy space, its rounds, steps and what stands in for them, groups on a bank of weights,
presets and a golden trace.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical
from nas_core.errors import Exhausted, InvalidOption, MissingCapability, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.registry import make
from nas_core.space import Space
from nas_core.testing import FakeEvaluator, OptimizerContract, ToySpace
from nas_core.testing.groups import FakeGroupEvaluator
from nas_core.testing.optimizers import Run
from nas_core.trial import Failure, Measurement, Status, Trial, units_of
from nas_search.config import StudyConfig
from nas_search.optimizers.nao import NAO, PRESETS
from nas_search.study import Study

pytest.importorskip("nas_surrogates", reason="NAO needs nas-surrogates, the extra surrogates")

ONE = Objectives.parse(["max:val_accuracy"])
QUICK: dict[str, Any] = {"embedding": 4, "width": 8, "predictor": [], "heads": 2, "epochs": 8, "rate": 0.02}
LEARNT = {**QUICK, "width": 16, "epochs": 30, "unlabelled": 40}
OPTIONS: dict[str, Any] = {"initial": 4, "labels": 3, "seeds": 4, "children": 2, "surrogate": QUICK}
GROUPS = {**OPTIONS, "initial": 8, "group": 6, "labels": 4, "random": 1, "children": 0, "continued": True}


class TestContract(OptimizerContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_search.optimizers.nao:NAO"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {**OPTIONS, "random": 1}

    @pytest.fixture
    def trials(self) -> int:
        return 12


class TestContractOfGroups(OptimizerContract):
    """Groups keep members, so they come again, and go on with what they keep where nothing new is left."""

    @pytest.fixture
    def factory(self) -> str:
        return "nas_search.optimizers.nao:NAO"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {**GROUPS, "surrogate": {**QUICK, "epochs": 2}}

    @pytest.fixture
    def trials(self) -> int:
        return 18

    @pytest.fixture
    def repeats(self) -> bool:
        return True

    @pytest.fixture
    def exhausts(self) -> bool:
        return False


def run(seed: int = 0, objectives: Objectives = ONE, space: Space | None = None, **options: Any) -> Run:
    space = ToySpace() if space is None else space
    return Run(NAO(space, objectives, seed, **{**OPTIONS, **options}), space, objectives)


def told(one: Run) -> list[str]:
    return [trial.proposal.info["by"] for trial in one.history]


def test_it_is_registered_with_the_constants_of_the_paper() -> None:
    config = make("optimizer", "nao", ToySpace(), ONE, 0, preset="cnn").to_config()
    wanted = {"initial": 600, "labels": 200, "seeds": 200, "step": 10.0, "unit": False, "children": 1, "random": 0}
    assert {key: config[key] for key in wanted} == wanted
    networks: dict[str, Any] = {"embedding": 32, "width": 96, "balance": 0.9, "epochs": 1000, "rate": 1e-3, "heads": 1}
    assert {key: config["surrogate"][key] for key in networks} == networks
    config = make("optimizer", "nao", ToySpace(), ONE, 0, preset="rnn").to_config()
    networks = {"embedding": 64, "width": 128, "balance": 0.8, "predictor": [200]}
    assert {key: config["surrogate"][key] for key in networks} == networks


def test_importing_it_loads_no_torch() -> None:
    code = "import nas_search.optimizers.nao, sys; sys.exit(bool({'torch', 'nas_surrogates'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_begins_at_random_and_goes_on_in_rounds() -> None:
    one = run(random=1)
    one.rounds(13, 1)
    infos = [trial.proposal.info for trial in one.history]
    assert told(one)[:4] == ["chance"] * 4
    assert [(info.get("round"), info.get("labels")) for info in infos[4:]] == [(4, 4)] * 3 + [(7, 7)] * 3 + [
        (10, 10)
    ] * 3
    assert {info["by"] for info in infos[4:]} <= {"step", "mutation", "chance"}
    assert "step" in told(one)
    assert all(told(one)[end] == "chance" for end in (6, 9, 12))  # the random member of each round comes last


def test_a_round_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one = run()
    fitted: list[int] = []
    surrogate = one.optimizer.surrogate  # type: ignore[attr-defined]
    fit = surrogate.fit

    def counted(data: Any, stream: Any) -> Any:
        fitted.append(int(data.counts.sum()))
        return fit(data, stream)

    monkeypatch.setattr(surrogate, "fit", counted)
    one.rounds(12, 1)
    assert fitted == [4, 7, 10]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_kept_round_equals_a_new_one(n: int) -> None:
    """Every proposal is that of an optimizer that has only just been made, though calls end within rounds."""
    one = run(random=1)
    while len(one.history) < 14:
        expected = NAO(one.space, ONE, 0, **{**OPTIONS, "random": 1}).propose(one.history, n)
        assert one.propose(n) == expected
        one.finish_all()


def test_a_history_of_another_study_is_read_anew() -> None:
    one, other = run(), run(seed=1)
    one.rounds(6, 1)
    other.rounds(6, 1)
    fresh = NAO(one.space, ONE, 0, **OPTIONS).propose(other.history, 1)
    assert one.optimizer.propose(other.history, 1) == fresh


def test_what_runs_is_not_proposed_and_a_round_learns_from_what_has_finished() -> None:
    one = run()
    one.propose(4)
    for number in (0, 1, 2):
        one.finish(number)
    proposals = one.propose(5)
    assert [proposal.info["labels"] for proposal in proposals] == [3] * 5
    assert [proposal.info["round"] for proposal in proposals] == [4, 4, 4, 7, 7]
    kinds = [one.space.twin_key(trial.architecture) for trial in one.history]  # type: ignore[attr-defined]
    assert len(set(kinds)) == 9


def test_while_few_labels_are_known_it_draws_at_random() -> None:
    one = run(initial=4)
    assert {proposal.info["by"] for proposal in one.propose(6)} == {"chance"}
    one.finish(0)
    assert one.propose(1)[0].info["by"] == "chance"
    one.finish(1)
    assert one.propose(1)[0].info["by"] != "chance"


def test_nothing_is_fitted_while_everything_fails() -> None:
    one = run(initial=2)
    one.fails = lambda number: True
    one.rounds(6, 1)
    assert set(told(one)) == {"chance"}
    assert one.optimizer.posterior is None  # type: ignore[attr-defined]


def test_a_member_that_failed_counts_as_the_worst() -> None:
    one = run()
    one.rounds(4, 1)
    one.propose(3)
    one.history.finish(4, Failure("diverged", "NaN"))
    one.finish_all()
    one.propose(1)
    scale = one.optimizer._fitted.posterior.scales[0]  # type: ignore[attr-defined]
    assert scale.targets.max() == -one.history.values[[0, 1, 2, 3, 5, 6]].min()
    assert scale.scores[-1] == pytest.approx(1 / 12)  # two of seven rows share the last place: ranks 5 and 6


# --- steps ---


class Stubborn:
    """Stands for a fitted autoencoder whose decoder gives back the seed whatever the step."""

    def __init__(self, posterior: Any) -> None:
        self._posterior = posterior
        self.steps: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._posterior, name)

    def moved(self, latent: Any, direction: Any, by: float) -> Any:
        self.steps.append(by)
        return latent

    def decode(self, latent: Any) -> list[Architecture]:
        return [self.seed] * len(latent)

    seed: Architecture


def test_a_decoder_that_returns_its_seed_leads_to_mutations(monkeypatch: pytest.MonkeyPatch) -> None:
    one = run(step=2.0, steps=4, labels=4)
    one.rounds(4, 1)
    fit, made = one.optimizer.surrogate.fit, []  # type: ignore[attr-defined]

    def stubborn(data: Any, stream: Any) -> Stubborn:
        made.append(Stubborn(fit(data, stream)))
        made[-1].seed = one.history[0].architecture
        return made[-1]

    monkeypatch.setattr(one.optimizer.surrogate, "fit", stubborn)  # type: ignore[attr-defined]
    one.rounds(8, 1)
    assert told(one)[4:] == ["mutation"] * 4
    assert made[0].steps == [2.0, 3.0, 4.0, 5.0]  # footnote 4: by half of the first step
    for trial in list(one.history)[4:]:
        seed = one.space.parse(trial.proposal.info["seed"])
        assert seed in [earlier.architecture for earlier in list(one.history)[:4]]


def test_steps_grow_until_what_is_decoded_is_new() -> None:
    one = run(seed=3, children=1, seeds=3, surrogate=LEARNT)
    one.rounds(7, 1)
    optimizer: Any = one.optimizer
    posterior = optimizer.posterior
    order = np.argsort(-one.history.values[:4, 0], kind="stable")[:3].tolist()
    seeds = [one.history[i].architecture for i in order]
    aim = optimizer._aim(3, rng(3, "weights", 4))
    key: Any = optimizer._seen.key
    known = {key(trial.architecture) for trial in list(one.history)[:4]}
    stepped = [trial for trial in list(one.history)[4:] if trial.proposal.info["by"] == "step"]
    assert stepped
    for trial in stepped:
        row = seeds.index(one.space.parse(trial.proposal.info["seed"]))
        latent = posterior.encode([seeds[row]])
        direction = posterior.direction(latent, aim.rows([row]), True)
        taken = trial.proposal.info["steps"]
        met = [posterior.decode(posterior.moved(latent, direction, 0.5 + 0.25 * step))[0] for step in range(taken)]
        assert met[-1] == trial.architecture
        taken_by_others = known | {key(other.architecture) for other in stepped if other is not trial}
        assert all(key(a) in taken_by_others for a in met[:-1])


def test_it_finds_good_members_sooner_than_chance() -> None:
    """Over 6 seeds, the mean of ten labels by steps against that of ten at random.

    Members have a standard deviation of 6.3, so that the difference of two means of 60 at random has one of 1.15 and
    exceeds 2.5 with odds of 1 in 70.
    """
    first, later = [], []
    for seed in range(6):
        one = run(seed=seed, initial=10, labels=5, seeds=5, surrogate={**QUICK, "epochs": 60})
        one.rounds(20, 5)
        first.append(one.history.values[:10].mean())
        later.append(one.history.values[10:].mean())
    assert np.mean(later) > np.mean(first) + 2.5


def test_objectives_may_be_minimised() -> None:
    one = run(objectives=Objectives.parse(["min:params"]), initial=10, labels=5, surrogate={**QUICK, "epochs": 60})
    one.rounds(20, 5)
    assert one.history.values[10:].mean() < one.history.values[:10].mean()


def test_limits_stand_in_the_gradient_step() -> None:
    both = Objectives.parse(["max:val_accuracy"], ["params<=1500", "val_accuracy>=50"])
    aim = run(objectives=both).optimizer._aim(2, rng(0))  # type: ignore[attr-defined]
    assert aim.weights.tolist() == [[1.0, 0.0], [1.0, 0.0]]
    assert [(limit.column, limit.bound, limit.at_most) for limit in aim.limits] == [(1, 1500.0, True), (0, -50.0, True)]
    lower = run(objectives=Objectives.parse(["min:params"], ["params>=10"])).optimizer._aim(1, rng(0))  # type: ignore[attr-defined]
    assert [(limit.column, limit.bound, limit.at_most) for limit in lower.limits] == [(0, 10.0, False)]


def test_a_limit_is_kept_more_often_than_by_chance() -> None:
    """Of 80 members about a fifth keeps the limit; ten steps of each of 6 seeds."""
    bounded = Objectives.parse(["max:val_accuracy"], ["params<=2500"])
    shares = []
    for seed in range(6):
        one = run(seed=seed, objectives=bounded, initial=12, labels=5, seeds=5, surrogate={**QUICK, "epochs": 60})
        one.rounds(22, 5)
        kept = bounded.feasible(one.history.values)
        shares.append((kept[:12].mean(), kept[12:].mean()))
    chance, steps = np.mean(shares, axis=0)
    assert steps > chance


def test_several_objectives_are_weighed_anew_for_each_seed() -> None:
    several = Objectives.parse(["max:val_accuracy", "min:params"])
    weights = run(objectives=several).optimizer._aim(50, rng(0)).weights  # type: ignore[attr-defined]
    assert weights.shape == (50, 2)
    assert np.allclose(weights.sum(axis=1), 1.0)
    assert weights.std() > 0.1


def test_constant_scores_are_defined() -> None:
    one = run(initial=4)
    one.evaluator = FakeEvaluator(constant=True)
    one.rounds(10, 1)
    assert len(one.history) == 10


def test_golden_trace() -> None:
    one = run(seed=3, surrogate=LEARNT)
    one.rounds(10, 1)
    proposed = [trial.architecture.values for trial in one.history]
    assert [" ".join(str(value) for value in values if value is not None) for values in proposed] == GOLDEN


GOLDEN = [
    "skip skip 1 relu",
    "pool conv1 0",
    "pool skip 0",
    "pool pool 2 relu",
    "conv3 skip 2 tanh",
    "conv3 skip 0",
    "conv3 conv3 0",
    "skip pool 2 relu",
    "skip skip 2 tanh",
    "skip skip 1 tanh",
]


# --- groups on a bank of weights ---


def grouped(groups: int, seed: int = 0, evaluator: FakeGroupEvaluator | None = None, **options: Any) -> Run:
    """So many groups, evaluated on one bank."""
    one = Run(NAO(ToySpace(), ONE, seed, **{**GROUPS, **options}), ToySpace(), ONE)
    evaluate, state = evaluator or FakeGroupEvaluator(), None
    for _ in range(groups):
        asked = one.propose(1)
        try:
            results, state = evaluate.evaluate_group([Evaluation(one.space, p.architecture) for p in asked], state)
        except TrialFailed as error:
            results = [Failure(error.reason, str(error))] * len(asked)
        for trial, result in zip(one.history.running, results, strict=True):
            one.history.finish(trial.number, result)
    return one


def units(one: Run) -> list[list[Trial]]:
    return [list(unit) for unit in units_of(list(one.history))]


def values_of(unit: list[Trial]) -> list[float]:
    return [trial.metrics["val_accuracy"] for trial in unit]


def test_a_study_of_groups_needs_an_evaluator_that_can(tmp_path: Path) -> None:
    settings = {
        "space": "nas_core.testing.fakes:ToySpace",
        "optimizer": {"name": "nao", "group": 9, "labels": 2, "random": 0},
        "evaluator": "nas_core.testing.fakes:FakeEvaluator",
        "objectives": ["max:val_accuracy"],
    }
    with pytest.raises(InvalidOption, match=r"shares no weights.*group of the optimizer"):
        Study.create(tmp_path / "a", StudyConfig.from_mapping(settings))
    assert not (tmp_path / "a").exists()


def test_presets_of_groups_have_the_constants_of_the_published_code() -> None:
    for preset, predictor in (("shared_cnn", [100] * 3), ("shared_rnn", [200] * 4)):
        config = make("optimizer", "nao", ToySpace(), ONE, 0, preset=preset).to_config()
        wanted = {"initial": 1000, "group": 1000, "labels": 550, "random": 50, "seeds": 100, "continued": True}
        assert {key: config[key] for key in wanted} == wanted
        networks = {"embedding": 48, "width": 96, "at_once": 2, "balance": 0.8, "batch": 100, "predictor": predictor}
        assert {key: config["surrogate"][key] for key in networks} == networks


def test_a_group_keeps_the_best_of_the_last_and_adds_new_members() -> None:
    first, second, third = units(grouped(3))
    assert [trial.proposal.info["by"] for trial in first] == ["chance"] * 8
    for before, unit in ((first, second), (second, third)):
        assert {trial.proposal.group for trial in unit} == {f"group {unit[0].number}"}
        assert {trial.proposal.info["round"] for trial in unit} == {unit[0].number}
        told = [trial.proposal.info["by"] for trial in unit]
        assert told[:2] == ["kept", "kept"]
        assert set(told[2:5]) <= {"step", "mutation"}
        assert told[5] == "chance"
        best = sorted(before, key=lambda trial: -trial.metrics["val_accuracy"])[:2]
        assert [trial.architecture for trial in unit[:2]] == [trial.architecture for trial in best]
    kinds = [ToySpace().twin_key(trial.architecture) for unit in (first, second[2:], third[2:]) for trial in unit]
    assert len(set(kinds)) == 8 + 4 + 4  # what is new has never been in a group


def test_the_next_group_waits_for_the_last() -> None:
    one = grouped(1)
    assert len(one.propose(2)) == 6  # one group, however many are asked for
    while one.history.running:
        assert one.optimizer.propose(one.history, 2) == []
        one.finish(one.history.running[0].number)
    assert len(one.propose(1)) == 6


def test_what_older_groups_measured_has_gone_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fit learns from the newest group, each member with its newest value; so do the choices of what is kept."""
    one = grouped(1)
    for worth in (-100.0, -200.0):  # every group is worse than all before it
        asked = one.propose(1)
        for i, trial in enumerate(list(one.history.running)):
            one.history.finish(trial.number, Measurement({"val_accuracy": worth - i}))
    fitted = []
    surrogate = one.optimizer.surrogate  # type: ignore[attr-defined]
    fit = surrogate.fit

    def kept(data: Any, *rest: Any) -> Any:
        fitted.append(dict(zip(data.architectures, data.targets[:, 0], strict=True)))
        return fit(data, *rest)

    monkeypatch.setattr(surrogate, "fit", kept)
    following = one.propose(1)
    assert fitted == [{proposal.architecture: 200.0 + i for i, proposal in enumerate(asked)}]
    assert [p.architecture for p in following[:2]] == [p.architecture for p in asked[:2]]


@pytest.mark.parametrize("continued", [True, False])
def test_a_fit_goes_on_from_the_one_before(continued: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """And an optimizer that has only just been made goes through the same chain."""
    one = grouped(3, continued=continued)
    alive = one.optimizer.propose(one.history, 1)
    fresh = NAO(one.space, ONE, 0, **{**GROUPS, "continued": continued})
    starts, posteriors = [], []
    fit = fresh.surrogate.fit

    def counted(data: Any, stream: Any, start: Any = None) -> Any:
        starts.append(start)
        posteriors.append(fit(data, stream, start))
        return posteriors[-1]

    monkeypatch.setattr(fresh.surrogate, "fit", counted)
    assert fresh.propose(one.history, 1) == alive
    assert starts == ([None, *posteriors[:-1]] if continued else [None])
    assert len(starts) == (3 if continued else 1)
    assert fresh.posterior is posteriors[-1]
    assert fresh.propose(one.history, 1) == alive
    assert len(starts) == (3 if continued else 1)  # what is known is not fitted again


def test_groups_of_another_study_are_read_anew() -> None:
    one, other = grouped(2), grouped(2, seed=1)
    one.optimizer.propose(one.history, 1)
    fresh = NAO(one.space, ONE, 0, **GROUPS)
    assert one.optimizer.propose(other.history, 1) == fresh.propose(other.history, 1)


def test_a_group_that_failed_whole_is_passed_over() -> None:
    first, second, third = units(grouped(3, evaluator=FakeGroupEvaluator(fail_after=1)))
    best = sorted(first, key=lambda trial: -trial.metrics["val_accuracy"])[:2]
    assert [t.architecture for t in second[:2]] == [t.architecture for t in third[:2]] == [t.architecture for t in best]
    assert not {t.architecture for t in second[2:]} & {t.architecture for t in third[2:]}
    alone = units(grouped(2, evaluator=FakeGroupEvaluator(fail_after=0)))
    assert [[trial.proposal.info["by"] for trial in unit] for unit in alone] == [["chance"] * 8] * 2


def test_members_that_failed_are_not_kept() -> None:
    one = grouped(4, evaluator=FakeGroupEvaluator(fail_on={"left": ["pool", "conv3", "skip"]}))
    for before, unit in zip(units(one)[:-1], units(one)[1:], strict=True):
        lived = [trial for trial in before if trial.status is Status.COMPLETED]
        kept = [trial for trial in unit if trial.proposal.info["by"] == "kept"]
        assert len(kept) == min(2, len(lived))
        assert {trial.architecture for trial in kept} <= {trial.architecture for trial in lived}
        assert len(unit) == 6
    assert any(trial.status is Status.FAILED for trial in one.history)


def test_without_a_number_of_children_steps_end_when_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six seeds, each decoded to a new member at every step: for 3 that are wanted one step is enough, for 8 two."""
    for labels, steps in ((4, [0.5]), (9, [0.5, 0.75])):
        one = grouped(1, initial=6, group=labels + 2, labels=labels, seeds=6)
        fit, made = one.optimizer.surrogate.fit, []  # type: ignore[attr-defined]

        def fertile(data: Any, *rest: Any, one: Run = one, fit: Any = fit, made: list[Any] = made) -> Stubborn:
            known = {one.space.twin_key(trial.architecture) for trial in one.history}  # type: ignore[attr-defined]
            found = {one.space.twin_key(a): a for a in one.space.enumerate()}  # type: ignore[attr-defined]
            fresh = iter([a for kind, a in found.items() if kind not in known])
            made.append(Stubborn(fit(data, *rest)))
            made[-1].decode = lambda latent: [next(fresh) for _ in range(len(latent))]
            return made[-1]

        monkeypatch.setattr(one.optimizer.surrogate, "fit", fertile)  # type: ignore[attr-defined]
        told = [proposal.info["by"] for proposal in one.propose(1)]
        assert made[0].steps == steps
        assert told == ["kept"] * 2 + ["step"] * (labels - 1) + ["chance"]


def test_a_decoder_that_returns_its_seed_leads_to_mutations_in_groups_too(monkeypatch: pytest.MonkeyPatch) -> None:
    one = grouped(1, steps=3, seeds=2)
    fit = one.optimizer.surrogate.fit  # type: ignore[attr-defined]

    def stubborn(data: Any, *rest: Any) -> Stubborn:
        made = Stubborn(fit(data, *rest))
        made.seed = data.architectures[0]
        return made

    monkeypatch.setattr(one.optimizer.surrogate, "fit", stubborn)  # type: ignore[attr-defined]
    told = [proposal.info["by"] for proposal in one.propose(1)]
    assert told == ["kept", "kept", "mutation", "mutation", "chance", "chance"]


def test_constant_scores_of_a_group_are_defined() -> None:
    one = grouped(1)
    for _ in range(2):
        one.propose(1)
        for trial in list(one.history.running):
            one.history.finish(trial.number, Measurement({"val_accuracy": 50.0}))
    assert [len(unit) for unit in units(one)] == [8, 6, 6]
    assert [trial.proposal.info["by"] for trial in units(one)[-1][:2]] == ["kept", "kept"]


def test_a_space_that_is_used_up_goes_on_with_what_is_kept() -> None:
    space = ToySpace(operations=2, deepest=1)  # 12 members in 9 classes of twins
    for labels, last in ((4, 2), (6, None)):
        one = Run(NAO(space, ONE, 0, **{**GROUPS, "initial": 6, "labels": labels}), space, ONE)
        sizes = []
        try:
            for _ in range(4):
                sizes.append(len(one.propose(1)))
                one.finish_all()
        except Exhausted:
            sizes.append(0)
        assert sizes[:2] == [6, 2 + 3 if labels == 4 else 3]
        assert sizes[2:] == ([last] * 2 if last else [0])


def test_a_study_of_groups_that_was_stopped_ends_as_one_that_ran_through(tmp_path: Path) -> None:
    config = StudyConfig.from_mapping(
        {
            "space": "nas_core.testing.fakes:ToySpace",
            "optimizer": {"name": "nao", **GROUPS},
            "evaluator": {"name": "nas_core.testing.groups:FakeGroupEvaluator"},
            "objectives": ["max:val_accuracy"],
            "trials": 26,
        }
    )
    found = []
    for name, stops in (("whole", [26]), ("stopped", [8, 9, 15, 26])):
        Study.create(tmp_path / name, config).close()
        for finished in stops:
            with Study.open(tmp_path / name) as study:
                study.run(finished)
        with Study.open(tmp_path / name, read_only=True) as study:
            trials = [(trial.proposal, trial.metrics) for trial in study.trials()]
            found.append((trials, study.store.evaluator_state()))
    assert found[0] == found[1]
    assert [len(unit) for unit in units_of([proposal for proposal, _ in found[0][0]])] == [8, 6, 6, 6]


def test_golden_trace_of_groups() -> None:
    proposed = [trial.architecture.values for trial in units(grouped(2, seed=3, surrogate=LEARNT))[1]]
    assert [" ".join(str(value) for value in values if value is not None) for values in proposed] == GOLDEN_GROUP


GOLDEN_GROUP = [
    "conv1 pool 2 tanh",
    "skip skip 1 relu",
    "skip conv3 1 tanh",
    "skip skip 2 tanh",
    "skip conv1 1 tanh",
    "conv3 pool 1 relu",
]


# --- bad input ---


class Plain(Space):
    name = "plain"
    decisions = (Categorical("a", ("x", "y")),)

    def to_config(self) -> dict[str, Any]:
        return {"name": self.name}


def test_a_space_without_tokens_is_refused() -> None:
    with pytest.raises(MissingCapability, match="tokens"):
        NAO(Plain(), ONE, 0)


@pytest.mark.parametrize(
    "options",
    [
        {"preset": "paper"}, {"initial": 0}, {"labels": 0}, {"seeds": 0}, {"step": 0.0}, {"step": float("inf")},
        {"steps": 0}, {"unit": 1}, {"children": -1}, {"random": -1}, {"random": 4}, {"surrogate": {"name": "gp"}},
        {"surrogate": {"width": 0}}, {"continued": 1}, {"group": 0}, {"group": True}, {"group": 2},
    ],
)  # fmt: skip
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        run(**options)


def test_presets_name_the_same_options() -> None:
    assert len({tuple(sorted(preset)) for preset in PRESETS.values()}) == 1
