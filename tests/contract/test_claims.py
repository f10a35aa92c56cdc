"""Claiming: due runs and those of the dead, a page at a time, nobody starved."""

from perdure.clock import SECOND
from perdure.model.records import RecordKind
from perdure.model.states import RunState
from perdure.store.endings import Release
from perdure.store.protocol import Store
from tests.contract.acting import START, ManualClock, Worker, history_of, ids, kinds, new_run, step
from tests.contract.places import Place


async def test_the_first_claim_writes_the_record_that_starts_the_time_of_the_run(store: Store, worker: Worker, clock: ManualClock) -> None:
    await store.start(new_run("order-1"))
    clock.advance(3600)  # it queued for an hour

    (claimed,) = await worker.claim()

    assert claimed.started is not None
    assert (claimed.started.kind, claimed.started.position, claimed.started.at) == (RecordKind.STARTED, 1, START + 3600 * SECOND)
    assert await history_of(store, "order-1") == [claimed.started]
    row = claimed.row
    assert (row.state, row.owner, row.wake_at, row.python) == (RunState.RUNNING, "worker-1", None, "3.11")
    assert await store.run("order-1") == row


async def test_time_in_a_run_never_begins_before_it_was_started(store: Store, worker: Worker, clock: ManualClock) -> None:
    await store.start(new_run("order-1"))
    clock.jump(-3600)
    clock.wall += 3600 * SECOND - 1
    assert await worker.claim() == []  # not due by the clock as it is now
    clock.wall += 1

    (claimed,) = await worker.claim()

    assert claimed.started is not None
    assert claimed.started.at == START


async def test_a_run_that_was_claimed_before_is_not_started_again(store: Store, worker: Worker, clock: ManualClock) -> None:
    run = await worker.run("order-1")
    await run.write(step(), issued=1)
    await run.park(START + SECOND)
    clock.advance(1)

    (claimed,) = await worker.claim()

    assert claimed.started is None
    assert (claimed.row.state, claimed.row.issued) == (RunState.RUNNING, 1)
    assert kinds(await history_of(store, "order-1")) == ["started", "step"]


async def test_a_run_is_not_claimed_before_it_is_due(worker: Worker, clock: ManualClock) -> None:
    run = await worker.run("order-1")
    await run.park(START + 10 * SECOND)
    clock.wall = START + 10 * SECOND - 1
    assert await worker.claim() == []

    clock.wall += 1

    assert ids(await worker.claim()) == ["order-1"]


async def test_only_the_workflows_asked_for_are_claimed(store: Store, worker: Worker) -> None:
    await store.start(new_run("order-1", "flow"))
    await store.start(new_run("other-1", "other"))

    assert ids(await worker.claim()) == ["order-1"]
    left = await store.run("other-1")
    assert left is not None
    assert left.state is RunState.PENDING


async def test_no_more_runs_are_claimed_than_there_is_room_for_and_the_longest_due_come_first(
    store: Store, worker: Worker, clock: ManualClock
) -> None:
    for number in range(5):
        await store.start(new_run(f"order-{9 - number}"))
        clock.advance(1)

    assert not await worker.claim(0)
    assert ids(await worker.claim(2)) == ["order-9", "order-8"]
    assert ids(await worker.claim(10)) == ["order-7", "order-6", "order-5"]


async def test_a_claim_takes_at_most_a_page_however_much_room_there_is(place: Place) -> None:
    store = await place.open(claim_page=4)
    worker = await Worker(store, "worker-1").register()
    for number in range(6):
        await store.start(new_run(f"order-{number}"))

    assert len(await worker.claim(1000)) == 4


async def test_a_workflow_with_many_runs_starves_no_other(store: Store, clock: ManualClock) -> None:
    worker = await Worker(store, "worker-1", "busy", "rare").register()
    for number in range(40):
        await store.start(new_run(f"busy-{number}", "busy"))
    clock.advance(1)
    await store.start(new_run("rare-1", "rare"))

    claimed = [run_id for _ in range(2) for run_id in ids(await worker.claim(5))]

    assert "rare-1" in claimed


async def test_due_runs_do_not_starve_those_of_the_dead_nor_the_other_way_round(store: Store) -> None:
    dead = await Worker(store, "dead").register()
    for number in range(20):
        await store.start(new_run(f"orphan-{number}"))
    await dead.claim(20)
    await store.retire("dead")
    for number in range(20):
        await store.start(new_run(f"due-{number}"))
    worker = await Worker(store, "worker-1").register()

    first = ids(await worker.claim(5)) + ids(await worker.claim(5))

    assert {run_id.split("-")[0] for run_id in first} == {"orphan", "due"}


