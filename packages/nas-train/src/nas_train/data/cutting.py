"""Cutting what a source does not give: validation and test splits out of its images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidData
from nas_train.data.dataset import PART, ImageSet, Split, stratified_order
from nas_train.data.files import ImageFiles

HELD_OUT = 0.2
"""Share of the images in a validation or test split that the source does not give."""


def cut(
    name: str,
    place: str,
    given: Split,
    validation: Split | None,
    test: tuple[int, Callable[[], Split]] | None,
) -> ImageSet:
    """An image set; what is not given is cut from the images by `stratified_order`.

    Args:
        name: of the set.
        place: where the images come from.
        given: the training images, and those of every split that is None.
        validation: where the source gives them.
        test: how many there are and what reads them, where the source gives them.

    Raises:
        InvalidData: too few images to split, or splits that do not fit (`ImageSet`).
    """
    order = stratified_order(given.labels)
    held = max(1, round(HELD_OUT * len(order)))
    cuts = np.cumsum([len(order) - held * ((validation is None) + (test is None)), held * (validation is None)])
    if cuts[0] < 1:
        raise InvalidData("too few images to split", value=len(order), place=place)
    parts = [taken(given, part) for part in np.split(order, cuts)]
    if validation is not None:
        validation = taken(validation, stratified_order(validation.labels))
    size, open_test = test if test is not None else (len(parts[2].labels), lambda: parts[2])
    return ImageSet(name, int(given.labels.max()) + 1, parts[0], validation or parts[1], size, open_test)


def taken(split: Split, chosen: NDArray[np.int64]) -> Split:
    """Some images of a split; copied a part at a time, so that an array that is mapped from a file stays there."""
    images = split.images
    if isinstance(images, ImageFiles):
        return Split(images[chosen], split.labels[chosen])
    copied = np.empty((len(chosen), *images.shape[1:]), images.dtype)
    for start in range(0, len(chosen), PART):
        copied[start : start + PART] = images[chosen[start : start + PART]]
    return Split(copied, split.labels[chosen])
