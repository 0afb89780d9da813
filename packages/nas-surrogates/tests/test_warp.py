"""The warp against its definition and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from nas_surrogates.warp import QUANTILES, Warp

Y = np.array([3.0, 3.5, 4.0, 9.0, 50.0, 3.2])
KINDS = [*QUANTILES, None]


@pytest.mark.parametrize("quantile", KINDS)
def test_it_is_undone_and_standard(quantile: float | None) -> None:
    warp = Warp.fitted(Y, quantile)
    z = warp.forward(Y)
    assert_allclose([z.mean(), z.std()], [0.0, 1.0], atol=1e-12)
    assert_allclose(warp.inverse(z), Y)
    assert warp.again(2.0 * Y) == Warp.fitted(2.0 * Y, quantile)


@pytest.mark.parametrize("quantile", KINDS)
def test_the_slope_is_that_of_finite_differences(quantile: float | None) -> None:
    warp = Warp.fitted(Y, quantile)
    at = np.array([3.1, 7.0, 40.0])
    numerical = (warp.forward(at + 1e-6) - warp.forward(at - 1e-6)) / 2e-6
    assert_allclose(np.exp(warp.log_slope(at)), numerical, rtol=1e-6)


@pytest.mark.parametrize("y", [[5.0], [5.0, 5.0, 5.0]])
def test_observations_that_are_all_the_same(y: list[float]) -> None:
    warp = Warp.fitted(np.array(y))
    assert not warp.log
    assert_allclose(warp.inverse(warp.forward(np.array(y))), y)
    assert warp.again(Y) == Warp.fitted(Y)
