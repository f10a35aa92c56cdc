"""What people want of a run: done at once where nobody owns it, a row for its owner otherwise; and how a checkpoint meets it."""

import json

import pytest

from perdure.clock import SECOND
from perdure.errors import NotRetryable, RunEnded, RunNotFound
from perdure.model.records import NewRecord, RecordKind
from perdure.model.states import RunState
from perdure.store.endings import Finish, Park, PutAside, Quarantine, Release
from perdure.store.protocol import DueTimer, Store, Written
from tests.contract.acting import LIMIT, START, ManualClock, Mine, Worker, history_of, kinds, new_run, signal, step
from tests.contract.places import Place

GRACE = 30 * SECOND
COMPLETED = Finish(RunState.COMPLETED, NewRecord(RecordKind.COMPLETED, "flow", output=b"1"))
FAILED = Finish(RunState.FAILED, NewRecord(RecordKind.FAILED, "flow", error=b'{"type": "OSError"}'))


async def state_of(store: Store, run_id: str = "order-1") -> RunState:
    row = await store.run(run_id)
    assert row is not None
    return row.state


async def written(run: Mine, **change: object) -> Written:
    (answer,) = (await run.worker.commit(run.change(**change))).written
    return answer


async def parked(worker: Worker) -> Mine:
    run = await worker.run("order-1")
    await run.park(START + 3600 * SECOND)
    return run


# ── cancel ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_run_that_has_not_begun_is_cancelled_at_once_and_never_claimed(store: Store, worker: Worker) -> None:
    await store.start(new_run("order-1"))

    await store.cancel("order-1", GRACE)

    assert await state_of(store) is RunState.CANCELLED
    assert kinds(await history_of(store, "order-1")) == ["cancel", "cancelled"]
    assert await worker.claim() == []


