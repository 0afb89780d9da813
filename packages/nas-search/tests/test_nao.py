"""NAO: the contract with the toy space, its rounds, steps and what stands in for them, presets and a golden trace."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical
from nas_core.errors import InvalidOption, MissingCapability
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.registry import make
from nas_core.space import Space
from nas_core.testing import FakeEvaluator, OptimizerContract, ToySpace
from nas_core.testing.optimizers import Run
from nas_core.trial import Failure
from nas_search.optimizers.nao import NAO, PRESETS

pytest.importorskip("nas_surrogates", reason="NAO needs nas-surrogates, the extra surrogates")

ONE = Objectives.parse(["max:val_accuracy"])
QUICK: dict[str, Any] = {"embedding": 4, "width": 8, "predictor": [], "heads": 2, "epochs": 8, "rate": 0.02}
LEARNT = {**QUICK, "width": 16, "epochs": 30, "unlabelled": 40}
OPTIONS: dict[str, Any] = {"initial": 4, "labels": 3, "seeds": 4, "children": 2, "surrogate": QUICK}


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
        {"steps": 0}, {"unit": 1}, {"children": 0}, {"random": -1}, {"random": 4}, {"surrogate": {"name": "gp"}},
        {"surrogate": {"width": 0}},
    ],
)  # fmt: skip
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        run(**options)


def test_presets_name_the_same_options() -> None:
    assert len({tuple(sorted(preset)) for preset in PRESETS.values()}) == 1
