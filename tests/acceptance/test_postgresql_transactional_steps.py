"""G5 on PostgreSQL: whatever a server does to a transactional step, it is committed with its record, or nothing of it is there."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import django
import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from perdure import Retry, info, step, workflow
from perdure.errors import RunFailed
from tests.acceptance.harness import Stage, kinds
from tests.acceptance.test_processes import Fleet
from tests.server import ask, database

ONCE = Retry(attempts=1)


@pytest.fixture
async def stage(stage: Stage) -> Stage:
    await stage.engine()
    table = f"{stage.schema}.bookings"
    stage.sql(f"create table {table} (number serial primary key, amount integer unique deferrable initially deferred)")
    return stage


@pytest.fixture
def table(stage: Stage) -> str:
    return f"{stage.schema}.bookings"


def booked(stage: Stage) -> list[int]:
    return [amount for (amount,) in stage.sql("select amount from bookings order by number")]


def flow_of(transactional: Any) -> Any:
    @workflow
    async def flow() -> Any:
        return await transactional()

    return flow


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_what_the_database_asks_to_begin_anew_is_no_failure_of_the_step(stage: Stage, table: str, state: str) -> None:
    attempts: list[int | None] = []

    @step(transaction=True, retry=ONCE)
    async def hesitate(db: asyncpg.Connection) -> str:
        attempts.append(info().attempt)
        await db.execute(f"insert into {table} (amount) values (1)")
        if len(attempts) < 3:
            await db.execute(f"do $$ begin raise sqlstate '{state}'; end $$")
        return "done"

    flow = flow_of(hesitate)
    engine = await stage.engine(flow)
    run = await engine.start(flow)

    assert await run.result(30) == "done"
    assert attempts == [1, 1, 1]
    assert booked(stage) == [1]
    assert await kinds(run) == ["started", "step", "completed"]


async def test_of_two_that_lock_each_other_out_both_are_done_in_the_end(stage: Stage, table: str) -> None:
    stage.sql(f"insert into {table} (amount) values (1), (2)")
    meet = asyncio.Barrier(2)
    begun: list[int] = []

    @step(transaction=True, retry=ONCE)
    async def cross(db: asyncpg.Connection, first: int, second: int) -> int:
        begun.append(first)
        await db.execute("set local deadlock_timeout = '10ms'")
        await db.execute(f"select * from {table} where number = $1 for update", first)
        if len(begun) <= 2:
            await meet.wait()
        await db.execute(f"select * from {table} where number = $1 for update", second)
        return first

    @workflow
    async def flow(first: int, second: int) -> int:
        return await cross(first, second)

    engine = await stage.engine(flow)
    runs = [await engine.start(flow, 1, 2), await engine.start(flow, 2, 1)]

    assert [await run.result(30) for run in runs] == [1, 2]
    assert len(begun) > 2


async def test_an_attempt_whose_connection_was_killed_begins_anew_and_is_not_counted(stage: Stage, table: str) -> None:
    attempts: list[int | None] = []

    @step(transaction=True, retry=ONCE)
    async def book(db: asyncpg.Connection) -> str:
        attempts.append(info().attempt)
        await db.execute(f"insert into {table} (amount) values (1)")
        if len(attempts) == 1:
            await db.execute("select pg_terminate_backend(pg_backend_pid())")
        return "done"

    flow = flow_of(book)
    engine = await stage.engine(flow)

    assert await (await engine.start(flow)).result(30) == "done"
    assert attempts == [1, 1]
    assert booked(stage) == [1]


async def test_what_is_violated_at_commit_is_a_failure_that_counts(stage: Stage, table: str) -> None:
    attempts: list[int | None] = []
    stage.sql(f"insert into {table} (amount) values (1)")

    @step(transaction=True, retry=Retry(attempts=2, initial=0.001))
    async def book(db: asyncpg.Connection) -> None:
        attempts.append(info().attempt)
        await db.execute(f"insert into {table} (amount) values (1)")  # checked at the end of the transaction

    flow = flow_of(book)
    engine = await stage.engine(flow)

    with pytest.raises(RunFailed, match="duplicate key"):
        await (await engine.start(flow)).result(30)
    assert attempts == [1, 2]
    assert booked(stage) == [1]


async def test_one_that_hides_a_failed_statement_fails_and_is_told_what_to_do(stage: Stage, table: str) -> None:
    @step(transaction=True, retry=ONCE)
    async def hide(db: asyncpg.Connection) -> None:
        await db.execute(f"insert into {table} (amount) values (1)")
        try:
            await db.execute("select * from nowhere")
        except asyncpg.UndefinedTableError:
            pass

    flow = flow_of(hide)
    engine = await stage.engine(flow)

    with pytest.raises(RunFailed, match=r"savepoint \(`async with db.transaction"):
        await (await engine.start(flow)).result(30)
    assert booked(stage) == []


async def test_one_that_has_ended_its_transaction_after_all_fails_for_good(stage: Stage, table: str) -> None:
    """Several statements in one string are not looked into; the end of the transaction is noticed."""
    attempts: list[int | None] = []

    @step(transaction=True)
    async def smuggle(db: asyncpg.Connection) -> None:
        attempts.append(info().attempt)
        await db.execute("select 1; commit; begin")

    flow = flow_of(smuggle)
    engine = await stage.engine(flow)

    with pytest.raises(RunFailed, match="has ended the transaction it ran in"):
        await (await engine.start(flow)).result(30)
    assert attempts == [1]


async def test_one_that_takes_too_long_is_undone_and_fails(stage: Stage, table: str) -> None:
    @step(transaction=True, retry=ONCE, timeout=0.1)
    async def dawdle(db: asyncpg.Connection) -> None:
        await db.execute(f"insert into {table} (amount) values (1)")
        await db.execute("select pg_sleep(60)")

    flow = flow_of(dawdle)
    engine = await stage.engine(flow)

    with pytest.raises(RunFailed, match=r"longer than its timeout of 0\.1 s"):
        await (await engine.start(flow)).result(30)
    assert booked(stage) == []


async def test_one_that_is_cancelled_in_the_middle_is_undone(stage: Stage, table: str) -> None:
    begun = asyncio.Event()

    @step(transaction=True)
    async def hold(db: asyncpg.Connection) -> None:
        await db.execute(f"insert into {table} (amount) values (1)")
        begun.set()
        await asyncio.Event().wait()

    flow = flow_of(hold)
    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await begun.wait()
    await run.cancel()
    await stage.until_state(run, "cancelled")

    stage.sql(f"insert into {table} (amount) values (1)")  # waits for nobody
    assert booked(stage) == [1]
    assert "step" not in await kinds(run)


async def test_a_clean_stop_lets_it_end_and_records_it(stage: Stage, table: str) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    @step(transaction=True)
    async def hold(db: asyncpg.Connection) -> None:
        await db.execute(f"insert into {table} (amount) values (1)")
        begun.set()
        await may_end.wait()

    flow = flow_of(hold)
    engine = await stage.engine(flow)
    client = await stage.client()
    run = await engine.start(flow)
    await begun.wait()
    stopping = asyncio.create_task(stage.stop(engine))
    await asyncio.sleep(0)
    may_end.set()
    await stopping

    assert booked(stage) == [1]
    assert "step" in await kinds(client.run(run.id))


async def test_what_one_sets_for_its_session_is_gone_for_the_next(stage: Stage) -> None:
    @step(transaction=True)
    async def speak(db: asyncpg.Connection) -> str:
        before = await db.fetchval("show work_mem")
        await db.execute("set work_mem = '77MB'")
        return str(before)

    @workflow
    async def flow() -> list[str]:
        return [await speak() for _ in range(5)]

    engine = await stage.engine(flow)
    assert "77MB" not in await (await engine.start(flow)).result(30)


async def test_more_of_them_than_there_are_connections_take_turns(stage: Stage, table: str) -> None:
    @step(transaction=True)
    async def book(db: asyncpg.Connection, amount: int) -> None:
        await db.execute(f"insert into {table} (amount) values ($1)", amount)

    @workflow
    async def flow() -> None:
        await asyncio.gather(*(book(amount) for amount in range(40)))

    engine = await stage.engine(flow)
    await (await engine.start(flow)).result(30)
    assert sorted(booked(stage)) == list(range(40))


async def test_a_plain_def_is_not_given_a_connection_that_waits(stage: Stage) -> None:
    @step(transaction=True)
    def write(db: asyncpg.Connection) -> None: ...

    flow = flow_of(write)
    engine = await stage.engine(flow)
    with pytest.raises(RunFailed, match="is an `async def`"):
        await (await engine.start(flow)).result(30)


async def test_a_connection_that_there_is_not_is_refused_with_those_that_there_are(stage: Stage) -> None:
    @step(transaction=True)
    async def write(db: apsw.Connection) -> None: ...

    flow = flow_of(write)
    engine = await stage.engine(flow)
    with pytest.raises(RunFailed, match=r"asks for apsw\.Connection, which PostgreSQL does not give; it gives asyncpg\.Connection"):
        await (await engine.start(flow)).result(30)


# ── other drivers ────────────────────────────────────────────────────────────────────────────────────────────────────


def with_django() -> type:
    """Its settings are those of a process."""
    from django.conf import settings

    if not settings.configured:
        server = database()
        place = {"NAME": f"worker_{os.getpid()}", "USER": server.user, "HOST": server.host, "PORT": server.port}
        settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **place}})
        django.setup()
    from django.db.backends.base.base import BaseDatabaseWrapper

    return BaseDatabaseWrapper


def execute(db: Any, statement: str) -> Any:
    """What comes of it may have to be awaited."""
    if hasattr(db, "vendor"):
        with db.cursor() as cursor:
            return cursor.execute(statement)
    return db.execute(sqlalchemy.text(statement) if type(db).__module__.startswith("sqlalchemy") else statement)


DRIVERS = {
    "asyncpg": lambda: asyncpg.Connection,
    "psycopg for asyncio": lambda: psycopg.AsyncConnection,
    "SQLAlchemy for asyncio": lambda: AsyncConnection,
    "a session for asyncio": lambda: AsyncSession,
    "psycopg": lambda: psycopg.Connection,
    "SQLAlchemy": lambda: sqlalchemy.Connection,
    "a session": lambda: Session,
    "Django": with_django,
}
WAITING = ("asyncpg", "psycopg for asyncio", "SQLAlchemy for asyncio", "a session for asyncio")


def with_connection(driver: str, body: Callable[[Any, str], Any], **options: Any) -> Any:
    """A step whose first parameter has the type of this driver's connection."""
    if driver in WAITING:

        async def book(db: Any, what: str) -> str:
            for done in body(db, what):
                await done
            return what
    else:

        def book(db: Any, what: str) -> str:  # type: ignore[misc]
            for _ in body(db, what):
                pass
            return what

    book.__annotations__["db"] = DRIVERS[driver]()
    return step(transaction=True, **options)(book)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_step_gets_the_kind_of_connection_that_its_first_parameter_names(stage: Stage, table: str, driver: str) -> None:
    tries: list[str] = []

    def body(db: Any, what: str) -> Iterator[Any]:
        tries.append(what)
        yield execute(db, f"insert into {table} (amount) values ({len(tries)})")
        if what == "fails":
            raise RuntimeError("no credit")
        if what == "begins anew" and tries.count(what) < 3:
            yield execute(db, "do $$ begin raise sqlstate '40001'; end $$")
        if what == "commits":
            yield db.commit()
        if what == "commits past its driver":
            yield execute(db, "commit")

    book = with_connection(driver, body, retry=ONCE)

    @workflow
    async def flow(what: str) -> str:
        return await book(what)

    engine = await stage.engine(flow)

    assert await (await engine.start(flow, "is done")).result(30) == "is done"
    assert await (await engine.start(flow, "begins anew")).result(30) == "begins anew"
    assert tries.count("begins anew") == 3
    with pytest.raises(RunFailed, match="no credit"):
        await (await engine.start(flow, "fails")).result(30)
    before = booked(stage)
    assert before == [1, 4]
    if hasattr(DRIVERS[driver](), "commit") and "session" not in driver:
        with pytest.raises(RunFailed, match=r"(?i)commit|forbidden"):
            await (await engine.start(flow, "commits")).result(30)
        assert booked(stage) == before
    with pytest.raises(RunFailed, match="may not say COMMIT" if driver == "asyncpg" else "has ended the transaction it ran in"):
        await (await engine.start(flow, "commits past its driver")).result(30)


