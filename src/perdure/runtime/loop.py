"""The event loop of one run: a ready queue and timers on recorded time. It does no I/O and refuses whoever asks for it."""

import asyncio
import heapq
import logging
import math
import sys
from asyncio import events
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextvars import Context
from typing import Any, TypeVarTuple, cast

from perdure.clock import LONGEST, SECOND, Instant, whole_microseconds
from perdure.errors import NotAllowedInWorkflow
from perdure.runtime.closing import close_generator, close_task, unlink
from perdure.runtime.places import line_of
from perdure.runtime.refusals import RefusingLoop
from perdure.runtime.tasks import AnyCoroutine, NumberedFuture, NumberedTask, caller, refuse_unordered_wait, unordered_batch

Ts = TypeVarTuple("Ts")
log = logging.getLogger("perdure.workflow")
CALLBACKS_MOST = 1_000_000  # in one activation; code that spins for ever must not hold the worker
TASKS_NAMED_MOST = 10  # in a warning
GENERATORS_LEAST = 64  # so many are held before the finished ones are sorted out


class RunLoop(RefusingLoop):
    """Time moves only when a record is applied; `loop.time()` is seconds since the run's first record."""

    def __init__(self, host: object, base: int) -> None:
        self.host: object | None = host
        self.name = str(host)
        self.is_replaying = True
        self.is_closing = False
        self.began: Instant = 0
        self.now: Instant = 0
        self.timers: dict[int, tuple[Instant, asyncio.TimerHandle]] = {}
        self.timers_set = 0
        self.tasks: dict[int, NumberedTask] = {}
        self.generators: dict[int, AsyncGenerator[Any, Any]] = {}
        self._ready: deque[asyncio.Handle] = deque()
        self._deadlines: list[tuple[Instant, int]] = []
        self._numbers: dict[int, int] = {}  # id of a timer's handle -> its number
        self._base = base << 24
        self._made = 0
        self._batch: dict[int, NumberedTask] = {}
        self._first_task: NumberedTask | None = None
        self._generators_room = GENERATORS_LEAST

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def time(self) -> float:
        return (self.now - self.began) / SECOND

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> asyncio.TimerHandle:
        if not math.isfinite(when) or when > LONGEST.total_seconds():
            raise ValueError(f"{line_of(caller())}: a wait must be finite and at most {LONGEST.days} days, not {when}")
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        deadline = self.began + whole_microseconds(when)
        if deadline <= self.now:
            self._ready.append(handle)
            return handle
        number = self.timers_set
        self.timers_set += 1
        self.timers[number] = (deadline, handle)
        self._numbers[id(handle)] = number
        heapq.heappush(self._deadlines, (deadline, number))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        number = self._numbers.pop(id(handle), None)
        if number is not None:
            del self.timers[number]
            if len(self._deadlines) > 64 and len(self._deadlines) > 2 * len(self.timers):
                self._deadlines = sorted((deadline, number) for number, (deadline, _) in self.timers.items())

    def fire(self, number: int) -> None:
        """Apply one recorded firing. Of a timer that was cancelled since, it is a legal no-op."""
        found = self.timers.pop(number, None)
        if found is not None:
            del self._numbers[id(found[1])]
            self._ready.append(found[1])

    def next_deadline(self) -> Instant | None:
        while self._deadlines and self._deadlines[0][1] not in self.timers:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def due(self, now: Instant) -> list[tuple[Instant, int]]:
        """Timers whose moment has come, in order; they stay set until their firing is applied."""
        due = []
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline, number = heapq.heappop(self._deadlines)
            if number in self.timers:
                due.append((deadline, number))
        for one in due:
            heapq.heappush(self._deadlines, one)
        return due

    def upcoming(self, most: int) -> list[tuple[Instant, int]]:
        """The next timers, in order, whether or not their moment has come."""
        return sorted(one for one in self._deadlines if one[1] in self.timers)[:most]

    # ── tasks and futures ────────────────────────────────────────────────────────────────────────────────────────────

    def create_future(self) -> asyncio.Future[Any]:
        refuse_unordered_wait(sys._getframe(1))
        self._made += 1
        return NumberedFuture(self, self._base + self._made)

    def create_task(self, coro: AnyCoroutine, *, name: str | None = None, context: Context | None = None, **_later: object) -> Any:
        made = self._batch.pop(id(coro), None)
        if made is not None:
            return made
        batch = unordered_batch(sys._getframe(1))
        if not batch:
            return self._new_task(coro, name, context)
        for one in batch:
            if id(one) not in self._batch:
                self._batch[id(one)] = self._new_task(one, None, None)
        return self._batch.pop(id(coro))

    def _new_task(self, coro: AnyCoroutine, name: str | None, context: Context | None) -> Any:
        self._made += 1
        if self.is_closing:
            coro.close()
            return NumberedFuture(self, self._base + self._made)  # nothing comes of it: whoever awaits it gets RunClosing there
        task = NumberedTask(coro, self, self._base + self._made, name, context)
        self._first_task = self._first_task or task
        self.tasks[task.number] = task
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.tasks.pop(hash(task), None)

    # ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def run_until_idle(self) -> None:
        """Run what is ready, and what that makes ready. Called from a plain callback of the worker's loop, never inside a task."""
        outer = events._get_running_loop()
        hooks = sys.get_asyncgen_hooks()
        events._set_running_loop(self)
        sys.set_asyncgen_hooks(firstiter=self._hold_generator, finalizer=None)
        ready, left = self._ready, CALLBACKS_MOST
        try:
            while ready:
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
                left -= 1
                if not left:
                    raise NotAllowedInWorkflow(f"workflow code ran {CALLBACKS_MOST:,} callbacks without waiting for anything; it spins")
        finally:
            sys.set_asyncgen_hooks(*hooks)
            events._set_running_loop(outer)

    def _hold_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Keep it until it has finished or the run ends: the garbage collector's moment does not replay."""
        if len(self.generators) >= self._generators_room:
            self.generators = {key: held for key, held in self.generators.items() if getattr(held, "ag_frame", None) is not None}
            self._generators_room = 2 * len(self.generators) + GENERATORS_LEAST
        self.generators[id(generator)] = generator

    # ── closing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_silent(self) -> bool:
        """Whether what the code logs is not to be heard: it was heard before, or will be when the run is taken up again."""
        return self.is_replaying or self.is_closing

    def close(self) -> None:
        """Close everything that is suspended, with this loop current, so that each `finally` sees a run that is closing."""
        self.is_closing = True
        outer = events._get_running_loop()
        hooks = sys.get_asyncgen_hooks()
        events._set_running_loop(self)
        sys.set_asyncgen_hooks(firstiter=None, finalizer=None)
        try:
            stubborn = [one for one in self._suspended() if not self._close(one)]
        finally:
            sys.set_asyncgen_hooks(*hooks)
            events._set_running_loop(outer)
            self._forget_everything()
        for one in stubborn:
            log.warning("run %s: workflow code swallows every exception and cannot be closed; it is kept suspended: %r", self.host, one)

    def warn_of_unfinished(self, main: asyncio.Task[object] | None) -> None:
        """The run has ended; tasks that are not done end with it, and what they had not recorded does not happen."""
        left = [task for task in self.tasks.values() if task is not main and not task.done()]
        if left and not self.is_replaying:
            names = ", ".join(f"{task.get_name()} ({getattr(task.get_coro(), '__qualname__', '?')})" for task in left[:TASKS_NAMED_MOST])
            more = f" and {len(left) - TASKS_NAMED_MOST} more" if len(left) > TASKS_NAMED_MOST else ""
            log.warning(
                "run %s has ended with tasks still running, which are given up: %s%s; await them, or cancel them, before the end",
                self.name, names, more,
            )  # fmt: skip

    def _suspended(self) -> list[NumberedTask | AsyncGenerator[Any, Any]]:
        """The latest first: what was started last is closed before what started it."""
        return [*reversed(self.tasks.values()), *reversed(self.generators.values())]

    def _close(self, suspended: NumberedTask | AsyncGenerator[Any, Any]) -> bool:
        if isinstance(suspended, NumberedTask):
            return close_task(self, suspended)
        return self._first_task is None or close_generator(self, self._first_task, suspended)

    def _forget_everything(self) -> None:
        for task in self.tasks.values():
            unlink(task)
        self.tasks.clear()
        self.generators.clear()
        self.timers.clear()
        self._numbers.clear()
        self._deadlines.clear()
        self._ready.clear()
        self._first_task = None

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.is_replaying:  # a task whose error nobody awaited may complain only after the run has ended
            log.error("%s (run %s)", context.get("message"), self.name, exc_info=context.get("exception"))


new_run_loop = cast("Callable[[object, int], RunLoop]", RunLoop)
"""Type checkers take it for abstract, for the refused methods are set by name."""
