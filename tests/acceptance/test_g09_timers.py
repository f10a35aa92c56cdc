"""G9: a timer never fires early, fires once and in order, and after downtime as soon as a worker is there."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from perdure import Retry, now, receive, sleep_until, step, workflow
from perdure.errors import StoreUnavailable
from tests.acceptance.harness import CALM, Stage, kinds


def seconds(one: str, other: str) -> float:
    return (datetime.fromisoformat(other) - datetime.fromisoformat(one)).total_seconds()


@workflow
async def nap(length: float) -> list[str]:
    before = now()
    await asyncio.sleep(length)
    return [before.isoformat(), now().isoformat()]


async def test_a_timer_fires_when_its_time_has_come_and_not_before(stage: Stage) -> None:
    engine = await stage.engine(nap)
    run = await engine.start(nap, 3600.0)
    await stage.until_parked(engine, run)

    stage.skip(3500)
    await stage.until_sweep()
    await stage.until_parked(engine, run)
    assert await kinds(run) == ["started"]

    stage.skip(100)
    before, after = await run.result(30)
    assert 3600 <= seconds(before, after) < 3700


async def test_a_short_wait_in_memory_is_never_cut_short(stage: Stage) -> None:
    @workflow
    async def flow() -> list[float]:
        slept = []
        for length in (0.001, 0.0101, 0.02, 0.0303):
            before = now()
            await asyncio.sleep(length)
            slept.append((now() - before).total_seconds() - length)
        return slept

    engine = await stage.engine(flow)
    assert min(await (await engine.start(flow)).result(30)) >= 0


async def test_a_deadline_between_two_microseconds_is_rounded_up(stage: Stage) -> None:
    engine = await stage.engine(nap)
    run = await engine.start(nap, 3600.0000015)
    await stage.until_parked(engine, run)

    (wait,) = (await run.status()).waiting_for
    started = (await run.history())[0].at
    assert datetime.fromisoformat(wait["until"]) - started == timedelta(hours=1, microseconds=2)


async def test_sleep_until_a_moment_returns_at_that_moment_and_at_once_if_it_has_passed(stage: Stage) -> None:
    @workflow
    async def flow() -> list[str]:
        begin = now()
        await sleep_until(begin - timedelta(days=1))
        middle = now()
        await sleep_until(begin + timedelta(days=30))
        return [begin.isoformat(), middle.isoformat(), now().isoformat()]

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    stage.skip(days=30)

    begin, middle, end = await run.result(30)
    assert begin == middle
    assert 30 * 86400 <= seconds(begin, end) < 30 * 86400 + 10


async def test_a_timer_that_came_due_while_nobody_worked_fires_as_soon_as_a_worker_is_there(stage: Stage) -> None:
    engine = await stage.engine(nap)
    run = await engine.start(nap, 3600.0)
    await stage.until_parked(engine, run)
    await stage.kill(engine)
    stage.skip(days=60)

    again = await stage.engine(nap)
    before, after = await again.run(run.id).result(30)

    assert 60 * 86400 <= seconds(before, after) < 60 * 86400 + 10
    assert await kinds(again.run(run.id)) == ["started", "timer", "completed"]


async def test_timers_that_came_due_while_nobody_worked_fire_in_the_order_of_their_deadlines(stage: Stage) -> None:
    @workflow
    async def flow() -> list[int]:
        order: list[int] = []

        async def after(hours: int) -> None:
            await asyncio.sleep(hours * 3600)
            order.append(hours)

        await asyncio.gather(*(after(hours) for hours in (5, 1, 4, 2, 3)))
        return order

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    await stage.stop(engine)
    stage.skip(days=1)

    again = await stage.engine(flow)
    assert await again.run(run.id).result(30) == [1, 2, 3, 4, 5]


async def test_a_timer_fires_once_although_the_worker_dies_after_its_record(stage: Stage) -> None:
    @workflow
    async def flow() -> None:
        await asyncio.sleep(3600)
        await receive("next")

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    stage.skip(3600)
    await stage.until(lambda: stage.sql("select 1 from history where kind = 'timer'"))
    await stage.kill(engine)

    again = await stage.engine(flow)
    await again.run(run.id).signal("next")
    await again.run(run.id).result(30)
    assert await kinds(again.run(run.id)) == ["started", "timer", "signal", "completed"]


async def test_the_time_a_run_has_queued_does_not_count_towards_its_timeouts(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        return await receive("word", str, timeout=600)

    await stage.stop(await stage.engine())
    run = await (await stage.client()).start(flow)
    stage.skip(hours=5)

    engine = await stage.engine(flow)
    await stage.until_parked(engine, run)
    await run.signal("word", "hello")
    assert await run.result(30) == "hello"


async def test_a_payment_that_came_in_time_wins_although_nobody_worked_until_after_the_deadline(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        try:
            async with asyncio.timeout(48 * 3600):
                return await receive("paid", str)
        except TimeoutError:
            return "too late"

    engine = await stage.engine(flow)
    runs = [await engine.start(flow) for _ in range(2)]
    for run in runs:
        await stage.until_parked(engine, run)
    await stage.stop(engine)
    client = await stage.client()
    stage.skip(hours=47)
    await client.run(runs[0].id).signal("paid", "in time")
    stage.skip(hours=2)
    await client.run(runs[1].id).signal("paid", "after the deadline")

    await stage.engine(flow)
    assert [await client.run(run.id).result(30) for run in runs] == ["in time", "too late"]


async def test_a_payment_that_came_in_time_wins_over_a_timer_that_a_live_worker_is_about_to_record(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        try:
            return await receive("paid", str, timeout=3600)
        except TimeoutError:
            return "too late"

    engine = await stage.engine(flow, settings=replace(CALM, linger_seconds=1e6))  # it waits in memory
    client = await stage.client()
    run = await engine.start(flow)
    await stage.until(lambda: run.id in engine.worker.live and not engine.worker.live[run.id].is_busy)

    async def pay_just_in_time(batch) -> None:
        if any(change.due for change in batch.changes):
            stage.on_checkpoint = lambda batch: None
            moved, stage.clock.moved = stage.clock.moved, 0.5
            await client.run(run.id).signal("paid", "in time")
            stage.clock.moved = moved

    stage.on_checkpoint = pay_just_in_time
    stage.skip(3601)
    assert await run.result(30) == "in time"


async def test_a_payment_that_came_in_time_wins_although_many_other_signals_came_before_it(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        try:
            return await receive("paid", str, timeout=3600)
        except TimeoutError:
            return "too late"

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    await stage.stop(engine)
    client = await stage.client()
    for _ in range(6):
        await asyncio.gather(*(client.run(run.id).signal("news", number) for number in range(100)))
    await client.run(run.id).signal("paid", "in time")
    stage.skip(hours=2)

    await stage.engine(flow)
    assert await client.run(run.id).result(30) == "in time"


async def test_time_in_a_run_never_goes_back_although_the_clock_is_set_back(stage: Stage) -> None:
    @step
    async def set_the_clock_back() -> None:
        stage.clock.wall_moved -= 3600

    @workflow
    async def flow() -> list[str]:
        moments = []
        for _ in range(3):
            moments.append(now().isoformat())
            await set_the_clock_back()
        return moments

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    moments = await run.result(30)
    recorded = [record.at for record in await run.history()]

    assert moments == sorted(moments)
    assert recorded == sorted(recorded)
    assert len(recorded) == 5


async def test_a_timer_that_was_cancelled_never_fires(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        async with asyncio.timeout(3600):
            await receive("paid")
        await asyncio.sleep(7200)
        return "ended"

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await run.signal("paid")
    await stage.until_parked(engine, run)
    stage.skip(7200)

    assert await run.result(30) == "ended"
    assert await kinds(run) == ["started", "signal", "timer", "completed"]


@workflow
async def pay_within(seconds: float) -> str:
    try:
        return await receive("paid", str, timeout=seconds)
    except TimeoutError:
        return "too late"


async def test_a_payment_after_the_deadline_does_not_win_because_the_store_was_busy(stage: Stage) -> None:
    engine = await stage.engine(pay_within)
    run = await engine.start(pay_within, 1.5)
    client = await stage.client()
    await stage.until(lambda: stage.sql("select 1 from history"))
    is_busy, was_refused = True, asyncio.Event()

    async def busy(batch) -> None:
        if is_busy and any(change.reads_inbox for change in batch.changes):
            was_refused.set()
            raise StoreUnavailable("busy")

    stage.on_checkpoint = busy
    await client.run(run.id).signal("other")  # its checkpoint is built before the deadline, and tried until after it
    engine.worker.signalled(run.id)
    await was_refused.wait()
    stage.skip(2.5)
    await client.run(run.id).signal("paid", "a second late")
    is_busy = False

    assert await run.result(30) == "too late"


# ── clocks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_after_the_machine_slept_a_timer_of_a_run_in_memory_fires_with_the_next_sweep(stage: Stage) -> None:
    @step
    async def long() -> None:
        await asyncio.Event().wait()

    @workflow
    async def flow() -> str:
        try:
            async with asyncio.timeout(3600):
                await long()
        except TimeoutError:
            return "timed out"
        return "never"

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: engine.worker._attempts.under_way)
    stage.clock.wall_moved += 7200  # the loop's clock stands still meanwhile
    stage.clock.boot_moved += 7200
    stage.skip(3)

    assert await run.result(30) == "timed out"


async def test_after_the_machine_slept_a_step_in_memory_is_tried_again_with_the_next_sweep(stage: Stage) -> None:
    tries: list[int] = []

    @step
    async def long() -> None:
        await asyncio.Event().wait()

    @step(retry=Retry(attempts=2, initial=3600, jitter=0))
    async def flaky() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("away")
        return "done"

    @workflow
    async def flow() -> str:
        task = asyncio.create_task(long())
        said = await flaky()
        task.cancel()
        return said

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    live = engine.worker.live
    await stage.until(lambda: run.id in live and any(one.timer for one in live[run.id].retrying.values()))
    stage.clock.wall_moved += 7200
    stage.clock.boot_moved += 7200
    stage.skip(3)

    assert await run.result(30) == "done"
