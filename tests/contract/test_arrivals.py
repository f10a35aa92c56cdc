"""How signals and timers that piled up enter a history: in order of arrival and deadline."""

import pytest

from perdure.clock import SECOND
from perdure.model.generations import RetryPoint
from perdure.model.records import NewRecord, RecordKind
from perdure.model.states import RunState
from perdure.store.endings import Finish, Park, Quarantine
from perdure.store.protocol import Change, DueTimer, Store
from tests.contract.acting import LIMIT, START, ManualClock, Worker, history_of, kinds, signal, step
from tests.contract.places import Place


async def test_a_payment_that_came_in_time_wins_over_the_deadline_it_beat(store: Store, worker: Worker, clock: ManualClock) -> None:
    run = await worker.run("order-1")
    clock.advance(10)
    await store.send(signal("order-1", "s1"), LIMIT)
    clock.advance(60)

    records = await run.write(reads_inbox=True, due=(DueTimer(START + 30 * SECOND, 4),))

    assert kinds(records) == ["signal", "timer"]
    assert records[1].command == 4
    assert [record.at for record in records] == [START + 70 * SECOND] * 2


async def test_a_signal_that_came_after_the_deadline_comes_after_the_timer(store: Store, worker: Worker, clock: ManualClock) -> None:
    run = await worker.run("order-1")
    clock.advance(31)
    await store.send(signal("order-1", "s1"), LIMIT)

    records = await run.write(reads_inbox=True, due=(DueTimer(START + 30 * SECOND, 4),))

    assert kinds(records) == ["timer", "signal"]


async def test_at_a_tie_the_signal_comes_first(store: Store, worker: Worker, clock: ManualClock) -> None:
    run = await worker.run("order-1")
    clock.advance(30)
    await store.send(signal("order-1", "s1"), LIMIT)

    records = await run.write(reads_inbox=True, due=(DueTimer(START + 30 * SECOND, 4),))

    assert kinds(records) == ["signal", "timer"]


async def test_timers_fire_in_order_of_deadline_then_of_number(worker: Worker, clock: ManualClock) -> None:
    run = await worker.run("order-1")
    clock.advance(60)
    due = (DueTimer(START + 3, 1), DueTimer(START + 1, 7), DueTimer(START + 1, 2), DueTimer(START + 2, 0))

    records = await run.write(reads_inbox=True, due=due)

    assert [record.command for record in records] == [2, 7, 0, 1]


async def test_no_timer_fires_before_its_deadline(worker: Worker, clock: ManualClock) -> None:
    run = await worker.run("order-1")
    clock.advance(30)
    deadline = START + 30 * SECOND

    records = await run.write(reads_inbox=True, due=(DueTimer(deadline, 1), DueTimer(deadline + 1, 2)))

    assert [record.command for record in records] == [1]


async def test_timers_are_left_alone_unless_the_inbox_is_read(worker: Worker, clock: ManualClock) -> None:
    run = await worker.run("order-1")
    clock.advance(30)

    assert await run.write(due=(DueTimer(START, 1),)) == []


async def test_what_the_run_did_itself_comes_before_what_reached_it_and_its_end_comes_last(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "s1"), LIMIT)

    records = await run.write(
        step(0), step(1), reads_inbox=True, due=(DueTimer(START, 4),), ending=Finish(RunState.COMPLETED, NewRecord(RecordKind.COMPLETED))
    )

    assert kinds(records) == ["step", "step", "signal", "timer", "completed"]
    assert [record.position for record in records] == [2, 3, 4, 5, 6]


async def test_a_full_page_holds_back_the_timers_later_than_its_last_signal(place: Place, clock: ManualClock) -> None:
    store = await place.open(inbox_page=3)
    worker = await Worker(store, "worker-1").register()
    run = await worker.run("order-1")
    for number in range(5):
        clock.advance(10)
        await store.send(signal("order-1", f"s{number}", payload=b"%d" % number), LIMIT)
    due = tuple(DueTimer(START + seconds * SECOND, seconds) for seconds in (15, 30, 35, 45))

    first = (await worker.commit(run.change(reads_inbox=True, due=due))).written[0]
    left = tuple(timer for timer in due if timer.number not in {record.command for record in first.records})
    run.position += len(first.records)
    second = (await worker.commit(run.change(reads_inbox=True, due=left))).written[0]

    assert first.has_more
    assert [record.output or record.command for record in first.records] == [b"0", 15, b"1", b"2", 30]
    assert not second.has_more
    assert [record.output or record.command for record in second.records] == [35, b"3", 45, b"4"]


