"""Further bugs that other engines had, and faults of workflow code that are nobody else's subject."""

import asyncio
from dataclasses import replace

import pytest

from perdure import Retry, receive, step, workflow
from perdure.errors import RunFailed
from tests.acceptance.harness import CALM, Stage


async def descend(depth: int) -> int:
    return await descend(depth + 1)


@step
async def work(number: int = 0) -> int:
    return number


@workflow
async def descends() -> int:
    await work()
    return await descend(0)


@workflow
async def quick() -> int:
    return await work(1)


async def test_f59_code_that_calls_itself_without_end_fails_its_run_and_not_its_worker(stage: Stage) -> None:
    engine = await stage.engine(descends, quick)
    deep, beside = await engine.start(descends), await engine.start(quick)

    with pytest.raises(RunFailed) as failed:
        await deep.result(30)
    assert isinstance(failed.value.__cause__, RecursionError)
    assert await beside.result(30) == 1
    assert await (await engine.start(quick)).result(30) == 1


async def test_b69_who_waits_again_after_a_timeout_gets_what_was_sent_and_no_phantom(stage: Stage) -> None:
    @workflow
    async def waits_twice() -> list[object]:
        seen: list[object] = []
        try:
            await receive("word", timeout=60)
        except TimeoutError:
            seen.append("late")
        seen.append(await receive("word"))
        return seen

    engine = await stage.engine(waits_twice)
    run = await engine.start(waits_twice)
    await stage.until_parked(engine, run)
    stage.skip(61)

    async def has_timed_out() -> bool:
        return [one["kind"] for one in (await run.status()).waiting_for] == ["signal"]

    await stage.until(has_timed_out)
    await stage.kill(engine)
    engine = await stage.engine(waits_twice)
    await engine.run(run.id).signal("word", None, key="k")

    assert await engine.run(run.id).result(30) == ["late", None]


async def test_f56_b53_while_a_long_history_is_replayed_the_event_loop_turns_and_others_go_on(stage: Stage) -> None:
    steps = 150

    @workflow
    async def long() -> int:
        total = sum([await work(1) for _ in range(steps)])
        await receive("word")
        return total

    engine = await stage.engine(long, quick)
    run = await engine.start(long)
    await stage.until_parked(engine, run)
    await stage.kill(engine)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += run.id in engine.worker.live and engine.worker.live[run.id].is_loading

    engine = await stage.engine(long, quick, settings=replace(CALM, replay_slice_seconds=0.0))
    turning = asyncio.create_task(turn())
    await engine.run(run.id).signal("word")
    assert await engine.run(run.id).result(30) == steps
    turning.cancel()

    assert turns >= steps // 20  # it looks at the clock every 16 records


async def test_b63_the_time_limit_of_a_step_does_not_count_while_its_run_is_parked_or_its_worker_is_gone(stage: Stage) -> None:
    """It counts for an attempt that executes; what waits for its next try has no attempt."""
    tries = 0

    @step(timeout=30, retry=Retry(initial=3600, maximum=3600, jitter=0))
    async def fails_first() -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError("not yet")
        return tries

    @workflow
    async def flow() -> int:
        return await fails_first()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_waiting_for(run, "retry")
    await stage.kill(engine)
    stage.skip(hours=2)
    engine = await stage.engine(flow)

    assert await engine.run(run.id).result(30) == 2
    assert tries == 2
