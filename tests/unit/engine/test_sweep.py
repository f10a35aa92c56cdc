"""Who is taken for dead: whoever let go of the lock, was booted away, or let the lease run out in the store and in its file."""

from dataclasses import replace
from pathlib import Path

import pytest

from perdure.engine.deaths import boot_id, is_dead_by
from perdure.engine.presence import Presence
from perdure.model.runs import WorkerRow

HERE = boot_id()
NOW = 1_000_000


def is_dead(worker: WorkerRow) -> bool:
    return is_dead_by(worker, worker.lock, FixedClock())


class FixedClock:
    def now(self) -> int:
        return NOW

    def since_boot(self) -> int:
        return NOW


@pytest.fixture
def presence(tmp_path: Path):
    presence = Presence(str(tmp_path), "worker.lock")
    yield presence
    presence.leave()


@pytest.fixture
def living(presence: Presence) -> WorkerRow:
    """Holds its lock, of this boot, with a lease that is not over."""
    return WorkerRow("worker-1", "here", HERE, 1, presence.path, (), "3.11", "live", 0, NOW + 1, 0)


def test_a_worker_with_its_lock_and_its_lease_is_alive(living: WorkerRow) -> None:
    assert not is_dead(living)


def test_a_worker_whose_lock_is_free_is_dead_although_its_lease_is_not_over(living: WorkerRow, tmp_path: Path) -> None:
    free = tmp_path / "free.lock"
    free.touch()
    assert is_dead(replace(living, lock=str(free)))
    assert is_dead(replace(living, lock=str(tmp_path / "removed.lock")))


@pytest.mark.skipif(not HERE, reason="this system does not tell its boots apart")
def test_a_worker_of_another_boot_is_dead_whatever_its_lease_says(living: WorkerRow) -> None:
    assert is_dead(replace(living, boot="another boot", expires_at=NOW * 1000))


def test_a_worker_whose_lease_is_over_is_dead(living: WorkerRow) -> None:
    assert is_dead(replace(living, expires_at=NOW - 1))


def test_a_lease_that_ends_now_is_not_over(living: WorkerRow) -> None:
    assert not is_dead(replace(living, expires_at=NOW))


def test_a_worker_that_could_not_renew_in_the_store_but_promised_in_its_file_is_alive(living: WorkerRow, presence: Presence) -> None:
    presence.promise(NOW + 1)
    assert not is_dead(replace(living, expires_at=NOW - 1))
    presence.promise(NOW - 1)
    assert is_dead(replace(living, expires_at=NOW - 1))


def test_a_worker_without_a_lock_file_is_judged_by_its_lease(living: WorkerRow) -> None:
    assert not is_dead(replace(living, lock=""))
    assert is_dead(replace(living, lock="", expires_at=NOW - 1))


def test_a_file_that_was_never_in_this_folder_says_nothing_of_a_worker_that_has_its_own_elsewhere(
    living: WorkerRow, tmp_path: Path
) -> None:
    here = str(tmp_path / "elsewhere.lock")  # as another container sees the folder, or one that has another folder
    assert not is_dead_by(living, here, FixedClock())
    assert is_dead_by(replace(living, expires_at=NOW - 1), here, FixedClock())

    Path(here).touch()
    assert is_dead_by(living, here, FixedClock())
