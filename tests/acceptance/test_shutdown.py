"""How an application ends around an engine: nothing is recorded that did not happen, and nothing is kept from others."""

import asyncio
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from perdure import Engine, receive, step, workflow
from perdure.errors import StepOutcomeUnknown, StoreFailed, StoreUnavailable
from perdure.store.sqlite import claims
from tests.acceptance.harness import CALM, Stage, kinds

began: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_has_begun() -> None:
    began.clear()


@step
async def long(name: str) -> str:
    began.append(name)
    if len(began) == 1:
        await asyncio.Event().wait()
    return name


@step(at_most_once=True)
async def charge(name: str) -> str:
    began.append(name)
    await asyncio.Event().wait()
    return name


@workflow
async def flow(name: str) -> str:
    return await long(name)


@workflow
async def charging(name: str) -> str:
    try:
        return await charge(name)
    except StepOutcomeUnknown:
        return "unknown"


def cancel_all_tasks() -> None:
    """The usual handler of SIGTERM, and what asyncio.run does at its end."""
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


PROGRAM = """
import asyncio, sys
from perdure import Engine, receive, step, workflow

ready = asyncio.Event()

@step
async def long() -> str:
    if "again" not in sys.argv:
        print("began", flush=True)
        ready.set()
        await asyncio.Event().wait()
    return "done"

@workflow
async def flow() -> str:
    return await long()

async def serve():
    async with Engine("sqlite:///" + sys.argv[1], [flow]) as engine:
        await engine.start(flow, id="order")
        if "again" in sys.argv:
            print(await engine.run("order").result(30))
            return
        await asyncio.Event().wait()

async def main():
    task = asyncio.create_task(serve())
    if "again" in sys.argv:
        await task
    else:
        await ready.wait()

asyncio.run(main())
"""


def test_asyncio_run_that_ends_around_an_engine_fails_no_step_under_way(tmp_path: Path) -> None:
    script = tmp_path / "app.py"
    script.write_text(PROGRAM)
    command = [sys.executable, script, tmp_path / "store.db"]
    first = subprocess.run(command, timeout=60, check=False, capture_output=True, text=True)
    assert "began" in first.stdout

    second = subprocess.run([*command, "again"], timeout=60, check=False, capture_output=True, text=True)
    assert "done" in second.stdout, second.stderr


async def test_an_application_that_cancels_all_its_tasks_leaves_the_engine_cleanly(stage: Stage) -> None:
    @step
    async def work() -> None:
        await asyncio.sleep(0)

    @workflow
    async def busy() -> None:
        while True:
            await work()

    serving = asyncio.Event()

    async def serve() -> None:
        async with Engine(stage.url, [busy], settings=replace(CALM, drain_seconds=3600.0)) as engine:
            serving.set()
            for _ in range(20):
                await engine.start(busy)
            await asyncio.Event().wait()

    main = asyncio.create_task(serve())
    await serving.wait()
    await stage.until(lambda: len(stage.sql("select 1 from history where kind = 'step'")) > 100)
    cancel_all_tasks()

    async with asyncio.timeout(30):
        await asyncio.wait([main])
    assert stage.sql("select kind from history where kind in ('step_failed', 'failed')") == []
    assert stage.sql("select distinct state from runs") == [("waiting",)]


async def test_a_step_whose_task_is_cancelled_from_outside_begins_again_where_the_application_goes_on(stage: Stage) -> None:
    engine = await stage.engine(flow)
    run = await engine.start(flow, "order")
    await stage.until(lambda: began)
    [attempt] = engine.worker._attempts.under_way
    assert attempt.task is not None
    attempt.task.cancel()

    assert await run.result(30) == "order"
    assert began == ["order", "order"]
    assert await kinds(run) == ["started", "step", "completed"]


async def test_an_at_most_once_step_that_is_cancelled_from_outside_is_unknown_and_not_run_again(stage: Stage) -> None:
    engine = await stage.engine(charging)
    run = await engine.start(charging, "order")
    await stage.until(lambda: began)
    [attempt] = engine.worker._attempts.under_way
    assert attempt.task is not None
    attempt.task.cancel()

    assert await run.result(30) == "unknown"
    assert began == ["order"]


def cancel_tasks_named(name: str) -> int:
    found = [task for task in asyncio.all_tasks() if task.get_name() == name]
    return sum(task.cancel() for task in found)


async def test_a_history_whose_reading_is_cancelled_from_outside_is_read_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    @workflow
    async def waits() -> str:
        return await receive("word", str)

    monkeypatch.setattr(claims, "LOADED_AT_ONCE", 0)  # none comes with its claim
    engine = await stage.engine(waits)
    run = await engine.start(waits)
    await stage.until_parked(engine, run)
    real = engine._store.load
    raised = stage.fail(engine, "load", StoreUnavailable("not now"), times=1_000_000)
    await run.signal("word", "hello")
    await stage.until(lambda: raised)

    assert cancel_tasks_named("perdure-load") == 1
    engine._store.load = real  # type: ignore[method-assign]

    assert await run.result(30) == "hello"


