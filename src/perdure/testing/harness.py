"""The shipped engine and store with time that stands still: what the tests of workflows run on."""

import asyncio
import heapq
import inspect
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from perdure.authoring.step import Step
from perdure.authoring.workflow import Workflow
from perdure.clock import Duration, Instant, to_instant, to_microseconds
from perdure.codec.exports import write_export
from perdure.model.states import RunState
from perdure.run import Page, Run, RunRecord, RunStatus
from perdure.testing.doubles import Call
from perdure.testing.handles import SettledRun
from perdure.testing.mortal import MortalEngine
from perdure.testing.store import ProcessKilled

T = TypeVar("T")
MOMENTS_MOST = 1_000_000  # at which something happens, in one skip or on the way to the end of one run


class NotEnded(AssertionError):
    """The run was expected to end, but nothing that could wake it is left to happen by itself."""


class VirtualEngine(MortalEngine):
    """An `Engine` for tests. Nothing happens by itself later: time stands still until `skip`, `skip_to` or `finish` moves it.

    When a call of it or of its runs returns, every run has settled: it has ended, or waits for time to pass or for somebody else.
    """

    def __init__(
        self,
        workflows: Sequence[Workflow[..., Any]],
        *,
        start: datetime | None = None,
        real_steps: bool = True,
        seed: int = 0,
        patience: float = 10.0,
        path: str | Path | None = None,
        replays_at_end: bool = True,
    ) -> None:
        """`start`: the virtual time at which it opens (an aware datetime). `real_steps=False`: a step that is not faked fails.

        `seed`: of ids, random numbers and jitter, which are the same in every run of the test. `patience`: real seconds that a step may
        take. `path`: keep the store in this file instead of in memory. `replays_at_end`: see `__aexit__`.
        """
        self._planned: list[tuple[Instant, int, Callable[[], Awaitable[object] | object]]] = []
        self._plans = count()
        super().__init__(
            workflows, start=start, real_steps=real_steps, seed=seed, patience=patience, path=path, replays_at_end=replays_at_end
        )

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def now(self) -> datetime:
        """The virtual time."""
        return self._virtual.to_datetime()

    async def skip(
        self, duration: Duration | None = None, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> None:
        """Let time pass: `skip(hours=48)`, `skip(90)`, `skip(timedelta(days=3))`. What falls due happens at its own moment, in order.

        Planned calls (`at`) come before timers of the same moment. When it returns, every run has settled.
        """
        try:
            asked = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        except OverflowError as error:
            raise ValueError(f"skip() cannot go as far as {days} days, {hours} hours, {minutes} minutes, {seconds} seconds") from error
        total = to_microseconds(asked) + (0 if duration is None else to_microseconds(duration))
        await self._move(self._virtual.now() + total)

    async def skip_to(self, when: datetime) -> None:
        """Let time pass until this moment. Raises ValueError for one that has passed."""
        moment = to_instant(when)
        if moment < self._virtual.now():
            raise ValueError(f"it is {self.now} already; time does not go back to {when}")
        await self._move(moment)

    def at(self, when: datetime | Duration, call: Callable[..., Awaitable[object] | object], *args: Any, **kwargs: Any) -> None:
        """Plan a call for a moment, or for so much time from now: `engine.at(timedelta(hours=3), run.signal, "paid", payment)`."""
        moment = to_instant(when) if isinstance(when, datetime) else self._virtual.now() + to_microseconds(when)
        heapq.heappush(self._planned, (moment, next(self._plans), lambda: call(*args, **kwargs)))

    async def finish(self, run: Run[T]) -> T:
        """Let as much time pass as this run needs to end, and give its result or raise what ended it. Raises NotEnded."""
        expect_run(run, "finish()")
        self._moving += 1
        try:
            for _ in range(MOMENTS_MOST):
                await self.settle()
                state = (await self._row(run.id)).state
                if state.is_final or state is RunState.QUARANTINED or not await self.advance():
                    break
        finally:
            self._moving -= 1
        result: T = await self.wait_for_result(run.id, None)
        return result

    @property
    def has_plans(self) -> bool:
        """Whether anything is left that happens by itself when time passes."""
        return self._next_moment() is not None

    async def advance(self) -> bool:
        """Let time pass until the next thing happens. False, and no time passes, where nothing is planned and no timer is set."""
        moment = self._next_moment()
        if moment is not None:
            await self._move(moment)
        return moment is not None

    async def _move(self, target: Instant) -> None:
        self._moving += 1
        try:
            await self.settle()
            for _ in range(MOMENTS_MOST):
                moment = self._next_moment()
                if moment is None or moment > target:
                    self._virtual.move_to(target)
                    return
                await self._happen(moment)
            raise AssertionError(f"{MOMENTS_MOST:,} moments have come, and it is only {self.now}: a workflow or a fake spins")
        finally:
            self._moving -= 1

    def _next_moment(self) -> Instant | None:
        moments = [self._life.loop.next_moment(), self._planned[0][0] if self._planned else None]
        return min((moment for moment in moments if moment is not None), default=None)

    async def _happen(self, moment: Instant) -> None:
        self._virtual.move_to(moment)
        while self._planned and self._planned[0][0] <= moment:
            planned = heapq.heappop(self._planned)[2]()
            if inspect.isawaitable(planned):
                await planned
        await self.settle()
        self._real.call_soon(self._life.loop.ring)
        await self.settle()

    async def elapse(self, duration: Duration) -> None:
        """Inside the fake of a step: it takes so much virtual time."""
        await self._life.elapse(duration)

    async def hold(self, what: Awaitable[T]) -> T:
        """Inside the fake of a step: wait for something that the test will bring about, such as an event that it sets later.

        Until then the run counts as settled, so the calls of the test return although this step is under way.
        """
        return await self._life.hold(what)

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def fake(self, step: Step[..., Any], *outcome: Any, each: Sequence[Any] | None = None, takes: Duration | None = None) -> None:
        """Put something in the place of a step: a result, an exception to raise, or a function (async or not) of its arguments.

        `each` gives one outcome per attempt, in order; an attempt too many fails with an AssertionError. `takes`: so much virtual time.
        """
        if not isinstance(step, Step):
            raise TypeError(f"fake() takes a step, a function with @step above it, not {step!r}")
        if (len(outcome) == 1) == (each is not None):
            raise TypeError("fake() takes one outcome, or each=[…] with one for every attempt")
        self.doubles.fake(step, outcome if each is None else list(each), repeats=each is None, takes=takes)

    def calls(self, step: Step[..., Any] | None = None) -> list[Call]:
        """Every attempt of this step (of any, without one) in the order they began, faked or real."""
        return [call for call in self.doubles.calls if step is None or call.step == step.name]

    async def export(self, run: Run) -> bytes:
        """The run's history as a file, for `testing.replay` and `perdure check`: keep it beside the tests as a golden history."""
        expect_run(run, "export()")
        await self.settle()
        return write_export(await self._history(run.id))

    # ── what the client does, settled ────────────────────────────────────────────────────────────────────────────────

    async def _start(self, name: str, payload: bytes, id: str | None, transaction: Any = None) -> Run:
        run = await super()._start(name, payload, id, transaction)
        await self.settle()
        return SettledRun(run, self.settle)

    def run(self, id: str) -> Run:
        return SettledRun(super().run(id), self.settle)

    async def status_of(self, run_id: str) -> RunStatus:
        await self.settle()
        return await super().status_of(run_id)

    async def history_of(self, run_id: str) -> list[RunRecord]:
        await self.settle()
        return await super().history_of(run_id)

    async def runs(self, *, workflow: str | None = None, status: str | None = None, limit: int = 100, cursor: str | None = None) -> Page:
        await self.settle()
        return await super().runs(workflow=workflow, status=status, limit=limit, cursor=cursor)

    async def _repeated(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await super()._repeated(call)
            except ProcessKilled:  # put back: whoever called it outlives the process, and asks the next one
                await self.settle()

    async def wait_for_result(self, run_id: str, timeout: Duration | None, known: Workflow[..., Any] | None = None) -> Any:  # noqa: ARG002 - time stands still
        """What the run has ended with. Raises NotEnded at once where it waits, unless somebody else is letting time pass."""
        await self.settle()
        while not (row := await self._row(run_id)).state.is_final:
            if not self._moving:
                raise NotEnded(await self._why_not_ended(run_id))
            await asyncio.sleep(0)
            await self.settle()
        return self._result_of(run_id, row.workflow, await self._store.last_record(run_id), known)

    async def _why_not_ended(self, run_id: str) -> str:
        status = await super().status_of(run_id)
        if status.error is not None:
            return f"run {run_id} has not ended, it is {status.state}: {status.error['type']}: {status.error['message']}"
        waits = "; ".join(str(one["text"]) for one in status.waiting_for) or "nothing"
        return (
            f"run {run_id} has not ended, it is {status.state} and waits for: {waits}. "
            f"Time stands still at {self.now:%Y-%m-%d %H:%M:%S} UTC: let it pass with engine.skip(…), or send what it waits for"
        )


def expect_run(given: object, call: str) -> None:
    if not isinstance(given, Run):
        raise TypeError(f"{call} takes the run that start() gave, or engine.run(id), not {given!r}")


engine = VirtualEngine
"""`async with testing.engine([fulfil], start=datetime(2026, 1, 1, tzinfo=UTC)) as engine:`, as a word of the test's language."""
