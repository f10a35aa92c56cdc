"""What an address that leads to no usable store gets: a clear error, and nothing touched."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from perdure import Client, Engine, receive, workflow
from perdure.errors import NotAStore, SchemaTooNew, StoreError, StoreIsReadOnly, StoreNotFound, UnsafeFileSystem
from perdure.store.sqlite import filesystems
from tests.acceptance.harness import Stage


@workflow
async def hear() -> int:
    return await receive("number", int)


async def opened(kind: str, url: str) -> None:
    async with Engine(url, [hear]) if kind == "engine" else Client(url):
        pass


@pytest.mark.parametrize("kind", ["engine", "client"])
async def test_a_file_that_is_no_database_is_refused_and_not_touched(stage: Stage, kind: str) -> None:
    content = b"my diary, not a database. " * 100
    Path(stage.path).write_bytes(content)

    with pytest.raises(NotAStore, match="store.db is not an SQLite database; choose another file"):
        await opened(kind, stage.url)
    assert Path(stage.path).read_bytes() == content


@pytest.mark.parametrize("kind", ["engine", "client"])
async def test_a_database_of_something_else_is_refused_and_not_touched(stage: Stage, kind: str) -> None:
    stage.sql("create table recipes (name text)")

    with pytest.raises(NotAStore, match=r"is a database of something else \(it has recipes\); choose another file"):
        await opened(kind, stage.url)
    assert stage.sql("select name from sqlite_schema") == [("recipes",)]
    assert stage.sql("pragma journal_mode") == [("delete",)]


@pytest.mark.parametrize("kind", ["engine", "client"])
async def test_a_store_of_a_newer_schema_is_refused(stage: Stage, kind: str) -> None:
    await stage.stop(await stage.engine())
    stage.sql("insert into perdure_migrations values (99, '0099_future', 'x', 0)")

    with pytest.raises(SchemaTooNew, match=r"a newer perdure has migrated the store \(0099_future\).*upgrade perdure"):
        await opened(kind, stage.url)


@pytest.mark.parametrize("kind", ["engine", "client"])
async def test_a_store_on_a_network_file_system_is_refused(stage: Stage, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.stop(await stage.engine())
    mounts = stage.folder / "mounts"
    mounts.write_text(f"server:/share {stage.folder} nfs4 rw 0 0\n")
    monkeypatch.setattr(filesystems, "MOUNTS", str(mounts))

    with pytest.raises(UnsafeFileSystem, match=r"is on a network file system \(nfs4\).*keep the store on a disk of this machine"):
        await opened(kind, stage.url)


@contextmanager
def without_the_rights_of_root() -> Iterator[None]:
    """As another user where the tests run as root, for root may write everything."""
    if os.getuid():
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.parametrize("kind", ["engine", "client"])
@pytest.mark.parametrize("what", ["file", "folder"])
async def test_a_store_that_cannot_be_written_is_refused(what: str, kind: str) -> None:
    with TemporaryDirectory() as name:  # the folders above that of the stage are closed to others
        folder, file = Path(name), Path(name, "store.db")
        async with Engine(f"sqlite:///{file}", []):
            pass
        folder.chmod(0o777 if what == "file" else 0o555)
        file.chmod(0o444 if what == "file" else 0o666)

        with without_the_rights_of_root(), pytest.raises(StoreIsReadOnly, match="cannot be written by this process"):
            await opened(kind, f"sqlite:///{file}")
        folder.chmod(0o777)


async def test_a_client_refuses_a_store_that_does_not_exist_and_makes_none(stage: Stage) -> None:
    with pytest.raises(StoreNotFound, match="there is no store at .*store.db; start an Engine there, or run `perdure db migrate`"):
        await opened("client", stage.url)
    with pytest.raises(StoreNotFound, match="there is no folder .*nowhere; create it, or correct the address"):
        await opened("engine", f"sqlite:///{stage.folder}/nowhere/store.db")
    assert list(stage.folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["engine", "client"])
async def test_what_is_no_regular_file_is_refused_and_not_touched(stage: Stage, kind: str) -> None:
    os.mkfifo(stage.path)
    for path in (stage.path, "/dev/null", str(stage.folder)):
        with pytest.raises(StoreNotFound, match=f"{path} is no regular file"):
            await opened(kind, f"sqlite:///{path}")
    assert [one.name for one in stage.folder.iterdir()] == [Path(stage.path).name]


async def test_a_client_refuses_an_empty_file(stage: Stage) -> None:
    Path(stage.path).touch()
    with pytest.raises(StoreNotFound, match="there is no store at"):
        await opened("client", stage.url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("orders.db", "is not the address of a store"),
        ("mysql://localhost/orders", "is not the address of a store"),
        ("sqlite://orders.db", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///orders.db?mode=ro", "no options after a question mark"),
    ],
)
async def test_an_address_that_is_none_is_refused_with_the_forms_there_are(url: str, says: str) -> None:
    with pytest.raises(StoreError, match=says):
        await opened("engine", url)
