"""Opening and closing a store."""

import asyncio

import pytest

from perdure.errors import StoreError
from perdure.store.protocol import Store
from tests.contract.acting import LEASE, Worker, new_run, worker_row
from tests.contract.places import Place


async def test_a_new_store_has_all_migrations(store: Store) -> None:
    status = await store.schema()

    assert status.version == status.newest >= 1
    assert status.pending == ()


async def test_what_was_written_is_there_when_the_store_is_opened_again(shared: Place) -> None:
    store = await shared.open()
    await store.start(new_run("order-1", input=b"1"))
    await store.close()

    again = await shared.open()

    row = await again.run("order-1")
    assert row is not None
    assert row.input == b"1"


async def test_closing_waits_for_what_was_asked_before(shared: Place) -> None:
    store = await shared.open()
    asked = [asyncio.create_task(store.start(new_run(f"order-{number}"))) for number in range(700)]
    reading = asyncio.create_task(store.runs())
    await asyncio.sleep(0)

    await store.close()

    assert all(started.is_new for started in await asyncio.gather(*asked))
    await reading
    again = await shared.open()
    assert len(await again.runs(limit=1000)) == 700


async def test_a_store_can_be_closed_twice_and_by_two_at_once(store: Store) -> None:
    await asyncio.gather(store.close(), store.close())
    await store.close()

    with pytest.raises(StoreError, match="closed"):
        await store.schema()


async def test_a_closed_store_says_so_whatever_is_asked(store: Store) -> None:
    await store.close()

    for ask in (
        lambda: store.run("order-1"),
        lambda: store.start(new_run("order-1")),
        lambda: store.register(worker_row("worker-1"), LEASE),
        store.schema,
    ):
        with pytest.raises(StoreError, match="closed"):
            await ask()
    with pytest.raises(StoreError, match="closed"):
        store.renew("worker-1", LEASE)


async def test_a_store_is_opened_once(store: Store) -> None:
    with pytest.raises(StoreError, match="open already"):
        await store.open(create=True, migrate=True)


async def test_what_was_asked_by_a_task_that_was_cancelled_disturbs_nobody(store: Store) -> None:
    worker = await Worker(store, "worker-1").register()
    tasks = [asyncio.create_task(store.start(new_run(f"order-{number}"))) for number in range(10)]
    await asyncio.sleep(0)

    tasks[3].cancel()
    tasks[7].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert [number for number, answer in enumerate(answers) if isinstance(answer, asyncio.CancelledError)] == [3, 7]
    assert len([claimed.row.id for claimed in await worker.claim()]) >= 8
