"""What is recorded of a step, or is about to be, is not run again: whatever timer, wish or stop comes in between."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from perdure import Retry, info, receive, step, workflow
from perdure.store.protocol import Park
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

    assert await run.result(10) == "done"
    assert tries == [1]
    assert await kinds(run) == ["started", "step", "completed"]
