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

from perdure.clock import LONGEST, SECOND, Instant
from perdure.errors import NotAllowedInWorkflow
from perdure.runtime.places import line_of
from perdure.runtime.refusals import RefusingLoop
from perdure.runtime.tasks import AnyCoroutine, NumberedFuture, NumberedTask, caller, refuse_unordered_wait, unordered_batch

Ts = TypeVarTuple("Ts")
log = logging.getLogger("perdure.workflow")
CALLBACKS_MOST = 1_000_000  # in one activation; code that spins for ever must not hold the worker
CLOSES_MOST = 100  # how often a coroutine that swallows GeneratorExit is asked to end

_stubborn: list[object] = []
"""Coroutines that would not end. Held for ever, for the garbage collector would run their clean-up outside their run."""


class RunClosing(BaseException):
    """What workflow code gets for every command while its run is dropped from memory: not an Exception, so that nobody swallows it."""


class RunLoop(RefusingLoop):
    """Time moves only when a record is applied; `loop.time()` is seconds since the run's first record."""

    def __init__(self, host: object, base: int) -> None:
        self.host: object | None = host
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
        deadline = self.began + math.ceil(round(when * SECOND, 3))
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

    def _new_task(self, coro: AnyCoroutine, name: str | None, context: Context | None) -> NumberedTask:
        if self.is_closing:
            coro.close()
            raise RunClosing
        self._made += 1
        task = NumberedTask(coro, self, self._base + self._made, name, context)
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
        """Keep it until the run ends: the garbage collector's moment does not replay."""
        self.generators[id(generator)] = generator

    def close(self) -> None:
        """Close everything that is suspended, with this loop current, so that each `finally` sees a run that is closing."""
        self.is_closing = True
        outer = events._get_running_loop()
        hooks = sys.get_asyncgen_hooks()
        events._set_running_loop(self)
        sys.set_asyncgen_hooks(firstiter=None, finalizer=None)
        try:
            for task in reversed(list(self.tasks.values())):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _close(task.get_coro())
            for generator in reversed(list(self.generators.values())):
                _close_generator(generator)
        finally:
            sys.set_asyncgen_hooks(*hooks)
            events._set_running_loop(outer)
            self.tasks.clear()
            self.generators.clear()
            self.timers.clear()
            self._numbers.clear()
            self._deadlines.clear()
            self._ready.clear()

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.is_replaying:
            log.error("%s (run %s)", context.get("message"), self.host, exc_info=context.get("exception"))


def _close(coroutine: Any) -> None:
    for _ in range(CLOSES_MOST):
        try:
            coroutine.close()
        except BaseException as error:
            # It swallowed GeneratorExit, or its clean-up failed: there is no run any more that could record it.
            log.debug("a task of a closing run: %r", error)
        else:
            return
    log.warning("workflow code swallows GeneratorExit and cannot be closed; it is kept suspended: %r", coroutine)
    _stubborn.append(coroutine)


def _close_generator(generator: AsyncGenerator[Any, Any]) -> None:
    closing = generator.aclose()
    try:
        closing.send(None)
    except BaseException as error:
        log.debug("an async generator of a closing run: %r", error)


new_run_loop = cast("Callable[[object, int], RunLoop]", RunLoop)
"""Type checkers take it for abstract, for the refused methods are set by name."""
