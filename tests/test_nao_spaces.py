"""The autoencoder on every space with tokens: random latent points are decoded to members, twins are learnt from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the autoencoder needs nas-surrogates")

from nas_core.objective import Objectives  # noqa: E402
from nas_core.random import rng  # noqa: E402
from nas_core.space import Space  # noqa: E402
from nas_core.testing.optimizers import Run  # noqa: E402
from nas_core.training_set import TrainingSet  # noqa: E402
from nas_search.optimizers.nao import NAO  # noqa: E402
from nas_spaces.bonas_open_domain import BonasOpenDomain  # noqa: E402
from nas_spaces.darts import DARTS  # noqa: E402
from nas_spaces.nao_cnn import NAOCNN  # noqa: E402
from nas_spaces.nasbench101 import NASBench101  # noqa: E402
from nas_spaces.nasbench201 import NASBench201  # noqa: E402
from nas_spaces.nasbench_nlp import NASBenchNLP  # noqa: E402
from nas_spaces.recurrent import Recurrent  # noqa: E402
from nas_spaces.resnet import ResNet  # noqa: E402
from nas_spaces.restricted import RestrictedSpace  # noqa: E402
from nas_surrogates.autoencoder import Autoencoder, AutoencoderPosterior  # noqa: E402
from nas_surrogates.nao_encoder import Latent  # noqa: E402

SPACES: dict[str, Space] = {
    "nao_cnn 60": NAOCNN(),
    "nao_cnn 40": NAOCNN(operations="enas"),
    "recurrent 22": Recurrent(),
    "recurrent of any size": Recurrent(nodes=8, variable=True),
    "nasbench101": NASBench101(),
    "nasbench201": NASBench201(),
    "darts": DARTS(),
    "bonas_open_domain": BonasOpenDomain(),
    "nasbench_nlp": NASBenchNLP(),
    "resnet": ResNet(),
    "restricted": RestrictedSpace(NASBench101(), NASBench101().sample(rng(0, "members"), 40)),
}
TINY: dict[str, Any] = {"embedding": 4, "width": 12, "heads": 1, "epochs": 1, "batch": 8}


def labelled(space: Space, n: int = 6) -> TrainingSet:
    members = tuple(dict.fromkeys(space.sample(rng(0, "labelled"), n)))
    n = len(members)
    return TrainingSet(members, 80.0 + np.arange(n, dtype=np.float64)[:, None] % 3, np.ones(n, np.int64), np.zeros(n))


def fitted(space: Space, **options: Any) -> AutoencoderPosterior:
    return Autoencoder(space, **{**TINY, **options}).fit(labelled(space), rng(0))


@pytest.mark.parametrize("name", SPACES)
def test_random_latent_points_are_decoded_to_members(name: str) -> None:
    """Most of the points are far from anything that was fitted; a legal sequence comes out all the same."""
    space = SPACES[name]
    posterior = fitted(space)
    with torch.no_grad():  # so that what is written depends on the point more than on what was fitted
        posterior.networks.decoder.output.weight.mul_(8.0)
    n = 60
    states = torch.from_numpy((3.0 * rng(1, name).normal(size=(n, 10, 12))).astype(np.float32))
    points = Latent(states, torch.from_numpy(rng(2, name).integers(1, 11, size=n)))
    decoded = posterior.decode(points)
    assert len(set(decoded)) > 3
    for a in decoded:
        assert space.canonical(a.values) == a


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("at_once", [1, 3])
def test_predictions_do_not_depend_on_the_length_of_others(name: str, at_once: int) -> None:
    space = SPACES[name]
    posterior = fitted(space, at_once=at_once)
    x = space.sample(rng(3), 5)
    alone = np.concatenate([posterior.predict([a]).mean for a in x])
    np.testing.assert_allclose(posterior.predict(x).mean, alone, rtol=1e-5)
    latent = posterior.encode(x)
    lengths = [len(space.tokens(a)) for a in x]  # type: ignore[attr-defined]
    assert latent.lengths.tolist() == [-(length // -at_once) for length in lengths]


@pytest.mark.parametrize(("name", "least"), [("nao_cnn 60", 10), ("darts", 1), ("recurrent 22", 1)])
def test_symmetric_twins_are_among_what_is_learnt_from(name: str, least: int) -> None:
    space = SPACES[name]
    data = labelled(space)
    examples = Autoencoder(space, **TINY)._examples(data.architectures, np.zeros((6, 1)), rng(0))
    assert (examples.counts > least).any()
    for i, a in enumerate(data.architectures):
        rows = examples.rows[examples.starts[i] : examples.starts[i] + examples.counts[i]].tolist()
        members = [space.from_tokens([token - 1 for token in row if token]) for row in rows]  # type: ignore[attr-defined]
        assert members[0] == a
        assert {space.twin_key(member) for member in members} == {space.twin_key(a)}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["nao_cnn 60", "recurrent 22", "nasbench_nlp", "restricted"])
def test_it_searches(name: str) -> None:
    space, objectives = SPACES[name], Objectives.parse(["max:val_accuracy"])
    optimizer = NAO(space, objectives, 0, initial=4, labels=4, seeds=3, steps=3, surrogate={**TINY, "predictor": []})
    one = Run(optimizer, space, objectives)
    one.rounds(10, 2)
    assert len({trial.architecture for trial in one.history}) == 10
