"""Time that stands still until a test moves it, and chance that is the same in every run of the test."""

from datetime import UTC, datetime
from random import Random

from perdure.clock import SECOND, Instant, Microseconds, to_datetime, to_instant

DEFAULT_START = datetime(2026, 1, 1, tzinfo=UTC)
_BOOTED_BEFORE: Microseconds = 1000 * SECOND


class VirtualClock:
    """The wall clock of a test. That of leases is apart: it moves only when a process is killed, so no skip loses a lease."""

    def __init__(self, start: datetime | None) -> None:
        self.began: Instant = to_instant(DEFAULT_START if start is None else start)
        self._now = self.began
        self._since_boot = _BOOTED_BEFORE

    def now(self) -> Instant:
        return self._now

    def since_boot(self) -> Microseconds:
        return self._since_boot

    def to_datetime(self) -> datetime:
        return to_datetime(self._now)

    def move_to(self, moment: Instant) -> None:
        """Never back."""
        self._now = max(self._now, moment)

    def outlast_leases(self, lease_seconds: float) -> None:
        """Whoever is dead can be seen to be dead."""
        self._since_boot += round((lease_seconds + 1) * SECOND)


class SeededEntropy:
    """Ids and seeds of runs: the same ones in every run of the test."""

    def __init__(self, seed: int) -> None:
        self._random = Random(f"entropy {seed}")

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)
