"""Start and signal inside a transaction of the caller: rolled back they never happened, committed they are durable with it and noticed."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import apsw
import asyncpg
import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from perdure import Engine, receive, step, workflow
from perdure.errors import RunNotFound
from tests.acceptance.callers import KEEP, LEAVE, rows
from tests.acceptance.harness import CALM, Stage
from tests.server import new_address

Begin = Callable[[int], AbstractAsyncContextManager[Any]]


@workflow
async def note(number: int) -> int:
    return number


@workflow
async def listener() -> list[int]:
    return [await receive("number", int), await receive("last", int)]


def url_of(stage: Stage) -> tuple[str, str]:
    return stage.url.partition("?")[0], stage.schema


async def set_up(stage: Stage) -> Any:
    """Tables of the caller's, a worker, and a run that waits in the store."""
    engine = await stage.engine(note, listener)
    stage.sql("create table orders (number integer)")
    run = await engine.start(listener, id="listener")
    await stage.until_parked(engine, run)
    return engine


async def check(stage: Stage, engine: Any) -> None:
    assert await engine.run(f"run-{KEEP}").result(30) == KEEP
    await engine.run("listener").signal("last", 7)
    assert await engine.run("listener").result(30) == [KEEP, 7]
    with pytest.raises(RunNotFound):
        await engine.run(f"run-{LEAVE}").status()
    assert stage.sql("select number from orders") == [(KEEP,)]


# ── in the process of the worker ─────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def of_asyncpg(stage: Stage) -> AsyncIterator[Begin]:
    url, schema = url_of(stage)
    pool = await asyncpg.create_pool(url, min_size=1, max_size=1, server_settings={"search_path": schema})

    @asynccontextmanager
    async def begin(number: int) -> AsyncIterator[Any]:
        async with pool.acquire() as db:
            transaction = db.transaction()
            await transaction.start()
            await db.execute(rows(number))
            yield db
            await (transaction.commit() if number == KEEP else transaction.rollback())

    yield begin
    await pool.close()


@asynccontextmanager
async def of_psycopg_async(stage: Stage) -> AsyncIterator[Begin]:
    url, schema = url_of(stage)
    db = await psycopg.AsyncConnection.connect(url, options=f"-c search_path={schema}", row_factory=psycopg.rows.dict_row)

    @asynccontextmanager
    async def begin(number: int) -> AsyncIterator[Any]:
        await db.execute(rows(number))
        yield db
        await (db.commit() if number == KEEP else db.rollback())

    yield begin
    await db.close()


@asynccontextmanager
async def of_psycopg(stage: Stage) -> AsyncIterator[Begin]:
    url, schema = url_of(stage)
    db = psycopg.connect(url, options=f"-c search_path={schema}", autocommit=True)

    @asynccontextmanager
    async def begin(number: int) -> AsyncIterator[Any]:
        with db.transaction(force_rollback=number == LEAVE):
            db.execute(rows(number))
            yield db

    yield begin
    db.close()


def of_sqlalchemy(driver: str, made: Callable[[Any], Any]) -> Callable[[Stage], AbstractAsyncContextManager[Begin]]:
    @asynccontextmanager
    async def drive(stage: Stage) -> AsyncIterator[Begin]:
        url, schema = url_of(stage)
        path = {"server_settings": {"search_path": schema}} if driver == "asyncpg" else {"options": f"-c search_path={schema}"}
        engine = create_async_engine(url.replace("postgresql:", f"postgresql+{driver}:"), connect_args=path)

        @asynccontextmanager
        async def begin(number: int) -> AsyncIterator[Any]:
            async with made(engine) as db:
                yield db  # its transaction begins with the first statement
                await db.execute(sqlalchemy.text(rows(number)))
                await (db.commit() if number == KEEP else db.rollback())

        yield begin
        await engine.dispose()

    return drive


@asynccontextmanager
async def of_sqlalchemy_blocking(stage: Stage) -> AsyncIterator[Begin]:
    url, schema = url_of(stage)
    place = {"options": f"-c search_path={schema}"}
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), connect_args=place)

    @asynccontextmanager
    async def begin(number: int) -> AsyncIterator[Any]:
        with engine.connect() as db:
            yield db
            db.execute(sqlalchemy.text(rows(number)))
            db.commit() if number == KEEP else db.rollback()

    yield begin
    engine.dispose()


DRIVERS = {
    "asyncpg": of_asyncpg,
    "psycopg for asyncio": of_psycopg_async,
    "psycopg": of_psycopg,
    "SQLAlchemy for asyncio with asyncpg": of_sqlalchemy("asyncpg", lambda engine: engine.connect()),
    "SQLAlchemy for asyncio with psycopg": of_sqlalchemy("psycopg", lambda engine: engine.connect()),
    "a session for asyncio": of_sqlalchemy("asyncpg", AsyncSession),
    "SQLAlchemy": of_sqlalchemy_blocking,
}


@pytest.mark.parametrize("driver", DRIVERS)
async def test_on_postgresql_it_happens_with_the_commit_and_is_noticed(stage: Stage, driver: str) -> None:
    engine = await set_up(stage)

    async with DRIVERS[driver](stage) as begin:
        for number in (LEAVE, KEEP):
            async with begin(number) as db:
                await engine.start(note, number, id=f"run-{number}", transaction=db)
                await engine.run("listener").signal("number", number, transaction=db)
                assert await engine.run("listener").history() == await engine.run("listener").history()  # nobody waits for a lock

    await check(stage, engine)


async def test_on_sqlite_it_happens_with_the_commit_of_a_connection_of_apsw(stage: Stage) -> None:
    engine = await set_up(stage)
    db = apsw.Connection(stage.path)
    db.set_busy_timeout(30_000)

    for number in (LEAVE, KEEP):
        db.execute("begin immediate")
        db.execute(rows(number))
        await engine.start(note, number, id=f"run-{number}", transaction=db)
        await engine.run("listener").signal("number", number, transaction=db)
        db.execute("commit" if number == KEEP else "rollback")

    db.close()
    await check(stage, engine)


# ── in a process that has nothing else of perdure open ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("driver", ["sqlite3", "sqlalchemy", "session", "aiosqlite", "django"])
async def test_on_sqlite_another_process_brings_a_connection_of_pythons_own(stage: Stage, driver: str) -> None:
    engine = await set_up(stage)

    await in_another_process(driver, stage.url)

    await check(stage, engine)


async def test_on_postgresql_another_process_brings_the_connection_of_django(stage: Stage) -> None:
    engine = await set_up(stage)

    await in_another_process("django", stage.url)

    await check(stage, engine)


async def in_another_process(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.acceptance.callers", *arguments, stderr=PIPE)
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()


# ── without notifications ────────────────────────────────────────────────────────────────────────────────────────────


@step(transaction=True)
async def answer(db: asyncpg.Connection) -> int:
    return int(await db.fetchval("select 41 + 1"))


@workflow
async def answered() -> int:
    return await answer()


async def test_in_the_portable_profile_sweeps_find_what_a_caller_has_committed() -> None:
    address = new_address()
    async with Engine(f"{address}&profile=portable", [note, listener, answered], settings=CALM) as engine:
        assert await (await engine.start(answered)).result(30) == 42
        waiting = await engine.start(listener)
        with psycopg.connect(address.partition("?")[0]) as db:
            run = await engine.start(note, 4, transaction=db)
            await waiting.signal("number", 1, transaction=db)
            await waiting.signal("last", 2, transaction=db)

        assert await run.result(30) == 4
        assert await waiting.result(30) == [1, 2]
