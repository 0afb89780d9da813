"""How good the Bayesian neural network is where the truth is known.

    python benchmarks/bnn.py [--seeds 10]

Linear: 30 observations of a linear function of three features with noise; the largest error of the mean, in posterior
deviations, and of the deviation, as a share, over 50 queries, against Bayesian linear regression with the sampled noise
variance. Noise: 200 observations of sin(2x) on [-3, 3] whose noise grows from 0.05 to 0.4; correlation of the noise
estimate with the truth, coverage of 90 % intervals on 2,000 held-out observations, and the root mean square error of
the mean in units of the targets' deviation. Time: CPU seconds of a fit on 50 members of HNAG's 8 decisions at one
thread. All but the first with the surrogate's defaults.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import record
import torch

from nas_core.random import rng
from nas_core.training_set import TrainingSet
from nas_spaces.hnag import HNAG
from nas_surrogates.bnn import BayesianNeuralNetwork

SPACE = HNAG()


def linear(seed: int) -> dict[str, float]:
    """Against the closed form."""
    stream = rng(seed, "linear")
    x, queries = stream.normal(size=(30, 3)), 1.5 * stream.normal(size=(50, 3))
    y = (x @ np.array([1.0, -0.5, 0.2]) + 0.3 * stream.normal(size=30))[:, None]
    model = BayesianNeuralNetwork(
        SPACE, heteroscedastic=False, layers=(), prior_std=1.0, chains=32, samples=60, epsilon=0.1
    )
    posterior = model.fit_rows(x, y, np.ones(30, dtype=np.int64), rng(seed, "fit"))
    found, noise = posterior.predict_rows(queries), float(np.exp(posterior.samples[0][:, -1].numpy()).mean())
    scale, centre = y.std(), y.mean()
    design, at = (np.c_[(rows - x.mean(0)) / x.std(0), np.ones(len(rows))] for rows in (x, queries))
    covariance = np.linalg.inv(design.T @ design / noise + np.diag([3.0, 3.0, 3.0, 1.0]))  # prior: variance s² / inputs
    mean = at @ covariance @ design.T @ (y[:, 0] - centre) / scale / noise * scale + centre
    std = np.sqrt(np.einsum("ij,jk,ik->i", at, covariance, at)) * scale
    return {
        "mean_error": float((np.abs(found.mean[:, 0] - mean) / std).max()),
        "std_error": float(np.abs(found.std[:, 0] / std - 1).max()),
    }


def true_noise(x: np.ndarray) -> np.ndarray:
    """From 0.05 to 0.4."""
    return 0.05 + 0.35 / (1 + np.exp(-2 * x))


def noisy(seed: int) -> dict[str, float]:
    """Noise that depends on the input."""
    stream = rng(seed, "noisy")
    x, held_out, grid = stream.uniform(-3, 3, (200, 1)), stream.uniform(-3, 3, (2000, 1)), np.linspace(-3, 3, 100)
    y, seen = (np.sin(2 * at) + true_noise(at) * stream.normal(size=at.shape) for at in (x, held_out))
    posterior = BayesianNeuralNetwork(SPACE).fit_rows(x, y, np.ones(200, dtype=np.int64), rng(seed, "fit"))
    on_grid, said = posterior.predict_rows(grid[:, None]), posterior.predict_rows(held_out)
    if on_grid.noise_std is None or said.noise_std is None:
        raise SystemExit("error: the surrogate knows no noise")
    far = np.abs(seen - said.mean) / np.sqrt(said.std**2 + said.noise_std**2)
    return {
        "noise_correlation": float(np.corrcoef(on_grid.noise_std[:, 0], true_noise(grid))[0, 1]),
        "coverage_90": float((far < 1.645).mean()),
        "mean_rmse": float(np.sqrt(((said.mean - np.sin(2 * held_out)) ** 2).mean()) / y.std()),
    }


def timed(seed: int) -> dict[str, float]:
    """CPU seconds of a fit."""
    stream = rng(seed, "timed")
    data = TrainingSet(
        tuple(SPACE.sample(stream, 50)), stream.normal(size=(50, 1)), np.ones(50, dtype=np.int64), np.zeros(50)
    )
    begun = time.process_time()
    BayesianNeuralNetwork(SPACE).fit(data, rng(seed, "fit"))
    return {"fit_cpu_seconds": time.process_time() - begun}


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs: list[dict[str, Any]] = [{**linear(s), **noisy(s), **timed(s)} for s in range(options.seeds)]
    columns = {name: np.array([run[name] for run in runs]) for name in runs[0]}
    figures = {
        name: {"mean": round(float(c.mean()), 3), "least": round(float(c.min()), 3), "most": round(float(c.max()), 3)}
        for name, c in columns.items()
    }
    record.keep("bnn", {"seeds": options.seeds, **figures}, runs)


if __name__ == "__main__":
    main()
