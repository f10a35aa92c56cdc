"""Leases, deaths and what is left of the dead."""

import threading

import pytest

from perdure.clock import SECOND
from perdure.store.endings import Release
from perdure.store.protocol import FenceLost, Store, UnknownOutcome
from tests.contract.acting import LEASE, START, ManualClock, Worker, worker_row
from tests.contract.places import Place, lose_the_reply


async def test_a_registered_worker_is_live_with_checkpoint_0_and_expires_a_lease_from_now(store: Store, clock: ManualClock) -> None:
    await store.register(worker_row("worker-1", "one", "two", lock="folder/file.lock"), LEASE)

    (row,) = await store.workers()

    assert (row.incarnation, row.state, row.checkpoint, row.expires_at) == ("worker-1", "live", 0, clock.since_boot() + LEASE)
    assert (row.host, row.boot, row.pid, row.lock) == ("host", "boot", 1, "folder/file.lock")
    assert (row.workflows, row.python, row.started_at) == (("one", "two"), "3.11", START)


async def test_a_lease_is_renewed_from_another_thread(store: Store, worker: Worker, clock: ManualClock) -> None:
    clock.advance(4)
    answers: list[bool] = []

    thread = threading.Thread(target=lambda: answers.append(store.renew("worker-1", LEASE)))
    thread.start()
    thread.join(20)

    assert answers == [True]
    (row,) = await store.workers()
    assert row.expires_at == clock.since_boot() + LEASE
    assert row.checkpoint == 0


async def test_a_lease_is_renewed_while_the_event_loop_is_blocked(store: Store, worker: Worker, clock: ManualClock) -> None:
    clock.advance(4)

    assert store.renew("worker-1", LEASE)  # called from the event loop itself: nothing there can go on meanwhile


@pytest.mark.parametrize("incarnation", ["worker-1", "nobody"])
async def test_the_dead_and_the_unknown_cannot_renew(store: Store, worker: Worker, incarnation: str) -> None:
    await store.retire("worker-1")

    assert store.renew(incarnation, LEASE) is False


async def test_a_worker_that_renewed_since_it_was_seen_is_not_declared_dead(store: Store, worker: Worker, clock: ManualClock) -> None:
    (seen,) = await store.workers()
    clock.advance(1)
    store.renew("worker-1", LEASE)

    assert not await store.declare_dead("worker-1", seen.expires_at)
    assert await store.checkpoint_of("worker-1") == 0


async def test_only_one_of_two_sweeps_declares_a_worker_dead(store: Store, worker: Worker) -> None:
    (seen,) = await store.workers()

    assert await store.declare_dead("worker-1", seen.expires_at)
    assert not await store.declare_dead("worker-1", seen.expires_at)
    assert not await store.declare_dead("nobody", 0)


async def test_a_retired_worker_is_dead_at_once(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.retire("worker-1")

    (row,) = await store.workers()

    assert row.state == "dead"
    assert await store.has_claimable(["flow"])
    with pytest.raises(FenceLost):
        await run.write(ending=Release())


async def buried(store: Store) -> list[str]:
    """The lock files that are to be removed."""
    locks: list[str] = []
    await store.bury(locks.append)
    return locks


async def test_the_files_of_the_dead_are_cleared_away_before_their_rows(shared: Place) -> None:
    store, faults = await shared.open_with_fault()
    await Worker(store, "idle").register()
    await store.retire("idle")
    locks: list[str] = []
    faults.next = lose_the_reply

    with pytest.raises(UnknownOutcome):
        await store.bury(locks.append)

    assert locks == ["idle.lock"]
    assert await store.workers() == []


async def test_the_dead_are_forgotten_once_they_own_nothing_and_leave_their_lock_files(store: Store) -> None:
    owner, idle, live = [await Worker(store, name).register() for name in ("owner", "idle", "live")]
    await owner.run("order-1")
    await store.retire("owner")
    await store.retire("idle")

    assert await buried(store) == ["idle.lock"]
    assert {row.incarnation for row in await store.workers()} == {"owner", "live"}
    assert len(await live.claim()) == 1
    assert await buried(store) == ["owner.lock"]
    assert await buried(store) == []
    assert {row.incarnation for row in await store.workers()} == {"live"}
    assert idle.number == 0


async def test_a_lease_never_becomes_shorter(store: Store, worker: Worker, clock: ManualClock) -> None:
    store.renew("worker-1", 100 * SECOND)

    store.renew("worker-1", SECOND)

    (row,) = await store.workers()
    assert row.expires_at == clock.since_boot() + 100 * SECOND
