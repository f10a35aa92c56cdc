"""What `transaction=` refuses, having written nothing; and that whatever it says, the transaction stays the caller's."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import apsw
import asyncpg
import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from perdure import Client, receive, workflow
from perdure.errors import BadInput, RunConflict, RunEnded, RunNotFound, StoreError
from tests.acceptance.harness import Stage, kinds
from tests.server import ask, database


@workflow
async def note(number: int) -> int:
    return number


@workflow
async def listener() -> int:
    return await receive("number", int)


async def started(stage: Stage) -> int:
    [(count,)] = stage.sql("select count(*) from runs")
    return int(count)


@pytest.fixture
def connections(stage: Stage) -> Iterator[list[Any]]:
    """Closed at the end."""
    opened: list[Any] = []
    yield opened
    for one in opened:
        one.close()


def of_psycopg(stage: Stage, connections: list[Any], **options: Any) -> Any:
    connections.append(psycopg.connect(stage.url.partition("?")[0], **options))
    return connections[-1]


# ── what is no transaction ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("thing", ["text", 7, object()], ids=["a text", "a number", "an object"])
async def test_what_is_no_connection_is_refused_with_what_would_be(stage: Stage, thing: object) -> None:
    engine = await stage.engine(note)
    with pytest.raises(BadInput, match="which is none of these: a connection of asyncpg, psycopg"):
        await engine.start(note, 1, transaction=thing)
    assert await started(stage) == 0


async def test_on_postgresql_a_connection_that_commits_every_statement_is_refused(stage: Stage, connections: list[Any]) -> None:
    engine = await stage.engine(note)
    url = stage.url.partition("?")[0]
    db = await asyncpg.connect(url)
    with pytest.raises(BadInput, match="no transaction open"):
        await engine.start(note, 1, transaction=db)
    await db.close()
    with pytest.raises(BadInput, match="that is closed"):
        await engine.start(note, 1, transaction=db)
    with pytest.raises(BadInput, match="no transaction open"):
        await engine.start(note, 1, transaction=of_psycopg(stage, connections, autocommit=True))
    maker = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"), isolation_level="AUTOCOMMIT")
    async with maker.connect() as automatic:
        with pytest.raises(BadInput, match="no transaction open"):
            await engine.start(note, 1, transaction=automatic)
        await automatic.rollback()
    await maker.dispose()
    assert await started(stage) == 0


async def test_on_postgresql_a_transaction_that_has_failed_is_refused(stage: Stage, connections: list[Any]) -> None:
    engine = await stage.engine(note)
    db = of_psycopg(stage, connections)
    with pytest.raises(psycopg.errors.UndefinedTable):
        db.execute("select * from nowhere")
    with pytest.raises(BadInput, match="has failed already"):
        await engine.start(note, 1, transaction=db)


async def test_on_sqlite_a_connection_without_a_transaction_is_refused(stage: Stage, connections: list[Any]) -> None:
    engine = await stage.engine(note)
    connections.append(apsw.Connection(stage.path))
    with pytest.raises(BadInput, match="begin immediate"):
        await engine.start(note, 1, transaction=connections[-1])
    connections.append(sqlite3.connect(":memory:", isolation_level=None))
    with pytest.raises(BadInput, match="begin immediate"):
        await engine.start(note, 1, transaction=connections[-1])
    assert await started(stage) == 0


# ── what leads elsewhere ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_on_postgresql_another_database_is_refused(stage: Stage, connections: list[Any]) -> None:
    engine = await stage.engine(note)
    with pytest.raises(BadInput, match="to the database postgres, where there is no schema 'test_"):
        await engine.start(note, 1, transaction=of_psycopg(stage, connections, dbname="postgres"))
    schema = stage.schema
    twin = f"twin_{os.getpid()}"
    ask(database().url("postgres"), f"create database {twin}")
    ask(database().url(twin), f"create schema {schema}")
    ask(database().url(twin), f"create table {schema}.perdure_migrations (number bigint, applied_at bigint)")
    db = of_psycopg(stage, connections, dbname=twin)
    with pytest.raises(BadInput, match="to another database than the store is in"):
        await engine.start(note, 1, transaction=db)
    db.execute("select 1")  # still the caller's, and sound
    db.close()
    ask(database().url("postgres"), f"drop database {twin}")


async def test_on_postgresql_a_user_who_may_not_use_the_store_is_refused(stage: Stage, connections: list[Any]) -> None:
    engine = await stage.engine(note)
    with pytest.raises(BadInput, match="may not use the schema"):
        await engine.start(note, 1, transaction=of_psycopg(stage, connections, user="stranger"))


async def test_on_postgresql_a_connection_of_sqlite_is_refused(stage: Stage, connections: list[Any]) -> None:
    engine = await stage.engine(note)
    connections.append(sqlite3.connect(":memory:"))
    with pytest.raises(BadInput, match="a connection of sqlite3, but the store is on PostgreSQL"):
        await engine.start(note, 1, transaction=connections[-1])


async def test_on_sqlite_what_leads_elsewhere_is_refused(stage: Stage, connections: list[Any]) -> None:
    engine = await stage.engine(note)
    for place, where in ((":memory:", "a database in memory"), (f"{stage.path}-other", "-other")):
        connections.append(apsw.Connection(place))
        connections[-1].execute("begin immediate")
        with pytest.raises(BadInput, match=f"{where}, but the store is"):
            await engine.start(note, 1, transaction=connections[-1])
    maker = sqlalchemy.create_engine("postgresql+psycopg://nobody@localhost/nothing")
    with Session(maker) as session, pytest.raises(BadInput, match="but the store is on SQLite"):
        await engine.start(note, 1, transaction=session)
    maker.dispose()


async def test_a_store_in_memory_is_refused(stage: Stage, connections: list[Any]) -> None:
    connections.append(apsw.Connection(":memory:"))
    connections[-1].execute("begin")
    with pytest.raises(BadInput, match="one in memory cannot be reached"):
        await Client("sqlite:///:memory:").start("note", 1, transaction=connections[-1])


async def test_a_file_that_is_no_store_yet_is_refused(stage: Stage, connections: list[Any]) -> None:
    db = sqlite3.connect(stage.path)
    connections.append(db)
    db.execute("create table orders (number integer)")
    with pytest.raises(BadInput, match="which is no store yet: run `perdure db migrate`"):
        await Client(stage.url).start("note", 1, transaction=db)


# ── Python's own sqlite3 beside an open store ────────────────────────────────────────────────────────────────────────


async def test_pythons_own_sqlite3_is_refused_where_the_store_is_open(stage: Stage, connections: list[Any]) -> None:
    """It would drop the locks of this process on the file: another could write at the same moment."""
    first = await stage.engine(note)
    await stage.stop(first)
    db = sqlite3.connect(stage.path)  # opened before the store: nobody could refuse that
    connections.append(db)
    engine = await stage.engine(note)
    with pytest.raises(StoreError, match="Python's own sqlite3 would drop its locks"):
        await engine.start(note, 1, transaction=db)
    assert await started(stage) == 0


async def test_a_store_is_not_opened_beside_a_connection_of_pythons_own_that_was_brought(stage: Stage, connections: list[Any]) -> None:
    await stage.stop(await stage.engine(note))
    db = sqlite3.connect(stage.path)
    connections.append(db)
    await Client(stage.url).start("note", 1, id="r", transaction=db)
    db.commit()

    with pytest.raises(StoreError, match="Close them first"):
        await Client(stage.url).open()
    db.close()
    client = await stage.client()
    assert (await client.run("r").status()).state == "pending"


async def test_an_old_sqlite_is_kept_from_copying_the_log(stage: Stage, connections: list[Any]) -> None:
    """Those before 3.51.3 can corrupt the file when they do it while a worker writes."""
    await stage.stop(await stage.engine(note))
    db = sqlite3.connect(stage.path)
    connections.append(db)
    await Client(stage.url).start("note", 1, transaction=db)

    [(pages,)] = db.execute("pragma wal_autocheckpoint")
    assert (pages == 0) is (sqlite3.sqlite_version_info < (3, 51, 3))
    db.rollback()


KILLED = """
import sqlite3, sys, time
from perdure import Client
url = sys.argv[1]
db = sqlite3.connect(url.removeprefix("sqlite:///"))
Client.blocking(url).start("note", 1, id="r", transaction=db)
print("written", flush=True)
time.sleep(60)
"""


async def test_of_a_process_that_is_killed_before_its_commit_nothing_is_left(stage: Stage) -> None:
    engine = await stage.engine(note)
    process = subprocess.Popen([sys.executable, "-c", KILLED, stage.url], stdout=subprocess.PIPE)
    assert process.stdout is not None
    await asyncio.to_thread(process.stdout.readline)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()

    run = await engine.start(note, 2, id="r")
    assert await run.result(30) == 2


# ── the transaction stays the caller's ───────────────────────────────────────────────────────────────────────────────


async def test_on_postgresql_what_is_refused_leaves_the_transaction_as_it_was(stage: Stage, connections: list[Any]) -> None:
    engine = await stage.engine(note, listener)
    ended = await engine.start(note, 1, id="ended")
    await ended.result(30)
    db = of_psycopg(stage, connections)
    db.execute("create temporary table orders (number integer)")

    with pytest.raises(RunConflict):
        await engine.start(note, 2, id="ended", transaction=db)
    with pytest.raises(RunEnded):
        await ended.signal("number", 1, transaction=db)
    with pytest.raises(RunNotFound):
        await engine.run("nobody").signal("number", 1, transaction=db)
    same = await engine.start(note, 1, id="ended", transaction=db)

    assert same.id == "ended"
    assert db.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    db.execute("insert into orders values (1)")
    db.commit()


async def test_on_postgresql_a_start_and_a_signal_to_it_in_one_transaction(stage: Stage, connections: list[Any]) -> None:
    engine = await stage.engine(listener)
    db = of_psycopg(stage, connections)
    run = await engine.start(listener, transaction=db)
    await run.signal("number", 5, key="k", transaction=db)
    await run.signal("number", 6, key="k", transaction=db)  # a repeat
    db.commit()

    assert await run.result(30) == 5


async def test_on_postgresql_a_signal_in_a_long_transaction_stalls_nobody(stage: Stage, connections: list[Any]) -> None:
    """B-rows of inboxes, M19: no row that a checkpoint locks is locked by a sender."""
    engine = await stage.engine(listener)
    run = await engine.start(listener)
    await stage.until_parked(engine, run)
    db = of_psycopg(stage, connections)
    await run.signal("number", 1, transaction=db)

    await run.signal("number", 2)

    assert await run.result(30) == 2
    db.commit()  # it comes too late for anybody
    assert await kinds(run) == ["started", "signal", "completed"]
    await run.delete()


async def test_on_postgresql_a_client_that_blocks_uses_the_connection_in_its_own_thread(stage: Stage, connections: list[Any]) -> None:
    engine = await stage.engine(note)
    client = Client.blocking(stage.url)
    db = of_psycopg(stage, connections)

    def work() -> str:
        with client:
            return client.start("note", 3, transaction=db).id

    run_id = await asyncio.to_thread(work)
    db.commit()
    assert await engine.run(run_id).result(30) == 3


async def test_on_postgresql_a_client_that_blocks_refuses_a_connection_that_waits(stage: Stage) -> None:
    await stage.engine(note)
    db = await asyncpg.connect(stage.url.partition("?")[0])
    client = Client.blocking(stage.url)
    async with db.transaction():
        with pytest.raises(BadInput, match="but this client blocks"):
            await asyncio.to_thread(lambda: client.start("note", 3, transaction=db))
    await db.close()