@pytest.mark.parametrize("driver", ["psycopg", "SQLAlchemy", "Django", "psycopg for asyncio", "a session for asyncio"])
async def test_another_drivers_connection_that_takes_too_long_is_cut(stage: Stage, table: str, driver: str) -> None:
    def body(db: Any, _what: str) -> Iterator[Any]:
        yield execute(db, f"insert into {table} (amount) values (1)")
        yield execute(db, "select pg_sleep(60)")

    hold = with_connection(driver, body, retry=ONCE, timeout=0.3)

    @workflow
    async def flow() -> None:
        await hold("waits")

    engine = await stage.engine(flow)
    with pytest.raises(RunFailed, match=r"longer than its timeout of 0\.3 s"):
        await (await engine.start(flow)).result(30)
    stage.sql(f"insert into {table} (amount) values (1)")
    assert booked(stage) == [1]


async def test_what_django_would_roll_back_without_a_word_is_a_failure(stage: Stage, table: str) -> None:
    from django.db import DatabaseError, transaction

    def body(db: Any, _what: str) -> Iterator[Any]:
        yield execute(db, f"insert into {table} (amount) values (1)")
        try:
            with transaction.atomic(savepoint=False):
                execute(db, "select * from nowhere")
        except DatabaseError:
            pass

    hide = with_connection("Django", body, retry=ONCE)

    @workflow
    async def flow() -> None:
        await hide("fails")

    engine = await stage.engine(flow)
    with pytest.raises(RunFailed, match="a statement of the step had failed"):
        await (await engine.start(flow)).result(30)
    assert booked(stage) == []


