"""The rank loss by hand, and trees."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest

from nas_core.errors import InvalidOption
from nas_core.random import rng
from nas_surrogates.rank_loss import rank_gradient, rank_loss, ranks
from nas_surrogates.trees import Trees


def test_ranks() -> None:
    assert ranks(np.array([3.0, -1.0, 3.0, 0.5])).tolist() == [0.75, 0.25, 1.0, 0.5]


def test_gradient_by_hand() -> None:
    """Scores 0 and 0.1, which should stand the other way round: ranks 1/2 and 1, wanted 1 and 1/2, so dL/dr = -1 and 1.

    With λ = 2 scores move to 2 and -1.9 and ranks to 1 and 1/2: the gradient is (1/2 - 1) / 2 and (1 - 1/2) / 2.
    With λ = 0.01 nothing changes places, and where the ranks are those wanted nothing moves.
    """
    scores, wanted = np.array([0.0, 0.1]), np.array([1.0, 0.5])
    assert rank_gradient(scores, wanted).tolist() == [-0.25, 0.25]
    assert rank_gradient(scores, wanted, 0.01).tolist() == [0.0, 0.0]
    assert rank_gradient(scores, wanted[::-1]).tolist() == [0.0, 0.0]


def test_descent_puts_scores_in_order() -> None:
    wanted = ranks(rng(1).random(12))
    scores = rng(2).standard_normal(12)
    for _ in range(300):
        scores = scores - 0.1 * rank_gradient(scores, wanted, margin=1.0)
    assert rank_loss(scores, wanted) < 0.01


@pytest.mark.parametrize("strength", [0.0, -1.0, float("nan")])
def test_a_strength_must_be_positive(strength: float) -> None:
    with pytest.raises(InvalidOption):
        rank_gradient(np.zeros(2), np.zeros(2), strength)


@pytest.mark.parametrize("loss", ["squared", "rank"])
def test_trees_learn_an_order(loss: str) -> None:
    """A sum of steps: the order is learnt whatever the loss, and predictions come a column a target."""
    pytest.importorskip("xgboost", reason="trees need the extra xgboost")
    stream = rng(0)
    features = stream.integers(0, 2, (80, 6)).astype(np.float32)
    target = 10.0 * features[:, 0] + 3.0 * features[:, 1] + features[:, 2]
    trees = Trees(loss=loss, rounds=60)
    trees.fit(features, np.stack([target, -target], axis=1))
    predicted = trees.predict(features)
    assert predicted.shape == (80, 2)
    for column, wanted in zip(predicted.T, (target, -target), strict=True):
        assert np.corrcoef(ranks(column), ranks(wanted))[0, 1] > 0.8
        assert rank_loss(column, ranks(wanted)) < rank_loss(np.zeros(80), ranks(wanted))
    again = Trees(loss=loss, rounds=60)
    again.fit(features, np.stack([target, -target], axis=1))
    assert np.array_equal(again.predict(features), predicted)


def test_without_xgboost_there_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "xgboost":
            raise ImportError(name)
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InvalidOption, match="not installed") as caught:
        Trees()
    assert "xgboost" in str(caught.value)


@pytest.mark.parametrize("wrong", [{"loss": "hinge"}, {"rounds": 0}, {"depth": 0}])
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        Trees(**wrong)


def test_what_was_not_fitted_predicts_nothing() -> None:
    pytest.importorskip("xgboost", reason="trees need the extra xgboost")
    with pytest.raises(InvalidOption, match="not been fitted"):
        Trees().predict(np.zeros((1, 2)))
