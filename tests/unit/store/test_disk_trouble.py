"""A full disk, a broken one, one that fails to sync: nothing acknowledged is lost, nothing is acknowledged that was not written."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw
import pytest

from perdure.errors import StoreFailed, StoreUnavailable
from perdure.store.protocol import UnknownOutcome
from perdure.store.sqlite import transactions
from tests.contract.acting import ManualClock, Worker, history_of, kinds, new_run, step
from tests.contract.places import SqlitePlace
from tests.mounts import needs_mounts, on_a_disk_of_its_own
from tests.unit.store.faulty_disk import BROKEN, FULL, FaultyDisk, faulty_disk, sync_error

REFUSED = (StoreUnavailable, UnknownOutcome)
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    with faulty_disk() as disk:
        yield disk


@pytest.fixture
async def place(tmp_path: Path, disk: FaultyDisk) -> AsyncIterator[SqlitePlace]:
    place = SqlitePlace(str(tmp_path / "store.db"), ManualClock())
    yield place
    disk.heal()
    await place.close()


@pytest.mark.parametrize("error", [FULL, BROKEN])
async def test_f33_while_nothing_can_be_written_nothing_is_acknowledged_and_afterwards_all_goes_on(
    place: SqlitePlace, disk: FaultyDisk, error: type[apsw.Error]
) -> None:
    store = await place.open()
    worker = await Worker(store, "worker-1").register()
    run = await worker.run("order-1")
    await run.write(step(0))
    disk.fail_all("write", "-wal", error)

    for _ in range(3):
        with pytest.raises(REFUSED):
            await worker.commit(run.change(step(1)))
        assert kinds(await history_of(store, "order-1")) == ["started", "step"]

    disk.heal()
    assert await store.checkpoint_of("worker-1") == worker.number
    await run.write(step(1))
    assert [record.command for record in await history_of(store, "order-1")] == [None, 0, 1]


async def test_f34_a_failed_sync_is_final_for_this_process(place: SqlitePlace, disk: FaultyDisk) -> None:
    store = await place.open()
    worker = await Worker(store, "worker-1").register()
    run = await worker.run("order-1")
    disk.fail_next("sync", "-wal", sync_error)

    with pytest.raises(StoreFailed, match="restart"):
        await worker.commit(run.change(step()))

    for ask in (worker.commit, lambda: store.start(new_run("order-2")), lambda: store.checkpoint_of("worker-1")):
        with pytest.raises(StoreFailed, match="restart"):
            await ask()


async def test_b96_a_sync_that_fails_is_not_tried_again_until_it_succeeds(place: SqlitePlace, disk: FaultyDisk) -> None:
    store = await place.open()
    syncs: list[str] = []

    def fail_once(operation: str, name: str) -> None:
        if operation == "sync":
            syncs.append(name)
            if len(syncs) == 1:
                raise sync_error()

    disk.fail = fail_once
    with pytest.raises(StoreFailed):
        await store.start(new_run("order-1"))
    with pytest.raises(StoreFailed):
        await store.start(new_run("order-1"))

    assert len(syncs) == 1


async def test_a_failed_sync_of_the_database_itself_is_seen_though_it_happens_behind_the_answers(
    place: SqlitePlace, disk: FaultyDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "CHECKPOINT_PAGES", 1)
    store = await place.open()
    disk.fail_next("sync", ".db", sync_error)
    acknowledged = set()

    async def start_many() -> None:
        for number in range(10):
            await store.start(new_run(f"order-{number}"))
            acknowledged.add(f"order-{number}")

    with pytest.raises(StoreFailed):
        await start_many()

    await store.close()
    again = await place.open()
    assert acknowledged <= {summary.id for summary in await again.runs()}


async def test_b95_no_answer_is_given_before_the_sync(place: SqlitePlace, disk: FaultyDisk) -> None:
    store = await place.open()
    happened: list[str] = []
    disk.fail = lambda operation, name: happened.append(f"{operation} {name[-4:]}")

    await store.start(new_run("order-1"))
    happened.append("answered")

    assert "write -wal" in happened
    assert "sync -wal" in happened
    assert happened.index("sync -wal") < happened.index("answered")
    assert happened.index("write -wal") < happened.index("sync -wal")


async def test_a_lease_is_renewed_without_a_sync(place: SqlitePlace, disk: FaultyDisk) -> None:
    store = await place.open()
    await Worker(store, "worker-1").register()
    happened: list[str] = []
    disk.fail = lambda operation, name: happened.append(operation)

    assert store.renew("worker-1", 10)

    assert "sync" not in happened


ON_A_SMALL_DISK = """
import asyncio, os, sys
from perdure.errors import StoreUnavailable
from perdure.store.protocol import UnknownOutcome
from tests.contract.acting import ManualClock, new_run
from tests.contract.places import SqlitePlace

async def main(folder):
    place = SqlitePlace(f"{folder}/store.db", ManualClock())
    store = await place.open()
    with open(f"{folder}/ballast", "wb") as ballast:
        ballast.write(bytes(700_000))
    acknowledged = []
    try:
        for number in range(1000):
            await store.start(new_run(f"order-{number}", input=bytes(5000)))
            acknowledged.append(f"order-{number}")
    except (StoreUnavailable, UnknownOutcome) as error:
        print("refused:", error.code)
    assert len(acknowledged) < 1000, "the disk was not full"
    os.unlink(f"{folder}/ballast")
    after = await store.start(new_run("after"))  # no restart was needed
    assert after.is_new
    shown = {summary.id for summary in await store.runs(limit=2000)}
    assert set(acknowledged) <= shown, set(acknowledged) - shown
    assert len(shown) <= len(acknowledged) + 2
    await place.close()
    again = await place.open()
    assert {summary.id for summary in await again.runs(limit=2000)} == shown
    await place.close()
    print("all there:", len(shown))

asyncio.run(main(sys.argv[1]))
"""


@needs_mounts
def test_f33_on_a_disk_that_is_really_full_every_acknowledged_start_is_kept_and_room_is_all_it_takes(tmp_path: Path) -> None:
    done = on_a_disk(tmp_path, ON_A_SMALL_DISK)

    assert done.returncode == 0, done.stderr
    assert "refused:" in done.stdout
    assert "all there:" in done.stdout


READ_ONLY = """
import asyncio, subprocess, sys
from perdure.errors import StoreIsReadOnly
from tests.contract.acting import ManualClock, new_run
from tests.contract.places import SqlitePlace

async def main(folder):
    place = SqlitePlace(f"{folder}/store.db", ManualClock())
    store = await place.open()
    await store.start(new_run("order-1"))
    await place.close()
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    try:
        await place.open()
    except StoreIsReadOnly as error:
        print("refused:", error)

asyncio.run(main(sys.argv[1]))
"""


@needs_mounts
def test_f32_a_disk_that_becomes_read_only_is_said_to_be_so(tmp_path: Path) -> None:
    done = on_a_disk(tmp_path, READ_ONLY)

    assert done.returncode == 0, done.stderr
    assert re.match(r"refused: .*(store\.db|cannot be written)", done.stdout)


def on_a_disk(folder: Path, program: str) -> "subprocess.CompletedProcess[str]":
    command = on_a_disk_of_its_own(str(folder), "2m", sys.executable, "-c", program, str(folder))
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
