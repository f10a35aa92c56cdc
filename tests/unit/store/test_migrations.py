"""Migrations: each once, whole or not at all, and never a store that another perdure has changed."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from perdure.errors import SchemaTooNew, SchemaTooOld, StoreError
from perdure.model.states import RunState
from perdure.store.migrations import Migration, known_migrations, pending_migrations, schema_status
from perdure.store.protocol import Change
from perdure.store.sqlite import schema
from perdure.store.sqlite.store import SqliteStore
from tests.contract.acting import START, ManualClock, Worker, history_of, kinds, new_run, step

ROOT = Path(__file__).resolve().parents[3]
KNOWN = (Migration(1, "0001_core", "create table a (x)"), Migration(2, "0002_more", "create table b (x)"))


def applied(*migrations: Migration) -> dict[int, tuple[str, str]]:
    return {migration.number: (migration.name, migration.checksum) for migration in migrations}


# ── which are to be applied ──────────────────────────────────────────────────────────────────────────────────────────


def test_those_not_applied_are_pending_in_order() -> None:
    assert pending_migrations(KNOWN, {}) == KNOWN
    assert pending_migrations(KNOWN, applied(KNOWN[0])) == (KNOWN[1],)
    assert pending_migrations(KNOWN, applied(*KNOWN)) == ()
    status = schema_status(KNOWN, applied(KNOWN[0]))
    assert (status.version, status.newest, status.pending) == (1, 2, ("0002_more",))


def test_a_store_with_unknown_migrations_was_migrated_by_a_newer_perdure() -> None:
    with pytest.raises(SchemaTooNew, match=r"0002_more.*upgrade"):
        pending_migrations(KNOWN[:1], applied(*KNOWN))


def test_a_migration_that_was_edited_after_it_was_applied_is_refused() -> None:
    edited = Migration(1, "0001_core", "create table a (x, y)")

    with pytest.raises(StoreError, match="0001_core"):
        pending_migrations((edited, KNOWN[1]), applied(*KNOWN))


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_the_migrations_of_this_release_are_numbered_without_gaps(dialect: str) -> None:
    known = known_migrations(f"perdure.store.{dialect}.migrations")

    assert [migration.number for migration in known] == list(range(1, len(known) + 1))
    assert all(migration.sql.strip() for migration in known)


# ── applied to a file ────────────────────────────────────────────────────────────────────────────────────────────────

Release = Callable[..., None]


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    """Installs a perdure whose migrations are those of today, or some of them, and the given ones."""
    releases = 0
    monkeypatch.syspath_prepend(tmp_path / "releases")

    def install(*later: str, upto: int = 9999) -> None:
        nonlocal releases
        releases += 1
        package = tmp_path / "releases" / f"{tmp_path.name}_{releases}"  # a name of its own: what is known of a package is kept
        shutil.copytree(ROOT / "src/perdure/store/sqlite/migrations", package)
        for migration in package.glob("0*.sql"):
            if int(migration.name[:4]) > upto:
                migration.unlink()
        for number, sql in enumerate(later, len(list(package.glob("0*.sql"))) + 1):
            (package / f"{number:04}_later.sql").write_text(sql)
        monkeypatch.setattr(schema, "PACKAGE", package.name)

    return install


def store_at(folder: Path) -> SqliteStore:
    return SqliteStore(str(folder / "store.db"), namespace="default", clock=ManualClock())


async def opened(folder: Path, *, migrate: bool = True) -> SqliteStore:
    store = store_at(folder)
    await store.open(create=migrate, migrate=migrate)
    return store


def tables(folder: Path) -> set[str]:
    with apsw.Connection(str(folder / "store.db")) as db:
        names = {name for (name,) in db.execute("select name from sqlite_schema where type = 'table'").fetchall()}
    db.close()
    return names


async def test_an_older_store_is_migrated_and_keeps_what_it_holds(tmp_path: Path, release: Release) -> None:
    release()
    old = await opened(tmp_path)
    await old.start(new_run("order-1"))
    await old.close()
    release("create table later (x integer) strict", "create table latest (x integer) strict")

    new = await opened(tmp_path)

    assert await new.run("order-1") is not None
    assert {"later", "latest"} <= tables(tmp_path)
    assert (await new.schema()).pending == ()
    await new.close()


OLD_ROWS = """
insert into runs
    (namespace, id, workflow, state, generation, input, input_hash, seed, checksum, python, only_python, created_at, wake_at, issued)
