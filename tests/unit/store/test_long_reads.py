"""F38: somebody reads the store in one transaction for minutes. The log that cannot be emptied is told of, and bounded after."""

import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from perdure.model.findings import Level
from perdure.store.sqlite import backlog, database, transactions, vitals
from perdure.store.sqlite.store import SqliteStore
from tests.contract.acting import ManualClock, new_run

COPIED_EVERY = 20  # pages
TOLD_AT = 100
KEPT_BYTES = 200_000


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteStore]:
    """All sizes a hundredth of what they are."""
    monkeypatch.setattr(transactions, "CHECKPOINT_PAGES", COPIED_EVERY)
    monkeypatch.setattr(backlog, "PAGES_TOLD", TOLD_AT)
    monkeypatch.setattr(database, "WAL_BYTES_KEPT", KEPT_BYTES)
    store = SqliteStore(str(tmp_path / "store.db"), namespace="default", clock=ManualClock())
    await store.open(create=True, migrate=True)
    yield store
    await store.close()


@pytest.fixture
def reader(store: SqliteStore, tmp_path: Path) -> apsw.Connection:
    """In the middle of a transaction that has begun to read."""
    db = apsw.Connection(str(tmp_path / "store.db"), flags=apsw.SQLITE_OPEN_READONLY)
    db.execute("begin")
    assert db.execute("select count(*) from runs").fetchall() == [(0,)]
    return db


def wal_bytes(tmp_path: Path) -> int:
    return os.stat(tmp_path / "store.db-wal").st_size


async def write_until(store: SqliteStore, tmp_path: Path, size: int) -> int:
    """How many runs were started until the log had this size."""
    count = 0
    while wal_bytes(tmp_path) < size:
        await store.start(new_run(f"order-{size}-{count}", input=b"x" * 2000))
        count += 1
    return count


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "write-ahead log" in record.getMessage()]


async def test_f38_a_log_that_a_long_read_keeps_from_being_emptied_is_told_of_and_again_when_it_has_doubled(
    store: SqliteStore, reader: apsw.Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await write_until(store, tmp_path, TOLD_AT * 4096 // 2)
        assert told(caplog) == []
        await write_until(store, tmp_path, (2 * TOLD_AT - COPIED_EVERY) * 4096)
        once = told(caplog)
        await write_until(store, tmp_path, (3 * TOLD_AT) * 4096)
        twice = told(caplog)

    assert len(once) == 1
    assert "lsof" in once[0]
    assert len(twice) == 2
    assert reader.execute("select count(*) from runs").fetchall() == [(0,)]
    reader.close()


async def test_f38_the_doctor_says_so_too(
    store: SqliteStore, reader: apsw.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vitals, "WAL_BYTES_MOST", TOLD_AT * 4096)
    await write_until(store, tmp_path, 2 * TOLD_AT * 4096)

    (found,) = [one for one in await store.examine() if one.subject == "write-ahead log"]

    assert found.level is Level.WRONG
    assert found.remedy is not None
    assert "transaction" in found.remedy
    reader.close()


async def test_f38_when_the_reader_has_gone_the_log_is_emptied_stays_bounded_and_nothing_is_lost(
    store: SqliteStore, reader: apsw.Connection, tmp_path: Path
) -> None:
    written = await write_until(store, tmp_path, 3 * TOLD_AT * 4096)
    reader.close()

    sizes = []
    for number in range(300):
        await store.start(new_run(f"later-{number}", input=b"x" * 2000))
        sizes.append(wal_bytes(tmp_path))

    assert sizes[-1] <= KEPT_BYTES + COPIED_EVERY * 4096
    assert max(sizes[150:]) <= KEPT_BYTES + 10 * COPIED_EVERY * 4096
    assert sum((await store.counts()).values()) == written + 300
