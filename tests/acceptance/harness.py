"""A store file, a clock that can be moved, and the engines and clients on it: what the acceptance tests stand on."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import apsw

from perdure import Client, Engine
from perdure.clock import SECOND, HostClock
from perdure.engine.ports import Ports
from perdure.settings import Settings
from perdure.store.postgresql.address import address_of
from perdure.store.postgresql.store import PostgresqlStore
from perdure.store.protocol import Outlook, Store, Survey
from perdure.store.sqlite.database import Database
from perdure.store.sqlite.store import SqliteStore
from perdure.store.sqlite.threads import ThreadRunner
from perdure.store.sqlite.transactions import Connection, commit_transaction
from tests.server import ask, in_postgresql, new_address

T = TypeVar("T")

PATIENCE_SECONDS = 30.0  # of a test, before what it waits for is said to be missing
LOOKS_EVERY_SECONDS = 0.02  # where no hint says that something has changed
CALM = Settings(linger_seconds=0.0, poll_seconds=0.05, store_retry_seconds_first=0.005, store_retry_seconds_most=0.02)
"""Idle runs leave memory at once, so that every wait is also a replay; failing stores are asked again soon."""


class MovableClock:
    """The host's clock, and how far a test has moved it. `wall_moved` is a jump of the wall clock alone, `boot_moved` one of leases."""

    def __init__(self) -> None:
        self.moved = 0.0
        self.wall_moved = 0.0
        self.boot_moved = 0.0
        self._host = HostClock()

    def now(self) -> int:
        return self._host.now() + round((self.moved + self.wall_moved) * SECOND)

    def since_boot(self) -> int:
        return self._host.since_boot() + round(self.boot_moved * SECOND)

    def loop_time(self) -> float:
        return time.monotonic() + self.moved


class Commits:
    """What a test does to COMMIT. `before` and `after` may raise; both run on the thread that writes, where `db` may be asked."""

    def __init__(self) -> None:
        self.db: Connection | None = None
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    def __call__(self, db: Connection) -> None:
        self.db = db
        self.before()
        commit_transaction(db)
        self.after()

    async def around(self, real: Callable[[], Awaitable[T]]) -> T:
        """The same for a store that commits on the event loop."""
        try:
            self.before()
            done = await real()
            self.after()
        except apsw.IOError as error:  # what a broken disk is to SQLite a broken connection is here
            raise ConnectionResetError(str(error)) from error
        return done

    def would_find(self, query: str) -> bool:
        """Whether the transaction that is about to be committed would let others find something."""
        assert self.db is not None
        return bool(list(self.db.execute(query)))


