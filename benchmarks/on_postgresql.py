"""A PostgreSQL server of its own for a scenario, as durable as one in production, and its floor."""

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import asyncpg

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests.server import start

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_connections": "100", "shared_buffers": "256MB"}
SETTINGS = DURABLE | {"max_wal_size": "4GB", "log_min_messages": "fatal"}
ROWS_IN_ONE_TRANSACTION = 100
TRIES = 300


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The address of an empty database on the disk of this folder."""
    place = Path(tempfile.mkdtemp(prefix=".bench-pg-", dir=folder))
    try:
        known, process = start(place, SETTINGS)
        try:
            yield known.url("postgres")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
    finally:
        shutil.rmtree(place, ignore_errors=True)


class Trips:
    """Counts what every connection of this process asks the server for while this exists: each statement is one trip, as is a COMMIT."""

    def __init__(self) -> None:
        self.count = 0
        real = asyncpg.connect

        async def connect(*args: object, **kwargs: object) -> asyncpg.Connection:
            db = await real(*args, **kwargs)
            db.add_query_logger(self._asked)
            return db

        asyncpg.connect = connect

    def _asked(self, _query: object) -> None:
        self.count += 1


async def seconds_to_copy(url: str, only: Mapping[str, str] | None = None) -> float:
    """Write the rows of a finished store into tables like its own by COPY, 100 a transaction, on one connection."""
    db = await asyncpg.connect(url)
    try:
        names = [row[0] for row in await db.fetch("select tablename from pg_tables where schemaname = 'perdure'")]
        chosen = dict.fromkeys(names, "true") if only is None else only
        tables = {name: await db.fetch(f"select * from perdure.{name} where {condition}") for name, condition in chosen.items()}
        await db.execute("create schema floor")
        for name in tables:
            await db.execute(f"create table floor.{name} (like perdure.{name} including all)")
        await db.execute("checkpoint")
        began = time.perf_counter()
        for name, rows in tables.items():
            left = iter(rows)
            while page := [tuple(row) for row in islice(left, ROWS_IN_ONE_TRANSACTION)]:
                await db.copy_records_to_table(name, schema_name="floor", records=page)
        return time.perf_counter() - began
    finally:
        await db.execute("drop schema if exists floor cascade")
        await db.close()


async def lone_commit_milliseconds(url: str) -> float:
    """p50 of one statement that writes a row of 150 bytes and commits."""
    db = await asyncpg.connect(url)
    await db.execute("create table lone (run_id text, position bigint, output bytea, primary key (run_id, position))")
    insert = await db.prepare("insert into lone values ('run', $1, $2)")
    taken = []
    for position in range(TRIES):
        began = time.perf_counter()
        await insert.fetch(position, b"x" * 150)
        taken.append(time.perf_counter() - began)
    await db.execute("drop table lone")
    await db.close()
    return sorted(taken)[TRIES // 2] * 1000


async def version(url: str) -> str:
    db = await asyncpg.connect(url)
    try:
        return str(await db.fetchval("show server_version"))
    finally:
        await db.close()


def facts(folder: Path) -> dict[str, str]:
    with server(folder) as url:
        return {
            "PostgreSQL": f"{asyncio.run(version(url))} through asyncpg {asyncpg.__version__}, on the same machine",
            "its settings": ", ".join(f"{name}={value}" for name, value in DURABLE.items()),
            "commit of one row there": f"{asyncio.run(lone_commit_milliseconds(url)):.2f} ms (p50)",
        }
