"""A run that is to be cancelled and whose code no longer matches its history ends cancelled, and nothing of that code is run."""

from typing import Any

from perdure import receive, step, workflow
from tests.acceptance.harness import Stage, kinds

SIGNALS = 1200  # more than two checkpoints read of one inbox
MANY_SIGNALS = f"""
with recursive numbers (number) as (select 1 union all select number + 1 from numbers where number < {SIGNALS})
insert into inbox (namespace, run_id, number, arrived_at, id, topic, payload)
select 'default', ?, number, number, 's' || number, 'word', x'31' from numbers
"""


async def test_nothing_of_code_that_does_not_match_is_run_while_a_full_inbox_is_recorded_before_the_end(stage: Stage) -> None:
    bodies: list[str] = []

    @step
    async def place() -> None:
        bodies.append("place")

    @step
    async def other() -> None:
        bodies.append("other")

    @workflow(name="flow")
    async def before() -> Any:
        await place()
        return await receive("never")

    @workflow(name="flow")
    async def after() -> Any:
        await other()
        await other()
        return await receive("word")

    engine = await stage.engine(before)
    run = await engine.start(before)
    await stage.until_parked(engine, run)
    await stage.stop(engine)
    client = await stage.client()
    stage.sql(MANY_SIGNALS, run.id)
    await client.run(run.id).cancel()

    await stage.engine(after)
    await stage.until_state(client.run(run.id), "cancelled")

    assert bodies == ["place"]
    assert await kinds(client.run(run.id)) == ["started", "step", *["signal"] * SIGNALS, "cancel", "cancelled"]
