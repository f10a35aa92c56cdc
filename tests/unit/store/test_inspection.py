"""Reading a store beside production: nothing is changed, nothing is left behind, nobody is kept waiting."""

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import apsw
import pytest

from perdure.errors import NotAStore, SchemaTooNew, SchemaTooOld, StoreError, StoreIsReadOnly, StoreNotFound, StoreUnavailable
from perdure.store.opening import open_inspection, open_store
from perdure.store.sqlite import inspection
from perdure.store.sqlite.inspection import SqliteInspection
from tests.contract.acting import ManualClock, new_run

KILLED = """
import asyncio, os, signal, sys
from perdure.clock import HostClock
from perdure.model.runs import NewRun
from perdure.store.opening import open_store

async def main():
    store = open_store(sys.argv[1])
    await store.open(create=True, migrate=True)
    await store.start(NewRun("killed", "flow", b"{}", b"h", b"s"))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def filled(path: Path, *ids: str) -> None:
    store = open_store(f"sqlite:///{path}", clock=ManualClock())
    await store.open(create=True, migrate=True)
    for run_id in ids:
        await store.start(new_run(run_id))
    await store.close()


def inspect(path: Path) -> SqliteInspection:
    found = open_inspection(f"sqlite:///{path}")
    assert isinstance(found, SqliteInspection)
    return found


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.rglob("*")) if path.is_file()}


def locks_of_this_process(folder: Path) -> list[str]:
    """On files of this folder: what another test has not let go of yet is no matter of this one."""
    numbers = {f":{file.stat().st_ino}" for file in folder.iterdir()}
    locks = Path("/proc/locks").read_text().splitlines()
    return [line for line in locks if f" {os.getpid()} " in line and any(f"{number} " in line for number in numbers)]


async def test_a_store_that_nobody_has_open_is_read_without_a_trace(tmp_path: Path) -> None:
    await filled(tmp_path / "s.db", "a", "b", "c")
    before = everything(tmp_path)
    store = inspect(tmp_path / "s.db")

    store.check_schema()

    assert [run_id for run_id, _ in store.unfinished()] == ["a", "b", "c"]
    assert [run_id for run_id, _ in store.unfinished(after="a", limit=1)] == ["b"]
    assert set(store.load(["a", "b", "nobody"])) == {"a", "b"}
    assert store.inboxes(1) == {}
    assert everything(tmp_path) == before


async def test_what_a_killed_worker_left_is_read_with_what_only_its_wal_holds_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    killed = subprocess.run([sys.executable, "-c", KILLED, f"sqlite:///{path}"], check=False)
    assert killed.returncode < 0
    files = everything(tmp_path)
    assert files["s.db-wal"][0]

    found = inspect(path).load(["killed"])

    assert found["killed"].row.workflow == "flow"
    after = everything(tmp_path)
    assert {name: after[name] for name in ("s.db", "s.db-wal")} == {name: files[name] for name in ("s.db", "s.db-wal")}


async def test_beside_a_store_that_is_open_it_sees_what_is_committed_and_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = open_store(f"sqlite:///{path}", clock=ManualClock())
    await store.open(create=True, migrate=True)
    await store.start(new_run("a"))
    before = everything(tmp_path)

    assert set(inspect(path).load(["a"])) == {"a"}

    after = everything(tmp_path)
    assert {name: after[name] for name in ("s.db", "s.db-wal")} == {name: before[name] for name in ("s.db", "s.db-wal")}
    await store.close()


async def test_while_it_reads_writers_commit_and_copy_the_wal_and_between_calls_it_holds_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    await filled(path, "a")
    writer = apsw.Connection(str(path))
    writer.pragma("journal_mode", "wal")
    reading, go_on = threading.Event(), threading.Event()

    def slow(db: apsw.Connection) -> int:
        reading.set()
        assert go_on.wait(30)
        return int(db.execute("select issued from runs").fetchall()[0][0])

    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(inspect(path)._read(slow)))
    thread.start()
    assert reading.wait(30)

    writer.execute("update runs set issued = 7")
    writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    go_on.set()
    thread.join()

    assert seen == [0]  # as of the moment at which it began
    assert inspect(path).load(["a"])["a"].row.issued == 7
    writer.execute("begin exclusive; commit")
    assert locks_of_this_process(tmp_path)  # the writer's own
    writer.close()
    assert locks_of_this_process(tmp_path) == []


async def test_its_connection_refuses_to_write(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    await filled(path, "a")
    with pytest.raises(StoreIsReadOnly):
        inspect(path)._read(lambda db: db.execute("delete from runs").fetchall())
    store = open_store(f"sqlite:///{path}", clock=ManualClock())
    await store.open(create=False, migrate=False)
    with pytest.raises(StoreIsReadOnly):
        inspect(path)._read(lambda db: db.execute("delete from runs").fetchall())
    await store.close()


READS_ONLY = """
import os, sys
from perdure.store.opening import open_inspection
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
assert not os.access(sys.argv[1], os.W_OK) and not os.access(os.path.dirname(sys.argv[1]), os.W_OK)
store = open_inspection("sqlite:///" + sys.argv[1])
store.check_schema()
print(*store.load(["a"]))
"""


@pytest.mark.parametrize("is_open", [False, True])
async def test_the_right_to_read_is_enough_whether_somebody_has_the_store_open_or_not(is_open: bool) -> None:
    with tempfile.TemporaryDirectory() as name:  # where another user may come, too
        path = Path(name, "s.db")
        await filled(path, "a")
        store = open_store(f"sqlite:///{path}", clock=ManualClock())
        if is_open:
            await store.open(create=False, migrate=False)
            await store.start(new_run("b"))
        for one in path.parent.iterdir():
            one.chmod(0o444)
        path.parent.chmod(0o555)
        try:
            read = subprocess.run([sys.executable, "-c", READS_ONLY, str(path)], capture_output=True, text=True, check=False)
        finally:
            path.parent.chmod(0o755)
            if is_open:
                await store.close()
        assert (read.stdout, read.returncode) == ("a\n", 0), read.stderr


async def test_a_worker_that_comes_while_the_still_file_is_read_makes_it_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    await filled(path, "a")
    reads: list[int] = []
    others: list[apsw.Connection] = []

    def read(db: apsw.Connection) -> int:
        if not others:
            others.append(apsw.Connection(str(path)))
            others[0].execute("update runs set issued = 7")
        reads.append(db.execute("select issued from runs").fetchall()[0][0])
        return reads[-1]

    assert inspect(path)._read(read) == 7
    assert reads[-1] == 7
    assert len(reads) == 2
    others[0].close()


async def test_a_worker_that_comes_and_goes_all_the_time_is_told_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.db"
    await filled(path, "a")
    monkeypatch.setattr(inspection, "TRIES_MOST", 3)

    def read(_db: apsw.Connection) -> int:
        os.utime(path, ns=(0, len(reads)))
        reads.append(1)
        return 1

    reads: list[int] = []
    with pytest.raises(StoreUnavailable, match="try again"):
        inspect(path)._read(read)
    assert len(reads) == 3


async def test_what_is_no_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound, match="there is no store"):
        inspect(tmp_path / "nothing.db").check_schema()
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreNotFound):
        inspect(tmp_path / "empty.db").check_schema()
    (tmp_path / "text.db").write_text("hello, I am a text " * 100)
    with pytest.raises(NotAStore, match="not an SQLite database"):
        inspect(tmp_path / "text.db").check_schema()
    apsw.Connection(str(tmp_path / "other.db")).execute("create table cats (name)")
    with pytest.raises(NotAStore, match="something else"):
        inspect(tmp_path / "other.db").check_schema()
    with pytest.raises(StoreError, match="belongs to its own process"):
        open_inspection("sqlite:///:memory:")


async def test_a_store_of_another_schema_is_told_and_not_migrated(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    await filled(path)
    db = apsw.Connection(str(path))
    db.execute("insert into perdure_migrations (number, name, checksum, applied_at) values (9999, '9999_later', 'x', 0)")
    with pytest.raises(SchemaTooNew):
        inspect(path).check_schema()
    db.execute("delete from perdure_migrations where number in (1, 9999)")
    db.close()
    before = everything(tmp_path)
    with pytest.raises(SchemaTooOld):
        inspect(path).check_schema()
    assert everything(tmp_path) == before
