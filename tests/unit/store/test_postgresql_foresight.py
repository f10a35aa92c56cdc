"""A checkpoint on PostgreSQL looks at nothing that it can foresee: what holds where it is otherwise, and how few trips are left."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
import pytest

from perdure.clock import SECOND
from perdure.model.records import NewRecord, RecordKind
from perdure.model.states import RunState
from perdure.store.endings import Finish, Park
from perdure.store.postgresql.address import address_of
from perdure.store.postgresql.store import PostgresqlStore
from perdure.store.protocol import Claimant, DueTimer, Store
from tests.contract.acting import LIMIT, ManualClock, Mine, Worker, kinds, new_run, signal, step
from tests.contract.places import PostgresqlPlace
from tests.server import ask, new_address

T = TypeVar("T")
COMPLETED = Finish(RunState.COMPLETED, NewRecord(RecordKind.COMPLETED, "flow", output=b"1"))


class Before:
    """Lets something happen right before the next commit, which is that of a checkpoint's only statement."""

    def __init__(self) -> None:
        self.next: Callable[[], Awaitable[Any]] | None = None

    async def commit(self, real: Callable[[], Awaitable[T]]) -> T:
        act, self.next = self.next, None
        if act is not None:
            await act()
        return await real()


@pytest.fixture
async def place() -> AsyncIterator[PostgresqlPlace]:
    place = PostgresqlPlace(new_address(), ManualClock())
    yield place
    await place.close()


@pytest.fixture
def before() -> Before:
    return Before()


@pytest.fixture
async def theirs(place: PostgresqlPlace) -> Store:
    return await place.open()


@pytest.fixture
async def run(place: PostgresqlPlace, before: Before) -> Mine:
    mine = await place.open(commit=before.commit)
    return await (await Worker(mine, "worker-1").register()).run("order-1")


@pytest.mark.parametrize("ending", [Park(None, b"[]"), COMPLETED], ids=["parked", "ended"])
async def test_a_signal_that_came_before_a_run_leaves_is_recorded_although_nobody_had_looked(
    run: Mine, before: Before, theirs: Store, ending: Park | Finish
) -> None:
    before.next = lambda: theirs.send(signal("order-1", "s1"), LIMIT)

    records = await run.write(reads_inbox=isinstance(ending, Park), ending=ending)

    assert kinds(records)[0] == "signal"


async def test_a_cancel_that_was_acknowledged_before_the_end_decides_although_nobody_had_looked(
    run: Mine, before: Before, theirs: Store
) -> None:
    before.next = lambda: theirs.cancel("order-1", SECOND)

    records = await run.write(ending=COMPLETED)

    assert kinds(records) == ["cancel", "cancelled"]


async def test_a_signal_that_came_before_a_timer_fires_is_recorded_before_it(
    run: Mine, before: Before, theirs: Store, place: PostgresqlPlace
) -> None:
    deadline = run.at + SECOND
    before.next = lambda: theirs.send(signal("order-1", "s1"), LIMIT)
    place.clock.advance(0.5)  # it is sent now
    sending, before.next = before.next, None
    await sending()
    place.clock.advance(1)

    records = await run.write(due=(DueTimer(deadline, 0),), reads_inbox=True)

    assert kinds(records) == ["signal", "timer"]


async def test_a_run_of_the_dead_is_claimed_although_nobody_had_looked_for_it(run: Mine, before: Before, theirs: Store) -> None:
    other = await Worker(theirs, "worker-2").register()
    assert await other.claim() == []
    await theirs.retire("worker-1")

    assert [one.row.id for one in await other.claim()] == ["order-1"]


@pytest.mark.parametrize("seconds", [-3600, -2, 2, 3600])
async def test_a_record_tells_the_time_of_the_database_although_the_clock_of_the_host_was_set(seconds: int) -> None:
    address = new_address()
    store = PostgresqlStore(address_of(address), namespace="default", python="3.11")
    await store.open(create=True, migrate=True)
    run = await (await Worker(store, "worker-1").register()).run("order-1")
    await run.write(step(0))

    store._authority._offset += seconds * SECOND  # as it is read from here, the clock of the database is elsewhere
    [record] = await run.write(step(1))

    [(now,)] = ask(address, "select (extract(epoch from statement_timestamp()) * 1000000)::bigint")
    assert now - 60 * SECOND < record.at <= now
    await store.close()


async def test_a_lone_run_costs_one_trip_to_begin_one_for_each_step_and_one_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    connect = asyncpg.connect

    async def watched(*args: Any, **kwargs: Any) -> Any:
        db = await connect(*args, **kwargs)
        db.add_query_logger(lambda query: asked.append(query.query))
        return db

    monkeypatch.setattr(asyncpg, "connect", watched)
    store = PostgresqlStore(address_of(new_address()), namespace="default", python="3.11")
    await store.open(create=True, migrate=True)
    worker = await Worker(store, "worker-1").register()

    await life_of(worker, "order-1")  # the first makes connections, and learns what the clock says
    await asyncio.sleep(0)  # what is asked is told in the next turn
    counts = []
    for number in range(5):  # on a machine that stalls for a second the moment is asked for after all
        asked.clear()
        await life_of(worker, f"order-{number + 2}")
        await asyncio.sleep(0)
        counts.append(len([query for query in asked if "pg_notify" not in query]))
    await store.close()

    assert min(counts) == 4


async def life_of(worker: Worker, run_id: str) -> None:
    """Two steps."""
    started = await worker.store.start(new_run(run_id), Claimant("worker-1", "3.11"))
    assert started.claimed is not None
    assert started.claimed.started is not None
    run = Mine(worker, run_id, started.claimed.started.at)
    await run.write(step(0))
    await run.write(step(1))
    await run.write(ending=COMPLETED)


@pytest.mark.parametrize("ending", [Park(None, b"[]"), COMPLETED], ids=["parked", "ended"])
async def test_a_cancel_that_is_committed_while_the_statement_waits_for_the_run_decides(
    run: Mine, place: PostgresqlPlace, ending: Park | Finish
) -> None:
    """The statement has looked at requests before there was one, and waits for the row that whoever cancels has locked."""
    db = await asyncpg.connect(place.address.partition("?")[0])
    await db.execute(f'set search_path to "{address_of(place.address).schema}"')
    cancelling = db.transaction()
    await cancelling.start()
    await db.execute("update runs set wishes = wishes + 1")
    await db.execute(
        "insert into requests (namespace, run_id, kind, arrived_at, grace) values ('default', 'order-1', 'cancel', $1, 1)", run.at
    )

    writing = asyncio.create_task(run.write(reads_inbox=isinstance(ending, Park), ending=ending))
    waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    looking = await asyncpg.connect(place.address.partition("?")[0])  # in a transaction one would see the same all the time
    async with asyncio.timeout(60):
        while not await looking.fetchval(waits):
            await asyncio.sleep(0)
    await looking.close()
    await cancelling.commit()
    await db.close()

    assert kinds(await writing)[0] == "cancel"
