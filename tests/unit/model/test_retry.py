"""Whether a failed attempt is followed by another, and when."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import DivisionByZero
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perdure import Retry
from perdure.clock import LONGEST, SECOND
from perdure.errors import RetryAfter, StepFailed
from perdure.model.retry import GiveUp, TryAgain, after_failure

ROUNDING = 1 + 1e-12  # of floats, where a delay is centuries long
lengths = st.one_of(
    st.floats(0, LONGEST.total_seconds()), st.integers(0, 10_000), st.timedeltas(timedelta(), LONGEST), st.sampled_from([0, 1e-6, 1, 600])
)
factors = st.one_of(st.floats(1, 1000), st.integers(1, 1000), st.sampled_from([1, 1.0, 1 + 2**-52, 10.0, 1000.0]))
policies = st.builds(
    Retry, initial=lengths, factor=factors, maximum=lengths, jitter=st.floats(0, 1, exclude_max=True), give_up_after=st.none() | lengths
)
attempts = st.one_of(st.integers(1, 50), st.integers(1, 10**18), st.sampled_from([308, 309, 400, 501, 1024, 1025]))
chances = st.floats(0, 1, exclude_max=True)


@given(policies, attempts, chances)
@example(Retry(factor=10.0), 400, 0.5)
def test_a_delay_stays_within_the_maximum_and_its_jitter_however_many_attempts_there_were(
    policy: Retry, attempt: int, chance: float
) -> None:
    delay = policy.delay_after(attempt, chance)
    assert 0 <= delay <= policy.maximum * (1 + policy.jitter) * ROUNDING + 1


@given(policies, attempts, attempts)
def test_without_jitter_delays_never_become_shorter(policy: Retry, one: int, other: int) -> None:
    first, second = sorted((one, other))
    assert policy.delay_after(first, 0.5) <= policy.delay_after(second, 0.5)


@given(policies, attempts)
def test_jitter_changes_a_delay_by_at_most_its_share_to_either_side(policy: Retry, attempt: int) -> None:
    middle = policy.delay_after(attempt, 0.5)
    shortest, longest = policy.delay_after(attempt, 0.0), policy.delay_after(attempt, 0.999_999)
    assert shortest <= middle <= longest
    assert shortest >= middle * (1 - policy.jitter) / ROUNDING - 1
    assert longest <= middle * (1 + policy.jitter) * ROUNDING + 1


def test_delays_grow_by_the_factor_up_to_the_maximum() -> None:
    policy = Retry(initial=1, factor=2.0, maximum=10, jitter=0)
    assert [policy.delay_after(attempt, 0.9) / SECOND for attempt in range(1, 8)] == [1, 2, 4, 8, 10, 10, 10]


@given(policies, attempts, chances)
def test_a_slow_growth_reaches_its_maximum_in_the_end(policy: Retry, attempt: int, chance: float) -> None:
    if policy.factor >= 1.001 and policy.initial >= 1:
        assert policy.delay_after(10**9, 0.5) == policy.maximum


@pytest.mark.parametrize(
    "error",
    [
        TypeError(), AttributeError(), NameError(), UnboundLocalError(), KeyError(), IndexError(), LookupError(), ValueError(),
        UnicodeDecodeError("utf-8", b"", 0, 1, ""), ZeroDivisionError(), OverflowError(), AssertionError(),
        SystemExit(), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_built_in_errors_of_the_code_itself_are_final(error: BaseException) -> None:
    assert not Retry().allows(error)


class OutOfStock(LookupError):
    """Of a library, or the user's."""


