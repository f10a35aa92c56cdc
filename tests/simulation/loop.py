"""An event loop on virtual time: one per simulated process. It does no I/O, has no threads, and runs only when the world lets it."""

import asyncio
import heapq
import math
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from random import Random
from typing import Any, Protocol

SECOND = 1_000_000


class Owner(Protocol):
    """The simulated process that a loop belongs to."""

    @property
    def now(self) -> int:
        """Virtual microseconds."""

    def broke(self, context: dict[str, Any]) -> None:
        """A callback has raised: in the engine, that is a bug."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """First in, first out, as asyncio does it. `permuting` also lets neighbouring steps of different tasks change places.

    Tasks are held weakly, as asyncio holds them: one that nobody else holds may be collected while it waits.
    """

    def __init__(self, owner: Owner, permuting: Random | None = None) -> None:
        self._owner = owner
        self._permuting = permuting
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[int, int, asyncio.TimerHandle]] = []
        self._timers_made = 0

    # ── what asyncio and the engine ask for ──────────────────────────────────────────────────────────────────────────

    def time(self) -> float:
        return self._owner.now / SECOND

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers_made += 1
        heapq.heappush(self._timers, (math.ceil(round(when * SECOND, 3)), self._timers_made, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is skipped when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None, **_later: object
    ) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._owner.broke(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    # ── what the world asks for ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_ready(self) -> bool:
        return bool(self._ready)

    def has_ready(self, now: int) -> bool:
        """Whether something could run now."""
        if self._timers and self._timers[0][0] <= now:
            self._ring(now)
        return bool(self._ready)

    def next_timer(self) -> int | None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _ring(self, now: int) -> None:
        """Timers whose time has come are ready, in order of their moments."""
        while self._timers and self._timers[0][0] <= now:
            handle = heapq.heappop(self._timers)[2]
            if not handle.cancelled():
                self._ready.append(handle)

    def run_one(self) -> asyncio.Handle:
        """Run the next ready callback; a cancelled one is passed over in silence."""
        handle = self._take()
        if not handle.cancelled():
            events._set_running_loop(self)
            try:
                handle._run()
            finally:
                events._set_running_loop(None)
        return handle

    def _take(self) -> asyncio.Handle:
        if self._permuting is None or len(self._ready) < 2:
            return self._ready.popleft()
        index = self._permuting.randrange(max(1, self._next_steps()))
        handle = self._ready[index]
        del self._ready[index]
        return handle

    def _next_steps(self) -> int:
        """How many steps of different tasks stand at the head of the queue: only these may change places."""
        tasks = set()
        for handle in self._ready:
            task = task_of(handle)
            if task is None or task in tasks:
                break
            tasks.add(task)
        return len(tasks)

    def close_tasks(self) -> None:
        """Of a process that is no more: none of them runs again."""
        closed: set[asyncio.Task[Any]] = set()
        while tasks := asyncio.all_tasks(self) - closed:  # the end of one may begin another
            for task in tasks:
                close(task)
            closed |= tasks
        self._ready.clear()
        self._timers.clear()

    def armed(self) -> int:
        """How many timers are set."""
        return sum(not handle.cancelled() for _, _, handle in self._timers)


def close(task: Any) -> None:
    task._log_destroy_pending = False
    with suppress(BaseException):  # clean-up in it may fail: it has nothing to clean any more
        task.get_coro().close()


def task_of(handle: asyncio.Handle) -> asyncio.Task[Any] | None:
    owner = getattr(handle._callback, "__self__", None)
    return owner if isinstance(owner, asyncio.Task) else None
