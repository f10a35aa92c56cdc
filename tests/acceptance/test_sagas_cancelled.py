"""A cancelled run undoes what its sagas have done: neither another cancel nor the end of its time to clean up interrupts that."""

import asyncio
from typing import Any

import pytest

from perdure import Retry, receive, saga, step, workflow
from perdure.errors import CompensationFailed, NotRetryable, RunCancelled, RunFailed
from tests.acceptance.harness import Stage, kinds, names

bodies: list[str] = []
gates: dict[str, asyncio.Event] = {}


@pytest.fixture(autouse=True)
def _forget() -> None:
    bodies.clear()
    gates.clear()


@step
async def book(what: str) -> str:
    return what


@step
async def cancel(what: str) -> str:
    bodies.append(what)
    if what in gates:
        await gates[what].wait()
    return what


@step(retry=Retry(attempts=1))
async def cannot_cancel(what: str) -> None:
    raise LookupError(what)


@step(retry=Retry(initial=1000, maximum=1000, jitter=0, give_up_after=None))
async def never_ends(what: str) -> None:
    raise OSError(what)


@workflow
async def trip() -> str:
    async with saga() as undo:
        for what in ("hotel", "flight"):
            await book(what)
            undo(cancel, what)
        return str(await receive("go"))


async def parked(stage: Stage, flow: Any) -> Any:
    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await stage.until_parked(engine, run)
    return engine, run


async def test_a_cancelled_run_is_undone_and_then_cancelled(stage: Stage) -> None:
    _, run = await parked(stage, trip)

    await run.cancel()

    with pytest.raises(RunCancelled):
        await run.result(30)
    assert bodies == ["flight", "hotel"]
    assert await kinds(run) == ["started", "step", "step", "cancel", "compensated", "compensated", "cancelled"]


async def test_neither_more_cancels_nor_the_end_of_its_time_interrupts_what_is_being_undone(stage: Stage) -> None:
    gates["flight"] = asyncio.Event()
    engine, run = await parked(stage, trip)
    await run.cancel(grace=60)
    await stage.until(lambda: bodies == ["flight"])

    for _ in range(3):
        stage.skip(hours=1)
        await run.cancel(grace=1)
        await engine.run((await engine.start(trip)).id).status()  # a transaction that comes after it
    assert (await run.status()).state == "running"
    gates["flight"].set()

    with pytest.raises(RunCancelled):
        await run.result(30)
    assert bodies == ["flight", "hotel"]


@pytest.mark.parametrize("seen", [1, 2])
async def test_a_death_while_a_cancelled_run_is_being_undone_changes_nothing(stage: Stage, seen: int) -> None:
    gates.update(flight=asyncio.Event(), hotel=asyncio.Event())
    if seen == 2:
        gates["flight"].set()
    engine, run = await parked(stage, trip)
    await run.cancel(grace=60)
    await stage.until(lambda: len(bodies) == seen)
    await stage.kill(engine)
    stage.skip(hours=1)
    for gate in gates.values():
        gate.set()

    engine = await stage.engine(trip)
    with pytest.raises(RunCancelled):
        await engine.run(run.id).result(30)
    assert bodies == {1: ["flight", "flight", "hotel"], 2: ["flight", "hotel", "hotel"]}[seen]
    assert await names(engine.run(run.id), "compensated") == ["cancel", "cancel"]


async def test_a_compensation_that_fails_for_good_makes_a_failed_run_of_a_cancelled_one(stage: Stage) -> None:
    @workflow
    async def hopeless() -> None:
        async with saga() as undo:
            undo(cancel, "hotel")
            undo(cannot_cancel, "flight")
            await receive("go")

    _, run = await parked(stage, hopeless)
    await run.cancel()

    with pytest.raises(RunFailed) as failed:
        await run.result(30)
    assert isinstance(failed.value.__cause__, CompensationFailed)
    assert bodies == ["hotel"]
    assert (await run.status()).state == "failed"
    with pytest.raises(NotRetryable, match="compensations"):
        await run.retry()


async def test_code_that_clings_to_its_saga_is_thrown_out_of_it_when_its_time_is_over(stage: Stage) -> None:
    """It cleans up inside the block, and that takes too long: what it did before is undone all the same."""

    @workflow
    async def clings() -> None:
        async with saga() as undo:
            undo(cancel, "hotel")
            try:
                await receive("go")
            finally:
                await never_ends("clean-up")

    engine, run = await parked(stage, clings)
    await run.cancel(grace=60)
    await stage.until(lambda: stage.sql("select 1 from attempts"))
    await stage.kill(engine)
    stage.skip(61)
    engine = await stage.engine(clings)

    with pytest.raises(RunCancelled):
        await engine.run(run.id).result(30)
    assert await kinds(engine.run(run.id)) == ["started", "cancel", "cancel", "compensated", "cancelled"]


async def test_code_that_is_out_of_time_can_ask_for_nothing_but_what_undoes(stage: Stage) -> None:
    @workflow
    async def clings() -> None:
        async with saga() as undo:
            undo(cancel, "hotel")
            for _ in range(3):
                try:
                    await receive("go")
                except asyncio.CancelledError:
                    continue
            await never_ends("it goes on as if nothing had happened")

    _, run = await parked(stage, clings)
    await run.cancel(grace=60)
    await stage.until(lambda: stage.sql("select 1 from history where kind = 'cancel'"))
    await run.signal("go")
    stage.skip(61)

    with pytest.raises(RunCancelled):
        await run.result(30)
    assert bodies == ["hotel"]


async def test_a_run_that_fails_and_was_undone_cannot_be_retried_from_there(stage: Stage) -> None:
    @workflow
    async def fails() -> None:
        async with saga() as undo:
            await book("hotel")
            undo(cancel, "hotel")
            await cannot_cancel("whatever")

    engine = await stage.engine(fails)
    run = await engine.start(fails)
    with pytest.raises(RunFailed):
        await run.result(30)

    with pytest.raises(NotRetryable, match="compensations"):
        await run.retry()
    assert await names(run, "compensated") == ["cancel"]


async def test_a_step_that_fails_after_a_saga_was_undone_and_forgiven_can_be_retried(stage: Stage) -> None:
    fails = [True]

    @step(retry=Retry(attempts=1))
    async def later() -> str:
        if fails.pop():
            fails.append(False)
            raise LookupError("not yet")
        return "done"

    @workflow
    async def goes_on() -> str:
        try:
            async with saga() as undo:
                undo(cancel, "hotel")
                await cannot_cancel("flight")
        except LookupError:
            pass
        return await later()

    engine = await stage.engine(goes_on)
    run = await engine.start(goes_on)
    with pytest.raises(RunFailed):
        await run.result(30)
    await run.retry()

    assert await run.result(30) == "done"
    assert bodies == ["hotel"]
