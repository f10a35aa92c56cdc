"""Sending signals: once per key, in order, to runs that take them."""

import asyncio
from dataclasses import replace

import pytest

from perdure.clock import SECOND
from perdure.errors import InboxFull, RunEnded, RunNotFound
from perdure.model.states import RunState
from perdure.store.endings import Quarantine
from perdure.store.protocol import BadItem, Store
from tests.contract.acting import LIMIT, START, ManualClock, Mine, Worker, kinds, new_run, signal
from tests.contract.places import Place


async def received(run: Mine) -> list[tuple[str, bytes | None]]:
    records = await run.write(reads_inbox=True)
    return [(record.name, record.output) for record in records]


async def test_a_signal_becomes_a_record_with_its_topic_and_payload(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "s1", "paid", b'{"by":"card"}'), LIMIT)

    records = await run.write(reads_inbox=True)

    assert kinds(records) == ["signal"]
    assert (records[0].name, records[0].output, records[0].command) == ("paid", b'{"by":"card"}', None)
    assert await store.undelivered(10) == []


async def test_a_repeated_key_succeeds_silently_whatever_its_payload_and_the_first_wins(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "s1", payload=b"first", key="k"), LIMIT)
    await store.send(signal("order-1", "s2", "other topic", payload=b"second", key="k"), LIMIT)

    assert await received(run) == [("paid", b"first")]


async def test_a_key_stays_taken_after_its_signal_was_delivered(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "s1", key="k"), LIMIT)
    await run.write(reads_inbox=True)

    await store.send(signal("order-1", "s2", key="k"), LIMIT)

    assert await run.write(reads_inbox=True) == []


async def test_a_key_stays_taken_after_the_end_and_only_a_new_one_is_refused(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "s1", key="k"), LIMIT)
    await run.finish()

    await store.send(signal("order-1", "s2", payload=b"2", key="k"), LIMIT)
    with pytest.raises(RunEnded, match="order-1"):
        await store.send(signal("order-1", "s3", key="new"), LIMIT)
    with pytest.raises(RunEnded):
        await store.send(signal("order-1", "s4"), LIMIT)
    assert await store.undelivered(10) == []


async def test_a_repeat_without_a_key_is_known_by_its_id_even_after_delivery(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    sent = signal("order-1", "s1")
    await store.send(sent, LIMIT)
    await store.send(sent, LIMIT)
    assert len(await run.write(reads_inbox=True)) == 1

    await store.send(sent, LIMIT)

    assert await run.write(reads_inbox=True) == []


async def test_a_key_and_the_id_of_another_signal_do_not_meet(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "same", payload=b"1"), LIMIT)
    await store.send(signal("order-1", "s2", payload=b"2", key="same"), LIMIT)

    assert [payload for _, payload in await received(run)] == [b"1", b"2"]


async def test_one_key_may_be_sent_to_two_runs(store: Store, worker: Worker) -> None:
    first, second = await worker.run("order-1"), await worker.run("order-2")
    await store.send(signal("order-1", "s1", key="k"), LIMIT)
    await store.send(signal("order-2", "s2", key="k"), LIMIT)

    assert len(await first.write(reads_inbox=True)) == 1
    assert len(await second.write(reads_inbox=True)) == 1


async def test_nobody_can_send_to_a_run_that_does_not_exist(store: Store) -> None:
    with pytest.raises(RunNotFound, match="nobody"):
        await store.send(signal("nobody", "s1"), LIMIT)
    assert await store.undelivered(10) == []