values ('default', 'order-1', 'flow', 'waiting', 0, x'7b7d', x'00', x'00', 0, '3.11', '', 1, 1, 0);
insert into history (namespace, run_id, generation, position, at, kind, name, attempt, checksum)
values ('default', 'order-1', 0, 1, 1, 'started', 'flow', 0, 0);
insert into inbox (namespace, run_id, number, arrived_at, id, topic, payload) values ('default', 'order-1', 1, 5, 's1', 'paid', x'31');
insert into signal_keys (namespace, run_id, key) values ('default', 'order-1', 'id:s1');
"""


async def test_runs_of_a_store_from_before_fencing_numbers_and_checksums_of_signals_are_claimed_and_get_their_signals(
    tmp_path: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(upto=6)
    await (await opened(tmp_path)).close()
    with apsw.Connection(str(tmp_path / "store.db")) as db:
        db.execute(OLD_ROWS).fetchall()
    db.close()
    monkeypatch.undo()
    store = await opened(tmp_path)
    worker = await Worker(store, "worker-1").register()

    (claimed,) = await worker.claim()
    (written,) = (await worker.commit(Change("order-1", 0, 1, 1, reads_inbox=True))).written

    assert claimed.row.fencing == START
    assert [(record.name, record.output) for record in written.records] == [("paid", b"1")]
    assert written.damage is None
    await store.close()


async def test_an_older_store_is_refused_where_it_may_not_be_migrated_and_stays_as_it_is(tmp_path: Path, release: Release) -> None:
    release()
    await (await opened(tmp_path)).close()
    before = tables(tmp_path)
    release("create table later (x integer) strict")

    with pytest.raises(SchemaTooOld, match="perdure db migrate"):
        await opened(tmp_path, migrate=False)

    assert tables(tmp_path) == before


@pytest.mark.parametrize("migrate", [True, False])
async def test_a_newer_store_is_refused_and_stays_as_it_is(tmp_path: Path, release: Release, migrate: bool) -> None:
    release("create table later (x integer) strict")
    await (await opened(tmp_path)).close()
    before = tables(tmp_path)
    release()

    with pytest.raises(SchemaTooNew, match="upgrade perdure"):
        await opened(tmp_path, migrate=migrate)

    assert tables(tmp_path) == before


async def test_a_migration_that_fails_half_way_leaves_nothing_of_itself_and_can_be_tried_again(tmp_path: Path, release: Release) -> None:
    release("create table later (x integer) strict; create table latest (y nonsense) strict")
    with pytest.raises(StoreError):
        await opened(tmp_path)
    assert not {"later", "latest"} & tables(tmp_path)
    release("create table later (x integer) strict; create table latest (y integer) strict")

    await (await opened(tmp_path)).close()

    assert {"later", "latest"} <= tables(tmp_path)


KILLED = """
import asyncio, os, signal, sys
from perdure.store.sqlite.store import SqliteStore

class KillingClock:
    def now(self):  # asked for when the statements of a migration are done, before its COMMIT
        os.kill(os.getpid(), signal.SIGKILL)
    def since_boot(self):
        return 0

