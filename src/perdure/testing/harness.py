"""The shipped engine and store with time that stands still: what the tests of workflows run on."""

import asyncio
import heapq
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Self, TypeVar

from perdure.authoring.current import attempt_info
from perdure.authoring.step import Step
from perdure.authoring.workflow import Workflow
from perdure.clock import Clock, Duration, Instant, to_instant, to_microseconds
from perdure.engine.ports import Ports
from perdure.engine.service import Engine
from perdure.model.states import RunState
from perdure.run import Page, Run, RunRecord, RunStatus
from perdure.settings import Settings
from perdure.store.protocol import Checkpoint, Committed, Store
from perdure.store.sqlite.database import MEMORY, Database
from perdure.store.sqlite.transactions import Transactions
from perdure.testing.clock import SeededEntropy, VirtualClock
from perdure.testing.doubles import Call, Doubles
from perdure.testing.life import Life
from perdure.testing.settling import Settling
from perdure.testing.store import InlineRunner, LifeStore, ProcessKilled

T = TypeVar("T")
MOMENTS_MOST = 100_000  # at which something happens, on the way to the end of one run
_FOREVER = float("inf")


def _settings() -> Settings:
    return Settings(linger_seconds=0.0, park_wait_seconds=_FOREVER, alarm_seconds_most=_FOREVER)


class NotEnded(AssertionError):
    """The run was expected to end, but nothing that could wake it is left to happen by itself."""


@dataclass(slots=True)
class Watch:
    """Who is told of what this engine's worker writes, and may kill it for that: before COMMIT, or after it."""

    dies_before: Callable[[Checkpoint, Committed], bool] = lambda _batch, _committed: False
    dies_after: Callable[[Checkpoint, Committed], bool] = lambda _batch, _committed: False


