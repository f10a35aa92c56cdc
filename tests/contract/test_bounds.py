"""However large what waits is, a bounded part of it is read at once; and whoever was put off comes first next time."""

from perdure.clock import SECOND
from perdure.store.endings import Park, Release
from perdure.store.protocol import DueTimer, Store, left_to_load
from tests.contract.acting import LIMIT, START, ManualClock, Worker, ids, kinds, new_run, signal, step
from tests.contract.places import Place

BIG = 1000


async def send(store: Store, run_id: str, *numbers: int) -> None:
    for number in numbers:
        await store.send(signal(run_id, f"s{number}", payload=b"%d" % number * BIG), LIMIT)


# ── inboxes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_checkpoint_reads_no_more_of_an_inbox_than_its_bytes_allow(place: Place) -> None:
    store = await place.open(inbox_page_bytes=3 * BIG)
    run = await (await Worker(store, "worker-1").register()).run("order-1")
    await send(store, "order-1", 1, 2, 3, 4, 5)

    (first,) = (await run.worker.commit(run.change(reads_inbox=True))).written
    run.position += len(first.records)
    (second,) = (await run.worker.commit(run.change(reads_inbox=True))).written

    assert [record.output[:1] for record in first.records if record.output] == [b"1", b"2", b"3"]
    assert first.has_more
    assert not first.is_put_off
    assert [record.output[:1] for record in second.records if record.output] == [b"4", b"5"]
    assert not second.has_more


async def test_a_signal_larger_than_all_bytes_allowed_is_delivered_alone(place: Place) -> None:
    store = await place.open(inbox_page_bytes=10)
    run = await (await Worker(store, "worker-1").register()).run("order-1")
    await send(store, "order-1", 1, 2)

    records = [await run.write(reads_inbox=True) for _ in range(3)]

    assert [len(page) for page in records] == [1, 1, 0]


async def test_the_bytes_are_shared_by_all_runs_of_a_checkpoint_and_who_gets_nothing_is_told(place: Place) -> None:
    store = await place.open(inbox_page_bytes=2 * BIG)
    worker = await Worker(store, "worker-1").register()
    runs = [await worker.run(f"order-{number}") for number in range(4)]
    for run in runs[:3]:
        await send(store, run.id, 1, 2)

    written = (await worker.commit(*(run.change(step(), reads_inbox=True) for run in runs))).written

    assert [kinds(one.records) for one in written] == [["step", "signal", "signal"], ["step"], ["step"], ["step"]]
    assert [(one.has_more, one.is_put_off) for one in written] == [(False, False), (True, True), (True, True), (False, False)]


async def test_what_was_put_off_holds_back_timers_and_a_cancel_that_came_later(place: Place, clock: ManualClock) -> None:
    store = await place.open(inbox_page_bytes=BIG)
    worker = await Worker(store, "worker-1").register()
    greedy, run = await worker.run("greedy"), await worker.run("order-1")
    await send(store, "greedy", 1)
    await send(store, "order-1", 1)
    clock.advance(10)
    await store.cancel("order-1", SECOND)
    due = (DueTimer(START + SECOND, 7),)

    _, put_off = (await worker.commit(greedy.change(reads_inbox=True), run.change(reads_inbox=True, due=due))).written
    read = await run.write(reads_inbox=True, due=due)

    assert put_off.is_put_off
    assert put_off.records == []
    assert kinds(read) == ["signal", "timer", "cancel"]


async def test_a_run_whose_inbox_was_put_off_is_not_parked(place: Place) -> None:
    store = await place.open(inbox_page_bytes=BIG)
    worker = await Worker(store, "worker-1").register()
    greedy, run = await worker.run("greedy"), await worker.run("order-1")
    await send(store, "greedy", 1)
    await send(store, "order-1", 1)

    _, put_off = (await worker.commit(greedy.change(reads_inbox=True), run.change(reads_inbox=True, ending=Park(None, b"[]")))).written

    assert (put_off.has_left, put_off.is_put_off, put_off.has_more) == (False, True, True)


# ── claims and histories ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_claim_takes_no_more_input_than_its_bytes_allow_and_says_that_there_is_more(place: Place) -> None:
    store = await place.open(claim_page_bytes=3 * BIG)
    worker = await Worker(store, "worker-1").register()
    for number in range(4):
        await store.start(new_run(f"order-{number}", input=b"1" * BIG))

    first, second = [await worker.commit(room=10) for _ in range(2)]

    assert len(first.claimed) + len(second.claimed) == 4
    assert 1 <= len(first.claimed) < 4
    assert (first.has_more, second.has_more) == (True, False)


async def test_a_run_with_more_input_than_a_claim_may_take_is_claimed_alone(place: Place) -> None:
    store = await place.open(claim_page_bytes=1)
    worker = await Worker(store, "worker-1").register()
    for number in range(2):
        await store.start(new_run(f"order-{number}", input=b"1" * BIG))

    assert [len(await worker.claim()) for _ in range(3)] == [1, 1, 0]


async def test_a_claim_says_whether_there_was_room_for_more(store: Store, worker: Worker) -> None:
    for number in range(3):
        await store.start(new_run(f"order-{number}"))

    assert [(await worker.commit(room=2)).has_more for _ in range(2)] == [True, False]


async def test_histories_are_loaded_in_order_until_one_passes_the_bytes_allowed(store: Store, worker: Worker) -> None:
    names = [f"order-{number}" for number in range(4)]
    for name in names:
        await (await worker.run(name)).write(step(output=b"1" * BIG))
    wanted = [names[0], "nobody", *names[1:]]

    found = await store.load(wanted, 2 * BIG)
    left = left_to_load(wanted, found, 2 * BIG)
    rest = await store.load(left, 2 * BIG)

    assert list(found) == names[:2]
    assert left == names[2:]
    assert list(rest) == names[2:]
    assert left_to_load(["nobody"], await store.load(["nobody"], 1), 1) == ()
    assert all(one.size >= BIG for one in found.values())


async def test_a_long_or_large_history_does_not_come_with_its_claim(store: Store, worker: Worker) -> None:
    small, large = await worker.run("small"), await worker.run("large")
    await small.write(step(output=b"1"), ending=Release())
    await large.write(step(output=b"1" * 300 * 1024), ending=Release())

    claimed = {one.row.id: one for one in await worker.claim()}

    assert sorted(claimed) == sorted(ids(list(claimed.values()))) == ["large", "small"]
    assert claimed["small"].loaded is not None
    assert claimed["large"].loaded is None
