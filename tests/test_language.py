"""Both recurrent spaces as language models: the evaluator's contract, published sizes, the last training."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from nas_core import registry  # noqa: E402 - after the check for torch
from nas_core.cost import cost  # noqa: E402
from nas_core.errors import InvalidOption, NasError, TrialFailed  # noqa: E402
from nas_core.evaluator import Evaluation  # noqa: E402
from nas_core.random import rng  # noqa: E402
from nas_core.testing.evaluators import EvaluatorContract  # noqa: E402
from nas_spaces.nasbench201 import NASBench201  # noqa: E402
from nas_spaces.nasbench_nlp import NASBenchNLP  # noqa: E402
from nas_spaces.recurrent import Recurrent  # noqa: E402
from nas_train.language.evaluator import LanguageEvaluator, networks_for  # noqa: E402
from nas_train.language.files import load_language  # noqa: E402
from nas_train.language.final import train_final_language  # noqa: E402
from nas_train.language.loop import evaluate_language  # noqa: E402
from nas_train.language.model import LanguageModel  # noqa: E402
from nas_train.language.recipe import LANGUAGE_RECIPES  # noqa: E402
from nas_train.language.text import TextSet, open_text  # noqa: E402

RECIPE = {
    "name": "tiny",
    "epochs": 2,
    "batch": 4,
    "learning_rate": 0.01,
    "truncation": 6,
    "optimizer": "adam",
    "embedding": 8,
    "drop_hidden": 0.1,
    "drop_output": 0.1,
}


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A text of 12 words in which each follows the one before it, with leaps."""
    steps = rng(0, "text").choice([1, 1, 1, 5], 700)
    words = np.cumsum(steps) % 12
    np.savez(tmp_path / "steps.npz", train=words[:400], valid=words[400:550], test=words[550:])
    return str(tmp_path / "steps.npz")


