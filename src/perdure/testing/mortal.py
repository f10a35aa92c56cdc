"""The shipped engine and store on virtual time, whose process can be killed and started anew in the middle of a test."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Self

from perdure.authoring.current import attempt_info
from perdure.authoring.workflow import Workflow
from perdure.clock import Clock
from perdure.engine.ports import Ports
from perdure.engine.service import Engine
from perdure.model.histories import History, history_of
from perdure.model.states import RunState
from perdure.settings import Settings
from perdure.store.protocol import Checkpoint, Committed, Store
from perdure.store.sqlite.database import MEMORY, Database
from perdure.store.sqlite.transactions import Done, Failed, Transactions
from perdure.testing.clock import SeededEntropy, VirtualClock
from perdure.testing.doubles import Doubles
from perdure.testing.histories import check
from perdure.testing.life import Life
from perdure.testing.settling import Settling
from perdure.testing.store import InlineRunner, LifeStore
from perdure.testing.stories import RUNS_SHOWN_MOST, story_of

REPLAYS_MOST = 1000  # of runs, when the block of an engine ends
_FOREVER = float("inf")


@dataclass(slots=True)
class Watch:
    """Who is told of what this engine's worker writes, and may kill it for that: before COMMIT, or after it."""

    dies_before: Callable[[Checkpoint, Committed], bool] = lambda _batch, _committed: False
    dies_after: Callable[[Checkpoint, Committed], bool] = lambda _batch, _committed: False


def _settings() -> Settings:
    return Settings(linger_seconds=0.0, park_wait_seconds=_FOREVER, alarm_seconds_most=_FOREVER)


def _opened(path: str) -> Transactions:
    transactions = Transactions(Database(path))
    transactions.open(create=True)
    return transactions


class MortalEngine(Engine):
    """An `Engine` in a process of which the test can say when it dies. Time stands still in it."""

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
        self.is_open = False
        self.story = ""
        """What the runs did, once the block has failed."""
        self._virtual = VirtualClock(start)
        self.watch = Watch()
        self.doubles = Doubles(self._virtual, lambda: self._life, real_steps)
        self._replays_at_end = replays_at_end
        self._settling = Settling(patience, self._busy)
        self._path = MEMORY if path is None else str(path)
        self._moving = 0
        """Who is letting time pass just now."""
        self._lives: list[Life] = []
        self._reviving = asyncio.Lock()
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
        self._transactions = _opened(self._path)
        try:
            await self._begin_life()
            await self.settle()
        except BaseException:
            self._transactions.close()
            raise
        self.is_open = True
        return self

    async def _begin_life(self) -> None:
        self._home = None  # the life before has died
        self._lives.append(Life(self._real, self._virtual, self._settling.stirs))
        await super().__aenter__()

    async def __aexit__(self, *details: object) -> None:
        """Replays the history of every run against its code, unless the block failed; raises ReplayDifference."""
        try:
            if not self._life.is_dead:
                await self._look_back(has_failed=bool(details) and details[0] is not None)
        finally:
            await self._close(*details)

    async def _look_back(self, *, has_failed: bool) -> None:
        if has_failed:
            for one in (await super().runs(limit=RUNS_SHOWN_MOST)).runs:
                self.story = story_of(await super().status_of(one.id), await super().history_of(one.id)) + "\n" + self.story
        elif self._replays_at_end:
            for one in (await super().runs(limit=REPLAYS_MOST)).runs:
                workflow = self._workflows.get(one.workflow)
                if workflow is not None and one.status != RunState.QUARANTINED:
                    check(await self._history(one.id), workflow)

    async def _history(self, run_id: str) -> History:
        await self._row(run_id)
        loaded = (await self._store.load([run_id]))[run_id]
        return history_of(loaded.row, loaded.records, loaded.attempts)

    async def _close(self, *details: object) -> None:
        try:
            if not self._life.is_dead:
                self.kill_attempts()  # time stands still: what waits for it would never end
                await super().__aexit__(*details)
        finally:
            self.is_open = False
            for life in self._lives:
                life.bury()
            self._transactions.close()

    @property
    def _life(self) -> Life:
        return self._lives[-1]

    def _open_store(self, url: str, *, namespace: str, clock: Clock, settings: Settings) -> Store:  # noqa: ARG002 - the address is this engine's own
        runner = InlineRunner(
            self._transactions,
            self._real,
            self._settling.stirs,
            lambda committed: self.watch.dies_before(store.batch, committed),
            lambda committed: self.watch.dies_after(store.batch, committed),
            self._kill,
        )
        self._life.add(runner)
        store = LifeStore(self._path, namespace=namespace, clock=clock, runner=runner, settings=settings)
        return store

    async def crash(self) -> None:
        """The process is killed, as SIGKILL would, and another one opens the store: only what is committed is still there.

        A plain `def` step that is running in a thread ends first; an `async def` step stops where it stands, without its `finally`.
        """
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
        async with self._reviving:
            if not self._life.is_dead:
                return  # another task of the test has done it
            await self._life.threads_end()
            await asyncio.gather(*self._life.loop.tasks, return_exceptions=True)
            self._virtual.outlast_leases(self._settings.lease_seconds)
            if self._path != MEMORY:
                self._transactions.close()
                self._transactions = _opened(self._path)
            await self._begin_life()

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement in the database of the store, between transactions: to make and read tables that transactional steps use."""
        match self._transactions.run([lambda db: list(db.execute(statement, values))])[0]:
            case Done(rows):
                found: list[tuple[Any, ...]] = rows
                return found
            case Failed(error):
                raise error

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
