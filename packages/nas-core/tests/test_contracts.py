from __future__ import annotations

import pytest

from nas_core.testing import EvaluatorContract, OptimizerContract, SurrogateContract


class TestFakeEvaluator(EvaluatorContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_core.testing.fakes:FakeEvaluator"


class TestFakeSurrogate(SurrogateContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_core.testing.fakes:FakeSurrogate"


@pytest.mark.parametrize("options", [{}, {"carries": True}], ids=["plain", "carries"])
class TestFakeOptimizer(OptimizerContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_core.testing.fakes:FakeOptimizer"
