"""Contract suites that a component inherits to be tested, and fakes that stand in for components.

A component's test inherits a suite and supplies fixtures; what a component does not claim is skipped with a reason.

```
class TestMySpace(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "my_package.my_space:MySpace"
```
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{suite}" for suite in ("spaces", "optimizers", "surrogates", "evaluators", "stores", "executors"))
)

from nas_core.testing.evaluators import EvaluatorContract as EvaluatorContract  # noqa: E402
from nas_core.testing.executors import ExecutorContract as ExecutorContract  # noqa: E402
from nas_core.testing.fakes import ContinuousToySpace as ContinuousToySpace  # noqa: E402
from nas_core.testing.fakes import FakeEvaluator as FakeEvaluator  # noqa: E402
from nas_core.testing.fakes import FakeOptimizer as FakeOptimizer  # noqa: E402
from nas_core.testing.fakes import FakePosterior as FakePosterior  # noqa: E402
from nas_core.testing.fakes import FakeSurrogate as FakeSurrogate  # noqa: E402
from nas_core.testing.fakes import ToySpace as ToySpace  # noqa: E402
from nas_core.testing.optimizers import OptimizerContract as OptimizerContract  # noqa: E402
from nas_core.testing.processes import in_fresh_process as in_fresh_process  # noqa: E402
from nas_core.testing.processes import load_object as load_object  # noqa: E402
from nas_core.testing.registered import register_fakes as register_fakes  # noqa: E402
from nas_core.testing.spaces import SpaceContract as SpaceContract  # noqa: E402
from nas_core.testing.stores import StoreContract as StoreContract  # noqa: E402
from nas_core.testing.surrogates import SurrogateContract as SurrogateContract  # noqa: E402
