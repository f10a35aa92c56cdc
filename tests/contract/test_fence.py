"""The fence: who was declared dead writes nothing, and checkpoints follow one another."""

import asyncio

import pytest

from perdure.clock import SECOND
from perdure.errors import StoreError
from perdure.store.protocol import Checkpoint, Claims, FenceLost, Store
from tests.contract.acting import LEASE, ManualClock, Worker, history_of, kinds, new_run, step, worker_row


async def test_a_checkpoint_moves_the_number_and_renews_the_lease(store: Store, worker: Worker, clock: ManualClock) -> None:
    clock.advance(4)

    await worker.commit()

    (row,) = await store.workers()
    assert (row.checkpoint, row.expires_at) == (1, clock.since_boot() + LEASE)
    assert await store.checkpoint_of("worker-1") == 1


async def test_who_was_declared_dead_writes_nothing(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    (row,) = await store.workers()
    assert await store.declare_dead("worker-1", row.expires_at)
    await store.start(new_run("order-2"))

    with pytest.raises(FenceLost, match="worker-1"):
        await worker.commit(run.change(step()), room=10)

    assert kinds(await history_of(store, "order-1")) == ["started"]
    unclaimed = await store.run("order-2")
    assert unclaimed is not None
    assert unclaimed.owner is None
    assert await store.checkpoint_of("worker-1") is None


async def test_who_never_registered_writes_nothing(store: Store) -> None:
    await store.start(new_run("order-1"))

    with pytest.raises(FenceLost):
        await store.checkpoint(Checkpoint("nobody", 1, LEASE, claims=Claims(10, ("flow",), "3.11")))

    assert await store.checkpoint_of("nobody") is None
    row = await store.run("order-1")
    assert row is not None
    assert row.owner is None


@pytest.mark.parametrize("number", [0, 1, 3, 4])
async def test_a_checkpoint_that_is_not_the_next_one_is_refused_and_says_which_was_the_last(
    store: Store, worker: Worker, number: int
) -> None:
    run = await worker.run("order-1")
    assert worker.number == 1
    await worker.commit()

    with pytest.raises(StoreError, match="does not follow the last committed one, 2") as refused:
        await store.checkpoint(Checkpoint("worker-1", number if number < 3 else number + 1, LEASE, [run.change(step())]))

    assert not isinstance(refused.value, FenceLost)
    assert kinds(await history_of(store, "order-1")) == ["started"]
    assert await store.checkpoint_of("worker-1") == 2


async def test_a_worker_whose_lease_ran_out_goes_on_while_nobody_declared_it_dead(worker: Worker, clock: ManualClock) -> None:
    run = await worker.run("order-1")
    clock.advance(3600)

    assert len(await run.write(step())) == 1


async def test_two_checkpoints_of_one_worker_at_once_are_committed_in_order(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    first = Checkpoint("worker-1", 2, LEASE, [run.change(step(0))])
    run.position += 1
    second = Checkpoint("worker-1", 3, LEASE, [run.change(step(1))])

    await asyncio.gather(store.checkpoint(first), store.checkpoint(second))

    assert [record.command for record in await history_of(store, "order-1")] == [None, 0, 1]


async def test_a_refused_checkpoint_disturbs_no_other_worker_in_the_same_moment(store: Store) -> None:
    one, two = await Worker(store, "one").register(), await Worker(store, "two").register()
    run = await two.run("order-1")
    await store.retire("one")

    refused, committed = await asyncio.gather(one.commit(), two.commit(run.change(step())), return_exceptions=True)

    assert isinstance(refused, FenceLost)
    assert not isinstance(committed, BaseException)
    assert kinds(await history_of(store, "order-1")) == ["started", "step"]


async def test_registering_again_leaves_the_row_as_it_is(store: Store, worker: Worker) -> None:
    await worker.commit()

    await store.register(worker_row("worker-1"), 99 * SECOND)

    (row,) = await store.workers()
    assert row.checkpoint == 1
