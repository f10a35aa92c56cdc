"""Runs that only wait stay in memory a little: a signal that comes soon finds them there."""

import asyncio
from collections import deque
from collections.abc import Callable

from perdure.engine.live import LiveRun


class Lingering:
    """Parks each run when its time is over, if it is still idle then. By the loop's time: a clock that is set back keeps nobody here."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, park: Callable[[LiveRun], None]) -> None:
        self._seconds = seconds
        self._park = park
        self._loop = loop
        self._runs: deque[LiveRun] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, run: LiveRun) -> None:
        run.idle_until = self._loop.time() + self._seconds
        self._runs.append(run)
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._look)

    def clear(self) -> None:
        self._runs.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._runs:
            run = self._runs[0]
            if run.is_mine and not run.is_busy and run.idle_until is not None and run.idle_until > now:
                self._timer = self._loop.call_at(run.idle_until, self._look)
                return
            self._runs.popleft()
            if run.idle_until is not None:
                self._park(run)
