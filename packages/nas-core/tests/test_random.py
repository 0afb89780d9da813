"""Random number streams: fixed for good, independent of each other, named without confusion."""

from __future__ import annotations

import hashlib
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.errors import InvalidOption
from nas_core.random import derived_seed, rng
from nas_core.testing import in_fresh_process

PATHS: list[tuple[Any, ...]] = [(0,), (0, "propose", 12), (7, "fit", "ä", -3)]


def raw(seed: int, *path: int | str) -> list[int]:
    """Two words of the bit generator, which no release of numpy changes."""
    return [int(word) for word in rng(seed, *path).bit_generator.random_raw(2)]


def test_streams_are_what_they_always_were() -> None:
    assert [raw(*path) for path in PATHS] == [
        [0x7BE80CC42D78E7A4, 0x0C9572B5A8C0EB22],
        [0xC82051FFD1E5CAE2, 0xF9D061D33D8C0B88],
        [0xA306549E70AD7B8C, 0x69ECB0652A4C6AE1],
    ]


def test_derived_seeds_are_63_bits_of_the_digest_of_the_path() -> None:
    digest = hashlib.blake2b(b"i7/s3:fit/s1:\xc3\xa4/i-3", digest_size=32).digest()
    assert derived_seed(7, "fit", "ä", -3) == int.from_bytes(digest[:8], "little") // 2 == 1589556844686334474


def test_a_stream_is_the_digest_given_to_pcg64() -> None:
    digest = hashlib.blake2b(b"i0/s7:propose/i12", digest_size=32).digest()
    seed = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]
    expected = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(2)
    assert raw(0, "propose", 12) == expected.tolist()


def test_seeds_are_equal_in_every_process() -> None:
    assert in_fresh_process("nas_core.random:derived_seed", *PATHS[2], hash_seed=99) == derived_seed(*PATHS[2])


def test_equal_paths_give_equal_streams_and_separate_generators() -> None:
    first, second = rng(1, "a"), rng(1, "a")
    first.random(100)
    assert second.random() == rng(1, "a").random()


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ((0, "1"), (0, 1)),
        ((0, "a", "b"), (0, "ab")),
        ((0, "a", "b"), (0, "a/s1:b")),
        ((0, 1, 2), (0, 12)),
        ((0, ""), (0,)),
        ((0, "a", 1), (0, 1, "a")),
        ((0,), (-0, 0)),
        ((1, -1), (-1, 1)),
    ],
)
def test_different_paths_are_never_confused(path: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert raw(*path) != raw(*other)
    assert derived_seed(*path) != derived_seed(*other)


def test_numpy_integers_name_the_same_stream() -> None:
    assert raw(np.int64(3), "a", np.uint8(4)) == raw(3, "a", 4)  # type: ignore[arg-type]


def test_neighbouring_streams_are_independent() -> None:
    """The correlation of 10,000 pairs has standard error 0.01; beyond 0.06 lies one pair in 5 * 10^8."""
    draws = [rng(seed, "a", i).standard_normal(10_000) for seed in (0, 1) for i in (0, 1)]
    for first, second in combinations(draws, 2):
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.06


@given(st.integers(), st.lists(st.one_of(st.integers(), st.text(st.characters(codec="utf-8"), max_size=8)), max_size=3))
def test_derived_seeds_fit_63_bits(seed: int, path: list[int | str]) -> None:
    assert 0 <= derived_seed(seed, *path) < 2**63


@pytest.mark.parametrize("seed", ["0", 0.0, True, None])
def test_a_seed_must_be_whole(seed: Any) -> None:
    with pytest.raises(InvalidOption, match="a seed must be a whole number"):
        rng(seed)


@pytest.mark.parametrize("step", [0.5, False, None, ("a",)])
def test_a_step_must_be_a_word_or_whole(step: Any) -> None:
    with pytest.raises(InvalidOption, match="a step of a stream's path"):
        derived_seed(0, "a", step)
