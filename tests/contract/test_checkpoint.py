"""What a checkpoint writes: all of it, at one time, or nothing."""

import asyncio
from collections.abc import Callable

import pytest

from perdure.clock import SECOND
from perdure.model.records import NewRecord, Record, RecordKind
from perdure.model.states import RunState
from perdure.store.endings import Finish, Park, Quarantine, Release
from perdure.store.protocol import AttemptFailed, BadItem, Change, Intent, Store
from tests.contract.acting import LIMIT, START, ManualClock, Mine, Worker, history_of, kinds, signal, step

FULL = NewRecord(RecordKind.STEP_FAILED, "charge", 7, b"digest", b"input", b"output", b"error", 3)


async def test_a_record_comes_back_as_it_was_written(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")

    (record,) = await run.write(FULL)

    assert record == Record(2, START, RecordKind.STEP_FAILED, "charge", 7, b"digest", b"input", b"output", b"error", 3)
    assert (await history_of(store, "order-1"))[1] == record
    assert await store.last_record("order-1") == record


async def test_an_absent_payload_is_not_an_empty_one(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(NewRecord(RecordKind.STEP, "a", 0, None, None, b""), NewRecord(RecordKind.STEP, "b", 1, b"", b"", None))

    _, first, second = await history_of(store, "order-1")

    assert (first.digest, first.input, first.output) == (None, None, b"")
    assert (second.digest, second.input, second.output) == (b"", b"", None)


async def test_records_of_many_runs_get_one_time_and_positions_of_their_own(worker: Worker, clock: ManualClock) -> None:
    runs = [await worker.run(f"order-{number}") for number in range(5)]
    clock.advance(7)

    committed = await worker.commit(*(run.change(step(0), step(1)) for run in runs))

    assert committed.at == START + 7 * SECOND
    assert [written.run_id for written in committed.written] == [run.id for run in runs]
    assert [[record.position for record in written.records] for written in committed.written] == [[2, 3]] * 5
    assert {record.at for written in committed.written for record in written.records} == {committed.at}


async def test_no_record_is_earlier_than_the_one_before_it_when_the_clock_goes_back(worker: Worker, clock: ManualClock) -> None:
    run = await worker.run("order-1")
    clock.advance(100)
    (first,) = await run.write(step(0))
    clock.jump(-50)

    (second,) = await run.write(step(1))

    assert first.at == second.at == START + 100 * SECOND


async def test_a_position_that_is_taken_is_refused_and_never_overwritten(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(step(0, b"true"))
    run.position -= 1

    with pytest.raises(BadItem) as refused:
        await run.write(step(0, b"false"))

    assert refused.value.run_id == "order-1"
    assert (await history_of(store, "order-1"))[1].output == b"true"


BAD: dict[str, Callable[[Mine], Change]] = {
    "text that is no Unicode": lambda run: run.change(step(name="\ud800")),
    "a number that does not fit": lambda run: run.change(step(command=2**70)),
    "a value of another type": lambda run: run.change(NewRecord(RecordKind.STEP, "work", 0, output="text")),  # type: ignore[arg-type]
    "a position that is taken": lambda run: Change(run.id, 0, 0, run.at, [step()]),
    "a note of another type": lambda run: run.change(note=3),
    "the end of a run that is not mine": lambda run: Change("elsewhere", 0, 1, START, ending=Release()),
    "an attempt without a name": lambda run: run.change(failures=[AttemptFailed(1, None, b"d", 1, 1, 1, b"e")]),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_item_is_named_and_nothing_of_the_batch_is_written(store: Store, worker: Worker, bad: str) -> None:
    one, broken, two = [await worker.run(run_id) for run_id in ("one", "broken", "two")]
    change = BAD[bad](broken)
    before = await store.run("broken")

    with pytest.raises(BadItem) as refused:
        await worker.commit(one.change(step()), change, two.change(step()))

    assert refused.value.run_id == change.run_id
    assert [kinds(await history_of(store, run_id)) for run_id in ("one", "broken", "two")] == [["started"]] * 3
    assert await store.run("broken") == before
    assert await store.checkpoint_of("worker-1") == worker.number


async def test_without_its_bad_item_the_batch_is_committed_under_the_same_number(store: Store, worker: Worker) -> None:
    one, broken = await worker.run("one"), await worker.run("broken")
    with pytest.raises(BadItem):
        await worker.commit(one.change(step()), broken.change(step(name="\ud800")))

    await worker.commit(one.change(step()))

    assert kinds(await history_of(store, "one")) == ["started", "step"]


async def test_a_bad_item_disturbs_nobody_who_asked_at_the_same_moment(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    answers = await asyncio.gather(
        store.send(signal("order-1", "s1"), LIMIT),
        worker.commit(run.change(step(name="\ud800"))),
        store.send(signal("order-1", "s2"), LIMIT),
        return_exceptions=True,
    )

    assert [type(answer) for answer in answers] == [type(None), BadItem, type(None)]
    assert len(await run.write(reads_inbox=True)) == 2


@pytest.mark.parametrize("ending", [Park(None, b"[]"), Release(), Quarantine(b"e"), Finish(RunState.COMPLETED, step()), None])
async def test_a_run_that_moved_on_takes_nothing_from_its_old_owner(
    store: Store, ending: Park | Release | Quarantine | Finish | None
) -> None:
    old, new = await Worker(store, "old").register(), await Worker(store, "new").register()
    run = await old.run("order-1")
    await run.write(ending=Release())
    await new.claim()
    before = await store.run("order-1")

    with pytest.raises(BadItem, match="another worker"):
        await old.commit(run.change(issued=5, ending=ending))

    assert await store.run("order-1") == before


# ── notes, commands issued ───────────────────────────────────────────────────────────────────────────────────────────


async def test_notes_and_the_number_of_commands_are_kept_until_changed(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(issued=3, note=b'"paid"')
    await run.write(step())

    row = await store.run("order-1")

    assert row is not None
    assert (row.issued, row.note) == (3, b'"paid"')
    await run.write(issued=4)
    row = await store.run("order-1")
    assert row is not None
    assert (row.issued, row.note) == (4, b'"paid"')


# ── attempts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

FAILED = AttemptFailed(4, "charge", b"digest", 1, START, START + SECOND, b"timeout")


async def test_a_failed_attempt_is_kept_with_its_count_and_next_try(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(failures=[FAILED])
    await run.write(failures=[AttemptFailed(4, "charge", b"digest", 2, START, START + 9 * SECOND, b"again")])

    (attempt,) = await store.attempts("order-1")

    assert (attempt.command, attempt.name, attempt.digest, attempt.failures) == (4, "charge", b"digest", 2)
    assert (attempt.began_at, attempt.next_at, attempt.error, attempt.intent) == (START, START + 9 * SECOND, b"again", None)
    assert (await store.load(["order-1"]))["order-1"].attempts == [attempt]


async def test_a_settled_command_leaves_no_attempt_even_if_it_failed_in_the_same_change(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(failures=[FAILED, AttemptFailed(5, "other", b"d", 1, START, START, b"e")])

    await run.write(step(4), failures=[FAILED], settled=[4])

    assert [attempt.command for attempt in await store.attempts("order-1")] == [5]


async def test_an_intent_names_the_incarnation_that_was_about_to_act(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(intents=[Intent(4, "charge", b"digest")], issued=5)

    (attempt,) = await store.attempts("order-1")

    assert (attempt.command, attempt.name, attempt.failures, attempt.intent) == (4, "charge", 0, "worker-1")
    assert (attempt.next_at, attempt.error) == (None, None)


async def test_an_intent_keeps_the_failures_before_it_and_a_failure_ends_the_intent(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(failures=[FAILED])
    await run.write(intents=[Intent(4, "charge", b"digest")])
    (intended,) = await store.attempts("order-1")
    await run.write(failures=[FAILED])
    (failed,) = await store.attempts("order-1")

    assert (intended.failures, intended.intent) == (1, "worker-1")
    assert failed.intent is None


# ── how a run is given up ────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_parked_run_belongs_to_nobody_and_says_what_it_waits_for(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")

    (written,) = (await worker.commit(run.change(issued=2, ending=Park(START + 60 * SECOND, b'["timer"]')))).written

    assert (written.records, written.has_left, written.has_more) == ([], True, False)
    row = await store.run("order-1")
    assert row is not None
    assert (row.state, row.owner, row.wake_at) == (RunState.WAITING, None, START + 60 * SECOND)
    assert (row.waiting_for, row.issued) == (b'["timer"]', 2)


async def test_a_run_parked_until_a_signal_is_never_due(store: Store, worker: Worker, clock: ManualClock) -> None:
    run = await worker.run("order-1")
    await run.park(None)
    clock.advance(10**9)

    assert await worker.claim() == []
    assert await store.next_wake(["flow"]) is None


async def test_a_run_is_not_parked_by_a_change_that_records_something(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")

    (written,) = (await worker.commit(run.change(step(), issued=9, ending=Park(None, b"[]")))).written

    assert not written.has_left
    row = await store.run("order-1")
    assert row is not None
    assert (row.state, row.owner, row.issued) == (RunState.RUNNING, "worker-1", 9)
    assert len(await history_of(store, "order-1")) == 2


async def test_a_run_can_be_parked_with_what_its_attempts_left(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")

    (written,) = (await worker.commit(run.change(failures=[FAILED], ending=Park(FAILED.next_at, b"[]")))).written

    assert written.has_left
    assert len(await store.attempts("order-1")) == 1


async def test_a_released_run_is_due_at_once_or_when_it_is_said(store: Store, worker: Worker, clock: ManualClock) -> None:
    now, later = await worker.run("now"), await worker.run("later")
    clock.advance(5)

    await worker.commit(now.change(step(), ending=Release()), later.change(ending=Release(START + 60 * SECOND)))

    rows = [await store.run("now"), await store.run("later")]
    assert [(row.state, row.owner, row.wake_at) for row in rows if row] == [
        (RunState.WAITING, None, START + 5 * SECOND),
        (RunState.WAITING, None, START + 60 * SECOND),
    ]
    assert kinds(await history_of(store, "now")) == ["started", "step"]


async def test_a_quarantined_run_keeps_why_and_is_claimed_by_nobody(store: Store, worker: Worker, clock: ManualClock) -> None:
    run = await worker.run("order-1")
    await run.write(step(), ending=Quarantine(b"the code does not match"))
    clock.advance(3600)

    row = await store.run("order-1")

    assert row is not None
    assert (row.state, row.owner, row.wake_at, row.error) == (RunState.QUARANTINED, None, None, b"the code does not match")
    assert await worker.claim() == []
    assert not await store.has_claimable(["flow"])


@pytest.mark.parametrize("state", [RunState.COMPLETED, RunState.FAILED])
async def test_a_finished_run_keeps_its_history_and_nothing_else(store: Store, worker: Worker, clock: ManualClock, state: RunState) -> None:
    run = await worker.run("order-1")
    await run.write(failures=[FAILED], note=b"1")
    await store.send(signal("order-1", "s1"), LIMIT)
    clock.advance(3)

    records = await run.write(step(), ending=Finish(state, NewRecord(RecordKind.FAILED, error=b"why")))

    row = await store.run("order-1")
    assert kinds(records) == ["step", "signal", "failed"]
    assert row is not None
    assert (row.state, row.owner, row.wake_at, row.ended_at) == (state, None, None, START + 3 * SECOND)
    assert (row.waiting_for, row.note) == (None, b"1")
    assert await store.attempts("order-1") == []
    assert await store.undelivered(10) == []
    assert await worker.claim() == []


async def test_a_finished_run_writes_nothing_more(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.finish()

    with pytest.raises(BadItem):
        await run.write(ending=Release())

    row = await store.run("order-1")
    assert row is not None
    assert row.state is RunState.COMPLETED
