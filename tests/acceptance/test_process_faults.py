"""Faults of a process (F) that it must outlive: storms of restarts, a blocked event loop, a file that somebody else holds."""

import asyncio
import time
from dataclasses import replace

import apsw

from perdure import receive, step, workflow
from tests.acceptance.harness import CALM, Stage


@step
async def double(number: int) -> int:
    return 2 * number


@workflow
async def twice(number: int) -> int:
    return await double(await double(number))


async def test_b53_f18_a_storm_of_restarts_replays_a_few_at_a_time_and_loses_nothing(stage: Stage) -> None:
    few = replace(CALM, replays_at_once=5)
    most = 0

    @workflow
    async def flow(number: int) -> int:
        total = await double(number)
        for _ in range(3):
            total += await receive("add", int)
        return total

    engine = await stage.engine(flow, settings=few)
    runs = [await engine.start(flow, number) for number in range(60)]
    for restart in range(20):
        for run in runs[restart % 20 :: 20]:
            for key in "abc":
                await engine.run(run.id).signal("add", 1, key=key)
        most = max(most, engine.worker._loading._replays)
        await (stage.kill(engine) if restart % 2 else stage.stop(engine))
        engine = await stage.engine(flow, settings=few)

    assert [await engine.run(run.id).result(30) for run in runs] == [2 * number + 3 for number in range(60)]
    assert most <= 5


async def test_f13_the_lease_is_renewed_although_a_step_blocks_the_event_loop(stage: Stage) -> None:
    def lease() -> int:
        return stage.sql("select max(expires_at) from workers")[0][0]

    @step
    async def block() -> str:
        began, until = lease(), time.monotonic() + 30
        while lease() == began and time.monotonic() < until:
            time.sleep(0.005)
        return "renewed" if lease() > began else "not renewed"

    @workflow
    async def flow() -> str:
        return await block()

    engine = await stage.engine(flow, settings=replace(CALM, renew_seconds=0.05))
    before = engine.worker.incarnation
    assert await (await engine.start(flow)).result(30) == "renewed"
    assert engine.worker.incarnation == before


async def test_f31_while_another_process_holds_the_file_nothing_is_lost_and_the_event_loop_goes_on(stage: Stage) -> None:
    engine = await stage.engine(twice)
    other = apsw.Connection(stage.path)
    other.set_busy_timeout(30_000)  # the engine may just be writing
    other.execute("begin immediate")
    starting = asyncio.create_task(engine.start(twice, 1, id="order-1"))
    for _ in range(200):
        await asyncio.sleep(0)
    assert not starting.done()
    assert [run.id for run in (await engine.runs()).runs] == []  # readers are not held up
    other.execute("commit")
    other.close()

    assert await (await starting).result(30) == 4
