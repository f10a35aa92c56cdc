"""The clock of the database as the engine reads it between two trips: that of the host, with what they differ by."""

from perdure.clock import SECOND, Clock, Instant, Microseconds

STEP: Microseconds = SECOND  # beyond what a late answer explains: one of the clocks was set


class DatabaseClock:
    """Never ahead of the database by more than the two clocks drift apart between two readings: nothing is asked for before it is due.

    An answer is read some time after the database looked at its clock, so of several readings the one that says it is latest counts.
    """

    def __init__(self, host: Clock) -> None:
        self.is_known = False
        """Whether the database has said anything that it has not contradicted since."""
        self._host = host
        self._offset: Microseconds = 0

    def now(self) -> Instant:
        return self._host.now() + self._offset

    def since_boot(self) -> Microseconds:
        return self._host.since_boot()

    def read(self, now: Instant) -> None:
        """The database said this in the answer that has just come."""
        offset = now - self._host.now()
        if not self.is_known or not 0 < self._offset - offset < STEP:
            self._offset = offset
        self.is_known = True

    def doubt(self) -> None:
        """The database refused a moment that was read here: the next answer counts whatever it says."""
        self.is_known = False