class Watched:
    """What goes before either store: checkpoints that a test can look into, and a count of sweeps."""

    def __init__(self, stage: "Stage", *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stage = stage
        self.surveys = self.sweeps = 0

    async def checkpoint(self, batch: Any) -> Any:
        answer = self._stage.on_checkpoint(batch)
        if inspect.isawaitable(answer):
            await answer
        done = await super().checkpoint(batch)
        self._stage.on_answer(done)
        return done

    async def survey(self, workflows: Sequence[str]) -> Survey:
        self.surveys += 1  # the first thing a sweep does
        return await super().survey(workflows)

    async def outlook(self, workflows: Sequence[str], owner: str, limit: int) -> Outlook:
        self.sweeps = self.surveys  # what follows a sweep, or a hint
        return await super().outlook(workflows, owner, limit)


class WatchedStore(Watched, SqliteStore):
    """The SQLite store with a COMMIT that a test can disturb."""

    async def open(self, *, create: bool, migrate: bool) -> None:
        runner = ThreadRunner(Database(self.database.path), self._stage.commits)
        await runner.open(create and migrate)
        self._given_runner = runner
        await super().open(create=create, migrate=migrate)


class WatchedPostgresqlStore(Watched, PostgresqlStore):
    """The same on PostgreSQL. Lock files are in the test's own folder."""

    def __init__(self, stage: "Stage", address: str, **kwargs: Any) -> None:
        super().__init__(stage, address_of(address), commit=stage.commits.around, **kwargs)

    @property
    def locks_folder(self) -> str | None:
        return f"{self._stage.path}-locks"


class Stage:
    """What a test asks for: `await stage.engine(flow)`, `await stage.kill(engine)`, `await stage.until(…)`, `stage.skip(seconds)`."""

    def __init__(self, folder: Path, kind: str = "sqlite") -> None:
        self.folder = folder
        self.path = str(folder / "store.db")
        self.is_sqlite = kind == "sqlite"
        self.url = f"sqlite:///{self.path}" if self.is_sqlite else new_address() + ("&profile=portable" if kind == "portable" else "")
        self.clock = MovableClock()
        self.commits = Commits()
        self.on_checkpoint: Callable[[Any], Awaitable[None] | None] = lambda batch: None
        self.on_answer: Callable[[Any], None] = lambda done: None
        self._changed = asyncio.Event()
        self._open = AsyncExitStack()
        self._engines: list[Engine] = []
        self._loop = asyncio.get_running_loop()
        self._loop.time = self.clock.loop_time  # type: ignore[method-assign]

    # ── who is there ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def engine(self, *workflows: Any, settings: Settings = CALM, **kwargs: Any) -> Engine:
        """An engine that is open until the test ends, or until it is stopped or killed."""
        engine = Engine(self.url, list(workflows), settings=settings, ports=self._ports(), **kwargs)
        await engine.__aenter__()
        self._engines.append(engine)
        return engine

    async def client(self, **kwargs: Any) -> Client:
        client = Client(self.url, settings=CALM, **kwargs)
        client._clock = self.clock
        await self._open.enter_async_context(client)
        return client

    async def stop(self, engine: Engine) -> None:
        """Cleanly."""
        self._engines.remove(engine)
        await engine.__aexit__(None, None, None)

    async def kill(self, engine: Engine) -> None:
        """As SIGKILL leaves it: nothing more is committed, no lease is given back, the kernel lets go of the lock."""
        self._engines.remove(engine)
        worker = engine.worker
        lease, worker._lease = worker._lease, None
        assert lease is not None
        assert lease.presence is not None
        lock = Path(lease.presence.path)
        left = {path: path.read_bytes() for path in (lock, lock.with_suffix(".crumbs"))}
        if engine._telling is not None:
            engine._telling.stop()
        worker._is_stopping = True
        worker._lookout.stop()
        worker._drop_everything()
        lease.heartbeat.stop()
        lease.presence.leave()
        for path, content in left.items():
            path.write_bytes(content)  # the files of a dead process stay, without its lock
        tasks = [*worker._background._tasks, *([worker._committer._task] if worker._committer._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        worker._attempts.close()
        await engine._store.close()

    def _ports(self) -> Ports:
        return replace(Ports(), clock=self.clock, open_store=self._open_store, reached=self._reached)

    def _open_store(self, url: str, **kwargs: Any) -> Store:
        assert url == self.url
        return WatchedStore(self, self.path, **kwargs) if self.is_sqlite else WatchedPostgresqlStore(self, self.url, **kwargs)

    def _reached(self, _point: str) -> None:
        self._changed.set()

    async def close(self) -> None:
        self.commits.before = self.commits.after = lambda: None
        self.on_checkpoint = lambda batch: None
        for engine in list(self._engines):
            engine.kill_attempts()
            await self.stop(engine)
        await self._open.aclose()

    # ── time and waiting ─────────────────────────────────────────────────────────────────────────────────────────────

    def skip(self, seconds: float = 0, *, hours: float = 0, days: float = 0) -> None:
        """Let this much time pass at once, for the clock and for every timer of this process."""
        self.clock.moved += seconds + hours * 3600 + days * 86400

    async def until(self, condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS, *, skipping: float = 0, every: float = 0) -> Any:
        """Wait for the condition (a function or a coroutine function), looking again whenever an engine has done something.

        `skipping`: so many seconds pass before each look, or `every` so many real seconds.
        """
        end = time.monotonic() + seconds
        skips_at = 0.0
        while True:
            self._changed.clear()
            value = condition()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds:g} s: {inspect.getsource(condition).strip()}")
            await self._hint()
            if time.monotonic() >= skips_at:
                skips_at = time.monotonic() + every
                self.skip(skipping)

    async def _hint(self) -> None:
        waiter = self._loop.create_task(self._changed.wait())
        await asyncio.wait([waiter], timeout=LOOKS_EVERY_SECONDS)
        waiter.cancel()

    async def until_parked(self, engine: Engine, run: Any) -> None:
        """The run waits in the store and costs no memory."""

        async def is_parked() -> bool:
            return run.id not in engine.worker.live and (await run.status()).state == "waiting"

        await self.until(is_parked)

    async def until_state(self, run: Any, state: str) -> Any:
        async def is_there() -> Any:
            status = await run.status()
            return status if status.state == state else None

        return await self.until(is_there)

    async def until_state_of(self, run: Any, state: str, *, skipping: float) -> None:
        """As `until_state`, with so many seconds passing before each look."""

        async def is_there() -> bool:
            return (await run.status()).state == state

        await self.until(is_there, skipping=skipping)

    async def until_waiting_for(self, run: Any, kind: str) -> None:
        """It is parked and waits for something of this kind."""

        async def waits() -> bool:
            status = await run.status()
            return status.state == "waiting" and kind in [one["kind"] for one in status.waiting_for]

        await self.until(waits)

    async def until_wanted(self, run: Any, what: str) -> None:
        """Its worker has seen what is wanted of it, and cannot do it at once."""
        [engine] = [one for one in self._engines if run.id in one.worker.live]
        live = engine.worker.live[run.id]
        await self.until(lambda: live.is_pausing)
        assert what in [one["kind"] for one in (await run.status()).waiting_for]

    async def until_sweep(self) -> None:
        """Let time pass until every engine has swept once more: not much more than that, however long it takes a busy machine."""
        before = {engine: engine._store.sweeps for engine in self._engines}
        await self.until(
            lambda: all(engine._store.sweeps > count for engine, count in before.items()), skipping=1.1 * CALM.sweep_seconds, every=0.2
        )

    def fail(self, engine: Engine, method: str, error: Exception, times: int = 1) -> list[Exception]:
        """Let the next calls of one method of this engine's store fail; returns the list of what was raised so far."""
        real, raised = getattr(engine._store, method), []

        async def failing(*args: Any, **kwargs: Any) -> Any:
            if len(raised) < times:
                raised.append(error)
                raise error
            return await real(*args, **kwargs)

        setattr(engine._store, method, failing)
        return raised

    # ── past the public interface ────────────────────────────────────────────────────────────────────────────────────

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Look into the store, or damage it, from outside."""
        if not self.is_sqlite:
            return ask(self.url, in_postgresql(statement), *values)
        db = apsw.Connection(self.path)
        try:
            db.set_busy_timeout(5000)
            return list(db.execute(statement, values))
        finally:
            db.close()

    @property
    def schema(self) -> str:
        """Of the tables on PostgreSQL."""
        return self.url.partition("?schema=")[2].partition("&")[0]

    def content(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows that say what happened; a test compares them to show that nothing was changed."""
        return {table: self.sql(f"select * from {table}") for table in ("runs", "history", "attempts", "inbox", "signal_keys")}


async def kinds(run: Any) -> list[str]:
    return [record.kind for record in await run.history()]


async def names(run: Any, kind: str = "step") -> list[str]:
    return [record.name for record in await run.history() if record.kind == kind]
