"""The only maker of random number streams.

A stream is named by a seed and a path of words and whole numbers: `rng(seed, "propose", 12)`. The name is digested with
BLAKE2b, never with `hash()`, so that a stream is the same in every process, on every machine and for every Python.
Different paths give independent streams; nothing in the toolkit draws from a global generator.
"""

from __future__ import annotations

import hashlib

import numpy as np

from nas_core.errors import InvalidOption

_SEED_BITS = 63


def _digest(seed: int, path: tuple[int | str, ...]) -> bytes:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise InvalidOption("a seed must be a whole number", value=seed)
    parts = [f"i{int(seed)}"]
    for step in path:
        if isinstance(step, str):
            parts.append(f"s{len(step)}:{step}")
        elif isinstance(step, int | np.integer) and not isinstance(step, bool):
            parts.append(f"i{int(step)}")
        else:
            raise InvalidOption("a step of a stream's path must be a word or a whole number", value=step)
    return hashlib.blake2b("/".join(parts).encode(), digest_size=32).digest()


def rng(seed: int, *path: int | str) -> np.random.Generator:
    """The random number stream named by `seed` and `path` (PCG64)."""
    words = np.frombuffer(_digest(seed, path), dtype="<u4")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([int(word) for word in words])))


def derived_seed(seed: int, *path: int | str) -> int:
    """A seed (non-negative, below 2**63) for libraries that take one, torch among them; named like a stream."""
    return int.from_bytes(_digest(seed, path)[:8], "little") >> (64 - _SEED_BITS)
