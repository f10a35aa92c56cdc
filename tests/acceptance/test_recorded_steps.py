"""What is recorded of a step, or is about to be, is not run again: whatever timer, wish or stop comes in between."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest

from perdure import Retry, info, receive, step, workflow
from perdure.store.endings import Park
from tests.acceptance.harness import CALM, Stage, kinds

tries: list[int] = []


@pytest.fixture(autouse=True)
def _nothing_was_tried() -> None:
    tries.clear()


def keep_from_parking(stage: Stage, client: Any, run_id: str, clock_moves: float) -> None:
    """Once: a signal comes before the run is written as parked, and the clock is set forward meanwhile (the machine slept)."""
    is_done = False

    async def on_checkpoint(batch: Any) -> None:
        nonlocal is_done
        if not is_done and any(isinstance(change.ending, Park) for change in batch.changes):
            is_done = True
            await client.run(run_id).signal("hello")
            stage.clock.wall_moved += clock_moves

    stage.on_checkpoint = on_checkpoint


@pytest.mark.parametrize("at_most_once", [False, True])
async def test_the_timer_of_a_try_that_has_begun_meanwhile_begins_no_other(stage: Stage, at_most_once: bool) -> None:
    @step(at_most_once=at_most_once, retry=Retry(attempts=5, initial=3, jitter=0))
    async def flaky() -> str:
        tries.append(info().attempt or 0)
        if len(tries) == 1:
            raise OSError("refused, for certain")
        if at_most_once:
            await asyncio.Event().wait()
        return "done"

    @workflow
    async def flow() -> str:
        await flaky()
        return await receive("go", str)

    engine = await stage.engine(flow, settings=replace(CALM, sweep_seconds=1e6))
    client = await stage.client()
    keep_from_parking(stage, client, "order", clock_moves=3600)
    run = await engine.start(flow, id="order")
    await stage.until(lambda: len(tries) == 2)
    timers = [handle for handle in engine.worker.loop._scheduled if "_is_due" in repr(handle) and not handle.cancelled()]  # type: ignore[attr-defined]
    stage.skip(4)
    for _ in range(20):
        await asyncio.sleep(0)

    assert timers == []
    assert tries == [1, 2]
    assert (await kinds(run)).count("step") <= 1


async def test_a_step_that_ends_while_a_pause_is_withdrawn_is_not_begun_again(stage: Stage) -> None:
    end = asyncio.Event()
    answered = asyncio.Event()

    @step
    async def work() -> str:
        tries.append(1)
        await end.wait()
        return "done"

    @workflow
    async def flow() -> str:
        return await work()

    engine = await stage.engine(flow, settings=replace(CALM, sweep_seconds=1e6))
    run = await engine.start(flow)
    await stage.until(lambda: tries)
    await run.pause()
    await stage.until(lambda: engine.worker.live[run.id].is_pausing)

    async def the_step_ends_meanwhile(batch: Any) -> None:
        if not end.is_set() and batch.changes:
            end.set()
            await stage.until(lambda: engine.worker.live[run.id].records)
            answered.set()

    stage.on_checkpoint = the_step_ends_meanwhile
    await run.resume()
    engine.worker.signalled(run.id)
    await answered.wait()

    assert await run.result(30) == "done"
    assert tries == [1]
    assert await kinds(run) == ["started", "step", "completed"]


# ── a clean stop: what has certainly not begun is not unknown ────────────────────────────────────────────────────────

may_end = threading.Event()


@step(at_most_once=True)
def charge(number: int) -> int:
    tries.append(number)
    may_end.wait(60)
    return number


@workflow
async def charging(number: int) -> int:
    return await charge(number)


async def test_a_clean_stop_leaves_no_intent_of_a_step_that_waits_for_a_slot(stage: Stage) -> None:
    may_end.clear()
    engine = await stage.engine(charging, settings=replace(CALM, threads=1))
    await engine.start(charging, 1)
    await stage.until(lambda: tries)
    run = await engine.start(charging, 2)
    await stage.until(lambda: len(stage.sql("select 1 from attempts")) == 2)
    await stage.until(lambda: engine.worker.live[run.id].attempts)
    stopping = asyncio.create_task(stage.stop(engine))
    await stage.until(lambda: engine.worker._attempts._is_draining)
    may_end.set()
    await stopping

    assert tries == [1]
    assert stage.sql("select * from attempts") == []
    again = await stage.engine(charging)
    assert await again.run(run.id).result(30) == 2


async def test_a_clean_stop_writes_no_intent_that_it_will_not_follow(stage: Stage) -> None:
    may_end.set()
    engine = await stage.engine(charging)
    attempts, ready = engine.worker._attempts, asyncio.Event()
    real = attempts.begin

    def begin(run: Any, command: Any) -> None:
        real(run, command)
        ready.set()

    attempts.begin = begin
    run = await engine.start(charging, 2)
    await ready.wait()
    await stage.stop(engine)

    assert tries == []
    assert stage.sql("select * from attempts") == []
    again = await stage.engine(charging)
    assert await again.run(run.id).result(30) == 2


async def test_a_clean_stop_leaves_no_intent_of_a_step_that_was_put_off(stage: Stage) -> None:
    may_end.set()
    engine = await stage.engine(charging)
    was_intended = asyncio.Event()

    async def store_answers_after_the_lease(batch: Any) -> None:
        stage.clock.boot_moved += 60
        if any(change.intents for change in batch.changes):
            was_intended.set()

    stage.on_checkpoint = store_answers_after_the_lease
    run = await engine.start(charging, 2)
    await was_intended.wait()
    await stage.until(lambda: engine.worker._attempts._put_off)
    await stage.stop(engine)
    stage.on_checkpoint = lambda batch: None

    assert tries == []
    assert stage.sql("select * from attempts") == []
    again = await stage.engine(charging)
    assert await again.run(run.id).result(30) == 2


async def test_a_clean_stop_takes_an_intent_back_and_keeps_the_failures_that_were_counted(stage: Stage) -> None:
    @step(at_most_once=True, retry=Retry(attempts=5, initial=5, jitter=0))
    def refused(number: int) -> int:
        tries.append(info().attempt or 0)
        if len(tries) == 1:
            raise OSError("refused, for certain")
        return number

    @workflow
    async def flow(number: int) -> int:
        return await refused(number)

    may_end.clear()
    engine = await stage.engine(charging, flow, settings=replace(CALM, threads=1))
    run = await engine.start(flow, 2)
    await stage.until(lambda: stage.sql("select 1 from attempts where failures = 1"))
    began = len(tries)
    await engine.start(charging, 7)
    await stage.until(lambda: 7 in tries)
    await stage.until(lambda: stage.sql("select 1 from attempts where failures = 1 and intent is not null"), skipping=1)
    stopping = asyncio.create_task(stage.stop(engine))
    await stage.until(lambda: engine.worker._attempts._is_draining)
    may_end.set()
    await stopping

    assert len(tries) == began + 1
    assert stage.sql("select failures, intent from attempts") == [(1, None)]
    again = await stage.engine(charging, flow)
    assert await again.run(run.id).result(30) == 2
    assert tries[-1] == 2
