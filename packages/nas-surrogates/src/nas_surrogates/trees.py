"""Gradient-boosted trees on features of architectures, fitted to values or to ranks (AG-Net, section 3, "XGB").

Settings of the published code: 500 rounds, depth 6, rate 0.3. Unlike there, trees are grown from nothing on all labels
at every fit, and with `loss="rank"` the rank loss is what they are grown to reduce (`nas_surrogates.rank_loss`); then
what they predict says which is better and not by how much.

Notation
    n  architectures     d  features     m  targets
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidOption
from nas_surrogates.network_training import whole
from nas_surrogates.rank_loss import STRENGTH, rank_gradient, ranks

FloatArray: TypeAlias = NDArray[np.float64]

LOSSES: Final = ("squared", "rank")
_MARGIN: Final = 1.0


@final
class Trees:
    """One ensemble of trees a target.

    Args:
        loss: "squared" or "rank".
        rounds: trees of an ensemble.
        depth: of a tree.
        rate: what a tree adds.
        strength: λ of the rank loss.

    Raises:
        InvalidOption: no such loss, a number out of range, or XGBoost is not installed.
    """

    def __init__(
        self,
        *,
        loss: str = "squared",
        rounds: int = 500,
        depth: int = 6,
        rate: float = 0.3,
        strength: float = STRENGTH,
    ) -> None:
        if loss not in LOSSES:
            raise InvalidOption("no such loss of trees", value=loss, expected="one of " + ", ".join(LOSSES))
        self.loss, self.rounds, self.depth = loss, whole("rounds", rounds), whole("depth", depth)
        self.rate, self.strength = rate, strength
        self._library = _xgboost()
        self._boosters: list[Any] = []

    def fit(self, features: NDArray[np.floating], targets: FloatArray) -> None:
        """Grow anew on n x d features and n x m targets."""
        own = {"max_depth": self.depth, "eta": self.rate, "nthread": 1, "seed": 0, "verbosity": 0, "base_score": 0.0}
        self._boosters = []
        for column in targets.T:
            wanted = ranks(column)
            data = self._library.DMatrix(features, label=column)

            def derivative(scores: FloatArray, data: Any, wanted: FloatArray = wanted) -> tuple[FloatArray, FloatArray]:
                flat = np.asarray(scores, dtype=np.float64).reshape(-1)
                return rank_gradient(flat, wanted, self.strength, _MARGIN), np.ones(len(flat))

            objective = derivative if self.loss == "rank" else None
            self._boosters.append(self._library.train(own, data, self.rounds, obj=objective))

    def predict(self, features: NDArray[np.floating]) -> FloatArray:
        """What was fitted at n x d features (n x m).

        Raises:
            InvalidOption: nothing was fitted.
        """
        if not self._boosters:
            raise InvalidOption("these trees have not been fitted")
        data = self._library.DMatrix(features)
        return np.stack([own.predict(data, output_margin=True) for own in self._boosters], axis=1).astype(np.float64)


def _xgboost() -> Any:
    """The library.

    Raises:
        InvalidOption: it is not installed.
    """
    try:
        import xgboost
    except ImportError:
        raise InvalidOption(
            "gradient-boosted trees need XGBoost, which is not installed",
            remedy="Install nas-surrogates with the extra xgboost.",
        ) from None
    return xgboost
