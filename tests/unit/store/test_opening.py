"""Opening a store: what is refused, and that nothing is made that was not asked for."""

import asyncio
import os
import threading
from pathlib import Path

import apsw
import pytest

from perdure.errors import NotAStore, StoreError, StoreFailed, StoreIsReadOnly, StoreNotFound, UnsafeFileSystem
from perdure.store.opening import open_store
from perdure.store.protocol import Store
from perdure.store.sqlite import database, filesystems
from tests.contract.acting import ManualClock, new_run
from tests.contract.places import SqlitePlace


def store_at(path: Path | str) -> Store:
    return open_store(f"sqlite:///{path}", clock=ManualClock())


async def made_at(path: Path) -> None:
    store = store_at(path)
    await store.open(create=True, migrate=True)
    await store.close()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://x",
        "sqlite://",
        "sqlite:///",
        "sqlite://host/x.db",
        "orders.db",
        "",
        "sqlite:///a?b=c",
    ],
)
def test_an_address_of_another_form_is_refused_and_the_right_forms_are_shown(url: str) -> None:
    with pytest.raises(StoreError, match=r"sqlite:///relative\.db"):
        open_store(url)


async def test_three_slashes_are_relative_to_where_the_process_was_and_four_are_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = open_store("sqlite:///orders.db")
    monkeypatch.chdir("/")
    await relative.open(create=True, migrate=True)
    await relative.close()

    absolute = open_store(f"sqlite:///{tmp_path}/orders.db")  # tmp_path begins with the fourth slash
    await absolute.open(create=False, migrate=False)
    await absolute.close()

    assert (tmp_path / "orders.db").is_file()


@pytest.mark.parametrize("migrate", [True, False])
async def test_a_store_that_does_not_exist_is_not_made_unless_asked_for(tmp_path: Path, migrate: bool) -> None:
    store = store_at(tmp_path / "orders.db")

    with pytest.raises(StoreNotFound, match=r"orders\.db"):
        await store.open(create=not migrate, migrate=migrate)

    assert list(tmp_path.iterdir()) == []


async def test_an_empty_file_is_no_store_and_becomes_one_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    path.touch()

    with pytest.raises(StoreNotFound):
        await store_at(path).open(create=False, migrate=True)
    assert path.stat().st_size == 0

    await made_at(path)


async def test_a_database_that_was_begun_and_never_migrated_is_no_store_yet(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "wal")
    db.close()

    with pytest.raises(StoreNotFound, match="empty"):
        await store_at(path).open(create=False, migrate=True)

    await made_at(path)


async def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound, match=r"no folder .*nowhere"):
        await store_at(tmp_path / "nowhere" / "orders.db").open(create=True, migrate=True)


async def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound, match="is no regular file"):
        await store_at(tmp_path).open(create=True, migrate=True)


@pytest.mark.parametrize("create", [True, False])
async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path, create: bool) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("buy milk\n" * 200)

    with pytest.raises(NotAStore, match=r"notes\.txt"):
        await store_at(path).open(create=create, migrate=True)

    assert path.read_text() == "buy milk\n" * 200
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("create", [True, False])
async def test_a_database_of_something_else_is_refused_and_left_as_it_is(tmp_path: Path, create: bool) -> None:
    path = tmp_path / "shop.db"
    with apsw.Connection(str(path)) as db:
        db.execute("create table customers (name text)").fetchall()
    db.close()
    before = path.read_bytes()

    with pytest.raises(NotAStore, match="customers"):
        await store_at(path).open(create=create, migrate=True)

    assert path.read_bytes() == before


async def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "orders.db"
    await made_at(path)
    real = os.access
    monkeypatch.setattr(os, "access", lambda name, mode: str(name) != str(path) and real(name, mode))  # root may write everywhere

    with pytest.raises(StoreIsReadOnly, match=r"orders\.db"):
        await store_at(path).open(create=False, migrate=True)


async def test_a_store_on_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/export {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(filesystems, "MOUNTS", str(mounts))

    with pytest.raises(UnsafeFileSystem, match="nfs4"):
        await store_at(tmp_path / "orders.db").open(create=True, migrate=True)


async def test_b93_an_sqlite_that_can_corrupt_the_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "OLDEST_SQLITE", (99, 0, 0))

    with pytest.raises(StoreError, match="can corrupt a store"):
        await store_at(tmp_path / "orders.db").open(create=True, migrate=True)


