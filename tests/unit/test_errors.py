"""Every error has a code of its own, says what it is, and stands in the tree that the module draws."""

import inspect
import math
from datetime import timedelta

import pytest

from perdure import errors
from perdure.codec.failures import decode_failure, encode_failure
from perdure.errors import PerdureError, RetryAfter, StepFailed

KINDS = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, PerdureError)]


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes) > 20


@pytest.mark.parametrize("kind", KINDS)
def test_each_error_is_documented_where_it_is_defined_and_in_the_tree(kind: type[PerdureError]) -> None:
    assert kind.__doc__
    if kind is not RetryAfter:  # which perdure itself never raises
        assert kind.__name__ in (errors.__doc__ or "")


def test_what_user_code_catches_by_its_built_in_kind_is_of_that_kind() -> None:
    for kind, builtin in (("NameTaken", ValueError), ("BadInput", TypeError), ("EncodeError", TypeError), ("NotInWorkflow", RuntimeError)):
        assert issubclass(getattr(errors, kind), builtin)


def test_a_failure_that_was_told_of_once_is_told_of_with_the_same_words_again() -> None:
    error = StepFailed("a.B", "why", "trace")
    back = decode_failure(encode_failure(error, message_characters=1000, traceback_characters=1000))
    assert isinstance(back, StepFailed)
    assert (back.type, back.message, back.traceback) == ("a.B", "why", "trace")


def test_the_words_of_errors_with_parts() -> None:
    assert str(StepFailed("a.B", "why")) == "a.B: why"
    assert str(StepFailed("a.B", "")) == "a.B"
    assert str(RetryAfter(5)) == "asked to be tried again after 0:00:05"
    assert RetryAfter(5).delay == timedelta(seconds=5)


@pytest.mark.parametrize("delay", [math.inf, math.nan, 1e300, timedelta.max, timedelta(days=365_001)], ids=str)
def test_a_delay_that_no_clock_reaches_is_refused_where_it_is_given(delay: float | timedelta) -> None:
    with pytest.raises(ValueError, match="delay"):
        RetryAfter(delay)


@pytest.mark.parametrize("delay", [-1, -0.5, timedelta(days=-1), timedelta.min], ids=str)
def test_a_delay_that_has_passed_means_at_once(delay: float | timedelta) -> None:
    assert RetryAfter(delay).delay == timedelta(0)
