"""An autoregressive controller of decisions, trained by REINFORCE (Zoph and Le 2017; BONAS 3.3, its BONAS(RL)).

Notation
    n  sequences of choices      d  decisions      k  choices of a decision

One LSTM makes the decisions in their order: it reads the choice before and gives the chances of the next. Rewards are
made relative to their batch, mean 0 and deviation 1, because expected improvement shrinks by orders of magnitude while
a search goes on. The gradient is of the log chance of the active decisions; a bonus on the entropy keeps draws apart.

The paper gives the number of samples R and says that all else is as for NASNet (Zoph et al. 2018), which has 100 units
and does not give the rest. The rate, batches of 50 and the bonus are our choices: at the rate of ENAS, 0.00035, a
controller that learns from 1,000 draws a label is still close to uniform after a hundred labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas_core.errors import InvalidData, InvalidOption
from nas_surrogates.adam import Adam
from nas_surrogates.network_training import Linear, redraw, uniform

FloatArray: TypeAlias = NDArray[np.float64]

WIDTH: Final = 100
RATE: Final = 0.005
ENTROPY: Final = 0.01


@final
class Controller:
    """Draws sequences of choices and learns which are rewarded.

    Args:
        sizes: k of each of the d decisions.
        rng: draws the first parameters.
        width: units of the LSTM.
        rate: Adam's.
        entropy: weight of the entropy of a decision, averaged over the active ones.

    Raises:
        InvalidOption: no decisions, or one without choices.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        rng: np.random.Generator,
        *,
        width: int = WIDTH,
        rate: float = RATE,
        entropy: float = ENTROPY,
    ) -> None:
        if not sizes or min(sizes) < 1:
            raise InvalidOption("a controller needs decisions with choices", value=list(sizes))
        self.sizes = tuple(sizes)
        self._entropy = entropy
        self._network = _Network(self.sizes, width, rng)
        self._optimizer = Adam(self._network, rate)

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """`n` sequences of choice numbers (n x d)."""
        uniform = torch.from_numpy(rng.random((n, len(self.sizes))).astype(np.float32))
        with torch.no_grad():
            return np.asarray(self._network.drawn(uniform).numpy(), dtype=np.int64)

    def learn(self, choices: NDArray[np.int64], active: NDArray[np.bool_], rewards: FloatArray) -> None:
        """One step towards what was rewarded.

        Args:
            choices: as drawn (n x d).
            active: which of them mattered (n x d).
            rewards: n.

        Raises:
            InvalidData: shapes that differ, or rewards that are not finite.
        """
        n, d = len(choices), len(self.sizes)
        if choices.shape != (n, d) or active.shape != (n, d) or rewards.shape != (n,):
            raise InvalidData("choices and rewards of wrong shapes", value=(choices.shape, active.shape, rewards.shape))
        if not np.isfinite(rewards).all():
            raise InvalidData("rewards must be finite numbers")
        spread = float(rewards.std())
        if spread <= 1e-12 * max(1.0, float(np.abs(rewards).max())):
            return  # nothing tells the draws apart
        advantage = torch.from_numpy(((rewards - rewards.mean()) / spread).astype(np.float32))
        counted = torch.from_numpy(active.astype(np.float32))
        log_chance, entropy = self._network.log_chances(torch.from_numpy(choices))
        gain = (advantage * (counted * log_chance).sum(dim=1)).mean()
        bonus = (counted * entropy).sum() / counted.sum().clamp(min=1.0)
        self._optimizer.step(-(gain + self._entropy * bonus))

    def state(self) -> dict[str, NDArray[Any]]:
        """Parameters and what the weight optimizer remembers, as named arrays."""
        own = self._optimizer
        vectors = {"parameters": own.vector, "first": own.first, "second": own.second}
        return {**{name: vector.numpy().copy() for name, vector in vectors.items()}, "steps": np.array(own.steps)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take up what `state` gave.

        Raises:
            InvalidData: the state of a controller of other decisions.
        """
        own = self._optimizer
        vectors = {"parameters": own.vector, "first": own.first, "second": own.second}
        if any(name not in arrays or arrays[name].shape != vector.shape for name, vector in vectors.items()):
            raise InvalidData("the state of a controller of other decisions", value=sorted(arrays))
        for name, vector in vectors.items():
            vector.copy_(torch.from_numpy(np.array(arrays[name])))
        own.steps = int(arrays["steps"])


@final
class _Network(nn.Module):
    """The LSTM with an input vector for every choice but the last and an output layer for every decision."""

    def __init__(self, sizes: Sequence[int], width: int, rng: np.random.Generator) -> None:
        super().__init__()
        self._sizes, self._width = tuple(sizes), width
        with torch.random.fork_rng(devices=[]):  # torch draws parameters, which are drawn anew at once
            self.cell = nn.LSTMCell(width, width)
        redraw(self.cell, 0.1, rng)
        self.first = uniform((1, width), 0.1, rng)
        self.choices = nn.ParameterList([uniform((size, width), 0.1, rng) for size in sizes[:-1]])
        self.outputs = nn.ModuleList([Linear(width, size, rng) for size in sizes])

    def drawn(self, uniform: Tensor) -> Tensor:
        """Choices (n x d) by uniform numbers of that shape."""
        columns: list[Tensor] = []
        state = self._begin(len(uniform))
        for i in range(len(self._sizes)):
            state, logits = self._step(i, columns[-1] if columns else None, state)
            below = torch.softmax(logits, dim=1).cumsum(dim=1) < uniform[:, i : i + 1]
            columns.append(below.sum(dim=1).clamp(max=self._sizes[i] - 1))
        return torch.stack(columns, dim=1)

    def log_chances(self, choices: Tensor) -> tuple[Tensor, Tensor]:
        """Log chance of every choice given those before it, and the entropy of its decision (n x d each)."""
        chances, entropies = [], []
        state = self._begin(len(choices))
        for i in range(len(self._sizes)):
            state, logits = self._step(i, choices[:, i - 1] if i else None, state)
            logs = torch.log_softmax(logits, dim=1)
            chances.append(logs.gather(1, choices[:, i : i + 1])[:, 0])
            entropies.append(-(logs.exp() * logs).sum(dim=1))
        return torch.stack(chances, dim=1), torch.stack(entropies, dim=1)

    def _begin(self, n: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(n, self._width), torch.zeros(n, self._width)

    def _step(
        self, i: int, before: Tensor | None, state: tuple[Tensor, Tensor]
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        given = self.first.expand(len(state[0]), -1) if before is None else self.choices[i - 1][before]
        state = self.cell(given, state)
        return state, self.outputs[i](state[0])
