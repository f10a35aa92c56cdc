"""One life of a worker in a test: what it reaches the world through, all of which ends at one stroke."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future
from types import coroutine
from typing import Any, TypeVar, cast

from perdure.clock import SECOND, Duration, to_microseconds
from perdure.engine.threads import DaemonThreads
from perdure.testing.clock import VirtualClock
from perdure.testing.loop import LifeLoop
from perdure.testing.store import InlineRunner

T = TypeVar("T")


class Life:
    """Lives until `die`. Then no callback, timer, transaction or step of it goes on, and no clean-up of its code runs: as after SIGKILL."""

    def __init__(self, real: asyncio.AbstractEventLoop, clock: VirtualClock, stirs: Callable[[], None]) -> None:
        self.loop = LifeLoop(real, clock, stirs)
        self.sleeping = 0
        """Attempts that wait for virtual time to pass, or for the test."""
        self.in_threads: set[Future[object]] = set()
        self._runners: list[InlineRunner] = []
        self._frozen: list[Coroutine[Any, Any, Any]] = []

    @property
    def is_dead(self) -> bool:
        return self.loop.is_dead

    @property
    def as_event_loop(self) -> asyncio.AbstractEventLoop:
        return cast(asyncio.AbstractEventLoop, self.loop)  # it has all that the engine asks of one

    def add(self, runner: InlineRunner) -> None:
        self._runners.append(runner)

    def threads(self, most: int) -> "CountedThreads":
        return CountedThreads(most, self.in_threads)

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def elapse(self, duration: Duration) -> None:
        """Wait for virtual time."""
        passed = self.loop.create_future()
        timer = self.loop.call_later(to_microseconds(duration) / SECOND, _pass, passed)
        try:
            await self.hold(passed)
        finally:
            timer.cancel()

    async def hold(self, what: Awaitable[T]) -> T:
        """Wait in a step for what the test will bring about: until then nothing is under way."""
        self.sleeping += 1
        try:
            return await what
        finally:
            self.sleeping -= 1

    @coroutine
    def drive(self, body: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Run an async step's body as long as this life lasts; then leave it where it stands."""
        step: Callable[[Any], Any] = body.send
        value: Any = None
        while True:
            try:
                yielded = step(value)
            except StopIteration as stop:
                return stop.value
            try:
                value, step = (yield yielded), body.send
            except GeneratorExit:
                body.close()
                raise
            except BaseException as error:
                value, step = error, body.throw
            if self.is_dead:
                self._frozen.append(body)
                raise asyncio.CancelledError("the process was killed")

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def die(self) -> None:
        self.loop.is_dead = True
        for task in list(self.loop.tasks):
            task.cancel()
        for runner in self._runners:
            runner.die()

    async def threads_end(self) -> None:
        """A thread cannot be killed; what it does is done before the next life begins."""
        await asyncio.gather(*(asyncio.wrap_future(one) for one in self.in_threads), return_exceptions=True)

    def bury(self) -> None:
        """The test is over: what its steps left suspended is closed."""
        for body in self._frozen:
            try:
                body.close()
            except BaseException:  # noqa: S110 - closing what is dead may fail: nobody is left whom it concerns
                pass  # its effects were looked at before, and it has nothing to report to
        self._frozen.clear()


def _pass(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


class CountedThreads(DaemonThreads):
    """The shipped threads, which also say what is under way."""

    def __init__(self, most: int, under_way: set[Future[object]]) -> None:
        super().__init__(most)
        self._under_way = under_way

    def submit(self, function: Callable[[], object]) -> "Future[object]":
        future = super().submit(function)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return future
