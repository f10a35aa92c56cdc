"""F30, F40, F51, F52, and a full disk: what people and machines do to a database while workers are busy."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.cluster.conftest import harness_on
from tests.cluster.server_storm import ServerStorm
from tests.cluster.servers import PostgresServer, settle
from tests.crash import checker
from tests.crash.harness import Harness, resume, signal, start
from tests.crash.processes import Zygote
from tests.proxy import ProxyThread

SMALL_DISK_BYTES = 256 * 1024 * 1024
AT_ONCE = 200


@contextmanager
def locked(server: PostgresServer, schema: str, run: str) -> Iterator[None]:
    """Somebody looks at a run in a transaction and goes for a coffee."""
    loop, is_over, is_locked = asyncio.new_event_loop(), threading.Event(), threading.Event()

    async def look() -> None:
        db = await asyncpg.connect(server.url())
        await db.execute("begin")
        await db.fetch(f"select * from {schema}.runs where id = $1 for update", run)
        is_locked.set()
        while not is_over.is_set():
            await asyncio.sleep(0.01)
        await db.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(look()))
    thread.start()
    assert is_locked.wait(30)
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        loop.close()


def test_f30_a_row_that_somebody_holds_locked_keeps_other_runs_of_other_workers_going(
    harness: Harness, shared_server: PostgresServer
) -> None:
    first = harness.worker(workflows=("waits",))
    harness.act((start("waits", "looked-at", "gate"),))
    harness.wait_for_begin("gated", pid=first.pid)
    harness.worker(workflows=("sequence",))
    with locked(shared_server, harness.path.partition("?schema=")[2], "looked-at"):
        harness.open_gate("gate")  # it wants to end now
        harness.act(*[(start("sequence", f"beside-{number}", 5),) for number in range(20)])
        harness.wait(lambda: harness.store.unfinished() == 1, "the others go on")
        settle(5.0)  # longer than anybody waits for a lock
        assert harness.store.state("looked-at") == "running"
    harness.wait_for_end()
    harness.check()
    assert set(harness.begun().values()) == {1}


def test_f40_an_older_backup_put_back_under_a_worker_is_noticed_and_no_run_goes_on_as_if_nothing_had_been(
    harness: Harness, shared_server: PostgresServer
) -> None:
    """Also by a worker that has nothing to write."""
    worker = harness.worker()
    harness.act(*[(start("listens", f"run-{number}", 1),) for number in range(3)])
    harness.wait(lambda: [harness.store.state(f"run-{number}") for number in range(3)] == ["waiting"] * 3, "they wait")
    backup = str(shared_server.folder / f"backup-{os.getpid()}")
    schema = harness.path.partition("?schema=")[2]
    shared_server.run("pg_dump", "-n", schema, "--clean", "--if-exists", "-f", backup, "postgres")
    harness.act(*[(signal(f"run-{number}", 1),) for number in range(3)])
    harness.wait_for_end()

    shared_server.run("psql", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-f", backup, "postgres")
    harness.wait(lambda: "has lost acknowledged commits" in worker.log.read_text(), "it is noticed")
    harness.wait(lambda: harness.store.rows("select count(*) from runs where state = 'quarantined'") == [(3,)], "they are set aside")

    harness.act(*[(resume(f"run-{number}"),) for number in range(3)])
    harness.act(*[(signal(f"run-{number}", 1),) for number in range(3)])
    harness.wait_for_end()
    assert worker.lives


def test_f51_f52_many_deadlines_in_one_moment_and_signals_that_race_them_have_one_outcome_each(harness: Harness) -> None:
    harness.worker()
    harness.worker()
    lanes = [(start("either", f"run-{number}", 1.5),) for number in range(AT_ONCE)]
    harness.act(*lanes)
    racing = harness.client(*[(signal(f"run-{number}", 1),) for number in range(0, AT_ONCE, 2)])
    harness.wait_for_end(60)
    assert racing.wait() == 0
    evidence = harness.check()
    outcomes = [str(lines[-1].value).split()[0] for lines in evidence.histories.values()]
    assert len(outcomes) == AT_ONCE
    assert set(outcomes) <= {"deadline", "signal"}
    assert set(harness.begun().values()) == {1}


@pytest.mark.skipif(os.getuid() != 0, reason="only root may make a small disk (tmpfs) for the server")
def test_f33_a_server_whose_disk_is_full_acknowledges_nothing_and_goes_on_when_there_is_room(zygote: Zygote, tmp_path: Path) -> None:
    with small_disk() as server, ProxyThread(server.host, server.port) as proxy, harness_on(server, zygote, tmp_path) as harness:
        storm = ServerStorm(harness, server, proxy, seed=33)
        storm.strike(disk_full)
        storm.strike(disk_full)
        storm.assert_nobody_was_restarted()
        storm.heal()
        storm.look()
        print(f"{storm.told()}; {checker.summary(storm.before)}")


def disk_full(storm: ServerStorm) -> None:
    """To the last byte. The server refuses what needs room, and ends itself where its log needs some."""
    filler = storm.server.data / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(65536)):
                pass
        except OSError:
            pass
    settle(3.0)
    filler.unlink()
    if not storm.server.lives:
        storm.server.start(wait=False)


@contextmanager
def small_disk() -> Iterator[PostgresServer]:
    server = PostgresServer(max_wal_size="64MB", min_wal_size="32MB")
    server.data.mkdir()
    options = f"size={SMALL_DISK_BYTES},mode=0700,uid={server.folder.stat().st_uid},gid={server.folder.stat().st_gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(server.data)], check=True)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.kill()
        subprocess.run(["umount", "-l", str(server.data)], check=True)
        server.__exit__()
