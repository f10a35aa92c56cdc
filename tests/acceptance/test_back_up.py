"""F40: a backup taken while a worker writes holds all that was acknowledged, and a restored store goes on from there."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import apsw
import pytest

from perdure import Client
from perdure.blocking import BlockingClient
from perdure.cli.main import perform
from perdure.run import RunRecord
from tests.waiting import wait_until

SECONDS_MOST = 60.0
RUNS = ("a", "b", "c", "d")
STEPS = 100
APP = """
    import time
    from pathlib import Path
    from perdure import receive, step, workflow

    @step
    def act(run: str, number: int) -> bool:
        with Path("effects").open("a") as file:
            file.write(f"{run} {number}\\n")
        time.sleep(0.005)
        return Path("enough").exists()

    @workflow
    async def count(run: str) -> int:
        number = 0
        while not await act(run, number):
            number += 1
        return number + await receive("bonus", int)
"""


class Place:
    """A folder with an app, a store, and what its steps did to the world."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store.db"
        (folder / "app.py").write_text(dedent(APP))
        self._processes: list[subprocess.Popen[bytes]] = []

    def worker(self, store: Path | None = None) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "perdure", "worker", "app.py", "--store", f"sqlite:///{store or self.store}"]
        with (self.folder / "said").open("ab") as said:
            process = subprocess.Popen(command, cwd=self.folder, stderr=said)
        self._processes.append(process)
        return process

    def back_up(self, name: str) -> Path:
        command = [sys.executable, "-m", "perdure", "db", "backup", name, "--store", f"sqlite:///{self.store}", "-o", "json"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["bytes"] == (self.folder / name).stat().st_size
        return self.folder / name

    def client(self, store: Path | None = None) -> BlockingClient:
        return Client.blocking(f"sqlite:///{store or self.store}")

    @property
    def effects(self) -> list[str]:
        path = self.folder / "effects"
        return path.read_text().splitlines() if path.exists() else []

    def until(self, condition: Callable[[], object]) -> None:
        wait_until(condition, "what the worker was to do", SECONDS_MOST, (self.folder / "said").read_text)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.end()


@pytest.fixture
def begun(place: Place) -> "subprocess.Popen[bytes]":
    """A worker that is in the middle of several runs, and stays there until there is a file `enough`."""
    process = place.worker()
    place.until(place.store.exists)
    place.until(lambda: "runs count" in (place.folder / "said").read_text())
    with place.client() as client:
        for run_id in RUNS:
            client.start("count", run=run_id, id=run_id).signal("bonus", 1000, key="bonus")
    place.until(lambda: len(place.effects) > STEPS)
    return process


def histories(place: Place, store: Path | None = None) -> dict[str, list[RunRecord]]:
    with place.client(store) as client:
        return {run_id: client.run(run_id).history() for run_id in RUNS}


def steps_of(records: list[RunRecord]) -> list[RunRecord]:
    return [record for record in records if record.kind == "step"]


def restore(place: Place, backup: Path) -> None:
    """As docs/how-to/back-up.md says."""
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (place.folder / name).unlink(missing_ok=True)
    locks = place.folder / "store.db-locks"
    for path in locks.iterdir():
        path.unlink()
    locks.rmdir()
    backup.rename(place.store)


def test_f40_a_restored_backup_has_all_that_was_acknowledged_before_it_and_its_runs_go_on(
    place: Place, begun: "subprocess.Popen[bytes]"
) -> None:
    acknowledged = histories(place)
    backup = place.back_up("backup.db")
    done_then = len(place.effects)
    place.until(lambda: len(place.effects) > done_then + 10)  # the worker was not held up
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    restore(place, backup)
    restored = histories(place)
    (place.folder / "enough").touch()
    place.worker()
    with place.client() as client:
        for run_id in RUNS:
            assert client.run(run_id).result(60) >= 1000 + len(steps_of(acknowledged[run_id]))

    for run_id, records in acknowledged.items():
        assert restored[run_id][: len(records)] == records
    final = histories(place)
    for run_id, records in restored.items():
        assert final[run_id][: len(records)] == records
    recorded = [f"{run_id} {number}" for run_id, records in acknowledged.items() for number in range(len(steps_of(records)))]
    assert recorded
    assert [effect for effect in recorded if place.effects.count(effect) != 1] == []  # what the backup holds is not run again


def test_a_copy_beside_the_living_original_is_nobodys_and_goes_on_by_itself(place: Place, begun: "subprocess.Popen[bytes]") -> None:
    copy = place.back_up("copy.db")
    before = {run_id: len(records) for run_id, records in histories(place, copy).items()}
    place.worker(copy)
    place.until(lambda: all(len(records) > before[run_id] for run_id, records in histories(place, copy).items()))

    assert begun.poll() is None


def test_workers_that_find_their_store_replaced_write_nothing_to_either_and_end(place: Place, begun: "subprocess.Popen[bytes]") -> None:
    place.back_up("backup.db").replace(place.store)

    assert begun.wait(60) != 0
    assert "replaced by another file" in (place.folder / "said").read_text()


def test_an_existing_file_is_never_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    perform(["db", "migrate", "--store", url, "-q"])
    target = tmp_path / "kept.db"
    target.write_text("the only other copy")

    assert perform(["db", "backup", str(target), "--store", url]) == 2
    assert target.read_text() == "the only other copy"
    assert "exists" in capsys.readouterr().err


def test_a_backup_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    perform(["db", "migrate", "--store", url, "-q"])
    before = sorted(os.listdir(tmp_path))

    assert perform(["db", "backup", str(tmp_path / "none" / "b.db"), "--store", url]) == 2
    assert perform(["db", "backup", str(tmp_path / "b.db"), "--store", "sqlite:///:memory:"]) == 5
    assert perform(["db", "backup", str(tmp_path / "b.db"), "--store", f"sqlite:///{tmp_path / 'none.db'}"]) == 5
    assert sorted(os.listdir(tmp_path)) == before


def test_a_file_of_something_else_is_not_backed_up(tmp_path: Path) -> None:
    db = apsw.Connection(str(tmp_path / "other.db"))
    db.execute("create table diary (day text)").fetchall()
    db.close()

    assert perform(["db", "backup", str(tmp_path / "b.db"), "--store", f"sqlite:///{tmp_path / 'other.db'}"]) == 5
    assert not (tmp_path / "b.db").exists()
