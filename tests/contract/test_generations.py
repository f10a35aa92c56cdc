"""Generations: what a retry shares with the generation before, what it leaves out, and what `continue` begins anew."""

from typing import Any

import pytest

from perdure.clock import SECOND
from perdure.errors import CorruptedHistory, NotRetryable
from perdure.model.generations import RetryPoint, retry_point_of
from perdure.model.records import NewRecord, RecordKind
from perdure.model.states import RunState
from perdure.store.endings import Continue, Finish
from perdure.store.protocol import AttemptFailed, Change, DueTimer, Intent, Loaded, Store
from tests.contract.acting import LIMIT, START, ManualClock, Mine, Worker, history_of, kinds, new_run, signal, step
from tests.contract.places import Place


def step_failed(command: int) -> NewRecord:
    return NewRecord(RecordKind.STEP_FAILED, "work", command, b"digest", error=b"{}", attempt=3)


async def fail(run: Mine, point: RetryPoint | None) -> None:
    record = NewRecord(RecordKind.FAILED, "flow", input=None if point is None else point.encoded(), error=b"{}")
    await run.write(ending=Finish(RunState.FAILED, record))


async def loaded(store: Store) -> Loaded:
    found = (await store.load(["order-1"]))["order-1"]
    assert found.damage is None
    return found


def told(records: Any) -> list[tuple[int, str, int | None]]:
    return [(record.position, str(record.kind), record.command) for record in records]


async def failed_once(worker: Worker) -> Mine:
    """started, step 0, step 1 failed, failed."""
    run = await worker.run("order-1")
    await run.write(step(0))
    await run.write(step_failed(1))
    await fail(run, RetryPoint(3))
    return run


async def test_a_retry_shares_what_came_before_the_failure_and_is_due(store: Store, worker: Worker, clock: ManualClock) -> None:
    await failed_once(worker)
    clock.advance(60)

    await store.retry("order-1")

    row = await store.run("order-1")
    assert row is not None
    assert (row.state, row.generation, row.wake_at, row.ended_at, row.issued) == (RunState.WAITING, 1, START + 60 * SECOND, None, 0)
    found = await loaded(store)
    assert told(found.records) == [(1, "started", None), (2, "step", 0)]
    assert found.row.key_generation == 0
    assert len(await worker.claim()) == 1


async def test_what_is_recorded_then_follows_what_is_shared(store: Store, worker: Worker) -> None:
    run = await failed_once(worker)
    await store.retry("order-1")
    await worker.claim()

    again = Change("order-1", 1, 2, run.at, [step(1)], ending=Finish(RunState.COMPLETED, NewRecord(RecordKind.COMPLETED, output=b"1")))
    await worker.commit(again)

    assert told((await loaded(store)).records) == [(1, "started", None), (2, "step", 0), (3, "step", 1), (4, "completed", None)]
    assert {number: kinds(records) for number, records in (await store.history("order-1")).items()} == {
        0: ["started", "step", "step_failed", "failed"],
        1: ["step", "completed"],
    }
    last = await store.last_record("order-1")
    assert last is not None
    assert last.kind is RecordKind.COMPLETED


async def test_results_and_signals_recorded_with_the_failure_are_kept_and_other_failures_and_timers_are_not(
    store: Store, worker: Worker, clock: ManualClock
) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "a"), LIMIT)
    clock.advance(5)
    due = (DueTimer(START + SECOND, 0),)
    await run.write(step_failed(0), step(1, b"2"), step_failed(2), reads_inbox=True, due=due)
    await fail(run, RetryPoint(2))

    await store.retry("order-1")

    assert told((await loaded(store)).records) == [(1, "started", None), (2, "step", 1), (3, "signal", None)]


async def test_a_retry_of_a_retry_shares_with_both(store: Store, worker: Worker) -> None:
    run = await failed_once(worker)
    await store.retry("order-1")
    await worker.claim()
    await worker.commit(Change("order-1", 1, 2, run.at, [step(1), step_failed(2)]))
    again = NewRecord(RecordKind.FAILED, "flow", input=RetryPoint(4).encoded(), error=b"{}")
    await worker.commit(Change("order-1", 1, 4, run.at, [], ending=Finish(RunState.FAILED, again)))

    await store.retry("order-1")

    assert told((await loaded(store)).records) == [(1, "started", None), (2, "step", 0), (3, "step", 1)]
    row = await store.run("order-1")
    assert row is not None
    assert row.generation == 2


async def test_a_retry_from_within_what_is_shared_leaves_the_later_part_out(store: Store, worker: Worker) -> None:
    run = await failed_once(worker)
    await store.retry("order-1")
    await worker.claim()
    again = NewRecord(RecordKind.FAILED, "flow", input=RetryPoint(2).encoded(), error=b"{}")
    await worker.commit(Change("order-1", 1, 2, run.at, [], ending=Finish(RunState.FAILED, again)))

    await store.retry("order-1")

    assert told((await loaded(store)).records) == [(1, "started", None), (2, "step", 0)]  # a result is kept, wherever it stands


