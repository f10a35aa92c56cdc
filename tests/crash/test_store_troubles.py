"""The store is locked, full, gone, replaced, read-only or damaged: nothing acknowledged is lost, and what can go on does."""

import json
import os
import resource
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from perdure import Client
from perdure.errors import PayloadTooLarge
from tests.crash.harness import Harness, result, signal, start
from tests.crash.options import Fault
from tests.crash.process import STORE_FAILED
from tests.crash.processes import Process

FILES = ("", "-wal", "-shm")


def writing(path: str) -> apsw.Connection:
    return apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)


# ── busy ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seconds", [6.5, pytest.param(60.0, marks=pytest.mark.long)])
def test_f31_while_somebody_else_holds_the_lock_nothing_is_lost_and_the_loop_goes_on(harness: Harness, seconds: float) -> None:
    workers = [harness.worker(settings={"lease_seconds": 5.0}) for _ in range(2)]
    harness.act((start("waits", "held", "gate"), start("everything", "listening", 1)))
    harness.wait_for_begin("gated")
    db = writing(harness.path)
    db.set_busy_timeout(5000)
    db.execute("begin exclusive")
    until = harness.boot_time() + round(seconds * 1_000_000)
    harness.open_gate("gate")
    late = harness.client((start("sequence", "late", 2), signal("listening", 1)))
    harness.wait(lambda: harness.server.of("end", step="gated"), "the step ends although nobody can write: the loop is not blocked")
    harness.wait(lambda: harness.boot_time() > until, "the lock was held for long", seconds + 5)
    assert not harness.server.of("ack", run="late")
    db.execute("rollback")
    db.close()
    assert late.wait() == 0
    harness.wait_for_end()
    harness.check()
    assert set(harness.begun().values()) <= {1, 3}
    assert not harness.server.of("point", point="fence.lost")
    assert all(worker.lives for worker in workers)


# ── full ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class SmallDisk:
    """A disk, or a limit, that can be filled and emptied. `folder` is None where the limit is that of the process."""

    folder: Path | None

    def fill(self, process: Process) -> None:
        if self.folder is None:
            size = max(os.path.getsize(process.options.store + suffix) for suffix in FILES)
            limit(process, size)
            return
        with (self.folder / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(b"x" * 4096)
            except OSError:
                return  # it is full now

    def empty(self, process: Process) -> None:
        if self.folder is None:
            limit(process, resource.RLIM_INFINITY)
        else:
            (self.folder / "filler").unlink()


def limit(process: Process, size: int) -> None:
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]))