async def test_a_hook_that_fails_after_the_commit_changes_nothing(stage: Stage, table: str) -> None:
    """The driver reports a failure of a COMMIT that has happened: the store is asked, and says so."""
    from django.db import transaction

    def fail() -> None:
        raise RuntimeError("the hook")

    def body(db: Any, _what: str) -> Iterator[Any]:
        yield execute(db, f"insert into {table} (amount) values (1)")
        transaction.on_commit(fail)

    hook = with_connection("Django", body, retry=ONCE)

    @workflow
    async def flow() -> str:
        return await hook("done")

    engine = await stage.engine(flow)
    assert await (await engine.start(flow)).result(30) == "done"
    assert booked(stage) == [1]


# ── a worker that is killed ──────────────────────────────────────────────────────────────────────────────────────────


APP = """
    import os, time
    from pathlib import Path
    import asyncpg
    from perdure import step, workflow

    @step(transaction=True)
    async def book(db: asyncpg.Connection, waits: bool) -> int:
        await db.execute("insert into TABLE (amount) values (7)")
        (Path("touched") / str(os.getpid())).touch()
        if waits and len(os.listdir("touched")) == 1:
            await db.fetchval("select pg_sleep(60)")
        return os.getpid()

    @workflow
    async def flow(waits: bool) -> int:
        return await book(waits)
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, APP, "postgresql")
    address = fleet.environment["PERDURE_STORE"]
    schema = address.partition("?schema=")[2]
    app = tmp_path / "app.py"
    app.write_text(app.read_text().replace("TABLE", f"{schema}.bookings"))
    ask(address, f"create schema {schema}")
    ask(address, f"create table {schema}.bookings (amount integer)")
    yield fleet
    fleet.end()


def found(fleet: Fleet, query: str) -> list[tuple[Any, ...]]:
    return ask(fleet.environment["PERDURE_STORE"], query)


@pytest.mark.parametrize("when", ["before its COMMIT", "while the server is at its COMMIT"])
def test_f01_a_worker_killed_leaves_what_was_written_once_and_its_record(fleet: Fleet, when: str) -> None:
    is_before = when == "before its COMMIT"
    if not is_before:
        schema = fleet.environment["PERDURE_STORE"].partition("?schema=")[2]
        slow = f"create function {schema}.slow() returns trigger language plpgsql as 'begin perform pg_sleep(3); return null; end'"
        found(fleet, slow)
        trigger = f"create constraint trigger slow after insert on {schema}.bookings deferrable initially deferred for each row"
        found(fleet, f"{trigger} execute function {schema}.slow()")
    fleet.start("app.py")
    fleet.until(lambda: len(fleet.workers()) == 1, "the worker")
    [owner] = fleet.workers()
    fleet.run("run", "start", "flow", "--id", "r", "--input", json.dumps({"waits": is_before}))
    statement = "select pg_sleep(60)" if is_before else "COMMIT;"
    active = f"select 1 from pg_stat_activity where state = 'active' and query = '{statement}' and datname = current_database()"
    fleet.until(lambda: found(fleet, active), f"the server is at {statement}")

    os.kill(owner, signal.SIGKILL)
    fleet.start("app.py")
    by = int(fleet.run("run", "wait", "r", "--timeout", "60"))

    assert found(fleet, "select count(*) from bookings") == [(1,)]
    assert found(fleet, "select count(*) from history where kind = 'step'") == [(1,)]
    assert (by == owner) is not is_before, "what was committed is not done again"