async def test_a_store_that_could_not_be_opened_can_be_opened_later(tmp_path: Path) -> None:
    store = store_at(tmp_path / "orders.db")
    with pytest.raises(StoreNotFound):
        await store.open(create=False, migrate=True)

    await store.open(create=True, migrate=True)

    assert (await store.start(new_run("order-1"))).is_new
    await store.close()


@pytest.mark.parametrize("attempt", range(10))  # they meet at another point each time
async def test_many_stores_opened_at_once_on_a_new_file_all_find_it_migrated(tmp_path: Path, attempt: int) -> None:
    stores = [store_at(tmp_path / "orders.db") for _ in range(5)]

    await asyncio.gather(*(store.open(create=True, migrate=True) for store in stores))

    for store in stores:
        assert (await store.schema()).pending == ()
        await store.close()


@pytest.mark.parametrize("becomes_free", [True, False])
async def test_an_open_that_is_cancelled_leaves_no_thread(tmp_path: Path, becomes_free: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "orders.db"
    await made_at(path)
    monkeypatch.setattr(database, "MODE_TRIES", 1)
    monkeypatch.setattr(database, "BUSY_SECONDS", 60.0 if becomes_free else 0.1)
    before = set(threading.enumerate())
    holder = apsw.Connection(str(path))
    holder.pragma("locking_mode", "exclusive")
    holder.execute("begin exclusive")

    opening = asyncio.ensure_future(store_at(path).open(create=False, migrate=False))
    await asyncio.sleep(0)
    (writer,) = set(threading.enumerate()) - before
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    if becomes_free:
        holder.close()
    await asyncio.to_thread(writer.join, 30)

    assert not writer.is_alive()
    holder.close()


# ── while it is open ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_f32_a_file_that_is_deleted_under_us_is_missed_loudly_and_never_made_anew(tmp_path: Path) -> None:
    place = SqlitePlace(str(tmp_path / "orders.db"), ManualClock())
    store = await place.open()
    os.unlink(place.path)

    with pytest.raises(StoreNotFound, match="nothing is written"):
        await store.start(new_run("order-1"))
    with pytest.raises(StoreNotFound):
        await store.run("order-1")
    with pytest.raises(StoreNotFound):
        store.renew("worker-1", 1)

    assert not Path(place.path).exists()
    await place.close()


def test_f32_no_later_connection_makes_a_file_anew(tmp_path: Path) -> None:
    place = database.Database(str(tmp_path / "orders.db"))
    place.examine(create=True)
    place.connect_writer().close()
    os.unlink(place.path)

    for connect in (place.connect_reader, place.connect_renewer, place.connect_writer):
        with pytest.raises((StoreError, apsw.CantOpenError)):
            connect()

    assert not os.path.exists(place.path)


async def test_f32_a_file_that_is_replaced_under_us_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    place = SqlitePlace(str(path), ManualClock())
    store = await place.open()
    await made_at(tmp_path / "other.db")
    os.replace(tmp_path / "other.db", path)
    before = path.read_bytes()

    with pytest.raises(StoreFailed, match="replaced"):
        await store.start(new_run("order-1"))

    assert path.read_bytes() == before
    await place.close()


async def test_a_file_that_comes_back_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    place = SqlitePlace(str(path), ManualClock())
    store = await place.open()
    os.rename(path, tmp_path / "away.db")
    with pytest.raises(StoreNotFound):
        await store.start(new_run("order-1"))

    os.rename(tmp_path / "away.db", path)

    assert (await store.start(new_run("order-1"))).is_new
    await place.close()


def test_the_writer_syncs_each_commit_and_maps_no_file_into_memory(tmp_path: Path) -> None:
    place = database.Database(str(tmp_path / "orders.db"))
    place.examine(create=True)

    db = place.connect_writer()

    assert (db.pragma("journal_mode"), db.pragma("synchronous"), db.pragma("foreign_keys")) == ("wal", 2, 1)
    assert db.pragma("mmap_size") == 0
    assert place.connect_reader().pragma("query_only") == 1
    db.close()
