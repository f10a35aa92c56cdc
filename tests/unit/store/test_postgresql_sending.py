"""A signal on PostgreSQL is stored first and makes its run look afterwards: what holds if the second does not happen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest
from asyncpg import exceptions

from perdure.errors import RunEnded
from perdure.model.states import RunState
from perdure.store.protocol import Store, UnknownOutcome
from tests.contract.acting import LIMIT, ManualClock, Worker, history_of, kinds, signal
from tests.contract.places import PostgresqlPlace
from tests.server import new_address

T = TypeVar("T")


class Between:
    """Called before a commit that a test has counted down to."""

    def __init__(self) -> None:
        self.left = -1
        self.act: Callable[[], Awaitable[None]]

    def at(self, commits: int, act: Callable[[], Awaitable[None]]) -> None:
        self.left, self.act = commits, act

    async def commit(self, real: Callable[[], Awaitable[T]]) -> T:
        self.left -= 1
        if not self.left:
            await self.act()
        return await real()


async def keep_waiting() -> None:
    """As for the lock of a run that somebody else holds for too long."""
    raise exceptions.LockNotAvailableError("canceling statement due to lock timeout")


@pytest.fixture
async def place() -> AsyncIterator[PostgresqlPlace]:
    place = PostgresqlPlace(new_address(), ManualClock())
    yield place
    await place.close()


async def opened(place: PostgresqlPlace) -> tuple[Store, Between]:
    between = Between()
    return await place.open(commit=between.commit), between


async def test_a_signal_that_is_stored_but_could_not_stir_its_run_is_not_said_to_be_unwritten(place: PostgresqlPlace) -> None:
    store, between = await opened(place)
    run = await (await Worker(store, "worker-1").register()).run("order-1")

    between.at(2, keep_waiting)
    with pytest.raises(UnknownOutcome, match="order-1"):
        await store.send(signal("order-1", "s1", key="k"), LIMIT)
    await store.send(signal("order-1", "s1", key="k"), LIMIT)

    assert kinds(await run.write(reads_inbox=True)) == ["signal"]


@pytest.mark.parametrize("again", ["s1", "s2"])
async def test_a_repeat_of_a_signal_that_came_too_late_is_refused_and_never_acknowledged(place: PostgresqlPlace, again: str) -> None:
    mine, while_it_ends = await opened(place)
    theirs, between = await opened(place)
    run = await (await Worker(mine, "worker-1").register()).run("order-1")

    async def send() -> None:
        between.at(2, keep_waiting)
        with pytest.raises(UnknownOutcome):
            await theirs.send(signal("order-1", "s1", key="k"), LIMIT)

    while_it_ends.at(1, send)
    await run.finish(RunState.FAILED)  # in several statements: the last of them before COMMIT has seen an empty inbox
    assert kinds(await history_of(mine, "order-1")) == ["started", "failed"]

    with pytest.raises(RunEnded, match="order-1"):
        await theirs.send(signal("order-1", again, key="k"), LIMIT)
    assert place.execute("select id from inbox") == []


async def test_a_repeat_that_comes_while_its_run_ends_waits_and_is_refused(place: PostgresqlPlace) -> None:
    mine, while_it_ends = await opened(place)
    theirs, between = await opened(place)
    run = await (await Worker(mine, "worker-1").register()).run("order-1")
    repeats: list[asyncio.Task[None]] = []

    async def send_twice() -> None:
        between.at(2, keep_waiting)
        with pytest.raises(UnknownOutcome):
            await theirs.send(signal("order-1", "s1", key="k"), LIMIT)
        repeats.append(asyncio.create_task(theirs.send(signal("order-1", "s2", key="k"), LIMIT)))
        await asyncio.wait(repeats, timeout=0.1)  # it cannot be answered before the run has ended

    while_it_ends.at(1, send_twice)
    await run.finish(RunState.FAILED)

    with pytest.raises(RunEnded, match="order-1"):
        await repeats[0]
    assert kinds(await history_of(mine, "order-1")) == ["started", "failed"]