asyncio.run(SqliteStore(sys.argv[1], namespace="default", clock=KillingClock()).open(create=True, migrate=True))
"""


async def test_a_process_killed_while_it_migrates_leaves_a_file_that_the_next_one_migrates(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "store.db")], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert tables(tmp_path) == set()

    store = await opened(tmp_path)

    assert (await store.start(new_run("order-1"))).is_new
    await store.close()


async def test_f39_a_worker_of_the_release_before_goes_on_with_a_store_that_was_migrated_under_it(tmp_path: Path, release: Release) -> None:
    """Migrations only add. Whoever opens the store anew with the old release is refused; who has it open loses nothing."""
    release()
    old = await opened(tmp_path)
    worker = await Worker(old, "worker-1").register()
    run = await worker.run("order-1")
    release(
        "create table later (x integer) strict",
        "alter table runs add column later text; alter table history add column later integer not null default 0",
        "create index runs_later on runs (namespace, later)",
    )
    new = await opened(tmp_path)

    await run.write(step())
    await old.start(new_run("order-2"))
    await run.finish()

    assert {one.id: one.state for one in await new.runs()} == {"order-1": RunState.COMPLETED, "order-2": RunState.PENDING}
    assert kinds(await history_of(old, "order-1")) == kinds(await history_of(new, "order-1")) == ["started", "step", "completed"]
    await new.close()
    await old.close()


MIGRATES = """
import asyncio, sys
from perdure.store.sqlite import schema
from perdure.store.sqlite.store import SqliteStore
from tests.contract.acting import ManualClock
from tests.crash import disk, effects
from tests.crash.options import Fault

class Told:
    def send(self, data):
        pass

effects._connection = Told()  # who is killed needs to tell nobody
path, package, folder, kth = sys.argv[1:]
sys.path.insert(0, folder)
schema.PACKAGE = package
counted = disk.install(Fault(kth=int(kth)), None)
asyncio.run(SqliteStore(path, namespace="default", clock=ManualClock()).open(create=True, migrate=True))
print(sum(counted().values()))
"""


@pytest.mark.parametrize("is_new", [True, False], ids=["a new store", "a store with runs"])
async def test_f39_killed_at_any_operation_on_the_disk_while_it_migrates_it_is_migrated_or_not_and_the_next_one_does_it(
    tmp_path: Path, release: Release, is_new: bool
) -> None:
    def killed_at(kth: int, folder: Path) -> "subprocess.CompletedProcess[str]":
        arguments = [str(folder / "store.db"), schema.PACKAGE, str(tmp_path / "releases"), str(kth)]
        command = [sys.executable, "-c", MIGRATES, *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    async def prepared(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        if not is_new:
            shutil.copy(template / "store.db", folder / "store.db")
        return folder

    template = tmp_path / "template"
    template.mkdir()
    release()
    store = await opened(template)
    await store.start(new_run("order-1"))
    await store.close()
    release("create table later (x integer) strict; create table latest (y integer) strict", "alter table runs add column later text")
    undisturbed = killed_at(10**9, await prepared("undisturbed"))
    operations = int(undisturbed.stdout)
    assert operations > 8

    for kth in [*range(1, operations, max(1, operations // 8)), operations]:
        folder = await prepared(str(kth))
        assert killed_at(kth, folder).returncode == -signal.SIGKILL
        assert len({"later", "latest"} & tables(folder)) in {0, 2}
        store = await opened(folder)
        assert (await store.schema()).pending == ()
        assert [one.id for one in await store.runs()] == ([] if is_new else ["order-1"])
        assert (await store.start(new_run("order-2"))).is_new
        await store.close()


OPENER = """
import asyncio, sys
from perdure.store.sqlite.store import SqliteStore
from tests.contract.acting import ManualClock

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    store = SqliteStore(sys.argv[1], namespace="default", clock=ManualClock())
    await store.open(create=True, migrate=True)
    print((await store.schema()).pending, flush=True)
    await store.close()

asyncio.run(main())
"""


def test_processes_that_migrate_at_once_do_not_clash(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENER, str(tmp_path / "store.db")]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0] for process in processes]

    assert answers == ["()\n"] * 3
    assert [process.returncode for process in processes] == [0, 0, 0]