async def test_a_quarantined_run_is_cancelled_at_once_with_its_reason(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(step(), ending=Quarantine(b"why"))

    await store.cancel("order-1", GRACE)

    assert await state_of(store) is RunState.CANCELLED
    records = await history_of(store, "order-1")
    assert kinds(records) == ["started", "step", "cancel", "cancelled"]
    assert records[-1].error == b"why"
    assert await worker.claim() == []


async def test_a_waiting_run_that_is_to_be_cancelled_is_due_in_the_same_transaction(store: Store, worker: Worker) -> None:
    run = await parked(worker)

    await store.cancel("order-1", GRACE)

    assert await store.wanted("order-1") == ["cancel"]
    (claimed,) = await worker.claim()
    assert claimed.row.id == "order-1"
    (record,) = await run.write(reads_inbox=True)
    assert record.kind is RecordKind.CANCEL
    assert json.loads(record.input or b"") == {"grace_seconds": 30.0}
    assert await store.wanted("order-1") == []


async def test_a_paused_run_that_is_to_be_cancelled_goes_on_to_clean_up(store: Store, worker: Worker) -> None:
    run = await parked(worker)
    await store.pause("order-1")

    await store.cancel("order-1", GRACE)

    assert len(await worker.claim()) == 1
    assert kinds(await run.write(reads_inbox=True)) == ["cancel"]


async def test_of_a_run_that_is_owned_the_row_is_not_touched(store: Store, worker: Worker) -> None:
    await worker.run("order-1")
    before = await store.run("order-1")

    await store.cancel("order-1", GRACE)

    assert await store.run("order-1") == before
    assert await store.undelivered(10) == ["order-1"]


async def test_cancelled_twice_it_is_told_once_and_the_first_grace_counts(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.cancel("order-1", GRACE)
    await store.cancel("order-1", 9 * GRACE)

    (record,) = await run.write(reads_inbox=True)

    assert json.loads(record.input or b"")["grace_seconds"] == 30
    assert await run.write(reads_inbox=True) == []


async def test_cancelled_again_after_it_was_told_it_is_not_told_again(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.cancel("order-1", GRACE)
    assert kinds(await run.write(reads_inbox=True)) == ["cancel"]

    await store.cancel("order-1", GRACE)

    assert await store.wanted("order-1") == []
    assert await run.write(reads_inbox=True) == []
    with pytest.raises(NotRetryable, match="being cancelled"):
        await store.pause("order-1")
    await run.write(ending=Quarantine(b"why"))
    await store.cancel("order-1", GRACE)
    assert kinds(await history_of(store, "order-1")) == ["started", "cancel", "cancelled"]
    assert await state_of(store) is RunState.CANCELLED


async def test_signals_that_came_before_a_cancel_are_told_before_it_and_timers_after_it(
    store: Store, worker: Worker, clock: ManualClock
) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "a"), LIMIT)
    clock.jump(-60)  # the clock is set back: what came later still comes later
    await store.cancel("order-1", GRACE)
    clock.jump(60)
    clock.advance(5)
    await store.send(signal("order-1", "b"), LIMIT)

    records = await run.write(reads_inbox=True, due=(DueTimer(START + 1 * SECOND, 0),))

    assert kinds(records) == ["signal", "cancel", "timer", "signal"]


@pytest.mark.parametrize("ending", [COMPLETED, FAILED])
async def test_a_cancel_that_came_before_the_end_decides_how_the_run_ends(store: Store, worker: Worker, ending: Finish) -> None:
    run = await worker.run("order-1")
    await store.cancel("order-1", GRACE)

    records = await run.write(ending=ending)

    assert kinds(records) == ["cancel", "cancelled"]
    assert records[-1].error == ending.record.error
    assert await state_of(store) is RunState.CANCELLED
    assert await store.wanted("order-1") == []


async def test_a_failure_that_stands_is_not_hidden_by_a_cancel(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.cancel("order-1", GRACE)

    await run.write(ending=Finish(RunState.FAILED, FAILED.record, stands=True))

    assert await state_of(store) is RunState.FAILED
    assert await store.wanted("order-1") == []


async def test_a_cancel_that_came_before_a_quarantine_ends_the_run(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.cancel("order-1", GRACE)

    records = await run.write(ending=Quarantine(b"why"))

    assert kinds(records) == ["cancel", "cancelled"]
    assert await state_of(store) is RunState.CANCELLED


async def test_a_run_is_not_parked_over_a_cancel(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.cancel("order-1", GRACE)

    answer = await written(run, reads_inbox=True, ending=Park(None, b"[]"))

    assert (answer.has_left, kinds(answer.records)) == (False, ["cancel"])
    assert await state_of(store) is RunState.RUNNING


async def test_a_cancel_whose_wake_up_was_lost_is_found_by_the_sweep(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.cancel("order-1", GRACE)
    await run.write(ending=Release(wake_at=START + 3600 * SECOND))  # as if it had been released without a look at what is wanted
    assert await worker.claim() == []

    assert await store.wake_missed() == 1

    assert len(await worker.claim()) == 1


async def test_a_cancelled_run_takes_a_repeat_in_silence_and_refuses_the_rest(store: Store) -> None:
    await store.start(new_run("order-1"))
    await store.cancel("order-1", GRACE)
    ended = await store.run("order-1")

    await store.cancel("order-1", GRACE)

    for refused in (store.pause, store.resume):
        with pytest.raises(RunEnded):
            await refused("order-1")
    with pytest.raises(NotRetryable):
        await store.retry("order-1")
    assert await store.run("order-1") == ended


# ── pause and resume ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_paused_run_is_not_claimed_whatever_comes_and_goes_on_when_it_is_resumed(
    store: Store, worker: Worker, clock: ManualClock
) -> None:
    run = await worker.run("order-1")
    await run.park(START + SECOND)
    await store.pause("order-1")
    await store.send(signal("order-1", "a"), LIMIT)
    clock.advance(60)
    await store.wake_missed()
    assert await worker.claim() == []

    await store.resume("order-1")

    (claimed,) = await worker.claim()
    assert claimed.row.id == "order-1"
    assert kinds(await run.write(reads_inbox=True, due=(DueTimer(START + SECOND, 0),))) == ["signal", "timer"]


async def test_a_run_that_was_paused_before_it_began_begins_when_it_is_resumed(store: Store, worker: Worker) -> None:
    await store.start(new_run("order-1"))
    await store.pause("order-1")
    assert await worker.claim() == []

    await store.resume("order-1")

    (claimed,) = await worker.claim()
    assert claimed.started is not None


async def test_a_run_that_is_owned_is_paused_when_its_owner_gives_it_up(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.send(signal("order-1", "a"), LIMIT)
    await store.pause("order-1")

    asked = await written(run, reads_inbox=True)
    put_aside = await written(run, reads_inbox=True, ending=PutAside(b"[]"))

    assert (asked.records, asked.is_pausing) == ([], True)
    assert put_aside.has_left
    assert await state_of(store) is RunState.PAUSED
    assert await store.wanted("order-1") == []


@pytest.mark.parametrize("ending", [Park(None, b"[]"), Release()])
async def test_however_a_run_is_given_up_that_is_to_be_paused_it_is_paused(store: Store, worker: Worker, ending: Park | Release) -> None:
    run = await worker.run("order-1")
    await store.pause("order-1")

    await written(run, reads_inbox=True, ending=ending)

    assert await state_of(store) is RunState.PAUSED
    assert await worker.claim() == []


async def test_a_wish_to_pause_that_was_withdrawn_leaves_the_run_with_its_owner(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.pause("order-1")
    await store.resume("order-1")

    answer = await written(run, reads_inbox=True, ending=PutAside(b"[]"))

    assert (answer.has_left, answer.is_pausing) == (False, False)
    assert await state_of(store) is RunState.RUNNING


async def test_a_cancel_takes_the_place_of_a_wish_to_pause(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.pause("order-1")

    await store.cancel("order-1", GRACE)

    assert await store.wanted("order-1") == ["cancel"]
    with pytest.raises(NotRetryable, match="being cancelled"):
        await store.pause("order-1")
    assert kinds(await run.write(reads_inbox=True)) == ["cancel"]


async def test_a_run_that_ends_before_it_could_be_paused_has_ended(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.pause("order-1")

    await run.finish()

    assert await state_of(store) is RunState.COMPLETED
    assert await store.wanted("order-1") == []


async def test_a_quarantined_run_cannot_be_paused(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(ending=Quarantine(b"why"))

    with pytest.raises(NotRetryable, match="quarantined"):
        await store.pause("order-1")

    assert await state_of(store) is RunState.QUARANTINED


async def test_pausing_and_resuming_twice_is_as_good_as_once(store: Store, worker: Worker) -> None:
    await parked(worker)
    await store.pause("order-1")
    await store.pause("order-1")
    assert await state_of(store) is RunState.PAUSED

    await store.resume("order-1")
    await store.resume("order-1")

    assert await state_of(store) is RunState.WAITING


# ── whose run it is ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_wanted_of_a_run_that_does_not_exist_is_refused(store: Store) -> None:
    for refused in (store.pause, store.resume, store.retry, store.delete):
        with pytest.raises(RunNotFound, match="nobody"):
            await refused("nobody")
    with pytest.raises(RunNotFound, match="nobody"):
        await store.cancel("nobody", GRACE)


async def test_what_is_wanted_of_a_run_survives_its_owner(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await store.cancel("order-1", GRACE)
    await worker.dies()

    heir = await Worker(store, "heir").register()

    assert len(await heir.claim()) == 1
    inherited = Mine(heir, "order-1", run.at)
    assert kinds(await inherited.write(reads_inbox=True)) == ["cancel"]


async def test_runs_of_another_namespace_are_not_concerned(store: Store, shared: Place) -> None:
    elsewhere = await shared.open("elsewhere")
    await store.start(new_run("order-1"))
    await elsewhere.start(new_run("order-1"))

    await elsewhere.cancel("order-1", GRACE)

    assert await state_of(store) is RunState.PENDING
