"""G13: a run that has completed or failed never changes again; whoever comes late is refused."""

import asyncio
import threading

import pytest

from perdure import receive, step, workflow
from perdure.errors import NotRetryable, RunEnded, RunFailed
from tests.acceptance.harness import Stage, kinds


@workflow
async def succeed(number: int) -> int:
    return number


@workflow
async def fail(text: str) -> None:
    raise OSError(text)


async def test_nothing_changes_a_completed_run(stage: Stage) -> None:
    engine = await stage.engine(succeed)
    run = await engine.start(succeed, 5, id="order-1")
    assert await run.result(30) == 5
    before = stage.content()

    with pytest.raises(RunEnded, match="order-1 has ended .completed."):
        await run.signal("word", "hello")
    for refused in (run.resume, run.pause, run.cancel):
        with pytest.raises(RunEnded, match="order-1 has ended .completed."):
            await refused()
    with pytest.raises(NotRetryable, match="only a failed run can be retried"):
        await run.retry()
    await engine.start(succeed, 5, id="order-1")
    await stage.until_sweep()
    await stage.kill(engine)
    again = await stage.engine(succeed)
    await stage.until_sweep()

    assert stage.content() == before
    assert await again.run("order-1").result(30) == 5


async def test_nothing_changes_a_failed_run(stage: Stage) -> None:
    engine = await stage.engine(fail)
    run = await engine.start(fail, "no", id="order-1")
    with pytest.raises(RunFailed, match="run 'order-1' of workflow 'fail' failed: OSError: no") as failed:
        await run.result(30)
    assert isinstance(failed.value.__cause__, OSError)
    before = stage.content()

    with pytest.raises(RunEnded, match="has ended .failed."):
        await run.signal("word", "hello")
    for refused in (run.resume, run.pause, run.cancel):
        with pytest.raises(RunEnded, match="has ended .failed."):
            await refused()
    await stage.kill(engine)
    again = await stage.engine(fail)
    await stage.until_sweep()

    assert stage.content() == before
    with pytest.raises(RunFailed):
        await again.run("order-1").result(30)


async def test_a_step_that_is_still_running_when_its_workflow_ends_records_nothing(stage: Stage) -> None:
    began, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    @step
    def slow() -> str:
        began.set()
        may_end.wait(20)
        ended.set()
        return "late"

    @step
    async def quick() -> str:
        return "quick"

    @workflow
    async def flow() -> str:
        left_behind = asyncio.create_task(slow())
        assert left_behind is not None
        return await quick()

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    assert await run.result(30) == "quick"
    before = stage.content()
    await stage.until(began.is_set)
    may_end.set()
    await stage.until(lambda: ended.is_set() and not engine.worker._attempts.under_way)
    await stage.until_sweep()

    assert stage.content() == before
    assert await kinds(run) == ["started", "step", "completed"]


async def test_what_tasks_left_running_had_not_recorded_does_not_happen(stage: Stage) -> None:
    effects: list[str] = []

    @step
    async def place(name: str) -> None:
        effects.append(name)

    @workflow
    async def flow() -> str:
        async def later() -> None:
            try:
                await asyncio.sleep(3600)
                await place("after an hour")
            finally:
                await place("clean-up of what was left")

        left_behind = asyncio.create_task(later())
        await asyncio.sleep(0)
        await place("before the end")
        return str(left_behind.done())

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    assert await run.result(30) == "False"
    stage.skip(hours=2)
    await stage.until_sweep()

    assert effects == ["before the end"]
    assert await kinds(run) == ["started", "step", "completed"]


async def test_signals_that_nobody_received_go_with_the_run_and_their_keys_stay_known(stage: Stage) -> None:
    @workflow
    async def flow() -> None:
        await receive("stop")

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    await run.signal("word", "never received", key="a")
    await run.signal("stop")
    await run.result(30)

    assert stage.sql("select * from inbox") == []
    await run.signal("word", "again", key="a")


async def test_a_result_can_be_asked_for_again_and_again_by_anyone(stage: Stage) -> None:
    engine = await stage.engine(succeed)
    run = await engine.start(succeed, 7)
    client = await stage.client()

    assert [await one.run(run.id).result(30) for one in (engine, client, engine, client)] == [7, 7, 7, 7]


async def test_a_run_ends_once_although_many_signals_could_end_it(stage: Stage) -> None:
    @workflow
    async def flow() -> int:
        done, _waiting = await asyncio.wait([asyncio.create_task(receive("number", int)) for _ in range(5)], return_when="FIRST_COMPLETED")
        return min(task.result() for task in done)

    engine = await stage.engine(flow)
    run = await engine.start(flow)
    for number in range(5):
        try:
            await run.signal("number", number)
        except RunEnded:
            break  # the first was enough

    assert await run.result(30) == 0
    assert (await kinds(run)).count("completed") == 1
