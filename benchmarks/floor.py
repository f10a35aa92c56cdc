"""The floor: what this disk gives to a program that does nothing but write the same rows with apsw, 100 a transaction."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path

import apsw
from measuring import percentile

ROWS_IN_ONE_TRANSACTION = 100
TRIES = 300
PAGE = 4096


def seconds_to_write(store: Path, only: Mapping[str, str] | None = None) -> float:
    """Write the rows of a finished store into a new file beside it: same tables and indexes, WAL, `synchronous=FULL`.

    `only` names tables and the condition of the rows that count; without it all rows of all tables do. Rows that were changed or deleted
    meanwhile count once or not at all: the floor knows no better way.
    """
    with closing(apsw.Connection(str(store))) as source:
        schema = [sql for (sql,) in source.execute("select sql from sqlite_schema where sql is not null order by type = 'index'")]
        names = [name for (name,) in source.execute("select name from sqlite_schema where type = 'table'")]
        chosen = dict.fromkeys(names, "true") if only is None else only
        tables = {name: source.execute(f"select * from {name} where {condition}").fetchall() for name, condition in chosen.items()}
    path = store.with_name("floor.db")
    with closing(connect(path)) as target:
        for sql in schema:
            target.execute(sql)
        began = time.perf_counter()
        for statement, rows in transactions(tables):
            target.execute("begin immediate")
            target.executemany(statement, rows)
            target.execute("commit")
        return time.perf_counter() - began


def transactions(tables: Mapping[str, list[tuple[object, ...]]]) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    for name, rows in tables.items():
        left = iter(rows)
        while page := list(islice(left, ROWS_IN_ONE_TRANSACTION)):
            yield f"insert into {name} values ({','.join('?' * len(page[0]))})", page


def lone_commit_milliseconds(folder: Path) -> float:
    """p50 of a transaction of one row of 150 bytes."""
    taken = []
    with closing(connect(folder / "lone.db")) as db:
        db.execute("create table history (run_id text, position integer, output blob, primary key (run_id, position)) without rowid")
        for position in range(TRIES):
            began = time.perf_counter()
            db.execute("begin immediate")
            db.execute("insert into history values ('run', ?, ?)", (position, b"x" * 150))
            db.execute("commit")
            taken.append(time.perf_counter() - began)
    return percentile(taken, 50) * 1000


def sync_milliseconds(folder: Path) -> float:
    """p50 of writing a page in place and syncing it."""
    taken = []
    descriptor = os.open(folder / "sync.bin", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, bytes(PAGE * TRIES))
        os.fsync(descriptor)
        for number in range(TRIES):
            began = time.perf_counter()
            os.pwrite(descriptor, b"x" * PAGE, number * PAGE)
            os.fdatasync(descriptor)
            taken.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
    return percentile(taken, 50) * 1000


def connect(path: Path) -> apsw.Connection:
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    db = apsw.Connection(str(path))
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = full")
    return db
