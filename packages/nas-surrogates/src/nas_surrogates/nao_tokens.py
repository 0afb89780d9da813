"""Token sequences of architectures as padded rows, and the sequences of their symmetric twins (NAO, section 3.2).

Notation
    n  architectures      t  tokens, padded to the longest met      V  size of the vocabulary

In a row a token is its number plus one; zeros follow the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias, final

import numpy as np
import torch
from torch import Tensor

from nas_core.architecture import Architecture
from nas_core.errors import InvalidArchitecture, InvalidData
from nas_core.space import HasTokens, Space
from nas_surrogates.kept_encodings import Arrays, KeptEncodings

Sequences: TypeAlias = list[tuple[int, ...]]

_REMEMBERED: Final = 1 << 16


@final
class TokenRows:
    """Reads the tokens of a space's members.

    Args:
        space: with tokens.
    """

    def __init__(self, space: Space) -> None:
        tokens: Any = space
        self._space = tokens
        self.size = len(tokens.vocabulary)
        self._own = KeptEncodings(self._encode)
        self.legal = lru_cache(_REMEMBERED)(self._legal)

    def own(self, architectures: Sequence[Architecture]) -> Tensor:
        """The members' own sequences as rows (n x t).

        Raises:
            InvalidArchitecture: one is no member of the space.
            InvalidData: the space gives tokens outside its vocabulary, or none.
        """
        if not architectures:
            raise InvalidData("no architectures to read tokens of")
        (rows,) = self._own(architectures)
        longest = int((rows > 0).sum(dim=1).max())
        return rows[:, :longest]

    def with_twins(self, a: Architecture) -> Sequences:
        """A member's own sequence, then those of its symmetric twins where the space knows any."""
        own = self.sequence(a)
        if hasattr(self._space, "symmetric_tokens"):
            others = [tuple(tokens) for tokens in self._space.symmetric_tokens(a)]
        else:
            others = [self.sequence(twin) for twin in getattr(self._space, "symmetric_twins", lambda _: [])(a)]
        return [own, *others]

    def sequence(self, a: Architecture) -> tuple[int, ...]:
        """A member's own sequence; raises as `own` does."""
        if a.space != self._space.name:
            raise InvalidArchitecture(f"no member of {self._space.name}", value=a)
        return self.checked(tuple(self._space.tokens(a)))

    def checked(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """A sequence, unless it is empty or has a number outside the vocabulary (InvalidData)."""
        if not tokens:
            raise InvalidData(f"{self._space.name} gives a member without tokens")
        wrong = [token for token in tokens if not 0 <= token < self.size]
        if wrong:
            raise InvalidData(
                f"a token outside the vocabulary of {self._space.name}",
                value=wrong[0],
                expected=f"a number from 0 to {self.size - 1}",
            )
        return tokens

    def member(self, tokens: Sequence[int]) -> Architecture:
        """The member of a sequence; raises InvalidArchitecture where there is none."""
        space: HasTokens = self._space
        return space.from_tokens(tokens)

    def _encode(self, architectures: Sequence[Architecture]) -> Arrays:
        return (padded([self.sequence(a) for a in architectures]).numpy(),)

    def _legal(self, prefix: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self._space.legal_tokens(prefix))


def padded(sequences: Sequence[Sequence[int]]) -> Tensor:
    """Sequences as rows (n x t)."""
    rows = np.zeros((len(sequences), max(map(len, sequences))), np.int64)
    for row, sequence in zip(rows, sequences, strict=True):
        row[: len(sequence)] = np.array(sequence) + 1
    return torch.from_numpy(rows)
