"""What one life of a worker takes for its event loop: callbacks and tasks go to the test's loop, timers wait for virtual time."""

import asyncio
import heapq
import math
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, cast

from perdure.clock import SECOND, Instant
from perdure.testing.clock import VirtualClock


class LifeLoop:
    """Dies with its life: from then on nothing that was asked of it happens.

    `stirs` is called whenever something happens here: whoever waits until nothing happens any more listens to it.
    """

    def __init__(self, real: asyncio.AbstractEventLoop, clock: VirtualClock, stirs: Callable[[], None]) -> None:
        self.is_dead = False
        self.tasks: set[asyncio.Task[Any]] = set()
        self._real = real
        self._clock = clock
        self._stirs = stirs
        self._timers: list[tuple[Instant, int, asyncio.TimerHandle]] = []
        self._timers_made = 0

    # ── what happens soon, on the real loop ──────────────────────────────────────────────────────────────────────────

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        self._stirs()
        return self._real.call_soon(self._run, callback, args, context=context)

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        return self._real.call_soon_threadsafe(self._run, callback, args, context=context)

    def _run(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._stirs()
        if not self.is_dead:
            callback(*args)

    def create_future(self) -> "asyncio.Future[Any]":
        return self._real.create_future()

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> "asyncio.Task[Any]":
        self._stirs()
        if self.is_dead:
            coro.close()
            return cast("asyncio.Task[Any]", self._real.create_future())  # which never ends
        task = self._real.create_task(coro, name=name, context=context)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._real.call_exception_handler(context)

    def get_debug(self) -> bool:
        return False

    # ── what happens later, when the test lets time pass ─────────────────────────────────────────────────────────────

    def time(self) -> float:
        return (self._clock.now() - self._clock.began) / SECOND

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
        loop: Any = self  # which has all that a handle asks of its loop
        handle = asyncio.TimerHandle(when, callback, args, loop, context)
        moment = self._clock.began + math.ceil(round(when * SECOND, 3))
        self._timers_made += 1
        heapq.heappush(self._timers, (moment, self._timers_made, handle))
        if moment <= self._clock.now():
            self.call_soon(self.ring)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its moment comes."""

    def next_moment(self) -> Instant | None:
        """When the next timer is due; None where none is set."""
        while self._timers and (self.is_dead or self._timers[0][2].cancelled()):
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def ring(self) -> None:
        """Run the timers that are due by now, in order of their moments."""
        now = self._clock.now()
        while self._timers and self._timers[0][0] <= now:
            handle = heapq.heappop(self._timers)[2]
            if not (self.is_dead or handle.cancelled()):
                self._stirs()
                handle._run()
