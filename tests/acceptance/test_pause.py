"""A paused run begins nothing: no step, no timer, no line of code; what comes for it is kept, and when it is resumed it goes on."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest

from perdure import Retry, receive, set_status, step, workflow
from perdure.errors import NotRetryable, RunCancelled
from perdure.run import Run
from tests.acceptance.harness import CALM, Stage, kinds, names

HOUR = 3600.0
begun: list[str] = []
gate = asyncio.Event()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    global gate
    begun.clear()
    gate = asyncio.Event()


@step
async def waits() -> str:
    """Until the test opens the gate."""
    begun.append("waits")
    await gate.wait()
    return "waited"


@step
async def work(name: str) -> str:
    begun.append(name)
    return name


@workflow
async def sleeps() -> str:
    await work("before")
    await asyncio.sleep(HOUR)
    return await work("after")


@workflow
async def collects() -> list[Any]:
    words: list[Any] = []
    while len(words) < 3:
        words.append(await receive("word"))
        set_status(words)
    return words


async def is_paused(stage: Stage, run: Run) -> None:
    status = await stage.until_state(run, "paused")
    assert status.waiting_for[0]["text"] == "somebody to resume it"


async def test_timers_of_a_paused_run_do_not_fire_and_are_due_when_it_is_resumed(stage: Stage) -> None:
    engine = await stage.engine(sleeps)
    run = await engine.start(sleeps)
    await stage.until_parked(engine, run)

    await run.pause()
    stage.skip(2 * HOUR)
    await stage.until_sweep()

    await is_paused(stage, run)
    assert begun == ["before"]
    await run.resume()
    assert await run.result(30) == "after"


async def test_a_run_that_is_resumed_before_its_time_goes_on_waiting_for_it(stage: Stage) -> None:
    engine = await stage.engine(sleeps)
    run = await engine.start(sleeps)
    await stage.until_parked(engine, run)
    await run.pause()
    stage.skip(HOUR / 2)

    await run.resume()
    await stage.until_waiting_for(run, "timer")

    assert begun == ["before"]
    stage.skip(HOUR / 2 + 1)
    assert await run.result(30) == "after"


async def test_signals_to_a_paused_run_are_kept_in_order_and_received_when_it_is_resumed(stage: Stage) -> None:
    engine = await stage.engine(collects)
    run = await engine.start(collects, id="order-1")
    await run.signal("word", 1, key="one")
    await stage.until_parked(engine, run)
    await run.pause()
    client = await stage.client()

    await client.run("order-1").signal("word", 2, key="two")
    await client.run("order-1").signal("word", 3, key="three")
    await client.run("order-1").signal("word", 3, key="three")
    await stage.until_sweep()

    await is_paused(stage, run)
    assert (await kinds(run)).count("signal") == 1
    await client.run("order-1").resume()
    assert await run.result(30) == [1, 2, 3]


async def test_a_run_that_has_not_begun_does_not_begin_while_it_is_paused(stage: Stage) -> None:
    await stage.stop(await stage.engine(sleeps))
    client = await stage.client()
    run = await client.start("sleeps", id="order-1")
    await run.pause()
    engine = await stage.engine(sleeps)
    await stage.until_sweep()
    assert begun == []

    await engine.run("order-1").resume()

    await stage.until(lambda: begun == ["before"])


# ── steps under way ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_steps_under_way_end_and_are_recorded_and_the_next_ones_do_not_begin(stage: Stage) -> None:
    threaded, in_thread = threading.Event(), threading.Event()

    @step
    def waits_in_thread() -> str:
        in_thread.set()
        threaded.wait(20)
        return "waited in a thread"

    @workflow
    async def flow() -> list[str]:
        both = await asyncio.gather(waits(), waits_in_thread())
        return [*both, await work("next")]

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: in_thread.is_set() and begun)

    await run.pause()
    await stage.until_wanted(run, "pause")
    gate.set()
    await stage.until(lambda: len(engine.worker._attempts.under_way) == 1)
    assert (await run.status()).state == "running"
    threaded.set()

    await is_paused(stage, run)
    assert sorted(await names(run)) == ["waits", "waits_in_thread"]
    assert begun == ["waits"]
    await run.resume()
    assert await run.result(30) == ["waited", "waited in a thread", "next"]
    assert begun == ["waits", "next"]


async def test_a_pause_that_is_withdrawn_before_the_step_has_ended_changes_nothing(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        await asyncio.gather(waits(), asyncio.sleep(1))
        return await work("next")

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: begun)
    await run.pause()
    await stage.until(lambda: engine.worker.live[run.id].is_pausing)

    await run.resume()
    await stage.until(lambda: not engine.worker.live[run.id].is_pausing)
    gate.set()
    stage.skip(2)

    assert await run.result(30) == "next"
    assert begun == ["waits", "next"]


async def test_a_step_whose_result_is_recorded_as_its_run_is_no_longer_to_be_paused_does_not_begin_again(stage: Stage) -> None:
    first = asyncio.Event()

    @step
    async def comes_first() -> None:
        await first.wait()

    @workflow
    async def flow() -> str:
        waiting = asyncio.create_task(waits())
        await comes_first()
        following = asyncio.create_task(work("held"))
        return f"{await waiting} {await following}"

    engine = await stage.engine(flow)
    run = await engine.start(flow, id="order-1")
    await stage.until(lambda: begun)
    await run.pause()
    live = engine.worker.live["order-1"]
    await stage.until(lambda: live.is_pausing)
    first.set()
    await stage.until(lambda: live.held)
    other = await stage.client()

    async def withdraw(batch: Any) -> None:
        for change in batch.changes:
            if any(record.name == "waits" for record in change.records):
                change.reads_inbox = True  # as it happens when a signal comes at the same moment
                await other.run("order-1").resume()

    stage.on_checkpoint = withdraw
    gate.set()

    assert await run.result(30) == "waited held"
    assert begun == ["waits", "held"]


async def test_a_step_that_fails_while_its_run_is_to_be_paused_is_tried_again_when_it_is_resumed(stage: Stage) -> None:
    @step(retry=Retry(initial=0.01))
    async def fails_once() -> str:
        begun.append("try")
        await gate.wait()
        if len(begun) == 1:
            raise OSError("down")
        return "up"

    @workflow
    async def flow() -> str:
        return await fails_once()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: begun)
    await run.pause()
    await stage.until_wanted(run, "pause")
    gate.set()
    await is_paused(stage, run)
    stage.skip(60)
    await stage.until_sweep()
    assert begun == ["try"]

    await run.resume()

    assert await run.result(30) == "up"
    assert begun == ["try", "try"]


async def test_an_at_most_once_step_that_had_no_slot_yet_is_not_taken_for_one_that_may_have_run(stage: Stage) -> None:
    @step
    async def holds_the_slot() -> None:
        begun.append("holds")
        await gate.wait()

    @step(at_most_once=True)
    async def once() -> str:
        begun.append("once")
        return "once"

    @workflow
    async def holder() -> None:
        await holds_the_slot()

    @workflow
    async def flow() -> str:
        return await once()

    engine = await stage.engine(holder, flow, settings=replace(CALM, attempts_at_once=1))
    await engine.start(holder)
    await stage.until(lambda: begun == ["holds"])
    run = await engine.start(flow)
    await stage.until(lambda: run.id in engine.worker.live and engine.worker.live[run.id].attempts)

    await run.pause()
    await is_paused(stage, run)
    gate.set()
    assert begun == ["holds"]
    await run.resume()

    assert await run.result(30) == "once"


# ── who else is there ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_paused_run_stays_paused_over_deaths_and_starts_of_workers(stage: Stage) -> None:
    engine = await stage.engine(sleeps)
    run = await engine.start(sleeps, id="order-1")
    await stage.until_parked(engine, run)
    await run.pause()
    await stage.kill(engine)
    stage.skip(2 * HOUR)

    again = await stage.engine(sleeps)
    await stage.until_sweep()

    await is_paused(stage, again.run("order-1"))
    await again.run("order-1").resume()
    assert await again.run("order-1").result(30) == "after"


async def test_a_pause_that_its_worker_did_not_live_to_see_is_met_by_the_next_one(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        await waits()
        return await work("next")

    engine = await stage.engine(flow)
    run = await engine.start(flow, id="order-1")
    await stage.until(lambda: begun)
    client = await stage.client()
    await client.run("order-1").pause()
    await stage.kill(engine)
    gate.set()

    again = await stage.engine(flow)

    await is_paused(stage, client.run("order-1"))
    assert "next" not in begun
    await again.run(run.id).resume()
    assert await again.run(run.id).result(30) == "next"


async def test_a_clean_stop_leaves_a_run_that_is_to_be_paused_paused(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        await waits()
        return await work("next")

    engine = await stage.engine(flow)
    run = await engine.start(flow, id="order-1")
    await stage.until(lambda: begun)
    await run.pause()
    engine.kill_attempts()
    await stage.stop(engine)

    client = await stage.client()

    assert (await client.run("order-1").status()).state == "paused"


async def test_two_clients_that_pause_and_resume_at_once_leave_a_run_that_can_go_on(stage: Stage) -> None:
    engine = await stage.engine(collects)
    run = await engine.start(collects, id="order-1")
    other = await stage.client()
    for number in range(3):
        await asyncio.gather(run.pause(), other.run("order-1").resume(), run.signal("word", number), other.run("order-1").pause())
    assert (await run.status()).state in ("paused", "running")

    await stage.until_state(run, "paused")
    await run.resume()

    assert sorted(await run.result(30)) == [0, 1, 2]


async def test_a_paused_run_that_is_cancelled_cleans_up(stage: Stage) -> None:
    @workflow
    async def flow() -> None:
        try:
            await asyncio.sleep(HOUR)
        finally:
            await work("clean-up")

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    await run.pause()

    await run.cancel()

    with pytest.raises(RunCancelled):
        await run.result(30)
    assert begun == ["clean-up"]


async def test_a_quarantined_run_cannot_be_paused_and_says_what_to_do(stage: Stage) -> None:
    @workflow
    async def waits_for_nothing() -> None:
        await asyncio.Event().wait()

    engine = await stage.engine(waits_for_nothing)
    run = await engine.start(waits_for_nothing)
    await stage.until_state(run, "quarantined")

    with pytest.raises(NotRetryable, match="resumed"):
        await run.pause()


@pytest.mark.parametrize("is_resumed", [False, True])
async def test_a_run_whose_last_step_under_way_is_cancelled_from_outside_while_it_is_to_be_paused_is_not_left_waiting(
    stage: Stage, is_resumed: bool
) -> None:
    """As by an application that cancels tasks it did not begin: the step begins again once the run may go on."""

    @workflow
    async def flow() -> str:
        return await waits()

    engine = await stage.engine(flow, settings=replace(CALM, sweep_seconds=1e6))
    run = await engine.start(flow)
    await stage.until(lambda: begun)
    await run.pause()
    await stage.until_wanted(run, "pause")
    if is_resumed:  # by somebody else: there is nothing left that would tell the worker
        await (await stage.client()).run(run.id).resume()

    (attempt,) = engine.worker.live[run.id].attempts.values()
    attempt.task.cancel()

    if not is_resumed:
        await is_paused(stage, run)
        assert begun == ["waits"]
        await run.resume()
    await stage.until(lambda: begun == ["waits", "waits"])
    gate.set()
    assert await run.result(30) == "waited"


async def test_a_pause_that_another_process_withdraws_while_a_long_step_is_under_way_holds_nothing_until_that_step_has_ended(
    stage: Stage,
) -> None:
    @step
    async def takes_long() -> str:
        begun.append("long")
        await gate.wait()
        return "long"

    @workflow
    async def flow() -> list[Any]:
        async def sleeps_then_works() -> str:
            await asyncio.sleep(HOUR)
            return await work("short")

        return await asyncio.gather(takes_long(), sleeps_then_works())

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: begun)
    await run.pause()
    await stage.until_wanted(run, "pause")
    stage.skip(2 * HOUR)
    await stage.until_sweep()
    client = await stage.client()
    await stage.until(lambda: not any(task.get_name() == "perdure-look" for task in engine.worker._background._tasks))
    await engine.worker._committer.settle()
    assert begun == ["long"]

    await client.run(run.id).resume()
    await stage.until_sweep()

    await stage.until(lambda: begun == ["long", "short"])
    gate.set()
    assert await run.result(30) == ["long", "short"]
