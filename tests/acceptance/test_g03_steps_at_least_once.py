"""G3: a body may run again only if its worker died between effect and record, and every try carries the same key."""

import asyncio
from dataclasses import replace

import pytest

from perdure import Info, Retry, info, receive, step, workflow
from tests.acceptance.harness import CALM, Stage


async def test_a_step_that_was_cut_off_by_a_death_runs_again_with_the_same_key_and_attempt(stage: Stage) -> None:
    seen: list[Info] = []
    may_end = asyncio.Event()

    @step
    async def place() -> str:
        seen.append(info())
        await may_end.wait()
        return "placed"

    @workflow
    async def flow() -> str:
        return await place()

    engine = await stage.engine(flow, namespace="shop")
    run = await engine.start(flow, id="order-1")
    await stage.until(lambda: len(seen) == 1)
    await stage.kill(engine)

    may_end.set()
    again = await stage.engine(flow, namespace="shop")
    assert await again.run(run.id).result(30) == "placed"

    assert [one.idempotency_key for one in seen] == ["shop/order-1/0/0"] * 2
    assert [one.attempt for one in seen] == [1, 1]
    assert [one.step for one in seen] == ["place", "place"]


async def test_the_attempt_is_the_number_of_recorded_failures_plus_one_also_after_a_death(stage: Stage) -> None:
    seen: list[int | None] = []
    may_end = asyncio.Event()

    @step(retry=Retry(initial=0, jitter=0))
    async def place() -> int | None:
        seen.append(info().attempt)
        if len(seen) < 3:
            raise OSError("the other side is away")
        await may_end.wait()
        return info().attempt

    @workflow
    async def flow() -> int | None:
        return await place()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until(lambda: len(seen) == 3)
    await stage.kill(engine)

    may_end.set()
    again = await stage.engine(flow)
    assert await again.run(run.id).result(30) == 3
    assert seen == [1, 2, 3, 3]


async def test_the_key_is_the_same_for_every_try_and_another_for_every_step(stage: Stage) -> None:
    keys: list[str | None] = []

    @step(retry=Retry(initial=0, jitter=0))
    async def place(number: int) -> None:
        keys.append(info().idempotency_key)
        if len(keys) % 3:
            raise OSError("not yet")

    @workflow
    async def flow() -> None:
        await place(1)
        await place(1)
        await place(1)

    engine = await stage.engine(flow)
    first, second = await engine.start(flow), await engine.start(flow)
    await first.result(30)
    of_the_first = list(dict.fromkeys(key for key in keys if key and first.id in key))
    await second.result(30)

    assert len(set(keys)) == 6
    assert of_the_first == [f"default/{first.id}/0/0", f"default/{first.id}/0/1", f"default/{first.id}/0/2"]


@pytest.mark.parametrize("clock_is_set_back_by", [0.0, 3600.0])
async def test_the_fencing_token_grows_when_a_run_changes_hands(stage: Stage, clock_is_set_back_by: float) -> None:
    tokens: list[str] = []

    @step
    async def place() -> None:
        tokens.append(info().fencing_token or "")

    @workflow
    async def flow() -> None:
        await place()
        await receive("next")
        await place()

    engine = await stage.engine(flow, settings=replace(CALM, linger_seconds=60.0))
    run = await engine.start(flow)
    await stage.until(lambda: stage.sql("select 1 from history where kind = 'step'"))
    await stage.kill(engine)
    stage.clock.wall_moved -= clock_is_set_back_by
    again = await stage.engine(flow)
    await again.run(run.id).signal("next")
    await again.run(run.id).result(30)

    assert len(tokens) == 2
    assert tokens[0] < tokens[1]


async def test_a_clean_stop_lets_a_step_end_so_that_it_need_not_run_again(stage: Stage) -> None:
    began, effects = asyncio.Event(), 0

    @step
    async def place() -> str:
        nonlocal effects
        began.set()
        await asyncio.sleep(0.05)
        effects += 1
        return "placed"

    @workflow
    async def flow() -> str:
        return await place()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await began.wait()
    await stage.stop(engine)

    again = await stage.engine(flow)
    assert await again.run(run.id).result(30) == "placed"
    assert effects == 1
