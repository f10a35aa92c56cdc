"""Starts and reads on PostgreSQL share tasks: nobody waits for ever for one that was cancelled by somebody else."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from perdure.errors import StoreUnavailable
from perdure.store.protocol import UnknownOutcome
from tests.contract.acting import ManualClock, new_run
from tests.contract.places import PostgresqlPlace
from tests.server import new_address

T = TypeVar("T")


async def test_whoever_waits_for_a_start_whose_task_was_cancelled_is_told_and_later_ones_are_started() -> None:
    place = PostgresqlPlace(new_address(), ManualClock())
    reached = asyncio.Event()

    async def commit(real: Callable[[], Awaitable[T]]) -> T:
        if reached.is_set():
            return await real()
        reached.set()
        return await asyncio.Event().wait()  # type: ignore[return-value]

    await place.open()  # with its migrations
    store = await place.open(commit=commit)
    first = asyncio.create_task(store.start(new_run("order-1")))
    await reached.wait()
    later = asyncio.create_task(store.start(new_run("order-2")))
    await asyncio.sleep(0)
    store._starting._task.cancel()  # type: ignore[attr-defined]

    async with asyncio.timeout(30):
        with pytest.raises(UnknownOutcome):
            await first
        assert (await later).is_new
        assert (await store.start(new_run("order-1"))).is_new
    await place.close()


async def test_whoever_waits_for_a_row_whose_reading_was_cancelled_is_told_and_later_ones_are_read() -> None:
    place = PostgresqlPlace(new_address(), ManualClock())
    store = await place.open()
    await store.start(new_run("order-2"))
    first = asyncio.create_task(store.run("order-1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # now it is being read
    later = asyncio.create_task(store.run("order-2"))
    await asyncio.sleep(0)
    store._row_reads._task.cancel()  # type: ignore[attr-defined]

    async with asyncio.timeout(30):
        with pytest.raises(StoreUnavailable):
            await first
        assert (await later) is not None
    await place.close()