class VirtualEngine(Engine):
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
        self._virtual = VirtualClock(start)
        self.watch = Watch()
        self.doubles = Doubles(self._virtual, lambda: self._life, real_steps)
        self._replays_at_end = replays_at_end
        self._settling = Settling(patience, self._busy)
        self._path = MEMORY if path is None else str(path)
        self._planned: list[tuple[Instant, int, Callable[[], Awaitable[object] | object]]] = []
        self._plans = count()
        self._moving = 0
        self._lives: list[Life] = []
        super().__init__(f"sqlite:///{self._path}", workflows, settings=_settings(), ports=self._ports_of(seed))

    def _ports_of(self, seed: int) -> Ports:
        return Ports(
            clock=self._virtual,
            entropy=SeededEntropy(seed),
            chance=Random(f"chance {seed}"),
            threads=lambda most: self._life.threads(most),  # noqa: PLW0108 - each life has threads of its own
            open_store=self._open_store,
            loop=lambda: self._life.as_event_loop,
            stand_in=self.doubles.stand_in,
            beats_in_thread=None,
            reached=self._settling.stirs_at,
        )

    # ── life and death ───────────────────────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> Self:
        self._real = asyncio.get_running_loop()
        self._transactions = Transactions(Database(self._path))
        self._transactions.open(create=True)
        try:
            await self._begin_life()
            await self.settle()
        except BaseException:
            self._transactions.close()
            raise
        return self

    async def _begin_life(self) -> None:
        self._lives.append(Life(self._real, self._virtual, self._settling.stirs))
        await super().__aenter__()

    async def __aexit__(self, *details: object) -> None:
        try:
            if not self._life.is_dead:
                self.kill_attempts()  # time stands still: what waits for it would never end
                await super().__aexit__(*details)
        finally:
            for life in self._lives:
                life.bury()
            self._transactions.close()

    @property
    def _life(self) -> Life:
        return self._lives[-1]

    def _open_store(self, url: str, *, namespace: str, clock: Clock) -> Store:  # noqa: ARG002 - the address is this engine's own
        runner = InlineRunner(
            self._transactions,
            self._real,
            self._settling.stirs,
            lambda committed: self.watch.dies_before(store.batch, committed),
            lambda committed: self.watch.dies_after(store.batch, committed),
            self._kill,
        )
        self._life.add(runner)
        store = LifeStore(self._path, namespace=namespace, clock=clock, runner=runner)
        return store

    async def crash(self) -> None:
        """The process is killed, as SIGKILL would, and another one opens the store: only what is committed is still there.

        A plain `def` step that is running in a thread ends first; an `async def` step stops where it stands, without its `finally`.
        """
        await self.settle()
        self._real.call_soon(self._kill)
        await asyncio.sleep(0)
        await self.settle()

    def _kill(self) -> None:
        """From a plain callback of the loop, as whatever closes the code of a run."""
        self._life.die()
        for run in list(self.worker.live.values()):
            run.let_go()
        self.worker.live.clear()

    async def _revive(self) -> None:
        await self._life.threads_end()
        await asyncio.gather(*self._life.loop.tasks, return_exceptions=True)
        self._virtual.outlast_leases(self._settings.lease_seconds)
        await self._begin_life()

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
        asked = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        total = to_microseconds(asked) + (0 if duration is None else to_microseconds(duration))
        await self._move(self._virtual.now() + total)

    async def skip_to(self, when: datetime) -> None:
        """Let time pass until this moment."""
        await self._move(to_instant(when))

    def at(self, when: datetime | Duration, call: Callable[..., Awaitable[object] | object], *args: Any, **kwargs: Any) -> None:
        """Plan a call for a moment, or for so much time from now: `engine.at(timedelta(hours=3), run.signal, "paid", payment)`."""
        moment = to_instant(when) if isinstance(when, datetime) else self._virtual.now() + to_microseconds(when)
        heapq.heappush(self._planned, (moment, next(self._plans), lambda: call(*args, **kwargs)))

    async def finish(self, run: Run) -> Any:
        """Let as much time pass as this run needs to end, and give its result or raise what ended it. Raises NotEnded."""
        self._moving += 1
        try:
            for _ in range(MOMENTS_MOST):
                await self.settle()
                state = (await self._row(run.id)).state
                if state.is_final or state is RunState.QUARANTINED or not await self.advance():
                    break
        finally:
            self._moving -= 1
        return await self.wait_for_result(run.id, None)

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
            while (moment := self._next_moment()) is not None and moment <= target:
                await self._happen(moment)
            self._virtual.move_to(target)
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

    # ── settling ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def settle(self) -> None:
        """Return when nothing is left that happens at this moment of virtual time. Calls from inside a step return at once.

        Runs that wait leave memory, so that whatever comes next for them begins with a replay.
        """
        if attempt_info.get(None) is not None:
            return
        await self._be_quiet()
        if not self._moving:
            self._keep_waiting_runs(0.0)
            for run_id in list(self.worker.live):
                self.worker.signalled(run_id)  # looks at it once more, and lets it go
            await self._be_quiet()
            self._keep_waiting_runs(_FOREVER)

    async def _be_quiet(self) -> None:
        await self._settling.settle()
        while self._life.is_dead:
            await self._revive()
            await self._settling.settle()
        if self.failure.done():
            await self.failure

    def _keep_waiting_runs(self, seconds: float) -> None:
        """In memory, if what they wait for is due sooner: while time passes, a replay at every wait would cost more than all the rest."""
        object.__setattr__(self._settings, "park_wait_seconds", seconds)  # frozen for users; this one is this engine's own

    def _busy(self) -> list[str]:
        """What is under way, in words."""
        if self._worker is None or self._life.is_dead:
            return []
        attempts = [f"step {one.command.name} of run {run.id}" for run in self._worker.live.values() for one in run.attempts.values()]
        if len(attempts) > self._life.sleeping:
            return attempts
        return [f"run {run.id}" for run in self._worker.live.values() if run.is_loading or run.is_in_flight or run.has_news]

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def fake(self, step: Step[..., Any], *outcome: Any, each: Sequence[Any] | None = None, takes: Duration | None = None) -> None:
        """Put something in the place of a step: a result, an exception to raise, or a function (async or not) of its arguments.

        `each` gives one outcome per attempt, in order; an attempt too many fails with an AssertionError. `takes`: so much virtual time.
        """
        if (len(outcome) == 1) == (each is not None):
            raise TypeError("fake() takes one outcome, or each=[…] with one for every attempt")
        self.doubles.fake(step, outcome if each is None else list(each), repeats=each is None, takes=takes)

    def calls(self, step: Step[..., Any] | None = None) -> list[Call]:
        """Every attempt of this step (of any, without one) in the order they began, faked or real."""
        return [call for call in self.doubles.calls if step is None or call.step == step.name]

    # ── what the client does, settled ────────────────────────────────────────────────────────────────────────────────

    async def _start(self, name: str, payload: bytes, id: str | None) -> Run:
        run = await super()._start(name, payload, id)
        await self.settle()
        return run

    async def send_signal(self, run_id: str, topic: str, payload: Any, key: str | None) -> None:
        await super().send_signal(run_id, topic, payload, key)
        await self.settle()

    async def resume_run(self, run_id: str) -> None:
        await super().resume_run(run_id)
        await self.settle()

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

    async def wait_for_result(self, run_id: str, timeout: Duration | None) -> Any:  # noqa: ARG002 - time stands still
        """What the run has ended with. Raises NotEnded at once where it waits, unless somebody else is letting time pass."""
        await self.settle()
        while not (row := await self._row(run_id)).state.is_final:
            if not self._moving:
                raise NotEnded(await self._why_not_ended(run_id))
            await asyncio.sleep(0)
            await self.settle()
        return self._result_of(run_id, row.workflow, await self._store.last_record(run_id))

    async def _why_not_ended(self, run_id: str) -> str:
        status = await super().status_of(run_id)
        if status.error is not None:
            return f"run {run_id} has not ended, it is {status.state}: {status.error['type']}: {status.error['message']}"
        waits = "; ".join(str(one["text"]) for one in status.waiting_for) or "nothing"
        return (
            f"run {run_id} has not ended, it is {status.state} and waits for: {waits}. "
            f"Time stands still at {self.now:%Y-%m-%d %H:%M:%S} UTC: let it pass with engine.skip(…), or send what it waits for"
        )
