"""Crops and mirroring in batches against the same done image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nas_train.augment import batch_images, cut_out, draw_epoch, windows

IMAGES = torch.arange(1, 5 * 2 * 3 * 4 + 1, dtype=torch.uint8).reshape(5, 2, 3, 4)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_a_batch_equals_its_images_one_by_one(padding: int, flip: bool) -> None:
    draws = draw_epoch(5, padding, flip, generator())
    index = torch.tensor([3, 0, 3, 1])
    found = batch_images(windows(IMAGES, padding), draws, index)
    assert found.dtype == torch.uint8
    for got, i in zip(found.numpy(), index.tolist(), strict=True):
        padded = np.pad(IMAGES[i].numpy(), ((0, 0), (padding, padding), (padding, padding)))
        y, x = draws.corners[i].tolist() if draws.corners is not None else (0, 0)
        expected = padded[:, y : y + 3, x : x + 4]
        assert np.array_equal(
            got, expected[:, :, ::-1] if draws.mirrored is not None and draws.mirrored[i] else expected
        )


def test_an_epoch_shows_every_image_once_and_draws_evenly() -> None:
    draws = draw_epoch(9000, 1, True, generator())
    assert sorted(draws.order.tolist()) == list(range(9000))
    assert draws.order.tolist() != list(range(9000))
    assert draws.corners is not None
    assert draws.mirrored is not None
    places = torch.bincount(draws.corners[:, 0] * 3 + draws.corners[:, 1], minlength=9)
    # 1,000 expected in each of 9 places, deviation 29.8: beyond 180 once in 10^8
    assert (places - 1000).abs().max() < 180
    # half of 9,000, deviation 47.4: beyond 285 once in 10^8
    assert abs(int(draws.mirrored.sum()) - 4500) < 285


def test_draws_depend_on_the_generator_alone() -> None:
    torch.manual_seed(1)
    one, same, other = (draw_epoch(50, 2, True, generator(seed), size=(8, 8)) for seed in (0, 0, 1))
    assert (one.seed, other.seed) == (0, 1)
    for a, b in zip(one[:4], same[:4], strict=True):
        assert a is not None
        assert b is not None
        assert torch.equal(a, b)
    assert not torch.equal(one.order, other.order)


def test_nothing_is_drawn_that_is_not_used() -> None:
    draws = draw_epoch(5, 0, False, generator())
    assert (draws.corners, draws.mirrored, draws.holes) == (None, None, None)
    assert torch.equal(batch_images(windows(IMAGES, 0), draws, torch.arange(5)), IMAGES)


@pytest.mark.parametrize("size", [1, 2, 3, 16])
def test_a_square_is_cut_out_of_each_image(size: int) -> None:
    holes = torch.tensor([[0, 0], [3, 4], [2, 1]])
    found = cut_out(torch.ones(3, 2, 5, 6), holes, size)
    for image, (row, column) in zip(found.numpy(), holes.tolist(), strict=True):
        expected = np.ones((2, 5, 6))
        top, left = row - size // 2, column - size // 2
        expected[:, max(top, 0) : top + size, max(left, 0) : left + size] = 0
        assert np.array_equal(image, expected)


def test_holes_fall_everywhere_alike_and_change_no_other_draw() -> None:
    draws = draw_epoch(6000, 1, True, generator(), size=(2, 3))
    without = draw_epoch(6000, 1, True, generator())
    for a, b in zip(draws[:3], without[:3], strict=True):
        assert a is not None
        assert b is not None
        assert torch.equal(a, b)
    assert draws.holes is not None
    places = torch.bincount(draws.holes[:, 0] * 3 + draws.holes[:, 1], minlength=6)
    # 1,000 expected in each of 6 places, deviation 28.9: beyond 175 once in 10^8
    assert len(places) == 6
    assert (places - 1000).abs().max() < 175
