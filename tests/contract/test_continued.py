"""A run continues as new: what goes on, what is left behind, and what is forgotten in the end."""

from perdure.model.records import NewRecord, RecordKind
from perdure.model.states import RunState
from perdure.settings import DEFAULTS
from perdure.store.endings import Continue, Finish, Quarantine, Release
from perdure.store.protocol import Store
from tests.contract.acting import LIMIT, ManualClock, Mine, Worker, history_of, kinds, signal, step
from tests.contract.places import Place

DAY = 86400


def ending(input: bytes = b'{"n":1}', *carried: NewRecord, python: str = "3.11") -> Continue:
    return Continue(NewRecord(RecordKind.CONTINUED, "flow", output=input), input, carried, python)


async def next_generation(worker: Worker, run: Mine) -> Mine:
    """Continue, claim and load it."""
    await run.write(ending=ending())
    (claimed,) = await worker.claim()
    loaded = (await worker.store.load([run.id]))[run.id]
    return Mine(worker, run.id, loaded.records[-1].at, loaded.records[-1].position, claimed.row.generation)


async def test_the_next_generation_begins_with_its_input_its_record_and_what_is_carried_and_is_due(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    carried = NewRecord(RecordKind.SIGNAL, "paid", output=b"7")
    written = await run.write(step(0), issued=1, note=b'"here"', ending=ending(b'{"n":1}', carried))
    assert kinds(written) == ["step", "continued"]

    (claimed,) = await worker.claim()
    assert claimed.started is None
    loaded = (await store.load(["order-1"]))["order-1"]
    assert kinds(loaded.records) == ["started", "signal"]
    assert [record.position for record in loaded.records] == [1, 2]
    row = loaded.row
    assert (row.generation, row.key_generation, row.input, row.issued, row.reached, row.note) == (1, 1, b'{"n":1}', 0, 0, b'"here"')


async def test_a_generation_draws_from_a_seed_of_its_own_and_the_start_is_still_known(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    seeds = [(await store.load(["order-1"]))["order-1"].row.seed]
    for _ in range(3):
        run = await next_generation(worker, run)
        seeds.append((await store.load(["order-1"]))["order-1"].row.seed)

    assert len(set(seeds)) == 4
    row = await store.run("order-1")
    assert row is not None
    assert (row.input, row.input_hash) == (b"{}", b"hash")


async def test_what_is_in_the_inbox_and_what_is_wanted_stay_and_attempts_go(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "id-1"), LIMIT)
    await store.cancel("order-1", 5)
    await run.write(ending=ending())

    (claimed,) = await worker.claim()
    (written,) = (await worker.commit(Mine(worker, "order-1", claimed.row.created_at, generation=1).change(reads_inbox=True))).written
    assert kinds(written.records) == ["signal", "cancel"]
    assert await store.attempts("order-1") == []


async def test_a_new_generation_runs_on_any_python_although_the_old_one_was_bound_to_one(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(ending=Release(needs_python=True))
    await worker.claim()
    await run.write(ending=ending(python="3.12"))

    (claimed,) = await worker.claim()
    assert (claimed.row.python, claimed.row.needs_python) == ("3.12", False)


async def test_the_generation_before_is_kept_and_older_ones_are_deleted_a_page_at_a_time(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    assert not await store.forget_outdated(2)
    for _ in range(3):
        run = await next_generation(worker, run)
        await run.write(step(0), step(1))
    assert kinds(await history_of(store, "order-1")) == ["started", "step", "step", "continued", "started", "step", "step"]

    pages = 0
    while await store.forget_outdated(2):
        pages += 1
    assert pages >= 3
    assert kinds(await history_of(store, "order-1")) == ["started", "step", "step", "continued", "started", "step", "step"]
    assert not (await store.load(["order-1"]))["order-1"].damage
    assert not await store.forget_outdated(2)


async def test_what_a_run_was_retried_from_is_kept_with_its_generation(store: Store, worker: Worker) -> None:
    run = await next_generation(worker, await worker.run("order-1"))
    failed = NewRecord(RecordKind.FAILED, "flow", input=b'{"retry_from": 2}', error=b"{}")
    await run.write(step(0), ending=Finish(RunState.FAILED, failed))
    await store.retry("order-1")
    await worker.claim()
    loaded = (await store.load(["order-1"]))["order-1"]
    mine = Mine(worker, "order-1", loaded.records[-1].at, loaded.records[-1].position, generation=2)
    await mine.write(ending=ending())

    while await store.forget_outdated(100):
        pass
    assert kinds(await history_of(store, "order-1")) == ["started", "step", "failed", "step", "continued", "started"]


async def test_an_id_that_is_used_again_has_nothing_to_do_with_what_was_outdated(store: Store, worker: Worker) -> None:
    run = await next_generation(worker, await next_generation(worker, await worker.run("order-1")))
    await run.finish()
    await store.delete("order-1")
    await worker.run("order-1")

    while await store.forget_outdated(100):
        pass
    assert kinds(await history_of(store, "order-1")) == ["started"]


async def test_keys_of_later_generations_are_remembered_for_a_month_and_do_not_pile_up(
    place: Place, store: Store, worker: Worker, clock: ManualClock
) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "id-0", key="first"), LIMIT)
    await run.write(reads_inbox=True)
    await next_generation(worker, run)
    for day in range(100):
        await store.send(signal("order-1", f"id-{day + 1}", key=f"day-{day}"), LIMIT)
        clock.advance(DAY)

    async def is_known(key: str) -> bool:
        before = len(await place.ids_in_inboxes(store))
        await store.send(signal("order-1", f"again-{key}", key=key), LIMIT)
        return len(await place.ids_in_inboxes(store)) == before

    assert await is_known("first"), "keys of the first generation are kept as long as the run"
    assert await is_known("day-99")
    assert await is_known(f"day-{100 - round(DEFAULTS.signal_keys_kept_days) + 1}")
    assert not await is_known("day-5")


async def test_how_long_keys_of_later_generations_are_remembered_is_a_setting(place: Place, clock: ManualClock) -> None:
    store = await place.open(signal_keys_kept_days=2.0)
    run = await next_generation(
        await Worker(store, "worker-1").register(), await (await Worker(store, "worker-2").register()).run("order-1")
    )
    for day in range(6):
        await store.send(signal(run.id, f"id-{day}", key=f"day-{day}"), LIMIT)
        clock.advance(DAY)

    before = len(await place.ids_in_inboxes(store))
    await store.send(signal(run.id, "again", key="day-1"), LIMIT)

    assert len(await place.ids_in_inboxes(store)) == before + 1


async def test_a_run_that_was_continued_can_be_quarantined_and_resumed_like_any_other(store: Store, worker: Worker) -> None:
    run = await next_generation(worker, await worker.run("order-1"))
    await run.write(ending=Quarantine(b"{}"))
    await store.resume("order-1")

    assert [claimed.row.generation for claimed in await worker.claim()] == [1]
