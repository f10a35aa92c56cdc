"""G5 on PostgreSQL: whatever a server does to a transactional step, it is committed with its record, or nothing of it is there."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from perdure import Retry, info, step, workflow
from perdure.errors import RunFailed
from tests.acceptance.harness import Stage, kinds
from tests.acceptance.test_processes import Fleet
from tests.server import ask

ONCE = Retry(attempts=1)


@pytest.fixture
async def stage(stage: Stage) -> Stage:
    await stage.engine()
    table = f"{stage.url.partition('?schema=')[2]}.bookings"
    stage.sql(f"create table {table} (number serial primary key, amount integer unique deferrable initially deferred)")
    return stage


@pytest.fixture
def table(stage: Stage) -> str:
    return f"{stage.url.partition('?schema=')[2]}.bookings"


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

    assert await run.result(10) == "done"
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

    assert [await run.result(20) for run in runs] == [1, 2]
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

    assert await (await engine.start(flow)).result(10) == "done"
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
        await (await engine.start(flow)).result(10)
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
        await (await engine.start(flow)).result(10)
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
        await (await engine.start(flow)).result(10)
    assert attempts == [1]


async def test_one_that_takes_too_long_is_undone_and_fails(stage: Stage, table: str) -> None:
    @step(transaction=True, retry=ONCE, timeout=0.1)
    async def dawdle(db: asyncpg.Connection) -> None:
        await db.execute(f"insert into {table} (amount) values (1)")
        await db.execute("select pg_sleep(60)")

    flow = flow_of(dawdle)
    engine = await stage.engine(flow)

    with pytest.raises(RunFailed, match=r"longer than its timeout of 0\.1 s"):
        await (await engine.start(flow)).result(10)
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
    assert "77MB" not in await (await engine.start(flow)).result(10)


async def test_more_of_them_than_there_are_connections_take_turns(stage: Stage, table: str) -> None:
    @step(transaction=True)
    async def book(db: asyncpg.Connection, amount: int) -> None:
        await db.execute(f"insert into {table} (amount) values ($1)", amount)

    @workflow
    async def flow() -> None:
        await asyncio.gather(*(book(amount) for amount in range(40)))

    engine = await stage.engine(flow)
    await (await engine.start(flow)).result(20)
    assert sorted(booked(stage)) == list(range(40))


async def test_a_plain_def_is_not_given_a_connection_that_waits(stage: Stage) -> None:
    @step(transaction=True)
    def write(db: asyncpg.Connection) -> None: ...

    flow = flow_of(write)
    engine = await stage.engine(flow)
    with pytest.raises(RunFailed, match="is an `async def`"):
        await (await engine.start(flow)).result(10)


async def test_a_connection_that_there_is_not_is_refused_with_those_that_there_are(stage: Stage) -> None:
    @step(transaction=True)
    async def write(db: apsw.Connection) -> None: ...

    flow = flow_of(write)
    engine = await stage.engine(flow)
    with pytest.raises(RunFailed, match=r"apsw\.Connection, which PostgreSQL does not give; it gives asyncpg\.Connection"):
        await (await engine.start(flow)).result(10)


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
