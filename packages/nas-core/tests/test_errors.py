"""Errors: one message with all that the user needs, and a way out of worker processes."""

from __future__ import annotations

import pickle

import pytest

from nas_core import errors
from nas_core.errors import InvalidOption, NasError, StaleAttempt, StoreError, TrialFailed


def test_a_message_has_its_parts_in_order() -> None:
    error = NasError(
        "no such metric", value="acc", place="study.toml", expected="val_accuracy", remedy="See nas metrics."
    )
    assert str(error) == "no such metric: 'acc' (in study.toml); expected val_accuracy. See nas metrics."


def test_parts_may_be_left_out() -> None:
    assert str(NasError("nothing works")) == "nothing works"
    assert str(NasError("nothing works", remedy="Go home.")) == "nothing works. Go home."


def test_none_is_a_value_to_show() -> None:
    error = NasError("missing", value=None)
    assert str(error) == "missing: None"
    assert error.has_value
    assert not NasError("missing").has_value


def test_long_values_are_shortened_to_120_characters() -> None:
    text = str(NasError("too long", value="x" * 500))
    assert text == "too long: '" + "x" * 118 + "…"
    assert str(NasError("fits", value="x" * 118)) == "fits: '" + "x" * 118 + "'"


def test_places_are_named_from_the_outside_in() -> None:
    error = InvalidOption("wrong", value=1)
    assert error.at("option --trials") is error
    assert str(error.at("study.toml")) == "wrong: 1 (in study.toml, option --trials)"


def test_a_stale_attempt_is_an_error_of_the_store() -> None:
    assert issubclass(StaleAttempt, StoreError)


@pytest.mark.parametrize(
    "error",
    [
        NasError("wrong", value=3, place="a file", expected="4", remedy="Think."),
        TrialFailed("diverged", "the loss is NaN", value="nan", remedy="Lower the rate."),
    ],
)
def test_errors_cross_process_borders_whole(error: NasError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_every_error_of_the_module_is_a_nas_error() -> None:
    own = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert len(own) > 10
    assert all(issubclass(kind, NasError) for kind in own)