class _Contract(EvaluatorContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_train.language.evaluator:LanguageEvaluator"

    @pytest.fixture
    def options(self, file: str) -> dict[str, Any]:
        return {"data": file, "recipe": RECIPE, "keep": True}

    @pytest.fixture
    def fidelity(self) -> float:
        return 1.0

    @pytest.fixture
    def timed(self) -> frozenset[str]:
        return frozenset({"train_seconds"})


class TestRecurrent(_Contract):
    @pytest.fixture
    def space_factory(self) -> str:
        return "nas_spaces.recurrent:Recurrent"

    @pytest.fixture
    def space_options(self) -> dict[str, Any]:
        return {"nodes": 4}


class TestNASBenchNLP(_Contract):
    @pytest.fixture
    def space_factory(self) -> str:
        return "nas_spaces.nasbench_nlp:NASBenchNLP"


def test_it_is_registered_and_measures_what_it_says(file: str) -> None:
    evaluator = registry.from_config("evaluator", {"name": "language", "data": file, "recipe": RECIPE})
    space = Recurrent(4)
    evaluator.prepare(space)
    measured = evaluator.evaluate(Evaluation(space, space.sample(rng(0, "a"), 1)[0], seed=1))
    metrics = measured.metrics
    assert metrics["val_perplexity"] == pytest.approx(np.exp(metrics["val_loss"]))
    assert metrics["val_perplexity"] < 12  # of twelve words
    # words' vectors and bias, then 2 (2 · 8) 8 for node 0 and 2 · 8 · 8 for each of the others
    assert metrics["params"] == 12 * 8 + 12 + 256 + 3 * 128
    assert len(measured.details["curve"]["train_loss"]) == 2


@pytest.mark.parametrize("name", ["language", "shared_language"])
def test_a_cell_without_bounds_learns_where_its_vectors_are_shortened(name: str, file: str) -> None:
    space, recipe = Recurrent(4), {**RECIPE, "learning_rate": 0.3}
    cell = Evaluation(space, space.parse("0:identity 1:identity 2:identity"), seed=1)
    with pytest.raises(TrialFailed) as caught:
        registry.from_config("evaluator", {"name": name, "data": file, "recipe": recipe, "epochs": 5}).evaluate(cell)
    assert caught.value.reason == "diverged"
    recipe["state_norm"] = 1.0
    bounded = registry.from_config("evaluator", {"name": name, "data": file, "recipe": recipe, "epochs": 5})
    assert bounded.evaluate(cell).metrics["val_perplexity"] < 12  # of twelve words


def published() -> list[dict[str, Any]]:
    default = Path(__file__).resolve().parents[2] / "shared" / "tables"
    path = Path(os.environ.get("NAS_TABLES", default)) / "nasbench_nlp_wikitext2.json.gz"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {path.parent}; NAS_TABLES names its folder")
    rows: list[dict[str, Any]] = json.loads(gzip.decompress(path.read_bytes()))
    return rows


def test_models_of_nasbench_nlp_are_as_large_as_published() -> None:
    """Three layers of 600, 600 and 400, tied, on the 33,278 words of WikiText-2."""
    space, recipe = NASBenchNLP(), LANGUAGE_RECIPES["nasbench_nlp"]
    nothing = np.zeros(2, dtype=np.int32)
    text = TextSet("wikitext-2", 33278, nothing, nothing, lambda: nothing)
    rows = published()[:3]
    for row in rows:
        networks = networks_for(space, space.parse(json.dumps(row["recepie"])), text, {}, recipe)
        with torch.device("meta"):
            model = LanguageModel(networks, text.words)
        assert sum(parameter.numel() for parameter in model.parameters()) == row["num_params"]


def test_the_model_for_wikitext_2_is_as_large_as_published() -> None:
    """NAO's table 4 gives 36 million: 33,278 words of 700 and their bias, 26 squares of 700 in the cell."""
    recipe, nothing = LANGUAGE_RECIPES["nao_wt2"], np.zeros(2, dtype=np.int32)
    text = TextSet("wikitext-2", 33278, nothing, nothing, lambda: nothing)
    (network,) = networks_for(Recurrent(), Recurrent().named("enas"), text, {}, recipe)
    whole = 33278 * 701 + cost(network).parameters
    assert cost(network).parameters == 26 * 700**2
    assert round(whole / 1e6) == 36


@pytest.mark.parametrize(("space", "cell"), [(Recurrent(9, output="all"), "darts-v1"), (NASBenchNLP(), "gru")])
def test_the_last_training_tests_once(space: Any, cell: str, file: str, tmp_path: Path) -> None:
    told: list[int] = []
    measured = train_final_language(
        space,
        space.named(cell),
        data=file,
        recipe=RECIPE,
        seed=0,
        out=tmp_path / "final",
        on_epoch=lambda epoch: told.append(epoch.number),
    )
    assert told == [1, 2]
    assert {path.name for path in (tmp_path / "final").iterdir()} == {"final.safetensors", "final.json"}
    model, card = load_language(tmp_path / "final" / measured.artefacts["checkpoint"])
    nats = evaluate_language(model, open_text(file).split("test"), streams=1)
    assert nats == pytest.approx(measured.metrics["test_loss"], abs=1e-6)
    assert card["metrics"] == dict(measured.metrics)


def test_what_does_not_fit_is_named(file: str, tmp_path: Path) -> None:
    with pytest.raises(NasError, match="no such text"):
        LanguageEvaluator(str(tmp_path / "none")).prepare(Recurrent(4))
    with pytest.raises(NasError):
        LanguageEvaluator(file).prepare(NASBench201())
    with pytest.raises(InvalidOption, match="no such option"):
        LanguageEvaluator(file, network={"colour": 1}).prepare(Recurrent(4))
    with pytest.raises(InvalidOption, match="recipe"):
        LanguageEvaluator(file, network={"hidden": 5})
    for options in ({"epochs": 0}, {"threads": True}, {"keep": 1}, {"network": 3}):
        with pytest.raises(InvalidOption):
            LanguageEvaluator(file, **options)
    evaluator = LanguageEvaluator(
        file, recipe={**RECIPE, "optimizer": "sgd", "learning_rate": 1e30, "gradient_clip": None}
    )
    space = Recurrent(4)
    evaluator.prepare(space)
    member = space.sample(rng(0, "a"), 1)[0]
    with pytest.raises(TrialFailed) as caught:
        evaluator.evaluate(Evaluation(space, member))
    assert caught.value.reason == "diverged"
    for wrong in (0.5, 0.0):
        with pytest.raises(InvalidOption, match="number of epochs"):
            evaluator.evaluate(Evaluation(space, member, wrong))