async def test_tries_are_counted_anew_and_intents_are_remembered(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    tries = AttemptFailed(0, "work", b"digest", 4, START, START + SECOND, b"{}")
    await run.write(failures=[tries], intents=[Intent(1, "once", b"digest")])
    await fail(run, RetryPoint(2))

    await store.retry("order-1")

    (left,) = await store.attempts("order-1")
    assert (left.command, left.name, left.intent) == (1, "once", "worker-1")


async def test_a_retry_that_is_repeated_opens_one_generation(store: Store, worker: Worker) -> None:
    await failed_once(worker)
    await store.retry("order-1")
    await store.retry("order-1")
    await worker.claim()
    await store.retry("order-1")

    row = await store.run("order-1")
    assert row is not None
    assert row.generation == 1


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        (RetryPoint(None, "compensations were issued"), "compensations were issued; start a new run"),
        (None, "not recorded where it failed; start a new run"),
    ],
)
async def test_a_run_that_cannot_be_retried_says_why_and_stays_as_it_is(
    store: Store, worker: Worker, point: RetryPoint | None, reason: str
) -> None:
    run = await worker.run("order-1")
    await fail(run, point)
    before = await store.run("order-1")

    with pytest.raises(NotRetryable, match=reason):
        await store.retry("order-1")

    assert await store.run("order-1") == before


async def test_only_a_failed_run_can_be_retried(store: Store, worker: Worker) -> None:
    await store.start(new_run("order-1"))
    with pytest.raises(NotRetryable, match="is pending: only a failed run"):
        await store.retry("order-1")
    run = await worker.run("order-2")
    with pytest.raises(NotRetryable, match="is running"):
        await store.retry("order-2")
    await run.finish()
    with pytest.raises(NotRetryable, match="is completed"):
        await store.retry("order-2")


async def test_signals_come_to_a_retried_run_and_the_keys_it_took_before_stay_taken(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "a", key="k"), LIMIT)
    await run.write(step_failed(0), reads_inbox=True)
    await fail(run, RetryPoint(2))
    await store.retry("order-1")

    await store.send(signal("order-1", "b", key="k"), LIMIT)
    await store.send(signal("order-1", "c", key="l"), LIMIT)

    await worker.claim()
    (written,) = (await worker.commit(Change("order-1", 1, 2, run.at, [], reads_inbox=True))).written
    assert kinds(written.records) == ["signal"]


# ── continue ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_next_generation_begins_anew_with_its_own_input_and_what_is_carried(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(step(0))
    await store.send(signal("order-1", "a"), LIMIT)
    await store.cancel("order-1", SECOND)
    carried = NewRecord(RecordKind.SIGNAL, "paid", output=b"7")

    await run.write(ending=Continue(NewRecord(RecordKind.CONTINUED, "flow"), b'{"n":2}', (carried,)))

    found = await loaded(store)
    assert told(found.records) == [(1, "started", None), (2, "signal", None)]
    assert (found.row.input, found.row.generation, found.row.key_generation) == (b'{"n":2}', 1, 1)
    assert await store.wanted("order-1") == ["cancel"]
    assert len(await worker.claim()) == 1
    (written,) = (await worker.commit(Change("order-1", 1, 2, run.at, [], reads_inbox=True))).written
    assert kinds(written.records) == ["signal", "cancel"]
    assert kinds(await history_of(store, "order-1")) == ["started", "step", "continued", "started", "signal", "signal", "cancel"]


async def test_a_retry_of_a_later_generation_keeps_its_input_and_keys(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(ending=Continue(NewRecord(RecordKind.CONTINUED, "flow"), b'{"n":2}'))
    await worker.claim()
    ended = NewRecord(RecordKind.FAILED, "flow", input=RetryPoint(2).encoded(), error=b"{}")
    await worker.commit(Change("order-1", 1, 1, run.at, [], ending=Finish(RunState.FAILED, ended)))

    await store.retry("order-1")

    found = await loaded(store)
    assert (found.row.input, found.row.generation, found.row.key_generation) == (b'{"n":2}', 2, 1)
    assert told(found.records) == [(1, "started", None)]


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("damage", "told_as"),
    [
        ("update generations set base_position = 1", "generation 1 is damaged"),
        ("delete from generations", "nothing is known of its generation 1"),
        ("delete from history where generation = 0 and position = 2", "record 2 is missing"),
    ],
)
async def test_a_generation_that_is_damaged_is_told(shared: Place, damage: str, told_as: str) -> None:
    store = await shared.open()
    worker = await Worker(store, "worker-1").register()
    await failed_once(worker)
    await store.retry("order-1")

    shared.execute(damage)

    found = (await store.load(["order-1"]))["order-1"]
    assert found.damage is not None
    assert told_as in found.damage
    assert list(found.records) == []
    if "generations" in damage:
        with pytest.raises((CorruptedHistory, NotRetryable)):
            await store.retry("order-1")


def test_a_point_of_retry_reads_back_as_it_was_written() -> None:
    for point in (RetryPoint(7), RetryPoint(None, "why not")):
        assert retry_point_of(point.encoded()) == point
    for nothing in (None, b"", b"null", b"{", b'{"retry_from": "x"}'):
        assert retry_point_of(nothing) is None