async def test_signals_come_in_the_order_they_were_sent_even_when_the_clock_stands_still(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    for number in range(30):
        await store.send(signal("order-1", f"s{30 - number}", f"topic-{number % 3}", b"%d" % number), LIMIT)

    assert [payload for _, payload in await received(run)] == [b"%d" % number for number in range(30)]


async def test_signals_come_in_the_order_they_were_sent_even_when_the_clock_goes_back(
    store: Store, worker: Worker, clock: ManualClock
) -> None:
    run = await worker.run("order-1")
    for number in range(5):
        await store.send(signal("order-1", f"s{number}", payload=b"%d" % number), LIMIT)
        clock.jump(-3600)

    records = await run.write(reads_inbox=True)

    assert [record.output for record in records] == [b"0", b"1", b"2", b"3", b"4"]
    assert [record.at for record in records] == [START] * 5


async def test_an_inbox_takes_as_many_signals_as_its_limit_and_again_after_some_were_delivered(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    for number in range(3):
        await store.send(signal("order-1", f"s{number}", key=f"k{number}"), 3)
    with pytest.raises(InboxFull, match="order-1"):
        await store.send(signal("order-1", "s3", key="k3"), 3)
    await store.send(signal("order-1", "again", key="k0"), 3)  # its key is taken, so it is no new one
    assert len(await run.write(reads_inbox=True)) == 3

    await store.send(signal("order-1", "s3", key="k3"), 3)

    assert len(await run.write(reads_inbox=True)) == 1


async def test_the_limit_counts_what_is_undelivered_not_what_was_ever_sent(place: Place) -> None:
    store = await place.open(inbox_page=2)
    worker = await Worker(store, "worker-1").register()
    run = await worker.run("order-1")
    for number in range(3):
        await store.send(signal("order-1", f"s{number}"), 3)
    assert len(await run.write(reads_inbox=True)) == 2

    await store.send(signal("order-1", "s3"), 3)
    await store.send(signal("order-1", "s4"), 3)
    with pytest.raises(InboxFull):
        await store.send(signal("order-1", "s5"), 3)


async def test_a_refused_signal_disturbs_nobody_who_sent_at_the_same_moment(store: Store, worker: Worker) -> None:
    ended, running = await worker.run("ended"), await worker.run("running")
    await ended.finish()

    answers = await asyncio.gather(
        store.send(signal("running", "s1"), LIMIT),
        store.send(signal("ended", "s2"), LIMIT),
        store.send(signal("nobody", "s3"), LIMIT),
        store.send(replace(signal("running", "s4"), topic="\udfff"), LIMIT),
        store.send(signal("running", "s5"), LIMIT),
        return_exceptions=True,
    )

    assert [type(answer) for answer in answers] == [type(None), RunEnded, RunNotFound, BadItem, type(None)]
    assert len(await running.write(reads_inbox=True)) == 2


async def test_a_signal_makes_a_waiting_run_due(store: Store, worker: Worker, clock: ManualClock) -> None:
    run = await worker.run("order-1")
    await run.park(START + 3600 * SECOND)
    clock.advance(5)
    assert await worker.claim() == []

    await store.send(signal("order-1", "s1"), LIMIT)

    row = await store.run("order-1")
    assert row is not None
    assert (row.state, row.wake_at) == (RunState.WAITING, START + 5 * SECOND)
    assert [claimed.row.id for claimed in await worker.claim()] == ["order-1"]


async def test_a_signal_does_not_push_back_a_run_that_is_due_already(store: Store, worker: Worker, clock: ManualClock) -> None:
    run = await worker.run("order-1")
    await run.park(START + 1 * SECOND)
    clock.advance(5)

    await store.send(signal("order-1", "s1"), LIMIT)

    row = await store.run("order-1")
    assert row is not None
    assert row.wake_at == START + 1 * SECOND


async def test_a_signal_changes_nothing_in_the_row_of_an_owned_run(store: Store, worker: Worker) -> None:
    await worker.run("order-1")
    before = await store.run("order-1")

    await store.send(signal("order-1", "s1"), LIMIT)

    assert await store.run("order-1") == before


async def test_a_quarantined_run_keeps_its_signals_and_is_not_woken(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(ending=Quarantine(b"why"))

    await store.send(signal("order-1", "s1"), LIMIT)

    assert await worker.claim() == []
    await store.resume("order-1")
    assert len(await worker.claim()) == 1
    assert len(await run.write(reads_inbox=True)) == 1


async def test_signals_to_a_run_that_never_ran_wait_for_it(store: Store, worker: Worker) -> None:
    await store.start(new_run("order-1"))
    await store.send(signal("order-1", "s1"), LIMIT)

    (claimed,) = await worker.claim()

    assert claimed.started is not None
    assert await store.undelivered(10) == ["order-1"]
