"""Deleting runs that have ended: every row of them, nothing of others, in bounded batches."""

import pytest

from perdure.clock import SECOND
from perdure.errors import RunNotEnded, RunNotFound
from perdure.model.records import NewRecord, RecordKind
from perdure.model.states import RunState
from perdure.store.endings import Finish, Quarantine, Release
from perdure.store.protocol import Intent, Store
from tests.contract.acting import LIMIT, ManualClock, Worker, history_of, new_run, signal, step
from tests.contract.places import Place

TABLES = ("runs", "history", "generations", "attempts", "inbox", "requests", "signal_keys", "suspects")
DAY = 86_400 * SECOND
KEEP = {RunState.COMPLETED: 30 * DAY, RunState.FAILED: 90 * DAY}


async def ids(store: Store) -> set[str]:
    return {one.id for one in await store.runs(limit=1000)}


async def test_a_run_that_has_ended_is_deleted_and_its_id_is_free(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(step())
    await store.send(signal("order-1", "a", key="k"), LIMIT)
    await run.finish()

    await store.delete("order-1")

    assert await store.run("order-1") is None
    assert await history_of(store, "order-1") == []
    again = await store.start(new_run("order-1", input=b"other"))
    assert again.is_new
    await store.send(signal("order-1", "b", key="k"), LIMIT)
    assert await store.undelivered(10) == ["order-1"]


async def test_no_row_of_it_is_left_in_any_table_and_those_of_others_stay(shared: Place) -> None:
    store = await shared.open()
    worker = await Worker(store, "worker-1").register()
    for run_id in ("order-1", "order-2"):
        run = await worker.run(run_id)
        await store.send(signal(run_id, "a", key="k"), LIMIT)
        await run.write(step(), intents=[Intent(1, "once", b"digest")])
        await run.finish(RunState.FAILED)
        await store.retry(run_id)
        await store.cancel(run_id, SECOND)
        await store.send(signal(run_id, "b"), LIMIT)
    before = {table: shared.execute(f"select * from {table}") for table in TABLES}
    assert all(rows for table, rows in before.items() if table != "suspects")
    shared.execute("insert into suspects (namespace, run_id, strikes) values ('default', 'order-1', 1)")
    shared.execute("update runs set state = 'cancelled', ended_at = 1, wake_at = null, owner = null where id = 'order-1'")

    await store.delete("order-1")

    left = {table: shared.execute(f"select * from {table}") for table in TABLES}
    assert not [row for rows in left.values() for row in rows if "order-1" in row]
    assert left == {table: [row for row in rows if "order-1" not in row] for table, rows in before.items()}


@pytest.mark.parametrize("ending", [None, Release(), Quarantine(b"why")])
async def test_a_run_that_has_not_ended_is_not_deleted(store: Store, worker: Worker, ending: Release | Quarantine | None) -> None:
    run = await worker.run("order-1")
    await run.write(step(), ending=ending)
    before = await store.run("order-1")

    with pytest.raises(RunNotEnded, match="cancel it first"):
        await store.delete("order-1")

    assert await store.run("order-1") == before
    assert len(await history_of(store, "order-1")) == 2


async def test_a_run_that_was_deleted_is_not_there_to_be_deleted_again(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.finish()
    await store.delete("order-1")

    with pytest.raises(RunNotFound):
        await store.delete("order-1")


# ── retention ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_runs_are_kept_as_long_as_it_is_said_by_how_they_ended(store: Store, worker: Worker, clock: ManualClock) -> None:
    for name, state in (("done", RunState.COMPLETED), ("broken", RunState.FAILED), ("stopped", RunState.CANCELLED)):
        run = await worker.run(name)
        await run.write(ending=Finish(state, NewRecord(RecordKind(state.value), error=b"{}")))
    await worker.run("running")
    clock.advance(30 * 86_400)
    assert await store.purge(KEEP, 100, 1000) == 0

    clock.advance(1)
    late = await worker.run("late")
    await late.finish()
    assert await store.purge(KEEP, 100, 1000) == 1
    assert await ids(store) == {"broken", "stopped", "running", "late"}

    clock.advance(61 * 86_400)
    assert await store.purge(KEEP, 100, 1000) == 2
    assert await ids(store) == {"stopped", "running"}


async def test_a_batch_is_bounded_by_runs_and_the_oldest_go_first(store: Store, worker: Worker, clock: ManualClock) -> None:
    for number in range(5):
        run = await worker.run(f"order-{number}")
        await run.finish()
        clock.advance(1)
    clock.advance(31 * 86_400)

    assert await store.purge(KEEP, 2, 1000) == 2

    assert await ids(store) == {"order-2", "order-3", "order-4"}


async def test_a_batch_is_bounded_by_records_but_a_run_with_more_goes_alone(store: Store, worker: Worker, clock: ManualClock) -> None:
    for number in range(3):
        run = await worker.run(f"order-{number}")
        await run.write(*(step(command) for command in range(10)))
        await run.finish()
        clock.advance(1)
    clock.advance(31 * 86_400)

    assert [await store.purge(KEEP, 100, 25) for _ in range(3)] == [2, 1, 0]
    run = await worker.run("long")
    await run.write(*(step(command) for command in range(10)))
    await run.finish()
    clock.advance(31 * 86_400)
    assert await store.purge(KEEP, 100, 5) == 1
