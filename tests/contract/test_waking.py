"""What tells a worker that there is something to do. Only hints may be lost; the questions always find it."""

import asyncio
import threading

from perdure.clock import SECOND
from perdure.store.endings import Park
from perdure.store.protocol import Change, Store
from tests.contract.acting import LIMIT, START, ManualClock, Worker, new_run, signal
from tests.contract.places import Place


async def test_the_next_wake_is_the_earliest_of_the_workflows_asked_for(store: Store) -> None:
    worker = await Worker(store, "worker-1", "one", "two", "three").register()
    assert await store.next_wake(["one", "two", "three"]) is None
    for workflow, seconds in (("one", 30), ("two", 20), ("three", 10)):
        await store.start(new_run(workflow, workflow))
        await worker.claim()
        await worker.commit(parked(workflow, seconds))

    assert await store.next_wake(["one", "two"]) == START + 20 * SECOND
    assert await store.next_wake(["one"]) == START + 30 * SECOND
    assert await store.next_wake(["four"]) is None
    assert await store.next_wake([]) is None


async def test_what_is_due_already_does_not_hide_what_comes_next(store: Store, clock: ManualClock) -> None:
    worker = await Worker(store, "worker-1", "one").register()
    for name, seconds in (("soon", 10), ("later", 20)):
        await store.start(new_run(name, "one"))
        await worker.claim()
        await worker.commit(parked(name, seconds))
    clock.advance(15)

    assert await store.next_wake(["one"]) == START + 20 * SECOND
    assert await store.has_claimable(["one"])


async def test_an_owned_run_wakes_nobody(store: Store, worker: Worker) -> None:
    await worker.run("order-1")

    assert await store.next_wake(["flow"]) is None
    assert not await store.has_claimable(["flow"])


async def test_a_due_run_is_claimable_when_its_time_has_come(store: Store, worker: Worker, clock: ManualClock) -> None:
    run = await worker.run("order-1")
    await run.park(START + 5 * SECOND)
    assert not await store.has_claimable(["flow"])

    clock.advance(5)

    assert await store.has_claimable(["flow"])
    assert await store.has_claimable(["other", "flow"])
    assert not await store.has_claimable(["other"])


async def test_the_runs_of_the_dead_are_claimable(store: Store, worker: Worker) -> None:
    await worker.run("order-1")
    await store.retire("worker-1")

    assert await store.has_claimable(["flow"])
    assert not await store.has_claimable(["other"])


async def test_runs_with_undelivered_signals_are_listed_once_each_up_to_a_limit(store: Store, worker: Worker) -> None:
    assert await store.undelivered(10) == []
    for number in range(4):
        await worker.run(f"order-{number}")
        for copy in range(3):
            await store.send(signal(f"order-{number}", f"s{copy}"), LIMIT)

    assert await store.undelivered(10) == ["order-0", "order-1", "order-2", "order-3"]
    assert await store.undelivered(2) == ["order-0", "order-1"]


async def test_a_waiting_run_whose_wake_was_missed_is_found_by_its_signal(shared: Place, clock: ManualClock) -> None:
    store = await shared.open()
    worker = await Worker(store, "worker-1").register()
    for run_id in ("asleep", "asleep too", "owned", "no signal"):
        run = await worker.run(run_id)
        if run_id != "owned":
            await run.park(None)
    for run_id in ("asleep", "asleep too", "owned"):
        await store.send(signal(run_id, "s1"), LIMIT)
    shared.execute("update runs set wake_at = null where state = 'waiting'")
    clock.advance(1)
    assert await worker.claim() == []

    assert await store.wake_missed() == 2

    assert await store.wake_missed() == 0
    assert {claimed.row.id for claimed in await worker.claim()} == {"asleep", "asleep too"}


async def test_a_change_by_another_store_calls_back(shared: Place) -> None:
    watching, writing = await shared.open(), await shared.open()
    changed = asyncio.Event()
    stop = watching.on_change(changed.set)

    await writing.start(new_run("order-1"))

    async with asyncio.timeout(30):
        assert await changed.wait()
    stop()


async def test_a_change_by_another_store_is_seen_while_this_one_writes_too(shared: Place) -> None:
    watching, writing = await shared.open(), await shared.open()
    changed = asyncio.Event()
    watching.on_change(changed.set)

    async with asyncio.timeout(20):
        await writing.start(new_run("theirs"))
        number = 0
        while not changed.is_set():
            await watching.start(new_run(f"ours-{number}"))
            number += 1
    assert len(await watching.runs(limit=1000)) == min(number + 1, 1000)


async def test_callbacks_come_on_the_event_loop_and_end_when_they_are_stopped(shared: Place) -> None:
    watching, writing = await shared.open(), await shared.open()
    threads: list[threading.Thread] = []
    stopped, other = asyncio.Event(), asyncio.Event()
    stop = watching.on_change(lambda: (stopped.set(), threads.append(threading.current_thread())))
    watching.on_change(other.set)

    stop()
    stop()
    await writing.start(new_run("order-1"))

    async with asyncio.timeout(30):
        await other.wait()
    assert not stopped.is_set()
    assert set(threads) <= {threading.main_thread()}


def parked(run_id: str, seconds: int) -> Change:
    return Change(run_id, 0, 1, START, ending=Park(START + seconds * SECOND, b"[]"))
