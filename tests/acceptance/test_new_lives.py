"""A worker that was declared dead begins a new life, which the troubles of the old one do not touch; one that cannot go on does not."""

import asyncio
from dataclasses import replace
from typing import Any

from perdure import receive, step, workflow
from perdure.errors import StoreUnavailable
from tests.acceptance.harness import CALM, Stage


async def test_a_worker_declared_dead_while_the_store_was_busy_claims_again_in_its_new_life(stage: Stage) -> None:
    @step
    async def one() -> int:
        return 1

    @workflow
    async def flow() -> int:
        return await one()

    engine = await stage.engine(flow)
    worker, first = engine.worker, engine.worker.incarnation
    was_asked, is_reborn = asyncio.Event(), asyncio.Event()

    async def busy(batch: Any) -> None:
        """What the old life has to write is refused after the new one has registered."""
        if batch.incarnation == first:
            was_asked.set()
            await is_reborn.wait()
            raise StoreUnavailable("busy")

    stage.on_checkpoint = busy
    run = await engine.start(flow)
    await was_asked.wait()
    stage.sql("update workers set state = 'dead'")  # as a sweep elsewhere does
    worker._fenced(first)  # as the heartbeat reports it, which asks on a connection of its own
    await stage.until(lambda: worker.incarnation not in (first, ""))
    is_reborn.set()

    assert await run.result(30) == 1


async def test_a_worker_that_cannot_go_on_is_not_born_again(stage: Stage) -> None:
    @workflow
    async def flow() -> str:
        return await receive("go", str)

    engine = await stage.engine(flow, settings=replace(CALM, linger_seconds=60.0))
    run = await engine.start(flow)
    await stage.until(lambda: run.id in engine.worker.live)
    under_way, may_end = asyncio.Event(), asyncio.Event()

    async def hold(_batch: Any) -> None:
        under_way.set()
        await may_end.wait()

    stage.on_checkpoint = hold
    await run.signal("go", "there")
    await under_way.wait()
    engine.worker._failed(OSError("a background task failed"))
    may_end.set()
    for _ in range(50):
        await asyncio.sleep(0)

    assert engine.failure.done()
    assert engine.worker.incarnation == ""
    assert not engine.worker._background._tasks
