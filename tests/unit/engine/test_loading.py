"""Histories are brought into memory by number and by bytes, whatever is waiting."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from perdure.engine.loading import Loading
from perdure.settings import Settings
from perdure.store.protocol import Loaded
from perdure.store.sqlite.store import SqliteStore
from tests.contract.acting import ManualClock, Worker, step

SIZES = {"a": 10, "b": 4000, "c": 400, "d": 10, "e": 9000, "f": 10, "g": 1200, "h": 1200, "i": 1200}
SETTINGS = Settings(replays_at_once=4, replay_bytes=4000)


class Replays:
    """What was taken up and is not replayed yet."""

    def __init__(self, store: SqliteStore, settings: Settings = SETTINGS) -> None:
        self.store = store
        self.asked = 0
        self.begun: list[str] = []
        self.under_way: dict[str, Loaded | None] = {}
        self.bytes_most = 0
        self.loading = Loading(store, asyncio.get_running_loop(), settings, self.take_up, self.spawn)
        self._tasks: set[asyncio.Task[None]] = set()

    def take_up(self, run_id: str, found: Loaded | None) -> None:
        self.begun.append(run_id)
        self.under_way[run_id] = found
        self.bytes_most = max(self.bytes_most, self.bytes)

    @property
    def bytes(self) -> int:
        return sum(found.size for found in self.under_way.values() if found is not None)

    def end(self, run_id: str) -> None:
        self.loading.replay_ends(self.under_way.pop(run_id))

    def spawn(self, work: Coroutine[Any, Any, None], _name: str) -> None:
        self.asked += 1
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Until nothing is being read."""
        while self._tasks:
            await asyncio.gather(*self._tasks)
            await asyncio.sleep(0)


@pytest.fixture
async def replays() -> AsyncIterator[Replays]:
    store = SqliteStore(":memory:", namespace="default", clock=ManualClock())
    await store.open(create=True, migrate=True)
    worker = await Worker(store, "worker-1").register()
    for run_id, size in SIZES.items():
        await (await worker.run(run_id)).write(step(output=b"1" * size))
    yield Replays(store)
    await store.close()


async def test_all_are_taken_up_in_order_and_one_that_is_larger_than_allowed_is_alone(replays: Replays) -> None:
    for run_id in (*SIZES, "nobody"):
        replays.loading.add(run_id)
    replays.loading.load_next()
    alone = False
    for _ in range(len(SIZES) + 1):
        await replays.settle()
        alone = alone or list(replays.under_way) == ["e"]
        replays.end(next(iter(replays.under_way)))

    assert replays.begun == [*SIZES, "nobody"]
    assert not replays.under_way
    assert replays.bytes_most <= 9000 + SETTINGS.replay_bytes


async def test_nothing_more_is_read_while_what_was_read_is_large(replays: Replays) -> None:
    for run_id in ("b", "a", "c"):
        replays.loading.add(run_id)
    replays.loading.load_next()
    await replays.settle()
    replays.loading.load_next()
    await replays.settle()

    assert list(replays.under_way) == ["b"]
    replays.end("b")
    await replays.settle()
    assert list(replays.under_way) == ["a", "c"]


async def test_what_is_of_no_use_any_more_holds_no_room(replays: Replays) -> None:
    for run_id in ("b", "c"):
        replays.loading.add(run_id)
    replays.loading.load_next()
    replays.loading.clear()
    await replays.settle()
    assert not replays.begun

    for run_id in ("c", "d"):
        replays.loading.add(run_id)
    replays.loading.load_next()
    await replays.settle()

    assert replays.begun == ["c", "d"]


async def test_the_store_is_not_asked_while_there_is_no_room(replays: Replays) -> None:
    one_by_one = Replays(replays.store, replace(SETTINGS, replays_at_once=1))
    for run_id in ("a", "d"):
        one_by_one.loading.add(run_id)
    one_by_one.loading.load_next()
    for _ in range(50):
        await asyncio.sleep(0)
        one_by_one.loading.load_next()
    while one_by_one._tasks and one_by_one.asked < 10:
        await asyncio.gather(*one_by_one._tasks)
        await asyncio.sleep(0)

    assert (one_by_one.begun, one_by_one.asked) == (["a"], 1)
    one_by_one.end("a")
    await one_by_one.settle()
    assert one_by_one.begun == ["a", "d"]