@pytest.fixture(params=["file system", "file size"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of its own where this user may mount one; else both times the largest size of a file."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if request.param == "file system" and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        yield SmallDisk(folder)
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    else:
        yield SmallDisk(None)


def test_f33_a_full_disk_is_outlived_and_nothing_acknowledged_is_lost(harness: Harness, small_disk: SmallDisk) -> None:
    if small_disk.folder is not None:
        harness.path = harness.store.path = str(small_disk.folder / "store.db")
    worker = harness.worker()
    harness.act((start("everything", "before", 2), signal("before", 1)), (start("waits", "held", "gate"),))
    harness.wait_for_begin("gated")
    small_disk.fill(worker)
    harness.open_gate("gate")
    lanes = ((signal("before", 2), result("before")), *[(start("sequence", f"late-{number}", 3),) for number in range(5)])
    client = harness.client(*lanes)
    if small_disk.folder is None:
        client.kill()  # it has no limit of its own
    harness.wait(lambda: "does not take checkpoint" in worker.log.read_text(), "the worker finds no space")
    harness.wait(lambda: harness.server.of("end", step="gated"), "the step ends")
    assert not harness.store.history("held")[2:], "nothing is recorded while there is no space"
    small_disk.empty(worker)
    harness.act(*harness.remaining(lanes))
    harness.wait_for_end()
    harness.check()
    assert worker.lives, "without a restart"
    assert set(harness.begun().values()) <= {1, 3}
    worker.terminate()
    assert worker.wait() == 0, harness.said()
    harness.store.close()


# ── gone, replaced, read-only ────────────────────────────────────────────────────────────────────────────────────────


def test_f32_a_file_that_is_gone_is_not_made_anew_and_is_met_again_when_it_is_back(harness: Harness) -> None:
    worker = harness.worker()
    harness.act((start("waits", "held", "gate"),))
    harness.wait_for_begin("gated")
    away = harness.folder / "away.db"
    os.rename(harness.path, away)
    client = harness.client((start("sequence", "late", 2),))
    harness.open_gate("gate")
    harness.wait(lambda: "is gone" in worker.log.read_text(), "the worker says what is missing")
    assert not Path(harness.path).exists(), "an empty store was made"
    assert not harness.server.of("ack", run="late")
    os.rename(away, harness.path)
    assert client.wait() == 0
    harness.wait_for_end()
    harness.check()
    assert worker.lives
    assert set(harness.begun().values()) == {1}


def test_f32_a_folder_that_is_gone_and_comes_back_loses_nothing(harness: Harness) -> None:
    folder, away = harness.folder / "folder", harness.folder / "elsewhere"
    folder.mkdir()
    harness.path = harness.store.path = str(folder / "store.db")
    worker = harness.worker()
    harness.act((start("waits", "held", "gate"),))
    harness.wait_for_begin("gated")
    os.rename(folder, away)
    harness.open_gate("gate")
    harness.wait(lambda: "gone or out of reach" in worker.log.read_text(), "the worker says what is missing")
    assert not folder.exists()
    os.rename(away, folder)
    harness.wait_for_end()
    harness.check()
    assert worker.lives


def test_f32_a_file_that_was_replaced_ends_the_process(harness: Harness) -> None:
    """Neither the old nor the new file is written."""
    worker = harness.worker()
    harness.act((start("waits", "held", "gate"),))
    harness.wait_for_begin("gated")
    harness.pause_between_commits(worker)
    other = harness.folder / "other.db"
    with apsw.Connection(str(other)) as db:
        db.execute("create table other (x)")
    db.close()
    before = other.read_bytes()
    harness.store.close()
    os.rename(harness.path, harness.folder / "old.db")
    os.rename(other, harness.path)
    worker.resume()
    harness.open_gate("gate")
    assert worker.wait() == STORE_FAILED, harness.said()
    assert Path(harness.path).read_bytes() == before


def test_f32_a_disk_that_is_read_only_for_a_while_is_outlived(harness: Harness) -> None:
    fault = Fault("write", 5, "EROFS", 15, file="wal", from_ready=True)
    lanes = ((start("sequence", "line", 4), result("line")),)
    worker = harness.worker(lanes=lanes, fault=fault)
    assert worker.wait() == 0, harness.said()
    assert len(harness.server.of("struck")) > 2
    harness.check()


# ── damaged ──────────────────────────────────────────────────────────────────────────────────────────────────────────

DAMAGES: dict[str, str] = {
    "a bit of an output": "update history set output = {flipped} where run_id = 'hurt' and position = 2",
    "half of an output": "update history set output = substr(output, 1, length(output) / 2) where run_id = 'hurt' and position = 2",
    "no output": "update history set output = null where run_id = 'hurt' and position = 2",
    "a time": "update history set at = at + 1 where run_id = 'hurt' and position = 2",
    "a kind": "update history set kind = 'stex' where run_id = 'hurt' and position = 2",
    "a name": "update history set name = 'effecu' where run_id = 'hurt' and position = 2",
    "a digest": "update history set digest = x'00' where run_id = 'hurt' and position = 2",
    "a checksum": "update history set checksum = checksum + 1 where run_id = 'hurt' and position = 2",
    "a record is missing": "delete from history where run_id = 'hurt' and position = 2",
    "the input": "update runs set input = cast(replace(cast(input as text), '1', '2') as blob) where id = 'hurt'",
    "the seed": "update runs set seed = x'00' where id = 'hurt'",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_f37_a_damaged_row_quarantines_its_run_and_no_other(harness: Harness, damage: str) -> None:
    runs = [f"run-{number}" for number in range(4)]
    first = harness.worker()
    harness.act(*[(start("everything", run, 1),) for run in ["hurt", *runs]])
    harness.wait(lambda: len([run for run in harness.store.runs() if run.state == "waiting"]) == 5, "all wait for a signal")
    first.terminate()
    first.wait()
    hurt(harness, DAMAGES[damage])
    worker = harness.worker()
    harness.act(*[(signal(run, 1),) for run in ["hurt", *runs]])
    harness.wait(lambda: all(harness.store.state(run) == "completed" for run in runs), "the others end")
    harness.wait(lambda: harness.store.state("hurt") == "quarantined", "the damaged one is quarantined")
    found = harness.store.run("hurt")
    assert found is not None
    assert "hurt" in (said := json.loads(found.error or b"{}"))["message"] or "damaged" in said["message"] or "position" in said["message"]
    assert worker.lives
    with Client.blocking(f"sqlite:///{harness.path}") as client:
        assert len(client.runs().runs) == 5
        assert client.run("hurt").status().state == "quarantined"


def hurt(harness: Harness, statement: str) -> None:
    [(output,)] = harness.store.rows("select output from history where run_id = 'hurt' and position = 2")
    flipped = bytes([output[0], output[1] ^ 1, *output[2:]])
    db = writing(harness.path)
    db.execute(statement.format(flipped=f"x'{flipped.hex()}'"))
    assert db.changes() == 1
    db.close()


# ── too much, and two writers ────────────────────────────────────────────────────────────────────────────────────────


def test_b42_a_result_that_is_too_large_fails_its_step_and_hurts_no_neighbour(harness: Harness) -> None:
    worker = harness.worker()
    harness.act((start("too_much", "large", 2),), *[(start("everything", f"beside-{number}", 0),) for number in range(5)])
    harness.wait_for_end()
    harness.check()
    states = {run.id: run.state for run in harness.store.runs()}
    assert states.pop("large") == "failed"
    assert set(states.values()) == {"completed"}
    assert worker.lives
    assert max(len(row[0] or b"") for row in harness.store.rows("select output from history")) < 10_000


def test_b42_arguments_that_are_too_large_leave_nothing_behind(harness: Harness) -> None:
    harness.worker()
    with Client.blocking(f"sqlite:///{harness.path}") as client:
        with pytest.raises(PayloadTooLarge):
            client.start("sequence", steps="x" * (2 << 20), id="large")
        client.start("sequence", steps=2, id="large")
    harness.wait_for_end()
    assert harness.store.state("large") == "completed"


def test_b93_two_processes_whose_wals_begin_anew_all_the_time_keep_the_file_whole(harness: Harness) -> None:
    workers = [harness.worker(wal_pages_most=4) for _ in range(2)]
    harness.act(*[(start("everything", f"run-{number}", 1), signal(f"run-{number}", 1)) for number in range(30)])
    harness.wait_for_end(60)
    harness.check()
    for worker in workers:
        worker.terminate()
        assert worker.wait() == 0
    harness.check()
