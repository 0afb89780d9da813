"""What a network is trained to and a regression is fitted to, for one target: the logit of an accuracy, or the target.

Notation
    t        target: a loss to be minimised (n)
    share    an accuracy as a share of 1: -t, or -t / 100
    z        latent target, less is better: -logit(share), -share, or t itself (n)
    u        goodness, 0 for the worst and 1 for the best (n)

BONAS's published code trains its network to accuracies through a sigmoid and fits its regression to their logits; both
are offered for targets that can be accuracies. A training set does not say what it measures, so "auto" looks: targets
from -1 to 0 are shares, others from -100 to 0 per cent, where the best is at least 1 %; all others are taken as they
are, and the network is trained to them standardised. A logit is taken of shares cut to [1e-4, 1 - 1e-4], so that
accuracies of 0 and 1, infinite in the published code, are as far out as one error in ten thousand. The paper's text has
no logit: "share" is "auto" with the shares themselves for the regression.

"regret" is no part of the paper: z is the log of the regret, standardised (`nas_surrogates.warp`), for any target. It
tells the best apart where a logit sees little between 91.5 and 91.6 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidData, InvalidOption
from nas_surrogates.warp import Warp

FloatArray: TypeAlias = NDArray[np.float64]

KINDS: Final = ("auto", "logit", "share", "standard", "regret")
EDGE: Final = 1e-4
"""Least distance of a share from 0 and 1."""
_LEAST_BEST = 0.01


@final
@dataclass(frozen=True)
class TargetScale:
    """The scale of one target; made by `TargetScale.of`.

    Args:
        whole: 1 or 100 where targets are negative accuracies, in shares or per cent; 0 for any other target.
        centre: mean of the targets, for the network.
        spread: their standard deviation, 1 where they do not vary.
        best: least target.
        worst: greatest target.
        warp: the log of the regret, where that is z.
        curved: whether z is the logit of a share, and not the share.
    """

    whole: float
    centre: float
    spread: float
    best: float
    worst: float
    warp: Warp | None = None
    curved: bool = True

    @classmethod
    def of(cls, t: FloatArray, kind: str = "auto") -> TargetScale:
        """The scale of n targets.

        Raises:
            InvalidOption: a kind that is not among `KINDS`.
            InvalidData: "logit" is asked for and the targets cannot be negative accuracies.
        """
        check_kind(kind)
        low, high = float(t.min()), float(t.max())
        legal = high <= 0.0 and low >= -100.0
        if kind == "logit" and not legal:
            raise InvalidData(
                "a logit is taken of accuracies alone",
                value=(low, high),
                expected="targets from -1 to 0, or from -100 to 0 per cent: accuracies that are maximised",
            )
        whole = 1.0 if low >= -1.0 else 100.0
        if kind in ("standard", "regret") or not legal or (kind != "logit" and -low < _LEAST_BEST * whole):
            whole = 0.0
        spread = float(t.std())
        if spread <= 1e-12 * max(1.0, abs(low), abs(high)):
            spread = 1.0
        warp = Warp.fitted(t) if kind == "regret" else None
        return cls(whole, float(t.mean()), spread, low, high, warp, kind != "share")

    @property
    def bounded(self) -> bool:
        """Whether the network's output is a share, and so goes through a sigmoid."""
        return self.whole > 0.0

    def trained_to(self, t: FloatArray) -> FloatArray:
        """What the network is trained to: shares, or standardised targets or regrets (shape of `t`)."""
        if self.warp is not None:
            return self.warp.forward(t)
        return -t / self.whole if self.bounded else (t - self.centre) / self.spread

    def of_network(self, output: FloatArray) -> FloatArray:
        """Targets of what the network gives out; the inverse of `trained_to`."""
        if self.warp is not None:
            return self.warp.inverse(output)
        return -output * self.whole if self.bounded else self.centre + self.spread * output

    def goodness(self, t: FloatArray) -> FloatArray:
        """From 0 to 1: shares, or the place between the worst and the best; 1 where targets do not vary."""
        if self.bounded:
            return np.clip(-t / self.whole, 0.0, 1.0)
        if self.worst == self.best:
            return np.ones_like(t)
        if self.warp is not None:
            best, worst = self.warp.forward(np.array([self.best, self.worst]))
            return np.asarray(np.clip((worst - self.warp.forward(t)) / (worst - best), 0.0, 1.0))
        return np.clip((self.worst - t) / (self.worst - self.best), 0.0, 1.0)

    def forward(self, t: FloatArray) -> FloatArray:
        """Targets to z."""
        if self.warp is not None:
            return self.warp.forward(t)
        if not self.bounded:
            return np.asarray(t, dtype=np.float64)
        if not self.curved:
            return np.asarray(t, dtype=np.float64) / self.whole
        share = np.clip(-np.asarray(t, dtype=np.float64) / self.whole, EDGE, 1.0 - EDGE)
        return np.asarray(np.log1p(-share) - np.log(share))

    def inverse(self, z: FloatArray) -> FloatArray:
        """The targets of z."""
        if self.warp is not None:
            return self.warp.inverse(z)
        if not self.bounded:
            return np.asarray(z, dtype=np.float64)
        if not self.curved:
            return self.whole * np.asarray(z, dtype=np.float64)
        from scipy.special import expit

        return np.asarray(-self.whole * expit(-np.asarray(z)))


def check_kind(kind: object) -> str:
    """The kind of a scale.

    Raises:
        InvalidOption: there is none such.
    """
    if kind not in KINDS:
        raise InvalidOption("no such scale of targets", value=kind, expected="one of " + ", ".join(KINDS))
    return str(kind)
