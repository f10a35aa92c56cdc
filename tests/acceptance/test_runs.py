"""Runs: results, status in words, notes, histories and lists."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from perdure import Retry, receive, set_status, sleep_until, step, workflow
from perdure.errors import BadInput, RunFailed, RunNotFound
from tests.acceptance.harness import Stage


@dataclass
class Order:
    id: UUID
    total: Decimal
    placed_at: datetime
    lines: dict[str, int]
    tags: set[str]
    within: timedelta | None = None


ORDER = Order(UUID(int=7), Decimal("19.90"), datetime(2026, 3, 29, 2, 30, tzinfo=UTC), {"book": 2}, {"gift"}, timedelta(days=2))


@step
async def check(order: Order) -> Order:
    return order


@workflow
async def fulfil(order: Order) -> Order:
    assert isinstance(order, Order)
    return await check(order)


@workflow
async def hear() -> str:
    return await receive("word", str)


# ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_arguments_and_results_come_back_as_the_types_that_the_hints_name(stage: Stage) -> None:
    engine = await stage.engine(fulfil)
    assert await (await engine.start(fulfil, ORDER)).result(30) == ORDER


async def test_whoever_does_not_know_the_workflow_gets_its_result_as_plain_json(stage: Stage) -> None:
    engine = await stage.engine(fulfil)
    run = await engine.start(fulfil, ORDER)
    client = await stage.client()

    result = await client.run(run.id).result(30)
    assert result["total"] == "19.90"
    assert result["lines"] == {"book": 2}


async def test_a_result_that_is_not_there_in_time_is_a_timeout_error_that_changes_nothing(stage: Stage) -> None:
    engine = await stage.engine(hear)
    run = await engine.start(hear, id="order-1")

    with pytest.raises(TimeoutError, match=r"run 'order-1' has not ended within 0\.01 s; it goes on, ask again"):
        await run.result(0.01)
    await run.signal("word", "hello")
    assert await run.result(timedelta(seconds=10)) == "hello"


async def test_the_error_of_a_failed_run_is_its_cause_also_in_another_process(stage: Stage) -> None:
    @workflow
    async def fail() -> None:
        raise LookupError("no such order")

    engine = await stage.engine(fail)
    run = await engine.start(fail, id="order-1")
    for one in (run, (await stage.client()).run("order-1")):
        with pytest.raises(RunFailed, match="run 'order-1' of workflow 'fail' failed: LookupError: no such order") as failed:
            await one.result(30)
        assert type(failed.value.__cause__) is LookupError

    status = await run.status()
    assert status.state == "failed"
    assert status.error["type"] == "builtins.LookupError"
    assert status.error["message"] == "no such order"
    assert "raise LookupError" in status.error["traceback"]


async def test_many_who_wait_for_one_result_all_get_it(stage: Stage) -> None:
    engine = await stage.engine(hear)
    run = await engine.start(hear)
    client = await stage.client()
    waiting = [asyncio.create_task(one.run(run.id).result(30)) for one in [engine, client] * 5]
    await asyncio.sleep(0)
    await run.signal("word", "hello")

    assert await asyncio.gather(*waiting) == ["hello"] * 10


async def test_asking_for_a_run_that_does_not_exist_says_so(stage: Stage) -> None:
    engine = await stage.engine(hear)
    nobody = engine.run("nobody")

    for asked in (nobody.result(30), nobody.status(), nobody.history(), nobody.resume(), nobody.signal("word")):
        with pytest.raises(RunNotFound, match="no run 'nobody'"):
            await asked


# ── status ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def waits_of(stage: Stage, flow) -> list[dict]:
    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    return (await run.status()).waiting_for


async def test_the_status_of_a_timer_says_until_when(stage: Stage) -> None:
    @workflow
    async def flow() -> None:
        await sleep_until(datetime(2126, 5, 17, 12, 30, tzinfo=UTC))

    (wait,) = await waits_of(stage, flow)
    assert wait["kind"] == "timer"
    assert wait["text"] == "timer until 2126-05-17 12:30:00 UTC"
    assert datetime.fromisoformat(wait["until"]) == datetime(2126, 5, 17, 12, 30, tzinfo=UTC)


async def test_the_status_of_a_wait_for_signals_says_which(stage: Stage) -> None:
    @workflow
    async def flow() -> None:
        await asyncio.gather(receive("word"), receive({"paid": int, "refused": str}))

    assert await waits_of(stage, flow) == [
        {"kind": "signal", "text": "signal 'word'", "topics": ["word"]},
        {"kind": "signal", "text": "signal 'paid' or 'refused'", "topics": ["paid", "refused"]},
    ]


async def test_the_status_of_a_step_in_back_off_says_when_it_is_tried_again(stage: Stage) -> None:
    @step(retry=Retry(initial=3600, jitter=0))
    async def ship() -> None:
        raise OSError("no courier")

    @workflow
    async def flow() -> None:
        await ship()

    (wait,) = await waits_of(stage, flow)
    assert wait["kind"] == "retry"
    assert wait["text"].startswith("step ship to be tried again at ")
    assert wait["text"].endswith(" UTC; failed attempts: 1")
    assert (wait["step"], wait["failures"]) == ("ship", 1)


async def test_the_status_of_a_short_back_off_in_memory_says_when_it_is_tried_again(stage: Stage) -> None:
    may_end = asyncio.Event()

    @step(retry=Retry(initial=1.9, jitter=0))
    async def ship() -> None:
        if not may_end.is_set():
            raise OSError("no courier")

    @workflow
    async def flow() -> str:
        await ship()
        return "shipped"

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: stage.sql("select 1 from attempts"))
    status = await run.status()
    assert status.state == "running"
    assert [(wait["kind"], wait["step"], wait["failures"]) for wait in status.waiting_for] == [("retry", "ship", 1)]
    may_end.set()
    stage.skip(2)
    assert await run.result(30) == "shipped"


async def test_the_status_of_a_timeout_and_a_signal_shows_both(stage: Stage) -> None:
    @workflow
    async def flow() -> None:
        await receive("paid", timeout=48 * 3600)

    assert [wait["kind"] for wait in await waits_of(stage, flow)] == ["timer", "signal"]


async def test_a_status_shows_state_input_and_times(stage: Stage) -> None:
    engine = await stage.engine(fulfil)
    run = await engine.start(fulfil, ORDER, id="order-1")
    await run.result(30)
    status = await run.status()

    assert (status.id, status.workflow, status.state) == ("order-1", "fulfil", "completed")
    assert status.input["order"]["lines"] == {"book": 2}
    assert status.created_at.tzinfo is UTC
    assert status.created_at <= status.ended_at
    assert status.waiting_for == []
    assert status.error is None


async def test_a_run_that_waits_for_a_worker_is_pending_and_says_so(stage: Stage) -> None:
    engine = await stage.engine()
    run = await engine.start(hear)

    status = await run.status()
    assert status.state == "pending"
    assert status.waiting_for[0]["text"] == "a worker that knows workflow 'hear'; no live worker does"


async def test_a_note_is_seen_by_others_while_a_long_step_runs(stage: Stage) -> None:
    may_end = asyncio.Event()

    @step
    async def long() -> None:
        await may_end.wait()

    @workflow
    async def flow() -> None:
        set_status({"at": "packing", "boxes": 3})
        await long()
        set_status("done")

    engine = await stage.engine(flow)
    run = (await stage.client()).run((await engine.start(flow)).id)

    async def note() -> object:
        return (await run.status()).note

    await stage.until(note)
    assert await note() == {"at": "packing", "boxes": 3}
    assert (await run.status()).state == "running"
    may_end.set()
    await run.result(30)
    assert await note() == "done"


async def test_a_note_is_kept_while_the_run_is_parked_and_after_a_death(stage: Stage) -> None:
    @workflow
    async def flow() -> None:
        set_status("waiting for the word")
        await receive("word")
        await receive("word")

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    assert (await run.status()).note == "waiting for the word"
    await run.signal("word")
    await stage.until(lambda: stage.sql("select 1 from history where kind = 'signal'"))
    await stage.kill(engine)

    again = await stage.engine(flow)
    assert (await again.run(run.id).status()).note == "waiting for the word"


# ── histories ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_history_shows_each_record_with_kind_name_input_output_error_and_attempt(stage: Stage) -> None:
    tries = 0

    @step(retry=Retry(initial=0, jitter=0))
    async def double(number: int) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError("away")
        return 2 * number

    @step
    async def refuse(name: str) -> None:
        raise ValueError(name)

    @workflow
    async def flow() -> str:
        await double(21)
        await asyncio.sleep(0.001)
        try:
            await refuse("book")
        except ValueError:
            return await receive("word", str)
        return "never"

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: stage.sql("select 1 from history where kind = 'step_failed'"))
    await run.signal("word", "hello")
    await run.result(30)
    history = await run.history()

    assert [(one.position, one.kind, one.name, one.input, one.output, one.attempt) for one in history] == [
        (1, "started", "flow", None, None, 0),
        (2, "step", "double", {"number": 21}, 42, 2),
        (3, "timer", "", None, None, 0),
        (4, "step_failed", "refuse", {"name": "book"}, None, 1),
        (5, "signal", "word", None, "hello", 0),
        (6, "completed", "flow", None, "hello", 0),
    ]
    assert [one.error and one.error["type"] for one in history] == [None, None, None, "builtins.ValueError", None, None]
    assert all(one.at.tzinfo is UTC for one in history)


# ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_runs_are_listed_newest_first_page_by_page_without_gaps_or_repeats(stage: Stage) -> None:
    engine = await stage.engine(hear)
    for number in range(25):
        await engine.start(hear, id=f"order-{number:02}")

    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = await engine.runs(limit=10, cursor=cursor)
        seen += [run.id for run in page.runs]
        cursor, pages = page.cursor, pages + 1

    assert seen == [f"order-{number:02}" for number in reversed(range(25))]
    assert pages == 3


async def test_a_page_stays_right_although_new_runs_are_started_meanwhile(stage: Stage) -> None:
    engine = await stage.engine()
    for number in range(4):
        await engine.start("order", id=f"order-{number}")
    first = await engine.runs(limit=2)
    await engine.start("order", id="order-9")
    second = await engine.runs(limit=2, cursor=first.cursor)

    assert [run.id for run in first.runs + second.runs] == ["order-3", "order-2", "order-1", "order-0"]


async def test_runs_started_in_the_same_microsecond_are_all_listed(stage: Stage) -> None:
    engine = await stage.engine()
    for number in range(6):
        await engine.start("order", id=f"order-{number}")
    stage.sql("update runs set created_at = 1000000")

    first = await engine.runs(limit=4)
    second = await engine.runs(limit=4, cursor=first.cursor)
    assert sorted(run.id for run in first.runs + second.runs) == [f"order-{number}" for number in range(6)]
    assert second.cursor is None


async def test_lists_can_be_narrowed_by_workflow_and_state(stage: Stage) -> None:
    @workflow
    async def quick() -> None:
        set_status("quick")

    engine = await stage.engine(hear, quick)
    await engine.start(hear, id="hearing")
    await (await engine.start(quick, id="done")).result(30)

    assert [run.id for run in (await engine.runs(workflow="hear")).runs] == ["hearing"]
    (summary,) = (await engine.runs(status="completed")).runs
    assert (summary.id, summary.workflow, summary.status, summary.note) == ("done", "quick", "completed", "quick")
    assert summary.ended_at >= summary.created_at
    assert (await engine.runs(workflow="nobody")).runs == []


async def test_a_list_refuses_what_makes_no_sense(stage: Stage) -> None:
    engine = await stage.engine()

    with pytest.raises(BadInput, match="status must be one of pending, running, .*, not 'sleeping'"):
        await engine.runs(status="sleeping")
    with pytest.raises(BadInput, match="limit must be a whole number between 1 and 1000, not 0"):
        await engine.runs(limit=0)
    with pytest.raises(BadInput, match="no cursor of a page: 'yesterday'"):
        await engine.runs(cursor="yesterday")
