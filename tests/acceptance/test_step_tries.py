"""Tries: back-off that survives restarts, what is not tried again, and that waiting for the next try costs nothing."""

import asyncio
from datetime import timedelta

import pytest

from perdure import Retry, info, step, workflow
from perdure.errors import RetryAfter, RunFailed
from tests.acceptance.harness import Stage


class OutOfStock(Exception):
    """What a step of a shop may raise."""


async def test_delays_grow_by_the_factor_up_to_the_maximum(stage: Stage) -> None:
    moments: list[float] = []

    @step(retry=Retry(attempts=6, initial=10, factor=3.0, maximum=100, jitter=0))
    async def fail() -> None:
        moments.append(stage.clock.now() / 1e6)
        raise OSError("away")

    @workflow
    async def flow() -> None:
        await fail()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    pauses = []
    for tries in range(1, 6):
        await stage.until(lambda tries=tries: len(moments) == tries)
        await stage.until_parked(engine, run)
        ((next_at,),) = stage.sql("select next_at from attempts")
        pauses.append(next_at / 1e6 - moments[-1])
        stage.skip(pauses[-1])
    with pytest.raises(RunFailed):
        await run.result(30)

    assert pauses == pytest.approx([10, 30, 90, 100, 100], abs=1)
    assert len(moments) == 6


async def test_a_restart_neither_resets_nor_loses_the_count_and_the_next_try(stage: Stage) -> None:
    attempts: list[int | None] = []

    @step(retry=Retry(attempts=3, initial=3600, factor=2.0, maximum=36000, jitter=0))
    async def fail() -> None:
        attempts.append(info().attempt)
        raise OSError("away")

    @workflow
    async def flow() -> None:
        await fail()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    (wait,) = (await run.status()).waiting_for
    await stage.kill(engine)

    engine = await stage.engine(flow)
    await stage.until_sweep()
    await stage.until_parked(engine, run := engine.run(run.id))
    assert (await run.status()).waiting_for == [wait]
    assert attempts == [1]

    stage.skip(3600)
    await stage.until(lambda: len(attempts) == 2)
    await stage.until_parked(engine, run)
    await stage.kill(engine)
    engine = await stage.engine(flow)
    stage.skip(7200)
    with pytest.raises(RunFailed):
        await engine.run(run.id).result(30)
    assert attempts == [1, 2, 3]
    assert (await engine.run(run.id).history())[1].attempt == 3


async def test_a_try_is_never_early_although_the_worker_was_restarted(stage: Stage) -> None:
    moments: list[int] = []

    @step(retry=Retry(attempts=2, initial=1.5, jitter=0))  # short enough to be waited for in memory
    async def fail() -> None:
        moments.append(stage.clock.now())
        raise OSError("away")

    @workflow
    async def flow() -> None:
        await fail()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: stage.sql("select 1 from attempts where failures = 1"))
    await stage.kill(engine)
    again = await stage.engine(flow)
    with pytest.raises(RunFailed):
        await again.run(run.id).result(30)

    assert moments[1] - moments[0] >= 1_500_000


async def test_no_try_begins_before_the_failure_of_the_one_before_is_on_disk(stage: Stage) -> None:
    on_disk: list[list[tuple[int]]] = []

    @step(retry=Retry(attempts=4, initial=0, jitter=0))
    async def fail() -> None:
        on_disk.append(stage.sql("select failures from attempts"))
        raise OSError("away")

    @workflow
    async def flow() -> None:
        await fail()

    engine = await stage.engine(flow)
    with pytest.raises(RunFailed):
        await (await engine.start(flow)).result(30)
    assert on_disk == [[], [(1,)], [(2,)], [(3,)]]


