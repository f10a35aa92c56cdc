"""Notices that the clock has run ahead of the event loop's: it was set forward, or the machine slept, and no timer in memory knows."""

import asyncio

from perdure.clock import SECOND, Clock


class ClockSteps:
    """The loop's clock stands still while the machine sleeps, and is set by nobody."""

    def __init__(self, clock: Clock, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._loop = loop
        self._ahead = self._reading()

    def _reading(self) -> float:
        return self._clock.now() / SECOND - self._loop.time()

    def has_stepped_forward(self) -> bool:
        """Since the last time this was true, or since the clock was set back."""
        ahead = self._reading()
        is_step = ahead - self._ahead > self._seconds
        if is_step or ahead < self._ahead:
            self._ahead = ahead
        return is_step
