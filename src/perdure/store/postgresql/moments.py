"""The clock of the database as the engine reads it between two trips: that of the host, with what they differ by."""

from perdure.clock import Clock, Instant, Microseconds


class DatabaseClock:
    """Never ahead of the database by more than the two clocks drift apart between two readings: nothing is asked for before it is due."""

    def __init__(self, host: Clock) -> None:
        self._host = host
        self._offset: Microseconds = 0

    def now(self) -> Instant:
        return self._host.now() + self._offset

    def since_boot(self) -> Microseconds:
        return self._host.since_boot()

    def read(self, now: Instant) -> None:
        """The database said this in the answer that has just come."""
        self._offset = now - self._host.now()