async def test_it_is_given_up_when_the_next_try_would_begin_after_give_up_after(stage: Stage) -> None:
    attempts: list[int | None] = []

    @step(retry=Retry(initial=3600, factor=1.0, maximum=3600, jitter=0, give_up_after=timedelta(hours=2, minutes=30)))
    async def fail() -> None:
        attempts.append(info().attempt)
        raise OSError("away")

    @workflow
    async def flow() -> None:
        await fail()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    await stage.kill(engine)  # the first beginning is on disk, too
    engine = await stage.engine(flow)
    stage.skip(3600)
    await stage.until(lambda: len(attempts) == 2)
    stage.skip(3600)
    with pytest.raises(RunFailed, match="OSError: away"):
        await engine.run(run.id).result(30)

    assert attempts == [1, 2, 3]


async def test_a_step_may_ask_for_its_next_try_itself(stage: Stage) -> None:
    attempts: list[int | None] = []

    @step(retry=Retry(initial=1, jitter=0))
    async def ask() -> str:
        attempts.append(info().attempt)
        if info().attempt == 1:
            raise RetryAfter(timedelta(hours=5), "the other side is closed")
        return "done"

    @workflow
    async def flow() -> str:
        return await ask()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    stage.skip(hours=4)
    await stage.until_sweep()
    assert attempts == [1]

    stage.skip(hours=1)
    assert await run.result(30) == "done"


@pytest.mark.parametrize("error", [TypeError, AttributeError, KeyError, ValueError, ZeroDivisionError, UnicodeError, AssertionError])
async def test_mistakes_in_the_code_are_not_tried_again(stage: Stage, error: type[Exception]) -> None:
    attempts: list[int | None] = []

    @step
    async def fail() -> None:
        attempts.append(info().attempt)
        raise error("a mistake") if error is not UnicodeError else UnicodeError("a mistake")

    @workflow
    async def flow() -> str:
        try:
            await fail()
        except error:
            return "caught"
        return "never"

    engine = await stage.engine(flow)
    assert await (await engine.start(flow)).result(30) == "caught"
    assert attempts == [1]


async def test_what_the_policy_names_is_or_is_not_tried_again(stage: Stage) -> None:
    attempts: dict[str, int] = {"retry_on": 0, "dont_retry": 0}

    @step(retry=Retry(attempts=3, initial=0, jitter=0, retry_on=(ValueError,)))
    async def tried_again() -> None:
        attempts["retry_on"] += 1
        raise ValueError("not yet")

    @step(retry=Retry(attempts=3, initial=0, jitter=0, dont_retry=(OutOfStock,)))
    async def final() -> None:
        attempts["dont_retry"] += 1
        raise OutOfStock("book")

    @workflow
    async def flow() -> None:
        for one in (tried_again, final):
            try:
                await one()
            except (ValueError, OutOfStock):
                pass  # both end with their error

    engine = await stage.engine(flow)
    await (await engine.start(flow)).result(30)
    assert attempts == {"retry_on": 3, "dont_retry": 1}


async def test_a_long_back_off_holds_no_memory(stage: Stage) -> None:
    @step(retry=Retry(initial=3600, jitter=0))
    async def fail() -> None:
        raise OSError("away")

    @workflow
    async def flow() -> None:
        await fail()

    engine = await stage.engine(flow)
    runs = [await engine.start(flow) for _ in range(20)]
    for run in runs:
        await stage.until_parked(engine, run)

    assert engine.worker.live == {}
    assert engine.worker._attempts.under_way == set()
    assert stage.sql("select count(*), min(failures), max(failures) from attempts") == [(20, 1, 1)]


async def test_a_step_that_is_cancelled_leaves_no_try_behind(stage: Stage) -> None:
    attempts: list[int | None] = []

    @step(retry=Retry(initial=100, jitter=0))
    async def fail() -> None:
        attempts.append(info().attempt)
        raise OSError("away")

    @workflow
    async def flow() -> str:
        try:
            async with asyncio.timeout(50):
                await fail()
        except TimeoutError:
            await asyncio.sleep(500)
        return "gave up"

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    stage.skip(60)
    await stage.until(lambda: stage.sql("select 1 from history where kind = 'timer'"))
    await stage.until_parked(engine, run)
    assert stage.sql("select * from attempts") == []
    stage.skip(600)

    assert await run.result(30) == "gave up"
    assert attempts == [1]
