"""Loading, showing and listing runs."""

import pytest

from perdure.clock import SECOND
from perdure.errors import RunEnded
from perdure.model.states import RunState
from perdure.store.endings import Quarantine, Release
from perdure.store.protocol import AttemptFailed, Store
from tests.contract.acting import LIMIT, START, ManualClock, Worker, history_of, kinds, new_run, signal, step
from tests.contract.places import Place


async def test_what_a_replay_needs_is_loaded_for_many_runs_and_missing_ones_are_left_out(store: Store, worker: Worker) -> None:
    one, two = await worker.run("one"), await worker.run("two")
    await one.write(step(0), step(1), failures=[AttemptFailed(2, "charge", b"d", 1, START, START, b"e")])

    loaded = await store.load(["one", "nobody", "two"])

    assert set(loaded) == {"one", "two"}
    assert kinds(loaded["one"].records) == ["started", "step", "step"]
    assert [attempt.command for attempt in loaded["one"].attempts] == [2]
    assert kinds(loaded["two"].records) == ["started"]
    assert loaded["one"].row == await store.run("one")
    assert (loaded["one"].damage, loaded["two"].damage) == (None, None)
    assert two.position == 1


async def test_what_was_acknowledged_is_seen_by_the_next_read(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    for number in range(50):
        await run.write(step(number))

        last = await store.last_record("order-1")

        assert last is not None
        assert last.command == number


async def test_of_a_run_that_does_not_exist_nothing_is_known(store: Store) -> None:
    assert await store.run("nobody") is None
    assert await store.last_record("nobody") is None
    assert await history_of(store, "nobody") == []
    assert await store.attempts("nobody") == []
    assert await store.load([]) == {}


async def test_a_run_that_never_ran_has_no_history(store: Store) -> None:
    await store.start(new_run("order-1"))

    assert await history_of(store, "order-1") == []
    assert await store.last_record("order-1") is None
    assert (await store.load(["order-1"]))["order-1"].records == []


# ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_list_shows_the_newest_first_without_payloads(store: Store, worker: Worker, clock: ManualClock) -> None:
    for number in range(3):
        run = await worker.run(f"order-{number}")
        clock.advance(1)
        if number == 1:
            await run.write(note=b'"half done"')
            await run.finish()

    listed = await store.runs()

    assert [summary.id for summary in listed] == ["order-2", "order-1", "order-0"]
    assert (listed[1].workflow, listed[1].state, listed[1].note) == ("flow", RunState.COMPLETED, b'"half done"')
    assert (listed[1].created_at, listed[1].ended_at) == (START + SECOND, START + 2 * SECOND)
    assert listed[0].ended_at is None


async def test_pages_of_a_list_meet_without_gap_or_repeat_even_where_times_are_equal(store: Store, clock: ManualClock) -> None:
    for number in range(25):
        await store.start(new_run(f"order-{number * 7 % 25:02}"))
        if number % 10 == 9:
            clock.advance(1)

    pages, before = [], None
    while page := await store.runs(limit=4, before=before):
        pages.append(page)
        before = (page[-1].created_at, page[-1].id)

    shown = [(summary.created_at, summary.id) for page in pages for summary in page]
    assert len(shown) == len(set(shown)) == 25
    assert shown == sorted(shown, reverse=True)


async def test_runs_started_between_two_pages_do_not_shift_the_next(store: Store, clock: ManualClock) -> None:
    for number in range(6):
        await store.start(new_run(f"order-{number}"))
        clock.advance(1)
    first = await store.runs(limit=3)
    await store.start(new_run("newest"))

    second = await store.runs(limit=3, before=(first[-1].created_at, first[-1].id))

    assert [summary.id for summary in second] == ["order-2", "order-1", "order-0"]


@pytest.mark.parametrize(
    ("workflow", "state", "expected"),
    [
        ("flow", None, {"running", "released"}),
        ("other", None, {"pending"}),
        (None, RunState.RUNNING, {"running"}),
        (None, RunState.PENDING, {"pending"}),
        ("flow", RunState.WAITING, {"released"}),
        ("other", RunState.WAITING, set()),
        (None, None, {"running", "released", "pending"}),
    ],
)
async def test_a_list_is_narrowed_by_workflow_and_state(
    store: Store, worker: Worker, workflow: str | None, state: RunState | None, expected: set[str]
) -> None:
    await worker.run("running")
    await (await worker.run("released")).write(ending=Release())
    await store.start(new_run("pending", "other"))

    listed = await store.runs(workflow=workflow, state=state)

    assert {summary.id for summary in listed} == expected


# ── resume ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_quarantined_run_that_is_resumed_is_due_at_once(store: Store, worker: Worker, clock: ManualClock) -> None:
    run = await worker.run("order-1")
    await run.write(step(), ending=Quarantine(b"why"))
    clock.advance(60)

    await store.resume("order-1")

    row = await store.run("order-1")
    assert row is not None
    assert (row.state, row.wake_at, row.error) == (RunState.WAITING, START + 60 * SECOND, None)
    (claimed,) = await worker.claim()
    assert claimed.row.id == "order-1"


async def test_resume_changes_nothing_of_a_run_that_is_not_quarantined(store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    running = await store.run("order-1")
    await store.resume("order-1")
    assert await store.run("order-1") == running
    await run.finish()

    ended = await store.run("order-1")

    with pytest.raises(RunEnded, match="nothing was changed"):
        await store.resume("order-1")
    assert await store.run("order-1") == ended


# ── namespaces ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_one_namespace_sees_nothing_of_another(shared: Place, store: Store, worker: Worker) -> None:
    run = await worker.run("order-1")
    await run.write(step(), failures=[AttemptFailed(2, "charge", b"d", 1, START, START, b"e")])
    await store.send(signal("order-1", "s1"), LIMIT)
    await store.start(new_run("order-2"))

    other = await shared.open("other")

    assert await other.run("order-1") is None
    assert await history_of(other, "order-1") == []
    assert await other.attempts("order-1") == []
    assert await other.runs() == []
    assert await other.undelivered(10) == []
    assert await other.workers() == []
    assert await other.next_wake(["flow"]) is None
    assert not await other.has_claimable(["flow"])
    assert await (await Worker(other, "worker-1").register()).claim() == []
    assert await store.checkpoint_of("worker-1") == worker.number