async def test_a_sweep_that_is_cancelled_from_outside_is_begun_again(stage: Stage) -> None:
    engine = await stage.engine(flow)
    await stage.until(lambda: engine._store.sweeps)

    assert cancel_tasks_named("perdure-sweep") == 1

    await stage.until_sweep()


async def test_a_step_that_cancels_itself_fails(stage: Stage) -> None:
    @step
    async def gives_up() -> None:
        raise asyncio.CancelledError

    @workflow
    async def surprised() -> str:
        try:
            await gives_up()
        except asyncio.CancelledError:
            return "cancelled"
        except Exception as error:
            return type(error).__name__
        return "nothing"

    engine = await stage.engine(surprised)
    run = await engine.start(surprised)
    await run.result(30)

    assert await kinds(run) == ["started", "step_failed", "completed"]


# ── what ends with a worker ──────────────────────────────────────────────────────────────────────────────────────────

HASTY = replace(CALM, lease_seconds=1.0, renew_seconds=0.3, sweep_seconds=0.3)


async def test_an_exit_that_is_cancelled_keeps_no_run_from_others(stage: Stage) -> None:
    async def serve() -> None:
        async with Engine(stage.url, [flow], settings=HASTY) as engine:
            await engine.start(flow, "order", id="order")
            await asyncio.Event().wait()

    before = set(threading.enumerate())
    task = asyncio.create_task(serve())
    await stage.until(lambda: began)
    task.cancel()
    await stage.until(lambda: task.cancelling() and not task.done())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()  # while it drains, as a cancelled scope of anyio does at every await
    await asyncio.wait([task])

    other = await stage.engine(flow, settings=HASTY)
    assert await other.run("order").result(30) == "order"
    left = {thread.name for thread in set(threading.enumerate()) - before if thread.is_alive()}
    assert len([name for name in left if name == "perdure-lease"]) == 1


LOOP = """
import asyncio, sys, time
from perdure import Engine, workflow
from perdure.settings import Settings

@workflow
async def flow() -> str:
    await asyncio.sleep(1)
    return "done"

async def main():
    engine = Engine("sqlite:///" + sys.argv[1], [flow], settings=Settings(lease_seconds=1.0, renew_seconds=0.3, sweep_seconds=0.3))
    await engine.__aenter__()
    await engine.start(flow, id="order")
    await asyncio.sleep(0.3)

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
if sys.argv[2] == "closed":
    loop.close()
print("left", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("loop", ["closed", "stopped"])
async def test_a_process_whose_event_loop_has_ended_keeps_no_run_from_others(stage: Stage, tmp_path: Path, loop: str) -> None:
    @workflow(name="flow")
    async def again() -> str:
        await asyncio.sleep(1)
        return "done"

    script = tmp_path / "app.py"
    script.write_text(LOOP)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = await asyncio.create_subprocess_exec(sys.executable, script, stage.path, loop, **pipes)
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        engine = await stage.engine(again, settings=HASTY)
        assert await engine.run("order").result(30) == "done"
    finally:
        process.kill()
        await process.wait()


async def test_a_worker_that_cannot_go_on_lets_go_of_its_runs(stage: Stage) -> None:
    @workflow
    async def hear() -> str:
        return await receive("go", str)

    engine = await stage.engine(hear, settings=replace(HASTY, linger_seconds=60.0))
    run = await engine.start(hear)
    await stage.until(lambda: run.id in engine.worker.live)
    stage.fail(engine, "checkpoint", StoreFailed("the disk failed to sync"), times=1000)
    await run.signal("go", "there")
    await stage.until(engine.failure.done)

    other = await stage.engine(hear, settings=HASTY)
    assert await other.run(run.id).result(30) == "there"


async def test_nothing_goes_on_after_an_engine_was_closed_while_its_store_was_out_of_reach(stage: Stage) -> None:
    @workflow
    async def hear() -> str:
        return await receive("go", str)

    before = asyncio.all_tasks()
    engine = await stage.engine(hear, settings=replace(CALM, linger_seconds=60.0, drain_seconds=0.1))
    run = await engine.start(hear)
    await stage.until(lambda: run.id in engine.worker.live)
    stage.fail(engine, "checkpoint", StoreUnavailable("busy"), times=10_000)
    await stage.stop(engine)
    for _ in range(20):
        await asyncio.sleep(0)

    assert asyncio.all_tasks() - before == set()