async def test_a_page_that_is_exactly_full_holds_nothing_back(place: Place, clock: ManualClock) -> None:
    store = await place.open(inbox_page=3)
    worker = await Worker(store, "worker-1").register()
    run = await worker.run("order-1")
    for number in range(3):
        await store.send(signal("order-1", f"s{number}"), LIMIT)
    clock.advance(60)

    (written,) = (await worker.commit(run.change(reads_inbox=True, due=(DueTimer(START + 30 * SECOND, 1),)))).written

    assert not written.has_more
    assert kinds(written.records) == ["signal", "signal", "signal", "timer"]


@pytest.mark.parametrize("reads_inbox", [True, False])
async def test_a_run_is_not_parked_while_a_signal_waits_for_it(store: Store, worker: Worker, reads_inbox: bool) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "s1"), LIMIT)

    (written,) = (await worker.commit(run.change(reads_inbox=reads_inbox, ending=Park(None, b"[]")))).written

    assert not written.has_left
    assert written.has_more is not reads_inbox  # either it is among the records, or it is told that there is one
    row = await store.run("order-1")
    assert row is not None
    assert (row.state, row.owner) == (RunState.RUNNING, "worker-1")


async def test_a_change_whose_inbox_is_empty_records_nothing(worker: Worker) -> None:
    run = await worker.run("order-1")

    (written,) = (await worker.commit(Change("order-1", 0, run.position, run.at, reads_inbox=True))).written

    assert (written.records, written.has_more, written.has_left) == ([], False, False)


async def test_what_was_acknowledged_before_the_end_stands_in_the_history_before_it(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "s1", payload=b'"late"'), LIMIT)

    records = await run.write(step(), ending=Finish(RunState.COMPLETED, NewRecord(RecordKind.COMPLETED, output=b"1")))

    assert kinds(records) == ["step", "signal", "completed"]
    assert records[1].output == b'"late"'
    assert await store.undelivered(10) == []


async def test_a_run_with_more_signals_than_a_page_ends_when_all_of_them_are_recorded(place: Place) -> None:
    store = await place.open(inbox_page=3)
    worker = await Worker(store, "worker-1").register()
    run = await worker.run("order-1")
    for number in range(7):
        await store.send(signal("order-1", f"s{number}", payload=b"%d" % number), LIMIT)
    end = Finish(RunState.FAILED, NewRecord(RecordKind.FAILED, input=RetryPoint(2).encoded(), error=b"{}"))

    states = []
    for _ in range(3):
        (written,) = (await worker.commit(run.change(ending=end))).written
        run.position, run.at = written.records[-1].position, written.records[-1].at
        states.append((written.has_left, written.has_more, len(written.records)))

    assert states == [(False, True, 3), (False, True, 3), (True, False, 2)]
    recorded = [record.output for record in await history_of(store, "order-1") if record.kind is RecordKind.SIGNAL]
    assert recorded == [b"%d" % number for number in range(7)]


async def test_a_retried_run_can_receive_what_came_just_before_it_failed(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "s1", payload=b'"late"'), LIMIT)
    await run.finish(RunState.FAILED)

    await store.retry("order-1")

    loaded = (await store.load(["order-1"]))["order-1"]
    assert kinds(loaded.records) == ["started", "signal"]


async def test_a_quarantined_run_that_is_cancelled_keeps_its_signals_in_its_history(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await worker.commit(run.change(ending=Quarantine(b"{}")))
    for number in range(2):
        await store.send(signal("order-1", f"s{number}"), LIMIT)

    await store.cancel("order-1", 0)

    assert kinds(await history_of(store, "order-1")) == ["started", "signal", "signal", "cancel", "cancelled"]
    assert await store.undelivered(10) == []


async def test_a_cancel_of_a_run_that_has_just_diverged_ends_it_behind_its_signals(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "s1"), LIMIT)
    await store.cancel("order-1", 0)

    await worker.commit(run.change(ending=Quarantine(b"{}")))

    assert kinds(await history_of(store, "order-1")) == ["started", "signal", "cancel", "cancelled"]
