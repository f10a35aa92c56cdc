"""Who is taken for dead: whoever let go of the lock, was booted away, or let the lease run out in the store and in its file."""

from dataclasses import replace
from pathlib import Path

import pytest

from perdure.engine.lease import boot_id
from perdure.engine.presence import Presence
from perdure.engine.sweep import _is_dead
from perdure.model.runs import WorkerRow

HERE = boot_id()
NOW = 1_000_000


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
    assert not _is_dead(living, FixedClock())


def test_a_worker_whose_lock_is_free_is_dead_although_its_lease_is_not_over(living: WorkerRow, tmp_path: Path) -> None:
    free = tmp_path / "free.lock"
    free.touch()
    assert _is_dead(replace(living, lock=str(free)), FixedClock())
    assert _is_dead(replace(living, lock=str(tmp_path / "removed.lock")), FixedClock())


@pytest.mark.skipif(not HERE, reason="this system does not tell its boots apart")
def test_a_worker_of_another_boot_is_dead_whatever_its_lease_says(living: WorkerRow) -> None:
    assert _is_dead(replace(living, boot="another boot", expires_at=NOW * 1000), FixedClock())


def test_a_worker_whose_lease_is_over_is_dead(living: WorkerRow) -> None:
    assert _is_dead(replace(living, expires_at=NOW - 1), FixedClock())


def test_a_lease_that_ends_now_is_not_over(living: WorkerRow) -> None:
    assert not _is_dead(replace(living, expires_at=NOW), FixedClock())


def test_a_worker_that_could_not_renew_in_the_store_but_promised_in_its_file_is_alive(living: WorkerRow, presence: Presence) -> None:
    presence.promise(NOW + 1)
    assert not _is_dead(replace(living, expires_at=NOW - 1), FixedClock())
    presence.promise(NOW - 1)
    assert _is_dead(replace(living, expires_at=NOW - 1), FixedClock())


def test_a_worker_without_a_lock_file_is_judged_by_its_lease(living: WorkerRow) -> None:
    assert not _is_dead(replace(living, lock=""), FixedClock())
    assert _is_dead(replace(living, lock="", expires_at=NOW - 1), FixedClock())