@pytest.mark.parametrize(
    "error",
    [
        json.JSONDecodeError("", "", 0), DivisionByZero(), OutOfStock(), OSError(), FileNotFoundError(), ConnectionResetError(),
        TimeoutError(), RuntimeError(), NotImplementedError(), RecursionError(), MemoryError(), StopIteration(), EOFError(), Exception(),
        ExceptionGroup("", [ValueError()]), RetryAfter(1), StepFailed("a", "b"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_everything_else_is_tried_again_also_subclasses_of_the_final_ones_from_libraries(error: Exception) -> None:
    assert Retry().allows(error)


def test_the_users_lists_decide_first() -> None:
    policy = Retry(retry_on=(OutOfStock, KeyError), dont_retry=(LookupError, OSError))
    assert policy.allows(OutOfStock())
    assert policy.allows(KeyError())
    assert not policy.allows(FileNotFoundError())
    assert not Retry(dont_retry=(json.JSONDecodeError,)).allows(json.JSONDecodeError("", "", 0))


def verdict(policy: Retry, attempt: int = 1, began_at: int = 0, now: int = 0, asked: int | None = None) -> TryAgain | GiveUp:
    return after_failure(policy, attempt, OSError(), began_at, now, 0.5, asked)


def test_it_ends_after_the_allowed_attempts() -> None:
    policy = Retry(attempts=3, jitter=0)
    assert verdict(policy, 2) == TryAgain(2 * SECOND)
    assert isinstance(verdict(policy, 3), GiveUp)
    assert isinstance(verdict(policy, 4), GiveUp)
    assert isinstance(verdict(Retry(attempts=1)), GiveUp)
    assert isinstance(verdict(Retry(attempts=None, give_up_after=None), 10**9), TryAgain)


def test_it_ends_when_the_next_attempt_would_begin_too_late_after_the_first() -> None:
    policy = Retry(initial=10, jitter=0, give_up_after=60)
    assert verdict(policy, 1, began_at=5 * SECOND, now=55 * SECOND) == TryAgain(65 * SECOND)
    gave_up = verdict(policy, 1, began_at=5 * SECOND, now=55 * SECOND + 1)
    assert isinstance(gave_up, GiveUp)
    assert "give_up_after" in gave_up.reason


def test_a_step_that_asks_for_a_delay_gets_it_within_the_same_limits() -> None:
    policy = Retry(attempts=5, give_up_after=60)
    assert verdict(policy, 1, asked=30 * SECOND) == TryAgain(30 * SECOND)
    assert verdict(policy, 1, asked=0) == TryAgain(0)
    assert isinstance(verdict(policy, 1, asked=61 * SECOND), GiveUp)
    assert isinstance(verdict(policy, 5, asked=1), GiveUp)


@given(policies, attempts, st.integers(0, 10**16), st.integers(0, 10**16), chances)
def test_the_next_attempt_is_never_before_now_and_never_after_the_limit(
    policy: Retry, attempt: int, began_at: int, waited: int, chance: float
) -> None:
    now = began_at + waited
    match after_failure(policy, attempt, OSError(), began_at, now, chance):
        case TryAgain(not_before):
            assert not_before >= now
            assert policy.give_up_after is None or not_before <= began_at + policy.give_up_after
        case GiveUp(reason):
            assert policy.give_up_after is not None
            assert reason


@pytest.mark.parametrize(
    "make",
    [
        lambda: Retry(attempts=0), lambda: Retry(attempts=-1), lambda: Retry(attempts=True), lambda: Retry(attempts=2.5),  # type: ignore[arg-type]
        lambda: Retry(factor=0.5), lambda: Retry(factor=float("nan")), lambda: Retry(factor=1001), lambda: Retry(factor=float("inf")),
        lambda: Retry(jitter=-0.1), lambda: Retry(jitter=1), lambda: Retry(jitter=float("nan")),
        lambda: Retry(initial=-1), lambda: Retry(initial=float("nan")), lambda: Retry(initial=1e300),
        lambda: Retry(maximum=timedelta(seconds=-1)), lambda: Retry(maximum=float("inf")), lambda: Retry(give_up_after=-1),
    ],
)  # fmt: skip
def test_f50_settings_that_make_no_sense_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"must|longer"):
        make()


def test_the_defaults_are_those_that_are_documented() -> None:
    policy = Retry()
    assert (policy.attempts, policy.initial, policy.factor, policy.maximum) == (None, SECOND, 2.0, 600 * SECOND)
    assert (policy.jitter, policy.give_up_after) == (0.1, 3 * 24 * 3600 * SECOND)
