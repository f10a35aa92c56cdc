"""Inboxes that cannot be emptied, or whose rows are damaged, keep nobody from hearing what is sent to them."""

import asyncio

from perdure import receive, step, workflow
from tests.acceptance.harness import CALM, Stage

ROW = "(namespace, run_id, number, arrived_at, id, topic, payload)"


@workflow
async def hear() -> int:
    return await receive("number", int)


@workflow
async def other() -> int:
    return 1


async def test_a_signal_reaches_a_busy_run_although_more_inboxes_than_one_look_shows_cannot_be_emptied(stage: Stage) -> None:
    for_ever = asyncio.Event()

    @step
    async def long() -> None:
        await for_ever.wait()

    @workflow
    async def flow() -> str:
        task = asyncio.create_task(long())
        said = await receive("stop", str)
        task.cancel()
        return said

    engine = await stage.engine(flow)
    client = await stage.client()
    run = await engine.start(flow, id="order")
    await stage.until(lambda: run.id in engine.worker.live)
    await asyncio.gather(*(client.start("nobody_knows", id=f"a{number:04}") for number in range(CALM.batch_rows + 1)))
    stage.sql(f"insert into inbox {ROW} select namespace, id, 1, 1, id, 'x', x'31' from runs where id <> 'order'")

    await client.run("order").signal("stop", "now")  # from another connection, as another process would

    assert await run.result(30) == "now"


async def test_f37_a_flipped_bit_in_the_key_of_an_inbox_ends_no_worker_and_keeps_no_other_run_from_waking(stage: Stage) -> None:
    engine = await stage.engine(hear, other)
    run = await engine.start(hear, id="damaged")
    await stage.until_parked(engine, run)
    healthy = await engine.start(hear, id="healthy")
    await stage.until_parked(engine, healthy)
    stage.sql(f"insert into inbox {ROW} values ('default', cast(x'e4616d61676564' as text), 1, 1, 'i', 'number', x'35')")
    stage.sql(f"insert into inbox {ROW} values ('default', 'healthy', 1, 1, 'i', 'number', x'35')")  # whose wake-up was missed

    await stage.until_sweep()

    assert await healthy.result(30) == 5
    assert not engine.failure.done()
    assert await (await engine.start(other)).result(30) == 1


async def test_f37_a_damaged_row_of_a_worker_does_not_end_the_search_for_the_stranded(stage: Stage) -> None:
    first = await stage.engine(hear)
    run = await first.start(hear, id="order")
    await stage.until_parked(first, run)
    await stage.kill(first)
    stage.sql("update workers set workflows = substr(workflows, 2)")

    again = await stage.engine(hear)
    await again.run("order").signal("number", 7)

    assert await again.run("order").result(30) == 7
    await stage.until_sweep()
    assert not again.failure.done()
