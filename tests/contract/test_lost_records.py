"""A store that has gone back in time (a fail-over, an older backup) and what is known to have been acknowledged."""

import json

from perdure.model.lost_records import Known
from perdure.model.states import RunState
from perdure.store.protocol import Store
from tests.contract.acting import Worker, history_of, kinds, step

LEASE = 10_000_000


async def test_what_is_all_there_is_nothing_to_tell_of(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(step())

    assert await store.set_aside_lost([Known("order-1", 0, 2), Known("order-1", 0, 1)]) == []
    assert not await store.take_troubles(10, LEASE)


async def test_a_run_that_lacks_records_is_set_aside_with_what_is_gone_and_is_told_of(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(step())
    await (await worker.run("neighbour")).write(step())

    (gone,) = await store.set_aside_lost([Known("order-1", 0, 5), Known("neighbour", 0, 2)])

    assert str(gone) == "run order-1 has lost its records 3 to 5"
    row = await store.run("order-1")
    assert row is not None
    assert (row.state, row.owner) == (RunState.QUARANTINED, None)
    assert row.error is not None
    assert "`perdure run resume order-1`" in json.loads(row.error)["message"]
    assert kinds(await history_of(store, "order-1")) == ["started", "step"]
    assert [(one.run_id, one.kind) for one in await store.take_troubles(10, LEASE)] == [("order-1", "quarantined")]


async def test_it_goes_on_from_what_is_there_when_it_is_resumed(store: Store, worker: Worker) -> None:
    await worker.run("order-1")
    await store.set_aside_lost([Known("order-1", 0, 5)])
    await store.resume("order-1")

    assert [one.row.id for one in await worker.claim()] == ["order-1"]


async def test_a_run_that_is_not_there_at_all_is_told_of(store: Store, worker: Worker) -> None:
    (gone,) = await store.set_aside_lost([Known("order-1", 0, 5)])

    assert str(gone) == "run order-1 is gone, with 5 records"


async def test_a_run_that_is_in_a_later_generation_has_lost_nothing_and_in_an_earlier_one_it_has(store: Store, worker: Worker) -> None:
    await worker.run("order-1")

    (gone,) = await store.set_aside_lost([Known("order-1", 1, 1)])

    assert str(gone) == "run order-1 is back in generation 0, at record 1, from generation 1"


async def test_a_run_that_has_ended_in_the_store_stays_as_it_ended(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.finish()

    (gone,) = await store.set_aside_lost([Known("order-1", 0, 9)])

    assert gone.position == 2
    row = await store.run("order-1")
    assert row is not None
    assert row.state == RunState.COMPLETED
    assert not await store.take_troubles(10, LEASE)
