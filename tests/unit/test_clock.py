"""Instants and durations are whole microseconds; what nobody can mean is refused where it enters."""

import time
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.clock import LONGEST, SECOND, HostClock, to_datetime, to_instant, to_microseconds

LAST = datetime(9999, 12, 31, tzinfo=UTC)


@given(st.datetimes(max_value=LAST.replace(tzinfo=None), timezones=st.just(UTC) | st.timezones()))
def test_a_moment_comes_back_as_the_same_moment_in_utc(when: datetime) -> None:
    try:
        expected = when.astimezone(UTC)
    except OverflowError:  # before the first or after the last day that UTC knows
        return
    if expected <= LAST:
        assert to_datetime(to_instant(when)) == expected
        assert to_datetime(to_instant(when)).utcoffset() == timedelta()


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_instants_are_in_the_order_of_their_moments(one: datetime, other: datetime) -> None:
    assert (to_instant(one) <= to_instant(other)) or one > other


def test_the_epoch_is_zero_and_a_second_a_million() -> None:
    assert to_instant(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert to_instant(datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == 0
    assert to_instant(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)) == SECOND
    assert to_instant(datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)) == -SECOND


def test_f50_the_years_2038_and_9999_are_years_like_others() -> None:
    assert to_datetime(to_instant(datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC))) == datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC)
    assert to_instant(datetime.max.replace(tzinfo=UTC)) == to_instant(LAST)
    assert to_instant(datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))) == to_instant(LAST)
    assert to_instant(datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))) < to_instant(datetime.min.replace(tzinfo=UTC))


def test_f49_the_hour_that_occurs_twice_is_two_moments() -> None:
    first = datetime(2025, 10, 26, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert to_instant(first.replace(fold=1)) - to_instant(first) == 3600 * SECOND


@pytest.mark.parametrize("when", [datetime(2030, 1, 1), datetime.max])
def test_f50_a_naive_moment_is_refused(when: datetime) -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        to_instant(when)


@given(st.timedeltas(timedelta(), LONGEST))
def test_a_timedelta_is_counted_exactly(length: timedelta) -> None:
    assert to_microseconds(length) * timedelta(microseconds=1) == length


@given(st.floats(0, LONGEST.total_seconds()))
def test_seconds_are_rounded_up_so_that_nothing_is_early(seconds: float) -> None:
    count, exact = to_microseconds(seconds), Fraction(seconds) * SECOND
    assert count - exact > Fraction(-1, 1000) * max(1, Fraction(count, 10**9))
    assert count - exact < 1 + Fraction(count, 10**12)


@given(st.integers(0, 100 * 366 * 24 * 3600), st.integers(0, 999_999))
def test_seconds_that_are_whole_microseconds_stay_what_they_are(seconds: int, microseconds: int) -> None:
    """A float of more than two years is coarser: there one microsecond may be added."""
    count = seconds * SECOND + microseconds
    assert to_microseconds(count / SECOND) - count in ((0,) if seconds < 2**26 else (0, 1))


@pytest.mark.parametrize(
    ("seconds", "count"), [(0, 0), (-0.0, 0), (1, SECOND), (0.5, 500_000), (1e-7, 1), (0.1 + 0.2, 300_000), (1.1, 1_100_000)]
)
def test_seconds_as_they_are_written(seconds: float, count: int) -> None:
    assert to_microseconds(seconds) == count


@pytest.mark.parametrize("duration", [-1, -1e-9, -1e300, -(10**400), timedelta(microseconds=-1), timedelta.min])
def test_f50_b83_what_is_negative_is_refused(duration: float | timedelta) -> None:
    with pytest.raises(ValueError, match="timeout must not be negative"):
        to_microseconds(duration, "timeout")


@pytest.mark.parametrize("duration", [float("nan"), float("inf"), float("-inf")])
def test_f50_what_is_no_number_or_endless_is_refused(duration: float) -> None:
    with pytest.raises(ValueError, match="timeout must be finite"):
        to_microseconds(duration, "timeout")


@pytest.mark.parametrize(
    "duration", [LONGEST.total_seconds() + 1, 1e300, 1e308, 10**400, timedelta.max, LONGEST + timedelta(microseconds=1)]
)
def test_f50_what_is_absurdly_long_is_refused(duration: float | timedelta) -> None:
    with pytest.raises(ValueError, match="timeout is longer than 365000 days"):
        to_microseconds(duration, "timeout")


@pytest.mark.parametrize("duration", ["1", None, True, Fraction(1), b"1", datetime(2030, 1, 1)])
def test_what_is_no_duration_is_refused(duration: object) -> None:
    with pytest.raises(TypeError, match="timeout must be a timedelta or seconds"):
        to_microseconds(duration, "timeout")  # type: ignore[arg-type]


def test_the_longest_duration_is_taken() -> None:
    assert to_microseconds(LONGEST) == to_microseconds(LONGEST.total_seconds()) == 365_000 * 24 * 3600 * SECOND


def test_the_clocks_of_the_host_count_microseconds() -> None:
    clock = HostClock()
    before, now, after = time.time_ns(), clock.now(), time.time_ns()
    assert before // 1000 <= now <= after // 1000
    first, second = clock.since_boot(), clock.since_boot()
    assert 0 < first <= second
