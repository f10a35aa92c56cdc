"""Time as perdure counts it: instants are whole microseconds since 1970 in UTC, durations whole microseconds."""

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

Instant = int
"""Microseconds since 1970-01-01 UTC. Aware datetimes stand at the edges; inside, integers compare and store exactly."""

Microseconds = int
Duration = timedelta | float
"""What users pass: a timedelta, or seconds."""

SECOND: Microseconds = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST = timedelta(days=365_000)
_TOO_LONG: Microseconds = LONGEST // timedelta(microseconds=1) + 1
_LAST = datetime(9999, 12, 31, tzinfo=UTC)


class Clock(Protocol):
    """Where the engine and the store get the time from: real, virtual, or one that lies."""

    def now(self) -> Instant:
        """Wall time: the authority clock of an SQLite store."""

    def since_boot(self) -> Microseconds:
        """Time that never jumps and counts while the machine sleeps; for leases."""


class HostClock:
    """The clocks of this machine."""

    def now(self) -> Instant:
        return time.time_ns() // 1000

    def since_boot(self) -> Microseconds:
        return time.clock_gettime_ns(_BOOT_CLOCK) // 1000


_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def to_datetime(instant: Instant) -> datetime:
    return EPOCH + timedelta(microseconds=instant)


def to_instant(when: datetime) -> Instant:
    """Refuses naive datetimes with ValueError: nobody knows which moment they mean."""
    if not isinstance(when, datetime):
        raise TypeError(f"a moment must be an aware datetime, not {when!r}")
    if when.tzinfo is None or when.utcoffset() is None:
        raise ValueError(f"{when!r} has no time zone; use datetime.now(UTC) or zoneinfo.ZoneInfo")
    return (min(when, _LAST) - EPOCH) // timedelta(microseconds=1)


def to_microseconds(duration: Duration, what: str = "duration") -> Microseconds:
    """Rounds up, so that nothing is early. Refuses negative, NaN, infinite and absurdly long durations with ValueError."""
    if isinstance(duration, timedelta):
        count = duration // timedelta(microseconds=1)
    elif isinstance(duration, bool) or not isinstance(duration, (int, float)):
        raise TypeError(f"{what} must be a timedelta or seconds, not {type(duration).__name__}")
    elif not -math.inf < duration < math.inf:
        raise ValueError(f"{what} must be finite, not {duration}")
    elif duration > LONGEST.total_seconds():  # the product below might overflow
        count = _TOO_LONG
    else:
        count = -1 if duration < 0 else whole_microseconds(duration)
    if count < 0:
        raise ValueError(f"{what} must not be negative: {duration}")
    if count >= _TOO_LONG:
        raise ValueError(f"{what} is longer than {LONGEST.days} days")
    return count


def whole_microseconds(seconds: float) -> Microseconds:
    """Rounds up, but for what a float of this size cannot tell: 0.3 s are 300,000 µs, although 0.1 + 0.2 is a little more."""
    exact = seconds * SECOND
    nearest = round(exact)
    noise = max(0.001, 2 * math.ulp(seconds) * SECOND)
    return nearest if abs(exact - nearest) <= noise else math.ceil(exact)