# ── the dead ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_runs_of_a_dead_worker_are_claimed_and_those_of_a_live_one_are_not(store: Store) -> None:
    live, dead = await Worker(store, "live").register(), await Worker(store, "dead").register()
    await live.run("order-1")
    await dead.run("order-2")
    heir = await Worker(store, "heir").register()
    assert await heir.claim() == []

    await store.retire("dead")

    (claimed,) = await heir.claim()
    assert (claimed.row.id, claimed.row.owner, claimed.started) == ("order-2", "heir", None)


async def test_runs_of_a_worker_that_nobody_remembers_are_claimed(shared: Place, store: Store) -> None:
    lost = await Worker(store, "lost").register()
    await lost.run("order-1")
    shared.execute("delete from workers where incarnation = 'lost'")
    heir = await Worker(store, "heir").register()

    assert await store.has_claimable(["flow"])
    assert ids(await heir.claim()) == ["order-1"]


async def test_runs_of_several_dead_workers_are_claimed_page_by_page(store: Store) -> None:
    for name in ("dead-1", "dead-2", "dead-3"):
        dead = await Worker(store, name).register()
        for number in range(3):
            await dead.run(f"{name}-order-{number}")
        await store.retire(name)
    heir = await Worker(store, "heir").register()

    claimed = [ids(await heir.claim(4)) for _ in range(4)]

    assert [len(page) for page in claimed] == [4, 4, 1, 0]
    assert len({run_id for page in claimed for run_id in page}) == 9


async def test_a_worker_is_told_all_runs_it_owns_after_the_checkpoint(store: Store, worker: Worker) -> None:
    kept, parked = await worker.run("kept"), await worker.run("parked")
    other = await Worker(store, "other").register()
    await other.run("not mine")
    await store.start(new_run("new"))
    assert (await worker.commit(kept.change(step()))).owned is None

    committed = await worker.commit(parked.change(ending=Release(START + SECOND)), room=5, lists_owned=True)

    assert committed.owned == {"kept", "new"}


async def test_each_claim_of_a_run_has_a_greater_fencing_number_than_those_before_although_the_clock_is_set_back(
    store: Store, clock: ManualClock
) -> None:
    first, second = await Worker(store, "first").register(), await Worker(store, "second").register()
    run = await first.run("order-1")
    numbers = [(await store.run("order-1")).fencing]
    clock.jump(-3600)
    await run.write(ending=Release(START - 7200 * SECOND))
    numbers += [one.row.fencing for one in await second.claim()]
    await store.retire("second")
    numbers += [one.row.fencing for one in await first.claim()]
    for victim in ("victim-1", "victim-2"):
        await first.dies("order-1")
        first = await Worker(store, victim).register()
        numbers += [one.row.fencing for one in await first.claim(is_alone=True)]

    assert numbers == [START + more for more in range(5)]
    assert (await store.load(["order-1"]))["order-1"].row.fencing == numbers[-1]


async def test_a_fencing_number_is_that_of_the_clock_where_no_claim_had_a_greater_one(
    store: Store, worker: Worker, clock: ManualClock
) -> None:
    run = await worker.run("order-1")
    await run.write(ending=Release())
    clock.advance(60)

    (claimed,) = await worker.claim()

    assert claimed.row.fencing == START + 60 * SECOND


# ── Python ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_run_that_needs_its_python_is_claimed_by_that_python_only(store: Store) -> None:
    old, new = await Worker(store, "old", python="3.11").register(), await Worker(store, "new", python="3.12").register()
    run = await old.run("order-1")
    await run.write(ending=Release(needs_python=True))

    assert await new.claim() == []
    (claimed,) = await old.claim()

    assert (claimed.row.python, claimed.row.needs_python) == ("3.11", True)


async def test_an_orphan_that_needs_its_python_is_claimed_by_that_python_only(store: Store) -> None:
    old = await Worker(store, "old", python="3.11").register()
    run = await old.run("order-1")
    await run.write(ending=Release(needs_python=True))
    await old.claim()
    await store.retire("old")

    assert await (await Worker(store, "new", python="3.12").register()).claim() == []
    assert ids(await (await Worker(store, "same", python="3.11").register()).claim()) == ["order-1"]


async def test_a_run_keeps_the_python_that_claimed_it_first(store: Store) -> None:
    old, new = await Worker(store, "old", python="3.11").register(), await Worker(store, "new", python="3.12").register()
    run = await old.run("order-1")
    await run.write(ending=Release())

    (claimed,) = await new.claim()

    assert (claimed.row.python, claimed.row.needs_python) == ("3.11", False)


async def test_a_run_that_needs_another_python_wakes_nobody_here(place: Place) -> None:
    store = await place.open()  # of Python 3.11
    new = await Worker(store, "new", python="3.12").register()
    run = await new.run("order-1")
    await run.write(ending=Release(needs_python=True))

    assert await store.next_wake(["flow"]) is None
    assert not await store.has_claimable(["flow"])
