"""M24, G13: a failed run goes on from where it failed, with everything recorded kept; or is refused, and says why."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import apsw
import pytest

from perdure import Retry, info, receive, step, workflow
from perdure.errors import NotRetryable, RunCancelled, RunFailed
from perdure.run import Run
from tests.acceptance.harness import CALM, Stage, kinds, names

is_broken = True
begun: list[tuple[str, int, str]] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    global is_broken
    is_broken = True
    begun.clear()


def note(name: str) -> None:
    me = info()
    assert me.attempt is not None
    assert me.idempotency_key is not None
    begun.append((name, me.attempt, me.idempotency_key.split("/", 1)[1]))


@step
async def work(name: str) -> str:
    note(name)
    return name


@step(retry=Retry(attempts=2, initial=0.01))
async def charge() -> str:
    note("charge")
    if is_broken:
        raise OSError("the bank is down")
    return "charged"


@workflow
async def order() -> list[str]:
    return [await work("reserve"), await charge(), await work("ship")]


async def fails(run: Run) -> BaseException:
    with pytest.raises(RunFailed) as failed:
        await run.result(30)
    assert failed.value.__cause__ is not None
    return failed.value.__cause__


def repair() -> None:
    global is_broken
    is_broken = False


async def test_a_failed_run_goes_on_from_the_failed_step_with_its_key_and_its_tries_counted_anew(stage: Stage) -> None:
    engine = await stage.engine(order)
    run = await engine.start(order, id="order-1")
    await fails(run)
    assert begun == [("reserve", 1, "order-1/0/0"), ("charge", 1, "order-1/0/1"), ("charge", 2, "order-1/0/1")]
    begun.clear()
    repair()

    await run.retry()

    assert await run.result(30) == ["reserve", "charged", "ship"]
    assert begun == [("charge", 1, "order-1/0/1"), ("ship", 1, "order-1/0/2")]
    assert (await run.status()).state == "completed"


async def test_retried_without_a_repair_it_fails_again_with_as_many_tries_and_can_be_retried_again(stage: Stage) -> None:
    engine = await stage.engine(order)
    run = await engine.start(order)
    for _ in range(3):
        await fails(run)
        await run.retry()
    await fails(run)
    repair()

    await run.retry()

    assert await run.result(30) == ["reserve", "charged", "ship"]
    assert [name for name, *_ in begun] == ["reserve", *["charge"] * 9, "ship"]


async def test_give_up_after_counts_from_the_retry(stage: Stage) -> None:
    @step(retry=Retry(initial=0.01, give_up_after=timedelta(minutes=1)))
    async def slow_bank() -> str:
        note("slow")
        if is_broken:
            stage.skip(61)
            raise OSError("down")
        return "up"

    @workflow
    async def flow() -> str:
        return await slow_bank()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_state(run, "failed")
    stage.skip(days=30)
    repair()

    await run.retry()

    assert await run.result(30) == "up"


async def test_results_of_parallel_steps_are_kept_and_only_what_failed_or_had_not_ended_runs_again(stage: Stage) -> None:
    gate = asyncio.Event()

    @step
    async def slow() -> str:
        note("slow")
        await gate.wait()
        return "slow"

    @workflow
    async def flow() -> list[str]:
        return await asyncio.gather(work("a"), charge(), slow(), work("b"))

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await fails(run)
    repair()
    gate.set()
    begun.clear()

    await run.retry()

    assert await run.result(30) == ["a", "charged", "slow", "b"]
    assert sorted(name for name, *_ in begun) == ["charge", "slow"]


async def test_after_a_bug_in_workflow_code_was_fixed_the_run_goes_on_with_everything_recorded(stage: Stage) -> None:
    @workflow
    async def flow() -> list[str]:
        first = await work("first")
        word = await receive("word")
        if is_broken:
            raise KeyError("a bug")
        return [first, word, await work("second")]

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await run.signal("word", "hello")
    assert isinstance(await fails(run), KeyError)
    repair()

    await run.retry()

    assert await run.result(30) == ["first", "hello", "second"]
    assert [name for name, *_ in begun] == ["first", "second"]


async def test_input_that_did_not_fit_the_code_fits_after_the_code_was_changed(stage: Stage) -> None:
    def versions(kind: Any) -> Any:
        async def flow(number: kind) -> Any:
            return number

        return workflow(name="flow")(flow)

    await stage.stop(await stage.engine(versions(int)))
    client = await stage.client()
    await client.start("flow", number="seven", id="order-1")
    old = await stage.engine(versions(int))
    await fails(old.run("order-1"))
    await stage.stop(old)

    new = await stage.engine(versions(str))
    await new.run("order-1").retry()

    assert await new.run("order-1").result(30) == "seven"


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


async def cleans_up() -> None:
    try:
        await charge()
    finally:
        await work("clean-up")


async def compensates() -> None:
    try:
        await charge()
    except OSError:
        await work("refund")
        raise


async def waits_before_it_raises() -> None:
    try:
        await charge()
    except OSError:
        await asyncio.sleep(0.01)
        raise


async def asks_somebody_before_it_raises() -> None:
    try:
        await charge()
    except OSError as error:
        raise RuntimeError("told by somebody") from await receive("word") or error


async def cleans_up_after_a_bug() -> None:
    try:
        raise KeyError("a bug")
    finally:
        await work("clean-up")


async def goes_on_in_another_branch() -> None:
    has_failed = asyncio.Event()

    async def fails() -> None:
        try:
            await charge()
        finally:
            has_failed.set()

    async def goes_on() -> None:
        await has_failed.wait()
        await work("later")

    results = await asyncio.gather(fails(), goes_on(), return_exceptions=True)
    for one in results:
        if isinstance(one, Exception):
            raise one


@pytest.mark.parametrize(
    "function",
    [cleans_up, compensates, waits_before_it_raises, asks_somebody_before_it_raises, cleans_up_after_a_bug, goes_on_in_another_branch],
    ids=lambda function: function.__name__,
)
async def test_a_run_that_asked_for_more_after_its_failure_is_not_retried(stage: Stage, function: Callable[..., Any]) -> None:
    flow = workflow(name="flow")(function)
    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await run.signal("word", None)
    await fails(run)
    before = stage.content()

    with pytest.raises(NotRetryable, match="asked for more .*; start a new run"):
        await run.retry()

    assert stage.content() == before


async def test_a_completed_and_a_cancelled_run_are_final(stage: Stage) -> None:
    repair()
    engine = await stage.engine(order)
    completed, cancelled = await engine.start(order), await engine.start(order)
    await completed.result(30)
    await stage.until_state(cancelled, "completed")

    @workflow
    async def waits() -> None:
        await receive("word")

    other = await stage.engine(waits)
    run = await other.start(waits)
    await run.cancel()
    with pytest.raises(RunCancelled):
        await run.result(30)

    for one in (completed, run):
        with pytest.raises(NotRetryable, match="only a failed run can be retried"):
            await one.retry()


async def test_a_run_that_has_not_failed_is_not_retried(stage: Stage) -> None:
    @workflow
    async def waits() -> None:
        await receive("word")

    engine = await stage.engine(waits)
    run = await engine.start(waits)

    with pytest.raises(NotRetryable, match="only a failed run"):
        await run.retry()


# ── steps whose outcome is not known ─────────────────────────────────────────────────────────────────────────────────


async def test_g4_an_at_most_once_step_that_was_under_way_when_its_run_failed_is_not_run_again(stage: Stage) -> None:
    gate = asyncio.Event()

    @step(at_most_once=True)
    async def send_letter() -> str:
        note("letter")
        await gate.wait()
        return "sent"

    @workflow
    async def flow() -> list[Any]:
        letter = asyncio.create_task(send_letter())
        await receive("go")
        charged = await charge()
        return [charged, *[type(one).__name__ for one in await asyncio.gather(letter, return_exceptions=True)]]

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: begun)
    await run.signal("go")
    await fails(run)
    repair()

    await run.retry()

    assert await run.result(30) == ["charged", "StepOutcomeUnknown"]
    assert [name for name, *_ in begun].count("letter") == 1


# ── deaths and doubles ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_retry_that_was_acknowledged_is_done_by_whoever_comes_next(stage: Stage) -> None:
    engine = await stage.engine(order)
    run = await engine.start(order, id="order-1")
    await fails(run)
    await stage.kill(engine)
    client = await stage.client()
    repair()

    await client.run("order-1").retry()
    await client.run("order-1").retry()

    again = await stage.engine(order)
    assert await again.run("order-1").result(30) == ["reserve", "charged", "ship"]
    assert (await again.run("order-1").status()).error is None


@pytest.mark.parametrize("record", range(3, 7))
async def test_with_a_death_after_every_record_a_retried_run_ends_as_an_undisturbed_one(stage: Stage, record: int) -> None:
    engine = await stage.engine(order)
    run = await engine.start(order, id="order-1")
    await fails(run)
    repair()
    begun.clear()
    written = 0

    async def has_records() -> bool:
        nonlocal written
        written = len([one for one in await run.history() if one.position >= 3]) - 2  # without the failure and its record
        return written >= record - 3

    await run.retry()
    await stage.until(has_records)
    await stage.kill(engine)

    again = await stage.engine(order)
    assert await again.run("order-1").result(30) == ["reserve", "charged", "ship"]
    assert await names(again.run("order-1")) == ["work", "charge", "work"]
    assert {key for _, _, key in begun} <= {"order-1/0/1", "order-1/0/2"}


async def test_many_clients_that_retry_at_once_are_one_retry(stage: Stage) -> None:
    engine = await stage.engine(order)
    run = await engine.start(order, id="order-1")
    await fails(run)
    repair()
    other = await stage.client()

    answers = await asyncio.gather(*(one.run("order-1").retry() for one in (engine, other) * 10), return_exceptions=True)

    assert await run.result(30) == ["reserve", "charged", "ship"]
    assert not [one for one in answers if one is not None]
    assert (await kinds(run)).count("completed") == 1
    assert stage.sql("select count(*) from generations") == [(1,)]


async def test_who_waits_is_told_no_end_that_was_taken_back_before_the_reply_to_its_commit_was_known(stage: Stage) -> None:
    go = asyncio.Event()

    @step
    async def hold() -> None:
        await go.wait()

    @workflow
    async def flow() -> str:
        await hold()
        if is_broken:
            raise ValueError("broken")
        return await receive("word", str)

    def send_with_the_step() -> None:
        """So that it is recorded with the end."""
        db = stage.commits.db
        assert db is not None
        if stage.commits.would_find("select 1 from history where kind = 'step'"):
            stage.commits.before = lambda: None
            db.execute(
                "insert into inbox (namespace, run_id, number, arrived_at, id, topic, payload) "
                "values ('default', 'order', 1, 1, 's1', 'word', ?)",
                (b'"hello"',),
            )

    def lose_the_reply() -> None:
        if stage.commits.would_find("select 1 from runs where state = 'failed'"):
            stage.commits.after = lambda: None
            raise apsw.IOError("the reply was lost")

    engine = await stage.engine(flow, settings=replace(CALM, poll_seconds=600.0))  # nobody looks by himself while it has failed
    other = await stage.client()
    real = engine._store.checkpoint_of

    async def checkpoint_of(incarnation: str) -> int | None:
        if stage.sql("select 1 from runs where state = 'failed'"):
            repair()
            await other.run("order").retry()
        return await real(incarnation)

    engine._store.checkpoint_of = checkpoint_of  # type: ignore[method-assign]
    stage.commits.before, stage.commits.after = send_with_the_step, lose_the_reply

    run = await engine.start(flow, id="order")
    await stage.until(lambda: "order" in engine.worker.live)
    waiting = asyncio.create_task(run.result(30))
    await stage.until(lambda: "order" in engine._watched)
    go.set()

    assert await waiting == "hello"
    assert await kinds(run) == ["started", "step", "signal", "failed", "signal", "completed"]
