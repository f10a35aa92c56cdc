"""Until when a worker can be sure that nobody has taken its runs."""

from perdure.clock import Clock, Microseconds


class Tenure:
    """Every answer of the store that renews the lease extends it, counted from before the store was asked.

    While it is over (the process stood still, the store was out of reach) no step begins: first the fence is asked.
    """

    def __init__(self, clock: Clock, lease: Microseconds) -> None:
        self._clock = clock
        self._lease = lease
        self._until: Microseconds = 0

    @property
    def is_held(self) -> bool:
        return self._clock.since_boot() < self._until

    def asks(self) -> Microseconds:
        """To be called before the store is asked, and given back with its answer."""
        return self._clock.since_boot()

    def is_renewed(self, asked_at: Microseconds) -> None:
        self._until = max(self._until, asked_at + self._lease)

    def is_lost(self) -> None:
        self._until = 0
