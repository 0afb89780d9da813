"""A loss of ranks by differentiation of a black box (Rolinek et al. 2020; AG-Net, section 3, "XGBoost with ranking").

Ranking is a black box whose derivative is zero wherever it exists. Its result is the solution of a linear programme in
the scores, so that the interpolation of Vlastelica et al. 2020 gives a useful derivative for the cost of ranking twice:
if L is a loss of the ranks r(s),

    dL/ds  =  (r(s) - r(s - λ dL/dr)) / λ

Ranks are ascending (the library's descend, which turns the sign of λ) and divided by n, as there. The code of AG-Net
takes twenty such steps on scores that hang together with nothing; here the derivative is what gradient boosting fits
(`nas_surrogates.trees`).

Notation
    n  scores
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidOption

FloatArray: TypeAlias = NDArray[np.float64]

STRENGTH = 2.0
"""λ of the published code."""


def ranks(scores: FloatArray) -> FloatArray:
    """Ascending ranks in (0, 1] (n); equal scores keep their order."""
    result = np.empty(len(scores))
    result[np.argsort(scores, kind="stable")] = np.arange(1, len(scores) + 1) / max(len(scores), 1)
    return result


def rank_loss(scores: FloatArray, wanted: FloatArray) -> float:
    """Mean squared difference between the ranks of scores and wanted ranks."""
    return float(np.mean((ranks(scores) - wanted) ** 2))


def rank_gradient(
    scores: FloatArray, wanted: FloatArray, strength: float = STRENGTH, margin: float = 0.0
) -> FloatArray:
    """The derivative of the sum of squared differences of ranks by the scores (n).

    Args:
        scores: n.
        wanted: ranks as `ranks` gives them (n).
        strength: λ, how far the interpolation reaches.
        margin: by how much the best must exceed the worst. Without one descent ends where scores are next to equal, and
            what then decides between them is chance; the ranks are those of scores less the margin times `wanted`.

    Raises:
        InvalidOption: λ is not positive.
    """
    if not strength > 0.0:
        raise InvalidOption("the strength of a rank loss must be positive", value=strength)
    shifted = scores - margin * wanted
    now = ranks(shifted)
    return (now - ranks(shifted - strength * 2.0 * (now - wanted))) / strength
